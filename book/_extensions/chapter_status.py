"""A table of all chapters for the page on their state, written while the book is built.

Nothing in it is typed in: profile, times and commit are read from the stamp of each notebook that the book shows,
the device from the line at the foot of its page, and the verdicts from its checked cells.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from intriguing.book import settings
from intriguing.press import publishing

HEAD = ("Chapter", "Profile", "This run", "Kept computing it rests on", "Device", "Date", "Code", "Verdicts that agree")
_FOOT = re.compile(r"Run in profile \w+ on (?P<device>.+?) in (?:\d+ h )?(?:\d+ min)?(?: ?\d+ s)?, \d{4}-")
_DISAGREES = re.compile(r"\b(differs|cannot be compared|False)\b")


def row(name: str, notebook: nbformat.NotebookNode) -> tuple[str, ...]:
    """Returns the cells of one chapter, as Markdown, in the order of ``HEAD``."""
    stamp = notebook.metadata.get(publishing.STAMP)
    link = f"[](../notebooks/{name}.ipynb)"
    if not stamp:
        return (link, "never run", *["–"] * (len(HEAD) - 2))
    verdicts = publishing.verdicts(notebook)
    agreeing = sum(not _DISAGREES.search(line) for line in verdicts)
    return (
        link,
        stamp["profile"],
        settings.duration(stamp["wall_seconds"]),
        computing(stamp.get("computing")),
        device(notebook),
        stamp["created"][:10],
        stamp["commit"] or "not known",
        f"{agreeing} of {len(verdicts)}",
    )


def computing(total: dict | None) -> str:
    """Returns the kept computing that a page rests on, in a few words."""
    if total is None:
        return "not written down"
    if not total["made"] + total["kept"]:
        return "none"
    unknown = f"unknown for {total['unknown']} of {total['made'] + total['kept']}" if total["unknown"] else ""
    known = total["unknown"] < total["made"] + total["kept"]
    took = f"{settings.duration(total['seconds'])} on {' and '.join(total['devices'])}" if known else ""
    return "; ".join(filter(None, [took, unknown]))


def device(notebook: nbformat.NotebookNode) -> str:
    """Returns the device that the line at the foot of a page names."""
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            text = output.get("text", "") or str(output.get("data", {}).get("text/plain", ""))
            found = _FOOT.search(" ".join(text.split()))
            if found:
                return found["device"]
    return "not known"


def table(root: Path) -> list[str]:
    """Returns the lines of the table, in Markdown, for the book whose ``_toc.yml`` lies in ``root``."""
    rows = [HEAD, ("---",) * len(HEAD)]
    for name in publishing.names(root):
        rows.append(row(name, nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)))
    return [f"| {' | '.join(cells)} |" for cells in rows]


class ChapterStatus(Directive):
    """``{chapter-status}``: the table of all chapters."""

    def run(self) -> list:
        environment = self.state.document.settings.env
        root = Path(environment.srcdir)
        for name in publishing.names(root):
            environment.note_dependency(str(root / "notebooks" / f"{name}.ipynb"))
        container = nodes.container()
        self.state.nested_parse(StringList(table(root), source="chapter-status"), self.content_offset, container)
        return container.children


def setup(app) -> dict:
    app.add_directive("chapter-status", ChapterStatus)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
