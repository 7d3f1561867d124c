"""The background of the bounds on small examples: a curve with its cones and chords, and two layers of two units."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

HEIGHT = 0.3
CONSTANT = 2 * math.pi * HEIGHT
"""The Lipschitz constant of :func:`wave`, its steepest slope."""


def wave(x: ArrayLike) -> np.ndarray:
    """The curve 1/2 + 0.3 sin(2 pi x).

    Args:
        x: numbers of any shape.
    """
    return 0.5 + HEIGHT * np.sin(2 * math.pi * np.asarray(x, dtype=float))


def slope(x: ArrayLike) -> np.ndarray:
    """The derivative of :func:`wave`.

    Args:
        x: numbers of any shape.
    """
    return CONSTANT * np.cos(2 * math.pi * np.asarray(x, dtype=float))


def outside(x: ArrayLike, place: float, bound: float) -> np.ndarray:
    """Where :func:`wave` leaves the cone of a bound around one of its points.

    Args:
        x: numbers of any shape.
        place: of the cone's tip.
        bound: slope of the cone's sides, at least 0.

    Returns:
        A mask of the shape of ``x``: True where |f(x) - f(place)| > bound |x - place|.
    """
    x = np.asarray(x, dtype=float)
    return np.abs(wave(x) - wave(place)) > bound * np.abs(x - place) + 1e-12


def parallel(start: float, end: float) -> tuple[float, float]:
    """A chord of :func:`wave` and a place between its ends where the curve has the chord's slope.

    Args:
        start: of the chord.
        end: of the chord, larger than ``start`` and at most 1 further.

    Returns:
        The slope and the place, which the mean value theorem promises.

    Raises:
        ValueError: the ends are in the wrong order or too far apart.
    """
    if not 0 < end - start <= 1:
        raise ValueError(f"expected an end above the start by at most 1, got {start} and {end}")
    steep = float(wave(end) - wave(start)) / (end - start)
    turn = math.acos(max(-1.0, min(1.0, steep / CONSTANT))) / (2 * math.pi)  # cos(2 pi x) has this value at turn, ...
    candidates = [turns + sign * turn for turns in range(math.floor(start) - 1, math.ceil(end) + 2) for sign in (1, -1)]
    return steep, min(candidates, key=lambda x: abs(x - (start + end) / 2))


def layers(angle: float, long: float = 2.0, short: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices that stretch one direction and squeeze the other, turned against each other.

    Args:
        angle: between the direction that comes out of the first layer longest and the one that the second stretches
            most, in degrees.
        long: the larger singular value of both.
        short: the smaller one.

    Returns:
        The first and the second matrix, (2, 2) each.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    diagonal = np.diag([long, short])
    return diagonal, diagonal @ np.array([[cos, sin], [-sin, cos]])
