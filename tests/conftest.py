"""What several files of tests share."""

from __future__ import annotations

import contextlib
import os

import hypothesis
import pytest

import left_out
from intriguing import data
from intriguing.data import manifest
from intriguing.models import training
from intriguing.press import nursery, publishing, running

BROWSER = 100
"""Seconds that the pages take in a browser, about."""

# The examples of a test are the same in every run, so that a failure says something of the change before it.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")

COPYING = pytest.StashKey[contextlib.ExitStack]()


def pytest_configure(config):
    """Has every kernel copied from a process that has imported PyTorch once, where one thread is asked for.

    The processes of the tests, which start after this, keep memory for the next search, as that one does.
    """
    for name, value in nursery.MEMORY.items():
        os.environ.setdefault(name, value)
    config.stash[COPYING] = contextlib.ExitStack()
    config.stash[COPYING].enter_context(nursery.kernels_are_copied(os.environ.get("OMP_NUM_THREADS") == "1"))


def pytest_unconfigure(config):
    """Ends that process."""
    config.stash[COPYING].close()


def pytest_terminal_summary(terminalreporter, config):
    """Says in one line which chapters this run did not execute again, and why."""
    executed = bool(config.getoption("--nbval", False) or config.getoption("--nbval-lax", False))
    chapters = [path.stem for path in publishing.chapters(publishing.repository())]
    terminalreporter.write_line(left_out.summary(manifest.looked_in("imagenet"), chapters, executed))


def pytest_collection_modifyitems(items):
    """Puts the longest files first, so that no process is left with one at the end, and gives outputs time to come.

    nbval waits five seconds for the outputs of a cell that is done, which a busy computer may exceed, and has no option
    for it.
    """
    seconds = {"test_site": BROWSER, **running.stored_seconds("quick")}
    for item in items:
        if item.path.suffix == ".ipynb":
            item.output_timeout = 120
    items.sort(key=lambda item: -seconds.get(item.path.stem, 0))


@pytest.fixture(scope="session")
def brief(tmp_path_factory):
    """The 5,000 digits, and two networks trained on them so briefly that a test can wait: linear and sigmoid."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the processes of one session train them once
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTRIGUING_CACHE", str(folder / "brief"))
        patch.setenv("INTRIGUING_PROFILE", "quick")
        patch.setenv("INTRIGUING_DEVICE", "cpu")
        sets = data.mnist()
        models = {
            name: training.trained(name, sets.train, max_iterations=cap).model
            for name, cap in (("FC10(1e-2)", 30), ("FC100-100-10", 25))
        }
    return sets, models
