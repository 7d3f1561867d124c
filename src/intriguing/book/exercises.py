"""Answers that a reader tries: a number is held against the stored run of the profile, and the verdict says why.

One exercise belongs to each chapter; its question stands on the page. Nothing is computed that takes time, and nothing
of the page is needed, so that such a cell can be run by itself.
"""

from __future__ import annotations

import contextlib
import html
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from intriguing.book import results, settings


@dataclass(frozen=True)
class Exercise:
    """A question with a number for its answer.

    Attributes:
        options: Numbers that a reader may think of, at least three; on a page each but the guess can be opened.
        form: How a number is written.
        off: How far a right answer may be from the true one, above 0.
        truth: The true one, from a function that returns a stored table by its name.
        why: Follows on a right answer, in a part of a sentence.
        hint: Follows on another one, likewise.
    """

    options: tuple[float, ...]
    form: str
    off: float
    truth: Callable[[Callable[[str], pd.DataFrame]], float]
    why: str
    hint: str

    def verdict(self, guess: float, truth: float) -> str:
        """Returns in a sentence whether a guess is right, and why.

        Args:
            guess: The reader's answer.
            truth: What ``truth`` returns.
        """
        if abs(guess - truth) <= self.off:
            return f"Right, it is {self.form.format(truth)}: {self.why}."
        return f"Not yet, it is {'more' if truth > guess else 'less'} than {self.form.format(guess)}: {self.hint}."


class Answer:
    """What a notebook shows: the verdict on a guess, and on request those on other answers.

    Attributes:
        text: The verdict on the guess.
        others: Other answers as they are written -> their verdicts.
    """

    def __init__(self, text: str, others: dict[str, str]) -> None:
        self.text, self.others = text, others

    def _repr_html_(self) -> str:
        rest = "".join(
            f"<details><summary>{html.escape(option)}</summary>{html.escape(text)}</details>"
            for option, text in self.others.items()
        )
        more = f"<p>Without running anything, another answer can be opened:</p>{rest}" if rest else ""
        return f'<div class="try"><p>{html.escape(self.text)}</p>{more}</div>'

    def __repr__(self) -> str:
        return self.text


def answer(chapter: str, guess: float) -> Answer:
    """Holds a guess against the stored run of the profile that is in use.

    Args:
        chapter: Whose exercise it is.
        guess: The reader's answer, a finite number, also in a tensor or array; shares are fractions, so that one half
            is 0.5.

    Returns:
        What a notebook shows. Where the profile has no stored run, or that lacks what is asked, it says so.

    Raises:
        ValueError: There is no such chapter, or the guess is not finite.
        TypeError: The guess is no number.
    """
    if chapter not in EXERCISES:
        raise ValueError(f"got {chapter!r}; expected one of {', '.join(EXERCISES)}; name the chapter of the page.")
    plain: Any = guess
    with contextlib.suppress(AttributeError, ValueError, RuntimeError):  # a tensor or array with one element
        plain = plain.item()
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        raise TypeError(f"got {guess!r} of {type(guess).__name__}; expected a number; write one half as 0.5.")
    guess = float(plain)
    if not math.isfinite(guess):
        raise ValueError(f"got {guess}; expected a finite number; guess again.")
    exercise = EXERCISES[chapter]
    try:
        truth = exercise.truth(lambda name: results.load(name).to_frame())
        if not math.isfinite(truth):
            raise results.MissingResult("the stored run has no number there.")
    except KeyError as problem:
        return _unchecked(f"the stored run has no {problem}.")
    except results.MissingResult as problem:
        return _unchecked(str(problem))
    others = {exercise.form.format(option): exercise.verdict(option, truth) for option in exercise.options}
    others.pop(exercise.form.format(guess), None)
    return Answer(exercise.verdict(guess, truth), others)


def _unchecked(reason: str) -> Answer:
    return Answer(f"This cannot be checked in profile {settings.profile().name}: {reason}", {})


def _outcome(load: Callable[[str], pd.DataFrame]) -> float:
    """The share of the printed numbers that came out close."""
    counts = load("scorecard").sum(skipna=False)
    return float(counts["close"] / counts["computed"])


