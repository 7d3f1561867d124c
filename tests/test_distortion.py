"""D(x, l) against closed forms, exact programmes and SciPy, and what the search promises about its results."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from intriguing.attack import distortion
from intriguing.attack.distortion import MARGIN, distortion_to_all, minimum_distortion
from intriguing.attack.oracles import exact_linear_distortion, scipy_distortion
from intriguing.attack.penalty import penalty_path, spread_that_matters
from intriguing.attack.perturbations import random_targets, wrong_classes
from intriguing.attack.runs import Run

DOZEN = slice(3, 1000, 84)  # twelve of the 1,000 test images


def linear(classes: int, pixels: int, *, scale: float = 1.0, seed: int = 0) -> nn.Sequential:
    """A linear classifier in float64 with random weights."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def reachable(model, image, target) -> bool:
    """Whether some image of the box is read as the target with a lead to spare."""
    logits = model(image[None].double())[0].detach()
    try:
        exact_linear_distortion(
            model[1].weight, model[1].bias, image, target, margin=0.05 * float(logits.max() - logits.min())
        )
    except ValueError:
        return False
    return True


def small(count: int = 6, pixels: int = 20, classes: int = 5, seed: int = 1):
    """A linear classifier, images and a wrong target for each."""
    model = linear(classes, pixels)
    images = torch.rand(count, pixels, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        labels = model(images.double()).argmax(1)
    return model, images, (labels + 1) % classes


@pytest.fixture(scope="module")
def digits(brief):
    """Test images with targets, and two networks trained briefly on the 4,000 images: linear and sigmoid."""
    sets, models = brief
    images, labels = sets.test.images[DOZEN], sets.test.labels[DOZEN]
    return models, images, labels, random_targets(labels)


@pytest.mark.parametrize("name", ["FC10(1e-2)", "FC100-100-10"])
def test_trained_networks_agree_with_scipy_and_reach_every_target(digits, name):
    models, images, _, targets = digits
    model = models[name]
    found = minimum_distortion(model, images, targets)
    assert found.success.all()
    assert found.images.dtype == images.dtype and found.images.shape == images.shape
    assert found.images.min() >= 0 and found.images.max() <= 1
    exact = copy.deepcopy(model).double()
    assert (model(found.images).argmax(1) == targets).all()
    assert (exact(found.images.double()).argmax(1) == targets).all()
    for one, target in zip(found.images, targets, strict=True):  # and alone
        assert model(one[None]).argmax() == target
    measured = (found.images.double() - images.double()).flatten(1).square().mean(1).sqrt()
    torch.testing.assert_close(found.rms, measured, rtol=1e-12, atol=0)
    reference = np.array([scipy_distortion(exact, x, int(t)) for x, t in zip(images, targets, strict=True)])
    assert found.rms.mean().item() == pytest.approx(reference[reference > 0].sum() / len(reference), rel=0.01)
    torch.testing.assert_close(found.rms, torch.from_numpy(reference), rtol=0.02, atol=0)


def test_never_below_the_exact_optimum_of_a_trained_linear_network(digits):
    models, images, _, targets = digits
    head = models["FC10(1e-2)"][-1]
    found = minimum_distortion(models["FC10(1e-2)"], images, targets)
    exact = [
        exact_linear_distortion(head.weight, head.bias, x, int(t)).rms for x, t in zip(images, targets, strict=True)
    ]
    ratio = found.rms / torch.tensor(exact)
    assert ratio.min() >= 1 - 1e-9
    assert ratio.max() < 1.25  # the cross-entropy charges for all classes, so the edge lies above the optimum


def test_batch_order_and_chunks_do_not_change_the_result(digits):
    models, images, _, targets = digits
    model = models["FC10(1e-2)"]
    whole = minimum_distortion(model, images, targets)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(5))
    shuffled = minimum_distortion(model, images[order], targets[order], chunk=5)
    torch.testing.assert_close(shuffled.images, whole.images[order], rtol=0, atol=1e-5)
    torch.testing.assert_close(shuffled.rms, whole.rms[order], rtol=1e-5, atol=0)
    torch.testing.assert_close(shuffled.penalty, whole.penalty[order], rtol=1e-5, atol=0)
    alone = minimum_distortion(model, images[:3], targets[:3], chunk=1)
    torch.testing.assert_close(alone.rms, whole.rms[:3], rtol=1e-5, atol=0)


