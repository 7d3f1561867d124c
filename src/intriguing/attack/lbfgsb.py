"""Limited-memory BFGS inside a box, for many independent problems at once.

``minimize_box`` takes a batch of B problems of the same size n, each with its own bounds, history, step length and
verdict. It knows tensors and nothing else: no network, no data set, no plot. One trial step of one problem, accepted or
not, costs one evaluation of the objective and O(m n) memory traffic for a history of m pairs; no step runs over
coordinates or rows in Python.

The method is a two-metric projection (Bertsekas 1982) with a limited-memory metric. At a point x of the box:

1. *Binding set.* A coordinate is binding when a step down the gradient would push it outward and it sits on a bound,
   or so close to one that it may count as on it: that distance vanishes with the projected gradient. The others are
   free.
2. *Direction.* The L-BFGS two-loop recursion runs with every inner product taken over the free coordinates only, so
   the metric is the curvature of the face that x lies on. Binding coordinates keep a scaled gradient step.
3. *Step.* The point moves along the projected path x(t) = clip(x + t d), which may pick up many bounds in one step,
   until the decrease is sufficient (Armijo).
4. *History.* The pair (s, y) = (change of x, change of the gradient) joins the row's ring of m pairs.

The whole recursion is done on inner products: W holds the pairs as 2m rows, the masked products W F W' and W F g with
the gradient g give all that the two loops need, and one product with W, plus a multiple of g, turns the resulting
coefficients into a direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from .checks import check_callable, check_count, check_numbers, check_per_row, check_plain, checked_box

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
SUFFICIENT_DECREASE = 1e-4
MAX_BACKTRACKS = 30
# A coordinate this close to a bound, as a fraction of the width of its box, may count as on it.
NEAR = 1e-4
FORGET = 8  # rejections after which the metric itself is suspect


class Status(IntEnum):
    """Why a row of the batch stopped."""

    ITERATION_LIMIT = 0
    CONVERGED = 1
    SMALL_DECREASE = 2
    LINE_SEARCH_FAILED = 3
    NOT_FINITE = 4


@dataclass(frozen=True)
class Minimum:
    """The outcome of ``minimize_box``, one entry per row.

    Attributes:
        x: (B, n), the best point found, inside the box.
        value: (B,), the objective there.
        projected_gradient: (B,), the largest entry of abs(clip(x - gradient) - x), without cancellation; zero exactly
            at a stationary point.
        status: (B,) long, a ``Status`` per row.
        iterations: (B,) long, accepted steps.
        evaluations: (B,) long, calls of the objective that this row took part in.
    """

    x: Tensor
    value: Tensor
    projected_gradient: Tensor
    status: Tensor
    iterations: Tensor
    evaluations: Tensor

    @property
    def converged(self) -> Tensor:
        """(B,) bool: the rows whose projected gradient fell below the tolerance."""
        return self.status == Status.CONVERGED


def minimize_box(
    objective: Objective,
    x0: Tensor,
    lower: float | Tensor = 0.0,
    upper: float | Tensor = 1.0,
    *,
    max_iterations: int = 200,
    history: int = 6,
    tolerance: float | Tensor = 1e-6,
    decrease_tolerance: float = 0.0,
    inverse_curvature: Tensor | None = None,
) -> Minimum:
    """Minimise B independent functions of n variables, each inside its own box.

    Args:
        objective: called as ``objective(x, rows)`` with x (B', n) inside the box and rows (B',) long, the indices of
            the problems still running; returns values (B',) and gradients (B', n) of the dtype of x. A row's value
            must depend on that row alone. Both are copies, the objective's to change; gradients are recorded where it
            asks for them, and nothing of its graph is kept.
        x0: (B, n) float32 or float64, the starting points; clipped into the box before the first call.
        lower: lower bounds, a number or a tensor that broadcasts to (B, n); ``-inf`` for none.
        upper: upper bounds, likewise.
        max_iterations: accepted steps per row, at least 0.
        history: pairs (s, y) kept per row, at least 1.
        tolerance: a row has converged when its projected gradient is at most this, in units of the gradient, and also
            as measured in the unit of each box, where a gradient counts as the change over its width and a distance as
            a part of it (the same on the unit box); a number or one per row, (B,). Where rounding ends the descent, the
            second is enough, and a width above 1 counts as 1.
        decrease_tolerance: a row stops with ``SMALL_DECREASE`` when a step improves its value by less than this
            fraction of max(abs(value), 1); 0 asks for no such stop.
        inverse_curvature: (B,) a guess of one over the curvature for the first step of each row; by default the first
            step has length at most 1, or the width of the box where that is less.

    Returns:
        A ``Minimum`` with one entry per row. No row influences another: the result of a row is that of solving it
        alone, to rounding.

    Raises:
        TypeError: x0 or what the objective returns is no tensor, or not of one floating dtype; the objective cannot be
            called, or a setting is no number.
        ValueError: a shape is wrong, x0 has NaN, a lower bound lies above its upper bound, or a setting is out of
            range.

    Source:
        D. Bertsekas, Projected Newton methods for optimization problems with simple constraints, 1982; J. Nocedal and
        S. Wright, Numerical Optimization, algorithm 7.4.
    """
    if not isinstance(x0, Tensor):
        raise TypeError(f"got x0 of type {type(x0).__name__}; expected a tensor of shape (B, n); convert it first.")
    box = checked_box(x0, lower, upper, "x0")
    if bool(x0.isnan().any()):
        raise ValueError("got NaN in x0; expected finite starting points; check how they were computed.")
    check_callable(objective, "the objective", "a function of x and rows that returns values and gradients")
    check_count("max_iterations", max_iterations, 0)
    check_count("history", history, 1)
    check_per_row("tolerance", tolerance, len(x0))
    check_numbers(0.0, decrease_tolerance=decrease_tolerance)
    if inverse_curvature is not None:
        if not isinstance(inverse_curvature, Tensor):
            raise TypeError(
                f"got inverse_curvature of type {type(inverse_curvature).__name__}; expected a tensor, ({len(x0)},); "
                "leave it out if there is no guess."
            )
        check_per_row("inverse_curvature", inverse_curvature, len(x0))
    with torch.inference_mode(False), torch.enable_grad():  # the objective may differentiate, whoever called
        start = x0.detach().clone()
        return _minimize(
            objective,
            start,
            *box,
            max_iterations,
            history,
            tolerance,
            decrease_tolerance,
            inverse_curvature,
        )


def _minimize(
    objective: Objective,
    x0: Tensor,
    lower: Tensor,
    upper: Tensor,
    max_iterations: int,
    history: int,
    tolerance: float | Tensor,
    decrease_tolerance: float,
    inverse_curvature: Tensor | None,
) -> Minimum:
    """``minimize_box`` once its input is in order."""
    total, n = x0.shape
    x = x0.clamp(lower, upper)
    device, dtype = x.device, x.dtype
    result = Minimum(
        x=x.clone(),
        value=x.new_full((total,), torch.nan),
        projected_gradient=x.new_full((total,), torch.nan),
        status=torch.zeros(total, dtype=torch.long, device=device),
        iterations=torch.zeros(total, dtype=torch.long, device=device),
        evaluations=torch.zeros(total, dtype=torch.long, device=device),
    )
    if total == 0:
        return result

    rows = torch.arange(total, device=device)
    value, gradient = (found.clone() for found in _evaluate(objective, x, rows))  # the objective may use its own again
    finite = _finite(value, gradient)
    width = upper - lower
    narrow = width.clamp(max=1)
    if inverse_curvature is None:
        unit = _largest(narrow).expand(total) if n else x.new_ones(total)
        scale = unit.square() / (unit * gradient.norm(dim=1)).clamp(min=1)
    else:
        scale = inverse_curvature.to(device, dtype).expand(total).clone()
    peak, norm = _largest(gradient.abs()), gradient.norm(dim=1)
    # Squares that vanish or overflow
    lost = finite & (peak > 0) & ((norm < torch.finfo(dtype).tiny ** 0.5) | (norm == torch.inf))
    in_unit = {}
    if bool(lost.any()):  # then the metric is that of the function over the largest entry, and the first step is long
        in_unit["unit"] = torch.where(lost, peak, 1.0)
        first = (
            scale * in_unit["unit"] if inverse_curvature is not None else unit / (gradient / peak[:, None]).norm(dim=1)
        )
        scale = torch.where(lost, first, scale)
    state = in_unit | {
        "rows": rows,
        "x": x,
        "value": value,
        "gradient": gradient,
        "lower": lower,
        "upper": upper,
        "near": NEAR * torch.where(width.isfinite(), width, 1.0),
        "pairs": x.new_zeros(total, 2 * history, n),  # s of slot j at row j, its y at row history + j
        "had": torch.zeros(total, dtype=torch.long, device=device),  # pairs that were forgotten last
        "kept": torch.zeros(total, dtype=torch.long, device=device),  # pairs ever stored; the ring's write position
        "scale": scale,
        "step": x.new_ones(total),
        "backtracks": torch.zeros_like(rows),
        "exact": torch.zeros_like(finite),  # only what lies on a bound exactly counts as on it
        "broken": ~finite,  # the last trial point had no finite value or gradient
        "iterations": torch.zeros_like(rows),
        "evaluations": torch.ones_like(rows),
        "status": torch.where(finite, -1, int(Status.NOT_FINITE)),
        "tolerance": torch.as_tensor(tolerance, dtype=dtype, device=device).expand(total),
    }
    if not bool((width == 1).all()):  # else the unit of the box is that of the plane
        state["width"] = torch.where(width.isfinite(), width, 1.0)
    state["status"] = _verdict(state, max_iterations)
    room = torch.empty_like(state["pairs"])
    while True:
        state, room = _retire(state, result, room)
        if len(state["rows"]) == 0:
            return result
        _advance(objective, state, room, history, decrease_tolerance, max_iterations)


def projected_gradient(x: Tensor, gradient: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Distance from stationarity in a box: the largest entry of abs(clip(x - gradient) - x) per row.

    Args:
        x: (B, n) points of the box.
        gradient: (B, n) gradients there.
        lower: (B, n) or broadcastable lower bounds.
        upper: (B, n) or broadcastable upper bounds.

    Returns:
        (B,) tensor, zero exactly where no feasible direction decreases the linearised objective.
    """
    # Not as a difference: next to a large x a small gradient would vanish in it.
    room = torch.where(gradient > 0, x - lower, upper - x)
    return _largest(torch.minimum(gradient.abs(), room))


