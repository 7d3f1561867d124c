"""What the chapter on QuocNet computes: networks, units, heads on frozen features, and cars that are none any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from intriguing.attack import files
from intriguing.attack.distortion import Distortion
from intriguing.attack.lbfgsb import minimize_box
from intriguing.attack.perturbations import noise_of_size
from intriguing.book import cache, fingerprint, markdown, results, runs, settings, tables
from intriguing.book.results import Table
from intriguing.data import cifar
from intriguing.data.cifar import CAR, Cifar, Pictures
from intriguing.models import quocnet
from intriguing.models.quocnet import Head, QuocNet, Schedule, Stage

UNLABELLED, RANDOM, PIXELS, SUPERVISED = "without labels", "random filters", "pixels", "supervised"
"""What the four heads stand on."""

LINEAR = "linear filters"
"""The first stage's filters without what follows them: a linear network."""

FAR = 16
"""The multiple of the minimal distortion at which noise is set against other cars' perturbations."""

NOISE, FAR_NOISE, FAR_OTHER = "lost to noise", f"to noise × {FAR}", f"to another car's × {FAR}"
"""The columns of the cars that are lost to something else of the same length, or of ``FAR`` times that."""

KEPT = "quocnet-unlabelled"
"""Under what name the filters learned without labels are kept."""

THRESHOLDS = 20
"""Equally spaced thresholds that are tried for each unit, as in Le et al. 2012."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse penalties C of the logistic regression, of which a fifth of the training images chooses one."""

HARD_TO_SEE = 4 / 255
"""The largest mean distortion that we call hard to see: four of 255 levels."""

ALIKE = 2.0
"""Two networks count as equally brittle if the ratio of their distortions lies between one over this and this."""

LARGE = 0.1
"""What we call a relatively large fraction of examples that fool another network."""

RESAMPLES = 2000
FLOORS = {"cars": 0, "units": 0, "mean distortion": 1e-4, "from": 1e-4, "to": 1e-4, "median": 1e-4}
"""The least that a rerun may differ by, by column; a hundredth in all other columns."""

STARTS = 8  # of the search for an optimal stimulus
FACTORS = (1, 2, 4)  # by which perturbations are multiplied for transfer
LENGTHS = (1, 2, 4, 8, 16, 32)  # multiples of the minimal distortion, for the figure

STAGES = (Stage(field=6, stride=2, maps=8, pool=2), Stage(field=5, stride=2, maps=32, pool=2))


@dataclass(frozen=True)
class Sizes:
    """How much the chapter computes.

    Attributes:
        unlabelled: images that the filters are learned from.
        labelled: cars that the heads are trained on, and as many other images.
        tested: cars that they are tested on, and as many others.
        cars: cars that are attacked.
        epochs: passes over the unlabelled images, for each stage.
        supervised: passes over the labelled images.
        noises: draws of noise for each car.
        batch: unlabelled images in a step.
        rate: of the steps without labels.
    """

    unlabelled: int
    labelled: int
    tested: int
    cars: int
    epochs: tuple[int, ...]
    supervised: int
    noises: int
    batch: int
    rate: float


SIZES = {
    "quick": Sizes(1200, 500, 500, 16, epochs=(4, 4), supervised=6, noises=4, batch=100, rate=3e-3),
    "paper": Sizes(10_000, 1981, 1000, 64, epochs=(3, 3), supervised=10, noises=16, batch=20, rate=2e-2),
}
"""The sizes by profile."""

ORIGINAL = {
    "image": ("32 × 32, colour", "200 × 200, colour"),
    "stages": ("2", "3"),
    "receptive field": ("6 × 6 pixels, then 5 × 5 places", "18 × 18"),
    "pooled": ("2 × 2 places", "5 × 5 places"),
    "contrast normalised in": ("5 × 5 places", "5 × 5 places"),
    "maps": ("8, then 32", "8"),
    "encoder and decoder": ("share their weights", "have their own"),
    "steps": ("Adam, one process or several in step", "asynchronous gradient descent"),
}
"""Ours beside the original's, where neither is computed; see Le et al. 2012."""


@dataclass(frozen=True, eq=False)
class Cars:
    """The pictures of a run.

    Attributes:
        unlabelled: (N, 3, 32, 32) in [0, 1]; whatever they show, no label comes with them.
        train: (L, 3, 32, 32), half of them cars.
        train_car: (L,) bool.
        test: (T, 3, 32, 32), half of them cars.
        test_car: (T,) bool.
        data: what they are.
    """

    unlabelled: Tensor
    train: Tensor
    train_car: Tensor
    test: Tensor
    test_car: Tensor
    data: str


