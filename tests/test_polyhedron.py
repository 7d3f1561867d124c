"""The batched projection against hand cases, SciPy and its own optimality conditions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize

from intriguing.attack import polyhedron
from intriguing.attack.polyhedron import project_polyhedron


def problem(seed: int, batch: int = 4, n: int = 12, k: int = 3):
    """Points of the unit box and half-spaces that a known point of the box satisfies."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, n, generator=generator, dtype=torch.float64)
    inside = torch.rand(batch, n, generator=generator, dtype=torch.float64)
    a = torch.randn(batch, k, n, generator=generator, dtype=torch.float64)
    b = (a @ inside[:, :, None])[:, :, 0] - 0.1 * torch.rand(batch, k, generator=generator, dtype=torch.float64)
    return x, a, b


def test_one_half_space_without_active_bounds_has_the_closed_form():
    x = torch.full((1, 3), 0.5, dtype=torch.float64)
    a = torch.tensor([[[1.0, 2.0, 2.0]]], dtype=torch.float64)
    z, y = project_polyhedron(x, a, torch.tensor([[2.5 + 0.9]], dtype=torch.float64))
    torch.testing.assert_close(z, x + 0.1 * a[:, 0])
    torch.testing.assert_close(y, torch.tensor([[0.1]], dtype=torch.float64))


def test_a_bound_in_the_way_is_kept_and_the_rest_goes_further():
    # min |z - (1, 0)|^2 / 2 with z1 + z2 >= 1.5 in the unit box: z1 cannot grow, so z2 = 0.5.
    z, _ = project_polyhedron(
        torch.tensor([[1.0, 0.0]]).double(), torch.ones(1, 1, 2).double(), torch.tensor([[1.5]]).double()
    )
    torch.testing.assert_close(z, torch.tensor([[1.0, 0.5]], dtype=torch.float64))


def test_a_point_that_satisfies_everything_stays():
    x, a, b = problem(0)
    z, y = project_polyhedron(x, a, b - 100)
    assert torch.equal(z, x)
    assert (y == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
@example(215978, 3)
def test_agrees_with_scipy_and_satisfies_the_optimality_conditions(seed, k):
    x, a, b = problem(seed, batch=3, k=k)
    z, y = project_polyhedron(x, a, b)
    slack = (a @ z[:, :, None])[:, :, 0] - b
    assert ((z >= 0) & (z <= 1)).all()
    assert (slack > -1e-9).all()
    assert (y >= 0).all()
    assert (y * slack).abs().max() < 1e-7
    torch.testing.assert_close(z, (x + (y[:, None] @ a)[:, 0]).clamp(0, 1))
    for row in range(3):
        found = scipy_minimize(
            lambda v, row=row: 0.5 * ((v - x[row].numpy()) ** 2).sum(),
            z[row].numpy() * 0.9 + 0.05,
            jac=lambda v, row=row: v - x[row].numpy(),
            bounds=[(0, 1)] * 12,
            constraints={"type": "ineq", "fun": lambda v, row=row: a[row].numpy() @ v - b[row].numpy()},
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-12},
        )
        here = 0.5 * float((z[row] - x[row]).square().sum())
        # Where SciPy gives up, its point is no better than ours but for what it takes beyond the constraints.
        beyond = (b[row].numpy() - a[row].numpy() @ found.x).clip(0)
        assert found.success or found.fun >= here * (1 - 1e-6) - float(y[row].numpy() @ beyond), found.message
        if found.success:
            assert here == pytest.approx(found.fun, rel=1e-5, abs=1e-9)


def test_rows_are_independent_and_a_good_guess_changes_nothing():
    x, a, b = problem(7, batch=9)
    z, y = project_polyhedron(x, a, b)
    alone = torch.cat([project_polyhedron(x[i : i + 1], a[i : i + 1], b[i : i + 1])[0] for i in range(9)])
    torch.testing.assert_close(alone, z, atol=1e-10, rtol=0)
    again, _ = project_polyhedron(x, a, b, multipliers=y)
    torch.testing.assert_close(again, z, atol=1e-9, rtol=0)


def test_from_its_own_multipliers_the_search_is_there_at_once(monkeypatch):
    x, a, b = problem(7, batch=9)
    a, b = 3 * a, 3 * b  # rows of another length
    z, y = project_polyhedron(x, a, b)
    monkeypatch.setattr(polyhedron, "NEWTON_STEPS", 0)
    torch.testing.assert_close(project_polyhedron(x, a, b, multipliers=y)[0], z, atol=1e-9, rtol=0)
    assert not torch.allclose(project_polyhedron(x, a, b)[0], z, atol=1e-3)


