"""From misfits to a verdict: which readings of the paper's method to try, and how to choose among them.

Every open question is a factor with a few levels. One factor is moved at a time, away from the base protocol; then the
levels that help are put together, the most helpful factor first, each kept only if the misfit falls again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from intriguing.attack.penalty import ONE_FOR_ALL
from intriguing.book import paper, tables
from intriguing.book.results import Table
from intriguing.chapters.protocol import misfit
from intriguing.chapters.protocol.study import BASE, Protocol, Sweep

Levels = Mapping[str, Mapping[str, Mapping[str, object]]]
"""Factor -> label of a level -> the fields of ``Protocol`` that it changes."""

RATIOS = (1.3, 2.0, 4.0, 10.0)
"""Of neighbouring values of c on the grids that are tried."""

LEVELS: Levels = {
    "decay, linear networks": {f"λ × {factor:g}": {"linear": factor} for factor in (0.3, 0.5, 2.0, 4.0)},
    "decay as printed": {"λ / k, linear networks": {"per_unit": True}},
    "end of training": {"10 iterations": {"iterations": 10}},
    "target": {name: {"target": name} for name in ("next class", "mean of nine", "nearest")},
    "penalty": {"c |r|": {"norm": "plain"}},
    "search over c": {f"c in steps of × {ratio:g}": {"ratio": ratio} for ratio in RATIOS}
    | {"one c for all": {"ratio": ONE_FOR_ALL}},
    "pixels outside the box": {"cut back": {"clip": True}},
}
"""The open questions and the answers that are tried."""

JOINT: Levels = {factor: levels for factor, levels in LEVELS.items() if factor not in ("target", "end of training")}
"""Those that are not settled when each has been asked by itself."""

LINEAR, SIGMOID = paper.MODELS[:3], paper.MODELS[3:5]
"""The networks without hidden layers, and those with two layers of sigmoids."""

MISFITS = ("misfit", *misfit.TABLES, "change of mean square", "standard error")
"""Columns of ``one_at_a_time``."""

FLOORS = {"distortion": 5e-4, "test error": 0.01, "transfer": 0.02}
"""The least tolerance of a column of the checked tables, by the first words of its name."""


def compared(sweep: Sweep, protocol: Protocol) -> pd.DataFrame:
    """The findings beside the outcome of a protocol.

    Args:
        sweep: the data and the networks.
        protocol: the choices.

    Returns:
        As ``misfit.standardised``.
    """
    return misfit.standardised(sweep.tables(protocol))


def score(sweep: Sweep, protocol: Protocol, tables: Sequence[str] = misfit.TABLES) -> float:
    """The misfit of a protocol over some of the tables.

    Args:
        sweep: the data and the networks.
        protocol: the choices.
        tables: of ``misfit.TABLES``.

    Returns:
        A number of at least 0.
    """
    return misfit.misfit(compared(sweep, protocol).loc[list(tables), "z"])


def assessed(sweep: Sweep, protocols: Mapping[str, Protocol], name: str) -> Table:
    """Misfits of several protocols, and how each changes that of the base.

    Args:
        sweep: the data and the networks.
        protocols: name of a row -> protocol.
        name: of the table.

    Returns:
        A ``Table`` with the columns ``MISFITS``: the misfit over all tables and over each; the change of the mean
        squared difference against the base and its standard error.
    """
    base, rows = compared(sweep, BASE)["z"], {}
    for label, protocol in protocols.items():
        z = compared(sweep, protocol)["z"]
        parts = [misfit.misfit(z.loc[table]) for table in misfit.TABLES]
        rows[label] = [misfit.misfit(z), *parts, *misfit.change(z, base)]
    return Table(name, list(MISFITS), rows, {"data": sweep.digits.name})


def one_at_a_time(sweep: Sweep, levels: Levels = LEVELS) -> Table:
    """Every level by itself, beside the base.

    Args:
        sweep: the data and the networks.
        levels: the factors and their levels.

    Returns:
        The ``Table`` ``protocol_misfit``, see ``assessed``.
    """
    protocols = {label: replace(BASE, **changes) for options in levels.values() for label, changes in options.items()}
    return assessed(sweep, {"base": BASE} | protocols, "protocol_misfit")


def by_question(single: Table, levels: Levels = LEVELS) -> dict[str, dict[str, float]]:
    """The misfits of the levels, grouped by factor.

    Args:
        single: what ``one_at_a_time`` returns.
        levels: the factors and their levels.

    Returns:
        Factor -> label of a level -> misfit.
    """
    misfits = single.to_frame()["misfit"]
    return {factor: misfits[list(options)].to_dict() for factor, options in levels.items()}


def explained(single: Table, levels: Levels = LEVELS) -> pd.DataFrame:
    """How much of the mean squared difference each question explains, if it is answered in the best way.

    Args:
        single: what ``one_at_a_time`` returns.
        levels: the factors and their levels.

    Returns:
        One row per factor: ``best answer``, its label, and ``explains``, a fraction; the largest first.
    """
    frame = single.to_frame()
    square, misfits, change = frame.loc["base", "misfit"] ** 2, frame["misfit"], frame["change of mean square"]
    rows = {
        factor: [misfits[list(options)].idxmin(), -change[list(options)].min() / square]
        for factor, options in levels.items()
    }
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["best answer", "explains"])
    found.loc[found["explains"] <= 0, "best answer"] = "that of the base"
    return found.assign(explains=found["explains"].clip(lower=0)).sort_values("explains", ascending=False)


def tolerances(table: Table) -> pd.DataFrame:
    """How far a rerun of a checked table of the chapter may lie from the stored run.

    Args:
        table: what ``one_at_a_time``, ``questions.coarseness`` or ``questions.sigmoid_decay`` return.

    Returns:
        For each entry four spreads over seeds, at least those of the median entry of its column and at least the floor
        of ``FLOORS``, else 0.05. The changes of the mean square hang on the few findings that are furthest off,
        squared: they may move by half their size, or by two of their standard errors. Those errors hang on the same
        few findings, and may become up to three times as large.
    """
    floors = {column: FLOORS.get(column.partition(",")[0], 0.05) for column in table.columns}
    allowed = tables.pooled_tolerances(table, by="column", floor=floors)
    change, error = MISFITS[-2:]
    if {change, error} <= set(table.columns):
        measured = table.to_frame()
        allowed[change] = np.maximum(allowed[change], np.maximum(measured[change].abs() / 2, 2 * measured[error]))
        allowed[error] = np.maximum(allowed[error], 2 * measured[error])
    return allowed


@dataclass(frozen=True)
class Step:
    """One factor that was moved, on top of what had been kept before.

    Attributes:
        round: of the search, from 1.
        factor: the open question.
        label: its best level in this company, or ``SAME``.
        score: with that level.
        kept: whether the score fell, so that the level was kept.
    """

    round: int
    factor: str
    label: str
    score: float
    kept: bool


SAME = "as in the base"


def stepwise(
    score: Callable[[Protocol], float], levels: Levels = LEVELS, *, base: Protocol = BASE
) -> tuple[Protocol, list[Step]]:
    """Puts together the levels that help, one factor after the other and round after round until nothing does.

    Args:
        score: of a protocol, smaller is better; asked once for each.
        levels: the factors and their levels.
        base: where it starts.

    Returns:
        The protocol found, which no change of a single factor improves, and the steps in the order in which they were
        tried, the factor that helps most by itself first. What does not help alone may help in company, and the other
        way round: so every factor is tried in every round, with all its levels and with that of the base.
    """
    score = functools.cache(score)
    alone = {factor: min(score(replace(base, **changes)) for changes in levels[factor].values()) for factor in levels}
    found, steps, number = base, [], 0
    while not steps or any(step.kept for step in steps if step.round == number):
        number += 1
        for factor in sorted(levels, key=alone.get):
            same = {field: getattr(base, field) for changes in levels[factor].values() for field in changes}
            tried = {
                label: replace(found, **changes)
                for label, changes in {SAME: same, **levels[factor]}.items()
                if replace(found, **changes) != found
            }
            label = min(tried, key=lambda option: score(tried[option]))
            reached = score(tried[label])
            steps.append(Step(number, factor, label, reached, reached < score(found)))
            if steps[-1].kept:
                found = tried[label]
    return found, steps


def described(protocol: Protocol, levels: Levels = LEVELS) -> str:
    """What distinguishes a protocol from the base, in words.

    Args:
        protocol: made of levels.
        levels: the factors and their levels.

    Returns:
        The labels of its levels, joined by commas; ``base`` where there are none.
    """
    return ", ".join(label for label, _ in _parts(protocol, levels)) or "base"


def choose(sweep: Sweep, tables: Sequence[str] = misfit.TABLES) -> tuple[Protocol, list[Step]]:
    """The protocol that comes closest on some of the tables, see ``stepwise``.

    Args:
        sweep: the data and the networks.
        tables: of ``misfit.TABLES``, those that are looked at.

    Returns:
        The protocol, made of ``JOINT``, and the steps that led to it.
    """
    return stepwise(lambda protocol: score(sweep, protocol, tables), JOINT)


def trail(steps: Sequence[Step]) -> pd.DataFrame:
    """The steps of a search as a table to show.

    Args:
        steps: in their order.

    Returns:
        One row per step.
    """
    frame = pd.DataFrame([asdict(step) for step in steps])
    frame["kept"] = frame["kept"].map({True: "yes", False: "no"})
    return frame.rename(columns={"factor": "question", "label": "best other answer", "score": "misfit with it"})


def held_out(sweep: Sweep) -> pd.DataFrame:
    """Chooses by one pair of tables and looks at the other, both ways.

    Args:
        sweep: the data and the networks.

    Returns:
        A row for each pair that was chosen by: ``protocol`` in words, the misfit over that pair under the base and
        under the protocol, ``before`` and ``after``, and over the pair not seen, ``unseen before`` and
        ``unseen after``.
    """
    pairs = {"Tables 1 and 2": misfit.TABLES[:2], "Tables 3 and 4": misfit.TABLES[2:]}
    rows = {}
    for (name, seen), unseen in zip(pairs.items(), reversed(pairs.values()), strict=True):
        picked, _ = choose(sweep, seen)
        scores = [score(sweep, protocol, part) for part in (seen, unseen) for protocol in (BASE, picked)]
        rows[name] = [described(picked), *scores]
    columns = ["protocol", "before", "after", "unseen before", "unseen after"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def taken_apart(sweep: Sweep, chosen: Protocol, levels: Levels = JOINT) -> Table:
    """What each part of a protocol contributes: the parts are taken away again, one by one.

    Args:
        sweep: the data and the networks.
        chosen: made of levels.
        levels: the factors and their levels.

    Returns:
        The ``Table`` ``protocol_chosen``, see ``assessed``: the base, the protocol, and a row without each part.
    """
    without = {
        f"without: {label}": replace(chosen, **{field: getattr(BASE, field) for field in changes})
        for label, changes in _parts(chosen, levels)
    }
    return assessed(sweep, {"base": BASE, "chosen": chosen} | without, "protocol_chosen")


def _parts(protocol: Protocol, levels: Levels) -> list[tuple[str, Mapping[str, object]]]:
    """The levels that a protocol is made of, with their labels."""
    return [
        (label, changes)
        for options in levels.values()
        for label, changes in options.items()
        if all(getattr(protocol, field) == value for field, value in changes.items())
    ]