def at_hand() -> Cars | None:
    """The pictures of this run; None where CIFAR-10 is not on this computer.

    The quick profile fetches nothing.

    Raises:
        DataError: a file is there and is not the one that torchvision knows.
    """
    found = cifar.cifar(download=settings.profile().name == "paper")
    return None if found is None else pictures(found, SIZES[settings.profile().name])


def pictures(found: Cifar, sizes: Sizes, *, seed: int = settings.SEED) -> Cars:
    """The pictures that a run takes.

    Args:
        found: the data.
        sizes: how many.
        seed: of the draw of those with labels.

    Raises:
        ValueError: there are not as many.
    """
    generator = torch.Generator().manual_seed(seed)
    train, train_car = _balanced(found.train, sizes.labelled, generator)
    test, test_car = _balanced(found.test, sizes.tested, generator)
    data = (
        f"CIFAR-10: {sizes.unlabelled:,} pictures without labels; with labels, half of either cars, {len(train):,} to "
        f"learn from and {len(test):,} to test on"
    )
    return Cars(found.train.images(slice(0, sizes.unlabelled)), train, train_car, test, test_car, data)


def opening(cars: Cars | None) -> str:
    """The sentence of the page on what there is to look at.

    Args:
        cars: the pictures; None where there are none.
    """
    return cifar.absence() if cars is None else f"{cars.data}."


@dataclass(frozen=True, eq=False)
class Networks:
    """Three networks of one shape, images (B, 3, 32, 32) -> features (B, n).

    Attributes:
        unlabelled: its filters are learned without labels.
        random: its filters are drawn as the first ones of that, from other seeds.
        supervised: its filters are learned with labels, from the random ones.
        histories: mean error and sparsity by epoch, for each stage of the first.
    """

    unlabelled: QuocNet
    random: QuocNet
    supervised: QuocNet
    histories: tuple[Tensor, ...]


def unlabelled_key(images: Tensor, sizes: Sizes, seed: int) -> dict:
    """All that determines the filters that are learned without labels, for a key.

    Args:
        images: (N, 3, 32, 32) that they are learned from.
        sizes: how long.
        seed: of the first filters.
    """
    return {
        "images": files.digest({"images": images}),
        "stages": [vars(stage) for stage in STAGES],
        "schedules": [vars(schedule) for schedule in schedules(sizes)],
        "seed": seed,
        "code": fingerprint.of(quocnet.learn),
    }


def schedules(sizes: Sizes) -> tuple[Schedule, ...]:
    """How each stage is trained without labels.

    Args:
        sizes: for how long.
    """
    return tuple(Schedule(epochs, sizes.batch, sizes.rate) for epochs in sizes.epochs)


def without_labels(images: Tensor, sizes: Sizes, *, seed: int = settings.SEED) -> tuple[QuocNet, tuple[Tensor, ...]]:
    """The network that learns from pictures alone, from the weights on disk where they are current.

    Args:
        images: (N, 3, 32, 32) in [0, 1]. No label can come in here.
        sizes: how long.
        seed: of the first filters.

    Returns:
        The network, and the history of each stage.
    """
    key = unlabelled_key(images, sizes, seed)
    folder = unfinished(key)

    def make() -> dict[str, Tensor]:
        net, histories = quocnet.learn(
            images.to(settings.device()), STAGES, schedules(sizes), seed=seed, folder=folder, progress="learning"
        )
        return _tensors(net) | {f"history {number}": history for number, history in enumerate(histories)}

    kept = cache.load_or_make(KEPT, key, make)
    histories = tuple(kept[f"history {number}"] for number in range(len(STAGES)))
    return _network(kept), histories


def unfinished(key: Mapping) -> Path:
    """The folder in which a training that was interrupted is kept.

    Args:
        key: as from :func:`unlabelled_key`.
    """
    return cache.location("quocnet-unfinished", key).with_suffix("")


def with_labels(like: QuocNet, cars: Cars, sizes: Sizes, *, seed: int = settings.SEED) -> QuocNet:
    """The network that learns the same task end to end, from the weights on disk where they are current.

    Args:
        like: the random network that it begins as.
        cars: the pictures.
        sizes: how long.
        seed: of the linear layer on top, and of the order of the pictures.
    """
    key = {
        "images": files.digest({"images": cars.train, "cars": cars.train_car}),
        "start": cache.described(like),
        "schedule": vars(Schedule(sizes.supervised)),
        "seed": seed,
        "code": fingerprint.of(quocnet.supervise),
    }

    def make() -> dict[str, Tensor]:
        start, images, labels = (part.to(settings.device()) for part in (like, cars.train, cars.train_car.long()))
        schedule = Schedule(sizes.supervised)
        return _tensors(quocnet.supervise(start, images, labels, schedule, seed=seed, progress="supervised"))

    return _network(cache.load_or_make("quocnet-supervised", key, make))


