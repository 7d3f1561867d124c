"""Running the chapters: several at a time, each kept as soon as it is done, none twice.

Each chapter has a kernel of its own. What it put out is kept under ``_build`` together with the grounds that it
rests on: the source of its cells, the code that they reach, the data, the packages, the stored results. While the
grounds are the same the chapter is not executed again, so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import nbformat
from nbformat import NotebookNode

from intriguing import data
from intriguing.attack import files
from intriguing.book import results
from intriguing.press import nursery, publishing

GROUNDS = "grounds"
"""The metadata key under which a kept notebook says what its outputs rest on."""

DURATIONS = "durations"
"""The result that says how long each chapter took, by which they are ordered; no chapter rests on it."""


class Watcher(Protocol):
    """Who is told how a run goes on."""

    def started(self, name: str, because: str) -> None: ...

    def cell(self, name: str, number: int, total: int, cell: NotebookNode) -> None: ...

    def done(self, name: str, notebook: NotebookNode) -> None: ...

    def failed(self, name: str, problem: str) -> None: ...


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        executed: The notebooks of the chapters that were executed, by name, in order of time.
        reused: Those that were kept by an earlier run and are still true.
        failed: Chapter -> what went wrong.
        signal: The number of the signal that ended the run early; None where none did.
        problem: What made it impossible to keep on, such as a full disk; empty where nothing did.
    """

    executed: dict[str, NotebookNode] = field(default_factory=dict)
    reused: dict[str, NotebookNode] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    signal: int | None = None
    problem: str = ""

    @property
    def notebooks(self) -> dict[str, NotebookNode]:
        """All that is there to be shown, by name."""
        return self.reused | self.executed

    @property
    def stopped(self) -> bool:
        """Whether the run ended before every chapter had its turn."""
        return self.signal is not None or bool(self.problem)


