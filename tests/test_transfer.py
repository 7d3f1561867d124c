"""The error matrix by hand, the statistics of the noise, and the distortion between pairs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.perturbations import gaussian_noise, noise_of_size, rms
from intriguing.book.tables import adversarial_sets, error_matrix


def brightest(order: list[int]) -> nn.Module:
    """Says which of three pixels is brightest, with the classes renamed."""
    model = nn.Linear(3, 3, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.eye(3)[order])
    return model


def test_error_matrix_by_hand():
    models = {"right": brightest([0, 1, 2]), "swaps": brightest([1, 0, 2])}
    sets = {"clean": torch.eye(3)[[0, 1, 2, 2]], "dimmed": torch.eye(3)[[0, 0, 0, 2]]}
    labels = torch.tensor([0, 1, 2, 2])
    assert error_matrix(models, sets, labels) == {"clean": [0.0, 0.5], "dimmed": [0.5, 0.5]}
    assert list(error_matrix(models, sets, labels)) == ["clean", "dimmed"]
    assert error_matrix(models, {"dimmed": sets["dimmed"]}, torch.tensor([0, 0, 0, 2])) == {"dimmed": [0.0, 0.75]}


def test_error_matrix_accepts_noise_outside_the_box():
    sets = {"noisy": 3 * torch.eye(3) - 1}
    assert error_matrix({"right": brightest([0, 1, 2])}, sets, torch.arange(3)) == {"noisy": [0.0]}


@pytest.mark.parametrize("count", [2, 4])
def test_error_matrix_refuses_another_number_of_images(count):
    with pytest.raises(ValueError, match=f"got {count} images in 'short'; expected 3, one per label"):
        error_matrix({"m": brightest([0, 1, 2])}, {"short": torch.zeros(count, 3)}, torch.arange(3))


def test_adversarial_sets_fool_their_own_model():
    models = {"right": brightest([0, 1, 2]), "swaps": brightest([1, 0, 2])}
    images = torch.tensor([[0.9, 0.2, 0.1], [0.3, 0.8, 0.1], [0.1, 0.2, 0.7]])
    labels = torch.arange(3)
    targets = (labels + 1) % 3
    sets = adversarial_sets(models, images, targets)
    assert list(sets) == ["right", "swaps"]
    assert all(found.success.all() for found in sets.values())
    expected = minimum_distortion(models["swaps"], images, targets)
    assert torch.equal(sets["swaps"].images, expected.images)
    errors = error_matrix(models, {name: found.images for name, found in sets.items()}, labels)
    assert errors["right"][0] == 1.0
    assert errors["swaps"][1] == 1.0


def test_noise_has_the_asked_deviation():
    images = torch.full((40, 1, 28, 28), 0.5)
    noise = gaussian_noise(images, 0.1, clip=False) - images
    assert noise.shape == images.shape and noise.dtype == images.dtype
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.003)
    assert ((noise.abs() < 0.1).float().mean().item()) == pytest.approx(0.6827, abs=0.01)  # Gaussian, not uniform
    assert torch.corrcoef(noise.flatten(1)).fill_diagonal_(0).abs().max() < 0.2  # each image has its own
    assert rms(images, images + noise).mean().item() == pytest.approx(0.1, rel=0.02)


def test_noise_is_clipped_on_request_only():
    images = torch.cat([torch.zeros(5, 100), torch.ones(5, 100)])
    free, clipped = (gaussian_noise(images, 0.3, clip=clip) for clip in (False, True))
    assert free.min() < 0 and free.max() > 1
    assert clipped.min() == 0 and clipped.max() == 1
    assert torch.equal(clipped, free.clamp(0, 1))
    assert rms(clipped, images).mean().item() == pytest.approx(0.3 / 2**0.5, rel=0.1)  # half of the energy is lost


def test_noise_is_seeded():
    images = torch.full((2, 50), 0.5, dtype=torch.float64)
    noisy = gaussian_noise(images, 0.1, clip=False)
    assert noisy.dtype == torch.float64
    assert torch.equal(noisy, gaussian_noise(images, 0.1, clip=False))
    assert torch.equal(noisy, gaussian_noise(images, 0.1, clip=False, generator=torch.Generator().manual_seed(0)))
    generator = torch.Generator().manual_seed(1)
    first, second = (gaussian_noise(images, 0.1, clip=False, generator=generator) for _ in range(2))
    assert not torch.equal(first, second) and not torch.equal(first, noisy)
    assert torch.equal(gaussian_noise(images, 0.0, clip=True), images)


@pytest.mark.parametrize("stddev", [-0.1, float("nan")])
def test_noise_refuses_a_deviation_that_is_none(stddev):
    with pytest.raises(ValueError, match="got stddev .*; expected a finite number of at least 0"):
        gaussian_noise(torch.zeros(1, 4), stddev, clip=True)


def test_noise_refuses_images_outside_the_box():
    with pytest.raises(ValueError, match=r"expected every pixel in \[0, 1\]"):
        gaussian_noise(torch.full((1, 4), 1.5), 0.1, clip=True)


def test_rms_by_hand():
    a = torch.zeros(3, 1, 2, 2)
    b = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1], [0.2, 0, 0, 0]]).view(3, 1, 2, 2)
    assert rms(a, b).dtype == torch.float64
    torch.testing.assert_close(rms(a, b), torch.tensor([0, 1, 0.1], dtype=torch.float64), atol=1e-8, rtol=0)
    assert torch.equal(rms(a, b), rms(b, a))


def test_rms_refuses_two_shapes():
    with pytest.raises(ValueError, match=r"got \(2, 4\) and \(1, 4\); expected two sets of one shape"):
        rms(torch.zeros(2, 4), torch.zeros(1, 4))


def test_noise_of_a_size_has_it_on_every_image():
    images = torch.full((3, 1, 5, 5), 0.5)
    sizes = torch.tensor([0.0, 0.1, 0.4]).double()
    noisy = noise_of_size(images, sizes)
    assert noisy.dtype == torch.float32
    torch.testing.assert_close(rms(noisy, images), sizes, rtol=1e-5, atol=1e-7)
    # The direction does not hang on the size, so that two sizes can be compared.
    torch.testing.assert_close((noise_of_size(images, sizes / 2) - images) * 2, noisy - images, rtol=1e-4, atol=1e-6)
    assert not torch.equal((noisy[1] - 0.5) * 4, noisy[2] - 0.5)


def test_noise_of_a_size_refuses_another_number_of_sizes():
    with pytest.raises(ValueError, match=r"got sizes of shape \(2,\) for images of shape \(3, 4\); expected \(N,\)"):
        noise_of_size(torch.zeros(3, 4), torch.zeros(2))
