"""Many networks of one shape at once: their training by L-BFGS in lockstep, and one classifier that holds them all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

HISTORY = 20  # pairs that L-BFGS keeps, as for a network that is trained by itself
GRADIENT, CHANGE, BRACKET = 1e-6, 1e-12, 1e-9  # where training ends: gradient, progress, width of a line search
ARMIJO, WOLFE, TRIES = 1e-4, 0.9, 60
CURVED = 1e-10  # a pair (s, y) with less curvature than this is not kept
INDEX = 64  # networks that one classifier can hold: the index of a network is written as a pixel of k / 64
ENOUGH = 0.75  # networks that have ended are dropped when no more than this part still runs

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Parameters (B, P) and the numbers of the networks (B,) -> losses (B,) float64, gradients (B, P), errors (B,)."""


@dataclass(frozen=True)
class Layout:
    """Where the weights and biases of a network lie in one long vector.

    Attributes:
        widths: of the layers, from the inputs to the outputs.
    """

    widths: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers the vector has."""
        return sum((a + 1) * b for a, b in zip(self.widths, self.widths[1:], strict=False))

    def split(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights (B, out, in) and biases (B, out) of every layer, as views of (B, P)."""
        found, start = [], 0
        for a, b in zip(self.widths, self.widths[1:], strict=False):
            weight = flat[:, start : start + a * b].view(-1, b, a)
            found.append((weight, flat[:, start + a * b : start + (a + 1) * b]))
            start += (a + 1) * b
        return found


@dataclass
class Trainings:
    """How the trainings of many networks ended.

    Attributes:
        levels: name of a level -> parameters (B, P) as they were there; a network that ended before a level has its
            last ones.
        iterations: name of a level -> (B,) the iterations that were made until there.
        loss: (B,) at the end.
        gradient: (B,) the largest entry of the gradient at the end.
        ended: (B,) bool, whether progress or the gradient vanished before the time or the iterations were over.
        seconds: of all trainings together.
        evaluations: of loss and gradient, all networks at a time.
    """

    levels: dict[str, Tensor]
    iterations: dict[str, Tensor]
    loss: Tensor
    gradient: Tensor
    ended: Tensor
    seconds: float
    evaluations: int


def cubic(x1: float, f1: float, g1: float, x2: float, f2: float, g2: float, low: float, high: float) -> float:
    """The minimum between two bounds of the cubic through two values with their slopes; half-way where it has none."""
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    if x1 <= x2:
        best = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)) if g2 - g1 + 2 * d2 else low
    else:
        best = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2)) if g1 - g2 + 2 * d2 else low
    return min(max(best, low), high)


def line_search(
    step: float, value: float, slope: float, longest: float
) -> Generator[float, tuple[float, float], float]:
    """A step that satisfies the strong Wolfe conditions, or the best one tried, found on value and slope alone.

    Args:
        step: the first one to try, above 0.
        value: where it starts.
        slope: there, below 0.
        longest: the largest entry of the direction; where the bracket times this is tiny the search ends.

    Yields:
        Steps to try; wants (value, slope) there.

    Returns:
        The step to take; 0 where none is better than the start.

    Source:
        J. Nocedal and S. Wright, Numerical Optimization, algorithms 3.5 and 3.6, in the form that PyTorch gives them.
    """
    new, new_slope = yield step
    before, old, old_slope = 0.0, value, slope
    tried = 0
    while True:
        if tried >= TRIES:
            return step if new <= value else 0.0
        if new > value + ARMIJO * step * slope or (tried > 1 and new >= old) or not math.isfinite(new):
            break
        if abs(new_slope) <= -WOLFE * slope:
            return step
        if new_slope >= 0:
            break
        further = cubic(before, old, old_slope, step, new, new_slope, step + 0.01 * (step - before), 10 * step)
        before, old, old_slope, step = step, new, new_slope, further
        new, new_slope = yield step
        tried += 1
    ends = [[before, old, old_slope], [step, new, new_slope]]
    low = 0 if old <= new else 1
    stuck = False
    while tried < TRIES:
        first, last = min(ends[0][0], ends[1][0]), max(ends[0][0], ends[1][0])
        if (last - first) * longest < BRACKET:
            break
        step = cubic(*ends[0], *ends[1], first, last)
        edge = 0.1 * (last - first)
        if min(last - step, step - first) < edge:
            if stuck or step >= last or step <= first:
                step = last - edge if abs(step - last) < abs(step - first) else first + edge
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new, new_slope = yield step
        tried += 1
        if new > value + ARMIJO * step * slope or new >= ends[low][1]:
            ends[1 - low] = [step, new, new_slope]
            low = 0 if ends[0][1] <= ends[1][1] else 1
            continue
        if abs(new_slope) <= -WOLFE * slope:
            return step
        if new_slope * (ends[1 - low][0] - ends[low][0]) >= 0:
            ends[1 - low] = list(ends[low])
        ends[low] = [step, new, new_slope]
    return ends[low][0]


