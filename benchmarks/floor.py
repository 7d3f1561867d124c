"""How much of the time of D(x, l) is spent in the network itself; writes results/benchmarks/floor.json.

Forward and backward passes are the floor: no method that asks the network as often can be faster. Everything else is
the search. ``python benchmarks/floor.py`` times both in one run, by a clock around every forward pass and one around
every call of autograd.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from harness import engine, hardware, render, write_json
from torch import nn

from intriguing.attack import lbfgsb, refinement
from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import settings
from intriguing.data import mnist
from intriguing.models.training import trained

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "floor.json"
MODELS = ("FC10(1e-4)", "FC100-100-10")
SHARES = ("forward", "backward", "direction", "projection", "rest")
COLUMNS = ("model", "method", "seconds_per_image", *SHARES, "above_floor")


class Clock:
    """Seconds spent under each name; time inside a nested span counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[float] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Count the time of a ``with`` block under a name."""
        started = time.perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[name] += elapsed - self._open.pop()
            if self._open:
                self._open[-1] += elapsed

    def around(self, name: str, function: Callable) -> Callable:
        """The function, its time counted under a name."""

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.span(name):
                return function(*arguments, **options)

        return timed

    def __deepcopy__(self, memo: dict) -> Clock:
        return self


class Timed(nn.Module):
    """A model whose forward passes are counted by a clock."""

    def __init__(self, model: nn.Module, clock: Clock) -> None:
        super().__init__()
        self.model, self.clock = model, clock

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with self.clock.span("forward"):
            return self.model(images)


def split(
    model: nn.Module, images: torch.Tensor, targets: torch.Tensor, *, clock: Clock | None = None, **options: Any
) -> dict[str, float]:
    """Where the time of one call of ``minimum_distortion`` goes.

    Args:
        model: in evaluation mode.
        images: (B, *shape) in [0, 1].
        targets: (B,) long.
        clock: a fresh one; None takes one that knows only the processor's time.
        **options: passed on to ``minimum_distortion``.

    Returns:
        Seconds per image, the fractions of them spent in forward and backward passes, in L-BFGS directions, in
        projections and in the rest, and ``above_floor``: the whole over the forward and backward passes.
    """
    clock = clock or Clock()
    timed = Timed(model, clock).eval()
    with (
        mock.patch("torch.autograd.grad", clock.around("backward", torch.autograd.grad)),
        mock.patch.object(refinement, "project_polyhedron", clock.around("projection", refinement.project_polyhedron)),
        mock.patch.object(lbfgsb, "_direction", clock.around("direction", lbfgsb._direction)),  # noqa: SLF001 - the clock
        clock.span("rest"),
    ):
        minimum_distortion(timed, images, targets, **options)
    whole = sum(clock.seconds.values())
    fractions = {name: clock.seconds[name] / whole for name in SHARES}
    return {
        "seconds_per_image": whole / len(images),
        **fractions,
        "above_floor": 1 / (fractions["forward"] + fractions["backward"]),
    }


def main(arguments: list[str] | None = None) -> None:
    """Split the time of both methods on some networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="images of the training set")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="networks of Table 1")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    started, rows = time.monotonic(), []
    train = mnist().train
    images, targets = train.images[: options.images], random_targets(train.labels[: options.images])
    for name in options.models:
        model = trained(name, train).model.cpu()
        for refine in (False, True):
            minimum_distortion(model, images[:2], targets[:2], refine=refine)
            row = {"model": name, "method": "refine=True" if refine else "penalty method", "images": len(images)}
            rows.append(row | split(model, images, targets, refine=refine))
    meta = settings.provenance(started) | {"data": mnist().name, "engine": engine(), "hardware": hardware()}
    write_json(options.output, {"name": "floor", "meta": meta, "rows": rows})
    print(render(COLUMNS, [[row[column] for column in COLUMNS] for row in rows]))
    print(f"Written: {os.path.relpath(options.output)}")


if __name__ == "__main__":
    main()