def networks(cars: Cars, sizes: Sizes, *, seed: int = settings.SEED) -> Networks:
    """All three networks.

    Args:
        cars: the pictures.
        sizes: how long they are trained.
        seed: of all three.
    """
    unlabelled, histories = without_labels(cars.unlabelled, sizes, seed=seed)
    random = quocnet.random_network(unlabelled, seed=seed)
    return Networks(unlabelled, random, with_labels(random, cars, sizes, seed=seed), histories)


def size_table(networks: Networks | None, sizes: Sizes) -> str:
    """Our sizes beside the original's, in Markdown.

    Args:
        networks: ours; None where there are none.
        sizes: how much.
    """
    rows = [[what, *words] for what, words in ORIGINAL.items()]
    rows.append(["images, without labels", f"{sizes.unlabelled:,}", "10 million frames of videos"])
    rows.append(["passes over them", f"{' and '.join(map(str, sizes.epochs))}, stage by stage", "for three days"])
    if networks is not None:
        net = networks.unlabelled
        count = sum(weight.numel() for weight in net.weights)
        rows.append(["weights", f"{count:,}", "one billion"])
        rows.append(["features of the last stage", str(net.features), "not printed"])
    rows.append(["computer", "one core", "1,000 machines with 16,000 cores"])
    return markdown.words(["", "here", "Le et al. 2012"], rows)


def cost_line() -> str:
    """The sentence of the page on what the training took, beside the original's three days on 16,000 cores."""
    made = settings.computing()["seconds"]
    theirs = 16_000 * 3 * 24 * 3600
    return (
        f"Filters with and without labels took {settings.duration(made)} to learn when they were made, on a computer "
        f"that had other work to do; the original's {theirs / 3600:,.0f} core hours are "
        f"{float(f'{theirs / max(1.0, made):.2g}'):,.0f} times that."
    )


def learning_line(networks: Networks) -> str:
    """The sentence of the page on how the training without labels went.

    Args:
        networks: the three.
    """
    parts = []
    for number, history in enumerate(networks.histories, 1):
        (first, before), (last, after) = history[0].tolist(), history[-1].tolist()
        parts.append(
            f"Stage {number}: squared error {first:.0f} → {last:.0f}, pooled answers {before:.0f} → {after:.0f}, means "
            f"of the first and of the last of {len(history)} epochs."
        )
    return "\n".join(parts)


def features(networks: Networks) -> dict[str, Callable[[Tensor], Tensor]]:
    """What the heads stand on, by name.

    Args:
        networks: the three.
    """
    return {
        UNLABELLED: networks.unlabelled,
        RANDOM: networks.random,
        PIXELS: nn.Flatten(),
        SUPERVISED: networks.supervised,
    }


def fit_head(network: nn.Module, cars: Cars) -> Head:
    """Logistic regression on frozen, standardised features; a fifth of the training pictures chooses its penalty.

    Args:
        network: images -> features (B, n).
        cars: the pictures.

    Returns:
        The head with its network, in evaluation mode.
    """
    vectors, labels = quocnet.in_chunks(network, cars.train).double().numpy(), cars.train_car.numpy()
    mean, scale = vectors.mean(0), vectors.std(0) + 1e-6
    vectors = (vectors - mean) / scale
    apart = np.arange(len(labels)) % 5 == 0  # the pictures are in a random order

    def fitted(strength: float, rows: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=2000).fit(vectors[rows], labels[rows])

    best = max(STRENGTHS, key=lambda strength: fitted(strength, ~apart).score(vectors[apart], labels[apart]))
    found = fitted(best, np.ones_like(apart))
    numbers = (torch.from_numpy(values).float() for values in (mean, scale, found.coef_[0]))
    return Head(network, *numbers, float(found.intercept_[0])).eval().requires_grad_(False)


def fit_heads(networks: Networks, cars: Cars) -> dict[str, Head]:
    """A head on each kind of features, by name.

    Args:
        networks: the three.
        cars: the pictures.
    """
    return {name: fit_head(network, cars) for name, network in features(networks).items()}


def taken_for_cars(head: nn.Module, images: Tensor) -> Tensor:
    """Whether each picture is taken for a car.

    Args:
        head: images -> logits (B, 2).
        images: (B, 3, 32, 32).

    Returns:
        (B,) bool.
    """
    return quocnet.in_chunks(head, images).argmax(1) == 1


def accuracy_table(heads: Mapping[str, Head], cars: Cars) -> Table:
    """How many test pictures each head gets right.

    Args:
        heads: by name.
        cars: the pictures.

    Returns:
        A ``Table`` named ``quocnet_heads``: training accuracy, test accuracy and its exact interval of 95 %.
    """
    rows = {}
    for name, head in heads.items():
        trained = (taken_for_cars(head, cars.train) == cars.train_car).double().mean()
        rows[name] = [float(trained), *_rate(taken_for_cars(head, cars.test) == cars.test_car)]
    return Table("quocnet_heads", ["training", "test", "from", "to"], rows, {"data": cars.data})


