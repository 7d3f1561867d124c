"""Is a unit easier to interpret than a random direction? The images at the top of each, and how alike they are.

A layer gives every image x a vector phi(x). A *unit* is one coordinate of it, a *direction* any vector v of length one;
both order the images by <phi(x), v>. Those that come first are the top images. What the eye calls a common meaning of a
row of top images is measured here four times: by how many of them share a label, by the entropy of their labels, and by
how far apart they lie, in pixels and in the features of a network that had no part in choosing them.

In a convolutional layer a unit is one position of one channel, because that is what a coordinate of phi(x) is there;
:func:`features` can also give each channel's largest or mean value over the positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from intriguing.attack.readiness import check_model
from intriguing.book import settings

UNITS = ("position", "maximum", "mean")


_SCORES = 20_000_000  # scores held at a time; bounds memory and changes no result


@dataclass(frozen=True)
class Coherence:
    """How alike the images of a set are, one entry per set.

    Attributes:
        label: (M,) long, the most frequent label, the smallest one where several are.
        purity: (M,) float64, the share of the images that have it, from 1/k to 1.
        entropy: (M,) float64, of the labels, in bits, from 0 to log2 k.
        pixel_distance: (M,) float64, root mean square over all pairs of images of the distance between them, a distance
            being the root mean square difference per pixel.
        feature_distance: (M,) float64, the same between the vectors of another feature space, per coordinate.
    """

    label: Tensor
    purity: Tensor
    entropy: Tensor
    pixel_distance: Tensor
    feature_distance: Tensor

    def __len__(self) -> int:
        return len(self.purity)


@dataclass(frozen=True)
class Comparison:
    """One measure on units and on directions.

    Attributes:
        units: mean over the units.
        directions: mean over the directions.
        difference: the first minus the second.
        low: lower end of the bootstrap interval of the difference; NaN where none was asked for.
        high: upper end; likewise.
        p: of the permutation test that units and directions do not differ, two-sided, counting the observed order;
            likewise.
        win: chance that a unit drawn at random has a larger value than a direction drawn at random, ties counted half.
    """

    units: float
    directions: float
    difference: float
    low: float
    high: float
    p: float
    win: float


@torch.no_grad()
def features(
    model: nn.Module, images: Tensor, layer: int | str, *, unit: str = "position", chunk: int = 1000
) -> Tensor:
    """The vectors phi(x): what a layer puts out.

    Args:
        model: in evaluation mode, called with images.
        images: (N, *shape) float32.
        layer: name of a submodule, such as ``"features.12"``, or its position among the model's children.
        unit: for a layer whose output has positions, (B, channels, ...): ``"position"`` makes every position of every
            channel a unit, ``"maximum"`` and ``"mean"`` make a unit of each channel. Without positions they agree.
        chunk: images per forward pass; bounds memory.

    Returns:
        (N, D) float32 on the CPU.

    Raises:
        ValueError: no such layer or kind of unit, no image, a model in training mode, or a layer that the model does
            not call once.

    Source:
        Szegedy et al. 2013, section 3.
    """
    if unit not in UNITS:
        raise ValueError(f"got unit {unit!r}; expected one of {', '.join(UNITS)}.")
    check_model(model)
    if not len(images):
        raise ValueError("got no images; expected at least one.")
    module = _submodule(model, layer)
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        if output.dim() > 2 and unit != "position":
            output = output.flatten(2).amax(2) if unit == "maximum" else output.flatten(2).mean(2)
        # A copy at once: the next layer may work in place.
        seen.append(output.flatten(1).to("cpu", torch.float32, copy=True))

    device = next((p.device for p in model.parameters()), images.device)
    handle = module.register_forward_hook(keep)
    try:
        for part in images.split(chunk):
            model(part.to(device))
    finally:
        handle.remove()
    found = torch.cat(seen) if seen else torch.empty(0, 0)
    if len(found) != len(images):
        raise ValueError(
            f"layer {layer!r} put out {len(found)} vectors for {len(images)} images; expected a layer that the model "
            "calls once."
        )
    return found


def firing(features: Tensor) -> Tensor:
    """On how many images each unit does more than its least.

    After a ReLU the least is zero for nearly every unit, and the count is that of the images on which the unit is
    active. A unit with fewer than k of them has no k top images: what would fill its row is a matter of numbering.
    Units that count zero are dead.

    Args:
        features: (N, D).

    Returns:
        (D,) long, from 0 to N - 1.
    """
    return (features > features.amin(0)).sum(0)


def random_directions(count: int, dimension: int, generator: torch.Generator) -> Tensor:
    """Directions that are uniform on the sphere: normal coordinates, divided by their length.

    Args:
        count: how many.
        dimension: D, at least 1.
        generator: on the CPU.

    Returns:
        (count, D) float32 of length 1.

    Source:
        Szegedy et al. 2013, section 3, which does not say how its directions were drawn.
    """
    return _unit_length(torch.randn(count, dimension, generator=generator, dtype=torch.float64))


def rotation(dimension: int, generator: torch.Generator) -> Tensor:
    """An orthonormal basis that is uniform among all, reflections included.

    Args:
        dimension: D, at least 1.
        generator: on the CPU.

    Returns:
        (D, D) float32, each row a direction.

    Source:
        Stewart 1980; the signs make the decomposition unique, without which the result is not uniform.
    """
    q, r = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))
    return (q * r.diagonal().sign()).T.float().contiguous()


def mixtures(count: int, dimension: int, size: int, generator: torch.Generator, *, positive: bool = False) -> Tensor:
    """Directions that mix a few units, from the single unit to all of them.

    Args:
        count: how many.
        dimension: D.
        size: how many units take part in each, from 1 to D; they are drawn without replacement.
        generator: on the CPU.
        positive: True makes all weights positive; False turns all signs of normal weights where the one largest in
            size is negative, so that it is positive and a mixture of one is a unit read upwards.

    Returns:
        (count, D) float32 of length 1.

    Raises:
        ValueError: a size outside of 1 to D.
    """
    if not 1 <= size <= dimension:
        raise ValueError(f"got mixtures of {size} units; expected 1 to {dimension}.")
    weights = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    chosen = torch.rand(count, dimension, generator=generator).argsort(1)[:, :size]
    kept = weights.gather(1, chosen)
    kept = kept.abs() if positive else kept * kept.gather(1, kept.abs().argmax(1, keepdim=True)).sign()
    return _unit_length(torch.zeros_like(weights).scatter_(1, chosen, kept))


def standardised(features: Tensor) -> Tensor:
    """Features with mean 0 and standard deviation 1 over the images; constant ones become 0.

    Args:
        features: (N, D).

    Returns:
        (N, D) float32.
    """
    wide = features.double()
    centred = wide - wide.mean(0)
    deviation = centred.square().mean(0).sqrt()
    # A constant feature leaves rounding, and dividing by that would make noise of it.
    flat = deviation <= 1e-7 * wide.abs().amax(0)
    return torch.where(flat, 0.0, centred / deviation.masked_fill(flat, 1.0)).float()


def top(features: Tensor, directions: Tensor | None, k: int) -> Tensor:
    """The images with the largest <phi(x), v>, for each direction v.

    Args:
        features: (N, D).
        directions: (M, D); None stands for the natural basis, without the cost of a multiplication by it.
        k: from 1 to N.

    Returns:
        (M, k) long, the largest first; equal values in the order of the images.

    Raises:
        ValueError: a k outside of 1 to N, shapes that do not fit, or features that are not finite.

    Source:
        Szegedy et al. 2013, section 3.
    """
    count, dimension = features.shape
    if not 1 <= k <= count:
        raise ValueError(f"got k = {k}; expected 1 to the number of images, {count}.")
    if directions is not None and directions.shape[1] != dimension:
        raise ValueError(f"got directions of {directions.shape[1]} coordinates; expected {dimension}, like features.")
    if not features.isfinite().all():
        raise ValueError("got features that are not finite; expected numbers for every image and unit.")
    rows = dimension if directions is None else len(directions)
    step = max(1, _SCORES // count)
    parts = []
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        scores = features[:, start:stop].T if directions is None else directions[start:stop].to(features) @ features.T
        parts.append(_first(scores.contiguous(), k))
    return torch.cat(parts) if parts else torch.empty(0, k, dtype=torch.long)


def random_sets(count: int, k: int, images: int, generator: torch.Generator) -> Tensor:
    """Sets of images that no direction chose, the yardstick for all coherence.

    Args:
        count: how many sets.
        k: images in each, all different.
        images: N, how many there are to draw from.
        generator: on the CPU.

    Returns:
        (count, k) long.
    """
    return top(torch.rand(images, count, generator=generator, dtype=torch.float64), None, k)


def coherence(indices: Tensor, labels: Tensor, images: Tensor, others: Tensor) -> Coherence:
    """How alike the images of each set are.

    Distances of pairs need no pairs: the sum of |x_i - x_j|^2 over ordered pairs is 2k times that of |x_i - mean|^2.

    Args:
        indices: (M, k) long, k at least 2.
        labels: (N,) long, from 0.
        images: (N, *shape), pixels.
        others: (N, E), the vectors of the same images in a feature space that had no part in choosing the sets.

    Returns:
        A ``Coherence``.

    Raises:
        ValueError: fewer than two images in a set, or labels, images and features of different numbers.
    """
    if indices.shape[1] < 2:
        raise ValueError(f"got sets of {indices.shape[1]} images; expected at least 2 each.")
    if not len(labels) == len(images) == len(others):
        raise ValueError(
            f"got {len(labels)} labels, {len(images)} images and {len(others)} vectors; expected one of each per image."
        )
    classes, counts = _counts(indices, labels)
    shares = counts.double() / indices.shape[1]
    return Coherence(
        label=classes[counts.argmax(1)],
        purity=shares.amax(1),
        entropy=torch.special.entr(shares).sum(1) / math.log(2),
        pixel_distance=_spread(images.flatten(1), indices),
        feature_distance=_spread(others.flatten(1), indices),
    )


def purity(indices: Tensor, labels: Tensor) -> Tensor:
    """The share of the images of each set that have its most frequent label.

    Args:
        indices: (M, k) long.
        labels: (N,) long.

    Returns:
        (M,) float64 from 1/k to 1.
    """
    return _counts(indices, labels)[1].amax(1).double() / indices.shape[1]


def overall_distance(vectors: Tensor) -> float:
    """Root mean square distance per coordinate of all pairs of images, what a set of strangers comes to.

    Args:
        vectors: (N, *shape), N at least 2.

    Returns:
        The number that ``Coherence`` reports for the set of all images.
    """
    return float(_spread(vectors.flatten(1), torch.arange(len(vectors))[None])[0])


def compare(
    units: Tensor, directions: Tensor, *, resamples: int | None, seed: int = 0, confidence: float = 0.95
) -> Comparison:
    """One measure on units and on directions: difference, interval, test and chance of winning.

    The images stay the same throughout, so interval and test speak about units and directions of this network on
    these images. For the interval units and directions are drawn anew with replacement (percentile bootstrap: it
    stays defined where nearly all values are equal). For the test they are shuffled.

    Args:
        units: (U,) values of the measure, U at least 2.
        directions: (V,) values, V at least 2.
        resamples: how often both are drawn again, and shuffled; None leaves interval and test out.
        seed: of the draws.
        confidence: of the interval.

    Returns:
        A ``Comparison``. Its p is never below 2 / (resamples + 1), because the observed order counts as one shuffle
        and the test has two sides.

    Raises:
        ValueError: fewer than two values on a side.

    Source:
        Efron 1979; Phipson and Smyth 2010, for the observed order.
    """
    one, two = units.double().numpy(), directions.double().numpy()
    if len(one) < 2 or len(two) < 2:
        raise ValueError(f"got {len(one)} units and {len(two)} directions; expected at least two of each.")
    ranks = stats.rankdata(np.concatenate([one, two]))[: len(one)]
    win = (ranks.sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(two))
    low = high = p = math.nan
    if resamples is not None:
        chance, batch = np.random.default_rng(seed), _batch(one, two)
        drawn = stats.bootstrap(
            (one, two), _difference, n_resamples=resamples, confidence_level=confidence, method="percentile",
            batch=batch, rng=chance,
        )  # fmt: skip
        test = stats.permutation_test(
            (one, two), _difference, n_resamples=resamples, vectorized=True, batch=batch, rng=chance
        )
        low, high, p = *map(float, drawn.confidence_interval), float(test.pvalue)
    means = float(one.mean()), float(two.mean())
    return Comparison(*means, float(one.mean() - two.mean()), low, high, p, float(win))


def verdict(low: float, high: float, margin: float) -> str:
    """What the interval of a difference says, with a margin below which a difference would not be noticed.

    Args:
        low: lower end of the interval of units minus directions.
        high: upper end.
        margin: positive, in the units of the measure.

    Returns:
        ``"units higher"`` or ``"directions higher"`` where the interval leaves out zero and reaches beyond the
        margin; ``"equivalent"`` where it lies within the margin on both sides, as in two one-sided tests of
        equivalence, whether it holds zero or not; ``"open"`` where it holds zero and reaches beyond the margin.

    Source:
        Schuirmann 1987, for the two one-sided tests.
    """
    if -margin < low and high < margin:
        return "equivalent"
    if low > 0:
        return "units higher"
    return "directions higher" if high < 0 else "open"


def rotated(
    features: Tensor, k: int, measure: Callable[[Tensor], Tensor], rotations: int, generator: torch.Generator
) -> Tensor:
    """The mean of a measure over whole bases: what units would be like if the layer's axes had been turned at random.

    If nothing about the natural basis is special, then turning the axes changes nothing about the distribution, and the
    value of the natural basis is one draw among these. Unlike single directions, the axes of one basis are at right
    angles to each other, as the units are; the test that rests on this is exact.

    Args:
        features: (N, D).
        k: images in a set.
        measure: indices (D, k) -> (D,) values.
        rotations: how many bases.
        generator: on the CPU.

    Returns:
        (rotations,) float64.
    """
    bases = (rotation(features.shape[1], generator) for _ in range(rotations))
    return torch.stack([measure(top(features, basis, k)).double().mean() for basis in bases])


def rank_p(value: float, null: Tensor) -> float:
    """The two-sided p value of a number among draws of it under a hypothesis.

    Args:
        value: what was observed.
        null: (R,) the draws.

    Returns:
        Twice the smaller of the two tails, at most 1; each tail counts the observed value itself.

    Source:
        Phipson and Smyth 2010.
    """
    tails = (1 + int((null >= value).sum()), 1 + int((null <= value).sum()))
    return min(1.0, 2 * min(tails) / (len(null) + 1))


def _submodule(model: nn.Module, layer: int | str) -> nn.Module:
    if isinstance(layer, str):
        try:
            return model.get_submodule(layer)
        except AttributeError:
            names = [name for name, _ in model.named_modules() if name]
            raise ValueError(f"got layer {layer!r}; expected one of {', '.join(names)}.") from None
    children = list(model.children())
    if not -len(children) <= layer < len(children):
        raise ValueError(f"got layer {layer}; expected a position among the model's {len(children)} children.")
    return children[layer]


def _unit_length(vectors: Tensor) -> Tensor:
    return (vectors / vectors.norm(dim=1, keepdim=True)).float()


def _first(scores: Tensor, k: int) -> Tensor:
    """Positions of the k largest entries of each row; ``topk`` alone leaves it open which of equal ones it takes."""
    edge = scores.topk(k, dim=1).values[:, -1:]
    above, at = scores > edge, scores == edge
    room = k - above.sum(1, keepdim=True)
    chosen = above | (at & (at.cumsum(1) <= room))
    positions = chosen.nonzero()[:, 1].view(len(scores), k)
    order = scores.gather(1, positions).sort(dim=1, descending=True, stable=True).indices
    return positions.gather(1, order)


def _counts(indices: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The labels that occur, in order, and (M, labels) how often each does in every set."""
    classes, numbers = labels.unique(return_inverse=True)
    counts = torch.zeros(len(indices), len(classes), dtype=torch.long)
    return classes, counts.scatter_add_(1, numbers[indices], torch.ones_like(indices))


