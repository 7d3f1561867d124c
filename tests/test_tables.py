"""What the rooms of several chapters share about the paper's tables."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import rms
from intriguing.book import results, tables
from intriguing.book.results import Table
from intriguing.data import Digits, Images


def solved(images: torch.Tensor, sizes: torch.Tensor, successes: int | None = None) -> Distortion:
    """An outcome of the search with given images and sizes."""
    count = len(images)
    success = torch.arange(count) < (count if successes is None else successes)
    return Distortion(images, sizes, success, torch.ones(count).double(), torch.full((count,), 10))


def first_pixels(order: list[int]) -> nn.Module:
    """Says which of the first three pixels is brightest, with the classes renamed."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(3)[order])
    return model


@pytest.fixture
def three():
    """Three images of one bright pixel each, as training and test set: the test labels are wrong once."""
    pixels = torch.eye(3).view(3, 1, 1, 3)
    train, test = Images(pixels, torch.arange(3), "three"), Images(pixels, torch.tensor([0, 1, 1]), "wrong once")
    return Digits(train, test, train, train, "three")


MODELS = {"right": first_pixels([0, 1, 2]), "swaps": first_pixels([1, 0, 2])}


def test_errors_on_both_sets(three):
    assert tables.errors(MODELS["right"], three) == [0, pytest.approx(1 / 3)]
    assert tables.errors(MODELS["swaps"], three) == [pytest.approx(2 / 3), 1]


def test_tables_1_and_2_by_hand(three):
    sets = {name: solved(three.train.images[[1, 0, 2]], torch.tensor([0.1, 0.2, 0.3]).double()) for name in MODELS}
    table1 = tables.table1(MODELS, three, sets)
    assert table1.rows["right"] == pytest.approx([0, 1 / 3, 0.2])
    table2 = tables.table2(MODELS, three.train, sets)
    assert table2.rows["swaps"] == pytest.approx([2 / 3, 0, 0.2])
    assert list(table2.rows) == ["right", "swaps", "Gaussian noise 0.1", "Gaussian noise 0.3"]
    assert table2.rows["Gaussian noise 0.1"] == pytest.approx([0, 2 / 3, 0.1])  # noise too small to change a class
    clipped = tables.table2(MODELS, three.train, sets, clip_noise=True)
    assert clipped.name == "table2_clipped" and list(clipped.rows) == ["Gaussian noise 0.1", "Gaussian noise 0.3"]


def test_a_bar_names_the_network_that_is_attacked_and_is_there_on_request_only(three, monkeypatch):
    calls = []
    monkeypatch.setattr(tables.runs, "attack", lambda *given, progress: calls.append((*given, progress)) or given[0])
    images, targets = three.train.images, torch.tensor([1, 2, 0])
    assert tables.adversarial_sets(MODELS, images, targets, progress=True) == MODELS
    assert [call[3] for call in calls] == ["attacking right", "attacking swaps"]
    assert all(call[1] is images and call[2] is targets for call in calls)
    calls.clear()
    tables.adversarial_sets(MODELS, images, targets)
    assert [call[3] for call in calls] == [None, None]


def test_noise_of_equal_size_reaches_the_networks_with_that_size(three):
    seen, watching = [], first_pixels([0, 1, 2])
    watching.register_forward_pre_hook(lambda _, arguments: seen.extend(arguments))
    sizes = torch.tensor([0.01, 0.02, 0.03]).double()
    table = tables.equal_noise({"watching": watching}, three.train, {"watching": solved(three.train.images, sizes)})
    torch.testing.assert_close(rms(seen[0], three.train.images), sizes, rtol=1e-4, atol=1e-6)
    assert table.rows == {"watching": [0.0]}


def test_tolerances_are_four_deviations_and_no_less_than_the_floor(monkeypatch):
    spread = Table("spread_table1", ["test error"], {"a": [0.01], "b": [0.0001]})
    monkeypatch.setattr(results, "load", lambda name, profile: spread)
    expected = pd.DataFrame({"test error": {"a": 0.04, "b": 0.003}})
    pd.testing.assert_frame_equal(tables.tolerances("table1"), expected)
    assert tables.tolerances("table1", floor=0.0).at["b", "test error"] == pytest.approx(0.0004)


