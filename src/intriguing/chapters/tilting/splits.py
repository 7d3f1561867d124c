"""Which part of a tilt is learning and which is overfitting: machines trained on images that have nothing in common.

The images of two digits are split at random into three parts, again and again. One machine is trained on some images of
the first part, another on as many of the second; the third part is cut in two, to choose a level of regularisation and
to judge it. What the two machines of a split share cannot be an accident of their images. What only one of them has is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from intriguing.attack.perturbations import rms
from intriguing.book import settings
from intriguing.book.results import Table
from intriguing.chapters.tilting import geometry, svm
from intriguing.chapters.tilting.geometry import Boundary
from intriguing.chapters.tilting.study import Task

MEASURES = ("angle", "shared", "training", "chosen by", "error", "distortion")


@dataclass(frozen=True)
class Plan:
    """How much is trained.

    Attributes:
        images: in each training set, one entry for each series of machines, the most last.
        splits: how often the images are split anew.
        moved: how many held-out images are moved across each boundary.
    """

    images: tuple[int, ...]
    splits: int
    moved: int


PLANS = {
    "quick": Plan(images=(50, 250), splits=10, moved=40),
    "paper": Plan(images=(100, 400, 1600, 4000), splits=10, moved=50),
}
"""The plans by profile."""
LEVELS = np.logspace(3, -3, 13).tolist()


@dataclass(frozen=True, eq=False)
class Splits:
    """What the machines of many splits do.

    Attributes:
        images: the sizes of the training sets, S of them.
        levels: L levels of regularisation, the strongest first.
        measured: ``MEASURES`` -> (S, R, L), means over both machines of a split: the tilting angle in degrees, the
            angle of the part of the tilt that the two share, the errors on the training images, on those that choose
            and on those that judge, and the mean distortion of some of these.
        ratio: images that judge over images that were trained on, by size, for the intervals.
        data: what the images are.
    """

    images: tuple[int, ...]
    levels: Sequence[float]
    measured: dict[str, Tensor]
    ratio: tuple[float, ...]
    data: str

    def chosen(self, size: int) -> Tensor:
        """The level with the least error on the images that choose, by split, (R,); the strongest of equal ones."""
        return self.measured["chosen by"][size].argmin(1)

    def at_chosen(self, measure: str, size: int) -> Tensor:
        """A measure at the level that each split has chosen, (R,)."""
        return self.measured[measure][size].gather(1, self.chosen(size)[:, None])[:, 0]

    @property
    def levels_table(self) -> Table:
        """The ``Table`` named ``tilting_splits``, one row for each level, for the largest training sets."""
        parts = {name: values[-1].mean(0) for name, values in self.measured.items()}
        beyond = self.measured["error"][-1] - self.at_chosen("error", -1)[:, None]
        ends = [interval(column, self.ratio[-1]) for column in beyond.T]
        rows = {
            f"{level:.2g}": [
                float(parts["angle"][place]),
                float(parts["shared"][place]),
                float(parts["training"][place]),
                float(parts["error"][place]),
                *ends[place],
                float(parts["distortion"][place]),
            ]
            for place, level in enumerate(self.levels)
        }
        columns = ["angle", "shared angle", "training error", "held-out error", "above the chosen", "low", "high"]
        return Table("tilting_splits", [*columns, "mean distortion"], rows, {"data": self.data})

    @property
    def parts_table(self) -> Table:
        """The ``Table`` named ``tilting_parts``, one row for each size of the training sets.

        *Learned* is from the strongest level to the chosen one, *overfitted* from there to the weakest.
        """
        rows = {}
        for size, count in enumerate(self.images):
            angle, distortion = self.measured["angle"][size], self.measured["distortion"][size]
            at_angle, at_distortion = self.at_chosen("angle", size), self.at_chosen("distortion", size)
            rows[f"{count:,}"] = [
                float((at_angle - angle[:, 0]).mean()),
                float((angle[:, -1] - at_angle).mean()),
                *interval(self.learned(size), self.ratio[size]),
                *interval(self.overfitted(size), self.ratio[size]),
                float((1 - at_distortion / distortion[:, 0]).mean()),
                float(((at_distortion - distortion[:, -1]) / distortion[:, 0]).mean()),
            ]
        gains, costs = (
            [f"error {word}", f"{word}, low", f"{word}, high"] for word in ("saved by learning", "added by overfitting")
        )
        columns = ["degrees learned", "degrees overfitted", *gains, *costs]
        columns += ["distance lost to learning", "distance lost to overfitting"]
        return Table("tilting_parts", columns, rows, {"data": self.data})

    def learned(self, size: int) -> Tensor:
        """By how much the error falls from the strongest level to the chosen one, by split, (R,)."""
        return self.measured["error"][size][:, 0] - self.at_chosen("error", size)

    def overfitted(self, size: int) -> Tensor:
        """By how much it rises from the chosen level to the weakest one, by split, (R,)."""
        return self.measured["error"][size][:, -1] - self.at_chosen("error", size)

    def curves(self) -> dict[str, pd.DataFrame]:
        """What a picture draws: size of the training sets -> levels by mean angle, shared angle and errors."""
        return {
            f"{count:,} images": pd.DataFrame(
                {name: self.measured[name][size].mean(0).numpy() for name in ("angle", "shared", "training", "error")},
                index=self.levels,
            )
            for size, count in enumerate(self.images)
        }

    def verdict(self) -> str:
        """What the largest training sets say of the thesis, in a sentence with its numbers."""
        part = self.parts_table.to_frame().iloc[-1]
        spread = "leaves out" if part["added by overfitting, low"] > 0 else "holds"
        return (
            f"With {self.images[-1]:,} images to train on, the level that other images choose leans "
            f"**{part['degrees learned']:.0f} degrees** further than the strongest, and the error on images that had "
            f"no part in the choice falls by {100 * part['error saved by learning']:.2f} percentage points on the way "
            f"[{100 * part['saved by learning, low']:.2f}, {100 * part['saved by learning, high']:.2f}]. The last "
            f"**{part['degrees overfitted']:.0f} degrees** add {100 * part['error added by overfitting']:.2f} points "
            f"[{100 * part['added by overfitting, low']:.2f}, {100 * part['added by overfitting, high']:.2f}], an "
            f"interval that {spread} zero. Of the mean length of the steps across the boundary, learning takes "
            f"{part['distance lost to learning']:.0%} and overfitting another "
            f"{part['distance lost to overfitting']:.0%}."
        )

    def claims(self) -> dict[str, bool | None]:
        """What the chapter says of learning and overfitting, by the sign of each effect's interval over splits."""
        last = len(self.images) - 1
        learned, overfitted = self.learned(last), self.overfitted(last)
        angle = self.at_chosen("angle", last)
        left = self.measured["distortion"][last]
        chosen = self.at_chosen("distortion", last)
        shared = self.at_chosen("shared", last)
        weakest = self.measured["shared"][last][:, -1]
        effects = {
            "Up to the level that other images choose, tilting lowers the error": learned,
            "Beyond that level, tilting raises the error": overfitted,
            "The level chosen leans by more than half of the way to the weakest": (
                angle - self.measured["angle"][last][:, -1] / 2
            ),
            "Tilting lowers the error by more as learning than it raises it as overfitting": learned - overfitted,
            "With the most training images the chosen boundary leans further than with the fewest": (
                angle - self.at_chosen("angle", 0)
            ),
            "Learning brings the boundary nearer by more than overfitting does": (
                (left[:, 0] - chosen) - (chosen - left[:, -1])
            ),
            "At the chosen level, machines that share no image share most of their tilt, by squared tangents": (
                torch.tan(torch.deg2rad(shared)) ** 2 - torch.tan(torch.deg2rad(angle)) ** 2 / 2
            ),
            "At the weakest level they share less than half of it, by squared tangents": (
                torch.tan(torch.deg2rad(self.measured["angle"][last][:, -1])) ** 2 / 2
                - torch.tan(torch.deg2rad(weakest)) ** 2
            ),
        }
        return {claim: decided(effect, self.ratio[last]) for claim, effect in effects.items()}


