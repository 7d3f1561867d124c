"""Operator norms on AlexNet's layers: time, error and side of five methods; writes results/benchmarks/norms.json.

The weights are those of ``$INTRIGUING_DATA/imagenet``. fc6 and fc7, which no file holds, are random matrices of their
shapes: they count in the time of the whole network, and fc7 stands for a large matrix in the comparison.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from harness import hardware, render, write_json
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor
from torch.nn import functional as F

from intriguing.book import settings
from intriguing.lipschitz import norms
from intriguing.models.imagenet import ALEXNET, alexnet_weights

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "norms.json"
COLUMNS = ("layer", "method", "kind", "seconds", "value", "error")
POWER, GRAM = 50, 6  # iterations
OWN = "this package"
RANDOM = {"fc6": (4096, 9216), "fc7": (4096, 4096)}
COMPARED = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc8", "fc7")


@dataclass(frozen=True)
class Layer:
    """A layer of AlexNet.

    Attributes:
        name: such as conv1.
        weight: (D, C / groups, height, width) or (outputs, inputs), float64.
    """

    name: str
    weight: Tensor

    @property
    def options(self) -> dict | None:
        """How a convolution is applied; None for a matrix."""
        how = ALEXNET.get(self.name)
        return None if how is None else {"stride": how.stride, "padding": how.padding, "groups": how.groups}

    @property
    def size(self) -> tuple[int, ...]:
        """Shape of one input."""
        if self.options is None:
            return (self.weight.shape[1],)
        side = ALEXNET[self.name].input_size
        return (self.weight.shape[1] * self.options["groups"], side, side)

    def forward(self, x: Tensor) -> Tensor:
        """The layer without its bias, on a batch of one."""
        return F.linear(x, self.weight) if self.options is None else F.conv2d(x, self.weight, **self.options)

    def backward(self, y: Tensor) -> Tensor:
        """The transpose of ``forward``."""
        x = torch.zeros(1, *self.size, dtype=y.dtype, requires_grad=True)
        return torch.autograd.grad(self.forward(x), x, y)[0]

    def symbols(self) -> list[Tensor]:
        """Per group, (frequencies, D, C) matrices whose largest singular value bounds the norm; a matrix is its own."""
        if self.options is None:
            return [self.weight[None]]
        how = ALEXNET[self.name]
        points, _ = norms.frequency_grid(
            self.weight.shape[2:],
            stride=(how.stride,) * 2, padding=(how.padding,) * 2, input_size=(how.input_size,) * 2,
        )  # fmt: skip
        parts = [norms.polyphase(part, how.stride) for part in self.weight.chunk(how.groups)]
        return [torch.fft.rfft2(part, s=points).permute(2, 3, 0, 1).flatten(0, 1) for part in parts]


def ours(layer: Layer) -> float:
    """The package's bound."""
    if layer.options is None:
        return norms.linear_norm(layer.weight)
    return norms.conv_norm(layer.weight, input_size=layer.size[1:], **layer.options)


def all_values(layer: Layer) -> float:
    """Every singular value at every frequency, and the largest of them."""
    return max(float(torch.linalg.svdvals(part)[:, 0].max()) for part in layer.symbols())


