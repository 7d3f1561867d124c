"""The scorecard: what counts as a finding, what is missing, and how close is close."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from intriguing import paper, results, scorecard


@pytest.fixture
def store(monkeypatch, tmp_path):
    """Puts the stored runs into an empty folder; returns a function that stores a table or claims there."""
    monkeypatch.setattr(results, "location", lambda name, profile=None: tmp_path / "results" / "quick" / f"{name}.json")

    def keep(name, **content):
        path = results.location(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"meta": {}} | content))

    return keep


def test_every_printed_number_is_listed_while_nothing_is_stored(store):
    found = scorecard.entries()
    printed = [value for table in paper.TABLES.values() for row in table.rows.values() for value in row]
    assert len(found) == sum(value is not None for value in printed)
    assert found["ours"].isna().all()
    assert (scorecard.counts(found)[["computed", "close", "near", "far"]] == 0).all(axis=None)
    assert list(scorecard.claims().columns) == ["page", "claim", "holds"] and scorecard.claims().empty


def test_what_is_no_finding_is_not_counted(store):
    found = scorecard.entries().set_index(["table", "row", "column"])["kind"]
    assert found["table1", "FC10(1)", "distortion"] == "distortion"
    assert found["table2", "FC10(1)", "distortion"] == "given"
    assert found["table2", "FC10(1)", "FC10(1)"] == "given"
    assert found["table2", "FC10(1)", "AE400-10"] == "error"
    assert found["table4", "FC100-100-10 amplified to 0.1", "FC100-100-10"] == "given"
    assert found["table5", "Conv. 1", "upper bound"] == "bound"
    assert found["table5", "Conv. 1", "stride"] == "given"
    assert scorecard.counts(scorecard.entries())["printed"].to_dict() == {
        "table1, distortion": 6,
        "table1, error": 12,
        "table2, error": 42,
        "table3, distortion": 3,
        "table3, error": 9,
        "table4, error": 18,
        "table5, bound": 8,
    }


def test_differences_are_counted_by_points_and_by_parts(store):
    # One, three and ten points, exactly, and a little more than ten.
    shifts = dict(zip(paper.MODELS, (0.01, -0.01, 0.03, 0.1, 0.1001, 0.0), strict=True))
    rows = {
        name: [train + shifts[name], None, size * (1 + shifts[name])]
        for name, (train, _, size) in paper.TABLE1.rows.items()
    }
    store("table1", columns=list(paper.TABLE1.columns), rows=rows)
    counted = scorecard.counts(scorecard.entries())
    assert counted.loc["table1, error"].tolist() == [12, 6, 3, 4, 5]
    assert counted.loc["table1, distortion"].tolist() == [6, 6, 4, 5, 6]


def test_an_earlier_chapter_s_part_of_a_table_counts_until_the_whole_is_there(store):
    errors = {"FC10(1)": [0.2, 0.1]}
    store("table1_errors", columns=["training error", "test error"], rows=errors)
    found = scorecard.entries()
    assert found["ours"].count() == 2
    store("table1", columns=["distortion"], rows={"FC10(1)": [0.14]})
    assert scorecard.entries().dropna(subset="ours")["column"].tolist() == ["distortion"]


def test_claims_are_collected_by_page(store):
    store("transfer_claims", claims={"B": True, "A": False})
    store("blind_spots_claims", claims={"C": True})
    assert scorecard.claims().to_numpy().tolist() == [
        ["blind spots", "C", True],
        ["transfer", "B", True],
        ["transfer", "A", False],
    ]
    store("broken_claims")
    with pytest.raises(results.ResultError, match="broken_claims.json holds no claims"):
        scorecard.claims()


def test_a_sample_size_shows_in_rounded_fractions():
    counted = np.random.default_rng(0).integers(1, 300, 40) / 300
    scores = scorecard.multiples(counted.round(3), range(50, 900))["score"]
    assert scores.idxmax() == 300
    assert scorecard.multiples([0.5, 1.0, 0.0], [2])["fit"].tolist() == [1]
    one = scorecard.multiples([0.25], [100]).loc[100]
    assert (one["fit"], one["expected"]) == (1, 0.1) and math.isclose(one["score"], 0.9 / 0.3)


@pytest.mark.parametrize(("numbers", "sizes"), [([0.0, 1.0], [10]), ([0.5], [1000]), ([0.5], [0])])
def test_multiples_refuse(numbers, sizes):
    with pytest.raises(ValueError, match="expected at least one number and sizes from 1 to 999"):
        scorecard.multiples(numbers, sizes)


def test_the_paper_s_transfer_rates_fit_256_images():
    rates = pd.concat([paper.TABLE2.to_frame(), paper.TABLE4.to_frame()]).drop(columns="distortion").stack()
    assert scorecard.multiples(rates, range(50, 900))["score"].idxmax() == 256
