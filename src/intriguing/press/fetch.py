"""Data that anybody can fetch: each file from its public place over https, checked before it is used.

A file is compared with its sum in memory and then written in one step, so nothing half-written is ever read. A data set
whose files are all there, with the sums that they should have, is left alone. Where one is missing or damaged, all of
them are fetched and written anew, out of what lies in the folder, packed as it is in its public place, or from there.
ImageNet's photographs may not be passed on; :func:`own_imagenet` says how to lay out one's own.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.client
import io
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from intriguing.attack import files
from intriguing.data import MANIFEST, DataError, cifar, manifest
from intriguing.models.imagenet import SQUEEZENET_FILE, TORCHVISION_FILE

LIMIT = 400_000_000
"""No file of the list is larger, in bytes; a longer answer is another file."""

_TIMEOUT = 60.0  # seconds without a byte


@dataclass(frozen=True)
class Source:
    """A file in its public place.

    Attributes:
        address: Where it lies; https only.
        algorithm: ``sha256`` or ``md5``, as the sum is given.
        sum: The sum in hexadecimal digits, or its beginning where the publisher gives no more.
    """

    address: str
    algorithm: str
    sum: str


@dataclass(frozen=True)
class Recipe:
    """How one data set is fetched.

    Attributes:
        title: What it is, in a few words.
        made: The files that come of it, relative to the folder with the data sets.
        sources: What is downloaded.
        unpack: Makes the contents of the files out of those of the sources, both in order.
    """

    title: str
    made: tuple[str, ...]
    sources: tuple[Source, ...]
    unpack: Callable[[list[bytes]], list[bytes]]


def usps_arrays(packed: list[bytes]) -> list[bytes]:
    """Returns ``usps.npz`` from the two files of the LIBSVM collection.

    A line holds the class from 1 to 10, which is one more than the digit, and ``pixel:value`` for each of the 256
    pixels, from -1 to 1 in steps of a thousandth.

    Args:
        packed: The training and the test part, compressed by bzip2.
    """
    arrays: dict[str, np.ndarray] = {}
    for part, content in zip(("train", "test"), packed, strict=True):
        rows = [line.split() for line in bz2.decompress(content).decode("ascii").splitlines() if line.strip()]
        values = np.full((len(rows), 256), -1.0)
        for row, line in zip(values, rows, strict=True):
            for entry in line[1:]:
                pixel, _, value = entry.partition(":")
                row[int(pixel) - 1] = float(value)
        values = np.round(values, 3).astype(np.float32).reshape(-1, 16, 16)
        arrays[f"x_{part}"] = (values + np.float32(1)) / np.float32(2)
        arrays[f"y_{part}"] = np.array([int(float(line[0])) - 1 for line in rows], dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return [buffer.getvalue()]


def _batches(packed: list[bytes]) -> list[bytes]:
    """Returns three files out of the archive of CIFAR-10 as they are; nothing in them is unpickled here."""
    with tarfile.open(fileobj=io.BytesIO(packed[0]), mode="r:gz") as archive:
        found = []
        for path in _CIFAR:
            content = archive.extractfile(path)  # into memory, so no name in the archive can lead elsewhere
            if content is None:
                raise DataError(f"{path} in the archive of CIFAR-10 is no file; expected one; fetch it anew.")
            found.append(content.read())
        return found


_CIFAR = tuple(f"{cifar.FOLDER}/{name}" for name in cifar.SUMS)
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_USPS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass"
_TORCHVISION = "https://download.pytorch.org/models"


def _as_they_are(contents: list[bytes]) -> list[bytes]:
    return contents


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "mnist": Recipe(
            "MNIST, 60,000 and 10,000 digits",
            tuple(file.path for file in MANIFEST["mnist"].files),
            # Sums of the packed files, as torchvision gives them; the manifest holds those of the content.
            tuple(
                Source(f"{_MNIST}/{Path(file.path).name}.gz", "md5", digits)
                for file, digits in zip(
                    MANIFEST["mnist"].files,
                    (
                        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                        "d53e105ee54ea40749a09fcbcd1e9432",
                        "9fb629c4189551a2d022fa330f9573f3",
                        "ec29112dd5afa0611ce80d1b7f02629c",
                    ),
                    strict=True,
                )
            ),
            lambda packed: [gzip.decompress(content) for content in packed],
        ),
        "usps": Recipe(
            "USPS, 7,291 and 2,007 digits",
            ("usps.npz",),
            (
                Source(f"{_USPS}/usps.bz2", "md5", "ec16c51db3855ca6c91edd34d0e9b197"),
                Source(f"{_USPS}/usps.t.bz2", "md5", "8ea070ee2aca1ac39742fdd1ef5ed118"),
            ),
            usps_arrays,
        ),
        "cifar10": Recipe(
            "CIFAR-10, the parts that the book reads: two batches for training and the test batch",
            _CIFAR,
            (
                Source(
                    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    "md5",
                    "c58f30108f718f92721af3b95e74349a",
                ),
            ),
            _batches,
        ),
        "alexnet": Recipe(
            "torchvision's AlexNet",
            (f"imagenet/{TORCHVISION_FILE}",),
            (Source(f"{_TORCHVISION}/{TORCHVISION_FILE}", "sha256", "7be5be79"),),
            _as_they_are,
        ),
        "squeezenet": Recipe(
            "torchvision's SqueezeNet 1.0",
            (f"imagenet/{SQUEEZENET_FILE}",),
            (Source(f"{_TORCHVISION}/{SQUEEZENET_FILE}", "sha256", "b66bff10"),),
            _as_they_are,
        ),
    }
)
"""What can be fetched, by name."""


def fetch(name: str, folder: Path | str, *, get: Callable[[str], bytes] | None = None) -> list[Path]:
    """Fetches one data set into a folder, unless all its files are there already and whole.

    Args:
        name: A name in :data:`RECIPES`.
        folder: The folder with the data sets.
        get: Returns what lies at an address; None downloads it. It is not asked for what lies in the folder, or beside
            the files that are made, under the name that it has at its address.

    Returns:
        The files, all of them compared with their sums.

    Raises:
        ValueError: There is no such data set.
        TypeError: The folder is no path, or what ``get`` returns is not bytes.
        DataError: It cannot be fetched or kept, or it is not the file that was expected.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(f"got {name!r}; expected one of {', '.join(RECIPES)}; choose among these.")
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"got {type(folder).__name__} for a folder; expected a Path; name the folder with the data.")
    recipe, folder = RECIPES[name], Path(folder)
    made = {folder / path: known for path, known in zip(recipe.made, _sums(name), strict=True)}
    with manifest.reading():
        if all(path.is_file() and not _unlike(path.read_bytes(), *known) for path, known in made.items()):
            return list(made)
        obstacle = manifest.obstacle(folder)
    if obstacle is not None:
        raise DataError(
            f"got {folder}, in which nothing can be kept, because of {obstacle}; expected a folder; choose another."
        )
    contents = []
    for source in recipe.sources:
        beside = [place / Path(source.address).name for place in (folder, *(path.parent for path in made))]
        contents.append(_content(source, [path for path in beside if path not in made], get or download))
    contents = recipe.unpack(contents)
    for (path, (algorithm, wanted)), content in zip(made.items(), contents, strict=True):
        if got := _unlike(content, algorithm, wanted):
            raise DataError(
                f"{path.relative_to(folder).as_posix()}: got {algorithm} {got}; expected {wanted}; the public copy "
                "differs from the one that the book used, so it was not kept."
            )
    for path, content in zip(made, contents, strict=True):
        try:
            files.write_atomically(path, content)
        except OSError as problem:
            raise DataError(f"{path} cannot be written ({problem.strerror}); choose another folder.") from problem
    return list(made)


