"""One number for how far a set of tables lies from the printed one: the misfit.

Rates and distortions cannot be added up as they are. Each difference is divided by a unit, which says how far a
faithful repetition could be expected to lie from the printed number, and the misfit is the root mean square of these
standardised differences over all findings of Tables 1 to 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from intriguing.book import paper

POINT = 0.01
"""Unit of a rate, without the sampling of the paper: one percentage point."""

PART = 0.05
"""Unit of a distortion, relative to the printed one."""

SAMPLE = 256
"""On how many images the rates of Tables 2 and 4 seem to have been counted."""

TABLES = ("table1", "table2", "table3", "table4")
_COUNTED = ("table2", "table4")


def findings() -> pd.DataFrame:
    """The printed numbers that could have come out otherwise, with their units.

    Left out are the rates of 100 % of networks on the examples made for them, and the sizes of noise and of
    distortions that Tables 2 and 4 repeat.

    Returns:
        One row per finding, indexed by ``table``, ``row`` and ``column``: ``kind`` (``error`` or ``distortion``),
        ``paper`` (fractions, root mean squares) and ``unit``.

    Source:
        Szegedy et al. 2013, Tables 1 to 4.
    """
    lines = []
    for name in TABLES:
        for row, values in paper.TABLES[name].rows.items():
            for column, value in zip(paper.TABLES[name].columns, values, strict=True):
                kind = "distortion" if column == "distortion" else "error"
                given = row.removesuffix(" amplified to 0.1") == column or (kind == "distortion" and name in _COUNTED)
                if not given:
                    lines.append([name, row, column, kind, value, unit(name, kind, value)])
    frame = pd.DataFrame(lines, columns=["table", "row", "column", "kind", "paper", "unit"])
    return frame.set_index(["table", "row", "column"])


def units_by_table() -> pd.DataFrame:
    """How many findings each table holds and in which units they are measured.

    Returns:
        The columns ``findings``, ``smallest unit`` and ``largest unit``, one row per table.
    """
    columns = {"findings": "size", "smallest unit": "min", "largest unit": "max"}
    groups = findings().groupby(level="table")["unit"]
    return groups.agg(list(columns.values())).set_axis(list(columns), axis=1)


def unit(table: str, kind: str, printed: float) -> float:
    """How far a faithful repetition could be expected to lie from a printed number: one standard deviation.

    Args:
        table: ``table1`` to ``table4``.
        kind: ``error`` or ``distortion``.
        printed: the number, a fraction or a root mean square.

    Returns:
        ``PART`` of a distortion; for a rate, ``POINT`` and, in Tables 2 and 4, the standard error of a count over
        ``SAMPLE`` images, added as independent deviations are.
    """
    if kind == "distortion":
        return PART * printed
    sampling = printed * (1 - printed) / SAMPLE if table in _COUNTED else 0.0
    return float(np.sqrt(POINT**2 + sampling))


def standardised(tables: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Our numbers beside the findings, and their differences in units.

    Args:
        tables: ``table1`` to ``table4`` -> (rows, columns) in the order of the paper's tables.

    Returns:
        What ``findings`` returns, with ``ours`` and ``z``, ours minus the paper's over the unit.

    Raises:
        ValueError: A table has another shape than the paper's.
    """
    frame = findings()
    ours = {}
    for name in TABLES:
        printed, values = paper.TABLES[name], np.asarray(tables[name], dtype=float)
        if values.shape != (len(printed.rows), len(printed.columns)):
            raise ValueError(
                f"{name} has shape {values.shape}; expected {(len(printed.rows), len(printed.columns))}, the paper's."
            )
        ours |= {
            (name, row, column): values[i, j]
            for i, row in enumerate(printed.rows)
            for j, column in enumerate(printed.columns)
        }
    frame["ours"] = [ours[place] for place in frame.index]
    frame["z"] = (frame["ours"] - frame["paper"]) / frame["unit"]
    return frame


def misfit(z: ArrayLike) -> float:
    """The root mean square of standardised differences: 1 where they are as large as their units.

    Args:
        z: (n,) standardised differences, n at least 1.

    Returns:
        A number of at least 0.
    """
    return float(np.sqrt(np.mean(np.square(np.asarray(z, dtype=float)))))


def change(z: ArrayLike, base: ArrayLike) -> tuple[float, float]:
    """How much one protocol adds to the mean squared difference of another, and how sure that is.

    Args:
        z: (n,) standardised differences of the one, n at least 2.
        base: (n,) those of the other, for the same findings.

    Returns:
        The change of the mean square, and its standard error when the findings are taken for independent draws.
    """
    steps = np.square(np.asarray(z, dtype=float)) - np.square(np.asarray(base, dtype=float))
    return float(steps.mean()), float(steps.std(ddof=1) / np.sqrt(len(steps)))


def luck(images: float = math.inf, spread: Mapping[str, pd.DataFrame] | None = None) -> float:
    """The misfit that luck alone leaves to a protocol which is the paper's in every respect.

    Args:
        images: on how many our rates of Tables 2 and 4 are counted; infinity leaves the paper's own sampling alone.
        spread: table -> the standard deviation of every entry from one random start to the next, rows and columns as
            in the paper's table. Both sides have a start of their own, so it counts twice. None leaves it out.

    Returns:
        The root of the expected mean squared standardised difference.

    Raises:
        ValueError: images that are not above 0.
    """
    if not images > 0:
        raise ValueError(f"got {images} images; expected a number above 0.")
    frame, total = findings(), []
    for (table, row, column), entry in zip(frame.index, frame.itertuples(), strict=True):
        counted = entry.kind == "error" and table in _COUNTED
        variance = entry.paper * (1 - entry.paper) * (1 / SAMPLE + 1 / images) if counted else 0.0
        if spread is not None:
            variance += 2 * float(spread[table].loc[row, column]) ** 2
        total.append(variance / entry.unit**2)
    return float(np.sqrt(np.mean(total)))
