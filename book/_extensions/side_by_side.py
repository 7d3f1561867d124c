"""Pages read and written by as many processes as there are cores; Jupyter Book knows no option for it.

Sphinx copies itself for each share of the pages and puts together what the copies learned. It does so only if every
extension says that it stands that. Two are silent: one copies files when all is done, the other counts chapters once
all pages are read.
"""

from __future__ import annotations

import gc
import sys

from sphinx.application import Sphinx

from intriguing.press.running import usable_cores

SILENT = ("sphinx-mathjax-offline", "sphinx_multitoc_numbering")
"""Extensions that do not say whether they stand it, and do."""


def answer(app: Sphinx) -> None:
    """Says it for those that are silent."""
    for name in SILENT:
        if name in app.extensions and app.extensions[name].parallel_read_safe is None:
            app.extensions[name].parallel_read_safe = True


def setup(app: Sphinx) -> dict:
    if sys.platform == "linux":  # elsewhere a copy of a process that has loaded PyTorch may not run
        app.parallel = usable_cores()
    gc.set_threshold(100_000, 20, 50)  # trees of pages live long; looking through them for rubbish finds none
    app.connect("builder-inited", answer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
