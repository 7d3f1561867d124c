"""D(x, l): the closest image to x that a network classifies as l, for a whole batch of images at once.

The paper's penalty method: for a weight c > 0, box-constrained L-BFGS minimises c |r| + loss(x + r, l) with x + r in
[0, 1]; a search over c, one per image, finds the largest c whose minimiser is still classified as l, because the more
the perturbation costs, the smaller it is. ("Minimum c" in the paper, which writes c in front of |r|, can only mean
this edge.) Here the search follows the logit margin of l, which is a smooth decreasing function of log c along a path
of minimisers, so that a few safeguarded secant steps replace a long bisection.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from . import lbfgsb
from .data import check_images
from .refinement import refine as closest

# What the target must lead by, as a fraction of the spread of the clean image's logits: far above the rounding of
# float32, so that neither another precision nor another batch undoes it, and worth 0.01 % of distortion.
MARGIN = 5e-5
SEARCH_STEPS = 30
NEAR = 0.1  # of the clean image's gap: closer to the edge than this, minimisers are solved to full tolerance
COARSE = 0.05  # tolerance of the solves further away
HOPELESS = 50.0  # a c this many e-folds below the first guess no longer costs anything: smaller ones change nothing


@dataclass(frozen=True)
class Distortion:
    """The outcome of ``minimum_distortion``, one entry per image.

    Attributes:
        images: (B, *shape), x + r, inside the box, of the dtype of the input.
        rms: (B,) float64, sqrt(mean over pixels of r^2), the distortion as the paper measures it.
        success: (B,) bool, whether the network classifies the image as its target; where False, ``images`` holds the
            closest attempt: the one with the largest margin of the target.
        penalty: (B,) float64, the c found; infinite where r = 0, NaN where no c succeeded or none was sought.
        evaluations: (B,) long, forward and backward passes that the image took part in.
    """

    images: Tensor
    rms: Tensor
    success: Tensor
    penalty: Tensor
    evaluations: Tensor


def minimum_distortion(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
    *,
    refine: bool = False,
    norm: str = "squared",
    bounds: tuple[float, float] = (0.0, 1.0),
    margin: float = MARGIN,
    margin_tolerance: float = 1e-3,
    tolerance: float = 1e-3,
    max_iterations: int = 100,
    history: int = 5,
    chunk: int | None = None,
    progress: str | None = None,
) -> Distortion:
    """Approximate D(x, l) by the paper's penalty method, batched, with one c per image.

    Args:
        model: images (B, *shape) -> logits (B, k); an ``nn.Module`` in evaluation mode, or any function that torch
            can differentiate. A module is evaluated where its weights are, in float64 where that device has it (a copy;
            yours is untouched); a function is called with images of that precision and has to accept them.
        images: (B, *shape) float32 or float64, inside the bounds.
        targets: (B,) long, the class l that each image shall be taken for.
        refine: False is the paper's method: the minimiser of the penalised loss at the edge in c. True looks for a
            local minimum of |r| itself by a sequence of projections, which is shorter and faster to find; an image for
            which these do not arrive is sent through the penalty method and on from there. A float32 module works in
            float32 then, and each result is verified in float64.
        norm: ``"squared"`` penalises c |r|^2, ``"plain"`` c |r|, the printed form; the stationary points are the same
            with c' = c / (2 |r|). Where the loss is nearly straight along the way (quiet logits, an image close to the
            boundary) c |r| has no sharp minimum, and the plain form returns a longer r than the squared one.
        bounds: (lowest, highest) value of a pixel; the paper's box is [0, 1]. A problem on another box is the same
            problem, with ``rms`` in the units of its pixels.
        margin: what the target's logit must exceed every other by, as a fraction of the spread (largest minus
            smallest) of the clean image's logits, greater than 0.
        margin_tolerance: the search over c ends when the target leads by at most this much more than asked, as a
            fraction of what it trails by at the clean image.
        tolerance: projected gradient at which a minimiser for one c counts as found, as a fraction of the largest
            entry of the gradient of the loss at the clean image; earlier values of c, which only narrow the bracket,
            are solved more loosely.
        max_iterations: L-BFGS iterations for each value of c.
        history: pairs kept by L-BFGS.
        chunk: images solved at a time, at least 1; bounds memory, and the result does not depend on it beyond rounding.
            Halved, with a warning, as often as it takes when memory runs out.
        progress: title of a progress bar; None for none.

    Returns:
        A ``Distortion``. An image already classified as its target comes back unchanged, with r = 0, success and no
        search.

    Raises:
        TypeError: images or targets of a wrong dtype.
        ValueError: pixels outside the bounds or NaN, bounds that are none, shapes that do not fit, a target out of
            range, a model in training mode or one that returns anything but (B, k) logits.
        MemoryError: not even one image fits.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    given, (images, moved) = images, _to_unit_box(images, bounds)
    if norm not in ("squared", "plain"):
        raise ValueError(f"expected norm 'squared' or 'plain', got {norm!r}")
    if not margin > 0 or not margin_tolerance > 0:
        raise ValueError(f"expected a margin and a tolerance above 0, got {margin} and {margin_tolerance}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"expected a chunk of at least 1 image, got {chunk}; leave it out for a fitting size")
    check_targets(images, targets)
    options = (margin, margin_tolerance, tolerance, max_iterations, history)
    parts, start = [], 0
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        tqdm(
            total=len(images), desc=progress, unit="image", disable=progress is None, leave=False, mininterval=1
        ) as bar,
    ):
        classify = _Classifier(model, images.device, bounds)
        fast = _Classifier(model, images.device, bounds, images.dtype) if refine else classify
        chunk = chunk or _chunk_size(images, classify.device)
        while start < max(len(images), 1):
            part = slice(start, start + chunk)
            try:
                found = _solve(classify, fast, images[part], targets[part], refine, norm, options)
            except (MemoryError, RuntimeError) as problem:
                if not _out_of_memory(problem):
                    raise
                held = len(images[part])
                if held == 1:
                    raise MemoryError(
                        f"One image of shape {tuple(images.shape[1:])} does not fit into the memory of "
                        f"{classify.device}; expected room for at least one: free some memory or choose another device."
                    ) from problem
                found = None
            if found is None:  # out here the error is gone, and with it the tensors that its traceback held
                chunk = held // 2
                if classify.device.type == "cuda":
                    torch.cuda.empty_cache()
                warnings.warn(
                    f"Out of memory with {held} images at a time; going on with {chunk} at a time.", stacklevel=2
                )
                continue
            parts.append([field.to(images.device) for field in found])
            bar.update(len(images[part]))
            start += chunk
    adversarial, rms, *rest = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    if moved:
        lowest, highest = bounds
        same = (rms == 0).view(-1, *[1] * (images.ndim - 1))  # an image that stays does so to the last bit
        adversarial = torch.where(same, given, (lowest + (highest - lowest) * adversarial).clamp(lowest, highest))
        rms = (highest - lowest) * rms
    return Distortion(adversarial, rms, *rest)


