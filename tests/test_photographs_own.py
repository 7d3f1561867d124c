"""A photograph of one's own: names of classes, files that are read back, and every error in a sentence."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

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


def test_capital_letters_tell_apart_what_nothing_else_does():
    """The dog comes before what one wears, and their names differ in one letter."""
    assert (own.names()[264], own.names()[474]) == ("Cardigan", "cardigan")
    assert all(own.class_of(name) == number for number, name in enumerate(own.names()))
    assert (own.class_of(" Cardigan"), own.class_of("cardigan")) == (264, 474)
    with pytest.raises(
        ValueError, match=r"got 'CARDIGAN', which may be Cardigan \(264\) and cardigan \(474\); expected"
    ):
        own.class_of("CARDIGAN")


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
    for name in ("alexnet", "squeezenet", "torchvision_squeezenet"):
        monkeypatch.setattr(recognition, name, lambda: None)
    for name, file in (("alexnet", "alexnet-owt-7be5be79.pth"), ("squeezenet", "squeezenet1_0-b66bff10.pth")):
        said = (
            rf"{name}, whose weights are not on this computer; expected imagenet/{file} in .* intriguing fetch {name},"
        )
        with pytest.raises(ValueError, match=said):
            own.fool("cat.png", 9, network_name=name)
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


def test_a_device_that_is_not_there_is_not_asked_for(small, monkeypatch, capsys):
    """A photograph is changed on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("INTRIGUING_DEVICE", "cuda")
    assert commands.main(["attack", "--image", "cat.png", "--target", "ostrich", "--confidence", "0.5"]) == 0
    assert "became ostrich" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("photograph", "output", "message"),
    [
        ("cat.png", "cat.png", "got cat.png, for which cat.png would be written, the photograph itself"),
        ("cat.png", "link.png", "for which link.png would be written, the photograph itself"),
        ("cat-difference.png", "cat.png", "got cat.png, for which cat-difference.png would be written, the photograph"),
        ("cat.png", "out.jpg", "got out.jpg; expected a name that ends in .png"),
        ("cat.png", "folder.png", "got folder.png to write to, a folder"),
        (
            "cat.png",
            "cat.png/x.png",
            "got cat.png/x.png, which cannot be written because of cat.png; expected a folder",
        ),
        ("cat.png", "locked/new/x.png", "got locked/new/x.png, which cannot be written because of locked; expected a"),
    ],
)
def test_what_may_not_be_written_is_said_before_the_search(
    small, tmp_path, monkeypatch, capsys, photograph, output, message
):
    (tmp_path / "cat-difference.png").write_bytes((tmp_path / "cat.png").read_bytes())
    (tmp_path / "link.png").symlink_to("cat.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "locked").mkdir()
    # Whoever is root may write everywhere, whatever a folder says.
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place).name != "locked")
    before = {path: path.read_bytes() for path in tmp_path.glob("cat*")}
    monkeypatch.setattr(own, "walk", lambda *_, **__: pytest.fail("the search was begun"))
    words = ["attack", "--image", photograph, "--target", "ostrich", "--output", output]
    assert commands.main(words) == 1
    assert message in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.glob("cat*")} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image", "cat.png", "--model", "FC10"], "argument --model: not allowed with argument --image"),
        (["--image", "cat.png", "--chunk", "0"], "argument --chunk: not allowed with argument --image"),
        (["--image", "cat.png", "--norm", "squared"], "argument --norm: not allowed with argument --image"),
        (["--image", "cat.png", "--refine"], "argument --refine: not allowed with argument --image"),
        (["--model", "ConvNet", "--target", "ostrich"], "argument --target: not allowed with argument --model"),
    ],
)
def test_what_belongs_to_the_other_kind_of_attack_is_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        commands.main(["attack", *words])
    assert message in capsys.readouterr().err


def phone(path, orientation=6):
    """What a telephone that was held upright writes: red on the left, green at the top, lying on its side."""
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    pixels[:, :2000, 0], pixels[:1500, :, 1] = 180, 180
    turned = Image.Exif()
    turned[274] = orientation
    Image.fromarray(pixels).save(path, quality=90, exif=turned)


def test_a_photograph_of_a_telephone_is_turned_cut_and_changed(small, tmp_path, capsys):
    phone(tmp_path / "phone.jpg")
    square = photographs.square("phone.jpg").float()
    # Turned clockwise: what was at the left is at the top, what was at the top is at the right.
    corners = [square[:, y, x].round().tolist() for y, x in ((5, 5), (5, 218), (218, 5), (218, 218))]
    wanted = [[180, 0, 0], [180, 180, 0], [0, 0, 0], [0, 180, 0]]
    assert np.allclose(corners, wanted, atol=4)
    assert commands.main(["attack", "--image", "phone.jpg", "--target", "ostrich", "--confidence", "0.6"]) == 0
    assert "became ostrich" in capsys.readouterr().out
    assert int(small(photographs.square("phone-ostrich.png")[None].float() / 255).argmax()) == 9


def other_colours():
    """Files that are no common RGB, and what the first pixel of each is."""
    pixels = np.full((30, 40, 4), 100, np.uint8)
    pixels[..., 3] = 0
    return {
        "grey.jpg": (Image.new("L", (40, 30), 100), [100] * 3),
        "printed.jpg": (Image.new("RGB", (40, 30), (100, 100, 100)).convert("CMYK"), [100] * 3),
        "clear.png": (Image.fromarray(pixels), [255] * 3),
        "deep.png": (Image.fromarray(np.full((30, 40), 257 * 100, np.uint16)), [100] * 3),
        "one.png": (Image.new("RGB", (1, 1), (100, 50, 25)), [100, 50, 25]),
        "line.png": (Image.new("RGB", (1, 3000), (100, 50, 25)), [100, 50, 25]),
    }


@pytest.mark.parametrize("name", other_colours())
def test_every_kind_of_picture_is_changed(small, tmp_path, name):
    made, first = other_colours()[name]
    made.save(tmp_path / name)
    assert photographs.square(name)[:, 0, 0].tolist() == pytest.approx(first, abs=1)
    found = own.fool(name, "ostrich", sure=0.6, steps=40)
    assert found.after[0] == 9 and found.changed.shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("moving.gif", "in the format GIF; expected a JPEG or a PNG; save it as one of these"),
        ("moving.png", "holds 2 pictures; expected one; keep one of them"),
        ("phone.heic", "in the format HEIC or AVIF; expected a JPEG or a PNG; save it as one of these"),
        ("cut.jpg", "cannot be decoded"),
        ("empty.png", "is no picture; expected a JPEG or a PNG"),
        ("folder.png", "a folder; expected a JPEG or a PNG"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_sentence(small, tmp_path, capsys, name, message):
    one, other = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))
    for moving in ("moving.gif", "moving.png"):
        one.save(tmp_path / moving, save_all=True, append_images=[other])
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    Image.open("cat.png").save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    before = set(tmp_path.iterdir())
    assert commands.main(["attack", "--image", name, "--target", "ostrich"]) == 1
    said = capsys.readouterr().out.strip()
    assert message in said and name in said and said.count("\n") == 0 and said.endswith(".")
    assert set(tmp_path.iterdir()) == before


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
    assert ".heic" not in form.file.accept and ".jpg" in form.file.accept
    form.target.value = "nonsense words"
    form.begin()
    assert "which is none of the 1000 classes" in form.shown.value and not form.button.disabled
