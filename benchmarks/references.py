"""What the attacks are measured against: the exact minimum of a linear network, the best known of any other."""

from __future__ import annotations

import copy

import torch
from harness import Case, lead
from torch import Tensor, nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.oracles import exact_linear_distortion
from intriguing.attack.polyhedron import project_polyhedron
from intriguing.attack.refinement import refine
from intriguing.models.recipes import weight_layers

GAP = 1e-7  # duality gap up to which a batched solution counts as certified
MARGIN = 1e-6  # of the spread of the logits: what the best known solutions lead by
PART = 500  # images at a time


def is_linear(model: nn.Module) -> bool:
    """Whether the logits are an affine function of the pixels: one layer of weights and nothing else that counts."""
    return len(weight_layers(model)) == 1 and all(
        isinstance(layer, nn.Linear | nn.Flatten | nn.Sequential) for layer in model.modules()
    )


def exact(case: Case) -> tuple[Tensor, float]:
    """The exact D(x, l) of a linear network for every image of a case, from the convex programme.

    Args:
        case: with a linear network.

    Returns:
        rms (N,) float64, and the largest relative duality gap, the certificate: no distortion is further than that
        above the minimum.

    Source:
        Boyd and Vandenberghe, Convex Optimization, chapter 5.
    """
    (layer,) = weight_layers(case.model)
    weight, bias = layer.weight.double(), layer.bias.double()
    parts = [
        _exact_part(weight, bias, images.flatten(1).double(), targets)
        for images, targets in zip(case.images.split(PART), case.targets.split(PART), strict=True)
    ]
    rms, gaps = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    for i in (~(gaps <= GAP)).nonzero()[:, 0].tolist():  # what the batched solver left open is solved one by one
        certified = exact_linear_distortion(weight, bias, case.images[i], int(case.targets[i]))
        rms[i], gaps[i] = certified.rms, certified.gap
    return rms, float(gaps.max())


def _exact_part(weight: Tensor, bias: Tensor, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    classes = len(weight)
    ladder = torch.arange(classes - 1).expand(len(x), -1)
    rivals = ladder + (ladder >= targets[:, None])
    a = weight[targets][:, None] - weight[rivals]
    b = bias[rivals] - bias[targets][:, None]
    z, y = project_polyhedron(x, a, b)
    slack = torch.bmm(a, z[:, :, None])[:, :, 0] - b
    primal = 0.5 * (z - x).square().sum(1)
    gap = (y * slack).sum(1).abs() / primal.clamp(min=torch.finfo(x.dtype).tiny)
    feasible = (slack / a.norm(dim=2)).amin(1) >= -1e-9
    gap = torch.where(primal > 0, gap, 0.0)
    return (2 * primal / x.shape[1]).sqrt(), torch.where(feasible, gap, torch.inf)


def best_known(case: Case) -> Tensor:
    """The smallest distortion that the refinement finds from several starting points.

    Args:
        case: any network.

    Returns:
        rms (N,) float64: the least over starts at the clean image, at the penalty method's edge in c |r|^2, half as
        far again beyond it, and at the point where the line to the case's starting image crosses into the target's
        region. NaN where no start succeeded.
    """
    double = copy.deepcopy(case.model).double()
    parts = [
        _best_part(double, images.double(), targets, starts.double())
        for images, targets, starts in zip(
            case.images.split(PART), case.targets.split(PART), case.starts.split(PART), strict=True
        )
    ]
    return torch.cat(parts)


def _best_part(double: nn.Module, images: Tensor, targets: Tensor, starts: Tensor) -> Tensor:
    clean, shape = images.flatten(1), images.shape[1:]
    with torch.no_grad():
        logits = double(images)
    margin = MARGIN * (logits.amax(1) - logits.amin(1))
    edge = minimum_distortion(double, images, targets, margin=MARGIN).images.flatten(1)
    beyond = (clean + 1.5 * (edge - clean)).clamp(0, 1)
    best = clean.new_full((len(clean),), torch.nan)
    there = lead(double, images, targets) > 0
    best[there] = 0.0
    rows = (~there).nonzero()[:, 0]
    for start in (None, edge, beyond, _crossing(double, images, targets, starts).flatten(1)):
        found, success, _ = refine(
            lambda x: double(x.view(-1, *shape)),
            clean[rows],
            targets[rows],
            margin[rows],
            start=None if start is None else start[rows],
        )
        rms = torch.where(success, (found - clean[rows]).square().mean(1).sqrt(), torch.nan)
        best[rows] = best[rows].fmin(rms)
    return best


def _crossing(double: nn.Module, images: Tensor, targets: Tensor, starts: Tensor) -> Tensor:
    """Just inside the target's region on the way from a starting image to the clean one."""
    low, high = images.new_zeros(len(images)), images.new_ones(len(images))
    for _ in range(20):
        middle = (low + high) / 2
        there = lead(double, images + middle.view(-1, 1, 1, 1) * (starts - images), targets) > 0
        low, high = torch.where(there, low, middle), torch.where(there, middle, high)
    return images + (1.05 * high).clamp(max=1).view(-1, 1, 1, 1) * (starts - images)


@torch.no_grad()
def starting_images(model: nn.Module, images: Tensor, targets: Tensor, pool: Tensor) -> Tensor:
    """For each image the nearest one of a pool that the network takes for its target.

    Args:
        model: images -> logits, float32.
        images: (N, 1, 28, 28).
        targets: (N,) long.
        pool: (P, 1, 28, 28), such as the training set.

    Returns:
        (N, 1, 28, 28); the image itself where the network takes none of the pool for the target.
    """
    predicted = torch.cat([model(part).argmax(1) for part in pool.split(4000)])
    starts = images.clone()
    for target in targets.unique().tolist():
        rows, candidates = (targets == target).nonzero()[:, 0], pool[predicted == target]
        if len(candidates):
            nearest = torch.cdist(images[rows].flatten(1), candidates.flatten(1)).argmin(1)
            starts[rows] = candidates[nearest]
    return starts
