"""Training by full-batch L-BFGS with quadratic weight decay, as the paper trained its networks, or by Adam.

L-BFGS goes on until it has converged, or made as many iterations as it is allowed, or twice as many evaluations. Adam
trains the convolutional network, without weight decay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from intriguing.attack.checks import check_numbers, check_targets
from intriguing.attack.readiness import check_model
from intriguing.book import cache, fingerprint, settings
from intriguing.data import Images
from intriguing.models.recipes import build, recipe, weight_layers

SUMMARY = ("loss", "iterations", "gradient", "seconds")  # the numbers kept beside the weights
CHUNK = 4000  # images per forward and backward pass; bounds memory, and the sums do not depend on it beyond rounding
# The sparse autoencoder: mean activation of a hidden unit, weight of the term that asks for it, decay of the weights.
SPARSITY, SPARSITY_WEIGHT, AUTOENCODER_DECAY = 0.1, 3.0, 1.5e-3


@dataclass(frozen=True)
class Trained:
    """A trained network and how its training ended; of an autoencoder, that of the softmax on top.

    Attributes:
        model: in evaluation mode, on the device of ``settings.device()``, gradients of the weights off.
        loss: the total loss that L-BFGS computed last, weight decay included (for the convolutional network a running
            mean of the cross-entropy of its batches).
        iterations: L-BFGS iterations (epochs for the convolutional network).
        gradient: the largest entry of the gradient that was computed last, that of the total loss (for the
            convolutional network that of its last batch).
        seconds: wall time of the whole training, on the day when the weights were made.
    """

    model: nn.Module
    loss: float
    iterations: int
    gradient: float
    seconds: float


def weight_decay(layers: Iterable[nn.Module], decay: Iterable[float], *, per_unit: bool) -> Tensor:
    """Quadratic weight decay on the connection weights, biases left alone.

    Args:
        layers: modules with a ``weight``, one per entry of ``decay``.
        decay: lambda of each layer, at least 0.
        per_unit: True for the printed formula, lambda * sum w^2 / k with k the number of units of the layer; False
            drops k, the reading that comes closer to the distortions the paper prints.

    Returns:
        The penalty, a scalar tensor.

    Source:
        Szegedy et al. 2013, section 4.2.
    """
    return sum(
        strength * layer.weight.square().sum() / (layer.weight.shape[0] if per_unit else 1)
        for layer, strength in zip(layers, decay, strict=True)
    )


def error_rate(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> float:
    """Fraction of images that a model misclassifies.

    Args:
        model: images -> logits (B, k).
        images: (N, *shape), N at least 1, mostly in [0, 1].
        labels: (N,) long.

    Returns:
        A fraction in [0, 1].

    Raises:
        TypeError: the labels are no tensor of int64.
        ValueError: there is no image, or not one label for each; or as for :func:`predict`.
    """
    check_targets(images, labels, "labels")
    if not len(images):
        raise ValueError("got no images; expected at least one; there is no error rate without.")
    return float((predict(model, images) != labels.to(images.device)).double().mean())


@torch.no_grad()
def predict(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The class with the largest logit, computed in chunks.

    Args:
        model: images -> logits (B, k): a module in evaluation mode, on any device, or a function.
        images: (N, *shape), mostly in [0, 1].

    Returns:
        (N,) long, on the device of ``images``.

    Raises:
        ValueError: a module is in training mode, or a logit is NaN.
    """
    check_model(model)
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    device = next((weight.device for weight in weights), images.device)
    parts = []
    for chunk in images.split(CHUNK) if len(images) else ():
        logits = model(chunk.to(device))
        if bool(logits.isnan().any()):  # the largest of them would be the one that is NaN
            raise ValueError("got NaN among the logits of the model; expected numbers; look at its weights and images.")
        parts.append(logits.argmax(1).to(images.device))
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.long, device=images.device)


