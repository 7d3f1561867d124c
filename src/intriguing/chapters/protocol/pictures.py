"""The pictures of the chapter on the protocol: misfits by level, factors asked for, what a coarse search costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, PercentFormatter
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import MARKERS, PALETTE, WIDTH, Figure, as_array, repeated, styled


@styled
def levels(groups: Mapping[str, Mapping[str, float]], base: float, *, least: float | None = None) -> Figure:
    """One dot per level, grouped by factor, against the misfit of the base.

    Args:
        groups: Factor -> level -> misfit.
        base: The misfit that all of them start from, an upright line.
        least: The misfit that luck alone would leave, a second line; None for none.

    Returns:
        The figure.

    Raises:
        ValueError: No level.
    """
    count = sum(map(len, groups.values()))
    if not count:
        raise ValueError("got no level; expected at least one.")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.19 * (count + 0.9 * len(groups))))
    axes = figure.subplots()
    axes.axvline(base, color=PALETTE["grey"], linewidth=1, zorder=1)
    axes.annotate("base", (base, 1), xycoords=axes.get_xaxis_transform(), xytext=(3, 2), textcoords="offset points",
                  fontsize=7.5, color="#666666")  # fmt: skip
    if least is not None:
        axes.axvline(least, color=PALETTE["grey"], linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate("luck alone", (least, 1), xycoords=axes.get_xaxis_transform(), xytext=(3, 2),
                      textcoords="offset points", fontsize=7.5, color="#666666")  # fmt: skip
    place, ticks, names = 0.0, [], []
    for factor, options in groups.items():
        axes.annotate(factor, (0, place), xycoords=axes.get_yaxis_transform(), xytext=(-6, 0), ha="right", va="center",
                      textcoords="offset points", fontsize=8, color=PALETTE["black"], weight="bold")  # fmt: skip
        place += 1
        for label, value in options.items():
            colour = PALETTE["blue"] if value < base else PALETTE["vermilion"]
            axes.plot([base, value], [place, place], color=colour, linewidth=1.6, alpha=0.45, zorder=2)
            axes.plot(value, place, "o", color=colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.6)
            ticks.append(place)
            names.append(label)
            place += 1
        place += 0.25
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([1, 2, 3, 5, 10, 20, 30, 50]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="both", length=0)
    axes.set_yticks(ticks, names)
    axes.set_ylim(place, -0.8)
    axes.set_xlabel("misfit over Tables 1 to 4")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


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
        for (name, values), marker in zip(networks.items(), repeated(MARKERS), strict=False):
            values = as_array(values)
            (line,) = axes.plot(x[:joined], values[:joined], marker=marker, markersize=3.6, linewidth=1.3, label=name)
            style = {"color": line.get_color(), "marker": marker}
            axes.plot(x[joined:], values[joined:], linestyle="", markersize=3.6, **style)
            level = (printed or {}).get(quantity, {}).get(name)
            if level is not None:
                axes.axhline(level, color=line.get_color(), linewidth=0.8, linestyle=(0, (3, 2)), alpha=0.8)
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
    """Standardised differences of two protocols, sorted, one panel per table.

    Args:
        tables: Name -> (before, after), each (n,) for the same findings.
        labels: What the two are called.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    widths = [max(6, len(as_array(before))) for before, _ in tables.values()]
    figure, grid = plots.panels(tables.items(), row=2.8, sharey=True, width_ratios=widths)
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
    grid[0][0].set_ylabel("difference from the paper, in units")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def decay(measured: pd.DataFrame, printed: pd.DataFrame, wanted: pd.DataFrame) -> Figure:
    """What linear networks do under a factor on their decay, with rings where a printed value is met.

    Args:
        measured: rows by ``factor`` and network, a column for each quantity; all but ``distortion`` are fractions.
        printed: networks by quantities, in the order of the panels.
        wanted: the factor at which a network meets what is printed, networks by quantities; NaN for none.

    Returns:
        The figure.
    """
    networks = measured.index.unique("row")
    return curves(
        {f"{factor:g}": np.log(factor) for factor in measured.index.unique("factor")},
        {
            quantity: {name: measured.xs(name, level="row")[quantity] for name in networks}
            for quantity in printed.columns
        },
        xlabel="factor on λ",
        percent=[quantity for quantity in printed.columns if quantity != "distortion"],
        printed={quantity: printed[quantity].to_dict() for quantity in printed.columns},
        rings={quantity: np.log(wanted[quantity]).to_dict() for quantity in printed.columns},
    )


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


def remaining(base: pd.DataFrame, after: pd.DataFrame) -> Figure:
    """Every finding under the base and under the closest protocol.

    Args:
        base: rows with the level ``table``; the column ``z``, a difference from the paper in units.
        after: likewise, for the same findings.

    Returns:
        The figure.
    """
    return deviations(
        {
            name.replace("table", "Table "): (base["z"].loc[name], after["z"].loc[name])
            for name in base.index.unique("table")
        },
        ("base", "closest protocol"),
    )
