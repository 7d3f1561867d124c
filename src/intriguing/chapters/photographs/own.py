"""A photograph of one's own, taken for whatever one likes: from a file to a file, and checked in that file."""

from __future__ import annotations

import difflib
import io
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from intriguing.attack import files
from intriguing.attack.perturbations import rms
from intriguing.chapters.photographs import recognition
from intriguing.chapters.photographs.ostriches import LEVELS, rounded
from intriguing.chapters.photographs.shortest import STEPS, walk
from intriguing.data import DataError, manifest, photographs
from intriguing.models import imagenet

SURE = 0.9  # probability that the target has in the file, unless another is asked for
MAGNIFIED = 20  # what a difference is multiplied by to be seen
FACTORS = tuple(1.15**power for power in range(21))  # by which a perturbation grows until it survives its file
NETWORKS = {
    "efficientnet-lite0": recognition.LITE0,
    "efficientnet-lite1": recognition.LITE1,
    "efficientnet-lite2": recognition.LITE2,
    "squeezenet": recognition.SQUEEZENET,
    "alexnet": recognition.ALEXNET,
}
"""The networks as a command line names them."""

FETCHED = {"alexnet": imagenet.TORCHVISION_FILE, "squeezenet": imagenet.SQUEEZENET_FILE}
"""The files of those that come with no package."""


@cache
def names() -> tuple[str, ...]:
    """What each of the 1,000 classes is called."""
    from torchvision.models import SqueezeNet1_0_Weights

    return tuple(SqueezeNet1_0_Weights.DEFAULT.meta["categories"])


def class_of(asked: str | int) -> int:
    """The number of a class.

    Args:
        asked: its name or its number; capital letters count only where names differ in nothing else.

    Returns:
        From 0 to 999.

    Raises:
        ValueError: no such class, with the closest names, or several.
    """
    known, text = names(), str(asked).strip()
    if re.fullmatch(r"[+-]?\d+", text):
        number = int(text)
        if not 0 <= number < len(known):
            raise ValueError(f"got class {number}; expected a number from 0 to {len(known) - 1}, or a name.")
        return number
    if text in known:  # Cardigan is a dog, and cardigan what one wears
        return known.index(text)
    lower = [name.lower() for name in known]
    found = [number for number, name in enumerate(lower) if name == text.lower()]
    if not found:
        parts = [name for name in lower if text and text.lower() in name]
        near = list(dict.fromkeys([*difflib.get_close_matches(text.lower(), lower, 3), *parts]))[:4]
        advice = f"did you mean {' or '.join(map(repr, near))}?" if near else "give a number from 0 to 999."
        raise ValueError(
            f"got {text!r}, which is none of the {len(known)} classes; expected a name or a number; {advice}"
        )
    if len(found) > 1:
        meant = " and ".join(f"{known[number]} ({number})" for number in found)
        raise ValueError(f"got {text!r}, which may be {meant}; expected one of them; give its number.")
    return found[0]


@dataclass(frozen=True, eq=False)
class Fooled:
    """A photograph and what it was turned into; ``str`` makes a line of it.

    Attributes:
        network: that was fooled.
        clean: (3, size, size) in [0, 1].
        changed: the same shape, in levels of 1/255.
        before: the class that the network gave it, and its probability.
        after: the class that it gives the changed one, and its probability.
        rms: distortion over all numbers of the picture.
        levels: the most that one of them was changed by, in levels of 255.
    """

    network: str
    clean: Tensor
    changed: Tensor
    before: tuple[int, float]
    after: tuple[int, float]
    rms: float
    levels: int

    def __str__(self) -> str:
        known = names()
        return (
            f"{self.network}: {known[self.before[0]]} ({self.before[1]:.1%}) became {known[self.after[0]]} "
            f"({self.after[1]:.1%}) by an RMS of {self.rms:.6f}, or {math.sqrt(3) * self.rms:.6f} if only pixels are "
            f"counted and not their colours; no number was changed by more than {self.levels} of {LEVELS} levels."
        )


def network(name: str) -> recognition.Normalised:
    """A network by its name on the command line.

    Args:
        name: of :data:`NETWORKS`.

    Raises:
        ValueError: another name, or one whose weights are not on this computer.
        DataError: weights that are corrupt.
    """
    if name not in NETWORKS:
        raise ValueError(f"got network {name!r}; expected one of {', '.join(NETWORKS)}; name one of these.")
    known = NETWORKS[name]
    makers = {recognition.SQUEEZENET: _squeezenet, recognition.ALEXNET: recognition.alexnet}
    model = makers[known]() if known in makers else recognition.efficientnet(known)
    if model is None:
        raise ValueError(
            f"got network {name}, whose weights are not on this computer; expected imagenet/{FETCHED[name]} in "
            f"INTRIGUING_DATA or the cache; run python -m intriguing fetch {name}, or take efficientnet-lite0, which "
            "comes with the book."
        )
    return model


