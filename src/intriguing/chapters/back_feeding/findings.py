"""What the large comparisons found: tables out of ``results/benchmarks/back_feeding.json``.

There are two of them. The long one, in the file under ``long``, trained its networks for 200 epochs on CPUs, but for
those of the part "searched", which it trained for 20; the short one, the rest of the file, trained more plans for a few
epochs on a GPU. Most functions here read both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler
from scipy import stats

from intriguing.book import paper, results
from intriguing.book.results import Table
from intriguing.chapters.back_feeding import campaign
from intriguing.chapters.back_feeding.bank import Plan
from intriguing.chapters.back_feeding.campaign import FED, LAYERS, MAIN, OTHERS

Content = Mapping[str, Any]

ACTIVATIONS = ("ReLU", "sigmoid")
ROLES = {"nothing": "nothing", **{family: family for family in (*MAIN, *OTHERS)}, "both": "dropout and dose"}
BEST = "back-feeding"
POOLED = {"pools of exits": "exit", "pools of doses": "dose"}
"""What pools are called, and the kind of their examples."""
FORMATS = {
    "networks": "{:.0f}",
    "epochs": "{:.0f}",
    "below 1.2 %": "{:.0%}",
    "gain": lambda gain: f"{100 * gain:+.2f}",
    **dict.fromkeys(("over seeds", "over images", "standard error"), lambda error: f"{100 * error:.2f}"),
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
"""How the columns of this chapter are written, differences of errors in percentage points; those that are missing here
are errors, in percent."""


def stored() -> Content:
    """What the long trainings told, with every network of them.

    Raises:
        MissingResult: It is not stored, or not the whole of it.
    """
    found = short().get("long", {"missing": {"all": 1}})
    if any(found["missing"].values()):
        raise results.MissingResult("the long trainings are not complete; benchmarks/back_feeding.py --units has them.")
    return found


def short() -> Content:
    """What the run on a GPU wrote.

    Raises:
        MissingResult: It is not stored.
    """
    return results.measured("back_feeding", _took)


def seconds(rows: Iterable[Mapping[str, Any]]) -> float:
    """What trainings took on one core, all networks of all rows together."""
    return sum(row["seconds"] * row["epochs"] * len(row["errors"]) for row in rows)


def _took(content: Content) -> float:
    """What the run on a GPU and the long trainings took."""
    return content["meta"]["seconds"] + sum(seconds(content.get("long", {}).get(part, ())) for part in NAMED)


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
        content: as from ``stored`` or ``short``.
        part: "selection", "confirmation", "final", "layers" or "searched".
        activation: "ReLU" or "sigmoid".
    """
    return [row for row in content[part] if row["activation"] == activation]


def mean(row: Mapping[str, Any]) -> float:
    """The mean error of the networks of a row."""
    return float(np.mean(row["errors"]))


def spread(row: Mapping[str, Any]) -> float:
    """The standard deviation of the errors of the networks of a row."""
    return float(np.std(row["errors"], ddof=1))


def tried(content: Content, families: Sequence[str] | None = None) -> pd.DataFrame:
    """The plans that were chosen from, and their errors on the images held out.

    Args:
        content: as from ``stored`` or ``short``.
        families: which; None for all.

    Returns:
        By name, for each activation the mean error and, as "±", the standard deviation over seeds; NaN where a plan was
        tried with the other activation only.
    """
    columns: dict[str, dict[str, float]] = {}
    for activation in ACTIVATIONS:
        rows = [row for row in rows_of(content, "selection", activation) if not families or row["family"] in families]
        columns[activation] = {row["name"]: mean(row) for row in rows}
        columns[f"± {activation}"] = {row["name"]: spread(row) for row in rows}
    return pd.DataFrame(columns)


def by_rate(content: Content) -> pd.DataFrame:
    """The plans of the long trainings that were chosen from, and their errors on the images held out.

    Args:
        content: as from ``stored``.

    Returns:
        By name, in the order in which they were tried; for each activation and learning rate the mean error and, as
        "±", the standard deviation over seeds; NaN where a plan was tried with the other activation only.
    """
    columns: dict[str, dict[str, float]] = {}
    for activation in ACTIVATIONS:
        for row in rows_of(content, "selection", activation):
            name, _, rate = row["name"].partition(", rate")
            column = f"{activation}, rate{rate}" if rate else activation
            columns.setdefault(column, {})[name] = mean(row)
            columns.setdefault(f"± {column}", {})[name] = spread(row)
    return pd.DataFrame(columns)


