"""The bookkeeping of the benchmarks: what is timed, who judges, how a row that fails is told, what is written.

Nothing here knows a particular attack. An attack is a function from images, targets and starting images to images;
it is timed in a process of its own, and what it returns is judged by another one that does not believe it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from intriguing.attack import files
from intriguing.attack.distortion import minimum_distortion
from intriguing.book import fingerprint

Attack = Callable[[Tensor, Tensor, Tensor], Tensor]

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
OUTSIDE = 1e-6  # how far a pixel may leave [0, 1]: the rounding of x + (clip(x + r) - x)
REPEATS, BUDGET = 5, 10.0  # timed calls of one attack, and the seconds after which no further one is begun


@dataclass(frozen=True)
class Case:
    """One network and the images that every attack gets.

    Attributes:
        name: of the network, as in ``intriguing.models.RECIPES``.
        model: float32, in evaluation mode, weights frozen.
        images: (N, 1, 28, 28) float32 in [0, 1].
        targets: (N,) long, one wrong class per image.
        starts: (N, 1, 28, 28) float32, images that the network takes for the target, for attacks that need one.
    """

    name: str
    model: nn.Module
    images: Tensor
    targets: Tensor
    starts: Tensor

    def save(self, path: Path) -> None:
        """Write the case to a safetensors file that :meth:`load` reads in another process."""
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {"images": self.images, "targets": self.targets, "starts": self.starts}
        save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata={"name": self.name})

    @classmethod
    def load(cls, path: Path, build: Callable[[str], nn.Module]) -> Case:
        """Read what :meth:`save` wrote.

        Args:
            path: the file.
            build: name -> an untrained network of that name, such as ``intriguing.models.build``.

        Returns:
            The case.
        """
        with safe_open(path, "pt") as file:
            name = file.metadata()["name"]
        tensors = load_file(path)
        model = build(name)
        prefix = "model."
        model.load_state_dict({key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)})
        model.eval().requires_grad_(False)
        return cls(name, model, tensors["images"], tensors["targets"], tensors["starts"])


class Tally:
    """A count that all copies of a model share."""

    def __init__(self) -> None:
        self.images = 0

    def __deepcopy__(self, memo: dict) -> Tally:
        return self


class Counted(nn.Module):
    """A model that counts the images passing through it, in itself and in its copies.

    Args:
        model: what to count; its output is passed on unchanged.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.tally = model, Tally()

    def forward(self, images: Tensor) -> Tensor:
        self.tally.images += len(images)
        return self.model(images)


@dataclass(frozen=True)
class Measured:
    """What one attack did with one batch.

    Attributes:
        found: (B, ...) what it returned in its first timed call.
        cpu: CPU seconds of every timed call, all threads of the process together.
        wall: seconds on the clock of the same calls.
        passes: images that went through the network in one call, divided by B.
        yardstick: CPU seconds of the yardstick, called right after each timed call; empty without one.
    """

    found: Tensor
    cpu: list[float]
    wall: list[float]
    passes: float
    yardstick: list[float]

    @property
    def seconds(self) -> float:
        """CPU seconds per image: the fastest call, since whatever else runs on the machine only adds time."""
        return min(self.cpu) / len(self.found)

    @property
    def time_ratio(self) -> float | None:
        """Time relative to the yardstick on the same images in the same process; None without one."""
        return min(self.cpu) / min(self.yardstick) if self.yardstick else None


def measure(
    attack: Attack,
    counted: Counted,
    case: Case,
    size: int,
    *,
    yardstick: Attack | None = None,
    repeats: int = REPEATS,
    budget: float = BUDGET,
) -> Measured:
    """Time an attack on the first ``size`` images of a case, alternating with a yardstick.

    Args:
        attack: called with images, targets and starting images; seeded anew before each call.
        counted: the model that the attack uses.
        case: the images.
        size: how many of them form the batch.
        yardstick: an attack to compare with; timed on the same batch.
        repeats: most timed calls, at least 1.
        budget: seconds after which no further call is begun.

    Returns:
        A ``Measured``. A first call on at most two images, which may compile or allocate, is not timed.

    Raises:
        ValueError: the attack returned something of another shape than the images.
    """
    batch = (case.images[:size], case.targets[:size], case.starts[:size])
    for each in (attack, yardstick):
        if each is not None:
            _call(each, [part[:2] for part in batch])
    found, cpu, wall, compared = None, [], [], []
    started, passes = time.perf_counter(), 0.0
    for _ in range(repeats):
        before = counted.tally.images
        result, seconds, elapsed = _call(attack, batch)
        if found is None:
            found = result.detach().to("cpu")
            passes = (counted.tally.images - before) / len(batch[0])
            if found.shape != batch[0].shape:
                raise ValueError(f"got images of shape {tuple(found.shape)}; expected {tuple(batch[0].shape)}.")
        cpu.append(seconds)
        wall.append(elapsed)
        if yardstick is not None:
            compared.append(_call(yardstick, batch)[1])
        if time.perf_counter() - started > budget:
            break
    return Measured(found, cpu, wall, passes, compared)


