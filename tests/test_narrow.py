"""Figures for phones: drawn for their screen, kept beside the wide ones, offered to narrow screens only."""

from __future__ import annotations

import base64
import hashlib
import io
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from extensions import extension
from intriguing.book import plots
from intriguing.chapters.photographs import pictures

SCREEN = 390 - 32  # pixels that a page leaves to a figure on a phone
LETTERS = 7.2  # points of the smallest letters of the style


@pytest.fixture(scope="module")
def narrow():
    return extension("narrow")


def frame(columns: int) -> pd.DataFrame:
    names = [f"FC{n}-{n}-10" for n in range(100, 100 + columns)]
    return pd.DataFrame(np.eye(columns), names, names)


X = np.linspace(0, 1, 5)
KINDS = {
    "lines": lambda: plots.lines(X, {"a": X, "b": 1 - X}, xlabel="c", ylabel="distortion"),
    "panels": lambda: plots.identities({"Table 1": {"": (X, X)}, "Table 2": {"": (X, X**2)}}),
    "dots": lambda: plots.dots({"ours": frame(3), "the paper's": frame(3)}),
    "histograms": lambda: plots.histograms({"one": X, "two": X}, xlabel="distortion"),
    "heatmap": lambda: plots.heatmap(frame(6)),
    "digits": lambda: plots.digits(torch.rand(10, 1, 28, 28), [f"read as {n}" for n in range(10)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_letters_are_nine_pixels_high_on_a_phone(kind):
    figure = KINDS[kind]()
    picture = Image.open(io.BytesIO(figure.narrow()))
    assert figure.dpi / 72 * LETTERS * SCREEN / picture.width >= 9
    assert picture.width < 0.8 * Image.open(io.BytesIO(figure.png())).width


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=float)


@pytest.mark.parametrize("kind", KINDS)
def test_the_wide_picture_stays_what_it_was(kind, monkeypatch):
    before = KINDS[kind]().png() if kind != "digits" else None
    figure = KINDS[kind]()
    monkeypatch.setenv("INTRIGUING_PROFILE", "paper")
    picture, about = figure._repr_png_()
    assert len(picture) < len(figure.png())
    assert before is None or np.abs(pixels(picture) - pixels(before)).mean() < plots.PALE
    assert base64.b64decode(about["narrow"])[:4] == b"\x89PNG"
    monkeypatch.setenv("INTRIGUING_PROFILE", "quick")
    assert isinstance(KINDS[kind]()._repr_png_(), bytes)


def test_panels_stand_below_one_another_and_keep_the_numbers_of_a_shared_axis():
    figure = KINDS["dots"]()
    relaid = plots._relaid(figure)
    places = [axes.get_position() for axes in relaid.axes]
    relaid.png()
    places = [axes.get_position() for axes in relaid.axes]
    assert all(above.y0 > below.y1 - 0.01 for above, below in zip(places, places[1:], strict=False))
    for axes in relaid.axes:
        assert [label.get_text() for label in axes.get_yticklabels() if label.get_visible()] == list(frame(3).index)
    assert [axes.get_position().y0 for axes in figure.axes].count(figure.axes[0].get_position().y0) == 3


@pytest.mark.parametrize(("before", "after"), [((1, 4), (2, 2)), ((2, 3), (3, 2)), ((2, 2), (4, 1))])
def test_pictures_stand_two_beside_one_another_or_alone_and_keep_their_shape(before, after):
    figure, grid = plots.styled(plots.panels)([("", 1)] * before[0] * before[1], row=2.0, columns=before[1])
    for axes, _ in grid:
        axes.imshow(np.eye(5))
    relaid = plots._relaid(figure)
    assert relaid.axes[0].get_gridspec().get_geometry() == after

    def shape(figure: plots.Figure, rows: int, columns: int) -> float:
        return figure.get_figwidth() / columns / (figure.get_figheight() / rows)

    assert shape(relaid, *after) == pytest.approx(shape(figure, *before))


def test_long_titles_are_broken_into_lines():
    figure, _ = plots.styled(plots.panels)([("a title of words " * 6, 1), ("b", 2)], row=2.0)
    assert plots._relaid(figure).axes[0].get_title().count("\n") >= 1
    assert "\n" not in figure.axes[0].get_title()


def test_functions_that_write_the_numbers_of_an_axis_are_no_obstacle():
    figure = plots.Figure(figsize=(7.2, 3))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes in (left, right):
        axes.plot([0, 1], [2, 4])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} here")
    before = figure.png()
    picture = Image.open(io.BytesIO(figure.narrow()))
    assert picture.width < picture.height
    assert figure.png() == before


def test_what_is_narrow_already_needs_no_other_picture():
    assert plots.digits(torch.rand(4, 1, 28, 28), list("abcd")).narrow() is None


def test_a_picture_full_of_words_is_not_laid_out_anew():
    figure, grid = plots.styled(plots.panels)([("a", 1)], row=2.0)
    for n in range(15):
        grid[0][0].text(0, 0, str(n))
    assert figure.narrow() is not None
    grid[0][0].text(0, 0, "16")
    assert figure.narrow() is None


def test_eight_originals_and_what_became_of_them_stand_in_two_blocks():
    images = torch.linspace(0, 1, 8)[:, None, None, None].expand(8, 1, 28, 28)
    figure = plots.triptych(images, images, [f"read as {n}" for n in range(8)])
    blocks = figure.redraw().axes
    assert len(figure.axes) == 1 and len(blocks) == 2
    words = [[text.get_text() for text in axes.texts if text.get_text()] for axes in blocks]
    assert words == [[f"read as {n}" for n in range(4)], [f"read as {n}" for n in range(4, 8)]]
    shown = blocks[1].images[0].get_array()
    assert shown[14, 14, 0] == pytest.approx(4 / 7, abs=0.01)  # the fifth digit is the first of the second block
    assert figure.redraw().get_figwidth() == plots.NARROW


@pytest.mark.parametrize("channels", [1, 3])
def test_a_triptych_on_a_phone_shows_the_same_images(channels):
    images = torch.rand(8, channels, 5, 6)
    second = np.asarray(plots.triptych(images, 1 - images).redraw().axes[1].images[0].get_array())
    fifth = images[4].movedim(0, -1).expand(5, 6, 3)
    np.testing.assert_allclose(second[:5, :6, :3], fifth, atol=0.01)
    np.testing.assert_allclose(second[14:19, :6, :3], 1 - fifth, atol=0.01)


def test_rows_that_belong_together_stay_together():
    # Two rows of seven on a screen for five: the first five of both, then the last two of both.
    assert plots._blocks(14, 7, 5) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 5, 6, 12, 13]
    assert plots._blocks(6, 4, 5) == [0, 1, 2, 3, 4, 5]
    assert sorted(plots._blocks(13, 7, 3)) == list(range(13))


