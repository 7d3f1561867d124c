"""ImageNet networks: scaling of pixels, halves that make a whole, exact intervals, and labels that cannot be right."""

from __future__ import annotations

import functools

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F
from torchvision.models import alexnet as alexnet_architecture
from torchvision.models import squeezenet1_0

from intriguing import data
from intriguing.chapters.photographs import recognition
from intriguing.data import DataError
from intriguing.data.photographs import Photographs
from intriguing.models import imagenet

GIVEN = data.data_folder()  # before any test changes it


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch, tmp_path):
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def photos(count, seed=0):
    pixels = torch.randint(0, 256, (count, 3, 227, 227), generator=torch.Generator().manual_seed(seed))
    return Photographs(
        pixels.byte(), torch.arange(count), tuple("abcdefgh"[:count]), ("thing",) * 1000, ("n0",) * 1000, "made", 0, 0,
        False,
    )  # fmt: skip


def small_squeezenet():
    torch.manual_seed(0)
    whole = squeezenet1_0(weights=None, num_classes=5)
    chain = nn.Sequential(whole.features, whole.classifier, nn.Flatten())
    return recognition.Normalised(chain, recognition.CAFFE_MEAN).eval().requires_grad_(False)


def test_pixels_are_centred_and_scaled_channel_by_channel():
    model = recognition.Normalised(nn.Identity(), (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    pixel = torch.tensor([0.6, 0.7, 0.8]).view(1, 3, 1, 1)
    assert torch.allclose(model(pixel).flatten(), torch.tensor([1.0, 2.0, 0.5]))


def test_without_files_there_are_the_embedded_networks():
    assert list(recognition.networks()) == [recognition.LITE0, recognition.LITE1]
    assert recognition.alexnet_convolutions(photos(1)) is None
    assert list(recognition.embedded()) == ["EfficientNet-Lite0", "EfficientNet-Lite1", "EfficientNet-Lite2"]


def test_an_efficientnet_has_two_halves():
    model = recognition.efficientnet()
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    body, head = recognition.halves(recognition.LITE0, model)
    with torch.no_grad():
        assert body(images).shape == (2, 1280) and torch.allclose(head(body(images)), model(images), atol=1e-5)
    assert recognition.read(model, images).tolist() == model(images).argmax(1).tolist()


def test_torchvisions_squeezenet_stands_in_for_the_other(monkeypatch):
    chain = small_squeezenet().network
    monkeypatch.setattr(imagenet, "torchvision_squeezenet", lambda: chain)
    found = recognition.networks()
    assert next(iter(found)) == recognition.TORCHVISIONS
    images = torch.rand(1, 3, 224, 224)
    body, head = recognition.halves(recognition.TORCHVISIONS, found[recognition.TORCHVISIONS])
    with torch.no_grad():
        assert torch.allclose(head(body(images)), found[recognition.TORCHVISIONS](images), atol=1e-5)
    monkeypatch.setattr(imagenet, "squeezenet", lambda: chain)
    assert recognition.TORCHVISIONS not in recognition.networks() and recognition.SQUEEZENET in recognition.networks()


def test_alexnet_is_whole_and_comes_first(monkeypatch):
    torch.manual_seed(0)
    network = alexnet_architecture(weights=None).eval()
    monkeypatch.setattr(imagenet, "torchvision_alexnet", lambda: imagenet.chain(network))
    found = recognition.networks()
    assert next(iter(found)) == "AlexNet"
    images = torch.rand(2, 3, 227, 227)
    mean, std = (
        torch.tensor(part).view(3, 1, 1) for part in (recognition.TORCHVISION_MEAN, recognition.TORCHVISION_STD)
    )
    with torch.no_grad():
        assert torch.allclose(found["AlexNet"](images), network((images - mean) / std), atol=1e-5)
        body, head = recognition.halves("AlexNet", found["AlexNet"])
        assert body(images).shape == (2, 4096)
        assert torch.allclose(head(body(images)), found["AlexNet"](images), atol=1e-5)


def test_responses_are_those_of_the_whole_network_and_are_kept(monkeypatch):
    model, few = small_squeezenet(), photos(3)
    monkeypatch.setattr(recognition, "CHUNK", 2)
    found = recognition.responses(recognition.SQUEEZENET, model, few)
    with torch.no_grad():
        assert torch.allclose(found.logits, model(few.images(size=224)), atol=1e-5)
        hidden = model.network[0](few.images(size=224) - model.mean)
    assert found.features.shape == (3, 512)
    assert torch.allclose(found.features, hidden.mean((2, 3)), atol=1e-6)
    refuse = functools.wraps(recognition._in_chunks)(lambda *_: pytest.fail("computed twice"))
    monkeypatch.setattr(recognition, "_in_chunks", refuse)
    again = recognition.responses(recognition.SQUEEZENET, model, few)
    assert torch.equal(again.logits, found.logits)
    with pytest.raises(pytest.fail.Exception, match="computed twice"):
        recognition.responses(recognition.SQUEEZENET, model, photos(3, seed=1))


def test_the_convolutions_of_alexnet_step_by_step(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv1": (6, 3, 11), "conv2": (8, 3, 5), "conv3": (4, 8, 3), "conv4": (4, 2, 3), "conv5": (6, 2, 3)}
    tensors = {}
    for name, (outputs, inputs, kernel) in shapes.items():
        tensors[f"{name}.weight"] = torch.randint(-9, 10, (outputs, inputs, kernel, kernel), generator=generator)
        tensors[f"{name}.bias"] = torch.randint(-9, 10, (outputs,), generator=generator)
    monkeypatch.setattr(imagenet, "load", lambda name: tensors)
    few = photos(2)
    found = recognition.alexnet_convolutions(few)
    x = few.pixels.float() - torch.tensor([123.0, 117.0, 104.0]).view(3, 1, 1)
    for name in shapes:
        how = imagenet.ALEXNET[name]
        pieces = zip(x.chunk(how.groups, 1), (tensors[f"{name}.weight"] / 128).chunk(how.groups), strict=True)
        x = torch.cat([F.conv2d(part, w, None, how.stride, how.padding) for part, w in pieces], 1)
        x = (x + tensors[f"{name}.bias"].view(-1, 1, 1) / 128).clamp(min=0)
        if name in ("conv1", "conv2"):
            padded = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
            window = sum(padded[:, i : i + x.shape[1]] for i in range(5))
            x = F.max_pool2d(x / (1 + 1e-4 / 5 * window) ** 0.75, 3, 2, ceil_mode=True)
    assert x.shape[2:] == (13, 13) and float(x.max()) > 0
    assert torch.allclose(found, x.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_accuracy_by_hand_with_an_exact_interval():
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [5.0, 0.0, 1.0]])
    labels = torch.tensor([0, 1, 1, 1])
    one, two = recognition.accuracy(logits, labels), recognition.accuracy(logits, labels, 2)
    assert (one.right, one.count, one.rate) == (2, 4, 0.5) and two.right == 3
    # what the interval means: at its ends the outcome has a chance of 2.5 % on one side
    assert stats.binom.sf(one.right - 1, one.count, one.low) == pytest.approx(0.025, abs=1e-6)
    assert stats.binom.cdf(one.right, one.count, one.high) == pytest.approx(0.025, abs=1e-6)
    assert one.holds(0.5) and not one.holds(0.999)
    with pytest.raises(ValueError, match="got no photographs"):
        recognition.accuracy(logits[:0], labels[:0])


def test_labels_in_another_order_are_noticed():
    labels = torch.arange(100) % 50
    logits = F.one_hot(labels, 1000).float()
    recognition.check_labels(logits, labels)
    recognition.check_labels(logits, torch.where(torch.arange(100) < 60, 999, labels))  # a weak network may be
    with pytest.raises(DataError, match="Only 0 of 100 photographs are recognised.*list of labels"):
        recognition.check_labels(logits, labels + 500)
    recognition.check_labels(logits[:3], labels[:3] + 500)  # three photographs prove nothing


def test_the_real_network_on_real_photographs(monkeypatch):
    if GIVEN is None or not (GIVEN / "imagenet" / "val").is_dir():
        pytest.skip("INTRIGUING_DATA holds no imagenet/val: SqueezeNet's accuracy is left out")
    from intriguing.data import photographs

    monkeypatch.setenv("INTRIGUING_DATA", str(GIVEN))
    found = photographs.validation(60)
    model = recognition.squeezenet()
    answers = recognition.responses(recognition.SQUEEZENET, model, found)
    recognition.check_labels(answers.logits, found.labels)
    assert recognition.accuracy(answers.logits, found.labels, 5).holds(recognition.KNOWN["SqueezeNet 1.0"].top5)
    seen = recognition.alexnet_convolutions(found)
    assert seen.shape == (60, 256) and bool(seen.isfinite().all())
