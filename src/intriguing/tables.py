"""Tables 1 and 2 of the paper, and what it did not print beside them, computed from networks and image sets."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from . import paper, results
from .data import Digits, Images
from .distortion import Distortion, distortion_to_all, minimum_distortion, wrong_classes
from .reference import exact_linear_distortion, scipy_distortion
from .results import Table
from .training import error_rate
from .transfer import error_matrix, gaussian_noise

NOISE = (0.1, 0.3)  # standard deviations of the last two rows of Table 2
SPREADS = 4  # a rerun may differ from the stored run by this many standard deviations over seeds


def table1(models: Mapping[str, nn.Module], digits: Digits, sets: Mapping[str, Distortion]) -> Table:
    """Table 1: training error, test error and mean minimum distortion of every network.

    Args:
        models: name -> trained network.
        digits: the data they were trained on.
        sets: name -> the adversarial examples made for it.

    Returns:
        A ``Table`` named ``table1`` with the columns of the paper's.

    Source:
        Szegedy et al. 2013, Table 1.
    """
    rows = {
        name: [
            error_rate(model, digits.train.images, digits.train.labels),
            error_rate(model, digits.test.images, digits.test.labels),
            float(sets[name].rms.mean()),
        ]
        for name, model in models.items()
    }
    return Table("table1", list(paper.TABLE1.columns), rows, {"data": digits.name})


def table2(
    models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion], *, clip_noise: bool = False
) -> Table:
    """Table 2: the error of every network on every network's adversarial examples and on Gaussian noise.

    Args:
        models: name -> trained network, the columns.
        images: the clean images that the sets were made from.
        sets: name -> adversarial examples, the rows.
        clip_noise: whether the noisy images are cut back to [0, 1]; the paper does not say.

    Returns:
        A ``Table`` named ``table2`` (``table2_clipped`` with ``clip_noise``, which holds the two noise rows alone).

    Source:
        Szegedy et al. 2013, Table 2.
    """
    noisy = {f"Gaussian noise {size}": gaussian_noise(images.images, size, clip=clip_noise) for size in NOISE}
    adversarial = {} if clip_noise else {name: found.images for name, found in sets.items()}
    rows = error_matrix(models, adversarial | noisy, images.labels)
    distortions = {name: float(found.rms.mean()) for name, found in sets.items()}
    distortions |= dict(zip(noisy, NOISE, strict=True))
    rows = {name: [*errors, distortions[name]] for name, errors in rows.items()}
    name = "table2_clipped" if clip_noise else "table2"
    return Table(name, [*models, paper.TABLE2.columns[-1]], rows, {"data": images.name})


def equal_noise(models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion]) -> Table:
    """Table 2 once more, each adversarial perturbation replaced by Gaussian noise of exactly its size.

    Args:
        models: name -> trained network, the columns.
        images: the clean images.
        sets: name -> adversarial examples, the rows.

    Returns:
        A ``Table`` named ``equal_noise``: the error of each network when every image carries unclipped noise whose root
        mean square equals that image's distortion in the row's set.
    """
    direction = gaussian_noise(torch.zeros_like(images.images), 1.0, clip=False)
    direction /= direction.flatten(1).square().mean(1).sqrt()[:, None, None, None]
    noisy = {name: images.images + found.rms.float()[:, None, None, None] * direction for name, found in sets.items()}
    return Table("equal_noise", list(models), error_matrix(models, noisy, images.labels), {"data": images.name})


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


def penalty_norms(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The mean distortion under c |r|^2 and under the printed c |r|.

    Args:
        models: name -> trained network.
        images: clean images.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``penalty_norms`` with one column per form of the penalty.
    """
    rows = {
        name: [
            float(minimum_distortion(model, images.images, targets, norm=norm).rms.mean())
            for norm in ("squared", "plain")
        ]
        for name, model in models.items()
    }
    return Table("penalty_norms", ["c |r|²", "c |r|"], rows, {"data": images.name})


