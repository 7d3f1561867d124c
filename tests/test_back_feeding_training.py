"""Back-feeding: where the pools' examples lie, what they may change, and that a run can be repeated."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from intriguing.attack.distortion import MARGIN
from intriguing.chapters.back_feeding import training
from intriguing.chapters.back_feeding.training import BackFed, Budget, Plan, Pool
from intriguing.data import Images
from intriguing.models.recipes import build

TINY = Budget(epochs=2, batch=20, pool=30, fresh=10, every=3, warm_up=0, looks=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    monkeypatch.setenv("INTRIGUING_DEVICE", "cpu")


@pytest.fixture(scope="module")
def images() -> Images:
    """Two hundred noisy pictures of ten bright blocks, which any network can learn."""
    chance = torch.Generator().manual_seed(3)
    labels = torch.arange(200) % 10
    pixels = 0.3 * torch.rand(200, 1, 28, 28, generator=chance)
    for i, label in enumerate(labels.tolist()):
        pixels[i, 0, 2 * label : 2 * label + 4, 5:20] += 0.7
    return Images(pixels, labels, "blocks")


@pytest.fixture
def model() -> nn.Sequential:
    network = build(training.NETWORK, seed=5).eval()
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(4)
    return network


@pytest.mark.parametrize("layer", range(training.LAYERS))
def test_the_two_parts_make_the_network(model: nn.Sequential, images: Images, layer: int) -> None:
    whole = model(images.images)
    outputs = training.below(model, layer)(images.images).detach()
    assert torch.equal(training.above(model, layer)(outputs), whole)
    assert outputs.shape == (200, (784, 100, 100)[layer])
    assert float(outputs.min()) >= 0 and float(outputs.max()) <= 1


def test_examples_of_the_last_layer_lie_on_the_plane_between_two_classes(model: nn.Sequential, images: Images) -> None:
    """Above the second hidden layer stands a linear map, where the distance to a class has a closed form."""
    outputs = training.below(model, 2)(images.images).detach().double()
    weight, bias = model[5].weight.detach().double(), model[5].bias.detach().double()
    logits = outputs @ weight.T + bias
    labels = logits.argmax(1)
    runner = logits.scatter(1, labels[:, None], -torch.inf).argmax(1)
    slope = weight[runner] - weight[labels]
    gap = (logits.gather(1, labels[:, None]) - logits.gather(1, runner[:, None]))[:, 0]
    distance = (gap + MARGIN * (logits.amax(1) - logits.amin(1))) / slope.norm(dim=1)
    free = outputs + (distance / slope.norm(dim=1))[:, None] * slope
    # Where the nearest point of the plane lies in the box, and no third class is in the way, it is the answer.
    inside = (free >= 0).all(1) & (free <= 1).all(1)
    inside &= (free @ weight.T + bias).scatter(1, runner[:, None], -torch.inf).argmax(1) == labels
    assert int(inside.sum()) >= 20
    # Refined, since the penalty method itself ends up to a third further away where several classes are close.
    examples, rms = training.layer_examples(model, images.images, labels, 2, refine=True)
    assert float(rms[inside].median()) > 1e-3
    torch.testing.assert_close(rms[inside], distance[inside] / math.sqrt(100), rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(examples[inside].double(), free[inside], rtol=0, atol=2e-3)


@pytest.mark.parametrize("layer", range(training.LAYERS))
@pytest.mark.parametrize("target", training.TARGETS)
def test_examples_change_the_verdict_and_stay_in_the_box(
    model: nn.Sequential, images: Images, layer: int, target: str
) -> None:
    labels = model(images.images).argmax(1)  # so that every image is read as its label before
    examples, rms = training.layer_examples(model, images.images, labels, layer, target=target)
    assert float(examples.min()) >= 0 and float(examples.max()) <= 1
    assert float((training.above(model, layer)(examples).argmax(1) != labels).double().mean()) > 0.99
    assert float(rms.min()) > 0


def test_amplified_examples_lie_further_along_the_same_line(model: nn.Sequential, images: Images) -> None:
    labels = model(images.images).argmax(1)
    clean = training.below(model, 2)(images.images).detach()
    near, _ = training.layer_examples(model, images.images, labels, 2)
    far, _ = training.layer_examples(model, images.images, labels, 2, amplification=1.5)
    torch.testing.assert_close(far, (clean + 1.5 * (near - clean)).clamp(0, 1))


def test_a_mistake_is_fed_back_as_it_is(model: nn.Sequential, images: Images) -> None:
    labels = (model(images.images).argmax(1) + 1) % 10  # every image is misread
    examples, rms = training.layer_examples(model, images.images, labels, 1)
    assert torch.equal(examples, training.below(model, 1)(images.images))
    assert float(rms.max()) == 0


@given(st.integers(2, 12), st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_targets_are_wrong_classes(classes: int, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, classes, generator=chance)
    labels = torch.randint(classes, (40,), generator=chance)
    for target in training.TARGETS:
        chosen = training.wrong_targets(logits, labels, target, chance)
        assert bool((chosen != labels).all()) and int(chosen.max()) < classes
    runner = training.wrong_targets(logits, labels, "runner-up")
    others = logits.scatter(1, labels[:, None], -torch.inf)
    assert torch.equal(logits.gather(1, runner[:, None])[:, 0], others.amax(1))


def test_a_pool_replaces_a_part_and_keeps_the_rest(model: nn.Sequential, images: Images) -> None:
    pool = Pool(model, 1, Plan(pools=(1,)), TINY, torch.Generator().manual_seed(0))
    assert math.isnan(pool.distortion)
    pixels = images.images.flatten(1)
    pool.renew(pixels, images.labels)
    before, classes = pool.examples.clone(), pool.labels.clone()
    assert before.shape == (30, 100) and classes.shape == (30,) and pool.made == 30
    with torch.no_grad():
        model[1].weight.mul_(0.9)  # the network moves on, so that every new example is another one
    pool.renew(pixels, images.labels)
    changed = (pool.examples != before).any(1)
    assert int(changed.sum()) == 10 and pool.made == 40
    assert torch.equal(pool.labels[~changed], classes[~changed])
    examples, labels = pool.draw(500)
    match = (examples[:, None] == pool.examples[None]).all(2)
    assert bool(match.any(1).all())
    assert torch.equal(labels, pool.labels[match.int().argmax(1)])


@pytest.mark.parametrize("layer", range(training.LAYERS))
def test_a_pool_trains_the_layers_above_its_own_and_no_other(model: nn.Sequential, images: Images, layer: int) -> None:
    pool = Pool(model, layer, Plan(pools=(layer,)), TINY, torch.Generator().manual_seed(0))
    pool.renew(images.images.flatten(1), images.labels)
    examples, labels = pool.draw(20)
    assert not examples.requires_grad
    nn.functional.cross_entropy(training.above(model, layer)(examples), labels).backward()
    linear = [module for module in model if isinstance(module, nn.Linear)]
    assert [module.weight.grad is not None for module in linear] == [below >= layer for below in range(3)]


def test_batches_visit_every_image_once_in_each_pass() -> None:
    stream = training.batches(10, 5, torch.Generator().manual_seed(0))
    first, second = (torch.cat([next(stream), next(stream)]) for _ in range(2))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    with pytest.raises(ValueError, match="got a batch of .*; expected 1 to 10 images"):
        next(training.batches(10, 11, torch.Generator()))


def test_dropout_keeps_the_mean_and_drops_the_share() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(1)
    outcome = training.forward(model, torch.ones(20000, 1), (0.25,), torch.Generator().manual_seed(0))
    assert sorted(outcome.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert float((outcome == 0).double().mean()) == pytest.approx(0.25, abs=0.015)  # five standard errors
    assert torch.equal(training.forward(model, torch.ones(3, 1), (0.0,), torch.Generator()), torch.ones(3, 1))


def test_the_validation_split_cuts_the_training_set_in_two(images: Images) -> None:
    numbered = Images(images.images, torch.arange(200), "numbered")
    fitted, chosen = training.validation_split(numbered, share=0.25)
    assert (len(fitted), len(chosen)) == (150, 50)
    assert sorted([*fitted.labels.tolist(), *chosen.labels.tolist()]) == list(range(200))
    assert torch.equal(images.images[fitted.labels], fitted.images)


def _run(images: Images, plan: Plan, **options) -> BackFed:
    fitted, chosen = training.validation_split(images, share=0.25)
    return training.back_feed(plan, TINY, fitted, chosen, **options)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """The layers whose outputs were attacked, in order."""
    calls, genuine = [], training.layer_examples

    def spy(model: nn.Sequential, images: Tensor, labels: Tensor, layer: int, **options):
        calls.append((layer, len(images)))
        return genuine(model, images, labels, layer, **options)

    monkeypatch.setattr(training, "layer_examples", spy)
    yield calls


def test_pools_take_turns_and_are_renewed_alike(images: Images, counted: list) -> None:
    trained = _run(images, Plan(pools=(0, 2)))
    # 150 images in batches of 20 make 7 updates a pass and 14 in all, 7 for each pool: filled at the first of its
    # turns, renewed at the fourth and at the seventh.
    assert counted == [(0, 30), (2, 30), (0, 10), (2, 10), (0, 10), (2, 10)]
    assert trained.made == sum(count for _, count in counted)
    assert trained.updates.tolist() == [3, 7, 10, 14]
    assert trained.distortion.isnan().any(0).tolist() == [False, True, False]


def test_a_run_is_repeated_and_then_read_from_disk(images: Images, counted: list) -> None:
    plan = Plan(pools=(1,))
    first = _run(images, plan)
    calls = len(counted)
    second = _run(images, plan)
    assert len(counted) == calls  # nothing was made again
    assert torch.equal(first.held_out, second.held_out) and first.seconds == second.seconds
    other = _run(images, plan, seed=1)
    assert len(counted) > calls
    assert not torch.equal(other.model[1].weight, first.model[1].weight)
    fitted, chosen = training.validation_split(images, share=0.25)
    fresh = training._train(build(training.NETWORK, seed=0).eval(), plan, TINY, fitted, chosen, 0)
    assert torch.equal(fresh["1.weight"], first.model[1].weight)
    error = float((first.model(chosen.images).argmax(1) != chosen.labels).double().mean())
    assert first.error == error


def test_plans_change_what_is_learned(images: Images) -> None:
    plain = _run(images, Plan())
    for plan in (Plan(decay=(1e-2,) * 3), Plan(dropout=(0.0, 0.2, 0.2)), Plan(pools=(2,)), Plan(pools=(2,), weight=5)):
        assert not torch.equal(_run(images, plan).model[5].weight, plain.model[5].weight)
    assert plain.made == 0 and bool(plain.distortion.isnan().all())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pools": (3,)}, "layers from 0 to 2"),
        ({"pools": (1, 1)}, "different layers"),
        ({"decay": (0.0,)}, "a decay and a dropout"),
        ({"dropout": (0.0, 1.0, 0.0)}, "below 1"),
        ({"target": "nearest"}, "runner-up or random"),
    ],
)
def test_a_wrong_plan_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(**wrong)
