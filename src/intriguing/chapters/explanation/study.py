"""What the chapter on explanation vectors measures: its tables, its claims, and what its pictures are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from sklearn.gaussian_process import GaussianProcessClassifier
from torch import Tensor, nn

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.attack.perturbations import random_targets, rms
from intriguing.book import markdown, two_classes
from intriguing.book.results import Table
from intriguing.chapters.explanation import gaussian
from intriguing.chapters.explanation.gaussian import GaussianProcess
from intriguing.data import Digits, Images

REACH = 30.0  # how far along its vector a digit is moved at the most, Euclidean
ALLOWED = {
    "explanation": {
        "class changes": 0.01,
        "mean distortion": 2e-3,
        "angle to η": 1,
        "angle to the shortest": 1,
        "over the shortest": 0.01,
    },
    "explanation_curved": {
        "length scale": 0.2,
        "test error": 0.01,
        "class changes": 0.02,
        "angle, pixels free": 1.5,
        "angle, cut to [0, 1]": 1.5,
        "over the shortest": 0.02,
        "turn": 1.5,
        "turn of ∇μ": 1.5,
    },
    "explanation_networks": {
        "angle to r": 3,
        "angle to r, cut to [0, 1]": 3,
        "log10 |η|, lowest tenth": 1.5,
        "log10 |η|, highest tenth": 0.5,
        "distortion, 90 % over 10 %": 0.6,
    },
}
"""Name of a table -> its columns, each with how far a rerun may lie from the stored run."""


@dataclass(frozen=True)
class Gaps:
    """The largest differences between ways to one number.

    Attributes:
        autograd: closed form of the vector against autograd, over the largest vector.
        differences: the same against central differences.
        library: our probability against that of scikit-learn.
    """

    autograd: float
    differences: float
    library: float

    def listed(self) -> str:
        """The differences as a table in Markdown."""
        rows = {
            "closed form against autograd": self.autograd,
            "closed form against differences": self.differences,
            "our probability against scikit-learn's": self.library,
        }
        return markdown.words(["largest difference", ""], [[name, f"{gap:.1e}"] for name, gap in rows.items()])


def gaps(process: GaussianProcess, machine: GaussianProcessClassifier, places: Tensor) -> Gaps:
    """How far the closed form is from autograd, differences and scikit-learn.

    Args:
        process: the process.
        machine: scikit-learn's object for the same one.
        places: (M, n), where they are compared; differences at every seventh place.
    """
    found = process.gradient(places)
    largest = float(found.norm(dim=1).max())
    by_autograd = gaussian.explanation_vector(process.probability, places)
    by_difference = torch.stack([gaussian.finite_difference(process.probability, place) for place in places[::7]])
    theirs = torch.from_numpy(machine.predict_proba(places.numpy())[:, 1])
    return Gaps(
        autograd=float((found - by_autograd).abs().max()) / largest,
        differences=float((found[::7] - by_difference).abs().max()) / largest,
        library=float((process.probability(places) - theirs).abs().max()),
    )


@dataclass(frozen=True)
class Explained:
    """Test digits of two classes with their explanation vectors, and how far along these the class changes.

    Attributes:
        process: what explains them.
        points: (M, n), the digits.
        second: (M,) bool, which of them are of the second class.
        shape: of one image.
        vectors: (M, n), the explanation vectors.
        directions: (M, n), unit vectors along them, towards the other class.
        targets: (M,) long, that class.
        distances: (M,), Euclidean distances along these at which the class changes, pixels free; NaN where it does not.
        error: the fraction of digits that the process misreads.
        data: the name of the data.
    """

    process: GaussianProcess
    points: Tensor
    second: Tensor
    shape: torch.Size
    vectors: Tensor
    directions: Tensor
    targets: Tensor
    distances: Tensor
    error: float
    data: str

    @property
    def source(self) -> str:
        """``usps`` or ``mnist``: under which name the results are stored."""
        return "usps" if self.data.startswith("USPS") else "mnist"

    @property
    def root(self) -> float:
        """The square root of the number of pixels: a Euclidean length over a root mean square."""
        return self.shape.numel() ** 0.5

    @property
    def summary(self) -> str:
        """Which data this is, and how well and with which kernel the process reads them."""
        what = "USPS" if self.source == "usps" else "MNIST, because usps.npz is not in $INTRIGUING_DATA"
        return (
            f"Data: {what}. {len(self.process.points)} training and {len(self.points)} test digits.\n"
            f"Test error {self.error:.1%}, variance {self.process.amplitude:.0f}, length scale "
            f"{self.process.length:.2f}; the box of all images has the diameter {self.root:.1f}."
        )

    def shown(self, count: int) -> Tensor:
        """Rows of the first digits of each class that are read correctly, (2 * count,), the first class first.

        Raises:
            ValueError: there are not as many.
        """
        right = self.process.second(self.points) == self.second
        rows = [(right & (self.second == own)).nonzero()[:count, 0] for own in (False, True)]
        if min(map(len, rows)) < count:
            raise ValueError(f"got {[len(row) for row in rows]} digits that are read correctly; expected {count} each.")
        return torch.cat(rows)

    def moved(self, rows: Tensor, distances: Tensor) -> Tensor:
        """Digits moved along their directions.

        Args:
            rows: (R,), which digits.
            distances: (R, S) Euclidean, or (S,) for all of them.

        Returns:
            (R, S, n).
        """
        return self.points[rows, None] + distances[..., None] * self.directions[rows, None]


def explain(process: GaussianProcess, digits: Digits, labels: tuple[int, int], count: int) -> Explained:
    """The explanation vectors of test digits, and the walk along them to the other class.

    Args:
        process: trained on the two classes.
        digits: the data.
        labels: of the two classes.
        count: how many test digits of the two, the first ones.
    """
    points, second = (part[:count] for part in two_classes.points(digits.test, *labels))
    found, read = process.gradient(points), process.second(points)
    toward = torch.where(read, -1.0, 1.0).double()
    directions = toward[:, None] * found / found.norm(dim=1, keepdim=True)
    return Explained(
        process=process,
        points=points,
        second=second,
        shape=digits.test.images.shape[1:],
        vectors=found,
        directions=directions,
        targets=(~read).long(),
        distances=gaussian.flip_distance(process.second, points, directions, reach=REACH),
        error=float(((process.probability(points) > 0.5) != second).double().mean()),
        data=digits.name,
    )


@dataclass(frozen=True)
class Walk:
    """Digits of two classes on their way to the other class.

    Attributes:
        vectors: (2, R, height, width), the explanation vectors of R digits of each class.
        pictures: (2, R, S, height, width), each digit at S distances; what lies outside [0, 1] is kept.
        probabilities: (2, R, S), of the second class there.
        distances: (S,), root mean squares per pixel; None where each digit has its own.
        flipped: (S,), how many of the digits are read as the other class there.
    """

    vectors: Tensor
    pictures: Tensor
    probabilities: Tensor
    distances: Tensor | None
    flipped: Tensor

    @property
    def words(self) -> list[str]:
        """The distances as they are written."""
        return [f"{float(distance):.3f}" for distance in self.distances]

    @property
    def descriptions(self) -> list[str]:
        """What is to be seen at each distance, for readers who do not see it."""
        return [
            f"Four twos and four eights after a step of {word} along their explanation vectors; below, the "
            "probability of an eight along the way of each, with this distance marked."
            for word in self.words
        ]

    @property
    def captions(self) -> list[str]:
        """How many digits have changed class at each distance."""
        count = self.pictures.shape[:2].numel()
        return [
            f"moved by {word} per pixel: {int(flipped)} of {count} digits are read as the other class"
            for word, flipped in zip(self.words, self.flipped, strict=True)
        ]


def walk(explained: Explained, fractions: Sequence[float], count: int = 5) -> Walk:
    """Digits moved by fractions of the distance at which their class changes.

    Args:
        explained: the digits.
        fractions: S of them, in [0, inf).
        count: how many digits of each class.
    """
    rows = explained.shown(count)
    distances = torch.tensor(fractions, dtype=torch.float64) * explained.distances[rows, None]
    return _walk(explained, rows, distances, None)


def step_by_step(explained: Explained, steps: int, *, count: int = 4, beyond: float = 1.65) -> Walk:
    """Digits moved together, by equal steps, until all of them are well on the other side.

    Args:
        explained: the digits.
        steps: S, the first of which is none at all.
        count: how many digits of each class.
        beyond: the last distance, over the largest at which one of them changes class.
    """
    rows = explained.shown(count)
    distances = torch.linspace(0, beyond * float(explained.distances[rows].max()), steps, dtype=torch.float64)
    return _walk(explained, rows, distances, distances / explained.root)


def _walk(explained: Explained, rows: Tensor, distances: Tensor, common: Tensor | None) -> Walk:
    moved = explained.moved(rows, distances)  # (2 * R, S, n)
    read = explained.process.second(moved.flatten(0, 1)).view(moved.shape[:2])
    height_width = explained.shape[1:]
    return Walk(
        vectors=explained.vectors[rows].view(2, -1, *height_width),
        pictures=moved.view(2, -1, moved.shape[1], *height_width),
        probabilities=explained.process.probability(moved.flatten(0, 1)).view(2, -1, moved.shape[1]),
        distances=common,
        flipped=(read != explained.second[rows, None]).sum(0),
    )


@dataclass(frozen=True)
class Comparison:
    """Steps along the explanation beside the shortest ones that there are.

    Attributes:
        explained: the digits.
        found: the minimum distortion of each.
        shortest: (M, n), the shortest steps in [0, 1].
        clipped: (M, n), the steps along the explanation, cut to [0, 1]; NaN where the class does not change.
        table: named ``explanation_usps`` or ``explanation_mnist``: per way the fraction of digits whose class changes,
            and over these the mean distortion, the mean angles in degrees, and the mean ratio to the shortest step.
    """

    explained: Explained
    found: Distortion
    shortest: Tensor
    clipped: Tensor
    table: Table

    def pictures(self, count: int) -> Tensor:
        """For a picture: digit, direction, clipped and shortest step, and the adversarial example of some digits.

        Args:
            count: how many digits of each class.

        Returns:
            (2 * count, 5, height, width).
        """
        points, rows = self.explained.points, self.explained.shown(count)
        parts = (points, self.explained.directions, self.clipped, self.shortest, points + self.shortest)
        return torch.stack([part[rows] for part in parts], 1).view(2 * count, 5, *self.explained.shape[1:])

    def step(self, row: int, path: str, length: float) -> tuple[Tensor, str]:
        """One digit moved by a multiple of its way to the boundary.

        Args:
            row: which digit.
            path: ``explanation``, cut to [0, 1], or ``shortest``.
            length: the multiple.

        Returns:
            Digit, whole way and moved digit, (1, 3, height, width), and a sentence about them.
        """
        clean, way = self.explained.points[row], (self.clipped if path == "explanation" else self.shortest)[row]
        picture = (clean + length * way).clamp(0, 1)
        value = float(self.explained.process.probability(picture[None])[0])
        distortion = float(rms(picture[None], clean[None])[0])
        return torch.stack([clean, way, picture]).view(1, 3, *self.explained.shape[1:]), (
            f"Probability of an eight {value:.3f} after {length:g} times the way to the boundary, a distortion of "
            f"{distortion:.4f}."
        )


def compare(explained: Explained) -> Comparison:
    """The way along the explanation, with and without the box, beside the minimum distortion.

    Args:
        explained: the digits.
    """
    points, directions, process = explained.points, explained.directions, explained.process
    found = minimum_distortion(process.logits, points.view(-1, *explained.shape), explained.targets, refine=True)
    shortest = found.images.flatten(1) - points
    reached = gaussian.flip_distance(process.second, points, directions, reach=REACH, clip=True)
    clipped = gaussian.along(points, directions, reached, clip=True) - points

    def summary(step: Tensor) -> list[float]:
        kept = step.isfinite().all(1) & (step.norm(dim=1) > 0)
        size = step[kept].norm(dim=1) / explained.root
        return [
            float(kept.double().mean()),
            float(size.mean()),
            float(two_classes.angles(step[kept], directions[kept]).mean()),
            float(two_classes.angles(step[kept], shortest[kept]).mean()),
            float((size / found.rms[kept]).mean()),
        ]

    rows = {
        "along η, pixels free": summary(explained.distances[:, None] * directions),
        "along η, cut to [0, 1]": summary(clipped),
        "shortest in [0, 1]": summary(shortest),
    }
    columns = list(ALLOWED["explanation"])
    table = Table(f"explanation_{explained.source}", columns, rows, {"data": explained.data})
    return Comparison(explained, found, shortest, clipped, table)


def networks(models: Mapping[str, nn.Module], images: Images, count: int) -> Table:
    """The explanation vectors of networks beside the minimum distortion of the same images.

    Args:
        models: name -> trained network.
        images: clean images.
        count: how many of them, the first ones, are explained and attacked, each for one random wrong class.

    Returns:
        A ``Table`` named ``explanation_networks``: per network the mean angle in degrees between vector and
        perturbation, on all pixels and on those that the box lets follow the vector, two quantiles of the vectors'
        lengths, and the ratio of two quantiles of the distortion.
    """
    attacked = images.take(slice(0, count))
    targets = random_targets(attacked.labels)
    rows = {}
    for name, model in models.items():
        probability = gaussian.class_probability(model, targets)
        vector = gaussian.explanation_vector(probability, attacked.images).flatten(1)
        attack = minimum_distortion(model, attacked.images, targets, refine=True)
        step = (attack.images - attacked.images).flatten(1)
        kept = (attack.rms > 0) & (vector.norm(dim=1) > 0)
        clean = attacked.images.flatten(1)[kept]
        vector, step, size = vector[kept].double(), step[kept].double(), attack.rms[kept]
        # The box alone says which pixels may follow the vector; where the perturbation went is the answer.
        open_pixels = torch.where(torch.where(vector > 0, clean < 1, clean > 0), vector, 0.0)
        lengths = vector.norm(dim=1).log10()
        rows[name] = [
            float(two_classes.angles(vector, step).mean()),
            float(two_classes.angles(open_pixels, step).mean()),
            float(lengths.quantile(0.1)),
            float(lengths.quantile(0.9)),
            float(size.quantile(0.9) / size.quantile(0.1)),
        ]
    return Table("explanation_networks", list(ALLOWED["explanation_networks"]), rows, {"data": attacked.name})


def curved(
    process: GaussianProcess,
    second: Tensor,
    digits: Digits,
    labels: tuple[int, int],
    lengths: Sequence[float],
    count: int,
) -> Table:
    """Processes of prescribed length scales beside the fitted one: how far vector and perturbation part on curved ones.

    Args:
        process: the one whose length scale was fitted; the others have its training points and its variance.
        second: (N,) bool, which of the training points are of the second class.
        digits: the data.
        labels: of the two classes.
        lengths: the length scales.
        count: how many test digits, the first ones.

    Returns:
        A ``Table`` named ``explanation_curved_usps`` or ``_mnist``, one row for each process: its length scale and test
        error, the fraction of digits whose class changes along the vector in the box, the mean angles between vector
        and shortest step without and with the box, the mean ratio of the two lengths, and the mean angles by which the
        vector and the gradient of the latent mean turn between the digit and the end of the shortest step.
    """
    processes = {"fitted": process}
    for length in lengths:
        processes[f"length scale {length:g}"], _ = gaussian.gaussian_process(
            process.points, second, length=length, amplitude=process.amplitude, fixed=True
        )
    rows = {}
    for name, machine in processes.items():
        comparison = compare(explain(machine, digits, labels, count))
        explained = comparison.explained
        frame, ends = comparison.table.to_frame(), explained.points + comparison.shortest
        kept = comparison.found.rms > 0
        turn = two_classes.angles(explained.vectors[kept], machine.gradient(ends[kept]))
        of_mean = turn_of_mean(machine, explained.points[kept], ends[kept])
        cut = frame.loc["along η, cut to [0, 1]"]
        rows[name] = [
            machine.length,
            explained.error,
            float(cut["class changes"]),
            float(frame.loc["along η, pixels free", "angle to the shortest"]),
            float(cut["angle to the shortest"]),
            float(cut["over the shortest"]),
            float(turn.mean()),
            float(of_mean.mean()),
        ]
    name = f"explanation_curved_{explained.source}"
    return Table(name, list(ALLOWED["explanation_curved"]), rows, {"data": digits.name})


def turn_of_mean(process: GaussianProcess, points: Tensor, ends: Tensor) -> Tensor:
    """By how much the gradient of the latent mean turns from some points to others.

    Args:
        process: whose latent mean it is.
        points: (N, n) float64.
        ends: (N, n) float64.

    Returns:
        (N,) angles in degrees.
    """

    def mean(x: Tensor) -> Tensor:
        return process.latent(x)[0]

    return two_classes.angles(*(gaussian.explanation_vector(mean, x) for x in (points, ends)))


def claims(toy: Gaps, comparison: Comparison, networks: Table, curved: Table) -> dict[str, bool]:
    """What the chapter says, each sentence with whether it has come out true.

    Args:
        toy: of :func:`gaps`, for the toy.
        comparison: of :func:`compare`, for the digits.
        networks: of :func:`networks`: a linear network, then a sigmoid one, then one of rectifiers.
        curved: of :func:`curved`, the fitted process first and the most curved one last.
    """
    explained, clipped, frame = comparison.explained, comparison.clipped, comparison.table.to_frame()
    by_autograd = gaussian.explanation_vector(explained.process.probability, explained.points)
    off = (explained.vectors - by_autograd).abs().max()
    nets, bent = networks.to_frame(), curved.to_frame()
    came_out = {
        "On the toy, closed form and autograd agree to 1e-10": toy.autograd < 1e-10,
        "On the toy, closed form and central differences agree to 1e-6": toy.differences < 1e-6,
        "Our probability and scikit-learn's approximation differ by less than 0.001": toy.library < 1e-3,
        "On the digits, closed form and autograd agree to 1e-10": off < 1e-10 * explained.vectors.norm(dim=1).max(),
        "The process reads more than nine test digits in ten correctly": explained.error < 0.1,
        "Every digit changes class along its explanation vector": (
            explained.distances.isfinite().all() and clipped.isfinite().all()
        ),
        "Every digit has a step in the box to the other class": comparison.found.success.all(),
        "No step along the explanation in the box is shorter than the shortest": (
            (clipped.norm(dim=1) / explained.root >= 0.999 * comparison.found.rms).all()
        ),
        "In the box the explanation costs at most a tenth more than the shortest step, in the mean": (
            frame["over the shortest"].iloc[1] < 1.1
        ),
        "Cut to the box, the explanation is closer to the shortest step than before, by half the angle": (
            frame["angle to the shortest"].iloc[1] < 0.5 * frame["angle to the shortest"].iloc[0]
        ),
        "For the networks the lengths of the vectors spread over more than a power of ten": (
            (nets.iloc[:, 3] - nets.iloc[:, 2] > 1).all()
        ),
        "The distances spread over less than a power of ten": (nets.iloc[:, 4] < 10).all(),
        "In the box the vector is closer to the perturbation for the linear network than for the others": (
            nets.iloc[0, 1] < nets.iloc[1:, 1].min()
        ),
        "The fitted length scale exceeds the diameter of the box: the process is nearly linear": (
            bent["length scale"].iloc[0] > explained.root
        ),
        "The shorter the length scale, the larger the angle between vector and shortest step in the box": (
            bent["angle, cut to [0, 1]"].is_monotonic_increasing
        ),
        "At the shortest length scale that angle is more than twice that of the fitted process": (
            bent["angle, cut to [0, 1]"].iloc[-1] > 2 * bent["angle, cut to [0, 1]"].iloc[0]
        ),
        "At the shortest length scale the explanation costs more than a fifth more than the shortest step": (
            bent["over the shortest"].iloc[-1] > 1.2
        ),
        "At the shortest length scale some digits keep their class along their vector": (
            bent["class changes"].iloc[-1] < 1
        ),
    }
    return {claim: bool(holds) for claim, holds in came_out.items()}


def wind(explained: Explained, steps: int) -> float:
    """How many digits change class when the vector is computed anew on the way, over the length of the straight way.

    Args:
        explained: the digits.
        steps: equal steps that the way is taken in.

    Returns:
        The fraction that has changed class.
    """
    here, process = explained.points, explained.process
    sign = torch.where(explained.targets == 1, 1.0, -1.0).double()[:, None]
    for _ in range(steps):
        slope = sign * process.gradient(here)
        here = here + explained.distances[:, None] / steps * slope / slope.norm(dim=1, keepdim=True)
    return float((process.second(here) != process.second(explained.points)).double().mean())
