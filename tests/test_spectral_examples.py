"""The small examples against calculus by finite differences and against NumPy's singular values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from intriguing.chapters.spectral import pictures
from intriguing.chapters.spectral.examples import (
    CONSTANT,
    X,
    chords,
    cones,
    layers,
    one_weight,
    outside,
    parallel,
    separable,
    turned,
    wave,
)


def slope(x: float) -> float:
    """The derivative of the wave, by finite differences."""
    return float(wave(x + 1e-6) - wave(x - 1e-6)) / 2e-6


def test_the_constant_is_the_steepest_slope():
    assert max(abs(slope(x)) for x in X) == pytest.approx(CONSTANT)
    steepest = max(abs(wave(a) - wave(b)) / (a - b) for b, a in itertools.combinations(X[::4], 2))
    assert 0.99 * CONSTANT < steepest <= CONSTANT


def test_no_point_is_outside_its_cone_at_the_constant_and_some_are_below():
    assert not any(outside(X, place, CONSTANT).any() for place in X[::20])
    assert outside(X, 0.0, 0.8 * CONSTANT).any() and outside(X, 0.5, 0.8 * CONSTANT).any()
    assert not outside(X, 0.25, 0.8 * CONSTANT).any()  # from its top the curve falls too slowly to leave
    assert outside(np.array([0.25]), 0.0, 1.19).all() and not outside(np.array([0.25]), 0.0, 1.21).any()  # 0.3 / 0.25


@pytest.mark.parametrize(("start", "end"), [(0.1, 0.35), (0.1, 0.6), (0.0, 1.0), (0.1, 1.05), (0.4, 0.6), (-0.2, 0.1)])
def test_the_mean_value_lies_between_the_ends(start, end):
    steep, place = parallel(start, end)
    assert start < place < end
    assert steep == pytest.approx(float(wave(end) - wave(start)) / (end - start))
    assert slope(place) == pytest.approx(steep, abs=1e-8)


def test_a_chord_without_length_is_refused():
    for end in (0.1, 0.05, 1.2):
        with pytest.raises(ValueError, match="expected an end above the start"):
            parallel(0.1, end)


def test_layers_multiply_only_when_they_are_aligned():
    norm = lambda matrix: float(np.linalg.norm(matrix, 2))  # noqa: E731
    for angle in (0, 30, 60, 90):
        first, second = layers(angle)
        assert norm(first) == pytest.approx(2) and norm(second) == pytest.approx(2)
        assert norm(second @ first) <= 4 + 1e-12
    assert norm(layers(0)[1] @ layers(0)[0]) == pytest.approx(4)
    assert norm(layers(90)[1] @ layers(90)[0]) == pytest.approx(1)
    # Half-way, by hand: the largest singular value of 2 by 2 from its trace and determinant.
    product = layers(45)[1] @ layers(45)[0]
    trace, determinant = np.trace(product @ product.T), np.linalg.det(product) ** 2
    assert norm(product) ** 2 == pytest.approx((trace + math.sqrt(trace**2 - 4 * determinant)) / 2)


def test_pages_show_the_numbers():
    figure = pictures.cone(X, wave(X), 0.5, 1.2, outside(X, 0.5, 1.2))
    red = figure.axes[0].lines[1].get_ydata()
    assert np.array_equal(~np.isnan(red), outside(X, 0.5, 1.2))
    steep, place = parallel(0.1, 0.6)
    figure = pictures.chord(X, wave(X), (0.1, 0.6), place, steep, CONSTANT)
    ends = figure.axes[0].lines[1]
    assert np.diff(ends.get_ydata())[0] / np.diff(ends.get_xdata())[0] == pytest.approx(steep)
    figure = pictures.two_layers(*layers(90))
    assert [axes.get_title() for axes in figure.axes] == ["a unit circle", "after the first, 2.00", "after both, 1.00"]


def test_a_picture_for_every_position_of_the_sliders():
    page = cones(places=[0.25, 0.5], bounds=[0.8, 1.9]).html
    assert page.count("<img") == 4 and 'max="1"' in page
    share = outside(X, 0.5, 0.8).mean()
    assert f"<p>{share:.0%} of the curve lies outside the cone of slope 0.8 at 0.5.</p>" in page
    page = chords(start=0.1, ends=[0.2, 0.6]).html
    steep, place = parallel(0.1, 0.6)
    assert f"The chord from 0.1 to 0.6 has slope {steep:.2f}; so has the curve at {place:.2f}. " in page
    page = turned(angles=[0, 90]).html
    assert "Product of the norms 4.00, norm of the product 1.00." in page and "norm of the product 4.00." in page


def test_a_single_weight_has_norm_one_and_the_printed_factor_loses_a_stride():
    frame = one_weight((1, 2, 4))
    assert frame.index.name == "stride"
    assert frame["true norm"].tolist() == pytest.approx([1, 1, 1]) == frame["corrected"].tolist()
    assert frame["factor as printed"].tolist() == pytest.approx([1, 1 / 2, 1 / 4])
    assert separable((1, 0, -2))[0, 0].tolist() == [[1, 0, -2], [0, 0, 0], [-2, 0, 4]]
