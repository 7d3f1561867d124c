"""Pictures say how large they are; by night plots are turned over, and digits and photographs are not."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from extensions import extension
from intriguing.book import plots


@pytest.fixture(scope="module")
def photos():
    return extension("photos")


def digit() -> bytes:
    image = torch.zeros(4, 1, 28, 28)
    image[:, :, 5:20, 10:14] = 1
    return plots.digits(image, list("abcd")).png()


def line() -> bytes:
    x = np.linspace(0, 1, 9)
    return plots.lines(x, {"a": x, "b": 1 - x}, xlabel="x", ylabel="y").png()


def photograph() -> bytes:
    file = io.BytesIO()
    colours = np.random.default_rng(0).integers(60, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(colours).save(file, format="jpeg")
    return file.getvalue()


def test_digits_and_photographs_are_told_from_plots(photos):
    assert photos.is_photo(digit()) and photos.is_photo(photograph()) and not photos.is_photo(line())


def test_pictures_of_a_page_get_their_size_and_their_mark_once(photos, tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_images" / "digit.png").write_bytes(digit())
    (tmp_path / "_images" / "line.png").write_bytes(line())
    inside = f"data:image/png;base64,{base64.b64encode(digit()).decode()}"
    page = (
        '<img alt="d" src="../_images/digit.png"/><img alt="l" src="../_images/line.png"/>'
        f'<img alt="i" src="{inside}"><img src="../_static/logo.svg"/>'
    )
    new = photos.marked(page, tmp_path / "notebooks")
    width, height = Image.open(io.BytesIO(digit())).size
    size = f'width="{width}" height="{height}"'
    assert new.count('data-photo=""') == 2 and new.count(" height=") == 3
    assert f'<img {size} data-photo="" alt="d" src' in new and f'<img {size} data-photo="" alt="i" src' in new
    assert '<img src="../_static/logo.svg"/>' in new
    assert photos.marked(new, tmp_path / "notebooks") == new
