"""Certificates against closed forms on linear networks, and against what an attack and random steps find."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.lipschitz import certificates
from intriguing.lipschitz.certificates import global_certificate, local_certificate, runners_up, smallest
from intriguing.lipschitz.norms import layer_norm, linear_norm


def network(*widths: int, scale: float = 1.0, seed: int = 0) -> nn.Sequential:
    """A fully connected network of sigmoids with random weights."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in zip(widths[:-2], widths[1:-1], strict=True):
        layers += [nn.Linear(before, after), nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1])).eval().requires_grad_(False)
    for layer in model[1::2]:
        layer.weight *= scale
    return model


def images(count: int, pixels: int = 9) -> torch.Tensor:
    return torch.rand(count, 1, 1, pixels, generator=torch.Generator().manual_seed(5))


def test_linear_networks_are_certified_up_to_the_boundary():
    model, pictures = network(9, 4), images(20)
    targets = runners_up(model, pictures)
    found = local_certificate(model, pictures, targets)
    weight, bias = model[1].weight.double(), model[1].bias.double()
    logits = pictures.double().flatten(1) @ weight.T + bias
    rows = weight[found.predictions] - weight[targets]
    expected = (logits.amax(1) - logits.gather(1, targets[:, None])[:, 0]) / rows.norm(dim=1)
    assert torch.allclose(found.radius, expected)
    # At the certified distance, along the gradient, the two logits are equal.
    edge = pictures.double().flatten(1) - found.radius[:, None] * rows / rows.norm(dim=1, keepdim=True)
    gap = ((edge @ weight.T + bias) * (nn.functional.one_hot(found.predictions, 4)
           - nn.functional.one_hot(targets, 4))).sum(1)  # fmt: skip
    assert float(gap.abs().max()) < 1e-9
    assert torch.allclose(found.rms(9), found.radius / 3)


@pytest.mark.parametrize("widths", [(9, 6, 4), (9, 7, 6, 4), (9, 6, 6, 5, 4)])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_no_step_within_the_radius_reaches_the_target(widths, scale):
    model, pictures = network(*widths, scale=scale), images(30)
    double = network(*widths, scale=scale).double()
    for targets in (runners_up(model, pictures), (runners_up(model, pictures) + 1) % 4):
        whole, local = global_certificate(model, pictures, targets), local_certificate(model, pictures, targets)
        assert bool((local.radius >= whole.radius).all())
        assert float(local.radius.sum()) >= (1.02 if scale > 1 else 1) * float(whole.radius.sum())
        start = pictures.double()
        worst = start.clone()
        for _ in range(40):  # projected gradient descent of the margin in the ball
            worst.requires_grad_()
            logits = double(worst)
            margin = (logits.gather(1, local.predictions[:, None]) - logits.gather(1, targets[:, None]))[:, 0]
            (gradient,) = torch.autograd.grad(margin.sum(), worst)
            size = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
            step = (worst - gradient * (local.radius / size / 4)[:, None, None, None]).detach() - start
            length = step.flatten(1).norm(dim=1).clamp(min=1e-12)
            worst = start + step * (local.radius / length).clamp(max=1)[:, None, None, None]
        logits = double(worst)
        margin = (logits.gather(1, local.predictions[:, None]) - logits.gather(1, targets[:, None]))[:, 0]
        assert bool((margin[local.margins > 0] > -1e-9).all())


def test_the_attack_never_ends_below_the_certificate():
    model, pictures = network(9, 8, 6, 4, scale=8.0, seed=3), images(40)
    targets = runners_up(model, pictures)
    found = minimum_distortion(model, pictures, targets, refine=True)
    radius = local_certificate(model, pictures, targets).rms(9)
    assert bool(found.success.any())
    assert bool((radius <= found.rms)[found.success].all())
    assert float((radius / found.rms)[found.success].max()) > 0.3


