"""The tables of the chapter on back-feeding, filled from networks whose errors are known beforehand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from intriguing import backfeeding_study, figures_backfeeding
from intriguing.backfeeding import NETWORK, BackFed
from intriguing.data import Images
from intriguing.models import build

IMAGES = Images(torch.zeros(100, 1, 2, 2), torch.zeros(100, dtype=torch.long), "hundred")


class Fixed(nn.Module):
    """Reads the given images as class 1 and all others as class 0."""

    def __init__(self, wrong: range) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor([[1.0, 0.0]]).repeat(100, 1))
        with torch.no_grad():
            self.table[list(wrong)] = torch.tensor([0.0, 1.0])

    def forward(self, images: Tensor) -> Tensor:
        return self.table[: len(images)]


def run(wrong: range, curve: tuple[float, ...] = (0.5,), training: float = 0.0) -> BackFed:
    held_out = torch.tensor([*curve, len(wrong) / 100], dtype=torch.float64)
    distortion = torch.full((len(held_out), 3), torch.nan, dtype=torch.float64)
    return BackFed(Fixed(wrong), torch.arange(len(held_out)), held_out, training, distortion, 0, 0.0)


RUNS = {
    "plain": [run(range(10), training=0.01), run(range(14), training=0.03)],
    "fed": [run(range(5), (0.02,)), run(range(9), (0.4,))],
}


def test_the_table_holds_mean_spread_and_best() -> None:
    table = backfeeding_study.back_feeding(RUNS, "hundred").to_frame()
    assert table.loc["plain", "test error"] == pytest.approx(0.12)
    assert table.loc["plain", "standard deviation"] == pytest.approx(0.02 * math.sqrt(2))
    assert table.loc["plain", "training error"] == pytest.approx(0.02)
    assert table.loc["fed", "best seed"] == pytest.approx(0.05)
    assert table.loc["fed", "lowest on the way"] == pytest.approx((0.02 + 0.09) / 2)
    assert table["seeds"].tolist() == [2, 2]


def test_a_contrast_has_both_standard_errors() -> None:
    table = backfeeding_study.contrasts(RUNS, IMAGES, [("fed", "plain")]).to_frame().loc["fed against plain"]
    assert table["gain"] == pytest.approx(0.05)
    assert table["over seeds"] == pytest.approx(math.sqrt(0.0008 / 2 + 0.0008 / 2))
    # Image by image the difference is 0, one half or 1: images 5 to 9 differ in two ways, see the ranges above.
    plain = [1.0] * 10 + [0.5] * 4 + [0.0] * 86
    fed = [1.0] * 5 + [0.5] * 4 + [0.0] * 91
    difference = [one - other for one, other in zip(plain, fed, strict=True)]
    mean = sum(difference) / 100
    deviation = math.sqrt(sum((value - mean) ** 2 for value in difference) / 99)
    assert table["over images"] == pytest.approx(deviation / 10)
    assert table["standard error"] == pytest.approx(math.hypot(table["over seeds"], table["over images"]))


def test_the_pooled_spread_is_the_root_of_the_mean_variance() -> None:
    errors = backfeeding_study.errors(RUNS)
    assert errors["fed"].tolist() == [0.05, 0.09]
    assert backfeeding_study.pooled_spread(errors) == pytest.approx(0.02 * math.sqrt(2))
    assert backfeeding_study.pooled_spread({"a": torch.tensor([0.0, 2.0]), "b": torch.zeros(2)}) == pytest.approx(1)


def test_errors_may_move_and_settings_may_not() -> None:
    table = backfeeding_study.back_feeding(RUNS, "hundred")
    allowed = backfeeding_study.tolerances(table, 0.02, 100)
    assert allowed["seeds"] == 0 and allowed["test error"] == pytest.approx(0.08)
    assert backfeeding_study.tolerances(table, 0.0, 100)["test error"] == pytest.approx(0.03)


def test_the_paper_s_numbers_stand_under_names_of_plans() -> None:
    table = backfeeding_study.printed()
    assert set(table.rows) <= set(backfeeding_study.PLANS)
    assert table.rows["all layers"] == [0.012] and table.rows["weight decay"] == [0.016]


def test_distortions_are_those_of_the_images_that_are_read_correctly() -> None:
    """Doubling the last layer moves no boundary; halving what it sees of the hidden units moves none either."""
    model = build(NETWORK, seed=2).eval().requires_grad_(False)
    chance = torch.Generator().manual_seed(0)
    pixels = torch.rand(60, 1, 28, 28, generator=chance)
    labels = model(pixels).argmax(1)
    labels[:20] = (labels[:20] + 1) % 10  # misread, hence left out
    images = Images(pixels, labels, "noise")
    louder = build(NETWORK, seed=2).eval().requires_grad_(False)
    louder[5].weight.mul_(2)
    louder[5].bias.mul_(2)
    story = (torch.arange(1), torch.zeros(1), 0.0, torch.zeros(1, 3), 0, 0.0)
    runs = {"one": [BackFed(model, *story)], "louder": [BackFed(louder, *story)]}
    table, found = backfeeding_study.layer_distortions(runs, images)
    frame = table.to_frame()
    assert (frame > 0).all(axis=None)
    torch.testing.assert_close(
        torch.tensor(frame.loc["louder"].to_numpy()), torch.tensor(frame.loc["one"].to_numpy()), rtol=2e-2, atol=0
    )
    all_right = Images(pixels[20:], labels[20:], "noise")
    again, _ = backfeeding_study.layer_distortions({"one": runs["one"]}, all_right)
    assert again.rows["one"] == pytest.approx(table.rows["one"])
    assert found["images"]["one"].tolist() == [table.rows["one"][0]]


def test_the_plans_compared_differ_in_their_pools_alone() -> None:
    plans = backfeeding_study.PLANS
    assert (
        len({(plan.decay, plan.weight, plan.target, plan.amplification) for plan in plans.values() if plan.pools}) == 1
    )
    assert {plan.pools for plan in plans.values()} >= {(), (0,), (1,), (2,), (1, 2), (0, 1, 2)}


def test_the_pictures_are_drawn() -> None:
    errors = {name: torch.stack([net.held_out for net in nets]) for name, nets in RUNS.items()}
    curves = figures_backfeeding.learning_curves([1, 2], errors, marks={"paper": 0.012})
    assert [axes.get_title(loc="left") for axes in curves.axes[:2]] == ["plain", "fed"]
    values = {name: [net.error for net in nets] for name, nets in RUNS.items()}
    strips = figures_backfeeding.strips(values, xlabel="error", marks={"paper": 0.012}, emphasised=("fed",))
    assert [label.get_text() for label in strips.axes[0].get_yticklabels()] == ["plain", "fed"]
    panels = figures_backfeeding.panels({"images": values, "layer": values}, xlabel="distance")
    assert all(figure.png()[:4] == b"\x89PNG" for figure in (curves, strips, panels))
    for draw in (
        lambda: figures_backfeeding.learning_curves([1], {}, marks={}),
        lambda: figures_backfeeding.learning_curves([1, 2, 3], errors, marks={}),
        lambda: figures_backfeeding.strips({}, xlabel=""),
        lambda: figures_backfeeding.panels({}, xlabel=""),
    ):
        with pytest.raises(ValueError, match="expected"):
            draw()


def test_a_longer_study_has_more_epochs_and_its_own_plans(monkeypatch):
    monkeypatch.setenv("INTRIGUING_PROFILE", "quick")
    asked = []

    def note(plan, budget, train, test, *, seed):
        asked.append((plan, budget.epochs, seed))

    monkeypatch.setattr(backfeeding_study, "back_feed", note)
    digits = SimpleNamespace(train=IMAGES, test=IMAGES)
    short = backfeeding_study.BUDGETS["quick"].epochs
    assert list(backfeeding_study.study(digits)) == list(backfeeding_study.PLANS)
    assert {epochs for _, epochs, _ in asked} == {short}
    asked.clear()
    runs = backfeeding_study.study(digits, backfeeding_study.LONGER, times=2)
    assert list(runs) == list(backfeeding_study.LONGER) and {epochs for _, epochs, _ in asked} == {2 * short}
    assert [seed for plan, _, seed in asked if plan.pools == (0,)] == [0, 1]
