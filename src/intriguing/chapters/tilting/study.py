"""What the chapter on boundary tilting measures: its tables, its claims, and what its pictures are drawn from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from tqdm.auto import tqdm

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.penalty import penalty_path
from intriguing.attack.perturbations import random_targets, rms
from intriguing.attack.polyhedron import project_polyhedron
from intriguing.book import two_classes
from intriguing.book.results import Table
from intriguing.chapters.tilting import geometry, svm
from intriguing.chapters.tilting.geometry import Boundary
from intriguing.data import CLASSES, Digits, Images
from intriguing.models.training import predict

LAW = "½ |j − i| cos(angle)"
ALLOWED = {
    "tilting_methods": {"mean distortion": 5e-4, "least ratio": 2e-3, "largest ratio": 2e-3},
    "tilting_toy": {"angle (degrees)": 0.05, "nearest distance": 1e-3, "mean distance": 1e-3, "error": 0},
    "tilting_levels": {
        "angle (degrees)": 0.5,
        "training error": 2.5e-3,
        "test error": 1e-2,
        "mean distortion": 1e-3,
        LAW: 1e-3,
    },
    "tilting_splits": {
        "angle": 0.5,
        "shared angle": 1,
        "training error": 2.5e-3,
        "held-out error": 2.5e-3,
        "above the chosen": 5e-3,
        "low": 0.01,
        "high": 0.01,
        "mean distortion": 1e-3,
    },
    "tilting_parts": {
        "degrees learned": 4,
        "degrees overfitted": 4,
        "error saved by learning": 5e-3,
        "saved by learning, low": 0.01,
        "saved by learning, high": 0.01,
        "error added by overfitting": 5e-3,
        "added by overfitting, low": 0.01,
        "added by overfitting, high": 0.01,
        "distance lost to learning": 0.04,
        "distance lost to overfitting": 0.04,
    },
    "tilting_pairs": {
        "mean angle (degrees)": 0.5,
        "least angle": 0.5,
        "largest angle": 0.5,
        "signed / law": 1e-6,
        "step in the box / law": 0.02,
    },
    "tilting_networks": {
        "angle": 2,
        "angle at boundary": 2.5,
        "turn": 1.5,
        "alignment": 0.03,
        "distortion": 4e-3,
        LAW: 4e-3,
        "linearised / found": 0.03,
        "correlation": 0.03,
    },
}
"""Name of a table -> its columns, each with how far a rerun may lie from the stored run."""


@dataclass(frozen=True)
class Task:
    """Two digits to be told apart.

    Attributes:
        names: of the two classes.
        points: (N, n) training images as points.
        second: (N,) bool, which of them are of the second class.
        test_points: (M, n), likewise of the test set.
        test_second: (M,) bool.
        moved: how many of the test images, the first ones, are moved across boundaries.
        shape: of one image.
        data: the name of the data.
        test_data: the name of the test set.
    """

    names: tuple[str, str]
    points: Tensor
    second: Tensor
    test_points: Tensor
    test_second: Tensor
    moved: int
    shape: torch.Size
    data: str
    test_data: str

    @property
    def few(self) -> Tensor:
        """The test images that are moved, (K, n)."""
        return self.test_points[: self.moved]

    @property
    def few_second(self) -> Tensor:
        """Which of these are of the second class, (K,) bool."""
        return self.test_second[: self.moved]


def task(digits: Digits, first: int, second: int, *, moved: int) -> Task:
    """Two of the ten digits as points of two classes.

    Args:
        digits: the data.
        first: a label.
        second: another one.
        moved: how many test images of the two are moved across boundaries, the first ones.

    Raises:
        ValueError: as for :func:`intriguing.book.two_classes.points`.
    """
    return Task(
        (str(first), str(second)),
        *two_classes.points(digits.train, first, second),
        *two_classes.points(digits.test, first, second),
        moved=moved,
        shape=digits.test.images.shape[1:],
        data=digits.name,
        test_data=digits.test.name,
    )


def methods(task: Task, machine: Boundary) -> Table:
    """Four ways to the closest image on the other side, and the closed form that lets pixels leave their range.

    Args:
        task: whose test images are moved.
        machine: across whose boundary.

    Returns:
        A ``Table`` named ``tilting_methods``: per method the mean distortion, and the least and the largest ratio of an
        image's distortion to the exact one in [0, 1].
    """
    few, size = task.few, machine.weight.norm()
    side = torch.where(machine.score(few) > 0, -1.0, 1.0).double()
    projected, _ = project_polyhedron(
        few, side[:, None, None] * machine.weight, (1e-6 * size - side * machine.bias)[:, None]
    )
    network = geometry.logit_model(machine, task.shape)
    images, targets = few.view(-1, *task.shape), (side > 0).long()
    exact = rms(geometry.cross_in_box(few, machine)[0], few)
    lengths = {
        "closed form, pixels free": rms(geometry.cross(few, machine), few),
        "closed form, pixels in [0, 1]": exact,
        "projection through the dual": rms(projected, few),
        "refined search": minimum_distortion(network, images, targets, refine=True).rms,
        "penalty method of the paper": minimum_distortion(network, images, targets).rms,
    }
    rows = {
        name: [float(found.mean()), float((found / exact).min()), float((found / exact).max())]
        for name, found in lengths.items()
    }
    return _table("tilting_methods", rows, task.test_data)


def fooled(task: Task, machine: Boundary, twins: Tensor, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Some test images that the machine reads correctly, with their twins, for a picture.

    Args:
        task: whose test images were moved.
        machine: across whose boundary.
        twins: (K, n), where they were moved to.
        count: how many of them, the first ones.

    Returns:
        Images and twins, each (count, height, width), and what to write above each.
    """
    right = (machine.score(task.few) > 0) == task.few_second
    chosen = right.nonzero()[:count, 0]
    own = task.few_second[chosen].long().tolist()
    titles = [f"{task.names[label]} read as {task.names[1 - label]}" for label in own]
    return *(part[chosen].view(-1, *task.shape[1:]) for part in (task.few, twins)), titles


