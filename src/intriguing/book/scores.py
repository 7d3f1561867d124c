"""The numbers of the paper's tables beside ours, entry by entry, and what they have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from intriguing.book import paper, results

TRANSFERS = ("table2", "table4")
"""The tables that say who is fooled by the examples made for another."""

IN_TEXT = {
    "figure 5 distortion": ("imagenet_ostriches", "to the ostrich", "per pixel", "on SqueezeNet"),
    "figure 7 linear": ("table1", "FC10(1e-4)", "distortion", "on FC10(1e-4)"),
    "figure 7 sigmoid": ("table1", "FC200-200-10", "distortion", "on FC200-200-10"),
    "weight decay error": ("back_feeding", "sigmoid, weight decay", "test error", "with sigmoids"),
    "dropout error": ("back_feeding", "sigmoid, dropout", "test error", "with sigmoids"),
    "back-feeding error": ("back_feeding", "sigmoid, back-feeding", "test error", "with sigmoids, a fixed dose"),
}
"""Findings in the paper's sentences and captions: key of ``paper.NUMBERS`` -> table, row and column of ours, and what
ours is."""

_FORERUNNERS = {"table1": "table1_errors"}  # what an earlier chapter stores of a table
_MEASURES = ("distortion", "upper bound")
_SETTINGS = ("inputs", "kernel", "outputs", "stride")  # sizes of AlexNet, printed and not measured


def entries(profile: str | None = None) -> pd.DataFrame:
    """Returns one row for each number that the paper's tables print, with ours where it has been stored.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.

    Returns:
        The columns ``table``, ``row``, ``column``, ``kind``, ``paper`` and ``ours`` (NaN where nothing is stored).
        ``kind`` is ``error`` (a fraction), ``distortion``, ``bound``, or ``given`` for what is no finding: the error
        of a model on the examples made for it as they were found, which the search brings to 100 %, the distortions
        in Tables 2 and 4, which are sizes of noise or of amplified steps or stand in another table already, and the
        sizes of AlexNet's layers.

    Raises:
        ValueError: There is no such profile.
        ResultError: A stored file cannot be read.
    """
    lines = []
    for table in paper.TABLES.values():
        ours = _ours(table.name, profile)
        for row, values in table.rows.items():
            for column, value in zip(table.columns, values, strict=True):
                if value is not None:
                    kind = _kind(table.name, row, column)
                    lines.append([table.name, row, column, kind, value, entry(ours, row, column)])
    return pd.DataFrame(lines, columns=["table", "row", "column", "kind", "paper", "ours"])


def multiples(numbers: Iterable[float], sizes: Iterable[int], decimals: int = 3) -> pd.DataFrame:
    """Asks of every sample size whether rounded fractions look as if they had been counted on so many images.

    A fraction of N images is a multiple of 1/N. Printed with a few decimals it lies within half a unit of the last
    one of such a multiple; any other number does so with probability N / 10^decimals.

    Args:
        numbers: Rounded fractions in [0, 1]; 0 and 1 fit every N and are left out.
        sizes: The N to try, below ``10**decimals``.
        decimals: How many decimals of the fractions are printed.

    Returns:
        By N: ``fit``, how many numbers fit, ``expected``, how many would by chance, and ``score``, the excess in
        standard deviations of a binomial count.

    Raises:
        ValueError: No number is left, or a size is out of range.
    """
    unit = 10.0**-decimals
    left = np.array([number for number in numbers if 0 < number < 1])
    sizes = list(sizes)
    if not len(left) or not all(0 < size < 1 / unit for size in sizes):
        raise ValueError(
            f"got {len(left)} numbers between 0 and 1 and sizes {min(sizes, default=None)} to "
            f"{max(sizes, default=None)}; expected at least one number and sizes from 1 to {round(1 / unit) - 1}."
        )
    lines = {}
    for size in sizes:
        fit = int((np.abs(left - np.round(left * size) / size) <= unit / 2 + 1e-9).sum())
        chance = size * unit
        expected = chance * len(left)
        lines[size] = [fit, expected, (fit - expected) / math.sqrt(expected * (1 - chance))]
    return pd.DataFrame.from_dict(lines, orient="index", columns=["fit", "expected", "score"])


def _ours(name: str, profile: str | None) -> results.Table | None:
    for candidate in (name, _FORERUNNERS.get(name)):
        if candidate is not None:
            try:
                return results.load(candidate, profile)
            except results.MissingResult:
                continue
    return None


def entry(table: results.Table | None, row: str, column: str) -> float:
    """Returns a number of a stored table.

    Args:
        table: None stands for one that is not stored.
        row: Of the number.
        column: Of the number.

    Returns:
        The number; NaN where the table is not stored or has no such row or column.

    Raises:
        ResultError: It has the row and the column, but no number there.
    """
    if table is None or row not in table.rows or column not in table.columns:
        return math.nan
    value = table.rows[row][table.columns.index(column)]
    if value is None:
        raise results.ResultError(
            f"The stored run {table.name}.json has no number for {row!r} / {column!r}; restore it from git or record "
            "it again."
        )
    return value


def _kind(table: str, row: str, column: str) -> str:
    repeated = column == "distortion" and table in ("table2", "table4")
    if row == column or repeated or column in _SETTINGS:
        return "given"
    return {"upper bound": "bound"}.get(column, column) if column in _MEASURES else "error"
