"""Two classes of images as points in pixel space: the sets, their means, and the angles between directions.

All points are flat: (N, n) float64, one row for each image. Beside them goes ``second``, (N,) bool: which of them are
of the second class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from intriguing.data import Images


def points(images: Images, first: int, second: int, *, at_most: int | None = None) -> tuple[Tensor, Tensor]:
    """The images of two classes as points, in the order of the file, and which of them are of the second class.

    Args:
        images: labelled images, pixels in [0, 1].
        first: a label.
        second: another one.
        at_most: of each class so many images, the first ones; None takes all.

    Returns:
        points (N, n) float64 and second (N,) bool.

    Raises:
        ValueError: the labels are equal, or a class has no image.
    """
    if first == second:
        raise ValueError(f"got the class {first} twice; expected two different labels.")
    places = [(images.labels == label).nonzero()[:at_most, 0] for label in (first, second)]
    if not all(map(len, places)):
        counts = list(map(len, places))
        raise ValueError(f"got {counts} images of the classes {first} and {second}; expected some of each.")
    kept = torch.cat(places).sort().values
    return images.images[kept].flatten(1).double(), images.labels[kept] == second


def means(points: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the first class and the mean of the second, each (n,).

    Raises:
        ValueError: a class is empty.
    """
    check_both(second)
    return points[~second].mean(0), points[second].mean(0)


def middle(points: Tensor, second: Tensor) -> Tensor:
    """The point half way between the two means, (n,)."""
    first_mean, second_mean = means(points, second)
    return (first_mean + second_mean) / 2


def half_distance(points: Tensor, second: Tensor) -> float:
    """Half the Euclidean distance between the two means: how far each lies from the bisector."""
    check_second(second, points)
    first_mean, second_mean = means(points, second)
    return float((second_mean - first_mean).norm()) / 2


def check_second(second: Tensor, points: Tensor) -> None:
    """Raises an error unless there is one truth value for each point.

    Args:
        second: (N,) bool.
        points: (N, n).

    Raises:
        TypeError: they are no truth values, but for instance positions.
        ValueError: there are not as many as points.
    """
    if second.dtype != torch.bool:
        raise TypeError(f"got the second class as {second.dtype}; expected bool; compare the labels with a class.")
    if points.ndim != 2 or second.shape != points.shape[:1]:
        raise ValueError(
            f"got points of shape {tuple(points.shape)} and a second class of {tuple(second.shape)}; expected (N, n) "
            "and (N,); give one truth value for each point."
        )


def check_both(second: Tensor) -> None:
    """Raises an error unless there are points of both classes.

    Args:
        second: (N,) bool.

    Raises:
        ValueError: a class is empty.
    """
    if not bool(second.any()) or bool(second.all()):
        raise ValueError(f"got {int(second.sum())} of {len(second)} points in the second class; expected both classes.")


def angles(one: Tensor, other: Tensor) -> Tensor:
    """Degrees between the rows of two matrices (N, n), none of them zero; (N,), from 0 to 180."""
    one, other = one / one.norm(dim=1, keepdim=True), other / other.norm(dim=1, keepdim=True)
    # The arc cosine loses half the digits near 0; these two chords do not.
    return torch.rad2deg(2 * torch.atan2((one - other).norm(dim=1), (one + other).norm(dim=1)))
