"""Where the class of an image ends: the shortest way out, ways out at right angles, and ways out at random.

Here a way out is *free*: it may leave the box [0, 1] unless the box is asked for, as noise does and as the geometry of
planes needs; and it ends where the network first gives any class but the image's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .checks import check_classes, check_count, check_images, check_numbers, check_targets, check_vectors
from .models import Classifier, Judge, no_trace, on_the_cpu
from .perturbations import value_and_gradient
from .polyhedron import project_polyhedron
from .readiness import check_model

MARGIN = 1e-4  # how far beyond the plane a step aims, as a fraction of the lead of the clean image
FLAT = 1e-7  # a gradient whose allowed part is this much smaller than itself has no allowed part
LEAP = 3.0  # longest step of the search, as a Euclidean length: beyond it no linearisation means anything
SETTLED = 2e-4  # a way that a step shortens by less than this part is as short as it gets
HALVINGS = 20
UNIT = 1e-3  # by which the length of a unit vector may be off


@dataclass(frozen=True)
class Exits:
    """Ways out of the class, one entry per image.

    Attributes:
        ways: (B, n) float64, the shortest perturbation found that leaves the class, as a copy of the network in float64
            sees it; NaN where none was found.
        rms: (B,) float64, its root mean square per pixel; infinite where none was found.
        normals: (B, n) float64, unit normals of the boundary there, pointing out, from the lead over the rival that
            the way was found for, also where another one overtakes a little before; NaN where none was found.
        each: (B, J, n) float64, the shortest way found for each rival to overtake, in increasing order of class, NaN
            where none was found or looked for.
    """

    ways: Tensor
    rms: Tensor
    normals: Tensor
    each: Tensor


@torch.inference_mode(False)
def nearest_exit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    box: bool = False,
    avoid: Tensor | None = None,
    within: Tensor | None = None,
    rivals: int | None = None,
    steps: int = 40,
    chunk: int = 50,
) -> Exits:
    """The shortest perturbation after which the network no longer gives an image's label.

    To leave a class is to be overtaken by one rival, so the nearest exit is the nearest of k - 1 surfaces, each solved
    by itself: linearise the lead over the rival and step to that plane until the rival has overtaken; from then on go
    to the point of the plane that is closest to the *clean* image, and repeat with shortened steps where they swing.
    For a linear network the first step is exact. The result is a verified exit, hence an upper bound on the distance
    to the boundary: of the function that the network computes in float64. A way ends within rounding of the boundary,
    so that the network in a coarser precision may still give the label there.

    Args:
        model: images (b, *shape) -> logits (b, k), in evaluation mode; a copy in float64 says what leaves, or the
            module in its own precision where it has no such copy. A logit of -inf is a class that cannot win.
        images: (B, *shape) in [0, 1].
        labels: (B,) long; an image that the network reads otherwise comes back with a way of length zero.
        box: True keeps the perturbed image in [0, 1].
        avoid: (B, m, n) orthonormal rows; ways are at right angles to all of them. Not with ``box``.
        within: (B, m, n) orthonormal rows; ways lie in their span. Not with ``box``.
        rivals: how many rivals to follow, those nearest by the first linearisation; None for all.
        steps: linearisations at most.
        chunk: images at a time.

    Returns:
        ``Exits``.

    Raises:
        TypeError: the images are not floating, the model is no module or returns no tensor, or a number is none.
        ValueError: no images, pixels outside [0, 1], a model in training mode, a box together with a subspace, bases
            that do not fit the images, a count below 1, a label that is no class, or logits that are not finite, have
            no gradient, change from call to call or with the rest of the batch.

    Source:
        Rackwitz and Fiessler 1978, the same iteration in structural reliability; Moosavi-Dezfooli et al. 2016.
    """
    check_images(images)
    check_targets(images, labels, "labels")
    if not isinstance(model, nn.Module):
        raise TypeError(f"got a model of type {type(model).__name__}; expected a module; wrap the function in one.")
    check_model(model)
    if len(images) == 0:
        raise ValueError("got no images; expected at least one; look where they were chosen.")
    for name, space in (("avoid", avoid), ("within", within)):
        if space is not None:
            check_vectors(space, (len(images), None, images[0].numel()), name)
            if box:
                raise ValueError("got a box and a subspace; expected one of them; leave one out.")
    for name, number in (("rivals", rivals), ("steps", steps), ("chunk", chunk)):
        if number is not None or name != "rivals":
            check_count(name, number, 1)
    classify = Classifier(on_the_cpu(model), images.cpu())
    double = lambda x: classify(x.to(classify.device)).cpu().double()  # noqa: E731
    parts = []
    with no_trace(classify.device):
        for start in range(0, len(images), chunk):
            rows = slice(start, start + chunk)
            spaces = [None if space is None else _basis(space[rows]) for space in (avoid, within)]
            parts.append(_exits(double, images[rows].cpu().double(), labels[rows].cpu(), box, *spaces, rivals, steps))
    return Exits(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))


def orthogonal_exits(model: nn.Module, images: Tensor, labels: Tensor, count: int, **options) -> tuple[Tensor, Tensor]:
    """Ways out at right angles: the nearest, then the nearest at right angles to it, and so on.

    The k-th cannot be nearer than those before it. Where a search finds one that is, the search before has missed it:
    as all are at right angles to each other, it takes its place among them, so that the distances never fall.

    Args:
        model: as for ``nearest_exit``.
        images: (B, *shape) in [0, 1], read rightly by the network.
        labels: (B,) long.
        count: K, how many to look for.
        **options: passed on to ``nearest_exit``.

    Returns:
        rms (B, K) float64 in increasing order, infinite once none is left, and the unit directions (B, K, n) float64,
        zero there. All are upper bounds: the ways exist, and nearer ones may have been missed. A linear network with k
        classes has at most k - 1, and a network at most as many as its first layer has units.

    Raises:
        TypeError: as for ``nearest_exit``.
        ValueError: as for ``nearest_exit``.
    """
    check_images(images)
    check_count("count", count, 1)
    n = math.prod(images.shape[1:])
    basis = torch.zeros(len(images), 0, n, dtype=torch.float64)
    lengths = []
    for _ in range(count):
        found = nearest_exit(model, images, labels, avoid=basis, **options)
        unit = torch.nn.functional.normalize(found.ways.nan_to_num(0.0), dim=1)
        unit = unit - ((unit[:, None] * basis).sum(2, keepdim=True) * basis).sum(1)  # rounding
        lengths.append(found.rms)
        basis = torch.cat([basis, torch.nn.functional.normalize(unit, dim=1)[:, None]], 1)
    rms, order = torch.stack(lengths, 1).sort(dim=1, stable=True)
    return rms, basis.gather(1, order[:, :, None].expand_as(basis))


def aligned_frames(normals: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Orthonormal directions that all make the same angle with a normal, the best that many can do at once.

    Orthonormal u_1, u_2, …, however many, have sum (u_i n)^2 <= |n|^2 = 1 (Bessel), so that at most k of them can have
    u_i n >= 1/sqrt(k); here k of them do, with equality. At c times the distance of a plane at most floor(c^2)
    orthogonal directions reach it, and these do.

    Args:
        normals: (B, n) unit vectors.
        count: k, at most n.
        seed: of the random frame that is turned towards the normal.

    Returns:
        (B, k, n) float64, orthonormal, with inner products 1/sqrt(k) with the normal.

    Raises:
        TypeError: the normals are not floating, or the count is no whole number.
        ValueError: they are not rows of finite numbers, or there are to be more directions than pixels.

    Source:
        Tramèr et al. 2017, section 4, the gradient-aligned adversarial subspace.
    """
    check_vectors(normals, (None, None), "normals")
    normals = normals.double()
    frame = random_frames(1, count, normals.shape[1], seed=seed)[0]  # (k, n)
    mean = frame.sum(0) / count**0.5  # a unit vector with inner product 1/sqrt(k) with each row
    w = mean - normals  # the reflection that takes the mean to the normal
    factor = 2 * (frame @ w.T) / w.square().sum(1).clamp(min=1e-30)  # (k, B)
    return frame - factor.T[:, :, None] * w[:, None, :]


