"""The closest point of a box that satisfies a few linear inequalities, for a whole batch at once.

A convex quadratic programme with n variables and k constraints has a dual with k variables. Given multipliers y >= 0
the primal point is clip(x + A'y), so the dual is a smooth, concave, piecewise quadratic function of a handful of
numbers, which a projected Newton method maximises in a few steps: no loop over coordinates, rows or constraints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from .checks import check_per_row, check_plain, checked_box

NEWTON_STEPS = 200
HARDER, EASIER = 10.0, 3.0  # what the damping is multiplied by where a step fails, and divided by where one serves
HARDEST = 1e10  # with so much damping a step is one down the gradient, and short: where that fails, rounding is left
BEYOND = 4.0  # times what the farthest corner of the box costs, and rounding is left far behind
# Finished rows are dropped when fewer than this fraction still runs: copying A costs as much as using it.
COMPACT = 0.75
EXTREME = {torch.float32: 1e-15, torch.float64: 1e-100}  # norms of rows whose squares are near the ends of the type


class Rows:
    """A dataclass of tensors with one entry per row of a batch, some of which can be taken."""

    def take(self, mask: Tensor) -> Self:
        """The rows where a mask (B,) is true."""
        index = mask.nonzero()[:, 0]
        return type(self)(**{name: tensor[index] for name, tensor in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Problem(Rows):
    """Minimise |z - x|^2 / 2 subject to A z >= b and lower <= z <= upper, the rows of A scaled to norm one.

    Attributes:
        a: (B, k, n), A as it was given.
        unit: (B, k), one over the norms of its rows; slacks and multipliers are lengths, as if these were one.
        b: (B, k), scaled.
        x: (B, n).
        lower: (B, n).
        upper: (B, n).
        tolerance: (B,), a length.
        most: (B,), more than any point of the box costs: where the dual is higher, none satisfies the constraints.
    """

    a: Tensor
    unit: Tensor
    b: Tensor
    x: Tensor
    lower: Tensor
    upper: Tensor
    tolerance: Tensor
    most: Tensor


@dataclass(frozen=True, eq=False)
class Point(Rows):
    """Where the search in the dual stands.

    Attributes:
        y: (B, k), the multipliers.
        raw: (B, n), the primal point before it is clipped to the box.
        z: (B, n), the primal point.
        slack: (B, k), A z - b, scaled.
        energy: (B,), |z - x|^2 / 2.
        value: (B,), minus the dual, which is convex in y.
        damping: (B,), of the next step, in units of the least.
    """

    y: Tensor
    raw: Tensor
    z: Tensor
    slack: Tensor
    energy: Tensor
    value: Tensor
    damping: Tensor

    def residual(self) -> Tensor:
        """How far a row is from complementarity, (B,): min(y, slack) should vanish in every constraint."""
        return torch.minimum(self.y, self.slack).abs().amax(1)

    def where(self, mask: Tensor, other: Point) -> Point:
        """This point in the rows where a mask (B,) is true, and the other one elsewhere."""
        pairs = zip(vars(self).items(), vars(other).values(), strict=True)
        return Point(**{n: torch.where(mask if yes.ndim == 1 else mask[:, None], yes, no) for (n, yes), no in pairs})


def project_polyhedron(
    x: Tensor,
    matrix: Tensor,
    bound: Tensor,
    lower: float | Tensor = 0.0,
    upper: float | Tensor = 1.0,
    *,
    multipliers: Tensor | None = None,
    tolerance: float | Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Minimise |z - x|^2 / 2 subject to A z >= b and lower <= z <= upper, per row.

    Args:
        x: (B, n) float32 or float64, the points to project.
        matrix: (B, k, n), A of each row; k is small.
        bound: (B, k), b of each row; -inf asks for nothing.
        lower: number or tensor that broadcasts to (B, n).
        upper: likewise.
        multipliers: (B, k), a guess of y, for instance from a problem nearby; zero by default.
        tolerance: largest violation of a constraint, as a distance (the constraint's value over the norm of its row);
            where one has slack, either that or its multiplier, as a distance (times that norm), is no larger. A number
            or one per row, (B,); by default a little above rounding.

    Returns:
        z (B, n), in the box exactly and inside the half-spaces to the tolerance, and y (B, k), the multipliers. A row
        whose constraints no point of the box satisfies comes back with the multipliers where the search ended; its z
        violates A z >= b, which the caller can see. One with NaN or infinities harms no other.

    Raises:
        TypeError: something is no tensor, or not of one floating dtype.
        ValueError: the shapes do not fit, the box is empty, or the tolerance is out of range.

    Source:
        Boyd and Vandenberghe, Convex Optimization, chapter 5; D. Bertsekas 1982 for the projected Newton step.
    """
    for name, given in (("x", x), ("matrix", matrix), ("bound", bound)):
        if not isinstance(given, Tensor):
            raise TypeError(f"got {name} of type {type(given).__name__}; expected a tensor; convert it first.")
        check_plain(given, name)
        if given.dtype != x.dtype or given.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"got {name} of {given.dtype} for x of {x.dtype}; expected all of float32 or of float64; convert it."
            )
    if x.ndim != 2 or matrix.shape != (*bound.shape, x.shape[1]) or len(bound) != len(x):
        raise ValueError(
            f"got x {tuple(x.shape)}, matrix {tuple(matrix.shape)} and bound {tuple(bound.shape)}; "
            "expected (B, n), (B, k, n) and (B, k); put the batch first, even for one point."
        )
    lower, upper = checked_box(x, lower, upper)
    if multipliers is not None:
        if not isinstance(multipliers, Tensor) or multipliers.dtype != x.dtype:
            got = multipliers.dtype if isinstance(multipliers, Tensor) else type(multipliers).__name__
            raise TypeError(f"got multipliers of {got}; expected a tensor of {x.dtype}; leave them out for zeros.")
        check_plain(multipliers, "multipliers")
        if multipliers.shape != bound.shape:
            raise ValueError(
                f"got multipliers of shape {tuple(multipliers.shape)}; expected {tuple(bound.shape)}, one per "
                "constraint; leave them out for zeros."
            )
    if tolerance is not None:
        check_per_row("tolerance", tolerance, len(x))
    if 0 in matrix.shape:  # nothing to move, or nothing to satisfy
        return x.clamp(torch.as_tensor(lower).to(x), torch.as_tensor(upper).to(x)), torch.zeros_like(bound)
    size = torch.linalg.vector_norm(matrix, dim=2)  # (B, k)
    if bool(((size < EXTREME[x.dtype]) | (size > 1 / EXTREME[x.dtype])).any()):
        # Squares of such entries overflow or vanish: scale them by their largest. A row of zeros asks for nothing.
        peak = matrix.abs().amax(2)
        matrix = matrix / torch.where(peak > 0, peak, 1.0)[:, :, None]
        norm = torch.linalg.vector_norm(matrix, dim=2)
        empty = ~(norm > 0)
        matrix, bound = matrix / torch.where(empty, 1.0, norm)[:, :, None], bound / torch.where(empty, 1.0, peak * norm)
        z, prices = project_polyhedron(
            x,
            torch.where(empty[:, :, None], 1 / x.shape[1] ** 0.5, matrix),
            torch.where(empty, -(torch.finfo(x.dtype).max ** 0.25), bound.nan_to_num()),
            lower,
            upper,
            multipliers=None if multipliers is None else multipliers * torch.where(empty, 0.0, peak * norm),
            tolerance=tolerance,
        )
        return z, prices / torch.where(empty, 1.0, peak * norm)
    size = size.clamp(min=torch.finfo(x.dtype).tiny)
    lower, upper = (torch.as_tensor(number, dtype=x.dtype, device=x.device) for number in (lower, upper))
    if tolerance is None:
        tolerance = 16 * x.shape[1] ** 0.5 * torch.finfo(x.dtype).eps * _unit(x, bound / size, lower, upper)
    tolerance = torch.as_tensor(tolerance, dtype=x.dtype, device=x.device)
    problem = Problem(
        a=matrix,
        unit=1 / size,
        b=(bound / size).clamp(min=-torch.finfo(x.dtype).max / 4),  # -inf asks for nothing, but times zero it is NaN
        x=x,
        lower=lower.expand(x.shape),
        upper=upper.expand(x.shape),
        tolerance=tolerance.expand(len(x)),
        most=BEYOND * 0.5 * torch.maximum(upper - x, x - lower).square().sum(1),
    )
    y = torch.zeros_like(bound) if multipliers is None else (multipliers * size).clamp(min=0)
    point = _dual(problem, y, torch.ones_like(x[:, 0]))
    if multipliers is not None:  # a guess so bad that Newton's steps would not lead back from it is none
        sound = point.value <= problem.most.clamp(max=torch.finfo(x.dtype).max ** 0.5)
        if not bool(sound.all()):
            y = torch.where(sound[:, None], y, 0.0)
            point = _dual(problem, y, point.damping)
    found, prices = point.z.clone(), y.clone()
    rows, room = torch.arange(len(x), device=x.device), torch.empty_like(matrix)
    running = point.residual() > problem.tolerance
    for _ in range(NEWTON_STEPS):
        count = int(running.sum())
        if count == 0:
            break
        if count < COMPACT * len(rows):
            found[rows], prices[rows] = point.z, point.y
            rows, problem, point = rows[running], problem.take(running), point.take(running)
            running = running[running]
        better, gained = _newton_step(problem, point, room[: len(rows)])
        damped = replace(point, damping=HARDER * point.damping)
        point = better.where(gained & running, damped)
        running &= (point.residual() > problem.tolerance) & (point.damping < HARDEST) & (-point.value < problem.most)
    found[rows], prices[rows] = point.z, point.y
    return found, prices / size


