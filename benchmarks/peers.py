"""How good is the minimum, and what does it cost? Ours beside every other implementation, on the same images.

``python benchmarks/peers.py`` prints the table and writes results/benchmarks/peers.json. Each method runs in a
process of its own, on one thread; packages of others live in an environment of their own (.venv-peers), made on the
first run on top of the one that runs this file. What cannot be installed, imported or finished says so in its row.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from attacks import LARGE, METHODS, SMALL, YARDSTICK
from harness import Case, Counted, alone, engine, hardware, judge, measure, reason, render, write_json
from references import best_known, exact, is_linear, starting_images
from safetensors.torch import load_file, save_file

from intriguing.attack.perturbations import random_targets
from intriguing.book import settings
from intriguing.data import mnist
from intriguing.models.recipes import build
from intriguing.models.training import trained

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = ("FC10(1e-4)", "FC100-100-10")
RESULT = ROOT / "results" / "benchmarks" / "peers.json"
ENVIRONMENT = ROOT / ".venv-peers"
REQUIREMENTS = HERE / "requirements-peers.txt"
COLUMNS = {
    "method": "method",
    "batch": "batch",
    "success_float32": "success",
    "success_float64": "in float64",
    "rms": "mean RMS",
    "ratio": "ratio",
    "seconds": "s/image",
    "time_ratio": "time/DDN-100",
    "passes": "passes",
}


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison, or, with --worker, one method of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="the batch that every method gets")
    parser.add_argument("--large", type=int, default=2000, help="the batch for ours and DDN")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), help="some of the methods")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="networks of Table 1")
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a method is stopped")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    parser.add_argument("--no-install", action="store_true", help="use the environments as they are")
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.worker:
        work(options.worker, options.folder)
        return
    started = time.monotonic()
    interpreter, troubles = environment(install=not options.no_install)
    with tempfile.TemporaryDirectory() as folder:
        content = compare(options, Path(folder), interpreter)
    content["meta"] = settings.provenance(started) | content["meta"]
    if troubles:
        content["meta"]["not_installed"] = troubles
    write_json(options.output, content)
    print(table(content))
    print(f"Written: {os.path.relpath(options.output)}")


def environment(*, install: bool = True) -> tuple[Path, list[str]]:
    """The interpreter that has the other packages, made where it is missing.

    Args:
        install: False takes what is there.

    Returns:
        The interpreter, the one that runs this if there is no other, and the requirements that pip could not install,
        or why there is no other interpreter.
    """
    interpreter = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not install:
        return (interpreter if interpreter.exists() else Path(sys.executable)), []
    base = sysconfig.get_path("purelib")
    stamp = ENVIRONMENT / ".ready"
    current = hashlib.sha256(f"{base} {sys.version}".encode() + REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text().strip() == current:
        return interpreter, []
    print(f"Making {ENVIRONMENT.name} with the packages of others", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], capture_output=True, text=True)
    if made.returncode:
        return Path(sys.executable), [f"{ENVIRONMENT.name}: {reason(made.stderr or made.stdout, made.returncode)}"]
    (ENVIRONMENT / ".gitignore").write_text("*\n")
    # The book's packages stay visible behind the new ones, so that torch is there without a second download.
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([interpreter, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    Path(site, "book.pth").write_text(f"import site; site.addsitedir({base!r})\n")
    pins = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pins = [pin for pin in pins if pin]
    troubles = []
    if subprocess.run([*pip, *pins], capture_output=True).returncode:
        # One by one: a package that the index has lost costs its own rows only.
        troubles = [pin for pin in pins if subprocess.run([*pip, pin], capture_output=True).returncode]
    if troubles:
        print("Not installed: " + ", ".join(troubles), flush=True)
    else:
        stamp.write_text(current + "\n")
    return interpreter, troubles


def make_case(name: str, count: int) -> Case:
    """A trained network with the images of the comparison: the test set, then, if it is too short, the training set.

    Args:
        name: of the network.
        count: images at most.

    Returns:
        The case; its targets are the same for every network.
    """
    digits = mnist()
    model = trained(name, digits.train).model.cpu()
    images = torch.cat([digits.test.images, digits.train.images])
    targets = random_targets(torch.cat([digits.test.labels, digits.train.labels]))
    images, targets = images[:count], targets[:count]
    return Case(name, model, images, targets, starting_images(model, images, targets, digits.train.images))


def compare(options: argparse.Namespace, folder: Path, interpreter: Path) -> dict[str, Any]:
    """Time every method in its own process, judge what they found, and put the rows together."""
    sizes = {SMALL: options.images, LARGE: options.large}
    cases = [make_case(name, max(sizes.values())) for name in options.models]
    for i, case in enumerate(cases):
        case.save(folder / f"case-{i}.safetensors")
    (folder / "plan.json").write_text(json.dumps({"sizes": sizes, "cases": len(cases)}))
    failures = {}
    for key in options.only:
        print(f"  {METHODS[key].title}", flush=True)
        failures[key] = run_worker(key, folder, interpreter, options.limit)
    rows, references = [], []
    for i, case in enumerate(cases):
        more, reference = judge_case(case, i, folder, options.only, sizes, failures)
        rows += more
        references.append(reference)
    meta = {
        "data": mnist().name,
        "engine": engine(),
        "hardware": hardware(),
        "yardstick": METHODS[YARDSTICK].title,
        **sizes,
    }
    return {"name": "peers", "meta": meta, "references": references, "rows": rows}


def run_worker(key: str, folder: Path, interpreter: Path, limit: float) -> str:
    """Run one method in a process of its own.

    Args:
        key: of the method.
        folder: with the cases; the worker writes there.
        interpreter: of its environment.
        limit: seconds after which it is stopped.

    Returns:
        Why it ended before its end, in one line; empty where all went well.
    """
    command = [interpreter, HERE / "peers.py", "--worker", key, "--folder", folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=folder, env=alone())
    except subprocess.TimeoutExpired:
        return reason("", None)
    return reason(done.stderr, done.returncode) if done.returncode else ""


def work(key: str, folder: Path) -> None:
    """Time one method on every case and batch; each measurement is written as soon as it is made."""
    method, plan = METHODS[key], json.loads((folder / "plan.json").read_text())
    for i in range(plan["cases"]):
        case = Case.load(folder / f"case-{i}.safetensors", build)
        counted = Counted(case.model).eval()
        attack, yardstick = method.build(counted), None
        try:
            version = metadata.version(method.package)
        except metadata.PackageNotFoundError:
            version = None
        if key != YARDSTICK:
            try:
                yardstick = METHODS[YARDSTICK].build(copy.deepcopy(case.model))
            except ImportError:
                yardstick = None
        for batch in method.batches:
            size = min(plan["sizes"][batch], method.most or len(case.images), len(case.images))
            measured = measure(attack, counted, case, size, yardstick=yardstick)
            save_file({"found": measured.found.contiguous()}, folder / f"{key}-{i}-{batch}.safetensors")
            row = {
                "version": version,
                "batch": size,
                "seconds": measured.seconds,
                "wall_seconds": min(measured.wall) / size,
                "time_ratio": 1.0 if key == YARDSTICK else measured.time_ratio,
                "passes": measured.passes,
                "cpu_of_each_call": measured.cpu,
            }
            write_json(folder / f"{key}-{i}-{batch}.json", row)


def judge_case(
    case: Case, i: int, folder: Path, keys: list[str], sizes: Mapping[str, int], failures: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of one network, and what they are measured against.

    Where the minimum is not known exactly, an attack that found a shorter perturbation than the refinement did, one
    that also holds in float64, lowers the reference of its image; how often that happened is recorded.
    """
    double = copy.deepcopy(case.model).double()
    places = [(key, batch) for key in keys for batch in METHODS[key].batches]
    judged, measured = {}, {}
    for key, batch in places:
        path = folder / f"{key}-{i}-{batch}.json"
        if path.exists():
            measured[key, batch] = json.loads(path.read_text())
            judged[key, batch] = judge(case, double, load_file(path.with_suffix(".safetensors"))["found"])
    if is_linear(case.model):
        reference, gap = exact(case)
        told = {"kind": "exact optimum by convex programme", "largest_relative_duality_gap": gap}
    else:
        reference = best_known(case)
        refined = reference.clone()
        for verdict in judged.values():
            shorter = torch.where(verdict.success64, verdict.rms, torch.nan)
            reference[: len(shorter)] = reference[: len(shorter)].fmin(shorter)
        lower = ~(refined <= reference * (1 + 1e-4))
        told = {
            "kind": "best known, by refinement from four starts",
            "images_where_an_attack_is_shorter": int(lower.sum()),
        }
    small = sizes[SMALL]
    told |= {"model": case.name, "mean": float(reference[:small].mean()), "mean_large": float(reference.mean())}
    rows = []
    for key, batch in places:
        method = METHODS[key]
        row = {"model": case.name, "key": key, "method": method.title, "package": method.package}
        if (key, batch) in measured:
            verdict = judged[key, batch]
            row |= measured[key, batch] | verdict.summary(reference[: len(verdict.rms)]) | {"note": method.note}
        else:
            row |= {"batch": min(sizes[batch], method.most or sizes[batch]), "failed": failures[key] or "no result"}
        rows.append(row)
    return rows, told


def table(content: Mapping[str, Any]) -> str:
    """The rows in plain text, one block per network, with the reason under the method that has no result."""
    blocks = []
    for reference in content["references"]:
        rows = [row for row in content["rows"] if row["model"] == reference["model"]]
        shown = render(list(COLUMNS.values()), [[row.get(key) for key in COLUMNS] for row in rows])
        failed = sorted({f"{row['method']}: {row['failed']}" for row in rows if "failed" in row})
        title = f"{reference['model']}: {reference['kind']}, mean {reference['mean']:.6f}"
        blocks.append("\n".join([title, shown, *failed]))
    return "\n\n".join(blocks)


if __name__ == "__main__":
    main()
