"""The part of the page that needs ImageNet: its tables and pictures, each nothing where there are no photographs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pandas as pd
from pandas.io.formats.style import Styler
from torch import Tensor

from intriguing.book import plots, settings
from intriguing.book.plots import Figure
from intriguing.book.results import Table
from intriguing.chapters.photographs import ostriches, pictures, recognition, study, travel
from intriguing.chapters.photographs.ostriches import Amplified
from intriguing.chapters.photographs.recognition import Normalised, Responses
from intriguing.chapters.photographs.study import LAST, Figure5, Judges
from intriguing.data import photographs
from intriguing.data.photographs import Photographs

FACTORS = (1, 1.25, 1.5, 2, 4)  # what perturbations are multiplied by before they are saved
THUMB = 80  # height and width of a photograph of ImageNet on the page: no more than a thumbnail
T = TypeVar("T")


def where_at_hand(method: Callable[..., T]) -> Callable[..., T | None]:
    """Makes a method return None where there are no photographs."""

    @functools.wraps(method)
    def guarded(self: Looking, *args: Any) -> T | None:
        return None if self.photos is None else method(self, *args)

    return guarded


class Looking:
    """Networks that look at ImageNet's photographs. Without photographs methods that show pictures or tables give None.

    Args:
        photos: the photographs; None where there are none.
        networks: by name, the first of which is the one that the page speaks of.

    Attributes:
        photos: as above.
        networks: as above.
        first: name of the first network.
    """

    def __init__(self, photos: Photographs | None, networks: Mapping[str, Normalised]) -> None:
        self.photos, self.networks, self.first = photos, dict(networks), next(iter(networks))

    @functools.cached_property
    def answers(self) -> dict[str, Responses]:
        """What every network makes of every photograph."""
        return study.answers(self.networks, self.photos)

    @functools.cached_property
    def accuracy(self) -> Table:
        """As from :func:`intriguing.chapters.photographs.study.accuracy_table`."""
        return study.accuracy_table(self.answers, self.photos)

    @functools.cached_property
    def judged(self) -> dict[str, Judges]:
        """The judges of the networks whose units are looked at: the first, and an EfficientNet."""
        judged = dict.fromkeys((self.first, recognition.LITE0))
        return {
            name: study.judges(self.photos, self.answers[study.opposite(name, self.answers)].features)
            for name in judged
        }

    @functools.cached_property
    def surveys(self) -> dict[str, dict[str, Any]]:
        """Units and directions of these networks; the axes of the first alone are turned, too."""
        return {
            name: study.surveys(self.answers[name], judges, turned=name == self.first)
            for name, judges in self.judged.items()
        }

    @functools.cached_property
    def units(self) -> Table:
        """As from :func:`intriguing.chapters.photographs.study.coherence_table`."""
        return study.coherence_table(self.surveys, self.answers, self.judged, self.photos.summary())

    @functools.cached_property
    def convolutions(self) -> Tensor | None:
        """As from :func:`intriguing.chapters.photographs.recognition.alexnet_convolutions`."""
        return recognition.alexnet_convolutions(self.photos, progress="asking AlexNet's convolutions")

    @functools.cached_property
    def judges(self) -> Table:
        """What several judges say of the first network's units."""
        first, *others = study.judging(self.first, self.answers)
        seen = {f"{first}, length one": self.judged[self.first]}
        seen |= {f"{name}, length one": study.judges(self.photos, self.answers[name].features) for name in others}
        if self.convolutions is not None:
            seen["AlexNet's convolutions, length one"] = study.judges(self.photos, self.convolutions)
            seen["AlexNet's convolutions, at first"] = study.judges(self.photos, self.convolutions, length=False)
        features = self.answers[self.first].features
        return study.judges_table(features, seen, self.photos.summary())

    @functools.cached_property
    def drawn(self) -> Figure5:
        """As from :func:`intriguing.chapters.photographs.study.figure5`."""
        return study.figure5(self.networks, self.photos)

    @functools.cached_property
    def grown(self) -> dict[str, Amplified]:
        """The ostriches of every network, multiplied by several factors, and saved."""
        drawn = self.drawn
        return {
            name: ostriches.amplify(self.networks[name], drawn.images, drawn.found[name].images, drawn.targets, FACTORS)
            for name in drawn.found
        }

    @functools.cached_property
    def moved(self) -> list[Table]:
        """The perturbations of every network on every network, for photographs that all of them read."""
        return study.moved(self.networks, self.answers, self.photos, self.drawn)

    def says(self) -> str:
        """What there is to look at, and with what."""
        return study.at_hand(self.photos, self.networks)

    @where_at_hand
    def recognised(self) -> Styler:
        """The accuracies."""
        yes = {1: "yes", 0: "no"}
        frame = self.accuracy.to_frame()
        frame["difference"] *= 100
        return (
            frame.style.format("{:.1%}", na_rep="")
            .format("{:+.1f} points", na_rep="", subset=["difference"])
            .format(lambda inside: yes.get(inside, ""), subset=["inside"])
        )

    @where_at_hand
    def unit_rows(self, count: int = 4) -> Figure:
        """The paper's Figure 3."""
        rows = study.unit_rows(self.photos, self.judged[self.first], self.surveys[self.first][LAST], count)
        return pictures.rows(*rows, pixels=THUMB)

    @where_at_hand
    def direction_rows(self, count: int = 4) -> Figure:
        """The paper's Figure 4."""
        rows = study.direction_rows(self.photos, self.judged[self.first], self.surveys[self.first][LAST], count)
        return pictures.rows(*rows, pixels=THUMB)

    @where_at_hand
    def compared(self) -> Styler:
        """Units beside directions, in numbers."""
        return self.units.to_frame().style.format("{:.3f}", na_rep="").format("{:.4f}", na_rep="", subset=["p"])

    @where_at_hand
    def outcomes(self) -> pd.DataFrame:
        """The same in words."""
        return study.outcomes(self.units)

    @where_at_hand
    def judgements(self) -> Styler:
        """What the judges say."""
        return self.judges.to_frame().style.format("{:.3f}")

    @functools.cached_property
    def turned(self) -> study.Turned:
        """The natural basis among bases turned at random."""
        return study.turned(self.answers[self.first].features, self.judged[self.first])

    @where_at_hand
    def among(self) -> Figure:
        """The natural basis among bases turned at random, as a picture."""
        turned = self.turned
        return plots.among({str(turned): (turned.natural, turned.null)}, xlabel="distance in another network")

    def rule(self) -> str:
        """What the page's rule makes of that; nothing where there are no photographs."""
        return "" if self.photos is None else self.turned.verdict()

    @where_at_hand
    def figure5(self) -> Styler:
        """Figure 5 in numbers."""
        return (
            study.figure5_table(self.drawn, self.photos.summary())
            .to_frame()
            .style.format("{:.6f}", na_rep="")
            .format("{:.0f}", subset=["images", "read correctly"])
            .format("{:.1%}", subset=["success"])
            .format("{:.2f}", subset=["ours / paper", "per pixel / paper"])
        )

    @where_at_hand
    def thumbnails(self) -> Figure:
        """Every photograph that was drawn, its difference, and what the first network takes for an ostrich."""
        drawn = self.drawn
        return pictures.triptychs(drawn.images, drawn.found[self.first].images, columns=4, pixels=THUMB)

    @where_at_hand
    def distribution(self) -> Figure:
        """The distortions of every network beside the paper's mean, read in both ways."""
        marks = {"paper": study.PRINTED, "paper, if per pixel": study.PRINTED / study.COLOURS}
        return pictures.cumulative(
            {name: found.rms for name, found in self.drawn.found.items()},
            marks=marks, xlabel="distortion (root mean square over all numbers)",
        )  # fmt: skip

    @where_at_hand
    def confidence(self) -> Figure:
        """Distortion against confidence: medians, and what lies between the quartiles."""
        frame = study.surer_table(self.drawn, "").to_frame()
        names = ["likeliest", *(f"{sure:g}" for sure in study.SURES)]
        parts = {name: [frame[f"{name}, {part}"].tolist() for part in study.QUARTILES] for name in self.drawn.surer}
        return pictures.curves(
            {name: (range(len(names)), median) for name, (median, *_) in parts.items()},
            spreads={name: (low, high) for name, (_, low, high) in parts.items()},
            names=names, xlabel="what is asked of the ostrich", ylabel="median distortion",
        )  # fmt: skip

    @where_at_hand
    def saved(self) -> Styler:
        """What becomes of the first network's ostriches that are magnified and saved."""
        frame = study.survival(self.grown[self.first], self.first)
        sizes = ["distortion", "distortion once saved"]
        frame.index = frame.index.map("{:g}".format)
        return frame.style.format("{:.0%}").format("{:.6f}", subset=sizes).format("{:.2f}", subset=["margin"])

    @where_at_hand
    def survival(self) -> Figure:
        """Survival against margin."""
        lines = {name: study.by_margin(grown) for name, grown in self.grown.items()}
        return pictures.curves(
            lines, xlabel="lead of the ostrich before saving (logits)", ylabel="still an ostrich", percent=True
        )

    @where_at_hand
    def fooled(self, size: str) -> Styler:
        """What the networks misread at one length."""
        return heat(study.square(self.moved[0], size))

    @where_at_hand
    def abroad(self) -> Styler:
        """What other networks make of the perturbations, goal by goal and length by length."""
        frame = self.moved[-1].to_frame()
        words = (study.MISREAD, "noise", "another photograph's", study.INTO)
        shown = pd.DataFrame(
            {word: [share(*entry) for entry in zip(frame[word], frame[f"± {word}"], strict=True)] for word in words},
            index=frame.index,
        )
        return shown.style

    def targeted(self) -> str:
        """Into the target or into anything, in sentences that say on how many photographs they rest."""
        if self.photos is None:
            return "Left out in this run, which has no photographs of ImageNet."
        row, count = study.part(self.moved[-1], travel.TARGET, travel.FIVE), self.moved[-1].meta["photographs"]
        return (
            f"Five times as long, ostriches of one network are misread by another in "
            f"{share(row[study.MISREAD], row[f'± {study.MISREAD}'])} of the cases, and taken for ostriches in "
            f"{share(row[study.INTO], row[f'± {study.INTO}'])}; all {count} photographs are ones that every network "
            f"reads. ± is one standard error over photographs. That of a share in a cell of a square is at most "
            f"{0.5 / count**0.5:.0%}, and where none of {count} was misread, up to {1 - 0.025 ** (1 / count):.0%} of "
            "all such photographs could be, at 95 %."
        )

    @functools.cached_property
    def claims(self) -> dict[str, bool]:
        """What the page claims of ImageNet; nothing where there are no photographs."""
        if self.photos is None:
            return {}
        return study.claims(
            self.accuracy, self.units, self.drawn, self.grown[self.first], self.moved, study.penalised()
        )

    def disagreements(self) -> list[str]:
        """Where tables and claims differ from the stored run; nothing where they cannot be compared."""
        if self.photos is None or not study.comparable(self.photos, self.networks):
            return []
        data = self.photos.summary()
        tables = [self.accuracy, self.units, study.figure5_table(self.drawn, data), *self.moved]
        tables.append(study.surer_table(self.drawn, data))
        if self.convolutions is not None:  # the table of the stored run has rows of theirs
            tables.append(self.judges)
        return study.disagreements(tables, self.claims)


def looking() -> Looking:
    """What this computer has to look at, and with what.

    Raises:
        DataError: photographs or weights that cannot be read.
    """
    count = settings.profile().photographs
    return Looking(photographs.validation(count, progress="reading photographs"), recognition.networks())


def share(value: float, error: float) -> str:
    """A share with its standard error, in percent; nothing where there is none.

    Args:
        value: from 0 to 1, or NaN.
        error: likewise.
    """
    return "" if math.isnan(value) else f"{100 * value:.1f} ± {100 * error:.1f} %"


def heat(frame: pd.DataFrame) -> Styler:
    """Shares, darker where they are larger.

    Args:
        frame: of numbers from 0 to 1.
    """
    return frame.style.format("{:.0%}").background_gradient(cmap="Blues", vmin=0, vmax=1)
