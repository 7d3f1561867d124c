"""The comparison of units with random directions over layers and networks: what the chapter on units rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from . import scale, seeds, units
from .data import Digits, Images
from .results import Table
from .training import error_rate, trained
from .units import Coherence, Comparison

SHOWN = 8  # images in a row of a figure, and in the sets that the tables speak about
KS = (4, 8, 16, 64)
MARGIN = 1 / 16  # half an image in a row of eight: a difference of purity that nobody would see in a figure
DIRECTIONS = 1000  # random directions per layer, or as many as there are units where they are more
ROTATIONS = 199  # whole bases turned at random
TURNED = "dense, axes turned"  # a layer without a natural basis, on which nothing may be found
MEASURES = ("purity", "entropy", "pixel_distance", "feature_distance")


@dataclass(frozen=True, eq=False)
class Survey:
    """Units and random directions of one layer.

    Attributes:
        name: of the layer.
        firing: (D,) long, see ``units.firing``.
        unit_sets: (U, K) long, top images of the units that fire on at least ``SHOWN`` images.
        direction_sets: (M, K) long, those of the random directions.
        of_units: coherence of the first ``SHOWN`` images of each such unit, distances over those of all images.
        of_directions: the same for the directions.
        measures: measure -> comparison of the two.
        by_k: k -> comparison of the purities of the first k images; a tenth of all images comes last.
        between: share of the variance of phi(x) that lies between the means of the classes, from 0 to 1.
        foretold: share of the directions whose most frequent label is that of the class mean that lies furthest along.
    """

    name: str
    firing: Tensor
    unit_sets: Tensor
    direction_sets: Tensor
    of_units: Coherence
    of_directions: Coherence
    measures: dict[str, Comparison]
    by_k: dict[int, Comparison]
    between: float
    foretold: float

    @property
    def dead(self) -> int:
        """Units that do the same on every image."""
        return int((self.firing == 0).sum())

    @property
    def numbers(self) -> Tensor:
        """(U,) which units the sets belong to."""
        return (self.firing >= SHOWN).nonzero()[:, 0]


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
    conv: nn.Sequential, sigmoid: nn.Sequential, blank_conv: nn.Sequential, blank_sigmoid: nn.Sequential, images: Tensor
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

    Returns:
        Layer -> features (N, D) and the other feature space (N, E).
    """
    first = units.features(conv[:4].eval(), images, 3, unit="maximum")
    maps, blank_maps = units.features(conv, images, 6), units.features(blank_conv, images, 6)
    before, dense, logits = (units.features(conv[7:].eval(), maps, layer) for layer in (1, 2, 3))
    blank_dense = units.features(blank_conv[7:].eval(), blank_maps, 2)
    second = units.features(sigmoid, images, 4)
    by_sigmoid, by_conv = units.standardised(second), units.standardised(dense)
    live = often(dense, SHOWN)
    away = units.rotation(live.shape[1], torch.Generator().manual_seed(scale.SEED + 1))
    channels = conv[4].out_channels
    return {
        "pixels": (images.flatten(1), by_conv),
        "conv 1, channels": (first, by_sigmoid),
        "conv 2, channels": (maps.unflatten(1, (channels, -1)).amax(2), by_sigmoid),
        "conv 2, positions": (maps, by_sigmoid),
        "dense, before ReLU": (before, by_sigmoid),
        "dense": (dense, by_sigmoid),
        TURNED: (live @ away.T, by_sigmoid),
        "logits": (logits, by_sigmoid),
        "untrained: conv 2, channels": (blank_maps.unflatten(1, (channels, -1)).amax(2), by_sigmoid),
        "untrained: dense": (blank_dense, by_sigmoid),
        "sigmoid 1": (units.features(sigmoid, images, 2), by_conv),
        "sigmoid 2": (second, by_conv),
        "sigmoid logits": (units.features(sigmoid, images, 5), by_conv),
        "untrained: sigmoid 2": (units.features(blank_sigmoid, images, 4), by_conv),
    }


