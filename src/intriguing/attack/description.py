"""What determines the numbers of a network or of any other value, in words that a key can hold."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import digest

if TYPE_CHECKING:  # PyTorch is imported where it is used: who writes a file need not wait for it
    from torch import nn

DEEPEST = 100  # values within each other that are looked into
LONGEST = 1000  # characters that stand for a value; longer texts count by their sum


class Seen(dict[int, tuple[Any, str]]):
    """Values that were met, by their ids, with what stands for each.

    Attributes:
        depth: how many of them are being read, one within the other.
    """

    depth = 0


def source(thing: type | Callable) -> str:
    """Returns the SHA-256 sum of the source text of a class or a function.

    Args:
        thing: The class or function. PyTorch's own count as known, and so does what has no source.

    Returns:
        64 hexadecimal digits, or nothing.
    """
    if (thing.__module__ or "").partition(".")[0] == "torch":
        return ""
    try:
        return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()
    except (OSError, TypeError):
        return ""


def described(model: nn.Module, code: Callable[[type], str] = source, seen: Seen | None = None) -> dict[str, str]:
    """Returns what determines a network's numbers, for use in a key.

    Args:
        model: The network. Its name plays no part: networks with the same entries here are the same.
        code: Gives a text for the class of a layer, which changes with its code.
        seen: As for :func:`contents`, where the network is a part of something else.

    Returns:
        ``weights``, the sum of its parameters and buffers, those that it does not save among them; and
        ``architecture``, that of the layers in their order, of their attributes (lists, arrays, functions with what
        they close over, hooks and what is private included), and of the code of those that are not PyTorch's own. Of
        an object without Python attributes only the type and its ``repr`` count, and the latter only where it names no
        place in memory.
    """
    from torch import Tensor

    lines, seen = [], Seen() if seen is None else seen
    for module in model.modules():
        seen.setdefault(id(module), (module, f"module {len(seen)}"))
    for path, module in model.named_modules():
        plain = {
            key: digest({key: value}) if isinstance(value, Tensor) else repr(value)
            for key, value in sorted(vars(module).items())
            if not key.startswith("_") and isinstance(value, bool | int | float | str | tuple | Tensor | None)
        }
        lines.append(f"{path} {type(module).__qualname__} {plain} {code(type(module))}\n")
        lines += _beyond(module, code, seen)
    lines += _repeated(model)
    weights = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return {
        "weights": digest(weights | dict(model.named_buffers())),
        "architecture": hashlib.sha256("".join(lines).encode()).hexdigest(),
    }


def _beyond(module: nn.Module, code: Callable[[type], str], seen: Seen) -> list[str]:
    """What determines a layer's numbers beside its plain attributes; nothing for a layer that has only those."""
    from torch import Tensor, fx, nn

    lines, ordinary = [], vars(nn.Module()).keys() | {"_compiled_call_impl"}
    if isinstance(module, fx.GraphModule):  # its code says what its graph, a web of nodes, is
        lines.append(f"graph {module.code}\n")
    for key, value in sorted(vars(module).items()):
        if isinstance(module, fx.GraphModule) and key not in ordinary and not isinstance(value, Tensor):
            continue
        if key in ordinary:
            hooks = "hooks" in key and "state_dict" not in key and key != "_is_full_backward_hook" and value
            if hooks:  # by number of registration, which means nothing
                lines.append(f"{key} {[contents(hook, seen) for hook in value.values()]}\n")
            continue
        simple = isinstance(value, bool | int | float | str | Tensor | None)
        flat = isinstance(value, tuple) and all(isinstance(entry, bool | int | float | str | None) for entry in value)
        if key.startswith("_") or not (simple or flat):
            lines.append(f"{key} {contents(value, seen)}\n")
    for kind in type(module).__mro__[1:]:  # what a class inherits from the user's other classes
        if kind is nn.Module:
            break
        lines += [f"{kind.__qualname__} {text}\n" for text in (code(kind),) if text]
    return lines


def _repeated(model: nn.Module) -> list[str]:
    """Where a layer stands a second time."""
    first: dict[int, str] = {}
    again = [(path, first.setdefault(id(module), path)) for path, module in model.named_modules(remove_duplicate=False)]
    return [f"{path} is {other}\n" for path, other in again if path != other]