@pytest.mark.parametrize("edge", [0.45, 0.6, 0.9])
def test_a_saturated_unit_is_followed_to_where_it_wakes(edge):
    # One pixel, one sigmoid: at 0 it is asleep with slope sigma'(-6), and the slope grows a hundredfold on the way. The
    # margin is sigmoid(12 edge - 6) - sigmoid(12 x - 6), which is 0 at x = edge.
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.Sigmoid(), nn.Linear(1, 2)).eval().requires_grad_(False)
    level = torch.sigmoid(torch.tensor(12 * edge - 6, dtype=torch.float64))
    for tensor, value in zip(model.parameters(), ([[12.0]], [-6.0], [[0.0], [1.0]], [float(level), 0.0]), strict=True):
        tensor.copy_(torch.tensor(value))
    found = local_certificate(model, torch.zeros(1, 1, 1, 1), torch.tensor([1]))
    assert 0.9 * min(edge, 0.5) <= float(found.radius) <= edge + 1e-6


def test_the_smallest_radius_is_that_of_some_class():
    model, pictures = network(9, 6, 4), images(6)
    radius = smallest(model, pictures)
    classes = [global_certificate(model, pictures, torch.full((6,), c)) for c in range(4)]
    others = torch.stack(
        [found.radius.masked_fill(found.predictions == c, torch.inf) for c, found in enumerate(classes)]
    )
    assert torch.allclose(radius, others.amin(0), rtol=1e-12)
    assert bool((classes[2].radius[classes[2].predictions == 2] == 0).all())


def test_other_networks_are_refused():
    with pytest.raises(TypeError, match="ends in a linear layer"):
        global_certificate(nn.Sequential(nn.Linear(9, 4), nn.ReLU()).eval(), images(2), torch.zeros(2).long())
    rectified = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    found = global_certificate(rectified, images(9), runners_up(rectified, images(9)))
    first, last = rectified[1].weight.detach().double(), rectified[3].weight.detach().double()
    rows = (last[found.predictions] - last[runners_up(rectified, images(9))]).norm(dim=1)
    assert torch.allclose(found.radius, found.margins / torch.linalg.svdvals(first)[0] / rows, rtol=1e-9)
    assert float(found.radius.min()) > 0
    with pytest.raises(TypeError, match="use the global certificate"):
        local_certificate(rectified, images(2), torch.zeros(2).long())


def test_networks_without_biases_and_nested_chains():
    model = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Linear(9, 6, bias=False), nn.Sigmoid()), nn.Linear(6, 4, bias=False)
    ).eval()
    plain = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.Sigmoid(), nn.Linear(6, 4)).eval().requires_grad_(False)
    for layer, source in ((plain[1], model[1][0]), (plain[3], model[2])):
        layer.weight.copy_(source.weight.detach())
        layer.bias.zero_()
    targets = runners_up(model, images(12))
    found, expected = (local_certificate(one, images(12), targets) for one in (model, plain))
    assert torch.equal(found.radius, expected.radius) and float(found.radius.min()) > 0


def test_of_two_classes_the_other_one_comes_second():
    model, pictures = network(9, 6, 2, scale=8.0, seed=1), images(40)
    second = runners_up(model, pictures)
    assert torch.equal(second, 1 - model(pictures).argmax(1)) and second.unique().numel() == 2
    with pytest.raises(ValueError, match="got logits of one class; expected at least two"):
        runners_up(network(9, 6, 1), pictures)


@pytest.mark.parametrize("widths", [(9, 6, 4), (9, 7, 6, 4), (9, 6, 6, 5, 4)])
def test_slopes_differ_by_less_than_is_allowed_for_them(widths):
    """The slope of the margin at the end of a random step, against the bound of its change within the ball."""
    model, start = network(*widths, scale=4.0).double(), images(40).double().flatten(1)
    weights = certificates._sigmoid_layers(model, images(40).double())
    rows = weights[-1][0][torch.arange(40) % 3] - weights[-1][0][3]
    layers, steep = certificates._at_the_images(weights, start, rows)
    bounds = [linear_norm(weight) for weight, _ in weights]
    step, chance = torch.linspace(0.01, 1.5, 40).double(), torch.Generator().manual_seed(0)

    def slopes(x):
        x = x.clone().requires_grad_()
        (found,) = torch.autograd.grad((model(x[:, None, None]) * head).sum(), x)
        return found

    head = torch.nn.functional.one_hot(torch.arange(40) % 3, 4).double()
    head[:, 3] = -1
    torch.testing.assert_close(steep, slopes(start).norm(dim=1))
    allowed = certificates._deviation(weights, rows, layers, bounds, [torch.zeros_like(one.z) for one in layers], step)
    most = torch.zeros(40, dtype=torch.float64)
    for _ in range(200):
        way = torch.nn.functional.normalize(torch.randn(start.shape, generator=chance).double(), dim=1)
        most = torch.maximum(most, (slopes(start + step[:, None] * way) - slopes(start)).norm(dim=1))
    assert (most <= allowed).all() and (allowed < 100 * most).all()


