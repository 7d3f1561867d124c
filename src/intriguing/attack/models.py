"""Models of other people: on the unit box, in the precision that small margins need, and as their users have them.

The solvers never work with the model that they are given but with a copy, in float64 where that serves. Whether an
image is taken for its target is asked of a second copy, which computes as the user's model does: the same precision,
the same hooks, the same layers. Both are tried before any work begins, so that what cannot be handled is refused with
its reason. A model that cannot be copied is called itself.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from .checks import check_callable, check_classes, check_plain
from .readiness import InTraining, check_model, modules_of, none_in_training

PRECISIONS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
# Two answers of one model in different batches or precisions differ by less than this part of their spread.
SAME_MODEL = 0.25  # a copy in another precision whose answers lie further off is another model
ALIKE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.bfloat16: 0.3, torch.float16: 0.1}
SURE = 6.0  # a lead of so many times the largest difference of two calls is not undone by a third
NESTED = 3  # steps from a model's output to the logits inside of it
PIXELS = 200_000  # of the images that are asked about at a time
EXCESS = 1e-3  # by which rounding may take chances out of [0, 1]
TF32 = 2.0**-10  # what float32 is rounded to before a product where the device shortens it


class Classifier:
    """The model on the unit box, with its arithmetic in float64 where the device has it: small margins need the digits.

    A model that works in its own precision only does so. Outputs that are probabilities (with sum one, or a hundred)
    count by their logarithms, and those that are chances of each class by itself, in (0, 1), by their log odds: logits
    with the same largest entry, also where outputs that were taken for such leave that range. Which of these they are
    is decided by all images and does not depend on their order.

    Args:
        model: a module in evaluation mode, or a function that torch can differentiate.
        images: (B, *shape) within the bounds, of the user's dtype; the first one, its negative and black are tried, and
            all of them, in parts, where the outputs of the first and of black may be probabilities.
        bounds: the user's lowest and highest pixel.
        device: where a model without weights works; by default where the images are.

    Attributes:
        device: where the model works.
        dtype: of what it is called with and of the logits that it returns.
        rounded: whether probabilities of the images are rounded to 0 or 1, where they have no gradient.

    Raises:
        TypeError: the model is no callable, or returns something else than a tensor of floating logits.
        ValueError: a module in training mode, logits of another shape or too large or small to be squared, logits that
            torch cannot differentiate, that change from call to call or with the rest of the batch; or the model raised
            an error of its own.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        images: Tensor,
        bounds: tuple[float, float] = (0.0, 1.0),
        device: torch.device | None = None,
    ) -> None:
        check_callable(model, "a model", "a module or a function from images to logits")
        check_model(model)
        self.bounds = bounds
        self.device, own = images.device if device is None else device, None
        if isinstance(model, nn.Module):
            first = next((weight for weight in model.parameters() if weight.is_floating_point()), None)
            first = next(model.parameters(), None) if first is None else first
            if first is not None:
                self.device, own = first.device, first.dtype
        self.dtype = torch.float32 if self.device.type == "mps" else torch.float64
        self._given, self._weights = model, own
        self._own_dtypes = tuple(dict.fromkeys(kind for kind in (images.dtype, own, *PRECISIONS) if kind is not None))
        self._coarsest = own if own in ALIKE else images.dtype  # that the user computes with
        self._own, self._noise, self._graphs = model, 0.0, False
        self._own_takes: torch.dtype | None = None
        self._short = _short_mantissa(model, self.device)
        self._model, self._takes, self._writes = model, self.dtype, False
        self._scores, self.rounded, self._rounds = "logits", False, False
        self._never: Tensor | None = None
        with torch.inference_mode(False), no_trace(self.device):
            self._choose(model, images)

    def __call__(self, x: Tensor) -> Tensor:
        logits = _checked(self._model(self._asked(x)), len(x))
        if self._scores != "logits":
            limits = torch.finfo(logits.dtype)
            chances = logits
            # Beyond 0 and 1, where only scores go that were no chances, by what they exceed them: in the same order.
            logits = chances.clamp(min=limits.tiny).log() - (-chances).relu()
            if self._scores == "chances":
                logits = logits - torch.log1p(-chances.clamp(max=1 - limits.eps)) + (chances - 1).relu()
            if self._never is not None:
                logits = logits.masked_fill((chances == 0) & self._never, -torch.inf)
        return logits.to(self.dtype)

    def coarser(self, least: torch.dtype) -> Classifier:
        """The same model in float32 where its weights and ``least`` are float32 and it keeps its digits, else this."""
        single = {self._weights, least} == {torch.float32}
        if self._rounds or self._graphs or self.dtype != torch.float64 or not single:
            return self
        found = copy.copy(self)
        found.dtype = torch.float32
        if self._takes == torch.float64 and isinstance(self._given, nn.Module):
            copied = _copied(self._given)
            if copied is None:
                return self
            found._model, found._takes = _frozen(copied), torch.float32  # noqa: SLF001 - of this class
        return found

    @torch.no_grad()
    def verdict(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Whether the user's own model takes images for their targets, and whether beyond the rounding of its logits.

        Args:
            images: (B, *shape) within the user's bounds, of the user's dtype.
            targets: (B,) long.

        Returns:
            wins (B,) and surely (B,), bool.
        """
        if len(images) == 0:
            return targets.new_zeros(0, dtype=torch.bool), targets.new_zeros(0, dtype=torch.bool)
        logits = self.answers(images)
        coarse = max(torch.finfo(kind).eps for kind in (logits.dtype, self._coarsest))
        if self._short and torch.float32 in (logits.dtype, self._coarsest):
            coarse = max(coarse, TF32)
        targets = targets.to(logits.device)
        check_classes(targets, logits.shape[1])
        wins, logits = logits.argmax(1) == targets, logits.double()
        own = logits.gather(1, targets[:, None])[:, 0]
        other = logits.scatter(1, targets[:, None], -torch.inf).amax(1)
        size = torch.maximum(own.abs(), torch.where(other.isfinite(), other.abs(), 0))
        return wins, wins & (own - other > 2 * coarse * size + SURE * self._noise)

    def _asked(self, x: Tensor) -> Tensor:
        """What the model is called with: never the solver's own numbers where the model writes into its input."""
        asked = self._outside(x).to(self._takes)
        return asked.clone() if self._writes and asked is x else asked

    def _choose(self, model: Callable[[Tensor], Tensor], images: Tensor) -> None:
        """Find a copy that works, in the finest precision in which it agrees with the user's model."""
        self._own = self._judge(model)
        self._model = self._finest(model)
        if len(images) == 0:
            return
        first = to_unit_box(images[:1].detach().to(self.device), self.bounds)
        sample = torch.cat([first, 1 - first, torch.zeros_like(first)]).to(self.dtype)
        for count in (len(sample), 1):
            try:
                self._try(model, images, sample[:count])
                return
            except Exception as problem:
                if not out_of_memory(problem):
                    raise
        self._model, self._takes = self._finest(model), self.dtype  # the search will meet it with a chunk to halve

    def _try(self, model: Callable[[Tensor], Tensor], images: Tensor, sample: Tensor) -> None:
        """Settle which copy of the model to work with by asking it about a few images."""
        mine, trouble = self._answered(self._outside(sample.to(images.dtype)))
        if mine is not None and (mine.ndim != 2 or len(mine) != len(sample) or mine.shape[1] < 2):
            _checked(self._answered(images.to(self.device))[0], len(images))  # in the user's numbers
        if mine is not None:
            self._steady(self._outside(sample.to(images.dtype)), mine)
        own = functools.partial(self._plain, model) if isinstance(model, nn.Module) else None
        finest = functools.partial(self._finest, model)
        for make, takes in ((finest, self.dtype), (own, self._own_takes), (lambda: model, self._own_takes)):
            made = make() if make is not None and takes is not None else None
            if made is None or takes is None:
                continue
            self._model, self._takes = made, takes
            answer, trouble = self._attempted(sample, trouble)
            if answer is not None and (mine is None or bool(_apart(answer, mine) <= SAME_MODEL)):
                self._interpret(answer[::2], images)  # a negative would make it matter which image is the first
                return
        _raise_as_ours(trouble, sample)

    @torch.no_grad()
    def _interpret(self, answer: Tensor, images: Tensor) -> None:
        """Find out what the outputs are, given those of the first image and of black; all images where that is open."""
        # Where a model with positive weights says most.
        white = torch.ones_like(images[:1], dtype=self.dtype, device=self.device)

        def answers() -> Iterator[tuple[Tensor, bool]]:
            yield answer, False
            yield _checked(self._model(self._asked(white)), 1), False
            for part in self._parts(images):
                yield _checked(self._model(self._asked(part)), len(part)), True

        self._scores, self._never, (here, self._rounds) = _meaning(answers(), self._coarsest)
        if self._scores == "chances" and self._leaves(images):
            self._scores, self._never, here, self._rounds = "logits", None, False, False
        # Probabilities of classes are a half each where one overtakes the other; chances may both have become 1.
        self.rounded = here or (self._scores == "chances" and self._rounds)
        if self._scores != "logits":
            return
        sizes, limits = answer[answer.isfinite() & (answer != 0)].abs().double(), torch.finfo(self.dtype)
        # The smallest tells whether they are too large, because a mask may be.
        if len(sizes) and (sizes.amax() < limits.tiny**0.49 or sizes.amin() > limits.max**0.49):
            raise ValueError(
                f"got logits of the size of {float(sizes[0]):.0e}; expected one whose square {limits.dtype} holds; "
                "multiply them by a constant."
            )

    def _leaves(self, images: Tensor) -> bool:
        """Whether outputs leave [0, 1] where the smallest was to be smaller, or the largest larger: no chances do."""
        for part in self._parts(images):
            with torch.enable_grad():
                leaf = part.clone().requires_grad_()
                answer = self._model(self._asked(leaf))
                least, most = (
                    torch.autograd.grad(extreme.sum(), leaf, retain_graph=True)[0]
                    for extreme in (answer.amin(1), answer.amax(1))
                )
            for corner in ((least < 0).to(part), (most > 0).to(part)):  # of the box
                there = self._model(self._asked(corner))
                if bool(((there < -EXCESS) | (there > 1 + EXCESS)).any()):
                    return True
        return False

    def _parts(self, images: Tensor) -> Iterator[Tensor]:
        """Images on the unit box, a few at a time, where the model works."""
        for part in images.detach().split(max(1, PIXELS // max(1, images[0].numel()))):
            yield to_unit_box(part.to(self.device), self.bounds).to(self.dtype)

    def _outside(self, images: Tensor) -> Tensor:
        """Images of the unit box in the user's units."""
        lowest, highest = self.bounds
        return images if (lowest, highest) == (0, 1) else lowest + (highest - lowest) * images

    @staticmethod
    def _judge(model: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """A copy with the user's own weights, that leaves nothing behind in the model; else the model itself."""
        shared = _copied(model, shared=True) if isinstance(model, nn.Module) else None
        return model if shared is None else shared

    @staticmethod
    def _plain(model: nn.Module) -> nn.Module | None:
        """A copy in the user's precision."""
        copied = _copied(model)
        return None if copied is None else _frozen(copied)

    def _finest(self, model: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The model in the precision of the search; the model itself where there is no copy."""
        if not isinstance(model, nn.Module):
            return model
        copied = _copied(model)
        return model if copied is None else _converted(copied, self.dtype)

    def _answered(self, asked: Tensor) -> tuple[Tensor | None, Exception | None]:
        """What the user's model says, in the first precision in which it says anything, or the trouble."""
        trouble: Exception | None = None
        reasons = set()
        for graphs, takes in itertools.product((False, True), self._own_dtypes):
            self._graphs, self._own_takes = graphs, takes
            try:
                with torch.no_grad(), none_in_training(self._own):
                    answer = self._said(asked)
            except Exception as problem:
                if out_of_memory(problem) or isinstance(problem, InTraining):
                    raise
                if trouble is None or takes == self._weights:  # there the reason is the model's own
                    trouble = problem
                reasons.add(str(problem))
                continue
            if not isinstance(answer, Tensor) or not answer.is_floating_point():
                _checked(answer, len(asked))
            return answer, None
        self._own_takes = None
        if trouble is not None and len(reasons) == 1 and not isinstance(trouble, AssertionError):
            raise trouble  # the same in every precision: the model's own affair
        return None, trouble

    def _said(self, asked: Tensor) -> Tensor:
        """What the user's model answers, with a graph where its forward pass differentiates something itself."""
        with torch.set_grad_enabled(self._graphs):
            answer = self._own(asked.to(self._own_takes, copy=True).requires_grad_(self._graphs))
        return answer.detach() if isinstance(answer, Tensor) else answer

    def _attempted(self, sample: Tensor, trouble: Exception | None) -> tuple[Tensor | None, Exception | None]:
        """The logits of a copy, or the first trouble there was."""
        try:
            return self._tried(sample), None
        except Exception as problem:
            if out_of_memory(problem) or _ours(problem):
                raise
            return None, trouble or problem

    def _tried(self, sample: Tensor) -> Tensor:
        """Logits of a few images, once it is known that torch can differentiate them."""
        self._writes = True
        self._model = _with_a_graph(self._model) if self._graphs else self._model
        with torch.enable_grad():
            leaf = sample.clone().requires_grad_()
            asked = self._asked(leaf)
            before = asked._version  # noqa: SLF001 - PyTorch's name for it, as in its notes on autograd
            logits = _checked(self._model(asked), len(sample))
            gradient = None
            if logits.requires_grad:
                finite = torch.where(logits.isfinite(), logits, 0)
                (gradient,) = torch.autograd.grad(finite.sum(), leaf, allow_unused=True)
        self._writes = asked._version != before  # noqa: SLF001
        if gradient is None:
            raise ValueError(
                "got logits without a gradient with respect to the images; expected ones that torch can differentiate; "
                "look for no_grad, detach(), NumPy, argmax or a constant in the model."
            )
        return logits.detach()

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """What the user's own model says of images within the user's bounds: (B, k), of its own dtype."""
        if self._own_takes is None:
            answer, trouble = self._answered(images.to(self.device))
            if trouble is not None:
                _raise_as_ours(trouble, images)
        else:
            answer = self._said(images.to(self.device))
        return _checked(answer, len(images))

    def _steady(self, asked: Tensor, answer: Tensor) -> None:
        """Refuse a model whose logits are not a function of the image alone."""
        alike = max(_alike(answer, self._coarsest), ALIKE[torch.float16] if self._short else 0.0)
        again = self.answers(asked)
        if not bool(_apart(again, answer) <= alike):
            raise ValueError(
                "got other logits when the same images were asked for again; expected a model that gives the same "
                "answer every time; switch off its dropout, noise or observers."
            )
        # A little noise is allowed, and leads that it could undo are not believed.
        self._noise = float((again - answer).double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().amax())
        if len(asked) == 1:
            return
        try:
            alone, reason = self.answers(asked[:1]), None
        except Exception as problem:
            if out_of_memory(problem):
                raise
            alone, reason = None, problem
        if alone is None or not bool(_apart(alone, answer[:1]) <= alike):
            raise ValueError(
                "got other logits for an image alone than in a batch; expected each row of logits to depend on its "
                "own image; look for statistics taken over the batch (batch normalisation without running ones, "
                "scales and observers of quantisation)."
            ) from reason


class Judge(Classifier):
    """The model as its user has it, for its answers alone: they need no gradient.

    Args:
        model: as for ``Classifier``.
        images: as for ``Classifier``.

    Raises:
        TypeError: as for ``Classifier``.
        ValueError: as for ``Classifier``, but for gradients.
    """

    def _choose(self, model: Callable[[Tensor], Tensor], images: Tensor) -> None:
        """Ask the user's model about an image, its negative and black."""
        self._own = self._judge(model)
        if len(images) == 0:
            return
        first = to_unit_box(images[:1].detach().to(self.device), self.bounds)
        sample = self._outside(torch.cat([first, 1 - first, torch.zeros_like(first)]))
        answer, trouble = self._answered(sample)
        if answer is None:
            _raise_as_ours(trouble, sample)
        self._steady(sample, _checked(answer, len(sample)))


def on_the_cpu(model: nn.Module) -> nn.Module:
    """A module whose weights are on the CPU, or a copy there; the module itself where there is no copy.

    Args:
        model: looked at, never changed.
    """
    if all(value.device.type == "cpu" for value in (*model.parameters(), *model.buffers())):
        return model
    copied = _copied(model)
    return model if copied is None else copied.to("cpu")


def _with_a_graph(model: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A model whose forward pass differentiates something itself, for those too who want no gradient."""

    def called(x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return model(x)
        with torch.enable_grad():
            answer = model(x.detach().requires_grad_())
        return answer.detach() if isinstance(answer, Tensor) else answer

    return called


def out_of_memory(problem: BaseException) -> bool:
    """Whether an error says that memory ran out; PyTorch's allocator on the CPU raises a plain RuntimeError."""
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return "DefaultCPUAllocator" in str(problem)


def _short_mantissa(model: object, device: torch.device) -> bool:
    """Whether this device rounds float32 to ten bits before a product, as PyTorch allows in convolutions by default."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] < 8:
        return False
    try:
        products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    except RuntimeError:  # set by PyTorch's other names for the same
        return True
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    inside = [inner for module in modules_of(model) for inner in module.modules()]
    # A function that reaches no module may convolve by itself.
    return products or (convolutions and (not inside or any(isinstance(inner, kinds) for inner in inside)))


def duplicate(model: nn.Module, dtype: torch.dtype, device: torch.device | str | None = None) -> nn.Module:
    """A copy of a module for the solver alone: of one precision, without gradients of its weights.

    Args:
        model: in evaluation mode.
        dtype: of the copy; complex weights take the complex type of the same precision.
        device: where the copy goes; None leaves it where the module is.

    Raises:
        ValueError: a module in training mode, or one that cannot be copied.
    """
    check_model(model)
    copied = _copied(model)
    if copied is None:
        raise ValueError(
            f"got a {type(model).__name__} that Python cannot copy; expected one that copy.deepcopy can; look for "
            "locks, files or generators among its attributes, or a __deepcopy__ that returns the module itself."
        )
    return _converted(copied if device is None else copied.to(device), dtype)


def _checked(answer: object, count: int) -> Tensor:
    """The model's answer, if it is one row of class scores per image."""
    if not isinstance(answer, Tensor):
        raise TypeError(f"got {type(answer).__name__} from the model; expected a tensor of logits; {_advice(answer)}.")
    check_plain(answer, "logits")
    if answer.ndim != 2 or len(answer) != count or answer.shape[1] < 2:
        raise ValueError(
            f"got logits of shape {tuple(answer.shape)}; expected ({count}, k) with k >= 2; "
            "return one row of class scores per image."
        )
    if not answer.is_floating_point():
        raise TypeError(
            f"got logits of {answer.dtype}; expected floating ones that torch can differentiate; return class scores, "
            "not labels."
        )
    return answer


def _advice(answer: object) -> str:
    """How to get at the tensor inside of something else."""
    inside = dict(_inside(answer))
    named = [way for way in inside if way.endswith((".logits", "['logits']"))]
    rows = [way for way, value in inside.items() if value.ndim == 2]
    found = next((ways for ways in (named, rows, list(inside)) if ways), [])
    if not found:
        return "return torch's own tensor"
    if len(found) == 1:
        return f"wrap it: lambda x: model(x){found[0]}"
    return f"wrap it, with the entry that holds the logits: lambda x: model(x){', or '.join(found[:4])}"


def _inside(value: object, way: str = "", steps: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The tensors inside of something, and the code that leads from it to each."""
    if isinstance(value, Tensor):
        yield way, value
        return
    parts: dict[str, object] = {}
    if steps == NESTED:
        return
    if isinstance(value, Mapping):
        parts = {f"[{name!r}]": part for name, part in value.items()}
    elif isinstance(value, tuple | list):
        names = [f".{name}" for name in getattr(value, "_fields", ())] or [f"[{place}]" for place in range(len(value))]
        parts = dict(zip(names, value, strict=True))
    else:
        with contextlib.suppress(Exception):  # a property may do anything
            parts[".logits"] = getattr(value, "logits", None)
        parts |= {f".{name}": part for name, part in getattr(value, "__dict__", {}).items() if not name.startswith("_")}
    for step, part in parts.items():
        yield from _inside(part, way + step, steps + 1)


def _meaning(answers: Iterable[tuple[Tensor, bool]], coarsest: torch.dtype) -> tuple[str, Tensor | None, list[bool]]:
    """What a model's outputs are: logits, probabilities of classes, or chances of each class by itself.

    Outputs that all lie strictly between 0 and 1 may be taken for chances where they are none: log odds have the same
    order.

    Args:
        answers: (b, k) outputs, and whether they are of the user's images; no more are asked for once only logits are
            left.
        coarsest: the precision that the user computes with.

    Returns:
        The kind; of probabilities also the classes that have none anywhere, (k,) bool, None where each has some; and
        whether some at the user's images are rounded to 0 or 1, as they are and in the coarsest precision.
    """
    shares, least, most = True, torch.inf, -torch.inf
    # Classes that have some anywhere, and that have none at an image.
    ever = lost = rounded = torch.zeros((), dtype=torch.bool, device="cpu")
    for answer, own in answers:
        known = answer[~answer.isnan().any(1)]
        if len(known) == 0:
            continue
        total, limits = known.double().sum(1), [torch.finfo(kind) for kind in (known.dtype, coarsest)]
        off = torch.minimum((total - 1).abs(), (total / 100 - 1).abs())
        shares = shares and bool((off < max(1e-4, limits[0].eps)).all())
        least, most = min(least, float(known.amin())), max(most, float(known.amax()))
        empty = bool((known == 0).all(1).any())  # scores that read pixels are 0 on black, chances hardly all at once
        if least < 0 or not shares and (most > 1 or empty):
            return "logits", None, [False, False]
        ever = ever.to(known.device) | (known > 0).any(0)
        if own:
            none = torch.stack([known < limit.tiny for limit in limits])
            full = torch.stack([known > 1 - limit.eps for limit in limits])
            lost = lost.to(known.device) | none.any(1)
            rounded = rounded.to(known.device) | (none.sum(2) + 1 >= none.shape[2] if shares else full.any(2)).any(1)
    # Scores of another kind may end at 0, by a relu, but not at 1 as well.
    if not bool(ever.any()) or not (shares or most > 1 - 1e-3 or least > 0):
        return "logits", None, [False, False]
    rounded = rounded | (lost & ever).any(-1)
    never = None if bool(ever.all()) else ~ever
    return "probabilities" if shares else "chances", never, rounded.expand(2).tolist()


def to_unit_box(images: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Images with their pixels moved to [0, 1].

    Args:
        images: (B, *shape) within the bounds.
        bounds: the lowest and the highest pixel.
    """
    lowest, highest = bounds
    return images if (lowest, highest) == (0, 1) else ((images - lowest) / (highest - lowest)).clamp(0, 1)


def apart(one: Tensor, other: Tensor) -> Tensor:
    """The largest difference of two answers, as a part of the spread of the finite logits, row by row.

    Args:
        one: (..., k) logits.
        other: (..., k) logits, whose spread it is, or a hundredth of their largest size where that is more.

    Returns:
        (...) float64, infinite where a logit is finite in one of them only.
    """
    one, other = one.double().cpu(), other.double().cpu()
    seen = other.isfinite()
    spread = torch.where(seen, other, -torch.inf).amax(-1) - torch.where(seen, other, torch.inf).amin(-1)
    size = torch.where(seen, other, 0).abs().amax(-1)
    difference = torch.where(seen, one - other, 0).abs().nan_to_num(nan=torch.inf).amax(-1)
    difference = torch.where((seen == one.isfinite()).all(-1), difference, torch.inf)
    # Relative to the spread, but never finer than the logits themselves are known.
    return difference / torch.maximum(spread.nan_to_num(), 1e-2 * size).clamp(min=torch.finfo(torch.float64).tiny)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """The largest of these differences over a batch, 0 in an empty one."""
    if one.shape != other.shape:
        return torch.tensor(torch.inf)
    told = ~(one.isnan().any(-1) & other.isnan().any(-1))  # what is broken is told with a better reason
    return apart(one[told], other[told]).amax() if bool(told.any()) else torch.tensor(0.0)


def _alike(answer: Tensor, weights: torch.dtype) -> float:
    """How far apart two answers in the coarser of two precisions may lie."""
    return max(ALIKE.get(kind, 1e-3) for kind in (answer.dtype, weights))


def _raise_as_ours(problem: Exception | None, sample: Tensor) -> None:
    """The model's own error in one sentence."""
    if problem is None:
        raise ValueError(
            "got other logits from a copy of the model than from the model; expected a model that can be copied; "
            "wrap it: lambda x: model(x)."
        )
    reason = " ".join(str(problem).split())[:300]
    raise ValueError(
        f"got {type(problem).__name__} from the model ({reason}) for images of shape {tuple(sample.shape)}; expected "
        "logits for batches of any size in the model's own precision, with a gradient; try model(images) by itself."
    ) from problem


def _ours(problem: Exception) -> bool:
    """Whether an error is one of this room's sentences and not the model's own."""
    return isinstance(problem, TypeError | ValueError) and str(problem).startswith("got ")


def _copied(model: nn.Module, *, shared: bool = False) -> nn.Module | None:
    """A deep copy, with the same weights or with its own; None where Python cannot make one.

    Tensors that are part of a graph (features kept on the module or by a hook, the effective weight of an old
    parametrisation) cannot be copied by Python: the copy gets their values.
    """
    memo: dict[int, object] = {}
    kept: list[object] = []  # an id means something only while its object lives
    for value in _within(model):
        if isinstance(value, Tensor) and not value.is_leaf:
            memo[id(value)] = value.detach().clone()
        elif shared and isinstance(value, nn.Parameter):
            memo[id(value)] = value
        kept.append(value)
    try:
        with torch.no_grad():  # a scripted module would give its copy a graph
            copied = copy.deepcopy(model, memo)
            # What says of itself how it is copied may stay what it is, and would be changed with its copy.
            return None if _shares(model, copied, weights=not shared) else copied
    except Exception as problem:
        if out_of_memory(problem):
            raise
        return None


def _shares(model: nn.Module, copied: nn.Module, *, weights: bool) -> bool:
    """Whether two modules have layers, buffers or, where that is asked, weights in common."""
    both = [{id(inner) for inner in one.modules()} for one in (model, copied)]
    for one, places in zip((model, copied), both, strict=True):
        for value in (*one.buffers(), *(one.parameters() if weights else ())):
            places.add(id(value))
            if value.layout == torch.strided and value.device.type != "meta":
                storage = value.untyped_storage()
                places |= {storage._cdata} if storage.nbytes() else set()  # noqa: SLF001 - as pickling tells them apart
    return not both[0].isdisjoint(both[1])


def _within(root: object) -> Iterator[object]:
    """Everything that a deep copy of an object would copy."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        value = stack.pop()
        if id(value) in seen or isinstance(value, type | FunctionType | BuiltinFunctionType | ModuleType):
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, Tensor | np.ndarray | str | bytes | int | float | complex | None):
            continue
        if isinstance(value, dict):
            stack.extend((*value.keys(), *value.values()))
        elif isinstance(value, list | tuple | set | frozenset):
            stack.extend(value)
        elif isinstance(value, functools.partial):
            stack.extend((value.func, value.args, value.keywords))
        elif inspect.ismethod(value):
            stack.append(value.__self__)
        with contextlib.suppress(Exception):
            stack.append(vars(value))
        for kind in type(value).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            stack.extend(getattr(value, name, None) for name in ((slots,) if isinstance(slots, str) else slots))


def _converted(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module in another precision: real weights real, complex weights complex."""
    wide = torch.complex128 if dtype == torch.float64 else torch.complex64
    if any(value.is_complex() for value in (*model.parameters(), *model.buffers())):
        # Module.to would drop the imaginary parts.
        for value in (*model.parameters(), *model.buffers()):
            value.data = value.data.to(wide if value.is_complex() else _floating(value, dtype))
    else:
        model = model.to(dtype)
    return _frozen(model)


def _floating(value: Tensor, dtype: torch.dtype) -> torch.dtype:
    return dtype if value.is_floating_point() else value.dtype


def _frozen(model: nn.Module) -> nn.Module:
    """The module without gradients of its weights."""
    for weight in model.parameters():  # scripted modules have no requires_grad_ of their own
        if weight.is_leaf:
            weight.requires_grad_(False)
    return model


@contextlib.contextmanager
def no_trace(device: torch.device) -> Iterator[None]:
    """Leaves the generators of random numbers as they were, should the model draw from them.

    Args:
        device: where the model works.
    """
    ours, theirs = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's global generator
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)  # noqa: NPY002
