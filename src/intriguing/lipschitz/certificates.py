"""Distances within which no adversarial example exists, proved from the weights, for every image of a batch.

The difference of two logits of a network is a function of the image. If it is m at x and changes by no more than L per
unit of distance, it stays positive within m / L. The global bound takes one L for the whole space: the product of the
operator norms. The local one follows the ball around x as it grows and takes, at every radius, a bound that holds in
that ball.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .network import network_bound
from .norms import SIGMOID, linear_norm

# The local bound is renewed at radii that grow by a factor, from a fraction of what is certified globally.
STEPS, GROWTH, FIRST = 64, 1.08, 1 / 8
CHUNK = 100  # images at a time; a square matrix per image and layer is kept


@dataclass(frozen=True)
class Certificate:
    """Radii within which the network's answer is proved not to become the target, one entry per image.

    Attributes:
        predictions: (B,) long, the classes that the network gives to the images.
        margins: (B,) float64, logit of the prediction minus that of the target.
        radius: (B,) float64, Euclidean; 0 where the image is already taken for the target.
    """

    predictions: Tensor
    margins: Tensor
    radius: Tensor

    def rms(self, pixels: int) -> Tensor:
        """The radii as root mean squares per pixel, (B,) float64."""
        return self.radius / math.sqrt(pixels)


def global_certificate(model: nn.Sequential, images: Tensor, targets: Tensor, **known) -> Certificate:
    """Margin over Lipschitz bound.

    The bound for the difference of two logits is the product over all layers before the last, times the norm of the
    difference of two rows of the last: sharper than the norm of the whole last matrix.

    Args:
        model: ends in a linear layer; images (B, *shape) -> logits (B, k).
        images: (B, *shape) in [0, 1].
        targets: (B,) long, the class that each image shall not become.
        **known: passed on to ``network_bound``.

    Returns:
        A ``Certificate``.

    Raises:
        TypeError: a layer without a known bound, or a network that does not end in a linear layer.
        ValueError: a model in training mode, or pixels outside [0, 1].

    Source:
        Szegedy et al. 2013, section 4.3; Tsuzuku et al. 2018, "Lipschitz-margin training".
    """
    head, bound = _head(model), _before_the_head(model, images, known)
    predictions, margins, rows = _pairs(model, head, images, targets)
    return Certificate(predictions, margins, _distance(margins, bound * rows.norm(dim=1)))


def local_certificate(model: nn.Sequential, images: Tensor, targets: Tensor) -> Certificate:
    """A certificate from slopes around each image, for fully connected networks of sigmoids.

    At the image itself the Jacobian is known. In a ball around it each pre-activation moves by no more than the
    integral of a bound of its own gradient, so that the slopes of its sigmoid stay within an interval, and with them
    the Jacobian of the next layer. The bound of the gradient of the margin is integrated over the radius in upper sums
    until it has used up the margin. Never below the global certificate; exact for linear networks.

    Args:
        model: ``Flatten``, then ``Linear`` and ``Sigmoid`` in turn, ending in ``Linear``.
        images: (B, *shape) in [0, 1].
        targets: (B,) long, the class that each image shall not become.

    Returns:
        A ``Certificate``.

    Raises:
        TypeError: another kind of network.

    Source:
        The manner of Weng et al. 2018, "Towards fast computation of certified robustness", with sigmoids in place of
        rectifiers and the bound renewed along the radius.
    """
    whole = global_certificate(model, images, targets)
    weights = _sigmoid_layers(model)
    if len(weights) == 1:  # linear: the global bound is exact
        return whole
    last = weights[-1][0]
    rows = last[whole.predictions] - last[targets]
    fields = (images.double().cpu().flatten(1), rows, whole.margins, whole.radius)
    chunks = zip(*(field.split(CHUNK) for field in fields), strict=True)
    return Certificate(whole.predictions, whole.margins, torch.cat([_march(weights, *chunk) for chunk in chunks]))


def smallest(model: nn.Sequential, images: Tensor, **known) -> Tensor:
    """The radius within which the answer cannot change at all: the smallest global one over all other classes.

    Args:
        model: as for ``global_certificate``.
        images: (B, *shape) in [0, 1].
        **known: passed on to ``network_bound``.

    Returns:
        (B,) float64, Euclidean radii.

    Raises:
        TypeError: as for ``global_certificate``.
        ValueError: likewise.
    """
    head, bound = _head(model), _before_the_head(model, images, known)
    with torch.no_grad():
        logits = _logits(model, images)
    weight = head.weight.detach().double().cpu()
    predictions = logits.argmax(1)
    apart = (weight[:, None] - weight).norm(dim=2)[predictions]  # (B, k)
    radii = _distance(logits.gather(1, predictions[:, None]) - logits, bound * apart)
    return radii.scatter(1, predictions[:, None], torch.inf).amin(1)


def runners_up(model: nn.Module, images: Tensor) -> Tensor:
    """The class with the second largest logit, (B,) long: the one that an attack may hope to reach most easily."""
    with torch.no_grad():
        return _logits(model, images).topk(2).indices[:, 1]


def _march(weights: list[tuple[Tensor, Tensor]], x: Tensor, rows: Tensor, margins: Tensor, start: Tensor) -> Tensor:
    """Follow the growing ball and return the radii (B,) at which the margin may be used up."""
    norms = [linear_norm(weight) for weight, _ in weights]
    layers, steep = _at_the_images(weights, x, rows)
    ceiling = rows.norm(dim=1) * SIGMOID ** len(layers) * math.prod(norms[:-1])  # the global bound of the slope
    used, radius, alive = torch.zeros_like(margins), torch.zeros_like(margins), margins > 0
    moved = [torch.zeros_like(layer.z) for layer in layers]  # how far each pre-activation can be from its centre
    for count in range(STEPS + 1):
        step = FIRST * start if count == 0 else (GROWTH - 1) * radius
        slope = torch.minimum(steep + _deviation(weights, rows, layers, norms, moved, step), ceiling)
        spent = used + step * slope
        ends = alive & (spent >= margins)
        radius = torch.where(ends, radius + (margins - used) / slope, torch.where(alive, radius + step, radius))
        used = torch.where(alive, spent, used)
        alive = alive & ~ends
    return torch.maximum(radius, start)


@dataclass(frozen=True)
class _Layer:
    """A hidden layer at the images: pre-activations z (B, H) and the norms of their Jacobian P.

    ``rows`` (B, H) are the norms of its rows, ``size`` (B,) is its operator norm.
    """

    z: Tensor
    rows: Tensor
    size: Tensor


def _at_the_images(weights: list[tuple[Tensor, Tensor]], x: Tensor, rows: Tensor) -> tuple[list[_Layer], Tensor]:
    """The hidden layers, and the norm of the gradient of the margin, (B,)."""
    first = weights[0][0]
    gram = first @ first.T
    layers, activation = [], x
    chain = torch.eye(len(first), dtype=x.dtype).expand(len(x), -1, -1)  # P = chain @ first
    for weight, bias in weights[:-1]:
        z = activation @ weight.T + bias
        if layers:
            chain = weight @ chain
        squares = chain @ gram @ chain.mT  # P P^T, (B, H, H)
        sizes = torch.linalg.eigvalsh(squares if layers else gram)[..., -1].sqrt().expand(len(x))
        layers.append(_Layer(z, squares.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt(), sizes))
        activation = torch.sigmoid(z)
        chain = _slope(z)[..., None] * chain
    gradient = (rows[:, None] @ chain)[:, 0]  # in terms of the first layer's pre-activations
    return layers, ((gradient @ gram) * gradient).sum(1).clamp(min=0).sqrt()


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


def _before_the_head(model: nn.Sequential, images: Tensor, known: dict) -> float:
    """The bound of all layers but the last."""
    if not images.is_floating_point():
        raise TypeError(f"got images of {images.dtype}; expected floating pixels; convert them with .float().")
    if not bool(images.isfinite().all()):
        raise ValueError("got images with NaN or infinity; expected finite pixels; look for a division by zero.")
    if model.training:
        raise ValueError("got a model in training mode; expected one in evaluation mode; call model.eval().")
    return network_bound(model[:-1].eval(), images.shape[1:], **known).product  # a slice starts in training mode


def _pairs(model: nn.Module, head: nn.Linear, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions (B,), margins over the targets (B,) and differences of the last layer's rows (B, H)."""
    with torch.no_grad():
        logits = _logits(model, images)
    weight = head.weight.detach().double().cpu()
    predictions = logits.argmax(1)
    margins = (logits.gather(1, predictions[:, None]) - logits.gather(1, targets[:, None]))[:, 0]
    return predictions, margins, weight[predictions] - weight[targets]


def _distance(margins: Tensor, bound: Tensor) -> Tensor:
    return torch.where(margins > 0, margins / bound.clamp(min=torch.finfo(bound.dtype).tiny), 0.0)


def _head(model: nn.Sequential) -> nn.Linear:
    if type(model) is not nn.Sequential or type(model[-1]) is not nn.Linear:
        raise TypeError(f"got {model}; expected a Sequential that ends in a linear layer; take its logits apart first.")
    return model[-1]


def _sigmoid_layers(model: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases, float64, of a fully connected network of sigmoids."""
    layers = [layer for layer in model if type(layer) is not nn.Flatten]
    wanted = [nn.Linear if i % 2 == 0 else nn.Sigmoid for i in range(len(layers))]
    if [type(layer) for layer in layers] != wanted:
        raise TypeError(f"got {model}; expected linear layers and sigmoids in turn; use the global certificate.")
    return [(layer.weight.detach().double().cpu(), layer.bias.detach().double().cpu()) for layer in layers[::2]]


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    """In float64: a margin of float32 would be off by more than the certificates allow."""
    return copy.deepcopy(model).cpu().double()(images.cpu().double())
