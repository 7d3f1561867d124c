"""Which images the paper counted under noise: blocks of the training set that show the printed errors.

Taken for counts of 256 images, the errors of the linear networks in the noise rows of Table 2 are small whole numbers;
under the weaker noise these are the nearest ones and not what is printed, for none rounds to it. A linear network has
one optimum, so that only the images, the noise and the protocol can make ours differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from intriguing.book import paper
from intriguing.chapters.protocol.evidence import SAMPLE
from intriguing.chapters.protocol.hunt import words

NOISE = ("0.1", "0.3")
DRAWS = 20_000


def printed() -> np.ndarray:
    """(2, 3) misread images of 256 nearest to what Table 2 prints: by noise, for the three linear networks."""
    rates = [[paper.TABLE2.value(f"Gaussian noise {size}", name) for name in paper.MODELS[:3]] for size in NOISE]
    return np.rint(SAMPLE * np.array(rates)).astype(int)


def compared(misread: np.ndarray, wanted: np.ndarray, *, size: int = SAMPLE, draws: int = DRAWS) -> dict[str, Any]:
    """How many blocks of consecutive images show the printed numbers, and how many images drawn at random would.

    Args:
        misread: (2, 3, N) bool, by noise and network whether an image is misread.
        wanted: (2, 3) misread images of one block.
        size: images of a block.
        draws: sets of so many images that are drawn at random with replacement.

    Returns:
        ``mean`` misread images of a block (2, 3), the number of ``blocks``, how many show the numbers of the weaker
        ``noise``, and of ``both``, and how many of so many sets drawn at random would, ``chance`` (2,).
    """
    many = misread.shape[2] // size
    counts = misread[:, :, : many * size].reshape(2, 3, many, size).sum(3)
    chance, rows = np.random.default_rng(0), np.ascontiguousarray(misread.reshape(6, -1).T)
    drawn = np.concatenate(
        [rows[chance.integers(0, len(rows), (part, size))].sum(1) for part in _parts(draws)]
    ).T.reshape(2, 3, -1)

    def hits(some: np.ndarray) -> list[int]:
        same = some == wanted[:, :, None]
        return [int(same[0].all(0).sum()), int(same.all((0, 1)).sum())]

    weak, both = hits(counts)
    return {
        "mean": size * misread.mean(2),
        "blocks": many,
        "noise": weak,
        "both": both,
        "chance": [many * one / draws for one in hits(drawn)],
    }


def _parts(draws: int, most: int = 1000) -> list[int]:
    return [min(most, draws - start) for start in range(0, draws, most)]


def table(campaign: Mapping[str, Any], trainings: Sequence[str]) -> pd.DataFrame:
    """Misread images of 256 by training of the linear networks, and the blocks that show the printed ones.

    Args:
        campaign: what ``hunt.stored`` returns.
        trainings: of the linear networks, names of ``plan.LINEAR``.

    Returns:
        Rows: the paper, then each training with pixels uncut and cut; the misread images of 256 for each noise, in the
        mean over all images, and how many blocks show the printed ones, and would if images were drawn at random.
    """

    def three(counts: Sequence[float], digits: int = 0) -> str:
        return " · ".join(f"{count:.{digits}f}" for count in counts)

    rows = {"the paper": [*map(three, printed().tolist()), "", "", "", ""]}
    for training in trainings:
        for way, one in campaign["blocks"][training].items():
            (weak, both), many = one["chance"], one["blocks"]
            shown = [f"{one['noise']} of {many}", f"{weak:.2f}", f"{one['both']} of {many}", f"{both:.2f}"]
            rows[f"{words(training)}; {way}"] = [*(three(counts, 1) for counts in one["mean"]), *shown]
    columns = [*(f"noise {size}" for size in NOISE), "as near, 0.1", "by chance", "both", "both by chance"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def about(campaign: Mapping[str, Any]) -> str:
    """How many blocks show the printed numbers under any training, and what cutting does, in sentences."""
    every = [one for ways in campaign["blocks"].values() for one in ways.values()]
    weak, both, many = sum(one["noise"] for one in every), sum(one["both"] for one in every), every[0]["blocks"]
    most = max(one["chance"][0] for one in every)
    least = min(ways["cut"]["mean"][1][0] for ways in campaign["blocks"].values())
    return (
        f"Over {len(campaign['blocks'])} trainings, with pixels uncut and cut, **{weak}** blocks of {many} show the "
        f"three counts of the weaker noise that are nearest to the print in any case, and {both} those of both. Of "
        f"{many} sets of {SAMPLE} images drawn at random {most:.2f} would, at the most. Under the stronger noise "
        f"{paper.MODELS[0]} misreads {least:.1f} of {SAMPLE} or more, in the mean over all images, where pixels are "
        f"cut; printed are {printed()[1, 0]}."
    )
