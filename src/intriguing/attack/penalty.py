"""The paper's penalty method: minimisers of c |r|^2 + loss, the search over c, the path in c, and coarse grids."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import lbfgsb
from .checks import (
    check_classes,
    check_count,
    check_images,
    check_norm,
    check_numbers,
    check_per_row,
    check_plain,
    check_targets,
    checked_class,
)
from .models import Classifier
from .perturbations import logit_margin, value_and_gradient
from .refinement import refine as closest

SEARCH_STEPS = 30
NEAR = 0.1  # of the clean image's gap: closer to the edge than this, minimisers are solved to full tolerance
COARSE = 0.05  # tolerance of the solves further away
CANNOT_WIN = 4.0  # logits this many times further down than the box is wide belong to classes that cannot win
HOPELESS = 50.0  # a c this many e-folds below the first guess no longer costs anything: smaller ones change nothing


def penalty_path(
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    target: int,
    penalties: Tensor,
    *,
    norm: str = "squared",
    max_iterations: int = 500,
) -> tuple[Tensor, Tensor]:
    """Minimisers of c |r|^2 + loss (or c |r| + loss) for one image and many values of c, each from the clean image.

    Args:
        model: as for ``minimum_distortion``.
        image: (*shape) in [0, 1].
        target: the class l.
        penalties: (P,) values of c, above 0.
        norm: as for ``minimum_distortion``.
        max_iterations: L-BFGS iterations for each value of c.

    Returns:
        images (P, *shape) float64, the minimisers, and gaps (P,) float64, the target's logit minus the largest other.

    Raises:
        TypeError: as for ``minimum_distortion``, a target that is no whole number, or penalties that are no tensor.
        ValueError: as for ``minimum_distortion``, or a c that is not above 0.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    penalties = _penalties(penalties)
    if penalties.ndim != 1:
        raise ValueError(f"got penalties of shape {tuple(penalties.shape)}; expected (P,); use penalties.reshape(-1).")
    check_norm(norm)
    check_count("max_iterations", max_iterations, 0)
    if not isinstance(image, Tensor):
        check_images(image, name="image")
    check_plain(image, "image")
    images = image[None].expand(len(penalties), *image.shape)
    check_images(images, name="image")
    target = checked_class(target)
    with torch.inference_mode(False), torch.enable_grad():
        return _path(model, image, images.double().contiguous(), target, penalties, norm, max_iterations)


def _path(
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    images: Tensor,
    target: int,
    penalties: Tensor,
    norm: str,
    max_iterations: int,
) -> tuple[Tensor, Tensor]:
    """``penalty_path`` once its input is in order."""
    classify = Classifier(model, image[None])
    targets = torch.full((len(penalties),), target, dtype=torch.long, device=classify.device)
    search = Search(classify, images.to(classify.device), targets, norm)
    check_classes(targets, search.clean_logits().shape[1])
    c = penalties.to(search.clean)
    every = torch.arange(len(c), device=classify.device)
    objective = search.objective(c, every, torch.ones_like(c))
    found = lbfgsb.minimize_box(objective, search.clean, max_iterations=max_iterations, tolerance=1e-6)
    return found.x.view(images.shape).to(image.device), search.gaps(found.x, every).to(image.device)


def _penalties(penalties: Tensor) -> Tensor:
    """The values of c, if they are some."""
    if not isinstance(penalties, Tensor):
        raise TypeError(
            f"got penalties of type {type(penalties).__name__}; expected a tensor; convert them with torch.tensor."
        )
    check_plain(penalties, "penalties")
    if penalties.is_complex():
        raise TypeError(f"got penalties of {penalties.dtype}; expected real numbers; convert them with .real.")
    if not bool(((penalties > 0) & penalties.isfinite()).all()):
        wrong = penalties[~((penalties > 0) & penalties.isfinite())]
        raise ValueError(f"got c = {float(wrong[0])}; expected values above 0, finite ones; leave this one out.")
    return penalties


