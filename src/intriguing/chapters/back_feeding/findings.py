"""What the large comparison found: tables and sentences out of ``results/benchmarks/back_feeding.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler
from scipy import stats

from intriguing.book import paper, results
from intriguing.book.results import Table
from intriguing.chapters.back_feeding.bank import AVERAGED
from intriguing.chapters.back_feeding.campaign import FED, MAIN, OTHERS

Content = Mapping[str, Any]

ACTIVATIONS = ("ReLU", "sigmoid")
ROLES = {"nothing": "nothing", **{family: family for family in (*MAIN, *OTHERS)}, "both": "dropout and dose"}
BEST = "back-feeding"
FORMATS = {
    "networks": "{:.0f}",
    "epochs": "{:.0f}",
    "below 1.2 %": "{:.0%}",
    "gain": "{:+.2%}",
    "in standard errors": "{:+.1f}",
    "p": "{:.1g}",
    "ns": "{:,.0f}",
    "readings": "{:.1f}",
    "length": "{:.2f}",
    "distance": "{:.2f}",
    "distance, ReLU": "{:.2f}",
    "distance, sigmoid": "{:.2f}",
    "misread when made": "{:.0%}",
}
"""How the columns of this chapter are written; those that are missing here are errors, in percent."""


def stored() -> Content:
    """What the run on a GPU wrote.

    Raises:
        MissingResult: It is not stored.
    """
    return results.measured("back_feeding")


def marks() -> dict[str, float]:
    """The test errors that the paper prints for the network 100-100-10; the first, 1.2 %, is an upper bound.

    Returns:
        What was done against overfitting -> the error, a fraction.

    Source:
        Szegedy et al. 2013, section 4.2.
    """
    return {name: paper.NUMBERS[f"{name} error"].value for name in ("back-feeding", "dropout", "weight decay")}


def styled(frame: pd.DataFrame) -> Styler:
    """A table as the page shows it: every column in its format, nothing where there is no entry."""
    return frame.style.format({column: FORMATS.get(str(column), "{:.2%}") for column in frame}, na_rep="")


def rows_of(content: Content, part: str, activation: str) -> list[dict[str, Any]]:
    """The rows of a part for an activation.

    Args:
        content: as from ``stored``.
        part: "selection", "confirmation", "final" or "layers".
        activation: "ReLU" or "sigmoid".
    """
    return [row for row in content[part] if row["activation"] == activation]


def mean(row: Mapping[str, Any]) -> float:
    """The mean error of the networks of a row."""
    return float(np.mean(row["errors"]))


def tried(content: Content, families: Sequence[str] | None = None) -> pd.DataFrame:
    """The plans that were chosen from, and their errors on the images held out.

    Args:
        content: as from ``stored``.
        families: which; None for all.

    Returns:
        By name, for each activation the mean error and, as "±", the standard deviation over seeds; NaN where a plan was
        tried with the other activation only.
    """
    columns: dict[str, dict[str, float]] = {}
    for activation in ACTIVATIONS:
        rows = [row for row in rows_of(content, "selection", activation) if not families or row["family"] in families]
        columns[activation] = {row["name"]: mean(row) for row in rows}
        columns[f"± {activation}"] = {row["name"]: float(np.std(row["errors"], ddof=1)) for row in rows}
    return pd.DataFrame(columns)


def roles(content: Content, activation: str) -> dict[str, dict[str, Any]]:
    """The rows that were judged on the test set, by what they stand for.

    Args:
        content: as from ``stored``.
        activation: "ReLU" or "sigmoid".

    Returns:
        "back-feeding" for the plan that was best on the images held out, "second plan" for the next one, and each rival
        under its own name. The test errors have no part in who is who.
    """
    found: dict[str, dict[str, Any]] = {}
    fed = [row for row in rows_of(content, "final", activation) if row["family"] in FED]
    confirmed = {row["name"]: mean(row) for row in rows_of(content, "confirmation", activation)}
    chosen = {row["name"]: mean(row) for row in rows_of(content, "selection", activation)}
    fed.sort(key=lambda row: confirmed.get(row["name"], 1 + chosen.get(row["name"], 0)))
    for name, row in zip((BEST, "second plan"), fed, strict=False):
        found[name] = row
    for row in fed[2:]:
        found[row["family"]] = row
    for row in rows_of(content, "final", activation):
        if row["family"] not in FED:
            found[ROLES[row["family"]]] = row
    return found


def judged(content: Content) -> Table:
    """The test errors of the plans that were chosen and of their rivals.

    Args:
        content: as from ``stored``.

    Returns:
        A ``Table`` named ``back_feeding`` with rows such as "ReLU, weight decay".
    """
    aim, rows = marks()["back-feeding"], {}
    for activation in ACTIVATIONS:
        for role, row in roles(content, activation).items():
            errors = np.array(row["errors"])
            rows[f"{activation}, {role}"] = [
                float(errors.mean()),
                float(errors.std(ddof=1)),
                float(errors.min()),
                float((errors < aim).mean()),
                len(errors),
                row["epochs"],
                float(np.mean(row["training"])),
            ]
    columns = ["test error", "standard deviation", "best seed", "below 1.2 %", "networks", "epochs", "training error"]
    return Table("back_feeding", columns, rows, {"data": content["meta"]["data"]})


def plans(content: Content) -> str:
    """A list of what the names in ``judged`` stand for."""
    lines = []
    for activation in ACTIVATIONS:
        told = ", ".join(f"{role}: {row['name']}" for role, row in roles(content, activation).items())
        lines.append(f"* {activation}: {told}.")
    return "\n".join(lines)


def contrasts(content: Content, part: str, pairs: Sequence[tuple[str, str, str]]) -> Table:
    """How much less the first plan of each pair errs than the second, and how sure that is.

    Two chances are at work: another seed gives another network, another test set other digits. The second counts the
    difference image by image.

    Args:
        content: as from ``stored``.
        part: "final" or "layers".
        pairs: activation, and the names of two rows of it.

    Returns:
        A ``Table`` named ``back_feeding_contrasts`` or ``back_feeding_layers_contrasts``: the gain, positive where the
        first errs less, both standard errors, the root of the sum of their squares, and the p-value of Welch's test
        over seeds alone.
    """
    known = {
        (row["activation"], row["first"], row["second"]): row for row in content["contrasts"] if row["part"] == part
    }
    rows = {}
    for activation, first, second in pairs:
        named = _names(content, part, activation)
        one, other = named[first], named[second]
        row = known.get((activation, one["name"], other["name"]))
        sign = 1 if row else -1
        row = row or known[activation, other["name"], one["name"]]
        seeds, images = row["over seeds"], row["over images"]
        p = float(stats.ttest_ind(one["errors"], other["errors"], equal_var=False).pvalue)
        both = float(np.hypot(seeds, images))
        rows[f"{activation}, {first} against {second}"] = [sign * row["gain"], seeds, images, both, p]
    name = "back_feeding_contrasts" if part == "final" else "back_feeding_layers_contrasts"
    columns = ["gain", "over seeds", "over images", "standard error", "p"]
    return Table(name, columns, rows, {"data": content["meta"]["data"]})


def _names(content: Content, part: str, activation: str) -> dict[str, dict[str, Any]]:
    if part == "final":
        return roles(content, activation)
    return {row["name"]: row for row in rows_of(content, part, activation)}


def in_standard_errors(table: Table) -> pd.DataFrame:
    """The contrasts with one more column, the gain as a multiple of its standard error."""
    frame = table.to_frame()
    return frame.assign(**{"in standard errors": frame["gain"] / frame["standard error"]})


def rivals(content: Content) -> list[tuple[str, str, str]]:
    """The best plan against each rival, all but the second plan."""
    return [
        (activation, BEST, role)
        for activation in ACTIVATIONS
        for role in roles(content, activation)
        if role not in (BEST, "second plan")
    ]


def layers(content: Content) -> Table:
    """Test errors by the layer whose outputs were attacked.

    Args:
        content: as from ``stored``.

    Returns:
        A ``Table`` named ``back_feeding_layers`` with rows such as "input" and "first hidden, through".
    """
    columns: dict[str, dict[str, float]] = {}
    for activation in ACTIVATIONS:
        rows = [row for row in rows_of(content, "layers", activation) if row["family"] != "curve"]
        columns[activation] = {row["name"]: mean(row) for row in rows}
        columns[f"± {activation}"] = {row["name"]: float(np.std(row["errors"], ddof=1)) for row in rows}
    frame = pd.DataFrame(columns)
    return Table.from_frame("back_feeding_layers", frame, {"data": content["meta"]["data"]})


HIDDEN = ("first hidden", "second hidden", "all layers")


def layer_pairs(content: Content) -> list[tuple[str, str, str]]:
    """The input against nothing, and each hidden layer and all of them against the input."""
    found = []
    for activation in ACTIVATIONS:
        named = _names(content, "layers", activation)
        found.append((activation, "input", "nothing"))
        found += [
            (activation, name, "input") for layer in HIDDEN for name in (layer, f"{layer}, through") if name in named
        ]
    return found


def curve(content: Content) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Test error against the length of the step.

    Args:
        content: as from ``stored``.

    Returns:
        Activation -> lengths (D,), the first of them 0, and errors (D, S).
    """
    found = {}
    for activation in ACTIVATIONS:
        rows = [row for row in rows_of(content, "layers", activation) if row["family"] in ("curve", "nothing")]
        rows.sort(key=lambda row: row["plan"]["size"])
        found[activation] = (
            np.array([row["plan"]["size"] for row in rows]),
            np.array([row["errors"] for row in rows]),
        )
    return found


