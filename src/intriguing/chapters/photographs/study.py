"""What the chapter on photographs compares: units with directions, ostriches with the paper's, and what saving does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import coherence, paper, results, runs, settings
from intriguing.book.coherence import SHOWN, Survey
from intriguing.book.results import Table
from intriguing.chapters.photographs import ostriches, recognition
from intriguing.chapters.photographs.ostriches import Amplified
from intriguing.chapters.photographs.recognition import Normalised, Responses
from intriguing.data import photographs
from intriguing.data.photographs import Photographs

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
SURE = 0.9  # probability at which a network counts as sure
ACCURACY, COHERENCE = 0.011, 0.03  # how far a rerun's entries may lie from the stored run's
FIGURE5 = {"images": 0, "success": 0.02, "ours / paper": 0.005}  # likewise, and for all other columns:
DISTANCE = 3e-5


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
            inside = float(found.holds(published))
            rows[f"{name}, top {k}"] = [found.rate, found.low, found.high, published, found.rate - published, inside]
    columns = ["measured", "from", "to", "published", "difference", "inside"]
    return Table("imagenet_accuracy", columns, rows, {"data": photos.summary()})


@dataclass(frozen=True, eq=False)
class Judges:
    """What can be said about photographs without the network that is judged.

    Attributes:
        kinds: (N,) long, a coarse group.
        pixels: (N, 3, 28, 28) in [0, 1].
        eyes: (N, E) of length one, in another network; pixels where its weights are missing.
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


def judges(photos: Photographs) -> Judges:
    """The three judges of photographs.

    Args:
        photos: the photographs.
    """
    kinds = photographs.families(photos.wnids)[photos.labels].unique(return_inverse=True)[1]
    seen = recognition.alexnet_convolutions(photos, progress="asking a second network")
    pixels = photos.reduced(8)
    eyes = coherence.standardised(pixels.flatten(1) if seen is None else seen)
    return Judges(kinds, pixels, F.normalize(eyes, dim=1))


def live(features: Tensor) -> Tensor:
    """The units that fire on as many photographs as a row shows.

    Args:
        features: (N, D).

    Returns:
        (N, at most D).
    """
    return features[:, coherence.firing(features) >= SHOWN]


