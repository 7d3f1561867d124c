"""Pages read and written by as many processes as there are cores; Jupyter Book knows no option for it.

Sphinx copies itself for each share of the pages and puts together what the copies learned. It does so only if every
extension says that it stands that. Two are silent: one copies files when all is done, the other counts chapters once
all pages are read. Only the site is made so; the book as one file is written by one process in any case.
"""

from __future__ import annotations

import gc
import sys

from sphinx.application import Sphinx

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


def setup(app: Sphinx) -> dict:
    gc.set_threshold(100_000, 20, 50)  # trees of pages live long; looking through them for rubbish finds none
    app.connect("builder-inited", share)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
