"""Cells in which a reader tries an answer: run by themselves, against the stored runs of the profile of the page.

Such a cell needs nothing of its page and no other cell needs it, so it can be added, changed or brought up to new
results without the page being run again.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager

from nbformat import NotebookNode
from nbformat.v4 import new_output

from intriguing.press import publishing


def fill(notebook: NotebookNode) -> None:
    """Runs the cells for trying of a page, in place, and stamps them; a page that was never run is left as it is.

    A cell that is new gets the number that it would have in a run, and those below it move up by one.

    Args:
        notebook: As :func:`intriguing.press.publishing.read` returns it.
    """
    stamp = notebook.metadata.get(publishing.STAMP)
    if not stamp:
        return
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for place, cell in enumerate(code):
        if not publishing.is_apart(cell):
            continue
        if cell.execution_count is None:
            before = [other.execution_count or 0 for other in code[:place]]
            _count(cell, max(before, default=0) + 1)
            for other in code[place + 1 :]:
                if other.execution_count is not None:
                    _count(other, other.execution_count + 1)
        with _profile(stamp["profile"]):
            cell.outputs = [outcome(cell.source, cell.execution_count)]
        cell.metadata[publishing.STAMP] = NotebookNode(
            source=publishing.source_hash(cell), outputs=publishing.outputs_hash(cell)
        )


def outcome(source: str, count: int) -> NotebookNode:
    """Returns what a kernel shows as the value of a cell that stands by itself.

    Args:
        source: Python; its last statement is an expression whose value can be shown as HTML.
        count: The number of the cell.

    Raises:
        ValueError: The last statement is no expression.
    """
    body = ast.parse(source).body
    if not body or not isinstance(body[-1], ast.Expr):
        raise ValueError(f"got {source!r}; expected a last line with a value; end the cell with the answer.")
    names: dict[str, object] = {}
    exec(compile(ast.Module(body[:-1], []), "<a cell for trying>", "exec"), names)
    shown = eval(compile(ast.Expression(body[-1].value), "<a cell for trying>", "eval"), names)
    return new_output(
        "execute_result", data={"text/html": shown._repr_html_(), "text/plain": repr(shown)}, execution_count=count
    )


def _count(cell: NotebookNode, number: int) -> None:
    cell.execution_count = number
    for output in cell.outputs:
        if "execution_count" in output:
            output.execution_count = number


@contextmanager
def _profile(name: str) -> Iterator[None]:
    before = os.environ.get("INTRIGUING_PROFILE")
    os.environ["INTRIGUING_PROFILE"] = name
    try:
        yield
    finally:
        del os.environ["INTRIGUING_PROFILE"]
        if before is not None:
            os.environ["INTRIGUING_PROFILE"] = before
