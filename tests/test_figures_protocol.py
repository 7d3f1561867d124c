"""The pictures of the chapter on the protocol: what is drawn where, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from drawn import lines_seen
from intriguing.chapters.protocol import pictures


def test_curves_have_their_printed_levels_and_rings():
    figure = pictures.curves(
        {"small": 0, "one": 1, "large": 2},
        {"error": {"n": [0.1, 0.2, 0.3]}, "size": {"n": [1, 2, 3]}},
        xlabel="choice",
        percent=["error"],
        printed={"error": {"n": 0.25}},
        rings={"error": {"n": 1.5}},
    )
    left, right = figure.axes
    curve, nothing, level, ring = left.lines
    assert curve.get_ydata().tolist() == [0.1, 0.2, 0.3] and not len(nothing.get_xdata())
    assert set(level.get_ydata()) == {0.25} and level.get_color() == curve.get_color()
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (1.5, 0.25)
    assert right.get_title() == "size" and len(right.lines) == 2
    assert [label.get_text() for label in left.get_xticklabels()] == ["small", "one", "large"]
    assert lines_seen(figure) == 4  # all but the two without points
    with pytest.raises(ValueError, match="got no panel"):
        pictures.curves({}, {}, xlabel="")


def test_what_is_no_part_of_the_scale_stands_apart():
    figure = pictures.curves({"a": 0, "b": 1, "c": 3}, {"size": {"n": [1, 2, 5]}}, xlabel="choice", apart=1)
    curve, rest = figure.axes[0].lines
    assert curve.get_ydata().tolist() == [1, 2]
    assert (rest.get_xdata().tolist(), rest.get_ydata().tolist(), rest.get_linestyle()) == ([3], [5], "None")


def test_deviations_are_sorted_by_the_first():
    figure = pictures.deviations({"Table 1": (np.array([3.0, -1, 2]), np.array([1.0, 0, 5]))}, ("a", "b"))
    before, after = (line.get_ydata().tolist() for line in figure.axes[0].lines[1:])
    assert before == [-1, 2, 3] and after == [0, 5, 1]
    assert lines_seen(figure) == len(figure.axes[0].lines)
    with pytest.raises(ValueError, match="got no panel"):
        pictures.deviations({}, ("a", "b"))


def test_the_coarse_figure_is_relative_to_the_exact_search():
    sizes = pd.DataFrame({"m": [0.1, 0.2, 0.5]}, index=["exact", "grid", "one"])
    figure = pictures.coarseness(sizes, sizes * 2, [10.0])
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == [1, 2] and left.lines[1].get_ydata().tolist() == [5]
    assert right.lines[0].get_ydata().tolist() == [0.2, 0.4]
    assert left.lines[1].get_xdata()[0] == pytest.approx(np.log(20))
    assert [label.get_text() for label in left.get_xticklabels()] == ["exact", "10", "one c"]
