"""The pictures of the chapter on photographs: arrays in, a figure out. Those that hold photographs are JPEGs."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter
from numpy.typing import ArrayLike
from PIL import Image

from intriguing.book import settings
from intriguing.book.plots import (
    DASHES,
    GAP,
    NARROW,
    PALETTE,
    WIDTH,
    Figure,
    as_array,
    as_images,
    mosaic,
    repeated,
    styled,
)

QUALITY = 70  # of a JPEG, from 1 to 95
HEAD = 0.85  # inches that the longest head of a column needs; narrower columns go without


class Photo(Figure):
    """A figure that a notebook shows as a JPEG, a fraction of the size of a PNG where it holds photographs."""

    def jpeg(self) -> bytes:
        """Returns the picture as the bytes of a JPEG file, cropped to what is drawn."""
        file = io.BytesIO()
        self.savefig(file, format="jpeg", bbox_inches="tight", pad_inches=0.04, pil_kwargs={"quality": QUALITY})
        return file.getvalue()

    published = jpeg

    def _repr_jpeg_(self) -> bytes | tuple[bytes, dict[str, str]]:
        return self.both() if settings.profile().name == "paper" else self.jpeg()

    def _repr_png_(self) -> None:
        return None


@styled
def rows(
    images: Sequence[ArrayLike],
    captions: Sequence[str],
    *,
    columns: int = 2,
    pixels: int = 96,
    width: float = WIDTH,
) -> Photo:
    """Rows of photographs, each with its caption below, like the paper's Figures 3 and 4.

    Args:
        images: R sets of k photographs, (k, 3, height, width) in [0, 1].
        captions: R short texts.
        columns: rows beside each other.
        pixels: height and width to which a photograph is reduced.
        width: of the figure in inches.

    Returns:
        The figure.

    Raises:
        ValueError: no row, or captions of another number.

    Source:
        Szegedy et al. 2013, Figures 3 and 4.
    """
    if not len(images) or len(images) != len(captions):
        raise ValueError(f"got {len(images)} rows and {len(captions)} captions; expected a caption for each row.")
    shown = [_reduced(row, pixels) for row in images]
    lines = -(-len(shown) // columns)
    each = width / columns / len(shown[0])
    figure = Photo(figsize=(width, lines * (each + 0.3)), dpi=_sharp(width))
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.03)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, row, caption in zip(grid, shown, captions, strict=False):
        mosaic(axes, row, len(row))
        axes.set_title(caption, y=0, pad=-10, fontsize=7.5, va="top")
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    if width > NARROW:
        figure.redraw = functools.partial(rows, images, captions, columns=1, pixels=pixels, width=NARROW)
    return figure


@styled
def triptychs(
    originals: ArrayLike,
    distorted: ArrayLike,
    *,
    magnifications: Sequence[float] = (10,),
    columns: int = 2,
    pixels: int = 128,
    shift: float = 128 / 255,
    width: float = WIDTH,
) -> Photo:
    """Photograph, magnified difference and distorted photograph side by side, many times, like the paper's Figure 5.

    Args:
        originals: (N, 3, height, width) in [0, 1].
        distorted: the same shape.
        magnifications: factors of the difference, a picture for each.
        columns: how many photographs side by side.
        pixels: height and width to which a picture is reduced.
        shift: the grey that stands for no difference; the sum is cut to [0, 1].
        width: of the figure in inches.

    Returns:
        The figure.

    Raises:
        ValueError: the shapes differ.

    Source:
        Szegedy et al. 2013, Figure 5: "magnified by 10x (values shifted by 128 and clamped)".
    """
    originals, distorted = as_array(originals), as_array(distorted)
    if originals.shape != distorted.shape or originals.ndim != 4:
        raise ValueError(f"got shapes {originals.shape} and {distorted.shape}; expected (N, 3, height, width) twice.")
    # Magnified at full size: averaging over neighbours would cancel what the eye is to see.
    differences = [(shift + factor * (distorted - originals)).clip(0, 1) for factor in magnifications]
    parts = [_reduced(part, pixels, nearest=0 < i <= len(differences)) for i, part in
             enumerate([originals, *differences, distorted])]  # fmt: skip
    wide = len(parts)
    lines = -(-len(originals) // columns)
    blank = np.ones_like(parts[0][0])
    columns = min(columns, len(originals))
    figure = Photo(dpi=_sharp(width))
    figure.get_layout_engine().set(w_pad=0.04)
    grid = figure.subplots(1, columns, squeeze=False)[0]
    between = [f"{'difference ' * (i == 0)}× {factor:g}" for i, factor in enumerate(magnifications)]
    heads = ["original", *between, "distorted"]
    headed = width / (columns * wide) > HEAD
    for c, axes in enumerate(grid):
        tiles = []
        for line in range(lines):
            number = line * columns + c  # line by line, in the order given
            tiles += [part[number] if number < len(originals) else blank for part in parts]
        mosaic(axes, np.stack(tiles), wide)
        if headed:
            for i, head in enumerate(heads):
                axes.text((i + 0.5) * (pixels + GAP) - GAP, -3, head, ha="center", va="bottom", fontsize=7.5)
    figure.set_size_inches(width, width * lines / (columns * wide) + (0.25 if headed else 0.05))
    if width > 1.1 * NARROW:
        figure.redraw = functools.partial(
            triptychs, originals, distorted, magnifications=magnifications, columns=max(1, columns // 2),
            pixels=pixels, shift=shift, width=NARROW,
        )  # fmt: skip
    return figure


@styled
def curves(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    spreads: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    names: Sequence[str] | None = None,
    percent: bool = False,
) -> Figure:
    """A line with marks for each group.

    Args:
        groups: Label -> positions along x, and values.
        spreads: Label -> lower and upper ends of a bar at each position; None for no bars.
        xlabel: What the positions are.
        ylabel: What the values are.
        names: What the positions, whole numbers from 0, are called; None leaves them numbers.
        percent: Whether values are shares.

    Returns:
        The figure.

    Raises:
        ValueError: no group.
    """
    if not groups:
        raise ValueError("got no group; expected at least one; name a network.")
    figure = Figure(figsize=(0.85 * WIDTH, 2.7))
    axes = figure.subplots()
    for number, ((label, (places, values)), dashes) in enumerate(zip(groups.items(), repeated(DASHES), strict=False)):
        spread = (spreads or {}).get(label)
        # Bars of different groups stand side by side, so that none hides another.
        beside = np.asarray(places) + (0.06 * (number - (len(groups) - 1) / 2) if spreads else 0)
        bars = None if spread is None else np.abs(np.asarray(spread) - np.asarray(values))
        axes.errorbar(beside, values, yerr=bars, marker="o", markersize=3.5, capsize=2, elinewidth=0.8,
                      label=label, linestyle=dashes)  # fmt: skip
    if names is not None:
        axes.set_xticks(range(len(names)), names)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_ylim(bottom=0)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y")
    axes.legend()
    return figure


@styled
def cumulative(
    groups: Mapping[str, ArrayLike], *, marks: Mapping[str, float] | None = None, xlabel: str = "distortion"
) -> Figure:
    """The share of images whose value is at most x, over a logarithmic axis.

    Args:
        groups: Label -> values; zeros lie left of the axis, infinite ones right of it.
        marks: Label -> position of a thin upright line; None for none.
        xlabel: What the values are.

    Returns:
        The figure.

    Raises:
        ValueError: no group, or one without positive values.
    """
    cleaned, shares = {}, {}
    for label, values in groups.items():
        values = np.sort(as_array(values).ravel())
        cleaned[label] = drawn = values[np.isfinite(values) & (values > 0)]
        shares[label] = ((values <= 0).sum() + np.arange(len(drawn) + 1)) / max(1, len(values))
    if not cleaned or not all(map(len, cleaned.values())):
        raise ValueError("got no group, or one without positive values; expected at least one value in each.")
    marks = dict(marks or {})
    ends = np.concatenate([*cleaned.values(), list(marks.values())])
    low, high = ends.min() / 1.4, ends.max() * 1.6
    figure = Figure(figsize=(0.85 * WIDTH, 3.0))
    axes = figure.subplots()
    for (label, values), dashes in zip(cleaned.items(), repeated(DASHES), strict=False):
        steps = [*shares[label], shares[label][-1]]
        axes.step([low, *values, high], steps, where="post", label=label, linestyle=dashes)
    for label, position in marks.items():
        axes.axvline(position, color=PALETTE["grey"], linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            label, (position, 1.02), xycoords=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=7.5,
            color="#666666",
        )  # fmt: skip
    axes.set(xscale="log", xlim=(low, high), ylim=(0, 1.03), xlabel=xlabel, ylabel="share of images at most that far")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y")
    axes.legend(loc="upper left", frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def _sharp(width: float) -> float | None:
    """Dots per inch: those of the style, or fewer on a phone, where a page of photographs has to stay light."""
    return None if width > NARROW else 120.0


def _reduced(images: ArrayLike, pixels: int, *, nearest: bool = False) -> np.ndarray:
    """Photographs (N, pixels, pixels, 3) in [0, 1], averaged or, where neighbours cancel, sampled."""
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    small = [
        np.asarray(Image.fromarray((image.clip(0, 1) * 255).round().astype(np.uint8)).resize((pixels, pixels), how))
        for image in as_images(images)
    ]
    return np.stack(small) / 255
