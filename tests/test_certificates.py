"""Certificates against closed forms on linear networks, and against what an attack and random steps find."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.lipschitz.certificates import global_certificate, local_certificate, runners_up, smallest


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
    assert float(global_certificate(rectified, images(2), torch.zeros(2).long()).radius.max()) >= 0
    with pytest.raises(TypeError, match="use the global certificate"):
        local_certificate(rectified, images(2), torch.zeros(2).long())
