"""What the paper claims, what its companion texts claim, and the rules by which the stored runs decide each.

A claim has an identifier, a sentence, its place in the source, the chapter where it is tried, and a rule. The rule
reads the stored runs and what the sources print, so that no result here is typed in, and gives one of four verdicts:
reproduced, differs, not decided, not run. A run that is not stored is no error: the claim is then not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pandas as pd

from intriguing.book import markdown, paper, results, settings

REPRODUCED, DIFFERS, UNDECIDED, NOT_RUN = "reproduced", "differs", "not decided", "not run"

VERDICTS = (REPRODUCED, DIFFERS, UNDECIDED, NOT_RUN)
"""What may be said of a claim, in the order in which they are counted."""

TENTH = 0.1
"""How far, relatively, a single number may lie from the printed one and still count as reproduced."""

POINT = 0.01
"""By how much noise may raise the error of a network and count as harmless: one percentage point.

An error rate of a table may lie three of these from the printed one and still count as reproduced.
"""

HALF_IMAGE = 1 / 16
"""Half an image in a row of eight: units and directions count as alike where the interval of their difference holds
zero and reaches no further than that."""

LINEAR = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)")
"""The linear networks, the least decayed first."""

FIGURE7 = ("FC10(1e-4)", "FC200-200-10")
"""Those of ours that the two networks of Figure 7 are held against; which one its noise was shown to is not said."""


class Stored:
    """The stored runs of one profile, each table read once.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.
    """

    def __init__(self, profile: str | None = None) -> None:
        self.profile = profile
        self.frame = cache(self._frame)

    def _frame(self, name: str) -> pd.DataFrame:
        return results.load(name, self.profile).to_frame()

    def value(self, name: str, row: str, column: str) -> float:
        """Returns one entry of a stored table.

        Args:
            name: Of the table.
            row: Of the entry.
            column: Of the entry.

        Raises:
            MissingResult: The table is not stored.
            ResultError: The table cannot be read, or has no such entry.
        """
        return float(self.part(name, [row], [column]).iat[0, 0])

    def part(
        self, name: str, rows: Sequence[str] | None, columns: Sequence[str], *, perhaps: bool = False
    ) -> pd.DataFrame:
        """Returns some entries of a stored table, in the order asked for.

        Args:
            name: Of the table.
            rows: Names of rows; None takes all that there are.
            columns: Names of columns.
            perhaps: Whether a run may do without these rows and columns: where one of them is missing as a whole, they
                count as not stored.

        Raises:
            MissingResult: The table is not stored.
            ResultError: The table cannot be read, or lacks an entry: it was damaged, or is of another version.
        """
        frame = self.frame(name)
        rows, columns = list(frame.index if rows is None else rows), list(columns)
        lacking = [entry for entry in rows if entry not in frame.index]
        lacking += [column for column in columns if column not in frame.columns]
        if lacking and perhaps:
            raise results.MissingResult(f"the stored table {name!r} has no {lacking}")
        found = frame.reindex(index=rows, columns=columns)
        if found.empty or found.isna().any(axis=None):
            raise results.ResultError(
                f"The stored table {results.location(name, self.profile)} has no entry for some of {rows} and "
                f"{columns}; restore it from git or record it again."
            )
        return found

    def outcome(self, name: str, sentence: str) -> bool | None:
        """Returns whether a stored claim of a chapter holds, None where that is open.

        Args:
            name: Of the file, for instance ``transfer_claims``.
            sentence: The claim.

        Raises:
            MissingResult: The file does not exist.
            ResultError: The file holds no such claim.
        """
        stored = results.load_claims(name, self.profile)
        if sentence not in stored:
            raise results.ResultError(
                f"The stored run {results.location(name, self.profile)} says nothing of {sentence!r}; restore it from "
                "git or record it again."
            )
        return stored[sentence]


@dataclass(frozen=True)
class Finding:
    """What has become of a claim.

    Attributes:
        verdict: One of :data:`VERDICTS`.
        number: The number that decides it, or that goes with what does, in words; empty where nothing was run.
        because: In what way it differs, what leaves it open, or what is needed to run it; where it holds, what is to be
            added to that, mostly nothing.
    """

    verdict: str
    number: str = ""
    because: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of a source and how it is decided.

    Attributes:
        name: A short identifier.
        says: The claim, one sentence without its full stop.
        where: Its place in the source.
        chapter: The chapter that tries it.
        decide: The rule: from the stored runs to a finding.
        needs: What a run of it needs; said where the rule finds nothing stored.
    """

    name: str
    says: str
    where: str
    chapter: str
    decide: Callable[[Stored], Finding]
    needs: str = "the chapter's run"


def judged(claims: Sequence[Claim], profile: str | None = None) -> list[tuple[Claim, Finding]]:
    """Decides claims by the stored runs.

    Args:
        claims: For instance :data:`OF_THE_PAPER`.
        profile: ``quick`` or ``paper``; None takes the one of this run.

    Raises:
        ValueError: There is no such profile.
        ResultError: A stored file cannot be read.
    """
    stored = Stored(profile)
    outcome = []
    for claim in claims:
        try:
            finding = claim.decide(stored)
        except results.MissingResult:
            finding = Finding(NOT_RUN, because=f"needs {claim.needs}")
        outcome.append((claim, finding))
    return outcome


def tally(found: Sequence[tuple[Claim, Finding]]) -> dict[str, int]:
    """Counts the claims by verdict.

    Args:
        found: What :func:`judged` returns.

    Returns:
        Verdict -> count, for all four.
    """
    return {verdict: sum(finding.verdict == verdict for _, finding in found) for verdict in VERDICTS}


def table(found: Sequence[tuple[Claim, Finding]]) -> str:
    """Writes claims as a table in Markdown: what is claimed and where, the number, the verdict.

    Args:
        found: What :func:`judged` returns.
    """
    rows = [
        [
            f"**{claim.name}.** {claim.says} ({claim.where})",
            finding.number or "–",
            f"**{finding.verdict}**" + (f", {finding.because}" if finding.because else ""),
            link(claim.chapter),
        ]
        for claim, finding in found
    ]
    return markdown.words(["Claim and place", "The numbers behind it", "Verdict", "Chapter"], rows)


