"""From the raw readings of a campaign to rates: who misreads what, under every reading of the paper that they allow."""

from __future__ import annotations

import json
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
    """Which entries each reading of the target counts, of the nine that each image has, one for each wrong class.

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
        when clean; and how often it takes what it misreads of these for the target. Where the readings hold more than
        one factor of ``LADDER`` beside 1, one factor for the whole set is among the ways, interpolated: to a mean and
        to a joint root mean square of ``SIZE``.
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
        """Rates and sizes of one set, for each reading of the target.

        Args:
            place: the name of the set.
            own: which of the readers it was made for.
            nine: whether each image has nine entries, not one with its random target.

        Returns:
            reading -> ``rates``, what the function of that name returns; and for the entries that it counts their sizes
            ``rms`` and ``own``, whether the network that they were made for reads the clean image rightly.
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
    """The same with ``DIGITS`` decimals, as JSON has it; a number that is not finite is null."""
    if isinstance(thing, Mapping):
        return {name: rounded(part) for name, part in thing.items()}
    if isinstance(thing, np.ndarray | Sequence) and not isinstance(thing, str):
        return [rounded(part) for part in thing]
    if isinstance(thing, float | np.floating):
        return round(float(thing), DIGITS) if np.isfinite(thing) else None
    if isinstance(thing, np.integer):
        return int(thing)
    return thing


def table(campaign: Campaign, prefix: str, makers: int, *, nine: bool) -> dict[str, dict[str, Any]]:
    """All sets under a prefix: reading of the target -> what is counted.

    Args:
        campaign: the raw readings.
        prefix: before the number of the maker and its seed.
        makers: how many kinds of network there are.
        nine: as for ``Campaign.one``.

    Returns:
        target -> ``images``, how many entries count; ``sizes`` -> sense of the average -> [maker][seed]; ``rates`` ->
        way -> kind -> [maker][seed][reader].
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


# What the chapter reads.

NOISE = ("noise 0.1", "noise 0.1, cut", "noise 0.3", "noise 0.3, cut")
WHOLE = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "FC100-100-10", "FC200-200-10", "AE400-10")
_TRAINED = {1: 3, 3: 5}  # number of a kind of network among the makers -> its place in the tables


def linear(arrays: Mapping[str, np.ndarray], variants: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Errors and the four averages of the distortion of the three linear networks, for each way to train them.

    Args:
        arrays: of the job ``whole``.
        variants: in the order in which they were trained.
    """
    labels, found = arrays["labels"], {}
    count = json.loads(str(arrays["about"]))["training images"]
    shown, test = arrays["linear variants/errors/train"] / count, arrays["linear variants/errors/test"] / 10_000
    for place, name in enumerate(variants):
        rows = slice(3 * place, 3 * place + 3)
        about = {"training error": shown[rows, 0], "test error": test[rows, 0]}
        about |= dict(zip(NOISE, shown[rows, 1:].T, strict=True))
        own = [
            sizes(
                arrays[f"linear variants/{name}/{i}/rms"].astype(float),
                arrays[f"linear variants/{name}/{i}/clean"][i] == labels,
            )
            for i in range(3)
        ]
        found[name] = about | {sense: np.array([one[sense] for one in own]) for sense in own[0]}
    return found


def ends(arrays: Mapping[str, np.ndarray], parts: Mapping[str, int], networks: int) -> dict[str, dict[str, list]]:
    """Errors of FC100-100-10 at every level of training, over seeds, with the iterations that it took.

    Args:
        arrays: of a job.
        parts: name of a part of the data -> its images.
        networks: seeds.
    """
    found, seeds = {}, slice(0, networks)
    levels = sorted({name.split("/")[1] for name in arrays if name.startswith("base/") and "/errors/" in name})
    for level in levels:
        at = seeds if f"base/{level}/errors/train" not in arrays or level != "1500" else slice(3, 3 + networks)
        about = {"iterations": arrays[f"training/base/FC100-100-10/iterations/{level}"].astype(float)}
        for part, count in parts.items():
            errors = arrays[f"base/{level}/errors/{part}"][at] / count
            about[part] = errors[:, 0]
            for noise, column in zip(NOISE, errors[:, 1:].T, strict=False):
                about[f"{part}, {noise}"] = column
        found[level] = about
    return found


