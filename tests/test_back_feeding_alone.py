"""One network alone: what a bank trains, to rounding; what it goes on from; what it leaves to a bank."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from intriguing.chapters.back_feeding.alone import CHANCE, TINY, Alone, layered, supported
from intriguing.chapters.back_feeding.bank import Bank, Plan, Setup

SETUP = Setup(0.01, 3, batch=20)
PLANS = (
    Plan(),
    Plan(decay=1e-3, pace=2.0),
    Plan("dose", 1.5, share=0.3),
    Plan("dose", 1.5, box="none"),
    Plan("noise", 3.0),
    Plan("exit", 1.5, steps=2),
    Plan("virtual", 1.0),
    Plan("deformed", 1.0),
    Plan("dose", 1.0, (1,)),
    Plan("exit", 1.0, (2,)),
    Plan("noise", 1.0, (0, 1, 2)),
    Plan("dose", 1.0, (0, 2)),
)


def data(count: int = 70) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(count, 784, generator=generator) * (torch.rand(count, 784, generator=generator) > 0.5)
    return pixels, torch.randint(10, (count,), generator=generator)


@pytest.fixture(params=["ReLU", "sigmoid"])
def activation(request) -> str:
    return request.param


def assert_same(found: tuple[Tensor, Tensor], bank: Bank) -> None:
    expected = bank.train()
    for flat, weights in zip(found, (expected.weights, expected.last), strict=True):
        for mine, theirs in zip(layered(flat), weights, strict=True):
            for one, other in zip(mine, theirs, strict=True):
                torch.testing.assert_close(one, other[0], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.kind}-{plan.layers}")
def test_a_network_alone_is_that_of_a_bank(plan: Plan, activation: str) -> None:
    plan = replace(plan, activation=activation)
    found = Alone(plan, 3, SETUP, *data()).train()
    assert_same(found, Bank([(plan, 3)], SETUP, *data(), seed=CHANCE + 3))
    other = Alone(plan, 4, SETUP, *data()).train()
    assert not torch.equal(found[0], other[0])
    assert not torch.equal(found[0], found[1]) or SETUP.epochs <= 3


def test_what_is_dropped_is_dropped_as_in_a_bank(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(dropout=(0.2, 0.1, 0.3), activation=activation)
    draw = torch.rand
    found = Alone(plan, 3, SETUP, *data()).train()

    def for_half(like: Tensor) -> Tensor:  # a bank draws for a second half as well, which has no weight here
        half = draw(like.shape[1] // 2, like.shape[2])
        return torch.cat([half, half])[None]

    monkeypatch.setattr(torch, "rand_like", for_half)
    assert_same(found, Bank([(plan, 3)], SETUP, *data(), seed=CHANCE + 3))


@pytest.mark.parametrize("plan", [Plan("dose", 1.5), Plan("noise", 1.0, (0, 1)), Plan(dropout=(0.1, 0.0, 0.2))])
def test_it_goes_on_from_its_memory_to_the_same_bits(plan: Plan) -> None:
    setup = replace(SETUP, epochs=7)
    whole = Alone(plan, 1, setup, *data()).train()
    for stop in (1, 6):  # before and after the weights begin to be averaged
        first = Alone(plan, 1, setup, *data())
        memory: dict[str, Tensor] = {}

        def keep(first: Alone = first, memory: dict[str, Tensor] = memory, stop: int = stop) -> None:
            if first.epoch == stop:
                memory.update({name: value.clone() for name, value in first.memory().items()})
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            first.train(after_epoch=keep)
        again = Alone(plan, 1, setup, *data())
        torch.rand(3)  # the generator of the process stands elsewhere by then
        found = again.train(memory)
        assert all(torch.equal(one, other) for one, other in zip(found, whole, strict=True))
        assert again.epoch == 7 and again.seconds > float(memory["seconds"]) > 0


def test_training_leaves_the_generator_and_small_numbers_as_they_were() -> None:
    state = torch.get_rng_state()
    Alone(Plan("noise", 1.0), 0, replace(SETUP, epochs=1), *data()).train()
    assert torch.equal(torch.get_rng_state(), state)
    assert bool(torch.tensor(TINY) * torch.ones(()))


def test_what_it_cannot_train_is_left_to_a_bank() -> None:
    for plan in (
        Plan("dose", 1.0, pool=20),
        Plan("dose", 1.0, radius="growing"),
        Plan("dose", 1.0, (1,), through=True),
        Plan("dose", 1.0, dropout=(0.1, 0.0, 0.0)),
        Plan("dose", 1.0, (0, 1), alternate=True),
    ):
        assert not supported(plan)
        with pytest.raises(ValueError, match="a bank can train it"):
            Alone(plan, 0, SETUP, *data())
    with pytest.raises(ValueError, match="at most the 10 images"):
        Alone(Plan(), 0, SETUP, *data(10))