def _in_box(state: dict[str, Tensor], widest: float = math.inf) -> Tensor:
    """The projected gradient in the unit of the box; a coordinate without one of its bounds has its own unit."""
    if "width" not in state:
        return state["residual"]
    x, gradient, width = state["x"], state["gradient"], state["width"].clamp(max=widest)
    room = torch.where(gradient > 0, x - state["lower"], state["upper"] - x)
    part = torch.where(width > 0, room / width, 0.0)
    return _largest(torch.minimum(gradient.abs() * width, part))


def _largest(entries: Tensor) -> Tensor:
    """The largest entry of each row, 0 in rows without any."""
    return entries.amax(1) if entries.shape[1] else entries.new_zeros(len(entries))


def _advance(
    objective: Objective,
    state: dict[str, Tensor],
    room: Tensor,
    history: int,
    decrease_tolerance: float,
    max_iterations: int,
) -> None:
    """One evaluation for every running row: a step is taken where it decreases enough, shortened elsewhere."""
    x, value, gradient = state["x"], state["value"], state["gradient"]
    lower, upper, backtracks = state["lower"], state["upper"], state["backtracks"]
    direction, curved = _direction(state, room, history)
    trial = torch.addcmul(x, state["step"][:, None], direction).clamp_(lower, upper)
    new_value, new_gradient = _evaluate(objective, trial, state["rows"])
    state["evaluations"] += 1

    s = trial - x
    slope = (gradient * s).sum(1)
    finite = _finite(new_value, new_gradient)
    slack = 8 * torch.finfo(x.dtype).eps * value.abs()  # below this a comparison of values is rounding
    accepted = finite & (new_value <= value + SUFFICIENT_DECREASE * slope + slack) & (slope <= 0)
    still = _largest(s.abs()) == 0
    # A first step that rounding swallows whole was too short for the numbers that it starts from.
    swallowed = still & (state["iterations"] == 0) & (state["residual"] > 0)
    accepted &= ~swallowed
    change = new_value - value

    # A rejected step shrinks to the minimiser of the parabola through both values and the slope.
    shrink = (-slope / (2 * (change - slope))).nan_to_num(0.1).clamp(0.1, 0.5)
    state["step"] = torch.where(accepted, 1.0, state["step"] * torch.where(finite, shrink, 0.1))
    state["backtracks"] = torch.where(accepted, 0, backtracks + 1)
    # Downhill without curvature there is no length to go by: try ever longer steps.
    state["scale"] = torch.where(accepted & ~curved, 4 * state["scale"], state["scale"])
    state["scale"] = torch.where(swallowed, 64 * state["scale"], state["scale"])
    state["step"] = torch.where(swallowed, 1.0, state["step"])
    forget = state["backtracks"] == FORGET
    state["had"] = torch.where(forget, state["kept"], state["had"])
    state["kept"] = torch.where(forget, 0, state["kept"])  # start again from the gradient

    y = new_gradient - gradient
    _remember(state, s, y / state["unit"][:, None] if "unit" in state else y, accepted, history)
    move = accepted[:, None]
    state["x"] = torch.where(move, trial, x)
    state["gradient"] = torch.where(move, new_gradient, gradient)
    state["value"] = torch.where(accepted, new_value, value)
    state["iterations"] += accepted

    status = _verdict(state, max_iterations)
    if decrease_tolerance > 0:
        small = accepted & (-change <= decrease_tolerance * value.abs().clamp(min=1))
        status = torch.where((status < 0) & small, int(Status.SMALL_DECREASE), status)
    state["broken"] = torch.where(still, state["broken"], ~finite)
    stuck = (state["backtracks"] > MAX_BACKTRACKS) | (still & ~swallowed)
    stuck &= ~_take_bounds_exactly(state, (status < 0) & stuck)
    failure = torch.where(state["broken"], int(Status.NOT_FINITE), int(Status.LINE_SEARCH_FAILED))
    if bool(((status < 0) & stuck).any()):
        at_rest = ~state["broken"] & (_in_box(state, widest=1) <= state["tolerance"])
        failure = torch.where(at_rest, int(Status.CONVERGED), failure)
    state["status"] = torch.where((status < 0) & stuck, failure, status)


