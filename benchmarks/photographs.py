"""Cost and distortion on networks of photographs and on a convolutional network of digits: the walk beside its peers.

``python benchmarks/photographs.py`` needs SqueezeNet and ImageNet's photographs for two of its rows only: seven
photographs and the EfficientNets come inside packages, MNIST is found or fetched. The walk is measured as the chapter
on photographs takes it, and once more with steps that go on from where it ended. All methods run in one process and on
one thread, photograph by photograph one after the other, so that whatever else the machine does meets all of them;
packages of others are taken where they are installed (``python benchmarks/peers.py`` makes an environment with them).
Writes results/benchmarks/photographs.json after each network.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from attacks import METHODS, YARDSTICK
from growth import peak_memory
from harness import Case, Counted, hardware, judge, render, write_json
from references import starting_images
from torch import nn

from intriguing.attack.perturbations import random_targets
from intriguing.book import fingerprint, settings
from intriguing.chapters.photographs import recognition
from intriguing.chapters.photographs.ostriches import OSTRICH
from intriguing.chapters.photographs.shortest import onward, walk
from intriguing.data import mnist, photographs
from intriguing.data.free import free
from intriguing.models.training import trained

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "photographs.json"
CONVNET = "ConvNet"
FEW = (YARDSTICK, "walk", "walk-onward", "refined", "fmn", "alma-100", "pdgd-100", "brendel-bethge-50")
"""What is tried on photographs, where each pass is dear."""

UNREFINED = (recognition.LITE1, recognition.LITE2)
"""Networks so deep that a refined search of four photographs takes most of an hour."""

MANY = (*FEW, "penalty", "ddn-1000", "alma-1000", "pdgd-500", "brendel-bethge-200")
COLUMNS = ("model", "method", "images_per_second", "time_ratio", "success_float32", "success_float64", "rms", "ratio",
           "passes", "peak_mib")  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure every method on every network that is here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4, help="photographs, the first ones")
    parser.add_argument("--digits", type=int, default=100, help="digits for the convolutional network")
    parser.add_argument("--networks", nargs="+", help="some of them (default: all that are here)")
    parser.add_argument("--methods", nargs="+", choices=MANY, default=list(MANY))
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    models = recognition.networks() | {recognition.LITE2: recognition.efficientnet(recognition.LITE2)}
    known = [CONVNET, *models]
    if unknown := sorted(set(options.networks or known) - set(known)):
        sys.exit(f"got the network {unknown[0]!r}; expected some of {', '.join(known)}; name one of these.")
    started, chosen = time.monotonic(), options.networks or known
    rows, references = measured_before(options.output, chosen)
    for name in chosen:
        digits = name == CONVNET
        case = of_digits(options.digits) if digits else of_photographs(name, models[name], options.images)
        keys = [key for key in (MANY if digits else FEW) if key in options.methods]
        keys = [key for key in keys if key != "refined" or name not in UNREFINED]
        more, reference = measured(case, keys, each=len(case.images) if digits else 1)
        reference |= {"created": settings.provenance(started)["created"], "load": os.getloadavg()[1]}
        rows, references = in_order(rows + more, known), in_order([*references, reference], known)
        meta = settings.provenance(started) | {
            "engine": fingerprint.of(walk, onward), "hardware": hardware(),
            "yardstick": METHODS[YARDSTICK].title, "data": "photographs inside packages", "images": options.images,
            "digits": f"{mnist().name}, {options.digits} test images",
        }  # fmt: skip
        write_json(options.output, {"name": "photographs", "meta": meta, "references": references, "rows": rows})
        print(render(COLUMNS, [[row.get(column) for column in COLUMNS] for row in more]), flush=True)
    print(f"Written: {os.path.relpath(options.output)}")


def measured_before(file: Path, chosen: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and references of the networks that are not measured again, where the code of the walk is the same.

    Args:
        file: what an earlier run has written, if there was one.
        chosen: names of the networks that are measured now.
    """
    stored = json.loads(file.read_text()) if file.is_file() else {"meta": {}}
    if stored["meta"].get("engine") != fingerprint.of(walk, onward):
        return [], []
    rows, references = ([one for one in stored[key] if one["model"] not in chosen] for key in ("rows", "references"))
    return rows, references


