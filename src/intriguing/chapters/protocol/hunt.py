"""The hunt for the paper's protocol in the stored campaign: which training of the linear networks, which average.

The linear networks come first because their errors hold no luck: each has one optimum, and the images are the paper's.
A reading is chosen by Table 1 and judged by Table 2, which it has not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from intriguing.book import paper, results
from intriguing.chapters.protocol import evidence

LINEAR = paper.MODELS[:3]
AVERAGES = ("mean", "joint", "mean, read rightly", "joint, read rightly")
"""What "average distortion" may mean: over images or all pixels at once, of all images or of those read rightly."""

ERROR, SIZE = 0.005, 0.05
"""Units of a difference in Table 1: half a percentage point of an error, a twentieth of a distortion."""

BASE = ("x1", "mean")
"""What the other chapters do: the printed decay without its k, biases free, the mean over all images."""

MISFITS = [(who, "misfit") for who in ("read by linear networks", "read by the others")]
"""The columns of ``judged`` that are no counts."""

SHOWN = ("x1", "x0.1", "x0.5", "x1, biases decayed", "x0.5, biases decayed", "x0.6, biases decayed")
"""The trainings that the page lists."""


def stored() -> dict[str, Any]:
    """The campaign.

    Raises:
        ResultError: it is not there.
    """
    return results.measured("protocol", _took)


def _took(campaign: dict[str, Any]) -> float:
    """What the campaign took, and of the joint search the trainings and attacks whose time was noted."""
    noted = (seconds for line in campaign.get("costs", {}).values() for each in line.values() for seconds in each)
    return campaign["meta"]["seconds"] + sum(noted)


def words(variant: str) -> str:
    """A training as a reader would say it."""
    factor, _, rest = variant.removeprefix("x").partition(", ")
    decay = "λ" if factor == "1" else f"λ × {factor}"
    return f"{decay}, {rest}" if rest else decay


def linear(campaign: dict[str, Any], variant: str, average: str) -> pd.DataFrame:
    """Table 1 for the linear networks.

    Args:
        campaign: what ``stored`` returns.
        variant: how they were trained.
        average: of ``AVERAGES``.

    Returns:
        The columns of the paper's table.
    """
    about = campaign["linear"][variant]
    columns = {"training error": "training error", "test error": "test error", "distortion": average}
    return pd.DataFrame({title: about[name] for title, name in columns.items()}, index=list(LINEAR))


def differences(ours: pd.DataFrame) -> pd.DataFrame:
    """By how many units the rows of a Table 1 differ from the paper's."""
    printed = paper.TABLE1.to_frame().loc[ours.index]
    units = pd.DataFrame(ERROR, printed.index, printed.columns).assign(distortion=SIZE * printed["distortion"])
    return (ours - printed) / units


def ranked(campaign: dict[str, Any]) -> pd.DataFrame:
    """All trainings with all averages, the one nearest to Table 1 first.

    Returns:
        The columns ``errors`` and ``distortions``, root mean square differences in units, and ``both``; indexed by
        ``training`` and ``average``.
    """
    rows = {}
    for variant in campaign["linear"]:
        for average in AVERAGES:
            gaps = differences(linear(campaign, variant, average)).to_numpy()
            parts = (gaps[:, :2], gaps[:, 2], gaps)
            rows[variant, average] = [float(np.sqrt(np.square(part).mean())) for part in parts]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["errors", "distortions", "both"])
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["training", "average"])
    return frame.sort_values("both", kind="stable")


def table2(campaign: dict[str, Any], variant: str) -> pd.DataFrame:
    """Table 2 with linear networks of one training beside the paper's, wherever both sides were computed.

    Returns:
        Rows indexed by ``row`` and ``column``: ``paper``, ``ours``, ``spread`` over seeds, ``z`` the difference in
        standard errors of all luck, and ``linear``, whether the reader is a linear network.
    """
    found = campaign["table2"][variant]
    mean = pd.DataFrame(found["mean"], list(paper.TABLE2.rows), list(paper.MODELS), dtype=float)
    spread = pd.DataFrame(found["spread"], mean.index, mean.columns, dtype=float)
    printed = evidence.entries().loc["table2"]
    printed = printed[[not np.isnan(mean.at[place]) for place in printed.index]]
    ours = np.array([mean.at[place] for place in printed.index])
    over = np.array([spread.at[place] for place in printed.index])
    noise = np.array([row.startswith("Gaussian") for row, _ in printed.index])
    counted = np.where(noise, campaign["meta"]["training images"], campaign["meta"]["images"])
    luck = evidence.standard_errors(printed, ours, over, campaign["meta"]["seeds"], counted)
    return pd.DataFrame(
        {
            "paper": printed["paper"],
            "ours": ours,
            "spread": over,
            "z": (ours - printed["paper"]) / luck,
            "linear": [column in LINEAR for _, column in printed.index],
        }
    )