def link(chapter: str, folder: str = "./") -> str:
    """Returns a link to a chapter in Markdown, or its bare name where the book has no such chapter yet.

    Args:
        chapter: Its name.
        folder: Where the chapters lie, as seen from the page, with a slash at its end.
    """
    words, root = chapter.replace("_", " "), settings.checkout()
    there = root is not None and (root / "notebooks" / f"{chapter}.md").is_file()
    return f"[{words}]({folder}{chapter}.ipynb)" if there else words


def expected_purity(size: int, classes: int) -> float:
    """The mean share of the most frequent class among images drawn at random from equally frequent classes.

    Args:
        size: How many are drawn, at least 1.
        classes: How many classes there are, at least 1.

    Returns:
        A number from 1 / size to 1, exact.
    """
    # P(no class more often than m) is size! / classes^size times the coefficient of x^size in
    # (sum of x^j / j! for j up to m)^classes.
    at_most = []
    for most in range(size + 1):
        power = [1.0] + [0.0] * size
        for _ in range(classes):
            power = [sum(power[n - j] / math.factorial(j) for j in range(min(n, most) + 1)) for n in range(size + 1)]
        at_most.append(power[size] * math.factorial(size) / classes**size)
    return sum(1 - share for share in at_most[:-1]) / size


# Section 3


def lead_of_units(stored: Stored) -> tuple[float, float, float, str]:
    """Returns by how much units of the last hidden layer are purer than random directions, in rows of eight.

    Args:
        stored: The stored runs.

    Returns:
        The lead, the ends of its interval over networks, and what the directions are. They are read towards their
        longer tail, as units are, where that was measured.

    Raises:
        MissingResult: Neither comparison is stored.
        ResultError: A stored file cannot be read.
    """
    columns = ["matched", "matched, low", "matched, high"]
    try:
        lead, low, high = stored.part("units_matched", ["dense, sets of 8"], columns, perhaps=True).iloc[0]
    except results.MissingResult:
        lead, low, high = stored.part("units_purity", ["dense"], ["difference", "low", "high"]).iloc[0]
        return lead, low, high, "random directions"
    return lead, low, high, "random directions read towards their longer tail"


def _alike(difference: float, low: float, high: float, others: str, kind: str = "class") -> Finding:
    interval = f"95 % interval {8 * low:+.2f} to {8 * high:+.2f}"
    more = f"{8 * abs(difference):.2f} images {'fewer' if difference < 0 else 'more'} with units than with {others}"
    number = f"in a row of eight the commonest {kind} has {more}, {interval}"
    if low > 0:
        return Finding(DIFFERS, number, "units are ahead, though by little")
    if high < 0:
        return Finding(REPRODUCED, number, "it is directions that are ahead, though by little")
    if max(-low, high) <= HALF_IMAGE:
        return Finding(REPRODUCED, number)
    return Finding(UNDECIDED, number, "the interval holds zero and also more than half an image")


def _units_of_digits(stored: Stored) -> Finding:
    found = _alike(*lead_of_units(stored))
    found = replace(found, number=f"last hidden layer of the convolutional network: {found.number}")
    try:
        low = stored.part("units_matched", ["dense, sets of a tenth"], ["matched, low"], perhaps=True).iat[0, 0]
    except results.MissingResult:
        return found
    if found.verdict == REPRODUCED and low > 0:  # the rule that the chapter has set: neither in rows nor on large sets
        return Finding(DIFFERS, found.number, "on sets of a tenth of all images units are ahead")
    return found


def _units_of_photographs(stored: Stored) -> Finding:
    row = "last features: share of one kind"
    lead = stored.part("imagenet_units", [row], ["fair", "fair low", "fair high"]).iloc[0]
    found = _alike(*lead, "directions read at the same end", "kind")
    number = f"{found.number} (SqueezeNet)"
    try:
        nearer, low, high = stored.part(
            "imagenet_units",
            ["last features: distance in another network"],
            ["fair", "fair low", "fair high"],
            perhaps=True,
        ).iloc[0]
    except results.MissingResult:
        return Finding(found.verdict, number, found.because)
    side = "nearer to" if nearer < 0 else "further from"
    number += f"; to another network the images in the rows of units lie {100 * abs(nearer):.1f} % {side} each other"
    if high < 0:  # the judge that the chapter lets decide
        return Finding(DIFFERS, number, f"units are ahead there, if only by {-100 * high:.1f} to {-100 * low:.1f} %")
    return Finding(found.verdict, number, found.because)


def _rows_share(purity: float, chance: float, number: str) -> Finding:
    return Finding(REPRODUCED, number) if purity > 2 * chance else Finding(DIFFERS, number, "less than twice chance")


def _directions_of_digits(stored: Stored) -> Finding:
    purity, chance = stored.value("units_purity", "dense", "directions"), expected_purity(8, 10)
    return _rows_share(purity, chance, f"{8 * purity:.1f} of eight digits of one class, {8 * chance:.1f} by chance")


# Section 4, blind spots


def _every_network(stored: Stored) -> Finding:
    names = list(paper.MODELS)
    square = stored.part("table2", names, names)
    fooled = min(square.at[name, name] for name in names)
    number = f"{100 * fooled:.4g} % of the training images, for the worst of six networks"
    return Finding(REPRODUCED, number) if fooled == 1 else Finding(DIFFERS, number, "some image has none")


def _nearby(stored: Stored) -> Finding:
    found = stored.part("density_near", list(paper.MODELS), ["images", "within 0.1"])
    share = found["within 0.1"]
    number = (
        f"of {found['images'].min():.0f} test images {100 * share.min():.1f} % ({share.idxmin()}) to "
        f"{100 * share.max():.0f} % lie within an RMS of 0.1 of one"
    )
    if share.min() >= 1 - TENTH:
        return Finding(REPRODUCED, number)
    return Finding(DIFFERS, number, f"fewer than nine in ten for {', '.join(share.index[share < 1 - TENTH])}")