def roles(content: Content, activation: str) -> dict[str, dict[str, Any]]:
    """The rows that were judged on the test set, by what they stand for.

    Args:
        content: as from ``stored`` or ``short``.
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


def held_out(content: Content, activation: str) -> dict[str, dict[str, Any]]:
    """The best row of each family on the images held out.

    Args:
        content: as from ``stored``.
        activation: "ReLU" or "sigmoid".

    Returns:
        "back-feeding" for the best of all that feed adversarial examples back, and each family under its own name.
    """
    rows = rows_of(content, "selection", activation)
    families = dict.fromkeys(row["family"] for row in rows)
    return {BEST: campaign.best(rows, FED)[0]} | {family: campaign.best(rows, (family,))[0] for family in families}


def by_layer(content: Content, activation: str) -> dict[str, dict[str, Any]]:
    """The best row of each layer on the images held out, all at one learning rate.

    Args:
        content: as from ``stored``.
        activation: "ReLU" or "sigmoid".

    Returns:
        "nothing"; "input", "first hidden", "second hidden" and "all layers", with doses made anew for every batch; and
        "pools of exits" and "pools of doses" for all layers in turn.
    """
    inside = rows_of(content, "layers", activation)
    rate = {row["rate"] for row in inside}
    beside = [row for row in rows_of(content, "selection", activation) if row["rate"] in rate]
    found = {"nothing": campaign.best(beside, ("nothing",))[0]}
    for where, layers in LAYERS.items():
        among = [row for row in [*beside, *inside] if tuple(row["plan"]["layers"]) == layers]
        found[where] = campaign.best(among, ("dose", "hidden"))[0]
    for name, kind in POOLED.items():
        found[name] = campaign.best([row for row in inside if row["plan"]["kind"] == kind], ("pools",))[0]
    return found


def by_search(content: Content, activation: str) -> dict[str, dict[str, Any]]:
    """The rows of the comparison with searched examples, by what their examples are.

    Args:
        content: as from ``stored``.
        activation: "ReLU" or "sigmoid".
    """
    return {row["name"].partition(", rate")[0]: row for row in rows_of(content, "searched", activation)}


NAMED = {"final": roles, "selection": held_out, "layers": by_layer, "searched": by_search}
"""Who is who in each part whose plans are compared."""


def judged(content: Content, name: str = "back_feeding") -> Table:
    """The test errors of the plans that were chosen and of their rivals.

    Args:
        content: as from ``stored`` or ``short``.
        name: of the table.

    Returns:
        Rows such as "ReLU, weight decay".
    """
    aim, rows = marks()["back-feeding"], {}
    for activation in ACTIVATIONS:
        for role, row in roles(content, activation).items():
            errors = np.array(row["errors"])
            rows[f"{activation}, {role}"] = [
                mean(row),
                spread(row),
                float(errors.min()),
                float((errors < aim).mean()),
                len(errors),
                row["epochs"],
                float(np.mean(row["training"])),
            ]
    columns = ["test error", "standard deviation", "best seed", "below 1.2 %", "networks", "epochs", "training error"]
    return Table(name, columns, rows, {"data": content["meta"]["data"]})


def contrasts(content: Content, part: str, pairs: Sequence[tuple[str, str, str]]) -> Table:
    """How much less the first plan of each pair errs than the second, and how sure that is.

    Two chances are at work: another seed gives another network, another test set other digits. The second counts the
    difference image by image.

    Args:
        content: as from ``stored`` or ``short``.
        part: "final", "selection", "layers" or "searched".
        pairs: activation, and the names of two rows of it.

    Returns:
        A ``Table`` named ``back_feeding_contrasts``, for the other parts with their name in it: the gain, positive
        where the first errs less, both standard errors, the root of the sum of their squares, and the p-value of
        Welch's test over seeds alone.
    """
    known = {
        (row["activation"], row["first"], row["second"]): row for row in content["contrasts"] if row["part"] == part
    }
    rows = {}
    for activation, first, second in pairs:
        named = NAMED[part](content, activation)
        one, other = named[first], named[second]
        row = known.get((activation, one["name"], other["name"]))
        sign = 1 if row else -1
        row = row or known[activation, other["name"], one["name"]]
        seeds, images = row["over seeds"], row["over images"]
        p = float(stats.ttest_ind(one["errors"], other["errors"], equal_var=False).pvalue)
        both = float(np.hypot(seeds, images))
        rows[f"{activation}, {first} against {second}"] = [sign * row["gain"], seeds, images, both, p]
    name = "back_feeding_contrasts" if part == "final" else f"back_feeding_{part}_contrasts"
    columns = ["gain", "over seeds", "over images", "standard error", "p"]
    return Table(name, columns, rows, {"data": content["meta"]["data"]})


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


def on_held_out(content: Content) -> list[tuple[str, str, str]]:
    """The best plan of the selection against each family that was not judged on the test set."""
    pairs = []
    for activation in ACTIVATIONS:
        judged = {row["family"] for row in roles(content, activation).values()}
        families = [family for family in held_out(content, activation) if family not in {BEST, *judged}]
        pairs += [(activation, BEST, family) for family in families]
    return pairs


def held_out_errors(content: Content, part: str) -> Table:
    """Errors on the images held out, by what was attacked or how.

    Args:
        content: as from ``stored``.
        part: "layers" or "searched".

    Returns:
        A ``Table`` named after the part with a row for each layer, or for each kind of example; for each activation
        the mean error and, as "±", the standard deviation over seeds.
    """
    columns: dict[str, dict[str, float]] = {}
    for activation in ACTIVATIONS:
        rows = NAMED[part](content, activation)
        columns[activation] = {name: mean(row) for name, row in rows.items()}
        columns[f"± {activation}"] = {name: spread(row) for name, row in rows.items()}
    return Table.from_frame(f"back_feeding_{part}", pd.DataFrame(columns), {"data": content["meta"]["data"]})


HIDDEN = ("first hidden", "second hidden", "all layers")


def layer_pairs() -> list[tuple[str, str, str]]:
    """The input against nothing, each hidden layer and all of them against the input, pools against both."""
    pairs = [("input", "nothing"), *((layer, "input") for layer in HIDDEN)]
    pairs += [(pools, other) for pools in POOLED for other in ("nothing", "input")]
    return [(activation, *pair) for activation in ACTIVATIONS for pair in pairs]


SEARCHED = (
    ("search x 1", "nothing"),
    ("search x 1", "exit x 1"),
    ("search x 1.5", "exit x 1.5"),
    ("search 1.5", "dose 1.5"),
)
"""Examples out of the search, and what they are held against: none, and the cheap ones of the same kind."""


def search_pairs() -> list[tuple[str, str, str]]:
    """Searched examples against others, and a dose against the shortest ones."""
    return [(activation, *pair) for activation in ACTIVATIONS for pair in (*SEARCHED, ("dose 1.5", "search x 1"))]


def curves(*contents: Content) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The error on the images held out against the length of the step.

    Args:
        contents: as from ``stored`` or ``short``.

    Returns:
        Activation -> how it was trained -> lengths (D,), the first of them 0, and errors (D, S).
    """
    found: dict[str, dict[str, Any]] = {activation: {} for activation in ACTIVATIONS}
    for content in contents:
        for activation, lines in found.items():
            rows = [row for row in rows_of(content, "selection", activation) if _plain(row)]
            for rate in sorted({row["rate"] for row in rows}):
                mine = sorted((row for row in rows if row["rate"] == rate), key=lambda row: row["plan"]["size"])
                if len(mine) > 3:
                    told = f"{mine[0]['epochs']} epochs, rate {rate:g}"
                    sizes, errors = ([pick(row) for row in mine] for pick in (_size, lambda row: row["errors"]))
                    lines[told] = np.array(sizes), np.array(errors)
    return found


