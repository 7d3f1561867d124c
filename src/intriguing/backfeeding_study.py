"""Which layers does back-feeding help most? The plans that are compared, their budget, and the tables they fill.

Everything that could be chosen was chosen on a part of the training set that was held out (``trials``); the networks of
the comparison are then trained on all of the training set, and the test set is read once for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from . import paper, scale
from .backfeeding import BackFed, Budget, Plan, back_feed, layer_examples, validation_split
from .data import Digits, Images
from .results import Table
from .training import predict

Runs = Mapping[str, Sequence[BackFed]]

LAYERS = ("images", "first hidden layer", "second hidden layer")
HALF = 0.5  # how far towards the boundary the examples of the comparison are moved; see the trials
DECAY = (3e-5, 3e-5, 3e-6)
WEIGHT = 0.3  # what a batch of a pool counts beside a batch of the training set
FED = Plan(decay=DECAY, amplification=HALF, weight=WEIGHT)
PLANS = {
    "weight decay": Plan(decay=DECAY),
    "dropout": Plan(decay=DECAY, dropout=(0.1, 0.0, 0.0)),
    "input": replace(FED, pools=(0,)),
    "first hidden layer": replace(FED, pools=(1,)),
    "second hidden layer": replace(FED, pools=(2,)),
    "both hidden layers": replace(FED, pools=(1, 2)),
    "all layers": replace(FED, pools=(0, 1, 2)),
}
"""What is compared: two baselines, each layer by itself, the higher layers, and all three as the paper had it."""

_THINNED = replace(FED, dropout=PLANS["dropout"].dropout)
LONGER = {
    "weight decay": PLANS["weight decay"],
    "dropout": PLANS["dropout"],
    "dropout and input": replace(_THINNED, pools=(0,)),
    "dropout and both hidden layers": replace(_THINNED, pools=(1, 2)),
    "dropout and all layers": replace(_THINNED, pools=(0, 1, 2)),
}
"""What is trained once more for longer: the baselines, and pools on top of the better of the two."""

BUDGETS = {
    "quick": Budget(epochs=6, batch=50, rate=1e-2, pool=200, fresh=40, every=60, looks=10),
    "paper": Budget(epochs=15, rate=1e-2, pool=2000, fresh=200, every=40),
}
LONG = {"quick": 1.5, "paper": 40 / 15}  # so many times as many epochs
SEEDS = {"quick": 2, "paper": 3}
SPREADS = 4  # a rerun may differ from the stored run by this many standard deviations over seeds


@dataclass(frozen=True)
class Trial:
    """One attempt on the way to the comparison.

    Attributes:
        plan: what was tried.
        budget: in which budget at paper scale, where it differs from the default.
    """

    plan: Plan
    budget: dict[str, Any] = field(default_factory=dict)


_FIRST = {"epochs": 30}
_FAST = {"epochs": 20, "rate": 1e-2}
_FRESH = _FAST | {"pool": 1000, "fresh": 200, "every": 20}
_SHORT = {"epochs": 15, "rate": 1e-2, "pool": 2000, "fresh": 200, "every": 40}
_LOOSE = Plan(decay=(1e-5, 1e-5, 1e-6))
TRIALS = {
    "no pool, rate 0.003": Trial(_LOOSE, _FIRST),
    "first hidden layer, at the boundary": Trial(replace(_LOOSE, pools=(1,)), _FIRST),
    "second hidden layer, at the boundary": Trial(replace(_LOOSE, pools=(2,)), _FIRST),
    "input, at the boundary": Trial(replace(_LOOSE, pools=(0,)), _FIRST),
    "no pool, more decay": Trial(Plan(decay=(1e-4, 1e-4, 1e-5)), _FIRST),
    "no pool, rate 0.001": Trial(Plan(decay=(3e-5, 3e-5, 1e-5)), _FIRST | {"rate": 1e-3}),
    "first hidden layer, counting a tenth": Trial(replace(_LOOSE, pools=(1,), weight=0.1), _FIRST),
    "no pool, rate 0.01": Trial(Plan(decay=DECAY), _FAST),
    "first hidden layer, pool renewed faster": Trial(Plan(decay=DECAY, pools=(1,)), _FRESH),
    "first hidden layer, half-way": Trial(Plan(decay=DECAY, pools=(1,), amplification=HALF), _FRESH),
    "input, half-way": Trial(Plan(decay=DECAY, pools=(0,), amplification=HALF), _SHORT | {"epochs": 20}),
    "no pool, rate 0.01, more decay": Trial(Plan(decay=(1e-4, 1e-4, 1e-5)), _FAST),
    "first hidden layer, half-way, counting 0.3": Trial(replace(FED, pools=(1,)), _SHORT),
    "dropout of a tenth of the pixels": Trial(PLANS["dropout"], _FAST | {"epochs": 15}),
    "second hidden layer, half-way, counting 0.3": Trial(replace(FED, pools=(2,)), _SHORT),
    "input, at the boundary, counting 0.3": Trial(replace(FED, pools=(0,), amplification=1.0), _SHORT),
    "all layers, half-way, counting 0.3": Trial(replace(FED, pools=(0, 1, 2)), _SHORT),
    "dropout of a fifth of the pixels": Trial(Plan(decay=DECAY, dropout=(0.2, 0.0, 0.0)), _SHORT),
    "dropout of a tenth in every layer": Trial(Plan(decay=DECAY, dropout=(0.1, 0.1, 0.1)), _SHORT),
    "dropout and input": Trial(replace(_THINNED, pools=(0,)), _SHORT),
    "dropout and input, random targets": Trial(replace(_THINNED, pools=(0,), target="random"), _SHORT),
    "dropout and all layers": Trial(replace(_THINNED, pools=(0, 1, 2)), _SHORT),
    "dropout, longer": Trial(PLANS["dropout"], _SHORT | {"epochs": 40}),
    "dropout of a fifth, longer": Trial(Plan(decay=DECAY, dropout=(0.2, 0.0, 0.0)), _SHORT | {"epochs": 40}),
    "dropout and input, longer": Trial(replace(_THINNED, pools=(0,)), _SHORT | {"epochs": 40}),
    "dropout and all layers, longer": Trial(replace(_THINNED, pools=(0, 1, 2)), _SHORT | {"epochs": 40}),
    "dropout, longer still": Trial(PLANS["dropout"], _SHORT | {"epochs": 100}),
}
"""What was tried on the held-out part of the training set before the comparison, in order."""


def study(digits: Digits, plans: Mapping[str, Plan] | None = None, *, times: float = 1) -> dict[str, list[BackFed]]:
    """Every plan with every seed, trained on the whole training set and followed on the test set.

    Args:
        digits: the data of the profile.
        plans: name -> plan; by default ``PLANS``.
        times: by how much the epochs of the profile's budget are multiplied.

    Returns:
        Name of the plan -> one ``BackFed`` for each seed.
    """
    name = scale.profile().name
    budget = replace(BUDGETS[name], epochs=round(times * BUDGETS[name].epochs))
    return {
        plan: [
            back_feed(settings, budget, digits.train, digits.test, seed=seed)
            for seed in range(scale.SEED, scale.SEED + SEEDS[name])
        ]
        for plan, settings in (plans or PLANS).items()
    }


def back_feeding(runs: Runs, data: str, name: str = "back_feeding") -> Table:
    """Test error of every plan over its seeds.

    Args:
        runs: as from ``study``.
        data: the name of the data.
        name: of the table.

    Returns:
        A ``Table``. The column ``lowest on the way`` is the mean over seeds of the smallest test
        error seen in training: it reads the test set to decide when to stop, so it is a bound for any rule of
        stopping and no result.

    Source:
        Szegedy et al. 2013, section 4.2.
    """
    columns = ["test error", "standard deviation", "seeds", "best seed", "lowest on the way", "training error"]
    rows = {}
    for plan, nets in runs.items():
        error = errors(runs)[plan]
        lowest = torch.stack([net.held_out.min() for net in nets])
        training = sum(net.training for net in nets) / len(nets)
        spread = float(error.std()) if len(nets) > 1 else None
        rows[plan] = [float(error.mean()), spread, len(nets), float(error.min()), float(lowest.mean()), training]
    return Table(name, columns, rows, {"data": data})


def trials(images: Images, plans: Mapping[str, Trial] | None = None) -> Table:
    """What was tried on the way, each trained on a part of the training set and judged on the rest of it.

    Args:
        images: the training set.
        plans: name -> what was tried; by default ``TRIALS``.

    Returns:
        A ``Table`` named ``back_feeding_trials``. In the quick profile the budgets shrink to one, and only the learning
        rates differ.
    """
    fitted, chosen = validation_split(images)
    quick = scale.profile().name == "quick"
    rows = {}
    for name, trial in (plans or TRIALS).items():
        budget = Budget(**trial.budget)
        if quick:
            budget = replace(BUDGETS["quick"], epochs=2, rate=budget.rate)
        net = back_feed(trial.plan, budget, fitted, chosen)
        rows[name] = [
            budget.epochs,
            budget.rate,
            trial.plan.decay[0],
            trial.plan.weight if trial.plan.pools else None,
            trial.plan.amplification if trial.plan.pools else None,
            net.error,
            net.training,
        ]
    columns = ["epochs", "rate", "decay", "weight", "amplification", "held-out error", "training error"]
    return Table("back_feeding_trials", columns, rows, {"data": images.name})


def contrasts(
    runs: Runs, images: Images, pairs: Sequence[tuple[str, str]], name: str = "back_feeding_contrasts"
) -> Table:
    """How much less the first plan of each pair errs than the second, and how sure that is.

    Two chances are at work. Another seed gives another network, so the difference of the means has a standard error
    over seeds; another test set would hold other digits, so it has one over images, too, of the difference image by
    image, each averaged over the seeds.

    Args:
        runs: as from ``study``.
        images: the test set.
        pairs: names of two plans.
        name: of the table.

    Returns:
        A ``Table``: the gain (positive where the first plan errs less), both standard
        errors, and the root of the sum of their squares.
    """
    wrong = {
        plan: torch.stack([(predict(net.model, images.images) != images.labels).double() for net in nets])  # (S, N)
        for plan, nets in runs.items()
        if any(plan in pair for pair in pairs)
    }
    rows = {}
    for first, second in pairs:
        one, other = wrong[first], wrong[second]
        gain = float(other.mean() - one.mean())
        seeds = sum(float(part.mean(1).var()) / len(part) for part in (one, other)) ** 0.5
        over_images = float((other.mean(0) - one.mean(0)).std()) / len(images) ** 0.5
        both = (seeds**2 + over_images**2) ** 0.5
        rows[f"{first} against {second}"] = [gain, seeds, over_images, both]
    columns = ["gain", "over seeds", "over images", "standard error"]
    return Table(name, columns, rows, {"data": images.name})


def layer_distortions(runs: Runs, images: Images) -> tuple[Table, dict[str, dict[str, Tensor]]]:
    """How far the boundary lies from the test images, seen from each layer.

    Args:
        runs: as from ``study``.
        images: some of the test set; only those that a network reads correctly are attacked.

    Returns:
        A ``Table`` named ``back_feeding_distortions``, the mean over seeds for each plan and layer of the root mean
        square distance to the runner-up class; and the same by layer and plan, one entry (S,) per seed. Outputs of
        different layers have different scales, so only numbers of one layer compare.
    """
    found: dict[str, dict[str, Tensor]] = {title: {} for title in LAYERS}
    for name, nets in runs.items():
        for layer, title in enumerate(LAYERS):
            found[title][name] = torch.tensor(
                [_mean_distortion(net, images, layer) for net in nets], dtype=torch.float64
            )
    rows = {name: [float(found[title][name].mean()) for title in LAYERS] for name in runs}
    return Table("back_feeding_distortions", list(LAYERS), rows, {"data": images.name}), found


def _mean_distortion(net: BackFed, images: Images, layer: int) -> float:
    right = predict(net.model, images.images) == images.labels
    chosen = images.take(right.nonzero()[:, 0])
    device = next(net.model.parameters()).device
    pixels, labels = chosen.images.to(device), chosen.labels.to(device)
    return float(layer_examples(net.model, pixels, labels, layer, refine=True)[1].mean())


def printed() -> Table:
    """What the paper prints for the network 100-100-10, under the names of ``PLANS``; 1.2 % is an upper bound.

    Returns:
        A ``Table`` with one column, the test error.

    Source:
        Szegedy et al. 2013, section 4.2.
    """
    names = {"weight decay": "weight decay error", "dropout": "dropout error", "all layers": "back-feeding error"}
    rows = {plan: [paper.NUMBERS[name].value] for plan, name in names.items()}
    return Table("back_feeding_printed", ["test error"], rows)


def tolerances(table: Table, spread: float, images: int) -> dict[str, float]:
    """How far each column of a table of errors may lie from the stored run.

    Training amplifies rounding, so another processor or number of threads ends in other weights, much like another
    seed. Every column that is an error may move by a multiple of the spread over seeds, pooled over the plans; what was
    set beforehand may not move.

    Args:
        table: one of the tables of this module.
        spread: the pooled standard deviation over seeds of the column, or of the errors that it is made of.
        images: that the errors are counted on; the least tolerance is three of them.

    Returns:
        Column -> tolerance.
    """
    settings = {"seeds", "epochs", "rate", "decay", "weight", "amplification"}
    allowed = max(SPREADS * spread, 3 / images)
    return {column: 0.0 if column in settings else allowed for column in table.columns}


def pooled_spread(values: Mapping[str, Tensor]) -> float:
    """The standard deviation over seeds, pooled over the plans.

    Args:
        values: name of the plan -> one number for each seed, (S,), at least two.

    Returns:
        The root of the mean variance.
    """
    return float(torch.stack([part.double().var() for part in values.values()]).mean().sqrt())


def errors(runs: Runs) -> dict[str, Tensor]:
    """The test error of every plan and seed.

    Args:
        runs: as from ``study``.

    Returns:
        Name of the plan -> (S,) float64.
    """
    return {name: torch.tensor([net.error for net in nets], dtype=torch.float64) for name, nets in runs.items()}
