"""Many networks at once: each as if it were alone, its examples where they should lie, and all of it repeatable."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from intriguing.chapters.back_feeding import bank, examples
from intriguing.chapters.back_feeding.bank import Bank, Plan, Setup, fresh
from intriguing.chapters.back_feeding.examples import ACTIVATIONS

KINDS = (
    Plan(),
    Plan("dose", 1.5),
    Plan("exit", 1.0),
    Plan("exit", 1.5, steps=3),
    Plan("dose", 2.0, layers=(1,)),
    Plan("dose", 2.0, layers=(2,), through=True),
    Plan("dose", 2.0, layers=(0, 1, 2)),
    Plan("exit", 1.5, layers=(0, 1, 2), alternate=True),
    Plan(decay=1e-3),
    Plan("dose", 1.5, pace=0.3),
)
"""Plans without chance of their own, so that a network's training depends on its seed alone."""


def data(count: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 784, generator=generator) * (torch.rand(count, 784, generator=generator) > 0.5)
    return pixels, torch.randint(10, (count,), generator=generator)


def stack(activation: str, networks: int = 2) -> list[tuple[Tensor, Tensor]]:
    started = [bank.first_weights(Plan(activation=activation), seed) for seed in range(networks)]
    return [tuple(torch.stack(part) for part in zip(*layer, strict=True)) for layer in zip(*started, strict=True)]


def modules(weights, activation: str) -> list[nn.Sequential]:
    between = {"ReLU": nn.ReLU, "sigmoid": nn.Sigmoid}[activation]
    nets = []
    for row in range(len(weights[0][0])):
        net = nn.Sequential(nn.Linear(784, 100), between(), nn.Linear(100, 100), between(), nn.Linear(100, 10))
        with torch.no_grad():
            for layer, (matrix, bias) in zip(net[::2], weights, strict=True):
                layer.weight.copy_(matrix[row].T)
                layer.bias.copy_(bias[row, 0])
        nets.append(net)
    return nets


@pytest.fixture(params=["ReLU", "sigmoid"])
def activation(request) -> str:
    return request.param


def test_a_stack_answers_as_its_modules_do(activation: str) -> None:
    weights, (pixels, _) = stack(activation, 3), data()
    nets = modules(weights, activation)
    parameters, buffers = stack_module_state(nets)
    expected = vmap(lambda p, b: functional_call(nets[0], (p, b), (pixels,)))(parameters, buffers)
    found = examples.outputs(weights, pixels.expand(3, -1, -1), ACTIVATIONS[activation].function)
    torch.testing.assert_close(found[-1], expected)
    assert [one.shape[-1] for one in found] == [784, 100, 100, 10]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_written_out_gradient_is_that_of_autograd(activation: str, layer: int) -> None:
    weights, (pixels, labels) = stack(activation), data()
    kind = ACTIVATIONS[activation]
    h = examples.outputs(weights, pixels.expand(2, -1, -1), kind.function)
    start = h[layer].clone().requires_grad_()
    logits = examples.outputs(weights, start, kind.function, layer)[-1]
    loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(2), reduction="sum")
    (expected,) = torch.autograd.grad(loss, start)
    found = examples.pull(weights, h[layer:], examples.uphill(h[-1], labels.expand(2, -1)), layer, kind)
    torch.testing.assert_close(F.normalize(found, dim=-1), F.normalize(expected, dim=-1))


def test_a_sure_answer_still_has_a_direction() -> None:
    logits = torch.tensor([[[300.0, 0.0, 1.0]]])
    found = examples.uphill(logits, torch.tensor([[0]]))
    expected = torch.tensor([[[-1.0, 1 / (1 + math.e), math.e / (1 + math.e)]]])
    torch.testing.assert_close(found, expected)


def test_the_exit_of_a_linear_model_lies_on_its_boundary() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [(torch.randn(2, 5, 3, generator=generator), torch.randn(2, 1, 3, generator=generator))]
    h = torch.randn(2, 7, 5, generator=generator)
    logits = examples.outputs(weights, h, torch.relu)[-1]
    ahead, pulled = examples.lead(logits, logits.argmax(-1))
    for units in (torch.tensor(1.0), torch.rand(2, 1, 5, generator=generator) + 0.5):
        step = examples.out(examples.pull(weights, [h], pulled, 0, ACTIVATIONS["ReLU"]), ahead, units)
        there = examples.outputs(weights, h + step, torch.relu)[-1]
        torch.testing.assert_close((pulled * there).sum(-1), torch.zeros(2, 7), atol=1e-5, rtol=0)
        assert ((pulled * logits).sum(-1) > 1e-3).all()


