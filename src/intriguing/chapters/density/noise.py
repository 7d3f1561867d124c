"""How often random noise makes a network err: counts with honest intervals, and probabilities far below any count.

Three ways to one number, P(error | radius). *Counting* draws noise and looks; it sees nothing below one over the number
of draws. The *closed form* holds for linear networks, where an error in favour of one class is a half-space. *Tilted
sampling* draws noise around the points where it is most likely to lead out, and weighs each draw by how much likelier
it was made; it reaches probabilities that no count could, and the closed form tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn

from intriguing.attack.checks import check_targets
from intriguing.attack.readiness import check_model

BLOCK = 1000  # draws that share a seed: how many blocks are evaluated at a time does not change a draw
DEFENSIVE, SPREAD = 0.1, 0.1  # parts of the tilted mixture: noise that is not tilted, and tilts in equal shares
KINDS = ("gaussian", "sphere")


@dataclass(frozen=True)
class Tilted:
    """Probabilities of an error by tilted sampling, one entry per image and radius.

    Attributes:
        log10: (B, R) float64, the estimate as a decimal logarithm, since it may lie below the smallest float; minus
            infinity where no draw was an error.
        relative_error: (B, R) float64, standard error of the estimate over the estimate; infinite where that is zero.
        effective: (B, R) float64, effective number of draws behind it, (sum w)^2 / sum w^2 over the errors.
        samples: draws per entry.
    """

    log10: Tensor
    relative_error: Tensor
    effective: Tensor
    samples: int


def interval(errors: Tensor, samples: int, confidence: float = 0.95) -> tuple[Tensor, Tensor]:
    """The Clopper-Pearson interval of a probability of which so many events were seen.

    Args:
        errors: counts of any shape, from 0 to ``samples``.
        samples: independent draws, at least 1.
        confidence: between 0 and 1.

    Returns:
        Lower and upper ends, float64. Where nothing was seen, the whole doubt lies above: the upper end is then
        1 - (1 - confidence)^(1/N), the rule of three, 3/N. Likewise below, where every draw was an event.

    Raises:
        ValueError: a count outside of 0 to ``samples``.

    Source:
        Clopper and Pearson 1934; Hanley and Lippman-Hand 1983 for the rule of three.
    """
    k = np.asarray(errors, dtype=float)
    if samples < 1 or (k.size and (k.min() < 0 or k.max() > samples)):
        raise ValueError(f"got counts from {k.min()} to {k.max()}; expected 0 to samples = {samples}.")
    one_sided = (k == 0) | (k == samples)
    alpha = np.where(one_sided, 1 - confidence, (1 - confidence) / 2)
    lower = np.where(k == 0, 0.0, special.betaincinv(np.maximum(k, 1), samples - k + 1, alpha))
    upper = np.where(k == samples, 1.0, special.betaincinv(k + 1, np.maximum(samples - k, 1), 1 - alpha))
    return torch.from_numpy(lower), torch.from_numpy(upper)


@torch.no_grad()
def error_counts(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    radii: Tensor,
    samples: int,
    *,
    kind: str = "gaussian",
    clip: bool = False,
    seed: int = 0,
    chunk: int = 4000,
) -> Tensor:
    """Of so many random perturbations of a radius, how many make the network miss the label.

    The same directions serve all images and radii, so that differences between them are not due to the draw.

    Args:
        model: images (b, *shape) -> logits (b, k).
        images: (B, *shape) in [0, 1].
        labels: (B,) long.
        radii: (R,), or (B, R) for radii of each image's own; root mean square of the perturbation per pixel: the
            standard deviation of Gaussian noise, and the length over sqrt(n) of perturbations uniform on a sphere.
        samples: draws per image and radius.
        kind: ``"gaussian"`` or ``"sphere"``.
        clip: True cuts the perturbed images back to [0, 1], which makes the perturbation shorter.
        seed: of the draws.
        chunk: draws evaluated at a time; bounds memory and changes no draw.

    Returns:
        (B, R) long, counts from 0 to ``samples``.

    Raises:
        TypeError: the labels are no tensor of int64.
        ValueError: no such kind, fewer than one sample, a module in training mode, or not one label for each image.

    Source:
        Szegedy et al. 2013, section 5, which leaves the number open.
    """
    if kind not in KINDS or samples < 1:
        raise ValueError(f"got kind {kind!r} and {samples} samples; expected 'gaussian' or 'sphere' and at least 1.")
    check_model(model)
    check_targets(images, labels, "labels")
    radii = radii.expand(len(images), radii.shape[-1])
    counts = torch.zeros(radii.shape, dtype=torch.long)
    push, rest = _split(model, images.shape[1:], apart=not clip)
    base = push(images.flatten(1))
    for noise in draws(samples, images[0].numel(), seed=seed, chunk=chunk):
        if kind == "sphere":
            noise *= noise.shape[1] ** 0.5 / noise.norm(dim=1, keepdim=True)
        pushed = push(noise.to(images))
        for i in range(len(images)):  # a few images and radii, many draws
            for j, radius in enumerate(radii[i].tolist()):
                noisy = torch.add(base[i], pushed, alpha=radius)
                if clip:
                    noisy.clamp_(0, 1)
                counts[i, j] += (rest(noisy).argmax(1) != labels[i]).sum()
    return counts


def draws(samples: int, pixels: int, *, seed: int = 0, chunk: int = 4000) -> Iterator[Tensor]:
    """Standard Gaussian noise in chunks, whose numbers depend on the seed and on nothing else.

    Args:
        samples: how many rows in all.
        pixels: n, numbers per row.
        seed: of the whole stream.
        chunk: rows per chunk, rounded down to whole blocks, one at least.

    Yields:
        (b, n) float32.
    """
    blocks = -(-samples // BLOCK)
    seeds = np.random.SeedSequence(seed).generate_state(blocks, np.uint64)
    step = max(1, chunk // BLOCK)
    for first in range(0, blocks, step):
        parts = [
            torch.randn(BLOCK, pixels, generator=torch.Generator().manual_seed(int(one >> np.uint64(1))))
            for one in seeds[first : first + step]
        ]
        yield torch.cat(parts)[: samples - first * BLOCK]


def half_space(distance: Tensor, radii: Tensor, pixels: int, kind: str = "gaussian") -> Tensor:
    """Probability that noise crosses a plane at some distance, as a decimal logarithm.

    Args:
        distance: (...) from the image to the plane, as root mean square per pixel, the shortest way; at least 0.
        radii: broadcastable to it, root mean square of the noise, above 0.
        pixels: n.
        kind: ``"gaussian"``, Phi(-sqrt(n) distance / radius), or ``"sphere"``, the share of a cap,
            I(1 - t^2; (n - 1)/2, 1/2) / 2 with t = distance / radius, and nothing where t > 1.

    Returns:
        float64, log10 of the probability; minus infinity for zero.
    """
    ratio = np.asarray(distance, dtype=float) / np.asarray(radii, dtype=float)
    if kind == "gaussian":
        return torch.as_tensor(special.log_ndtr(-(pixels**0.5) * ratio) / np.log(10))
    with np.errstate(divide="ignore"):
        inside = np.clip(1 - ratio**2, 0, 1)
        return torch.as_tensor(np.log10(special.betainc((pixels - 1) / 2, 0.5, inside) / 2))


def linear_bracket(distances: Tensor, radii: Tensor, pixels: int, kind: str = "gaussian") -> tuple[Tensor, Tensor]:
    """Bounds on the probability of an error of a linear network, exact where one rival dominates.

    An error is a union of half-spaces, one per rival: at least as likely as the likeliest, at most as all together.

    Args:
        distances: (B, J) root mean square distance from each image to the plane of each rival.
        radii: (R,) or (B, R) root mean square of the noise.
        pixels: n.
        kind: as for ``half_space``.

    Returns:
        (B, R) lower and upper ends of log10 of the probability.
    """
    each = half_space(
        distances[:, :, None], radii.expand(len(distances), radii.shape[-1])[:, None], pixels, kind
    ).numpy()
    largest = each.max(1)
    with np.errstate(invalid="ignore"):
        total = largest + np.log10(np.exp(np.log(10) * (each - largest[:, None])).sum(1))
    total = np.where(np.isneginf(largest), largest, np.minimum(total, 0.0))
    return torch.from_numpy(largest), torch.from_numpy(total)


@torch.no_grad()
def tilted(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    radii: Tensor,
    ways: Tensor,
    samples: int,
    *,
    clip: bool = False,
    seed: int = 0,
    chunk: int = 4000,
) -> Tilted:
    """Probability of an error under Gaussian noise by importance sampling, however small it is.

    Noise z is drawn from a mixture of Gaussians of the same width whose centres are short ways r_j out of the class; an
    error counts with the weight p(z)/q(z) = 1 / (a_0 + sum_j a_j exp(r_j z / s^2 - |r_j|^2 / 2 s^2)). A tenth of the
    draws is not tilted, so that no weight exceeds ten and errors on ways that nobody thought of keep their chance. The
    estimate is unbiased for every choice of ways, but for the rounding of shares to whole draws. What it cannot know is
    a region that none of its draws has met: then it is likely too small, and so is its error.

    Args:
        model: images (b, *shape) -> logits (b, k).
        images: (B, *shape) in [0, 1].
        labels: (B,) long, the classes that the network gives to the images.
        radii: (R,), or (B, R) for each image's own, standard deviations of the noise.
        ways: (B, J, n) perturbations that lead out, for instance the shortest one for each rival; rows with infinite or
            no numbers are left out.
        samples: draws per image and radius.
        clip: True cuts the noisy images back to [0, 1]; the ways should then end inside the box.
        seed: of the draws.
        chunk: draws evaluated at a time.

    Returns:
        A ``Tilted``.

    Raises:
        TypeError: the labels are no tensor of int64.
        ValueError: the ways or labels do not fit the images, or a module is in training mode.

    Source:
        The most likely point of failure is that of Hasofer and Lind 1974; Owen 2013, chapter 9, for mixtures.
    """
    pixels = images[0].numel()
    if ways.ndim != 3 or len(ways) != len(images) or ways.shape[2] != pixels:
        raise ValueError(f"got ways of shape {tuple(ways.shape)}; expected ({len(images)}, J, {pixels}).")
    check_model(model)
    check_targets(images, labels, "labels")
    radii = radii.expand(len(images), radii.shape[-1])
    shape = radii.shape
    total, square = torch.zeros(shape).double(), torch.zeros(shape).double()
    largest = torch.full(shape, -torch.inf).double()
    push, rest = _split(model, images.shape[1:], apart=not clip)
    base = push(images.flatten(1))
    place = torch.arange(samples).double().add(0.5) / samples  # strata: which component a draw belongs to
    # Blocks come in order, but components must not: an odd stride spreads each of them over all blocks.
    place = place[(torch.arange(samples) * _stride(samples)) % samples]
    done = 0
    for noise in draws(samples, pixels, seed=seed, chunk=chunk):
        part = place[done : done + len(noise)]
        done += len(noise)
        pushed, exact = push(noise.to(images)), noise.double()
        for i in range(len(images)):
            usable = ways[i][ways[i].isfinite().all(1)].double()
            centres = torch.cat([torch.zeros(1, pixels).double(), usable])
            squares, along = usable.square().sum(1), exact @ usable.T  # (J,), (b, J)
            among, shifts = centres @ usable.T, push(centres.to(images))  # (J + 1, J), (J + 1, u)
            for j, radius in enumerate(radii[i].tolist()):
                shares = _shares(squares.sqrt() / radius)
                component = torch.searchsorted(shares.cumsum(0), part).clamp(max=len(shares) - 1)
                noisy = torch.add(base[i], pushed, alpha=radius) + shifts[component]
                wrong = rest(noisy.clamp_(0, 1) if clip else noisy).argmax(1) != labels[i]
                exponents = (radius * along + among[component] - squares / 2) / radius**2  # (b, J)
                logs = torch.cat([torch.zeros(len(noisy), 1).double(), exponents], 1) + shares.log()
                weight = -logs.logsumexp(1)[wrong]
                if len(weight):
                    # Sums of weights in units of the largest one so far.
                    top = torch.maximum(largest[i, j], weight.max())
                    scale = (largest[i, j] - top).exp()
                    total[i, j] = total[i, j] * scale + (weight - top).exp().sum()
                    square[i, j] = square[i, j] * scale**2 + (2 * (weight - top)).exp().sum()
                    largest[i, j] = top
    log10 = (largest + total.log() - np.log(samples)) / np.log(10)
    effective = torch.where(square > 0, total**2 / square, 0.0)
    relative = torch.where(square > 0, (samples * square / total**2 - 1).clamp(min=0).div(samples).sqrt(), torch.inf)
    return Tilted(log10, relative, effective, samples)


def _split(
    model: Callable[[Tensor], Tensor], shape: tuple[int, ...], *, apart: bool
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """The weights of the first layer, which noise of all radii and images can share, and what comes after them.

    W (x + s z) + b = W x + s W z + b, so that W z is computed once. Where the first layer is not linear, or the noise
    is cut before it, the first part leaves pixels as they are; likewise where a hook, or a class of the user's own,
    may compute something else than the layers say.
    """
    if apart and type(model) is nn.Sequential and len(model) > 1:
        flatten, first, *above = model
        plain = not any(_hooked(layer) for layer in (model, flatten, first))
        if plain and _flattens(flatten) and type(first) is nn.Linear:
            later, bias = nn.Sequential(*above), 0.0 if first.bias is None else first.bias
            return lambda x: x @ first.weight.T.to(x), lambda h: later(h + torch.as_tensor(bias).to(h))
    return lambda x: x, lambda x: model(x.view(-1, *shape))


def _flattens(layer: nn.Module) -> bool:
    """Whether a layer makes one row of each image."""
    return type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)


def _hooked(layer: nn.Module) -> bool:
    """Whether somebody has a word in what a layer is given or puts out; what lies deeper is called as it is."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer))  # noqa: SLF001


def _shares(betas: Tensor) -> Tensor:
    """Shares of the untilted noise and of each way: most by their half-space probability, some in equal parts."""
    if len(betas) == 0:
        return torch.ones(1).double()
    logs = torch.from_numpy(special.log_ndtr(-betas.numpy()))
    ways = (1 - DEFENSIVE - SPREAD) * (logs - logs.logsumexp(0)).exp() + SPREAD / len(betas)
    return torch.cat([torch.tensor([DEFENSIVE]).double(), ways])


def _stride(samples: int) -> int:
    """A number coprime to ``samples`` near its golden section."""
    stride = max(1, round(0.618 * samples))
    while np.gcd(stride, samples) != 1:
        stride += 1
    return stride
