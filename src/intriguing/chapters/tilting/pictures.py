"""The pictures of the chapter on boundary tilting: arrays in, a figure out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Arc
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import DIVERGING, PALETTE, WIDTH, Figure, as_array, styled
from intriguing.chapters.tilting.geometry import View

FIRST, SECOND, EDGE = PALETTE["blue"], PALETTE["orange"], PALETTE["vermilion"]
_LIMITS = tuple[tuple[float, float], tuple[float, float]]


@styled
def toy_panels(panels: Mapping[str, tuple[ArrayLike, ArrayLike, tuple[float, float, float]]]) -> Figure:
    """The toy classes in their tilting planes, each with a boundary.

    Args:
        panels: Title -> coordinates (N, 2) along the bars and across them, second (N,) bool, and the line (a, b, c)
            with a * u + b * v + c = 0.

    Returns:
        The figure.

    Source:
        Tanay 2018, Figure 4.
    """
    figure, grid = plots.panels(panels.items(), row=2.35, rest=0.2, columns=3, title_size=8, sharex=True, sharey=True)
    for axes, (points, second, line) in grid:
        points, second = as_array(points), np.asarray(second, dtype=bool)
        limits = ((-0.75, 0.75), (-0.75, 0.75))
        _half_planes(axes, line, limits)
        for part, colour, name in ((~second, FIRST, "I"), (second, SECOND, "J")):
            bar = part & (np.abs(points[:, 1]) > np.abs(points[part, 1]).max() - 1e-9)
            axes.plot(points[bar, 0], points[bar, 1], color=colour, linewidth=5, solid_capstyle="butt")
            axes.plot(*points[part & ~bar].T, "o", color=colour, markersize=5)
            height = points[bar, 1].mean()
            axes.annotate(  # away from the middle, where neither a point nor the boundary is near
                name, (points[bar, 0].mean(), height), xytext=(0, 6 if height > 0 else -6), textcoords="offset points",
                ha="center", va="bottom" if height > 0 else "top", color=colour, fontsize=11, fontweight="bold",
            )  # fmt: skip
        _line(axes, line)
        axes.set(xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
        axes.set_xlabel("along the bars")
        axes.tick_params(length=0)
    figure.axes[0].set_ylabel("across them, along z")
    return figure


@styled
def toy_sheets(sheets: Mapping[int, Mapping[str, ArrayLike]]) -> Figure:
    """The toy as images: points of both classes, weights, and a point moved across either boundary.

    Args:
        sheets: Number of dimensions -> title -> (n,) values. Two are drawn as two pixels, a square number as a square.

    Returns:
        The figure; points and what became of them share one scale in each row, a weight has its own.

    Source:
        Tanay 2018, Figure 3.
    """
    titles = list(next(iter(sheets.values())))
    figure = Figure(figsize=(WIDTH, 1.45 * len(sheets)))
    grid = figure.subplots(len(sheets), len(titles), squeeze=False)
    for place, (dimension, values) in enumerate(sheets.items()):
        row = grid[place]
        scale = max(np.abs(as_array(value)).max() for title, value in values.items() if "weight" not in title)
        side = math.isqrt(dimension)
        shape = (side, side) if side**2 == dimension else (1, dimension)
        for axes, title in zip(row, titles, strict=True):
            value = as_array(values[title])
            high = np.abs(value).max() if "weight" in title else scale
            axes.imshow(value.reshape(shape), cmap=DIVERGING, vmin=-high, vmax=high, interpolation="nearest")
            plots.frame(axes)
            if place == 0:
                axes.set_title(title.replace(": ", ":\n"), fontsize=7.5)
        row[0].set_ylabel(f"{dimension} dimensions", fontsize=8)
    return figure


@styled
def splits(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Errors against the tilting angle for each size of the training set, and the part of the tilt that is shared.

    Args:
        curves: Title -> levels by ``angle``, ``shared``, ``training`` and ``error``.

    Returns:
        The figure: errors above, shared angle below.
    """
    figure = Figure(figsize=(WIDTH, 4.1))
    grid = figure.subplots(2, len(curves), sharex=True, sharey="row", squeeze=False)
    for (top, low), (title, frame) in zip(grid.T, curves.items(), strict=True):
        top.plot(frame["angle"], 100 * frame["training"], "o-", color=PALETTE["grey"], markersize=3, label="training")
        top.plot(frame["angle"], 100 * frame["error"], "o-", color=PALETTE["green"], markersize=3, label="held out")
        best = frame.loc[frame["error"].idxmin()]
        low.plot(frame["angle"], frame["shared"], "o-", color=PALETTE["blue"], markersize=3)
        low.axline((0, 0), slope=1, color=PALETTE["grey"], linewidth=1)
        for axes in (top, low):
            axes.axvline(best["angle"], color=EDGE, linewidth=1, linestyle=":")
            axes.set(xlim=(0, 90), xticks=[0, 30, 60, 90])
            axes.grid()
            axes.tick_params(length=0)
        top.set_title(title, fontsize=8.5)
        top.set_ylim(0, None)
        low.set(xlabel="tilting angle (degrees)", ylim=(0, 90), yticks=[0, 30, 60, 90])
    grid[0, 0].set_ylabel("error (%)")
    grid[1, 0].set_ylabel("shared angle (degrees)")
    grid[0, -1].legend(fontsize=7.5, frameon=False)
    return figure


