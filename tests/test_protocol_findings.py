"""What is read off the tables of the protocols: sentences and claims, from tables made by hand."""

import math

import pandas as pd
import pytest
import torch

from intriguing.book import paper
from intriguing.book.results import Table
from intriguing.chapters.protocol import findings, forensics, misfit
from intriguing.chapters.protocol.study import BASE
from known_sweep import Known

LABELS = ["exact edge", "c in steps of × 2", "c in steps of × 10", "one c for all"]


def by_coarseness(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, index=LABELS, columns=["m", "n"])


def test_luck_in_words():
    text = findings.about_luck(100)
    assert f"leaves **{misfit.luck():.2f}**. We attack 100 images" in text
    assert f"luck leaves **{misfit.luck(100, findings.spreads()):.2f}**." in text
    assert set(findings.spreads()) == set(misfit.TABLES)
    own = findings.spreads()["table2"].loc[list(paper.MODELS), list(paper.MODELS)]
    assert f"by {own.max(axis=None):.0%} where it moves most" in text


def test_the_base_in_words():
    text = findings.about_base(forensics.compared(Known(lambda protocol: 2.0), BASE))
    assert text == (
        "The base has a misfit of **2.00**: 2.00 in Table 1, 2.00 in Table 2, 2.00 in Table 3, 2.00 in Table 4. "
        "In the median a number is off by 2.0 units."
    )


def test_decay_in_words():
    wanted = pd.DataFrame(
        {"training error": [0.2, 0.4], "test error": [0.6, math.nan], "distortion": [1.0, 3.0]}, index=["m", "n"]
    )
    assert findings.about_decay(wanted) == (
        "The errors ask for 0.20 to 0.60 of $\\lambda$, in the median for 0.40; the distortions for 1.00 to 3.00."
    )
    table = Table("sigmoid_decay", ["test error", "distortion"], {"a": [0.1, 0.06], "b": [0.1, 0.05]})
    assert findings.about_sigmoid_decay(table).endswith("of FC100-100-10 varies by 20%.")


def test_coarseness_in_words():
    sizes = by_coarseness([0.1, 0.1], [0.12, 0.13], [0.15, 0.12], [9, 9])
    transfer = by_coarseness([0.1, 0.3], [0.2, 0.2], [0.4, 0.6], [1, 1])
    assert findings.about_coarseness(sizes, transfer) == (
        "From the exact edge to a grid of ratio ten the mean distortion grows by 20% for n and by 50% for m; the mean "
        "transfer rises from 20% to 50%. A coarser grid makes the distortion smaller in these cases: "
        "that of n from c in steps of × 2 to c in steps of × 10 (0.1300 to 0.1200)."
    )
    sizes.loc["c in steps of × 10", "n"] = 0.14
    assert findings.about_coarseness(sizes, transfer).endswith("smaller than the finer one before it.")


def test_claims_about_coarse_searches():
    sizes = by_coarseness([0.1, 0.1], [0.12, 0.13], [0.15, 0.12], [9, 9])
    transfer = by_coarseness([0.1, 0.3], [0.2, 0.2], [0.4, 0.6], [1, 1])
    assert list(findings.search_claims(sizes, transfer).values()) == [True, False, False]
    sizes.loc["c in steps of × 10", "n"], transfer.loc["c in steps of × 2", "n"] = 0.14, 0.4
    assert list(findings.search_claims(sizes, transfer).values()) == [True, True, True]
    sizes.loc["one c for all", "m"] = 0.1
    assert list(findings.search_claims(sizes, transfer).values()) == [False, True, True]


def test_the_short_cut():
    close, far = torch.tensor([0.001, 0.002]), torch.tensor([0.001, 0.02])
    assert findings.about_short_cut(far).endswith("at most 2.00% of the perturbation.")
    assert list(findings.short_cut_claims(close).values()) == [True]
    assert list(findings.short_cut_claims(far).values()) == [False]


def test_what_was_held_out_is_shown_with_arrows():
    frame = pd.DataFrame(
        [["base", 3.0, 3.0, 2.0, 2.0], ["cut back", 2.0, 1.0, 3.0, 4.5]],
        index=["Tables 1 and 2", "Tables 3 and 4"],
        columns=["protocol", "before", "after", "unseen before", "unseen after"],
    )
    shown = findings.held_out_shown(frame)
    assert shown.loc["Tables 3 and 4"].tolist() == ["cut back", "2.00 → 1.00", "3.00 → 4.50"]
    assert shown.index.name == "chosen by"


def together(chosen: float) -> Table:
    return Table("protocol_chosen", ["misfit"], {"base": [4.0], "chosen": [chosen]})


def test_the_outcome_in_words():
    assert findings.about_parts(together(2.0), 0.7) == (
        "Together they remove **75%** of the mean squared difference between our tables and the printed ones. "
        "The misfit falls from 4.00 to 2.00, where luck alone would leave 0.70."
    )
    where = pd.DataFrame({"share of what is left": [0.4, 0.3, 0.3]}, index=["a", "b", "c"])
    text = findings.about_all("cut back", together(2.0), 0.7, where)
    assert text.startswith("Of the readings tried, **cut back** brings")
    assert text.endswith("in these kinds of findings: a, b.")


def test_the_remainder_in_words():
    base = pd.DataFrame({"z": [3.0, -3.0, 1.0, 0.0]})
    after = pd.DataFrame({"z": [-6.0, 2.0, 2.0, 2.0]})
    assert findings.about_remainder(base, after) == (
        "Within two units of the paper lie 50% of the findings under the base and 75% under the closest protocol. "
        "1 of 4 findings, off by more than four units, make up 75% of what is left."
    )


@pytest.mark.parametrize("helps", [True, False])
def test_claims_about_readings(helps):
    def shift(protocol):
        if protocol.target == "nearest":
            return 5.0 if helps else 1.0
        if protocol.ratio != 1:
            return 4.0 if helps else 2.0
        return 3 + (math.log2(protocol.linear) if helps else 0.0)

    sweep = Known(shift)
    wanted = pd.DataFrame({"training error": [0.5], "test error": [0.6], "distortion": [0.7 if helps else 0.6]})
    held_out = pd.DataFrame({"unseen before": [2.0, 3.0], "unseen after": [1.0, 2.6 if helps else 2.8]})
    claims = findings.readings_claims(
        sweep, forensics.one_at_a_time(sweep), wanted, held_out, together(0.8 if helps else 0.6), 0.7
    )
    assert len(claims) == 6 and all(holds is helps for holds in claims.values())


def test_an_error_that_no_factor_explains_decides_against_the_claim():
    wanted = pd.DataFrame({"training error": [math.nan], "test error": [0.1], "distortion": [0.7]})
    sweep = Known(lambda protocol: 1.0)
    held_out = pd.DataFrame({"unseen before": [1.0], "unseen after": [1.0]})
    claims = findings.readings_claims(sweep, forensics.one_at_a_time(sweep), wanted, held_out, together(1.0), 0.7)
    assert claims["Both errors of every linear network ask for less decay than its distortion"] is False