def ahead(heads: Mapping[str, Head], cars: Cars, one: str, other: str) -> tuple[float, float, float]:
    """By how much one head is more accurate than another on the same test pictures.

    Args:
        heads: by name.
        cars: the pictures.
        one: name of a head.
        other: name of another.

    Returns:
        The difference of the test accuracies and its bootstrap interval of 95 %.
    """
    right = [(taken_for_cars(heads[name], cars.test) == cars.test_car).double() for name in (one, other)]
    return interval(right[0] - right[1])


def first_stage(network: QuocNet) -> QuocNet:
    """The first stage of a network by itself.

    Args:
        network: of several stages.
    """
    first = QuocNet(network.stages[:1], network.shape, network.whitening, [network.weights[0]])
    return first.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Units:
    """Single units as detectors of cars, each with the threshold and the sign that the training pictures choose.

    Attributes:
        train: (n,) accuracy of each unit on the training pictures.
        test: (n,) on the test pictures.
        sign: (n,) 1 where more means car, and -1 where less does.
        right: (T,) bool, whether the best unit gets each test picture right.
    """

    train: np.ndarray
    test: np.ndarray
    sign: np.ndarray
    right: Tensor

    @property
    def best(self) -> int:
        """The unit that the training pictures choose."""
        return int(self.train.argmax())


def single_units(vectors: Tensor, car: Tensor, test_vectors: Tensor, test_car: Tensor) -> Units:
    """Each unit by itself as a detector of cars.

    Twenty equally spaced thresholds between a unit's least and largest training value are tried in both directions.
    Unlike the original, which chose units and thresholds on the test pictures, the training pictures choose.

    Args:
        vectors: (L, n), of the training pictures.
        car: (L,) bool.
        test_vectors: (T, n).
        test_car: (T,) bool.

    Source:
        Le et al. 2012, section 4.2.
    """
    low, high = vectors.amin(0), vectors.amax(0)
    steps = torch.arange(1, THRESHOLDS + 1, dtype=vectors.dtype) / (THRESHOLDS + 1)
    edges = low + steps[:, None] * (high - low)  # (thresholds, n)
    rates = torch.stack([((vectors > edge) == car[:, None]).double().mean(0) for edge in edges])
    both = torch.cat([rates, 1 - rates])
    train, place = both.max(0)
    edge = edges.gather(0, (place % THRESHOLDS)[None])[0]
    sign = torch.where(place < THRESHOLDS, 1, -1)
    said = (test_vectors > edge) == (sign == 1)
    right = said == test_car[:, None]
    best = int(train.argmax())
    return Units(train.numpy(), right.double().mean(0).numpy(), sign.numpy(), right[:, best])


def all_units(networks: Networks, cars: Cars) -> dict[str, Units]:
    """Single units of the network without labels, of random filters and of linear ones.

    Args:
        networks: the three.
        cars: the pictures.
    """
    layers = {
        UNLABELLED: networks.unlabelled,
        RANDOM: networks.random,
        LINEAR: lambda images: quocnet.filtered(
            networks.unlabelled.whitened(images), networks.unlabelled.weights[0], STAGES[0]
        ).flatten(1),
    }
    return {
        name: single_units(
            quocnet.in_chunks(layer, cars.train), cars.train_car, quocnet.in_chunks(layer, cars.test), cars.test_car
        )
        for name, layer in layers.items()
    }


def unit_table(units: Mapping[str, Units], data: str) -> Table:
    """The best single unit of each kind, and how good all of them are.

    Args:
        units: by the name of their layer.
        data: what the pictures are.

    Returns:
        A ``Table`` named ``quocnet_units``: how many units, test accuracy of the best with its exact interval, and the
        test accuracies at the middle and at the 97.5th percentile of all units.
    """
    rows = {
        name: [len(found.test), *_rate(found.right), *np.quantile(found.test, (0.5, 0.975)).tolist()]
        for name, found in units.items()
    }
    return Table("quocnet_units", ["units", "best", "from", "to", "median", "97.5 %"], rows, {"data": data})


def unit_ahead(units: Mapping[str, Units], one: str, other: str) -> tuple[float, float, float]:
    """By how much the best unit of one layer is more accurate than that of another, on the same test pictures.

    Args:
        units: by layer.
        one: a layer.
        other: another.

    Returns:
        The difference and its bootstrap interval of 95 %.
    """
    return interval(units[one].right.double() - units[other].right.double())


