"""What the page shows on every computer: photographs and networks that come with its packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import Tensor

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import noise_of_size
from intriguing.book import results, sliders
from intriguing.book.results import Table
from intriguing.chapters.photographs import own, pictures, recognition, study, travel
from intriguing.chapters.photographs.ostriches import OSTRICH
from intriguing.chapters.photographs.recognition import Normalised
from intriguing.chapters.photographs.shortest import shortest
from intriguing.data.free import Free

SHARES = 0.34  # one photograph in three may turn
SEVEN = "seven photographs inside packages"
BY_NOISE = "changed by noise of that length"


def seen(networks: Mapping[str, Normalised], free: Free) -> pd.DataFrame:
    """What the networks take the photographs for, with their probabilities.

    Args:
        networks: by name.
        free: the photographs.
    """
    frame = pd.DataFrame(index=pd.Index(free.names, name="photograph"))
    for name, model in networks.items():
        with torch.no_grad():
            best = model(free.images).softmax(1).max(1)
        fits = free.fit(best.indices)
        frame[name] = [
            f"{own.names()[number]} ({probability:.0%}){'' if good else ' ✗'}"
            for number, probability, good in zip(
                best.indices.tolist(), best.values.tolist(), fits.tolist(), strict=True
            )
        ]
    return frame


@dataclass(frozen=True, eq=False)
class Ostriches:
    """The photographs as ostriches, with noise of the same length beside them.

    Attributes:
        free: the photographs.
        found: what turned them.
        noise: (N,) bool, whether noise of the same length, cut back to [0, 1], changes what the network reads.
    """

    free: Free
    found: Distortion
    noise: Tensor

    def table(self) -> Table:
        """A ``Table`` of the distortion of each photograph, over its numbers and over its pixels."""
        rows = {
            name: [float(size), study.COLOURS * float(size), float(reached), float(turned)]
            for name, size, reached, turned in zip(
                self.free.names, self.found.rms, self.found.success, self.noise, strict=True
            )
        }
        columns = ["distortion", "per pixel", "an ostrich", BY_NOISE]
        return Table(study.FREE, columns, rows, {"data": SEVEN})

    def shown(self) -> Styler:
        """The same for a page."""
        frame = self.table().to_frame()
        yes = {1: "yes", 0: "no"}
        return frame.style.format("{:.6f}").format(yes.get, subset=frame.columns[2:])


def ostriches(model: Normalised, free: Free) -> Ostriches:
    """The shortest changes found that make a network take photographs for ostriches.

    Args:
        model: the network.
        free: the photographs.
    """
    aims = torch.full((len(free),), OSTRICH)
    found = shortest(model, free.images, aims, steps=study.sizes().steps, progress="making ostriches")
    noisy = noise_of_size(free.images, found.rms.float()).clamp(0, 1)
    before = recognition.read(model, free.images)
    return Ostriches(free, found, recognition.read(model, noisy) != before)


def anything(model: Normalised, free: Free, which: int = 0) -> sliders.Pages:
    """One photograph as several classes, as sure as wanted: two sliders.

    Args:
        model: the network.
        free: the photographs.
        which: of them.

    Source:
        Tanay 2018, Figure 1, where any class is reached with high confidence.
    """
    size, image = study.sizes(), free.images[which : which + 1]
    figures, words = [], []
    for target, sure in sliders.positions({"class": size.targets, "probability": size.sures}):
        found = shortest(model, image, torch.tensor([own.class_of(target)]), sure=sure, steps=size.steps)
        figures.append(pictures.triptychs(image, found.images, magnifications=(own.MAGNIFIED,), columns=1, pixels=150,
                                          width=4.2))  # fmt: skip
        words.append(
            f"{free.names[which]}, taken for {target} with a probability of {sure:g}; RMS {float(found.rms):.6f}."
            if bool(found.success) else f"{free.names[which]}: {target} with {sure:g} was not reached."
        )  # fmt: skip
    choices = {"class": size.targets, "probability": size.sures}
    return sliders.pages(figures, choices, [f"Original, difference and changed photograph: {text}" for text in words],
                         captions=words, start={"class": 0, "probability": 0})  # fmt: skip


def journey(networks: Mapping[str, Normalised], free: Free) -> list[Table]:
    """The ostriches of each network on each, with those photographs that all of them read correctly.

    Args:
        networks: by name.
        free: the photographs.

    Returns:
        As for :func:`intriguing.chapters.photographs.study.travels`.
    """
    read = torch.stack([free.fit(recognition.read(model, free.images)) for model in networks.values()])
    rows = read.all(0).nonzero()[:, 0]
    chosen = Free(tuple(free.pictures[row] for row in rows.tolist()), free.images[rows])
    aims = torch.full((len(rows),), OSTRICH)
    made = travel.made_for(networks, chosen.images, aims, steps=study.sizes().steps, progress="ostriches")
    found = travel.travel(networks, chosen.images, chosen.fit, {travel.TARGET: made}, aims)
    return study.travels(found, "free_transfer", f"photographs inside packages: {', '.join(chosen.names)}")


def claims(made: Ostriches, moved: list[Table]) -> dict[str, bool]:
    """What the page claims of these photographs, and whether it has come out true.

    Args:
        made: as from :func:`ostriches`.
        moved: as from :func:`journey`.
    """
    *_, elsewhere = moved
    return {
        "Every photograph becomes an ostrich": bool(made.found.success.all()),
        "By less than one level of 255 in the mean": float(made.found.rms.mean()) < 1 / 255,
        "Noise of the same length changes fewer than half": float(made.noise.double().mean()) < 0.5,
        "At that length none of those that every network reads is an ostrich to another": bool(
            study.part(elsewhere, travel.TARGET, travel.MINIMUM)[study.INTO] == 0
        ),
    }


def allowed(table: Table) -> tuple[pd.DataFrame, float]:
    """How far a rerun may lie from the stored run: multiples of what rounding alone was measured to do.

    A walk of few steps that turns elsewhere ends much farther or nearer, so that a single photograph is compared
    loosely, and the median of all of them closely. Whether noise changes what a network reads may turn with its length.

    Args:
        table: as from :meth:`Ostriches.table`.

    Returns:
        The tolerance of each entry, and that of the median distortion.

    Raises:
        ResultError: no spread was measured.
    """
    single, middle = study.wandering()
    frame = study.stored(table)
    lengths = frame.columns[:2]
    entries = (frame * 0).assign(**{column: single * frame[column] for column in lengths}, **{BY_NOISE: 1.0})
    return entries, middle * float(frame[lengths[0]].median())


def disagreements(made: Ostriches, moved: list[Table], claims: Mapping[str, bool]) -> list[str]:
    """Where these tables and claims differ from the stored run, which a recording run stores first.

    Args:
        made: as from :func:`ostriches`.
        moved: as from :func:`journey`.
        claims: as from :func:`claims`.
    """
    table = made.table()
    entries, middle = allowed(table)
    lines = [results.check(table, entries), *(results.check(part, SHARES) for part in moved)]
    lines.append(results.check_claims("free_claims", claims, {"data": table.meta["data"]}))
    if "agrees" in lines[0]:
        ours, stored = (part.to_frame()[table.columns[0]].median() for part in (table, results.load(study.FREE)))
        if abs(ours - stored) > middle:
            lines.append(f"The median distortion is {ours:.6f} (stored {stored:.6f}, tolerance {middle:.6f}).")
    return [line for line in lines if not ("agrees" in line or line.startswith("All"))]
