"""Networks whose layers are held back while they learn: a penalty on each bound, weight decay, spectral normalisation.

The section on operator norms ends with a proposal: to penalise the bound of each layer during training. The bound of a
matrix is its largest singular value. Weight decay penalises the sum of the squares of all singular values, a
penalty on the bound only that of the largest; spectral normalisation prescribes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.linalg import eigh
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from intriguing.book import cache, fingerprint, settings
from intriguing.data import Images
from intriguing.models.recipes import build, weight_layers

NONE, PENALTY, DECAY, NORMALISED = "none", "penalty on the bounds", "weight decay", "spectral normalisation"
METHODS = (NONE, PENALTY, DECAY, NORMALISED)
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "ReLU": nn.ReLU}
EPOCHS, BATCH, RATE = 10, 100, 1e-2  # the same for every method; the rate is the peak of one cycle
POWER = 2  # steps of spectral normalisation's own power iteration for each step of training


class Scaled(nn.Module):
    """Multiplies a weight by a fixed number.

    Args:
        factor: the number.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, weight: Tensor) -> Tensor:
        """The weight (outputs, inputs) times the factor."""
        return self.factor * weight


def squared_bound(weight: Tensor) -> Tensor:
    """The square of a matrix's largest singular value, differentiable where that value is simple.

    Args:
        weight: (outputs, inputs).

    Returns:
        A scalar tensor.
    """
    wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
    last = [len(wide) - 1] * 2
    with torch.no_grad():
        gram = (wide @ wide.T).cpu().numpy()
    # At its maximum |u^T W|^2 does not depend on u to first order: the singular vector may be taken as given.
    vector = torch.from_numpy(eigh(gram, subset_by_index=last)[1][:, 0]).to(weight)
    return (vector @ wide).square().sum()


def penalty(layers: Sequence[nn.Module], method: str, strength: float) -> Tensor | float:
    """What is added to the loss.

    Args:
        layers: linear layers.
        method: one of ``METHODS``.
        strength: factor of the sum over the layers, at least 0.

    Returns:
        ``strength`` times the sum of the squared bounds, or of the squared weights; 0 for the other two methods.

    Raises:
        ValueError: no such method.

    Source:
        Szegedy et al. 2013, section 4.3, last sentence: "penalizing each upper Lipschitz bound".
    """
    if method not in METHODS:
        raise ValueError(f"got method {method!r}; expected one of {', '.join(METHODS)}.")
    if method == PENALTY:
        return strength * sum(squared_bound(layer.weight) for layer in layers)
    if method == DECAY:
        return strength * sum(layer.weight.square().sum() for layer in layers)
    return 0.0


def network(activation: str, *, seed: int) -> nn.Sequential:
    """The paper's 100-100-10, untrained, with sigmoids or with rectifiers.

    Args:
        activation: a key of ``ACTIVATIONS``.
        seed: of the initial weights.

    Returns:
        A module from images (B, 1, 28, 28) in [0, 1] to logits (B, 10).

    Raises:
        ValueError: no such activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"got activation {activation!r}; expected one of {', '.join(ACTIVATIONS)}.")
    layers = build("FC100-100-10", seed=seed)
    return nn.Sequential(*(ACTIVATIONS[activation]() if type(layer) is nn.Sigmoid else layer for layer in layers))


def bounded(activation: str, method: str, strength: float, images: Images, *, seed: int) -> nn.Sequential:
    """A network trained with bounded layers, from the weights on disk where they are current.

    Args:
        activation: a key of ``ACTIVATIONS``.
        method: one of ``METHODS``.
        strength: of the penalty; for spectral normalisation one over the norm that every layer is given,
            but for what power iteration leaves open; 0 for none.
        images: the training set.
        seed: of the initial weights, of the order of the images, and of where power iterations start.

    Returns:
        The network in evaluation mode, an ordinary chain of layers, gradients of its weights off.

    Raises:
        ValueError: no such activation or method, or a strength out of range.
    """
    if method not in METHODS or strength < 0 or (strength == 0) != (method == NONE):
        raise ValueError(f"got {method!r} and {strength}; expected a method of {', '.join(METHODS)} and its strength.")
    key = {
        "activation": activation,
        "method": method,
        "strength": strength,
        "data": images.digest,
        "seed": seed,
        "code": fingerprint.of(network, fit),
    }
    model = network(activation, seed=seed)
    weights = cache.load_or_make(
        f"bounded-{activation}", key, lambda: fit(model, method, strength, images, seed=seed).state_dict()
    )
    model = network(activation, seed=seed)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def fit(model: nn.Sequential, method: str, strength: float, images: Images, *, seed: int) -> nn.Sequential:
    """Train a network in place, by Adam with a rate that rises and falls once, on the device of ``settings.device()``.

    Args:
        model: as from ``network``; it is on that device afterwards.
        method: one of ``METHODS``.
        strength: as for ``bounded``.
        images: the training set.
        seed: of the order of the images, and of the vectors that power iterations start from.

    Returns:
        The model, with plain weights.
    """
    device = settings.device()
    pixels, labels = images.images.to(device), images.labels.to(device)
    layers = weight_layers(model)
    if method == NORMALISED:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of the vectors that the power iterations start from
            for layer in layers:
                parametrizations.spectral_norm(layer, n_power_iterations=POWER)
                parametrize.register_parametrization(layer, "weight", Scaled(1 / strength))
    model.to(device)  # after the draws, so that every device starts from the same numbers
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    steps = EPOCHS * math.ceil(len(images) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images), generator=generator).to(device).split(BATCH):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(pixels[rows]), labels[rows])
            (loss + penalty(layers, method, strength)).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    if method == NORMALISED:
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight")
    return model
