"""The chapter's numbers: sandwiches on a network small enough to be sure of, tables, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from intriguing import figures_spectral, imagenet, paper, spectral
from intriguing.data import Images
from intriguing.results import Table


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
    found = spectral.sandwich("small", linear, images)
    assert found.contradictions == 0 and bool(found.success.all())
    assert torch.allclose(found.whole, found.found, rtol=2e-2)
    again = spectral.sandwich("small", linear, images)
    assert torch.equal(found.found, again.found)
    table = spectral.sandwich_table({"small": found}, {"small": 2.0}, "grey").to_frame()
    assert table.loc["small", "largest ratio"] <= 1
    assert table.loc["small", "found"] == pytest.approx(float(found.found.mean()))


def test_contradictions_are_counted():
    half, one = torch.tensor([0.5, 0.5]), torch.tensor([0.4, 0.6])
    both = torch.ones(2, dtype=torch.bool)
    assert spectral.Sandwich(half, half, one, both).contradictions == 1
    assert spectral.Sandwich(half, half, one, ~both).contradictions == 0
    table = spectral.sandwich_table({"a": spectral.Sandwich(half, half, one, both)}, {"a": 1.0}, "none").to_frame()
    assert table.loc["a", "safe at the median, global"] == 1
    assert table.loc["a", "largest ratio"] == pytest.approx(1.25)
    # Half of these are fooled within 0.2: the first image is certified so far by neither proof, the last by both.
    whole, local, one = torch.tensor([0.0, 0.1, 0.3]), torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.1, 0.2, 0.6])
    found = spectral.Sandwich(whole, local, one, torch.ones(3, dtype=torch.bool))
    row = spectral.sandwich_table({"a": found}, {"a": 1.0}, "none").to_frame().loc["a"]
    assert row["images"] == 3 and row["median found"] == pytest.approx(0.2)
    assert (row["safe images, global"], row["safe images, local"]) == (1, 2)
    assert row["safe at the median, local"] == pytest.approx(2 / 3)


def test_norms_of_an_alexnet_that_is_all_centre(monkeypatch):
    # One weight in each kernel: every convolution has norm 1, whatever its stride; the matrix has norm 2.
    weights = {}
    for name, channels, side in (("conv1", 3, 11), ("conv2", 4, 5)):
        weights[name] = torch.zeros(4, channels, side, side, dtype=torch.float64)
        weights[name][0, 0, side // 2, side // 2] = 1
    weights["fc8"] = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    monkeypatch.setattr(spectral, "alexnet_weights", lambda: weights)
    norms = spectral.alexnet_norms().to_frame()
    assert norms.loc["Conv. 1"].tolist() == pytest.approx([1, 0.25, 0.25, 255, 1])
    assert norms.loc["Conv. 2"].tolist() == pytest.approx([1, 1, 1, 1, 1])
    assert norms.loc["FC. 3", "upper bound"] == pytest.approx(2)
    assert list(norms.index) == ["Conv. 1", "Conv. 2", "FC. 3"]
    assert math.isnan(norms.loc["FC. 3", "printed formula"])
    monkeypatch.setattr(spectral, "alexnet_weights", lambda: None)
    assert spectral.alexnet_norms() is None


def test_products_by_hand():
    rows = {row: [1.0] for row in paper.TABLE5.rows if row.startswith("Conv")}
    products = spectral.alexnet_product(Table("table5", ["upper bound"], rows))
    assert list(products.values()) == pytest.approx(
        [paper.TABLE5_PRODUCT, 8 * paper.TABLE5_PRODUCT, 3.12 * 16, 8 * 3.12 * 16]
    )


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
    assert spectral._fire_norm(fire, (96, 5, 5)) == pytest.approx(2 * 5)
    monkeypatch.setattr(spectral, "squeezenet", lambda: None)
    assert spectral.squeezenet_bound() is None
    assert imagenet.fire_kernel(fire).shape == (128, 16, 3, 3)


def test_pictures_show_the_numbers():
    field = np.ones((6, 6))
    field[1, 1] = 3
    figure = figures_spectral.symbols({"a": (field, [0, 0.5])})
    assert figure.axes[0].get_xlabel() == "supremum 3.00, at the dots 1.00"
    distances = {"whole": [0.1, 0.2], "local": [0.2, 0.3], "found": [0.3, 0.4]}
    figure = figures_spectral.sandwiches({"a": distances, "b": distances}, columns=2)
    radii, safe = figure.axes[0].lines[2].get_data()
    assert safe[0] == 1 and safe[-1] == 0
    assert float(safe[np.searchsorted(radii, 0.35)]) == 0.5
    assert math.isclose(figure.axes[1].get_ylim()[1], 1)
    for draw in (figures_spectral.symbols, figures_spectral.sandwiches):
        with pytest.raises(ValueError, match="expected at least one"):
            draw({})
