"""The pictures of the chapter on tilting: what is drawn where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from intriguing.chapters.tilting import pictures
from intriguing.chapters.tilting.geometry import View

CHANCE = np.random.default_rng(0)
POINTS, SECOND = CHANCE.normal(size=(40, 2)), np.arange(40) % 2 == 0


def _view(line: tuple[float, float, float], angle: float) -> View:
    return View(plane=None, points=POINTS, second=SECOND, line=line, angle=angle, half=1.5)


@pytest.mark.parametrize("line", [(1.0, 0.0, 0.0), (0.6, 0.8, -0.5), (0.0, 1.0, 0.3)])
def test_boundary_is_drawn_where_it_is(line: tuple[float, float, float]) -> None:
    figure = pictures.plane(_view(line, 30.0), names=("2", "3"))
    a, b, c = line
    axes = figure.axes[0]
    drawn = [artist for artist in axes.lines if type(artist).__name__ == "AxLine"][0]
    for x, y in (drawn.get_xy1(), drawn.get_xy2()):
        assert a * x + b * y + c == pytest.approx(0, abs=1e-12)
    # The wash behind: the pixels on either side carry the colour of their side.
    image = axes.images[0]
    left, right, bottom, top = image.get_extent()
    side = image.get_array()
    rows, columns = side.shape
    for row, column in ((0, 0), (0, columns - 1), (rows - 1, 0), (rows // 3, columns // 2)):
        x = left + (right - left) * column / (columns - 1)
        y = bottom + (top - bottom) * row / (rows - 1)
        assert bool(side[row, column]) == (a * x + b * y + c > 0)
    assert {text.get_text() for text in axes.texts} >= {"2", "3", "30°"}


def test_law_and_clouds_draw_the_diagonal() -> None:
    law = pictures.law(np.full((3, 2), 0.5), {"a": np.ones((3, 2)), "b": np.ones((3, 2))}, ylabel="ratio")
    clouds = pictures.clouds({"net": ([0.1, 0.2], [0.1, 0.3])}, xlabel="x", ylabel="y")
    for axes in (*law.axes, clouds.axes[0]):
        diagonal = [line for line in axes.lines if type(line).__name__ == "AxLine"][0]
        assert diagonal.get_xy1() == (0, 0) and diagonal.get_slope() == 1
    assert len(clouds.axes) == 1


def test_toy_and_trio_have_their_titles() -> None:
    toy = pictures.toy_panels({"2-D": (POINTS * 0.1, SECOND, (0.6, 0.8, 0.0))})
    assert toy.axes[0].get_title() == "2-D"
    sheet = {"a point of I": np.ones(4), "tilted: weight": np.arange(4.0)}
    sheets = pictures.toy_sheets({4: sheet, 2: {title: value[:2] for title, value in sheet.items()}})
    assert [axes.get_title() for axes in sheets.axes] == ["a point of I", "tilted:\nweight", "", ""]
    assert [axes.images[0].get_array().shape for axes in sheets.axes] == [(2, 2), (2, 2), (1, 2), (1, 2)]
    trio = pictures.trio(np.zeros((4, 4)), np.eye(4), ("one", "two", "three"))
    assert [axes.get_title() for axes in trio.axes] == ["one", "two", "three"]
    assert float(trio.axes[1].images[0].get_array().max()) == 1.0


def test_splits_mark_the_least_held_out_error() -> None:
    frame = pd.DataFrame(
        {"angle": [1, 40, 70], "shared": [1, 30, 50], "training": [0.3, 0.1, 0], "error": [0.3, 0.1, 0.2]}
    )
    figure = pictures.splits({"10 images": frame})
    assert [line.get_xdata()[0] for axes in figure.axes for line in axes.lines if line.get_linestyle() == ":"] == [
        40,
        40,
    ]
    assert figure.axes[0].get_title() == "10 images"