def deep(model: nn.Module, images: Images, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Some images that a network reads correctly, with the nearest ones that the search finds for a random wrong class.

    Args:
        model: the network.
        images: labelled images.
        count: how many of them, the first ones.

    Returns:
        Images and what was found, each (count, height, width), and what to write above each.
    """
    right = images.take((predict(model, images.images) == images.labels).nonzero()[:count, 0])
    wrong = random_targets(right.labels)
    found = minimum_distortion(model, right.images, wrong, refine=True)
    read = predict(model, found.images.float())
    titles = [f"{own} read as {other}" for own, other in zip(right.labels.tolist(), read.tolist(), strict=True)]
    return right.images[:, 0], found.images[:, 0], titles


@dataclass(frozen=True)
class Toys:
    """The toy of two bars in few and in many dimensions, with four boundaries each.

    Attributes:
        table: named ``tilting_toy``, one row for each number of dimensions and boundary.
        panels: for :func:`intriguing.chapters.tilting.pictures.toy_panels`: the tilted and the bisecting boundary, and
            the one that was learned with the stray points.
        sheets: number of dimensions -> title -> (n,): a point of each class, two weights, and the first point moved
            across either boundary.
    """

    table: Table
    panels: dict[str, tuple[Tensor, Tensor, tuple[float, float, float]]]
    sheets: dict[int, dict[str, Tensor]]


STRAY = 0.1  # how far beyond the middle a stray point of the toy lies
WEAK = 1e-7  # the level at which the learner follows two stray points among hundreds


def toys(dimensions: Sequence[int] = (2, 784), *, degrees: float = 70.0, level: float = 1e-3) -> Toys:
    """A tilted, a bisecting and two learned boundaries through the toy.

    Args:
        dimensions: of the spaces in which the toy is built.
        degrees: by how much the tilted boundary leans.
        level: L2 regularisation of the one that is learned without stray points.
    """
    rows, panels, sheets = {}, {}, {}
    for dimension in dimensions:
        toy, stray = geometry.toy(dimension), geometry.toy(dimension, stray=STRAY)
        boundaries = {
            "tilted": (toy, geometry.tilted(toy.z, toy.along, degrees)),
            "bisecting": (toy, geometry.tilted(toy.z, toy.along, 0.0)),
            "learned": (toy, svm.train(toy.points, toy.second, level)),
            "learned, with strays": (stray, svm.train(stray.points, stray.second, WEAK)),
        }
        for name, (seen, line) in boundaries.items():
            title = f"{dimension} dimensions, {name}"
            gaps = geometry.signed_distance(toy.points, line).abs()
            rows[title] = [
                geometry.tilting_angle(line.weight, toy.z),
                float(gaps.min()),
                float(gaps.mean()),
                geometry.error(line, seen.points, seen.second),
            ]
            if name != "learned":
                size = float(line.weight.norm())
                normal = (float(line.weight @ toy.along) / size, float(line.weight @ toy.z) / size, line.bias / size)
                panels[title] = (seen.points @ torch.stack([toy.along, toy.z], 1), seen.second, normal)
        one, other = toy.points[0], toy.points[-1]
        sheets[dimension] = {"a point of I": one, "a point of J": other}
        for name in ("tilted", "bisecting"):
            line = boundaries[name][1]
            sheets[dimension] |= {
                f"{name}: weight": line.weight,
                f"{name}: I, read as J": geometry.cross(one[None], line)[0],
            }
    return Toys(_table("tilting_toy", rows, "two bars of points"), panels, sheets)


@dataclass(frozen=True)
class Levels:
    """Machines over levels of regularisation: how far each leans, how well it reads, how little it takes to fool it.

    Attributes:
        task: what the machines were trained for.
        machines: L of them.
        levels: (L,), their levels.
        angles: (L,), tilting angles in degrees.
        training: (L,), errors on the training set.
        testing: (L,), errors on the test set.
        steps: (L, K), the distortion of each image that was moved.
        laws: (L,), the bisecting law as a root mean square per pixel.
        pair: (2, n), an image of each class that every machine reads correctly, as far from the bisector as its class
            is on average.
        twins: (L, 2, n), these two on the other side of each boundary.
    """

    task: Task
    machines: Sequence[Boundary]
    levels: Sequence[float]
    angles: list[float]
    training: list[float]
    testing: list[float]
    steps: Tensor
    laws: list[float]
    pair: Tensor
    twins: Tensor

    @property
    def table(self) -> Table:
        """The ``Table`` named ``tilting_levels``, one row for each level."""
        means = [float(step.mean()) for step in self.steps]
        entries = zip(self.angles, self.training, self.testing, means, self.laws, strict=True)
        rows = {word: list(row) for word, row in zip(self.words, entries, strict=True)}
        return _table("tilting_levels", rows, self.task.data)

    @property
    def words(self) -> list[str]:
        """The levels as they are written."""
        return [f"{level:.2g}" for level in self.levels]


def paired(task: Task, one: Boundary, other: Boundary) -> str:
    """How many test images two machines misread, and whether the difference is more than chance, in a sentence.

    Args:
        task: whose test set is read.
        one: a machine.
        other: another one.

    Source:
        McNemar 1947, exact: of the images that only one of the two misreads each has half of them on average.
    """
    wrong = [(line.score(task.test_points) > 0) != task.test_second for line in (one, other)]
    only = [int((wrong[i] & ~wrong[1 - i]).sum()) for i in (0, 1)]
    p = stats.binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0
    return (
        f"Of {len(task.test_points):,} test images the first misreads {int(wrong[0].sum())} and the second "
        f"{int(wrong[1].sum())}; {only[0]} are misread by the first alone, {only[1]} by the second alone (p = {p:.2f})."
    )


def levels(task: Task, machines: Sequence[Boundary], levels: Sequence[float]) -> Levels:
    """What regularisation does to a linear machine.

    Args:
        task: what the machines were trained for.
        machines: L of them.
        levels: (L,), their levels.

    Returns:
        A ``Levels``.
    """
    points, second, test_points, test_second = task.points, task.second, task.test_points, task.test_second
    bisector = geometry.nearest_centroid(points, second)
    pair = _typical(task, machines, bisector)
    side = task.shape.numel() ** 0.5
    return Levels(
        task=task,
        machines=machines,
        levels=levels,
        angles=[geometry.tilting_angle(line.weight, bisector.weight) for line in machines],
        training=[geometry.error(line, points, second) for line in machines],
        testing=[geometry.error(line, test_points, test_second) for line in machines],
        steps=torch.stack([rms(geometry.cross_in_box(task.few, line)[0], task.few) for line in machines]),
        laws=[geometry.bisecting_law(line, points, second) / side for line in machines],
        pair=pair,
        twins=torch.stack([geometry.cross_in_box(pair, line)[0] for line in machines]),
    )


def _typical(task: Task, machines: Sequence[Boundary], bisector: Boundary) -> Tensor:
    """A test image of each class that all read correctly, as far from the bisector as its class is on average."""
    depth = geometry.signed_distance(task.test_points, bisector).abs()
    always = torch.stack([(line.score(task.test_points) > 0) == task.test_second for line in machines]).all(0)
    away = (depth - two_classes.half_distance(task.points, task.second)).abs()
    away = torch.where(always, away, torch.inf)
    rows = [int(torch.where(own, away, torch.inf).argmin()) for own in (~task.test_second, task.test_second)]
    return task.test_points[rows]


@dataclass(frozen=True)
class Turning:
    """Three dimensions that stand still while a boundary turns in them: z and two weight vectors.

    Attributes:
        cloud: (N, 3), points in these dimensions.
        second: (N,) bool.
        basis: (n, 3), orthonormal, z first.
        ends: the two boundaries between which it turns.
        offsets: the signed distances of the origin to them.
    """

    cloud: Tensor
    second: Tensor
    basis: Tensor
    ends: tuple[Boundary, Boundary]
    offsets: tuple[float, float]


def turning(task: Task, first: Boundary, last: Boundary, *, shown: int) -> Turning:
    """The space of z and the weight vectors of two boundaries, with the training images in it.

    Args:
        task: what the boundaries separate.
        first: one of them.
        last: the other.
        shown: how many training images are projected, the first ones.
    """
    planes = [geometry.tilting_plane(line, task.points, task.second) for line in (first, last)]
    origin, z, aside = planes[0].origin, planes[0].z, planes[0].n
    rest = planes[1].n - (planes[1].n @ aside) * aside
    basis = torch.stack([z, aside, rest / rest.norm()], 1)
    return Turning(
        (task.points[:shown] - origin) @ basis,
        task.second[:shown],
        basis,
        (first, last),
        tuple(float(geometry.signed_distance(origin[None], line)[0]) for line in (first, last)),
    )


@dataclass(frozen=True)
class PairSweep:
    """Support vector machines for every pair of digits over levels of regularisation.

    Attributes:
        pairs: the P pairs of labels.
        levels: the L levels.
        angle: (P, L), tilting angles in degrees.
        half: (P,), half the distance between the two class means, Euclidean.
        signed: (P, L), the mean signed distance to the boundary on the own side, averaged over the two classes.
        boxed: (P, L), the mean length of the shortest step across the boundary that keeps pixels in [0, 1].
        data: what the images are.
    """

    pairs: list[tuple[int, int]]
    levels: Sequence[float]
    angle: Tensor
    half: Tensor
    signed: Tensor
    boxed: Tensor
    data: str

    @property
    def cosine(self) -> Tensor:
        """The cosines of the tilting angles, (P, L): the law in units of half the distance of the means."""
        return torch.cos(torch.deg2rad(self.angle))

    @property
    def shares(self) -> dict[str, Tensor]:
        """What was measured, in units of half the distance of the means, (P, L) each."""
        return {
            "mean signed distance": self.signed / self.half[:, None],
            "mean step inside [0, 1]": self.boxed / self.half[:, None],
        }

    @property
    def table(self) -> Table:
        """The ``Table`` named ``tilting_pairs``, one row for each level."""
        signed, stepped = (share / self.cosine for share in self.shares.values())
        rows = {
            f"{level:.0e}": [
                float(self.angle[:, i].mean()),
                float(self.angle[:, i].min()),
                float(self.angle[:, i].max()),
                float(signed[:, i].mean()),
                float(stepped[:, i].mean()),
            ]
            for i, level in enumerate(self.levels)
        }
        return _table("tilting_pairs", rows, self.data)


def every_pair(images: Images, levels: Sequence[float], *, moved: int = 400, progress: bool = False) -> PairSweep:
    """Tilting angle and distance to the boundary for all pairs of digits, at several levels of regularisation.

    Args:
        images: the training set.
        levels: L of them, for :func:`intriguing.chapters.tilting.svm.path`.
        moved: of each class so many images, the first ones, are moved across the boundary inside the box.
        progress: shows a bar.

    Returns:
        A ``PairSweep`` of all pairs of labels, in order.
    """
    pairs = list(itertools.combinations(range(CLASSES), 2))
    angle, half, signed, boxed = [], [], [], []
    for pair in tqdm(pairs, desc="pairs of digits", leave=False, disable=not progress):
        points, second = two_classes.points(images, *pair)
        boundaries = svm.path(points, second, levels, name="{}-{}".format(*pair))
        z = geometry.nearest_centroid(points, second).weight
        few = torch.cat([points[~second][:moved], points[second][:moved]])
        angle.append([geometry.tilting_angle(line.weight, z) for line in boundaries])
        half.append(two_classes.half_distance(points, second))
        signed.append([_own_side(line, points, second) for line in boundaries])
        boxed.append([float((geometry.cross_in_box(few, line)[0] - few).norm(dim=1).mean()) for line in boundaries])
    measured = (torch.tensor(values, dtype=torch.float64) for values in (angle, half, signed, boxed))
    return PairSweep(pairs, levels, *measured, images.name)


def _own_side(boundary: Boundary, points: Tensor, second: Tensor) -> float:
    """Mean signed distance, positive on the right side, averaged over the two classes."""
    distance = geometry.signed_distance(points, boundary)
    return float(distance[second].mean() - distance[~second].mean()) / 2


@dataclass(frozen=True)
class Networks:
    """The local tilting of networks.

    Attributes:
        table: named ``tilting_networks``, one row for each network.
        clouds: name -> the distortion that the linearisation at the image predicts and the one that the search finds,
            each (K,) over the images that the two are known for.
    """

    table: Table
    clouds: dict[str, tuple[Tensor, Tensor]]


def networks(models: Mapping[str, nn.Module], images: Images, count: int) -> Networks:
    """How the boundaries of networks lean around single images, and what their linearisation there predicts.

    Args:
        models: name -> trained network.
        images: the training set; its class means give the directions between classes.
        count: how many of the images are attacked, the first ones, each towards one random wrong class.
    """
    attacked = images.take(slice(0, count))
    wrong = random_targets(attacked.labels)
    flat = images.images.flatten(1).double()
    means = torch.stack([flat[images.labels == label].mean(0) for label in range(CLASSES)])
    half = (means[wrong] - means[attacked.labels]).norm(dim=1) / 2 / flat.shape[1] ** 0.5
    rows, clouds = {}, {}
    for name, model in models.items():
        found = minimum_distortion(model, attacked.images, wrong, refine=True)
        local = geometry.local_tilting(model, attacked.images, attacked.labels, wrong, found.images, means)
        kept = (found.rms > 0) & ~local.predicted.isnan()
        predicted, searched = local.predicted[kept], found.rms[kept]
        rows[name] = [
            float(local.angle[kept].mean()),
            float(local.angle_at_boundary[kept].mean()),
            float(local.turn[kept].mean()),
            geometry.alignment(local.gradient, CLASSES * attacked.labels + wrong),
            float(found.rms.mean()),
            float((half * torch.cos(torch.deg2rad(local.angle)))[kept].mean()),
            float((predicted / searched).mean()),
            float(torch.corrcoef(torch.stack([predicted, searched]))[0, 1]),
        ]
        clouds[name] = (predicted, searched)
    return Networks(_table("tilting_networks", rows, attacked.name), clouds)


@dataclass(frozen=True)
class Search:
    """One image and the minimiser of its penalised loss.

    Attributes:
        clean: (height, width), the image.
        found: (height, width), the minimiser.
        titles: three, for the image, what is added to it, and the sum.
        asked: what was searched for.
        outcome: what came of it.
    """

    clean: Tensor
    found: Tensor
    titles: tuple[str, str, str]
    asked: str
    outcome: str

    def sentence(self, regularisation: str) -> str:
        """The search in one sentence.

        Args:
            regularisation: the weight decay of the network.
        """
        return f"{self.asked} and λ = {regularisation}: {self.outcome}."


def search(model: nn.Module, images: Images, digit: int, target: int, price: float) -> Search:
    """The minimiser of c |r|^2 + loss for the first image of a digit, one class and one price c.

    Args:
        model: the network.
        images: among which there is one of that digit.
        digit: a label.
        target: the class asked for.
        price: c, above 0.
    """
    image = images.images[int((images.labels == digit).nonzero()[0, 0])]
    found, _ = penalty_path(model, image, target, torch.tensor([price]).double())
    before, after = predict(model, torch.stack([image, found[0].float()])).tolist()
    length = float(rms(found, image[None].double())[0])
    return Search(
        clean=image[0],
        found=found[0, 0],
        titles=(f"read as {before}", f"distortion {length:.4f}", f"read as {after}"),
        asked=f"A {digit} asked to become a {target} at c = {price:g}",
        outcome=f"read as {before} before and as {after} after a distortion of {length:.4f}",
    )


def claims(
    task: Task,
    machine: Boundary,
    methods: Table,
    toys: Toys,
    path: Levels,
    sweep: PairSweep,
    networks: Networks,
) -> dict[str, bool]:
    """What the chapter says, each sentence with whether it has come out true.

    Args:
        task: the two digits.
        machine: the linear machine of the first section.
        methods: of :func:`methods`, for that machine.
        toys: of :func:`toys`, in few and in many dimensions.
        path: of :func:`levels`, over 25 levels of which the first 21 go down to 0.01.
        sweep: of :func:`every_pair`.
        networks: of :func:`networks`: three linear classifiers, two networks trained as a whole, and the autoencoder's.
    """
    twins, reached = geometry.cross_in_box(task.few, machine)
    ways, toy, down = methods.to_frame(), toys.table.to_frame(), path.table.to_frame().iloc[:21]
    few, many = (f"{dimension} dimensions" for dimension in toys.sheets)
    linear, sigmoid = networks.table.to_frame().iloc[:3], networks.table.to_frame().iloc[3:]
    whole, features = sigmoid.iloc[:2], sigmoid.loc["AE400-10"]
    signed, stepped = sweep.shares.values()
    drawn = ("tilted", "bisecting")
    here, there = (toy.loc[[f"{place}, {name}" for name in drawn]].to_numpy()[:, 1:3] for place in (few, many))
    strays = toy.loc[[f"{place}, learned, with strays" for place in (few, many)], "angle (degrees)"]
    came_out = {
        "Every test digit tried has a twin across the boundary of the linear machine": reached.all(),
        "The twins are read as the other class": ((machine.score(twins) > 0) != (machine.score(task.few) > 0)).all(),
        "Projection, refined search and closed form agree to one part in a thousand": (
            (ways.iloc[1:4, 1:] - 1).abs().to_numpy().max() < 1e-3
        ),
        "With two classes the penalty method reaches the optimum to two parts in a thousand": ways.iloc[4, 2] < 1.002,
        f"The toy's distances are the same in {few} and in {many} to 1e-9": np.abs(here - there).max() < 1e-9,
        f"In {many} a machine learns the bisecting boundary of the toy to a tenth of a degree": (
            toy.loc[f"{many}, learned", "angle (degrees)"] < 0.1
        ),
        f"In {few} as in {many} a machine that follows two stray points tilts by more than 70 degrees": (
            (strays > 70).all()
        ),
        "Weaker regularisation tilts the boundary further, down to λ = 0.01": (
            (down["angle (degrees)"].diff().iloc[1:] > 0).all()
        ),
        "The strongest level ends within a degree of the nearest-centroid classifier": path.angles[0] < 1,
        "The further the tilt, the shorter the step, down to λ = 0.01": (
            (down["mean distortion"].diff().iloc[1:] < 0).all()
        ),
        "The least regularised machine needs less than half of the distortion of the most regularised": (
            path.steps[-1].mean() < 0.5 * path.steps[0].mean()
        ),
        "The hardest machine to fool has the largest test error": path.testing[0] == max(path.testing),
        "The mean signed distance is the law for every pair and level, to 1e-9": (
            (signed / sweep.cosine - 1).abs().max() < 1e-9
        ),
        "In the box the mean step exceeds the law for every pair and level": (stepped > sweep.cosine).all(),
        "The linear softmax classifiers are tilted less the harder they are decayed": (
            linear["angle"].is_monotonic_decreasing
        ),
        "The sigmoid networks are tilted by more than 45 degrees": (sigmoid["angle"] > 45).all(),
        "Their gradient turns by more than 5 degrees on the way to the boundary": (sigmoid["turn"] > 5).all(),
        "For the two trained as a whole it turns towards the difference of the means": (
            (whole["angle at boundary"] < whole["angle"]).all()
        ),
        "Their steps exceed the linear law by a larger factor than those of the linear classifiers": (
            (sigmoid["distortion"] / sigmoid[LAW]).min() > (linear["distortion"] / linear[LAW]).max()
        ),
        "For the two trained as a whole the boundary is nearer than the linearisation at the image predicts": (
            (whole["linearised / found"] > 1).all()
        ),
        "For the autoencoder it is nearer too": features["linearised / found"] > 1,
        "Their gradients differ from image to image": (sigmoid["alignment"] < 0.98).all(),
    }
    return {claim: bool(holds) for claim, holds in came_out.items()}


def _table(name: str, rows: Mapping[str, list[float]], data: str) -> Table:
    return Table(name, list(ALLOWED[name]), dict(rows), {"data": data})
