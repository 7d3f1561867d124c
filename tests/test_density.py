"""The chapter's measurements on small networks whose surroundings are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing import density, figures_density, noise
from intriguing.data import Images
from intriguing.models import build


@pytest.fixture
def small(tmp_path, monkeypatch) -> Images:
    """A dozen random pictures, with a cache of their own and short searches."""
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    monkeypatch.setattr(density, "ORTHOGONAL", 3)
    monkeypatch.setattr(density, "ALIGNED", (1, 4))
    monkeypatch.setattr(density, "LINES", 2)
    generator = torch.Generator().manual_seed(0)
    return Images(torch.rand(12, 1, 28, 28, generator=generator), torch.zeros(12, dtype=torch.long), "random pictures")


def labelled(model: nn.Module, images: Images) -> Images:
    """The images with the classes that the model gives them, the surest first."""
    logits = model(images.images)
    lead = logits.topk(2).values
    order = (lead[:, 0] - lead[:, 1]).argsort(descending=True)
    return Images(images.images[order], logits.argmax(1)[order], images.name)


def network(name: str) -> nn.Module:
    return build(name, seed=1).eval().requires_grad_(False)


def test_sample_is_random_and_always_the_same():
    images = Images(torch.zeros(50, 1, 2, 2), torch.arange(50) % 10, "x")
    one, two = density.sample(images, 20), density.sample(images, 20)
    assert torch.equal(one.labels, two.labels) and len(one) == 20
    assert not torch.equal(one.labels, images.labels[:20])
    assert sorted(density.sample(images, 50).labels.tolist()) == sorted(images.labels.tolist())


def test_study_of_a_linear_network(small):
    model = network("FC10(1)")
    images = labelled(model, small)
    found = density.study({"FC10(1)": model}, images, samples=0, draws=1000)
    around, inside, rates = (part["FC10(1)"] for part in (found.around, found.inside, found.rates))
    weight, logits = model[-1].weight.double(), model.double()(images.images.double())
    distance = [
        min(float((z[y] - z[j]) / (weight[y] - weight[j]).norm()) / 28 for j in range(10) if j != y)
        for z, y in zip(logits, images.labels.tolist(), strict=True)
    ]
    assert around["free"].tolist() == pytest.approx(distance, rel=5e-4)
    assert bool((around["boxed"] >= around["free"] * (1 - 1e-3)).all())
    assert bool((around["ball"] <= around["free"]).all()) and bool((around["ball"] > 0).all())
    assert inside["aligned"].median(0).values.tolist() == pytest.approx([1, 2], rel=2e-2)
    assert len(found.few) == 3 and rates["log10"].shape == (3, len(density.MULTIPLES))
    low, high = rates["bracket"]
    step = 4 * rates["relative"] / 2.302585
    assert bool(((rates["log10"] > low - step) & (rates["log10"] < high + step)).all())


def test_what_was_measured_is_kept(small, monkeypatch):
    model = network("FC10(1)")
    images = labelled(model, small)
    first = density.surroundings("FC10(1)", model, images)

    def refuse(*_, **__):
        raise AssertionError("measured twice")

    monkeypatch.setattr(density, "nearest_exit", refuse)
    again = density.surroundings("FC10(1)", model, images)
    assert all(torch.equal(first[key], again[key]) for key in first)
    with pytest.raises(AssertionError, match="measured twice"):
        density.surroundings("FC10(1)", network("FC10(1e-2)"), images.take(slice(5)))


def test_counts_and_noise_curve(small):
    model = network("FC10(1)")
    images = labelled(model, small)
    one = density.rates("FC10(1)", model, images.take(slice(2)), 2000, 200, counted=1)
    assert one["gaussian"].shape == (1, len(density.MULTIPLES) - density.COUNTED)
    assert int(one["gaussian"][0, -1]) > int(one["gaussian"][0, 0])
    curve = density.noise_curve("FC10(1)", model, images)
    assert float(curve["free"][-1]) > float(curve["free"][0])


def test_penalty_check_agrees_on_a_linear_network(small):
    model = network("FC10(1)")
    one = density.penalty_check("FC10(1)", model, labelled(model, small).take(slice(3)))
    assert torch.allclose(one["exit"], one["nearest"], rtol=5e-3)


def test_tables_by_hand():
    right = torch.tensor([True, True, True, False])
    around = {
        "right": right,
        "boxed": torch.tensor([0.01, 0.04, 0.2, 0.0]).double(),
        "free": torch.tensor([0.01, 0.02, 0.1, 0.0]).double(),
        "normals": torch.eye(4),
        "lines": torch.tensor([[[0.28, 9.0]], [[9.0, 0.56]], [[torch.inf, torch.inf]]]).double(),
        "ball": torch.tensor([1e-3, 2e-3, 3e-3]).double(),
    }
    near = density.near_table({"net": around}, "x").rows["net"]
    assert near == pytest.approx([0.25, 0.04, 0.2, 0.5, 0.75, 0.75, 2e-3])
    inside = {
        "orthogonal": torch.tensor([[1.0, 1.5, 2.5, torch.inf]] * 3).double(),
        "aligned": torch.tensor([[i**0.5 for i in density.ALIGNED]] * 3).double(),
        "subspaces": torch.tensor([[(784 / size) ** 0.5 for size in density.SUBSPACES]] * 3).double(),
    }
    lines = density.lines_table({"net": around}, {"net": inside}, "x").rows["net"]
    assert lines == pytest.approx([2, 1, 2 / 3, 1, 1])
    ways = density.dimensions_table({"net": around}, {"net": inside}, "x").rows["net"]
    assert ways == [2, 3, 4, 9, 25, 3]


def test_fractions_within_by_hand():
    one = {"boxed": torch.tensor([0.0, 0.006, 0.3, torch.inf]).double()}
    fraction, low, high = density.fractions_within(one)
    at = density.EPSILONS.index
    assert fraction[[at(0.005), at(0.01), at(0.3), at(0.5)]].tolist() == [0.25, 0.5, 0.75, 0.75]
    expected = noise.interval(torch.tensor([1]), 4)
    assert (float(low[0]), float(high[0])) == (float(expected[0]), float(expected[1]))


def test_spectrum_of_known_normals():
    normals = torch.eye(10)[[0, 0, 0, 0, 0, 0, 1, 1, 1, 2]]
    assert density.spectrum(normals)[:3].tolist() == pytest.approx([0.6, 0.9, 1.0])
    assert density.effective_dimension(density.spectrum(normals)) == 2
    assert density.effective_dimension(density.spectrum(torch.eye(10))) == 9
    torn = torch.cat([normals, torch.full((1, 10), torch.nan)])
    assert density.spectrum(torn)[:3].tolist() == pytest.approx([0.6, 0.9, 1.0])


def test_pictures_show_what_they_are_given():
    radii = torch.tensor([[0.1, 0.2], [0.1, 0.2]])
    panel = {
        "radii": radii,
        "log10": torch.tensor([[-20.0, -5.0], [-10.0, -1.0]]),
        "relative": torch.full((2, 2), 0.1),
        "distance": torch.tensor([0.02, 0.03]),
        "exact": torch.tensor([[-20.0, -5.0], [-10.0, -1.0]]),
        "counted": radii[:1],
        "low": torch.tensor([[-6.5, -5.2]]),
        "middle": torch.tensor([[-torch.inf, -5.0]]),
        "high": torch.tensor([[-5.5, -4.8]]),
    }
    rates = figures_density.rates({"net": panel})
    ticks = [line.get_xdata()[0] for line in rates.axes[0].lines if line.get_marker() == "^"]
    assert ticks == pytest.approx([0.02, 0.03])
    assert rates.png().startswith(b"\x89PNG")
    ratios = figures_density.ratios({"net": torch.tensor([20.0, 28.0, 40.0, torch.inf])}, 784)
    assert "median 34" in [text.get_text() for text in ratios.axes[0].texts]
    ways = figures_density.directions({"net": [1, 2, torch.inf]}, [1, 4], {"net": [1, 2]})
    assert len(ways.axes) == 2 and ways.png()
    near = figures_density.near(
        {"net": dict.fromkeys(("found", "low", "high", "noise", "clipped"), [0, 1]) | {"radii": [0.1, 0.2]}}
    )
    assert near.png()


@pytest.mark.parametrize(
    "draw", [figures_density.rates, figures_density.near, lambda empty: figures_density.ratios(empty, 9)]
)
def test_pictures_of_nothing_are_refused(draw):
    with pytest.raises(ValueError, match="expected at least one network"):
        draw({})
