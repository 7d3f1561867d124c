"""One protocol for all four tables: every combination of readings, chosen on some printed numbers, judged on others.

Tables 1 and 2 and every other number of Table 4 choose; Table 3 and the rest of Table 4 judge. A number that needs a
network which has not been trained is left out of both, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from intriguing.book import paper
from intriguing.chapters.protocol import evidence, hunt, rates, trials, units

IMAGES = {"train": 60_000, "part1": 30_000, "part2": 30_000, "test": 10_000}
"""Of MNIST, by part of the data: on how many an error was counted."""

SIZES_OF = ("table1", "distortion")
LIGHTER = "a tenth of the decay above"
"""The training of an autoencoder whose softmax is decayed less."""

ENOUGH = 3
"""Starts without which no protocol is chosen; ``lacking`` names the printed numbers for which there are fewer."""

TARGETS = ("random", "nearest", "mean of nine", *(f"always {k}" for k in range(rates.CLASSES)))


@dataclass(frozen=True)
class Protocol:
    """One reading of all that the paper leaves open.

    Attributes:
        linear: how linear networks are trained.
        sigmoid: how the networks with hidden units are, and how the softmax on the autoencoder is decayed.
        coder: how the autoencoder is: the layer, and by how much the decay of the softmax on it differs.
        end: iterations after which training stops.
        targets: of ``TARGETS``.
        grid: ratio of neighbouring values of c in the search, 1 for the edge itself; with the random target alone.
        images: whose perturbations count: ``"all"``, or those that the network they were made for ``"read rightly"``.
        average: of distortions: ``"mean"`` over images or ``"joint"`` root mean square over all pixels.
        amplified: ``"each"`` image to 0.1, or the ``"set"`` by one factor, so that its average is 0.1.
        cut: whether amplified images are cut to the box.
        noise_cut: whether noisy images are.
        counted: ``"raw"`` rates, or the ``"excess"`` over the error on clean images: of all images on the paper's
            side, of the images that count on ours.
    """

    linear: str = "x1"
    sigmoid: str = "as printed"
    coder: str = "as in the book"
    end: str = "1500"
    targets: str = "random"
    grid: float = 1.0
    images: str = "all"
    average: str = "mean"
    amplified: str = "each"
    cut: bool = False
    noise_cut: bool = False
    counted: str = "raw"


BASE = Protocol()
FREE = {
    "targets": TARGETS,
    "grid": (1.0, *units.GRIDS),
    "images": ("all", "read rightly"),
    "average": ("mean", "joint"),
    "amplified": ("each", "set"),
    "cut": (False, True),
    "noise_cut": (False, True),
    "counted": ("raw", "excess"),
}
"""The questions that need no other network, and their answers."""


@dataclass
class Found:
    """What a folder of units holds.

    Attributes:
        images: whether test images -> labels (N,) and random targets (N,).
        casts: (half, linear, sigmoid, coder, end) -> seed -> name in the paper's table -> key of the network.
        errors: network -> part of the data -> error on clean images, then under each noise, uncut and cut.
        rms: set of examples, see ``searched`` -> (9 N,) sizes of the perturbations, (N,) on a grid.
        read: (set, read by) -> way -> (9 N,) or (N,) uint8 classes.
    """

    images: dict[bool, tuple[np.ndarray, np.ndarray]]
    casts: dict[tuple[bool, str, str, str, str], dict[int, dict[str, str]]]
    errors: dict[str, dict[str, np.ndarray]]
    rms: dict[str, np.ndarray]
    read: dict[tuple[str, str], dict[str, np.ndarray]]


def searched(network: str, grid: float) -> str:
    """The name of the examples for a network that a search of some coarseness found, 1 for the edge itself."""
    return network if grid == 1 else f"{network}, c in steps of {grid:g}"


def excess(rate: ArrayLike, clean: ArrayLike) -> np.ndarray:
    """A rate beyond the error on clean images."""
    return np.subtract(rate, clean)


def chooses(printed: pd.DataFrame) -> np.ndarray:
    """Which of the printed numbers choose: Tables 1 and 2, and of Table 4 the first, third, fifth, ... as printed."""
    table = printed.index.get_level_values("table")
    place = np.cumsum(table == "table4")
    return (table == "table1") | (table == "table2") | ((table == "table4") & (place % 2 == 1))


class Count:
    """The printed numbers under a protocol, counted in what a folder holds.

    Args:
        found: what it holds.
    """

    def __init__(self, found: Found) -> None:
        self.found, self._kept = found, {}

    def number(self, protocol: Protocol, table: str, row: str, column: str) -> tuple[float, ...]:
        """One number under a protocol.

        Returns:
            Mean over seeds, NaN where there is none; mean error on the clean images that belong to it, 0 where there is
            no such thing; spread over seeds, NaN for one; how many seeds; on how many images each was counted; and the
            deviation of a distortion over images.
        """
        half, asked = table in ("table3", "table4"), (protocol.grid, protocol.targets, protocol.images)
        if row.startswith("Gaussian noise"):
            count, asked = self._noise, (protocol.noise_cut,)
        elif column == "distortion":
            count, asked = self._distortion, (*asked, protocol.average)
        elif table in ("table1", "table3"):
            count, asked = self._error, ()
        else:
            longer = (protocol.average, protocol.amplified, protocol.cut) if "amplified" in row else ()
            count, asked = self._read, (*asked, *longer)
        # the networks of the halves are neither linear nor autoencoders
        linear, coder = (BASE.linear, BASE.coder) if half else (protocol.linear, protocol.coder)
        trained = (half, linear, protocol.sigmoid, coder, protocol.end)
        return self._once(self._over_seeds, count, trained, row.removesuffix(" amplified to 0.1"), column, *asked)

    @staticmethod
    def _over_seeds(count: Callable, *key) -> tuple[float, ...]:
        values, clean, images, over = count(*key)
        if not len(values):
            return (np.nan,) * 6
        spread = values.std(ddof=1) if len(values) > 1 else np.nan
        return values.mean(), clean.mean(), spread, len(values), images, over

    def _networks(self, trained: tuple, *names: str, grid: float = 1.0) -> list[tuple[str, ...]]:
        """Networks of some names, seed by seed, with examples that were read; a linear one, which all share, once."""
        casts = self.found.casts.get(trained, {}).values()
        every = dict.fromkeys(tuple(cast[name] for name in names) for cast in casts if set(names) <= set(cast))
        sets = {one: searched(one[0], grid) for one in every}
        return [one for one, name in sets.items() if name in self.found.rms and (name, one[-1]) in self.found.read]

    def _error(self, trained: tuple, row: str, column: str):
        part = {"training error": "train", "error on P1": "part1", "error on P2": "part2"}.get(column, "test")
        values = np.array([self.found.errors[one][part][0] for (one,) in self._networks(trained, row)])
        return values, 0 * values, IMAGES[part], 0.0

    def _noise(self, trained: tuple, row: str, column: str, cut: bool):
        part, size = ("test" if trained[0] else "train"), row.removeprefix("Gaussian noise ")
        sizes = {"train": trials.TRAIN_NOISE, "test": trials.TEST_NOISE}[part]
        place = 1 + 2 * sizes.index(float(size)) + cut
        both = [self.found.errors[one][part][[place, 0]] for (one,) in self._networks(trained, column)]
        values, clean = np.array(both).reshape(-1, 2).T
        return values, clean, IMAGES[part], 0.0

    def _distortion(self, trained: tuple, row: str, _: str, grid: float, targets: str, images: str, average: str):
        networks = self._networks(trained, row, grid=grid)
        every = [self._once(self._size, trained[0], *one, grid, targets, images) for one in networks]
        *sizes, counts = np.array(every).reshape(-1, 5).T
        values, over = sizes[2 * (average == "joint") :][:2]
        return values, 0 * values, *((counts.mean(), over.mean()) if len(values) else (1.0, 0.0))

    def _read(self, trained: tuple, row: str, column: str, grid: float, *asked):
        networks = self._networks(trained, row, column, grid=grid)
        every = [self._once(self._rate, trained[0], *pair, grid, *asked) for pair in networks]
        values, clean, counts = np.array(every).reshape(-1, 3).T
        return values, clean, counts.mean() if len(counts) else 1.0, 0.0

    def _once(self, count: Callable, *key) -> Any:
        name = (count.__name__, *key)
        if name not in self._kept:
            self._kept[name] = count(*key)
        return self._kept[name]

    def _chosen(self, half: bool, maker: str, grid: float, targets: str, images: str) -> np.ndarray:
        """Rows of the entries of a set that a reading counts."""
        labels, drawn = self.found.images[half]
        name = searched(maker, grid)
        # sets of a grid hold the random target alone
        rows = rates.chosen(labels, self.found.rms[name], drawn)[targets] if grid == 1 else np.arange(len(labels))
        if images == "all":
            return rows
        return rows[self.found.read[name, maker]["clean"][rows] == self._labels(half, grid)[rows]]

    def _labels(self, half: bool, grid: float) -> np.ndarray:
        """The label of each entry of a set: nine for each image, one on a grid."""
        return np.repeat(self.found.images[half][0], rates.CLASSES - 1 if grid == 1 else 1)

    def _size(self, half: bool, maker: str, grid: float, targets: str, images: str) -> tuple[float, ...]:
        """Mean distortion of a set and its deviation over images, the joint one and its, and the number of images."""
        rows = self._once(self._chosen, half, maker, grid, targets, images)
        rms, count = self.found.rms[searched(maker, grid)][rows], self._images(rows, grid)
        joint = np.sqrt(np.square(rms).mean())
        return rms.mean(), rms.std(), joint, np.square(rms).std() / (2 * joint), count

    @staticmethod
    def _images(rows: np.ndarray, grid: float) -> int:
        return len(np.unique(rows // (rates.CLASSES - 1)) if grid == 1 else rows)

    def _rate(
        self, half: bool, maker: str, reader: str, grid: float, targets: str, images: str, *longer
    ) -> tuple[float, ...]:
        """How often a reader errs on a set and on the clean images of it, and on how many images."""
        rows = self._once(self._chosen, half, maker, grid, targets, images)
        labels = self._labels(half, grid)[rows]
        ways = self.found.read[searched(maker, grid), reader]

        def off(way: str) -> float:
            return float((ways[way][rows] != labels).mean())

        clean, count = off("clean"), self._images(rows, grid)
        if not longer:
            return off("found"), clean, count
        average, amplified, cut = longer
        tail = ", cut" if cut else ""
        if amplified == "each":
            return off(f"each{tail}"), clean, count
        mean, _, joint, *_ = self._once(self._size, half, maker, grid, targets, images)
        ladder = [1.0, *sorted(float(way[1:]) for way in ways if way[0] == "x" and "cut" not in way)]
        steps = [off("found"), *(off(f"x{factor:g}{tail}") for factor in ladder[1:])]
        size = joint if average == "joint" else mean
        return float(np.interp(rates.SIZE / size, ladder, steps)), clean, count


def protocols(found: Found) -> Iterator[Protocol]:
    """Every combination of the ways to train that a folder knows with all that need no other network."""
    trained = dict.fromkeys(key[1:] for key in found.casts if not key[0])
    for names, free in product(trained, product(*FREE.values())):
        protocol = Protocol(*names, **dict(zip(FREE, free, strict=True)))
        if protocol.grid == 1 or protocol.targets == "random":
            yield protocol


@dataclass(frozen=True)
class Search:
    """All protocols against the printed numbers.

    Attributes:
        printed: rows of ``evidence.entries`` that the base could be compared with.
        missing: the others.
        protocols: (P,) those for which all of them are there, the base first.
        mean: (P, E) ours, over seeds.
        clean: (P, E) our errors on the clean images that belong to them.
        spread: (P, E) over seeds.
        seeds: (P, E) on how many.
        z: (P, E) differences from the printed numbers in standard errors.
    """

    printed: pd.DataFrame
    missing: pd.DataFrame
    protocols: list[Protocol]
    mean: np.ndarray
    clean: np.ndarray
    spread: np.ndarray
    seeds: np.ndarray
    z: np.ndarray

    def misfits(self, some: np.ndarray) -> np.ndarray:
        """(P,) the misfit over some of the numbers, as ``evidence.misfit`` measures it."""
        return np.array([evidence.misfit(line) for line in self.z[:, some]])

    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """(P,) the misfits of the numbers that choose and of those that judge; zeros where there are no such."""
        choose = chooses(self.printed)
        first, second = (self.misfits(some) if some.any() else np.zeros(len(self.z)) for some in (choose, ~choose))
        return first, second


def search(found: Found, usual: np.ndarray | None = None) -> Search:
    """Counts every printed number under every protocol.

    Args:
        found: what there is.
        usual: (E,) the spread over seeds of each number, for all protocols; by default each has its own.

    Returns:
        The ``Search``; a protocol that lacks a number which the base has is left out.

    Raises:
        ValueError: not one number can be compared.
    """
    count, printed = Count(found), evidence.entries()
    every = [BASE, *(one for one in protocols(found) if one != BASE)]
    lines = np.full((len(every), len(printed), 6), np.nan)
    for i, protocol in enumerate(every):
        for j, place in enumerate(printed.index):
            lines[i, j] = count.number(protocol, *place)
    has = ~np.isnan(lines[0, :, 0])
    if not has.any():
        raise ValueError("got no number of the paper's tables; expected networks and readings; make some units first.")
    whole = ~np.isnan(lines[:, has, 0]).any(1)
    every = [protocol for protocol, there in zip(every, whole, strict=True) if there]
    lines, kept = lines[whole][:, has], printed[has]
    mean, clean, spread, seeds, images, over = np.moveaxis(lines, 2, 0)
    sizes = (kept["group"] == "distortions").to_numpy()
    spread = _spread(spread if usual is None else np.broadcast_to(usual, spread.shape), kept)
    # of a distortion the images are luck as well, the paper's and ours; put so that the starts' share comes out again
    drawn = np.square(over) * (1 / kept["images"].to_numpy() + 1 / images) / (1 + 1 / seeds)
    luck = np.sqrt(np.square(spread) + np.where(sizes, drawn, 0.0))
    theirs = kept["paper"].to_numpy()
    gap = mean - theirs
    counted = np.array([protocol.counted == "excess" for protocol in every])
    gap = np.where(counted[:, None], excess(mean, clean) - excess(theirs, printed_clean(kept)), gap)
    z = gap / evidence.standard_errors(kept, mean, luck, seeds, images)
    return Search(kept, printed[~has], every, mean, clean, spread, seeds, z)


def _spread(spread: np.ndarray, printed: pd.DataFrame) -> np.ndarray:
    """Spreads over seeds: none where a network has one optimum; where there is one seed, that of the base.

    Where the base has one seed as well, it is the median spread of numbers of that kind.
    """
    linear = np.array([_convex(*place) for place in printed.index])
    usual = pd.Series(spread[0]).groupby(printed["group"].to_numpy()).transform("median").fillna(0).to_numpy()
    base = np.where(np.isnan(spread[:1]), usual, spread[:1])
    return np.where(linear, 0.0, np.where(np.isnan(spread), base, spread))


def _convex(table: str, row: str, column: str) -> bool:
    who = {row, column} & set(paper.MODELS)
    return table in ("table1", "table2") and who <= set(paper.MODELS[:3])


def printed_clean(printed: pd.DataFrame) -> np.ndarray:
    """(E,) the printed error on clean images that belongs to each rate of Tables 2 and 4; 0 for other numbers."""
    return np.array(
        [
            paper.TABLE1.value(column, "training error")
            if table == "table2"
            else paper.TABLE3.value(column, "test error")
            if table == "table4"
            else 0.0
            for table, _, column in printed.index
        ]
    )


def reduced(found: Found) -> dict[str, Any]:
    """What the chapter reads of the search, as JSON has it.

    Returns:
        ``missing`` numbers; how many ``protocols`` were tried, the ``most`` rates that any brings within two standard
        errors, and the ``images`` attacked; for ``best`` and ``base`` the protocol and its misfits, the best among
        those with ``ENOUGH`` starts, where there are such; the best with one answer ``changed`` at a time; the best by
        ``trained`` networks, with all starts and with the first ``alone``, and, with a random class and enough starts,
        by grid, ``coarse``; the nearest to ``every`` number, the ones that judge among them; of those ``fullest`` of
        rates within two standard errors the nearest, and how many these are; how many such rates there are under what
        all other numbers choose, ``left out``; the ``sizes`` of Table 1; the numbers of the autoencoder by training,
        ``coders``; and by number under the best, under the base, and what those with enough starts span.
    """
    result = search(found)
    choose, rate = chooses(result.printed), ~result.printed["group"].isin(["distortions", "errors"]).to_numpy()
    chosen, judged = result.halves()
    lucky = np.array([not _convex(*place) for place in result.printed.index])
    starts = result.seeds[:, lucky].min(1) if lucky.any() else np.ones(len(result.z))
    some = starts >= ENOUGH if (starts >= ENOUGH).any() else starts > 0
    best, theirs = _nearest(chosen, some), printed_clean(result.printed)
    within = np.abs(result.z) <= 2
    rates_within = (within & rate).sum(1)

    def about(i: int) -> dict[str, Any]:
        return {
            "protocol": asdict(result.protocols[i]),
            "chosen on": chosen[i],
            "judged by": judged[i],
            "rates within two": int(rates_within[i]),
            "numbers within two": int(within[i].sum()),
            "starts": int(starts[i]),
        }

    where = {protocol: i for i, protocol in enumerate(result.protocols)}
    trained = _nearest_of([(protocol.sigmoid, protocol.coder) for protocol in result.protocols], chosen)
    random = [
        protocol.grid if protocol.targets == "random" and ready else None
        for protocol, ready in zip(result.protocols, some, strict=True)
    ]
    coarse = _nearest_of(random, chosen)
    changed = []
    for question in fields(Protocol):
        answers = dict.fromkeys(getattr(protocol, question.name) for protocol in result.protocols)
        for answer in answers:
            other = where.get(replace(result.protocols[best], **{question.name: answer}))
            if other is not None and other != best:
                changed.append({"question": question.name, "answer": answer} | about(other))
    numbers = [
        {
            "table": table,
            "row": row,
            "column": column,
            "paper": line.paper,
            "chooses": bool(choose[j]),
            "rate": bool(rate[j]),
            "ours": result.mean[best, j],
            "spread": result.spread[best, j],
            "seeds": int(result.seeds[best, j]),
            "z": result.z[best, j],
            "excess": [excess(line.paper, theirs[j]), excess(result.mean[best, j], result.clean[best, j])],
            "base": result.mean[0, j],
            "z of the base": result.z[0, j],
            "least": result.mean[some, j].min(),
            "largest": result.mean[some, j].max(),
            "nearest": np.abs(result.z[some, j]).min(),
        }
        for j, ((table, row, column), line) in enumerate(result.printed.iterrows())
    ]
    summary = {
        "protocols": len(result.protocols),
        "missing": [list(place) for place in result.missing.index],
        "most": int(rates_within.max()),
        "images": len(found.images[False][0]),
    }
    told = {"best": about(best), "base": about(0), "changed": changed, "numbers": numbers}
    told |= {"trained": [about(i) for i in trained.values()], "coarse": [about(i) for i in coarse.values()]}
    told |= {"every": about(_nearest(result.misfits(choose | ~choose), some)), "sizes": _sizes(result)}
    told["alone"] = _alone(found, result)
    fullest = rates_within == rates_within.max()
    told["fullest"] = about(_nearest(chosen, fullest)) | {"protocols": int(fullest.sum())}
    told["coders"] = _coders(result, result.protocols[best])
    told["left out"] = int((within[some][_without(result.z[some]), np.arange(len(rate))] & rate).sum())
    return rates.rounded(summary | told)


def _alone(found: Found, result: Search) -> list[dict[str, Any]]:
    """The misfits of the nearest protocol by the training of the networks, the first start alone counted for all."""
    first = {key: {seed: cast for seed, cast in seeds.items() if seed == 0} for key, seeds in found.casts.items()}
    one = search(replace(found, casts=first), result.spread[0])
    chosen, judged = one.halves()
    lines = _nearest_of([(protocol.sigmoid, protocol.coder) for protocol in one.protocols], chosen)
    return [
        {"sigmoid": sigmoid, "coder": coder, "chosen on": chosen[i], "judged by": judged[i]}
        for (sigmoid, coder), i in lines.items()
    ]


def _nearest_of(kinds: Sequence[Any], misfits: np.ndarray) -> dict[Any, int]:
    """For each kind of protocol, None apart, which of its protocols has the smallest misfit."""
    found: dict[Any, int] = {}
    for i, kind in enumerate(kinds):
        if kind is not None and (kind not in found or misfits[i] < misfits[found[kind]]):
            found[kind] = i
    return found


def _nearest(misfits: np.ndarray, some: np.ndarray) -> int:
    """Which of some protocols has the smallest misfit."""
    return int(np.where(some, misfits, np.inf).argmin())


def _coders(result: Search, best: Protocol) -> list[dict[str, Any]]:
    """By the training of the autoencoder, all else as chosen: its line of Table 1, and the misfit of its numbers.

    Its training error and its distortion ``choose``; all its other numbers, Table 2 among them, ``judge``.
    """
    name, where = paper.MODELS[-1], {protocol: i for i, protocol in enumerate(result.protocols)}
    places = {place: j for j, place in enumerate(result.printed.index) if place[0] in ("table1", "table2")}
    line = {what: places["table1", name, what] for what in paper.TABLE1.columns if ("table1", name, what) in places}
    some = [line[what] for what in ("training error", "distortion") if what in line]
    rest = [j for (_, row, column), j in places.items() if name in (row, column) and j not in some]
    lines = []
    for coder in dict.fromkeys(protocol.coder for protocol in result.protocols):
        i = where.get(replace(best, coder=coder))
        if i is None or not some or not rest:
            continue
        misfits = {"choose": evidence.misfit(result.z[i, some]), "judge": evidence.misfit(result.z[i, rest])}
        told = {"coder": coder, "starts": int(result.seeds[i, some].min()), "numbers": len(rest)}
        lines.append(told | {what: result.mean[i, j] for what, j in line.items()} | misfits)
    return lines


def _without(z: np.ndarray) -> np.ndarray:
    """(E,) for each number the protocol that all other numbers choose together."""
    capped = np.square(np.minimum(np.abs(z), evidence.CAP))
    return (capped.sum(1, keepdims=True) - capped).argmin(0)


def _sizes(result: Search) -> dict[str, Any]:
    """The protocol whose distortions of Table 1 are nearest to the printed ones, the furthest of them counted.

    Returns:
        The ``protocol``; how far each network's distortion is ``off``, as a part of the printed one; and the least and
        largest ``ratio`` of those of FC200-200-10 and FC100-100-10 over all protocols. Empty where one is missing.
    """
    places = {row: j for j, (table, row, what) in enumerate(result.printed.index) if (table, what) == SIZES_OF}
    if set(places) != set(paper.MODELS):
        return {}
    columns = list(places.values())
    off = result.mean[:, columns] / result.printed["paper"].to_numpy()[columns] - 1
    best = int(np.abs(off).max(1).argmin())
    ratio = result.mean[:, places["FC200-200-10"]] / result.mean[:, places["FC100-100-10"]]
    ends = {"least": ratio.min(), "largest": ratio.max()}
    return {"protocol": asdict(result.protocols[best]), "off": dict(zip(places, off[best], strict=True)), "ratio": ends}


# What the chapter says.


QUESTIONS = {
    "linear": "linear networks with",
    "sigmoid": "networks with hidden units",
    "coder": "autoencoder",
    "end": "iterations at the most:",
    "targets": "class:",
    "grid": "search over c:",
    "images": "images:",
    "average": "sizes averaged",
    "amplified": "amplified:",
    "cut": "amplified pixels",
    "noise_cut": "noisy pixels",
    "counted": "rates",
}
"""The fields of ``Protocol`` in words, an answer follows each."""

ANSWERS = {
    ("grid", 1.0): "the edge itself",
    **{("grid", ratio): f"steps of {ratio:g}" for ratio in units.GRIDS},
    ("average", "mean"): "over images",
    ("average", "joint"): "over all pixels",
    ("amplified", "each"): "each image by itself",
    ("amplified", "set"): "a set by one factor",
    **{(name, True): "cut to the box" for name in ("cut", "noise_cut")},
    **{(name, False): "not cut to the box" for name in ("cut", "noise_cut")},
    ("sigmoid", "as printed"): "trained as printed",
    ("sigmoid", "half decay, biases decayed"): "with half decay, biases decayed",
    ("sigmoid", "small start"): "from small first weights",
    ("sigmoid", "mean taken off"): "on inputs without their mean",
    ("coder", LIGHTER): "whose softmax has a tenth of the decay",
    ("coder", f"a tenth of the pull, {LIGHTER}"): "with a tenth of the pull, whose softmax has a tenth of the decay",
    ("coder", "a tenth of the pull"): "with a tenth of the pull",
    ("coder", "a tenth of the decay"): "whose sparse layer has a tenth of the decay",
    ("coder", "1,000 iterations"): "whose sparse layer had 1,000 iterations",
    **{("coder", f"activity {mean}"): f"with a mean activity of {mean}" for mean in ("0.05", "0.02")},
    ("counted", "raw"): "as they are",
    ("counted", "excess"): "beyond the clean errors",
}
"""The answers whose own words do not say it."""


def lacking(campaign: Mapping[str, Any], *, seeds: int = ENOUGH) -> list[str]:
    """Which printed numbers the search cannot speak of yet, as a reader would say it: missing, or of too few seeds.

    Args:
        campaign: what ``hunt.stored`` returns; without a search it lacks all.
        seeds: how many networks a number has to rest on, unless theirs have one optimum.
    """
    if "joint" not in campaign:
        return [_words(*place) for place in evidence.entries().index]
    found = campaign["joint"]
    few = [_place(line) for line in found["numbers"] if line["seeds"] < seeds and not _convex(*_place(line))]
    return [_words(*place) for place in [*found["missing"], *few]]


def table(campaign: Mapping[str, Any]) -> pd.DataFrame:
    """The base, the protocol that was chosen, and the latter with one answer changed: misfits and rates within two.

    Returns:
        By protocol; the changed ones by the misfit of the numbers that choose.
    """
    found = campaign["joint"]
    lines = {"base": found["base"], "chosen": found["best"]}
    for one in sorted(found["changed"], key=lambda line: line["chosen on"]):
        lines[_said(one["question"], one["answer"])] = one
    columns = ["chosen on", "judged by", "rates within two"]
    return pd.DataFrame({title: [line[name] for name in columns] for title, line in lines.items()}, columns).T


def trained(campaign: Mapping[str, Any]) -> pd.DataFrame:
    """The nearest protocol by how networks with hidden units and the autoencoder were trained, the nearest first.

    Returns:
        By training, ordered by ``one start: chosen on``: its misfits, starts and other answers, if any has such, as in
        ``coarse``, and both misfits with the first start alone counted for every training.
    """
    found = campaign["joint"]
    frame = _beside(found, "trained", "sigmoid", "coder")
    alone = {
        "; ".join(_said(name, line[name]) for name in ("sigmoid", "coder")): [line["chosen on"], line["judged by"]]
        for line in found["alone"]
    }
    names = MISFITS[2:]
    more = pd.DataFrame.from_dict(alone, orient="index", columns=names)
    frame = frame.join(more).sort_values(names[0], kind="stable")
    columns = [name for name in frame.columns[2:-2] if (frame[name] != "").any()]
    return frame[[*frame.columns[:2], *names, *columns]]


def coarse(campaign: Mapping[str, Any]) -> pd.DataFrame:
    """The nearest protocol with a class drawn at random, by how finely c was searched."""
    return _beside(campaign["joint"], "coarse", "grid", given=("targets",))


MISFITS = ["chosen on", "judged by", "one start: chosen on", "one start: judged by"]
"""The columns of ``trained`` that hold misfits."""


def _beside(found: Mapping[str, Any], kind: str, *questions: str, given: tuple[str, ...] = ()) -> pd.DataFrame:
    """The nearest protocol of each kind: its misfits, starts, and other answers that are not those of the choice.

    Args:
        found: what ``reduced`` returns.
        kind: ``"trained"`` or ``"coarse"``.
        questions: those that make the kind.
        given: those that have one answer here, which goes without saying.
    """
    best, rows = found["best"]["protocol"], {}
    for line in found[kind]:
        other = {name: answer for name, answer in line["protocol"].items() if name not in (*questions, *given)}
        differs = _differs(other, best)
        cells = [line[name] for name in ("chosen on", "judged by", "rates within two", "starts")]
        rows["; ".join(_said(name, line["protocol"][name]) for name in questions)] = [*cells, differs]
    columns = ["chosen on", "judged by", "rates within two", "starts", "other answers than the choice"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def coders(campaign: Mapping[str, Any]) -> pd.DataFrame:
    """The autoencoder by its training, all else as it was chosen; the nearest in training error and distortion first.

    Returns:
        The paper, then each training: the numbers of Table 1, the misfit of training error and distortion, ``choose``,
        that of all its other numbers in Tables 1 and 2, ``judge``, and how many starts.
    """
    columns = [*paper.TABLE1.columns, "choose", "judge", "starts"]
    lines = sorted(campaign["joint"]["coders"], key=lambda line: line["choose"])
    rows = {"the paper": [*paper.TABLE1.rows[paper.MODELS[-1]], np.nan, np.nan, np.nan]}
    rows |= {ANSWERS.get(("coder", line["coder"]), line["coder"]): [line[name] for name in columns] for line in lines}
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def costs(campaign: Mapping[str, Any]) -> pd.DataFrame:
    """How long a training and the search for a set of examples took, in seconds.

    Returns:
        By network: the median of its ``training`` times, NaN where none was noted, how many were noted, ``timed``, the
        median of its ``attack`` times and how many ``sets`` there are.
    """
    rows = {}
    for name, line in campaign["costs"].items():
        cells = [cell for one in ("training", "attack") for cell in (_median(line[one]), len(line[one]))]
        rows[name] = cells
    return pd.DataFrame.from_dict(rows, orient="index", columns=["training", "timed", "attack", "sets"])


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else np.nan


def about(campaign: Mapping[str, Any]) -> str:
    """The outcome of the search, in sentences."""
    found = campaign["joint"]
    best, base, rate = found["best"], found["base"], sum(line["rate"] for line in found["numbers"])
    answers = _answers(best["protocol"])
    differs = f"It differs from the base in these answers: {answers}." if answers else "It is the base."
    worse = "falls" if best["judged by"] < base["judged by"] else "does not fall"
    beyond = ", both beyond the errors on clean images," if best["protocol"]["counted"] == "excess" else ""
    return (
        f"Of {found['protocols']:,} protocols this one comes nearest to the numbers that choose, if only those count "
        f"whose networks have {ENOUGH} starts or more. {differs} Their misfit goes from {base['chosen on']:.2f} to "
        f"**{best['chosen on']:.2f}**; that of the numbers that judge {worse}, from {base['judged by']:.2f} to "
        f"**{best['judged by']:.2f}**. Of {rate} rates **{best['rates within two']}** lie within two standard errors "
        f"of the printed ones{beyond or ','} {base['rates within two']} under the base, and {found['most']} under the "
        "protocol that has most of them."
    )


def about_every(campaign: Mapping[str, Any]) -> str:
    """What all numbers together would choose, what each judges when it is left out, and what counting finds."""
    found = campaign["joint"]
    every, most, rate = found["every"], found["fullest"], sum(line["rate"] for line in found["numbers"])
    return (
        f"If all numbers choose, those that judge among them, the answers are {_beside_choice(found, every)}. The "
        f"misfits are then {every['chosen on']:.2f} and {every['judged by']:.2f}, and {every['rates within two']} of "
        f"{rate} rates lie within two standard errors. With nobody left to judge, each number can still be judged by "
        f"itself: under what all *other* numbers choose, **{found['left out']}** of the {rate} rates lie within two. "
        f"Whoever picks a protocol by counting them finds {most['rates within two']}, under {most['protocols']:,} of "
        f"them; the answers of the nearest to the numbers that choose are {_beside_choice(found, most)}. Its misfits "
        f"are {most['chosen on']:.2f} and {most['judged by']:.2f}."
    )


def _beside_choice(found: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In which answers a protocol differs from the chosen one, in words."""
    differs = _differs(other["protocol"], found["best"]["protocol"])
    return f"those of the choice but for these: {differs}" if differs else "those of the choice"