def test_no_ball_is_smaller_than_the_slope_of_the_whole_network_allows():
    """In steep networks little is known of the sigmoids, but no slope exceeds the product of norms and quarters."""
    model, pictures = network(9, 6, 6, 4, scale=40.0).double(), images(20).double()
    weights = certificates._sigmoid_layers(model, pictures)
    rows = weights[-1][0][torch.arange(20) % 3] - weights[-1][0][3]
    margins = torch.linspace(0.1, 9, 20, dtype=torch.float64)
    radius = margins / (rows.norm(dim=1) * 0.25**2 * linear_norm(weights[0][0]) * linear_norm(weights[1][0]))
    found = certificates._march(weights, pictures.flatten(1), rows, margins, radius / 2)
    assert (found >= radius * (1 - 1e-6)).all()


def test_where_slopes_are_at_their_largest_the_slope_of_the_whole_network_is_the_limit():
    one = torch.ones(1, 1, dtype=torch.float64)
    weights = [(4 * one, -2 * one[0])] * 2 + [(one, 0 * one[0])]  # at 0.5 both pre-activations are 0; a slope of 1
    found = certificates._march(weights, one / 2, one, 0.1 * one[0], 0.05 * one[0])
    assert float(found) == pytest.approx(0.1, rel=1e-6)


def test_no_images_have_no_certificates():
    model, none = network(9, 6, 5, 4), torch.zeros(0, 1, 1, 9)
    for make in (global_certificate, local_certificate):
        found = make(model, none, torch.zeros(0).long())
        assert found.radius.shape == found.margins.shape == found.predictions.shape == (0,)
    assert smallest(model, none).shape == runners_up(model, none).shape == (0,)


POWERS = [(-30, 30), (30, -30), (-300, 300), (-400, -400), (400, 400), (-1000, 500), (500, -1000)]


@pytest.mark.parametrize("powers", POWERS)
def test_a_rescaled_network_is_certified_as_itself(powers):
    # A rectifier passes a factor on: scaled up in one layer and down in the other, this is the same network. Scaled by
    # other factors its logits are, and its distances stay the same.
    torch.manual_seed(2)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(9, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False)).double()
    plain.eval().requires_grad_(False)
    scaled = nn.Sequential(nn.Flatten(), nn.Linear(9, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False)).double()
    scaled.eval().requires_grad_(False)
    for layer, source, power in ((scaled[1], plain[1], powers[0]), (scaled[3], plain[3], powers[1])):
        layer.weight.copy_(source.weight * 2.0 ** (power // 2) * 2.0 ** (power - power // 2))
    targets = runners_up(plain, images(10))
    expected, found = (global_certificate(model, images(10), targets) for model in (plain, scaled))
    ratio = found.radius / expected.radius
    assert float(ratio.max()) <= 1 + 1e-8 and float(ratio.min()) > (0.9 if min(powers) < -900 else 1 - 1e-8)


@pytest.mark.parametrize("power", [-700, -300, -30, 0, 30, 300])
def test_the_local_certificate_of_extreme_weights_is_never_above_the_boundary(power):
    # One pixel, one sigmoid of slope 1/4 at 0, and a last layer of any size; the margin ends at x = 1/2.
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.Sigmoid(), nn.Linear(1, 2)).double().eval()
    model.requires_grad_(False)
    scale = 2.0**power
    edge = float(torch.sigmoid(torch.tensor(0.5, dtype=torch.float64)))
    for tensor, value in zip(model.parameters(), ([[1.0]], [0.0], [[0.0], [scale]], [edge * scale, 0.0]), strict=True):
        tensor.copy_(torch.tensor(value, dtype=torch.float64))
    found = local_certificate(model, torch.zeros(1, 1, 1, 1), torch.tensor([1]))
    assert 0.4 < float(found.radius) <= 0.5


def test_rows_that_cancel_are_bounded_by_what_is_left():
    # The second layer undoes the first but for one part in 10^12, which a Gram matrix cannot see.
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(1, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid(), nn.Linear(1, 2)
    ).double().eval().requires_grad_(False)  # fmt: skip
    bend = 1 + 1e-9
    values = ([[1.0], [bend]], [0.0, 0.0], [[1e4, -1e4]], [0.0], [[0.0], [1.0]], [0.5 - 1e-7, 0.0])
    for tensor, value in zip(model.parameters(), values, strict=True):
        tensor.copy_(torch.tensor(value, dtype=torch.float64))
    x = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None, None, None]
    logits = model(x)
    end = x.flatten()[logits[:, 1] < logits[:, 0]]
    found = local_certificate(model, torch.zeros(1, 1, 1, 1), torch.tensor([0]))
    assert int(found.predictions) == 1 and float(found.radius) <= (float(end[0]) if len(end) else math.inf)


