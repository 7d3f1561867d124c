"""Norms against explicit dense matrices and by hand, bounds that are never below the truth, and named refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn import functional as F

from intriguing.lipschitz import norms
from intriguing.lipschitz.norms import conv_norm, formula_one, layer_norm, linear_norm

RISE = torch.tensor([[-1.0, 2.0, -1.0]])
RIPPLE = torch.tensor([[1.0, 0.0, -1.0]])


def kernel(row: Tensor) -> Tensor:
    """The outer product of a row with itself, as a convolution of one channel."""
    return (row.T @ row)[None, None]


def dense(weight: Tensor, size: tuple[int, int], **options) -> float:
    """The norm by the full matrix of the convolution and an SVD: slow, plain, and independent of the module."""
    channels = weight.shape[1] * options.get("groups", 1)
    basis = torch.eye(channels * size[0] * size[1], dtype=torch.float64).view(-1, channels, *size)
    matrix = F.conv2d(basis, weight.detach().double(), **options).flatten(1)
    return float(torch.linalg.matrix_norm(matrix, ord=2)) if matrix.numel() else 0.0


@st.composite
def convolutions(draw) -> tuple[Tensor, tuple[int, int], dict]:
    """Kernels of any shape with an image that they fit."""
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    groups = number(1, 2)
    weight_shape = (groups * number(1, 3), number(1, 3), number(1, 4), number(1, 4))
    options = {
        "stride": (number(1, 3), number(1, 3)),
        "padding": (number(0, 4), number(0, 4)),
        "dilation": (number(1, 2), number(1, 2)),
        "groups": groups,
    }
    reach = [d * (k - 1) + 1 for d, k in zip(options["dilation"], weight_shape[2:], strict=True)]
    size = tuple(max(1, r - 2 * p) + number(0, 4) for r, p in zip(reach, options["padding"], strict=True))
    weight = torch.randn(weight_shape, generator=torch.Generator().manual_seed(number(0, 10**6)), dtype=torch.float64)
    return weight, size, options


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_bounds_against_dense_matrices(case):
    weight, size, options = case
    truth = dense(weight, size, **options)
    assert conv_norm(weight, input_size=size, bound="zero-padded", **options) == pytest.approx(truth, rel=1e-3)
    assert conv_norm(weight, input_size=size, **options) >= truth
    assert conv_norm(weight, **options) >= truth


@settings(max_examples=30, deadline=None)
@given(convolutions())
def test_the_bound_for_all_sizes_is_tight(case):
    weight, _, options = case
    fine = max(
        norms.largest_over_grid(norms.dilated(part, options["dilation"]), stride=options["stride"], points=97)
        for part in weight.unflatten(0, (options["groups"], -1))
    )
    assert fine <= conv_norm(weight, **options) <= 1.02 * fine


def test_lanczos_on_a_larger_image():
    weight = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for stride in (1, 2):
        truth = dense(weight, (14, 13), stride=stride, padding=2)
        found = conv_norm(weight, stride=stride, padding=2, input_size=(14, 13), bound="zero-padded")
        assert found == pytest.approx(truth, rel=1e-6)
        assert truth <= conv_norm(weight, stride=stride, padding=2, input_size=(14, 13)) <= 1.25 * truth


def test_a_kernel_of_one_entry_by_hand():
    # One pixel in stride^2 is kept and the others are dropped: the norm is 1, whatever the stride.
    one = torch.ones(1, 1, 1, 1)
    for stride in (1, 2, 4):
        assert conv_norm(one, stride=stride, input_size=8) == pytest.approx(1)
        assert conv_norm(one, stride=stride, input_size=8, bound="zero-padded") == pytest.approx(1)
        assert float(formula_one(one, stride=stride, points=5).max()) == pytest.approx(1)
        assert float(formula_one(one, stride=stride, points=5, corrected=False).max()) == pytest.approx(1 / stride)


def test_the_grid_of_whole_numbers_is_no_bound():
    # The transform of (1, 0, -1) is 2 |sin|, largest half-way between the frequencies of a three-point transform.
    ripple = kernel(RIPPLE)
    assert float(formula_one(ripple).max()) == pytest.approx(3)
    assert float(formula_one(ripple, points=4).max()) == pytest.approx(4)
    assert dense(ripple, (10, 10), padding=1) > 3.6
    assert 4 <= conv_norm(ripple) <= 4.1


def test_the_circle_of_the_image_itself_is_no_bound():
    rise = kernel(RISE)
    assert norms.largest_over_grid(rise, points=3) == pytest.approx(9)
    assert dense(rise, (3, 3), padding=1) == pytest.approx((2 + math.sqrt(2)) ** 2)
    assert conv_norm(rise, padding=1, input_size=3) >= (2 + math.sqrt(2)) ** 2


@pytest.mark.parametrize(("stride", "side"), [(1, 3), (2, 4), (2, 5), (3, 5), (4, 11)])
def test_formula_one_agrees_with_the_polyphase_kernel(stride, side):
    weight = torch.randn(3, 2, side, side, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
    aliased = float(formula_one(weight, stride=stride, points=9).max())
    assert aliased == pytest.approx(norms.largest_over_grid(weight, stride=stride, points=9), rel=1e-9)


def test_linear_norm_by_hand_and_by_svd():
    assert linear_norm(torch.tensor([[3.0, 0.0], [4.0, 0.0]])) == pytest.approx(5)
    for shape in ((7, 4), (4, 7), (5, 5)):
        weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        assert 0 <= linear_norm(weight) / float(torch.linalg.svdvals(weight.double())[0]) - 1 < 3e-10
    assert linear_norm(torch.zeros(3, 2)) == 0


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (60, 60)])
def test_large_matrices_are_bounded_from_above_and_closely(shape, monkeypatch):
    weight = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    norm = float(torch.linalg.svdvals(weight)[0])
    monkeypatch.setattr(norms, "LARGE", 50)
    assert 0 <= linear_norm(weight) / norm - 1 < 1e-9
    assert linear_norm(torch.zeros(60, 60)) == 0
    # A Lanczos iteration that stopped far too low is found out.
    scaled = norm / 2 ** math.frexp(float(weight.abs().max()))[1]
    monkeypatch.setattr(norms, "eigsh", lambda *_, **__: [0.9 * scaled**2])
    assert 0 <= linear_norm(weight) / norm - 1 < 3e-10

    def fails(*_, **__):
        raise norms.ArpackError(-9999)

    monkeypatch.setattr(norms, "eigsh", fails)
    assert 0 <= linear_norm(weight) / norm - 1 < 3e-10
    assert 0 <= linear_norm(torch.eye(60)) - 1 < 3e-10


@pytest.mark.parametrize(
    ("size", "stride", "norm"), [(2, 2, 1), (3, 2, 2), (3, 3, 1), (3, 1, 3), ((3, 1), (2, 1), 2**0.5)]
)
def test_max_pooling_is_reached_by_a_shared_pixel(size, stride, norm):
    assert norms.max_pool_norm(size, stride=stride) == pytest.approx(norm)
    image = torch.zeros(1, 1, 9, 9)
    raised = image.clone()
    gains = []
    for pixel in range(81):
        raised = image.flatten().index_fill(0, torch.tensor([pixel]), 1.0).view_as(image)
        gains.append(float((F.max_pool2d(raised, size, stride) - F.max_pool2d(image, size, stride)).norm()))
    assert max(gains) == pytest.approx(norm)


def test_average_pooling_against_dense_matrices():
    for size, stride in ((2, 2), (3, 2)):
        window = torch.full((1, 1, size, size), 1 / size**2)
        truth = dense(window, (7, 7), stride=stride)
        assert truth <= norms.avg_pool_norm(size, stride=stride, input_size=7) <= 1.25 * truth
    assert norms.avg_pool_norm(2) == pytest.approx(0.5)


@pytest.mark.parametrize(("have", "want"), [((8, 8), (3, 3)), ((7, 5), (2, 4)), ((6, 4), (3, 4)), ((1, 2), (3, 5))])
def test_adaptive_average_pooling_against_dense_matrices(have, want):
    """Windows that overlap, and more windows than pixels, too."""
    layer = nn.AdaptiveAvgPool2d(want)
    basis = torch.eye(math.prod(have), dtype=torch.float64).view(-1, 1, *have)
    truth = float(torch.linalg.matrix_norm(layer(basis).flatten(1), ord=2))
    assert truth <= layer_norm(layer.eval(), (1, *have)) <= truth * (1 + 1e-9)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # of torch, that even windows may cost it a copy
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
@pytest.mark.parametrize("window", [(3, 3), (2, 4), (1, 2), (4, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_a_word_against_dense_matrices(padding, window, dilation):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, window, padding=padding, dilation=dilation, groups=2, bias=False).eval()
    truth = dense(layer.weight, (9, 10), padding=padding, dilation=dilation, groups=2)
    assert layer_norm(layer, (4, 9, 10), bound="zero-padded") == pytest.approx(truth, rel=1e-3)
    assert truth <= layer_norm(layer, (4, 9, 10)) <= 1.7 * truth
    assert truth <= layer_norm(layer, None) <= 1.9 * truth


@pytest.mark.parametrize("power", [-1000, -500, -150, 0, 150, 500, 1000])
def test_rows_are_as_far_apart_as_their_largest_difference(power):
    torch.manual_seed(1)
    rows = torch.randn(300, 7, dtype=torch.float64)
    truth = float(torch.linalg.vector_norm(rows[:, None] - rows, dim=2).max()) * 2.0**power
    for common in (0.0, 1.0, 2.0**40):  # what all have in common does not count, however large it is
        moved = torch.cat([rows * 2.0**power, torch.full((300, 1), common)], 1)
        assert truth <= norms.spread(moved) <= truth * (1 + 1e-9)


def test_the_ends_of_how_far_rows_are_apart():
    def two(*pair: float) -> Tensor:
        return torch.tensor(pair, dtype=torch.float64)[:, None]

    assert norms.spread(two(1.7e308, -1.7e308)) == math.inf
    assert norms.spread(two(0.0, 5e-324)) >= 5e-324
    assert norms.spread(two(1.0, 1.0)) == norms.spread(two(1.0)) == norms.spread(torch.zeros(0, 3).double()) == 0


def test_batch_normalisation_by_hand():
    assert norms.batch_norm_norm(torch.tensor([1.0, -6.0]), torch.tensor([0.0, 3.0]), 1.0) == pytest.approx(3)
    assert norms.batch_norm_norm(None, torch.tensor([3.0]), 1.0) == pytest.approx(0.5)


def stretch(layer, inputs: Tensor) -> float:
    """The largest norm of the layer's Jacobian over a batch of inputs."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: layer(x[None])[0].flatten()))(inputs)
    return float(torch.linalg.matrix_norm(jacobian.flatten(2).flatten(2), ord=2).max())


