"""The yardsticks themselves: the exact programme against an independent solver and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from intriguing.attack.oracles import exact_linear_distortion, scipy_distortion


def case(seed: int, classes: int = 3, pixels: int = 5):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, pixels, generator=generator, dtype=torch.float64)
    bias = 0.3 * torch.randn(classes, generator=generator, dtype=torch.float64)
    image = torch.rand(pixels, generator=generator, dtype=torch.float64)
    return weight, bias, image, int((weight @ image + bias).argmin())


def independent(weight, bias, image, target: int, margin: float) -> float:
    """SciPy's SLSQP on the primal programme; NaN where it finds no point of the feasible set."""
    w, b, x = weight.numpy(), bias.numpy(), image.numpy()
    rivals = [j for j in range(len(w)) if j != target]
    a, d = w[target] - w[rivals], b[target] - b[rivals] - margin
    found = minimize(
        lambda z: 0.5 * np.sum((z - x) ** 2),
        x,
        jac=lambda z: z - x,
        bounds=[(0, 1)] * len(x),
        constraints={"type": "ineq", "fun": lambda z: a @ z + d, "jac": lambda z: a},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    feasible = found.success and (a @ found.x + d).min() > -1e-7
    return float(np.sqrt(np.mean((found.x - x) ** 2))) if feasible else np.nan


def test_exact_agrees_with_an_independent_solver():
    compared = refused = 0
    for seed in range(40):
        weight, bias, image, target = case(seed)
        for margin in (0.0, 0.1):
            expected = independent(weight, bias, image, target, margin)
            if np.isnan(expected):
                with pytest.raises(ValueError, match="expected one that some image does"):
                    exact_linear_distortion(weight, bias, image, target, margin=margin)
                refused += 1
                continue
            exact = exact_linear_distortion(weight, bias, image, target, margin=margin)
            assert exact.rms == pytest.approx(expected, rel=1e-5)
            assert exact.gap < 1e-6
            assert exact.image.min() >= 0 and exact.image.max() <= 1
            logits = weight @ exact.image + bias
            others = torch.cat([logits[:target], logits[target + 1 :]])
            assert logits[target] - others.max() >= margin - 1e-5
            compared += 1
    assert compared >= 20 and refused >= 5


def test_exact_by_hand():
    # f0 - f1 = x + y - 1.5 and x' = (0.9, 0.2): reaching 0 needs 0.4 in all; each takes 0.2 until x meets 1.
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    bias = torch.tensor([0.0, 1.5])
    exact = exact_linear_distortion(weight, bias, torch.tensor([0.9, 0.2]), 0)
    torch.testing.assert_close(exact.image, torch.tensor([1.0, 0.5]).double(), atol=1e-6, rtol=0)
    assert exact.rms == pytest.approx(((0.1**2 + 0.3**2) / 2) ** 0.5, rel=1e-6)
    free = exact_linear_distortion(weight, bias, torch.tensor([0.6, 0.5]), 0)
    assert free.rms == pytest.approx(0.2, rel=1e-6)
    assert exact_linear_distortion(weight, bias, torch.tensor([0.6, 0.5]), 0, margin=0.2).rms == pytest.approx(0.3)


def test_exact_is_zero_where_the_target_is_reached():
    exact = exact_linear_distortion(torch.eye(2), torch.zeros(2), torch.tensor([0.9, 0.2]), 0)
    assert exact.rms == 0 and exact.gap == 0
    assert exact.image.tolist() == pytest.approx([0.9, 0.2])


@pytest.mark.parametrize("unit", [1e-8, 1e-4, 1e4])
def test_exact_does_not_depend_on_the_unit_of_the_logits(unit):
    weight, bias, image, target = next(
        case(seed) for seed in range(40) if not np.isnan(independent(*case(seed), margin=0.0))
    )
    expected = exact_linear_distortion(weight, bias, image, target).rms
    assert exact_linear_distortion(unit * weight, unit * bias, image, target).rms == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0])
def test_exact_refuses_an_unreachable_target(unit):
    weight, bias = unit * torch.eye(3), unit * torch.tensor([0.0, 0.0, -5.0])
    with pytest.raises(ValueError, match="got class 2, which no image of the box reaches"):
        exact_linear_distortion(weight, bias, torch.tensor([0.2, 0.9, 0.1]), 2)


def network(weight, bias) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], weight.shape[0])).double()
    with torch.no_grad():
        model[1].weight.copy_(weight)
        model[1].bias.copy_(bias)
    return model


def test_scipy_reaches_the_exact_optimum_of_two_classes():
    # With two classes the cross-entropy weighs no third one, so the penalty method is exact.
    for seed in range(3):
        weight, bias, image, target = case(seed, classes=2, pixels=12)
        exact = exact_linear_distortion(weight, bias, image, target).rms
        found = scipy_distortion(network(weight, bias), image, target)
        assert exact * (1 - 1e-6) <= found <= exact * 1.005


def test_scipy_keeps_the_shape_of_an_image_and_says_what_it_did_not_find():
    weight, bias, image, target = case(0, classes=2, pixels=12)
    model = network(weight, bias)
    flat = scipy_distortion(model, image, target)
    assert scipy_distortion(model, image.view(1, 3, 4), target) == pytest.approx(flat, rel=1e-9)
    assert scipy_distortion(model, image, 1 - target) == 0
    bias = bias.clone()
    bias[target] -= 1000
    assert np.isnan(scipy_distortion(network(weight, bias), image, target))
