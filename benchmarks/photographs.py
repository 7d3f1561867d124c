"""Images per second and distortion on networks of photographs: the walk beside DDN, FMN and the projections.

``python benchmarks/photographs.py`` needs no data: seven photographs and the EfficientNets come inside packages, and
SqueezeNet joins where ``$INTRIGUING_DATA`` holds it. Every network is measured in one process, method after method on
the same images and one thread; foolbox is taken where it is installed (``python benchmarks/peers.py`` makes an
environment with it). Writes results/benchmarks/photographs.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from growth import peak_memory
from harness import hardware, render, write_json
from torch import Tensor, nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import rms
from intriguing.book import fingerprint, settings
from intriguing.chapters.photographs import recognition
from intriguing.chapters.photographs.ostriches import OSTRICH
from intriguing.chapters.photographs.shortest import STEPS, walk
from intriguing.data.free import free

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "photographs.json"
YARDSTICK, WALK = "foolbox DDN, 100 steps", f"ours, the walk, {STEPS} steps"
COLUMNS = ("network", "method", "images_per_second", "time_ratio", "success", "rms", "peak_mib")
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def walked(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The walk of the chapter on photographs."""
    found = walk(model, images, targets, away=False, sure=None, steps=STEPS)
    return (images + found["steps"] * found["unit"].view(-1, 1, 1, 1)).clamp(0, 1)


def projected(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """``minimum_distortion`` with ``refine=True``."""
    return minimum_distortion(model, images, targets, refine=True, chunk=len(images)).images


def foolbox(name: str, **options: Any) -> Attack:
    """An attack of foolbox.

    Args:
        name: of its class.
        **options: of it.
    """

    def run(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        import foolbox as package

        wrapped = package.PyTorchModel(model, bounds=(0, 1), device=images.device)
        criterion = package.criteria.TargetedMisclassification(targets)
        _, found, _ = getattr(package.attacks, name)(**options)(wrapped, images, criterion, epsilons=None)
        return found.detach()

    return run


METHODS: dict[str, Attack] = {
    YARDSTICK: foolbox("DDNAttack", steps=100),
    WALK: walked,
    "foolbox FMN, 100 steps": foolbox("L2FMNAttack", steps=100),
    "ours, refine=True": projected,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure every method on every network that is here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2, help="photographs, the first ones")
    parser.add_argument("--networks", nargs="+", help="some of them (default: EfficientNet-Lite0 and SqueezeNet 1.0)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    wanted, started, rows = options.networks or [recognition.LITE0, recognition.SQUEEZENET], time.monotonic(), []
    networks = {name: model for name, model in recognition.networks().items() if name in wanted}
    if not networks:
        sys.exit(f"got the networks {wanted}; expected some of {', '.join(recognition.networks())}; name one of these.")
    images = free().images[: options.images]
    for name, model in networks.items():
        rows += measured(name, model, images, {key: METHODS[key] for key in options.methods})
    meta = settings.provenance(started) | {
        "engine": fingerprint.of(walk), "hardware": hardware(), "data": "photographs inside packages",
        "images": len(images), "yardstick": YARDSTICK,
    }  # fmt: skip
    write_json(options.output, {"name": "photographs", "meta": meta, "rows": rows})
    print(render(COLUMNS, [[row.get(column) for column in COLUMNS] for row in rows]))
    print(f"Written: {os.path.relpath(options.output)}")


def measured(name: str, model: nn.Module, images: Tensor, methods: dict[str, Attack]) -> list[dict[str, Any]]:
    """Time, memory and outcome of each method, every photograph to be taken for an ostrich.

    Args:
        name: of the network.
        model: the network.
        images: (B, 3, height, width) in [0, 1].
        methods: by title.

    Returns:
        A row for each method; one that is not installed says so.
    """
    targets, rows, yardstick = torch.full((len(images),), OSTRICH), [], None
    with torch.no_grad():
        model(images[:1])
    for title, attack in methods.items():
        row: dict[str, Any] = {"network": name, "method": title}
        started = time.process_time()
        try:
            found = attack(model, images, targets)
        except ImportError as problem:
            rows.append(row | {"failed": str(problem)})
            continue
        seconds = time.process_time() - started
        yardstick = seconds if title == YARDSTICK else yardstick
        with torch.no_grad():
            hit = model(found).argmax(1) == targets
        row |= {
            "images_per_second": len(images) / seconds,
            "time_ratio": seconds / yardstick if yardstick else None,
            "success": float(hit.double().mean()),
            "rms": float(rms(images, found)[hit].mean()) if bool(hit.any()) else None,
            "peak_mib": peak_memory(),
        }
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
