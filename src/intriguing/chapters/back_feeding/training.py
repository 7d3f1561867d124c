"""Back-feeding: a network trained on the training set and on pools of adversarial examples for each of its layers.

A pool holds outputs of one layer (of layer 0, the images themselves), moved to where the layers above change their
mind, each with the true class of the image it came from. Every update reads a batch of the training set and a batch
of one pool, the pools taking turns; a pool trains the layers above its own and leaves those below alone. All the while
a random part of each pool is replaced by examples made for the network as it has become.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import cache, fingerprint, settings
from intriguing.data import Images
from intriguing.models.recipes import build, weight_layers
from intriguing.models.training import error_rate, predict, weight_decay

NETWORK = "FC100-100-10"
LAYERS = 3  # what can be attacked: the images, the first and the second hidden layer
TARGETS = ("runner-up", "random")

# The search for a pool is a coarse one: its examples come out a few percent further away than the closest ones, four
# times faster, and the network has moved on by the time they are used anyway.
COARSE_SEARCH = {"margin_tolerance": 0.3, "max_iterations": 20, "tolerance": 0.05}


@dataclass(frozen=True)
class Plan:
    """What a network is trained with beside the training set.

    Attributes:
        pools: the layers for which a pool is kept, 0 for the images, 1 and 2 for the outputs of the hidden layers.
        decay: lambda of each layer with weights, for lambda * sum w^2.
        dropout: the fraction of the inputs of each layer with weights that is set to zero in training, at least 0.
        weight: what a batch of a pool counts beside a batch of the training set.
        target: ``"runner-up"``, the wrong class with the largest logit, or ``"random"``.
        amplification: how far along its perturbation an example is taken; 1 leaves it at the boundary.
    """

    pools: tuple[int, ...] = ()
    decay: tuple[float, ...] = (1e-5, 1e-5, 1e-6)
    dropout: tuple[float, ...] = (0.0, 0.0, 0.0)
    weight: float = 1.0
    target: str = "runner-up"
    amplification: float = 1.0

    def __post_init__(self) -> None:
        if not set(self.pools) <= set(range(LAYERS)) or len(set(self.pools)) < len(self.pools):
            raise ValueError(f"got pools {self.pools}; expected different layers from 0 to {LAYERS - 1}.")
        if len(self.decay) != LAYERS or len(self.dropout) != LAYERS:
            raise ValueError(f"got {self}; expected a decay and a dropout for each of {LAYERS} layers.")
        if not all(0 <= share < 1 for share in self.dropout):
            raise ValueError(f"got dropout {self.dropout}; expected fractions of at least 0 and below 1.")
        if self.target not in TARGETS:
            raise ValueError(f"got target {self.target!r}; expected {' or '.join(TARGETS)}.")


@dataclass(frozen=True)
class Budget:
    """How long a network is trained, the same for all plans that are compared.

    Attributes:
        epochs: passes over the training set.
        batch: images of the training set, and examples of a pool, in each update.
        rate: the first learning rate of Adam, lowered to zero along a line.
        pool: examples that each pool holds.
        fresh: how many of them are replaced at a time.
        every: how many batches are drawn from a pool from one replacement to the next, so that the number of new
            examples for each update does not depend on how many pools take turns.
        warm_up: epochs on the training set alone before the pools are filled.
        looks: how often, evenly over the updates, the held-out error is measured; the last time at the end.
    """

    epochs: int
    batch: int = 200
    rate: float = 3e-3
    pool: int = 8000
    fresh: int = 400
    every: int = 50
    warm_up: int = 1
    looks: int = 20


@dataclass(frozen=True)
class BackFed:
    """A network and the story of its training.

    Attributes:
        model: in evaluation mode, gradients of the weights off.
        updates: (T,) long, the updates after which the held-out error was measured.
        held_out: (T,) float64, that error; the last entry is that of ``model``.
        training: the error on the training set at the end.
        distortion: (T, 3) float64, the mean root mean square distortion of the newest examples of each layer's pool;
            NaN where there is no pool, or none yet.
        made: adversarial examples made, over all pools.
        seconds: wall time of the training, on the day when the weights were made.
    """

    model: nn.Module
    updates: Tensor
    held_out: Tensor
    training: float
    distortion: Tensor
    made: int
    seconds: float

    @property
    def error(self) -> float:
        """The held-out error at the end."""
        return float(self.held_out[-1])


def validation_split(images: Images, *, share: float = 1 / 6, seed: int = 99) -> tuple[Images, Images]:
    """A training set cut in two at random, so that choices are made without the test set.

    Args:
        images: the training set.
        share: the part that choices are made on, above 0 and below 1.
        seed: of the cut.

    Returns:
        The larger part, to train on, and the smaller one, to choose by.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    count = round(share * len(images))
    return (
        images.take(order[count:], f"{images.name}, the part trained on"),
        images.take(order[:count], f"{images.name}, the part chosen by"),
    )