def _pockets(stored: Stored) -> Finding:
    names = list(paper.MODELS)
    noisy, clean = stored.part("equal_noise", names, names), stored.part("table1", names, ["training error"])
    added = max(noisy.at[name, name] - clean.at[name, "training error"] for name in names)
    number = f"noise of equal length adds at most {100 * added:.2f} points of error"
    return Finding(REPRODUCED, number) if added <= POINT else Finding(DIFFERS, number, "noise finds them too")


def _convex(stored: Stored) -> Finding:
    ratio = stored.part("refined", LINEAR, ["ratio"])["ratio"]
    number = f"{100 * (ratio.max() - 1):.1f} % longer than the shortest found on {ratio.idxmax()}, whose loss is convex"
    return Finding(REPRODUCED, number) if ratio.max() <= 1.001 else Finding(DIFFERS, number, "it is not exact")


def _ostriches(stored: Stored) -> Finding:
    images, success = stored.part("imagenet_ostriches", ["to the ostrich"], ["images", "success"]).iloc[0]
    number = f"{images * success:.0f} of {images:.0f} photographs (SqueezeNet)"
    return Finding(REPRODUCED, number) if success == 1 else Finding(DIFFERS, number, "some photograph does not")


def _figure5(stored: Stored) -> Finding:
    ours, printed = (
        stored.value("imagenet_ostriches", "to the ostrich", "per pixel"),
        _printed("figure 5 distortion"),
    )
    return _relative(
        ours,
        printed,
        "{:.6f}",
        "the network is another one, SqueezeNet, and how far the paper's own search went is not printed",
    )


def _figure6(stored: Stored) -> Finding:
    cars, unmade, size = stored.part(
        "quocnet_distortions", ["without labels"], ["cars", "unmade", "mean distortion"]
    ).iloc[0]
    number = f"{cars * unmade:.0f} of {cars:.0f} recognised cars, by a mean distortion of {size:.4f}"
    if unmade < 1:
        return Finding(DIFFERS, number, "not near every car")
    close = stored.outcome("quocnet_claims", "The change is hard to see: a mean distortion below 4 of 255 levels")
    if not close:
        return Finding(UNDECIDED, number, "the change can be seen")
    return Finding(REPRODUCED, number, "on a small network of our own")


def _figure7(name: str, key: str) -> Callable[[Stored], Finding]:
    def decide(stored: Stored) -> Finding:
        return _relative(stored.value("table1", name, "distortion"), _printed(key), "{:.4f}")

    return decide


def _figure7_noise(stored: Stored) -> Finding:
    printed, bound = _printed("figure 7 noise accuracy"), "Some network reads a third or more of the images under noise"
    told = f"printed {100 * printed:.0f} %, for one that is not named"
    try:
        frame = stored.part("noise_accuracy", list(paper.MODELS), ["free", "clipped"])
    except results.MissingResult:
        if not stored.outcome("blind_spots_claims", f"{bound} of stddev 1"):
            raise
        return Finding(UNDECIDED, f"a third or more for some network; {told}", "only this bound is stored")
    ours, cut = frame["free"], frame["clipped"]
    shown = ours[list(FIGURE7)]
    nearest = (shown - printed).abs().idxmin()
    found = _relative(shown[nearest], printed, "{:.2f}")
    each = ", ".join(f"{100 * share:.0f} % ({name})" for name, share in shown.items())
    number = f"{each}, {100 * ours.min():.0f} to {100 * ours.max():.0f} % among all six; {told}"
    reading = f"with noise that is not cut back to the box; cut back, {100 * cut.min():.0f} to {100 * cut.max():.0f} %"
    return Finding(found.verdict, number, "; ".join(filter(None, (found.because, reading))))


# Section 4.2, back-feeding


ACTIVATIONS = ("sigmoid", "ReLU")
"""Of the network of the back-feeding paragraph, which does not name one; in Tables 1 to 4 hidden units are sigmoids."""

FINISHED = 100
"""Epochs after which an error of a trained network may be held against a printed one."""


def _judged(stored: Stored, row: str) -> pd.DataFrame:
    rows = [f"{activation}, {row}" for activation in ACTIVATIONS]
    return stored.part("back_feeding", rows, ["test error", "standard deviation", "epochs"]).set_axis(ACTIVATIONS)


def _if_finished(found: Finding, ours: pd.DataFrame) -> Finding:
    """Takes a difference from a printed error back where the networks were trained for a few epochs only."""
    epochs = int(ours["epochs"].min())
    if found.verdict == REPRODUCED or epochs >= FINISHED:
        return found
    return Finding(UNDECIDED, found.number, f"trained for {epochs} epochs only, and longer training may lower it")


def _of_both(errors: pd.DataFrame) -> str:
    return ", ".join(
        f"{100 * mean:.2f} ± {100 * spread:.2f} % ({name})"
        for name, mean, spread in errors[["test error", "standard deviation"]].itertuples()
    )


def _regularised(row: str, key: str) -> Callable[[Stored], Finding]:
    def decide(stored: Stored) -> Finding:
        ours, printed = _judged(stored, row), _printed(key)
        nearest = (ours["test error"] - printed).abs().idxmin()
        found = _relative(100 * ours.at[nearest, "test error"], 100 * printed, "{:.2f} %")
        number = f"{_of_both(ours)}; printed {100 * printed:.1f} %"
        return _if_finished(Finding(found.verdict, number, found.because), ours)

    return decide


def _back_feeding(stored: Stored) -> Finding:
    ours, printed = _judged(stored, "back-feeding"), _printed("back-feeding error")
    number = f"{_of_both(ours)}; printed: below {100 * printed:.1f} %"
    below = ours.index[ours["test error"] < printed]
    if len(below):
        return Finding(REPRODUCED, number, f"with examples made anew for every batch; {_of_pools(stored)}")
    return _if_finished(Finding(DIFFERS, number, "no plan of ours comes below on average"), ours)


def _of_pools(stored: Stored) -> str:
    """What pools of minimal examples for the outputs of all layers gain, the paper's scheme as the chapter reads it."""
    gain, multiples = _gained(stored, "pools of exits against nothing")
    said = ("gained nothing certain", "gained for one of two activations", "gained")[int((multiples > 2).sum())]
    return f"pools of minimal examples, the paper's scheme as we read it, {said}: {gain.removesuffix(' gained')}"


