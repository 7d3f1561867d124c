"""Training against hand-computed sums, scikit-learn and automatic differentiation, and what the cache keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from intriguing import data
from intriguing.attack import files
from intriguing.book import settings
from intriguing.data import Images
from intriguing.models import recipes, training


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_CACHE", str(tmp_path))
    monkeypatch.setenv("INTRIGUING_PROFILE", "quick")
    monkeypatch.setenv("INTRIGUING_DEVICE", "cpu")


@pytest.fixture(scope="module")
def digits() -> data.Digits:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTRIGUING_PROFILE", "quick")
        return data.mnist()


def subset(images: Images, step: int, name: str = "some digits") -> Images:
    return Images(images.images[::step], images.labels[::step], name)


def test_weight_decay_by_hand_in_both_readings():
    first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]]))  # sum of squares 15, three units
        second.weight.copy_(torch.tensor([[1.0, -1.0, 2.0]]))  # 6, one unit
        first.bias.fill_(100)
    decay = [0.1, 0.5]
    assert training.weight_decay([first, second], decay, per_unit=False).item() == pytest.approx(0.1 * 15 + 0.5 * 6)
    assert training.weight_decay([first, second], decay, per_unit=True).item() == pytest.approx(0.1 * 5 + 0.5 * 6)
    with pytest.raises(ValueError):
        training.weight_decay([first, second], [0.1], per_unit=True)


def classifier() -> nn.Module:
    """The brightest of three pixels."""
    model = nn.Linear(3, 3, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.eye(3))
    return model


@pytest.mark.parametrize("chunk", [1, 2, 3, 4000])
def test_predictions_and_errors_by_hand(monkeypatch, chunk):
    monkeypatch.setattr(training, "CHUNK", chunk)
    images = torch.eye(3)[[0, 2, 1, 1, 2, 0, 0]]
    assert training.predict(classifier(), images).tolist() == [0, 2, 1, 1, 2, 0, 0]
    assert training.error_rate(classifier(), images, torch.tensor([0, 2, 1, 0, 2, 0, 1])) == pytest.approx(2 / 7)
    assert training.predict(classifier(), images[:0]).shape == (0,)
    assert training.error_rate(lambda x: x, images, torch.tensor([0, 2, 1, 0, 2, 0, 1])) == pytest.approx(2 / 7)


@pytest.mark.parametrize(
    ("images", "labels", "kind", "words"),
    [
        (torch.eye(3), torch.arange(3)[:, None], ValueError, r"labels of shape \(3, 1\); expected one per image"),
        (torch.eye(3), torch.arange(1), ValueError, r"labels of shape \(1,\); expected one per image"),
        (torch.eye(3), torch.arange(3.0), TypeError, "expected int64"),
        (torch.eye(3)[:0], torch.arange(0), ValueError, "got no images"),
        (torch.full((3, 3), torch.nan), torch.zeros(3).long(), ValueError, "got NaN among the logits"),
    ],
)
def test_what_has_no_error_rate_is_refused(images, labels, kind, words):
    with pytest.raises(kind, match=words):
        training.error_rate(classifier(), images, labels)


def test_a_layer_left_in_training_mode_is_refused_before_it_changes():
    model = nn.Sequential(nn.BatchNorm1d(3), classifier()).eval()
    model[0].train()
    with pytest.raises(ValueError, match="'0' .*training mode"):
        training.error_rate(model, torch.eye(3), torch.arange(3))
    assert torch.equal(model[0].running_mean, torch.zeros(3))


@pytest.mark.parametrize("strength", [-1e-3, float("nan"), float("inf")])
def test_a_decay_that_is_none_is_refused(digits, strength):
    with pytest.raises(ValueError, match="decay.* expected a finite number of at least 0"):
        training.trained("FC10(1)", subset(digits.train, 100), decay=(strength,), max_iterations=2)


def test_a_training_that_diverges_is_not_kept(digits):
    with pytest.raises(FloatingPointError, match=r"loss.* of FC10\(1\).*lower the weight decay"):
        training.trained("FC10(1)", subset(digits.train, 100), decay=(1e38,), max_iterations=2)
    assert not list((files.cache_folder() / "weights").glob("FC10*"))


def test_a_second_call_trains_nothing(monkeypatch, digits):
    images = subset(digits.train, 40)
    calls = []
    train = training._train
    monkeypatch.setattr(training, "_train", lambda *arguments: calls.append(1) or train(*arguments))
    options = {"max_iterations": 3}
    first = training.trained("FC10(1e-2)", images, **options)
    second = training.trained("FC10(1e-2)", images, **options)
    assert len(calls) == 1
    assert (first.loss, first.iterations, first.gradient, first.seconds) == (
        second.loss,
        second.iterations,
        second.gradient,
        second.seconds,
    )
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b) and not a.requires_grad
    assert not first.model.training and first.iterations == 3
    training.trained("FC10(1e-2)", images, seed=1, **options)
    training.trained("FC10(1e-2)", images, per_unit=True, **options)
    training.trained("FC10(1e-2)", images, decay=(0.02,), **options)
    training.trained("FC10(1e-2)", images, max_iterations=4)
    training.trained("FC10(1e-2)", replace(images, labels=images.labels.roll(1)), **options)
    training.trained("FC10(1e-2)", replace(images, name="another name"), **options)  # is the same data
    training.trained("FC10(1e-2)", subset(digits.train, 41), **options)
    assert len(calls) == 7


def test_an_unknown_network(digits):
    with pytest.raises(KeyError, match="expected one of FC10"):
        training.trained("FC11", digits.train)


@pytest.mark.parametrize(("per_unit", "decay"), [(False, 0.01), (True, 0.1)])
def test_the_softmax_converges_to_scikit_learns_optimum(digits, per_unit, decay):
    from sklearn.linear_model import LogisticRegression

    images = subset(digits.train, 13)
    net = training.trained("FC10(1e-2)", images, per_unit=per_unit, decay=(decay,), max_iterations=400)
    assert net.gradient < 1e-4 and net.iterations < 400
    strength = decay / 10 if per_unit else decay  # of the sum of squares, both ways
    x, y = images.images.flatten(1).double(), images.labels
    peer = LogisticRegression(C=1 / (2 * strength * len(x)), tol=1e-8, max_iter=5000).fit(x.numpy(), y.numpy())
    weight, bias = torch.from_numpy(peer.coef_), torch.from_numpy(peer.intercept_)
    expected = F.cross_entropy(x @ weight.T + bias, y) + strength * weight.square().sum()
    assert net.loss == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(net.model[-1].weight.double(), weight, atol=2e-3, rtol=0)
    assert training.error_rate(net.model, images.images, y) < 0.1


def test_the_gradient_is_that_of_the_whole_sum(monkeypatch, digits):
    """One L-BFGS evaluation: the loss and the gradient that the optimiser sees, whatever the chunk."""
    images = subset(digits.train, 40)
    model = recipes.build("FC100-100-10")
    decay = recipes.recipe("FC100-100-10").decay
    layers = recipes.weight_layers(model)
    loss = F.cross_entropy(model(images.images), images.labels)
    loss = loss + sum(d * layer.weight.square().sum() for d, layer in zip(decay, layers, strict=True))
    expected = torch.autograd.grad(loss, list(model.parameters()))
    monkeypatch.setattr(training, "CHUNK", 17)

    def once(parameters, loss_and_gradient, cap, title):
        model.zero_grad()
        assert float(loss_and_gradient()) == pytest.approx(loss.item(), rel=1e-5)
        for parameter, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)
        return 0.0, 0, 0.0

    monkeypatch.setattr(training, "_full_batch", once)
    key = {"decay": decay, "per_unit": False, "iterations": 1, "model": "FC100-100-10"}
    training.train_classifier(model, images.images.flatten(1), images.labels, key)


@pytest.mark.parametrize("chunk", [7, 4000])
def test_the_autoencoders_gradient_is_that_of_the_whole_formula(monkeypatch, chunk):
    monkeypatch.setattr(training, "CHUNK", chunk)
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Sigmoid()).double()
    pixels = torch.rand(30, 1, 3, 4, dtype=torch.float64)
    torch.set_default_dtype(torch.float64)  # the decoder is made inside

    def once(parameters, loss_and_gradient, cap, title):
        value = loss_and_gradient()
        w, b, v, a = parameters
        x = pixels.flatten(1)
        h = torch.sigmoid(x @ w.T + b)
        rho, mean = training.SPARSITY, h.mean(0)
        divergence = rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()
        error = 0.5 * (torch.sigmoid(h @ v.T + a) - x).square().sum(1).mean()
        penalty = training.AUTOENCODER_DECAY * (w.square().sum() + v.square().sum())
        total = error + training.SPARSITY_WEIGHT * divergence.sum() + penalty
        assert float(value) == pytest.approx(total.item(), rel=1e-10)
        for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-12)
        seen.append(len(parameters))
        return 0.0, 0, 0.0

    seen: list[int] = []
    monkeypatch.setattr(training, "_full_batch", once)
    try:
        training._train_autoencoder(encoder, pixels, seed=0, max_iterations=1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert seen == [4]


def test_the_autoencoders_features_do_not_see_the_labels(monkeypatch, digits):
    images = subset(digits.train, 20)
    monkeypatch.setattr(settings, "profile", lambda: replace(settings.PROFILES["quick"], autoencoder_iterations=5))
    net = training.trained("AE400-10", images, max_iterations=30)
    other = training.trained(
        "AE400-10", replace(images, labels=(images.labels + 1) % 10, name="renamed"), max_iterations=30
    )
    assert torch.equal(net.model[1].weight, other.model[1].weight)
    assert not torch.equal(net.model[-1].weight, other.model[-1].weight)
    assert training.error_rate(net.model, images.images, images.labels) < 0.5


def test_the_convolutional_network_learns(digits, monkeypatch):
    monkeypatch.setattr(settings, "profile", lambda: replace(settings.PROFILES["quick"], epochs=3))
    net = training.trained("ConvNet", subset(digits.train, 4))
    assert net.iterations == 3
    assert training.error_rate(net.model, digits.test.images, digits.test.labels) < 0.2


def test_the_weights_on_disk_are_those_of_the_network(digits):
    net = training.trained("FC10(1)", subset(digits.train, 100), max_iterations=2)
    kept = list((files.cache_folder() / "weights").glob("FC10(1)-*.safetensors"))
    assert len(kept) == 1 and net.iterations <= 2
