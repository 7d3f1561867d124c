"""Yardsticks for D(x, l): one image at a time with SciPy, and the exact optimum for linear classifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

PENALTIES = 15  # values of c per image, the bisection of a careful user
RESTARTS = 10
INFEASIBLE = 1e-5  # Euclidean distance by which the exact solution may miss a margin


@dataclass(frozen=True)
class Exact:
    """The exact solution of a convex instance of D(x, l), with its certificate.

    Attributes:
        image: (m,) float64, x + r.
        rms: the distortion.
        gap: relative duality gap, abs(primal - dual) / primal, of half the squared length of r. Where all inequalities
            hold, that number exceeds its least value by at most this fraction of itself, and the image lies no further
            from the best one than the root of this fraction times the length of r.
    """

    image: Tensor
    rms: float
    gap: float


def scipy_distortion(model: Callable[[Tensor], Tensor], image: Tensor, target: int, *, margin: float = 0.0) -> float:
    """D(x, l) as a user would compute it: SciPy's L-BFGS-B for one image, bisection on log c.

    Args:
        model: images (1, *shape) float64 -> logits (1, k); its weights in float64.
        image: (*shape) in [0, 1].
        target: the class l.
        margin: logits by which the target must lead.

    Returns:
        The distortion (root mean square per pixel) of the best image found; NaN where none was found.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    clean = image.detach().double().flatten().cpu().numpy()
    wanted = torch.tensor([target], device=image.device)

    def as_image(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).view(1, *image.shape).to(image.device)

    def objective(x: np.ndarray, c: float) -> tuple[float, np.ndarray]:
        leaf = as_image(x).requires_grad_()
        loss = F.cross_entropy(model(leaf), wanted)
        (gradient,) = torch.autograd.grad(loss, leaf)
        r = x - clean
        return loss.item() + c * (r @ r), gradient.flatten().cpu().numpy() + 2 * c * r

    def reaches(x: np.ndarray) -> bool:
        with torch.no_grad():
            logits = model(as_image(x))[0]
        others = torch.cat([logits[:target], logits[target + 1 :]])
        return bool(logits[target] - others.max() >= margin)

    if reaches(clean):
        return 0.0
    best, start = np.nan, clean
    low, high = -6.0, 4.0  # log10 c
    bounds = [(0.0, 1.0)] * len(clean)
    for _ in range(PENALTIES):
        c = 10 ** ((low + high) / 2)
        found = minimize(objective, start, args=(c,), jac=True, bounds=bounds, method="L-BFGS-B").x
        if reaches(found):
            low, start = np.log10(c), found
            best = np.fmin(best, np.sqrt(np.mean((found - clean) ** 2)))
        else:
            high = np.log10(c)
    return float(best)


def exact_linear_distortion(weight: Tensor, bias: Tensor, image: Tensor, target: int, *, margin: float = 0.0) -> Exact:
    """The exact D(x, l) of a linear classifier, from the dual of its convex quadratic programme.

    Minimise |r|^2 / 2 subject to A (x + r) + d >= margin and 0 <= x + r <= 1, with one row of A per rival class:
    w_l - w_j. For multipliers y >= 0 of those k - 1 rows the best image is clip(x + A'y), so the dual is a concave
    function of k - 1 variables; SciPy maximises it, and the duality gap certifies the result.

    Args:
        weight: (k, m), the rows w_j.
        bias: (k,).
        image: (m,) or any shape of m entries, in [0, 1].
        target: the class l.
        margin: logits by which the target must lead.

    Returns:
        An ``Exact``.

    Raises:
        ValueError: no image of the box reaches the target, so that the dual is unbounded.

    Source:
        Szegedy et al. 2013, section 4.1, which calls the penalty method exact for convex losses. With more than two
        classes it need not be, as the loss weighs them all; this programme has no such remainder. Boyd and
        Vandenberghe, Convex Optimization, chapter 5.
    """
    w, b = weight.detach().double().cpu().numpy(), bias.detach().double().cpu().numpy()
    x = image.detach().double().flatten().cpu().numpy()
    rivals = [j for j in range(len(w)) if j != target]
    a = w[target] - w[rivals]  # (k - 1, m)
    d = b[target] - b[rivals] - margin
    # The problem is the same for logits in any unit: take the one in which a violation is a distance between images.
    unit = np.linalg.norm(a, axis=1).max() or 1.0
    a, d = a / unit, d / unit

    def negative_dual(y: np.ndarray) -> tuple[float, np.ndarray]:
        moved = np.clip(x + a.T @ y, 0, 1)
        r, slack = moved - x, a @ moved + d
        return -(0.5 * r @ r - y @ slack), slack

    y = np.zeros(len(rivals))
    for _ in range(RESTARTS):  # they let the quasi-Newton metric forget kinks of the clip
        y = minimize(
            negative_dual,
            y,
            jac=True,
            bounds=[(0, None)] * len(rivals),
            method="L-BFGS-B",
            options={"maxiter": 300, "maxfun": 500, "ftol": 1e-16, "gtol": 1e-14},
        ).x
        moved = np.clip(x + a.T @ y, 0, 1)
        slack = a @ moved + d
        primal, dual = 0.5 * np.sum((moved - x) ** 2), -negative_dual(y)[0]
        if dual > 0.5 * len(x):  # more than any image of the box can cost
            break
        if slack.min() > -1e-9 and abs(primal - dual) <= 1e-10 * primal:
            break
    if slack.min() < -INFEASIBLE:
        raise ValueError(f"got class {target}, which no image of the box reaches; expected one that some image does.")
    gap = abs(primal - dual) / primal if primal > 0 else 0.0
    return Exact(torch.from_numpy(moved), float(np.sqrt(2 * primal / len(x))), float(gap))
