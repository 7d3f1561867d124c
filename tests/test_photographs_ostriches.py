"""Figure 5 on networks small enough to check by hand: the draw, the chunks, amplification and 8 bits."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from intriguing.attack import perturbations
from intriguing.attack.distortion import minimum_distortion
from intriguing.chapters.photographs import ostriches


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))


def network(seed=0):
    torch.manual_seed(seed)
    return (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 12)).eval().requires_grad_(False)
    )


def test_the_draw_is_without_replacement_and_always_the_same():
    rows = ostriches.draw(1500, 64)
    assert len(rows.unique()) == 64 and int(rows.min()) >= 0 and int(rows.max()) < 1500
    assert torch.equal(rows, ostriches.draw(1500, 64)) and not torch.equal(rows, ostriches.draw(1500, 64, seed=1))
    assert torch.equal(ostriches.draw(1500, 8), rows[:8])  # a shorter draw is the beginning of a longer one
    assert ostriches.draw(5, 5).sort().values.tolist() == [0, 1, 2, 3, 4]
    counts = sum(torch.bincount(ostriches.draw(10, 3, seed=seed), minlength=10) for seed in range(400))
    assert int(counts.min()) > 80 and int(counts.max()) < 160  # 120 each, and no photograph is preferred
    for wrong in (0, 11):
        with pytest.raises(ValueError, match=f"got {wrong} photographs to draw; expected 1 to 10 of 10"):
            ostriches.draw(10, wrong)


def test_the_attack_is_as_short_as_the_search_and_is_kept(monkeypatch):
    model, images = network(), torch.rand(6, 3, 8, 8)
    targets = torch.full((6,), ostriches.OSTRICH)
    found = ostriches.attack(model, images, targets)
    direct = minimum_distortion(model, images, targets, refine=True)
    assert bool(found.success.all()) and torch.equal(model(found.images).argmax(1), targets)
    assert torch.allclose(found.rms, direct.rms, rtol=5e-3)
    assert torch.allclose(found.rms, (found.images - images).double().square().flatten(1).mean(1).sqrt())
    assert float(found.images.min()) >= 0 and float(found.images.max()) <= 1
    monkeypatch.setattr(ostriches, "_solve", functools.wraps(ostriches._solve)(lambda *_: pytest.fail("solved twice")))
    assert torch.equal(ostriches.attack(model, images, targets).rms, found.rms)
    with pytest.raises(pytest.fail.Exception, match="solved twice"):
        ostriches.attack(network(1), images, targets)


def test_photographs_at_which_no_projection_arrives_begin_on_the_other_side(monkeypatch):
    """The second start alone has to be nearly as good as the first one."""
    model, images = network(), torch.rand(4, 3, 8, 8)
    targets = (model(images).argmax(1) + 1) % 12
    direct, inner, starts = ostriches.attack(model, images, targets), ostriches.refine, []

    def never_from_the_photograph(classify, clean, aims, margin, *, start=None):
        starts.append(start)
        if start is None:
            return clean.clone(), torch.zeros(len(clean), dtype=torch.bool), torch.ones(len(clean), dtype=torch.long)
        return inner(classify, clean, aims, margin, start=start)

    monkeypatch.setattr(ostriches, "refine", never_from_the_photograph)
    found = ostriches.Distortion(**ostriches._solve(model, images, targets))
    assert len(starts) == 2 and bool(
        (perturbations.logit_margin(model(starts[1].view(images.shape)), targets) > 0).all()
    )
    assert bool(found.success.all()) and torch.allclose(found.rms, direct.rms, rtol=0.1)
    assert bool((found.rms < (starts[1].view(images.shape) - images).square().flatten(1).mean(1).sqrt()).all())


def test_an_image_on_the_edge_itself_is_no_success(monkeypatch):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).eval().requires_grad_(False)
    model[1].weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0]]))
    model[1].bias.copy_(torch.tensor([0.0, -0.5]))  # the target leads where the first colour exceeds one half
    images, edge, one = torch.zeros(1, 3, 1, 1), torch.tensor([[0.5, 0, 0]]), torch.ones(1, dtype=torch.long)
    monkeypatch.setattr(ostriches, "refine", lambda *_, start=None: (edge, one.bool(), one))
    monkeypatch.setattr(ostriches, "overstep", lambda *_: (edge, one))
    assert not ostriches._solve(model, images, one)["success"].any()
    edge[0, 0] += 1e-3
    assert ostriches._solve(model, images, one)["success"].all()


def test_an_ostrich_stays_as_it_is_and_an_impossible_one_is_reported():
    model, images = network(), torch.rand(3, 3, 8, 8)
    own = ostriches.attack(model, images, model(images).argmax(1))
    assert own.success.all() and torch.equal(own.images, images) and float(own.rms.sum()) == 0
    with torch.no_grad():
        model[-1].weight[5], model[-1].bias[5] = 0, -100  # no image is of class 5
    never = ostriches.attack(model, images, torch.full((3,), 5))  # other weights, so nothing that is kept fits
    assert not never.success.any() and float(never.images.min()) >= 0 and float(never.images.max()) <= 1
    with pytest.raises(ValueError, match="training mode"):
        ostriches.attack(model.train(), images, torch.zeros(3, dtype=torch.long))


def test_one_step_is_enough_on_a_linear_network():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    clean, targets = torch.tensor([[0.8, 0.3], [0.2, 0.6]]), torch.tensor([1, 1])
    x, passes = ostriches.overstep(lambda flat: flat @ weights.T, clean, targets, torch.tensor([0.1, 0.1]))
    assert passes.tolist() == [2, 1] and torch.equal(x[1], clean[1])  # one step and a look, or only a look
    # lead -0.5, wanted 0.1: 1.1 times 0.6 along (-1, 1) / 2
    assert torch.allclose(x[0], torch.tensor([0.8 - 0.33, 0.3 + 0.33]))
    assert perturbations.logit_margin(x, targets).tolist() == pytest.approx([0.16, 0.4], abs=1e-6)


def test_a_file_holds_multiples_of_one_step():
    images = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0])
    assert torch.allclose(ostriches.rounded(images) * 255, torch.tensor([0.0, 0.0, 1.0, 254.0, 255.0]))
    clean = torch.randint(0, 256, (2, 3, 4, 4)).float() / 255
    assert torch.equal(ostriches.rounded(clean + 0.4 / 255), ostriches.rounded(clean))


def test_amplified_perturbations_by_hand():
    """A linear network of two classes: class 1 where the sum of a single pixel's channels exceeds 1."""

    def model(images):
        total = images.flatten(1).sum(1)
        return torch.stack([torch.ones_like(total), total], 1)

    clean = torch.tensor([[90, 80, 80], [60, 60, 60]]).view(2, 3, 1, 1) / 255  # 250 and 180 of the 255 needed
    step = torch.tensor([[5.2, 0.0, 0.0], [0.0, 0.3, 0.0]]).view(2, 3, 1, 1) / 255
    found = ostriches.amplify(model, clean, clean + step, torch.ones(2, dtype=torch.long), [1, 2, 300], chunk=1)
    assert found.hit.tolist() == [[True, False], [True, False], [True, True]]
    # 5.2 steps become 5, which only meets the other class; 0.3 become none; 90 become 90; 1560 are cut to 165
    assert found.rounded_hit.tolist() == [[False, False], [True, False], [True, True]]
    assert torch.allclose(found.rms * 255 * 3**0.5, torch.tensor([[5.2, 0.3], [10.4, 0.6], [165, 90]]).double())
    assert torch.allclose(found.rounded_rms * 255 * 3**0.5, torch.tensor([[5.0, 0], [10, 1], [165, 90]]).double())
    assert found.probability[0, 0] == pytest.approx(1 / (1 + 2.718281828 ** (-0.2 / 255)), abs=1e-6)
    assert found.factors.tolist() == [1, 2, 300]


