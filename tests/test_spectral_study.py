"""The chapter's numbers: sandwiches on a network small enough to be sure of, tables, and what is left out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from intriguing.book import paper, results, settings
from intriguing.book.results import Table
from intriguing.chapters.spectral import examples, pictures, study
from intriguing.data import Images
from intriguing.lipschitz.network import NetworkBound
from intriguing.models import imagenet


@pytest.fixture
def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval().requires_grad_(False)


def test_a_linear_network_is_sandwiched_from_its_boundary(linear, tmp_path, monkeypatch):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    # Far from the sides of the box, the distance to the boundary is the certificate itself.
    pictures = 0.5 + 0.01 * torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    linear[1].bias.copy_(-linear[1].weight.sum(1) * 0.5)
    images = Images(pictures, torch.zeros(12, dtype=torch.long), "grey")
    found = study.sandwich("small", linear, images)
    assert found.contradictions == 0 and bool(found.success.all())
    assert found.bound == pytest.approx(float(torch.linalg.matrix_norm(linear[1].weight.double(), ord=2)))
    assert torch.allclose(found.whole, found.found, rtol=2e-2)
    again = study.sandwich("small", linear, images)
    assert torch.equal(found.found, again.found)
    table = study.sandwich_table({"small": found}, "grey").to_frame()
    assert table.loc["small", "largest ratio"] <= 1
    assert table.loc["small", "found"] == pytest.approx(float(found.found.mean()))


def test_contradictions_are_counted():
    half, one = torch.tensor([0.5, 0.5]), torch.tensor([0.4, 0.6])
    both = torch.ones(2, dtype=torch.bool)
    assert study.Sandwich(1.0, half, half, one, both).contradictions == 1
    assert study.Sandwich(1.0, half, half, one, ~both).contradictions == 0
    table = study.sandwich_table({"a": study.Sandwich(1.5, half, half, one, both)}, "none").to_frame()
    assert table.loc["a", "Lipschitz bound"] == 1.5
    assert table.loc["a", "runner-up excluded at the median, global"] == 1
    assert table.loc["a", "largest ratio"] == pytest.approx(1.25)
    # Half of these are fooled within 0.2: the first image is certified so far by neither proof, the last by both.
    whole, local, one = torch.tensor([0.0, 0.1, 0.3]), torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.1, 0.2, 0.6])
    found = study.Sandwich(1.0, whole, local, one, torch.ones(3, dtype=torch.bool))
    table = study.sandwich_table({"a": found}, "none")
    assert table.to_frame().at["a", "runner-up excluded at the median, local"] == pytest.approx(2 / 3)
    row = study.excluded(table).loc["a"]
    assert row["images"] == 3 and row["median found"] == pytest.approx(0.2)
    assert (row["runner-up excluded, global"], row["runner-up excluded, local"]) == (1, 2)


def test_groups_together_are_a_root_of_squares(monkeypatch):
    # The two groups of conv2 have the norms 3 and 4.
    weight = torch.zeros(2, 1, 5, 5, dtype=torch.float64)
    weight[:, 0, 2, 2] = torch.tensor([3.0, 4.0])
    weights = {"conv1": torch.zeros(1, 3, 11, 11, dtype=torch.float64), "conv2": weight}
    weights["conv1"][0, 0, :, 5] = 1  # a line of eleven ones: flattened 11 ** 0.5; at stride 4 windows overlap
    monkeypatch.setattr(study, "alexnet_weights", lambda: weights)
    table = study.alexnet_norms()
    frame = table.to_frame()
    assert frame.loc["Conv. 2", ["upper bound", "groups together", "flattened"]].tolist() == pytest.approx([4, 5, 5])
    assert frame.at["Conv. 1", "flattened"] == pytest.approx(11**0.5)
    assert frame.at["Conv. 1", "upper bound"] > 1.3 * 11**0.5, "the flattened norm is no bound"
    rows = {"Conv. 4": [3.75, 7.5, 1.0], "Conv. 5": [5.5, 11.0, 1.0], "Conv. 3": [3.5, 3.5, 1.0]}
    rows |= {"Conv. 2": [5.0, 10.0, 1.0], "Conv. 1": [5.5, 5.5, 2.5]}
    words = study.table5_words(Table("table5", ["upper bound", "groups together", "flattened"], rows))
    assert "come to 0.50, 0.50, 0.50, and with their groups taken together to 1.00, 1.00, 1.00;" in words
    assert "Conv. 1 comes to 2.00, and its flattened weights have the norm 2.50 where the paper prints 2.75." in words


def test_norms_of_an_alexnet_that_is_all_centre(monkeypatch):
    # One weight in each kernel: every convolution has norm 1, whatever its stride; the matrix has norm 2.
    weights = {}
    for name, channels, side in (("conv1", 3, 11), ("conv2", 4, 5)):
        weights[name] = torch.zeros(4, channels, side, side, dtype=torch.float64)
        weights[name][0, 0, side // 2, side // 2] = 1
    weights["fc8"] = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    monkeypatch.setattr(study, "alexnet_weights", lambda: weights)
    norms = study.alexnet_norms().to_frame()
    assert norms.loc["Conv. 1"].tolist() == pytest.approx([1, 0.25, 0.25, 255, 1, 1, 1])
    assert norms.loc["Conv. 2"].tolist() == pytest.approx([1] * 7)
    assert norms.loc["FC. 3", "upper bound"] == pytest.approx(2)
    assert list(norms.index) == ["Conv. 1", "Conv. 2", "FC. 3"]
    assert math.isnan(norms.loc["FC. 3", "printed formula"])
    monkeypatch.setattr(study, "alexnet_weights", lambda: None)
    assert study.alexnet_norms() is None


def test_products_by_hand():
    rows = {row: [1.0] for row in paper.TABLE5.rows if row.startswith("Conv")}
    products = study.alexnet_product(Table("table5", ["upper bound"], rows))
    assert list(products.values()) == pytest.approx(
        [paper.TABLE5_PRODUCT, 8 * paper.TABLE5_PRODUCT, 3.12 * 16, 8 * 3.12 * 16]
    )


def test_table_5_stands_beside_the_papers():
    norms = Table("table5", ["upper bound", "7 bits"], {"FC. 3": [2.0, 3.0], "Conv. 1": [21.0, 4.0]})
    shown = study.beside_table5(norms)
    assert list(shown.index) == list(paper.TABLE5.rows)
    assert list(shown.columns) == ["ours", "paper", "difference", "7 bits"]
    assert shown.loc["Conv. 1"].tolist() == pytest.approx([21, 2.75, 18.25, 4])
    assert math.isnan(shown.loc["FC. 1", "ours"])
    lines = study.product_lines(norms).splitlines()
    assert lines[:2] == ["| product over AlexNet | |", "| --- | --- |"] and len(lines) == 6
    assert lines[2] == f"| Table 5 as printed | {paper.TABLE5_PRODUCT:,.0f} |"


def test_what_is_said_of_flattened_weights():
    """Near the printed number for the first layer, less than half of it for each other convolution."""
    flat = results.load("table5", "paper").to_frame()["flattened"]
    printed = paper.TABLE5.to_frame()["upper bound"]
    share = (flat / printed)[[row for row in printed.index if row.startswith("Conv")]]
    assert abs(share["Conv. 1"] - 1) < 0.05 and share.drop("Conv. 1").max() < 0.5


def test_weights_of_the_last_layer_are_as_few_steps_large_as_those_of_three_convolutions():
    """So that the number of steps alone does not tell why the last layer moves when its weights are rounded again."""
    weights = study.alexnet_weights()
    if weights is None:
        pytest.skip("AlexNet's weights are not on this computer")
    steps = {name: float((128 * weight).abs().median()) for name, weight in weights.items()}
    assert [name for name, median in steps.items() if median == 1] == ["conv2", "conv3", "conv4", "fc8"]
    frame = results.load("table5", "paper").to_frame()
    kept = frame["7 bits"] / frame["upper bound"]
    assert kept["FC. 3"] < 0.8 and kept.drop("FC. 3").min() > 0.95


def test_norms_that_have_moved_do_not_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    norms = Table("table5", ["upper bound"], {"Conv. 1": [20.0]}, {"data": "made up"})
    assert study.table5_agrees(None) and not study.table5_agrees(norms)
    monkeypatch.setenv("INTRIGUING_RECORD", "1")
    assert study.table5_agrees(norms)
    monkeypatch.delenv("INTRIGUING_RECORD")
    assert study.table5_agrees(Table("table5", ["upper bound"], {"Conv. 1": [20.00005]}))
    assert not study.table5_agrees(Table("table5", ["upper bound"], {"Conv. 1": [20.001]}))


def made_up(whole: float, local: float, found: float) -> study.Sandwich:
    distances = (torch.full((2,), value, dtype=torch.float64) for value in (whole, local, found))
    return study.Sandwich(1.0, *distances, torch.ones(2, dtype=torch.bool))


def test_each_claim_can_fail_by_itself():
    names = (*study.LINEAR, *study.SIGMOIDS, "ConvNet")
    linear, sigmoid, convolutional = made_up(0.95, 0.95, 1.0), made_up(0.2, 0.4, 1.0), made_up(0.2, 0.2, 1.0)
    good = dict(zip(names, [linear] * 3 + [sigmoid] * 3 + [convolutional], strict=True))
    factors = examples.one_weight((2,))

    ripple, flat = examples.separable([1, 0, -1]), examples.separable([1, 0, 0])

    def failing(found, factors=factors, ripple=ripple):
        outcomes = study.claims(found, study.sandwich_table(found, "made up"), factors, ripple)
        assert all(type(holds) is bool for holds in outcomes.values())
        return [number for number, holds in enumerate(outcomes.values()) if not holds]

    assert failing(good) == []
    assert failing(good | {"ConvNet": made_up(1.1, 1.1, 1.0)}) == [0]
    assert failing(good | {"ConvNet": made_up(0.05, 0.05, 1.0)}) == [4]
    assert failing(good | {"FC10(1)": made_up(0.8, 0.8, 1.0)}) == [2]
    assert failing(good | {"AE400-10": made_up(0.2, 0.29, 1.0)}) == [3]
    missed = study.Sandwich(1.0, sigmoid.whole, sigmoid.local, sigmoid.found, torch.tensor([True, False]))
    assert failing(good | {"AE400-10": missed}) == [1]
    assert failing(good, factors.assign(**{"factor as printed": 1.0})) == [5]
    assert failing(good, ripple=flat) == [6]


def test_costs_are_laid_out_by_layer_and_method():
    rows = [
        {"layer": layer, "method": method, "kind": kind, "seconds": seconds, "error": error}
        for layer, method, kind, seconds, error in (
            ("conv2", "ours", "upper", 1.0, 0.1),
            ("conv2", "power", "lower", 2.0, -0.1),
            ("conv1", "ours", "upper", 3.0, 0.2),
        )
    ]
    meta = {"created": "2026-01-02T03:04", "hardware": {"cpu": "a processor"}, "threads": 2, "whole_seconds": 1.25}
    frame = study.cost_frame({"rows": rows})
    assert list(frame.index) == ["conv2", "conv1"] and frame.index.name is None
    assert list(frame) == [(m, what) for m in ("ours (upper)", "power (lower)") for what in ("seconds", "error")]
    assert frame.loc["conv2"].tolist() == [1.0, 0.1, 2.0, -0.1]
    assert frame.loc["conv1"].isna().tolist() == [False, False, True, True]
    line = study.cost_line({"meta": meta})
    assert line.startswith("Measured on 2026-01-02, a processor, 2 threads; ") and "together: 1.2 s" in line


def test_squeezenet_counts_a_fire_module_as_one_layer(monkeypatch):
    from torchvision.models import squeezenet1_0

    torch.manual_seed(0)
    model = squeezenet1_0(weights=None)
    fire = model.features[3]
    with torch.no_grad():
        for part in (fire.squeeze, fire.expand1x1, fire.expand3x3):
            part.weight.zero_()
        fire.squeeze.weight[0, 0] = 2
        fire.expand1x1.weight[0, 0] = 3
        fire.expand3x3.weight[0, 0, 1, 1] = 4
    # One channel is doubled, and then stands in two outputs, three and four times as large.
    assert study._fire_norm(fire, (96, 5, 5)) == pytest.approx(2 * 5)
    monkeypatch.setattr(study, "squeezenet", lambda: None)
    assert study.squeezenet_bound() is None
    assert "its bound is left out" in study.squeezenet_line()
    monkeypatch.setattr(study, "squeezenet_bound", lambda: NetworkBound(("a", "b"), ((1,), (1,)), (20.0, 61.7)))
    assert study.squeezenet_line() == (
        "SqueezeNet, 2 layers, those without weights among them and a Fire module counting as one: product 1.23e+03."
    )
    assert imagenet.fire_kernel(fire).shape == (128, 16, 3, 3)


def test_what_the_summary_says_of_how_far_a_proof_goes_is_so_in_the_stored_run():
    frame = results.load("sandwich", "paper").to_frame()
    share = frame["certified, local"] / frame["found"]
    assert (share[list(study.LINEAR)] > 0.75).all()
    assert share[list(study.SIGMOIDS)].between(0.35, 0.45).all()


def test_pictures_show_the_numbers():
    field = np.ones((6, 6))
    field[1, 1] = 3
    figure = pictures.symbols({"a": (field, [0, 0.5])})
    assert figure.axes[0].get_xlabel() == "largest 3.00, at the dots 1.00"
    distances = SimpleNamespace(whole=[0.1, 0.2], local=[0.2, 0.3], found=[0.3, 0.4])
    figure = pictures.sandwiches({"a": distances, "b": distances}, columns=2)
    radii, safe = figure.axes[0].lines[2].get_data()
    assert safe[0] == 1 and safe[-1] == 0
    assert float(safe[np.searchsorted(radii, 0.35)]) == 0.5
    assert math.isclose(figure.axes[1].get_ylim()[1], 1)
    assert all(text.get_text().startswith("runner-up ") for text in figure.legends[0].get_texts())
    for draw in (pictures.symbols, pictures.sandwiches):
        with pytest.raises(ValueError, match="expected at least one"):
            draw({})


def thin() -> nn.Module:
    """An AlexNet of torchvision's with two channels and two units in place of hundreds, each layer a single weight."""
    whole = models.AlexNet(num_classes=2)
    for part in (whole.features, whole.classifier):
        for place, layer in enumerate(part):
            if isinstance(layer, nn.Conv2d):
                inputs = 3 if layer.in_channels == 3 else 2
                part[place] = nn.Conv2d(inputs, 2, layer.kernel_size, layer.stride, layer.padding)
            elif isinstance(layer, nn.Linear):
                part[place] = nn.Linear(72 if layer.in_features == 9216 else 2, 2)
    for number, name in enumerate(study.TORCHVISION_LAYERS, start=1):
        weight = whole.get_submodule(name).weight.detach()
        weight.zero_()
        weight[(0, 0, *(side // 2 for side in weight.shape[2:]))] = number  # the norm of its layer
    return whole


def test_norms_of_single_weights_and_their_product():
    table, product = study.torchvision_norms(imagenet.chain(thin()))
    assert list(table.rows) == list(study.TORCHVISION_LAYERS)
    assert [row[0] for row in table.rows.values()] == pytest.approx(range(1, 9), rel=1e-6)
    # Three poolings overlap and count twice each; averaging 6 by 6 onto 6 by 6 changes nothing.
    assert product == pytest.approx(8 * math.factorial(8), rel=1e-6)


def test_the_layers_are_those_of_torchvision():
    with torch.device("meta"):
        whole = models.AlexNet()
    found = [name for name, layer in whole.named_modules() if hasattr(layer, "weight")]
    assert tuple(found) == study.TORCHVISION_LAYERS
