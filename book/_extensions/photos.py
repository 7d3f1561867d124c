"""What a browser should know of a picture before it has it: its size, and whether it may be turned over by night.

With its size known nothing on the page moves when a picture arrives. Digits and photographs, turned over, would be
other ones.
A plot is drawn on white, so a dark page turns it over. In a digit 0 is black and stays black. The two are told apart by
their pixels: a plot has few colours, and hardly any that are nearly black.
"""

from __future__ import annotations

import base64
import functools
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image
from sphinx.application import Sphinx

DARK, SHARE = 40, 0.1
"""Brightness, of 255, below which a pixel is nearly black, and the share of such pixels that no plot has."""

COLOURS = 1500
"""Colours, with 32 steps for each of the three, that no plot has."""

MARK = ' data-photo=""'
"""What the style sheet knows them by."""

_PICTURE = re.compile(r'<img\b(?P<before>[^>]*?)\bsrc="(?P<source>[^"]+)"')


def is_photo(picture: bytes) -> bool:
    """Returns whether a picture shows digits or photographs."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail((720, 2000), Image.Resampling.NEAREST)
    pixels = np.asarray(image)
    steps = (pixels >> 3).reshape(-1, 3) @ np.array([1024, 32, 1])
    return bool((pixels.mean(2) < DARK).mean() > SHARE or np.count_nonzero(np.bincount(steps)) > COLOURS)


def marked(page: str, folder: Path) -> str:
    """Returns a page with sizes on its pictures, and ``data-photo`` on those of digits and photographs.

    Args:
        page: HTML.
        folder: Where the page lies.
    """

    @functools.cache
    def told(source: str) -> str:
        inside = re.fullmatch(r"data:image/png;base64,(.*)", source, re.S)
        path = folder / source
        content = base64.b64decode(inside[1]) if inside else path.read_bytes() if _drawn(source, path) else b""
        if not content:
            return ""
        width, height = Image.open(io.BytesIO(content)).size
        return f'width="{width}" height="{height}"{MARK if is_photo(content) else ""}'

    def mark(found: re.Match[str]) -> str:
        words = "" if " height=" in found["before"] else told(found["source"])
        return f'<img {words}{found["before"]}src="{found["source"]}"' if words else found[0]

    return _PICTURE.sub(mark, page)


def _drawn(source: str, path: Path) -> bool:
    return "_images/" in source and path.suffix in (".png", ".jpg", ".jpeg") and path.is_file()


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Marks the pictures of every chapter."""
    if problem is not None or app.builder.format != "html":
        return
    for path in sorted((Path(app.outdir) / "notebooks").glob("*.html")):
        page = path.read_text(encoding="utf-8")
        if (new := marked(page, path.parent)) != page:
            path.write_text(new, encoding="utf-8", newline="\n")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
