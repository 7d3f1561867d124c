"""The pictures of the chapter on the protocol: what is drawn where, and what is refused."""

import numpy as np
import pytest

from intriguing import figures_protocol


def test_levels_stand_at_their_misfits():
    figure = figures_protocol.levels({"A": {"a": 2.0, "b": 5.0}, "B": {"c": 3.5}}, 3.0, least=0.7)
    axes = figure.axes[0]
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [2.0, 5.0, 3.5]
    colours = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert colours[0] != colours[1] == colours[2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert figure.png()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="got no level"):
        figures_protocol.levels({"A": {}}, 1.0)


def test_curves_have_their_printed_levels_and_rings():
    figure = figures_protocol.curves(
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
    assert figure.png()
    with pytest.raises(ValueError, match="got no panel"):
        figures_protocol.curves({}, {}, xlabel="")


def test_what_is_no_part_of_the_scale_stands_apart():
    figure = figures_protocol.curves({"a": 0, "b": 1, "c": 3}, {"size": {"n": [1, 2, 5]}}, xlabel="choice", apart=1)
    curve, rest = figure.axes[0].lines
    assert curve.get_ydata().tolist() == [1, 2]
    assert (rest.get_xdata().tolist(), rest.get_ydata().tolist(), rest.get_linestyle()) == ([3], [5], "None")


def test_deviations_are_sorted_by_the_first():
    figure = figures_protocol.deviations({"Table 1": (np.array([3.0, -1, 2]), np.array([1.0, 0, 5]))}, ("a", "b"))
    before, after = (line.get_ydata().tolist() for line in figure.axes[0].lines[1:])
    assert before == [-1, 2, 3] and after == [0, 5, 1]
    assert figure.png()
    with pytest.raises(ValueError, match="got no panel"):
        figures_protocol.deviations({}, ("a", "b"))