@pytest.mark.parametrize(("size", "beta", "k"), [(5, 0.75, 1.0), (3, 0.5, 2.0), (5, 1.0, 0.5)])
def test_local_response_normalisation_stays_below_its_bound(size, beta, k):
    chance = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 8, generator=chance, dtype=torch.float64) * torch.rand(200, 1, generator=chance) * 4

    def local(x: Tensor) -> Tensor:
        return F.local_response_norm(x[..., None], size, alpha=float(size), beta=beta, k=k)[..., 0]

    found = norms.local_response_norm(size, beta, k)
    assert 0.5 * k**-beta < stretch(local, inputs) <= found
    # The docstring's bound, with the largest t / (1 + t)^(beta + 1) found by SciPy.
    most = -minimize_scalar(lambda t: -t / (1 + t) ** (beta + 1), bounds=(0, 50), options={"xatol": 1e-9}).fun
    row, column = most * (1 + size**0.5) / 2, most * (1 + (size - 1) / 2)
    assert found == pytest.approx(k**-beta * (1 + 2 * beta * (row * column) ** 0.5), rel=1e-6)


@pytest.mark.parametrize(
    ("layer", "size", "norm"),
    [
        (nn.ReLU(), (3,), 1),
        (nn.Sigmoid(), (3,), 0.25),
        (nn.MaxPool2d(3, 2), (1, 7, 7), 2),
        (nn.AvgPool2d(2), (1, 8, 8), 0.5),
        (nn.MaxPool2d((2,), stride=[]), (1, 8, 8), 1),
        (nn.AvgPool2d((2,)), (8, 8), 0.5),
        (nn.AvgPool2d(2), None, 0.5),
        (nn.Conv2d(1, 1, 1, stride=(2,), bias=False), (1, 8, 8), 1),
        (nn.AdaptiveAvgPool2d([2, 4]), (1, 8, 8), 8**-0.5),
        (nn.AdaptiveAvgPool2d((2,)), (1, 8, 8), None),
        (nn.AdaptiveAvgPool2d(2), None, None),
        (nn.AdaptiveAvgPool2d(1), None, 1),  # of one pixel
        (nn.AdaptiveAvgPool2d([1, 1]), None, 1),
        (nn.AdaptiveAvgPool2d(2), (1, 8, 8), 0.25),  # means of sixteen, over the root of their number
        (nn.AvgPool2d(2, ceil_mode=True), (1, 7, 7), None),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), (1, 7, 7), None),
        (nn.Softmax(1), (3,), None),
    ],
)
def test_the_bound_of_one_layer_by_hand(layer, size, norm):
    if isinstance(layer, nn.Conv2d):
        nn.init.ones_(layer.weight)
    found = layer_norm(layer.eval(), size)
    assert found is None if norm is None else found == pytest.approx(norm)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 0}, "stride"),
        ({"padding": -1}, "padding"),
        ({"groups": 2}, "divides 3 kernels"),
        ({"bound": "lower"}, "'upper' or 'zero-padded'"),
        ({"bound": "zero-padded"}, "input_size"),
        ({"input_size": 2}, "at least the kernel's size"),
    ],
)
def test_conv_norm_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        conv_norm(torch.ones(3, 1, 3, 3), **options)
    for strange in (torch.nan, torch.inf, -torch.inf):
        with pytest.raises(ValueError, match="expected finite weights; look for"):
            conv_norm(torch.full((1, 1, 1, 1), strange))
        with pytest.raises(ValueError, match="expected finite weights; look for"):
            linear_norm(torch.tensor([[1.0, strange]]))


