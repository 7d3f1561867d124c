"""The photographs inside packages: where they lie, what fits, and squares cut out of any picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import SqueezeNet1_0_Weights

from intriguing.data import DataError, free, photographs


def test_there_are_seven_with_credits():
    found = free.free(32)
    assert found.images.shape == (7, 3, 32, 32) and len(found) == 7
    assert found.names[:2] == ("cat", "coffee") and all(picture.credit for picture in found.pictures)
    assert torch.equal((found.images * 255).round() / 255, found.images)  # what a file can hold
    assert found.fit(torch.tensor([285, 967, 1, 652, 657, 985, 9])).tolist() == [
        True,
        True,
        False,
        True,
        True,
        False,
        False,
    ]


def test_the_classes_that_fit_are_named_like_what_is_to_be_seen():
    names = SqueezeNet1_0_Weights.DEFAULT.meta["categories"]
    assert {picture.name: [names[label] for label in picture.fits] for picture in free.PICTURES} == {
        "cat": ["tabby", "tiger cat", "Egyptian cat"],
        "coffee": ["coffee mug", "espresso", "cup"],
        "temple": ["monastery", "palace"],
        "admiral": ["military uniform"],
        "rocket": ["missile", "projectile"],
        "dahlia": [],
        "astronaut": [],
    }


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(free.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"got no data/chelsea.png of the package skimage; expected it"):
        free.free()


def test_the_middle_square_upright(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 50)
    path = tmp_path / "wide.png"
    Image.fromarray(wide).save(path)
    assert photographs.square(path, 20).flatten(1).unique(dim=1)[:, 0].tolist() == [200, 100, 50]
    # A camera held upright: rows are columns, and the EXIF data say so.
    turned = Image.fromarray(np.rot90(np.tile(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (60, 1, 3))))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    upright = photographs.square(tmp_path / "turned.jpg", 60).float()
    assert float((upright[0, :, 0] - upright[0, :, 59]).mean()) != 0
    assert float(upright[0].std(0).max()) < 2  # columns are constant again
    Image.fromarray(np.full((9, 7), 70, np.uint8)).save(tmp_path / "grey.png")
    assert photographs.square(tmp_path / "grey.png").unique().tolist() == [70]


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataError, match="nothing.jpg, no such file; expected a JPEG or a PNG"):
        photographs.square(tmp_path / "nothing.jpg")
    with pytest.raises(DataError, match="a folder; expected a JPEG"):
        photographs.square(tmp_path)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(DataError, match="is no picture"):
        photographs.square(tmp_path / "text.jpg")
