"""Trained weights on disk: made once, kept under a key of all that determines them, shared by chapters."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intriguing import fingerprint, scale

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
    one that dies meanwhile holds up nobody. The file says how long it took and on what, for the page's account.

    Args:
        name: What the tensors are, in letters, digits and ``. _ ( ) ' -``, for instance ``FC10(1e-4)``.
        key: JSON values that say all that determines the tensors: settings, data, seed, code.
        make: Called without arguments where nothing usable is kept; returns named tensors.

    Returns:
        The tensors by name, on the CPU, detached and contiguous: the same ones whether made or read.

    Raises:
        ValueError: The name holds other characters, or the key holds something that is not JSON.
        TypeError: ``make`` returned something else than named tensors.
        OSError: The file cannot be written, for instance because the disk is full.
    """
    text, path = canonical(key), location(name, key)
    with scale.counted_apart():
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
    return scale.cache_folder() / "weights" / f"{name}-{digest}.safetensors"


def canonical(key: Mapping[str, Any]) -> str:
    """Returns the key as JSON text that does not depend on the order of its entries.

    Args:
        key: A mapping from strings to JSON values without NaN or infinities.

    Raises:
        ValueError: The key holds something that is not JSON.
    """
    try:
        text = json.dumps(dict(key), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise ValueError(
            f"key cannot be written as JSON ({problem}); expected strings, finite numbers, lists and dicts."
        ) from problem
    return text


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 sum of names, types, shapes and contents, in the order of the names.

    Args:
        tensors: On any device, of any type.

    Returns:
        64 hexadecimal digits.
    """
    import torch

    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        # Bytes, not numbers: NumPy has no bfloat16, and a NaN has to match itself.
        total.update(value.cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return total.hexdigest()


def described(model: nn.Module) -> dict[str, str]:
    """Returns what determines a network's numbers, for use in a key.

    Args:
        model: The network. Its name plays no part: networks with the same entries here are the same.

    Returns:
        ``weights``, the sum of its parameters and buffers, those that it does not save among them; and
        ``architecture``, that of the layers in their order, of their plain attributes and tensors, and of the code of
        those that are not PyTorch's own.
    """
    from torch import Tensor

    lines = []
    for path, module in model.named_modules():
        plain = {
            key: digest({key: value}) if isinstance(value, Tensor) else repr(value)
            for key, value in sorted(vars(module).items())
            if not key.startswith("_") and isinstance(value, bool | int | float | str | tuple | Tensor | None)
        }
        lines.append(f"{path} {type(module).__qualname__} {plain} {_own_code(type(module))}\n")
    weights = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return {
        "weights": digest(weights | dict(model.named_buffers())),
        "architecture": hashlib.sha256("".join(lines).encode()).hexdigest(),
    }


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader finds the old content or the new one, and never a part of it.

    Args:
        path: Where to write; missing folders are made.
        content: The whole content.

    Raises:
        OSError: The file cannot be written; what was there before is left as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; a result or a cache is an ordinary file.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as problem:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        cause = "the disk is full" if full else problem.strerror or str(problem)
        advice = "free some space" if full else "check that the folder can be written to"
        size = len(content)
        message = f"Cannot write {path} ({size} bytes): {cause}; {advice}, or choose another folder."
        raise OSError(problem.errno, message) from problem


def _make(name: str, path: Path, text: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Makes the tensors, keeps them, and says in the file what that took."""
    import safetensors.torch

    with scale.own_seconds() as seconds:
        tensors = _plain(name, make())
        about = scale.provenance()
        about["wall_seconds"] = about["seconds"] = round(seconds(), 1)
    kept = {"key": text, "sha256": digest(tensors), "provenance": json.dumps(about, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata=kept))
    scale.rests_on(f"{path.parent.name}/{path.name}", about["seconds"], about["device"], made=True)
    return tensors


def _trusted(path: Path, text: str, quiet: bool = False) -> dict[str, Tensor] | None:
    """Returns the tensors of a file; None where there is none, or none that can be used, which is reported."""
    if not path.exists():
        return None
    import safetensors

    try:
        return _read(path, text)
    except (safetensors.SafetensorError, OSError, ValueError) as problem:
        reason = " ".join(str(problem).split())
        if not quiet:
            warnings.warn(f"The kept weights {path} cannot be used ({reason}) and are made anew.", stacklevel=3)
        return None


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


def _own_code(kind: type) -> str:
    """Fingerprint of a class that is not PyTorch's own; empty where there is no source."""
    if kind.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return fingerprint.of(kind)
    except ValueError:
        return ""


def _read(path: Path, text: str) -> dict[str, Tensor]:
    """Returns the tensors of a file whose metadata and content agree with the key's text."""
    import safetensors

    with safetensors.safe_open(path, framework="pt", device="cpu") as file:
        kept = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if kept.get("key") != text:
        raise ValueError("its key is another one")
    if kept.get("sha256") != digest(tensors):
        raise ValueError("its content does not match its checksum")
    about = json.loads(kept.get("provenance") or "{}")
    # The wall time of a chunk was always its own; that of other files once counted from the start of their process.
    seconds = about.get("seconds", about.get("wall_seconds") if path.name.startswith("chunk-") else None)
    scale.rests_on(f"{path.parent.name}/{path.name}", seconds, about.get("device"), made=False)
    return tensors


def _plain(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns copies on the CPU that share no memory, which is what the file format can hold."""
    import torch

    if not isinstance(tensors, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in tensors.items()
    ):
        raise TypeError(f"make() of {name!r} returned {type(tensors).__name__}; expected a dict from names to tensors.")
    return {
        key: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for key, value in sorted(tensors.items())
    }
