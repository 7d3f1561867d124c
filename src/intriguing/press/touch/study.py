"""What the touchable figures show, computed from networks and kept in one file of the checkout.

The path in c and the radius come from the rounded networks and the digits of the laboratory, which are part of the
checkout, so that anybody can compute them again. Examples that travel come from the trained networks of Table 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.attack import files
from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.penalty import penalty_path
from intriguing.attack.perturbations import moved_by, noise_of_size, random_targets, rms, wrong_classes
from intriguing.book import fingerprint, settings
from intriguing.chapters import laboratory
from intriguing.data import Images, mnist
from intriguing.lipschitz.certificates import global_certificate, local_certificate
from intriguing.models.recipes import TABLE1_MODELS, build
from intriguing.models.training import predict, train_classifier, trained
from intriguing.press.touch.form import grey, sheet, signed

PLACE = Path("book") / "touch.json"
"""Where the file lies in the checkout."""

NETWORK, DIGIT = "FC100-100-10", 6
"""The network and, among those of the laboratory, the digit of the path and of the radius."""

FINER, BEFORE, AFTER = 8, 14, 12
"""Prices of the path: how many to a power of ten, and how many below and above the edge."""

RADII, BEYOND = 33, 1.5
"""Evenly spaced radii of the figure of that name, and how far they go, as a multiple of the shortest perturbation
found; the three at which the answer changes come on top."""

TRIED, SHOWN = 100, 5
"""Test digits behind a cell of the table, and how many of them it opens."""

BLACK, WHITE, FREE_BLACK, FREE = range(4)
_COLOURS = {BLACK: (16, 16, 16), WHITE: (255, 255, 255), FREE_BLACK: (230, 159, 0), FREE: (86, 180, 233)}


def states(clean: Tensor, image: Tensor) -> Tensor:
    """Returns where the pixels of a solution in the box are.

    Args:
        clean: (784,), the image before.
        image: (784,), the solution.

    Returns:
        (784,) long: 0 held at black, 1 held at white, 2 free and black before, 3 free and grey or white before.
    """
    free = torch.where(clean == 0, FREE_BLACK, FREE)
    return torch.where(image == 0, BLACK, torch.where(image == 1, WHITE, free))


def path(network: nn.Module, digits: Images) -> dict[str, Any]:
    """Returns the minimisers along the path in c of one digit, around the edge at which the search ends.

    Args:
        network: images (B, 1, 28, 28) -> logits, float64.
        digits: those of the laboratory.
    """
    image, label = digits.images[DIGIT].double(), int(digits.labels[DIGIT])
    target = int(random_targets(digits.labels)[DIGIT])
    edge = float(minimum_distortion(network, image[None], torch.tensor([target])).penalty[0])
    # The edge lies half-way between two prices, so that rounding decides nothing.
    prices = edge * 10 ** ((torch.arange(-BEFORE, AFTER, dtype=torch.float64) + 0.5) / FINER)
    found, leads = penalty_path(network, image, target, prices)
    clean, solved = image.flatten(), found.flatten(1)
    kinds = torch.stack([states(clean, one) for one in solved])
    energy = (solved - clean).square()
    tiles = []
    for one, kind in zip(solved, kinds, strict=True):
        shade = torch.tensor([[*_COLOURS[int(k)], 255] for k in kind], dtype=torch.uint8).view(28, 28, 4)
        tiles += [grey(one.numpy()), signed((one - clean).numpy()), shade.numpy()]
    return {
        "digit": label,
        "target": target,
        "edge": edge,
        "c": prices.tolist(),
        "distortion": rms(found, image.expand_as(found)).tolist(),
        "lead": leads.tolist(),
        "reads": predict(network, found).tolist(),
        "shares": [[float((kind == k).double().mean()) for k in range(4)] for kind in kinds],
        "black": [float(part[clean == 0].sum() / part.sum()) for part in energy],
        "tiles": sheet(tiles),
    }


def radius(network: nn.Sequential, digits: Images) -> dict[str, Any]:
    """Returns what is proved and what is found around one digit, for every class at once.

    Args:
        network: as for :func:`path`.
        digits: those of the laboratory.
    """
    image, label = digits.images[DIGIT : DIGIT + 1].double(), digits.labels[DIGIT : DIGIT + 1]
    others = wrong_classes(label)[0]
    many = image.expand(len(others), -1, -1, -1)
    proved = {
        name: float(certificate(network, many, others).rms(image.numel()).min())
        for name, certificate in (("global", global_certificate), ("local", local_certificate))
    }
    found = minimum_distortion(network, many, others, refine=True)
    nearest = int(found.rms.argmin())
    shortest = float(found.rms[nearest])
    radii = torch.linspace(0, BEYOND * shortest, RADII, dtype=torch.float64)
    # The three places at which the answer changes are positions of their own.
    radii = torch.cat([radii, torch.tensor([*proved.values(), shortest], dtype=torch.float64)]).sort().values
    noise = noise_of_size(image, radii[-1:].to(image))
    repeated = image.expand(len(radii), -1, -1, -1)
    ways = [
        moved_by(repeated, end.expand_as(repeated), radii)
        for end in (found.images[nearest : nearest + 1].double(), noise.double())
    ]
    # Rounding must not put the picture that was found a hair beside the boundary.
    ways[0][(radii == shortest).nonzero()[:, 0]] = found.images[nearest].double()
    return {
        "digit": int(label),
        "nearest": int(others[nearest]),
        **proved,
        "found": shortest,
        "radius": radii.tolist(),
        "along": predict(network, ways[0]).tolist(),
        "noise": predict(network, ways[1]).tolist(),
        "tiles": sheet([grey(one.numpy()) for pair in zip(*ways, strict=True) for one in pair]),
    }


def travel(models: dict[str, nn.Module], test: Images) -> dict[str, Any]:
    """Returns five examples for each pair of networks: made for the one, read by the other.

    Args:
        models: name -> network.
        test: test digits, of which the first are taken.

    Returns:
        For each pair, by row and column, how many of the digits are misread and the five that are shown: those first
        that the other network read rightly before and misreads now.
    """
    some = test.take(slice(0, TRIED))
    targets = random_targets(some.labels)
    before = {name: predict(model, some.images) for name, model in models.items()}
    places: dict[tuple[str, int], int] = {}
    tiles, cells = [], []

    def tile(maker: str, number: int, image: Tensor) -> int:
        if (maker, number) not in places:
            places[maker, number] = len(tiles)
            tiles.append(grey(image.numpy()))
        return places[maker, number]

    for maker, model in models.items():
        twins = minimum_distortion(model, some.images, targets).images
        row = []
        for reader, other in models.items():
            after = predict(other, twins)
            wrong = after != some.labels
            order = torch.argsort((wrong & (before[reader] == some.labels)).int(), descending=True, stable=True)[:SHOWN]
            shown = [
                [tile("", i, some.images[i]), tile(maker, i, twins[i]), int(some.labels[i]), int(before[reader][i])]
                + [int(after[i])]
                for i in order.tolist()
            ]
            row.append({"misread": int(wrong.sum()), "shown": shown})
        cells.append(row)
    return {"networks": list(models), "tried": len(some), "cells": cells, "tiles": sheet(tiles)}


def write(root: Path) -> Path:
    """Computes what the figures show, with networks that are trained or taken from the cache, and writes the file.

    Args:
        root: The root of the checkout.

    Returns:
        The file.

    Raises:
        DataError: The digits are missing or corrupt.
        OSError: The file cannot be written; what was there before is left as it was.
    """
    settings.seed_everything()
    content = laboratory.read(root / laboratory.PLACE)
    network, own = laboratory.stored_networks(content)[NETWORK], laboratory.stored_digits(content)
    digits = mnist()
    models = {name: trained(name, digits.train).model.cpu() for name in TABLE1_MODELS}
    run = settings.provenance()
    kept = {
        "about": {"profile": run["profile"], "training": definition(), "data": digits.name, "set": own.name},
        "path": path(network, own),
        "radius": radius(network, own),
        "travel": travel(models, digits.test),
    }
    files.write_atomically(root / PLACE, (json.dumps(kept, separators=(",", ":"), allow_nan=False) + "\n").encode())
    return root / PLACE


def definition() -> str:
    """The fingerprint of what the networks of the examples are made by, in the profile that is in use."""
    return fingerprint.of(build, train_classifier)


def read(root: Path) -> dict[str, Any]:
    """Returns what :func:`write` wrote.

    Args:
        root: The root of the checkout, or of a book that was laid out.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    return json.loads((root / PLACE).read_text(encoding="utf-8"))