def costs(content: Content) -> pd.DataFrame:
    """What one fresh example costs, in nanoseconds and as a multiple of reading the image.

    Args:
        content: as from ``stored``.

    Returns:
        By kind, for the stack of networks of the first activation.
    """
    rows = [row for row in content["cost"] if row["activation"] == ACTIVATIONS[0]]
    each = pd.Series({row["kind"]: row["seconds"] for row in rows})
    return pd.DataFrame({"ns": 1e9 * each, "readings": each / each["reading the image"]}).rename_axis("kind")


def distances(content: Content) -> pd.DataFrame:
    """The mean distance |r| of the boundary of the runner-up from test images that a network reads rightly.

    Returns:
        By plan, for each activation in columns that ``styled`` shows as lengths; NaN where it was not measured.
    """
    far = {(row["activation"], row["name"]): float(np.mean(row["distance"])) for row in content.get("distances", [])}
    return pd.DataFrame(
        {
            f"distance, {activation}": {
                role: far.get((activation, row["name"])) for role, row in roles(content, activation).items()
            }
            for activation in ACTIVATIONS
        }
    ).astype(float)


def faster(content: Content) -> float:
    """By how much an update of one network is cheaper among a hundred than alone, both replayed on the GPU."""
    each = {(row["networks"], row["captured"]): row["seconds_per_update"] / row["networks"] for row in content["speed"]}
    return each[1, True] / each[100, True]


