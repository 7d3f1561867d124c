"""Amplification: the same perturbations at another size, one size for all images."""

from __future__ import annotations

import torch
from torch import Tensor

from .transfer import rms

AMPLIFIED = 0.1  # root mean square per pixel after amplification, as in the paper's Table 4
FORMS = ("printed", "clipped", "boxed")


def amplify(images: Tensor, distorted: Tensor, size: float = AMPLIFIED, *, form: str = "printed") -> Tensor:
    """The same perturbations at another size, one size for all images.

    Args:
        images: (N, *shape) in [0, 1].
        distorted: (N, *shape), x + r; an image with r = 0 has no direction and is returned as it is.
        size: root mean square per pixel that is asked for, above 0.
        form: ``"printed"`` is x + size r / rms(r), which leaves the box; ``"clipped"`` cuts that back to [0, 1], which
            makes it smaller than ``size``; ``"boxed"`` goes along r until the image, cut back to [0, 1], has moved by
            ``size``, or by as much as the box allows.

    Returns:
        (N, *shape) of the dtype of ``images``.

    Raises:
        ValueError: an unknown form, a size that is not above 0, or two shapes.

    Source:
        Szegedy et al. 2013, section 4.2: x + 0.1 (x' - x) / ||x' - x||_2, with the norm read as the root mean square
        per pixel that the paper calls stddev.
    """
    if form not in FORMS:
        raise ValueError(f"expected the form to be one of {', '.join(FORMS)}, got {form!r}")
    if not size > 0:
        raise ValueError(f"expected a size above 0, got {size}")
    before = rms(images, distorted)  # raises where the shapes differ
    clean = images.double().flatten(1)
    step = distorted.double().flatten(1) - clean
    moved = before > 0
    factor = torch.where(moved, size / before.where(moved, torch.ones_like(before)), 1.0)
    if form == "boxed":
        factor = _reaching(clean, step, factor, size)
    further = clean + factor[:, None] * step
    if form != "printed":
        further = further.clamp(0, 1)
    return further.view(images.shape).to(images.dtype)


def _reaching(clean: Tensor, step: Tensor, factor: Tensor, size: float) -> Tensor:
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
