"""Ways out of a class, against closed forms on planes and circles and the certified optimum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from intriguing.attack import boundary
from intriguing.attack.boundary import aligned_frames, exit_along, nearest_exit, orthogonal_exits
from intriguing.attack.oracles import exact_linear_distortion


def linear(classes: int = 5, pixels: int = 30, seed: int = 0) -> nn.Sequential:
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(classes, pixels, generator=generator))
        model[1].bias.copy_(torch.randn(classes, generator=generator))
    return model.eval().requires_grad_(False)


def pictures(count: int = 6, pixels: int = 30, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 1, 1, pixels, generator=torch.Generator().manual_seed(seed))


def planes(model: nn.Sequential, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Leads over the rivals in increasing order, (B, k - 1), and their gradients, (B, k - 1, n)."""
    weight, logits = model[1].weight.double(), model.double()(images.double())
    others = [[j for j in range(len(weight)) if j != int(label)] for label in labels]
    lead = torch.stack([z[y] - z[o] for z, y, o in zip(logits, labels, others, strict=True)])
    slope = torch.stack([weight[y] - weight[o] for y, o in zip(labels, others, strict=True)])
    return lead, slope


class Circle(nn.Module):
    """Class 0 inside a ball around the middle of the box, class 1 outside."""

    def __init__(self, radius: float) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        square = (x.flatten(1) - 0.5).square().sum(1)
        return torch.stack([torch.full_like(square, self.radius**2), square], 1)


def test_nearest_exit_from_a_linear_class():
    model, images = linear(), pictures()
    labels = model(images).argmax(1)
    found = nearest_exit(model, images, labels)
    lead, slope = planes(model, images, labels)
    distance = lead / slope.norm(dim=2)
    nearest = distance.argmin(1)
    assert torch.allclose(found.rms, distance.amin(1) / 30**0.5, rtol=2e-4)
    assert torch.allclose(found.each.norm(dim=2), distance, rtol=2e-4)
    normal = -torch.nn.functional.normalize(slope[torch.arange(6), nearest], dim=1)
    assert torch.allclose(found.normals, normal, atol=1e-9)
    after = model.double()(images.double() + found.ways.view_as(images)).argmax(1)
    assert bool((after != labels).all())


def test_no_pass_is_made_once_a_linear_network_is_left():
    """One pass to the plane, one to see that it is reached, then only the way back and the normal."""
    asked = []
    model, images = linear(2), pictures(1)
    labels = model(images).argmax(1)
    model.register_forward_pre_hook(lambda module, given: asked.append(len(given[0])))
    nearest_exit(model, images, labels, box=False)
    tried = 4  # what it is asked before any work: twice, alone, and for a gradient
    assert len(asked) == tried + 1 + 2 + boundary.HALVINGS + 1


def test_boxed_exit_is_the_certified_optimum():
    model, images = linear(), pictures()
    labels = model(images).argmax(1)
    found = nearest_exit(model, images, labels, box=True)
    weight, bias = model[1].weight, model[1].bias
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        exact = min(exact_linear_distortion(weight, bias, image, target).rms for target in range(5) if target != label)
        assert float(found.rms[i]) == pytest.approx(exact, rel=5e-4)
    moved = images.double() + found.ways.view_as(images)
    assert float(moved.min()) >= -1e-12 and float(moved.max()) <= 1 + 1e-12


def test_nearest_exit_from_a_ball():
    """A curved boundary: the nearest point lies along the radius, and no sphere of linearisations hides it."""
    images = torch.full((1, 1, 1, 12), 0.5)
    images[0, 0, 0, 0] += 0.1
    found = nearest_exit(Circle(0.3).eval(), images, torch.tensor([0]))
    assert float(found.rms) * 12**0.5 == pytest.approx(0.2, rel=1e-3)
    assert float(found.normals[0, 0]) == pytest.approx(1, abs=1e-3)


