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


def test_exact_returns_an_image_of_its_own():
    image = torch.rand(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    for bias in (torch.zeros(2), torch.tensor([500.0, 0.0]), torch.tensor([0.0, -torch.inf])):
        exact_linear_distortion(torch.eye(2, 6), bias, image, 0).image.mul_(255)
        assert torch.equal(image, before)


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e-160, 1e-8, 1e-4, 1e4, 1e160, 1e300])
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


@pytest.mark.parametrize(("lead", "margin"), [(-1e-6, 0.0), (0.0, 1e-6), (0.0, 1e-200)])
def test_exact_knows_that_no_image_changes_constant_logits(lead, margin):
    weight, bias = torch.zeros(3, 4).double(), torch.tensor([lead, 0.0, -1.0]).double()
    with pytest.raises(ValueError, match="got class 0, which no image of the box reaches"):
        exact_linear_distortion(weight, bias, torch.full((4,), 0.5), 0, margin=margin)
    assert exact_linear_distortion(weight, bias.abs(), torch.full((4,), 0.5), 2).rms == 0
    assert exact_linear_distortion(weight + 0.3, bias - 1e-9, torch.full((4,), 0.5), 1).rms == 0


@pytest.mark.parametrize("masked", [-torch.inf, -1e300, -1e30, -1e9])
def test_exact_leaves_out_a_rival_that_cannot_win(masked):
    weight, bias, image, target = case(2)
    expected = exact_linear_distortion(weight, bias, image, target)
    wider = torch.cat([weight, weight[:1]]), torch.cat([bias, torch.tensor([masked]).double()])
    exact = exact_linear_distortion(*wider, image, target)
    assert exact.rms == expected.rms > 0 and torch.equal(exact.image, expected.image)
    with pytest.raises(ValueError, match="got class 3, which no image of the box reaches"):
        exact_linear_distortion(*wider, image, 3)
    assert exact_linear_distortion(weight[:2], torch.tensor([0.0, -torch.inf]), image, 0).rms == 0


def test_exact_with_a_rival_that_hardly_differs():
    # f0 - f1 = 1e-9 (x + y - 1.5), as by hand above, beside a class that is far below unless x and y are close to 0.
    weight = torch.tensor([[1e-9, 1e-9], [0.0, 0.0], [-1.0, -1.0]]).double()
    bias = torch.tensor([0.0, 1.5e-9, 0.2]).double()
    exact = exact_linear_distortion(weight, bias, torch.tensor([0.9, 0.2]), 0)
    torch.testing.assert_close(exact.image, torch.tensor([1.0, 0.5]).double(), atol=1e-5, rtol=0)


BAD = [
    ({"target": -1}, ValueError, "got target -1; expected one from 0 to"),
    ({"target": 3}, ValueError, "got target 3; expected"),
    ({"target": 2.0}, TypeError, "got target 2.0; expected a whole number"),
    ({"target": True}, TypeError, "got target True; expected a whole number"),
    ({"margin": torch.nan}, ValueError, "got margin nan; expected a finite number"),
    ({"image": 255 * torch.ones(5)}, ValueError, "got pixels from 255 to 255; expected"),
    ({"image": torch.full((5,), torch.nan)}, ValueError, "got NaN; expected"),
    ({"image": torch.zeros(4)}, ValueError, r"got shape \(1, 4\); expected"),
    ({"image": torch.tensor(0.5)}, ValueError, r"got shape \(\); expected"),
    ({"image": np.zeros(5)}, TypeError, "got ndarray; expected a tensor"),
    ({"weight": np.zeros((3, 5))}, TypeError, "got weight of type ndarray; expected a tensor"),
    (
        {"weight": torch.ones(3, 5, dtype=torch.complex64)},
        TypeError,
        "got weight of torch.complex64; expected floating",
    ),
    ({"weight": torch.full((3, 5), torch.nan)}, ValueError, "got weight with infinite entries or NaN"),
    ({"weight": torch.ones(1, 5), "bias": torch.ones(1), "target": 0}, ValueError, "got classes 1; expected"),
    ({"bias": torch.ones(2)}, ValueError, r"got bias of shape \(2,\); expected \(3,\)"),
    ({"bias": torch.tensor([0.0, torch.inf, 0.0])}, ValueError, "got bias with infinite entries or NaN"),
]


@pytest.mark.parametrize(("spoilt", "error", "message"), BAD)
def test_exact_names_bad_input(spoilt, error, message):
    arguments = dict(zip(("weight", "bias", "image", "target"), case(0), strict=True)) | spoilt
    with pytest.raises(error, match=message):
        exact_linear_distortion(**arguments)


@pytest.mark.parametrize(("spoilt", "error", "message"), BAD[:7])
def test_scipy_names_bad_input(spoilt, error, message):
    weight, bias, image, target = case(0)
    with pytest.raises(error, match=message):
        scipy_distortion(network(weight, bias), **({"image": image, "target": target} | spoilt))


def network(weight, bias) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], weight.shape[0])).double().eval()
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


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e6, 1e9])
def test_scipy_does_not_depend_on_the_unit_of_the_logits(unit):
    weight, bias, image, target = case(0, classes=2, pixels=12)
    exact = exact_linear_distortion(weight, bias, image, target).rms
    assert scipy_distortion(network(unit * weight, unit * bias), image, target) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_scipy_works_without_gradients_and_with_weights_in_float32(mode):
    weight, bias, image, target = case(0, classes=2, pixels=12)
    expected = scipy_distortion(network(weight, bias), image, target)
    with mode():
        assert scipy_distortion(network(weight, bias), image.clone(), target) == expected
    rounded = scipy_distortion(network(weight, bias).float(), image.float(), target)
    assert rounded == pytest.approx(expected, rel=1e-5)
