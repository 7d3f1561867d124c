"""What the chapter on the protocol reads off its tables: sentences, and claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from torch import Tensor

from intriguing.book import results
from intriguing.book.results import Table
from intriguing.chapters.protocol import misfit
from intriguing.chapters.protocol.forensics import LEVELS, compared
from intriguing.chapters.protocol.study import BASE, Sweep

_ERRORS = ["training error", "test error"]


def spreads() -> dict[str, pd.DataFrame]:
    """The standard deviation over seeds of every entry of Tables 1 to 4, as measured in the quick profile.

    Raises:
        ResultError: it was not measured.
    """
    return {name: results.load(f"spread_{name}", "quick").to_frame() for name in misfit.TABLES}


def about_luck(images: int) -> str:
    """How large a misfit luck alone leaves, in a few sentences.

    Args:
        images: how many we attack.
    """
    spread, findings = spreads(), misfit.findings()
    counted = findings.index.isin(["table2", "table4"], level="table") & findings["kind"].eq("error")
    moved = np.array([spread[table].loc[row, column] for table, row, column in findings.index[counted]])
    return (
        "Even a protocol that is the authors' in every respect would not score zero. The luck of the paper's own "
        f"{misfit.SAMPLE} images alone leaves **{misfit.luck():.2f}**. We attack {images} images, the same ones under "
        "every protocol; and the networks on both sides began at random weights. Another start moves a rate of "
        f"Tables 2 and 4 by {np.median(moved):.1%} in the median and by {moved.max():.0%} where it moves most "
        "(standard deviation over seeds, in the quick profile of this book). With both counted in, luck leaves "
        f"**{misfit.luck(images, spread):.2f}**. What lies above that asks for a reason."
    )


def about_base(base: pd.DataFrame) -> str:
    """How far the base lies from the paper, in two sentences.

    Args:
        base: the findings under the base, as ``forensics.compared`` returns them.
    """
    z = base["z"]
    parts = ", ".join(f"{misfit.misfit(z.loc[name]):.2f} in Table {name[-1]}" for name in misfit.TABLES)
    return (
        f"The base has a misfit of **{misfit.misfit(z):.2f}**: {parts}. "
        f"In the median a number is off by {z.abs().median():.1f} units."
    )


def about_decay(wanted: pd.DataFrame) -> str:
    """Which factors on the decay the errors ask for and which the distortions, in a sentence.

    Args:
        wanted: what ``questions.asked_factors`` returns.
    """
    errors, sizes = wanted[_ERRORS].stack(), wanted["distortion"]
    return (
        f"The errors ask for {errors.min():.2f} to {errors.max():.2f} of $\\lambda$, in the median for "
        f"{errors.median():.2f}; the distortions for {sizes.min():.2f} to {sizes.max():.2f}."
    )


def about_sigmoid_decay(sigmoid: Table) -> str:
    """How much the distortion of a sigmoid network depends on its decay, in a sentence.

    Args:
        sigmoid: what ``questions.sigmoid_decay`` returns.
    """
    sizes = sigmoid.to_frame()["distortion"]
    growth = float(sizes.max() / sizes.min() - 1)
    return f"Over two decades of $\\lambda$ the distortion of FC100-100-10 varies by {growth:.0%}."


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


def held_out_shown(held_out: pd.DataFrame) -> pd.DataFrame:
    """Misfits before and after, on the tables chosen by and on the others, as words to show.

    Args:
        held_out: what ``forensics.held_out`` returns.
    """
    arrows = {
        title: [f"{before:.2f} → {after:.2f}" for before, after in held_out[columns].itertuples(index=False)]
        for title, columns in {
            "misfit there, base → chosen": ["before", "after"],
            "misfit on the other two": ["unseen before", "unseen after"],
        }.items()
    }
    return held_out[["protocol"]].assign(**arrows).rename_axis("chosen by")


def about_parts(together: Table, luck: float) -> str:
    """How much the parts of the closest protocol remove together, in two sentences.

    Args:
        together: what ``forensics.taken_apart`` returns.
        luck: the misfit that luck alone leaves.
    """
    misfits = together.to_frame()["misfit"]
    share = 1 - (misfits["chosen"] / misfits["base"]) ** 2
    return (
        f"Together they remove **{share:.0%}** of the mean squared difference between our tables and the printed ones. "
        f"The misfit falls from {misfits['base']:.2f} to {misfits['chosen']:.2f}, where luck alone would leave "
        f"{luck:.2f}."
    )


def about_remainder(base: pd.DataFrame, after: pd.DataFrame) -> str:
    """How many findings are close and how much the worst weigh, in two sentences.

    Args:
        base: the findings under the base, as ``forensics.compared`` returns them.
        after: those under the closest protocol.
    """
    close = [float((frame["z"].abs() <= 2).mean()) for frame in (base, after)]
    beyond = after["z"].abs() > 4
    heavy = (after.loc[beyond, "z"] ** 2).sum() / (after["z"] ** 2).sum()
    return (
        f"Within two units of the paper lie {close[0]:.0%} of the findings under the base and "
        f"{close[1]:.0%} under the closest protocol. {int(beyond.sum())} of {len(after)} findings, "
        f"off by more than four units, make up {heavy:.0%} of what is left."
    )


def about_all(protocol: str, together: Table, luck: float, where: pd.DataFrame) -> str:
    """The outcome of the chapter, in two sentences.

    Args:
        protocol: the closest one, in words.
        together: what ``forensics.taken_apart`` returns.
        luck: the misfit that luck alone leaves.
        where: what ``remainder.by_kind`` returns.
    """
    misfits, share = together.to_frame()["misfit"], where["share of what is left"]
    half = ", ".join(where.index[: int((share.cumsum() < 0.5).sum()) + 1])
    return (
        f"Of the readings tried, **{protocol}** brings the four tables nearest to the "
        f"printed ones: a misfit of {misfits['chosen']:.2f} after {misfits['base']:.2f}, "
        f"where luck alone would leave {luck:.2f}. More than half of what is left is in these kinds of findings: "
        f"{half}."
    )


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


def readings_claims(
    sweep: Sweep, single: Table, wanted: pd.DataFrame, held_out: pd.DataFrame, together: Table, luck: float
) -> dict[str, bool]:
    """The claims about the misfits of readings, alone and together.

    Args:
        sweep: the data and the networks.
        single: what ``forensics.one_at_a_time`` returns.
        wanted: what ``questions.asked_factors`` returns.
        held_out: what ``forensics.held_out`` returns.
        together: what ``forensics.taken_apart`` returns.
        luck: the misfit that luck alone leaves.
    """
    misfits = single.to_frame()["misfit"]
    random, nearest = (_distance(sweep, target) for target in ("random", "nearest"))
    less = wanted[_ERRORS].max(axis=1, skipna=False) < wanted["distortion"]
    return {
        "No coarse search by itself brings the tables nearer to the paper's": bool(
            (misfits[list(LEVELS["search over c"])] > misfits["base"]).all()
        ),
        "Half the decay brings the linear networks nearer to the paper, twice the decay takes them away": bool(
            misfits["λ × 0.5"] < misfits["base"] < misfits["λ × 2"]
        ),
        "Both errors of every linear network ask for less decay than its distortion": bool(less.all()),
        "A random wrong class is closer to the printed distortions than the nearest": random < nearest,
        "What one pair of tables chooses lowers the misfit of the other pair by a tenth": bool(
            (held_out["unseen after"] < 0.9 * held_out["unseen before"]).all()
        ),
        "The closest protocol still misses the paper by more than luck alone would": bool(
            together.to_frame().loc["chosen", "misfit"] > luck
        ),
    }


def short_cut_claims(away: Tensor) -> dict[str, bool]:
    """The claim that a coarse search may be computed from where the exact one ends.

    Args:
        away: what ``questions.short_cut_error`` returns.
    """
    return {"Searching the whole grid and the short cut end at the same images": bool((away < 0.01).all())}


def _distance(sweep: Sweep, target: str) -> float:
    """The mean distance from the distortions that Table 1 prints, in units."""
    found = compared(sweep, replace(BASE, target=target))
    return float(found.loc["table1"].xs("distortion", level="column")["z"].abs().mean())
