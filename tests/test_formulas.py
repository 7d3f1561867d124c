"""The program that sets formulas is taken off the pages that hold none, and nothing else is."""

from types import SimpleNamespace

import pytest
from docutils import nodes

from extensions import extension

PROGRAM = SimpleNamespace(filename="mathjax/tex-chtml.js", attributes={"defer": "defer"})
SETTINGS = SimpleNamespace(filename=None, attributes={"body": "window.MathJax = {'tex': {}}"})
OTHERS = [
    SimpleNamespace(filename="_static/layout.js", attributes={}),
    SimpleNamespace(filename=None, attributes={"body": "const other = 1;"}),
]


@pytest.fixture(scope="module")
def formulas():
    return extension("formulas")


def page(*parts: nodes.Node) -> nodes.document:
    document = nodes.document(None, None)
    section = nodes.section()
    section += [nodes.title(text="A title"), *parts]
    document += section
    return document


def scripts(formulas, doctree: nodes.document | None) -> list[SimpleNamespace]:
    """What is left of the scripts of a page, in their order."""
    context = {"script_files": [OTHERS[0], SETTINGS, PROGRAM, OTHERS[1]], "title": "kept"}
    formulas.spare(None, "notebooks/page", "page.html", context, doctree)
    assert context["title"] == "kept"
    return context["script_files"]


def inline() -> nodes.Node:
    paragraph = nodes.paragraph(text="with ")
    paragraph += nodes.math(text="x + r")
    return paragraph


@pytest.mark.parametrize("formula", [inline(), nodes.math_block(text="f(x + r) = l")], ids=["inline", "displayed"])
def test_a_page_with_a_formula_keeps_every_script(formulas, formula):
    assert formulas.has_formulas(page(formula))
    assert scripts(formulas, page(formula)) == [OTHERS[0], SETTINGS, PROGRAM, OTHERS[1]]


def test_a_page_without_one_loses_the_program_and_its_settings_alone(formulas):
    words = page(nodes.paragraph(text="$x$ as it is typed, and math in words"))
    assert not formulas.has_formulas(words)
    assert scripts(formulas, words) == OTHERS


def test_a_page_that_only_lists_others_needs_no_program(formulas):
    assert not formulas.has_formulas(None)  # the index and the search have no text of their own
    assert scripts(formulas, None) == OTHERS


def test_it_comes_after_what_puts_the_program_in(formulas):
    heard = []
    said = formulas.setup(SimpleNamespace(connect=lambda *event, priority: heard.append((*event, priority))))
    assert heard == [("html-page-context", formulas.spare, 600)]  # Sphinx itself connects with 500
    assert said == {"parallel_read_safe": True, "parallel_write_safe": True}
