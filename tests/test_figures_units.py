"""The pictures of the chapters on units: what is drawn where, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from intriguing.book import coherence, plots
from intriguing.book.plots import Figure
from intriguing.chapters.units import pictures, study
from intriguing.data import Images

CHANCE = np.random.default_rng(0)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def drawn(figure: Figure) -> bool:
    return figure.png().startswith(b"\x89PNG")


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "units": [0.9, 0.5, 0.7],
            "directions": [0.8, 0.6, 0.7],
            "difference": [0.1, -0.1, 0.0],
            "low": [0.05, -0.15, -0.02],
            "high": [0.15, -0.05, 0.02],
        },
        index=["one", "two", "three"],
    )


def test_strips_show_every_image_in_its_place_with_its_caption() -> None:
    rows = CHANCE.uniform(size=(3, 4, 1, 5, 5))
    figure = pictures.strips(rows, ["a", "b", "c"])
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]
    second = figure.axes[1].images[0].get_array()
    assert second.shape[:2] == (5, 4 * 5 + 3 * 2)
    assert np.allclose(second[:, 7:12, 0], rows[1, 1, 0], atol=1 / 255)
    assert drawn(figure)
    colour = pictures.strips(CHANCE.uniform(size=(1, 2, 3, 5, 5)), ["d"])
    assert colour.axes[0].images[0].get_array().shape == (5, 12, 4)


def test_strips_refuse_what_does_not_fit() -> None:
    rows = CHANCE.uniform(size=(2, 4, 1, 5, 5))
    for wrong in ([], [rows[0], rows[1][:3]]):
        with pytest.raises(ValueError, match="expected rows of one shape"):
            pictures.strips(wrong, ["a"] * len(wrong))
    with pytest.raises(ValueError, match="1 captions"):
        pictures.strips(rows, ["a"])


def test_versus_draws_both_sides_and_colours_by_the_interval() -> None:
    figure = pictures.versus(frame(), chance=0.3, margin=0.06)
    left, right = figure.axes
    assert [line.get_xdata().tolist() for line in left.lines[:2]] == [[0.9, 0.5, 0.7], [0.8, 0.6, 0.7]]
    assert left.lines[2].get_xdata()[0] == 0.3
    colours = [tuple(colour) for colour in right.collections[0].get_colors()]
    assert len(set(colours)) == 3  # above zero, below zero, neither
    assert [text.get_text() for text in left.get_yticklabels()] == ["one", "two", "three"]
    ends = [segment[:, 0].tolist() for segment in right.collections[0].get_segments()]
    assert ends == [[0.05, 0.15], [-0.15, -0.05], [-0.02, 0.02]]
    assert drawn(figure)
    with pytest.raises(ValueError, match="empty frame"):
        pictures.versus(frame()[:0], chance=0.3, margin=0.06)


def test_by_size_has_a_panel_for_each_layer() -> None:
    panel = frame().set_axis([4, 16, 64])
    figure = pictures.by_size({"a": panel, "b": panel, "c": panel}, margin=0.06, columns=2)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]
    assert figure.axes[2].lines[-1].get_xydata().tolist() == [[4, 0.1], [16, -0.1], [64, 0.0]]
    assert drawn(figure)


def test_mixing_and_explained_draw_their_points() -> None:
    figure = pictures.mixing({"a": ([1, 2, 4], {"x": [1, 0.5, 0.2], "y": [1, 0.9, 0.8]})})
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[1, 0.5, 0.2], [1, 0.9, 0.8]]
    assert drawn(figure)
    points = {"g": {"p": (0.2, 0.5), "q": (0.6, 0.8)}, "h": {"r": (0.1, 0.4)}}
    figure = pictures.explained(points, chance=0.3, xlabel="x", ylabel="y")
    assert [line.get_xydata().tolist() for line in figure.axes[0].lines[:2]] == [[[0.2, 0.5], [0.6, 0.8]], [[0.1, 0.4]]]
    assert {text.get_text() for text in figure.axes[0].texts} == {"p", "q", "r", "random sets"}
    assert drawn(figure)


@pytest.mark.parametrize("inches", [6.5, 3.9])
def test_no_name_covers_a_point_or_leaves_the_panel(inches: float) -> None:
    trained = {"first, positions": (0.32, 0.65), "first, channels": (0.39, 0.65), "logits of sigmoids": (0.85, 0.9)}
    points = {"trained": trained, "untrained": {"first, positions": (0.25, 0.58), "pixels": (0.21, 0.58)}}
    figure = pictures.explained(points, chance=0.3, xlabel="x", ylabel="y", inches=inches)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    marks = axes.transData.transform([place for named in points.values() for place in named.values()])
    for words in axes.texts[:-1]:
        box = Text.get_window_extent(words)
        assert not box.count_contains(marks) and box.x0 >= axes.bbox.x0 and box.x1 <= axes.bbox.x1
    assert (figure.redraw is not None) == (inches > 5)


def test_names_are_kept_apart_and_near_their_points() -> None:
    assert pictures._spaced(np.array([0.5, 0.1, 0.9]), 0.2).tolist() == pytest.approx([0.5, 0.1, 0.9])
    crowded = np.array([0.51, 0.5, 0.52, 0.9])
    placed = pictures._spaced(crowded, 0.1)
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-9
    assert np.argsort(placed).tolist() == np.argsort(crowded).tolist()
    assert placed[:3].mean() == pytest.approx(crowded[:3].mean())


@pytest.mark.parametrize(
    "draw",
    [
        lambda: pictures.by_size({}, margin=0.1),
        lambda: plots.among({}, xlabel=""),
        lambda: pictures.mixing({}),
        lambda: pictures.explained({}, chance=0, xlabel="", ylabel=""),
    ],
)
def test_nothing_to_draw_is_refused(draw) -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        draw()


def test_sliders_show_a_picture_for_each_position_and_say_what_it_is() -> None:
    labels = torch.arange(200) % 10
    features = torch.nn.functional.one_hot(labels, 10) + 0.2 * torch.rand(200, 10, generator=generator())
    images = Images(torch.rand(200, 1, 4, 4, generator=generator()), labels, "noise")
    one = coherence.survey("a", features, images.images, labels, features, resamples=9, directions=20)
    html = pictures.game(one, images, pairs=2, skip=1).html
    assert html.count("<img") == 4 and html.count("A above B") == 2
    guess = study.guesses(one, 2, skip=1)[0]
    names = [f"unit {guess.unit}", f"direction {guess.direction + 1}"]
    assert " above ".join(names if guess.first else names[::-1]) in html
    html = pictures.gallery({"a": one, "b": one}, images, start="b", pages=2, skip=0).html
    assert html.count("<img") == 4 and html.count("Layer a. unit") == 2
    assert "direction 8: " in html and "direction 9: " not in html
