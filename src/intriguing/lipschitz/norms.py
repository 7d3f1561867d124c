"""How much a layer can stretch: the operator norms of matrices and convolutions, and Lipschitz bounds of other layers.

The paper bounds the change of a network's output by the product of the operator norms of its layers. A matrix norm is
a singular value. A convolution is a very large, very repetitive matrix: over all frequencies it falls apart into small
ones, the largest singular value of which is its norm. Everything here is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.linalg.blas import dsymv, dsyrk
from scipy.linalg.lapack import dpotrf
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional as F

# Upper bounds are raised by this fraction, thousands of times what rounding in float64 can take from them.
ROUNDING = 1e-10
SINGLE = 1e-3  # the same for sums of a few hundred products in single precision
CHUNK = 256  # frequencies whose matrices are multiplied at a time; bounds memory
LARGE = 2000  # rows from which on a few products with the Gram matrix are cheaper than all of its eigenvalues
BATCH = 8  # frequencies whose eigenvalues are computed at a time
SIGMOID = 0.25  # the largest slope of 1 / (1 + exp(-z)), at z = 0

Pair = int | Sequence[int]


def linear_norm(weight: Tensor) -> float:
    """The operator norm of a matrix, its largest singular value.

    Args:
        weight: (outputs, inputs), real.

    Returns:
        The norm, accurate to rounding in float64 below ``LARGE`` outputs and inputs; above, never below the norm but
        for that rounding, and within 1e-10 of it.

    Raises:
        ValueError: weight is no matrix, or holds NaN or infinities.

    Source:
        Szegedy et al. 2013, section 4.3: "directly given by the largest singular value".
    """
    weight = _checked(weight, 2, "a matrix (outputs, inputs)")
    if not bool(weight.any()):
        return 0.0
    # The smaller of the two Gram matrices has the square of every singular value that is not zero.
    wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
    if len(wide) < LARGE:
        return math.sqrt(max(0.0, float(torch.linalg.eigvalsh(wide @ wide.T)[-1])))
    return math.sqrt(_largest(dsyrk(1.0, wide.contiguous().numpy().T, trans=1)))


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
        weight: (D, C / groups, height, width) of the kernels.
        stride: one number or (down, across), at least 1.
        padding: zeros on each side, one number or (down, across), at least 0.
        dilation: one number or (down, across), at least 1.
        groups: number of groups that the channels are divided into; a divisor of D.
        input_size: height and width of the image, one number or two; None (with ``"upper"`` only) stands for all.
        bound: ``"upper"`` or ``"zero-padded"``.

    Returns:
        The norm or the bound.

    Raises:
        ValueError: an option out of range, a weight of a wrong shape, or an image smaller than the kernel.

    Source:
        Szegedy et al. 2013, section 4.3, equation (1), with its factor corrected.
    """
    weight = dilated(_checked(weight, 4, "kernels (D, C / groups, height, width)"), dilation)
    stride, padding = _pair(stride, 1, "stride"), _pair(padding, 0, "padding")
    if bound not in ("upper", "zero-padded"):
        raise ValueError(f"got bound {bound!r}; expected 'upper' or 'zero-padded'.")
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(f"got {groups} groups; expected a number that divides {weight.shape[0]} kernels.")
    parts = weight.unflatten(0, (groups, -1))  # (groups, D / groups, C / groups, height, width)
    size = None if input_size is None else _pair(input_size, 1, "input_size")
    if size is not None and any(n + 2 * p < k for n, p, k in zip(size, padding, weight.shape[2:], strict=True)):
        raise ValueError(f"got size {size}; expected at least the kernel's size {tuple(weight.shape[2:])}.")
    if bound == "zero-padded":
        if size is None:
            raise ValueError("got no input_size; expected one for bound 'zero-padded'; take 'upper' to do without.")
        return max(_lanczos(part, stride, padding, size) for part in parts)
    grid, slack = frequency_grid(weight.shape[2:], stride=stride, padding=padding, input_size=size)
    return max(largest_over_grid(part, stride=stride, points=grid) for part in parts) * slack * (1 + ROUNDING)