def survey(
    name: str,
    features: Tensor,
    images: Tensor,
    labels: Tensor,
    others: Tensor,
    *,
    resamples: int,
    directions: int = DIRECTIONS,
    seed: int = scale.SEED,
) -> Survey:
    """Compare all units of a layer that fire often enough with random directions.

    For sets of k images a unit takes part if it fires on at least k of them.

    Args:
        name: of the layer.
        features: (N, D), the vectors phi(x).
        images: (N, *shape), pixels.
        labels: (N,) long.
        others: (N, E), vectors of the images in a feature space that is independent of this one.
        resamples: of the intervals and tests, see ``units.compare``.
        directions: how many; at least as many as there are units are drawn.
        seed: of directions, intervals and tests.

    Returns:
        A ``Survey``.

    Raises:
        ValueError: fewer than two units fire on as many images as a figure shows.
    """
    ks = sorted({*KS, len(images) // 10})
    firing = units.firing(features)
    generator = torch.Generator().manual_seed(seed)
    drawn = units.random_directions(max(directions, features.shape[1]), features.shape[1], generator)
    # Sets are sorted, so the first k of the largest are the set of k.
    by_unit, by_direction = units.top(features, None, ks[-1]), units.top(features, drawn, ks[-1])
    by_k = {
        k: units.compare(
            units.purity(by_unit[firing >= k, :k], labels), units.purity(by_direction[:, :k], labels),
            resamples=resamples, seed=seed,
        )
        for k in ks
        if int((firing >= k).sum()) > 1
    }  # fmt: skip
    scales = units.overall_distance(images), units.overall_distance(others)
    live = firing >= SHOWN
    one = _relative(units.coherence(by_unit[live, :SHOWN], labels, images, others), *scales)
    two = _relative(units.coherence(by_direction[:, :SHOWN], labels, images, others), *scales)
    measures = {
        measure: units.compare(getattr(one, measure), getattr(two, measure), resamples=resamples, seed=seed)
        for measure in MEASURES
    }
    means, between = class_means(features, labels)
    foretold = float(((drawn @ means.T).argmax(1) == two.label).double().mean())
    return Survey(name, firing, by_unit[live], by_direction, one, two, measures, by_k, between, foretold)


def surveys(layers: Mapping[str, tuple[Tensor, Tensor]], images: Images, *, resamples: int) -> dict[str, Survey]:
    """One survey for each layer.

    Args:
        layers: layer -> features and the independent feature space, see :func:`layers`.
        images: the images with their labels.
        resamples: of the intervals and tests.
    """
    return {
        name: survey(name, features, images.images, images.labels, others, resamples=resamples)
        for name, (features, others) in layers.items()
    }


def class_means(features: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """The mean vector of every class and the share of the variance that lies between them.

    Args:
        features: (N, D).
        labels: (N,) long, from 0; every class up to the largest has an image.

    Returns:
        (C, D) float32 means, and the share, from 0 to 1.
    """
    wide = features.double()
    counts = torch.bincount(labels)
    sums = torch.zeros(len(counts), wide.shape[1], dtype=torch.float64).index_add_(0, labels, wide)
    means = sums / counts[:, None]
    centre = wide.mean(0)
    between = ((means - centre).square().sum(1) * counts).sum() / (wide - centre).square().sum()
    return means.float(), float(between)


def mixing(
    features: Tensor, labels: Tensor, sizes: Sequence[int], k: int, *, count: int = DIRECTIONS, seed: int = scale.SEED
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
            float(units.purity(units.top(features, mixture, k), labels).mean())
            for mixture in (
                units.mixtures(count, features.shape[1], size, generator, positive=positive) for size in sizes
            )
        ]
        for kind, positive in (("weights of both signs", False), ("positive weights", True))
    }


def turned(
    features: Tensor, labels: Tensor, k: int = SHOWN, *, rotations: int = ROTATIONS
) -> tuple[float, Tensor, float]:
    """The natural basis among bases turned at random: mean purity, and the exact test.

    Args:
        features: (N, D), units that fire on fewer than k images left out.
        labels: (N,) long.
        k: images in a set.
        rotations: how many bases.

    Returns:
        Mean purity of the natural basis, (rotations,) that of the others, and the two-sided p value.
    """

    def purity(indices: Tensor) -> Tensor:
        return units.purity(indices, labels)

    null = units.rotated(features, k, purity, rotations, torch.Generator().manual_seed(scale.SEED))
    natural = float(purity(units.top(features, None, k)).mean())
    return natural, null, units.rank_p(natural, null)


def drawn(one: Survey, count: int, *, seed: int = scale.SEED) -> Tensor:
    """Units drawn at random among those that fire on at least ``SHOWN`` images.

    Args:
        one: the survey of a layer.
        count: how many, at most as many as there are.
        seed: of the draw.

    Returns:
        (count,) long, rows of ``Survey.unit_sets``, in the order drawn.
    """
    return torch.randperm(len(one.unit_sets), generator=torch.Generator().manual_seed(seed))[:count]


def guesses(one: Survey, count: int, *, skip: int = 0, seed: int = scale.SEED) -> list[Guess]:
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
    """Rows of top images of units, from ``start`` to before ``stop`` in the order of :func:`drawn`.

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


def hidden_layer(model: nn.Module, one: Survey, test: Images) -> str:
    """A sentence on the network and its hidden layer.

    Args:
        model: the network.
        one: the survey of its hidden layer.
        test: the test images.
    """
    return (
        f"The network misreads {error_rate(model, test.images, test.labels):.1%} of the {len(test):,} test images. "
        f"Of the {len(one.firing)} units of its hidden layer, {one.dead} are active on none of them."
    )


def often(features: Tensor, k: int) -> Tensor:
    """The units that fire on at least k images.

    Args:
        features: (N, D).
        k: images in a set.

    Returns:
        (N, D') with D' at most D.
    """
    return features[:, units.firing(features) >= k]


def random_purity(labels: Tensor, *, sets: int = 2000, seed: int = scale.SEED) -> float:
    """The mean purity of random sets of ``SHOWN`` images, the yardstick of the tables.

    Args:
        labels: (N,) long.
        sets: how many are drawn.
        seed: of the draw.
    """
    found = units.random_sets(sets, SHOWN, len(labels), torch.Generator().manual_seed(seed))
    return float(units.purity(found, labels).mean())


def purity_table(surveys: Mapping[str, Survey], data: str) -> Table:
    """Purity of the first eight images, layer by layer.

    Args:
        surveys: by the name of the layer.
        data: which images.
    """
    rows = {}
    for name, one in surveys.items():
        found = one.measures["purity"]
        rows[name] = [
            len(one.firing), one.dead, found.units, found.directions, found.difference, found.low, found.high,
            found.win, one.between, one.foretold,
        ]  # fmt: skip
    columns = ["all units", "dead", "units", "directions", "difference", "low", "high", "win", "between", "foretold"]
    return Table("units_purity", columns, rows, {"data": data})


def purity_view(table: Table, surveys: Mapping[str, Survey]) -> Styler:
    """The table of purities with a verdict for each layer, for display.

    Args:
        table: what :func:`purity_table` returns.
        surveys: by the name of the layer.
    """
    verdicts = [one.measures["purity"].verdict(MARGIN) for one in surveys.values()]
    view = table.to_frame().assign(verdict=verdicts).style.format("{:.3f}")
    return view.format("{:.0f}", subset=["all units", "dead"]).format(str, subset=["verdict"])


def measures_table(surveys: Mapping[str, Survey], data: str) -> Table:
    """The four measures of the first eight images, units and directions, layer by layer.

    Args:
        surveys: by the name of the layer.
        data: which images.
    """
    rows = {
        name: [
            value for measure in MEASURES for value in (one.measures[measure].units, one.measures[measure].directions)
        ]
        for name, one in surveys.items()
    }
    columns = [f"{measure.replace('_', ' ')}, {side}" for measure in MEASURES for side in ("units", "directions")]
    return Table("units_measures", columns, rows, {"data": data})


def p_values(surveys: Mapping[str, Survey]) -> pd.DataFrame:
    """The p values of all permutation tests, raised together after Holm.

    Args:
        surveys: by the name of the layer.

    Returns:
        One row per layer and one column per measure.
    """
    found = [one.measures[measure].p for one in surveys.values() for measure in MEASURES]
    raised = units.holm(torch.tensor(found, dtype=torch.float64)).view(len(surveys), -1)
    return pd.DataFrame(raised.numpy(), list(surveys), [measure.replace("_", " ") for measure in MEASURES])


def tests_note(p: pd.DataFrame, resamples: int) -> str:
    """What has to be known about many tests at once, in words.

    Args:
        p: what :func:`p_values` returns.
        resamples: how often each test shuffles.
    """
    least = min(1.0, 2 * p.size / (resamples + 1))
    return (
        f"These are {p.size} permutation tests at once, and by chance alone about {0.05 * p.size:.0f} of them would "
        f"fall below 0.05. The p values are therefore raised after Holm. Each test shuffles {resamples:,} "
        f"times and counts the observed order, so that none can come out below {least:.3f} after raising."
    )


def turnings(
    layers: Mapping[str, tuple[Tensor, Tensor]], labels: Tensor, names: Sequence[str]
) -> dict[tuple[str, int], tuple[float, Tensor, float]]:
    """The natural basis among bases turned at random, for sets of ``SHOWN`` and of a tenth of all images.

    Args:
        layers: see :func:`layers`.
        labels: (N,) long.
        names: which layers.

    Returns:
        Layer and number of images in a set -> what :func:`turned` returns.
    """
    return {
        (name, k): turned(often(layers[name][0], k), labels, k) for name in names for k in (SHOWN, len(labels) // 10)
    }


def turned_frame(found: Mapping[tuple[str, int], tuple[float, Tensor, float]]) -> pd.DataFrame:
    """What :func:`turnings` returns as a table, one row for each layer and size of the sets."""
    rows = {
        f"{name}, sets of {k}": [natural, float(null.mean()), float(null.std()), p]
        for (name, k), (natural, null, p) in found.items()
    }
    columns = ["natural basis", "turned bases, mean", "deviation", "p"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def mixings(
    layers: Mapping[str, tuple[Tensor, Tensor]], labels: Tensor, names: Sequence[str]
) -> dict[str, tuple[list[int], dict[str, list[float]]]]:
    """Mean purity against the number of units mixed, from one to all, see :func:`mixing`.

    Args:
        layers: see :func:`layers`.
        labels: (N,) long.
        names: which layers.

    Returns:
        Layer -> sizes of the mixtures, and kind of weights -> mean purity by size.
    """
    found = {}
    for name in names:
        kept = often(layers[name][0], SHOWN)
        sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size < kept.shape[1]] + [kept.shape[1]]
        found[name] = sizes, mixing(kept, labels, sizes, SHOWN)
    return found


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


def small_networks(digits: Digits, others: Tensor, *, images: int, networks: int, resamples: int) -> pd.DataFrame:
    """The hidden ReLU layer of further ConvNets with other initial weights, trained on fewer images.

    Args:
        digits: the data.
        others: (N, E), a feature space of the test images that is independent of these networks.
        images: how many training images.
        networks: how many.
        resamples: of the intervals.

    Returns:
        One row for each seed; columns ``units``, ``directions``, ``difference``, ``low``, ``high`` and ``win``.
    """
    few, test = seeds.small(digits, images).train, digits.test
    columns, rows = ["units", "directions", "difference", "low", "high", "win"], {}
    for seed in range(networks):
        found = units.features(trained("ConvNet", few, seed=seed).model, test.images, 9)
        one = survey("dense", found, test.images, test.labels, others, resamples=resamples).measures["purity"]
        rows[f"seed {seed}"] = [getattr(one, column) for column in columns]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def small_note(small: pd.DataFrame) -> str:
    """The mean over further networks, in words.

    Args:
        small: what :func:`small_networks` returns.
    """
    return (
        f"Mean difference over the {len(small)} networks: {small['difference'].mean():+.3f}, "
        f"standard deviation from network to network {small['difference'].std():.3f}. "
        f"Units are ahead in {int((small['difference'] > 0).sum())} of them."
    )


def claims(
    frame: pd.DataFrame,
    p: pd.DataFrame,
    found: Mapping[tuple[str, int], tuple[float, Tensor, float]],
    mixed: Mapping[str, tuple[list[int], dict[str, list[float]]]],
    small: pd.DataFrame,
    chance: float,
) -> dict[str, bool]:
    """What the chapter says, decided by its numbers.

    Args:
        frame: the table of purities.
        p: what :func:`p_values` returns.
        found: what :func:`turnings` returns.
        mixed: what :func:`mixings` returns.
        small: what :func:`small_networks` returns.
        chance: purity of random sets.

    Returns:
        Sentence -> whether it holds.
    """
    at = frame.loc
    raw = frame[(frame.index == "pixels") | frame.index.str.startswith("untrained")]
    learned = frame.drop(TURNED)
    tenth = max(k for _, k in found)
    natural, null, _ = found["logits", tenth]
    positive = mixed["dense"][1]["positive weights"]
    decided = {
        "Random directions of the hidden ReLU layer are more than twice as pure as random sets":
            at["dense", "directions"] > 2 * chance,
        "Those of pixels and of untrained layers are at least one and a half times as pure":
            raw["directions"].min() > 1.5 * chance,
        "Training makes the directions of the hidden ReLU layer purer by more than a tenth":
            at["dense", "directions"] - at["untrained: dense", "directions"] > 0.1,
        "In the hidden ReLU layer units and directions differ by less than half an image in a row of eight":
            abs(at["dense", "difference"]) < MARGIN,
        "The exact test tells the natural basis of that layer from turned ones at 5 %":
            found["dense", SHOWN][2] < 0.05,
        "The small networks have units ahead of directions there, on average":
            small["difference"].mean() > 0,
        "So has the large one before its ReLU":
            at["dense, before ReLU", "difference"] > 0,
        "On the positions of the second convolution units are ahead":
            at["conv 2, positions", "difference"] > 0,
        "After raising for all tests no permutation test of the hidden ReLU layer is below 5 %":
            p.loc["dense"].min() > 0.05,
        "In the untrained hidden layer the interval holds zero":
            at["untrained: dense", "low"] < 0 < at["untrained: dense", "high"],
        "Where the axes were turned on purpose the interval holds zero":
            at[TURNED, "low"] < 0 < at[TURNED, "high"],
        "In the logits of both networks units are ahead by more than the margin":
            at[["logits", "sigmoid logits"], "low"].min() > MARGIN,
        "On sets of a tenth of all images no turned basis of the logits is as pure as the natural one":
            natural > null.max(),
        "In the second sigmoid layer directions are ahead of units":
            at["sigmoid 2", "difference"] < 0,
        "In pixels and channels of the first convolution the whole interval of the difference is below zero":
            at[["pixels", "conv 1, channels"], "high"].max() < 0,
        "Mixing all ReLU units with positive weights costs more than a tenth of purity":
            positive[0] - positive[-1] > 0.1,
        "The class mean that lies furthest along foretells the label of more than half of the directions there":
            at["dense", "foretold"] > 0.5,
        "Over the layers, purity of directions and variance between classes have a rank correlation above 0.9":
            learned["between"].corr(learned["directions"], method="spearman") > 0.9,
    }  # fmt: skip
    return {claim: bool(holds) for claim, holds in decided.items()}


def size_frame(one: Survey) -> pd.DataFrame:
    """The difference of the purities and its interval, by the number of images in a set.

    Args:
        one: the survey of a layer.

    Returns:
        k as the index; columns ``difference``, ``low``, ``high``.
    """
    found = one.by_k.items()
    return pd.DataFrame({k: {c: getattr(v, c) for c in ("difference", "low", "high")} for k, v in found}).T


def _row(words: str, indices: Tensor, images: Images) -> Row:
    indices = indices[:SHOWN]
    return Row(images.images[indices], words, f"{words}: {shared(indices, images.labels)}")


def _relative(found: Coherence, pixels: float, vectors: float) -> Coherence:
    """Distances as multiples of those between all images."""
    return Coherence(
        found.label, found.purity, found.entropy, found.pixel_distance / pixels, found.feature_distance / vectors
    )
