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

SCREEN = 390 - 32  # pixels that a page leaves to a figure on a phone
LETTERS = 7.2  # points of the smallest letters of the style


@pytest.fixture(scope="module")
def narrow():
    return extension("narrow")


def frame(columns: int) -> pd.DataFrame:
    names = [f"FC{n}-{n}-10" for n in range(100, 100 + columns)]
    return pd.DataFrame(np.eye(columns), names, names)


def drawn() -> dict[str, plots.Figure]:
    x = np.linspace(0, 1, 5)
    return {
        "lines": plots.lines(x, {"a": x, "b": 1 - x}, xlabel="c", ylabel="distortion"),
        "panels": plots.identities({"Table 1": {"": (x, x)}, "Table 2": {"": (x, x**2)}}),
        "dots": plots.dots({"ours": frame(3), "the paper's": frame(3)}),
        "histograms": plots.histograms({"one": x, "two": x}, xlabel="distortion"),
        "heatmap": plots.heatmap(frame(6)),
        "digits": plots.digits(torch.rand(10, 1, 28, 28), [f"read as {n}" for n in range(10)]),
    }


@pytest.mark.parametrize("kind", drawn())
def test_letters_are_nine_pixels_high_on_a_phone(kind):
    figure = drawn()[kind]
    picture = Image.open(io.BytesIO(figure.narrow()))
    assert figure.dpi / 72 * LETTERS * SCREEN / picture.width >= 9
    assert picture.width < 0.8 * Image.open(io.BytesIO(figure.png())).width


@pytest.mark.parametrize("kind", drawn())
def test_the_wide_picture_stays_what_it_was(kind, monkeypatch):
    before = drawn()[kind].png() if kind != "digits" else None
    figure = drawn()[kind]
    monkeypatch.setenv("INTRIGUING_PROFILE", "paper")
    picture, about = figure._repr_png_()
    assert before is None or picture == before
    assert base64.b64decode(about["narrow"])[:4] == b"\x89PNG"
    monkeypatch.setenv("INTRIGUING_PROFILE", "quick")
    assert isinstance(drawn()[kind]._repr_png_(), bytes)


def test_panels_stand_below_one_another_and_keep_the_numbers_of_a_shared_axis():
    figure = drawn()["dots"]
    relaid = plots._relaid(figure)
    places = [axes.get_position() for axes in relaid.axes]
    relaid.png()
    places = [axes.get_position() for axes in relaid.axes]
    assert all(above.y0 > below.y1 - 0.01 for above, below in zip(places, places[1:], strict=False))
    for axes in relaid.axes:
        assert [label.get_text() for label in axes.get_yticklabels() if label.get_visible()] == list(frame(3).index)
    assert [axes.get_position().y0 for axes in figure.axes].count(figure.axes[0].get_position().y0) == 3


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
    columns = 8
    rows = torch.rand(columns, 1, 28, 28), torch.rand(columns, 1, 28, 28)
    figure = plots.triptych(*rows, [f"{n}" for n in range(columns)])
    assert figure.narrow() is not None  # eight words
    for n in range(columns):
        figure.axes[0].text(0, 0, str(n))
    assert figure.narrow() is None


def small() -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 5)).save(file, format="png")
    return file.getvalue()


def notebook(metadata: dict) -> nbformat.NotebookNode:
    output = new_output("execute_result", data={"image/png": base64.b64encode(b"wide").decode()}, metadata=metadata)
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