@dataclass(frozen=True, eq=False)
class Stimulus:
    """What excites the most car-like unit.

    Attributes:
        unit: which.
        top: (8, 3, 32, 32), the test pictures that excite it most, whatever they show.
        cars: how many of them are cars.
        image: (1, 3, 32, 32), the picture of bounded contrast that excites it most of those found.
        value: what the unit does there, times its sign.
        largest: what it does at the first of the test pictures, likewise.
    """

    unit: int
    top: Tensor
    cars: int
    image: Tensor
    value: float
    largest: float


def stimulus(network: QuocNet, found: Units, cars: Cars, *, seed: int = settings.SEED) -> Stimulus:
    """The optimal stimulus of the unit that the training pictures call the best detector of cars.

    Among pictures in [0, 1] no further from grey than the test pictures are on average, the one at which the unit,
    times its sign, is largest, of those where searches from several pictures of faint noise end. The box is kept by the
    solver, the distance from grey by a penalty and a last step back.

    Args:
        network: images -> features.
        found: its units.
        cars: the pictures.
        seed: of the noise.

    Source:
        Le et al. 2012, section 4.4: argmax f(x) with the norm of x fixed.
    """
    unit = found.best
    sign = float(found.sign[unit])
    values = sign * quocnet.in_chunks(network, cars.test)[:, unit]
    order = values.argsort(descending=True, stable=True)[:8]
    radius = float((cars.test - 0.5).flatten(1).norm(dim=1).mean())
    noise = torch.randn(STARTS, *network.shape, generator=torch.Generator().manual_seed(seed))

    def away(flat: Tensor) -> Tensor:
        return (flat - 0.5).norm(dim=1) / radius

    def objective(flat: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = flat.detach().requires_grad_()
            cost = 10 * (away(leaf) - 1).clamp(min=0).square() - sign * network(leaf.view(-1, *network.shape))[:, unit]
            (slope,) = torch.autograd.grad(cost.sum(), leaf)
        return cost.detach(), slope

    start = (0.5 + 0.05 * noise).clamp(0, 1).flatten(1)
    flat = minimize_box(objective, start, max_iterations=150, decrease_tolerance=1e-5).x
    flat = 0.5 + (flat - 0.5) / away(flat).clamp(min=1)[:, None]
    images = flat.view(-1, *network.shape)
    with torch.no_grad():
        excited = sign * network(images)[:, unit]
    best = int(excited.argmax())
    return Stimulus(
        unit,
        cars.test[order],
        int(cars.test_car[order].sum()),
        images[best : best + 1],
        float(excited[best]),
        float(values[order[0]]),
    )


def stimulus_line(found: Stimulus) -> str:
    """The sentence of the page on the optimal stimulus.

    Args:
        found: what was found.
    """
    return (
        f"Unit {found.unit}, read so that more of it means a car: {found.cars} of the {len(found.top)} test pictures "
        f"that excite it most are cars; the first of them brings it to {found.largest:.2f}, the optimal stimulus to "
        f"{found.value:.2f}."
    )


@dataclass(frozen=True, eq=False)
class Unmade:
    """Cars that a head recognised, and the closest pictures found that it does not take for cars.

    Attributes:
        rows: (M,) long, which test pictures.
        images: (M, 3, 32, 32), the cars.
        found: the closest pictures.
    """

    rows: Tensor
    images: Tensor
    found: Distortion


def unmake(head: Head, cars: Cars, count: int, *, seed: int = settings.SEED, progress: str | None = None) -> Unmade:
    """Figure 6: cars drawn by the seed among those that a head recognises, none picked, each made into none.

    Args:
        head: images -> logits (B, 2).
        cars: the pictures.
        count: how many.
        seed: of the draw, the same for every head.
        progress: title of a progress bar; None for none.

    Raises:
        ValueError: fewer cars are recognised.

    Source:
        Szegedy et al. 2013, Figure 6.
    """
    order = torch.randperm(len(cars.test), generator=torch.Generator().manual_seed(seed))
    rows = order[(cars.test_car & taken_for_cars(head, cars.test))[order]][:count]
    if len(rows) < count:
        raise ValueError(f"got {len(rows)} recognised cars; expected at least {count}; ask for fewer.")
    images = cars.test[rows]
    found = runs.attack(head, images, torch.zeros(count, dtype=torch.long), refine=True, progress=progress)
    return Unmade(rows, images, found)


def unmake_all(heads: Mapping[str, Head], cars: Cars, count: int) -> dict[str, Unmade]:
    """Figure 6 for every head.

    Args:
        heads: by name.
        cars: the pictures.
        count: how many for each.
    """
    return {name: unmake(head, cars, count, progress=f"unmaking cars, {name}") for name, head in heads.items()}


def distortion_table(heads: Mapping[str, Head], unmade: Mapping[str, Unmade], sizes: Sizes, data: str) -> Table:
    """How far the closest pictures found are that are not taken for cars, and what else of the same length does.

    Args:
        heads: by name.
        unmade: by the name of the head.
        sizes: how many draws of noise.
        data: what the pictures are.

    Returns:
        A ``Table`` named ``quocnet_distortions``: how many cars, the share that was unmade, the mean distortion with
        its bootstrap interval of 95 %, the median, and the shares that are lost to noise of the same length, to noise
        ``FAR`` times as long, and to the perturbation of another car at that length.
    """
    rows = {}
    for name, one in unmade.items():
        mean, low, high = interval(one.found.rms)
        lost = 1 - recognised_at(heads[name], one, (1, FAR), sizes.noises)
        unmade_share, median = float(one.found.success.double().mean()), float(tables.median(one.found.rms))
        shares = [lost.at[1, "noise"], lost.at[FAR, "noise"], lost.at[FAR, "another car's"]]
        rows[name] = [len(one.rows), unmade_share, mean, low, high, median, *shares]
    columns = ["cars", "unmade", "mean distortion", "from", "to", "median", NOISE, FAR_NOISE, FAR_OTHER]
    return Table("quocnet_distortions", columns, rows, {"data": data})


def distortion_view(table: Table) -> Styler:
    """The table of distortions for display.

    Args:
        table: as from :func:`distortion_table`.
    """
    frame = table.to_frame()
    shown = frame.style.format("{:.5f}").format("{:.0f}", subset=["cars"])
    return shown.format("{:.1%}", subset=["unmade", NOISE, FAR_NOISE, FAR_OTHER])


def recognised_at(head: Head, one: Unmade, factors: Sequence[float], noises: int) -> pd.DataFrame:
    """The share of cars that are still recognised after a step of a multiple of their own minimal distortion.

    Args:
        head: images -> logits.
        one: its cars.
        factors: the multiples.
        noises: draws of noise for each car.

    Returns:
        For each ``factor`` the shares along the car's own perturbation, along that of the car before, for the first one
        that of the last, and along noise; all pictures are cut to [0, 1].
    """
    step = one.found.images - one.images
    length = one.found.rms.clamp(min=1e-12)
    other = step.roll(1, 0) * (length / length.roll(1, 0)).float().view(-1, 1, 1, 1)
    many = one.images.repeat(noises, 1, 1, 1)
    rows = {}
    for factor in factors:
        noisy = noise_of_size(many, (factor * length).repeat(noises))
        moved = {"its own": one.images + factor * step, "another car's": one.images + factor * other, "noise": noisy}
        rows[factor] = {
            way: float(taken_for_cars(head, images.clamp(0, 1)).double().mean()) for way, images in moved.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="factor")


@dataclass(frozen=True)
class Brittleness:
    """Distortions of one network over those of another, car by car; ``str`` makes a sentence of it.

    Attributes:
        cars: how many of the cars that were drawn for one were drawn for the other too.
        ratio: geometric mean of the ratios.
        low: lower end of its bootstrap interval of 95 %.
        high: its upper end.
    """

    cars: int
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"On the {self.cars} cars that were drawn for both, the perturbation that the network without labels needs "
            f"is {self.ratio:.2f} times as long as the supervised one's "
            f"(geometric mean; 95 % interval {self.low:.2f} to {self.high:.2f})."
        )


