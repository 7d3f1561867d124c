"""What the chapter on photographs compares: units with directions, ostriches with the paper's, and what saving does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import coherence, paper, results, settings, tables
from intriguing.book.coherence import SHOWN, Survey
from intriguing.book.results import Table
from intriguing.chapters.photographs import ostriches, recognition
from intriguing.chapters.photographs.ostriches import Amplified
from intriguing.chapters.photographs.recognition import Normalised, Responses
from intriguing.chapters.photographs.shortest import shortest
from intriguing.chapters.photographs.travel import AWAY, FIVE, NOISE, OTHERS, TARGET, Travel, made_for, travel
from intriguing.data import photographs
from intriguing.data.photographs import SEEN, Photographs

LAST, TURNED, CLASSES = "last features", "the same, axes turned", "classes"
"""The layers that are surveyed."""

MEASURES = {
    "purity": "share of one kind",
    "pixel_distance": "distance in pixels",
    "feature_distance": "distance in another network",
}
STRANGERS = 2000  # random sets of photographs that chance is measured on
TO_OSTRICH, TO_RANDOM = "to the ostrich", "to a random class"
PRINTED = paper.NUMBERS["figure 5 distortion"].value
COLOURS = math.sqrt(3)  # a distortion per pixel over one per number: a pixel has three numbers
SURE = 0.9  # probability at which a network counts as sure
ACCURACY, COHERENCE = 0.011, 0.03  # how far a rerun's entries may lie from the stored run's
SHARES = 0.1  # likewise, for shares of photographs that are fooled, where one photograph is not more than that
FEW = 8  # photographs, below which single shares are not compared and claims that rest on them are left open
LEVEL = 0.05  # of the exact test
FIGURE5 = {"images": 0, "success": 0.02, "read correctly": 0}  # likewise; distances by what rounding does to a walk:
SPREAD, MEDIAN = "relative spread", "median"  # what is stored about that
FREE = "free_ostriches"  # the table of the photographs that everybody has


MISREAD, INTO = "misread", "the target"
OVER_NOISE, OVER_OTHERS = "misread, less noise", "misread, less another photograph's"
QUARTILES = {"median": 0.5, "lower quartile": 0.25, "upper quartile": 0.75}
SURES = (0.9, 0.99)  # probabilities that a network is to have of the ostrich


@dataclass(frozen=True)
class Sizes:
    """How much of the page is computed in a profile.

    Attributes:
        steps: passes through a network for each perturbation.
        targets: classes that the cat is turned into.
        sures: probabilities that these are to have.
        travellers: photographs of ImageNet that every network reads and whose perturbations travel.
        others: photographs that are turned into a random class.
        surer: photographs that networks are made sure about.
    """

    steps: int
    targets: tuple[str, ...]
    sures: tuple[float, ...]
    travellers: int
    others: int
    surer: int


SIZES = {
    "quick": Sizes(20, ("ostrich", "espresso"), (0.5, 0.99), 2, 2, 1),
    "paper": Sizes(100, ("ostrich", "espresso", "airliner"), (0.5, 0.9, 0.99), 32, 32, 8),
}


def sizes() -> Sizes:
    """Those of this run's profile."""
    return SIZES[settings.profile().name]


def at_hand(photos: Photographs | None, networks: Mapping[str, Normalised]) -> str:
    """The sentences of the page on what there is to look at, and with what.

    Args:
        photos: the photographs; None where there are none.
        networks: by name, maybe none.
    """
    lines = [
        photographs.absence() if photos is None else photos.summary() + ".",
        f"Networks: {', '.join(networks) or 'no weights on this computer'}.",
    ]
    if recognition.ALEXNET not in networks:
        lines.append(
            f"Left out: {recognition.ALEXNET}, as torchvision has it, whose weights are not on this computer; "
            "python -m intriguing fetch alexnet brings them."
        )
    if photos is None or not networks:
        lines.append("Everything on this page that needs them is left out in this run.")
    return "\n".join(lines)


def answers(networks: Mapping[str, Normalised], photos: Photographs) -> dict[str, Responses]:
    """What every network makes of the photographs, once it is sure that their labels belong to them.

    Args:
        networks: by name.
        photos: the photographs.

    Raises:
        DataError: labels that cannot belong to the photographs.
    """
    found = {
        name: recognition.responses(name, model, photos, progress=f"asking {name}") for name, model in networks.items()
    }
    for answer in found.values():
        recognition.check_labels(answer.logits, photos.labels)
    return found


