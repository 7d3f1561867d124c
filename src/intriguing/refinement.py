"""From the edge of the penalty method down to a true local minimum of |r| on the boundary of the target's region.

The cross-entropy charges for all rivals of the target, so its edge lies above the minimum. Here the constraint
f(x + r) = l is written as what it is, one inequality on logits per rival, and solved by a sequence of projections: the
network is replaced by its linearisation at the current image, the closest point of the box that satisfies the
linearised inequalities is found exactly (``projection.project``), and the step is repeated from there. On a linear
network the first step is exact. Elsewhere the steps contract where the boundary bends less than the sphere around the
clean image; where they do not, they are shortened.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .projection import project

STEPS = 25
RIVALS = 9  # strongest rivals that are written as constraints; with ten classes, all of them
SETTLED = 2e-4  # a row is done when a full step would move it by less than this fraction of |r|


def refine(
    classify: Callable[[Tensor], Tensor],
    clean: Tensor,
    start: Tensor,
    targets: Tensor,
    margin: Tensor,
    *,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Shorten perturbations that reach their targets, keeping them there.

    Args:
        classify: flat images (B', n) -> logits (B', k), differentiable, each row on its own.
        clean: (B, n) in [0, 1], the images x.
        start: (B, n) in [0, 1], images classified as their targets with at least the margin.
        targets: (B,) long.
        margin: (B,), the lead of the target's logit that every returned image has, above 0.
        dtype: the images will be rounded to this type, and the margin is verified after rounding.

    Returns:
        images (B, n), each at most as far from ``clean`` as its start and with its margin kept, and evaluations (B,)
        long, the backward passes made, one per rival and step.

    Source:
        Nocedal and Wright, Numerical Optimization, chapter 18 (sequential quadratic programming); the exact subproblem
        is the projection that Szegedy et al. 2013, section 4.1, states for a linear network.
    """
    best = start.clone()
    evaluations = torch.zeros(len(clean), dtype=torch.long, device=clean.device)
    rows = torch.arange(len(clean), device=clean.device)
    x, length = start, (start - clean).norm(dim=1)
    damping, last = torch.ones_like(length), torch.full_like(length, torch.inf)
    multipliers = None
    for step in range(STEPS):
        if len(rows) == 0:
            break
        x = x.to(dtype or x.dtype).to(x.dtype)
        wanted = margin[rows]
        lead, slope = _linearise(classify, x, targets[rows])
        evaluations[rows] += lead.shape[1]
        shorter = (lead.amin(1) >= wanted) & ((x - clean[rows]).norm(dim=1) < length)
        best[rows[shorter]] = x[shorter]
        length = torch.where(shorter, (x - clean[rows]).norm(dim=1), length)
        if step == STEPS - 1:
            break
        # lead + slope (z - x) >= 2 margin: twice, so that what curvature takes back leaves the margin.
        bound = 2 * wanted[:, None] - lead + torch.bmm(slope, x[:, :, None])[:, :, 0]
        if multipliers is not None and multipliers.shape != bound.shape:
            multipliers = None
        z, multipliers = project(clean[rows], slope, bound, multipliers=multipliers, tolerance=1e-7)
        move = z - x
        size = move.norm(dim=1)
        damping = torch.where(size > 0.7 * last, (0.6 * damping).clamp(min=0.05), (1.2 * damping).clamp(max=1))
        last = size
        x = x + damping[:, None] * move
        going = size > SETTLED * length
        going |= step == 0
        rows, x, length, damping, last, multipliers = (
            tensor[going] for tensor in (rows, x, length, damping, last, multipliers)
        )
    return best, evaluations


def _linearise(classify: Callable[[Tensor], Tensor], x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Lead of the target over its strongest rivals, (B, q), and the gradients of these leads, (B, q, n)."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = classify(leaf)
        others = logits.detach().scatter(1, targets[:, None], -torch.inf)
        count = min(RIVALS, logits.shape[1] - 1)
        # With few classes all rivals in a fixed order, so that multipliers carry over from step to step.
        rivals = others.topk(count).indices.sort(1).values
        leads = logits.gather(1, targets[:, None]) - logits.gather(1, rivals)
        unit = torch.eye(count, dtype=x.dtype, device=x.device)[:, None, :].expand(count, len(x), count)
        (slope,) = torch.autograd.grad(leads, leaf, unit, is_grads_batched=True)
    return leads.detach(), slope.transpose(0, 1).contiguous()
