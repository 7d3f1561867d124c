"""The plane of cost against distortion: every method that has a result stands where its numbers say."""

import math

import pandas as pd
import pytest

from intriguing.chapters import minimum


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": ["ours, refined", "a fast one", "a slow one", "one that fails", "one without a result"],
            "seconds": [0.001, 0.002, 1.0, 0.5, math.nan],
            "ratio": [1.0, 1.02, 1.001, 2.0, math.nan],
            "success": [1.0, 1.0, 1.0, 0.93, math.nan],
        },
        index=[3, 1, 4, 15, 9],
    )


def test_points_stand_where_their_numbers_say(frame):
    axes = minimum.plane({"FC10": frame}).axes[0]
    points = {tuple(map(float, line.get_xydata()[0])) for line in axes.lines if len(line.get_xydata()) == 1}
    expected = {(0.001, minimum.NEAREST), (0.002, 0.02), (1.0, 0.001), (0.5, 1.0)}
    assert {(x, round(y, 9)) for x, y in points} == expected
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_failures_are_named_and_missing_results_left_out(frame):
    axes, beside = minimum.plane({"FC10": frame}).axes
    words = [text.get_text() for text in beside.texts]
    assert words == ["1  ours, refined", "2  a fast one", "3  one that fails (93%)", "4  a slow one"]
    where = {text.get_text(): text.xy for text in axes.texts}
    assert where["3"] == (0.5, 1.0) and where["4"][0] == 1.0


def test_one_panel_for_each_network(frame):
    figure = minimum.plane({"FC10": frame, "FC100": frame})
    assert [axes.get_title() for axes in figure.axes] == ["FC10", "", "FC100", ""]
    assert figure.png()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ValueError, match="got no panel"):
        minimum.plane({})


def test_a_list_names_what_was_run_on_its_network_and_what_lies_above_its_panel(frame):
    far = frame.assign(ratio=[1.0, 2 + minimum.HIGHEST, 1.001, 2.0, math.nan])
    figure = minimum.plane({"FC10": far, "FC100": frame[frame["method"] != "a slow one"]})
    first, second = ([text.get_text() for text in axes.texts] for axes in figure.axes[1::2])
    assert first[1] == "2  a fast one, above the panel" and first[3] == "4  a slow one" and len(first) == 4
    assert second == ["1  ours, refined", "2  a fast one", "3  one that fails (93%)"]
    drawn = {text.get_text() for text in figure.axes[0].texts}
    assert drawn == {"1", "3", "4"} and figure.axes[0].get_ylim()[1] > 2 * minimum.HIGHEST  # room for a number
