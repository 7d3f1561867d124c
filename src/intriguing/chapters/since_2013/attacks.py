"""Attacks that bound the largest change of any pixel: one sign of the gradient, many of them, and signs at random."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from intriguing.attack.checks import check_targets
from intriguing.attack.perturbations import value_and_gradient
from intriguing.attack.readiness import check_model

STEPS = 20  # of projected gradient ascent, when a network is tested
STRIDE = 2.5  # a step is this many times size / steps, so that the ball can be crossed


def random_signs(images: Tensor, size: float, *, seed: int = 0) -> Tensor:
    """Every pixel moved up or down by the same amount at random, and cut back to [0, 1].

    Args:
        images: (N, *shape) in [0, 1].
        size: the largest change of a pixel, at least 0.
        seed: of the signs.
    """
    generator = torch.Generator().manual_seed(seed)
    coins = torch.randint(0, 2, images.shape, generator=generator).to(images)
    return (images + size * (2 * coins - 1)).clamp(0, 1)


def gradient_sign(model: nn.Module, images: Tensor, labels: Tensor, size: float) -> Tensor:
    """The fast gradient sign method: one step of the largest size in the sign of the gradient of the loss.

    Args:
        model: images -> logits (N, k).
        images: (N, *shape) in [0, 1].
        labels: (N,) long, the true classes, away from which the step goes.
        size: the largest change of a pixel, at least 0.

    Returns:
        (N, *shape) in [0, 1].

    Raises:
        TypeError: the labels are no tensor of int64.
        ValueError: a module is in training mode, or there is not one label for each image.

    Source:
        Goodfellow et al. 2015, section 4.
    """
    _check(model, images, labels)
    return (images + size * _ascent(model, images, labels).sign()).clamp(0, 1)


def projected_ascent(
    model: nn.Module, images: Tensor, labels: Tensor, size: float, *, steps: int = STEPS, seed: int = 0
) -> Tensor:
    """Projected gradient ascent: many small signs from a random start, kept within the size and the box.

    Args:
        model: images -> logits (N, k).
        images: (N, *shape) in [0, 1].
        labels: (N,) long, the true classes.
        size: the largest change of a pixel, at least 0.
        steps: how many gradients, at least 1.
        seed: of the start.

    Returns:
        (N, *shape) in [0, 1].

    Raises:
        TypeError: as for :func:`gradient_sign`.
        ValueError: likewise.

    Source:
        Madry et al. 2018, section 2.1.
    """
    _check(model, images, labels)
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(images.shape, generator=generator).to(images)
    low, high = (images - size).clamp(0, 1), (images + size).clamp(0, 1)
    moved = low + start * (high - low)
    for _ in range(steps):
        step = STRIDE * size / steps * _ascent(model, moved, labels).sign()
        moved = torch.minimum(torch.maximum(moved + step, low), high)
    return moved


def _check(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Raises an error unless the model is in evaluation mode and there is one label for each image."""
    check_model(model)
    check_targets(images, labels, "labels")


def _ascent(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each image's loss in the image."""
    return value_and_gradient(lambda x: F.cross_entropy(model(x), labels, reduction="none"), images)[1]
