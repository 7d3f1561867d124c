"""Pictures behind sliders: what is in the output, and what moves when a widget does."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from intriguing.book import sliders
from intriguing.book.plots import Figure


def _png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (shade, 0, 0)).save(file, format="png")
    return file.getvalue()


class _Reader(HTMLParser):
    """Keeps the sliders, and of each page whether it is hidden and what its picture is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inputs: list[dict] = []
        self.pages: list[dict] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input":
            self.inputs.append(given)
        elif tag == "div" and "class" not in given:
            self.pages.append({"hidden": "hidden" in given})
        elif tag == "img":
            self.pages[-1] |= given


CHOICES = {"angle <θ>": ["0°", "45°", '9"0'], "view": [1, 2]}


def _pages(**settings) -> sliders.Pages:
    count = 6
    pictures = [_png(40 * n) for n in range(count)]
    return sliders.pages(pictures, CHOICES, [f"picture {n} & more" for n in range(count)], **settings)


def test_pictures_follow_the_product_of_the_choices() -> None:
    assert list(sliders.positions(CHOICES))[:3] == [("0°", 1), ("0°", 2), ("45°", 1)]
    read = _Reader(_pages(start={"angle <θ>": 1, "view": 1}).html)
    assert [page["alt"] for page in read.pages] == [f"picture {n} & more" for n in range(6)]
    # (1, 1) of 3 by 2 positions is page 3, and only that one is shown.
    assert [page["hidden"] for page in read.pages] == [True, True, True, False, True, True]


def test_slider_is_a_native_one_with_words_for_its_positions() -> None:
    first, second = _Reader(_pages().html).inputs
    assert (first["type"], first["min"], first["max"], first["step"], first["value"]) == ("range", "0", "2", "1", "1")
    assert json.loads(first["data-values"]) == ["0°", "45°", '9"0']
    assert (first["aria-valuetext"], second["aria-valuetext"]) == ("45°", "2")
    assert "&lt;θ&gt;" in _pages().html


def test_nothing_is_fetched_and_nothing_changes_from_run_to_run() -> None:
    page = _pages(captions=[f"a < {n}" for n in range(6)])
    assert page.html == _pages(captions=[f"a < {n}" for n in range(6)]).html
    assert page._repr_html_() == page.html
    assert "a &lt; 3" in page.html
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page.html))
    assert "http" not in page.html and "<script" not in page.html


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"descriptions": ["one"]}, "1 descriptions"),
        ({"descriptions": ["a", " "]}, "empty description"),
        ({"captions": ["one"]}, "1 captions"),
        ({"choices": {"only": [1]}}, "two or more"),
        ({"choices": {}}, "two or more"),
        ({"start": {"k": 2}}, "0 to 1"),
        ({"start": {"other": 0}}, "other"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, words: str) -> None:
    settings = {"pictures": [_png(0), _png(9)], "choices": {"k": [1, 2]}, "descriptions": ["a", "b"]} | change
    with pytest.raises(ValueError, match=words):
        sliders.pages(**settings)


def test_small_png_keeps_the_size_and_the_colours() -> None:
    figure = Figure(figsize=(2, 1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_facecolor("#0072B2")
    png = sliders.small_png(figure, dpi=50)
    image = Image.open(io.BytesIO(png))
    assert image.size == (100, 50) and image.mode == "P"
    assert image.convert("RGB").getpixel((60, 20)) == (0x00, 0x72, 0xB2)
    assert png == sliders.small_png(figure, dpi=50)


def test_explorer_draws_anew_for_each_choice() -> None:
    asked = []

    def draw(digit: int, price_c: float) -> tuple[bytes, str]:
        asked.append((digit, price_c))
        return _png(10 * digit), f"digit {digit} < c {price_c}"

    shown = sliders.explore(draw, {"digit": [2, 3], "price c": [0.1, 1.0]}, start={"digit": 0, "price c": 0})
    first = shown.picture.value
    assert asked == [(2, 0.1)] and 'alt="digit 2 &lt; c 0.1"' in first
    shown.controls["digit"].value = 3
    shown.controls["price c"].value = 1.0
    assert asked[1:] == [(3, 0.1), (3, 1.0)]
    assert "digit 3" in shown.picture.value and shown.picture.value != first


def test_explorer_without_a_kernel_is_a_picture() -> None:
    shown = sliders.explore(lambda digit: (_png(digit), "a digit"), {"digit": [2, 3]})
    bundle = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert 'alt="a digit"' in bundle["text/html"] and "<input" not in bundle["text/html"]
    with pytest.raises(ValueError, match="no values"):
        sliders.explore(lambda digit: (_png(0), ""), {"digit": []})
    with pytest.raises(ValueError, match="0 to 1"):
        sliders.explore(lambda digit: (_png(0), ""), {"digit": [2, 3]}, start={"digit": 2})


def test_explorer_begins_where_it_is_told() -> None:
    shown = sliders.explore(lambda digit: (_png(digit), f"a {digit}"), {"digit": [2, 3, 4]}, start={"digit": 2})
    assert shown.controls["digit"].value == 4 and 'alt="a 4"' in shown.picture.value
