"""A network as it is: the weights that its layers apply, copies to work on, and refusals by name.

A bound is true of what a module does when it is called. What stands in ``weight`` may be something else: pruning, the
old weight and spectral normalisation compute it anew at every call, and a hook may change what a layer returns. No
layer of the user's is touched: layers are only run as copies, and what computes a weight runs where it stands.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn.modules import module as machinery
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

NUMBERS = (Tensor, nn.Parameter)
"""Types of tensors; others may have operations of their own."""

ASIDE = (
    *(nn.Module.train, nn.Module.eval, nn.Module.requires_grad_, nn.Module.zero_grad, nn.Module.apply, nn.Module.type),
    *(nn.Module.half, nn.Module.float, nn.Module.double, nn.Module.bfloat16, nn.Module.to, nn.Module.cpu),
    *(nn.Module.cuda, nn.Module.state_dict, nn.Module.load_state_dict),
)
"""Methods that neither a forward pass nor a walk over layers calls."""

CHAIN = (
    *("forward", "__call__", "_wrapped_call_impl", "_call_impl"),
    *("__iter__", "__getattr__", "__getattribute__", "named_modules"),
)
"""What takes part when a ``Sequential`` is called or walked."""


def kind(layer: nn.Module) -> type[nn.Module]:
    """The class of a layer, before a parametrization gave it one of its own.

    Args:
        layer: any.
    """
    return parametrize.type_before_parametrizations(layer)


def layers(model: nn.Module, known: Iterable[type[nn.Module]] = ()) -> list[tuple[str, nn.Module]]:
    """The layers of nested chains by name, in the order in which they are applied.

    Args:
        model: a layer or a ``Sequential`` of layers and of ``Sequential``, or of classes of it that change nothing of
            how it is called; one that stands in it twice counts twice.
        known: classes that are layers by themselves.

    Raises:
        TypeError: as for :func:`checked_module`.
        ValueError: a layer in training mode.
    """
    known = frozenset(known)
    checked_module(model, known)
    return list(_walk(model, "", known))


def checked_module(model: nn.Module, known: Iterable[type[nn.Module]] = ()) -> None:
    """Raises an error unless a module does in evaluation mode what its classes say.

    Args:
        model: with all that is in it.
        known: classes whose weights are read by somebody else, so that they have to stand there as they are applied.

    Raises:
        TypeError: it is no module, or one in it has a hook that may change what it returns, a forward pass of its own,
            or weights of a class of their own.
        ValueError: one in it is in training mode, or its weights have no numbers yet.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"got {type(model).__name__}; expected a torch.nn.Module; build the network of torch's layers.")
    known = frozenset(known)
    inside = {id(part) for module in model.modules() if kind(module) in known for part in module.modules()}
    for name, module in model.named_modules():
        which = f"{kind(module).__name__} at {name!r}" if name else kind(module).__name__
        for method, value in vars(module).items():
            written = getattr(type(module), method, None)
            # A number under a method's name is data, and Python itself never looks for __dir__ and such on an instance.
            shadows = callable(value) and inspect.isfunction(written) and not method.startswith("__")
            if shadows and written not in ASIDE:
                own = "a forward pass" if method == "forward" else f"a method {method!r}"
                raise TypeError(
                    f"got {which} with {own} of its own; expected that of its class; remove it, or write a class, and "
                    "say in known what its bound is."
                )
        if module.training:
            raise ValueError(
                f"got {which} in training mode; expected every layer in evaluation mode; call model.eval()."
            )
        kept = (value for value in vars(module).values() if isinstance(value, Tensor))
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False), *kept):
            if nn.parameter.is_lazy(tensor) or tensor.is_meta:
                raise ValueError(
                    f"got {which} without weights ({'meta' if tensor.is_meta else 'lazy'}); expected a network that "
                    "can compute; call it on an image, or load them, first."
                )
            _check_numbers(tensor, which)
        followed = kind(module) in (nn.Linear, nn.Conv2d) and id(module) not in inside
        before = [hook for hook in module._forward_pre_hooks.values() if not (followed and _computes(hook))]  # noqa: SLF001
        if before or module._forward_hooks or not _apart(module):  # noqa: SLF001
            raise TypeError(
                f"got {which} with a forward hook, which may change what it returns; expected layers without; remove "
                "the hook, and make permanent what prunes or normalises."
            )
    if machinery._global_forward_hooks or machinery._global_forward_pre_hooks:  # noqa: SLF001
        raise TypeError(
            "got forward hooks on all modules, which may change what layers return; expected none; remove them."
        )


