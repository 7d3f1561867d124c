"""The pictures of the chapter on explanation vectors: arrays in, a figure out."""

from __future__ import annotations

import functools
import textwrap

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import ArrayLike

from intriguing.book import plots
from intriguing.book.plots import DIVERGING, NARROW, PALETTE, WIDTH, Figure, as_array, styled
from intriguing.chapters.explanation.study import Walk

_PROBABILITY = LinearSegmentedColormap.from_list("probability", ["#8fc0e0", "#ffffff", "#f4c583"])
_COLOURS = (PALETTE["blue"], PALETTE["orange"])


@styled
def four_panels(
    points: ArrayLike,
    second: ArrayLike,
    corners: ArrayLike,
    probability: ArrayLike,
    places: ArrayLike,
    vectors: ArrayLike,
) -> Figure:
    """Object, model, local explanation vectors and their directions, on the unit square.

    Args:
        points: (N, 2) training points.
        second: (N,) bool, which of them belong to the object.
        corners: (k, 2), the outline of the object, in order.
        probability: (side, side) of the object on a grid over the square, row by row from below.
        places: (M, 2), where vectors are drawn.
        vectors: (M, 2), the explanation vectors there.

    Returns:
        The figure.

    Source:
        Baehrens et al. 2010, Figure 1.
    """
    points, second, corners = as_array(points), np.asarray(second, dtype=bool), as_array(corners)
    probability, places, vectors = map(as_array, (probability, places, vectors))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    titles = ("(a) object", "(b) model", "(c) vectors", "(d) directions")
    figure, placed = plots.panels(zip(titles, range(4), strict=True), row=2.15)
    grid = [axes for axes, _ in placed]
    for axes in grid:
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        plots.frame(axes)
    outline = np.vstack([corners, corners[:1]]).T
    grid[0].plot(*outline, color=PALETTE["grey"], linewidth=1)
    for part, colour, marker in ((~second, _COLOURS[0], "o"), (second, _COLOURS[1], "s")):
        grid[0].plot(*points[part].T, marker, color=colour, markersize=2.6, markeredgecolor="none")
    for axes in grid[1:]:
        axes.imshow(
            probability,
            extent=(0, 1, 0, 1),
            origin="lower",
            cmap=_PROBABILITY,
            vmin=0,
            vmax=1,
            interpolation="bilinear",
        )
        axes.contour(
            probability,
            levels=[0.5],
            extent=(0, 1, 0, 1),
            colors=[PALETTE["vermilion"]],
            linewidths=1.4,
            origin="lower",
        )
    grid[1].contour(
        probability, levels=[0.1, 0.3, 0.7, 0.9], extent=(0, 1, 0, 1), colors=[PALETTE["grey"]], linewidths=0.5,
        origin="lower",
    )  # fmt: skip
    arrow = {"color": PALETTE["black"], "pivot": "tail", "angles": "xy", "width": 0.0075, "headwidth": 4.5}
    grid[2].quiver(*places.T, *vectors.T, scale_units="xy", scale=float(lengths.max()) / 0.16, **arrow)
    grid[3].quiver(*places.T, *(vectors / lengths).T, scale_units="xy", scale=1 / 0.055, **arrow)
    return figure


