"""The list of all pages beside every page, found once: from page to page only the addresses and the marks change.

Sphinx puts it together anew for each page, from everything that every page holds, each function of the reference among
it, and then drops all but the titles.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment.adapters.toctree import global_toctree_for_doc
from sphinx.util import url_re
from sphinx.util.osutil import relative_uri


def moved(tree: nodes.Element, home: str, page: str) -> nodes.Element:
    """Returns a list of pages as it stands on another one.

    Args:
        tree: The list as it stands on one page, which is not on it.
        home: The address of that page from the root of the site.
        page: The address of the other one; what leads there is marked as current, as Sphinx does it.
    """
    tree = tree.deepcopy()
    for link in tree.findall(nodes.reference):
        if url_re.match(link["refuri"]):
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(home), link["refuri"]))
        link["refuri"] = relative_uri(page, target)
        branch = link if target == page else None
        while branch is not None:
            branch["classes"].append("current")
            branch = branch.parent
    return tree


def found_once() -> Callable[..., None]:
    """Returns a listener that gives each page the list found for the first one."""
    kept: dict[tuple, nodes.Element | None] = {}

    def page_context(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document) -> None:
        builder, home = app.builder, app.config.root_doc

        def contents(**options: object) -> str:
            options = {"includehidden": False, "collapse": True} | options
            if options["collapse"]:  # then it differs from page to page
                return anew(**options)
            key = tuple(sorted(options.items()))
            if key not in kept:
                kept[key] = global_toctree_for_doc(app.env, home, builder, **options)
            tree = kept[key] and moved(kept[key], builder.get_target_uri(home), builder.get_target_uri(pagename))
            return builder.render_partial(tree)["fragment"]

        anew = context.get("toctree")
        context["toctree"] = contents

    return page_context


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", found_once())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
