"""The guard: what is published belongs to its text, was run at paper scale and can be read by everybody.

The first part applies every rule to the chapters of this checkout. The second breaks a small chapter in one
way at a time and sees the rule complain, since a rule that never fails guards nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_output

import guard_rules as rules
from intriguing.press import publishing

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = publishing.chapters(ROOT)

TEXT = """---
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

# A small chapter

```{code-cell} ipython3
x = 1
```

```{code-cell} ipython3
:tags: [nbval-check-output]

print("All 1 claims come out as in the stored run.")
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: A line that rises.
---
draw(x)
```
"""


@pytest.mark.parametrize("rule", rules.CHAPTER_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(path: Path, rule: Callable[[rules.Chapter], list[str]]) -> None:
    complaints = rule(rules.Chapter.load(path))
    assert not complaints, "\n".join(complaints)


def test_there_are_chapters() -> None:
    assert CHAPTERS, "notebooks/ holds no chapter"


@pytest.mark.parametrize("rule", rules.BOOK_RULES, ids=lambda rule: rule.__name__)
def test_book(rule: Callable[[Path], list[str]]) -> None:
    complaints = rule(ROOT)
    assert not complaints, "\n".join(complaints)


# The rules themselves, on a chapter that is whole and on chapters broken in one place.


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A chapter that breaks no rule; the path of its text."""
    path = tmp_path / "small.md"
    path.write_text(TEXT, encoding="utf-8")
    notebook = publishing.read(path)
    code = _code(notebook)
    code[1].outputs = [
        new_output("stream", name="stdout", text="All 1 claims come out as in the stored run.\n"),
    ]
    code[0].outputs = [new_output("stream", name="stdout", text="Run in profile paper; code: commit 0123abc.\n")]
    code[2].outputs = [new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})]
    _stamp(notebook)
    publishing.write(notebook, path.with_suffix(".ipynb"))
    return path


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _stamp(notebook: NotebookNode) -> None:
    for count, cell in enumerate(_code(notebook), 1):
        cell.execution_count = count
        cell.metadata[publishing.STAMP] = {
            "source": publishing.source_hash(cell),
            "outputs": publishing.outputs_hash(cell),
        }
    notebook.metadata[publishing.STAMP] = {
        "profile": "paper",
        "commit": "0123abc",
        "created": "2026-01-01T00:00:00+00:00",
        "definitions": {"mnist": "0" * 10},
    }


def _break(path: Path, change: Callable[[NotebookNode], None], restamp: bool = True) -> rules.Chapter:
    """Applies a change to the stored notebook; the stamps follow it unless they are what is tested."""
    stored = path.with_suffix(".ipynb")
    notebook = nbformat.read(stored, as_version=4)
    change(notebook)
    if restamp:
        counts = [cell.execution_count for cell in _code(notebook)]
        _stamp(notebook)
        for cell, count in zip(_code(notebook), counts, strict=True):
            cell.execution_count = count
    publishing.write(notebook, stored)
    return rules.Chapter.load(path)


def _assert_only(chapter: rules.Chapter, broken: Callable, *words: str) -> None:
    """Exactly the expected rule complains, once, in the expected words."""
    complaining = {rule.__name__ for rule in rules.CHAPTER_RULES if rule(chapter)}
    assert complaining == {broken.__name__}
    complaints = broken(chapter)
    assert len(complaints) == 1
    for word in (chapter.name, *words):
        assert word in complaints[0]


def test_whole_chapter_breaks_no_rule(whole: Path) -> None:
    chapter = rules.Chapter.load(whole)
    assert {rule.__name__: rule(chapter) for rule in rules.CHAPTER_RULES if rule(chapter)} == {}


def test_changed_prose_is_out_of_sync_and_sync_mends_it(whole: Path) -> None:
    whole.write_text(TEXT.replace("A small chapter", "A little chapter"), encoding="utf-8")
    _assert_only(rules.Chapter.load(whole), rules.pair_in_sync, "cell 1", "make sync")
    assert publishing.sync(whole)
    assert not publishing.sync(whole)
    assert not any(rule(rules.Chapter.load(whole)) for rule in rules.CHAPTER_RULES)


