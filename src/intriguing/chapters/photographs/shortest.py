"""Short perturbations of photographs, at the price of a hundred passes through the network.

The projections of :mod:`intriguing.attack.refinement` need a network that is nearly linear between a photograph and
its goal. Networks with many layers and rectifiers that end at 6 need not be, and where both were measured a walk on
spheres ended lower: a step along the gradient of the lead, then back to a sphere about the photograph, which shrinks
while the goal is held and grows while it is not.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from intriguing.attack import files
from intriguing.attack.checks import check_images
from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import logit_margin, rms, value_and_gradient
from intriguing.book import cache, fingerprint

STEPS = 100
NEAREST, FURTHEST = 1 / 388, 0.1  # RMS of the first sphere: at least a length of 1 at 224 by 224 pixels; and at most
GROWTH = (5.0, 0.5)  # by what part a sphere changes in the first step and in the last, times the number of steps
STRIDE = (1.0, 0.01)  # length of a step over the first radius, in the first step and in the last
CHUNK = 8  # photographs at a time, kept as one file
LEVELS = 127  # a perturbation is kept in whole multiples, up to so many, of a step of its own
FACTORS = (1.0, 1.01, 1.1)  # that is made longer, in this order, where rounding lost the goal
NEARER, HALVINGS = 0.9, 5  # at what part of its length, and how often halved, a shorter one is looked for
ONWARD = 25  # steps that go on from what a walk found
CAP = 0.05  # by what part a sphere changes at most on the way on
TURN = (0.3, 0.02)  # length of a step over the radius there, first and last
FIRM = 1e-4  # part of the spread of the logits by which a goal is to be passed, for what rounding takes


def lead(logits: Tensor, classes: Tensor, *, away: bool = False, sure: float | None = None) -> Tensor:
    """By how much a goal is reached, at least 0 where it is.

    Args:
        logits: (B, k).
        classes: (B,) long.
        away: True asks for any class but these, False for these.
        sure: the probability that these are to have; None for no more than any other has.

    Returns:
        (B,).

    Raises:
        ValueError: a probability outside of (0, 1), or one for a goal that is any other class.
    """
    if away:
        if sure is not None:
            raise ValueError(f"got the probability {sure} for any other class; expected None; leave it out.")
        return -logit_margin(logits, classes)
    if sure is None:
        return logit_margin(logits, classes)
    if not 0 < sure < 1:
        raise ValueError(f"got the probability {sure}; expected one between 0 and 1; 0.9 is usual.")
    others = logits.scatter(1, classes[:, None], -torch.inf).logsumexp(1)
    return logits.gather(1, classes[:, None])[:, 0] - others - math.log(sure / (1 - sure))


def shortest(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    away: bool = False,
    sure: float | None = None,
    steps: int = STEPS,
    chunk: int = CHUNK,
    progress: str | None = None,
) -> Distortion:
    """Short perturbations that take photographs to a class, or away from one; chunks that are finished are kept.

    Args:
        model: images in [0, 1] -> logits, in evaluation mode.
        images: (B, 3, height, width) float32 in [0, 1].
        classes: (B,) long, to which, or from which.
        away: as for :func:`lead`.
        sure: as for :func:`lead`.
        steps: passes forward and backward.
        chunk: photographs at a time.
        progress: title of a progress bar; None for none.

    Returns:
        A ``Distortion`` without penalties. Where a goal is passed already, by ``FIRM``, r = 0. Where no step of the
        walk held it, the image is the photograph; where rounding or float64 lost what a step held, it is the last that
        was tried. Success is verified in float64.

    Raises:
        TypeError: no images.
        ValueError: pixels outside of [0, 1], or a model in training mode.
    """
    check_images(images)
    if model.training:
        raise ValueError("got a model in training mode; expected one in evaluation mode; call model.eval().")
    described = cache.described(model)
    parts = []
    quiet = {"disable": True} if progress is None else {}  # else TQDM_DISABLE decides
    with tqdm(total=len(images), desc=progress, unit="image", leave=False, mininterval=1, **quiet) as bar:
        for some, aims in zip(images.split(chunk), classes.split(chunk), strict=True):
            key = {
                "model": described,
                "images": files.digest({"images": some}),
                "classes": aims.tolist(),
                "goal": [away, sure, steps],
                "code": fingerprint.of(walk),
            }
            kept = cache.load_or_make(
                "ostriches",
                key,
                lambda some=some, aims=aims: walk(model, some, aims, away=away, sure=sure, steps=steps),
            )
            parts.append((moved(some, kept), kept["success"]))
            bar.update(len(some))
    changed, success = (torch.cat(column) for column in zip(*parts, strict=True))
    sizes = rms(images, changed)
    return Distortion(changed, sizes, success, torch.full_like(sizes, torch.nan), torch.full_like(classes, steps))


def walk(
    model: nn.Module, images: Tensor, classes: Tensor, *, away: bool, sure: float | None, steps: int
) -> dict[str, Tensor]:
    """The perturbations of one chunk, in whole multiples of a step for each photograph.

    Args:
        model: as for :func:`shortest`; it is evaluated where its weights are.
        images: as for :func:`shortest`.
        classes: as for :func:`shortest`.
        away: as for :func:`lead`.
        sure: as for :func:`lead`.
        steps: as for :func:`shortest`.

    Returns:
        ``steps`` (B, 3, height, width) int8, ``unit`` (B,) float32 and ``success`` (B,) bool, on the CPU.

    Source:
        Rony et al. 2019, decoupling direction and norm, with the lead in place of the cross entropy, and spheres that
        change ever less.
    """
    device = next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), images.device)
    clean, classes = images.to(device).flatten(1), classes.to(device)
    shape, root = images.shape[1:], clean.shape[1] ** 0.5
    with torch.no_grad():
        logits = model(clean.view(-1, *shape))
    firm = FIRM * (logits.amax(1) - logits.amin(1))

    def ahead(flat: Tensor) -> Tensor:
        return lead(model(flat.view(-1, *shape)), classes, away=away, sure=sure)

    step = torch.zeros_like(clean)
    best, least = torch.zeros_like(clean), torch.full_like(firm, torch.inf)
    for number in range(steps):
        late = (1 - math.cos(math.pi * number / steps)) / 2  # from 0 to nearly 1
        growth = (GROWTH[0] + late * (GROWTH[1] - GROWTH[0])) / max(steps, 20)
        value, slope = value_and_gradient(ahead, clean + step)
        if number == 0:  # were the network linear, this far would do
            tiny = torch.finfo(slope.dtype).tiny
            start = ((firm - value) / slope.norm(dim=1).clamp(min=tiny)).clamp(NEAREST * root, FURTHEST * root)
            radius = start
        there, length = value >= firm, step.norm(dim=1)
        shorter = there & (length < least)
        best[shorter], least[shorter] = step[shorter], length[shorter]
        wider = torch.where(least.isfinite(), growth, GROWTH[0] / max(steps, 20))  # until it was reached, as at first
        radius = radius * torch.where(there, 1 - growth, 1 + wider)
        stride = start * (STRIDE[0] + late * (STRIDE[1] - STRIDE[0]))
        step = step + stride[:, None] * _unit(slope)
        step = radius[:, None] * _unit(step)
        step = (clean + step).clamp(0, 1) - clean
    goal = functools.partial(lead, classes=classes, away=away, sure=sure)
    return _rounded(model, clean.view(-1, *shape), best.view(-1, *shape), firm / 2, goal)


def moved(images: Tensor, found: Mapping[str, Tensor]) -> Tensor:
    """The images after a walk.

    Args:
        images: as for :func:`walk`.
        found: as from :func:`walk`, on the same device.

    Returns:
        (B, 3, height, width) in [0, 1].
    """
    return (images + found["steps"] * found["unit"].view(-1, 1, 1, 1)).clamp(0, 1)


def onward(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    found: Mapping[str, Tensor],
    *,
    away: bool = False,
    sure: float | None = None,
    steps: int = ONWARD,
) -> dict[str, Tensor]:
    """A walk goes on from where another one ended, on spheres that each photograph chooses by itself.

    The spheres of :func:`walk` change by a schedule, and where a network is rough they end further out than they have
    to: the goal is still held there by a wide lead. Here a sphere changes to where a straight line would just hold the
    goal.

    Args:
        model: as for :func:`shortest`; it is evaluated where its weights are.
        images: as for :func:`shortest`.
        classes: as for :func:`shortest`.
        found: as from :func:`walk`, for these and for the same goal.
        away: as for :func:`lead`.
        sure: as for :func:`lead`.
        steps: passes forward and backward.

    Returns:
        As from :func:`walk`; what was not made shorter stays as it was found.
    """
    device = next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), images.device)
    clean, classes = images.to(device).flatten(1), classes.to(device)
    shape = images.shape[1:]
    goal = functools.partial(lead, classes=classes, away=away, sure=sure)

    def of(kept: Mapping[str, Tensor]) -> Tensor:
        way = (kept["steps"] * kept["unit"].view(-1, 1, 1, 1)).to(device).flatten(1)
        return (clean + way).clamp(0, 1) - clean

    def ahead(flat: Tensor) -> Tensor:
        return goal(model(flat.view(-1, *shape)))

    with torch.no_grad():
        logits = model(clean.view(-1, *shape))
    firm = FIRM * (logits.amax(1) - logits.amin(1))
    best = step = of(found)
    least = radius = step.norm(dim=1)
    for number in range(steps):
        late = (1 - math.cos(math.pi * number / steps)) / 2  # from 0 to nearly 1
        value, slope = value_and_gradient(ahead, clean + step)
        there, length = value >= firm, step.norm(dim=1)
        shorter = there & (length < least)
        best, least = torch.where(shorter[:, None], step, best), torch.where(shorter, length, least)
        rise = (slope * step).sum(1).clamp(min=torch.finfo(slope.dtype).tiny)  # along the whole of the step
        change = (1.5 * firm - value) / rise  # aims a little beyond, so as to end inside
        radius = radius * (1 + change.clamp(-CAP, CAP))
        turn = TURN[0] + late * (TURN[1] - TURN[0])
        step = radius[:, None] * _unit(_unit(step) + turn * _unit(slope))
        step = (clean + step).clamp(0, 1) - clean
    made = _rounded(model, clean.view(-1, *shape), best.view(-1, *shape), firm / 2, goal)
    shorter = (made["success"].to(device) & (of(made).norm(dim=1) < of(found).norm(dim=1))).cpu()
    return {key: torch.where(shorter.view(-1, *[1] * (kept.ndim - 1)), made[key], kept) for key, kept in found.items()}


def _rounded(
    model: nn.Module, clean: Tensor, step: Tensor, firm: Tensor, goal: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Perturbations in whole multiples of a step, as short as they hold the goal; float64 has the last word.

    It costs several times as much as the precision of the images, in which the lengths are found.
    """
    largest = step.flatten(1).abs().amax(1).clamp(min=torch.finfo(step.dtype).tiny)
    levels = (step / largest.view(-1, 1, 1, 1) * LEVELS).round()
    unit = largest / LEVELS

    def holds(network: nn.Module, dtype: torch.dtype, factor: Tensor) -> Tensor:
        with torch.no_grad():
            tried = (clean + levels * (factor * unit).view(-1, 1, 1, 1)).clamp(0, 1)
            return goal(network(tried.to(dtype))) >= firm

    def longer(judge: Callable[[Tensor], Tensor], length: Tensor) -> tuple[Tensor, Tensor]:
        """The first of a few lengths, each for its photograph, that the judge lets pass; and whether there is one."""
        found, passed = length, torch.zeros_like(length, dtype=torch.bool)
        for factor in FACTORS:
            found = torch.where(passed, found, factor * length)
            passed = passed | judge(found)
            if bool(passed.all()):
                break
        return found, passed

    quick = functools.partial(holds, model, clean.dtype)
    high, success = longer(quick, torch.ones_like(unit))
    low = NEARER * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        good = success & quick(middle)
        low, high = torch.where(good, low, middle), torch.where(good, middle, high)
    high, success = longer(functools.partial(holds, copy.deepcopy(model).double(), torch.float64), high)
    return {"steps": levels.to(torch.int8).cpu(), "unit": (high * unit).cpu(), "success": success.cpu()}


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)
