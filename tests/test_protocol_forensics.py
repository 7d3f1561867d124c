"""Choosing among readings: the stepwise search on a known landscape, and the misfits of a sweep."""

import math

import pytest

from intriguing.attack.penalty import ONE_FOR_ALL
from intriguing.book.results import Table
from intriguing.chapters.protocol import forensics, misfit
from intriguing.chapters.protocol.study import BASE, Protocol
from known_sweep import Known


def bowl(protocol):
    """Best at a linear factor of 0.5 and a ratio of 2; clipping helps alone and hurts in company."""
    value = 1 + abs(math.log2(protocol.linear / 0.5)) + abs(protocol.ratio - 2)
    if protocol.clip:
        value += -0.4 if protocol.ratio == 1 else 0.4
    return value


def test_levels_are_protocols_with_names_of_their_own():
    labels = [label for options in forensics.LEVELS.values() for label in options]
    made = [Protocol(**changes) for options in forensics.LEVELS.values() for changes in options.values()]
    assert len(set(labels)) == len(labels)
    assert len(set(made)) == len(made) and BASE not in made


def test_the_stepwise_search_adds_the_most_helpful_first_and_drops_what_hurts():
    found, steps = forensics.stepwise(bowl)
    assert found == Protocol(linear=0.5, ratio=2.0)
    assert len(steps) == 2 * len(forensics.LEVELS) and {step.round for step in steps} == {1, 2}
    assert [(step.label, step.kept, step.score) for step in steps[:3]] == [
        ("λ × 0.5", True, 2.0),
        ("c in steps of × 2", True, 1.0),
        ("cut back", False, pytest.approx(1.4)),
    ]
    assert not any(step.kept for step in steps[3:])


def test_a_level_is_chosen_in_company_and_given_back_when_it_no_longer_helps():
    # (factor on the decay, ratio, clipping) -> score; by itself clipping helps most and the ratio of 2 more than 4.
    known = {
        (1, 1, False): 3.0, (1, 1, True): 2.0, (1, 2, False): 2.5, (1, 4, False): 2.6, (0.5, 1, False): 2.9,
        (1, 2, True): 1.8, (1, 4, True): 1.5, (0.5, 4, True): 1.4, (0.5, 4, False): 1.0,
    }  # fmt: skip
    asked = []

    def score(protocol):
        asked.append(protocol)
        return known.get((protocol.linear, protocol.ratio, protocol.clip), 9.0)

    found, steps = forensics.stepwise(score)
    assert found == Protocol(linear=0.5, ratio=4.0)
    assert [step.label for step in steps if step.kept] == [
        "cut back", "c in steps of × 4", "λ × 0.5", forensics.SAME
    ]  # fmt: skip
    assert [step.round for step in steps if step.kept] == [1, 1, 1, 2]
    assert len(set(asked)) == len(asked)


def test_nothing_is_added_where_nothing_helps():
    found, steps = forensics.stepwise(lambda protocol: 0.0 if protocol == BASE else 1.0)
    assert found == BASE and not any(step.kept for step in steps)
    assert len(steps) == len(forensics.LEVELS)


def test_protocols_in_words():
    assert forensics.described(BASE) == "base"
    text = forensics.described(Protocol(linear=0.5, ratio=ONE_FOR_ALL))
    assert text == "λ × 0.5, one c for all"


def test_scores_and_changes_of_a_known_sweep():
    sweep = Known(bowl)
    assert forensics.score(sweep, BASE) == pytest.approx(3)
    assert forensics.score(sweep, Protocol(ratio=2.0), ["table3"]) == pytest.approx(2)
    table = forensics.one_at_a_time(sweep).to_frame()
    assert table.loc["base"].tolist() == pytest.approx([3] * 5 + [0, 0])
    assert table.loc["λ × 0.5"].tolist() == pytest.approx([2] * 5 + [4 - 9, 0], abs=1e-6)
    assert len(table) == 1 + sum(map(len, forensics.LEVELS.values()))


