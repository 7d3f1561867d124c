"""The pictures of the chapter on the protocol: what is drawn where, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from drawn import lines_seen
from intriguing.chapters.protocol import pictures


def test_levels_stand_at_their_misfits():
    figure = pictures.levels({"A": {"a": 2.0, "b": 5.0}, "B": {"c": 3.5}}, 3.0, least=0.7)
    axes = figure.axes[0]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [2.0, 5.0, 3.5]
    colours = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert colours[0] != colours[1] == colours[2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert figure.png()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="got no level"):
        pictures.levels({"A": {}}, 1.0)


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


def test_the_decay_figure_has_a_ring_where_a_curve_meets_what_is_printed():
    index = pd.MultiIndex.from_product([[0.1, 1.0, 10.0], ["m"]], names=["factor", "row"])
    measured = pd.DataFrame({"distortion": [1.0, 2.0, 3.0], "test error": [0.1, 0.2, 0.3]}, index=index)
    printed = pd.DataFrame({"test error": [0.15], "distortion": [9.0]}, index=["m"])
    wanted = pd.DataFrame({"test error": [10**-0.5], "distortion": [np.nan]}, index=["m"])
    figure = pictures.decay(measured, printed, wanted)
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("test error", "distortion")
    assert left.lines[0].get_ydata().tolist() == [0.1, 0.2, 0.3]
    assert left.lines[-1].get_xdata()[0] == pytest.approx(-0.5 * np.log(10)) and left.lines[-1].get_ydata()[0] == 0.15
    assert [label.get_text() for label in left.get_xticklabels()] == ["0.1", "1", "10"]
    assert np.isnan(right.lines[-1].get_xdata()[0])


def test_the_coarse_figure_is_relative_to_the_exact_search():
    sizes = pd.DataFrame({"m": [0.1, 0.2, 0.5]}, index=["exact", "grid", "one"])
    figure = pictures.coarseness(sizes, sizes * 2, [10.0])
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == [1, 2] and left.lines[1].get_ydata().tolist() == [5]
    assert right.lines[0].get_ydata().tolist() == [0.2, 0.4]
    assert left.lines[1].get_xdata()[0] == pytest.approx(np.log(20))
    assert [label.get_text() for label in left.get_xticklabels()] == ["exact", "10", "one c"]


def test_what_remains_has_a_panel_for_each_table():
    index = pd.MultiIndex.from_tuples([("table1", "a"), ("table1", "b"), ("table4", "a")], names=["table", "row"])
    base, after = pd.DataFrame({"z": [3.0, 1.0, 2.0]}, index), pd.DataFrame({"z": [0.0, 1.0, -1.0]}, index)
    figure = pictures.remaining(base, after)
    assert [axes.get_title() for axes in figure.axes] == ["Table 1", "Table 4"]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines[1:]] == [[1, 3], [1, 0]]