def below(model: nn.Sequential, layer: int) -> nn.Sequential:
    """The part of a sigmoid network that turns images into the outputs of a layer.

    Args:
        model: ``Flatten``, then ``Linear`` and ``Sigmoid`` in turn, then a last ``Linear``.
        layer: 0 for the flattened images, k for the outputs of the k-th hidden layer.

    Returns:
        A module that shares its weights with the model: images (B, *shape) -> outputs (B, n) in [0, 1].
    """
    return model[: 1 + 2 * layer].eval()


def above(model: nn.Sequential, layer: int) -> nn.Sequential:
    """The part of a sigmoid network that turns the outputs of a layer into logits.

    Args:
        model: as for ``below``.
        layer: as for ``below``.

    Returns:
        A module that shares its weights with the model: outputs (B, n) -> logits (B, k).
    """
    return model[1 + 2 * layer :].eval()


def layer_examples(
    model: nn.Sequential,
    images: Tensor,
    labels: Tensor,
    layer: int,
    *,
    target: str = "runner-up",
    amplification: float = 1.0,
    generator: torch.Generator | None = None,
    **options,
) -> tuple[Tensor, Tensor]:
    """Adversarial examples for the outputs of a layer: what the layers above would take for another class.

    The outputs of a sigmoid layer fill the same box as pixels do, [0, 1], so the search for the closest image serves
    for them as it is, with the upper part of the network as the model.

    Args:
        model: as for ``below``.
        images: (B, *shape) in [0, 1].
        labels: (B,) long, their true classes.
        layer: 0 for the images themselves, k for the outputs of the k-th hidden layer.
        target: ``"runner-up"``, the wrong class with the largest logit, or ``"random"``.
        amplification: the factor by which the perturbation is stretched before it is cut to the box.
        generator: for random targets.
        **options: passed on to ``minimum_distortion``.

    Returns:
        The outputs of the layer after the perturbation, (B, n) in [0, 1], and the root mean square (B,) float64 of each
        perturbation before it is stretched. What the network takes for another class already comes back unmoved.

    Source:
        Szegedy et al. 2013, section 4.2: "adversarial examples for each layer outputs".
    """
    upper = above(model, layer)
    with torch.no_grad():
        outputs = below(model, layer)(images)
        logits = upper(outputs)
    found = minimum_distortion(upper, outputs, wrong_targets(logits, labels, target, generator), **options)
    return (outputs + amplification * (found.images - outputs)).clamp(0, 1), found.rms


def wrong_targets(logits: Tensor, labels: Tensor, target: str, generator: torch.Generator | None = None) -> Tensor:
    """The wrong class that each example is pushed towards.

    Args:
        logits: (B, k).
        labels: (B,) long, the true classes.
        target: ``"runner-up"`` for the wrong class with the largest logit, ``"random"`` for any.
        generator: for random targets.

    Returns:
        (B,) long, never the true class.
    """
    if target == "random":
        return random_targets(labels, logits.shape[1], generator=generator)
    return logits.scatter(1, labels[:, None], -torch.inf).argmax(1)


def back_feed(plan: Plan, budget: Budget, images: Images, held_out: Images, *, seed: int = settings.SEED) -> BackFed:
    """The network 100-100-10 trained by a plan within a budget, from the weights on disk where they are current.

    Args:
        plan: what is added to the training set, and how the weights are held small.
        budget: the same for all plans that are compared.
        images: the training set.
        held_out: images on which the error is followed; nothing is decided by it here.
        seed: of the initial weights, of the order of the images and of the pools. Plans with the same seed start from
            the same weights and see the training set in the same order.

    Returns:
        A ``BackFed``.

    Source:
        Szegedy et al. 2013, section 4.2.
    """
    key = {
        "plan": asdict(plan),
        "budget": asdict(budget),
        "training": images.digest,
        "held out": held_out.digest,
        "seed": seed,
        "code": fingerprint.of(build, _train),
    }
    model = build(NETWORK, seed=seed).to(settings.device()).eval()
    kept = cache.load_or_make("back-fed", key, lambda: _train(model, plan, budget, images, held_out, seed))
    story = {name: kept.pop(name) for name in ("updates", "held_out", "distortion")}
    training, made, seconds = (kept.pop(name).item() for name in ("training", "made", "seconds"))
    model.load_state_dict(kept)
    model.requires_grad_(False)
    return BackFed(model, training=training, made=int(made), seconds=seconds, **story)


