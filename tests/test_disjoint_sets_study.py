"""The tables of disjoint halves by hand, and which search the networks get."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.attack.perturbations import rms
from intriguing.book import paper
from intriguing.book.results import Table
from intriguing.chapters.disjoint_sets import study
from intriguing.data import Digits, Images


class Brightest(nn.Module):
    """Says which of three pixels is brightest, with the classes renamed."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(3)[order])
        self.eval()

    def forward(self, images):
        return self.linear(images.flatten(1))


def as_images(pixels, labels=None, name="toy") -> Images:
    pixels = torch.as_tensor(pixels, dtype=torch.float32).view(-1, 1, 1, 3)
    return Images(pixels, torch.as_tensor(labels if labels is not None else [0] * len(pixels)), name)


def as_set(images) -> Distortion:
    count = len(images)
    whole = torch.as_tensor(images, dtype=torch.float32).view(-1, 1, 1, 3)
    return Distortion(whole, torch.zeros(count), torch.ones(count) > 0, torch.ones(count), torch.ones(count).long())


def test_table3_by_hand():
    part1, part2 = as_images(torch.eye(3), [0, 1, 2]), as_images(torch.eye(3), [0, 1, 1])
    digits = Digits(part1, as_images(torch.eye(3), [1, 0, 0]), part1, part2, "toy digits")
    found = as_set(torch.eye(3))
    found = Distortion(found.images, torch.tensor([0.1, 0.2, 0.6]), found.success, found.penalty, found.evaluations)
    table = study.table3({"m": Brightest([0, 1, 2])}, digits, {"m": found})
    assert table.name == "table3" and table.columns == list(paper.TABLE3.columns)
    assert table.rows["m"] == pytest.approx([0, 1 / 3, 1, 0.3])
    assert table.meta["data"] == "toy digits"


def test_table4_by_hand():
    images = as_images([[0.6, 0.5, 0.0], [0.5, 0.6, 0.0]], [0, 1])
    models = {"FC100-100-10": Brightest([0, 1, 2]), "FC123-456-10": Brightest([1, 0, 2])}
    # A little more of the second pixel fools the first network on the first image; amplified, it goes further that way.
    sets = {"FC100-100-10": as_set([[0.6, 0.61, 0.0], [0.5, 0.59, 0.0]])}
    sets["FC123-456-10"] = as_set([[0.6, 0.5, 0.0], [0.5, 0.6, 0.0]])  # nothing moved
    table = study.table4(models, images, sets)
    assert list(table.rows) == [row for row in paper.TABLE4.rows if "'" not in row]  # in the paper's order
    assert table.columns == ["FC100-100-10", "FC123-456-10", "distortion"]
    distortion = (0.11 / math.sqrt(3) + 0.01 / math.sqrt(3)) / 2
    assert table.rows["FC100-100-10"] == pytest.approx([0.5, 0.5, distortion], abs=1e-6)
    assert table.rows["FC123-456-10"] == pytest.approx([0, 1, 0], abs=1e-6)
    # 0.1 per pixel is 0.173 on one: [0.6, 0.673] and [0.5, 0.427].
    assert table.rows["FC100-100-10 amplified to 0.1"] == pytest.approx([1, 0, 0.1], abs=1e-6)
    assert table.rows["FC123-456-10 amplified to 0.1"] == pytest.approx([0, 1, 0], abs=1e-6)
    assert table.rows["Gaussian noise 0.06"][-1] == 0.06


def test_the_other_forms_of_table4():
    images = as_images([[0.95, 0.5, 0.0]], [0])
    models = {"FC100-100-10": Brightest([0, 1, 2])}
    sets = {"FC100-100-10": as_set([[0.96, 0.5, 0.02]])}
    clipped, boxed = (study.table4(models, images, sets, form=form) for form in ("clipped", "boxed"))
    row = "FC100-100-10 amplified to 0.1"
    assert clipped.name == "table4_clipped" and boxed.name == "table4_boxed"
    assert list(clipped.rows) == ["Gaussian noise 0.06", row, "Gaussian noise 0.1"]
    assert list(boxed.rows) == [row]
    unit = math.sqrt(3) * 0.1 / math.hypot(0.01, 0.02)
    expected = math.hypot(min(0.05, 0.01 * unit), 0.02 * unit) / math.sqrt(3)
    assert clipped.rows[row][-1] == pytest.approx(expected, rel=1e-5)
    assert expected < 0.1 and boxed.rows[row][-1] == pytest.approx(0.1, rel=1e-5)


def test_noise_of_equal_size():
    pixels = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    pixels[:, 2] = 0
    model = Brightest([0, 1, 2])
    images = as_images(pixels, pixels.argmax(1))
    still = as_set(pixels)
    sizes = torch.full((4000,), 0.2, dtype=torch.float64)
    loud = Distortion(still.images, sizes, still.success, still.penalty, still.evaluations)
    rows = study.noise_of_equal_size({"m": model}, images, {"still": still, "loud": loud}).rows
    assert rows["still"] == rows["no distortion"] == [0.0]
    # The lead of one pixel over the other is triangular on [0, 1]; noise of that size flips a good part.
    assert 0.15 < rows["loud"][0] < 0.5