def labelled(names: list[str], **where) -> plots.Figure:
    figure = plots.Figure(figsize=(7.2, 3))
    grid = figure.subplots(1, 2)
    for axes in grid:
        for name in names:
            axes.plot([0, 1], [0, 1], label=name)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names), **where)
    return figure


def test_a_legend_has_as_many_columns_as_fit():
    names = ["proved safe, global bound", "proved safe, local bound", "fooled by the search, from above"]
    relaid = plots._relaid(labelled(names))
    (legend,) = relaid.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert boxes[0].y0 > boxes[1].y1 - 1 > boxes[2].y1 - 2  # one below the other
    assert Image.open(io.BytesIO(labelled(names).narrow())).width <= plots.NARROW * 205
    assert len(labelled(names).legends[0].get_texts()) == 3
    short = plots._relaid(labelled(["a", "b"])).legends[0]
    assert len({round(text.get_window_extent().y0) for text in short.get_texts()}) == 1


def test_a_legend_over_a_curve_is_put_below():
    full = {f"a curve with a long name, number {n}": np.full(50, n / 9) for n in range(10)}
    relaid = plots._relaid(plots.lines(np.arange(50), full, xlabel="x", ylabel="y"))
    assert relaid.axes[0].get_legend() is None and len(relaid.legends[0].get_texts()) == 10
    free = plots._relaid(plots.lines(np.arange(50), {"a": np.zeros(50), "b": np.zeros(50)}, xlabel="x", ylabel="y"))
    assert free.axes[0].get_legend() is not None and not free.legends


def test_words_at_neighbouring_lines_have_lines_of_their_own():
    x = np.linspace(0, 1, 5)
    marks = {"the paper, per pixel": 0.5, "the paper, per channel": 0.52, "far": 0.0}
    relaid = plots._relaid(plots.lines(x, {"a": x}, xlabel="x", ylabel="y", marks=marks))
    relaid.draw_without_rendering()
    texts = {text.get_text().strip(): text for text in relaid.axes[0].texts}
    assert texts["far"].get_text() == "far"
    assert texts["the paper, per channel"].get_text() == "\nthe paper, per channel"


def test_a_grid_of_panels_keeps_the_titles_that_stood_above_it():
    figure = plots.Figure(figsize=(7.2, 4))
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    for axes in grid.ravel():
        axes.plot([0, 1], [0, 1])
    for column, title in enumerate(("sigmoid", "ReLU")):
        grid[0, column].set_title(title)
        grid[1, column].set_xlabel(f"strength of {title}")
    relaid = plots._relaid(figure).axes
    assert [axes.get_title() for axes in relaid] == ["sigmoid", "ReLU", "sigmoid", "ReLU"]
    assert [axes.get_xlabel() for axes in relaid] == ["strength of sigmoid", "strength of ReLU"] * 2
    assert all(axes.xaxis.get_ticklabels()[0].get_visible() for axes in relaid)


