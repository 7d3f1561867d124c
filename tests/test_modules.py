"""Layers as they are applied: weights computed at every call, hooks, modes, and a network that is left as it was."""

from __future__ import annotations

import collections
import copy
import importlib
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from intriguing.lipschitz.certificates import global_certificate, local_certificate, runners_up, smallest
from intriguing.lipschitz.modules import applied, layers, run, step, twin
from intriguing.lipschitz.network import NetworkBound, lipschitz_bound, network_bound, product
from intriguing.lipschitz.norms import avg_pool_norm, conv_norm, formula_one, layer_norm, linear_norm


def old(name: str):
    """Torch's old normalisations, which it advises against."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return getattr(torch.nn.utils, name)


def pruned(layer):
    prune.l1_unstructured(layer, "weight", amount=0.4)


def twice_pruned(layer):
    prune.random_unstructured(layer, "weight", amount=0.3)
    prune.ln_structured(layer, "weight", amount=0.3, n=2, dim=0)


def weight_normalised(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(layer)


def parametrized(layer):
    class Threefold(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 3 * weight

    parametrize.register_parametrization(layer, "weight", Threefold())


CHANGES = {
    "pruned": pruned,
    "pruned twice": twice_pruned,
    "old weight normalisation": weight_normalised,
    "old spectral normalisation": torch.nn.utils.spectral_norm,
    "weight normalisation": parametrizations.weight_norm,
    "spectral normalisation": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "a parametrization": parametrized,
}


def changed(layer: nn.Module, how: str, seed: int) -> nn.Module:
    """A layer whose weight is computed at every call."""
    torch.manual_seed(seed)
    nn.init.normal_(layer.weight)
    CHANGES[how](layer)
    return layer


def matrix(layer: nn.Module, size: tuple[int, ...]) -> Tensor:
    """What a layer without bias does, as a matrix, found by calling it."""
    basis = torch.eye(torch.Size(size).numel()).view(-1, *size)
    with torch.no_grad():
        return layer(basis).flatten(1).double()


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(9, 7, bias=False), lambda: nn.Conv2d(1, 3, 2, bias=False)], ids=["linear", "convolution"]
)
def test_the_weight_is_the_one_that_the_layer_applies(how, make):
    size = (9,) if isinstance(make(), nn.Linear) else (1, 3, 3)
    layer = changed(make(), how, 0).eval()
    state = {name: 4 * value + 1 for name, value in changed(make(), how, 1).eval().state_dict().items()}
    state |= {name: value / 4 - 0.25 for name, value in state.items() if "mask" in name}
    layer.load_state_dict(state)  # what stands in weight is now that of before
    before = {name: value.clone() for name, value in vars(layer).items() if isinstance(value, Tensor)}
    found = layer_norm(layer, size)
    bound = network_bound(nn.Sequential(layer).eval(), size)
    head = nn.Sequential(nn.Flatten(), changed(nn.Linear(9, 7, bias=False), how, 0)).eval()
    head[1].load_state_dict(state) if size == (9,) else None
    images = torch.rand(5, 1, 3, 3)
    certified = global_certificate(head, images, runners_up(head, images))
    assert all(torch.equal(value, vars(layer)[name]) for name, value in before.items())
    truth = float(torch.linalg.matrix_norm(matrix(layer, size), ord=2))  # calls the layer, which renews the weight
    assert truth * (1 - 1e-6) <= found <= 1.5 * truth and bound.norms == (found,)
    rows = matrix(head[1], (9,)).T
    logits = head(images).detach().double()
    ranked = logits.sort(dim=1, descending=True)
    gap = rows[ranked.indices[:, 0]] - rows[ranked.indices[:, 1]]
    expected = (ranked.values[:, 0] - ranked.values[:, 1]) / gap.norm(dim=1)
    assert torch.allclose(certified.radius, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("how", ["pruned", "a parametrization"])
def test_a_convolution_is_padded_as_it_pads_itself(how, mode):
    layer = changed(nn.Conv2d(2, 3, (3, 2), padding=(1, 1), stride=(1, 2), padding_mode=mode), how, 0).eval()
    images = torch.rand(4, 2, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(step(layer)(images.double()).float(), layer(images))
    same = changed(nn.Conv2d(2, 3, (3, 5), padding="same", padding_mode=mode), how, 1).eval()
    with torch.no_grad():
        torch.testing.assert_close(step(same)(images.double()).float(), same(images))


def test_a_layer_that_comes_twice_counts_twice():
    layer, rectifier = nn.Linear(4, 4), nn.ReLU()
    model = nn.Sequential(layer, rectifier, nn.Sequential(layer, rectifier), layer).eval()
    found = network_bound(model, (4,))
    assert found.layers == ("0 Linear", "1 ReLU", "2.0 Linear", "2.1 ReLU", "3 Linear")
    norm = float(torch.linalg.matrix_norm(layer.weight.detach().double(), ord=2))
    assert found.product == pytest.approx(norm**3, rel=1e-9)


class Standing(nn.Module):
    """A layer that keeps what it saw and draws a number, as those for recording do."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.seen: list = []
        self.kept = None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.scale * x
        self.seen.append(self.kept)
        torch.rand(1)
        return self.kept


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True), Standing(), nn.Dropout(), nn.Flatten(),
        nn.Linear(18, 4),
    ).eval()  # fmt: skip


