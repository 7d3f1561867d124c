"""Running, stamping and comparing chapters, on chapters so small that their numbers can be seen at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from intriguing import __main__ as command
from intriguing.book import fingerprint, results, settings
from intriguing.press import commands, publishing

ROOT = Path(__file__).resolve().parent.parent
HEADER = "---\nkernelspec:\n  display_name: Python 3 (ipykernel)\n  language: python\n  name: python3\n---\n\n"

SEEDED = "from intriguing.book import settings\nsettings.SEED"  # a cell that reaches one definition


def _chapter(folder: Path, *cells: str, name: str = "small", listed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    contents = folder.parent / "_toc.yml"
    entry = f"- file: notebooks/{name}\n"
    if folder.name == "notebooks" and listed and entry not in (known := contents.read_text() or "chapters:\n"):
        contents.write_text(known + entry)
    path = folder / f"{name}.md"
    blocks = [f"```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells]
    path.write_text(HEADER + "# Small\n\n" + "\n".join(blocks), encoding="utf-8")
    return path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the commands take for the book."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    return tmp_path


def test_execution_stamps_every_cell_and_repeats_itself(tmp_path: Path) -> None:
    path = _chapter(
        tmp_path,
        "import os\nprint(os.environ['INTRIGUING_PROFILE'], os.environ['INTRIGUING_RECORD'])",
        "from intriguing.book import settings\nsettings.SEED + 2",
        "import ipywidgets\nslider, other = ipywidgets.IntSlider(description='c'), ipywidgets.IntSlider()",
        "link = ipywidgets.jslink((slider, 'value'), (other, 'value'))\nipywidgets.HBox([slider, other])",
        "import pandas\npandas.DataFrame({'a': [1.0]}).style.format('{:.2f}').highlight_max()",
        "from tqdm.auto import tqdm\n_ = [i for i in tqdm(range(3))]\n_ = [i for i in tqdm(iter('ab'), leave=False)]",
    )
    seen = []
    first = publishing.execute(path, "paper", record=True, progress=lambda *step: seen.append(step[:2]))
    second = publishing.execute(path, "paper", record=True)
    code = [cell for cell in first.cells if cell.cell_type == "code"]
    assert seen == [(i, 6) for i in range(1, 7)]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5, 6]
    assert code[0].outputs[0].text == "paper 1\n"
    assert code[1].outputs[0].execution_count == 2
    assert all(cell.metadata.intriguing.source == publishing.source_hash(cell) for cell in code)
    assert all(cell.metadata.intriguing.outputs == publishing.outputs_hash(cell) for cell in code)
    assert code[4].outputs[0].data["text/plain"] == "<pandas.io.formats.style.Styler>"
    assert "T_cell5_1_row0_col0" in code[4].outputs[0].data["text/html"]
    assert code[5].outputs == []  # progress bars are over when the page is read
    widgets = first.metadata.widgets[publishing.WIDGETS].state.values()
    kinds = sorted(model.model_name for model in widgets if model.model_name not in ("LayoutModel", "SliderStyleModel"))
    assert kinds == ["HBoxModel", "IntSliderModel", "IntSliderModel", "LinkModel"]
    assert first.metadata.intriguing.profile == "paper"
    expected = fingerprint.definitions(["from intriguing.book import settings\nsettings.SEED"])
    assert first.metadata.intriguing.definitions == expected
    for notebook in (first, second):
        notebook.metadata.intriguing.pop("created")
        notebook.metadata.intriguing.pop("wall_seconds")
    assert nbformat.writes(first) == nbformat.writes(second)


def test_failing_cell_names_the_place_and_keeps_the_old_file(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _chapter(checkout / "notebooks", "x = 1", "x / 0")
    stored = path.with_suffix(".ipynb")
    stored.write_text("the old file", encoding="utf-8")
    with pytest.raises(ValueError, match="small.ipynb cannot be read .NotJSONError"):
        publishing.read(path)
    publishing.write(new_notebook(), stored)
    before = stored.read_bytes()
    assert command.main(["paper"]) == 1
    printed = capsys.readouterr().out
    assert "small: code cell 2 of 2 failed." in printed
    assert "x / 0" in printed
    assert "ZeroDivisionError: division by zero" in printed
    assert stored.read_bytes() == before
    assert sorted(file.name for file in stored.parent.iterdir()) == ["small.ipynb", "small.md"]


def test_dying_kernel_is_a_failure_of_its_chapter(tmp_path: Path) -> None:
    path = _chapter(tmp_path, "import os\nos._exit(3)")
    with pytest.raises(publishing.ChapterFailed, match=r"small: code cell 1 of 1 failed"):
        publishing.execute(path, "quick")


def test_unknown_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of quick, paper"):
        publishing.execute(_chapter(tmp_path, "1"), "huge")


def test_chapters_are_chosen_by_name_and_ordered_by_the_table_of_contents(checkout: Path) -> None:
    for name in ("scorecard", "units", "transfer", "tilting", "back_feeding"):
        _chapter(checkout / "notebooks", "1", name=name)
    _chapter(checkout / "notebooks", "1", name="unlisted", listed=False)
    order = ["units", "transfer", "tilting", "back_feeding", "scorecard"]

    def chosen(*names: str) -> list[str]:
        return [path.stem for path in publishing.chapters(checkout, names)]

    assert chosen() == order
    assert chosen("scorecard", "u", "back") == ["units", "back_feeding", "scorecard"]
    with pytest.raises(ValueError, match=r"got 'x', which is the beginning of no chapter; .* units, transfer,"):
        chosen("x")
    with pytest.raises(ValueError, match="got 't', which is the beginning of transfer and tilting; expected"):
        chosen("units", "t")
    (checkout / "notebooks" / "units.md").unlink()
    with pytest.raises(FileNotFoundError, match=r"_toc.yml lists units, but there is no .*units.md"):
        chosen()


def test_commands_outside_a_checkout_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "checkout", lambda: None)
    assert command.main(["status"]) == 1
    assert "No checkout of the book" in capsys.readouterr().out


def test_run_without_chapters_says_so(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["run"]) == 1
    assert "lists no chapter" in capsys.readouterr().out


def test_status_tells_new_changed_and_current_pages(checkout: Path) -> None:
    _chapter(checkout / "notebooks", "x = 1", name="never")
    for name in ("current", "code", "cell"):
        path = _chapter(checkout / "notebooks", SEEDED, "x = 1", name=name)
        notebook = publishing.read(path)
        for i, cell in enumerate([cell for cell in notebook.cells if cell.cell_type == "code"], 1):
            cell.execution_count = i
            cell.metadata[publishing.STAMP] = {"source": publishing.source_hash(cell)}
        definitions = publishing.stamp_definitions([SEEDED], "paper")
        assert list(definitions) == ["SEED"]
        if name == "code":
            definitions = {"SEED": "0" * 10} | {f"gone_{i}": "1" * 10 for i in range(9)}
        stamp = {"profile": "paper", "commit": "0123abc", "definitions": definitions}
        notebook.metadata[publishing.STAMP] = stamp
        publishing.write(notebook, path.with_suffix(".ipynb"))
    _chapter(checkout / "notebooks", SEEDED, "x = 2", name="cell")
    never, current, code, cell = publishing.status(checkout)
    assert str(never) == "never: never run"
    assert current.current
    assert str(current) == "current: run in profile paper at 0123abc; up to date"
    assert code.changed == ("SEED", *(f"gone_{i}" for i in range(9)))
    assert "code changed since: SEED, gone_0, gone_1, gone_2, gone_3, gone_4, gone_5, gone_6 and 2 more" in str(code)
    assert cell.changed_cells == (2,)
    assert [page.current for page in (never, current, code, cell)] == [False, True, False, False]


def test_cells_that_were_moved_or_taken_out_make_a_page_old(checkout: Path) -> None:
    def run(*sources: str) -> Path:
        path = _chapter(checkout / "notebooks", *sources, name="page")
        notebook = publishing.read(path)
        for i, cell in enumerate([cell for cell in notebook.cells if cell.cell_type == "code"], 1):
            cell.execution_count = i
            cell.metadata[publishing.STAMP] = {"source": publishing.source_hash(cell)}
        notebook.metadata[publishing.STAMP] = {"profile": "paper", "commit": "0123abc", "definitions": {}}
        publishing.write(notebook, path.with_suffix(".ipynb"))
        return path

    def changed(*sources: str) -> tuple[int, ...]:
        """Before the two files are made one again, and after."""
        path = run("a = 1", "b = 2", "c = 3", "d = 4")
        assert publishing.status(checkout)[0].current
        _chapter(checkout / "notebooks", *sources, name="page")
        before = publishing.status(checkout)[0].changed_cells
        publishing.write(publishing.read(path), path.with_suffix(".ipynb"))
        assert publishing.status(checkout)[0].changed_cells == before
        return before

    assert changed("a = 1", "c = 3", "b = 2", "d = 4") == (2, 3, 4)
    assert changed("a = 1", "c = 3", "d = 4") == (2,)
    assert changed("b = 2", "c = 3", "d = 4") == (1,)
    assert changed("a = 1", "new = 5", "b = 2", "c = 3", "d = 4") == (2,)
    assert changed("a = 1", "b = 2", "c = 3") == ()  # nothing that is shown ran after it
    path = run("a = 1", "a = 1", "c = 3")
    assert publishing.status(checkout)[0].current and path.exists()


def test_a_page_whose_outputs_were_cleared_is_old(checkout: Path) -> None:
    path = _chapter(checkout / "notebooks", "a = 1", "b = 2", name="page")
    notebook = publishing.read(path)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.metadata[publishing.STAMP] = {"source": publishing.source_hash(cell)}
    notebook.metadata[publishing.STAMP] = {"profile": "paper", "commit": "0123abc", "definitions": {}}
    publishing.write(notebook, path.with_suffix(".ipynb"))
    assert publishing.status(checkout)[0].changed_cells == (1, 2)


@pytest.mark.parametrize(
    "text", ['{"cells": [', "[]", '{"metadata": {"intriguing": {"commit": "0123abc"}}, "cells": []}']
)
def test_a_damaged_notebook_is_named(checkout: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = _chapter(checkout / "notebooks", "a = 1", name="page").with_suffix(".ipynb")
    path.write_text(text, encoding="utf-8")
    assert command.main(["status"]) == 1
    assert "page.ipynb cannot be read" in capsys.readouterr().out
    if "metadata" not in text:
        assert command.main(["sync"]) == 1
        assert "page.ipynb cannot be read" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("text", "words"), [("", "lists no chapter"), ("<<<<<<< HEAD\n- a: [", "_toc.yml cannot be read")]
)
def test_a_table_of_contents_without_chapters_is_an_error(
    checkout: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (checkout / "_toc.yml").write_text(text, encoding="utf-8")
    for name in ("status", "sync", "run"):
        assert command.main([name]) == 1
        assert words in capsys.readouterr().out


def test_no_stored_output_is_stale() -> None:
    assert [page.page for page in publishing.status(ROOT) if not page.current] == []


@pytest.mark.parametrize("kind", [results.ResultError, results.MissingResult, RuntimeError])
def test_a_stored_result_that_cannot_be_read_ends_a_command_with_its_sentence(kind, monkeypatch, capsys) -> None:
    def refuse(*_) -> None:
        raise kind("got no table; expected one.")

    monkeypatch.setattr(commands, "_sync", refuse)
    if kind is RuntimeError:
        with pytest.raises(RuntimeError):
            command.main(["sync"])
    else:
        assert command.main(["sync"]) == 1
        assert "got no table; expected one." in capsys.readouterr().out


def test_status_command_lists_the_pages_and_always_succeeds(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _chapter(checkout / "notebooks", "x = 1")
    assert command.main(["status"]) == 0
    assert "0 of 1 pages are up to date. `make paper" in capsys.readouterr().out


@pytest.mark.parametrize("path", publishing.chapters(ROOT), ids=lambda path: path.stem)
def test_code_cells_are_those_of_the_notebook_format(path: Path) -> None:
    cells = jupytext.read(path, fmt="md:myst").cells
    expected = [cell.source for cell in cells if cell.cell_type == "code"]
    assert [source for source, _ in publishing.code_cells(path.read_text(encoding="utf-8"))] == expected


def test_status_is_quick_because_it_imports_little() -> None:
    script = "import sys; from intriguing import __main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "pandas", "matplotlib", "nbformat", "jupytext", "nbclient"}
    assert not heavy & set(done.stdout.split())


def test_outputs_stay_with_unchanged_cells_when_others_move(tmp_path: Path) -> None:
    path = _chapter(tmp_path, "a", "b")
    notebook = publishing.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [new_output("stream", name="stdout", text=cell.source)]
    publishing.write(notebook, path.with_suffix(".ipynb"))
    _chapter(tmp_path, "b", "new", "a")
    code = [cell for cell in publishing.read(path).cells if cell.cell_type == "code"]
    assert [[output.text for output in cell.outputs] for cell in code] == [["b"], [], ["a"]]


def test_same_text_makes_the_same_cell_ids(tmp_path: Path) -> None:
    path = _chapter(tmp_path, "a", "a")
    first, second = publishing.read(path), publishing.read(path)
    ids = [cell.id for cell in first.cells]
    assert ids == [cell.id for cell in second.cells]
    assert len(set(ids)) == len(ids)


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    publishing.write(new_notebook(), path)
    before = path.read_bytes()
    broken = new_notebook(cells=[new_code_cell("1")])
    broken.cells[0].execution_count = "one"
    with pytest.raises(nbformat.ValidationError):
        publishing.write(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_verdicts_are_the_lines_of_the_checked_cells() -> None:
    checked = new_code_cell("print()", outputs=[new_output("stream", name="stdout", text="one\n\ntwo\n")])
    checked.metadata["tags"] = [publishing.CHECKED]
    other = new_code_cell("print()", outputs=[new_output("stream", name="stdout", text="three\n")])
    value = new_code_cell("x", outputs=[new_output("execute_result", data={"text/plain": "'four'"})])
    value.metadata["tags"] = [publishing.CHECKED]
    assert publishing.verdicts(new_notebook(cells=[checked, other, value])) == ["one", "two", "'four'"]
