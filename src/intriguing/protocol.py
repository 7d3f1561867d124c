"""What the paper leaves open, as a protocol that can be varied: Tables 1 to 4 under any choice of it.

The paper names its networks and its loss, and leaves the rest to the reader: how strongly the weights are decayed, when
training ends, which wrong class is asked for, how finely the price of distortion is searched. A ``Protocol`` is one
answer to all of these questions, and a ``Sweep`` computes the four tables for it on a moderate number of images. What
two protocols have in common is computed once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import artifacts, fingerprint, lbfgsb, paper, scale
from .data import Digits, Images, check_images
from .distortion import minimum_distortion, random_targets, wrong_classes
from .models import recipe
from .training import CHUNK, error_rate, trained
from .transfer import error_matrix, gaussian_noise

TARGETS = ("random", "next class", "mean of nine", "nearest")
ONE_FOR_ALL = 0.0  # in the place of a ratio of the grid: one c for all images of a set
NOISE2, NOISE4 = (0.1, 0.3), (0.06, 0.1)  # standard deviations in Tables 2 and 4
AMPLIFIED = 0.1
_ROWS = 512  # problems solved at a time
_CODE = tuple(f"intriguing.{room}" for room in ("protocol", "distortion", "lbfgsb", "models", "training", "transfer"))


@dataclass(frozen=True)
class Protocol:
    """One reading of everything that the paper does not say.

    Attributes:
        linear: factor on the printed decay of the three linear networks, above 0.
        sigmoid: factor on the printed decay of the sigmoid networks, above 0.
        head: factor on the printed decay of the softmax above the autoencoder, above 0.
        per_unit: which networks divide the decay of each layer by its number of units, as the formula is printed:
            ``"none"``, ``"linear"`` (those without hidden layers) or ``"all"``.
        iterations: L-BFGS iterations after which the training of a classifier stops; None trains until convergence.
        target: one of ``TARGETS``: the wrong class that an image shall be taken for.
        norm: ``"squared"`` or ``"plain"``, as for ``distortion.minimum_distortion``.
        ratio: of neighbouring values on the grid in which c is sought, above 1; 1 finds the edge itself;
            ``ONE_FOR_ALL`` takes for all images of a set the one largest c with which all of them succeed.
        clip: whether images are cut back to [0, 1] after noise or amplification.
    """

    linear: float = 1.0
    sigmoid: float = 1.0
    head: float = 1.0
    per_unit: str = "none"
    iterations: int | None = None
    target: str = "random"
    norm: str = "squared"
    ratio: float = 1.0
    clip: bool = False

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"expected a target among {', '.join(TARGETS)}, got {self.target!r}")
        if self.per_unit not in ("none", "linear", "all"):
            raise ValueError(f"expected per_unit 'none', 'linear' or 'all', got {self.per_unit!r}")
        if not (self.ratio >= 1 or self.ratio == ONE_FOR_ALL):
            raise ValueError(f"expected a ratio of at least 1, or {ONE_FOR_ALL:g} for one c, got {self.ratio}")
        if not min(self.linear, self.sigmoid, self.head) > 0:
            raise ValueError(f"expected factors above 0, got {self.linear}, {self.sigmoid} and {self.head}")


BASE = Protocol()
"""The protocol of the other chapters: k dropped, converged, random target, squared norm, exact edge, no clipping."""


@dataclass(frozen=True)
class _Network:
    """Which network, trained on which part from which seed, and everything that its training depends on."""

    name: str
    part: str
    seed: int
    factor: float
    per_unit: bool
    iterations: int | None


def grid_distortion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    penalties: Tensor,
    *,
    norm: str = "squared",
    max_iterations: int = 300,
) -> tuple[Tensor, Tensor]:
    """Minimisers of c |r|^2 + loss (or c |r| + loss) on a grid of values of c, each started from the clean image.

    Args:
        model: images (B, *shape) -> logits (B, k), in evaluation mode.
        images: (B, *shape) in [0, 1].
        targets: (B,) long, the class l of each image.
        penalties: (P,) values of c above 0 for all images, or (B, P) with a grid for each.
        norm: ``"squared"`` or ``"plain"``.
        max_iterations: L-BFGS iterations for each minimiser.

    Returns:
        images (B, P, *shape), of the dtype of the input, and gaps (B, P) float64: the target's logit minus the largest
        other one at these images, positive where the target is reached.

    Raises:
        ValueError: a c that is not above 0, shapes that do not fit, or an unknown norm.

    Source:
        Szegedy et al. 2013, section 4.1.
    """
    check_images(images)
    if norm not in ("squared", "plain"):
        raise ValueError(f"expected norm 'squared' or 'plain', got {norm!r}")
    if penalties.ndim not in (1, 2) or (penalties.ndim == 2 and len(penalties) != len(images)):
        raise ValueError(f"expected penalties (P,) or ({len(images)}, P), got {tuple(penalties.shape)}")
    if not bool((penalties > 0).all()):
        raise ValueError(f"expected values of c above 0, got {float(penalties.min())}")
    device = next(model.parameters()).device
    double = copy.deepcopy(model).double().requires_grad_(False)
    count = penalties.shape[-1]
    c = penalties.double().expand(len(images), count).flatten().to(device)
    clean = images.repeat_interleave(count, 0).to(device)
    wanted = targets.repeat_interleave(count).to(device)
    found, gaps = [torch.empty_like(clean)[:0]], [c[:0]]
    for rows in torch.arange(len(clean), device=device).split(_ROWS):
        objective = _penalised(double, clean[rows], wanted[rows], c[rows], norm)
        start = clean[rows].flatten(1).double()
        best = lbfgsb.minimize(
            objective,
            start,
            max_iterations=max_iterations,
            history=5,
            tolerance=1e-5,
            decrease_tolerance=1e-9,
            inverse_curvature=1 / (2 * c[rows]) if norm == "squared" else None,
        )
        found.append(best.x.view(clean[rows].shape).to(images.dtype))
        with torch.no_grad():
            gaps.append(_gap(double(found[-1].double()), wanted[rows]))
    shape = (len(images), count)
    return torch.cat(found).unflatten(0, shape).to(images.device), torch.cat(gaps).unflatten(0, shape).to(images.device)


def _penalised(model: nn.Module, clean: Tensor, targets: Tensor, c: Tensor, norm: str) -> lbfgsb.Objective:
    """c |r|^2 (or c |r|) + cross-entropy towards the targets, with its gradient, for flat images in float64."""
    flat = clean.flatten(1).double()

    def value_and_gradient(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(leaf.view(-1, *clean.shape[1:]))
            loss = F.cross_entropy(logits, targets[rows], reduction="none")
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        r, price = x - flat[rows], c[rows]
        square = r.square().sum(1)
        if norm == "squared":
            return loss.detach() + price * square, gradient + 2 * price[:, None] * r
        length = square.sqrt()
        return loss.detach() + price * length, gradient + (price / length.clamp(min=1e-12))[:, None] * r

    return value_and_gradient


def _gap(logits: Tensor, targets: Tensor) -> Tensor:
    """The target's logit minus the largest other one."""
    wanted = logits.gather(1, targets[:, None])[:, 0]
    return wanted - logits.scatter(1, targets[:, None], -torch.inf).amax(1)


