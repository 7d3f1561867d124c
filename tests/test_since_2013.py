"""The chapter on what came after: attacks by hand, a training that is short, claims on made-up numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.book.results import Table
from intriguing.chapters.since_2013 import attacks, study
from intriguing.data import Images
from intriguing.models.training import error_rate


def linear() -> nn.Sequential:
    """Two pixels, two classes; the gap between them is 2 x - y."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[2.0, -1.0], [0.0, 0.0]]))
    return model


@pytest.fixture
def points() -> Images:
    pixels = torch.tensor([[0.5, 0.5], [0.95, 0.02], [0.3, 0.9]]).view(3, 1, 1, 2)
    return Images(pixels, torch.tensor([0, 0, 1]), "points")


def test_one_sign_goes_against_the_true_class_and_stays_in_the_box(points):
    moved = attacks.gradient_sign(linear(), points.images, points.labels, 0.1).flatten(1)
    assert moved.flatten().tolist() == pytest.approx([0.4, 0.6, 0.85, 0.12, 0.4, 0.8])


def test_many_signs_reach_the_corner_of_the_ball_that_one_sign_reaches(points):
    one = attacks.gradient_sign(linear(), points.images, points.labels, 0.1)
    many = attacks.projected_ascent(linear(), points.images, points.labels, 0.1)
    assert torch.allclose(one, many, atol=1e-6)  # a linear gap is largest in a corner, wherever one starts
    few = attacks.projected_ascent(linear(), points.images, points.labels, 0.1, steps=1, seed=3)
    assert (few - points.images).abs().max() <= 0.1 + 1e-6 and few.min() >= 0 and few.max() <= 1


@pytest.mark.parametrize("attack", [attacks.gradient_sign, attacks.projected_ascent])
def test_dropout_and_labels_that_do_not_fit_are_refused(points, attack):
    with pytest.raises(ValueError, match=r"labels of shape \(3, 1\)"):
        attack(linear(), points.images, points.labels[:, None], 0.1)
    dropping = nn.Sequential(linear(), nn.Dropout()).eval()
    dropping[1].train()
    with pytest.raises(ValueError, match="'1' .*training mode"):
        attack(dropping, points.images, points.labels, 0.1)


def test_random_signs_move_every_pixel_by_the_size():
    images = torch.full((50, 1, 4, 4), 0.5)
    moved = attacks.random_signs(images, 0.1)
    assert (moved - 0.5).abs().flatten().numpy() == pytest.approx(0.1)
    assert 0.3 < (moved > 0.5).double().mean() < 0.7
    assert attacks.random_signs(images.zero_(), 0.1).unique().tolist() == pytest.approx([0.0, 0.1])


def test_errors_are_those_of_each_network_on_its_own_examples(points):
    row = study.errors({"a": linear()}, points).to_frame().loc["a"]
    assert row["as they are"] == 0 and list(row.index) == list(study.ATTACKS)
    far = study.curves({"a": linear()}, points)["a"]
    assert len(far) == len(study.SIZES) and far[0] == 0 and far == sorted(far)
    # The gaps are 0.5, 1.88 and -0.3; a pixel each way changes them by 0.3 at a size of 0.1.
    assert far[study.SIZES.index(0.15)] == pytest.approx(1 / 3)
    assert far[study.SIZES.index(0.2)] == pytest.approx(2 / 3)


def test_no_name_lies_over_a_curve():
    errors = {name: [step / 10] * len(study.SIZES) for step, name in enumerate("abcdefghij")}  # the panel is full
    figure = study.budget(errors)
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    assert axes.get_legend() is None and [text.get_text() for text in legend.get_texts()] == list(errors)
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_training_against_the_attack_helps_under_it(brief, monkeypatch):
    digits, _ = brief
    monkeypatch.setattr(study, "EPOCHS", 6)
    train = digits.train
    plain, against = (study.trained_by_adam(train, against=which) for which in (False, True))
    assert error_rate(plain, train.images, train.labels) < 0.5
    under = [
        error_rate(model, attacks.projected_ascent(model, train.images, train.labels, study.SIZE), train.labels)
        for model in (plain, against)
    ]
    assert under[1] < under[0]
    assert not any(parameter.requires_grad for parameter in against.parameters())


def test_transfer_is_counted_above_the_clean_error(points):
    mirrored = linear()
    with torch.no_grad():
        mirrored[1].weight.mul_(-1)
    raised = study.transfer({"same": linear(), "mirrored": mirrored}, linear(), points)
    assert raised["mirrored"] <= 0 and raised["same"] >= 0
    assert study.transfer_line({"a": 0.123}).endswith("raises the error of others: a 12.3 points.")
    assert "a distortion of 0.100 on average" in study.sizes_line(linear(), points)


def test_each_claim_fails_where_its_number_does():
    old = ("one", "two")

    def failing(raised=0.1, far=0.09, success=1.0, undecided=0, **rows):
        numbers = {name: [0.1, 0.12, 0.8, 0.9] for name in (*old, study.PLAIN)}
        numbers |= {study.AGAINST: [0.12, 0.12, 0.3, 0.35]} | rows
        lengths = {study.PLAIN: [0.06, 1.0], study.AGAINST: [far, success]}
        claims = study.claims(
            Table("t", list(study.ATTACKS), numbers, {"images": 3000}),
            Table("l", ["mean distortion", "success"], lengths),
            {study.PLAIN: 0.5, study.AGAINST: raised},
            old,
        )
        assert all(holds is None or type(holds) is bool for holds in claims.values())
        assert [holds for holds in claims.values() if holds is None] == [None] * undecided
        return [number for number, holds in enumerate(claims.values()) if not holds]

    assert failing() == []
    assert failing(one=[0.1, 0.12, 0.45, 0.9]) == [0]
    assert failing(two=[0.1, 0.16, 0.8, 0.9]) == [1]
    assert failing(two=[0.1, 0.12, 0.8, 0.7]) == [2]
    assert failing(**{study.AGAINST: [0.12, 0.12, 0.3, 0.5]}) == [3]
    assert failing(**{study.AGAINST: [0.08, 0.12, 0.3, 0.35]}) == [4]
    assert failing(undecided=1, **{study.AGAINST: [0.11, 0.12, 0.3, 0.35]}) == [4]
    assert failing(far=0.065) == [5]
    assert failing(success=0.99) == [6]
    assert failing(raised=0.6) == [7]


def test_what_the_page_says_of_counts_and_tolerances():
    assert study.IMAGES == {"quick": 60, "paper": 2000}
    assert study.TOLERANCE == {"error": 0.06, "mean distortion": 0.02}