def test_chunks_change_nothing():
    model, images = network(), torch.rand(5, 3, 8, 8)
    other = (images + 0.05 * torch.randn(images.shape)).clamp(0, 1)
    targets = torch.arange(5)
    one, two = (ostriches.amplify(model, images, other, targets, (1, 3), chunk=size) for size in (2, 5))
    for field in vars(one):
        torch.testing.assert_close(getattr(one, field), getattr(two, field))


def test_transfer_between_two_networks():
    """What the page does where it has two networks: the examples of one, shown to the other."""
    models = {"one": network(0), "two": network(1)}
    images = torch.rand(6, 3, 8, 8)
    first, second = (model(images).argmax(1) for model in models.values())
    targets = torch.tensor([next(c for c in range(12) if c not in pair) for pair in zip(first, second, strict=True)])
    sets = {name: ostriches.attack(model, images, targets).images for name, model in models.items()}
    labels = torch.where(torch.arange(6) < 4, first, (first + 1) % 12)  # "one" misreads the last two by decree
    shares = ostriches.transferred(models, images, labels, sets | {"nothing": images})
    assert shares["one"][0] == 1.0 and shares["nothing"][0] == 0.0
    kept = second == labels
    wrong = models["two"](sets["one"]).argmax(1) != labels
    expected = float(wrong[kept].double().mean()) if kept.any() else float("nan")
    assert shares["one"][1] == pytest.approx(expected, nan_ok=True)


def test_a_network_that_reads_nothing_has_no_share():
    images = torch.rand(2, 3, 8, 8)
    labels = (network()(images).argmax(1) + 1) % 12
    (share,) = ostriches.transferred({"one": network()}, images, labels, {"one": images})["one"]
    assert share != share