def headline(content: Content) -> str:
    """The sentences that say what came of the comparison.

    Args:
        content: as from ``stored``.
    """
    lines, below, count = [], 0, 0
    for activation in ACTIVATIONS:
        named = roles(content, activation)
        told = [
            f"{named[role]['name']} {mean(named[role]):.2%} (standard deviation "
            f"{np.std(named[role]['errors'], ddof=1):.2%} over {len(named[role]['errors'])} networks)"
            for role in (BEST, "second plan")
        ]
        others = [f"{role} {mean(named[role]):.2%}" for role in ("weight decay", "dropout", "noise") if role in named]
        lines.append(f"With {activation}: {' and '.join(told)}, against {', '.join(others)}.")
        fed = [error for role in (BEST, "second plan") for error in named[role]["errors"]]
        below, count = below + sum(error < marks()["back-feeding"] for error in fed), count + len(fed)
    epochs = {row["epochs"] for row in content["final"]}
    return (
        f"After {_listed(epochs)} epochs the two plans that were best on the images held out err like this on the test "
        f"set. {' '.join(lines)} Of these {count} networks with adversarial examples {below} come below 1.2 %."
    )


def how(content: Content) -> str:
    """The sentences that say where and how the comparison was run."""
    about, meta = content["meta"]["hardware"], content["meta"]
    networks = sum(
        len(row["errors"]) for part in ("selection", "confirmation", "final", "layers") for row in content[part]
    )
    epochs = [f"{part} {_listed({row['epochs'] for row in content[part]})}" for part in ("selection", "confirmation")]
    epochs += [f"test {_listed({row['epochs'] for row in content['final']})}"]
    epochs += [f"layers and doses {_listed({row['epochs'] for row in content['layers']})}"]
    return (
        f"{networks:,} networks were trained, costs and distances measured, in {meta['seconds']:.0f} s on "
        f"{about.get('gpu', about['cpu'])} (PyTorch {about['torch']}; matrix products in {about['products']}). "
        f"Epochs: {', '.join(epochs)}. Pixels and outputs of units are cut to what they can be, [0, 1] or "
        "[0, inf), unless a name says otherwise. The weights "
        f"that are judged are means over the ends of the last {AVERAGED:.0%} of the epochs."
    )


