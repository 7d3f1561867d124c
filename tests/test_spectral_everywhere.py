"""The sandwich over all classes on linear networks, whose nearest images are known, and how a perturbation grows."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.book import results
from intriguing.chapters.spectral import everywhere
from intriguing.data import Images


@pytest.fixture
def known(tmp_path, monkeypatch) -> tuple[nn.Sequential, Images]:
    """The lead over class 2 is larger than that over class 1, but its weight is steeper, so that class 2 is nearer."""
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False).eval()
    model[1].weight.zero_()
    model[1].bias.fill_(-50)
    model[1].bias[:3] = torch.tensor([1.0, 0.0, -1.0])
    model[1].weight[1, 0], model[1].weight[2, 1] = 2, 10
    return model, Images(torch.full((2, 1, 28, 28), 0.05), torch.zeros(2, dtype=torch.long), "grey")


def test_the_nearest_of_all_classes_is_not_the_second(known):
    model, images = known
    found = everywhere.everywhere("linear", model, images)
    # Leads of 0.9 over class 1 at slope 2 and of 1.5 over class 2 at slope 10.
    assert (28 * found.second).tolist() == pytest.approx([0.45] * 2, rel=1e-4)
    assert (28 * found.radius).tolist() == pytest.approx([0.15] * 2, rel=1e-4)
    assert (28 * found.found).tolist() == pytest.approx([0.15] * 2, rel=1e-2)
    assert (found.nearer, found.contradictions) == (2, 0)
    row = everywhere.table({"linear": found}, "made up").to_frame().loc["linear"]
    assert row["nearer than the runner-up's radius"] == 2 and row["contradictions"] == 0
    assert 0.98 < row["largest ratio"] <= 1
    # For a linear network the first layer is the whole one, and the perturbation lies along one weight of slope 10.
    assert found.grown[:2].tolist() == pytest.approx([10, 10], rel=1e-3)
    assert found.grown[2] < 2 and found.first == pytest.approx(10)


def test_a_find_within_the_radius_would_be_seen(known):
    model, images = known
    found = everywhere.everywhere("linear", model, images)
    refuted = dataclasses.replace(found, found=found.radius * torch.tensor([0.99, 1.01]))
    assert refuted.contradictions == 1
    flat = dataclasses.replace(found, grown=torch.tensor([1.0, 9.0, 0.9, 1.0]), first=2.0)
    steep = dataclasses.replace(flat, grown=torch.tensor([1.9, 9.0, 0.5, 1.0]))
    assert all(everywhere.claims({"FC10(1e-4)": flat, "FC100-100-10": steep, "ConvNet": flat}).values())
    early = dataclasses.replace(steep, grown=torch.tensor([3.0, 4.0, 0.9, 4.0]), found=refuted.found)
    late = dataclasses.replace(flat, first=0.5)
    assert not any(everywhere.claims({"FC100-100-10": late, "ConvNet": early}).values())
    grown = flat
    table = everywhere.growth({"ConvNet": grown}, "made up")
    assert table.to_frame().loc["ConvNet"].tolist() == pytest.approx([2.0, 1.0, 0.9, 9.0, 1.0])


def test_what_is_said_of_growth():
    rows = {
        "FC10(1)": [9.0, 1, 1, 1, 1],
        "FC100-100-10": [4.0, 3, 1, 12, 1],
        "AE400-10": [7.0, 5, 1, 6, 0.5],
        "ConvNet": [32.0, 24, 20, 10, 2],
    }
    said = everywhere.growth_words(results.Table("growth", list(everywhere.LEAST["growth"]), rows))
    assert "grows 3.0 to 5.0 times as much as noise, up to their logits 12.0 to 12.0 times" in said
    assert "grows to 75% of the bound" in said and "is 1.20 there and 5.0 in the logits" in said


@pytest.mark.parametrize("name", everywhere.LEAST)
def test_tolerances_are_measured_over_seeds(name):
    made = results.load(name, "quick")
    allowed = everywhere.allowed(made)
    assert list(allowed.columns) == made.columns and list(allowed.index) == list(made.rows)
    spread = 4 * results.load(f"spread_{name}", "quick").to_frame()
    assert bool((allowed >= spread.clip(lower=pd.Series(everywhere.LEAST[name]), axis=1) - 1e-9).all(axis=None))
    if name == "sandwich_all":
        assert bool((allowed["contradictions"] == 0).all())


def test_what_is_said_of_the_least_tolerances():
    """The page names a least for distances, ratios and factors, and the count of nearer images."""
    least = dict(everywhere.LEAST["sandwich_all"])
    assert least.pop("images") == least.pop("contradictions") == 0
    assert least.pop("nearer than the runner-up's radius") == 1
    assert [least.pop("largest ratio"), *everywhere.LEAST["growth"].values()] == [0.01] * 6
    assert set(least.values()) == {1e-4}
    assert everywhere.tables.tolerances("sandwich").min(axis=None) == 0.003
