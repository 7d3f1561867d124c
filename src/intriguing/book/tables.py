"""Tables 1 and 2 of the paper and variants of them, the images behind them, and by how much a rerun may differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import gaussian_noise, noise_of_size
from intriguing.book import paper, results, runs
from intriguing.book.results import Table
from intriguing.data import Digits, Images
from intriguing.models.training import error_rate, predict

NOISE = (0.1, 0.3)  # standard deviations of the last two rows of Table 2
SPREADS = 4  # a rerun may differ from the stored run by this many standard deviations over seeds


def errors(model: nn.Module, digits: Digits) -> list[float]:
    """Training error and test error of a network.

    Args:
        model: images -> logits (B, 10).
        digits: the data it was trained on.

    Returns:
        Two fractions in [0, 1].
    """
    return [error_rate(model, part.images, part.labels) for part in (digits.train, digits.test)]


def median(values: Tensor) -> Tensor:
    """The median over images, halfway between the two middle values where their number is even; torch takes the lower.

    Args:
        values: (N,) or (N, K), N at least 1; infinite ones may be among them.

    Returns:
        () or (K,).
    """
    ordered, count = values.sort(0).values, len(values)
    low, high = ordered[(count - 1) // 2], ordered[count // 2]
    return torch.where(low == high, low, (low + high) / 2)


def more_errors(one: float, other: float, images: int, margin: float = 0.0) -> bool | None:
    """Whether one error rate exceeds another, both counted on so many images; None within two standard errors.

    For the standard errors one image more is counted on either side, so that a rate of zero has one too. The two are
    taken for independent, which is wide for two networks that misread the same images.

    Args:
        one: a fraction.
        other: a fraction.
        images: how many images each was counted on.
        margin: by how much, a fraction.
    """
    rates = [(images * rate + 1) / (images + 2) for rate in (one, other)]
    error = sum(rate * (1 - rate) / images for rate in rates) ** 0.5
    excess = one - other - margin
    return excess > 0 if abs(excess) >= 2 * error else None  # None also of NaN


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
    rows = {name: [*errors(model, digits), float(sets[name].rms.mean())] for name, model in models.items()}
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
    matrix = error_matrix(models, adversarial | noisy, images.labels)
    distortions = {name: float(found.rms.mean()) for name, found in sets.items()}
    distortions |= dict(zip(noisy, NOISE, strict=True))
    rows = {name: [*line, distortions[name]] for name, line in matrix.items()}
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
    noisy = {name: noise_of_size(images.images, found.rms) for name, found in sets.items()}
    return Table("equal_noise", list(models), error_matrix(models, noisy, images.labels), {"data": images.name})


def tolerances(name: str, *, floor: float = 3e-3) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run: a multiple of its measured seed-to-seed spread.

    Training a sigmoid network amplifies rounding, so that another processor or number of threads ends in other
    weights, much like another seed. The spread over seeds therefore stands for what machines do to a fixed seed.

    Args:
        name: of the table; ``results/quick/spread_<name>.json`` holds the standard deviation of each entry over seeds.
        floor: the least tolerance, in the unit of the entries; three images of the quick profile's thousand.

    Returns:
        The tolerance of each entry: ``SPREADS`` times its standard deviation, at least ``floor``.

    Raises:
        ResultError: no spread was measured for this table.
    """
    return (SPREADS * results.load(f"spread_{name}", "quick").to_frame()).clip(lower=floor)


def correct_sizes(models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion]) -> dict[str, Tensor]:
    """The distortions of the images that the network read correctly before they were moved.

    Args:
        models: name -> network.
        images: the clean images.
        sets: name -> the adversarial examples made for it.
    """
    return {
        name: found.rms[(predict(models[name], images.images) == images.labels).to(found.rms.device)]
        for name, found in sets.items()
    }


def weight_of(table: Table, allowed: pd.DataFrame) -> str:
    """Says how much a comparison within tolerances is worth: where they are widest, and how many hide half an entry.

    Args:
        table: what is compared.
        allowed: the tolerance of each entry, by row and column.

    Returns:
        Two sentences of Markdown.
    """
    entries, wide = table.to_frame().stack(), allowed.stack()
    wide = wide.reindex(entries.index)
    row, column = place = wide.idxmax()
    blunt = int((wide > entries / 2).sum())
    return (
        f"The widest tolerance is {wide[place]:.3f}, for an entry of {entries[place]:.3f} ({row}, {column}). In "
        f"{blunt} of {len(entries)} entries the tolerance exceeds half of the entry: there an agreement says little."
    )


def pooled_tolerances(table: Table, *, by: str, floor: float | Mapping[str, float] = 3e-3) -> pd.DataFrame:
    """As :func:`tolerances`, where some of the seeds that were measured may have agreed on an entry by luck.

    Args:
        table: what is compared; entries that are not measured over seeds may stand in it if ``by`` is ``"column"``.
        by: ``"row"`` allows a rate whose own tolerance is not the least of the table the root mean square of these in
            its row at least, and leaves distortions as they are; ``"column"`` allows every entry the median of its
            column at least.
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


def adversarial_sets(
    models: Mapping[str, nn.Module], images: Tensor, targets: Tensor, *, progress: bool = False
) -> dict[str, Distortion]:
    """D(x, l) of every image for every model, as long runs, whose finished chunks are kept on disk.

    Args:
        models: name -> network, images (B, *shape) -> logits (B, k).
        images: (N, *shape) in [0, 1].
        targets: (N,) long, the class each image shall be taken for, the same for all models.
        progress: shows a bar per model.

    Returns:
        name -> ``Distortion``.

    Source:
        Szegedy et al. 2013, section 4.2: "we generated a set of adversarial instances for a given network".
    """
    return {
        name: runs.attack(model, images, targets, progress=f"attacking {name}" if progress else None)
        for name, model in models.items()
    }


def error_matrix(
    models: Mapping[str, Callable[[Tensor], Tensor]], image_sets: Mapping[str, Tensor], labels: Tensor
) -> dict[str, list[float]]:
    """Fraction of each image set that each model misclassifies.

    Args:
        models: name -> network, images (B, *shape) -> logits (B, k).
        image_sets: name -> images (N, *shape) in [0, 1], all made from the same N labelled images. Noise that was
            not clipped leaves [0, 1]; such a set is accepted as it is.
        labels: (N,) long, the true classes.

    Returns:
        One row per image set, in order: its name and the errors in [0, 1] of the models, in order.

    Raises:
        ValueError: an image set has another number of images than there are labels.

    Source:
        Szegedy et al. 2013, Tables 2 and 4; the caption of the first: "The columns of the Tables show the error
        induced by distorted examples fed to the given model."
    """
    for name, images in image_sets.items():
        if len(images) != len(labels):
            raise ValueError(f"got {len(images)} images in {name!r}; expected {len(labels)}, one per label.")
    return {
        name: [error_rate(model, images, labels) for model in models.values()] for name, images in image_sets.items()
    }
