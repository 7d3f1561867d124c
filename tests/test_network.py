"""The bound of a whole network: a walk over its layers, a product that no pair of images exceeds, named refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from intriguing.lipschitz.network import network_bound
from intriguing.lipschitz.norms import conv_norm


def test_network_bound_walks_every_layer():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 5), nn.Sigmoid(), nn.Dropout(),
    ).eval().requires_grad_(False)  # fmt: skip
    found = network_bound(model, (1, 14, 14))
    assert found.layers[:3] == ("0.0 Conv2d", "0.1 ReLU", "0.2 MaxPool2d")
    assert found.input_sizes[0] == (1, 14, 14) and found.input_sizes[6 - 1] == (36,)
    assert found.norms[1:3] == (1, 2) and found.norms[-2:] == (0.25, 1)
    assert found.norms[0] == conv_norm(model[0][0].weight, stride=2, padding=1, input_size=14)
    assert found.product == pytest.approx(math.prod(found.norms))
    images = torch.rand(50, 1, 14, 14)
    others = images + 0.1 * torch.randn_like(images)
    change = (model(images) - model(others)).norm(dim=1) / (images - others).flatten(1).norm(dim=1)
    assert float(change.max()) <= found.product


def test_what_is_not_known_is_refused_by_name():
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    class Sly(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return 9 * x

    for layer in (Twice(), Sly()):
        with pytest.raises(TypeError, match=f"got {type(layer).__name__}.* at '1'; expected layers with a known bound"):
            network_bound(nn.Sequential(nn.ReLU(), layer).eval(), (3,))
    doubled = network_bound(nn.Sequential(Twice()).eval(), (3,), known={Twice: lambda layer, size: 2.0})
    assert doubled.norms == (2.0,)
    for layer in (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), nn.AvgPool2d(2, ceil_mode=True)):
        with pytest.raises(TypeError, match="known bound"):
            network_bound(layer.eval(), (1, 7, 7))
    with pytest.raises(ValueError, match=r"model\.eval"):
        network_bound(nn.ReLU(), (3,))
