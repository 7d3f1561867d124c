"""Where a misfit sits: kinds of findings, the worst of them, and the groups that stand out."""

import math

import pytest

from intriguing.book import paper
from intriguing.chapters.protocol import forensics, remainder
from intriguing.chapters.protocol.study import BASE
from known_sweep import Known


def test_where_a_misfit_sits():
    base = forensics.compared(Known(lambda protocol: 2.0), BASE)
    after = base.copy()
    after["z"] = 0.0
    after.loc[("table2", "FC10(1)", "AE400-10"), "z"] = 4.0
    after.loc[("table4", "FC123-456-10 amplified to 0.1", "FC100-100-10"), "z"] = -3.0
    table = remainder.by_kind(base, after)
    assert table["findings"].sum() == len(base) == 90 and table["base"].tolist() == pytest.approx([2.0] * len(table))
    assert list(table.index[:2]) == ["AE400-10 on the examples of others", "Table 4, amplified"]
    assert table["share of what is left"].tolist()[:2] == pytest.approx([16 / 25, 9 / 25])
    assert table["closest protocol"].iloc[0] == pytest.approx(4 / math.sqrt(5))
    counts = table["findings"]
    assert counts["distortions"] == 9 and counts["errors under noise"] == 18
    assert counts["sigmoid networks on each other's"] == 2 and counts["Table 4, as found"] == 6
    assert counts["errors of the linear networks"] == 6


def test_the_furthest_come_first():
    base = forensics.compared(Known(lambda protocol: 1.0), BASE)
    after = forensics.compared(Known(lambda protocol: 0.0), BASE)
    place = ("table1", "FC10(1)", "distortion")
    after.loc[place, ["ours", "z"]] = [0.07, -10.0]
    table = remainder.furthest(base, after, count=3)
    assert len(table) == 3 and list(table.columns) == ["paper", "base", "closest protocol", "units"]
    assert table.index[0] == place
    assert table.iloc[0].tolist() == pytest.approx([0.14, 0.14 * 1.05, 0.07, -10])


def test_groups_that_stand_out_are_means_over_their_cells():
    base = forensics.compared(Known(lambda protocol: 0.0), BASE)
    after = base.assign(ours=base["ours"] + 0.1)
    table = remainder.standing_out(base, after)
    assert list(table.index) == list(remainder.PAIRS)
    printed = paper.TABLE2
    linear = [printed.value(name, "AE400-10") for name in forensics.LINEAR]
    assert table.iloc[0].tolist() == pytest.approx([sum(linear) / 3, sum(linear) / 3, sum(linear) / 3 + 0.1])
    assert table.loc["FC200-200-10 on those of FC100-100-10", "paper"] == printed.value("FC100-100-10", "FC200-200-10")
    rows = [f"{name} amplified to 0.1" for name in paper.HALF_MODELS]
    p2 = paper.HALF_MODELS[2]
    assert table.loc["amplified, from P1 to P1", "paper"] == paper.TABLE4.value(rows[0], paper.HALF_MODELS[1])
    assert table.loc["amplified, from P1 to P2", "paper"] == pytest.approx(
        sum(paper.TABLE4.value(row, p2) for row in rows[:2]) / 2
    )
    assert table.loc["amplified, from P2 to P1", "paper"] == pytest.approx(
        sum(paper.TABLE4.value(rows[2], name) for name in paper.HALF_MODELS[:2]) / 2
    )