def in_order(parts: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows or references by network, however many runs they come from; within a network they stay as they are.

    Args:
        parts: rows or references.
        names: of the networks; others come last.
    """
    places = {name: place for place, name in enumerate(names)}
    return sorted(parts, key=lambda part: places.get(part["model"], len(places)))


def of_photographs(name: str, model: nn.Module, count: int) -> Case:
    """Photographs that shall become ostriches, with ImageNet's photographs of ostriches to start from.

    Args:
        name: of the network.
        model: the network.
        count: how many photographs.

    Returns:
        The case; a photograph itself stands for its start where there is no ostrich that the network recognises.
    """
    images, pool = free().images[:count], photographs.validation()
    targets, starts = torch.full((len(images),), OSTRICH), images
    if pool is not None:
        birds = pool.images((pool.labels == OSTRICH).nonzero()[:, 0], photographs.SEEN)
        starts = starting_images(model, images, targets, birds)
    return Case(name, model, images, targets, starts)


def of_digits(count: int) -> Case:
    """The convolutional network of the book with test images, as the other benchmarks have it.

    Args:
        count: how many images.
    """
    digits = mnist()
    model = trained(CONVNET, digits.train).model.cpu()
    images, targets = digits.test.images[:count], random_targets(digits.test.labels)[:count]
    return Case(CONVNET, model, images, targets, starting_images(model, images, targets, digits.train.images))


def measured(case: Case, keys: Sequence[str], *, each: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Time, memory and outcome of each method on one network.

    Args:
        case: the network and the images.
        keys: of ``METHODS``, the yardstick first.
        each: images at a time; all methods get the first of them before any gets the next.

    Returns:
        A row for each method, one that is not installed says so; and the network with what its rows are held against,
        for each image the shortest perturbation that any method found and that holds in double precision.
    """
    counted = Counted(case.model).eval()
    failures: dict[str, str] = {}
    spent = {key: {"cpu": 0.0, "wall": 0.0, "passes": 0.0, "peak": 0.0} for key in keys}
    found: dict[str, list[torch.Tensor]] = {key: [] for key in keys}
    for start in range(0, len(case.images), each):
        part = [field[start : start + each] for field in (case.images, case.targets, case.starts)]
        for key in keys:
            if key in failures:
                continue
            try:
                attack = METHODS[key].build(counted)
                _warm(key)
                known = forget_peak()
                before, wall, cpu = counted.tally.images, time.perf_counter(), time.process_time()
                found[key].append(attack(*(field.clone() for field in part)).detach())
                spent[key]["cpu"] += time.process_time() - cpu
                spent[key]["wall"] += time.perf_counter() - wall
                spent[key]["passes"] += counted.tally.images - before
                spent[key]["peak"] = max(spent[key]["peak"], peak(known))
            except Exception as problem:  # whatever it is costs this method's row only
                failures[key] = f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:200]
    return _rows(case, keys, found, spent, failures)


def _rows(
    case: Case,
    keys: Sequence[str],
    found: dict[str, list[torch.Tensor]],
    spent: dict[str, dict[str, float]],
    failures: dict[str, str],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    double = copy.deepcopy(case.model).double()
    verdicts = {key: judge(case, double, torch.cat(found[key])) for key in keys if key not in failures}
    best = torch.full((len(case.images),), torch.inf, dtype=torch.float64)
    for verdict in verdicts.values():
        best = torch.where(verdict.success64, best.minimum(verdict.rms), best)
    rows, count = [], len(case.images)
    for key in keys:
        method = METHODS[key]
        row: dict[str, Any] = {"model": case.name, "key": key, "method": method.title, "package": method.package}
        if key in failures:
            rows.append(row | {"failed": failures[key]})
            continue
        with contextlib.suppress(metadata.PackageNotFoundError):
            row["version"] = metadata.version(method.package)
        cost, yardstick = spent[key], spent.get(YARDSTICK, {}).get("cpu")
        row |= {
            "batch": count,
            "seconds": cost["cpu"] / count,
            "wall_seconds": cost["wall"] / count,
            "images_per_second": count / cost["cpu"],
            "time_ratio": cost["cpu"] / yardstick if yardstick else None,
            "passes": cost["passes"] / count,
            "peak_mib": cost["peak"],
        }
        rows.append(row | verdicts[key].summary(best) | {"note": method.note})
    finite = best[best.isfinite()]
    kind = "shortest that any method found"
    return rows, {"model": case.name, "kind": kind, "mean": float(finite.mean()) if len(finite) else None}


def _warm(key: str) -> None:
    """Calls a method on a network of two classes, so that what is compiled on the first call is not timed."""
    if key in _warmed or not METHODS[key].title.startswith("foolbox Brendel"):
        return
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).eval().requires_grad_(False)
    with torch.no_grad():
        model[1].weight[1] = 1 + model[1].weight[0]
        model[1].bias[1] = model[1].bias[0] - 24
    images = torch.full((1, 3, 4, 4), 0.25)
    METHODS[key].build(model)(images, torch.ones(1, dtype=torch.long), 1 - images)
    _warmed.add(key)


_warmed: set[str] = set()


def forget_peak() -> bool:
    """Makes the system forget how much memory this process has held so far.

    Returns:
        Whether it did; where it cannot, :func:`peak` tells the largest memory since the process began.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # gives back what earlier methods held, as far as it is free
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError, TypeError):
        return False
    return True


def peak(known: bool) -> float:
    """The largest resident memory, in MiB.

    Args:
        known: as from :func:`forget_peak`.
    """
    if known:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10
    return peak_memory()


if __name__ == "__main__":
    main()
