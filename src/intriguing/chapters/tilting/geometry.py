"""Boundary tilting: how a linear boundary leans away from the bisector of two classes, and what that costs.

The nearest-centroid classifier of two classes has its boundary half way between their means, at right angles to the
line that joins them, whose unit vector is z. Any other linear boundary is tilted against it by the angle between its
weight vector w and z. The plane that z and w span, the tilting plane, shows data and boundary at once, whatever the
number of pixels: a boundary that is a line there cuts the picture where it cuts pixel space.

All points are flat: (N, n) float64, one row for each image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intriguing.attack.perturbations import value_and_gradient
from intriguing.book import two_classes
from intriguing.book.two_classes import angles


@dataclass(frozen=True)
class Boundary:
    """A linear classifier of two classes, the second one where weight . x + bias > 0.

    Attributes:
        weight: (n,) float64.
        bias: the number added to weight . x.
    """

    weight: Tensor
    bias: float

    def score(self, points: Tensor) -> Tensor:
        """weight . x + bias, (N,), of points (N, n)."""
        return points @ self.weight + self.bias


@dataclass(frozen=True)
class Plane:
    """The tilting plane of a boundary.

    Attributes:
        origin: (n,), the point with coordinates (0, 0): half way between the two means.
        z: (n,), unit vector from the mean of the first class to that of the second.
        n: (n,), unit vector at right angles to z, on the side of the weight vector.
    """

    origin: Tensor
    z: Tensor
    n: Tensor


def nearest_centroid(points: Tensor, second: Tensor) -> Boundary:
    """The classifier that asks which of the two class means is nearer; its weight is the unit vector z.

    Args:
        points: (N, n).
        second: (N,) bool, which points are of the second class.

    Returns:
        A ``Boundary`` of unit weight, so that its score is a distance.

    Raises:
        ValueError: a class is empty, or the two means coincide.

    Source:
        Tanay and Griffin 2016, section 3; the text of 2018 calls its weight the vector through the centroids.
    """
    two_classes.check_second(second, points)
    means = two_classes.means(points, second)
    step = means[1] - means[0]
    if not bool(step.norm() > 0):
        raise ValueError("got two classes with one and the same mean; there is no direction between them.")
    z = step / step.norm()
    return Boundary(z, -float(z @ (means[0] + means[1]) / 2))


def tilting_angle(weight: Tensor, z: Tensor) -> float:
    """The angle between two directions, in degrees from 0 to 180.

    Args:
        weight: (n,), not zero.
        z: (n,), not zero.

    Source:
        Tanay and Griffin 2016, section 3, the deviation angle.
    """
    return float(angles(weight[None], z[None])[0])


def tilting_plane(boundary: Boundary, points: Tensor, second: Tensor) -> Plane:
    """The plane of z and the weight vector, with an orthonormal basis by the Gram-Schmidt process.

    Args:
        boundary: the classifier.
        points: (N, n), whose class means give z.
        second: (N,) bool.

    Returns:
        A ``Plane``. Where the weight is parallel to z every direction at right angles to z would do; it is then the
        coordinate axis that is furthest from z, made orthogonal to it.

    Raises:
        ValueError: as for :func:`nearest_centroid`.

    Source:
        Tanay 2018, the formula for n below Figure 4.
    """
    bisector = nearest_centroid(points, second)
    z = bisector.weight
    weight = boundary.weight / boundary.weight.norm()
    rest = weight - (weight @ z) * z
    rest = rest - (rest @ z) * z  # once more: what rounding left of z is large when the two are nearly parallel
    if float(rest.norm()) < 1e-12:
        rest = torch.zeros_like(z)
        rest[z.abs().argmin()] = 1.0
        rest = rest - (rest @ z) * z
    return Plane(two_classes.middle(points, second), z, rest / rest.norm())


def coordinates(points: Tensor, plane: Plane) -> Tensor:
    """Orthogonal projection onto a plane: how far along z and along n, (N, 2)."""
    return (points - plane.origin) @ torch.stack([plane.z, plane.n], 1)


def boundary_line(boundary: Boundary, plane: Plane) -> tuple[float, float, float]:
    """The line in which a boundary meets a plane.

    Args:
        boundary: the classifier.
        plane: the plane.

    Returns:
        Numbers (a, b, c) with a * u + b * v + c = 0 on the line, (u, v) the plane's coordinates, a^2 + b^2 = 1. In the
        tilting plane of the boundary itself a u + b v + c is the signed distance of every point of pixel space.
    """
    a, b = float(boundary.weight @ plane.z), float(boundary.weight @ plane.n)
    c = float(boundary.weight @ plane.origin) + boundary.bias
    size = (a * a + b * b) ** 0.5
    return a / size, b / size, c / size


@dataclass(frozen=True)
class View:
    """Two classes and a boundary as they appear in the boundary's tilting plane.

    Attributes:
        plane: the plane.
        points: (N, 2), coordinates along z and along n.
        second: (N,) bool.
        line: (a, b, c) of :func:`boundary_line`.
        angle: the tilting angle in degrees.
        half: half the distance between the two class means, which lie at (-half, 0) and (half, 0).
    """

    plane: Plane
    points: Tensor
    second: Tensor
    line: tuple[float, float, float]
    angle: float
    half: float


def view(boundary: Boundary, points: Tensor, second: Tensor, *, shown: int) -> View:
    """What a picture of the tilting plane shows.

    Args:
        boundary: the classifier.
        points: (N, n), whose class means give z.
        second: (N,) bool.
        shown: how many of the points, the first ones, are projected.

    Returns:
        A ``View``.

    Raises:
        ValueError: as for :func:`nearest_centroid`.
    """
    plane = tilting_plane(boundary, points, second)
    return View(
        plane=plane,
        points=coordinates(points[:shown], plane),
        second=second[:shown],
        line=boundary_line(boundary, plane),
        angle=tilting_angle(boundary.weight, plane.z),
        half=two_classes.half_distance(points, second),
    )


def signed_distance(points: Tensor, boundary: Boundary) -> Tensor:
    """Euclidean distance to the boundary, (N,), positive on the side of the second class."""
    return boundary.score(points) / boundary.weight.norm()


def error(boundary: Boundary, points: Tensor, second: Tensor) -> float:
    """Fraction of points on the wrong side.

    Args:
        boundary: the classifier.
        points: (N, n).
        second: (N,) bool.

    Raises:
        TypeError: as for :func:`intriguing.book.two_classes.check_second`.
        ValueError: likewise.
    """
    two_classes.check_second(second, points)
    return float(((boundary.score(points) > 0) != second).double().mean())


def bisecting_law(boundary: Boundary, points: Tensor, second: Tensor) -> float:
    """Half the distance between the two class means, times the cosine of the tilting angle.

    It equals the mean signed distance of a class to the boundary, positive on its own side, averaged over the two
    classes, on any data and for any bias: of all a linear boundary can do to that distance, it can only tilt.

    Args:
        boundary: the classifier.
        points: (N, n).
        second: (N,) bool.

    Returns:
        A Euclidean distance, negative where the boundary calls the classes by each other's names.
    """
    two_classes.check_second(second, points)
    first_mean, second_mean = two_classes.means(points, second)
    return float((second_mean - first_mean) @ boundary.weight / boundary.weight.norm() / 2)


def cross(points: Tensor, boundary: Boundary, *, beyond: float = 1e-6) -> Tensor:
    """The closest points on the other side of the boundary, pixels free to take any value: the closed form.

    Args:
        points: (N, n).
        boundary: the classifier.
        beyond: Euclidean distance behind the boundary at which the new points lie.

    Returns:
        (N, n): x - (d + sign(d) * beyond) w / |w|, with d the signed distance of x.

    Source:
        Tanay and Griffin 2016, section 3.
    """
    distance = signed_distance(points, boundary)
    unit = boundary.weight / boundary.weight.norm()
    return points - (distance + _side(distance) * beyond)[:, None] * unit


def cross_in_box(
    points: Tensor, boundary: Boundary, lower: float = 0.0, upper: float = 1.0, *, beyond: float = 1e-6
) -> tuple[Tensor, Tensor]:
    """The closest points on the other side of the boundary with every pixel in its range, exactly, without iteration.

    The optimum is clip(x + y a) with a the unit vector towards the boundary and one number y >= 0. What that gains
    along a is a concave, piecewise linear function of y, whose kinks are where a pixel meets its bound: sorted, they
    tell between which two of them the boundary is met.

    Args:
        points: (N, n) in [lower, upper].
        boundary: the classifier.
        lower: the least value of a pixel.
        upper: the greatest one.
        beyond: as for :func:`cross`.

    Returns:
        points (N, n) and success (N,) bool: False where no picture lies on the other side; the point is then the
        nearest one of those closest to it.

    Source:
        Szegedy et al. 2013, section 4.1, for a linear classifier of two classes.
    """
    distance = signed_distance(points, boundary)
    toward = -_side(distance)[:, None] * (boundary.weight / boundary.weight.norm())  # (N, n)
    return _advance(points, toward, distance.abs() + beyond, lower, upper)


def logit_model(boundary: Boundary, shape: tuple[int, ...]) -> nn.Module:
    """The classifier as a network with two logits, minus and plus half the score, for the search of the book.

    Args:
        boundary: the classifier.
        shape: of one image, without the batch.

    Returns:
        A module: images (B, *shape) -> logits (B, 2), float64.
    """
    linear = nn.Linear(len(boundary.weight), 2).double()
    with torch.no_grad():
        linear.weight.copy_(torch.stack([-boundary.weight, boundary.weight]) / 2)
        linear.bias.copy_(torch.tensor([-boundary.bias, boundary.bias]) / 2)
    if linear.in_features != torch.Size(shape).numel():
        raise ValueError(f"got {linear.in_features} weights for images of shape {shape}; expected one for each pixel.")
    return nn.Sequential(nn.Flatten(), linear).requires_grad_(False).eval()


@dataclass(frozen=True)
class Toy:
    """Two bars of points, alike in every dimension.

    Attributes:
        points: (N, n).
        second: (N,) bool.
        z: (n,), unit vector between the classes.
        along: (n,), unit vector along the bars.
    """

    points: Tensor
    second: Tensor
    z: Tensor
    along: Tensor


def toy(
    dimension: int,
    *,
    count: int = 200,
    gap: float = 1.0,
    length: float = 0.2,
    stray: float | None = None,
    seed: int = 0,
) -> Toy:
    """Classes I and J: two thin parallel bars, facing each other, in any number of dimensions.

    Args:
        dimension: at least 2. In 2 dimensions z and the bars lie along the axes; in more they point in random
            directions, so that each coordinate takes part in both.
        count: points of each class.
        gap: distance between the bars.
        length: of a bar, at right angles to z.
        stray: adds one point to each class, as far as this beyond the middle, I's above one end of the bars and J's
            below the other, so that only a tilted boundary separates all points; None adds none.
        seed: of the directions.

    Returns:
        A ``Toy``, with its mean at the origin.

    Raises:
        ValueError: fewer than two dimensions.

    Source:
        Tanay 2018, Figures 3 and 4; of the numbers behind its figures the text gives those of the dimensions alone, 2
        and 785.
    """
    if dimension < 2:
        raise ValueError(f"got {dimension} dimensions; expected at least 2.")
    basis = torch.eye(2, dtype=torch.float64)
    if dimension > 2:
        generator = torch.Generator().manual_seed(seed)
        basis = torch.linalg.qr(torch.randn(dimension, 2, generator=generator, dtype=torch.float64)).Q.T
    z, along = basis
    place = torch.linspace(-length / 2, length / 2, count, dtype=torch.float64).repeat(2)
    second = torch.arange(2 * count) >= count
    across = torch.where(second, gap / 2, -gap / 2).double()
    if stray is not None:
        place = torch.cat([place, place.new_tensor([length / 2, -length / 2])])
        across = torch.cat([across, across.new_tensor([stray, -stray])])
        second = torch.cat([second, torch.tensor([False, True])])
    return Toy(across[:, None] * z + place[:, None] * along, second, z, along)


def tilted(z: Tensor, along: Tensor, degrees: float) -> Boundary:
    """The boundary through the origin whose weight is z turned towards another direction.

    Args:
        z: (n,), unit vector.
        along: (n,), unit vector at right angles to z.
        degrees: the tilting angle.
    """
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return Boundary(torch.cos(angle) * z + torch.sin(angle) * along, 0.0)


@dataclass(frozen=True)
class LocalTilting:
    """The tilting of a network around single images, one entry per image.

    Attributes:
        angle: (B,), degrees between z of the image's class and its target, and the gradient of the difference of their
            logits at the image.
        angle_at_boundary: (B,), the same where the search met the boundary.
        turn: (B,), degrees between these two gradients: 0 for a linear network.
        predicted: (B,), root mean square of the step in the box that the linearisation at the image asks for; NaN where
            it finds no picture of the target.
        gradient: (B, n), the gradient at the image.
    """

    angle: Tensor
    angle_at_boundary: Tensor
    turn: Tensor
    predicted: Tensor
    gradient: Tensor


def local_tilting(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    targets: Tensor,
    adversarial: Tensor,
    means: Tensor,
) -> LocalTilting:
    """How a network's boundary between two classes leans around each image.

    Args:
        model: images (B, *shape) -> logits (B, k), differentiable.
        images: (B, *shape) in [0, 1].
        labels: (B,) long, the classes to leave.
        targets: (B,) long, the classes to reach.
        adversarial: (B, *shape), images on the other side.
        means: (k, n), the mean image of each class.

    Returns:
        A ``LocalTilting``.
    """
    z = (means[targets] - means[labels]).double()
    lead, gradient = _lead(model, images, labels, targets)
    _, there = _lead(model, adversarial, labels, targets)
    points = images.flatten(1).double()
    size = gradient.norm(dim=1)
    # Each image has a linear boundary of its own: lead + gradient . (x' - x) = 0.
    closest, reached = _advance(points, gradient / size[:, None], -lead / size, 0.0, 1.0)
    predicted = (closest - points).square().mean(1).sqrt()
    predicted = torch.where(reached, predicted, torch.nan)
    return LocalTilting(angles(gradient, z), angles(there, z), angles(gradient, there), predicted, gradient)


def alignment(gradients: Tensor, groups: Tensor) -> float:
    """How far the gradients of one group point the same way: the mean cosine over all pairs of different images.

    Args:
        gradients: (B, n).
        groups: (B,) long; only pairs within a group count.

    Returns:
        1 for a linear network, whose gradient does not depend on the image.
    """
    unit = gradients / gradients.norm(dim=1, keepdim=True)
    total, pairs = 0.0, 0
    for group in groups.unique():
        part = unit[groups == group]
        total += float(part.sum(0).square().sum()) - len(part)
        pairs += len(part) * (len(part) - 1)
    return total / pairs if pairs else float("nan")


def _side(distance: Tensor) -> Tensor:
    """1 or -1, never 0: a point on the boundary counts as one of the first class."""
    return torch.where(distance > 0, 1.0, -1.0).to(distance.dtype)


def _advance(points: Tensor, toward: Tensor, wanted: Tensor, lower: float, upper: float) -> tuple[Tensor, Tensor]:
    """clip(x + y a) with the y >= 0 at which a . (clip(x + y a) - x) reaches what is wanted, per row.

    What is gained is a piecewise linear function of y, whose kinks are where a pixel meets its bound.
    """
    bound = torch.where(toward > 0, upper, lower)
    kinks = torch.where(toward == 0, 0.0, (bound - points) / torch.where(toward == 0, 1.0, toward))  # y where it stops
    kinks, order = kinks.sort(1)  # a pixel that the weight leaves alone stops at once and gains nothing
    square = toward.square().gather(1, order)
    stopped = (square * kinks).cumsum(1) - square * kinks  # gained by the pixels that have stopped before
    slope = square.flip(1).cumsum(1).flip(1)  # gained per unit of y by those that move, this one included
    at_kink = stopped + slope * kinks
    place = torch.searchsorted(at_kink, wanted[:, None])  # (N, 1)
    reached = place[:, 0] < points.shape[1]
    place = place.clamp(max=points.shape[1] - 1)
    y = (wanted[:, None] - stopped.gather(1, place)) / slope.gather(1, place)
    y = torch.where(reached[:, None], y, kinks[:, -1:]).clamp(min=0)
    return (points + y * toward).clamp(lower, upper), reached


def _lead(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logit of the target minus that of the label, (B,), and its gradient, (B, n), both float64."""

    def lead(images: Tensor) -> Tensor:
        logits = model(images)
        return (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None]))[:, 0]

    value, gradient = value_and_gradient(lead, images)
    return value.double(), gradient.flatten(1).double()
