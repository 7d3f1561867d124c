"""The benchmark of norms on small layers: every method on its side of the truth, and the truth from dense matrices."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import norms

from intriguing.models.imagenet import Convolution


@pytest.fixture(params=["conv", "groups", "matrix"])
def layer(request, monkeypatch) -> norms.Layer:
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv": (4, 2, 3, 3), "groups": (4, 2, 3, 3), "matrix": (5, 9)}
    small = {"conv": Convolution(2, 0, 1, 9), "groups": Convolution(1, 1, 2, 6)}
    monkeypatch.setattr(norms, "ALEXNET", small)
    return norms.Layer(request.param, torch.randn(*shapes[request.param], dtype=torch.float64, generator=generator))


def dense(layer: norms.Layer) -> float:
    """The largest singular value of the layer written out as a matrix."""
    unit = torch.eye(torch.Size(layer.size).numel(), dtype=torch.float64)
    columns = [layer.forward(row.view(1, *layer.size)).flatten() for row in unit]
    return float(torch.linalg.matrix_norm(torch.stack(columns), ord=2))


def test_every_method_lies_on_its_side(layer):
    norm = dense(layer)
    assert norms.truth(layer) == pytest.approx(norm, rel=1e-5)
    for name, (kind, run) in norms.METHODS.items():
        error = run(layer) / norm - 1
        if kind == "upper":
            assert -1e-9 <= error < 0.35, name
        else:
            assert -0.05 < error <= 1e-9, name


def test_an_image_and_an_output_have_one_product(layer):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, *layer.size, dtype=torch.float64, generator=generator)
    out = layer.forward(x)
    y = torch.randn(out.shape, dtype=torch.float64, generator=generator)
    assert float((out * y).sum()) == pytest.approx(float((x * layer.backward(y)).sum()))


def test_rows_say_what_was_measured(layer):
    rows = norms.compare({layer.name: layer}, (layer.name,))
    assert [row["method"] for row in rows] == list(norms.METHODS)
    assert all(tuple(row) == norms.COLUMNS and row["seconds"] > 0 for row in rows)
    assert rows[0]["error"] == pytest.approx(rows[0]["value"] / dense(layer) - 1, abs=1e-5)


def test_without_weights_nothing_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(norms, "alexnet_weights", lambda: None)
    with pytest.raises(SystemExit, match="set INTRIGUING_DATA"):
        norms.main(["--output", str(tmp_path / "norms.json"), "--threads", "1"])
    assert not list(tmp_path.iterdir())


def test_the_file_is_written_and_its_own_rows_are_timed_anew(monkeypatch, tmp_path):
    small = {f"conv{k}": Convolution(1, 0, 2, 3) for k in range(1, 6)}
    weights = {name: torch.full((2, 1, 1, 1), 3.0, dtype=torch.float64) for name in small}
    monkeypatch.setattr(norms, "ALEXNET", small)
    monkeypatch.setattr(norms, "RANDOM", {"fc6": (3, 4), "fc7": (3, 3)})
    monkeypatch.setattr(norms, "alexnet_weights", lambda: weights | {"fc8": torch.eye(2, dtype=torch.float64)})
    path, threads = tmp_path / "norms.json", str(torch.get_num_threads())
    norms.main(["--output", str(path), "--threads", threads])
    first = json.loads(path.read_text())
    assert len(first["rows"]) == len(norms.COMPARED) * len(norms.METHODS)
    assert {row["value"] for row in first["rows"] if row["layer"] == "conv3"} == {3.0}
    ticks = iter(range(100))
    monkeypatch.setattr(norms.time, "perf_counter", lambda: next(ticks))
    norms.main(["--output", str(path), "--threads", threads, "--own"])
    again = json.loads(path.read_text())
    for old, new in zip(first["rows"], again["rows"], strict=True):
        own = new["method"] == norms.OWN
        assert new == old | ({"seconds": 1} if own else {})
    assert again["meta"]["whole_seconds"] == 8
