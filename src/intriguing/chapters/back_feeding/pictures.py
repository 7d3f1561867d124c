"""The pictures of the chapter on back-feeding: arrays in, a figure out, in the style of the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import PALETTE, WIDTH, Figure, as_array, styled

LINES = ("black", "green", "purple")
"""Colours of trainings, none of which :func:`strips` gives to a plan or a mark."""


@styled
def doses(curves: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]]) -> Figure:
    """Error against the length of the step: dots for networks, a line through the means.

    Args:
        curves: Title -> label -> lengths (D,), and errors (D, S), fractions; three labels at most.

    Returns:
        The figure, one panel for each title, over the same logarithmic axis of errors.

    Raises:
        ValueError: No curve, or one whose errors do not fit its lengths.
    """
    for lengths, errors in (line for lines in curves.values() for line in lines.values()):
        if as_array(errors).shape[:1] != as_array(lengths).shape:
            raise ValueError(f"got {len(errors)} rows of errors; expected one row for each of {len(lengths)} lengths.")
    figure, grid = plots.panels(
        curves.items(), row=2.9, rest=0.3, columns=2, title_size=8.5, title_side="left", sharex=True, sharey=True
    )
    for axes, lines in grid:
        for (label, (lengths, errors)), colour in zip(lines.items(), LINES, strict=False):
            x, y = as_array(lengths), as_array(errors)
            axes.plot(np.repeat(x, y.shape[1]), y.ravel(), "o", color=PALETTE[colour], alpha=0.3, markersize=3.5)
            axes.plot(x, y.mean(1), color=PALETTE[colour], label=label)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(FixedLocator([0.01, 0.015, 0.02, 0.03, 0.04, 0.05]))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.legend(fontsize=7)
    figure.supxlabel("length d of the step, before the cut", fontsize=8.5)
    figure.supylabel("error on the images held out", fontsize=8.5)
    return figure


@styled
def strips(
    groups: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    marks: Mapping[str, float] | None = None,
    percent: bool = True,
    emphasised: Sequence[str] = (),
) -> Figure:
    """One row for each group: a dot for every seed, and the mean with its standard error.

    Args:
        groups: Label -> (S,) values, drawn from top to bottom.
        xlabel: What the values are.
        marks: Label -> value, drawn as a thin upright line; None for none.
        percent: Whether the values are fractions to be written as percent.
        emphasised: Labels drawn in the second colour.

    Returns:
        The figure.

    Raises:
        ValueError: No group.
    """
    if not groups:
        raise ValueError("got no group; expected at least one.")
    figure = Figure(figsize=(0.85 * WIDTH, 0.9 + 0.3 * len(groups)))
    axes = figure.subplots()
    for row, (label, values) in enumerate(groups.items()):
        values = as_array(values)
        colour = PALETTE["vermilion" if label in emphasised else "blue"]
        spread = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
        axes.plot(values, np.full(len(values), row), "o", color=colour, alpha=0.4, markeredgewidth=0, markersize=5)
        axes.errorbar(values.mean(), row, xerr=spread, fmt="|", color=colour, markersize=13, markeredgewidth=2)
    marks = dict(sorted((marks or {}).items(), key=lambda mark: mark[1]))
    ceiling = -0.6 - 0.45 * len(marks)
    axes.set(yticks=range(len(groups)), yticklabels=list(groups), xlabel=xlabel, ylim=(len(groups) - 0.4, ceiling))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    if percent:
        # As many numbers as there is room for, and no steps of a quarter, which one decimal would round.
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    # Each name has a line of its own, so that marks close to each other can be read.
    for line, (label, position) in enumerate(marks.items()):
        axes.axvline(position, color=PALETTE["grey"], linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            label, (position, ceiling + 0.45 * line), xytext=(3, -1), textcoords="offset points",
            va="top", fontsize=7.5, color="#666666", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    return figure
