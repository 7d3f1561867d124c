"""The paper's numbers beside ours: what has been computed so far, how close it is, how sharp it is printed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from intriguing.book import markdown, paper, results
from intriguing.book.scores import IN_TEXT, TRANSFERS, entries, entry, multiples

POINTS = (0.01, 0.03, 0.1)
"""Absolute differences of error rates that part the bins: 1, 3 and 10 percentage points."""

PARTS = (0.05, 0.1, 0.2)
"""Relative differences of distortions and bounds that part the bins."""

BINS = ("close", "near", "far", "beyond")
"""What the bins are called: up to the first width, up to the second, up to the third, and beyond it."""

TEXT = "text and figures"
"""What stands in place of a table's name for the numbers in the paper's sentences and captions."""

GROUPS = ("networks", "noise", "amplified")
"""The kinds of rows in Tables 2 and 4: sets made for a network, under noise, and amplified."""


def everything(profile: str | None = None) -> pd.DataFrame:
    """Returns one row for each number of the printed tables, and for six that stand in sentences and captions.

    Two more findings of the text, the accuracy under noise of Figure 7 and the growth by amplification, are not among
    them: they stand among the claims.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.

    Returns:
        What :func:`intriguing.book.scores.entries` returns, and rows whose ``table`` is :data:`TEXT`, whose ``row``
        says what the number is and whose ``column`` what ours is.

    Raises:
        ValueError: There is no such profile.
        ResultError: A stored file cannot be read.
    """
    lines = []
    for key, (table, row, column, what) in IN_TEXT.items():
        try:
            ours = entry(results.load(table, profile), row, column)
        except results.MissingResult:
            ours = math.nan
        printed = paper.NUMBERS[key]
        kind = "error" if column.endswith("error") else "distortion"
        lines.append([TEXT, printed.meaning, what, kind, printed.value, ours])
    found = entries(profile)
    return pd.concat([found, pd.DataFrame(lines, columns=found.columns)], ignore_index=True)


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Counts in disjoint bins how far our findings lie from the paper's.

    Args:
        found: What :func:`everything` or :func:`intriguing.book.scores.entries` returns.

    Returns:
        One row for each table and kind, such as ``table2, error``, those with the largest share beyond first. Columns:
        ``printed`` (how many the paper has), ``computed`` (how many of them we have) and :data:`BINS`, by the widths of
        :data:`POINTS` for errors and of :data:`PARTS` for the rest; together they are the computed ones.
    """
    rows = {}
    for (table, kind), group in found[found["kind"] != "given"].groupby(["table", "kind"], sort=True):
        gap = _gap(group.dropna(subset="ours")).abs()
        # The printed numbers are decimals, so a difference of exactly one point must not fail by a rounding error.
        edges = [-math.inf, *(width + 1e-9 for width in (POINTS if kind == "error" else PARTS)), math.inf]
        inside = pd.cut(gap, edges, labels=list(BINS)).value_counts()
        rows[f"{table}, {kind}"] = [len(group), len(gap), *(int(inside[name]) for name in BINS)]
    counted = pd.DataFrame.from_dict(rows, orient="index", columns=["printed", "computed", *BINS])
    worst = (counted["beyond"] / counted["computed"].clip(lower=1)).sort_values(ascending=False, kind="stable")
    return counted.loc[worst.index]


def bins(counted: pd.DataFrame) -> str:
    """Writes the bins as a table in Markdown.

    Args:
        counted: What :func:`counts` returns.
    """
    heads = ["", "printed", "not run", "≤ 1 point or 5 %", "≤ 3 points or 10 %", "≤ 10 points or 20 %", "beyond"]
    rows = [
        [_title(name), *map(str, [row["printed"], row["printed"] - row["computed"], *(row[bin] for bin in BINS)])]
        for name, row in counted.iterrows()
    ]
    return markdown.words(heads, rows)


