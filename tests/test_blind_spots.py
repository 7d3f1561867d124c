"""The chapter on blind spots: states of pixels and verdicts by hand, tables on small networks."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.attack.distortion import Distortion
from intriguing.book import plots
from intriguing.book.results import Table
from intriguing.chapters import blind_spots
from intriguing.data import Images
from intriguing.models.recipes import TABLE1_MODELS


def solved(images: torch.Tensor, sizes: torch.Tensor, *, success: bool = True) -> Distortion:
    count = len(images)
    every = torch.full((count,), success)
    return Distortion(images, sizes, every, torch.ones(count).double(), torch.ones(count).long())


@pytest.fixture
def few(brief):
    """Both brief networks, three images and a wrong class for each."""
    digits, models = brief
    images = digits.train.take(slice(0, 3))
    return models, images, (images.labels + 1) % 10


def test_errors_are_listed_in_percent():
    text = blind_spots.error_list("It is shown", {"noise": 0.0123, "nothing": 0})
    assert text == "| It is shown | error |\n| --- | --- |\n| noise | 1.2% |\n| nothing | 0.0% |"


def test_the_path_is_drawn_with_its_edge():
    penalties = torch.tensor([0.1, 1.0, 10.0])
    figure = blind_spots.path_curves(penalties, torch.tensor([0.3, 0.2, 0.1]), torch.tensor([2.0, 1.0, -1.0]), 2.0)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert lines["distortion × 100"].get_ydata() == pytest.approx([30, 20, 10])
    assert any(list(line.get_xdata()) == [2.0, 2.0] for line in figure.axes[0].lines)  # the edge


def test_minimisers_along_the_path_say_what_they_reached(monkeypatch):
    seen = {}
    monkeypatch.setattr(plots, "digits", lambda images, titles, columns: seen.update(images=images, titles=titles))
    path = torch.linspace(0, 1, 5).view(5, 1, 1, 1)
    gaps = torch.tensor([1.0, 1.0, 1.0, 0.0, -1.0])
    blind_spots.path_images(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]), path, gaps, count=3)
    assert seen["titles"] == ["c = 0.1\ntarget", "c = 0.3\ntarget", "c = 0.5\nmissed"]
    assert seen["images"].flatten().tolist() == [0.0, 0.5, 1.0]


def test_pixels_are_counted_by_their_state():
    clean = torch.tensor([[[[0.0, 0.0, 0.5, 0.5]]], [[[0.9, 0.9, 0.9, 0.9]]]])
    after = torch.tensor([[[[0.0, 0.1, 0.7, 1.0]]], [[[0.9, 0.9, 0.9, 0.9]]]])
    states = blind_spots.pixel_states(clean, solved(after, torch.tensor([0.3, 0.0]).double()))
    assert states["share of the pixels"].tolist() == [0.25, 0.25, 0.25, 0.25]  # the image that did not move is left out
    total = 0.1**2 + 0.2**2 + 0.5**2
    assert states.iloc[:, 1].to_numpy() == pytest.approx([0, 0.25 / total, 0.01 / total, 0.04 / total], rel=1e-5)
    assert "| held at white | 25.0% | 83.3% |" in blind_spots.state_list(states)


def test_norms_are_compared_network_by_network(few):
    models, images, targets = few
    rows = blind_spots.penalty_norms(models, images, targets).to_frame()
    assert list(rows.index) == list(models)
    assert rows.at["FC10(1e-2)", "c |r|"] == pytest.approx(rows.at["FC10(1e-2)", "c |r|²"], rel=0.01)


def test_refinement_goes_down(few):
    models, images, targets = few
    rows = blind_spots.refined(models, images, targets).to_frame()
    assert rows.at["FC10(1e-2)", "ratio"] > 1.01  # the cross-entropy of a decayed linear network wastes distortion
    assert rows["ratio"].to_numpy() == pytest.approx((rows["penalty method"] / rows["refined"]).to_numpy())


def test_the_batched_search_agrees_with_the_loop(few):
    models, images, targets = few
    agreement = blind_spots.scipy_agreement({"FC10(1e-2)": models["FC10(1e-2)"]}, images.take(slice(0, 2)), targets[:2])
    assert agreement.rows["FC10(1e-2)"][2:] == [pytest.approx(1, abs=0.01), 1]
    assert blind_spots.scipy_verdict(agreement) == (
        "Every network agrees with SciPy to 1 % in mean distortion: True.\nEvery image reaches its target: True."
    )


@pytest.mark.parametrize(("ratio", "success", "says"), [(0.98, 1.0, [False, True]), (1.0, 0.99, [True, False])])
def test_disagreement_with_scipy_is_said(ratio, success, says):
    agreement = Table("scipy_agreement", ["batched", "SciPy", "ratio", "success"], {"a": [1, 1, ratio, success]})
    lines = blind_spots.scipy_verdict(agreement).splitlines()
    assert [line.endswith("True.") for line in lines] == says


def test_the_optimum_of_a_linear_network_is_certified(few):
    models, images, targets = few
    exact = blind_spots.exact_linear({"FC10(1e-2)": models["FC10(1e-2)"]}, images, targets)
    row = exact.to_frame().loc["FC10(1e-2)"]
    assert row["penalty method"] > row["optimum"]
    assert row["refined / optimum"] == pytest.approx(1, abs=1e-3)
    assert blind_spots.exact_verdict(exact).count("True.") == 2


@pytest.mark.parametrize(("least", "gap", "says"), [(0.999, 1e-6, [False, True]), (1.0, 2e-4, [True, False])])
def test_a_doubtful_optimum_is_said(least, gap, says):
    exact = Table("exact_linear", ["smallest ratio", "duality gap"], {"a": [1.0, 1e-9], "b": [least, gap]})
    lines = blind_spots.exact_verdict(exact).splitlines()
    assert [line.endswith("True.") for line in lines] == says


def test_noise_is_told_from_noise_that_is_cut_back():
    # Cutting back leaves black images brighter on average, by 0.4; this network says 1 where the mean exceeds 0.2.
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 2)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([torch.zeros(784), torch.full((784,), 1 / 784)]))
        model[1].bias.copy_(torch.tensor([0.2, 0.0]))
    images = Images(torch.zeros(5, 1, 28, 28), torch.zeros(5).long(), "black")
    accuracy = blind_spots.noise_accuracy({"mean": model}, images)
    assert accuracy.loc["mean"].to_dict() == {"free": 1.0, "clipped": 0.0}


def test_accuracy_is_listed_above_the_paper_s():
    text = blind_spots.accuracy_list(pd.DataFrame({"free": {"a": 0.307}, "clipped": {"a": 0.5}}))
    assert text.splitlines()[2:] == ["| a | 31% | 50% |", "| the paper, Figure 7 (c) | 51% | |"]


def test_figure_7_names_the_size_of_the_whole_set(monkeypatch):
    panels = {}
    monkeypatch.setattr(plots, "pairs", panels.update)
    images = Images(torch.zeros(4, 1, 2, 2), torch.zeros(4).long(), "black")
    blind_spots.figure7(images, {"FC": solved(images.images, torch.tensor([0.1, 0.1, 0.1, 0.5]).double())}, count=2)
    assert list(panels) == ["FC, stddev 0.200", "Gaussian noise, stddev 1"]
    assert [len(part) for pair in panels.values() for part in pair] == [2, 2, 2, 2]
    assert panels["Gaussian noise, stddev 1"][1].abs().mean() > 0.1


def test_each_claim_fails_where_its_number_does():
    images = torch.zeros(2, 1, 1, 1)
    sizes = torch.ones(2).double()
    linear = {"FC10(1e-4)": [1.002, 1.0], "FC10(1e-2)": [1.01, 1.0], "FC10(1)": [1.2, 1.0]}

    def failing(success=True, random=0.01, found=1.0, plain=1.001, exact=None, ratio=1.01, accuracy=0.4):
        fooled = {"a random step of the same size": random, "the step found by optimisation": found}
        norms = Table("penalty_norms", ["c |r|²", "c |r|"], {name: [1.0, plain] for name in TABLE1_MODELS})
        columns = ["penalty method / optimum", "refined / optimum"]
        claims = blind_spots.claims(
            fooled,
            {"a": solved(images, sizes), "b": solved(images, sizes, success=success)},
            norms,
            Table("exact_linear", columns, linear | (exact or {})),
            Table("refined", ["ratio"], {"a": [1.1], "b": [ratio]}),
            pd.DataFrame({"free": {"a": 0.1}, "clipped": {"a": accuracy}}),
        )
        assert all(type(holds) is bool for holds in claims.values())
        return [number for number, holds in enumerate(claims.values()) if not holds]

    # Claim 4, that the penalty method is exact, is the paper's and fails on every real run.
    assert failing() == [4]
    assert failing(success=False) == [0, 4]
    assert failing(random=0.05) == [1, 4]
    assert failing(found=0.99) == [2, 4]
    assert failing(plain=0.98) == [3, 4]
    assert failing(exact=dict.fromkeys(linear, [1.0, 1.0])) == [5]
    assert failing(exact={"FC10(1e-2)": [1.01, 1.002]}) == [4, 6]
    assert failing(ratio=1.0) == [4, 7]
    assert failing(accuracy=0.33) == [4, 8]
