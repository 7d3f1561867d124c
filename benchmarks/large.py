"""D(x, l) on colour photographs and a thousand classes: SqueezeNet 1.0; writes results/benchmarks/large.json.

Needs ``$INTRIGUING_DATA/imagenet`` with validation images and the network's weights. Every method runs in a process of
its own, because the peak of memory that the system reports is that of a process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from growth import peak_memory
from harness import alone, engine, hardware, render, write_json
from PIL import Image
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

from intriguing import data
from intriguing.attack.distortion import minimum_distortion
from intriguing.book import settings
from intriguing.models.imagenet import squeezenet

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "large.json"
OSTRICH = 9
MEAN = (123, 117, 104)  # of red, green and blue in the network's training, in units of 1/255
COLUMNS = (
    "method",
    "images",
    "chunk",
    "seconds_per_image",
    "mib_per_image",
    "peak_mib",
    "success",
    "rms",
    "evaluations",
)


class Centred(nn.Module):
    """SqueezeNet on images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = squeezenet()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) / 255)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images - self.mean)


def main(arguments: list[str] | None = None) -> None:
    """Measure both methods, or, with --worker, one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2, help="validation images, the first ones")
    parser.add_argument("--chunk", type=int, default=2, help="images that are solved at a time")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    parser.add_argument("--worker", choices=("penalty method", "refine=True"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    folder = data.data_folder()
    if folder is None or not (folder / "imagenet" / "val").is_dir():
        sys.exit("No folder imagenet/val with validation images: set INTRIGUING_DATA to the folder that holds it.")
    if options.worker:
        print(json.dumps(one(folder / "imagenet", options.images, options.chunk, options.worker)))
        return
    started, rows = time.monotonic(), []
    for method in ("penalty method", "refine=True"):
        command = [sys.executable, __file__, "--worker", method, "--images", str(options.images)]
        command += ["--chunk", str(options.chunk)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=alone())
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    meta = settings.provenance(started) | {"engine": engine(), "hardware": hardware(), "data": "ImageNet validation"}
    write_json(options.output, {"name": "large", "meta": meta, "rows": rows})
    print(render(COLUMNS, [[row[column] for column in COLUMNS] for row in rows]))
    print(f"Written: {os.path.relpath(options.output)}")


def one(folder: Path, count: int, chunk: int, method: str) -> dict[str, Any]:
    """Time, memory and outcome of one call, every image to be taken for an ostrich."""
    model = Centred().eval()
    files = sorted((folder / "val").glob("*.jpeg"))[:count]
    images = torch.stack([pil_to_tensor(Image.open(file).convert("RGB")) for file in files]).float() / 255
    targets = torch.full((len(images),), OSTRICH)
    with torch.no_grad():
        model(images[:1])
    before, started, wall = peak_memory(), time.process_time(), time.perf_counter()
    found = minimum_distortion(model, images, targets, refine=method == "refine=True", chunk=chunk)
    return {
        "method": method,
        "images": len(images),
        "chunk": chunk,
        "shape": list(images.shape[1:]),
        "classes": int(model(images[:1]).shape[1]),
        "seconds_per_image": (time.process_time() - started) / len(images),
        "wall_seconds": time.perf_counter() - wall,
        "peak_mib": peak_memory(),
        "mib_per_image": (peak_memory() - before) / chunk,
        "success": float(found.success.double().mean()),
        "rms": float(found.rms[found.success].mean()),
        "evaluations": float(found.evaluations.double().mean()),
    }


if __name__ == "__main__":
    main()