@pytest.mark.parametrize("apart", [1e-8, 1e-9, 1e-10, 1e-11])
def test_norms_of_rows_that_cancel_are_never_below_the_product_itself(apart):
    ones = torch.ones(1, 1, dtype=torch.float64)
    first = torch.tensor([[1.0], [1 + apart]], dtype=torch.float64)
    second = torch.tensor([[1e4, -1e4]], dtype=torch.float64)
    zeros = torch.zeros(2, dtype=torch.float64)
    x = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
    layers, _ = certificates._at_the_images([(first, zeros), (second, zeros[:1]), (ones, zeros[:1])], x, ones)
    slopes = torch.sigmoid(x @ first.T) * (1 - torch.sigmoid(x @ first.T))
    exact = ((second * slopes) @ first).abs()
    assert bool((layers[1].rows >= exact).all()) and bool((layers[1].size[:, None] >= exact).all())


def test_a_class_that_cannot_win_and_rows_that_are_equal():
    model = network(9, 4)
    model[1].bias[2] = -torch.inf
    model[1].weight[3] = model[1].weight[1]
    model[1].bias[3] = model[1].bias[1] - 1  # always one below its twin
    pictures = images(20)
    targets = torch.full((20,), 2)
    assert bool((global_certificate(model, pictures, targets).radius == torch.inf).all())
    found = global_certificate(model, pictures, torch.full((20,), 3))
    twins = found.predictions == 1
    assert bool(twins.any()) and bool((found.radius[twins] == torch.inf).all())
    without = nn.Sequential(nn.Flatten(), _without(model, 2)).eval()
    assert torch.equal(smallest(model, pictures), smallest(without, pictures))


def _without(model: nn.Sequential, row: int) -> nn.Linear:
    """The last layer without one of its classes."""
    keep = [i for i in range(4) if i != row]
    layer = nn.Linear(9, 3).requires_grad_(False)
    layer.weight.copy_(model[1].weight[keep])
    layer.bias.copy_(model[1].bias[keep])
    return layer


def test_margins_within_rounding_certify_nothing():
    # Two logits of 10^12 that differ by less than their last digit is worth.
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).double().eval().requires_grad_(False)
    model[1].weight.copy_(torch.tensor([[1e12, -1e12], [-1e12, 1e12]]))
    model[1].bias.copy_(torch.tensor([1e-5, 0.0]))
    for make in (global_certificate, local_certificate):
        found = make(model, torch.full((1, 1, 1, 2), 0.3), torch.tensor([1]))
        assert float(found.radius) == 0


