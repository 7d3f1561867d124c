"""Real images beside adversarial ones, on images and networks small enough to check by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.chapters.density import natural
from intriguing.chapters.density.noise import interval
from intriguing.data import Digits, Images


def bright() -> nn.Module:
    """A network that gives class 1 where the mean of the pixels exceeds one half, else class 0."""
    last = nn.Linear(784, 2)
    with torch.no_grad():
        last.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 784) / 784)
        last.bias.copy_(torch.tensor([0.5, -0.5]))
    return nn.Sequential(nn.Flatten(), last).eval().requires_grad_(False)


def grey(levels: list[float], labels: list[int], name: str) -> Images:
    return Images(torch.tensor(levels)[:, None, None, None].expand(-1, 1, 28, 28).clone(), torch.tensor(labels), name)


@pytest.fixture
def digits(tmp_path, monkeypatch) -> Digits:
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    test = grey([0.10, 0.45, 0.60, 0.90], [0, 1, 1, 0], "test")
    train = grey([0.15, 0.40, 0.62], [0, 1, 0], "train")
    return Digits(train, test, train.take([0, 1]), train.take([2]), "grey")


def test_the_nearest_training_image_of_either_kind(digits):
    found = natural.company(digits)
    assert found.own.tolist() == pytest.approx([0.05, 0.05, 0.2, 0.28], abs=1e-4)
    assert found.other.tolist() == pytest.approx([0.3, 0.17, 0.02, 0.5], abs=1e-4)


def test_misread_images_and_their_way_out(digits):
    found = natural.misread("bright", bright(), digits.test, 9)
    assert found["wrong"].tolist() == [False, True, False, True]
    assert found["distance"].sort().values.tolist() == pytest.approx([0.05, 0.4], rel=1e-2)
    assert bool(found["righted"].all())
    assert len(natural.misread("bright", bright(), digits.test, 1)["distance"]) == 1


def test_no_image_misread(digits):
    right = digits.test.take([0, 2])
    found = natural.misread("bright", bright(), right, 9)
    assert not bool(found["wrong"].any()) and len(found["distance"]) == 0
    around = {"bright": {"right": torch.tensor([True, True]), "boxed": torch.tensor([0.4, 0.1]).double()}}
    twins = natural.Company(torch.tensor([0.05, 0.2]), torch.tensor([0.3, 0.02]), right.labels)
    row = natural.table(around, {"bright": found}, twins, "x").to_frame().loc["bright"]
    assert row["misread"] == 0 and row["misread within 0.02"] == 0 and row.isna().sum() == 2


def test_table_claims_and_words(digits):
    twins = natural.company(digits)
    wrong = {"bright": natural.misread("bright", bright(), digits.test, 9)}
    around = {"bright": {"right": torch.tensor([True, False, True]), "boxed": torch.tensor([0.04, 0.0, 0.02]).double()}}
    made = natural.table(around, wrong, twins, "x")
    row = made.to_frame().loc["bright"]
    assert row["test images"] == 4 and row["misread"] == 0.5 and row["searched"] == 2
    assert row["median distance, misread"] == pytest.approx(0.225, rel=1e-2)
    assert row["median distance, right"] == pytest.approx(0.03)
    assert (row["with a twin"], row["of these misread"]) == (2, 1)
    assert row["at most"] == pytest.approx(float(interval(torch.tensor([1]), 2)[1]), rel=1e-4)
    claims = list(natural.claims(made, twins).values())
    assert claims == [False, True, False, False]
    assert row["digits with twins"] == 2
    said = natural.words(made, twins)
    assert "2 of 4 test images have a training image of their class within 0.07" in said
    assert "misread 1 to 1" in said and "0.030 to 0.030 from an adversarial" in said
    assert natural.allowed(made).loc["bright", "with a twin"] == 0
