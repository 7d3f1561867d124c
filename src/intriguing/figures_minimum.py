"""The picture of cost against distortion: every way to D(x, l) as a point of a plane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
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
        The figure, one panel below the other, each point labelled; an open symbol in vermilion has failures.

    Raises:
        ValueError: There is no panel.
    """
    if not panels:
        raise ValueError("got no panel; expected at least one.")
    figure = Figure(figsize=(WIDTH, 3.6 * len(panels)))
    for axes, (title, frame) in zip(np.atleast_1d(figure.subplots(len(panels))), panels.items(), strict=True):
        frame = frame.dropna(subset=["seconds", "ratio"])
        excess = (frame["ratio"] - 1).clip(lower=NEAREST)
        own = frame["method"].str.startswith(ours)
        best = frame[own & (excess == excess[own].min())]
        if len(best):
            # What a better method would have to reach.
            corner = best["seconds"].min(), excess[best.index].min()
            axes.axvspan(1e-9, corner[0], ymin=0, ymax=1, color="#f4f4f4", zorder=0)
        for i, row in frame.iterrows():
            mine, whole = own[i], row["success"] >= 1
            colour = PALETTE["blue"] if mine else PALETTE["black"] if whole else PALETTE["vermilion"]
            axes.plot(
                row["seconds"], excess[i], "D" if mine else "o", color=colour, markersize=6.5 if mine else 4.5,
                markerfacecolor=colour if whole else "white",
            )  # fmt: skip
            name = row["method"] if whole else f"{row['method']} ({row['success']:.0%} succeed)"
            right = row["seconds"] > frame["seconds"].median() * 4
            axes.annotate(
                name, (row["seconds"], excess[i]), xytext=(-6 if right else 6, 4), textcoords="offset points",
                ha="right" if right else "left", fontsize=7.5, color=colour, fontweight="bold" if mine else "normal",
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", title=title, ylabel="mean distortion above the minimum")
        axes.set_xlim(frame["seconds"].min() / 2, frame["seconds"].max() * 2)
        axes.set_ylim(NEAREST / 1.6, 6)
        ticks = [NEAREST, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]
        axes.set_yticks(ticks, ["0", "0.001 %", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"])
        axes.minorticks_off()
        axes.grid(axis="y")
    axes.set_xlabel("CPU seconds per image, one thread")
    return figure
