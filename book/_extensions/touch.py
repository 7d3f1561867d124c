"""A figure that a reader touches: ``{touch} name`` puts one of ``intriguing.press.touch`` on the page."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from intriguing.press.touch import figures, study


class Touch(Directive):
    """``{touch} path``: the figure of that name; where a page is no HTML it is left out."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        environment = self.state.document.settings.env
        root = Path(environment.srcdir)
        environment.note_dependency(str(root / study.PLACE))
        try:
            return [nodes.raw("", figures.figure(self.arguments[0], root), format="html")]
        except ValueError as problem:
            raise self.error(str(problem)) from None


def setup(app: Sphinx) -> dict:
    app.add_directive("touch", Touch)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
