"""What is refused of a model, what is left alone, and who has the last word on success."""

from __future__ import annotations

import collections
import copy
import functools
import threading
import types
import warnings
import weakref
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torchvision import transforms

from intriguing.attack import models
from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.models import Classifier, apart, duplicate
from intriguing.attack.readiness import check_model


@pytest.fixture(autouse=True)
def same_networks_in_every_order():
    torch.manual_seed(0)  # of some networks the class asked for cannot be had


def network() -> nn.Sequential:
    block = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Dropout(0.5))
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), block, nn.Linear(16, 4)).eval()


def test_a_child_in_training_mode_is_named():
    model = network()
    check_model(model)
    model[2][2].train()
    with pytest.raises(ValueError, match=r"got a model whose '2\.2' \(Dropout\) is in training mode; expected every"):
        check_model(model)
    model[2].train()
    with pytest.raises(ValueError, match=r"'2' \(Sequential\) and 3 more is in training mode; .*; call model.eval\(\)"):
        check_model(model)
    assert model[2][1].training and not model.training  # looked at, not changed
    with pytest.raises(ValueError, match="got a model in training mode; expected one in evaluation mode"):
        check_model(model.train())


def test_functions_are_looked_through():
    model = network()
    wrapped = [lambda x: model(x), functools.partial(model), model.forward, functools.partial(model.forward)]
    for function in wrapped:
        check_model(function)
    model[2][2].train()
    for function in wrapped:
        with pytest.raises(ValueError, match=r"'2\.2' \(Dropout\) is in training mode"):
            check_model(function)
    check_model(torch.relu)
    check_model(3)


class Holder:
    """A callable object, and one with a method."""

    def __init__(self, model):
        self.models = [model]

    def __call__(self, images):
        return self.models[0](images)

    def logits(self, images):
        return self.models[0](images)


def nested(inner):
    return lambda x: inner(x)


REACHED = {
    "list": lambda model: (lambda models: lambda x: sum(one(x) for one in models))([model, network()]),
    "dict": lambda model: (lambda models: lambda x: models["one"](x))({"one": model}),
    "function in a function": lambda model: (lambda inner: lambda x: inner(x))(lambda x: model(x)),
    "three functions deep": lambda model: nested(nested(nested(model))),
    "default": lambda model: lambda x, model=model: model(x),
    "default by name": lambda model: lambda x, *, model=model: model(x),
    "callable object": Holder,
    "method of an object": lambda model: Holder(model).logits,
    "wrapped": lambda model: functools.wraps(BASE.forward)(lambda x: model(x)),
    "cache": lambda model: functools.lru_cache(lambda x: model(x)),
    "part": lambda model: functools.partial(lambda model, x: model(x), model),
}


@pytest.mark.parametrize("how", REACHED)
def test_a_module_that_a_function_reaches_keeps_its_statistics(how):
    model = network()
    function = REACHED[how](model)
    check_model(function)
    assert minimum_distortion(function, IMAGES[:1], (model(IMAGES[:1]).argmax(1) + 1) % 4).success.all()
    model[2][1].train()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"got a model whose '2.1' \(BatchNorm1d\) is in training mode"):
        minimum_distortion(function, IMAGES, TARGETS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Experiment:
    """A network in evaluation mode beside a loss, which nobody ever sets to it."""

    def __init__(self):
        self.net, self.loss = BASE, nn.CrossEntropyLoss()

    def logits(self, images):
        return self.net(images)


def beside(layer, last=False):
    return (lambda x: layer(BASE(x))) if last else lambda x: BASE(layer(x))


MODELESS = {
    "normalisation": lambda: beside(transforms.Normalize(0.0, 1.0)),
    "composed": lambda: transforms.Compose([transforms.Normalize(0.0, 1.0), BASE]),
    "softmax": lambda: beside(nn.Softmax(1), last=True),
    "layers": lambda: beside(nn.Sequential(nn.Upsample(scale_factor=1), nn.Identity())),
    "loss": lambda: Experiment().logits,
}


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("how", MODELESS)
def test_a_function_may_use_modules_that_training_mode_does_not_change(how, refine):
    found = minimum_distortion(MODELESS[how](), IMAGES, TARGETS, refine=refine)
    torch.testing.assert_close(found.rms, reference(refine).rms, rtol=1e-3, atol=0)


@pytest.mark.parametrize("layer", [nn.Dropout(0.1), nn.RReLU(), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1)], ids=type)
def test_what_training_mode_may_change_is_named(layer):
    kind = type(layer).__name__
    with pytest.raises(ValueError, match=rf"got a function that uses a {kind} in training .*; call eval\(\) on it"):
        check_model(beside(layer))
    with pytest.raises(ValueError, match=r"got a function that uses a Sequential in training mode"):
        check_model(beside(nn.Sequential(nn.Flatten(), layer)))
    check_model(beside(layer.eval()))
    with pytest.raises(ValueError, match="got a model in training mode"):
        check_model(nn.Softmax(1))  # given itself


