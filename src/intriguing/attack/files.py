"""Files that are whole or absent, and sums that say what is in them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # PyTorch is imported where it is used: who writes a file need not wait for it
    from torch import Tensor

BLOCK = 4_000_000  # entries hashed at a time, so that images on another device are never copied whole


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
            f"key cannot be written as JSON ({problem}); expected strings, finite numbers, lists and dicts; "
            "convert what is in it."
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
        if value.is_nested or value.is_meta:
            parts = value.unbind() if value.is_nested else ()  # without numbers there is only the shape
            shape = () if value.is_nested else tuple(value.shape)
            inner = digest({str(place): part for place, part in enumerate(parts)})
            total.update(f"{name} {value.dtype} {value.device.type} {shape} {inner}\n".encode())
            continue
        value = value.resolve_conj().resolve_neg()
        value = value if value.layout == torch.strided else value.to_dense()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        for block in value.reshape(-1).split(BLOCK):
            # Bytes, not numbers: NumPy has no bfloat16, and a NaN has to match itself.
            total.update(block.cpu().contiguous().view(torch.uint8).numpy())
    return total.hexdigest()


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
        if isinstance(problem, IsADirectoryError):
            advice = "remove the folder that stands in its place"
        size = len(content)
        message = f"Cannot write {path} ({size} bytes): {cause}; {advice}, or choose another folder."
        raise OSError(problem.errno, message) from problem


def read(path: Path, text: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads tensors that were kept under a key.

    Args:
        path: The file.
        text: The key, from :func:`canonical`, that the file has to carry.

    Returns:
        The tensors by name, and what the file says about how they were made: ``seconds``, ``device`` and more.

    Raises:
        ValueError: The file's key is another one, its content does not match its sum, or it says nonsense of how it was
            made.
        OSError: The file is missing or cannot be read.
        safetensors.SafetensorError: It is no such file.
    """
    import safetensors

    with safetensors.safe_open(path, framework="pt", device="cpu") as file:
        kept = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if kept.get("key") != text:
        raise ValueError("its key is another one")
    if kept.get("sha256") != digest(tensors):
        raise ValueError("its content does not match its checksum")
    return tensors, account(kept)


def account(kept: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a file's metadata say of how its tensors were made; empty where they say nothing.

    Args:
        kept: The metadata, as safetensors gives them.

    Raises:
        ValueError: It is not a JSON object.
    """
    try:
        about = json.loads(kept.get("provenance") or "{}")
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise ValueError("what it says of how it was made is no JSON object")
    return about


def keep(path: Path, text: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes tensors so that :func:`read` finds and trusts them.

    Args:
        path: The file; missing folders are made.
        text: The key, from :func:`canonical`.
        tensors: By name, from :func:`plain`.
        about: How they were made, in JSON values.

    Raises:
        OSError: The file cannot be written; what was there before is left as it was.
    """
    import safetensors.torch

    kept = {"key": text, "sha256": digest(tensors), "provenance": json.dumps(dict(about), sort_keys=True)}
    write_atomically(path, safetensors.torch.save(dict(tensors), metadata=kept))


def plain(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns copies on the CPU that share no memory, which is what the file format can hold.

    Args:
        name: Whose tensors they are, for the error.
        tensors: By name, on any device.

    Raises:
        TypeError: They are something else than named tensors.
    """
    import torch

    if not isinstance(tensors, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in tensors.items()
    ):
        raise TypeError(f"make() of {name!r} returned {type(tensors).__name__}; expected a dict from names to tensors.")
    return {
        key: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for key, value in sorted(tensors.items())
    }


def cache_folder() -> Path:
    """Returns the folder where weights and downloads are kept; whoever writes there creates it.

    Raises:
        ValueError: ``INTRIGUING_CACHE`` is set and is no path. Where something else than a folder is there, whoever
            writes is told.
    """
    import platformdirs

    name = environment("INTRIGUING_CACHE")
    return platformdirs.user_cache_path("intriguing") if name is None else _possible("INTRIGUING_CACHE", name)


def checked_folder(name: str, given: Path | str) -> Path:
    """Returns a path where a folder is or can be made, as far as that shows without making it.

    Args:
        name: What the error calls it.
        given: The path; a tilde in front stands for the home.

    Raises:
        TypeError: It is no path.
        ValueError: Something else than a folder is there, or nothing can be.
    """
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f"got {name} of type {type(given).__name__}; expected a path; leave it out for the cache.")
    folder = _possible(name, given)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"got {name} {str(given)!r}, which is a file; expected a folder; choose another.")
    return folder


def _possible(name: str, given: Path | str) -> Path:
    """A path under which something is or could be."""
    try:
        path = Path(given).expanduser()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)
    except (RuntimeError, OSError, ValueError) as problem:  # the home of somebody unknown, or no path at all
        raise ValueError(
            f"got {name} {str(given)!r}, which is no path here; expected one where a folder is or can be made; choose "
            "another."
        ) from problem
    return path


def environment(name: str) -> str | None:
    """Returns the variable's value without surrounding blanks, or None where it is unset or empty."""
    return os.environ.get(name, "").strip() or None
