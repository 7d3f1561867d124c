"""Models of other people: what has to be refused, and copies that leave the original alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator

from torch import nn


def refuse_training_mode(model: object) -> None:
    """Raises an error if a module, or any module inside of it, is in training mode.

    ``training`` is a flag of every module by itself: one child left in training mode under a root in evaluation mode
    makes dropout draw and batch normalisation write its statistics. Of a function the modules that it closes over,
    is bound to or is a part of are looked at.

    Args:
        model: anything; looked at, never changed.

    Raises:
        ValueError: some module is in training mode; the sentence names the first and says how many there are.
    """
    left = [
        (path, inner)
        for module in modules_of(model)
        for path, inner in module.named_modules()
        if inner.training and not _settled(module, path)
    ]
    if not left:
        return
    path, module = left[0]
    if path == "":
        raise ValueError("got a model in training mode; expected one in evaluation mode; call model.eval().")
    others = f" and {len(left) - 1} more" if len(left) > 1 else ""
    raise ValueError(
        f"got a model whose {path!r} ({type(module).__name__}){others} is in training mode; expected every module in "
        "evaluation mode; call model.eval()."
    )


def modules_of(model: object) -> Iterator[nn.Module]:
    """The module that a model is, or those that a function reaches: bound to it, closed over, a part or a global.

    Args:
        model: a module, a function, a method, a partial function, or anything else, which has none.

    Yields:
        Modules, without those inside of them.
    """
    if isinstance(model, nn.Module):
        yield model
    elif isinstance(model, functools.partial):
        for part in (model.func, *model.args, *model.keywords.values()):
            yield from modules_of(part)
    elif inspect.ismethod(model):
        yield from modules_of(model.__self__)
    elif inspect.isfunction(model):
        try:
            reached = inspect.getclosurevars(model)
        except ValueError:  # a cell that is still empty
            return
        for value in (*reached.nonlocals.values(), *reached.globals.values()):
            if isinstance(value, nn.Module):
                yield value


def _settled(root: nn.Module, path: str) -> bool:
    """Whether a module lies in an exported program: its mode was settled then, and its flag cannot be set."""
    names = path.split(".") if path else []
    above = [root.get_submodule(".".join(names[:depth])) for depth in range(len(names) + 1)]
    return any("eval" in vars(module) for module in above)