def interval(values: Tensor, ratio: float, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and interval over repeated random splits, which share images and are no independent draws.

    Args:
        values: (R,), one for each split, at least 2.
        ratio: images that judge over images that were trained on.
        confidence: of the interval.

    Returns:
        mean, low and high: Student's interval with the variance s^2 (1/R + ratio) in place of s^2 / R.

    Raises:
        ValueError: fewer than two splits.

    Source:
        Nadeau and Bengio 2003, the corrected resampled t-test.
    """
    if len(values) < 2:
        raise ValueError(f"got {len(values)} splits; expected at least 2, for an interval over them.")
    mean = float(values.double().mean())
    error = float(values.double().std()) * (1 / len(values) + ratio) ** 0.5
    reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return mean, mean - reach, mean + reach


def decided(effect: Tensor, ratio: float) -> bool | None:
    """Whether an effect lies above zero: True, or False below it, by its whole interval; None where that holds zero."""
    _, low, high = interval(effect, ratio)
    return True if low > 0 else False if high < 0 else None


def shared_angle(first: Boundary, second: Boundary, z: Tensor) -> float:
    """The angle of the part of the tilt that two machines have in common.

    Write each weight, up to its length, as z plus a vector t at right angles to it; the length of t is the tangent of
    the tilting angle. If each t is one common vector and an error of its own, independent of the other's, then the
    scalar product of the two is on average the squared length of the common one.

    Args:
        first: a machine.
        second: another one, of other training images.
        z: (n,), unit vector between the class means.

    Returns:
        The arc tangent of the root of t . t', in degrees; 0 where the product is negative.
    """
    tilts = [line.weight / (line.weight @ z) - z for line in (first, second)]
    return float(torch.rad2deg(torch.atan((tilts[0] @ tilts[1]).clamp(min=0).sqrt())))


def study(task: Task, plan: Plan, levels: Sequence[float] = tuple(LEVELS)) -> Splits:
    """Trains two machines of each level on each split and each size; measures them there and on images new to both.

    Args:
        task: whose training images are split.
        plan: how much.
        levels: L levels of regularisation, the strongest first.

    Returns:
        A ``Splits``.

    Raises:
        ValueError: a training set is larger than a third of the images.
    """
    points, second = task.points, task.second
    third = len(points) // 3
    if max(plan.images) > third:
        raise ValueError(f"got training sets of {max(plan.images)}; expected at most a third of {len(points)} images.")
    judged = len(points) - 2 * third
    judged -= judged // 2
    z = geometry.nearest_centroid(points, second).weight
    generator = torch.Generator().manual_seed(settings.SEED)
    found = torch.zeros(len(MEASURES), len(plan.images), plan.splits, len(levels), dtype=torch.float64)
    for split in range(plan.splits):
        order = torch.randperm(len(points), generator=generator)
        rest = order[2 * third :]
        choosing, judging = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        few = points[judging[: plan.moved]]
        for size, count in enumerate(plan.images):
            parts = [order[start : start + count] for start in (0, third)]
            pairs = [
                svm.path(points[part], second[part], levels, name=f"split-{split}-{count}-{side}")
                for side, part in enumerate(parts)
            ]
            for place in range(len(levels)):
                lines = [machines[place] for machines in pairs]
                each = [
                    [
                        geometry.tilting_angle(line.weight, z),
                        shared_angle(*lines, z),
                        geometry.error(line, points[part], second[part]),
                        geometry.error(line, points[choosing], second[choosing]),
                        geometry.error(line, points[judging], second[judging]),
                        float(rms(geometry.cross_in_box(few, line)[0], few).mean()),
                    ]
                    for line, part in zip(lines, parts, strict=True)
                ]
                found[:, size, split, place] = torch.tensor(each, dtype=torch.float64).mean(0)
    return Splits(
        plan.images,
        list(levels),
        dict(zip(MEASURES, found, strict=True)),
        tuple(judged / count for count in plan.images),
        task.data,
    )