def usable_cores() -> int:
    """Returns how many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class Keeper:
    """The executed chapters of one command and profile, each a file that is whole or absent.

    Args:
        root: The root of the checkout.
        folder: Where they are kept.
        profile: ``quick`` or ``paper``.
        record: Whether the chapters write the stored results.
    """

    def __init__(self, root: Path, folder: Path, profile: str, record: bool) -> None:
        self.root, self.folder, self.profile, self.record = root, folder, profile, record

    def path(self, name: str) -> Path:
        """Returns the file of a chapter, whether it exists or not."""
        return self.folder / f"{name}.ipynb"

    def seconds(self, path: Path) -> float:
        """Returns how long a chapter took when it was last executed here, else when its results were stored.

        Args:
            path: The chapter's text.

        Returns:
            Seconds; infinity where neither is known, so that an unknown chapter starts early.
        """
        with contextlib.suppress(OSError, ValueError, KeyError):
            kept = json.loads(self.path(path.stem).read_text("utf-8"))
            return float(kept["metadata"][publishing.STAMP]["wall_seconds"])
        return stored_seconds(self.profile).get(path.stem, float("inf"))

    def grounds(self, path: Path) -> dict[str, str]:
        """Returns all that the outputs of a chapter rest on, each as a short text that changes with it.

        Of the data the names and the sizes of their files count, not what is in them.

        Args:
            path: The chapter's text.
        """
        notebook = publishing.read(path)
        cells = [publishing.source_hash(cell) for cell in notebook.cells if cell.cell_type == "code"]
        # While results are written they change under the chapters; only the scorecard reads those of others.
        changing = self.root / "results" / self.profile
        apart = changing if self.record and path.stem != publishing.LAST else None
        return {
            "cells": _digest(cells),
            "code": _digest(publishing.reached(notebook, self.profile)),
            "profile": self.profile,
            "device": os.environ.get("INTRIGUING_DEVICE", ""),
            "data": _digest(list(_data())),
            "packages": _digest(_packages()),
            "results": _digest(list(_results(self.root, apart))),
        }

    def load(self, path: Path, grounds: dict[str, str]) -> tuple[NotebookNode | None, str]:
        """Returns a kept chapter, brought up to its prose, if it is still true.

        Args:
            path: The chapter's text.
            grounds: What :meth:`grounds` says of it now.

        Returns:
            The notebook and an empty text; or None and what has changed, empty where nothing was kept that can be
            used.
        """
        kept = self.path(path.stem)
        try:
            content = json.loads(kept.read_text(encoding="utf-8"))
            old = content["metadata"][GROUNDS]
            if old["sum"] != _digest(content["cells"]):  # altered since it was kept
                return None, ""
            changed = [name for name in grounds if old["grounds"].get(name) != grounds[name]]
            written = [name for name, digest in old["wrote"].items() if not _holds(self.root / name, digest)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None, ""
        if changed or written:
            return None, f"changed: {', '.join(changed + written)}"
        notebook = publishing.read(path, kept)
        notebook.metadata.pop(GROUNDS)
        return notebook, ""

    def save(self, name: str, notebook: NotebookNode, grounds: dict[str, str], wrote: dict[str, str]) -> None:
        """Keeps an executed chapter.

        Args:
            name: Of the chapter.
            notebook: As executed.
            grounds: What :meth:`grounds` said before it was executed.
            wrote: The results that it stored, as absolute paths, with their SHA-256 sums.

        Raises:
            OSError: The file cannot be written, for instance because the disk is full.
        """
        inside = {os.path.relpath(path, self.root): digest for path, digest in wrote.items()}
        kept = nbformat.from_dict(notebook)
        total = _digest(json.loads(nbformat.writes(kept))["cells"])
        kept.metadata[GROUNDS] = nbformat.from_dict({"grounds": grounds, "wrote": inside, "sum": total})
        publishing.write(kept, self.path(name))


def stored_seconds(profile: str) -> dict[str, float]:
    """Returns how many seconds each chapter took when its results were last stored; nothing where that is unknown.

    Args:
        profile: ``quick`` or ``paper``.
    """
    try:
        stored = results.load(DURATIONS, profile)
    except results.ResultError:
        return {}
    return _seconds(stored)


def _seconds(stored: results.Table) -> dict[str, float]:
    return {name: row[0] for name, row in stored.rows.items() if row and row[0] is not None}


def store_seconds(profile: str, executed: Mapping[str, NotebookNode]) -> None:
    """Stores how many seconds chapters took; those of the others stay.

    Args:
        profile: ``quick`` or ``paper``.
        executed: The notebooks of the chapters, by name, as executed.

    Raises:
        ResultError: What is stored of the others cannot be read; it is left as it is.
        OSError: The file cannot be written.
    """
    try:
        others = _seconds(results.load(DURATIONS, profile))
    except results.MissingResult:
        others = {}
    took = {name: float(notebook.metadata[publishing.STAMP].wall_seconds) for name, notebook in executed.items()}
    rows = {name: [seconds] for name, seconds in sorted((others | took).items())}
    results.record(
        results.Table(DURATIONS, ["seconds"], rows, {"data": "the chapters of the book", "profile": profile})
    )


def run(paths: Sequence[Path], keeper: Keeper, watcher: Watcher, *, jobs: int, again: bool = False) -> Outcome:
    """Executes chapters, several at a time, the longest first and the scorecard after all others.

    A chapter that fails does not keep the others from running. SIGINT and SIGTERM end the kernels and the run.

    Args:
        paths: The texts of the chapters.
        keeper: Where they are kept as soon as they are done.
        watcher: Who is told.
        jobs: How many at a time, at least 1. With more than one, and several chapters, each gets one thread of
            arithmetic.
        again: Whether chapters are executed even when they were kept and are still true.

    Returns:
        What came of it, also when it was ended early.
    """
    return asyncio.run(_Run(paths, keeper, watcher, min(jobs, len(paths)), again).finish())


class _Run:
    def __init__(self, paths: Sequence[Path], keeper: Keeper, watcher: Watcher, jobs: int, again: bool) -> None:
        self.paths, self.keeper, self.watcher, self.jobs, self.again = paths, keeper, watcher, jobs, again
        self.outcome = Outcome()
        self._tasks: list[asyncio.Task] = []
        self._free = asyncio.Semaphore(max(1, jobs))

    async def finish(self) -> Outcome:
        ordered = sorted(self.paths, key=self.keeper.seconds, reverse=True)
        loop = asyncio.get_running_loop()
        signals = _signals(lambda number: loop.call_soon_threadsafe(self._stop, number, ""))
        # A copied kernel has one thread of arithmetic, and so has every kernel where several run at a time.
        one_thread = self.jobs > 1 or os.environ.get(publishing.THREADS[0]) == "1"
        with signals, nursery.kernels_are_copied(one_thread):
            for last in (False, True):
                turn = [path for path in ordered if (path.stem == publishing.LAST) == last]
                if not self.outcome.stopped:
                    self._tasks = [asyncio.create_task(self._chapter(path)) for path in turn]
                    ended = await asyncio.gather(*self._tasks, return_exceptions=True)
                    for error in ended:  # none but a fault of this program; one task's must not hide in the others
                        if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                            raise error
        return self.outcome

    def _stop(self, number: int | None, problem: str) -> None:
        if not self.outcome.stopped:
            self.outcome.signal, self.outcome.problem = number, problem
            for task in self._tasks:
                task.cancel()

    async def _chapter(self, path: Path) -> None:
        async with self._free:
            name, because = path.stem, ""
            grounds = self.keeper.grounds(path)
            if not self.again:
                kept, because = self.keeper.load(path, grounds)
                if kept is not None:
                    self.outcome.reused[name] = kept
                    return
            self.watcher.started(name, because)
            try:
                notebook, wrote = await publishing.execute_beside(
                    path,
                    self.keeper.profile,
                    record=self.keeper.record,
                    progress=lambda *step: self.watcher.cell(name, *step),
                    threads=1 if self.jobs > 1 else None,
                )
            except publishing.ChapterFailed as error:
                # A kernel that was ended with the run is no failure of its chapter.
                if not self.outcome.stopped:
                    self.outcome.failed[name] = str(error)
                    self.watcher.failed(name, str(error))
                return
            if self.outcome.stopped:
                return
            try:
                self.keeper.save(name, notebook, grounds, wrote)
                self.watcher.done(name, notebook)
            except OSError as error:
                self._stop(None, str(error))
                return
            self.outcome.executed[name] = notebook


@contextlib.contextmanager
def _signals(stop: Any) -> Iterator[None]:
    """Calls ``stop`` with the number of a signal that would end this process, for the length of the block."""
    numbers = [signal.SIGINT, signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, lambda number, _: stop(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _data() -> Iterator[list]:
    """Yields the names and sizes of the data that are on this computer, two folders deep; of folders their times.

    MNIST in the cache is left out: it is the same for everybody, by its checksum.
    """
    folder = data.data_folder()
    for place in [folder] if folder is not None else []:
        for path in sorted([*place.glob("*"), *place.glob("*/*")]):
            if not path.exists():  # a link that leads nowhere
                continue
            about = path.stat()
            yield [str(path.relative_to(place)), about.st_mtime_ns if path.is_dir() else about.st_size]
    cache = files.cache_folder() / "data"
    for path in sorted([*cache.glob("*"), *cache.glob("*/*")]):
        if "MNIST" not in path.parts and path.is_file():
            yield ["cache", str(path.relative_to(cache)), path.stat().st_size]


def _packages() -> dict[str, str | None]:
    """Returns the versions of Python and of the packages that the book's own asks for."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    with contextlib.suppress(metadata.PackageNotFoundError):
        for line in metadata.requires("intriguing") or []:
            name = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in line).split()[0]
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = None
    return found


def _results(root: Path, apart: Path | None) -> Iterator[list[str]]:
    for path in sorted((root / "results").glob("*/*.json")):
        if path.parent != apart and path.stem != DURATIONS:
            yield [str(path.relative_to(root)), hashlib.sha256(path.read_bytes()).hexdigest()]


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
