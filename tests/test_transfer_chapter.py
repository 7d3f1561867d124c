"""The chapter on transfer: what is said about the tables, on tables that are made up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intriguing.attack.distortion import Distortion, distortion_to_all
from intriguing.book import paper
from intriguing.book.results import Table
from intriguing.chapters import transfer

NOISE = ("Gaussian noise 0.1", "Gaussian noise 0.3")


def table(rows: dict, columns=(*paper.MODELS, "distortion")) -> Table:
    return Table("made_up", list(columns), rows)


def as_printed(change=lambda values: values) -> Table:
    """Table 2 as the paper prints it, with its errors changed."""
    return table({name: [*change(np.array(row[:-1])), row[-1]] for name, row in paper.TABLE2.rows.items()})


def test_effort_by_hand():
    found = Distortion(
        images=torch.zeros(4, 1, 1, 1),
        rms=torch.tensor([0.1, 0.1, 0.2, 0.2]).double(),
        success=torch.tensor([True, True, True, False]),
        penalty=torch.ones(4).double(),
        evaluations=torch.tensor([10, 20, 30, 41]),
    )
    assert transfer.effort({"a": found}).splitlines()[-1] == "| a | 4 | 75.00% | 0.1500 | 25 |"


def test_others_leave_out_the_network_itself_and_the_noise():
    off = transfer.others(as_printed().to_frame())
    assert off.shape == (6, 6) and np.isnan(np.diag(off)).all() and off.isna().sum(axis=None) == 6
    assert off.at["FC10(1e-4)", "FC10(1e-2)"] == 0.117


def test_agreement_with_the_paper_itself_and_with_a_shifted_table():
    same, shifted = transfer.agreement(as_printed()), transfer.agreement(as_printed(lambda values: values - 0.02))
    mean = transfer.others(paper.TABLE2.to_frame()).stack().mean()
    assert f"Over the 30 pairs of different networks the mean error is **{mean:.1%}** here" in same
    assert "**1.00**, and the median absolute difference is **0.0 points**" in same
    assert f"**{mean - 0.02:.1%}** here and **{mean:.1%}** in the paper" in shifted
    assert "**1.00**, and the median absolute difference is **2.0 points**" in shifted


def test_rows_of_noise_in_three_versions():
    clipped = table({name: [0.5] * 7 for name in NOISE})
    rows = transfer.noise_rows(as_printed(lambda values: values / 2), clipped)
    assert list(rows.index) == [(version, name) for version in ("not clipped", "clipped", "paper") for name in NOISE]
    printed = paper.TABLE2.value(NOISE[0], "AE400-10")
    assert rows["AE400-10"].tolist()[::2] == pytest.approx([printed / 2, 0.5, printed])


def test_the_target_decides_distortion_and_transfer(brief):
    digits, models = brief
    images = digits.train.take(slice(0, 4))
    choice = transfer.target_choice(models, images, (images.labels + 1) % 10).to_frame()
    every = distortion_to_all(models["FC100-100-10"], images.images, images.labels).rms
    row = choice.loc["FC100-100-10"]
    assert row["nearest"] == pytest.approx(float(every.min(1).values.mean()))
    assert row["mean of nine"] == pytest.approx(float(every.mean()))
    # Wrong classes stand in rising order, so y + 1 stands at place y, and 0, the next of 9, at place 0.
    place = images.labels % 9
    assert row["random"] == pytest.approx(float(every.gather(1, place[:, None]).mean()))
    assert choice.iloc[:, 3:].stack().between(0, 1).all()


def a_choice(**factors: float) -> Table:
    """Distortions that are the paper's times one factor for each reading."""
    readings = {"random": 1.0, "nearest": 0.6, "mean_of_nine": 1.1} | factors
    sizes = paper.TABLE1.to_frame()["distortion"]
    return table(
        {name: [size * factor for factor in readings.values()] for name, size in sizes.items()},
        ["random", "nearest", "mean of nine"],
    )


def test_misfit_is_the_mean_relative_difference():
    assert transfer.misfit(a_choice()) == pytest.approx({"random": 0, "nearest": 0.4, "mean of nine": 0.1})
    assert transfer.misfit_line(a_choice()) == (
        "Mean relative distance to the printed distortions: random 0%, nearest 40%, mean of nine 10%."
    )
    assert transfer.choice_beside_paper(a_choice()).at["FC10(1)", "paper"] == 0.14


def test_each_claim_fails_where_its_number_does():
    names = list(paper.MODELS)
    distortions = dict(zip(names, (0.06, 0.08, 0.14, 0.05, 0.05, 0.07), strict=True))
    # Rows err by 0.2, that of FC10(1) by 0.4, and AE400-10 misreads half as much as the others.
    errors = np.full((6, 6), 0.2)
    errors[2] = 0.4
    errors[:, 5] /= 2
    np.fill_diagonal(errors, 1)

    def failing(changes=(), sizes=None, noise=0.05, gaussian=0.001, choice=None):
        changed = errors.copy()
        for place, value in changes:
            changed[place] = value
        size = distortions | (sizes or {})
        rows = {name: [*line, size[name]] for name, line in zip(names, changed, strict=True)}
        rows |= {NOISE[0]: [gaussian] * 6 + [0.1], NOISE[1]: [0.2] * 6 + [0.3]}
        claims = transfer.claims(
            table({name: [size[name]] for name in names}, ["distortion"]),
            table(rows),
            table({name: [noise] * 6 for name in names}, names),
            choice or a_choice(),
        )
        assert all(type(holds) is bool for holds in claims.values())
        return [number for number, holds in enumerate(claims.values()) if not holds]

    assert failing() == []
    assert failing([((3, 3), 0.999)]) == [0]
    assert failing(noise=0.25) == [1, 2, 8]
    assert failing([((0, 1), 0.04)]) == [2]
    assert failing(sizes={"FC10(1e-2)": 0.05}) == [3]
    assert failing(sizes={"AE400-10": 0.11}) == [4]
    assert failing(gaussian=0.01) == [5]
    assert failing([((row, 0), 0.06) for row in (1, 2, 3, 4, 5)]) == [6]
    assert failing([((0, column), 0.9) for column in (1, 2, 3, 4)]) == [7]
    assert failing([((4, 3), 0.05)]) == [2, 8]
    assert failing(choice=a_choice(random=0.5)) == [9]