def _train(
    model: nn.Sequential, plan: Plan, budget: Budget, images: Images, held_out: Images, seed: int
) -> dict[str, Tensor]:
    """Weights, learning curve and bookkeeping of one training, as tensors ready for disk."""
    started = time.monotonic()
    device = next(model.parameters()).device
    pixels, labels = images.images.to(device).flatten(1), images.labels.to(device)
    test, truth = held_out.images.to(device).flatten(1), held_out.labels.to(device)
    layers, uppers = weight_layers(model), [above(model, layer) for layer in range(LAYERS)]
    generator = torch.Generator().manual_seed(1000 + seed)  # apart from the order of the images, which all plans share
    pools = {layer: Pool(model, layer, plan, budget, generator) for layer in plan.pools}
    updates = len(pixels) // budget.batch * budget.epochs
    warm_up = len(pixels) // budget.batch * budget.warm_up
    looks = [updates * (look + 1) // budget.looks for look in range(budget.looks)]
    optimizer = torch.optim.Adam(model.parameters(), lr=budget.rate, fused=device.type != "mps")
    curve, distortion = [], []
    order = batches(len(pixels), budget.batch, torch.Generator().manual_seed(seed))
    for update in tqdm(range(updates), desc="back-feeding", unit="update", leave=False, mininterval=1):
        optimizer.param_groups[0]["lr"] = budget.rate * (1 - update / updates)
        batch = next(order).to(device)
        loss = F.cross_entropy(forward(model, pixels[batch], plan.dropout, generator), labels[batch])
        loss = loss + weight_decay(layers, plan.decay, per_unit=False)
        if pools and update >= warm_up:
            turn, layer = divmod(update - warm_up, len(plan.pools))
            layer = plan.pools[layer]
            if turn % budget.every == 0:
                pools[layer].renew(pixels, labels)
            examples, classes = pools[layer].draw(budget.batch)
            loss = loss + plan.weight * F.cross_entropy(uppers[layer](examples), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update + 1 in looks:
            curve.append(float((predict(model, test) != truth).double().mean()))
            distortion.append([pools[layer].distortion if layer in pools else torch.nan for layer in range(LAYERS)])
    story = {
        "updates": torch.tensor(looks),
        "held_out": torch.tensor(curve, dtype=torch.float64),
        "distortion": torch.tensor(distortion, dtype=torch.float64),
        "training": torch.tensor(error_rate(model, pixels, labels), dtype=torch.float64),
        "made": torch.tensor(sum(pool.made for pool in pools.values())),
        "seconds": torch.tensor(time.monotonic() - started, dtype=torch.float64),
    }
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()} | story


class Pool:
    """The adversarial examples of one layer, a part of which is replaced from time to time.

    Args:
        model: the network in training.
        layer: whose outputs the examples are.
        plan: how they are made.
        budget: how many there are.
        generator: of the images they come from, of random targets and of what is replaced.

    Attributes:
        examples: (P, n) in [0, 1], empty before the first ``renew``.
        labels: (P,) long, the true classes of the images they come from.
        distortion: the mean root mean square distortion of the newest examples, NaN at first.
        made: examples made so far.
    """

    def __init__(
        self, model: nn.Sequential, layer: int, plan: Plan, budget: Budget, generator: torch.Generator
    ) -> None:
        self.model, self.layer, self.plan, self.budget, self.generator = model, layer, plan, budget, generator
        self.examples, self.labels = torch.empty(0), torch.empty(0, dtype=torch.long)
        self.distortion, self.made = float("nan"), 0

    def renew(self, pixels: Tensor, labels: Tensor) -> None:
        """Replace a random part of the pool by examples made for the network as it is now; the first time, all.

        Args:
            pixels: (N, 784) the training set.
            labels: (N,) long.
        """
        size, first = self.budget.pool, len(self.labels) == 0
        count = size if first else min(self.budget.fresh, size)
        chosen = torch.randint(len(pixels), (count,), generator=self.generator).to(pixels.device)
        examples, rms = layer_examples(
            self.model,
            pixels[chosen],
            labels[chosen],
            self.layer,
            target=self.plan.target,
            amplification=self.plan.amplification,
            generator=self.generator,
            **COARSE_SEARCH,
        )
        self.distortion, self.made = float(rms.mean()), self.made + count
        if first:
            self.examples, self.labels = examples, labels[chosen]
        else:
            replaced = torch.randperm(size, generator=self.generator)[:count].to(pixels.device)
            self.examples[replaced], self.labels[replaced] = examples, labels[chosen]

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Examples (count, n) at random with their true classes (count,)."""
        chosen = torch.randint(len(self.labels), (count,), generator=self.generator).to(self.labels.device)
        return self.examples[chosen], self.labels[chosen]


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches without end: every pass is a new random order, cut into whole batches.

    Args:
        count: images in the training set.
        size: of a batch, at most ``count``.
        generator: on the CPU.

    Yields:
        (size,) long, different indices below ``count``.
    """
    if not 1 <= size <= count:
        raise ValueError(f"got a batch of {size}; expected 1 to {count} images.")
    while True:
        yield from torch.randperm(count, generator=generator)[: count // size * size].split(size)


def forward(model: nn.Sequential, pixels: Tensor, dropout: tuple[float, ...], generator: torch.Generator) -> Tensor:
    """Logits with a random part of the inputs of each layer set to zero and the rest scaled up to make up for it.

    Args:
        model: as for ``below``.
        pixels: (B, n).
        dropout: the fraction dropped at each layer with weights.
        generator: on the CPU.

    Returns:
        (B, k) logits.
    """
    if not any(dropout):
        return model(pixels)
    hidden, shares = pixels, iter(dropout)
    for layer in model:
        share = next(shares) if isinstance(layer, nn.Linear) else 0
        if share:
            kept = (torch.rand(hidden.shape, generator=generator) >= share).to(hidden)
            hidden = hidden * kept / (1 - share)
        hidden = layer(hidden)
    return hidden