def _call(attack: Attack, batch: Sequence[Tensor]) -> tuple[Tensor, float, float]:
    """The attack's images, its CPU seconds and its seconds on the clock."""
    torch.manual_seed(0)
    batch = [part.clone() for part in batch]
    wall, cpu = time.perf_counter(), time.process_time()
    found = attack(*batch)
    return found, time.process_time() - cpu, time.perf_counter() - wall


@torch.no_grad()
def lead(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Logit of the target minus the largest other one.

    Args:
        model: images -> logits (B, k), of the dtype of the images.
        images: (B, *shape).
        targets: (B,) long.

    Returns:
        (B,), above 0 exactly where the network takes the image for its target.
    """
    logits = model(images)
    wanted = logits.gather(1, targets[:, None])[:, 0]
    return wanted - logits.scatter(1, targets[:, None], -torch.inf).amax(1)


@dataclass(frozen=True)
class Judgement:
    """What an attack's images are worth, found out without its help.

    Attributes:
        success32: (B,) bool, inside the box and strictly classified as the target by the float32 network.
        success64: (B,) bool, the same by the network in float64.
        rms: (B,) float64, the distortion.
    """

    success32: Tensor
    success64: Tensor
    rms: Tensor

    def summary(self, reference: Tensor) -> dict[str, float | None]:
        """The columns of the table.

        Args:
            reference: (B,) float64, the smallest distortion known for each image.

        Returns:
            Both success rates; the mean distortion of the images that succeed in float32; and its ratio to the mean
            of the reference over the same images. The last two are None where nothing succeeded.
        """
        there = self.success32
        mean, best = float(self.rms[there].mean()), float(reference[there].mean())
        return {
            "success_float32": float(there.double().mean()),
            "success_float64": float(self.success64.double().mean()),
            "rms": mean if bool(there.any()) else None,
            "ratio": mean / best if bool(there.any()) and best > 0 else None,
        }


def judge(case: Case, double: nn.Module, found: Tensor) -> Judgement:
    """Check the images of an attack against the target, in both precisions.

    Args:
        case: its first images are those attacked.
        double: the network of the case in float64.
        found: (B, 1, 28, 28), what the attack returned, in the precision it chose; NaN and pixels outside the box
            count as failures.

    Returns:
        A ``Judgement``.
    """
    clean, targets = case.images[: len(found)], case.targets[: len(found)]
    sound = (found.isfinite() & (found >= -OUTSIDE) & (found <= 1 + OUTSIDE)).flatten(1).all(1)
    safe = found.nan_to_num(0.0)
    return Judgement(
        sound & (lead(case.model, safe.float(), targets) > 0),
        sound & (lead(double, safe.double(), targets) > 0),
        (safe.double() - clean.double()).flatten(1).square().mean(1).sqrt(),
    )


def alone() -> dict[str, str]:
    """The environment of a process that is timed: this one's, with one thread, no accelerator and no progress bars."""
    return os.environ | dict.fromkeys(ONE_THREAD, "1") | {"INTRIGUING_DEVICE": "cpu", "TQDM_DISABLE": "1"}


def hardware() -> dict[str, Any]:
    """Names the machine: model of the processor, logical cores, threads used, memory in GiB."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def engine() -> str:
    """Fingerprint of the code that was measured, by which a page can tell whether it is still that code."""
    return fingerprint.of(minimum_distortion)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def reason(text: str, code: int | None) -> str:
    """One line on why a process produced no result.

    Args:
        text: what it wrote to its standard error.
        code: its exit status; negative for a signal, None when it was stopped for taking too long.

    Returns:
        The last line that says something, with folders of this machine cut from file names.
    """
    if code is None:
        return "stopped: it took too long"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if code < 0:
        return f"killed by signal {-code}"
    last = lines[-1] if lines else f"exit status {code}"
    return re.sub(r"(?:/[\w.+@~-]+)+/", "", last)[:200]


@contextlib.contextmanager
def alone_with(folder: Path, number: int, many: int) -> Iterator[bool]:
    """Tells whether no other process makes this part of the units in a folder, and keeps others from it meanwhile.

    Args:
        folder: of the units.
        number: of the part.
        many: how many parts there are.
    """
    import fcntl  # which Windows does not have

    with (folder / f"part-{number}-of-{many}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a result atomically, floats rounded to six significant digits.

    Args:
        path: the file; its folder is made.
        content: JSON values.
    """
    text = json.dumps(rounded(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files.write_atomically(path, text.encode())


def rounded(value: Any) -> Any:
    """The same JSON value with floats rounded to six significant digits, and null for those that are not finite."""
    if isinstance(value, Mapping):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in plain text: the first column to the left, numbers to the right, a dash for None.

    Args:
        columns: the headings.
        rows: one entry per column each; strings are shown as they are, floats with four significant digits.

    Returns:
        Lines joined by newlines.
    """
    shown = [[_shown(entry) for entry in row] for row in [list(columns), *rows]]
    widths = [max(len(row[i]) for row in shown) for i in range(len(columns))]
    lines = [
        "  ".join(
            entry.ljust(width) if i == 0 else entry.rjust(width)
            for i, (entry, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
