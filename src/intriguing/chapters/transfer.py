"""Transfer: Tables 1 and 2 of the paper beside ours, noise in their place, and the choice of the target class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from intriguing.attack.distortion import Distortion, distortion_to_all
from intriguing.attack.perturbations import wrong_classes
from intriguing.book import markdown, paper
from intriguing.book.results import Table
from intriguing.book.tables import error_matrix
from intriguing.data import Images

SIGMOID = ("FC100-100-10", "FC200-200-10")
"""The networks with layers of sigmoids."""


def effort(sets: Mapping[str, Distortion]) -> str:
    """What the sets of adversarial examples cost, as a table in Markdown.

    Args:
        sets: name -> the adversarial examples made for that network.

    Returns:
        For each network the number of images, the share of successes, the mean distortion and the evaluations of the
        network per image.
    """
    rows = [
        [
            name,
            f"{len(found.rms):,}",
            f"{float(found.success.double().mean()):.2%}",
            f"{float(found.rms.mean()):.4f}",
            f"{float(found.evaluations.double().mean()):.0f}",
        ]
        for name, found in sets.items()
    ]
    return markdown.words(["made for", "images", "success", "mean distortion", "evaluations per image"], rows)


def others(frame: pd.DataFrame) -> pd.DataFrame:
    """The errors of networks on the sets that were made for others.

    Args:
        frame: errors by set and network, such as Table 2; rows and columns beyond the networks are left out.

    Returns:
        One row and one column for each of the paper's six networks, with NaN on the diagonal.
    """
    names = list(paper.MODELS)
    return frame.loc[names, names].mask(np.eye(len(names), dtype=bool))


def agreement(table2: Table) -> str:
    """Says in one sentence of Markdown how near our Table 2 comes to the paper's off the diagonal.

    Args:
        table2: what ``tables.table2`` returns.
    """
    ours, theirs = (others(table.to_frame()).melt()["value"].dropna() for table in (table2, paper.TABLE2))
    return (
        f"Over the {len(ours)} pairs of different networks the mean error is **{ours.mean():.1%}** here and "
        f"**{theirs.mean():.1%}** in the paper; the correlation between the two sets of numbers is "
        f"**{np.corrcoef(ours, theirs)[0, 1]:.2f}**, and the median absolute difference is "
        f"**{(ours - theirs).abs().median() * 100:.1f} points**."
    )


def noise_rows(table2: Table, clipped: Table) -> pd.DataFrame:
    """The rows of noise in Table 2, free, cut back to [0, 1] and as printed.

    Args:
        table2: what ``tables.table2`` returns.
        clipped: the same with ``clip_noise``.

    Returns:
        By version and noise: the error of each of the paper's six networks.
    """
    rows, names = list(clipped.rows), list(paper.MODELS)
    versions = {"not clipped": table2, "clipped": clipped, "paper": paper.TABLE2}
    return pd.concat({version: table.to_frame().loc[rows, names] for version, table in versions.items()})


def target_choice(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """What the choice of the target class does to the distortion and to the transfer.

    Args:
        models: name -> trained network.
        images: clean images, attacked once for each of the nine wrong classes.
        targets: (N,) long, one random wrong class per image.

    Returns:
        A ``Table`` named ``target_choice``: per network the mean distortion with a random target, with the nearest of
        the nine and averaged over the nine, and the mean error on the *other* networks with random and with nearest
        targets.
    """
    nearest, rows = {}, {}
    random: dict[str, Tensor] = {}
    column = (wrong_classes(images.labels) == targets[:, None]).int().argmax(1)
    every = torch.arange(len(images))
    for name, model in models.items():
        found = distortion_to_all(model, images.images, images.labels)
        closest = found.rms.argmin(1)
        random[name], nearest[name] = found.images[every, column], found.images[every, closest]
        rows[name] = [
            float(found.rms[every, column].mean()),
            float(found.rms[every, closest].mean()),
            float(found.rms.mean()),
        ]
    for sets in (random, nearest):
        errors = error_matrix(models, sets, images.labels)
        for i, name in enumerate(models):
            others = [error for j, error in enumerate(errors[name]) if j != i]
            rows[name].append(sum(others) / len(others))
    columns = ["random", "nearest", "mean of nine", "transfer, random", "transfer, nearest"]
    return Table("target_choice", columns, rows, {"data": images.name})


def choice_beside_paper(choice: Table) -> pd.DataFrame:
    """The three readings of the target class with the distortion that the paper prints.

    Args:
        choice: what :func:`target_choice` returns.

    Returns:
        Its columns and the column ``paper``.
    """
    return choice.to_frame().join(paper.TABLE1.to_frame()["distortion"].rename("paper"))


def misfit(choice: Table) -> dict[str, float]:
    """How far each reading of the target class lies from the printed distortions.

    Args:
        choice: what :func:`target_choice` returns.

    Returns:
        ``random``, ``nearest`` and ``mean of nine`` -> mean absolute relative difference over the networks.
    """
    frame = choice_beside_paper(choice)
    return {
        reading: float((frame[reading] / frame["paper"] - 1).abs().mean())
        for reading in ("random", "nearest", "mean of nine")
    }


def misfit_line(choice: Table) -> str:
    """Says in one sentence what :func:`misfit` returns.

    Args:
        choice: what :func:`target_choice` returns.
    """
    listed = ", ".join(f"{reading} {value:.0%}" for reading, value in misfit(choice).items())
    return f"Mean relative distance to the printed distortions: {listed}."


def claims(table1: Table, table2: Table, equal: Table, choice: Table) -> dict[str, bool]:
    """Which of the chapter's claims hold.

    Args:
        table1: what ``tables.table1`` returns.
        table2: what ``tables.table2`` returns.
        equal: what ``tables.equal_noise`` returns.
        choice: what :func:`target_choice` returns.
    """
    errors, distortion = table2.to_frame(), table1.to_frame()["distortion"]
    fooled, noise = others(errors), others(equal.to_frame())
    first, second = SIGMOID
    readings = misfit(choice)
    decided = {
        "Every set fools the network it was made for on every image": all(
            errors.at[name, name] == 1 for name in paper.MODELS
        ),
        "On average over the other networks, every set errs more than noise of equal size": (
            (fooled.mean(axis=1) > noise.mean(axis=1)).all()
        ),
        "Every single set errs more on every other network than noise of equal size": (
            (fooled.fillna(1) > noise.fillna(0)).all(axis=None)
        ),
        "Stronger decay, larger distortion": (
            distortion["FC10(1e-4)"] < distortion["FC10(1e-2)"] < distortion["FC10(1)"]
        ),
        "Noise of stddev 0.1 is larger than the distortion of all networks but FC10(1)": (
            (distortion.drop("FC10(1)") < 0.1).all() and distortion["FC10(1)"] > 0.1
        ),
        "Under that noise the sigmoid networks err on less than 1 % of the images": (
            (errors.loc["Gaussian noise 0.1", list(SIGMOID)] < 0.01).all()
        ),
        "AE400-10 is the network that the sets of others fool least": fooled.mean(axis=0).idxmin() == "AE400-10",
        "The set made for FC10(1) fools the others most": fooled.mean(axis=1).idxmax() == "FC10(1)",
        "Between the sigmoid networks, the examples of one fool the other more than noise does": (
            fooled.at[first, second] > noise.at[first, second] and fooled.at[second, first] > noise.at[second, first]
        ),
        "A random target is closer to the printed distortions than the nearest": (
            readings["random"] < readings["nearest"]
        ),
    }
    return {claim: bool(holds) for claim, holds in decided.items()}
