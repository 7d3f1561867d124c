"""Distances within which no adversarial example of a given class exists, proved from the weights, for each image.

The difference of two logits of a network is a function of the image. If it is m at x and changes by no more than L per
unit of distance, it stays positive within m / L. The global bound takes one L for the whole space: the product of the
operator norms. The local one follows the ball around x as it grows and takes, at every radius, a bound that holds in
that ball.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .modules import applied, kind, layers, run, wide
from .network import Known, chain_and_head, chain_bound, checked_known, product
from .norms import SIGMOID, conv_norm_by_sums, lengths, linear_norm, whole_number

ROUNDING = 1e-13  # of what is added up: some nine hundred units of rounding in float64
UNIT = 2.0**-53  # of rounding in float64
NORMALISING = 8  # products that a batch normalisation's error is at most worth: it takes a root and divides
EXACT = (nn.ReLU, nn.Flatten, nn.Identity, nn.Dropout, nn.MaxPool2d)  # layers that round nothing
SMOOTH = (nn.Sigmoid, nn.Tanh)  # that round each output by itself
SUMS = (nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)  # that add up what may cancel
MODERATE = 200  # powers of two that the largest weights of all hidden layers may be away from 1, taken together

# The local bound is renewed at radii that grow by a factor, from a fraction of what is certified globally.
STEPS, GROWTH, FIRST = 64, 1.08, 1 / 8
CHUNK = 100  # images at a time, each with matrices of as many rows as a layer has units


@dataclass(frozen=True)
class Certificate:
    """Radii within which the network's answer is proved not to become the target, one entry per image.

    Attributes:
        predictions: (B,) long, the classes that the network gives to the images.
        margins: (B,) float64, logit of the prediction minus that of the target.
        radius: (B,) float64, Euclidean, rounded downward; 0 where the image is already taken for the target, infinity
            where it is proved that no image ever is.
    """

    predictions: Tensor
    margins: Tensor
    radius: Tensor

    def rms(self, pixels: int) -> Tensor:
        """The radii as root mean squares per pixel, (B,) float64.

        Args:
            pixels: n, numbers in one image.

        Raises:
            ValueError: pixels is no whole number of at least 1.
        """
        if not whole_number(pixels) or pixels < 1:
            raise ValueError(
                f"got {pixels!r} pixels; expected a whole number of at least 1; take images.shape[1:].numel()."
            )
        return self.radius / math.sqrt(pixels)


def global_certificate(
    model: nn.Sequential,
    images: Tensor,
    targets: Tensor,
    *,
    known: Known | None = None,
) -> Certificate:
    """Margin over Lipschitz bound.

    The bound for the difference of two logits is the product over all layers before the last, times the norm of the
    difference of two rows of the last, which is at most the root of 2 times the norm of the whole last matrix.

    Args:
        model: ends in a linear layer; images (B, *shape) -> logits (B, k). What is proved holds for its weights in
            exact arithmetic; a pass in single precision rounds.
        images: (B, *shape) in [0, 1]; there may be none.
        targets: (B,) long from 0 to k - 1, the class that each image shall not become.
        known: bounds of other layers, as for ``network_bound``.

    Returns:
        A ``Certificate``.

    Raises:
        TypeError: a layer without a known bound, with complex weights or with a hook; a network that does not end in a
            linear layer; images that are not floating, or targets that are not int64.
        ValueError: a layer in training mode, pixels outside [0, 1], not one target per image or one that is no class, a
            layer that makes NaN of an image, or weights or logits that are not finite, but for a bias of minus
            infinity, whose class never wins.

    Source:
        Szegedy et al. 2013, section 4.3; Tsuzuku et al. 2018, "Lipschitz-margin training".
    """
    return _whole(_Seen.of(model, images, checked_known(known)), targets)


def local_certificate(model: nn.Sequential, images: Tensor, targets: Tensor) -> Certificate:
    """A certificate from slopes around each image, for fully connected networks of sigmoids.

    At the image itself the Jacobian is known. In a ball around it each pre-activation moves by no more than the
    integral of a bound of its own gradient, so that the slopes of its sigmoid stay within an interval, and with them
    the Jacobian of the next layer. The bound of the gradient of the margin is integrated over the radius in upper sums
    until it has used up the margin or a fixed number of steps has been made. Never below the global certificate, and
    the same for linear networks and where products of the weights might leave the range of float64.

    Args:
        model: ``Flatten``, then ``Linear`` and ``Sigmoid`` in turn, ending in ``Linear``.
        images: (B, *shape) in [0, 1]; there may be none.
        targets: (B,) long from 0 to k - 1, the class that each image shall not become.

    Returns:
        A ``Certificate``.

    Raises:
        TypeError: another kind of network; and as for ``global_certificate``.
        ValueError: as for ``global_certificate``.

    Source:
        The manner of Weng et al. 2018, "Towards fast computation of certified robustness", with sigmoids in place of
        rectifiers and the bound renewed along the radius.
    """
    seen = _Seen.of(model, images, {})
    weights = _sigmoid_layers(model, seen.images)
    whole = _whole(seen, targets)
    if len(weights) == 1 or not _moderate(weights[:-1]):  # linear: the global bound is exact
        return whole
    _, rows, sure = seen.leads(whole.predictions, targets.cpu())
    fields = (seen.images.flatten(1), rows, sure, whole.radius)
    chunks = zip(*(field.split(CHUNK) for field in fields), strict=True)
    return Certificate(whole.predictions, whole.margins, torch.cat([_march(weights, *chunk) for chunk in chunks]))


def smallest(
    model: nn.Sequential,
    images: Tensor,
    *,
    known: Known | None = None,
) -> Tensor:
    """The radius within which the answer cannot change at all: the smallest global one over all other classes.

    Args:
        model: as for ``global_certificate``.
        images: (B, *shape) in [0, 1].
        known: bounds of other layers, as for ``network_bound``.

    Returns:
        (B,) float64, Euclidean radii, rounded downward.

    Raises:
        TypeError: as for ``global_certificate``.
        ValueError: likewise, or a network with one class.
    """
    seen = _Seen.of(model, images, checked_known(known))
    count, predictions = seen.logits.shape[1], seen.logits.argmax(1)
    if count < 2:
        raise ValueError("got logits of one class; expected at least two; certify a network that decides between some.")
    radii = [_radii(seen, predictions, torch.full_like(predictions, target))[1] for target in range(count)]
    return torch.stack(radii, 1).scatter(1, predictions[:, None], torch.inf).amin(1)


def runners_up(model: nn.Module, images: Tensor) -> Tensor:
    """The class with the second largest logit, (B,) long: the one that an attack may hope to reach most easily.

    Args:
        model: a chain as for ``network_bound``, or any network; images (B, *shape) -> logits (B, k), k at least 2.
        images: (B, *shape) in [0, 1].

    Raises:
        TypeError: images that are not floating, or a network with hooks or that cannot be copied.
        ValueError: a layer in training mode, pixels outside [0, 1], or no logits of two classes or more.
    """
    _check_images(images)
    logits = wide(images)
    for name, layer in layers(model):
        logits = run(name, layer, logits)
    if _checked_logits(logits).shape[1] < 2:
        raise ValueError("got logits of one class; expected at least two; name a network that decides between some.")
    return logits.sort(dim=1, descending=True, stable=True).indices[:, 1]  # stable: never the first of equal ones


@dataclass(frozen=True)
class _Seen:
    """What a network makes of images: its last layer, the bound of all before it, and logits (B, k), all in float64.

    ``terms`` (B, k) are the sums of absolute values that the logits come from: what rounding is measured by. ``unsure``
    (B,) is how far rounding may have put what the last layer is given from where it is.
    """

    images: Tensor
    bound: float
    weight: Tensor
    logits: Tensor
    terms: Tensor
    unsure: Tensor

    @classmethod
    def of(cls, model: nn.Sequential, images: Tensor, known: Mapping) -> _Seen:
        """Looks at images through a network that ends in a linear layer."""
        _check_images(images)
        before, ((name, head), weight) = chain_and_head(model, known)
        norms = chain_bound(before, images.shape[1:], known=known).norms
        bias = wide(applied(head, "bias"))
        images = inputs = wide(images)
        unsure = images.new_zeros(len(images))
        for (place, layer), norm in zip(before, norms, strict=True):
            outputs = run(place, layer, inputs)
            unsure = _times(norm, unsure) + _rounded(layer, norm, inputs, outputs)
            if bool(unsure.isnan().any()):
                raise ValueError(
                    f"got NaN from {kind(layer).__name__} at {place!r}; expected finite outputs for every image; leave "
                    "out images on which it is not defined, or look for weights that are too large."
                )
            inputs = outputs
        logits = _checked_logits(run(name, head, inputs))
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        never = bias == -torch.inf  # a class that cannot win
        if not bool((logits.isfinite() | never).all()):
            raise ValueError("got NaN or infinite logits; expected finite ones; look for weights that are too large.")
        terms = inputs.abs() @ weight.abs().T + torch.where(never, 0.0, bias.abs())
        return cls(images, product(norms), weight, logits, terms, unsure)

    def leads(self, predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Margins (B,) over the targets, the rows (B, n) they come from, and what rounding leaves of them, (B,)."""
        logits, terms = (
            torch.stack([values.gather(1, which[:, None])[:, 0] for which in (predictions, targets)])
            for values in (self.logits, self.terms)
        )
        rows, margins = self.weight[predictions] - self.weight[targets], logits[0] - logits[1]
        return margins, rows, margins - ROUNDING * terms.sum(0) - lengths(rows) * self.unsure


