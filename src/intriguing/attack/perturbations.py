"""What is asked of images and done to them: targets, margins, slopes, noise, amplification; and how far images are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .checks import check_classes, check_images, check_labels, check_numbers, check_plain, check_targets

AMPLIFIED = 0.1  # root mean square per pixel after amplification, as in the paper's Table 4
FORMS = ("printed", "clipped", "boxed")


def amplify(images: Tensor, distorted: Tensor, size: float = AMPLIFIED, *, form: str = "printed") -> Tensor:
    """The same perturbations at another size, one size for all images.

    Args:
        images: (N, *shape) in [0, 1].
        distorted: (N, *shape), x + r; an image with r = 0 has no direction and is returned as it is.
        size: root mean square per pixel that is asked for, above 0.
        form: ``"printed"`` is x + size r / rms(r), which may leave the box; ``"clipped"`` cuts that back to [0, 1],
            and where it cuts, the step is smaller than ``size``; ``"boxed"`` goes along r until the image, cut back to
            [0, 1], has moved by ``size``, or by as much as the box allows up to 4,096 times as far as the printed form.

    Returns:
        (N, *shape) of the dtype of ``images``.

    Raises:
        TypeError: no floating tensors, or a size that is no number.
        ValueError: an unknown form, a size that is not above 0, or two shapes.

    Source:
        Szegedy et al. 2013, section 4.2: x + 0.1 (x' - x) / ||x' - x||_2, with the norm read as the root mean square
        per pixel that the paper calls stddev.
    """
    if not isinstance(form, str) or form not in FORMS:
        raise ValueError(
            f"got form {form!r}; expected one of {', '.join(FORMS)}; leave it out for the one that the paper prints."
        )
    check_numbers(size=size)
    if not size > 0:
        raise ValueError(f"got size {size}; expected one above 0; leave it out for the paper's.")
    before = rms(images, distorted)  # raises where the shapes differ
    if not images.is_floating_point():
        raise TypeError(f"got images of {images.dtype}; expected floating pixels; divide 8-bit pixels by 255.")
    clean = images.double().flatten(1)
    step = distorted.double().flatten(1) - clean
    moved = before > 0
    factor = torch.where(moved, size / before.where(moved, torch.ones_like(before)), 1.0)
    beyond = factor.isinf()  # of steps so short: take the unit of their lengths
    step = torch.where(beyond[:, None], step / before[:, None], step)
    factor = torch.where(beyond, size, factor)
    if form == "boxed":
        factor = _reaching(clean, step, factor, size)
    further = clean + factor[:, None] * step
    if form != "printed":
        further = further.clamp(0, 1)
    return further.view(images.shape).to(images.dtype)


def _reaching(clean: Tensor, step: Tensor, factor: Tensor, size: float | Tensor) -> Tensor:
    """The factor t at which clip(x + t r) has moved by ``size``: bisection, as the way grows with t."""

    def way(t: Tensor) -> Tensor:
        return ((clean + t[:, None] * step).clamp(0, 1) - clean).square().mean(1).sqrt()

    low, high = factor, factor
    for _ in range(12):  # a pixel that still counts has met its bound by then
        high = torch.where(way(high) < size, 2 * high, high)
    for _ in range(40):
        middle = (low + high) / 2
        short = way(middle) < size
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return high


def moved_by(images: Tensor, distorted: Tensor, sizes: Tensor) -> Tensor:
    """Images moved along given perturbations, inside the box, until each has gone exactly its own way.

    Args:
        images: (N, *shape) in [0, 1].
        distorted: (N, *shape), x + r, inside the box or not; an image with r = 0 is returned as it is.
        sizes: (N,) root mean square per pixel that is asked for, at least 0.

    Returns:
        (N, *shape) of the dtype of ``images``: x + t r cut back to [0, 1], with t such that the image has moved by its
        size, or by as much as the box allows up to 4,096 times the t that it would take without the box.

    Raises:
        TypeError: images or sizes are no floating tensors, or what is distorted is no tensor.
        ValueError: the shapes differ, the number of sizes is not that of the images, or one is negative or NaN.
    """
    before = rms(images, distorted)  # raises where the shapes differ
    _check_sizes(images, sizes)
    clean = images.double().flatten(1)
    step = distorted.double().flatten(1) - clean
    size = sizes.to(before)
    factor = torch.where(before > 0, size / before.where(before > 0, torch.ones_like(before)), 0.0)
    further = clean + _reaching(clean, step, factor, size)[:, None] * step
    return further.clamp(0, 1).view(images.shape).to(images.dtype)


def random_targets(labels: Tensor, classes: int = 10, *, generator: torch.Generator | None = None) -> Tensor:
    """One wrong class per image, uniformly at random.

    Args:
        labels: (N,) long, the true classes, 0 to classes - 1.
        classes: k, at least 2.
        generator: on the CPU; by default a fresh one with seed 0, so that a call always gives the same targets.

    Returns:
        (N,) long, never equal to ``labels``, on the device of ``labels``.

    Raises:
        TypeError: labels that are not int64, a number of classes that is not whole, or no generator.
        ValueError: a label out of range or fewer than two classes.
    """
    check_labels(labels, classes)
    generator = _generator(generator)
    shift = torch.randint(1, classes, labels.shape, generator=generator).to(labels.device)
    return (labels + shift) % classes


def wrong_classes(labels: Tensor, classes: int = 10) -> Tensor:
    """Every class but the true one, in increasing order.

    Args:
        labels: (B,) long, 0 to classes - 1.
        classes: k.

    Returns:
        (B, k - 1) long.

    Raises:
        TypeError: as for ``random_targets``.
        ValueError: likewise.
    """
    check_labels(labels, classes)
    ladder = torch.arange(classes - 1, device=labels.device).expand(len(labels), -1)
    return ladder + (ladder >= labels[:, None])


def logit_margin(logits: Tensor, targets: Tensor) -> Tensor:
    """By how much the target's logit exceeds the largest other.

    Args:
        logits: (B, k).
        targets: (B,) long.

    Returns:
        (B,), above 0 where the target wins.

    Raises:
        TypeError: the logits are no floating tensor, or the targets not int64.
        ValueError: the shapes do not fit, or a target is no class.
    """
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"got logits of {got}; expected a floating tensor, (B, k); give what the network returns.")
    check_plain(logits, "logits")
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"got logits of shape {tuple(logits.shape)}; expected (B, k) with k >= 2; put the batch first, even for "
            "one image."
        )
    check_targets(logits, targets)
    check_classes(targets, logits.shape[1])
    own = logits.gather(1, targets[:, None])[:, 0]
    others = logits.scatter(1, targets[:, None], -torch.inf)
    return torch.where(own == -torch.inf, own, own - others.amax(1))  # what cannot win trails what cannot either


def value_and_gradient(function: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, Tensor]:
    """A function of each point by itself, and its gradient there, by autograd.

    Args:
        function: points (B, *shape) -> (B,), each entry a function of its own point alone.
        points: (B, *shape).

    Returns:
        values (B,) and gradients (B, *shape).

    Raises:
        ValueError: torch sees no way from the values to the points.
    """
    with torch.enable_grad():
        leaf = points.detach().clone().requires_grad_()
        values, gradient = function(leaf), None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(values.sum(), leaf, allow_unused=True)
        if gradient is None:
            raise ValueError(
                "got values without a gradient with respect to the points; expected ones that torch can differentiate; "
                "look for no_grad, detach() or a constant in the function."
            )
    return values.detach(), gradient


def gaussian_noise(images: Tensor, stddev: float, *, clip: bool, generator: torch.Generator | None = None) -> Tensor:
    """Images plus independent Gaussian noise on every pixel.

    Args:
        images: (N, *shape) in [0, 1].
        stddev: standard deviation of the noise, at least 0, in units of the pixel range.
        clip: True cuts the result back to [0, 1]; the paper does not say which it does.
        generator: on the CPU; by default a fresh one with seed 0.

    Returns:
        (N, *shape), inside [0, 1] only with ``clip``.

    Raises:
        TypeError: images that are not floating, or a stddev that is no number.
        ValueError: images outside [0, 1] or a negative stddev.

    Source:
        Szegedy et al. 2013, Table 2, last two rows, and Figure 7 (c).
    """
    check_images(images)
    check_numbers(0.0, stddev=stddev)
    generator = _generator(generator)
    noise = torch.randn(images.shape, generator=generator, dtype=torch.float32).to(images)
    noisy = images + stddev * noise
    return noisy.clamp(0, 1) if clip else noisy


def noise_of_size(images: Tensor, sizes: Tensor) -> Tensor:
    """Images plus Gaussian noise that has exactly a given size on each of them.

    Args:
        images: (N, *shape) in [0, 1].
        sizes: (N,) root mean square per pixel of the noise, at least 0.

    Returns:
        (N, *shape), not cut back to [0, 1]; the same noise for the same images whatever its sizes.

    Raises:
        TypeError: images or sizes that are no floating tensors.
        ValueError: the number of sizes is not that of the images, or one is negative or NaN.
    """
    _check_sizes(images, sizes)
    column = (-1, *[1] * (images.ndim - 1))  # (N, 1, ..., 1)
    direction = gaussian_noise(torch.zeros_like(images), 1.0, clip=False)
    direction /= direction.flatten(1).square().mean(1).sqrt().view(column)
    return images + sizes.to(images).view(column) * direction


def rms(images: Tensor, others: Tensor) -> Tensor:
    """Distortion between pairs of images: the root of the mean squared difference per pixel.

    Args:
        images: (N, *shape).
        others: (N, *shape).

    Returns:
        (N,) float64.

    Raises:
        TypeError: one is no tensor, or complex.
        ValueError: the shapes differ, or are not those of batches of images with pixels.

    Source:
        Szegedy et al. 2013, section 4.2: sqrt(sum (x'_i - x_i)^2 / n).
    """
    if not isinstance(images, Tensor) or not isinstance(others, Tensor):
        raise TypeError(
            f"got {type(images).__name__} and {type(others).__name__}; expected two tensors; convert them with "
            "torch.as_tensor."
        )
    for given in (images, others):
        check_plain(given, "images")
        if given.is_complex():
            raise TypeError(f"got images of {given.dtype}; expected real pixels; convert them with .real.")
    if images.shape != others.shape or images.ndim < 2:
        raise ValueError(
            f"got {tuple(images.shape)} and {tuple(others.shape)}; expected two sets of one shape, (N, *shape); put "
            "the batch first, even for one image."
        )
    if images.numel() == 0 and len(images):
        raise ValueError(
            f"got shape {tuple(images.shape)}, images without pixels; expected at least one pixel; check how they were "
            "cut."
        )
    difference = (images.double() - others.double()).flatten(1)
    square = difference.square().mean(1)
    found = square.sqrt()
    lost = ~((square >= torch.finfo(torch.float64).tiny) & square.isfinite())
    if bool(lost.any()):  # squares that overflow or vanish: scale those by the largest
        peak = difference.abs().amax(1)
        lost &= (peak > 0) & peak.isfinite()
        scaled = difference / torch.where(lost, peak, 1.0)[:, None]
        found = torch.where(lost, peak * scaled.square().mean(1).sqrt(), found)
    return found


def _check_sizes(images: Tensor, sizes: Tensor) -> None:
    """Raises an error unless there is one size, at least 0, for each image."""
    for name, given in (("images", images), ("sizes", sizes)):
        if not isinstance(given, Tensor) or not given.is_floating_point():
            got = given.dtype if isinstance(given, Tensor) else type(given).__name__
            raise TypeError(f"got {name} of {got}; expected a floating tensor; convert them first.")
        check_plain(given, name)
    if images.ndim < 2 or sizes.shape != images.shape[:1]:
        raise ValueError(
            f"got sizes of shape {tuple(sizes.shape)} for images of shape {tuple(images.shape)}; expected (N,) and "
            "(N, *shape); give one for each image."
        )
    if not bool((sizes >= 0).all()):
        raise ValueError(
            f"got the size {float(sizes.amin())}; expected root mean squares of at least 0; look for a failed search."
        )


def _generator(given: torch.Generator | None) -> torch.Generator:
    """A generator, by default a fresh one with seed 0."""
    if given is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(given, torch.Generator):
        raise TypeError(
            f"got a generator of type {type(given).__name__}; expected a torch.Generator; leave it out for seed 0."
        )
    return given
