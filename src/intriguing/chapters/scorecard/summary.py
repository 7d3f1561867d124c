"""The scorecard on one screen, in the same sentences for the chapter, the first page and the README, and five findings.

The findings are those of the first page.
"""

from __future__ import annotations

from intriguing.book import paper
from intriguing.book.results import MissingResult
from intriguing.chapters.scorecard import numbers
from intriguing.chapters.scorecard.claims import (
    COMPANIONS,
    DIFFERS,
    NOT_RUN,
    OF_THE_PAPER,
    REPRODUCED,
    UNDECIDED,
    VERDICTS,
    Claim,
    Finding,
    Stored,
    judged,
    lead_of_units,
    link,
    tally,
)

CHOSEN = (
    "Adversarial",
    "Ostriches",
    "Transfer",
    "Other data",
    "Units, digits",
    "Units, photographs",
    "Back-feeding",
    "Formula (1)",
    "Dense",
)
"""The claims that the summary names, in its order."""

WORDS = {REPRODUCED: "are reproduced", DIFFERS: "differ", UNDECIDED: "are not decided", NOT_RUN: "have not been run"}
"""What a count of each verdict is followed by."""

GREY_LEVELS = 255
"""Steps between black and white in a photograph of 8 bits."""

_EXCITED = "Among the eight digits that excite a unit in a convolutional network's last hidden layer most,"


def summary(profile: str | None = None, folder: str = "./") -> str:
    """Returns the scorecard on one screen, in Markdown.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.
        folder: Where the chapters lie, as seen from the page, with a slash at its end.

    Raises:
        ValueError: There is no such profile.
        ResultError: A stored file cannot be read.
    """
    found = judged(OF_THE_PAPER, profile)
    by_name = {claim.name: (claim, finding) for claim, finding in found}
    lines = [
        f"**Of {len(found)} claims of the paper {_counted(tally(found))}.** "
        f"Of {len(COMPANIONS)} claims of its companion texts {_counted(tally(judged(COMPANIONS, profile)))}.",
        "",
        *(_bullet(*by_name[name], folder) for name in CHOSEN),
        "",
        printed(profile),
    ]
    return "\n".join(lines)


def printed(profile: str | None = None) -> str:
    """Says in words how near our numbers come to those that the paper prints, and which lie furthest away.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.
    """
    found = numbers.everything(profile)
    total = numbers.counts(found).sum()
    if not total["computed"]:
        return "No printed number has been computed again so far."
    furthest = numbers.worst_lines(found, 3)
    return (
        f"Of {total['printed']} findings that the paper prints as numbers, not counting two that stand among the "
        f"claims only, {total['computed']} have been computed again. Of these, {total['close']} lie within 1 "
        f"percentage point (errors) or 5 % (distortions and norms), {total['near']} more within 3 points or 10 %, "
        f"{total['far']} more within 10 points or 20 %, and {total['beyond']} beyond. Furthest off: "
        f"{'; '.join(furthest)}."
    )


def findings(profile: str | None = None, folder: str = "./") -> str:
    """Returns five findings of the book as a numbered list in Markdown, each with its number and a link.

    Args:
        profile: ``quick`` or ``paper``; None takes the one of this run.
        folder: Where the chapters lie, as seen from the page, with a slash at its end.

    Raises:
        ValueError: There is no such profile.
        ResultError: A stored file cannot be read.
    """
    stored, items = Stored(profile), []
    for finding, chapter in (
        (_near, "transfer"),
        (_photographs, "photographs"),
        (_travel, "disjoint_sets"),
        (_space, "units"),
        (_tilt, "tilting"),
    ):
        try:
            items.append(f"{finding(stored)} ({link(chapter, folder)})")
        except MissingResult:
            items.append(f"Not run yet ({link(chapter, folder)}).")
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))


def _counted(counted: dict[str, int]) -> str:
    parts = [f"{counted[verdict]} {_verb(verdict, counted[verdict])}" for verdict in VERDICTS if counted[verdict]]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def _verb(verdict: str, count: int) -> str:
    one = {REPRODUCED: "is reproduced", DIFFERS: "differs", UNDECIDED: "is not decided", NOT_RUN: "has not been run"}
    return one[verdict] if count == 1 else WORDS[verdict]


def _bullet(claim: Claim, finding: Finding, folder: str) -> str:
    what = "; ".join(part for part in (finding.number, finding.because) if part)
    return f"* *{claim.says}*: **{finding.verdict}**; {what} ({link(claim.chapter, folder)})."