def crossed(ahead: float) -> tuple[nn.Sequential, torch.Tensor]:
    """A network whose logits cancel but for a lead of the first one, and the image on which they do."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2)).double().eval()
    model.requires_grad_(False)
    model[1].weight.copy_(torch.eye(2))
    model[1].bias.zero_()
    model[3].weight.copy_(torch.tensor([[1e5, -1e5], [-1e5, 1e5]]))
    model[3].bias.copy_(torch.tensor([ahead, 0.0]))
    return model, torch.full((1, 1, 1, 2), 0.3, dtype=torch.float64)


def test_margins_within_the_rounding_of_a_hidden_layer_certify_nothing():
    for bias, sure in ((1e-8, False), (1.0, True)):
        found = local_certificate(*crossed(bias), torch.tensor([1]))
        assert float(found.margins) == pytest.approx(bias, abs=1e-9) and bool(found.radius > 0) is sure


def test_what_rounding_may_have_given_a_margin_certifies_nothing():
    unit = 1 / (1 + math.exp(-0.3))
    unsure = certificates.ROUNDING * 4e5 * unit  # of the sums of both logits
    found = local_certificate(*crossed(2 * unsure), torch.tensor([1]))
    slope = 2e5 * 2**0.5 * unit * (1 - unit)
    margin = float(found.margins)
    assert margin == pytest.approx(2 * unsure, rel=0.01)
    assert float(found.radius) <= (margin - unsure) / slope * (1 + 1e-6)


def chain(*layers: nn.Module | tuple[list, list]) -> nn.Sequential:
    """A network in float64 of layers, or of weights and biases of linear ones."""
    made: list[nn.Module] = [nn.Flatten()]
    for layer in layers:
        if isinstance(layer, tuple):
            weight, bias = (torch.tensor(value, dtype=torch.float64) for value in layer)
            layer = nn.Linear(*weight.T.shape, dtype=torch.float64)
            layer.load_state_dict({"weight": weight, "bias": bias})
        made.append(layer)
    return nn.Sequential(*made).eval().requires_grad_(False)


HEAD = [[1.0], [0.0]]
CANCELLING = {
    "a bias": chain(([[1.0]], [1e17]), ([[1.0]], [-1e17]), (HEAD, [-0.1, 0.0])),
    "a bias before a rectifier": chain(([[1.0]], [1e6]), nn.ReLU(), ([[1.0]], [-1e6]), (HEAD, [-0.3 + 3e-11, 0.0])),
    "large weights": chain(([[1e9], [1e9]], [1e9, 0.0]), ([[1.0, -1.0]], [-1e9]), (HEAD, [0.0, 1e-9])),
    "sigmoids": chain(([[1.0]], [0.0]), nn.Sigmoid(), ([[1e9], [1e9]], [0.0, 0.0]), nn.Sigmoid(),
                      ([[1.0, -1.0]], [0.0]), (HEAD, [0.0, 1e-14])),
}  # fmt: skip


@pytest.mark.parametrize("where", CANCELLING)
def test_what_rounding_may_have_taken_in_a_hidden_layer_certifies_nothing(where):
    """What cancels between two hidden layers has lost its last digits, whatever the logits look like."""
    pictures = torch.full((1, 1), 0.3, dtype=torch.float64)
    for target in (0, 1):
        assert float(global_certificate(CANCELLING[where], pictures, torch.tensor([target])).radius) == 0


def test_pre_activations_are_known_up_to_what_rounding_may_have_done():
    """Against numbers with eleven more bits."""
    model = network(9, 7, 6, 4, scale=4.0).double()
    weights = certificates._sigmoid_layers(model, images(40).double())
    exact = images(40).flatten(1).double().numpy().astype(np.longdouble)
    found, _ = certificates._at_the_images(weights, images(40).flatten(1).double(), torch.ones(40, 6).double())
    for layer, (weight, bias) in zip(found, weights[:-1], strict=True):
        z = (exact @ weight.numpy().astype(np.longdouble).T) + bias.numpy()
        away = np.abs(layer.z.numpy() - z)
        assert (away <= layer.unsure.numpy()).all() and away.max() > 1e-4 * float(layer.unsure.max())
        exact = 1 / (1 + np.exp(-z))


def test_statistics_that_cancel_certify_nothing():
    # Exactly, class 0 leads where a pixel is above 1/8; in float64 a bias of 2^55 takes the pixel away.
    norm = nn.BatchNorm1d(1, eps=0.0, affine=False)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), norm, nn.ReLU(), nn.Linear(1, 2)).eval().requires_grad_(False)
    for tensor, value in zip(model.parameters(), ([[1.0]], [2.0**55], HEAD, [0.0, 0.125]), strict=True):
        tensor.copy_(torch.tensor(value))
    norm.running_mean.fill_(2.0**55)
    for target in (0, 1):
        assert float(global_certificate(model, torch.tensor([[0.45]]), torch.tensor([target])).radius) == 0


class Normalised(nn.Module):
    """Of every image, so that a black one is none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