def accuracy_table(answers: Mapping[str, Responses], photos: Photographs) -> Table:
    """Measured and published accuracies.

    Args:
        answers: as from :func:`answers`.
        photos: the photographs.

    Returns:
        A ``Table`` named ``imagenet_accuracy``: for each network and one and five guesses the rate, its exact interval,
        the published rate, the difference, and whether the published rate is inside, 1 or 0.
    """
    rows = {}
    for name, answer in answers.items():
        known = recognition.KNOWN[name]
        for k, published in ((1, known.top1), (5, known.top5)):
            found = recognition.accuracy(answer.logits, photos.labels, k)
            known_rate = [None] * 3
            if published is not None:
                known_rate = [published, found.rate - published, float(found.holds(published))]
            rows[f"{name}, top {k}"] = [found.rate, found.low, found.high, *known_rate]
    columns = ["measured", "from", "to", "published", "difference", "inside"]
    return Table("imagenet_accuracy", columns, rows, {"data": photos.summary()})


@dataclass(frozen=True, eq=False)
class Judges:
    """What can be said about photographs without the network that is judged.

    Attributes:
        kinds: (N,) long, a coarse group.
        pixels: (N, 3, 28, 28) in [0, 1].
        eyes: (N, E), in another network.
    """

    kinds: Tensor
    pixels: Tensor
    eyes: Tensor

    def apart(self, indices: Tensor) -> Tensor:
        """How far the photographs of each set lie from each other in the other network.

        Args:
            indices: (M, k) long.

        Returns:
            (M,) mean distances.
        """
        return coherence.coherence(indices, self.kinds, self.eyes, self.eyes).feature_distance


def judges(photos: Photographs, other: Tensor, *, length: bool = True) -> Judges:
    """The three judges of photographs.

    Args:
        photos: the photographs.
        other: (N, E), the features of the network that judges.
        length: whether what lies in a photograph counts and not how much of it: vectors are brought to length one.
    """
    kinds = photographs.families(photos.wnids)[photos.labels].unique(return_inverse=True)[1]
    eyes = coherence.standardised(other)
    return Judges(kinds, photos.reduced(8), F.normalize(eyes, dim=1) if length else eyes)


def opposite(name: str, answers: Mapping[str, Responses]) -> str:
    """The network that judges another, one of another family where there is one.

    The first EfficientNet judges all that are none. An EfficientNet is judged by the first of those, and by the second
    EfficientNet where there are none.

    Args:
        name: of the network that is judged.
        answers: as from :func:`answers`.
    """
    if name not in recognition.LITE:
        return recognition.LITE0
    return next((other for other in answers if other not in recognition.LITE), recognition.LITE1)


def judging(name: str, answers: Mapping[str, Responses]) -> tuple[str, ...]:
    """The networks that judge another, first the one that counts, then every other that is no EfficientNet.

    Args:
        name: of the network that is judged.
        answers: as from :func:`answers`.
    """
    others = (other for other in answers if other != name and other not in recognition.LITE)
    return tuple(dict.fromkeys((opposite(name, answers), *others)))


def live(features: Tensor) -> Tensor:
    """The units that fire on as many photographs as a row shows.

    Args:
        features: (N, D).

    Returns:
        (N, at most D).
    """
    return features[:, coherence.firing(features) >= SHOWN]


def surveys(answer: Responses, judges: Judges, *, turned: bool = True) -> dict[str, Survey]:
    """Units and random directions of the last features, of the same with their axes turned, and of the classes.

    Args:
        answer: of the network.
        judges: of the photographs.
        turned: whether to survey turned axes.

    Returns:
        ``LAST``, ``TURNED`` where it is asked for, and ``CLASSES`` -> survey.
    """
    alive = live(answer.features)
    axes = coherence.rotation(alive.shape[1], torch.Generator().manual_seed(settings.SEED + 1))
    layers = {LAST: answer.features, TURNED: alive @ axes.T if turned else None, CLASSES: answer.logits}
    resamples = settings.profile().resamples
    return {
        layer: coherence.survey(layer, vectors, judges.pixels, judges.kinds, judges.eyes, resamples=resamples)
        for layer, vectors in layers.items()
        if vectors is not None
    }


def unit_rows(photos: Photographs, judges: Judges, one: Survey, count: int) -> tuple[list[Tensor], list[str]]:
    """The photographs that excite some units most, the units drawn by the seed.

    Args:
        photos: the photographs.
        judges: of them.
        one: the survey of a layer.
        count: how many units.

    Returns:
        For each unit its photographs (8, 3, 227, 227), and a caption.
    """
    places = coherence.drawn(one, count).tolist()
    titles = [f"unit {int(one.numbers[place])}" for place in places]
    return _rows(photos, judges, one.unit_sets[places], one.of_units, places, titles)


