"""Probabilities of an error under noise, against closed forms, SciPy and each other."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

from intriguing.chapters.density import noise


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], len(weight)))
    with torch.no_grad():
        model[1].weight.copy_(weight)
        model[1].bias.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return model.eval().requires_grad_(False)


def plane(pixels: int, distance: float) -> tuple[nn.Module, torch.Tensor]:
    """Two classes, divided by a plane at a Euclidean distance from the one image, across its first pixel."""
    weight = torch.zeros(2, pixels)
    weight[0, 0] = -1.0
    return linear(weight, torch.tensor([0.5 + distance, 0.0])), torch.full((1, 1, 1, pixels), 0.5)


def linear_gaussian(weight: torch.Tensor, bias: torch.Tensor, image: torch.Tensor, radius: float) -> float:
    """Probability that Gaussian noise makes a linear network miss class 0, by SciPy's integral over the other leads.

    Good to about five decimals: SciPy integrates by quasi-random sampling (A. Genz, 1992), here with a fixed seed.
    """
    rows = (weight[0] - weight[1:]).double()
    mean = rows @ image.flatten().double() + (bias[0] - bias[1:]).double()
    covariance = radius**2 * (rows @ rows.T).numpy()
    law = stats.multivariate_normal(-mean.numpy(), covariance, allow_singular=True, seed=0)
    return float(1 - law.cdf(torch.zeros(len(rows)).numpy()))


def ways_of(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Shortest ways from class 0 to each other class of a linear model, (B, J, n)."""
    weight = model[1].weight.double()
    rows = weight[0] - weight[1:]
    logits = model(images).double()
    lead = logits[:, :1] - logits[:, 1:]
    return -(lead / rows.square().sum(1))[:, :, None] * rows


LABEL = torch.tensor([0])


@pytest.mark.parametrize(("k", "n"), [(1, 10), (7, 50), (49, 50), (30, 1000)])
def test_interval_is_that_of_scipy(k, n):
    low, high = noise.interval(torch.tensor([k]), n)
    exact = stats.binomtest(k, n).proportion_ci(0.95, "exact")
    assert (float(low), float(high)) == pytest.approx((exact.low, exact.high), rel=1e-9)


def test_rule_of_three_where_nothing_was_seen():
    low, high = noise.interval(torch.tensor([0, 1000]), 1000)
    assert float(low[0]) == 0 and float(high[1]) == 1
    assert float(high[0]) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert float(high[0]) == pytest.approx(3 / 1000, rel=5e-3)
    assert float(low[1]) == pytest.approx(0.05 ** (1 / 1000))


@pytest.mark.parametrize("k", [-1, 11])
def test_interval_refuses_impossible_counts(k):
    with pytest.raises(ValueError, match="got counts from .*; expected 0 to samples = 10"):
        noise.interval(torch.tensor([k]), 10)


def test_draws_depend_on_the_seed_alone():
    fine, coarse = (torch.cat(list(noise.draws(3500, 5, seed=3, chunk=chunk))) for chunk in (1000, 4000))
    assert torch.equal(fine, coarse) and fine.shape == (3500, 5)
    assert torch.equal(torch.cat(list(noise.draws(1200, 5, seed=3))), fine[:1200])
    assert not torch.equal(fine[:1000], fine[1000:2000])
    assert not torch.equal(torch.cat(list(noise.draws(1000, 5, seed=4))), fine[:1000])
    assert abs(float(fine.mean())) < 0.03 and abs(float(fine.var()) - 1) < 0.04


@pytest.mark.parametrize("kind", noise.KINDS)
def test_counts_agree_with_the_half_space(kind):
    pixels, samples = 16, 40_000
    model, image = plane(pixels, 0.4)
    radii = torch.tensor([0.15, 0.3])
    counts = noise.error_counts(model, image, LABEL, radii, samples, kind=kind)
    assert torch.equal(counts, noise.error_counts(model, image, LABEL, radii, samples, kind=kind, chunk=1000))
    expected = 10 ** noise.half_space(torch.tensor([0.4 / pixels**0.5]), radii, pixels, kind)
    spread = (samples * expected * (1 - expected)).sqrt()
    assert bool(((counts[0] - samples * expected).abs() < 4 * spread).all())


def test_radii_may_be_each_images_own():
    model, image = plane(16, 0.4)
    both = noise.error_counts(model, image.expand(2, -1, -1, -1), LABEL.expand(2), torch.tensor([[0.1], [0.5]]), 2000)
    assert int(both[0, 0]) < int(both[1, 0])


