"""The pictures of the chapter on penalised bounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from intriguing.book.plots import PALETTE, WIDTH, Figure, styled

_COLOURS = {"sigmoid": PALETTE["blue"], "ReLU": PALETTE["vermilion"]}
_METHODS = ((PALETTE["green"], "o"), (PALETTE["purple"], "s"), (PALETTE["orange"], "D"))  # colours of no network
_LEVELS = ["method", "strength"]


@styled
def curves(
    outcomes: Mapping[str, pd.DataFrame],
    measures: Mapping[str, str],
    chosen: Mapping[str, Mapping[str, float]],
    *,
    none: str,
    inverse: str,
) -> Figure:
    """Every measure over the strength of every method: means and standard deviations over seeds.

    Args:
        outcomes: activation -> one row per network, indexed by ``method``, ``strength`` and ``seed``.
        measures: column -> what stands at its axis. The word ``error`` in it makes the axis logarithmic and its labels
            percent, ``distance`` logarithmic, ``, log10`` at the end labels exponents as powers; the rest is
            percent.
        chosen: activation -> method -> the strength that is marked.
        none: the method that is drawn as a horizontal line.
        inverse: the method whose axis shows one over the strength.

    Returns:
        The figure, a row per measure and a column per method.

    Raises:
        ValueError: no networks or no measures.
    """
    if not outcomes or not measures:
        raise ValueError("got no networks or no measures; expected at least one of each.")
    methods = [m for m in next(iter(outcomes.values())).index.unique("method") if m != none]
    figure = Figure(figsize=(WIDTH, 0.6 + 1.45 * len(measures)))
    grid = figure.subplots(len(measures), len(methods), sharey="row", sharex="col", squeeze=False)
    for row, (measure, name) in zip(grid, measures.items(), strict=True):
        for axes, method in zip(row, methods, strict=True):
            for activation, frame in outcomes.items():
                _curve(axes, frame[measure], method, none, chosen[activation][method], activation)
            axes.set_xscale("log")
            axes.tick_params(length=0, which="both")
            _scale(axes, name)
            if axes in grid[0]:
                axes.set_title(method)
            if axes in grid[-1]:
                axes.set_xlabel("norm of each layer" if method == inverse else "strength")
            if method == inverse:
                axes.xaxis.set_major_locator(LogLocator(2, numticks=9))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda strength, _: f"{1 / strength:g}"))
            else:
                axes.xaxis.set_major_locator(LogLocator(numticks=5))
            axes.xaxis.set_minor_formatter(NullFormatter())
        row[0].set_ylabel(name.removesuffix(", log10"))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


@styled
def against(outcomes: Mapping[str, pd.DataFrame], measures: Mapping[str, str], *, none: str, product: str) -> Figure:
    """Measures against the product of the norms: a mark for each setting, joined in the order of strength.

    Marks are means over the seeds, the lines through them one standard deviation up and down; the star has none.

    Args:
        outcomes: as for :func:`curves`.
        measures: column -> what stands at its axis.
        none: the method that is drawn as a star.
        product: the column with the decimal logarithm of the product.

    Returns:
        The figure, a row per measure and a column per activation.
    """
    figure = Figure(figsize=(WIDTH, 0.5 + 2.1 * len(measures)))
    grid = figure.subplots(len(measures), len(outcomes), sharex="col", sharey="row", squeeze=False)
    for row, (measure, name) in zip(grid, measures.items(), strict=True):
        for axes, (activation, frame) in zip(row, outcomes.items(), strict=True):
            means = frame.groupby(level=_LEVELS, sort=False).mean()
            spread = frame.groupby(level=_LEVELS, sort=False).std()
            methods = [m for m in means.index.unique("method") if m != none]
            for method, (colour, marker) in zip(methods, _METHODS, strict=True):
                centre, reach = means.loc[method], spread.loc[method]
                axes.errorbar(
                    10 ** centre[product], centre[measure], reach[measure], marker=marker, markersize=5, color=colour,
                    linewidth=1, elinewidth=1, label=method,
                )  # fmt: skip
            start = means.loc[none].iloc[0]
            axes.plot(10 ** start[product], start[measure], "*", color=PALETTE["black"], markersize=13, label=none)
            axes.set_xscale("log")
            axes.tick_params(length=0, which="both")
            _scale(axes, name)
            if axes in grid[0]:
                axes.set_title(activation)
        row[0].set_ylabel(name)
    figure.supxlabel("product of the norms", fontsize=8.5)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


@styled
def forest(verdicts: pd.DataFrame, *, unit: str) -> Figure:
    """Differences with their intervals, one below the other.

    Args:
        verdicts: ``difference``, ``low``, ``high``, ``low of all`` and ``high of all``, a row for each comparison.
        unit: what the differences are differences of.

    Returns:
        The figure: a dot, a thick line for one interval by itself and a thin one for all together; black where the
        thin one leaves zero out, grey where it does not.

    Raises:
        ValueError: no comparison.
    """
    if verdicts.empty:
        raise ValueError("got no comparison; expected at least one.")
    figure = Figure(figsize=(WIDTH, 0.7 + 0.28 * len(verdicts)))
    axes = figure.subplots()
    places = np.arange(len(verdicts))[::-1]
    better = verdicts["high of all"] < 0
    worse = verdicts["low of all"] > 0
    # The side of zero tells which, so that shades are enough, and hues stay with networks and methods.
    colours = np.where(better | worse, PALETTE["black"], PALETTE["grey"])
    axes.axvline(0, color=PALETTE["grey"], linewidth=1, linestyle=(0, (4, 2)))
    axes.hlines(places, verdicts["low of all"], verdicts["high of all"], color=colours, linewidth=1)
    axes.hlines(places, verdicts["low"], verdicts["high"], color=colours, linewidth=4)
    axes.scatter(verdicts["difference"], places, color="white", edgecolors=colours, zorder=3, s=28)
    axes.set_yticks(places, verdicts.index)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+g}"))
    axes.set_xlabel(f"difference of the {unit}, percentage points (left of 0: the first is better)")
    axes.tick_params(length=0)
    return figure


def _scale(axes, name: str) -> None:
    """The vertical axis for what its label speaks of."""
    if "error" in name or "distance" in name:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if "log10" in name:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{value:.0f}}}$"))
    elif "distance" in name:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _curve(axes, values: pd.Series, method: str, none: str, mark: float, label: str) -> None:
    colour = _COLOURS[label]
    axes.axhline(values.loc[none].mean(), color=colour, linewidth=1, linestyle=(0, (4, 2)), label=f"{label}, {none}")
    groups = values.loc[method].groupby(level="strength")
    means, spread = groups.mean(), groups.std()
    axes.fill_between(means.index, means - spread, means + spread, color=colour, alpha=0.2, linewidth=0)
    axes.plot(means.index, means, "o-", color=colour, markersize=3, label=label)
    axes.plot([mark], [means[mark]], "o", markersize=8, markerfacecolor="none", color=colour)
