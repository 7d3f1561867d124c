"""The misfit: which numbers count, in which units, and what a set of tables scores."""

import math

import numpy as np
import pandas as pd
import pytest

from intriguing.book import paper, scores
from intriguing.chapters.protocol import misfit


def printed_tables():
    return {
        name: np.array([[np.nan if v is None else v for v in row] for row in paper.TABLES[name].rows.values()], float)
        for name in misfit.TABLES
    }


def test_the_findings_are_those_of_the_scorecard():
    theirs = scores.entries("quick").query("kind != 'given' and table != 'table5'")
    ours = misfit.findings().reset_index()
    assert ours[["table", "row", "column", "kind", "paper"]].values.tolist() == (
        theirs[["table", "row", "column", "kind", "paper"]].values.tolist()
    )
    assert ours["table"].value_counts().to_dict() == {"table1": 18, "table2": 42, "table3": 12, "table4": 18}


def test_units_by_table():
    table = misfit.units_by_table()
    assert table["findings"].to_dict() == {"table1": 18, "table2": 42, "table3": 12, "table4": 18}
    assert table.loc["table3", "smallest unit"] == pytest.approx(0.05 * min(paper.TABLE3.to_frame()["distortion"]))
    assert table.loc["table1", "largest unit"] == pytest.approx(0.01)  # a rate, of no sample


def test_units_by_hand():
    assert misfit.unit("table1", "distortion", 0.06) == pytest.approx(0.003)
    assert misfit.unit("table1", "error", 0.2) == 0.01
    # Half of 256 images: a standard error of 1/32, and a point beside it.
    assert misfit.unit("table2", "error", 0.5) == pytest.approx(math.hypot(1 / 32, 0.01))
    assert misfit.unit("table4", "error", 0.0) == 0.01


def test_the_printed_tables_fit_themselves():
    frame = misfit.standardised(printed_tables())
    assert (frame["z"] == 0).all() and misfit.misfit(frame["z"]) == 0


def test_one_entry_off_by_two_units():
    tables = printed_tables()
    row, column = list(paper.TABLE1.rows).index("FC10(1)"), paper.TABLE1.columns.index("distortion")
    tables["table1"][row, column] = 0.14 * 1.1
    tables["table2"][0, 0] = 0.3  # what is 100 % by construction does not count
    frame = misfit.standardised(tables)
    assert frame.loc[("table1", "FC10(1)", "distortion"), "z"] == pytest.approx(2)
    assert misfit.misfit(frame["z"]) == pytest.approx(2 / math.sqrt(90))


def test_the_mean_square_and_its_change():
    assert misfit.misfit([3, -4]) == pytest.approx(math.sqrt(12.5))
    step, error = misfit.change([1, 2, 3], [0, 0, 0])
    assert step == pytest.approx(14 / 3)
    assert error == pytest.approx(np.std([1, 4, 9], ddof=1) / math.sqrt(3))


def test_luck_alone_by_simulation():
    frame = misfit.findings()
    chance = np.random.default_rng(0)
    counted = frame.index.get_level_values("table").isin(["table2", "table4"]) & (frame["kind"] == "error")
    # One start differs from the next by a tenth of a distortion and by two points.
    wide = {
        name: pd.DataFrame(0.02, table.to_frame().index, table.columns).assign(
            distortion=0.1 * table.to_frame()["distortion"]
        )
        for name, table in ((name, paper.TABLES[name]) for name in misfit.TABLES)
    }
    steps = np.where(frame["kind"] == "error", 0.02, 0.1 * frame["paper"])
    alone, both = [], []
    for _ in range(2000):
        theirs = np.where(counted, chance.binomial(256, frame["paper"]) / 256, frame["paper"])
        ours = np.where(counted, chance.binomial(64, frame["paper"]) / 64, frame["paper"])
        start = chance.normal(size=(2, len(frame))) * steps
        alone.append(np.square((theirs - frame["paper"]) / frame["unit"]).mean())
        both.append(np.square((ours + start[0] - theirs - start[1]) / frame["unit"]).mean())
    assert misfit.luck() ** 2 == pytest.approx(np.mean(alone), rel=0.03)
    assert misfit.luck(64, wide) ** 2 == pytest.approx(np.mean(both), rel=0.03)
    assert misfit.luck() < 1
    with pytest.raises(ValueError, match="images; expected a number above 0"):
        misfit.luck(0)


def test_a_table_of_another_shape_is_refused():
    tables = printed_tables()
    tables["table3"] = tables["table3"][:2]
    with pytest.raises(ValueError, match=r"table3 has shape \(2, 4\); expected \(3, 4\)"):
        misfit.standardised(tables)
