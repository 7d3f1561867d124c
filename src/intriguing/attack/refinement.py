"""The smallest |r| itself: a sequence of projections onto the linearised region of the target.

The constraint f(x + r) = l is taken as what it is, one inequality on logits per rival of the target. At the current
image the network is replaced by its linearisation, and the closest point of the box that satisfies the linearised
inequalities of the strongest rivals there is found exactly (``project_polyhedron``). On a linear network one such step
for the whole lead is the optimum, if the rivals that count at its end are among them; where one that was left out keeps
overtaking, more are written. On other networks two precautions make the steps converge from the clean image itself: the
lead that is asked for grows in stages, and where a step moves too far for the linearisation to hold, the point that is
projected is not the clean image but one on the way from it to the current image, which is the same as a charge for
moving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .models import out_of_memory
from .perturbations import logit_margin
from .polyhedron import Rows, project_polyhedron

STEPS = 30
# Strongest rivals that are written as constraints, chosen anew in each step. Where one that was left out overtakes
# after some steps, more than these may meet at the minimum, and take turns: the image goes on with twice as many.
RIVALS, PATIENCE = 6, 4
# A row is done when a full step would move it by less than this fraction of |r|; |r| itself has then settled to about
# the square of it, because it is stationary along the boundary.
SETTLED = 5e-3
STAGE = 0.5  # part of the missing lead that the first step asks for
NEAR = 0.02  # a lead this close to zero, as a fraction of the spread of the clean image's logits, is at the boundary
HEAVIEST = 0.95  # largest pull towards the current image
LAST = 1.02  # the lead that the last step asks for, in margins


@dataclass(eq=False)
class State(Rows):
    """The images that are still on their way.

    Attributes:
        row: (B,) long, which of all images they are.
        clean: (B, n), the images x.
        x: (B, n), where they are now.
        target: (B,) long.
        margin: (B,), the lead that is wanted.
        near: (B,), how close to zero a lead is at the boundary.
        multipliers: (B, k), those of the last projection, by class.
        pull: (B,), towards the current image, 0 to ``HEAVIEST``.
        stage: (B,), the part of the missing lead that a step asks for.
        before: (B,), the lead one step ago.
        aim: (B,), the lead that the last step was to reach.
        asked: (B, k) bool, of which rivals the last step took notice.
        moved: (B,), the length of the last step.
        moved_before: (B,), that of the one before.
    """

    row: Tensor
    clean: Tensor
    x: Tensor
    target: Tensor
    margin: Tensor
    near: Tensor
    multipliers: Tensor
    pull: Tensor
    stage: Tensor
    before: Tensor
    aim: Tensor
    asked: Tensor
    moved: Tensor
    moved_before: Tensor


def refine(
    classify: Callable[[Tensor], Tensor],
    clean: Tensor,
    targets: Tensor,
    margin: Tensor,
    *,
    start: Tensor | None = None,
    dtype: torch.dtype | None = None,
    spread: Tensor | None = None,
    rivals: int = RIVALS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Find perturbations of locally smallest norm that give the target a margin.

    Args:
        classify: flat images (B', n) -> logits (B', k), differentiable, each row on its own.
        clean: (B, n) in [0, 1], the images x.
        targets: (B,) long.
        margin: (B,), the lead of the target's logit that an image must have to count, above 0.
        start: (B, n) in [0, 1], images to start from, for instance some classified as their targets; by default the
            clean images.
        dtype: the images will be rounded to this type, and the margin is verified after rounding.
        spread: (B,), of the clean image's logits, those of classes that cannot win left out; by default of all finite
            ones.
        rivals: how many of the strongest are written as constraints; twice as many where it turns out that more count.

    Returns:
        images (B, n), the shortest that were seen with their margin; success (B,) bool, whether there was one (where
        not, the image is the start); and evaluations (B,) long: the backward passes made, one per rival and step, and
        the last step.

    Source:
        Nocedal and Wright, Numerical Optimization, chapter 18 (sequential quadratic programming); the exact subproblem
        is the problem of Szegedy et al. 2013, section 4.1, for the linearised network.
    """
    best = (clean if start is None else start).clone()
    shortest = clean.new_full((len(clean),), torch.inf)
    evaluations = torch.zeros(len(clean), dtype=torch.long, device=clean.device)
    if len(clean) == 0:
        return best, shortest.isfinite(), evaluations
    with torch.no_grad():
        logits = classify(clean)
    finite = logits.isfinite()
    whole = torch.where(finite, logits, -torch.inf).amax(1) - torch.where(finite, logits, torch.inf).amin(1)
    if spread is not None:  # the same number where every class counts, found in another precision
        whole = torch.minimum(whole, 1.001 * spread)
    unknown = torch.full_like(shortest, torch.inf)
    state = State(
        row=torch.arange(len(clean), device=clean.device),
        clean=clean,
        x=best.clone(),
        target=targets,
        margin=margin,
        near=NEAR * whole,
        multipliers=torch.zeros_like(logits),
        pull=torch.zeros_like(shortest),
        stage=torch.full_like(shortest, STAGE if start is None else 1.0),
        before=-unknown,
        aim=-unknown,
        asked=torch.ones_like(logits, dtype=torch.bool),
        moved=unknown,
        moved_before=unknown,
    )
    crowded, there = torch.zeros_like(targets, dtype=torch.bool), best.clone()
    for step in range(STEPS):
        state.x = state.x.to(dtype or clean.dtype).to(clean.dtype)
        lead, slope, rival = _linearise(classify, state.x, state.target, rivals)
        evaluations[state.row] += lead.shape[1]
        low = lead.amin(1)
        distance = _keep(state, low, best, shortest)
        _adapt(state, low)
        if step >= PATIENCE and rivals + 1 < logits.shape[1]:
            more = (low < state.margin) & ~state.asked.gather(1, rival[:, :1])[:, 0]
            if bool(more.any()):
                crowded[state.row[more]], there[state.row[more]] = True, state.x[more]
                state, lead, slope, rival = state.take(~more), lead[~more], slope[~more], rival[~more]
                low, distance = low[~more], distance[~more]
        z, multipliers = _step(state, lead, slope, rival)
        moved = (z - state.x).norm(dim=1)
        going = (moved > SETTLED * (1 - state.pull) * distance) | (low < state.margin)
        state.multipliers = torch.zeros_like(state.multipliers).scatter_(1, rival, multipliers)
        state.asked = torch.zeros_like(state.asked).scatter_(1, rival, True)
        state.before, state.moved_before, state.moved = low, state.moved, moved
        ended = ~going if step + 1 < STEPS else torch.ones_like(going)
        if bool(ended.any()):
            last, lines = state.take(ended), (lead[ended], slope[ended], rival[ended])
            _finish(classify, last, lines, dtype, best, shortest, evaluations)
        if bool(ended.all()):
            break
        state.x = z
        if bool(ended.any()):
            state = state.take(~ended)
    if bool(crowded.any()):
        row = crowded.nonzero()[:, 0]
        wide = None if spread is None else spread[row]
        about: dict[str, Any] = {"dtype": dtype, "spread": wide, "rivals": 2 * rivals}
        again, found, asked = refine(classify, clean[row], targets[row], margin[row], start=there[row], **about)
        evaluations[row] += asked
        distance = torch.where(found, (again - clean[row]).norm(dim=1), torch.inf)
        shorter = distance < shortest[row]
        best[row[shorter]], shortest[row[shorter]] = again[shorter], distance[shorter]
    return best, shortest.isfinite(), evaluations