def worst_first(found: pd.DataFrame, count: int = 12) -> str:
    """Writes the findings that differ most as a table in Markdown.

    Args:
        found: What :func:`everything` returns.
        count: How many.
    """
    rows = []
    for one, away in _furthest(found, count):
        rate = one["kind"] == "error"
        pair = [f"{100 * value:.4g} %" if rate else f"{value:.4g}" for value in (one["ours"], one["paper"])]
        rows.append([_where(one), f"{one['row']}: {one['column']}", *pair, away])
    return markdown.words(["Where", "What", "Ours", "Printed", "Difference"], rows)


def worst_lines(found: pd.DataFrame, count: int) -> list[str]:
    """Names the findings that differ most, each in a few words.

    Args:
        found: What :func:`everything` returns.
        count: How many.
    """
    return [
        f"{_where(one)}, {one['row']}, {'here ' * (one['table'] == TEXT)}{one['column']}, {away}"
        for one, away in _furthest(found, count)
    ]


def computed(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the findings of which we have our own number.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
    """
    return found[found["kind"] != "given"].dropna(subset="ours")


def against(found: pd.DataFrame) -> dict[str, dict[str, tuple[pd.Series, pd.Series]]]:
    """Returns error rates and distortions as points, for :func:`intriguing.book.plots.identities`.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.

    Returns:
        ``error rates`` and ``distortions`` -> table -> the paper's numbers and ours; one empty group where none is
        computed.
    """
    ours, panels = computed(found), {}
    for title, kind in {"error rates": "error", "distortions": "distortion"}.items():
        chosen = ours[ours["kind"] == kind]
        groups = {
            table.replace("table", "Table "): (part["paper"], part["ours"]) for table, part in chosen.groupby("table")
        }
        panels[title] = groups or {"none yet": ([], [])}
    return panels


def beside(found: pd.DataFrame, name: str) -> Styler:
    """Returns one of Tables 1 to 4, each row of ours above the paper's; errors in percent.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
        name: ``table1`` to ``table4``.
    """
    table = paper.TABLES[name]
    part = found[found["table"] == name].melt(["row", "column"], ["ours", "paper"], "whose")
    wide = part.pivot(index=["row", "whose"], columns="column", values="value")
    wide = wide.loc[[(row, whose) for row in table.rows for whose in ("ours", "paper")], list(table.columns)]
    wide[[column for column in table.columns if column != "distortion"]] *= 100
    style = _unbroken(wide.rename_axis(index=[None, None], columns=None)).style.set_uuid(name)
    return style.format("{:.1f}").format("{:.3f}", subset=["distortion"])


def differences(found: pd.DataFrame) -> pd.DataFrame:
    """Returns Table 2, ours minus the paper's, as fractions; NaN where there is no finding.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
    """
    part = found[found["table"].eq("table2") & found["kind"].eq("error")]
    grid = part.assign(gap=part["ours"] - part["paper"]).pivot(index="row", columns="column", values="gap")
    return grid.reindex(index=list(paper.TABLE2.rows), columns=list(paper.MODELS))


def noise_rows() -> Styler:
    """Returns the errors under noise in percent: the paper's, ours, and ours with the noise cut back to [0, 1].

    Raises:
        ResultError: A stored file cannot be read.
    """
    rows = [row for row in paper.TABLE2.rows if row.startswith("Gaussian")]
    versions = {"paper": paper.TABLE2.to_frame().loc[rows]}
    for label, name in {"ours": "table2", "cut back": "table2_clipped"}.items():
        try:
            versions[label] = results.load(name).to_frame().reindex(rows)
        except results.MissingResult:
            continue
    table = pd.concat(versions).swaplevel().loc[rows, list(paper.MODELS)]
    return _unbroken(100 * table).style.set_uuid("noise").format("{:.1f}")


def bounds(found: pd.DataFrame) -> Styler:
    """Returns our upper bounds of the norms of AlexNet's layers beside those of Table 5.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
    """
    part = found[found["table"].eq("table5") & found["kind"].eq("bound")]
    frame = part.set_index("row")[["ours", "paper"]].rename_axis(None)
    return frame.style.set_uuid("table5").format("{:.2f}", na_rep="not at hand")


def sentences(found: pd.DataFrame) -> Styler:
    """Returns the findings in the paper's sentences and captions, ours beside them and what ours is.

    Args:
        found: What :func:`everything` returns.
    """
    part = found[found["table"].eq(TEXT)]
    frame = (
        part.set_index("row")[["ours", "paper", "column"]].rename_axis(None).rename(columns={"column": "what ours is"})
    )
    return frame.style.set_uuid("sentences").format("{:.4f}", subset=["ours", "paper"], na_rep="not run")


def rates(found: pd.DataFrame) -> pd.Series:
    """Returns the error rates that the paper prints in Tables 2 and 4.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
    """
    return found[found["table"].isin(TRANSFERS) & found["column"].ne("distortion")]["paper"]


def sample_line(fits: pd.DataFrame) -> str:
    """Says in Markdown which sample size fits best, and how much better than those that share no factor with it.

    Args:
        fits: What :func:`intriguing.book.scores.multiples` returns.
    """
    best = fits["score"].idxmax()
    at = fits.loc[best]
    others = fits["score"][[n for n in fits.index if math.gcd(n, best) == 1]]
    return (
        f"The best of all is **N = {best}**: {at['fit']:.0f} rates fit where {at['expected']:.1f} "
        f"are expected by chance, {at['score']:.1f} standard deviations more. The best N that "
        f"shares no factor with it reaches {others.max():.1f}."
    )


def group(row: str) -> str:
    """Returns which of :data:`GROUPS` a row of Table 2 or 4 belongs to.

    Args:
        row: Its name.
    """
    return "noise" if row.startswith("Gaussian") else "amplified" if "amplified" in row else "networks"


def sample_rows(found: pd.DataFrame, size: int) -> str:
    """Says for each kind of row how many of its printed rates fit a count over so many images, as a table in Markdown.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
        size: The number of images.
    """
    kinds, printed = found["row"].map(group), rates(found)
    rows = []
    for kind in GROUPS:
        numbers = [rate for rate in printed[kinds.reindex(printed.index).eq(kind)] if 0 < rate < 1]
        at = multiples(numbers, [size]).loc[size]
        whole = sum(math.isclose(100 * rate, round(100 * rate), abs_tol=1e-9) for rate in numbers)
        rows.append([kind, str(len(numbers)), f"{at['fit']:.0f}", f"{at['expected']:.1f}", str(whole)])
    return markdown.words(["Rows", "Rates", f"Fit {size} images", "Expected by chance", "Whole percents"], rows)


def yardsticks(found: pd.DataFrame, size: int, profile: str | None = None) -> pd.DataFrame:
    """Returns our differences from the printed transfer rates, in standard errors.

    Two uncertainties are told apart: that of a rate counted on ``size`` images, and that of two networks which differ
    by their seeds, each with the spread that was measured on few images. The variance of one image, p (1 - p), is taken
    to be 1 / N at least, so that a printed 0 or 100 % leaves room, too.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
        size: On how many images the paper's rates are taken to be counted; those of amplified rows, which are whole
            percents, on 100.
        profile: Whose seeds; None takes the one of this run.

    Returns:
        The computed rates of Tables 2 and 4 made for a network; ``group``, and the differences ``counting`` (by the
        first uncertainty alone) and ``both``. ``both`` is NaN where no seeds are stored.

    Raises:
        ValueError: There is no such profile.
        ResultError: A stored file cannot be read.
    """
    part = computed(found)
    part = part[part["table"].isin(TRANSFERS)]
    part = part.assign(group=part["row"].map(group))
    part = part[part["group"] != "noise"]
    images = np.where(part["group"].eq("amplified"), 100, size)
    counting = (part["paper"] * (1 - part["paper"])).clip(lower=1 / images) / images
    seeds = [
        2 * _spread(*place, profile) ** 2 for place in zip(part["table"], part["row"], part["column"], strict=True)
    ]
    away = (part["ours"] - part["paper"]).abs()
    return part.assign(counting=away / np.sqrt(counting), both=away / np.sqrt(counting + seeds))


def sampling(found: pd.DataFrame, size: int, profile: str | None = None) -> str:
    """Says how many of our transfer rates counting and seeds explain, as a table in Markdown.

    Args:
        found: As for :func:`yardsticks`.
        size: As for :func:`yardsticks`.
        profile: As for :func:`yardsticks`.
    """
    away = yardsticks(found, size, profile)
    rows = [
        [kind, str(len(part)), *(_within(part[which], limit) for which in ("counting", "both") for limit in (2, 5))]
        for kind, part in away.groupby("group", sort=False)
    ]
    heads = ["Rows", "Rates", "≤ 2 SE, counting", "≤ 5 SE, counting", "≤ 2 SE, counting and seeds", "≤ 5 SE, both"]
    return markdown.words(heads, rows)


def namings(found: pd.DataFrame) -> list[float]:
    """Returns how our Table 2 correlates with the paper's when our networks take each other's names.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.

    Returns:
        The rank correlation off the diagonal for each of the 720 namings, the true one first; empty where Table 2 is
        not computed.
    """
    names = list(paper.MODELS)
    part = found[found["table"].eq("table2") & found["row"].isin(names) & found["column"].isin(names)]
    theirs, ours = (
        part.pivot(index="row", columns="column", values=whose).loc[names, names] for whose in ("paper", "ours")
    )
    if ours.isna().any(axis=None):
        return []
    ranks = _off_diagonal(theirs)
    # A renaming permutes rows and columns together, so that the diagonal stays where it is.
    return [_off_diagonal(ours.loc[list(o), list(o)]).corr(ranks) for o in itertools.permutations(names)]


def naming_line(found: pd.DataFrame) -> str:
    """Says how many of the :func:`namings` make our Table 2 resemble the paper's as well as the true one.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
    """
    scores = namings(found)
    if not scores:
        return "Table 2 has not been computed so far."
    as_well = sum(score >= scores[0] for score in scores)
    return f"Rank correlation {scores[0]:.2f}; {as_well} of {len(scores)} namings do as well, the true one among them."


def _gap(part: pd.DataFrame) -> pd.Series:
    """Ours minus the paper's: in fractions for errors, relative to the printed number for the rest."""
    return (part["ours"] - part["paper"]) / part["paper"].where(part["kind"].ne("error"), 1.0)


def _furthest(found: pd.DataFrame, count: int) -> list[tuple[pd.Series, str]]:
    """The findings that differ most, the worst first, and by how much; each measured by the width of its widest bin."""
    ours = computed(found)
    gap = _gap(ours)
    width = ours["kind"].map(lambda kind: (POINTS if kind == "error" else PARTS)[-1])
    order = (gap.abs() / width).sort_values(ascending=False, kind="stable").index[:count]
    return [
        (ours.loc[i], f"{100 * gap[i]:+.1f} points" if ours.at[i, "kind"] == "error" else f"{100 * gap[i]:+.0f} %")
        for i in order
    ]


def _where(one: pd.Series) -> str:
    return one["table"].replace("table", "Table ") if one["table"] != TEXT else "outside the tables"


def _title(name: str) -> str:
    table, kind = name.split(", ")
    return f"{table.replace('table', 'Table ')}, {kind}s"


def _spread(table: str, row: str, column: str, profile: str | None) -> float:
    """The standard deviation over seeds of one entry; NaN where it was not measured."""
    try:
        frame = results.load(f"seeds_{table}", profile).to_frame()
    except results.MissingResult:
        return math.nan
    return frame[f"± {column}"].get(row, math.nan) if f"± {column}" in frame else math.nan


def _within(away: pd.Series, limit: float) -> str:
    return "–" if away.isna().any() else str(int((away <= limit).sum()))


def _unbroken(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with names that no line break can tear apart after their hyphen."""
    names = {name: name.replace("1e-", "1e\u2011") for name in paper.MODELS}
    return frame.rename(index=names, columns=names)


def _off_diagonal(frame: pd.DataFrame) -> pd.Series:
    """The ranks of the entries off the diagonal."""
    return pd.Series(frame.to_numpy(dtype=float)[~np.eye(len(frame), dtype=bool)]).rank()
