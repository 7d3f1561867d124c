"""Choosing among readings: the stepwise search on a known landscape, asked factors, tables of a sweep."""

import math

import numpy as np
import pytest
import torch

from intriguing import forensics, misfit, paper
from intriguing.protocol import BASE, ONE_FOR_ALL, Protocol


class Known:
    """A sweep whose tables are the printed ones, moved by an amount that the protocol decides."""

    class digits:
        name = "made up"

    def __init__(self, shift):
        self.shift = shift

    def tables(self, protocol):
        made = {}
        for name in misfit.TABLES:
            rows = [[math.nan if v is None else v for v in row] for row in paper.TABLES[name].rows.values()]
            made[name] = torch.tensor(rows, dtype=torch.float64)
        units = misfit.findings()["unit"]
        for (table, row, column), unit in units.items():
            place = list(paper.TABLES[table].rows).index(row), paper.TABLES[table].columns.index(column)
            made[table][place] += self.shift(protocol) * unit
        return made


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


def test_coarseness_reads_the_right_cells():
    table = forensics.coarseness(Known(lambda protocol: 0.0)).to_frame()
    printed = paper.TABLE2.to_frame()
    for name in paper.MODELS:
        assert (table[f"distortion, {name}"] == paper.TABLE1.value(name, "distortion")).all()
        others = [printed.loc[name, other] for other in paper.MODELS if other != name]
        assert table[f"transfer, {name}"].to_numpy() == pytest.approx(np.mean(others))
    assert list(table.index) == ["exact edge", *forensics.LEVELS["search over c"]]


def test_where_a_misfit_sits():
    base = forensics.compared(Known(lambda protocol: 2.0), BASE)
    after = base.copy()
    after["z"] = 0.0
    after.loc[("table2", "FC10(1)", "AE400-10"), "z"] = 4.0
    after.loc[("table4", "FC123-456-10 amplified to 0.1", "FC100-100-10"), "z"] = -3.0
    table = forensics.by_kind(base, after)
    assert table["findings"].sum() == len(base) == 90 and table["base"].tolist() == pytest.approx([2.0] * len(table))
    assert list(table.index[:2]) == ["AE400-10 on the examples of others", "Table 4, amplified"]
    assert table["share"].tolist()[:2] == pytest.approx([16 / 25, 9 / 25])
    assert table["after"].iloc[0] == pytest.approx(4 / math.sqrt(5))
    counts = table["findings"]
    assert counts["distortions"] == 9 and counts["errors under noise"] == 18
    assert counts["sigmoid networks on each other's"] == 2 and counts["Table 4, as found"] == 6
    assert counts["errors of the linear networks"] == 6


def test_asked_factors_by_hand():
    factors = [0.1, 1.0, 10.0]
    assert forensics.asked(factors, [1.0, 2.0, 3.0], 2.5) == pytest.approx(math.sqrt(10))
    assert forensics.asked(factors, [1.0, 2.0, 3.0], 1.0) == pytest.approx(0.1)
    assert math.isnan(forensics.asked(factors, [1.0, 2.0, 3.0], 4.0))
    # Two crossings: the one nearer to a factor of 1.
    assert forensics.asked(factors, [2.0, 0.0, 0.5], 0.4) == pytest.approx(10**-0.2)
    with pytest.raises(ValueError, match="increasing factors above 0"):
        forensics.asked([1.0, 0.5], [0.0, 1.0], 0.5)
