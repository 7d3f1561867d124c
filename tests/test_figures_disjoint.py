"""The pictures of the chapter on disjoint training sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from intriguing.chapters.disjoint_sets import pictures


def test_intervals_draw_what_they_are_given():
    frame = pd.DataFrame(
        {
            "label": ["a → b", "c → d"],
            "mean": [0.1, 0.5],
            "spread": [0.01, 0.0],
            "ours": [0.2, 0.4],
            "paper": [0.3, 0.6],
        }
    )
    figure = pictures.intervals([[("Table 2 (%)", frame)], [("Sizes (rms)", frame), ("More (%)", frame)]])
    assert len(figure.axes) == 3
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "Table 2 (%)"
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a → b", "c → d"]
    mean, ours, printed = (line.get_xdata() for line in axes.lines)
    np.testing.assert_allclose(mean, [10, 50])
    np.testing.assert_allclose(ours, [20, 40])
    np.testing.assert_allclose(printed, [30, 60])
    segment = axes.collections[0].get_segments()[0]
    np.testing.assert_allclose(segment[:, 0], [8, 12])
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xdata(), [0.1, 0.5])  # no percent
    assert figure.png()[:4] == b"\x89PNG"


@pytest.mark.parametrize("groups", [[], [[]]])
def test_intervals_refuse_an_empty_figure(groups):
    with pytest.raises(ValueError, match="no panel"):
        pictures.intervals(groups)


def test_matrices_write_every_value():
    frame = pd.DataFrame([[0.5, np.nan], [1.0, 0.02]], index=["r", "s"], columns=["a-b", "c"])
    figure = pictures.matrices({"ours": frame, "gap": frame - 0.75}, diverging="gap")
    first, second = figure.axes
    assert [text.get_text() for text in first.texts] == ["50.0", "100.0", "2.0"]
    assert [text.get_text() for text in second.texts] == ["−25.0", "+25.0", "−73.0"]
    assert first.get_title(loc="left") == "ours (%)"
    assert [text.get_text() for text in first.get_yticklabels()] == ["r", "s"]
    assert first.yaxis_inverted()


def test_matrices_refuse_other_rows():
    frame = pd.DataFrame([[0.5]], index=["r"], columns=["a"])
    with pytest.raises(ValueError, match="same rows"):
        pictures.matrices({"a": frame, "b": frame.rename(index={"r": "s"})})
    with pytest.raises(ValueError, match="at least one"):
        pictures.matrices({})


def test_findings_stand_in_the_panel_of_their_table():
    frame = pd.DataFrame(
        {
            "table": ["table1", "table2", "table3", "table4", "table2"],
            "kind": ["error"] * 4 + ["distortion"],
            "row": ["m"] * 5,
            "column": ["test error", "n", "error on P1", "n", "distortion"],
            "mean": [0.1] * 5,
            "spread": [0.01] * 5,
            "ours": [0.2] * 5,
            "paper": [0.3] * 5,
        }
    )
    figure = pictures.findings(frame)
    labels = {axes.get_title(loc="left"): [text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes}
    assert labels == {
        "Table 2 (%)": ["m → n"],
        "Table 4 (%)": ["m → n"],
        "Table 3 (%)": ["m, error on P1"],
        "Table 1 (%)": ["m, test error"],
    }


def test_a_table_against_the_papers():
    ours = pd.DataFrame([[0.5, 0.06]], index=["r"], columns=["a", "distortion"])
    theirs = pd.DataFrame([[0.9, 0.25, 0.1], [0, 0, 0]], index=["r", "s"], columns=["b", "a", "distortion"])
    figure = pictures.against(ours, theirs)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["ours (%)", "the paper (%)", "difference (points)"]
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [["50.0"], ["25.0"], ["+25.0"]]