def _solve(
    classify: _Classifier,
    fast: _Classifier,
    images: Tensor,
    targets: Tensor,
    refine: bool,
    norm: str,
    options: tuple,
) -> tuple[Tensor, ...]:
    """The fields of ``Distortion`` for one chunk."""
    search = _Search(classify, images.to(classify.device), targets.to(classify.device), norm)
    if not refine:
        search.run(*options)
        return search.outcome()
    margin, _, _, *rest = options
    search.begin(margin)
    search.refine(fast, from_clean=True)
    left = search.left()
    if len(left):  # no projection arrived: the edge of the penalty method is a place to start from
        again = _Search(classify, images[left].to(classify.device), targets[left].to(classify.device), norm)
        again.run(margin, 0.3, COARSE, *rest)
        again.refine(classify, from_clean=False)
        search.adopt(again, left)
    return search.outcome()


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
        ValueError: as for ``minimum_distortion``, or a c that is not above 0.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    if not bool((penalties > 0).all()):
        raise ValueError(f"expected values of c above 0, got {float(penalties.min())}")
    images = image.double().expand(len(penalties), *image.shape).contiguous()
    check_images(images)
    classify = _Classifier(model, image.device)
    targets = torch.full((len(penalties),), target, device=classify.device)
    search = _Search(classify, images.to(classify.device), targets, norm)
    c = penalties.to(search.clean)
    every = torch.arange(len(c), device=classify.device)
    objective = search.objective(c, every, torch.ones_like(c))
    found = lbfgsb.minimize(objective, search.clean, max_iterations=max_iterations, tolerance=1e-6)
    return found.x.view(images.shape).to(image.device), search.gaps(found.x, every).to(image.device)


