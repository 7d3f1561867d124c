"""Transfer: Tables 1 and 2 of the paper beside ours, noise in their place, and the choice of the target class."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from intriguing.attack import files
from intriguing.attack.distortion import Distortion, distortion_to_all
from intriguing.attack.perturbations import moved_by, wrong_classes
from intriguing.book import cache, fingerprint, markdown, paper, tables
from intriguing.book.results import Table
from intriguing.book.tables import error_matrix
from intriguing.data import Images
from intriguing.models.training import error_rate, predict

LINEAR = ["FC10(1e-4)", "FC10(1e-2)", "FC10(1)"]
"""The networks without hidden layers."""

SIGMOID = ("FC100-100-10", "FC200-200-10")
"""The networks with two layers of sigmoids; AE400-10 has one."""

LENGTHS = (0.06, 0.1)
"""Distortions at which sets are compared when all perturbations are equally long: those of the paper's Table 4."""

FAR = 0.1
"""Difference of two errors, as fractions, beyond which a pair of networks is counted."""


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


def clean_errors(models: Mapping[str, nn.Module], images: Images) -> pd.Series:
    """The error of each network on the images that the sets were made from.

    Args:
        models: name -> network.
        images: the clean images.

    Returns:
        Name -> error, a fraction.
    """
    return pd.Series({name: error_rate(model, images.images, images.labels) for name, model in models.items()})


def excess(errors: Table, clean: pd.Series) -> Table:
    """What the networks err more on a set than on the clean images.

    Args:
        errors: errors by set and network, such as Table 2.
        clean: what :func:`clean_errors` returns.

    Returns:
        A ``Table`` named ``table2_excess`` with one column for each network.
    """
    frame = errors.to_frame()[list(clean.index)] - clean
    return Table.from_frame("table2_excess", frame, {"data": errors.meta.get("data", "")})


def paper_excess() -> pd.DataFrame:
    """The paper's Table 2 less the training errors of its Table 1: one column for each network."""
    return paper.TABLE2.to_frame()[list(paper.MODELS)] - paper.TABLE1.to_frame()["training error"]


def excess_tolerances() -> pd.DataFrame:
    """How far each entry of :func:`excess` may lie from the stored run: as far as the two errors together."""
    clean = tables.tolerances("table1")["training error"]
    return tables.tolerances("table2")[list(clean.index)] + clean


def populations(
    models: Mapping[str, nn.Module], images: Images, targets: Tensor, sets: Mapping[str, Distortion]
) -> Table:
    """The mean distortion over all images, and over those that were read correctly before.

    Args:
        models: name -> network.
        images: the clean images.
        targets: (N,) long, the classes that were asked for.
        sets: name -> the adversarial examples made for it.

    Returns:
        A ``Table`` named ``distortion_populations``: per network the share of images that it misreads, the share
        that is its target already and needs no perturbation, and both means.

    Source:
        Szegedy et al. 2013, section 4: small perturbations "to a correctly classified input image".
    """
    rows = {}
    for name, found in sets.items():
        read = predict(models[name], images.images)
        right, sizes = read == images.labels, found.rms.to(images.labels.device)
        shares = [float((~right).double().mean()), float((read == targets).double().mean())]
        rows[name] = [*shares, float(sizes.mean()), float(sizes[right].mean())]
    columns = ["misread", "target already", "all images", "correctly read"]
    return Table("distortion_populations", columns, rows, {"data": images.name})


def population_tolerances() -> pd.DataFrame:
    """How far each entry of :func:`populations` may lie from the stored run: as far as those of Table 1."""
    allowed = tables.tolerances("table1")
    error, distortion = allowed["training error"], allowed["distortion"]
    return pd.DataFrame(
        {"misread": error, "target already": error, "all images": distortion, "correctly read": distortion}
    )


def populations_beside_paper(found: Table) -> pd.DataFrame:
    """What :func:`populations` returns, with the distortion that the paper prints."""
    return found.to_frame().join(paper.TABLE1.to_frame()["distortion"].rename("the paper"))


def outcomes(models: Mapping[str, nn.Module], images: Images, targets: Tensor, sets: Mapping[str, Distortion]) -> Table:
    """What other networks take the examples for: still the true class, the class that was asked for, or a third one.

    Only images count that the network they were made for and the network that reads them both read correctly before,
    so that no error is left over from the clean images.

    Args:
        models: name -> network.
        images: the clean images.
        targets: (N,) long, the classes that were asked for.
        sets: name -> the adversarial examples made for it.

    Returns:
        A ``Table`` named ``transfer_outcomes``: per set the shares, averaged over the other networks, and the share of
        the target among the errors; by chance that would be one of nine.
    """
    right = {name: predict(model, images.images) == images.labels for name, model in models.items()}
    rows = {}
    for made_for, found in sets.items():
        shares = []
        for name in (name for name in models if name != made_for):
            both = right[made_for] & right[name]
            read = predict(models[name], found.images.to(images.images.device))[both]
            true, target = read == images.labels[both], read == targets[both]
            shares.append([float(which.double().mean()) for which in (true, target, ~true & ~target)])
        true, target, third = np.mean(shares, axis=0)
        rows[made_for] = [true, target, third, target / (target + third)]
    columns = ["still correct", "the target", "a third class", "target among errors"]
    return Table("transfer_outcomes", columns, rows, {"data": images.name})