def _size(row: Mapping[str, Any]) -> float:
    return row["plan"]["size"]


def _plain(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a dose for the input and nothing else, or of no examples."""
    plan = campaign.entry_of(row).plan
    kind = {"dose": "dose", "nothing": "none"}.get(row["family"])
    return plan == Plan(kind or "none", plan.size, activation=plan.activation, pace=plan.pace) and kind is not None


def costs(content: Content) -> pd.DataFrame:
    """What one fresh example costs, in nanoseconds and as a multiple of reading the image.

    Args:
        content: as from ``stored`` or ``short``.

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


def fooled(content: Content) -> Table:
    """Which share of the images held out is misread after one step up the gradient of the loss, and after many.

    Args:
        content: as from ``stored``.

    Returns:
        A ``Table`` named ``back_feeding_fooled``: for nothing and each dose, in the order of their lengths, the mean
        over networks for each length and number of steps.
    """
    size = {(row["activation"], row["name"]): row["plan"]["size"] for row in content["selection"]}
    rows: dict[str, list[float]] = {}
    found = content["fooled"]
    for activation in ACTIVATIONS:
        mine = [row for row in found if row["activation"] == activation]
        for row in sorted(mine, key=lambda row: size[activation, row["name"]]):
            rows.setdefault(f"{activation}, {row['name']}", []).append(float(np.mean(row["misread"])))
    columns = {f"{row['steps']} step{'s' * (row['steps'] > 1)}, {row['length']:g}": None for row in found}
    return Table("back_feeding_fooled", list(columns), rows, {"data": content["meta"]["data"]})


def faster(content: Content) -> float:
    """By how much an update of one network is cheaper among a hundred than alone, both replayed on the GPU."""
    each = {(row["networks"], row["captured"]): row["seconds_per_update"] / row["networks"] for row in content["speed"]}
    return each[1, True] / each[100, True]


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
