"""Short ways out of a class: those of the projections, made shorter by walks on spheres.

The projections of :func:`intriguing.attack.boundary.nearest_exit` are exact where the boundary is a plane. On a network
with many kinks they come to rest early, on the surface of the right rival but not at its nearest point. A walk goes on
from there: a step along the gradient of the strongest rival's lead, then back to the sphere about the image on which a
straight line would just leave the class.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from intriguing.attack.boundary import MARGIN, Exits, nearest_exit
from intriguing.attack.models import duplicate
from intriguing.attack.perturbations import logit_margin, value_and_gradient

STEPS = 50
TURNS = (0.3, 2.0)  # length of the first step of each walk, over the radius there: close by, then further afield
LAST = 0.005  # the same for the last step
CAP = 0.05  # by what part a sphere changes at most from step to step
CHUNK = 50  # images at a time


def linear(model: nn.Module) -> bool:
    """Whether a network has one layer of weights only."""
    return sum(isinstance(layer, nn.Linear | nn.Conv2d) for layer in model.modules()) == 1


def shortest(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    box: bool = False,
    avoid: Tensor | None = None,
    within: Tensor | None = None,
    rivals: int | None = None,
    turns: tuple[float, ...] = TURNS,
) -> Exits:
    """The shortest exits that projections and walks find together; on a linear network projections are enough.

    Args:
        model: images (b, *shape) -> logits (b, k), in evaluation mode.
        images: (B, *shape) in [0, 1].
        labels: (B,) long.
        box: as for ``nearest_exit``.
        avoid: as for ``nearest_exit``.
        within: as for ``nearest_exit``.
        rivals: as for ``nearest_exit``, of networks that are not linear; linear ones are followed towards all.
        turns: as for ``walked``.

    Returns:
        ``Exits``, all verified in float64.
    """
    spaces = {"avoid": avoid, "within": within}
    if linear(model):
        return nearest_exit(model, images, labels, box=box, **spaces)
    found = nearest_exit(model, images, labels, box=box, rivals=rivals, **spaces)
    return walked(model, images, labels, found, box=box, turns=turns, **spaces)


def walked(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    found: Exits,
    *,
    box: bool = False,
    avoid: Tensor | None = None,
    within: Tensor | None = None,
    turns: tuple[float, ...] = TURNS,
) -> Exits:
    """Exits from which walks have gone on; what was not made shorter stays as it was found.

    Args:
        model: as for ``shortest``.
        images: as for ``shortest``.
        labels: as for ``shortest``.
        found: exits of these images, in this box and in these spaces.
        box: as for ``shortest``.
        avoid: as for ``shortest``.
        within: as for ``shortest``.
        turns: length of the first step of each walk, over the radius there; each begins where the one before ended.

    Returns:
        ``Exits``. The normals are those of the lead of the class that is given there, and the way stands in ``each``
        for that class where it is shorter than what was found for it.

    Source:
        Rony et al. 2019, decoupling direction and norm, with the lead in place of the cross entropy, and with spheres
        that follow from its slope.
    """
    double = duplicate(model, torch.float64, "cpu")
    ways, normals, each = found.ways.clone(), found.normals.clone(), found.each.clone()
    going = (found.rms.isfinite() & (found.rms > 0)).nonzero()[:, 0]
    for rows in going.split(CHUNK):
        spaces = [None if space is None else space[rows].cpu().double() for space in (avoid, within)]
        clean, own = images[rows].cpu().double(), labels[rows].cpu()
        start = way = found.ways[rows]
        for turn in turns:
            way = _walk(double, clean, own, way, box, *spaces, turn)
        shorter = way.norm(dim=1) < start.norm(dim=1)
        rows, way, clean, own = rows[shorter], way[shorter], clean[shorter], own[shorter]
        if len(rows) == 0:
            continue
        _, slope = value_and_gradient(lambda flat: _ahead(double, flat, clean, own), clean.flatten(1) + way)  # noqa: B023
        with torch.no_grad():
            rival = double(clean + way.view(clean.shape)).argmax(1)
        ways[rows], normals[rows] = way, normalize(slope, dim=1)
        column = rival - (rival > own).long()
        before = each[rows, column].norm(dim=1).nan_to_num(torch.inf)
        nearer = way.norm(dim=1) < before
        each[rows[nearer], column[nearer]] = way[nearer]
    rms = ways.norm(dim=1).nan_to_num(torch.inf) / ways.shape[1] ** 0.5
    return replace(found, ways=ways, rms=rms, normals=normals, each=each)


def at_right_angles(model: nn.Module, images: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Ways out at right angles, as from ``boundary.orthogonal_exits``, with the shortest exits in place of the nearest.

    Args:
        model: as for ``shortest``.
        images: as for ``shortest``, read rightly by the network.
        labels: as for ``shortest``.
        count: K, how many to look for.

    Returns:
        rms (B, K) float64 in increasing order, infinite once none is left, and the unit directions (B, K, n) float64,
        zero there. Where a search finds a nearer way than those before it, these have missed it, and it takes its
        place among them.
    """
    basis = torch.zeros(len(images), 0, images[0].numel(), dtype=torch.float64)
    lengths = []
    for number in range(count):
        turns = TURNS if number == 0 else TURNS[-1:]  # the first is the unit of all others
        found = shortest(model, images, labels, avoid=basis, turns=turns)
        unit = normalize(found.ways.nan_to_num(0.0), dim=1)
        unit = unit - _part(unit, basis)  # rounding
        lengths.append(found.rms)
        basis = torch.cat([basis, normalize(unit, dim=1)[:, None]], 1)
    rms, order = torch.stack(lengths, 1).sort(dim=1, stable=True)
    return rms, basis.gather(1, order[:, :, None].expand_as(basis))


