"""Tables and claims as a page writes them."""

import pandas as pd
import pytest

from intriguing.book import markdown


def test_a_table_has_heads_and_formatted_entries():
    frame = pd.DataFrame({"a": [0.126, 2.0], "b": [3, 40]}, index=pd.Index(["x", "y"], name="layer"))
    lines = markdown.table(frame, ["{:.2f}", "{:d}"]).split("\n")
    assert lines == ["| layer | a | b |", "| --- | --- | --- |", "| x | 0.13 | 3 |", "| y | 2.00 | 40 |"]
    with pytest.raises(ValueError, match=r"zip\(\)"):
        markdown.table(frame, ["{:.2f}"])


def test_a_claim_that_fails_says_so():
    assert markdown.claims({"One is one": True, "One is two": False}) == (
        "* Holds: One is one.\n* **Does not hold**: One is two."
    )
