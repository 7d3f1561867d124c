"""The pictures of the chapter on units and random directions: arrays in, a figure out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from intriguing.book import coherence, plots, sliders
from intriguing.book.plots import (
    DIRECTIONS,
    NARROW,
    PALETTE,
    UNITS,
    WIDTH,
    Figure,
    as_array,
    as_images,
    mosaic,
    styled,
)
from intriguing.chapters.units import study
from intriguing.data import Images


@styled
def strips(rows: Sequence[ArrayLike], captions: Sequence[str], *, columns: int = 2, inches: float = WIDTH) -> Figure:
    """Rows of top images, each with its caption below, like the paper's Figures 1 to 4.

    Args:
        rows: R sets of k images each, as for ``plots.digits``.
        captions: R short texts.
        columns: strips beside each other.
        inches: width of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: No row, rows of different lengths, or captions of another number.

    Source:
        Szegedy et al. 2013, Figures 1 to 4.
    """
    shown = [as_images(row) for row in rows]
    if not shown or len({row.shape for row in shown}) > 1 or len(captions) != len(shown):
        raise ValueError(
            f"got {len(shown)} rows of shapes {sorted({row.shape for row in shown})} and {len(captions)} captions; "
            "expected rows of one shape with a caption each."
        )
    columns = min(columns, len(shown))
    lines = -(-len(shown) // columns)
    count, height, width = shown[0].shape[:3]
    each = inches / columns * height / (count * width)
    figure = Figure(figsize=(inches, lines * (each + 0.23) + 0.05))
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.02)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, row, caption in zip(grid, shown, captions, strict=False):
        mosaic(axes, row, count)
        axes.set_title(caption, y=0, pad=-3, fontsize=8, va="top")
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    return figure


def rows(rows: Sequence[study.Row]) -> Figure:
    """Rows of top images with what their images share.

    Args:
        rows: of one layer.

    Returns:
        The figure.
    """
    return strips([row.images for row in rows], [row.caption for row in rows])


def game(one: coherence.Survey, images: Images, *, pairs: int = 12, skip: int = 4) -> sliders.Pages:
    """Pairs of a unit's row and a direction's, for a reader who wants to tell them apart, with a slider for the answer.

    Args:
        one: the survey of a layer.
        images: what it was made of.
        pairs: how many.
        skip: how many of the drawn units and directions were shown before.

    Returns:
        The pictures behind their sliders.
    """
    pictures, alts = [], []
    for guess in study.guesses(one, pairs, skip=skip):
        names = [f"unit {guess.unit}", f"direction {guess.direction + 1}"]
        names = names if guess.first else names[::-1]
        for words in (["A", "B"], names):
            pictures.append(strips(images.images[guess.rows], words, columns=1, inches=4.2))
            first, second = (study.shared(row, images.labels) for row in guess.rows)
            alts.append(f"Two rows of eight digits, {words[0]} above {words[1]}: {first}; {second}.")
    choices = {"pair": range(1, pairs + 1), "answer": ["hidden", "shown"]}
    return sliders.pages(pictures, choices, alts, start={"pair": 0, "answer": 0}, colours=32)


def gallery(
    surveys: Mapping[str, coherence.Survey], images: Images, *, start: str, pages: int = 4, skip: int = 16
) -> sliders.Pages:
    """Further rows of several layers: on each page units, each with a direction below it.

    Args:
        surveys: layer -> its survey.
        images: what they were made of.
        start: the layer to begin with.
        pages: per layer.
        skip: how many of the drawn units and directions were shown before.

    Returns:
        The pictures behind their sliders.
    """
    choices = {"layer": list(surveys), "page": range(1, pages + 1)}
    pictures, alts = [], []
    for name, page in sliders.positions(choices):
        ends = skip + 4 * (page - 1), skip + 4 * page
        left = study.unit_rows(surveys[name], images, *ends)
        right = study.direction_rows(surveys[name], images, *ends)
        pairs = [row for pair in zip(left, right, strict=True) for row in pair]
        pictures.append(strips([row.images for row in pairs], [row.caption for row in pairs], columns=1, inches=4.2))
        alts.append(f"Layer {name}. " + ". ".join(row.caption for row in pairs) + ".")
    begin = {"layer": list(surveys).index(start), "page": 0}
    return sliders.pages(pictures, choices, alts, start=begin, colours=24)


@styled
def versus(frame: pd.DataFrame, *, chance: float, margin: float, xlabel: str = "purity") -> Figure:
    """Units and directions layer by layer, and their difference with its interval.

    Args:
        frame: One row per layer with the columns ``units``, ``directions``, ``difference``, ``low`` and ``high``.
        chance: What random sets of images come to.
        margin: Below it a difference would not be noticed; drawn as a band around zero.
        xlabel: What is measured.

    Returns:
        The figure.

    Raises:
        ValueError: The frame is empty.
    """
    if frame.empty:
        raise ValueError("got an empty frame; expected at least one layer.")
    places = np.arange(len(frame))
    figure = Figure(figsize=(WIDTH, 0.95 + 0.27 * len(frame)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    left.hlines(places, frame["units"], frame["directions"], color=PALETTE["grey"], linewidth=1.2, zorder=1)
    for column, colour, marker in (("units", UNITS, "o"), ("directions", DIRECTIONS, "D")):
        left.plot(
            frame[column], places, marker, color=colour, label=column, markeredgecolor="white", markeredgewidth=0.6,
            markersize=6.5 if marker == "o" else 5.5,
        )  # fmt: skip
    left.axvline(chance, color=PALETTE["black"], linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    left.annotate(
        "random sets", (chance, 1), xycoords=left.get_xaxis_transform(), xytext=(3, -1), textcoords="offset points",
        va="top", fontsize=7, color="#666666",
    )  # fmt: skip
    left.set(xlabel=xlabel, xlim=(0.85 * chance, 1.03))
    left.set_yticks(places, list(map(str, frame.index)))
    left.set_ylim(len(frame) - 0.4, -1.0)
    right.axvspan(-margin, margin, color="#eeeeee", linewidth=0, zorder=0)
    right.axvline(0, color=PALETTE["grey"], linewidth=0.8, zorder=1)
    colours = [
        UNITS if low > 0 else DIRECTIONS if high < 0 else PALETTE["black"]
        for low, high in zip(frame["low"], frame["high"], strict=True)
    ]
    right.hlines(places, frame["low"], frame["high"], color=colours, linewidth=2.2)
    right.scatter(frame["difference"], places, color=colours, s=22, zorder=3, edgecolors="white", linewidths=0.6)
    right.set_xlabel("units minus directions")
    for axes in (left, right):
        axes.grid(axis="x")
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


@styled
def by_size(layers: Mapping[str, pd.DataFrame], *, margin: float, columns: int = 4) -> Figure:
    """The difference between units and directions against the size of the sets, one panel for each layer.

    Args:
        layers: Name -> ``difference``, ``low`` and ``high``, with k as the index.
        margin: Below it a difference would not be noticed; drawn as a band around zero.
        columns: Panels per line.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    figure, grid = plots.panels(
        layers.items(), row=1.65, rest=0.25, columns=columns, title_size=8.5, sharex=True, sharey=True
    )
    for axes, frame in grid:
        axes.axhspan(-margin, margin, color="#eeeeee", linewidth=0)
        axes.axhline(0, color=PALETTE["grey"], linewidth=0.8)
        axes.fill_between(frame.index, frame["low"], frame["high"], color=UNITS, alpha=0.25, linewidth=0)
        axes.plot(frame.index, frame["difference"], color=UNITS, marker="o", markersize=3.5)
        axes.set_xscale("log")
        axes.tick_params(length=0)
        axes.xaxis.set_major_locator(FixedLocator(list(frame.index)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        axes.tick_params(axis="x", labelsize=7)
    figure.supxlabel("images in a set, k", fontsize=8.5)
    figure.supylabel("purity, units minus directions", fontsize=8.5)
    return figure


@styled
def mixing(layers: Mapping[str, tuple[Sequence[int], Mapping[str, ArrayLike]]], *, ylabel: str = "purity") -> Figure:
    """A measure against the number of units that a direction mixes, one panel for each layer.

    Args:
        layers: Name -> sizes of the mixtures, and kind of weights -> values by size.
        ylabel: What is measured.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    figure, grid = plots.panels(layers.items(), row=2.35, sharey=True)
    styles = ((DIRECTIONS, "D", "-"), (PALETTE["green"], "s", (0, (5, 1.5))))
    for axes, (sizes, curves) in grid:
        for (label, values), (colour, marker, dashes) in zip(curves.items(), styles, strict=False):
            axes.plot(sizes, as_array(values), color=colour, marker=marker, linestyle=dashes, markersize=4, label=label)
        axes.set_xscale("log", base=2)
        axes.grid(axis="y")
        axes.tick_params(length=0)
        axes.xaxis.set_major_locator(FixedLocator([size for size in (1, 4, 16, 64, 256, 1024) if size <= max(sizes)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    grid[0][0].set_ylabel(ylabel)
    grid[len(grid) // 2][0].set_xlabel("units mixed in one direction")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def explained(
    points: Mapping[str, Mapping[str, tuple[float, float]]],
    *,
    chance: float,
    xlabel: str,
    ylabel: str,
    inches: float = 0.9 * WIDTH,
) -> Figure:
    """Two numbers of every layer against each other, each point with its name.

    Args:
        points: Group -> layer -> (x, y), x from 0 to 1; two groups at most, named to the right and to the left, but for
            names that would cover a point or leave the panel there.
        chance: The value of y for random sets of images.
        xlabel: What x is.
        ylabel: What y is.
        inches: Width of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: No group.
    """
    if not points:
        raise ValueError("got no group of points; expected at least one.")
    figure = Figure(figsize=(inches, 3.7))
    axes = figure.subplots()
    colours, names = (PALETTE["blue"], PALETTE["green"]), []
    for (group, named), colour, marker, side in zip(points.items(), colours, ("o", "s"), (1, -1), strict=False):
        x, y = np.array(list(named.values()), dtype=float).T
        axes.plot(x, y, marker, color=colour, label=group, markersize=7, markeredgecolor="white", markeredgewidth=0.6)
        for name, place in zip(named, zip(x, y, strict=True), strict=True):
            words = axes.annotate(
                name, place, ha="left" if side > 0 else "right", va="center", fontsize=7.5, color="#555555",
                arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4},
            )  # fmt: skip
            names.append(words)
    axes.axhline(chance, color=PALETTE["black"], linewidth=0.8, linestyle=(0, (2, 2)))
    axes.annotate("random sets", (1, chance), xycoords=axes.get_yaxis_transform(), xytext=(-2, 3),
                  textcoords="offset points", ha="right", fontsize=7, color="#666666")  # fmt: skip
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1))
    axes.grid()
    axes.tick_params(length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.1))
    _beside(axes, names, 0.04 * np.ptp([words.xy[1] for words in names] + [chance]))
    if inches > NARROW:
        figure.redraw = functools.partial(explained, points, chance=chance, xlabel=xlabel, ylabel=ylabel, inches=NARROW)
    return figure


def _beside(axes: Axes, names: Sequence[Annotation], gap: float) -> None:
    """Writes names beside their points, a gap apart, each on the side where it is while it covers no point there."""
    places = np.array([words.xy for words in names])
    turned: set[Annotation] = set()
    while True:
        for side in ("left", "right"):
            chosen = [i for i, words in enumerate(names) if words.get_horizontalalignment() == side]
            heights = _spaced(places[chosen, 1], gap) if chosen else ()
            for i, height in zip(chosen, heights, strict=True):
                names[i].set_position((places[i, 0] + (0.03 if side == "left" else -0.03), height))
        axes.figure.draw_without_rendering()
        marks, room = axes.transData.transform(places), axes.get_window_extent()
        # The box of its words alone: that of the annotation holds the line to its point as well.
        boxes = {words: Text.get_window_extent(words).padded(5) for words in names}
        new = {
            words
            for words, box in boxes.items()
            if box.count_contains(marks) or not room.x0 <= box.x0 < box.x1 <= room.x1
        } - turned
        if not new:
            return
        for words in new:
            words.set_horizontalalignment("right" if words.get_horizontalalignment() == "left" else "left")
        turned |= new


def _spaced(values: np.ndarray, gap: float) -> np.ndarray:
    """Positions near the values, in the same order and at least a gap apart, so that names do not overlap."""
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    # Apart from the gaps the positions must not fall: the closest such sequence is an isotonic regression.
    fitted = isotonic_regression(values[order] - steps).x + steps
    return fitted[np.argsort(order, kind="stable")]