def test_nothing_of_the_users_is_touched():
    model, images = network(), torch.rand(3, 1, 3, 3)
    model(images)  # leaves a tensor with history on the layer, which cannot be deep-copied as it is
    kept, seen = model[3].kept, len(model[3].seen)
    state, flags = copy.deepcopy(model.state_dict()), [part.training for part in model.modules()]
    chance, pictures = torch.get_rng_state(), images.clone()
    known = {Standing: lambda layer, size: float(layer.scale.detach())}
    network_bound(model, (1, 3, 3), known=known)
    global_certificate(model, images, torch.zeros(3).long(), known=known)
    smallest(model, images, known=known)
    runners_up(model, images)
    assert model[3].kept is kept and len(model[3].seen) == seen
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert flags == [part.training for part in model.modules()]
    assert torch.equal(chance, torch.get_rng_state()) and torch.equal(images, pictures)
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())


CALLS = {
    "network_bound": lambda model: network_bound(model, (1, 3, 3)),
    "global_certificate": lambda model: global_certificate(model, torch.rand(2, 1, 3, 3), torch.zeros(2).long()),
    "local_certificate": lambda model: local_certificate(model, torch.rand(2, 1, 3, 3), torch.zeros(2).long()),
    "smallest": lambda model: smallest(model, torch.rand(2, 1, 3, 3)),
    "runners_up": lambda model: runners_up(model, torch.rand(2, 1, 3, 3)),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))


def sigmoids() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Sigmoid(), nn.Linear(5, 3)).eval()


@calls
@pytest.mark.parametrize("child", [nn.Dropout, lambda: nn.BatchNorm1d(5), nn.ReLU])
def test_a_child_in_training_mode_is_named(call, child):
    model = sigmoids()
    model.insert(2, nn.Sequential(child().train()).eval())
    model[2][0].train()
    state, before = copy.deepcopy(model.state_dict()), [part.training for part in model.modules()]
    with pytest.raises(ValueError, match=r"^got \w+ at '2\.0' in training mode; expected .*; call model\.eval\(\)\."):
        call(model)
    assert before == [part.training for part in model.modules()]
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())


