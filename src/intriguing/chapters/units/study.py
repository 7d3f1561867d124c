"""The comparison of units with random directions over layers and networks: what the chapter on units rests on.

A network is a draw of lots: other initial weights, or another rounding of sums on another processor, end in other
units. So the numbers of the chapter's tables are means over several networks, but for the one that shows each network
by itself, and every claim is decided by the interval of its effect over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler
from scipy import stats
from torch import Tensor, nn

from intriguing.book import coherence, settings, tables
from intriguing.book.coherence import DIRECTIONS, MARGIN, MEASURES, SHOWN, Survey, drawn, survey
from intriguing.book.results import Table
from intriguing.chapters.units import matched
from intriguing.data import Digits, Images
from intriguing.models.recipes import build
from intriguing.models.training import error_rate, trained

TURNED = "dense, axes turned"  # a layer without a natural basis, on which nothing may be found
BASES = ("dense", "sigmoid 2", "logits")  # layers that are turned as a whole, and whose units are mixed
HIDDEN = ("conv 2, channels", "conv 2, positions", "dense, before ReLU", "dense", "sigmoid 1", "sigmoid 2")
"""Trained hidden layers, without the channels of the first convolution and the layer whose axes are turned."""

MIXED = (1, 2, 4, 8, 16, 32, 64)  # units in a mixture, before all of them


@dataclass(frozen=True)
class Sizes:
    """How much the chapter computes.

    Attributes:
        networks: networks of each kind, with the seeds 0, 1, 2 and so on.
        images: training images, the first ones.
        iterations: the most L-BFGS iterations of a sigmoid network's training.
        directions: random directions per layer, or as many as there are units where they are more.
        rotations: whole bases turned at random.
    """

    networks: int
    images: int
    iterations: int
    directions: int
    rotations: int


SIZES = {
    "quick": Sizes(networks=8, images=400, iterations=100, directions=600, rotations=24),
    "paper": Sizes(networks=5, images=60_000, iterations=200, directions=DIRECTIONS, rotations=99),
}
"""The sizes by profile."""


@dataclass(frozen=True, eq=False)
class Guess:
    """Two rows of images, one of a unit and one of a direction, in an order that a coin decided.

    Attributes:
        unit: which unit, an entry of ``Survey.numbers``.
        direction: which direction.
        first: whether the unit's row comes first.
        rows: (2, ``SHOWN``) long, the images of both rows in the order shown.
    """

    unit: int
    direction: int
    first: bool
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Row:
    """The top images of one unit or one direction, with what to say about them.

    Attributes:
        images: (``SHOWN``, *shape), the largest first.
        words: ``unit 7`` or ``direction 3``.
        caption: the words and how many of the images share a label.
    """

    images: Tensor
    words: str
    caption: str


def layers(
    conv: nn.Sequential,
    sigmoid: nn.Sequential,
    blank_conv: nn.Sequential,
    blank_sigmoid: nn.Sequential,
    images: Tensor,
    *,
    seed: int = settings.SEED,
) -> dict[str, tuple[Tensor, Tensor]]:
    """The layers that are compared, each with an independent feature space to measure distances in.

    The space is the last hidden layer of the other kind of network: other architecture, other nonlinearity, other
    initial weights, other training. Its features are standardised, so that none counts more than another.

    Args:
        conv: the trained ConvNet.
        sigmoid: the trained FC100-100-10.
        blank_conv: a ConvNet as it is before training.
        blank_sigmoid: an FC100-100-10 likewise.
        images: (N, 1, 28, 28) in [0, 1].
        seed: of the basis to which the axes of one layer are turned.

    Returns:
        Layer -> features (N, D) and the other feature space (N, E).
    """
    pooled = coherence.features(conv[:4].eval(), images, 3).unflatten(1, (conv[1].out_channels, 12, 12))
    maps, blank_maps = coherence.features(conv[4:7].eval(), pooled, 2), coherence.features(blank_conv, images, 6)
    before, dense, logits = (coherence.features(conv[7:].eval(), maps, layer) for layer in (1, 2, 3))
    blank_dense = coherence.features(blank_conv[7:].eval(), blank_maps, 2)
    second = coherence.features(sigmoid, images, 4)
    by_sigmoid, by_conv = coherence.standardised(second), coherence.standardised(dense)
    live = often(dense, SHOWN)
    away = coherence.rotation(live.shape[1], torch.Generator().manual_seed(seed + 1))
    channels = conv[4].out_channels
    return {
        "pixels": (images.flatten(1), by_conv),
        "conv 1, channels": (pooled.amax((2, 3)), by_sigmoid),
        "conv 2, channels": (maps.unflatten(1, (channels, -1)).amax(2), by_sigmoid),
        "conv 2, positions": (maps, by_sigmoid),
        "dense, before ReLU": (before, by_sigmoid),
        "dense": (dense, by_sigmoid),
        TURNED: (live @ away.T, by_sigmoid),
        "logits": (logits, by_sigmoid),
        "untrained: conv 2, channels": (blank_maps.unflatten(1, (channels, -1)).amax(2), by_sigmoid),
        "untrained: dense": (blank_dense, by_sigmoid),
        "sigmoid 1": (coherence.features(sigmoid, images, 2), by_conv),
        "sigmoid 2": (second, by_conv),
        "sigmoid logits": (coherence.features(sigmoid, images, 5), by_conv),
        "untrained: sigmoid 2": (coherence.features(blank_sigmoid, images, 4), by_conv),
    }


@dataclass(frozen=True, eq=False)
class Network:
    """A convolutional and a sigmoid network of the same seed, and what their layers show.

    Attributes:
        model: the trained ConvNet.
        layers: layer -> features and an independent feature space, see :func:`layers`.
        surveys: layer -> units and directions.
        numbers: what is averaged over networks, by its topic: ``layers`` (a row for each layer), ``sizes`` (layers by
            images in a set, the difference of the purities), ``oriented``, ``turned``, ``mixed`` and ``ablated``, see
            :func:`turnings`, :func:`mixings` and :mod:`intriguing.chapters.units.matched`.
    """

    model: nn.Sequential
    layers: dict[str, tuple[Tensor, Tensor]]
    surveys: dict[str, Survey]
    numbers: dict[str, pd.DataFrame]


@dataclass(frozen=True, eq=False)
class Population:
    """Several networks, alike but for their seed.

    Attributes:
        first: the one with seed 0, which is shown in pictures.
        numbers: topic -> the numbers of all networks, index (seed, row), see ``Network.numbers``.
        data: what they were trained and tested on.
    """

    first: Network
    numbers: dict[str, pd.DataFrame]
    data: str


def network(digits: Digits, sizes: Sizes, seed: int) -> Network:
    """Train both kinds of network from one seed and compare units with directions in all their layers.

    Args:
        digits: the data.
        sizes: how much.
        seed: of initial weights, directions and turned bases.
    """
    few = digits.train.take(slice(0, sizes.images), f"{digits.train.name}, first {sizes.images}")
    few = digits.train if sizes.images == len(digits.train) else few
    test = digits.test
    conv = trained("ConvNet", few, seed=seed).model
    sigmoid = trained("FC100-100-10", few, seed=seed, max_iterations=sizes.iterations).model
    blank = [build(name, seed=seed).eval().requires_grad_(False) for name in ("ConvNet", "FC100-100-10")]
    made = layers(conv, sigmoid, *blank, test.images, seed=seed)
    surveys = {
        name: survey(
            name, features, test.images, test.labels, others,
            resamples=None, directions=sizes.directions, seed=seed,
        )
        for name, (features, others) in made.items()
    }  # fmt: skip
    made_of = numbers(surveys, made, test.labels, rotations=sizes.rotations, count=sizes.directions // 2, seed=seed)
    made_of["ablated"] = matched.ablations(conv[-1], made["dense"][0], test.labels, seed=seed)
    return Network(conv, made, surveys, made_of)


def numbers(
    surveys: Mapping[str, Survey],
    layers: Mapping[str, tuple[Tensor, Tensor]],
    labels: Tensor,
    *,
    rotations: int,
    count: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """What is averaged over networks, from one of them: see ``Network.numbers``; all but ``ablated``.

    Args:
        surveys: layer -> units and directions.
        layers: see :func:`layers`.
        labels: (N,) long.
        rotations: bases turned at random.
        count: mixtures of each size; directions that are read towards their longer tails are twice as many.
        seed: of bases, mixtures and directions.
    """
    return {
        "layers": pd.DataFrame({name: _numbers(one, len(labels) // 10) for name, one in surveys.items()}).T,
        "sizes": pd.DataFrame(
            {name: {k: found.difference for k, found in one.by_k.items()} for name, one in surveys.items()}
        ).T,
        "oriented": matched.orientations(layers, labels, directions=2 * count, seed=seed),
        "turned": turnings(layers, labels, rotations=rotations, seed=seed),
        "mixed": mixings(layers, labels, count=count, seed=seed),
    }


def population(digits: Digits, sizes: Sizes) -> Population:
    """Several networks of each kind.

    Args:
        digits: the data.
        sizes: how many and how much, see ``SIZES``.

    Raises:
        ValueError: fewer than two networks, which have no interval.
    """
    if sizes.networks < 2:
        raise ValueError(f"got {sizes.networks} networks; expected at least two, for an interval over them.")
    first = network(digits, sizes, 0)
    made = [first.numbers] + [network(digits, sizes, seed).numbers for seed in range(1, sizes.networks)]
    return Population(first, together(made), f"{digits.name}, trained on {sizes.images}")


def together(made: Sequence[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The numbers of several networks, one below the other.

    Args:
        made: ``Network.numbers`` of each.

    Returns:
        Topic -> a frame with the index (place in ``made``, row).
    """
    return {topic: pd.concat([one[topic] for one in made], keys=range(len(made))) for topic in made[0]}


