"""The statements that the chapters decide about themselves, the checks of software apart."""

from __future__ import annotations

import re
from collections.abc import Mapping

from intriguing.book import markdown, results
from intriguing.chapters.scorecard.claims import link

SOFTWARE = re.compile(
    r"\bagrees? (?!to 1 %)|\bdiffer by less than 0|to 1e-\d+|share no image and together|that was timed|"
    r"end at the same images|double precision|exact intervals|less than 2 GB"
)
"""What gives a check of software away: two ways to one number, the run compared with itself, or what it does with data
and memory."""

CHAPTERS = {"imagenet": "photographs", "free": "photographs", "disjoint": "disjoint_sets"}
"""Beginnings of files that are not named as their chapter."""

Outcomes = Mapping[str, Mapping[str, bool | None]]
"""Chapter -> sentence -> whether it holds, None where that is open."""


def statements(profile: str | None = None) -> dict[str, dict[str, bool | None]]:
    """Returns what every chapter states and whether it holds.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.

    Returns:
        By chapter; empty where nothing is stored.

    Raises:
        ValueError: There is no such profile.
        ResultError: A file of claims cannot be read.
    """
    files = sorted(results.location("any", profile).parent.glob("*_claims*.json"))
    found: dict[str, dict[str, bool | None]] = {}
    for path in files:
        name = path.stem.partition("_claims")[0]
        found.setdefault(CHAPTERS.get(name, name), {}).update(results.load_claims(path.stem, profile))
    return found


def apart(found: Outcomes) -> tuple[dict[str, dict[str, bool | None]], dict[str, dict[str, bool | None]]]:
    """Parts statements about networks and images from checks of software.

    Args:
        found: What :func:`statements` returns.

    Returns:
        Both, each by chapter, without empty ones.
    """
    parts = (
        {page: {s: h for s, h in kept.items() if bool(SOFTWARE.search(s)) is software} for page, kept in found.items()}
        for software in (False, True)
    )
    ours, checks = ({page: kept for page, kept in part.items() if kept} for part in parts)
    return ours, checks


def line(found: Outcomes) -> str:
    """Counts statements in words.

    Args:
        found: What :func:`statements` or :func:`apart` returns.
    """
    outcomes = [holds for kept in found.values() for holds in kept.values()]
    yes, no, unsure = (sum(holds is which for holds in outcomes) for which in (True, False, None))
    kept, failed = "holds" if yes == 1 else "hold", "does not" if no == 1 else "do not"
    return f"{len(outcomes)}: {yes} {kept}, {no} {failed}, {unsure} undecided"


def by_page(found: Outcomes) -> str:
    """Writes for every page how many statements hold and, in words, those that do not, as a table in Markdown.

    Args:
        found: What :func:`statements` or :func:`apart` returns.
    """
    rows = []
    for page, kept in found.items():
        failed = [
            f"{claim}{'' if holds is False else ' (undecided)'}" for claim, holds in kept.items() if holds is not True
        ]
        rows.append(
            [link(page), f"{sum(holds is True for holds in kept.values())} of {len(kept)}", "; ".join(failed) or "–"]
        )
    return markdown.words(["Chapter", "Hold", "Those that do not"], rows)


def listed(found: Outcomes) -> str:
    """Writes every statement, page by page, in Markdown.

    Args:
        found: What :func:`statements` or :func:`apart` returns.
    """
    return "\n\n".join(f"**{page.replace('_', ' ')}**\n\n{markdown.claims(kept)}" for page, kept in found.items())