def target_line(classes: Table) -> str:
    """Says in a sentence how often an error of another network is the target.

    Args:
        classes: what :func:`outcomes` returns.
    """
    frame = classes.to_frame()
    share, fooled = frame["target among errors"], 1 - frame["still correct"]
    every = (share * fooled).sum() / fooled.sum()
    return (
        f"Of the errors that the examples cause in other networks, **{every:.0%}** are the target, with every pair "
        f"of networks weighed alike; by set it is from {share.min():.0%} ({share.idxmin()}) to {share.max():.0%} "
        f"({share.idxmax()}). An error at random would be the target one time in nine, 11%."
    )


def equal_length(models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion]) -> Table:
    """Which set fools the others most when all perturbations are equally long.

    Args:
        models: name -> network.
        images: the clean images that are compared, the first ones of those that the sets were made from.
        sets: name -> the adversarial examples made for it.

    Returns:
        A ``Table`` named ``equal_length``: per set the mean error of the other networks above their clean error, for
        the perturbations as found and stretched or shortened, inside the box, to each of :data:`LENGTHS`.
    """
    clean, count = clean_errors(models, images), len(images)
    versions = {"as found": {name: found.images[:count] for name, found in sets.items()}}
    for size in LENGTHS:
        way = torch.full((count,), size, dtype=torch.float64)
        versions[f"at {size}"] = {
            name: moved_by(images.images, found.images[:count], way) for name, found in sets.items()
        }
    columns = {}
    for version, moved in versions.items():
        errors = pd.DataFrame.from_dict(
            error_matrix(models, moved, images.labels), orient="index", columns=list(models)
        )
        columns[version] = (errors - clean).mask(np.eye(len(models), dtype=bool)).mean(axis=1)
    return Table.from_frame("equal_length", pd.DataFrame(columns), {"data": images.name})


def others(frame: pd.DataFrame) -> pd.DataFrame:
    """The errors of networks on the sets that were made for others.

    Args:
        frame: errors by set and network, such as Table 2; rows and columns beyond the networks are left out.

    Returns:
        One row and one column for each of the paper's six networks, with NaN on the diagonal.
    """
    names = list(paper.MODELS)
    return frame.loc[names, names].mask(np.eye(len(names), dtype=bool))


def pairs(frame: pd.DataFrame) -> pd.Series:
    """The entries of :func:`others` without the diagonal, one after the other."""
    return others(frame).melt()["value"].dropna()


def agreement(table2: Table, above: Table) -> str:
    """Says in Markdown how near our Table 2 comes to the paper's off the diagonal, above the clean error and raw.

    Args:
        table2: what ``tables.table2`` returns.
        above: what :func:`excess` returns for it.
    """
    ours, theirs = pairs(above.to_frame()), pairs(paper_excess())
    raw, printed = pairs(table2.to_frame()), pairs(paper.TABLE2.to_frame())
    gaps, raw_gaps = (ours - theirs).abs(), (raw - printed).abs()
    return (
        f"Over the {len(ours)} pairs of different networks the examples raise the error by **{ours.mean():.1%}** of "
        f"the images here and by **{theirs.mean():.1%}** in the paper; the correlation between the two sets of numbers "
        f"is **{np.corrcoef(ours, theirs)[0, 1]:.2f}**, the median absolute difference "
        f"**{100 * gaps.median():.1f} points**, and {(gaps > FAR).sum()} pairs differ by more than ten points. With "
        f"the errors on clean images left in, as the table is printed, the means are {raw.mean():.1%} and "
        f"{printed.mean():.1%}, the median difference "
        f"{100 * raw_gaps.median():.1f} points, and {(raw_gaps > FAR).sum()} pairs differ by more than ten."
    )


