"""The solver against ground truth: SciPy, closed forms, hand-computed cases, and invariants of the batch."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize as scipy_minimize
from torch import Tensor

from intriguing.attack.lbfgsb import Status, minimize_box, projected_gradient


def quadratic(matrices: Tensor, vectors: Tensor):
    """0.5 x'Qx - b'x per row, with its gradient."""

    def objective(x, rows):
        image = torch.bmm(matrices[rows], x[:, :, None])[:, :, 0]
        return (x * (0.5 * image - vectors[rows])).sum(1), image - vectors[rows]

    return objective


def random_quadratics(batch: int, n: int, condition: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Symmetric positive definite matrices of a given condition, and vectors that push most variables onto bounds."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(batch, n, n, generator=generator, dtype=torch.float64)).Q
    spectrum = torch.logspace(0, np.log10(condition), n, dtype=torch.float64)
    vectors = spectrum.mean() * torch.randn(batch, n, generator=generator, dtype=torch.float64)
    return basis @ (spectrum[:, None] * basis.mT), vectors


def scipy_value(objective, x0: Tensor, row: int, bounds) -> float:
    def single(x):
        value, gradient = objective(torch.from_numpy(x)[None], torch.tensor([row]))
        return value.item(), gradient[0].numpy()

    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-16, "gtol": 1e-8}
    found = scipy_minimize(single, x0.numpy(), jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    return float(found.fun)


@pytest.mark.parametrize("n", [20, 100, 400])
@pytest.mark.parametrize("condition", [10, 1e2, 1e4])
def test_agrees_with_scipy_on_box_quadratics_with_most_bounds_active(n, condition):
    matrices, vectors = random_quadratics(4, n, condition, seed=n)
    objective = quadratic(matrices, vectors)
    x0 = torch.full((4, n), 0.5, dtype=torch.float64)
    found = minimize_box(objective, x0, max_iterations=5000, tolerance=1e-6)
    assert found.converged.all()
    assert (((found.x == 0) | (found.x == 1)).double().mean(1) > 0.5).all()
    for row in range(4):
        assert found.value[row].item() == pytest.approx(scipy_value(objective, x0[row], row, [(0, 1)] * n), rel=1e-9)


def rosenbrock(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    a, b = x[:, :-1], x[:, 1:]
    bend = b - a * a
    gradient = torch.zeros_like(x)
    gradient[:, :-1] += -400 * a * bend - 2 * (1 - a)
    gradient[:, 1:] += 200 * bend
    return (100 * bend**2 + (1 - a) ** 2).sum(1), gradient


@pytest.mark.parametrize("upper", [0.5, 0.9, 2.0])
def test_rosenbrock_in_a_box(upper):
    x0 = torch.tensor([[-1.2, 0.3], [-2.0, -2.0], [0.1, 0.4]], dtype=torch.float64)
    found = minimize_box(rosenbrock, x0, -2.0, upper, max_iterations=500, tolerance=1e-7)
    assert found.converged.all()
    if upper == 2.0:
        torch.testing.assert_close(found.x, torch.ones_like(found.x), atol=1e-5, rtol=0)
    else:  # on the face x0 = upper the best second coordinate is upper squared
        best = torch.tensor([upper, upper**2], dtype=torch.float64).expand(3, 2)
        torch.testing.assert_close(found.x, best, atol=1e-5, rtol=0)


def test_linear_function_ends_in_the_corner():
    slopes = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 3.0, -0.1]], dtype=torch.float64)
    found = minimize_box(lambda x, rows: ((x * slopes[rows]).sum(1), slopes[rows]), torch.full((2, 3), 0.3).double())
    assert found.x.tolist() == [[0, 1, 0], [1, 0, 1]]
    assert found.converged.all()
    assert (found.projected_gradient == 0).all()


def test_hand_computed_case_with_one_active_bound():
    # min (x - 2)^2 + (y - x)^2 on [0, 1]^2: x stops at 1, then y = 1.
    def objective(z, rows):
        x, y = z[:, 0], z[:, 1]
        return (x - 2) ** 2 + (y - x) ** 2, torch.stack([2 * (x - 2) - 2 * (y - x), 2 * (y - x)], 1)

    found = minimize_box(objective, torch.zeros(1, 2, dtype=torch.float64))
    torch.testing.assert_close(found.x, torch.ones(1, 2, dtype=torch.float64))


def test_start_on_the_boundary_and_fixed_variables():
    matrices, vectors = random_quadratics(3, 30, 100)
    objective = quadratic(matrices, vectors)
    lower = torch.zeros(3, 30, dtype=torch.float64)
    upper = torch.ones(3, 30, dtype=torch.float64)
    lower[:, :5] = upper[:, :5] = 0.25
    for start in (0.0, 1.0):
        x0 = torch.full((3, 30), start, dtype=torch.float64)
        found = minimize_box(objective, x0, lower, upper, max_iterations=1000)
        assert (found.x[:, :5] == 0.25).all()
        assert found.converged.all()
        for row in range(3):
            bounds = list(zip(lower[row].tolist(), upper[row].tolist(), strict=True))
            assert found.value[row].item() == pytest.approx(scipy_value(objective, x0[row], row, bounds), rel=1e-9)


def test_a_gradient_counts_over_the_width_of_its_box():
    def slope(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return 7e-7 * x[:, 0], torch.full_like(x, 7e-7)

    start, upper = torch.full((3, 1), 0.5, dtype=torch.float64), torch.tensor([[1.0], [2.0], [2.0]])
    for chosen, status in ((slice(0, 1), Status.CONVERGED), (slice(1, 3), Status.ITERATION_LIMIT)):
        found = minimize_box(slope, start[chosen], 0.0, upper[chosen], max_iterations=0, tolerance=1e-6)
        assert (found.status == status).all()


def test_unbounded_problems_reach_the_solution_of_the_linear_system():
    matrices, vectors = random_quadratics(2, 20, 100)
    found = minimize_box(
        quadratic(matrices, vectors), torch.zeros(2, 20).double(), -torch.inf, torch.inf, max_iterations=500
    )
    torch.testing.assert_close(found.x, torch.linalg.solve(matrices, vectors), atol=1e-6, rtol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours_their_order_or_their_number():
    matrices, vectors = random_quadratics(12, 40, 1e3)
    x0 = torch.full((12, 40), 0.5, dtype=torch.float64)
    together = minimize_box(quadratic(matrices, vectors), x0, max_iterations=500)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = minimize_box(quadratic(matrices[order], vectors[order]), x0, max_iterations=500)
    torch.testing.assert_close(shuffled.x, together.x[order], atol=1e-7, rtol=0)
    for row in range(12):
        alone = minimize_box(quadratic(matrices[row : row + 1], vectors[row : row + 1]), x0[:1], max_iterations=500)
        torch.testing.assert_close(alone.x, together.x[row : row + 1], atol=1e-7, rtol=0)
        torch.testing.assert_close(alone.value, together.value[row : row + 1], rtol=1e-10, atol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.sampled_from([torch.float32, torch.float64]))
def test_every_evaluated_point_lies_in_the_box(seed, n, dtype):
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randn(3, n, generator=generator).to(dtype)
    upper = lower + torch.rand(3, n, generator=generator).to(dtype)
    centre = 3 * torch.randn(3, n, generator=generator).to(dtype)

    def objective(x, rows):
        assert (x >= lower[rows]).all()
        assert (x <= upper[rows]).all()
        r = x - centre[rows]
        return (r**4).sum(1), 4 * r**3

    found = minimize_box(objective, torch.zeros(3, n, dtype=dtype), lower, upper, tolerance=1e-4)
    expected = centre.clamp(lower, upper)
    assert ((found.x >= lower) & (found.x <= upper)).all()
    assert (found.value <= ((expected - centre) ** 4).sum(1) * (1 + 1e-3) + 1e-3).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_converged_means_a_small_projected_gradient(seed):
    matrices, vectors = random_quadratics(3, 15, 100, seed)
    found = minimize_box(quadratic(matrices, vectors), torch.rand(3, 15).double(), max_iterations=7, tolerance=1e-3)
    bounds = (torch.zeros(3, 15).double(), torch.ones(3, 15).double())
    gradient = quadratic(matrices, vectors)(found.x, torch.arange(3))[1]
    torch.testing.assert_close(found.projected_gradient, projected_gradient(found.x, gradient, *bounds))
    assert ((found.projected_gradient <= 1e-3) == found.converged).all()
    assert (found.iterations <= 7).all()


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["start", "later"])
def test_a_row_that_is_not_finite_is_reported_and_touches_no_other(poison, where):
    matrices, vectors = random_quadratics(4, 10, 10)
    clean = quadratic(matrices, vectors)
    x0 = torch.full((4, 10), 0.5, dtype=torch.float64)

    def poisoned(x, rows):
        value, gradient = clean(x, rows)
        hit = (rows == 2) & (True if where == "start" else (x != x0[0]).any(1))
        return torch.where(hit, poison, value), torch.where(hit[:, None], poison, gradient)

    found, reference = minimize_box(poisoned, x0), minimize_box(clean, x0)
    assert found.status[2] == Status.NOT_FINITE
    assert found.x[2].isfinite().all()
    others = [0, 1, 3]
    torch.testing.assert_close(found.x[others], reference.x[others], atol=1e-7, rtol=0)
    assert found.converged[others].all()


def test_evaluations_are_counted_per_row():
    matrices, vectors = random_quadratics(5, 25, 1e3)
    counts = torch.zeros(5, dtype=torch.long)
    inner = quadratic(matrices, vectors)

    def counting(x, rows):
        counts.index_add_(0, rows, torch.ones_like(rows))
        return inner(x, rows)

    found = minimize_box(counting, torch.full((5, 25), 0.5, dtype=torch.float64))
    assert found.evaluations.tolist() == counts.tolist()
    assert (found.evaluations > found.iterations).all()


def test_float32_agrees_with_float64():
    matrices, vectors = random_quadratics(4, 50, 100)
    double = minimize_box(quadratic(matrices, vectors), torch.full((4, 50), 0.5).double(), tolerance=1e-8)
    single = minimize_box(quadratic(matrices.float(), vectors.float()), torch.full((4, 50), 0.5), tolerance=1e-3)
    assert single.x.dtype == torch.float32
    torch.testing.assert_close(single.x.double(), double.x, atol=1e-3, rtol=0)


def test_zero_iterations_and_an_empty_batch_are_defined():
    objective = quadratic(*random_quadratics(2, 3, 10))
    still = minimize_box(objective, torch.full((2, 3), 0.5).double(), max_iterations=0)
    assert (still.x == 0.5).all()
    assert (still.status == Status.ITERATION_LIMIT).all()
    empty = minimize_box(objective, torch.empty(0, 3).double())
    assert empty.x.shape == (0, 3)
    assert empty.value.shape == (0,)


def test_a_small_decrease_stops_only_when_asked():
    objective = quadratic(*random_quadratics(2, 60, 1e4))
    x0 = torch.full((2, 60), 0.5).double()
    early = minimize_box(objective, x0, tolerance=0, decrease_tolerance=1e-3, max_iterations=1000)
    assert (early.status == Status.SMALL_DECREASE).all()
    late = minimize_box(objective, x0, tolerance=1e-7, max_iterations=1000)
    assert late.converged.all()
    assert (late.value <= early.value).all()


def good(x, rows):
    return (x * x).sum(1), 2 * x


@pytest.mark.parametrize(
    ("objective", "x0", "bounds", "error", "message"),
    [
        (lambda x, rows: (x.sum(), x), torch.rand(2, 3), (0, 1), ValueError, "values of shape"),
        (lambda x, rows: (x.sum(1), x[:, :2]), torch.rand(2, 3), (0, 1), ValueError, "gradients of shape"),
        (lambda x, rows: (x.sum(1), x.double()), torch.rand(2, 3), (0, 1), TypeError, "dtype of x0"),
        (good, torch.rand(3), (0, 1), ValueError, r"got x0 of shape \(3,\); expected \(B, n\)"),
        (good, torch.ones(2, 3, dtype=torch.long), (0, 1), TypeError, "float32 or float64"),
        (good, torch.full((2, 3), torch.nan), (0, 1), ValueError, "NaN"),
        (good, torch.rand(2, 3), (1, 0), ValueError, "lower <= upper"),
        (good, torch.rand(2, 3), (torch.zeros(5), 1), ValueError, "broadcast"),
        (good, torch.rand(2, 3), (torch.tensor(0.1j), 1), TypeError, "got lower of torch.complex64; expected real"),
        (
            lambda x, rows: (x.sum(1), x.to_sparse()),
            torch.rand(2, 3),
            (0, 1),
            TypeError,
            "gradients from the objective",
        ),
        (lambda x, rows: (x.sum(1), x.to("meta")), torch.rand(2, 3), (0, 1), TypeError, "gradients from the objective"),
    ],
)
def test_bad_input_is_named(objective, x0, bounds, error, message):
    with pytest.raises(error, match=message):
        minimize_box(objective, x0, *bounds)


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="max_iterations"):
        minimize_box(good, torch.rand(2, 3), max_iterations=-1)
    with pytest.raises(ValueError, match="history"):
        minimize_box(good, torch.rand(2, 3), history=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this computer")
def test_cuda_agrees_with_the_cpu():
    matrices, vectors = random_quadratics(8, 60, 1e3)
    cpu = minimize_box(quadratic(matrices, vectors), torch.full((8, 60), 0.5).double())
    gpu = minimize_box(quadratic(matrices.cuda(), vectors.cuda()), torch.full((8, 60), 0.5).double().cuda())
    torch.testing.assert_close(gpu.x.cpu(), cpu.x, atol=1e-6, rtol=0)


def scaled(width, dtype=torch.float64):
    """A box QP of the unit box in a box of another width, and where SciPy ends on the unit box."""
    generator = torch.Generator().manual_seed(0)
    a, c, x0 = (torch.randn(s, generator=generator).double() for s in ((2, 12, 12), (2, 12), (2, 12)))
    q, x0 = a @ a.mT / 12 + 0.01 * torch.eye(12).double(), x0.sigmoid()

    def objective(x, rows):
        u = x / width
        qu = (q[rows].to(dtype) @ u[:, :, None])[:, :, 0]
        linear = c[rows].to(dtype)
        return 0.5 * (u * qu).sum(1) + (linear * u).sum(1), (qu + linear) / width

    least = [
        scipy_minimize(
            lambda u, row=row: (0.5 * u @ q[row].numpy() @ u + c[row].numpy() @ u, q[row].numpy() @ u + c[row].numpy()),
            x0[row].numpy(),
            jac=True,
            bounds=[(0, 1)] * 12,
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-10},
        ).fun
        for row in range(2)
    ]
    return objective, (x0 * width).to(dtype), torch.tensor(least)


@pytest.mark.parametrize("width", [1e-9, 1e-5, 1e-3, 1.0, 255.0, 1e6])
def test_the_width_of_the_box_does_not_matter(width):
    objective, x0, least = scaled(width)
    found = minimize_box(objective, x0, 0, width)
    assert found.converged.all() and (found.iterations < 60).all()
    torch.testing.assert_close(found.value, least, rtol=1e-8, atol=1e-10)
    objective, x0, _ = scaled(width, torch.float32)
    coarse = minimize_box(objective, x0, 0, width, tolerance=1e-4)
    assert coarse.converged.all()
    torch.testing.assert_close(coarse.value.double(), least, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("width", [10.0, 100.0, 1e6, 1e10, inf])
def test_a_box_that_stands_for_none_does_not_hide_the_minimum(width, dtype, tolerance):
    """Where rounding ends the descent, the gradient is asked for in the unit of the plane, and not over such a box."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(20, 20, generator=generator).to(dtype)
    bend = root @ root.T / 20 + 0.1 * torch.eye(20, dtype=dtype)
    linear = torch.randn(20, generator=generator).to(dtype)
    best = torch.linalg.solve(bend.double(), -linear.double())
    assert best.abs().max() < 10  # no bound is active

    def objective(x, rows):
        return 0.5 * ((x @ bend) * x).sum(1) + x @ linear, x @ bend + linear

    found = minimize_box(objective, torch.zeros(1, 20, dtype=dtype), -width, width, tolerance=tolerance)
    assert found.converged.all()
    torch.testing.assert_close(found.x[0].double(), best, rtol=0, atol=1e2 * tolerance)