def test_a_layer_that_is_not_defined_on_a_black_image_is_certified_on_others():
    torch.manual_seed(0)
    model, pictures = nn.Sequential(nn.Flatten(), Normalised(), nn.Linear(9, 4)).eval(), images(6)
    known = {Normalised: lambda layer, size: 5.0}
    targets = runners_up(model, pictures)
    found = global_certificate(model, pictures, targets, known=known)
    rows = model[2].weight.detach().double()
    apart = (rows[found.predictions] - rows[targets]).norm(dim=1)
    assert float(found.radius.min()) > 0 and torch.allclose(found.radius, found.margins / 5 / apart, rtol=1e-9)
    with pytest.raises(ValueError, match="^got NaN from Normalised at '1'; expected finite outputs .*; leave out"):
        global_certificate(model, torch.zeros_like(pictures), targets, known=known)


def test_a_known_bound_that_is_infinite_certifies_nothing_and_one_of_zero_everything():
    model, pictures = nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(9, 4)).eval(), torch.zeros(3, 1, 1, 9)
    targets = runners_up(model, pictures)
    for norm, radius in ((math.inf, 0.0), (0.0, math.inf)):
        found = global_certificate(model, pictures, targets, known={nn.Tanh: lambda layer, size, norm=norm: norm})
        assert found.radius.tolist() == [radius] * 3


def test_statistics_of_the_images_themselves_are_a_matter_of_what_is_known():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2, track_running_stats=False)
    model = nn.Sequential(nn.Conv2d(1, 2, (1, 3)), norm, nn.ReLU(), nn.Flatten(), nn.Linear(14, 3)).eval()
    targets = runners_up(model, images(5))
    with pytest.raises(TypeError, match="got BatchNorm2d.* at '1'; expected layers with a known bound"):
        global_certificate(model, images(5), targets)
    found = global_certificate(model, images(5), targets, known={nn.BatchNorm2d: lambda layer, size: 3.0})
    rows = model[4].weight.detach().double()
    slope = 3 * layer_norm(model[0], (1, 1, 9)) * (rows[found.predictions] - rows[targets]).norm(dim=1)
    assert torch.allclose(found.radius, found.margins / slope, rtol=1e-9)


def test_the_radii_of_deep_networks_keep_their_digits():
    torch.manual_seed(0)
    widths = [9, *[64] * 20]
    layers = [[nn.Linear(*pair), nn.ReLU()] for pair in zip(widths, widths[1:], strict=False)]
    for layer, _ in layers:
        nn.init.kaiming_normal_(layer.weight)
    model = nn.Sequential(nn.Flatten(), *(part for pair in layers for part in pair), nn.Linear(64, 10)).eval()
    pictures = images(6)
    found = global_certificate(model, pictures, runners_up(model, pictures))
    norms = math.prod(linear_norm(layer.weight) for layer, _ in layers)
    rows = model[-1].weight.detach().double()
    exact = found.margins / norms / (rows[found.predictions] - rows[runners_up(model, pictures)]).norm(dim=1)
    assert bool((found.radius <= exact).all()) and float((found.radius / exact).median()) > 1 - 2e-3


def test_what_hidden_layers_put_out_is_known_up_to_what_rounding_may_have_done():
    """Against fractions, layer by layer."""

    def exact(values: torch.Tensor) -> np.ndarray:
        return np.vectorize(Fraction, otypes=[object])(values.numpy())

    def away(outputs: torch.Tensor, truth: np.ndarray) -> torch.Tensor:
        off = (exact(outputs).reshape(len(outputs), -1) - truth.reshape(len(truth), -1)).astype(float)
        return torch.from_numpy(off).norm(dim=1)

    chance = torch.Generator().manual_seed(3)
    inputs = torch.randn(4, 3, 2, 2, generator=chance, dtype=torch.float64)
    wide = {"dtype": torch.float64}
    for scale in (1.0, 1e6):
        linear, convolution, norm = nn.Linear(12, 5, **wide), nn.Conv2d(3, 5, 2, **wide), nn.BatchNorm2d(3, 0, **wide)
        linear.bias.data *= scale
        convolution.bias.data.copy_(linear.bias)
        convolution.weight.data.copy_(linear.weight.view(5, 3, 2, 2))
        norm.running_mean.fill_(scale)
        norm.running_var.fill_(2.25)
        pixels = exact(inputs)
        products = pixels.reshape(4, 12) @ exact(linear.weight.detach()).T + exact(linear.bias.detach())
        truths = {linear: products, convolution: products, norm: (pixels - Fraction(scale)) / Fraction(1.5)}
        for layer, truth in truths.items():
            given = inputs.flatten(1) if layer is linear else inputs
            outputs = layer.eval()(given).detach()
            allowed = certificates._rounded(layer, layer_norm(layer, given.shape[1:]), given, outputs)
            off = away(outputs, truth)
            assert bool((off <= allowed).all()) and bool((allowed <= 1e-13 * (scale + 10) * 5).all())
            assert float((off / allowed).max()) > 1e-3