def _take_bounds_exactly(state: dict[str, Tensor], stuck: Tensor) -> Tensor:
    """Give rows another go whose steps fail because a coordinate off its bound counted as on it; says which, (b,).

    What is near in the unit of the box may be far in that of the function.
    """
    if not bool(stuck.any()):
        return stuck
    x, gradient, lower, upper = state["x"], state["gradient"], state["lower"], state["upper"]
    near = state["residual"][:, None].minimum(state["near"])
    loose = ((x > lower) & (x <= lower + near) & (gradient > 0)) | ((x < upper) & (x >= upper - near) & (gradient < 0))
    again = stuck & ~state["exact"] & loose.any(1)
    state["exact"] = state["exact"] | again
    state["kept"] = torch.where(again, torch.maximum(state["had"], state["kept"]), state["kept"])
    state["step"] = torch.where(again, 1.0, state["step"])
    state["backtracks"] = torch.where(again, 0, state["backtracks"])
    return again


def _direction(state: dict[str, Tensor], room: Tensor, history: int) -> tuple[Tensor, Tensor]:
    """The L-BFGS direction on the free coordinates, a scaled gradient step on the binding ones.

    The room, of the size of all pairs at least, is written to: memory that is new every time costs more than the work.
    Returns (b, n), and (b,) bool, false where a row has a whole history without curvature.
    """
    x, gradient, lower, upper = state["x"], state["gradient"], state["lower"], state["upper"]
    pairs, kept, scale = state["pairs"], state["kept"], state["scale"]
    # Coordinates within a vanishing distance of a bound count as on it, which keeps the path from zigzagging.
    near = state["residual"][:, None].minimum(state["near"])
    near = near.masked_fill(state["exact"][:, None], 0)
    binding = ((x <= lower + near) & (gradient > 0)) | ((x >= upper - near) & (gradient < 0))
    if "unit" in state:
        gradient = gradient / state["unit"][:, None]
    free_gradient = gradient.masked_fill(binding, 0)
    if bool((kept == 0).all()):
        return -scale[:, None] * gradient, kept == 0

    # Inner products over the free coordinates: products[i, j] = <w_i, w_j>_F with w = (s..., y...), against g likewise.
    free_pairs = torch.mul(pairs, (~binding)[:, None, :].to(pairs.dtype), out=room[: len(pairs)])
    products = torch.bmm(free_pairs, free_pairs.transpose(1, 2))  # (b, 2m, 2m)
    against_gradient = torch.bmm(free_gradient[:, None, :], pairs.mT)[:, 0]  # (b, 2m)

    # Reorder the ring: age 0 is the newest pair.
    age = torch.arange(history, device=x.device)
    slot = (kept[:, None] - 1 - age) % history  # (b, m)
    order = torch.cat([slot, slot + history], 1)  # (b, 2m)
    products = products.gather(1, order[:, :, None].expand_as(products)).gather(
        2, order[:, None, :].expand_as(products)
    )
    against_gradient = against_gradient.gather(1, order)

    ss = products.diagonal(dim1=1, dim2=2)[:, :history]
    yy = products.diagonal(dim1=1, dim2=2)[:, history:]
    sy = products[:, :history, history:].diagonal(dim1=1, dim2=2)  # (b, m)
    usable = (age < kept[:, None]) & (sy > 1e-10 * (ss * yy).sqrt()) & (sy > 0)
    rho = torch.where(usable, 1 / torch.where(usable, sy, 1.0), 0.0)
    first = usable.to(torch.int8).argmax(1, keepdim=True)  # the newest usable pair
    ratio = (sy / torch.where(yy > 0, yy, 1.0)).gather(1, first)[:, 0]
    scale = torch.where(usable.any(1), ratio, scale)

    # The two loops of algorithm 7.4, on coefficients in the basis (s..., y..., g).
    coefficient = torch.zeros_like(against_gradient)  # (b, 2m)
    alphas = []
    for i in range(history):
        alpha = rho[:, i] * (against_gradient[:, i] + (products[:, i] * coefficient).sum(1))
        coefficient[:, history + i] -= alpha
        alphas.append(alpha)
    coefficient *= scale[:, None]
    for i in reversed(range(history)):
        j = history + i
        beta = rho[:, i] * (scale * against_gradient[:, j] + (products[:, j] * coefficient).sum(1))
        coefficient[:, i] += alphas[i] - beta

    free_square = (free_gradient * free_gradient).sum(1)
    descent = scale * free_square + (coefficient * against_gradient).sum(1)
    coefficient = torch.where((descent > 1e-12 * scale * free_square)[:, None], coefficient, 0)
    weights = torch.zeros_like(coefficient).scatter_(1, order, coefficient)
    direction = torch.bmm(weights[:, None, :], pairs)[:, 0]  # (b, n)
    return torch.addcmul(direction.masked_fill_(binding, 0), scale[:, None], gradient).neg_(), usable.any(1) | (
        kept < history
    )