def _finish(
    classify: Callable[[Tensor], Tensor],
    last: State,
    lines: tuple[Tensor, Tensor, Tensor],
    dtype: torch.dtype | None,
    best: Tensor,
    shortest: Tensor,
    evaluations: Tensor,
) -> None:
    """The last step, to the margin itself, where the linearisation has settled; a second one where that falls short."""
    # There it holds for less than twice the margin, and to rounding.
    last.aim, last.moved = LAST * last.margin, torch.zeros_like(last.moved)
    missed = torch.ones_like(last.row, dtype=torch.bool)
    for again in (False, True):
        if again:  # the lead is curved: once more, from where the step led
            last, count = last.take(missed), lines[0].shape[1]
            lines = _linearise(classify, last.x, last.target, count)
            evaluations[last.row] += count
        last.x = _step(last, *lines)[0].to(dtype or best.dtype).to(best.dtype)
        with torch.no_grad():
            low = logit_margin(classify(last.x), last.target)
        evaluations[last.row] += 1
        _keep(last, low, best, shortest)
        missed = low < last.margin
        if not bool(missed.any()):
            return


def _keep(state: State, low: Tensor, best: Tensor, shortest: Tensor) -> Tensor:
    """Write down the images that have their margin and are the shortest so far; their distances (B,)."""
    distance, row = (state.x - state.clean).norm(dim=1), state.row
    shorter = (low >= state.margin) & (distance < shortest[row])
    best[row[shorter]], shortest[row[shorter]] = state.x[shorter], distance[shorter]
    return distance


