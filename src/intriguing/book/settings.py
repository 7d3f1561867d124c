"""How large a run is, where it runs and what it starts from: profile, device, seed, folders, provenance.

The variables of the environment that the book listens to:

* ``INTRIGUING_PROFILE``: ``quick`` (the default) or ``paper``;
* ``INTRIGUING_DATA``: a folder with data sets that are already on this computer (optional);
* ``INTRIGUING_CACHE``: where weights and downloads are kept (the user's cache folder by default);
* ``INTRIGUING_DEVICE``: ``cuda``, ``mps`` or ``cpu`` (the best one available by default);
* ``INTRIGUING_RECORD``: ``1`` makes a run write the stored results instead of comparing with them;
* ``INTRIGUING_LEDGER``: a file to which the kept computing that a run rests on, and the results that it stores, are
  written down, set by the commands.

Importing it is cheap and changes nothing outside: PyTorch is loaded by the functions that need it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import intriguing
from intriguing.attack.files import environment

if TYPE_CHECKING:
    import torch


# PyTorch is imported where it is used, so that whoever asks for a folder or a profile does not wait for it.
_IMPORTED = time.monotonic()

SEED = 0
"""The seed from which every run of the book starts."""


@dataclass(frozen=True)
class Profile:
    """The sizes of one run. A profile changes sizes and never the code that computes.

    Attributes:
        name: ``quick`` or ``paper``.
        attack_images: How many training images, or test images for halves, are turned into adversarial examples.
        target_images: How many images are looked at where not all are needed; on the page of transfer they are tried
            with each of the nine wrong targets.
        oracle_images: How many are solved once more by an independent method.
        training_iterations: The most L-BFGS iterations of a classifier's training.
        autoencoder_iterations: The most L-BFGS iterations of the autoencoder's training.
        epochs: Passes over the training set of the convolutional network.
        convolutional_images: How many images are attacked for a convolutional network, which costs far more.
        table_seeds: How many times the networks of Tables 1 to 4 are trained anew for the spread of their entries, and
            those with bounded layers for theirs.
        seed_images: How many training images the networks of Tables 1 to 4 are then trained on.
        seed_attacks: How many images are then attacked for each of these.
        protocol_images: How many images the page of the protocol itself attacks, for decayed biases and for coarse
            searches.
        density_images: How many test images have their surroundings searched, or are attacked on networks with
            bounded layers.
        noise_samples: How many random perturbations of one image and radius are counted.
        resamples: How often units and directions are drawn again for an interval, and shuffled for a test.
        photographs: How many ImageNet validation images are looked at, the first ones by number.
        ostriches: How many of them, drawn at random, are turned into another class.
        certified_images: How many test images have their certified radius set beside the distance found.
        bounded_images: How many training images the networks with bounded layers are trained on.
    """

    name: str
    attack_images: int
    target_images: int
    oracle_images: int
    training_iterations: int
    autoencoder_iterations: int
    epochs: int
    convolutional_images: int
    table_seeds: int
    seed_images: int
    seed_attacks: int
    protocol_images: int
    density_images: int
    noise_samples: int
    resamples: int
    photographs: int
    ostriches: int
    certified_images: int
    bounded_images: int


QUICK = Profile(
    name="quick",
    attack_images=1000,
    target_images=40,
    oracle_images=10,
    training_iterations=250,
    autoencoder_iterations=100,
    epochs=6,
    convolutional_images=60,
    table_seeds=2,
    seed_images=250,
    seed_attacks=50,
    protocol_images=32,
    density_images=25,
    noise_samples=20_000,
    resamples=500,
    photographs=100,
    ostriches=2,
    certified_images=50,
    bounded_images=400,
)
"""Sizes for a look at everything in minutes, and for the tests."""

PAPER = Profile(
    name="paper",
    attack_images=60000,
    target_images=2000,
    oracle_images=50,
    training_iterations=1500,
    autoencoder_iterations=300,
    epochs=4,
    convolutional_images=500,
    table_seeds=5,
    seed_images=2000,
    seed_attacks=300,
    protocol_images=256,
    density_images=200,
    noise_samples=1_000_000,
    resamples=5000,
    photographs=1500,
    ostriches=64,
    certified_images=10_000,
    bounded_images=10_000,
)
"""The sizes of the stored pages."""

PROFILES = {"quick": QUICK, "paper": PAPER}
"""The two profiles by name."""


def profile(name: str | None = None) -> Profile:
    """Returns the profile of this run.

    Args:
        name: ``quick`` or ``paper``; None takes ``INTRIGUING_PROFILE``, and ``quick`` where that is unset.

    Returns:
        The profile.

    Raises:
        ValueError: There is no profile of that name.
    """
    source = "profile" if name is not None else "INTRIGUING_PROFILE"
    name = name if name is not None else environment("INTRIGUING_PROFILE") or "quick"
    if name not in PROFILES:
        raise ValueError(f"{source} is {name!r}; expected one of {_listed(PROFILES)}; set it to one of these.")
    return PROFILES[name]


def unused(name: str | None = None) -> tuple[str, ...]:
    """Returns the names of the constants that a run in one profile does not depend on: the sizes of the other.

    Args:
        name: As for :func:`profile`.

    Raises:
        ValueError: There is no profile of that name.
    """
    chosen = profile() if name is None else profile(name)
    return {"quick": ("PAPER",), "paper": ("QUICK",)}[chosen.name]


def device() -> torch.device:
    """Returns the device on which the networks are evaluated.

    Returns:
        What ``INTRIGUING_DEVICE`` names; where that is unset, the first available of CUDA, MPS and the CPU.

    Raises:
        ValueError: ``INTRIGUING_DEVICE`` names no known kind of device.
        RuntimeError: It names a device that this computer, or this build of PyTorch, does not have.
    """
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    name = environment("INTRIGUING_DEVICE")
    if name is None:
        return torch.device(next(kind for kind, present in available.items() if present))
    if name not in available:
        raise ValueError(
            f"INTRIGUING_DEVICE is {name!r}; expected one of {_listed(available)}; set it to one of these or unset it."
        )
    if not available[name]:
        present = _listed(kind for kind, here in available.items() if here)
        raise RuntimeError(
            f"INTRIGUING_DEVICE is {name!r}, which PyTorch {torch.__version__} does not find here; "
            f"available: {present}; set it to one of these or unset it."
        )
    return torch.device(name)


def seed_everything(seed: int = SEED) -> torch.Generator:
    """Seeds Python, NumPy and PyTorch and asks PyTorch for deterministic, full-precision arithmetic.

    The same seed gives the same numbers again on the same computer with the same versions. Another processor,
    another number of threads or another version may change the last digits. Deterministic algorithms are not
    asked for on MPS, where PyTorch refuses some operations that have none. cuBLAS is deterministic only with a
    workspace of fixed size, which it reads from the environment at its first product: so call this before CUDA is used.

    Args:
        seed: An integer from 0 to 2^32 - 1.

    Returns:
        A generator on the CPU, started from the same seed.

    Raises:
        ValueError: The seed is no integer in that range, or ``INTRIGUING_DEVICE`` names no known kind of device.
        RuntimeError: It names a device that is not there.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed!r}; expected an integer from 0 to 2**32 - 1.")
    # cuBLAS is deterministic only with this, and reads it when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for code that still draws from the global generator
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(device().type != "mps", warn_only=False)
    torch.backends.cudnn.benchmark = False
    # Distortions are small differences of pixels: the short mantissa of TF32 would show in them.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.Generator(device="cpu").manual_seed(seed)


