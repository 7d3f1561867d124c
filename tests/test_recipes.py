"""The zoo: shapes, seeds, sizes by recipe, and the order of the layers with weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.models.recipes import RECIPES, TABLE1_MODELS, Standardize, build, recipe, weight_layers

# Weights and biases counted by hand from the layer sizes.
PARAMETERS = {
    "FC10(1e-4)": 784 * 10 + 10,
    "FC10(1e-2)": 784 * 10 + 10,
    "FC10(1)": 784 * 10 + 10,
    "FC100-100-10": 784 * 100 + 100 + 100 * 100 + 100 + 100 * 10 + 10,
    "FC200-200-10": 784 * 200 + 200 + 200 * 200 + 200 + 200 * 10 + 10,
    "FC123-456-10": 784 * 123 + 123 + 123 * 456 + 456 + 456 * 10 + 10,
    "AE400-10": 784 * 400 + 400 + 400 * 10 + 10,
    "ConvNet": 32 * 25 + 32 + 64 * 32 * 25 + 64 + 1024 * 200 + 200 + 200 * 10 + 10,
}


def test_every_recipe_is_counted():
    assert set(PARAMETERS) == set(RECIPES)
    assert all(key == value.name for key, value in RECIPES.items())
    assert set(TABLE1_MODELS) < set(RECIPES) and len(TABLE1_MODELS) == 6


@pytest.mark.parametrize("name", PARAMETERS)
def test_shapes_sizes_and_seeds(name):
    model = build(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (3, 10) and logits.dtype == torch.float32 and logits.isfinite().all()
    assert not torch.allclose(logits.sum(1), torch.ones(3))  # logits, not probabilities
    assert logits.min() < 0  # and no ReLU or sigmoid at the end
    assert torch.equal(build(name)(images), logits)
    assert not torch.equal(build(name, seed=1)(images), logits)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_build_does_not_depend_on_the_global_generator(name):
    torch.manual_seed(1)
    first = build(name)
    torch.manual_seed(2)
    second = build(name)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "ConvNet"])
def test_layers_follow_the_recipe(name):
    layers = weight_layers(build(name))
    assert [layer.out_features for layer in layers] == [*recipe(name).hidden, 10]
    assert [layer.in_features for layer in layers] == [784, *recipe(name).hidden]
    if recipe(name).kind == "fc":
        assert len(recipe(name).decay) == len(layers)
    sigmoids = [layer for layer in build(name) if isinstance(layer, nn.Sigmoid)]
    assert len(sigmoids) == len(recipe(name).hidden)


def test_weight_layers_from_input_to_output():
    layers = weight_layers(build("ConvNet"))
    assert [tuple(layer.weight.shape) for layer in layers] == [(32, 1, 5, 5), (64, 32, 5, 5), (200, 1024), (10, 200)]
    assert weight_layers(nn.ReLU()) == []


def test_a_single_linear_layer_by_hand():
    model = build("FC10(1)")
    image = torch.rand(1, 1, 28, 28)
    torch.testing.assert_close(model(image), image.flatten(1) @ model[-1].weight.T + model[-1].bias)
    assert (model[-1].bias == 0).all()


def test_standardize_by_hand():
    shifted = Standardize(0.5, 0.25)(torch.tensor([[0.0, 0.5, 1.0]]))
    assert shifted.tolist() == [[-2.0, 0.0, 2.0]]
    assert sum(isinstance(layer, Standardize) for layer in build("ConvNet")) == 1


def test_an_unknown_name_lists_the_known_ones():
    for call in (recipe, build):
        with pytest.raises(KeyError, match=r"got 'FC11'; expected one of FC10\(1e-4\), .*ConvNet"):
            call("FC11")
