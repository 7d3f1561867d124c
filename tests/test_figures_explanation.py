"""The pictures of the chapter on explanation vectors: what is drawn where."""

from __future__ import annotations

import numpy as np

from intriguing.chapters.explanation import pictures
from intriguing.chapters.explanation.study import Walk

CHANCE = np.random.default_rng(0)
POINTS, SECOND = CHANCE.normal(size=(40, 2)), np.arange(40) % 2 == 0


def _walk(probabilities: np.ndarray) -> Walk:
    """Two digits of each class, at steps of 0.1."""
    steps = probabilities.shape[2]
    pictures = CHANCE.uniform(size=(2, 2, steps, 8, 8))
    return Walk(CHANCE.normal(size=(2, 2, 8, 8)), pictures, probabilities, np.arange(steps) / 10, np.zeros(steps))


def test_four_panels_show_vectors_and_their_directions() -> None:
    places, vectors = CHANCE.uniform(size=(5, 2)), CHANCE.normal(size=(5, 2))
    grid = np.add.outer(np.zeros(9), np.linspace(0, 1, 9))
    figure = pictures.four_panels(POINTS, SECOND, [(0, 0), (1, 0), (0, 1)], grid, places, vectors)
    arrows, directions = (axes.collections[-1] for axes in figure.axes[2:])
    assert np.allclose(np.stack([arrows.U, arrows.V], 1), vectors)
    assert np.allclose(np.hypot(directions.U, directions.V), 1)


def test_walk_writes_a_probability_below_each_picture() -> None:
    figure = pictures.walk(_walk(np.linspace(0, 1, 12).reshape(2, 2, 3)), titles=("twos", "eights"))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("twos") == 1 and sorted(words)[:2] == ["0.00", "0.09"] and len(words) == 14


def test_walk_page_marks_its_distance() -> None:
    curves = np.linspace(0, 1, 16).reshape(2, 2, 4)
    figure = pictures.walk_page(_walk(curves), 2, names=("2", "8"))
    assert figure.axes[-1].lines[-1].get_xdata() == [0.2, 0.2]
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        f"{'8' if value > 0.5 else '2'}  ({value:.2f})" for value in curves[:, :, 2].ravel()
    ]


def test_compared_keeps_digits_grey_and_patterns_coloured() -> None:
    rows = np.zeros((1, 3, 8, 8))
    rows[0, 1, 4, 4] = 1.0
    picture = pictures.compared(rows, ("digit", "way", "sum")).axes[0].images[0].get_array()
    assert np.all(picture[:8, :8] == 0) and np.all(picture[:8, -8:] == 0)
    red, green, blue = picture[4, 10 + 4]
    assert red > green > blue