def brittleness(unmade: Mapping[str, Unmade], one: str = UNLABELLED, other: str = SUPERVISED) -> Brittleness:
    """Is one network as brittle as another, on the cars that were drawn for both?

    Args:
        unmade: by the name of the head.
        one: a head.
        other: another.

    Raises:
        ValueError: they share fewer than two cars.
    """
    first, second = (
        dict(zip(unmade[name].rows.tolist(), unmade[name].found.rms.log().tolist(), strict=True))
        for name in (one, other)
    )
    logs = torch.tensor([value - second[row] for row, value in first.items() if row in second], dtype=torch.float64)
    if len(logs) < 2:
        raise ValueError(f"got {len(logs)} cars that both recognise; expected at least two; attack more.")
    return Brittleness(len(logs), *(float(np.exp(value)) for value in interval(logs)))


def by_length(
    heads: Mapping[str, Head], unmade: Mapping[str, Unmade], names: Sequence[str], sizes: Sizes
) -> dict[str, pd.DataFrame]:
    """The shares of :func:`recognised_at` over ``LENGTHS``, for some heads.

    Args:
        heads: by name.
        unmade: by the name of the head.
        names: of the heads.
        sizes: how many draws of noise.
    """
    return {name: recognised_at(heads[name], unmade[name], LENGTHS, sizes.noises) for name in names}


