"""Real images beside adversarial ones, on images and networks small enough to check by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.book.results import Table
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
    assert claims == [False, True, None, False]  # of two misread images nothing can be said
    assert row["digits with twins"] == 2
    said = natural.words(made, twins)
    assert "2 of 4 test images have a training image of their class within 0.07" in said
    assert "misread 1 to 1" in said and "0.030 to 0.030 from an adversarial" in said
    assert natural.allowed(made).loc["bright", "with a twin"] == 0
    assert "By 95 % intervals for all networks together, such images are more than half of all errors on 0 of 1" in said
    assert "the smallest part is that of bright, 0% (0% to " in said


def real(**networks: tuple[int, int, int]) -> Table:
    """A table of networks of which (misread, searched, near) are given, out of a thousand images."""
    rows = {}
    for name, (misread, searched, near) in networks.items():
        share = near / searched if searched else 0.0
        rows[name] = [1000, misread / 1000, searched, 0.01, 0.03, misread / 1000 * share, 0.5, 30, 1, 0, 0.1]
    return Table("density_real", list(natural.ALLOWED), rows)


def most(made: Table) -> bool | None:
    twins = natural.Company(torch.tensor([0.2]), torch.tensor([0.3]), torch.tensor([0]))
    return next(holds for claim, holds in natural.claims(made, twins).items() if "more than half" in claim)


def test_what_few_misread_images_cannot_decide_stays_open():
    assert most(real(a=(100, 100, 90), b=(200, 50, 45))) is True
    assert most(real(a=(100, 100, 90), b=(240, 100, 55))) is None
    assert most(real(a=(100, 100, 90), b=(240, 100, 20))) is False
    assert most(real(a=(100, 100, 90), none=(0, 0, 0))) is True
    alone, seven = (
        natural.near_shares(real(**dict.fromkeys(names, (100, 50, 40))).to_frame()) for names in ["a", "abcdefg"]
    )
    assert alone.loc["a"].tolist() == pytest.approx([0.8, 0.6628, 0.8997], abs=1e-4)  # SciPy's binomtest, exact
    assert seven["low"].max() < alone["low"].min() and seven["high"].min() > alone["high"].max()


def test_a_share_of_few_images_may_move_further_in_a_rerun():
    allowed = natural.allowed(real(few=(240, 10, 5), many=(240, 240, 120), none=(0, 0, 0)))
    assert allowed.at["few", "misread within 0.02"] == pytest.approx(3 * 0.24 * (0.25 / 10) ** 0.5)
    assert allowed.at["many", "misread within 0.02"] == allowed.at["none", "misread within 0.02"] == 0.05
    assert allowed.at["few", "searched"] == 60 and allowed.at["few", "way out to own class"] == 0.5
