"""What a coarse search does: the cells that are read, and searches on a small network."""

import numpy as np
import pytest
import torch
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.penalty import coarse_search
from intriguing.attack.perturbations import random_targets
from intriguing.book import paper, results
from intriguing.chapters.protocol import questions
from intriguing.data import Images
from known_sweep import Known


def test_coarseness_reads_the_right_cells():
    table = questions.coarseness(Known()).to_frame()
    printed = paper.TABLE2.to_frame()
    for name in paper.MODELS:
        assert (table[f"distortion, {name}"] == paper.TABLE1.value(name, "distortion")).all()
        others = [printed.loc[name, other] for other in paper.MODELS if other != name]
        assert table[f"transfer, {name}"].to_numpy() == pytest.approx(np.mean(others))
    assert list(table.index) == list(questions.LEVELS)


def test_sizes_and_transfer_are_taken_apart():
    sizes, transfer = questions.by_network(questions.coarseness(Known()))
    assert list(sizes.columns) == list(transfer.columns) == list(paper.MODELS)
    assert sizes.loc["exact edge", "FC10(1)"] == paper.TABLE1.value("FC10(1)", "distortion")
    assert transfer.loc["exact edge"].max() <= 1


class Small:
    """A sweep over one small bent network and six images; c is sought as the real one does."""

    def __init__(self) -> None:
        chance = torch.Generator().manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.Sigmoid(), nn.Linear(40, 10))
        with torch.no_grad():
            for layer, size in ((self.model[1], 0.3), (self.model[3], 3.0)):
                weight = size * torch.randn(layer.weight.shape, generator=chance)
                layer.weight.copy_(weight - weight.mean(1, keepdim=True))
                layer.bias.zero_()
        self.model.eval().requires_grad_(False)
        pixels = 0.3 + 0.4 * torch.rand(6, 1, 8, 8, generator=chance)
        self.images = Images(pixels, torch.randint(0, 10, (6,), generator=chance), "small")
        self.asked = []

    def clean(self) -> Images:
        return self.images

    def network(self, name, protocol):
        return self.model

    def distorted(self, name, protocol):
        self.asked.append(protocol.ratio)
        pixels, targets = self.images.images, random_targets(self.images.labels)
        edge = minimum_distortion(self.model, pixels, targets)
        if protocol.ratio == 1:
            return edge.images[:, None]
        return coarse_search(self.model, pixels, targets, edge.penalty, protocol.ratio)[0][:, None]


def test_the_short_cut_ends_where_the_whole_grid_does():
    away = questions.short_cut_error(Small(), "any", count=4)
    assert away.shape == (4,) and bool((away < 0.01).all())


def test_pictures_go_from_the_exact_edge_to_the_coarsest():
    sweep = Small()
    shown, titles = questions.pictures(sweep, "any")
    assert titles == ["clean", "exact edge", "× 1.3", "× 2", "× 4", "× 10", "one c for all"]
    assert sweep.asked == [1.0, *questions.RATIOS, 0.0] and shown.shape == (7, 1, 8, 8)
    assert torch.equal(shown[0], sweep.images.images[0])
    sizes = (shown[1:] - shown[0]).flatten(1).norm(dim=1)
    assert sizes.argmin() == 0  # nothing is shorter than the edge


def test_a_shifted_grid_finds_another_distortion_within_its_ratio():
    sweep = Small()
    lengths = questions.grid_offsets(sweep, "any", (1.0, 3.0, 10.0), count=4)
    assert lengths.shape == (3, 4) and lengths.dtype == torch.float64
    edge = minimum_distortion(sweep.model, sweep.images.images[:4], random_targets(sweep.images.labels)[:4])
    assert bool((lengths >= 0.99 * edge.rms).all())
    torch.testing.assert_close(lengths[0], lengths[2], rtol=0.01, atol=1e-5)  # ten times the powers of ten is the same
    assert not torch.allclose(lengths[0], lengths[1], rtol=0.01)


def test_what_the_page_says_of_the_tolerances():
    spread = results.load("spread_coarse_search", "quick")
    assert spread.meta["seeds"] == 8 and set(questions.LEVELS) == set(spread.rows)
    assert questions.FLOORS == {"distortion": 0.0005, "transfer": 0.02}
