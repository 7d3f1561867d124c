"""Learning and overfitting in a tilt: the shared part, the interval over splits, and what is chosen by whom."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from intriguing.book import results
from intriguing.chapters.tilting import geometry, splits
from intriguing.chapters.tilting.geometry import Boundary
from intriguing.chapters.tilting.study import Task

Z = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)


def _line(*weight: float) -> Boundary:
    return Boundary(torch.tensor(weight, dtype=torch.float64), 0.0)


def test_shared_angle_by_hand() -> None:
    # Both lean by t = 1 along one axis, and by 2 along axes of their own: only the first is shared.
    one, other = _line(1, 1, 2, 0), _line(3, 3, 0, 6)
    assert splits.shared_angle(one, other, Z) == pytest.approx(45)
    assert splits.shared_angle(one, one, Z) == pytest.approx(geometry.tilting_angle(one.weight, Z))
    assert splits.shared_angle(_line(1, 1, 0, 0), _line(1, -1, 0, 0), Z) == 0


def test_interval_is_wider_than_that_of_independent_draws() -> None:
    values = torch.tensor([1.0, 2.0, 3.0])
    mean, low, high = splits.interval(values, 0.5)
    assert mean == 2 and (low + high) / 2 == pytest.approx(2)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 2) * (1 / 3 + 1 / 2) ** 0.5)
    plain = stats.t.interval(0.95, 2, 2, 3**-0.5)
    assert splits.interval(values, 0.0)[1:] == pytest.approx(plain)
    with pytest.raises(ValueError, match="got 1 splits"):
        splits.interval(values[:1], 0.5)
    assert [splits.decided(values + shift, 0.5) for shift in (10, -10, -2)] == [True, False, None]


def _made(errors: list[list[float]], angles: list[float]) -> splits.Splits:
    """Two splits of one size and three levels; what chooses and what judges are given the same errors."""
    error = torch.tensor([errors], dtype=torch.float64)
    angle = torch.tensor(angles, dtype=torch.float64).expand(1, 2, 3)
    length = torch.tensor([0.1, 0.06, 0.05], dtype=torch.float64).expand(1, 2, 3)
    measured = dict.fromkeys(("training", "chosen by", "error"), error)
    return splits.Splits(
        (10,),
        [10.0, 1.0, 0.1],
        {"angle": angle, "shared": angle, **measured, "distortion": length},
        (0.5,),
        "made up",
    )


def test_parts_are_told_apart_at_the_chosen_level() -> None:
    found = _made([[0.3, 0.1, 0.2], [0.3, 0.1, 0.2]], [0.0, 50.0, 70.0])
    assert found.chosen(0).tolist() == [1, 1]
    row = found.parts_table.to_frame().loc["10"]
    assert row[["degrees learned", "degrees overfitted"]].tolist() == pytest.approx([50, 20])
    assert row[["error saved by learning", "error added by overfitting"]].tolist() == pytest.approx([0.2, 0.1])
    assert row[["distance lost to learning", "distance lost to overfitting"]].tolist() == pytest.approx([0.4, 0.1])
    assert found.levels_table.to_frame()["above the chosen"].tolist() == pytest.approx([0.2, 0, 0.1])
    claims = found.claims()
    assert claims["Beyond that level, tilting raises the error"] is True
    assert "**50 degrees**" in found.verdict() and "leaves out zero" in found.verdict()


def test_a_thesis_that_is_right_would_be_seen() -> None:
    # The upright machine reads best, and leaning only harms.
    found = _made([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], [0.0, 50.0, 70.0])
    claims = found.claims()
    assert claims["Up to the level that other images choose, tilting lowers the error"] is None
    assert claims["The level chosen leans by more than half of the way to the weakest"] is False
    assert claims["Learning brings the boundary nearer by more than overfitting does"] is False


@pytest.fixture
def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    second = torch.arange(90) % 2 == 1
    points = torch.rand(90, 9, generator=generator, dtype=torch.float64) * 0.6 + 0.2 * second[:, None]
    return Task(("I", "J"), points, second, points, second, 4, torch.Size([1, 3, 3]), "made up", "made up")


def test_machines_are_measured_on_images_that_they_have_not_seen(task: Task, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    seen = []
    train = splits.svm.path

    def spy(points, second, levels, *, name):
        seen.append((name, points))
        return train(points, second, levels, name=name)

    monkeypatch.setattr(splits.svm, "path", spy)
    found = splits.study(task, splits.Plan(images=(10, 30), splits=2, moved=5), [10.0, 0.1])
    assert found.measured["error"].shape == (2, 2, 2) and found.ratio == (1.5, 0.5)
    pairs = [(one, other) for (_, one), (_, other) in zip(seen[::2], seen[1::2], strict=True)]
    for one, other in pairs:
        assert not any(bool((row == other).all(1).any()) for row in one), "two machines of a split share an image"
    assert bool((found.measured["angle"][:, :, 1] > found.measured["angle"][:, :, 0]).all())
    assert bool((found.measured["shared"] <= found.measured["angle"] + 1e-9).all())
    with pytest.raises(ValueError, match="at most a third"):
        splits.study(task, splits.Plan(images=(31,), splits=2, moved=5), [1.0])


def test_no_spread_of_a_table_of_tilting_is_stored() -> None:
    """The page says that its tolerances were chosen, those of the networks too."""
    assert not list(results.location("tilting_splits", "quick").parent.glob("spread_tilting*.json"))


def test_for_the_two_smallest_training_sets_the_cost_of_overfitting_is_not_decided() -> None:
    """So says the page of the stored run, and of the smallest that its gain by learning is not either."""
    parts = results.load("tilting_parts", "paper").to_frame()
    low, high = parts["added by overfitting, low"], parts["added by overfitting, high"]
    assert ((low < 0) & (high > 0)).tolist() == [True, True, False, False]
    assert (parts["saved by learning, low"] < 0).tolist() == [True, False, False, False]


def test_with_the_largest_training_sets_learning_saves_more_than_half_of_the_error() -> None:
    """So says the page, and that the gain of angle from the smallest sets to the largest is not decided."""
    upright = results.load("tilting_splits", "paper").to_frame()["held-out error"].iloc[0]
    assert results.load("tilting_parts", "paper").to_frame()["error saved by learning"].iloc[-1] > upright / 2
    claims = results.load_claims("tilting_claims", "paper")
    assert claims["With the most training images the chosen boundary leans further than with the fewest"] is None
