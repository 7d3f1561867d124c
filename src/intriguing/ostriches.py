"""Figure 5: photographs drawn strictly at random, and what takes each of them to be an ostrich."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import longrun, scale
from .distortion import Distortion

OSTRICH = 9
"""The class "ostrich, Struthio camelus"."""

LEVELS = 255  # steps between black and white in a file
CHUNK = 4  # photographs solved at a time and kept as one file: half a minute of one core, 0.8 GB


def draw(total: int, count: int, seed: int = scale.SEED) -> Tensor:
    """Which photographs are taken: a draw without replacement, and nothing looked at before or after.

    Args:
        total: how many there are.
        count: how many to draw.
        seed: of the draw.

    Returns:
        (count,) long, in the order of the draw.

    Raises:
        ValueError: more are asked for than there are.
    """
    if not 1 <= count <= total:
        raise ValueError(f"expected to draw 1 to {total} of {total} photographs, got {count}")
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]


def attack(
    model: nn.Module, images: Tensor, targets: Tensor, *, refine: bool = True, progress: str | None = None
) -> Distortion:
    """D(x, l) for photographs; chunks that are finished are kept, so that an interruption costs half a minute.

    Args:
        model: images in [0, 1] -> logits.
        images: (B, 3, height, width) float32 in [0, 1].
        targets: (B,) long.
        refine: True for the shortest perturbation, False for the paper's penalty method, fourteen times as slow here.
        progress: title of a progress bar; None for none.

    Returns:
        As for :func:`intriguing.distortion.minimum_distortion`.
    """
    return longrun.attack(model, images, targets, refine=refine, chunk=CHUNK, progress=progress)


@dataclass(frozen=True)
class Amplified:
    """What becomes of perturbations that are multiplied, and saved in a file with 8 bits per colour.

    Attributes:
        factors: (F,) what they were multiplied by.
        rms: (F, B) distortion before rounding.
        probability: (F, B) probability of the target before rounding.
        hit: (F, B) bool, whether the network takes the image for its target before rounding.
        rounded_rms: (F, B) distortion after rounding to 8 bits.
        rounded_hit: (F, B) bool, whether it still does after rounding.
    """

    factors: Tensor
    rms: Tensor
    probability: Tensor
    hit: Tensor
    rounded_rms: Tensor
    rounded_hit: Tensor


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
    # (F, B) for each of the five fields: chunks side by side, factors below each other
    fields = (
        torch.stack([torch.cat([column[f][k] for column in columns]) for f in range(len(factors))]) for k in range(5)
    )
    return Amplified(torch.tensor(factors, dtype=torch.float64), *fields)


def transferred(
    models: Mapping[str, Callable[[Tensor], Tensor]], images: Tensor, labels: Tensor, sets: Mapping[str, Tensor]
) -> dict[str, list[float]]:
    """Of the photographs that a network reads correctly, the share that it misreads once they are distorted.

    Digits are read nearly without error, photographs are not: those that a network misreads undistorted prove nothing
    about the distortion.

    Args:
        models: name -> network, images -> logits.
        images: (B, *shape) in [0, 1], undistorted.
        labels: (B,) long.
        sets: name of the network they were made for -> (B, *shape), distorted.

    Returns:
        For each set the shares of the networks, in order; NaN for a network that reads no photograph correctly.
    """
    with torch.no_grad():
        right = {name: model(images).argmax(1) == labels for name, model in models.items()}
        return {
            maker: [
                float((model(distorted).argmax(1) != labels)[right[name]].double().mean())
                for name, model in models.items()
            ]
            for maker, distorted in sets.items()
        }


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
        _rms(image - clean),
        logits.softmax(1).gather(1, target[:, None])[:, 0].double(),
        logits.argmax(1) == target,
        _rms(file - clean),
        after.argmax(1) == target,
    )


def _rms(step: Tensor) -> Tensor:
    return step.double().square().flatten(1).mean(1).sqrt()
