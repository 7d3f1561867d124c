"""The laboratory: the networks and digits that its page computes with, small enough to travel inside the page.

Weights are rounded to one byte each, so what the page holds are networks of their own, close to the trained ones. How
close is measured when the file is written, and written into it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.attack import files
from intriguing.book import fingerprint, settings
from intriguing.data import Images, mnist
from intriguing.data.digits import CLASSES, sample
from intriguing.data.manifest import MANIFEST
from intriguing.lipschitz.network import network_bound
from intriguing.models.recipes import build, recipe, weight_layers
from intriguing.models.training import error_rate, train_classifier, trained

NETWORKS = ("FC10(1e-4)", "FC10(1)", "FC100-100-10", "FC200-200-10")
"""The networks that a reader can choose."""

EACH = 3
"""Digits of each class that a reader can choose."""

PLACE = Path("book") / "_static" / "laboratory-weights.js"
"""Where the file lies in the checkout."""

LEVELS = 127  # the largest whole number of a weight; its negative is the smallest
SIDE = 28
ASSIGNMENT = "globalThis.laboratoryWeights = "
_FIRST = "// Written by `python -m intriguing laboratory`: change nothing here by hand.\n"


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer with weights of one byte: row i of the matrix is ``scale[i] * weight[i]``.

    Attributes:
        weight: (units, inputs) int8, -127 to 127.
        scale: (units,) float32, above 0.
        bias: (units,) float32.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor


def quantised(layer: nn.Linear) -> Layer:
    """A linear layer rounded to one byte for each weight, with one scale for each unit.

    Args:
        layer: with float32 or float64 weights (units, inputs) and biases.

    Returns:
        The ``Layer``; no weight is off by more than half of its unit's scale.
    """
    weight = layer.weight.detach().cpu().double()
    largest = weight.abs().amax(1)
    scale = torch.where(largest > 0, largest / LEVELS, 1.0).float()
    # Rounded with the scale as it is kept: its own rounding must not add to that of the weights.
    whole = (weight / scale.double()[:, None]).round().clamp(-LEVELS, LEVELS)
    return Layer(whole.to(torch.int8), scale, layer.bias.detach().cpu().float())


def network(layers: Sequence[Layer]) -> nn.Sequential:
    """The network that the page computes with.

    Args:
        layers: from input to output.

    Returns:
        A module in evaluation mode, images (B, 1, 28, 28) -> logits, of float64, with a sigmoid after each layer but
        the last.
    """
    parts: list[nn.Module] = [nn.Flatten()]
    for layer in layers:
        units, inputs = layer.weight.shape
        linear = nn.Linear(inputs, units, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(layer.scale.double()[:, None] * layer.weight.double())
            linear.bias.copy_(layer.bias)
        parts += [linear, nn.Sigmoid()]
    return nn.Sequential(*parts[:-1]).eval().requires_grad_(False)


def chosen(images: Images, each: int = EACH) -> Tensor:
    """Which images a reader can choose: the first of every class in a random order that is always the same.

    Args:
        images: with at least ``each`` of every class.
        each: how many of a class.

    Returns:
        (10 * each,) long, rows of ``images``, class by class.
    """
    order = sample(Images(images.images, torch.arange(len(images)), images.name), len(images)).labels
    return torch.cat([order[images.labels[order] == label][:each] for label in range(CLASSES)])


def document(models: Mapping[str, nn.Module], test: Images, about: Mapping[str, object]) -> dict:
    """All that the page needs, in JSON values.

    Args:
        models: name -> trained network of linear layers and sigmoids, images (B, 1, 28, 28) -> logits.
        test: the test images, from which the digits are chosen and on which the errors are measured.
        about: what is to be told about the run.

    Returns:
        ``about``; ``networks``, with layers in base64, an upper bound on how much all layers before the last can
        stretch a distance, and the test errors of the trained network and of its copy; and ``digits``, pixels in
        base64 and classes.
    """
    networks = []
    for name, model in models.items():
        layers = [quantised(layer) for layer in weight_layers(model)]
        copy = network(layers)
        networks.append(
            {
                "name": name,
                "description": recipe(name).description,
                "layers": [_written(layer) for layer in layers],
                "bound": network_bound(copy[:-1].eval(), test.images.shape[1:]).product,
                "weights": files.digest(model.state_dict()),
                "errors": {
                    "images": len(test),
                    "trained": error_rate(model, test.images, test.labels),
                    "page": error_rate(copy, test.images.double(), test.labels),
                },
            }
        )
    rows = chosen(test)
    pixels = (255 * test.images[rows]).round().to(torch.uint8)
    digits = {"pixels": _base64(pixels), "labels": test.labels[rows].tolist(), "rows": rows.tolist(), "set": test.name}
    return {"about": dict(about), "networks": networks, "digits": digits}


def definition() -> str:
    """The fingerprint of what the networks of the page are made by, in the profile that is in use."""
    return fingerprint.of(build, train_classifier)


def write(path: Path) -> dict:
    """Trains the networks, or takes them from the cache, and writes the file of the page.

    Args:
        path: The file; missing folders are made.

    Returns:
        What was written, as :func:`document` has it.

    Raises:
        DataError: The digits are missing or corrupt.
        OSError: The file cannot be written; what was there before is left as it was.
    """
    settings.seed_everything()
    digits = mnist()
    models = {name: trained(name, digits.train).model.cpu() for name in NETWORKS}
    run = settings.provenance()
    source = MANIFEST["mnist-sample" if run["profile"] == "quick" else "mnist"]
    about = {key: run[key] for key in ("profile", "seed", "created", "versions")}
    about |= {"training": definition(), "data": digits.name, "licence": source.licence, "origin": source.origin}
    content = document(models, digits.test, about)
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    files.write_atomically(path, f"{_FIRST}{ASSIGNMENT}{text};\n".encode())
    return content


def read(path: Path) -> dict:
    """What :func:`write` wrote.

    Args:
        path: The file.

    Returns:
        As :func:`document` has it.

    Raises:
        ValueError: It is no such file.
        OSError: It is missing or cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    _, found, rest = text.partition(ASSIGNMENT)
    if not found:
        raise ValueError(f"got {path}, in which nothing is assigned; write it by `python -m intriguing laboratory`.")
    return json.loads(rest.rstrip().removesuffix(";"))