@styled
def walk(steps: Walk, *, titles: tuple[str, str], inches: float = WIDTH) -> Figure:
    """Digits with their explanation vectors and what becomes of them along these, two classes side by side.

    Args:
        steps: The digits and their vectors. Each vector is scaled by its largest entry, pictures are cut to [0, 1].
        titles: Of the two halves.
        inches: Width of the figure; where it is less than a full one, the second half stands below the first.

    Returns:
        The figure.

    Source:
        Baehrens et al. 2010, Figure 5.
    """
    vectors, walks, probabilities = map(as_array, (steps.vectors, steps.pictures, steps.probabilities))
    rows, count, height, width = walks.shape[1:]
    narrow = inches < WIDTH
    down, across, between = round(1.6 * height), width + max(1, width // 12), width // 2
    half = (count + 1) * across + between // 2
    ends = (2 * rows * down + height, half) if narrow else (rows * down, 2 * half + between)
    picture = np.ones((*ends, 3))
    figure = Figure(figsize=(inches, inches * picture.shape[0] / picture.shape[1] + 0.25))
    axes = figure.subplots()
    for side in range(2):
        start = 0 if narrow else side * (half + between)
        under = side * (rows * down + height) if narrow else 0
        for row in range(rows):
            top = under + row * down
            picture[top : top + height, start : start + width] = _framed(_coloured(vectors[side, row]))
            for step in range(count):
                left = start + (step + 1) * across + between // 2
                image = walks[side, row, step].clip(0, 1)[..., None]
                picture[top : top + height, left : left + width] = image
                value = probabilities[side, row, step]
                axes.text(
                    left + width / 2 - 0.5, top + height + 0.3, f"{value:.2f}", ha="center", va="top",
                    fontsize=7.2 if narrow else 6.5, fontweight="bold" if step else "normal",
                    color=_COLOURS[int(value > 0.5)],
                )  # fmt: skip
        axes.text(start, under - height * 0.25, titles[side], fontsize=8.5, va="bottom")
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    if not narrow:
        figure.redraw = functools.partial(walk, steps, titles=titles, inches=NARROW)
    return figure


@styled
def walk_page(steps: Walk, place: int, *, names: tuple[str, str]) -> Figure:
    """One position of the slider: digits moved by one distance, and the probability along the way of each.

    Args:
        steps: The digits at all positions of the slider; cut to [0, 1] for display.
        place: Which position this is.
        names: Of the two classes.

    Returns:
        The figure, always of the same size.
    """
    images, distances, curves = map(as_array, (steps.pictures[:, :, place], steps.distances, steps.probabilities))
    # So small that its letters can be read on a phone too: a row for each class, and the curves.
    width, height = 4.2, 5.0
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    count = images.shape[1]
    for side in range(2):
        for column in range(count):
            size = 0.88 / count
            left = 0.03 + column * (size + 0.06 / count)
            axes = figure.add_axes((left, 0.775 - 0.245 * side, size, size * width / height))
            axes.imshow(images[side, column].clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            value = curves[side, column, place]
            read = int(value > 0.5)
            plots.frame(axes, _COLOURS[read], linewidth=2.5)
            axes.set_title(f"{names[read]}  ({value:.2f})", fontsize=8, color=_COLOURS[read], pad=3)
    axes = figure.add_axes((0.12, 0.09, 0.85, 0.38))
    for side in range(2):
        axes.plot(distances, curves[side].T, color=_COLOURS[side], linewidth=1.1, alpha=0.85)
        axes.plot(
            np.full(count, distances[place]), curves[side][:, place], "o", color=_COLOURS[side], markersize=4.5,
            markeredgecolor="white", markeredgewidth=0.6, clip_on=False, zorder=5,
        )  # fmt: skip
    axes.axhline(0.5, color=PALETTE["grey"], linewidth=0.8, linestyle=(0, (2, 2)))
    axes.axvline(distances[place], color=PALETTE["grey"], linewidth=0.8)
    axes.set(xlim=(distances[0], distances[-1]), ylim=(0, 1), yticks=[0, 0.5, 1])
    axes.set_xlabel("distance moved (root mean square per pixel)")
    axes.set_ylabel(f"probability of an {names[1]}")
    axes.tick_params(length=0)
    return figure


@styled
def compared(rows: ArrayLike, titles: tuple[str, ...], *, inches: float = 0.78 * WIDTH) -> Figure:
    """Pictures of signed numbers side by side, each in its own scale, under common titles.

    Args:
        rows: (R, C, height, width): the first and the last column hold digits in [0, 1], those between them signed
            patterns.
        titles: C of them.
        inches: Width of the figure.

    Returns:
        The figure.
    """
    rows = as_array(rows)
    count, columns, height, width = rows.shape
    gap = max(2, width // 8)
    picture = np.ones((count * (height + gap) - gap, columns * (width + gap) - gap, 3))
    figure = Figure(figsize=(inches, inches * picture.shape[0] / picture.shape[1] + 0.3))
    axes = figure.subplots()
    for row in range(count):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            image = rows[row, column]
            plain = column in (0, columns - 1)
            tile = np.repeat(image.clip(0, 1)[..., None], 3, 2) if plain else _framed(_coloured(image))
            picture[top : top + height, left : left + width] = tile
    for column, title in enumerate(titles):
        name = textwrap.fill(title, 9, break_long_words=False) if inches <= NARROW else title
        size = 7.2 if inches <= NARROW else 8
        axes.text(column * (width + gap) + width / 2 - 0.5, -1.5, name, ha="center", va="bottom", fontsize=size)
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    if inches > NARROW:
        figure.redraw = functools.partial(compared, rows, titles, inches=NARROW)
    return figure


def _coloured(pattern: np.ndarray) -> np.ndarray:
    """Blue below zero, white at zero, vermilion above, in the scale of the largest entry; (height, width, 3)."""
    strongest = np.abs(pattern).max() or 1.0
    return DIVERGING(0.5 + 0.5 * pattern / strongest)[..., :3]


def _framed(tile: np.ndarray) -> np.ndarray:
    """Greys the outermost pixels a little, so that a white pattern has an edge on a white page."""
    edge = np.ones(tile.shape[:2], dtype=bool)
    edge[1:-1, 1:-1] = False
    return np.where(edge[..., None], 0.94 * tile, tile)
