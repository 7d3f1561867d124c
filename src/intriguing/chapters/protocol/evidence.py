"""What each printed number of Tables 1 to 4 can bear witness to: on how many images it was counted, how it was rounded.

Settled before any reading of the paper is tried. A difference between a printed number and ours is measured in its
standard error, which holds all that is luck: the paper's count over its images, the start of the paper's networks, our
own count and starts, and the rounding of the print.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from intriguing.book import paper

SAMPLE = 256
"""Images behind a rate of Table 2, and of Table 4 unless it is one of noise."""

CAP = 5.0
"""Standard errors beyond which a number counts no more: a misprint must not decide between readings."""

TABLES = ("table1", "table2", "table3", "table4")
_WHOLE = {"training error": 60_000, "test error": 10_000, "error on P1": 30_000, "error on P2": 30_000}


def entries() -> pd.DataFrame:
    """The printed numbers that protocols are judged by.

    Left out are the rates of 100 % of networks on the examples made for them, amplified or not, and the sizes that
    Tables 2 and 4 repeat.

    Returns:
        One row per number, indexed by ``table``, ``row`` and ``column``: ``group``, ``paper`` (fractions, root mean
        squares), ``images`` that it was counted on and ``rounding``, the standard deviation of what the print cuts off.

    Source:
        Szegedy et al. 2013, Tables 1 to 4.
    """
    lines = []
    for name in TABLES:
        for row, values in paper.TABLES[name].rows.items():
            for column, value in zip(paper.TABLES[name].columns, values, strict=True):
                size = column == "distortion"
                if row.removesuffix(" amplified to 0.1") == column or (size and name in ("table2", "table4")):
                    continue
                lines.append([name, row, column, group(name, row, column), value, counted(name, row, column)])
                lines[-1].append(rounding(name, row, value, size=size) / np.sqrt(3))
    columns = ["table", "row", "column", "group", "paper", "images", "rounding"]
    return pd.DataFrame(lines, columns=columns).set_index(["table", "row", "column"])


def group(table: str, row: str, column: str) -> str:
    """Which kind of number it is; numbers of a kind were counted alike."""
    if column == "distortion":
        return "distortions"
    if table in ("table1", "table3"):
        return "errors"
    number = table[-1]
    if row.startswith("Gaussian noise"):
        return f"Table {number}, noise"
    return f"Table {number}, amplified" if "amplified" in row else f"Table {number}, as found"


def counted(table: str, row: str, column: str) -> int:
    """On how many images a printed number rests.

    The errors of Tables 1 and 3 are those of whole sets of images. Most rates of Table 2 and all of the examples as
    found in Table 4 are multiples of 1/256, and so all rates of both tables are taken for counts of 256 images, but for
    the noise rows of Table 4: these are no such multiples, with one exception, and stand for all test images. A mean
    distortion is taken for that of 256 images.
    """
    if column in _WHOLE and table in ("table1", "table3"):
        return _WHOLE[column]
    if table == "table4" and row.startswith("Gaussian noise"):
        return _WHOLE["test error"]
    return SAMPLE


def rounding(table: str, row: str, value: float, *, size: bool) -> float:
    """The largest rounding error of a printed number.

    Distortions and the rates of Tables 1 and 3 have as many decimals as they show, the rates of Tables 2 and 4 one in
    percent, 6.25 % among them, which is printed with two; the amplified rows of Table 4 are whole percents.
    """
    if size:
        return paper.half_unit(value)
    if "amplified" in row:
        return 0.005
    return 0.0005 if table in ("table2", "table4") else paper.half_unit(value, percent=True)


def standard_errors(
    printed: pd.DataFrame, mean: ArrayLike, spread: ArrayLike, seeds: ArrayLike, images: ArrayLike
) -> np.ndarray:
    """How far a printed number and ours may lie apart by luck, if the protocol is the paper's.

    Args:
        printed: rows of ``entries``.
        mean: (n,) ours, over seeds.
        spread: (n,) the standard deviation over seeds; for a distortion it holds as well what the choice of images
            adds, since no binomial count does.
        seeds: (n,) on how many seeds the mean rests.
        images: (n,) on how many images ours is counted.

    Returns:
        (n,) one standard deviation: for rates the binomial count on both sides, with the rate that both together
        suggest; the spread, once for the paper's networks and once for our mean; and the rounding. For errors of whole
        sets, of which both sides share most images, the count on both sides makes it too wide.
    """
    mean, spread, seeds, images = (np.asarray(part, dtype=float) for part in (mean, spread, seeds, images))
    theirs, count = printed["paper"].to_numpy(), printed["images"].to_numpy(dtype=float)
    rate = (theirs * count + mean * images + 1) / (count + images + 2)  # Laplace: 0 of 256 is not certainty
    binomial = rate * (1 - rate) * (1 / count + 1 / images)
    binomial = np.where(printed["group"] == "distortions", 0.0, binomial)
    return np.sqrt(binomial + spread**2 * (1 + 1 / seeds) + printed["rounding"].to_numpy() ** 2)


def misfit(z: ArrayLike) -> float:
    """The root mean square of differences in standard errors, none larger than ``CAP``: 1 where all is luck."""
    z = np.minimum(np.abs(np.asarray(z, dtype=float)), CAP)
    return float(np.sqrt(np.mean(np.square(z))))


def by_group() -> pd.DataFrame:
    """How many numbers of each kind are printed, on how many images each was counted, and how it is rounded.

    Returns:
        By kind: ``numbers``, ``images`` (a span where they differ) and ``half a digit``, the largest rounding error
        in words: of rates in percentage points, of distortions in the unit of the pixels.
    """
    rows = {}
    for name, part in entries().groupby("group", sort=False):
        counts = sorted(set(part["images"]))
        span = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        half = np.sqrt(3) * part["rounding"].max()
        rows[name] = [len(part), span, f"{half:.3f}" if name == "distortions" else f"{100 * half:.2f} points"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["numbers", "images", "half a digit"])
