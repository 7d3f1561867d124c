"""Perturbations of other images: who reads what, and what is said of it, on networks made by hand."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.attack.distortion import Distortion
from intriguing.chapters.disjoint_sets import others
from intriguing.data import Images

MAKER, READER = "FC100-100-10", "FC100-100-10'"


class Sees(nn.Module):
    """Reads class 1 where the pixel of this number is above a half, and class 0 elsewhere."""

    def __init__(self, pixel: int) -> None:
        super().__init__()
        self.eval()
        self.pixel, self.nothing = pixel, nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images.flatten(1)[:, self.pixel] > 0.5
        return torch.stack([~bright, bright], 1).double()


def test_an_image_moves_as_far_along_the_perturbation_of_the_one_before_it():
    images = Images(torch.zeros(2, 1, 1, 2), torch.zeros(2, dtype=torch.long), "toy")
    found = torch.tensor([[0.6, 0.0], [0.0, 0.8]]).view(2, 1, 1, 2)
    zero = torch.zeros(2)
    rms = found.flatten(1).square().mean(1).sqrt()
    sets = {MAKER: Distortion(found, rms, zero, zero > -1, zero.long())}
    frame = others.across({MAKER: Sees(0), READER: Sees(1)}, images, sets)
    assert list(frame.index) == [(MAKER, READER)]
    row = frame.iloc[0]
    # The reader looks at the second pixel. Its own perturbation brightens it in the second image; along the other's it
    # is the first image that goes there, by the 0.6 of its own.
    assert row["", "clean"] == 0
    assert row[others.LENGTHS[0], others.OWN] == 0.5 and row[others.LENGTHS[0], others.OTHER] == 0.5
    assert row[others.LENGTHS[1], others.OWN] == 0  # a root mean square of 0.1 is 0.14 in one of two pixels


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [0.02, 0.06, 0.055, 0.5, 0.14],
            ("most of what", "a smaller part of it at 0.1", "4.0 points", "3.5 if", "88%"),
        ),
        ([0.0, 0.1, 0.05, 0.4, 0.3], ("about half of what", "most of it at 0.1", "50%", "75%")),
    ],
)
def test_what_is_said_of_them(values, said):
    columns = pd.MultiIndex.from_tuples(
        [("", "clean"), *((length, whose) for length in others.LENGTHS for whose in (others.OWN, others.OTHER))]
    )
    frame = pd.DataFrame([values], columns=columns)
    assert all(part in others.words(frame) for part in said)