def test_nearest_random_and_mean_of_nine(digits):
    models, images, labels, targets = digits
    model = models["FC10(1e-2)"]
    every = distortion_to_all(model, images, labels)
    one = minimum_distortion(model, images, targets)
    assert every.images.shape == (12, 9, 1, 28, 28)
    assert every.rms.shape == every.success.shape == every.penalty.shape == every.evaluations.shape == (12, 9)
    assert every.success.all()
    column = (wrong_classes(labels) == targets[:, None]).nonzero()[:, 1]
    picked = every.rms.gather(1, column[:, None])[:, 0]
    torch.testing.assert_close(picked, one.rms, rtol=1e-5, atol=0)
    assert (every.rms.amin(1) <= one.rms * (1 + 1e-5)).all() and (one.rms <= every.rms.amax(1) * (1 + 1e-5)).all()
    reached = model(every.images.flatten(0, 1)).argmax(1).view(12, 9)
    assert (reached == wrong_classes(labels)).all()


@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_two_classes_without_active_bounds_give_the_closed_form(norm):
    model = linear(2, 50, scale=0.5, seed=3)
    images = 0.5 + 0.02 * torch.randn(8, 50, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        model[1].bias.add_(model(images).mean(0).neg())  # the boundary passes near the images
        logits = model(images)
    targets = logits.argmin(1)
    difference = (model[1].weight[0] - model[1].weight[1]).detach()
    expected = (logits[:, 0] - logits[:, 1]).abs() / difference.norm() / 50**0.5
    found = minimum_distortion(model, images, targets, norm=norm)
    assert found.success.all()
    assert (found.images.min() > 0) and (found.images.max() < 1)
    assert (found.rms >= expected).all()
    if norm == "squared":  # the loss is nearly straight here, where c |r| has no sharp minimum to stop at
        torch.testing.assert_close(found.rms, expected, rtol=2e-3, atol=0)
        # Straight to the boundary, and beyond it by the margin and the tenth of it that rounding may take.
        beyond = minimum_distortion(model, images, targets, refine=True).rms / expected - 1
        assert ((beyond > MARGIN) & (beyond < 1.2 * MARGIN)).all()


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_both_norms_agree_whatever_the_unit_of_the_logits(scale):
    _, images, targets = small()
    model = linear(5, 20, scale=scale)
    squared = minimum_distortion(model, images, targets)
    plain = minimum_distortion(model, images, targets, norm="plain")
    assert squared.success.all() and plain.success.all()
    torch.testing.assert_close(squared.rms, plain.rms, rtol=5e-3, atol=0)


def test_the_penalty_is_the_c_of_the_paper():
    # At the minimiser of c |r|^2 + loss, free pixels have 2 c r = -gradient of the loss.
    model, images, targets = small()
    images = images.double()
    for norm in ("squared", "plain"):
        found = minimum_distortion(model, images, targets, norm=norm)
        leaf = found.images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(leaf), targets, reduction="sum"), leaf)
        r = found.images - images
        factor = 2 * found.penalty if norm == "squared" else found.penalty / r.norm(dim=1)
        free = (found.images > 0) & (found.images < 1)
        error = ((factor[:, None] * r + gradient) * free).norm(dim=1) / gradient.norm(dim=1)
        assert error.max() < 0.02, norm


def test_a_target_already_reached_comes_back_at_once():
    model, images, targets = small()
    reached = model(images.double()).argmax(1)
    mixed = torch.where(torch.arange(6) % 2 == 0, reached, targets)
    found = minimum_distortion(model, images, mixed)
    there = mixed == reached
    assert (found.images[there] == images[there]).all()
    assert (found.rms[there] == 0).all() and found.success.all()
    assert (found.penalty[there] == torch.inf).all() and (found.evaluations[there] == 1).all()
    assert (found.rms[~there] > 0).all() and found.penalty[~there].isfinite().all()
    assert (minimum_distortion(model, images, reached).images == images).all()


