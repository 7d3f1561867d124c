"""D(x, l): the closest image to x that a network classifies as l, for a whole batch of images at once.

The paper's penalty method: for a weight c > 0, box-constrained L-BFGS minimises c |r| + loss(x + r, l) with x + r in
[0, 1]; a search over c, one per image, looks for the largest c whose minimiser is still classified as l, because the
more the perturbation costs, the smaller it is. ("Minimum c" in the paper, which writes c in front of |r|, can only mean
this edge.) Here the search follows the logit margin of l, which as a rule falls as log c grows along a path of
minimisers, so that a few safeguarded secant steps replace a long bisection.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .checks import check_chunk, check_images, check_search, check_targets, checked_bounds, checked_flag, checked_title
from .models import Classifier, no_trace, out_of_memory, to_unit_box
from .penalty import COARSE, Search
from .perturbations import wrong_classes

# What the target must lead by, as a fraction of the spread of the clean image's logits: far above the rounding of
# float32, so that neither another precision nor another batch undoes it, and worth 0.01 % of distortion.
MARGIN = 5e-5
# What the margin is multiplied by, as often as it takes, for images that the user's own model is not sure of.
FURTHER = (8, 64, 512, 4096)


@dataclass(frozen=True)
class Distortion:
    """The outcome of ``minimum_distortion``, one entry per image.

    Attributes:
        images: (B, *shape), x + r, inside the box, of the dtype of the input.
        rms: (B,) float64, sqrt(mean over pixels of r^2), the distortion as the paper measures it.
        success: (B,) bool, whether the network itself, as it was given and in its own precision, classifies the image
            as its target; where False, ``images`` holds the closest attempt: the one with the largest margin of the
            target.
        penalty: (B,) float64, the c found; infinite where r = 0, NaN where no c succeeded or none was sought.
        evaluations: (B,) long, what the search asked of the network for this image: a forward pass counts as one, with
            a backward pass or without; a step of the projections counts as one for each rival's gradient, though it
            makes one forward pass. The passes that judge, and the one with which the projections begin, do not count.
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
    progress: str | bool | None = None,
) -> Distortion:
    """Approximate D(x, l) by the paper's penalty method, batched, with one c per image.

    Args:
        model: images (B, *shape) -> logits (B, k); an ``nn.Module`` in evaluation mode, or any function that torch
            can differentiate. A module is evaluated where its weights are, in float64 where that device has it (a copy;
            yours is untouched), a function likewise; where they take their own precision only, in that. A logit of
            -inf is a class that cannot win; probabilities count by their logarithms, chances of each class by itself
            by their log odds.
        images: (B, *shape) float32 or float64, inside the bounds.
        targets: (B,) long, the class l that each image shall be taken for.
        refine: False is the paper's method: the minimiser of the penalised loss at the edge in c. True looks for a
            local minimum of |r| itself by a sequence of projections, which is faster to find and as a rule shorter,
            though not on every network with convolutions. A float32 module that is given float32 images makes them in
            float32, and each result is verified in float64. An image for which they do not arrive is sent through the
            penalty method and on from there, all in float64.
        norm: ``"squared"`` penalises c |r|^2, ``"plain"`` c |r|, the printed form; the stationary points are the same
            with c' = c / (2 |r|). Where the loss is nearly straight along the way (quiet logits, an image close to the
            boundary) c |r| has no sharp minimum, and the plain form returns a longer r than the squared one.
        bounds: (lowest, highest) value of a pixel, rounded to the dtype of the images; the paper's box is [0, 1]. A
            problem on another box is the same problem, with ``rms`` in the units of its pixels.
        margin: what the target's logit must exceed every other by, as a fraction of the spread (largest minus
            smallest) of the clean image's logits, greater than 0; classes too far below to win anywhere in the box do
            not count. Images of which your own model is not sure, because it rounds more, are solved again with more.
        margin_tolerance: the search over c ends when the target leads by at most this much more than asked, as a
            fraction of what it trails by at the clean image.
        tolerance: projected gradient at which a minimiser for one c counts as found, as a fraction of the largest
            entry of the gradient of the loss at the clean image; earlier values of c, which only narrow the bracket,
            are solved more loosely.
        max_iterations: L-BFGS iterations for each value of c.
        history: pairs kept by L-BFGS.
        chunk: images solved at a time, at least 1; bounds memory, and the result does not depend on it beyond rounding.
            Halved, with a warning, as often as it takes when memory runs out.
        progress: title of a progress bar, or True for one without; None for none.

    Returns:
        A ``Distortion``. An image already classified as its target comes back unchanged, with r = 0, success and no
        search.

    Raises:
        TypeError: images, targets or settings of a wrong type, or a model that cannot be called or returns something
            else than a tensor of logits.
        ValueError: pixels outside the bounds or NaN, bounds that are none, shapes that do not fit, a target or a
            setting out of range, a model with a module in training mode, one that returns anything but (B, k) logits,
            or whose logits have no gradient, change from call to call, or depend on the other images of the batch.
        MemoryError: not even one image fits.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    given, (images, bounds) = images, _to_unit_box(images, bounds)
    check_search(norm, margin, margin_tolerance, tolerance, max_iterations, history)
    check_chunk(chunk)
    check_targets(images, targets)
    refine, title = checked_flag("refine", refine), checked_title(progress)
    options = (margin, margin_tolerance, tolerance, max_iterations, history)
    parts, start = [], 0
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        tqdm(total=len(images), desc=title, unit="image", disable=title is None, leave=False, mininterval=1) as bar,
    ):
        classify = model if isinstance(model, Classifier) else Classifier(model, given, bounds)
        if classify.rounded:
            warnings.warn(
                "The model rounds probabilities of some images to 0 or 1, where they have no gradient and a search may "
                "fail; return the logits, without the softmax or sigmoid.",
                stacklevel=2,
            )
        fast = classify.coarser(images.dtype) if refine else classify
        chunk = chunk or _chunk_size(images, classify.device, refine)
        while start < max(len(images), 1):
            part = slice(start, start + chunk)
            try:
                with no_trace(classify.device):
                    found = _judged(classify, fast, images[part], given[part], targets[part], refine, norm, options)
            except (MemoryError, RuntimeError) as problem:
                if not out_of_memory(problem):
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
    return Distortion(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))


def _judged(
    classify: Classifier,
    fast: Classifier,
    images: Tensor,
    given: Tensor,
    targets: Tensor,
    refine: bool,
    norm: str,
    options: tuple,
) -> list[Tensor]:
    """The fields of ``Distortion`` for one chunk, with the user's own model as the judge of success."""
    images, given, targets = (tensor.to(classify.device) for tensor in (images, given, targets))
    already, _ = classify.verdict(given, targets)
    found = _to_the_user(_solve(classify, fast, images, targets, refine, norm, options), given, classify.bounds)
    claimed = found[2].clone()
    found[2], surely = classify.verdict(found[0], targets)
    # What the model takes for its target as it is needs no perturbation, whatever a finer precision says.
    stays = already & (found[1] > 0)
    if bool(stays.any()):
        whole = [given, torch.zeros_like(found[1]), already, torch.full_like(found[3], torch.inf), found[4]]
        found = [_where(stays, kept, field) for kept, field in zip(whole, found, strict=True)]
    margin, *rest = options
    doubtful = (claimed & ~surely & ~already).nonzero()[:, 0]
    for factor in FURTHER:
        if len(doubtful) == 0 or margin * factor > 1:
            break
        further = (margin * factor, *rest)
        longer = _solve(classify, fast, images[doubtful], targets[doubtful], refine, norm, further, sure=True)
        again = _to_the_user(longer, given[doubtful], classify.bounds)
        wins, surely = classify.verdict(again[0], targets[doubtful])
        better = surely | (wins & ~found[2][doubtful])
        again[2], again[4] = wins, again[4] + found[4][doubtful]
        found[4][doubtful] = again[4]
        for field, new in zip(found, again, strict=True):
            field[doubtful] = _where(better, new, field[doubtful])
        doubtful = doubtful[~surely]
    found[3] = torch.where(found[2] | found[3].isnan(), found[3], torch.nan)
    return found