def direction_rows(photos: Photographs, judges: Judges, one: Survey, count: int) -> tuple[list[Tensor], list[str]]:
    """The photographs that lie furthest along the first random directions.

    Args:
        photos: the photographs.
        judges: of them.
        one: the survey of a layer.
        count: how many directions.

    Returns:
        As for :func:`unit_rows`.
    """
    places = range(count)
    titles = [f"direction {place + 1}" for place in places]
    return _rows(photos, judges, one.direction_sets[:count], one.of_directions, places, titles)


def orientation(features: Tensor, directions: Tensor) -> Tensor:
    """Towards which end the values of each direction have their longer tail; units are read upwards.

    Args:
        features: (N, D).
        directions: (M, D).

    Returns:
        (M,) float32, 1 or -1.
    """
    values = features @ directions.T
    return torch.where((values - values.mean(0)).pow(3).mean(0) >= 0, 1.0, -1.0)


def fair(
    features: Tensor, survey: Survey, judges: Judges, measures: Sequence[str] = tuple(MEASURES)
) -> dict[str, list[float]]:
    """Units, read upwards, beside directions that are read towards their longer tails, and beside strangers.

    Args:
        features: (N, D), of the layer.
        survey: of it.
        judges: of the photographs.
        measures: some of ``MEASURES``.

    Returns:
        For each measure the means of directions so turned and of random sets of photographs, and units less turned
        directions, with the ends of the 95 % interval.
    """
    width = features.shape[1]
    generator = torch.Generator().manual_seed(settings.SEED)
    drawn = coherence.random_directions(max(coherence.DIRECTIONS, width), width, generator)
    turned = coherence.top(features, drawn * orientation(features, drawn)[:, None], SHOWN)
    strangers = coherence.random_sets(STRANGERS, SHOWN, len(judges.kinds), torch.Generator().manual_seed(settings.SEED))
    scales = {
        "purity": 1.0,
        "pixel_distance": coherence.overall_distance(judges.pixels),
        "feature_distance": coherence.overall_distance(judges.eyes),
    }
    one, two = (coherence.coherence(sets, judges.kinds, judges.pixels, judges.eyes) for sets in (turned, strangers))
    rows = {}
    for measure in measures:
        scale = scales[measure]
        values = getattr(one, measure) / scale
        found = coherence.compare(
            getattr(survey.of_units, measure), values, resamples=settings.profile().resamples, seed=settings.SEED
        )
        rows[measure] = [
            found.directions, float((getattr(two, measure) / scale).mean()), found.difference, found.low, found.high,
        ]  # fmt: skip
    return rows


def coherence_table(
    found: Mapping[str, Mapping[str, Survey]], answers: Mapping[str, Responses], judged: Mapping[str, Judges], data: str
) -> Table:
    """Units beside directions, network by network, layer by layer and judge by judge.

    Args:
        found: network -> as from :func:`surveys`.
        answers: as from :func:`answers`.
        judged: network -> its judges.
        data: what the photographs are.

    Returns:
        A ``Table`` named ``imagenet_units``: the means of units, of directions, of directions read at their longer
        tail and of strangers; the lead of units over directions with its interval and p value and the chance of a unit
        to win; and their lead over turned directions with its interval. Rows of the first network have no name before
        them.
    """
    columns = ["units", "directions", "turned", "strangers", "difference", "low", "high", "p", "win"]
    rows, first = {}, next(iter(found))
    for name, surveys_ in found.items():
        for layer, survey in surveys_.items():
            features = answers[name].logits if layer == CLASSES else answers[name].features
            beside = {} if layer == TURNED else fair(features, survey, judged[name])
            for measure, word in MEASURES.items():
                c, label = survey.measures[measure], layer if name == first else f"{name}, {layer}"
                turned_, strangers, *lead = beside.get(measure, [None] * 5)
                rows[f"{label}: {word}"] = [
                    c.units, c.directions, turned_, strangers, c.difference, c.low, c.high, c.p, c.win, *lead,
                ]  # fmt: skip
    return Table("imagenet_units", [*columns, "fair", "fair low", "fair high"], rows, {"data": data})


def judges_table(features: Tensor, seen: Mapping[str, Judges], data: str) -> Table:
    """What several judges say of the same units and directions.

    Args:
        features: (N, D), the last features of a network.
        seen: judge -> judges whose ``eyes`` are meant.
        data: what the photographs are.

    Returns:
        A ``Table`` named ``imagenet_judges``: mean distance of units, directions, turned directions and strangers, and
        the lead over turned directions with its interval; above zero, units lie further apart.
    """
    rows = {}
    for judge, judges_ in seen.items():
        survey = coherence.survey(judge, features, judges_.pixels, judges_.kinds, judges_.eyes, resamples=None)
        turned_, strangers, *lead = fair(features, survey, judges_, ["feature_distance"])["feature_distance"]
        c = survey.measures["feature_distance"]
        rows[judge] = [c.units, c.directions, turned_, strangers, *lead]
    columns = ["units", "directions", "turned", "strangers", "fair", "fair low", "fair high"]
    return Table("imagenet_judges", columns, rows, {"data": data})


