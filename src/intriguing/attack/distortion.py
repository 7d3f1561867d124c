"""D(x, l): the closest image to x that a network classifies as l, for a whole batch of images at once.

The paper's penalty method: for a weight c > 0, box-constrained L-BFGS minimises c |r| + loss(x + r, l) with x + r in
[0, 1]; a search over c, one per image, finds the largest c whose minimiser is still classified as l, because the more
the perturbation costs, the smaller it is. ("Minimum c" in the paper, which writes c in front of |r|, can only mean
this edge.) Here the search follows the logit margin of l, which is a smooth decreasing function of log c along a path
of minimisers, so that a few safeguarded secant steps replace a long bisection.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .checks import check_images, check_targets
from .classifier import Classifier
from .penalty import COARSE, Search
from .perturbations import wrong_classes

# What the target must lead by, as a fraction of the spread of the clean image's logits: far above the rounding of
# float32, so that neither another precision nor another batch undoes it, and worth 0.01 % of distortion.
MARGIN = 5e-5


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
        raise ValueError(f"got norm {norm!r}; expected 'squared' or 'plain'.")
    if not margin > 0 or not margin_tolerance > 0:
        raise ValueError(f"got margin {margin} and tolerance {margin_tolerance}; expected both above 0.")
    if chunk is not None and chunk < 1:
        raise ValueError(f"got a chunk of {chunk}; expected at least 1 image; leave it out for a fitting size.")
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
        classify = Classifier(model, images.device, bounds)
        fast = Classifier(model, images.device, bounds, images.dtype) if refine else classify
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
                        f"{classify.device}; expected room for at least one; free some memory or choose another device."
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
    classify: Classifier,
    fast: Classifier,
    images: Tensor,
    targets: Tensor,
    refine: bool,
    norm: str,
    options: tuple,
) -> tuple[Tensor, ...]:
    """The fields of ``Distortion`` for one chunk."""
    search = Search(classify, images.to(classify.device), targets.to(classify.device), norm)
    if not refine:
        search.run(*options)
        return search.outcome()
    margin, _, _, *rest = options
    search.begin(margin)
    search.refine(fast, from_clean=True)
    left = search.left()
    if len(left):  # no projection arrived: the edge of the penalty method is a place to start from
        again = Search(classify, images[left].to(classify.device), targets[left].to(classify.device), norm)
        again.run(margin, 0.3, COARSE, *rest)
        again.refine(classify, from_clean=False)
        search.adopt(again, left)
    return search.outcome()


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
        raise ValueError(f"got bounds {lowest} and {highest}; expected finite ones, the lower one first.")
    if not images.is_floating_point():
        raise TypeError(f"got images of {images.dtype}; expected float32 or float64; convert them with .float().")
    if images.numel() and not bool(((images >= lowest) & (images <= highest)).all()):
        found = f"{float(images.min()):.6g} to {float(images.max()):.6g}"
        raise ValueError(f"got pixels {found}; expected every one from {lowest} to {highest}; rescale or clip them.")
    scaled = ((images - lowest) / (highest - lowest)).clamp(0, 1)
    check_images(scaled)
    return scaled, True


def _chunk_size(images: Tensor, device: torch.device) -> int:
    """Images per chunk: what keeps the working set of the solver near the cache on a CPU, large on an accelerator."""
    pixels = max(1, images[0].numel()) if len(images) else 1
    return max(1, (200_000 if device.type == "cpu" else 50_000_000) // pixels)
