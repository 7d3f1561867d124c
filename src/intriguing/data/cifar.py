"""CIFAR-10: small colour photographs of ten kinds of things, read without executing what a pickle may hold.

The set is distributed as Python pickles. A file's MD5 sum is compared with torchvision's before anything in it is
looked at, and what is then read are the very bytes that were summed. They go through an unpickler that knows how to
build NumPy arrays and plain containers and refuses everything else.
"""

from __future__ import annotations

import hashlib
import io
import math
import operator
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intriguing.attack import files
from intriguing.data.manifest import (
    UNWRITABLE,
    DataError,
    File,
    MissingData,
    data_folder,
    looked_in,
    missing,
    reading,
)
from intriguing.data.rows import picked

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
KINDS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""What the classes are called, in the order of their numbers."""

CAR = KINDS.index("automobile")
SHAPE = (3, 32, 32)
SUMS = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""The files that are read, with the MD5 sums of torchvision: two of the five training batches, and the test batch."""

# All that the files ask for beside plain containers; ``ndarray`` and ``dtype`` build arrays and run no code of others.
_ADMITTED: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
_RECONSTRUCT = (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"))


@dataclass(frozen=True, eq=False)
class Pictures:
    """Small colour pictures with their classes.

    Attributes:
        pixels: (N, 3, 32, 32) uint8, red, green and blue.
        labels: (N,) int64 from 0 to 9.
        name: what they are, for instance ``CIFAR-10 test images``.
    """

    pixels: Tensor
    labels: Tensor
    name: str

    def __post_init__(self) -> None:
        for what, tensor in (("pixels", self.pixels), ("labels", self.labels)):
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"{what} of {self.name!r} are {type(tensor).__name__}; expected a tensor; convert them with "
                    "torch.as_tensor."
                )
        if self.pixels.dtype != torch.uint8 or tuple(self.pixels.shape[1:]) != SHAPE:
            raise ValueError(
                f"pixels of {self.name!r} are {self.pixels.dtype} of shape {tuple(self.pixels.shape)}; "
                f"expected torch.uint8 of (N, {', '.join(map(str, SHAPE))}); reshape them first."
            )
        if self.labels.shape != self.pixels.shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"labels of {self.name!r} are {self.labels.dtype} of shape {tuple(self.labels.shape)}; "
                f"expected one torch.int64 for each of the {len(self.pixels)} pictures; convert them first."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, rows: Tensor | slice | Sequence[int] = slice(None)) -> Tensor:
        """Some pictures as a network sees them.

        Args:
            rows: a slice or integers below N.

        Returns:
            (B, 3, 32, 32) float32 in [0, 1].

        Raises:
            IndexError: rows that are none.
        """
        return picked(self.pixels, rows).float() / 255

    def digest(self) -> str:
        """The SHA-256 sum of pixels and labels, by which keys tell pictures apart."""
        return files.digest({"pixels": self.pixels, "labels": self.labels})


@dataclass(frozen=True, eq=False)
class Cifar:
    """The part of CIFAR-10 that is read.

    Attributes:
        train: 20,000 pictures, two of the five training batches.
        test: the 10,000 test pictures.
    """

    train: Pictures
    test: Pictures


@reading()
def cifar(*, download: bool = False) -> Cifar | None:
    """CIFAR-10 from ``INTRIGUING_DATA`` or the cache.

    Args:
        download: whether to fetch the set through torchvision, 170 MB, where it is in neither.

    Returns:
        The pictures; None where they are nowhere and are not to be fetched, or cannot be.

    Raises:
        DataError: a file is there and is not the one that torchvision knows or cannot be read, or what was fetched
            cannot be kept.
        ValueError: ``INTRIGUING_DATA`` is set and is no folder.
    """
    folders = [folder / FOLDER for folder in looked_in("cifar-10")]
    folder = next((place for place in folders if all((place / name).is_file() for name in SUMS)), None)
    if folder is None and download:
        try:
            folder = _download(folders[-1])
        except MissingData:
            folder = None
    if folder is None:
        return None
    pixels, labels = zip(*(read(folder / name, wanted) for name, wanted in SUMS.items()), strict=True)
    return Cifar(
        train=Pictures(torch.cat(pixels[:-1]), torch.cat(labels[:-1]), "CIFAR-10 training batches 1 and 2"),
        test=Pictures(pixels[-1], labels[-1], "CIFAR-10 test images"),
    )


@reading()
def absence() -> str:
    """The sentence for a page that has no pictures of cars."""
    folders, files = looked_in("cifar-10"), tuple(File(f"{FOLDER}/{name}", "", 0) for name in SUMS)
    packed = [folder / ARCHIVE for folder in folders if (folder / ARCHIVE).is_file()]
    if packed:
        place = f"{packed[0]} is there, but packed: unpack it with tar -xzf"
    elif any((folder / FOLDER).is_dir() for folder in folders):
        place = missing(folders, files)
    else:
        unset = "" if data_folder() else " (INTRIGUING_DATA is not set)"
        place = f"{FOLDER} is neither in INTRIGUING_DATA{unset} nor in the cache"
    return f"No CIFAR-10 on this computer: {place}; everything on this page that needs it is left out in this run."