@styled
def plane(view: View, *, names: tuple[str, str], limits: _LIMITS | None = None) -> Figure:
    """Two classes in the tilting plane, with the boundary and the angle by which it leans.

    Args:
        view: The points and the boundary in the plane.
        names: Of the two classes.
        limits: Ends of both axes; None takes those of the points.

    Returns:
        The figure.

    Source:
        Tanay 2018, Figure 5.
    """
    figure = Figure(figsize=(0.86 * WIDTH, 4.2))
    _plane(figure.subplots(), view, names, limits or _around(view.points))
    return figure


@styled
def law(cosines: ArrayLike, ratios: Mapping[str, ArrayLike], *, ylabel: str) -> Figure:
    """Distance to the boundary against the cosine of the tilting angle, with the line on which they agree.

    Args:
        cosines: (pairs, levels); the levels of a pair are joined by a line.
        ratios: Name of a measure -> as many distances, each over half the distance of the class means.
        ylabel: What the measures are.

    Returns:
        The figure.
    """
    figure, grid = plots.panels(ratios.items(), row=3.5, sharey=True)
    for axes, values in grid:
        x, y = as_array(cosines), as_array(values)
        axes.plot(x.T, y.T, color=PALETTE["sky"], linewidth=0.6, alpha=0.45)
        axes.plot(x.ravel(), y.ravel(), "o", color=PALETTE["blue"], markersize=3, markeredgecolor="none", alpha=0.8)
        axes.axline((0, 0), slope=1, color=EDGE, linewidth=1.1)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.32), xlabel="cosine of the tilting angle")
        axes.grid()
        axes.tick_params(length=0)
    figure.axes[0].set_ylabel(ylabel)
    return figure


@styled
def clouds(panels: Mapping[str, tuple[ArrayLike, ArrayLike]], *, xlabel: str, ylabel: str) -> Figure:
    """One cloud of points for each network over common axes, with the line of equality.

    Args:
        panels: Title -> x and y, each (N,).
        xlabel: What x is.
        ylabel: What y is.

    Returns:
        The figure.
    """
    figure, grid = plots.panels(panels.items(), row=2.15, rest=0.45, columns=3, sharex=True, sharey=True)
    top = max(np.nanquantile(as_array(value), 0.995) for pair in panels.values() for value in pair)
    for axes, (x, y) in grid:
        axes.plot(
            as_array(x), as_array(y), "o", color=PALETTE["blue"], markersize=2.2, markeredgecolor="none", alpha=0.4
        )
        axes.axline((0, 0), slope=1, color=EDGE, linewidth=1.1)
        axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        axes.grid()
        axes.tick_params(length=0)
    figure.supxlabel(xlabel, fontsize=8.5)
    figure.supylabel(ylabel, fontsize=8.5)
    return figure


@styled
def trio(clean: ArrayLike, distorted: ArrayLike, titles: Sequence[str]) -> Figure:
    """A digit, what is added to it, and the sum, side by side.

    Args:
        clean: (height, width) in [0, 1].
        distorted: Likewise.
        titles: Three, above the pictures.

    Returns:
        The figure, always of the same size.
    """
    clean, distorted = as_array(clean), as_array(distorted)
    figure, grid = plots.panels(zip(titles, range(3), strict=True), row=1.7, width=4.2, title_size=8.5)
    _added([axes for axes, _ in grid], clean, distorted, np.abs(distorted - clean).max())
    return figure


