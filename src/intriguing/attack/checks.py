"""What every solver asks of its input."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor


def check_images(
    images: Tensor,
    shape: Sequence[int] | None = None,
    name: str = "images",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Raises an error unless the tensor is a batch of images with pixels in [0, 1], or in another box.

    Args:
        images: (B, ``*shape``), floating, every entry in [0, 1].
        shape: What one image has to be, without the batch; None accepts any shape of one dimension or more.
        name: What the error calls the tensor.
        bounds: The lowest and the highest pixel.

    Raises:
        TypeError: It is no tensor, or its type is not floating.
        ValueError: Its shape is another one, it has images without pixels, or an entry is NaN or outside the bounds.
    """
    lower, upper = bounds
    box = f"[{lower:g}, {upper:g}]"
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{name}: got {type(images).__name__}; expected a tensor of shape (B, *shape); {_conversion(images)}."
        )
    if not images.is_floating_point():
        scale = "divide 8-bit pixels by 255" if (lower, upper) == (0, 1) else "convert them with .float()"
        raise TypeError(f"{name}: got {images.dtype}; expected floating pixels in {box}; {scale}.")
    if images.ndim < 2 or (shape is not None and tuple(images.shape[1:]) != tuple(shape)):
        wanted = "*shape" if shape is None else ", ".join(map(str, shape))
        raise ValueError(
            f"{name}: got shape {tuple(images.shape)}; expected (B, {wanted}); put the batch first, even for one image."
        )
    if images.numel() == 0:
        if len(images):
            raise ValueError(
                f"{name}: got shape {tuple(images.shape)}, images without pixels; expected at least one pixel; check "
                "how they were cut."
            )
        return
    lowest, highest = (bound.item() for bound in torch.aminmax(images.detach()))
    if lowest != lowest:
        raise ValueError(
            f"{name}: got NaN; expected every pixel in {box}; look for a division by zero before this call."
        )
    if lowest < lower or highest > upper:
        raise ValueError(
            f"{name}: got pixels from {_digits(lowest, lower)} to {_digits(highest, upper)}; expected every pixel in "
            f"{box}; rescale or clip them."
        )


def _digits(pixel: float, bound: float) -> str:
    """A pixel with as many digits as it takes to tell it from a bound that it exceeds."""
    return next(
        (text for text in (f"{pixel:.6g}", f"{pixel:.9g}") if pixel == bound or float(text) != bound), repr(pixel)
    )


def _conversion(thing: object) -> str:
    """How something that is no tensor becomes one."""
    if type(thing).__module__ == "numpy":
        return "convert it with torch.from_numpy"
    if isinstance(thing, list | tuple) and thing and isinstance(thing[0], Tensor):
        return "put them together with torch.stack"
    return "convert it with torch.tensor"


def check_targets(images: Tensor, targets: Tensor, name: str = "targets") -> None:
    """Raises an error unless there is one target, at least 0, per image.

    Args:
        images: (B, *shape).
        targets: (B,) long.
        name: What the error calls them.

    Raises:
        TypeError: the targets are no tensor, or not int64.
        ValueError: there are not as many as images, or one is negative.
    """
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"got {name} of type {type(targets).__name__}; expected a tensor of int64, ({len(images)},); "
            f"{_conversion(targets)}."
        )
    if targets.dtype != torch.long:
        raise TypeError(f"got {name} of {targets.dtype}; expected int64; convert them with .long().")
    if targets.shape != images.shape[:1]:
        raise ValueError(f"got {name} of shape {tuple(targets.shape)}; expected one per image, ({len(images)},).")
    if len(targets) and int(targets.min()) < 0:
        raise ValueError(f"got {name[:-1]} {int(targets.min())}; expected {name} from 0 to k - 1.")


def check_classes(targets: Tensor, classes: int) -> None:
    """Raises an error if a target is no class.

    Raises:
        ValueError: a target is at least the number of classes.
    """
    if bool((targets >= classes).any()):
        raise ValueError(f"got target {int(targets.max())}; expected targets below {classes}, the number of classes.")


def check_numbers(**settings: float) -> None:
    """Raises an error unless each setting is a number.

    Raises:
        TypeError: one is none.
    """
    for name, value in settings.items():
        try:
            float(value)
        except (TypeError, ValueError):
            raise TypeError(f"got {name} {value!r}; expected a number; leave it out for the usual one.") from None


def check_chunk(chunk: int | None) -> None:
    """Raises an error unless the number of images solved at a time is a whole number above 0, or None.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1.
    """
    if chunk is None:
        return
    try:
        whole = operator.index(chunk)
    except TypeError:
        raise TypeError(
            f"got a chunk of {chunk!r}; expected a whole number of images; leave it out for a fitting size."
        ) from None
    if whole < 1:
        raise ValueError(f"got a chunk of {chunk}; expected at least 1 image; leave it out for a fitting size.")