class Noisy(nn.Module):
    """The network with noise far below what is taken for another answer."""

    def __init__(self, size):
        super().__init__()
        self.inner, self.size, self.chance = copy.deepcopy(BASE), size, torch.Generator().manual_seed(0)

    def forward(self, images):
        logits = self.inner(images)
        return logits + self.size * torch.randn(logits.shape, generator=self.chance).to(logits)

    def __deepcopy__(self, memo):
        return Noisy(self.size).eval().to(next(self.parameters()).dtype)


@pytest.mark.parametrize("refine", [False, True])
def test_a_little_noise_does_not_undo_success(refine):
    model = Noisy(1e-5).eval()
    found = minimum_distortion(model, IMAGES, TARGETS, refine=refine)
    assert found.success.all()
    for _ in range(30):
        assert (model(found.images).argmax(1) == TARGETS).all()
    torch.testing.assert_close(found.rms, reference(refine).rms, rtol=5e-2, atol=1e-4)


def test_an_exported_program_has_no_mode():
    program = torch.export.export(network(), (torch.rand(3, 1, 6, 6),)).module()
    assert program.training
    check_model(program)


torch.manual_seed(0)
BASE = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4)).eval()
IMAGES = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
TARGETS = (BASE(IMAGES).argmax(1) + 1) % 4


class Wrapped(nn.Module):
    """The network inside of something that does more."""

    def __init__(self, forward):
        super().__init__()
        self.inner, self.how = copy.deepcopy(BASE), forward

    def forward(self, images):
        return self.how(self, images)


def wrapped(forward):
    return Wrapped(forward).eval()


def with_features(self, images):
    self.features = self.inner[1](self.inner[0](images))
    return self.inner[3](self.inner[2](self.features))


def shifted(self, images):
    images -= 0.5
    return self.inner(images + 0.5)


def used(model):
    model(IMAGES)
    return model


class Recorder:
    def __init__(self):
        self.seen = {}

    def __call__(self, module, given, answer):
        self.seen["answer"] = answer


def recorded():
    model, seen = copy.deepcopy(BASE), []
    model[1].register_forward_hook(Recorder())
    model[2].register_forward_hook(lambda module, given, answer: seen.append(answer))
    return used(model)


