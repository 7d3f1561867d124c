"""Which definitions of the package a piece of code reaches, read from the source text alone.

A definition is a function, a class with all its methods, or a constant at the top level of a module. Statements there
that define nothing, and definitions that code of the package could take note of, are executed when their module is
imported; they are reached by whatever imports it. An import is another name for something and no definition.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import intriguing

_PACKAGE = __name__.partition(".")[0]
_FOLDER = Path(intriguing.__file__).resolve().parent
_OWN = {f"{__name__.rpartition('.')[0]}.{room}" for room in ("fingerprint", "sources")}  # change no number
_ROUNDS = 3  # in which definitions of one name are told apart by what they reach
_OWN_CLASS = "sys.modules[__name__].__class__"
_ANYTHING = {"eval", "exec", "__import__", "importlib.import_module", "sys.modules"}
_OF_A_MODULE = {"__file__", "__name__", "__path__", "__package__", "__spec__", "__doc__"}
_LOOKING = {"items", "values", "keys", "get"}  # methods that leave a table as it is
_KINDS_OF_FIELDS = {"ClassVar", "InitVar", "KW_ONLY"}
_SILENT = {"ctx", "kind", "type_comment", "type_ignores", "annotation", "returns", "type_params"}
_ERRORS = {"ValueError", "TypeError", "RuntimeError", "FileNotFoundError", "OSError"}  # only their words differ
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_IMPORTS = (ast.Import, ast.ImportFrom)
_NOTHING = (ast.Pass, *_IMPORTS)
_NAMED = (*_DEFINITIONS, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_LEAVES = (ast.Name, ast.Constant, ast.Lambda, ast.Load, ast.Store, ast.Del)
_REFERENCES = (ast.Name, ast.Attribute)
_ASSIGNED = (ast.Assign, ast.AnnAssign)
_SCOPES = (*_DEFINITIONS, ast.Lambda)


class Definition(NamedTuple):
    """A top-level definition, or a statement that runs on import; ``name`` is shown, ``number`` tells apart."""

    module: str
    name: str
    number: int = 0


class Whole(NamedTuple):
    """A module of the package as a value, and so all that is in it; the empty name is the whole package."""

    module: str


class File(NamedTuple):
    """A file of the package that is not Python."""

    file: str


class Outside(NamedTuple):
    """A dotted name outside of the package."""

    dotted: str


Target = Definition | Whole | File | Outside
_GLOBAL = ("global",)  # what a function's scope says of a name that it declares global


class Text(NamedTuple):
    """What a definition says, each reference in its place, and the modules that it imports when it runs."""

    pieces: tuple[str | tuple[Target, ...], ...]
    loads: frozenset[str]


class Module:
    """What the names of one module stand for, and what it executes on being imported."""

    def __init__(self, package: Package, name: str, body: list[ast.stmt], *, folder: bool = False, names: bool = True):
        self.package, self.name = package, name
        self.parent = name if folder else name.rpartition(".")[0]
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.aliases: dict[str, list[tuple[str, str | None]]] = {}
        self.stars: list[str] = []
        self.loads: set[str] = set()
        self.statements: list[ast.stmt] = []
        for statement in body:
            self._add(statement)
        if not names:
            self.definitions = {}

    def _add(self, statement: ast.stmt) -> None:
        if _is_check(statement, "__name__") and self.name:
            return
        if _is_check(statement, "TYPE_CHECKING"):  # seen by readers of the source alone, and so by us
            self._learn(statement.body)
            for other in statement.orelse:
                self._add(other)
            return
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == _OWN_CLASS:
            return  # what the module itself can do; who uses it as a value reaches the class with all of it
        self._learn([statement])
        self.loads |= self.package.loaded_by(statement, self)
        if _idle(statement):
            return
        for name, part in _defined(statement):
            self.definitions.setdefault(name, []).append(part)
        if not _only_defines(statement):
            self.statements.append(statement)

    def _learn(self, statements: list[ast.stmt]) -> None:
        for name, meaning in _bindings(statements):
            if meaning is not None:
                base, attribute = self.absolute(meaning)
                if name == "*":
                    self.stars.append(base)
                else:
                    self.aliases.setdefault(name, []).append((base, attribute))

    def absolute(self, meaning: tuple[int, str, str | None]) -> tuple[str, str | None]:
        """Turns level, module and attribute of an import into an absolute module and the attribute."""
        level, module, attribute = meaning
        if level:
            start = self.parent.split(".")
            module = ".".join(filter(None, [*start[: len(start) - level + 1], module]))
        return module, attribute


class Package:
    """The sources of the package, read as far as somebody asks."""

    def __init__(self, sources: Mapping[str, tuple[str, bool]], files: Mapping[str, str]) -> None:
        self.sources, self.files = sources, files
        self._modules: dict[str, Module] = {}
        self._texts: dict[Definition, Text] = {}
        self._arrivals: dict[str, list[Target]] = {}

    def module(self, name: str) -> Module:
        if name not in self._modules:
            source, folder = self.sources[name]
            self._modules[name] = Module(self, name, ast.parse(source).body, folder=folder)
        return self._modules[name]

    def find(self, module: Module, name: str, seen: frozenset = frozenset()) -> list[Target]:
        """What a name of a module stands for: a definition, a module, something outside; nothing where unknown."""
        inner = f"{module.name}.{name}"
        if (module.name, name) in seen:
            return [Whole(inner)] if inner in self.sources else []
        seen |= {(module.name, name)}
        found: list[Target] = [Definition(module.name, name)] if name in module.definitions else []
        for base, attribute in module.aliases.get(name, ()):
            found += self.imported(base, attribute, seen)
        if not found and inner in self.sources:
            found = [Whole(inner)]
        for star in module.stars if not found else ():
            found += self.find(self.module(star), name, seen) if star in self.sources else []
        return found

    def imported(self, base: str, attribute: str | None, seen: frozenset = frozenset()) -> list[Target]:
        """What ``from base import attribute`` or ``import base`` gives."""
        if base not in self.sources:
            return [Outside(f"{base}.{attribute}" if attribute else base)]
        return self.member(base, attribute, seen) if attribute else [Whole(base)]

    def member(self, module: str, name: str, seen: frozenset = frozenset()) -> list[Target]:
        """What an attribute of a module stands for; where nobody can tell, all of the module."""
        if module in _OWN or name in _OF_A_MODULE:
            return [Outside(f"{module.rpartition('.')[2] if module in _OWN else 'module'}.{name}")]
        return self.find(self.module(module), name, seen) or [Whole(module)]

    def loaded_by(self, node: ast.AST, module: Module) -> set[str]:
        """The modules of the package that are imported within a piece of code, but for what its functions import."""
        loads = set()
        for part in _now(node):
            if isinstance(part, ast.Import):
                loads |= {alias.name for alias in part.names}
            elif isinstance(part, ast.ImportFrom):
                base, _ = module.absolute((part.level, part.module or "", None))
                loads |= {base, *(f"{base}.{alias.name}" for alias in part.names)}
        return loads & self.sources.keys()

    def text(self, key: Definition, own: Mapping[Definition, Text]) -> Text:
        if key in own:
            return own[key]
        if key not in self._texts:
            module = self.module(key.module)
            body = [module.statements[key.number - 1]] if key.number else module.definitions[key.name]
            self._texts[key] = Reader(self, module).read(body)
        return self._texts[key]

    def arrivals(self, name: str) -> list[Target]:
        """What is executed when a module is imported: its statements, and definitions that could register something."""
        if name not in self._arrivals:
            module = self.module(name)
            self._arrivals[name] = [Definition(name, "statements", i + 1) for i in range(len(module.statements))]
            for defined, parts in module.definitions.items():
                if any(self._registers(module, part) for part in parts):
                    self._arrivals[name].append(Definition(name, defined))
        return self._arrivals[name]

    def _registers(self, module: Module, statement: ast.stmt) -> bool:
        """Whether a definition, when it is made, calls code of the package that could take note of it."""
        parts: list[ast.AST] = [statement] if isinstance(statement, _DEFINITIONS) else []
        if isinstance(statement, ast.ClassDef):
            parents = [target for base in statement.bases for target in Reader(self, module).targets(base)]
            if statement.keywords or any(self._notices(parent) for parent in parents):
                return True
            parts += [node for part in statement.body for node in _now(part)]
        elif isinstance(statement, _ASSIGNED) and statement.value is not None:
            parts = list(ast.walk(statement.value))
        called = [node.func for node in parts if isinstance(node, ast.Call)]
        decorators = [node for part in parts if isinstance(part, _DEFINITIONS) for node in part.decorator_list]
        called += [node.func if isinstance(node, ast.Call) else node for node in decorators]
        return any(self._keeps(module, node) for node in called)

    def _notices(self, parent: Target) -> bool:
        """Whether a class of the package learns of the classes that are derived from it."""
        if not isinstance(parent, Definition):
            return False
        module = self.module(parent.module)
        for node in self._parts(parent):
            if not isinstance(node, ast.ClassDef):
                return True
            if node.keywords or any(getattr(part, "name", None) == "__init_subclass__" for part in node.body):
                return True
            bases = [target for base in node.bases for target in Reader(self, module).targets(base)]
            if any(self._notices(base) for base in bases if base != parent):
                return True
        return False

    def _keeps(self, module: Module, node: ast.expr) -> bool:
        """Whether what is called could keep something in a constant of the package."""
        if isinstance(node, ast.Attribute) and node.attr in _LOOKING:
            return False
        targets = Reader(self, module).targets(node)
        if all(_is_record(part) for target in targets for part in self._parts(target)):
            return False
        return any(not _is_harmless(part) for key in self.reached(targets, {}, alone=True) for part in self._parts(key))

    def _parts(self, target: Target) -> list[ast.stmt]:
        return self.module(target.module).definitions[target.name] if isinstance(target, Definition) else []

    def reached(
        self, roots: Iterable[Target], own: Mapping[Definition, Text], *texts: Text, alone: bool = False
    ) -> set[Definition | File]:
        """All that is reached from targets and texts; alone, without what their modules execute on being imported."""
        waiting, seen, loaded = list(roots), set(), set()

        def take(text: Text) -> None:
            waiting.extend(target for piece in text.pieces if not isinstance(piece, str) for target in piece)
            for module in text.loads:
                load(module)

        def load(name: str) -> None:
            while name and name not in loaded and not alone:
                loaded.add(name)
                if name in self.sources and name not in _OWN:
                    waiting.extend(self.arrivals(name))
                    for module in self.module(name).loads:
                        load(module)
                name = name.rpartition(".")[0]

        for text in texts:
            take(text)
        while waiting:
            target = waiting.pop()
            if target in seen or isinstance(target, Outside):
                continue
            seen.add(target)
            if isinstance(target, Definition):
                load(target.module)
                take(self.text(target, own))
            elif isinstance(target, Whole) and target.module in _OWN:
                continue
            elif isinstance(target, Whole) and target.module:
                load(target.module)
                module = self.module(target.module)
                for name in (*module.definitions, *module.aliases):
                    waiting.extend(self.find(module, name))
                waiting.extend(Whole(star) for star in module.stars if star in self.sources)
            elif isinstance(target, Whole):
                waiting.extend(Whole(name) for name in self.sources if name not in _OWN)
        return {target for target in seen if isinstance(target, Definition | File)}

    def hashes(
        self, reached: set[Definition | File], own: Mapping[Definition, Text], without: Iterable[str]
    ) -> dict[Definition, str]:
        """The hash of each definition that is reached. A reference counts by name, and where several definitions have
        the name, by the hash of the one that is meant: so it does not matter where any of them stands."""
        without = {*without, "__version__"}
        keys = [key for key in reached if isinstance(key, Definition) and key.name not in without]
        names: dict[Target, str] = {key: key.name for key in reached if isinstance(key, Definition)}
        found: dict[Definition, str] = {}
        for _ in range(_ROUNDS):
            found = {key: short(_filled(self.text(key, own), names)) for key in keys}
            kinds: dict[str, set[str]] = {}
            for key, value in found.items():
                kinds.setdefault(key.name, set()).add(value)
            labels = {key: f"{key.name} {value}" for key, value in found.items() if len(kinds[key.name]) > 1}
            if not labels:
                break
            names |= labels
        files = {Definition("", key.file): self.files[key.file] for key in reached if isinstance(key, File)}
        return found | files


class Reader:
    """Reads code of one module; each global name becomes a reference to what it stands for."""

    def __init__(self, package: Package, module: Module) -> None:
        self.package, self.module = package, module
        self.pieces: list[str | tuple[Target, ...]] = []
        self.loads: set[str] = set()
        self.scopes: list[tuple[dict[str, tuple], bool]] = []  # names with their imports, and whether of a class

    def read(self, body: list[ast.stmt]) -> Text:
        self._entries(body)
        pieces: list[str | tuple[Target, ...]] = []
        for of_text, group in itertools.groupby(self.pieces, key=lambda piece: isinstance(piece, str)):
            run = list(group)
            pieces += ["".join(run)] if of_text else run
        return Text(tuple(pieces), frozenset(self.loads))

    def targets(self, node: ast.expr) -> list[Target]:
        """What an expression such as ``name`` or ``module.name`` stands for; empty for all others and local names."""
        found, rest = self._chain(node)
        return found if not rest or any(isinstance(target, Definition) for target in found) else []

    def _chain(self, node: ast.expr) -> tuple[list[Target], list[ast.Attribute]]:
        """What the longest beginning of a chain of attributes stands for, and the attributes that remain."""
        chain: list[ast.Attribute] = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node)
            node = node.value
        found = self._name(node.id) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store) else []
        while chain and len(found) == 1:
            if isinstance(found[0], Outside):
                found = [Outside(f"{found[0].dotted}.{chain.pop(0).attr}")]
            elif isinstance(found[0], Whole):
                module, name = found[0].module, chain[0].attr
                found = self.package.member(module, name)
                if found == [Whole(module)]:
                    break
                chain.pop(0)
            else:
                break
        return found, chain

    def _name(self, name: str) -> list[Target]:
        for depth, (scope, of_class) in enumerate(reversed(self.scopes)):
            if name not in scope or (of_class and depth):
                continue
            if scope[name] == _GLOBAL or (of_class and not scope[name]):
                break
            return [target for meaning in scope[name] for target in self.package.imported(*meaning)]
        return self.package.find(self.module, name)

    def _is_local(self, name: str) -> bool:
        for depth, (scope, of_class) in enumerate(reversed(self.scopes)):
            if name in scope and not (of_class and depth):
                return scope[name] != _GLOBAL and not of_class
        return False

    def _refer(self, targets: Iterable[Target]) -> None:
        targets = tuple(targets)
        outside = [target.dotted.removeprefix("builtins.") for target in targets if isinstance(target, Outside)]
        if any(dotted in _ANYTHING or dotted.startswith("sys.modules.") for dotted in outside):
            targets += (Whole(""),)
        self.pieces.append(targets)

    def _entries(self, nodes: Iterable[object]) -> None:
        for node in nodes:
            if type(node) in _IMPORTS:
                self.loads |= self.package.loaded_by(node, self.module)
            elif not _idle(node):
                self._write(node)
                self.pieces.append(", ")

    def _write(self, node: object) -> None:
        kind = type(node)
        if kind in _REFERENCES:
            self._reference(node)
        elif kind is ast.Constant and isinstance(node.value, str):
            self._string(node.value)
        elif kind in _SCOPES:
            self._scope(node)
        elif kind in _COMPREHENSIONS:
            self._comprehension(node)
        elif kind is ast.AugAssign and isinstance(node.target, ast.Name):
            self.pieces.append("AugAssign ")  # reads its target as well
            self._entries([ast.Name(node.target.id, ast.Load()), node.op, node.value])
        elif kind is ast.AnnAssign:
            self._annotated(node)
        elif kind is ast.Call and self._imports(node):
            pass
        elif kind is ast.Raise and self._is_plain_error(node.exc):
            self.pieces.append(f"Raise {node.exc.func.id}")
        elif isinstance(node, ast.AST):
            self._fields(node)
        else:
            self.pieces.append(f"{type(node).__name__} {node!r}")

    def _is_plain_error(self, node: ast.expr | None) -> bool:
        """Whether an error is raised of which nothing but its words, and its cause, is written here."""
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ERRORS
        return named and not self.targets(node.func) and not self._is_local(node.func.id)

    def _fields(self, node: ast.AST, skip: tuple[str, ...] = ()) -> None:
        self.pieces.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            # Python versions differ in the empty fields that they add. ctx follows from the place in the tree.
            if name in _SILENT or name in skip or value is None and not isinstance(node, ast.Constant):
                continue
            if isinstance(node, ast.JoinedStr):  # some versions end the parts of an f-string with an empty one
                value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
            if isinstance(value, list):
                silent = all(_idle(entry) for entry in value)  # imports among them are still looked at
                self.pieces.extend([] if silent else [f"{name}=["])
                self._entries(value)
                self.pieces.extend([] if silent else ["]"])
            else:
                self.pieces.append(f"{name}=")
                self._write(value)
                self.pieces.append(", ")
        self.pieces.append(")")

    def _reference(self, node: ast.Name | ast.Attribute) -> None:
        found, rest = self._chain(node)
        if found:
            self._refer(found)
            self.pieces.extend(f".{attribute.attr}" for attribute in rest)
        elif isinstance(node, ast.Attribute):
            self._write(node.value)
            self.pieces.append(f".{node.attr}")
        else:
            self.pieces.append(f"Name {node.id}")
            if not self._is_local(node.id) and isinstance(node.ctx, ast.Load):
                if node.id == "globals" and self.module.name:
                    self._refer([Whole(self.module.name)])
                elif node.id in _ANYTHING:
                    self._refer([Whole("")])

    def _string(self, text: str) -> None:
        if text in self.package.files:
            self._refer([File(text)])
        elif text == _PACKAGE or text in self.package.sources:
            self._refer([Whole(text)] if text != _PACKAGE else [Outside("module")])
        else:
            self.pieces.append(f"str {text!r}")

    def _imports(self, call: ast.Call) -> bool:
        """Whether a call imports a module that the text names, which then counts as reached."""
        names = {target.dotted for target in self.targets(call.func) if isinstance(target, Outside)}
        named = isinstance(call.func, ast.Name) and call.func.id == "__import__" and not self._is_local("__import__")
        first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if not (named or "importlib.import_module" in names) or not isinstance(first, str):
            return False
        level = len(first) - len(first.lstrip("."))
        module, _ = self.module.absolute((level, first.lstrip("."), None))
        self._refer([Whole(module) if module in self.package.sources else Outside(module)])
        return True

    def _annotated(self, node: ast.AnnAssign) -> None:
        """A field of a dataclass depends on some annotations; elsewhere ``x: T = 1`` is ``x = 1``."""
        in_class = bool(self.scopes) and self.scopes[-1][1]
        if in_class:
            words = {part.id for part in ast.walk(node.annotation) if isinstance(part, ast.Name)}
            words |= {part.attr for part in ast.walk(node.annotation) if isinstance(part, ast.Attribute)}
            self.pieces.append(f"field {sorted(words & _KINDS_OF_FIELDS)} ")
            self._entries([node.target, *([node.value] if node.value is not None else [])])
        elif node.value is not None:
            self._fields(ast.Assign([node.target], node.value))

    def _scope(self, node: ast.AST) -> None:
        """A function or a class: what is evaluated outside of it, then its body with its own names."""
        of_class = isinstance(node, ast.ClassDef)
        body = node.body if isinstance(node.body, list) else [node.body]
        self.pieces.append(f"{type(node).__name__} {getattr(node, 'name', '')}(")
        if of_class:
            self._entries([*node.decorator_list, *node.bases, *node.keywords])
            parameters = []
        else:
            self._entries(getattr(node, "decorator_list", []))
            arguments = node.args
            self._fields(arguments)
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            parameters = [argument.arg for argument in every if argument is not None]
            if any(ast.unparse(d).partition("(")[0].endswith("register") for d in getattr(node, "decorator_list", [])):
                # functools.singledispatch chooses by the annotation.
                self._entries([argument.annotation for argument in every if argument is not None])
        parameters += [parameter.name for parameter in getattr(node, "type_params", [])]
        scope: dict[str, tuple] = dict.fromkeys(parameters, ())
        for name, meaning in _bindings(body):
            known = scope.get(name, ())
            scope[name] = (*known, self.module.absolute(meaning)) if meaning is not None else known
        for inner in _now(*body):
            if isinstance(inner, ast.Global):
                scope |= dict.fromkeys(inner.names, _GLOBAL)
            elif isinstance(inner, ast.Nonlocal):
                for name in inner.names:
                    scope.pop(name, None)
        self.scopes.append((scope, of_class))
        self.pieces.append(") ")
        self._entries(body)
        self.scopes.pop()
        self.pieces.append("end ")

    def _comprehension(self, node: ast.AST) -> None:
        self.pieces.append(f"{type(node).__name__}(")
        self._write(node.generators[0].iter)  # evaluated outside
        names = [part.id for each in node.generators for part in ast.walk(each.target) if _stored(part)]
        self.scopes.append((dict.fromkeys(names, ()), False))
        for number, each in enumerate(node.generators):
            self._fields(each, skip=("iter",) if number == 0 else ())
        self._fields(node, skip=("generators",))
        self.scopes.pop()
        self.pieces.append(")")


def read_package() -> Package:
    """The package as it lies on disk now; what was read before is kept as long as no file changes."""
    sources, files = [], []
    for path in sorted(_FOLDER.rglob("*")):
        parts = path.relative_to(_FOLDER).parts
        if path.is_dir() or "__pycache__" in parts or path.suffix == ".pyc":
            continue
        if path.suffix == ".py":
            folder = path.stem == "__init__"
            name = ".".join([_PACKAGE, *parts[:-1], *([] if folder else [path.stem])])
            sources.append((name, path.read_text(encoding="utf-8"), folder))
        else:
            files.append((path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return _parsed(tuple(sources), tuple(files))


@lru_cache(maxsize=4)
def _parsed(sources: tuple[tuple[str, str, bool], ...], files: tuple[tuple[str, str], ...]) -> Package:
    modules = {name: (text, folder) for name, text, folder in sources}
    for name in list(modules):  # a folder needs no __init__ to be a package
        while name := name.rpartition(".")[0]:
            modules.setdefault(name, ("", True))
    sums: dict[str, str] = {}
    for name, digest in files:
        sums[name] = short(sums[name] + digest) if name in sums else digest[:16]
    return Package(modules, sums)


def _bindings(statements: Iterable[ast.AST]) -> Iterator[tuple[str, tuple[int, str, str | None] | None]]:
    """Yields each name that code binds, outside of the functions and classes in it, and what it imports there."""
    for node in _now(*statements):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or module, (0, module, None)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, (node.level, node.module or "", alias.name)
        elif isinstance(node, _NAMED):
            if node.name is not None:
                yield node.name, None
        elif isinstance(node, ast.MatchMapping) and node.rest is not None:
            yield node.rest, None
        elif _stored(node):
            yield node.id, None


def _now(*nodes: ast.AST) -> Iterator[ast.AST]:
    """Yields the parts of code that are executed with it: not the bodies of its functions, classes and lambdas."""
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        yield node
        kind = type(node)
        if kind in _LEAVES:
            continue
        if kind in _DEFINITIONS:
            waiting.extend(node.decorator_list)
        elif kind in _COMPREHENSIONS:
            waiting.extend(part.target for part in ast.walk(node) if isinstance(part, ast.NamedExpr))
        else:
            start = len(waiting)
            for field in kind._fields:
                value = getattr(node, field, None)
                if isinstance(value, list):
                    waiting.extend(part for part in value if isinstance(part, ast.AST))
                elif isinstance(value, ast.AST):
                    waiting.append(value)
            waiting[start:] = waiting[: start - 1 if start else None : -1]


def _defined(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """Yields the names that a top-level statement defines, each with the statement, or with its share of it."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
        pair = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)
        if pair and all(isinstance(part, ast.Name) for part in target.elts):
            for name, part in zip(target.elts, value.elts, strict=True):
                yield name.id, ast.Assign([name], part)
            return
    for name in dict.fromkeys(name for name, meaning in _bindings([statement])):
        if name != "*":
            yield name, statement