def test_clipping_takes_noise_away():
    """The class is lost where a black pixel gets darker, which it cannot once the image is cut back."""
    model = linear(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([1e-6, 0.0]))
    black = torch.zeros(1, 1, 1, 2)
    free, clipped = (
        int(noise.error_counts(model, black, LABEL, torch.tensor([0.2]), 4000, clip=clip)) for clip in (False, True)
    )
    assert clipped == 0 and abs(free - 2000) < 4 * math.sqrt(1000)


def test_unknown_kind_is_refused():
    model, image = plane(4, 0.4)
    with pytest.raises(ValueError, match="got kind .*; expected 'gaussian' or 'sphere'"):
        noise.error_counts(model, image, LABEL, torch.tensor([0.1]), 10, kind="cube")


def test_half_space_in_closed_form():
    gaussian = noise.half_space(torch.tensor([1.0]), torch.tensor([1.0]), 784)
    assert float(gaussian) == pytest.approx(stats.norm.logcdf(-28) / math.log(10))
    # In three dimensions Archimedes: the share of a cap is linear in its height.
    height = noise.half_space(torch.tensor([0.3]), torch.tensor([0.5]), 3, "sphere")
    assert 10 ** float(height) == pytest.approx((1 - 0.6) / 2)
    assert float(noise.half_space(torch.tensor([1.1]), torch.tensor([1.0]), 50, "sphere")) == -math.inf


def test_bracket_holds_the_integral_of_scipy():
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(4, 30, generator=generator), torch.tensor([9.0, 0, 0, 0])
    model, image = linear(weight, bias), torch.full((1, 1, 5, 6), 0.5)
    assert int(model(image).argmax()) == 0
    distances = ways_of(model, image).norm(dim=2) / 30**0.5
    radii = torch.tensor([0.3, 0.6, 1.0])
    low, high = noise.linear_bracket(distances, radii, 30)
    for i, radius in enumerate(radii.tolist()):
        truth = math.log10(linear_gaussian(weight, bias, image, radius))
        assert float(low[0, i]) - 1e-3 <= truth <= float(high[0, i]) + 1e-3
    assert float(high[0, -1]) > float(low[0, -1])


def test_integral_of_one_plane():
    model, image = plane(16, 0.4)
    truth = linear_gaussian(model[1].weight, model[1].bias, image, 0.3)
    assert truth == pytest.approx(stats.norm.cdf(-0.4 / 0.3), abs=1e-5)


@pytest.mark.parametrize("beta", [2.0, 8.0, 28.0])
def test_tilted_sampling_reaches_what_no_count_can(beta):
    model, image = plane(100, 0.4)
    found = noise.tilted(model, image, LABEL, torch.tensor([0.4 / beta]), ways_of(model, image), 4000)
    truth = stats.norm.logcdf(-beta) / math.log(10)
    error = float(found.relative_error) / math.log(10)
    assert 0 < error < 0.06
    assert abs(float(found.log10) - truth) < 4 * error
    assert 50 < float(found.effective) < 4000


def test_tilted_sampling_of_several_rivals_lies_in_the_bracket():
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(5, 40, generator=generator), torch.tensor([8.0, 0, 0, 0, 0])
    model, image = linear(weight, bias), torch.full((1, 1, 5, 8), 0.5)
    ways = ways_of(model, image)
    radii = torch.tensor([0.1, 0.3, 0.8])
    found = noise.tilted(model, image, LABEL, radii, ways, 8000)
    low, high = noise.linear_bracket(ways.norm(dim=2) / 40**0.5, radii, 40)
    error = 4 * found.relative_error / math.log(10)
    assert bool(((found.log10 > low - error) & (found.log10 < high + error)).all())
    count = noise.error_counts(model, image, LABEL, radii[2:], 20_000) / 20_000
    assert 10 ** float(found.log10[0, 2]) == pytest.approx(
        float(count), rel=5 * float(found.relative_error[0, 2]) + 0.02
    )


def test_weights_average_to_one():
    """Where every draw is an error the probability is one, so that p / q is a ratio of two densities."""
    model, image = plane(50, 0.3)
    found = noise.tilted(model, image, torch.tensor([7]), torch.tensor([0.2]), ways_of(model, image), 8000)
    assert abs(float(found.log10)) < 4 * float(found.relative_error) / math.log(10)
    assert float(found.relative_error) > 0


def test_ways_in_the_wrong_direction_find_nothing_and_say_so():
    model, image = plane(50, 0.3)
    found = noise.tilted(model, image, LABEL, torch.tensor([0.02]), -ways_of(model, image), 2000)
    assert float(found.log10) == -math.inf and float(found.relative_error) == math.inf
    assert float(found.effective) == 0


def test_tilted_sampling_does_not_depend_on_chunks_or_missing_ways():
    model, image = plane(20, 0.3)
    ways = ways_of(model, image)
    radii = torch.tensor([0.05, 0.1])
    one = noise.tilted(model, image, LABEL, radii, ways, 3000)
    two = noise.tilted(model, image, LABEL, radii, ways, 3000, chunk=1000)
    assert torch.allclose(one.log10, two.log10, atol=1e-9) and torch.allclose(one.effective, two.effective)
    padded = torch.cat([ways, torch.full_like(ways, torch.nan)], 1)
    assert torch.allclose(noise.tilted(model, image, LABEL, radii, padded, 3000).log10, one.log10, atol=1e-9)


def test_ways_must_fit_the_images():
    model, image = plane(20, 0.3)
    with pytest.raises(ValueError, match=r"got ways of shape .*; expected \(1, J, 20\)"):
        noise.tilted(model, image, LABEL, torch.tensor([0.1]), torch.zeros(1, 20), 10)


def test_sharing_the_first_layer_changes_nothing():
    generator = torch.Generator().manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Sigmoid(), nn.Linear(6, 3)).eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(2 * torch.randn(parameter.shape, generator=generator))
    images = torch.rand(3, 1, 3, 4, generator=generator)
    labels, radii = model(images).argmax(1), torch.tensor([0.1, 0.5])
    plain = lambda x: model(x)  # noqa: E731 - a function, which cannot be taken apart
    shared, apart = (noise.error_counts(one, images, labels, radii, 3000) for one in (model, plain))
    assert bool(((shared - apart).abs() <= 1).all()) and int(shared.sum()) > 0
    ways = 0.3 * torch.randn(3, 2, 12, generator=generator)
    shared, apart = (noise.tilted(one, images, labels, radii, ways, 3000) for one in (model, plain))
    assert torch.allclose(shared.log10, apart.log10, atol=1e-3)


class Doubled(nn.Sequential):
    """A chain of layers that does something else with them."""

    def forward(self, images):
        return super().forward(2 * images)


def _layers(*, bias: bool = True) -> list[nn.Module]:
    generator = torch.Generator().manual_seed(5)
    layers = [nn.Flatten(), nn.Linear(12, 6, bias=bias), nn.Sigmoid(), nn.Linear(6, 3)]
    with torch.no_grad():
        for layer in layers[1::2]:
            for parameter in layer.parameters():
                parameter.copy_(2 * torch.randn(parameter.shape, generator=generator))
    return layers


def _hooked() -> nn.Module:
    model = nn.Sequential(*_layers())
    model[1].register_forward_hook(lambda _, __, output: output - 1)
    return model


def _replaced() -> nn.Module:
    model = nn.Sequential(*_layers())
    model[1].forward = lambda flat: flat[:, 6:] - flat[:, :6]
    return model


@pytest.mark.parametrize(
    "make",
    [lambda: Doubled(*_layers()), _hooked, _replaced, lambda: nn.Sequential(*_layers(bias=False))],
    ids=["class of its own", "hook", "forward replaced", "no bias"],
)
def test_what_the_weights_alone_do_not_say_is_asked_of_the_model(make):
    model = make().eval().requires_grad_(False)
    images = torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    labels, radii = model(images).argmax(1), torch.tensor([0.1, 1.5])
    found, wanted = (noise.error_counts(one, images, labels, radii, 2000) for one in (model, lambda x: model(x)))
    assert bool(((found - wanted).abs() <= 1).all()) and int(wanted.sum()) > 0
    ways = torch.randn(2, 2, 12, generator=torch.Generator().manual_seed(2))
    found, wanted = (noise.tilted(one, images, labels, radii, ways, 2000) for one in (model, lambda x: model(x)))
    assert torch.allclose(found.log10, wanted.log10, atol=1e-2)


def test_there_is_one_label_for_each_image_and_no_dropout():
    model, image = plane(20, 0.3)
    for count in (noise.error_counts, noise.tilted):
        ways = (torch.zeros(1, 1, 20),) if count is noise.tilted else ()
        with pytest.raises(ValueError, match=r"got labels of shape \(2,\); expected one per image"):
            count(model, image, LABEL.expand(2), torch.tensor([0.1]), *ways, 10)
        dropping = nn.Sequential(*model, nn.Dropout()).eval()
        dropping[2].train()
        with pytest.raises(ValueError, match="'2' .*training mode"):
            count(dropping, image, LABEL, torch.tensor([0.1]), *ways, 10)