def _near(stored: Stored) -> str:
    names = list(paper.MODELS)
    sizes = stored.part("table1", names, ["distortion"])["distortion"]
    noisy, clean = stored.part("equal_noise", names, names), stored.part("table1", names, ["training error"])
    added = max(noisy.at[name, name] - clean.at[name, "training error"] for name in names)
    return (
        f"**Every digit has a twin.** For each of six networks, every training image has another one beside it that "
        f"is read as a class drawn at random, at a mean distance of {sizes.min():.3f} to {sizes.max():.3f} (root mean "
        f"square per pixel, between black at 0 and white at 1; zero for an image that is read so already). Random "
        f"noise of the same length adds at most {100 * added:.1f} percentage points of error."
    )


def _photographs(stored: Stored) -> str:
    images, success, size = stored.part(
        "imagenet_ostriches", ["to the ostrich"], ["images", "success", "mean distortion"]
    ).iloc[0]
    return (
        f"**Photographs need less.** {images * success:.0f} of {images:.0f} photographs become an ostrich for "
        f"SqueezeNet by changes of {size:.4f} in the mean (root mean square over all colour values), "
        f"{GREY_LEVELS * size:.2f} of one level among {GREY_LEVELS + 1}. On a digit the change can be seen."
    )


def _travel(stored: Stored) -> str:
    halves = [list(paper.HALF_MODELS)] * 2
    first, second, other = paper.HALF_MODELS
    pairs = [(first, other), (second, other), (other, first), (other, second)]
    ours, noisy = stored.part("table4", *halves), stored.part("table4_noise", *halves)
    louder = stored.part("table4", [f"{name} amplified to 0.1" for name in halves[0]], halves[1])
    means = [
        100 * sum(frame.at[one + suffix, two] for one, two in pairs) / len(pairs)
        for frame, suffix in ((ours, ""), (noisy, ""), (louder, " amplified to 0.1"))
    ]
    return (
        f"**Twins of digits travel, but weakly.** A sigmoid network trained on other images misreads {means[0]:.1f} % "
        f"of them in the mean, against {means[1]:.1f} % under noise of the same length; brought to 0.1, "
        f"{means[2]:.0f} %."
    )


def _space(stored: Stored) -> str:
    try:
        columns = ["lead", "lead, low", "lead, high", "matched", "matched, low", "matched, high"]
        few, many = (
            stored.part("units_matched", [f"dense, sets of {size}"], columns, perhaps=True).iloc[0]
            for size in ("8", "a tenth")
        )
    except MissingResult:
        return _unmatched(stored)
    ahead = few["matched, low"] > 0 or many["matched, low"] > 0
    gone = max(few["lead, low"], many["lead, low"]) > 0 and not ahead
    head = "Units are special" if ahead else "Units are hardly special"
    if gone:
        head = "A unit leads by the end at which it is read"
    ends = (f"{8 * few[f'{lead}, low']:+.2f} to {8 * few[f'{lead}, high']:+.2f}" for lead in ("lead", "matched"))
    wide = (f"{100 * many[f'{lead}, low']:+.1f} to {100 * many[f'{lead}, high']:+.1f}" for lead in ("lead", "matched"))
    return (
        f"**{head}.** {_EXCITED} {8 * abs(few['lead']):.2f} {'more' if few['lead'] > 0 else 'fewer'} share one class "
        f"than along random directions (95 % interval over networks {next(ends)}). But such a unit is read at the end "
        f"where few images do much. Read directions at that end too, and the difference is {8 * few['matched']:+.2f} "
        f"({next(ends)}); among a tenth of all images, {100 * many['lead']:+.1f} percentage points "
        f"({next(wide)}) become {100 * many['matched']:+.1f} ({next(wide)})."
    )


def _unmatched(stored: Stored) -> str:
    lead, low, high, others = lead_of_units(stored)
    beyond = low > 0 or high < 0
    return (
        f"**Units are {'' if beyond else 'hardly '}special.** {_EXCITED} {8 * abs(lead):.2f} "
        f"{'more' if lead > 0 else 'fewer'} share one class than along {others}, in the mean; the interval "
        f"over networks, {8 * low:+.2f} to {8 * high:+.2f}, {'leaves zero out' if beyond else 'holds zero'}."
    )


def _tilt(stored: Stored) -> str:
    finding = next(found for claim, found in judged(COMPANIONS, stored.profile) if claim.name == "Overfitting")
    if not finding.number:
        raise MissingResult("the levels of regularisation are not stored")
    heads = {
        DIFFERS: "A linear machine that learns tilts.",
        REPRODUCED: "A linear machine that overfits tilts.",
        UNDECIDED: "A linear machine tilts, learning or not.",
    }
    return (
        f"**{heads[finding.verdict]}** As the regularisation of a linear machine that tells twos from threes falls, "
        f"{finding.number}{f': {finding.because}' if finding.because else ''}."
    )
