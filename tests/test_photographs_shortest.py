"""Short perturbations on networks whose minimum is known, and what is kept of them."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.chapters.photographs import shortest as room
from intriguing.chapters.photographs.shortest import lead, shortest


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))


def linear(classes=4, seed=0):
    torch.manual_seed(seed)
    layer = nn.Linear(3 * 8 * 8, classes)
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False), layer


def grey(count):
    return 0.4 + 0.2 * torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_leads_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    one = torch.tensor([1])
    assert lead(logits, one).item() == -1 and lead(logits, one, away=True).item() == 1
    odds = math.log(math.e / (math.e**2 + 1))  # of the second class, in logarithms
    assert lead(logits, one, sure=0.9).item() == pytest.approx(odds - math.log(9), abs=1e-6)
    probability = logits.softmax(1)[0, 0].item()
    assert lead(logits, torch.tensor([0]), sure=probability).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="got the probability 1.5; expected one between 0 and 1"):
        lead(logits, one, sure=1.5)
    with pytest.raises(ValueError, match="got the probability 0.9 for any other class"):
        lead(logits, one, sure=0.9, away=True)


def two_classes():
    """A network, five images, the other class of each, how far that is, and what a unit of length changes there."""
    model, layer = linear(2)
    layer.weight.mul_(20)
    images = grey(5)
    logits = model(images)
    apart = (layer.weight[0] - layer.weight[1]).norm()
    return model, images, 1 - logits.argmax(1), (logits[:, 0] - logits[:, 1]).abs() / apart, apart


def test_between_two_classes_the_way_is_the_distance_to_a_plane():
    model, images, targets, distance, apart = two_classes()
    found = shortest(model, images, targets)
    assert bool(found.success.all()) and torch.equal(model(found.images).argmax(1), targets)
    assert torch.allclose(found.rms, distance.double() / 192**0.5, rtol=0.02)
    away = shortest(model, images, 1 - targets, away=True)
    assert torch.allclose(away.rms, found.rms, rtol=0.02)
    # sure with probability p: the odds have to be p / (1 - p)
    surer = shortest(model, images, targets, sure=0.99)
    further = (distance + math.log(99) / apart).double() / 192**0.5
    assert torch.allclose(surer.rms, further, rtol=0.02)


def test_among_several_classes_it_is_nearly_as_short_as_the_search():
    model, _ = linear(10)
    images = grey(6)
    targets = (model(images).argmax(1) + 3) % 10
    found, best = shortest(model, images, targets), minimum_distortion(model, images, targets, refine=True)
    assert bool((found.rms < 1.03 * best.rms).all()) and bool((found.rms > 0.999 * best.rms).all())


def length(images, found):
    step = found["steps"].float() * found["unit"].view(-1, 1, 1, 1)
    return ((images + step).clamp(0, 1) - images).flatten(1).norm(dim=1)


def test_the_way_onward_leads_to_the_plane_from_too_far_out_and_from_beside_it():
    model, images, targets, distance, apart = two_classes()
    found = room.walk(model, images, targets, away=False, sure=None, steps=20)
    aside = torch.randn(found["steps"].shape, generator=torch.Generator().manual_seed(2))
    askew = found["steps"].float() + 0.5 * found["steps"].float().flatten(1).std(dim=1).view(-1, 1, 1, 1) * aside
    for steps in (found["steps"].float(), askew):
        start = found | {"steps": steps, "unit": 1.5 * found["unit"]}
        assert bool((length(images, start) > 1.4 * distance).all())
        onward = room.onward(model, images, targets, start)
        assert bool(onward["success"].all()) and torch.allclose(length(images, onward), distance, rtol=0.01)
    sure = room.walk(model, images, targets, away=False, sure=0.9, steps=20)
    surer = room.onward(model, images, targets, sure | {"unit": 1.5 * sure["unit"]}, sure=0.9)
    assert bool(surer["success"].all())
    assert torch.allclose(length(images, surer), distance + math.log(9) / apart, rtol=0.01)
    away = room.onward(model, images, 1 - targets, found | {"unit": 1.5 * found["unit"]}, away=True)
    assert torch.allclose(length(images, away), distance, rtol=0.01)


def test_the_way_onward_is_no_longer_and_begins_only_where_something_was_found():
    model, layer = linear(10)
    images = grey(6)
    targets = (model(images).argmax(1) + 3) % 10
    targets[0] = model(images)[0].argmax()  # reached without a step
    found = room.walk(model, images, targets, away=False, sure=None, steps=20)
    onward = room.onward(model, images, targets, found)
    assert bool(found["success"].all()) and bool(onward["success"].all())
    before, after = length(images, found), length(images, onward)
    assert before[0] == 0 and after[0] == 0
    assert bool((after <= before).all()) and float((after[1:] / before[1:]).min()) < 0.999
    layer.bias[7] = -1e6
    never = torch.full((6,), 7)
    lost = room.onward(model, images, never, room.walk(model, images, never, away=False, sure=None, steps=5))
    assert not lost["success"].any() and not lost["steps"].any()


def test_what_holds_already_stays_and_what_cannot_be_is_said():
    model, layer = linear(3)
    images = grey(3)
    own = model(images).argmax(1)
    found = shortest(model, images, own, steps=5)
    assert bool(found.success.all()) and torch.equal(found.images, images) and float(found.rms.max()) == 0
    layer.bias[2] = -1e6
    never = shortest(model, images, torch.full((3,), 2), steps=5)
    assert not never.success.any() and torch.equal(never.images, images)
    with pytest.raises(ValueError, match="training mode"):
        shortest(model.train(), images, own)


def test_chunks_are_kept_and_change_nothing(monkeypatch):
    model, _ = linear()
    images, targets = grey(5), torch.tensor([0, 1, 2, 3, 0])
    found = shortest(model, images, targets, steps=20, chunk=2)
    whole = shortest(model, images, targets, steps=20, chunk=5)
    assert torch.allclose(found.rms, whole.rms, rtol=1e-3)
    refuse = functools.wraps(room.walk)(lambda *_, **__: pytest.fail("walked twice"))
    monkeypatch.setattr(room, "walk", refuse)
    assert torch.equal(shortest(model, images, targets, steps=20, chunk=2).images, found.images)
    with pytest.raises(pytest.fail.Exception, match="walked twice"):
        shortest(model, images, targets, steps=21, chunk=2)


def test_the_first_sphere_is_where_a_straight_line_would_end(brief):
    """Twenty steps do for digits, too, which lie some thirty times as far apart as photographs of two classes."""
    sets, models = brief
    images = sets.test.images[:40]
    targets = (models["FC100-100-10"](images).argmax(1) + 5) % 10
    found = room.walk(models["FC100-100-10"], images, targets, away=False, sure=None, steps=20)
    best = minimum_distortion(models["FC100-100-10"], images, targets, refine=True)
    step = found["steps"].float() * found["unit"].view(-1, 1, 1, 1)
    lengths = ((images + step).clamp(0, 1) - images).flatten(1).norm(dim=1) / 28
    assert bool(found["success"].all())
    assert (lengths / best.rms).median() < 1.02
