"""The picture of cost against distortion: every way to D(x, l) as a point of a plane."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .figures import PALETTE, WIDTH, Figure, _styled

NEAREST = 2e-6
"""Excess over the minimum below which points are drawn on the lowest line: it is of the order of rounding."""


@_styled
def plane(panels: Mapping[str, pd.DataFrame], ours: str = "ours") -> Figure:
    """Cost against distortion, both on logarithmic axes: the further left and the lower, the better.

    Args:
        panels: Title -> a frame with one row per method and the columns ``method`` (its name), ``seconds`` (per
            image), ``ratio`` (mean distortion over the smallest known, at least about 1) and ``success`` (a
            fraction). Rows with NaN are left out.
        ours: Methods whose name begins like this are filled and blue.

    Returns:
        The figure, one panel below the other. Methods are numbered in the order of their cost in the first panel and
        named in a list beside it; ours stand there in blue, and an open symbol in vermilion has failures.

    Raises:
        ValueError: There is no panel.
    """
    if not panels:
        raise ValueError("got no panel; expected at least one.")
    panels = {title: frame.dropna(subset=["seconds", "ratio"]) for title, frame in panels.items()}
    every = pd.concat(panels.values()).groupby("method", sort=False)["seconds"].first().sort_values()
    numbers = {method: i + 1 for i, method in enumerate(every.index)}
    figure = Figure(figsize=(WIDTH, 3.1 * len(panels)))
    grid = figure.subplots(len(panels), 2, squeeze=False, width_ratios=(2.4, 1))
    for (axes, beside), (title, frame) in zip(grid, panels.items(), strict=True):
        excess = (frame["ratio"] - 1).clip(lower=NEAREST)
        own = frame["method"].str.startswith(ours)
        if own.any():  # what a better method would have to reach
            axes.axvspan(1e-9, frame["seconds"][own].min(), color="#f4f4f4", zorder=0)
        for i, row in frame.iterrows():
            whole = row["success"] >= 1
            colour = _colour(row["method"], ours) if whole else PALETTE["vermilion"]
            axes.plot(
                row["seconds"], excess[i], "D" if own[i] else "o", color=colour, markersize=6.5 if own[i] else 4.5,
                markerfacecolor=colour if whole else "white",
            )  # fmt: skip
            axes.annotate(
                str(numbers[row["method"]]), (row["seconds"], excess[i]), xytext=(0, 5.5), textcoords="offset points",
                ha="center", fontsize=7.5, color=colour, fontweight="bold" if own[i] else "normal",
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", title=title, ylabel="mean distortion above the minimum")
        axes.set_xlim(frame["seconds"].min() / 2, frame["seconds"].max() * 2)
        axes.set_ylim(NEAREST / 1.6, 6)
        ticks = [NEAREST, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]
        axes.set_yticks(ticks, ["0", "0.001 %", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"])
        axes.minorticks_off()
        axes.grid(axis="y")
        beside.axis("off")
        for place, (method, number) in enumerate(numbers.items()):
            mine = frame.loc[frame["method"] == method, "success"]
            failing = "" if mine.empty or mine.iloc[0] >= 1 else f" ({mine.iloc[0]:.0%})"
            beside.text(
                0, 1 - place / len(numbers), f"{number}  {method}{failing}", va="top",
                fontsize=7.5, color=PALETTE["vermilion"] if failing else _colour(method, ours),
                fontweight="bold" if method.startswith(ours) else "normal", transform=beside.transAxes,
            )  # fmt: skip
    grid[-1, 0].set_xlabel("CPU seconds per image, one thread")
    return figure


def _colour(method: str, ours: str) -> str:
    return PALETTE["blue"] if method.startswith(ours) else PALETTE["black"]
