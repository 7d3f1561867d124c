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


def test_words_in_a_table_may_be_left_out():
    text = markdown.words(["network", "error"], [["FC", "1 %"], ["AE", ""]])
    assert text == "| network | error |\n| --- | --- |\n| FC | 1 % |\n| AE | |"


def test_a_claim_that_fails_or_is_open_says_so():
    assert markdown.claims({"One is one": True, "One is two": False, "There are more": None}) == (
        "* Holds: One is one.\n* **Does not hold**: One is two.\n* **Undecided**: There are more."
    )