def transfer_table(heads: Mapping[str, Head], unmade: Mapping[str, Unmade], data: str) -> Table:
    """Cars unmade for one head, shown to the others.

    Args:
        heads: by name.
        unmade: by the name of the head that they were unmade for.
        data: what the pictures are.

    Returns:
        A ``Table`` named ``quocnet_transfer``: for each maker and each of ``FACTORS`` by which its perturbations are
        multiplied, the share that each head loses of the cars that it recognised before.
    """
    rows = {}
    for maker, one in unmade.items():
        for factor in FACTORS:
            moved = (one.images + factor * (one.found.images - one.images)).clamp(0, 1)
            rows[f"{maker}, × {factor}"] = [_lost(head, one.images, moved) for head in heads.values()]
    return Table("quocnet_transfer", list(heads), rows, {"data": data})


def all_tables(
    heads: Mapping[str, Head],
    units: Mapping[str, Units],
    unmade: Mapping[str, Unmade],
    cars: Cars,
    sizes: Sizes,
) -> dict[str, Table]:
    """The tables of the page: ``heads``, ``units``, ``distortions`` and ``transfer``.

    Args:
        heads: by name.
        units: by layer.
        unmade: by head.
        cars: the pictures.
        sizes: how many draws of noise.
    """
    return {
        "heads": accuracy_table(heads, cars),
        "units": unit_table(units, cars.data),
        "distortions": distortion_table(heads, unmade, sizes, cars.data),
        "transfer": transfer_table(heads, unmade, cars.data),
    }


@dataclass(frozen=True)
class Claim:
    """A claim and what has become of it.

    Attributes:
        id: by which it is known.
        text: a sentence without its full stop.
        place: where it stands.
        number: what decides it, in words.
        holds: whether it has come out true; None where the run has not decided it.
        run: whether it was put to the test at all.
    """

    id: str
    text: str
    place: str
    number: str
    holds: bool | None
    run: bool = True

    @property
    def verdict(self) -> str:
        """One of four verdicts, in a word or two."""
        return {True: "reproduced", False: "differs", None: "not decided"}[self.holds] if self.run else "not run"


def decide(
    heads: Mapping[str, Head],
    cars: Cars,
    units: Mapping[str, Units],
    unmade: Mapping[str, Unmade],
    made: Mapping[str, Table],
) -> list[Claim]:
    """The claims of this page.

    Args:
        heads: by name.
        cars: the pictures.
        units: by layer.
        unmade: by head.
        made: as from :func:`all_tables`.
    """
    frame, matrix = made["distortions"].to_frame(), made["transfer"].to_frame()
    ours, theirs = frame.loc[UNLABELLED], frame.loc[SUPERVISED]
    unit, filters = unit_ahead(units, UNLABELLED, RANDOM), unit_ahead(units, UNLABELLED, LINEAR)
    better, ratio = ahead(heads, cars, UNLABELLED, RANDOM), brittleness(unmade)
    alike = True if ratio.low > 1 / ALIKE and ratio.high < ALIKE else None
    if ratio.low > ALIKE or ratio.high < 1 / ALIKE:
        alike = False
    across = [matrix.loc[f"{UNLABELLED}, × 1", SUPERVISED], matrix.loc[f"{SUPERVISED}, × 1", UNLABELLED]]
    whole, section = "Figure 6", "section 4.2"
    original = "Le et al. 2012, section 4"
    return [
        Claim("quocnet-unmade", "Every recognised car drawn has a picture close by that is not recognised", whole,
              f"{ours['unmade']:.0%} of {ours['cars']:.0f}", bool(ours["unmade"] == 1)),
        Claim("quocnet-close", "The change is hard to see: a mean distortion below 4 of 255 levels", section,
              f"{255 * ours['mean distortion']:.2f} levels", bool(ours["to"] < HARD_TO_SEE)),
        Claim("quocnet-noise", "Noise of the same length leaves nine in ten cars what they are", "ours",
              f"{ours[NOISE]:.1%} lost", bool(ours[NOISE] < 0.1)),
        Claim("quocnet-others", f"At {FAR} times the length another car's perturbation loses more than noise", "ours",
              f"{ours[FAR_OTHER]:.1%} against {ours[FAR_NOISE]:.1%}", bool(ours[FAR_OTHER] > ours[FAR_NOISE])),
        Claim("quocnet-alike", "Features without labels are as brittle as supervised ones, within a factor of two",
              "ours",
              f"ratio {ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})", alike),
        Claim("quocnet-supervised", "Every car is unmade for the supervised network as well", section,
              f"{theirs['unmade']:.0%} of {theirs['cars']:.0f}", bool(theirs["unmade"] == 1)),
        Claim("quocnet-transfer", "A relatively large fraction, a tenth, fools the other network, both ways", section,
              " and ".join(f"{share:.1%}" for share in across), bool(min(across) > LARGE)),
        Claim("quocnet-learned", "Features learned without labels beat random filters under the same head", "ours",
              _signed(better), _sign(better)),
        Claim("quocnet-unit", "The best single unit beats the best of random filters", original,
              _signed(unit), _sign(unit)),
        Claim("quocnet-linear", "The best single unit beats the best linear filter", original,
              _signed(filters), _sign(filters)),
        Claim("quocnet-scale", "The same at a billion weights and ten million frames", whole,
              "needs the original's computers", None, run=False),
    ]  # fmt: skip