def contents(value: Any, seen: Seen | None = None) -> str:
    """Returns a text for a value of any kind that is another one where the value is, as far as Python can see.

    Args:
        value: Tensors and arrays count by their numbers, functions by their code and what they close over, objects by
            their type and attributes.
        seen: Values that were met before, by their ids, with what stands for each; so circles end, and what many refer
            to is read once. Below ``DEEPEST`` values within each other only the type counts.

    Returns:
        At most ``LONGEST`` characters.
    """
    if value is None or isinstance(value, bool | int | float | complex):
        return repr(value)
    seen = Seen() if seen is None else seen
    if isinstance(value, str | bytes):
        text = repr(value)
    elif id(value) in seen:
        return seen[id(value)][1]
    elif seen.depth == DEEPEST:
        text = f"{type(value).__module__}.{type(value).__qualname__} deep down"
    else:
        seen[id(value)] = value, f"circle {len(seen)}"
        seen.depth += 1
        try:
            text = _text(value, seen)
        finally:
            seen.depth -= 1
    if len(text) > LONGEST:  # texts within texts would grow without end
        text = hashlib.sha256(text.encode()).hexdigest()
    if not isinstance(value, str | bytes):
        seen[id(value)] = value, text
    return text


def _text(value: Any, seen: Seen) -> str:
    """The text for a value that was not met before."""
    import functools
    import types

    import numpy as np
    from torch import Tensor, nn

    inner = functools.partial(contents, seen=seen)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, Tensor):
        return f"{name} {digest({'': value})}"
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            return f"{name} {inner(value.tolist())}"
        data = np.ascontiguousarray(value)
        return f"{name} {value.dtype} {np.shape(value)} {hashlib.sha256(data.tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return f"{name} {[(inner(key), inner(entry)) for key, entry in value.items()]}"
    if isinstance(value, set | frozenset):
        return f"{name} {sorted(map(inner, value))}"
    if isinstance(value, list | tuple):
        return f"{name} {list(map(inner, value))}"
    if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
        return f"{getattr(value, '__module__', '')}.{value.__name__} {source(value) if isinstance(value, type) else ''}"
    if isinstance(value, types.MethodType):
        return f"{name} {inner(value.__func__)} {inner(value.__self__)}"
    if isinstance(value, functools.partial):
        return f"{name} {inner(value.func)} {inner(value.args)} {inner(value.keywords)}"
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _full(cell)]
        named = {key: value.__globals__[key] for key in value.__code__.co_names if key in value.__globals__}
        parts = (cells, value.__defaults__, value.__kwdefaults__, {} if _installed(value) else named)
        return f"{name} {value.__qualname__} {inner(value.__code__)} {list(map(inner, parts))}"
    if isinstance(value, types.CodeType):
        return f"{value.co_code.hex()} {value.co_names} {list(map(inner, value.co_consts))}"
    if isinstance(value, nn.Module):
        return f"{name} {described(value, seen=seen)}"
    made_from = _parts(value)
    if made_from is not None:
        return f"{name} {inner(made_from)}"
    attributes = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        attributes |= {key: getattr(value, key) for key in names if not key.startswith("__") and hasattr(value, key)}
    text = "" if attributes else _shown(value)
    return f"{name} {source(type(value))} {text} {[(key, inner(entry)) for key, entry in sorted(attributes.items())]}"


def _full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _installed(thing: Any) -> bool:
    """Whether a function or a class is Python's own or of an installed package, all of which it would lead to."""
    package = (thing.__module__ or "").partition(".")[0]
    file = getattr(inspect.getmodule(thing), "__file__", None) or ""
    return package in sys.stdlib_module_names or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _parts(value: Any) -> tuple | None:
    """What an object of an installed package is made again from: it may hold what is no attribute, and what is kept.

    None where there are no such parts, and for the user's own objects, which count by their attributes.
    """
    if not _installed(type(value)):
        return None
    try:
        parts = value.__reduce_ex__(4)
        return (
            None if isinstance(parts, str) else (*parts[:3], *(list(part) for part in parts[3:5] if part is not None))
        )
    except Exception:  # whatever an object raises that cannot be copied
        return None


def _shown(value: Any) -> str:
    """What an object says of itself, unless it says nothing, or names a place in memory."""
    try:
        text = "" if type(value).__repr__ is object.__repr__ else repr(value)
    except Exception:  # whatever an object raises that cannot be shown
        return ""
    return "" if " at 0x" in text else text
