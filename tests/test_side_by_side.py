"""Pages that several processes read and write are those that one process makes, down to every letter."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from extensions import FOLDER, extension

side_by_side = extension("side_by_side")

SILENT = 'def setup(app):\n    app.connect("env-before-read-docs", lambda *_: None)\n'
NOTES = (
    "from pathlib import Path\nimport os\n\ndef note(app, name, source):\n"
    '    with open(Path(app.confdir) / "readers", "a") as out:\n        out.write(f"{os.getpid()}\\n")\n\n\n'
    "def setup(app):\n    app.connect('source-read', note)\n    return {'parallel_read_safe': True}\n"
)


@pytest.fixture(autouse=True)
def usual_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def built(folder: Path, cores: int, monkeypatch: pytest.MonkeyPatch, silent: bool = True) -> tuple[dict[str, str], int]:
    """The pages of a small book with links from each to the next, and how many processes have read them."""
    folder.mkdir()
    (folder / "conf.py").write_text("project = 'Small'\n", encoding="utf-8")
    (folder / "silent_one.py").write_text(SILENT, encoding="utf-8")
    (folder / "noting.py").write_text(NOTES, encoding="utf-8")
    names = [f"page{number}" for number in range(12)]
    (folder / "index.rst").write_text("Index\n=====\n\n.. toctree::\n\n   " + "\n   ".join(names), encoding="utf-8")
    for number, name in enumerate(names):
        after = names[(number + 1) % len(names)]
        text = f".. _at-{name}:\n\nTitle {number}\n========\n\n:ref:`at-{after}` and :doc:`{after}`. [#]_\n\n"
        text += ".. [#] A note.\n"
        (folder / f"{name}.rst").write_text(text, encoding="utf-8")
    for place in (folder, FOLDER):
        monkeypatch.syspath_prepend(str(place))
    for name in ("silent_one", "noting", "side_by_side"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = extension("side_by_side")
    monkeypatch.setitem(sys.modules, "side_by_side", module)
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    monkeypatch.setattr(module, "SILENT", ("silent_one",) if silent else ())
    with docutils_namespace():
        app = Sphinx(
            str(folder), str(folder), str(folder / "html"), str(folder / "trees"), "html", status=None, warning=None,
            confoverrides={"extensions": ["side_by_side", "silent_one", "noting"]},
        )  # fmt: skip
        app.build(force_all=True)
    pages = {path.name: path.read_text(encoding="utf-8") for path in sorted((folder / "html").glob("*.html"))}
    return pages, len(set((folder / "readers").read_text(encoding="utf-8").split()) - {str(os.getpid())})


@pytest.mark.skipif(sys.platform != "linux", reason="pages are read by one process on this system")
def test_several_processes_make_the_same_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, none = built(tmp_path / "one", 1, monkeypatch)
    together, several = built(tmp_path / "three", 3, monkeypatch)
    assert none == 0 and several > 1
    assert len(alone) == 15 and together == alone
    assert not multiprocessing.active_children()


def test_who_is_silent_and_not_known_keeps_it_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert built(tmp_path / "one", 3, monkeypatch, silent=False)[1] == 0


def test_an_answer_that_was_given_stays() -> None:
    given = SimpleNamespace(parallel_read_safe=False)
    side_by_side.answer(SimpleNamespace(extensions={side_by_side.SILENT[0]: given}))
    assert given.parallel_read_safe is False