def test_a_mistake_is_not_moved_by_the_exit() -> None:
    logits = torch.tensor([[[0.0, 2.0, 1.0]]])
    ahead, pulled = examples.lead(logits, torch.tensor([[0]]))
    assert float(ahead) == -2
    assert pulled.tolist() == [[[1.0, -1.0, 0.0]]]
    assert not examples.out(torch.ones(1, 1, 4), ahead).any()


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("kind", ["dose", "noise"])
def test_the_length_is_exact_where_nothing_is_cut(activation: str, kind: str, layer: int) -> None:
    weights, (pixels, labels) = stack(activation), data()
    size = torch.tensor([0.7, 2.0])[:, None, None]
    h = examples.outputs(weights, pixels.expand(2, -1, -1), ACTIVATIONS[activation].function)
    plan = Plan(kind, layers=(layer,), box="none", activation=activation)
    units = h[layer].std(1, keepdim=True) if layer else torch.tensor(1.0)
    moved, towards = fresh(plan, weights, h, labels.expand(2, -1), layer, size, units)
    assert towards is None
    length = ((moved - h[layer]) / units).nan_to_num().norm(dim=-1, keepdim=True)
    torch.testing.assert_close(length, size.expand_as(length), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("kind", "size"), [("dose", 1e-2), ("exit", 0.5), ("exit", 1.0)])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_examples_lie_uphill(activation: str, kind: str, size: float, layer: int) -> None:
    weights, (pixels, labels) = stack(activation), data()
    function, labels = ACTIVATIONS[activation].function, labels.expand(2, -1)
    h = examples.outputs(weights, pixels.expand(2, -1, -1), function)
    plan = Plan(kind, layers=(layer,), box="none", activation=activation)
    moved, _ = fresh(plan, weights, h, labels, layer, torch.full((2, 1, 1), size))
    still = (moved == h[layer]).all(-1)  # images misread already, and those without a gradient
    before, after = (
        torch.nn.functional.cross_entropy(
            examples.outputs(weights, start, function, layer)[-1].mT, labels, reduction="none"
        )
        for start in (h[layer], moved)
    )
    assert still.double().mean() < 0.95
    assert (after > before)[~still].double().mean() > 0.9


