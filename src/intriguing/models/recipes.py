"""The networks of the paper: pixels in [0, 1] go in, logits come out, any normalisation is inside."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

PIXELS = 784
CLASSES = 10


@dataclass(frozen=True)
class Recipe:
    """What a network of digits is made of and how hard its weights are decayed.

    Attributes:
        name: the paper's name for it, where it has one.
        hidden: units of each hidden sigmoid layer, in order.
        decay: lambda of each layer with weights, in order (for an autoencoder: of the softmax on top; for the
            convolutional network: none).
        kind: ``"fc"`` (trained end to end), ``"autoencoder"`` (features learned without labels, then frozen) or
            ``"convolutional"``.
        description: one line for tables.
    """

    name: str
    hidden: tuple[int, ...]
    decay: tuple[float, ...]
    kind: str = "fc"
    description: str = ""


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("FC10(1e-4)", (), (1e-4,), description="softmax on pixels, λ = 1e-4"),
        Recipe("FC10(1e-2)", (), (1e-2,), description="softmax on pixels, λ = 1e-2"),
        Recipe("FC10(1)", (), (1.0,), description="softmax on pixels, λ = 1"),
        Recipe("FC100-100-10", (100, 100), (1e-5, 1e-5, 1e-6), description="two sigmoid layers of 100"),
        Recipe("FC200-200-10", (200, 200), (1e-5, 1e-5, 1e-6), description="two sigmoid layers of 200"),
        Recipe("FC123-456-10", (123, 456), (1e-5, 1e-5, 1e-6), description="sigmoid layers of 123 and 456"),
        Recipe("AE400-10", (400,), (1e-6,), "autoencoder", "sparse autoencoder, frozen, softmax on top"),
        Recipe("ConvNet", (), (), "convolutional", "two convolutions, ReLU, max-pooling; not in the paper's tables"),
    )
}

TABLE1_MODELS = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "FC100-100-10", "FC200-200-10", "AE400-10")


def recipe(name: str) -> Recipe:
    """The recipe of a network by the paper's name.

    Args:
        name: a key of ``RECIPES``.

    Returns:
        The ``Recipe``.

    Raises:
        KeyError: no such network; the message lists those there are.

    Source:
        Szegedy et al. 2013, Table 1 and Table 3.
    """
    if name not in RECIPES:
        raise KeyError(f"got {name!r}; expected one of {', '.join(RECIPES)}.")
    return RECIPES[name]


def build(name: str, *, seed: int = 0) -> nn.Sequential:
    """An untrained network with seeded weights.

    Args:
        name: a key of ``RECIPES``.
        seed: of the initial weights.

    Returns:
        A module from images (B, 1, 28, 28) float32 in [0, 1] to logits (B, 10).

    Raises:
        KeyError: no network of that name.
    """
    kind, hidden = recipe(name).kind, recipe(name).hidden
    generator = torch.Generator().manual_seed(seed)
    model = _convolutional() if kind == "convolutional" else _fully_connected(hidden)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    return model


def weight_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a model that hold connection weights, from input to output.

    Args:
        model: any module.

    Returns:
        Its ``Linear`` and ``Conv2d`` layers in the order of the forward pass of a ``Sequential``.
    """
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


class Standardize(nn.Module):
    """Shift and scale pixels by fixed numbers, so that callers keep working in [0, 1].

    Args:
        mean: of the pixels of the training set.
        std: of the pixels of the training set.
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images: Tensor) -> Tensor:
        """The images (B, *shape), less the mean, over the standard deviation."""
        return (images - self.mean) / self.std


def _fully_connected(hidden: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    width = PIXELS
    for units in hidden:
        layers += [nn.Linear(width, units), nn.Sigmoid()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def _convolutional() -> nn.Sequential:
    return nn.Sequential(
        Standardize(0.1307, 0.3081),
        nn.Conv2d(1, 32, 5),  # (B, 32, 24, 24)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (B, 32, 12, 12)
        nn.Conv2d(32, 64, 5),  # (B, 64, 8, 8)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (B, 64, 4, 4)
        nn.Flatten(),
        nn.Linear(1024, 200),
        nn.ReLU(),
        nn.Linear(200, CLASSES),
    )