@pytest.fixture
def measured(monkeypatch):
    """Four times these spreads are 0.04, 0, 0.03 and 0, 0.2, 0.4."""
    spread = Table("spread_t", ["m", "n", "distortion"], {"a": [0.01, 0.0, 0.0075], "b": [0.0, 0.05, 0.1]})
    monkeypatch.setattr(tables.results, "load", lambda name, profile: spread)
    return Table("t", ["m", "n", "distortion"], {"a": [0.5, 0.5, 0.1], "b": [0.5, 0.5, 0.1]})


def test_a_rate_that_moved_is_allowed_what_its_row_moved(measured, monkeypatch):
    allowed = tables.pooled_tolerances(measured, by="row")
    # Rates that never moved keep the floor of 0.003, and each row has one other rate only.
    assert allowed.loc["a"].tolist() == pytest.approx([0.04, 0.003, 0.03])
    assert allowed.loc["b"].tolist() == pytest.approx([0.003, 0.2, 0.4])
    both = Table("spread_t", ["m", "n"], {"a": [0.01, 0.03], "b": [0.0, 0.0]})
    monkeypatch.setattr(tables.results, "load", lambda name, profile: both)
    allowed = tables.pooled_tolerances(measured, by="row")
    assert allowed.loc["a"].tolist() == pytest.approx([math.sqrt((0.04**2 + 0.12**2) / 2), 0.12])
    assert allowed.loc["b"].tolist() == [0.003, 0.003]


def test_an_entry_is_allowed_the_median_of_its_column_and_a_floor(measured):
    table = Table("t", measured.columns, measured.rows | {"not measured": [0.0, 0.0, 0.0]})
    allowed = tables.pooled_tolerances(table, by="column", floor={"m": 0.03, "n": 0.03, "distortion": 0.01})
    assert allowed.loc["a"].tolist() == pytest.approx([0.04, 0.1, 0.215])
    assert allowed.loc["b"].tolist() == pytest.approx([0.03, 0.2, 0.4])
    assert allowed.loc["not measured"].tolist() == pytest.approx([0.03, 0.1, 0.215])


def test_another_pool_is_refused(measured):
    with pytest.raises(ValueError, match="expected 'row' or 'column'"):
        tables.pooled_tolerances(measured, by="entry")


def test_the_weight_of_a_comparison_is_said():
    table = Table("t", ["x", "y"], {"a": [0.5, 0.1], "b": [0.2, 0.0]})
    allowed = pd.DataFrame({"x": {"a": 0.3, "b": 0.02}, "y": {"a": 0.01, "b": 0.003}})
    assert tables.weight_of(table, allowed).startswith(
        "The widest tolerance is 0.300, for an entry of 0.500 (a, x). In 2 of 4"
    )


def test_one_error_rate_exceeds_another_beyond_two_standard_errors():
    # None of 60 misread is a rate with an error of its own.
    assert tables.more_errors(4 / 60, 0.0, 60) is None and tables.more_errors(9 / 60, 0.0, 60) is True
    # Of 1,000 images each, two standard errors of the difference from 5 % are 2.1 points at 7 %, with a margin or not.
    assert tables.more_errors(0.05, 0.073, 1000) is False and tables.more_errors(0.05, 0.07, 1000) is None
    assert tables.more_errors(0.08, 0.05, 1000, margin=0.01) is None
    assert tables.more_errors(0.09, 0.05, 1000, margin=0.01) is True
    assert tables.more_errors(0.05, 0.05, 10_000, margin=-0.01) is True
    assert tables.more_errors(0.05, 0.05, 1000, margin=-0.01) is None


def test_no_error_rate_exceeds_none():
    assert tables.more_errors(float("nan"), 0.1, 100) is None and tables.more_errors(0.1, float("nan"), 100) is None


def test_a_set_is_counted_for_functions_and_for_one_label_each():
    images = torch.eye(3).view(3, 1, 1, 3)
    function = lambda x: x.flatten(1)  # noqa: E731 - no module
    assert tables.error_matrix({"a": function}, {"all": images}, torch.tensor([0, 1, 0])) == {"all": [1 / 3]}
    with pytest.raises(ValueError, match="expected one per image"):
        tables.error_matrix({"a": function}, {"all": images}, torch.arange(3)[:, None])


def test_a_median_lies_halfway_between_the_middle_two():
    assert float(tables.median(torch.tensor([4.0, 1.0, 3.0, 2.0]))) == 2.5
    assert float(tables.median(torch.tensor([5.0, torch.inf, 1.0]))) == 5
    assert tables.median(torch.tensor([[1.0, torch.inf], [3.0, torch.inf]])).tolist() == [2, torch.inf]
    assert tables.median(torch.tensor([1.0, torch.inf])).item() == torch.inf