def _to_the_user(found: tuple[Tensor, ...], given: Tensor, bounds: tuple[float, float]) -> list[Tensor]:
    """The fields of ``Distortion`` in the units of the user's pixels."""
    adversarial, rms, success, penalty, evaluations = found
    lowest, highest = bounds
    if (lowest, highest) != (0, 1):
        same = rms == 0  # an image that stays does so to the last bit
        adversarial = _where(same, given, (lowest + (highest - lowest) * adversarial).clamp(lowest, highest))
        rms = (highest - lowest) * rms
        penalty = penalty / (highest - lowest) ** 2  # c |r|^2 is the same cost in either unit
    return [adversarial, rms, success, penalty, evaluations]


def _where(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of one tensor where a mask (B,) is true, of another elsewhere."""
    return torch.where(mask.view(-1, *[1] * (no.ndim - 1)), yes, no)


def _solve(
    classify: Classifier,
    fast: Classifier,
    images: Tensor,
    targets: Tensor,
    refine: bool,
    norm: str,
    options: tuple,
    *,
    sure: bool = False,
) -> tuple[Tensor, ...]:
    """The fields of ``Distortion`` on the unit box; ``sure`` asks for the margin of the clean images too."""
    search = Search(classify, images, targets, norm)
    if not refine:
        search.run(*options, sure=sure)
        return search.outcome()
    margin, _, _, *rest = options
    search.begin(margin, sure=sure)
    search.refine(fast, from_clean=True)
    left = search.left()
    if len(left):  # no projection arrived: where the penalty method ends is a place to start from, even if it fails
        again = Search(classify, images[left], targets[left], norm)
        again.run(margin, 0.3, COARSE, *rest, sure=sure)
        again.refine(classify, from_clean=False)
        search.adopt(again, left)
    return search.outcome()


def distortion_to_all(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, classes: int = 10, **options
) -> Distortion:
    """D(x, l) for every wrong class l of every image.

    Args:
        model: as for ``minimum_distortion``.
        images: as for ``minimum_distortion``.
        labels: (B,) long, the true classes.
        classes: k.
        **options: passed on to ``minimum_distortion``.

    Returns:
        A ``Distortion`` whose fields have one more dimension, (B, k - 1, ...): the wrong classes in increasing order.
        Where all of them succeed, its ``rms.amin(1)`` is the distortion to the nearest class and its ``rms.mean(1)``
        the mean over the targets.

    Raises:
        TypeError: as for ``minimum_distortion``, or the number of classes is no whole number.
        ValueError: as for ``minimum_distortion``, or a label is no class.
    """
    check_images(images, bounds=checked_bounds(options.get("bounds", (0.0, 1.0))))
    check_targets(images, labels, "labels")
    others = wrong_classes(labels, classes)  # (B, k - 1)
    repeated = images.repeat_interleave(classes - 1, 0)
    found = minimum_distortion(model, repeated, others.flatten(), **options)
    return Distortion(
        *(
            field.unflatten(0, (len(images), classes - 1))
            for field in (found.images, found.rms, found.success, found.penalty, found.evaluations)
        )
    )


def _to_unit_box(images: Tensor, bounds: tuple[float, float]) -> tuple[Tensor, tuple[float, float]]:
    """The images with their pixels moved to [0, 1], and the bounds as two numbers of their type."""
    check_images(images, bounds=checked_bounds(bounds))
    lowest, highest = checked_bounds(bounds, images.dtype)
    return to_unit_box(images, (lowest, highest)), (lowest, highest)


def _chunk_size(images: Tensor, device: torch.device, refine: bool) -> int:
    """Images per chunk: on an accelerator many; on a CPU what keeps the solver's working set near the cache.

    Projections make many small calls and keep no history of steps, so that they are faster with more images at once.
    """
    pixels = max(1, images[0].numel()) if len(images) else 1
    many = 50_000_000 if device.type != "cpu" else 800_000 if refine else 200_000
    return max(1, many // pixels)
