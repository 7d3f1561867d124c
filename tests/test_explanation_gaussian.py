"""Explanation vectors: the closed form against autograd, differences and scikit-learn; its average against quad."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from torch import nn

from intriguing import data
from intriguing.chapters.explanation import gaussian
from intriguing.data import Images


@pytest.fixture(scope="module")
def toy():
    points, inside = gaussian.triangle(90)
    return gaussian.gaussian_process(points, inside, length=0.2, amplitude=30.0, fixed=True)


@pytest.fixture
def places() -> torch.Tensor:
    return torch.rand(30, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 1.4 - 0.2


def test_latent_function_and_decision_are_those_of_scikit_learn(toy, places) -> None:
    process, machine = toy
    fitted = machine.base_estimator_
    covariance = fitted.kernel_(places.numpy(), fitted.X_train_)
    mean, variance = process.latent(places)
    assert np.allclose(process.kernel(places), covariance)
    assert np.allclose(mean, covariance @ (fitted.y_train_ - fitted.pi_))
    rest = np.linalg.solve(fitted.L_, fitted.W_sr_[:, None] * covariance.T)
    assert np.allclose(variance, 30.0 - (rest**2).sum(0))
    assert np.array_equal(process.second(places), machine.predict(places.numpy()).astype(bool))
    assert np.allclose(process.probability(places), machine.predict_proba(places.numpy())[:, 1], atol=1e-3)


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (2.5, 0.01), (-3.0, 30.0), (20.0, 1000.0), (-1.0, 0.0)])
def test_the_average_is_the_integral(mean: float, variance: float) -> None:
    got = gaussian.GaussianProcess._average(
        torch.sigmoid, *(torch.tensor([value], dtype=torch.float64) for value in (mean, variance))
    )
    if variance == 0:
        exact = expit(mean)
    else:
        width = variance**0.5
        density = lambda t: expit(mean + width * t) * np.exp(-t * t / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        exact = quad(density, -9, 9, points=[-mean / width], limit=200, epsabs=1e-12)[0]
    assert float(got[0]) == pytest.approx(exact, abs=1e-7)


def test_closed_form_is_autograd_and_central_differences(toy, places) -> None:
    process, _ = toy
    closed = process.gradient(places)
    largest = float(closed.norm(dim=1).max())
    automatic = gaussian.explanation_vector(process.probability, places)
    differences = torch.stack([gaussian.finite_difference(process.probability, place) for place in places])
    assert float((closed - automatic).abs().max()) < 1e-10 * largest
    assert float((closed - differences).abs().max()) < 1e-6 * largest


def test_logits_decide_as_the_averaged_probability(toy, places) -> None:
    process, _ = toy
    logits = process.logits(places.view(-1, 1, 1, 2))
    assert torch.equal(logits.argmax(1) == 1, process.probability(places) > 0.5)


def test_kernel_can_be_chosen_by_the_marginal_likelihood() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(120, 2, generator=generator, dtype=torch.float64)
    second = torch.rand(120, generator=generator) < torch.sigmoid(8 * (points[:, 0] - 0.5))
    process, machine = gaussian.gaussian_process(points, second)
    assert process.length == pytest.approx(machine.base_estimator_.kernel_.k2.length_scale)
    assert (process.length, process.amplitude) != (1.0, 1.0)
    with pytest.raises(ValueError, match="both classes"):
        gaussian.gaussian_process(points, torch.zeros(120, dtype=torch.bool))


def test_vector_of_a_softmax_network_by_hand() -> None:
    linear = nn.Linear(4, 3).double()
    model = nn.Sequential(nn.Flatten(), linear)
    images = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    classes = torch.tensor([0, 1, 2, 1, 0])
    p = model(images).softmax(1).detach()
    own = p.gather(1, classes[:, None])
    weight = linear.weight.detach()
    expected = own * (weight[classes] - p @ weight)
    found = gaussian.explanation_vector(gaussian.class_probability(model, classes), images)
    assert found.shape == images.shape
    assert torch.allclose(found.flatten(1), expected)


def test_flip_distance_of_a_linear_classifier_is_known() -> None:
    weight = torch.tensor([3.0, 4.0], dtype=torch.float64)

    def second(points: torch.Tensor) -> torch.Tensor:
        return points @ weight - 2.5 > 0

    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    directions = torch.tensor([[0.6, 0.8], [-0.6, -0.8], [-1.0, 0.0]], dtype=torch.float64)
    found = gaussian.flip_distance(second, points, directions, reach=3.0)
    assert found[:2].tolist() == pytest.approx([0.5, 0.9], abs=1e-12)
    assert bool(found[2].isnan())


def test_flip_distance_in_the_box_waits_for_the_other_pixels() -> None:
    points = torch.tensor([[0.9, 0.0]], dtype=torch.float64)
    direction = torch.tensor([[0.8, 0.6]], dtype=torch.float64)

    def second(points: torch.Tensor) -> torch.Tensor:
        return points.sum(1) > 1.3  # the first pixel stops at 1, so the second one has to reach 0.3

    found = gaussian.flip_distance(second, points, direction, reach=2.0, clip=True)
    assert float(found[0]) == pytest.approx(0.5, abs=1e-12)
    moved = gaussian.along(points, direction, found, clip=True)
    assert torch.allclose(moved, torch.tensor([[1.0, 0.3]], dtype=torch.float64))


def test_twos_and_eights_fall_back_to_mnist(monkeypatch) -> None:
    def missing():
        raise data.MissingData("not here")

    labels = torch.tensor([8, 2, 1, 8, 2, 8])
    pictures = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    made = Images(pictures, labels, "made up")
    digits = data.Digits(made, made, made, made, "made up 6/6")
    monkeypatch.setattr(data, "usps", missing)
    monkeypatch.setattr(data, "mnist", lambda: digits)
    found, points, eight = gaussian.twos_and_eights(per_class=2)
    assert found is digits
    # The first two of each class, in the order of the file.
    assert torch.equal(points, pictures[[0, 1, 3, 4]].flatten(1).double())
    assert eight.tolist() == [True, False, True, False]


def test_triangle_holds_its_centre_alone() -> None:
    points, inside = gaussian.triangle(4000, seed=1)
    assert 0.15 < float(inside.double().mean()) < 0.28  # its area is 0.208
    near = (points - torch.tensor([0.5, 0.35])).norm(dim=1) < 0.1
    assert bool(inside[near].all()) and not bool(inside[points[:, 1] < 0.2].any())


def test_corners_are_where_the_sides_of_the_triangle_meet() -> None:
    corners = torch.tensor(gaussian.CORNERS, dtype=torch.float64)
    points, inside = gaussian.triangle(4000, seed=1)
    # Barycentric coordinates: inside means that all three are positive.
    weights = torch.linalg.solve(
        torch.cat([corners.T, torch.ones(1, 3).double()]), torch.cat([points.T, torch.ones(1, len(points)).double()])
    )
    assert torch.equal((weights > 0).all(0), inside)


def test_lattice_goes_row_by_row_from_below() -> None:
    assert gaussian.lattice(2, 0.25, 0.75).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_there_is_one_class_for_each_image() -> None:
    probability = gaussian.class_probability(lambda x: x, torch.tensor([0]))
    assert float(probability(torch.zeros(1, 2))) == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"got classes of shape \(1,\); expected one per image, \(2,\)"):
        probability(torch.zeros(2, 2))
