"""How much of a table is luck: every entry of Tables 1 to 4 over several seeds, and the paper's number beside that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import paper, tables
from intriguing.book.halves import HALVES, networks, small
from intriguing.book.results import Table
from intriguing.chapters.disjoint_sets import study
from intriguing.data import Digits, Images
from intriguing.models.recipes import TABLE1_MODELS
from intriguing.models.training import trained

ITERATIONS = 400  # cap on L-BFGS iterations: a few thousand images are learned without error long before
WIDTH = 2.0  # standard deviations that count as inside
TABLES = ("table1", "table2", "table3", "table4")
SAMPLED = ("table2", "table4")  # their rates were counted on a sample of the images

NUMBERS = ["paper", "ours", "mean", "spread", "difference"]
"""The columns of :func:`outside` that hold numbers."""


@dataclass(frozen=True)
class Study:
    """Tables 1 to 4 from networks with several initial weights; ``str`` says how large the study was.

    Attributes:
        means: name of the table -> mean of every entry over the repetitions.
        deviations: name of the table -> standard deviation of every entry over the repetitions.
        same_or_other: the transfer between networks of different repetitions, see ``study.kinds``.
        repetitions: how many there were.
        data: what the networks were trained on.
        images: how many training images that were.
        attacked: how many images were attacked for each network.
    """

    means: dict[str, pd.DataFrame]
    deviations: dict[str, pd.DataFrame]
    same_or_other: Table
    repetitions: int
    data: str
    images: int
    attacked: int

    def __str__(self) -> str:
        return (
            f"{self.repetitions} repetitions, {self.images:,} training images (halves of {self.images // 2:,}), "
            f"{self.attacked:,} images attacked for each network."
        )

    def table(self, name: str) -> Table:
        """Means and standard deviations of one table as one, named ``seeds_<name>``, for the record.

        Args:
            name: ``table1`` to ``table4``.
        """
        spread = self.deviations[name].add_prefix("± ")
        meta = {"data": self.data, "repetitions": self.repetitions}
        return Table.from_frame(f"seeds_{name}", self.means[name].join(spread), meta)


def trained_anew(digits: Digits, *, images: int, repetitions: int, attacked: int) -> Study:
    """Train all networks of Tables 1 to 4 from several initial weights and compute the tables each time.

    Data, targets and noise stay the same, so that what moves is due to the initial weights.

    Args:
        digits: the data.
        images: how many of the training images are used, an even number, see ``halves.small``.
        repetitions: how many, at least 2.
        attacked: how many training images (Tables 1 and 2) and test images (Tables 3 and 4) are attacked.

    Returns:
        A ``Study``.

    Raises:
        ValueError: fewer than two repetitions, or a number of images that cannot be halved.
    """
    if repetitions < 2:
        raise ValueError(f"got {repetitions} repetitions; expected at least two for a spread.")
    digits = small(digits, images)
    train, test = digits.train.take(slice(0, attacked)), digits.test.take(slice(0, attacked))
    four = [name for name, half in HALVES.items() if half.recipe != "ConvNet"]
    made: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    halves, sets = [], []
    for repetition in range(repetitions):
        whole = {
            name: trained(name, digits.train, seed=repetition, max_iterations=ITERATIONS).model
            for name in TABLE1_MODELS
        }
        halves.append(networks(digits, four, repetition=repetition, max_iterations=ITERATIONS))
        on_train = _attacked(whole, train)
        sets.append(_attacked(halves[-1], test))
        three = {name: halves[-1][name] for name in paper.HALF_MODELS}
        on_test = {name: sets[-1][name] for name in paper.HALF_MODELS}
        for table in (
            tables.table1(whole, digits, on_train),
            tables.table2(whole, train, on_train),
            study.table3(three, digits, on_test),
            study.table4(three, test, on_test),
        ):
            made[table.name].append(table.to_frame())
    stacked = {name: pd.concat(frames).groupby(level=0, sort=False) for name, frames in made.items()}
    return Study(
        means={name: groups.mean() for name, groups in stacked.items()},
        deviations={name: groups.std() for name, groups in stacked.items()},
        same_or_other=study.kinds(halves, test, sets),
        repetitions=repetitions,
        data=digits.name,
        images=images,
        attacked=attacked,
    )


def inside(found: Study, entries: pd.DataFrame, *, counted: int) -> pd.DataFrame:
    """Which of the paper's numbers lie where our seeds would put them.

    Three questions, from the strictest to the fairest. *raw*: does the printed number lie within ``WIDTH`` standard
    deviations of our mean, although we trained on fewer images? *sized*: does it lie that close to our entry at full
    size, with the spread of the small size? *fair*: the same once the paper's own uncertainty is added: its network is
    a draw as ours is, so that the variance over seeds counts twice, and its number was counted on ``counted`` images
    and printed with so many digits.

    Args:
        found: our study.
        entries: what ``scores.entries`` returns: the paper's numbers and, in the column ``ours``, those at full
            size; where there is none, our mean stands in for it.
        counted: images on which the paper's rates of Tables 2 and 4 were counted.

    Returns:
        The entries of Tables 1 to 4 that are findings, with the further columns ``mean`` and ``spread`` of the study,
        the booleans ``raw``, ``sized`` and ``fair``, and ``allowed``, the difference at which the fairest ends.
    """
    entries = entries[entries["table"].isin(TABLES) & entries["kind"].ne("given")].reset_index(drop=True)
    places = list(zip(entries["table"], entries["row"], entries["column"], strict=True))
    mean = np.array([found.means[table].at[row, column] for table, row, column in places])
    spread = np.array([found.deviations[table].at[row, column] for table, row, column in places])
    ours, printed = entries["ours"].fillna(pd.Series(mean)).to_numpy(), entries["paper"].to_numpy()
    rate = entries["kind"].eq("error").to_numpy()
    sampled = rate & entries["table"].isin(SAMPLED).to_numpy()
    doubt = np.where(sampled, np.sqrt(printed * (1 - printed) / counted), 0.0)
    rounding = np.array([paper.half_unit(value, percent=is_rate) for value, is_rate in zip(printed, rate, strict=True)])
    allowed = WIDTH * np.hypot(np.sqrt(2) * spread, doubt) + rounding
    return entries.assign(
        ours=ours,
        mean=mean,
        spread=spread,
        raw=np.abs(printed - mean) <= WIDTH * spread,
        sized=np.abs(printed - ours) <= WIDTH * spread,
        fair=np.abs(printed - ours) <= allowed,
        allowed=allowed,
    )


def outside(compared: pd.DataFrame) -> pd.DataFrame:
    """The numbers of the paper that even the fairest of the three questions leaves outside.

    Args:
        compared: what :func:`inside` returns.

    Returns:
        The columns ``table``, ``row``, ``column`` and :data:`NUMBERS`, with ``difference``, the paper's minus ours, at
        full size; the largest difference first.
    """
    left = compared[~compared["fair"]]
    left = left.assign(difference=left["paper"] - left["ours"])
    order = left["difference"].abs().sort_values(ascending=False, kind="stable").index
    return left.loc[order, ["table", "row", "column", *NUMBERS]]


def sampled_rates(entries: pd.DataFrame) -> pd.Series:
    """The paper's rates that were counted on a sample of the images: those of Tables 2 and 4.

    Args:
        entries: what ``scores.entries`` returns.

    Returns:
        Fractions.
    """
    return entries.loc[entries["table"].isin(SAMPLED) & entries["column"].ne("distortion"), "paper"]


def counts(compared: pd.DataFrame) -> pd.DataFrame:
    """How many of the paper's numbers lie inside, by table.

    Args:
        compared: what :func:`inside` returns.

    Returns:
        One row for each table and ``all``; the columns ``printed``, ``raw``, ``sized`` and ``fair``.
    """
    parts: Sequence[tuple[str, pd.DataFrame]] = [*compared.groupby("table"), ("all", compared)]
    rows = {
        name: [len(part), *(int(part[column].sum()) for column in ("raw", "sized", "fair"))] for name, part in parts
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["printed", "raw", "sized", "fair"])


def _attacked(models: Mapping[str, nn.Module], images: Images) -> dict[str, Distortion]:
    return study.attack_all(models, images, random_targets(images.labels))
