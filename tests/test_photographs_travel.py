"""Perturbations that travel, on linear networks of two pixels where every share can be told beforehand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.chapters.photographs import travel
from intriguing.chapters.photographs.travel import AWAY, FIVE, MINIMUM, NOISE, OTHERS, PRINTED, TARGET


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))


class Edge(nn.Module):
    """Class 1 where one number of a picture is above 0.5, whatever the others are; class 2 never."""

    def __init__(self, place: int, edge: float = 0.5) -> None:
        super().__init__()
        self.place, self.edge = place, edge

    def forward(self, images):
        value = images.flatten(1)[:, self.place] - self.edge
        return 50 * torch.stack([-value, value, value - 10], 1)


def test_what_is_made_for_one_number_moves_no_other():
    networks = {"A": Edge(0).eval(), "B": Edge(1).eval(), "A again": Edge(0, 0.501).eval()}
    images = torch.full((2, 3, 1, 1), 0.48)
    images[1] = 0.45
    right = lambda classes: classes == 0  # noqa: E731
    ones, zeros = torch.ones(2, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    made = {
        TARGET: travel.made_for(networks, images, ones, steps=60),
        AWAY: travel.made_for(networks, images, zeros, away=True, steps=60),
    }
    found = travel.travel(networks, images, right, made, ones)
    assert found.photographs == 2 and found.networks == ("A", "B", "A again")
    for goal in (TARGET, AWAY):
        for size in (MINIMUM, FIVE):
            assert found.misread[goal, "A", size, "A"].all() and not found.misread[goal, "A", size, "B"].any()
        assert not found.misread[goal, "A", MINIMUM, "A again"].any()  # it stands a little further off
        assert found.misread[goal, "A", FIVE, "A again"].all()
        # From 0.48 and 0.45 to 0.5 and back to three numbers
        assert found.lengths[goal, "A"] == pytest.approx((0.02 + 0.05) / 2 / 3**0.5, rel=0.05)
        # What takes 0.45 across takes 0.48 across, and what takes 0.48 across leaves 0.45 behind.
        assert found.misread[goal, f"A: {OTHERS}", MINIMUM, "A"].tolist() == [True, False]
        assert not found.misread[goal, "A", PRINTED, "A"].any()
    assert found.hit[TARGET, "A", FIVE, "A again"].all() and not any(goal == AWAY for goal, *_ in found.hit)
    assert (TARGET, NOISE, MINIMUM, "B") in found.misread
    few = {TARGET: {name: changed[:1] for name, changed in made[TARGET].items()}}
    with pytest.raises(ValueError, match="got 1 photographs that every network reads; expected two"):
        travel.travel(networks, images[:1], right, few, ones[:1])
