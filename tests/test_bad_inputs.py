"""Bad inputs by generation: a documented exception says what was got, what is expected and what to do.

Every call here is a good one in which one argument was made bad. Hypothesis draws them from fixed seeds, the same in
every run.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import intriguing
from intriguing import data
from intriguing.attack import boundary, perturbations
from intriguing.data import photographs
from intriguing.lipschitz.network import lipschitz_bound

SENTENCE = re.compile(r"\b(got|holds|is)\b.+\bexpected\b.+[;:] \w.+\.")
DOCUMENTED = (TypeError, ValueError, IndexError, KeyError, data.DataError)
EXAMPLES = 60
LEAST = 300

CLASSES, PIXELS = 4, 6


class Wrapped(nn.Module):
    """A class that nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def network(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(PIXELS, 5), *middle, nn.Sigmoid(), nn.Linear(5, CLASSES)
    ).eval().requires_grad_(False)  # fmt: skip


def training(place: int) -> nn.Sequential:
    model = network()
    model[place].train()
    return model


def hooked(place: int) -> nn.Sequential:
    model = network()
    model[place].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def spoilt(place: int, value: float) -> nn.Sequential:
    model = network()
    model[place].weight.view(-1)[place] = value
    return model


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 1, 2, PIXELS // 2, generator=torch.Generator().manual_seed(1))


def put(values: Tensor, place: int, value: float) -> Tensor:
    values = values.clone()
    values.view(-1)[place % values.numel()] = value
    return values


