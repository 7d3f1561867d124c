"""The pictures of the chapter on the protocol: differences from the paper, and what a coarse search costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import MARKERS, PALETTE, Figure, as_array, coloured, repeated, styled
from intriguing.chapters.protocol import hunt, joint

EDGE = 10.0
"""Standard errors beyond which a number is drawn no further off."""

COLUMNS = 3
"""Panels of :func:`deviations` in a row at the most."""


@styled
def curves(
    ticks: Mapping[str, float],
    quantities: Mapping[str, Mapping[str, ArrayLike]],
    *,
    xlabel: str,
    percent: Sequence[str] = (),
    printed: Mapping[str, Mapping[str, float]] | None = None,
    rings: Mapping[str, Mapping[str, float]] | None = None,
    apart: int = 0,
) -> Figure:
    """Measured curves of several networks over one choice, one panel per quantity.

    Args:
        ticks: Word -> position of each of the n values of the choice.
        quantities: Name -> network -> (n,) values.
        xlabel: What is chosen.
        percent: Quantities that are fractions to be written as percent.
        printed: Quantity -> network -> the printed value, a dashed level in the colour of the curve; None for none.
        rings: Quantity -> network -> the position at which the curve passes through its level, ringed; NaN for none.
        apart: How many of the last positions are no part of the scale and stand by themselves.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    x = as_array(list(ticks.values()))
    joined = len(x) - apart
    figure, grid = plots.panels(quantities.items(), row=2.9)
    for (axes, networks), quantity in zip(grid, quantities, strict=True):
        colours = coloured(networks)
        for (name, values), marker in zip(networks.items(), repeated(MARKERS), strict=False):
            values, style = as_array(values), {"color": colours[name], "marker": marker}
            axes.plot(x[:joined], values[:joined], markersize=3.6, linewidth=1.3, label=name, **style)
            axes.plot(x[joined:], values[joined:], linestyle="", markersize=3.6, **style)
            level = (printed or {}).get(quantity, {}).get(name)
            if level is not None:
                axes.axhline(level, color=colours[name], linewidth=0.8, linestyle=(0, (3, 2)), alpha=0.8)
                ring = (rings or {}).get(quantity, {}).get(name, np.nan)
                axes.plot(ring, level, "o", markersize=8.5, fillstyle="none", color=PALETTE["black"])
        axes.set_xlabel(xlabel)
        if printed or quantity in percent:
            axes.set_ylim(bottom=0)
        axes.set_xticks(x, list(ticks), fontsize=7.5)
        axes.grid(axis="y")
        if quantity in percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@styled
def deviations(tables: Mapping[str, tuple[ArrayLike, ArrayLike]], labels: tuple[str, str]) -> Figure:
    """Standardised differences of two protocols, sorted, one panel per group.

    Args:
        tables: Name -> (before, after), each (n,) for the same findings.
        labels: What the two are called.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    widths = [max(6, len(as_array(before))) for before, _ in tables.values()]
    ratios = widths if len(widths) <= COLUMNS else None
    figure, grid = plots.panels(tables.items(), row=2.4, rest=0.4, columns=COLUMNS, sharey=True, width_ratios=ratios)
    for axes, (before, after) in grid:
        before, after = as_array(before), as_array(after)
        order = np.argsort(before, kind="stable")
        places = np.arange(len(before))
        axes.axhspan(-2, 2, color=PALETTE["grey"], alpha=0.13, linewidth=0)
        axes.axhline(0, color=PALETTE["grey"], linewidth=0.7)
        axes.vlines(places, before[order], after[order], color=PALETTE["grey"], linewidth=0.7, alpha=0.7)
        axes.plot(places, before[order], "o", color=PALETTE["vermilion"], markersize=3.6, label=labels[0])
        axes.plot(places, after[order], "D", color=PALETTE["blue"], markersize=3.2, label=labels[1])
        axes.set_xticks([])
        axes.grid(axis="y")
    for axes, _ in grid[::COLUMNS]:
        axes.set_ylabel("difference from the paper,\nstandard errors")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def coarseness(sizes: pd.DataFrame, transfer: pd.DataFrame, ratios: Sequence[float]) -> Figure:
    """How distortion and transfer grow as the search over c gets coarser.

    Args:
        sizes: mean distortions; rows from the exact search over the ratios to one c for all, a column per network.
        transfer: mean errors of the other networks, likewise.
        ratios: of neighbouring values of c.

    Returns:
        The figure.
    """
    steps = {"exact": 0.0} | {f"{ratio:g}": np.log(ratio) for ratio in ratios}
    return curves(
        steps | {"one c": np.log(2 * ratios[-1])},
        {
            "mean distortion, exact search = 1": {name: sizes[name] / sizes[name].iloc[0] for name in sizes},
            "mean error of the other networks": {name: transfer[name] for name in transfer},
        },
        xlabel="neighbouring values of c differ by a factor of",
        percent=["mean error of the other networks"],
        apart=1,
    )


def judge(campaign: dict[str, Any], before: str, after: str) -> Figure:
    """The rates of Table 2 under two trainings of the linear networks, in standard errors from the paper's.

    Args:
        campaign: what ``hunt.stored`` returns.
        before: a training.
        after: another one.

    Returns:
        The figure: one panel for linear networks as readers, one for the others.
    """
    old, new = (hunt.table2(campaign, variant) for variant in (before, after))
    linear = old["linear"].to_numpy()
    return deviations(
        {
            "read by linear networks": (old["z"][linear], new["z"][linear]),
            "read by the others": (old["z"][~linear], new["z"][~linear]),
        },
        tuple(hunt.words(variant) for variant in (before, after)),
    )


def together(campaign: dict[str, Any]) -> Figure:
    """All printed numbers under the base and under the protocol that the joint search chose.

    Args:
        campaign: what ``hunt.stored`` returns.

    Returns:
        The figure: one panel for each kind of number; what is further off than ``EDGE`` stands there.
    """
    near = {
        title: tuple(np.clip(part, -EDGE, EDGE) for part in pair) for title, pair in joint.deviations(campaign).items()
    }
    return deviations(near, ("the base", "the chosen protocol"))
