"""Pages that several processes read and write are those that one process makes, down to every letter."""

from __future__ import annotations

import gc
import importlib
import io
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from sphinx.application import Sphinx
from sphinx.domains import Domain
from sphinx.util.docutils import docutils_namespace
from sphinx.util.parallel import make_chunks

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


def build(
    folder: Path,
    cores: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    silent: bool = True,
    builder: str = "html",
    more: str = "",
) -> tuple[Sphinx, int, str]:
    """A small book with links from each page to the next, how many processes have read it, and what it was warned of.

    Args:
        more: Stands at the end of one of the pages.
    """
    folder.mkdir()
    (folder / "conf.py").write_text("project = 'Small'\n", encoding="utf-8")
    (folder / "silent_one.py").write_text(SILENT, encoding="utf-8")
    (folder / "noting.py").write_text(NOTES, encoding="utf-8")
    names = [f"page{number}" for number in range(12)]
    (folder / "index.rst").write_text("Index\n=====\n\n.. toctree::\n\n   " + "\n   ".join(names), encoding="utf-8")
    for number, name in enumerate(names):
        after = names[(number + 1) % len(names)]
        text = f".. _at-{name}:\n\nTitle {number}\n========\n\n:ref:`at-{after}` and :doc:`{after}`. [#]_\n\n"
        text += ".. [#] A note.\n\n" + (more if number == 7 else "")
        (folder / f"{name}.rst").write_text(text, encoding="utf-8")
    for place in (folder, FOLDER):
        monkeypatch.syspath_prepend(str(place))
    for name in ("silent_one", "noting", "side_by_side"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = extension("side_by_side")
    monkeypatch.setitem(sys.modules, "side_by_side", module)
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    monkeypatch.setattr(module, "SILENT", ("silent_one",) if silent else ())
    warned = io.StringIO()
    with docutils_namespace():
        app = Sphinx(
            str(folder), str(folder), str(folder / builder), str(folder / "trees"), builder, status=None,
            warning=warned, warningiserror=True, keep_going=True,
            confoverrides={"extensions": ["side_by_side", "silent_one", "noting"], "nitpicky": True},
        )  # fmt: skip
        app.build(force_all=True)
    readers = set((folder / "readers").read_text(encoding="utf-8").split()) - {str(os.getpid())}
    return app, len(readers), warned.getvalue()


def files(app: Sphinx) -> dict[str, bytes]:
    """What a reader gets: the pages, the index that is searched and the list of names."""
    paths = sorted(path for ending in ("*.html", "searchindex.js", "objects.inv") for path in app.outdir.glob(ending))
    return {path.name: path.read_bytes() for path in paths}


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="pages are read by one process on this system")


@on_linux
def test_several_processes_make_the_same_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, none, _ = build(tmp_path / "one", 1, monkeypatch)
    together, several, _ = build(tmp_path / "three", 3, monkeypatch)
    assert none == 0 and several > 1
    assert len(files(alone)) == 17 and files(together) == files(alone)
    assert alone.statuscode == together.statuscode == 0
    assert not multiprocessing.active_children()


@on_linux
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (":ref:`at-no-page`", "undefined label: 'at-no-page'"),
        (":py:func:`no.such.thing`", "py:func reference target not found: no.such.thing"),
        ("A title below\n-----\n", "Title underline too short"),
    ],
)
def test_a_warning_from_any_of_them_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    app, several, warned = build(tmp_path / "three", 3, monkeypatch, more=fault)
    assert several > 1 and app.statuscode == 1
    assert words in warned and "page7.rst" in warned


@pytest.mark.parametrize("builder", ["latex", "epub", "text"])
def test_what_is_no_site_is_made_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builder: str) -> None:
    app, several, _ = build(tmp_path / "three", 3, monkeypatch, builder=builder)
    assert several == 0 and app.parallel <= 1


@pytest.mark.parametrize(("pages", "processes"), [(45, 2), (45, 3), (45, 4), (23, 2), (6, 4), (7, 2)])
def test_what_takes_long_is_dealt_to_those_who_begin(pages: int, processes: int) -> None:
    weights = {f"page{number:02}": 10 - number if number < 8 else 0 for number in range(pages)}
    order = side_by_side.dealt(list(weights), weights.__getitem__, processes)
    assert sorted(order) == list(weights)
    shares = [sum(weights[name] for name in share) for share in make_chunks(order, processes)]
    first, later = shares[-processes:], shares[:-processes]
    if pages == 45:
        assert max(first) - min(first) <= 4 and not any(later)
    assert max(shares) < sum(shares)


@pytest.mark.parametrize("parallel", [0, 1, 2, 5])
def test_all_work_is_done_by_however_many(parallel: int, tmp_path: Path) -> None:
    app = SimpleNamespace(parallel=parallel)
    side_by_side.in_shares(app, lambda name: (tmp_path / name).touch(), ["a", "b", "c"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    side_by_side.in_shares(app, lambda name: pytest.fail("nothing was asked for"), [])


@pytest.mark.parametrize("parallel", [1, 2])
def test_work_that_fails_ends_the_build(parallel: int) -> None:
    with pytest.raises(Exception, match="ZeroDivisionError|division by zero"):
        side_by_side.in_shares(SimpleNamespace(parallel=parallel), lambda number: 1 / number, [1, 0])


def test_there_is_a_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 99)
    monkeypatch.setattr(sys, "platform", "linux")
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), extensions={}, parallel=1)
    side_by_side.share(app)
    assert app.parallel == side_by_side.MOST


def test_elsewhere_pages_are_made_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), extensions={}, parallel=1)
    side_by_side.share(app)
    assert app.parallel == 1


def test_who_is_silent_and_not_known_keeps_it_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(tmp_path / "one", 3, monkeypatch, silent=False)[1] == 0


def test_an_answer_that_was_given_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    given = SimpleNamespace(parallel_read_safe=False)
    monkeypatch.setattr(sys, "platform", "linux")
    side_by_side.share(
        SimpleNamespace(builder=SimpleNamespace(name="html"), extensions={side_by_side.SILENT[0]: given})
    )
    assert given.parallel_read_safe is False


def domains(name: str) -> list[type[Domain]]:
    """The domains that an extension brings."""
    importlib.import_module(name)
    modules = [module for key, module in list(sys.modules.items()) if key == name or key.startswith(f"{name}.")]
    things = [thing for module in modules for thing in vars(module).values() if isinstance(thing, type)]
    return [thing for thing in things if issubclass(thing, Domain) and thing is not Domain]


def test_every_domain_of_the_book_can_be_put_together() -> None:
    """One that cannot ends the build with an error, whatever its extension says of itself."""
    listed = yaml.safe_load((FOLDER.parents[1] / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"][
        "extensions"
    ]
    pytest.importorskip("sphinxcontrib.bibtex", reason="the packages that build the book are not installed")
    assert side_by_side.SILENT[0] in listed and len(domains("sphinxcontrib.bibtex")) >= 2
    for name in {*listed, *side_by_side.SILENT} - {path.stem for path in FOLDER.glob("*.py")}:
        for domain in domains(name):
            assert domain.merge_domaindata is not Domain.merge_domaindata, f"{name}: {domain}"
