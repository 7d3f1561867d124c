"""The bound of a whole network: a walk over its layers, a product that no pair of images exceeds, named refusals."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from intriguing.lipschitz.certificates import global_certificate, smallest
from intriguing.lipschitz.network import lipschitz_bound, network_bound
from intriguing.lipschitz.norms import conv_norm
from intriguing.models.recipes import Standardize, build


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


def linear(classes: int = 5, pixels: int = 30) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes)).eval().requires_grad_(False)


@pytest.mark.parametrize("name", ["FC10(1)", "FC100-100-10", "ConvNet"])
def test_no_lead_changes_faster_than_the_bound(name):
    model = build(name, seed=3).eval().requires_grad_(False)
    bound = lipschitz_bound(model, known={Standardize: lambda layer, size: 1 / layer.std})
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(64, 1, 28, 28, generator=generator)
    for size in (1e-2, 1.0):
        y = x + size * torch.randn(x.shape, generator=generator)
        change = model(y) - model(x)
        leads = (change[:, :, None] - change[:, None, :]).abs().amax((1, 2))
        assert bool((leads <= bound * (y - x).flatten(1).norm(dim=1)).all())


def test_the_bound_of_a_linear_network_is_its_largest_difference_of_rows():
    model = linear()
    weight = model[1].weight.double()
    largest = max(float((a - b).norm()) for a in weight for b in weight)
    assert lipschitz_bound(model) == pytest.approx(largest)


def test_a_network_of_zeros_stretches_nothing():
    model = linear()
    model[1].weight.zero_()
    assert lipschitz_bound(model) == 0


def test_the_bound_of_a_convolution_is_above_its_matrix():
    layer = nn.Conv2d(2, 3, 3)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(3 * 16, 2)).eval().requires_grad_(False)
    basis = torch.eye(2 * 36).view(-1, 2, 6, 6)
    matrix = (layer(basis) - layer(torch.zeros_like(basis))).flatten(1)
    difference = model[2].weight[0] - model[2].weight[1]
    norm = float(torch.linalg.matrix_norm(matrix.double(), 2) * difference.double().norm())
    assert norm <= lipschitz_bound(model) <= 3 * norm


def test_a_convolution_counts_by_its_largest_sums_over_outputs_and_over_inputs():
    layer, last = nn.Conv2d(2, 3, 1, dtype=torch.float64), nn.Linear(3, 2, dtype=torch.float64)
    model = nn.Sequential(layer, nn.Flatten(), last).eval().requires_grad_(False)
    layer.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0], [-5.0, 6.0]]).view(3, 2, 1, 1))
    last.weight.copy_(torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 4.0]]))
    # Largest sums of absolute weights: 12 over outputs, 11 over inputs; the rows of the last layer are 5 apart.
    assert lipschitz_bound(model) == pytest.approx(5 * (12 * 11) ** 0.5, rel=1e-8)


def hooked() -> nn.Sequential:
    model = linear()
    model[1].register_forward_hook(lambda module, given, answer: 3 * answer)
    return model


def weighing(value: float) -> nn.Sequential:
    model = linear()
    model[1].weight[0, 0] = value
    return model


class Slanted(nn.ReLU):
    """Another forward pass under a known name."""

    def forward(self, x: Tensor) -> Tensor:
        return 7 * x


class Claimed(nn.Module):
    """Has a mean and a standard deviation, and is nearly what they say on black and on white, but not in between."""

    mean, std = 0.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).to(x)


def before_a_linear_layer(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 2)).eval()


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda: before_a_linear_layer(nn.Softplus()), TypeError, "got Softplus"),
        (lambda: before_a_linear_layer(Slanted()), TypeError, "got Slanted"),
        (lambda: before_a_linear_layer(Claimed()), TypeError, "got Claimed"),
        (lambda: before_a_linear_layer(nn.MaxPool2d(2, 2, dilation=2)), TypeError, "got MaxPool2d"),
        (
            lambda: before_a_linear_layer(nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate")),
            TypeError,
            "got Conv2d",
        ),
        (lambda: linear().train(), ValueError, "in training mode"),
        (hooked, TypeError, "got Linear at '1' with a forward hook"),
        (lambda: weighing(float("nan")), ValueError, "got NaN or infinity; expected finite weights"),
        (lambda: weighing(float("inf")), ValueError, "got NaN or infinity; expected finite weights"),
        (lambda: nn.Sequential().eval(), TypeError, "expected a Sequential that ends in a linear layer"),
        (lambda: nn.ReLU().eval(), TypeError, "expected a Sequential that ends in a linear layer"),
        (lambda: before_a_linear_layer(nn.Conv2d(1, 1, 1, dtype=torch.complex64)), TypeError, "complex weights"),
        (lambda: nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64)).eval(), TypeError, "complex weights"),
    ],
)
def test_what_the_bound_cannot_see_is_refused_by_name(model, error, message):
    with pytest.raises(error, match=message):
        lipschitz_bound(model())


@pytest.mark.parametrize("scale", [1.0, 1e-60, 1e-250])
def test_the_bound_is_rounded_upward_whatever_the_size_of_the_weights(scale):
    """Powers of two are exact, so that anything below them would be no bound."""
    layers = [nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in range(8)]
    last = nn.Linear(1, 2, bias=False, dtype=torch.float64)
    model = nn.Sequential(*layers, last).eval().requires_grad_(False)
    for i, layer in enumerate(layers):
        layer.weight.fill_(scale if i % 2 else 1 / scale)  # every other product underflows if taken in order of size
    last.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    assert 2 <= lipschitz_bound(model) <= 2 * (1 + 2e-9)


def test_a_parametrised_weight_counts_as_it_is_applied():
    model, plain = linear(), linear()
    parametrize.register_parametrization(model[1], "weight", Doubled())
    assert lipschitz_bound(model.eval()) == pytest.approx(2 * lipschitz_bound(plain))


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_rows_count_by_their_differences_however_small_these_are():
    for apart in (1e-45, 1e-161, 1e-200, 1e-300):
        model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, dtype=torch.float64)).eval().requires_grad_(False)
        model[1].weight.copy_(torch.tensor([[1.0, apart], [1.0, 0.0]], dtype=torch.float64))
        assert lipschitz_bound(model) == pytest.approx(apart, rel=1e-9, abs=0) and lipschitz_bound(model) >= apart


def test_a_pruned_weight_counts_with_its_mask():
    model, plain = linear(), linear()
    prune.random_unstructured(model[1], "weight", 0.5)
    plain[1].weight.mul_(model[1].weight_mask)
    model[1].weight_orig.detach().mul_(3)  # what stands in weight is that of before
    assert lipschitz_bound(model) == pytest.approx(3 * lipschitz_bound(plain))


def test_groups_and_pooling_count_for_images_of_any_size():
    layers = nn.Conv2d(2, 4, 3, padding="valid"), nn.Conv2d(4, 4, 2, groups=2), nn.AvgPool2d(2), nn.MaxPool2d(3, 2)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 3)).eval().requires_grad_(False)
    rows = model[-1].weight.double()
    leads = max(float((a - b).norm()) for a in rows for b in rows)
    sums = layers[0].weight.double().abs()
    first = float(sums.sum((0, 2, 3)).max() * sums.sum((1, 2, 3)).max()) ** 0.5
    expected = first * conv_norm(layers[1].weight, groups=2) * 0.5 * 2 * leads
    assert lipschitz_bound(model) == pytest.approx(expected, rel=1e-8)


def test_a_mean_over_the_image_counts_for_images_of_any_size():
    def pooled(size: int) -> nn.Sequential:
        return nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Flatten(), nn.Linear(4 * size**2, 3)).eval()

    model = pooled(1)
    rows = model[-1].weight.detach().double()
    assert lipschitz_bound(model) == pytest.approx(max(float((a - b).norm()) for a in rows for b in rows))
    with pytest.raises(
        TypeError, match="^got AdaptiveAvgPool2d.* at '0', .* depends on the size.*; take network_bound"
    ):
        lipschitz_bound(pooled(2))
    assert network_bound(pooled(2), (4, 8, 8)).norms[0] == pytest.approx(0.25)


def test_networks_without_classes_or_units_stretch_nothing():
    for widths in ((4, 0), (0, 3)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, when it draws no weights
            model = nn.Sequential(nn.Flatten(), nn.Linear(4, widths[0]), nn.ReLU(), nn.Linear(*widths)).eval()
        assert lipschitz_bound(model) == 0


def test_what_is_said_of_other_layers_is_looked_at():
    """By all that takes it, in one sentence, and without the traceback of a function of the user's."""
    model, images, targets = before_a_linear_layer(Claimed()), torch.rand(2, 1, 2, 2), torch.zeros(2).long()
    calls = {
        "network_bound": lambda known: network_bound(model, (1, 2, 2), known=known),
        "lipschitz_bound": lambda known: lipschitz_bound(model, known=known),
        "global_certificate": lambda known: global_certificate(model, images, targets, known=known),
        "smallest": lambda known: smallest(model, images, known=known),
    }
    for call in calls.values():
        for strange in ([Claimed], {Claimed: 2.0}, {model[0]: lambda layer, size: 2.0}, 3, {"Claimed": float}):
            with pytest.raises(TypeError, match="^got known .*; expected classes with functions; write"):
                call(strange)
        for answer in ("a", 2j, torch.ones(3), [], math.nan, -1.0, torch.tensor(-1.0)):
            with pytest.raises(ValueError, match="^got the bound .* for Claimed at '0'; expected a number .*; correct"):
                call({Claimed: lambda layer, size, answer=answer: answer})
        with pytest.raises(ValueError, match="^got the bound TypeError: .* for Claimed at '0'; expected"):
            call({Claimed: lambda layer: 2.0})
        with pytest.raises(TypeError, match="^got Claimed.* at '0'; expected layers with a known bound"):
            call({Claimed: lambda layer, size: None})
        call({Claimed: lambda layer, size: torch.tensor(2.0)})
