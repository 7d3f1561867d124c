"""Figures for narrow screens: where a cell stored a second picture for a phone, its page offers that to one.

The second picture lies in the metadata of the output, beside the one that everybody else is shown.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from PIL import Image
from sphinx.application import Sphinx

SCREEN = "(max-width: 600px)"
"""The screens that are narrow."""

ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg"}


def pictures(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, bytes]]:
    """Yields what MyST calls a picture of a notebook, and the bytes of the one for a phone."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, ending in ENDINGS.items():
                narrow = output.get("metadata", {}).get(kind, {}).get("narrow")
                if narrow:
                    wide = base64.b64decode(output.data[kind])
                    yield hashlib.sha256(wide).hexdigest() + ending, base64.b64decode(narrow)


def beside(name: str) -> str:
    """Returns the name of the narrow picture."""
    path = Path(name)
    return f"{path.stem}-narrow{path.suffix}"


def offered(page: str, name: str, size: tuple[int, int]) -> str:
    """Returns a page that offers a phone the narrow picture in the place of the wide one of that name.

    Args:
        page: HTML.
        name: Of the wide picture.
        size: Width and height of the narrow one, so that nothing moves when it arrives.
    """
    image = re.compile(rf'<img\b[^>]*\bsrc="(?P<folder>[^"]*/){re.escape(name)}"[^>]*>')
    place = f'media="{SCREEN}" width="{size[0]}" height="{size[1]}"'
    return image.sub(
        lambda found: f'<picture><source {place} srcset="{found["folder"]}{beside(name)}"/>{found[0]}</picture>',
        page,
    )


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Writes the pictures and the pages that have some."""
    if problem is not None or app.builder.format != "html":
        return
    output = Path(app.outdir)
    for source in sorted((Path(app.srcdir) / "notebooks").glob("*.ipynb")):
        path = output / "notebooks" / f"{source.stem}.html"
        found = dict(pictures(nbformat.read(source, as_version=4))) if path.is_file() else {}
        if not found:
            continue
        page = path.read_text(encoding="utf-8")
        for name, content in found.items():
            if beside(name) not in page:
                page = offered(page, name, Image.open(io.BytesIO(content)).size)
            (output / "_images" / beside(name)).write_bytes(content)
        path.write_text(page, encoding="utf-8", newline="\n")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
