"""What examples of each kind are, seen on a few networks that any computer trains in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from intriguing.book import cache, fingerprint, settings
from intriguing.book.results import Table
from intriguing.chapters.back_feeding import examples
from intriguing.chapters.back_feeding.bank import Bank, Plan, Setup, fresh, wrong
from intriguing.chapters.back_feeding.campaign import Pixels, distances
from intriguing.chapters.back_feeding.examples import ACTIVATIONS, Weights
from intriguing.data import Digits, Images

Networks = Mapping[str, Weights]

PLANS = {
    "nothing": Plan(),
    "noise 1.5": Plan("noise", 1.5),
    "exit x 1": Plan("exit", 1.0),
    "dose 1.5": Plan("dose", 1.5),
}
"""What the small networks learn from beside the training set."""

KINDS = {
    "noise 1.5": Plan("noise", 1.5),
    "exit x 1": Plan("exit", 1.0),
    "exit x 2": Plan("exit", 2.0),
    "dose 0.5": Plan("dose", 0.5),
    "dose 1.5": Plan("dose", 1.5),
    "dose 3": Plan("dose", 3.0),
}
"""Of which kinds examples are looked at."""


@dataclass(frozen=True)
class Size:
    """How the small networks are trained.

    Attributes:
        epochs: passes over the training set.
        batch: images in an update.
        rate: the largest learning rate.
        images: of the training set, the first ones.
        seeds: networks for each plan.
        looked_at: test images whose distance from the boundary is measured.
    """

    epochs: int
    batch: int
    rate: float
    images: int
    seeds: int = 2
    looked_at: int = 100


SIZE = Size(epochs=12, batch=50, rate=3e-3, images=4000)


def networks(digits: Digits) -> dict[str, Weights]:
    """Small networks for each of ``PLANS``, ReLU, side by side in one bank; from disk where they are current.

    Args:
        digits: the data of the profile.

    Returns:
        Name of the plan -> the weights of its networks, one for each seed.
    """
    size = SIZE
    nets = [(plan, seed) for plan in PLANS.values() for seed in range(size.seeds)]
    key = {
        "plans": [asdict(plan) for plan in PLANS.values()],
        "size": asdict(size),
        "training": digits.train.digest,
        "code": fingerprint.of(Bank),
    }

    def make() -> dict[str, Tensor]:
        pixels = pixels_of(digits.train).cut(slice(0, size.images))
        found = Bank(nets, Setup(size.rate, size.epochs, size.batch), pixels.images, pixels.labels).train().weights
        return {
            f"{name}{layer}": part for layer, pair in enumerate(found) for name, part in zip("wb", pair, strict=True)
        }

    kept = cache.load_or_make("back-fed", key, make)
    return {
        name: [
            tuple(kept[f"{part}{layer}"][number * size.seeds : (number + 1) * size.seeds] for part in "wb")
            for layer in range(3)
        ]
        for number, name in enumerate(PLANS)
    }


def pixels_of(images: Images) -> Pixels:
    """Images as the networks of this chapter read them."""
    return Pixels(images.images.flatten(1), images.labels)


def made(weights: Weights, pixels: Pixels, kind: Plan) -> Tensor:
    """Examples of a kind, for the first network of a stack.

    Args:
        weights: of the stack.
        pixels: N images.
        kind: one of ``KINDS``.

    Returns:
        (N, 784) in [0, 1].
    """
    one = [(matrix[:1], bias[:1]) for matrix, bias in weights]
    h = examples.outputs(one, pixels.images[None], ACTIVATIONS[kind.activation].function)
    return fresh(kind, one, h, pixels.labels[None], 0, torch.tensor(kind.size).view(1, 1, 1))[0][0]


def beside(weights: Weights, pixels: Pixels, names: Sequence[str]) -> Tensor:
    """Images (N, 784), and below them examples made of them of each of the named ``KINDS``, as rows of one tensor."""
    return torch.cat([pixels.images, *(made(weights, pixels, KINDS[name]) for name in names)])


def read(weights: Weights, images: Tensor) -> Tensor:
    """(N,) long, the class that the first network of a stack reads in each image."""
    one = [(matrix[:1], bias[:1]) for matrix, bias in weights]
    return examples.outputs(one, images[None], torch.relu)[-1][0].argmax(-1)


def rightly(weights: Weights, images: Images, count: int) -> Pixels:
    """The first few images that a network reads rightly.

    Args:
        weights: of a stack, whose first network reads.
        images: looked through in order.
        count: how many.
    """
    pixels = pixels_of(images)
    found = (read(weights, pixels.images) == pixels.labels).nonzero()[:count, 0]
    return Pixels(pixels.images[found], pixels.labels[found])


def readings(weights: Weights, images: Tensor) -> list[str]:
    """What the first network of a stack reads in each image (N, 784), in words."""
    return [f"read as {int(label)}" for label in read(weights, images)]


def kinds(weights: Weights, pixels: Pixels) -> Table:
    """How long the steps of each kind are, and how many images they carry over a boundary.

    Args:
        weights: of a stack, for whose first network they are made.
        pixels: images that it reads rightly.

    Returns:
        A ``Table`` named ``back_feeding_kinds``: the mean length |r| once the image is cut to [0, 1], and the share of
        the examples that are misread when they are made.
    """
    torch.manual_seed(settings.SEED)
    rows = {}
    for name, kind in KINDS.items():
        moved = made(weights, pixels, kind)
        misread = (read(weights, moved) != pixels.labels).double().mean()
        rows[name] = [float((moved - pixels.images).norm(dim=1).mean()), float(misread)]
    return Table("back_feeding_kinds", ["length", "misread when made"], rows, {"data": "training images read rightly"})


def small(nets: Networks, digits: Digits) -> tuple[Table, dict[str, Tensor]]:
    """What became of the small networks.

    Args:
        nets: as from ``networks``.
        digits: the data of the profile.

    Returns:
        A ``Table`` named ``back_feeding_small``: the mean test error, and for the first network of each plan the mean
        distance |r| of the boundary from test images that it reads rightly; and the errors by plan, one for each seed.
    """
    judged = pixels_of(digits.test)
    looked_at = judged.cut(slice(0, SIZE.looked_at))
    found = {
        name: wrong(weights, torch.relu, judged.images, judged.labels).double().mean(1)
        for name, weights in nets.items()
    }
    rows = {}
    for name, weights in nets.items():
        far = distances([(matrix[:1], bias[:1]) for matrix, bias in weights], "ReLU", looked_at)
        rows[name] = [float(found[name].mean()), sum(far) / len(far)]
    return Table("back_feeding_small", ["test error", "distance"], rows, {"data": digits.name}), found


def tolerances(errors: Mapping[str, Tensor]) -> dict[str, float]:
    """How far the small networks of another computer may lie from the stored ones, whose rounding training amplifies.

    Args:
        errors: by plan, one for each seed.

    Returns:
        Column -> tolerance: four standard deviations over seeds of the error, and at least 0.3 points; a third of a
        typical distance, for lengths as well; and 0.12 for the share misread when made.
    """
    spread = float(torch.stack([part.var() for part in errors.values()]).mean().sqrt())
    return {"test error": max(4 * spread, 3e-3), "distance": 0.4, "length": 0.4, "misread when made": 0.12}
