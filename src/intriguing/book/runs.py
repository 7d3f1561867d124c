"""Long runs as the book makes them: digits or cars against a network, kept under the code that solves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from intriguing.attack import runs
from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.attack.perturbations import random_targets
from intriguing.attack.runs import Team
from intriguing.book import cache, fingerprint, settings
from intriguing.data import Images, mnist
from intriguing.models.training import trained


class Run(runs.Run):
    """A long run whose chunks outlive edits that change no meaning, and stand in the account of the page."""

    def code(self, thing: type | Callable) -> str:
        """The fingerprint of a function or class over the definitions that it reaches; empty for PyTorch's own."""
        return fingerprint.of(thing) if thing is minimum_distortion else cache.own_code(thing)

    def about(self, seconds: float) -> dict[str, Any]:
        """The provenance of the run, and what this chunk took."""
        return settings.provenance() | {"seconds": round(seconds, 1), "wall_seconds": round(seconds, 1)}

    def note(self, index: int, about: dict[str, Any], *, made: bool) -> None:
        """Puts the chunk into the account of the computing that the page rests on."""
        name = f"{self.folder.name}/{self.path(index).name}"
        settings.rests_on(name, about.get("seconds"), about.get("device"), made=made)

    def _make(self, index: int) -> Distortion:
        with settings.counted_apart():
            return super()._make(index)


def attack(
    model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, *, progress: str | None = None, **options: Any
) -> Distortion:
    """As :func:`intriguing.attack.runs.attack`, for the pages of the book.

    Args:
        model: as there.
        images: as there.
        targets: as there.
        progress: as there.
        **options: as there.

    Returns:
        A ``Distortion`` on the device of ``images``.
    """
    run = Run(model, images, targets, **options)
    run.finish(progress=progress)
    return run.collect()


def digits(
    name: str, count: int | None = None, *, part: str = "train", team: Team | None = None, **options: Any
) -> Run:
    """A run of digits, one random wrong class each, against a network of the paper, as the command ``attack`` makes it.

    Args:
        name: a key of ``recipes.RECIPES``; the network is trained first where no weights are kept.
        count: how many images, from the first; None takes as many as the profile attacks, or all if there are fewer.
        part: ``"train"`` or ``"test"``, the images to take.
        team: the processes that share the run; the first of them trains the network while the others wait.
        **options: those of :class:`Run`.

    Returns:
        The ``Run``, with nothing solved yet.

    Raises:
        KeyError: no network of that name.
        ValueError: another part, or a count that is not from 1 to the number of images there are.
        DataError: the data cannot be read.
    """
    if part not in ("train", "test"):
        raise ValueError(f"got part {part!r}; expected 'train' or 'test'.")

    def network() -> tuple[nn.Module, Images]:
        data = mnist()
        return trained(name, data.train).model, getattr(data, part)

    model, images = network() if team is None else team.first_alone(network)
    count = min(settings.profile().attack_images, len(images)) if count is None else count
    if not 1 <= count <= len(images):
        raise ValueError(f"got {count} images; expected 1 to {len(images)} in profile {settings.profile().name}.")
    images = images.take(slice(count))
    return Run(model, images.images, random_targets(images.labels), name=name, **options)
