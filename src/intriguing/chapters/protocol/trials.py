"""One trial of the hunt: stacks of networks are trained under a reading of the paper, attacked, and read by others."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.files import write_atomically
from intriguing.attack.perturbations import random_targets, wrong_classes
from intriguing.chapters.protocol.stacked import (
    Classification,
    Layout,
    Memory,
    Reconstruction,
    Stack,
    Trainings,
    initial,
    numbered,
    train,
)

PIXELS, CLASSES = 784, 10
LEVELS = (100, 300, 1000, 1500, 3000)
BASE_LEVEL = "1500"
FACTORS = (1.2, 1.4, 1.5, 1.6, 1.7, 1.8, 2.0, 2.4)
TRAIN_NOISE, TEST_NOISE = (0.1, 0.3), (0.06, 0.1)  # of Tables 2 and 4
SIZE = 0.1
PICKED = 20261126  # the seed of the draw of images
SHAPES: Mapping[str, tuple[int, ...]] = {
    "FC10": (PIXELS, CLASSES),
    "FC100-100-10": (PIXELS, 100, 100, CLASSES),
    "FC200-200-10": (PIXELS, 200, 200, CLASSES),
    "FC123-456-10": (PIXELS, 123, 456, CLASSES),
    "AE400-10": (PIXELS, 400, CLASSES),
}
SIGMOID = (1e-5, 1e-5, 1e-6)
LINEAR = {"FC10(1e-4)": 1e-4, "FC10(1e-2)": 1e-2, "FC10(1)": 1.0}
ACTIVITY, PULL, ENCODER_DECAY, HEAD_DECAY = 0.1, 3.0, 1.5e-3, 1e-6


@dataclass(frozen=True)
class Variant:
    """One way to train a network.

    Attributes:
        decay: factor on the lambda of all layers.
        bias: whether the biases are decayed as well.
        centred: whether the mean of each pixel over the training images is taken off.
        scale: of the initial weights.
    """

    decay: float = 1.0
    bias: bool = False
    centred: bool = False
    scale: float = 1.0


BASE = Variant()
VARIANTS: Mapping[str, Variant] = {
    "half decay, biases decayed": Variant(decay=0.5, bias=True),
    "half decay": Variant(decay=0.5),
    "five times the decay": Variant(decay=5.0),
    "mean taken off": Variant(centred=True),
    "small start": Variant(scale=0.3),
    "large start": Variant(scale=4.0),
}
LINEAR_VARIANTS: Mapping[str, Variant] = {
    **{f"x{f:g}": Variant(decay=f) for f in (0.1, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0)},
    **{f"x{f:g}, biases decayed": Variant(decay=f, bias=True) for f in (0.1, 0.4, 0.5, 0.6, 1.0)},
    "x0.5, mean taken off": Variant(decay=0.5, centred=True),
    "x0.5, biases decayed, mean taken off": Variant(decay=0.5, bias=True, centred=True),
}


@dataclass(frozen=True)
class Part:
    """Images on the device, as rows of pixels.

    Attributes:
        images: (N, 784) float32 in [0, 1].
        labels: (N,) long.
    """

    images: Tensor
    labels: Tensor

    def take(self, rows: Tensor) -> Part:
        """Some of the images."""
        return Part(self.images[rows.to(self.images.device)], self.labels[rows.to(self.labels.device)])


@dataclass(frozen=True)
class Data:
    """The digits on the device, and the images that are attacked.

    Attributes:
        train: all training images.
        part1: one half.
        part2: the other.
        test: all test images.
        made_of_train: the training images that are attacked, drawn at random.
        made_of_test: the test images that are attacked, drawn at random.
    """

    train: Part
    part1: Part
    part2: Part
    test: Part
    made_of_train: Part
    made_of_test: Part


def data(digits, count: int, device: torch.device, *, train: int | None = None) -> Data:
    """The digits on a device.

    Args:
        digits: as ``intriguing.data.mnist`` returns them.
        count: how many images are attacked.
        device: where.
        train: training images (those of each half are half as many), the first ones; all by default.
    """

    def part(images, most: int | None) -> Part:
        return Part(images.images[:most].flatten(1).to(device), images.labels[:most].to(device))

    half = None if train is None else train // 2
    whole, test = part(digits.train, train), part(digits.test, None)
    generator = torch.Generator().manual_seed(PICKED)
    return Data(
        whole,
        part(digits.part1, half),
        part(digits.part2, half),
        test,
        *(some.take(torch.randperm(len(some.labels), generator=generator)[:count]) for some in (whole, test)),
    )


class Store:
    """Arrays by name, all of them written to one file by ``write``.

    Args:
        path: of the ``.npz`` file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.arrays = path, {}

    def add(self, **arrays: Tensor | np.ndarray | float) -> None:
        """Takes arrays in, by names that may hold slashes, as in a path."""
        for name, array in arrays.items():
            self.arrays[name] = np.asarray(array.cpu() if isinstance(array, Tensor) else array)

    def put(self, name: str, array) -> None:
        """Takes one array in."""
        self.add(**{name: array})

    def write(self) -> None:
        """Writes all that there is."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.arrays)
        write_atomically(self.path, buffer.getvalue())


# Training.


def classifiers(
    shape: str,
    part: Part,
    seeds: Sequence[int],
    variants: Sequence[Variant],
    levels: Sequence[int],
    *,
    decay: Sequence[float] | None = None,
    stop: Callable[[], bool] = lambda: False,
    chunk: int = 16,
    memory: Memory | None = None,
) -> tuple[Classification, Trainings]:
    """Trains networks of one shape, one for each pair of a seed and a variant.

    Args:
        shape: a key of ``SHAPES``.
        part: the training images.
        seeds: (B,) of the initial weights.
        variants: (B,) how each is trained.
        levels: of iterations at which the weights are kept.
        decay: (B,) lambda of a linear network; the others have that of the paper.
        stop: as for ``stacked.train``.
        chunk: networks evaluated at a time.
        memory: as for ``stacked.train``.
    """
    layout, device = Layout(SHAPES[shape]), part.images.device
    if decay is None:
        strength = torch.tensor([[v.decay * each for each in SIGMOID] for v in variants])
    else:
        strength = torch.tensor([[v.decay * each] for v, each in zip(variants, decay, strict=True)])
    centred = torch.tensor([v.centred for v in variants], device=device)
    loss = Classification(
        layout,
        part.images,
        part.labels,
        strength.to(device),
        torch.tensor([v.bias for v in variants], device=device),
        part.images.mean(0) if bool(centred.any()) else None,
        centred if bool(centred.any()) else None,
    )
    start = initial(layout.widths, seeds, [v.scale for v in variants]).to(device)
    return loss, train(loss, start, levels, stop=stop, chunk=chunk, memory=memory)


@dataclass(frozen=True)
class Coder:
    """One way to train the sparse autoencoder and what stands on it.

    Attributes:
        activity: that is asked of each hidden unit in the mean.
        pull: weight of that term.
        decay: of the encoder and the decoder.
        head: lambda of the softmax on top.
        iterations: after which the training of the encoder stops.
    """

    activity: float = ACTIVITY
    pull: float = PULL
    decay: float = ENCODER_DECAY
    head: float = HEAD_DECAY
    iterations: int = 300


def encoders(
    part: Part,
    seeds: Sequence[int],
    coders: Sequence[Coder],
    levels: Sequence[int],
    stop: Callable[[], bool],
    memory: Memory | None = None,
) -> tuple[Layout, Trainings]:
    """Trains sparse autoencoders, one for each pair of a seed and a coder."""
    device = part.images.device
    layout = Layout((PIXELS, 400, PIXELS))
    parts = []
    for seed in seeds:
        # as the book builds it: the encoder is the first layer of the network, the decoder has a generator of its own
        encoder = initial((PIXELS, 400, CLASSES), [seed])[:, : 401 * PIXELS - PIXELS + 400]
        generator = torch.Generator().manual_seed(seed + 1)
        decoder = torch.nn.init.xavier_uniform_(torch.empty(PIXELS, 400), generator=generator)
        parts.append(torch.cat([encoder, decoder.flatten()[None], torch.zeros(1, PIXELS)], 1))
    loss = Reconstruction(
        layout,
        part.images,
        *(torch.tensor([getattr(c, name) for c in coders], device=device) for name in ("activity", "pull", "decay")),
    )
    return layout, train(loss, torch.cat(parts).to(device), levels, stop=stop, chunk=4, memory=memory)


def heads(
    part: Part,
    layout: Layout,
    flat: Tensor,
    seeds: Sequence[int],
    decays: Sequence[float],
    levels: Sequence[int],
    stop: Callable[[], bool],
    biases: bool = False,
) -> tuple[dict[str, list[tuple[Tensor, Tensor]]], Trainings]:
    """Trains a softmax on each of some encoders, its biases decayed or not.

    Returns:
        level -> the layers of the networks, encoder and softmax; and how their training ended.
    """
    device = part.images.device
    weight, bias = layout.split(flat)[0]
    features = torch.stack([torch.addmm(b, part.images, w.T).sigmoid_() for w, b in zip(weight, bias, strict=True)])
    head = Layout((400, CLASSES))
    loss = Classification(
        head,
        features,
        part.labels,
        torch.tensor([[each] for each in decays], device=device),
        torch.full((len(flat),), biases, device=device),
    )
    start = initial(SHAPES["AE400-10"], seeds)[:, -11 * 400 + 400 - 10 :].to(device)
    found = train(loss, start, levels, stop=stop)
    return {name: [(weight.clone(), bias.clone()), *head.split(kept)] for name, kept in found.levels.items()}, found


# Attacks.


@dataclass
class Attacked:
    """The adversarial examples for the networks of a stack.

    Attributes:
        images: (B, N, 784) float32.
        targets: (N,) long.
        rms: (B, N) float32.
        success: (B, N) bool.
    """

    images: Tensor
    targets: Tensor
    rms: Tensor
    success: Tensor

    def take(self, rows: Tensor) -> Attacked:
        """Some of the images, for all networks."""
        return Attacked(self.images[:, rows], self.targets[rows], self.rms[:, rows], self.success[:, rows])


def attacked(stack: Stack, images: Tensor, targets: Tensor, *, chunk: int = 40_000) -> Attacked:
    """Adversarial examples of the same images for every network of a stack, by the book's own search.

    Args:
        stack: the networks.
        images: (N, 784) in [0, 1].
        targets: (N,) long.
        chunk: problems solved at a time.
    """
    count = len(stack)
    rows = numbered(images, count)
    found = minimum_distortion(stack, rows, targets.repeat(count), chunk=chunk)
    if not torch.equal(found.images[:, -1], rows[:, -1]):
        raise ValueError("got an image that left its network; expected the number of the network to stay.")
    shape = (count, len(images))
    moved = found.images[:, :-1].view(*shape, PIXELS)
    return Attacked(
        moved,
        targets,
        (moved - images).square().mean(2).sqrt(),
        found.success.view(shape),
    )


# Readings.


def shown(clean: Tensor, found: Tensor, rms: Tensor, toward: Tensor | None = None) -> dict[str, Tensor]:
    """The images that are read for one set: as found, amplified in several ways, and the controls.

    Args:
        clean: (N, 784).
        found: (N, 784) the adversarial examples.
        rms: (N,).
        toward: (N, 784) real images of the target classes; None for none.

    Returns:
        name -> (N, 784).
    """

    def sized(step: Tensor, size: Tensor | float) -> Tensor:
        before = step.square().mean(1).sqrt()
        return torch.where(before > 0, size / before.clamp(min=1e-12), 1.0)[:, None] * step

    step = found - clean
    each = sized(step, SIZE)
    images = {"clean": clean, "found": found, "each": clean + each, "each, cut": (clean + each).clamp(0, 1)}
    images |= {f"x{factor:g}": clean + factor * step for factor in FACTORS}
    images |= {"x1.7, cut": (clean + 1.7 * step).clamp(0, 1)}
    images |= {"others": clean + step.roll(CLASSES - 1, 0), "others, each": clean + each.roll(CLASSES - 1, 0)}
    if toward is not None:
        images |= {"toward": clean + sized(toward - clean, rms), "toward, each": clean + sized(toward - clean, SIZE)}
    return images


def partners(part: Part, targets: Tensor) -> Tensor:
    """For each target the row of an image of that class, drawn at random with replacement."""
    generator, found = torch.Generator().manual_seed(PICKED), torch.zeros_like(targets)
    for label in range(CLASSES):
        wanted = (targets == label).nonzero()[:, 0]
        have = (part.labels == label).nonzero()[:, 0]
        if len(have):
            drawn = torch.randint(len(have), (len(wanted),), generator=generator).to(have.device)
            found[wanted] = have[drawn]
    return found


def readings(
    store: Store,
    name: str,
    readers: Sequence[Stack],
    clean: Tensor,
    found: Tensor,
    *,
    toward: Tensor | None = None,
    only: Sequence[str] | None = None,
) -> None:
    """Stores what some networks take one set of adversarial examples for, as found and in the ways of ``shown``.

    Args:
        store: where to.
        name: what the arrays are called, followed by the way: (readers, N) uint8 each.
        readers: the networks.
        clean: (N, 784) the images that the set was made from.
        found: (N, 784) the set.
        toward: as for ``shown``.
        only: some of the names of ``shown``.
    """
    rms = (found - clean).square().mean(1).sqrt()
    store.put(f"{name}/rms", rms.half())
    for way, images in shown(clean, found, rms, toward).items():
        if only is None or way in only:
            store.put(f"{name}/{way}", torch.cat([stack.read(images) for stack in readers]))


def noisy_images(part: Part, sizes: Sequence[float], *, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """The images of a part under each Gaussian noise, uncut and cut to the box; drawn one after the other."""
    generator = torch.Generator(device=part.images.device).manual_seed(seed)
    for size in sizes:
        noise = torch.randn(part.images.shape, generator=generator, device=part.images.device)
        noisy = part.images + size * noise
        yield noisy, noisy.clamp(0, 1)


def noise_errors(readers: Sequence[Stack], part: Part, sizes: Sequence[float] = (), *, seed: int = 0) -> Tensor:
    """How many images of a part are misread: (readers, 1 + 2 sizes), clean first, then each noise uncut and cut."""
    found = []
    for images in chain([part.images], chain.from_iterable(noisy_images(part, sizes, seed=seed))):
        read = torch.cat([stack.read(images) for stack in readers])
        found.append((read != part.labels.to(torch.uint8)).sum(1))
    return torch.stack(found, 1)


def nine(part: Part) -> tuple[Part, Tensor, Tensor]:
    """Every image with each of its nine wrong classes: the images, the targets, and which image each entry is."""
    rows = torch.arange(len(part.labels), device=part.labels.device).repeat_interleave(CLASSES - 1)
    return part.take(rows), wrong_classes(part.labels).flatten(), rows


def random_rows(part: Part) -> Tensor:
    """Of the entries of ``nine`` one for each image, its target drawn at random with the seed of the book."""
    targets = random_targets(part.labels.cpu()).to(part.labels.device)
    place = targets - (targets > part.labels).long()
    return torch.arange(len(targets), device=targets.device) * (CLASSES - 1) + place


def group(flat: Tensor, loss: Classification) -> Stack:
    """A stack of trained networks."""
    rows = torch.arange(len(flat), device=flat.device)
    return Stack(loss.layout.split(loss.plain(flat, rows)))


def weights(store: Store, name: str, stack: Stack) -> None:
    """Stores the weights of a stack."""
    for i, (w, b) in enumerate(zip(stack.weights, stack.biases, strict=True)):
        store.put(f"weights/{name}/{i}/w", w)
        store.put(f"weights/{name}/{i}/b", b)


def one(stack: Stack, index: Sequence[int]) -> Stack:
    """Some of the networks of a stack."""
    index = list(index)
    return Stack([(w[index], b[index]) for w, b in zip(stack.weights, stack.biases, strict=True)])


def together(stacks: Sequence[Stack]) -> Stack:
    """The networks of several stacks of one shape in one."""
    layers = range(len(stacks[0].weights))
    return Stack(
        [tuple(torch.cat([getattr(s, part)[i] for s in stacks]) for part in ("weights", "biases")) for i in layers]
    )