def stored_networks(content: Mapping[str, object]) -> dict[str, nn.Sequential]:
    """The networks in a file of the page.

    Args:
        content: from :func:`read`.

    Returns:
        name -> network, from :func:`network`.
    """
    return {entry["name"]: network([_layer(layer) for layer in entry["layers"]]) for entry in content["networks"]}


def stored_digits(content: Mapping[str, object]) -> Images:
    """The digits in a file of the page.

    Args:
        content: from :func:`read`.
    """
    kept = content["digits"]
    pixels = _array(kept["pixels"], np.uint8).reshape(-1, 1, SIDE, SIDE)
    return Images(torch.from_numpy(pixels).float().div_(255), torch.tensor(kept["labels"]), kept["set"])


def summary(content: Mapping[str, object]) -> str:
    """One line for each network: the test error of the trained network, and that of its copy on the page.

    Args:
        content: as :func:`document` has it.
    """
    return "\n".join(
        f"{entry['name']}: {entry['errors']['trained']:.2%} of {entry['errors']['images']} test images are misread, "
        f"{entry['errors']['page']:.2%} by the copy on the page."
        for entry in content["networks"]
    )


def _written(layer: Layer) -> dict:
    units, inputs = layer.weight.shape
    return {
        "units": units,
        "inputs": inputs,
        "weight": _base64(layer.weight),
        "scale": _base64(layer.scale),
        "bias": _base64(layer.bias),
    }


def _layer(kept: Mapping[str, object]) -> Layer:
    weight = _array(kept["weight"], np.int8).reshape(kept["units"], kept["inputs"])
    scale, bias = (_array(kept[key], np.dtype("<f4")) for key in ("scale", "bias"))
    return Layer(torch.from_numpy(weight), torch.from_numpy(scale), torch.from_numpy(bias))


def _base64(tensor: Tensor) -> str:
    """The bytes of a tensor, numbers of several bytes with the least significant one first."""
    array = tensor.contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def _array(text: str, kind: np.dtype | type) -> np.ndarray:
    array = np.frombuffer(base64.b64decode(text), dtype=kind)
    return array.astype(array.dtype.newbyteorder("="))