def _added(grid: Sequence[Axes], clean: np.ndarray, distorted: np.ndarray, strongest: float) -> None:
    """A digit, what is added to it in the scale of the strongest difference, and the sum."""
    difference = (distorted - clean) / (strongest or 1.0)
    shown = ((clean, "gray", 0, 1), (difference, DIVERGING, -1, 1), (distorted, "gray", 0, 1))
    for axes, (image, colours, low, high) in zip(grid, shown, strict=True):
        axes.imshow(image, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        plots.frame(axes)


def _plane(axes: Axes, view: View, names: tuple[str, str], limits: _LIMITS) -> None:
    points, second = as_array(view.points), np.asarray(view.second, dtype=bool)
    _half_planes(axes, view.line, limits)
    for part, colour in ((~second, FIRST), (second, SECOND)):
        axes.plot(*points[part].T, "o", color=colour, markersize=1.9, markeredgecolor="none", alpha=0.5)
    _line(axes, view.line)
    means = [(-view.half, 0.0), (view.half, 0.0)]
    axes.annotate(
        "", means[1], means[0], arrowprops={"arrowstyle": "<|-|>", "color": PALETTE["black"], "linewidth": 1.1,
                                            "shrinkA": 0, "shrinkB": 0}, zorder=5,
    )  # fmt: skip
    _angle(axes, view.line, view.angle, limits, points)
    # The weight vector points up and to the right, so that these corners are on the sides of their classes.
    for name, corner, colour, side in zip(names, (0, 1), (FIRST, SECOND), ("left", "right"), strict=True):
        axes.annotate(
            name, (corner, corner), xycoords="axes fraction", xytext=(7 - 14 * corner, 5 - 10 * corner),
            textcoords="offset points", ha=side, va="top" if corner else "bottom", color=colour, fontsize=13,
            fontweight="bold", zorder=8, path_effects=_halo(),
        )  # fmt: skip
    axes.set(xlim=limits[0], ylim=limits[1], aspect="equal", adjustable="box")
    axes.set_xlabel("along z, from mean to mean")
    axes.set_ylabel("along n", labelpad=1)
    axes.tick_params(length=0, labelsize=7.5)


def _angle(axes: Axes, line: tuple[float, float, float], angle: float, limits: _LIMITS, points: np.ndarray) -> None:
    """The weight vector and the arc between it and z, and its angle where it covers as few points as can be."""
    a, b, c = line
    size = 0.3 * (limits[1][1] - limits[1][0])
    foot = np.array([-c * a, -c * b])
    tip = foot + size * np.array([a, b])
    axes.annotate(
        "", tip, foot, arrowprops={"arrowstyle": "-|>", "color": EDGE, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0},
        zorder=6,
    )  # fmt: skip
    if angle > 4:
        axes.add_patch(
            Arc(foot, size, size, theta1=0, theta2=np.degrees(np.arctan2(b, a)), color=EDGE, lw=1.1, zorder=6)
        )
        axes.plot([foot[0], foot[0] + size * 0.6], [foot[1]] * 2, color=EDGE, linewidth=0.9, linestyle=":", zorder=6)
    height = limits[1][1] - limits[1][0]
    box = height * np.array([0.085, 0.055])  # half of what the number takes up
    turns = np.radians(np.arange(0, 360, 15))
    around = [tip + height * far * np.array([np.cos(turns), np.sin(turns)]).T for far in (0.12, 0.16, 0.2, 0.25, 0.3)]
    centres = np.concatenate(around)
    low, high = np.array(limits).T
    centres = centres[((centres - box >= low) & (centres + box <= high)).all(1)]
    centres = centres[centres @ [a, b] + c > box.sum()]  # beyond the boundary, where the vector points
    covered = [(np.abs(points - centre) < box).all(1).sum() for centre in centres]
    axes.annotate(
        f"{angle:.0f}°", centres[np.argmin(covered)] if covered else tip, ha="center", va="center", color=EDGE,
        fontsize=10, zorder=8, path_effects=_halo(),
    )  # fmt: skip


def _halo() -> list:
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=2.5, foreground="white")]


def _line(axes: Axes, line: tuple[float, float, float]) -> None:
    a, b, c = line
    axes.axline((-c * a, -c * b), (-c * a - b, -c * b + a), color=EDGE, linewidth=2, zorder=5)


def _half_planes(axes: Axes, line: tuple[float, float, float], limits: _LIMITS) -> None:
    """Washes each side of the boundary in the colour of the class that is read there."""
    a, b, c = line
    x, y = np.meshgrid(np.linspace(*limits[0], 400), np.linspace(*limits[1], 400))
    side = a * x + b * y + c > 0
    colours = matplotlib.colors.ListedColormap(["#eaf2f8", "#fdf3e0"])
    axes.imshow(side, extent=(*limits[0], *limits[1]), origin="lower", cmap=colours, vmin=0, vmax=1, aspect="equal")


def _around(points: ArrayLike) -> _LIMITS:
    points = as_array(points)
    low, high = points.min(0), points.max(0)
    pad = 0.06 * (high - low)
    (left, bottom), (right, top) = low - pad, high + pad
    return (float(left), float(right)), (float(bottom), float(top))
