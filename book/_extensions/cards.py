"""What a page says of itself to those who link to it: Open Graph, and the title under which it is cited.

Addresses have to be whole there, so they are given only where the setting ``html_baseurl`` holds the public one.
"""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes

LENGTH = 200
"""Characters of a description at most."""

IMAGE = "_static/card.png"


def description(doctree: nodes.Node | None) -> str:
    """Returns the beginning of the first paragraph of a page, cut after a word; empty where there is none."""
    for paragraph in [] if doctree is None else doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if len(text) > LENGTH:
            text = text[:LENGTH].rsplit(" ", 1)[0] + " …"
        if text:
            return text
    return ""


def tags(title: str, about: str, project: str, page: str, base: str) -> str:
    """Returns the tags of one page.

    Args:
        title: Of the page.
        about: Its description.
        project: The title of the book.
        page: The page's address within the book.
        base: The public address of the book; empty for none.
    """
    named = {"og:type": "article", "og:site_name": project, "og:title": title, "og:description": about}
    if base:
        base = base.rstrip("/")
        named |= {"og:url": f"{base}/{page}", "og:image": f"{base}/{IMAGE}"}
    lines = [f'<meta property="{name}" content="{html.escape(value)}" />' for name, value in named.items() if value]
    lines.append(f'<meta name="citation_title" content="{html.escape(title)}" />')
    lines.append(f'<meta name="citation_inbook_title" content="{html.escape(project)}" />')
    if about:
        lines.append(f'<meta name="description" content="{html.escape(about)}" />')
    return "\n".join(lines) + "\n"


def add(app: Any, page: str, template: str, context: dict[str, Any], doctree: nodes.Node | None) -> None:
    """Puts the tags into the head of a page that was written by hand."""
    if doctree is None:
        return
    heading = doctree.next_node(nodes.title)
    title = heading.astext() if heading is not None else ""
    project = app.config.html_title or app.config.project
    made = tags(
        title or project, description(doctree), project, app.builder.get_target_uri(page), app.config.html_baseurl
    )
    context["metatags"] = context.get("metatags", "") + made


def setup(app) -> dict:
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