@pytest.mark.parametrize(
    "new",
    ["print('All 1 claims hold.')", ""],
    ids=["changed", "emptied"],
)
def test_changed_code_under_an_old_output_is_found_after_sync(whole: Path, new: str) -> None:
    old = 'print("All 1 claims come out as in the stored run.")'
    whole.write_text(TEXT.replace(old, new), encoding="utf-8")
    publishing.sync(whole)
    _assert_only(rules.Chapter.load(whole), rules.outputs_belong_to_cells, "code cell 2", "make paper")


def test_inserted_cell_has_no_output_of_its_own(whole: Path) -> None:
    whole.write_text(TEXT + "\n```{code-cell} ipython3\ny = 2\n```\n", encoding="utf-8")
    publishing.sync(whole)
    chapter = rules.Chapter.load(whole)
    assert "code cell 4 has no stored output" in rules.outputs_belong_to_cells(chapter)[0]
    assert rules.counts_without_holes(chapter)


def test_removed_cell_is_out_of_sync(whole: Path) -> None:
    whole.write_text(TEXT.replace("```{code-cell} ipython3\nx = 1\n```\n", ""), encoding="utf-8")
    _assert_only(rules.Chapter.load(whole), rules.pair_in_sync, "make sync")
    publishing.sync(whole)
    assert "make paper" in rules.counts_without_holes(rules.Chapter.load(whole))[0]


def test_changed_tag_is_out_of_sync(whole: Path) -> None:
    whole.write_text(TEXT.replace("[nbval-check-output]", "[nbval-check-output, hide-input]"), encoding="utf-8")
    _assert_only(rules.Chapter.load(whole), rules.pair_in_sync, "cell 3")


def test_missing_notebook_is_found(whole: Path) -> None:
    whole.with_suffix(".ipynb").unlink()
    assert "make paper" in rules.pair_in_sync(rules.Chapter.load(whole))[0]
    assert rules.run_at_paper_scale(rules.Chapter.load(whole))


def test_checked_cell_without_output_is_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[1].outputs = []

    _assert_only(_break(whole, change), rules.checked_cells_have_run, "code cell 2", "make paper")


def test_checked_cell_without_count_is_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[1].execution_count = None

    chapter = _break(whole, change)
    assert "code cell 2" in rules.checked_cells_have_run(chapter)[0]
    assert rules.counts_without_holes(chapter)


def test_hole_in_the_counts_is_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[2].execution_count = 7

    _assert_only(_break(whole, change), rules.counts_without_holes, "[1, 2, 7]", "make paper")


def test_edited_output_is_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[1].outputs[0].text = "All 2 claims come out as in the stored run.\n"

    _assert_only(_break(whole, change, restamp=False), rules.outputs_belong_to_cells, "code cell 2", "make paper")


def test_chapter_without_a_checked_cell_is_found(whole: Path) -> None:
    whole.write_text(TEXT.replace(":tags: [nbval-check-output]\n\n", ""), encoding="utf-8")
    publishing.sync(whole)
    _assert_only(rules.Chapter.load(whole), rules.something_is_checked, "nbval-check-output")


def test_page_that_does_not_say_how_it_was_run_is_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[0].outputs = []

    _assert_only(_break(whole, change), rules.page_says_how_it_was_run, "settings.run_line()")


@pytest.mark.parametrize("key", ["profile", "commit", "definitions"])
def test_incomplete_stamp_is_found(whole: Path, key: str) -> None:
    def change(notebook: NotebookNode) -> None:
        del notebook.metadata[publishing.STAMP][key]

    _assert_only(_break(whole, change, restamp=False), rules.run_at_paper_scale, key, "make paper")


def test_quick_outputs_are_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        notebook.metadata[publishing.STAMP]["profile"] = "quick"

    _assert_only(_break(whole, change, restamp=False), rules.run_at_paper_scale, "'quick'", "make paper")


@pytest.mark.parametrize(
    "output",
    [
        new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"]),
        new_output("stream", name="stderr", text="UserWarning: mind this\n"),
    ],
    ids=["error", "stderr"],
)
def test_error_and_warning_are_found(whole: Path, output: NotebookNode) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[2].outputs = [output]

    _assert_only(_break(whole, change), rules.no_errors, "code cell 3")


def test_figure_without_alt_text_is_found(whole: Path) -> None:
    whole.write_text(TEXT.replace("A line that rises.", '""'), encoding="utf-8")
    publishing.sync(whole)
    _assert_only(rules.Chapter.load(whole), rules.figures_described, "code cell 3", "mystnb.image.alt")


