"""QuocNet: each layer against a loop, the cost against autograd and by hand, training resumed and shared."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, nn

import forked
from intriguing import minimum_distortion
from intriguing.attack import files
from intriguing.models import quocnet
from intriguing.models.quocnet import Head, QuocNet, Schedule, Stage

SMALL = Stage(field=3, stride=2, maps=4, pool=2, pool_maps=2, window=3)
NEXT = Stage(field=2, stride=1, maps=3, pool=1, window=3)
SHAPE = (2, 9, 11)


@pytest.fixture
def images():
    return torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def weight():
    return quocnet.initial_weight(SMALL, SHAPE, torch.Generator().manual_seed(1))


def test_filters_are_those_of_a_loop_over_places(images, weight):
    answers = quocnet.filtered(images, weight, SMALL)
    assert answers.shape == (6, 4, 4, 5)
    for row in range(4):
        for column in range(5):
            patch = images[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3].flatten(1)
            assert torch.allclose(answers[:, :, row, column], patch @ weight[5 * row + column], atol=1e-6)


def test_filters_that_are_the_same_everywhere_are_a_convolution(images):
    kernel = torch.rand(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    tied = kernel.flatten(1).T.expand(20, -1, -1)
    wanted = nn.functional.conv2d(images, kernel, stride=2)
    assert torch.allclose(quocnet.filtered(images, tied, SMALL), wanted, atol=1e-6)


def test_spreading_back_is_the_transpose(images, weight):
    answers = torch.randn(6, 4, 4, 5, generator=torch.Generator().manual_seed(2))
    there = (quocnet.filtered(images, weight, SMALL) * answers).sum()
    back = (images * quocnet.spread_back(answers, weight, SMALL, SHAPE)).sum()
    assert float(there) == pytest.approx(float(back), rel=1e-5)


def test_pooling_is_that_of_a_loop(images, weight):
    answers = quocnet.filtered(images, weight, SMALL)
    pooled = quocnet.pooled(answers, SMALL, epsilon=0.5)
    assert pooled.shape == (6, 3, 3, 4) and SMALL.output(SHAPE) == (3, 3, 4)
    for m in range(3):
        for i in range(3):
            for j in range(4):
                box = answers[:, m : m + 2, i : i + 2, j : j + 2].flatten(1)
                assert torch.allclose(pooled[:, m, i, j], (0.5 + box.square().sum(1)).sqrt(), atol=1e-6)


def test_contrast_is_normalised_as_in_a_loop():
    values = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def around(field, i, j):
        total = weights = 0
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                if 0 <= i + di < 5 and 0 <= j + dj < 6:
                    gauss = np.exp(-8 * (di**2 + dj**2) / 9)
                    total, weights = total + gauss * field[:, :, i + di, j + dj].mean(1), weights + gauss
        return total / weights

    def everywhere(field):
        lines = [torch.stack([around(field, i, j) for j in range(6)], 1) for i in range(5)]
        return torch.stack(lines, 1)[:, None]

    centred = values - everywhere(values)
    wanted = centred / everywhere(centred.square()).sqrt().clamp(min=0.2)
    assert torch.allclose(quocnet.contrast_normalised(values, 3, 0.2), wanted)


def test_contrast_does_not_matter_until_there_is_next_to_none():
    values = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    once = quocnet.contrast_normalised(values, 5)
    assert torch.allclose(once, quocnet.contrast_normalised(7 * values + 3, 5), atol=1e-9)
    faint = quocnet.contrast_normalised(1e-6 * values, 5)
    assert float(faint.abs().max()) < 1e-3


def test_whitening_leaves_the_middle_of_a_patch_without_neighbours():
    # Pixels that share a slow trend: whitened with next to nothing added, they are uncorrelated.
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2000, 2, 3, 3, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=9, mode="bilinear") + 0.3 * torch.rand(
        2000, 2, 9, 9, generator=generator
    )
    kernel = quocnet.whitening_kernel(smooth, 9, epsilon=1e-6)
    middle = nn.functional.conv2d(smooth - smooth.mean(0), kernel)[:, :, 0, 0]
    assert torch.allclose(middle.T @ middle / 2000, torch.eye(2), atol=1e-3)
    with pytest.raises(ValueError, match="expected an odd size that fits"):
        quocnet.whitening_kernel(smooth, 4)


def test_the_cost_by_hand(images, weight):
    error, sparsity = quocnet.reconstruction_ica(images, weight, SMALL)
    answers = quocnet.filtered(images, weight, SMALL)
    back = quocnet.spread_back(answers, weight, SMALL, SHAPE)
    assert torch.allclose(error, (back - images).square().sum((1, 2, 3)))
    assert torch.allclose(sparsity, quocnet.pooled(answers, SMALL).sum((1, 2, 3)))
    # Orthonormal filters that cover every pixel once put back what they saw.
    whole = Stage(field=3, stride=3, maps=18, pool=1)
    tiles = torch.rand(4, 2, 9, 9)
    turn = torch.linalg.qr(torch.randn(9, 18, 18))[0]
    error, _ = quocnet.reconstruction_ica(tiles, turn, whole)
    assert float(error.max()) < 1e-8


def test_training_lowers_the_cost_and_sees_no_labels(images):
    found = quocnet.learn_stage(images, SMALL, Schedule(20, batch=3, rate=1e-2))
    costs = found.history[:, 0] + quocnet.SPARSITY * found.history[:, 1]
    assert found.history.shape == (20, 2) and float(costs[-1]) < 0.8 * float(costs[0])
    again = quocnet.learn_stage(images, SMALL, Schedule(20, batch=3, rate=1e-2))
    assert torch.equal(found.weight, again.weight)
    other = quocnet.learn_stage(images, SMALL, Schedule(20, batch=3, rate=1e-2), seed=1)
    assert not torch.equal(found.weight, other.weight)


def test_an_interrupted_training_goes_on_to_the_same_end(images, tmp_path, monkeypatch):
    stages, schedules = (SMALL, NEXT), (Schedule(4, batch=4), Schedule(3, batch=4))
    whole, histories = quocnet.learn(images, stages, schedules, whitening=3)
    keep, kept = quocnet._keep, []

    def stopping(path, *rest):
        keep(path, *rest)
        kept.append(path.name)
        if len(kept) in (2, 6):
            raise KeyboardInterrupt

    monkeypatch.setattr(quocnet, "_keep", stopping)
    folder = tmp_path / "unfinished"
    for _ in range(2):  # in the second epoch of the first stage, then in the second of the next
        with pytest.raises(KeyboardInterrupt):
            quocnet.learn(images, stages, schedules, whitening=3, folder=folder)
    found, again = quocnet.learn(images, stages, schedules, whitening=3, folder=folder)
    assert kept == ["stage-1.safetensors"] * 4 + ["stage-2.safetensors"] * 3 and not folder.exists()
    assert all(torch.equal(one, other) for one, other in zip(whole.weights, found.weights, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(histories, again, strict=True))


def test_the_state_of_another_training_is_passed_over(images, tmp_path):
    path = tmp_path / "stage.safetensors"
    quocnet.learn_stage(images, SMALL, Schedule(2), seed=5, checkpoint=path)
    found = quocnet.learn_stage(images, SMALL, Schedule(2), checkpoint=path)
    assert torch.equal(found.weight, quocnet.learn_stage(images, SMALL, Schedule(2)).weight)
    others = quocnet.learn_stage(1 - images, SMALL, Schedule(2), checkpoint=path)
    assert torch.equal(others.weight, quocnet.learn_stage(1 - images, SMALL, Schedule(2)).weight)
    path.write_bytes(b"half a file")
    assert len(quocnet.learn_stage(images, SMALL, Schedule(2), checkpoint=path).history) == 2


def test_what_lies_beside_the_checkpoints_stays(images, tmp_path):
    own = tmp_path / "diary.txt"
    own.write_text("mine")
    for _ in range(2):
        quocnet.learn(images, [SMALL], [Schedule(1)], whitening=3, folder=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"] and own.read_text() == "mine"


def test_checkpoints_of_another_whitening_are_passed_over(images, tmp_path, monkeypatch):
    wanted, _ = quocnet.learn(images, [SMALL, NEXT], [Schedule(1)] * 2, whitening=3)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        quocnet.learn(images, [SMALL, NEXT], [Schedule(1)] * 2, whitening=5, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stage-1.safetensors", "stage-2.safetensors"]
    found, _ = quocnet.learn(images, [SMALL, NEXT], [Schedule(1)] * 2, whitening=3, folder=tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(found.weights, wanted.weights, strict=True))


SCRIPT = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from intriguing.models import quocnet
from intriguing.models.quocnet import Schedule, Stage

images = torch.rand(30, 2, 9, 11, generator=torch.Generator().manual_seed(3))
stages = Stage(3, 2, 4, 2, 2, 3), Stage(2, 1, 3, 1, 1, 3)
with quocnet.workers() as (rank, size):
    folder = Path(sys.argv[1])
    net, histories = quocnet.learn(images, stages, [Schedule(3, batch=7)] * 2, whitening=3, folder=folder / "kept")
    found = {str(i): weight.data for i, weight in enumerate(net.weights)}
    found |= {f"history {i}": history for i, history in enumerate(histories)}
    save_file(found, folder / f"{rank}-of-{size}.safetensors")
"""


@pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="this PyTorch has no gloo"
)
def test_two_processes_learn_what_one_does(tmp_path):
    from safetensors.torch import load_file

    script = tmp_path / "learn.py"
    script.write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = {"INTRIGUING_DEVICE": "cpu"}
    assert forked.ended(forked.start(script, tmp_path, **told)) == 0
    # What torchrun tells each of its processes.
    told |= {"TORCHELASTIC_RUN_ID": "two", "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [forked.start(script, tmp_path, RANK=rank, LOCAL_RANK=rank, **told) for rank in range(2)]
    assert [forked.ended(one) for one in both] == [0, 0]
    one, first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("0-of-1", "0-of-2", "1-of-2"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.allclose(one[name], first[name], rtol=1e-4, atol=1e-5) for name in one)
    assert not (tmp_path / "kept").exists()


def network(images):
    kernel = quocnet.whitening_kernel(images, 3)
    generator = torch.Generator().manual_seed(4)
    weights = [quocnet.initial_weight(SMALL, SHAPE, generator)]
    weights.append(quocnet.initial_weight(NEXT, SMALL.output(SHAPE), generator))
    return QuocNet((SMALL, NEXT), SHAPE, kernel, weights).eval()


def test_a_network_is_its_stages_one_after_the_other(images):
    net = network(images)
    values = net.whitened(images)
    assert values.shape == images.shape
    for stage, weight in zip(net.stages, net.weights, strict=True):
        values = quocnet.contrast_normalised(
            quocnet.pooled(quocnet.filtered(values, weight, stage), stage), stage.window
        )
    assert torch.equal(net(images), values.flatten(1)) and net.features == values[0].numel()
    other = quocnet.random_network(net, seed=1)
    assert other.features == net.features and not torch.equal(other.weights[0], net.weights[0])
    assert torch.equal(other.whitening, net.whitening)


def test_random_filters_are_not_those_with_which_the_training_without_labels_begins(images):
    untrained, _ = quocnet.learn(images, (SMALL, NEXT), [Schedule(0)] * 2, whitening=3, seed=0)
    other = quocnet.random_network(untrained, seed=0)
    for one, two in zip(untrained.weights, other.weights, strict=True):
        assert one.shape == two.shape and not torch.isclose(one, two).all()
        torch.testing.assert_close(one.norm(dim=1), two.norm(dim=1))  # drawn alike


def test_labels_shape_a_copy(images):
    net = network(images).requires_grad_(False)
    before = [weight.clone() for weight in net.weights]
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    found = quocnet.supervise(net, images, labels, Schedule(60, batch=6, rate=1e-2))
    assert all(torch.equal(one, other) for one, other in zip(before, net.weights, strict=True))
    vectors = torch.cat([found(images), torch.ones(6, 1)], 1)
    line = torch.linalg.lstsq(vectors, 2.0 * labels[:, None] - 1).solution
    assert ((vectors @ line)[:, 0] > 0).long().tolist() == labels.tolist()
    assert not found.training and not any(weight.requires_grad for weight in found.parameters())
    with pytest.raises(ValueError, match=r"got labels of shape \(3,\); expected one per image"):
        quocnet.supervise(net, images, labels[:3], Schedule(1))


def test_the_closest_picture_is_found_through_the_whole_network(images):
    net = network(images)
    vectors = net(images).detach()
    weight = torch.randn(net.features, generator=torch.Generator().manual_seed(0))
    middle = float((vectors @ weight).mean())
    head = Head(net, torch.zeros(net.features), torch.ones(net.features), weight, -middle).eval().requires_grad_(False)
    logits = head(images)
    assert logits.shape == (6, 2) and not logits[:, 0].any()
    found = minimum_distortion(head, images, 1 - logits.argmax(1), refine=True)
    assert bool(found.success.all()) and bool((head(found.images).argmax(1) != logits.argmax(1)).all())
    assert float(found.images.min()) >= 0 and float(found.images.max()) <= 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Stage(0, 1, 4, 1), "expected sizes of at least 1"),
        (lambda: Stage(3, 1, 4, 1, 5), "no more maps pooled"),
        (lambda: Stage(3, 1, 4, 1, window=4), "an odd window"),
        (lambda: SMALL.output((2, 2, 9)), "expected room for a field"),
        (lambda: Schedule(-1), "expected no negative epochs"),
        (lambda: quocnet.filtered(torch.rand(1, 2, 9, 9), torch.rand(20, 18, 4), SMALL), r"expected \(16, 18, maps\)"),
        (lambda: quocnet.learn_stage(torch.rand(0, *SHAPE), SMALL, Schedule(1)), "at least one, all finite"),
        (lambda: quocnet.learn_stage(torch.full((1, *SHAPE), torch.nan), SMALL, Schedule(1)), "with NaN"),
        (lambda: quocnet.learn(torch.rand(2, *SHAPE), [SMALL], []), "expected one for each stage"),
        (lambda: quocnet.learn(2 + torch.rand(2, *SHAPE), [SMALL], [Schedule(1)]), r"every pixel in \[0, 1\]"),
        (lambda: QuocNet((), SHAPE, torch.rand(2, 2, 3, 3), []), "expected at least one, paired"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("rate", [float("inf"), float("nan"), 0.0])
def test_a_rate_is_a_number_above_zero(rate):
    with pytest.raises(ValueError, match="finite rate above 0"):
        Schedule(1, rate=rate)


def test_weights_without_end_are_noticed(images):
    net = quocnet.random_network(quocnet.learn(images, [SMALL], [Schedule(0)], whitening=3)[0])
    with pytest.raises(FloatingPointError, match="lower the rate"):
        quocnet.supervise(net, images, torch.arange(6) % 2, Schedule(3, batch=2, rate=1e37))


def test_a_cost_without_end_is_noticed(images):
    with pytest.raises(FloatingPointError, match="lower the rate"):
        quocnet.learn_stage(images, SMALL, Schedule(30, rate=1e12))


def test_a_checkpoint_is_whole_or_absent(images, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, f"Cannot write {path}")

    monkeypatch.setattr(files, "write_atomically", full)
    with pytest.raises(OSError, match="Cannot write"):
        quocnet.learn_stage(images, SMALL, Schedule(1), checkpoint=tmp_path / "stage.safetensors")
    assert list(Path(tmp_path).iterdir()) == []
