"""Verdicts: what a checked cell prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Difference(NamedTuple):
    """Where a table or a claim differs from the stored run.

    Attributes:
        row: The row, or the claim; None where a whole column is concerned.
        column: The column; None where a whole row, or a claim, is concerned.
        got: What has just been computed; ``absent`` or ``present`` for a row, a column or a claim as a whole.
        stored: What the stored run holds, likewise.
        tolerance: The absolute tolerance; None where there is none to speak of.
    """

    row: str | None
    column: str | None
    got: float | bool | str | None
    stored: float | bool | str | None
    tolerance: float | None

    def __str__(self) -> str:
        place = " / ".join(repr(part) for part in (self.row, self.column) if part is not None)
        tolerance = "" if self.tolerance is None else f", tolerance {self.tolerance:g}"
        return f"{place}: {_shown(self.got)} (stored {_shown(self.stored)}{tolerance})"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison with the stored run; ``str`` makes one line of it.

    Attributes:
        subject: What was compared, for instance ``Table 'table1'``.
        ok: Whether all entries agree.
        entries: How many entries were compared.
        differences: Where they do not agree.
        line: The outcome in one line.
    """

    subject: str
    ok: bool
    entries: int
    differences: list[Difference]
    line: str

    def __str__(self) -> str:
        return self.line


def _shown(value: float | bool | str | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "no entry" if value is None else str(value).lower()