def test_html_picture_without_alt_text_is_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[2].outputs = [new_output("display_data", data={"text/html": "<p><img src='a.png'></p>"})]

    _assert_only(_break(whole, change), rules.figures_described, "code cell 3", "<img>")


def test_widget_picture_without_alt_text_is_found(whole: Path) -> None:
    def change(notebook: NotebookNode) -> None:
        model = {"model_name": "HTMLModel", "state": {"value": "<img src='data:image/png;base64,AA=='>"}}
        notebook.metadata["widgets"] = {publishing.WIDGETS: {"state": {"0" * 32: model}}}

    _assert_only(_break(whole, change), rules.figures_described, "widget")


@pytest.mark.parametrize(
    "picture",
    [
        "![](a.png)",
        "```{figure} a.png\n:name: a\nA caption.\n```",
        ":::{image} a.png\n:width: 3\n:::",
        "<img src='a'>",
    ],
)
def test_picture_in_the_text_without_alt_text_is_found(whole: Path, picture: str) -> None:
    whole.write_text(TEXT.replace("# A small chapter", f"# A small chapter\n\n{picture}"), encoding="utf-8")
    publishing.sync(whole)
    _assert_only(rules.Chapter.load(whole), rules.figures_described, "text cell 1")


@pytest.mark.parametrize(
    "picture",
    ["![A digit](a.png)", "```{figure} a.png\n:alt: A digit\nA caption.\n```", "<img src='a' alt='A digit'>"],
)
def test_picture_in_the_text_with_alt_text_passes(whole: Path, picture: str) -> None:
    whole.write_text(TEXT.replace("# A small chapter", f"# A small chapter\n\n{picture}"), encoding="utf-8")
    publishing.sync(whole)
    assert rules.figures_described(rules.Chapter.load(whole)) == []


@pytest.mark.parametrize(
    "text",
    [
        "kept in /home/someone/.cache\n",
        "kept in /tmp/abc\n",
        r"kept in C:\Users\someone" + "\n",
        "<Thing object at 0x7f3a5c0d1e80>\n",
    ],
)
def test_words_of_one_machine_are_found(whole: Path, text: str) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[2].outputs = [new_output("stream", name="stdout", text=text)]

    _assert_only(_break(whole, change), rules.no_words_of_one_machine, "code cell 3")


@pytest.mark.parametrize("text", ["see https://example.org/home/page\n", "results/paper/table1.json\n", "12/tmp\n"])
def test_words_of_every_machine_pass(whole: Path, text: str) -> None:
    def change(notebook: NotebookNode) -> None:
        _code(notebook)[2].outputs = [new_output("stream", name="stdout", text=text)]

    assert rules.no_words_of_one_machine(_break(whole, change)) == []


def _longer(text: str, lines: int, tag: str = "", cells: int = 1) -> str:
    """The text with more cells at its end, each with as many lines of code and as many blank ones between them."""
    options = f":tags: [{tag}]\n\n" if tag else ""
    cell = "\n\n".join(f"y = {i}" for i in range(lines))
    return text + f"\n```{{code-cell}} ipython3\n{options}{cell}\n```\n" * cells


def _shown(whole: Path, text: str) -> rules.Chapter:
    """The chapter with another text, brought into step and stamped as if it had been executed."""
    whole.write_text(text, encoding="utf-8")
    publishing.sync(whole)
    notebook = nbformat.read(whole.with_suffix(".ipynb"), as_version=4)
    _stamp(notebook)
    publishing.write(notebook, whole.with_suffix(".ipynb"))
    return rules.Chapter.load(whole)


def test_long_visible_cell_is_found(whole: Path) -> None:
    assert rules.visible_cells_are_short(_shown(whole, _longer(TEXT, rules.CELL_LINES))) == []
    chapter = _shown(whole, _longer(TEXT, rules.CELL_LINES + 1))
    _assert_only(chapter, rules.visible_cells_are_short, "code cell 4 shows 26 lines", "fold")


