"""Links in code are made on the code alone: the rest of a page stays as it is, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from extensions import extension

pytest.importorskip("sphinx_codeautolink", reason="the packages that build the book are not installed")
code_links = extension("code_links")

BLOCK = (
    '<div class="highlight-ipython3 notranslate"><div class="highlight"><pre><span></span>'
    '<span class="n">{name}</span>\n'
    "</pre></div>\n</div>"
)
REST = "<p data-odd=one class='a'>&nbsp;<BR><script>let x = '<div>'</script></p>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "notebooks" / "some.html"
    path.parent.mkdir()
    path.write_text(REST + BLOCK.format(name="first") + REST + BLOCK.format(name="second") + REST, encoding="utf-8")
    return path


def test_code_is_linked_and_nothing_else_is_read(page: Path) -> None:
    seen = []

    def link(document: str, folder: str, transforms: list, *, loud: bool) -> None:
        path = Path(folder) / f"{document}.html"
        seen.append((path.read_text(encoding="utf-8"), transforms, loud))
        path.write_text(path.read_text(encoding="utf-8").replace("second", "<a>second</a>"), encoding="utf-8")

    code_links.on_code_alone(link)("notebooks/some", str(page.parent.parent), ["t"], loud=True)
    ((text, *rest),) = seen
    assert rest == [["t"], True] and REST not in text
    lines = [line for line in text.splitlines() if line.startswith("<div")]
    assert len(lines) == 2, "two blocks on one line would count as one"
    linked = BLOCK.format(name="<a>second</a>")
    assert page.read_text(encoding="utf-8") == REST + BLOCK.format(name="first") + REST + linked + REST


def test_the_real_links_lead_out_of_the_folder_of_the_page(page: Path) -> None:
    from sphinx_codeautolink.extension.block import SourceTransform, link_html
    from sphinx_codeautolink.parse import LinkContext, Name

    name = Name(["first"], "first", 1, 1, LinkContext.none, "room.first")
    transform = SourceTransform("first", [name], None, 1)
    found = {"room.first": "book/api.html#room.first"}
    code_links.on_code_alone(link_html)(
        "notebooks/some",
        str(page.parent.parent),
        [transform],
        found,
        {},
        [],
        builder_name="html",
        disable_link_titles=False,
    )
    text = page.read_text(encoding="utf-8")
    assert '<a class="sphinx-codeautolink-a" href="../book/api.html#room.first" title="room.first">' in text
    assert text.count("<a ") == 1 and text.count(REST) == 3
