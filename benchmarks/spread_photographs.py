"""Measure how far rounding alone moves the seven ostriches of the chapter on photographs, in the quick profile.

A walk of few steps ends where it last held its goal, so that the last bits of an image decide between ends that lie
far apart. The photographs are therefore moved by a last bit or two at random, several times, and walked from again in
other arithmetics. results/quick/spread_free_ostriches.json holds the standard deviation of the logarithm of each
distortion, and of their median; the tolerances of the page rest on it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

import numpy as np
import torch

from intriguing.attack.perturbations import rms
from intriguing.book import results, settings
from intriguing.book.results import Table
from intriguing.chapters.photographs import everywhere, recognition, study
from intriguing.chapters.photographs.ostriches import OSTRICH
from intriguing.chapters.photographs.shortest import moved, walk
from intriguing.data.free import free

STARTS = 8
OTHERS = (
    {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"OMP_NUM_THREADS": "2"},
)


def distortions(start: int) -> list[float]:
    """The distortion of each photograph as an ostrich, from pixels that are off by rounding; exact ones at start 0."""
    settings.seed_everything()
    images, model = free().images, next(iter(recognition.embedded().values()))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(start))
    images = (images * (1 + min(start, 1) * 2 * torch.finfo(images.dtype).eps * noise)).clamp(0, 1)
    aims = torch.full((len(images),), OSTRICH)
    found = walk(model, images, aims, away=False, sure=None, steps=study.sizes().steps)
    return rms(images, moved(images, found)).tolist()


def store(distances: list[list[float]]) -> None:
    """Stores by how much the distortion of each photograph differs from run to run, and their median.

    Args:
        distances: one list a run, one number a photograph.
    """
    found = np.log(distances)
    found = np.column_stack([found, np.median(found, axis=1)])
    print(np.exp(found).round(6))
    names = [*free().names, study.MEDIAN]
    rows = {name: [value] for name, value in zip(names, found.std(axis=0, ddof=1).tolist(), strict=True)}
    meta = {
        "data": everywhere.SEVEN,
        "quantity": "standard deviation of the logarithm of a distortion over roundings, some in other arithmetics",
        "runs": len(found),
    }
    print(results.record(Table(f"spread_{study.FREE}", [study.SPREAD], rows, meta)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="only print the distortions of exact pixels, as JSON")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(distortions(0)))
        return
    here = [distortions(start) for start in range(STARTS)]
    command = [sys.executable, __file__, "--measure"]
    there = [
        json.loads(subprocess.run(command, env=os.environ | other, check=True, stdout=subprocess.PIPE).stdout)
        for other in OTHERS
    ]
    store([*here, *there])


if __name__ == "__main__":
    main()