def recording() -> bool:
    """Tells whether this run writes the stored results instead of comparing with them.

    Raises:
        ValueError: ``INTRIGUING_RECORD`` is neither 0 nor 1.
    """
    value = environment("INTRIGUING_RECORD") or "0"
    if value not in ("0", "1"):
        raise ValueError(f"INTRIGUING_RECORD is {value!r}; expected 0 or 1; set it to one of these or unset it.")
    return value == "1"


def checkout() -> Path | None:
    """Returns the root of the source checkout, or None outside of one.

    It is the checkout that the package was installed from in editable mode; failing that, the nearest folder
    at or above the current one that holds ``src/intriguing``.
    """
    here = _own_checkout()
    if here is not None:
        return here
    current = Path.cwd()
    candidates = [current, *current.parents]
    return next((folder for folder in candidates if (folder / "src" / "intriguing" / "__init__.py").is_file()), None)


def commit() -> str | None:
    """Returns the last commit that touched ``src``, marked when files there have changed since; None outside git."""
    root = _own_checkout()
    if root is None or not (root / ".git").exists():
        return None
    last = _git(root, "log", "-1", "--format=%h", "--", "src")
    if not last:
        return None
    return f"{last} + changes" if _git(root, "status", "--porcelain", "--", "src") else last


def provenance(started: float | None = None) -> dict:
    """Describes the run for the record: what ran, where, with which versions, and for how long.

    Args:
        started: The reading of ``time.monotonic()``, in seconds, at which the timed work began; None counts
            from the import of this module.

    Returns:
        JSON values: profile, seed, device, versions, wall_seconds, created (UTC, to the second) and
        commit (the last one that touched ``src``, marked when files there have changed since, None outside
        git).
    """
    packages = ("torch", "torchvision", "numpy", "scipy")
    versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
    return {
        "profile": profile().name,
        "seed": SEED,
        "device": _device_name(),
        "versions": versions | {"intriguing": intriguing.__version__},
        "wall_seconds": round(time.monotonic() - (_IMPORTED if started is None else started), 1),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
    }