def table2(
    arrays: Mapping[str, np.ndarray], variants: Sequence[str], drawn: np.ndarray, networks: int
) -> dict[str, dict[str, Any]]:
    """Table 2 with its linear networks trained in each of some ways: mean and spread over seeds, (8, 6).

    Args:
        arrays: of the job ``whole``.
        variants: in the order in which they were trained.
        drawn: (N,) the random target of each image.
        networks: seeds of the other networks.

    Returns:
        variant -> ``mean`` and ``spread``; NaN where nothing is counted, as of FC200-200-10.
    """
    labels = arrays["labels"].astype(int)
    count = json.loads(str(arrays["about"]))["training images"]
    some = np.arange(len(labels)) * (CLASSES - 1) + drawn - (drawn > labels)

    def off(place: str, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return (arrays[place][:, rows] != labels).mean(1)

    found = {}
    for place, name in enumerate(variants):
        mean, spread = np.full((8, 6), np.nan), np.full((8, 6), np.nan)

        def put(row: int, column: int, values: np.ndarray, mean=mean, spread=spread) -> None:
            mean[row, column], spread[row, column] = values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0

        for i in range(3):
            read = off(f"linear variants/{name}/{i}/found")
            for column in range(3):
                put(i, column, read[column : column + 1])
            for number, column in _TRAINED.items():
                put(i, column, read[3 + (number - 1) * networks :][:networks])
        for number, row in _TRAINED.items():
            read = np.array([off(f"linear variants/reading/{number}/{s}/found") for s in range(networks)])
            for column in range(3):
                put(row, column, read[:, 3 * place + column])
            each = np.array([off(f"base/1500/nine/{number}/{s}/found", some) for s in range(networks)])
            for column in set(_TRAINED.values()) - {row}:
                put(row, column, each[:, column])
        shown, trained = arrays["linear variants/errors/train"] / count, arrays["base/1500/errors/train"] / count
        for column, row in ((1, 6), (3, 7)):
            for i in range(3):
                put(row, i, shown[3 * place + i : 3 * place + i + 1, column])
            for number, at in _TRAINED.items():
                put(row, at, trained[3 + (number - 1) * networks :, column][:networks])
        found[name] = {"mean": mean, "spread": spread}
    return found


def targets(arrays: Mapping[str, np.ndarray], drawn: np.ndarray, networks: int) -> dict[str, dict[str, Any]]:
    """Rates among linear networks, FC100-100-10 and AE400-10 for every reading of the target.

    Returns:
        target -> ``rates`` (6, 6), means over seeds, and ``sizes`` (6,), mean distortions; NaN where there is none.
    """
    campaign, found = Campaign(arrays, drawn), {}
    for number, row in ((0, None), *_TRAINED.items()):
        for i in range(3 if number == 0 else networks):
            there = campaign.one(f"base/1500/nine/{number}/{i}", i if number == 0 else row, nine=True)
            for target, one in there.items():
                slot = found.setdefault(
                    target, {"rates": np.full((6, 6, networks), np.nan), "sizes": [[] for _ in WHOLE]}
                )
                raw = one["rates"]["found"]["raw"]
                slot["sizes"][i if number == 0 else row].append(one["rms"].mean())
                if number == 0:
                    slot["rates"][i, :3] = raw[:3, None]
                    for other, column in _TRAINED.items():
                        slot["rates"][i, column] = raw[3 + (other - 1) * networks :][:networks]
                else:
                    for column in (0, 1, 2, *_TRAINED.values()):
                        slot["rates"][row, column, i] = raw[column]
    for slot in found.values():
        slot["rates"] = slot["rates"].mean(2)
        slot["sizes"] = [float(np.mean(each)) if each else np.nan for each in slot["sizes"]]
    return found


def averages(arrays: Mapping[str, np.ndarray], networks: int) -> dict[str, dict[str, list[float]]]:
    """The four averages of the distortion of FC100-100-10 and AE400-10, all nine targets, over seeds."""
    labels, found = np.repeat(arrays["labels"].astype(int), CLASSES - 1), {}
    for number, row in _TRAINED.items():
        places = [f"base/1500/nine/{number}/{seed}" for seed in range(networks)]
        own = [sizes(arrays[f"{p}/rms"].astype(float), arrays[f"{p}/clean"][row] == labels) for p in places]
        found[WHOLE[row]] = {sense: [one[sense] for one in own] for sense in own[0]}
    return found


def amplified(arrays: Mapping[str, np.ndarray], drawn: np.ndarray, networks: int) -> dict[str, dict[str, Any]]:
    """What FC100-100-10, trained on one half, misreads of its own set and of those for other starts.

    Args:
        arrays: of the job ``halves``.
        drawn: (N,) the random target of each test image that was attacked.
        networks: starts.

    Returns:
        ``own``: way -> error for each start; ``other start``: way -> errors of all pairs; ``mean`` distortion by start.
    """
    campaign, labels = Campaign(arrays, drawn), arrays["labels"]
    sets = [campaign.one(f"base/1500/nine/0/{seed}", 0, nine=True)["random"] for seed in range(networks)]
    pairs = {}
    for way in ("found", "each", "x1.7"):
        read = [arrays[f"base/1500/across/0/{seed}/{way}"][:networks] for seed in range(networks)]
        wrong_share = np.array([(one != labels).mean(1) for one in read])
        pairs[way] = wrong_share[~np.eye(networks, dtype=bool)]
    own = {way: [one["rates"][way]["raw"][0] for one in sets] for way in sets[0]["rates"] if way != "clean"}
    return {"own": own, "other start": pairs, "mean": [one["rms"].mean() for one in sets]}


def reduced(
    whole: Mapping[str, np.ndarray],
    halves: Mapping[str, np.ndarray],
    drawn: np.ndarray,
    drawn_of_test: np.ndarray,
    variants: Sequence[str],
) -> dict[str, Any]:
    """All that the chapter reads.

    Args:
        whole: the arrays of the job of that name.
        halves: likewise.
        drawn: (N,) the random target of each training image that was attacked.
        drawn_of_test: (N,) likewise of each test image.
        variants: trainings of the linear networks, in order.
    """
    about = json.loads(str(whole["about"]))
    seeds, of_half = (len(job["training/base/FC100-100-10/loss"]) for job in (whole, halves))
    count = about["training images"]
    meta = about | {
        "seconds": round(float(whole["seconds"]) + float(halves["seconds"]), 1),
        "seeds": seeds,
        "seeds of a half": of_half,
    }
    parts = {
        "linear": linear(whole, variants),
        "averages": averages(whole, seeds),
        "ends": ends(whole, {"train": count, "test": 10_000}, seeds),
        "ends of a half": ends(halves, {"part1": count // 2, "part2": count // 2, "test": 10_000}, of_half),
        "table2": table2(whole, variants, drawn, seeds),
        "targets": targets(whole, drawn, seeds),
        "amplified": amplified(halves, drawn_of_test, of_half),
    }
    return {"name": "protocol", "meta": meta, **rounded(parts)}
