"""Fingerprints of code: hashes that change with what the code says, whatever it looks like and wherever it stands.

What a function, a class or a page rests on are definitions: the functions, classes and constants of the package that it
reaches by name, however indirectly. A definition counts by its meaning. Comments, formatting, docstrings and
annotations, the words of Python's common errors, the name of its module and the way in which it is imported leave it as
it is, so moving code is free. Another name of a local variable, or other words for the same, do count, and so do the
few annotations on which a dataclass or ``functools.singledispatch`` depends. All is read from the source text; no
module is imported for it. What cannot be followed in the text counts as reached: a name that is looked up in a module
at run time reaches all of the module, and ``eval`` all of the package.

Three things are not seen: what another package does, a name that a module is given from outside while the program
runs, and objects that are handed to a function as arguments; their weights and pixels belong into a key by
themselves. How fingerprints are taken, here and in :mod:`intriguing.book.sources`, changes no number of the book, so it
does not count either.
"""

from __future__ import annotations

import ast
import inspect
import sysconfig
import textwrap
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType

from intriguing.book import settings
from intriguing.book.sources import Definition, Module, Package, Reader, Text, Whole, read_package, short

_SHORT = 10  # hexadecimal digits of a definition in a stamp


def of(*definitions: Callable | type) -> str:
    """Returns one fingerprint for functions and classes and all that they reach.

    The sizes of the profile that is not in use are left out. A function or class from outside of the package, such as
    one of a notebook, counts with its source and with what it reaches of the package.

    Args:
        *definitions: Functions, classes, methods or partial functions, in any order.

    Returns:
        16 hexadecimal digits.

    Raises:
        ValueError: Nothing is given, or the source of an object cannot be found.
    """
    if not definitions:
        raise ValueError("got nothing; expected functions or classes; name those that compute.")
    package, roots, own = read_package(), [], {}
    for thing in definitions:
        roots += _located(package, thing, own)
    hashes = package.hashes(package.reached(roots, own), own, settings.unused())
    lines = {f"{key.name} {value}" for key, value in hashes.items()}
    return short("\n".join([*sorted(lines), *sorted({hashes[root] for root in roots if root in hashes})]))


def definitions(sources: Iterable[str], without: Iterable[str] = ()) -> dict[str, str]:
    """Returns what the cells of a page reach in the package.

    Args:
        sources: The code of the cells, in order; lines of IPython (``%``, ``!``) are passed over.
        without: Names of constants that play no part, see :func:`intriguing.book.settings.unused`.

    Returns:
        The name of each function, class, constant or file with its hash, sorted by name. Several of one name share an
        entry. What modules execute on being imported stands under ``statements``.
    """
    package, body, opaque = read_package(), [], False
    for source in sources:
        lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
        try:
            body += ast.parse("\n".join(lines)).body
        except SyntaxError:
            opaque = True
    page = Module(package, "", body, names=False)
    text = Reader(package, page).read(body)
    hashes = package.hashes(package.reached([Whole("")] if opaque else [], {}, text), {}, without)
    found: dict[str, set[str]] = {}
    for key, value in hashes.items():
        found.setdefault(key.name, set()).add(value[:_SHORT])
    return {name: " ".join(sorted(values)) for name, values in sorted(found.items())}


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Returns the names that are new, gone or different between two answers of :func:`definitions`, sorted."""
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def _located(package: Package, thing: object, own: dict[Definition, Text]) -> list[Definition]:
    """The definitions behind an object; those from outside of the package are added to ``own``."""
    if isinstance(thing, partial):
        own[key := Definition("", f"partial {thing.args!r} {thing.keywords!r}")] = Text((), frozenset())
        return [key, *_located(package, thing.func, own)]
    thing = inspect.unwrap(getattr(thing, "__func__", thing))
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    free = inspect.getclosurevars(thing).nonlocals if isinstance(thing, FunctionType) else {}
    if module in package.sources and name is not None:
        top = name.partition(".")[0]
        if top not in package.module(module).definitions:
            raise ValueError(f"got {name} of {module}; expected a definition in its source; name a function or class.")
        inner = (value for value in free.values() if isinstance(value, FunctionType | type) and _ours(value))
        return [Definition(module, top), *(root for value in inner for root in _located(package, value, own))]
    key = Definition("", str(name), id(thing))
    if key in own:
        return [key]
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    except (OSError, TypeError, SyntaxError) as problem:
        raise ValueError(
            f"got {thing!r}, whose source cannot be read ({problem}); expected a function or class with its source in "
            "a file or a cell; define it there."
        ) from None
    names = {part.id for node in body for part in ast.walk(node) if isinstance(part, ast.Name)}
    known = dict(getattr(thing, "__globals__", None) or vars(inspect.getmodule(thing) or thing))
    known |= free
    place, pieces, found = Module(package, "", []), [], []
    own[key] = Text((), frozenset())  # stands in while those that it calls are looked for
    for used in sorted(names & known.keys()):
        value = known[used]
        if isinstance(value, ModuleType):
            place.aliases[used] = [(value.__name__, None)]
        elif isinstance(value, FunctionType | type) and getattr(value, "__module__", None) in package.sources:
            place.aliases[used] = [(value.__module__, value.__qualname__.partition(".")[0])]
        elif isinstance(value, FunctionType | type) and _ours(value):
            found += _located(package, value, own) if value is not thing else []
        elif isinstance(value, bool | int | float | str | bytes | tuple | None):
            pieces.append(f"{used}={value!r} ")
    text = Reader(package, place).read(body)
    own[key] = Text((*pieces, *text.pieces), text.loads)
    return [key, *found]


def _ours(thing: object) -> bool:
    """Whether a function or class was written for the book: in the package, a test or a notebook."""
    try:
        path = Path(inspect.getfile(thing))
    except (TypeError, OSError):
        return getattr(thing, "__module__", None) == "__main__"
    return not any(path.is_relative_to(folder) for folder in sysconfig.get_paths().values())
