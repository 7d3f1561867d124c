"""How much a whole network can stretch: a Lipschitz bound for each of its layers, and their product.

The bound of one layer comes from :mod:`intriguing.lipschitz.norms`; here a network is walked from input to output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .norms import layer_norm


@dataclass(frozen=True)
class NetworkBound:
    """The Lipschitz bounds of the layers of a network, one entry per layer, from input to output.

    Attributes:
        layers: name and class of each layer, such as ``features.0 Conv2d``.
        input_sizes: shape of one input of each layer, without the batch.
        norms: bound of each layer in the Euclidean norm.
    """

    layers: tuple[str, ...]
    input_sizes: tuple[tuple[int, ...], ...]
    norms: tuple[float, ...]

    @property
    def product(self) -> float:
        """A Lipschitz bound of the whole network."""
        return math.prod(self.norms)


def network_bound(
    model: nn.Module,
    input_size: Sequence[int],
    *,
    known: Mapping[type[nn.Module], Callable[[nn.Module, tuple[int, ...]], float]] | None = None,
    bound: str = "upper",
) -> NetworkBound:
    """The bound of each layer of a network in evaluation mode, and with their product one of the network.

    Args:
        model: a layer or a ``Sequential`` of layers and of ``Sequential``.
        input_size: shape of one input, without the batch, such as (1, 28, 28).
        known: class of a layer -> function of the layer and of the shape of one input that returns its bound. It goes
            before what is known here.
        bound: of convolutions and average pooling, as for ``conv_norm``.

    Returns:
        A ``NetworkBound``.

    Raises:
        TypeError: a layer of a class that is not known, or with an option that is not; the message names it.
        ValueError: a model in training mode.

    Source:
        Szegedy et al. 2013, section 4.3.
    """
    if model.training:
        raise ValueError("got a model in training mode; expected one in evaluation mode; call model.eval().")
    names, sizes, norms = [], [], []
    sample = torch.zeros(1, *input_size, dtype=torch.float32)
    with torch.no_grad():
        for name, layer in _layers(model, "", known or {}):
            size = tuple(sample.shape[1:])
            rule = (known or {}).get(type(layer))
            norm = rule(layer, size) if rule else layer_norm(layer, size, bound=bound)
            if norm is None:
                raise TypeError(
                    f"got {layer} at {name or 'the top'!r}; expected layers with a known bound: "
                    "say in known what its bound is"
                )
            names.append(f"{name} {type(layer).__name__}".strip())
            sizes.append(size)
            norms.append(float(norm))
            here = next(layer.parameters(), sample)
            sample = layer(sample.to(here)).cpu().float()
    return NetworkBound(tuple(names), tuple(sizes), tuple(norms))


def _layers(model: nn.Module, name: str, known: Mapping) -> list[tuple[str, nn.Module]]:
    """The layers of nested chains by name, in the order in which they are applied."""
    if type(model) is not nn.Sequential or nn.Sequential in known:
        return [(name, model)]
    inner = [_layers(child, f"{name}.{key}".strip("."), known) for key, child in model.named_children()]
    return [pair for pairs in inner for pair in pairs]
