"""Tilting: the geometry against hand-worked cases, the closed forms against SciPy, the projection and the search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.polyhedron import project_polyhedron
from intriguing.chapters.tilting import geometry
from intriguing.chapters.tilting.geometry import Boundary


def _random(rows: int, n: int, seed: int) -> tuple[torch.Tensor, Boundary]:
    """Mostly black pictures, as digits are, and a boundary some of whose weights are exactly zero."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(rows, n, generator=generator, dtype=torch.float64)
    points = points * (torch.rand(rows, n, generator=generator) > 0.6)
    weight = torch.randn(n, generator=generator, dtype=torch.float64)
    weight = weight * (torch.rand(n, generator=generator) > 0.2)
    return points, Boundary(weight, 0.1)


def _two(rows: int = 40, n: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    second = torch.arange(rows) % 3 == 0
    return torch.randn(rows, n, generator=generator, dtype=torch.float64) + 2.0 * second[:, None], second


def test_nearest_centroid_by_hand() -> None:
    points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [4.0, 1.0]], dtype=torch.float64)
    line = geometry.nearest_centroid(points, torch.tensor([False, False, True]))
    assert torch.allclose(line.weight, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert line.bias == pytest.approx(-2.0)


def test_nearest_centroid_asks_which_mean_is_nearer() -> None:
    points, second = _two()
    line = geometry.nearest_centroid(points, second)
    to_means = torch.stack([(points - points[part].mean(0)).norm(dim=1) for part in (~second, second)], 1)
    assert torch.equal(line.score(points) > 0, to_means[:, 1] < to_means[:, 0])


@pytest.mark.parametrize("second", [torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)])
def test_one_class_has_no_direction(second: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="both classes"):
        geometry.nearest_centroid(torch.eye(3, dtype=torch.float64), second)


def test_equal_means_have_no_direction() -> None:
    with pytest.raises(ValueError, match="same mean"):
        geometry.nearest_centroid(torch.ones(2, 3, dtype=torch.float64), torch.tensor([False, True]))


@pytest.mark.parametrize("degrees", [0.0, 1e-7, 30.0, 90.0, 179.9999, 180.0])
def test_angle_is_exact_at_both_ends(degrees: float) -> None:
    z, n = torch.eye(2, dtype=torch.float64)
    weight = 7 * geometry.tilted(z, n, degrees).weight
    assert geometry.tilting_angle(weight, 3 * z) == pytest.approx(degrees, rel=1e-9, abs=1e-13)


def test_plane_is_orthonormal_and_holds_the_weight() -> None:
    points, second = _two()
    line = Boundary(torch.tensor([1.0, -2.0, 0.5, 3.0, 0.1], dtype=torch.float64), 0.7)
    plane = geometry.tilting_plane(line, points, second)
    basis = torch.stack([plane.z, plane.n])
    assert torch.allclose(basis @ basis.T, torch.eye(2, dtype=torch.float64), atol=1e-14)
    assert torch.allclose(line.weight, (basis @ line.weight) @ basis, atol=1e-13)
    assert float(plane.n @ line.weight) > 0


@pytest.mark.parametrize("lean", [0.0, 1e-9])
def test_plane_of_a_boundary_that_hardly_leans(lean: float) -> None:
    points, second = _two()
    z = geometry.nearest_centroid(points, second).weight
    aside = torch.linspace(1, 2, 5, dtype=torch.float64)
    plane = geometry.tilting_plane(Boundary(5 * z + lean * aside, 0.0), points, second)
    assert abs(float(plane.z @ plane.n)) < 1e-13
    assert float(plane.n.norm()) == pytest.approx(1)


def test_view_holds_what_the_plane_shows() -> None:
    points = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [4.0, 0.0, 0.0], [4.0, 2.0, 0.0]], dtype=torch.float64)
    second = torch.tensor([False, False, True, True])
    line = Boundary(torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64), 10.0)
    view = geometry.view(line, points, second, shown=3)
    # The means are (0, 0, 0) and (4, 1, 0); z has no third coordinate, so the weight is n and the angle is right.
    assert view.half == pytest.approx(17**0.5 / 2) and view.angle == pytest.approx(90)
    assert view.line == pytest.approx((0.0, 1.0, 2.0))
    assert torch.allclose(view.points[:, 1], points[:3, 2]) and view.second.tolist() == [False, False, True]
    assert view.points[0, 0] == pytest.approx(-view.half)