def _rounded(layer: nn.Module, norm: float, inputs: Tensor, outputs: Tensor) -> Tensor:
    """A bound of how far rounding in a layer puts its outputs from where they are, (B,)."""
    which = kind(layer)
    if which in EXACT:
        return inputs.new_zeros(len(inputs))
    if which in SMOOTH:
        return ROUNDING * lengths(outputs.flatten(1))
    if which is nn.Linear:
        return _share(layer.in_features) * lengths(_sums(layer, inputs).flatten(1))
    if which in SUMS and layer.running_mean is not None:
        return _share(NORMALISING) * lengths(_sums(layer, inputs).flatten(1))
    if which is nn.Conv2d:
        weight, bias = applied(layer, "weight"), wide(applied(layer, "bias"))
        added = inputs.new_zeros(1, 1) if bias is None else torch.where(bias.isfinite(), bias, 0.0)[None]
        sums = _times(conv_norm_by_sums(weight), lengths(inputs.flatten(1)))
        sums = sums + lengths(added) * math.sqrt(outputs.shape[-2:].numel())
        return (_share(weight[0].numel()) if layer.padding_mode == "zeros" else ROUNDING) * sums
    # What another layer adds up is taken to be no longer than its output for a black image, on which it need not be
    # defined, together with what it can add to that.
    return ROUNDING * (2 * _times(norm, lengths(inputs.flatten(1))) + lengths(outputs.flatten(1)))


