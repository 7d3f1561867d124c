"""Who else is fooled: the error of every network on every set of distorted images (Tables 2 and 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .data import check_images
from .distortion import Distortion, minimum_distortion
from .training import error_rate


def adversarial_sets(
    models: Mapping[str, Callable[[Tensor], Tensor]], images: Tensor, targets: Tensor, *, progress: bool = False
) -> dict[str, Distortion]:
    """D(x, l) of every image for every model.

    Args:
        models: name -> network, images (B, *shape) -> logits (B, k).
        images: (N, *shape) in [0, 1].
        targets: (N,) long, the class each image shall be taken for, the same for all models.
        progress: shows a bar per model.

    Returns:
        name -> ``Distortion``.

    Source:
        Szegedy et al. 2013, section 4.2: "we generated a set of adversarial instances for a given network".
    """
    return {
        name: minimum_distortion(model, images, targets, progress=f"attacking {name}" if progress else None)
        for name, model in models.items()
    }


def error_matrix(
    models: Mapping[str, Callable[[Tensor], Tensor]], image_sets: Mapping[str, Tensor], labels: Tensor
) -> dict[str, list[float]]:
    """Fraction of each image set that each model misclassifies.

    Args:
        models: name -> network, images (B, *shape) -> logits (B, k).
        image_sets: name -> images (N, *shape) in [0, 1], all made from the same N labelled images. Noise that was
            not clipped leaves [0, 1]; such a set is accepted as it is.
        labels: (N,) long, the true classes.

    Returns:
        One row per image set, in order: its name and the errors in [0, 1] of the models, in order.

    Raises:
        ValueError: an image set has another number of images than there are labels.

    Source:
        Szegedy et al. 2013, Tables 2 and 4: "the columns show the error induced by distorted examples fed to the
        given model".
    """
    for name, images in image_sets.items():
        if len(images) != len(labels):
            raise ValueError(f"expected {len(labels)} images in {name!r}, one per label, got {len(images)}")
    return {
        name: [error_rate(model, images, labels) for model in models.values()] for name, images in image_sets.items()
    }


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
        ValueError: images outside [0, 1] or a negative stddev.

    Source:
        Szegedy et al. 2013, Table 2, last two rows, and Figure 7 (c).
    """
    check_images(images)
    if not stddev >= 0:
        raise ValueError(f"expected a standard deviation of at least 0, got {stddev}")
    generator = generator or torch.Generator().manual_seed(0)
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
        ValueError: the number of sizes is not that of the images.
    """
    if sizes.shape != images.shape[:1]:
        raise ValueError(f"got sizes of shape {tuple(sizes.shape)}; expected ({len(images)},); give one for each image")
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
        ValueError: the shapes differ.

    Source:
        Szegedy et al. 2013, section 4.2: sqrt(sum (x'_i - x_i)^2 / n).
    """
    if images.shape != others.shape:
        raise ValueError(f"expected two sets of one shape, got {tuple(images.shape)} and {tuple(others.shape)}")
    return (images.double() - others.double()).flatten(1).square().mean(1).sqrt()
