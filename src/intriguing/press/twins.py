"""The figure that moves on the first page: digits, their twins, what lies between, and who reads what.

It is drawn from the networks themselves at paper scale and kept in the tree as a fragment of HTML, because drawing it
needs them trained. The pictures lie inside it, the movement is the style sheet's: no script, no request.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from intriguing.attack import files
from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import settings
from intriguing.data import mnist
from intriguing.models.training import predict, trained

FIGURE = Path("book/_static/twins.html")
"""Where the fragment lies in the checkout; the first page includes it."""

CARD = Path("book/_static/card.png")
"""Where the picture lies that others may show beside a link to the book."""

MADE_FOR = "FC100-100-10"
"""The network that the twins are made for."""

READERS = (MADE_FOR, "FC10(1e-4)", "FC10(1e-2)", "FC10(1)")
"""The networks that read them."""

SHOWN = 5
"""How many digits."""

BRIGHTER, DARKER = (213, 94, 0), (0, 114, 178)
"""Colours of pixels that the step makes brighter and darker: vermilion and blue of the book's palette."""


@dataclass(frozen=True)
class Twin:
    """A digit and its twin.

    Attributes:
        image: (784,) float, in [0, 1].
        twin: (784,) float, in [0, 1].
        label: What the digit is.
        distortion: Root mean square of their difference.
        reads: Network -> what it reads in the twin.
    """

    image: Tensor
    twin: Tensor
    label: int
    distortion: float
    reads: dict[str, int]


def twins(count: int = SHOWN, readers: Sequence[str] = READERS) -> list[Twin]:
    """Makes twins of test digits: the first of different classes that every reader reads rightly, random targets.

    Args:
        count: How many, at most 10.
        readers: Names of networks, the one that the twins are made for first.

    Returns:
        As many, in the order of the test images.

    Raises:
        DataError: There is no MNIST.
    """
    settings.seed_everything()
    digits = mnist()
    test = digits.test
    models = {name: trained(name, digits.train).model for name in readers}
    right = torch.stack([predict(model, test.images) == test.labels for model in models.values()]).all(0)
    chosen: dict[int, int] = {}
    for place in right.nonzero()[:, 0].tolist():
        chosen.setdefault(int(test.labels[place]), place)
    places = torch.tensor(sorted(chosen.values())[:count])
    images, labels = test.images[places], test.labels[places]
    found = minimum_distortion(models[readers[0]], images, random_targets(labels))
    reads = {name: predict(model, found.images).tolist() for name, model in models.items()}
    return [
        Twin(
            images[n].flatten(),
            found.images[n].flatten(),
            int(labels[n]),
            float(found.rms[n]),
            {name: answers[n] for name, answers in reads.items()},
        )
        for n in range(len(places))
    ]


def draw(shown: Sequence[Twin]) -> str:
    """Returns the figure as a fragment of HTML.

    Args:
        shown: At least one twin; all read by the same networks.

    Raises:
        ValueError: There is none.
    """
    if not shown:
        raise ValueError("got no twin; expected at least one; make some with twins().")
    readers = list(shown[0].reads)
    steps = torch.stack([one.twin - one.image for one in shown])
    largest = float(steps.abs().max())
    tiles = "\n".join(_tile(one, readers[0], largest, place) for place, one in enumerate(shown))
    head = "".join(f"<th scope='col'>{one.label}</th>" for one in shown)
    body = "\n".join(_row(name, shown) for name in readers)
    others = [one.reads[name] != one.label for one in shown for name in readers[1:]]
    size = np.mean([one.distortion for one in shown])
    caption = (
        f"The first {len(shown)} test digits of different classes that {len(readers)} networks read rightly, each "
        f"turning into its twin: the closest picture found that {readers[0]} reads as a class drawn at random, at a "
        f"root mean square of {size:.3f} per pixel in the mean. Below them the step in between, magnified "
        f"{1 / largest:.1f} times: orange where the twin is brighter, blue where it is darker. The table says what "
        f"each network reads in the twins. Those for which they were not made misread {sum(others)} of {len(others)}."
    )
    return f"""<figure class="twins">
<div class="twins-row">
{tiles}
</div>
<label class="twins-still"><input type="checkbox"> hold still</label>
<table>
<thead><tr><th scope="col">the digit is</th>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
<figcaption>{html.escape(caption)}</figcaption>
</figure>
"""


