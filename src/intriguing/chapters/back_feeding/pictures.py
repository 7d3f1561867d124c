"""The pictures of the chapter on back-feeding: arrays in, a figure out, in the style of the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import PALETTE, WIDTH, Figure, as_array, repeated, styled

_COLOURS = [PALETTE[name] for name in ("black", "purple", "blue", "sky", "green", "orange", "vermilion")]


@styled
def learning_curves(
    updates: ArrayLike, curves: Mapping[str, ArrayLike], *, marks: Mapping[str, float], top: float | None = None
) -> Figure:
    """Test error against updates: the mean over seeds as a line, the range of the seeds as a band.

    Args:
        updates: (T,) updates after which the error was measured.
        curves: Label -> (S, T) errors, fractions, one row per seed.
        marks: Label -> error, drawn as a thin level line; what the paper prints.
        top: Where the axis of the errors is cut; None for the largest error.

    Returns:
        The figure, one panel per curve, with the first curve repeated in grey for comparison.

    Raises:
        ValueError: No curve, or one that does not fit the updates.
    """
    x = as_array(updates)
    curves = {label: np.atleast_2d(as_array(values)) for label, values in curves.items()}
    for label, values in curves.items():
        if values.shape[1:] != x.shape:
            raise ValueError(f"got shape {values.shape} of curve {label!r}; expected (seeds, {len(x)}).")
    figure, grid = plots.panels(
        curves.items(), row=1.75, rest=0.3, columns=4, title_size=8.5, title_side="left", sharex=True, sharey=True
    )
    lowest = min([float(values.min()) for values in curves.values()] + list(marks.values()))
    highest = top or max(float(values.max()) for values in curves.values())
    first = None
    for (axes, values), colour in zip(grid, repeated(_COLOURS), strict=False):
        if first is None:
            first = values.mean(0)
        else:
            axes.plot(x, first, color=PALETTE["grey"], linewidth=1)
        axes.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.25, linewidth=0)
        axes.plot(x, values.mean(0), color=colour)
        for level in marks.values():
            axes.axhline(level, color=PALETTE["grey"], linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
        axes.set_ylim(lowest - 0.05 * (highest - lowest), highest)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))
        axes.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel("thousand updates", fontsize=8.5)
    figure.supylabel("test error", fontsize=8.5)
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
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    # Each name has a line of its own, so that marks close to each other can be read.
    for line, (label, position) in enumerate(marks.items()):
        axes.axvline(position, color=PALETTE["grey"], linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            label, (position, ceiling + 0.45 * line), xytext=(3, -1), textcoords="offset points",
            va="top", fontsize=7.5, color="#666666",
        )  # fmt: skip
    return figure


@styled
def panels(
    groups: Mapping[str, Mapping[str, ArrayLike]], *, xlabel: str, columns: int = 3, emphasised: Sequence[str] = ()
) -> Figure:
    """Several strips side by side over the same rows, each panel with an axis of its own that starts at zero.

    Args:
        groups: Title of the panel -> label of the row -> (S,) values; the labels of the first panel serve for all.
        xlabel: What the values are.
        columns: Panels in a row.
        emphasised: Labels drawn in the second colour.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    labels = list(next(iter(groups.values()), ()))
    figure, grid = plots.panels(
        groups.items(), row=0.9 + 0.24 * len(labels), columns=columns, title_size=8.5, title_side="left", sharey=True
    )
    for axes, values in grid:
        for row, label in enumerate(labels):
            found = as_array(values[label])
            colour = PALETTE["vermilion" if label in emphasised else "blue"]
            axes.barh(row, found.mean(), height=0.6, color=colour, alpha=0.25)
            axes.plot(found, np.full(len(found), row), "o", color=colour, markersize=3.5, alpha=0.8)
        axes.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.4, -0.6), xlim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    figure.supxlabel(xlabel, fontsize=8.5)
    return figure
