"""What must hold for every published chapter, one rule to a function.

A rule takes a chapter (or the root of the checkout) and returns its complaints, each a sentence that names
the place and what mends it. No complaint means that the rule holds. The rules look at files only: nothing is
executed.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

from intriguing.press.publishing import CHECKED, STAMP, WIDGETS, outputs_hash, source_hash

# A path below one of these belongs to one computer; Windows drives count as well.
MACHINE_PATH = re.compile(r"(?<![\w.:/])(?:/(?:home|root|Users|work|tmp|private|mnt|opt|usr|var)/\w|[A-Z]:\\\w)")
MEMORY_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
# Code under one of these tags is folded away or not on the page at all.
FOLDED = re.compile(r"hide-(?:input|cell)|remove-(?:input|cell)")
CELL_LINES = 25
CHAPTER_LINES = 130
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")
MARKDOWN_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\([^)]*\)")
IMAGE_DIRECTIVE = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?:figure|image)\}.*?^(?P=fence)\s*$", re.M | re.S)


@dataclass(frozen=True)
class Chapter:
    """A chapter as it lies on disk: its text and, where there is one, its notebook."""

    text: Path
    notebook: NotebookNode | None

    @classmethod
    def load(cls, text: Path) -> Chapter:
        """Reads the pair whose text file is given."""
        stored = text.with_suffix(".ipynb")
        return cls(text, nbformat.read(stored, as_version=4) if stored.is_file() else None)

    @property
    def name(self) -> str:
        return self.text.stem

    @property
    def code(self) -> list[tuple[int, NotebookNode]]:
        """The code cells of the notebook with their numbers, counted from 1."""
        cells = self.notebook.cells if self.notebook is not None else []
        return list(enumerate((cell for cell in cells if cell.cell_type == "code"), 1))

    @property
    def again(self) -> str:
        """The command that runs this chapter again."""
        return f'`make paper CHAPTERS="{self.name}"`'


def pair_in_sync(chapter: Chapter) -> list[str]:
    """The notebook has exactly the cells of the text: kind, source, tags and figure settings."""
    if chapter.notebook is None:
        return [f"{chapter.name}: there is no .ipynb beside the .md; run {chapter.again}."]
    expected = [_essence(cell) for cell in jupytext.read(chapter.text, fmt="md:myst").cells]
    got = [_essence(cell) for cell in chapter.notebook.cells]
    if len(expected) != len(got):
        return [f"{chapter.name}: {len(expected)} cells in the text, {len(got)} in the notebook; run `make sync`."]
    return [
        f"{chapter.name}: cell {i} differs between the text and the notebook; run `make sync`."
        for i, (one, other) in enumerate(zip(expected, got, strict=True), 1)
        if one != other
    ]


def checked_cells_have_run(chapter: Chapter) -> list[str]:
    """Every checked cell has a count and an output: nbval passes over a checked cell that has neither."""
    return [
        f"{chapter.name}: code cell {i} is checked but has no stored output; run {chapter.again}."
        for i, cell in chapter.code
        if CHECKED in cell.metadata.get("tags", []) and (cell.execution_count is None or not cell.outputs)
    ]


def something_is_checked(chapter: Chapter) -> list[str]:
    """At least one cell of the chapter is compared by every test run."""
    if any(CHECKED in cell.metadata.get("tags", []) for _, cell in chapter.code):
        return []
    return [f"{chapter.name}: no cell is tagged {CHECKED}; tag the one that prints the verdict."]


def counts_without_holes(chapter: Chapter) -> list[str]:
    """The cells were executed once, in order, in a new kernel."""
    counts = [cell.execution_count for _, cell in chapter.code]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return [f"{chapter.name}: the execution counts are {counts}, not 1 to {len(counts)}; run {chapter.again}."]


def outputs_belong_to_cells(chapter: Chapter) -> list[str]:
    """Each stored output was made by the source that stands above it, and nothing changed it afterwards."""
    complaints = []
    for i, cell in chapter.code:
        stamp = cell.metadata.get(STAMP, {})
        if stamp.get("source") != source_hash(cell):
            reason = "has changed since its output was stored" if stamp else "has no stored output of its own"
            complaints.append(f"{chapter.name}: code cell {i} {reason}; run {chapter.again}.")
        elif stamp.get("outputs") != outputs_hash(cell):
            complaints.append(
                f"{chapter.name}: the output of code cell {i} is not the one that was recorded; "
                f"restore the file or run {chapter.again}."
            )
    return complaints


def run_at_paper_scale(chapter: Chapter) -> list[str]:
    """The stored outputs come from the paper profile and say which code made them."""
    stamp = chapter.notebook.metadata.get(STAMP, {}) if chapter.notebook is not None else {}
    if stamp.get("profile") != "paper":
        return [f"{chapter.name}: stored in profile {stamp.get('profile')!r}, not 'paper'; run {chapter.again}."]
    missing = [key for key in ("commit", "created", "definitions") if not stamp.get(key)]
    return [f"{chapter.name}: the stamp lacks {', '.join(missing)}; run {chapter.again}."] if missing else []


def no_errors(chapter: Chapter) -> list[str]:
    """No published cell ends in an error or shows a warning."""
    complaints = []
    for i, cell in chapter.code:
        for output in cell.outputs:
            if output.output_type == "error":
                complaints.append(f"{chapter.name}: code cell {i} shows {output.ename}; mend it, then {chapter.again}.")
            elif output.get("name") == "stderr":
                first = output.text.strip().splitlines()[0][:60] if output.text.strip() else ""
                complaints.append(
                    f"{chapter.name}: code cell {i} wrote to stderr ({first!r}); mend it, then {chapter.again}."
                )
    return complaints


def figures_described(chapter: Chapter) -> list[str]:
    """Whoever cannot see a picture can read what it shows."""
    complaints = []
    for i, cell in chapter.code:
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if any(kind.startswith("image/") for kind in kinds) and not str(alt).strip():
            complaints.append(f"{chapter.name}: code cell {i} draws a picture; give its metadata mystnb.image.alt.")
        pages = [output.data["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]
        if any(bare_images(page) for page in pages):
            complaints.append(f"{chapter.name}: code cell {i} shows an <img> without alt text; give it one.")
    if chapter.notebook is None:
        return complaints
    for i, cell in enumerate(chapter.notebook.cells, 1):
        if cell.cell_type == "markdown" and _bare_markdown(cell.source):
            complaints.append(f"{chapter.name}: the picture in text cell {i} has no alt text; give it one.")
    widgets = chapter.notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
    if any(bare_images(str(model.get("state", {}).get("value", ""))) for model in widgets.values()):
        complaints.append(f"{chapter.name}: a widget shows an <img> without alt text; give it one.")
    return complaints


def no_words_of_one_machine(chapter: Chapter) -> list[str]:
    """No output holds a path of the computer it was made on or an address in its memory."""
    complaints = []
    for i, cell in chapter.code:
        for text in _texts(cell):
            found = MACHINE_PATH.search(text) or MEMORY_ADDRESS.search(text)
            if found:
                shown = text[found.start() : found.start() + 40].splitlines()[0]
                complaints.append(f"{chapter.name}: code cell {i} shows {shown!r}; print something that travels.")
                break
    return complaints


def page_says_how_it_was_run(chapter: Chapter) -> list[str]:
    """The reader sees the profile, the device, the time, the versions and the commit of the run."""
    if any("Run in profile" in text and "code:" in text for _, cell in chapter.code for text in _texts(cell)):
        return []
    return [f"{chapter.name}: no output says how the page was run; end it with `print(settings.run_line())`."]


def visible_cells_are_short(chapter: Chapter) -> list[str]:
    """No code cell that a reader sees is longer than what can be taken in at a glance."""
    return [
        f"{chapter.name}: code cell {i} shows {lines} lines, expected at most {CELL_LINES}; move what teaches nothing "
        f"to the chapter's room, or fold the cell."
        for i, lines in _visible_lines(chapter)
        if lines > CELL_LINES
    ]


def visible_code_is_little(chapter: Chapter) -> list[str]:
    """The page is a text with calls in it, not a program with remarks."""
    total = sum(lines for _, lines in _visible_lines(chapter))
    if total <= CHAPTER_LINES:
        return []
    return [
        f"{chapter.name}: the page shows {total} lines of code, expected at most {CHAPTER_LINES}; move what teaches "
        f"nothing to the chapter's room, or fold it."
    ]


CHAPTER_RULES = (
    pair_in_sync,
    checked_cells_have_run,
    something_is_checked,
    counts_without_holes,
    outputs_belong_to_cells,
    run_at_paper_scale,
    no_errors,
    figures_described,
    no_words_of_one_machine,
    page_says_how_it_was_run,
    visible_cells_are_short,
    visible_code_is_little,
)
"""The rules that hold for each chapter by itself."""


def every_page_is_listed(root: Path) -> list[str]:
    """Each page is in the table of contents, and each entry there has its file."""
    listed = set(_entries(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))
    pages = {path.relative_to(root).with_suffix("").as_posix() for path in _pages(root)}
    return [f"{page} is not in _toc.yml; add it there." for page in sorted(pages - listed)] + [
        f"_toc.yml lists {page}, which does not exist; write it or take it out." for page in sorted(listed - pages)
    ]


def every_module_is_documented(root: Path) -> list[str]:
    """The package's documentation has one entry for each module and each package, private ones aside."""
    pages = [root / "book" / "api.md", *sorted((root / "book" / "api").glob("*.md"))]
    entries = Counter(
        name
        for page in pages
        for name in re.findall(r"automodule:: (intriguing[.\w]*)", page.read_text(encoding="utf-8"))
    )
    source = root / "src"
    files = (path.relative_to(source).with_suffix("") for path in (source / "intriguing").rglob("*.py"))
    names = (path.parts[:-1] if path.name == "__init__" else path.parts for path in files)
    present = {".".join(name) for name in names if not any(part.startswith("_") for part in name)}
    return (
        [f"book/api has no entry for {name}; add one to its room's page." for name in sorted(present - set(entries))]
        + [f"book/api documents {name}, which does not exist; take it out." for name in sorted(set(entries) - present)]
        + [f"book/api documents {name} {count} times; keep one." for name, count in entries.items() if count > 1]
    )