def judged(campaign: dict[str, Any], variants: tuple[str, ...] = SHOWN) -> pd.DataFrame:
    """What Table 2 says of trainings that Table 1 was asked about.

    Returns:
        By training: how many rates there are, how many lie within two standard errors, and the misfit; for the linear
        networks as readers and for the others.
    """
    rows = {}
    for variant in variants:
        part = table2(campaign, variant)
        line = []
        for some in (part[part["linear"]], part[~part["linear"]]):
            line += [len(some), int((some["z"].abs() <= 2).sum()), evidence.misfit(some["z"])]
        rows[words(variant)] = line
    titles = ["rates", "within two", "misfit"]
    columns = pd.MultiIndex.from_product([["read by linear networks", "read by the others"], titles])
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def ends(campaign: dict[str, Any]) -> pd.DataFrame:
    """FC100-100-10 at several ends of its training: means over seeds, and what the paper prints.

    Returns:
        By level: iterations; training and test error and the error under noise of 0.3 when trained on all images; and
        the error on the other half when trained on one.
    """
    rows = {}
    whole, half = campaign["ends"], campaign["ends of a half"]
    for level in sorted(set(whole) & set(half), key=lambda name: np.mean(whole[name]["iterations"])):
        one, other = whole[level], half[level]
        rows["no training error" if level == "zero" else f"at most {level}"] = [
            np.mean(one["iterations"]),
            *(np.mean(one[name]) for name in ("train", "test", "train, noise 0.3")),
            np.mean(other["part2"]),
        ]
    rows["paper"] = [
        np.nan,
        paper.TABLE1.value("FC100-100-10", "training error"),
        paper.TABLE1.value("FC100-100-10", "test error"),
        paper.TABLE2.value("Gaussian noise 0.3", "FC100-100-10"),
        paper.TABLE3.value("FC100-100-10", "error on P2"),
    ]
    columns = ["iterations", "training error", "test error", "noise 0.3", "error on the other half"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def fixed_targets(campaign: dict[str, Any]) -> pd.DataFrame:
    """What one class for a whole set does: the least and largest of some rates, those of random classes, the paper's.

    Returns:
        By pair of networks.
    """
    found = {name: np.array(slot["rates"], dtype=float) for name, slot in campaign["targets"].items()}
    always = [rates for name, rates in found.items() if name.startswith("always")]
    rows = {}
    for i, maker in enumerate(paper.MODELS):
        for j, reader in enumerate(paper.MODELS):
            values = np.array([rates[i, j] for rates in always])
            if i != j and np.isfinite(values).all():
                least, most = values.min(), values.max()
                rows[f"{maker} → {reader}"] = [least, found["random"][i, j], most, paper.TABLE2.value(maker, reader)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["least", "random", "largest", "paper"])


WAYS = {"found": "as found", "each": "each image to 0.1", "x1.7": "one factor, 1.7, for the set"}
"""What can be meant by amplified, beside what is not."""

CONTROLS = {
    "found": "its own",
    "others": "other images'",
    "others, each": "other images', each to 0.1",
    "toward": "toward a digit of the target, as long",
    "toward, each": "toward a digit of the target, to 0.1",
}


def amplified(campaign: dict[str, Any]) -> pd.DataFrame:
    """What FC100-100-10 on P1 misreads, as found and amplified in two ways, beside the rates printed for P1.

    Returns:
        By way: the mean error on the own set, and mean, least and largest error over pairs of starts; the paper's.
    """
    found, printed = campaign["amplified"], paper.TABLE4
    one, other = paper.HALF_MODELS[:2]
    rows = {}
    for way, title in WAYS.items():
        tail = "" if way == "found" else " amplified to 0.1"
        pairs = found["other start"][way]
        own = found["own"][way]
        there = [printed.value(one + tail, one), printed.value(one + tail, other), printed.value(other + tail, one)]
        rows[title] = [np.mean(own), np.mean(pairs), min(pairs), max(pairs), *there]
    columns = ["own set", "other start", "least", "largest", "paper, own set", f"paper, {one}", f"paper, {other}"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def controls(campaign: dict[str, Any]) -> pd.DataFrame:
    """What FC100-100-10 on P1 misreads when an image gets a perturbation that was not made for it."""
    own = campaign["amplified"]["own"]
    rows = {title: [np.mean(own[way]), min(own[way]), max(own[way])] for way, title in CONTROLS.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["error", "least", "largest"])


def beside_paper(campaign: dict[str, Any], variants: tuple[str, ...] = SHOWN) -> pd.DataFrame:
    """Table 1 for the linear networks under several trainings, with the distortion in two senses, and the paper's.

    Returns:
        By training; columns by network and number.
    """
    senses = {"mean": "mean", "joint, read rightly": "over pixels, read rightly"}
    lines = {}
    for variant in variants:
        frames = [linear(campaign, variant, average)["distortion"].rename(title) for average, title in senses.items()]
        frame = pd.concat([linear(campaign, variant, "mean").drop(columns="distortion"), *frames], axis=1)
        lines[words(variant)] = frame.stack()
    printed = paper.TABLE1.to_frame().loc[list(LINEAR)]
    doubled = printed.drop(columns="distortion").assign(**dict.fromkeys(senses.values(), printed["distortion"]))
    lines["paper"] = doubled.stack()
    return pd.DataFrame(lines).T[list(lines["paper"].index)]


# Sentences.


def about_campaign(campaign: dict[str, Any]) -> str:
    """What was computed, where, in a sentence."""
    meta = campaign["meta"]
    return (
        f"Computed on {meta['hardware']} with PyTorch {meta['torch']} in {meta['seconds']:.0f} s, the times of two "
        f"processes added: {len(campaign['linear'])} trainings of the three linear networks, {meta['seeds']} of "
        f"FC100-100-10 and of AE400-10 on {meta['training images']:,} images, {meta['seeds of a half']} of "
        f"FC100-100-10 on half of them, and the adversarial examples of {meta['images']:,} images drawn at random: for "
        "the networks of the base towards all nine wrong classes, for the other trainings of the linear networks "
        "towards one of them, drawn at random."
    )


def about_linear(ranking: pd.DataFrame) -> str:
    """Which training and which average Table 1 asks for, in two sentences."""
    (variant, average), best = ranking.index[0], ranking.iloc[0]
    base = ranking.loc[BASE]
    return (
        f"Nearest to Table 1 comes **{words(variant)}**, with the {_average(average)}: errors off by "
        f"{100 * ERROR * best['errors']:.2f} percentage points and distortions by {SIZE * best['distortions']:.1%}, "
        f"root mean square. The base is off by {100 * ERROR * base['errors']:.2f} points and "
        f"{SIZE * base['distortions']:.1%}."
    )


def averages(campaign: dict[str, Any], average: str) -> pd.DataFrame:
    """What the average that linear networks ask for makes of the distortions of networks with hidden units.

    Args:
        campaign: what ``stored`` returns.
        average: of ``AVERAGES``.

    Returns:
        By network: the mean over its seeds with the average of the base, ``base``, and with this one, ``chosen``; and
        ``paper``.
    """
    rows = {
        name: [*(float(np.mean(found[one])) for one in (BASE[1], average)), paper.TABLE1.value(name, "distortion")]
        for name, found in campaign["averages"].items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["base", "chosen", "paper"])


def worse(frame: pd.DataFrame) -> pd.Series:
    """Which networks of ``averages`` the chosen average takes further from the paper than that of the base."""
    return (frame["chosen"] - frame["paper"]).abs() > (frame["base"] - frame["paper"]).abs()


def about_averages(campaign: dict[str, Any], average: str) -> str:
    """Whether the average that linear networks ask for suits the other networks, with the numbers."""
    frame = averages(campaign, average)
    parts = [
        f"{name} comes to {row['chosen']:.4f} with it and to {row['base']:.4f} with the plain mean over images, "
        f"printed {row['paper']:.3f}"
        for name, row in frame.iterrows()
    ]
    against = worse(frame)
    names = " and ".join(frame.index)
    head = (
        f"{names} speak against it"
        if against.all()
        else f"{names} speak for it as well"
        if not against.any()
        else f"{names} are divided"
    )
    return f"**{head}.** Over {campaign['meta']['seeds']} seeds {'; '.join(parts)}."


def about_table2(campaign: dict[str, Any], variant: str) -> str:
    """What Table 2 says of the training that Table 1 chose, in a sentence."""
    counts = []
    for one in (BASE[0], variant):
        part = table2(campaign, one)
        read = part[part["linear"]]["z"]
        counts.append((int((read.abs() <= 2).sum()), len(read), evidence.misfit(read)))
    (before, _, old), (after, many, new) = counts
    return (
        f"Of the {many} rates of Table 2 that linear networks give, **{after}** lie within two standard errors of the "
        f"printed ones with {words(variant)}, {before} with the base; the misfit falls from {old:.2f} to {new:.2f}."
    )


def about_targets(campaign: dict[str, Any]) -> str:
    """How many printed rates one class for a whole set could have given, in a sentence."""
    frame = fixed_targets(campaign)
    inside = int(((frame["least"] <= frame["paper"]) & (frame["paper"] <= frame["largest"])).sum())
    return (
        f"Of the {len(frame)} printed rates {inside} lie between the least and the largest that one class for all "
        "images gives."
    )


def beyond(campaign: dict[str, Any], variant: str, *, errors: float = 3.0) -> pd.DataFrame:
    """The rates of Table 2 that stay further off than so many standard errors, the furthest first."""
    part = table2(campaign, variant)
    part = part[part["z"].abs() > errors].drop(columns="linear")
    part = part.loc[part["z"].abs().sort_values(ascending=False).index]
    return part.assign(**{"what it says": [_reason(campaign, *place) for place in part.index]})


def _reason(campaign: dict[str, Any], maker: str, reader: str) -> str:
    """A sentence on a rate that stays off: whether a target of one class for the whole set could have given it."""
    if maker.startswith("Gaussian"):
        return "noise: no reading of the attack touches it"
    low, _, high, printed = fixed_targets(campaign).loc[f"{maker} → {reader}"]
    inside = low <= printed <= high
    what = f"one class for all gives {low:.1%} to {high:.1%}"
    return f"{what}: it would do" if inside else f"{what}: not enough"


def summary(campaign: dict[str, Any]) -> str:
    """The outcome of the hunt, in sentences."""
    ranking = ranked(campaign)
    (variant, average), best = ranking.index[0], ranking.iloc[0]
    whole = [table2(campaign, one)["z"].abs() for one in (BASE[0], variant)]
    against = worse(averages(campaign, average))
    who = " and ".join(against.index[against])
    but = f" That average fits {who} worse than the plain mean." if who else ""
    return (
        f"Linear networks with {words(variant)}, and the {_average(average)}, meet the nine numbers of Table 1 to "
        f"{100 * ERROR * best['errors']:.2f} points and {SIZE * best['distortions']:.1%}, root mean square.{but} Of "
        f"{len(whole[1])} rates of Table 2, which had no part in the choice, {int((whole[1] <= 2).sum())} lie within "
        f"two standard errors then, and {int((whole[0] <= 2).sum())} under the base."
    )


def claims(campaign: dict[str, Any]) -> dict[str, bool]:
    """The claims of the hunt."""
    ranking, frame = ranked(campaign), ends(campaign)
    (variant, average), best = ranking.index[0], ranking.iloc[0]
    part = {one: table2(campaign, one) for one in (BASE[0], variant)}
    read = {one: evidence.misfit(frame[frame["linear"]]["z"]) for one, frame in part.items()}
    sizes = differences(linear(campaign, variant, average))["distortion"]
    early = frame.loc["no training error", "test error"]
    longer = amplified(campaign)
    asfound, there = (longer.loc[WAYS[way]].iloc[-2:] for way in ("found", "each"))
    return {
        "The errors of the linear networks ask for decayed biases": "biases decayed" in variant,
        "The distortions of the linear networks ask for images read rightly, averaged over all pixels": (
            average == "joint, read rightly"
        ),
        "The average that linear networks ask for brings the distortions of the others nearer as well": not worse(
            averages(campaign, average)
        ).any(),
        "Under the nearest training every distortion of a linear network is within 5 % of the printed one": bool(
            (sizes.abs() <= 1).all()
        ),
        "What Table 1 chooses lowers the misfit of the linear columns of Table 2": read[variant] < read[BASE[0]],
        "A network that stops at its first faultless iteration errs more on test images than the paper's": bool(
            early > 1.2 * paper.TABLE1.value("FC100-100-10", "test error")
        ),
        "The decay as printed, divided by the units, is over twice as far from Table 1, whatever is averaged": bool(
            ranking.loc["x0.1", "both"].min() > 2 * best["both"]
        ),
        "One length for each image gives less than is printed for P1, amplified; one factor for a set gives it": bool(
            longer.loc[WAYS["each"], "largest"] < there.min() <= longer.loc[WAYS["x1.7"], "other start"]
        ),
        "Both rates that are printed for P1, as found, lie within the range over starts": bool(
            longer.loc[WAYS["found"], "least"] <= asfound.min()
            and asfound.max() <= longer.loc[WAYS["found"], "largest"]
        ),
        "The best reading leaves errors of linear networks unexplained by rounding": bool(best["errors"] > 0.1),
    }


def _average(name: str) -> str:
    kind, _, who = name.partition(", ")
    return {"mean": "mean over images", "joint": "root mean square over all pixels"}[kind] + (
        " of the images that the network reads rightly" if who else " of all images"
    )
