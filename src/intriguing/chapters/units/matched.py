"""Two fairer opponents of a unit: directions read towards the end that a unit would be read at, and what removal does.

A unit is read upwards, where training wants something of it, and there its values often have a long tail: few images do
much. A random direction has no such end; its sign is a coin. So the lead of units over directions may be one of
*orientation* and say nothing about axes. The matched opponent is the same direction, read towards the end at which its
values have their longer tail. No label takes part in that choice.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.book import coherence, settings
from intriguing.book.coherence import SHOWN

TWO_SIDED = ("dense, before ReLU", "dense, axes turned", "logits", "sigmoid 1", "sigmoid 2", "sigmoid logits")
"""Layers of trained networks whose units are read towards their longer tails too.

After a ReLU many images share a unit's least value, and such a unit has no lower end. The largest value of a channel
over all positions seldom is that value, so that channels have two ends; they are read upwards all the same.
"""


def skewed(features: Tensor, directions: Tensor | None = None) -> Tensor:
    """Towards which end the values of each direction have their longer tail.

    Args:
        features: (N, D).
        directions: (M, D); None stands for the natural basis.

    Returns:
        (M,) float32: 1 where the third central moment of <phi(x), v> is at least zero, else -1.
    """
    signs = []
    count = features.shape[1] if directions is None else len(directions)
    for start in range(0, count, 500):
        stop = min(start + 500, count)
        values = features[:, start:stop] if directions is None else features @ directions[start:stop].T
        centred = values - values.mean(0)
        signs.append(torch.where(centred.pow(3).mean(0) >= 0, 1.0, -1.0))
    return torch.cat(signs)


def orientations(
    layers: Mapping[str, tuple[Tensor, Tensor]], labels: Tensor, *, directions: int, seed: int = settings.SEED
) -> pd.DataFrame:
    """Units against the directions of the survey, read as they were drawn and read towards their longer tail.

    Args:
        layers: layer -> features (N, D), and what is not used here.
        labels: (N,) long.
        directions: how many, or as many as there are units where they are more.
        seed: of the directions, that of the survey.

    Returns:
        One row for each layer and size of the sets, named as ``dense, sets of 8``. Columns: mean purity of ``units``,
        of ``directions`` and of ``oriented`` directions; the leads of units over both, ``plain`` and ``matched``; and
        ``both oriented``, the lead where units too are read towards their longer tail (NaN outside ``TWO_SIDED``).
    """
    rows = {}
    for name, (features, _) in layers.items():
        width = features.shape[1]
        generator = torch.Generator().manual_seed(seed)
        drawn = coherence.random_directions(max(directions, width), width, generator)
        turned = drawn * skewed(features, drawn)[:, None]
        counts, tenth = coherence.firing(features), len(labels) // 10
        sets = {
            kind: coherence.top(features, vectors, max(tenth, SHOWN))
            for kind, vectors in (("units", None), ("directions", drawn), ("oriented", turned))
        }
        if name in TWO_SIDED:
            sets["both"] = coherence.top(features * skewed(features), None, max(tenth, SHOWN))
        for words, k in ((f"{SHOWN}", SHOWN), ("a tenth", tenth)):
            found = {kind: coherence.purity(some[:, :k], labels) for kind, some in sets.items()}
            live = counts >= k
            units, plain, matched = (
                float(values.mean()) for values in (found["units"][live], found["directions"], found["oriented"])
            )
            both = float(found["both"][live].mean()) - matched if "both" in found else float("nan")
            rows[f"{name}, sets of {words}"] = [units, plain, matched, units - plain, units - matched, both]
    columns = ["units", "directions", "oriented", "plain", "matched", "both oriented"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


@torch.no_grad()
def ablations(head: nn.Linear, features: Tensor, labels: Tensor, *, seed: int = settings.SEED) -> pd.DataFrame:
    """What a network loses with one unit of its last hidden layer, and what with one direction beside it.

    A unit is removed by giving it its mean on every image; a direction by giving every image the mean component along
    it. Directions are as many as there are units, drawn among those that fire, so that over all of them both remove the
    same share of the layer's variance on average.

    Args:
        head: the layer that makes the logits, on the CPU.
        features: (N, D), what it is given.
        labels: (N,) long.
        seed: of the directions.

    Returns:
        Rows ``units`` and ``directions``; columns, means over all of a kind: share of the ``variance`` removed,
        increase of the cross-entropy ``loss``, share of images that are read ``otherwise``, and ``concentration``, the
        share of the increase (where there is one) that falls on the class which suffers most.

    Source:
        Morcos et al. 2018, for units.
    """
    live = (coherence.firing(features) >= SHOWN).nonzero()[:, 0]
    centred = (features - features.mean(0)).double()
    weight, logits = head.weight.double(), head(features).double()
    before, read = functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1)
    classes = torch.nn.functional.one_hot(labels).double()
    total = float(centred.square().sum())
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.zeros(len(live), features.shape[1], dtype=torch.float64)
    mixed[:, live] = coherence.random_directions(len(live), len(live), generator).double()
    rows = {}
    for kind, vectors in (("units", torch.eye(features.shape[1], dtype=torch.float64)[live]), ("directions", mixed)):
        found = []
        for vector in vectors:
            along = centred @ vector
            after = logits - along[:, None] * (weight @ vector)
            rise = functional.cross_entropy(after, labels, reduction="none") - before
            by_class = ((classes * rise[:, None]).sum(0) / classes.sum(0).clamp(min=1)).clamp(min=0)
            share = by_class.max() / by_class.sum() if bool(by_class.sum() > 0) else torch.tensor(float("nan"))
            found.append(
                [
                    float(along.square().sum()) / total,
                    float(rise.mean()),
                    float((after.argmax(1) != read).double().mean()),
                    float(share),
                ]
            )
        rows[kind] = torch.tensor(found, dtype=torch.float64).nanmean(0).tolist()
    return pd.DataFrame.from_dict(rows, orient="index", columns=["variance", "loss", "otherwise", "concentration"])