def _check_numbers(tensor: Tensor, which: str) -> None:
    if type(tensor) not in NUMBERS:
        raise TypeError(
            f"got weights of {type(tensor).__name__} in {which}, a class that may compute in its own way; expected "
            "torch's own tensors; convert them."
        )


def _computes(hook: object) -> bool:
    """Whether a hook before the forward pass is one whose effect on a weight is known."""
    if isinstance(hook, BasePruningMethod):  # each has its own mask, and all apply it in the same way
        return type(hook).__call__ is BasePruningMethod.__call__
    return type(hook) in (WeightNorm, SpectralNorm)


def _apart(layer: nn.Module) -> bool:
    """Whether what is known to compute weights before a call computes each by itself, and not from one another."""
    hooks = [hook for hook in layer._forward_pre_hooks.values() if _computes(hook)]  # noqa: SLF001
    names = [hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name for hook in hooks]  # noqa: SLF001
    return len(set(names)) == len(names) and set(names) <= {"weight", "bias"}


@contextlib.contextmanager
def uncached() -> Iterator[None]:
    """As outside of ``parametrize.cached()``: a weight that is computed here is not kept for the layer's next call."""
    before = parametrize._cache_enabled, parametrize._cache  # noqa: SLF001
    parametrize._cache_enabled, parametrize._cache = 0, {}  # noqa: SLF001
    try:
        yield
    finally:
        parametrize._cache_enabled, parametrize._cache = before  # noqa: SLF001


@overload
def applied(layer: nn.Module, name: Literal["weight"]) -> Tensor: ...
@overload
def applied(layer: nn.Module, name: Literal["bias"]) -> Tensor | None: ...
def applied(layer: nn.Module, name: str) -> Tensor | None:
    """The weight or bias that a layer applies when it is called, computed where pruning or a normalisation does so.

    Args:
        layer: one of torch's.
        name: ``weight`` or ``bias``.

    Returns:
        The tensor, detached and dense; None where there is none.

    Raises:
        TypeError: a parametrization returns something else than one of torch's own tensors.
    """
    with torch.no_grad(), uncached():
        for hook in layer._forward_pre_hooks.values():  # noqa: SLF001
            if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:  # noqa: SLF001
                return hook.apply_mask(layer)
            if isinstance(hook, WeightNorm) and hook.name == name:
                return hook.compute_weight(layer)
            if isinstance(hook, SpectralNorm) and hook.name == name:
                return hook.compute_weight(layer, do_power_iteration=False)
        found = getattr(layer, name)
        if found is None:
            return None
        _check_numbers(found, kind(layer).__name__)
        return found.detach() if found.layout == torch.strided else found.detach().to_dense()