def test_an_empty_intersection_shows_in_the_result():
    z, _ = project_polyhedron(torch.zeros(1, 2).double(), torch.ones(1, 1, 2).double(), torch.tensor([[3.0]]).double())
    assert float(z.sum()) < 3
    assert torch.equal(z, torch.ones_like(z))


def test_wrong_shapes_are_named():
    x, a, b = problem(0)
    with pytest.raises(ValueError, match=r"matrix \(4, 3, 5\) .*; expected \(B, n\), \(B, k, n\)"):
        project_polyhedron(x, a[:, :, :5], b)
    with pytest.raises(ValueError, match=r"bound \(2, 3\); expected .* and \(B, k\)"):
        project_polyhedron(x, a, b[:2])


def test_float32_and_a_tolerance_per_row():
    x, a, b = problem(11, batch=6)
    z, _ = project_polyhedron(x, a, b)
    coarse, _ = project_polyhedron(x.float(), a.float(), b.float())
    torch.testing.assert_close(coarse.double(), z, atol=2e-5, rtol=0)
    loose, _ = project_polyhedron(x, a, b, tolerance=torch.tensor([1e-12] * 3 + [10.0] * 3, dtype=torch.float64))
    torch.testing.assert_close(loose[:3], z[:3], atol=1e-10, rtol=0)
    assert torch.equal(loose[3:], x[3:])  # nothing is violated by so much, so nothing was moved


def test_constraints_that_no_point_satisfies_are_left_violated_and_harm_no_other_row():
    x, a, b = problem(5, batch=3)
    impossible = b.clone()
    impossible[1] = 1e3
    z, y = project_polyhedron(x, a, impossible)
    assert z.isfinite().all() and y.isfinite().all() and ((z >= 0) & (z <= 1)).all()
    assert ((a[1] @ z[1]) < impossible[1]).any()
    torch.testing.assert_close(z[[0, 2]], project_polyhedron(x, a, b)[0][[0, 2]], atol=1e-10, rtol=0)


@pytest.mark.parametrize("scale", [1e-200, 1e-120, 1e-30, 1e30, 1e200])
def test_the_scale_of_the_constraints_does_not_matter(scale):
    x, a, b = problem(3)
    z, y = project_polyhedron(x, a, b)
    scaled, prices = project_polyhedron(x, scale * a, scale * b)
    torch.testing.assert_close(scaled, z, atol=1e-9, rtol=0)
    torch.testing.assert_close(prices * scale, y, atol=1e-7, rtol=0)


def test_a_row_of_zeros_asks_for_nothing_and_a_broken_row_harms_no_other():
    x, a, b = problem(4)
    expected, _ = project_polyhedron(x, a[:, 1:], b[:, 1:])
    a[:, 0] = 0
    torch.testing.assert_close(project_polyhedron(x, a, b)[0], expected, atol=1e-9, rtol=0)
    a[1] = torch.nan
    torch.testing.assert_close(project_polyhedron(x, a, b)[0][[0, 2, 3]], expected[[0, 2, 3]], atol=1e-9, rtol=0)


@pytest.mark.parametrize("width", [1e-6, 255.0])
def test_another_box_is_the_same_problem(width):
    x, a, b = problem(6)
    z, _ = project_polyhedron(x, a, b)
    moved, _ = project_polyhedron(width * x, a, width * b, 0, width)
    torch.testing.assert_close(moved / width, z, atol=1e-9, rtol=0)


def test_a_box_below_zero_is_the_same_problem():
    _, a, b = problem(9)
    x = torch.tensor([[0.0], [0.0], [1.0], [1.0]], dtype=torch.float64).expand(4, 12)  # as far from its end as can be
    z, _ = project_polyhedron(x, a, b)
    moved, _ = project_polyhedron(x - 2, a, b - 2 * a.sum(2), -2.0, -1.0)
    torch.testing.assert_close(moved + 2, z, atol=1e-9, rtol=0)
    assert ((a @ z[:, :, None])[:, :, 0] > b - 1e-9).all()


def test_nothing_to_move_and_nothing_to_satisfy():
    x, a, b = problem(8)
    assert project_polyhedron(x[:, :0], a[:, :, :0], b)[0].shape == (4, 0)
    assert torch.equal(project_polyhedron(x, a[:, :0], b[:, :0])[0], x)
    with pytest.raises(TypeError, match="got x of type list; expected a tensor"):
        project_polyhedron([1.0], a, b)
    with pytest.raises(TypeError, match="got matrix of torch.float32 for x of torch.float64; expected all of"):
        project_polyhedron(x, a.float(), b)


def test_one_pixel_under_two_constraints():
    # 2 z >= 1.75 and 3 z >= 2.75: the second asks for more. Multipliers have two dimensions, the pixel has one.
    x, a, b = torch.tensor([[0.25]]), torch.tensor([[[2.0], [3.0]]]), torch.tensor([[1.75, 2.75]])
    z, y = project_polyhedron(x.double(), a.double(), b.double())
    torch.testing.assert_close(z, torch.tensor([[2.75 / 3]], dtype=torch.float64))
    torch.testing.assert_close(y, torch.tensor([[0.0, (2.75 / 3 - 0.25) / 3]], dtype=torch.float64))