@pytest.mark.parametrize(
    "box", [((0, 0), (1, 1e-6)), ((0, 0), (1, 1)), ((-inf, -inf), (inf, inf)), ((0, 0), (inf, inf))]
)
@pytest.mark.parametrize("start", [(0.1, 0.1e-6), (0.9, 0.9e-6), (0.9, 0.9), (0.0, 0.0)])
def test_variables_of_two_scales(box, start):
    lower, upper = (torch.tensor(bound, dtype=torch.float64) for bound in box)
    unit = torch.tensor([1.0, 1e-6], dtype=torch.float64)

    def objective(x, rows):
        off = x / unit - 0.5
        return off.square().sum(1), 2 * off / unit

    found = minimize_box(objective, torch.tensor([start], dtype=torch.float64), lower, upper, max_iterations=500)
    assert found.converged.all() and found.value < 1e-9


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_minimum_close_to_a_bound_is_told_from_the_bound(side):
    """A steep variable ends within 1e-4 of its bound, hence as good as on it, while others that hang on it move."""
    unit = torch.tensor([1e-6, 0.1, 0.7], dtype=torch.float64)
    best = torch.tensor([2.5e-6, 0.15, 0.7], dtype=torch.float64)
    bend = torch.tensor([[2.0, 1.0, -0.5], [1.0, 1.5, 0.3], [-0.5, 0.3, 1.0]], dtype=torch.float64)
    sign = 1 if side == "lower" else -1

    def objective(x, rows):
        off = ((x if side == "lower" else 1 - x) - best) / unit
        return 0.5 * (off @ bend * off).sum(1), sign * off @ bend / unit

    starts = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)).double()
    found = minimize_box(objective, starts, max_iterations=500)
    assert (found.value < 1e-8).all()  # the least value is 0; rounding next to 1 is 1e-10 of the steep unit