def step(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a layer does, in float64 on the CPU, without the layer itself.

    Args:
        layer: in evaluation mode; its weights and its memory stay as they are.

    Returns:
        A function of the layer's inputs.

    Raises:
        TypeError: the layer cannot be copied.
    """
    plain = not layer._forward_pre_hooks and not parametrize.is_parametrized(layer)  # noqa: SLF001
    if not plain and kind(layer) in (nn.Linear, nn.Conv2d):
        weight, bias = (wide(value) for value in (applied(layer, "weight"), applied(layer, "bias")))
        if kind(layer) is nn.Linear:
            return lambda x: nn.functional.linear(x, weight, bias)
        options: dict[str, Any] = {option: getattr(layer, option) for option in ("stride", "dilation", "groups")}
        if layer.padding_mode == "zeros":
            options |= {"padding": layer.padding}
            return lambda x: nn.functional.conv2d(x, weight, bias, **options)
        around, mode = layer._reversed_padding_repeated_twice, layer.padding_mode  # noqa: SLF001 (as the layer does)
        return lambda x: nn.functional.conv2d(nn.functional.pad(x, around, mode), weight, bias, **options)
    return twin(layer)


def run(name: str, layer: nn.Module, inputs: Tensor) -> Tensor:
    """One layer applied to a batch as it would be by its network, in float64, leaving all as it was.

    Args:
        name: of the layer, for the error.
        layer: in evaluation mode.
        inputs: (B, *size) float64 on the CPU.

    Returns:
        (B, ...) float64.

    Raises:
        TypeError: the layer returns something else than real numbers, does not compute in float64, or cannot be copied.
        ValueError: it cannot take these inputs, or its outputs are no batch of as many.
    """
    which = f"{kind(layer).__name__} at {name!r}" if name else kind(layer).__name__
    with torch.no_grad(), uncached(), torch.device("cpu"), torch.random.fork_rng(devices=[]):
        apply = step(layer)
        try:
            outputs = apply(inputs)
        except (RuntimeError, ValueError, IndexError, TypeError, AttributeError, AssertionError) as problem:
            reason = " ".join(str(problem).split())
            if any(word in reason for word in ("dtype", "scalar type", "Input type")):
                raise TypeError(
                    f"got {which}, which does not compute in float64 ({reason[:200]}); expected layers that take their "
                    "precision from their inputs; leave out casts, and make tensors of its own parameters or buffers."
                ) from None
            raise ValueError(
                f"got inputs of shape {tuple(inputs.shape[1:])} at {which}, which cannot take them ({reason[:200]}); "
                "expected the shape of one image, without the batch; pass the images that the network is made for."
            ) from None
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        got = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(f"got {got} from {which}; expected one tensor of real numbers; let the layer return only that.")
    if outputs.ndim == 0 or len(outputs) != len(inputs):
        raise ValueError(
            f"got shape {tuple(outputs.shape)} from {which} for {len(inputs)} inputs; expected one output per input; "
            "keep the batch as the first dimension."
        )
    return outputs.double()


def twin(layer: nn.Module) -> nn.Module:
    """A copy on the CPU, floating numbers in float64 and complex ones in complex128, without gradients.

    Tensors that a layer has kept from an earlier call are copied without their history, which they could not be copied
    with.

    Args:
        layer: any.

    Returns:
        The copy, in the mode of the layer.

    Raises:
        TypeError: something in it cannot be copied.
    """
    memo: dict[int, object] = {}
    for module in layer.modules():
        for tensor in _tensors(vars(module)):
            if id(tensor) not in memo:
                copied = wide(tensor)
                memo[id(tensor)] = nn.Parameter(copied, False) if isinstance(tensor, nn.Parameter) else copied
    try:
        return copy.deepcopy(layer, memo)
    except Exception as problem:  # whatever an attribute raises when it is copied
        reason = " ".join(str(problem).split())
        raise TypeError(
            f"got {kind(layer).__name__}, which cannot be copied ({reason[:200]}); expected layers that can; keep open "
            "files, locks and generators out of them."
        ) from None


@overload
def wide(tensor: Tensor) -> Tensor: ...
@overload
def wide(tensor: None) -> None: ...
@overload
def wide(tensor: Tensor | None) -> Tensor | None: ...
def wide(tensor: Tensor | None) -> Tensor | None:
    """A copy on the CPU in float64 or complex128, whole numbers as they are, without gradients.

    Args:
        tensor: on any device; None stays None.
    """
    if tensor is None:
        return None
    real = torch.float64 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", torch.complex128 if tensor.is_complex() else real, copy=True)


def _tensors(value: object, depth: int = 0) -> Iterator[Tensor]:
    """The tensors in an attribute, in lists and dicts too; layers within are looked at by themselves."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | SimpleNamespace | list | tuple | set | frozenset | deque) and depth < 4:
        value = vars(value) if isinstance(value, SimpleNamespace) else value
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part, depth + 1)


def _walk(model: nn.Module, name: str, known: frozenset[type[nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    if type(model) in known or not _is_chain(type(model)):
        yield name, model
        return
    # Not named_children(), which leaves out a layer that has come before.
    for key, child in model.named_modules(remove_duplicate=False):
        if key and "." not in key:
            yield from _walk(child, f"{name}.{key}".strip("."), known)


def _is_chain(which: type[nn.Module]) -> bool:
    """Whether a class does what ``Sequential`` does: itself, or one that only says which layers there are."""
    own = (getattr(which, name) is getattr(nn.Sequential, name) for name in CHAIN)
    return issubclass(which, nn.Sequential) and all(own)
