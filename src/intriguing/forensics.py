"""From misfits to a verdict: which readings of the paper's method to try, and how to choose among them.

Every open question is a factor with a few levels. One factor is moved at a time, away from the base protocol; then the
levels that help are put together, the most helpful factor first, each kept only if the misfit falls again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from . import misfit, paper
from .data import Digits, Images
from .distortion import minimum_distortion, random_targets
from .protocol import BASE, ONE_FOR_ALL, Protocol, Sweep
from .results import Table
from .training import error_rate

Levels = Mapping[str, Mapping[str, Mapping[str, object]]]
"""Factor -> label of a level -> the fields of ``Protocol`` that it changes."""

LEVELS: Levels = {
    "decay, linear networks": {f"λ × {factor:g}": {"linear": factor} for factor in (0.3, 0.5, 2.0, 4.0)},
    "decay as printed": {"λ / k, linear networks": {"per_unit": True}},
    "end of training": {"10 iterations": {"iterations": 10}},
    "target": {name: {"target": name} for name in ("next class", "mean of nine", "nearest")},
    "penalty": {"c |r|": {"norm": "plain"}},
    "search over c": {f"c in steps of × {ratio:g}": {"ratio": ratio} for ratio in (1.3, 2.0, 4.0, 10.0)}
    | {"one c for all": {"ratio": ONE_FOR_ALL}},
    "pixels outside the box": {"cut back": {"clip": True}},
}
"""The open questions and the answers that are tried."""

LINEAR, SIGMOID = paper.MODELS[:3], paper.MODELS[3:5]
"""The networks without hidden layers, and those with two layers of sigmoids."""

FACTORS, FIRST, ENOUGH = (0.1, 1.0, 10.0), 1000, 400
"""Factors on the decay of FC100-100-10, the training images on which they are tried, and iterations of L-BFGS."""

MISFITS = ("misfit", *misfit.TABLES, "change of mean square", "standard error")
"""Columns of ``one_at_a_time``."""


def first_images(digits: Digits) -> Images:
    """The training images on which the decay of a sigmoid network is varied: the first of them, for short trainings.

    Args:
        digits: the data.

    Returns:
        ``FIRST`` images under a name of their own.
    """
    return digits.train.take(slice(0, FIRST), f"{digits.train.name}, first {FIRST}")


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


def coarseness(sweep: Sweep, levels: Levels = LEVELS) -> Table:
    """Mean distortion and transfer of the six networks for every coarseness of the search over c.

    Args:
        sweep: the data and the networks.
        levels: with the factor ``search over c``.

    Returns:
        The ``Table`` ``coarse_search``: a row for the exact search and each level, two columns for each network, its
        mean distortion and the mean error of the other five on its examples.
    """
    names, rows = list(paper.MODELS), {}
    for label, changes in {"exact edge": {}, **levels["search over c"]}.items():
        ours = compared(sweep, replace(BASE, **changes))["ours"]
        sizes = ours.loc["table1"].xs("distortion", level="column")
        others = ours.loc["table2"].groupby(level="row").mean()
        rows[label] = [*sizes[names], *others[names]]
    columns = [f"{what}, {name}" for what in ("distortion", "transfer") for name in names]
    return Table("coarse_search", columns, rows, {"data": sweep.digits.name})


def sigmoid_decay(sweep: Sweep, factors: Sequence[float] = FACTORS) -> Table:
    """Test error and mean distortion of FC100-100-10 under other decays.

    Args:
        sweep: the data and the networks.
        factors: on the printed decay of all its layers.

    Returns:
        The ``Table`` ``sigmoid_decay`` with one row per factor.
    """
    clean, rows = sweep.clean(), {}
    targets = random_targets(clean.labels)
    for factor in factors:
        network = sweep.network("FC100-100-10", Protocol(sigmoid=factor, iterations=ENOUGH))
        rows[f"λ × {factor:g}"] = [
            error_rate(network, sweep.digits.test.images, sweep.digits.test.labels),
            float(minimum_distortion(network, clean.images, targets).rms.mean()),
        ]
    return Table("sigmoid_decay", ["test error", "distortion"], rows, {"data": sweep.digits.train.name})


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
    labels = [
        label
        for options in levels.values()
        for label, changes in options.items()
        if all(getattr(protocol, field) == value for field, value in changes.items())
    ]
    return ", ".join(labels) or "base"


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
        base: findings of the one, as ``compared`` returns them.
        after: those of the other.

    Returns:
        One row per kind of finding: ``findings``, how many; ``base`` and ``after``, the misfit over them; ``share`` of
        the sum of squares that is left after. The largest share first.
    """
    kinds = [kind(*place) for place in after.index]
    groups = after["z"].groupby(kinds)
    left = groups.apply(lambda z: float(np.square(z).sum()))
    return pd.DataFrame(
        {
            "findings": groups.size(),
            "base": base["z"].groupby(kinds).apply(misfit.misfit),
            "after": groups.apply(misfit.misfit),
            "share": left / left.sum(),
        }
    ).sort_values("share", ascending=False)


def asked(factors: ArrayLike, values: ArrayLike, printed: float) -> float:
    """The factor at which a measured curve passes through a printed value.

    Args:
        factors: (n,) above 0, increasing.
        values: (n,) measured there.
        printed: the value looked for.

    Returns:
        The factor, from straight lines over its logarithm, at the crossing nearest to 1 where there are several; NaN
        where the curve does not pass through the value.

    Raises:
        ValueError: shapes that differ, or factors that do not increase from above 0.
    """
    factors, values = np.asarray(factors, dtype=float), np.asarray(values, dtype=float)
    if factors.shape != values.shape or not (np.diff(factors) > 0).all() or not factors[0] > 0:
        raise ValueError(f"expected increasing factors above 0, one per value, got {factors} for {values.shape}")
    gap, x = values - printed, np.log(factors)
    crossings = list(x[gap == 0])
    for i in np.flatnonzero(gap[:-1] * gap[1:] < 0):
        crossings.append(x[i] + (x[i + 1] - x[i]) * gap[i] / (gap[i] - gap[i + 1]))
    return float(np.exp(min(crossings, key=abs))) if crossings else float("nan")
