"""Disjoint training sets: networks that share no training image, and who is fooled by whose examples.

Tables 3 and 4 of the paper, the same with convolutional networks, and a count that the paper's three networks do not
allow: what another half of the data costs the transfer, and what another architecture does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import AMPLIFIED, amplify, gaussian_noise, noise_of_size, rms
from intriguing.book import paper, results, runs, tables
from intriguing.book.halves import HALVES, NOISE
from intriguing.book.results import Table
from intriguing.book.tables import error_matrix
from intriguing.data import Digits, Images
from intriguing.models.training import error_rate, predict

# A network with ReLU and max-pooling has kinks, on which L-BFGS creeps until its cap of iterations. With a low cap it
# takes less than a tenth of the default's evaluations and loses a few percent of distortion: ``shortcut`` measures.
KINKED = {"max_iterations": 10, "tolerance": 1e-2, "margin_tolerance": 1e-2}


def attack_all(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> dict[str, Distortion]:
    """D(x, l) of every image for every model, kept on disk; networks with convolutions use the settings ``KINKED``.

    Args:
        models: name -> network.
        images: the clean images.
        targets: (N,) long, one wrong class per image, the same for all models.

    Returns:
        name -> ``Distortion``.
    """
    return {
        name: runs.attack(
            model,
            images.images,
            targets,
            **(KINKED if any(isinstance(layer, nn.Conv2d) for layer in model.modules()) else {}),
        )
        for name, model in models.items()
    }


def shortcut(model: nn.Module, images: Images, targets: Tensor) -> tuple[Distortion, Distortion]:
    """What the settings ``KINKED`` cost and save, on a few images.

    Args:
        model: a network.
        images: the clean images; the second search may take a second for each.
        targets: (N,) long.

    Returns:
        The search with ``KINKED`` and the one with the default settings.
    """
    return runs.attack(model, images.images, targets, **KINKED), runs.attack(model, images.images, targets)


def amplified_examples(
    model: nn.Module, images: Images, found: Distortion, *, count: int = 10
) -> tuple[Tensor, list[str]]:
    """Images, their adversarial examples, these amplified, noise cut back to the box, and what a network reads.

    Args:
        model: the network that reads, not necessarily the one that the examples were made for.
        images: the clean images.
        found: their adversarial examples.
        count: of images.

    Returns:
        (4 ``count``, *shape) in [0, 1], kind after kind, and as many words.
    """
    clean, distorted = images.images[:count], found.images[:count]
    shown = torch.cat(
        [
            clean,
            distorted,
            amplify(clean, distorted, form="boxed"),
            gaussian_noise(clean, AMPLIFIED, clip=True),
        ]
    )
    return shown, [str(int(label)) for label in predict(model, shown)]


def table3(models: Mapping[str, nn.Module], digits: Digits, sets: Mapping[str, Distortion]) -> Table:
    """Table 3: the errors of the networks on both halves and on the test images, and their mean minimum distortion.

    Args:
        models: name -> network trained on one of the halves.
        digits: the data with their halves.
        sets: name -> adversarial examples, made from test images.

    Returns:
        A ``Table`` named ``table3`` with the columns of the paper's.

    Source:
        Szegedy et al. 2013, Table 3.
    """
    parts = (digits.part1, digits.part2, digits.test)
    rows = {
        name: [*(error_rate(model, part.images, part.labels) for part in parts), float(sets[name].rms.mean())]
        for name, model in models.items()
    }
    return Table("table3", list(paper.TABLE3.columns), rows, {"data": digits.name})


def table4(
    models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion], *, form: str = "printed"
) -> Table:
    """Table 4: the error of every network on every network's adversarial examples, on amplified ones and on noise.

    Args:
        models: name -> network, the columns.
        images: the clean test images that the sets were made from.
        sets: name -> adversarial examples, the rows.
        form: how perturbations are amplified, see ``perturbations.amplify``. With ``"clipped"`` the noise is cut back
            to [0, 1] too, and the rows that are inside already are left out; ``"boxed"`` has the amplified rows alone.

    Returns:
        A ``Table`` named ``table4``, or ``table4_clipped`` and ``table4_boxed``. The last column is the mean distortion
        of the row; for noise in the printed form its standard deviation.

    Source:
        Szegedy et al. 2013, Table 4.
    """
    clean = images.images
    shown = {name: found.images for name, found in sets.items()} if form == "printed" else {}
    amplified = {
        f"{name} amplified to {AMPLIFIED:g}": amplify(clean, found.images, form=form) for name, found in sets.items()
    }
    noise = [{f"Gaussian noise {size}": gaussian_noise(clean, size, clip=form != "printed")} for size in NOISE]
    shown = amplified if form == "boxed" else shown | noise[0] | amplified | noise[1]
    sizes = {name: float(rms(clean, distorted).mean()) for name, distorted in shown.items()}
    if form == "printed":
        sizes |= {f"Gaussian noise {size}": size for size in NOISE}
    rows = {name: [*errors, sizes[name]] for name, errors in error_matrix(models, shown, images.labels).items()}
    name = "table4" if form == "printed" else f"table4_{form}"
    return Table(name, [*models, paper.TABLE4.columns[-1]], rows, {"data": images.name, "images": len(images)})


def noise_of_equal_size(models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion]) -> Table:
    """The upper rows of Table 4 with each perturbation replaced by unclipped Gaussian noise of exactly its size.

    Args:
        models: name -> network, the columns.
        images: the clean images.
        sets: name -> adversarial examples, the rows.

    Returns:
        A ``Table`` named ``table4_noise``; its last row, ``no distortion``, has the errors on the clean images.
    """
    equal = tables.equal_noise(models, images, sets)
    clean = error_matrix(models, {"no distortion": images.images}, images.labels)
    return Table("table4_noise", equal.columns, equal.rows | clean, equal.meta)


@dataclass(frozen=True, eq=False)
class Counts:
    """What lies behind Table 2, image by image.

    Attributes:
        sets: name of the set -> name of the reader -> (N,) bool, which images it misreads.
        noise: the same for noise as large as each perturbation of the set.
        spread: standard deviation over seeds of each entry of the table.
    """

    sets: Mapping[str, Mapping[str, Tensor]]
    noise: Mapping[str, Mapping[str, Tensor]]
    spread: pd.DataFrame


def counted(models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion]) -> Counts:
    """Which images each network misreads in each set.

    Args:
        models: name -> network, the readers, a convolutional one among them.
        images: the clean images.
        sets: name -> adversarial examples.

    Raises:
        ResultError: no spread over seeds was measured.
    """

    def misread(shown: Tensor) -> dict[str, Tensor]:
        return {reader: predict(model, shown) != images.labels for reader, model in models.items()}

    return Counts(
        {name: misread(found.images) for name, found in sets.items()},
        {name: misread(noise_of_size(images.images, found.rms)) for name, found in sets.items()},
        results.load("spread_table2_convolutional", "quick").to_frame(),
    )


def convolutional_tables(
    models: Mapping[str, nn.Module], digits: Digits, images: Images, sets: Mapping[str, Distortion]
) -> list[Table]:
    """Tables 1 and 2 with the row and the column that the paper lacks.

    Args:
        models: name -> network, a convolutional one among them.
        digits: the data they were trained on.
        images: the clean training images that the sets were made from.
        sets: name -> adversarial examples.

    Returns:
        ``Table`` objects named ``table1_convolutional`` and ``table2_convolutional``.

    Source:
        Szegedy et al. 2013, Tables 1 and 2, and section 4.2, which leaves convolutional networks on MNIST open.
    """
    made = (tables.table1(models, digits, sets), tables.table2(models, images, sets))
    return [
        replace(table, name=f"{table.name}_convolutional", meta=table.meta | {"images": len(images)}) for table in made
    ]


def kinds(repetitions: list[Mapping[str, nn.Module]], images: Images, sets: list[Mapping[str, Distortion]]) -> Table:
    """What another half of the data costs the transfer, and what another architecture does.

    Each set is shown to every network of every *other* repetition, so that a reader never has the initial weights of
    the network that the set was made for. The pairs are then sorted by what else the two networks share.

    Args:
        repetitions: name -> network for each repetition, with names of ``HALVES``.
        images: the clean images that the sets were made from.
        sets: name -> adversarial examples for each repetition, likewise.

    Returns:
        A ``Table`` named ``same_or_other``: one row for each of same or other architecture with the same or the other
        half; the mean error over the pairs, its standard deviation over pairs, the mean error of the readers on the
        clean images, and how many pairs there are.

    Raises:
        ValueError: fewer than two repetitions, or another number of sets.

    Source:
        Szegedy et al. 2013, section 4.2, where changed hyperparameters and changed training sets are studied together.
    """
    if len(repetitions) < 2 or len(sets) != len(repetitions):
        raise ValueError(
            f"got {len(repetitions)} repetitions and {len(sets)} sets; expected two repetitions or more with sets."
        )
    groups: dict[str, list[tuple[float, float]]] = {
        f"{architecture} architecture, {half} half": []
        for architecture in ("same", "other")
        for half in ("same", "other")
    }
    clean = [error_matrix(readers, {"clean": images.images}, images.labels)["clean"] for readers in repetitions]
    for i, made in enumerate(sets):
        for j, readers in enumerate(repetitions):
            if i != j:
                errors = error_matrix(readers, {name: found.images for name, found in made.items()}, images.labels)
                for maker, row in errors.items():
                    for reader, error, before in zip(readers, row, clean[j], strict=True):
                        a, b = HALVES[maker], HALVES[reader]
                        architecture = "same" if a.recipe == b.recipe else "other"
                        half = "same" if a.part == b.part else "other"
                        groups[f"{architecture} architecture, {half} half"].append((error, before))
    rows = {}
    for group, pairs in groups.items():
        if pairs:
            errors, before = zip(*pairs, strict=True)
            spread = float(torch.tensor(errors).std()) if len(pairs) > 1 else 0.0
            rows[group] = [sum(errors) / len(pairs), spread, sum(before) / len(pairs), len(pairs)]
    return Table("same_or_other", ["error", "over pairs", "clean", "pairs"], rows, {"data": images.name})


def tolerances(table: Table, images: int) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run when rates are counted on few images.

    Args:
        table: what is compared, of whose name a spread over seeds was measured.
        images: on how many the rates are counted; three of them are always allowed.

    Returns:
        The tolerance of each entry. A rate p between 0 and 1 may move by two standard errors sqrt(p (1 - p) / images)
        at least: the seeds that were measured may have agreed by luck, and other weights decide anew about
        each image that lies near a boundary. That is all a column has whose spread was not measured. Distortions,
        which are no counts, keep what ``tables.tolerances`` allows.

    Raises:
        ResultError: no spread was measured for this table.
    """
    strict = tables.tolerances(table.name).reindex(columns=list(table.columns), fill_value=0)
    counts = [column for column in strict.columns if not column.endswith("distortion")]
    rates = table.to_frame()[[column for column in counts if column[0] != "±"]].clip(0, 1)
    drawn = (2 * (rates * (1 - rates) / images) ** 0.5).reindex_like(strict).fillna(0)
    allowed = np.maximum(strict.clip(lower=3 / images), drawn)
    return strict.assign(**allowed[counts])