SIZES = [5e-324, 1e-320, 1e-200, 1e-162, 1e-38, 1e-8, 1e8, 1e38, 1e154, 1e200, 1e300]


@pytest.mark.parametrize("size", SIZES)
def test_tiny_and_huge_weights_are_bounded_from_above(size):
    # Only powers of two are exact down there, so the truth is that of the entries as they are stored.
    for shape in ((3, 5), (5, 3), (1, 1)):
        entries = torch.randint(1, 9, shape, generator=torch.Generator().manual_seed(2)).double()
        truth = float(torch.linalg.svdvals(entries * size / size)[0]) if size > 1e-300 else None
        found = linear_norm(entries * size)
        if truth is None:  # whole multiples of the smallest number
            unit = 5e-324
            truth = float(torch.linalg.svdvals((entries * size) / unit)[0])
            assert truth <= round(found / unit) <= truth + 4
        else:
            assert 0 <= found / size / truth - 1 < 4e-10
    # All-ones kernels of 3 by 3 on two channels: the constant image gains 2 * 9.
    for options in ({}, {"input_size": 40}, {"input_size": (41, 40), "padding": 1}):
        found = conv_norm(torch.full((2, 2, 3, 3), size, dtype=torch.float64), **options)
        assert found >= 17.5 * size and (found <= 18.4 * size or size < 1e-320)
        if options:
            exact = conv_norm(torch.full((2, 2, 3, 3), size, dtype=torch.float64), bound="zero-padded", **options)
            assert 17 * size <= exact <= found


