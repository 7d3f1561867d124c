"""Yardsticks for D(x, l): one image at a time with SciPy, and the exact optimum for linear classifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

from .checks import check_classes, check_count, check_images, check_numbers, check_plain, check_vectors, checked_class
from .models import Classifier
from .perturbations import logit_margin

PENALTIES = 15  # values of c per image, the bisection of a careful user
RESTARTS = 10
FAR = 10.0  # a lead, as a multiple of what crossing the whole box could change, which nothing takes away
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
        model: as for ``minimum_distortion``.
        image: (*shape) floating, in [0, 1].
        target: the class l.
        margin: logits by which the target must lead.

    Returns:
        The distortion (root mean square per pixel) of the best image found; NaN where none was found.

    Raises:
        TypeError: as for ``minimum_distortion``, a target that is no whole number, or a margin that is none.
        ValueError: as for ``minimum_distortion``.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    _check_image(image)
    target = checked_class(target)
    check_numbers(margin=margin)
    with torch.inference_mode(False), torch.enable_grad():
        return _bisected(Classifier(model, image[None]), image, target, margin)


def _check_image(image: Tensor) -> None:
    """Raises an error unless something is one image with pixels in [0, 1]."""
    if isinstance(image, Tensor):
        check_plain(image, "image")
    check_images(image[None] if isinstance(image, Tensor) and image.ndim else image, name="image")


def _bisected(classify: Classifier, image: Tensor, target: int, margin: float) -> float:
    """``scipy_distortion`` once its input is in order."""
    clean = image.detach().double().flatten().cpu().numpy()
    wanted = torch.tensor([target], device=classify.device)

    def as_image(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).view(1, *image.shape).to(classify.device, classify.dtype)

    def loss_at(x: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = as_image(x).requires_grad_()
        loss = F.cross_entropy(classify(leaf), wanted)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.item(), gradient.double().flatten().cpu().numpy()

    def objective(x: np.ndarray, c: float) -> tuple[float, np.ndarray]:
        loss, gradient = loss_at(x)
        r = x - clean
        return loss / unit + c * (r @ r), gradient / unit + 2 * c * r

    def reaches(x: np.ndarray) -> bool:
        with torch.no_grad():
            logits = classify(as_image(x))
        check_classes(wanted, logits.shape[1])
        return float(logit_margin(logits, wanted)) >= margin

    if reaches(clean):
        return 0.0
    # SciPy's tolerances are absolute: a loss much quieter or steeper than one per pixel is measured by its own slope.
    steepness = float(np.abs(loss_at(clean)[1]).max())
    unit = 1.0 if steepness == 0 or 1e-4 <= steepness <= 1e4 else steepness
    best, start = np.nan, clean
    low, high = -6.0, 4.0  # log10 c, over that unit
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
        weight: (k, m) floating, the rows w_j, k at least 2.
        bias: (k,) floating; -inf for a class that cannot win.
        image: (m,) or any shape of m entries, floating, in [0, 1].
        target: the class l.
        margin: logits by which the target must lead.

    Returns:
        An ``Exact``.

    Raises:
        TypeError: weight, bias or image are no floating tensors, the target no whole number, or the margin none.
        ValueError: no image of the box reaches the target, so that the dual is unbounded; shapes that do not fit,
            entries that are not finite, pixels outside [0, 1], or a target that is no class.

    Source:
        Szegedy et al. 2013, section 4.1, which calls the penalty method exact for convex losses. With more than two
        classes it need not be, as the loss weighs them all; this programme has no such remainder. Boyd and
        Vandenberghe, Convex Optimization, chapter 5.
    """
    check_vectors(weight, (None, None), "weight")
    if isinstance(bias, Tensor):
        check_plain(bias, "bias")
    masked = bias.masked_fill(bias == -torch.inf, 0) if isinstance(bias, Tensor) else bias
    check_vectors(masked, (len(weight),), "bias")
    check_count("classes", len(weight), 2)
    _check_image(image)
    check_images(image.reshape(1, -1), (weight.shape[1],), "image")
    target = checked_class(target, len(weight))
    check_numbers(margin=margin)
    unreachable = ValueError(
        f"got class {target}, which no image of the box reaches; expected one that some image does; choose another."
    )
    w, b = weight.detach().double().cpu().numpy(), bias.detach().double().cpu().numpy()
    x = image.detach().double().flatten().cpu().numpy()
    if b[target] == -np.inf:
        raise unreachable
    rivals = [j for j in range(len(w)) if j != target]
    # The problem is the same for logits in any unit: a power of two keeps all digits and every square finite, ...
    _, power = np.frexp(np.abs(w).max())
    w = np.ldexp(w, -power)
    a = w[target] - w[rivals]  # (k - 1, m)
    with np.errstate(over="ignore"):  # what overflows is decided next
        d = np.ldexp(b[target] - b[rivals] - margin, -power)
    norm, most = np.linalg.norm(a, axis=1), np.abs(a).sum(1)
    if (d + np.maximum(a, 0).sum(1) < -INFEASIBLE * norm).any():
        raise unreachable
    counts = d < FAR * most  # the others win nowhere near the box
    if not counts.any():
        return Exact(torch.from_numpy(x.copy()), 0.0, 0.0)
    a, d, norm = a[counts], d[counts], norm[counts]
    # ... and the largest norm makes a violation a distance between images; a rival whose row is tiny has its own.
    unit = np.where(norm > 1e-3 * norm.max(), norm.max(), norm)
    a, d = a / unit[:, None], d / unit

    def negative_dual(y: np.ndarray) -> tuple[float, np.ndarray]:
        moved = np.clip(x + a.T @ y, 0, 1)
        r, slack = moved - x, a @ moved + d
        return -(0.5 * r @ r - y @ slack), slack

    y = np.zeros(len(a))
    for _ in range(RESTARTS):  # they let the quasi-Newton metric forget kinks of the clip
        y = minimize(
            negative_dual,
            y,
            jac=True,
            bounds=[(0, None)] * len(a),
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
        raise unreachable
    gap = abs(primal - dual) / primal if primal > 0 else 0.0
    return Exact(torch.from_numpy(moved), float(np.sqrt(2 * primal / len(x))), float(gap))