def _largest(half: np.ndarray) -> float:
    """The largest eigenvalue of a positive semidefinite matrix, found by Lanczos and confirmed by Cholesky.

    Lanczos comes from below. If (1 + eps) times what it found, less the matrix, has a Cholesky factor, then it is
    positive definite, and nothing was missed. Only the upper triangle is read, which saves half of the products.
    """
    product = LinearOperator(half.shape, lambda v: dsymv(1.0, half, v), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(half))
    found = float(eigsh(product, k=1, which="LA", v0=start, tol=1e-9, ncv=40, return_eigenvectors=False)[0])
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
        The largest of the points' singular values.
    """
    grid = _pair(points, 1, "points")
    blocks = _folded(polyphase(weight.double(), stride), grid)
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
    return math.sqrt(best)


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
            N / s, the frequencies of a transform of N points.
        corrected: whether the factor is s^-1; False takes the printed s^-2.

    Returns:
        (points, points) float64. Its largest entry is the formula's value on this grid; the formula itself asks for
        the supremum over all xi.

    Raises:
        ValueError: kernels that are not square, or an option out of range.

    Source:
        Szegedy et al. 2013, section 4.3, equation (1).
    """
    weight = _checked(weight, 4, "kernels (D, C, N, N)")
    side = weight.shape[-1]
    if weight.shape[2] != side:
        raise ValueError(f"got kernels of {tuple(weight.shape[2:])}; expected square ones, as in the paper.")
    if stride < 1 or (points is not None and points < 1):
        raise ValueError(f"got {stride} and {points}; expected a stride and a number of points of at least 1.")
    if points is None:
        xi = torch.arange(math.ceil(side / stride), dtype=torch.float64)
    else:
        xi = torch.arange(points, dtype=torch.float64) * side / (stride * points)
    folds = xi[:, None] + torch.arange(stride, dtype=torch.float64) * side / stride  # (points, s): xi + l N / s
    waves = torch.exp(-2j * math.pi / side * folds[..., None] * torch.arange(side))  # (points, s, N)
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
        Szegedy et al. 2013, section 4.3, "max-pooling layers are contractive", corrected for windows that overlap.
    """
    kernel = _pair(kernel_size, 1, "kernel_size")
    steps = kernel if stride is None else _pair(stride, 1, "stride")
    return math.sqrt(math.prod(math.ceil(k / s) for k, s in zip(kernel, steps, strict=True)))


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
    window = torch.full((1, 1, *kernel), 1 / math.prod(kernel), dtype=torch.float64)
    stride = kernel if stride is None else stride
    return conv_norm(window, stride=stride, padding=padding, input_size=input_size, bound=bound)


def batch_norm_norm(weight: Tensor | None, variance: Tensor, eps: float) -> float:
    """The norm of batch normalisation with fixed statistics, max |gamma| / sqrt(variance + eps) over the channels.

    Args:
        weight: (channels,) gamma; None for ones.
        variance: (channels,) of the statistics, at least 0.
        eps: added to the variance.

    Returns:
        The norm.
    """
    scale = torch.ones_like(variance) if weight is None else weight
    return float((scale.double().abs() / (variance.double() + eps).sqrt()).max())


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
        A bound for all inputs and every a.

    Raises:
        ValueError: an option out of range.
    """
    if size < 1 or not beta >= 0 or not k > 0:
        raise ValueError(f"got size {size}, beta {beta} and k {k}; expected size >= 1, beta >= 0 and k > 0.")
    if beta == 0:
        return 1.0
    c = (1 / beta) / (1 + 1 / beta) ** (beta + 1)
    # sum_j |x_i x_j| <= (1 + sqrt n) / 2 |x|^2 along a row; half of c for each of n - 1 entries down a column.
    row, column = c * (1 + math.sqrt(size)) / 2, c * (1 + (size - 1) / 2)
    return k**-beta * (1 + 2 * beta * math.sqrt(row * column))


CONTRACTIVE = (nn.ReLU, nn.Flatten, nn.Identity, nn.Dropout, nn.Tanh)
"""Layers that never enlarge a difference when they are evaluated."""


