"""Figure 5: photographs drawn strictly at random, and what takes each of them to be an ostrich."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from intriguing.attack import files
from intriguing.attack.checks import check_images, check_targets
from intriguing.attack.distortion import MARGIN, Distortion
from intriguing.attack.perturbations import logit_margin, value_and_gradient
from intriguing.attack.refinement import refine
from intriguing.book import cache, fingerprint, settings

OSTRICH = 9
"""The class "ostrich, Struthio camelus"."""


LEVELS = 255  # steps between black and white in a file


CHUNK = 4  # photographs solved at a time and kept as one file: half a minute of one core, 0.8 GB


def draw(total: int, count: int, seed: int = settings.SEED) -> Tensor:
    """Which photographs are taken: a draw without replacement, and nothing looked at before or after.

    Args:
        total: how many there are.
        count: how many to draw.
        seed: of the draw.

    Returns:
        (count,) long, in the order of the draw.

    Raises:
        ValueError: more are asked for than there are.
    """
    if not 1 <= count <= total:
        raise ValueError(f"got {count} photographs to draw; expected 1 to {total} of {total}.")
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]


def attack(model: nn.Module, images: Tensor, targets: Tensor, *, progress: str | None = None) -> Distortion:
    """D(x, l) for photographs: a short perturbation, a local minimum of its length.

    The projections of :mod:`intriguing.attack.refinement` begin at the photograph itself. Where the network is so sure
    of it that thirty of them do not arrive, they begin once more at an image that :func:`overstep` has taken across;
    the penalty method, which ``minimum_distortion`` takes to for that, costs minutes for one photograph. What is found
    from such a second start can be twice as long as what the penalty method finds. Each result is verified in float64.
    Chunks that are finished are kept, so that an interruption costs half a minute.

    Args:
        model: images in [0, 1] -> logits, in evaluation mode.
        images: (B, 3, height, width) float32 in [0, 1].
        targets: (B,) long.
        progress: title of a progress bar; None for none.

    Returns:
        As for :func:`intriguing.attack.distortion.minimum_distortion` with ``refine=True``. Where it did not succeed,
        the image is the closest attempt.

    Raises:
        TypeError: as for ``minimum_distortion``.
        ValueError: as for ``minimum_distortion``.
    """
    check_images(images)
    check_targets(images, targets)
    if model.training:
        raise ValueError("got a model in training mode; expected one in evaluation mode; call model.eval().")
    described = cache.described(model)
    parts = []
    quiet = {"disable": True} if progress is None else {}  # else TQDM_DISABLE decides
    with tqdm(total=len(images), desc=progress, unit="image", leave=False, mininterval=1, **quiet) as bar:
        for some, aims in zip(images.split(CHUNK), targets.split(CHUNK), strict=True):
            key = {
                "model": described,
                "images": files.digest({"images": some}),
                "targets": aims.tolist(),
                "code": fingerprint.of(_solve),
            }
            kept = cache.load_or_make("ostriches", key, lambda some=some, aims=aims: _solve(model, some, aims))
            parts.append(kept)
            bar.update(len(some))
    return Distortion(**{field: torch.cat([part[field] for part in parts]) for field in parts[0]})


def _solve(model: nn.Module, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The fields of ``Distortion`` for one chunk."""
    exact = copy.deepcopy(model).double()
    shape = images.shape[1:]

    def classify(flat: Tensor) -> Tensor:
        return model(flat.view(-1, *shape))

    def leads(flat: Tensor) -> Tensor:
        with torch.no_grad():
            return logit_margin(exact(flat.double().view(-1, *shape)), targets)

    clean = images.flatten(1)
    with torch.no_grad():
        logits = exact(images.double())
    spread = logits.amax(1) - logits.amin(1)
    margin = MARGIN * spread
    there = logit_margin(logits, targets) > 0
    best, success = clean.clone(), there.clone()
    evaluations = torch.ones(len(images), dtype=torch.long)
    # More than is verified, for what rounding takes.
    wanted = (1.1 * margin).to(clean.dtype)
    for start in (None, overstep):
        left = (~success).nonzero()[:, 0]
        if not len(left):
            break
        begin = None
        if start is not None:
            begin, passes = start(classify, clean[left], targets[left], wanted[left])
            evaluations[left] += passes
            best[left] = begin  # the closest attempt, if all fails
        found, _, passes = refine(classify, clean[left], targets[left], wanted[left], start=begin)
        evaluations[left] += passes
        tried = best.clone()
        tried[left] = found
        good = ~success & (leads(tried) >= margin)
        best[good], success = tried[good], success | good
    rms = (best - clean).double().square().mean(1).sqrt()
    return {
        "images": best.view(images.shape),
        "rms": rms,
        "success": success,
        "penalty": torch.full_like(rms, torch.nan),
        "evaluations": evaluations,
    }