def random_frames(batch: int, count: int, pixels: int, *, seed: int = 0) -> Tensor:
    """Orthonormal bases of random subspaces.

    Args:
        batch: B, how many subspaces.
        count: m, their dimension.
        pixels: n.
        seed: of the draw.

    Returns:
        (B, m, n) float64.

    Raises:
        TypeError: a size is no whole number.
        ValueError: a size is below 1, or the dimension of the subspaces is above that of the space.
    """
    for name, number in (("batch", batch), ("count", count), ("pixels", pixels)):
        check_count(name, number, 1)
    if count > pixels:
        raise ValueError(
            f"got a count of {count} in a space of {pixels}; expected {pixels} at most; no more are orthogonal."
        )
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(batch, pixels, count, generator=generator).double())[0].mT.contiguous()


@torch.no_grad()
def exit_along(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    directions: Tensor,
    nearest: Tensor,
    *,
    farthest: float = 300.0,
    growth: float = 1.15,
    chunk: int = 4000,
) -> Tensor:
    """Distance from each image to the end of its class along given directions.

    Radii grow from the nearest exit by a constant factor until the class changes; bisection does the rest. A region of
    another class that lies wholly between two radii is stepped over, so that the distance is an upper bound.

    Args:
        model: images (b, *shape) -> logits (b, k); in evaluation mode, in its own precision, without a gradient.
        images: (B, *shape), read rightly by the network.
        labels: (B,) long.
        directions: (B, D, n), unit vectors.
        nearest: (B,) root mean square distance of the nearest exit, above 0, where the search starts.
        farthest: where it ends, in units of ``nearest``.
        growth: factor between radii.
        chunk: perturbed images evaluated at a time.

    Returns:
        (B, D) float64, root mean square per pixel; infinite where the class holds all the way.

    Raises:
        TypeError: images, directions or distances are not floating, the labels no int64, a setting no number, or the
            model cannot be called or returns something else than a tensor of logits.
        ValueError: their shapes do not fit each other, a pixel lies outside [0, 1], a direction is no unit vector, a
            distance not finite or not above 0, a label no class, the growth not above 1, or the chunk below 1; or the
            model is in training mode, or its logits change from call to call or with the rest of the batch.
    """
    check_images(images)
    check_targets(images, labels, "labels")
    check_vectors(directions, (len(images), None, math.prod(images.shape[1:])), "directions")
    check_vectors(nearest, (len(images),), "nearest")
    check_numbers(farthest=farthest, growth=growth)
    check_count("chunk", chunk, 1)
    if not bool(((directions.norm(dim=2) - 1).abs() < UNIT).all()):
        raise ValueError(
            f"got directions of lengths from {float(directions.norm(dim=2).min()):g} to "
            f"{float(directions.norm(dim=2).max()):g}; expected unit vectors; divide each by its norm."
        )
    judge = Judge(model, images)
    if len(images):
        check_classes(labels.to(judge.device), judge.answers(images[:1]).shape[1], "labels")
    if not bool((nearest > 0).all()):
        raise ValueError(f"got a nearest exit at {float(nearest.min()):g}; expected distances above 0; leave it out.")
    if growth <= 1:
        raise ValueError(f"got a growth of {growth:g}; expected a factor above 1; the radii have to grow.")
    count, pixels = directions.shape[1:]
    rays = directions.flatten(0, 1).to(images) * pixels**0.5  # root mean square 1
    clean, labels = images.repeat_interleave(count, 0).flatten(1), labels.to(images.device).repeat_interleave(count)
    unit = nearest.to(images).repeat_interleave(count)

    def left(rows: Tensor, radius: Tensor) -> Tensor:
        parts = [
            judge.answers((clean[r] + t[:, None] * rays[r]).view(-1, *images.shape[1:])).argmax(1).to(labels)
            != labels[r]
            for r, t in zip(rows.split(chunk), radius.split(chunk), strict=True)
        ]
        return torch.cat(parts) if parts else torch.zeros_like(radius, dtype=torch.bool)

    inside, outside = 0 * unit, torch.full_like(unit, torch.inf)
    running, factor = torch.arange(len(unit), device=unit.device), 0.99
    while len(running) and factor < farthest:
        radius = factor * unit[running]
        out = left(running, radius)
        outside[running[out]] = radius[out]
        inside[running[~out]] = radius[~out]
        running, factor = running[~out], factor * growth
    found = outside.isfinite().nonzero()[:, 0]
    for _ in range(12):
        middle = (inside[found] + outside[found]) / 2
        out = left(found, middle)
        outside[found] = torch.where(out, middle, outside[found])
        inside[found] = torch.where(out, inside[found], middle)
    return outside.double().view(len(images), count)


