"""What the chapter on operator norms computes: AlexNet's norms, SqueezeNet's bound, and sandwiches around networks."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor, maximum, nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.book import cache, fingerprint, paper, results, settings, tables
from intriguing.book.results import Table
from intriguing.data import Images
from intriguing.lipschitz import network, norms
from intriguing.lipschitz.certificates import global_certificate, local_certificate, runners_up
from intriguing.lipschitz.norms import max_pool_norm
from intriguing.models.imagenet import ALEXNET, alexnet_weights, fire_kernel, squeezenet
from intriguing.models.recipes import TABLE1_MODELS, Standardize
from intriguing.models.training import trained

KNOWN = {Standardize: lambda layer, size: 1 / layer.std}
"""The bound of the one layer of this book's own in the networks of the chapter, for ``network_bound``."""

ROWS = dict(zip(("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"), paper.TABLE5.rows, strict=True))
TORCHVISION_LAYERS = ("features.0", "features.3", "features.6", "features.8", "features.10",
          "classifier.1", "classifier.4", "classifier.6")  # fmt: skip
POOLS = 3  # max-poolings of AlexNet, windows of 3 at stride 2
FINE = 120  # frequencies in each direction of a kernel's field
AGREE = 1e-4  # norms of stored weights are deterministic
LINEAR, CONVOLUTIONAL = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)"), "ConvNet"
SIGMOIDS = tuple(name for name in TABLE1_MODELS if name not in LINEAR)
DISTANCES = ["Lipschitz bound", "certified, global", "certified, local", "found", "largest ratio"]
"""Columns of :func:`sandwich_table` that belong together."""
EXCLUDED = {f"runner-up excluded at the median, {how}": f"runner-up excluded, {how}" for how in ("global", "local")}
"""Columns of :func:`sandwich_table` that hold shares -> what their counts are called."""


@dataclass(frozen=True)
class Sandwich:
    """Certified and found distances of one network, root mean squares per pixel, one entry per image.

    Attributes:
        bound: the Lipschitz bound of the network, the product over its layers.
        whole: (N,) certified by the Lipschitz bound of the whole space.
        local: (N,) certified by slopes around each image; the same as ``whole`` for networks without sigmoids.
        found: (N,) of the adversarial image that the search found for the class with the second largest logit.
        success: (N,) bool, whether it found one.
    """

    bound: float
    whole: Tensor
    local: Tensor
    found: Tensor
    success: Tensor

    @property
    def contradictions(self) -> int:
        """How many images have an adversarial example nearer than is proved possible."""
        return int((self.success & (maximum(self.whole, self.local) > self.found)).sum())


def alexnet_norms() -> Table | None:
    """Table 5 from the 8-bit weights of AlexNet, under several conventions.

    Returns:
        A ``Table`` named ``table5`` with the layers of Table 5 that are in the file: ``upper bound`` for pixels from 0
        to 255; ``printed factor``, the same with s^-2 in formula (1); ``printed formula``, what formula (1) says with
        that factor at the whole-number frequencies of its transform (no entry for a matrix); ``pixels in [0, 1]``;
        ``groups together``, the root of the sum of the squares of the norms of all groups in place of the largest;
        ``flattened``, the norm of the weights as a matrix with a row for each output, which is no bound of a
        convolution; and ``7 bits``, the bound after the weights are rounded once more to steps twice as large. None
        where the weights are not at hand.

    Source:
        Szegedy et al. 2013, Table 5.
    """
    weights = alexnet_weights()
    if weights is None:
        return None
    rows = {}
    for name, label in ROWS.items():
        if name in weights:
            groups = _group_norms(name, weights[name])
            bound, together = max(groups), math.hypot(*groups)
            stride = ALEXNET[name].stride if name in ALEXNET else 1
            scaled = bound * (255 if name == "conv1" else 1)
            coarse = max(_group_norms(name, (weights[name] * 64).round() / 64))
            flat = norms.linear_norm(weights[name].flatten(1))
            rows[label] = [bound, bound / stride, _as_printed(name, weights[name]), scaled, together, flat, coarse]
    columns = ["upper bound", "printed factor", "printed formula", "pixels in [0, 1]", "groups together", "flattened"]
    columns += ["7 bits"]
    return Table("table5", columns, rows, {"data": "AlexNet, 8-bit weights"})


