"""How much a whole network can stretch: a Lipschitz bound for each of its layers, and their product.

The bound of one layer comes from :mod:`intriguing.lipschitz.norms`; here a network is walked from input to output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from .modules import kind, layers, run
from .norms import check_bound, layer_norm


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
        """A Lipschitz bound of the whole network where each of ``norms`` bounds its layer, rounded upward."""
        return product(self.norms)


def network_bound(
    model: nn.Module,
    input_size: Sequence[int],
    *,
    known: Mapping[type[nn.Module], Callable[[nn.Module, tuple[int, ...]], float]] | None = None,
    bound: str = "upper",
) -> NetworkBound:
    """The bound of each layer of a network in evaluation mode, and with their product one of the network.

    Args:
        model: a layer or a ``Sequential`` of layers and of ``Sequential``. Weights count as they are applied, with
            their parametrizations, and with their masks where they were pruned. Layers run as copies.
        input_size: shape of one input, without the batch, such as (1, 28, 28).
        known: class of a layer -> function of the layer and of the shape of one input that returns its bound. It goes
            before what is known here.
        bound: of convolutions and average pooling, as for ``conv_norm``.

    Returns:
        A ``NetworkBound``.

    Raises:
        TypeError: a layer of a class that is not known, or with an option that is not; one with complex weights, with a
            hook or with a forward pass of its own; the message names it.
        ValueError: a layer in training mode, weights that are not finite, or a shape that a layer cannot take.

    Source:
        Szegedy et al. 2013, section 4.3.
    """
    known = {} if known is None else known
    if not isinstance(known, Mapping):
        raise TypeError(f"got known {known!r}; expected classes with functions; write {{Class: function}}.")
    return chain_bound(layers(model, known), input_size, known=known, bound=bound)


def chain_bound(
    chain: Sequence[tuple[str, nn.Module]], input_size: Sequence[int], *, known: Mapping, bound: str = "upper"
) -> NetworkBound:
    """The bound of each of some layers that follow each other.

    Args:
        chain: names and layers, as from :func:`intriguing.lipschitz.modules.layers`.
        input_size: as for ``network_bound``.
        known: likewise.
        bound: likewise.

    Returns:
        A ``NetworkBound``.

    Raises:
        TypeError: as for ``network_bound``.
        ValueError: likewise.
    """
    check_bound(bound)
    names, sizes, norms = [], [], []
    sample = torch.zeros(1, *_shape(input_size), dtype=torch.float64, device="cpu")
    for name, layer in chain:
        size = tuple(sample.shape[1:])
        norms.append(_bound(name, layer, size, known, bound))
        names.append(f"{name} {kind(layer).__name__}".strip())
        sizes.append(size)
        sample = run(name, layer, sample)
    return NetworkBound(tuple(names), tuple(sizes), tuple(norms))


def product(norms: Sequence[float]) -> float:
    """The product of bounds, rounded upward once, whatever their order and size; one that is 0 makes it 0.

    Args:
        norms: at least 0; infinity stands for what is beyond float64.
    """
    if 0 in norms or math.inf in norms:
        return 0.0 if 0 in norms else math.inf
    exact = math.prod(map(Fraction, norms))
    try:
        rounded = float(exact)
    except OverflowError:
        return math.inf
    return rounded if rounded >= exact else math.nextafter(rounded, math.inf)


def _bound(name: str, layer: nn.Module, size: tuple[int, ...], known: Mapping, bound: str) -> float:
    """The bound of one layer, by the rule for its class or by what is known here."""
    rule, place = known.get(kind(layer)), f"at {name or 'the top'!r}"
    if rule is None and any(weight.is_complex() for weight in layer.parameters()):
        raise TypeError(
            f"got complex weights in {kind(layer).__name__} {place}; expected real ones, as other layers have no bound "
            "for complex inputs; say in known what its bound is, such as linear_norm of its weight."
        )
    with torch.no_grad():
        norm = rule(layer, size) if rule else layer_norm(layer, size, bound=bound)
    if norm is None:
        raise TypeError(f"got {layer} {place}; expected layers with a known bound: say in known what its bound is.")
    norm = float(norm)
    if not norm >= 0:
        raise ValueError(
            f"got the bound {norm} for {kind(layer).__name__} {place}; expected a number of at least 0; "
            "correct its function in known."
        )
    return norm


def _shape(input_size: Sequence[int]) -> tuple[int, ...]:
    try:
        shape = torch.Size(input_size)
    except TypeError:
        shape = None
    if shape is None or any(length < 1 for length in shape):
        raise ValueError(
            f"got input_size {input_size!r}; expected the shape of one input, whole numbers of at least 1; write it "
            "without the batch, such as (1, 28, 28)."
        )
    return tuple(shape)
