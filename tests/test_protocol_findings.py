"""What is read off the coarse searches: sentences and claims, from tables made by hand."""

import pandas as pd
import torch

from intriguing.chapters.protocol import findings

LABELS = ["exact edge", "c in steps of × 2", "c in steps of × 10", "one c for all"]


def by_coarseness(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, index=LABELS, columns=["m", "n"])


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
