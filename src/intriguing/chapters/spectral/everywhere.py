"""The sandwich over all classes, and where in a network a perturbation grows.

A certificate for the class that comes second excludes that class alone. The radius within which the answer cannot
change at all is the smallest one over all nine other classes, and the find to hold against it is the nearest of nine.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from intriguing.attack.distortion import distortion_to_all
from intriguing.attack.perturbations import wrong_classes
from intriguing.book import cache, fingerprint, settings, tables
from intriguing.book.results import Table
from intriguing.chapters.spectral.study import KNOWN
from intriguing.data import Images
from intriguing.lipschitz import network
from intriguing.lipschitz.certificates import global_certificate, local_certificate, runners_up, smallest
from intriguing.models.recipes import weight_layers
from intriguing.models.training import predict

IMAGES = {"quick": 20, "paper": 300}
"""How many test images, the first ones, have all nine classes searched, by profile."""

LEAST = {
    "sandwich_all": {
        "images": 0,
        "certified, all classes": 1e-4,
        "certified, runner-up": 1e-4,
        "found, nearest of nine": 1e-4,
        "largest ratio": 0.01,
        "nearer than the runner-up's radius": 1,
        "contradictions": 0,
    },
    "growth": {
        "first layer, bound": 0.01,
        "first layer": 0.01,
        "first layer, noise": 0.01,
        "logits": 0.01,
        "logits, noise": 0.01,
    },
}
"""Name of a table -> its columns, each with its least tolerance: see :func:`allowed`."""


@dataclass(frozen=True, eq=False)
class Everywhere:
    """What is proved and found about all classes, one entry per image, distances as root mean squares per pixel.

    Attributes:
        radius: (N,), within which the answer cannot change: the smallest certificate over the nine other classes.
        second: (N,), the certificate for the class with the second largest logit.
        found: (N,), the distance of the nearest adversarial image of the nine searches; infinite where none found one.
        grown: (4,), mean ratio of a change after the first layer with weights, and in the logits, to the change of the
            input: for the perturbations found, then for noise of the same lengths.
        first: the Lipschitz bound up to the end of the first layer with weights.
    """

    radius: Tensor
    second: Tensor
    found: Tensor
    grown: Tensor
    first: float

    @property
    def contradictions(self) -> int:
        """How many images have an adversarial image within the radius that excludes all."""
        return int((self.radius > self.found).sum())

    @property
    def nearer(self) -> int:
        """How many have one, of another class, within the radius that excludes the second class only."""
        return int((self.second > self.found).sum())


def everywhere(name: str, model: nn.Sequential, images: Images) -> Everywhere:
    """Certificates for all classes, the nearest of nine searches, and how the perturbation found grows.

    Args:
        name: of the network, for the file in which the outcome is kept.
        model: one of ``recipes.RECIPES``, trained.
        images: (N, 1, 28, 28).
    """
    key = {"model": cache.described(model), "images": images.digest, "code": fingerprint.of(_measure)}
    kept = cache.load_or_make(f"everywhere-{name}", key, functools.partial(_measure, model, images.images))
    return Everywhere(kept["radius"], kept["second"], kept["found"], kept["grown"], float(kept["first"]))


def table(found: Mapping[str, Everywhere], data: str) -> Table:
    """The sandwich over all classes in numbers, one row for each network, named ``sandwich_all``.

    Args:
        found: name of the network -> its sandwich.
        data: what the images are.
    """
    rows = {
        name: [
            len(one.radius),
            float(one.radius.mean()),
            float(one.second.mean()),
            float(one.found.mean()),
            float((one.radius / one.found)[one.found > 0].max()),
            one.nearer,
            one.contradictions,
        ]
        for name, one in found.items()
    }
    return Table("sandwich_all", list(LEAST["sandwich_all"]), rows, {"data": data})


def growth(found: Mapping[str, Everywhere], data: str) -> Table:
    """How much a perturbation grows, one row for each network, named ``growth``.

    Args:
        found: name of the network -> its sandwich.
        data: what the images are.

    Source:
        Szegedy et al. 2013, section 4.3, on the first convolutional layer.
    """
    rows = {
        name: [one.first, float(one.grown[0]), float(one.grown[2]), float(one.grown[1]), float(one.grown[3])]
        for name, one in found.items()
    }
    return Table("growth", list(LEAST["growth"]), rows, {"data": data})


def allowed(made: Table) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run: a multiple of its spread over seeds.

    It is at least the median of such multiples in its column, and at least what ``LEAST`` says.

    Args:
        made: one of the two tables of this module.

    Raises:
        ResultError: its spread was not measured.
    """
    return tables.pooled_tolerances(made, by="column", floor=LEAST[made.name])


