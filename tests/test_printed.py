"""The book as one file: what stands as HTML on a page is set in print."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from sphinx import addnodes

from extensions import extension

PNG = base64.b64encode(b"a picture").decode()


@pytest.fixture(scope="module")
def printed():
    return extension("printed")


STYLED = """<style>th {color: red}</style><table><thead>
<tr><th>&nbsp;</th><th colspan="2">error of $f$</th></tr><tr><th>network</th><th>ours</th><th>paper's</th></tr>
</thead><tbody><tr><th>FC10 &amp; more</th><td>0.1</td><td></td></tr></tbody></table>"""


def test_a_table_keeps_its_heads_its_spans_and_its_formulas(printed):
    [rows] = printed.read(STYLED).tables
    found = printed.table(rows)
    head, body = found.next_node(nodes.thead), found.next_node(nodes.tbody)
    assert [[entry.astext() for entry in row] for row in head] == [["", "error of f"], ["network", "ours", "paper's"]]
    assert [[entry.astext() for entry in row] for row in body] == [["FC10 & more", "0.1", ""]]
    assert head[0][1]["morecols"] == 1 and found.next_node(nodes.tgroup)["cols"] == 3
    assert head.next_node(nodes.math).astext() == "f"


def test_of_pictures_behind_a_slider_the_one_that_is_shown_is_taken(printed):
    page = (
        f'<div class="pages"><div hidden><div><img alt="no" src="data:image/png;base64,AAAA"></div></div>'
        f'<div><img alt="yes" src="data:image/png;base64,{PNG}"></div><div hidden><img alt="no" src="x"></div></div>'
    )
    assert printed.read(page).pictures == [(f"data:image/png;base64,{PNG}", "yes")]


def test_long_sentences_get_columns_whose_lines_break(printed):
    [rows] = printed.read(
        f"<table><tr><th>a</th><th>b</th></tr><tr><td>{'word ' * 40}</td><td>1</td></tr></table>"
    ).tables
    assert printed.widths(printed.table(rows)) == [printed.LONGEST, 4]


def transform(printed, tmp_path, *content):
    """The nodes after the transform, and the images that were registered."""
    section, images = nodes.section("", *content), []
    registry = SimpleNamespace(add_file=lambda *given: images.append(given))
    environment = SimpleNamespace(docname="page", doctreedir=tmp_path, images=registry)
    made = object.__new__(printed.Printed)
    made.document = SimpleNamespace(findall=section.findall, settings=SimpleNamespace(env=environment))
    made.run()
    return section, images


def test_output_becomes_tables_and_pictures_and_other_html_stays(printed, tmp_path):
    output = nodes.raw("", STYLED + f'<img alt="A" src="data:image/png;base64,{PNG}">', format="html")
    output["classes"] = ["output", "text_html"]
    wide = "".join(f"<td>{'x' * 50}</td>" for _ in range(2))
    other = nodes.raw("", f"<table><tr>{wide}</tr></table>", format="html", classes=["output"])
    button = nodes.raw("", "<button>", format="html")
    section, images = transform(printed, tmp_path, output, other, button)
    assert [type(node) for node in section] == [nodes.table, nodes.image, nodes.table, nodes.raw]
    assert Path(section[1]["uri"]).read_bytes() == b"a picture" and section[1]["alt"] == "A"
    assert images == [("page", section[1]["uri"])]
    assert "colwidths-given" not in section[0]["classes"] and "colwidths-given" in section[2]["classes"]
    assert [column["colwidth"] for column in section[2].findall(nodes.colspec)] == [50, 50]


@pytest.mark.parametrize(("kind", "left"), [("latex", ["a"]), ("html", ["a", "book/api"])])
def test_the_reference_is_left_out_of_the_file_only(printed, kind, left):
    toctree = addnodes.toctree(entries=[(None, "a"), (None, "book/api")], includefiles=["a", "book/api"])
    app = SimpleNamespace(builder=SimpleNamespace(format=kind), env=SimpleNamespace(docname="b"))
    app.config = SimpleNamespace(root_doc="welcome")
    printed.shorten(app, nodes.section("", toctree))
    assert toctree["includefiles"] == left == [name for _, name in toctree["entries"]]


def test_each_page_is_a_chapter_below_its_part(printed):
    lists = [addnodes.toctree(caption=name, entries=[], includefiles=[]) for name in ("One", "Two")]
    emptied = nodes.section("", nodes.title("", "The chapters"), *(nodes.compound("", one) for one in lists))
    last = nodes.section("", nodes.title("", "Last"), nodes.paragraph("", "words"))
    page = nodes.document(None, None)
    page += nodes.section("", nodes.title("", "The book"), nodes.paragraph("", "begins"), emptied, last)
    app = SimpleNamespace(builder=SimpleNamespace(format="latex"), env=SimpleNamespace(docname="welcome"))
    app.config = SimpleNamespace(root_doc="welcome")
    printed.shorten(app, page)
    title, first, *rest = page[0]
    assert title.astext() == "The book"
    assert [part.astext() for part in first] == [printed.FIRST, "begins", "Last\n\nwords"]
    assert [node.astext() for node in rest[::2]] == [r"\part{One}", r"\part{Two}"]
    assert [node[0] for node in rest[1::2]] == lists
    assert not any("caption" in one for one in lists)  # the first would name the table of contents


def test_the_file_is_laid_beside_the_pages_once_it_was_made(printed, tmp_path):
    app = SimpleNamespace(outdir=tmp_path / "html", builder=SimpleNamespace(format="html"))
    app.outdir.mkdir()
    printed.finish(app, None)
    assert printed.made(app) is None and list(app.outdir.iterdir()) == []
    (tmp_path / "latex").mkdir()
    (tmp_path / "latex" / printed.FILE).write_bytes(b"%PDF")
    printed.finish(app, None)
    assert (app.outdir / printed.FILE).read_bytes() == b"%PDF"