def least_fooled(above: Table) -> str:
    """Says in one sentence which network the sets of others fool least above its clean error, here and in the paper.

    Args:
        above: what :func:`excess` returns.
    """
    parts = []
    for where, frame in {"Here": above.to_frame(), "in the paper": paper_excess()}.items():
        means = others(frame).mean(axis=0)
        least, coder = 100 * means.min(), 100 * means["AE400-10"]
        parts.append(f"{where} it is **{means.idxmin()}** ({least:.1f} points; AE400-10: {coder:.1f})")
    return "Which network do the sets of others fool least, above its clean error? " + ", and ".join(parts) + "."


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
    nearest, random, rows = {}, {}, {}
    for name, model in models.items():
        key = {"model": cache.described(model), "images": images.digest, "targets": files.digest({"targets": targets})}
        key["code"] = fingerprint.of(_toward_each)
        found = cache.load_or_make(f"toward-each-{name}", key, functools.partial(_toward_each, model, images, targets))
        random[name], nearest[name] = (found[kind].to(images.images.device) for kind in ("random", "nearest"))
        rows[name] = [float(found[kind].mean()) for kind in ("to random", "to nearest", "to each")]
    for sets in (random, nearest):
        errors = error_matrix(models, sets, images.labels)
        for i, name in enumerate(models):
            others = [error for j, error in enumerate(errors[name]) if j != i]
            rows[name].append(sum(others) / len(others))
    columns = ["random", "nearest", "mean of nine", "transfer, random", "transfer, nearest"]
    return Table("target_choice", columns, rows, {"data": images.name})


def _toward_each(model: nn.Module, images: Images, targets: Tensor) -> dict[str, Tensor]:
    """Examples for the target given and for the nearest of nine, and the distortions to these and to each."""
    found = distortion_to_all(model, images.images, images.labels)
    places = {
        "random": (wrong_classes(images.labels) == targets[:, None]).int().argmax(1),
        "nearest": found.rms.argmin(1),
    }
    every = torch.arange(len(images))
    made = {kind: found.images[every, place] for kind, place in places.items()}
    return made | {f"to {kind}": found.rms[every, place] for kind, place in places.items()} | {"to each": found.rms}


def choice_beside_paper(choice: Table, clean: pd.Series | None = None) -> pd.DataFrame:
    """The three readings of the target class with the distortion that the paper prints.

    Args:
        choice: what :func:`target_choice` returns.
        clean: what :func:`clean_errors` returns for the same images; None leaves the transfer as it is.

    Returns:
        Its columns, the transfer above the clean error of the reading networks where that is given, and the column
        ``paper``.
    """
    frame = choice.to_frame()
    if clean is not None:
        before = (clean.sum() - clean) / (len(clean) - 1)  # the mean over the networks that read a set
        for reading in ("random", "nearest"):
            frame[f"above clean, {reading}"] = frame[f"transfer, {reading}"] - before
    return frame.join(paper.TABLE1.to_frame()["distortion"].rename("paper"))


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


def claims(
    table1: Table, table2: Table, above: Table, equal: Table, choice: Table, means: Table, classes: Table, length: Table
) -> dict[str, bool]:
    """Which of the chapter's claims hold.

    Args:
        table1: what ``tables.table1`` returns.
        table2: what ``tables.table2`` returns.
        above: what :func:`excess` returns.
        equal: what ``tables.equal_noise`` returns.
        choice: what :func:`target_choice` returns.
        means: what :func:`populations` returns.
        classes: what :func:`outcomes` returns.
        length: what :func:`equal_length` returns.
    """
    errors, distortion = table2.to_frame(), table1.to_frame()["distortion"]
    added, printed = others(above.to_frame()), others(paper_excess())
    gap, raw_gap = (added - printed).abs(), (others(errors) - others(paper.TABLE2.to_frame())).abs()
    seen, sizes, stretched = classes.to_frame(), means.to_frame(), length.to_frame()
    off = sizes.sub(paper.TABLE1.to_frame()["distortion"], axis=0).abs().loc[LINEAR]
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
        "Above their clean error, AE400-10 is the network that the sets of others fool least": (
            added.mean(axis=0).idxmin() == "AE400-10"
        ),
        "Every set raises the error of every other network": (added.fillna(1) > 0).all(axis=None),
        "Above clean error the table is nearer to the paper's than raw, in the median pair": (
            gap.melt()["value"].median() < raw_gap.melt()["value"].median()
        ),
        "The set made for FC10(1) fools the others most": fooled.mean(axis=1).idxmax() == "FC10(1)",
        "It still does at an equal length of 0.06": stretched["at 0.06"].idxmax() == "FC10(1)",
        "It still does at an equal length of 0.1": stretched["at 0.1"].idxmax() == "FC10(1)",
        "Where another network is fooled, it sees the target in more than half of the cases, for every set": (
            (seen["target among errors"] > 0.5).all()
        ),
        "It sees the target more often than one time in nine, for every set": (
            (seen["target among errors"] > 1 / 9).all()
        ),
        "Images that were read correctly need a larger distortion than all images, or the same": (
            (sizes["correctly read"] >= sizes["all images"]).all()
        ),
        "On the linear networks their mean is the one nearer to the printed distortion, or as near": (
            (off["correctly read"] <= off["all images"]).all()
        ),
        "Between the sigmoid networks, the examples of one fool the other more than noise does": (
            fooled.at[first, second] > noise.at[first, second] and fooled.at[second, first] > noise.at[second, first]
        ),
        "A random target is closer to the printed distortions than the nearest": (
            readings["random"] < readings["nearest"]
        ),
    }
    return {claim: bool(holds) for claim, holds in decided.items()}