def residuals(campaign: Mapping[str, Any]) -> pd.DataFrame:
    """Every number of the search beside the printed one, under the chosen protocol and under the base.

    Returns:
        By table, row and column: the printed number, ours as a mean over starts, their standard deviation, how many
        starts, and the difference in standard errors, under the chosen protocol (``z``) and under the base.
    """
    lines = campaign["joint"]["numbers"]
    index = pd.MultiIndex.from_tuples([_place(line) for line in lines], names=["table", "row", "column"])
    frame = pd.DataFrame(lines, index)[["paper", "ours", "spread", "seeds", "z", "z of the base"]]
    return frame.rename(columns={"seeds": "starts"})


def _answers(protocol: Mapping[str, Any]) -> str:
    """The answers in which a protocol differs from the base."""
    return _differs(protocol, asdict(BASE))


def _differs(protocol: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The answers of a protocol that are not those of another."""
    return "; ".join(_said(name, answer) for name, answer in protocol.items() if answer != other[name])


def setting(campaign: Mapping[str, Any]) -> str:
    """What was trained and attacked for the search, in a sentence."""
    found = campaign["joint"]
    starts = [line["seeds"] for line in found["numbers"] if not _convex(*_place(line))]
    many = f"{min(starts)}" if min(starts) == max(starts) else f"{min(starts)} to {max(starts)}"
    return (
        f"Each network with hidden units was trained from {many} starts, as printed or as chosen, the linear ones once "
        f"for each training, and {found['images']:,} images were attacked for each of them, each image for all nine "
        f"wrong classes."
    )


def deviations(campaign: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Differences in standard errors by what was counted, under the base and under the chosen protocol."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in campaign["joint"]["numbers"]:
        name = evidence.group(*_place(line))
        title = name if line["rate"] else "Tables 1 and 3"
        found.setdefault(title, []).append((line["z of the base"], line["z"]))
    return {title: tuple(np.array(pairs).T) for title, pairs in found.items()}


def about_sizes(campaign: Mapping[str, Any]) -> str:
    """How near any protocol brings the distortions of Table 1, all at once, in sentences."""
    found = campaign["joint"]["sizes"]
    answers = _answers(found["protocol"])
    each = ", ".join(f"{name} {100 * off:+.1f} %" for name, off in found["off"].items())
    furthest = max(found["off"], key=lambda name: abs(found["off"][name]))
    first, second = (paper.TABLE1.value(name, "distortion") for name in ("FC200-200-10", "FC100-100-10"))
    ends = found["ratio"]
    return (
        f"Of all protocols the one that meets the six distortions of Table 1 best, the furthest of them counted, is "
        f"off by {abs(100 * found['off'][furthest]):.1f} % for {furthest} ({each}). It differs from the base in these "
        f"answers: {answers}. FC200-200-10 needs {ends['least']:.2f} to {ends['largest']:.2f} times the distortion of "
        f"FC100-100-10 under any protocol, printed are {first / second:.2f} times."
    )


def claims(campaign: Mapping[str, Any]) -> dict[str, bool]:
    """The claims of the joint search."""
    best, base = campaign["joint"]["best"], campaign["joint"]["base"]
    sizes = [
        line for line in campaign["joint"]["numbers"] if line["table"] == "table1" and line["column"] == "distortion"
    ]
    found = {
        "What Tables 1 and 2 and half of Table 4 choose lowers the misfit of the numbers that had no part in it": bool(
            best["judged by"] < base["judged by"]
        ),
        "The chosen protocol brings at least 50 of the 60 rates within two standard errors of the printed ones": bool(
            best["rates within two"] >= 50
        ),
        "Under it every distortion of Table 1 lies within 5 % of the printed one": all(
            abs(line["ours"] / line["paper"] - 1) <= 0.05 for line in sizes
        ),
    }
    asked = (
        ("Noise that is not cut fits the numbers that choose better", "noise_cut", False, True, "chosen on"),
        ("One factor for a set fits the numbers that judge better", "amplified", "set", "each", "judged by"),
        (
            f"An {_said('coder', LIGHTER)} fits the numbers that choose better",
            "coder",
            LIGHTER,
            BASE.coder,
            "chosen on",
        ),
    )
    for claim, question, answer, other, which in asked:
        lines = [_answered(campaign["joint"], question, one) for one in (answer, other)]
        if all(lines):
            found[claim] = bool(lines[0][which] < lines[1][which])
    return found


def _answered(found: Mapping[str, Any], question: str, answer: Any) -> Mapping[str, Any] | None:
    """The chosen protocol with this answer; None where it was not tried."""
    if found["best"]["protocol"][question] == answer:
        return found["best"]
    lines = [line for line in found["changed"] if (line["question"], line["answer"]) == (question, answer)]
    return lines[0] if lines else None


def beyond(campaign: Mapping[str, Any], *, errors: float = 3.0) -> str:
    """A sentence for each number that stays further off than so many standard errors, the furthest first."""
    found = campaign["joint"]
    over = found["best"]["protocol"]["counted"] == "excess"
    lines = [line for line in found["numbers"] if abs(line["z"]) > errors]
    lines.sort(key=lambda line: -abs(line["z"]))
    none = f"No number is further off than {errors:g} standard errors."
    return "\n".join(f"* {_sentence(line, over=over)}" for line in lines) or none


def _sentence(line: Mapping[str, Any], *, over: bool) -> str:
    shown = "{:.4f}" if line["column"] == "distortion" else "{:.1%}"
    ours, least, largest = (shown.format(line[name]) for name in ("ours", "least", "largest"))
    theirs = f"{line['paper']:.4g}" if line["column"] == "distortion" else paper.percent(line["paper"])
    both = " and ".join(f"{100 * part:.1f}" for part in line["excess"])
    beside = f" ({both} points beyond the errors on clean images)" if over and line["rate"] else ""
    many = f"over {line['seeds']} starts" if line["seeds"] > 1 else "with one network"
    if line["nearest"] > 2:
        span = (
            f"all protocols of enough starts give {least} to {largest}"
            if least != largest
            else f"every protocol of enough starts gives {ours}"
        )
        rest = f"{span}, and none comes within two standard errors"
    else:
        rest = "another protocol of enough starts comes within two, but fits the numbers that choose worse"
    numbers = f"printed {theirs}, here {ours} {many}{beside}, {line['z']:+.1f} standard errors"
    return f"{_words(*_place(line))}: {numbers}; {rest}."


def _place(line: Mapping[str, Any]) -> tuple[str, str, str]:
    return line["table"], line["row"], line["column"]


def _words(table: str, row: str, column: str) -> str:
    title = f"Table {table[-1]}"
    return f"{title}, {row}, {column}" if table in ("table1", "table3") else f"{title}, {row} → {column}"


def _said(question: str, answer: Any) -> str:
    """A question and its answer as a reader would say them."""
    if question == "linear":
        return f"{QUESTIONS[question]} {hunt.words(answer)}"
    return f"{QUESTIONS[question]} {ANSWERS.get((question, answer), answer)}"