def trained(
    name: str,
    images: Images,
    *,
    seed: int = settings.SEED,
    per_unit: bool = False,
    max_iterations: int | None = None,
    decay: tuple[float, ...] | None = None,
) -> Trained:
    """A network of the paper trained on ``images``, from the weights on disk where they are current.

    Args:
        name: a key of ``recipes.RECIPES``.
        images: the training set, pixels in [0, 1].
        seed: of the initial weights, and of the order of the images where Adam trains.
        per_unit: the reading of the weight decay, see ``weight_decay``.
        max_iterations: cap on the L-BFGS iterations of a classifier; by default that of the profile. For the features
            of an autoencoder the profile's cap always holds, and for Adam its number of epochs.
        decay: lambda per layer, at least 0, instead of the recipe's.

    Returns:
        A ``Trained``.

    Raises:
        KeyError: no network of that name.
        ValueError: a lambda is negative or not finite.
        FloatingPointError: the loss or a weight is not finite at the end of the training.

    Source:
        Szegedy et al. 2013, section 4.2: "each of our models were trained with L-BFGS until convergence".
    """
    profile = settings.profile()
    plan = recipe(name)
    for strength in decay or ():
        check_numbers(0.0, decay=strength)
    key = {
        "model": name,
        "hidden": list(plan.hidden),
        "decay": list(plan.decay if decay is None else decay),
        "per_unit": per_unit,
        "data": images.digest,
        "seed": seed,
        "iterations": profile.training_iterations if max_iterations is None else max_iterations,
        "code": fingerprint.of(build, _train),
    }
    if plan.kind == "autoencoder":
        key |= {"autoencoder": profile.autoencoder_iterations}
    if plan.kind == "convolutional":
        key |= {"epochs": profile.epochs}
    device = settings.device()
    model = build(name, seed=seed).to(device)
    weights = cache.load_or_make(name, key, lambda: _finite(name, _train(model, key, images)))
    loss, iterations, gradient, seconds = (weights.pop(field).item() for field in SUMMARY)
    model.load_state_dict(weights)
    model.eval().requires_grad_(False)
    return Trained(model, loss, int(iterations), gradient, seconds)