def growth_words(made: Table) -> str:
    """Where a perturbation outgrows noise, in sentences with their numbers.

    Args:
        made: what :func:`growth` returns.
    """
    frame = made.to_frame()
    first = frame["first layer"] / frame["first layer, noise"]
    last = frame["logits"] / frame["logits, noise"]
    names = _hidden(frame.index)
    only = "ConvNet"
    reached = frame.at[only, "first layer"] / frame.at[only, "first layer, bound"]
    return (
        "In the first layer of the sigmoid networks the nearest adversarial perturbation grows "
        f"{first[names].min():.1f} to {first[names].max():.1f} times as much as noise, up to their logits "
        f"{last[names].min():.1f} to {last[names].max():.1f} times. In the first layer of the convolutional network it "
        f"grows to {reached:.0%} of the bound, but noise does nearly as well: the ratio is {first[only]:.2f} there and "
        f"{last[only]:.1f} in the logits."
    )


def claims(found: Mapping[str, Everywhere]) -> dict[str, bool]:
    """What the page says about all classes and about the first layer, and whether it has come out true.

    Args:
        found: name of the network -> its sandwich.
    """
    grown = {name: [float(value) for value in one.grown] for name, one in found.items()}
    hidden = _hidden(found)
    return {
        "No image of any network has an adversarial image of any class within the radius that excludes all": all(
            one.contradictions == 0 for one in found.values()
        ),
        "In the first layer of every network an adversarial perturbation grows by less than its bound": all(
            grown[name][0] < one.first for name, one in found.items()
        ),
        "In the first layer of every sigmoid network it grows by more than three times as much as noise": all(
            grown[name][0] > 3 * grown[name][2] for name in hidden
        ),
        "In that of the convolutional network it grows by less than one and a half times as much as noise": (
            grown["ConvNet"][0] < 1.5 * grown["ConvNet"][2]
        ),
        "In the logits of all of these it grows by more than five times as much as noise": all(
            grown[name][1] > 5 * grown[name][3] for name in (*hidden, "ConvNet")
        ),
    }


def _hidden(names: Iterable[str]) -> list[str]:
    """Those of the networks that have layers of sigmoids."""
    return [name for name in names if "-" in name and "(" not in name]


def _measure(model: nn.Sequential, images: Tensor) -> dict[str, Tensor]:
    pixels, read = images[0].numel(), predict(model, images)
    sigmoid = any(isinstance(layer, nn.Sigmoid) for layer in model)
    if sigmoid:
        rivals = wrong_classes(read, 10)
        radii = [local_certificate(model, images, rival).rms(pixels) for rival in rivals.T]
        radius = torch.stack(radii).amin(0)
        second = local_certificate(model, images, runners_up(model, images)).rms(pixels)
    else:
        radius = smallest(model, images, known=KNOWN) / pixels**0.5
        second = global_certificate(model, images, runners_up(model, images), known=KNOWN).rms(pixels)
    found = distortion_to_all(model, images, read, refine=True)
    lengths = torch.where(found.success, found.rms, torch.inf)
    nearest = lengths.argmin(1)
    twins = found.images[torch.arange(len(images)), nearest]
    grown = torch.cat([_growth(model, images, twins), _growth(model, images, _noised(images, twins))])
    layers = list(model)
    first = layers.index(weight_layers(model)[0]) + 1
    bound = network.network_bound(model[:first].eval(), images.shape[1:], known=KNOWN).product
    return {
        "radius": radius,
        "second": second,
        "found": lengths.amin(1),
        "grown": grown,
        "first": torch.tensor(bound, dtype=torch.float64),
    }


def _noised(images: Tensor, twins: Tensor) -> Tensor:
    """Images with noise as long as the way to their twins."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(settings.SEED), dtype=torch.float64)
    sizes = [part.flatten(1).norm(dim=1).view(-1, *[1] * (images.dim() - 1)) for part in (twins - images, noise)]
    return images.double() + noise * sizes[0] / sizes[1]


@torch.no_grad()
def _growth(model: nn.Sequential, images: Tensor, others: Tensor) -> Tensor:
    """(2,): mean ratio of the change after the first layer with weights, and of the logits, to that of the input."""
    double = model.double()
    try:
        one, other = images.double(), others.double()
        change = (other - one).flatten(1).norm(dim=1)
        kept = change > 0
        ratios = []
        first = list(model).index(weight_layers(model)[0]) + 1
        for part in (double[:first], double):
            grown = (part(other) - part(one)).flatten(1).norm(dim=1)
            ratios.append((grown[kept] / change[kept]).mean())
        return torch.stack(ratios)
    finally:
        model.float()
