"""The scorecard: what counts as a finding, what is missing, and how close is close."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from intriguing.book import paper, results, scores
from intriguing.chapters import scorecard


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
    found = scores.entries()
    printed = [value for table in paper.TABLES.values() for row in table.rows.values() for value in row]
    assert len(found) == sum(value is not None for value in printed)
    assert found["ours"].isna().all()
    assert (scorecard.counts(found)[["computed", "close", "near", "far"]] == 0).all(axis=None)
    assert list(scorecard.claims().columns) == ["page", "claim", "holds"] and scorecard.claims().empty


def test_what_is_no_finding_is_not_counted(store):
    found = scores.entries().set_index(["table", "row", "column"])["kind"]
    assert found["table1", "FC10(1)", "distortion"] == "distortion"
    assert found["table2", "FC10(1)", "distortion"] == "given"
    assert found["table2", "FC10(1)", "FC10(1)"] == "given"
    assert found["table2", "FC10(1)", "AE400-10"] == "error"
    assert found["table4", "FC100-100-10 amplified to 0.1", "FC100-100-10"] == "given"
    assert found["table5", "Conv. 1", "upper bound"] == "bound"
    assert found["table5", "Conv. 1", "stride"] == "given"
    assert scorecard.counts(scores.entries())["printed"].to_dict() == {
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
    counted = scorecard.counts(scores.entries())
    assert counted.loc["table1, error"].tolist() == [12, 6, 3, 4, 5]
    assert counted.loc["table1, distortion"].tolist() == [6, 6, 4, 5, 6]


def test_an_earlier_chapter_s_part_of_a_table_counts_until_the_whole_is_there(store):
    errors = {"FC10(1)": [0.2, 0.1]}
    store("table1_errors", columns=["training error", "test error"], rows=errors)
    found = scores.entries()
    assert found["ours"].count() == 2
    store("table1", columns=["distortion"], rows={"FC10(1)": [0.14]})
    assert scores.entries().dropna(subset="ours")["column"].tolist() == ["distortion"]


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
    fit = scores.multiples(counted.round(3), range(50, 900))["score"]
    assert fit.idxmax() == 300
    assert scores.multiples([0.5, 1.0, 0.0], [2])["fit"].tolist() == [1]
    one = scores.multiples([0.25], [100]).loc[100]
    assert (one["fit"], one["expected"]) == (1, 0.1) and math.isclose(one["score"], 0.9 / 0.3)


@pytest.mark.parametrize(("numbers", "sizes"), [([0.0, 1.0], [10]), ([0.5], [1000]), ([0.5], [0])])
def test_multiples_refuse(numbers, sizes):
    with pytest.raises(ValueError, match="expected at least one number and sizes from 1 to 999"):
        scores.multiples(numbers, sizes)


def test_the_paper_s_transfer_rates_fit_256_images(store):
    rates = scorecard.rates(scores.entries())
    assert len(rates) == 48 + 24  # Table 2 and both parts of Table 4 without their distortions
    fits = scores.multiples(rates, range(50, 900))
    assert fits["score"].idxmax() == 256
    assert scorecard.sample_line(fits).startswith("The best of all is **N = 256**")


def test_the_second_best_shares_no_factor_with_the_best():
    fits = pd.DataFrame({"fit": [5, 9, 7], "expected": [1.0, 2.0, 3.0], "score": [3.0, 8.0, 6.0]}, index=[3, 4, 6])
    assert scorecard.sample_line(fits) == (
        "The best of all is **N = 4**: 9 rates fit where 2.0 are expected by chance, 8.0 standard deviations more. "
        "The best N that shares no factor with it reaches 3.0."
    )


def some(lines):
    """Entries, each as table, row, column, kind, the paper's number and ours."""
    return pd.DataFrame(lines, columns=["table", "row", "column", "kind", "paper", "ours"])


ALMOST = some(
    [
        ["table1", "FC10(1)", "test error", "error", 0.20, 0.23],
        ["table1", "FC10(1)", "distortion", "distortion", 0.14, 0.07],
        ["table1", "AE400-10", "distortion", "distortion", 0.10, 0.12],
        ["table2", "FC10(1)", "AE400-10", "error", 0.36, 0.46],
        ["table2", "FC10(1)", "FC10(1)", "given", 1.0, 1.0],
        ["table2", "FC10(1e-4)", "AE400-10", "error", 0.0, math.nan],
    ]
)


def test_a_glance_tells_what_is_computed_and_what_holds():
    held = pd.DataFrame({"page": ["a", "a"], "claim": ["x", "y"], "holds": [True, False]})
    lines = scorecard.at_a_glance(scorecard.counts(ALMOST), held).splitlines()
    assert lines[0] == (
        "* Of 3 printed values of the kind *error*, 2 have been computed: **0** lie within 1 of the paper's, "
        "**1** within 3, **2** within 10 percentage points."
    )
    assert lines[1].endswith("**0** lie within 5 % of the paper's, **0** within 10 %, **1** within 20 %.")
    assert lines[2] == "* No bound has been computed so far, of 0 printed."
    assert lines[3] == "* Of 2 claims put to the test, **1** hold."


