"""Figure 5: photographs drawn strictly at random, and what takes each of them to be an ostrich."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from intriguing.attack.perturbations import logit_margin, rms
from intriguing.book import settings

OSTRICH = 9
"""The class "ostrich, Struthio camelus"."""


LEVELS = 255  # steps between black and white in a file


def draw(total: int, count: int, seed: int = settings.SEED) -> Tensor:
    """Which photographs are taken: a draw without replacement, and nothing looked at before or after.

    Args:
        total: how many there are.
        count: how many to draw.
        seed: of the draw.

    Returns:
        (count,) long, in the order of the draw.

    Raises:
        ValueError: none is asked for, or more than there are.
    """
    if not 1 <= count <= total:
        raise ValueError(f"got {count} photographs to draw; expected 1 to {total} of {total}.")
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]


@dataclass(frozen=True)
class Amplified:
    """What becomes of perturbations that are multiplied, and saved in a file with 8 bits per colour.

    Attributes:
        factors: (F,) what they were multiplied by.
        rms: (F, B) distortion before rounding.
        probability: (F, B) probability of the target before rounding.
        hit: (F, B) bool, whether the network takes the image for its target before rounding.
        rounded_rms: (F, B) distortion after rounding to 8 bits.
        rounded_hit: (F, B) bool, whether it does after rounding.
        margin: (F, B) by how much the target's logit leads before rounding.
    """

    factors: Tensor
    rms: Tensor
    probability: Tensor
    hit: Tensor
    rounded_rms: Tensor
    rounded_hit: Tensor
    margin: Tensor


def amplify(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    adversarial: Tensor,
    targets: Tensor,
    factors: Sequence[float],
    chunk: int = 16,
) -> Amplified:
    """Multiply perturbations, keep the images in [0, 1], and round them to 8 bits.

    Args:
        model: images in [0, 1] -> logits.
        images: (B, *shape) in [0, 1], the clean ones.
        adversarial: (B, *shape) in [0, 1].
        targets: (B,) long.
        factors: what the perturbations are multiplied by.
        chunk: images at a time.
    """
    columns = []
    for part in torch.arange(len(images)).split(chunk):
        clean, step, target = images[part], adversarial[part] - images[part], targets[part]
        columns.append([_row(model, clean, step, target, factor) for factor in factors])
    # (F, B) for each of the six fields: chunks side by side, factors below each other
    fields = (
        torch.stack([torch.cat([column[f][k] for column in columns]) for f in range(len(factors))]) for k in range(6)
    )
    return Amplified(torch.tensor(factors, dtype=torch.float64), *fields)


def rounded(images: Tensor) -> Tensor:
    """Images as a file with 8 bits per colour holds them.

    Args:
        images: in [0, 1].

    Returns:
        The same shape, multiples of 1/255.
    """
    return (images * LEVELS).round() / LEVELS


def _row(model: Callable, clean: Tensor, step: Tensor, target: Tensor, factor: float) -> tuple[Tensor, ...]:
    """The fields of ``Amplified`` for one factor."""
    image = (clean + factor * step).clamp(0, 1)
    file = rounded(image)
    with torch.no_grad():
        logits, after = model(image), model(file)
    return (
        rms(image, clean),
        logits.softmax(1).gather(1, target[:, None])[:, 0].double(),
        logits.argmax(1) == target,
        rms(file, clean),
        after.argmax(1) == target,
        logit_margin(logits, target).double(),
    )