def test_a_norm_beyond_float64_is_infinite_and_not_wrong():
    largest = torch.finfo(torch.float64).max
    assert linear_norm(torch.full((2, 2), largest, dtype=torch.float64)) == math.inf
    assert conv_norm(torch.full((1, 1, 2, 2), largest, dtype=torch.float64)) == math.inf


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.bool])
def test_every_precision_counts_with_its_own_numbers(dtype):
    weight = (4 * torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(7))).to(dtype)
    truth = dense(weight, (5, 5), padding=1)
    assert truth <= conv_norm(weight, padding=1, input_size=5) <= 1.3 * truth
    matrix = weight.flatten(1)
    assert 0 <= linear_norm(matrix) / float(torch.linalg.svdvals(matrix.double())[0]) - 1 < 3e-10
    assert linear_norm(matrix.double().to_sparse()) == linear_norm(matrix)


def test_complex_weights_keep_their_imaginary_part():
    assert linear_norm(5j * torch.eye(3, dtype=torch.complex64)) == pytest.approx(5, rel=1e-9)
    chance = torch.Generator().manual_seed(3)
    for shape in ((3, 5), (5, 3)):
        matrix = torch.randn(shape, dtype=torch.complex128, generator=chance)
        assert 0 <= linear_norm(matrix) / float(torch.linalg.svdvals(matrix)[0]) - 1 < 3e-10
        assert linear_norm(matrix.conj()) == pytest.approx(linear_norm(matrix), rel=1e-9)
    weight = torch.randn(4, 2, 3, 2, dtype=torch.complex128, generator=chance)
    for groups in (1, 2):
        basis = torch.eye(2 * groups * 25, dtype=torch.complex128).view(-1, 2 * groups, 5, 5)
        rows = F.conv2d(basis, weight, padding=1, groups=groups).flatten(1)
        truth = float(torch.linalg.matrix_norm(rows, ord=2))
        options = {"padding": 1, "groups": groups, "input_size": 5}
        assert conv_norm(weight, bound="zero-padded", **options) == pytest.approx(truth, rel=1e-5)
        assert truth <= conv_norm(weight, **options) <= 1.3 * truth
        assert truth <= conv_norm(weight, groups=groups)


