"""Every number of the paper beside ours: what has been computed so far, how close it is, which claims hold."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from intriguing.book import paper, results
from intriguing.book.scores import IN_TEXT, TRANSFERS

POINTS = (0.01, 0.03, 0.1)
"""Absolute differences of error rates by which entries are counted: 1, 3 and 10 percentage points."""

PARTS = (0.05, 0.1, 0.2)
"""Relative differences of distortions and bounds by which entries are counted."""

VERDICTS = {True: "holds", False: "does\u00a0not\u00a0hold", None: "undecided"}
"""What is said of a claim."""


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Counts how many findings lie within given distances of the paper's.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.

    Returns:
        One row for each table and kind, such as ``table2, error``. Columns: ``printed`` (how many the paper has),
        ``computed`` (how many of them we have) and, for the three widths of :data:`POINTS` for errors and of
        :data:`PARTS` for the rest, how many of the computed ones differ by that or less: ``close``, ``near`` and
        ``far``; beyond that is the rest.
    """
    rows = {}
    for (table, kind), group in found[found["kind"] != "given"].groupby(["table", "kind"], sort=True):
        computed = group.dropna(subset="ours")
        gap = (computed["ours"] - computed["paper"]).abs()
        widths = POINTS if kind == "error" else PARTS
        relative = gap if kind == "error" else gap / computed["paper"]
        # The printed numbers are decimals, so a difference of exactly one point must not fail by a rounding error.
        rows[f"{table}, {kind}"] = [len(group), len(computed), *(int((relative <= w + 1e-9).sum()) for w in widths)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["printed", "computed", "close", "near", "far"])


def claims(profile: str | None = None) -> pd.DataFrame:
    """Returns every claim of the stored runs and whether it holds.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.

    Returns:
        The columns ``page``, ``claim`` and ``holds``, in alphabetical order of the pages; no rows where nothing is
        stored.

    Raises:
        ValueError: There is no such profile.
        ResultError: A file of claims cannot be read.
    """
    lines: list[list[object]] = []
    for path in sorted(results.location("any", profile).parent.glob("*_claims.json")):
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))["claims"].items()
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise results.ResultError(
                f"The stored run {path} holds no claims ({problem!r}); restore it from git or record it again."
            ) from problem
        page = path.stem.removesuffix("_claims").replace("_", " ")
        lines += [[page, claim, holds] for claim, holds in kept]
    return pd.DataFrame(lines, columns=["page", "claim", "holds"], dtype=object)  # None stays None


def at_a_glance(counted: pd.DataFrame, held: pd.DataFrame) -> str:
    """Returns how much of the paper is met and how many claims hold, as a list in Markdown.

    Args:
        counted: What :func:`counts` returns.
        held: What :func:`claims` returns.
    """
    points = [f"{100 * width:g}" for width in POINTS]
    parts = [f"{100 * width:g} %" for width in PARTS]
    undecided = sum(holds is None for holds in held["holds"])
    unsure = f" and {undecided} are undecided" if undecided else ""
    lines = [
        _glance(counted, "error", [*points[:2], f"{points[2]} percentage points"]),
        _glance(counted, "distortion", parts),
        _glance(counted, "bound", parts),
        f"* Of {len(held)} claims put to the test, **{sum(holds is True for holds in held['holds'])}** hold{unsure}.",
    ]
    return "\n".join(lines)


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


def sentences() -> Styler:
    """Returns the findings of :data:`intriguing.book.scores.IN_TEXT`, ours beside the paper's.

    Raises:
        ResultError: One of the stored runs is missing or cannot be read.
    """
    rows = {
        paper.NUMBERS[name].meaning: [results.load(table).to_frame().at[row, column], paper.NUMBERS[name].value]
        for name, (table, row, column) in IN_TEXT.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["ours", "paper"])
    return frame.style.set_uuid("sentences").format("{:.4f}")


def largest(found: pd.DataFrame, kind: str, count: int = 6) -> Styler:
    """Returns the findings that differ most from the paper's, the worst one first.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
        kind: ``error``, with differences in percentage points, or ``distortion``, in percent of the paper's value.
        count: How many.
    """
    part = computed(found)
    part = part[part["kind"] == kind]
    unit = 1 if kind == "error" else part["paper"]
    part = part.assign(difference=100 * (part["ours"] - part["paper"]) / unit)
    order = part["difference"].abs().sort_values(ascending=False, kind="stable").index[:count]
    columns = ["table", "row", "column", "ours", "paper", "difference"]
    style = part.loc[order, columns].reset_index(drop=True).style.set_uuid(f"worst-{kind}").hide()
    return style.format("{:.4g}", subset=["ours", "paper"]).format("{:+.1f}", subset=["difference"])


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


def sampling_line(found: pd.DataFrame, size: int) -> str:
    """Says how many of our transfer rates lie within what counting on a small sample explains.

    Args:
        found: What :func:`intriguing.book.scores.entries` returns.
        size: On how many images the paper's rates were counted.
    """
    part = computed(found)
    part = part[part["table"].isin(TRANSFERS)]
    if part.empty:
        return "No transfer rate has been computed so far."
    variance = (part["paper"] * (1 - part["paper"])).clip(lower=1 / size) / size
    away = (part["ours"] - part["paper"]).abs() / np.sqrt(variance)
    return (
        f"Of {len(part)} computed transfer and noise rates, {(away <= 2).sum()} lie within two standard errors of "
        f"the printed one and {(away <= 5).sum()} within five; a sample of {size} images around *our* values would put "
        "95 % within two. The rest is no matter of sampling: networks, targets and stopping rules of ours differ."
    )


def verdicts(held: pd.DataFrame) -> Styler:
    """Returns the claims for display, with ``holds``, ``does not hold`` or ``undecided`` beside each.

    Args:
        held: What :func:`claims` returns.
    """
    shown = held.assign(
        page=held["page"].str.replace(" ", "\u00a0"),
        holds=[VERDICTS[holds] for holds in held["holds"]],
    )
    return shown.style.set_uuid("claims").hide().set_properties(**{"text-align": "left"})


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
    return f"Rank correlation {scores[0]:.2f}; {as_well} of {len(scores)} namings do as well."


def _glance(counted: pd.DataFrame, kind: str, widths: list[str]) -> str:
    total = counted[counted.index.str.endswith(kind)].sum()
    if not total["computed"]:
        return f"* No {kind} has been computed so far, of {total['printed']} printed."
    return (
        f"* Of {total['printed']} printed values of the kind *{kind}*, {total['computed']} have been computed: "
        f"**{total['close']}** lie within {widths[0]} of the paper's, **{total['near']}** within {widths[1]}, "
        f"**{total['far']}** within {widths[2]}."
    )


def _unbroken(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with names that no line break can tear apart after their hyphen."""
    names = {name: name.replace("1e-", "1e\u2011") for name in paper.MODELS}
    return frame.rename(index=names, columns=names)


def _off_diagonal(frame: pd.DataFrame) -> pd.Series:
    """The ranks of the entries off the diagonal."""
    return pd.Series(frame.to_numpy(dtype=float)[~np.eye(len(frame), dtype=bool)]).rank()