def coarse_search(
    model: nn.Module, images: Tensor, targets: Tensor, edges: Tensor, ratio: float, *, norm: str = "squared"
) -> tuple[Tensor, Tensor]:
    """What a search over c on a coarse grid would have returned, computed from where the exact search ended.

    The grid holds the powers of the ratio, and the search returns the minimiser of the largest c on it whose minimiser
    reaches the target. As the lead of the target falls with c, that is the last grid value below the edge.

    Args:
        model: as for ``grid_distortion``.
        images: (B, *shape) in [0, 1].
        targets: (B,) long.
        edges: (B,) the largest c that succeeds, as ``Distortion.penalty`` has it: infinite for an image that is taken
            for its target already, NaN where none succeeded; such images come back unchanged.
        ratio: of neighbouring values of c, above 1; ``ONE_FOR_ALL`` uses the smallest of the edges for all images.
        norm: as for ``grid_distortion``.

    Returns:
        images (B, *shape) and reached (B,) bool, whether the target is reached there.
    """
    searched = edges.isfinite().nonzero()[:, 0]
    found, reached = images.clone(), edges == torch.inf
    if len(searched) == 0:
        return found, reached
    edge = edges[searched].double()
    if ratio == ONE_FOR_ALL:
        steps = edge.amin().expand(len(edge), 1) * torch.tensor([1.0, 0.9])
    else:
        below = (edge.log() / math.log(ratio)).floor()
        # Where the lead does not quite fall with c, the grid value below the edge may fail: then the next one.
        steps = ratio ** (below[:, None] - torch.arange(2))
    moved, gaps = grid_distortion(model, images[searched], targets[searched], steps, norm=norm)
    first = (gaps > 0).int().argmax(1)
    found[searched] = moved[torch.arange(len(searched)), first]
    reached[searched] = (gaps > 0).any(1)
    return found, reached


