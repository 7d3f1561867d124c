"""Answers that a reader tries: what is right, what is said, and that the pages keep what they say now."""

from __future__ import annotations

import ast
import re

import nbformat
import numpy as np
import pytest
import torch

from intriguing.book import exercises, results
from intriguing.press import publishing, trying

ROOT = publishing.repository()
CHAPTERS = publishing.chapters(ROOT)

BETWEEN = exercises.Exercise(
    (0.1, 0.5), "{:.0%}", 0.1, lambda load: load("made_up")["b"]["a"], "halves are common", "count again"
)


@pytest.fixture
def stored(monkeypatch):
    """A stored table with one number, 0.45, and an exercise about it."""
    monkeypatch.setattr(exercises, "EXERCISES", {"one": BETWEEN})
    table = results.Table("made_up", ["b"], {"a": [0.45]})
    monkeypatch.setattr(exercises.results, "load", lambda name: table)


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        (0.45, "Right, it is 45%: halves are common."),
        (0.54, "Right, it is 45%: halves are common."),
        (0.56, "Not yet, it is less than 56%: count again."),
        (0.34, "Not yet, it is more than 34%: count again."),
        (1, "Not yet, it is less than 100%: count again."),
    ],
)
def test_a_guess_is_held_against_the_stored_run(stored, guess, said):
    assert repr(exercises.answer("one", guess)) == said


def test_other_answers_can_be_opened_and_the_own_one_is_not_among_them(stored):
    shown = exercises.answer("one", 0.1)._repr_html_()
    assert "<summary>50%</summary>Right, it is 45%" in shown and "<summary>10%</summary>" not in shown
    assert shown.startswith('<div class="try"><p>Not yet, it is more than 10%')


def test_without_a_stored_run_it_says_so(stored, monkeypatch):
    def none(name):
        raise results.MissingResult("there is none")

    monkeypatch.setattr(exercises.results, "load", none)
    found = exercises.answer("one", 0.5)
    assert "cannot be checked in profile" in repr(found) and found.others == {}


@pytest.mark.parametrize("rows", [{"a": [None]}, {"renamed": [0.45]}])
def test_a_stored_run_without_the_number_is_none(stored, monkeypatch, rows):
    monkeypatch.setattr(exercises.results, "load", lambda name: results.Table("made_up", ["b"], rows))
    found = exercises.answer("one", 0.42)
    assert "cannot be checked in profile" in repr(found) and found.others == {}


@pytest.mark.parametrize("guess", [np.float32(0.45), np.float64(0.45), torch.tensor(0.45), np.array([0.45])])
def test_a_number_of_any_kind_is_an_answer(stored, guess):
    assert repr(exercises.answer("one", guess)) == "Right, it is 45%: halves are common."
    assert repr(exercises.answer("one", np.int64(1))) == "Not yet, it is less than 100%: count again."


@pytest.mark.parametrize(
    ("chapter", "guess", "kind", "words"),
    [
        ("two", 0.5, ValueError, "got 'two'; expected one of one"),
        ("one", "a half", TypeError, "expected a number"),
        ("one", True, TypeError, "expected a number"),
        ("one", torch.tensor([0.1, 0.2]), TypeError, "expected a number"),
        ("one", float("nan"), ValueError, "expected a finite number"),
    ],
)
def test_what_is_no_answer_is_refused(stored, chapter, guess, kind, words):
    with pytest.raises(kind, match=words):
        exercises.answer(chapter, guess)


@pytest.mark.parametrize("chapter", exercises.EXERCISES)
def test_one_of_the_options_is_right_at_paper_scale_and_the_reasons_are_parts_of_a_sentence(chapter):
    one = exercises.EXERCISES[chapter]
    truth = one.truth(lambda name: results.load(name, "paper").to_frame())
    assert sum(abs(option - truth) <= one.off for option in one.options) == 1
    assert len({one.form.format(option) for option in one.options}) == len(one.options) >= 3
    for words in (one.why, one.hint):
        assert words[0].islower() and words[-1] != "." and not re.search(r"\d+[.,]?\d* ?%|\d\.\d", words)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_each_chapter_has_one_cell_for_trying_that_stands_by_itself_and_is_kept_as_it_answers_now(path):
    notebook = publishing.read(path)
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and publishing.is_apart(cell)]
    named = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
    assert named == {"guess", "exercises"} and f'answer("{path.stem}", guess)' in cell.source
    before = nbformat.writes(notebook)
    trying.fill(notebook)
    assert nbformat.writes(notebook) == before, "run `make sync`"
    assert cell.outputs[0].data["text/plain"].startswith("Not yet"), "the page gives the answer away"


TEXT = """---
kernelspec:
  name: python3
  display_name: Python 3
---

# A page

```{code-cell} ipython3
x = 1
```

```{code-cell} ipython3
y = 2
```
"""
ADDED = """
```{code-cell} ipython3
:tags: [try-it]

from intriguing.book import exercises

guess = 0.1
exercises.answer("one", guess)
```
"""


@pytest.fixture
def page(tmp_path, stored):
    """A page that was run, to which a cell for trying is then added before the last cell."""
    path = tmp_path / "page.md"
    path.write_text(TEXT)
    notebook = publishing.read(path)
    for count, cell in enumerate([cell for cell in notebook.cells if cell.cell_type == "code"], 1):
        cell.execution_count = count
        cell.metadata[publishing.STAMP] = {"source": publishing.source_hash(cell), "outputs": "0"}
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    notebook.metadata[publishing.STAMP] = {
        "profile": "paper",
        "definitions": publishing.stamp_definitions(sources, "paper"),
    }
    publishing.write(notebook, path.with_suffix(".ipynb"))
    path.write_text(TEXT.replace("\n```{code-cell} ipython3\ny", f"{ADDED}\n```{{code-cell}} ipython3\ny"))
    return path


def test_a_new_cell_is_filled_and_the_page_stays_current(page):
    assert publishing._page_status(page).current
    assert publishing.sync(page) and not publishing.sync(page)
    assert publishing._page_status(page).current
    code = [cell for cell in nbformat.read(page.with_suffix(".ipynb"), 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert code[1].outputs[0].execution_count == 2
    assert code[1].outputs[0].data["text/plain"] == "Not yet, it is more than 10%: count again."
    assert code[1].metadata[publishing.STAMP]["outputs"] == publishing.outputs_hash(code[1])


def test_a_changed_guess_is_answered_and_another_changed_cell_is_still_seen(page):
    publishing.sync(page)
    page.write_text(page.read_text().replace("guess = 0.1", "guess = 0.4"))
    assert publishing._page_status(page).current and publishing.sync(page)
    assert "Right, it is 45%" in page.with_suffix(".ipynb").read_text()
    page.write_text(page.read_text().replace("y = 2", "y = 3"))
    assert publishing._page_status(page).changed_cells == (3,)


def test_what_a_cell_for_trying_reaches_is_no_ground_of_its_page(page):
    assert publishing.reached(publishing.read(page), "paper")["definitions"] == {}


def test_a_page_that_was_never_run_is_left_alone(page):
    page.with_suffix(".ipynb").unlink()
    notebook = publishing.read(page)
    trying.fill(notebook)
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_a_cell_without_a_value_is_refused():
    with pytest.raises(ValueError, match="end the cell with the answer"):
        trying.outcome("x = 1", 1)