def _gained(stored: Stored, row: str) -> tuple[str, pd.Series]:
    """What a contrast gains with both activations, in words and in standard errors."""
    rows = [f"{activation}, {row}" for activation in ACTIVATIONS]
    steps = stored.part("back_feeding_layers_contrasts", rows, ["gain", "standard error"]).set_axis(ACTIVATIONS)
    told = (f"{100 * gain:+.2f} ± {100 * error:.2f} ({name})" for name, gain, error in steps.itertuples())
    return f"{', '.join(told)} points gained", steps["gain"] / steps["standard error"]


def _higher_layers(stored: Stored) -> Finding:
    number, multiples = _gained(stored, "second hidden against input")
    if (multiples > 2).all():
        return Finding(REPRODUCED, number)
    if (multiples < -2).all():
        return Finding(DIFFERS, number, "the other way round")
    return Finding(UNDECIDED, number, "less than two standard errors, or not for both activations")


def _each_layer(stored: Stored) -> Finding:
    alone, by_input = _gained(stored, "input against nothing")
    beyond, by_all = _gained(stored, "all layers against input")
    number = f"by the input alone {alone}; by all layers beyond that {beyond}"
    if (by_all > 2).all():
        return Finding(REPRODUCED, number)
    if (by_input > 2).all() and not (by_all > 2).any():
        return Finding(DIFFERS, number, "examples for the input alone improve it")
    return Finding(UNDECIDED, number, "less than two standard errors, or not for both activations")


# Tables 1 and 2


def _table1_sizes(stored: Stored) -> Finding:
    ours = stored.part("table1", list(paper.MODELS), ["distortion"])["distortion"]
    printed = pd.Series({name: row[2] for name, row in paper.TABLE1.rows.items()})
    found = _sizes(ours, printed)
    try:
        right = stored.part("distortion_populations", list(paper.MODELS), ["correctly read"])["correctly read"]
    except results.MissingResult:
        return found
    other = _sizes(right, printed)
    aside = f"over the images read rightly before alone: {other.verdict}, {other.number}"
    return replace(found, because="; ".join(part for part in (found.because, aside) if part))


def _table1_errors(stored: Stored) -> Finding:
    columns = ["training error", "test error"]
    return _rates(stored.part("table1", list(paper.MODELS), columns), paper.TABLE1.to_frame()[columns])


def _decay(stored: Stored) -> Finding:
    sizes = stored.part("table1", LINEAR, ["distortion"])["distortion"]
    number = " < ".join(f"{size:.3f}" for size in sizes)
    number += " for λ = 10⁻⁴, 10⁻², 1"
    return (
        Finding(REPRODUCED, number) if sizes.is_monotonic_increasing else Finding(DIFFERS, number, "not in this order")
    )


def _noise_is_larger(stored: Stored) -> Finding:
    sizes = stored.part("table1", list(paper.MODELS), ["distortion"])["distortion"]
    larger = list(sizes.index[sizes > 0.1])
    number = f"{len(larger)} of {len(sizes)} above 0.1: {', '.join(larger) or 'none'}"
    return Finding(REPRODUCED, number) if larger == ["FC10(1)"] else Finding(DIFFERS, number, "not all but FC10(1)")


def _transfer(stored: Stored) -> Finding:
    names = list(paper.MODELS)
    ours, noisy = stored.part("table2", names, names), stored.part("equal_noise", names, names)
    clean = stored.part("table1", names, ["training error"])["training error"]
    printed, untouched = (
        paper.TABLE2.to_frame().loc[names, names],
        pd.Series({n: r[0] for n, r in paper.TABLE1.rows.items()}),
    )
    more = _off_diagonal(ours > noisy)
    excess, theirs = _off_diagonal(ours - clean), _off_diagonal(printed - untouched)
    number = (
        f"in {int(more.sum())} of {len(more)} pairs more than noise of equal length; over clean errors "
        f"{100 * excess.mean():.1f} points in the mean, printed {100 * theirs.mean():.1f}"
    )
    if more.mean() >= 1 - TENTH:
        return Finding(REPRODUCED, number)
    return Finding(DIFFERS, number, "not in nine pairs of ten")


def _table2(stored: Stored) -> Finding:
    names = list(paper.MODELS)
    ours, printed = stored.part("table2", names, names), paper.TABLE2.to_frame().loc[names, names]
    return _rates(ours, printed)


def _autoencoder(stored: Stored) -> Finding:
    names = list(paper.MODELS)
    square = stored.part("table2", names, names)
    means = pd.Series({name: square[name].drop(name).mean() for name in names})
    number = f"misreads {100 * means['AE400-10']:.1f} % of the others' sets in the mean; the next, {_next(means)}"
    if means.idxmin() != "AE400-10":
        return Finding(DIFFERS, number, f"{means.idxmin()} misreads fewer")
    return Finding(REPRODUCED, number, "with the errors on clean images left in, as the paper counts")


def _convolutional(stored: Stored) -> Finding:
    own = stored.value("table1_convolutional", "ConvNet", "distortion")
    rest = stored.part("table1_convolutional", None, ["distortion"])["distortion"].drop("ConvNet")
    others = f"{rest.min():.3f} to {rest.max():.3f}"
    number = f"distortion {own:.3f}; networks without convolutions on the same images {others}"
    if rest.min() <= own <= rest.max():
        return Finding(REPRODUCED, number, "as far as the length of the perturbations goes")
    return Finding(DIFFERS, number, "outside of their range")


# Tables 3 and 4


def _table3(stored: Stored) -> Finding:
    names, columns = list(paper.HALF_MODELS), ["error on P1", "error on P2", "test error"]
    rates = _rates(stored.part("table3", names, columns), paper.TABLE3.to_frame()[columns])
    sizes = _sizes(stored.part("table3", names, ["distortion"])["distortion"], paper.TABLE3.to_frame()["distortion"])
    worst = next((found for found in (rates, sizes) if found.verdict != REPRODUCED), rates)
    return Finding(worst.verdict, f"{rates.number}; {sizes.number}", worst.because)