def refined(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The paper's method beside the search that goes on to a local minimum of |r|.

    Args:
        models: name -> trained network.
        images: clean images.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``refined``: per network the mean distortion of both and the first over the second.
    """
    rows = {}
    for name, model in models.items():
        penalised, shorter = (
            float(minimum_distortion(model, images.images, targets, refine=refine).rms.mean())
            for refine in (False, True)
        )
        rows[name] = [penalised, shorter, penalised / shorter]
    return Table("refined", ["penalty method", "refined", "ratio"], rows, {"data": images.name})


def scipy_agreement(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The batched search beside a loop over images with SciPy's L-BFGS-B.

    Args:
        models: name -> trained network.
        images: clean images; the loop takes about half a second for each image and network.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``scipy_agreement``: per network the mean distortion of both, ours over SciPy's, and the
        fraction of images for which ours succeeded.
    """
    rows = {}
    for name, model in models.items():
        found = minimum_distortion(model, images.images, targets)
        double = copy.deepcopy(model).cpu().double()
        loop = [
            scipy_distortion(double, image, int(target))
            for image, target in zip(tqdm(images.images, desc=name, leave=False), targets, strict=True)
        ]
        ours, scipy = float(found.rms.mean()), sum(loop) / len(loop)
        rows[name] = [ours, scipy, ours / scipy, float(found.success.double().mean())]
    return Table("scipy_agreement", ["batched", "SciPy", "ratio", "success"], rows, {"data": images.name})


def exact_linear(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """The penalty method beside the exact optimum, on linear classifiers, where the exact problem is convex.

    Args:
        models: name -> softmax classifier on pixels, that is ``Sequential(Flatten, Linear)``.
        images: clean images.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``exact_linear``: per network the mean distortion of the penalty method, of the refined search
        and of the optimum; the first two over the third; the smallest of these ratios for any image that is not its
        target already; and the largest duality gap, which certifies the optimum.
    """
    rows = {}
    for name, model in models.items():
        weight, bias = model[-1].weight.cpu(), model[-1].bias.cpu()
        exact = [
            exact_linear_distortion(weight, bias, image, int(target))
            for image, target in zip(images.images, targets, strict=True)
        ]
        optimum = torch.tensor([one.rms for one in exact], dtype=torch.float64)
        found = [minimum_distortion(model, images.images, targets, refine=refine).rms for refine in (False, True)]
        means = [float(rms.mean()) for rms in (*found, optimum)]
        least = min(float((rms[rms > 0] / optimum[rms > 0]).min()) for rms in found)
        rows[name] = [*means, means[0] / means[2], means[1] / means[2], least, max(one.gap for one in exact)]
    columns = [
        "penalty method",
        "refined",
        "optimum",
        "penalty method / optimum",
        "refined / optimum",
        "smallest ratio",
        "duality gap",
    ]
    return Table("exact_linear", columns, rows, {"data": images.name})


def tolerances(name: str, *, floor: float = 3e-3) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run: a multiple of its measured seed-to-seed spread.

    Training a sigmoid network amplifies rounding, so that another processor or number of threads ends in other
    weights, much like another seed. The spread over seeds therefore bounds what machines do to a fixed seed.

    Args:
        name: of the table; ``results/quick/spread_<name>.json`` holds the standard deviation of each entry over seeds.
        floor: the least tolerance, in the unit of the entries; three images of the quick profile's thousand.

    Returns:
        The tolerance of each entry: ``SPREADS`` times its standard deviation, at least ``floor``.

    Raises:
        ResultError: no spread was measured for this table.
    """
    return (SPREADS * results.load(f"spread_{name}", "quick").to_frame()).clip(lower=floor)


def pooled_tolerances(table: Table, *, by: str, floor: float | Mapping[str, float] = 3e-3) -> pd.DataFrame:
    """As :func:`tolerances`, where so few seeds were measured that some of them agreed on an entry by luck.

    Args:
        table: what is compared; entries that are not measured over seeds may stand in it if ``by`` is ``"column"``.
        by: ``"row"`` allows a rate that moved at all the root mean square of its row at least, and leaves distortions
            as they are; ``"column"`` allows every entry the median of its column at least.
        floor: the least tolerance, in the unit of the entries: one for all, or by column where ``by`` is ``"column"``.

    Returns:
        The tolerance of each entry.

    Raises:
        ValueError: another ``by``.
        ResultError: no spread was measured for this table.
    """
    if by == "row":
        own = tolerances(table.name, floor=floor)
        rates = own.drop(columns="distortion", errors="ignore")
        moved = rates.where(rates > own.min(axis=None))  # what never moved stays strict
        typical = moved.pow(2).mean(axis=1).pow(0.5).fillna(0)
        return own.assign(**moved.clip(lower=typical, axis=0).fillna(rates))
    if by == "column":
        own = tolerances(table.name, floor=0)
        own = own.reindex(list(table.rows)).fillna(0).clip(lower=own.median(), axis=1)
        return own.clip(lower=pd.Series(floor) if isinstance(floor, Mapping) else floor, axis=1)
    raise ValueError(f"got by={by!r}; expected 'row' or 'column'.")