def beside_table5(norms: Table) -> pd.DataFrame:
    """Our norms of AlexNet beside those that the paper prints.

    Args:
        norms: the table of ``alexnet_norms``.

    Returns:
        The layers in the order of Table 5: ``ours``, ``paper``, ``difference``, and the other columns of ``norms``; NaN
        where a layer is not at hand, or has no entry.
    """
    shown = results.frame_against(norms, paper.TABLE5)["upper bound"].loc[list(paper.TABLE5.rows)]
    return shown.join(norms.to_frame().drop(columns="upper bound"))


def table5_agrees(norms: Table | None) -> bool:
    """Whether the norms of AlexNet are those of the stored run, which a recording run stores first.

    Args:
        norms: the table of ``alexnet_norms``; None, where the weights are not at hand, contradicts nothing.
    """
    if norms is None:
        return True
    if settings.recording():
        results.record(norms)
    return results.compare(norms, AGREE).ok


def alexnet_product(norms: Table) -> dict[str, float]:
    """The product over AlexNet with and without the correction for pooling windows that overlap.

    Args:
        norms: the table of ``alexnet_norms``; the layers that it lacks are taken from Table 5.

    Returns:
        Name of the product -> its value.
    """
    printed = {row: values[-1] for row, values in paper.TABLE5.rows.items()}
    ours = printed | {row: values[0] for row, values in norms.rows.items()}
    pools = max_pool_norm(3, stride=2) ** POOLS
    return {
        "Table 5 as printed": paper.TABLE5_PRODUCT,
        "Table 5 with the overlap of the pools": paper.TABLE5_PRODUCT * pools,
        "our norms, fc6 and fc7 from Table 5": math.prod(ours.values()),
        "the same with the overlap of the pools": math.prod(ours.values()) * pools,
    }


def product_lines(norms: Table) -> str:
    """The products of :func:`alexnet_product` as a table in Markdown.

    Args:
        norms: the table of ``alexnet_norms``.
    """
    rows = [f"| {name} | {value:,.0f} |" for name, value in alexnet_product(norms).items()]
    return "\n".join(["| product over AlexNet | |", "| --- | --- |", *rows])


def torchvision_norms(model: nn.Sequential) -> tuple[Table, float]:
    """The norm of each layer with weights, and the product over the whole network.

    Args:
        model: as from ``imagenet.torchvision_alexnet``.

    Returns:
        A ``Table`` named ``alexnet_torchvision`` with the column ``upper bound``, and the product with its poolings.

    Source:
        Szegedy et al. 2013, Table 5, for another training of nearly the same network.
    """
    bound = network.network_bound(model, (3, 224, 224))
    found = {name.split()[0]: norm for name, norm in zip(bound.layers, bound.norms, strict=True)}
    rows = {name: [found[name]] for name in TORCHVISION_LAYERS}
    return Table("alexnet_torchvision", ["upper bound"], rows, {"data": "AlexNet of torchvision"}), bound.product


def squeezenet_bound() -> network.NetworkBound | None:
    """The bounds of SqueezeNet's layers, a Fire module counting as one; None where its weights are not at hand."""
    model = squeezenet()
    if model is None:
        return None
    fire = type(model[0][3])
    return network.network_bound(model, (3, 227, 227), known={fire: _fire_norm})


def squeezenet_line() -> str:
    """The sentence of the page on SqueezeNet's bound."""
    found = squeezenet_bound()
    if found is None:
        return "SqueezeNet's weights are not on this computer (INTRIGUING_DATA); its bound is left out."
    return (
        f"SqueezeNet, {len(found.norms)} layers, those without weights among them and a Fire module counting as one: "
        f"product {found.product:.3g}."
    )


