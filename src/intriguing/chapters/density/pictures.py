"""The pictures of the chapter on how rare and how dense adversarial images are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import MARKERS, NETWORKS, PALETTE, WIDTH, Figure, as_array, coloured, repeated, styled

_COLOURS = tuple(NETWORKS.values())  # of images; networks have their own


@styled
def rates(networks: Mapping[str, Mapping[str, ArrayLike]], *, floor: float = -60.0) -> Figure:
    """Probability of an error against the radius of the noise, one panel per network, one colour per image.

    Args:
        networks: Name -> ``radii``, ``log10`` and ``relative`` (N, R), the tilted estimate with its relative standard
            error, NaN where there is none; ``distance`` (N,), the adversarial distance, drawn as a tick on the axis;
            ``exact`` (N, R), log10 of the dashed curve; and for counts ``counted`` (M, C) radii with log10 of ``low``,
            ``middle`` and ``high`` (M, C), the middle minus infinity where nothing was seen, which is drawn as an arrow
            down from the high end.
        floor: Lower end of the axis, as log10.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    figure, grid = plots.panels(networks.items(), row=3.4, sharey=True)
    for axes, one in grid:
        radii, log10, relative, exact = (as_array(one[key]) for key in ("radii", "log10", "relative", "exact"))
        for i, colour in zip(range(len(radii)), repeated(_COLOURS), strict=False):
            wide = 2 * np.log10(1 + relative[i].clip(0, 10))
            axes.fill_between(radii[i], log10[i] - wide, log10[i] + wide, color=colour, alpha=0.18, linewidth=0)
            axes.plot(radii[i], exact[i], color=PALETTE["grey"], linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
            axes.plot(radii[i], log10[i], color=colour, marker=".", markersize=2)  # seen also without neighbours
            axes.plot(as_array(one["distance"])[i], floor, marker="^", color=colour, markersize=7, clip_on=False)
            if i < len(as_array(one["counted"])):
                at, low, middle, high = (as_array(one[key])[i] for key in ("counted", "low", "middle", "high"))
                seen = np.isfinite(middle)
                spread = [middle[seen] - low[seen], high[seen] - middle[seen]]
                axes.errorbar(at[seen], middle[seen], spread, fmt="o", color=colour, markersize=4, elinewidth=1)
                axes.plot(at[~seen], high[~seen], marker=7, linestyle="", color=colour, markersize=6)
        axes.set(xscale="log", xlabel="RMS of the noise", ylim=(floor, 3))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{value:.0f}}}$" if value else "1"))
        axes.grid()
        axes.tick_params(length=0)
    grid[0][0].set_ylabel("probability of an error")
    return figure


@styled
def ratios(groups: Mapping[str, ArrayLike], pixels: int) -> Figure:
    """Histograms of the distance along random lines over the nearest distance, on a logarithmic axis.

    The grey curve is what a single plane would give: sqrt(n) / |g| with g the component of a random unit vector along
    its normal, times sqrt(n), which is very nearly a standard normal number.

    Args:
        groups: Network -> (n,) ratios; infinite ones are left out of the bars and not of the count.
        pixels: n.

    Returns:
        The figure.

    Raises:
        ValueError: No group.
    """
    if not groups:
        raise ValueError("got no group; expected at least one network.")
    edges = np.geomspace(5, 2000, 61)
    middle = np.sqrt(edges[1:] * edges[:-1])
    root = pixels**0.5
    # |g| = root / ratio has the density 2 phi; per unit of log ratio that is 2 phi(root / ratio) root / ratio.
    plane = np.sqrt(2 / np.pi) * np.exp(-0.5 * (root / middle) ** 2) * root / middle * np.diff(np.log(edges))
    figure = Figure(figsize=(0.85 * WIDTH, 0.7 + 0.58 * len(groups)))
    grid = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    colours = coloured(groups)
    for axes, (label, values) in zip(grid, groups.items(), strict=True):
        values, colour = as_array(values).ravel(), colours[label]
        heights = np.histogram(values[np.isfinite(values)], edges)[0] / len(values)
        axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(heights, edges, color=colour, linewidth=1)
        axes.plot(middle, plane, color=PALETTE["grey"], linewidth=1.1)
        axes.axvline(root, color=PALETTE["black"], linewidth=0.8, linestyle=(0, (2, 2)))
        median = float(np.median(values))
        axes.plot(median, 0, marker="^", color=colour, markersize=6, clip_on=False)
        axes.annotate(
            f"median {median:.0f}", (1, 0.9), xycoords="axes fraction", ha="right", va="top", fontsize=7.5,
            color=PALETTE["black"],
        )  # fmt: skip
        axes.set_ylabel(label, rotation=0, ha="right", va="center")
        axes.set(yticks=[], xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 1.25 * max(heights.max(), plane.max())))
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="x", length=0)
    grid[0].annotate(
        "√n", (root, 1), xycoords=grid[0].get_xaxis_transform(), xytext=(0, 2), textcoords="offset points", ha="center",
        fontsize=8.5,
    )  # fmt: skip
    grid[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    grid[-1].set_xlabel("distance along a random line, over the adversarial distance")
    figure.align_ylabels(grid)
    return figure


@styled
def directions(
    orthogonal: Mapping[str, ArrayLike], sizes: ArrayLike, aligned: Mapping[str, ArrayLike], *, limit: float = 12.0
) -> Figure:
    """How far one must go for how many directions that lead out: at right angles one by one, and all at once.

    Args:
        orthogonal: Network -> (K,), the distance of the k-th exit at right angles over that of the first.
        sizes: (A,) numbers of directions in an aligned frame.
        aligned: Network -> (A,), the distance at which all of them have left, over the adversarial distance.
        limit: Upper end of both axes.

    Returns:
        The figure.
    """
    sizes = as_array(sizes)
    figure = Figure(figsize=(WIDTH, 3.3))
    left, right = figure.subplots(1, 2, sharey=True)
    colours = coloured(orthogonal)
    for (label, values), marker in zip(orthogonal.items(), repeated(MARKERS), strict=False):
        values, colour = as_array(values), colours[label]
        values = np.where(np.isfinite(values), values, np.nan)
        left.plot(np.arange(1, len(values) + 1), values, marker=marker, markersize=3.5, color=colour, linewidth=1)
        away = as_array(aligned[label])
        away = np.where(np.isfinite(away), away, np.nan)
        right.plot(sizes, away, marker=marker, markersize=3.5, color=colour, linewidth=1, label=label)
    fine = np.linspace(1, limit**2, 200)
    right.plot(fine, np.sqrt(fine), color=PALETTE["grey"], linewidth=5, alpha=0.35, zorder=0, label="√k, one plane")
    right.set(xlabel="directions that all lead out at once", xscale="log", xlim=(0.9, 1.1 * sizes.max()))
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.set(xlabel="exits at right angles, nearest first", ylabel="distance / adversarial distance", ylim=(0.8, limit))
    left.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    for axes in (left, right):
        axes.grid()
        axes.tick_params(length=0)
    right.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=7)
    return figure


