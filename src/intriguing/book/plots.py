"""The pictures that chapters share, and the style of all: arrays in, a matplotlib figure out.

Only this module, the ``pictures`` of the chapters, the chapter ``minimum`` and ``twins`` of the press import
matplotlib. They keep away from ``pyplot`` and its global state: a function returns a figure, and a notebook shows it
once, as the value of its cell. A semicolon at the end would hide it.
"""

from __future__ import annotations

import base64
import copy
import functools
import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import resources
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure as _Figure
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike
from PIL import Image

from intriguing.book import settings

PALETTE = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "black": "#333333",
    "grey": "#8c8c8c",
}
"""The colours of Okabe and Ito by name: yellow is left out, too pale on white, black is a dark grey, and a paler grey
is there for what stands behind."""

WIDTH = 7.2
"""Width of a full figure in inches; a page shows 100 pixels for each."""

NARROW = 3.9
"""Width in inches of the same figure on a phone: as wide as its screen, no letter of the style is below 9 pixels."""

NETWORKS = dict(
    zip(
        ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "FC100-100-10", "FC200-200-10", "AE400-10", "ConvNet"),
        (PALETTE[name] for name in ("blue", "vermilion", "green", "purple", "sky", "orange", "black")),
        strict=True,
    )
)
"""The colour of each network of Table 1 and of the convolutional one, wherever networks are told apart by colours."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), "-")
GAP = 2  # pixels between two digits
LETTERS = 12  # of the style, to an inch
PALE = 0.5  # mean change of a pixel, of 255, at which a palette would be seen
_P = ParamSpec("_P")
_Entry = TypeVar("_Entry")

SEQUENTIAL = LinearSegmentedColormap.from_list("book", ["#ffffff", "#cfe3f1", "#56a0cf", "#0072B2", "#013a5c"])
"""White to deep blue, for amounts."""

DIVERGING = LinearSegmentedColormap.from_list(
    "book-diverging", ["#004b76", "#0072B2", "#9cc8e3", "#ffffff", "#f3bd92", "#D55E00", "#8a3b00"]
)
"""Blue below zero, white at zero, vermilion above, for differences."""


class Figure(_Figure):
    """A matplotlib figure that a notebook shows as a sharp PNG, with or without ``pyplot``.

    Attributes:
        redraw: Draws the same for a narrow screen, where the panels as they are cannot be laid out for it.
    """

    redraw: Callable[[], Figure] | None = None

    def png(self) -> bytes:
        """Returns the picture as the bytes of a PNG file, cropped to what is drawn."""
        file = io.BytesIO()
        # No date and no version of matplotlib, so that the same picture makes the same file.
        self.savefig(file, format="png", bbox_inches="tight", pad_inches=0.04, metadata={"Software": None})
        return file.getvalue()

    def published(self) -> bytes:
        """Returns the picture as a page carries it, with a palette where that is hardly seen: with fewer bytes."""
        return _lighter(self.png())

    def narrow(self) -> bytes | None:
        """Returns the same picture for a phone, with fewer panels beside one another, or None where there is none."""
        with _in_style():
            drawn = self.redraw() if self.redraw is not None else _relaid(self)
            return None if drawn is None else drawn.published()

    def both(self) -> bytes | tuple[bytes, dict[str, str]]:
        """Returns the picture as a page carries it, and the one for a phone beside it where there is one."""
        picture, narrow = self.published(), self.narrow()
        return picture if narrow is None else (picture, {"narrow": base64.b64encode(narrow).decode()})

    def _repr_png_(self) -> bytes | tuple[bytes, dict[str, str]] | None:
        # Only published pages are read on phones; in a quick run the second picture and the palette would cost time.
        return self.both() if settings.profile().name == "paper" else self.png()


def _lighter(png: bytes) -> bytes:
    """A PNG with a palette of 256 colours; without one where it holds photographs, whose tones would be lost."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    reduced = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    moved = np.abs(np.asarray(reduced.convert("RGB"), dtype=np.int16) - np.asarray(image, dtype=np.int16))
    file = io.BytesIO()
    (reduced if moved.mean() < PALE else image).save(file, format="png", optimize=True)
    return file.getvalue()


