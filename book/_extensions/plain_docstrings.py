"""Lets the package's docstrings be plain text: a star, a bar, a colon or a point in a sentence is only that.

reStructuredText would read ``(B, *shape)`` as the beginning of an emphasis, ``|r|`` as a substitution and ``k.`` as the
head of a list, and napoleon would take what stands before the first colon of a constant's description for its type.
"""

from __future__ import annotations

import re

# A star before a list item, code and references between backquotes, and *words* that are meant to stand out.
_LEFT_ALONE = re.compile(r"(^\s*\* |``.+?``|:[\w:]+:`[^`]+`|`[^`]+`_?|(?<![\w*])\*\w(?:[^*]*\w)?\*(?![\w*]))")
_COLON = "\x1f"
# An argument whose description begins with a letter and a point.
_LIST = re.compile(r"^(\s+\w+: [A-Za-z])\.(?=\s|$)")


def escape(line: str) -> str:
    """Returns a line of a docstring with its stars and bars escaped wherever they are no markup, and arrows as one."""
    parts = _LEFT_ALONE.split(line)
    plain = (part.replace(" -> ", " → ") for part in parts[::2])
    parts[::2] = (re.sub(r"(?<!\\)([*|])", r"\\\1", part) for part in plain)
    return "".join(parts)


def before_napoleon(app, what, name, obj, options, lines) -> None:
    lines[:] = [_LIST.sub(r"\1\\.", escape(line)) for line in lines]
    if what in ("attribute", "data", "property"):
        lines[:] = [line.replace(": ", _COLON) for line in lines]


def after_napoleon(app, what, name, obj, options, lines) -> None:
    lines[:] = [line.replace(_COLON, ": ") for line in lines]


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
