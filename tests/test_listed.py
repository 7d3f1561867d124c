"""Entries of the bibliography are items of a list."""

from __future__ import annotations

from extensions import extension

listed = extension("listed")


def test_entries_are_items_of_their_list() -> None:
    context = {"body": '<div role="list"><div class="citation" id="a" role="doc-biblioentry">A</div></div>'}
    listed.mark(None, "book/references", "page.html", context, None)
    assert context["body"] == '<div role="list"><div class="citation" id="a" role="listitem">A</div></div>'


def test_a_page_without_a_text_stays_as_it_is() -> None:
    context = {"title": "Index"}
    listed.mark(None, "genindex", "genindex.html", context, None)
    assert context == {"title": "Index"}