# Values that are wrong by themselves
anything = st.one_of(
    st.none(),
    st.text(max_size=4),
    st.floats(allow_nan=True),
    st.integers(-9, 9),
    st.lists(st.floats(0, 1), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
    st.builds(object),
    st.integers(1, 4).map(np.ones),
    st.booleans(),
)
no_count = st.one_of(
    st.integers(-5, -1),
    st.floats(0.1, 9).filter(lambda value: value != int(value)),
    st.text(max_size=3),
    st.booleans(),
    st.lists(st.integers(1, 3), min_size=3, max_size=4),
    st.tuples(st.integers(-4, -1), st.integers(1, 3)),
)
strange = st.sampled_from([torch.nan, torch.inf, -torch.inf])
place = st.integers(0, 10**6)


def shaped(*without: int) -> st.SearchStrategy[Tensor]:
    """Tensors of other numbers of dimensions."""
    shapes = st.lists(st.integers(1, 3), max_size=5).filter(lambda shape: len(shape) not in without)
    return shapes.map(lambda shape: torch.full(shape, 0.5))


def numbers(good: Tensor, values: st.SearchStrategy[float] = strange) -> st.SearchStrategy[Tensor]:
    """The good tensor with one entry that is none."""
    return st.builds(put, st.just(good), place, values)


def packed(good: Tensor) -> st.SearchStrategy[Tensor]:
    """The good numbers in tensors that PyTorch computes with in few places only, and one without any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these are prototypes, says PyTorch
        nested = torch.nested.nested_tensor(list(good.unbind())) if good.ndim > 1 else good.to_sparse()
        return st.sampled_from([good.to_sparse(), good.to("meta"), nested])


KERNELS = torch.ones(4, 2, 3, 3)
bad_models = st.one_of(
    anything,
    st.builds(training, st.integers(0, 3)),
    st.builds(hooked, st.integers(0, 3)),
    st.builds(spoilt, st.sampled_from([1, 3]), strange),
    st.sampled_from([nn.Softmax(1), nn.GELU(), nn.LeakyReLU(), nn.LayerNorm(5), nn.Hardtanh(), Wrapped()]).map(
        lambda layer: network(layer.eval())
    ),
    st.integers(1, 9).filter(lambda width: width != PIXELS).map(
        lambda width: nn.Sequential(nn.Flatten(), nn.Linear(width, CLASSES)).eval()
    ),
)  # fmt: skip
bad_targets = st.one_of(
    anything,
    packed(torch.zeros(3, dtype=torch.int64)),
    st.integers(0, 9).filter(lambda count: count != 3).map(lambda count: torch.zeros(count, dtype=torch.int64)),
    st.sampled_from([torch.float32, torch.int32, torch.uint8, torch.bool]).map(lambda kind: torch.zeros(3).to(kind)),
    st.one_of(st.integers(-9, -1), st.integers(CLASSES, 9)).flatmap(
        lambda value: numbers(torch.zeros(3, dtype=torch.int64), st.just(value))
    ),
)
outside = st.one_of(st.floats(-9, -1e-3), st.floats(1.001, 300))
bad_images = st.one_of(
    anything,
    packed(images()),
    numbers(images()),
    numbers(images(), outside),
    st.sampled_from([torch.uint8, torch.int64, torch.bool, torch.complex64]).map(lambda kind: images().to(kind)),
    st.just(torch.tensor(0.5)),
    st.integers(1, 9).filter(lambda width: width != PIXELS).map(lambda width: torch.full((3, width), 0.5)),
)
bad_pixels = st.one_of(
    anything,
    packed(images()),
    numbers(images(), st.just(torch.nan)),
    numbers(images(), outside),
    st.sampled_from([torch.uint8, torch.int64, torch.bool]).map(lambda kind: images().to(kind)),
)
certified = {"model": bad_models, "images": bad_images, "targets": bad_targets}
good_certified = {"model": network(), "images": images(), "targets": torch.zeros(3, dtype=torch.int64)}

nan = st.just(torch.nan)
bad_number = st.one_of(
    st.none(), st.text(max_size=3), st.builds(object), st.lists(st.floats(0, 1), min_size=2, max_size=2), nan
)
no_generator = anything.filter(lambda value: value is not None)


def below(highest: float) -> st.SearchStrategy[float]:
    return st.floats(-9, highest)


def answering(answer: Callable[[Tensor], Any]) -> Callable[[Tensor, Tensor], Any]:
    """An objective that looks at the points alone."""
    return lambda x, rows: answer(x)


# A weight may be infinite before a sigmoid; a function may return anything.
bad_functions = st.one_of(
    anything,
    st.builds(training, st.integers(0, 3)),
    st.builds(spoilt, st.sampled_from([1, 3]), nan),
    st.sampled_from(
        [
            lambda x: None,
            lambda x: (x.flatten(1),),
            lambda x: {"logits": x.flatten(1)},
            lambda x: x.flatten(1).numpy(force=True),
            lambda x: x.flatten(1)[:, :1],
            lambda x: x.flatten(1)[:1],
            lambda x: x.flatten(1).sum(),
            lambda x: x.flatten(1).argmax(1),
            lambda x: x.flatten(1).detach(),
            lambda x: torch.zeros(len(x), CLASSES),
            lambda x: x.flatten(1) * torch.nan,
            lambda x: x.flatten(1).to_sparse(),
        ]
    ),
)
searched = {
    "model": bad_functions,
    "images": bad_pixels,
    "targets": bad_targets,
    "norm": anything,
    "margin": st.one_of(bad_number, below(0)),
    "margin_tolerance": st.one_of(bad_number, below(0)),
    "tolerance": st.one_of(bad_number, below(-0.01)),
    "max_iterations": st.one_of(no_count, st.none()),
    "history": st.one_of(no_count, st.none(), st.just(0)),
    "chunk": st.one_of(no_count, st.just(0)),
    "bounds": st.one_of(
        anything, st.tuples(st.floats(0.5, 1), st.floats(0, 0.4)), strange.map(lambda value: (0.0, value))
    ),
}
POINTS = torch.full((2, 3), 0.4, dtype=torch.float64)
bad_points = st.one_of(
    anything,
    shaped(2),
    packed(POINTS),
    numbers(POINTS, nan),
    st.sampled_from([torch.int64, torch.bool, torch.complex64]).map(POINTS.to),
)
bad_widths = st.integers(4, 9).map(torch.ones)
good_labels = {"labels": torch.tensor([0, 1, 2])}
bad_labels = {
    "labels": st.one_of(
        anything,
        packed(torch.zeros(3, dtype=torch.int64)),
        st.sampled_from([torch.float32, torch.int32, torch.bool]).map(lambda kind: torch.zeros(3).to(kind)),
        st.one_of(st.integers(-9, -1), st.integers(10, 99)).flatmap(
            lambda value: numbers(torch.zeros(3, dtype=torch.int64), st.just(value))
        ),
    ),
    "classes": st.one_of(no_count, st.none(), st.integers(0, 2)),
}

good_exits = {"model": network(), "images": images(), "labels": torch.zeros(3, dtype=torch.int64)}
bad_exits = {
    "model": st.one_of(
        anything, st.builds(training, st.integers(0, 3)), st.builds(spoilt, st.sampled_from([1, 3]), nan)
    ),
    "images": bad_pixels,
    "labels": bad_targets,
    "chunk": st.one_of(no_count, st.sampled_from([0, None])),
    "steps": st.one_of(no_count, st.sampled_from([0, None])),
    "rivals": st.one_of(no_count, st.just(0)),
}
NORMALS = torch.eye(PIXELS)[:3]
LINES = torch.eye(PIXELS).expand(3, -1, -1)


def bad_vectors(good: Tensor) -> st.SearchStrategy[Any]:
    """What is no tensor of finite numbers in the shape of a good one."""
    return st.one_of(
        anything,
        shaped(good.ndim),
        packed(good),
        numbers(good),
        st.sampled_from([torch.int64, torch.bool, torch.complex64]).map(good.to),
    )


Case = tuple[Callable, dict[str, Any], dict[str, st.SearchStrategy]]
CASES: dict[str, Case] = {
    "linear_norm": (
        intriguing.linear_norm,
        {"weight": torch.eye(2)},
        {"weight": st.one_of(anything, shaped(2), numbers(torch.ones(3, 2)))},
    ),
    "conv_norm": (
        intriguing.conv_norm,
        {"weight": KERNELS, "input_size": 5},
        {
            "weight": st.one_of(anything, shaped(4), numbers(KERNELS)),
            "stride": st.one_of(no_count, st.just(0), st.none()),
            "padding": st.one_of(no_count, st.none()),
            "dilation": st.one_of(no_count, st.just(0), st.none()),
            "groups": st.one_of(no_count, st.sampled_from([0, 3, 5, 8, None])),
            "input_size": st.one_of(no_count, st.integers(0, 2), st.tuples(st.integers(1, 2), st.integers(3, 9))),
            "bound": anything,
        },
    ),
    "network_bound": (
        intriguing.network_bound,
        {"model": network(), "input_size": (PIXELS,)},
        {
            "model": bad_models,
            "input_size": st.one_of(
                anything,
                st.lists(st.integers(-3, 0), min_size=1, max_size=3),
                st.integers(1, 30).filter(lambda width: width != PIXELS).map(lambda width: (width,)),
            ),
            "known": st.one_of(
                anything.filter(lambda value: value is not None and not isinstance(value, dict)),
                st.sampled_from([-1.0, -torch.inf, torch.nan]).map(
                    lambda value: {nn.Sigmoid: lambda layer, size: value}
                ),
            ),
            "bound": anything,
        },
    ),
    "global_certificate": (intriguing.global_certificate, good_certified, certified),
    "local_certificate": (intriguing.local_certificate, good_certified, certified),
    "minimum_distortion": (intriguing.minimum_distortion, good_certified, searched),
    "attack": (intriguing.attack, good_certified, searched),
    "penalty_path": (
        intriguing.penalty_path,
        {"model": network(), "image": images()[0], "target": 0, "penalties": torch.ones(1)},
        {
            "model": bad_functions,
            "image": st.one_of(
                anything, packed(images()[0]), numbers(images()[0], st.just(torch.nan)), numbers(images()[0], outside)
            ),
            "target": st.one_of(
                st.integers(-9, -1), st.integers(CLASSES, 9), st.none(), st.text(max_size=2), st.floats(0.1, 0.9)
            ),
            "penalties": st.one_of(
                anything, packed(torch.ones(2)), numbers(torch.ones(2)), numbers(torch.ones(2), below(0)), shaped(1)
            ),
            "norm": anything,
            "max_iterations": st.one_of(no_count, st.none()),
        },
    ),
    "minimize_box": (
        intriguing.minimize_box,
        {"objective": answering(lambda x: (x.square().sum(1), 2 * x)), "x0": POINTS},
        {
            "objective": st.one_of(
                anything,
                st.sampled_from(
                    [
                        answering(lambda x: None),
                        answering(lambda x: x.square().sum(1)),
                        answering(lambda x: (x.square().sum(), 2 * x)),
                        answering(lambda x: (x.square().sum(1), 2 * x[:, :1])),
                        answering(lambda x: (x.square().sum(1).numpy(), x.numpy())),
                        answering(lambda x: (x.square().sum(1).float(), 2 * x.float())),
                        answering(lambda x: (x.square().sum(1), None)),
                    ]
                ),
            ),
            "x0": bad_points,
            "lower": st.one_of(
                bad_number, st.floats(1.01, 9), bad_widths, numbers(torch.zeros(2, 3), nan), packed(torch.zeros(2, 3))
            ),
            "upper": st.one_of(
                bad_number, st.floats(-9, -0.01), bad_widths, numbers(torch.ones(2, 3), nan), packed(torch.ones(2, 3))
            ),
            "max_iterations": st.one_of(no_count, st.none()),
            "history": st.one_of(no_count, st.none(), st.just(0)),
            "tolerance": st.one_of(bad_number, below(-0.01), bad_widths),
            "decrease_tolerance": st.one_of(bad_number, below(-0.01)),
            "inverse_curvature": st.one_of(
                anything.filter(lambda value: value is not None), bad_widths, st.just(torch.ones(2).long())
            ),
        },
    ),
    "project_polyhedron": (
        intriguing.project_polyhedron,
        {"x": POINTS, "matrix": torch.ones(2, 1, 3).double(), "bound": torch.ones(2, 1).double()},
        {
            "x": st.one_of(
                anything, shaped(2), packed(POINTS), st.sampled_from([torch.int64, torch.bool]).map(POINTS.to)
            ),
            "matrix": st.one_of(anything, shaped(3), packed(torch.ones(2, 1, 3).double())),
            "bound": st.one_of(anything, shaped(2), packed(torch.ones(2, 1).double())),
            "lower": st.one_of(bad_number, st.floats(1.01, 9), bad_widths),
            "upper": st.one_of(bad_number, below(-0.01), bad_widths),
            "multipliers": st.one_of(
                anything.filter(lambda value: value is not None), shaped(2), packed(torch.ones(2, 1).double())
            ),
            "tolerance": st.one_of(bad_number.filter(lambda value: value is not None), below(-0.01), bad_widths),
        },
    ),
    "nearest_exit": (
        boundary.nearest_exit,
        good_exits,
        bad_exits
        | dict.fromkeys(
            ("avoid", "within"),
            st.one_of(
                bad_vectors(LINES).filter(lambda value: value is not None), st.sampled_from([LINES[:2], 2 * LINES])
            ),
        ),
    ),
    "orthogonal_exits": (
        boundary.orthogonal_exits,
        good_exits | {"count": 2},
        {"images": bad_pixels, "count": st.one_of(no_count, st.sampled_from([0, None]))},
    ),
    "aligned_frames": (
        boundary.aligned_frames,
        {"normals": NORMALS, "count": 2},
        {
            "normals": bad_vectors(NORMALS),
            "count": st.one_of(no_count, st.sampled_from([0, None]), st.integers(PIXELS + 1, 99)),
        },
    ),
    "random_frames": (
        boundary.random_frames,
        {"batch": 1, "count": 2, "pixels": PIXELS},
        {
            "batch": st.one_of(no_count, st.sampled_from([0, None])),
            "count": st.one_of(no_count, st.sampled_from([0, None]), st.integers(PIXELS + 1, 99)),
            "pixels": st.one_of(no_count, st.sampled_from([0, 1, None])),
        },
    ),
    "exit_along": (
        boundary.exit_along,
        good_exits | {"directions": LINES, "nearest": torch.full((3,), 0.1)},
        {
            "images": bad_pixels,
            "labels": bad_targets,
            "directions": st.one_of(bad_vectors(LINES), st.just(LINES[:2])),
            "nearest": st.one_of(bad_vectors(torch.ones(3)), numbers(torch.ones(3), below(0))),
            "growth": st.one_of(bad_number, below(1)),
            "farthest": bad_number,
            "chunk": st.one_of(no_count, st.sampled_from([0, None])),
        },
    ),
    "lipschitz_bound": (
        lipschitz_bound,
        {"model": network()},
        {"model": bad_models.filter(lambda model: not (isinstance(model, nn.Sequential) and len(model) == 2))},
    ),
    "logit_margin": (
        intriguing.logit_margin,
        {"logits": torch.ones(3, CLASSES), "targets": torch.zeros(3, dtype=torch.int64)},
        {
            "logits": st.one_of(
                anything, shaped(2), packed(torch.ones(3, CLASSES)), st.just(torch.ones(3, CLASSES).long())
            ),
            "targets": bad_targets,
        },
    ),
    "amplify": (
        perturbations.amplify,
        {"images": images(), "distorted": images() / 2},
        {
            "images": st.one_of(anything, shaped(4)),
            "distorted": st.one_of(anything, shaped(4)),
            "size": st.one_of(bad_number, below(0)),
            "form": anything,
        },
    ),
    "random_targets": (perturbations.random_targets, good_labels, bad_labels | {"generator": no_generator}),
    "wrong_classes": (perturbations.wrong_classes, good_labels, bad_labels),
    "gaussian_noise": (
        perturbations.gaussian_noise,
        {"images": images(), "stddev": 0.1, "clip": True},
        {"images": bad_pixels, "stddev": st.one_of(bad_number, below(-0.01)), "generator": no_generator},
    ),
    "noise_of_size": (
        perturbations.noise_of_size,
        {"images": images(), "sizes": torch.ones(3)},
        {
            "images": st.one_of(anything, shaped(4)).filter(
                lambda value: not isinstance(value, Tensor) or value.ndim < 2
            ),
            "sizes": st.one_of(anything, shaped(1), numbers(torch.ones(3), nan), numbers(torch.ones(3), below(-0.01))),
        },
    ),
    "moved_by": (
        perturbations.moved_by,
        {"images": images(), "distorted": images() / 2, "sizes": torch.ones(3) / 9},
        {
            "images": st.one_of(anything, shaped(4), packed(images())),
            "distorted": st.one_of(anything, shaped(4), packed(images())),
            "sizes": st.one_of(anything, shaped(1), packed(torch.ones(3)), numbers(torch.ones(3), below(-0.01))),
        },
    ),
    "rms": (
        perturbations.rms,
        {"images": images(), "others": images()},
        {
            "images": st.one_of(anything, shaped(4), packed(images())),
            "others": st.one_of(anything, shaped(4), packed(images())),
        },
    ),
    "Images": (
        data.Images,
        {"images": images(), "labels": torch.zeros(3, dtype=torch.int64), "name": "made up"},
        {
            "images": bad_images.filter(lambda value: not (isinstance(value, Tensor) and value.ndim == 2)),
            "labels": st.one_of(
                anything,
                packed(torch.zeros(3, dtype=torch.int64)),
                st.integers(0, 9).filter(lambda count: count != 3).map(lambda count: torch.zeros(count).long()),
                st.sampled_from([torch.float32, torch.int32, torch.bool]).map(lambda kind: torch.zeros(3).to(kind)),
            ),
        },
    ),
    "take": (
        data.Images(images(), torch.zeros(3, dtype=torch.int64), "made up").take,
        {"rows": [0]},
        {
            "rows": st.one_of(
                st.text(min_size=1, max_size=3),
                st.lists(st.integers(3, 99), min_size=1, max_size=3),
                st.lists(st.integers(-99, -4), min_size=1, max_size=3),
                st.lists(st.floats(0, 2), min_size=1, max_size=3),
                st.builds(object),
            )
        },
    ),
    "sample": (
        data.sample,
        {"images": data.Images(images(), torch.zeros(3, dtype=torch.int64), "made up"), "count": 1},
        {"count": st.one_of(no_count, st.none(), st.floats(allow_nan=True))},
    ),
    "mnist": (data.mnist, {"profile": "quick"}, {"profile": anything.filter(lambda value: value is not None)}),
    "card": (data.card, {"profile": "quick"}, {"profile": anything.filter(lambda value: value is not None)}),
    "find": (data.find, {"name": "mnist-sample"}, {"name": anything}),
    "families": (
        photographs.families,
        {"wnids": ["n01440764"]},
        {"wnids": st.one_of(st.text(max_size=9), st.integers(), st.none()).map(lambda wnid: ["n01440764", wnid])},
    ),
}
NAMES = [f"n{1440764 + 2 * i:08d} thing {i}" for i in range(1000)]


def seen(value: object) -> str:
    """What tells one bad value from another."""
    if isinstance(value, nn.Module):
        return f"{value} {[(part.training, len(part._forward_hooks)) for part in value.modules()]} {spot(value)}"
    text = re.sub(r" at 0x\w+", "", repr(value))
    shape = "" if getattr(value, "is_nested", False) else getattr(value, "shape", "")
    return f"{type(value).__name__} {getattr(value, 'dtype', '')} {shape} {text}"


def spot(model: nn.Module) -> str:
    return str([weight.sum().item() for weight in model.parameters()])


@pytest.fixture(scope="module")
def tried() -> dict[str, set[str]]:
    """The bad inputs of each function that have been refused so far."""
    return {}


def refused(call: Callable, arguments: dict[str, Any]) -> None:
    """Asserts that a call is refused in one sentence."""
    try:
        call(**arguments)
    except DOCUMENTED as problem:
        text = problem.args[0] if isinstance(problem, KeyError) else str(problem)
        assert "\n" not in text and SENTENCE.search(text), text
        return
    pytest.fail(f"{arguments} was accepted")


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, (_, _, bad) in CASES.items() for argument in bad]
)
def test_a_bad_argument_is_refused_in_one_sentence(name, argument, tried):
    call, good, bad = CASES[name]

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(bad[argument])
    def every(value: object) -> None:
        refused(call, good | {argument: value})
        tried.setdefault(name, set()).add(f"{argument} {seen(value)}")

    every()


def folder(root: Path, index: int, wrong: str) -> Path:
    """A folder with two photographs in which one thing is wrong."""
    from PIL import Image

    root = root / str(index)
    (root / "val").mkdir(parents=True)
    (root / "synset_words.txt").write_text("\n".join(NAMES))
    (root / "val_labels.csv").write_text("file,label\na.jpeg,1\nb.jpeg,2\n")
    for name in "ab":
        Image.new("RGB", (8, 8)).save(root / "val" / f"{name}.jpeg")
    target = {"classes": "synset_words.txt", "labels": "val_labels.csv"}.get(wrong, "val/b.jpeg")
    return root / target


@pytest.mark.parametrize("wrong", ["classes", "labels", "picture"])
def test_a_bad_file_is_refused_in_one_sentence(wrong, tried, tmp_path):
    count = iter(range(10**6))

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.binary(max_size=40))
    def every(content: bytes) -> None:
        path = folder(tmp_path, next(count), wrong)
        path.write_bytes(content)
        refused(photographs.read, {"root": path.parents[1] if path.parent.name == "val" else path.parent})
        tried.setdefault("photographs", set()).add(f"{wrong} {content!r}")

    every()


def test_good_inputs_are_accepted():
    for name, (call, good, _) in CASES.items():
        call(**good), name


def test_many_bad_inputs_were_tried(tried):
    counts = {name: len(inputs) for name, inputs in tried.items()}
    if len(counts) < len(CASES) + 1:
        pytest.skip("not all of this file was run, and the count is of all of it")
    assert sum(counts.values()) >= LEAST, counts
