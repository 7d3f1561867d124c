"""The background of the bounds on small examples: a curve with its cones and chords, two layers of two units, and
convolutions of a few weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from intriguing.book import sliders
from intriguing.chapters.spectral import pictures
from intriguing.lipschitz import norms

HEIGHT = 0.3
CONSTANT = 2 * math.pi * HEIGHT
"""The Lipschitz constant of :func:`wave`, its steepest slope."""

X = np.linspace(0, 1, 401)  # where the curve is drawn
LIGHT = {"dpi": 90, "colours": 48}  # of pictures made of a few lines


def wave(x: ArrayLike) -> np.ndarray:
    """The curve 1/2 + 0.3 sin(2 pi x).

    Args:
        x: numbers of any shape.
    """
    return 0.5 + HEIGHT * np.sin(2 * math.pi * np.asarray(x, dtype=float))


def outside(x: ArrayLike, place: float, bound: float) -> np.ndarray:
    """Where :func:`wave` leaves the cone of a bound around one of its points.

    Args:
        x: numbers of any shape.
        place: of the cone's tip.
        bound: slope of the cone's sides, at least 0.

    Returns:
        A mask of the shape of ``x``: True where |f(x) - f(place)| > bound |x - place|, by more than rounding.
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
        raise ValueError(f"got start {start} and end {end}; expected an end above the start by at most 1.")
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


def separable(row: Sequence[float]) -> Tensor:
    """The outer product of a row with itself, as a convolution of one channel.

    Args:
        row: n weights.

    Returns:
        (1, 1, n, n) float32.
    """
    row = torch.tensor(row, dtype=torch.float32)
    return (row[:, None] * row)[None, None]


def one_weight(strides: Sequence[int], size: int = 8) -> pd.DataFrame:
    """The norm of a single weight equal to 1 at several strides, and what formula (1) makes of it.

    Args:
        strides: at least 1 each.
        size: height and width of the image, and frequencies in each direction.

    Returns:
        A row for each ``stride``: ``true norm``, ``factor as printed`` and ``corrected``.

    Source:
        Szegedy et al. 2013, section 4.3, equation (1).
    """
    one = torch.ones(1, 1, 1, 1)
    rows = {
        stride: [
            norms.conv_norm(one, stride=stride, input_size=size, bound="zero-padded"),
            float(norms.formula_one(one, stride=stride, points=size, corrected=False).max()),
            float(norms.formula_one(one, stride=stride, points=size).max()),
        ]
        for stride in strides
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["true norm", "factor as printed", "corrected"])
    return frame.rename_axis(index="stride")


def cones(places: Sequence[float], bounds: Sequence[float]) -> sliders.Pages:
    """The wave with a cone that a reader moves along it, for several bounds.

    Args:
        places: of the cone's tip, from 0 to 1.
        bounds: slopes of its sides, at least 0.
    """
    choices = {"stand at x =": places, "L =": bounds}
    drawn, captions = [], []
    for place, bound in sliders.positions(choices):
        beyond = outside(X, place, bound)
        drawn.append(pictures.cone(X, wave(X), place, bound, beyond))
        captions.append(f"{beyond.mean():.0%} of the curve lies outside the cone of slope {bound} at {place}.")
    return _pages(drawn, choices, captions, "A wave and a shaded double cone with its tip on it.")


def chords(start: float, ends: Sequence[float]) -> sliders.Pages:
    """The wave with a chord that a reader lengthens, and the tangent that is parallel to it.

    Args:
        start: of the chord, at least 0.
        ends: above ``start``, at most 1.
    """
    choices = {"the chord ends at x =": ends}
    drawn, captions = [], []
    for (end,) in sliders.positions(choices):
        steep, place = parallel(start, end)
        drawn.append(pictures.chord(X, wave(X), (start, end), place, steep, CONSTANT))
        captions.append(
            f"The chord from {start} to {end} has slope {steep:.2f}; so has the curve at {place:.2f}. "
            f"The steepest slope is {CONSTANT:.2f}."
        )
    return _pages(drawn, choices, captions, "A wave with a chord and a parallel tangent.")


def turned(angles: Sequence[float]) -> sliders.Pages:
    """Two layers of norm 2, the second of which a reader turns.

    Args:
        angles: as for :func:`layers`.
    """
    choices = {"turned by, in degrees": angles}
    drawn, captions = [], []
    for (angle,) in sliders.positions(choices):
        first, second = layers(angle)
        drawn.append(pictures.two_layers(first, second))
        captions.append(
            f"Product of the norms {np.linalg.norm(first, 2) * np.linalg.norm(second, 2):.2f}, "
            f"norm of the product {np.linalg.norm(second @ first, 2):.2f}."
        )
    return _pages(drawn, choices, captions, "A circle, an ellipse and another ellipse in larger dashed circles.")


def _pages(drawn: list, choices: dict, captions: list[str], seen: str) -> sliders.Pages:
    """The pictures behind sliders; who does not see them is told what is ``seen``, and the numbers."""
    return sliders.pages(drawn, choices, [f"{seen} {text}" for text in captions], captions=captions, **LIGHT)