def card(shown: Sequence[Twin]) -> bytes:
    """Draws the picture for links: the digits above their twins, with what the network reads, 1200 by 630 pixels.

    Args:
        shown: The twins.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="black")
    rows = figure.subplots(2, len(shown), squeeze=False)
    for column, one in zip(rows.T, shown, strict=True):
        named = ((one.image, one.label, "white"), (one.twin, next(iter(one.reads.values())), "#ffb27a"))
        for axes, (image, read, colour) in zip(column, named, strict=True):
            axes.imshow(_grey(image), cmap="gray", vmin=0, vmax=255)
            axes.set_title(f"read as {read}", color=colour, fontsize=20)
            axes.set_axis_off()
    figure.suptitle("Intriguing properties of neural networks, executed", color="white", fontsize=30)
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="black")
    reduced = io.BytesIO()
    Image.open(file).convert("RGB").quantize(64).save(reduced, "PNG", optimize=True)
    return reduced.getvalue()


def write(root: Path) -> Path:
    """Draws the figure and the card and puts them where the book finds them, whole or not at all.

    Args:
        root: The root of the checkout.

    Returns:
        The figure's file.

    Raises:
        DataError: There is no MNIST.
        OSError: A file cannot be written.
    """
    shown = twins()
    files.write_atomically(root / CARD, card(shown))
    files.write_atomically(root / FIGURE, draw(shown).encode())
    return root / FIGURE


def _tile(one: Twin, reader: str, largest: float, place: int) -> str:
    read = one.reads[reader]
    before = _picture(_grey(one.image), f"A handwritten {one.label}.", "twins-before")
    after = _picture(_grey(one.twin), f"Its twin, still a {one.label} to the eye, read as {read}.", "twins-after")
    step = f"What is added to the {one.label} to make the network read {read}: scattered faint strokes."
    return (
        f'<div class="twins-one" style="--place:{place}">'
        f'<div class="twins-flip">{before}{after}</div>'
        f'<div class="twins-reads"><span class="twins-before">reads {one.label}</span>'
        f'<span class="twins-after">reads {read}</span></div>'
        f"{_picture(_coloured((one.twin - one.image) / largest), step, 'twins-step')}</div>"
    )


def _row(name: str, shown: Sequence[Twin]) -> str:
    cells = "".join(
        f"<td>{one.reads[name]}</td>" if one.reads[name] == one.label else f"<td><b>{one.reads[name]}</b></td>"
        for one in shown
    )
    return f"<tr><th scope='row'>{html.escape(name)}</th>{cells}</tr>"


def _grey(image: Tensor) -> Image.Image:
    side = round(image.numel() ** 0.5)
    return Image.fromarray((255 * image.reshape(side, side)).round().to(torch.uint8).numpy(), "L")


def _coloured(step: Tensor) -> Image.Image:
    """A step between -1 and 1: the colour says its sign, the opacity its size."""
    side = round(step.numel() ** 0.5)
    values = step.reshape(side, side).numpy()
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[..., :3] = np.where(values[..., None] > 0, BRIGHTER, DARKER)
    rgba[..., 3] = np.round(255 * np.abs(values))
    rgba[values == 0] = 0
    return Image.fromarray(rgba, "RGBA")


def _picture(image: Image.Image, description: str, kind: str) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return f'<img class="{kind}" width="28" height="28" alt="{html.escape(description)}" src="{data}">'
