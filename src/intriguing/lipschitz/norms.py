"""How much a layer can stretch: the operator norms of matrices and convolutions, and Lipschitz bounds of other layers.

The paper bounds the change of a network's output by the product of the operator norms of its layers. A matrix norm is
a singular value. A convolution is a very large, very repetitive matrix. On a circle, or on an image without an end, it
falls apart into small ones, one for each frequency, the largest singular value of which is its norm; that of a
zero-padded one is no larger. Norms of weights are computed in float64, with the largest entry brought to about 1
first; single precision only tells which frequencies need no closer look. Every upper bound is rounded upward: a bound
below the truth would be none.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.linalg.blas import dsymv, dsyrk
from scipy.linalg.lapack import dpotrf
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional as F

from .modules import applied, checked_module, kind

# Upper bounds are raised by this fraction, nearly a million units of rounding in float64.
ROUNDING = 1e-10
SINGLE = 1e-3  # the same for sums of a few hundred products in single precision
CHUNK = 256  # frequencies whose matrices are multiplied at a time; bounds memory
LARGE = 2000  # rows from which on a few products with the Gram matrix are cheaper than all of its eigenvalues
BATCH = 8  # frequencies whose eigenvalues are computed at a time
LIMIT = 2**40  # numbers that no input has
SIGMOID = 0.25  # the largest slope of 1 / (1 + exp(-z)), at z = 0

Pair = int | Sequence[int]


def linear_norm(weight: Tensor) -> float:
    """The operator norm of a matrix, its largest singular value, rounded upward.

    Args:
        weight: (outputs, inputs), real or complex, of any precision and size of its entries.

    Returns:
        The norm, never below the truth and within 3e-10 of it, relatively, unless it is smaller than float64's normal
        numbers are; infinity where it is beyond float64.

    Raises:
        TypeError: weight is no tensor.
        ValueError: weight is no matrix, or holds NaN or infinities.

    Source:
        Szegedy et al. 2013, section 4.3: "directly given by the largest singular value".
    """
    weight, exponent = _scaled(_real(_checked(weight, 2, "a matrix (outputs, inputs)")))
    if not bool(weight.any()):
        return 0.0
    # The smaller of the two Gram matrices has the square of every singular value that is not zero.
    wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
    if len(wide) < LARGE:
        norm = math.sqrt(max(0.0, float(torch.linalg.eigvalsh(wide @ wide.T)[-1])))
    else:
        norm = math.sqrt(_largest(dsyrk(1.0, wide.contiguous().numpy().T, trans=1)))
    return _raised(norm, exponent)


def conv_norm(
    weight: Tensor,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    input_size: Pair | None = None,
    bound: str = "upper",
) -> float:
    """The operator norm of a zero-padded convolution, or a rigorous bound of it from above.

    ``"zero-padded"`` is the norm itself, the limit of a Lanczos iteration: it is approached from below, and with the
    tolerance used here it is exact to about 1e-6. ``"upper"`` is never below the norm. With a height and a width it is
    the norm of a circular convolution on the smallest grid that holds the image, its padding on one side and a whole
    number of strides, of which the zero-padded one is a part (rows and columns left out). Without, it bounds the
    supremum over all frequencies, and with it every size of image: a trigonometric polynomial of degree n that
    reaches 1 stays above cos(n d) at the distance d, so that a fine grid of frequencies misses little, and by no more
    than a known factor.

    Args:
        weight: (D, C / groups, height, width) of the kernels, real or complex.
        stride: one number or (down, across), at least 1.
        padding: zeros on each side, one number or (down, across), at least 0.
        dilation: one number or (down, across), at least 1.
        groups: number of groups that the channels are divided into; a divisor of D.
        input_size: height and width of the image, one number or two; None (with ``"upper"`` only) stands for all.
        bound: ``"upper"`` or ``"zero-padded"``.

    Returns:
        The norm or the bound.

    Raises:
        TypeError: weight is no tensor.
        ValueError: an option out of range, a weight of a wrong shape or with NaN or infinities, or an image that is,
            with its padding, smaller than the kernel.

    Source:
        Szegedy et al. 2013, section 4.3, equation (1), with its factor corrected.
    """
    weight = dilated(_checked(weight, 4, "kernels (D, C / groups, height, width)"), dilation)
    stride, padding = _pair(stride, 1, "stride"), _pair(padding, 0, "padding")
    check_bound(bound)
    if not whole_number(groups) or groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"got {groups} groups; expected a whole number that divides {weight.shape[0]} kernels; "
            "take that of the layer."
        )
    parts = [_real(part) for part in weight.unflatten(0, (groups, -1))]  # each (D / groups, C / groups, height, width)
    size = None if input_size is None else _pair(input_size, 1, "input_size")
    if size is not None and any(n + 2 * p < k for n, p, k in zip(size, padding, weight.shape[2:], strict=True)):
        raise ValueError(
            f"got size {size}; expected at least the kernel's size {tuple(weight.shape[2:])}; "
            "take that of the layer's input, height and width."
        )
    if bound == "zero-padded":
        if size is None:
            raise ValueError("got no input_size; expected one for bound 'zero-padded'; take 'upper' to do without.")
        return max(_lanczos(part, stride, padding, size) for part in parts)
    grid, slack = frequency_grid(weight.shape[2:], stride=stride, padding=padding, input_size=size)
    return _raised(max(largest_over_grid(part, stride=stride, points=grid) for part in parts), 0, slack)


def conv_norm_by_sums(weight: Tensor) -> float:
    """A bound of a convolution for all strides, paddings and sizes at once: sqrt(|W|_1 |W|_inf).

    |W|_1 is the largest sum of absolute weights that one input reaches, |W|_inf that of those that reach one output.

    Args:
        weight: (D, C, height, width) of the kernels, real or complex; without groups.

    Returns:
        The bound, rounded upward.

    Raises:
        TypeError: weight is no tensor.
        ValueError: weight has another shape, or holds NaN or infinities.

    Source:
        Horn and Johnson, Matrix Analysis.
    """
    weight, exponent = _scaled(_real(_checked(weight, 4, "kernels (D, C, height, width)")).abs())
    return _raised(math.sqrt(float(weight.sum((0, 2, 3)).max() * weight.sum((1, 2, 3)).max())), exponent)


def check_bound(bound: str) -> None:
    """Raises an error unless the kind of bound is known.

    Args:
        bound: ``"upper"`` or ``"zero-padded"``.

    Raises:
        ValueError: it is another one.
    """
    if not isinstance(bound, str) or bound not in ("upper", "zero-padded"):
        raise ValueError(f"got bound {bound!r}; expected 'upper' or 'zero-padded'; take 'upper' for a certificate.")


def _largest(half: np.ndarray) -> float:
    """The largest eigenvalue of a positive semidefinite matrix, found by Lanczos and confirmed by Cholesky.

    Lanczos comes from below. If (1 + eps) times what it found, less the matrix, has a Cholesky factor, then it is
    positive definite, and nothing was missed. Only the upper triangle is read, which saves half of the products.
    """
    product = LinearOperator(half.shape, lambda v: dsymv(1.0, half, v), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(half))
    try:
        found = float(eigsh(product, k=1, which="LA", v0=start, tol=1e-9, ncv=40, return_eigenvectors=False)[0])
    except ArpackError:  # it has not converged, as where many eigenvalues are nearly the largest
        found = 0.0
    above, rest = found * (1 + ROUNDING), -half
    rest[np.diag_indices_from(rest)] += above
    _, failed = dpotrf(rest, overwrite_a=True, clean=False)
    return float(np.linalg.eigvalsh(half, UPLO="U")[-1]) if failed else above


def dilated(weight: Tensor, dilation: Pair) -> Tensor:
    """Kernels with zeros between their entries, which do without dilation what the given ones do with it.

    Args:
        weight: (D, C, height, width).
        dilation: one number or (down, across), at least 1.

    Returns:
        (D, C, (height - 1) * down + 1, (width - 1) * across + 1).

    Raises:
        ValueError: a dilation below 1.
    """
    down, across = _pair(dilation, 1, "dilation")
    height, width = weight.shape[2:]
    if (down, across) == (1, 1):
        return weight
    spread = weight.new_zeros(*weight.shape[:2], (height - 1) * down + 1, (width - 1) * across + 1)
    spread[:, :, ::down, ::across] = weight
    return spread


def polyphase(weight: Tensor, stride: Pair) -> Tensor:
    """Kernels of stride 1 that do, on an image cut into stride-by-stride blocks, what the given ones do on the image.

    Args:
        weight: (D, C, height, width).
        stride: one number or (down, across), at least 1.

    Returns:
        (D, C * down * across, ceil(height / down), ceil(width / across)): no factor is needed.
    """
    down, across = _pair(stride, 1, "stride")
    height, width = weight.shape[2:]
    padded = F.pad(weight, (0, -width % across, 0, -height % down))
    blocks = padded.unflatten(3, (-1, across)).unflatten(2, (-1, down))  # (D, C, K, down, K', across)
    return blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)


def largest_over_grid(weight: Tensor, *, stride: Pair = 1, points: Pair) -> float:
    """The norm of a circular convolution: the largest singular value of the kernel's transform over a grid.

    Args:
        weight: (D, C, height, width).
        stride: one number or (down, across), at least 1.
        points: frequencies down and across, at least 1; the image has ``points * stride`` pixels.

    Returns:
        The largest of the points' singular values, accurate to rounding.

    Raises:
        TypeError: weight is no tensor.
        ValueError: an option out of range, or a weight of a wrong shape or with NaN or infinities.
    """
    grid = _pair(points, 1, "points")
    weight = _real(_checked(weight, 4, "kernels (D, C, height, width)"))
    # Scaled once it is wound: what is largest in the kernel may have met its opposite.
    blocks, exponent = _scaled(_folded(polyphase(weight, stride), grid))
    if not bool(blocks.any()):
        return 0.0
    # A real kernel has conjugate transforms at opposite frequencies, so half of them suffice.
    symbols = torch.fft.rfft2(blocks, s=grid).permute(2, 3, 0, 1).flatten(0, 1)  # (frequencies, D, C * s * s)
    if symbols.shape[1] > symbols.shape[2]:
        symbols = symbols.mH
    # |G^2| bounds the square of the largest eigenvalue of G = A A^H: in single precision it rules most frequencies out.
    ceilings = torch.cat([_ceilings(part.to(torch.complex64)) for part in symbols.split(CHUNK)])
    ceilings, order = ceilings.sort(descending=True)
    best = 0.0
    for start in range(0, len(order), BATCH):
        if float(ceilings[start]) <= best:
            break
        chosen = symbols[order[start : start + BATCH]]
        best = max(best, float(torch.linalg.eigvalsh(chosen @ chosen.mH)[:, -1].max()))
    return _times_power(math.sqrt(best), exponent)


def _ceilings(symbols: Tensor) -> Tensor:
    """Upper bounds of |A|^2, one per frequency, with room for the rounding of single precision."""
    grams = symbols @ symbols.mH
    return (1 + SINGLE) * torch.linalg.matrix_norm(grams @ grams).sqrt().double()


def formula_one(weight: Tensor, *, stride: int = 1, points: int | None = None, corrected: bool = True) -> Tensor:
    """The norms |A(xi)| of the paper's formula (1), over a square grid of frequencies.

    The matrix A(xi) of size D x (C s^2) holds the transforms of the kernels at xi and at the frequencies that the
    stride s folds onto it. The printed factor in front of them is s^-2. Parseval's formula gives s^-1: one factor
    s^-1/2 for each of the two directions.

    Args:
        weight: (D, C, N, N).
        stride: s, at least 1.
        points: frequencies in each direction, evenly spaced from 0 up to N / s; None takes the whole numbers below
            N / s, at stride 1 the frequencies of a transform of N points.
        corrected: whether the factor is s^-1; False takes the printed s^-2.

    Returns:
        (points, points) float64. Its largest entry is the formula's value on this grid; the formula itself asks for
        the supremum over all xi.

    Raises:
        TypeError: weight is no tensor.
        ValueError: kernels of a wrong shape, not square or with NaN or infinities, or an option out of range.

    Source:
        Szegedy et al. 2013, section 4.3, equation (1).
    """
    weight = _checked(weight, 4, "kernels (D, C, N, N)")
    side = weight.shape[-1]
    if weight.shape[2] != side:
        raise ValueError(f"got kernels of {tuple(weight.shape[2:])}; expected square ones; take conv_norm for others.")
    if any(not whole_number(value) or value < 1 for value in (stride, 1 if points is None else points)):
        raise ValueError(
            f"got stride {stride} and points {points}; expected whole numbers of at least 1; leave points out for the "
            "whole numbers below N / s."
        )

    def first(count: int) -> Tensor:
        return torch.arange(count, dtype=torch.float64, device="cpu")  # whatever the defaults are elsewhere

    xi = first(math.ceil(side / stride)) if points is None else first(points) * side / (stride * points)
    folds = xi[:, None] + first(stride) * side / stride  # (points, s): xi + l N / s
    waves = torch.exp(-2j * math.pi / side * folds[..., None] * first(side))  # (points, s, N)
    transform = torch.einsum("dcuv,pau,qbv->pqdcab", weight.to(waves.dtype), waves, waves).flatten(3)
    factor = stride ** (-1 if corrected else -2)
    return torch.linalg.matrix_norm(factor * transform, ord=2)


def max_pool_norm(kernel_size: Pair, *, stride: Pair | None = None) -> float:
    """The Lipschitz constant of max-pooling: the root of how many windows share a pixel.

    Args:
        kernel_size: of the window, one number or (down, across).
        stride: one number or (down, across); None takes the window's size.

    Returns:
        1 where windows do not overlap, which is the paper's claim; 2 for windows of 3 at stride 2, as in AlexNet. It is
        reached by a pixel that is the largest in all of its windows.

    Source:
        Szegedy et al. 2013, section 4.3, "a max-pooling layer" is "contractive", corrected for windows that overlap.
    """
    kernel = _pair(kernel_size, 1, "kernel_size")
    steps = kernel if stride is None else _pair(stride, 1, "stride")
    shared = math.prod(-(-k // s) for k, s in zip(kernel, steps, strict=True))
    root = math.isqrt(shared)
    return float(root) if root**2 == shared else math.nextafter(math.sqrt(shared), math.inf)


def avg_pool_norm(
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    input_size: Pair | None = None,
    bound: str = "upper",
) -> float:
    """The norm of average pooling, which is a convolution of every channel with a constant kernel.

    Args:
        kernel_size: of the window, one number or (down, across).
        stride: one number or (down, across); None takes the window's size.
        padding: zeros on each side, counted in the average.
        input_size: as for ``conv_norm``.
        bound: as for ``conv_norm``.

    Returns:
        The norm or the bound, 1 / k for windows of k by k that do not overlap.
    """
    kernel = _pair(kernel_size, 1, "kernel_size")
    window = torch.full((1, 1, *kernel), 1 / math.prod(kernel), dtype=torch.float64, device="cpu")
    stride = kernel if stride is None else stride
    return conv_norm(window, stride=stride, padding=padding, input_size=input_size, bound=bound)


def batch_norm_norm(weight: Tensor | None, variance: Tensor, eps: float) -> float:
    """The norm of batch normalisation with fixed statistics, max |gamma| / sqrt(variance + eps) over the channels.

    Args:
        weight: (channels,) gamma; None for ones.
        variance: (channels,) of the statistics, at least 0.
        eps: added to the variance.

    Returns:
        The norm, rounded upward.

    Raises:
        TypeError: something else than tensors.
        ValueError: shapes that differ, NaN or infinities, eps that is no finite number, or a variance that is not above
            0 with it added.
    """
    if not _number(eps):
        raise ValueError(f"got eps {eps!r}; expected a finite number; take that of the layer.")
    variance = _checked(variance, 1, "variances (channels,)")
    scale = torch.ones_like(variance) if weight is None else _checked(weight, 1, "gamma (channels,)")
    if scale.shape != variance.shape:
        raise ValueError(
            f"got gamma of shape {tuple(scale.shape)} and variances of {tuple(variance.shape)}; expected one each per "
            "channel; take both from one layer."
        )
    if variance.is_complex() or not bool((variance >= 0).all()) or not bool((variance + eps > 0).all()):
        raise ValueError(
            f"got a variance of {float(variance.real.min()):.6g} and eps {eps}; expected variances of at least 0, and "
            "above 0 with eps added; look at running_var."
        )
    if not len(scale):
        return 0.0
    return _raised(float((scale.abs() / (variance + eps).sqrt()).max()), 0)


def local_response_norm(size: int, beta: float, k: float) -> float:
    """A bound for AlexNet's local response normalisation, x_i / (k + a sum of x_j^2 over the window of i)^beta.

    The paper's k^-beta belongs to one window that all channels share. Here each channel has a window of its own and the
    Jacobian is not symmetric. Searches for an input where its norm exceeds k^-beta have found none, but this is no
    proof. The bound is one: with s_i the bracket and c the largest value of t / (1 + t)^(beta + 1), an entry off the
    diagonal is at most beta c k^-beta, and the sums over a row and over a column bound the norm by Schur's test.

    Args:
        size: n, channels in a window.
        beta: the exponent, at least 0.
        k: above 0.

    Returns:
        A bound for all inputs and every a of at least 0.

    Raises:
        ValueError: an option out of range.
    """
    numbers = whole_number(size) and _number(beta) and _number(k)
    if not numbers or size < 1 or not 0 <= beta < math.inf or not 0 < k < math.inf:
        raise ValueError(
            f"got size {size!r}, beta {beta!r} and k {k!r}; expected a whole size >= 1, beta >= 0 and k > 0, all "
            "finite; take those of the layer."
        )
    if beta == 0:
        return 1.0
    c = (1 / beta) / (1 + 1 / beta) ** (beta + 1)
    # sum_j |x_i x_j| <= (1 + sqrt n) / 2 |x|^2 along a row; half of c for each of n - 1 entries down a column.
    row, column = c * (1 + math.sqrt(size)) / 2, c * (1 + (size - 1) / 2)
    return _raised(k**-beta * (1 + 2 * beta * math.sqrt(row * column)), 0)


def _kernels(layer: Any) -> tuple[Tensor, Pair]:
    """A convolution's kernels without dilation, and the zeros around the image, also where its padding is a word."""
    weight = dilated(_checked(applied(layer, "weight"), 4, "kernels (D, C / groups, height, width)"), layer.dilation)
    if layer.padding != "same":
        return weight, 0 if layer.padding == "valid" else layer.padding
    # A window of even length reaches one pixel further right than left: as one that begins with a zero does.
    weight = F.pad(weight, (1 - weight.shape[3] % 2, 0, 1 - weight.shape[2] % 2, 0))
    return weight, (weight.shape[2] // 2, weight.shape[3] // 2)


def _means(have: int, want: int) -> Tensor:
    """Adaptive average pooling along one axis, (want, have); along two it is the tensor product of both."""
    first, pixels = torch.arange(want, device="cpu")[:, None] * have, torch.arange(have, device="cpu")
    window = (first // want <= pixels) & (pixels * want < first + have)
    return window.double() / window.sum(1, keepdim=True)


CONTRACTIVE = (nn.ReLU, nn.Flatten, nn.Identity, nn.Dropout, nn.Tanh)
"""Layers that never enlarge a difference when they are evaluated."""


def layer_norm(layer: nn.Module, input_size: Sequence[int] | None, *, bound: str = "upper") -> float | None:
    """The bound of one layer in evaluation mode.

    Subclasses may do something else in their forward pass, so the class itself counts. Weights are those that the layer
    applies: with its parametrizations, and with its mask where it was pruned.

    Args:
        layer: one of torch's.
        input_size: shape of one input, without the batch, such as (3, 28, 28); None (with ``"upper"`` only) stands for
            all.
        bound: of convolutions and average pooling, as for ``conv_norm``.

    Returns:
        The bound; None where the class of the layer, or an option of it, is not known here.

    Raises:
        TypeError: no module, or one with a hook or a forward pass of its own, which may change what it returns.
        ValueError: a layer in training mode, weights that are not finite, or an input_size that is no shape.
    """
    check_bound(bound)
    checked_module(layer)
    image = None if input_size is None else checked_shape(input_size, least=0)[-2:]  # height and width
    which = kind(layer)
    if which in CONTRACTIVE:
        return 1.0
    if which is nn.Sigmoid:
        return SIGMOID
    if which is nn.Linear:
        return linear_norm(applied(layer, "weight"))
    if which is nn.Conv2d and layer.padding_mode == "zeros":
        weight, padding = _kernels(layer)
        options = {"stride": layer.stride, "padding": padding, "groups": layer.groups}
        return conv_norm(weight, input_size=image, bound=bound, **options)
    if which is nn.MaxPool2d and _pair(layer.dilation, 1, "dilation") == (1, 1):
        return max_pool_norm(layer.kernel_size, stride=layer.stride or None)
    if which is nn.AvgPool2d and not layer.ceil_mode and layer.count_include_pad and layer.divisor_override is None:
        options = {"stride": layer.stride or None, "padding": layer.padding, "input_size": image, "bound": bound}
        return avg_pool_norm(layer.kernel_size, **options)
    if which is nn.AdaptiveAvgPool2d:
        given = layer.output_size
        wanted = tuple(given) if isinstance(given, Sequence) else (given, given)
        if wanted == (1, 1) and image is None:
            return 1.0  # the mean of n pixels stretches by the root of 1 / n
        if image is not None and len(image) == len(wanted) == 2 and all(image) and all(wanted):
            return math.prod(linear_norm(_means(have, want)) for have, want in zip(image, wanted, strict=True))
    if which in (nn.BatchNorm1d, nn.BatchNorm2d) and layer.running_var is not None:
        gamma = None if layer.weight is None else applied(layer, "weight")
        return batch_norm_norm(gamma, layer.running_var, layer.eps)
    if which is nn.LocalResponseNorm and layer.alpha >= 0:
        return local_response_norm(layer.size, layer.beta, layer.k)
    return None


def checked_shape(input_size: Sequence[int], *, least: int = 1) -> tuple[int, ...]:
    """The shape of one input, after a look at it.

    Args:
        input_size: without the batch, such as (3, 28, 28).
        least: the smallest length; 0 inside a network, where a layer may have no units.

    Raises:
        ValueError: it is none, or one that no tensor could have.
    """
    shape = tuple(input_size) if isinstance(input_size, Iterable) and not isinstance(input_size, str) else ()
    whole = all(whole_number(length) and length >= least for length in shape)
    if not isinstance(input_size, Iterable) or isinstance(input_size, str) or not whole or math.prod(shape) >= LIMIT:
        raise ValueError(
            f"got input_size {input_size!r}; expected the shape of one input, whole numbers of at least {least}; write "
            "it without the batch, such as (1, 28, 28)."
        )
    return tuple(map(operator.index, shape))


def frequency_grid(
    kernel: tuple[int, int], *, stride: tuple[int, int], padding: tuple[int, int], input_size: tuple[int, int] | None
) -> tuple[tuple[int, int], float]:
    """The grid of frequencies on which ``conv_norm`` bounds a convolution.

    Args:
        kernel: height and width.
        stride: down and across, at least 1.
        padding: zeros on each side, down and across.
        input_size: height and width of the image; None stands for all sizes.

    Returns:
        Frequencies down and across, and the factor, at least 1, by which the supremum can exceed what they show.
    """
    points, slack = [], 1.0
    for axis, (length, step, zeros) in enumerate(zip(kernel, stride, padding, strict=True)):
        degree = math.ceil(length / step) - 1  # of the polyphase kernel's transform
        if degree == 0:
            points.append(1)  # the same matrix at every frequency
        elif input_size is None:
            points.append(16 * degree)
            slack /= math.cos(math.pi * degree / (2 * points[-1]))
        else:
            # More zeros than the kernel's length less one only add outputs that see no pixel.
            points.append(math.ceil((input_size[axis] + min(zeros, length - 1)) / step))
    return tuple(points), slack


def _folded(blocks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Kernels larger than the circle, wound around it."""
    height, width = blocks.shape[2:]
    if height <= grid[0] and width <= grid[1]:
        return blocks  # the transform fills them up with zeros
    padded = F.pad(blocks, (0, -width % grid[1], 0, -height % grid[0]))
    return padded.unflatten(3, (-1, grid[1])).sum(3).unflatten(2, (-1, grid[0])).sum(2)


def _lanczos(weight: Tensor, stride: tuple, padding: tuple, size: tuple) -> float:
    """The largest singular value of one group's convolution, by ARPACK on W^T W or W W^T, whichever is smaller."""
    weight, exponent = _scaled(weight * _met(weight.shape[2:], stride, padding, size))
    if not bool(weight.any()):
        return 0.0
    shape = (1, weight.shape[1], *size)
    image = weight.new_zeros(shape)
    outputs = F.conv2d(image, weight, stride=stride, padding=padding)
    forward = lambda x: F.conv2d(x, weight, stride=stride, padding=padding)  # noqa: E731
    remainder = [n + 2 * p - k - s * (o - 1) for n, p, k, s, o in
                 zip(size, padding, weight.shape[2:], stride, outputs.shape[2:], strict=True)]  # fmt: skip
    backward = lambda y: F.conv_transpose2d(y, weight, stride=stride, padding=padding, output_padding=remainder)  # noqa: E731
    small = image if image.numel() <= outputs.numel() else outputs
    twice = (lambda x: backward(forward(x))) if small is image else (lambda y: forward(backward(y)))
    count = small.numel()
    if count <= 64:  # ARPACK wants more unknowns than it keeps vectors
        gram = torch.stack(
            [
                twice(row.view(small.shape)).flatten()
                for row in torch.eye(count, dtype=weight.dtype, device=weight.device)
            ]
        )
        return _times_power(math.sqrt(max(0.0, float(torch.linalg.eigvalsh((gram + gram.T) / 2)[-1]))), exponent)
    gram = LinearOperator(
        (count, count), lambda v: twice(torch.from_numpy(v).view(small.shape)).flatten().numpy(), dtype=np.float64
    )
    start = np.random.default_rng(0).standard_normal(count)
    value = eigsh(gram, k=1, which="LA", v0=start, tol=1e-7, return_eigenvectors=False, ncv=min(count, 24))
    return _times_power(math.sqrt(max(0.0, float(value[0]))), exponent)


def _met(kernel: tuple, stride: tuple, padding: tuple, size: tuple) -> Tensor:
    """Which entries of a kernel ever meet a pixel, and not only the zeros around the image: (height, width)."""
    met = []
    for k, s, p, n in zip(kernel, stride, padding, size, strict=True):
        places = torch.arange(k, device="cpu")[:, None] - p + s * torch.arange((n + 2 * p - k) // s + 1, device="cpu")
        met.append(((places >= 0) & (places < n)).any(1))
    return met[0][:, None] & met[1]


def lengths(rows: Tensor) -> Tensor:
    """The Euclidean lengths of rows, rounded upward, however small or large their entries are.

    Args:
        rows: (B, n) float64, finite or not.

    Returns:
        (B,) float64, infinity where an entry is infinite.
    """
    largest = rows.abs().amax(1) if rows.shape[1] else rows.new_zeros(len(rows))
    exponents = torch.frexp(torch.where(largest.isfinite(), largest, 1.0)).exponent.clamp(-1000, 1000).double()
    found = (rows * torch.exp2(-exponents)[:, None]).norm(dim=1) * (1 + ROUNDING) * torch.exp2(exponents)
    return torch.where(found > 0, found.clamp(min=torch.finfo(found.dtype).tiny), found)


def spread(rows: Tensor) -> float:
    """The largest distance between two rows, rounded upward, however small or large their entries are.

    Args:
        rows: (k, n) float64, finite.

    Returns:
        The distance; 0 where there are no two rows, infinity where it is beyond float64.
    """
    if not rows.numel():
        return 0.0
    # Distances from the first row are as far apart, and one is at least half of the largest, so that it cannot vanish.
    moved, exponent = _scaled(rows - rows[0])
    if not bool(moved.isfinite().all()):
        return math.inf
    options = {"compute_mode": "donot_use_mm_for_euclid_dist"}  # products would cancel
    starts = range(0, len(moved), CHUNK)
    return _raised(max(float(torch.cdist(moved[i : i + CHUNK], moved[i:], **options).max()) for i in starts), exponent)


def _scaled(weight: Tensor) -> tuple[Tensor, int]:
    """The weight times a power of two, with its largest entry in [1/2, 1), and the exponent that undoes it.

    No squares overflow or vanish then, and a power of two changes no digit.
    """
    exponent = math.frexp(float(weight.abs().max()))[1] if weight.numel() else 0
    half = exponent // 2  # in two steps, as the power itself may be beyond float64
    return weight * 2.0**-half * 2.0 ** (half - exponent), exponent


def _times_power(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.inf


def _raised(value: float, exponent: int, slack: float = 1.0) -> float:
    """The value times the power of two and the slack, rounded upward."""
    raised = _times_power(value * (slack * (1 + ROUNDING)), exponent)
    if 0 < raised < np.finfo(float).tiny or (raised == 0 < value):  # few digits are left down here
        raised = math.nextafter(math.nextafter(raised, math.inf), math.inf)
    return raised


def _real(weight: Tensor) -> Tensor:
    """A real weight with the norm of the given one, which stands for (outputs, inputs, ...) complex numbers or not."""
    if not weight.is_complex():
        return weight
    upper, lower = [weight.real, -weight.imag], [weight.imag, weight.real]
    return torch.cat([torch.cat(upper, 1), torch.cat(lower, 1)])


def whole_number(value: object) -> bool:
    """Whether something is a whole number, of Python, NumPy or PyTorch."""
    try:
        return not isinstance(value, bool) and operator.index(value) == value
    except TypeError:
        return False


def _number(value: object) -> bool:
    """Whether something is a finite number, of Python, NumPy or PyTorch."""
    try:
        return not isinstance(value, str) and math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return False


def _pair(value: Pair, least: int, name: str) -> tuple[int, int]:
    pair = (value, value) if whole_number(value) else tuple(value) if isinstance(value, Iterable) else ()
    pair = pair * 2 if len(pair) == 1 else pair
    if isinstance(value, str) or len(pair) != 2 or any(not whole_number(entry) or entry < least for entry in pair):
        raise ValueError(
            f"got {name} {value!r}; expected one or two whole numbers of at least {least}; take those of the layer."
        )
    return operator.index(pair[0]), operator.index(pair[1])


def _checked(weight: Tensor, dimensions: int, what: str) -> Tensor:
    """The weight in float64 or complex128 on the CPU, after a look at its shape and entries."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"got {type(weight).__name__}; expected a tensor, {what}; convert it with torch.as_tensor.")
    if weight.is_meta:
        raise TypeError(f"got a tensor without content (meta); expected {what}; load the weights first.")
    if weight.ndim != dimensions or (dimensions > 2 and not weight.numel()):
        raise ValueError(f"got shape {tuple(weight.shape)}; expected {what}; pass the weight of such a layer.")
    weight = weight.detach()
    weight = weight.dequantize() if weight.is_quantized else weight
    weight = weight if weight.layout == torch.strided else weight.to_dense()
    weight = weight.cpu().to(torch.complex128 if weight.is_complex() else torch.float64)
    if not bool(weight.isfinite().all()):
        raise ValueError("got NaN or infinity; expected finite weights; look for a division by zero in training.")
    return weight
