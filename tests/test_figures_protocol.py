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


def test_curves_have_their_printed_levels():
    factors = [0.1, 1, 10]
    figure = figures_protocol.curves(
        factors, {"error": {"n": [0.1, 0.2, 0.3]}, "size": {"n": [1, 2, 3]}}, {"error": {"n": 0.25}, "size": {"n": 2}},
        percent=["error"],
    )  # fmt: skip
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == [0.1, 0.2, 0.3] and set(left.lines[1].get_ydata()) == {0.25}
    assert right.get_title() == "size" and right.get_xscale() == "log"
    assert figure.png()
    with pytest.raises(ValueError, match="got no panel"):
        figures_protocol.curves(factors, {}, {})


def test_coarseness_has_two_panels():
    figure = figures_protocol.coarseness(["exact", "2"], {"n": [1, 1.2]}, {"n": [0.1, 0.3]})
    assert [axes.lines[0].get_ydata().tolist() for axes in figure.axes] == [[1, 1.2], [0.1, 0.3]]
    assert figure.png()


def test_deviations_are_sorted_by_the_first():
    figure = figures_protocol.deviations({"Table 1": (np.array([3.0, -1, 2]), np.array([1.0, 0, 5]))}, ("a", "b"))
    before, after = (line.get_ydata().tolist() for line in figure.axes[0].lines[1:])
    assert before == [-1, 2, 3] and after == [0, 5, 1]
    assert figure.png()
    with pytest.raises(ValueError, match="got no panel"):
        figures_protocol.deviations({}, ("a", "b"))