def test_an_unreachable_target_gives_the_closest_attempt():
    model, images, _ = small()
    with torch.no_grad():
        model[1].bias[2] = -1000
        model[1].weight[:, 7] = 0  # a pixel that does nothing: no step along it may become NaN
    targets = torch.full((6,), 2)
    seen = []

    def watched(x):
        seen.append(bool(x.isfinite().all()) and bool((x >= 0).all()) and bool((x <= 1).all()))
        return model(x)

    found = minimum_distortion(watched, images, targets)
    assert all(seen)
    assert not found.success.any() and found.penalty.isnan().all()
    assert (found.rms > 0.1).all() and found.images.isfinite().all()

    def gap(x):
        logits = model(x.double())
        return logits[:, 2] - logits[:, [0, 1, 3, 4]].amax(1)

    corner_gain = (model[1].weight[2] - model[1].weight).abs().sum(1).max()
    assert (gap(found.images) > gap(images) + 0.1 * corner_gain).all()
    assert found.evaluations.max() < 1000


def test_a_mixture_of_reachable_and_unreachable_targets():
    model, images, targets = small()
    alone = minimum_distortion(model, images, targets)
    with torch.no_grad():
        wider = linear(6, 20)
        wider[1].weight[:5], wider[1].bias[:5] = model[1].weight, model[1].bias
        wider[1].weight[5], wider[1].bias[5] = 0, -50  # a class that never wins and weighs nothing
    mixed = targets.clone()
    mixed[::2] = 5
    found = minimum_distortion(wider, images, mixed)
    assert found.success.tolist() == [False, True] * 3
    torch.testing.assert_close(found.rms[1::2], alone.rms[1::2], rtol=5e-3, atol=0)  # the spread sets the margin


def test_a_tie_at_the_clean_image_needs_next_to_nothing():
    model = linear(3, 20)
    with torch.no_grad():
        model[1].bias.zero_()
    found = minimum_distortion(model, torch.zeros(2, 20), torch.tensor([1, 0]))  # all logits are zero
    reached = found.success
    assert reached.any()
    assert (found.rms[reached] < 1e-4).all()
    assert (model(found.images.double()).argmax(1) == torch.tensor([1, 0]))[reached].all()


def convolutional(channels: int, classes: int) -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, classes)
    ).eval()


