"""The chapter on blind spots: states of pixels and verdicts by hand, tables on small networks."""

from __future__ import annotations

import copy
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

from intriguing.attack.distortion import Distortion, minimum_distortion
from intriguing.attack.perturbations import rms
from intriguing.book import plots, results
from intriguing.book.results import Table
from intriguing.chapters import blind_spots
from intriguing.data import Images
from intriguing.models.recipes import TABLE1_MODELS, weight_layers


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


def test_paths_are_followed_at_sixteen_values_from_a_thirtieth_to_ten_times_as_much():
    assert len(blind_spots.AROUND) == 16
    assert (1 / blind_spots.AROUND[0]).item() == pytest.approx(30, rel=0.1)
    assert blind_spots.AROUND[-1].item() == pytest.approx(10)


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
    assert blind_spots.held_line(states) == (
        "So **50%** of the pixels are held at a bound and 50% are free; pixels that were black and are no longer carry "
        "3% of the perturbation."
    )


def test_crossings_are_counted_along_each_path(monkeypatch):
    leads = {0: [2.0, 1.0, -1.0], 1: [2.0, -1.0, 1.0], 2: [1.0, 1.5, -1.0]}
    monkeypatch.setattr(
        blind_spots, "penalty_path", lambda model, image, target, c: (None, torch.tensor(leads[target]).double())
    )
    images = torch.zeros(4, 1, 1, 1)
    found = replace(solved(images, torch.ones(4)), penalty=torch.tensor([1.0, 1.0, 1.0, torch.inf]).double())
    paths = blind_spots.crossings(None, images, torch.tensor([0, 1, 2, 0]), found)
    assert paths.counts.tolist() == [1, 2, 1] and paths.falling.tolist() == [True, False, False]
    assert str(paths) == (
        "Along 3 paths the lead changes its sign exactly once on 2, and falls from each c to the next on 1."
    )


