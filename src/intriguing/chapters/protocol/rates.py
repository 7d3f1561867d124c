"""From the raw readings of a campaign to rates: who misreads what, under every reading of the paper that they allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

CLASSES = 10
LADDER = (1.0, 1.2, 1.4, 1.5, 1.6, 1.7, 1.8, 2.0, 2.4)
SIZE = 0.1
PLAIN = ("found", "each", "each, cut", "x1.4", "x1.7", "x1.7, cut", "others", "others, each", "toward", "toward, each")
DIGITS = 5


def wrong(labels: ArrayLike) -> np.ndarray:
    """(N, 9), every class but the true one, in increasing order."""
    ladder = np.arange(CLASSES - 1)
    return ladder + (ladder >= np.asarray(labels)[:, None])


def chosen(labels: np.ndarray, rms: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Which of the entries for nine targets each image each reading of the target counts.

    Args:
        labels: (N,) of the images.
        rms: (9 N,) of the entries.
        drawn: (N,) the random target of each image.

    Returns:
        name of the reading -> rows among the entries.
    """
    count, targets = len(labels), wrong(labels)
    start = np.arange(count) * (CLASSES - 1)
    found = {
        "random": start + drawn - (drawn > labels),
        "nearest": start + rms.reshape(count, -1).argmin(1),
        "mean of nine": np.arange(count * (CLASSES - 1)),
    }
    return found | {f"always {k}": np.flatnonzero((targets == k).ravel()) for k in range(CLASSES)}


def sizes(rms: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """The average distortion in the four senses that the words allow, and how it spreads over the images.

    Args:
        rms: (N,) of the images.
        right: (N,) bool, whether the network read the clean image rightly.
    """
    of_right = rms[right] if right.any() else rms
    return {
        "mean": rms.mean(),
        "joint": np.sqrt(np.square(rms).mean()),
        "mean, read rightly": of_right.mean(),
        "joint, read rightly": np.sqrt(np.square(of_right).mean()),
        "spread": rms.std(),
    }


def rates(readings: Mapping[str, np.ndarray], labels: np.ndarray, targets: np.ndarray, rms: np.ndarray) -> dict:
    """Rates of one set under one reading of the target.

    Args:
        readings: way -> (readers, N) what the networks take the images for; ``clean`` among them.
        labels: (N,).
        targets: (N,) that were asked for.
        rms: (N,) of the perturbations.

    Returns:
        way -> ``raw``, ``right`` and ``target``, each (readers,): the error; the error on what the reader reads rightly
        when clean; and how often it takes what it misreads of these for the target. One factor for the whole set is
        among the ways: to a mean and to a joint root mean square of ``SIZE``.
    """
    before = readings["clean"] == labels

    def three(read: np.ndarray) -> dict[str, np.ndarray]:
        off = read != labels
        new, many = off & before, before.sum(1).clip(min=1)
        hits = (new & (read == targets)).sum(1) / new.sum(1).clip(min=1)
        return {"raw": off.mean(1), "right": new.sum(1) / many, "target": hits}

    found = {way: three(readings[way]) for way in PLAIN if way in readings}
    rungs = [factor for factor in LADDER if factor == 1 or f"x{factor:g}" in readings]
    if len(rungs) > 2:
        steps = [found["found"] if factor == 1 else three(readings[f"x{factor:g}"]) for factor in rungs]
        for way, size in (("set, mean", rms.mean()), ("set, joint", np.sqrt(np.square(rms).mean()))):
            found[way] = {
                kind: np.array(
                    [np.interp(SIZE / size, rungs, column) for column in np.stack([s[kind] for s in steps], 1)]
                )
                for kind in steps[0]
            }
    return found


class Campaign:
    """The raw readings of one job.

    Args:
        arrays: by name, as ``campaign`` stores them.
        drawn: (N,) the random target of each image.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], drawn: np.ndarray) -> None:
        self.arrays, self.drawn = arrays, drawn
        self.labels = arrays["labels"].astype(int)

    def names(self, prefix: str) -> list[str]:
        """What follows a prefix, up to the next slash."""
        return sorted({name[len(prefix) :].split("/")[0] for name in self.arrays if name.startswith(prefix)})

    def one(self, place: str, own: int, *, nine: bool) -> dict[str, Any]:
        """Rates and sizes of one set: reading of the target -> ways and sizes.

        Args:
            place: the name of the set.
            own: which of the readers it was made for.
            nine: whether each image has nine entries, not one with its random target.
        """
        labels, targets = self.labels, self.drawn
        readings = {way: self.arrays[f"{place}/{way}"] for way in self.names(f"{place}/") if way != "rms"}
        rms = self.arrays[f"{place}/rms"].astype(float)
        rows = {"random": np.arange(len(labels))}
        if nine:
            rows = chosen(labels, rms, self.drawn)
            targets, labels = wrong(labels).ravel(), np.repeat(labels, CLASSES - 1)
        return {
            name: {"rates": rates({w: r[:, some] for w, r in readings.items()}, labels[some], targets[some], rms[some])}
            | {"rms": rms[some], "own": readings["clean"][own, some] == labels[some]}
            for name, some in rows.items()
        }


def rounded(thing: Any) -> Any:
    """The same with numbers of ``DIGITS`` digits, as JSON has it."""
    if isinstance(thing, Mapping):
        return {name: rounded(part) for name, part in thing.items()}
    if isinstance(thing, np.ndarray | Sequence) and not isinstance(thing, str):
        return [rounded(part) for part in thing]
    return round(float(thing), DIGITS) if isinstance(thing, float | np.floating) else thing


def table(campaign: Campaign, prefix: str, makers: int, *, nine: bool) -> dict[str, dict[str, Any]]:
    """All sets under a prefix: reading of the target -> what is counted.

    Args:
        campaign: the raw readings.
        prefix: before the number of the maker and its seed.
        makers: how many kinds of network there are.
        nine: as for ``Campaign.one``.

    Returns:
        target -> ``images``; ``sizes`` -> sense of the average -> [maker][seed]; ``rates`` -> way -> kind ->
        [maker][seed][reader].
    """
    found: dict[str, Any] = {}
    for maker in range(makers):
        for seed in sorted(filter(str.isdigit, campaign.names(f"{prefix}/{maker}/")), key=int):
            for target, one in campaign.one(f"{prefix}/{maker}/{seed}", maker, nine=nine).items():
                there = found.setdefault(target, {"images": len(one["rms"]), "rates": {}, "sizes": {}})
                for way, kinds in one["rates"].items():
                    for kind, values in kinds.items():
                        rows = there["rates"].setdefault(way, {}).setdefault(kind, [[] for _ in range(makers)])
                        rows[maker].append(values)
                for sense, size in sizes(one["rms"], one["own"]).items():
                    there["sizes"].setdefault(sense, [[] for _ in range(makers)])[maker].append(size)
    return found