@pytest.mark.parametrize("slope", [1e-15, 1e-5, 1e-3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_gradient_among_large_pixels_is_no_convergence(slope, dtype):
    x0 = torch.full((1, 3), 200.0, dtype=dtype)
    assert projected_gradient(x0, torch.full_like(x0, slope), 0.0, 255.0) == x0.new_tensor(slope)
    found = minimize_box(lambda x, rows: (slope * x.sum(1), torch.full_like(x, slope)), x0, 0, 255, tolerance=1e-20)
    assert found.converged.all() and (found.x == 0).all()


def test_the_objective_may_do_what_it_likes_with_what_it_gets():
    buffer = torch.zeros(2, 3, dtype=torch.float64)

    def value_of(x):
        return (x - 0.3).square().sum(1)

    def in_place(x, rows):
        value, gradient = value_of(x), 2 * (x - 0.3)
        x.mul_(100)
        rows.fill_(7)
        return value, gradient

    def one_buffer(x, rows):
        buffer[: len(x)] = 2 * (x - 0.3)
        return value_of(x), buffer[: len(x)]

    def by_backward(x, rows):
        x.requires_grad_()
        value = value_of(x)
        value.sum().backward()
        return value, x.grad

    x0 = torch.rand(2, 3, generator=torch.Generator().manual_seed(0)).double()
    kept = x0.clone()
    for objective in (in_place, one_buffer, by_backward):
        with torch.no_grad():
            found = minimize_box(objective, x0)
        torch.testing.assert_close(found.x, torch.full_like(x0, 0.3), atol=1e-6, rtol=0)
        assert not found.x.requires_grad and not found.value.requires_grad and torch.equal(x0, kept)
    for wrong in (lambda x, rows: (value_of(x), x.grad), lambda x, rows: 3.0, lambda x, rows: None):
        with pytest.raises(TypeError, match=r"from the objective; expected two tensors, .*; return both"):
            minimize_box(wrong, x0)


def test_no_variables_and_wrong_types():
    found = minimize_box(lambda x, rows: (x.sum(1), x), torch.zeros(3, 0))
    assert found.converged.all() and found.x.shape == (3, 0)
    with pytest.raises(TypeError, match="got x0 of type list; expected a tensor"):
        minimize_box(lambda x, rows: (x.sum(1), x), [0.0])
    for bound in ("a", None):
        with pytest.raises(TypeError, match="got lower of type .*; expected a number or a tensor"):
            minimize_box(lambda x, rows: (x.sum(1), x), torch.zeros(3, 2), bound)


@pytest.mark.parametrize(
    ("dtype", "unit"),
    [(torch.float32, 1e20), (torch.float32, 1e30), (torch.float32, 1e-30)]
    + [(torch.float64, unit) for unit in (1e155, 1e200, 1e300, 1e-160, 1e-250)],
)
def test_gradients_whose_squares_overflow_or_vanish_are_those_of_another_unit(dtype, unit):
    best = torch.tensor([0.1, 0.4, 0.6, 0.9], dtype=dtype)
    bend = torch.tensor([1.0, 5.0, 20.0, 300.0], dtype=dtype)

    def objective(x, rows):
        steep = torch.tensor([1.0, unit], dtype=dtype)[rows, None]
        return (steep * bend * (x - best).square()).sum(1), 2 * steep * bend * (x - best)

    x0 = torch.zeros(2, 4, dtype=dtype)
    tolerance = torch.tensor([1e-4, min(1e-4 * unit, 1e-4)], dtype=dtype)
    found = minimize_box(objective, x0, tolerance=tolerance)
    assert found.converged.all() and (found.iterations < 60).all()
    torch.testing.assert_close(found.x[1], best, rtol=0, atol=1e-4)
    alone = minimize_box(lambda x, rows: objective(x, 0 * rows), x0[:1], tolerance=1e-4)
    assert torch.equal(alone.x, found.x[:1])
    curvature = torch.tensor([1.0, 1 / unit], dtype=dtype)
    guessed = minimize_box(objective, x0, tolerance=tolerance, inverse_curvature=curvature)
    torch.testing.assert_close(guessed.x[1], best, rtol=0, atol=1e-4)