def run_line(started: float | None = None) -> str:
    """Returns one sentence on the run for the foot of a page, made from :func:`provenance`.

    Args:
        started: As for :func:`provenance`.

    Returns:
        Profile, device, wall time, date, seed, versions and the commit of ``src``; a second sentence on the
        computing that was kept by earlier runs or made by this one, a third on the stored measurements that were read,
        and a fourth on how closely tables are compared with stored ones, where there are any.
    """
    run = provenance(started)
    took = duration(run["wall_seconds"])
    when = datetime.fromisoformat(run["created"]).strftime("%Y-%m-%d %H:%M UTC")
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in run["versions"].items())
    code = f"commit {run['commit']}" if run["commit"] else "no commit known"
    first = (
        f"Run in profile {run['profile']} on {run['device']} in {took}, {when}, seed {run['seed']}, "
        f"with {versions}; code: {code}."
    )
    return " ".join(filter(None, [first, computing_line(computing()), measured_line(), guard_line()]))


def duration(seconds: float) -> str:
    """Returns a duration as a reader would say it: ``12 s``, ``3 min 5 s``, ``2 h 7 min``.

    It is rounded to the second; from an hour on the seconds are left out.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours = minutes // 60
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


_GUARDED: dict[str, tuple[int, int]] = {}  # entries of each table that was compared, and how many of them loosely


def guarded(table: str, entries: int, loose: int) -> None:
    """Remembers how closely a table of this run was compared with the stored one.

    Args:
        table: Its name.
        entries: How many entries were compared.
        loose: How many of them may differ by more than half the stored value.
    """
    _GUARDED[table] = (entries, loose)


def guard_line() -> str:
    """Returns one sentence on how closely this run is compared with the stored one, empty where nothing is."""
    entries = sum(count for count, _ in _GUARDED.values())
    loose = {table: count for table, (_, count) in _GUARDED.items() if count}
    if not entries:
        return ""
    begin = f"Entries compared with the stored run: {entries}; "
    if not loose:
        return begin + "none may differ from it by more than half its size."
    where = ", ".join(f"{count} in {table}" for table, count in loose.items())
    return begin + f"{sum(loose.values())} of them may differ by more than half their size ({where})."


_MEASURED: dict[str, float | None] = {}  # what each stored measurement that was read says it took


def measured(name: str, seconds: float | None) -> None:
    """Remembers a stored measurement that this run read.

    Args:
        name: Of its file.
        seconds: What it took at least; None where the file does not say.
    """
    _MEASURED[name] = seconds


def measured_line() -> str:
    """Returns one sentence on the stored measurements that this run read, empty where there are none."""
    if not _MEASURED:
        return ""
    took = [
        f"{name} ({'its file does not say' if seconds is None else duration(seconds)})"
        for name, seconds in _MEASURED.items()
    ]
    return f"It reads stored measurements, not counted above; they took at least: {', '.join(took)}."


_LEDGER: dict[str, dict] = {}
_INSIDE: list[float] = []  # for each computation under way, the seconds that count for others inside of it


@contextmanager
def own_seconds() -> Iterator[Callable[[], float]]:
    """Times a computation that will be kept, without the kept computations that it asks for on its way.

    Yields:
        A function without arguments that returns the seconds so far.
    """
    started = time.monotonic()
    _INSIDE.append(0.0)
    depth = len(_INSIDE)
    try:
        yield lambda: time.monotonic() - started - _INSIDE[depth - 1]
    finally:
        _INSIDE.pop()


@contextmanager
def counted_apart() -> Iterator[None]:
    """Takes the time of a block, waiting for other processes included, out of the computation that asked for it."""
    started = time.monotonic()
    try:
        yield
    finally:
        if _INSIDE:
            _INSIDE[-1] += time.monotonic() - started


def rests_on(name: str, seconds: float | None, device: str | None, *, made: bool) -> None:
    """Writes down that this run rests on a kept computation; each counts once however often it is used.

    Args:
        name: Of the file that keeps it.
        seconds: What it took to make, at least 0; None where the file does not say.
        device: On what it was made; None where the file does not say. Older files have "1 threads".
        made: Whether this run made it, not an earlier one or another process.
    """
    if name in _LEDGER:
        return
    device = device and device.replace(", 1 threads)", ", 1 thread)")
    _LEDGER[name] = {"name": name, "seconds": seconds, "device": device, "made": made}
    _write_down(_LEDGER[name])


def wrote(path: Path, content: bytes) -> None:
    """Writes down that this run stored a result, so that the commands see later whether it is still there."""
    _write_down({"wrote": str(path), "sha256": hashlib.sha256(content).hexdigest()})


def computing(entries: Iterable[dict] | None = None) -> dict:
    """Sums up the kept computing that a run rests on.

    Args:
        entries: As written by :func:`rests_on`; None takes those of this process.

    Returns:
        JSON values: seconds, devices (sorted), made (files made by this run), kept (files found), unknown
        (files that do not say what they took; their seconds are missing in the sum).
    """
    rows = list(_LEDGER.values() if entries is None else {entry["name"]: entry for entry in entries}.values())
    return {
        "seconds": round(sum(row["seconds"] or 0 for row in rows), 1),
        "devices": sorted({row["device"] for row in rows if row["device"]}),
        "made": sum(row["made"] for row in rows),
        "kept": sum(not row["made"] for row in rows),
        "unknown": sum(row["seconds"] is None for row in rows),
    }


def computing_line(total: dict) -> str:
    """Returns what :func:`computing` found as one sentence, empty where the run rests on no kept computing."""
    files = total["made"] + total["kept"]
    if not files:
        return ""
    known = files - total["unknown"]
    origin = f"{total['made']} made now and {total['kept']} kept from before"
    missing = f"; what {total['unknown']} of them took was not written down" if total["unknown"] else ""
    took = f", {duration(total['seconds'])} of computing on {' and '.join(total['devices'])}" if known else ""
    return f"It rests on {files} kept {'computation' if files == 1 else 'computations'} ({origin}){took}{missing}."


def _write_down(entry: dict) -> None:
    """Adds a line to the ledger of the command that started this run, if one did."""
    path = environment("INTRIGUING_LEDGER")
    if path is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device_name() -> str:
    import torch

    chosen = device()
    if chosen.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(chosen)})"
    count = torch.get_num_threads()
    return f"{chosen.type} ({platform.machine()}, {count} {'thread' if count == 1 else 'threads'})"


def _own_checkout() -> Path | None:
    package = Path(intriguing.__file__).resolve().parent
    return package.parent.parent if package.parent.name == "src" else None


def _git(root: Path, *arguments: str) -> str | None:
    """Returns what git prints, or None where git is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