def _spread(vectors: Tensor, indices: Tensor) -> Tensor:
    """(M,) float64: root mean square over pairs of the root mean square difference per coordinate."""
    k, width = indices.shape[1], vectors.shape[1]
    wide = vectors.double()
    wide = wide - wide.mean(0)  # near zero less is lost when the square of the sum is taken away
    # Sums over the sets alone: gathering all their vectors would take k times the memory.
    sums = functional.embedding_bag(indices, wide, mode="sum")
    squares = wide.square().sum(1)[indices].sum(1) - sums.square().sum(1) / k
    return (2 * squares.clamp(min=0) / ((k - 1) * width)).sqrt()


def _difference(one: np.ndarray, two: np.ndarray, axis: int = -1) -> np.ndarray:
    return one.mean(axis=axis) - two.mean(axis=axis)


def _batch(one: np.ndarray, two: np.ndarray) -> int:
    return max(1, _SCORES // 4 // (len(one) + len(two)))


SHOWN = 8  # images in a row of a figure, and in the sets that the tables speak about


KS = (4, 8, 16, 64)


MARGIN = 1 / 16  # half an image in a row of eight: a difference of purity that nobody would see in a figure


DIRECTIONS = 1000  # random directions per layer, or as many as there are units where they are more


MEASURES = ("purity", "entropy", "pixel_distance", "feature_distance")


@dataclass(frozen=True, eq=False)
class Survey:
    """Units and random directions of one layer.

    Attributes:
        name: of the layer.
        firing: (D,) long, see ``firing``.
        unit_sets: (U, K) long, top images of the units that fire on at least ``SHOWN`` images.
        direction_sets: (M, K) long, those of the random directions.
        of_units: coherence of the first ``SHOWN`` images of each such unit, distances over those of all images.
        of_directions: the same for the directions.
        measures: measure -> comparison of the two.
        by_k: k -> comparison of the purities of the first k images, for each k of ``KS`` and for a tenth of all images,
            where two units or more fire on at least k images.
        between: share of the variance of phi(x) that lies between the means of the classes, from 0 to 1.
        foretold: share of the directions whose most frequent label is that of the class mean that lies furthest along.
    """

    name: str
    firing: Tensor
    unit_sets: Tensor
    direction_sets: Tensor
    of_units: Coherence
    of_directions: Coherence
    measures: dict[str, Comparison]
    by_k: dict[int, Comparison]
    between: float
    foretold: float

    @property
    def dead(self) -> int:
        """Units that do the same on every image."""
        return int((self.firing == 0).sum())

    @property
    def numbers(self) -> Tensor:
        """(U,) which units the sets belong to."""
        return (self.firing >= SHOWN).nonzero()[:, 0]


def class_means(features: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """The mean vector of every class and the share of the variance that lies between them.

    Args:
        features: (N, D).
        labels: (N,) long, from 0; every class up to the largest has an image.

    Returns:
        (C, D) float32 means, and the share, from 0 to 1.
    """
    wide = features.double()
    counts = torch.bincount(labels)
    sums = torch.zeros(len(counts), wide.shape[1], dtype=torch.float64).index_add_(0, labels, wide)
    means = sums / counts[:, None]
    centre = wide.mean(0)
    between = ((means - centre).square().sum(1) * counts).sum() / (wide - centre).square().sum()
    return means.float(), float(between)


def survey(
    name: str,
    features: Tensor,
    images: Tensor,
    labels: Tensor,
    others: Tensor,
    *,
    resamples: int | None,
    directions: int = DIRECTIONS,
    seed: int = settings.SEED,
) -> Survey:
    """Compare all units of a layer that fire often enough with random directions.

    For sets of k images a unit takes part if it fires on at least k of them.

    Args:
        name: of the layer.
        features: (N, D), the vectors phi(x).
        images: (N, *shape), pixels.
        labels: (N,) long.
        others: (N, E), vectors of the images in a feature space that is independent of this one.
        resamples: of the intervals and tests, see ``compare``.
        directions: how many; at least as many as there are units are drawn.
        seed: of directions, intervals and tests.

    Returns:
        A ``Survey``.

    Raises:
        ValueError: fewer than two units fire on as many images as a figure shows.
    """
    ks = sorted({*KS, len(images) // 10})
    counts = firing(features)
    generator = torch.Generator().manual_seed(seed)
    drawn = random_directions(max(directions, features.shape[1]), features.shape[1], generator)
    # Sets are sorted, so the first k of the largest are the set of k.
    by_unit, by_direction = top(features, None, ks[-1]), top(features, drawn, ks[-1])
    by_k = {
        k: compare(
            purity(by_unit[counts >= k, :k], labels), purity(by_direction[:, :k], labels),
            resamples=resamples, seed=seed,
        )
        for k in ks
        if int((counts >= k).sum()) > 1
    }  # fmt: skip
    scales = overall_distance(images), overall_distance(others)
    live = counts >= SHOWN
    one = _relative(coherence(by_unit[live, :SHOWN], labels, images, others), *scales)
    two = _relative(coherence(by_direction[:, :SHOWN], labels, images, others), *scales)
    measures = {
        measure: compare(getattr(one, measure), getattr(two, measure), resamples=resamples, seed=seed)
        for measure in MEASURES
    }
    means, between = class_means(features, labels)
    foretold = float(((drawn @ means.T).argmax(1) == two.label).double().mean())
    return Survey(name, counts, by_unit[live], by_direction, one, two, measures, by_k, between, foretold)


def drawn(one: Survey, count: int, *, seed: int = settings.SEED) -> Tensor:
    """Units drawn at random among those that fire on at least ``SHOWN`` images.

    Args:
        one: the survey of a layer.
        count: how many, at most as many as there are.
        seed: of the draw.

    Returns:
        (count,) long, rows of ``Survey.unit_sets``, in the order drawn.
    """
    return torch.randperm(len(one.unit_sets), generator=torch.Generator().manual_seed(seed))[:count]


def _relative(found: Coherence, pixels: float, vectors: float) -> Coherence:
    """Distances as multiples of those between all images."""
    return Coherence(
        found.label, found.purity, found.entropy, found.pixel_distance / pixels, found.feature_distance / vectors
    )
