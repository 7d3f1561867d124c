"""The book as one file: what a page shows as HTML is set in print, and the first page leads to the file.

A printed page cannot show HTML, and the plain text beside it is often no more than the name of an object. So tables
become tables, and a slider becomes the picture it begins with. Tables with long sentences, whatever they were written
in, get columns whose lines break. The reference of the package, longer than all the rest, is for the screen.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

WIDE = 80
"""Letters in a row beyond which the columns of a table get widths, so that their lines break."""

LONGEST = 60
"""Letters at most that a column counts with."""

LEFT_OUT = "book/api"
"""What the file does not hold: this page and those below it."""

FIRST = "This book"
"""What the first chapter is called: the title of the first page is that of the whole file."""

FILE = "intriguing.pdf"
"""What the file is called."""

_MATH = re.compile(r"\$([^$]+)\$")
_PICTURE = re.compile(r"data:image/png;base64,(.*)", re.S)


@dataclass
class Cell:
    """A cell of a table: its words, whether it is a head, and over how many columns and rows it goes."""

    head: bool
    columns: int
    rows: int
    text: str = ""


@dataclass
class Shown:
    """What a piece of HTML shows: tables as rows of cells, and pictures as source and description."""

    tables: list[list[list[Cell]]] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.shown, self.cell, self.hidden = Shown(), None, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "div" and (self.hidden or "hidden" in given):
            self.hidden += 1
        if self.hidden:
            return
        if tag == "table":
            self.shown.tables.append([])
        elif tag == "tr" and self.shown.tables:
            self.shown.tables[-1].append([])
        elif tag in ("th", "td") and self.shown.tables:
            spans = [int(given.get(name) or 1) for name in ("colspan", "rowspan")]
            self.cell = Cell(tag == "th", *spans)
            self.shown.tables[-1][-1].append(self.cell)
        elif tag == "img":
            self.shown.pictures.append((given.get("src") or "", given.get("alt") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self.hidden:
            self.hidden -= 1
        elif tag in ("th", "td"):
            self.cell = None

    def handle_data(self, data: str) -> None:
        if self.cell is not None and not self.hidden:
            self.cell.text += data


def read(text: str) -> Shown:
    """Returns the tables and pictures of a piece of HTML, those in hidden parts left out."""
    reader = _Reader()
    reader.feed(text)
    return reader.shown


def table(rows: list[list[Cell]]) -> nodes.table:
    """Returns a table of docutils; rows of heads alone, from the first one on, are its head."""
    rows = [row for row in rows if row]
    heads = next((i for i, row in enumerate(rows) if not all(cell.head for cell in row)), len(rows))
    count = max(sum(cell.columns for cell in row) for row in rows) if rows else 0
    group = nodes.tgroup(cols=count)
    group += [nodes.colspec(colwidth=1) for _ in range(count)]
    for part, some in ((nodes.thead(), rows[:heads]), (nodes.tbody(), rows[heads:])):
        for row in some:
            part += nodes.row("", *map(_entry, row))
        if some:
            group += part
    return nodes.table("", group)


def _entry(cell: Cell) -> nodes.entry:
    spans = {"morecols": cell.columns - 1, "morerows": cell.rows - 1}
    words = " ".join(cell.text.replace("\u00a0", " ").split())
    paragraph = nodes.paragraph()
    for i, piece in enumerate(_MATH.split(words)):
        if piece:
            paragraph += nodes.math("", piece) if i % 2 else nodes.Text(piece)
    return nodes.entry("", paragraph, **{name: more for name, more in spans.items() if more})


def widths(shown: nodes.table) -> list[int]:
    """Returns how many letters the longest cell of each column has, at most ``LONGEST`` and at least 4."""
    group = shown.next_node(nodes.tgroup)
    found = [4] * group["cols"]
    for row in shown.findall(nodes.row):
        if sum(1 + entry.get("morecols", 0) for entry in row) != len(found):
            continue  # below a cell that spans rows
        place = 0
        for entry in row:
            if not entry.get("morecols"):
                found[place] = max(found[place], min(len(entry.astext()), LONGEST))
            place += 1 + entry.get("morecols", 0)
    return found


class Printed(SphinxPostTransform):
    """Puts tables and pictures in the place of HTML, and gives wide tables columns with widths."""

    default_priority = 5  # once the kind of each output has been chosen
    builders = ("latex",)

    def run(self, **_: object) -> None:
        for node in list(self.document.findall(nodes.raw)):
            if "html" in node.get("format", "").split() and "output" in node.get("classes", []):
                shown = read(node.astext())
                found = [table(rows) for rows in shown.tables if rows]
                found += [picture for source, alt in shown.pictures if (picture := self._picture(source, alt))]
                node.parent.replace(node, found)
        for shown in self.document.findall(nodes.table):
            letters = widths(shown)
            if sum(letters) > WIDE:
                shown["classes"].append("colwidths-given")
                for column, width in zip(shown.findall(nodes.colspec), letters, strict=True):
                    column["colwidth"] = width

    def _picture(self, source: str, alt: str) -> nodes.image | None:
        """An image node for a picture that stands inside the page, written to a file of its own."""
        inside = _PICTURE.fullmatch(source)
        if inside is None:
            return None
        content = base64.b64decode(inside[1])
        path = Path(self.env.doctreedir) / "printed" / f"{hashlib.sha256(content).hexdigest()}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.env.images.add_file(self.env.docname, str(path))
        return nodes.image(uri=str(path), alt=alt, candidates={"*": str(path)})


def in_chapters(page: nodes.Element) -> None:
    """Puts what a first page says into one chapter, and its lists of pages behind it, each under the name of its part.

    A section of which no more is left than its title is dropped.
    """
    whole, lists = page.next_node(nodes.section), list(page.findall(addnodes.toctree))
    for toctree in lists:
        around = toctree.parent.parent
        around.remove(toctree.parent)
        if isinstance(around, nodes.section) and len(around) == 1:
            around.parent.remove(around)
    title, *said = whole.children
    first = nodes.section("", nodes.title("", FIRST), *said, ids=["this-book"])
    whole.children = []
    whole += [title, first]
    for toctree in lists:
        # Taken off: Sphinx would call the table of contents by the first one.
        if part := toctree.attributes.pop("caption", None):
            whole += nodes.raw("", rf"\part{{{part}}}", format="latex")
        whole += toctree.parent


def shorten(app: Sphinx, page: nodes.document) -> None:
    """Takes what the file does not hold out of the lists of pages, and makes chapters of the others."""
    if app.builder.format == "latex":
        lists = list(page.findall(addnodes.toctree))
        for toctree in lists:
            toctree["entries"] = [entry for entry in toctree["entries"] if entry[1] != LEFT_OUT]
            toctree["includefiles"] = [name for name in toctree["includefiles"] if name != LEFT_OUT]
        if lists and app.env.docname == app.config.root_doc:
            in_chapters(page)


def made(app: Sphinx) -> Path | None:
    """Returns the file that ``make pdf`` made, if there is one."""
    path = Path(app.outdir).parent / "latex" / FILE
    return path if path.is_file() else None


class OneFile(Directive):
    """``{one-file}``: a sentence on the book as one file, with a link where ``make pdf`` has made it."""

    def run(self) -> list[nodes.Node]:
        environment = self.state.document.settings.env
        environment.note_reread()
        if environment.app.builder.format != "html":
            return []
        up = "../" * environment.docname.count("/")
        words = nodes.paragraph()
        if made(environment.app):
            words += [nodes.Text("The book also comes "), nodes.reference("", "as one file to print", refuri=up + FILE)]
            words += nodes.Text(", without what moves and without the reference of the package.")
        else:
            words += [nodes.literal("", "make pdf"), nodes.Text(" makes one file of it, to print.")]
        return [words]


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Lays the file beside the pages."""
    path = made(app)
    if problem is None and app.builder.format == "html" and path:
        shutil.copyfile(path, Path(app.outdir) / FILE)


def setup(app: Sphinx) -> dict:
    app.add_post_transform(Printed)
    app.add_directive("one-file", OneFile)
    app.connect("doctree-read", shorten, priority=900)  # after the lists have been put in
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
