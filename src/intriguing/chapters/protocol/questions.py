"""The open questions one by one: which decay the printed numbers ask for, what a coarse search does, and the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.penalty import grid_search
from intriguing.attack.perturbations import random_targets, rms
from intriguing.book import paper
from intriguing.book.results import Table
from intriguing.chapters.protocol import misfit
from intriguing.chapters.protocol.forensics import LEVELS, LINEAR, Levels, compared
from intriguing.chapters.protocol.study import BASE, Protocol, Sweep
from intriguing.data import Digits, Images
from intriguing.models.training import error_rate

STRENGTHS = {0.1: Protocol(per_unit=True)} | {factor: Protocol(linear=factor) for factor in (0.3, 0.5, 1.0, 2.0, 4.0)}
"""Factors on the decay of the linear networks; a tenth is the printed formula, with ten units."""

FACTORS, FIRST, ENOUGH = (0.1, 1.0, 10.0), 1000, 400
"""Factors on the decay of FC100-100-10, the training images on which they are tried, and iterations of L-BFGS."""

_NOISE = ["Gaussian noise 0.1", "Gaussian noise 0.3"]


def decay_curves(sweep: Sweep) -> pd.DataFrame:
    """What the linear networks do when their decay is multiplied by a factor.

    Args:
        sweep: the data and the networks.

    Returns:
        The columns of Table 1; one row for each factor of ``STRENGTHS`` and each linear network, the levels ``factor``
        and ``row``.
    """
    curves = {
        factor: compared(sweep, protocol)["ours"].loc["table1"].unstack("column").loc[list(LINEAR)]
        for factor, protocol in STRENGTHS.items()
    }
    return pd.concat(curves, names=["factor", "row"])


def asked_factors(curves: pd.DataFrame) -> pd.DataFrame:
    """The factor on the decay that would have produced each number which Table 1 prints for a linear network.

    Args:
        curves: what ``decay_curves`` returns.

    Returns:
        Linear networks by columns of Table 1; NaN where no factor does.
    """
    factors, printed = list(curves.index.unique("factor")), paper.TABLE1.to_frame()
    return pd.DataFrame(
        {
            column: {
                name: asked(factors, curves.xs(name, level="row")[column], printed.loc[name, column]) for name in LINEAR
            }
            for column in paper.TABLE1.columns
        }
    )


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
        raise ValueError(f"got factors {factors} for {values.shape}; expected increasing ones above 0, one per value.")
    gap, x = values - printed, np.log(factors)
    crossings = list(x[gap == 0])
    for i in np.flatnonzero(gap[:-1] * gap[1:] < 0):
        crossings.append(x[i] + (x[i + 1] - x[i]) * gap[i] / (gap[i] - gap[i + 1]))
    return float(np.exp(min(crossings, key=abs))) if crossings else float("nan")


def first_images(digits: Digits) -> Images:
    """The training images on which the decay of a sigmoid network is varied: the first of them, for short trainings.

    Args:
        digits: the data.

    Returns:
        ``FIRST`` images under a name of their own.
    """
    return digits.train.take(slice(0, FIRST), f"{digits.train.name}, first {FIRST}")


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


def by_network(coarse: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Takes the table of ``coarseness`` apart.

    Args:
        coarse: that table.

    Returns:
        Mean distortions and mean transfer, both with a row per coarseness and a column per network.
    """
    frame, names = coarse.to_frame(), list(paper.MODELS)
    sizes, transfer = (
        frame[[f"{what}, {name}" for name in names]].set_axis(names, axis=1) for what in ("distortion", "transfer")
    )
    return sizes, transfer


def pictures(sweep: Sweep, name: str, levels: Levels = LEVELS) -> tuple[Tensor, list[str]]:
    """The first image and what the search returns for it, from the exact edge to the coarsest.

    Args:
        sweep: the data and the networks.
        name: of the network.
        levels: with the factor ``search over c``.

    Returns:
        (N, 1, 28, 28), the clean image first, and N titles.
    """
    shown, titles = [sweep.clean().images[:1]], ["clean"]
    for label, changes in {"exact edge": {}, **levels["search over c"]}.items():
        shown.append(sweep.distorted(name, replace(BASE, **changes))[:1, 0])
        titles.append(label.removeprefix("c in steps of "))
    return torch.cat(shown), titles


def short_cut_error(sweep: Sweep, name: str, *, count: int = 8) -> Tensor:
    """How far the coarse search, computed from the exact edge, ends from a search over the whole grid of ratio two.

    Args:
        sweep: the data and the networks.
        name: of the network.
        count: of images.

    Returns:
        (count,) float64, relative to the size of the perturbation.
    """
    few = sweep.clean().take(slice(0, count))
    grid = 2.0 ** torch.arange(-14, 8, dtype=torch.float64)
    whole, _ = grid_search(sweep.network(name, BASE), few.images, random_targets(few.labels), grid)
    quick = sweep.distorted(name, replace(BASE, ratio=2.0))[:count, 0]
    return rms(whole, quick) / rms(whole, few.images)


def effects(sweep: Sweep, levels: Levels = LEVELS) -> pd.DataFrame:
    """What the answers to the questions about target, training, norm and printed decay do on average.

    Args:
        sweep: the data and the networks.
        levels: the factors and their levels.

    Returns:
        A row for the base, for each answer and for the paper; means over the six networks of Table 1 of the distortion
        and of the errors on each other's examples, and the misfits of both.
    """
    protocols = {"base": BASE} | {
        label: replace(BASE, **changes)
        for factor in ("target", "end of training", "penalty", "decay as printed")
        for label, changes in levels[factor].items()
    }
    rows = {}
    for label, protocol in protocols.items():
        part = compared(sweep, protocol)
        sizes, pairs = part.xs("distortion", level="column").loc["table1"], part.loc["table2"].drop(_NOISE, level="row")
        rows[label] = [sizes["ours"].mean(), misfit.misfit(sizes["z"]), pairs["ours"].mean(), misfit.misfit(pairs["z"])]
    rows["paper"] = [paper.TABLE1.to_frame()["distortion"].mean(), np.nan, pairs["paper"].mean(), np.nan]
    columns = ["distortion", "misfit of the distortions", "transfer", "misfit of the transfer"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def grid_offsets(sweep: Sweep, name: str, offsets: Sequence[float], *, count: int = 32) -> Tensor:
    """The distortion that a search over powers of ten finds, depending on where the grid begins.

    Args:
        sweep: the data and the networks.
        name: of the network.
        offsets: (n,) factors on all values of the grid, from 1 to 10.
        count: of images.

    Returns:
        (n, count) float64.
    """
    few, network = sweep.clean().take(slice(0, count)), sweep.network(name, BASE)
    powers, targets = 10.0 ** torch.arange(-5, 3, dtype=torch.float64), random_targets(few.labels)
    return torch.stack(
        [rms(grid_search(network, few.images, targets, offset * powers)[0], few.images) for offset in offsets]
    )
