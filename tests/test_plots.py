"""The pictures: what they show, how they refuse, and that they leave matplotlib's settings alone."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from intriguing.book import paper, plots


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def pixels(figure: plots.Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(figure.png())).convert("RGB"))


def words(figure: plots.Figure) -> list[str]:
    axes = figure.axes
    return [text.get_text() for one in axes for text in one.texts] + [one.get_title() for one in axes]


def mosaic(figure: plots.Figure, panel: int = 0) -> np.ndarray:
    """The picture of a panel without its white ground: grey values, (rows, columns)."""
    return np.asarray(figure.axes[panel].images[0].get_array())[..., 0]


def test_the_style_is_the_book_s_only_while_drawing(images):
    before = dict(matplotlib.rcParams)
    figure = plots.digits(images)
    assert dict(matplotlib.rcParams) == before
    assert figure.dpi == 200
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_same_picture_makes_the_same_file(images):
    assert plots.digits(images).png() == plots.digits(images).png()


def test_digits_stand_row_by_row_under_their_titles(images):
    figure = plots.digits(images, list(range(12)), columns=5)
    shown = mosaic(figure)
    assert words(figure)[:12] == list(map(str, range(12)))
    grey = np.round(255 * images[6, 0].numpy())  # second row, second column
    top = 28 + round(0.42 * 28)
    np.testing.assert_allclose(255 * shown[top : top + 28, 30:58], grey, atol=1.01)


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 1, 28, 28), (3, 3, 8, 9)])
def test_digits_take_each_layout(shape):
    assert pixels(plots.digits(torch.rand(shape))).size


@pytest.mark.parametrize("shape", [(12, 9, 9), (12, 3, 9, 9)])
def test_digits_are_drawn_for_a_narrow_screen_in_fewer_columns(shape):
    figure = plots.digits(torch.rand(shape), list(range(12)), columns=12)
    narrow = figure.redraw()
    assert narrow.get_figwidth() < figure.get_figwidth() and sorted(map(int, words(narrow)[:12])) == list(range(12))


@pytest.mark.parametrize(
    ("images", "titles", "told"),
    [
        (torch.rand(28, 28), None, "got images of shape"),
        (torch.rand(0, 1, 28, 28), None, "got no images"),
        (torch.rand(2, 1, 28, 28), ["one"], "got 1 titles; expected 2"),
    ],
)
def test_digits_refuse(images, titles, told):
    with pytest.raises(ValueError, match=told):
        plots.digits(images, titles)


def test_pairs_put_the_distorted_image_right_of_its_original(images):
    figure = plots.pairs({"(a)": (images[:6], 1 - images[:6]), "(b)": (images[:6], images[:6] + 5)}, columns=6)
    first, second = mosaic(figure, 0), mosaic(figure, 1)
    np.testing.assert_allclose(first[:28, 30:58], 1 - first[:28, :28], atol=0.01)
    assert (second[:28, 30:58] == 1).all()  # beyond the range: white
    assert words(figure) == ["(a)", "(b)"]


def test_an_image_takes_as_much_room_in_each_picture(images):
    def widths(columns: int) -> set[float]:
        figures = (
            plots.digits(images, columns=columns),
            plots.pairs({"": (images, images)}, columns=columns),
            plots.filters(images[:, 0], columns=columns),
        )
        return {figure.get_figwidth() for figure in figures}

    assert len(widths(4)) == 1
    assert widths(2) == {width / 2 for width in widths(4)}
    assert widths(12) == {plots.WIDTH}


def test_no_picture_is_wider_than_the_page(images):
    x, groups = np.linspace(0, 1, 5), list("abcdefgh")
    figures = [
        plots.digits(images, columns=12),
        plots.pairs({"(a)": (images, images), "(b)": (images, images)}, columns=12),
        plots.triptych(images, images),
        plots.heatmap(pd.DataFrame(np.eye(20))),
        plots.lines(x, {"a": x}, xlabel="c", ylabel="loss"),
        plots.identities(dict.fromkeys(groups, {"": (x, x)})),
        plots.dots({"ours": pd.DataFrame(np.eye(8))}),
        plots.filters(images[:, 0]),
        plots.histograms(dict.fromkeys(groups, x), xlabel="distortion"),
        plots.among(dict.fromkeys(groups, (0.5, x)), xlabel="mean purity"),
    ]
    assert max(figure.get_figwidth() for figure in figures) <= plots.WIDTH


def test_pairs_refuse(images):
    with pytest.raises(ValueError, match="3 columns; expected a panel and an even number"):
        plots.pairs({"(a)": (images, images)}, columns=3)
    with pytest.raises(ValueError, match="expected the same twice"):
        plots.pairs({"(a)": (images, images[:2])})


def test_triptych_shifts_magnifies_and_cuts(images):
    shifted = (images[:2] + 0.02).clamp(0, 1)
    shown = mosaic(plots.triptych(images[:2], shifted, ["a", "b"]))
    middle = shown[30:58, :28][(images[0, 0] < 0.9).numpy()]
    np.testing.assert_allclose(middle, 128 / 255 + 0.2, atol=0.01)
    same = mosaic(plots.triptych(images[:2], images[:2]))
    np.testing.assert_allclose(same[30:58, :28], 128 / 255, atol=0.01)
    with pytest.raises(ValueError, match="got 3 titles; expected 2"):
        plots.triptych(images[:2], shifted, ["a", "b", "c"])


def test_the_names_of_a_triptych_stand_at_the_middle_of_its_rows(images):
    (axes,) = plots.triptych(images[:2], images[:2]).axes
    names = [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]
    assert names == ["original", "difference", "distorted"]
    rows = [(0, 27), (30, 57), (60, 87)]  # first and last line of each, two between them
    assert axes.get_yticks().tolist() == [(first + last) / 2 for first, last in rows]


def test_heatmap_writes_each_value_and_leaves_gaps_empty():
    frame = pd.DataFrame({"A": [0.125, np.nan], "B": [1.0, 0.0]}, index=["x", "y"])
    assert words(plots.heatmap(frame, "Errors")) == ["12.5", "100.0", "0.0", ""]
    assert words(plots.heatmap(frame - 0.25, diverging=True))[:3] == ["\u221212.5", "+75.0", "\u221225.0"]
    titles = [plots.heatmap(frame, "Errors", points=points).axes[0].get_title("left") for points in (False, True)]
    assert titles == ["Errors (%)", "Errors (points)"]
    tiny = pd.DataFrame({"A": [-1e-6]})
    assert words(plots.heatmap(tiny, diverging=True))[0] == "0.0"
    assert words(plots.heatmap(frame, percent=False, decimals=3))[0] == "0.125"
    with pytest.raises(ValueError, match="at least one cell"):
        plots.heatmap(pd.DataFrame())


def test_the_largest_value_or_the_limit_has_the_strongest_colour():
    def shades(frame: pd.DataFrame, **settings) -> list[float]:
        return plots.heatmap(frame, **settings).axes[0].collections[0].get_array().ravel().tolist()

    frame = pd.DataFrame({"A": [0.2, -0.4]})
    assert shades(frame, diverging=True) == pytest.approx([0.75, 0])
    assert shades(frame, diverging=True, limit=0.8) == pytest.approx([0.625, 0.25])
    assert shades(frame.abs()) == pytest.approx([0.5, 1])
    assert shades(frame.abs(), limit=0.8) == pytest.approx([0.25, 0.5])


@pytest.mark.parametrize("colours", [plots.SEQUENTIAL, plots.DIVERGING])
def test_numbers_in_cells_stand_out(colours):
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    for shade in np.linspace(0, 1, 51):
        cell, ink = luminance(colours(shade)[:3]), luminance(matplotlib.colors.to_rgb(plots.ink_over(colours, shade)))
        assert (max(cell, ink) + 0.05) / (min(cell, ink) + 0.05) > 4  # WCAG asks for 4.5 of small print, 3 of large


def test_lines_differ_by_more_than_colour():
    x = np.geomspace(0.01, 10, 20)
    figure = plots.lines(x, {"a": x, "b": 1 / x}, xlabel="c", ylabel="loss", logx=True, marks={"edge": 1.0})
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()
    assert words(figure)[0] == "edge"
    with pytest.raises(ValueError, match="got shape .* of curve 'a'"):
        plots.lines(x, {"a": x[1:]}, xlabel="c", ylabel="loss")


def test_identities_are_square_and_skip_what_is_missing():
    figure = plots.identities({"errors": {"test": ([0.1, np.nan, 0.2], [0.12, 0.1, 0.18])}}, percent=["errors"])
    axes = figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[1] > 0.2
    figure = plots.identities({"errors": {"t": ([0.1], [0.1])}, "rms": {"d": ([0.06], [0.05]), "t": ([0.1], [0.1])}})
    first, (other, again) = ([line for line in axes.lines if line.get_marker() != "None"] for axes in figure.axes)
    assert again.get_marker() == first[0].get_marker() != other.get_marker()  # a group keeps its look
    assert again.get_color() == first[0].get_color() == plots.PALETTE["blue"] != other.get_color()
    assert other.get_color() == plots.PALETTE["vermilion"]
    with pytest.raises(ValueError, match="at least one"):
        plots.identities({})


def test_dots_follow_the_first_table():
    printed = paper.TABLE1.to_frame()
    figure = plots.dots({"the paper": printed, "ours": printed.iloc[:2] * 1.1}, percent=["test error"])
    assert [axes.get_title() for axes in figure.axes] == ["training error", "test error (%)", "distortion"]
    ours = figure.axes[2].lines[1].get_xdata()
    np.testing.assert_allclose(ours[:2], printed["distortion"][:2] * 1.1)
    assert np.isnan(ours[2:]).all()
    with pytest.raises(ValueError, match="got no table"):
        plots.dots({})


def test_dots_fill_their_panel_from_zero_and_none_is_cut():
    for axes in plots.dots({"ours": pd.DataFrame({"a": [0.5, 1.0], "b": [100.0, 40.0]})}).axes:
        largest = axes.lines[0].get_xdata().max()
        assert axes.get_xlim()[0] == 0 and largest < axes.get_xlim()[1] < 1.2 * largest
        assert axes.get_ylim() == (1.5, -0.5)  # two rows, the first on top, half a row beyond each


def test_filters_are_scaled_each_by_itself():
    weights = torch.zeros(3, 784)
    weights[0, 0], weights[1, 0] = 0.01, -5
    shown = np.asarray(plots.filters(weights).axes[0].images[0].get_array())
    blue, white, red = (np.asarray(plots.DIVERGING(value)) for value in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(shown[0, 0], red, atol=0.01)
    np.testing.assert_allclose(shown[0, 30], blue, atol=0.01)
    np.testing.assert_allclose(shown[0, 60], white, atol=0.02)
    with pytest.raises(ValueError, match="got weights of shape"):
        plots.filters(torch.zeros(3, 783))


def test_a_frame_goes_all_around_each_filter():
    shown = mosaic(plots.filters(torch.zeros(4, 5, 5), columns=2))
    inside = np.zeros((12, 12), dtype=bool)
    for top, left in ((0, 0), (0, 7), (7, 0), (7, 7)):
        inside[top : top + 5, left : left + 5] = True
    assert len(set(shown[~inside])) == 1
    assert shown[~inside].max() < shown[inside].min()


def test_histograms_write_the_mean():
    figure = plots.histograms({"a": [0.1, 0.2, np.nan], "b": torch.tensor([0.5])}, xlabel="distortion")
    assert words(figure)[:2] == ["0.15", "0.5"]
    assert all(len(axes.patches[0].get_data().values) == 60 for axes in figure.axes)
    assert [axes.texts[0].xy[1] for axes in figure.axes] == [1, 1]  # at the top of its panel
    with pytest.raises(ValueError, match="without values"):
        plots.histograms({"a": [np.nan]}, xlabel="distortion")


def test_titles_stand_over_the_middle_of_their_pictures():
    axes = plots.digits(torch.zeros(3, 1, 5, 8), ["a", "b", "c"]).axes[0]
    pitch = axes.texts[1].get_position()[0] - axes.texts[0].get_position()[0]
    assert [text.get_position()[0] for text in axes.texts] == [3.5 + pitch * place for place in range(3)] and pitch >= 8


def test_panels_stand_row_by_row_and_leave_the_rest_empty():
    entries = [("a", 1), ("b", 2), ("a", 3), ("c", 4)]
    figure, grid = plots.panels(entries, row=2.0, rest=0.5, width=6.0, columns=3, sharey=True)
    assert figure.get_size_inches().tolist() == [6.0, 4.5]
    assert [entry for _, entry in grid] == [1, 2, 3, 4]
    assert [axes.get_title() for axes, _ in grid] == ["a", "b", "a", "c"]
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2
    rows = [axes.get_subplotspec().rowspan.start for axes, _ in grid]
    assert rows == [0, 0, 0, 1]
    grid[0][0].set_ylim(0, 7)
    assert grid[3][0].get_ylim() == (0, 7)


def test_fewer_panels_than_columns_take_the_whole_width():
    figure, grid = plots.panels({"a": 1, "b": 2}.items(), row=2.0, columns=5, title_size=5)
    assert len(figure.axes) == 2 and grid[0][0].title.get_fontsize() == 5
    with pytest.raises(ValueError, match="no panel"):
        plots.panels([], row=2.0)


def test_frame_has_no_ticks():
    figure, [(axes, _)] = plots.panels([("a", None)], row=2.0)
    plots.frame(axes, "#ff0000", linewidth=3)
    assert not len(axes.get_xticks()) and not len(axes.get_yticks())
    assert {(line.get_visible(), line.get_edgecolor(), line.get_linewidth()) for line in axes.spines.values()} == {
        (True, (1.0, 0.0, 0.0, 1.0), 3)
    }


@pytest.mark.parametrize(
    ("natural", "side"), [([0.9], "right"), ([-5.0], "left"), ([0.8, 0.9], "right"), ([-0.9, -0.8], "left")]
)
def test_among_marks_the_natural_basis_and_writes_beside_its_lines(natural, side):
    null = np.random.default_rng(0).normal(size=99) / 10
    figure = plots.among({"a": (natural, null)}, xlabel="mean purity")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert [line.get_xdata()[0] for line in axes.lines] == natural
    assert axes.patches[0].get_data().values.sum() == 99
    assert axes.get_xlim()[0] < min(*natural, *null) and axes.get_xlim()[1] > max(*natural, *null)
    box = axes.texts[0].get_window_extent()
    marks = axes.transData.transform([(value, 0) for value in natural])[:, 0]
    assert (box.x1 < marks if side == "right" else box.x0 > marks).all()
    assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1


def test_one_line_of_among_is_bolder_than_several():
    null = np.linspace(0, 1, 9)
    one, several = (axes.lines for axes in plots.among({"a": (2, null), "b": ([2, 3], null)}, xlabel="purity").axes)
    assert one[0].get_linewidth() > max(line.get_linewidth() for line in several)


def test_among_draws_bases_that_are_all_alike():
    assert pixels(plots.among({"a": (1.0, np.ones(9))}, xlabel="mean purity")).size