def claim_list(claims: Sequence[Claim]) -> str:
    """Claims as a table in Markdown.

    Args:
        claims: in order.
    """
    rows = [[f"`{one.id}`", one.text, one.place, one.number, f"**{one.verdict}**"] for one in claims]
    return markdown.words(["id", "claim", "where", "what decides it", "verdict"], rows)


def disagreements(made: Mapping[str, Table], claims: Sequence[Claim]) -> list[str]:
    """Where tables and claims differ from the stored run, which a recording run stores first.

    Args:
        made: as from :func:`all_tables`.
        claims: as from :func:`decide`.

    Returns:
        A line for each that differs.
    """
    lines = [results.check(table, tolerances(table)) for table in made.values()]
    outcomes = {one.text: one.holds for one in claims if one.run}
    lines.append(results.check_claims("quocnet_claims", outcomes, {"data": made["heads"].meta["data"]}))
    return [line for line in lines if not ("agrees" in line or line.startswith("All"))]


def tolerances(table: Table) -> pd.DataFrame:
    """How far each entry of a rerun may lie from the stored run.

    Another arithmetic is taken to amount to no more than another seed.

    Args:
        table: one of the page's.

    Returns:
        The standard deviation of each entry over seeds, measured in the quick profile; at least that of the middle of
        its column and at least what ``FLOORS`` says.
    """
    spread = results.load(f"spread_{table.name}", "quick").to_frame().reindex(list(table.rows)).fillna(0)
    least = pd.Series({column: FLOORS.get(column, 0.01) for column in table.columns})
    return spread.clip(lower=spread.median(), axis=1).clip(lower=least, axis=1)


def interval(values: Tensor, level: float = 0.95, *, seed: int = settings.SEED) -> tuple[float, float, float]:
    """The mean of some values and its percentile bootstrap interval.

    Args:
        values: (N,), at least one.
        level: of confidence.
        seed: of the resamples.

    Returns:
        Mean, lower and upper end.
    """
    numbers = values.double().numpy()
    draw = np.random.default_rng(seed)
    means = np.array([numbers[draw.integers(len(numbers), size=len(numbers))].mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(numbers.mean()), float(low), float(high)


def _balanced(pictures: Pictures, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As many cars as other pictures, in a random order, and which are cars."""
    order = torch.randperm(len(pictures), generator=generator)
    car = pictures.labels[order] == CAR
    for many, kind in ((int(car.sum()), "cars"), (int((~car).sum()), "other pictures")):
        if many < count:
            raise ValueError(f"got {many} {kind} in {pictures.name}; expected at least {count}; ask for fewer.")
    rows = torch.cat([order[car][:count], order[~car][:count]])
    rows = rows[torch.randperm(len(rows), generator=generator)]
    return pictures.images(rows), pictures.labels[rows] == CAR


def _rate(right: Tensor) -> list[float]:
    """A rate and its exact interval of 95 %."""
    count = int(right.sum())
    ends = stats.binomtest(count, len(right)).proportion_ci(method="exact")
    return [count / len(right), float(ends.low), float(ends.high)]


def _lost(head: Head, images: Tensor, moved: Tensor) -> float | None:
    """The share of the cars recognised before that are not recognised after; None where there were none."""
    before = taken_for_cars(head, images)
    if not bool(before.any()):
        return None
    return float((~taken_for_cars(head, moved[before])).double().mean())


def _sign(found: tuple[float, float, float]) -> bool | None:
    """Whether an effect is above zero; None where its interval holds zero."""
    return None if found[1] <= 0 <= found[2] else found[1] > 0


def _signed(found: tuple[float, float, float]) -> str:
    """A difference of accuracies with its interval, in percentage points."""
    return f"{100 * found[0]:+.1f} points ({100 * found[1]:+.1f} to {100 * found[2]:+.1f})"


def _tensors(network: QuocNet) -> dict[str, Tensor]:
    """What a network consists of."""
    return {"whitening": network.whitening} | {f"weight {i}": weight for i, weight in enumerate(network.weights)}


def _network(kept: Mapping[str, Tensor]) -> QuocNet:
    """The network of such tensors."""
    weights = [kept[f"weight {number}"] for number in range(len(STAGES))]
    return QuocNet(STAGES, cifar.SHAPE, kept["whitening"], weights).eval().requires_grad_(False)
