"""What a page says in Markdown: a table of a data frame or of words, and claims with what has become of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd


def table(frame: pd.DataFrame, formats: Sequence[str]) -> str:
    """Writes a data frame as a table.

    Args:
        frame: The entries. The name of its index heads the first column, which names the rows.
        formats: How the entries of each column are written, for instance ``{:.2f}``.

    Returns:
        One line for the heads, one below it, and one for each row.

    Raises:
        ValueError: There are more columns than formats, or fewer.
    """
    heads = [str(frame.index.name), *map(str, frame.columns)]
    body = [
        [str(row), *(form.format(value) for form, value in zip(formats, values, strict=True))]
        for row, values in zip(frame.index, frame.to_numpy(dtype=object).tolist(), strict=True)
    ]
    return words(heads, body)


def words(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Writes words as a table.

    Args:
        columns: The heads.
        rows: One word for each head; an empty one leaves its cell empty.

    Returns:
        One line for the heads, one below it, and one for each row.
    """
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("".join(f"| {word} " if word else "| " for word in line) + "|" for line in lines)


def claims(outcomes: Mapping[str, bool | None]) -> str:
    """Writes claims as a list, each line beginning with whether the claim holds.

    Args:
        outcomes: Whether each claim, a sentence without its full stop, has come out true; None where that is open.
    """
    outcome = {True: "Holds", False: "**Does not hold**", None: "**Undecided**"}
    return "\n".join(f"* {outcome[holds]}: {claim}." for claim, holds in outcomes.items())