EXERCISES = {
    "framework": Exercise(
        (1.1, 3.5, 30.0), "{:.1f} times", 1.0,
        lambda load: load("table1_errors")["test error"]["FC10(1)"] / load("table1_errors")["test error"]["FC10(1e-4)"],
        "strong decay turns the weights towards the differences of the class means, as the page on tilting measures, "
        "and these point the right way for most digits, though not for all",
        "divide two entries of the column of test errors that the page shows beside the paper's",
    ),
    "blind_spots": Exercise(
        (0.01, 0.2, 1.0), "{:.0%}", 0.08,
        lambda load: load("refined")["ratio"]["FC10(1)"] - 1,
        "with small logits all classes weigh nearly the same in the cross-entropy, and the step pushes down "
        "classes that were no threat",
        "look for this network in the table that compares the penalty method with the search that goes all the "
        "way down",
    ),
    "transfer": Exercise(
        (0.01, 0.15, 0.7), "{:.0%}", 0.08,
        lambda load: load("table2")["FC200-200-10"]["FC100-100-10"],
        "the other network has learned similar boundaries from the same digits, but the step ends just behind the "
        "boundary of the first one, and the second draws its own a little further",
        "in Table 2 the row is the network that the examples were made for, the column the one that reads them",
    ),
    "disjoint_sets": Exercise(
        (1.1, 3.0, 20.0), "{:.1f} times", 1.2,
        lambda load: load("same_or_other")["error"]["same architecture, same half"]
        / load("same_or_other")["error"]["same architecture, other half"],
        "what two networks have in common comes from the digits as well as from the task, and other digits take "
        "away the greater part of it",
        "compare the two rows of one architecture in the table of pairs, same half against other half",
    ),
    "protocol": Exercise(
        (0.02, 0.3, 1.5), "{:.0%}", 0.12,
        lambda load: load("coarse_search")["distortion, FC10(1)"]["c in steps of × 2"]
        / load("coarse_search")["distortion, FC10(1)"]["exact edge"] - 1,
        "a grid of ratio two stops somewhere between the edge and half of it, and on this network the minimiser is so "
        "much longer there already",
        "divide two entries of the column of this network in the table of coarse searches",
    ),
    "back_feeding": Exercise(
        (0.008, 0.0145, 0.03), "{:.2%}", 0.0015,
        lambda load: load("back_feeding")["test error"]["ReLU, dropout"],
        "this is one of the rivals that examples have to be held against, and it lies somewhat above what the paper "
        "prints for dropout",
        "the first table of the comparison has a row for it, and the mean over seeds is in the first column",
    ),
    "density": Exercise(
        (0.1, 0.5, 0.9), "{:.0%}", 0.15,
        lambda load: load("density_near")["within 0.05"]["FC100-100-10"],
        "near is the rule and not the exception, although a random step of that length hardly ever finds such an "
        "image",
        "the table of distances to the nearest example has a column for this radius",
    ),
    "minimum": Exercise(
        (0.001, 0.01, 0.1), "{:.1%}", 0.004,
        lambda load: load("minimum")["ratio"]["FC100-100-10"] - 1,
        "the logits of this network lie so far apart that the strongest rival has most of the weight in the "
        "cross-entropy; the last exercise of the first chapter makes them quieter, and the step grows",
        "the table of what was computed here and now has the ratio of both methods",
    ),
    "units": Exercise(
        (2.0, 4.0, 6.5), "{:.1f} of eight", 0.8,
        lambda load: 8 * load("units_purity")["directions"]["dense"],
        "the layer before the last has pulled the classes apart, so that mostly one class lies at the end of a "
        "direction through such a space",
        "the column of directions in the table of purities is the share of one class in a row of eight",
    ),
    "photographs": Exercise(
        (0.4, 4.0, 40.0), "{:.1f} grey levels", 1.0,
        lambda load: 255 * load("imagenet_ostriches")["mean distortion"]["to the ostrich"],
        "so many numbers make up a photograph that a root mean square of less than one step of the file it is saved in "
        "is enough",
        "multiply the mean distortion, on a scale from 0 to 1, by the 255 steps between black and white",
    ),
    "quocnet": Exercise(
        (0.5, 0.65, 0.76), "{:.0%}", 0.04,
        lambda load: load("quocnet_heads")["test"]["pixels"],
        "a linear machine on the raw pixels of such small pictures is no weak opponent, and features learned "
        "without labels pass it only where the second stage is left out",
        "the table of heads has a row for it",
    ),
    "spectral": Exercise(
        (1.0, 4.0, 16.0), "{:.0f} times", 0.5,
        lambda load: load("table5")["upper bound"]["Conv. 1"] / load("table5")["printed factor"]["Conv. 1"],
        "formula (1) divides by the square of the stride, where the lengths of both transforms leave its first power",
        "the stride of that layer is four; which power of it does the page derive, and which one is printed",
    ),
    "bounded": Exercise(
        (0.05, 0.35, 0.7), "{:.0%}", 0.15,
        lambda load: load("bounded_ReLU")["certified"]["penalty on the bounds 0.01"],
        "a small product of norms is a proof, and here it was asked for in training, at no price in errors on clean "
        "digits that could be seen",
        "this strength costs no error that can be seen, and the page says what it buys",
    ),
    "tilting": Exercise(
        (5.0, 30.0, 65.0), "{:.0f} degrees", 10.0,
        lambda load: load("tilting_pairs")["mean angle (degrees)"]["1e-03"],
        "with hardly any regularisation the boundary leans on directions in which the means of both classes do not "
        "differ, and so it comes close to the digits",
        "the last row of the table of pairs is the weakest regularisation",
    ),
    "explanation": Exercise(
        (0.03, 0.3, 3.0), "{:.0%}", 0.08,
        lambda load: load("explanation_usps")["over the shortest"]["along η, cut to [0, 1]"] - 1,
        "over so short a way the latent mean is nearly straight, and along its gradient the two steps would be nearly "
        "the same; the explanation vector also follows the uncertainty of the process, which probably aims a little "
        "elsewhere",
        "the table that compares steps has a column with the length over that of the shortest",
    ),
    "since_2013": Exercise(
        (0.05, 0.4, 0.85), "{:.0%}", 0.1,
        lambda load: load("since_2013")["one gradient sign"]["FC100-100-10"],
        "one linearisation is enough for most digits, although this network is not straight between an image and its "
        "boundary",
        "random signs of the same size hardly fool it, but the gradient is no random direction",
    ),
    "scorecard": Exercise(
        (0.1, 0.5, 0.95), "{:.0%}", 0.1,
        _outcome,
        "most numbers that did not come out close are those of Tables 2 and 4, how often networks misread the sets "
        "made for others, or noise",
        "the table of printed and computed numbers by kind has a column for those that came out close",
    ),
}  # fmt: skip
"""The exercises by the name of their chapter."""
