"""A list of what a module offers at the head of its documentation: each name with the first sentence on it.

The value of a constant is left out where it would fill the page, and what would be said twice is said once: the fields
of a class, which are what it is made from, the fields of a tuple, of which Python says no more than their places, and
those that a function of Python stands in for, which would say what that function does.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import BuiltinFunctionType, ModuleType

from docutils import nodes
from plain_docstrings import escape
from sphinx import addnodes
from sphinx.application import Sphinx

LONGEST = 200
"""Letters that the value of a constant may have to be shown."""


def offered(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    """Yields role, name and first sentence of every public function and class that a module defines, in its order."""
    for name, thing in vars(module).items():
        kind = "class" if inspect.isclass(thing) else "func" if inspect.isfunction(thing) else ""
        if not kind or name.startswith("_") or thing.__module__ != module.__name__ or not thing.__doc__:
            continue
        yield kind, name, " ".join(inspect.cleandoc(thing.__doc__).split("\n\n")[0].split())


def summary(module: ModuleType) -> list[str]:
    """Returns the list in reStructuredText; nothing where a module offers less than two names."""
    found = list(offered(module))
    if len(found) < 2:
        return []
    return ["", *(f"* :py:{kind}:`~{module.__name__}.{name}`: {escape(text)}" for kind, name, text in found), ""]


def add(app: Sphinx, what: str, name: str, obj: object, options: dict, lines: list[str]) -> None:
    """Puts the list below the words on a module whose members are documented."""
    if what == "module" and options.get("members"):
        lines += summary(obj)


def leave_out(app: Sphinx, page: nodes.document) -> None:
    """Puts a mark in the place of each value that is too long."""
    for signature in page.findall(addnodes.desc_signature):
        for value in signature.findall(addnodes.desc_annotation):
            if value.astext().lstrip().startswith("=") and len(value.astext()) > LONGEST:
                value.children = []
                value += nodes.Text(" = …")


def entries(field: nodes.field) -> dict[str, bool]:
    """Returns the names that a list of parameters or variables holds, and whether each is described."""
    items = list(field.findall(nodes.list_item)) or [field.children[1]]
    named = [(item.next_node(addnodes.literal_strong), item.astext()) for item in items]
    return {name.astext(): " – " in text for name, text in named if name is not None}


def say_once(app: Sphinx, page: nodes.document) -> None:
    """Takes the parameters of a class away where they are its variables and nothing else is said of them."""
    for fields in page.findall(nodes.field_list):
        found = {field.children[0].astext(): field for field in fields.children}
        if not {"Variables", "Parameters"} <= found.keys():
            continue
        parameters = entries(found["Parameters"])
        if not any(parameters.values()) and parameters.keys() <= entries(found["Variables"]).keys():
            fields.remove(found["Parameters"])


def skip_places(app: Sphinx, what: str, name: str, thing: object, skip: bool, options: dict) -> bool | None:
    """Skips the field of a named tuple of which only its number is known, or whose default is a function of Python."""
    if what == "class" and isinstance(thing, BuiltinFunctionType):
        return True
    said = getattr(thing, "__doc__", None)
    return True if isinstance(said, str) and said.startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", leave_out)
    app.connect("doctree-read", say_once)
    app.connect("autodoc-skip-member", skip_places)
    app.connect("autodoc-process-docstring", add, priority=700)  # once everything else has read the docstring
    return {"parallel_read_safe": True, "parallel_write_safe": True}
