"""How far a rerun may lie from the stored run, where few seeds were measured."""

from __future__ import annotations

import math

import pytest

from intriguing import tables
from intriguing.results import Table


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
