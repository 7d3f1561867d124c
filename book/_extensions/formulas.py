"""The program that sets formulas, a megabyte, goes to those pages alone that hold one.

Sphinx gives it also to a page that only lists others with formulas: to the first one.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def has_formulas(page: nodes.Node | None) -> bool:
    """Returns whether a page holds a formula of its own."""
    return page is not None and any(page.findall(lambda node: isinstance(node, nodes.math | nodes.math_block)))


def spare(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.Node | None) -> None:
    """Takes the program and its settings out of the scripts of a page that does not need them."""
    if not has_formulas(doctree):
        named = ("mathjax", "window.MathJax")
        context["script_files"] = [
            one
            for one in context["script_files"]
            if not any(name in f"{one.filename} {one.attributes.get('body')}" for name in named)
        ]


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", spare, priority=600)  # after Sphinx has put it in
    return {"parallel_read_safe": True, "parallel_write_safe": True}
