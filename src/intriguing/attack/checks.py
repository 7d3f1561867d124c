"""What every solver asks of its input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_images(images: Tensor, shape: Sequence[int] | None = None, name: str = "images") -> None:
    """Raises an error unless the tensor is a batch of images with pixels in [0, 1].

    Args:
        images: (B, ``*shape``), floating, every entry in [0, 1].
        shape: What one image has to be, without the batch; None accepts any shape of one dimension or more.
        name: What the error calls the tensor.

    Raises:
        TypeError: It is no tensor, or its type is not floating.
        ValueError: Its shape is another one, or an entry is NaN or outside [0, 1].
    """
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{name}: got {type(images).__name__}; expected a tensor of shape (B, *shape); convert it first."
        )
    if not images.is_floating_point():
        raise TypeError(f"{name}: got {images.dtype}; expected floating pixels in [0, 1]; divide 8-bit pixels by 255.")
    if images.ndim < 2 or (shape is not None and tuple(images.shape[1:]) != tuple(shape)):
        wanted = "*shape" if shape is None else ", ".join(map(str, shape))
        raise ValueError(
            f"{name}: got shape {tuple(images.shape)}; expected (B, {wanted}); put the batch first, even for one image."
        )
    if images.numel() == 0:
        return
    lowest, highest = (bound.item() for bound in torch.aminmax(images.detach()))
    if lowest != lowest:
        raise ValueError(
            f"{name}: got NaN; expected every pixel in [0, 1]; look for a division by zero before this call."
        )
    if lowest < 0 or highest > 1:
        raise ValueError(
            f"{name}: got pixels from {lowest:.6g} to {highest:.6g}; expected every pixel in [0, 1]; "
            "rescale or clip them."
        )


def check_targets(images: Tensor, targets: Tensor) -> None:
    """Raises an error unless there is one target, at least 0, per image.

    Args:
        images: (B, *shape).
        targets: (B,) long.

    Raises:
        TypeError: the targets are not int64.
        ValueError: there are not as many as images, or one is negative.
    """
    if targets.dtype != torch.long:
        raise TypeError(f"got targets of {targets.dtype}; expected int64; convert them with .long().")
    if targets.shape != images.shape[:1]:
        raise ValueError(f"got targets of shape {tuple(targets.shape)}; expected one per image, ({len(images)},).")
    if len(targets) and int(targets.min()) < 0:
        raise ValueError(f"got target {int(targets.min())}; expected targets from 0 to k - 1.")