@pytest.mark.parametrize("box", ["cut", "facing"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_examples_stay_in_the_box(activation: str, layer: int, box: str) -> None:
    weights, (pixels, labels) = stack(activation), data()
    h = examples.outputs(weights, pixels.expand(2, -1, -1), ACTIVATIONS[activation].function)
    size = torch.full((2, 1, 1), 9.0)
    plan = Plan("dose", box=box, activation=activation)
    moved, _ = fresh(plan, weights, h, labels.expand(2, -1), layer, size)
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= (math.inf if layer and activation == "ReLU" else 1)


def test_a_direction_that_faces_in_loses_less_length_than_one_that_is_cut() -> None:
    weights, (pixels, labels) = stack("ReLU", 1), data()
    h = examples.outputs(weights, pixels[None], torch.relu)
    size = torch.ones(1, 1, 1)
    cut, facing = (
        (fresh(Plan("dose", box=box), weights, h, labels[None], 0, size)[0] - h[0]).norm(dim=-1)
        for box in ("cut", "facing")
    )
    assert (facing > cut).all()
    assert float(facing.mean()) > 0.97
    assert (facing < 1.0001).all()


def test_the_virtual_step_changes_the_answer_more_than_noise_of_its_length() -> None:
    weights, (pixels, labels) = stack("ReLU"), data()
    kind, size = ACTIVATIONS["ReLU"], torch.ones(2, 1, 1)
    h = examples.outputs(weights, pixels.expand(2, -1, -1), kind.function)
    torch.manual_seed(0)
    changed = []
    for name in ("virtual", "noise"):
        moved, towards = fresh(Plan(name, box="none"), weights, h, labels.expand(2, -1), 0, size)
        there = examples.outputs(weights, moved, kind.function)[-1].log_softmax(-1)
        changed.append(F.kl_div(there, h[-1].softmax(-1), reduction="none").sum(-1).mean())
        if name == "virtual":
            torch.testing.assert_close(towards, h[-1].softmax(-1))
    assert changed[0] > 3 * changed[1]


def test_deformations_of_size_zero_change_nothing_and_larger_ones_keep_the_ink() -> None:
    images = torch.zeros(1, 6, 28, 28)
    images[:, :, 9:19, 12:16] = 1
    images = images.flatten(2)
    torch.testing.assert_close(examples.bent(images, torch.zeros(1, 1, 1)), images, atol=1e-5, rtol=0)
    torch.manual_seed(0)
    moved = examples.bent(images, torch.ones(1, 1, 1))
    assert (moved - images).abs().sum(-1).min() > 1
    torch.testing.assert_close(moved.sum(-1), images.sum(-1), rtol=0.5, atol=0)


def trained(rows, activation: str = "ReLU", *, epochs: int = 2, **options) -> bank.Trained:
    pixels, labels = data()
    rows = [(replace(plan, activation=activation), seed) for plan, seed in rows]
    return Bank(rows, Setup(0.01, epochs, batch=10), pixels, labels, **options).train()


def test_every_network_of_a_bank_is_what_it_would_be_alone(activation: str) -> None:
    rows = [(plan, seed) for plan in KINDS for seed in (0, 1)]
    rows = rows[::2] + rows[1::2]  # plans apart, so that the bank has to sort and to sort back
    together = trained(rows, activation)
    for row, one in enumerate(rows):
        alone = trained([one], activation)
        for layers, single in ((together.weights, alone.weights), (together.last, alone.last)):
            for (matrix, bias), (lonely, shift) in zip(layers, single, strict=True):
                torch.testing.assert_close(matrix[row], lonely[0], rtol=1e-3, atol=2e-4)
                torch.testing.assert_close(bias[row], shift[0], rtol=1e-3, atol=2e-4)


def test_both_activations_share_a_bank() -> None:
    pixels, labels = data()
    plans = [Plan("dose", 1.0, activation=name, layers=(1,)) for name in ("sigmoid", "ReLU", "sigmoid")]
    together = Bank([(plan, seed) for seed, plan in enumerate(plans)], Setup(0.01, 2, batch=10), pixels, labels).train()
    for seed, plan in enumerate(plans):
        alone = Bank([(plan, seed)], Setup(0.01, 2, batch=10), pixels, labels).train()
        for (matrix, _), (lonely, _) in zip(together.weights, alone.weights, strict=True):
            torch.testing.assert_close(matrix[seed], lonely[0], rtol=1e-3, atol=2e-4)
    function = bank.side_by_side(["ReLU", "sigmoid", "sigmoid"])
    found = function(torch.full((3, 1, 1), -1.0)).flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 1 / (1 + math.e), 1 / (1 + math.e)]))


def test_the_baseline_is_plain_training_with_adam(activation: str) -> None:
    pixels, labels = data()
    plan = Plan(decay=1e-3, activation=activation)
    found = Bank([(plan, 3)], Setup(0.01, 2, batch=10), pixels, labels).train()
    net = modules([(m[None], b[None]) for m, b in bank.first_weights(plan, 3)], activation)[0]
    adam = torch.optim.Adam(net.parameters())
    generator = torch.Generator().manual_seed(1003)
    rates = iter(0.01 * bank.one_cycle(8))
    for _ in range(2):
        for batch in torch.randperm(40, generator=generator).split(10):
            adam.param_groups[0]["lr"] = float(next(rates))
            adam.zero_grad()
            decay = sum(layer.weight.square().sum() for layer in net[::2])
            (F.cross_entropy(net(pixels[batch]), labels[batch]) + 1e-3 * decay).backward()
            adam.step()
    for layer, (matrix, bias) in zip(net[::2], found.last, strict=True):
        torch.testing.assert_close(matrix[0].T, layer.weight, rtol=1e-3, atol=2e-4)
        torch.testing.assert_close(bias[0, 0], layer.bias, rtol=1e-3, atol=2e-4)


CHANCE = (Plan("noise", 1.0), Plan("virtual", 1.0), Plan("deformed", 1.0), Plan("dose", 1.0, dropout=(0.1, 0.2, 0.2)))