def linear(*rows: list[float]) -> nn.Sequential:
    """A network of two pixels whose logits are these linear functions."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, len(rows), bias=False)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor(rows))
    return model


def test_gap_over_slope_by_hand():
    model = linear([3.0, 4.0], [0.0, 0.0], [0.0, 0.5])
    images = torch.tensor([[[[0.5, 0.5]]], [[[0.5, 0.5]]]])
    gap, slope = blind_spots.linear_prediction(model, images, torch.tensor([1, 0]))
    assert gap.tolist() == pytest.approx([3.5, 0.0]) and slope.tolist() == pytest.approx([5.0, (9 + 3.5**2) ** 0.5])


def test_the_prediction_is_exact_where_nothing_bends_and_nothing_is_in_the_way():
    model = linear([1.0, -0.8], [0.0, 0.0])
    pixels = torch.tensor([[0.5, 0.5], [0.45, 0.5], [0.5, 0.55], [0.55, 0.5], [1.0, 0.0]])
    images = Images(pixels.view(5, 1, 1, 2), torch.zeros(5).long(), "t")
    straight = blind_spots.straight({"a": model}, images, torch.ones(5).long())
    predicted, found = straight.points["a"]
    near = predicted < 0.1  # further away the box is in the way
    assert near.sum() == 4 and (found[near] / predicted[near] - 1).abs().max() < 0.01
    row = straight.table.to_frame().loc["a"]
    assert row["gap"] / row["slope"] == pytest.approx(row["predicted"] * 2**0.5)
    assert row["found / predicted"] >= 0.999
    figure = blind_spots.straight_picture(straight, ("a",), count=2)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines][0] == 2


def test_a_plane_shows_where_the_class_changes():
    model = linear([0.0, 0.0], [1.0, 0.0])
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))  # class 1 where the first pixel is larger
    image, right, up = (torch.tensor([[pair]]) for pair in ([0.4, 0.6], [0.5, 0.5], [0.5, 0.7]))
    shown = blind_spots.plane(model, image, {"D": right, "other": up}, side=41)
    assert shown.points["x"] == (0.0, 0.0)
    assert shown.points["D"] == pytest.approx((0.1, 0.0)) and shown.points["other"] == pytest.approx((0.0, 0.1))
    ticks = torch.linspace(-shown.extent, shown.extent, 41)
    clear = (ticks - 0.1).abs() > 1e-3
    assert torch.equal(shown.classes[:, clear], (ticks[clear] > 0.1).long().expand(41, -1))
    figure = blind_spots.regions({"one": shown})
    assert {text.get_text() for text in figure.axes[0].texts} == {"0", "1", "x", "D", "other"}


def test_two_planes_avoid_the_class_and_the_target(few):
    models, images, targets = few
    model = models["FC100-100-10"]
    found = minimum_distortion(model, images.images, targets)
    planes = blind_spots.two_planes(model, images.take(slice(0, 1)), targets[:1], found)
    ends = [label for shown in planes.values() for label in shown.points]
    assert f"toward {int(images.labels[0])}" not in ends and ends.count(f"toward {int(targets[0])}") == 2
    assert "random" in ends and len(ends) == 6


def test_images_are_shifted_by_one_pixel():
    images = torch.arange(9.0).view(1, 1, 3, 3)
    moved = blind_spots.shifted(images)
    assert moved["left"][0, 0].tolist() == [[1, 2, 0], [4, 5, 0], [7, 8, 0]]
    assert moved["down"][0, 0].tolist() == [[0, 0, 0], [0, 1, 2], [3, 4, 5]]
    assert moved["right"][0, 0, 0].tolist() == [0, 0, 1] and moved["up"][0, 0, 2].tolist() == [0, 0, 0]


def test_a_shift_is_set_beside_the_step_found(few):
    models, images, _ = few
    found = solved(1 - images.images, torch.tensor([0.1, 0.2, 0.3]).double())
    frame = blind_spots.deformations(models["FC100-100-10"], images, found).to_frame()
    assert frame["mean distortion"].tolist()[::2] == pytest.approx([0.0, 0.2])
    lengths = [float(rms(images.images, one).mean()) for one in blind_spots.shifted(images.images).values()]
    assert frame["mean distortion"].iloc[1] == pytest.approx(sum(lengths) / 4)


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


def test_the_waste_is_a_matter_of_how_far_apart_the_logits_lie(brief):
    """What two pages and an answer say: all logits times a number move no boundary, but do move the penalty method."""
    digits, models = brief
    images = digits.train.take(slice(0, 12))
    targets = (images.labels + 1) % 10
    for model in models.values():
        excess, weight = [], []
        for factor in (0.05, 1.0, 10.0):
            scaled = copy.deepcopy(model)
            layer = weight_layers(scaled)[-1]
            layer.weight *= factor
            layer.bias *= factor
            pair = [minimum_distortion(scaled, images.images, targets, refine=refine) for refine in (False, True)]
            excess.append(float(pair[0].rms.mean() / pair[1].rms.mean()) - 1)
            rivals = scaled(pair[0].images).scatter(1, targets[:, None], -torch.inf).softmax(1)
            weight.append(float(rivals.amax(1).mean()))
        assert excess[0] > 3 * excess[1] and excess[2] < excess[1] / 2
        assert weight[0] < 0.3 and weight[0] < weight[1] < weight[2] and weight[2] > 0.6


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
    assert accuracy.name == "noise_accuracy" and accuracy.meta == {"data": "black", "images": 5}
    assert accuracy.to_frame().loc["mean"].to_dict() == {"free": 1.0, "clipped": 0.0}


def test_an_accuracy_may_move_by_standard_errors_of_the_images_counted():
    accuracy = Table("noise_accuracy", ["free", "clipped"], {"a": [0.5, 1.0]}, {"images": 100})
    assert blind_spots.noise_tolerances(accuracy).loc["a"].tolist() == pytest.approx([6 * 0.05, 6 * 0.01])


def test_accuracy_is_listed_above_the_paper_s():
    text = blind_spots.accuracy_list(Table("noise_accuracy", ["free", "clipped"], {"a": [0.307, 0.5]}))
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
    ratios = {"FC10(1e-4)": [1.002, 1.0], "FC10(1e-2)": [1.01, 1.0], "FC10(1)": [1.2, 1.0]}

    def failing(success=True, random=0.01, found=1.0, plain=1.001, exact=None, ratio=1.01, accuracy=0.4, **parts):
        fooled = {"a random step of the same size": random, "the step found by optimisation": found}
        norms = Table("penalty_norms", ["c |r|²", "c |r|"], {name: [1.0, plain] for name in TABLE1_MODELS})
        columns = ["penalty method / optimum", "refined / optimum"]
        claims = blind_spots.claims(
            fooled,
            {"a": solved(images, sizes), "b": solved(images, sizes, success=success)},
            norms,
            Table("exact_linear", columns, ratios | (exact or {})),
            Table("refined", ["ratio"], {"a": [1.1], "b": [ratio]}),
            Table("noise_accuracy", ["free", "clipped"], {"a": [0.1, accuracy]}),
            pd.DataFrame({"share": [parts.get("held", 0.4), 0.0, 0.3, 0.3]}),
            blind_spots.Crossings(torch.tensor([1, parts.get("crossed", 1)]), torch.tensor([True, True])),
            Table("straight", ["found / predicted"], {"a": [1.1], "b": [parts.get("straight", 0.9)]}),
            Table(
                "deformations",
                ["mean distortion", "error"],
                {
                    "shifted by one pixel": [parts.get("length", 0.2), 0.1],
                    "the step found by optimisation": [0.1, parts.get("fools", 1.0)],
                },
            ),
        )
        assert all(type(holds) is bool for holds in claims.values())
        return [number for number, holds in enumerate(claims.values()) if not holds]

    # Claim 4, that the penalty method is exact, is the paper's; 8 was once said of the box. Both fail on real runs.
    assert failing() == [4, 8]
    assert failing(success=False) == [0, 4, 8]
    assert failing(random=0.05) == [1, 4, 8]
    assert failing(found=0.99) == [2, 4, 8]
    assert failing(plain=0.98) == [3, 4, 8]
    assert failing(exact=dict.fromkeys(ratios, [1.0, 1.0])) == [5, 8]
    assert failing(exact={"FC10(1e-2)": [1.3, 1.0]}) == [4, 5, 8]  # the middle one counts
    assert failing(exact={"FC10(1e-2)": [1.01, 1.002]}) == [4, 6, 8]
    assert failing(ratio=1.0) == [4, 7, 8]
    assert failing(held=0.6) == [4]
    assert failing(held=0.2) == [4, 8, 9]
    assert failing(crossed=3) == [4, 8, 10]
    assert failing(straight=0.4) == [4, 8, 11]
    assert failing(length=0.1) == [4, 8, 12]
    assert failing(fools=0.1) == [4, 8, 12]
    assert failing(accuracy=0.33) == [4, 8, 13]


def test_what_the_text_says_of_the_searches_is_so_in_the_stored_runs():
    ratios = results.load("refined", "paper").to_frame()["ratio"]
    assert ratios.idxmax() == "FC10(1)"  # flat logits lengthen what the penalty method finds
    peers = results.measured("peers")
    best = {reference["model"]: reference["mean"] for reference in peers["references"]}["FC100-100-10"]
    (own,) = (
        row["rms"]
        for row in peers["rows"]
        if row["model"] == "FC100-100-10"
        and row["method"] == "ours, refine=True"
        and row["batch"] == peers["meta"]["small"]
    )
    assert 1 < own / best < 1.001
    assert results.load("table1", "paper").to_frame().at["FC100-100-10", "training error"] == 0
