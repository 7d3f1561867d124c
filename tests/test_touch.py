"""Figures that a reader touches: what they show is what Python computes, and each answers in a browser."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import test_site
from intriguing.book import results
from intriguing.chapters import laboratory, minimum
from intriguing.data import Images
from intriguing.press import commands, publishing
from intriguing.press.touch import figures, form, study
from intriguing.press.touch.form import State

ROOT = publishing.repository()
PAGES = {"path": "blind_spots", "radius": "spectral", "travel": "transfer", "plane": "minimum"}
NEAR = {"rel": 1e-3, "abs": 2e-4}  # two computers end a minimisation in slightly different places
address, browser = test_site.address, test_site.browser  # fixtures


@pytest.fixture(scope="module")
def kept() -> dict:
    return study.read(ROOT)


@pytest.fixture(scope="module")
def bench():
    content = laboratory.read(ROOT / laboratory.PLACE)
    return laboratory.stored_networks(content)[study.NETWORK], laboratory.stored_digits(content)


def tiles(text: str) -> np.ndarray:
    """The tiles of a sheet, (tiles, 28, 28, 4)."""
    whole = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))
    rows = whole.reshape(-1, form.SIDE, form.COLUMNS, form.SIDE, 4)
    return rows.swapaxes(1, 2).reshape(-1, form.SIDE, form.SIDE, 4)


def states(page: str) -> list[dict]:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


# The form.


def test_tiles_lie_in_the_sheet_row_by_row():
    some = [form.grey(np.full(784, shade)) for shade in np.linspace(0, 1, 18)]
    found = tiles(form.sheet(some))
    assert found.shape[0] == 2 * form.COLUMNS
    np.testing.assert_array_equal(found[:18], some)
    assert not found[18:].any()


def test_a_step_is_vermilion_where_it_brightens_and_clear_where_it_does_nothing():
    step = np.zeros(784)
    step[0], step[1] = 0.02, -0.01
    found = form.signed(step)
    assert tuple(found[0, 0]) == (*form.BRIGHTER, 255) and tuple(found[0, 1]) == (*form.DARKER, 128)
    assert found[1:, :, 3].max() == 0 and form.signed(np.zeros(784))[..., 3].max() == 0


def test_a_figure_holds_all_its_states_and_shows_one():
    some = [State("first </script>", (0,), ("a <b>",), 0.0), State("second", (17,), ("c",), 1.0)]
    page = form.figure("x", "Touch", form.slider("way", some, 1), some, start=1, pictures="AAAA", note="n")
    assert states(page)[0] == {"say": "first </script>", "tiles": [0], "captions": ["a <b>"], "place": 0.0}
    assert page.count("</script>") == 1 and '<p class="touch-say" role="status">second</p>' in page
    assert 'aria-label="c" style="--column:1;--row:1"' in page and 'max="1" step="1" value="1"' in page


@pytest.mark.parametrize(
    ("some", "start"),
    [([], 0), ([State("a")], 1), ([State("a")], -1), ([State("a"), State("b", (1,), ("c",))], 0)],
)
def test_states_have_to_be_of_one_kind(some, start):
    with pytest.raises(ValueError, match="expected one state or more"):
        form.figure("x", "t", "", some, start=start)


def test_a_curve_has_its_zero_and_its_ends():
    drawn = form.curves({"lead": [3.0, 1.0, -1.0]}, 0.5)
    assert 'points="0.00,0.00 50.00,50.00 100.00,100.00"' in drawn and 'y1="75.00"' in drawn
    assert "--place:0.5000" in drawn


# What they show.


def test_pixels_have_one_of_four_states():
    clean = torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0, 0.3])
    assert study.states(clean, torch.tensor([0.0, 0.2, 0.0, 0.6, 1.0, 1.0])).tolist() == [0, 2, 0, 3, 1, 1]


def test_the_path_is_the_one_that_python_finds_now(kept, bench):
    stored, found = kept["path"], study.path(*bench)
    assert (stored["digit"], stored["target"], stored["reads"]) == (found["digit"], found["target"], found["reads"])
    for name in ("edge", "c", "distortion", "black"):
        assert stored[name] == pytest.approx(found[name], **NEAR), f"{name}: run `python -m intriguing touch`"
    assert stored["lead"] == pytest.approx(found["lead"], abs=0.02)
    assert np.array(stored["shares"]) == pytest.approx(np.array(found["shares"]), abs=0.01)


def test_the_edge_parts_those_who_reach_the_target_and_pictures_are_those_of_the_numbers(kept):
    stored = kept["path"]
    for c, lead, read in zip(stored["c"], stored["lead"], stored["reads"], strict=True):
        assert (lead > 0) == (c < stored["edge"]) == (read == stored["target"])
    sheet = tiles(stored["tiles"])
    for i, shares in enumerate(stored["shares"]):
        colours = sheet[3 * i + 2].reshape(-1, 4)
        counted = [(colours[:, :3] == study._COLOURS[kind]).all(1).mean() for kind in range(4)]
        assert counted == pytest.approx(shares, abs=1e-9) and sum(shares) == pytest.approx(1)


def test_the_radius_is_the_one_that_python_finds_now(kept, bench):
    stored, found = kept["radius"], study.radius(*bench)
    assert stored["along"] == found["along"] and stored["nearest"] == found["nearest"]
    for name in ("global", "local", "found", "radius"):
        assert stored[name] == pytest.approx(found[name], **NEAR), f"{name}: run `python -m intriguing touch`"


def test_within_what_is_proved_nothing_is_misread_and_the_found_picture_is(kept):
    stored = kept["radius"]
    assert 0 < stored["global"] < stored["local"] < stored["found"] and stored["radius"] == sorted(stored["radius"])
    for size, along, noise in zip(stored["radius"], stored["along"], stored["noise"], strict=True):
        if size <= stored["local"]:
            assert along == noise == stored["digit"]
    assert stored["along"][stored["radius"].index(stored["found"])] == stored["nearest"]


def test_examples_that_travel_are_made_by_networks_as_they_are_defined_now(kept, monkeypatch):
    monkeypatch.setenv("INTRIGUING_PROFILE", kept["about"]["profile"])
    assert kept["about"]["training"] == study.definition(), "run `python -m intriguing touch --profile paper`"
    assert len(base64.b64decode(kept["travel"]["tiles"])) < 150_000


def test_a_cell_counts_what_it_shows(kept):
    travel = kept["travel"]
    for i, row in enumerate(travel["cells"]):
        for j, cell in enumerate(row):
            wrong = [label != now for _, _, label, _, now in cell["shown"]]
            assert len(wrong) == study.SHOWN and sum(wrong) <= cell["misread"] <= travel["tried"]
            if i == j:
                assert cell["misread"] > 0.9 * travel["tried"]


class Reads(nn.Module):
    """Weighs the first pixel against the second, bent by a number of its own."""

    def __init__(self, bend: float) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.bias.zero_()
            self.layer.weight[0, 0], self.layer.weight[1, 1] = 1.0, bend

    def forward(self, x):
        return self.layer(x.flatten(1))


def test_travel_puts_those_first_that_only_the_perturbation_made_wrong():
    pictures = torch.zeros(12, 1, 28, 28)
    pictures[:, 0, 0, 0], pictures[:, 0, 0, 1] = 0.6, torch.linspace(0.0, 0.5, 12)
    some = Images(pictures, torch.zeros(12, dtype=torch.long), "made up")
    found = study.travel({"a": Reads(1.0).eval(), "b": Reads(0.9).eval()}, some)
    for row in found["cells"]:
        for cell in row:
            only = [was == label != now for _, _, label, was, now in cell["shown"]]
            assert only == sorted(only, reverse=True)
    assert found["networks"] == ["a", "b"] and found["tried"] == 12


def test_the_table_has_the_stored_numbers(kept):
    page = figures.travel(kept["travel"])
    table2 = results.load("table2", "paper").to_frame()
    for maker in kept["travel"]["networks"]:
        for reader in kept["travel"]["networks"]:
            assert f"made for {maker}, read by {reader}: {table2.at[maker, reader]:.1%}" in page


def test_every_point_of_the_plane_has_a_name_and_its_numbers():
    shown = [state["say"] for state in states(figures.plane())]
    rows = [row for frame in minimum.panels(minimum.measured()).values() for row in frame.dropna().itertuples()]
    assert len(shown) >= len(rows) > 10
    for row in rows:
        assert any(words.startswith(f"{row.method}: ") for words in shown)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="got 'x'; expected one of path"):
        figures.figure("x", ROOT)


def test_the_command_says_what_it_wrote(monkeypatch, capsys, tmp_path):
    (tmp_path / "book").mkdir()
    monkeypatch.setattr(study, "path", lambda *given: {})
    monkeypatch.setattr(study, "radius", lambda *given: {})
    monkeypatch.setattr(study, "travel", lambda *given: {})
    monkeypatch.setattr(study, "trained", lambda name, images: type("", (), {"model": torch.nn.Identity()}))
    monkeypatch.setattr(commands.publishing, "repository", lambda: tmp_path)
    stored = laboratory.read(ROOT / laboratory.PLACE)
    monkeypatch.setattr(study.laboratory, "read", lambda path: stored)
    assert commands.main(["touch", "--profile", "quick"]) == 0
    assert study.read(tmp_path)["about"]["profile"] == "quick"
    assert "Written: book/touch.json" in capsys.readouterr().out


# In a browser.

SHOWN = """
const figure = document.querySelector(arguments[0]);
return {say: figure.querySelector('.touch-say').textContent, tiles: [...figure.querySelectorAll('.touch-tile')].map(
    (tile) => 16 * tile.style.getPropertyValue('--row') + Number(tile.style.getPropertyValue('--column'))),
    labels: [...figure.querySelectorAll('.touch-tile')].map((tile) => tile.getAttribute('aria-label')),
    height: figure.offsetHeight};