def _finite(name: str, made: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a training has made, if it has not diverged."""
    broken = [part for part, tensor in made.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise FloatingPointError(
            f"got {', '.join(broken)} of {name} with infinite entries or NaN; expected finite ones at the end of a "
            "training; lower the weight decay."
        )
    return made


def _train(model: nn.Sequential, key: dict, images: Images) -> dict[str, Tensor]:
    """Weights and summary of one training run, as tensors ready for disk."""
    started = time.monotonic()
    device = next(model.parameters()).device
    pixels, labels = images.images.to(device), images.labels.to(device)
    kind = recipe(key["model"]).kind
    if kind == "convolutional":
        summary = _train_convolutional(model, pixels, labels, epochs=key["epochs"], seed=key["seed"])
    elif kind == "autoencoder":
        encoder, head = model[:-1], model[-1]
        _train_autoencoder(encoder, pixels, seed=key["seed"], max_iterations=key["autoencoder"])
        with torch.no_grad():
            features = torch.cat([encoder(chunk) for chunk in pixels.split(CHUNK)])
        summary = train_classifier(nn.Sequential(head), features, labels, key)
    else:
        summary = train_classifier(model, pixels.flatten(1), labels, key)
    numbers = zip(SUMMARY, (*summary, time.monotonic() - started), strict=True)
    tensors = {field: torch.tensor(float(number), dtype=torch.float64) for field, number in numbers}
    return {field: tensor.detach().cpu() for field, tensor in model.state_dict().items()} | tensors


def train_classifier(model: nn.Sequential, inputs: Tensor, labels: Tensor, key: dict) -> tuple[float, int, float]:
    """Cross-entropy plus weight decay, every image in every step."""
    layers = weight_layers(model)
    parameters = list(model.parameters())

    def loss_and_gradient() -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=inputs.device)
        for chunk, target in zip(inputs.split(CHUNK), labels.split(CHUNK), strict=True):
            loss = F.cross_entropy(model(chunk), target, reduction="sum") / len(inputs)
            loss.backward()
            total += loss.detach()
        penalty = weight_decay(layers, key["decay"], per_unit=key["per_unit"])
        penalty.backward()
        return total + penalty.detach()

    return _full_batch(parameters, loss_and_gradient, key["iterations"], f"training {key['model']}")


def _train_autoencoder(
    encoder: nn.Sequential, pixels: Tensor, *, seed: int, max_iterations: int
) -> tuple[float, int, float]:
    """A sparse sigmoid autoencoder: squared reconstruction error, weight decay and a Kullback-Leibler sparsity term.

    The mean activation of every hidden unit is pulled towards ``SPARSITY``; since that mean runs over all images, each
    step first measures it and then uses its gradient chunk by chunk.
    """
    linear = encoder[1]
    decoder = nn.Linear(linear.out_features, linear.in_features, device=pixels.device)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        initial = nn.init.xavier_uniform_(torch.empty(decoder.weight.shape), generator=generator)
        decoder.weight.copy_(initial)
        decoder.bias.zero_()
    flat = pixels.flatten(1)
    count = len(flat)

    def loss_and_gradient() -> Tensor:
        with torch.no_grad():
            mean = sum(encoder(chunk).sum(0) for chunk in flat.split(CHUNK)) / count
            mean = mean.clamp(1e-6, 1 - 1e-6)
            sparsity = (SPARSITY * (SPARSITY / mean).log() + (1 - SPARSITY) * ((1 - SPARSITY) / (1 - mean)).log()).sum()
            pull = SPARSITY_WEIGHT * ((1 - SPARSITY) / (1 - mean) - SPARSITY / mean) / count
        total = (SPARSITY_WEIGHT * sparsity).double()
        for chunk in flat.split(CHUNK):
            hidden = encoder(chunk)
            error = 0.5 * (torch.sigmoid(decoder(hidden)) - chunk).square().sum() / count
            (error + (hidden * pull).sum()).backward()
            total += error.detach()
        penalty = weight_decay([linear, decoder], [AUTOENCODER_DECAY] * 2, per_unit=False)
        penalty.backward()
        return total + penalty.detach()

    parameters = [*encoder.parameters(), *decoder.parameters()]
    return _full_batch(parameters, loss_and_gradient, max_iterations, "training the sparse autoencoder")


def _full_batch(
    parameters: list[nn.Parameter], loss_and_gradient: Callable[[], Tensor], max_iterations: int, title: str
) -> tuple[float, int, float]:
    """Run L-BFGS with a strong Wolfe line search until the gradient vanishes, progress stalls or the cap is reached."""
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    last = torch.zeros(())
    with tqdm(total=max_iterations, desc=title, unit="step", leave=False, mininterval=1) as bar:

        def closure() -> Tensor:
            nonlocal last
            optimizer.zero_grad()
            last = loss_and_gradient()
            bar.set_postfix(loss=f"{float(last):.6f}", refresh=False)
            bar.update(min(1, max_iterations - bar.n))
            return last

        optimizer.step(closure)
    gradient = max(float(parameter.grad.abs().max()) for parameter in parameters)
    return (float(last), int(optimizer.state[parameters[0]]["n_iter"]), gradient)


def _train_convolutional(
    model: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, seed: int
) -> tuple[float, int, float]:
    """Adam with a one-cycle rate: the paper has no convolutional network on digits whose training could be followed."""
    generator = torch.Generator().manual_seed(seed)
    batch = 128
    steps = epochs * -(-len(images) // batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    running = 0.0
    with tqdm(total=steps, desc="training ConvNet", unit="step", leave=False, mininterval=1) as bar:
        for _ in range(epochs):
            for index in torch.randperm(len(images), generator=generator).to(images.device).split(batch):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images[index]), labels[index])
                loss.backward()
                optimizer.step()
                schedule.step()
                running = 0.99 * running + 0.01 * float(loss.detach())
                bar.update()
    gradient = max(float(parameter.grad.abs().max()) for parameter in model.parameters())
    return (running, epochs, gradient)
