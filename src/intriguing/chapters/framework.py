"""Framework: the sizes of a run, the networks and their errors, and two readings of the paper's weight decay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.book import paper, plots, results, settings, tables
from intriguing.data import Digits, Images
from intriguing.models import recipes
from intriguing.models.training import Trained, trained

READINGS = {"k dropped": False, "per unit": True}
"""The two readings of the weight decay, each with the ``per_unit`` of :func:`intriguing.models.training.trained`."""

LINEAR = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)")
"""The linear networks, from weak to strong decay."""

TRIED = (*LINEAR, "FC100-100-10")
"""The networks that are trained under both readings."""

UNITS = 10  # the k of a linear network, which has ten units

ROUNDING = {
    "training error": {"FC10(1e-4)": 0.0005, "FC10(1e-2)": 0.005, "FC10(1)": 0.0005},
    "distortion": {"FC10(1e-4)": 0.0005, "FC10(1e-2)": 0.005, "FC10(1)": 0.005},
}
"""Half a unit of the last digit that the paper prints: 6.7 %, 10 %, 21.2 %; 0.062, 0.1 (taken for 0.10), 0.14."""


@dataclass(frozen=True)
class Halves:
    """What the pixels say about the two halves of the training set.

    Attributes:
        first: how many images P1 holds.
        second: how many images P2 holds.
        shared: how many different images lie in both.
        complete: whether the two together are the training set, image by image.
    """

    first: int
    second: int
    shared: int
    complete: bool


def halves(digits: Digits) -> Halves:
    """Compares P1, P2 and the training set by the SHA-256 sums of their images.

    Args:
        digits: the data with their halves.
    """
    whole, first, second = map(_fingerprints, (digits.train, digits.part1, digits.part2))
    return Halves(len(first), len(second), len(set(first) & set(second)), sorted(first + second) == sorted(whole))


def sizes() -> pd.DataFrame:
    """The numbers in which the profiles differ: one row for each, one column for each profile."""
    frame = pd.DataFrame({name: vars(size) for name, size in settings.PROFILES.items()}).drop("name")
    return frame.set_axis(frame.index.str.replace("_", " "))


def architectures(names: Iterable[str]) -> pd.DataFrame:
    """Says of networks what they are, which weights they have and how these are decayed.

    Args:
        names: keys of ``recipes.RECIPES``.

    Returns:
        One row for each network.
    """
    return pd.DataFrame({name: _architecture(name) for name in names}).T


def training_table(runs: Mapping[str, Trained]) -> Styler:
    """How far the training of each network went.

    Args:
        runs: name -> trained network.

    Returns:
        Final loss, iterations, largest entry of the final gradient and seconds.
    """
    rows = {name: [run.loss, run.iterations, run.gradient, run.seconds] for name, run in runs.items()}
    formats = {"final loss": "{:.4f}", "iterations": "{:.0f}", "largest gradient": "{:.1e}", "seconds": "{:.0f}"}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(formats))
    return frame.style.set_uuid("training").format(formats)


def at_the_cap(runs: Mapping[str, Trained]) -> list[str]:
    """The networks whose training by L-BFGS was ended by the cap on its iterations.

    Args:
        runs: name -> trained network.
    """
    cap = settings.profile().training_iterations
    return [name for name, run in runs.items() if name != "ConvNet" and run.iterations >= cap]  # ConvNet counts epochs


def cap_line(runs: Mapping[str, Trained]) -> str:
    """Says in a sentence of Markdown which trainings ended at the cap.

    Args:
        runs: name -> trained network.
    """
    stopped = at_the_cap(runs)
    who = " and ".join(filter(None, [", ".join(stopped[:-1]), *stopped[-1:]])) or "no network"
    return (
        f"Ended by the cap of {settings.profile().training_iterations:,} iterations and not by convergence: **{who}**."
    )


def table1_errors(networks: Mapping[str, nn.Module], digits: Digits) -> results.Table:
    """The two columns of Table 1 that no attack is needed for.

    Args:
        networks: name -> trained network, the six of Table 1 among them.
        digits: the data they were trained on.

    Returns:
        A ``Table`` named ``table1_errors``: training error and test error of the six, as fractions.

    Source:
        Szegedy et al. 2013, Table 1.
    """
    rows = {name: tables.errors(networks[name], digits) for name in recipes.TABLE1_MODELS}
    return results.Table(
        "table1_errors", ["training error", "test error"], rows, {"data": digits.name, "images": len(digits.test)}
    )


def against_paper(errors: results.Table) -> Styler:
    """Errors beside those of the paper's Table 1, in percent, with the difference in percentage points.

    Args:
        errors: what :func:`table1_errors` returns.
    """
    style = (100 * results.frame_against(errors, paper.TABLE1)).style.set_uuid("errors")
    return style.format("{:.2f}").format("{:+.2f}", subset=(slice(None), (slice(None), "difference")))


def distance_line(errors: results.Table) -> str:
    """Says in a sentence how far our errors lie from the printed ones, the furthest network apart.

    Args:
        errors: what :func:`table1_errors` returns.
    """
    beside = results.frame_against(errors, paper.TABLE1)
    gaps = beside.xs("difference", axis="columns", level=1).abs().max(axis=1).sort_values()
    ours, printed = (beside["training error"].loc["AE400-10", part] for part in ("ours", "paper"))
    return (
        f"{gaps.index[-1]} is furthest from the paper, by {100 * gaps.iloc[-1]:.1f} points; of the others the furthest "
        f"is {gaps.index[-2]}, by {100 * gaps.iloc[-2]:.1f} points, though AE400-10 makes {ours / printed:.1f} times "
        "the paper's training errors."
    )


def decay_readings(digits: Digits, images: Images, targets: Tensor) -> results.Table:
    """What Table 1 prints, for networks trained under both readings of the weight decay.

    Args:
        digits: the data to train on.
        images: the clean images that are attacked.
        targets: (N,) long, one wrong class for each of them.

    Returns:
        A ``Table`` named ``decay_readings`` with the columns of Table 1 and rows such as ``FC10(1), per unit``: each
        of :data:`TRIED` under each of :data:`READINGS`.
    """
    rows = {}
    for name in TRIED:
        for reading, per_unit in READINGS.items():
            model = trained(name, digits.train, per_unit=per_unit).model
            distortion = float(minimum_distortion(model, images.images, targets).rms.mean())
            rows[_row(name, reading)] = [*tables.errors(model, digits), distortion]
    return results.Table("decay_readings", list(paper.TABLE1.columns), rows, {"data": digits.name})


def reading_tolerances() -> pd.DataFrame:
    """How far each entry of :func:`decay_readings` may lie from the stored run: as far as that of Table 1."""
    allowed = tables.tolerances("table1").loc[[name for name in TRIED for _ in READINGS]]
    return allowed.set_axis([_row(name, reading) for name in TRIED for reading in READINGS])


def versions(decay: results.Table) -> dict[str, pd.DataFrame]:
    """Three versions of the same rows of Table 1.

    Args:
        decay: what :func:`decay_readings` returns.

    Returns:
        ``the paper`` and the two readings -> one row for each of :data:`TRIED`.
    """
    frame = decay.to_frame()
    ours = {reading: frame.loc[[_row(name, reading) for name in TRIED]].set_axis(TRIED) for reading in READINGS}
    return {"the paper": paper.TABLE1.to_frame().loc[list(TRIED)], **ours}


def side_by_side(decay: results.Table) -> Styler:
    """The paper's number and those of the two readings beside each other, column by column.

    Args:
        decay: what :func:`decay_readings` returns.
    """
    three = versions(decay)
    side = pd.concat(three, axis="columns").swaplevel(axis="columns")
    side = side[[(column, version) for column in decay.columns for version in three]]
    percent = [column for column in side.columns if column[0] != "distortion"]
    return side.style.set_uuid("readings").format("{:.3f}").format("{:.1%}", subset=percent)


def gaps(decay: results.Table) -> dict[str, pd.DataFrame]:
    """How far each reading lies from the paper.

    Args:
        decay: what :func:`decay_readings` returns.

    Returns:
        Reading -> absolute differences, one row for each of :data:`TRIED`.
    """
    three = versions(decay)
    return {reading: (three[reading] - three["the paper"]).abs() for reading in READINGS}


def nearer_reading(decay: results.Table) -> pd.DataFrame:
    """Which reading comes nearer to the paper, entry by entry, and how often it is the one without k.

    Args:
        decay: what :func:`decay_readings` returns.

    Returns:
        One row for each of :data:`TRIED`, with ``both alike`` where the readings differ by less than one millionth,
        and a last one that counts over the linear networks.
    """
    dropped, per_unit = gaps(decay).values()
    nearer = (dropped < per_unit).replace({True: "k dropped", False: "per unit"})
    nearer = nearer.mask((dropped - per_unit).abs() < 1e-6, "both alike")
    counted = [(nearer.loc[list(LINEAR), column] == "k dropped").sum() for column in nearer.columns]
    nearer.loc["of the three FC10"] = [f"k dropped: {count} of {len(LINEAR)}" for count in counted]
    return nearer


def decay_curve(decay: results.Table) -> pd.DataFrame:
    """The linear networks of both readings in the order of their effective lambda, that without k.

    Args:
        decay: what :func:`decay_readings` returns.

    Returns:
        By effective lambda: both errors and the distortion.
    """
    effective = {
        _row(name, reading): paper.WEIGHT_DECAY[name][0] / (UNITS if per_unit else 1)
        for name in LINEAR
        for reading, per_unit in READINGS.items()
    }
    return decay.to_frame().loc[list(effective)].set_axis(list(effective.values())).sort_index()


def curve_picture(curve: pd.DataFrame) -> plots.Figure:
    """Both errors and three times the distortion over the effective lambda, with the paper's three lambdas marked.

    Args:
        curve: what :func:`decay_curve` returns.
    """
    heights = {column: curve[column] for column in ("training error", "test error")}
    return plots.lines(
        curve.index,
        heights | {"3 × distortion": 3 * curve["distortion"]},
        xlabel="effective λ",
        ylabel="fraction misclassified; 3 × distortion",
        logx=True,
        marks={name: paper.WEIGHT_DECAY[name][0] for name in LINEAR},
    )


def decay_factors(curve: pd.DataFrame, rounding: float = 0.0) -> pd.DataFrame:
    """The effective lambda that would give a printed number, read off the curve, over the printed lambda.

    Args:
        curve: what :func:`decay_curve` returns.
        rounding: which number is asked for: the printed one, plus this many times half a unit of its last digit.

    Returns:
        One row for each linear network, for its training error and its distortion; 0 below the curve and infinite
        beyond it.
    """
    printed = paper.TABLE1.to_frame()

    def factor(name: str, column: str) -> float:
        value = printed.at[name, column] + rounding * ROUNDING[column][name]
        at = np.interp(value, curve[column], np.log(curve.index), left=-np.inf, right=np.inf)
        return np.exp(at) / paper.WEIGHT_DECAY[name][0]

    return pd.DataFrame({column: {name: factor(name, column) for name in LINEAR} for column in ROUNDING})


def factor_ranges(curve: pd.DataFrame) -> pd.DataFrame:
    """What :func:`decay_factors` returns, with the range that the rounding of the printed numbers allows, in words.

    Args:
        curve: what :func:`decay_curve` returns.
    """

    def word(value: float) -> str:
        return f"{value:.2f}" if 0 < value < np.inf else "below the curve" if value == 0 else "beyond the curve"

    def between(value: float, least: float, most: float) -> str:
        return word(value) if least == most else f"{word(value)} ({word(least)} to {word(most)})"

    low, middle, high = (decay_factors(curve, rounding) for rounding in (-1.0, 0.0, 1.0))
    shown = {
        column: {name: between(*(factors.at[name, column] for factors in (middle, low, high))) for name in LINEAR}
        for column in ROUNDING
    }
    return pd.DataFrame(shown)


def one_factor(curve: pd.DataFrame, columns: Iterable[str]) -> bool:
    """Whether one factor on lambda would give all printed numbers of some columns, within their rounding.

    Args:
        curve: what :func:`decay_curve` returns.
        columns: of :data:`ROUNDING`.
    """
    columns = list(columns)
    least, most = (decay_factors(curve, rounding)[columns] for rounding in (-1.0, 1.0))
    return bool(least.max(axis=None) <= most.min(axis=None))


def claims(
    parts: Halves,
    errors: results.Table,
    convolutional_error: float,
    decay: results.Table,
    stopped: Iterable[str],
) -> dict[str, bool | None]:
    """Which of the chapter's claims hold; None where the number of test images cannot decide.

    Args:
        parts: what :func:`halves` returns.
        errors: what :func:`table1_errors` returns.
        convolutional_error: the test error of the convolutional network, a fraction.
        decay: what :func:`decay_readings` returns.
        stopped: what :func:`at_the_cap` returns.
    """
    stopped, curve = set(stopped), decay_curve(decay)
    linear, got = list(LINEAR), errors.to_frame()
    training, test = got["training error"], got["test error"]
    dropped, per_unit = (gap["distortion"][linear] for gap in gaps(decay).values())
    decided = {
        "P1 and P2 share no image and together are the training set": not parts.shared and parts.complete,
        "Stronger decay gives a linear network a larger training error": (
            training[linear].is_monotonic_increasing and training[linear].is_unique
        ),
        "Stronger decay gives a linear network a larger distortion": curve["distortion"].is_monotonic_increasing,
        "Every linear network converges before the cap on its iterations": not stopped & set(LINEAR),
        "Both sigmoid networks converge before the cap on their iterations": (
            not stopped & {"FC100-100-10", "FC200-200-10"}
        ),
        "One factor on λ would give the three printed training errors of linear networks, within their rounding": (
            one_factor(curve, ["training error"])
        ),
        "One factor on λ would give their printed training errors and distortions, within their rounding": (
            one_factor(curve, ROUNDING)
        ),
        "Both sigmoid networks fit the training set, with less than one error in a thousand": (
            training[["FC100-100-10", "FC200-200-10"]].max() < 0.001
        ),
        "Each network with hidden units has a smaller test error than each linear one": (
            test.drop(linear).max() < test[linear].min()
        ),
        "Twice the hidden units do not raise the test error by a percentage point": (
            tables.more_errors(test["FC100-100-10"], test["FC200-200-10"], errors.meta["images"], margin=-0.01)
        ),
        "The convolutional network has the smallest test error": convolutional_error < test.min(),
        "With k dropped the distortion of every linear network is closer to the paper's than per unit": (
            (dropped < per_unit).all()
        ),
    }
    return {claim: None if holds is None else bool(holds) for claim, holds in decided.items()}


def _fingerprints(part: Images) -> list[str]:
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in part.images]


def _architecture(name: str) -> dict[str, str | int]:
    network, recipe = recipes.build(name), recipes.recipe(name)
    shapes = ["×".join(map(str, layer.weight.shape)) for layer in recipes.weight_layers(network)]
    return {
        "what it is": recipe.description,
        "weight matrices": " · ".join(shapes),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "λ of each layer": ", ".join(f"{decay:g}" for decay in recipe.decay) or "none",
    }


def _row(name: str, reading: str) -> str:
    return f"{name}, {reading}"
