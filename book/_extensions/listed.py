"""The bibliography as a list whose entries a screen reader can count: docutils gives them a role that no list knows."""

from __future__ import annotations

from typing import Any


def listed(body: str) -> str:
    """Returns the HTML of a page with the entries of its bibliography as items of a list."""
    return body.replace('role="doc-biblioentry"', 'role="listitem"')


def mark(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Corrects the roles on a page that has a bibliography."""
    if "body" in context:
        context["body"] = listed(context["body"])


def setup(app) -> dict:
    app.connect("html-page-context", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
