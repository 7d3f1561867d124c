"""Training with bounded layers: each penalty against its closed form, and what it does to the layers of a network."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from intriguing.chapters.bounded import networks
from intriguing.chapters.bounded.networks import (
    DECAY,
    NONE,
    NORMALISED,
    PENALTY,
    fit,
    network,
    penalty,
    squared_bound,
)
from intriguing.data import Images
from intriguing.models.recipes import weight_layers


@pytest.fixture
def blobs() -> Images:
    """Ten classes, each a bright block of its own."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 10
    pixels = 0.2 * torch.rand(60, 1, 28, 28, generator=generator)
    for row, label in enumerate(labels):
        pixels[row, 0, 2 * int(label) : 2 * int(label) + 2] += 0.7
    return Images(pixels, labels, "blobs")


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (1, 4)])
def test_the_squared_bound_and_its_gradient_are_those_of_a_singular_value(shape):
    weight = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    value = squared_bound(weight)
    (gradient,) = torch.autograd.grad(value, weight)
    u, s, vh = np.linalg.svd(weight.detach().numpy())
    assert value.item() == pytest.approx(s[0] ** 2, rel=1e-12)
    assert np.allclose(gradient.numpy(), 2 * s[0] * np.outer(u[:, 0], vh[0]), atol=1e-12)


def test_penalties_by_hand():
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    with torch.no_grad():
        layers[0].weight.copy_(torch.diag(torch.tensor([3.0, -4.0])))
        layers[1].weight.copy_(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
    assert float(penalty(layers, PENALTY, 0.5).detach()) == pytest.approx(0.5 * (16 + 4))
    assert float(penalty(layers, DECAY, 0.5).detach()) == pytest.approx(0.5 * (25 + 4))
    assert penalty(layers, NONE, 0.0) == penalty(layers, NORMALISED, 2.0) == 0
    with pytest.raises(ValueError, match="expected one of none, penalty"):
        penalty(layers, "dropout", 1.0)


def test_networks_have_the_activation_that_is_asked_for():
    for name, kind in networks.ACTIVATIONS.items():
        model = network(name, seed=3)
        assert [type(layer) for layer in model][2::2] == [kind, kind]
        assert torch.equal(model[1].weight, network("sigmoid", seed=3)[1].weight)
    with pytest.raises(ValueError, match="expected one of sigmoid, ReLU"):
        network("tanh", seed=0)


def norms(model: nn.Module) -> list[float]:
    return [float(torch.linalg.matrix_norm(layer.weight.detach().double(), ord=2)) for layer in weight_layers(model)]


def test_training_learns_and_every_method_holds_the_layers_back(blobs):
    free = fit(network("ReLU", seed=0), NONE, 0.0, blobs, seed=0)
    assert float((free(blobs.images).argmax(1) == blobs.labels).double().mean()) > 0.9
    held = fit(network("ReLU", seed=0), PENALTY, 0.3, blobs, seed=0)
    assert all(one < 0.9 * other for one, other in zip(norms(held), norms(free), strict=True))
    decayed = fit(network("ReLU", seed=0), DECAY, 0.3, blobs, seed=0)
    sizes = [[float(layer.weight.detach().norm()) for layer in weight_layers(model)] for model in (decayed, free)]
    assert all(one < 0.9 * other for one, other in zip(*sizes, strict=True))
    normal = fit(network("ReLU", seed=0), NORMALISED, 0.5, blobs, seed=0)
    assert norms(normal) == pytest.approx([2, 2, 2], rel=0.1)
    assert not any(hasattr(layer, "parametrizations") for layer in weight_layers(normal))


def test_weights_are_kept_and_seeds_differ(blobs, tmp_path, monkeypatch):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    one = networks.bounded("sigmoid", NORMALISED, 0.5, blobs, seed=0)
    assert not one.training and not one[1].weight.requires_grad
    monkeypatch.setattr(networks, "fit", functools.wraps(networks.fit)(lambda *_, **__: pytest.fail("trained twice")))
    again = networks.bounded("sigmoid", NORMALISED, 0.5, blobs, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    monkeypatch.undo()
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    other = networks.bounded("sigmoid", NORMALISED, 0.5, blobs, seed=1)
    assert not torch.equal(one[1].weight, other[1].weight)


@pytest.mark.parametrize(("method", "strength"), [("dropout", 1.0), (NONE, 1.0), (PENALTY, 0.0), (DECAY, -1.0)])
def test_settings_that_are_none_are_refused(blobs, method, strength, tmp_path, monkeypatch):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="expected a method of none, penalty"):
        networks.bounded("sigmoid", method, strength, blobs, seed=0)
    assert not list(tmp_path.iterdir())  # and nothing was trained