def download(address: str) -> bytes:
    """Returns what lies at an address.

    Raises:
        DataError: The address is not one of https, or it cannot be read.
    """
    _require_https(address)
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer, tempfile.SpooledTemporaryFile(2**26) as kept:
            _require_https(answer.url)  # whoever leads elsewhere has to stay with https
            while block := answer.read(2**20):
                kept.write(block)
                if kept.tell() > LIMIT:
                    raise DataError(f"{address} holds more than {LIMIT} bytes; expected less; it is another file.")
            kept.seek(0)
            return kept.read()
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as problem:
        raise DataError(
            f"{address} cannot be read ({problem}); connect to the network, or fetch the file by other means, put it, "
            "as it is, into INTRIGUING_DATA or what --folder names, and run this again."
        ) from problem


def own_imagenet() -> str:
    """Returns how to lay out one's own copy of ImageNet's validation photographs, in a few sentences."""
    return (
        "ImageNet's photographs may not be passed on. With an account at https://image-net.org, fetch the validation "
        "images of ILSVRC2012 and put them into imagenet/val of the folder INTRIGUING_DATA: either a folder for each "
        "class, named after its WordNet number, or all files in one folder beside imagenet/val_labels.csv with the "
        "columns file and label (0 to 999, in the order of the WordNet numbers). Both layouts need "
        "imagenet/synset_words.txt: a line for each class, its number and its name, in increasing order."
    )


def _require_https(address: str) -> None:
    if not isinstance(address, str) or not address.startswith("https://"):
        raise DataError(f"got the address {address}; expected one that begins with https://; nothing was fetched.")


def _sums(name: str) -> list[tuple[str, str]]:
    """The algorithm and the sum, or its beginning, of each file that is made."""
    if name in ("mnist", "usps"):
        return [("sha256", file.sha256) for file in MANIFEST[name].files]
    if name == "cifar10":
        return [("md5", digits) for digits in cifar.SUMS.values()]
    return [(source.algorithm, source.sum) for source in RECIPES[name].sources]  # which are kept as they are


def _content(source: Source, beside: list[Path], get: Callable[[str], bytes]) -> bytes:
    """The content of a source: of the first of these files that is there, or else from its address."""
    with manifest.reading():
        path = next((path for path in beside if path.is_file()), None)
        content = None if path is None else path.read_bytes()
    if path is None:
        content = get(source.address)
    if not isinstance(content, bytes):
        raise TypeError(f"got {type(content).__name__} from {source.address}; expected bytes; let get return them.")
    if got := _unlike(content, source.algorithm, source.sum):
        advice = "nothing was kept: try again later, or fetch the file by other means" if path is None else "delete it"
        raise DataError(
            f"{path or source.address}: got {source.algorithm} {got} ({len(content)} bytes); expected {source.sum}; "
            f"{advice}."
        )
    return content


def _unlike(content: bytes, algorithm: str, wanted: str) -> str:
    """The sum of a content where it does not begin as wanted; empty where it does."""
    got = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    return "" if got.startswith(wanted) else got