def _other_half(stored: Stored) -> Finding:
    ours, noisy = (
        _halves(stored.part("table4", *[list(paper.HALF_MODELS)] * 2)),
        _halves(stored.part("table4_noise", *[list(paper.HALF_MODELS)] * 2)),
    )
    number = f"{_span(ours['other'])} on networks of the other half; noise of equal length {_span(noisy['other'])}"
    more = stored.outcome(
        "disjoint_claims", "Networks of the other half misread more of every set than of noise of equal size"
    )
    if more:
        return Finding(REPRODUCED, number)
    if more is None:
        return Finding(UNDECIDED, number, "two standard errors or less between some of them")
    return Finding(DIFFERS, number, "no more than noise does")


def _less_effective(stored: Stored) -> Finding:
    ours = _halves(stored.part("table4", *[list(paper.HALF_MODELS)] * 2))
    number = f"{_span(ours['other'])} on the other half, {_span(ours['same'])} on the same half"
    if max(ours["other"]) < min(ours["same"]) / 2:
        return Finding(REPRODUCED, number)
    return Finding(DIFFERS, number, "not less than half")


def _table4(stored: Stored) -> Finding:
    names = list(paper.HALF_MODELS)
    return _rates(stored.part("table4", names, names), paper.TABLE4.to_frame().loc[names, names])


def _amplified(stored: Stored) -> Finding:
    rows = [row for row in paper.TABLE4.rows if "amplified" in row]
    names = list(paper.HALF_MODELS)
    return _rates(stored.part("table4", rows, names), paper.TABLE4.to_frame().loc[rows, names])


def _magnified(stored: Stored) -> Finding:
    size = stored.part("table3", list(paper.HALF_MODELS), ["distortion"])["distortion"].mean()
    target, printed = _printed("amplified distortion"), _printed("amplification")
    growth, share = target / size - 1, 1 - size / target
    number = f"from {size:.3f} to {target:g} is {100 * growth:+.0f} %; printed {100 * printed:.0f} %"
    if abs(growth / printed - 1) <= TENTH:
        return Finding(REPRODUCED, number)
    return Finding(DIFFERS, number, f"{100 * share:.0f} % is what was added, as a part of the new length")


def _noise_on_halves(stored: Stored) -> Finding:
    names, rows = list(paper.HALF_MODELS), [row for row in paper.TABLE4.rows if row.startswith("Gaussian")]
    clean = stored.part("table3", names, ["test error"])["test error"]
    added = float((stored.part("table4", rows, names) - clean).to_numpy().max())
    number = f"at most {100 * added:.2f} points over the error on clean images"
    return Finding(REPRODUCED, number) if added <= POINT else Finding(DIFFERS, number, "more than one point")


# Section 4.3


def _table5(stored: Stored) -> Finding:
    convolutions = [row for row in paper.TABLE5.rows if row.startswith("Conv")]
    ours = stored.part("table5", [*convolutions, "FC. 3"], ["upper bound"])["upper bound"]
    return _sizes(ours, paper.TABLE5.to_frame()["upper bound"].loc[ours.index])


def _table5_rest(stored: Stored) -> Finding:
    rows = ["FC. 1", "FC. 2"]
    return _sizes(
        stored.part("table5", rows, ["upper bound"], perhaps=True)["upper bound"],
        paper.TABLE5.to_frame()["upper bound"].loc[rows],
    )


def _first_layer(stored: Stored) -> Finding:
    bound = stored.value("table5", "Conv. 1", "upper bound")
    number = f"norm {bound:.2f}, printed {paper.TABLE5.value('Conv. 1', 'upper bound'):g}"
    return Finding(REPRODUCED, number) if bound > 1 else Finding(DIFFERS, number, "it contracts")


def _formula(stored: Stored) -> Finding:
    true, printed = stored.part("table5", ["Conv. 1"], ["upper bound", "printed factor"]).iloc[0]
    number = f"{printed:.2f} for the first layer, with stride 4, whose norm is {true:.2f}"
    if printed >= true * (1 - 1e-3):
        return Finding(REPRODUCED, number)
    return Finding(DIFFERS, number, "what is printed is no upper bound where a stride is larger than one")


def _guarantee(stored: Stored) -> Finding:
    frame = stored.part("sandwich", None, ["largest ratio", "images"])
    worst, images = frame["largest ratio"], int(frame["images"].sum())
    number = f"certified radius over distance found, to the runner-up: at most {worst.max():.3f}"
    number += f", {images:,} pairs of an image and a network"
    return Finding(REPRODUCED, number) if worst.max() <= 1 else Finding(DIFFERS, number, f"broken for {worst.idxmax()}")


def _penalty(stored: Stored) -> Finding:
    parts, better = [], []
    for kind in ("sigmoid", "ReLU"):
        frame = stored.part(f"bounded_{kind}", None, ["validation error", "test error"])
        chosen = frame.loc[[row for row in frame.index if row.startswith("penalty")], "validation error"].idxmin()
        gain = frame.at["none", "test error"] - frame.at[chosen, "test error"]
        parts.append(f"{kind} {100 * gain:+.2f}")
        better.append(
            stored.outcome("bounded_claims", f"The penalty lowers the test error, beyond the wide interval: {kind}")
        )
    number = f"points of test error gained: {', '.join(parts)}"
    if all(better):
        return Finding(REPRODUCED, number)
    if all(one is False for one in better):
        return Finding(DIFFERS, number, "for none of two networks")
    return Finding(UNDECIDED, number, f"beyond chance for {'one' if any(better) else 'none'} of two networks")


# Section 5


def _rare(stored: Stored) -> Finding:
    rates = stored.part("density_rates", list(paper.MODELS), ["radius × 1"])["radius × 1"]
    least = -rates.max()
    number = f"under noise of the same length, in the median image, one in $10^{{{least:.0f}}}$ or fewer"
    number += ", by network of Table 1"
    return Finding(REPRODUCED, number) if rates.max() < -6 else Finding(DIFFERS, number, "counted under noise")


