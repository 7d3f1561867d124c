"""The drawings of the chapter on tilting: what the output holds, and that the browser finds what the package finds."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import test_site
from intriguing.attack.perturbations import rms
from intriguing.chapters.tilting import drawing, geometry, study, svm
from intriguing.chapters.tilting.study import Levels, Task

LEVELS = [100.0, 1.0, 0.01]
browser = test_site.browser  # a fixture


@pytest.fixture(scope="module")
def path() -> Levels:
    generator = torch.Generator().manual_seed(0)
    second = torch.arange(60) % 2 == 1
    shape = torch.linspace(0, 0.5, 16, dtype=torch.float64)
    points = torch.rand(60, 16, generator=generator, dtype=torch.float64) * 0.5 + second[:, None] * shape
    task = Task(("2", "3"), points, second, points, second, 8, torch.Size([1, 4, 4]), "made up", "made up")
    return study.levels(task, [svm.train(points, second, level) for level in LEVELS], LEVELS)


def test_packed_numbers_come_back() -> None:
    values = torch.randn(3, 5, dtype=torch.float64)
    part = drawing.packed(values)
    whole = np.frombuffer(base64.b64decode(part["bytes"]), "<i2").reshape(part["shape"])
    assert np.abs(whole * part["scale"] - values.numpy()).max() <= part["scale"] / 2 * 1.001
    assert drawing.packed(torch.zeros(1, 2))["scale"] == 1


def test_common_directions_hold_every_weight(path: Levels) -> None:
    units = torch.stack([line.weight / line.weight.norm() for line in path.machines])
    z = geometry.nearest_centroid(path.task.points, path.task.second).weight
    basis = drawing.common(units, z, 1e-6)
    assert torch.equal(basis[0], z) and torch.allclose(basis @ basis.T, torch.eye(len(basis), dtype=z.dtype), atol=1e-9)
    assert float((units - units @ basis.T @ basis).norm(dim=1).max()) <= 1e-6
    assert len(drawing.common(units, z, 2.0)) == 2


def test_nothing_is_fetched_and_the_page_stays_light(path: Levels) -> None:
    made = drawing.tilting(path)
    assert made.html == drawing.tilting(path).html == made._repr_html_()
    assert "http" not in made.html and "import" not in made.html and len(made.html) < 60_000
    turned = drawing.turning(study.turning(path.task, path.machines[0], path.machines[-1], shown=50))
    assert len(turned.html) < 20_000 and 'aria-label="' in turned.html


MOVE = """
const box = document.querySelectorAll('.drawn')[arguments[0]], inputs = box.querySelectorAll('input');
arguments[1].forEach((value, i) => { inputs[i].value = value; inputs[i].dispatchEvent(new Event('input')); });
const canvas = box.querySelector('canvas');
return {state: box.dataset.state, label: canvas.getAttribute('aria-label'), picture: canvas.toDataURL(),
        words: [...inputs].map((input) => input.getAttribute('aria-valuetext'))};
"""


def test_the_browser_finds_what_the_package_finds(browser, path: Levels, tmp_path: Path) -> None:
    turning = study.turning(path.task, path.machines[0], path.machines[-1], shown=50)
    file = tmp_path / "drawn.html"
    body = drawing.tilting(path).html + drawing.turning(turning).html
    file.write_text(f"<!doctype html><meta charset='utf-8'>{body}", encoding="utf-8")
    browser.get(file.as_uri())
    pictures = set()
    for place, level in enumerate(sorted(LEVELS)):  # the weakest on the left
        shown = browser.execute_script(MOVE, 0, [place, 0])
        state, own = json.loads(shown["state"]), LEVELS.index(level)
        assert state["level"] == pytest.approx(level, rel=1e-6)
        assert state["angle"] == pytest.approx(path.angles[own], abs=0.2)
        assert state["lengths"] == pytest.approx(drawing.distortions(path)[own].tolist(), rel=0.01)
        assert f"leans by {path.angles[own]:.0f} degrees" in shown["label"]
        pictures.add(shown["picture"])
    between = json.loads(browser.execute_script(MOVE, 0, [0.5, 0])["state"])
    assert path.angles[1] < between["angle"] < path.angles[2] and between["level"] == pytest.approx(0.1, rel=1e-6)
    assert len(pictures) == 3
    for shift, name in ((0.1, "3"), (-0.1, "2")):  # the middle level, moved towards either class
        shown = browser.execute_script(MOVE, 0, [1, shift])
        line, state = path.machines[1], json.loads(shown["state"])
        moved = geometry.Boundary(line.weight, line.bias - shift * float(line.weight.norm()))
        lengths = rms(geometry.cross_in_box(path.pair, moved)[0], path.pair)
        assert state["lengths"] == pytest.approx(lengths.tolist(), rel=0.01)
        assert state["lengths"] != pytest.approx(drawing.distortions(path)[1].tolist(), rel=0.01)
        assert state["misread"] == int((moved.score(path.task.points) > 0).ne(path.task.second).sum())
        assert shown["words"][1] == f"0.1 towards {name}"
    for percent, line in ((0, path.machines[0]), (100, path.machines[-1])):
        shown = browser.execute_script(MOVE, 1, [percent, 30])
        angle = geometry.tilting_angle(line.weight, turning.basis[:, 0])
        assert json.loads(shown["state"])["angle"] == pytest.approx(angle, abs=1e-4)
        assert shown["words"] == [f"{percent} %", "30°"]
    # A boundary through the middle cuts a cube in three to six sides.
    assert 3 <= json.loads(shown["state"])["corners"] <= 6
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors, "\n".join(errors)
