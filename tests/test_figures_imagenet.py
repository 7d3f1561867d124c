"""The pictures of photographs: what is drawn where, and that they are light."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from intriguing.chapters.photographs import pictures


def shown(figure):
    """The arrays that the axes of a figure hold."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_a_photo_is_shown_as_a_jpeg():
    figure = pictures.rows([np.zeros((2, 3, 8, 8))], ["black"], pixels=8)
    assert figure._repr_png_() is None
    picture = Image.open(io.BytesIO(figure._repr_jpeg_()))
    assert picture.format == "JPEG" and picture.size[0] > 500


def test_rows_hold_their_photographs_in_order():
    colours = np.linspace(0.1, 0.9, 6).reshape(2, 3, 1, 1, 1) * np.ones((2, 3, 3, 10, 10))
    figure = pictures.rows(list(colours), ["one", "two"], pixels=10)
    first, second = shown(figure)
    for picture, values in ((first, colours[0]), (second, colours[1])):
        assert [picture[5, 12 * i + 5, 0] for i in range(3)] == pytest.approx(values[:, 0, 5, 5], abs=0.01)
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    with pytest.raises(ValueError, match="got 2 rows and 1 captions"):
        pictures.rows(list(colours), ["one"])


def test_triptychs_magnify_shift_and_clamp():
    clean = np.full((3, 3, 8, 8), 0.5)
    step = np.array([0.01, -0.02, 0.2]).reshape(3, 1, 1, 1)
    figure = pictures.triptychs(clean, clean + step, magnifications=(10, 100), columns=2, pixels=8)
    left, right = shown(figure)
    at = [5, 15, 25, 35]  # the middles of four tiles of 8 with gaps of 2
    grey = 128 / 255
    assert left[4, at, 0] == pytest.approx([0.5, grey + 0.1, 1.0, 0.51], abs=0.004)
    assert right[4, at, 0] == pytest.approx([0.5, grey - 0.2, 0.0, 0.48], abs=0.004)
    assert left[14, at, 0] == pytest.approx([0.5, 1.0, 1.0, 0.7], abs=0.004)  # the third one, in the second line
    assert right[14, at, 0] == pytest.approx([1.0] * 4)  # and nothing beside it
    heads = [text.get_text() for text in figure.axes[0].texts]
    assert heads == ["original", "difference × 10", "× 100", "distorted"]
    with pytest.raises(ValueError, match="expected \\(N, 3, height, width\\) twice"):
        pictures.triptychs(clean, clean[:1])


@pytest.mark.parametrize(("magnifications", "columns"), [((10, 100), 1), ((10, 100), 2), ((10,), 2), ((10,), 4)])
def test_heads_of_triptychs_stand_side_by_side_or_not_at_all(magnifications, columns):
    clean = np.full((4, 3, 64, 64), 0.5)
    wide = pictures.triptychs(clean, clean, magnifications=magnifications, columns=columns, pixels=64)
    for figure in (wide, wide.redraw()):
        assert bool(figure.axes[0].texts) is (columns < 4)
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_differences_are_sampled_and_not_averaged():
    clean = np.full((1, 3, 16, 16), 0.5)
    checks = np.indices((16, 16)).sum(0) % 2 * 0.2 - 0.1  # neighbours would cancel
    figure = pictures.triptychs(clean, clean + checks, magnifications=(5,), columns=1, pixels=8)
    (picture,) = shown(figure)
    middle = picture[:8, 10:18, 0]
    assert set(np.round(middle, 2).ravel()) <= {0.0, 1.0}


def test_the_cumulative_share_by_hand():
    figure = pictures.cumulative({"a": [0.02, 0.01, np.inf, 0.04, 0.0]}, marks={"printed": 0.03}, xlabel="distortion")
    (axes,) = figure.axes
    x, y = axes.lines[0].get_data()
    assert x[1:-1] == pytest.approx([0.01, 0.02, 0.04])
    assert y == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8]) and axes.get_xscale() == "log"
    assert axes.lines[1].get_xdata()[0] == 0.03 and axes.texts[0].get_text() == "printed"
    with pytest.raises(ValueError, match="without positive values"):
        pictures.cumulative({"a": [np.inf]})


def test_bars_of_several_curves_stand_beside_each_other():
    lines = {"a": ([0, 1], [1.0, 2.0]), "b": ([0, 1], [3.0, 4.0])}
    figure = pictures.curves(lines, spreads={"a": ([0.5, 1.0], [1.5, 4.0])}, xlabel="x", ylabel="y", names=["p", "q"])
    (axes,) = figure.axes
    first, second = (container.lines[0].get_data() for container in axes.containers)
    assert first[0] == pytest.approx([-0.03, 0.97]) and second[0] == pytest.approx([0.03, 1.03])
    (bars,) = axes.containers[0].lines[2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[0.5, 1.5], [1.0, 4.0]]
    assert axes.containers[1].lines[2] == () and axes.get_legend_handles_labels()[1] == ["a", "b"]
    plain = pictures.curves(lines, xlabel="x", ylabel="y").axes[0]
    assert plain.containers[0].lines[0].get_data()[0] == pytest.approx([0, 1])