def test_amplified_examples_come_kind_after_kind_with_what_is_read():
    images = as_images([[0.6, 0.5, 0.4], [0.4, 0.6, 0.5], [0.0, 0.0, 0.9]], [0, 1, 2])
    found = as_set([[0.5, 0.55, 0.4], [0.4, 0.6, 0.65], [0.0, 0.0, 0.9]])
    shown, readings = study.amplified_examples(Brightest([0, 1, 2]), images, found, count=2)
    assert shown.shape == (8, 1, 1, 3)
    assert torch.equal(shown[:2], images.images[:2]) and torch.equal(shown[2:4], found.images[:2])
    torch.testing.assert_close(rms(shown[:2], shown[4:6]), torch.full((2,), 0.1, dtype=torch.float64))
    assert shown.min() >= 0 and shown.max() <= 1
    assert readings[:6] == ["0", "1", "1", "2", "1", "2"]
    assert readings[6:] == [str(int(part.argmax())) for part in shown[6:].flatten(1)]


def test_kinds_sorts_pairs_by_what_they_share():
    good, bad = Brightest([0, 1, 2]), Brightest([1, 2, 0])
    images = as_images(torch.eye(3), [0, 1, 2])
    names = ("FC100-100-10", "FC123-456-10", "FC100-100-10'", "FC123-456-10'")
    # Whoever reads is right in repetition 0 and wrong in repetition 1, but for networks of P2, which are always right.
    readers = [
        dict.fromkeys(names, good),
        {name: good if name.endswith("'") else bad for name in names},
    ]
    sets = [{name: as_set(torch.eye(3)) for name in names}] * 2
    table = study.kinds(readers, images, sets)
    # Same half: makers of P1 meet P1 readers (right in one repetition, wrong in the other), makers of P2 are all right.
    assert {row: values[3] for row, values in table.rows.items()} == dict.fromkeys(table.rows, 8)
    assert table.rows["same architecture, same half"][0] == pytest.approx(0.25)
    assert table.rows["other architecture, other half"][0] == pytest.approx(0.25)
    # The sets are the clean images, so that their readers err on both alike.
    assert all(values[2] == pytest.approx(values[0]) for values in table.rows.values())
    only = study.kinds(
        [{"FC100-100-10": good}, {"FC100-100-10": bad}], images, [{"FC100-100-10'": as_set(torch.eye(3))}] * 2
    )
    assert only.rows == {"same architecture, other half": [0.5, pytest.approx(math.sqrt(0.5)), 0.5, 2.0]}


def test_kinds_needs_repetitions():
    with pytest.raises(ValueError, match="two repetitions or more"):
        study.kinds([{}], as_images([[0, 0, 0]]), [{}])


def test_attack_all_shortens_the_search_for_convolutions_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    seen = []

    def attack(model, images, targets, **options):
        seen.append(options)
        return minimum_distortion(model, images, targets)

    monkeypatch.setattr(study.runs, "attack", attack)
    plain = Brightest([0, 1, 2])
    kinked = nn.Sequential(nn.Conv2d(1, 3, (1, 3)), nn.Flatten()).eval().requires_grad_(False)
    images = as_images([[0.9, 0.2, 0.1]])
    sets = study.attack_all({"p": plain, "k": kinked}, images, torch.tensor([1]))
    assert list(sets) == ["p", "k"]
    assert seen == [{}, study.KINKED]


def test_short_settings_stop_after_ten_iterations_in_place_of_a_hundred_and_ten_times_as_coarsely():
    usual = {name: one.default for name, one in inspect.signature(minimum_distortion).parameters.items()}
    assert usual["max_iterations"] == 100 and study.KINKED["max_iterations"] == 10
    for name in ("tolerance", "margin_tolerance"):
        assert study.KINKED[name] == pytest.approx(10 * usual[name])


def test_tolerances_allow_rates_three_images_or_two_standard_errors_but_not_distortions(monkeypatch):
    columns = ["m", "± m", "distortion", "± distortion"]
    spread = Table("spread_t", columns, {"a": [0.001, 0.001, 0.0001, 0.01], "b": [0.02, 0, 0, 0]})
    monkeypatch.setattr(study.tables.results, "load", lambda name, profile: spread)
    allowed = study.tolerances(Table("t", columns, {"a": [1.0, 0.5, 0.06, 0.5], "b": [0.0, 0.5, 0.5, 0.5]}), 100)
    assert allowed.loc["a"].tolist() == pytest.approx([0.03, 0.03, 0.003, 0.04])
    assert allowed.loc["b"].tolist() == pytest.approx([0.08, 0.03, 0.003, 0.003])
    allowed = study.tolerances(Table("t", columns, {"a": [0.2, 0, 0, 0], "b": [0.5, 0, 0, 0]}), 100)
    assert allowed["m"].tolist() == pytest.approx([0.08, 0.1])


def test_misread_images_are_counted_one_by_one():
    images = as_images([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 1, 2])
    models = {"FC10(1)": Brightest([0, 1, 2]), "ConvNet": Brightest([0, 2, 1])}
    moved = {"FC10(1)": as_set([[1, 0, 0], [1, 0, 0], [0, 0, 1]])}
    found = study.counted(models, images, moved)
    assert {reader: wrong.tolist() for reader, wrong in found.sets["FC10(1)"].items()} == {
        "FC10(1)": [False, True, False],
        "ConvNet": [False, True, True],
    }
    assert found.noise["FC10(1)"]["ConvNet"].tolist() == [False, True, True]  # noise of no size at all
    assert found.spread.at["AE400-10", "ConvNet"] > 0