def _relaid(figure: Figure) -> Figure | None:
    """A copy of a figure for a narrow screen; None where that is not needed or would not fit."""
    if figure.get_figwidth() <= 1.1 * NARROW or max((len(axes.texts) for axes in figure.axes), default=0) > 15:
        return None
    copied = copy.deepcopy(figure)  # unlike a pickled one, it may hold functions that write the numbers of an axis
    shown = [axes for axes in copied.axes if axes.axison or axes.has_data() or axes.texts]
    specs = [axes.get_subplotspec() for axes in shown]
    if None in specs or len({id(spec.get_gridspec()) for spec in specs}) != 1:
        return None
    rows, columns = specs[0].get_gridspec().get_geometry()
    legends = [*copied.legends, *filter(None, (axes.get_legend() for axes in set(copied.axes) - set(shown)))]
    for axes in set(copied.axes) - set(shown):
        copied.delaxes(axes)
    square = any(axes.images or axes.get_aspect() != "auto" for axes in shown)
    beside = 2 if columns == 3 and rows > 1 and square else columns // 2 if columns > 3 else 1
    below = -(-len(shown) // beside) if columns > 1 else rows
    # Pictures keep their shape; curves keep their height.
    wider = NARROW / beside / (figure.get_figwidth() / columns)
    taller = min(wider, 1.5) if square else 1.0
    if columns > 1:
        for first in range(0, len(shown), columns):
            _repeat_labels(shown[first : first + columns])
        if rows > 1:
            _name_again(shown, columns)
        grid = GridSpec(below, beside, figure=copied)
        for place, axes in enumerate(shown):
            axes.set_subplotspec(grid[place // beside, place % beside])
    copied.set_size_inches(NARROW, figure.get_figheight() / rows * below * taller)
    _wrap_words(copied, shown, round(LETTERS * NARROW / beside))
    for legend in legends:
        _legend_outside(copied, shown, legend)
    copied.draw_without_rendering()  # only now it is known where everything lies
    named = [axes for axes in shown if axes.get_legend() is not None]
    if len(named) == 1 and _covers(named[0]):
        _legend_outside(copied, shown, named[0].get_legend())
    for axes in shown:
        _part(axes)
    return copied


def _legend_outside(figure: Figure, shown: Sequence[Axes], legend: Legend) -> None:
    """Puts a legend below or above all panels, in as many columns as fit."""
    known = {label: handle for axes in shown for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    labels = [text.get_text() for text in legend.get_texts()]
    handles = [known.get(label, own) for label, own in zip(labels, legend.legend_handles, strict=True)]
    columns = max(1, min(len(labels), round(LETTERS * NARROW) // (max(map(len, labels)) + 6)))
    figure.set_figheight(figure.get_figheight() + 0.17 * (-(-len(labels) // columns) - (legend in figure.legends)))
    if legend in figure.legends:
        figure.legends.remove(legend)  # a copied one would look for itself in the figure that it was copied from
    else:
        legend.remove()
    # Below a name that all panels share there is no room.
    place: Literal["outside lower center", "outside upper center"] = "outside lower center"
    if figure.get_supxlabel():
        place = "outside upper center"
    figure.legend(handles, labels, loc=place, ncols=columns)


def _covers(axes: Axes) -> bool:
    """Whether the legend of a panel lies over one of its curves or words."""
    box = axes.get_legend().get_window_extent()
    curves = (line.get_transform().transform_path(line.get_path()) for line in axes.lines)
    return any(curve.intersects_bbox(box, filled=False) for curve in curves) or any(
        box.overlaps(text.get_window_extent()) for text in axes.texts
    )


def _part(axes: Axes) -> None:
    """Moves words of a panel that would lie over one another by lines of their own."""
    placed: list[Bbox] = []
    for text in sorted(axes.texts, key=lambda text: text.get_window_extent().x0):
        side = text.get_verticalalignment()
        box = text.get_window_extent()
        for _ in range(4):
            if side not in ("top", "bottom") or not any(box.overlaps(other) for other in placed):
                break
            text.set_text(f"\n{text.get_text()}" if side == "top" else f"{text.get_text()}\n")
            box = box.translated(0, (-1.2 if side == "top" else 1.2) * box.height)
        placed.append(box)


def _name_again(shown: Sequence[Axes], columns: int) -> None:
    """Gives the panels of a grid the titles that stand above it, and the names of axes that stand below."""
    for place, axes in enumerate(shown):
        column = shown[place % columns :: columns]
        if not axes.get_title() and column[0].axison:
            axes.set_title(column[0].get_title())
        if not axes.get_xlabel() and axes.axison:
            axes.set_xlabel(column[-1].get_xlabel())
        if column[-1] in axes.get_shared_x_axes().get_siblings(axes):
            axes.tick_params(labelbottom=True)


def _repeat_labels(row: Sequence[Axes]) -> None:
    """Gives panels that share an axis with their neighbour its numbers and its name: they will stand alone."""
    for axes in row[1:]:
        if row[0] in axes.get_shared_y_axes().get_siblings(axes):
            axes.tick_params(labelleft=True)
        if not axes.get_ylabel() and axes.axison:
            axes.set_ylabel(row[0].get_ylabel(), rotation=row[0].yaxis.label.get_rotation())


def _wrap_words(figure: Figure, shown: Sequence[Axes], letters: int) -> None:
    """Breaks titles, names of axes and names of rows into lines."""
    for axes in shown:
        rows = [text.get_text() for text in axes.get_yticklabels()]
        if any(len(name) > letters / 2 and " " in name for name in rows):
            rows = [textwrap.fill(name, round(0.6 * letters)) for name in rows]
            axes.set_yticks(axes.get_yticks(), rows)
            axes.set_xlabel(axes.get_xlabel(), loc="right")  # below the names of the rows too
            figure.set_figheight(figure.get_figheight() + 0.12 * sum(name.count("\n") for name in rows))
    titles = {axes.get_title(side) for axes in shown for side in ("left", "center", "right")}
    below = {axes.get_xlabel() for axes in shown} | {figure.get_supxlabel()}
    for text in figure.findobj(Text):
        if len(text.get_text()) > letters and text.get_text() in below | titles | {figure.get_suptitle()}:
            text.set_text(textwrap.fill(text.get_text(), letters))


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Runs a drawing function in the style of the book and leaves matplotlib's settings as they were."""

    @functools.wraps(draw)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with _in_style():
            return draw(*args, **kwargs)

    return inside


def _in_style() -> AbstractContextManager[None]:
    return style.context(str(resources.files("intriguing") / "book.mplstyle"))


def panels(
    entries: Iterable[tuple[str, _Entry]],
    *,
    row: float,
    rest: float = 0.0,
    width: float = WIDTH,
    columns: int | None = None,
    title_size: float | None = None,
    title_side: str | None = None,
    **settings: Any,
) -> tuple[Figure, list[tuple[Axes, _Entry]]]:
    """A figure with one titled panel for each entry, row by row; places that are left over in the last row are empty.

    To be called from within a drawing function, in the style of the book.

    Args:
        entries: Title and what is to be drawn below it; titles may repeat.
        row: Inches of height for each row of panels.
        rest: Inches of height for what stands above or below all rows.
        width: Inches of width.
        columns: Panels in a row at the most; None puts all into one row.
        title_size: Of the titles in points; None takes that of the style.
        title_side: Where the titles stand, for instance ``"left"``; None takes that of the style.
        settings: For ``Figure.subplots``, for instance ``sharey``.

    Returns:
        The figure, and the axes of each panel with its entry, in order.

    Raises:
        ValueError: No entry.
    """
    entries = list(entries)
    if not entries:
        raise ValueError("got no panel; expected at least one.")
    columns = min(columns or len(entries), len(entries))
    rows = -(-len(entries) // columns)
    figure = Figure(figsize=(width, rest + row * rows))
    grid = figure.subplots(rows, columns, squeeze=False, **settings).ravel()
    for axes, (title, _) in zip(grid, entries, strict=False):
        axes.set_title(title, loc=title_side, **({} if title_size is None else {"fontsize": title_size}))
    for axes in grid[len(entries) :]:
        axes.set_axis_off()
    return figure, [(axes, entry) for axes, (_, entry) in zip(grid, entries, strict=False)]


def frame(axes: Axes, colour: str = "#cccccc", **settings: Any) -> None:
    """Makes axes a plain frame around a picture, without ticks.

    Args:
        axes: The axes.
        colour: Of the frame.
        settings: For its four lines, for instance ``linewidth``.
    """
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=colour, **settings)


@styled
def digits(images: ArrayLike, titles: Sequence[object] | None = None, *, columns: int = 10) -> Figure:
    """Images in a grid, row by row, as they are stored: 0 is black and 1 is white.

    Args:
        images: (N, 1, height, width), (N, height, width) or, in colour, (N, 3, height, width), in [0, 1]; what
            lies outside is shown as black or white.
        titles: N short words to stand above the images; None for none.
        columns: Images per row.

    Returns:
        The figure.

    Raises:
        ValueError: The images have another shape, there are none, or the titles are of another number.
    """
    images = as_images(images)
    columns = min(columns, len(images))
    figure = Figure()
    mosaic(figure.subplots(), images, columns, titles)
    inches = min(WIDTH, 0.75 * columns)
    _fit(figure, inches)
    fitting = int(NARROW / 0.75)
    if titles is not None and columns > fitting:
        order = _blocks(len(images), columns, fitting)
        again = images[order] if images.ndim == 3 else np.moveaxis(images[order], -1, 1)
        figure.redraw = functools.partial(digits, again, [titles[i] for i in order], columns=fitting)
    return figure


def _blocks(count: int, columns: int, fitting: int) -> list[int]:
    """The entries of a grid, its first columns row by row, then the next ones: rows that belong together stay so."""
    return [
        row * columns + column
        for first in range(0, columns, fitting)
        for row in range(-(-count // columns))
        for column in range(first, min(first + fitting, columns))
        if row * columns + column < count
    ]


@styled
def pairs(panels: Mapping[str, tuple[ArrayLike, ArrayLike]], *, columns: int = 6) -> Figure:
    """Originals beside their distorted counterparts, in one or several panels, like the paper's Figure 7.

    Within a panel the odd columns hold originals and each even column the distorted images of the column before.

    Args:
        panels: Title of the panel -> (originals, distorted), each as for :func:`digits`. What lies outside [0, 1]
            is shown as black or white.
        columns: Columns of a panel, an even number.

    Returns:
        The figure, with the panels side by side.

    Raises:
        ValueError: No panels, an odd number of columns, or originals and distorted images of different shapes.

    Source:
        Szegedy et al. 2013, Figure 7.
    """
    if not panels or columns < 2 or columns % 2:
        raise ValueError(f"got {len(panels)} panels and {columns} columns; expected a panel and an even number.")
    figure = Figure()
    figure.get_layout_engine().set(w_pad=0.07)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, (originals, distorted)) in zip(grid, panels.items(), strict=True):
        originals, distorted = as_images(originals), as_images(distorted)
        if originals.shape != distorted.shape:
            raise ValueError(
                f"panel {title!r}: got shapes {originals.shape} and {distorted.shape}; expected the same twice."
            )
        mosaic(axes, np.stack([originals, distorted], 1).reshape(-1, *originals.shape[1:]), columns)
        axes.set_title(title)
    _fit(figure, WIDTH if len(panels) > 1 else min(WIDTH, 0.75 * columns))
    return figure


@styled
def triptych(
    originals: ArrayLike,
    distorted: ArrayLike,
    titles: Sequence[object] | None = None,
    *,
    magnification: float = 10.0,
    shift: float = 128 / 255,
    columns: int | None = None,
) -> Figure:
    """Originals, magnified differences and distorted images in three rows: what the paper's Figure 5 has in columns.

    Args:
        originals: N images, as for :func:`digits`.
        distorted: As many, of the same shape.
        titles: N short words above the columns; None for none.
        magnification: Factor of the difference, distorted minus original.
        shift: The grey that stands for no difference; the sum is cut to [0, 1].
        columns: Images in a row at the most, the others below; None puts all into one row.

    Returns:
        The figure.

    Raises:
        ValueError: The two shapes differ, or the titles are of another number.

    Source:
        Szegedy et al. 2013, Figure 5: "magnified by 10x (values shifted by 128 and clamped)".
    """
    originals, distorted = as_images(originals), as_images(distorted)
    if originals.shape != distorted.shape:
        raise ValueError(f"got shapes {originals.shape} and {distorted.shape}; expected the same twice.")
    count = len(originals)
    if titles is not None and len(titles) != count:
        raise ValueError(f"got {len(titles)} titles; expected {count}, one per image.")
    differences = (shift + magnification * (distorted - originals)).clip(0, 1)
    across = min(columns or count, count)
    figure = Figure()
    starts = range(0, count, across)
    for axes, start in zip(figure.subplots(len(starts), 1, squeeze=False)[:, 0], starts, strict=True):
        part = slice(start, start + across)
        above = None if titles is None else [*titles[part], *[""] * (2 * len(originals[part]))]
        rows = np.concatenate([originals[part], differences[part], distorted[part]])
        height = mosaic(axes, rows, len(originals[part]), above, rows_gap=GAP)
        axes.set_axis_on()
        axes.spines[:].set_visible(False)
        labels = ("original", f"difference\n× {magnification:g}", "distorted")
        axes.set(xticks=[], yticks=[(row + 0.5) * height - GAP / 2 - 0.5 for row in range(3)], yticklabels=labels)
        axes.tick_params(length=0)
    inches = min(WIDTH if columns is None else NARROW, 0.9 * across + 0.9)
    figure.set_size_inches(inches, (inches * 3 * height / across / originals.shape[2] + 0.3) * len(starts))
    if inches > 1.2 * NARROW:
        figure.redraw = functools.partial(
            triptych, originals[:, None] if originals.ndim == 3 else originals.transpose(0, 3, 1, 2),
            distorted[:, None] if distorted.ndim == 3 else distorted.transpose(0, 3, 1, 2),
            titles, magnification=magnification, shift=shift, columns=4,
        )  # fmt: skip
    return figure


@styled
def heatmap(
    frame: pd.DataFrame,
    title: str = "",
    *,
    percent: bool = True,
    decimals: int = 1,
    points: bool = False,
    diverging: bool = False,
    limit: float | None = None,
    xlabel: str = "",
    ylabel: str = "",
    width: float = WIDTH,
) -> Figure:
    """A table as coloured cells, each with its value written in it.

    Args:
        frame: Numbers; index and columns name rows and columns. NaN leaves a cell empty.
        title: Above the table.
        percent: Whether the numbers are fractions to be written as percent.
        decimals: Digits after the point.
        points: Whether fractions are differences of rates, so that the title speaks of points instead of percent.
        diverging: Whether zero is the middle of the colours, for differences; signs are then written out.
        limit: The value with the strongest colour (and, if diverging, minus it); None takes the largest size.
        xlabel: What the columns are.
        ylabel: What the rows are.
        width: Inches at most; where cells are narrow, the names of the columns stand upright.

    Returns:
        The figure.

    Raises:
        ValueError: The table is empty.
    """
    values = frame.to_numpy(dtype=float)
    if not values.size:
        raise ValueError(f"got a table of shape {values.shape}; expected at least one cell.")
    largest = np.nanmax(np.abs(values), initial=0) if limit is None else limit
    largest = largest or 1.0
    rows, columns = values.shape
    upright = width < WIDTH and columns > 3
    figure = Figure(figsize=(min(width, 1.7 + 0.82 * columns), 0.85 + 0.34 * rows + (0.7 if upright else 0)))
    axes = figure.subplots()
    colours = DIVERGING if diverging else SEQUENTIAL
    shade = values / (2 * largest) + 0.5 if diverging else values / largest
    axes.pcolormesh(np.ma.masked_invalid(shade), cmap=colours, vmin=0, vmax=1, edgecolors="white", linewidth=1.2)
    for row in range(rows):
        for column in range(columns):
            if np.isfinite(values[row, column]):
                text = written(values[row, column], percent, decimals, signed=diverging)
                ink = ink_over(colours, shade[row, column])
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center_baseline", color=ink, fontsize=8)
    axes.set(
        xticks=np.arange(columns) + 0.5,
        yticks=np.arange(rows) + 0.5,
        xticklabels=[str(name).replace("-", "\u2011") for name in frame.columns],
        yticklabels=list(map(str, frame.index)),
        xlabel=xlabel,
        ylabel=ylabel,
    )
    unit = "points" if diverging or points else "%"
    axes.set_title(f"{title} ({unit})" if percent and title else title, loc="left", pad=10)
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labelsize=8 if columns < 7 else 7.2)
    if upright:
        axes.tick_params(axis="x", labelrotation=90)
    axes.spines[:].set_visible(False)
    if figure.get_figwidth() > 1.1 * NARROW:
        figure.redraw = functools.partial(
            heatmap, frame, title, percent=percent, decimals=decimals, points=points, diverging=diverging,
            limit=limit, xlabel=xlabel, ylabel=ylabel, width=NARROW,
        )  # fmt: skip
    return figure


@styled
def lines(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Curves over one axis, told apart by colour and by dashes.

    Args:
        x: (n,) positions.
        curves: Label -> (n,) values; NaN interrupts a curve.
        xlabel: What x is, with its unit.
        ylabel: What the values are, with their unit.
        logx: Whether the axis of x is logarithmic.
        logy: Whether the axis of the values is logarithmic.
        marks: Label -> position on the axis of x, drawn as a thin upright line; None for none.

    Returns:
        The figure.

    Raises:
        ValueError: No curve, or one of another length than x.
    """
    x = as_array(x)
    figure = Figure(figsize=(0.8 * WIDTH, 3.1))
    axes = figure.subplots()
    if not curves:
        raise ValueError("got no curve; expected at least one.")
    colours = coloured(curves)
    for (label, values), dashes in zip(curves.items(), repeated(DASHES), strict=False):
        values = as_array(values)
        if values.shape != x.shape:
            raise ValueError(f"got shape {values.shape} of curve {label!r}; expected that of x, {x.shape}.")
        axes.plot(x, values, label=label, linestyle=dashes, color=colours[label])
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    axes.grid(axis="y")
    for label, position in (marks or {}).items():
        axes.axvline(position, color=PALETTE["grey"], linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            label, (position, 1), xycoords=axes.get_xaxis_transform(), xytext=(3, -2), textcoords="offset points",
            va="top", fontsize=7.5, color="#666666",
        )  # fmt: skip
    if len(curves) > 1:
        axes.legend(frameon=True, framealpha=0.9, edgecolor="none")
    return figure


@styled
def identities(
    groups: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    *,
    percent: Iterable[str] = (),
    xlabel: str = "the paper",
    ylabel: str = "ours",
) -> Figure:
    """Two measurements of the same things against each other, with the line on which they agree, in plots side by side.

    Args:
        groups: Title -> group of points -> (x, y), each of shape (n,); a pair with a NaN is left out. A group of the
            same name looks the same in every plot.
        percent: The titles of those whose numbers are fractions to be written as percent.
        xlabel: What the first measurement is.
        ylabel: What the second one is.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    figure, grid = panels(groups.items(), row=3.7 if len(groups) < 3 else 2.7, width=min(WIDTH, 3.7 * len(groups)))
    percent = set(percent)
    labels = dict.fromkeys(label for points in groups.values() for label in points)
    looks = dict(zip(labels, zip(coloured(labels).values(), repeated(MARKERS), strict=False), strict=True))
    for (axes, points), title in zip(grid, groups, strict=True):
        top = 0.0
        for label, (x, y) in points.items():
            x, y = as_array(x), as_array(y)
            colour, marker = looks[label]
            axes.plot(x, y, marker, color=colour, label=label, alpha=0.85, markeredgecolor="white", markeredgewidth=0.6)
            both = np.concatenate([x, y])
            top = max(top, float(np.max(both[np.isfinite(both)], initial=0.0)))
        top = 1.06 * (top or 1.0)
        axes.axline((0, 0), slope=1, color=PALETTE["grey"], linewidth=0.8, zorder=1)
        axes.set(xlim=(-0.02 * top, top), ylim=(-0.02 * top, top), aspect="equal", xlabel=xlabel, ylabel=ylabel)
        axes.grid()
        axes.tick_params(length=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            if title in percent:
                axis.set_major_formatter(PercentFormatter(1, decimals=0))
        if len(points) > 1:
            axes.legend(loc="upper left", handletextpad=0.2)
    return figure


@styled
def dots(tables: Mapping[str, pd.DataFrame], *, percent: Iterable[str] = ()) -> Figure:
    """Several versions of one table as dots on common rows, one panel for each column.

    Args:
        tables: Version -> numbers. The first one sets the rows and the columns; what another one lacks is left out.
        percent: The columns whose numbers are fractions to be written as percent.

    Returns:
        The figure.

    Raises:
        ValueError: No table, or an empty one in the first place.
    """
    first = next(iter(tables.values()), pd.DataFrame())
    if first.empty:
        raise ValueError("got no table, or an empty one; expected at least one row and one column.")
    percent = set(percent)
    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * len(first)))
    grid = figure.subplots(1, first.shape[1], sharey=True, squeeze=False)[0]
    places = np.arange(len(first))
    # Versions that nearly agree would hide each other, so each keeps to a height of its own within the row.
    steps = dict(zip(tables, np.linspace(-0.14, 0.14, len(tables)) if len(tables) > 1 else [0.0], strict=True))
    for axes, column in zip(grid, first.columns, strict=True):
        for (label, table), marker in zip(tables.items(), repeated(MARKERS), strict=False):
            values = table.reindex(index=first.index, columns=first.columns)[column].to_numpy(dtype=float)
            axes.plot(
                values, places + steps[label], marker, label=label, markeredgecolor="white", markeredgewidth=0.6,
                markersize=6, clip_on=False,
            )  # fmt: skip
        axes.set_title(str(column) + (" (%)" if column in percent else ""))
        axes.set_yticks(places, list(map(str, first.index)))
        axes.set_ylim(len(first) - 0.5, -0.5)
        axes.margins(x=0.08)
        axes.set_xlim(left=min(0.0, float(axes.dataLim.intervalx[0])))
        axes.grid(axis="both")
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if column in percent:
            axes.xaxis.set_major_formatter(PercentFormatter(1, symbol="", decimals=0))
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(tables))
    return figure


@styled
def filters(weights: ArrayLike, *, columns: int = 25, count: int | None = None) -> Figure:
    """The incoming weights of hidden units as images, each scaled by its largest entry: blue below zero, red above.

    Args:
        weights: (units, height, width), or (units, pixels) of square images.
        columns: Filters per row.
        count: How many of the first ones to show; None for all.

    Returns:
        The figure.

    Raises:
        ValueError: The weights have another shape.
    """
    weights = as_array(weights)[:count]
    side = round(weights[0].size ** 0.5) if len(weights) else 0
    if weights.ndim == 2 and side * side == weights.shape[1]:
        weights = weights.reshape(-1, side, side)
    if weights.ndim != 3 or not len(weights):
        raise ValueError(f"got weights of shape {weights.shape}; expected (units, height, width) or square images.")
    strongest = np.abs(weights).max((1, 2), keepdims=True)
    shades = 0.5 + 0.5 * weights / np.where(strongest > 0, strongest, 1)
    figure = Figure()
    mosaic(figure.subplots(), shades, min(columns, len(weights)), cmap=DIVERGING, edge=0.85)
    _fit(figure, min(WIDTH, 0.75 * columns))
    return figure


@styled
def histograms(
    groups: Mapping[str, ArrayLike], *, xlabel: str, bins: int = 60, limits: tuple[float, float] | None = None
) -> Figure:
    """One histogram for each group, above each other over one axis, with the mean marked and written.

    Args:
        groups: Label -> (n,) values; those that are not finite are left out.
        xlabel: What the values are, with their unit.
        bins: How many bins the axis is cut into.
        limits: Ends of the axis; None takes those of the values, and 0 for the lower one where none is negative.

    Returns:
        The figure.

    Raises:
        ValueError: No group, or one without values.
    """
    cleaned = {label: as_array(values)[np.isfinite(as_array(values))] for label, values in groups.items()}
    if not cleaned or not all(map(len, cleaned.values())):
        raise ValueError("got no group, or one without values; expected at least one value in each.")
    everything = np.concatenate(list(cleaned.values()))
    low, high = limits or (min(0.0, float(everything.min())), float(everything.max()))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    figure = Figure(figsize=(0.8 * WIDTH, 0.75 + 0.5 * len(cleaned)))
    grid = figure.subplots(len(cleaned), 1, sharex=True, squeeze=False)[:, 0]
    colours = coloured(cleaned)
    for axes, (label, values) in zip(grid, cleaned.items(), strict=True):
        colour = colours[label]
        heights, _ = np.histogram(values, edges)
        axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(heights, edges, color=colour, linewidth=1)
        axes.axvline(values.mean(), color=colour, linewidth=1.2)
        axes.annotate(
            f"{values.mean():.3g}", (values.mean(), 1), xycoords=axes.get_xaxis_transform(), xytext=(3, -1),
            textcoords="offset points", va="top", fontsize=7.5, color=PALETTE["black"],
        )  # fmt: skip
        axes.set_ylabel(label, rotation=0, ha="right", va="center")
        axes.set_yticks([])
        axes.set_ylim(0, 1.25 * max(1, heights.max()))
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="x", length=0)
    grid[-1].set_xlabel(xlabel)
    grid[-1].set_xlim(edges[0], edges[-1])
    figure.align_ylabels(grid)
    return figure


def mosaic(
    axes: Axes,
    images: np.ndarray,
    columns: int,
    titles: Sequence[object] | None = None,
    *,
    cmap: Colormap | str = "gray",
    edge: float = 1.0,
    rows_gap: int | None = None,
) -> int:
    """Puts images into one picture on a white ground, so that no digit costs an axes; returns the height of a row."""
    count, height, width = images.shape[:3]
    if titles is not None and len(titles) != count:
        raise ValueError(f"got {len(titles)} titles; expected {count}, one per image.")
    rows = -(-count // columns)
    below = rows_gap if rows_gap is not None else GAP if titles is None else round(0.42 * height)
    picture = np.full((rows * (height + below) - below, columns * (width + GAP) - GAP, 4), 1.0)
    colours = matplotlib.colormaps[cmap] if isinstance(cmap, str) else cmap
    for i, image in enumerate(images):
        top, left = i // columns * (height + below), i % columns * (width + GAP)
        shown = image.clip(0, 1)
        tile = np.dstack([shown, np.ones(shown.shape[:2])]) if shown.ndim == 3 else colours(shown)
        picture[top : top + height, left : left + width] = tile
        if titles is not None and str(titles[i]):
            axes.text(left + width / 2 - 0.5, top - 2, str(titles[i]), ha="center", va="bottom", fontsize=7.5)
    if edge < 1:
        _outline(picture, count, columns, height, width, below, edge)
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    return height + below


def _outline(picture: np.ndarray, count: int, columns: int, height: int, width: int, below: int, grey: float) -> None:
    """Draws a thin grey frame in the gaps, for images that are white themselves."""
    for i in range(count):
        top, left = i // columns * (height + below), i % columns * (width + GAP)
        frame = picture[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
        inner = picture[top : top + height, left : left + width].copy()
        frame[..., :3] = grey
        picture[top : top + height, left : left + width] = inner


def _fit(figure: Figure, inches: float) -> None:
    """Sets the size so that the pictures fill the given width."""
    grid = figure.axes
    shapes = [axes.images[0].get_array().shape for axes in grid]
    each = inches / len(grid)
    figure.set_size_inches(inches, max(each * shape[0] / shape[1] for shape in shapes) + 0.3)


def as_images(images: ArrayLike) -> np.ndarray:
    """Returns (N, height, width) or (N, height, width, 3) float64."""
    array = as_array(images)
    if array.ndim == 4 and array.shape[1] in (1, 3):
        array = array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)
    elif array.ndim != 3:
        raise ValueError(
            f"got images of shape {array.shape}; expected (N, 1 or 3, height, width) or (N, height, width)."
        )
    if not len(array):
        raise ValueError("got no images; expected at least one.")
    return array


def as_array(values: ArrayLike) -> np.ndarray:
    """Returns float64 on the CPU, of arrays, lists and tensors on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=float)


def written(value: float, percent: bool, decimals: int, *, signed: bool) -> str:
    shown = round(100 * value if percent else value, decimals) + 0.0  # adding zero turns -0.0 into 0.0
    text = f"{shown:{'+' if signed and shown else ''}.{decimals}f}"
    return text.replace("-", "\u2212")


def ink_over(colours: Colormap, shade: float) -> str:
    """Returns white or black, whichever is read more easily on that shade."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colours(float(shade))[:3]
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def coloured(labels: Iterable[str]) -> dict[str, str]:
    """Returns a colour for each label: a network has its own, the others take those that are left, in order."""
    labels = list(labels)
    left = repeated([colour for network, colour in NETWORKS.items() if network not in labels] or ["black"])
    return {label: NETWORKS[label] if label in NETWORKS else next(left) for label in labels}


def repeated(values: Sequence) -> Iterator:
    while True:
        yield from values


UNITS, DIRECTIONS = PALETTE["blue"], PALETTE["vermilion"]


@styled
def among(layers: Mapping[str, tuple[ArrayLike, ArrayLike]], *, xlabel: str) -> Figure:
    """Where the natural basis stands among bases turned at random, one panel for each layer.

    Args:
        layers: Name -> value of the natural basis, or (S,) values of those of several networks; (R,) values of the
            others.
        xlabel: What the values are.

    Returns:
        The figure.

    Raises:
        ValueError: No panel.
    """
    figure, grid = panels(layers.items(), row=2.1)
    for axes, (natural, null) in grid:
        null, natural = as_array(null), np.atleast_1d(as_array(natural))
        ends = min(natural.min(), null.min()), max(natural.max(), null.max())
        room = 0.08 * (ends[1] - ends[0] or 1)
        heights, edges = np.histogram(null, bins=22, range=(null.min(), null.max()) if np.ptp(null) else None)
        axes.stairs(heights, edges, fill=True, color=DIRECTIONS, alpha=0.3)
        axes.stairs(heights, edges, color=DIRECTIONS, linewidth=1)
        for value in natural:
            axes.axvline(value, color=UNITS, linewidth=1.8 if len(natural) == 1 else 1.1)
        side = "right" if natural.mean() > sum(ends) / 2 else "left"
        edge, shift = (natural.min(), -4) if side == "right" else (natural.max(), 4)
        axes.annotate(
            "natural\nbasis", (edge, 1), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            xytext=(shift, -1), ha=side, va="top", fontsize=7.5, color=UNITS,
        )  # fmt: skip
        axes.set(xlim=(ends[0] - room, ends[1] + room), ylim=(0, 1.35 * heights.max()), yticks=[], xlabel=xlabel)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure
