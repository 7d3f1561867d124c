"""Top images of units and directions and how alike they are, against hand cases, closed forms and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from intriguing.book import coherence
from intriguing.models.recipes import build


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Features


def test_features_are_the_output_of_the_layer_by_position_and_by_name():
    model = build("ConvNet").eval()
    images = torch.rand(7, 1, 28, 28, generator=generator())
    with torch.no_grad():
        expected = model[:10](images)
    for layer in (9, -2, "9"):
        assert torch.equal(coherence.features(model, images, layer, chunk=7), expected)
    assert torch.allclose(coherence.features(model, images, 9, chunk=3), expected, atol=1e-5)
    assert coherence.features(model, images, 9).shape == (7, 200)


def test_units_of_a_convolution_are_positions_or_channels():
    model = build("ConvNet").eval()
    images = torch.rand(3, 1, 28, 28, generator=generator())
    with torch.no_grad():
        maps = model[:7](images)
    assert torch.equal(coherence.features(model, images, 6), maps.reshape(3, 1024))
    assert torch.equal(coherence.features(model, images, 6, unit="maximum"), maps.amax((2, 3)))
    assert torch.allclose(coherence.features(model, images, 6, unit="mean"), maps.mean((2, 3)))


def test_a_layer_that_is_overwritten_in_place_is_read_before():
    model = nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True)).eval()
    images = torch.tensor([[[-1.0, 2.0]]])
    assert coherence.features(model, images.clone(), 0).tolist() == [[-1.0, 2.0]]


def test_features_leave_no_hook_and_refuse_what_they_cannot_do():
    model = build("FC100-100-10").eval()
    images = torch.rand(2, 1, 28, 28)
    coherence.features(model, images, 1)
    assert not model[1]._forward_hooks
    with pytest.raises(ValueError, match="expected a position among the model's 6 children"):
        coherence.features(model, images, 6)
    with pytest.raises(ValueError, match="got layer 'dense'; expected one of 0, 1"):
        coherence.features(model, images, "dense")
    with pytest.raises(ValueError, match="expected one of position, maximum, mean"):
        coherence.features(model, images, 1, unit="median")
    with pytest.raises(ValueError, match="got no images"):
        coherence.features(model, images[:0], 1)
    with pytest.raises(ValueError, match="training mode"):
        coherence.features(model.train(), images, 1)
    dropping = nn.Sequential(model.eval(), nn.Dropout())
    dropping.training = False
    with pytest.raises(ValueError, match="'1' .*training mode"):
        coherence.features(dropping, images, 0)


class _Idle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Identity(), nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.used(images)


def test_a_layer_that_is_never_called_is_named():
    with pytest.raises(ValueError, match="layer 'unused' put out 0 vectors for 2 images"):
        coherence.features(_Idle().eval(), torch.rand(2, 3), "unused")


def test_firing_counts_images_above_the_least():
    values = torch.tensor([[0.0, 5.0, -1.0], [2.0, 5.0, -3.0], [0.0, 5.0, -2.0]])
    assert coherence.firing(values).tolist() == [1, 0, 2]


# Directions


def test_random_directions_have_length_one_and_no_preferred_axis():
    found = coherence.random_directions(4000, 5, generator())
    assert found.norm(dim=1).sub(1).abs().max() < 1e-6
    # A coordinate of a uniform direction in five dimensions, squared, is Beta(1/2, 2).
    for axis in range(5):
        assert stats.kstest(found[:, axis].square().numpy(), stats.beta(0.5, 2).cdf).pvalue > 1e-3
        assert abs(float(found[:, axis].sign().mean())) < 0.06


def test_a_rotation_is_orthogonal_and_uniform():
    basis = coherence.rotation(30, generator())
    assert (basis @ basis.T - torch.eye(30)).abs().max() < 1e-5
    # Without the signs of R the first entry would never be positive.
    draw = generator(1)
    first = torch.stack([coherence.rotation(3, draw)[0] for _ in range(1500)])
    for axis in range(3):
        # In three dimensions a coordinate of a uniform direction is itself uniform.
        assert stats.kstest(first[:, axis].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("positive", [False, True])
def test_mixtures_have_as_many_parts_as_asked(positive):
    found = coherence.mixtures(300, 6, 3, generator(), positive=positive)
    assert ((found != 0).sum(1) == 3).all()
    assert found.norm(dim=1).sub(1).abs().max() < 1e-6
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    assert bool((found >= 0).all()) == positive
    assert (found != 0).any(0).all()


def test_a_mixture_of_one_is_a_unit_and_impossible_ones_are_refused():
    found = coherence.mixtures(50, 4, 1, generator())
    assert torch.equal(found, torch.eye(4)[found.argmax(1)])
    for size in (0, 5):
        with pytest.raises(ValueError, match="expected 1 to 4"):
            coherence.mixtures(2, 4, size, generator())


def test_standardised_features_have_mean_zero_and_deviation_one():
    values = torch.randn(500, 3, generator=generator()) * torch.tensor([1.0, 100.0, 0.01]) + 7
    values[:, 1] = 0.1
    found = coherence.standardised(values)
    assert found.mean(0).abs().max() < 1e-5
    assert torch.allclose(found.square().mean(0), torch.tensor([1.0, 0.0, 1.0]), atol=1e-4)


# Top images


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 10_000), st.data())
def test_top_is_a_stable_sort_even_among_ties(count, dimension, seed, data):
    k = data.draw(st.integers(1, count))
    # Few values, so that ties are everywhere.
    values = torch.randint(0, 3, (count, dimension), generator=generator(seed)).float()
    directions = torch.randint(-1, 2, (4, dimension), generator=generator(seed + 1)).float()
    expected = [sorted(range(count), key=lambda i: -float(values[i] @ v))[:k] for v in directions]
    assert coherence.top(values, directions, k).tolist() == expected


def test_ties_keep_the_order_of_the_images_in_long_rows():
    values = (torch.arange(5000) % 2).float()[:, None]
    assert coherence.top(values, None, 4000)[0].tolist() == [*range(1, 5000, 2), *range(0, 3000, 2)]


def test_top_of_the_natural_basis_is_that_of_the_coordinates(monkeypatch):
    values = torch.randn(50, 9, generator=generator())
    whole = coherence.top(values, None, 6)
    assert torch.equal(whole, coherence.top(values, torch.eye(9), 6))
    monkeypatch.setattr(coherence, "_SCORES", 100)  # two directions at a time
    assert torch.equal(coherence.top(values, None, 6), whole)
    assert torch.equal(coherence.top(values, torch.eye(9), 6), whole)


def test_top_refuses_what_has_no_order():
    values = torch.rand(4, 2)
    with pytest.raises(ValueError, match="expected 1 to the number of images, 4"):
        coherence.top(values, None, 5)
    with pytest.raises(ValueError, match="got directions of 3 coordinates; expected 2"):
        coherence.top(values, torch.rand(1, 3), 1)
    with pytest.raises(ValueError, match="not finite"):
        coherence.top(values.log().sub(math.inf), None, 1)


def test_random_sets_hold_different_images_and_leave_none_out():
    found = coherence.random_sets(200, 5, 20, generator())
    assert found.shape == (200, 5)
    assert all(len(set(row)) == 5 for row in found.tolist())
    counts = torch.bincount(found.flatten(), minlength=20)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


# Coherence


def test_coherence_of_hand_cases():
    labels = torch.tensor([7, 7, 7, 2, 2, 0, 1, 3])
    images = torch.zeros(8, 1, 1, 2)
    images[3, ..., 0], images[4, ..., 0] = 1.0, 1.0
    others = torch.arange(8.0)[:, None]
    found = coherence.coherence(
        torch.tensor([[0, 1, 2, 3], [0, 1, 3, 4], [0, 3, 5, 6], [0, 1, 2, 2]]), labels, images, others
    )
    assert len(found) == 4
    assert found.label.tolist() == [7, 2, 0, 7]
    assert found.purity.tolist() == [0.75, 0.5, 0.25, 1.0]
    three = 0.75 * math.log2(4 / 3) + 0.25 * 2
    assert found.entropy.tolist() == pytest.approx([three, 1.0, 2.0, 0.0])
    # First set: three of six pairs differ by 1 in one of two pixels, second: four of six.
    assert found.pixel_distance[:2].tolist() == pytest.approx([math.sqrt(3 / 6 / 2), math.sqrt(4 / 6 / 2)])
    # 0, 1, 2, 3: squared differences 1, 4, 9, 1, 4, 1 over six pairs.
    assert float(found.feature_distance[0]) == pytest.approx(math.sqrt(20 / 6))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 9), st.integers(0, 10_000))
def test_coherence_is_that_of_plain_loops(k, seed):
    draw = generator(seed)
    labels = torch.randint(0, 4, (30,), generator=draw)
    images, others = torch.rand(30, 1, 3, 3, generator=draw), torch.randn(30, 5, generator=draw)
    indices = coherence.random_sets(6, k, 30, draw)
    found = coherence.coherence(indices, labels, images, others)
    for row, chosen in enumerate(indices):
        counts = np.bincount(labels[chosen].numpy(), minlength=4)
        assert float(found.purity[row]) == pytest.approx(counts.max() / k)
        assert float(coherence.purity(indices, labels)[row]) == pytest.approx(counts.max() / k)
        assert int(found.label[row]) == counts.argmax()
        assert float(found.entropy[row]) == pytest.approx(stats.entropy(counts, base=2), abs=1e-12)
        for ours, vectors in ((found.pixel_distance, images.flatten(1)), (found.feature_distance, others)):
            pairs = torch.pdist(vectors[chosen].double()).square() / vectors.shape[1]
            assert float(ours[row]) == pytest.approx(float(pairs.mean().sqrt()), rel=1e-9)


def test_overall_distance_is_the_root_mean_square_over_all_pairs():
    vectors = torch.rand(40, 1, 2, 3, generator=generator())
    pairs = torch.pdist(vectors.flatten(1).double()).square() / 6
    assert coherence.overall_distance(vectors) == pytest.approx(float(pairs.mean().sqrt()), rel=1e-9)


def test_coherence_refuses_sets_of_one_and_unequal_numbers():
    one = torch.zeros(3, 1, dtype=torch.long)
    labels = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match="got sets of 1 images"):
        coherence.coherence(one, labels, torch.rand(3, 2), torch.rand(3, 2))
    with pytest.raises(ValueError, match="got 3 labels, 4 images and 3 vectors"):
        coherence.coherence(one.expand(3, 2), labels, torch.rand(4, 2), torch.rand(3, 2))


# Comparison


def test_compare_finds_a_known_difference():
    one = torch.randn(300, generator=generator(1)) + 1
    two = torch.randn(400, generator=generator(2))
    found = coherence.compare(one, two, resamples=2000)
    assert found.difference == pytest.approx(float(one.mean() - two.mean()), rel=1e-6)
    # Standard error of the difference: the interval is normal to within the bootstrap's own noise.
    error = math.sqrt(float(one.var()) / 300 + float(two.var()) / 400)
    assert found.low == pytest.approx(found.difference - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.difference + 1.96 * error, abs=0.15 * error)
    assert found.p == pytest.approx(2 / 2001)  # none of the shuffles is as far out, on either side
    expected = stats.mannwhitneyu(one.numpy(), two.numpy()).statistic / (300 * 400)
    assert found.win == pytest.approx(expected)
    brief = coherence.compare(one, two, resamples=None)
    assert (brief.units, brief.directions, brief.win) == (found.units, found.directions, found.win)
    assert math.isnan(brief.low) and math.isnan(brief.high) and math.isnan(brief.p)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.9, "units higher"),
        (-0.9, -0.1, "directions higher"),
        (-0.9, 0.1, "open"),
        (0.1, 0.4, "equivalent"),
        (-0.4, 0.4, "equivalent"),
    ],
)
def test_the_verdict_of_an_interval(low, high, words):
    assert coherence.verdict(low, high, 0.5) == words


def test_the_test_keeps_its_level_and_ties_win_half():
    draw = generator(3)
    values = torch.rand(200, 2, 12, generator=draw)
    below = [coherence.compare(*pair, resamples=199, seed=i).p <= 0.05 for i, pair in enumerate(values)]
    assert stats.binomtest(sum(below), 200, 0.05).pvalue > 1e-3
    same = coherence.compare(torch.ones(5), torch.ones(4), resamples=99)
    assert (same.difference, same.low, same.high, same.p, same.win) == (0, 0, 0, 1, 0.5)


def test_a_small_exact_case_is_counted_in_full():
    # Two against two: six ways to divide four numbers, the observed one and its mirror are the outermost.
    found = coherence.compare(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0]), resamples=5000)
    assert found.p == pytest.approx(2 / 6)
    assert found.win == 1.0
    with pytest.raises(ValueError, match="got 1 units and 2 directions"):
        coherence.compare(torch.ones(1), torch.ones(2), resamples=9)


def test_rotations_find_a_distinguished_basis_and_none_in_a_round_cloud():
    draw = generator(4)
    labels = torch.randint(0, 8, (800,), generator=draw)

    def purity(indices: torch.Tensor) -> torch.Tensor:
        return coherence.coherence(indices, labels, cloud, cloud).purity

    # Each class sits on an axis of its own: the first 60 on an axis are of one class, on a mixture of axes of several.
    cloud = torch.nn.functional.one_hot(labels, 8) * (0.5 + torch.rand(800, 1, generator=draw))
    null = coherence.rotated(cloud, 60, purity, 39, draw)
    assert null.shape == (39,)
    assert coherence.rank_p(float(purity(coherence.top(cloud, None, 60)).mean()), null) == pytest.approx(2 / 40)

    p_values = []
    for _ in range(60):
        cloud = torch.randn(60, 3, generator=draw)
        labels = torch.randint(0, 4, (60,), generator=draw)
        null = coherence.rotated(cloud, 5, purity, 19, draw)
        p_values.append(coherence.rank_p(float(purity(coherence.top(cloud, None, 5)).mean()), null))
    assert stats.binomtest(sum(p <= 0.2 for p in p_values), 60, 0.2, "greater").pvalue > 1e-3


def test_rank_p_counts_the_observed_value():
    null = torch.arange(9.0)
    assert coherence.rank_p(20.0, null) == pytest.approx(0.2)
    assert coherence.rank_p(-1.0, null) == pytest.approx(0.2)
    assert coherence.rank_p(4.0, null) == 1.0