@styled
def real(radii: ArrayLike, curves: Mapping[str, ArrayLike]) -> Figure:
    """How many images have a real image, or an adversarial one, within a radius.

    Args:
        radii: (E,), RMS per pixel.
        curves: What is within -> (E,) shares; the first two are real images and drawn in grey.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(0.85 * WIDTH, 3.3))
    axes = figure.subplots()
    real_ones = [(PALETTE["grey"], 2.6, "-"), (PALETTE["grey"], 2.6, (0, (2, 1)))]
    pens = (*real_ones, *((colour, 1.2, "-") for colour in _COLOURS))
    for (label, shares), (colour, width, dashes) in zip(curves.items(), repeated(pens), strict=False):
        axes.plot(as_array(radii), as_array(shares), label=label, color=colour, linewidth=width, linestyle=dashes)
    axes.set(xscale="log", xlabel="radius, RMS per pixel", ylabel="share of the test images", ylim=(-0.02, 1.04))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.grid()
    axes.tick_params(length=0)
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=7)
    return figure


@styled
def near(networks: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """For how many images another class is within reach, against the error under noise of the same radius.

    Args:
        networks: Name -> ``radii`` and the fractions ``found``, ``low``, ``high``, ``noise``, ``clipped``, (E,) each.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    figure, grid = plots.panels(networks.items(), row=1.75, rest=0.6, columns=4, sharex=True, sharey=True)
    for axes, one in grid:
        radii = as_array(one["radii"])
        axes.fill_between(
            radii, as_array(one["low"]), as_array(one["high"]), color=PALETTE["vermilion"], alpha=0.2, lw=0
        )
        axes.plot(radii, as_array(one["found"]), color=PALETTE["vermilion"], label="an adversarial\nimage is within")
        axes.plot(radii, as_array(one["noise"]), color=PALETTE["blue"], linestyle=(0, (5, 1.5)), label="noise errs")
        axes.plot(
            radii, as_array(one["clipped"]), color=PALETTE["sky"], linestyle=(0, (1.2, 1.2)), label="cut noise errs"
        )
        axes.set(xscale="log", ylim=(-0.02, 1.04), xlim=(radii.min(), radii.max()))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        axes.grid()
        axes.tick_params(length=0)
    handles, labels = grid[0][0].get_legend_handles_labels()
    spare = next(iter(figure.axes[len(grid) :]), None)
    legend = (spare or figure).legend(handles, labels, loc="center" if spare else "outside lower center")
    legend.set_in_layout(spare is None)  # or the columns would make room for it
    figure.supxlabel("radius, RMS per pixel", fontsize=8.5)
    return figure


@styled
def spectra(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, count: int = 40) -> Figure:
    """Part of the energy in the first singular directions, over their number.

    Args:
        curves: Network -> (N,) cumulated shares of its N normals, and those of as many random vectors, rising to 1.
        count: How many directions are shown; where there are fewer, 1 goes on.

    Returns:
        The figure, with N in its legend.
    """
    figure = Figure(figsize=(WIDTH, 3.1))
    axes = figure.subplots()
    colours = coloured(curves)
    for (label, (own, random)), marker in zip(curves.items(), repeated(MARKERS), strict=False):
        for values, dashes in ((own, "-"), (random, (0, (4, 2)))):
            shown = as_array(values)[:count]
            shown = np.pad(shown, (0, count - len(shown)), constant_values=1)
            (line,) = axes.plot(np.arange(1, count + 1), shown, color=colours[label], linestyle=dashes, linewidth=1.2)
            if values is own:
                line.set(label=f"{label}, {len(own)}", marker=marker, markersize=3.5, markevery=(0.05, 0.15))
    axes.plot([], [], color=PALETTE["grey"], linestyle=(0, (4, 2)), label="as many random vectors")
    axes.set(xlabel="singular directions", ylabel="part of the energy", ylim=(0, 1.04))
    axes.grid()
    axes.tick_params(length=0)
    figure.legend(loc="outside right center", fontsize=7)  # nowhere inside is there room beside the curves
    return figure