def overstep(
    classify: Callable[[Tensor], Tensor], clean: Tensor, targets: Tensor, margin: Tensor, steps: int = 200
) -> tuple[Tensor, Tensor]:
    """Take images across the boundary of their targets, by steps that would each be enough if the lead were linear.

    Args:
        classify: flat images (B', n) -> logits (B', k), differentiable.
        clean: (B, n) in [0, 1].
        targets: (B,) long.
        margin: (B,) the lead that is wanted.
        steps: the most that are taken.

    Returns:
        images (B, n), which have their margin if the steps were enough, and (B,) long, the passes made.

    Source:
        Moosavi-Dezfooli et al. 2016, here with a target and with the nearest rival chosen anew in each step.
    """
    x, passes = clean.clone(), torch.zeros(len(clean), dtype=torch.long, device=clean.device)
    going = torch.arange(len(clean), device=clean.device)
    for _ in range(steps):
        here, aims = x[going], targets[going]
        ahead, slope = value_and_gradient(lambda x, aims=aims: logit_margin(classify(x), aims), here)
        passes[going] += 1
        short = (margin[going] - ahead).clamp(min=0)
        open_ = ((here + slope).clamp(0, 1) != here).to(slope)  # a black pixel cannot get darker
        slope = slope * open_
        length = slope.square().sum(1).clamp(min=torch.finfo(slope.dtype).tiny)
        # A little more than enough, lest the last steps become ever shorter.
        step = (1.1 * short / length)[:, None] * slope
        x[going] = torch.where((short > 0)[:, None], (x[going] + step).clamp(0, 1), x[going])
        going = going[short > 0]
        if not len(going):
            break
    return x, passes


@dataclass(frozen=True)
class Amplified:
    """What becomes of perturbations that are multiplied, and saved in a file with 8 bits per colour.

    Attributes:
        factors: (F,) what they were multiplied by.
        rms: (F, B) distortion before rounding.
        probability: (F, B) probability of the target before rounding.
        hit: (F, B) bool, whether the network takes the image for its target before rounding.
        rounded_rms: (F, B) distortion after rounding to 8 bits.
        rounded_hit: (F, B) bool, whether it still does after rounding.
    """

    factors: Tensor
    rms: Tensor
    probability: Tensor
    hit: Tensor
    rounded_rms: Tensor
    rounded_hit: Tensor


def amplify(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    adversarial: Tensor,
    targets: Tensor,
    factors: Sequence[float],
    chunk: int = 16,
) -> Amplified:
    """Multiply perturbations, keep the images in [0, 1], and round them to 8 bits.

    Args:
        model: images in [0, 1] -> logits.
        images: (B, *shape) in [0, 1], the clean ones.
        adversarial: (B, *shape) in [0, 1].
        targets: (B,) long.
        factors: what the perturbations are multiplied by.
        chunk: images at a time.
    """
    columns = []
    for part in torch.arange(len(images)).split(chunk):
        clean, step, target = images[part], adversarial[part] - images[part], targets[part]
        columns.append([_row(model, clean, step, target, factor) for factor in factors])
    # (F, B) for each of the five fields: chunks side by side, factors below each other
    fields = (
        torch.stack([torch.cat([column[f][k] for column in columns]) for f in range(len(factors))]) for k in range(5)
    )
    return Amplified(torch.tensor(factors, dtype=torch.float64), *fields)


def transferred(
    models: Mapping[str, Callable[[Tensor], Tensor]], images: Tensor, labels: Tensor, sets: Mapping[str, Tensor]
) -> dict[str, list[float]]:
    """Of the photographs that a network reads correctly, the share that it misreads once they are distorted.

    Digits are read nearly without error, photographs are not: those that a network misreads undistorted prove nothing
    about the distortion.

    Args:
        models: name -> network, images -> logits.
        images: (B, *shape) in [0, 1], undistorted.
        labels: (B,) long.
        sets: name of the network they were made for -> (B, *shape), distorted.

    Returns:
        For each set the shares of the networks, in order; NaN for a network that reads no photograph correctly.
    """
    with torch.no_grad():
        right = {name: model(images).argmax(1) == labels for name, model in models.items()}
        return {
            maker: [
                float((model(distorted).argmax(1) != labels)[right[name]].double().mean())
                for name, model in models.items()
            ]
            for maker, distorted in sets.items()
        }


def rounded(images: Tensor) -> Tensor:
    """Images as a file with 8 bits per colour holds them.

    Args:
        images: in [0, 1].

    Returns:
        The same shape, multiples of 1/255.
    """
    return (images * LEVELS).round() / LEVELS


def _row(model: Callable, clean: Tensor, step: Tensor, target: Tensor, factor: float) -> tuple[Tensor, ...]:
    """The fields of ``Amplified`` for one factor."""
    image = (clean + factor * step).clamp(0, 1)
    file = rounded(image)
    with torch.no_grad():
        logits, after = model(image), model(file)
    return (
        _rms(image - clean),
        logits.softmax(1).gather(1, target[:, None])[:, 0].double(),
        logits.argmax(1) == target,
        _rms(file - clean),
        after.argmax(1) == target,
    )


def _rms(step: Tensor) -> Tensor:
    return step.double().square().flatten(1).mean(1).sqrt()