def _walk(
    model: nn.Module,
    clean: Tensor,
    labels: Tensor,
    way: Tensor,
    box: bool,
    avoid: Tensor | None,
    within: Tensor | None,
    turn: float,
) -> Tensor:
    """The shortest exit on one walk from exits (b, n)."""

    def allowed(vectors: Tensor) -> Tensor:
        vectors = vectors if within is None else _part(vectors, within)
        return vectors if avoid is None else vectors - _part(vectors, avoid)

    flat = clean.flatten(1)
    with torch.no_grad():
        firm = -MARGIN * _ahead(model, flat, clean, labels)
    best = step = way
    for number in range(STEPS):
        lead, slope = value_and_gradient(lambda x: _ahead(model, x, clean, labels), flat + step)
        length, slope = step.norm(dim=1), allowed(slope)
        shorter = (lead > 0) & (length < best.norm(dim=1))
        best = torch.where(shorter[:, None], step, best)
        rise = (slope * step).sum(1).clamp(min=torch.finfo(slope.dtype).tiny)  # along the whole of the step
        radius = length * (1 + ((firm - lead) / rise).clamp(-CAP, CAP))
        stride = turn * (LAST / turn) ** (number / STEPS)
        step = radius[:, None] * normalize(normalize(step, dim=1) + stride * normalize(slope, dim=1), dim=1)
        step = (flat + step).clamp(0, 1) - flat if box else step
    return best


def _ahead(model: nn.Module, flat: Tensor, clean: Tensor, labels: Tensor) -> Tensor:
    """By how much the strongest rival leads the label, above 0 outside of its class."""
    return -logit_margin(model(flat.view(-1, *clean.shape[1:])), labels)


def _part(vectors: Tensor, basis: Tensor) -> Tensor:
    """The part of vectors (b, n) in the spans of orthonormal rows (b, m, n)."""
    return torch.bmm(torch.bmm(basis, vectors[:, :, None]).mT, basis)[:, 0]