def softmax_head(features: Tensor, labels: Tensor, decay: float, *, max_iterations: int) -> tuple[Tensor, Tensor]:
    """A softmax classifier on fixed features, trained by L-BFGS on mean cross-entropy + decay * sum w^2.

    Args:
        features: (N, d).
        labels: (N,) long.
        decay: lambda, at least 0; biases are left alone.
        max_iterations: L-BFGS iterations.

    Returns:
        weight (k, d) and bias (k,), float32, k the number of classes.

    Source:
        Szegedy et al. 2013, section 4.2, the softmax of AE400-10.
    """
    classes, width = int(labels.max()) + 1, features.shape[1]
    parts = list(zip(features.double().split(CHUNK), labels.split(CHUNK), strict=True))

    def objective(x: Tensor, _rows: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = x[0, : classes * width].view(classes, width), x[0, classes * width :]
        total, slopes = decay * weight.square().sum(), [2 * decay * weight, torch.zeros_like(bias)]
        for inputs, wanted in parts:
            logits = torch.addmm(bias, inputs, weight.T)  # (n, k)
            total = total + F.cross_entropy(logits, wanted, reduction="sum") / len(features)
            error = (logits.softmax(1) - F.one_hot(wanted, classes)) / len(features)
            slopes[0] = slopes[0] + error.T @ inputs
            slopes[1] = slopes[1] + error.sum(0)
        return total[None], torch.cat([slopes[0].flatten(), slopes[1]])[None]

    start = features.new_zeros(1, classes * width + classes, dtype=torch.float64)
    with torch.no_grad():
        x = lbfgsb.minimize(
            objective, start, -math.inf, math.inf, max_iterations=max_iterations, history=20, tolerance=1e-6
        ).x[0]
    return x[: classes * width].view(classes, width).float(), x[classes * width :].float()


class Sweep:
    """Tables 1 to 4 under any protocol, on the first images of the training and of the test set.

    Args:
        digits: the data.
        count: how many training images (Tables 1 and 2) and test images (Table 4) are attacked.
        seed: of the initial weights; that of the network on the other half is one more.
    """

    def __init__(self, digits: Digits, count: int, *, seed: int = scale.SEED) -> None:
        self.digits, self.count, self.seed = digits, count, seed
        self._kept: dict[tuple, object] = {}

    def tables(self, protocol: Protocol) -> dict[str, Tensor]:
        """Tables 1 to 4 under a protocol, from the disk where they have been computed before.

        Args:
            protocol: the choices.

        Returns:
            ``table1`` to ``table4`` -> (rows, columns) float64, in the order of the paper's tables.
        """
        key = {
            "data": self.digits.name,
            "count": self.count,
            "seed": self.seed,
            "iterations": [scale.profile().training_iterations, scale.profile().autoencoder_iterations],
            "code": fingerprint.of(*_CODE),
        }
        # Tables 3 and 4 rest on other networks, so a choice that concerns linear ones leaves them as they are.
        shared = replace(protocol, linear=1.0, head=1.0, per_unit="all" if protocol.per_unit == "all" else "none")
        parts = (("protocol", protocol, self._tables_1_and_2), ("protocol-halves", shared, self._tables_3_and_4))
        found: dict[str, Tensor] = {}
        for name, chosen, make in parts:
            found |= artifacts.load_or_make(
                name, key | {"protocol": asdict(chosen)}, lambda make=make, chosen=chosen: make(chosen)
            )
        return found

    def network(self, name: str, protocol: Protocol, *, part: str = "train", other: bool = False) -> nn.Module:
        """A network as the protocol trains it.

        Args:
            name: a key of ``models.RECIPES``.
            protocol: the choices.
            part: of the data, an attribute of ``Digits``.
            other: whether it starts from the next seed.

        Returns:
            The network in evaluation mode.
        """
        return self._network(self._named(name, protocol, part, other))

    def distorted(self, name: str, protocol: Protocol, *, part: str = "train", other: bool = False) -> Tensor:
        """The adversarial examples for one network: of the training images, or of the test images for a half.

        Args:
            name: a key of ``models.RECIPES``.
            protocol: the choices.
            part: what the network was trained on.
            other: whether it started from the next seed.

        Returns:
            (N, K, 1, 28, 28); K is nine for the mean of nine targets and one otherwise.
        """
        return self._distorted(self._named(name, protocol, part, other), protocol)

    def clean(self, part: str = "train") -> Images:
        """The images that are attacked: training images for networks that saw all of them, test images for halves."""
        source = self.digits.train if part == "train" else self.digits.test
        return source.take(slice(0, self.count))

    def _tables_1_and_2(self, protocol: Protocol) -> dict[str, Tensor]:
        digits = self.digits
        networks = {name: self._named(name, protocol) for name in paper.MODELS}
        sizes, table2 = self._read(networks, protocol, self.clean(), NOISE2, amplified=False)
        table1 = [
            [self._error(network, digits.train), self._error(network, digits.test), sizes[name]]
            for name, network in networks.items()
        ]
        return {
            "table1": torch.tensor(table1, dtype=torch.float64),
            "table2": torch.tensor(table2, dtype=torch.float64),
        }

    def _tables_3_and_4(self, protocol: Protocol) -> dict[str, Tensor]:
        digits, networks = self.digits, {}
        for name in paper.HALF_MODELS:
            other = name.endswith("'")
            networks[name] = self._named(name.removesuffix("'"), protocol, "part2" if other else "part1", other)
        sizes, table4 = self._read(networks, protocol, self.clean("test"), NOISE4, amplified=True)
        table3 = [
            [*(self._error(network, part) for part in (digits.part1, digits.part2, digits.test)), sizes[name]]
            for name, network in networks.items()
        ]
        return {
            "table3": torch.tensor(table3, dtype=torch.float64),
            "table4": torch.tensor(table4, dtype=torch.float64),
        }

    def _read(
        self, networks: dict[str, _Network], protocol: Protocol, clean: Images, noise: tuple, *, amplified: bool
    ) -> tuple[dict[str, float], list[list[float]]]:
        """Mean distortions, and the rows of Table 2 or, with ``amplified``, of Table 4, in the paper's order."""
        models = {name: self._network(network) for name, network in networks.items()}
        sets = {name: self._distorted(network, protocol) for name, network in networks.items()}
        steps = {name: found.double() - clean.images[:, None] for name, found in sets.items()}  # (N, K, *shape)
        sizes = {name: float(step.flatten(2).square().mean(2).sqrt().mean()) for name, step in steps.items()}

        def errors(images: Tensor) -> list[float]:
            labels = clean.labels.repeat_interleave(images.shape[1])
            return error_matrix(models, {"set": images.flatten(0, 1).float()}, labels)["set"]

        def noisy(size: float) -> list[float]:
            return [*errors(gaussian_noise(clean.images, size, clip=protocol.clip)[:, None]), size]

        rows = [[*errors(sets[name]), sizes[name]] for name in networks]
        if not amplified:
            return sizes, rows + [noisy(size) for size in noise]
        rows.append(noisy(noise[0]))
        for step in steps.values():
            further = clean.images[:, None] + amplify(step)
            rows.append([*errors(further.clamp(0, 1) if protocol.clip else further), AMPLIFIED])
        return sizes, [*rows, noisy(noise[1])]

    def _named(self, name: str, protocol: Protocol, part: str = "train", other: bool = False) -> _Network:
        """Reduces a protocol to what this network's training depends on, so that protocols share networks."""
        kind = recipe(name).kind
        plain = protocol.sigmoid if recipe(name).hidden else protocol.linear
        factor = protocol.head if kind == "autoencoder" else plain
        per_unit = protocol.per_unit == "all" or (protocol.per_unit == "linear" and not recipe(name).hidden)
        return _Network(name, part, self.seed + other, factor, per_unit, protocol.iterations)

    def _network(self, network: _Network) -> nn.Module:
        return self._once(("network", network), lambda: self._trained(network))

    def _trained(self, network: _Network) -> nn.Module:
        images, plan = getattr(self.digits, network.part), recipe(network.name)
        decay = None if network.factor == 1 else tuple(network.factor * value for value in plan.decay)
        varied = network != replace(network, factor=1.0, per_unit=False, iterations=None)
        if plan.kind != "autoencoder" or not varied:
            return trained(
                network.name,
                images,
                seed=network.seed,
                per_unit=network.per_unit,
                max_iterations=network.iterations,
                decay=decay,
            ).model
        # The encoder never sees labels or the decay of the softmax: one encoder serves every head.
        model = copy.deepcopy(trained(network.name, images, seed=network.seed).model)
        strength = network.factor * plan.decay[0] / (model[-1].out_features if network.per_unit else 1)
        iterations = network.iterations or scale.profile().training_iterations
        key = {
            "decay": strength,
            "data": images.name,
            "images": len(images),
            "seed": network.seed,
            "iterations": [iterations, scale.profile().autoencoder_iterations],
            "code": fingerprint.of("intriguing.lbfgsb", "intriguing.models", "intriguing.training"),
        }

        def make() -> dict[str, Tensor]:
            with torch.no_grad():
                features = torch.cat([model[:-1](chunk) for chunk in images.images.split(CHUNK)])
            weight, bias = softmax_head(features, images.labels, strength, max_iterations=iterations)
            return {"weight": weight, "bias": bias}

        model[-1].load_state_dict(artifacts.load_or_make(f"{network.name}-head", key, make))
        return model

    def _error(self, network: _Network, images: Images) -> float:
        compute: Callable[[], float] = lambda: error_rate(self._network(network), images.images, images.labels)  # noqa: E731
        return self._once(("error", network, images.name), compute)

    def _distorted(self, network: _Network, protocol: Protocol) -> Tensor:
        """(N, K, *shape), see ``distorted``."""
        clean, nine = self.clean(network.part), protocol.target in ("mean of nine", "nearest")
        targets = {
            "random": lambda: random_targets(clean.labels)[:, None],
            "next class": lambda: ((clean.labels + 1) % 10)[:, None],
        }.get(protocol.target, lambda: wrong_classes(clean.labels))()  # (N, K)
        choice = (network, "nine" if nine else protocol.target, protocol.norm)
        images, flat = clean.images.repeat_interleave(targets.shape[1], 0), targets.flatten()
        model = self._network(network)
        edge = self._once(("edge", *choice), lambda: minimum_distortion(model, images, flat, norm=protocol.norm))
        found = edge.images
        if protocol.ratio != 1:
            found = self._once(
                ("grid", *choice, protocol.ratio),
                lambda: self._on_grid(model, images, flat, edge, protocol),
            )
        found = found.unflatten(0, targets.shape)
        if protocol.target == "nearest":
            size = (found - clean.images[:, None]).flatten(2).square().sum(2)
            found = found[torch.arange(len(found)), size.argmin(1)][:, None]
        return found

    @staticmethod
    def _on_grid(model: nn.Module, images: Tensor, targets: Tensor, edge, protocol: Protocol) -> Tensor:
        found, reached = coarse_search(model, images, targets, edge.penalty, protocol.ratio, norm=protocol.norm)
        # Where no grid value nearby reached the target, what the exact search found stands in.
        return torch.where(reached[:, None, None, None], found, edge.images)

    def _once(self, key: tuple, make: Callable):
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def amplify(steps: Tensor, size: float = AMPLIFIED) -> Tensor:
    """Perturbations brought to one root mean square per pixel; a perturbation of zero stays zero.

    Args:
        steps: (N, K, *shape).
        size: the root mean square wanted.

    Returns:
        (N, K, *shape).

    Source:
        Szegedy et al. 2013, section 4.2: x + 0.1 (x' - x) / |x' - x|, with |.| the root mean square.
    """
    length = steps.flatten(2).square().mean(2).sqrt()[..., None, None, None]
    return torch.where(length > 0, size * steps / length.clamp(min=torch.finfo(steps.dtype).tiny), steps)