@dataclass(frozen=True, eq=False)
class Turned:
    """The natural basis among bases turned at random; ``str`` makes a sentence of it.

    Attributes:
        natural: mean distance, in another network, between the top photographs of the units.
        null: (R,) of the bases turned at random; both relative to the distance of all photographs.
        p: two-sided, of the natural basis being one of these.
    """

    natural: float
    null: Tensor
    p: float

    def __str__(self) -> str:
        return (
            f"Natural basis {self.natural:.4f}, {len(self.null)} turned bases {float(self.null.mean()):.4f} "
            f"with a standard deviation of {float(self.null.std()):.4f}, p = {self.p:.3f}."
        )

    def verdict(self) -> str:
        """What the page's rule makes of it: whether the natural basis stands out among the turned ones."""
        if self.p >= LEVEL:
            return f"The natural basis does not stand out among turned ones (p = {self.p:.3f}); that refutes nothing."
        middle, spread = float(self.null.mean()), float(self.null.std())
        side = "more" if self.natural < middle else "less"
        apart = abs(self.natural - middle)
        return (
            f"The natural basis stands out among the turned ones (p = {self.p:.3f}): it is {side} coherent than they "
            f"are, by {apart / spread:.0f} of their standard deviations. The second rule above refutes the paper here, "
            f"by {apart / middle:.1%} of the distance."
        )


