"""The paper's penalty method on photographs drawn at random, beside the walk: which ostriches are further away?

``python benchmarks/penalty.py`` needs SqueezeNet and ImageNet's photographs in ``$INTRIGUING_DATA``, and about half an
hour for sixteen photographs on one thread. Finished photographs are kept, so that what was interrupted goes on. Writes
results/benchmarks/penalty.json, with the photographs by the names of their files.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from harness import engine, hardware, render, write_json
from torch import Tensor, nn

from intriguing.attack.runs import attack
from intriguing.book import settings
from intriguing.chapters.photographs import recognition
from intriguing.chapters.photographs.ostriches import OSTRICH, draw
from intriguing.chapters.photographs.shortest import STEPS, shortest
from intriguing.data import photographs

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "penalty.json"
COLUMNS = ("file", "penalty", "walk", "ratio", "success", "evaluations")
NEAR = 0.01
"""When the search stops: the target leads by at most a hundredth more than asked, the projected gradient is a hundredth
of what it was. Most of the book's searches ask for a thousandth, which takes three times as long."""


def main(arguments: list[str] | None = None) -> None:
    """Measure both searches on the first photographs of the draw of Figure 5."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16, help="photographs, in the order of the draw")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    started, photos, model = time.monotonic(), photographs.validation(), recognition.squeezenet()
    if photos is None or model is None:
        sys.exit("got no photographs or no SqueezeNet; expected both; set INTRIGUING_DATA to a folder that holds them.")
    rows = draw(len(photos), options.images)
    measured = compared(model, photos.images(rows, photographs.SEEN), [photos.files[row] for row in rows.tolist()])
    meta = settings.provenance(started) | {
        "engine": engine(), "hardware": hardware(), "data": photos.summary(), "network": recognition.SQUEEZENET,
        "steps": STEPS, "margin_tolerance": NEAR, "tolerance": NEAR,
    }  # fmt: skip
    write_json(options.output, {"name": "penalty", "meta": meta, "rows": measured})
    print(render(COLUMNS, [[row[column] for column in COLUMNS] for row in measured]))
    print(f"Written: {os.path.relpath(options.output)}")


def compared(model: nn.Module, images: Tensor, files: list[str]) -> list[dict[str, Any]]:
    """Both distortions of each photograph, all of which shall be taken for an ostrich.

    Args:
        model: the network.
        images: (B, 3, height, width) in [0, 1].
        files: (B,) what they are called.

    Returns:
        A row for each photograph.
    """
    targets = torch.full((len(images),), OSTRICH)
    walked = shortest(model, images, targets)
    rows = []
    for number, file in enumerate(files):
        one = slice(number, number + 1)
        found = attack(model, images[one], targets[one], chunk=1, margin_tolerance=NEAR, tolerance=NEAR)
        penalty, walk = float(found.rms), float(walked.rms[number])
        rows.append(
            {
                "file": file,
                "penalty": penalty,
                "walk": walk,
                "ratio": penalty / walk,
                "success": float(found.success[0] & walked.success[number]),
                "evaluations": float(found.evaluations),
            }
        )
    return rows


if __name__ == "__main__":
    main()
