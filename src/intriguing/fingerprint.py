"""Fingerprints of code: hashes that change with what the code does and not with how it is written down.

Comments, formatting and docstrings leave a fingerprint as it is. It is taken from the source text alone: no
module is imported for it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_PACKAGE = "intriguing"
_FOLDER = Path(__file__).resolve().parent


def of(*modules: str) -> str:
    """Returns one fingerprint for several modules of the package.

    Args:
        *modules: Names such as ``intriguing.models``, in any order.

    Returns:
        16 hexadecimal digits.

    Raises:
        ValueError: No module is named, or the package has no such module.
        SyntaxError: A module's source is not Python.
    """
    if not modules:
        raise ValueError("got no module; expected at least one name such as 'intriguing.models'.")
    lines = (f"{module} {of_text(_source(module))}\n" for module in sorted(set(modules)))
    return _short("".join(lines))


def of_text(source: str) -> str:
    """Returns the fingerprint of a piece of Python, for instance of a module or a cell.

    Args:
        source: The text.

    Returns:
        16 hexadecimal digits.

    Raises:
        SyntaxError: The text is not Python.
    """
    return _short(_described(ast.parse(source)))


def closure(modules: Iterable[str]) -> dict[str, str]:
    """Returns the fingerprints of modules and of all in the package that they import, however indirectly.

    The package's own ``__init__`` is left out: it holds the version and nothing that computes.

    Args:
        modules: Names such as ``intriguing.models``.

    Returns:
        Module names with their fingerprints, sorted by name.

    Raises:
        ValueError: The package has no such module.
        SyntaxError: A module's source is not Python.
    """
    waiting, found = list(modules), {}
    while waiting:
        module = waiting.pop()
        if module not in found:
            source = _source(module)
            found[module] = of_text(source)
            waiting.extend(imports(source))
    return dict(sorted(found.items()))


def imports(source: str) -> list[str]:
    """Returns the modules of the package that a piece of Python imports, wherever in it the import stands.

    Args:
        source: The text of a module of the package or of a cell.

    Returns:
        Names such as ``intriguing.models``, sorted.

    Raises:
        SyntaxError: The text is not Python.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The package is flat, so a relative import starts from the package itself.
            start = ".".join(filter(None, [_PACKAGE if node.level else "", node.module or ""]))
            names.add(start)
            names.update(f"{start}.{alias.name}" for alias in node.names)
    return sorted(name for name in names if name.startswith(f"{_PACKAGE}.") and _path(name).is_file())


def _path(module: str) -> Path:
    return _FOLDER / f"{module.removeprefix(f'{_PACKAGE}.')}.py"


def _source(module: str) -> str:
    path = _path(module)
    if not module.startswith(f"{_PACKAGE}.") or not path.is_file():
        raise ValueError(f"got module {module!r}; expected one of the package, such as 'intriguing.models'.")
    return path.read_text(encoding="utf-8")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _described(node: object) -> str:
    """Returns a text that is the same for all trees with the same meaning.

    ``ast.dump`` would not do: Python versions differ in the empty fields that they add and print.
    """
    if isinstance(node, ast.AST):
        fields = ", ".join(f"{name}={text}" for name, text in _fields(node))
        return f"{type(node).__name__}({fields})"
    if isinstance(node, list):
        return f"[{', '.join(_described(entry) for entry in node if not _idle(entry))}]"
    return f"{type(node).__name__} {node!r}"


def _fields(node: ast.AST) -> Iterator[tuple[str, str]]:
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.JoinedStr):
            # Some Python versions end the parts of an f-string with an empty one.
            value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
        # ctx follows from the place in the tree; kind tells u"" from "".
        if name not in ("ctx", "kind", "type_comment", "type_ignores"):
            text = _described(value)
            if value is not None and text != "[]" or isinstance(node, ast.Constant):
                yield name, text


def _idle(node: object) -> bool:
    """Tells whether a statement does nothing: a docstring, another string on its own, or ``pass``."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)