def test_points_are_grouped_by_table():
    panels = scorecard.against(ALMOST)
    assert {title: list(groups) for title, groups in panels.items()} == {
        "error rates": ["Table 1", "Table 2"],
        "distortions": ["Table 1"],
    }
    printed, ours = panels["error rates"]["Table 2"]
    assert (printed.tolist(), ours.tolist()) == ([0.36], [0.46])  # neither what is given nor what is missing
    assert scorecard.against(ALMOST.assign(ours=math.nan))["distortions"] == {"none yet": ([], [])}


def test_a_table_shows_ours_above_the_paper_s(store):
    rows = {name: [0.5, 0.25, 0.125] for name in paper.MODELS}
    store("table1", columns=list(paper.TABLE1.columns), rows=rows)
    shown = scorecard.beside(scores.entries(), "table1").data
    first = "FC10(1e\u20114)"  # with a hyphen at which no line breaks
    assert list(shown.index[:3]) == [(first, "ours"), (first, "paper"), ("FC10(1e\u20112)", "ours")]
    assert shown.loc[("FC10(1)", "ours")].tolist() == [50, 25, 0.125]
    assert shown.loc[("FC10(1)", "paper")].tolist() == pytest.approx([21.2, 20, 0.14])


def test_differences_of_table_2_are_empty_where_nothing_was_found(store):
    grid = scorecard.differences(ALMOST)
    assert grid.shape == (len(paper.TABLE2.rows), 6)
    assert grid.at["FC10(1)", "AE400-10"] == pytest.approx(0.1) and grid.count().sum() == 1


def test_noise_is_shown_in_as_many_versions_as_are_stored(store):
    rows = {"Gaussian noise 0.1": [0.25] * 6, "Gaussian noise 0.3": [0.5] * 6}
    store("table2_clipped", columns=list(paper.MODELS), rows=rows)
    shown = scorecard.noise_rows().data
    assert list(shown.index) == [(row, whose) for row in rows for whose in ("paper", "cut back")]
    assert (shown.loc[("Gaussian noise 0.3", "cut back")] == 50).all()


def test_bounds_are_those_of_table_5(store):
    store("table5", columns=["upper bound"], rows={"Conv. 1": [20.0]})
    shown = scorecard.bounds(scores.entries())
    assert shown.data.loc["Conv. 1"].tolist() == [20, paper.TABLE5.value("Conv. 1", "upper bound")]
    assert len(shown.data) == 8 and "not at hand" in shown.to_html()


def test_sentences_of_the_paper_find_their_numbers(store):
    with pytest.raises(results.MissingResult):
        scorecard.sentences()
    store("imagenet_ostriches", columns=["mean distortion"], rows={"to the ostrich": [0.5]})
    rows = {"weight decay": [0.1], "dropout": [0.2], "dropout and all layers": [0.3]}
    store("back_feeding_longer", columns=["test error"], rows=rows)
    shown = scorecard.sentences().data
    assert shown["ours"].tolist() == [0.5, 0.1, 0.2, 0.3]
    assert shown.at["mean distortion on AlexNet", "paper"] == 0.006508


def test_the_worst_come_first():
    errors, sizes = (scorecard.largest(ALMOST, kind).data for kind in ("error", "distortion"))
    assert errors["difference"].tolist() == pytest.approx([10, 3])  # percentage points
    assert sizes["difference"].tolist() == pytest.approx([-50, 20])  # percent
    assert scorecard.largest(ALMOST, "error", count=1).data["table"].tolist() == ["table2"]


def test_sampling_explains_what_lies_within_two_standard_errors():
    # 0.36 counted on 64 images has a standard error of 0.06, on 1024 one of 0.015.
    assert "Of 1 computed transfer and noise rates, 1 lie within two" in scorecard.sampling_line(ALMOST, 64)
    assert "0 lie within two standard errors of the printed one and 0 within" in scorecard.sampling_line(ALMOST, 1024)
    nothing = scorecard.sampling_line(ALMOST.query("table == 'table1'"), 64)
    assert nothing == "No transfer rate has been computed so far."


def test_claims_are_shown_in_words():
    held = pd.DataFrame({"page": ["blind spots", "a"], "claim": ["x", "y"], "holds": [True, False]})
    shown = scorecard.verdicts(held).data
    assert shown.to_numpy().tolist() == [["blind\u00a0spots", "x", "holds"], ["a", "y", "does\u00a0not\u00a0hold"]]


def test_no_other_naming_fits_as_well_as_the_true_one(store):
    assert scorecard.naming_line(scores.entries()) == "Table 2 has not been computed so far."
    store("table2", columns=list(paper.TABLE2.columns), rows=dict(paper.TABLE2.rows))
    named = scorecard.namings(scores.entries())
    assert len(named) == 720 and named[0] == pytest.approx(1) and max(named[1:]) < 1
    assert scorecard.naming_line(scores.entries()) == "Rank correlation 1.00; 1 of 720 namings do as well."


def test_an_undecided_claim_is_neither_held_nor_refuted(store):
    store("weather_claims", claims={"It rains": True, "It snows": None, "It hails": False})
    held = scorecard.claims()
    assert held["holds"].tolist() == [True, None, False]
    shown = scorecard.verdicts(held).data
    assert shown["holds"].tolist() == ["holds", "undecided", "does\u00a0not\u00a0hold"]
    line = scorecard.at_a_glance(scorecard.counts(scores.entries()), held).splitlines()[-1]
    assert line == "* Of 3 claims put to the test, **1** hold and 1 are undecided."