class Search:
    """The search over c for one chunk: a bracket per image in log c, moved by secant steps on the margin."""

    def __init__(self, classify: Callable, images: Tensor, targets: Tensor, norm: str) -> None:
        self.shape, self.dtype = images.shape, images.dtype
        # Copies: what the caller holds may be part of a graph or made in inference mode, and autograd refuses those.
        self.clean = images.detach().flatten(1).to(classify.dtype, copy=True)
        self.classify, self.targets, self.norm = classify, targets.clone(), norm
        count, device = len(images), images.device
        self.best = self.clean.clone()
        self.success = torch.zeros(count, dtype=torch.bool, device=device)
        self.penalty = self.clean.new_full((count,), torch.nan)
        self.evaluations = torch.ones(count, dtype=torch.long, device=device)

    def objective(self, penalty: Tensor, chosen: Tensor, unit: Tensor) -> lbfgsb.Objective:
        """c |r|^2 (or c |r|) + cross-entropy towards the target, over a unit per image, with its gradient."""

        def penalised(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            index, c = chosen[rows], penalty[rows] / unit[rows]
            loss, gradient = self.cross_entropy(x, index)
            loss, gradient = loss / unit[rows], gradient / unit[rows, None]
            r = x - self.clean[index]
            square = (r * r).sum(1)
            if self.norm == "squared":
                return loss + c * square, gradient.addcmul_(2 * c[:, None], r)
            length = square.sqrt()
            return loss + c * length, gradient.addcmul_((c / length.clamp(min=1e-12))[:, None], r)

        return penalised

    def cross_entropy(self, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """loss(x, l) per image and its gradient."""
        leaf = x.detach().requires_grad_()
        loss = F.cross_entropy(self.logits(leaf), self.targets[index], reduction="none")
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient.contiguous()  # a model that sums over pixels gives a view of fewer numbers

    def logits(self, x: Tensor) -> Tensor:
        return self.classify(x.view(-1, *self.shape[1:]))

    def gap(self, logits: Tensor, index: Tensor) -> Tensor:
        """Logit of the target minus the largest other one."""
        return logit_margin(logits, self.targets[index])

    @torch.no_grad()
    def clean_logits(self) -> Tensor:
        """The logits of the clean images."""
        if len(self.clean) == 0:
            return self.clean.new_empty(0, 2)
        logits = self.logits(self.clean)
        broken = ~((logits < torch.inf).all(1) & logits.isfinite().any(1))  # -inf is a class that cannot win
        if bool(broken.any()):
            raise ValueError(
                f"got NaN or infinity; expected finite logits, also for image {int(broken.nonzero()[0])} of its chunk; "
                "check the model's weights and normalisation."
            )
        return logits

    @torch.no_grad()
    def gaps(self, x: Tensor, index: Tensor) -> Tensor:
        """The gap at the images as they will be returned, rounding to their dtype included."""
        return self.gap(self.logits(x.to(self.dtype).to(x.dtype)), index)

    def begin(self, margin: float, *, sure: bool = False) -> None:
        """What needs no search, and the lead that a target must have elsewhere.

        With ``sure`` a clean image needs that lead as well to be left as it is.
        """
        logits = self.clean_logits()
        self.best_gap = self.gap(logits, torch.arange(len(logits), device=logits.device))
        there = self.best_gap > 0  # already classified as the target
        self.possible = self.best_gap > -torch.inf
        index = ((~there | sure) & self.possible).nonzero()[:, 0]
        self.square = self.clean.new_ones(len(self.clean))
        self.square[index] = self.slope_square(index)
        self.spread = spread_that_matters(logits, self.targets, (self.square * self.clean.shape[1]).sqrt())
        # Logits that all tie have no spread: take what a perturbation of length 0.001 makes of them.
        self.wanted = margin * torch.maximum(self.spread, 1e-3 * self.square.sqrt())
        if sure:
            there = there & (self.best_gap >= self.wanted)
        self.success |= there
        self.penalty[there] = torch.inf

    def run(
        self,
        margin: float,
        margin_tolerance: float,
        tolerance: float,
        max_iterations: int,
        history: int,
        *,
        sure: bool = False,
    ) -> None:
        """Bracket and narrow c for every image."""
        self.begin(margin, sure=sure)
        count, clean, best, success, penalty = len(self.clean), self.clean, self.best, self.success, self.penalty
        best_gap, wanted = self.best_gap, self.wanted
        there = success.clone()
        low, high = clean.new_full((count,), -torch.inf), clean.new_full((count,), torch.inf)  # log c: works, fails
        low_gap, high_gap = clean.new_zeros(count), clean.new_zeros(count)  # gap - wanted at those ends
        side = torch.zeros(count, dtype=torch.long, device=clean.device)  # which end moved last, for Illinois steps
        searching = ~there & self.possible
        steepness = clean.new_ones(count)
        steepness[searching] = self.steepness(searching.nonzero()[:, 0])
        distance = (wanted - best_gap).clamp(min=torch.finfo(clean.dtype).tiny)  # what the gap has to gain
        log_c = self.first_guess(self.square, distance)
        least = log_c - HOPELESS
        # A projected gradient cannot exceed the width of the box: steep losses are scaled to be comparable to it.
        unit = steepness.clamp(min=1)
        near = torch.zeros_like(there)  # the last minimiser lay near the edge, so the next is worth its digits
        start = clean.clone()
        for step in range(SEARCH_STEPS):
            index = searching.nonzero()[:, 0]
            if len(index) == 0:
                break
            c = log_c[index].exp()
            found = lbfgsb.minimize_box(
                self.objective(c, index, unit[index]),
                start[index],
                max_iterations=max_iterations,
                history=history,
                tolerance=steepness[index] / unit[index] * torch.where(near[index], tolerance, COARSE).float(),
                decrease_tolerance=1e-9,
                inverse_curvature=unit[index] / (2 * c) if self.norm == "squared" else None,
            )
            self.evaluations[index] += found.evaluations + 1
            gap = self.gaps(found.x, index) - wanted[index]
            works = gap >= 0
            # A failing image keeps the attempt that came nearest to the target's region.
            better = works & ~(success[index] & self._larger(found.x, best[index], index))
            better |= ~success[index] & (gap + wanted[index] > best_gap[index])
            best[index] = torch.where(better[:, None], found.x, best[index])
            best_gap[index] = torch.where(better, gap + wanted[index], best_gap[index])
            penalty[index] = torch.where(better & works, c, penalty[index])
            success[index] |= works
            # Near the edge a coarse minimiser may lie on its wrong side: it bounds nothing, and c is solved once more.
            again = ~near[index] & (gap.abs() <= NEAR * distance[index])
            near[index] |= again
            start[index] = torch.where((works | again)[:, None], found.x, start[index])
            works, index, gap = works[~again], index[~again], gap[~again]

            # Illinois: halve the remembered gap of an end that has stayed twice, so that both ends move.
            now = torch.where(works, 1, -1)
            twice = now == side[index]
            low_gap[index] = torch.where(
                works, gap, low_gap[index] * torch.where(twice & ~works, 0.5, 1.0).to(gap.dtype)
            )
            high_gap[index] = torch.where(
                works, high_gap[index] * torch.where(twice & works, 0.5, 1.0).to(gap.dtype), gap
            )
            low[index] = torch.where(works, log_c[index], low[index])
            high[index] = torch.where(works, high[index], log_c[index])
            side[index] = now
            hopeless = ~works & (log_c[index] < least[index])
            leap = 0.7 * 1.3**step
            log_c[index] = self.next_penalty(low[index], high[index], low_gap[index], high_gap[index], leap)
            close = near[index] & works & (gap <= margin_tolerance * distance[index])
            narrow = near[index] & (high[index] - low[index] < 1e-4)
            searching[index] = ~(close | narrow | hopeless)

    def refine(self, fast: Classifier, *, from_clean: bool) -> None:
        """Shorten what was found, or, from the clean images, find and shorten, with another precision for the work."""
        index = ((self.penalty != torch.inf) & self.possible).nonzero()[:, 0]
        clean, start = self.clean[index].to(fast.dtype), self.best[index].to(fast.dtype)
        found, there, evaluations = closest(
            lambda x: fast(x.view(-1, *self.shape[1:])),
            clean,
            self.targets[index],
            1.1 * self.wanted[index].to(fast.dtype),  # more than is verified, for what rounding takes
            start=None if from_clean else start,
            dtype=self.dtype,
            spread=self.spread[index].to(fast.dtype),
        )
        found = found.to(self.dtype).to(self.clean.dtype)
        there &= self.gaps(found, index) >= self.wanted[index]
        self.best[index[there]] = found[there]
        self.success[index[there]] = True
        self.evaluations[index] += evaluations + 1

    def left(self) -> Tensor:
        """The images without an adversarial example."""
        return (~self.success).nonzero()[:, 0]

    def adopt(self, other: Search, index: Tensor) -> None:
        """Take over what another search found for some of the images."""
        self.best[index], self.success[index], self.penalty[index] = other.best, other.success, other.penalty
        self.evaluations[index] += other.evaluations

    def outcome(self) -> tuple[Tensor, ...]:
        """The fields of ``Distortion``, in order."""
        images = self.best.to(self.dtype)
        rms = (images.to(self.clean.dtype) - self.clean).square().mean(1).sqrt()
        return images.view(self.shape), rms.double(), self.success, self.penalty.double(), self.evaluations

    def _larger(self, x: Tensor, other: Tensor, index: Tensor) -> Tensor:
        return (x - self.clean[index]).square().sum(1) >= (other - self.clean[index]).square().sum(1)

    def slope_square(self, index: Tensor) -> Tensor:
        """|g|^2 of the gap at the clean images, over the free pixels."""
        clean = self.clean[index]
        _, slope = value_and_gradient(lambda x: self.gap(self.logits(x), index), clean)
        slope = ((clean + slope).clamp(0, 1) - clean).sign() * slope  # a black pixel cannot get darker
        self.evaluations[index] += 1
        return (slope * slope).sum(1).clamp(min=torch.finfo(slope.dtype).tiny)

    def steepness(self, index: Tensor) -> Tensor:
        """The largest entry of the gradient of the loss at the clean images."""
        self.evaluations[index] += 1
        return self.cross_entropy(self.clean[index], index)[1].abs().amax(1)

    def first_guess(self, square: Tensor, distance: Tensor) -> Tensor:
        """Where the search over log c starts.

        A network as straight as it is at the clean image, with gap -m and slope g of the gap over the free pixels,
        reaches the target at |r| = m / |g|; there both classes have probability one half, the cross-entropy has slope
        |g| / 2, and 2 c |r| = |g| / 2.
        """
        log_c = (square / (4 * distance)).log()
        if self.norm == "plain":
            log_c += (2 * distance / square.sqrt()).log()
        return log_c

    @staticmethod
    def next_penalty(low: Tensor, high: Tensor, low_gap: Tensor, high_gap: Tensor, leap: float) -> Tensor:
        """log c of the next try: a secant step inside the bracket, a leap outside while there is none."""
        width = high - low
        secant = low + width * (low_gap / (low_gap - high_gap)).nan_to_num(0.5).clamp(0.02, 0.98)
        bracketed = low.isfinite() & high.isfinite()
        return torch.where(bracketed, secant, torch.where(low.isfinite(), low + leap, high - leap))


def spread_that_matters(logits: Tensor, targets: Tensor, reach: Tensor) -> Tensor:
    """From the largest logit of each image down to the smallest that could win somewhere in the box, if not far off.

    A class may be masked by a logit of -1e9 or -inf. What lies much further below the target and the leader than the
    one could move against the other anywhere in the box, were the network straight, does not count.

    Args:
        logits: (B, k), of the clean images; -inf allowed.
        targets: (B,) long.
        reach: (B,), the norm of the slope of the gap times the diagonal of the box.

    Returns:
        (B,), above 0.
    """
    if len(logits) == 0:
        return logits.new_empty(0)
    below = logits.amax(1, keepdim=True) - logits
    own = below.gather(1, targets[:, None]).nan_to_num(posinf=0.0)
    matters = below.isfinite() & (below <= CANNOT_WIN * (own + reach[:, None]))
    return torch.where(matters, below, 0).amax(1).clamp(min=torch.finfo(logits.dtype).tiny)


ONE_FOR_ALL = 0.0  # in the place of a ratio of the grid: one c for all images of a set
_ROWS = 512  # problems solved at a time


def grid_distortion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    penalties: Tensor,
    *,
    norm: str = "squared",
    max_iterations: int = 300,
) -> tuple[Tensor, Tensor]:
    """Minimisers of c |r|^2 + loss (or c |r| + loss) on a grid of values of c, each started from the clean image.

    Args:
        model: images (B, *shape) -> logits (B, k), in evaluation mode.
        images: (B, *shape) in [0, 1].
        targets: (B,) long, the class l of each image.
        penalties: (P,) values of c above 0 for all images, or (B, P) with a grid for each.
        norm: ``"squared"`` or ``"plain"``.
        max_iterations: L-BFGS iterations for each minimiser.

    Returns:
        images (B, P, *shape), of the dtype of the input, and gaps (B, P) float64: the target's logit minus the largest
        other one at these images, positive where the target is reached.

    Raises:
        TypeError: images, targets or model of another type, or targets that are not int64.
        ValueError: as for ``minimum_distortion``, a c that is not above 0, or shapes that do not fit.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    check_images(images)
    check_targets(images, targets)
    penalties = _penalties(penalties)
    check_norm(norm)
    check_count("max_iterations", max_iterations, 0)
    if penalties.ndim not in (1, 2) or (penalties.ndim == 2 and len(penalties) != len(images)):
        raise ValueError(
            f"got penalties of shape {tuple(penalties.shape)}; expected (P,) or ({len(images)}, P); give one grid for "
            "all images, or one for each."
        )
    count = penalties.shape[-1]
    repeated, wanted = images.repeat_interleave(count, 0), targets.repeat_interleave(count)
    prices = penalties.double().to(images.device).expand(len(images), count).flatten()
    found, gaps = [images[:0]], [prices[:0]]
    rows = (part.split(_ROWS) for part in (repeated, wanted, prices))
    with torch.inference_mode(False), torch.enable_grad():
        classify = Classifier(model, images)
        for part, aims, c in zip(*rows, strict=True):
            search = Search(classify, part.to(classify.device), aims.to(classify.device), norm)
            check_classes(aims, search.clean_logits().shape[1])
            c = c.to(search.clean)
            every = torch.arange(len(c), device=classify.device)
            best = lbfgsb.minimize_box(
                search.objective(c, every, torch.ones_like(c)),
                search.clean,
                max_iterations=max_iterations,
                history=5,
                tolerance=1e-5,
                decrease_tolerance=1e-9,
                inverse_curvature=1 / (2 * c) if norm == "squared" else None,
            )
            found.append(best.x.view(part.shape).to(images))
            gaps.append(search.gaps(best.x, every).to(prices))
    shape = (len(images), count)
    return torch.cat(found).unflatten(0, shape), torch.cat(gaps).unflatten(0, shape)


def coarse_search(
    model: nn.Module, images: Tensor, targets: Tensor, edges: Tensor, ratio: float, *, norm: str = "squared"
) -> tuple[Tensor, Tensor]:
    """What a search over c on a coarse grid would have returned, computed from where the exact search ended.

    The grid holds the powers of the ratio, and the search returns the minimiser of the largest c on it whose minimiser
    reaches the target. As a rule the lead of the target falls as c grows, and that is the last grid value not above
    the edge; where it fails, the next smaller one is tried, and no further one.

    Args:
        model: as for ``grid_distortion``.
        images: (B, *shape) in [0, 1].
        targets: (B,) long.
        edges: (B,) the largest c that succeeds, as ``Distortion.penalty`` has it: infinite for an image that is taken
            for its target already, NaN where none succeeded; such images come back unchanged.
        ratio: of neighbouring values of c, above 1; ``ONE_FOR_ALL`` uses the smallest of the edges for all images, and
            nine tenths of it where that fails.
        norm: as for ``grid_distortion``.

    Returns:
        images (B, *shape) and reached (B,) bool, whether the target is reached there; where neither value of c reaches
        it, the image is the minimiser of the larger one.

    Raises:
        TypeError: as for ``grid_distortion``, or edges that are no floating tensor.
        ValueError: as for ``grid_distortion``, not one edge for each image, one that is not above 0, or a ratio that is
            neither above 1 nor ``ONE_FOR_ALL``.
    """
    check_images(images)
    check_targets(images, targets)
    if not isinstance(edges, Tensor):
        raise TypeError(
            f"got edges of type {type(edges).__name__}; expected a tensor, ({len(images)},); convert them with "
            "torch.tensor."
        )
    check_per_row("edges", edges, len(images))
    if edges.shape != images.shape[:1] or bool((edges <= 0).any()):
        raise ValueError(
            f"got edges of shape {tuple(edges.shape)}, the least of them {float(edges.nan_to_num(1.0).min()):g}; "
            f"expected one above 0 for each image, ({len(images)},); give Distortion.penalty."
        )
    check_numbers(ratio=ratio)
    if not (ratio == ONE_FOR_ALL or ratio > 1):
        raise ValueError(f"got ratio {ratio}; expected one above 1; give ONE_FOR_ALL for one c for all images.")
    searched = edges.isfinite().nonzero()[:, 0]
    found, reached = images.clone(), edges == torch.inf
    if len(searched) == 0:
        return found, reached
    edge = edges[searched].double()
    if ratio == ONE_FOR_ALL:
        steps = edge.amin().expand(len(edge), 1) * edge.new_tensor([1.0, 0.9])
    else:
        below = (edge.log() / math.log(ratio)).floor()
        # Where the lead does not quite fall with c, the grid value below the edge may fail: then the next one.
        steps = ratio ** (below[:, None] - torch.arange(2, device=edge.device))
    moved, gaps = grid_distortion(model, images[searched], targets[searched], steps, norm=norm)
    first = (gaps > 0).int().argmax(1)
    found[searched] = moved[torch.arange(len(searched), device=moved.device), first]
    reached[searched] = (gaps > 0).any(1).to(reached.device)
    return found, reached


def grid_search(
    model: nn.Module, images: Tensor, targets: Tensor, penalties: Tensor, *, norm: str = "squared"
) -> tuple[Tensor, Tensor]:
    """The search over c on a whole grid: the minimiser of the largest c whose minimiser reaches the target.

    Args:
        model: as for ``grid_distortion``.
        images: (B, *shape) in [0, 1].
        targets: (B,) long.
        penalties: (P,) values of c, at least one, increasing.
        norm: as for ``grid_distortion``.

    Returns:
        images (B, *shape), unchanged where no c reaches the target, and reached (B,) bool.

    Raises:
        TypeError, ValueError: as for ``grid_distortion``.
    """
    penalties = _penalties(penalties)
    if penalties.ndim != 1 or len(penalties) == 0 or bool((penalties.diff() <= 0).any()):
        raise ValueError(
            f"got penalties of shape {tuple(penalties.shape)}, {penalties.flatten()[:3].tolist()}...; expected (P,) in "
            "increasing order, at least one; sort them with torch.unique."
        )
    moved, gaps = grid_distortion(model, images, targets, penalties, norm=norm)
    reached = (gaps > 0).any(1)
    last = len(penalties) - 1 - (gaps > 0).flip(1).int().argmax(1)
    found = moved[torch.arange(len(images), device=moved.device), last]
    return torch.where(reached.view(-1, *[1] * (images.ndim - 1)), found, images), reached
