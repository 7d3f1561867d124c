"""The list at the head of a module's documentation."""

import sys
from types import BuiltinFunctionType, ModuleType
from typing import NamedTuple

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


def listed(title: str, **entries: str) -> nodes.field:
    items = [
        nodes.list_item("", nodes.paragraph("", "", addnodes.literal_strong("", key), nodes.Text(words)))
        for key, words in entries.items()
    ]
    body = nodes.bullet_list("", *items) if len(items) > 1 else nodes.paragraph("", "", *items[0].children[0].children)
    return nodes.field("", nodes.field_name("", title), nodes.field_body("", body))


@pytest.mark.parametrize(
    ("parameters", "stays"),
    [
        ({"size": " (int)"}, False),
        ({"size": " (int)", "name": " (str)"}, False),
        ({"size": " (int) – in pixels"}, True),
        ({"size": " (int)", "seed": " (int)"}, True),
    ],
)
def test_parameters_that_only_repeat_the_variables_are_taken_away(summaries, parameters, stays):
    page = nodes.document(None, None)
    page += nodes.field_list("", listed("Variables", size=" (int) – of a side", name=" (str) – shown"))
    page[0] += listed("Parameters", **parameters)
    summaries.say_once(None, page)
    assert ("Parameters" in [field[0].astext() for field in page[0]]) == stays
    assert page[0][0][0].astext() == "Variables"


def test_a_field_of_which_only_the_place_is_known_is_skipped(summaries):
    class Pair(NamedTuple):
        left: int

    assert summaries.skip_places(None, "class", "left", Pair.left, False, {}) is True
    assert summaries.skip_places(None, "class", "count", Pair.count, False, {}) is None
    assert summaries.skip_places(None, "class", "say", print, False, {}) is True
    assert summaries.skip_places(None, "class", "kind", BuiltinFunctionType, False, {}) is None  # says it as no text
