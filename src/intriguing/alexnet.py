"""torchvision's AlexNet, where its weights are on this computer: a second network to set beside Table 5."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from torch import nn
from torchvision import models

from . import lipschitz, scale
from .results import Table

FILE = models.AlexNet_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
"""The name of the file; the digits in it begin its SHA-256 sum."""

LAYERS = ("features.0", "features.3", "features.6", "features.8", "features.10",
          "classifier.1", "classifier.4", "classifier.6")  # fmt: skip


def torchvision_alexnet() -> nn.Sequential | None:
    """AlexNet as torchvision has it, as a chain of layers for images (B, 3, 224, 224).

    Nothing is downloaded. The file is looked for in the folder ``imagenet`` of ``INTRIGUING_DATA`` and among what
    ``torch.hub`` has fetched, for instance by ``torchvision.models.alexnet(weights="DEFAULT")``.

    Returns:
        The network in evaluation mode, gradients of its weights off; None where the file is not on this computer.

    Raises:
        ValueError: the file is there and its sum is not the one in its name.
    """
    data = scale.data_folder()
    folders = ([data / "imagenet"] if data is not None else []) + [Path(torch.hub.get_dir()) / "checkpoints"]
    path = next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
    if path is None:
        return None
    wanted = FILE.removesuffix(".pth").rsplit("-", 1)[-1]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(wanted):
        raise ValueError(
            f"{os.path.basename(path)} has a SHA-256 sum that begins with {found[: len(wanted)]}, expected {wanted}; "
            "remove the file and fetch it again"
        )
    model = models.alexnet(weights=None)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return chain(model)


def chain(model: nn.Module) -> nn.Sequential:
    """The forward pass of torchvision's AlexNet as a chain of layers that can be walked.

    Args:
        model: of the class ``torchvision.models.AlexNet``.

    Returns:
        The same layers in evaluation mode, gradients of the weights off.
    """
    parts = {"features": model.features, "avgpool": model.avgpool, "flatten": nn.Flatten(),
             "classifier": model.classifier}  # fmt: skip
    whole = nn.Sequential()
    for name, part in parts.items():
        whole.add_module(name, part)
    return whole.eval().requires_grad_(False)


def norms(model: nn.Sequential) -> tuple[Table, float]:
    """The norm of each layer with weights, and the product over the whole network.

    Args:
        model: as from ``torchvision_alexnet``.

    Returns:
        A ``Table`` named ``alexnet_torchvision`` with the column ``upper bound``, and the product with its poolings.

    Source:
        Szegedy et al. 2013, Table 5, for another training of nearly the same network.
    """
    bound = lipschitz.network_bound(model, (3, 224, 224))
    found = {name.split()[0]: norm for name, norm in zip(bound.layers, bound.norms, strict=True)}
    rows = {name: [found[name]] for name in LAYERS}
    return Table("alexnet_torchvision", ["upper bound"], rows, {"data": "AlexNet of torchvision"}), bound.product
