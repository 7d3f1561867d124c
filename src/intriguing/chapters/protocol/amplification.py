"""What can be meant by amplified, on all nine such rates of Table 4: of own sets, within a half, across the halves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from torch import Tensor, nn

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import AMPLIFIED, amplify
from intriguing.book import paper
from intriguing.book.halves import HALVES
from intriguing.book.tables import error_matrix
from intriguing.data import Images

GROWTH = 1 + paper.NUMBERS["amplification"].value
EACH = f"each image to {AMPLIFIED:g}"
READINGS = (EACH, f"the set × {GROWTH:g}", f"the set to a mean of {AMPLIFIED:g}")
"""One length for all images, the factor in the paper's words, and the factor in its numbers."""
PAIRS = ("own set", "within a half", "across the halves")
"""What the network that a set was made for shares with the one that reads it."""


def longer(clean: Tensor, found: Distortion) -> dict[str, Tensor]:
    """A set amplified in each reading.

    Args:
        clean: (N, *shape) in [0, 1].
        found: the adversarial examples made from it.

    Returns:
        By reading (N, *shape), which may leave the box.
    """
    step = found.images - clean
    images = (amplify(clean, found.images), clean + GROWTH * step, clean + AMPLIFIED / float(found.rms.mean()) * step)
    return dict(zip(READINGS, images, strict=True))


def rates(halves: Mapping[str, nn.Module], images: Images, sets: Mapping[str, Distortion]) -> pd.DataFrame:
    """The amplified rows of Table 4 in each reading, and the paper's.

    Args:
        halves: name -> network, those of the table.
        images: the clean test images that the sets were made from.
        sets: name -> adversarial examples.

    Returns:
        Errors in [0, 1] by ``pair``, of ``PAIRS``, and ``rate``, "maker → reader"; columns: ``READINGS`` and ``paper``.

    Source:
        Szegedy et al. 2013, Table 4.
    """
    every = sorted(product(halves, halves), key=lambda names: PAIRS.index(_pair(*names)))
    shown = {maker: longer(images.images, found) for maker, found in sets.items()}
    columns = {}
    for reading in READINGS:
        read = error_matrix(halves, {maker: ways[reading] for maker, ways in shown.items()}, images.labels)
        columns[reading] = [dict(zip(halves, read[maker], strict=True))[reader] for maker, reader in every]
    columns["paper"] = [paper.TABLE4.value(f"{maker} amplified to {AMPLIFIED:g}", reader) for maker, reader in every]
    index = pd.MultiIndex.from_tuples([(_pair(*names), " → ".join(names)) for names in every], names=["pair", "rate"])
    return pd.DataFrame(columns, index)


def gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """How far each reading of ``rates`` is off: root mean square differences over all rates and over those of a pair.

    Returns:
        In percentage points to a tenth, by ``all`` and ``PAIRS``; columns: ``READINGS``.
    """
    squares = frame[[*READINGS]].sub(frame["paper"], axis=0).mul(100).pow(2)
    means = pd.concat([squares.mean().to_frame("all").T, squares.groupby("pair", sort=False).mean()])
    return np.sqrt(means).round(1)


def about(frame: pd.DataFrame) -> str:
    """Which reading comes nearest to the printed rates, to all and to those of each kind of pair, in sentences."""
    off, across = gaps(frame), frame.xs(PAIRS[2])
    theirs, ours = (100 * (some.max() - some.min()) for some in (across["paper"], across[[*READINGS]]))
    every = off.loc["all"].sort_values(kind="stable")
    rest = " and ".join(f"{reading} by {gap:.1f}" for reading, gap in every.iloc[1:].items())
    parts = [f"{pair}: {_nearest(off.loc[pair])}" for pair in PAIRS]
    return (
        f"Nearest to the nine printed rates comes **{every.index[0]}**, off by {every.iloc[0]:.1f} points, root mean "
        f"square; {rest}. Nearest for each kind of pair: {'; '.join(parts)}. The four printed rates across the halves "
        f"span {theirs:.1f} points, ours {ours.max():.1f} at most under any one reading."
    )


def claims(frame: pd.DataFrame) -> dict[str, bool]:
    """The claims about the readings of amplified."""
    off = gaps(frame).loc["all"]
    return {
        "One factor for a set comes nearer to the nine amplified rates of Table 4 than one length for each image": bool(
            off.min() < off[EACH]
        )
    }


def _nearest(off: pd.Series) -> str:
    least = off.min()
    return f"{' and '.join(off.index[off == least])} ({least:.1f} points)"


def _pair(maker: str, reader: str) -> str:
    if maker == reader:
        return PAIRS[0]
    return PAIRS[1 if HALVES[maker].part == HALVES[reader].part else 2]
