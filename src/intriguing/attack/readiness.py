"""Whether a model is ready to be asked: every module in evaluation mode, every weight with its numbers.

``training`` is a flag of each module by itself, and a function hides its modules: those that stand in sight are looked
at before any work begins, the others when the model calls them.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import warnings
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType

import torch
from torch import nn

DEEPEST = 8  # steps from a function to the modules that it is made of
LIBRARIES = ("torch", "numpy", "scipy", "builtins")  # whose functions close over no user's module


def check_model(model: object) -> None:
    """Raises an error if a module, or any module inside of it, is not ready: in training mode, or without weights.

    ``training`` is a flag of every module by itself: one child left in training mode under a root in evaluation mode
    makes dropout draw and batch normalisation write its statistics. Of a function the modules that it closes over,
    is bound to or is a part of are looked at, where they have weights, statistics or dropout.

    Args:
        model: anything; looked at, never changed.

    Raises:
        ValueError: some module is in training mode; the sentence names the first and says how many there are. Or a
            weight has no numbers yet: on the meta device, or in a lazy layer that was never called.
    """
    modules = list(modules_of(model))
    for path, value in (pair for module in modules for pair in (*module.named_parameters(), *module.named_buffers())):
        if value.is_meta or nn.parameter.is_lazy(value):
            what, do = ("meta", "load them") if value.is_meta else ("lazy", "call it on an image, or load them")
            raise ValueError(
                f"got a model without weights ({what}: {path!r}); expected one that can compute; {do} first."
            )
    left = [
        (path, inner)
        for module in modules
        if module is model or _has_a_mode(module)
        for path, inner in module.named_modules()
        if getattr(inner, "training", False) and not _settled(module, path)
    ]
    if not left:
        return
    path, module = left[0]
    if path == "" and module is not model:
        raise ValueError(
            f"got a function that uses a {type(module).__name__} in training mode; expected every module in "
            "evaluation mode; call eval() on it."
        )
    if path == "":
        raise ValueError("got a model in training mode; expected one in evaluation mode; call model.eval().")
    others = f" and {len(left) - 1} more" if len(left) > 1 else ""
    raise ValueError(
        f"got a model whose {path!r} ({type(module).__name__}){others} is in training mode; expected every module in "
        "evaluation mode; call model.eval()."
    )


def modules_of(model: object) -> Iterator[nn.Module]:
    """The module that a model is, or those that a function reaches.

    A function reaches what it closes over, its defaults and the globals that it names; a method its object, a partial
    function its parts; and in all of these what lists, dicts and callable objects hold.

    Args:
        model: anything; what is neither a module nor a way to one has none.

    Yields:
        Modules, each once, without those inside of them.
    """
    seen: dict[int, object] = {}  # an id means something only while its object lives
    stack = [(model, 0)]
    while stack:
        value, depth = stack.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, nn.Module):
            yield value
        elif depth < DEEPEST:
            stack.extend((part, depth + 1) for part in reversed(list(_reached(value))))


def _reached(value: object) -> Iterator[object]:
    """What one step leads to from something that is no module."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif inspect.ismethod(value):
        owner = value.__self__
        yield from (value.__func__, owner)
        if not isinstance(owner, nn.Module | type):
            yield getattr(owner, "__dict__", None)
    elif inspect.isfunction(value):
        yield getattr(value, "__wrapped__", None)
        if str(value.__globals__.get("__name__")).partition(".")[0] in LIBRARIES:
            return
        yield from (value.__defaults__, value.__kwdefaults__)
        try:
            found = inspect.getclosurevars(value)
        except ValueError:  # a cell that is still empty
            return
        yield from (found.nonlocals, found.globals)
    elif callable(value) and not isinstance(value, type | BuiltinFunctionType):
        yield from (getattr(value, "__wrapped__", None), getattr(value, "__dict__", {}))


def _settled(root: nn.Module, path: str) -> bool:
    """Whether a module lies in an exported program: its mode was settled then, and its flag cannot be set."""
    names = path.split(".") if path else []
    above = [root.get_submodule(".".join(names[:depth])) for depth in range(len(names) + 1)]
    return any("eval" in vars(module) for module in above)


class InTraining(ValueError):
    """A model calls a module in training mode."""


@contextlib.contextmanager
def none_in_training(model: object) -> Iterator[None]:
    """Refuses what a model calls in training mode, before it draws or changes its statistics.

    However a model gets at its modules: ``check_model`` sees those that stand in sight.

    Args:
        model: whose modules in sight are known already.

    Raises:
        InTraining: dropout, or a module that keeps statistics or another buffer, is called in training mode.
    """
    known = {id(inner): inner for module in modules_of(model) for inner in module.modules()}
    here = threading.get_ident()  # what the user trains in another thread is no concern of ours

    def look(module: nn.Module, _: object) -> None:
        if id(module) in known or threading.get_ident() != here:
            return
        for path, inner in module.named_modules():
            if id(inner) not in known and getattr(inner, "training", False) and _draws_or_keeps(inner):
                kind = type(module).__name__
                where = f"a {kind}" if getattr(module, "training", False) else f"{path!r} of a {kind}"
                raise InTraining(
                    f"got a model that calls {where} in training mode; expected every module in evaluation mode; call "
                    "eval() on it."
                )
            known[id(inner)] = inner

    handle = nn.modules.module.register_module_forward_pre_hook(look)
    try:
        with _as_written():
            yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _as_written() -> Iterator[None]:
    """Compiled functions run as Python; who has compiled nothing need not load the compiler."""
    if "_dynamo" not in vars(torch):  # which torch imports when it is asked for
        yield
        return
    with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*global hooks on modules")
        yield


def _draws_or_keeps(module: nn.Module) -> bool:
    """Whether a module draws or keeps statistics: one made on the way, such as a softmax, may have any mode."""
    kinds = nn.modules.dropout._DropoutNd, nn.RReLU  # noqa: SLF001 - the class of all kinds of dropout
    return isinstance(module, kinds) or next(module.buffers(recurse=False), None) is not None


def _has_a_mode(root: nn.Module) -> bool:
    """Whether training mode may change what a module computes: not that of a loss, a softmax or a normalisation."""
    return next(root.parameters(), None) is not None or any(map(_draws_or_keeps, root.modules()))
