"""What the chapter on disjoint training sets reads off its tables: frames to show, sentences, claims with evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from intriguing.attack.distortion import Distortion
from intriguing.attack.perturbations import AMPLIFIED
from intriguing.book import markdown, paper, tables
from intriguing.book.halves import HALVES
from intriguing.book.results import Table
from intriguing.chapters.disjoint_sets.seeds import Study
from intriguing.chapters.disjoint_sets.study import Counts
from intriguing.data import Digits

Verdicts = dict[str, tuple[bool | None, str]]
"""A claim, a sentence -> whether it holds, None where that is open, and the numbers that decide it in a few words."""

DECIDED = 2.0  # standard errors by which two means have to differ, or it is open which one is larger

AMPLIFIED_ROWS = [row for row in paper.TABLE4.rows if row.endswith("amplified to 0.1")]
NOISE_ROWS = [row for row in paper.TABLE4.rows if row.startswith("Gaussian")]
_P2 = "FC100-100-10'"  # the one network of Table 4 that was trained on the second half
_LINEAR = "FC10("  # how the names of linear networks begin


def amplified_rows(forms: Mapping[str, Table]) -> pd.DataFrame:
    """The amplified rows of Table 4 under every reading of the formula, and the paper's.

    Args:
        forms: Table 4 by the form of amplification.

    Returns:
        A frame with the levels row and reading.
    """
    titles = {"printed": "0.1, not cut", "clipped": "0.1, then cut", "boxed": "0.1 after cutting"}
    versions = {titles[form]: table for form, table in forms.items()}
    return _side_by_side(versions | {"paper": paper.TABLE4}, AMPLIFIED_ROWS)


def noise_rows(forms: Mapping[str, Table]) -> pd.DataFrame:
    """The rows of noise of Table 4, with noisy pixels cut back to [0, 1] or not, and the paper's.

    Args:
        forms: Table 4 by the form of amplification, ``"printed"`` and ``"clipped"`` among them.

    Returns:
        A frame with the levels row and reading.
    """
    versions = {"not cut": forms["printed"], "cut": forms["clipped"], "paper": paper.TABLE4}
    return _side_by_side(versions, NOISE_ROWS)


def shortened(sets: Mapping[str, Distortion], table4: Table) -> str:
    """How many perturbations amplification makes shorter, and what each network misreads of its own set after it.

    Args:
        sets: name -> adversarial examples.
        table4: the table with these, in any form.

    Returns:
        A table in Markdown.
    """
    ours = table4.to_frame()
    rows = []
    for name, found in sets.items():
        longer = float((found.rms > AMPLIFIED).double().mean())
        rows.append([name, f"{longer:.1%}", f"{ours.at[f'{name} amplified to 0.1', name]:.1%}"])
    return markdown.words(["made for", "longer than 0.1 before", "own error after"], rows)


@dataclass(frozen=True)
class Growth:
    """How much amplification lengthens perturbations, as fractions; ``str`` makes sentences of it.

    Attributes:
        mean: growth of the mean length.
        share: what was added, as a part of the new length.
        typical: the median growth of a single perturbation.
        single: the mean growth of a single perturbation.
    """

    mean: float
    share: float
    typical: float
    single: float

    def __str__(self) -> str:
        return (
            f"The mean distortion grows by **{self.mean:.0%}**; what is added makes up **{self.share:.0%}** of the new "
            f"length. A single perturbation grows by {self.typical:.0%} (median) or {self.single:.0%} (mean, "
            "which the few tiny ones dominate)."
        )


def growth(sets: Mapping[str, Distortion]) -> Growth:
    """How much longer perturbations get when all are brought to one length.

    Args:
        sets: name -> adversarial examples; those that did not move are left out of the growth of single ones.

    Returns:
        A ``Growth``.

    Source:
        Szegedy et al. 2013, section 4.2: "magnifies the distortion on average by 40%, from stddev 0.06 to 0.1".
    """
    sizes = torch.cat([found.rms for found in sets.values()])
    mean, single = float(sizes.mean()), AMPLIFIED / sizes[sizes > 0] - 1
    return Growth(AMPLIFIED / mean - 1, 1 - mean / AMPLIFIED, float(tables.median(single)), float(single.mean()))


def about_read_rightly(sizes: Mapping[str, Tensor]) -> str:
    """The mean distortion over the images that a network read rightly before they were moved, in a sentence.

    Args:
        sizes: what ``tables.correct_sizes`` returns.
    """
    means = ", ".join(f"{float(lengths.mean()):.4f} ({name})" for name, lengths in sizes.items())
    return (
        "The distortion is the mean over all images. Over those alone that the network read rightly before it is "
        f"{means}."
    )


def about_shortcut(short: Distortion, long: Distortion) -> str:
    """What the short settings of the search save and cost, in a sentence.

    Args:
        short: found with the short settings.
        long: found with those of the other tables, for the same images.
    """
    return (
        f"On {len(long.rms)} images: **{float(long.evaluations.double().mean()):.0f}** evaluations and a mean "
        f"distortion of {float(long.rms.mean()):.4f} with the settings of the other tables, "
        f"**{float(short.evaluations.double().mean()):.0f}** and {float(short.rms.mean()):.4f} with the short ones."
    )


def convolutional_transfer(table2: Table, equal_noise: Table) -> pd.DataFrame:
    """The convolutional network against each of the others, and noise of the same size.

    Args:
        table2: who is fooled by whose examples, a network named ``ConvNet`` among them.
        equal_noise: the same with noise of equal size.

    Returns:
        One row for each of the other networks, fractions.
    """
    transfer, noise = table2.to_frame(), equal_noise.to_frame()
    others = [name for name in noise.columns if name != "ConvNet"]
    return pd.DataFrame(
        {
            "ConvNet reads the set": transfer.loc[others, "ConvNet"],
            "noise of that size": noise.loc[others, "ConvNet"],
            "reads the set of ConvNet": transfer.loc["ConvNet", others],
            "noise of the size of ConvNet's": noise.loc["ConvNet", others],
        }
    )


def about_outside(outside: pd.DataFrame, compared: pd.DataFrame) -> str:
    """How many of the paper's numbers lie outside, and how many of these are of a linear network, in two sentences.

    Args:
        outside: what ``seeds.outside`` returns.
        compared: what ``seeds.inside`` returns.
    """
    linear = int(outside[["row", "column"]].apply(lambda names: names.str.startswith(_LINEAR)).any(axis=1).sum())
    return (
        f"{len(outside)} of {len(compared)} numbers lie outside even then; {linear} of them involve a linear network, "
        "whose start hardly moves it. Those with the largest differences:"
    )


def about_kinds(kinds: Table) -> str:
    """How much of the transfer is left when maker and reader share less, in two sentences.

    Args:
        kinds: what ``study.kinds`` returns, with all four rows. What the readers misread of the clean images is no
            transfer.
    """
    frame = kinds.to_frame()
    above = frame["error"] - frame["clean"]
    left = above / above["same architecture, same half"]
    return (
        f"On the clean images these networks err on {frame['clean'].mean():.1%}. Above that, another "
        f"architecture alone leaves **{left['other architecture, same half']:.0%}** of the transfer, another half "
        f"alone **{left['same architecture, other half']:.0%}**, and both together "
        f"**{left['other architecture, other half']:.0%}**."
    )


def about_pair(study: Study, one: str, other: str) -> str:
    """What two networks do to each other over seeds, and in the paper's Table 4, in a sentence.

    Args:
        study: the repetitions.
        one: a network of Table 4.
        other: another one.
    """
    means, spreads, printed = study.means["table4"], study.deviations["table4"], paper.TABLE4.to_frame()
    parts = [
        f"{a} read by {b}: **{means.at[a, b]:.1%} ± {spreads.at[a, b]:.1%}** (paper {100 * printed.at[a, b]:g} %)"
        for a, b in ((one, other), (other, one))
    ]
    return "; ".join(parts) + "."


def halves_claims(
    digits: Digits,
    sets: Mapping[str, Distortion],
    table3: Table,
    forms: Mapping[str, Table],
    noise: Table,
    spread: Table,
) -> Verdicts:
    """The claims about the three networks of Tables 3 and 4.

    Args:
        digits: the data with their halves.
        sets: name -> adversarial examples, made from test images.
        table3: errors and distortions.
        forms: Table 4 by the form of amplification.
        noise: the upper rows of Table 4 with noise of equal size.
        spread: standard deviations of Table 4 over networks trained anew.

    Returns:
        Twelve claims with their verdicts. Shares that differ by less than their standard errors allow leave one open.
    """
    names, ours, equal = list(sets), forms["printed"].to_frame(), noise.to_frame()
    own, gap, doubt = _errors_by_half(digits, table3)
    pairs = [(maker, reader) for maker in names for reader in names if maker != reader]
    cross = [pair for pair in pairs if HALVES[pair[0]].part != HALVES[pair[1]].part]
    across, control, luck = ({pair: frame.at[pair] for pair in cross} for frame in (ours, equal, spread.to_frame()))
    images = min(len(found.success) for found in sets.values())
    leads = {pair: _counted(across[pair], control[pair], luck[pair], images) for pair in cross}
    mean, noisy_mean, luck_mean = (float(np.mean(list(part.values()))) for part in (across, control, luck))
    double = _counted(mean, noisy_mean, luck_mean, images, times=2)
    amplified = [ours.at[f"{maker} amplified to 0.1", reader] for maker, reader in cross]
    drops = {pair[0]: ours.at[pair] / across[pair[0], _P2] for pair in pairs if pair not in cross}
    longer = growth(sets)
    cut = max(_largest_change(forms[form], forms["printed"], AMPLIFIED_ROWS, names) for form in ("clipped", "boxed"))
    cut_noise = _largest_change(forms["clipped"], forms["printed"], NOISE_ROWS, names)
    noisy = (ours.loc[NOISE_ROWS, names] - equal.loc["no distortion", names]).max(axis=None)
    return {
        "Every test image has an adversarial example for every network": (
            all(bool(found.success.all()) for found in sets.values())
            and all(ours.at[name, name] == 1 for name in names),
            f"success {min(float(found.success.double().mean()) for found in sets.values()):.2%}, "
            f"own error {min(ours.at[name, name] for name in names):.2%}",
        ),
        "Each network reads its own half without error": (
            all(error == 0 for error in own.values()),
            f"largest error {max(own.values()):.2%}",
        ),
        "Each network errs on the other half as on the test images, to within three standard errors": (
            all(gap[name] < 3 * doubt[name] for name in names),
            ", ".join(f"{name}: {gap[name] / doubt[name]:.1f}" for name in names),
        ),
        "Networks of the other half misread more of every set than of noise of equal size": (
            _all(lead.holds for lead in leads.values()),
            f"{_spans(across.values())} against {_spans(control.values())}",
        ),
        "On average they misread over twice as much of the sets as of that noise": (
            double.holds,
            f"{double}; {double.smaller:.1%} is twice the rate under that noise",
        ),
        "The effect decreases: every set made on P1 fools the other network of P1 more than that of P2": (
            all(drop > 1 for drop in drops.values()),
            ", ".join(f"{maker}: {drop:.1f} times as much" for maker, drop in drops.items()),
        ),
        "It decreases considerably, to less than half": (
            all(drop > 2 for drop in drops.values()),
            f"smallest factor {min(drops.values()):.1f}",
        ),
        "Amplified to 0.1, every set fools a network of the other half on at least 20 % of the images": (
            bool(min(amplified) >= 0.2),
            _spans(amplified),
        ),
        "Amplification lengthens the perturbation by 40 %": (abs(longer.mean - 0.4) < 0.05, f"{longer.mean:.0%}"),
        "What amplification adds is 40 % of the new length": (abs(longer.share - 0.4) < 0.05, f"{longer.share:.0%}"),
        "Whether amplified images are cut back changes no entry by more than three points": (
            cut <= 0.03,
            f"largest change {100 * cut:.1f} points",
        ),
        "Noise of 0.06 or 0.1, not cut back, adds no more than one point to any error": (
            bool(noisy <= 0.01),
            f"at most {100 * noisy:.1f} points; cutting back moves it by {100 * cut_noise:.1f} or less",
        ),
    }


def seeds_claims(kinds: Table) -> Verdicts:
    """The claim about what another half and another architecture cost, over seeds.

    Args:
        kinds: what ``study.kinds`` returns.
    """
    error = kinds.to_frame()["error"]
    half, architecture = error["same architecture, other half"], error["other architecture, same half"]
    return {
        "Over seeds, another half costs more transfer than another architecture": (
            bool(half < architecture),
            f"{half:.1%} against {architecture:.1%}",
        )
    }


@dataclass(frozen=True)
class Lead:
    """By how much one mean error exceeds another, and how much of that may be luck; ``str`` gives the numbers.

    Attributes:
        larger: the mean error that is expected to be larger.
        smaller: the one that is expected to be smaller.
        doubt: standard error of their difference.
    """

    larger: float
    smaller: float
    doubt: float

    @property
    def holds(self) -> bool | None:
        """Whether it is larger; None where the two differ by ``DECIDED`` standard errors or less."""
        gap = self.larger - self.smaller
        return gap > 0 if abs(gap) > DECIDED * self.doubt else None

    def __str__(self) -> str:
        gap = 100 * (self.larger - self.smaller)
        return f"{self.larger:.1%} against {self.smaller:.1%}, {gap:.1f} ± {100 * self.doubt:.1f} points apart"


def lead(larger: Sequence[Tensor], smaller: Sequence[Tensor], luck: float = 0.0) -> Lead:
    """Compares the mean errors of two groups that were counted on the same images.

    Args:
        larger: for each of a group which images are misread, (N,) bool.
        smaller: likewise for the other group.
        luck: standard deviation of the difference over networks trained anew.

    Returns:
        A ``Lead``. Its doubt is that of the images, whose differences are taken one by one, together with ``luck``.
    """
    one, other = (torch.stack(list(group)).double().mean(0) for group in (larger, smaller))
    counted = float((one - other).std()) / len(one) ** 0.5
    return Lead(float(one.mean()), float(other.mean()), float(np.hypot(counted, luck)))


def convolutional_claims(
    whole: Mapping[str, Distortion],
    halved: Mapping[str, Distortion],
    counts: Counts,
    table4: Table,
) -> Verdicts:
    """The claims about convolutional networks.

    Args:
        whole: name -> adversarial examples for the networks of Table 2, ``ConvNet`` among them.
        halved: likewise for those of Table 4, ``ConvNet'`` among them.
        counts: what ``study.counted`` returns for the sets of ``whole``.
        table4: Table 4 with ``ConvNet`` and ``ConvNet'``.

    Returns:
        Five claims with their verdicts. Means that differ by less than their standard error allows leave one open.
    """
    halves = table4.to_frame()
    others = [name for name in counts.sets if name != "ConvNet"]

    def fooled(reader: str) -> list[Tensor]:
        return [readers[reader] for maker, readers in counts.sets.items() if maker != reader]

    def luck(reader: str) -> float:  # all of its errors hang on one training, so they may move together
        return float(counts.spread.loc[[maker for maker in counts.sets if maker != reader], reader].mean())

    rivals = {name: lead(fooled(name), fooled("ConvNet"), np.hypot(luck(name), luck("ConvNet"))) for name in others}
    nearest = min(rivals, key=lambda name: rivals[name].larger)
    reads = lead(fooled("ConvNet"), [counts.noise[maker]["ConvNet"] for maker in others], luck("ConvNet"))
    its_own, equal = ([part["ConvNet"][reader] for reader in others] for part in (counts.sets, counts.noise))
    fools = lead(its_own, equal, float(counts.spread.loc["ConvNet", others].mean()))
    pairs = (("ConvNet", "ConvNet'"), ("ConvNet'", "ConvNet"))
    amplified = {reader: halves.at[f"{maker} amplified to 0.1", reader] for maker, reader in pairs}
    return {
        "A convolutional network has adversarial examples near every image too": (
            bool(whole["ConvNet"].success.all() and halved["ConvNet'"].success.all()),
            f"mean distortion {float(whole['ConvNet'].rms.mean()):.3f}",
        ),
        "The sets of Table 1 fool the convolutional network more than noise of equal size, on average": (
            reads.holds,
            str(reads),
        ),
        "The convolutional network misreads least of all, on average over the sets of the others": (
            _all(rival.holds for rival in rivals.values()),
            f"{nearest} is next: {rivals[nearest]}",
        ),
        "Its own set fools the networks of Table 1 more than noise of equal size, on average": (
            fools.holds,
            str(fools),
        ),
        "Amplified to 0.1, the sets of the convolutional networks fool each other more than noise of 0.1": (
            all(bool(error > halves.at["Gaussian noise 0.1", reader]) for reader, error in amplified.items()),
            f"{_spans(amplified.values())}; before amplification {_spans(halves.at[pair] for pair in pairs)}",
        ),
    }


def listed(verdicts: Verdicts) -> str:
    """Claims with their verdicts and the evidence, as a table in Markdown.

    Args:
        verdicts: the claims.
    """
    outcome = {True: "holds", False: "**does not hold**", None: "**undecided**"}
    rows = [[claim, outcome[holds], why] for claim, (holds, why) in verdicts.items()]
    return markdown.words(["statement", "verdict", "evidence"], rows)


def _side_by_side(versions: Mapping[str, Table], rows: Sequence[str]) -> pd.DataFrame:
    return pd.concat({title: table.to_frame().loc[rows] for title, table in versions.items()}).swaplevel().loc[rows]


def _errors_by_half(digits: Digits, table3: Table) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """By network: its error on its own half; by how much those on the other half and on the test images differ; and
    the standard error of that difference."""
    own, gap, doubt = {}, {}, {}
    counts = 1 / len(digits.part1) + 1 / len(digits.test)
    for name, (part1, part2, test, _) in table3.rows.items():
        own[name], other = (part1, part2) if HALVES[name].part == "part1" else (part2, part1)
        gap[name], doubt[name] = abs(other - test), float(np.sqrt(test * (1 - test) * counts))
    return own, gap, doubt


def _counted(larger: float, smaller: float, luck: float, images: int, *, times: int = 1) -> Lead:
    """A share beside a multiple of another one, both counted on so many images."""
    counted = np.sqrt((larger * (1 - larger) + times**2 * smaller * (1 - smaller)) / images)
    return Lead(larger, times * smaller, float(np.hypot(counted, luck)))


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """Whether all hold; None where some are open and none is false."""
    verdicts = list(verdicts)
    return False if False in verdicts else None if None in verdicts else True


def _largest_change(table: Table, other: Table, rows: Sequence[str], columns: Sequence[str]) -> float:
    return float((table.to_frame() - other.to_frame()).loc[rows, columns].abs().max(axis=None))


def _spans(values: Iterable[float]) -> str:
    values = [float(value) for value in values]
    return f"{min(values):.1%} to {max(values):.1%}"