def front_door_is_documented(root: Path) -> list[str]:
    """The list of public names in the documentation is the one that the package offers."""
    source = (root / "src" / "intriguing" / "__init__.py").read_text(encoding="utf-8")
    offered = set(ast.literal_eval(re.search(r"^__all__ = (\[.*?\])", source, re.M | re.S)[1]))
    page = (root / "book" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| \{py:\w+\}`(\w+) <", page, re.M))
    return [f"book/api.md does not list {name}, a public name; add it." for name in sorted(offered - listed)] + [
        f"book/api.md lists {name}, which intriguing.__all__ lacks; take it out." for name in sorted(listed - offered)
    ]


def every_reference_is_cited(root: Path) -> list[str]:
    """Each entry of the bibliography is cited by a page, and each citation has its entry."""
    entries = set(re.findall(r"^@\w+\{([^,\s]+),", (root / "book" / "references.bib").read_text("utf-8"), re.M))
    cited: set[str] = set()
    for path in _pages(root):
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", path.read_text(encoding="utf-8")):
            cited |= {key.strip() for key in keys.split(",")}
    return [
        f"references.bib has {key}, which no page cites; cite it or drop it." for key in sorted(entries - cited)
    ] + [f"{key} is cited but is not in references.bib; add it." for key in sorted(cited - entries)]


BOOK_RULES = (
    every_page_is_listed,
    every_module_is_documented,
    front_door_is_documented,
    every_reference_is_cited,
)
"""The rules that hold for the book as a whole; each takes the root of the checkout."""


def bare_images(page: str) -> list[str]:
    """Returns the <img> tags of a piece of HTML that have no alt text, each as its source."""
    finder = _Images()
    finder.feed(page)
    return finder.bare


class _Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.bare: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img" and not (dict(attrs).get("alt") or "").strip():
            self.bare.append((dict(attrs).get("src") or "")[:80])


def _essence(cell: NotebookNode) -> tuple:
    """Returns what text and notebook must have in common."""
    settings = {key: cell.metadata[key] for key in ("tags", "mystnb") if cell.metadata.get(key)}
    return cell.cell_type, cell.source, settings


def _visible_lines(chapter: Chapter) -> list[tuple[int, int]]:
    """Returns the number of each code cell whose code a reader sees, and how many lines that has, blank ones aside."""
    return [
        (i, sum(bool(line.strip()) for line in cell.source.splitlines()))
        for i, cell in chapter.code
        if not any(FOLDED.fullmatch(tag) for tag in cell.metadata.get("tags", []))
    ]


def _bare_markdown(source: str) -> bool:
    directives = [found[0] for found in IMAGE_DIRECTIVE.finditer(source)]
    if any(not re.search(r"^:?alt:\s*\S|^:alt:\s*\S", directive, re.M) for directive in directives):
        return True
    return any(not found["alt"].strip() for found in MARKDOWN_IMAGE.finditer(source)) or bool(bare_images(source))


def _texts(cell: NotebookNode) -> list[str]:
    """Returns the readable parts of a cell's outputs, without pictures."""
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        texts += [str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
        texts += output.get("traceback", [])
    return [DATA_URI.sub("", text) for text in texts]


def _pages(root: Path) -> list[Path]:
    """Returns the text of every page: prose, documentation and chapters."""
    found = [path for folder in ("book", "notebooks") for path in sorted((root / folder).rglob("*.md"))]
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def _entries(node: object) -> list[str]:
    """Returns the pages named anywhere in a table of contents."""
    if isinstance(node, dict):
        own = [str(node[key]).removesuffix(".md") for key in ("root", "file") if key in node]
        return own + [entry for value in node.values() for entry in _entries(value)]
    return [entry for item in node for entry in _entries(item)] if isinstance(node, list) else []
