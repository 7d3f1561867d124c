"""What a coarse search over c does: distortion and transfer by coarseness, pictures, a check of the short cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from intriguing.attack.penalty import ONE_FOR_ALL, grid_search
from intriguing.attack.perturbations import random_targets, rms
from intriguing.book import paper, tables
from intriguing.book.results import Table
from intriguing.chapters.protocol.study import BASE, Sweep

RATIOS = (1.3, 2.0, 4.0, 10.0)
"""Of neighbouring values of c on the grids that are tried."""

LEVELS: Mapping[str, float] = {
    "exact edge": 1.0,
    **{f"c in steps of × {ratio:g}": ratio for ratio in RATIOS},
    "one c for all": ONE_FOR_ALL,
}
"""The searches over c that are tried, the exact one first."""

FLOORS = {"distortion": 5e-4, "transfer": 0.02}
"""The least tolerance of a column of the checked table, by the first word of its name."""


def coarseness(sweep: Sweep) -> Table:
    """Mean distortion and transfer of the six networks for every coarseness of the search over c.

    Args:
        sweep: the data and the networks.

    Returns:
        The ``Table`` ``coarse_search``: a row for each search, two columns for each network, its mean distortion and
        the mean error of the other five on its examples.
    """
    rows = {}
    for label, ratio in LEVELS.items():
        found = sweep.first_tables(replace(BASE, ratio=ratio))
        errors = found["table2"][: len(paper.MODELS), : len(paper.MODELS)]
        others = (errors.sum(1) - errors.diagonal()) / (len(paper.MODELS) - 1)
        rows[label] = [*found["table1"][:, -1].tolist(), *others.tolist()]
    columns = [f"{what}, {name}" for what in ("distortion", "transfer") for name in paper.MODELS]
    return Table("coarse_search", columns, rows, {"data": sweep.digits.name})


def tolerances(table: Table) -> pd.DataFrame:
    """How far a rerun of ``coarseness`` may lie from the stored run.

    Args:
        table: what it returns.

    Returns:
        For each entry four spreads over seeds, at least those of the median entry of its column and at least the floor
        of ``FLOORS``.
    """
    floors = {column: FLOORS[column.partition(",")[0]] for column in table.columns}
    return tables.pooled_tolerances(table, by="column", floor=floors)


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


def pictures(sweep: Sweep, name: str) -> tuple[Tensor, list[str]]:
    """The first image and what the search returns for it, from the exact edge to the coarsest.

    Args:
        sweep: the data and the networks.
        name: of the network.

    Returns:
        (N, 1, 28, 28), the clean image first, and N titles.
    """
    shown, titles = [sweep.clean().images[:1]], ["clean"]
    for label, ratio in LEVELS.items():
        shown.append(sweep.distorted(name, replace(BASE, ratio=ratio))[:1, 0])
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
