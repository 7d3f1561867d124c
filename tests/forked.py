"""Processes for the tests that need some: copies of one that has imported PyTorch, which takes seconds, once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_WAY = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT = multiprocessing.get_context(_WAY)
if _WAY == "forkserver":
    _CONTEXT.set_forkserver_preload(["torch", "intriguing.book.runs", "intriguing.models.quocnet"])


def start(script: Path, *arguments: object, **environment: object) -> multiprocessing.Process:
    """Runs a file as Python would run it by itself, in a process of its own.

    Args:
        script: The file.
        arguments: What it finds in ``sys.argv`` behind its own name.
        environment: Variables beside those of this process.
    """
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in environment.items()}}
    process = _CONTEXT.Process(target=_run, args=(str(script), [str(word) for word in arguments], variables))
    process.start()
    return process


@contextlib.contextmanager
def started(script: Path, *arguments: object, **environment: object) -> Iterator[multiprocessing.Process]:
    """As :func:`start`, for the length of a block, which the process does not outlive."""
    process = start(script, *arguments, **environment)
    try:
        yield process
    finally:
        process.terminate()
        process.join(60)
        process.kill()


def ended(process: multiprocessing.Process, seconds: float = 300) -> int | None:
    """Returns the exit status of a process, negative for a signal; None where it has not ended by then."""
    process.join(seconds)
    return process.exitcode


def run(script: str, arguments: list[str], variables: Mapping[str, str]) -> None:
    """Runs a file in this process, with variables beside its own."""
    os.environ.update(variables)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


def _run(script: str, arguments: list[str], variables: Mapping[str, str]) -> None:
    os.environ.clear()  # they are those of the first process that was asked for
    run(script, arguments, variables)
