"""Networks of disjoint halves, and the halves of a small set."""

from __future__ import annotations

import pytest
import torch

from intriguing.book import halves, paper
from intriguing.data import Digits, Images
from intriguing.models.recipes import RECIPES


def toy(count: int = 10) -> Digits:
    images = torch.arange(count).float().view(-1, 1, 1, 1) / count
    whole = Images(images, torch.zeros(count, dtype=torch.long), "toy")
    return Digits(whole, whole, whole, whole, "toy digits")


def test_small_takes_the_first_images_and_halves_them():
    digits = halves.small(toy(), 6)
    first = toy().train.images
    assert torch.equal(digits.train.images, first[:6])
    assert torch.equal(digits.part1.images, first[:3]) and torch.equal(digits.part2.images, first[3:6])
    assert len(digits.test) == 10
    names = {digits.train.name, digits.part1.name, digits.part2.name, halves.small(toy(), 8).train.name, "toy"}
    assert len(names) == 5  # weights are kept by name and number, so no two may share both


@pytest.mark.parametrize("count", [0, 5, 12, -2])
def test_small_refuses_what_cannot_be_halved(count):
    with pytest.raises(ValueError, match="even number"):
        halves.small(toy(), count)


def test_the_networks_are_those_of_the_paper():
    assert tuple(halves.HALVES)[:3] == paper.HALF_MODELS
    assert {half.recipe for half in halves.HALVES.values()} <= set(RECIPES)
    for name, half in halves.HALVES.items():
        assert half.part == ("part2" if name.endswith("'") else "part1")
        assert half.recipe == name.removesuffix("'")
    starts = {(half.recipe, 2 * s + half.offset) for half in halves.HALVES.values() for s in range(5)}
    assert len(starts) == 5 * len(halves.HALVES)  # no two networks ever start from the same weights


def test_each_network_is_trained_on_its_half(monkeypatch):
    calls = []

    def trained(recipe, images, *, seed, max_iterations):
        calls.append((recipe, images.name, seed, max_iterations))
        return type("Trained", (), {"model": len(calls)})

    monkeypatch.setattr(halves, "trained", trained)
    whole = toy().train
    digits = Digits(whole, whole, whole.take(slice(0, 5), "P1"), whole.take(slice(5, 10), "P2"), "toy")
    made = halves.networks(digits, repetition=3, max_iterations=7)
    assert list(made) == list(paper.HALF_MODELS)
    assert calls == [("FC100-100-10", "P1", 6, 7), ("FC123-456-10", "P1", 6, 7), ("FC100-100-10", "P2", 7, 7)]
    calls.clear()
    halves.networks(digits, ["ConvNet'", "ConvNet"])  # the first repetition, as long as the profile trains
    assert calls == [("ConvNet", "P2", 1, None), ("ConvNet", "P1", 0, None)]
