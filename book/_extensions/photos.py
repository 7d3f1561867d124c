"""What a browser should know of a picture before it has it: its size, and whether it may be turned over by night.

With its size known nothing on the page moves when a picture arrives. Digits and photographs, turned over, would be
other ones.
A plot is drawn on white, so a dark page turns it over. In a digit 0 is black and stays black. The two are told apart by
their pixels: a plot has few colours, and hardly any that are nearly black. Of a figure that holds digits or photographs
only the ground between them is turned over, with the letters on it: covers lie over it, which turn what is below.
"""

from __future__ import annotations

import base64
import functools
import io
import re
from collections.abc import Iterable
from itertools import chain, groupby
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from side_by_side import in_shares
from sphinx.application import Sphinx

DARK, SHARE = 40, 0.1
"""Brightness, of 255, below which a pixel is nearly black, and the share of such pixels that no plot has."""

COLOURS = 1500
"""Colours, with 32 steps for each of the three, that no plot has."""

MARK = ' data-photo=""'
"""What the style sheet knows them by."""

WHITE, BLURRED = 250, 230
"""Brightness from which a pixel is ground, if ground leads from it to the edge; a JPEG blurs what stands on it."""

SIDE, SOLID = 30, 0.75
"""Pixels that every part of a photograph measures, other than letters, and the share of its rectangle that it fills."""

_NARROW = r'<source\b[^>]*\bsrcset="(?P<narrow>[^"]+)"[^>]*>'
_IMAGE = r'<img\b(?P<before>[^>]*?)\bsrc="(?P<source>[^"]+)"(?P<after>[^>]*>)'
_PICTURE = re.compile(rf"(?P<open><picture>{_NARROW})?{_IMAGE}(?P<close></picture>)?")

Interval = tuple[int, int]


def is_photo(picture: bytes) -> bool:
    """Returns whether a picture shows digits or photographs."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail((720, 2000), Image.Resampling.NEAREST)
    pixels = np.asarray(image)
    steps = (pixels >> 3).reshape(-1, 3) @ np.array([1024, 32, 1])
    return bool((pixels.mean(2) < DARK).mean() > SHARE or np.count_nonzero(np.bincount(steps)) > COLOURS)


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Returns the intervals from left to right, those that overlap as one."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _cut(row: Interval, edges: Iterable[int]) -> list[Interval]:
    """Returns a row in parts, cut where a photograph ends well within it: one panel may be shorter than another."""
    cuts = [row[0]]
    for edge in edges:
        if cuts[-1] + 2 * SIDE < edge < row[1] - 2 * SIDE:
            cuts.append(edge)
    return list(zip(cuts, [*cuts[1:], row[1]], strict=True))


def photographs(picture: bytes) -> tuple[tuple[int, int], list[tuple[Interval, tuple[Interval, ...]]]]:
    """Finds the digits and photographs of a figure, which stand in rows.

    Some photographs are white at an edge. They are found by the columns and rows of the others.

    Returns:
        Width and height of the figure; and for each row, from the top, where it begins and ends and the places
        across that hold a photograph, all in pixels.
    """
    image = Image.open(io.BytesIO(picture))
    pixels = np.asarray(image.convert("RGB"))
    white = pixels.min(2) >= (BLURRED if image.format == "JPEG" else WHITE)
    areas, _ = ndimage.label(white)
    edge = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
    ground = np.isin(areas, edge[edge > 0])
    large = ndimage.maximum_filter(ndimage.minimum_filter(~ground, SIDE, origin=-1), SIDE)
    boxes = ndimage.find_objects(ndimage.label(large)[0])
    solid = [box for box in boxes if large[box].mean() > SOLID > white[box].mean()]  # a plot within lines is white
    columns = _joined((across.start, across.stop) for _, across in solid)
    edges = sorted(edge for down, _ in solid for edge in (down.start, down.stop))
    parts = (_cut(row, edges) for row in _joined((down.start, down.stop) for down, _ in solid))
    rows = []
    for top, bottom in chain.from_iterable(parts):
        held = ((left, right) for left, right in columns if ground[top:bottom, left:right].mean() < SOLID)
        rows.append(((top, bottom), tuple(held)))
    return (pixels.shape[1], pixels.shape[0]), rows


def _stripes(direction: str, held: Iterable[Interval], start: int, end: int) -> str:
    """Returns a mask that is open everywhere from start to end but in these intervals."""
    stops, place = [], 0.0
    for interval in held:
        left, right = (100 * (edge - start) / (end - start) for edge in interval)
        stops += [f"#000 {place:.3g}% {left:.4g}%", f"#0000 {left:.4g}% {right:.4g}%"]
        place = right
    return f"linear-gradient({direction}, {', '.join([*stops, f'#000 {place:.4g}% 100%'])})"


def covers(picture: bytes, kind: str) -> str:
    """Returns what lies over the ground of a figure: one cover for all rows with the same columns, with a mask each.

    Args:
        picture: A figure, as a file.
        kind: Name of the class, "wide" or "narrow".

    Returns:
        HTML; empty where no photograph was found.
    """
    (width, height), rows = photographs(picture)
    bands = [(columns, [row for row, _ in group]) for columns, group in groupby(rows, key=lambda row: row[1])]
    ends = [(above[1][-1][1] + below[1][0][0]) // 2 for above, below in zip(bands, bands[1:], strict=False)]
    found = []
    for (columns, held), start, end in zip(bands, [0, *ends], [*ends, height], strict=bool(bands)):
        mask = f"{_stripes('to right', columns, 0, width)}, {_stripes('to bottom', held, start, end)}"
        place = f"top: {100 * start / height:.4g}%; height: {100 * (end - start) / height:.4g}%"
        found.append(f'<span class="photo-ground {kind}" style="{place}; mask-image: {mask}"></span>')
    return "".join(found)


def marked(page: str, folder: Path) -> str:
    """Returns a page with sizes on its pictures, and ``data-photo`` and covers on those of digits and photographs.

    Args:
        page: HTML.
        folder: Where the page lies.
    """

    @functools.cache
    def read(source: str) -> bytes:
        inside = re.fullmatch(r"data:image/png;base64,(.*)", source, re.S)
        path = folder / source
        return base64.b64decode(inside[1]) if inside else path.read_bytes() if _drawn(source, path) else b""

    def mark(found: re.Match[str]) -> str:
        content = b"" if " height=" in found["before"] else read(found["source"])
        if not content:
            return found[0]
        width, height = Image.open(io.BytesIO(content)).size
        photo = is_photo(content)
        words = f'width="{width}" height="{height}"{MARK if photo else ""}'
        image = f'<img {words}{found["before"]}src="{found["source"]}"{found["after"]}'
        image = f"{found['open'] or ''}{image}{found['close'] or ''}"
        over = covers(content, "wide" if found["narrow"] else "wide narrow") if photo else ""
        if over and found["narrow"]:
            over += covers(read(found["narrow"]), "narrow")
        return f'<span class="photo">{image}{over}</span>' if over else image

    return _PICTURE.sub(mark, page)


def _drawn(source: str, path: Path) -> bool:
    return "_images/" in source and path.suffix in (".png", ".jpg", ".jpeg") and path.is_file()


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Marks the pictures of every chapter."""
    if problem is not None or app.builder.format != "html":
        return
    in_shares(app, _rewrite, sorted((Path(app.outdir) / "notebooks").glob("*.html")))


def _rewrite(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    if (new := marked(page, path.parent)) != page:
        path.write_text(new, encoding="utf-8", newline="\n")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