def test_hidden_layers_that_hold_their_digits_cost_nothing():
    """Where nothing cancels, the radius is the exact one but for its last digits."""
    model = chain(
        ([[2.0]], [0.25]),
        nn.ReLU(),
        ([[3.0]], [0.5]),
        nn.BatchNorm1d(1, eps=0.0, dtype=torch.float64),
        (HEAD, [0.0, 1.0]),
    )
    found = global_certificate(model, torch.tensor([[0.5]]), torch.tensor([1]))  # 3 (2 x + 0.25) + 0.5 against 1
    assert float(found.radius) == pytest.approx((3 * 1.25 + 0.5 - 1) / 6, rel=1e-9)
    assert float(found.radius) <= (3 * 1.25 + 0.5 - 1) / 6


@pytest.mark.parametrize("tiny", [1e-100, 1e-158, 1e-162, 1e-170, 1e-300])
def test_rows_far_below_the_others_are_certified_by_their_own_size(tiny):
    # Of three classes the first two are tiny copies of two units, and the third never leads.
    units, biases = [[4.0, 0.0], [0.0, 4.0]], [-2.0, -2.0]
    last = [[tiny, 0.0], [0.0, tiny], [0.0, 1.0]], [0.3 * tiny, 0.0, -10.0]
    usual = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0.3, 0.0, -10.0]
    pictures = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    found, expected = (
        local_certificate(chain((units, biases), nn.Sigmoid(), head), pictures, torch.tensor([1])).radius
        for head in (last, usual)
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-9)
    other = torch.tensor([[0.2, 0.8]], dtype=torch.float64)
    assert int(chain((units, biases), nn.Sigmoid(), last)(other).argmax()) == 1
    assert float(found) < float((other - pictures).norm())


@pytest.mark.parametrize("count", [2, 3, 5, 10, 17, 40])
def test_the_runner_up_is_another_class_than_the_prediction(count):
    pictures = images(3)
    for leading in range(1, count + 1):
        bias = torch.zeros(count).index_fill(0, torch.randperm(count)[:leading], 1.0)
        for rest in (0.0, -torch.inf):
            model = network(9, count)
            model[1].weight.zero_()
            model[1].bias.copy_(torch.where(bias > 0, bias, rest))
            second, first = runners_up(model, pictures), model(pictures).argmax(1)
            assert bool((second != first).all())
            assert leading == 1 or bool((model[1].bias[second] == 1).all())


def test_logits_that_cannot_be_ranked_are_refused():
    calls = [
        runners_up,
        smallest,
        *(lambda model, x, make=make: make(model, x, torch.zeros(2).long()) for make in MAKE),
    ]
    for bias in ([-torch.inf] * 3, [0.0, torch.inf, 0.0], [0.0, torch.nan, 0.0]):
        model = network(9, 3)
        model[1].bias.copy_(torch.tensor(bias))
        for call in calls:
            with pytest.raises(ValueError, match="got NaN or infinite logits; expected finite ones; look for"):
                call(model, images(2))


def test_layers_without_units_are_certified_by_their_biases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torch, that it draws no weights
        model = network(9, 0, 3)
    model[3].bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    for make in MAKE:
        found = make(model, images(2), torch.tensor([0, 1]))
        assert found.predictions.tolist() == [1, 1] and found.radius.tolist() == [math.inf, 0]


def test_a_bias_of_minus_infinity_puts_a_hidden_unit_to_sleep():
    pictures = images(4)
    for activation in (nn.ReLU, nn.Sigmoid):
        asleep, without = (
            nn.Sequential(nn.Flatten(), nn.Linear(9, 3), activation(), nn.Linear(3, 3)).eval() for _ in "ab"
        )
        asleep[1].bias.detach()[0] = -torch.inf
        without.load_state_dict(asleep.state_dict() | {"1.bias": asleep[1].bias.detach().clamp(min=-1e3)})
        targets = runners_up(asleep, pictures)
        found, expected = (global_certificate(model, pictures, targets).radius for model in (asleep, without))
        assert torch.allclose(found, expected, rtol=1e-8) and float(found.min()) > 0


