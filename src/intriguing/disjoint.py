"""Disjoint training sets: networks that share no training image, and who is fooled by whose examples.

Tables 3 and 4 of the paper, the same with convolutional networks, and a count that the paper's three networks do not
allow: what another half of the data costs the transfer, and what another architecture does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor, nn

from . import longrun, paper, tables
from .data import Digits, Images
from .distortion import Distortion
from .results import Table
from .training import error_rate, trained
from .transfer import error_matrix, gaussian_noise, rms

NOISE = (0.06, 0.1)  # standard deviations of the two rows of noise in Table 4
AMPLIFIED = 0.1  # root mean square per pixel after amplification
FORMS = ("printed", "clipped", "boxed")

# A network with ReLU and max-pooling has kinks, on which L-BFGS creeps until its cap of iterations. A low cap costs a
# twelfth of the default and one or two percent of distortion.
KINKED = {"max_iterations": 10, "tolerance": 1e-2, "margin_tolerance": 1e-2}


@dataclass(frozen=True)
class Half:
    """A network that is trained on one half of the training images.

    Attributes:
        recipe: a key of ``models.RECIPES``.
        part: ``"part1"`` or ``"part2"``, the half.
        offset: the initial weights have the seed 2 s + offset in repetition s, so that the networks of the two halves
            never start from the same weights.
    """

    recipe: str
    part: str
    offset: int


HALVES: Mapping[str, Half] = {
    "FC100-100-10": Half("FC100-100-10", "part1", 0),
    "FC123-456-10": Half("FC123-456-10", "part1", 0),
    "FC100-100-10'": Half("FC100-100-10", "part2", 1),
    "FC123-456-10'": Half("FC123-456-10", "part2", 1),
    "ConvNet": Half("ConvNet", "part1", 0),
    "ConvNet'": Half("ConvNet", "part2", 1),
}
"""The networks of Tables 3 and 4, the fourth one that completes the square, and two that are convolutional."""


def networks(
    digits: Digits,
    names: Iterable[str] = paper.HALF_MODELS,
    *,
    repetition: int = 0,
    max_iterations: int | None = None,
) -> dict[str, nn.Module]:
    """Networks trained on halves of the training images.

    Args:
        digits: the data with their halves.
        names: keys of ``HALVES``.
        repetition: s, at least 0; another one starts from other weights.
        max_iterations: cap on L-BFGS iterations; by default that of the profile.

    Returns:
        name -> trained network, in the order of ``names``.

    Raises:
        KeyError: a name that ``HALVES`` does not have.

    Source:
        Szegedy et al. 2013, Table 3.
    """
    return {
        name: trained(
            HALVES[name].recipe,
            getattr(digits, HALVES[name].part),
            seed=2 * repetition + HALVES[name].offset,
            max_iterations=max_iterations,
        ).model
        for name in names
    }


def attack_all(
    models: Mapping[str, nn.Module], images: Images, targets: Tensor, *, progress: bool = False
) -> dict[str, Distortion]:
    """D(x, l) of every image for every model, kept on disk; networks with convolutions use the settings ``KINKED``.

    Args:
        models: name -> network.
        images: the clean images.
        targets: (N,) long, one wrong class per image, the same for all models.
        progress: shows a bar per model.

    Returns:
        name -> ``Distortion``.
    """
    return {
        name: longrun.attack(
            model,
            images.images,
            targets,
            progress=f"attacking {name}" if progress else None,
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
    return longrun.attack(model, images.images, targets, **KINKED), longrun.attack(model, images.images, targets)


def amplify(images: Tensor, distorted: Tensor, size: float = AMPLIFIED, *, form: str = "printed") -> Tensor:
    """The same perturbations at another size, one size for all images.

    Args:
        images: (N, *shape) in [0, 1].
        distorted: (N, *shape), x + r; an image with r = 0 has no direction and is returned as it is.
        size: root mean square per pixel that is asked for, above 0.
        form: ``"printed"`` is x + size r / rms(r), which leaves the box; ``"clipped"`` cuts that back to [0, 1], which
            makes it smaller than ``size``; ``"boxed"`` goes along r until the image, cut back to [0, 1], has moved by
            ``size``, or by as much as the box allows.

    Returns:
        (N, *shape) of the dtype of ``images``.

    Raises:
        ValueError: an unknown form, a size that is not above 0, or two shapes.

    Source:
        Szegedy et al. 2013, section 4.2: x + 0.1 (x' - x) / ||x' - x||_2, with the norm read as the root mean square
        per pixel that the paper calls stddev.
    """
    if form not in FORMS:
        raise ValueError(f"expected the form to be one of {', '.join(FORMS)}, got {form!r}")
    if not size > 0:
        raise ValueError(f"expected a size above 0, got {size}")
    before = rms(images, distorted)  # raises where the shapes differ
    clean = images.double().flatten(1)
    step = distorted.double().flatten(1) - clean
    moved = before > 0
    factor = torch.where(moved, size / before.where(moved, torch.ones_like(before)), 1.0)
    if form == "boxed":
        factor = _reaching(clean, step, factor, size)
    further = clean + factor[:, None] * step
    if form != "printed":
        further = further.clamp(0, 1)
    return further.view(images.shape).to(images.dtype)


def _reaching(clean: Tensor, step: Tensor, factor: Tensor, size: float) -> Tensor:
    """The factor t at which clip(x + t r) has moved by ``size``: bisection, as the way grows with t."""

    def way(t: Tensor) -> Tensor:
        return ((clean + t[:, None] * step).clamp(0, 1) - clean).square().mean(1).sqrt()

    low, high = factor, factor
    for _ in range(12):  # a pixel that still counts has met its bound by then
        high = torch.where(way(high) < size, 2 * high, high)
    for _ in range(40):
        middle = (low + high) / 2
        short = way(middle) < size
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return high


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
        form: how perturbations are amplified, see :func:`amplify`. With ``"clipped"`` the noise is cut back to [0, 1]
            too, and the rows that are inside already are left out; ``"boxed"`` has the amplified rows alone.

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
    direction = gaussian_noise(torch.zeros_like(images.images), 1.0, clip=False)
    direction /= rms(direction, torch.zeros_like(direction)).float()[:, None, None, None]
    shown = {name: images.images + found.rms.float()[:, None, None, None] * direction for name, found in sets.items()}
    rows = error_matrix(models, shown | {"no distortion": images.images}, images.labels)
    return Table("table4_noise", list(models), rows, {"data": images.name})


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
        half; the mean error over the pairs, its standard deviation over pairs, and how many pairs there are.

    Raises:
        ValueError: fewer than two repetitions, or another number of sets.

    Source:
        Szegedy et al. 2013, section 4.2, where changed hyperparameters and changed training sets are studied together.
    """
    if len(repetitions) < 2 or len(sets) != len(repetitions):
        raise ValueError(f"expected two repetitions or more with their sets, got {len(repetitions)} and {len(sets)}")
    groups: dict[str, list[float]] = {
        f"{architecture} architecture, {half} half": []
        for architecture in ("same", "other")
        for half in ("same", "other")
    }
    for i, made in enumerate(sets):
        for j, readers in enumerate(repetitions):
            if i != j:
                errors = error_matrix(readers, {name: found.images for name, found in made.items()}, images.labels)
                for maker, row in errors.items():
                    for reader, error in zip(readers, row, strict=True):
                        a, b = HALVES[maker], HALVES[reader]
                        architecture = "same" if a.recipe == b.recipe else "other"
                        half = "same" if a.part == b.part else "other"
                        groups[f"{architecture} architecture, {half} half"].append(error)
    rows = {}
    for group, errors in groups.items():
        if errors:
            spread = float(torch.tensor(errors).std()) if len(errors) > 1 else 0.0
            rows[group] = [sum(errors) / len(errors), spread, len(errors)]
    return Table("same_or_other", ["error", "over pairs", "pairs"], rows, {"data": images.name})


def tolerances(name: str, images: int) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run when rates are counted on few images.

    Args:
        name: of the table, as for ``tables.tolerances``.
        images: on how many the rates are counted; three of them are always allowed.

    Returns:
        The tolerance of each entry; distortions, which are no counts, keep the floor of ``tables.tolerances``.

    Raises:
        ResultError: no spread was measured for this table.
    """
    allowed = tables.tolerances(name, floor=3 / images)
    strict = tables.tolerances(name)
    sizes = [column for column in allowed.columns if column.endswith("distortion")]
    return allowed.assign(**{column: strict[column] for column in sizes})