"""


def page_of(name: str) -> str:
    return f"notebooks/{PAGES[name]}.html"


def has(name: str) -> bool:
    page = test_site.SITE / page_of(name)
    return page.is_file() and f'id="touch-{name}"' in page.read_text(encoding="utf-8")


def opened(browser, where: str, name: str):
    browser.get_log("browser")
    browser.get(where)
    return browser.find_element("css selector", f"#touch-{name}.touch-ready")


@pytest.mark.skipif(not has("path"), reason="the book is not built: run `make book`")
@pytest.mark.parametrize("name", PAGES)
def test_each_choice_is_answered_by_keyboard_in_a_page_and_in_a_file(browser, address, name):
    from selenium.webdriver.common.keys import Keys

    for where in (f"{address}/{page_of(name)}", (test_site.SITE / page_of(name)).as_uri()):
        figure = opened(browser, where, name)
        wanted = states((test_site.SITE / page_of(name)).read_text(encoding="utf-8").split(f'id="touch-{name}"')[1])
        heights = {browser.execute_script(SHOWN, f"#touch-{name}")["height"]}
        sliders = figure.find_elements("css selector", "input")
        buttons = figure.find_elements("css selector", "[data-state]")
        assert len(sliders) == 1 or len(buttons) == len(wanted)
        if sliders:
            sliders[0].send_keys(Keys.HOME)
        for number, state in list(enumerate(wanted))[:: 1 if sliders else 3]:
            if sliders and number:
                sliders[0].send_keys(Keys.ARROW_RIGHT)
            elif buttons:
                assert buttons[number].accessible_name
                buttons[number].send_keys(Keys.ENTER)
                assert buttons[number].get_attribute("aria-pressed") == "true"
            shown = browser.execute_script(SHOWN, f"#touch-{name}")
            assert shown["say"] == state["say"] and shown["tiles"] == state["tiles"]
            assert shown["labels"] == state["captions"]
            if sliders:
                assert sliders[0].get_attribute("aria-valuetext") == state["say"]
            heights.add(shown["height"])
        assert max(heights) - min(heights) <= 2, "the page jumps"
        assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.skipif(not has("plane"), reason="the book is not built: run `make book`")
def test_a_point_says_its_name_when_it_is_pointed_at(browser, address):
    from selenium.webdriver.common.action_chains import ActionChains

    figure = opened(browser, f"{address}/{page_of('plane')}", "plane")
    points = figure.find_elements("css selector", ".touch-plane button")
    for point in (points[0], points[-1]):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
        ActionChains(browser, duration=50).move_to_element(point).perform()
        said = figure.find_element("css selector", ".touch-say").text
        assert said.startswith(point.get_attribute("title"))