@dataclass
class _State:
    """What L-BFGS knows of the networks that still run, a row for each; ``pairs`` has all s, then all y."""

    rows: Tensor
    x: Tensor
    gradient: Tensor
    direction: Tensor
    pairs: Tensor
    kept: Tensor
    value: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    searches: list = field(default_factory=list)

    def take(self, index: list[int]) -> _State:
        at = torch.tensor(index, device=self.x.device)
        return _State(
            *(part[at] for part in (self.rows, self.x, self.gradient, self.direction, self.pairs, self.kept)),
            *([part[i] for i in index] for part in (self.value, self.iterations, self.searches)),
        )


class Memory(Protocol):
    """Where a training that is cut off finds what it needs to go on."""

    def load(self) -> dict[str, Tensor] | None:
        """What was saved last; None where nothing was."""

    def offer(self, told: Callable[[], dict[str, Tensor]]) -> None:
        """Called before each evaluation with a function that tells where the training stands; saves it now and then."""


def train(
    loss: Loss,
    start: Tensor,
    levels: Sequence[int],
    *,
    stop: Callable[[], bool] = lambda: False,
    chunk: int | None = None,
    memory: Memory | None = None,
) -> Trainings:
    """Minimises the losses of many networks by L-BFGS, each with its own line search, all evaluated at a time.

    Every network goes the way that ``torch.optim.LBFGS`` with a strong Wolfe line search takes it alone, to rounding,
    unless a line search wants more than the 25 steps that PyTorch allows; ``TRIES`` are allowed here. One that is cut
    off and goes on from its memory, with the same arguments, goes the same way to the last bit: what is remembered is
    the last accepted step, and a line search depends on nothing else.

    Args:
        loss: of any of the networks, asked for as many as still run.
        start: (B, P) initial parameters.
        levels: increasing numbers of iterations at which the parameters are kept; the last one ends the training. The
            level ``"zero"`` is kept as well: the first iteration at which no image is misread, where there is one.
        stop: asked after each evaluation; True ends all trainings where they are.
        chunk: networks evaluated at a time; all by default.
        memory: where to go on from and what to tell; by default a training begins at ``start`` and tells nobody.

    Returns:
        The ``Trainings``.
    """
    began, count = time.monotonic(), len(start)
    names = {level: str(level) for level in levels}
    kept = {name: start.clone() for name in (*names.values(), "zero")}
    made = {name: torch.zeros(count, dtype=torch.long) for name in kept}
    result = Trainings(kept, made, torch.zeros(count, dtype=torch.double), torch.zeros(count), torch.zeros(count), 0, 0)
    result.ended = result.ended.bool()
    faultless = [False] * count

    def evaluate(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        result.evaluations += 1
        parts = [loss(*part) for part in zip(x.split(chunk or len(x)), rows.split(chunk or len(x)), strict=True)]
        return tuple(torch.cat(found) for found in zip(*parts, strict=True))

    remembered = memory.load() if memory else None
    if remembered:
        state = _recalled(remembered, result, faultless)
        began -= result.seconds
    else:
        rows = torch.arange(count, device=start.device)
        value, gradient, _ = evaluate(start, rows)
        state = _State(
            rows,
            start.clone(),
            gradient,
            -gradient,
            start.new_zeros(count, 2 * HISTORY, start.shape[1]),
            torch.zeros(count, dtype=torch.long, device=start.device),
            value.tolist(),
            [0] * count,
        )
    steps, state.searches = [0.0] * len(state.rows), [None] * len(state.rows)
    slopes = _scalars(state)
    for i, row in enumerate(state.rows.tolist()):
        if not result.ended[row] and state.iterations[i] < levels[-1]:
            steps[i], state.searches[i] = _begin(state, i, slopes[i], first=state.iterations[i] == 0)
    settled = [search is None for search in state.searches]
    last = [False] * len(steps)  # the step is settled and only evaluated once more

    while True:
        result.seconds = time.monotonic() - began
        if memory:
            memory.offer(partial(_told, state, result, faultless))
        over = stop()
        if all(settled) or over:
            _leave(state, range(len(settled)), result, settled)
            break
        if sum(not done for done in settled) <= ENOUGH * len(settled):
            gone = [i for i, done in enumerate(settled) if done]
            stay = [i for i, done in enumerate(settled) if not done]
            _leave(state, gone, result, settled)
            state = state.take(stay)
            steps, last = [steps[i] for i in stay], [last[i] for i in stay]
            settled = [False] * len(stay)
        step = torch.tensor(steps, dtype=state.x.dtype, device=state.x.device)
        trial = torch.addcmul(state.x, step[:, None], state.direction)
        value, gradient, errors = evaluate(trial, state.rows)
        told = torch.stack([value, (gradient * state.direction).sum(1).double(), errors.double()]).tolist()
        accepted = [False] * len(steps)
        for i, (new, slope, _) in enumerate(zip(*told, strict=True)):
            if settled[i]:
                continue
            if last[i]:
                accepted[i], last[i] = True, False
                continue
            try:
                steps[i] = state.searches[i].send((new, slope))
            except StopIteration as found:
                accepted[i] = found.value == steps[i]
                last[i] = not accepted[i]
                steps[i] = found.value
        if not any(accepted):
            continue
        previous = _accept(state, trial, gradient, step, torch.tensor(accepted, device=state.x.device))
        slopes = _scalars(state)
        where = state.rows.tolist()
        for i, there in enumerate(accepted):
            if not there:
                continue
            moved = steps[i] * previous[i]
            before, state.value[i] = state.value[i], told[0][i]
            state.iterations[i] += 1
            number, row = state.iterations[i], where[i]
            if number in names:
                kept[names[number]][row] = state.x[i]
                made[names[number]][row] = number
            if told[2][i] == 0 and not faultless[row]:
                faultless[row] = True
                kept["zero"][row] = state.x[i]
                made["zero"][row] = number
            done = slopes[i][1] <= GRADIENT or moved <= CHANGE or abs(state.value[i] - before) < CHANGE
            if done or number >= levels[-1]:
                settled[i], steps[i] = True, 0.0
                result.ended[row] = done
                continue
            steps[i], state.searches[i] = _begin(state, i, slopes[i])
            if state.searches[i] is None:
                settled[i] = result.ended[row] = True
    return result


_TENSORS, _LISTS = ("rows", "x", "gradient", "direction", "pairs", "kept"), ("value", "iterations")
_OUTCOME = ("loss", "gradient", "ended")


def _told(state: _State, result: Trainings, faultless: list[bool]) -> dict[str, Tensor]:
    """Where the trainings stand, as tensors."""
    told = {f"state/{name}": getattr(state, name) for name in _TENSORS}
    told |= {f"state/{name}": torch.tensor(getattr(state, name), dtype=torch.double) for name in _LISTS}
    told |= {f"levels/{name}": kept for name, kept in result.levels.items()}
    told |= {f"iterations/{name}": made for name, made in result.iterations.items()}
    told |= {f"outcome/{name}": getattr(result, name) for name in _OUTCOME}
    return told | {
        "faultless": torch.tensor(faultless),
        "seconds": torch.tensor(result.seconds, dtype=torch.double),
        "evaluations": torch.tensor(result.evaluations),
    }


def _recalled(told: dict[str, Tensor], result: Trainings, faultless: list[bool]) -> _State:
    """Puts what ``_told`` returned back into the outcome, and returns the state of those that still run."""
    device = next(iter(result.levels.values())).device
    for name, kept in result.levels.items():
        kept.copy_(told[f"levels/{name}"])
        result.iterations[name].copy_(told[f"iterations/{name}"])
    for name in _OUTCOME:
        getattr(result, name).copy_(told[f"outcome/{name}"])
    faultless[:] = told["faultless"].tolist()
    result.seconds, result.evaluations = float(told["seconds"]), int(told["evaluations"])
    # copies lie in memory as new tensors do, on which the last digits of a product depend
    state = _State(*(told[f"state/{name}"].to(device, copy=True) for name in _TENSORS), told["state/value"].tolist())
    state.iterations = [int(number) for number in told["state/iterations"]]
    return state


def _scalars(state: _State) -> list[list[float]]:
    """Slope along the direction, largest entry of the gradient and of the direction, sum of the gradient's entries."""
    g, d = state.gradient, state.direction
    found = torch.stack([(g * d).sum(1), g.abs().amax(1), d.abs().amax(1), g.abs().sum(1)], 1)
    return found.double().tolist()


def _begin(state: _State, i: int, told: list[float], *, first: bool = False) -> tuple[float, Generator | None]:
    """The first step to try along a new direction, and the search that goes on from it; None where there is no way."""
    slope, steepest, longest, total = told
    if slope > -CHANGE or steepest <= GRADIENT:
        return 0.0, None
    search = line_search(min(1.0, 1 / total) if first else 1.0, state.value[i], slope, longest)
    return next(search), search


def _accept(state: _State, trial: Tensor, gradient: Tensor, step: Tensor, accepted: Tensor) -> list[float]:
    """Moves the accepted networks, remembers their pairs and finds their new directions.

    Returns:
        The largest entry of each direction that was gone along.
    """
    longest = state.direction.abs().amax(1)
    s, y = step[:, None] * state.direction, gradient - state.gradient
    keep = accepted & ((s * y).sum(1) > CURVED)
    every = torch.arange(len(step), device=step.device)
    slot = state.kept % HISTORY
    for at, new in ((slot, s), (slot + HISTORY, y)):
        state.pairs[every, at] = torch.where(keep[:, None], new, state.pairs[every, at])
    state.kept += keep
    state.x = torch.where(accepted[:, None], trial, state.x)
    state.gradient = torch.where(accepted[:, None], gradient, state.gradient)
    state.direction = torch.where(accepted[:, None], _direction(state), state.direction)
    return longest.tolist()


def _direction(state: _State) -> Tensor:
    """Minus the inverse Hessian of L-BFGS times the gradient, for all networks.

    The two-loop recursion moves within the span of the gradient and the pairs: it is run on coefficients, from the
    products of these vectors, so that a step takes a few large products and not two small ones for each pair.
    """
    pairs, g = state.pairs, state.gradient
    products = torch.cat([torch.bmm(pairs, pairs.mT), torch.bmm(pairs, g[:, :, None])], 2).double().cpu().numpy()
    gram, along = products[:, :, :-1], products[:, :, -1]
    kept = state.kept.cpu().numpy()
    every, coefficients = np.arange(len(kept)), np.zeros_like(along)
    scale, steps = np.ones(len(kept)), []
    for i in range(min(int(kept.max()), HISTORY)):  # from the newest pair to the oldest
        s = (kept - 1 - i) % HISTORY
        y, there = s + HISTORY, i < np.minimum(kept, HISTORY)
        curvature = np.where(there, gram[every, s, y], 1.0)
        if i == 0:
            scale = np.where(there, curvature / np.where(there, gram[every, y, y], 1.0), 1.0)
        weight = there * ((gram[every, s] * coefficients).sum(1) - along[every, s]) / curvature
        coefficients[every, y] -= weight
        steps.append((s, y, weight, there, curvature))
    coefficients *= scale[:, None]
    for s, y, weight, there, curvature in reversed(steps):
        back = there * ((gram[every, y] * coefficients).sum(1) - scale * along[every, y]) / curvature
        coefficients[every, s] += weight - back
    told = torch.from_numpy(np.concatenate([coefficients, -scale[:, None]], 1)).to(g)
    return torch.baddbmm(told[:, -1:, None] * g[:, None], told[:, None, :-1], pairs)[:, 0]


def _leave(state: _State, gone: Sequence[int], result: Trainings, settled: Sequence[bool]) -> None:
    """Writes down how networks ended; levels that they have not reached take their last parameters."""
    steepest = state.gradient.abs().amax(1).tolist()
    where = state.rows.tolist()
    for i in gone:
        row, number = where[i], state.iterations[i]
        result.loss[row], result.gradient[row] = state.value[i], steepest[i]
        for name, kept in result.levels.items():
            reached = result.iterations[name]
            if reached[row] == 0 and (name == "zero" or number < int(name)):
                kept[row] = state.x[i]
                reached[row] = number


# The losses.


@dataclass
class Classification:
    """Cross-entropy plus quadratic weight decay of sigmoid networks, by hand: what autograd keeps is not needed.

    Attributes:
        layout: of the networks.
        images: (N, n), or (B, N, n) with other inputs for each network.
        labels: (N,) long.
        decay: (B, layers) lambda of each network and layer.
        bias: (B,) bool, whether biases are decayed as well.
        mean: (n,) taken off the inputs of the networks that ``centred`` names; None for none.
        centred: (B,) bool.
    """

    layout: Layout
    images: Tensor
    labels: Tensor
    decay: Tensor
    bias: Tensor
    mean: Tensor | None = None
    centred: Tensor | None = None

    @torch.no_grad()
    def __call__(self, flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        layers = self.layout.split(flat)
        count = self.images.shape[-2]
        inputs = self.images
        if inputs.ndim == 3 and len(rows) < len(inputs):
            inputs = inputs[rows]
        weight, bias = layers[0]
        if self.centred is not None:
            shift = self.centred[rows].to(flat)[:, None]
            bias = bias - shift * (weight @ self.mean)
        shown = [_forward(inputs, weight, bias)]
        for weight, bias in layers[1:]:
            shown[-1] = shown[-1].sigmoid_()
            shown.append(torch.baddbmm(bias[:, None], shown[-1], weight.mT))
        logits = shown.pop()
        wanted = self.labels.expand(len(flat), -1)[:, :, None]
        own = logits.gather(2, wanted)
        errors = (logits.amax(2, keepdim=True) > own).sum((1, 2))
        total = logits.logsumexp(2, keepdim=True)
        loss = (total - own).double().sum((1, 2)) / count
        delta = (logits - total).exp_()
        delta.scatter_add_(2, wanted, -torch.ones_like(own))
        delta /= count
        gradient = torch.empty_like(flat)
        places = self.layout.split(gradient)
        for i in range(len(layers) - 1, 0, -1):
            places[i][0].copy_(torch.bmm(delta.mT, shown[i - 1]))
            places[i][1].copy_(delta.sum(1))
            delta = torch.bmm(delta, layers[i][0])
            delta.mul_(shown[i - 1]).mul_(1 - shown[i - 1])
        down = delta.sum(1)
        places[0][0].copy_(_backward(inputs, delta))
        if self.centred is not None:
            places[0][0].sub_(shift[:, :, None] * down[:, :, None] * self.mean)
        places[0][1].copy_(down)
        strength = self.decay[rows]
        for i, ((weight, bias), (dw, db)) in enumerate(zip(layers, places, strict=True)):
            price = strength[:, i]
            loss += price.double() * weight.square().sum((1, 2)).double()
            dw.add_(2 * price[:, None, None] * weight)
            also = price * self.bias[rows].to(price)
            loss += also.double() * bias.square().sum(1).double()
            db.add_(2 * also[:, None] * bias)
        return loss, gradient, errors

    def plain(self, flat: Tensor, rows: Tensor) -> Tensor:
        """The same networks without a mean that is taken off: it moves into the biases of the first layer."""
        if self.centred is None:
            return flat
        flat = flat.clone()
        weight, bias = self.layout.split(flat)[0]
        bias -= self.centred[rows].to(flat)[:, None] * (weight @ self.mean)
        return flat


def _forward(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(B, N, units) of the first layer: one product for all networks where they share their inputs."""
    if inputs.ndim == 3:
        return torch.baddbmm(bias[:, None], inputs, weight.mT)
    networks, units, n = weight.shape
    found = torch.addmm(bias.reshape(-1), inputs, weight.reshape(-1, n).T)
    return found.view(len(inputs), networks, units).transpose(0, 1)


def _backward(inputs: Tensor, delta: Tensor) -> Tensor:
    """(B, units, n), the gradient of the weights of the first layer."""
    if inputs.ndim == 3:
        return torch.bmm(delta.mT, inputs)
    networks, count, units = delta.shape
    return (delta.transpose(0, 1).reshape(count, -1).T @ inputs).view(networks, units, -1)


@dataclass
class Reconstruction:
    """The loss of sparse autoencoders: squared error, weight decay, and a pull of the mean activities to a level.

    Attributes:
        layout: n, units, n: of the encoder and the decoder.
        images: (N, n) in [0, 1].
        activity: (B,) mean activity that is asked of each hidden unit.
        weight: (B,) of the term that asks for it.
        decay: (B,) of the weights.
    """

    layout: Layout
    images: Tensor
    activity: Tensor
    weight: Tensor
    decay: Tensor

    @torch.no_grad()
    def __call__(self, flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (w, b), (v, c) = self.layout.split(flat)
        count, images = len(self.images), self.images
        rho, strength, decay = self.activity[rows][:, None], self.weight[rows][:, None], self.decay[rows]
        hidden = _forward(images, w, b).sigmoid_()
        mean = hidden.mean(1).clamp(1e-6, 1 - 1e-6)
        sparsity = rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()
        pull = strength * ((1 - rho) / (1 - mean) - rho / mean) / count
        out = torch.baddbmm(c[:, None], hidden, v.mT).sigmoid_()
        off = out - images
        loss = (strength * sparsity).double().sum(1) + 0.5 * off.square().sum(2).double().sum(1) / count
        delta = off.mul_(out).mul_(1 - out).div_(count)
        gradient = torch.empty_like(flat)
        (dw, db), (dv, dc) = self.layout.split(gradient)
        dv.copy_(torch.bmm(delta.mT, hidden))
        dc.copy_(delta.sum(1))
        back = torch.bmm(delta, v).add_(pull[:, None]).mul_(hidden).mul_(1 - hidden)
        dw.copy_(_backward(images, back))
        db.copy_(back.sum(1))
        for weight, d in ((w, dw), (v, dv)):
            loss += decay.double() * weight.square().sum((1, 2)).double()
            d.add_(2 * decay[:, None, None] * weight)
        return loss, gradient, torch.ones(len(flat), device=flat.device)


# Many networks as one classifier.


class _Sort(torch.autograd.Function):
    """Rows into slots of a larger tensor, the other slots black; no slot is taken twice, so nothing is summed."""

    @staticmethod
    def forward(ctx, rows: Tensor, slots: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(slots)
        return rows.new_zeros(count, rows.shape[1]).index_copy_(0, slots, rows)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.index_select(0, ctx.saved_tensors[0]), None, None


class _Collect(torch.autograd.Function):
    """Rows out of their slots, the other way round."""

    @staticmethod
    def forward(ctx, sorted_rows: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.count = len(sorted_rows)
        return sorted_rows.index_select(0, slots)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        slots = ctx.saved_tensors[0]
        return gradient.new_zeros(ctx.count, gradient.shape[1]).index_copy_(0, slots, gradient.contiguous()), None


class Stack(nn.Module):
    """Networks of one shape as one classifier of images that carry the number of their network as one pixel more.

    That pixel has no influence on the logits beyond the choice, so no gradient: a search in the box leaves it alone.

    Args:
        layers: weights (B, out, in) and biases (B, out) of every layer; sigmoids between them.
    """

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(w.detach().contiguous(), requires_grad=False) for w, _ in layers)
        self.biases = nn.ParameterList(nn.Parameter(b.detach().contiguous(), requires_grad=False) for _, b in layers)
        self.eval()

    def __len__(self) -> int:
        return len(self.weights[0])

    def forward(self, numbered: Tensor) -> Tensor:
        """Logits (N, k) of images (N, n + 1), whose last pixel is the number of the network over ``INDEX``."""
        index = (numbered[:, -1].detach() * INDEX).round().long().clamp(0, len(self) - 1)
        sizes = torch.bincount(index, minlength=len(self))
        most, order = int(sizes.max()), index.argsort(stable=True)
        place = torch.arange(len(index), device=index.device) - (sizes.cumsum(0) - sizes)[index[order]]
        slots = torch.empty_like(order).index_copy_(0, order, index[order] * most + place)
        shown = _Sort.apply(numbered[:, :-1], slots, len(self) * most).view(len(self), most, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if i:
                shown = shown.sigmoid()
            shown = torch.baddbmm(bias[:, None], shown, weight.mT)
        return _Collect.apply(shown.flatten(0, 1), slots)

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """What every network takes the same images for.

        Args:
            images: (N, n).

        Returns:
            (B, N) uint8.
        """
        found = []
        for part in images.split(20_000):
            shown = _forward(part, self.weights[0], self.biases[0])
            for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
                shown = torch.baddbmm(bias[:, None], shown.sigmoid_(), weight.mT)
            found.append(shown.argmax(2).to(torch.uint8))
        return torch.cat(found, 1)


def numbered(images: Tensor, networks: int) -> Tensor:
    """The same images for each of many networks: (B N, n + 1), network after network.

    Args:
        images: (N, n) in [0, 1].
        networks: B, at most ``INDEX``.

    Raises:
        ValueError: more networks than a pixel can tell apart.
    """
    if not 0 < networks <= INDEX:
        raise ValueError(f"got {networks} networks; expected 1 to {INDEX}; split them.")
    index = torch.arange(networks, device=images.device).repeat_interleave(len(images)).to(images) / INDEX
    return torch.cat([images.repeat(networks, 1), index[:, None]], 1)


def initial(widths: Sequence[int], seeds: Sequence[int], scales: Sequence[float] | None = None) -> Tensor:
    """Seeded initial parameters, those that ``recipes.build`` gives a network of these widths.

    Args:
        widths: of the layers, from the inputs to the outputs.
        seeds: (B,) of the networks.
        scales: (B,) factors on the initial weights; 1 by default.

    Returns:
        (B, P) float32.
    """
    found = []
    for seed, scale in zip(seeds, scales or [1.0] * len(seeds), strict=True):
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for a, b in zip(widths, widths[1:], strict=False):
            weight = nn.init.xavier_uniform_(torch.empty(b, a), generator=generator)
            parts += [scale * weight.flatten(), torch.zeros(b)]
        found.append(torch.cat(parts))
    return torch.stack(found)


STEPS = (Classification, Reconstruction, initial, line_search, _begin, _accept)
"""What decides where a training goes; the rest keeps account of it."""
