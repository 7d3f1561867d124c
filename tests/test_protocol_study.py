"""Protocols: grids of c against the exact search and closed forms, heads against scikit-learn, tables by hand."""

import math

import pytest
import torch
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.penalty import ONE_FOR_ALL, coarse_search, grid_distortion, grid_search, penalty_path
from intriguing.attack.perturbations import random_targets, wrong_classes
from intriguing.chapters.protocol import study
from intriguing.chapters.protocol.study import BASE, Protocol, Sweep
from intriguing.data import Digits, Images
from intriguing.models.recipes import build
from intriguing.models.training import error_rate

CHANCE = torch.Generator().manual_seed(3)


def network(seed=0, pixels=64, classes=10):
    """A mildly bent network that reads every class somewhere near the grey image."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 40), nn.Sigmoid(), nn.Linear(40, classes))
    with torch.no_grad():
        for layer, size in ((model[1], 0.3), (model[3], 3.0)):
            weight = size * torch.randn(layer.weight.shape, generator=generator)
            layer.weight.copy_(weight - weight.mean(1, keepdim=True))
            layer.bias.zero_()
    return model.eval().requires_grad_(False)


def pictures(count, pixels=64, seed=1):
    side = int(math.sqrt(pixels))
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 + 0.4 * torch.rand(count, 1, side, side, generator=generator)
    return images, torch.randint(0, 10, (count,), generator=generator)


def test_two_classes_and_no_active_bound_have_a_closed_form():
    # c |r|^2 + log(1 + exp(-(m + w r))): r = t w with 2 c t = 1 / (1 + exp(m + t w.w)), here checked as a residual.
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, dtype=torch.float64)).eval().requires_grad_(False)
    model[1].weight.copy_(torch.tensor([[0.3, -0.2, 0.1, 0.0], [-0.3, 0.2, -0.1, 0.0]], dtype=torch.float64))
    model[1].bias.zero_()
    images = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    penalties = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    moved, gaps = grid_distortion(model, images, torch.tensor([0]), penalties)
    w = torch.tensor([0.6, -0.4, 0.2, 0.0], dtype=torch.float64)
    r = (moved - images[:, None]).flatten(2)[0]
    t = (r @ w) / (w @ w)
    assert torch.allclose(r, t[:, None] * w, atol=1e-6)
    margin = float(w @ images.flatten())
    assert torch.allclose(2 * penalties * t, 1 / (1 + torch.exp(margin + t * (w @ w))), atol=1e-4)
    assert torch.allclose(gaps[0], margin + t * (w @ w), atol=1e-9)


@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_a_grid_of_one_image_is_its_penalty_path(norm):
    model, (images, labels) = network(), pictures(3)
    targets = random_targets(labels)
    penalties = torch.logspace(-1.5, -0.3, 4, dtype=torch.float64)
    moved, gaps = grid_distortion(model, images, targets, penalties, norm=norm)
    for i in range(3):
        path, leads = penalty_path(model, images[i], int(targets[i]), penalties, norm=norm, max_iterations=100)
        assert torch.allclose(moved[i].double(), path, atol=5e-4)  # in float32, which processors round differently
        assert torch.allclose(gaps[i], leads, atol=2e-3)
    one_each, _ = grid_distortion(model, images, targets, penalties.expand(3, -1), norm=norm)
    assert torch.equal(one_each, moved)


def test_the_coarse_search_is_the_search_over_the_whole_grid():
    model, (images, labels) = network(), pictures(24)
    targets = random_targets(labels)
    exact = minimum_distortion(model, images, targets)
    assert exact.success.all()
    ratio = 1.7
    found, reached = coarse_search(model, images, targets, exact.penalty, ratio)
    grid = ratio ** torch.arange(-25, 12, dtype=torch.float64)
    expected, there = grid_search(model, images, targets, grid)
    expected = torch.where((exact.rms == 0)[:, None, None, None], images, expected)
    assert reached.all() and there.all()
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_grid_search_takes_the_largest_c_that_succeeds():
    model, (images, labels) = network(), pictures(6)
    targets = random_targets(labels)
    grid = torch.tensor([1e-3, 1e-2, 1e-1, 1.0, 1e3], dtype=torch.float64)
    moved, gaps = grid_distortion(model, images, targets, grid)
    found, reached = grid_search(model, images, targets, grid)
    assert reached.all() and not (gaps[:, -1] > 0).all()
    for i in range(6):
        best = max(j for j in range(len(grid)) if gaps[i, j] > 0)
        assert torch.equal(found[i], moved[i, best])
    hopeless = model(images).argmin(1)
    found, reached = grid_search(model, images, hopeless, torch.tensor([1e3, 1e4], dtype=torch.float64))
    assert not reached.any() and torch.equal(found, images)


def test_a_coarser_search_costs_distortion_and_one_c_for_all_reaches_every_target():
    model, (images, labels) = network(), pictures(24)
    targets = random_targets(labels)
    exact = minimum_distortion(model, images, targets)
    sizes = {}
    for ratio in (1.05, 2.0, 16.0, ONE_FOR_ALL):
        found, reached = coarse_search(model, images, targets, exact.penalty, ratio)
        assert reached.all() and error_rate(model, found, targets) == 0
        sizes[ratio] = float((found - images).flatten(1).square().mean(1).sqrt().mean())
    mean = float(exact.rms.mean())
    assert 0.999 * mean < sizes[1.05] < 1.05 * mean
    assert sizes[1.05] < sizes[2.0] < sizes[16.0]
    assert sizes[ONE_FOR_ALL] > sizes[2.0]


def test_images_that_need_no_search_come_back_unchanged():
    model, (images, _) = network(), pictures(4)
    targets = model(images).argmax(1)
    edges = minimum_distortion(model, images, targets).penalty
    found, reached = coarse_search(model, images, targets, edges, 2.0)
    assert reached.all() and torch.equal(found, images)
    found, reached = coarse_search(model, images, targets, torch.full_like(edges, torch.nan), 2.0)
    assert not reached.any() and torch.equal(found, images)


@pytest.fixture
def sweep(monkeypatch, tmp_path):
    """A sweep over tiny data whose networks are random instead of trained; counts how many it is asked for."""
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    images, labels = pictures(12, pixels=784)
    part = [Images(images[i::3], labels[i::3], f"part {i}") for i in range(3)]
    digits = Digits(Images(images, labels, "train"), part[2], part[0], part[1], "tiny")
    made = []

    class Stub:
        def __init__(self, name, part, *, seed, per_unit, max_iterations=None, decay=None):
            made.append((name, part.name, seed, per_unit, max_iterations, decay))
            encoded = name == "AE400-10"
            self.model = build(name).eval() if encoded else network(seed=len(made), pixels=784)
            self.model.requires_grad_(False)

    monkeypatch.setattr(study, "trained", Stub)
    found = Sweep(digits, 4)
    found.made = made
    return found


def everything(sweep, choice):
    return sweep._tables_1_and_2(choice) | sweep._tables_3_and_4(choice)


def test_a_sweep_trains_what_a_protocol_changes_and_nothing_else(sweep):
    everything(sweep, BASE)
    assert [(name, part, seed) for name, part, seed, *_ in sweep.made[-3:]] == [
        ("FC100-100-10", "part 0", 0),
        ("FC123-456-10", "part 0", 0),
        ("FC100-100-10", "part 1", 1),
    ]
    assert len(sweep.made) == 9 and all(made[3:] == (False, None, None) for made in sweep.made)
    everything(sweep, Protocol(ratio=2.0, clip=True))
    assert len(sweep.made) == 9
    everything(sweep, Protocol(linear=0.5))
    assert [(name, decay) for name, *_, decay in sweep.made[9:]] == [
        ("FC10(1e-4)", (5e-5,)),
        ("FC10(1e-2)", (5e-3,)),
        ("FC10(1)", (0.5,)),
    ]
    everything(sweep, Protocol(per_unit=True))
    assert [(name, per_unit) for name, _, _, per_unit, *_ in sweep.made[12:]] == [
        (name, True) for name in ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)")
    ]


def test_an_early_end_trains_the_softmax_anew_and_leaves_its_encoder(sweep):
    train = sweep.digits.train
    before = sweep.network("AE400-10", BASE)
    after = sweep.network("AE400-10", Protocol(iterations=60))
    assert torch.equal(after[1].weight, before[1].weight)
    assert error_rate(before, train.images, train.labels) > 0.5
    assert error_rate(after, train.images, train.labels) == 0
    assert error_rate(sweep.network("AE400-10", Protocol(iterations=1)), train.images, train.labels) > 0


def test_the_tables_of_a_sweep_by_hand(sweep):
    tables = everything(sweep, BASE)
    assert [tuple(tables[f"table{i}"].shape) for i in (1, 2, 3, 4)] == [(6, 3), (8, 7), (3, 4), (8, 4)]
    assert torch.equal(tables["table2"][:6, :6].diagonal(), torch.ones(6, dtype=torch.float64))
    assert torch.equal(tables["table2"][:6, 6], tables["table1"][:, 2])
    assert tables["table2"][6:, 6].tolist() == [0.1, 0.3]
    assert tables["table4"][:, 3].tolist()[3:] == [0.06, 0.1, 0.1, 0.1, 0.1]
    assert torch.equal(tables["table4"][:3, 3], tables["table3"][:, 3])
    model, clean = sweep.network("FC10(1)", BASE), sweep.clean()
    exact = minimum_distortion(model, clean.images, random_targets(clean.labels))
    assert float(tables["table1"][2, 2]) == pytest.approx(float(exact.rms.mean()), rel=1e-5)
    other = sweep.network("AE400-10", BASE)
    assert float(tables["table2"][2, 5]) == error_rate(other, exact.images, clean.labels)


def test_targets_of_a_protocol(sweep):
    clean = sweep.clean()
    model = sweep.network("FC10(1)", BASE)
    shapes = {}
    for target in study.TARGETS:
        found = sweep.distorted("FC10(1)", Protocol(target=target))
        shapes[target] = found.shape[1]
        read = model(found.flatten(0, 1)).argmax(1).view(len(clean), -1)
        if target == "next class":
            assert torch.equal(read[:, 0], (clean.labels + 1) % 10)
        if target == "mean of nine":
            assert torch.equal(read, wrong_classes(clean.labels))
            sizes = (found - clean.images[:, None]).flatten(2).norm(dim=2)
        if target == "nearest":
            nearest = (found[:, 0] - clean.images).flatten(1).norm(dim=1)
            assert torch.allclose(nearest, sizes.amin(1))
    assert shapes == {"random": 1, "next class": 1, "mean of nine": 9, "nearest": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "worst"}, "got target 'worst'; expected one of"),
        ({"ratio": 0.5}, "got ratio 0.5; expected at least 1"),
        ({"linear": 0.0}, "got factors .*; expected both above 0"),
    ],
)
def test_protocols_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**options)


def test_the_grid_refuses():
    model, (images, labels) = network(), pictures(2)
    for penalties, norm, message in (
        (torch.tensor([0.0, 1.0]), "squared", "got c = 0.0; expected values above 0"),
        (torch.ones(3, 2), "squared", r"got penalties of shape .*; expected \(P,\) or \(2, P\)"),
        (torch.ones(2), "cubed", "got norm 'cubed'; expected"),
    ):
        with pytest.raises(ValueError, match=message):
            grid_distortion(model, images, labels, penalties, norm=norm)


def test_grids_name_bad_input():
    model, (images, labels) = network(), pictures(3)
    targets, c, edges = random_targets(labels), torch.tensor([0.1, 0.2]), torch.full((3,), 0.1)
    with pytest.raises(ValueError, match="got target .*; expected targets below 10"):
        grid_distortion(model, images, targets + 10, c)
    broken = network()
    broken[1].weight[0] = math.nan
    with pytest.raises(ValueError, match="got NaN or infinity; expected finite logits"):
        grid_distortion(broken, images, targets, c)
    for wrong in (c[:0], c.expand(3, 2), c.flip(0)):
        with pytest.raises(ValueError, match=r"got penalties of shape .*; expected \(P,\) in increasing order"):
            grid_search(model, images, targets, wrong)
    for ratio in (1.0, 0.5, -2.0, math.nan):
        with pytest.raises(ValueError, match="got ratio .*; expected"):
            coarse_search(model, images, targets, edges, ratio)
    for wrong in (edges[:2], edges[:1], -edges, 0 * edges):
        with pytest.raises(ValueError, match="got edges of shape .*; expected"):
            coarse_search(model, images, targets, wrong, 2.0)
    with pytest.raises(TypeError, match="got edges of type list; expected a tensor"):
        coarse_search(model, images, targets, [0.1] * 3, 2.0)