def _basis(space: Tensor) -> Tensor:
    """Rows (b, m, n) that span a subspace for each image, in float64 on the CPU; rows of zeros count for nothing."""
    space = space.cpu().double()
    products = space @ space.mT
    if not torch.allclose(products @ products, products, atol=1e-4):
        raise ValueError("got a subspace whose rows are not orthonormal; expected a basis; use torch.linalg.qr on it.")
    return space


def _exits(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    box: bool,
    avoid: Tensor | None,
    within: Tensor | None,
    rivals: int | None,
    steps: int,
) -> tuple[Tensor, ...]:
    """The fields of ``Exits`` for one chunk."""
    batch, shape = len(images), images.shape
    clean = images.flatten(1)
    classify = lambda x: model(x.view(-1, *shape[1:]))  # noqa: E731
    with torch.no_grad():
        logits = classify(clean)
    able = logits.isfinite()  # to win
    check_classes(labels, logits.shape[1], "labels")
    if not bool((able | logits.isneginf()).all() & able.gather(1, labels[:, None]).all()):
        raise ValueError("got logits with infinite entries or NaN; expected finite ones; look at the model's weights.")
    classes = logits.shape[1]
    ladder = torch.arange(classes - 1).expand(batch, -1)
    targets = ladder + (ladder >= labels[:, None])  # (B, J)
    owner = torch.arange(batch).repeat_interleave(classes - 1)
    target = targets.flatten()

    def linearise(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Lead of the label over the rival, its gradient; x (b, n), rows of (B J)."""

        def lead(x: Tensor) -> Tensor:
            out = classify(x)
            return out.gather(1, labels[owner[rows], None])[:, 0] - out.gather(1, target[rows, None])[:, 0]

        return value_and_gradient(lead, x)

    def allowed(vectors: Tensor, rows: Tensor) -> Tensor:
        """The part of a vector that lies in the subspace."""
        for space, keep in ((within, True), (avoid, False)):
            if space is not None and space.shape[1]:
                basis = space[owner[rows]]
                part = torch.bmm(torch.bmm(basis, vectors[:, :, None]).mT, basis)[:, 0]
                vectors = part if keep else vectors - part
        return vectors

    def target_of(origin: Tensor, x: Tensor, lead: Tensor, slope: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The allowed point closest to the origin where the linearised rival has overtaken, and where there is none."""
        bound = lead + margin[rows] - (slope * x).sum(1)  # -slope z >= bound
        if box:
            return project_polyhedron(origin, -slope[:, None], bound[:, None], tolerance=1e-7)[0], slope.norm(
                dim=1
            ) == 0
        part = allowed(slope, rows)
        square = part.square().sum(1)
        gain = (bound + (slope * origin).sum(1)) / square.clamp(min=torch.finfo(square.dtype).tiny)
        return origin - gain[:, None] * part, square.sqrt() <= FLAT * slope.norm(dim=1)

    count = len(owner)
    best, length = clean[owner], torch.full((count,), torch.inf, dtype=clean.dtype)
    aim = best.clone()  # the closest point of the plane that was linearised at the best exit
    damping = torch.ones(count, dtype=clean.dtype)
    corrected = torch.zeros(count, dtype=torch.bool)  # whether the point on trial has been moved onto its own plane
    margin = MARGIN * (logits.gather(1, labels[:, None]) - logits.gather(1, targets)).abs().flatten()
    rows = able.gather(1, targets).flatten().nonzero()[:, 0]
    x = clean[owner[rows]]
    for step in range(steps):
        if len(rows) == 0:
            break
        lead, slope = linearise(x, rows)
        start = clean[owner[rows]]
        away = (x - start).norm(dim=1)
        had = length[rows] < torch.inf
        gained = length[rows] - away
        better = (lead <= 0) & (gained > 0)
        best[rows[better]], length[rows[better]] = x[better], away[better]
        crossed = had | better
        # A better exit is the origin of the next trial; the closest point is that to the clean image.
        origin = torch.where(better[:, None], start, x)
        z, flat = target_of(origin, x, lead, slope, rows)
        aim[rows[better]] = z[better]
        # A trial that has lost the class over the rival gets one step back onto its plane, then a shorter trial.
        correct = had & (lead > 0) & ~corrected[rows] & ~flat
        shrink = had & ~better & ~correct
        damping[rows] = torch.where(shrink, 0.4 * damping[rows], damping[rows])
        damping[rows] = torch.where(better, (1.5 * damping[rows]).clamp(max=1), damping[rows])
        corrected[rows] = correct
        trial = best[rows] + damping[rows, None] * (aim[rows] - best[rows])
        leap = z - x
        leap = x + leap * (LEAP / leap.norm(dim=1).clamp(min=LEAP))[:, None]
        goal = torch.where((crossed & ~correct)[:, None], trial, leap)
        moves = (goal - x).norm(dim=1) > SETTLED * away
        settled = crossed & ~correct & ((damping[rows] < 0.05) | (better & had & (gained < SETTLED * away)) | ~moves)
        going = ~flat & ~settled
        if step == 0 and rivals is not None and rivals < classes - 1:
            estimate = torch.full((count,), torch.inf, dtype=clean.dtype)
            estimate[rows] = torch.where(flat, torch.inf, (z - start).norm(dim=1))
            nearest = estimate.view(batch, -1).kthvalue(rivals, dim=1).values
            going &= (estimate <= nearest[owner])[rows]
        rows, x = rows[going], goal[going]
    best = torch.where(length.isfinite()[:, None], best - clean[owner], torch.nan)

    each = best.view(batch, classes - 1, -1)
    column = each.norm(dim=2).nan_to_num(torch.inf).argmin(1)
    every = torch.arange(batch)
    ways = each[every, column]
    # Back along the straight way to where the class first ends: another rival may have overtaken before.
    low, high = torch.zeros(batch, dtype=clean.dtype), torch.ones(batch, dtype=clean.dtype)
    with torch.no_grad():
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            out = classify((clean + middle[:, None] * ways).nan_to_num(0.0)).argmax(1) != labels
            high, low = torch.where(out, middle, high), torch.where(out, low, middle)
    ways = torch.where((logits.argmax(1) != labels)[:, None], 0.0, high[:, None] * ways)
    _, slope = linearise((clean + ways).nan_to_num(0.0), every * (classes - 1) + column)
    normals = torch.where(ways.isnan(), torch.nan, -torch.nn.functional.normalize(slope, dim=1))
    lengths = ways.norm(dim=1).nan_to_num(torch.inf)
    return ways, lengths / clean.shape[1] ** 0.5, normals, each