def networks(images: Images, *, seed: int = settings.SEED) -> dict[str, nn.Sequential]:
    """The networks of Table 1 and the convolutional one, trained.

    Args:
        images: the training set.
        seed: of the initial weights.

    Returns:
        Name -> network in evaluation mode.
    """
    return {name: trained(name, images, seed=seed).model for name in (*TABLE1_MODELS, CONVOLUTIONAL)}


def sandwich(name: str, model: nn.Sequential, images: Images) -> Sandwich:
    """Certified and found distances to the class with the second largest logit.

    Args:
        name: of the network, for the files in which search and certificates are kept.
        model: one of ``recipes.RECIPES``, trained.
        images: (N, 1, 28, 28).

    Returns:
        A ``Sandwich``.
    """
    key = {"model": cache.described(model), "images": images.digest}
    found, proved = (
        cache.load_or_make(
            f"{kind}-{name}", key | {"code": fingerprint.of(make)}, functools.partial(make, model, images.images)
        )
        for kind, make in (("sandwich", _search), ("certificates", _certify))
    )
    bound = network.network_bound(model, images.images.shape[1:], known=KNOWN).product
    return Sandwich(bound, proved["whole"], proved["local"], found["rms"], found["success"])


def sandwich_table(found: Mapping[str, Sandwich], data: str) -> Table:
    """The sandwiches in numbers.

    Args:
        found: name of the network -> its sandwich.
        data: what the images are.

    Returns:
        A ``Table`` named ``sandwich``: how many images, Lipschitz bound, mean distances, the median of those found, the
        share of images whose runner-up is excluded at that radius, by either certificate, and the largest ratio of a
        certified to a found distance.
    """
    rows = {}
    for name, one in found.items():
        half = float(tables.median(one.found))
        means = [float(part.mean()) for part in (one.whole, one.local, one.found)]
        shares = [float((part >= half).double().mean()) for part in (one.whole, one.local)]
        ratio = float((one.local / one.found)[one.found > 0].max())
        rows[name] = [len(one.found), one.bound, *means, half, *shares, ratio]
    columns = ["images", "Lipschitz bound", "certified, global", "certified, local", "found", "median found"]
    return Table("sandwich", [*columns, *EXCLUDED, "largest ratio"], rows, {"data": data})


def excluded(table: Table) -> pd.DataFrame:
    """For how many images the runner-up is excluded at the radius where the search has fooled half of them.

    Args:
        table: what :func:`sandwich_table` returns.

    Returns:
        One row for each network: that radius, how many images, and for how many of them by either certificate.
    """
    frame = table.to_frame()
    counts = frame[list(EXCLUDED)].mul(frame["images"], axis=0).rename(columns=EXCLUDED)
    return frame[["median found", "images"]].join(counts.round())


def claims(found: Mapping[str, Sandwich], table: Table, factors: pd.DataFrame, ripple: Tensor) -> dict[str, bool]:
    """What the page claims, and whether it has come out true.

    Args:
        found: name of the network -> its sandwich.
        table: the same in numbers, from :func:`sandwich_table`.
        factors: the norms of a single weight, from :func:`intriguing.chapters.spectral.examples.one_weight`, stride 2
            among them.
        ripple: (1, 1, 3, 3), a kernel whose peak is missed.
    """
    frame = table.to_frame()
    whole, local = frame["certified, global"], frame["certified, local"]
    return {
        "No image of any network has an adversarial example nearer than is proved possible": all(
            one.contradictions == 0 for one in found.values()
        ),
        "The search finds an adversarial example for every image": all(
            bool(one.success.all()) for one in found.values()
        ),
        "For some image of each linear network the proof covers nine tenths of the distance": bool(
            (frame["largest ratio"][list(LINEAR)] > 0.9).all()
        ),
        "Following the slopes raises the mean certificate of each sigmoid network by half or more": bool(
            (local > 1.5 * whole)[list(SIGMOIDS)].all()
        ),
        "The product of norms certifies the convolutional network to a tenth of the distance found": bool(
            whole[CONVOLUTIONAL] > 0.1 * frame["found"][CONVOLUTIONAL]
        ),
        "The printed factor of formula (1) falls below the true norm at stride 2": bool(
            factors.at[2, "factor as printed"] < factors.at[2, "true norm"]
        ),
        "The frequencies of a three-point transform miss the supremum": bool(
            norms.formula_one(ripple).max() < 0.9 * norms.formula_one(ripple, points=FINE).max()
        ),
    }