class _Search:
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

        def value_and_gradient(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            index, c = chosen[rows], penalty[rows] / unit[rows]
            loss, gradient = self.cross_entropy(x, index)
            loss, gradient = loss / unit[rows], gradient / unit[rows, None]
            r = x - self.clean[index]
            square = (r * r).sum(1)
            if self.norm == "squared":
                return loss + c * square, gradient.addcmul_(2 * c[:, None], r)
            length = square.sqrt()
            return loss + c * length, gradient.addcmul_((c / length.clamp(min=1e-12))[:, None], r)

        return value_and_gradient

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
        targets = self.targets[index]
        if bool((targets >= logits.shape[1]).any()):
            raise ValueError(
                f"expected targets below {logits.shape[1]}, the number of classes, got {int(targets.max())}"
            )
        wanted = logits.gather(1, targets[:, None])[:, 0]
        return wanted - logits.scatter(1, targets[:, None], -torch.inf).amax(1)

    @torch.no_grad()
    def clean_logits(self) -> tuple[Tensor, Tensor]:
        """Gap and spread of the logits of the clean images."""
        if len(self.clean) == 0:
            return self.clean.new_empty(0), self.clean.new_empty(0)
        logits = self.logits(self.clean)
        if not bool(logits.isfinite().all()):
            raise ValueError("expected finite logits, got NaN or infinity; check the model's weights and normalisation")
        gap = self.gap(logits, torch.arange(len(logits), device=logits.device))
        return gap, (logits.amax(1) - logits.amin(1)).clamp(min=torch.finfo(logits.dtype).tiny)

    @torch.no_grad()
    def gaps(self, x: Tensor, index: Tensor) -> Tensor:
        """The gap at the images as they will be returned, rounding to their dtype included."""
        return self.gap(self.logits(x.to(self.dtype).to(x.dtype)), index)

    def begin(self, margin: float) -> None:
        """What needs no search, and the lead that a target must have elsewhere."""
        self.best_gap, spread = self.clean_logits()
        there = self.best_gap > 0  # already classified as the target
        self.success |= there
        self.penalty[there] = torch.inf
        self.square = self.clean.new_ones(len(self.clean))
        index = (~there).nonzero()[:, 0]
        self.square[index] = self.slope_square(index)
        # Logits that all tie have no spread: take what a perturbation of length 0.001 makes of them.
        self.wanted = margin * torch.maximum(spread, 1e-3 * self.square.sqrt())

    def run(self, margin: float, margin_tolerance: float, tolerance: float, max_iterations: int, history: int) -> None:
        """Bracket and narrow c for every image."""
        self.begin(margin)
        count, clean, best, success, penalty = len(self.clean), self.clean, self.best, self.success, self.penalty
        best_gap, wanted = self.best_gap, self.wanted
        there = success.clone()
        low, high = clean.new_full((count,), -torch.inf), clean.new_full((count,), torch.inf)  # log c: works, fails
        low_gap, high_gap = clean.new_zeros(count), clean.new_zeros(count)  # gap - wanted at those ends
        side = torch.zeros(count, dtype=torch.long, device=clean.device)  # which end moved last, for Illinois steps
        searching = ~there
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
            found = lbfgsb.minimize(
                self.objective(c, index, unit[index]),
                start[index],
                max_iterations=max_iterations,
                history=history,
                tolerance=steepness[index] / unit[index] * torch.where(near[index], tolerance, COARSE),
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
            low_gap[index] = torch.where(works, gap, low_gap[index] * torch.where(twice & ~works, 0.5, 1.0))
            high_gap[index] = torch.where(works, high_gap[index] * torch.where(twice & works, 0.5, 1.0), gap)
            low[index] = torch.where(works, log_c[index], low[index])
            high[index] = torch.where(works, high[index], log_c[index])
            side[index] = now
            hopeless = ~works & (log_c[index] < least[index])
            leap = 0.7 * 1.3**step
            log_c[index] = self.next_penalty(low[index], high[index], low_gap[index], high_gap[index], leap)
            close = near[index] & works & (gap <= margin_tolerance * distance[index])
            narrow = near[index] & (high[index] - low[index] < 1e-4)
            searching[index] = ~(close | narrow | hopeless)

    def refine(self, fast: _Classifier, *, from_clean: bool) -> None:
        """Shorten what was found, or, from the clean images, find and shorten, with another precision for the work."""
        index = ((self.penalty != torch.inf) & (self.success | from_clean)).nonzero()[:, 0]
        clean, start = self.clean[index].to(fast.dtype), self.best[index].to(fast.dtype)
        found, there, evaluations = closest(
            lambda x: fast(x.view(-1, *self.shape[1:])),
            clean,
            self.targets[index],
            1.1 * self.wanted[index].to(fast.dtype),  # more than is verified, for what rounding takes
            start=None if from_clean else start,
            dtype=self.dtype,
        )
        found = found.to(self.dtype).to(self.clean.dtype)
        there &= self.gaps(found, index) >= self.wanted[index]
        self.best[index[there]] = found[there]
        self.success[index[there]] = True
        self.evaluations[index] += evaluations + 1

    def left(self) -> Tensor:
        """The images without an adversarial example."""
        return (~self.success).nonzero()[:, 0]

    def adopt(self, other: _Search, index: Tensor) -> None:
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
        leaf = clean.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.gap(self.logits(leaf), index).sum(), leaf)
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


def random_targets(labels: Tensor, classes: int = 10, *, generator: torch.Generator | None = None) -> Tensor:
    """One wrong class per image, uniformly at random.

    Args:
        labels: (N,) long, the true classes, 0 to classes - 1.
        classes: k, at least 2.
        generator: on the CPU; by default a fresh one with seed 0, so that a call always gives the same targets.

    Returns:
        (N,) long, never equal to ``labels``, on the device of ``labels``.

    Raises:
        ValueError: a label out of range or fewer than two classes.
    """
    if classes < 2 or (len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes):
        raise ValueError(f"expected labels from 0 to {classes - 1} and at least 2 classes, got {labels.unique()}")
    generator = generator or torch.Generator().manual_seed(0)
    shift = torch.randint(1, classes, labels.shape, generator=generator).to(labels.device)
    return (labels + shift) % classes


def distortion_to_all(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, classes: int = 10, **options
) -> Distortion:
    """D(x, l) for every wrong class l of every image.

    Args:
        model: as for ``minimum_distortion``.
        images: (B, *shape) in [0, 1].
        labels: (B,) long, the true classes.
        classes: k.
        **options: passed on to ``minimum_distortion``.

    Returns:
        A ``Distortion`` whose fields have one more dimension, (B, k - 1, ...): the wrong classes in increasing order.
        Its ``rms.min(1)`` is the distortion to the nearest class, its ``rms.mean(1)`` the mean over the targets.
    """
    others = wrong_classes(labels, classes)  # (B, k - 1)
    repeated = images.repeat_interleave(classes - 1, 0)
    found = minimum_distortion(model, repeated, others.flatten(), **options)
    return Distortion(
        *(
            field.unflatten(0, (len(images), classes - 1))
            for field in (found.images, found.rms, found.success, found.penalty, found.evaluations)
        )
    )


def wrong_classes(labels: Tensor, classes: int = 10) -> Tensor:
    """Every class but the true one, in increasing order.

    Args:
        labels: (B,) long, 0 to classes - 1.
        classes: k.

    Returns:
        (B, k - 1) long.
    """
    ladder = torch.arange(classes - 1, device=labels.device).expand(len(labels), -1)
    return ladder + (ladder >= labels[:, None])


def check_targets(images: Tensor, targets: Tensor) -> None:
    """Raises an error unless there is one target, at least 0, per image.

    Args:
        images: (B, *shape).
        targets: (B,) long.

    Raises:
        TypeError: the targets are not int64.
        ValueError: there are not as many as images, or one is negative.
    """
    if targets.dtype != torch.long:
        raise TypeError(f"expected targets of dtype int64, got {targets.dtype}; convert them with .long()")
    if targets.shape != images.shape[:1]:
        raise ValueError(f"expected one target per image, shape ({len(images)},), got {tuple(targets.shape)}")
    if len(targets) and int(targets.min()) < 0:
        raise ValueError(f"expected targets from 0 to k - 1, got {int(targets.min())}")


class _Classifier:
    """The model on the unit box, with its arithmetic in float64 where the device has it: small margins need the digits.

    With ``least`` the arithmetic of a module may be as coarse as that type, if its own weights are.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        device: torch.device,
        bounds: tuple[float, float] = (0.0, 1.0),
        least: torch.dtype = torch.float64,
    ) -> None:
        self.bounds = bounds
        own = torch.float64
        if isinstance(model, nn.Module):
            if model.training:
                raise ValueError("expected a model in evaluation mode, got one in training mode; call model.eval()")
            first = next(model.parameters(), None)
            if first is not None:
                device, own = first.device, first.dtype
        self.device = device
        coarse = device.type == "mps" or (own == torch.float32 and least == torch.float32)
        self.dtype = torch.float32 if coarse else torch.float64
        if isinstance(model, nn.Module):
            model = copy.deepcopy(model).to(self.dtype).requires_grad_(False)
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        lowest, highest = self.bounds
        logits = self.model(x if (lowest, highest) == (0, 1) else lowest + (highest - lowest) * x)
        if not isinstance(logits, Tensor):
            raise TypeError(f"expected the model to return a tensor of logits, got {type(logits).__name__}")
        if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
            raise ValueError(
                f"expected the model to return logits of shape ({len(x)}, k) with k >= 2, got {tuple(logits.shape)}; "
                "return one row of class scores per image"
            )
        return logits.to(self.dtype)


def _out_of_memory(problem: BaseException) -> bool:
    """Whether an error says that memory ran out; PyTorch's allocator on the CPU raises a plain RuntimeError."""
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return "DefaultCPUAllocator" in str(problem)


def _to_unit_box(images: Tensor, bounds: tuple[float, float]) -> tuple[Tensor, bool]:
    """The images with their pixels moved to [0, 1], and whether they had to be."""
    lowest, highest = bounds
    if (lowest, highest) == (0, 1):
        check_images(images)
        return images, False
    if not (math.isfinite(lowest) and math.isfinite(highest) and lowest < highest):
        raise ValueError(f"expected finite bounds, the lower one first, got {lowest} and {highest}")
    if not images.is_floating_point():
        raise TypeError(f"expected images of dtype float32 or float64, got {images.dtype}; convert them with .float()")
    if images.numel() and not bool(((images >= lowest) & (images <= highest)).all()):
        found = f"{float(images.min()):.6g} to {float(images.max()):.6g}"
        raise ValueError(f"expected every pixel from {lowest} to {highest}, got {found}; rescale or clip them")
    scaled = ((images - lowest) / (highest - lowest)).clamp(0, 1)
    check_images(scaled)
    return scaled, True


def _chunk_size(images: Tensor, device: torch.device) -> int:
    """Images per chunk: what keeps the working set of the solver near the cache on a CPU, large on an accelerator."""
    pixels = max(1, images[0].numel()) if len(images) else 1
    return max(1, (200_000 if device.type == "cpu" else 50_000_000) // pixels)