def _only_defines(statement: ast.stmt) -> bool:
    if isinstance(statement, _DEFINITIONS):
        return True
    if isinstance(statement, ast.Try):  # to import, or to do without
        parts = [*statement.body, *(part for handler in statement.handlers for part in handler.body)]
        empty = all(isinstance(p, _NOTHING) or _is_harmless(p) and _only_defines(p) for p in parts)
        return empty and not statement.orelse and not statement.finalbody
    if isinstance(statement, ast.Assign):
        parts = [part for target in statement.targets for part in getattr(target, "elts", [target])]
        return all(isinstance(part, ast.Name | ast.Starred) for part in parts)
    return isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)


def _is_harmless(part: ast.stmt) -> bool:
    """Whether a definition is a function, a class, or a constant that nothing can be put into."""
    if isinstance(part, _ASSIGNED):
        return isinstance(part.value, ast.Constant)
    return isinstance(part, _DEFINITIONS) and not any(isinstance(inner, ast.Global) for inner in ast.walk(part))


def _is_record(part: ast.stmt) -> bool:
    """Whether a definition is a class whose objects run no code of its own when they are made."""
    makers = {"__init__", "__new__", "__post_init__"}
    return isinstance(part, ast.ClassDef) and not any(getattr(inner, "name", "") in makers for inner in part.body)


def _is_check(statement: ast.stmt, word: str) -> bool:
    """Whether a statement is ``if TYPE_CHECKING`` or ``if __name__ == ...``."""
    if not isinstance(statement, ast.If):
        return False
    test = statement.test.left if isinstance(statement.test, ast.Compare) else statement.test
    return getattr(test, "id", None) == word or getattr(test, "attr", None) == word


def _stored(node: ast.AST) -> bool:
    return type(node) is ast.Name and type(node.ctx) is not ast.Load


def _idle(node: object) -> bool:
    """Tells whether a statement does nothing: a docstring, another string on its own, ``pass`` or an import."""
    if type(node) is ast.Expr:
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return type(node) in _NOTHING


def _filled(text: Text, names: Mapping[Target, str]) -> str:
    """The text with each reference replaced by the name of what is meant."""
    return "".join(
        piece if isinstance(piece, str) else f"<{' | '.join(sorted({_called(target, names) for target in piece}))}>"
        for piece in text.pieces
    )


def _called(target: Target, names: Mapping[Target, str]) -> str:
    if isinstance(target, Outside):
        return f"outside {target.dotted}"
    return "module" if isinstance(target, Whole) else names.get(target, target[-1] if len(target) == 1 else target.name)


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