def cost_line(norms: Mapping[str, Any]) -> str:
    """The sentence of the page on where and how fast norms were measured.

    Args:
        norms: what ``results.measured("norms")`` gives.
    """
    meta = norms["meta"]
    threads = "1 thread" if meta["threads"] == 1 else f"{meta['threads']} threads"
    return (
        f"Measured on {meta['created'][:10]}, {meta['hardware']['cpu']}, {threads}; "
        f"the bounds of all layers of AlexNet together: {meta['whole_seconds']:.1f} s "
        "(fc6 and fc7, which are missing, as random matrices of their sizes)."
    )


def cost_frame(norms: Mapping[str, Any]) -> pd.DataFrame:
    """Time and error of several methods on layers of AlexNet.

    Args:
        norms: as for :func:`cost_line`.

    Returns:
        A row for each layer; for each method, with its kind in brackets, ``seconds`` and ``error``.
    """
    rows = pd.DataFrame(norms["rows"])
    kinds = dict(zip(rows["method"], rows["kind"], strict=True))
    wide = rows.pivot(index="layer", columns="method", values=["seconds", "error"])
    places = [(what, method) for method in kinds for what in ("seconds", "error")]
    wide = wide.loc[list(dict.fromkeys(rows["layer"])), places]
    wide.columns = pd.MultiIndex.from_tuples([(f"{method} ({kinds[method]})", what) for what, method in places])
    return wide.rename_axis(index=None)


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


def _group_norms(name: str, weight: Tensor) -> list[float]:
    """The norm of each group of channels. The largest is that of the layer; the root of the sum of their squares is
    what comes out if each group saw an input of its own that may be as large as the whole."""
    if name not in ALEXNET:
        return [norms.linear_norm(weight)]
    how = ALEXNET[name]
    options = {"stride": how.stride, "padding": how.padding, "input_size": how.input_size}
    return [norms.conv_norm(part, **options) for part in weight.chunk(how.groups)]


def table5_words(norms: Table) -> str:
    """How near several conventions come to the paper's Table 5, in sentences with their numbers.

    Args:
        norms: the table of ``alexnet_norms``.
    """
    frame, printed = norms.to_frame(), {row: values[-1] for row, values in paper.TABLE5.rows.items()}
    grouped = [label for name, label in ROWS.items() if name in ALEXNET and ALEXNET[name].groups > 1]
    share = {column: [frame.at[row, column] / printed[row] for row in grouped] for column in frame}
    one, together = (
        ", ".join(f"{value:.2f}" for value in share[column]) for column in ("upper bound", "groups together")
    )
    first, alone = ROWS["conv1"], ROWS["conv3"]
    return (
        f"Over the paper's numbers, the layers with groups come to {one}, and with their groups taken together to "
        f"{together}; {alone}, which has none, to {frame.at[alone, 'upper bound'] / printed[alone]:.2f}. {first} comes "
        f"to {frame.at[first, 'upper bound'] / printed[first]:.2f}, and its flattened weights have the norm "
        f"{frame.at[first, 'flattened']:.2f} where the paper prints {printed[first]:g}."
    )


def _as_printed(name: str, weight: Tensor) -> float | None:
    """Formula (1) at the frequencies of its own transform, the largest of the groups; None for a matrix."""
    if name not in ALEXNET:
        return None
    parts = weight.chunk(ALEXNET[name].groups)
    return max(float(norms.formula_one(part, stride=ALEXNET[name].stride, corrected=False).max()) for part in parts)


def _fire_norm(fire: nn.Module, size: tuple[int, ...]) -> float:
    squeeze = norms.conv_norm(fire.squeeze.weight, input_size=size[1:])
    return squeeze * norms.conv_norm(fire_kernel(fire), padding=1, input_size=size[1:])