def layer_norm(layer: nn.Module, input_size: Sequence[int], *, bound: str = "upper") -> float | None:
    """The bound of one layer in evaluation mode.

    Subclasses may do something else in their forward pass, so the class itself counts.

    Args:
        layer: one of torch's.
        input_size: shape of one input, without the batch, such as (3, 28, 28).
        bound: of convolutions and average pooling, as for ``conv_norm``.

    Returns:
        The bound; None where the class of the layer, or an option of it, is not known here.
    """
    kind = type(layer)
    if kind in CONTRACTIVE:
        return 1.0
    if kind is nn.Sigmoid:
        return SIGMOID
    if kind is nn.Linear:
        return linear_norm(layer.weight) * (1 + (ROUNDING if bound == "upper" else 0.0))
    if kind is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        options = {option: getattr(layer, option) for option in ("stride", "padding", "dilation", "groups")}
        return conv_norm(layer.weight, input_size=input_size[1:], bound=bound, **options)
    if kind is nn.MaxPool2d and _pair(layer.dilation, 1, "dilation") == (1, 1):
        return max_pool_norm(layer.kernel_size, stride=layer.stride)
    if kind is nn.AvgPool2d and not layer.ceil_mode and layer.count_include_pad and layer.divisor_override is None:
        options = {"stride": layer.stride, "padding": layer.padding, "input_size": input_size[1:], "bound": bound}
        return avg_pool_norm(layer.kernel_size, **options)
    if kind is nn.AdaptiveAvgPool2d:
        wanted = _pair(layer.output_size, 1, "output_size")
        if all(have % want == 0 for have, want in zip(input_size[1:], wanted, strict=True)):  # no overlap
            return math.sqrt(math.prod(wanted) / math.prod(input_size[1:]))
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d) and layer.running_var is not None:
        return batch_norm_norm(layer.weight, layer.running_var, layer.eps)
    if kind is nn.LocalResponseNorm and layer.alpha >= 0:
        return local_response_norm(layer.size, layer.beta, layer.k)
    return None


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
    padded = F.pad(blocks, (0, -width % grid[1], 0, -height % grid[0]))
    return padded.unflatten(3, (-1, grid[1])).sum(3).unflatten(2, (-1, grid[0])).sum(2)


def _lanczos(weight: Tensor, stride: tuple, padding: tuple, size: tuple) -> float:
    """The largest singular value of one group's convolution, by ARPACK on W^T W or W W^T, whichever is smaller."""
    shape = (1, weight.shape[1], *size)
    image = torch.zeros(shape, dtype=torch.float64)
    outputs = F.conv2d(image, weight, stride=stride, padding=padding)
    forward = lambda x: F.conv2d(x, weight, stride=stride, padding=padding)  # noqa: E731
    remainder = [n + 2 * p - k - s * (o - 1) for n, p, k, s, o in
                 zip(size, padding, weight.shape[2:], stride, outputs.shape[2:], strict=True)]  # fmt: skip
    backward = lambda y: F.conv_transpose2d(y, weight, stride=stride, padding=padding, output_padding=remainder)  # noqa: E731
    small = image if image.numel() <= outputs.numel() else outputs
    twice = (lambda x: backward(forward(x))) if small is image else (lambda y: forward(backward(y)))
    count = small.numel()
    if count <= 64:  # ARPACK wants more unknowns than it keeps vectors
        gram = torch.stack([twice(row.view(small.shape)).flatten() for row in torch.eye(count).double()])
        return math.sqrt(max(0.0, float(torch.linalg.eigvalsh((gram + gram.T) / 2)[-1])))
    operator = LinearOperator(
        (count, count), lambda v: twice(torch.from_numpy(v).view(small.shape)).flatten().numpy(), dtype=np.float64
    )
    if not bool(weight.any()):
        return 0.0
    start = np.random.default_rng(0).standard_normal(count)
    value = eigsh(operator, k=1, which="LA", v0=start, tol=1e-7, return_eigenvectors=False, ncv=min(count, 24))
    return math.sqrt(max(0.0, float(value[0])))


def _pair(value: Pair, least: int, name: str) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(entry, int) or entry < least for entry in pair):
        raise ValueError(f"got {name} {value}; expected one or two whole numbers of at least {least}.")
    return pair


def _checked(weight: Tensor, dimensions: int, what: str) -> Tensor:
    """The weight in float64 on the CPU, after a look at its shape and entries."""
    if weight.ndim != dimensions:
        raise ValueError(f"got shape {tuple(weight.shape)}; expected {what}.")
    weight = weight.detach().cpu().double()
    if not bool(weight.isfinite().all()):
        raise ValueError("got NaN or infinity; expected finite weights.")
    return weight
