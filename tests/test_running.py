"""Running chapters side by side: what is kept, what is executed again, and what an interruption leaves."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from rich.console import Console

from intriguing.book import cache, results, settings
from intriguing.press import commands as command
from intriguing.press import publishing, running

HEADER = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n# Small\n\n"


def write_chapter(root: Path, name: str, *cells: str, prose: str = "") -> Path:
    path = root / "notebooks" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + prose + "\n".join(f"```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells))
    listed = sorted(file.stem for file in path.parent.glob("*.md"))
    (root / "_toc.yml").write_text("chapters:\n" + "".join(f"- file: notebooks/{name}\n" for name in listed))
    return path


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout, where the commands work and no book is built."""
    root = tmp_path / "book"
    (root / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(settings, "checkout", lambda: root)
    monkeypatch.setattr(command, "_build", lambda *_: True)
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    return root


def note(name: str) -> str:
    """A cell that leaves a trace of every execution beside the notebooks."""
    return f"with open('../trace', 'a') as file:\n    file.write('{name}\\n')"


def trace(book: Path) -> list[str]:
    return (book / "trace").read_text().split()


def kept(book: Path, folder: str = "run-quick") -> list[str]:
    return sorted(path.name for path in (book / "_build" / folder / "executed").glob("*"))


def test_a_second_run_executes_nothing_and_says_so(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_chapter(book, "one", note("one"), "1 + 1")
    write_chapter(book, "two", note("two"))
    assert command.main(["run"]) == 0
    assert sorted(trace(book)) == ["one", "two"]
    assert "Up to 2 chapters at a time" in capsys.readouterr().out or running.usable_cores() == 1
    assert command.main(["run"]) == 0
    assert "Nothing to execute: 2 of 2 chapters are kept in _build/run-quick/executed" in capsys.readouterr().out
    write_chapter(book, "one", note("one"), "1 + 1", prose="Other words.\n\n")
    seen = {}
    monkeypatch.setattr(command, "_build", lambda *given: seen.update(given[-1].notebooks) or True)
    assert command.main(["run"]) == 0
    assert "Other words." in seen["one"].cells[0].source
    assert seen["one"].cells[-1].outputs[0].data["text/plain"] == "2"
    assert running.GROUNDS not in seen["one"].metadata
    assert len(trace(book)) == 2
    assert command.main(["run", "one", "--again"]) == 0
    assert trace(book)[2:] == ["one"]


@pytest.mark.parametrize("what", ["cells", "code", "data", "packages", "results", "device"])
def test_a_chapter_is_executed_again_when_its_grounds_change(
    what: str, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_chapter(book, "one", note("one"))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path / "data"))
    assert command.main(["run"]) == 0
    capsys.readouterr()
    if what == "cells":
        write_chapter(book, "one", note("one"), "2")
    if what == "code":
        monkeypatch.setattr(publishing, "reached", lambda *_: {"modules": {"intriguing.book.paper": "0"}})
    if what == "data":
        (tmp_path / "data" / "usps.npz").write_bytes(b"123")
    if what == "packages":
        monkeypatch.setattr(running.platform, "python_version", lambda: "3.99")
    if what == "results":
        (book / "results" / "quick").mkdir(parents=True)
        (book / "results" / "quick" / "table1.json").write_text("{}")
    if what == "device":
        monkeypatch.setenv("INTRIGUING_DEVICE", "cpu")
    assert command.main(["run"]) == 0
    assert f"one: running in profile quick (changed: {what})" in capsys.readouterr().out
    assert trace(book) == ["one", "one"]


def test_a_recording_chapter_rests_on_the_results_that_it_wrote(book: Path) -> None:
    result = book / "results" / "quick" / "a.json"
    store = (
        "from pathlib import Path\nfrom intriguing.attack import files\nfrom intriguing.book import settings\n"
        f"path = Path({str(result)!r})\nfiles.write_atomically(path, b'1')\nsettings.wrote(path, b'1')"
    )
    write_chapter(book, "one", note("one"), store)
    write_chapter(book, "scorecard", note("scorecard"))
    for _ in range(2):
        assert command.main(["record"]) == 0
        assert trace(book) == ["one", "scorecard"]
    result.write_bytes(b"2")
    assert command.main(["record"]) == 0
    assert trace(book)[2:] == ["one"]  # the result is the same again, so the scorecard has nothing new to read
    assert result.read_bytes() == b"1"


def test_a_failing_chapter_keeps_no_other_from_running(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_chapter(book, "bad", "1 / 0")
    write_chapter(book, "good", note("good"))
    write_chapter(book, "scorecard", note("scorecard"))
    assert command.main(["paper", "--jobs", "2"]) == 1
    said = capsys.readouterr().out
    assert "ZeroDivisionError" in said and "Failed: bad." in said
    assert trace(book) == ["good", "scorecard"]
    assert kept(book, "paper-paper") == ["good.ipynb", "scorecard.ipynb"]
    assert sorted(path.name for path in (book / "notebooks").glob("*.ipynb")) == ["good.ipynb", "scorecard.ipynb"]
    stored = nbformat.read(book / "notebooks" / "good.ipynb", as_version=4)
    assert stored.metadata[publishing.STAMP].computing.seconds == 0
    assert running.GROUNDS not in stored.metadata
    write_chapter(book, "bad", note("mended"))
    assert command.main(["paper"]) == 0
    assert trace(book)[2:] == ["mended"]


def test_chapters_run_side_by_side_and_the_scorecard_after_them(book: Path) -> None:
    meet = (
        "import os, pathlib, time\nprint(os.environ['OMP_NUM_THREADS'])\n"
        "pathlib.Path('../{mine}').touch()\nuntil = time.monotonic() + 120\n"
        "while not pathlib.Path('../{other}').exists():\n"
        "    assert time.monotonic() < until\n    time.sleep(0.05)"
    )
    write_chapter(book, "a", meet.format(mine="a", other="b"), note("a"))
    write_chapter(book, "b", meet.format(mine="b", other="a"), note("b"))
    write_chapter(book, "scorecard", note("scorecard"))
    assert command.main(["run", "--jobs", "2"]) == 0
    assert trace(book)[2] == "scorecard"
    one = nbformat.read(book / "_build" / "run-quick" / "executed" / "a.ipynb", as_version=4)
    assert one.cells[1].outputs[0].text == "1\n"


def test_the_longest_chapter_starts_first(book: Path) -> None:
    took = {"short": 5, "long": 50}
    for name in ("short", "long", "unknown"):
        write_chapter(book, name, note(name))
    stamped = {
        name: nbformat.v4.new_notebook(metadata={publishing.STAMP: {"wall_seconds": s}}) for name, s in took.items()
    }
    running.store_seconds("quick", stamped)
    assert command.main(["run", "--jobs", "1"]) == 0
    assert trace(book) == ["unknown", "long", "short"]


def test_durations_that_cannot_be_read_are_kept_as_they_are(book: Path) -> None:
    write_chapter(book, "one", note("one"))
    path = results.location(running.DURATIONS, "quick")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"columns": ["seconds"], "rows": {"two": [7.0], "one": [', encoding="utf-8")
    before = path.read_bytes()
    assert command.main(["record"]) == 0 and path.read_bytes() == before
    path.write_text('{"columns": ["seconds"], "rows": {"two": [7.0], "one": [null]}, "meta": {}}', encoding="utf-8")
    assert running.stored_seconds("quick") == {"two": 7}
    assert command.main(["record", "--again"]) == 0
    assert set(running.stored_seconds("quick")) == {"one", "two"}


def test_recording_stores_how_long_the_chapters_took_and_keeps_what_is_known_of_others(book: Path) -> None:
    write_chapter(book, "one", note("one"))
    running.store_seconds("quick", {"two": nbformat.v4.new_notebook(metadata={publishing.STAMP: {"wall_seconds": 7}})})
    assert command.main(["run"]) == 0
    assert running.stored_seconds("quick") == {"two": 7}
    assert command.main(["record"]) == 0
    stored = running.stored_seconds("quick")
    assert stored["two"] == 7 and 0 <= stored["one"] < 600  # in whole seconds: a fast computer takes 0
    assert running.stored_seconds("paper") == {}
    assert command.main(["run"]) == 0
    assert trace(book) == ["one", "one"]  # once in either way, and not again because a duration was stored


def test_the_stamp_says_on_what_computing_the_chapter_rests(book: Path) -> None:
    make = (
        "import torch\nfrom intriguing.book import cache, settings\n"
        "kept = cache.load_or_make('net', {}, lambda: {'a': torch.ones(1)})\nprint(settings.run_line())"
    )
    for name, made in (("one", 1), ("two", 0)):
        notebook = publishing.execute(write_chapter(book, name, make), "quick")
        computing = notebook.metadata[publishing.STAMP].computing
        assert (computing.made, computing.kept, computing.unknown) == (made, 1 - made, 0)
        assert len(computing.devices) == 1
        said = notebook.cells[1].outputs[0].text
        assert f"It rests on 1 kept computation ({made} made now and {1 - made} kept from before), 0 s of comp" in said


def test_a_full_disk_ends_the_run_in_one_sentence(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_chapter(book, "one", note("one"))
    write_chapter(book, "two", note("two"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    assert command.main(["run", "--jobs", "1"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "the disk is full; free some space" in said
    assert "0 of 2 chapters are done and kept in _build/run-quick/executed (none); the same command goes on" in said
    assert trace(book) == ["one"]
    assert kept(book) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_kernels_and_keeps_what_is_done(
    number: int, code: int, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_chapter(book, "one", note("one"))
    write_chapter(book, "two", "import os, time", note("{os.getpid()}").replace("'{", "f'{"), "time.sleep(600)")
    (book / "src" / "intriguing").mkdir(parents=True)
    start = (
        "import sys; from pathlib import Path; from intriguing.book import settings; "
        "from intriguing.press import commands; "
        f"settings.checkout = lambda: Path({str(book)!r}); sys.exit(commands.main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, "run", "--jobs", "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until = time.monotonic() + 300
    while not (book / "trace").exists() or len(trace(book)) < 2 or not kept(book):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert f"Stopped by {signal.Signals(number).name}. 1 of 2 chapters are done and kept" in said
    assert "(one); the same command goes on from there." in said
    kernel = next(int(word) for word in trace(book) if word.isdigit())
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert kept(book) == ["one.ipynb"]
    write_chapter(book, "two", note("two"))
    assert command.main(["run"]) == 0
    assert trace(book).count("one") == 1 and trace(book)[-1] == "two"


def test_whoever_watches_sees_a_line_for_each_running_chapter(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(command, "console", Console(file=shown, force_terminal=True, width=100))
    write_chapter(book, "bad", "1 / 0")
    write_chapter(book, "good", "first = 1", "import time\nlonger = time.sleep(0.5)")
    assert command.main(["run", "--jobs", "2"]) == 1
    said = shown.getvalue()
    assert "longer = time.sleep(0.5)" in said and "1/2" in said
    assert "bad: failed" in said and "good: " in said
    assert "running in profile" not in said


def test_a_broken_kept_file_is_executed_again(book: Path) -> None:
    path = write_chapter(book, "one", note("one"))
    assert command.main(["run"]) == 0
    file = book / "_build" / "run-quick" / "executed" / "one.ipynb"
    whole = json.loads(file.read_text())
    keeper = running.Keeper(book, file.parent, "quick", False)
    for broken in ("", "[]", json.dumps(whole | {"metadata": {running.GROUNDS: 3}})):
        file.write_text(broken)
        assert keeper.load(path, keeper.grounds(path)) == (None, "")


def test_a_kept_chapter_that_was_altered_is_executed_again(book: Path) -> None:
    write_chapter(book, "one", note("one"), "6 * 7")
    assert command.main(["run"]) == 0
    path = book / "_build" / "run-quick" / "executed" / "one.ipynb"
    text = path.read_text()
    assert text.count('"42"') == 1
    path.write_text(text.replace('"42"', '"43"'))
    assert command.main(["run"]) == 0
    assert trace(book) == ["one", "one"] and path.read_text().count('"42"') == 1


def test_fewer_than_one_job_is_refused(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_chapter(book, "one", "1")
    assert command.main(["run", "--jobs", "0"]) == 1
    assert "got 0 jobs; expected at least 1" in capsys.readouterr().out
