"""What the first page and the README say of the results: sentences between markers, from the stored runs.

They are those of the profile ``paper``. :func:`refresh` brings them up to it, and a test fails when they differ.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from intriguing.attack import files
from intriguing.chapters.scorecard import summary

PROFILE = "paper"
"""Whose stored runs the sentences rest on."""

WIDTH = 118
"""Characters in a line of a page's source at most, where words allow it."""

_PARTS: dict[str, Callable[[str], str]] = {
    "summary": lambda folder: summary.summary(PROFILE, folder),
    "findings": lambda folder: summary.findings(PROFILE, folder),
}
_PLACES = {"README.md": "notebooks/", "book/welcome.md": "../notebooks/"}


def refresh(root: Path) -> list[str]:
    """Brings the sentences between markers up to the stored runs.

    Args:
        root: The root of the checkout.

    Returns:
        The files that had to be written.

    Raises:
        ResultError: A stored file cannot be read.
        ValueError: One of two markers stands alone.
        OSError: A file cannot be written; it is left as it was.
    """
    written = []
    for name, text in _texts(root).items():
        path = root / name
        if path.read_text(encoding="utf-8") != text:
            files.write_atomically(path, text.encode())
            written.append(name)
    return written


def stale(root: Path) -> list[str]:
    """Returns the files whose sentences are not those of the stored runs.

    Args:
        root: The root of the checkout.

    Raises:
        ResultError: A stored file cannot be read.
    """
    return [name for name, text in _texts(root).items() if (root / name).read_text(encoding="utf-8") != text]


def filled(text: str, folder: str) -> str:
    """Returns a page with the sentences between its markers written anew.

    Args:
        text: The page; ``<!-- summary -->`` and ``<!-- /summary -->``, each in a line, enclose the summary, and
            ``findings`` likewise the findings.
        folder: Where the chapters lie, as seen from the page, with a slash at its end.

    Raises:
        ResultError: A stored file cannot be read.
        ValueError: One of two markers stands alone.
    """
    for name, write in _PARTS.items():
        between = re.compile(rf"(?<=^<!-- {name} -->\n).*?(?=^<!-- /{name} -->$)", re.M | re.S)
        markers = re.findall(rf"^<!-- /?{name} -->$", text, re.M)
        if len(markers) != 2 * len(between.findall(text)):
            raise ValueError(
                f"got a page with the markers {', '.join(markers)}; expected <!-- {name} --> and then "
                f"<!-- /{name} -->, each in a line; put back what is missing."
            )
        if between.search(text):
            words = _wrapped(write(folder))
            text = between.sub(lambda _, words=words: f"\n{words}\n\n", text)
    return text


def _wrapped(text: str) -> str:
    """The text in lines of a source file's length; an item of a list goes on below its beginning."""
    lines = []
    # A line that begins with a percent sign would be a comment.
    for line in text.replace(" %", "\u00a0%").splitlines():
        indent = re.match(r"\* |\d\. |", line).end() * " "
        lines += textwrap.wrap(
            line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)


def _texts(root: Path) -> dict[str, str]:
    pages = {name: root / name for name in _PLACES if (root / name).is_file()}
    return {name: filled(path.read_text(encoding="utf-8"), _PLACES[name]) for name, path in pages.items()}
