"""Walks that make exits shorter, on boundaries whose nearest point is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from intriguing.attack.boundary import nearest_exit
from intriguing.chapters.density import exits
from intriguing.models.recipes import build

LABELS = torch.tensor([0, 0])


class Bowl(nn.Module):
    """Class 0 inside an ellipsoid about the middle of the box, class 1 outside of it; one axis is the shortest."""

    def forward(self, images: Tensor) -> Tensor:
        away = (images.flatten(1) - 0.5) * torch.linspace(1, 2, 16, dtype=images.dtype)
        return torch.stack([torch.full_like(away[:, 0], 0.04), away.square().sum(1)], 1)


class Wall(Bowl):
    """The same classes, level on both sides of a steep wall: straight lines lead far into either."""

    def forward(self, images: Tensor) -> Tensor:
        low, high = super().forward(images).unbind(1)
        return torch.stack([0 * low, (5000 * (high - low)).tanh()], 1)


def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.5 + 0.01 * torch.randn(2, 1, 4, 4, generator=generator)


def detour(found, images: Tensor, factor: float = 1.5):
    """Exits far from the nearest ones: along a diagonal, beyond the boundary."""
    generator = torch.Generator().manual_seed(1)
    way = torch.nn.functional.normalize(torch.randn(2, 16, generator=generator).double(), dim=1) * 0.2 * factor
    assert bool((Bowl()(images.double() + way.view(images.shape)).argmax(1) == 1).all())
    each = way[:, None].clone()
    return replace(found, ways=way, rms=way.norm(dim=1) / 4, each=each)


def test_a_walk_ends_near_the_nearest_point():
    start = images()
    found = nearest_exit(Bowl().eval(), start, LABELS)
    far = detour(found, start)
    walked = exits.walked(Bowl().eval(), start, LABELS, far)
    assert bool((walked.rms < 0.7 * far.rms).all()), "a third is to be had"
    assert torch.allclose(walked.rms, found.rms.minimum(walked.rms), rtol=0.02)
    assert bool((Bowl()(start.double() + walked.ways.view(start.shape)).argmax(1) == 1).all())
    assert torch.allclose(walked.rms, walked.ways.norm(dim=1) / 4) and torch.equal(walked.each[:, 0], walked.ways)
    toward = 2 * torch.linspace(1, 2, 16).double() ** 2 * (start.double().flatten(1) + walked.ways - 0.5)
    assert torch.allclose(walked.normals, torch.nn.functional.normalize(toward, dim=1))


def test_steps_that_go_back_into_the_class_do_not_count():
    start = images()
    far = detour(nearest_exit(Bowl().eval(), start, LABELS), start)
    walked = exits.walked(Wall().eval(), start, LABELS, far)
    assert bool((walked.rms < far.rms).all())
    assert bool((Bowl()(start.double() + walked.ways.view(start.shape)).argmax(1) == 1).all())


def test_what_cannot_be_made_shorter_stays():
    start = images()
    found = nearest_exit(Bowl().eval(), start, LABELS)
    torn = replace(
        found, ways=torch.stack([found.ways[0] * 0, found.ways[1] * torch.nan]), rms=torch.tensor([0.0, torch.inf])
    )
    kept = exits.walked(Bowl().eval(), start, LABELS, torn)
    assert kept.rms.tolist() == [0, torch.inf] and bool(kept.ways[1].isnan().all())
    again = exits.walked(Bowl().eval(), start, LABELS, exits.walked(Bowl().eval(), start, LABELS, found))
    assert bool((again.rms <= found.rms).all())


def test_walks_keep_to_the_box_and_to_their_space():
    corner = torch.full((2, 1, 4, 4), 0.5)
    corner[:, 0, 0, 0], corner[:, 0, 0, 1] = 0.52, 0.48
    low = detour(nearest_exit(Bowl().eval(), corner, LABELS), corner, 2.0)
    frame = torch.eye(16, dtype=torch.float64)[:3].expand(2, -1, -1)
    diagonal = torch.zeros(2, 16, dtype=torch.float64)
    diagonal[:, 2] = 0.4
    inside = exits.walked(
        Bowl().eval(), corner, LABELS, replace(low, ways=diagonal, rms=diagonal.norm(dim=1) / 4), within=frame
    )
    assert float(inside.ways[:, 3:].abs().max()) < 1e-12 and bool((inside.rms < 0.09).all())
    away = exits.walked(
        Bowl().eval(), corner, LABELS, replace(low, ways=diagonal, rms=diagonal.norm(dim=1) / 4), avoid=frame[:, :1]
    )
    assert float(away.ways[:, 0].abs().max()) < 1e-12 and bool((away.rms < 0.09).all())


class Side(nn.Module):
    """Class 1 where the pixels are low on the whole; the box ends before the first pixel is low enough."""

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        fall = (0.02 - flat[:, 0]) * 8 + (0.5 - flat[:, 1:]).sum(1)
        return torch.stack([torch.ones_like(fall), fall + fall.clamp(min=0).square()], 1)


@pytest.mark.parametrize("box", [True, False])
def test_only_a_box_keeps_pixels_in_it(box):
    clean = torch.full((1, 1, 2, 2), 0.5)
    clean[0, 0, 0, 0] = 0.02
    way = -torch.tensor([[0.02, 0.4, 0.4, 0.4]]).double()
    far = nearest_exit(Side().eval(), clean, torch.tensor([0]), box=True)
    walked = exits.walked(
        Side().eval(), clean, torch.tensor([0]), replace(far, ways=way, rms=way.norm(dim=1) / 2), box=box
    )
    changed = clean.flatten(1).double() + walked.ways
    assert bool((changed[:, 0] >= 0).all()) == box and float(walked.rms) < float(way.norm()) / 2


def test_a_linear_network_needs_no_walk(monkeypatch):
    model = build("FC10(1)", seed=1).eval().requires_grad_(False)
    pixels = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = model(pixels).argmax(1)
    monkeypatch.setattr(exits, "walked", None)
    found = exits.shortest(model, pixels, labels, rivals=1)
    assert exits.linear(model) and torch.equal(found.each, nearest_exit(model, pixels, labels).each)


def test_ways_at_right_angles_are_so_and_do_not_fall():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).eval().requires_grad_(False)
    pixels = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = model(pixels).argmax(1)
    lengths, basis = exits.at_right_angles(model, pixels, labels, 3)
    assert torch.allclose(basis @ basis.mT, torch.eye(3).double().expand(2, -1, -1), atol=1e-9)
    assert bool((lengths.diff(dim=1) >= 0).all())
    assert bool((lengths[:, 0] <= nearest_exit(model, pixels, labels).rms).all())


def test_every_exit_of_a_network_with_kinks_is_one():
    model = build("ConvNet", seed=1).eval().requires_grad_(False)
    pixels = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = model(pixels).argmax(1)
    first, last = nearest_exit(model, pixels, labels, rivals=2), exits.shortest(model, pixels, labels, rivals=2)
    assert bool((last.rms <= first.rms).all()) and bool((last.rms < first.rms).any())
    lengths, basis = exits.at_right_angles(model, pixels, labels, 2)
    beyond = 28 * 1.000001 * lengths[:, :, None] * basis  # rounding
    double = model.double()
    for ways in (last.ways, beyond[:, 0], beyond[:, 1]):
        assert bool((double(pixels.double() + ways.view(pixels.shape)).argmax(1) != labels).all())