@calls
@pytest.mark.parametrize("place", ["top", "layer", "inside"])
@pytest.mark.parametrize("when", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_that_may_change_an_output_is_refused(call, place, when):
    model = sigmoids()
    where = {"top": model, "layer": model[1], "inside": model[2]}[place]
    handle = getattr(where, when)(lambda *seen: None)
    with pytest.raises(TypeError, match=r"^got \w+.* with a forward hook.*; expected .*; remove the hook"):
        call(model)
    handle.remove()
    call(model)


@calls
def test_hooks_on_all_modules_and_forward_passes_on_an_instance_are_refused(call):
    model = sigmoids()
    handle = nn.modules.module.register_module_forward_hook(lambda *seen: None)
    try:
        with pytest.raises(TypeError, match="hooks on all modules"):
            call(model)
    finally:
        handle.remove()
    model[1].forward = lambda x: 100 * nn.functional.linear(x, model[1].weight)
    with pytest.raises(TypeError, match="Linear at '1' with a forward pass of its own; expected that of its class"):
        call(model)


SHADOWS = {
    "_conv_forward": (lambda: nn.Conv2d(1, 4, 3, padding=1), 100.0),
    "_call_impl": (lambda: nn.Conv2d(1, 4, 3, padding=1), 100.0),
    "_check_input_dim": (lambda: nn.BatchNorm2d(1), None),
}


@pytest.mark.parametrize("name", SHADOWS)
def test_methods_on_an_instance_are_refused_by_name(name):
    """Circular padding, say, put into a convolution that says that it pads with zeros."""
    make, answer = SHADOWS[name]
    layer = make().eval()
    setattr(layer, name, lambda *given: answer)
    expected = f"(Conv2d|BatchNorm2d).* with a method '{name}' of its own; expected that of its class; remove it"
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(9 * (4 if name != "_check_input_dim" else 1), 2)).eval()
    for call in (
        lambda: network_bound(model, (1, 3, 3)),
        lambda: lipschitz_bound(model),
        lambda: runners_up(model, torch.rand(2, 1, 3, 3)),
        lambda: global_certificate(model, torch.rand(2, 1, 3, 3), torch.zeros(2).long()),
        lambda: layer_norm(layer, (1, 3, 3)),
    ):
        with pytest.raises(TypeError, match=expected):
            call()


class Scale(nn.Module):
    """Has attributes of any name."""

    def __init__(self, **given: object) -> None:
        super().__init__()
        for name, value in given.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5


@pytest.mark.parametrize("given", [{"half": 4}, {"type": "mean"}, {"double": True}, {"apply": None}])
def test_data_under_the_name_of_a_method_is_no_method(given):
    model = nn.Sequential(Scale(**given), nn.Linear(9, 4)).eval()
    linear = linear_norm(model[1].weight)
    found = network_bound(model, (9,), known={Scale: lambda layer, size: 0.5})
    assert found.norms == (0.5, linear)


def test_what_no_forward_pass_calls_may_be_replaced():
    """A frozen model that stays in evaluation mode, say."""
    model = sigmoids()
    expected = network_bound(model, (1, 3, 3))
    for module in (model, model[1], model[2]):
        module.train = lambda mode=True, module=module: module
        module.to = lambda *where, module=module, **how: module
    assert network_bound(model.train(), (1, 3, 3)) == expected
    for name in ("parameters", "modules"):  # by which layers are looked at
        model = sigmoids()
        setattr(model[1], name, lambda *given, **options: iter(()))
        with pytest.raises(TypeError, match=f"got Linear at '1' with a method '{name}' of its own"):
            network_bound(model, (1, 3, 3))


