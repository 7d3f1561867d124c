"""The pictures of the chapter on boundary tilting: arrays in, a figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Arc
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import DIVERGING, PALETTE, WIDTH, Figure, as_array, styled
from intriguing.chapters.tilting.geometry import View
from intriguing.chapters.tilting.study import Page, Turned

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
    figure, grid = plots.panels(panels.items(), row=2.35, title_size=8.5, sharey=True)
    for axes, (points, second, line) in grid:
        points, second = as_array(points), np.asarray(second, dtype=bool)
        limits = ((-0.75, 0.75), (-0.75, 0.75))
        _half_planes(axes, line, limits)
        for part, colour, name in ((~second, FIRST, "I"), (second, SECOND, "J")):
            axes.plot(points[part, 0], points[part, 1], color=colour, linewidth=5, solid_capstyle="butt")
            axes.annotate(
                name, (points[part, 0].max(), points[part, 1].mean()), xytext=(9, 0), textcoords="offset points",
                va="center", color=colour, fontsize=11, fontweight="bold",
            )  # fmt: skip
        _line(axes, line)
        axes.set(xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
        axes.set_xlabel("along the bars")
        axes.tick_params(length=0)
    figure.axes[0].set_ylabel("across them, along z")
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
def tilting_page(page: Page, *, reach: float) -> Figure:
    """One position of the slider: tilting plane, digits with their twins, and where on the path of levels this is.

    Args:
        page: What is drawn.
        reach: Half the width of the drawn part of the plane, the same on all pages.

    Returns:
        The figure, always of the same size.

    Source:
        Tanay 2018, Figure 6.
    """
    digits, moves, place = as_array(page.digits), as_array(page.moves), page.place
    figure = Figure(figsize=(WIDTH, 4.25))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.065, 0.11, 0.5, 0.81))
    _plane(axes, page.view, page.names, ((-reach, reach), (-reach, reach)))
    for start, end in moves:
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": PALETTE["black"], "linewidth": 1.3, "shrinkA": 0,
                                        "shrinkB": 0}, zorder=6,
        )  # fmt: skip
        axes.plot(*start, "o", color="white", markeredgecolor=PALETTE["black"], markersize=5, zorder=7)
    strongest = np.abs(digits[:, 1] - digits[:, 0]).max()
    size, left = 0.125, 0.6
    for row, (clean, twin) in enumerate(digits):
        bottom = 0.655 - row * 0.265
        places = [(left + column * 0.135, bottom, size, size * WIDTH / 4.25) for column in range(3)]
        grid = [figure.add_axes(place) for place in places]
        _added(grid, clean, twin, strongest)
        if row == 0:
            for axes, title in zip(grid, ("digit", "perturbation", "twin"), strict=True):
                axes.set_title(title, fontsize=8.5, pad=4)
    low = figure.add_axes((0.645, 0.11, 0.345, 0.215))
    angles, train, test = map(as_array, (page.angles, page.training, page.testing))
    low.plot(angles, 100 * train, color=PALETTE["grey"], linewidth=1.2)
    low.plot(angles, 100 * test, color=PALETTE["green"], linewidth=1.2)
    low.plot(angles[place], 100 * train[place], "o", color=PALETTE["grey"], markersize=5, clip_on=False)
    low.plot(angles[place], 100 * test[place], "o", color=PALETTE["green"], markersize=5, clip_on=False)
    low.set(xlim=(0, 90), ylim=(0, None), xticks=[0, 30, 60, 90], xlabel="tilting angle (degrees)")
    low.set_ylabel("error (%)", labelpad=2)
    low.text(0.98, 0.95, "test", color=PALETTE["green"], transform=low.transAxes, ha="right", va="top", fontsize=8)
    low.text(0.98, 0.75, "training", color="#666666", transform=low.transAxes, ha="right", va="top", fontsize=8)
    return figure


@styled
def turning(turned: Turned, *, azimuth: float, reach: float) -> Figure:
    """The boundary as a plane in the three dimensions of z and two weight vectors.

    Args:
        turned: The points and the boundary.
        azimuth: From where the reader looks, in degrees around the upright axis.
        reach: Half the width of the drawn cube.

    Returns:
        The figure, always of the same size.

    Source:
        Tanay 2018, Figure 7.
    """
    points, second = as_array(turned.cloud), np.asarray(turned.second, dtype=bool)
    normal, offset, angle = as_array(turned.normal), turned.offset, turned.angle
    figure = Figure(figsize=(4.6, 4.1))
    figure.set_layout_engine("none")
    axes = figure.add_axes((-0.08, -0.06, 1.16, 1.12), projection="3d", computed_zorder=False)
    axes.view_init(elev=22, azim=azimuth)
    axes.set_proj_type("ortho")
    corners = _cut(normal, offset, reach)
    side = points @ normal + offset
    # What lies behind the plane, seen from the reader, is drawn before it.
    view = np.array([np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth)), np.tan(np.radians(22))])
    front = (side > 0) == (normal @ view > 0)
    for part, order in ((~front, 1), (front, 4)):
        for group, colour in ((~second, FIRST), (second, SECOND)):
            axes.scatter(
                *points[part & group].T, s=5, color=colour, alpha=0.55, linewidths=0, depthshade=False, zorder=order
            )
    if len(corners):
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection

        sheet = Poly3DCollection([corners], facecolor=(*matplotlib.colors.to_rgb(EDGE), 0.28), edgecolor=EDGE,
                                 linewidth=1.4, zorder=2)  # fmt: skip
        axes.add_collection3d(sheet)
    axes.plot([-reach, reach], [0, 0], [0, 0], color=PALETTE["black"], linewidth=1, zorder=5)
    axes.text(reach * 1.06, 0, 0, "z", fontsize=10, fontweight="bold", zorder=6)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1))
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_ticks([])
        axis.pane.set(facecolor="#f7f7f7", edgecolor="#dddddd")
        axis.line.set_color("#bbbbbb")
    figure.text(0.03, 0.95, f"tilted by {angle:.0f}°", fontsize=10)
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
    figure, grid = plots.panels(zip(titles, range(3), strict=True), row=2.1, width=5.2, title_size=8.5)
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
    _angle(axes, view.line, view.angle, limits)
    for name, mean, colour, side in zip(names, means, (FIRST, SECOND), ("right", "left"), strict=True):
        axes.annotate(
            name, mean, xytext=(-9 if side == "right" else 9, 9), textcoords="offset points", ha=side, color=colour,
            fontsize=13, fontweight="bold", zorder=8, path_effects=_halo(),
        )  # fmt: skip
    axes.set(xlim=limits[0], ylim=limits[1], aspect="equal", adjustable="box")
    axes.set_xlabel("along z, from mean to mean")
    axes.set_ylabel("along n", labelpad=1)
    axes.tick_params(length=0, labelsize=7.5)


def _angle(axes: Axes, line: tuple[float, float, float], angle: float, limits: _LIMITS) -> None:
    """The weight vector and the arc between it and z."""
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
    axes.annotate(
        f"{angle:.0f}°", tip, xytext=(5, 2), textcoords="offset points", color=EDGE, fontsize=10, zorder=8,
        path_effects=_halo(),
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


def _cut(normal: np.ndarray, offset: float, reach: float) -> np.ndarray:
    """The polygon in which a plane cuts the cube from -reach to reach, its corners in order around it."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * reach
    pairs = [(i, j) for i in range(8) for j in range(i) if np.count_nonzero(corners[i] != corners[j]) == 1]
    values = corners @ normal + offset
    met = [
        corners[i] + values[i] / (values[i] - values[j]) * (corners[j] - corners[i])
        for i, j in pairs
        if values[i] * values[j] < 0
    ]
    if len(met) < 3:
        return np.empty((0, 3))
    met = np.array(met)
    centre = met.mean(0)
    one = met[0] - centre
    other = np.cross(normal, one)
    turn = np.arctan2((met - centre) @ other / np.linalg.norm(other), (met - centre) @ one / np.linalg.norm(one))
    return met[np.argsort(turn)]