def test_nearest_exit_from_an_ellipse():
    """The boundary is curved otherwise everywhere, so that the first plane does not touch it where it is nearest."""
    axes = torch.tensor([0.9, 0.3], dtype=torch.float64)

    class Ellipse(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            square = ((x.flatten(1) - 0.5) / axes.to(x)).square().sum(1)
            return torch.stack([torch.ones_like(square), square], 1)

    images = torch.tensor([[0.7, 0.6], [0.35, 0.55], [0.95, 0.5001]], dtype=torch.float64).view(3, 1, 1, 2)
    found = nearest_exit(Ellipse().eval(), images, torch.zeros(3, dtype=torch.long), box=False)
    angle = torch.linspace(0, 2 * torch.pi, 200_001, dtype=torch.float64)
    curve = 0.5 + axes * torch.stack([angle.cos(), angle.sin()], 1)
    nearest = torch.cdist(images.flatten(1), curve).amin(1)
    assert torch.allclose(found.ways.norm(dim=1), nearest, rtol=2e-3)


@pytest.mark.parametrize(
    ("height", "pace", "share", "worst"), [(0.05, 10, 0.9, 1.1), (0.1, 10, 0.98, 1.05), (0.02, 30, 0.75, 1.3)]
)
def test_shorter_steps_find_the_exit_where_the_boundary_waves(height, pace, share, worst):
    """A full step to the next plane loses the class again and again: only shorter and shorter ones come to rest."""

    class Wave(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            right, up = x.flatten(1).T
            return torch.stack([0.7 + height * (pace * up).sin(), right], 1)

    images = torch.rand(60, 1, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images[..., 0] *= 0.5
    found = nearest_exit(Wave().eval(), images, torch.zeros(60, dtype=torch.long), box=False)
    up = torch.linspace(-1, 2, 60_001, dtype=torch.float64)
    nearest = torch.cdist(images.flatten(1), torch.stack([0.7 + height * (pace * up).sin(), up], 1)).amin(1)
    ratio = found.ways.norm(dim=1) / nearest
    assert float((ratio < 1.001).double().mean()) > share and float(ratio.max()) < worst


def test_a_misread_image_is_its_own_exit():
    model, images = linear(), pictures(2)
    labels = (model(images).argmax(1) + 1) % 5
    found = nearest_exit(model, images, labels)
    assert bool((found.rms == 0).all()) and bool((found.ways == 0).all())


def test_following_few_rivals_is_exact_on_a_linear_network():
    model, images = linear(10), pictures(8)
    labels = model(images).argmax(1)
    every, few, more = (nearest_exit(model, images, labels, rivals=rivals, chunk=3).rms for rivals in (None, 2, 10))
    assert torch.allclose(every, few, rtol=1e-6) and torch.equal(every, more)  # no more than there are


def test_exits_inside_a_subspace():
    model, images = linear(), pictures()
    labels = model(images).argmax(1)
    frame = boundary.random_frames(6, 7, 30, seed=2)
    found = nearest_exit(model, images, labels, within=frame)
    lead, slope = planes(model, images, labels)
    reach = torch.bmm(slope, frame.mT).norm(dim=2)
    assert torch.allclose(found.rms, (lead / reach).amin(1) / 30**0.5, rtol=2e-4)
    inside = torch.bmm(torch.bmm(found.ways[:, None], frame.mT), frame)[:, 0]
    assert torch.allclose(inside, found.ways, atol=1e-8)


def test_a_linear_network_has_as_many_exits_at_right_angles_as_rivals():
    model, images = linear(), pictures(3)
    labels = model(images).argmax(1)
    lengths, basis = orthogonal_exits(model, images, labels, 6)
    assert lengths.isfinite().sum(1).tolist() == [4, 4, 4]
    assert bool((lengths.diff(dim=1)[:, :3] >= -1e-9).all())
    gram = torch.bmm(basis[:, :4], basis[:, :4].mT)
    assert torch.allclose(gram, torch.eye(4).double().expand(3, 4, 4), atol=1e-6)
    assert torch.allclose(lengths[:, 0], nearest_exit(model, images, labels).rms)


def test_a_way_that_was_missed_takes_its_place(monkeypatch):
    """The second search finds a nearer way than the first, which it may not: the first has missed it."""
    found = iter([(0.3, 0), (0.2, 1), (0.5, 2)])

    def search(model, images, labels, *, avoid):
        length, axis = next(found)
        ways = torch.zeros(1, 4, dtype=torch.float64)
        ways[0, axis] = 2 * length
        return boundary.Exits(ways, torch.tensor([length], dtype=torch.float64), ways, ways[:, None])

    monkeypatch.setattr(boundary, "nearest_exit", search)
    lengths, basis = orthogonal_exits(nn.Identity(), torch.zeros(1, 1, 2, 2), torch.tensor([0]), 3)
    assert lengths.tolist() == [[0.2, 0.3, 0.5]]
    assert basis[0].argmax(1).tolist() == [1, 0, 2]


def test_a_box_and_a_subspace_do_not_go_together():
    with pytest.raises(ValueError, match="got a box and a subspace; expected one"):
        nearest_exit(linear(), pictures(1), torch.tensor([0]), box=True, avoid=torch.zeros(1, 1, 30))


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        nearest_exit(linear().train(), pictures(1), torch.tensor([0]))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 25), st.integers(0, 1000))
def test_aligned_frames_share_the_normal_equally(count, seed):
    generator = torch.Generator().manual_seed(seed)
    normals = torch.nn.functional.normalize(torch.randn(3, 25, generator=generator).double(), dim=1)
    frames = aligned_frames(normals, count, seed=seed)
    assert torch.allclose(torch.bmm(frames, frames.mT), torch.eye(count).double().expand(3, -1, -1), atol=1e-9)
    components = (frames * normals[:, None]).sum(2)
    assert torch.allclose(components, torch.full_like(components, count**-0.5), atol=1e-9)


def test_exit_along_a_direction_of_a_linear_network():
    model, images = linear(), pictures()
    labels = model(images).argmax(1)
    lead, slope = planes(model, images, labels)
    rays = boundary.random_frames(6, 4, 30, seed=3)
    rays = torch.cat([rays, -rays], 1)
    fall = -torch.einsum("bjn,bdn->bdj", slope, rays)
    expected = torch.where(fall > 0, lead[:, None] / fall, torch.inf).amin(2) / 30**0.5
    nearest = nearest_exit(model, images, labels).rms
    found = exit_along(model.double(), images.double(), labels, rays, nearest, farthest=100)
    reached = expected < 99 * nearest[:, None]
    assert bool((found.isfinite() >= reached).all()) and bool(found[~reached].isinf().any() or reached.all())
    assert torch.allclose(found[reached], expected[reached], rtol=1e-3)


@pytest.mark.parametrize(("times", "found"), [(260.0, True), (270.0, False)])
def test_a_line_is_followed_to_265_times_the_nearest_exit(times, found):
    """The page on density says where the search along random lines ends."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).double().eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        model[1].bias = nn.Parameter(torch.tensor([times * 2**0.5, 0.0], dtype=torch.float64))
    image, ray = torch.zeros(1, 1, 1, 2, dtype=torch.float64), torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    away = exit_along(model, image, torch.tensor([0]), ray, torch.tensor([1.0], dtype=torch.float64))
    assert bool(away.isfinite().all()) is found


def test_no_exit_along_a_direction_that_changes_nothing():
    model = linear(3, 8)
    with torch.no_grad():
        model[1].weight[:, 5:] = 0
    images = pictures(1, 8)
    labels = model(images).argmax(1)
    ray = torch.zeros(1, 1, 8)
    ray[0, 0, 6] = 1
    assert exit_along(model, images, labels, ray, torch.tensor([0.01])).item() == float("inf")


def spoiled(answer):
    """A module that does something to the logits of a linear one."""

    class Spoiled(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = linear(3)

        def forward(self, x):
            return answer(self.model(x))

    return Spoiled().eval()


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda logits: {"logits": logits}, TypeError, "got dict from the model"),
        (lambda logits: logits[:, 0], ValueError, "shape"),
        (lambda logits: logits + torch.randn_like(logits), ValueError, "asked for again"),
        (lambda logits: logits - logits.mean(0), ValueError, "alone than in a batch"),
    ],
)
def test_models_that_are_no_function_of_the_image_are_refused_in_a_sentence(answer, error, message):
    images, labels = pictures(2), torch.zeros(2, dtype=torch.long)
    rays = boundary.random_frames(2, 1, images[0].numel())
    with pytest.raises(error, match=message):
        nearest_exit(spoiled(answer), images, labels)
    with pytest.raises(error, match=message):
        exit_along(spoiled(answer), images, labels, rays, torch.ones(2))


def test_a_masked_class_is_no_rival():
    model, images = linear(3), pictures(3)
    labels = model(images).argmax(1)
    masked = spoiled(lambda logits: nn.functional.pad(logits, (0, 2), value=-torch.inf))
    masked.model = model
    torch.testing.assert_close(nearest_exit(masked, images, labels).rms, nearest_exit(model, images, labels).rms)
    torch.testing.assert_close(
        nearest_exit(masked, images, labels, rivals=1).rms, nearest_exit(model, images, labels, rivals=1).rms
    )


def test_a_network_in_its_own_precision_has_exits_too():
    model, images = linear(3), pictures(3)
    labels = model(images).argmax(1)
    single = spoiled(lambda logits: logits)
    single.model, single.forward = model, lambda x: model(x.float())
    torch.testing.assert_close(nearest_exit(single, images, labels).rms, nearest_exit(model, images, labels).rms)


def test_exits_under_inference_mode():
    model, images = linear(3), pictures(3)
    labels = model(images).argmax(1)
    right = nearest_exit(model, images, labels).rms
    with torch.inference_mode():
        assert torch.equal(nearest_exit(model, images, labels).rms, right)
        assert torch.equal(nearest_exit(model, images.clone().double(), labels.clone()).rms, right)


def test_no_exit_along_in_training_mode_and_along_directions_of_another_length():
    model, images = linear(3), pictures(2)
    labels, rays = model(images).argmax(1), boundary.random_frames(2, 1, images[0].numel())
    with pytest.raises(ValueError, match="unit vectors"):
        exit_along(model, images, labels, 5 * rays, torch.ones(2))
    with pytest.raises(ValueError, match="training mode"):
        exit_along(nn.Sequential(model, nn.Dropout()), images, labels, rays, torch.ones(2))
    assert exit_along(model, images[:0], labels[:0], rays[:0], torch.ones(0)).shape == (0, 1)
