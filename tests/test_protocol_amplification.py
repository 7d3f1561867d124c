"""The readings of amplified: steps and rates by hand, and what is said of rates that are known."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.book import paper
from intriguing.chapters.protocol import amplification
from intriguing.chapters.protocol.amplification import EACH, PAIRS, READINGS
from intriguing.data import Images


class Above(nn.Module):
    """Reads 1 where the pixel is above a threshold, else 0."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold), requires_grad=False)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixel = images.flatten(1)
        return torch.cat([self.threshold.expand_as(pixel), pixel], 1)


CLEAN = torch.full((2, 1, 1, 1), 0.5)
STEPS = torch.tensor([0.06, 0.02])
FOUND = SimpleNamespace(images=CLEAN + STEPS.view(-1, 1, 1, 1), rms=STEPS)


def test_each_reading_lengthens_in_its_own_way():
    moved = {way: (images - CLEAN).flatten().tolist() for way, images in amplification.longer(CLEAN, FOUND).items()}
    expected = ([0.1, 0.1], [0.084, 0.028], [0.15, 0.05])  # the factor to the mean is 0.1 / 0.04
    assert {way: pytest.approx(sizes, abs=1e-6) for way, sizes in zip(READINGS, expected, strict=True)} == moved


@pytest.fixture
def frame() -> pd.DataFrame:
    halves = dict(zip(paper.HALF_MODELS, map(Above, (0.53, 0.59, 0.62)), strict=True))
    images = Images(CLEAN, torch.zeros(2, dtype=torch.long), "two")
    return amplification.rates(halves, images, dict.fromkeys(halves, FOUND))


def test_rates_of_every_pair_by_hand(frame):
    assert list(frame.columns) == [*READINGS, "paper"]
    assert frame.index.get_level_values("pair").tolist() == [PAIRS[0]] * 3 + [PAIRS[1]] * 2 + [PAIRS[2]] * 4
    at = frame.droplevel("pair").loc
    assert at["FC123-456-10 → FC100-100-10"].tolist() == [1.0, 0.5, 1.0, 0.96]
    assert at["FC100-100-10 → FC123-456-10"].tolist() == [1.0, 0.0, 0.5, 0.98]
    assert at["FC123-456-10 → FC100-100-10'"].tolist() == [0.0, 0.0, 0.5, 0.22]


def test_the_nearest_reading_is_named_and_claimed(frame):
    each, factor, _ = READINGS
    frame[each], frame[factor] = frame["paper"] + 0.03, frame["paper"]
    frame.loc[PAIRS[0], each] = frame.loc[PAIRS[0], "paper"].to_numpy()
    off = amplification.gaps(frame)
    assert off.loc["all", each] == pytest.approx(2.4) and off.loc["across the halves", each] == pytest.approx(3)
    said = amplification.about(frame)
    assert f"comes **{factor}**, off by 0.0 points" in said and f"{each} by 2.4" in said
    assert f"own set: {each} and {factor} (0.0 points); within a half: {factor} (0.0 points)" in said
    assert "across the halves span 28.0 points, ours 50.0 at most" in said
    assert list(amplification.claims(frame).values()) == [True]
    frame[EACH], frame[factor] = frame["paper"], 0.0
    assert list(amplification.claims(frame).values()) == [False]
