"""Explanation vectors: which way the probability of a class grows fastest at an image, by autograd and in closed form.

The explanation vector of a classifier at x0 is the gradient of the probability that it reports, eta(x0) = grad p(x0).
For a network autograd gives it. For a Gaussian process classifier, the model of the paper that proposed the vectors, it
is written out here, so that the two can be held against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from torch import Tensor

from intriguing import data
from intriguing.attack.checks import check_targets
from intriguing.attack.perturbations import value_and_gradient
from intriguing.book import settings, two_classes

NODES, REACH = 512, 8.5  # the average over the latent function: points, and standard deviations to either side
CORNERS = ((0.1, 0.2), (0.9, 0.2), (0.5, 0.72))  # of the triangle
SUBSET = 300  # points on which the two numbers of the kernel are chosen


@dataclass(frozen=True)
class GaussianProcess:
    """A trained Gaussian process classifier of two classes, as a differentiable function of the point.

    Attributes:
        points: (N, n) float64, the training points.
        pull: (N,), the gradient of the log likelihood at the mode, label minus probability.
        precision: (N, N), what the observations take away from the prior variance, in the middle of k' C k.
        amplitude: the prior variance.
        length: the length scale of the kernel.
    """

    points: Tensor
    pull: Tensor
    precision: Tensor
    amplitude: float
    length: float

    def kernel(self, x: Tensor) -> Tensor:
        """Covariances of points (B, n) with the training points, (B, N)."""
        square = x.square().sum(1, keepdim=True) - 2 * x @ self.points.T + self.points.square().sum(1)
        return self.amplitude * torch.exp(-square / (2 * self.length**2))

    def second(self, x: Tensor) -> Tensor:
        """Whether points (B, n) are taken for the second class, (B,) bool."""
        return self.kernel(x) @ self.pull > 0

    def latent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the latent function at points (B, n), each (B,).

        Source:
            Rasmussen and Williams 2006, equations 3.21 and 3.24.
        """
        k = self.kernel(x)
        return k @ self.pull, self.amplitude - ((k @ self.precision) * k).sum(1)

    def probability(self, x: Tensor) -> Tensor:
        """The probability of the second class at points (B, n), averaged over the latent function, (B,).

        Source:
            Rasmussen and Williams 2006, equation 3.25, by quadrature.
        """
        mean, variance = self.latent(x)
        return self._average(torch.sigmoid, mean, variance)

    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, 2) of images (B, *shape): minus and plus half the latent mean.

        The averaged probability exceeds one half exactly where the latent mean is above 0, so these logits decide
        as the process does.
        """
        mean = self.kernel(images.flatten(1)) @ self.pull
        return torch.stack([-mean / 2, mean / 2], 1)

    def gradient(self, x: Tensor) -> Tensor:
        """The explanation vector at points (B, n) in closed form, (B, n).

        grad p = E[s'(f)] grad mean + E[s''(f)] / 2 grad variance, with s the logistic function and f the latent value;
        both gradients are weighted sums of grad k(x, x_i) = (x_i - x) k(x, x_i) / length^2.

        Source:
            Baehrens et al. 2010, section 3, for the logistic likelihood.
        """
        k = self.kernel(x)
        projected = k @ self.precision
        mean, variance = k @ self.pull, self.amplitude - (projected * k).sum(1)
        first = self._average(lambda f: torch.sigmoid(f) * torch.sigmoid(-f), mean, variance)
        second = self._average(lambda f: torch.sigmoid(f) * torch.sigmoid(-f) * -torch.tanh(f / 2), mean, variance)
        weights = first[:, None] * k * self.pull - second[:, None] * projected * k  # (B, N)
        return (weights @ self.points - weights.sum(1, keepdim=True) * x) / self.length**2

    @staticmethod
    def _average(function: Callable[[Tensor], Tensor], mean: Tensor, variance: Tensor) -> Tensor:
        """The mean of a function of a Gaussian variable, (B,).

        By the trapezoidal rule, which for smooth functions that vanish at both ends is exact but for an error that is
        exponentially small in the number of nodes. For variances up to 1,200, above the fitted ones, it is below 1e-8
        here for the logistic function, below 1e-7 for its first derivative and below 1e-6 for the second.
        """
        nodes = torch.linspace(-REACH, REACH, NODES, dtype=mean.dtype)
        weights = torch.exp(-nodes.square() / 2)
        values = function(mean[:, None] + variance.clamp(min=1e-12)[:, None].sqrt() * nodes)
        return (values * weights).sum(1) / weights.sum()


def gaussian_process(
    points: Tensor, second: Tensor, *, length: float = 1.0, amplitude: float = 1.0, fixed: bool = False
) -> tuple[GaussianProcess, GaussianProcessClassifier]:
    """Trains a Gaussian process classifier with scikit-learn and returns it as a differentiable function.

    Args:
        points: (N, n) float64.
        second: (N,) bool, which points are of the second class.
        length: of the squared exponential kernel, to begin with.
        amplitude: its variance, to begin with.
        fixed: keeps these two; otherwise the marginal likelihood of the first ``SUBSET`` points chooses them.

    Returns:
        The process, and scikit-learn's object, whose own probabilities use an approximation of the average.

    Raises:
        TypeError: as for :func:`intriguing.book.two_classes.check_second`.
        ValueError: likewise, or a class is empty.

    Source:
        Rasmussen and Williams 2006, algorithms 3.1 and 3.2, as scikit-learn has them.
    """
    two_classes.check_second(second, points)
    two_classes.check_both(second)
    kernel = ConstantKernel(amplitude, (1e-2, 1e4)) * RBF(length, (1e-2, 1e3))
    if not fixed:
        chosen = GaussianProcessClassifier(kernel).fit(points[:SUBSET].numpy(), second[:SUBSET].numpy())
        kernel = chosen.kernel_
    machine = GaussianProcessClassifier(kernel, optimizer=None).fit(points.numpy(), second.numpy())
    fitted = machine.base_estimator_
    pull = torch.from_numpy(fitted.y_train_ - fitted.pi_).double()
    root = torch.from_numpy(fitted.W_sr_)
    # W^1/2 (I + W^1/2 K W^1/2)^-1 W^1/2, from the Cholesky factor that the fit has left.
    inner = torch.cholesky_solve(torch.diag(root), torch.from_numpy(fitted.L_))
    process = GaussianProcess(
        points=points,
        pull=pull,
        precision=root[:, None] * inner,
        amplitude=float(fitted.kernel_.k1.constant_value),
        length=float(fitted.kernel_.k2.length_scale),
    )
    return process, machine


def explanation_vector(probability: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The gradient of a probability at each image, by autograd.

    Args:
        probability: images (B, *shape) -> (B,), each entry a function of its own image alone.
        images: (B, *shape).

    Returns:
        (B, *shape).

    Source:
        Baehrens et al. 2010, definition 1; the sign of an entry says whether more of that pixel makes the class
        likelier.
    """
    return value_and_gradient(probability, images)[1]


def class_probability(model: Callable[[Tensor], Tensor], classes: Tensor) -> Callable[[Tensor], Tensor]:
    """The probability that a network gives each image's class, as a function for :func:`explanation_vector`.

    Args:
        model: images (B, *shape) -> logits (B, k).
        classes: (B,) long.

    Returns:
        A function from images (B, *shape) to probabilities (B,), which raises an error where there is not one class
        for each image.
    """

    def probability(images: Tensor) -> Tensor:
        check_targets(images, classes, "classes")
        return model(images).softmax(1).gather(1, classes[:, None])[:, 0]

    return probability


def finite_difference(function: Callable[[Tensor], Tensor], point: Tensor, step: float = 1e-5) -> Tensor:
    """The gradient of a function at one point by central differences, all coordinates in one batch.

    Args:
        function: (B, n) -> (B,).
        point: (n,) float64.
        step: half the distance of the two points compared.

    Returns:
        (n,).
    """
    shift = step * torch.eye(len(point), dtype=point.dtype)
    return (function(point + shift) - function(point - shift)) / (2 * step)


def flip_distance(
    second: Callable[[Tensor], Tensor],
    points: Tensor,
    directions: Tensor,
    *,
    reach: float,
    clip: bool = False,
    steps: int = 200,
) -> Tensor:
    """How far along a straight line the class changes for the first time.

    Args:
        second: points (B, n) -> (B,) bool, whether they are taken for the second class.
        points: (N, n).
        directions: (N, n), unit vectors.
        reach: the furthest distance tried.
        clip: cuts the moved point to [0, 1] before it is shown to the classifier.
        steps: equal steps of the search; the one in which the class changes is then halved to rounding.

    Returns:
        (N,) distances along the line, before clipping; NaN where the class is the same all the way.
    """

    def read(distance: Tensor) -> Tensor:
        return second(along(points, directions, distance, clip=clip))

    start = read(torch.zeros(len(points), dtype=points.dtype))
    grid = torch.linspace(0, reach, steps + 1, dtype=points.dtype)
    flipped = torch.stack([read(distance.expand(len(points))) != start for distance in grid[1:]], 1)  # (N, steps)
    found = flipped.any(1)
    high = grid[1:][flipped.int().argmax(1)]
    low = high - reach / steps
    for _ in range(50):
        middle = (low + high) / 2
        beyond = read(middle) != start
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return torch.where(found, high, torch.nan)


def along(points: Tensor, directions: Tensor, distance: Tensor, *, clip: bool = False) -> Tensor:
    """Points moved by a distance (N,) along unit vectors (N, n), cut to [0, 1] where asked."""
    moved = points + distance[:, None] * directions
    return moved.clamp(0, 1) if clip else moved


def lattice(side: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Places on a square grid in the plane, row by row from below.

    Args:
        side: how many places in a row, and how many rows.
        low: where both coordinates begin.
        high: where they end.

    Returns:
        (side * side, 2) float64.
    """
    line = torch.linspace(low, high, side, dtype=torch.float64)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(-1, 2)


def triangle(count: int = 260, *, seed: int = settings.SEED) -> tuple[Tensor, Tensor]:
    """The object of the toy: points in a square, of the second class inside a triangle.

    Args:
        count: points.
        seed: of the points.

    Returns:
        points (N, 2) float64 in [0, 1] and second (N,) bool.

    Source:
        Baehrens et al. 2010, Figure 1.
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    x, y = points.T
    return points, (y > 0.2) & (y < 0.2 + 1.3 * (x - 0.1)) & (y < 0.2 + 1.3 * (0.9 - x))


def twos_and_eights(per_class: int = 700) -> tuple[data.Digits, Tensor, Tensor]:
    """The digits of the second part: USPS where it is on this computer, MNIST otherwise.

    Args:
        per_class: the most training images of each class.

    Returns:
        The data set, training points (N, n) float64 and second (N,) bool, True for an eight.

    Raises:
        DataError: USPS is there and corrupt.
    """
    try:
        digits = data.usps()
    except data.MissingData:
        digits = data.mnist()
    return digits, *two_classes.points(digits.train, 2, 8, at_most=per_class)
