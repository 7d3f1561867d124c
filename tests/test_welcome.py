"""The first page: what it says is what the stored runs say, and its figure shows what networks read."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
import yaml
from docutils import nodes

from extensions import extension
from intriguing.press import twins, welcome

ROOT = Path(__file__).resolve().parent.parent


def test_pages_say_what_the_stored_runs_say():
    assert welcome.stale(ROOT) == [], "run `make welcome`"


@pytest.mark.parametrize(("page", "parts"), [("README.md", ["summary"]), ("book/welcome.md", ["findings", "summary"])])
def test_pages_have_a_place_for_what_is_generated(page, parts):
    text = (ROOT / page).read_text(encoding="utf-8")
    for part in parts:
        inside = re.search(rf"^<!-- {part} -->\n(.*?)^<!-- /{part} -->$", text, re.M | re.S)
        assert inside and len(inside[1]) > 300
        assert all(len(line) <= 120 or "](" in line for line in inside[1].splitlines())
        # A percent sign at the beginning of a line would hide the line.
        assert not re.search(r"^\s*%", inside[1], re.M)


def test_only_what_stands_between_markers_is_written_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(welcome, "_PARTS", {"summary": lambda folder: f"* one 50 % of {folder}\n\ntwo"})
    page = "before\n<!-- summary -->\nold\n<!-- /summary -->\nafter <!-- summary --> as before\n"
    (tmp_path / "README.md").write_text(page)
    assert welcome.stale(tmp_path) == welcome.refresh(tmp_path) == ["README.md"]
    new = "\n* one 50\u00a0% of notebooks/\n\ntwo\n\n"
    assert (tmp_path / "README.md").read_text() == page.replace("old\n", new)
    assert welcome.refresh(tmp_path) == [] == list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("page", ["<!-- summary -->\nold\n", "old\n<!-- /summary -->\n"])
def test_a_marker_that_stands_alone_is_told(monkeypatch, tmp_path, page):
    monkeypatch.setattr(welcome, "_PARTS", {"summary": lambda folder: "new"})
    (tmp_path / "README.md").write_text(page)
    with pytest.raises(ValueError, match="got a page with the markers .*; put back what is missing"):
        welcome.refresh(tmp_path)
    assert (tmp_path / "README.md").read_text() == page


def pair(label, read, others):
    image = torch.zeros(784)
    image[label] = 1
    twin = image.clone()
    twin[100], twin[label] = 0.5, 0.75
    return twins.Twin(image, twin, label, 0.02, {"A": read, "<B>": others})


def test_the_figure_says_who_reads_what():
    drawn = twins.draw([pair(3, 8, 3), pair(5, 6, 1)])
    assert drawn.count('class="twins-one"') == 2 and drawn.count("<img ") == 6
    assert "<tr><th scope='row'>&lt;B&gt;</th><td>3</td><td><b>1</b></td></tr>" in drawn
    assert "misread 1 of 2." in drawn and "magnified 2.0 times" in drawn and "of 0.020 per pixel" in drawn
    with pytest.raises(ValueError, match="got no twin"):
        twins.draw([])


def test_a_step_is_orange_where_the_twin_is_brighter():
    step = torch.zeros(784)
    step[0], step[1] = 1, -0.5
    coloured = twins._coloured(step)
    assert [coloured.getpixel((x, 0)) for x in range(3)] == [
        (*twins.BRIGHTER, 255),
        (*twins.DARKER, 128),
        (0, 0, 0, 0),
    ]


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.open = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "input":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_figure_in_the_tree_is_light_and_described():
    text = (ROOT / twins.FIGURE).read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == [] and len(reader.images) == 3 * twins.SHOWN and len(text) < 60_000
    assert all(image["alt"] and image["src"].startswith("data:image/png;base64,") for image in reader.images)
    assert all(f"<th scope='row'>{name}</th>" in text for name in twins.READERS)
    # The network that the twins are made for misreads each of them.
    digits = re.findall(r"<th scope='col'>(\d)</th>", text)
    own = re.search(rf"<th scope='row'>{re.escape(twins.MADE_FOR)}</th>(.*?)</tr>", text)[1]
    assert re.findall(r"<td><b>(\d)</b></td>", own) == re.findall(r'twins-after">reads (\d)', text)
    assert len(digits) == len(re.findall("<b>", own)) == twins.SHOWN


def test_the_figure_stands_still_for_those_who_want_it():
    style = (ROOT / "book" / "_static" / "custom.css").read_text(encoding="utf-8")
    still = style[style.index("@media (prefers-reduced-motion: reduce)") :]
    assert "animation: none; opacity: 1" in still[: still.index("}\n}")]


def test_the_card_has_the_size_that_links_ask_for():
    file = (ROOT / twins.CARD).read_bytes()
    assert file[:8] == b"\x89PNG\r\n\x1a\n" and len(file) < 100_000
    assert (int.from_bytes(file[16:20]), int.from_bytes(file[20:24])) == (1200, 630)


def test_tags_name_the_page_and_addresses_only_where_they_are_known():
    cards = extension("cards")
    made = cards.tags('A "title"', "About.", "The book", "page.html", "")
    assert '<meta property="og:title" content="A &quot;title&quot;" />' in made and "og:url" not in made
    made = cards.tags("T", "", "The book", "page.html", "https://example.org/book/")
    assert 'content="https://example.org/book/page.html"' in made and "_static/card.png" in made
    assert "description" not in made


def test_a_description_is_cut_after_a_word():
    cards = extension("cards")
    page = nodes.section("", nodes.title("", "Title"), nodes.paragraph("", "word " * 100))
    text = cards.description(page)
    assert len(text) <= cards.LENGTH + 2 and text.endswith("word …")
    assert cards.description(None) == ""


def test_minutes_are_those_of_the_prose():
    reading = extension("reading_path")
    text = "---\nkernel: one\n---\n" + "word " * 390 + "\n```{code-cell}\n" + "x = 1\n" * 500 + "```\n" + "word " * 10
    assert reading.minutes(text) == 2
    lines = reading.lines(ROOT, ["transfer", "units"])
    assert lines[0].startswith("1. [](../notebooks/transfer.ipynb), ") and lines[-1].startswith("Together ")


def test_the_book_is_cited_as_it_is_named_and_counted():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    page = (ROOT / "book" / "citing.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"{{{cited['title']}}}" in page and f"{{{cited['version']}}}" in page
    assert f'version = "{cited["version"]}"' in project
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"{{{cited['date-released']}}}" in page and f"## {cited['version']}, {cited['date-released']}" in log
    for author in cited["references"][0]["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in page
