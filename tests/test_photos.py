"""Pictures say how large they are; by night plots are turned over, and digits and photographs are not."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from extensions import extension
from intriguing.book import plots


@pytest.fixture(scope="module")
def photos():
    return extension("photos")


def digit() -> bytes:
    image = torch.zeros(4, 1, 28, 28)
    image[:, :, 5:20, 10:14] = 1
    return plots.digits(image, list("abcd")).png()


def line() -> bytes:
    x = np.linspace(0, 1, 9)
    return plots.lines(x, {"a": x, "b": 1 - x}, xlabel="x", ylabel="y").png()


def photograph() -> bytes:
    file = io.BytesIO()
    colours = np.random.default_rng(0).integers(60, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(colours).save(file, format="jpeg")
    return file.getvalue()


def test_digits_and_photographs_are_told_from_plots(photos):
    assert photos.is_photo(digit()) and photos.is_photo(photograph()) and not photos.is_photo(line())


def test_pictures_of_a_page_get_their_size_and_their_mark_once(photos, tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_images" / "digit.png").write_bytes(digit())
    (tmp_path / "_images" / "line.png").write_bytes(line())
    inside = f"data:image/png;base64,{base64.b64encode(digit()).decode()}"
    page = (
        '<img alt="d" src="../_images/digit.png"/><img alt="l" src="../_images/line.png"/>'
        f'<img alt="i" src="{inside}"><img src="../_static/logo.svg"/>'
    )
    new = photos.marked(page, tmp_path / "notebooks")
    width, height = Image.open(io.BytesIO(digit())).size
    size = f'width="{width}" height="{height}"'
    assert new.count('data-photo=""') == 2 and new.count(" height=") == 3
    assert f'<img {size} data-photo="" alt="d" src' in new and f'<img {size} data-photo="" alt="i" src' in new
    assert '<img src="../_static/logo.svg"/>' in new
    assert photos.marked(new, tmp_path / "notebooks") == new


def drawn(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (400, 300)) -> bytes:
    """A white picture with grey boxes, (left, top, right, bottom)."""
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 90
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="png")
    return file.getvalue()


def test_photographs_are_found_and_letters_and_plots_are_not(photos):
    letters = (60, 5, 70, 25), (0, 280, 400, 282)
    above = (20, 40, 120, 140), (150, 40, 250, 140)
    assert photos.photographs(drawn(*above, *letters))[1] == [((40, 140), ((20, 120), (150, 250)))]
    assert photos.photographs(drawn(*letters))[1] == []
    frame = (10, 10, 12, 200), (10, 198, 300, 200), (298, 10, 300, 200), (10, 10, 300, 12)
    assert photos.photographs(drawn(*frame))[1] == []


def test_photographs_close_to_each_other_and_to_letters_are_told_apart_in_a_jpeg(photos):
    image = np.full((200, 280, 3), 255, np.uint8)
    held = [(40, 140), (20, 129), (133, 242)]
    for left, right in held[1:]:
        image[slice(*held[0]), left:right] = np.random.default_rng(0).integers(0, 180, (100, right - left, 3))
    for left in range(20, 240, 9):
        image[24:33, left : left + 5] = 60  # letters
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="jpeg", quality=75)
    (rows,) = photos.photographs(file.getvalue())[1]
    found = np.array([rows[0], *rows[1]])
    assert found.shape == (3, 2) and abs(found - held).max() <= 1


def test_a_photograph_with_a_white_edge_is_found_by_its_row_and_column(photos):
    whole = (20, 40, 120, 140), (150, 40, 250, 140), (20, 160, 120, 260)
    pale = (150, 200, 250, 225), (200, 160, 210, 260)  # strokes: no part of it is as large as a photograph
    held = (20, 120), (150, 250)
    assert photos.photographs(drawn(*whole, *pale))[1] == [((40, 140), held), ((160, 260), held)]
    assert photos.photographs(drawn(*whole))[1] == [((40, 140), held), ((160, 260), held[:1])]


def test_a_panel_that_is_shorter_than_its_neighbour_ends_where_it_ends(photos):
    rows = photos.photographs(drawn((20, 20, 120, 280), (150, 20, 250, 200)))[1]
    assert rows == [((20, 200), ((20, 120), (150, 250))), ((200, 280), ((20, 120),))]


def test_covers_leave_the_photographs_open(photos):
    over = photos.covers(drawn((100, 75, 200, 150), (300, 225, 400, 300)), "wide")
    assert over.count('class="photo-ground wide"') == over.count("to right") == over.count("to bottom") == 2
    # The first lies over the upper rows, up to the middle of the gap at 187 of 300, the second over the rest.
    assert "top: 0%; height: 62.33%" in over and "top: 62.33%; height: 37.67%" in over
    assert "(to right, #000 0% 25%, #0000 25% 50%, #000 50% 100%)" in over
    assert "(to bottom, #000 0% 40.11%, #0000 40.11% 80.21%, #000 80.21% 100%)" in over
    assert photos.covers(drawn(), "wide") == ""


def test_a_figure_with_a_picture_for_phones_has_covers_for_both(photos, tmp_path):
    for name in ("a.png", "a-narrow.png"):
        (tmp_path / "_images").mkdir(exist_ok=True)
        (tmp_path / "_images" / name).write_bytes(digit())
    page = '<picture><source srcset="_images/a-narrow.png"/><img alt="a" src="_images/a.png"/></picture>'
    new = photos.marked(page, tmp_path)
    assert new.startswith('<span class="photo"><picture><source srcset="_images/a-narrow.png"/><img width=')
    assert new.count('<span class="photo-ground wide"') == new.count('<span class="photo-ground narrow"') == 1
    assert "wide narrow" in photos.marked('<img alt="a" src="_images/a.png"/>', tmp_path)
