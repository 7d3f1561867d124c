"""How time and memory of D(x, l) grow with the number of images; writes results/benchmarks/growth.json.

``python benchmarks/growth.py`` measures every size in a process of its own, because the peak of memory that the system
reports is that of a process. With ``INTRIGUING_PROFILE=paper`` there are 60,000 training images, else 4,000.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from harness import alone, engine, hardware, render, write_json

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import settings
from intriguing.data import mnist
from intriguing.models.training import trained

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "growth.json"
REPEAT = 10.0  # seconds for which one size is measured at least
SIZES = (1000, 4000, 16000, 60000)
MODELS = ("FC10(1e-4)", "FC100-100-10")


def main(arguments: list[str] | None = None) -> None:
    """Measure every size, or, with --worker, one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of images")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="networks of Table 1")
    parser.add_argument("--penalty", action="store_true", help="the penalty method instead of refine=True")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    parser.add_argument("--worker", nargs=2, metavar=("MODEL", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.worker:
        name, size = options.worker
        print(json.dumps(one(name, int(size), refine=not options.penalty)))
        return
    started, rows = time.monotonic(), []
    available = len(mnist().train)
    for name in options.models:
        trained(name, mnist().train)  # so that no measured process trains
        for size in usable(options.sizes, available):
            command = [sys.executable, __file__, "--worker", name, str(size)] + ["--penalty"] * options.penalty
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=alone())
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"  {name}, {size} images: {rows[-1]['seconds']:.1f} s", flush=True)
    rows = with_growth(rows)
    meta = settings.provenance(started) | {
        "data": mnist().name,
        "engine": engine(),
        "hardware": hardware(),
        "method": "penalty method" if options.penalty else "refine=True",
    }
    write_json(options.output, {"name": "growth", "meta": meta, "rows": rows})
    columns = ("model", "images", "seconds", "seconds_per_image", "growth", "before_mib", "peak_mib")
    print(render(columns, [[row[column] for column in columns] for row in rows]))
    print(f"Written: {os.path.relpath(options.output)}")


def usable(sizes: list[int], available: int) -> list[int]:
    """The sizes that the data allow, increasing; a larger one becomes all there is.

    Args:
        sizes: numbers of images asked for.
        available: how many there are.

    Returns:
        Increasing numbers without repetition, none above ``available``.
    """
    return sorted({min(size, available) for size in sizes})


def with_growth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds to each row its time per image relative to the smallest size of the same model; 1 is linear growth.

    Args:
        rows: with ``model``, ``images`` and ``seconds``.

    Returns:
        New rows with ``seconds_per_image`` and ``growth``.
    """
    first: dict[str, float] = {}
    grown = []
    for row in sorted(rows, key=lambda row: row["images"]):
        each = row["seconds"] / row["images"]
        grown.append(row | {"seconds_per_image": each, "growth": each / first.setdefault(row["model"], each)})
    return sorted(grown, key=lambda row: row["model"])


def one(name: str, size: int, *, refine: bool) -> dict[str, Any]:
    """Median CPU seconds of a call and memory in MiB: when it begins, with data and weights loaded, and at its peak."""
    train = mnist().train
    model = trained(name, train).model.cpu()
    images, targets = train.images[:size], random_targets(train.labels[:size])
    minimum_distortion(model, images[:2], targets[:2], refine=refine)
    before, cpu, wall = peak_memory(), [], []
    while sum(wall) < REPEAT:  # small sizes are over before the processor has settled
        started = time.process_time(), time.perf_counter()
        found = minimum_distortion(model, images, targets, refine=refine)
        cpu.append(time.process_time() - started[0])
        wall.append(time.perf_counter() - started[1])
    return {
        "model": name,
        "images": size,
        "seconds": statistics.median(cpu),
        "wall_seconds": statistics.median(wall),
        "before_mib": before,
        "peak_mib": peak_memory(),
        "success": float(found.success.double().mean()),
        "rms": float(found.rms[found.success].mean()),
    }


def peak_memory() -> float:
    """Largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, kilobytes elsewhere


if __name__ == "__main__":
    main()