def test_much_visible_code_is_found(whole: Path) -> None:
    room = rules.CHAPTER_LINES - 3  # three lines stand in the small chapter
    text = _longer(_longer(TEXT, 20, cells=room // 20), room % 20)
    assert rules.visible_code_is_little(_shown(whole, text)) == []
    _assert_only(_shown(whole, _longer(text, 1)), rules.visible_code_is_little, "shows 131 lines", "at most 130")


@pytest.mark.parametrize("tag", ["hide-input", "hide-cell", "remove-input", "remove-cell"])
def test_folded_code_is_not_counted(whole: Path, tag: str) -> None:
    chapter = _shown(whole, _longer(TEXT, 200, tag))
    assert not any(rule(chapter) for rule in rules.CHAPTER_RULES)


@pytest.mark.parametrize("tag", ["hide-output", "remove-output"])
def test_code_over_a_folded_output_is_counted(whole: Path, tag: str) -> None:
    assert rules.visible_cells_are_short(_shown(whole, _longer(TEXT, 200, tag)))


API = "# API\n\n.. automodule:: intriguing\n\n| {py:func}`find <intriguing.data.digits.find>` |\n\n{cite}`a2000`\n"
ROOM = "# Data\n\n.. automodule:: intriguing.data\n\n.. automodule:: intriguing.data.digits\n   :members:\n"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A checkout with two pages, one chapter, a room with one module, and one reference; it breaks no rule."""
    for folder in ("book/api", "notebooks", "src/intriguing/data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/api\nparts: [chapters: [{file: notebooks/small}, {file: book/api/data}]]\n"
    )
    (tmp_path / "book" / "api.md").write_text(API)
    (tmp_path / "book" / "api" / "data.md").write_text(ROOM)
    (tmp_path / "book" / "references.bib").write_text("@misc{a2000,\n  title = {A}\n}\n")
    (tmp_path / "notebooks" / "small.md").write_text(TEXT)
    package = tmp_path / "src" / "intriguing"
    (package / "__init__.py").write_text('__all__ = [\n    "find",\n]\n')
    for name in ("__main__", "data/__init__", "data/_private", "data/digits"):
        (package / f"{name}.py").write_text("")
    return tmp_path


def test_whole_book_breaks_no_rule(book: Path) -> None:
    assert [rule(book) for rule in rules.BOOK_RULES] == [[]] * len(rules.BOOK_RULES)


@pytest.mark.parametrize(
    ("rule", "file", "text", "words"),
    [
        (rules.every_page_is_listed, "notebooks/more.md", TEXT, "notebooks/more is not in _toc.yml"),
        (rules.every_page_is_listed, "book/api/more.md", "# More\n", "book/api/more is not in _toc.yml"),
        (rules.every_page_is_listed, "_toc.yml", "root: book/api\nsome: [{file: book/api/data}]\n",
         "notebooks/small is not in _toc.yml"),
        (rules.every_page_is_listed, "_toc.yml", "root: book/api\nsome: [{file: notebooks/small}, "
         "{file: book/api/data}, {file: book/gone}]\n", "book/gone, which does not exist"),
        (rules.every_module_is_documented, "src/intriguing/new.py", "", "no entry for intriguing.new;"),
        (rules.every_module_is_documented, "src/intriguing/data/new.py", "", "no entry for intriguing.data.new;"),
        (rules.every_module_is_documented, "src/intriguing/room/__init__.py", "", "no entry for intriguing.room;"),
        (rules.every_module_is_documented, "src/intriguing/data/deep/digits.py", "",
         "no entry for intriguing.data.deep.digits;"),
        (rules.every_module_is_documented, "book/api/data.md", ROOM + "automodule:: intriguing.data.old",
         "intriguing.data.old, which does not exist"),
        (rules.every_module_is_documented, "book/api/data.md", ROOM + "automodule:: intriguing.data.digits",
         "intriguing.data.digits 2 times"),
        (rules.front_door_is_documented, "src/intriguing/__init__.py", '__all__ = ["find", "verify"]\n',
         "does not list verify"),
        (rules.front_door_is_documented, "src/intriguing/__init__.py", "__all__ = []\n", "lists find, which"),
        (rules.every_reference_is_cited, "book/references.bib", "@misc{a2000,\n}\n@misc{b,\n}\n", "has b,"),
        (rules.every_reference_is_cited, "book/references.bib", "", "a2000 is cited"),
    ],
)  # fmt: skip
def test_broken_book_is_found(book: Path, rule: Callable, file: str, text: str, words: str) -> None:
    (book / file).parent.mkdir(exist_ok=True)
    (book / file).write_text(text)
    complaints = rule(book)
    assert len(complaints) == 1
    assert words in complaints[0]