def _unit(x: Tensor, b: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """What the lengths of each row are measured by, (B,): the width of its box, where its numbers fill that.

    A box much wider than the largest number of its row, as stands for none, says nothing of the rounding there.
    """
    width = upper - lower
    widest = torch.where(width > 0, width, 0.0).amax(1)
    largest = torch.cat([x, b], 1).abs().nan_to_num(posinf=0.0).amax(1)
    return torch.where(widest > 0, widest, 1.0).minimum(largest.clamp(min=1))


def _dual(problem: Problem, y: Tensor, damping: Tensor) -> Point:
    """What belongs to the multipliers y."""
    raw = torch.baddbmm(problem.x[:, None, :], (y * problem.unit)[:, None, :], problem.a)[:, 0]
    z = raw.clamp(problem.lower, problem.upper)
    # A row times a transposed matrix: the matrix times a column takes ten times as long on a CPU.
    slack = torch.bmm(z[:, None, :], problem.a.mT)[:, 0] * problem.unit - problem.b
    energy = 0.5 * (z - problem.x).square().sum(1)
    return Point(y, raw, z, slack, energy, (y * slack).sum(1) - energy, damping)


def _newton_step(problem: Problem, point: Point, room: Tensor) -> tuple[Point, Tensor]:
    """A damped projected Newton step on the dual, and the rows that gained.

    Where fewer pixels are free than there are constraints the dual has no curvature in some directions, and Newton's
    step leads far beyond the next kink: damping, after Levenberg, shortens it and turns it down the gradient.

    The room, of the shape of A, is written to: memory that is new in every step costs more than the product.
    """
    a, unit, y, slack = problem.a, problem.unit, point.y, point.slack
    # Coordinates exactly on a bound count as free: they may leave it, and too much curvature only shortens a step.
    free = (point.raw == point.z).to(y.dtype)
    held = (y <= 0) & (slack > 0)  # multipliers at zero that want to stay there
    moving = (~held).to(y.dtype) * unit
    part = torch.mul(a, free[:, None, :], out=room)
    hessian = torch.bmm(part, part.transpose(1, 2)) * moving[:, :, None] * moving[:, None, :]
    ridge = 1e-8 * hessian.diagonal(dim1=1, dim2=2).amax(1, keepdim=True) + 1e-8
    if y.dtype == torch.float32:
        ridge = 100 * ridge  # what rounding may take from the smallest eigenvalue
    hessian = hessian + torch.diag_embed(ridge * point.damping[:, None] + held.to(y.dtype))
    # A positive definite system of k numbers per row because of the ridge; a row with NaN ends, and it alone.
    right = torch.where(held, 0, slack)[:, :, None]
    step = -torch.cholesky_solve(right, torch.linalg.cholesky_ex(hessian).L)[:, :, 0]
    trial = (y + step).clamp(min=0)
    better = _dual(problem, trial, (point.damping / EASIER).clamp(min=1))
    terms = (y * (slack.abs() + 2 * problem.b.abs())).sum(1) + point.energy
    rounding = 32 * torch.finfo(y.dtype).eps * terms  # of the value, which is a difference of such terms
    return better, better.value <= point.value + 1e-4 * (slack * (trial - y)).sum(1) + rounding
