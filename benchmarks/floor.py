"""How much of the time of D(x, l) is spent in the network itself; writes results/benchmarks/floor.json.

Forward and backward passes are the floor: no method that asks the network as often can be faster. Everything else is
the search. ``python benchmarks/floor.py`` times both in one run, by a clock around every forward pass and one around
every call of autograd. For the search by projections it also times the products with the gradients alone, on tensors of
the same sizes: what would be left of a search whose bookkeeping cost nothing.
"""

from __future__ import annotations

import argparse
import operator
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from harness import engine, hardware, render, write_json
from torch import nn

from intriguing.attack import lbfgsb, polyhedron, refinement
from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import random_targets
from intriguing.book import settings
from intriguing.data import mnist
from intriguing.models.training import trained

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "floor.json"
MODELS = ("FC10(1e-4)", "FC100-100-10")
SHARES = ("forward", "backward", "direction", "projection", "rest")
COLUMNS = ("model", "method", "seconds_per_image", *SHARES, "above_floor", "products_above_floor")
LONGEST = 12
REPEATS = 5  # of which the fastest counts: the first has memory to ask for


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


@dataclass
class Projected:
    """A batch of projections that a search made.

    Attributes:
        shape: (b, q, n) of the gradients.
        dtype: theirs.
        steps: how many rows each Newton step still had.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    steps: list[int] = field(default_factory=list)


def projections(model: nn.Module, images: torch.Tensor, targets: torch.Tensor, **options: Any) -> list[Projected]:
    """Which projections one call of ``minimum_distortion`` makes, in order.

    Args:
        model: in evaluation mode.
        images: (B, *shape) in [0, 1].
        targets: (B,) long.
        **options: passed on to ``minimum_distortion``.
    """
    found: list[Projected] = []
    project, newton = refinement.project_polyhedron, polyhedron._newton_step  # noqa: SLF001 - what is counted

    def projected(x: torch.Tensor, matrix: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        found.append(Projected(tuple(matrix.shape), matrix.dtype))
        return project(x, matrix, *arguments, **named)

    def stepped(problem: Any, point: Any, room: torch.Tensor) -> Any:
        found[-1].steps.append(len(point.y))
        return newton(problem, point, room)

    with (
        mock.patch.object(refinement, "project_polyhedron", projected),
        mock.patch.object(polyhedron, "_newton_step", stepped),
    ):
        minimum_distortion(model, images, targets, **options)
    return found


def products(made: list[Projected]) -> float:
    """Seconds that the products of these projections with their gradients take alone: none of them can be left out.

    The gradients are read for their norms, for their values at the image, for the point that the first multipliers
    give and for the slack there; in each Newton step, without the pixels that are held, for their products with one
    another, and then for the next point and its slack. No row is gathered or written back, no step is judged, no
    system is solved.

    Args:
        made: what ``projections`` returns.

    Returns:
        The least of ``REPEATS`` runs.
    """
    return min(sum(_products(one) for one in made) for _ in range(REPEATS))


def _products(one: Projected) -> float:
    batch, rivals, pixels = one.shape
    a, x, y, free = (
        torch.rand(batch, rows, n, dtype=one.dtype)
        for rows, n in ((rivals, pixels), (1, pixels), (1, rivals), (1, pixels))
    )
    free, room = free.round(), torch.empty_like(a)
    started = time.perf_counter()
    torch.linalg.vector_norm(a, dim=2)
    torch.bmm(x, a.mT)
    torch.bmm(torch.baddbmm(x, y, a).clamp_(0, 1), a.mT)
    for rows in one.steps:
        part = torch.mul(a[:rows], free[:rows], out=room[:rows])
        torch.bmm(part, part.mT)
        torch.bmm(torch.baddbmm(x[:rows], y[:rows], a[:rows]).clamp_(0, 1), a[:rows].mT)
    return time.perf_counter() - started


def operations(model: nn.Module, images: torch.Tensor, targets: torch.Tensor, **options: Any) -> dict[str, float]:
    """The operations of PyTorch in which one call of ``minimum_distortion`` spends most of its time.

    Args:
        model: in evaluation mode.
        images: (B, *shape) in [0, 1].
        targets: (B,) long.
        **options: passed on to ``minimum_distortion``.

    Returns:
        The ``LONGEST`` longest, name -> fraction of the time of all operations, without that of others they call.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        minimum_distortion(model, images, targets, **options)
    spent = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    longest = sorted(spent, key=spent.__getitem__, reverse=True)[:LONGEST]
    return {name: spent[name] / sum(spent.values()) for name in longest}


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
            row = {"model": name, "method": "refine=True" if refine else "penalty method", "images": len(images)}
            runs = [split(model, images, targets, refine=refine) for _ in range(REPEATS)]
            rows.append(row | min(runs, key=operator.itemgetter("seconds_per_image")))
        passes = rows[-1]["seconds_per_image"] / rows[-1]["above_floor"] * len(images)
        made = projections(model, images, targets, refine=True)
        rows[-1]["products_above_floor"] = 1 + products(made) / passes
        rows[-1]["operations"] = operations(model, images, targets, refine=True)
    meta = settings.provenance(started) | {"data": mnist().name, "engine": engine(), "hardware": hardware()}
    write_json(options.output, {"name": "floor", "meta": meta, "rows": rows})
    print(render(COLUMNS, [[row.get(column) for column in COLUMNS] for row in rows]))
    for row in rows:
        for name, share in row.get("operations", {}).items():
            print(f"{row['model']}: {share:.1%} in {name}")
    print(f"Written: {os.path.relpath(options.output)}")


if __name__ == "__main__":
    main()