def _remember(state: dict[str, Tensor], s: Tensor, y: Tensor, accepted: Tensor, history: int) -> None:
    """Write the pair (s, y) of the accepted rows into the next slot of their rings."""
    pairs, kept = state["pairs"], state["kept"]
    row = accepted.nonzero()[:, 0]
    slot = kept[row] % history
    pairs[row, slot] = s[row]
    pairs[row, history + slot] = y[row]
    state["kept"] = kept + accepted


def _verdict(state: dict[str, Tensor], max_iterations: int) -> Tensor:
    """Status per row, -1 while it runs on."""
    status = state["status"]
    state["residual"] = projected_gradient(state["x"], state["gradient"], state["lower"], state["upper"])
    residual = torch.maximum(state["residual"], _in_box(state)) if "width" in state else state["residual"]
    status = torch.where((status < 0) & (residual <= state["tolerance"]), int(Status.CONVERGED), status)
    return torch.where((status < 0) & (state["iterations"] >= max_iterations), int(Status.ITERATION_LIMIT), status)


def _retire(state: dict[str, Tensor], result: Minimum, room: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Write the rows that have stopped into the result and go on with the others, their pairs in the room."""
    done = state["status"] >= 0
    if not bool(done.any()):
        return state, room
    rows = state["rows"][done]
    for name in ("x", "value", "status", "iterations", "evaluations"):
        getattr(result, name)[rows] = state[name][done]
    result.projected_gradient[rows] = state["residual"][done]
    running, held = (~done).nonzero()[:, 0], len(state["rows"])
    pairs = state.pop("pairs")
    left = torch.index_select(pairs, 0, running, out=room[: len(running)])
    # A bound that all rows share is a single one.
    state = {name: tensor[running] if len(tensor) == held else tensor for name, tensor in state.items()}
    return state | {"pairs": left}, pairs


def _evaluate(objective: Objective, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Call the objective with copies and refuse what breaks its contract."""
    answer = objective(x.clone(), rows.clone())
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not all(isinstance(part, Tensor) for part in answer):
        parts = answer if isinstance(answer, tuple | list) else [answer]
        raise TypeError(
            f"got {', '.join(type(part).__name__ for part in parts) or 'nothing'} from the objective; expected two "
            "tensors, values (B',) and gradients (B', n); return both (x.grad is None until backward() is called)."
        )
    for name, part in zip(("values", "gradients"), answer, strict=True):
        check_plain(part, f"{name} from the objective")
    value, gradient = answer[0].detach(), answer[1].detach()
    if value.shape != x.shape[:1] or gradient.shape != x.shape:
        raise ValueError(
            f"got values of shape {tuple(value.shape)} and gradients of shape {tuple(gradient.shape)}; "
            f"expected {tuple(x.shape[:1])} and {tuple(x.shape)}; return one entry per row of x."
        )
    if value.dtype != x.dtype or gradient.dtype != x.dtype:
        raise TypeError(
            f"got values of {value.dtype} and gradients of {gradient.dtype} from the objective; expected "
            f"{x.dtype}, the dtype of x0; convert them before returning."
        )
    return value, gradient


def _finite(value: Tensor, gradient: Tensor) -> Tensor:
    return value.isfinite() & gradient.isfinite().all(1)