def test_misfits_by_question_and_what_each_explains():
    single = forensics.one_at_a_time(Known(bowl))
    grouped = forensics.by_question(single)
    assert list(grouped) == list(forensics.LEVELS)
    assert grouped["decay, linear networks"]["λ × 0.5"] == pytest.approx(2)
    explained = forensics.explained(single)
    assert explained.loc["decay, linear networks"].tolist() == ["λ × 0.5", pytest.approx(1 - 4 / 9)]
    assert explained.loc["search over c", "best answer"] == "c in steps of × 2"
    assert explained.loc["target"].tolist() == ["that of the base", pytest.approx(0, abs=1e-9)]
    assert explained["explains"].is_monotonic_decreasing


def test_tolerances_have_a_floor_by_column_and_grow_with_what_hangs_on_few(monkeypatch):
    columns = ["misfit", "change of mean square", "standard error", "transfer, m"]
    spread = Table("spread_t", columns, {"a": [0.1, 0.01, 0.1, 0.001]})
    monkeypatch.setattr(forensics.tables.results, "load", lambda name, profile: spread)
    rows = {"a": [3.0, -8.0, 1.0, 0.5], "b": [3.0, 0.0, 0.0, 0.5], "c": [3.0, 1.0, 2.0, 0.5]}
    allowed = forensics.tolerances(Table("t", spread.columns, rows))
    assert allowed.loc["a"].tolist() == pytest.approx([0.4, 4.0, 2.0, 0.02])
    assert allowed.loc["b"].tolist() == pytest.approx([0.4, 0.05, 0.4, 0.02])
    assert allowed.loc["c"].tolist() == pytest.approx([0.4, 4.0, 4.0, 0.02])
    sizes = Table("t", ["distortion, m", "test error"], {"a": [0.1, 0.1]})
    monkeypatch.setattr(
        forensics.tables.results, "load", lambda name, profile: Table("spread_t", sizes.columns, {"a": [0.0, 0.0]})
    )
    assert forensics.tolerances(sizes).loc["a"].tolist() == [5e-4, 0.01]


def test_the_choice_leaves_settled_questions_alone():
    assert set(forensics.LEVELS) - set(forensics.JOINT) == {"target", "end of training"}
    chosen, steps = forensics.choose(Known(bowl))
    assert chosen == Protocol(linear=0.5, ratio=2.0)
    trail = forensics.trail(steps)
    assert list(trail.columns) == ["round", "question", "best other answer", "misfit with it", "kept"]
    assert trail.iloc[0].tolist() == [1, "decay, linear networks", "λ × 0.5", pytest.approx(2), "yes"]
    assert trail["kept"].tolist().count("no") == len(trail) - 2


def test_what_one_pair_chooses_is_held_against_the_other():
    held_out = forensics.held_out(Known(bowl))
    assert held_out["protocol"].tolist() == ["λ × 0.5, c in steps of × 2"] * 2
    for before, after in (("before", "after"), ("unseen before", "unseen after")):
        assert held_out[before].tolist() == pytest.approx([3, 3])
        assert held_out[after].tolist() == pytest.approx([1, 1])


def test_the_other_pair_is_not_looked_at():
    sweep = Known(bowl)
    tables = sweep.tables

    def better_under_clipping_in_the_second_pair(protocol):
        found = tables(protocol)
        other = Known(lambda protocol: 0.5 if protocol.clip else 7.0).tables(protocol)
        return found | {name: other[name] for name in misfit.TABLES[2:]}

    sweep.tables = better_under_clipping_in_the_second_pair
    held_out = forensics.held_out(sweep)
    assert held_out["protocol"].tolist() == ["λ × 0.5, c in steps of × 2", "cut back"]
    assert held_out.loc["Tables 1 and 2", "before":].tolist() == pytest.approx([3, 1, 7, 7])
    assert held_out.loc["Tables 3 and 4", "before":].tolist() == pytest.approx([7, 0.5, 3, 2.6])


def test_a_protocol_is_taken_apart():
    table = forensics.taken_apart(Known(bowl), Protocol(linear=0.5, ratio=2.0))
    misfits = table.to_frame()["misfit"]
    assert table.name == "protocol_chosen"
    assert misfits.to_dict() == pytest.approx(
        {"base": 3, "chosen": 1, "without: λ × 0.5": 2, "without: c in steps of × 2": 2}
    )
