"""torchvision's AlexNet: found where its weights are, refused where they are not what they say, bounded by layers."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch
from torch import nn
from torchvision import models

from intriguing import alexnet, scale


def thin() -> nn.Module:
    """An AlexNet of torchvision's with two channels and two units in place of hundreds, each layer a single weight."""
    whole = models.AlexNet(num_classes=2)
    for part in (whole.features, whole.classifier):
        for place, layer in enumerate(part):
            if isinstance(layer, nn.Conv2d):
                inputs = 3 if layer.in_channels == 3 else 2
                part[place] = nn.Conv2d(inputs, 2, layer.kernel_size, layer.stride, layer.padding)
            elif isinstance(layer, nn.Linear):
                part[place] = nn.Linear(72 if layer.in_features == 9216 else 2, 2)
    for number, name in enumerate(alexnet.LAYERS, start=1):
        weight = whole.get_submodule(name).weight.detach()
        weight.zero_()
        weight[(0, 0, *(side // 2 for side in weight.shape[2:]))] = number  # the norm of its layer
    return whole


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for torch's downloads, and a thin AlexNet in place of torchvision's."""
    monkeypatch.setattr(scale, "data_folder", lambda: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(alexnet.models, "alexnet", lambda weights: thin())
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_nothing_is_fetched(folder):
    assert alexnet.torchvision_alexnet() is None


def test_the_weights_in_the_file_are_those_of_the_network(folder, monkeypatch):
    torch.manual_seed(0)
    same = thin().eval()
    for parameter in same.parameters():
        nn.init.normal_(parameter)
    torch.save(same.state_dict(), folder / "new.pth")
    digits = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(alexnet, "FILE", f"alexnet-owt-{digits}.pth")
    (folder / "new.pth").rename(folder / alexnet.FILE)
    model = alexnet.torchvision_alexnet()
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model(images), same(images))


def test_a_file_that_is_not_what_it_says_is_refused(folder):
    (folder / alexnet.FILE).write_bytes(b"another network")
    with pytest.raises(ValueError, match="has a SHA-256 sum that begins with .*, expected .*; remove the file"):
        alexnet.torchvision_alexnet()


def test_norms_of_single_weights_and_their_product():
    table, product = alexnet.norms(alexnet.chain(thin()))
    assert list(table.rows) == list(alexnet.LAYERS)
    assert [row[0] for row in table.rows.values()] == pytest.approx(range(1, 9), rel=1e-6)
    # Three poolings overlap and count twice each; averaging 6 by 6 onto 6 by 6 changes nothing.
    assert product == pytest.approx(8 * math.factorial(8), rel=1e-6)


def test_the_layers_are_those_of_torchvision():
    with torch.device("meta"):
        whole = models.AlexNet()
    found = [name for name, layer in whole.named_modules() if hasattr(layer, "weight")]
    assert tuple(found) == alexnet.LAYERS
