"""What the paper leaves open, as a protocol that can be varied: Tables 1 to 4 under any choice of it.

The paper names its networks and its loss, and leaves other things to the reader: what the printed decay is divided by,
what it calls convergence, which wrong class is asked for, how finely the price of distortion is searched. A
``Protocol`` is one answer to all of these questions, and a ``Sweep`` computes the four tables for it on a moderate
number of images. What two protocols have in common is computed once by a sweep.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.penalty import ONE_FOR_ALL, coarse_search
from intriguing.attack.perturbations import AMPLIFIED, amplify, gaussian_noise, random_targets, rms, wrong_classes
from intriguing.book import cache, fingerprint, paper, settings
from intriguing.book.halves import HALVES
from intriguing.book.halves import NOISE as NOISE4
from intriguing.book.tables import NOISE as NOISE2
from intriguing.book.tables import error_matrix
from intriguing.data import Digits, Images
from intriguing.models.recipes import build, recipe
from intriguing.models.training import CHUNK, error_rate, train_classifier, trained

TARGETS = ("random", "next class", "mean of nine", "nearest")


@dataclass(frozen=True)
class Protocol:
    """One reading of what the paper leaves open, as far as it is varied here.

    Attributes:
        linear: factor on the printed decay of the three linear networks, above 0.
        sigmoid: factor on the printed decay of the sigmoid networks, the autoencoder apart, above 0.
        per_unit: whether the linear networks divide their decay by the number of units, as the formula is printed.
        iterations: L-BFGS iterations after which the training of a classifier stops; None takes the cap of the profile,
            at which some networks have not converged.
        target: one of ``TARGETS``: the wrong class that an image shall be taken for.
        norm: ``"squared"`` or ``"plain"``, as for ``minimum_distortion``.
        ratio: of neighbouring values on the grid in which c is sought, above 1; 1 finds the edge itself;
            ``ONE_FOR_ALL`` takes for all images of a set the one largest c with which all of them succeed.
        clip: whether images are cut back to [0, 1] after noise or amplification.
    """

    linear: float = 1.0
    sigmoid: float = 1.0
    per_unit: bool = False
    iterations: int | None = None
    target: str = "random"
    norm: str = "squared"
    ratio: float = 1.0
    clip: bool = False

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"got target {self.target!r}; expected one of {', '.join(TARGETS)}.")
        if not (self.ratio >= 1 or self.ratio == ONE_FOR_ALL):
            raise ValueError(f"got ratio {self.ratio}; expected at least 1, or {ONE_FOR_ALL:g} for one c.")
        if not min(self.linear, self.sigmoid) > 0:
            raise ValueError(f"got factors {self.linear} and {self.sigmoid}; expected both above 0.")


BASE = Protocol()
"""The protocol of the other chapters: k dropped, trained until convergence or the cap of the profile, random target,
squared norm, exact edge, no clipping."""


@dataclass(frozen=True)
class _Network:
    """Which network, trained on which part from which seed, and everything that its training depends on."""

    name: str
    part: str
    seed: int
    factor: float
    per_unit: bool
    iterations: int | None


class Sweep:
    """Tables 1 to 4 under any protocol, on the first images of the training and of the test set.

    Args:
        digits: the data.
        count: how many training images (Tables 1 and 2) and test images (Table 4) are attacked.
        seed: of the initial weights; that of the network on the other half is one more.
    """

    def __init__(self, digits: Digits, count: int, *, seed: int = settings.SEED) -> None:
        self.digits, self.count, self.seed = digits, count, seed
        self._kept: dict[tuple, object] = {}

    def tables(self, protocol: Protocol) -> dict[str, Tensor]:
        """Tables 1 to 4 under a protocol, from the disk where they have been computed before.

        Args:
            protocol: the choices.

        Returns:
            ``table1`` to ``table4`` -> (rows, columns) float64, in the order of the paper's tables.
        """
        # Tables 3 and 4 rest on other networks, so a choice that concerns linear ones leaves them as they are.
        shared = replace(protocol, linear=1.0, per_unit=False)
        return self.first_tables(protocol) | self._kept_tables("protocol-halves", shared, self._tables_3_and_4)

    def first_tables(self, protocol: Protocol) -> dict[str, Tensor]:
        """Tables 1 and 2 alone, which need no network of a half.

        Args:
            protocol: the choices.

        Returns:
            As ``tables``.
        """
        return self._kept_tables("protocol", protocol, self._tables_1_and_2)

    def _kept_tables(self, name: str, protocol: Protocol, make: Callable[[Protocol], dict]) -> dict[str, Tensor]:
        """What ``make`` computes for a protocol, from the disk where it is there."""
        key = {
            "data": [getattr(self.digits, part).digest for part in ("train", "test", "part1", "part2")],
            "count": self.count,
            "seed": self.seed,
            "iterations": [settings.profile().training_iterations, settings.profile().autoencoder_iterations],
            "protocol": asdict(protocol),
            "code": fingerprint.of(Sweep),
        }
        return cache.load_or_make(name, key, lambda: make(protocol))

    def network(self, name: str, protocol: Protocol, *, part: str = "train", other: bool = False) -> nn.Module:
        """A network as the protocol trains it.

        Args:
            name: a key of ``recipes.RECIPES``.
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
            name: a key of ``recipes.RECIPES``.
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
        networks = {name: self._named(name, protocol) for name in paper.MODELS}
        return self._both("table1", "table2", networks, ("train", "test"), NOISE2, protocol)

    def _tables_3_and_4(self, protocol: Protocol) -> dict[str, Tensor]:
        halves = {name: HALVES[name] for name in paper.HALF_MODELS}
        networks = {
            name: self._named(half.recipe, protocol, half.part, bool(half.offset)) for name, half in halves.items()
        }
        return self._both("table3", "table4", networks, ("part1", "part2", "test"), NOISE4, protocol)

    def _both(
        self, first: str, second: str, networks: dict[str, _Network], parts: tuple, noise: tuple, protocol: Protocol
    ) -> dict[str, Tensor]:
        """A table of errors and distortions, and one of who is fooled by whose examples, in the paper's order."""
        models = {name: self._network(network) for name, network in networks.items()}
        sets = {name: self._distorted(network, protocol).flatten(0, 1) for name, network in networks.items()}
        clean = self.clean(next(iter(networks.values())).part)
        each = len(next(iter(sets.values()))) // len(clean)
        before, labels = clean.images.repeat_interleave(each, 0), clean.labels.repeat_interleave(each)
        sizes = {name: float(rms(before, found).mean()) for name, found in sets.items()}
        rows = {
            name: [*(self._error(network, getattr(self.digits, part)) for part in parts), sizes[name]]
            for name, network in networks.items()
        }
        noisy = {f"Gaussian noise {size}": size for size in noise}
        sizes |= noisy
        form, shown = "clipped" if protocol.clip else "printed", dict(sets)
        for name, found in sets.items():
            longer = f"{name} amplified to {AMPLIFIED:g}"
            if longer in paper.TABLES[second].rows:
                sizes[longer], shown[longer] = AMPLIFIED, amplify(before, found, form=form)
        blurred = {name: gaussian_noise(clean.images, size, clip=protocol.clip) for name, size in noisy.items()}
        errors = error_matrix(models, shown, labels) | error_matrix(models, blurred, clean.labels)
        return {
            first: torch.tensor([rows[name] for name in paper.TABLES[first].rows], dtype=torch.float64),
            second: torch.tensor(
                [[*errors[name], sizes[name]] for name in paper.TABLES[second].rows], dtype=torch.float64
            ),
        }

    def _named(self, name: str, protocol: Protocol, part: str = "train", other: bool = False) -> _Network:
        """Reduces a protocol to what this network's training depends on, so that protocols share networks."""
        plan = recipe(name)
        linear = not plan.hidden
        factor = protocol.linear if linear else 1.0 if plan.kind == "autoencoder" else protocol.sigmoid
        return _Network(name, part, self.seed + other, factor, linear and protocol.per_unit, protocol.iterations)

    def _network(self, network: _Network) -> nn.Module:
        return self._once(("network", network), lambda: self._trained(network))

    def _trained(self, network: _Network) -> nn.Module:
        images, plan = getattr(self.digits, network.part), recipe(network.name)
        options = {"seed": network.seed, "per_unit": network.per_unit}
        if plan.kind != "autoencoder":
            decay = None if network.factor == 1 else tuple(network.factor * value for value in plan.decay)
            options |= {"decay": decay, "max_iterations": network.iterations}
            return trained(network.name, images, **options).model
        model = trained(network.name, images, **options).model
        if network.iterations is None:
            return model
        # The encoder never sees labels: one serves every softmax above it.
        model, head = copy.deepcopy(model), build(network.name, seed=network.seed)[-1]
        plan = {"model": network.name, "decay": list(plan.decay), "per_unit": False, "iterations": network.iterations}
        key = plan | {
            "data": images.digest,
            "seed": network.seed,
            "encoder": cache.described(model[:-1]),
            "code": fingerprint.of(build, train_classifier),
        }

        def make() -> dict[str, Tensor]:
            with torch.no_grad():
                features = torch.cat([model[:-1](chunk) for chunk in images.images.split(CHUNK)])
            train_classifier(nn.Sequential(head), features, images.labels, plan)
            return head.state_dict()

        model[-1].load_state_dict(cache.load_or_make(f"{network.name}-head", key, make))
        return model.requires_grad_(False)

    def _error(self, network: _Network, images: Images) -> float:
        return self._once(
            ("error", network, images.name),
            lambda: error_rate(self._network(network), images.images, images.labels),
        )

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