def _rare_data(stored: Stored) -> Finding:
    columns = ["with a twin", "digits with twins", "of these misread", "at most"]
    found = stored.part("density_real", list(paper.MODELS), columns)
    twins, misread, most = int(found["with a twin"].max()), int(found["of these misread"].max()), found["at most"].max()
    digits = int(found["digits with twins"].max())
    seen = "none is misread by any of six networks" if misread == 0 else f"at most {misread} are misread by a network"
    near = "a training image of their class about as near as adversarial images typically are"
    number = f"of {twins:,} test images with {near}, {seen}"
    if twins == 0 or most > 0.1:
        return Finding(UNDECIDED, number, "too few images to tell")
    if misread <= 0.01 * twins and digits < 10:
        few = "one digit only has" if digits == 1 else f"{digits} of ten digits only have"
        return Finding(UNDECIDED, number, f"{few} training images so near; for the others this test set cannot tell")
    if misread <= 0.01 * twins:
        return Finding(REPRODUCED, f"{number}, so that it happens to fewer than {100 * most:.1f} %")
    return Finding(DIFFERS, number)


def _dense(stored: Stored) -> Finding:
    balls = stored.part("density_near", list(paper.MODELS), ["certain ball"])["certain ball"]
    certain = stored.outcome(
        "density_claims", "Every rightly read image has a ball that certainly holds no adversarial image"
    )
    number = f"a ball that certainly holds none has a median RMS of {balls.min():.4f} to {balls.max():.3f}"
    number += ", by network of Table 1"
    if certain and balls.min() > 0:
        return Finding(DIFFERS, number, "every image read rightly has such a ball, so dense they are not")
    return Finding(UNDECIDED, number, "not every image has such a ball")


# Companions


def _linear_twins(stored: Stored) -> Finding:
    size = stored.value("tilting_methods", "closed form, pixels in [0, 1]", "mean distortion")
    twins = stored.outcome(
        "tilting_claims", "Every test digit tried has a twin across the boundary of the linear machine"
    )
    number = f"mean distortion {size:.3f}, twos against threes"
    return Finding(REPRODUCED, number) if twins else Finding(DIFFERS, number, "not every digit has one")


def _dimension(stored: Stored) -> Finding:
    frame = stored.part("tilting_toy", None, ["mean distance"])
    many = next((row.partition(", ")[0] for row in frame.index if not row.startswith("2 ")), "many dimensions")
    rows = ["2 dimensions, tilted", f"{many}, tilted", f"{many}, bisecting"]
    few, tilted, bisecting = stored.part("tilting_toy", rows, ["mean distance"])["mean distance"]
    number = f"tilted {few:.3f} in 2 and {tilted:.3f} in {many}; bisecting there {bisecting:.3f}"
    same = math.isclose(few, tilted, rel_tol=1e-6) and bisecting > tilted
    return Finding(REPRODUCED, number) if same else Finding(DIFFERS, number, "dimension matters")


def _regularisation(stored: Stored) -> Finding:
    angle = _levels(stored)["angle (degrees)"]
    number = f"from {angle.iloc[0]:.1f} to {angle.iloc[-1]:.0f} degrees as the regularisation falls"
    steady = angle.is_monotonic_increasing
    return Finding(REPRODUCED, number) if steady else Finding(DIFFERS, number, "not at every level")


def _perceptible(stored: Stored) -> Finding:
    size = _levels(stored)["mean distortion"]
    number = f"{size.iloc[0]:.3f} at the strongest level, {size.iloc[-1]:.3f} at the weakest"
    return (
        Finding(REPRODUCED, number)
        if size.iloc[-1] < size.iloc[0] / 2
        else Finding(DIFFERS, number, "by less than half")
    )


PARTED = ("degrees learned", "degrees overfitted", "error saved by learning", "distance lost to learning",
          "distance lost to overfitting")  # fmt: skip
"""What is read of the parts of the tilt."""


def _overfitting(stored: Stored) -> Finding:
    try:
        parts = stored.part("tilting_parts", None, PARTED).iloc[-1]
    except results.MissingResult:
        return _overfitting_of_one_machine(stored)
    learned, overfitted = parts["degrees learned"], parts["degrees overfitted"]
    number = (
        f"learning tilts the boundary by {learned:.0f} degrees and saves {100 * parts['error saved by learning']:.1f} "
        f"points of error, overfitting by {overfitted:.0f} degrees more; of the distance they take "
        f"{100 * parts['distance lost to learning']:.0f} and {100 * parts['distance lost to overfitting']:.0f} %"
    )
    most = stored.outcome("tilting_claims", "The level chosen leans by more than half of the way to the weakest")
    if most is None:
        return Finding(UNDECIDED, number, "which part of the tilt is larger lies within the interval")
    if not most:
        return Finding(REPRODUCED, number)
    tilt = "most of the tilt is learning"
    nearer = stored.outcome("tilting_claims", "Learning brings the boundary nearer by more than overfitting does")
    if nearer is None:
        tilt += ", though which of the two brings the boundary nearer by more is open"
    return Finding(DIFFERS, number, tilt)


def _overfitting_of_one_machine(stored: Stored) -> Finding:
    levels = _levels(stored)
    best = levels["test error"].idxmin()
    angle, error = levels.loc[best, ["angle (degrees)", "test error"]]
    number = (
        f"test error falls from {100 * levels['test error'].iloc[0]:.1f} to {100 * error:.1f} % while the tilt grows "
        f"to {angle:.0f} of {levels['angle (degrees)'].iloc[-1]:.0f} degrees"
    )
    if angle < levels["angle (degrees)"].iloc[-1] / 2:
        return Finding(REPRODUCED, number)
    return Finding(DIFFERS, number, "most of the tilt comes before overfitting and is learning")


def _explanation(stored: Stored) -> Finding:
    share = stored.value("explanation_usps", "along η, cut to [0, 1]", "class changes")
    number = f"{100 * share:.0f} % of the twos and eights get there, with pixels kept in [0, 1]"
    return Finding(REPRODUCED, number) if share == 1 else Finding(DIFFERS, number, "not for all")


def _product(_: Stored) -> Finding:
    number = f"the printed bounds of Table 5 multiply to {paper.TABLE5_PRODUCT:,.0f}"
    return Finding(REPRODUCED, number) if round(paper.TABLE5_PRODUCT, -3) == 793_000 else Finding(DIFFERS, number)