@pytest.mark.parametrize(
    ("classes", "dtype"), [(2, torch.float64), (10, torch.float32), (10, torch.float64), (50, torch.float32)]
)
def test_colour_images_and_convolutions(classes, dtype):
    model = convolutional(3, classes)
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        order = model(images.float()).argsort(1, descending=True)
    found = minimum_distortion(model, images, order[:, 1])
    assert found.success.all() and found.images.dtype == dtype and found.images.shape == images.shape
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert (model(found.images.float()).argmax(1) == order[:, 1]).all()
    assert (copy.deepcopy(model).double()(found.images.double()).argmax(1) == order[:, 1]).all()
    assert (found.rms > 0).all() and (found.rms < 0.3).all()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 12),
    pixels=st.integers(2, 40),
    scale=st.sampled_from([0.01, 1.0, 20.0]),
)
def test_any_linear_network(seed, classes, pixels, scale):
    model = linear(classes, pixels, scale=scale, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(3, pixels, generator=generator).mul(1.6).sub(0.3).clamp(0, 1)  # many pixels on the bounds
    targets = torch.randint(classes, (3,), generator=generator)
    found = minimum_distortion(model, images, targets)
    refined = minimum_distortion(model, images, targets, refine=True)
    assert found.images.min() >= 0 and found.images.max() <= 1
    logits = model(found.images.double())
    gaps = logits.gather(1, targets[:, None])[:, 0] - logits.scatter(1, targets[:, None], -torch.inf).amax(1)
    assert (gaps[found.success] > 0).all()
    assert (found.penalty.isnan() == ~found.success).all()
    for row in range(3):
        try:
            exact = exact_linear_distortion(model[1].weight, model[1].bias, images[row], int(targets[row]))
        except ValueError:  # no image of the box is read as the target
            assert not found.success[row] and not refined.success[row]
            continue
        assert found.rms[row] >= (exact.rms * (1 - 1e-6) - 1e-7 if found.success[row] else 0)
        # The loss that the penalty method minimises can leave a target behind its rivals; the refined search cannot.
        assert refined.success[row] or not reachable(model, images[row], int(targets[row]))


def test_the_margin_is_kept():
    model, images, targets = small()
    images = images.double()
    for margin in (MARGIN, 0.05):
        found = minimum_distortion(model, images, targets, margin=margin)
        logits, clean = model(found.images), model(images)
        gap = logits.gather(1, targets[:, None])[:, 0] - logits.scatter(1, targets[:, None], -torch.inf).amax(1)
        asked = margin * (clean.amax(1) - clean.amin(1))
        assert (gap >= asked * (1 - 1e-9)).all()
        assert (gap <= asked + 2e-3 * (clean.amax(1) - clean.amin(1))).all()


def test_empty_batches():
    model, images, targets = small()
    found = minimum_distortion(model, images[:0], targets[:0])
    assert found.images.shape == (0, 20)
    assert found.rms.shape == found.success.shape == found.penalty.shape == found.evaluations.shape == (0,)
    assert distortion_to_all(model, images[:0], targets[:0], 5).images.shape == (0, 4, 20)


def test_a_function_gives_what_the_module_gives():
    model, images, targets = small()
    weight, bias = model[1].weight.detach(), model[1].bias.detach()
    module = minimum_distortion(model, images, targets)
    function = minimum_distortion(lambda x: x @ weight.T + bias, images, targets)
    torch.testing.assert_close(function.rms, module.rms, rtol=1e-5, atol=0)


def test_a_function_that_only_sums_pixels():
    # Its gradient is one number seen through an expanded view, which must not be written to.
    images = torch.full((3, 9), 0.25)
    found = minimum_distortion(lambda x: torch.stack([x.sum(1), 9 - x.sum(1)], 1), images, torch.zeros(3).long())
    assert found.success.all()
    torch.testing.assert_close(found.rms, torch.full((3,), 0.25).double(), rtol=2e-3, atol=0)


def test_the_callers_model_and_tensors_are_left_alone():
    model = convolutional(1, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.rand(2, 1, 8, 8)
    kept, targets = images.clone(), model(images).argmin(1)
    minimum_distortion(model, images, targets)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not model.training and next(model.parameters()).dtype == torch.float32
    assert all((value == before[name]).all() for name, value in model.state_dict().items())
    assert (images == kept).all()


def test_works_under_no_grad_and_inference_mode_and_with_images_of_a_graph():
    model, images, targets = small()
    expected = minimum_distortion(model, images, targets).rms
    with torch.no_grad():
        found = minimum_distortion(model, images, targets)
        assert not torch.is_grad_enabled()
    assert torch.equal(found.rms, expected)
    with torch.inference_mode():
        assert torch.equal(minimum_distortion(model, images.double().float(), targets + 0).rms, expected)
    found = minimum_distortion(model, images.clone().requires_grad_() * 1, targets)
    assert torch.equal(found.rms, expected) and not found.images.requires_grad and not found.rms.requires_grad


BAD_IMAGES = [
    (lambda x: x - 0.5, ValueError, r"pixels from -.* expected every pixel in \[0, 1\]"),
    (lambda x: x + 0.5, ValueError, r"expected every pixel in \[0, 1\]; rescale or clip"),
    (lambda x: x / torch.zeros_like(x), ValueError, r"expected every pixel in \[0, 1\]"),
    (lambda x: torch.where(x == x.max(), torch.nan, x), ValueError, r"got NaN; expected every pixel in \[0, 1\]"),
    (lambda x: (x * 255).to(torch.uint8), TypeError, r"torch\.uint8; expected floating .* divide 8-bit pixels by 255"),
    (lambda x: x[0], ValueError, r"got shape \(20,\).* put the batch first"),
    (lambda x: x.numpy(), TypeError, r"got ndarray; expected a tensor"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD_IMAGES)
def test_bad_images(spoil, error, message):
    model, images, targets = small()
    with pytest.raises(error, match=message):
        minimum_distortion(model, spoil(images), targets)


BAD_TARGETS = [
    (lambda t: t.int(), TypeError, r"got targets of torch\.int32; expected int64; convert them with \.long\(\)"),
    (lambda t: t.double(), TypeError, "got targets of torch.float64; expected int64"),
    (lambda t: t[:-1], ValueError, r"got targets of shape \(5,\); expected one per image, \(6,\)"),
    (lambda t: t[:, None], ValueError, r"got targets of shape \(6, 1\); expected one per image, \(6,\)"),
    (lambda t: t - 5, ValueError, r"got target -.*; expected targets from 0 to k - 1"),
    (lambda t: torch.full_like(t, 5), ValueError, "got target 5; expected targets below 5, the number of classes"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD_TARGETS)
def test_bad_targets(spoil, error, message):
    model, images, targets = small()
    with pytest.raises(error, match=message):
        minimum_distortion(model, images, spoil(targets))


BAD_MODELS = [
    (lambda m: lambda x: m(x)[:, 0], ValueError, r"got logits of shape \(6,\); expected \(6, k\) with k >= 2"),
    (lambda m: lambda x: m(x)[:, :1], ValueError, r"got logits of shape \(6, 1\); expected .* with k >= 2"),
    (lambda m: lambda x: m(x)[:2], ValueError, r"got logits of shape \(2, 5\); expected \(6, k\) .*; return one row"),
    (lambda m: lambda x: m(x) * torch.nan, ValueError, "got NaN or infinity; expected finite logits"),
    (lambda m: lambda x: m(x) / 0, ValueError, "expected finite logits"),
    (lambda m: lambda x: (m(x),), TypeError, "got tuple from the model; expected a tensor of logits"),
    (lambda m: m.train(), ValueError, r"expected one in evaluation mode; call model\.eval\(\)"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD_MODELS)
def test_bad_models(spoil, error, message):
    model, images, targets = small()
    with pytest.raises(error, match=message):
        minimum_distortion(spoil(model), images, targets)


BAD_OPTIONS = [
    ({"norm": "l2"}, "got norm 'l2'; expected 'squared' or 'plain'"),
    ({"margin": 0.0}, "got margin .* and margin_tolerance .*; expected both above 0"),
    ({"margin": float("nan")}, "got margin nan; expected a finite number"),
    ({"margin_tolerance": -1.0}, "got margin .* and margin_tolerance .*; expected both above 0"),
    ({"chunk": 0}, "got a chunk of 0; expected at least 1 image"),
    ({"chunk": -3}, "got a chunk of -3; expected at least 1 image"),
    ({"bounds": (1.0, 0.0)}, "got bounds 1.0 and 0.0; expected finite ones, the lower one first"),
    ({"bounds": (0.0, float("inf"))}, "got bounds 0.0 and inf; expected finite ones"),
    ({"bounds": (0.25, 0.75)}, "got pixels from 0.*; expected every pixel in .0.25, 0.75."),
    ({"bounds": (0.0, 10**400)}, "got bounds .*; expected two numbers"),
    ({"bounds": (0.0, 1e155)}, r"got bounds 0.0 and 1e\+155, 1e\+155 apart in torch.float64; expected .* between them"),
    ({"bounds": (0.0, 1e-160)}, "got bounds 0.0 and 1e-160, 1e-160 apart in torch.float64; expected"),
    ({"bounds": (0.5, 0.5 + 1e-12)}, "got bounds .*, 0 apart in torch.float32; expected"),
    ({"bounds": (-3e38, 3e38)}, r"got bounds .*, 6e\+38 apart in torch.float32; expected"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_bad_options(options, message):
    model, images, targets = small()
    with pytest.raises((TypeError, ValueError), match=message):
        minimum_distortion(model, images, targets, **options)


@pytest.mark.parametrize("bounds", [(0.0, 1e155), (0.0, 1e-160), (0.0, 1e-310), (-1e308, 1e308), (1.0, 1.0 + 1e-16)])
def test_a_box_whose_width_has_no_square_is_refused_in_float64_too(bounds):
    model, images, targets = small()
    with pytest.raises(ValueError, match="got bounds .*; expected"):
        minimum_distortion(model, images.double(), targets, bounds=bounds)


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("bounds", [(-0.485 / 0.229, 0.515 / 0.229), (0, 0.3), (-0.3, 0.3), (0.5, 0.500001)])
def test_images_on_a_bound_that_their_type_rounds_are_inside(bounds, refine, tmp_path):
    model, images, _ = small()
    low, high = bounds
    pixels = (low + (high - low) * images.round()).clamp(low, high)  # each on a bound

    def units(x):
        return model((x.double() - low) / (high - low))

    targets = (units(pixels).argmax(1) + 1) % 5
    found = minimum_distortion(units, pixels, targets, refine=refine, bounds=bounds)
    box = torch.tensor(bounds)
    assert (found.images >= box[0]).all() and (found.images <= box[1]).all()
    assert torch.equal(found.success, units(found.images).argmax(1) == targets)
    if high - low > 1e-3:  # else the pixels are few numbers
        expected = minimum_distortion(model, images.round().double(), targets, refine=refine).rms
        torch.testing.assert_close(found.rms, (high - low) * expected, rtol=1e-3, atol=1e-7)
    run = Run(units, pixels, targets, folder=tmp_path, name="units", refine=refine, bounds=bounds)
    assert torch.equal(run.collect().images, found.images)


def test_a_pixel_outside_a_rounded_bound_is_told_from_it():
    model, images, targets = small()
    beyond = torch.tensor(0.3).nextafter(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"got pixels from .* to 0\.300000042; expected .* 0\.300000012\]"):
        minimum_distortion(
            model, images.clamp(max=0.2).index_fill(1, torch.tensor(0), beyond), targets, bounds=(0, 0.3)
        )


@pytest.mark.parametrize("bounds", [(0.0, 255.0), (-1.0, 1.0), (3.0, 3.5)])
@pytest.mark.parametrize("refine", [False, True])
def test_another_box_is_the_same_problem_in_other_units(bounds, refine):
    model, images, targets = small()
    images, (low, high) = images.double(), bounds
    expected = minimum_distortion(model, images, targets, refine=refine)
    moved = low + (high - low) * images
    found = minimum_distortion(lambda x: model((x - low) / (high - low)), moved, targets, bounds=bounds, refine=refine)
    assert found.success.all() and low <= found.images.min() and found.images.max() <= high
    torch.testing.assert_close(found.rms, (high - low) * expected.rms, rtol=1e-4, atol=0)
    measured = (found.images - moved).square().mean(1).sqrt()
    torch.testing.assert_close(found.rms, measured, rtol=1e-6, atol=0)
    there = model(images).argmax(1)
    stays = minimum_distortion(lambda x: model((x - low) / (high - low)), moved, there, bounds=bounds, refine=refine)
    assert torch.equal(stays.images, moved) and (stays.rms == 0).all()


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_a_chunk_that_does_not_fit_in_memory_is_halved(refine, error):
    model, images, targets = small()
    largest = []

    def narrow(x):
        if len(x) > 2:
            raise error
        largest.append(len(x))
        return model(x)

    with pytest.warns(UserWarning) as warned:
        found = minimum_distortion(narrow, images, targets, refine=refine)
    assert [str(entry.message) for entry in warned] == [
        "Out of memory with 6 images at a time; going on with 3 at a time.",
        "Out of memory with 3 images at a time; going on with 1 at a time.",
    ]
    expected = minimum_distortion(model, images, targets, refine=refine, chunk=1)
    assert max(largest) <= 2
    torch.testing.assert_close(found.rms, expected.rms, rtol=1e-6, atol=0)


@pytest.mark.filterwarnings("ignore:Out of memory")
def test_memory_for_not_even_one_image_is_an_error():
    model, images, targets = small()

    def full(x):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(MemoryError, match=r"One image of shape \(20,\) does not fit into the memory of cpu"):
        minimum_distortion(full, images, targets)

    def broken(x):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="^broken$"):
        minimum_distortion(broken, images, targets)


def test_along_the_path_in_c_the_distance_shrinks_and_the_lead_is_lost():
    model, images, targets = small()
    found = minimum_distortion(model, images, targets)
    c = found.penalty[0] * torch.tensor([0.3, 0.9, 1.1, 3.0])
    path, gaps = penalty_path(model, images[0], int(targets[0]), c)
    assert path.shape == (4, 20) and path.min() >= 0 and path.max() <= 1
    length = (path - images[0].double()).norm(dim=1)
    assert (length.diff() < 0).all() and (gaps.diff() < 0).all()
    assert (gaps > 0).tolist() == [True, True, False, False]  # the edge lies at the c that was found
    with pytest.raises(ValueError, match="got c = .*; expected values above 0"):
        penalty_path(model, images[0], int(targets[0]), torch.tensor([1.0, 0.0]))


def test_the_first_class_may_be_the_target_of_a_path():
    model, images, targets = small()
    targets = torch.zeros_like(targets)
    c = minimum_distortion(model, images, targets).penalty[0] * torch.tensor([0.5, 2.0])
    assert (penalty_path(model, images[0], 0, c)[1] > 0).tolist() == [True, False]


def test_a_masked_target_widens_no_spread():
    """A target at -inf lies infinitely far down: what can win is measured by what one can move, and by nothing else."""
    logits = torch.tensor([[0.0, -torch.inf, -3.0]], dtype=torch.float64)
    widest = [float(spread_that_matters(logits, torch.tensor([1]), torch.tensor([reach]))) for reach in (0.74, 0.76)]
    assert widest[0] < 1e-300 and widest[1] == 3.0  # four times as far as can be moved


def test_random_targets_are_wrong_uniform_and_seeded():
    labels = torch.arange(10).repeat(2000)
    targets = random_targets(labels)
    assert targets.dtype == torch.long and (targets != labels).all()
    assert torch.equal(targets, random_targets(labels))
    assert torch.equal(targets, random_targets(labels, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(targets, random_targets(labels, generator=torch.Generator().manual_seed(1)))
    counts = torch.zeros(10, 10)
    counts.index_put_((labels, targets), torch.ones(len(labels)), accumulate=True)
    expected = 2000 / 9
    off = ~torch.eye(10, dtype=torch.bool)
    chi_square = ((counts[off] - expected) ** 2 / expected).sum()  # 80 degrees of freedom: mean 80, deviation 12.6
    assert 40 < chi_square < 130
    assert (random_targets(torch.zeros(50, dtype=torch.long), 2) == 1).all()


@pytest.mark.parametrize(("labels", "classes"), [([0, 10], 10), ([-1, 3], 10), ([0], 1), ([5], 5)])
def test_random_targets_refuse_labels_out_of_range(labels, classes):
    with pytest.raises(ValueError, match=f"got labels .*; expected 0 to {classes - 1}|got classes 1; .* at least 2"):
        random_targets(torch.tensor(labels), classes)


@given(st.integers(2, 12), st.integers(0, 20))
def test_wrong_classes_are_all_but_the_label(classes, count):
    labels = torch.arange(count) % classes
    others = wrong_classes(labels, classes)
    assert others.shape == (count, classes - 1)
    for label, row in zip(labels.tolist(), others.tolist(), strict=True):
        assert row == [c for c in range(classes) if c != label]


class Rounding(nn.Module):
    """Two classes far from zero: in float32 both logits are the same and the first wins, in float64 the second."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor([1e8, 1e8 + 8]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = torch.stack([x.flatten(1).mean(1), torch.full_like(x[:, 0, 0, 0], 0.6) - 8], 1)
        return low + self.shift


@pytest.mark.parametrize("refine", [False, True])
def test_what_the_users_model_takes_for_its_target_stays_beside_images_that_do_not(refine: bool) -> None:
    model, images = Rounding().eval(), torch.full((2, 1, 2, 2), 0.5)
    assert model(images).argmax(1).tolist() == [0, 0] and model.double()(images.double()).argmax(1).tolist() == [1, 1]
    found = minimum_distortion(Rounding().eval(), images, torch.tensor([0, 1]), refine=refine)
    assert found.success.tolist() == [True, False]
    assert torch.equal(found.images[0], images[0]) and found.rms[0] == 0 and found.penalty[0] == torch.inf


def test_one_image_is_a_batch() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval().requires_grad_(False)
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(5))
    targets = (model(images).argmax(1) + 1) % 3
    whole, alone = minimum_distortion(model, images, targets), minimum_distortion(model, images[:1], targets[:1])
    torch.testing.assert_close(alone.rms, whole.rms[:1])


@pytest.mark.parametrize(("refine", "expected"), [(False, 200), (True, 800)])
def test_projections_are_made_for_more_images_at_once(refine, expected):
    choose = distortion._chunk_size
    assert choose(torch.zeros(1, 1, 10, 100), torch.device("cpu"), refine) == expected
    assert choose(torch.zeros(1, 1, 10, 100), torch.device("cuda"), refine) == 50_000
    assert choose(torch.zeros(1, 3, 1000, 1000), torch.device("cpu"), refine) == 1


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda images, labels: (images.numpy(), labels), TypeError, "from_numpy"),
        (lambda images, labels: (None, labels), TypeError, "got NoneType"),
        (lambda images, labels: (torch.tensor(0.5), labels), ValueError, "batch first"),
        (lambda images, labels: (images, labels[:2]), ValueError, "one per image"),
        (lambda images, labels: (images, labels[:, None]), ValueError, "one per image"),
        (lambda images, labels: (images, labels[0]), ValueError, "one per image"),
    ],
)
def test_all_classes_of_bad_inputs_are_refused(spoil, error, message):
    images, labels = spoil(torch.rand(3, 4), torch.tensor([0, 1, 2]))
    with pytest.raises(error, match=message):
        distortion_to_all(nn.Linear(4, 3).eval(), images, labels, 3)
