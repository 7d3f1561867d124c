"""The most decayed linear network, trained here and now: with all of the decay or half, with its biases or without."""

from __future__ import annotations

import torch
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book.results import Table
from intriguing.chapters.protocol.hunt import words
from intriguing.chapters.protocol.stacked import Classification, Layout, initial, train
from intriguing.data import Digits
from intriguing.models.recipes import CLASSES, PIXELS, recipe
from intriguing.models.training import error_rate, predict

NAME, ITERATIONS = "FC10(1)", 200
WAYS = {
    "x1": (1.0, False),
    "x0.5": (0.5, False),
    "x1, biases decayed": (1.0, True),
    "x0.5, biases decayed": (0.5, True),
}
"""Name -> the factor on the decay, and whether the biases are decayed as well."""


def four_trainings(digits: Digits, attacked: int) -> Table:
    """Errors and distortion of FC10(1) under four trainings.

    Args:
        digits: the data.
        attacked: how many training images are attacked, the first ones.

    Returns:
        The ``Table`` ``biases``: a row for each training; the distortion is the root mean square over all pixels of the
        images that the network reads rightly.
    """
    layout, pixels = Layout((PIXELS, CLASSES)), digits.train.images.flatten(1)
    factors = torch.tensor([factor for factor, _ in WAYS.values()])
    loss = Classification(
        layout,
        pixels,
        digits.train.labels,
        factors[:, None] * recipe(NAME).decay[0],
        torch.tensor([biases for _, biases in WAYS.values()]),
    )
    ended = train(loss, initial(layout.widths, [0] * len(WAYS)), [ITERATIONS]).levels[str(ITERATIONS)]
    some, rows = digits.train.take(slice(0, attacked)), {}
    for way, weight, bias in zip(WAYS, *layout.split(ended)[0], strict=True):
        linear = nn.Linear(PIXELS, CLASSES).requires_grad_(False)
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
        network = nn.Sequential(nn.Flatten(), linear).eval()
        found = minimum_distortion(network, some.images, random_targets(some.labels))
        own = found.rms[predict(network, some.images) == some.labels]
        parts = (digits.train, digits.test)
        rows[words(way)] = [
            *(error_rate(network, part.images, part.labels) for part in parts),
            float(own.square().mean().sqrt()),
        ]
    return Table("biases", ["training error", "test error", "distortion"], rows, {"data": digits.name})