@pytest.mark.parametrize(("dtype", "rounding", "missed"), [(torch.float64, 1e-9, 0.0), (torch.float32, 1e-4, 0.001)])
def test_fewer_pixels_than_constraints(dtype, rounding, missed):
    # Feasible points with multipliers that are complementary are the projections: a certificate for each problem.
    generator, errors = torch.Generator().manual_seed(0), []
    for n in range(1, 9):
        for k in range(1, 9):
            x, a, b = problem(100 * n + k, batch=60, n=n, k=k)
            x = (1.6 * x - 0.3).clamp(0, 1)  # many pixels on the bounds
            a[::3, 1:] = a[::3, :1] + 0.03 * a[::3, 1:]  # half-spaces that hardly differ
            size = a.norm(dim=2)
            inside = (1.6 * torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.3).clamp(0, 1)
            b = (a @ inside[:, :, None])[:, :, 0] - 0.01 * size * torch.rand(
                b.shape, generator=generator, dtype=b.dtype
            )
            z, y = (found.double() for found in project_polyhedron(x.to(dtype), a.to(dtype), b.to(dtype)))
            slack = ((a @ z[:, :, None])[:, :, 0] - b) / size
            assert (y >= 0).all()
            errors.append(torch.minimum(y * size, slack).abs().amax(1))
            errors.append((z - (x + (y[:, None] @ a)[:, 0]).clamp(0, 1)).abs().amax(1))
    assert (torch.cat(errors) > rounding).double().mean() <= missed


def test_what_no_point_satisfies_is_given_up_soon(monkeypatch):
    steps = []
    step = polyhedron._newton_step
    monkeypatch.setattr(polyhedron, "_newton_step", lambda *given: steps.append(1) or step(*given))
    x, a, b = problem(5)
    project_polyhedron(x, a, b + 1e3)
    assert len(steps) < 20


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_wide_box_loosens_neither_its_own_row_nor_another(dtype, rounding):
    x, a, b = (part.to(dtype) for part in problem(12, batch=3))
    ends = torch.tensor([[1.0], [1e12], [1e20]], dtype=dtype)
    z, _ = project_polyhedron(x, a, b + 1, 1 - ends, ends)  # the first row in the unit box, the others in none
    alone, _ = project_polyhedron(x[:1], a[:1], b[:1] + 1)
    torch.testing.assert_close(z[:1], alone, atol=rounding, rtol=0)
    free, _ = project_polyhedron(x, a, b + 1, -torch.inf, torch.inf)
    torch.testing.assert_close(z[1:], free[1:], atol=rounding, rtol=0)
    assert ((a @ z[:, :, None])[1:, :, 0] > b[1:] + 1 - rounding).all()
    # sum z >= 1.5, from the origin: a half of it each
    z, _ = project_polyhedron(
        0 * x[:, :3], torch.ones(3, 1, 3, dtype=dtype), torch.full((3, 1), 1.5, dtype=dtype), *(-1e20, 1e20)
    )
    torch.testing.assert_close(z, torch.full_like(z, 0.5), atol=rounding, rtol=0)


@pytest.mark.parametrize("guess", [None, 0.0, 1.0, 1e30])
@pytest.mark.parametrize("end", [1.0, torch.inf])
def test_a_bound_of_minus_infinity_asks_for_nothing(end, guess):
    x, a, b = problem(13)
    expected, prices = project_polyhedron(x, a[:, 1:], b[:, 1:], -end, end)
    b[:, 0] = -torch.inf
    multipliers = None if guess is None else torch.full_like(b, guess)
    z, y = project_polyhedron(x, a, b, -end, end, multipliers=multipliers)
    torch.testing.assert_close(z, expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(y[:, 1:], prices, atol=1e-7, rtol=0)
    assert (y[:, 0] == 0).all()


@pytest.mark.parametrize("end", [1.0, 1e20, torch.inf])
@pytest.mark.parametrize("guess", [torch.nan, torch.inf, 1e300, 1e30, 1e12, -1.0])
def test_a_bad_guess_is_as_good_as_none(guess, end):
    x, a, b = problem(14)
    expected, _ = project_polyhedron(x, a, b, -end, end)
    multipliers = torch.zeros_like(b).index_fill(0, torch.tensor([1, 2]), guess)
    z, y = project_polyhedron(x, a, b, -end, end, multipliers=multipliers)
    torch.testing.assert_close(z, expected, atol=1e-9, rtol=0)
    assert y.isfinite().all()
