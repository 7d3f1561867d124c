"""What the large comparisons found, in sentences; ``findings`` has their tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from intriguing.book.results import Table
from intriguing.chapters.back_feeding import findings
from intriguing.chapters.back_feeding.bank import AVERAGED
from intriguing.chapters.back_feeding.findings import BEST, Content

PARTS = ("selection", "confirmation", "final", "layers")


def headline(content: Content) -> str:
    """The sentences that say what came of the comparison.

    Args:
        content: as from ``stored`` or ``short``.
    """
    lines, counts = [], []
    for activation in findings.ACTIVATIONS:
        named = findings.roles(content, activation)
        told = [
            f"{named[role]['name']} {findings.mean(named[role]):.2%} (standard deviation "
            f"{findings.spread(named[role]):.2%} over {len(named[role]['errors'])} networks)"
            for role in (findings.BEST, "second plan")
        ]
        others = [
            f"{role} {findings.mean(named[role]):.2%}"
            for role in ("weight decay", "dropout", "noise", "nothing")
            if role in named
        ]
        lines.append(f"With {activation}: {' and '.join(told)}, against {', '.join(others)}.")
        fed = [error for role in (findings.BEST, "second plan") for error in named[role]["errors"]]
        below = sum(error < findings.marks()["back-feeding"] for error in fed)
        counts.append(f"{below} of the {len(fed)} with {activation}")
    epochs = {row["epochs"] for row in content["final"]}
    return (
        f"After {_listed(epochs)} epochs the two plans with adversarial images made anew that were best of their kind "
        f"on the images held out err like this on the test set. {' '.join(lines)} Of these networks with adversarial "
        f"examples {' and '.join(counts)} come below 1.2 %."
    )


def plans(content: Content, part: str = "final") -> str:
    """A list of what the names of a part stand for.

    Args:
        content: as from ``stored`` or ``short``.
        part: "final", "selection", "layers" or "searched".
    """
    lines = []
    for activation in findings.ACTIVATIONS:
        told = ", ".join(f"{role}: {row['name']}" for role, row in findings.NAMED[part](content, activation).items())
        lines.append(f"* {activation}: {told}.")
    return "\n".join(lines)


def how(content: Content, parts: Sequence[str] = PARTS) -> str:
    """The sentences that say where and how the long trainings were made.

    Args:
        content: as from ``findings.stored``.
        parts: which of them, of one machine.
    """
    about, rows = content["hardware"][parts[0]], [row for part in parts for row in content[part]]
    epochs, batch = (_listed({row[name] for row in rows}) for name in ("epochs", "batch"))
    hours = findings.seconds(rows) / 3600
    return (
        f"{_networks(content, parts):,} networks were trained for {epochs} epochs each, "
        f"in {hours:.1f} hours of one core of {about['cpu']} (PyTorch {about['torch']}), {batch} images "
        f"at a time; {_weights()}"
    )


def briefly(content: Content) -> str:
    """The sentences that say where and how the short comparison was made.

    Args:
        content: as from ``findings.short``.
    """
    about, meta = content["meta"]["hardware"], content["meta"]
    epochs = {part: _listed({row["epochs"] for row in content[part]}) for part in PARTS}
    return (
        f"{_networks(content):,} networks were trained, costs and distances measured, in {meta['seconds']:.0f} s on "
        f"{about.get('gpu', about['cpu'])} (PyTorch {about['torch']}; matrix products in {about['products']}): "
        f"{epochs['selection']} epochs to choose, {epochs['final']} for what was judged on the test set; {_weights()}"
    )


def _networks(content: Content, parts: Sequence[str] = PARTS) -> int:
    return sum(len(row["errors"]) for part in parts for row in content[part])


def _weights() -> str:
    return f"the weights that are judged are means over the ends of the last {AVERAGED:.0%} of the epochs."


def _listed(numbers: set[int]) -> str:
    return " or ".join(f"{number:g}" for number in sorted(numbers))


def power(content: Content, gains: Table) -> str:
    """The sentences that say which difference could be seen, before the networks were trained and after it.

    Args:
        content: as from ``findings.stored``.
        gains: the contrasts of its plans.
    """
    before = content["power"]
    spread = np.median([findings.spread(row) for row in content["final"]])
    seen = 2 * float(gains.to_frame()["standard error"].median())
    return (
        f"Before any of these networks was trained, the scatter of the short comparison let one expect that a "
        f"difference would show from {100 * before['seen from']:.2f} percentage points on, two standard errors, with a "
        f"standard deviation of {before['standard deviation']:.2%} over seeds; it is {spread:.2%} now, and a "
        f"difference shows from about {100 * seen:.2f} points on. The images alone give an error of "
        f"{findings.marks()['back-feeding']:.1%} a standard error of {before['of an error of 1.2 %']:.2%}."
    )


def minimal(content: Content) -> str:
    """The sentences that hold examples at the exit against those of a fixed length.

    Args:
        content: as from ``findings.stored``.
    """
    lines = []
    for activation in findings.ACTIVATIONS:
        named = findings.held_out(content, activation)
        nothing, best, exits = (findings.mean(named[role]) for role in ("nothing", BEST, "exit"))
        lines.append(f"with {activation}, {named['exit']['name']} {(nothing - exits) / (nothing - best):.0%} of it")
    return (
        "Of what the best plan gains over nothing on the images held out, the best exits gain a part: "
        f"{'; '.join(lines)}."
    )


TOLD = {
    "weight decay": "weight decay",
    "dropout": "dropout",
    "noise": "noise",
    "nothing": "the same network without examples",
    "exit": "the best plan with examples at the exit or beyond it",
    "virtual": "virtual adversarial training",
    "deformed": "deformed images",
}
"""Rivals as claims name them."""


def claims(
    content: Content, gains: Table, chosen: Table, layer_gains: Table, search_gains: Table
) -> dict[str, bool | None]:
    """What is claimed of back-feeding, and whether it came out so.

    Args:
        content: as from ``findings.stored``.
        gains: contrasts of ``findings.rivals``, on the test set.
        chosen: contrasts of ``findings.on_held_out``.
        layer_gains: contrasts of ``findings.layer_pairs``.
        search_gains: contrasts of ``findings.search_pairs``.

    Returns:
        The claim, a sentence -> whether it holds; None where a layer lies within two standard errors of the input, or
        searched examples within two of others.
    """
    steps, on_held_out, layers, searched = (_steps(table) for table in (gains, chosen, layer_gains, search_gains))
    aim, outcomes = findings.marks()["back-feeding"], {}
    for activation in findings.ACTIVATIONS:
        row = findings.roles(content, activation)[BEST]
        said = f"{activation}: after {row['epochs']} epochs the chosen plan errs below {100 * aim:.1f} % on average"
        outcomes[said] = findings.mean(row) < aim
        for where, found in (("", steps), (" on the images held out", on_held_out)):
            for role, told in TOLD.items():
                if (pair := f"{activation}, {BEST} against {role}") in found:
                    said = f"{activation}: the chosen plan errs less than {told}{where}, by two standard errors"
                    outcomes[said] = bool(found[pair] > 2)
        for layer in findings.HIDDEN:
            told = "all layers" if layer == "all layers" else f"the {layer} layer"
            said = f"{activation}: examples for {told} err less than those for the input"
            outcomes[said] = _beyond_two(layers[f"{activation}, {layer} against input"])
        for pools in findings.POOLED:
            said = f"{activation}: {pools} for all layers err less than examples for the input made anew"
            outcomes[said] = _beyond_two(layers[f"{activation}, {pools} against input"])
        for pair in findings.SEARCHED:
            rival = TOLD["nothing"] if pair[1] == "nothing" else pair[1]
            said = f"{activation}: in short trainings {pair[0]} errs less than {rival}"
            outcomes[said] = _beyond_two(searched[f"{activation}, {' against '.join(pair)}"])
    return outcomes


def _steps(gains: Table) -> pd.Series:
    return findings.in_standard_errors(gains)["in standard errors"]


def _beyond_two(steps: float) -> bool | None:
    """Whether a gain is above zero; None where two standard errors hold zero."""
    return None if abs(steps) <= 2 else bool(steps > 0)