def test_long_names_of_rows_are_broken_and_numbers_are_not():
    figure = plots.Figure(figsize=(7.2, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    axes.set_yticks([0, 1], ["sigmoid: penalty on the bounds, spectral normalisation", "none"])
    first, second = (label.get_text() for label in plots._relaid(figure).axes[0].get_yticklabels())
    assert "\n" in first and second == "none"
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(lambda value, _: f"${value:.9f}{'0' * 30}$")
    assert all("\n" not in label.get_text() for label in plots._relaid(figure).axes[0].get_yticklabels())


def test_photographs_keep_their_tones_and_plots_get_a_palette():
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, format="png")
    assert (pixels(plots._lighter(file.getvalue())) == noise).all()
    plot = KINDS["lines"]().png()
    assert Image.open(io.BytesIO(plots._lighter(plot))).mode == "P"
    assert len(plots._lighter(plot)) < 0.6 * len(plot)


def test_a_network_has_one_colour_in_every_figure():
    x = np.linspace(0, 1, 5)
    few = plots.lines(x, {"FC100-100-10": x, "FC10(1)": 1 - x, "another": x}, xlabel="x", ylabel="y").axes[0].lines
    colours = {line.get_label(): line.get_color() for line in few}
    assert colours["FC100-100-10"] == plots.NETWORKS["FC100-100-10"] == plots.PALETTE["purple"]
    assert colours["FC10(1)"] == plots.NETWORKS["FC10(1)"]
    assert colours["another"] not in {plots.NETWORKS["FC100-100-10"], plots.NETWORKS["FC10(1)"]}
    names = {"ConvNet": x, "FC10(1)": x}
    shown = [axes.lines[0].get_color() for axes in plots.histograms(names, xlabel="distortion").axes]
    assert shown == [plots.NETWORKS[name] for name in names]
    assert len(set(plots.NETWORKS.values())) == 7


def small() -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 5)).save(file, format="png")
    return file.getvalue()


def notebook(metadata: dict, kind: str = "image/png") -> nbformat.NotebookNode:
    output = new_output("execute_result", data={kind: base64.b64encode(b"wide").decode()}, metadata=metadata)
    return new_notebook(cells=[new_code_cell("draw()", outputs=[output])])


NAME = hashlib.sha256(b"wide").hexdigest()
PAGE = (
    f'<p><img alt="A line" src="../_images/{NAME}.png" style="width: 80%;" /><img alt="B" src="../_images/b.png"/></p>'
)


def test_a_page_offers_the_narrow_picture(narrow, tmp_path):
    for folder in ("source/notebooks", "html/notebooks", "html/_images"):
        (tmp_path / folder).mkdir(parents=True)
    kept = {"image/png": {"narrow": base64.b64encode(small()).decode()}}
    nbformat.write(notebook(kept), tmp_path / "source/notebooks/one.ipynb")
    nbformat.write(notebook({}), tmp_path / "source/notebooks/two.ipynb")
    for name in ("one", "two"):
        (tmp_path / f"html/notebooks/{name}.html").write_text(PAGE)
    app = SimpleNamespace(srcdir=tmp_path / "source", outdir=tmp_path / "html", builder=SimpleNamespace(format="html"))
    for _ in range(2):  # a second build finds the page as it left it
        narrow.finish(app, None)
        page = (tmp_path / "html/notebooks/one.html").read_text()
        assert page.count("<picture>") == page.count("</picture>") == 1
        place = f'media="{narrow.SCREEN}" width="3" height="5"'
        assert f'<source {place} srcset="../_images/{NAME}-narrow.png"/><img alt="A line"' in page
    assert (tmp_path / f"html/_images/{NAME}-narrow.png").read_bytes() == small()
    assert (tmp_path / "html/notebooks/two.html").read_text() == PAGE


def test_so_does_a_page_with_photographs(narrow):
    kept = {"image/jpeg": {"narrow": base64.b64encode(small()).decode()}}
    ((name, content),) = narrow.pictures(notebook(kept, "image/jpeg"))
    assert (name, content) == (f"{NAME}.jpg", small())
    page = narrow.offered(PAGE.replace(".png", ".jpg"), name, (3, 5))
    assert f'srcset="../_images/{NAME}-narrow.jpg"/><img alt="A line"' in page
    assert page.count("<picture>") == 1


def test_photographs_have_a_picture_for_phones(monkeypatch):
    monkeypatch.setenv("INTRIGUING_PROFILE", "paper")
    images = np.random.default_rng(0).random((4, 3, 32, 32))
    for figure in (
        pictures.rows([images, images], ["one", "two"], pixels=32),
        pictures.triptychs(images, images, columns=2, pixels=32),
    ):
        wide, about = figure._repr_jpeg_()
        sizes = [Image.open(io.BytesIO(one)).size for one in (wide, base64.b64decode(about["narrow"]))]
        assert sizes[0][0] > 1.7 * sizes[1][0] and Image.open(io.BytesIO(wide)).format == "JPEG"
        assert len(wide) > 1.5 * len(base64.b64decode(about["narrow"]))
        assert figure.redraw().dpi / 72 * LETTERS * SCREEN / sizes[1][0] >= 9