def test_the_line_in_the_plane_tells_true_distances() -> None:
    points, second = _two()
    line = Boundary(torch.tensor([1.0, -2.0, 0.5, 3.0, 0.1], dtype=torch.float64), 0.7)
    plane = geometry.tilting_plane(line, points, second)
    a, b, c = geometry.boundary_line(line, plane)
    u, v = geometry.coordinates(points, plane).T
    assert torch.allclose(a * u + b * v + c, geometry.signed_distance(points, line), atol=1e-12)
    means = geometry.coordinates(torch.stack([points[~second].mean(0), points[second].mean(0)]), plane)
    assert torch.allclose(means[0], -means[1], atol=1e-12) and abs(float(means[0, 1])) < 1e-12


@given(st.integers(0, 2**20), st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_the_law_holds_on_any_data_for_any_bias(seed: int, bias: float) -> None:
    points, second = _two(seed=seed)
    weight = torch.randn(5, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    line = Boundary(weight, bias)
    distance = geometry.signed_distance(points, line)
    half = float((points[second].mean(0) - points[~second].mean(0)).norm()) / 2
    angle = np.radians(geometry.tilting_angle(weight, geometry.nearest_centroid(points, second).weight))
    measured = float(distance[second].mean() - distance[~second].mean()) / 2
    assert geometry.bisecting_law(line, points, second) == pytest.approx(half * np.cos(angle), abs=1e-12)
    assert measured == pytest.approx(half * np.cos(angle), abs=1e-12)


def test_free_step_goes_straight_across() -> None:
    points, line = _random(30, 20, 0)
    moved = geometry.cross(points, line, beyond=0.25)
    before, after = geometry.signed_distance(points, line), geometry.signed_distance(moved, line)
    assert torch.allclose(after, -0.25 * before.sign(), atol=1e-12)
    assert torch.allclose((moved - points).norm(dim=1), before.abs() + 0.25, atol=1e-12)


def test_step_in_the_box_is_the_projection_and_the_optimum_of_scipy() -> None:
    points, line = _random(12, 30, 1)
    moved, reached = geometry.cross_in_box(points, line, beyond=1e-3)
    assert bool(reached.all()) and float(moved.min()) >= 0 and float(moved.max()) <= 1
    side = torch.where(line.score(points) > 0, -1.0, 1.0).double()
    size = float(line.weight.norm())
    bound = (1e-3 * size - side * line.bias)[:, None]
    projected, _ = project_polyhedron(points, side[:, None, None] * line.weight, bound)
    assert torch.allclose(moved, projected, atol=1e-12)
    for point, sign, found in zip(points[:4].numpy(), side[:4].tolist(), moved[:4].numpy(), strict=True):
        constraint = {
            "type": "ineq",
            "fun": lambda x, sign=sign: sign * (x @ line.weight.numpy() + line.bias) / size - 1e-3,
        }
        best = minimize(
            lambda x, point=point: ((x - point) ** 2).sum(), np.full(30, 0.5),
            jac=lambda x, point=point: 2 * (x - point),
            bounds=[(0, 1)] * 30, constraints=[constraint], method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        assert ((found - point) ** 2).sum() == pytest.approx(best.fun, rel=1e-6)


def test_where_no_picture_lies_on_the_other_side() -> None:
    line = Boundary(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64), 5.0)  # above 0 in the whole box
    points = torch.tensor([[0.5, 0.25, 0.75]], dtype=torch.float64)
    moved, reached = geometry.cross_in_box(points, line)
    assert not bool(reached[0])
    assert torch.allclose(moved, torch.tensor([[0.0, 0.0, 0.75]], dtype=torch.float64))


@pytest.mark.parametrize("refine", [False, True])
def test_the_search_finds_the_closed_form(refine: bool) -> None:
    points, line = _random(10, 36, 2)
    moved, _ = geometry.cross_in_box(points, line)
    network = geometry.logit_model(line, (1, 6, 6))
    targets = (line.score(points) <= 0).long()
    found = minimum_distortion(network, points.view(-1, 1, 6, 6), targets, refine=refine)
    exact = (moved - points).square().mean(1).sqrt()
    assert bool(found.success.all())
    assert torch.allclose(found.rms, exact, rtol=3e-3)


def test_logits_decide_as_the_boundary() -> None:
    points, line = _random(20, 9, 3)
    network = geometry.logit_model(line, (1, 3, 3))
    logits = network(points.view(-1, 1, 3, 3))
    assert torch.allclose(logits[:, 1] - logits[:, 0], line.score(points))
    with pytest.raises(ValueError, match="one for each pixel"):
        geometry.logit_model(line, (1, 2, 2))


@pytest.mark.parametrize("dimension", [2, 3, 785])
@pytest.mark.parametrize("degrees", [0.0, 60.0])
def test_toy_is_the_same_in_every_dimension(dimension: int, degrees: float) -> None:
    toy = geometry.toy(dimension, count=11, gap=1.0, length=0.2)
    line = geometry.tilted(toy.z, toy.along, degrees)
    distance = geometry.signed_distance(toy.points, line)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    assert float(distance.abs().min()) == pytest.approx(0.5 * cosine - 0.1 * sine, abs=1e-12)
    assert float(distance[toy.second].mean()) == pytest.approx(0.5 * cosine, abs=1e-12)
    assert torch.allclose(geometry.nearest_centroid(toy.points, toy.second).weight, toy.z, atol=1e-12)
    assert geometry.error(line, toy.points, toy.second) == 0


def test_toy_needs_a_plane() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        geometry.toy(1)


def test_stray_points_are_separated_by_a_tilted_boundary_only() -> None:
    toy = geometry.toy(5, stray=0.1)
    plain = geometry.toy(5)
    assert torch.equal(toy.points[:-2], plain.points) and toy.second[-2:].tolist() == [False, True]
    assert (toy.points[-2:] @ toy.z).tolist() == pytest.approx([0.1, -0.1])
    errors = [
        geometry.error(geometry.tilted(toy.z, toy.along, -angle), toy.points, toy.second) for angle in (0, 40, 70)
    ]
    assert errors == [2 / 402, 2 / 402, 0]


def test_local_tilting_of_a_linear_network_is_the_global_one() -> None:
    generator = torch.Generator().manual_seed(6)
    linear = nn.Linear(16, 3).double()
    model = nn.Sequential(nn.Flatten(), linear)
    images = torch.rand(8, 1, 4, 4, generator=generator, dtype=torch.float64) * 0.6 + 0.2
    labels = model(images).argmax(1)
    targets = (labels + 1) % 3
    means = torch.rand(3, 16, generator=generator, dtype=torch.float64)
    others = torch.rand(8, 1, 4, 4, generator=generator, dtype=torch.float64)
    local = geometry.local_tilting(model, images, labels, targets, others, means)
    weight = (linear.weight[targets] - linear.weight[labels]).detach()
    assert torch.allclose(local.gradient, weight)
    assert torch.allclose(local.turn, torch.zeros(8, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(local.angle, local.angle_at_boundary)
    for i in range(8):
        z = means[targets[i]] - means[labels[i]]
        assert float(local.angle[i]) == pytest.approx(geometry.tilting_angle(weight[i], z), abs=1e-9)
        bias = float((linear.bias[targets[i]] - linear.bias[labels[i]]).detach())
        moved, reached = geometry.cross_in_box(images[i].flatten()[None], Boundary(weight[i], bias), beyond=0.0)
        if bool(reached[0]):
            step = float((moved - images[i].flatten()).square().mean().sqrt())
            assert float(local.predicted[i]) == pytest.approx(step, rel=1e-9)
    assert geometry.alignment(local.gradient, 3 * labels + targets) == pytest.approx(1)


def test_alignment_counts_pairs_within_groups() -> None:
    gradients = torch.tensor([[1.0, 0], [0, 2.0], [3.0, 0], [5.0, 0]], dtype=torch.float64)
    assert geometry.alignment(gradients, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.5)
    assert np.isnan(geometry.alignment(gradients[:1], torch.tensor([0])))


@pytest.mark.parametrize("measure", [geometry.error, geometry.bisecting_law])
def test_points_of_a_column_are_not_set_against_each_other(measure) -> None:
    points, second = torch.eye(2, dtype=torch.float64), torch.tensor([True, False])
    boundary = geometry.Boundary(torch.tensor([1.0, -1.0], dtype=torch.float64), 0.0)
    assert geometry.error(boundary, points, second) == 0
    for wrong in (second[:1], second[:, None]):
        with pytest.raises(ValueError, match="one truth value for each point"):
            measure(boundary, points, wrong)
    with pytest.raises(TypeError, match="expected bool"):
        measure(boundary, points, second.long())