def _adapt(state: State, low: Tensor) -> None:
    """Set the pull, and the lead to aim for, from how the last linearisation fared."""
    margin, before, aim, pull = state.margin, state.before, state.aim, state.pull
    close = low > -state.near
    # Less than half of the lead that was promised, or steps along the boundary that do not shrink: move less.
    missed = (low < 0) & (low < before + 0.5 * (aim - before))
    slow = close & (state.moved > 0.7 * state.moved_before)
    freedom = (1 - pull) * torch.where(missed, 0.5, torch.where(slow, 0.6, 1.3)).float()
    state.pull = (1 - freedom).clamp(0, HEAVIEST)
    # Twice the margin, so that what curvature takes back leaves it; and where it took more, that much on top.
    goal = 2 * margin + torch.where(close & (low < margin) & (state.stage >= 1), (aim - low).clamp(min=0), 0)
    state.aim = torch.where(low < 0, low + state.stage * (goal - low), goal)
    state.stage = (1.5 * state.stage).clamp(max=1)


def _step(state: State, lead: Tensor, slope: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
    """The projection onto lead + slope (z - x) >= aim, of a point between the clean and the current image."""
    x, clean, freedom = state.x, state.clean, 1 - state.pull[:, None]
    bound = state.aim[:, None] - lead + torch.bmm(x[:, None, :], slope.mT)[:, 0]
    rounding = 4 * x.shape[1] ** 0.5 * torch.finfo(x.dtype).eps
    z, multipliers = project_polyhedron(
        torch.lerp(x, clean, freedom),
        slope,
        bound,
        # The multipliers of a full step shrink with the distance that is left.
        multipliers=state.multipliers.gather(1, rivals) * freedom,
        tolerance=(1e-3 * state.moved.clamp(max=1)).clamp(min=rounding),
    )
    return z, multipliers / freedom


def _linearise(
    classify: Callable[[Tensor], Tensor], x: Tensor, targets: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Lead of the target over its strongest rivals (B, q), the gradients of these leads (B, q, n), and who they are."""
    leaf = x.detach().requires_grad_()

    def asked() -> tuple[Tensor, Tensor, int]:
        logits = classify(leaf)
        others = logits.detach().scatter(1, targets[:, None], -torch.inf)
        count = min(most, logits.shape[1] - 1)
        rivals = others.topk(count).indices
        return logits.gather(1, targets[:, None]) - logits.gather(1, rivals), rivals, count

    with torch.enable_grad():
        leads, rivals, count = asked()
        unit = torch.eye(count, dtype=x.dtype, device=x.device)[:, None, :].expand(count, len(x), count)
        try:
            if torch.is_anomaly_enabled():
                raise RuntimeError("anomaly detection looks into gradients, which batched ones do not allow")
            (slope,) = torch.autograd.grad(leads, leaf, unit, is_grads_batched=True)
        except RuntimeError as problem:
            if out_of_memory(problem):
                raise
            # Not every backward pass can be batched: one by one then.
            leads, rivals, count = asked()
            slope = torch.stack(
                [torch.autograd.grad(leads[:, j].sum(), leaf, retain_graph=j + 1 < count)[0] for j in range(count)]
            )
    leads, slope = leads.detach(), slope.transpose(0, 1)
    # A rival that cannot win asks for nothing; where there are many, the target itself may be drawn among them.
    beyond = (leads == torch.inf) | (rivals == targets[:, None])
    if bool(beyond.any()):
        leads = leads.masked_fill(beyond, torch.finfo(leads.dtype).max ** 0.25)
        slope = slope.masked_fill(beyond[:, :, None], 0)
    return leads, slope, rivals
