"""How much a whole network can stretch: a Lipschitz bound for each of its layers, and their product.

The bound of one layer comes from :mod:`intriguing.lipschitz.norms`; here a network is walked from input to output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from .modules import applied, kind, layers, run, uncached, wide
from .norms import check_bound, checked_shape, conv_norm_by_sums, layer_norm, linear_norm, spread

Known = Mapping[type[nn.Module], Callable[[nn.Module, tuple[int, ...] | None], float]]
"""Classes of layers, with functions of a layer and of the shape of one input that return its bound."""


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
    known: Known | None = None,
    bound: str = "upper",
) -> NetworkBound:
    """The bound of each layer of a network in evaluation mode, and with their product one of the network.

    Args:
        model: a layer or a ``Sequential`` of layers and of ``Sequential``, or of classes of it that change nothing of
            how it is called. Weights count as they are applied, with their parametrizations, and with their masks where
            they were pruned. Layers run as copies.
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
    known = checked_known(known)
    return chain_bound(layers(model, known), input_size, known=known, bound=bound)


def lipschitz_bound(model: nn.Module, *, known: Known | None = None) -> float:
    """An upper bound on how fast the lead of one class over another can change, for images of any size.

    The product over the layers of what each can stretch; a convolution without groups counts with the root of its
    largest sums of absolute weights. The last layer counts by its differences of rows.

    Args:
        model: a chain as for ``network_bound`` that ends in a linear layer.
        known: as for ``network_bound``; the shape is None.

    Returns:
        L with abs(lead(x) - lead(x')) <= L |x - x'|, rounded upward; infinity where it is beyond float64.

    Raises:
        TypeError: as for ``network_bound``, or a network that does not end in a linear layer.
        ValueError: a layer in training mode, or weights that are not finite.

    Source:
        Szegedy et al. 2013, section 4.3, for the product.
    """
    known = checked_known(known)
    before, (_, weight) = chain_and_head(model, known)
    norms = []
    for name, layer in before:
        plain = kind(layer) is nn.Conv2d and nn.Conv2d not in known and layer.padding_mode == "zeros"
        kernels = applied(layer, "weight") if plain and layer.groups == 1 else None
        if kernels is None or kernels.is_complex():
            norms.append(_bound(name, layer, None, known, "upper"))
        else:
            norms.append(conv_norm_by_sums(kernels))
    return product([*norms, spread(weight)])


def checked_known(known: Known | None) -> dict:
    """Bounds of other layers, after a look at them.

    Args:
        known: as for ``network_bound``.

    Raises:
        TypeError: they are no classes with functions.
    """
    known = {} if known is None else known
    pairs = known.items() if isinstance(known, Mapping) else [(None, None)]
    if not all(isinstance(which, type) and callable(rule) for which, rule in pairs):
        raise TypeError(f"got known {known!r}; expected classes with functions; write {{Class: function}}.")
    return dict(known)


def chain_and_head(
    model: nn.Module, known: Mapping
) -> tuple[list[tuple[str, nn.Module]], tuple[tuple[str, nn.Module], Tensor]]:
    """The layers of a network that ends in a linear one: those before it, and itself with its weight.

    Args:
        model: as for ``network_bound``.
        known: likewise.

    Returns:
        Names and layers; name and last layer, and its weight (k, n) float64 on the CPU.

    Raises:
        TypeError: it ends otherwise, or in complex weights; and as for ``network_bound``.
        ValueError: as for ``network_bound``.
    """
    chain = layers(model, known)
    if not chain or kind(chain[-1][1]) is not nn.Linear:
        raise TypeError(f"got {model}; expected a Sequential that ends in a linear layer; take its logits apart first.")
    *before, (name, head) = chain
    weight = wide(applied(head, "weight"))
    if weight.is_complex():
        raise TypeError(f"got complex weights in Linear at {name!r}; expected real logits; return real numbers.")
    linear_norm(weight)  # raises where it is not finite
    return before, ((name, head), weight)


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
    sample = torch.zeros(1, *checked_shape(input_size), dtype=torch.float64, device="cpu")
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


def _bound(name: str, layer: nn.Module, size: tuple[int, ...] | None, known: Mapping, bound: str) -> float:
    """The bound of one layer, by the rule for its class or by what is known here."""
    rule, place = known.get(kind(layer)), f"at {name or 'the top'!r}"
    if rule is None and any(weight.is_complex() for weight in layer.parameters()):
        raise TypeError(
            f"got complex weights in {kind(layer).__name__} {place}; expected real ones, as other layers have no bound "
            "for complex inputs; say in known what its bound is, such as linear_norm of its weight."
        )
    try:
        with torch.no_grad(), uncached():
            answer = rule(layer, size) if rule else layer_norm(layer, size, bound=bound)
            norm = math.nan if answer is None or isinstance(answer, str) else float(answer)
    except Exception as problem:  # whatever a function of the user's raises
        if rule is None:
            raise
        answer, norm = " ".join(f"{type(problem).__name__}: {problem}".split())[:200], math.nan
    if answer is None and size is None and kind(layer) is nn.AdaptiveAvgPool2d:
        raise TypeError(
            f"got {layer} {place}, the bound of which depends on the size of the image; expected layers with a bound "
            "for every size; take network_bound, or say in known what its bound is."
        )
    if answer is None:
        raise TypeError(f"got {layer} {place}; expected layers with a known bound: say in known what its bound is.")
    if not norm >= 0:
        raise ValueError(
            f"got the bound {answer} for {kind(layer).__name__} {place}; expected a number of at least 0; "
            "correct its function in known."
        )
    return norm
