"""The pictures of the chapter on operator norms."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from intriguing.book.plots import NARROW, PALETTE, SEQUENTIAL, WIDTH, Figure, as_array, styled

SLID = 4.2
"""Width in inches of a picture behind a slider, so small that its letters can be read on a phone too."""


@styled
def symbols(panels: Mapping[str, tuple[ArrayLike, ArrayLike]], *, width: float = WIDTH) -> Figure:
    """The norm of a convolution's transform over a fine grid of frequencies, with those of a coarse one marked.

    Args:
        panels: Title -> (values (P, P) over one period in both directions, marks (M,) fractions of the period).
        width: In inches; where it is less than a full one, the panels stand one below the other.

    Returns:
        The figure; below each panel stand the largest of the values, as the supremum that it comes near, and the
        largest of those next to a mark.

    Raises:
        ValueError: No panel.
    """
    if not panels:
        raise ValueError("got no panel; expected at least one convolution.")
    narrow = width < WIDTH
    figure = Figure(figsize=(width, 3.1 * (len(panels) if narrow else 1)))
    grid = figure.subplots(*((len(panels), 1) if narrow else (1, len(panels))), squeeze=False).ravel()
    for axes, (title, (values, marks)) in zip(grid, panels.items(), strict=True):
        values, marks = as_array(values), as_array(marks)
        shown = axes.imshow(values, origin="lower", extent=(0, 1, 0, 1), cmap=SEQUENTIAL, vmin=0)
        across, up = (part.ravel() for part in np.meshgrid(marks, marks))
        axes.plot(across, up, "o", color=PALETTE["vermilion"], markeredgecolor="white", markersize=7, clip_on=False)
        places = np.round(marks * len(values)).astype(int) % len(values)
        seen = values[np.ix_(places, places)].max()
        axes.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), title=title)
        axes.set_xlabel(f"largest {values.max():.2f}, at the dots {seen:.2f}")
        axes.tick_params(length=0)
        figure.colorbar(shown, ax=axes, shrink=0.8).outline.set_visible(False)
    if not narrow:
        figure.redraw = functools.partial(symbols, panels, width=NARROW)
    return figure


class Distances(Protocol):
    """Three distances of every image of a network, (N,) each: two are proved, the last one is found."""

    whole: ArrayLike
    local: ArrayLike
    found: ArrayLike


@styled
def sandwiches(panels: Mapping[str, Distances], *, columns: int = 4) -> Figure:
    """For each network the share of images whose runner-up class is excluded, and found, within a radius.

    Args:
        panels: Network -> its distances.
        columns: Panels per row.

    Returns:
        The figure. The white band between the curves is what proof and search leave open.

    Raises:
        ValueError: No panel.
    """
    if not panels:
        raise ValueError("got no panel; expected at least one network.")
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, 0.4 + 1.75 * rows))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, (title, one) in zip(grid.ravel(), panels.items(), strict=False):
        parts = {name: np.sort(as_array(getattr(one, name))) for name in ("whole", "local", "found")}
        top = 1.02 * np.quantile(parts["found"], 0.98)
        radii = np.linspace(0, top, 300)
        share = {name: np.searchsorted(values, radii, side="left") / len(values) for name, values in parts.items()}
        axes.fill_between(radii, 1 - share["local"], color=PALETTE["sky"], alpha=0.35, linewidth=0)
        axes.fill_between(radii, 1 - share["whole"], color=PALETTE["blue"], alpha=0.55, linewidth=0)
        axes.fill_between(radii, 1 - share["found"], 1, color=PALETTE["vermilion"], alpha=0.45, linewidth=0)
        axes.plot(radii, 1 - share["whole"], color=PALETTE["blue"], label="runner-up excluded, globally")
        axes.plot(radii, 1 - share["local"], color=PALETTE["sky"], label="runner-up excluded, locally")
        axes.plot(radii, 1 - share["found"], color=PALETTE["vermilion"], label="runner-up found (from above)")
        axes.set(xlim=(0, top), ylim=(0, 1), title=title)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.tick_params(length=0)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("radius around the image (RMS per pixel)", fontsize=8.5)
    handles, labels = grid.ravel()[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


@styled
def cone(x: ArrayLike, y: ArrayLike, place: float, bound: float, outside: ArrayLike) -> Figure:
    """A curve and the cone in which a Lipschitz bound holds it around one of its points.

    Args:
        x: (N,) ascending.
        y: (N,) the curve.
        place: of the cone's tip, between the ends of ``x``.
        bound: slope of its sides.
        outside: (N,) bool, where the curve leaves the cone.

    Returns:
        The figure.
    """
    x, y = as_array(x), as_array(y)
    tip = np.interp(place, x, y)
    figure = Figure(figsize=(SLID, 2.5))
    axes = figure.subplots()
    reach = bound * np.abs(x - place)
    axes.fill_between(x, tip - reach, tip + reach, color=PALETTE["sky"], alpha=0.3, linewidth=0)
    axes.plot(x, y, color=PALETTE["blue"], linewidth=2)
    axes.plot(x, np.where(np.asarray(outside), y, np.nan), color=PALETTE["vermilion"], linewidth=3)
    axes.plot([place], [tip], "o", color=PALETTE["black"])
    axes.set(xlim=(x[0], x[-1]), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), xlabel="x", ylabel="f(x)")
    axes.tick_params(length=0)
    return figure


@styled
def chord(x: ArrayLike, y: ArrayLike, ends: tuple[float, float], place: float, slope: float, bound: float) -> Figure:
    """A chord of a curve, the tangent that is parallel to it, and the steepest slope there is.

    Args:
        x: (N,) ascending.
        y: (N,) the curve.
        ends: of the chord.
        place: where the curve has its slope.
        slope: of the chord.
        bound: the curve's steepest slope.

    Returns:
        The figure: the curve on the left, the two slopes as bars on the right.
    """
    x, y = as_array(x), as_array(y)
    figure = Figure(figsize=(SLID, 2.5))
    axes, bars = figure.subplots(1, 2, width_ratios=(4, 1))
    axes.plot(x, y, color=PALETTE["blue"], linewidth=2)
    axes.plot(ends, np.interp(ends, x, y), "o-", color=PALETTE["black"], linewidth=1.5)
    tangent = place + np.array([-0.12, 0.12])
    axes.plot(tangent, np.interp(place, x, y) + slope * (tangent - place), color=PALETTE["vermilion"], linewidth=2)
    axes.plot([place], [np.interp(place, x, y)], "o", color=PALETTE["vermilion"])
    axes.set(xlim=(x[0], x[-1]), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), xlabel="x", ylabel="f(x)")
    bars.bar(["here", "most"], [abs(slope), bound], color=[PALETTE["vermilion"], PALETTE["grey"]])
    bars.set(ylim=(0, 1.1 * bound), title="|slope|")
    for one in (axes, bars):
        one.tick_params(length=0)
    return figure


@styled
def two_layers(first: ArrayLike, second: ArrayLike) -> Figure:
    """What two matrices make of a circle, beside the circle that the product of their norms allows.

    Args:
        first: (2, 2), applied first.
        second: (2, 2).

    Returns:
        The figure; above the second and the third panel stands the norm so far.
    """
    first, second = as_array(first), as_array(second)
    figure = Figure(figsize=(SLID, 1.9))
    angles = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    size = [float(np.linalg.norm(matrix, 2)) for matrix in (first, second, second @ first)]
    steps = (
        (circle, 1.0, "a unit circle"),
        (first @ circle, size[0], f"after the first, {size[0]:.2f}"),
        (second @ first @ circle, size[0] * size[1], f"after both, {size[2]:.2f}"),
    )
    for axes, (points, allowed, title) in zip(figure.subplots(1, 3), steps, strict=True):
        axes.plot(*(allowed * circle), color=PALETTE["grey"], linewidth=1, linestyle=(0, (4, 2)))
        axes.fill(*points, color=PALETTE["sky"], alpha=0.4, linewidth=0)
        axes.plot(*points, color=PALETTE["blue"], linewidth=1.5)
        axes.plot([0, points[0, 0]], [0, points[1, 0]], color=PALETTE["vermilion"], linewidth=2)
        edge = 1.1 * size[0] * size[1]
        axes.set(xlim=(-edge, edge), ylim=(-edge, edge), title=title, aspect="equal")
        axes.set_axis_off()
    return figure
