"""The pictures of the chapter on disjoint training sets: arrays and frames in, a figure out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from intriguing.book.plots import DIVERGING, NARROW, PALETTE, SEQUENTIAL, WIDTH, Figure, ink_over, styled, written


@styled
def intervals(
    groups: Sequence[Sequence[tuple[str, pd.DataFrame]]], *, width: float = 2.0, inches: float = WIDTH
) -> Figure:
    """Every printed number beside the interval of ours over seeds, in columns of panels.

    Args:
        groups: for each column of the figure its panels, each a title and a frame with the columns ``label``, ``mean``,
            ``spread``, ``ours`` and ``paper``, fractions; one line per row. The title of a panel whose numbers are not
            rates ends in a unit in brackets, and they are shown as they are.
        width: half the length of an interval, in standard deviations.
        inches: width of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: no panel.
    """
    if not groups or not all(groups):
        raise ValueError("got no panel; expected at least one in every column.")
    narrow = inches < WIDTH
    heights = [[len(frame) + 1.6 for _, frame in column] for column in groups]
    figure = Figure(figsize=(inches, 0.5 + (0.29 if narrow else 0.155) * max(map(sum, heights))))
    outer = figure.add_gridspec(1, len(groups))
    drawn = None
    for place, column in enumerate(groups):
        padding = max(map(sum, heights)) - sum(heights[place])
        ratios = [*heights[place], padding] if padding > 0.5 else heights[place]
        inner = outer[place].subgridspec(len(ratios), 1, height_ratios=ratios)
        for row, (title, frame) in enumerate(column):
            axes = figure.add_subplot(inner[row])
            scale = 1.0 if title.endswith(")") and "%" not in title else 100.0
            drawn = _intervals(axes, frame, scale, width, narrow)
            axes.set_title(title, loc="left", fontsize=8.5, pad=3)
    figure.legend(*drawn, loc="outside lower center", ncols=1 if narrow else 3)
    if not narrow:
        below = [[panel for column in groups for panel in column]]
        figure.redraw = functools.partial(intervals, below, width=width, inches=NARROW)
    return figure


def findings(compared: pd.DataFrame, *, width: float = 2.0) -> Figure:
    """Every error rate among the findings of Tables 1 to 4 beside the interval of ours over seeds.

    Args:
        compared: what ``seeds.inside`` returns.
        width: half the length of an interval, in standard deviations.

    Returns:
        The figure: Table 2 in its left column, the other three in its right one.
    """

    def panel(number: int) -> tuple[str, pd.DataFrame]:
        part = compared[compared["table"].eq(f"table{number}") & compared["kind"].eq("error")]
        arrow = " → " if number in (2, 4) else ", "  # maker and reader, or network and what is measured
        return f"Table {number} (%)", part.assign(label=part["row"] + arrow + part["column"])

    return intervals([[panel(2)], [panel(4), panel(3), panel(1)]], width=width)


def _intervals(axes, frame: pd.DataFrame, scale: float, width: float, narrow: bool):
    """One panel; returns its handles and labels for the legend."""
    rows = np.arange(len(frame))
    mean, spread = scale * frame["mean"].to_numpy(float), scale * frame["spread"].to_numpy(float)
    axes.hlines(rows, mean - width * spread, mean + width * spread, color=PALETTE["sky"], linewidth=4, zorder=2)
    axes.plot(
        mean, rows, "|", color=PALETTE["blue"], markersize=7, label="ours, few images: mean ± 2 sd over seeds", zorder=3
    )
    axes.plot(
        scale * frame["ours"], rows, "o", markerfacecolor="white", markeredgecolor=PALETTE["blue"], markersize=3.8,
        label="ours, all images", zorder=4,
    )  # fmt: skip
    axes.plot(
        scale * frame["paper"], rows, "D", color=PALETTE["vermilion"], markersize=3.4, label="the paper", zorder=5
    )
    labels = [label.replace(" → ", "\n→ ") if len(label) > 30 else label for label in frame["label"]]
    axes.set_yticks(rows, labels if narrow else frame["label"], fontsize=7.2 if narrow else 6.5, linespacing=0.95)
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=7.2)
    axes.tick_params(length=0)
    axes.grid(axis="both", linewidth=0.4)
    axes.spines[:].set_visible(False)
    axes.margins(x=0.04)
    return axes.get_legend_handles_labels()


@styled
def matrices(frames: Mapping[str, pd.DataFrame], *, diverging: str = "", width: float = WIDTH) -> Figure:
    """Several tables with the same rows side by side as coloured cells in percent, with the names of the rows once.

    Args:
        frames: title -> fractions; NaN leaves a cell empty.
        diverging: the title of the one that shows differences, if any, with zero in the middle of its colours.
        width: in inches; where it is less than a full one, the tables stand one below the other.

    Returns:
        The figure.

    Raises:
        ValueError: no table, or tables with different rows.
    """
    first = next(iter(frames.values()), None)
    if first is None or any(list(frame.index) != list(first.index) for frame in frames.values()):
        raise ValueError(f"got {len(frames)} tables; expected at least one, all with the same rows.")
    rows = len(first)
    narrow = width < WIDTH
    figure = Figure(figsize=(width, (1.25 + 0.3 * rows) * (len(frames) if narrow else 1)))
    across = (len(frames), 1) if narrow else (1, len(frames))
    grid = figure.subplots(*across, sharey=True, squeeze=False).ravel()
    for axes, (title, frame) in zip(grid, frames.items(), strict=True):
        values = frame.to_numpy(dtype=float)
        signed = title == diverging
        colours, largest = (DIVERGING, np.nanmax(np.abs(values), initial=0.01)) if signed else (SEQUENTIAL, 1.0)
        shade = values / (2 * largest) + 0.5 if signed else values
        axes.pcolormesh(np.ma.masked_invalid(shade), cmap=colours, vmin=0, vmax=1, edgecolors="white", linewidth=1.2)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(
                    column + 0.5, row + 0.5, written(value, True, 1, signed=signed), ha="center", va="center_baseline",
                    color=ink_over(colours, shade[row, column]), fontsize=7.5,
                )  # fmt: skip
        axes.set_xticks(np.arange(values.shape[1]) + 0.5, [str(name).replace("-", "\u2011") for name in frame.columns])
        axes.set_yticks(np.arange(rows) + 0.5, list(map(str, first.index)))
        axes.set_title(f"{title} ({'points' if title == diverging else '%'})", loc="left", pad=6)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelsize=7.2)
        for label in axes.get_xticklabels():
            label.set(ha="left", rotation_mode="anchor")
            label.set(**({"rotation": 90, "va": "center"} if narrow else {"rotation": 32}))
        axes.spines[:].set_visible(False)
    grid[0].invert_yaxis()
    if not narrow:
        figure.redraw = functools.partial(matrices, frames, diverging=diverging, width=NARROW)
    return figure


def against(ours: pd.DataFrame, theirs: pd.DataFrame) -> Figure:
    """Who is fooled by whose examples: our table, the paper's and the difference, side by side.

    Args:
        ours: fractions, and a column ``distortion``, which is not drawn.
        theirs: the paper's, with these rows and columns at least.

    Returns:
        The figure.
    """
    ours = ours.drop(columns="distortion")
    theirs = theirs.loc[ours.index, ours.columns]
    return matrices({"ours": ours, "the paper": theirs, "difference": ours - theirs}, diverging="difference")
