"""Networks that share no training image: each is trained on one half of the training set, and some on fewer images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from intriguing.book import paper
from intriguing.data import Digits
from intriguing.models.training import trained

NOISE = (0.06, 0.1)  # standard deviations of the two rows of noise in Table 4


@dataclass(frozen=True)
class Half:
    """A network that is trained on one half of the training images.

    Attributes:
        recipe: a key of ``recipes.RECIPES``.
        part: ``"part1"`` or ``"part2"``, the half.
        offset: the initial weights have the seed 2 s + offset in repetition s, so that the networks of the two halves
            never start from the same weights.
    """

    recipe: str
    part: str
    offset: int


HALVES: Mapping[str, Half] = {
    "FC100-100-10": Half("FC100-100-10", "part1", 0),
    "FC123-456-10": Half("FC123-456-10", "part1", 0),
    "FC100-100-10'": Half("FC100-100-10", "part2", 1),
    "FC123-456-10'": Half("FC123-456-10", "part2", 1),
    "ConvNet": Half("ConvNet", "part1", 0),
    "ConvNet'": Half("ConvNet", "part2", 1),
}
"""The networks of Tables 3 and 4, the fourth one that completes the square, and two that are convolutional."""


def networks(
    digits: Digits,
    names: Iterable[str] = paper.HALF_MODELS,
    *,
    repetition: int = 0,
    max_iterations: int | None = None,
) -> dict[str, nn.Module]:
    """Networks trained on halves of the training images.

    Args:
        digits: the data with their halves.
        names: keys of ``HALVES``.
        repetition: s, at least 0; another one starts from other weights.
        max_iterations: cap on L-BFGS iterations; by default that of the profile.

    Returns:
        name -> trained network, in the order of ``names``.

    Raises:
        KeyError: a name that ``HALVES`` does not have.

    Source:
        Szegedy et al. 2013, Table 3.
    """
    return {
        name: trained(
            HALVES[name].recipe,
            getattr(digits, HALVES[name].part),
            seed=2 * repetition + HALVES[name].offset,
            max_iterations=max_iterations,
        ).model
        for name in names
    }


def small(digits: Digits, count: int) -> Digits:
    """The first training images and two halves of them, with all test images.

    Args:
        digits: the data.
        count: how many training images, an even number.

    Returns:
        ``Digits`` with ``count`` training images; names say so, because trained weights are kept by them.

    Raises:
        ValueError: an odd number, or more images than there are.
    """
    if count % 2 or not 0 < count <= len(digits.train):
        raise ValueError(f"got {count} images; expected an even number up to {len(digits.train)}.")
    name = f"{digits.train.name}, first {count}"
    half = count // 2
    return Digits(
        train=digits.train.take(slice(0, count), name),
        test=digits.test,
        part1=digits.train.take(slice(0, half), f"{name}, P1"),
        part2=digits.train.take(slice(half, count), f"{name}, P2"),
        name=f"{digits.name}, first {count}",
    )
