"""Trained weights on disk: made once, kept under a key of all that the book decides of them, shared by chapters."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intriguing.attack import description, files
from intriguing.attack.files import canonical
from intriguing.book import fingerprint, settings

try:
    import fcntl
except ImportError:  # Windows: two processes may make the same tensors there, with equal results
    fcntl = None

if TYPE_CHECKING:  # the commands write files with this module and need no PyTorch, which is slow to load
    from torch import Tensor, nn

_LOCKS: dict[str, int] = {}  # open files; closing one would free every lock that this process holds on it


def load_or_make(name: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the tensors kept under a name and a key, and makes and keeps them where there are none yet.

    The file's name holds a hash of the key, so that tensors of several keys lie side by side and a
    changed key makes new ones. A file that cannot be trusted is reported by a warning and made anew.
    Processes that ask for the same tensors at once make them once: the first makes them while the others wait, and
    one that dies meanwhile holds up nobody. Where files cannot be locked, as on Windows, each makes them, with equal
    results. The file says how long it took and on what, for the page's account.

    Args:
        name: What the tensors are, in letters, digits and ``. _ ( ) ' -``, not starting with a dot, for instance
            ``FC10(1e-4)``.
        key: JSON values that say all that determines the tensors: settings, data, seed, code.
        make: Called without arguments where nothing usable is kept; returns named tensors.

    Returns:
        The tensors by name, on the CPU, detached and contiguous: the same ones whether made or read.

    Raises:
        ValueError: The name is none of that kind, or the key holds something that is not JSON.
        TypeError: ``make`` returned something else than named tensors.
        OSError: The file cannot be written, for instance because the disk is full.
    """
    text, path = canonical(key), location(name, key)
    with settings.counted_apart():
        found = _trusted(path, text)
        if found is None:
            with _alone(path):
                found = _trusted(path, text, quiet=True)
                if found is None:
                    found = _make(name, path, text, make)
        return found


def location(name: str, key: Mapping[str, Any]) -> Path:
    """Returns the file in which the tensors of this name and key are kept, whether it exists or not.

    Args:
        name: As for :func:`load_or_make`.
        key: As for :func:`load_or_make`.

    Raises:
        ValueError: The name holds other characters, or the key holds something that is not JSON.
    """
    if not re.fullmatch(r"[\w()'-][\w.()'-]*", name, flags=re.ASCII):
        raise ValueError(f"name is {name!r}; expected letters, digits and . _ ( ) ' - only, not starting with a dot.")
    digest = hashlib.sha256(canonical(key).encode()).hexdigest()[:16]
    return files.cache_folder() / "weights" / f"{name}-{digest}.safetensors"


def provenance(name: str, key: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a file says of how its tensors were made; they themselves are not read, and not checked.

    Args:
        name: As for :func:`load_or_make`.
        key: As for :func:`load_or_make`.

    Returns:
        What :func:`intriguing.book.settings.provenance` returned then, and ``seconds``, which leave out what was waited
        for or made on the way; empty where there is no such file.

    Raises:
        ValueError: The name holds other characters, or the key holds something that is not JSON.
    """
    import safetensors

    path = location(name, key)
    if not path.exists():
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return files.account(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError):
        return {}  # who loads the tensors is told


def described(model: nn.Module) -> dict[str, str]:
    """Returns what determines a network's numbers, for use in a key; code counts by its meaning.

    Args:
        model: As for :func:`intriguing.attack.description.described`.
    """
    return description.described(model, own_code)


def own_code(kind: type) -> str:
    """Fingerprint of a class; empty for PyTorch's own, and where there is no source."""
    if kind.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return fingerprint.of(kind)
    except ValueError:
        return ""


def _make(name: str, path: Path, text: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Makes the tensors, keeps them, and says in the file what that took."""
    _writable(path.parent)
    with settings.own_seconds() as seconds:
        tensors = files.plain(name, make())
        about = settings.provenance()
        about["wall_seconds"] = about["seconds"] = round(seconds(), 1)
    files.keep(path, text, tensors, about)
    settings.rests_on(f"{path.parent.name}/{path.name}", about["seconds"], about["device"], made=True)
    return tensors


def _writable(folder: Path) -> None:
    """Raises an error where nothing can be kept: before hours of work are lost, and not after them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        message = (
            f"got the cache folder {folder}, in which nothing can be kept ({problem.strerror}); expected one with room "
            "that can be written to; set INTRIGUING_CACHE to another folder."
        )
        raise OSError(problem.errno, message) from problem


def _trusted(path: Path, text: str, quiet: bool = False) -> dict[str, Tensor] | None:
    """Returns the tensors of a file; None where there is none, or none that can be used, which is reported."""
    if not path.exists():
        return None
    import safetensors

    try:
        tensors, about = files.read(path, text)
    except (safetensors.SafetensorError, OSError, ValueError) as problem:
        reason = " ".join(str(problem).split())
        if not quiet:
            warnings.warn(f"The kept weights {path} cannot be used ({reason}) and are made anew.", stacklevel=3)
        return None
    settings.rests_on(f"{path.parent.name}/{path.name}", about.get("seconds"), about.get("device"), made=False)
    return tensors


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps other processes from making the same file, for the length of the block.

    One byte of a file beside the folder stands for each name. POSIX locks go with their process, so that none
    outlives its owner; where the file system has none, everybody goes on at once.
    """
    place = int(hashlib.sha256(path.name.encode()).hexdigest()[:15], 16)
    locked = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            locks = path.parent.parent / "locks"
            locks.parent.mkdir(parents=True, exist_ok=True)
            if str(locks) not in _LOCKS:
                _LOCKS[str(locks)] = os.open(locks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            locked = _LOCKS[str(locks)]
            fcntl.lockf(locked, fcntl.LOCK_EX, 1, place)
    try:
        yield
    finally:
        if locked is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(locked, fcntl.LOCK_UN, 1, place)