def test_taps_that_meet_no_pixel_do_not_hide_those_that_do():
    # On one pixel with a border of one, only the middle tap of three is used; the outer ones cancel around the circle.
    weight = torch.tensor([1.0, 1e-12, -1.0], dtype=torch.float64).view(1, 1, 1, 3)
    assert 1e-12 <= conv_norm(weight, padding=(0, 1), input_size=(1, 1)) <= 3
    cancelled = torch.tensor([1.0, 1e-12, 0.0, -1.0, 1e-12, 0.0], dtype=torch.float64).view(1, 1, 1, 6)
    assert norms.largest_over_grid(cancelled, points=(1, 3)) == pytest.approx(2e-12, rel=1e-6)


@pytest.mark.parametrize("tiny", [1e-12, 1e-30, 1e-170, 1e-200, 0.0])
def test_the_norm_itself_is_that_of_the_taps_that_meet_a_pixel(tiny):
    weight = torch.tensor([1.0, tiny, -1.0], dtype=torch.float64).view(1, 1, 1, 3)
    assert conv_norm(weight, padding=(0, 1), input_size=(1, 1), bound="zero-padded") == tiny
    around = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    around[..., 3:6, 3:6] = tiny
    assert conv_norm(around, padding=4, input_size=1, bound="zero-padded") == tiny
    # Of a stride of two only every other tap of the border is used: rows 0 and 2 of three on two pixels.
    skipped = torch.full((1, 1, 3, 3), tiny, dtype=torch.float64)
    skipped[..., 0, :] = skipped[..., :, 0] = 1
    found = conv_norm(skipped, padding=1, stride=2, input_size=2, bound="zero-padded")
    assert found == pytest.approx(2 * tiny, rel=1e-9, abs=0)


def test_many_channels_that_meet_no_pixel_have_no_norm():
    weight = torch.zeros(70, 70, 3, 3)
    weight[:, :, 0, 0] = torch.eye(70)
    assert conv_norm(weight, padding=1, input_size=1, bound="zero-padded") == 0


def test_sums_bound_a_convolution_of_any_size():
    weight = torch.tensor([[1.0, -2.0], [3.0, 4.0], [-5.0, 6.0]]).view(3, 2, 1, 1)
    for power in (-1000, -600, 0, 600):
        found = norms.conv_norm_by_sums(weight.double() * 2.0**power)
        assert math.sqrt(12 * 11) * 2.0**power <= found <= math.sqrt(12 * 11) * (1 + 1e-9) * 2.0**power


