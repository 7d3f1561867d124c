"""The table of all chapters says what the notebooks say."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from extensions import extension
from intriguing.book import settings
from intriguing.press import publishing

ROOT = Path(__file__).resolve().parent.parent
chapter_status = extension("chapter_status")


def page(foot: str, *lines: str, **stamp: object):
    checked = new_code_cell("x", outputs=[new_output("stream", name="stdout", text="\n".join(lines))])
    checked.metadata["tags"] = [publishing.CHECKED]
    last = new_code_cell("y", outputs=[new_output("stream", name="stdout", text=foot)])
    about = {"profile": "paper", "wall_seconds": 3700, "created": "2026-01-02T03:04:05+00:00", "commit": "0123abc"}
    return new_notebook(cells=[checked, last], metadata={publishing.STAMP: about | stamp})


def test_a_row_says_what_the_notebook_says() -> None:
    computing = {"seconds": 61.0, "devices": ["cpu", "cuda (H100)"], "made": 1, "kept": 2, "unknown": 1}
    notebook = page(settings.run_line(), "Table 'a' agrees.", "Table 'b' differs from it.", computing=computing)
    link, profile, took, rests, device, date, commit, verdicts = chapter_status.row("units", notebook)
    assert (link, profile, took) == ("[](../notebooks/units.ipynb)", "paper", "1 h 1 min")
    assert rests == "1 min 1 s on cpu and cuda (H100); unknown for 1 of 3"
    assert device == settings.provenance()["device"]
    assert (date, commit, verdicts) == ("2026-01-02", "0123abc", "1 of 2")


@pytest.mark.parametrize("took", ["5 s", "12 min 5 s", "2 h 7 min"])
@pytest.mark.parametrize("threads", ["1 thread", "1 threads", "2 threads"])
def test_the_device_is_found_however_long_the_run_was(took: str, threads: str) -> None:
    line = f"Run in profile paper on cpu (x86_64, {threads}) in {took}, 2026-01-02 03:04 UTC, seed 0, with ..."
    assert chapter_status.device(page(line)) == f"cpu (x86_64, {threads})"


def test_what_is_not_known_is_said() -> None:
    assert chapter_status.row("units", new_notebook())[1:3] == ("never run", "–")
    assert chapter_status.device(page("")) == "not known"
    assert chapter_status.computing(None) == "not written down"
    assert chapter_status.computing({"made": 0, "kept": 0}) == "none"


def test_every_chapter_has_its_row() -> None:
    lines = chapter_status.table(ROOT)
    names = publishing.names(ROOT)
    assert len(lines) == len(names) + 2
    for name, line in zip(names, lines[2:], strict=True):
        assert line.startswith(f"| [](../notebooks/{name}.ipynb) | paper | ")
        assert "not known" not in line