OF_THE_PAPER = (
    Claim(
        "Units, digits",
        "Single units of a digit network are no more meaningful than random directions",
        "section 3, Figures 1 and 2",
        "units",
        _units_of_digits,
    ),
    Claim(
        "Rows of eight",
        "The images that score highest along a random direction share what they show",
        "section 3, Figure 2",
        "units",
        _directions_of_digits,
    ),
    Claim(
        "Units, photographs",
        "The same holds for a network of photographs",
        "section 3, Figures 3 and 4",
        "photographs",
        _units_of_photographs,
        "photographs of ImageNet and a network",
    ),
    Claim(
        "Adversarial",
        "Every network studied has adversarial examples, found by a simple optimisation",
        "section 4.2",
        "transfer",
        _every_network,
    ),
    Claim(
        "Nearby",
        "They are found near virtually every test image",
        "section 5, a possible explanation",
        "density",
        _nearby,
    ),
    Claim(
        "Pockets",
        "They are hard to find by sampling at random around an image",
        "section 4",
        "transfer",
        _pockets,
    ),
    Claim(
        "Exact",
        "The penalty method yields the exact solution for convex losses",
        "section 4.1",
        "blind_spots",
        _convex,
    ),
    Claim(
        "Ostriches",
        "Sixty-four photographs drawn at random all become an ostrich",
        "Figure 5",
        "photographs",
        _ostriches,
        "photographs of ImageNet and a network",
    ),
    Claim(
        "Figure 5",
        "Their mean distortion is 0.006508",
        "Figure 5",
        "photographs",
        _figure5,
        "photographs of ImageNet and a network",
    ),
    Claim(
        "Figure 6",
        "An unsupervised network with a classifier of cars on top has adversarial examples",
        "Figure 6",
        "quocnet",
        _figure6,
        "CIFAR-10",
    ),
    Claim(
        "Figure 7a",
        "A linear network is fooled by a distortion of 0.06",
        "Figure 7",
        "blind_spots",
        _figure7(FIGURE7[0], "figure 7 linear"),
    ),
    Claim(
        "Figure 7b",
        "A sigmoid network by one of 0.063",
        "Figure 7",
        "blind_spots",
        _figure7(FIGURE7[1], "figure 7 sigmoid"),
    ),
    Claim(
        "Figure 7c",
        "Digits under noise of standard deviation 1, hardly readable, are still read rightly in half of the cases",
        "Figure 7",
        "blind_spots",
        _figure7_noise,
    ),
    Claim(
        "Back-feeding",
        "Training on adversarial examples brings a network of 100-100-10 below 1.2 % test error",
        "section 4.2",
        "back_feeding",
        _back_feeding,
    ),
    Claim(
        "Weight decay",
        "With weight decay alone such a network errs on 1.6 %",
        "section 4.2",
        "back_feeding",
        _regularised("weight decay", "weight decay error"),
    ),
    Claim(
        "Dropout",
        "With dropout on around 1.3 %",
        "section 4.2",
        "back_feeding",
        _regularised("dropout", "dropout error"),
    ),
    Claim(
        "Each layer",
        "Pools for the outputs of each layer are what improves the network",
        "section 4.2",
        "back_feeding",
        _each_layer,
    ),
    Claim(
        "Higher layers",
        "Adversarial examples for higher layers are more useful than those for the input",
        "section 4.2",
        "back_feeding",
        _higher_layers,
    ),
    Claim(
        "Convolutions",
        "Convolutional networks may behave similarly",
        "section 4.2",
        "disjoint_sets",
        _convolutional,
    ),
    Claim(
        "Table 1, distortions",
        "Mean minimum distortions of six networks",
        "Table 1",
        "transfer",
        _table1_sizes,
    ),
    Claim(
        "Table 1, errors",
        "Their errors on training and test images",
        "Table 1",
        "framework",
        _table1_errors,
    ),
    Claim(
        "Decay",
        "Even extreme weight decay leaves adversarial examples, only further away",
        "section 4.2, Table 1",
        "transfer",
        _decay,
    ),
    Claim(
        "Transfer",
        "Examples made for one network stay hard for networks trained with other hyperparameters",
        "section 4.2, Table 2",
        "transfer",
        _transfer,
    ),
    Claim(
        "Table 2",
        "How often each network misreads the sets made for the others",
        "Table 2",
        "transfer",
        _table2,
    ),
    Claim(
        "Autoencoder",
        "The autoencoder is the most resilient, yet not immune",
        "section 4.2, Table 2",
        "transfer",
        _autoencoder,
    ),
    Claim(
        "Noise of 0.1",
        "Noise of standard deviation 0.1 is larger than the perturbations of all networks but one",
        "section 4.2",
        "transfer",
        _noise_is_larger,
    ),
    Claim(
        "Table 3",
        "Errors and distortions of three networks trained on disjoint halves",
        "Table 3",
        "disjoint_sets",
        _table3,
    ),
    Claim(
        "Other data",
        "Examples stay hard for networks trained on a disjoint training set",
        "section 4.2, Table 4",
        "disjoint_sets",
        _other_half,
    ),
    Claim(
        "Less effective",
        "There their effectiveness decreases considerably",
        "section 4.2, Table 4",
        "disjoint_sets",
        _less_effective,
    ),
    Claim(
        "Table 4",
        "How often each network misreads the sets made for the others",
        "Table 4",
        "disjoint_sets",
        _table4,
    ),
    Claim(
        "Table 4, amplified",
        "How often amplified examples are misread",
        "Table 4",
        "disjoint_sets",
        _amplified,
    ),
    Claim(
        "By 40 %",
        "Amplification to 0.1 magnifies the distortion by 40 % on average",
        "section 4.2",
        "disjoint_sets",
        _magnified,
    ),
    Claim(
        "Noise of equal size",
        "Noise of the same size harms the networks of Table 4 little",
        "Table 4",
        "disjoint_sets",
        _noise_on_halves,
    ),
    Claim(
        "Table 5",
        "Upper bounds of six layers of AlexNet",
        "Table 5",
        "spectral",
        _table5,
        "weights of AlexNet",
    ),
    Claim(
        "Table 5, rest",
        "Those of its first two fully connected layers",
        "Table 5",
        "spectral",
        _table5_rest,
        "the weights of these layers, which the copy at hand lacks",
    ),
    Claim(
        "First layer",
        "Instabilities can appear as soon as in the first convolution",
        "section 4.3",
        "spectral",
        _first_layer,
        "weights of AlexNet",
    ),
    Claim(
        "Formula (1)",
        "Formula (1) gives the norm of a convolution with any stride",
        "section 4.3",
        "spectral",
        _formula,
        "weights of AlexNet",
    ),
    Claim(
        "Guarantee",
        "Small bounds guarantee that no adversarial example is near",
        "section 4.3",
        "spectral",
        _guarantee,
    ),
    Claim(
        "Penalty",
        "Penalising the bounds might improve the generalisation error",
        "section 4.3",
        "bounded",
        _penalty,
    ),
    Claim(
        "Improbable",
        "Around an image, adversarial examples are of extremely low probability",
        "sections 4 and 5",
        "density",
        _rare,
    ),
    Claim(
        "Unseen",
        "They are never, or rarely, observed in a test set",
        "section 5, a possible explanation",
        "density",
        _rare_data,
    ),
    Claim(
        "Dense",
        "Adversarial images are dense, much like the rational numbers",
        "section 5, a possible explanation",
        "density",
        _dense,
    ),
)
"""The paper's claims, by subject: units, blind spots, training on them, the tables, bounds, and how rare they are."""

