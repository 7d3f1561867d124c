"""The pictures of the chapter on tilting: what is drawn where, and that pages of one slider line up."""

from __future__ import annotations

import numpy as np
import pytest

from intriguing.book import sliders
from intriguing.book.plots import Figure
from intriguing.chapters.tilting import pictures
from intriguing.chapters.tilting.geometry import View
from intriguing.chapters.tilting.study import Page, Turned

CHANCE = np.random.default_rng(0)
POINTS, SECOND = CHANCE.normal(size=(40, 2)), np.arange(40) % 2 == 0


def _view(line: tuple[float, float, float], angle: float) -> View:
    return View(plane=None, points=POINTS, second=SECOND, line=line, angle=angle, half=1.5)


def test_plane_cut_by_hand() -> None:
    square = pictures._cut(np.array([1.0, 0.0, 0.0]), -0.5, 2.0)
    assert sorted(map(tuple, np.round(square, 9))) == [(0.5, y, z) for y in (-2.0, 2.0) for z in (-2.0, 2.0)]
    # In order around the polygon: neighbours are the four sides, of length 4.
    assert np.allclose(np.linalg.norm(square - np.roll(square, 1, 0), axis=1), 4)
    hexagon = pictures._cut(np.ones(3) / 3**0.5, 0.0, 1.0)
    assert np.allclose(np.linalg.norm(hexagon - np.roll(hexagon, 1, 0), axis=1), 2**0.5) and len(hexagon) == 6
    assert len(pictures._cut(np.array([0.0, 0.0, 1.0]), -9.0, 1.0)) == 0


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


def _page(place: int, angle: float) -> Figure:
    lean = np.radians(angle)
    view = _view((np.cos(lean), np.sin(lean), 0.0), angle)
    page = Page(
        view, ("2", "3"), CHANCE.normal(size=(2, 2, 2)), CHANCE.uniform(size=(2, 2, 28, 28)),
        [0, 40, 80], [0.3, 0.2, 0.1], [0.2, 0.1, 0.15], place,
    )  # fmt: skip
    return pictures.tilting_page(page, reach=6.0)


def test_pages_of_one_slider_line_up() -> None:
    one, other = _page(0, 2.0), _page(2, 80.0)
    for first, second in zip(one.axes, other.axes, strict=True):
        assert first.get_position(original=True).bounds == second.get_position(original=True).bounds
        assert first.get_xlim() == second.get_xlim()
    marked = [[line.get_xdata().item() for line in figure.axes[-1].lines[2:]] for figure in (one, other)]
    assert marked == [[0, 0], [80, 80]]
    assert sliders.small_png(one) != sliders.small_png(other)


def test_turning_boundary_keeps_its_frame() -> None:
    turned = Turned(CHANCE.normal(size=(40, 3)), SECOND, np.array([1.0, 0, 0]), 0.0, 0.0)
    figures = [pictures.turning(turned, azimuth=azimuth, reach=3.0) for azimuth in (-60, 0)]
    assert [figure.axes[0].azim for figure in figures] == [-60, 0]
    assert all(figure.axes[0].get_zlim() == (-3, 3) for figure in figures)


def test_law_and_clouds_draw_the_diagonal() -> None:
    law = pictures.law(np.full((3, 2), 0.5), {"a": np.ones((3, 2)), "b": np.ones((3, 2))}, ylabel="ratio")
    clouds = pictures.clouds({"net": ([0.1, 0.2], [0.1, 0.3])}, xlabel="x", ylabel="y")
    for axes in (*law.axes, clouds.axes[0]):
        diagonal = [line for line in axes.lines if type(line).__name__ == "AxLine"][0]
        assert diagonal.get_xy1() == (0, 0) and diagonal.get_slope() == 1
    assert len(clouds.axes) == 1


def test_toy_panels_and_trio_have_their_titles() -> None:
    toy = pictures.toy_panels({"2-D": (POINTS * 0.1, SECOND, (0.6, 0.8, 0.0))})
    assert toy.axes[0].get_title() == "2-D"
    trio = pictures.trio(np.zeros((4, 4)), np.eye(4), ("one", "two", "three"))
    assert [axes.get_title() for axes in trio.axes] == ["one", "two", "three"]
    assert float(trio.axes[1].images[0].get_array().max()) == 1.0