def _listed(numbers: set[int]) -> str:
    return " or ".join(f"{number:g}" for number in sorted(numbers))


def dots(content: Content) -> dict[str, list[float]]:
    """The errors of all judged networks by row of ``judged``."""
    return {
        f"{activation}, {role}": row["errors"]
        for activation in ACTIVATIONS
        for role, row in roles(content, activation).items()
    }


def fed(content: Content) -> list[str]:
    """The rows of ``judged`` in which adversarial examples are fed back, with nothing else beside them."""
    return [
        f"{activation}, {role}"
        for activation in ACTIVATIONS
        for role, row in roles(content, activation).items()
        if row["family"] in FED
    ]


def power(content: Content, gains: Table) -> str:
    """The sentences that say which difference can be seen at all.

    Args:
        content: as from ``stored``.
        gains: the contrasts of its plans.
    """
    aim, images = marks()["back-feeding"], 10_000
    error = (aim * (1 - aim) / images) ** 0.5
    seeds = [float(np.std(row["errors"], ddof=1)) for row in content["final"]]
    seen = 2 * float(gains.to_frame()["standard error"].median())
    return (
        f"{images:,} test images give an error of {aim:.1%} a standard error of {error:.2%}. Networks that differ by "
        f"their seed have a standard deviation of {np.median(seeds):.2%}. Image by image, over all networks of two "
        f"plans, a difference shows from about {seen:.2%} on, two standard errors."
    )


def claims(content: Content, gains: Table, layer_gains: Table) -> dict[str, bool | None]:
    """What is claimed of back-feeding, and whether it came out so.

    Args:
        content: as from ``stored``.
        gains: contrasts of the plans that were judged, of ``rivals`` at least.
        layer_gains: contrasts of ``layer_pairs``.

    Returns:
        The claim, a sentence -> whether it holds; None where a layer lies within two standard errors of the input.
    """
    steps = in_standard_errors(gains)["in standard errors"]
    layer_steps = in_standard_errors(layer_gains)["in standard errors"]
    aim, outcomes = marks()["back-feeding"], {}
    for activation in ACTIVATIONS:
        named = roles(content, activation)
        epochs = named[BEST]["epochs"]
        outcomes[f"{activation}: after {epochs} epochs the chosen plan errs below 1.2 % on average"] = (
            mean(named[BEST]) < aim
        )
        for role, told in (
            ("weight decay", "weight decay"),
            ("dropout", "dropout"),
            ("noise", "noise of the best length tried"),
            ("nothing", "the same network without examples, at the best rate"),
            ("exit", "the best plan with examples at the exit or beyond it"),
            ("deformed", "deformed images"),
        ):
            if role in named:
                outcomes[f"{activation}: the chosen plan errs less than {told}, by two standard errors"] = (
                    steps[f"{activation}, {BEST} against {role}"] > 2
                )
        for layer in ("first hidden", "second hidden"):
            outcomes[f"{activation}: examples for the {layer} layer err less than those for the input"] = _beyond_two(
                layer_steps[f"{activation}, {layer} against input"]
            )
        outcomes[f"{activation}: examples for all layers err less than those for the input alone"] = _beyond_two(
            layer_steps[f"{activation}, all layers against input"]
        )
    return outcomes


def _beyond_two(steps: float) -> bool | None:
    """Whether a gain is above zero; None where two standard errors hold zero."""
    return None if abs(steps) <= 2 else bool(steps > 0)