def arpack(layer: Layer) -> float:
    """SciPy's Lanczos iteration on the zero-padded layer."""
    with torch.no_grad():
        output = layer.forward(torch.zeros(1, *layer.size, dtype=torch.float64)).shape
    apply = lambda x: layer.forward(torch.from_numpy(x).reshape(1, *layer.size)).detach().numpy().ravel()  # noqa: E731
    transpose = lambda y: layer.backward(torch.from_numpy(y).reshape(output)).numpy().ravel()  # noqa: E731
    shape = (math.prod(output), math.prod(layer.size))
    operator = LinearOperator(shape, matvec=apply, rmatvec=transpose, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(min(shape))
    return float(svds(operator, k=1, v0=start, return_singular_vectors=False)[0])


def power(layer: Layer) -> float:
    """A fixed number of power iterations on the zero-padded layer."""
    x = torch.randn(1, *layer.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(POWER):
        x = layer.backward(layer.forward(x / x.norm()))
    return float(layer.forward(x / x.norm()).norm())


def gram(layer: Layer) -> float:
    """Gram iteration: the Frobenius norm of a high power of the Gram matrix is never below its largest eigenvalue."""
    best = 0.0
    for part in layer.symbols():
        small = part if part.shape[1] <= part.shape[2] else part.mH
        matrix, logarithm = small @ small.mH, torch.zeros(len(small), dtype=torch.float64)
        for _ in range(GRAM - 1):
            size = torch.linalg.matrix_norm(matrix)
            logarithm = 2 * (logarithm + size.log())
            matrix = matrix / size[:, None, None]
            matrix = matrix @ matrix
        logarithm = logarithm + torch.linalg.matrix_norm(matrix).log()
        best = max(best, math.exp(float(logarithm.max()) / 2**GRAM))
    return best


METHODS: dict[str, tuple[str, Callable[[Layer], float]]] = {
    OWN: ("upper", ours),
    "all singular values": ("upper", all_values),
    f"Gram iteration, {GRAM} steps": ("upper", gram),
    "ARPACK": ("lower", arpack),
    f"power iteration, {POWER} steps": ("lower", power),
}
"""Name -> the side on which its values lie, and the method. For a matrix the first two are exact."""


def truth(layer: Layer) -> float:
    """The norm of the zero-padded layer."""
    if layer.options is None:
        return norms.linear_norm(layer.weight)
    return norms.conv_norm(layer.weight, input_size=layer.size[1:], bound="zero-padded", **layer.options)


def timed(method: Callable[[Layer], float], layer: Layer) -> tuple[float, float]:
    """The value and the seconds it took on the clock."""
    started = time.perf_counter()
    value = method(layer)
    return value, time.perf_counter() - started


def compare(layers: dict[str, Layer], names: tuple[str, ...]) -> list[dict]:
    """Every method on every layer of these names.

    Args:
        layers: name -> layer.
        names: which of them.

    Returns:
        Rows with the keys ``COLUMNS``; ``error`` is relative to the norm of the zero-padded layer.
    """
    rows = []
    for name in names:
        layer = layers[name]
        norm = truth(layer)
        for method, (kind, run) in METHODS.items():
            value, seconds = timed(run, layer)
            entry = (name, method, kind, seconds, value, value / norm - 1)
            rows.append(dict(zip(COLUMNS, entry, strict=True)))
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    parser.add_argument("--own", action="store_true", help="time this package anew and keep the rest of the file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    weights = alexnet_weights()
    if weights is None:
        sys.exit("AlexNet's weights are not on this computer: set INTRIGUING_DATA to the folder that holds imagenet.")
    generator = torch.Generator().manual_seed(0)
    for name, shape in RANDOM.items():
        weights[name] = 0.01 * torch.randn(*shape, dtype=torch.float64, generator=generator)
    layers = {name: Layer(name, weight) for name, weight in sorted(weights.items())}
    ours(layers["conv5"])  # the first call loads libraries
    started = time.monotonic()
    whole = {name: timed(ours, layer)[1] for name, layer in layers.items()}
    if options.own:
        rows = json.loads(options.output.read_text(encoding="utf-8"))["rows"]
        for row in rows:
            if row["method"] == OWN:
                row["seconds"] = whole[row["layer"]]
    else:
        rows = compare(layers, COMPARED)
    meta = settings.provenance(started) | {
        "hardware": hardware(),
        "threads": options.threads,
        "data": "AlexNet, 8-bit weights; fc6 and fc7 random",
        "whole_seconds": sum(whole.values()),
        "random_seconds": sum(whole[name] for name in RANDOM),
    }
    write_json(options.output, {"name": "norms", "meta": meta, "rows": rows})
    print(render(COLUMNS, [[row[column] for column in COLUMNS] for row in rows]))
    print(f"All layers: {sum(whole.values()):.1f} s. Written: {os.path.relpath(options.output)}")


if __name__ == "__main__":
    main()
