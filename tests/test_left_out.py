"""The line at the end of a test run that says what was not executed again, and why."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

import conftest
import left_out
from intriguing.press import publishing

NAMES = [path.stem for path in publishing.chapters(publishing.repository())]


def words_of(name):
    """The text of a chapter and the code of its room."""
    root = publishing.repository()
    rooms = root / "src" / "intriguing" / "chapters"
    files = [root / "notebooks" / f"{name}.md", *rooms.glob(f"{name}.py"), *rooms.glob(f"{name}/*.py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def test_every_chapter_that_can_go_without_data_is_listed():
    asking = {name for name in NAMES if re.search(r"INTRIGUING_DATA|on this computer", words_of(name))}
    assert asking == set(left_out.NEEDS) & set(NAMES)


def test_the_line_names_chapters_and_reasons(tmp_path):
    line = left_out.summary([tmp_path], ["photographs", "spectral", "explanation"], True)
    assert line.startswith("Chapters: executed again only in part") and "\n" not in line
    assert "explanation without USPS, for which MNIST stands in (usps.npz)" in line
    assert "photographs without what is measured on ImageNet (imagenet/val) and SqueezeNet" in line
    (tmp_path / "usps.npz").touch()
    line = left_out.summary([tmp_path / "nowhere", tmp_path], ["explanation"], True)
    assert line == "Chapters: all 1 were executed again in full."


def test_a_session_without_chapters_says_so(tmp_path):
    line = left_out.summary([tmp_path], NAMES, False)
    assert line.startswith(f"Chapters: none of the {len(NAMES)} was executed again, because")


@pytest.mark.parametrize("given", [None, "--nbval", "--nbval-lax"])
def test_the_hook_writes_it(given, monkeypatch, tmp_path):
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    lines = []
    reporter = SimpleNamespace(write_line=lines.append)
    conftest.pytest_terminal_summary(reporter, SimpleNamespace(getoption=lambda name, _: name == given))
    assert lines == [left_out.summary([tmp_path / "data"], NAMES, given is not None)]


def test_the_longest_files_come_first_and_have_time(tmp_path, monkeypatch):
    monkeypatch.setattr(conftest.running, "stored_seconds", {"quick": {"short": 1, "long": 900}}.get)
    items = [
        SimpleNamespace(path=tmp_path / name) for name in ("a.py", "short.ipynb", "test_site.py", "b.py", "long.ipynb")
    ]
    conftest.pytest_collection_modifyitems(items)
    assert [item.path.name for item in items] == ["long.ipynb", "test_site.py", "short.ipynb", "a.py", "b.py"]
    assert items[0].output_timeout > 5 and not hasattr(items[1], "output_timeout")
