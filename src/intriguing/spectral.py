"""What the chapter on operator norms computes: AlexNet's norms, SqueezeNet's bound, and sandwiches around networks."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import artifacts, fingerprint, paper, spectrum
from .certificates import global_certificate, local_certificate, runners_up
from .data import Images
from .distortion import minimum_distortion
from .imagenet import ALEXNET, alexnet_weights, fire_kernel, squeezenet
from .models import Standardize
from .results import Table

KNOWN = {Standardize: lambda layer, size: 1 / layer.std}
"""The bounds of this book's own layers, for ``spectrum.network_bound``."""

ROWS = dict(zip(("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"), paper.TABLE5.rows, strict=True))
POOLS = 3  # max-poolings of AlexNet, windows of 3 at stride 2


@dataclass(frozen=True)
class Sandwich:
    """Certified and found distances of one network, root mean squares per pixel, one entry per image.

    Attributes:
        whole: (N,) certified by the Lipschitz bound of the whole space.
        local: (N,) certified by slopes around each image; the same as ``whole`` for networks without sigmoids.
        found: (N,) of the adversarial image that the search found for the class with the second largest logit.
        success: (N,) bool, whether it found one.
    """

    whole: Tensor
    local: Tensor
    found: Tensor
    success: Tensor

    @property
    def contradictions(self) -> int:
        """How many images have an adversarial example nearer than is proved possible."""
        return int((self.success & (torch.maximum(self.whole, self.local) > self.found)).sum())


def alexnet_norms() -> Table | None:
    """Table 5 from the 8-bit weights of AlexNet, under several conventions.

    Returns:
        A ``Table`` named ``table5`` with the layers of Table 5 that are in the file: ``upper bound`` for pixels from 0
        to 255; ``printed factor``, the same with s^-2 in formula (1); ``printed formula``, what formula (1) says with
        that factor at the whole-number frequencies of its transform (no entry for a matrix); ``pixels in [0, 1]``; and
        ``7 bits``, the bound after the weights are rounded once more to steps twice as large. None where the weights
        are not at hand.

    Source:
        Szegedy et al. 2013, Table 5.
    """
    weights = alexnet_weights()
    if weights is None:
        return None
    rows = {}
    for name, label in ROWS.items():
        if name in weights:
            bound = _alexnet_norm(name, weights[name])
            stride = ALEXNET[name].stride if name in ALEXNET else 1
            scaled = bound * (255 if name == "conv1" else 1)
            coarse = _alexnet_norm(name, (weights[name] * 64).round() / 64)
            rows[label] = [bound, bound / stride, _as_printed(name, weights[name]), scaled, coarse]
    columns = ["upper bound", "printed factor", "printed formula", "pixels in [0, 1]", "7 bits"]
    return Table("table5", columns, rows, {"data": "AlexNet, 8-bit weights"})


def alexnet_product(norms: Table) -> dict[str, float]:
    """The product over AlexNet with and without the correction for pooling windows that overlap.

    Args:
        norms: the table of ``alexnet_norms``; the layers that it lacks are taken from Table 5.

    Returns:
        Name of the product -> its value.
    """
    printed = {row: values[-1] for row, values in paper.TABLE5.rows.items()}
    ours = printed | {row: values[0] for row, values in norms.rows.items()}
    pools = spectrum.max_pool_norm(3, stride=2) ** POOLS
    return {
        "Table 5 as printed": paper.TABLE5_PRODUCT,
        "Table 5 with the overlap of the pools": paper.TABLE5_PRODUCT * pools,
        "our norms, fc6 and fc7 from Table 5": math.prod(ours.values()),
        "the same with the overlap of the pools": math.prod(ours.values()) * pools,
    }


def squeezenet_bound() -> spectrum.NetworkBound | None:
    """The bounds of SqueezeNet's layers, a Fire module counting as one; None where its weights are not at hand."""
    model = squeezenet()
    if model is None:
        return None
    fire = type(model[0][3])
    return spectrum.network_bound(model, (3, 227, 227), known={fire: _fire_norm})


def sandwich(name: str, model: nn.Sequential, images: Images) -> Sandwich:
    """Certified and found distances to the class with the second largest logit.

    Args:
        name: of the network, for the file in which the search is kept.
        model: one of ``models.RECIPES``, trained.
        images: (N, 1, 28, 28).

    Returns:
        A ``Sandwich``.
    """
    key = {"model": artifacts.described(model), "images": images.digest}
    found, proved = (
        artifacts.load_or_make(
            f"{kind}-{name}", key | {"code": fingerprint.of(make)}, functools.partial(make, model, images.images)
        )
        for kind, make in (("sandwich", _search), ("certificates", _certify))
    )
    return Sandwich(proved["whole"], proved["local"], found["rms"], found["success"])


def sandwich_table(found: dict[str, Sandwich], bounds: dict[str, float], data: str) -> Table:
    """The sandwiches in numbers.

    Args:
        found: name of the network -> its sandwich.
        bounds: name of the network -> its Lipschitz bound.
        data: what the images are.

    Returns:
        A ``Table`` named ``sandwich``: how many images, Lipschitz bound, mean distances, the share of images that is
        certified, by either certificate, at the radius within which half of the images are fooled, how many images that
        is, and the largest ratio of a certified to a found distance.
    """
    rows = {}
    for name, one in found.items():
        half = float(one.found.median())
        safe = [part >= half for part in (one.whole, one.local)]
        means = [float(part.mean()) for part in (one.whole, one.local, one.found)]
        shares = [float(part.double().mean()) for part in safe]
        counts = [int(part.sum()) for part in safe]
        ratio = float((one.local / one.found)[one.found > 0].max())
        rows[name] = [len(one.found), bounds[name], *means, half, *shares, *counts, ratio]
    columns = ["images", "Lipschitz bound", "certified, global", "certified, local", "found", "median found"]
    columns += ["safe at the median, global", "safe at the median, local", "safe images, global", "safe images, local"]
    return Table("sandwich", [*columns, "largest ratio"], rows, {"data": data})


def _search(model: nn.Sequential, images: Tensor) -> dict[str, Tensor]:
    found = minimum_distortion(model, images, runners_up(model, images), refine=True)
    return {"rms": found.rms, "success": found.success}


def _certify(model: nn.Sequential, images: Tensor) -> dict[str, Tensor]:
    targets = runners_up(model, images)
    whole = global_certificate(model, images, targets, known=KNOWN)
    sigmoid = any(isinstance(layer, nn.Sigmoid) for layer in model)
    local = local_certificate(model, images, targets) if sigmoid else whole
    pixels = images[0].numel()
    return {"whole": whole.rms(pixels), "local": local.rms(pixels)}


def _alexnet_norm(name: str, weight: Tensor) -> float:
    if name not in ALEXNET:
        return spectrum.linear_norm(weight)
    how = ALEXNET[name]
    options = {"stride": how.stride, "padding": how.padding, "groups": how.groups, "input_size": how.input_size}
    return spectrum.conv_norm(weight, **options)


def _as_printed(name: str, weight: Tensor) -> float | None:
    """Formula (1) to the letter, the largest of the groups; None for a matrix."""
    if name not in ALEXNET:
        return None
    parts = weight.chunk(ALEXNET[name].groups)
    return max(float(spectrum.formula_one(part, stride=ALEXNET[name].stride, corrected=False).max()) for part in parts)


def _fire_norm(fire: nn.Module, size: tuple[int, ...]) -> float:
    squeeze = spectrum.conv_norm(fire.squeeze.weight, input_size=size[1:])
    return squeeze * spectrum.conv_norm(fire_kernel(fire), padding=1, input_size=size[1:])
