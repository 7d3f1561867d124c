"""The pictures of the chapter on QuocNet: arrays in, a figure out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import NullLocator, PercentFormatter
from numpy.typing import ArrayLike

from intriguing.book.plots import DASHES, GAP, WIDTH, Figure, as_array, as_images, mosaic, panels, repeated, styled


@styled
def filters(weight: ArrayLike, *, field: int, side: int, every: int = 2) -> Figure:
    """Filters of the first stage as coloured patches: a column for each place looked at, a row for each map.

    Args:
        weight: (places, 3 * field * field, maps), places row by row.
        field: height and width of a filter.
        side: places along one side of the image.
        every: along the middle row of places, each so-manieth is shown.

    Returns:
        The figure. Each filter is scaled by its largest entry; grey is zero.

    Raises:
        ValueError: weights of another shape.
    """
    weight = as_array(weight)
    if weight.ndim != 3 or weight.shape[:2] != (side * side, 3 * field * field):
        raise ValueError(
            f"got weights of shape {weight.shape}; expected ({side * side}, {3 * field * field}, maps) for filters of "
            f"{field} and {side} places a side; give the sizes of these weights."
        )
    shown = weight[side // 2 * side : (side // 2 + 1) * side : every]  # (columns, d, maps)
    patches = shown.transpose(2, 0, 1).reshape(-1, 3, field, field)  # map by map
    largest = np.abs(patches).max((1, 2, 3), keepdims=True)
    figure = Figure()
    axes = figure.subplots()
    mosaic(axes, as_images(0.5 + 0.5 * patches / np.where(largest > 0, largest, 1)), len(shown), rows_gap=1)
    figure.set_size_inches(WIDTH, WIDTH * weight.shape[2] * (field + 1) / (len(shown) * (field + GAP)))
    return figure


@styled
def stimulus(top: ArrayLike, best: ArrayLike) -> Figure:
    """The pictures that excite a unit most, and beside them the optimal one.

    Args:
        top: (N, 3, height, width) in [0, 1].
        best: (1, 3, height, width) in [0, 1].

    Returns:
        The figure.
    """
    figure = Figure(figsize=(WIDTH, 1.05))
    left, right = figure.subplots(1, 2, width_ratios=(len(top), 1.25))
    mosaic(left, as_images(top), len(top))
    mosaic(right, as_images(best), 1)
    left.set_title("test pictures that excite it most", fontsize=8)
    right.set_title("optimal stimulus", fontsize=8)
    return figure


@styled
def figure6(cars: ArrayLike, unmade: ArrayLike, *, magnification: float, columns: int = 4) -> Figure:
    """Recognised car, picture not taken for one, magnified absolute difference, many times, like the paper's Figure 6.

    Args:
        cars: (N, 3, height, width) in [0, 1].
        unmade: the same shape.
        magnification: factor of the absolute difference, which is cut to [0, 1].
        columns: triptychs side by side.

    Returns:
        The figure, triptychs line by line in the order given.

    Raises:
        ValueError: the shapes differ, or there is no car.

    Source:
        Szegedy et al. 2013, Figure 6.
    """
    cars, unmade = as_array(cars), as_array(unmade)
    if cars.shape != unmade.shape or cars.ndim != 4 or not len(cars):
        raise ValueError(
            f"got shapes {cars.shape} and {unmade.shape}; expected (N, 3, height, width) twice; give pairs of pictures."
        )
    columns = min(columns, len(cars))
    parts = np.stack([cars, unmade, magnification * np.abs(unmade - cars)], 1)  # (N, 3 parts, 3, height, width)
    lines = -(-len(parts) // columns)
    figure = Figure()
    figure.get_layout_engine().set(w_pad=0.04)
    height, width = 0, 0
    for column, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        own = parts[column::columns]
        blank = np.ones((lines - len(own), *parts.shape[1:]))
        tiles = np.concatenate([own, blank]).reshape(-1, *cars.shape[1:])
        height = mosaic(axes, as_images(tiles), 3) * lines
        width = 3 * (cars.shape[3] + GAP) * columns
    figure.set_size_inches(WIDTH, WIDTH * height / width)
    return figure


@styled
def lengths(groups: Mapping[str, pd.DataFrame]) -> Figure:
    """The share of cars that are still recognised, over how far one goes, one panel for each network.

    Args:
        groups: title -> shares in [0, 1], a column for each way to go and a row for each multiple of the distortion.

    Returns:
        The figure.

    Raises:
        ValueError: no group.
    """
    figure, drawn = panels(groups.items(), row=2.7, rest=0.1, sharey=True)
    for axes, frame in drawn:
        for (way, shares), dashes in zip(frame.items(), repeated(DASHES), strict=False):
            axes.plot(frame.index, shares, label=way, linestyle=dashes, marker="o", markersize=3)
        axes.set(xscale="log", xlabel="multiple of the minimal distortion", ylim=(-0.03, 1.03))
        axes.set_xticks(list(frame.index), [f"{factor:g}" for factor in frame.index])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y")
    drawn[0][0].set_ylabel("still recognised as cars")
    drawn[0][0].legend(title="along", loc="center left", frameon=True, framealpha=0.9, edgecolor="none")
    return figure