def turned(features: Tensor, judges: Judges) -> Turned:
    """The exact test of the natural basis against whole bases.

    Args:
        features: (N, D), the last features.
        judges: of the photographs.
    """
    alive, overall = live(features), coherence.overall_distance(judges.eyes)
    turns = max(19, settings.profile().resamples // 50)
    generator = torch.Generator().manual_seed(settings.SEED)
    null = coherence.rotated(alive, SHOWN, judges.apart, turns, generator) / overall
    natural = float(judges.apart(coherence.top(alive, None, SHOWN)).mean()) / overall
    return Turned(natural, null, coherence.rank_p(natural, null))


def outcomes(table: Table) -> pd.DataFrame:
    """What the other network says about the units of each layer.

    Args:
        table: as from :func:`coherence_table`.

    Returns:
        For each ``layer``: ``beside directions`` and ``beside directions read at the same end``, in words.
    """
    frame, word, rows = table.to_frame(), f": {MEASURES['feature_distance']}", {}
    for row in frame.index[frame.index.str.endswith(word)]:
        entry = frame.loc[row]
        rows[row.removesuffix(word)] = [
            _outcome(entry["low"], entry["high"]), _outcome(entry["fair low"], entry["fair high"])
        ]  # fmt: skip
    columns = ["beside directions", "beside directions read at the same end"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(index="layer")


def _outcome(low: float, high: float) -> str:
    if math.isnan(low):
        return ""
    return "units less alike" if low > 0 else "units more alike" if high < 0 else "no difference found"


def other_classes(labels: Tensor) -> Tensor:
    """One random wrong class for each photograph.

    Args:
        labels: (B,) long.

    Returns:
        (B,) long.
    """
    return random_targets(labels, photographs.CLASSES, generator=torch.Generator().manual_seed(settings.SEED))


@dataclass(frozen=True, eq=False)
class Figure5:
    """Photographs drawn at random, and what turned them into an ostrich for several networks.

    Attributes:
        images: (B, 3, 224, 224) in [0, 1].
        labels: (B,) long.
        right: network -> (B,) bool, whether it reads them correctly.
        found: network -> what turned them.
        other: what turned the first of them into a random class, for the first network.
        surer: network -> probability -> distortions that make it so sure about the first of them, infinite where none
            did; key ``0`` stands for no more sure than of any other class.
    """

    images: Tensor
    labels: Tensor
    right: dict[str, Tensor]
    found: dict[str, Distortion]
    other: Distortion
    surer: dict[str, dict[float, Tensor]]

    @property
    def targets(self) -> Tensor:
        """(B,) long, ostriches."""
        return torch.full_like(self.labels, ostriches.OSTRICH)


def figure5(networks: Mapping[str, Normalised], photos: Photographs) -> Figure5:
    """The paper's Figure 5 for every network.

    Args:
        networks: by name.
        photos: the photographs that are drawn from.
    """
    size, steps = sizes(), sizes().steps
    rows = ostriches.draw(len(photos), settings.profile().ostriches)
    images, labels = photos.images(rows, SEEN), photos.labels[rows]
    aims = torch.full_like(labels, ostriches.OSTRICH)
    found = {
        name: shortest(model, images, aims, steps=steps, progress=f"ostriches, {name}")
        for name, model in networks.items()
    }
    few, first = slice(size.others), next(iter(networks))
    other = shortest(networks[first], images[few], other_classes(labels)[few], steps=steps, progress="random classes")
    some = slice(size.surer)
    surer = {name: {0.0: _reached(found[name])[some]} for name in networks}
    for name, model in networks.items():
        for sure in SURES:
            surer[name][sure] = _reached(shortest(model, images[some], aims[some], sure=sure, steps=steps))
    right = {name: recognition.read(model, images) == labels for name, model in networks.items()}
    return Figure5(images, labels, right, found, other, surer)


def _reached(found: Distortion) -> Tensor:
    """Distortions, infinite where the goal was not reached."""
    return torch.where(found.success, found.rms, torch.inf)


def figure5_table(drawn: Figure5, data: str) -> Table:
    """Figure 5 in numbers.

    Args:
        drawn: as from :func:`figure5`.
        data: what the photographs are.

    Returns:
        A ``Table`` named ``imagenet_ostriches``: how many images, the share that succeeded, the mean distortion over
        all numbers of a picture and over its pixels, each over the paper's; of the correctly read ones their number
        and mean; median, smallest and largest. The row ``TO_OSTRICH`` belongs to the first network.

    Source:
        Szegedy et al. 2013, Figure 5.
    """
    rows, first = {}, next(iter(drawn.found))
    for name, found in drawn.found.items():
        label = TO_OSTRICH if name == first else f"{name}, {TO_OSTRICH}"
        rows[label] = _figure5_row(found, drawn.right[name])
    rows[TO_RANDOM] = _figure5_row(drawn.other, drawn.right[first][: len(drawn.other.rms)])
    columns = ["images", "success", "mean distortion", "per pixel", "paper", "ours / paper", "per pixel / paper"]
    columns += ["read correctly", "mean of these", "median", "smallest", "largest"]
    return Table("imagenet_ostriches", columns, rows, {"data": data})


def _figure5_row(found: Distortion, right: Tensor) -> list[float | None]:
    mean, these = float(found.rms.mean()), found.rms[right]
    return [
        len(found.rms), float(found.success.double().mean()), mean, COLOURS * mean, PRINTED, mean / PRINTED,
        COLOURS * mean / PRINTED, len(these), float(these.mean()) if len(these) else None,
        float(found.rms.quantile(0.5)), float(found.rms.min()), float(found.rms.max()),
    ]  # fmt: skip


def surer_table(drawn: Figure5, data: str) -> Table:
    """What it costs to make networks sure.

    Args:
        drawn: as from :func:`figure5`.
        data: what the photographs are.

    Returns:
        A ``Table`` named ``imagenet_surer``: for each probability and each network the median distortion and both
        quartiles; the first row is the shortest change.
    """
    words = {0.0: "the likeliest class"} | {sure: f"with probability {sure:g}" for sure in SURES}
    shares = torch.tensor(list(QUARTILES.values()), dtype=torch.float64)
    rows = {
        word: [value for lengths in drawn.surer.values() for value in lengths[sure].double().quantile(shares).tolist()]
        for sure, word in words.items()
    }
    columns = [f"{name}, {part}" for name in drawn.surer for part in QUARTILES]
    count = len(next(iter(drawn.surer.values()))[0.0])
    return Table("imagenet_surer", columns, rows, {"data": data, "photographs": count})


@dataclass(frozen=True)
class Penalised:
    """The paper's penalty method and the walk on the same photographs, as ``benchmarks/penalty.py`` measured them.

    Attributes:
        network: its name.
        rows: one for each photograph.
    """

    network: str
    rows: Sequence[Mapping[str, float]]

    def frame(self) -> pd.DataFrame:
        """Mean, median, smallest and largest distortion of both, and of their ratio."""
        rows = pd.DataFrame(self.rows)[["penalty", "walk", "ratio"]]
        frame = rows.agg(["mean", "median", "min", "max"])
        return frame.set_axis(["mean", "median", "smallest", "largest"]).rename(columns={"penalty": "penalty method"})


def penalised() -> Penalised:
    """What is stored of the penalty method on photographs.

    Raises:
        ResultError: it is missing or cannot be read.
    """
    stored = results.measured("penalty")
    return Penalised(stored["meta"]["network"], stored["rows"])


def penalised_line(found: Penalised) -> str:
    """How far the penalty method ends beside the walk and beside the paper, in sentences of Markdown.

    Args:
        found: as from :func:`penalised`.
    """
    rows, frame = pd.DataFrame(found.rows), found.frame()
    mean = frame.at["mean", "penalty method"]
    return (
        f"On {len(rows)} photographs and {found.network} the penalty method succeeds on "
        f"{int(rows['success'].sum())}, after {rows['evaluations'].mean():,.0f} evaluations in the mean. Its mean "
        f"distortion is {mean:.6f}, or {COLOURS * mean:.6f} per pixel, {COLOURS * mean / PRINTED:.0%} of what the "
        f"paper prints. Divided by the walk's, photograph by photograph, lengths are "
        f"{frame.at['mean', 'ratio']:.3f} in the mean, from {frame.at['smallest', 'ratio']:.3f} to "
        f"{frame.at['largest', 'ratio']:.3f}."
    )


def survival(grown: Amplified, network: str) -> pd.DataFrame:
    """What becomes of ostriches that are magnified and saved.

    Args:
        grown: perturbations multiplied by several factors.
        network: name of that for which they were made and which reads them.

    Returns:
        For each factor, under the name of the network, the mean distortion and margin; the shares of all photographs
        that are ostriches, that are so surely, and that are ostriches once saved with 8 bits; and the mean distortion
        once saved.
    """
    return pd.DataFrame(
        {
            "distortion": grown.rms.mean(1),
            "margin": grown.margin.mean(1),
            "an ostrich": grown.hit.double().mean(1),
            "with probability 0.9": (grown.probability >= SURE).double().mean(1),
            "share that is an ostrich once saved": grown.rounded_hit.double().mean(1),
            "distortion once saved": grown.rounded_rms.mean(1),
        },
        index=pd.Index(grown.factors.tolist(), name=f"{network}, factor"),
    )


def by_margin(grown: Amplified, bins: int = 8) -> tuple[list[float], list[float]]:
    """The share of saved photographs that survive, by the margin that they had before.

    Args:
        grown: perturbations multiplied by several factors.
        bins: of equal numbers of photographs as nearly as may be, each counted once for every factor.

    Returns:
        The mean margin of each bin, in increasing order, and the share.
    """
    margins, order = grown.margin.flatten().sort()
    kept = grown.rounded_hit.flatten()[order].double()
    return (
        [float(part.mean()) for part in margins.tensor_split(bins) if len(part)],
        [float(part.mean()) for part in kept.tensor_split(bins) if len(part)],
    )


def moved(
    networks: Mapping[str, Normalised], answers: Mapping[str, Responses], photos: Photographs, drawn: Figure5
) -> list[Table]:
    """The perturbations of every network on every network, for drawn photographs that all of them read correctly.

    Args:
        networks: by name.
        answers: as from :func:`answers`.
        photos: that are drawn from, in the order of :func:`figure5`, and further where these are too few.
        drawn: as from :func:`figure5`; what became an ostrich there is not looked for again.

    Returns:
        As for :func:`travels`.

    Raises:
        ValueError: fewer than two photographs that all networks read correctly.
    """
    order = ostriches.draw(len(photos), len(photos))
    right = torch.stack([answer.logits.argmax(1) == photos.labels for answer in answers.values()]).all(0)
    chosen = right[order].nonzero()[: sizes().travellers, 0]  # (R,) places in the order of the draw
    images, labels = photos.images(order[chosen], SEEN), photos.labels[order[chosen]]
    aims, steps = torch.full_like(labels, ostriches.OSTRICH), sizes().steps
    known = chosen[chosen < len(drawn.images)]
    became, rest = {name: drawn.found[name].images[known] for name in networks}, slice(len(known), None)
    if len(known) < len(chosen):
        further = made_for(networks, images[rest], aims[rest], steps=steps, progress="ostriches")
        became = {name: torch.cat([became[name], more]) for name, more in further.items()}
    made = {
        TARGET: became,
        AWAY: made_for(networks, images, labels, away=True, steps=steps, progress="any other class"),
    }
    found = travel(networks, images, lambda classes: classes == labels, made, aims)
    return travels(found, "imagenet_transfer", photos.summary())


def travels(found: Travel, name: str, data: str) -> list[Table]:
    """The shares of a journey as tables.

    Args:
        found: as from :func:`intriguing.chapters.photographs.travel.travel`.
        name: of the tables.
        data: what the photographs are.

    Returns:
        A ``Table`` of that name, the shares that are misread, with a row ``goal, maker`` and a column ``reader, size``;
        named with ``_target`` after it, the shares taken for the target; and, with ``_elsewhere``, as from
        :func:`elsewhere`.
    """
    made, meta = [], {"data": data, "photographs": found.photographs}
    for ending, outcomes in (("", found.misread), ("_target", found.hit)):
        rows: dict[str, dict[str, float]] = {}
        for (goal, maker, size, reader), which in outcomes.items():
            rows.setdefault(f"{goal}, {maker}", {})[f"{reader}, {size}"] = float(which.double().mean())
        columns = list(next(iter(rows.values())))
        made.append(Table(name + ending, columns, {row: [entry[c] for c in columns] for row, entry in rows.items()},
                          dict(meta)))  # fmt: skip
    return [*made, elsewhere(found, f"{name}_elsewhere", meta)]


def elsewhere(found: Travel, name: str, meta: Mapping[str, object]) -> Table:
    """What networks make of perturbations that were made for another one, in the mean over all pairs of two networks.

    Args:
        found: as from :func:`intriguing.chapters.photographs.travel.travel`.
        name: of the table.
        meta: what is said about it.

    Returns:
        A ``Table`` with a row ``goal, size``: the shares that are misread, of noise of that length, of perturbations of
        another photograph, and that are taken for the target, each followed by its standard error over photographs;
        last the lead over noise and over another photograph's, with theirs.
    """
    pairs = [(maker, reader) for maker in found.networks for reader in found.networks if maker != reader]
    rows = {}
    for goal, size in dict.fromkeys((goal, size) for goal, _, size, _ in found.misread):
        outcomes = [found.misread[goal, maker, size, reader] for maker, reader in pairs]
        strange = [found.misread[goal, f"{maker}: {OTHERS}", size, reader] for maker, reader in pairs]
        noisy = [found.misread[goal, NOISE, size, reader] for reader in found.networks]
        into = [found.hit[goal, maker, size, reader] for maker, reader in pairs] if goal == TARGET else None
        there, noise, others = (torch.stack(which).double().mean(0) for which in (outcomes, noisy, strange))
        hits = [None, None] if into is None else _mean(torch.stack(into).double().mean(0))
        rows[f"{goal}, {size}"] = [
            *_mean(there), *_mean(noise), *_mean(others), *hits, *_mean(there - noise), *_mean(there - others)
        ]  # fmt: skip
    words = (MISREAD, "noise", "another photograph's", INTO, OVER_NOISE, OVER_OTHERS)
    return Table(name, [column for word in words for column in (word, f"± {word}")], rows, dict(meta))


def _mean(values: Tensor) -> list[float]:
    """A mean over photographs and its standard error."""
    return [float(values.mean()), float(values.std(correction=1) / len(values) ** 0.5)]


def part(table: Table, goal: str, size: str) -> pd.Series:
    """One row of a table of :func:`elsewhere`.

    Args:
        table: of that kind.
        goal: of the perturbations.
        size: their length.
    """
    return table.to_frame().loc[f"{goal}, {size}"]


def square(table: Table, size: str) -> pd.DataFrame:
    """One length of a table of :func:`travels`, with a column for each reader.

    Args:
        table: of shares.
        size: of ``travel.SIZES``.
    """
    frame = table.to_frame()
    chosen = frame.loc[:, frame.columns.str.endswith(f", {size}")]
    return chosen.rename(columns=lambda name: name.removesuffix(f", {size}")).rename_axis(index="made for")


def claims(
    accuracy: Table, units: Table, drawn: Figure5, grown: Amplified, moved: Sequence[Table], searched: Penalised
) -> dict[str, bool | None]:
    """What the page claims of ImageNet, and whether it has come out true; None where too few photographs travelled.

    Args:
        accuracy: as from :func:`accuracy_table`; all rates that were published count.
        units: as from :func:`coherence_table`; the rows of its first network count.
        drawn: as from :func:`figure5`.
        grown: the first network's ostriches multiplied by several factors.
        moved: as from :func:`travels`.
        searched: as from :func:`penalised`.
    """
    frame, distance, kind = units.to_frame(), MEASURES["feature_distance"], MEASURES["purity"]
    seen, blank, control = (frame.loc[f"{layer}: {distance}"] for layer in (LAST, TURNED, CLASSES))
    kinds, first = frame.loc[f"{LAST}: {kind}"], next(iter(drawn.found))
    found, inside = drawn.found[first], accuracy.to_frame()["inside"].dropna()
    away, aimed = (part(moved[-1], goal, FIVE) for goal in (AWAY, TARGET))
    few = moved[-1].meta["photographs"] < FEW
    margins, kept = by_margin(grown)
    return {
        "The published accuracies lie in the exact intervals of the photographs at hand": bool(inside.all()),
        "Random directions are more alike in the mean than strangers, as another network sees it": bool(
            seen["directions"] < seen["strangers"]
        ),
        "In the last features units are more alike than directions, to the same judge": bool(seen["high"] < 0),
        "They are so beside directions read at the same end": bool(seen["fair high"] < 0),
        "They are ahead by less than half an image in a row of eight": bool(kinds["high"] < coherence.MARGIN),
        "Among the classes, units are more alike than directions": bool(control["high"] < 0),
        "With turned axes no difference is found": bool(blank["low"] <= 0 <= blank["high"]),
        "Every photograph drawn becomes an ostrich, for every network": all(
            bool(one.success.all()) for one in drawn.found.values()
        ),
        "Every photograph tried becomes a member of its random class": bool(drawn.other.success.all()),
        "The mean distortion is less than half of the paper's, pixels counted as the paper does": (
            COLOURS * float(found.rms.mean()) < 0.5 * PRINTED
        ),
        "So is that of the penalty method, on the photographs that it was tried on": bool(
            COLOURS * searched.frame().at["mean", "penalty method"] < 0.5 * PRINTED
        ),
        "Fewer than half of the ostriches survive being saved with 8 bits": (
            float(grown.rounded_hit[0].double().mean()) < 0.5
        ),
        "Of those with the largest margins nine in ten survive it": kept[-1] >= 0.9,
        "Five times as long, perturbations away from the class fool other networks more often than noise of that "
        "length, by two standard errors": None if few else bool(away[OVER_NOISE] > 2 * away[f"± {OVER_NOISE}"]),
        "They do so more often than those made for other photographs, by two standard errors": (
            None if few else bool(away[OVER_OTHERS] > 2 * away[f"± {OVER_OTHERS}"])
        ),
        "Five times as long, no ostrich of one network is an ostrich to another": (
            None if few else bool(aimed[INTO] == 0)
        ),
    }


def comparable(photos: Photographs, networks: Mapping[str, Normalised]) -> bool:
    """Whether photographs and networks are those of the stored run.

    Args:
        photos: the photographs.
        networks: by name.
    """
    return photos.pinned and list(networks) == [recognition.SQUEEZENET, recognition.LITE0, recognition.LITE1]


def disagreements(made: Sequence[Table], claims: Mapping[str, bool | None]) -> list[str]:
    """Where the page's tables and claims of ImageNet differ from the stored run, which a recording run stores first.

    Args:
        made: the tables of the page.
        claims: as from :func:`claims`.

    Returns:
        A line for each table, and for the claims, that differ.
    """
    lines = [results.check(table, _tolerance(table)) for table in made if table.rows]
    if claims:  # of few photographs there are none
        lines.append(results.check_claims("imagenet_claims", claims, {"data": made[0].meta["data"]}))
    return [line for line in lines if not ("agrees" in line or line.startswith("All"))]


def wandering() -> tuple[float, float]:
    """By what part a rerun may find another distortion: multiples of what rounding alone was measured to do.

    Returns:
        For a single photograph, and for the median of the seven that this was measured on.

    Raises:
        ResultError: no spread was measured.
    """
    spread = results.load(f"spread_{FREE}", "quick").to_frame()[SPREAD]
    single = float((spread.drop(MEDIAN) ** 2).mean() ** 0.5)
    return tables.SPREADS * single, tables.SPREADS * float(spread[MEDIAN])


def stored(table: Table) -> pd.DataFrame:
    """The stored run of a table, of which tolerances are parts; the table itself where none is stored yet.

    Args:
        table: what has just been computed.
    """
    try:
        return results.load(table.name).to_frame()
    except results.MissingResult:
        return table.to_frame()


def _tolerance(table: Table) -> results.Tolerance:
    """How far a rerun's entries may lie from the stored run's; a mean moves less than a single photograph."""
    if table.name == "imagenet_accuracy":
        return ACCURACY
    if table.name in ("imagenet_units", "imagenet_judges"):
        return COHERENCE
    frame = stored(table)
    if table.name == "imagenet_ostriches":
        single = wandering()[0] * frame.abs().fillna(0)
        mean = single.div(frame["images"] ** 0.5, axis="rows")
        these = single["mean of these"].div(frame["read correctly"].clip(lower=1) ** 0.5)
        return mean.assign(**single[["smallest", "largest"]], **{"mean of these": these}, **FIGURE5)
    if table.name == "imagenet_surer":
        return wandering()[0] * frame.abs() / table.meta["photographs"] ** 0.5
    count = table.meta["photographs"]
    means = table.name.endswith("_elsewhere")
    return max(SHARES, 1 / count) if means or count >= FEW else 1.0


def _rows(
    photos: Photographs,
    judges: Judges,
    sets: Tensor,
    found: coherence.Coherence,
    places: Sequence[int],
    titles: Sequence[str],
) -> tuple[list[Tensor], list[str]]:
    """The photographs of each set and what is to be said about them; the sets stand at ``places`` of ``found``."""
    captions = []
    for indices, place, title in zip(sets[:, :SHOWN], places, titles, strict=True):
        same = int((judges.kinds[indices] == found.label[place]).sum())
        apart = float(found.feature_distance[place])
        captions.append(f"{title}: {same} of {len(indices)} of one kind, distance {apart:.2f}")
    return [photos.images(indices) for indices in sets[:, :SHOWN]], captions
