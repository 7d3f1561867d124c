"""Links from names in code to their documentation, made on the code of a page alone.

sphinx_codeautolink parses a whole page and writes it anew. Pages of this book hold megabytes of pictures, tables and
scripts, which take most of that time and are none of its concern.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import sphinx_codeautolink
from side_by_side import in_shares
from sphinx.application import Sphinx
from sphinx_codeautolink import extension

_CODE = re.compile(
    r'<div class="(?:highlight-|doctest)[^"]*">\s*<div class="highlight">\s*<pre>.*?</pre></div>\s*</div>', re.S
)
_CUT = "\n<!-- next -->\n"  # every block begins on a line of its own, by which it is known


def on_code_alone(link: Callable[..., None]) -> Callable[..., None]:
    """Returns what makes the links of a page, with the page around the code out of its sight.

    Args:
        link: ``link_html`` of sphinx_codeautolink: name of a page, folder, and more; it changes the file of the page.
    """

    def linked(document: str, folder: str, *rest: object, **options: object) -> None:
        path = Path(folder) / f"{document}.html"
        page = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as aside:
            excerpt = Path(aside) / f"{document}.html"
            excerpt.parent.mkdir(parents=True, exist_ok=True)
            excerpt.write_text(_CUT.join(_CODE.findall(page)), encoding="utf-8")
            link(document, aside, *rest, **options)
            blocks = iter(excerpt.read_text(encoding="utf-8").split(_CUT))
        path.write_text(_CODE.sub(lambda _: next(blocks), page), encoding="utf-8", newline="\n")

    return linked


def setup(app: Sphinx) -> dict:
    linked = on_code_alone(extension.link_html)
    asked: list[tuple[tuple, dict]] = []
    extension.link_html = lambda *page, **options: asked.append((page, options))
    about = sphinx_codeautolink.setup(app)
    # Directly after the links of all pages have been asked for.
    app.connect("build-finished", lambda app, _: in_shares(app, lambda one: linked(*one[0], **one[1]), asked))
    return about