class Own(nn.Module):
    """Calls a method of its own under a name that torch has, too."""

    def apply(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.apply(x)


def test_a_method_that_a_class_writes_anew_is_looked_for():
    model = nn.Sequential(Own()).eval()
    model[0].apply = lambda x: 100 * x
    with pytest.raises(TypeError, match="got Own at '0' with a method 'apply' of its own"):
        network_bound(model, (9,), known={Own: lambda layer, size: 1.0})


class Net(nn.Sequential):
    """A chain that only says which layers it has."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(9, 5), nn.Sigmoid(), nn.Linear(5, 3))

    def train(self, mode: bool = True) -> Net:
        return super().train(mode)


class Residual(Net):
    def forward(self, x: Tensor) -> Tensor:
        return 9 * super().forward(x)


class Loud(Net):
    def __call__(self, x: Tensor) -> Tensor:
        return 9 * super().__call__(x)


class Backwards(Net):
    def __iter__(self):
        return iter(list(self._modules.values())[:2])


def test_a_class_of_chains_counts_by_its_layers():
    model, plain = Net().eval(), sigmoids()
    plain.load_state_dict(model.state_dict())
    images = torch.rand(5, 1, 3, 3)
    assert network_bound(model, (1, 3, 3)) == network_bound(plain, (1, 3, 3))
    assert lipschitz_bound(model) == lipschitz_bound(plain)
    assert torch.equal(runners_up(model, images), runners_up(plain, images))
    targets = runners_up(plain, images)
    for certify in (global_certificate, local_certificate):
        assert torch.equal(certify(model, images, targets).radius, certify(plain, images, targets).radius)
    nested = network_bound(nn.Sequential(model).eval(), (1, 3, 3))
    assert nested.layers == ("0.0 Flatten", "0.1 Linear", "0.2 Sigmoid", "0.3 Linear")
    assert network_bound(model, (1, 3, 3), known={Net: lambda layer, size: 7.0}).norms == (7.0,)


@pytest.mark.parametrize("which", [Residual, Loud, Backwards])
def test_a_class_of_chains_that_is_called_otherwise_is_a_layer(which):
    with pytest.raises(TypeError, match=f"^got {which.__name__}"):
        network_bound(which().eval(), (1, 3, 3))
    with pytest.raises(TypeError, match=f"^got {which.__name__}"):
        lipschitz_bound(which().eval())


class Louder(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, weight, default_mask):
        return default_mask

    def __call__(self, layer, inputs):
        super().__call__(layer, inputs)
        return (100 * inputs[0],)


class Halving(prune.BasePruningMethod):
    """Another mask, applied as all are."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, weight, default_mask):
        return default_mask / 2


def test_pruning_counts_by_its_mask_and_not_by_what_else_it_does():
    plain, halved, louder = (nn.Sequential(nn.Linear(9, 4)).eval() for _ in range(3))
    for model in (halved, louder):
        model.load_state_dict(plain.state_dict())
    Halving.apply(halved[0], "weight")
    assert network_bound(halved, (9,)).product == pytest.approx(network_bound(plain, (9,)).product / 2)
    Louder.apply(louder[0], "weight")
    with pytest.raises(TypeError, match="Linear at '0' with a forward hook"):
        network_bound(louder, (9,))


@pytest.mark.parametrize(
    "old", [importlib.import_module(f"torch.nn.utils.{name}_norm") for name in ("weight", "spectral")]
)
def test_normalisations_of_other_classes_are_refused(old):
    known = next(value for name, value in vars(old).items() if name in ("WeightNorm", "SpectralNorm"))

    class Other(known):
        def __call__(self, layer, inputs):
            setattr(layer, self.name, 50 * layer.weight)

    model = nn.Sequential(nn.Linear(9, 4)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        getattr(torch.nn.utils, old.__name__.rsplit(".", 1)[1])(model[0])
    (hook,) = model[0]._forward_pre_hooks.values()
    hook.__class__ = Other
    with pytest.raises(TypeError, match="Linear at '0' with a forward hook"):
        network_bound(model, (9,))


class Hundredfold(Tensor):
    """Numbers that a layer multiplies in a way of their own."""

    @classmethod
    def __torch_function__(cls, function, types, given=(), options=None):
        if function is nn.functional.linear:
            given = (given[0], 100 * given[1].as_subclass(Tensor), *given[2:])
            return function(*given, **(options or {}))
        return super().__torch_function__(function, types, given, options or {})


class Returning(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.as_subclass(Hundredfold)


@calls
@pytest.mark.parametrize("where", ["an attribute", "a parametrization"])
def test_weights_of_a_class_of_their_own_are_refused(call, where):
    model = sigmoids()
    if where == "an attribute":
        weight = model[1].weight.detach().as_subclass(Hundredfold)
        del model[1].weight
        model[1].weight = weight
    else:
        parametrize.register_parametrization(model[1], "weight", Returning(), unsafe=True)
    with pytest.raises(
        TypeError, match="got weights of Hundredfold in Linear.*; expected torch's own tensors; convert"
    ):
        call(model.eval())


@calls
def test_weights_without_numbers_are_refused_by_name(call):
    for name in ("weight", "bias"):
        model = sigmoids()
        setattr(model[1], name, nn.Parameter(getattr(model[1], name).to("meta")))
        with pytest.raises(
            ValueError, match=r"got Linear at '1' without weights \(meta\); expected a network that can"
        ):
            call(model)


@pytest.mark.parametrize("sparse", [Tensor.to_sparse, Tensor.to_sparse_csr])
def test_sparse_weights_count_as_dense_ones(sparse):
    dense, images = nn.Sequential(nn.Flatten(), nn.Linear(9, 4, bias=False)).eval(), torch.rand(5, 1, 3, 3)
    packed = copy.deepcopy(dense)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torch, that its sparse tensors are new
        packed[1].weight = nn.Parameter(sparse(packed[1].weight.detach()), requires_grad=False)
    targets = runners_up(dense, images)
    assert torch.equal(runners_up(packed, images), targets)
    found, expected = (global_certificate(model, images, targets).radius for model in (packed, dense))
    assert torch.allclose(found, expected, rtol=1e-9)
    assert lipschitz_bound(packed) == lipschitz_bound(dense)


def test_what_is_computed_within_a_cache_leaves_nothing_in_it():
    model, images = (
        nn.Sequential(Standing(), nn.Flatten(), nn.Linear(9, 9), nn.Linear(9, 4)).eval(),
        torch.rand(3, 1, 3, 3),
    )
    known = {Standing: lambda layer, size: 2.0}
    for layer in model[2:]:
        parametrized(layer)
    model.eval()
    targets, expected = runners_up(model, images), model(images)
    found = global_certificate(model, images, targets, known=known)
    with parametrize.cached():
        within = global_certificate(model, images, targets, known=known)
        logits = model(images)
    assert torch.equal(logits, expected) and torch.equal(within.radius, found.radius)
    logits.sum().backward()  # the user's own weights, with their gradients, and no detached copies
    assert all(weight.grad is not None for weight in model[2:].parameters())


@pytest.mark.parametrize("around", [lambda x: collections.deque([x]), lambda x: {x}, lambda x: SimpleNamespace(of=x)])
def test_layers_that_keep_what_they_saw_can_be_copied(around):
    class Keeping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.kept = around(x)
            return x

    model = nn.Sequential(nn.Linear(3, 3), Keeping()).eval()
    model(torch.rand(2, 3))
    network_bound(model, (3,), known={Keeping: lambda layer, size: 1.0})


def test_a_layer_of_another_precision_is_named():
    class Cast(nn.Module):
        def __init__(self, how) -> None:
            super().__init__()
            self.how, self.w = how, nn.Parameter(torch.eye(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.how(self, x)

    for how in (
        lambda self, x: x.float() @ self.w,
        lambda self, x: nn.functional.linear(x.float(), self.w),
        lambda self, x: nn.functional.conv1d(x[:, None], torch.ones(1, 1, 1)),
    ):
        with pytest.raises(
            TypeError, match="got Cast at '0', which does not compute in float64 .*; expected .*; leave"
        ):
            network_bound(nn.Sequential(Cast(how)).eval(), (3,), known={Cast: lambda layer, size: 1.0})


TANGLED = {
    "a pruned length": lambda layer: (weight_normalised(layer), prune.l1_unstructured(layer, "weight_g", 0.5)),
    "a pruned direction": lambda layer: (weight_normalised(layer), prune.l1_unstructured(layer, "weight_v", 0.5)),
    "a pruned weight to be divided": lambda layer: (
        torch.nn.utils.spectral_norm(layer),
        prune.l1_unstructured(layer, "weight_orig", 0.5),
    ),
}


@calls
@pytest.mark.parametrize("how", TANGLED)
def test_weights_that_are_computed_from_what_is_computed_are_refused(call, how):
    """Pruning the length of a normalised weight: the weight in the layer is that of before until it is called."""
    model = sigmoids()
    TANGLED[how](model[1])
    with pytest.raises(TypeError, match="Linear at '1' with a forward hook.*make permanent what prunes or normalises"):
        call(model)


def test_a_pruned_layer_within_one_that_is_known_is_refused():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x)

    model = nn.Sequential(Pair()).eval()
    pruned(model[0].one)  # the function in known would read a weight that is stale after load_state_dict
    with pytest.raises(TypeError, match=r"Linear at '0\.one' with a forward hook"):
        network_bound(model, (3,), known={Pair: lambda layer, size: 1.0})


@calls
def test_complex_weights_are_refused_by_name(call):
    model = sigmoids()
    model[1] = nn.Linear(9, 5, dtype=torch.complex64).eval()
    with pytest.raises((TypeError, ValueError), match="at '1'"):
        call(model)
    model = sigmoids()
    model[3] = nn.Linear(5, 3, dtype=torch.complex64).eval()
    with pytest.raises((TypeError, ValueError), match="at '3'"):
        call(model)


def test_a_known_layer_with_complex_weights_keeps_them():
    class Spectrum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.polar(torch.full((3,), 2.0), torch.tensor([0.0, 1.0, 0.0])))

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.irfft(self.gain * torch.fft.rfft(x), n=4)

    torch.manual_seed(0)
    model = nn.Sequential(Spectrum(), nn.Linear(4, 3)).eval()
    images = torch.rand(6, 4)
    found = global_certificate(model, images, runners_up(model, images), known={Spectrum: lambda layer, size: 2.0})
    logits = model(images).detach().double().sort(dim=1, descending=True).values
    assert torch.allclose(found.margins, logits[:, 0] - logits[:, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "size", "error", "words"),
    [
        (nn.Linear(3, 3), (4,), ValueError, "got inputs of shape (4,) at Linear at '0'"),
        (nn.Flatten(0), (1, 4), ValueError, "keep the batch as the first dimension"),
        (nn.MaxPool2d(2, return_indices=True), (1, 4, 4), TypeError, "got tuple from MaxPool2d"),
        (nn.Linear(3, 3), (0,), ValueError, "got input_size (0,)"),
        (nn.Linear(3, 3), 3, ValueError, "got input_size 3"),
        (nn.Linear(3, 3), (3.0,), ValueError, "got input_size (3.0,)"),
        (nn.LazyLinear(3), (3,), ValueError, "got LazyLinear at '0' without weights (lazy)"),
        (nn.AdaptiveAvgPool2d((None, 2)), (1, 4, 4), TypeError, "known bound"),
        (nn.AdaptiveAvgPool2d(2), (4,), TypeError, "known bound"),
        (nn.AdaptiveAvgPool2d((1,)), (1, 4, 4), TypeError, "known bound"),
        (nn.Linear(3, 3), (10**30,), ValueError, "got input_size (1000000"),
        (nn.Linear(3, 3), (2**62, 2**62), ValueError, "got input_size (4611"),
        (nn.Linear(3, 3), "abc", ValueError, "got input_size 'abc'"),
    ],
)
def test_what_cannot_be_walked_is_named(layer, size, error, words):
    with pytest.raises(error) as caught:
        network_bound(nn.Sequential(layer).eval(), size)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_other_arguments_are_named():
    model = nn.Sequential(nn.Linear(3, 3)).eval()
    for strange in (3, None, "model", [nn.ReLU()], torch.relu):
        with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module; build"):
            network_bound(strange, (3,))
    with pytest.raises(ValueError, match="got bound 'lower'; expected 'upper' or 'zero-padded'; take"):
        network_bound(model, (3,), bound="lower")
    with pytest.raises(TypeError, match="got known .*; expected classes with functions; write"):
        network_bound(model, (3,), known=[nn.Linear])
    for strange in (float("nan"), -1.0):
        with pytest.raises(ValueError, match="got the bound .* for Linear at '0'; expected a number of at least 0"):
            network_bound(model, (3,), known={nn.Linear: lambda layer, size, value=strange: value})


def test_a_layer_that_cannot_be_copied_is_named():
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lines = (line for line in "abc")

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(TypeError, match="got Held, which cannot be copied .*; expected layers that can; keep"):
        network_bound(nn.Sequential(Held()).eval(), (3,), known={Held: lambda layer, size: 1.0})


def test_copies_are_in_double_precision_and_share_what_was_shared():
    layer = nn.Linear(2, 2, dtype=torch.float16)
    model = nn.Sequential(layer, layer, Standing()).eval()
    model.register_buffer("steps", torch.tensor(3))
    copied = twin(model)
    assert copied[0] is copied[1] and copied[0].weight.dtype == torch.float64 and copied.steps.dtype == torch.int64
    assert torch.equal(copied[0].weight, layer.weight.double()) and not copied[0].weight.requires_grad
    assert applied(nn.Linear(2, 2, bias=False), "bias") is None
    assert [name for name, _ in layers(model)] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="expected the shape of one image"):
        run("0", layer.eval(), torch.zeros(1, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("norms", "least", "most"),
    [
        ((1e-200, 1e-200, 1e300), 1e-100, 1.0000000001e-100),
        ((1e200, 1e200, 1e-300), 1e100, 1.0000000001e100),
        ((1e-200, 1e-200), 5e-324, 5e-324),
        ((1e-300, 0.0, float("inf")), 0.0, 0.0),
        ((1e300, 1e300), float("inf"), float("inf")),
        ((0.1, 0.1), 0.010000000000000002, 0.010000000000000002),
        ((2.0, 0.5, 3.0), 3.0, 3.0),
        ((), 1.0, 1.0),
    ],
)
def test_a_product_is_rounded_upward_once(norms, least, most):
    assert least <= product(norms) <= most
    assert NetworkBound((), (), norms).product == product(norms)


def everything(model: nn.Sequential, images: Tensor, weight: Tensor) -> list[float]:
    """Numbers of all that the room computes."""
    targets = torch.zeros_like(images[:, 0, 0, 0]).long()
    options = {"padding": 1, "input_size": 4}
    return [
        linear_norm(weight.flatten(1)), conv_norm(weight), conv_norm(weight, **options), avg_pool_norm(2),
        *(conv_norm(weight, bound="zero-padded", **options | {"input_size": size}) for size in (4, 9)),
        float(formula_one(weight).max()), network_bound(model, images.shape[1:]).product,
        *global_certificate(model, images, targets).radius.tolist(),
        *local_certificate(model, images, targets).radius.tolist(),
        *smallest(model, images).tolist(), *runners_up(model, images).tolist(),
    ]  # fmt: skip


@pytest.fixture
def defaults():
    """Puts what PyTorch has for all of a process back where it was."""
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "choose",
    [
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float16),
        lambda: torch.set_default_device("meta"),
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.use_deterministic_algorithms(True),
    ],
)
def test_what_is_chosen_for_the_process_changes_nothing(choose, defaults):
    model, images, weight = sigmoids(), torch.rand(3, 1, 3, 3), torch.randn(2, 2, 3, 3)
    expected = everything(model, images, weight)
    choose()
    assert everything(model, images, weight) == expected


@pytest.mark.parametrize(
    "around", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu", dtype=torch.bfloat16)]
)
def test_what_is_chosen_for_a_block_changes_nothing(around):
    model, images, weight = sigmoids(), torch.rand(3, 1, 3, 3), torch.randn(2, 2, 3, 3)
    expected = everything(model, images, weight)
    with around():
        assert everything(model, images, weight) == expected