def old_weight_norm():
    model = copy.deepcopy(BASE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(model[1])
    return used(model.eval())


def new_weight_norm():
    model = copy.deepcopy(BASE)
    parametrizations.weight_norm(model[1])
    return used(model.eval())


def pruned():
    model = copy.deepcopy(BASE)
    prune.custom_from_mask(model[1], "weight", torch.ones(16, 36))
    return used(model)


def compiled(how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(copy.deepcopy(BASE), IMAGES) if how == "trace" else torch.jit.script(BASE)
        return torch.jit.freeze(scripted) if how == "freeze" else scripted


def exported():
    return torch.export.export(BASE, (IMAGES,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()


def locked():
    model = copy.deepcopy(BASE)
    model.lock = threading.Lock()
    return model


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return torch.from_numpy(slope.detach().numpy().copy())  # cannot be batched


def masked(value):
    return lambda self, images: F.pad(self.inner(images), (0, 3), value=value)


SAME = {
    "features": lambda: used(wrapped(with_features)),
    "recording hooks": recorded,
    "old weight norm": old_weight_norm,
    "new weight norm": new_weight_norm,
    "pruned": pruned,
    "float inside": lambda: wrapped(lambda self, images: self.inner(images.float())),
    "in place": lambda: wrapped(shifted),
    "first layer in place": lambda: nn.Sequential(nn.ReLU(inplace=True), copy.deepcopy(BASE)).eval(),
    "traced": lambda: compiled("trace"),
    "scripted": lambda: compiled("script"),
    "frozen": lambda: compiled("freeze"),
    "exported": exported,
    "lock": locked,
    "function of its own precision": lambda: lambda images: BASE(images),
    "method": lambda: BASE.forward,
    "no batched gradient": lambda: wrapped(lambda self, images: self.inner(Straight.apply(images))),
    "probabilities": lambda: wrapped(lambda self, images: self.inner(images).softmax(1)),
    "probabilities, some always 0": lambda: wrapped(lambda self, images: masked(-torch.inf)(self, images).softmax(1)),
    "probabilities in per cent": lambda: wrapped(lambda self, images: 100 * self.inner(images).softmax(1)),
    "float64": lambda: copy.deepcopy(BASE).double(),
    "-1e3": lambda: wrapped(masked(-1e3)),
    "-1e9": lambda: wrapped(masked(-1e9)),
    "-inf": lambda: wrapped(masked(-torch.inf)),
}


@functools.cache
def reference(refine):
    return minimum_distortion(BASE, IMAGES, TARGETS, refine=refine)


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("name", SAME)
def test_the_same_network_in_another_dress_has_the_same_distortion(name, refine):
    model = SAME[name]()
    state = copy.deepcopy(dict(model.state_dict())) if isinstance(model, nn.Module) else {}
    images, chance = IMAGES.clone(), torch.get_rng_state()
    found = minimum_distortion(model, images, TARGETS, refine=refine)
    exact = 1e-5 if name != "first layer in place" else 3e-2  # whose relu has a kink at a black pixel
    torch.testing.assert_close(found.rms, reference(refine).rms, rtol=exact, atol=0)
    dtype = torch.float64 if name == "float64" else torch.float32
    assert (model(found.images.to(dtype)).argmax(1) == TARGETS).all() and found.success.all()
    assert torch.equal(images, IMAGES) and torch.equal(chance, torch.get_rng_state())
    assert all(torch.equal(value, state[key]) for key, value in getattr(model, "state_dict", dict)().items())


def complex_network():
    model = wrapped(
        lambda self, images: self.inner(torch.fft.irfft(torch.fft.rfft(images) * self.turn, n=6, dim=3).real)
    )
    model.turn = nn.Parameter(torch.polar(torch.ones(4), torch.tensor([0.0, 1.0, 2.0, 0.0])))
    return model


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.lstm, self.last = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, images):
        zeros = torch.zeros(1, len(images), 8)
        return 9 * self.last(self.lstm(images[:, 0], (zeros, zeros))[0][:, -1])


OWN = {
    "bfloat16": lambda: copy.deepcopy(BASE).to(torch.bfloat16),
    "float16": lambda: copy.deepcopy(BASE).half(),
    "far from zero": lambda: wrapped(lambda self, images: self.inner(images) + 1e4),
    "complex": complex_network,
    "recurrent": lambda: Recurrent().eval(),
    "saturated": lambda: wrapped(lambda self, images: (40 * self.inner(images)).softmax(1)),
    "sigmoids": lambda: wrapped(lambda self, images: (40 * self.inner(images)).sigmoid()),
    "a hook that changes the output": lambda: hooked(),
}


def hooked():
    model = copy.deepcopy(BASE)
    model[1].register_forward_hook(lambda module, given, answer: 3 * answer)
    return model


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_success_is_what_the_users_model_says(name, refine):
    model = OWN[name]()
    dtype = next(value.dtype for value in model.parameters() if value.is_floating_point())
    with torch.no_grad():
        targets = model(IMAGES.to(dtype)).argsort(1, descending=True)[:, 1]
    found = minimum_distortion(model, IMAGES, targets, refine=refine)
    with torch.no_grad():
        assert torch.equal(model(found.images.to(dtype)).argmax(1) == targets, found.success)
    assert found.success.all() and (found.rms < 0.3).all()


def test_a_target_that_cannot_win_is_a_failure_and_harms_no_other():
    model, targets = wrapped(masked(-torch.inf)), TARGETS.clone()
    targets[3] = 5
    for refine in (False, True):
        found = minimum_distortion(model, IMAGES, targets, refine=refine)
        assert found.success.tolist() == [row != 3 for row in range(8)]
        assert torch.equal(found.images[3], IMAGES[3])
        others = torch.arange(8) != 3
        torch.testing.assert_close(found.rms[others], reference(refine).rms[others], rtol=1e-5, atol=0)


def divided(self, images):
    return 40 * self.inner(18 * images / images.sum((1, 2, 3), keepdim=True))  # NaN for a black image


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("scores", [lambda logits: logits.softmax(1), torch.sigmoid])
def test_probabilities_are_told_from_logits_where_black_has_none(scores, refine):
    logits = minimum_distortion(wrapped(divided), IMAGES, TARGETS, refine=refine)
    found = minimum_distortion(wrapped(lambda *given: scores(divided(*given))), IMAGES, TARGETS, refine=refine)
    assert found.success.all()
    torch.testing.assert_close(found.rms, logits.rms, rtol=1e-2, atol=0)


@pytest.mark.parametrize("refine", [False, True])
def test_what_scores_mean_does_not_depend_on_which_image_is_first(refine):
    """Scores of a model with positive weights, of which only those of a dark image look like chances."""
    weight = 0.15 * torch.rand(4, 36, generator=torch.Generator().manual_seed(0)).square()
    images = torch.cat([0.4 + 0.2 * IMAGES[:1], 0.7 + 0.3 * IMAGES[1:]])
    model = lambda x: x.flatten(1) @ weight.T + 1e-4  # noqa: E731
    targets = model(images).argsort(1)[:, 2]
    one = minimum_distortion(model, images, targets, refine=refine)
    other = minimum_distortion(model, images.flip(0), targets.flip(0), refine=refine)
    assert one.success.all()
    torch.testing.assert_close(other.rms.flip(0), one.rms, rtol=1e-4, atol=0)


def small(factor: float) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """A network whose logits are so many times the usual ones, with images and targets."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4)).eval().requires_grad_(False)
    for value in (model[3].weight, model[3].bias):
        value.mul_(factor)
    images = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(3))
    return model, images, (model(images).argmax(1) + 1) % 4


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("factor", [1, 8, 12])
def test_chances_need_not_be_close_to_0_or_1(factor, refine):
    model, images, targets = small(factor)
    logits = minimum_distortion(model, images, targets, refine=refine)
    sigmoids = nn.Sequential(model, nn.Sigmoid()).eval()
    found = minimum_distortion(sigmoids, images, targets, refine=refine)
    assert found.success.all()
    torch.testing.assert_close(found.rms, logits.rms, rtol=1e-4, atol=0)
    alone = minimum_distortion(sigmoids, images[:1], targets[:1], refine=refine)  # whatever other images come along
    torch.testing.assert_close(alone.rms, logits.rms[:1], rtol=1e-4, atol=0)


@pytest.mark.parametrize("refine", [False, True])
def test_logits_that_lie_between_0_and_1_at_all_images_are_told_by_the_corners_of_the_box(refine):
    model, images, targets = small(1)
    some = model(torch.cat([images, torch.zeros_like(images[:1]), torch.ones_like(images[:1])]))
    inside = lambda x: 0.01 + 0.98 * (model(x) - some.min()) / (some.max() - some.min())  # noqa: E731
    logits = minimum_distortion(lambda x: inside(x) + 5, images, targets, refine=refine)
    found = minimum_distortion(inside, images, targets, refine=refine)
    assert found.success.all()
    torch.testing.assert_close(found.rms, logits.rms, rtol=1e-3, atol=0)


def test_scores_that_leave_the_range_of_chances_keep_their_order():
    torch.manual_seed(0)
    scores = 3 * torch.rand(20, 5, dtype=torch.float64) - 1
    classify = Classifier(lambda x: x, scores.clamp(0.1, 0.9))
    assert torch.equal(classify(scores).argsort(1), scores.argsort(1))


def test_probabilities_that_float32_rounds_to_0_are_refined_in_float64():
    with pytest.warns(UserWarning, match="rounds probabilities"):  # two of them to 0 in float64 as well
        sharp = minimum_distortion(wrapped(lambda s, x: (1900 * s.inner(x)).softmax(1)), IMAGES, TARGETS, refine=True)
    assert sharp.success.sum() == 6
    torch.testing.assert_close(sharp.rms[sharp.success], reference(True).rms[sharp.success], rtol=1e-4, atol=0)


ROUNDED = {
    "probabilities of 0": lambda x: (9000 * BASE(x)).softmax(1),
    "chances of 0 and 1": lambda x: (9000 * BASE(x)).sigmoid(),
    "chances of 1": lambda x: (3 * BASE(x) + 30).sigmoid(),
    "chances of 1 in float32": wrapped(lambda self, images: (3 * self.inner(images) + 30).sigmoid()),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_probabilities_that_are_rounded_to_0_or_1_are_told(name):
    with pytest.warns(UserWarning, match="rounds probabilities of some images to 0 or 1.*return the logits") as told:
        found = minimum_distortion(ROUNDED[name], IMAGES, TARGETS, max_iterations=5)
    assert len(told) == 1 and told[0].filename == __file__
    assert torch.equal(ROUNDED[name](found.images).argmax(1) == TARGETS, found.success)


MEANT = {
    "logits": ([[0.2, -0.1, 0.9]], "logits"),
    "scores from 0": ([[0.0, 0.3, 0.6]], "logits"),
    "scores above 1": ([[0.9995, 0.5, 1.5]], "logits"),
    "probabilities": ([[0.2, 0.3, 0.5]], "probabilities"),
    "one probability": ([[0.0, 0.0, 1.0]], "probabilities"),
    "per cent": ([[20.0, 30.0, 50.0]], "probabilities"),
    "sums above 1": ([[0.2, 0.3, 0.5], [0.2, 0.3, 0.6]], "chances"),
    "small chances": ([[1e-4, 0.3, 0.6]], "chances"),
    "large chances": ([[0.0, 0.3, 0.9995]], "chances"),
    "no answer": ([[torch.nan, 1.0, 2.0]], "logits"),
    "zeros": ([[0.0, 0.0, 0.0]], "logits"),
    "one answer": ([[torch.nan, torch.nan, torch.nan], [0.2, 0.3, 0.5]], "probabilities"),
}


@pytest.mark.parametrize("name", MEANT)
def test_what_outputs_mean(name):
    """Of the user's images or of others, in one part or in several, of high precision or low."""
    rows, meant = torch.tensor(MEANT[name][0]), MEANT[name][1]
    for answers in ([(rows, False)], [(rows, True)], [(row[None], True) for row in rows], [(rows.double(), False)]):
        assert models._meaning(iter(answers), torch.float32)[0] == meant
    assert models._meaning([(rows.bfloat16(), False)], torch.float32)[0] == meant


def test_classes_without_a_probability_and_images_that_lose_theirs():
    rows = torch.tensor([[0.0, 0.3, 0.7], [0.0, 1.0, 1e-20]], dtype=torch.float64)
    kind, never, rounded = models._meaning([(rows, True)], torch.float32)
    assert (kind, never.tolist(), rounded) == ("probabilities", [True, False, False], [False, False])
    rows[1, 2] = 1e-60
    assert models._meaning([(rows, True)], torch.float32)[2] == [False, True]
    assert models._meaning([(rows, False)], torch.float32)[2] == [False, False]  # no image of the user's
    assert models._meaning([(rows.float(), True)], torch.float32)[2] == [True, True]


REFUSED = {
    "no_grad": (lambda s, x: torch.no_grad()(s.inner)(x), ValueError, "got logits without a gradient"),
    "numpy": (lambda s, x: torch.from_numpy(s.inner(x).detach().numpy()), ValueError, "got logits without a gradient"),
    "constant": (lambda s, x: torch.eye(4)[torch.zeros(len(x)).long()], ValueError, "got logits without a gradient"),
    "one-hot": (lambda s, x: F.one_hot(s.inner(x).argmax(1), 4), TypeError, "got logits of torch.int64; expected"),
    "tuple": (lambda s, x: (1, s.inner(x)), TypeError, r"got tuple from .*; wrap it: lambda x: model\(x\)\[1\]"),
    "dict": (lambda s, x: {"logits": s.inner(x)}, TypeError, r"got dict from .*; wrap it: .*model\(x\)\['logits'\]"),
    "dict without logits": (lambda s, x: {"loss": 1.0, "scores": s.inner(x)}, TypeError, r"got dict .*\['scores'\]"),
    "dict without tensors": (lambda s, x: {"loss": 1.0}, TypeError, r"got dict from .*; return torch's own tensor\."),
    "nested": (lambda s, x: {"out": {"logits": s.inner(x)}}, TypeError, r"got dict .*\(x\)\['out'\]\['logits'\]\."),
    "lists": (lambda s, x: [[s.inner(x)]], TypeError, r"got list from .*; wrap it: lambda x: model\(x\)\[0\]\[0\]\."),
    "property": (lambda s, x: Hidden(s.inner(x)), TypeError, r"got Hidden from .*; wrap it: .*model\(x\)\.logits\."),
    "features": (
        lambda s, x: (x.flatten(1), s.inner(x)),
        TypeError,
        r"got tuple .*, with the entry .*\[0\], or \[1\]\.",
    ),
    "named": (lambda s, x: Named(s.inner(x), x), TypeError, r"got Named from .*; wrap it: .*model\(x\)\.scores\."),
    "ring": (lambda s, x: ring(), TypeError, r"got list from .*; return torch's own tensor\."),
    "sparse": (lambda s, x: s.inner(x).to_sparse(), TypeError, "got logits in a sparse_coo tensor; expected a dense"),
    "dropout": (
        lambda s, x: s.inner(F.dropout(x, 0.5, True)),
        ValueError,
        "got other logits when the same images were",
    ),
    "steep": (lambda s, x: 1e200 * s.inner(x).double(), ValueError, "got logits of the size of .*e.19.; expected .*64"),
    "flat": (lambda s, x: 1e-200 * s.inner(x).double(), ValueError, "got logits of the size of .*e-20.; expected .*64"),
    "batch": (
        lambda s, x: s.inner(x - x.mean(0)),
        ValueError,
        r"got other logits for an image alone .*, scales and observers of quantisation\)",
    ),
}


class Recorded:
    def __init__(self, scores):
        self.scores = scores


class Hidden:
    def __init__(self, scores):
        self._scores = scores

    logits = property(lambda self: self._scores)


class Named(NamedTuple):
    scores: torch.Tensor
    images: torch.Tensor


def ring():
    found = []
    found.append(found)
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_handled_is_refused_with_its_reason(name):
    forward, error, message = REFUSED[name]
    chance = torch.get_rng_state()
    with pytest.raises(error, match=f"^{message}"):
        minimum_distortion(wrapped(forward), IMAGES, TARGETS)
    assert torch.equal(chance, torch.get_rng_state())


def exported(model: nn.Module, count: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A model for batches of one size, as ``torch.export`` makes it; PyTorch 2.6 guards it by a hook alone."""

    def guarded(x):
        assert len(x) == count, f"Guard failed: x.size()[0] == {count}"
        return model(x)

    real = torch.export.export(model, (IMAGES,)).module()
    try:
        real(IMAGES[:1])
    except RuntimeError:
        return guarded
    except AssertionError:
        return real
    raise RuntimeError("torch.export keeps no guard of the size of a batch: this test has to make its own.")


def test_other_refusals():
    with pytest.raises(TypeError, match="got a model of type int; expected a module or a function"):
        minimum_distortion(3, IMAGES, TARGETS)
    with pytest.raises(
        ValueError, match=r"got a model without weights \(meta: '1.weight'\); expected one that can compute"
    ):
        minimum_distortion(copy.deepcopy(BASE).to("meta"), IMAGES, TARGETS)
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)).eval()
    with pytest.raises(ValueError, match=r"got a model without weights \(lazy: '1.weight'\); .*; call it on an image"):
        minimum_distortion(lazy, IMAGES, TARGETS)
    # A mask of -1e9 does not fit into float16; that float16 does not take float32 is true, but not the point.
    with pytest.raises(ValueError, match=r"got RuntimeError from the model \(value cannot be converted .*overflow"):
        minimum_distortion(wrapped(masked(-1e9)).half(), IMAGES, TARGETS)
    with pytest.raises(ValueError, match=r"got AssertionError from the model \(Guard failed.*batches of any size"):
        minimum_distortion(exported(BASE, len(IMAGES)), IMAGES, TARGETS)
    with pytest.raises(ValueError, match=r"got shape \(3, 1, 0, 6\), images without pixels"):
        minimum_distortion(BASE, torch.rand(3, 1, 0, 6), TARGETS[:3])
    with pytest.raises(TypeError, match="got targets of type ndarray; expected a tensor of int64"):
        minimum_distortion(BASE, IMAGES, TARGETS.numpy())
    with pytest.raises(TypeError, match="got bounds None; expected two numbers"):
        minimum_distortion(BASE, IMAGES, TARGETS, bounds=None)
    above = IMAGES.clone()
    above[0, 0, 0, 0] = 1.0000001
    with pytest.raises(ValueError, match=r"to 1\.00000012; expected every pixel in \[0, 1\]"):
        minimum_distortion(BASE, above, TARGETS)


@pytest.mark.parametrize("refine", [False, True])
def test_a_float32_network_is_refined_in_float32(refine):
    """In which precision images with a graph are asked about once the model has been tried; the user's asks without."""
    seen = []

    class Told(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = copy.deepcopy(BASE)

        def forward(self, images):
            seen.append((len(images), images.dtype, images.requires_grad))
            return self.inner(images)

    found = minimum_distortion(Told().eval(), IMAGES, TARGETS, refine=refine)
    assert found.success.all()
    searched = {dtype for count, dtype, graph in seen if graph and count > 3}
    assert searched == ({torch.float32, torch.float64} if refine else {torch.float64})


def test_the_words_of_a_long_error_are_cut():
    def failing(self, images):
        if images.requires_grad:
            raise RuntimeError("x" * 1000)
        return self.inner(images)

    with pytest.raises(ValueError, match=r"^got RuntimeError from the model \(x{300}\) for images of shape"):
        minimum_distortion(wrapped(failing), IMAGES, TARGETS)


def test_a_lead_within_the_rounding_of_the_weights_is_not_sure():
    """A network that works in bfloat16, with steps of 2^-8, and returns float32: 0.501 and 0.5 are as good as equal."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).eval().requires_grad_(False).to(torch.bfloat16)
    model[1].weight.copy_(torch.eye(2))
    shown = wrapped(lambda self, images: self.inner(images.to(torch.bfloat16)).float())
    shown.inner = model
    images = torch.tensor([[0.5, 0.5], [0.5, 0.504], [0.5, 0.6], [0.6, 0.5]])
    classify = Classifier(shown, images)
    wins, surely = classify.verdict(images, torch.ones(4, dtype=torch.long))
    assert (wins.tolist(), surely.tolist()) == ([False, True, True, False], [False, False, True, False])


def test_copies_keep_the_precision_of_complex_weights():
    for wide, turn in ((torch.float64, torch.complex128), (torch.float32, torch.complex64)):
        found = duplicate(complex_network().eval(), wide)
        assert found.turn.dtype == turn and found.inner[1].weight.dtype == wide
        torch.testing.assert_close(found.turn.detach().to(torch.complex64), complex_network().turn.detach())


def test_how_far_two_answers_are_apart():
    one = torch.tensor([[1.0, 3.0, -torch.inf], [1.0, 1.0, 5.0], [1.0, 2.0, torch.inf], [1e3, 1e3 + 1, 1e3]])
    other = torch.tensor([[1.5, 3.5, -torch.inf], [1.0, 2.0, 5.0], [1.0, 2.0, 3.0], [1e3, 1e3, 1e3]])
    # Half of a spread of 2; a spread of 4; infinite in one only; a spread of 0 counts as a hundredth of the size.
    expected = torch.tensor([0.25, 0.25, torch.inf, 0.1], dtype=torch.float64)
    torch.testing.assert_close(apart(one, other), expected)
    torch.testing.assert_close(apart(one[None], other[None]), expected[None])
    assert models._apart(one, other) == torch.inf and models._apart(one, other[:1]) == torch.inf
    assert models._apart(one[:0], other[:0]) == 0  # an empty batch
    assert models._apart(one * torch.nan, other * torch.nan) == 0  # has a better reason
    one[2, 0] = other[2, 0] = torch.nan
    assert models._apart(one, other) == 0.25  # of the rows that are known
    assert models._apart(one, other[[0, 1, 3, 2]]) == torch.inf  # known in one only


@pytest.mark.parametrize(("capability", "products", "convolutions", "layer", "short"), [
    ((8, 0), False, True, nn.Conv2d(1, 1, 2), True),
    ((8, 0), False, True, nn.Linear(2, 2), False),
    ((8, 0), True, False, nn.Linear(2, 2), True),
    ((8, 0), False, False, nn.Conv2d(1, 1, 2), False),
    ((7, 9), True, True, nn.Conv2d(1, 1, 2), False),
    ((9, 0), False, True, torch.relu, True),
])  # fmt: skip
def test_where_float32_is_rounded_to_ten_bits(monkeypatch, capability, products, convolutions, layer, short):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    matmul = types.SimpleNamespace(allow_tf32=products)
    monkeypatch.setattr(torch.backends, "cuda", types.SimpleNamespace(matmul=matmul))
    monkeypatch.setattr(torch.backends, "cudnn", types.SimpleNamespace(allow_tf32=convolutions))
    assert models._short_mantissa(layer, torch.device("cuda")) is short
    assert models._short_mantissa(layer, torch.device("cpu")) is False


@pytest.mark.parametrize("state", ["float64", "bfloat16", "meta", "anomaly", "inference", "no_grad"])
def test_the_state_of_the_process_does_not_matter(state):
    expected = [reference(refine).rms for refine in (False, True)]
    before = torch.get_default_dtype()
    try:
        if state in ("float64", "bfloat16"):
            torch.set_default_dtype(getattr(torch, state))
        if state == "meta":
            torch.set_default_device("meta")
        anomaly = torch.autograd.set_detect_anomaly(state == "anomaly")
        with anomaly, torch.inference_mode(state == "inference"), torch.set_grad_enabled(state != "no_grad"):
            found = [minimum_distortion(BASE, IMAGES, TARGETS, refine=refine).rms for refine in (False, True)]
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)
    for rms, right in zip(found, expected, strict=True):
        torch.testing.assert_close(rms, right, rtol=1e-5, atol=0)


def test_the_penalty_is_that_of_the_users_pixels():
    unit = minimum_distortion(BASE, IMAGES, TARGETS)
    moved = minimum_distortion(lambda x: BASE(((x - 5) / 10).float()), 5 + 10 * IMAGES, TARGETS, bounds=(5, 15))
    torch.testing.assert_close(moved.rms / 10, unit.rms, rtol=1e-4, atol=0)
    torch.testing.assert_close(100 * moved.penalty, unit.penalty, rtol=1e-3, atol=0)


class Held:
    """An object that is no module and holds one."""

    __slots__ = ("model",)

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Around(nn.Module):
    """A module in evaluation mode whose forward pass calls a function."""

    def __init__(self, called: Callable) -> None:
        super().__init__()
        self.called = called
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.called(x)


def _hooked(model: nn.Module) -> nn.Module:
    outer = nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).eval()
    outer[0].register_forward_hook(lambda module, given, answer: answer + model(given[0]).repeat(1, 9))
    return outer


OUT_OF_SIGHT = {
    "namespace": lambda model: (lambda held: lambda x: held.model(x))(types.SimpleNamespace(model=model)),
    "slots": lambda model: Held(model).predict,
    "deque": lambda model: (lambda held: lambda x: held[0](x))(collections.deque([model])),
    "weak": lambda model: (lambda held: lambda x: held()(x))(weakref.ref(model)),
    "wrapped": lambda model: torch.enable_grad()(lambda x: model(x)),
    "vmap": lambda model: torch.vmap(lambda one: model(one[None])[0]),
    "closure": lambda model: Around(lambda x: model(x)),
    "hook": _hooked,
}


@pytest.mark.parametrize("way", OUT_OF_SIGHT)
def test_what_is_called_in_training_mode_is_refused_before_it_changes(way):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.InstanceNorm2d(3, track_running_stats=True), nn.Flatten(), nn.Linear(48, 4)
    )
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="training mode"):
        minimum_distortion(OUT_OF_SIGHT[way](model), torch.rand(2, 1, 6, 6), torch.tensor([0, 1]))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    found = minimum_distortion(OUT_OF_SIGHT[way](model.eval()), torch.rand(2, 1, 6, 6), torch.tensor([0, 1]))
    assert found.success.all()


def test_a_layer_made_on_the_way_has_any_mode():
    torch.manual_seed(0)
    model = nn.Linear(4, 3).eval()
    images, targets = torch.rand(2, 4), torch.tensor([0, 1])
    found = minimum_distortion(lambda x: nn.LogSoftmax(dim=1)(model(x)), images, targets)
    assert torch.equal(found.success, minimum_distortion(model, images, targets).success)


class Kept(nn.Linear):
    """A layer that is its own copy, as a frozen teacher may be."""

    def __deepcopy__(self, memo: dict) -> nn.Module:
        return self


class Shallow(nn.Linear):
    """A layer whose copy has the same weights."""

    def __deepcopy__(self, memo: dict) -> nn.Module:
        return copy.copy(self)


@pytest.mark.parametrize("kind", [Kept, Shallow])
@pytest.mark.parametrize("refine", [False, True])
def test_a_copy_that_is_none_leaves_the_weights_alone(kind, refine):
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), kind(8, 3)).eval(), torch.rand(3, 6)
    targets = (model(images).argmax(1) + 1) % 3
    plain = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    plain.load_state_dict(model.state_dict())
    before = [(value.dtype, value.requires_grad, value.detach().clone()) for value in model.parameters()]
    found = minimum_distortion(model, images, targets, refine=refine)
    for value, (dtype, grad, number) in zip(model.parameters(), before, strict=True):
        assert (value.dtype, value.requires_grad) == (dtype, grad)
        assert torch.equal(value, number)
    torch.testing.assert_close(found.rms, minimum_distortion(plain, images, targets).rms, rtol=2e-2, atol=0)
    with pytest.raises(ValueError, match="cannot copy"):
        duplicate(model, torch.float64)


def test_the_users_random_numbers_are_left_alone():
    model = nn.Linear(4, 3).eval()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    minimum_distortion(
        lambda x: model(x.float()) + 0 * torch.rand(1) + 0 * np.random.rand(),  # noqa: NPY002
        torch.rand(2, 4, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 1]),
    )
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


class Differentiates(nn.Module):
    """A network that needs a graph in its own forward pass."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layers, self.how = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), how
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.layers[:2](x)
        if self.how == "retain":
            hidden.retain_grad()
        elif self.how == "hook":
            hidden.register_hook(lambda gradient: None)
        elif self.how == "gradient":
            (slope,) = torch.autograd.grad(hidden.sum(), x, create_graph=True)
            hidden = hidden + 0 * slope.sum()
        return self.layers[2](hidden)


@pytest.mark.parametrize("how", ["retain", "hook", "gradient"])
@pytest.mark.parametrize("refine", [False, True])
def test_a_forward_pass_may_need_a_graph(how, refine):
    torch.manual_seed(0)
    model, images = Differentiates(how), torch.rand(3, 4)
    targets = (model(images.clone().requires_grad_()).argmax(1) + 1) % 3
    found = minimum_distortion(model, images, targets, refine=refine)
    right = minimum_distortion(model.layers, images, targets, refine=refine)
    assert torch.equal(found.success, right.success)
    torch.testing.assert_close(found.rms, right.rms, rtol=1e-3, atol=0)
