"""The closest point of a box that satisfies a few linear inequalities, for a whole batch at once.

A convex quadratic programme with n variables and k constraints has a dual with k variables. Given multipliers y >= 0
the primal point is clip(x + A'y), so the dual is a smooth, piecewise quadratic function of a handful of numbers, which
a projected Newton method minimises in a few steps: no loop over coordinates, rows or constraints.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEWTON_STEPS = 50
HALVINGS = 12


def project(
    x: Tensor,
    matrix: Tensor,
    bound: Tensor,
    lower: float | Tensor = 0.0,
    upper: float | Tensor = 1.0,
    *,
    multipliers: Tensor | None = None,
    tolerance: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Minimise |z - x|^2 / 2 subject to A z >= b and lower <= z <= upper, per row.

    Args:
        x: (B, n) float32 or float64, the points to project.
        matrix: (B, k, n), A of each row; k is small.
        bound: (B, k), b of each row.
        lower: number or tensor that broadcasts to (B, n).
        upper: likewise.
        multipliers: (B, k), a guess of y, for instance from a problem nearby; zero by default.
        tolerance: largest violation of a constraint, or slack of one with a positive multiplier, as a distance (the
            constraint's value over the norm of its row); by default a little above rounding.

    Returns:
        z (B, n), in the box exactly and inside the half-spaces to the tolerance, and y (B, k), the multipliers. A row
        whose constraints no point of the box satisfies comes back with the multipliers where the search ended; its z
        violates A z >= b, which the caller can see.

    Raises:
        ValueError: the shapes do not fit.

    Source:
        Boyd and Vandenberghe, Convex Optimization, chapter 5; D. Bertsekas 1982 for the projected Newton step.
    """
    if x.ndim != 2 or matrix.shape != (*bound.shape, x.shape[1]) or len(bound) != len(x):
        raise ValueError(
            f"expected x (B, n), matrix (B, k, n) and bound (B, k), got {tuple(x.shape)}, {tuple(matrix.shape)} and "
            f"{tuple(bound.shape)}"
        )
    size = matrix.norm(dim=2).clamp(min=torch.finfo(x.dtype).tiny)  # (B, k)
    problem = {
        "a": matrix / size[:, :, None],  # unit rows, so that slacks and multipliers are lengths
        "b": bound / size,
        "x": x,
        "lower": torch.as_tensor(lower, dtype=x.dtype, device=x.device).expand(x.shape),
        "upper": torch.as_tensor(upper, dtype=x.dtype, device=x.device).expand(x.shape),
    }
    if tolerance is None:
        tolerance = 16 * x.shape[1] ** 0.5 * torch.finfo(x.dtype).eps
    y = torch.zeros_like(bound) if multipliers is None else (multipliers * size).clamp(min=0)
    value, z, slack = _negative_dual(problem, y)
    for _ in range(NEWTON_STEPS):
        running = (_residual(y, slack) > tolerance).nonzero()[:, 0]
        if len(running) == 0:
            break
        part = {name: tensor[running] for name, tensor in problem.items()}
        better = _newton_step(part, y[running], value[running], z[running], slack[running])
        y[running], value[running], z[running], slack[running] = better
    return z, y / size


def _residual(y: Tensor, slack: Tensor) -> Tensor:
    """How far a row is from complementarity: min(y, slack) should vanish in every constraint."""
    return torch.minimum(y, slack).abs().amax(1)


def _negative_dual(problem: dict[str, Tensor], y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Minus the dual, convex in y with gradient A z - b; the primal point z; and that slack."""
    x, a = problem["x"], problem["a"]
    z = _unclipped(problem, y).clamp_(problem["lower"], problem["upper"])
    slack = torch.bmm(a, z[:, :, None])[:, :, 0] - problem["b"]
    return (y * slack).sum(1) - 0.5 * (z - x).square().sum(1), z, slack


def _unclipped(problem: dict[str, Tensor], y: Tensor) -> Tensor:
    return torch.baddbmm(problem["x"][:, None, :], y[:, None, :], problem["a"])[:, 0]


def _newton_step(
    problem: dict[str, Tensor], y: Tensor, value: Tensor, z: Tensor, slack: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One projected Newton step on the dual with a backtracking search along the projected path."""
    a = problem["a"]
    # Coordinates exactly on a bound count as free: they may leave it, and too much curvature only shortens a step.
    raw = _unclipped(problem, y)
    free = ((raw >= problem["lower"]) & (raw <= problem["upper"])).to(y.dtype)
    held = (y <= 0) & (slack > 0)  # multipliers at zero that want to stay there
    moving = (~held).to(y.dtype)
    hessian = torch.bmm(a * free[:, None, :], a.transpose(1, 2)) * moving[:, :, None] * moving[:, None, :]
    ridge = 1e-8 * hessian.diagonal(dim1=1, dim2=2).amax(1, keepdim=True) + 1e-8
    hessian = hessian + torch.diag_embed(ridge + held.to(y.dtype))
    # A positive definite system of k numbers per row; the factorisation cannot fail because of the ridge.
    step = -torch.cholesky_solve((slack * moving)[:, :, None], torch.linalg.cholesky(hessian))[:, :, 0]
    length = y.new_ones(len(y))
    taken = torch.zeros_like(held[:, 0])
    best = (y, value, z, slack)
    terms = (y * (slack.abs() + 2 * problem["b"].abs())).sum(1) + 0.5 * (z - problem["x"]).square().sum(1)
    rounding = 32 * torch.finfo(y.dtype).eps * terms  # of the value, which is a difference of such terms
    for _ in range(HALVINGS):
        trial = (y + length[:, None] * step).clamp(min=0)
        new_value, new_z, new_slack = _negative_dual(problem, trial)
        decrease = 1e-4 * (slack * (trial - y)).sum(1)
        good = ~taken & (new_value <= value + decrease + rounding)
        new = (trial, new_value, new_z, new_slack)
        best = tuple(torch.where(good if n.ndim == 1 else good[:, None], n, o) for n, o in zip(new, best, strict=True))
        taken |= good
        if bool(taken.all()):
            break
        length = length * 0.4
    return best