def test_pooling_and_batch_normalisation_are_rounded_upward():
    assert norms.max_pool_norm((3, 1), stride=(1, 1)) ** 2 >= 3
    root = norms.max_pool_norm((3, 1), stride=(1, 1))
    assert math.nextafter(root, 0) ** 2 < 3
    assert norms.avg_pool_norm(3) >= 1 / 3
    adaptive = layer_norm(nn.AdaptiveAvgPool2d(1).eval(), (1, 3, 1))
    assert 0 < adaptive**2 * 3 - 1 < 1e-9
    tiny = norms.batch_norm_norm(torch.tensor([1e-300], dtype=torch.float64), torch.tensor([1.0]), 0.0)
    assert 1e-300 <= tiny <= 1.001e-300


@pytest.mark.parametrize(
    ("gamma", "variance", "eps"),
    [([1.0, 2.0, 3.0], [1.0], 1e-5), ([1.0], [-1.0], 1e-5), ([1.0], [0.0], 0.0), ([math.nan], [1.0], 1e-5),
     ([1.0], [math.inf], 1e-5), ([1.0], [1.0], -2.0), ([1.0], [1.0], "a"), ([1.0], [1.0], math.inf),
     ([1.0], [1.0], None), ([1.0], [1.0], 10**400)],
)  # fmt: skip
def test_statistics_that_give_no_bound_are_refused(gamma, variance, eps):
    with pytest.raises(ValueError, match="^got .*; expected .*; "):
        norms.batch_norm_norm(torch.tensor(gamma), torch.tensor(variance), eps)


@pytest.mark.parametrize(
    ("size", "beta", "k"), [("a", 1, 1), (None, 1, 1), (2.5, 1, 1), (0, 1, 1), (5, "a", 1), (5, math.nan, 1), (5, 1, 0)]
)
def test_options_that_no_local_response_normalisation_has_are_refused(size, beta, k):
    with pytest.raises(ValueError, match="^got size .*; expected a whole size >= 1, beta >= 0 and k > 0.*; take those"):
        norms.local_response_norm(size, beta, k)


@pytest.mark.parametrize("size", [8, "8", (1, 8.0, 8), (1, -8, 8), object()])
def test_what_is_no_shape_is_refused(size):
    with pytest.raises(ValueError, match="^got input_size .*; expected the shape of one input.*; write it"):
        layer_norm(nn.Conv2d(1, 1, 3).eval(), size)


def test_whole_numbers_of_other_libraries_are_whole_numbers():
    weight = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    usual = conv_norm(weight, stride=2, padding=1, input_size=9)
    assert conv_norm(weight, stride=np.int64(2), padding=[np.int32(1)] * 2, input_size=torch.tensor(9)) == usual
    for strange in (2.0, "2", True, None, (1, 2, 3), [1, None], "12"):
        with pytest.raises(ValueError, match="got stride .*; expected one or two whole numbers of at least 1; take"):
            conv_norm(weight, stride=strange)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(-1000, 1000), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_lengths_are_rounded_upward_at_every_size(count, width, power, seed):
    rows = torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    half = power // 2
    found = norms.lengths(rows * 2.0**half * 2.0 ** (power - half))
    ratio = found * 2.0**-half * 2.0 ** (half - power) / rows.norm(dim=1)
    assert bool((ratio >= 1).all()) and bool((ratio < 1 + 2e-10).all())


def test_lengths_at_the_ends():
    ends = torch.tensor([[0.0, 0.0], [5e-324, 0.0], [math.inf, 1.0], [1.7e308, 1.7e308]], dtype=torch.float64)
    found = norms.lengths(ends)
    assert float(found[0]) == 0 and 5e-324 <= float(found[1]) < 1e-300 and found[2:].tolist() == [math.inf] * 2


@pytest.mark.parametrize("grid", [(5, 4), (3, 3), (3, 2), (2, 5), (1, 1)])
def test_kernels_that_fit_the_circle_are_wound_as_those_that_do_not(grid):
    blocks = torch.randn(2, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wound = torch.zeros(2, 3, *grid, dtype=torch.float64)
    for down in range(3):
        for across in range(3):
            wound[:, :, down % grid[0], across % grid[1]] += blocks[:, :, down, across]
    found, expected = (torch.fft.rfft2(part, s=grid) for part in (norms._folded(blocks, grid), wound))
    if grid[0] >= 3 and grid[1] >= 3:  # nothing is added up, so that not a bit changes
        assert torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
