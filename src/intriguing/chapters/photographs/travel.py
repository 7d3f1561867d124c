"""Whether what fools one network of photographs fools another: into the class that was aimed at, or into any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intriguing.attack.perturbations import noise_of_size, rms
from intriguing.book import paper
from intriguing.chapters.photographs import recognition
from intriguing.chapters.photographs.shortest import shortest

MINIMUM, PRINTED, FIVE = (
    "at the minimum",
    f"at {paper.NUMBERS['figure 5 distortion'].value:g}",
    "at five times the minimum",
)
SIZES = (MINIMUM, PRINTED, FIVE)
TARGET, AWAY = "to the target", "to any other class"
NOISE, OTHERS = "noise", "made for another photograph"


@dataclass(frozen=True, eq=False)
class Travel:
    """Photographs that every network reads correctly, and what the networks make of them once they are distorted.

    Attributes:
        networks: their names.
        misread: (goal, maker, size, reader) -> (B,) bool, whether a photograph is read wrongly. Makers are networks,
            ``NOISE`` of the mean length of what the networks made, and, as ``AlexNet: made for another photograph``,
            the perturbation of the photograph before, for the first one that of the last.
        hit: likewise, whether it is taken for the target; for the goal ``TARGET`` alone.
        lengths: (goal, maker) -> mean RMS at the minimum.
    """

    networks: tuple[str, ...]
    misread: dict[tuple[str, str, str, str], Tensor]
    hit: dict[tuple[str, str, str, str], Tensor]
    lengths: dict[tuple[str, str], float]

    @property
    def photographs(self) -> int:
        """How many they are."""
        return len(next(iter(self.misread.values())))


def made_for(
    networks: Mapping[str, nn.Module],
    images: Tensor,
    classes: Tensor,
    *,
    away: bool = False,
    steps: int,
    progress: str | None = None,
) -> dict[str, Tensor]:
    """The photographs as each network's shortest perturbations change them.

    Args:
        networks: by name.
        images: (B, 3, height, width) in [0, 1].
        classes: (B,) long, to go to or, with ``away``, to leave.
        away: as for :func:`intriguing.chapters.photographs.shortest.lead`.
        steps: passes through the network for each perturbation.
        progress: title of a progress bar; None for none.

    Returns:
        Name -> (B, 3, height, width) in [0, 1].
    """
    return {
        name: shortest(
            model, images, classes, away=away, steps=steps, progress=progress and f"{progress}, {name}"
        ).images
        for name, model in networks.items()
    }


def travel(
    networks: Mapping[str, nn.Module],
    images: Tensor,
    right: Callable[[Tensor], Tensor],
    made: Mapping[str, Mapping[str, Tensor]],
    targets: Tensor,
) -> Travel:
    """The perturbations of every network on every network, at three lengths before they are cut back to [0, 1].

    Args:
        networks: by name.
        images: (B, 3, height, width) in [0, 1], all of which they read correctly, two at least.
        right: classes (B,) -> (B,) bool, whether these are correct.
        made: ``TARGET``, ``AWAY`` or both -> as from :func:`made_for`.
        targets: (B,) long, the classes of the goal ``TARGET``.

    Returns:
        A ``Travel``.

    Raises:
        ValueError: fewer than two photographs.
    """
    if len(images) < 2:
        raise ValueError(f"got {len(images)} photographs that every network reads; expected two at least; give more.")
    outcome = Travel(tuple(networks), {}, {}, {})
    for goal, changes in made.items():
        lengths = {name: rms(images, changed) for name, changed in changes.items()}
        outcome.lengths.update({(goal, name): float(length.mean()) for name, length in lengths.items()})
        ways = [(name, changed, lengths[name]) for name, changed in changes.items()]
        mean = torch.stack(list(lengths.values())).mean(0)
        ways.append((NOISE, noise_of_size(images, mean), mean))
        ways += [(f"{name}: {OTHERS}", images + (changed - images).roll(1, 0), lengths[name].roll(1, 0))
                 for name, changed in changes.items()]  # fmt: skip
        for maker, changed, length in ways:
            factors = (torch.ones(()), _printed() / length.clamp(min=1e-9), torch.tensor(5.0))
            for size, factor in zip(SIZES, factors, strict=True):
                moved = images + (changed - images) * factor.to(images).view(-1, 1, 1, 1)
                for reader, model in networks.items():
                    read = recognition.read(model, moved.clamp(0, 1))
                    place = (goal, maker, size, reader)
                    outcome.misread[place] = ~right(read)
                    if goal == TARGET:
                        outcome.hit[place] = read == targets
    return outcome


def _printed() -> float:
    return paper.NUMBERS["figure 5 distortion"].value
