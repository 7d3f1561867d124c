"""The matched opponents of a unit: the end at which a direction is read, and what its removal costs, worked by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from intriguing.book import coherence
from intriguing.chapters.units import matched


def test_a_direction_is_turned_to_its_longer_tail():
    # The first axis has one large value, the second one small value, the third is symmetric.
    features = torch.tensor([[0.0, 0, -1], [0, 0, 1], [0, 0, -1], [9, -9, 1]])
    assert matched.skewed(features).tolist() == [1, -1, 1]
    axes = torch.eye(3)
    assert matched.skewed(features, torch.cat([axes, -axes[:2]])).tolist() == [1, -1, 1, -1, 1]


def test_a_lead_that_is_one_of_orientation_is_found_out():
    """Rotated exponential features: every axis has its classes at the long tail, and so has every direction."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(1000) % 5
    features = torch.rand(1000, 10, generator=generator) * 0.1
    for shift in (0, 5):
        features[torch.arange(1000), labels + shift] += 3 * torch.rand(1000, generator=generator)
    away = coherence.rotation(10, torch.Generator().manual_seed(1))
    # Axes that mean nothing, each read at its better end, as a unit would be.
    turned = features @ away.T
    turned = turned * matched.skewed(turned)
    turned = turned - turned.amin(0)
    row = matched.orientations({"dense": (turned, turned)}, labels, directions=400).loc["dense, sets of a tenth"]
    assert row["plain"] > 0.05, "read upwards, axes that mean nothing lead over directions of random sign"
    assert abs(row["matched"]) < row["plain"] / 2
    true = matched.orientations({"logits": (features, features)}, labels, directions=400)
    true = true.loc["logits, sets of a tenth"]
    assert true["matched"] > 0.05, "axes that do mean something stay ahead"
    assert true["both oriented"] == pytest.approx(true["matched"])
    assert row["both oriented"] != row["both oriented"], "only layers with two ends are read both ways"


def test_channels_have_two_ends_and_are_read_upwards_as_the_page_says():
    assert not any("channels" in name for name in matched.TWO_SIDED)
    generator = torch.Generator().manual_seed(0)
    positions = (torch.randn(2000, 8, 16, generator=generator) - 0.5).clamp(min=0)  # after a ReLU
    least = [(part == part.amin(0)).double().mean() for part in (positions.flatten(1), positions.amax(2))]
    assert least[0] > 0.5, "many images share the least value of a position"
    assert least[1] < 0.05, "few share that of a channel, the largest value over its positions"


def test_removing_a_unit_by_hand():
    labels = torch.arange(40) % 2
    features = functional.one_hot(labels, 3).float() * torch.linspace(1, 2, 40)[:, None]
    features[:, 2] = torch.rand(40, generator=torch.Generator().manual_seed(0))
    head = nn.Linear(3, 2, bias=False).requires_grad_(False)
    head.weight.copy_(torch.tensor([[2.0, 0, 0], [0, 2.0, 0]]))
    found = matched.ablations(head, features, labels)
    rises, read = [], []
    for unit in range(3):
        without = features.clone()
        without[:, unit] = features[:, unit].mean()
        before, after = (functional.cross_entropy(head(part), labels, reduction="none") for part in (features, without))
        rises.append(float((after - before).mean()))
        read.append(float((head(without).argmax(1) != head(features).argmax(1)).double().mean()))
    assert rises[2] == pytest.approx(0, abs=1e-7)  # the head does not look at the third unit
    assert found.loc["units", "loss"] == pytest.approx(sum(rises) / 3, rel=1e-5)
    assert found.loc["units", "otherwise"] == pytest.approx(sum(read) / 3)
    assert found.loc["units", "variance"] == pytest.approx(1 / 3)
    assert found.loc["directions", "variance"] == pytest.approx(1 / 3, abs=0.1)
