"""Mean, spread and what lies inside them, by hand; the halves of a small set."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from intriguing import disjoint, paper, seeds
from intriguing.data import Digits, Images
from intriguing.results import Table


def toy(count: int = 10) -> Digits:
    images = torch.arange(count).float().view(-1, 1, 1, 1) / count
    whole = Images(images, torch.zeros(count, dtype=torch.long), "toy")
    return Digits(whole, whole, whole, whole, "toy digits")


def test_small_takes_the_first_images_and_halves_them():
    digits = seeds.small(toy(), 6)
    first = toy().train.images
    assert torch.equal(digits.train.images, first[:6])
    assert torch.equal(digits.part1.images, first[:3]) and torch.equal(digits.part2.images, first[3:6])
    assert len(digits.test) == 10
    names = {digits.train.name, digits.part1.name, digits.part2.name, seeds.small(toy(), 8).train.name, "toy"}
    assert len(names) == 5  # weights are kept by name and number, so no two may share both


@pytest.mark.parametrize("count", [0, 5, 12, -2])
def test_small_refuses_what_cannot_be_halved(count):
    with pytest.raises(ValueError, match="even number"):
        seeds.small(toy(), count)


@pytest.mark.parametrize(
    ("value", "percent", "expected"),
    [
        (0.067, True, 0.0005),  # 6.7 %
        (0.10, True, 0.005),  # 10 %
        (0.0164, True, 0.00005),  # 1.64 %
        (0.0, True, 0.005),
        (0.062, False, 0.0005),
        (0.1, False, 0.05),
    ],
)
def test_half_a_unit_of_the_last_digit(value, percent, expected):
    assert seeds.half_unit(value, percent=percent) == pytest.approx(expected)


def a_study(means: dict, deviations: dict) -> seeds.Study:
    return seeds.Study(means, deviations, Table("same_or_other", ["error"], {"a": [0.0]}), 3, "toy")


def test_inside_by_hand():
    column = ["error on P1", "distortion"]
    means = {"table3": pd.DataFrame([[0.10, 0.060]], index=["m"], columns=column)}
    means |= {"table4": pd.DataFrame([[0.5]], index=["a"], columns=["b"])}
    spreads = {"table3": pd.DataFrame([[0.01, 0.001]], index=["m"], columns=column)}
    spreads |= {"table4": pd.DataFrame([[0.0]], index=["a"], columns=["b"])}
    lines = [
        ["table3", "m", "error on P1", "error", 0.119, 0.13],  # within 2 sd of both
        ["table3", "m", "error on P1", "error", 0.121, 0.15],  # of neither, and rounding does not help
        ["table3", "m", "distortion", "distortion", 0.065, 0.0671],  # sized fails by 0.0001, rounding mends it
        ["table3", "m", "distortion", "distortion", 0.061, math.nan],  # the mean stands in
        ["table4", "a", "b", "error", 0.5, 0.55],  # 100 images: a standard error of 0.05
        ["table4", "a", "b", "error", 0.5, 0.62],
        ["table4", "a", "a", "given", 1.0, 1.0],
        ["table5", "Conv. 1", "upper bound", "bound", 2.75, 2.7],
    ]
    entries = pd.DataFrame(lines, columns=["table", "row", "column", "kind", "paper", "ours"])
    compared = seeds.inside(a_study(means, spreads), entries, counted=100)
    assert compared["raw"].tolist() == [True, False, False, True, True, True]
    assert compared["sized"].tolist() == [True, False, False, True, False, False]
    assert compared["fair"].tolist() == [True, False, True, True, True, False]
    assert compared["ours"].iat[3] == 0.060
    counts = seeds.counts(compared)
    assert counts.loc["table3"].tolist() == [4, 2, 2, 3]
    assert counts.loc["table4"].tolist() == [2, 2, 0, 1]
    assert counts.loc["all"].tolist() == [6, 4, 2, 4]


def test_a_study_as_tables():
    means = {"table3": pd.DataFrame([[0.1, 0.2]], index=["m"], columns=["a", "b"])}
    spreads = {"table3": pd.DataFrame([[0.01, 0.02]], index=["m"], columns=["a", "b"])}
    table = a_study(means, spreads).table("table3")
    assert table.name == "seeds_table3"
    assert table.columns == ["a", "b", "± a", "± b"]
    assert table.rows == {"m": [0.1, 0.2, 0.01, 0.02]}
    assert table.meta == {"data": "toy", "repetitions": 3}


def test_study_gives_mean_and_deviation_over_repetitions(monkeypatch, tmp_path):
    """Networks are replaced by their seeds and attacks by numbers, so that the arithmetic is all that is left."""
    monkeypatch.setattr(seeds, "trained", lambda name, images, *, seed, max_iterations: _Model(seed))
    monkeypatch.setattr(
        disjoint, "trained", lambda name, images, *, seed, max_iterations: _Model(seed // 2 if seed % 2 == 0 else 50)
    )
    monkeypatch.setattr(seeds, "_attacked", lambda models, images: models)
    rows = {name: table.rows for name, table in paper.TABLES.items()}

    def table(name):
        def made(models, *others, **options):
            value = float(next(iter(models.values())).seed)
            columns = list(paper.TABLES[name].columns)
            return Table(name, columns, {row: [value] * len(columns) for row in rows[name]}, {"data": "toy"})

        return made

    for place, name in ((seeds.tables, "table1"), (seeds.tables, "table2"), (disjoint, "table3"), (disjoint, "table4")):
        monkeypatch.setattr(place, name, table(name))
    monkeypatch.setattr(disjoint, "kinds", lambda halves, images, sets: (halves, sets))
    found = seeds.study(seeds.small(toy(), 4), repetitions=3, attacked=2)
    for name in seeds.TABLES:
        assert np.all(found.means[name] == 1) and np.all(found.deviations[name] == 1)  # of 0, 1 and 2
        assert list(found.means[name].index) == list(paper.TABLES[name].rows)
    halves, sets = found.same_or_other
    assert len(halves) == len(sets) == 3
    assert [len(networks) for networks in halves] == [4] * 3  # the square is complete


def test_study_needs_two_repetitions():
    with pytest.raises(ValueError, match="at least two repetitions"):
        seeds.study(toy(), repetitions=1, attacked=2)


class _Model:
    def __init__(self, seed: int) -> None:
        self.seed, self.model = seed, self
