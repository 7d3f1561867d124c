"""What a page says in Markdown: a table of a data frame, and claims with what has become of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    heads = [frame.index.name, *frame.columns]
    body = [
        [row, *(form.format(value) for form, value in zip(formats, values, strict=True))]
        for row, values in zip(frame.index, frame.to_numpy(dtype=object).tolist(), strict=True)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *body])


def claims(outcomes: Mapping[str, bool]) -> str:
    """Writes claims as a list, each with the word whether it holds.

    Args:
        outcomes: Whether each claim, a sentence without its full stop, has come out true.

    Returns:
        One line for each claim.
    """
    return "\n".join(f"* {'Holds' if holds else '**Does not hold**'}: {claim}." for claim, holds in outcomes.items())


def listed(claims: Mapping[str, bool]) -> str:
    """Returns claims as a list in Markdown, each line beginning with whether the claim holds.

    Args:
        claims: Whether each claim, a sentence without its full stop, has come out true.
    """
    return "\n".join(f"* {'Holds' if holds else '**Does not hold**'}: {claim}." for claim, holds in claims.items())
