"""A photograph of one's own: names of classes, files that are read back, and every error in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from intriguing.chapters.photographs import own, recognition, uploads
from intriguing.data import DataError, photographs
from intriguing.press import commands


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A linear network in the place of EfficientNet-Lite0, and a picture of no special size."""
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(192, 1000)).eval().requires_grad_(False)
    network[2].weight.mul_(6)
    model = recognition.Normalised(network, (0.5,) * 3).eval()
    monkeypatch.setattr(recognition, "efficientnet", lambda name: model)
    pixels = np.random.default_rng(0).integers(60, 190, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    return model


def test_classes_by_name_and_number():
    assert own.class_of("ostrich") == own.class_of(" Ostrich ") == own.class_of(9) == own.class_of("9") == 9
    assert len(own.names()) == 1000 and own.names()[285] == "Egyptian cat"
    with pytest.raises(ValueError, match=r"'ostritch', which is none of the 1000 classes.*did you mean 'ostrich'"):
        own.class_of("ostritch")
    with pytest.raises(ValueError, match="'fox squirrel'"):
        own.class_of("squirrel")
    with pytest.raises(ValueError, match="got class 1000; expected a number from 0 to 999"):
        own.class_of("1000")
    with pytest.raises(ValueError, match="give a number from 0 to 999"):
        own.class_of("")


def test_a_picture_is_changed_written_and_read_back(small, tmp_path):
    found = own.fool("cat.png", "ostrich", sure=0.8, steps=40)
    assert found.after[0] == 9 and found.after[1] >= 0.8 and found.before[0] != 9
    assert torch.equal((found.changed * 255).round() / 255, found.changed)
    assert found.levels == int(((found.changed - found.clean).abs() * 255).round().max()) > 0
    assert "became ostrich" in str(found) and f"{found.rms:.6f}" in str(found)
    picture, difference = own.save(found, tmp_path / "out.png")
    again = photographs.square(picture).float() / 255
    assert torch.equal(again, found.changed)
    assert int(small(again[None]).argmax()) == 9
    grey = photographs.square(difference).float() / 255
    assert torch.allclose(grey, (0.5 + 20 * (found.changed - found.clean)).clamp(0, 1), atol=0.51 / 255)
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out-difference.png", "out.png"]
    with pytest.raises(ValueError, match=r"expected a name that ends in \.png"):
        own.save(found, tmp_path / "out.jpg")


def test_what_cannot_be_is_said(small, tmp_path, monkeypatch):
    before = int(small(photographs.square("cat.png")[None].float() / 255).argmax())
    with pytest.raises(ValueError, match="as it is; expected another"):
        own.fool("cat.png", before)
    with pytest.raises(ValueError, match="got the probability 1; expected one between"):
        own.fool("cat.png", 9, sure=1)
    with pytest.raises(ValueError, match="got network 'vgg'; expected one of efficientnet-lite0"):
        own.fool("cat.png", 9, network_name="vgg")
    with pytest.raises(DataError, match="no such file"):
        own.fool("dog.png", 9)
    monkeypatch.setattr(recognition, "alexnet", lambda: None)
    with pytest.raises(ValueError, match="alexnet, whose weights are not on this computer"):
        own.fool("cat.png", 9, network_name="alexnet")
    small.network[2].bias[9] = -1e5
    with pytest.raises(ValueError, match="got no picture that EfficientNet-Lite0 takes for ostrich"):
        own.fool("cat.png", 9, steps=3)


def test_the_command(small, tmp_path, capsys):
    assert commands.main(["attack", "--image", "cat.png", "--target", "ostrich", "--confidence", "0.7"]) == 0
    said = capsys.readouterr().out
    assert "became ostrich" in said and "cat-ostrich.png" in said
    assert (tmp_path / "cat-ostrich.png").is_file() and (tmp_path / "cat-ostrich-difference.png").is_file()
    assert commands.main(["attack", "--image", "cat.png", "--target", "ostritch"]) == 1
    assert "did you mean" in capsys.readouterr().out
    assert commands.main(["attack", "--image", "cat.png"]) == 1
    assert "got no --target" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        commands.main(["attack"])
    assert "one of the arguments --image --model is required" in capsys.readouterr().err


def test_the_form_of_a_notebook(small, tmp_path):
    form = uploads.Upload()
    form.begin()
    assert "Choose a photograph" in form.shown.value
    still = form._repr_mimebundle_()
    assert uploads.STILL in still["text/html"] and still["text/plain"] == uploads.STILL
    content = (tmp_path / "cat.png").read_bytes()
    chosen = {"name": "cat.png", "type": "image/png", "size": len(content), "content": memoryview(content)}
    form.file.set_trait("value", (chosen | {"last_modified": datetime.now(UTC)},))
    form.target.value, form.sure.value = "espresso", 0.5
    form.begin()
    assert "became espresso" in form.shown.value and form.shown.value.count("<img") == 2
    form.target.value = "nonsense words"
    form.begin()
    assert "which is none of the 1000 classes" in form.shown.value and not form.button.disabled
