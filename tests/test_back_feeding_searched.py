"""Training on searched examples: where they lie, which images stay where they are."""

from __future__ import annotations

import pytest
import torch

from intriguing.attack.distortion import minimum_distortion
from intriguing.chapters.back_feeding import campaign, examples
from intriguing.chapters.back_feeding.alone import Alone, layered
from intriguing.chapters.back_feeding.bank import Plan, Setup
from intriguing.chapters.back_feeding.campaign import Pixels
from intriguing.chapters.back_feeding.searched import Searched, shortest
from intriguing.data import mnist

KINDS = ("ReLU", "sigmoid")


@pytest.fixture(scope="module")
def pixels():
    part = mnist("quick").train.take(slice(0, 200))
    return Pixels(part.images.flatten(1), part.labels)


def trained(plan, pixels):
    """A network that reads most images, about to be trained by a plan."""
    setup = Setup(0.01, 3, 20)
    net = Searched(plan, 0, setup, pixels.images, pixels.labels)
    without = Plan(activation=plan.activation)
    net.flat.copy_(Alone(without, 0, setup, pixels.images, pixels.labels).train()[1])
    return net


@pytest.mark.parametrize("activation", KINDS)
def test_an_example_at_the_minimum_is_read_as_the_runner_up(activation, pixels):
    with torch.no_grad():
        net = trained(Plan("exit", 1.0, activation=activation), pixels)
    model = campaign.module([(m[None], b[None]) for m, b in layered(net.flat)], 0, activation)
    rivals, wrong = campaign.runners_up(model, pixels), model(pixels.images).argmax(1) != pixels.labels
    step = shortest(layered(net.flat), activation, pixels)
    assert 0 < int(wrong.sum()) < 100 and not step[wrong].any()
    assert torch.equal(model(pixels.images + step)[~wrong].argmax(1), rivals[~wrong])
    found = minimum_distortion(model, pixels.images, rivals, refine=True)
    assert torch.allclose(step.norm(dim=1).double(), found.rms * 28, atol=1e-5)


@pytest.mark.parametrize("activation", KINDS)
def test_the_plan_says_how_far_along_the_way_an_example_lies(activation, pixels):
    made = {}
    for plan in (Plan("exit", 1.0), Plan("exit", 1.5), Plan("dose", 1.5)):
        plan = Plan(plan.kind, plan.size, activation=activation)
        with torch.no_grad():
            net = trained(plan, pixels)
            made[plan.kind, plan.size], towards = net._made(0, [pixels.images], pixels.labels, 1.0)
        assert towards is None
    step = shortest(layered(net.flat), activation, pixels)  # the three networks are the same
    box = [(pixels.images + far).clamp(0, 1) for far in (step, 1.5 * step, examples.along(step, 1.5))]
    for image, expected in zip(made.values(), box, strict=True):
        assert torch.allclose(image, expected, atol=1e-6)
    stayed = step.norm(dim=1) == 0
    assert torch.equal(made["dose", 1.5][stayed], pixels.images[stayed])
    far = (made["dose", 1.5] - pixels.images)[~stayed].norm(dim=1)
    assert bool((far <= 1.5 + 1e-5).all()) and float(far.median()) > 0.9


def test_a_training_learns_from_what_is_found(pixels):
    few = Pixels(pixels.images[:60], pixels.labels[:60])
    plain = Searched(Plan(), 0, Setup(0.01, 8, 20), few.images, few.labels).train()[1]
    fed = Searched(Plan("exit", 1.0), 0, Setup(0.01, 8, 20), few.images, few.labels).train()[1]
    lengths = [float(shortest(layered(flat), "ReLU", few).norm(dim=1).mean()) for flat in (plain, fed)]
    assert lengths[1] > 1.2 * lengths[0] > 0
