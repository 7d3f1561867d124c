"""Linear support vector machines of two classes over many levels of L2 regularisation, kept on disk.

The training itself is scikit-learn's. What this module adds is a scale for the level that means the same for any number
of images, and that the strongest level ends in the nearest-centroid classifier instead of an accident of class sizes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from torch import Tensor
from tqdm.auto import tqdm

from intriguing.attack import files
from intriguing.book import cache, fingerprint, two_classes
from intriguing.chapters.tilting.geometry import Boundary

TOLERANCE = 1e-4  # of liblinear: the gradient's norm as a fraction of what it was at the start
MAX_ITERATIONS = 3000


def train(points: Tensor, second: Tensor, level: float) -> Boundary:
    """A linear support vector machine with the squared hinge loss.

    It minimises level / 2 |w|^2 plus the squared hinge loss, averaged over each class and then over the two. The points
    are taken relative to the middle between the class means, because liblinear counts the bias as one more weight:
    there a bias near zero is the right one, and as the level grows w turns towards the difference of the means.

    Args:
        points: (N, n) float64.
        second: (N,) bool, which points are of the second class.
        level: L2 regularisation, above 0.

    Returns:
        A ``Boundary`` for points as they were given.

    Raises:
        ValueError: the level is not above 0, or a class is empty.
        RuntimeError: the training did not converge.

    Source:
        Fan et al. 2008 (liblinear), through scikit-learn's ``LinearSVC``.
    """
    if not level > 0:
        raise ValueError(f"got the level {level}; expected a number above 0.")
    middle = two_classes.middle(points, second)
    machine = LinearSVC(
        C=1 / (level * len(points)), dual=False, class_weight="balanced", tol=TOLERANCE, max_iter=MAX_ITERATIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            machine.fit((points - middle).numpy(), second.numpy())
        except ConvergenceWarning:
            raise RuntimeError(
                f"the machine of level {level:g} had not converged after {MAX_ITERATIONS} iterations: raise the level."
            ) from None
    weight = torch.from_numpy(machine.coef_[0].copy())
    return Boundary(weight, float(machine.intercept_[0]) - float(weight @ middle))


def path(
    points: Tensor, second: Tensor, levels: Sequence[float], *, name: str, progress: bool = False
) -> list[Boundary]:
    """Machines of several levels on the same points, from disk where they have been trained before.

    Args:
        points: as for :func:`train`.
        second: likewise.
        levels: L of them, above 0.
        name: what the points are, in letters, digits and ``. _ ( ) ' -``, for instance ``2-3``.
        progress: shows a bar.

    Returns:
        One ``Boundary`` for each level.

    Raises:
        ValueError: as for :func:`train`.
        RuntimeError: as for :func:`train`.
    """
    key = {
        "points": files.digest({"points": points, "second": second}),
        "levels": [float(level) for level in levels],
        "code": fingerprint.of(train),
    }

    def make() -> dict[str, Tensor]:
        bar = tqdm(levels, desc=f"machines {name}", leave=False, disable=not progress)
        found = [train(points, second, level) for level in bar]
        biases = torch.tensor([machine.bias for machine in found], dtype=torch.float64)
        return {"weights": torch.stack([machine.weight for machine in found]), "biases": biases}

    kept = cache.load_or_make(f"svm-{name}", key, make)
    return [Boundary(weight, float(bias)) for weight, bias in zip(kept["weights"], kept["biases"], strict=True)]
