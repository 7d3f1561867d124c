"""Whose perturbation fools the network of the other half: the one made for the image, or that of any other image?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch
from torch import nn

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import AMPLIFIED, moved_by
from intriguing.book.halves import HALVES
from intriguing.book.tables import error_matrix
from intriguing.data import Images

OWN, OTHER = "its own", "another image's"
LENGTHS = ("as long as its own", "to 0.1")
"""How long the perturbations are made, both kinds alike."""


def across(models: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion]) -> pd.DataFrame:
    """What networks of the other half misread when an image moves along its own perturbation, or along another's.

    Args:
        models: name -> network, a key of ``HALVES``.
        images: the clean images, at least two.
        sets: name -> adversarial examples of these images.

    Returns:
        By maker and reader, of different halves: the error on clean images, ``clean``, and, for each of ``LENGTHS``,
        the errors under ``OWN`` and ``OTHER`` perturbations. The other image is the one before it; inside the box every
        image moves exactly as far along the one as along the other, where the box has room.
    """
    clean = error_matrix(models, {"clean": images.images}, images.labels)["clean"]
    rows = {}
    for maker, found in sets.items():
        step = found.images - images.images
        moved = {
            (length, whose): moved_by(images.images, images.images + one, sizes)
            for length, sizes in zip(LENGTHS, (found.rms, torch.full_like(found.rms, AMPLIFIED)), strict=True)
            for whose, one in ((OWN, step), (OTHER, step.roll(1, 0)))
        }
        errors = error_matrix(models, moved, images.labels)
        for place, reader in enumerate(models):
            if HALVES[maker].part != HALVES[reader].part:
                rows[maker, reader] = [clean[place], *(errors[way][place] for way in moved)]
    columns = pd.MultiIndex.from_tuples(
        [("", "clean"), *((length, whose) for length in LENGTHS for whose in (OWN, OTHER))]
    )
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return frame.set_axis(pd.MultiIndex.from_tuples(frame.index, names=["made for", "read by"]))


def words(frame: pd.DataFrame) -> str:
    """How much of what carries over belongs to no image in particular, in sentences with their numbers.

    Args:
        frame: what :func:`across` returns.
    """
    mean, parts = frame.mean(), []
    for length in LENGTHS:
        own, other = (mean[length, whose] - mean["", "clean"] for whose in (OWN, OTHER))
        parts.append((own, other, other / own if own > 0 else float("nan")))
    (own, other, share), (far, further, rest) = parts
    return (
        f"Over the clean error, perturbations of their own length add {100 * own:.1f} points if they are the image's "
        f"own and {100 * other:.1f} if they are another's, {share:.0%} of it; at 0.1 they add {100 * far:.1f} and "
        f"{100 * further:.1f}, {rest:.0%}. So {_part(share)} of what carries over to the other half as found belongs "
        f"to no image in particular, and {_part(rest)} of it at 0.1."
    )


def _part(share: float) -> str:
    return "most" if share > 2 / 3 else "about half" if share > 1 / 3 else "a smaller part"