def interval(values: pd.DataFrame | pd.Series, confidence: float = 0.95) -> pd.DataFrame:
    """Mean and interval over networks, which are taken for draws from a normal distribution.

    Args:
        values: index (network, row); NaN where a network has no value.
        confidence: of the interval.

    Returns:
        Row -> ``mean``, ``low`` and ``high``; for a frame of one column only.

    Source:
        Student 1908.
    """
    groups = values.squeeze().groupby(level=1, sort=False)
    mean, count = groups.mean(), groups.count()
    reach = stats.t.ppf((1 + confidence) / 2, count - 1) * groups.std() / np.sqrt(count)
    return pd.DataFrame({"mean": mean, "low": mean - reach, "high": mean + reach})


def decided(effect: Sequence[float]) -> bool | None:
    """Whether a claim holds, by the sign of the interval of its effect over networks.

    Args:
        effect: one number for each network, above zero where the network speaks for the claim.

    Returns:
        True where the whole interval lies above zero, False where it lies below, None where it holds zero.
    """
    found = interval(pd.Series(list(effect), index=pd.MultiIndex.from_product([range(len(effect)), [0]]))).loc[0]
    return True if found["low"] > 0 else False if found["high"] < 0 else None


def mixing(
    features: Tensor,
    labels: Tensor,
    sizes: Sequence[int],
    k: int,
    *,
    count: int = DIRECTIONS,
    seed: int = settings.SEED,
) -> dict[str, list[float]]:
    """Mean purity of directions that mix more and more units, from one to all.

    Args:
        features: (N, D), units that fire on fewer than k images left out.
        labels: (N,) long.
        sizes: how many units take part, from 1 to D.
        k: images in a set.
        count: directions of each size.
        seed: of the directions.

    Returns:
        Kind of weights -> mean purity by size.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        kind: [
            float(coherence.purity(coherence.top(features, mixture, k), labels).mean())
            for mixture in (
                coherence.mixtures(count, features.shape[1], size, generator, positive=positive) for size in sizes
            )
        ]
        for kind, positive in (("weights of both signs", False), ("positive weights", True))
    }


def turned(
    features: Tensor, labels: Tensor, k: int = SHOWN, *, rotations: int, seed: int = settings.SEED
) -> tuple[float, Tensor, Tensor]:
    """The natural basis among bases turned at random, read as they were drawn and towards their longer tails.

    Args:
        features: (N, D), units that fire on fewer than k images left out.
        labels: (N,) long.
        k: images in a set.
        rotations: how many bases.
        seed: of the bases.

    Returns:
        Mean purity of the natural basis, and (rotations,) that of the others: read as they were drawn, and with each
        axis read towards the end at which its values have their longer tail.
    """

    def purity(basis: Tensor | None) -> float:
        return float(coherence.purity(coherence.top(features, basis, k), labels).mean())

    generator = torch.Generator().manual_seed(seed)
    null = []
    for _ in range(rotations):
        basis = coherence.rotation(features.shape[1], generator)
        null.append([purity(basis), purity(basis * matched.skewed(features, basis)[:, None])])
    return purity(None), *torch.tensor(null, dtype=torch.float64).T


def guesses(one: Survey, count: int, *, skip: int = 0, seed: int = settings.SEED) -> list[Guess]:
    """Pairs of rows for a reader who wants to tell units from directions.

    Args:
        one: the survey of a layer.
        count: how many pairs.
        skip: how many of the drawn units and directions to leave out, because they were shown before.
        seed: of the draw and of the coin.

    Returns:
        ``count`` pairs without a repeated unit or direction.
    """
    coin = torch.rand(count, generator=torch.Generator().manual_seed(seed + 1)) < 0.5
    found = []
    for i, place in enumerate(drawn(one, skip + count, seed=seed)[skip:].tolist()):
        pair = [one.unit_sets[place, :SHOWN], one.direction_sets[skip + i, :SHOWN]]
        rows = torch.stack(pair if coin[i] else pair[::-1])
        found.append(Guess(int(one.numbers[place]), skip + i, bool(coin[i]), rows))
    return found


def shared(indices: Tensor, labels: Tensor) -> str:
    """How many images of a set show the same digit, in words.

    Args:
        indices: (k,) long.
        labels: (N,) long.

    Returns:
        Such as ``5 of 8 show a 3``; the smallest label where several are as frequent.
    """
    shown = labels[indices]
    label = int(shown.mode().values)
    return f"{int((shown == label).sum())} of {len(indices)} show a {label}"


def unit_rows(one: Survey, images: Images, start: int, stop: int) -> list[Row]:
    """Rows of top images of units, from ``start`` to before ``stop`` in the order of ``coherence.drawn``.

    Args:
        one: the survey of a layer.
        images: what the survey was made of.
        start: the first of the units drawn, from 0.
        stop: one beyond the last.
    """
    return [
        _row(f"unit {int(one.numbers[place])}", one.unit_sets[place], images)
        for place in drawn(one, stop)[start:].tolist()
    ]


def direction_rows(one: Survey, images: Images, start: int, stop: int) -> list[Row]:
    """Rows of top images of random directions, from ``start`` to before ``stop`` in the order drawn.

    Args:
        one: the survey of a layer.
        images: what the survey was made of.
        start: the first direction, from 0.
        stop: one beyond the last.
    """
    return [_row(f"direction {place + 1}", one.direction_sets[place], images) for place in range(start, stop)]


def opening(found: Population, sizes: Sizes, test: Images) -> str:
    """What was trained, and what the first network is like, in words.

    Args:
        found: the networks.
        sizes: what they were made with.
        test: the test images.
    """
    one, wrong = found.first.surveys["dense"], error_rate(found.first.model, test.images, test.labels)
    return (
        f"Trained here: {sizes.networks} networks of each kind, on {sizes.images:,} images each. The first "
        f"convolutional one misreads {wrong:.1%} of the {len(test):,} test images. Of the {len(one.firing)} units "
        f"of its hidden layer, {one.dead} are active on none of them."
    )


def often(features: Tensor, k: int) -> Tensor:
    """The units that fire on at least k images.

    Args:
        features: (N, D).
        k: images in a set.

    Returns:
        (N, D') with D' at most D.
    """
    return features[:, coherence.firing(features) >= k]


def random_purity(labels: Tensor, *, sets: int = 2000, seed: int = settings.SEED) -> float:
    """The mean purity of random sets of ``SHOWN`` images, the yardstick of the tables.

    Args:
        labels: (N,) long.
        sets: how many are drawn.
        seed: of the draw.
    """
    found = coherence.random_sets(sets, SHOWN, len(labels), torch.Generator().manual_seed(seed))
    return float(coherence.purity(found, labels).mean())


def purity_table(found: Population) -> Table:
    """Purity of the first eight images, layer by layer: means over the networks.

    Args:
        found: the networks.

    Returns:
        A ``Table`` in which ``low`` and ``high`` are the interval of the difference over networks.
    """
    numbers = found.numbers["layers"]
    means = numbers.groupby(level=1, sort=False).mean()
    ends = interval(numbers["difference"])
    frame = pd.DataFrame(
        {
            **means[["all units", "dead", "units", "directions", "difference"]],
            **ends[["low", "high"]],
            **means[["win", "between", "foretold"]],
        }
    )
    return Table.from_frame("units_purity", frame, {"data": found.data})


def purity_view(table: Table) -> Styler:
    """The table of purities with a verdict for each layer, for display.

    Args:
        table: what :func:`purity_table` returns.
    """
    frame = table.to_frame()
    verdicts = [coherence.verdict(low, high, MARGIN) for low, high in zip(frame["low"], frame["high"], strict=True)]
    view = frame.assign(verdict=verdicts).style.format("{:.3f}")
    return view.format("{:.0f}", subset=["all units", "dead"]).format(str, subset=["verdict"])


def measures_table(found: Population) -> Table:
    """The four measures of the first eight images, units and directions, layer by layer: means over the networks.

    Args:
        found: the networks.
    """
    means = found.numbers["layers"].groupby(level=1, sort=False).mean()
    frame = means[["units", "directions"]].add_prefix("purity, ").join(means[_DISTANCES])
    return Table.from_frame("units_measures", frame, {"data": found.data})


def tolerances(table: Table, found: Population, *, floor: float) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run: fewer networks have means that move more.

    Args:
        table: one of the page's.
        found: the networks it was made of.
        floor: the least tolerance, in the unit of the entries.

    Returns:
        The tolerance that each entry has with as many networks as the quick profile trains, times the root of that
        number over the number of networks here; NaN where none was measured.
    """
    networks = found.numbers["layers"].index.get_level_values(0).nunique()
    wider = (SIZES["quick"].networks / networks) ** 0.5
    return (wider * tables.tolerances(table.name, floor=0)).clip(lower=floor)


def size_frames(found: Population, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The difference of the purities and its interval over networks, by the number of images in a set.

    Args:
        found: the networks.
        names: which layers.

    Returns:
        Layer -> a frame with k as the index and the columns ``difference``, ``low``, ``high``.
    """
    long = found.numbers["sizes"].stack()
    rows = {name: long.xs(name, level=1) for name in names}
    return {name: interval(values).rename(columns={"mean": "difference"}) for name, values in rows.items()}


def turned_frame(found: Population) -> pd.DataFrame:
    """The natural basis and those turned at random: means over the networks, and intervals of the differences.

    Args:
        found: the networks.
    """
    numbers = found.numbers["turned"][["natural basis", "turned", "oriented"]]
    means = numbers.groupby(level=1, sort=False).mean()
    leads = {
        words: interval(numbers["natural basis"] - numbers[column]).rename(columns={"mean": "lead"})
        for words, column in (("over turned", "turned"), ("over oriented", "oriented"))
    }
    return pd.concat({"purity": means, **leads}, axis=1)


def turned_panels(found: Population) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every network's natural basis and its oriented ones, less the mean of the latter, for sets of a tenth.

    Args:
        found: the networks.

    Returns:
        Layer -> (networks,) values of the natural bases, (networks times rotations,) those of the others.
    """
    panels = {}
    for name in BASES:
        rows = found.numbers["turned"].xs(f"{name}, sets of a tenth", level=1)
        centred = rows.drop(columns=["turned", "oriented"]).sub(rows["oriented"], axis=0)
        panels[name] = (
            centred["natural basis"].to_numpy(),
            centred.drop(columns="natural basis").to_numpy().ravel(),
        )
    return panels


def matched_table(found: Population) -> Table:
    """Units against directions read as they were drawn, and against the same ones read towards their longer tail.

    Args:
        found: the networks.

    Returns:
        A ``Table`` named ``units_matched``: by layer and size of the sets, the mean purity of directions both ways, the
        lead of units over each with its interval over networks, the least lead over oriented directions that the
        interval would leave out zero for in four of five such runs, and the lead with units read likewise.
    """
    numbers = found.numbers["oriented"]
    means = numbers.groupby(level=1, sort=False).mean()
    plain, fair = interval(numbers["plain"]), interval(numbers["matched"])
    frame = pd.DataFrame(
        {
            "units": means["units"],
            "directions": means["directions"],
            "oriented": means["oriented"],
            **plain.set_axis(["lead", "lead, low", "lead, high"], axis=1),
            **fair.set_axis(["matched", "matched, low", "matched, high"], axis=1),
            "detectable": detectable(numbers["matched"]),
            "both oriented": means["both oriented"],
        }
    )
    return Table.from_frame("units_matched", frame, {"data": found.data})


def matched_words(table: Table) -> str:
    """What the matched comparison says of the hidden ReLU layer, in sentences with their numbers.

    Args:
        table: what :func:`matched_table` returns.
    """
    frame, lines = table.to_frame(), []
    for words in (f"sets of {SHOWN}", "sets of a tenth"):
        row = frame.loc[f"dense, {words}"]
        low, high = row["matched, low"], row["matched, high"]
        said = "ahead" if low > 0 else "**behind**" if high < 0 else "neither ahead nor behind for certain"
        lines.append(
            f"On {words} the units of the hidden ReLU layer lead over directions as they were drawn by "
            f"{row['lead']:+.3f} [{row['lead, low']:+.3f}, {row['lead, high']:+.3f}]. Over the same directions, read "
            f"towards their longer tail, it is {row['matched']:+.3f} [{low:+.3f}, {high:+.3f}]: they are {said}. A "
            f"true lead of {row['detectable']:.3f} would be found in four of five such runs."
        )
    return " ".join(lines)


def likewise(found: Population) -> pd.DataFrame:
    """The lead of units in the hidden layers, both sides read towards their longer tails, with its interval.

    Args:
        found: the networks.

    Returns:
        A row for each layer of ``HIDDEN`` and size of the sets; columns ``lead``, ``lead, low`` and ``lead, high`` over
        directions as they were drawn, ``mean``, ``low`` and ``high`` with both read alike. Units of layers outside
        ``matched.TWO_SIDED`` are read upwards: those with one end only, and channels.
    """
    numbers = found.numbers["oriented"]
    plain = interval(numbers["plain"]).set_axis(["lead", "lead, low", "lead, high"], axis=1)
    alike = interval(numbers["both oriented"].fillna(numbers["matched"]))
    rows = [row for row in plain.index if row.rsplit(", sets of", 1)[0] in HIDDEN]
    return plain.join(alike).loc[rows]


def likewise_words(frame: pd.DataFrame) -> str:
    """In which hidden layers a lead of units is left once both sides are read alike, in sentences with their numbers.

    Args:
        frame: what :func:`likewise` returns.
    """
    before, after = frame["lead, low"] > 0, frame["low"] > 0
    kept = frame[after]
    named = "; ".join(
        f"{row}: {one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]" for row, one in kept.iterrows()
    )
    return (
        f"In {frame.index.str.rsplit(', sets of', n=1).str[0].nunique()} trained hidden layers and two sizes of sets, "
        f"units lead for certain over directions as they were drawn in {int(before.sum())} of {len(frame)} "
        f"comparisons. With both read towards their longer tails they do in {int(after.sum())}"
        + (f" ({named})" if named else "")
        + f", and directions do in {int((frame['high'] < 0).sum())}."
    )


def ablation_table(found: Population) -> Table:
    """What removing a unit of the hidden ReLU layer costs, and a direction beside it: means over the networks.

    Args:
        found: the networks.

    Returns:
        A ``Table`` named ``units_ablated``, one row for each cost, with the interval of the difference over networks.
    """
    numbers = found.numbers["ablated"]
    rows = {}
    for cost in numbers:
        units, directions = (numbers[cost].xs(kind, level=1) for kind in ("units", "directions"))
        ends = interval((units - directions).rename(cost).to_frame().set_index(_zeros(units), append=True))
        rows[cost] = [float(units.mean()), float(directions.mean()), *map(float, ends.iloc[0])]
    return Table("units_ablated", ["unit", "direction", "difference", "low", "high"], rows, {"data": found.data})


def _zeros(values: pd.Series) -> pd.Index:
    return pd.Index([0] * len(values))


def detectable(values: pd.Series, power: float = 0.8, confidence: float = 0.95) -> pd.Series:
    """The least true mean whose interval over networks would leave out zero with a given probability.

    Args:
        values: index (network, row).
        power: that probability.
        confidence: of the interval.

    Returns:
        By row: (t of the interval plus t of the power) times the standard error.

    Source:
        Student 1908; the noncentral law is approximated by the shifted central one.
    """
    groups = values.groupby(level=1, sort=False)
    freedom = groups.count() - 1
    reach = stats.t.ppf((1 + confidence) / 2, freedom) + stats.t.ppf(power, freedom)
    return reach * groups.std() / np.sqrt(groups.count())


def mixed_panels(found: Population) -> dict[str, tuple[list[float], dict[str, list[float]]]]:
    """Mean purity over the networks against the number of units mixed, one entry for each layer.

    Args:
        found: the networks.

    Returns:
        Layer -> sizes of the mixtures, and kind of weights -> purity by size.
    """
    means = found.numbers["mixed"].groupby(level=1, sort=False).mean()
    panels: dict[str, tuple[list[float], dict[str, list[float]]]] = {}
    for row, values in means.iterrows():
        name, kind = str(row).rsplit(", ", 1)
        curve = values.drop("width").dropna()
        sizes = [float(values["width"] if size == "all" else size) for size in curve.index]
        panels.setdefault(name, (sizes, {}))[1][kind] = curve.tolist()
    return panels


def by_network(found: Population, layer: str) -> pd.DataFrame:
    """What each of the networks shows in one layer.

    Args:
        found: the networks.
        layer: which.

    Returns:
        One row for each seed; columns ``units``, ``directions``, ``difference`` and ``win``.
    """
    rows = found.numbers["layers"].xs(layer, level=1)[["units", "directions", "difference", "win"]]
    return rows.set_axis([f"seed {seed}" for seed in rows.index])


def by_network_note(frame: pd.DataFrame) -> str:
    """How the networks differ, in words.

    Args:
        frame: what :func:`by_network` returns.
    """
    lead = frame["difference"]
    return (
        f"Mean difference over the {len(lead)} networks: {lead.mean():+.3f}, "
        f"standard deviation from network to network {lead.std():.3f}. "
        f"Units are ahead in {int((lead > 0).sum())} of them."
    )


def effects(found: Population, chance: float) -> dict[str, pd.Series]:
    """What the chapter says, and for each sentence a number by network that is above zero where it speaks for it.

    Args:
        found: the networks.
        chance: purity of random sets.

    Returns:
        Sentence -> effect by network.
    """
    layers, turned = found.numbers["layers"], found.numbers["turned"]
    lead, pure = layers["difference"].unstack(sort=False), layers["directions"].unstack(sort=False)
    tenth = layers["tenth"].unstack(sort=False)
    raw = [name for name in pure if name == "pixels" or name.startswith("untrained")]
    hidden = [name for name in pure if name not in raw and "logits" not in name and name != TURNED]
    natural = turned["natural basis"].unstack(sort=False)
    ahead = natural - turned["turned"].unstack(sort=False)
    others = turned.drop(columns=["natural basis", "turned", "oriented"]).max(axis=1).unstack(sort=False)
    over_oriented = natural - turned["oriented"].unstack(sort=False)
    fair = found.numbers["oriented"]["matched"].unstack(sort=False)
    dense = {words: fair[f"dense, sets of {words}"] for words in ("8", "a tenth")}
    alike = found.numbers["oriented"]["both oriented"].unstack(sort=False)
    removed = found.numbers["ablated"].unstack(sort=False)
    loss, concentration = (removed[cost]["units"] - removed[cost]["directions"] for cost in ("loss", "concentration"))
    related = layers.drop(TURNED, level=1).groupby(level=0)[["between", "directions"]]
    return {
        "Random directions of the hidden ReLU layer are more than twice as pure as random sets":
            pure["dense"] - 2 * chance,
        "Random directions of pixels and of untrained layers are more than one and a half times as pure as that":
            pure[raw].min(axis=1) - 1.5 * chance,
        "Training makes the directions of the hidden ReLU layer purer by more than a twentieth":
            pure["dense"] - pure["untrained: dense"] - 0.05,
        "In the hidden ReLU layer units are ahead of directions, on sets of a tenth of all images":
            tenth["dense"],
        "The natural basis of the hidden ReLU layer is purer than turned ones, on sets of a tenth of all images":
            ahead["dense, sets of a tenth"],
        "Against directions read towards their longer tail, units of that layer are ahead in rows of eight":
            dense["8"],
        "Against directions read towards their longer tail, units of that layer are ahead on sets of a tenth":
            dense["a tenth"],
        "Orientation makes more than half of the lead of that layer's units, on sets of a tenth":
            tenth["dense"] / 2 - dense["a tenth"],
        "Its natural basis is purer than turned ones read towards their longer tails, on sets of a tenth":
            over_oriented["dense, sets of a tenth"],
        "Before the ReLU, with both read towards their longer tails, units are ahead on sets of a tenth":
            alike["dense, before ReLU, sets of a tenth"],
        "With both read towards their longer tails, units of the first sigmoid layer are ahead on sets of a tenth":
            alike["sigmoid 1, sets of a tenth"],
        "Against directions read towards their longer tail, positions of the second convolution lead on such sets":
            fair["conv 2, positions, sets of a tenth"],
        "Against directions read towards their longer tail, units are ahead in the logits of both networks":
            fair[["logits, sets of 8", "sigmoid logits, sets of 8"]].min(axis=1),
        "Removing a unit of the hidden ReLU layer raises the loss by more than removing a direction beside it":
            loss,
        "The harm of removing a unit falls more on one class than that of removing a direction beside it":
            concentration,
        "In rows of eight, units and directions of the hidden ReLU layer differ by less than half an image":
            MARGIN - lead["dense"].abs(),
        "On the positions of the second convolution units are ahead, on sets of a tenth of all images":
            tenth["conv 2, positions"],
        "In rows of eight, those of these positions differ by less than half an image":
            MARGIN - lead["conv 2, positions"].abs(),
        "In rows of eight, those of the untrained hidden layer differ by less than half an image":
            MARGIN - lead["untrained: dense"].abs(),
        "In rows of eight, those of a layer whose axes were turned on purpose differ by less than half an image":
            MARGIN - lead[TURNED].abs(),
        "In rows of eight, units are ahead by more than half an image in the logits of both networks":
            lead[["logits", "sigmoid logits"]].min(axis=1) - MARGIN,
        "On sets of a tenth of all images no turned basis of the logits is as pure as the natural one":
            (natural - others)["logits, sets of a tenth"],
        "In the second sigmoid layer directions are ahead of units, on sets of a tenth of all images":
            -tenth["sigmoid 2"],
        "In rows of eight, directions are ahead of units in pixels and in channels of the first convolution":
            -lead[["pixels", "conv 1, channels"]].max(axis=1),
        "In every trained hidden layer the furthest class mean foretells the label of more than half of the directions":
            layers["foretold"].unstack(sort=False)[hidden].min(axis=1) - 0.5,
        "Over the layers, purity of directions and variance between classes have a rank correlation above 0.8":
            related.corr(method="spearman").xs("between", level=1)["directions"] - 0.8,
    }  # fmt: skip


def claims(found: Population, chance: float) -> dict[str, bool | None]:
    """Which sentences hold, by the sign of the interval over networks, see :func:`effects` and :func:`decided`.

    Args:
        found: the networks.
        chance: purity of random sets.
    """
    return {claim: decided(effect) for claim, effect in effects(found, chance).items()}


def turnings(
    layers: Mapping[str, tuple[Tensor, Tensor]], labels: Tensor, *, rotations: int, seed: int = settings.SEED
) -> pd.DataFrame:
    """The layers ``BASES`` turned as a whole, for sets of ``SHOWN`` images and of a tenth of all.

    Args:
        layers: see :func:`layers`.
        labels: (N,) long.
        rotations: how many bases.
        seed: of the bases.

    Returns:
        One row for each layer and size of the sets. Columns: the mean purity of the ``natural basis``, the mean over
        all bases of the ``turned`` ones and of those ``oriented`` towards their longer tails, and the purity of each of
        the latter by its number.
    """
    rows = {}
    for name in BASES:
        for words, k in ((f"{SHOWN}", SHOWN), ("a tenth", len(labels) // 10)):
            natural, null, tails = turned(often(layers[name][0], k), labels, k, rotations=rotations, seed=seed)
            rows[f"{name}, sets of {words}"] = [natural, float(null.mean()), float(tails.mean()), *tails.tolist()]
    columns = ["natural basis", "turned", "oriented", *range(rotations)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def mixings(
    layers: Mapping[str, tuple[Tensor, Tensor]], labels: Tensor, *, count: int, seed: int = settings.SEED
) -> pd.DataFrame:
    """Mean purity against the number of units mixed, from one to all, see :func:`mixing`, for the layers ``BASES``.

    Args:
        layers: see :func:`layers`.
        labels: (N,) long.
        count: directions of each size.
        seed: of the directions.

    Returns:
        One row for each layer and kind of weights; columns: the sizes ``MIXED`` where the layer has more units than
        that, ``all`` of them, and how many those are, ``width``.
    """
    rows = {}
    for name in BASES:
        kept = often(layers[name][0], SHOWN)
        width = kept.shape[1]
        sizes = {size: size for size in MIXED if size < width} | {"all": width}
        for kind, values in mixing(kept, labels, list(sizes.values()), SHOWN, count=count, seed=seed).items():
            rows[f"{name}, {kind}"] = dict(zip(sizes, values, strict=True)) | {"width": width}
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*MIXED, "all", "width"])


def clouds(frame: pd.DataFrame) -> dict[str, dict[str, tuple[float, float]]]:
    """How far the classes are apart in each layer, and how pure random directions are there.

    Args:
        frame: the table of purities; the layer without a natural basis is left out.

    Returns:
        Trained or not -> layer -> variance between classes, purity of random directions.
    """
    groups: dict[str, dict[str, tuple[float, float]]] = {"trained": {}, "untrained or pixels": {}}
    for name, row in frame.drop(TURNED).iterrows():
        raw = name == "pixels" or name.startswith("untrained")
        where = groups["untrained or pixels" if raw else "trained"]
        where[name.removeprefix("untrained: ")] = (row["between"], row["directions"])
    return groups


def _row(words: str, indices: Tensor, images: Images) -> Row:
    indices = indices[:SHOWN]
    return Row(images.images[indices], words, f"{words}: {shared(indices, images.labels)}")


_DISTANCES = [f"{measure.replace('_', ' ')}, {side}" for measure in MEASURES[1:] for side in ("units", "directions")]


def _numbers(one: Survey, tenth: int) -> dict[str, float]:
    """What is averaged over networks of one layer; ``tenth`` is how many images the largest sets hold."""
    pure = one.measures["purity"]
    others = (getattr(one.measures[m], side) for m in MEASURES[1:] for side in ("units", "directions"))
    return {
        "all units": len(one.firing), "dead": one.dead, "units": pure.units, "directions": pure.directions,
        "difference": pure.difference, "tenth": one.by_k[tenth].difference, "win": pure.win,
        "between": one.between, "foretold": one.foretold,
    } | dict(zip(_DISTANCES, others, strict=True))  # fmt: skip
