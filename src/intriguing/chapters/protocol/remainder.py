"""What no reading of the method explains: where the misfit sits that the closest protocol leaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from intriguing.book import paper
from intriguing.chapters.protocol import misfit
from intriguing.chapters.protocol.forensics import LINEAR, SIGMOID

_P1, _P2 = paper.HALF_MODELS[:2], paper.HALF_MODELS[2:]
PAIRS: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "AE400-10 on the examples of the linear networks": ("table2", LINEAR, ["AE400-10"]),
    "FC200-200-10 on those of FC100-100-10": ("table2", ["FC100-100-10"], ["FC200-200-10"]),
    "FC100-100-10 on those of FC200-200-10": ("table2", ["FC200-200-10"], ["FC100-100-10"]),
    "amplified, from P1 to P1": ("table4", [f"{name} amplified to 0.1" for name in _P1[:1]], _P1[1:]),
    "amplified, from P1 to P2": ("table4", [f"{name} amplified to 0.1" for name in _P1], _P2),
    "amplified, from P2 to P1": ("table4", [f"{name} amplified to 0.1" for name in _P2], _P1),
}
"""Groups of findings that stand out: in words -> table, rows and columns."""


def kind(table: str, row: str, column: str) -> str:
    """Which kind of finding a printed number is, for asking where a misfit sits.

    Args:
        table: of ``misfit.TABLES``.
        row: of the paper's table.
        column: of the paper's table.

    Returns:
        A few words, the same for all findings of one kind.
    """
    if column == "distortion":
        return "distortions"
    if row.startswith("Gaussian noise"):
        return "errors under noise"
    if table == "table1":
        return "errors of the linear networks" if row in LINEAR else "errors of the other networks"
    if table == "table2":
        if column == "AE400-10":
            return "AE400-10 on the examples of others"
        if column in LINEAR:
            return "linear networks on the examples of others"
        return "sigmoid networks on each other's" if row in SIGMOID else "sigmoid networks on linear and AE400-10's"
    if table == "table3":
        return "errors of the other networks"
    return "Table 4, amplified" if "amplified" in row else "Table 4, as found"


def by_kind(base: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Where the misfit of two protocols sits.

    Args:
        base: the findings under the base, as ``forensics.compared`` returns them.
        after: those under the closest protocol.

    Returns:
        One row per kind of finding: ``findings``, how many; ``base`` and ``closest protocol``, the misfit over them;
        and ``share of what is left``, of the sum of squares under the latter. The largest share first.
    """
    kinds = [kind(*place) for place in after.index]
    groups = after["z"].groupby(kinds)
    left = groups.apply(lambda z: float(np.square(z).sum()))
    return pd.DataFrame(
        {
            "findings": groups.size(),
            "base": base["z"].groupby(kinds).apply(misfit.misfit),
            "closest protocol": groups.apply(misfit.misfit),
            "share of what is left": left / left.sum(),
        }
    ).sort_values("share of what is left", ascending=False)


def furthest(base: pd.DataFrame, after: pd.DataFrame, *, count: int = 12) -> pd.DataFrame:
    """The findings that the closest protocol leaves furthest off.

    Args:
        base: the findings under the base, as ``forensics.compared`` returns them.
        after: those under the closest protocol.
        count: how many.

    Returns:
        The columns ``paper``, ``base``, ``closest protocol`` and ``units``, by which the last differs from the paper.
    """
    worst = after["z"].abs().sort_values(ascending=False, kind="stable").index[:count]
    part = after.loc[worst]
    return pd.DataFrame(
        {
            "paper": part["paper"],
            "base": base.loc[worst, "ours"],
            "closest protocol": part["ours"],
            "units": part["z"],
        }
    )


def standing_out(base: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Mean rates over the groups of findings in ``PAIRS``.

    Args:
        base: the findings under the base, as ``forensics.compared`` returns them.
        after: those under the closest protocol.

    Returns:
        One row per group, the columns ``paper``, ``base`` and ``closest protocol``.
    """
    rows = {}
    for words, (table, makers, readers) in PAIRS.items():
        cells = [(maker, reader) for maker in makers for reader in readers if maker != reader]
        there = [frame.loc[table][frame.loc[table].index.isin(cells)] for frame in (base, after)]
        rows[words] = [there[0]["paper"].mean(), there[0]["ours"].mean(), there[1]["ours"].mean()]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["paper", "base", "closest protocol"])