def _squeezenet() -> recognition.Normalised | None:
    """Either of the two SqueezeNets."""
    model = recognition.squeezenet()
    return recognition.torchvision_squeezenet() if model is None else model


def fool(
    path: Path | str, target: str | int, *, network_name: str = "efficientnet-lite0", sure: float = SURE,
    steps: int = STEPS,
) -> Fooled:  # fmt: skip
    """The middle square of a photograph, changed so that a network takes its file for something else.

    Args:
        path: a JPEG or a PNG of any size.
        target: name or number of a class.
        network_name: of :data:`NETWORKS`.
        sure: probability of the target once colours are rounded to 8 bits.
        steps: passes through the network.

    Raises:
        ValueError: no such class, network or probability, a picture that is taken for its target as it is, or one that
            cannot be brought so far.
        DataError: a file that cannot be read.
    """
    if isinstance(sure, bool) or not 0 < sure < 1:
        raise ValueError(f"got the probability {sure}; expected one between 0 and 1; 0.9 is usual.")
    wanted, model = class_of(target), network(network_name)
    clean = photographs.square(path)[None].float() / LEVELS
    before = _judged(model, clean)
    if before[0] == wanted:
        raise ValueError(
            f"got {path}, which {NETWORKS[network_name]} takes for {names()[wanted]} as it is; expected another "
            "target; choose one."
        )
    found = walk(model, clean, torch.tensor([wanted]), away=False, sure=sure, steps=steps)
    step = found["steps"] * found["unit"].view(-1, 1, 1, 1)
    for factor in FACTORS:
        changed = rounded((clean + factor * step).clamp(0, 1))
        after = _judged(model, changed)
        if after[0] == wanted and after[1] >= sure:
            size, most = float(rms(clean, changed)), int(((changed - clean).abs() * LEVELS).round().max())
            return Fooled(NETWORKS[network_name], clean[0], changed[0], before, after, size, most)
    raise ValueError(
        f"got no picture that {NETWORKS[network_name]} takes for {names()[wanted]} with a probability of {sure:g}; "
        "expected one; ask for a smaller probability, or for another class."
    )


def outputs(path: Path, photograph: Path | None = None) -> tuple[Path, Path]:
    """The picture and its difference, as :func:`save` names them.

    Args:
        path: a file that ends in ``.png``.
        photograph: that neither of the two may replace.

    Raises:
        ValueError: another ending, a folder, the photograph itself, or a place where nothing can be written.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"got {path}; expected a name that ends in .png, a format that loses nothing; choose one.")
    written = path, path.with_name(f"{path.stem}-difference.png")
    for file in written:
        if file.is_dir():
            raise ValueError(f"got {file} to write to, a folder; expected the name of a file; choose another.")
        if photograph is not None and file.exists() and photograph.exists() and file.samefile(photograph):
            raise ValueError(
                f"got {path}, for which {file} would be written, the photograph itself; expected to leave it as it is; "
                "choose another output."
            )
    obstacle = manifest.obstacle(path.parent)
    if obstacle is not None:
        raise ValueError(
            f"got {path}, which cannot be written because of {obstacle}; expected a folder that can be written to; "
            "choose another."
        )
    return written


def save(
    fooled: Fooled, path: Path, *, network_name: str = "efficientnet-lite0", magnified: int = MAGNIFIED
) -> tuple[Path, Path]:
    """Writes the picture and its difference, each whole or not at all, and reads the picture back.

    Args:
        fooled: as from :func:`fool`.
        path: a file that ends in ``.png``.
        network_name: that judges what was read back.
        magnified: what the difference is multiplied by; grey is none.

    Returns:
        The two files.

    Raises:
        ValueError: another ending, or a folder.
        DataError: what was read back is taken for something else.
        OSError: a file cannot be written.
    """
    path, beside = outputs(path)
    files.write_atomically(path, png(fooled.changed))
    files.write_atomically(beside, png((0.5 + magnified * (fooled.changed - fooled.clean)).clamp(0, 1)))
    # The size of a square is that of the file, so nothing is resampled here.
    again = photographs.square(path, fooled.changed.shape[-1])[None].float() / LEVELS
    judged = _judged(network(network_name), again)
    if judged[0] != fooled.after[0]:
        raise DataError(
            f"{path} is taken for {names()[judged[0]]} when it is read back; expected {names()[fooled.after[0]]}; "
            "report this."
        )
    return path, beside


def png(image: Tensor) -> bytes:
    """Returns a picture as a PNG file.

    Args:
        image: (3, height, width) in [0, 1].
    """
    pixels = (image * LEVELS).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, format="png")
    return file.getvalue()


def _judged(model: recognition.Normalised, image: Tensor) -> tuple[int, float]:
    """The class that a network gives one picture, and its probability."""
    with torch.no_grad():
        probability = model(image).softmax(1)[0]
    best = int(probability.argmax())
    return best, float(probability[best])