COMPANIONS = (
    Claim(
        "Linear twins",
        "Linear classifiers have adversarial examples too",
        "Tanay, support vector machine on twos and threes",
        "tilting",
        _linear_twins,
    ),
    Claim(
        "Dimension",
        "A tilted boundary matters, the number of dimensions does not",
        "Tanay, toy problem",
        "tilting",
        _dimension,
    ),
    Claim(
        "Regularisation",
        "The level of regularisation sets the angle of the boundary",
        "Tanay, Figure 6",
        "tilting",
        _regularisation,
    ),
    Claim(
        "Perceptible",
        "With little regularisation the perturbation is hardly seen, with much it is clear",
        "Tanay, Figure 6",
        "tilting",
        _perceptible,
    ),
    Claim(
        "Overfitting",
        "Adversarial examples of linear classifiers are primarily due to overfitting by tilting",
        "Tanay, conclusion",
        "tilting",
        _overfitting,
    ),
    Claim(
        "Explanation",
        "Along its explanation vector a digit moves towards the other class",
        "slides, twos and eights of USPS, after Baehrens et al.",
        "explanation",
        _explanation,
        "the digits of USPS",
    ),
    Claim(
        "Product",
        "The bounds of AlexNet's layers multiply to about 793,000",
        "slides",
        "spectral",
        _product,
    ),
)
"""What the companion texts claim: the article on boundary tilting and the slides."""


def _printed(key: str) -> float:
    return paper.NUMBERS[key].value


def _relative(ours: float, printed: float, form: str, aside: str = "") -> Finding:
    """A single number against the printed one: reproduced up to a tenth of it."""
    gap = ours / printed - 1
    number = f"{form.format(ours)}, printed {form.format(printed)} ({100 * gap:+.0f} %)"
    return (
        Finding(REPRODUCED, number) if abs(gap) <= TENTH else Finding(DIFFERS, number, aside or "by more than a tenth")
    )


def _sizes(ours: pd.Series, printed: pd.Series) -> Finding:
    """Several distortions or norms: reproduced within a tenth each, open where rounding decides that."""
    gap = ours / printed - 1
    close, worst = int((gap.abs() <= TENTH).sum()), gap.abs().idxmax()
    number = f"{close} of {len(gap)} within a tenth; worst {worst}, {100 * gap[worst]:+.1f} %"
    if close == len(gap):
        return Finding(REPRODUCED, number)
    half = printed.map(paper.half_unit)
    beyond = (ours < (1 - TENTH) * (printed - half)) | (ours > (1 + TENTH) * (printed + half))
    if beyond.any():
        return Finding(DIFFERS, number, "by more than a tenth")
    return Finding(UNDECIDED, number, "the rounding of the printed number holds both answers")


def _rates(ours: pd.DataFrame, printed: pd.DataFrame) -> Finding:
    """Several error rates, entries that the search brings to 100 % left out: reproduced within three points each."""
    gap = pd.Series(
        {
            f"{column}, {'set of ' * (column in paper.TABLE2.rows or column in paper.TABLE4.rows)}"
            f"{row.removesuffix(' amplified to 0.1')}": ours.at[row, column] - printed.at[row, column]
            for row in ours.index
            for column in ours.columns
            if row != column
        }
    )
    close, worst = int((gap.abs() <= 3 * POINT + 1e-9).sum()), gap.abs().idxmax()
    number = f"{close} of {len(gap)} within three points; worst {worst}, {100 * gap[worst]:+.1f} points"
    return Finding(REPRODUCED, number) if close == len(gap) else Finding(DIFFERS, number, "by more than three points")


def _off_diagonal(square: pd.DataFrame) -> pd.Series:
    return pd.Series([square.at[row, column] for row in square.index for column in square.columns if row != column])


def _halves(square: pd.DataFrame) -> dict[str, list[float]]:
    """The rates of Table 4, by whether maker and reader were trained on the same half."""
    first, second, other = paper.HALF_MODELS
    return {
        "same": [square.at[first, second], square.at[second, first]],
        "other": [square.at[first, other], square.at[second, other], square.at[other, first], square.at[other, second]],
    }


def _span(rates: Sequence[float]) -> str:
    return f"{100 * min(rates):.1f} to {100 * max(rates):.1f} %"


def _next(means: pd.Series) -> str:
    rest = means.drop("AE400-10")
    return f"{rest.idxmin()}, {100 * rest.min():.1f} %"


def _levels(stored: Stored) -> pd.DataFrame:
    return stored.part("tilting_levels", None, ["angle (degrees)", "mean distortion", "test error"])
