"""What every solver asks of its input."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import torch
from torch import Tensor

NARROWEST, WIDEST = 1e-150, 1e150  # boxes whose widths can be squared


def check_plain(tensor: Tensor, name: str) -> None:
    """Raises an error unless a tensor holds all of its numbers, row by row.

    Raises:
        TypeError: it is sparse, nested or otherwise packed, or has no content.
    """
    if tensor.is_meta:
        raise TypeError(f"got {name} without content (meta); expected numbers; load them on a device first.")
    if tensor.layout != torch.strided or tensor.is_nested:
        packed = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise TypeError(f"got {name} in a {packed} tensor; expected a dense one; convert it with .to_dense().")


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
        bounds: The lowest and the highest pixel, which count as what they are in the type of the images.

    Raises:
        TypeError: It is no tensor, or its type is not floating.
        ValueError: Its shape is another one, it has images without pixels, or an entry is NaN or outside the bounds; or
            there is no box between these.
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
    check_plain(images, name)
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
    lower, upper = checked_bounds(bounds, images.dtype)
    lowest, highest = (bound.item() for bound in torch.aminmax(images.detach()))
    if lowest != lowest:
        raise ValueError(
            f"{name}: got NaN; expected every pixel in {box}; look for a division by zero before this call."
        )
    if lowest < lower or highest > upper:
        (least, lower_end), (most, upper_end) = _told_apart(lowest, lower), _told_apart(highest, upper)
        raise ValueError(
            f"{name}: got pixels from {least} to {most}; expected every pixel in [{lower_end}, {upper_end}]; rescale "
            "or clip them."
        )


def _told_apart(pixel: float, bound: float) -> tuple[str, str]:
    """A pixel and a bound with as many digits as it takes to tell the one from the other."""
    texts = [(f"{pixel:.{digits}g}", f"{bound:.{digits}g}") for digits in (6, 9, 17)]
    return next((pair for pair in texts if pixel == bound or pair[0] != pair[1]), texts[-1])


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
    check_plain(targets, name)
    if targets.shape != images.shape[:1]:
        raise ValueError(
            f"got {name} of shape {tuple(targets.shape)}; expected one per image, ({len(images)},); give as many as "
            "there are images."
        )
    if len(targets) and int(targets.min()) < 0:
        raise ValueError(
            f"got {name[:-1]} {int(targets.min())}; expected {name} from 0 to k - 1; number the classes from 0."
        )


def check_vectors(vectors: Tensor, shape: Sequence[int | None], name: str) -> None:
    """Raises an error unless something is a tensor of finite floating numbers in the shape that is wanted.

    Args:
        vectors: The tensor, of any number of dimensions.
        shape: The size of each dimension; None accepts any.
        name: What the error calls the tensor.

    Raises:
        TypeError: It is no tensor, or its type is not floating.
        ValueError: Its shape is another one, or an entry is infinite or NaN.
    """
    wanted = f"({', '.join('any' if size is None else str(size) for size in shape)}{',' * (len(shape) == 1)})"
    if not isinstance(vectors, Tensor):
        raise TypeError(
            f"got {name} of type {type(vectors).__name__}; expected a tensor of shape {wanted}; {_conversion(vectors)}."
        )
    if not vectors.is_floating_point():
        raise TypeError(f"got {name} of {vectors.dtype}; expected floating numbers; convert them with .double().")
    check_plain(vectors, name)
    got = tuple(vectors.shape)
    if len(got) != len(shape) or any(want not in (None, size) for want, size in zip(shape, got, strict=True)):
        raise ValueError(f"got {name} of shape {got}; expected {wanted}; give one row for each image or direction.")
    if not bool(vectors.isfinite().all()):
        raise ValueError(f"got {name} with infinite entries or NaN; expected finite ones; leave those rows out.")


def check_classes(targets: Tensor, classes: int, name: str = "targets") -> None:
    """Raises an error if a target is no class.

    Raises:
        ValueError: a target is at least the number of classes.
    """
    if bool((targets >= classes).any()):
        raise ValueError(
            f"got {name[:-1]} {int(targets.max())}; expected {name} below {classes}, the number of classes; number the "
            "classes from 0."
        )


def checked_class(target: int | Tensor, classes: int | None = None) -> int:
    """A class as a number.

    Args:
        target: the class.
        classes: k; None for any number of classes.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 0, or at least the number of classes.
    """
    try:
        found = None if isinstance(target, bool) else operator.index(target)
    except TypeError:
        found = None
    if found is None:
        raise TypeError(f"got target {target!r}; expected a whole number, the class; convert it with int().")
    if found < 0 or (classes is not None and found >= classes):
        last = "k - 1" if classes is None else classes - 1
        raise ValueError(f"got target {found}; expected one from 0 to {last}; number the classes from 0.")
    return found


def check_labels(labels: Tensor, classes: int) -> None:
    """Raises an error unless each label is one of at least two classes.

    Args:
        labels: long, of any shape.
        classes: k.

    Raises:
        TypeError: the labels are no tensor of int64, or the number of classes is no whole number.
        ValueError: a label is no class, or there are fewer than two classes.
    """
    check_count("classes", classes, 2)
    if not isinstance(labels, Tensor) or labels.dtype != torch.long:
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"got labels of {got}; expected a tensor of int64, (N,); convert them with .long().")
    check_plain(labels, "labels")
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"got labels from {int(labels.min())} to {int(labels.max())}; expected 0 to {classes - 1}; say in classes "
            "how many there are."
        )


def check_callable(thing: object, name: str, wanted: str) -> None:
    """Raises an error unless something can be called.

    Raises:
        TypeError: it cannot.
    """
    if not callable(thing):
        raise TypeError(f"got {name} of type {type(thing).__name__}; expected {wanted}; give the function itself.")


def check_norm(norm: str) -> None:
    """Raises an error unless the penalty is one of the two that are known.

    Raises:
        ValueError: it is another one.
    """
    if not isinstance(norm, str) or norm not in ("squared", "plain"):
        raise ValueError(f"got norm {norm!r}; expected 'squared' or 'plain'; leave it out for 'squared'.")


def check_numbers(least: float = -math.inf, **settings: float) -> None:
    """Raises an error unless each setting is a finite number.

    Args:
        least: the smallest that is allowed.
        **settings: by name.

    Raises:
        TypeError: one is none.
        ValueError: one is infinite, NaN or too small.
    """
    for name, value in settings.items():
        try:
            number = math.nan if isinstance(value, str | bytes | bytearray) else float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            number = None
        if number is None or isinstance(value, str | bytes | bytearray):
            raise TypeError(f"got {name} {value!r}; expected a number; leave it out for the usual one.")
        if not math.isfinite(number) or number < least:
            wanted = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
            raise ValueError(f"got {name} {number}; expected {wanted}; leave it out for the usual one.")


def checked_flag(name: str, value: bool) -> bool:
    """A switch as a bool.

    Args:
        name: of the setting.
        value: True or False, of Python, NumPy or PyTorch, or 1 or 0.

    Raises:
        TypeError: it is something else.
    """
    try:
        known = not isinstance(value, str | bytes) and value in (0, 1)
    except (TypeError, ValueError, RuntimeError):  # arrays of several
        known = False
    if not known:
        raise TypeError(f"got {name} {value!r}; expected True or False; leave it out for False.")
    return bool(value)


def checked_title(progress: str | bool | None) -> str | None:
    """The title of a progress bar, empty for a bar without one; None for no bar.

    Args:
        progress: a title, None for no bar, or True or False for one without a title or none.

    Raises:
        TypeError: it is something else.
    """
    if progress is None or isinstance(progress, str):
        return progress
    if not isinstance(progress, bool):
        raise TypeError(
            f"got progress {progress!r}; expected the title of a progress bar, or None; leave it out for no bar."
        )
    return "" if progress else None


def check_per_row(name: str, value: float | Tensor, rows: int, least: float = 0.0) -> None:
    """Raises an error unless something is a number, or a tensor with one for all rows or one for each.

    Numbers in a tensor are not looked at: one that makes no sense harms its own row.

    Raises:
        TypeError: it is neither.
        ValueError: the number is infinite, NaN or too small, or there are not as many as rows.
    """
    if not isinstance(value, Tensor):
        check_numbers(least, **{name: value})
        return
    check_plain(value, name)
    if not value.is_floating_point():
        raise TypeError(f"got {name} of {value.dtype}; expected floating numbers; convert them with .double().")
    if value.shape not in ((), (1,), (rows,)):
        raise ValueError(
            f"got {name} of shape {tuple(value.shape)}; expected one number per row, ({rows},); give one for each, or "
            "one for all."
        )


def check_count(name: str, value: int, least: int) -> None:
    """Raises an error unless a setting is a whole number, and not too small.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below the least.
    """
    try:
        whole = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None:
        raise TypeError(
            f"got {name} {value!r}; expected a whole number of at least {least}; leave it out for the usual one."
        )
    if whole < least:
        raise ValueError(
            f"got {name} {whole}; expected a whole number of at least {least}; leave it out for the usual one."
        )


def check_chunk(chunk: int | None) -> None:
    """Raises an error unless the number of images solved at a time is a whole number above 0, or None.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1.
    """
    try:
        whole = 1 if chunk is None else None if isinstance(chunk, bool) else operator.index(chunk)
    except TypeError:
        whole = None
    if whole is None:
        raise TypeError(
            f"got a chunk of {chunk!r}; expected a whole number of images; leave it out for a fitting size."
        )
    if whole < 1:
        raise ValueError(f"got a chunk of {chunk}; expected at least 1 image; leave it out for a fitting size.")


def check_search(
    norm: str, margin: float, margin_tolerance: float, tolerance: float, max_iterations: int, history: int
) -> None:
    """Raises an error unless the settings of the search for D(x, l) are some.

    Args:
        norm: as for ``minimum_distortion``, like all the others.
        margin: likewise.
        margin_tolerance: likewise.
        tolerance: likewise.
        max_iterations: likewise.
        history: likewise.

    Raises:
        TypeError: one of another type.
        ValueError: one out of range.
    """
    check_norm(norm)
    check_numbers(margin=margin, margin_tolerance=margin_tolerance)
    if not margin > 0 or not margin_tolerance > 0:
        raise ValueError(
            f"got margin {margin} and margin_tolerance {margin_tolerance}; expected both above 0; leave them out "
            "for the usual ones."
        )
    check_numbers(0.0, tolerance=tolerance)
    check_count("max_iterations", max_iterations, 0)
    check_count("history", history, 1)


def checked_bounds(bounds: tuple[float, float], dtype: torch.dtype = torch.float64) -> tuple[float, float]:
    """The lowest and the highest pixel as two numbers, rounded to the type of the images.

    Args:
        bounds: two numbers, the lower one first.
        dtype: of the images.

    Raises:
        TypeError: they are no two numbers.
        ValueError: they are not finite, not in order, or so near or far that the square of their distance is lost.
    """
    try:
        lowest, highest = (float(bound) for bound in (() if isinstance(bounds, str | bytes) else bounds))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(
            f"got bounds {bounds!r}; expected two numbers, the lowest and the highest pixel; give (0, 1) for the "
            "paper's box."
        ) from None
    if not (math.isfinite(lowest) and math.isfinite(highest) and lowest < highest):
        raise ValueError(
            f"got bounds {lowest} and {highest}; expected finite ones, the lower one first; give (0, 1) for the "
            "paper's box."
        )
    # What a pixel of that type can be: clamped to a bound, it lies at the rounded one, on whichever side.
    least, most = (torch.tensor(bound, dtype=dtype, device="cpu").item() for bound in (lowest, highest))
    narrowest, widest = max(NARROWEST, torch.finfo(dtype).tiny), min(WIDEST, torch.finfo(dtype).max)
    if not narrowest <= most - least <= widest:
        raise ValueError(
            f"got bounds {lowest} and {highest}, {most - least:g} apart in {dtype}; expected {narrowest:.2g} to "
            f"{widest:.2g} between them; give pixels in another unit."
        )
    return least, most


def checked_box(x: Tensor, lower: float | Tensor, upper: float | Tensor, name: str = "x") -> tuple[Tensor, Tensor]:
    """The bounds of each number of some rows, once these are rows of numbers.

    Args:
        x: (B, n) float32 or float64.
        lower: a number or a tensor that broadcasts to (B, n); ``-inf`` for none.
        upper: likewise.
        name: What the error calls ``x``.

    Returns:
        Copies of the bounds, (1 or B, 1 or n), of the type of ``x``.

    Raises:
        TypeError: x is of another type, or a bound is no number.
        ValueError: x is of another shape, or the bounds do not fit or leave nothing between them.
    """
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"got {name} of {x.dtype}; expected float32 or float64; convert it first.")
    check_plain(x, name)
    if x.ndim != 2:
        raise ValueError(f"got {name} of shape {tuple(x.shape)}; expected (B, n); flatten each problem into a row.")
    bounds: list[Tensor] = []
    for side, given in (("lower", lower), ("upper", upper)):
        if isinstance(given, Tensor):
            check_plain(given, side)
            if given.is_complex():
                raise TypeError(f"got {side} of {given.dtype}; expected real numbers; convert it with .real.")
        try:
            bound = torch.as_tensor(given, dtype=x.dtype, device=x.device).detach().clone()
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"got {side} of type {type(given).__name__}; expected a number or a tensor; use -inf or inf for none."
            ) from None
        try:
            bound.expand(x.shape)
        except RuntimeError:
            raise ValueError(
                f"got {side} of shape {tuple(bound.shape)}; expected bounds that broadcast to {tuple(x.shape)}; give "
                "one number, or one for each coordinate."
            ) from None
        bounds.append(bound.reshape([1] * (2 - bound.ndim) + list(bound.shape)))
    least, most = bounds
    if not bool((least <= most).all()) or bool((least == torch.inf).any()) or bool((most == -torch.inf).any()):
        raise ValueError(
            "got an empty or undefined box; expected lower <= upper in every coordinate; check the bounds."
        )
    return least, most