def _share(terms: int) -> float:
    """How much of a sum of absolute values rounding may take or give, where so many products are added to a bias.

    In whatever order they are added: Higham 2002, "Accuracy and stability of numerical algorithms", section 3.1.
    """
    return min(ROUNDING, (terms + 4) * UNIT)


def _times(norm: float, sizes: Tensor) -> Tensor:
    """How long a layer makes what has these lengths, where 0 times infinity is 0."""
    return torch.where((sizes == 0) | (norm == 0), 0.0, norm * sizes)


def _sums(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What a linear layer or a batch normalisation adds up, by absolute value."""
    weight, bias = wide(applied(layer, "weight")), wide(applied(layer, "bias"))
    weight = None if weight is None else weight.abs()
    bias = None if bias is None else torch.where(bias.isfinite(), bias.abs(), 0.0)  # nothing is rounded at infinity
    if kind(layer) is nn.Linear:
        return nn.functional.linear(inputs.abs(), weight, bias)
    mean, variance = -wide(layer.running_mean).abs(), wide(layer.running_var)
    return nn.functional.batch_norm(inputs.abs(), mean, variance, weight, bias, eps=layer.eps)


def _whole(seen: _Seen, targets: Tensor) -> Certificate:
    """The global certificate."""
    _check_targets(seen.logits, targets)
    predictions = seen.logits.argmax(1)
    return Certificate(predictions, *_radii(seen, predictions, targets.cpu()))


def _radii(seen: _Seen, predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Margins over the targets and the radii in which they last, each (B,)."""
    margins, rows, sure = seen.leads(predictions, targets)
    return margins, _distance(sure, seen.bound, lengths(rows))


def _distance(margins: Tensor, bound: float, sizes: Tensor) -> Tensor:
    """Margins (B,) over slopes, bound times sizes (B,): rounded downward, also where their ratio is beyond float64."""
    flat, steep = (sizes == 0) | (bound == 0), sizes.isinf() | math.isinf(bound)
    usual = (margins > 0) & margins.isfinite() & ~flat & ~steep
    above, below = (torch.frexp(torch.where(usual, value, 1.0)) for value in (margins, sizes))
    digits, power = math.frexp(bound) if 0 < bound < math.inf else (1.0, 0)
    exponents = (above.exponent - below.exponent - power).clamp(-1100, 1100).double()
    half = (exponents / 2).floor()
    ratio = above.mantissa / below.mantissa / digits * (1 - ROUNDING)
    limits = torch.finfo(ratio.dtype)
    radius = (ratio * torch.exp2(half) * torch.exp2(exponents - half)).clamp(max=limits.max)
    radius = torch.where(radius < limits.tiny, 0.0, radius)
    radius = torch.where(flat | margins.isinf(), torch.inf, torch.where(steep, 0.0, radius))
    return torch.where(margins > 0, radius, 0.0)


def _march(weights: list[tuple[Tensor, Tensor]], x: Tensor, rows: Tensor, margins: Tensor, start: Tensor) -> Tensor:
    """Follow the growing ball and return the radii (B,) at which the margin may be used up."""
    # Rows and margin are taken times a power of two, so that no squares overflow or vanish.
    exponents = -torch.frexp(rows.abs().amax(1)).exponent.clamp(-1000, 1000).double()
    rows, margins = rows * torch.exp2(exponents)[:, None], margins * torch.exp2(exponents)
    norms = [linear_norm(weight) for weight, _ in weights]
    layers, steep = _at_the_images(weights, x, rows)
    ceiling = lengths(rows) * SIGMOID ** len(layers) * math.prod(norms[:-1])  # the global bound of the slope
    used, radius, alive = torch.zeros_like(margins), torch.zeros_like(margins), (margins > 0) & start.isfinite()
    first = torch.where(alive, FIRST * start, 0.0)
    moved = [layer.unsure for layer in layers]  # how far each pre-activation can be from its centre
    for count in range(STEPS + 1):
        step = first if count == 0 else (GROWTH - 1) * radius
        slope = steep + _deviation(weights, rows, layers, norms, moved, step) + ROUNDING * ceiling
        slope = torch.minimum(slope * (1 + ROUNDING), ceiling)
        spent = used + step * slope
        ends = alive & (spent >= margins)
        radius = torch.where(ends, radius + (margins - used) / slope, torch.where(alive, radius + step, radius))
        used = torch.where(alive, spent, used)
        alive = alive & ~ends
    return torch.maximum(radius, start)


@dataclass(frozen=True)
class _Layer:
    """A hidden layer at the images: pre-activations z (B, H) and the norms of their Jacobian P.

    ``rows`` (B, H) are the norms of its rows, ``size`` (B,) is its operator norm. ``unsure`` (B, H) is how far rounding
    may have put each z from where it is.
    """

    z: Tensor
    rows: Tensor
    size: Tensor
    unsure: Tensor


def _at_the_images(weights: list[tuple[Tensor, Tensor]], x: Tensor, rows: Tensor) -> tuple[list[_Layer], Tensor]:
    """The hidden layers, and the norm of the gradient of the margin, (B,)."""
    first = weights[0][0]
    gram = first @ first.T
    layers, activation, unsure = [], x, torch.zeros_like(x)
    chain = torch.eye(len(first), dtype=x.dtype, device=x.device).expand(len(x), -1, -1)  # P = chain @ first
    largest = torch.linalg.eigvalsh(gram)[-1]
    for weight, bias in weights[:-1]:
        z = activation @ weight.T + bias
        unsure = (unsure + ROUNDING * activation.abs()) @ weight.abs().T
        unsure = unsure + ROUNDING * torch.where(bias.isfinite(), bias.abs(), 0.0)
        if layers:
            chain = weight @ chain
            squares = chain @ gram @ chain.mT  # P P^T, (B, H, H)
            # Where terms cancel, rounding is as large as a fraction of what they are without signs.
            hidden = ROUNDING * largest * chain.square().sum(2)
            rows_ = (squares.diagonal(dim1=1, dim2=2).clamp(min=0) + hidden).sqrt()
            size = (torch.linalg.eigvalsh(squares)[..., -1].clamp(min=0) + hidden.sum(1)).sqrt()
        else:
            rows_, size = (value.sqrt() for value in (gram.diagonal().expand(len(x), -1), largest.expand(len(x))))
        layers.append(_Layer(z, rows_ * (1 + ROUNDING), size * (1 + ROUNDING), unsure))
        activation = torch.sigmoid(z)
        unsure = SIGMOID * unsure + ROUNDING * activation
        chain = _slope(z)[..., None] * chain
    gradient = (rows[:, None] @ chain)[:, 0]  # in terms of the first layer's pre-activations
    return layers, (gradient @ first).norm(dim=1)


def _deviation(
    weights: list[tuple[Tensor, Tensor]],
    rows: Tensor,
    layers: list[_Layer],
    norms: list[float],
    moved: list[Tensor],
    step: Tensor,
) -> Tensor:
    """How far the gradient of the margin can be from that at the image, in the ball one step larger; moves ``moved``.

    With D the slopes and P the Jacobian of a layer's pre-activations, D' P' - D P = D' (P' - P) + (D' - D) P.
    """
    each, all_ = torch.zeros_like(layers[0].z), torch.zeros_like(step)  # bounds of P' - P: of its rows, of its norm
    for k, layer in enumerate(layers):
        moved[k] = moved[k] + step[:, None] * (layer.rows + each)
        here, size = _slope(layer.z), layer.z.abs()
        largest, least = _slope((size - moved[k]).clamp(min=0)), _slope(size + moved[k])
        change = torch.maximum(largest - here, here - least)  # of the slopes, (B, H)
        after = rows[:, None] if k == len(layers) - 1 else weights[k + 1][0][None]  # (B or 1, rows, H)
        square = after.square()
        carried = (square @ largest.square()[..., None])[..., 0].sqrt() * all_[:, None]
        bent = torch.minimum(
            (square @ change.square()[..., None])[..., 0].sqrt() * layer.size[:, None],
            (after.abs() @ (change * layer.rows)[..., None])[..., 0],
        )
        each = carried + bent
        own = torch.minimum(change.amax(1) * layer.size, (change * layer.rows).norm(dim=1))
        all_ = norms[k + 1] * (largest.amax(1) * all_ + own)
    return each[:, 0]


def _slope(z: Tensor) -> Tensor:
    """The derivative of the sigmoid."""
    return torch.sigmoid(z) * torch.sigmoid(-z)


def _sigmoid_layers(model: nn.Sequential, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases, float64, of a fully connected network of sigmoids."""
    chain = [layer for _, layer in layers(model) if kind(layer) is not nn.Flatten]
    wanted = [nn.Linear if i % 2 == 0 else nn.Sigmoid for i in range(len(chain))]
    if [kind(layer) for layer in chain] != wanted or chain[0].in_features != images.shape[1:].numel():
        raise TypeError(f"got {model}; expected linear layers and sigmoids in turn; use the global certificate.")
    weights = [wide(applied(layer, "weight")) for layer in chain[::2]]
    biases = [wide(applied(layer, "bias")) for layer in chain[::2]]
    return [(w, w.new_zeros(len(w)) if b is None else b) for w, b in zip(weights, biases, strict=True)]


def _moderate(weights: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether there are products of all layers, and their squares are well within float64."""
    if not all(weight.numel() for weight, _ in weights):
        return False
    largest = [float(weight.abs().max()) for weight, _ in weights]
    return sum(abs(math.frexp(value)[1]) for value in largest) <= MODERATE


def _checked_logits(logits: Tensor) -> Tensor:
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(
            f"got logits of shape {tuple(logits.shape)}; expected (B, k); return one row of class scores per image, "
            "with a Flatten before linear layers."
        )
    if bool(logits.isnan().any()) or not bool(logits.amax(1).isfinite().all()):
        raise ValueError("got NaN or infinite logits; expected finite ones; look for weights that are too large.")
    return logits


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"got images of {type(images).__name__}; expected a tensor (B, *shape); convert them first.")
    if not images.is_floating_point():
        raise TypeError(f"got images of {images.dtype}; expected floating pixels; convert them with .float().")
    _check_plain(images, "images")
    if images.ndim < 2:
        raise ValueError(f"got images of shape {tuple(images.shape)}; expected (B, *shape); put the batch first.")
    if not bool(images.isfinite().all()):
        raise ValueError("got images with NaN or infinity; expected finite pixels; look for a division by zero.")
    if images.numel() and not 0 <= float(images.min()) <= float(images.max()) <= 1:
        raise ValueError(
            f"got pixels from {float(images.min())!r} to {float(images.max())!r}; expected every pixel in [0, 1]; "
            "rescale or clip them."
        )


def _check_plain(tensor: Tensor, name: str) -> None:
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_nested:
        packed = "without content (meta)" if tensor.is_meta else "in a sparse or packed tensor"
        raise TypeError(f"got {name} {packed}; expected a dense tensor with numbers; load them, or use .to_dense().")


def _check_targets(logits: Tensor, targets: Tensor) -> None:
    if not isinstance(targets, Tensor):
        raise TypeError(f"got targets of {type(targets).__name__}; expected a tensor (B,); use torch.as_tensor.")
    if targets.dtype != torch.int64:
        raise TypeError(f"got targets of {targets.dtype}; expected int64; convert them with .long().")
    _check_plain(targets, "targets")
    if targets.shape != logits.shape[:1]:
        raise ValueError(
            f"got targets of shape {tuple(targets.shape)}; expected one per image, ({len(logits)},); "
            "repeat one target with expand."
        )
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < logits.shape[1]:
        raise ValueError(
            f"got targets from {int(targets.min())} to {int(targets.max())}; expected 0 to {logits.shape[1] - 1}; "
            "number classes from 0."
        )
