"""The list of pages that is found once and moved from page to page, against the one that Sphinx finds anew."""

from __future__ import annotations

import pytest
from sphinx.application import Sphinx
from sphinx.environment.adapters.toctree import global_toctree_for_doc
from sphinx.util.docutils import docutils_namespace

from extensions import extension

contents = extension("contents")

PAGES = {
    "home/start": "Start\n=====\n\n.. toctree::\n   :caption: One\n\n   /far/a\n   elsewhere <https://example.org/x>\n\n"
    ".. toctree::\n   :caption: Two\n   :hidden:\n\n   /near\n",
    "far/a": "A\n=\n\nPart\n----\n\n.. toctree::\n\n   deep/b\n",
    "far/deep/b": "B\n=\n",
    "near": "Near\n====\n",
}
OPTIONS = {"collapse": False, "includehidden": True, "maxdepth": 4, "titles_only": True}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("site")
    for name, text in PAGES.items():
        path = folder / f"{name}.rst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    with docutils_namespace():
        output = folder / "_build"
        made = Sphinx(
            folder, None, output, output / "doctrees", "html", {"root_doc": "home/start"}, status=None, warning=None
        )
        made.build(force_all=True)
        yield made


@pytest.mark.parametrize("page", [*PAGES, "genindex"])
def test_the_moved_list_is_the_one_that_sphinx_finds(app: Sphinx, page: str) -> None:
    context = {}
    contents.found_once()(app, page, "page.html", context, None)
    anew = app.builder.render_partial(global_toctree_for_doc(app.env, page, app.builder, **OPTIONS))["fragment"]
    assert context["toctree"](**OPTIONS) == anew
    assert anew.count("<a ") == 4 and ("current" in anew) == (page in list(PAGES)[1:])


def test_it_is_found_once_for_all_pages(app: Sphinx, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(contents, "global_toctree_for_doc", lambda *given, **options: asked.append(given[1]))
    listener, shown = contents.found_once(), []
    for page in PAGES:
        context = {"toctree": lambda **options: "anew"}
        listener(app, page, "page.html", context, None)
        shown.append(context["toctree"](**OPTIONS))
        assert context["toctree"](maxdepth=1) == "anew", "a collapsed list differs from page to page"
    assert asked == ["home/start"] and shown == [""] * len(PAGES)
