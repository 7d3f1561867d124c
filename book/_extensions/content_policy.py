"""A content security policy on every page: a script runs only if this book brought it.

Scripts come from the site's own files, or stand in the page and are named by the hash of their text; handlers such as
the ``oninput`` of a slider are named in the same way. Anything else, written into a page later or fetched from another
host, is refused by the browser. The policy is a ``meta`` element, because the pages also have to work from any server
and from a folder. Styles may stand in a page: MathJax writes those that a formula needs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from pathlib import Path

from sphinx.application import Sphinx

_SCRIPT = re.compile(r"<script(?P<attributes>(?:\s[^>]*)?)>(?P<text>.*?)</script\s*>", re.S | re.I)
_HANDLER = re.compile(r"""\son[a-z]+=(?:"([^"]*)"|'([^']*)')""", re.S | re.I)
_CHARSET = re.compile(r'<meta charset="utf-8"\s*/?>', re.I)


def fingerprint(text: str) -> str:
    """Returns the source expression that names a piece of script by its hash."""
    digest = hashlib.sha256(text.replace("\r\n", "\n").replace("\r", "\n").encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def inline(page: str) -> tuple[set[str], set[str]]:
    """Returns the scripts and the handlers that stand in a page, as the browser will read them."""
    scripts = {m["text"] for m in _SCRIPT.finditer(page) if not re.search(r"\ssrc\s*=", m["attributes"], re.I)}
    # Handlers are looked for outside of scripts, where a quotation mark is only a character.
    markup = _SCRIPT.sub("", page)
    handlers = {html.unescape(double or single) for double, single in _HANDLER.findall(markup)}
    return {text for text in scripts if text.strip()}, handlers


def policy(scripts: Iterable[str], handlers: Iterable[str]) -> str:
    """Returns the policy of a page with these scripts and handlers."""
    allowed = sorted(map(fingerprint, scripts))
    handled = sorted(map(fingerprint, handlers))
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src", "'self'", *allowed, *(["'unsafe-hashes'", *handled] if handled else [])]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "form-action 'self'",
            "base-uri 'none'",
        ]
    )


def protect(page: str) -> str:
    """Returns a page with its policy, which has to stand before the first script."""
    element = f'<meta http-equiv="Content-Security-Policy" content="{policy(*inline(page))}"/>'
    protected, count = _CHARSET.subn(lambda found: f"{found[0]}\n{element}", page, count=1)
    # The page that only leads to the first one has no head; the browser makes one of what stands at its beginning.
    return protected if count else f'<meta charset="utf-8"/>\n{element}\n{page}'


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Puts the policy into every page that was written."""
    if problem is not None or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*.html")):
        if "_static" in path.relative_to(app.outdir).parts:
            continue
        page = path.read_text(encoding="utf-8")
        if 'http-equiv="Content-Security-Policy"' not in page:
            path.write_text(protect(page), encoding="utf-8", newline="\n")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
