"""The executed book: what is laid out for it, and when it is built again."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from intriguing.press import building, publishing

ROOT = Path(__file__).resolve().parent.parent
HEADER = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
TEXT = HEADER + "# {name}\n\n```{{code-cell}}\n1\n```\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A book of two chapters that were never executed."""
    root = tmp_path / "checkout"
    for name in ("book", "notebooks", "src", "results/quick"):
        (root / name).mkdir(parents=True)
    (root / "_toc.yml").write_text("chapters:\n- file: notebooks/one\n- file: notebooks/two\n")
    for name in ("_config.yml", "book/welcome.md", "src/code.py", "results/quick/a.json", "CHANGELOG.md"):
        (root / name).write_text("x")
    for name in ("one", "two"):
        (root / "notebooks" / f"{name}.md").write_text(TEXT.format(name=name))
    return root


def executed(root: Path) -> dict[str, nbformat.NotebookNode]:
    notebook = publishing.read(root / "notebooks" / "one.md")
    notebook.cells[1].execution_count = 5
    return {"one": notebook}


def test_staged_book_shows_the_executed_chapter_and_the_stored_ones(checkout: Path) -> None:
    folder = checkout / "_build" / "run"
    for _ in range(2):
        building.stage(checkout, folder, executed(checkout))
    shown = {path.stem: nbformat.read(path, as_version=4) for path in (folder / "notebooks").glob("*.ipynb")}
    assert sorted(shown) == ["one", "two"]
    assert shown["one"].cells[1].execution_count == 5
    assert shown["two"].cells[1].execution_count is None
    assert (folder / "notebooks" / "one.md").read_text() == TEXT.format(name="one")
    assert not (checkout / "notebooks" / "one.ipynb").exists()


def test_all_that_a_page_includes_is_laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "write", lambda notebook, path: path.touch())
    monkeypatch.setattr(publishing, "read", lambda path: object())
    building.stage(ROOT, tmp_path / "laid", {})
    included = [
        (page, found[1])
        for page in sorted((tmp_path / "laid" / "book").rglob("*.md"))
        for found in re.finditer(r"^```+\{(?:literal)?include\} (\S+)", page.read_text("utf-8"), re.M)
    ]
    assert any(name.endswith("CHANGELOG.md") for _, name in included)
    assert [(page.name, name) for page, name in included if not (page.parent / name).is_file()] == []


@pytest.fixture
def built(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    """Builds the book of the fixture and says what came of it; the program is one that notes its calls."""
    folder, kept = checkout / "_build" / "run", checkout / "_build" / "one.ipynb"
    calls, codes = [], [0]
    kept.parent.mkdir()
    kept.write_text("1")

    def program(command: list[str], **_: object) -> SimpleNamespace:
        assert not (folder / building.BUILT).exists(), "an interrupted build would pass for a whole one"
        calls.append(command[1:])
        (folder / "_build" / "html").mkdir(parents=True, exist_ok=True)
        (folder / "_build" / "html" / "index.html").write_text("x")
        return SimpleNamespace(returncode=codes[-1], stdout="what ", stderr="happened")

    monkeypatch.setattr(building.subprocess, "run", program)

    def build(code: int = 0) -> tuple[str | None, int]:
        codes.append(code)
        said = building.build(checkout, folder, executed(checkout), {"one": kept})
        return said, len(calls)

    return build


@pytest.mark.parametrize(
    "file",
    [
        "book/welcome.md",
        "notebooks/two.md",
        "notebooks/two.ipynb",
        "src/code.py",
        "results/quick/a.json",
        "CHANGELOG.md",
        "_config.yml",
        "requirements.txt",
        "_build/one.ipynb",
    ],
)
def test_a_book_is_built_again_when_something_in_it_has_changed(file: str, checkout: Path, built) -> None:
    assert built() == ("", 1)
    assert built() == (None, 1)
    if file.endswith("two.ipynb"):
        publishing.sync(checkout / "notebooks" / "two.md")
    else:
        (checkout / file).write_text(TEXT.format(name="other") if file.startswith("notebooks") else "other")
    assert built() == ("", 2)
    assert built() == (None, 2)


def test_a_book_that_could_not_be_built_is_tried_again(checkout: Path, built) -> None:
    assert built(code=1) == ("what happened", 1)
    assert built() == ("", 2)
    (checkout / "_build" / "run" / "_build" / "html" / "index.html").unlink()
    assert built() == ("", 3)
