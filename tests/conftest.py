"""What several files of tests share."""

from __future__ import annotations

import pytest

import left_out
from intriguing import data, photographs, publishing, training


def pytest_terminal_summary(terminalreporter, config):
    """Says in one line which chapters this run did not execute again, and why."""
    executed = bool(config.getoption("--nbval", False) or config.getoption("--nbval-lax", False))
    chapters = [path.stem for path in publishing.chapters(publishing.repository())]
    terminalreporter.write_line(left_out.summary(photographs._folders(), chapters, executed))


@pytest.fixture(scope="session")
def brief(tmp_path_factory):
    """The 5,000 digits, and two networks trained on them so briefly that a test can wait: linear and sigmoid."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTRIGUING_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("INTRIGUING_PROFILE", "quick")
        patch.setenv("INTRIGUING_DEVICE", "cpu")
        sets = data.mnist()
        models = {
            name: training.trained(name, sets.train, max_iterations=cap).model
            for name, cap in (("FC10(1e-2)", 30), ("FC100-100-10", 25))
        }
    return sets, models
