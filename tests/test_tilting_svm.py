"""Support vector machines: the optimum against SciPy, the limit of strong regularisation, and what is kept on disk."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from intriguing.chapters.tilting import geometry, svm


def _clouds(rows: int = 40, n: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    second = torch.arange(rows) % 3 == 0
    return torch.randn(rows, n, generator=generator, dtype=torch.float64) + 2.0 * second[:, None], second


@pytest.mark.parametrize("second", [torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)])
def test_one_class_is_not_enough(second: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="both classes"):
        svm.train(torch.eye(3, dtype=torch.float64), second, 1.0)


def test_machine_turns_into_the_nearest_centroid_and_back() -> None:
    points, second = _clouds(rows=60, n=8, seed=4)
    z = geometry.nearest_centroid(points, second).weight
    angles = []
    for level in (1e4, 1.0, 1e-3):
        machine = svm.train(points, second, level)
        angles.append(geometry.tilting_angle(machine.weight, z))
        assert geometry.error(machine, points, second) < 0.2
    assert angles[0] < 0.1 and angles[0] < angles[1] < angles[2]


def test_machine_solves_its_problem() -> None:
    points, second = _clouds(rows=30, n=3, seed=5)
    level = 0.3
    machine = svm.train(points, second, level)
    middle = (points[second].mean(0) + points[~second].mean(0)) / 2
    sign = torch.where(second, 1.0, -1.0).double()
    share = torch.where(second, 1 / second.sum(), 1 / (~second).sum()) / 2

    def objective(parameters: np.ndarray) -> float:
        w, b = torch.from_numpy(parameters[:-1]), float(parameters[-1])
        hinge = (1 - sign * ((points - middle) @ w + b)).clamp(min=0).square()
        return float(level / 2 * (w.square().sum() + b * b) + (share * hinge).sum())

    ours = np.append(machine.weight.numpy(), float(machine.score(middle)))
    best = minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-8})
    assert objective(ours) == pytest.approx(best.fun, rel=1e-5)


@pytest.mark.parametrize("level", [0.0, -1.0, float("nan")])
def test_level_above_zero(level: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        svm.train(*_clouds(), level)


def test_path_is_read_from_disk_the_second_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    points, second = _clouds()
    first = svm.path(points, second, [1.0, 0.1], name="a-b")
    refuse = functools.wraps(svm.train)(lambda *_: pytest.fail("trained twice"))
    monkeypatch.setattr(svm, "train", refuse)
    again = svm.path(points, second, [1.0, 0.1], name="a-b")
    assert len(first) == 2 and first[0].weight.shape == (5,)
    for made, kept in zip(first, again, strict=True):
        assert torch.equal(made.weight, kept.weight) and made.bias == kept.bias
