"""Stored results: round trip, tolerances, what counts as a difference, and a recording run."""

import errno
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from intriguing.book import paper, results, settings

NUMBER = st.none() | st.floats(-1e6, 1e6, allow_nan=False)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Gives every test an empty checkout and the quick profile."""
    for name in ("PROFILE", "RECORD", "DATA"):
        monkeypatch.delenv(f"INTRIGUING_{name}", raising=False)
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    return tmp_path / "results"


@pytest.fixture
def recording(monkeypatch):
    monkeypatch.setenv("INTRIGUING_RECORD", "1")


def table(rows=None, columns=("error", "distortion"), name="table1", **meta):
    rows = {"FC10(1)": [0.2, 0.14], "AE400-10": [None, 0.086]} if rows is None else rows
    return results.Table(name, list(columns), rows, {"data": "three digits"} | meta)


@limits(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), st.lists(NUMBER, min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_recorded_table_agrees_with_itself_exactly(rows):
    made = table(rows)
    results.location(made.name).unlink(missing_ok=True)
    results.record(made)
    stored = results.load("table1", "quick")
    assert list(stored.rows) == list(made.rows) and stored.columns == made.columns
    for row in rows:
        for got, kept in zip(made.rows[row], stored.rows[row], strict=True):
            assert (got is None) == (kept is None)
            assert got is None or kept == pytest.approx(got, rel=5e-6, abs=1e-300)
    verdict = results.compare(made, 0.0)
    assert verdict.ok and verdict.entries == 2 * len(rows)


def test_the_file_is_small_stable_and_says_where_it_comes_from(folder):
    path = results.record(table({"a": [1 / 3, float("nan")], "b": [-0.0, 1234567.0]}, note="first"))
    assert path == folder / "quick" / "table1.json"
    text = path.read_text(encoding="utf-8")
    assert text.endswith("]\n  }\n}\n")
    assert '\n    "a": [0.333333, null],\n    "b": [0.0, 1234570.0]\n' in text
    content = json.loads(text)
    assert list(content) == ["meta", "columns", "rows"]
    assert list(content["meta"]) == sorted(content["meta"])
    assert content["meta"]["note"] == "first" and content["meta"]["data"] == "three digits"
    assert {"profile", "seed", "device", "versions", "wall_seconds", "created", "commit"} <= content["meta"].keys()


def test_meta_data_of_the_table_go_first_and_choose_the_profile(folder, monkeypatch):
    made = table(profile="paper", wall_seconds=12.5)
    assert results.record(made) == folder / "paper" / "table1.json"
    assert results.load("table1", "paper").meta["wall_seconds"] == 12.5
    assert results.compare(made, 0).ok
    assert not results.compare(table(), 0).ok
    monkeypatch.setenv("INTRIGUING_PROFILE", "paper")
    assert results.compare(table(), 0).ok


def test_the_line_is_the_same_in_both_profiles():
    lines = []
    for profile, error in (("quick", 0.3), ("paper", 0.2)):
        made = table({"FC10(1)": [error, 0.14]}, profile=profile)
        results.record(made)
        lines.append(results.check(made, 0.01))
    assert lines == ["Table 'table1' agrees with the stored run: 2 of 2 entries within tolerance."] * 2


@pytest.mark.parametrize(
    ("got", "stored", "tolerance", "ok"),
    [
        (0.062, 0.061, 0.001, True),  # 0.0010000000000000009 in binary
        (0.3, 0.1, 0.2, True),
        (0.0621, 0.061, 0.001, False),
        (-0.5, 0.5, 1, True),
        (-0.5, 0.500001, 1, False),
        (1.0000001, 1.0, 0, True),  # the same in six digits
        (1.00001, 1.0, 0, False),
        (None, None, 0, True),
        (float("nan"), None, 0, True),
        (None, 0.0, 1, False),
        (0.0, None, 1, False),
        (float("nan"), 0.0, 1e9, False),
    ],
)
def test_the_edge_of_the_tolerance(got, stored, tolerance, ok):
    results.record(table({"row": [stored]}, ["error"]))
    verdict = results.compare(table({"row": [got]}, ["error"]), tolerance)
    assert verdict.ok is ok and verdict.entries == 1 and len(verdict.differences) == (not ok)


def test_what_may_differ_by_more_than_half_its_size_is_counted(monkeypatch):
    monkeypatch.setattr(settings, "_GUARDED", {})
    rows = {"a": [0.02, None], "b": [-0.019, 0.0], "c": [0.0, 0.5]}
    made = table(rows, ["error", "distortion"])
    results.record(made)
    assert results.compare(made, {"error": 0.01, "distortion": 1e-9}).ok
    assert settings._GUARDED == {"table1": (6, 2)}  # b and c of the error; half of 0.02 is not more than half
    assert results.compare(made, {"error": 0.02, "distortion": 0.01}).ok
    assert settings._GUARDED == {"table1": (6, 4)}


def test_each_column_has_its_own_tolerance():
    results.record(table())
    changed = table({"FC10(1)": [0.25, 0.15], "AE400-10": [None, 0.086]})
    assert results.compare(changed, {"error": 0.05, "distortion": 0.01, "unused": 3}).ok
    verdict = results.compare(changed, {"error": 0.05, "distortion": 0.005})
    assert verdict.differences == [("FC10(1)", "distortion", 0.15, 0.14, 0.005)]
    assert str(verdict) == (
        "Table 'table1' differs from the stored run, 1 difference: "
        "'FC10(1)' / 'distortion': 0.15 (stored 0.14, tolerance 0.005)."
    )


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf, {"error": 0.1}])
def test_a_tolerance_that_says_nothing_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        results.compare(table(), tolerance)


def test_rows_and_columns_that_one_side_lacks_are_differences():
    results.record(table({"old": [1, 2], "both": [3, 4]}, ["error", "gone"]))
    verdict = results.compare(table({"new": [1, 2], "both": [3, 4]}, ["error", "came"]), 0)
    assert not verdict.ok and verdict.entries == 1
    assert [(row, column, got, stored) for row, column, got, stored, _ in verdict.differences] == [
        ("new", None, "present", "absent"),
        ("old", None, "absent", "present"),
        (None, "came", "present", "absent"),
        (None, "gone", "absent", "present"),
    ]
    assert "4 differences: 'new': present (stored absent); 'old': absent (stored present); " in str(verdict)
    assert "\n" not in str(verdict)


def test_the_order_of_rows_and_columns_does_not_matter():
    results.record(table({"a": [1, 2], "b": [3, None]}, ["x", "y"]))
    assert results.compare(table({"b": [None, 3], "a": [2, 1]}, ["y", "x"]), 0).ok


def test_a_missing_stored_run_is_a_failed_verdict_that_says_how_to_make_it():
    verdict = results.compare(table(), 0)
    assert not verdict.ok and verdict.entries == 0
    assert (
        results.check(table(), 0)
        == str(verdict)
        == (
            "Table 'table1' cannot be compared: no stored run in results/quick/table1.json; "
            "run it once with INTRIGUING_RECORD=1 to store it."
        )
    )
    with pytest.raises(results.MissingResult, match="no stored run in results/paper/table1.json"):
        results.load("table1", "paper")


def test_only_a_recording_run_writes(folder, monkeypatch):
    results.check(table(), 0)
    assert not folder.exists()
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    assert results.check(table(), 0).endswith("4 of 4 entries within tolerance.")
    monkeypatch.setenv("INTRIGUING_RECORD", "0")
    assert "differs" in results.check(table({"FC10(1)": [0.2, 0.07], "AE400-10": [None, 0.043]}), 0.01)
    assert results.load("table1", "quick").rows["FC10(1)"] == [0.2, 0.14]


def test_an_interrupted_write_leaves_the_stored_run(folder, monkeypatch):
    results.record(table())

    def fail(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="Cannot write .*table1.json .*the disk is full"):
            results.record(table({"other": [1, 2]}))
    assert results.compare(table(), 0).ok
    assert [path.name for path in (folder / "quick").iterdir()] == ["table1.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"rows": {}}',
        '{"columns": ["a"], "rows": {"b": []}, "meta": {}}',
        '{"columns": "a", "rows": {"b": [1]}, "meta": {}}',
        '{"columns": ["a"], "rows": {"b": "1"}, "meta": {}}',
        '{"columns": ["a"], "rows": [["b", [1]]], "meta": {}}',
        '{"columns": ["a"], "rows": {"b": [1], "b": [2]}, "meta": {}}',
        '{"columns": ["a"], "rows": {"b": [1]}, "meta": {}, "meta": {}}',
        '{"columns": ["a"], "rows": {"b": [1]}, "meta": {"profile": "paper"}}',
    ],
)
def test_a_damaged_stored_run_is_named(text):
    path = results.record(table())
    path.write_text(text, encoding="utf-8")
    with pytest.raises(results.ResultError, match="The stored run .*table1.json cannot be read .*restore it from git"):
        results.compare(table(), 0)


@pytest.mark.parametrize("holds", ["1", "0", '"false"', '"undecided"', "[]"])
def test_a_stored_claim_is_true_false_or_undecided(holds, recording):
    results.check_claims("claims", {"It holds.": True})
    path = results.location("claims")
    path.write_text(path.read_text(encoding="utf-8").replace("true", holds), encoding="utf-8")
    with pytest.raises(results.ResultError, match="'It holds.' is .*, neither true, false nor null.*restore it from"):
        results.compare_claims("claims", {"It holds.": True})


def test_nothing_is_not_recorded(folder, recording):
    for rows, columns in (({}, ["a"]), ({"b": []}, [])):
        with pytest.raises(ValueError, match="has no entries; expected at least one row and one column"):
            results.check(table(rows, columns), 0)
    with pytest.raises(ValueError, match="are none; expected at least one sentence"):
        results.check_claims("claims", {})
    assert not folder.exists()


def test_numbers_that_are_lost_in_recording_are_named(recording):
    results.check(table(), 0)
    with pytest.warns(UserWarning, match="no number any more where the stored run had one: 'FC10.1.' / 'error'"):
        results.check(table({"FC10(1)": [math.nan, 0.14], "AE400-10": [None, 0.086]}), 0)


def test_claims_are_recorded_and_compared(folder, recording, monkeypatch):
    claims = {"Own examples always fool.": True, "Noise fools as often.": np.bool_(False)}
    good = "All 2 claims come out as in the stored run."
    assert results.check_claims("claims-transfer", claims, {"data": "three digits"}) == good
    content = json.loads((folder / "quick" / "claims-transfer.json").read_text(encoding="utf-8"))
    assert content["claims"] == claims and content["meta"]["data"] == "three digits"
    monkeypatch.delenv("INTRIGUING_RECORD")
    assert results.check_claims("claims-transfer", dict(reversed(claims.items()))) == good
    assert results.check_claims("claims-transfer", claims | {"Noise fools as often.": True}) == (
        "Claims 'claims-transfer' differs from the stored run, 1 difference: "
        "'Noise fools as often.': true (stored false)."
    )
    line = results.check_claims("claims-transfer", {"Own examples always fool.": True, "New.": True})
    assert "'New.': present (stored absent); 'Noise fools as often.': absent (stored present)" in line
    assert "no stored run in results/quick/others.json" in results.check_claims("others", claims)


def test_an_undecided_claim_agrees_with_an_undecided_one_only(folder, recording, monkeypatch):
    claims = {"Units are ahead.": None, "Both are coherent.": True}
    assert results.check_claims("three", claims) == "All 2 claims come out as in the stored run."
    assert '"Units are ahead.": null' in (folder / "quick" / "three.json").read_text(encoding="utf-8")
    monkeypatch.delenv("INTRIGUING_RECORD")
    assert results.check_claims("three", claims) == "All 2 claims come out as in the stored run."
    for holds in (True, False):
        line = results.check_claims("three", claims | {"Units are ahead.": holds})
        assert f"'Units are ahead.': {str(holds).lower()} (stored undecided)" in line
    assert "undecided (stored true)" in results.check_claims("three", claims | {"Both are coherent.": None})


def test_claims_are_true_false_or_undecided():
    for value in (1, math.nan, "yes", torch.tensor(True)):
        with pytest.raises(TypeError, match="Claim 'It holds.' came out as .*; expected a sentence with True, False"):
            results.check_claims("claims", {"It holds.": value})


def test_a_table_is_not_taken_for_claims_nor_the_other_way_round(recording):
    results.check(table(), 0)
    results.check_claims("claims", {"It holds.": True})
    with pytest.raises(results.ResultError, match="it holds no claims"):
        results.compare_claims("table1", {"It holds.": True})
    with pytest.raises(results.ResultError, match="claims.json cannot be read"):
        results.load("claims", "quick")


def test_entries_of_every_numeric_kind_become_plain_numbers():
    made = table({"row": [torch.tensor(0.5), np.float32(0.25), np.array([1]), 2, math.nan, pd.NA]}, "abcdef")
    assert made.rows["row"] == [0.5, 0.25, 1.0, 2.0, None, None]
    assert all(value is None or type(value) is float for value in made.rows["row"])


@pytest.mark.parametrize("value", [math.inf, "0.1", True, 1j, [1.0]])
def test_entries_that_are_no_finite_numbers_are_refused(value):
    with pytest.raises(ValueError, match="in row 'row', column 'error'; expected a finite number"):
        table({"row": [value, 1.0]})


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="has 1 entries in row 'row'; expected a string and 2"):
        table({"row": [1.0]})
    with pytest.raises(ValueError, match="expected different strings"):
        table({}, ["a", "a"])
    with pytest.raises(ValueError, match="name is '../x'; expected letters"):
        table({}, name="../x")
    with pytest.raises(ValueError, match="no meta..data"):
        results.check(results.Table("table1", [], {}), 0)
    with pytest.raises(ValueError, match="profile is 'huge'"):
        results.record(table(profile="huge"))


@pytest.mark.parametrize("value", [math.nan, math.inf, {"deep": [math.nan]}, {1, 2}, torch.ones(1)])
def test_meta_data_that_are_not_json_are_refused(value):
    with pytest.raises(ValueError, match="meta of 'table1' cannot be written as JSON"):
        table(note=value)
    with pytest.raises(ValueError, match="meta of 'claims' cannot be written as JSON"):
        results.check_claims("claims", {}, {"note": value})


def test_outside_a_checkout_the_error_says_where_to_start(monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: None)
    with pytest.raises(results.ResultError, match="No checkout of the source found at or above .*pip install -e"):
        results.compare(table(), 0)


def test_a_frame_becomes_a_table_and_back():
    frame = pd.DataFrame({"x": [1.0, math.nan], "y": [3.0, 4.0]}, index=["a", "b"])
    made = results.Table.from_frame("table1", frame, {"data": "none"})
    assert made.rows == {"a": [1.0, 3.0], "b": [None, 4.0]}
    pd.testing.assert_frame_equal(made.to_frame(), frame)
    with pytest.raises(ValueError, match="expected different names"):
        results.Table.from_frame("table1", pd.concat([frame, frame]))


def test_a_table_stands_beside_the_paper_s():
    ours = table({"FC10(1)": [0.21, 0.5, 0.13], "mine": [0.1, 0.1, 0.1]}, ["training error", "mine", "distortion"])
    beside = results.frame_against(ours, paper.TABLE1)
    assert list(beside.columns) == [
        (column, part) for column in ("training error", "distortion") for part in ("ours", "paper", "difference")
    ]
    assert list(beside.index)[:2] == ["FC10(1)", "mine"] and len(beside) == 7
    assert beside.loc["FC10(1)"].tolist() == pytest.approx([0.21, 0.212, -0.002, 0.13, 0.14, -0.01])
    assert beside.loc["mine"].isna().tolist() == [False, True, True] * 2
    assert beside.loc["AE400-10"].isna().tolist() == [True, False, True] * 2
    with pytest.raises(ValueError, match="expected at least one that both have"):
        results.frame_against(table({}, ["other"]), paper.TABLE1)


def test_a_frame_gives_every_entry_its_own_tolerance():
    frame = pd.DataFrame({"a": [0.1, 0.0], "b": [0.0, 0.2]}, index=["x", "y"])
    table = results.Table("own", ["a", "b"], {"x": [1.0, 2.0], "y": [3.0, 4.0]}, {"data": "none", "profile": "quick"})
    allowed = results._tolerances(table, frame)
    assert allowed == {("x", "a"): 0.1, ("x", "b"): 0.0, ("y", "a"): 0.0, ("y", "b"): 0.2}
    with pytest.raises(ValueError, match="no tolerance for"):
        results._tolerances(table, frame.drop(index="y"))


def test_a_measurement_is_read_from_its_own_folder(folder, monkeypatch):
    monkeypatch.setattr(settings, "_MEASURED", {})
    with pytest.raises(results.MissingResult, match="no measurement in results/benchmarks/peers.json; the programs of"):
        results.measured("peers")
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "benchmarks" / "peers.json").write_text('{"rows": [1]}')
    assert results.measured("peers") == {"rows": [1]} and settings._MEASURED == {"peers": None}
    assert results.measured("peers", lambda content: 5 + sum(content["rows"])) and settings._MEASURED == {"peers": 6}
    assert results.last_run({"meta": {"wall_seconds": 2.0, "seconds": 1}}) == 2
    assert results.last_run({"meta": {"seconds": 1}}) == 1
    (folder / "benchmarks" / "peers.json").write_text('{"rows": [1')
    with pytest.raises(results.ResultError, match="peers.json cannot be read"):
        results.measured("peers")
    for text in ("[]", '{"meta": null}', '{"meta": 3}', '{"a": 1, "a": 2}'):
        (folder / "benchmarks" / "peers.json").write_text(text)
        with pytest.raises(results.ResultError, match="peers.json cannot be read"):
            results.measured("peers")
    (folder / "benchmarks" / "folder.json").mkdir()
    with pytest.raises(results.ResultError, match="folder.json cannot be read"):
        results.measured("folder")
    with pytest.raises(ValueError):
        results.measured("../secret")


QUICK = Path(__file__).parents[1] / "results" / "quick"


@pytest.mark.parametrize("file", sorted(QUICK.glob("spread_*.json")), ids=lambda file: file.stem)
def test_every_tolerance_rests_on_eight_runs_at_least(file):
    meta = json.loads(file.read_text())["meta"]
    assert meta.get("seeds", meta.get("runs")) >= 8


@pytest.mark.parametrize(
    ("page", "table"), [("blind_spots", "refined"), ("disjoint_sets", "table4"), ("protocol", "coarse_search")]
)
def test_a_page_says_over_how_many_seeds_its_tolerances_were_measured(page, table):
    text = (QUICK.parents[1] / "notebooks" / f"{page}.md").read_text()
    (word,) = re.findall(r"four standard deviations over (\w+) seeds", " ".join(text.split()))
    assert json.loads((QUICK / f"spread_{table}.json").read_text())["meta"]["seeds"] == {"eight": 8, "ten": 10}[word]
