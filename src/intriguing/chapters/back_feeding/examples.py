"""Examples to train on, made in one go for a stack of networks: lengths, exits, noise, deformations.

A stack holds B networks 784-100-100-10 as tensors with a leading axis B, so that every operation is a batched product
and nothing loops over networks. Layer 0 is the image, layers 1 and 2 are the outputs of the hidden layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = Sequence[tuple[Tensor, Tensor]]
"""For each layer the matrices (B, in, out) and the biases (B, 1, out)."""

SHORTEST = 1e-12  # below this a gradient has no direction, and the example stays where it is
NEAR = 1.0  # how far from the image virtual adversarial training looks for the worst direction
STEPS = 4  # one more than the waves of the field that bends an image, in each direction


@dataclass(frozen=True)
class Activation:
    """A nonlinearity and what is known of its outputs.

    Attributes:
        function: applied to each unit.
        slope: the derivative, from the output.
        top: the largest output.
        gain: the factor of Glorot's or He's first weights.
    """

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    top: float
    gain: float


ACTIVATIONS = {
    "ReLU": Activation(torch.relu, lambda h: (h > 0).to(h.dtype), math.inf, 2**0.5),
    "sigmoid": Activation(torch.sigmoid, lambda h: h * (1 - h), 1.0, 4.0),
}


def outputs(weights: Weights, h: Tensor, function: Callable[[Tensor], Tensor], start: int = 0) -> list[Tensor]:
    """What the layers of each network put out.

    Args:
        weights: of the stack.
        h: (B, N, n) outputs of layer ``start``.
        function: the nonlinearity.
        start: the layer at which ``h`` enters.

    Returns:
        The outputs of the layers from ``start`` on, ``h`` first and the logits (B, N, 10) last.
    """
    found = [h]
    for layer, (matrix, bias) in list(enumerate(weights))[start:]:
        h = torch.baddbmm(bias, h, matrix)
        if layer < len(weights) - 1:
            h = function(h)
        found.append(h)
    return found


def pull(weights: Weights, h: Sequence[Tensor], cotangent: Tensor, layer: int, activation: Activation) -> Tensor:
    """The gradient of cotangent * logits with respect to the outputs of a layer, written out by the chain rule.

    Args:
        weights: of the stack.
        h: outputs of the layers from ``layer`` on, as from ``outputs``.
        cotangent: (B, N, 10).
        layer: with respect to which is derived.
        activation: of the hidden layers.

    Returns:
        (B, N, n).
    """
    gradient = cotangent
    for above in range(len(weights) - 1, layer - 1, -1):
        gradient = torch.bmm(gradient, weights[above][0].mT)
        if above > layer:
            gradient = gradient * activation.slope(h[above - layer])
    return gradient


def hot(labels: Tensor, classes: int) -> Tensor:
    """Labels (...) long as vectors (..., classes) of 0.0 and a single 1.0; nothing of it waits for the device."""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).float()


def uphill(logits: Tensor, labels: Tensor) -> Tensor:
    """What the gradient of the cross-entropy pulls on the logits, without its factor 1 - p.

    The factor is left out because it rounds to zero for images that a network is sure of, while the direction, the
    softmax over the wrong classes minus the true one, stays exact.

    Args:
        logits: (B, N, 10).
        labels: (B, N) long, the true classes.

    Returns:
        (B, N, 10), each row of sum zero.
    """
    truth = hot(labels, logits.shape[-1])
    return (logits - truth / SHORTEST).softmax(-1) - truth


def lead(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """By how much the true class leads the runner-up, and what that pulls on the logits.

    Args:
        logits: (B, N, 10).
        labels: (B, N) long, the true classes.

    Returns:
        The lead (B, N, 1), negative where another class is ahead; and its derivative (B, N, 10).
    """
    truth = hot(labels, logits.shape[-1])
    rival = hot((logits - truth / SHORTEST).argmax(-1), logits.shape[-1])
    pulled = truth - rival
    return (pulled * logits).sum(-1, keepdim=True), pulled


def along(direction: Tensor, length: Tensor | float, units: Tensor | float = 1.0) -> Tensor:
    """A step of given length along a direction.

    Args:
        direction: (B, N, n) a gradient, or noise.
        length: (B, 1, 1) or broadcastable, the Euclidean norm of the step in the units.
        units: (B, 1, n) what each coordinate is measured in; a standard deviation, or 1.

    Returns:
        (B, N, n); zero where there is no direction.
    """
    if isinstance(units, Tensor):
        direction = direction * units
    norm = direction.norm(dim=-1, keepdim=True)
    return direction * (units * length / norm.clamp_min(SHORTEST))


def moved(start: Tensor, direction: Tensor, length: Tensor | float, units: Tensor | float = 1.0) -> Tensor:
    """What lies at the end of a step: ``start + along(direction, length, units)``, in fewer passes over memory."""
    if isinstance(units, Tensor):
        return start + along(direction, length, units)
    norm = direction.norm(dim=-1, keepdim=True)
    return torch.addcmul(start, direction, units * length / norm.clamp_min(SHORTEST))


def out(gradient: Tensor, ahead: Tensor, units: Tensor | float = 1.0) -> Tensor:
    """The shortest step to the place where a linearised lead is used up.

    Args:
        gradient: (B, N, n) of the lead.
        ahead: (B, N, 1) the lead; where it is not positive the step is zero.
        units: (B, 1, n) what each coordinate is measured in.

    Returns:
        (B, N, n), r = -m grad m / |grad m|^2 in the units.
    """
    if isinstance(units, Tensor):
        gradient = gradient * units
    return gradient * (-units * ahead.clamp_min(0) / gradient.square().sum(-1, keepdim=True).clamp_min(SHORTEST))


def bent(images: Tensor, size: Tensor) -> Tensor:
    """Images turned, stretched, sheared, shifted and bent a little at random.

    Args:
        images: (B, N, 784) in [0, 1].
        size: (B, 1, 1); 1 for at most 12 degrees, 12 % of stretch and shear, 2 pixels of shift and about 1 of bending.

    Returns:
        The same shape, in [0, 1].
    """
    shape, side = images.shape, math.isqrt(images.shape[-1])
    size = size.expand(*shape[:2], 1).reshape(-1, 1)  # (B N, 1)
    images = images.reshape(-1, 1, side, side)
    random = size * (2 * torch.rand(len(images), 6, device=images.device) - 1)
    turn, (wide, high, shear) = 0.21 * random[:, 0], (0.12 * random[:, 1:4]).unbind(1)
    shift = 4 / side * random[:, 4:]
    row_x = torch.stack([(1 + wide) * turn.cos(), shear - turn.sin(), shift[:, 0]], 1)
    row_y = torch.stack([turn.sin(), (1 + high) * turn.cos(), shift[:, 1]], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(images.shape), align_corners=False)
    waves = (torch.arange(side, device=images.device)[:, None] + 0.5) * torch.arange(1, STEPS, device=images.device)
    waves = (math.pi / side * waves).cos()  # (side, STEPS - 1), smooth, and stronger at the edges than in the middle
    field = 2 / side * size[:, :, None, None] * torch.randn(len(images), 2, STEPS - 1, STEPS - 1, device=images.device)
    field = waves @ field @ waves.mT * (2 / (STEPS - 1))
    return F.grid_sample(images, grid + field.permute(0, 2, 3, 1), align_corners=False).clamp(0, 1).reshape(shape)


def boxed(h: Tensor, layer: int, activation: Activation) -> Tensor:
    """Outputs of a layer cut to the values that they can take: [0, 1] for pixels and sigmoids, [0, inf) for ReLU."""
    return h.clamp(0, 1.0 if layer == 0 else activation.top)


def facing_in(direction: Tensor, h: Tensor, layer: int, activation: Activation) -> Tensor:
    """A direction without its components that leave the box at once, so that cutting to the box costs little length."""
    top = 1.0 if layer == 0 else activation.top
    leaves = ((h <= 0) & (direction < 0)) | ((h >= top) & (direction > 0))
    return direction.masked_fill(leaves, 0.0)