@pytest.mark.parametrize("pixels", [0, -1, "a", None, math.nan, 9.0, True])
def test_a_root_mean_square_is_over_a_whole_number_of_pixels(pixels):
    found = global_certificate(network(9, 4), images(2), torch.zeros(2).long())
    with pytest.raises(ValueError, match="^got .* pixels; expected a whole number of at least 1; take"):
        found.rms(pixels)


MAKE = [global_certificate, local_certificate]


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize(
    ("pictures", "targets", "error", "words"),
    [
        (images(3), torch.zeros(1).long(), ValueError, r"got targets of shape \(1,\); expected one per image, \(3,\)"),
        (images(1), torch.zeros(3).long(), ValueError, "expected one per image"),
        (images(3), torch.zeros(3, 1).long(), ValueError, "expected one per image"),
        (images(3), torch.tensor(0), ValueError, "expected one per image"),
        (images(3), torch.zeros(3), TypeError, "got targets of torch.float32; expected int64"),
        (images(3), torch.zeros(3).int(), TypeError, "expected int64"),
        (images(3), [0, 0, 0], TypeError, "got targets of list; expected a tensor"),
        (images(3), np.zeros(3, np.int64), TypeError, "got targets of ndarray; expected a tensor"),
        (images(3), torch.full((3,), 4), ValueError, "got targets from 4 to 4; expected 0 to 3"),
        (images(3), torch.full((3,), -1), ValueError, "got targets from -1 to -1; expected 0 to 3"),
        (images(3).numpy(), torch.zeros(3).long(), TypeError, "got images of ndarray; expected a tensor"),
        ((255 * images(3)).byte(), torch.zeros(3).long(), TypeError, "got images of torch.uint8; expected floating"),
        (2 * images(3), torch.zeros(3).long(), ValueError, r"expected every pixel in \[0, 1\]"),
        (images(3) - 1, torch.zeros(3).long(), ValueError, r"expected every pixel in \[0, 1\]"),
        (images(3) * torch.nan, torch.zeros(3).long(), ValueError, "got images with NaN or infinity; expected finite"),
        (images(3)[0, 0, 0], torch.zeros(9).long(), ValueError, "expected .*; put the batch first"),
        (images(3, 8), torch.zeros(3).long(), ValueError, "which cannot take them"),
    ],
)
def test_what_does_not_belong_together_is_refused(make, pictures, targets, error, words):
    with pytest.raises(error, match=words) as caught:
        make(network(9, 6, 4), pictures, targets)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strange", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(strange):
    for place in (1, 3):
        for name in ("weight", "bias"):
            model = network(9, 6, 4)
            getattr(model[place], name).view(-1)[0] = strange
            for make in MAKE:
                if (place, name, strange) == (1, "bias", torch.inf):
                    continue  # its sigmoid is 1, and all is finite
                with pytest.raises(ValueError, match="expected finite"):
                    make(model, images(3), torch.zeros(3).long())


def test_networks_without_an_end_are_refused():
    flat = nn.Sequential(nn.Linear(9, 6), nn.Sigmoid(), nn.Linear(6, 4)).eval()
    for model in (nn.Sequential().eval(), nn.ReLU().eval(), nn.Sequential(flat, nn.Flatten()).eval()):
        with pytest.raises(TypeError, match="expected a Sequential that ends in a linear layer; take"):
            smallest(model, images(2))
    with pytest.raises(ValueError, match=r"got logits of shape \(2, 1, 1, 4\); expected \(B, k\); return one row"):
        local_certificate(flat, images(2), torch.zeros(2).long())
    for call in (smallest, runners_up):
        with pytest.raises(ValueError, match="got logits of one class; expected at least two"):
            call(network(9, 1), images(2))
    channels = nn.Sequential(nn.Linear(1, 9), nn.Sigmoid(), nn.Flatten(), nn.Linear(81, 4)).eval()
    with pytest.raises(TypeError, match="use the global certificate"):
        local_certificate(channels, images(2).mT, torch.zeros(2).long())
