"""What the chapter on the protocol reads off its coarse searches: sentences, and claims."""

from __future__ import annotations

import pandas as pd
from torch import Tensor


def about_coarseness(sizes: pd.DataFrame, transfer: pd.DataFrame) -> str:
    """What a coarser search costs, and where it costs nothing, in two sentences.

    Args:
        sizes: mean distortions, as ``questions.by_network`` returns them.
        transfer: mean errors of the other networks, likewise.
    """
    ladder = sizes.drop(index="one c for all")
    growth = ladder.iloc[-1] / ladder.iloc[0] - 1
    shorter = [
        f"that of {name} from {before} to {after} ({ladder.loc[before, name]:.4f} to {ladder.loc[after, name]:.4f})"
        for before, after in zip(ladder.index, ladder.index[1:], strict=False)
        for name in ladder.columns
        if ladder.loc[after, name] <= ladder.loc[before, name]
    ]
    rest = (
        f"A coarser grid makes the distortion smaller in these cases: {'; '.join(shorter)}."
        if shorter
        else "No coarser grid makes a mean distortion smaller than the finer one before it."
    )
    return (
        f"From the exact edge to a grid of ratio ten the mean distortion grows by {growth.min():.0%} for "
        f"{growth.idxmin()} and by {growth.max():.0%} for {growth.idxmax()}; the mean transfer rises from "
        f"{transfer.iloc[0].mean():.0%} to {transfer.loc[ladder.index[-1]].mean():.0%}. {rest}"
    )


def about_short_cut(away: Tensor) -> str:
    """How far the short cut ends from a search over the whole grid, in a sentence.

    Args:
        away: what ``questions.short_cut_error`` returns.
    """
    return f"The two ways of searching differ by at most {float(away.max()):.2%} of the perturbation."


def search_claims(sizes: pd.DataFrame, transfer: pd.DataFrame) -> dict[str, bool]:
    """The claims about coarse searches over c.

    Args:
        sizes: mean distortions, as ``questions.by_network`` returns them.
        transfer: mean errors of the other networks, likewise.
    """
    coarser = (frame.drop(index="exact edge") > frame.loc["exact edge"] for frame in (sizes, transfer))
    longer, further = (bool(found.all(axis=None)) for found in coarser)
    steps = sizes.drop(index="one c for all").diff().iloc[1:]
    return {
        "Every coarse search gives every network a larger mean distortion than the exact one": longer,
        "Every step to a coarser grid raises the mean distortion of every network": bool((steps > 0).all(axis=None)),
        "Every coarse search raises the mean transfer of every network": further,
    }


def short_cut_claims(away: Tensor) -> dict[str, bool]:
    """The claim that a coarse search may be computed from where the exact one ends.

    Args:
        away: what ``questions.short_cut_error`` returns.
    """
    return {"Searching the whole grid and the short cut end at the same images": bool((away < 0.01).all())}
