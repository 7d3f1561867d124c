"""The measurements: three attacks on the networks of 2013, and one network trained plainly and against an attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import rms
from intriguing.book import plots, settings, tables
from intriguing.book.results import Table
from intriguing.chapters.since_2013.attacks import gradient_sign, projected_ascent, random_signs
from intriguing.data import Images
from intriguing.models.recipes import build
from intriguing.models.training import error_rate, predict

IMAGES = {"quick": 60, "paper": 2000}
"""How many test images are attacked, the first ones, by profile."""

SIZE = 0.1
"""The largest change of a pixel in the tables, and in the training against it."""

SIZES = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2)
"""The largest changes of a pixel along the curves."""

NETWORK = "FC100-100-10"
"""The network that is trained again, plainly and against the attack."""

PLAIN, AGAINST = "trained plainly", "trained against the attack"

EPOCHS, BATCH, RATE = 15, 128, 3e-3  # of Adam, for both trainings
TRAINING_STEPS = 7  # of projected ascent, for each batch

Attack = Callable[[nn.Module, Images], Tensor]

ATTACKS: dict[str, Attack] = {
    "as they are": lambda model, images: images.images,
    "random signs": lambda model, images: random_signs(images.images, SIZE),
    "one gradient sign": lambda model, images: gradient_sign(model, images.images, images.labels, SIZE),
    "projected ascent": lambda model, images: projected_ascent(model, images.images, images.labels, SIZE),
}
"""What is done to the images -> how."""

TOLERANCE = {"error": 0.06, "mean distortion": 0.02}
"""How far a rerun may lie from the stored run: six points of error, 0.02 of distortion."""


def trained_by_adam(images: Images, *, against: bool, seed: int = settings.SEED) -> nn.Module:
    """Trains by mini-batches, on the images as they are or on the worst that the attack makes of each batch.

    Args:
        images: what to train on.
        against: whether each batch is replaced by its examples of projected ascent, made for the network as it is then.
        seed: of the starting weights and of the order of the images.

    Returns:
        The network, gradients of the weights off.

    Source:
        Madry et al. 2018, equation 2.1: the minimum over weights of the mean loss at its maximum over the ball.
    """
    model = build(NETWORK, seed=seed).to(settings.device()).eval()  # the same in training: no layer draws or keeps
    pictures, labels = images.images.to(settings.device()), images.labels.to(settings.device())
    generator = torch.Generator().manual_seed(seed)
    steps = EPOCHS * -(-len(labels) // BATCH)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(labels), generator=generator).to(labels.device).split(BATCH)
        for place, index in enumerate(order):
            batch, classes = pictures[index], labels[index]
            if against:
                start = seed + epoch * len(order) + place  # another random start for every batch
                batch = projected_ascent(model, batch, classes, SIZE, steps=TRAINING_STEPS, seed=start)
            optimizer.zero_grad()
            F.cross_entropy(model(batch), classes).backward()
            optimizer.step()
            schedule.step()
    return model.eval().requires_grad_(False)


def errors(models: Mapping[str, nn.Module], images: Images) -> Table:
    """The error of each network on images to which each of :data:`ATTACKS` has been done, for itself.

    Args:
        models: name -> network.
        images: clean images.

    Returns:
        A ``Table`` named ``since_2013``: one row for each network.
    """
    rows = {
        name: [error_rate(model, attack(model, images), images.labels) for attack in ATTACKS.values()]
        for name, model in models.items()
    }
    return Table("since_2013", list(ATTACKS), rows, {"data": images.name, "images": len(images)})


def curves(models: Mapping[str, nn.Module], images: Images) -> dict[str, list[float]]:
    """The error of each network under projected ascent, over :data:`SIZES`.

    Args:
        models: name -> network.
        images: clean images.
    """
    return {
        name: [
            error_rate(model, projected_ascent(model, images.images, images.labels, size), images.labels)
            for size in SIZES
        ]
        for name, model in models.items()
    }


@plots.styled
def budget(errors: Mapping[str, Sequence[float]]) -> plots.Figure:
    """The error against the largest change of a pixel, a curve for each network, with the names below the panel.

    Args:
        errors: What :func:`curves` returns. The curves fill the panel, so that names among them would hide one.
    """
    figure = plots.lines(SIZES, errors, xlabel="largest change of a pixel ε", ylabel="error under projected ascent")
    (axes,) = figure.axes
    axes.get_legend().remove()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def lengths(models: Mapping[str, nn.Module], images: Images, targets: Tensor) -> Table:
    """In the paper's unit: the mean distortion of the closest example of a random wrong class, by the refined search.

    Args:
        models: name -> network.
        images: clean images.
        targets: (N,) long.

    Returns:
        A ``Table`` named ``since_2013_lengths``: per network the mean over the images that it reads correctly, and the
        share of all images for which an example was found.
    """
    rows = {}
    for name, model in models.items():
        found = minimum_distortion(model, images.images, targets, refine=True)
        right = (predict(model, images.images) == images.labels).to(found.rms.device)
        rows[name] = [float(found.rms[right].mean()), float(found.success.double().mean())]
    return Table("since_2013_lengths", ["mean distortion", "success"], rows, {"data": images.name})


def transfer(models: Mapping[str, nn.Module], source: nn.Module, images: Images) -> dict[str, float]:
    """The error that examples of one gradient sign, made for one network, raise on others, above their clean errors.

    Args:
        models: name -> network that reads.
        source: the network that the examples are made for.
        images: clean images.
    """
    moved = gradient_sign(source, images.images, images.labels, SIZE)
    return {
        name: error_rate(model, moved, images.labels) - error_rate(model, images.images, images.labels)
        for name, model in models.items()
    }


def read_rows(model: nn.Module, rows: Sequence[Tensor]) -> plots.Figure:
    """Rows of digits, each digit under the class that a network gives it.

    Args:
        model: images -> logits.
        rows: (N, 1, height, width) each, of one length.
    """
    every = torch.cat(list(rows))
    return plots.digits(every, [f"read as {int(kind)}" for kind in predict(model, every)], columns=len(rows[0]))


def sizes_line(model: nn.Module, images: Images) -> str:
    """Says in a sentence how long the step of one gradient sign is in the paper's unit.

    Args:
        model: the network that the step is made for.
        images: clean images.
    """
    length = rms(images.images, gradient_sign(model, images.images, images.labels, SIZE)).mean()
    return (
        f"With at most {SIZE:g} for each pixel, and the box, one gradient sign moves an image by a distortion of "
        f"{float(length):.3f} on average."
    )


def transfer_line(raised: Mapping[str, float]) -> str:
    """What :func:`transfer` returns, as a sentence."""
    listed = ", ".join(f"{name} {100 * value:.1f} points" for name, value in raised.items())
    return f"One gradient sign made for {NETWORK}, trained as in the paper, raises the error of others: {listed}."


def claims(table: Table, length: Table, raised: Mapping[str, float], networks: Sequence[str]) -> dict[str, bool | None]:
    """Which of the chapter's claims hold; None where the number of images cannot decide.

    Args:
        table: what :func:`errors` returns.
        length: what :func:`lengths` returns.
        raised: what :func:`transfer` returns.
        networks: the names of the networks trained as in the paper.
    """
    frame, way = table.to_frame(), length.to_frame()
    old = frame.loc[list(networks)]
    distance = way["mean distortion"]
    plain, against = frame.loc[PLAIN], frame.loc[AGAINST]
    decided = {
        "One gradient sign of 0.1 makes every network trained as in 2013 misread more than half of the images tried": (
            (old["one gradient sign"] > 0.5).all()
        ),
        "Random signs of the same size raise no error of a network trained as in 2013 by five points": (
            (old["random signs"] - old["as they are"] < 0.05).all()
        ),
        "Twenty signs are nowhere weaker than one by more than two images in a hundred": (
            (frame["projected ascent"] >= frame["one gradient sign"] - 0.02).all()
        ),
        "Training against the attack at least halves the error under it": (
            against["projected ascent"] <= plain["projected ascent"] / 2
        ),
        "It costs errors on clean images": tables.more_errors(
            against["as they are"], plain["as they are"], table.meta["images"]
        ),
        "It takes the closest example of another class further away by a tenth or more": (
            distance[AGAINST] >= 1.1 * distance[PLAIN]
        ),
        "It leaves no image without an adversarial example in the box": way.at[AGAINST, "success"] == 1,
        "Examples made for another network fool it less than the one trained plainly": raised[AGAINST] < raised[PLAIN],
    }
    return {claim: None if holds is None else bool(holds) for claim, holds in decided.items()}


def beside(table: Table, length: Table) -> pd.DataFrame:
    """Errors and distortions of the networks in one frame, for display."""
    return table.to_frame().join(length.to_frame()["mean distortion"])
