"""Amplification against hand cases, and what holds for every perturbation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intriguing.attack.perturbations import amplify, logit_margin, moved_by, rms, value_and_gradient


def test_amplify_by_hand():
    clean = torch.tensor([[0.5, 0.5, 0.5], [0.0, 0.9, 0.5], [0.2, 0.3, 0.4]]).view(3, 1, 1, 3)
    step = torch.tensor([[0.03, 0.0, 0.04], [0.0, 0.05, 0.0], [0.0, 0.0, 0.0]]).view(3, 1, 1, 3)
    size = 0.2 / math.sqrt(3)  # a Euclidean length of 0.2
    printed = amplify(clean, clean + step, size)
    torch.testing.assert_close(printed[0].flatten(), torch.tensor([0.62, 0.5, 0.66]))
    torch.testing.assert_close(printed[1].flatten(), torch.tensor([0.0, 1.1, 0.5]))
    assert torch.equal(printed[2], clean[2])  # no perturbation has no direction
    clipped = amplify(clean, clean + step, size, form="clipped")
    torch.testing.assert_close(clipped, printed.clamp(0, 1))
    boxed = amplify(clean, clean + step, size, form="boxed")
    torch.testing.assert_close(boxed[0], printed[0])  # nothing to cut
    torch.testing.assert_close(boxed[1].flatten(), torch.tensor([0.0, 1.0, 0.5]))  # all that the box allows


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.3))
def test_amplified_perturbations_have_the_asked_size(seed, size):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(4, 1, 8, 8, generator=generator, dtype=torch.float64)
    step = 0.02 * torch.randn(4, 1, 8, 8, generator=generator, dtype=torch.float64)
    distorted = (clean + step).clamp(0, 1)
    wanted = torch.full((4,), size, dtype=torch.float64)
    torch.testing.assert_close(rms(clean, amplify(clean, distorted, size)), wanted)
    boxed = amplify(clean, distorted, size, form="boxed")
    torch.testing.assert_close(rms(clean, boxed), wanted, rtol=1e-6, atol=1e-9)
    assert boxed.min() >= 0 and boxed.max() <= 1
    assert bool((((boxed - clean) * (distorted - clean)) >= 0).all())  # every pixel keeps its direction
    assert bool((rms(clean, amplify(clean, distorted, size, form="clipped")) <= wanted + 1e-12).all())


@pytest.mark.parametrize("arguments", [{"form": "other"}, {"size": 0.0}, {"size": math.nan}])
def test_amplify_refuses_what_it_cannot_do(arguments):
    with pytest.raises(ValueError, match="expected"):
        amplify(torch.zeros(1, 3), torch.zeros(1, 3), **arguments)


def test_amplify_refuses_two_shapes():
    with pytest.raises(ValueError, match="one shape"):
        amplify(torch.zeros(1, 3), torch.zeros(2, 3))


def test_each_image_is_moved_by_its_own_way_inside_the_box():
    images = torch.tensor([[0.0, 0.5], [0.5, 0.5], [0.2, 0.2]])
    distorted = torch.tensor([[-0.1, 0.6], [0.6, 0.6], [0.2, 0.2]])
    moved = moved_by(images, distorted, torch.tensor([0.2, 0.1, 0.3]))
    # The first image cannot get darker in its first pixel, so the second one carries the whole way.
    assert moved.flatten().tolist() == pytest.approx([0.0, 0.5 + 0.2 * 2**0.5, 0.6, 0.6, 0.2, 0.2], abs=1e-6)


@pytest.mark.parametrize(("other", "sizes"), [((2, 3), 2), ((2, 2), 3)])
def test_moving_refuses_two_shapes_and_a_wrong_number_of_sizes(other, sizes):
    with pytest.raises(ValueError, match="got"):
        moved_by(torch.zeros(2, 2), torch.zeros(other), torch.ones(sizes))


@pytest.mark.parametrize("form", ["printed", "clipped", "boxed"])
def test_pixels_that_do_not_move_stay_however_far_the_others_go(form):
    clean = torch.zeros(2, 4, dtype=torch.float64)
    distorted = torch.tensor([[1e-20, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0]], dtype=torch.float64)
    far = amplify(clean, distorted, 1e300, form=form)
    expected = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]).double() * (2e300 if form == "printed" else 1)
    torch.testing.assert_close(far, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-150, 1.0, 1e200, 1e300])
def test_distances_whose_squares_overflow_or_vanish_are_measured(size):
    others = size * torch.tensor([[3.0, 4.0], [0.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(
        rms(0 * others, others), size * torch.tensor([12.5**0.5, 0.0, 1.0]).double(), rtol=1e-7, atol=0
    )


def test_what_is_no_image_is_refused():
    x = torch.rand(2, 3)
    for call in (rms, amplify):
        with pytest.raises(TypeError, match="got images of torch.complex64; expected real pixels"):
            call(x + 1j, x)
        with pytest.raises(ValueError, match="images without pixels; expected at least one"):
            call(x[:, :0], x[:, :0])
    with pytest.raises(TypeError, match="got images of torch.uint8; expected floating pixels"):
        amplify((255 * x).byte(), (250 * x).byte())
    assert rms((3 + 0 * x).byte(), (5 + 0 * x).byte()).tolist() == [2, 2]


def test_a_masked_target_trails_even_where_all_are_masked():
    inf = math.inf
    logits = torch.tensor([[-inf, -inf, -inf], [-inf, 1.0, 2.0], [1.0, -inf, -inf]])
    assert logit_margin(logits, torch.zeros(3, dtype=torch.long)).tolist() == [-inf, -inf, inf]


@pytest.mark.parametrize(
    "function", [lambda x: torch.ones(len(x)), lambda x: x.detach().sum(1), lambda x: torch.ones(2, requires_grad=True)]
)
def test_a_function_without_a_gradient_is_named(function):
    with pytest.raises(ValueError, match="got values without a gradient with respect to the points; expected"):
        value_and_gradient(function, torch.rand(2, 3))
