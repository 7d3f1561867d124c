"""Pages read and written by as many processes as there are cores; Jupyter Book knows no option for it.

Sphinx copies itself for each share of the pages and puts together what the copies learned. It does so only if every
extension says that it stands that. Two are silent: one copies files when all is done, the other counts chapters once
all pages are read. Only the site is made so; the book as one file is written by one process in any case.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.parallel import ParallelTasks, SerialTasks, make_chunks

from intriguing.press.running import usable_cores

SILENT = ("sphinx-mathjax-offline", "sphinx_multitoc_numbering")
"""Extensions that do not say whether they stand it, and do."""

MOST = 4
"""Processes at most: each holds the package and PyTorch, and some of the work is left to one of them in any case."""


def share(app: Sphinx) -> None:
    """Sets how many processes make the pages of a site, and answers for the extensions that are silent."""
    if app.builder.name != "html" or sys.platform != "linux":  # elsewhere a copy that has loaded PyTorch may not run
        return
    app.parallel = min(usable_cores(), MOST)
    for name in SILENT:
        if name in app.extensions and app.extensions[name].parallel_read_safe is None:
            app.extensions[name].parallel_read_safe = True


def dealt(names: list[str], weight: Callable[[str], int], processes: int) -> list[str]:
    """Returns the pages in an order in which no process is left with all that take long.

    Sphinx cuts the list into shares and begins with the last of them.

    Args:
        names: Of the pages.
        weight: How long one takes, in any unit.
        processes: How many shares are read at a time.
    """
    sizes = [len(share) for share in make_chunks(names, processes)]
    shares: list[list[str]] = [[] for _ in sizes]
    for name in sorted(names, key=weight, reverse=True):
        with_room = [share for share, size in zip(shares, sizes, strict=True) if len(share) < size]
        min(with_room[-processes:], key=lambda share: sum(map(weight, share))).append(name)
    return [name for share in shares for name in share]


def deal(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Puts the pages into that order; what takes long is to document a module."""
    if app.parallel > 1:
        texts = {name: Path(env.doc2path(name)) for name in names}
        count = {name: path.read_text("utf-8").count("automodule::") for name, path in texts.items()}
        names[:] = dealt(names, count.__getitem__, app.parallel)


def in_shares(app: Sphinx, work: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Does independent work after the pages are written, in as many copies of this process as have made them.

    Args:
        app: The builder's application.
        work: What is done with each item: it changes files of its own.
        items: Names of pages, say.
    """

    def work_off(share: list[Any]) -> None:
        for item in share:
            work(item)

    items, count = list(items), max(1, app.parallel)
    copies = ParallelTasks(count) if count > 1 else SerialTasks()
    for number in range(min(count, len(items))):
        copies.add_task(work_off, items[number::count])
    copies.join()


def setup(app: Sphinx) -> dict:
    gc.set_threshold(100_000, 20, 50)  # trees of pages live long; looking through them for rubbish finds none
    app.connect("builder-inited", share)
    app.connect("env-before-read-docs", deal)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