def surveys(answer: Responses, judges: Judges) -> dict[str, Survey]:
    """Units and random directions of the last features, of the same with their axes turned, and of the classes.

    Args:
        answer: of the network.
        judges: of the photographs.

    Returns:
        ``LAST``, ``TURNED`` and ``CLASSES`` -> survey.
    """
    alive = live(answer.features)
    axes = coherence.rotation(alive.shape[1], torch.Generator().manual_seed(settings.SEED + 1))
    layers = {LAST: answer.features, TURNED: alive @ axes.T, CLASSES: answer.logits}
    resamples = settings.profile().resamples
    return {
        layer: coherence.survey(layer, vectors, judges.pixels, judges.kinds, judges.eyes, resamples=resamples)
        for layer, vectors in layers.items()
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


def coherence_table(surveys: Mapping[str, Survey], data: str) -> Table:
    """Units beside directions, layer by layer and judge by judge.

    Args:
        surveys: as from :func:`surveys`.
        data: what the photographs are.

    Returns:
        A ``Table`` named ``imagenet_units``: the means of units and of directions, their difference with its interval,
        the p value, and the chance of a unit to win.
    """
    columns = ["units", "directions", "difference", "low", "high", "p", "win"]
    rows = {
        f"{layer}: {word}": [getattr(survey.measures[measure], column) for column in columns]
        for layer, survey in surveys.items()
        for measure, word in MEASURES.items()
    }
    return Table("imagenet_units", columns, rows, {"data": data})


def chance(judges: Judges) -> float:
    """The share of one kind in random sets of eight photographs.

    Args:
        judges: of the photographs.
    """
    generator = torch.Generator().manual_seed(settings.SEED)
    strangers = coherence.random_sets(STRANGERS, SHOWN, len(judges.kinds), generator)
    return float(coherence.purity(strangers, judges.kinds).mean())


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


def outcomes(surveys: Mapping[str, Survey]) -> pd.DataFrame:
    """What the other network says about the units of each layer.

    Args:
        surveys: as from :func:`surveys`.

    Returns:
        For each ``layer``: ``outcome`` in words, ``difference`` and ``95 % interval``.
    """
    rows = {}
    for layer, survey in surveys.items():
        c = survey.measures["feature_distance"]
        words = "units less coherent" if c.low > 0 else "units more coherent" if c.high < 0 else "no difference found"
        rows[layer] = [words, c.difference, f"{c.low:+.3f} to {c.high:+.3f}"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["outcome", "difference", "95 % interval"])
    return frame.rename_axis(index="layer")


def drawn_line(before: Tensor, labels: Tensor) -> str:
    """The sentence of the page on how the photographs drawn are read undistorted.

    Args:
        before: (B,) long, the classes that the network gives them.
        labels: (B,) long, their own.
    """
    return (
        f"Of the {len(labels)} photographs drawn, the network reads {int((before == labels).sum())} correctly, "
        f"and takes {int((before == ostriches.OSTRICH).sum())} for an ostrich as they are."
    )


def other_classes(labels: Tensor) -> Tensor:
    """One random wrong class for each photograph.

    Args:
        labels: (B,) long.

    Returns:
        (B,) long.
    """
    return random_targets(labels, photographs.CLASSES, generator=torch.Generator().manual_seed(settings.SEED))


def by_penalty(model: Normalised, images: Tensor, targets: Tensor) -> Distortion | None:
    """The paper's own method on the first photographs; it costs more than ten times as much.

    Args:
        model: the network.
        images: (B, 3, 227, 227) in [0, 1].
        targets: (B,) long.

    Returns:
        Of one photograph in thirty-two; None where there are fewer.
    """
    few = len(images) // 32
    if not few:
        return None
    return runs.attack(model, images[:few], targets[:few], chunk=1, progress="penalty method")


def figure5_table(groups: Mapping[str, Distortion], data: str) -> Table:
    """Figure 5 in numbers.

    Args:
        groups: ``TO_OSTRICH``, which is set beside the paper's number, and others -> what was found.
        data: what the photographs are.

    Returns:
        A ``Table`` named ``imagenet_ostriches``: how many images, the share that succeeded, the mean distortion beside
        the paper's, and median, smallest and largest distortion.

    Source:
        Szegedy et al. 2013, Figure 5.
    """
    rows = {}
    for group, part in groups.items():
        mean = float(part.rms.mean())
        rows[group] = [
            len(part.rms),
            float(part.success.double().mean()),
            mean,
            *((PRINTED, mean - PRINTED, mean / PRINTED) if group == TO_OSTRICH else (None, None, None)),
            float(part.rms.quantile(0.5)),
            float(part.rms.min()),
            float(part.rms.max()),
        ]
    columns = ["images", "success", "mean distortion", "paper", "difference", "ours / paper"]
    return Table("imagenet_ostriches", [*columns, "median", "smallest", "largest"], rows, {"data": data})


def second_starts(found: Distortion) -> str:
    """The sentence of the page on the photographs for which the search began once more.

    Args:
        found: what the search found.
    """
    second = found.evaluations > found.evaluations.median()
    return (
        f"{int(second.sum())} of {len(second)} photographs needed a second start; "
        f"without them the mean distortion is {float(found.rms[~second].mean()):.6f}."
    )


def survival(grown: Amplified) -> pd.DataFrame:
    """What becomes of ostriches that are magnified and saved.

    Args:
        grown: perturbations multiplied by several factors.

    Returns:
        For each ``factor`` the mean distortion, the shares of ostriches, of sure ones and of those that survive being
        saved with 8 bits, and the mean distortion once saved.
    """
    return pd.DataFrame(
        {
            "distortion": grown.rms.mean(1),
            "an ostrich": grown.hit.double().mean(1),
            "with probability 0.9": (grown.probability >= SURE).double().mean(1),
            "an ostrich once saved": grown.rounded_hit.double().mean(1),
            "distortion once saved": grown.rounded_rms.mean(1),
        },
        index=pd.Index(grown.factors.tolist(), name="factor"),
    )


def certain(grown: Amplified) -> Tensor:
    """The distortion of each photograph at the smallest factor that makes the network sure, infinite where none does.

    Args:
        grown: perturbations multiplied by several factors.

    Returns:
        (B,).
    """
    return _first(grown.rms, grown.probability >= SURE)


def saved(grown: Amplified) -> Tensor:
    """The distortion of each saved photograph at the smallest factor that survives saving, infinite where none does.

    Args:
        grown: perturbations multiplied by several factors.

    Returns:
        (B,).
    """
    return _first(grown.rounded_rms, grown.rounded_hit)


def asked(found: Distortion, grown: Amplified, penalty: Distortion | None) -> pd.DataFrame:
    """How the distortion depends on what is asked for and on the method.

    Args:
        found: the shortest changes.
        grown: the same multiplied by several factors.
        penalty: what the paper's method found for the first photographs; None where it was not run.

    Returns:
        For each demand how many images meet it, their mean distortion, and that over the paper's.
    """
    demands = {
        "an ostrich, shortest change (`refine=True`)": found.rms,
        "an ostrich with probability 0.9": certain(grown),
        "an ostrich in a file of 8 bits": saved(grown),
    }
    if penalty is not None:
        few = len(penalty.rms)
        demands[f"the first {few}, shortest change"] = found.rms[:few]
        demands[f"the first {few}, the paper's penalty method"] = penalty.rms
    rows = {}
    for what, values in demands.items():
        there = values[values.isfinite()]
        mean = float(there.mean()) if len(there) else float("nan")
        rows[what] = [f"{len(there)} of {len(values)}", mean, mean / PRINTED]
    columns = ["images that get there", "mean distortion", "ours / paper"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(index="what is asked for")


def transfer(
    networks: Mapping[str, Normalised], images: Tensor, labels: Tensor, factors: Sequence[float] = (1, 5)
) -> pd.DataFrame:
    """The ostriches of every network on every network.

    Args:
        networks: by name.
        images: (B, 3, 227, 227) in [0, 1].
        labels: (B,) long.
        factors: what the perturbations are multiplied by.

    Returns:
        For each network that they were made for and each factor, the shares that the networks misread of what they
        read correctly before.
    """
    amplified = {}
    for maker, model in networks.items():
        aims = torch.full_like(labels, ostriches.OSTRICH)
        step = ostriches.attack(model, images, aims, progress=f"against {maker}").images - images
        amplified |= {f"{maker}, × {factor}": (images + factor * step).clamp(0, 1) for factor in factors}
    shares = ostriches.transferred(networks, images, labels, amplified)
    return pd.DataFrame.from_dict(shares, orient="index", columns=list(networks))


def no_transfer(networks: Mapping[str, Normalised]) -> str:
    """The sentences of the page that has no second network.

    Args:
        networks: by name, one at most.
    """
    return (
        f"Transfer between ImageNet networks is left out: it needs two of them, and {len(networks)} can be run here. "
        "The AlexNet in the data folder lacks two of its layers and cannot classify."
    )


def claims(
    accuracy: Table, surveys: Mapping[str, Survey], attacks: Mapping[str, Distortion], grown: Amplified
) -> dict[str, bool]:
    """What the page claims, and whether it has come out true.

    Args:
        accuracy: as from :func:`accuracy_table`; the rows of its first network count.
        surveys: as from :func:`surveys`.
        attacks: ``TO_OSTRICH`` and ``TO_RANDOM`` -> what was found.
        grown: the ostriches multiplied by several factors, the first of them 1.
    """
    seen, blank, control = (surveys[layer].measures["feature_distance"] for layer in (LAST, TURNED, CLASSES))
    found = attacks[TO_OSTRICH]
    inside = accuracy.to_frame()["inside"].iloc[:2]
    return {
        "The published accuracies lie in the exact intervals of the photographs at hand": bool(inside.all()),
        "Random directions are more coherent than random sets, as another network sees it": seen.directions < 1,
        "In the last features units are more coherent than directions, to the same judge": seen.high < 0,
        "They are ahead by less than half an image in a row of eight": (
            surveys[LAST].measures["purity"].high < coherence.MARGIN
        ),
        "Among the classes, units are more coherent than directions": control.high < 0,
        "With turned axes no difference is found": blank.low <= 0 <= blank.high,
        "Every photograph drawn becomes an ostrich": bool(found.success.all()),
        "Every photograph tried becomes a member of its random class": bool(attacks[TO_RANDOM].success.all()),
        "The mean distortion is less than half of the paper's": float(found.rms.mean()) < 0.5 * PRINTED,
        "Fewer than half of the ostriches survive being saved with 8 bits": (
            float(grown.rounded_hit[0].double().mean()) < 0.5
        ),
    }


def comparable(photos: Photographs, networks: Mapping[str, Normalised]) -> bool:
    """Whether photographs and networks are those of the stored run.

    Args:
        photos: the photographs.
        networks: by name.
    """
    return photos.pinned and list(networks) == [recognition.SQUEEZENET]


def disagreements(accuracy: Table, coherence: Table, figure5: Table, claims: Mapping[str, bool]) -> list[str]:
    """Where the page's tables and claims differ from the stored run, which a recording run stores first.

    Args:
        accuracy: as from :func:`accuracy_table`.
        coherence: as from :func:`coherence_table`.
        figure5: as from :func:`figure5_table`.
        claims: as from :func:`claims`.

    Returns:
        A line for each table, and for the claims, that differ.
    """
    lines = [
        results.check(accuracy, ACCURACY),
        results.check(coherence, COHERENCE),
        results.check(figure5, dict.fromkeys(figure5.columns, DISTANCE) | FIGURE5),
        results.check_claims("imagenet_claims", claims, {"data": accuracy.meta["data"]}),
    ]
    return [line for line in lines if not ("agrees" in line or line.startswith("All"))]


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


def _first(values: Tensor, hits: Tensor) -> Tensor:
    """Of each image the value at the smallest factor that hits, infinite where none does."""
    return torch.where(hits, values, torch.inf).amin(0)