@reading()
def read(path: Path | str, wanted: str) -> tuple[Tensor, Tensor]:
    """The pictures of one file, after its sum was found to be torchvision's.

    Args:
        path: the file.
        wanted: its MD5 sum, 32 hexadecimal digits.

    Returns:
        Pixels (N, 3, 32, 32) uint8 and labels (N,) int64.

    Raises:
        DataError: the file cannot be read, has another sum, or holds something else.
    """
    content = Path(path).read_bytes()
    total = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if total != wanted:
        raise DataError(
            f"{path} is corrupt: got MD5 {total} ({len(content)} bytes); expected {wanted}; delete it and fetch it "
            "anew."
        )
    try:
        batch = unpickled(content)
        pixels, labels = _pixels(batch[b"data"]), _labels(batch[b"labels"])
    except (pickle.UnpicklingError, LookupError, TypeError, ValueError, EOFError, AttributeError, ArithmeticError,
            MemoryError) as problem:  # fmt: skip
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise DataError(
            f"{path} holds no batch of CIFAR-10 ({reason}); expected its entries data and labels; fetch it anew."
        ) from None
    if len(pixels) != len(labels):
        raise DataError(
            f"{path} has {len(pixels)} pictures and {len(labels)} labels; expected as many of both; fetch it anew."
        )
    return pixels, labels


def _pixels(rows: Any) -> Tensor:
    """Pixels (N, 3, 32, 32) of the rows of a batch, which hold all of red, then all of green, then all of blue."""
    wide = math.prod(SHAPE)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != wide:
        what = f"{rows.dtype} of {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ValueError(f"its pixels are {what}, and not uint8 of (N, {wide})")
    return torch.from_numpy(rows.reshape(-1, *SHAPE).copy())


def _labels(numbers: Any) -> Tensor:
    """Labels (N,) int64 of a batch."""
    labels = [operator.index(number) for number in numbers]
    strange = [label for label in labels if not 0 <= label < len(KINDS)]
    if strange:
        raise ValueError(f"it has the label {strange[0]}, and not only those from 0 to {len(KINDS) - 1}")
    return torch.tensor(labels, dtype=torch.int64)


def unpickled(content: bytes) -> Any:
    """What a pickle of arrays and plain containers holds.

    Anything else in it is refused, before it is built, by the error that ``pickle`` has for broken files.

    Args:
        content: the pickle.
    """
    return _Arrays(io.BytesIO(content), encoding="bytes").load()


class _Arrays(pickle.Unpickler):
    """An unpickler that builds NumPy arrays and plain containers."""

    def find_class(self, module: str, name: str) -> Callable:
        """The few names that an array needs."""
        if (module, name) in _RECONSTRUCT:
            return _EMPTY_ARRAY
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs") from None

    def persistent_load(self, pid: object) -> object:
        """Refuses references to objects outside of the pickle."""
        raise pickle.UnpicklingError("it refers to something outside of itself")


class _EmptyArray:
    """What NumPy's own ``_reconstruct`` does, for plain arrays of bytes alone; the pickle then fills it.

    It has no attributes, because a pickle may set those of all that it is given.
    """

    __slots__ = ()

    def __call__(self, kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
        """An empty array."""
        if kind is not np.ndarray or tuple(shape) != (0,) or code not in (b"b", "b"):
            raise pickle.UnpicklingError("it asks for an array of another kind")
        return np.ndarray(shape, np.int8)


_EMPTY_ARRAY = _EmptyArray()


def _download(target: Path) -> Path:
    """Fetches the set beside the cache and moves its files there once their sums are right; no pickle is opened."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_and_extract_archive

    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix="cifar-"))
        download_and_extract_archive(CIFAR10.url, temporary, filename=CIFAR10.filename, md5=CIFAR10.tgz_md5)
        for name, wanted in SUMS.items():
            read(temporary / FOLDER / name, wanted)
        target.mkdir(exist_ok=True)
        for name in SUMS:
            os.replace(temporary / FOLDER / name, target / name)
    except (OSError, RuntimeError) as problem:
        if isinstance(problem, DataError):
            raise
        if getattr(problem, "errno", None) in UNWRITABLE:
            raise DataError(
                f"CIFAR-10 cannot be kept in {target} ({problem.strerror}): free some space there or set "
                "INTRIGUING_CACHE to another folder."
            ) from problem
        raise MissingData(f"CIFAR-10: the download failed ({' '.join(str(problem).split())}).") from problem
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target
