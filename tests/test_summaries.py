"""The list at the head of a module's documentation."""

import sys
from types import ModuleType

import pytest
from docutils import nodes
from sphinx import addnodes

from extensions import FOLDER, extension


@pytest.fixture
def summaries(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield extension("summaries")
    sys.modules.pop("plain_docstrings", None)


SOURCE = '''
from pathlib import Path

SIZE = 3

class Shape:
    """A shape (B, *shape)
    of images.

    More on it.
    """

def area(shape):
    """Its area."""

def _hidden():
    """Nobody's business."""

def bare():
    pass
'''


def made(source: str) -> ModuleType:
    module = ModuleType("shapes")
    exec(source, vars(module))
    return module


def test_public_names_stand_in_their_order_with_their_first_sentence(summaries):
    assert summaries.summary(made(SOURCE)) == [
        "",
        r"* :py:class:`~shapes.Shape`: A shape (B, \*shape) of images.",
        "* :py:func:`~shapes.area`: Its area.",
        "",
    ]


def test_one_name_needs_no_list_and_only_modules_with_members_get_one(summaries):
    assert summaries.summary(made('def one():\n    """One."""')) == []
    for what, options, longer in (("module", {"members": True}, True), ("module", {}, False), ("class", {}, False)):
        lines = ["Words."]
        summaries.add(None, what, "shapes", made(SOURCE), options, lines)
        assert (len(lines) > 1) == longer


def test_a_value_that_would_fill_the_page_is_left_out_and_a_short_one_is_not(summaries):
    page = nodes.document(None, None)
    for value in ("3", "x" * 300):
        shown = addnodes.desc_annotation("", "", nodes.Text(f" = {value}"))
        page += addnodes.desc_signature("", "", addnodes.desc_name("", "SIZE"), shown)
    summaries.leave_out(None, page)
    assert [signature.astext() for signature in page] == ["SIZE = 3", "SIZE = …"]