def test_a_plan_of_another_pace_trains_at_another_rate() -> None:
    pixels, labels = data()
    slow = Bank([(Plan("dose", 1.0, pace=0.25), 0)], Setup(0.02, 1, batch=10), pixels, labels).train()
    same = Bank([(Plan("dose", 1.0), 0)], Setup(0.005, 1, batch=10), pixels, labels).train()
    for (matrix, bias), (other, shift) in zip(slow.last, same.last, strict=True):
        torch.testing.assert_close(matrix, other, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(bias, shift, rtol=1e-4, atol=1e-5)


def test_training_is_repeatable_and_follows_its_seed() -> None:
    rows = [(plan, seed) for plan in (*CHANCE, Plan("exit", 1.5, layers=(0, 1, 2), pool=20)) for seed in (0, 1)]
    once, again = (trained(rows, epochs=1).weights[0][0] for _ in range(2))
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    assert all(not torch.equal(once[row], once[row + 1]) for row in range(0, len(rows), 2))
    other = trained(rows, epochs=1, seed=1).weights[0][0]
    assert all(not torch.equal(mine, its) for mine, its in zip(once, other, strict=True))


def test_the_mean_is_over_the_last_part_of_the_epochs() -> None:
    rows = [(Plan("dose", 1.0), 0)]
    short = trained(rows, epochs=3)  # one epoch of three is averaged
    torch.testing.assert_close(short.weights[0][0], short.last[0][0])
    longer = trained(rows, epochs=7)  # two of seven
    assert not torch.equal(longer.weights[0][0], longer.last[0][0])


def test_training_ends_when_the_time_is_over() -> None:
    pixels, labels = data()
    found = Bank([(Plan(), 0)], Setup(0.01, 3, batch=10), pixels, labels).train(until=0.0)
    assert found.epochs == 0


def test_hidden_examples_teach_the_layers_above_only(activation: str) -> None:
    pixels, labels = data()
    before = stack(activation, 1)
    for plan, still in ((Plan("dose", 1.0, layers=(2,), share=0.99999), 2), (Plan("dose", 1.0, layers=(1,)), 1)):
        plan = replace(plan, activation=activation)
        made = Bank([(plan, 0)], Setup(0.01, 1, batch=10), pixels, labels)
        made.share[:, :10] = 0  # the training set says nothing, so that what moves is moved by the examples
        made.index.copy_(torch.arange(10)[None])
        made.update()
        moved = [
            not torch.equal(matrix.detach(), old) for (matrix, _), (old, _) in zip(made.weights, before, strict=True)
        ]
        assert moved == [layer >= still for layer in range(3)]
        through = Bank([(replace(plan, through=True), 0)], Setup(0.01, 1, batch=10), pixels, labels)
        through.share[:, :10] = 0
        through.index.copy_(torch.arange(10)[None])
        through.update()
        assert all(not torch.equal(m.detach(), old) for (m, _), (old, _) in zip(through.weights, before, strict=True))


def test_a_pool_gives_out_what_it_took_in_with_its_label() -> None:
    torch.manual_seed(0)
    pool = bank._Pool(2, 8, 3, torch.device("cpu"))
    for number in range(5):
        given = torch.full((2, 3, 3), float(number))
        drawn, labels = pool.swap(given, torch.full((2, 3), number), 6)
        assert drawn.shape == (2, 6, 3)
        assert torch.equal(drawn[:, :, 0].long(), labels)
        assert int(labels.max()) <= number
        if number == 0:
            assert int(pool.filled) == 3
            assert not labels.any()  # nothing but what was put in
    assert int(pool.filled) == 8
    assert len(pool.labels.unique()) > 1


def test_layers_that_take_turns_do_so() -> None:
    pixels, labels = data()
    plan = Plan("dose", 1.0, layers=(0, 2), alternate=True)
    made = Bank([(plan, 0)], Setup(0.01, 1, batch=10), pixels, labels)
    made.share[:, :10] = 0
    made.index.copy_(torch.arange(10)[None])
    first = made.weights[0][0].detach().clone()
    made.update(phase=1)
    assert torch.equal(made.weights[0][0], first)
    made.update(phase=2)
    assert not torch.equal(made.weights[0][0], first)


def test_the_rate_rises_and_falls_to_zero() -> None:
    rates = bank.one_cycle(200)
    assert float(rates.max()) == pytest.approx(1, abs=0.03)
    assert int(rates.argmax()) == pytest.approx(20, abs=1)
    assert float(rates[-1]) < 1e-3
    assert (rates > 0).all()


def test_misreadings_are_counted_for_each_network() -> None:
    weights, (pixels, labels) = stack("ReLU", 3), data()
    expected = torch.stack([net(pixels).argmax(1) != labels for net in modules(weights, "ReLU")])
    assert torch.equal(bank.wrong(weights, torch.relu, pixels, labels, batch=7), expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "sharp"},
        {"layers": (3,)},
        {"layers": ()},
        {"kind": "virtual", "layers": (1,)},
        {"share": 1.0},
        {"box": "soft"},
        {"radius": "odd"},
        {"dropout": (0.0, 1.0, 0.0)},
        {"activation": "tanh"},
    ],
)
def test_plans_that_mean_nothing_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Plan(**wrong)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="at most the 40 images"):
        Bank([(Plan(), 0)], Setup(0.01, 1, batch=41), *data())
