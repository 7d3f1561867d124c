"""The large comparison: plans chosen on images held out of the training set, the best of them judged on the test set.

Everything is decided by the mean error over seeds on 10,000 images of the training set. The test set is read at the
very end of a part, with the averaged and with the last weights of each network, and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.attack.distortion import minimum_distortion
from intriguing.book.clock import Clock
from intriguing.chapters.back_feeding import examples
from intriguing.chapters.back_feeding.bank import SIZES, Bank, Plan, Setup, fresh, side_by_side, wrong
from intriguing.chapters.back_feeding.examples import ACTIVATIONS, Weights

RATE = 2e-3
PACES = {"ReLU": (0.4, 2.0), "sigmoid": (2.0, 5.0)}
"""Factors of the learning rate that the best known plans are tried with as well."""
AT_OTHER_RATES = ("nothing", "dose 1.5", "dose 2")
"""Plans that are tried with other learning rates as well."""
FED = ("dose", "exit", "hidden", "pools")
"""Families of plans that feed adversarial examples back."""
MAIN = ("weight decay", "dropout", "noise")
"""Families of rivals that are judged on as many networks as the best plans."""
OTHERS = ("exit", "pools", "both", "nothing", "virtual", "deformed")
"""Families of which the best plan is judged on fewer networks."""
POOL = 2000
BATCH = 200
EVERYWHERE = (0, 1, 2)
LAYERS = {"input": (0,), "first hidden": (1,), "second hidden": (2,), "all layers": EVERYWHERE}
EPOCHS = (300, 250, 200, 150, 120, 100, 80, 60, 50, 40, 30, 25, 20, 15, 12, 10, 8, 6, 5, 4, 3, 2, 1)
"""How long networks may be trained; the longest that fits is taken."""
LARGER = (1.5, 2.0)  # than the best dose of short trainings, in case longer ones want more


@dataclass(frozen=True)
class Entry:
    """Something that is tried.

    Attributes:
        name: short, for tables.
        family: what it is an example of.
        plan: how it trains.
    """

    name: str
    family: str
    plan: Plan


@dataclass(frozen=True)
class Pixels:
    """Images as the networks read them, and what they show.

    Attributes:
        images: (N, 784) float32 in [0, 1], on the device.
        labels: (N,) long.
    """

    images: Tensor
    labels: Tensor

    def cut(self, rows: slice) -> Pixels:
        """Some of them."""
        return Pixels(self.images[rows], self.labels[rows])

    def __len__(self) -> int:
        return len(self.labels)


def selection(activation: str) -> list[Entry]:
    """Everything that is tried with an activation.

    Args:
        activation: "ReLU" or "sigmoid".

    Returns:
        Entries with different names.
    """
    plans: list[tuple[str, str, Plan]] = [("nothing", "nothing", Plan())]
    plans += [(f"weight decay {decay:g}", "weight decay", Plan(decay=decay)) for decay in (1e-6, 1e-5, 1e-4)]
    plans += [
        (f"dropout {'/'.join(f'{100 * part:g}' for part in parts)} %", "dropout", Plan(dropout=parts))
        for parts in ((0.1, 0.0, 0.0), (0.2, 0.1, 0.1), (0.2, 0.25, 0.25))
    ]
    plans += [(f"noise {size:g}", "noise", Plan("noise", size)) for size in (1.5, 3.0)]
    plans += [(f"virtual {size:g}", "virtual", Plan("virtual", size)) for size in (1.0, 2.0)]
    plans += [(f"deformed {size:g}", "deformed", Plan("deformed", size)) for size in (0.5, 1.0)]
    plans += [(f"dose {size:g}", "dose", Plan("dose", size)) for size in (0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0)]
    plans += [
        ("dose 1.5, no box", "dose", Plan("dose", 1.5, box="none")),
        ("dose 1.5, facing in", "dose", Plan("dose", 1.5, box="facing")),
        ("dose 0.75 to 2.25", "dose", Plan("dose", 1.5, radius="growing")),
        ("dose 1.5, small start", "dose", Plan("dose", 1.5, gain=0.4)),
        ("dose 1.5, dropout", "both", Plan("dose", 1.5, dropout=(0.1, 0.0, 0.0))),
    ]
    plans += [(f"exit x {size:g}", "exit", Plan("exit", size)) for size in (1.0, 1.5, 2.0)]
    plans += [("exit x 1, 3 steps", "exit", Plan("exit", 1.0, steps=3))]
    for where, layers in list(LAYERS.items())[1:]:
        sizes = (0.7, 1.0, 1.5) if layers == EVERYWHERE else (1.0, 2.0, 4.0)
        plans += [(f"{where} {size:g}", "hidden", Plan("dose", size, layers)) for size in sizes]
        plans += [(f"{where} {sizes[1]:g}, through", "hidden", Plan("dose", sizes[1], layers, through=True))]
    kept = {"layers": EVERYWHERE, "pool": POOL}
    plans += [
        (f"pools x {size:g}, in turn", "pools", Plan("exit", size, steps=3, alternate=True, **kept))
        for size in (1.0, 1.5)
    ]
    plans += [
        ("pools x 1.5, together", "pools", Plan("exit", 1.5, steps=3, **kept)),
        ("pools, dose 1.5, in turn", "pools", Plan("dose", 1.5, alternate=True, **kept)),
    ]
    found = [Entry(name, family, replace(plan, activation=activation)) for name, family, plan in plans]
    tried = [entry for entry in found if entry.name in AT_OTHER_RATES]
    for pace in PACES[activation]:
        for entry in tried:
            found.append(replace(entry, name=f"{entry.name}, rate x {pace:g}", plan=replace(entry.plan, pace=pace)))
    return found


def best(rows: Iterable[Mapping[str, Any]], families: Sequence[str], count: int = 1) -> list[Mapping[str, Any]]:
    """The rows with the smallest mean error on the images that are chosen by.

    Args:
        rows: with ``family`` and ``errors``, one for each seed.
        families: what may be chosen.
        count: how many.

    Returns:
        At most ``count`` rows, the best first.
    """
    among = [row for row in rows if row["family"] in families]
    return sorted(among, key=lambda row: sum(row["errors"]) / len(row["errors"]))[:count]


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry that a row tells of."""
    plan = {name: tuple(value) if isinstance(value, list) else value for name, value in row["plan"].items()}
    return Entry(row["name"], row["family"], Plan(**plan))


def to_confirm(rows: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """What is trained for as long as the finalists before they are named: the best four, and larger doses.

    Args:
        rows: of the selection, of one activation.

    Returns:
        At most six entries.
    """
    found = [entry_of(row) for row in best(rows, FED, 4)]
    dose = entry_of(best(rows, ("dose",))[0])
    for factor in LARGER:
        size = round(factor * dose.plan.size, 2)
        found.append(replace(dose, name=f"{dose.name} x {factor:.2f}", plan=replace(dose.plan, size=size)))
    return found


def finalists(
    chosen: Sequence[Mapping[str, Any]], confirmed: Sequence[Mapping[str, Any]]
) -> tuple[list[Entry], list[Entry]]:
    """What is judged on the test set.

    Args:
        chosen: rows of the selection, of one activation.
        confirmed: rows of the longer training of the best of them; may be empty.

    Returns:
        The two best plans of all that feed examples back with the best of ``MAIN``, and the best of each of ``OTHERS``
        where they are not among the first.
    """
    rows = [*best(confirmed or chosen, FED, 2), *(row for family in MAIN for row in best(chosen, (family,)))]
    first = {entry.name: entry for entry in map(entry_of, rows)}
    rest = [entry_of(row) for family in OTHERS for row in best(chosen, (family,))]
    return list(first.values()), [entry for entry in rest if entry.name not in first]


def of_layers(chosen: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The comparison of layers, each with the size that was best for it.

    Args:
        chosen: rows of the selection, of one activation.

    Returns:
        Entries for no examples, for each layer and for all, the hidden ones with and without ``through``.
    """
    activation = chosen[0]["activation"]
    found = [Entry("nothing", "nothing", Plan(activation=activation))]
    for where, layers in LAYERS.items():
        for through in (False, True):
            like = Plan("dose", 1.0, layers, through=through, activation=activation).made_like
            among = [row for row in chosen if row["family"] in FED and entry_of(row).plan.made_like == like]
            among = [row for row in among if row["plan"]["gain"] == 1]
            if among:
                row = best(among, FED)[0]
                name = f"{where}{', through' if through else ''}"
                found.append(replace(entry_of(row), name=name, family="layers"))
    return found


def of_doses(activation: str) -> list[Entry]:
    """The curve of error against the length of the step."""
    sizes = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
    return [Entry(f"dose {size:g}", "curve", Plan("dose", size, activation=activation)) for size in sizes]


def run(
    entries: Sequence[Entry], epochs: int, seeds: int, fitted: Pixels, judged: Pixels, clock: Clock
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], Tensor], dict[tuple[str, str], Weights]]:
    """Trains every entry from several seeds and counts what it misreads.

    Args:
        entries: what is trained, all at once.
        epochs: passes over the images.
        seeds: networks for each entry, seeds 0 to ``seeds - 1``.
        fitted: images that are learned.
        judged: images that the errors are counted on.
        clock: when it ends before the training does, nothing is returned.

    Returns:
        A row for each entry: name, family, plan, rate, batch, epochs, images, the errors of the averaged and of the
        last weights and on (some of) the images that were learned, and the bank's seconds for each network and epoch;
        by activation and name which images are misread, (S, N) bool on the CPU; and likewise the averaged weights.
    """
    setup = Setup(RATE, epochs, min(BATCH, len(fitted)))
    entries = sorted(entries, key=lambda entry: entry.plan.activation)
    function = side_by_side([entry.plan.activation for entry in entries for _ in range(seeds)])
    nets = [(entry.plan, seed) for entry in entries for seed in range(seeds)]
    trained = Bank(nets, setup, fitted.images, fitted.labels).train(until=clock.end)
    if trained.epochs < epochs:
        return [], {}, {}
    some = fitted.cut(slice(0, len(judged)))
    found, last, learned = (
        wrong(weights, function, pixels.images, pixels.labels).cpu().unflatten(0, (-1, seeds))  # (E, S, N)
        for weights, pixels in ((trained.weights, judged), (trained.last, judged), (trained.weights, some))
    )
    rows, misread, kept = [], {}, {}
    for number, (entry, mistakes, at_last, left) in enumerate(zip(entries, found, last, learned, strict=True)):
        mine = slice(number * seeds, (number + 1) * seeds)
        misread[entry.plan.activation, entry.name] = mistakes
        kept[entry.plan.activation, entry.name] = [(matrix[mine], bias[mine]) for matrix, bias in trained.weights]
        rows.append(
            {
                "activation": entry.plan.activation,
                **asdict(entry),
                "rate": setup.rate * entry.plan.pace,
                "batch": setup.batch,
                "epochs": epochs,
                "images": len(fitted),
                "errors": mistakes.double().mean(1).tolist(),
                "last": at_last.double().mean(1).tolist(),
                "training": left.double().mean(1).tolist(),
                "seconds": trained.seconds / epochs / len(nets),
                "networks": len(nets),
            }
        )
    return rows, misread, kept


def contrasts(misread: Mapping[tuple[str, str], Tensor]) -> list[dict[str, Any]]:
    """By how much each entry errs less than each other of its activation, and how sure that is.

    Another seed would give another network, so a difference of means has a standard error over seeds; another test set
    would hold other digits, so it has one over images as well, of the difference image by image.

    Args:
        misread: activation and name -> (S, N) bool.

    Returns:
        A row for each pair: names, the gain (positive where the first errs less) and both standard errors.
    """
    rows = []
    for first, second in combinations(misread, 2):
        if first[0] != second[0]:
            continue
        one, other = misread[first].double(), misread[second].double()
        over_seeds = sum(float(part.mean(1).var()) / len(part) for part in (one, other)) ** 0.5
        difference = other.mean(0) - one.mean(0)
        rows.append(
            {
                "activation": first[0],
                "first": first[1],
                "second": second[1],
                "gain": float(difference.mean()),
                "over seeds": over_seeds,
                "over images": float(difference.std()) / difference.numel() ** 0.5,
            }
        )
    return rows


def affordable(per_epoch: float, time_left: float, most: int) -> int:
    """The longest of ``EPOCHS`` that fits into the time.

    Args:
        per_epoch: seconds of an epoch, measured on the very networks that are to be trained.
        time_left: in seconds.
        most: epochs that are wanted.

    Returns:
        At most ``most``; 0 where not even the shortest fits.
    """
    return next((epochs for epochs in EPOCHS if epochs <= most and epochs * per_epoch <= time_left), 0)


def update_seconds(entries: Sequence[Entry], seeds: int, fitted: Pixels, *, capture: bool = True) -> float:
    """Seconds for one update of a bank, without what comes before the first one.

    Args:
        entries: of the bank.
        seeds: networks for each entry.
        fitted: images that are learned.
        capture: whether a GPU may replay the update as a graph.
    """
    nets = [(entry.plan, seed) for entry in entries for seed in range(seeds)]
    setup = Setup(RATE, 2, min(BATCH, len(fitted)))
    bank = Bank(nets, setup, fitted.images, fitted.labels)
    times: list[float] = []
    bank.train(capture=capture, after_epoch=lambda: times.append(time.monotonic()))
    return (times[1] - times[0]) / bank.updates


def _waited(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Seconds of a call, the mean over repeats after a first one."""
    for number in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number == 1:
            started = time.perf_counter()
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / repeats


COSTS = {
    "noise": Plan("noise", 1.5),
    "fixed length": Plan("dose", 1.5),
    "linearised exit": Plan("exit", 1.5),
    "exit in 3 steps": Plan("exit", 1.5, steps=3),
    "virtual": Plan("virtual", 1.0),
    "deformation": Plan("deformed", 1.0),
    "fixed length, first hidden layer": Plan("dose", 2.0, (1,)),
    "fixed length, second hidden layer": Plan("dose", 2.0, (2,)),
}


@torch.no_grad()
def costs(weights: Weights, activation: str, pixels: Pixels, *, batch: int = 200, repeats: int = 10) -> list[dict]:
    """What one fresh example costs by each kind, in seconds, and beside it the batched search for the shortest step.

    Args:
        weights: of a stack of trained networks.
        activation: of the hidden layers.
        pixels: images to make them of.
        batch: images for each network at a time.
        repeats: of each measurement.

    Returns:
        Rows with the kind, the examples made at once and the seconds for each.
    """
    function, count, some = ACTIVATIONS[activation].function, len(weights[0][0]), pixels.cut(slice(0, batch))
    device = some.images.device
    images, labels = some.images.expand(count, -1, -1), some.labels.expand(count, -1)
    forward = _waited(lambda: examples.outputs(weights, images, function), device, repeats) / labels.numel()
    rows = [{"kind": "reading the image", "at once": labels.numel(), "seconds": forward}]
    h = examples.outputs(weights, images, function)
    for name, plan in COSTS.items():
        size = torch.full((count, 1, 1), plan.size, device=device)
        plan = replace(plan, activation=activation)
        work = partial(fresh, plan, weights, h, labels, plan.layers[0], size)
        rows.append(
            {"kind": name, "at once": labels.numel(), "seconds": _waited(work, device, repeats) / labels.numel()}
        )
    one = [(matrix[:1].cpu(), bias[:1].cpu()) for matrix, bias in weights]
    some = Pixels(some.images.cpu(), some.labels.cpu())
    searched = _waited(lambda: distances(one, activation, some), torch.device("cpu"), 1) / len(some)
    return [*rows, {"kind": "search for the shortest, on the CPU", "at once": len(some), "seconds": searched}]


def module(weights: Weights, row: int, activation: str) -> nn.Sequential:
    """One network of a stack as a module.

    Args:
        weights: of the stack.
        row: which one.
        activation: of the hidden layers.

    Returns:
        In evaluation mode, on the CPU, gradients of the weights off.
    """
    between = {"ReLU": nn.ReLU, "sigmoid": nn.Sigmoid}[activation]
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(SIZES, SIZES[1:], strict=False):
        layers += [nn.Linear(fan_in, fan_out), between()]
    model = nn.Sequential(*layers[:-1]).eval().requires_grad_(False)
    for layer, (matrix, bias) in zip(model[::2], weights, strict=True):
        layer.weight.copy_(matrix[row].T)
        layer.bias.copy_(bias[row, 0])
    return model


def runners_up(model: nn.Module, pixels: Pixels) -> Tensor:
    """(N,) long, the wrong class that a network finds most likely."""
    return model(pixels.images).scatter(1, pixels.labels[:, None], -torch.inf).argmax(1)


def distances(weights: Weights, activation: str, pixels: Pixels) -> list[float]:
    """How far the boundary of the runner-up lies from images that a network reads rightly.

    Args:
        weights: of the stack.
        activation: of the hidden layers.
        pixels: images to look at.

    Returns:
        For each network the mean distance in units of the Euclidean norm, over the images for which a way out is found.
    """
    found = []
    for row in range(len(weights[0][0])):
        model = module(weights, row, activation).to(pixels.images.device)
        right = model(pixels.images).argmax(1) == pixels.labels
        some = Pixels(pixels.images[right], pixels.labels[right])
        result = minimum_distortion(model, some.images, runners_up(model, some), refine=True)
        found.append(float(result.rms[result.success].double().mean()) * SIZES[0] ** 0.5)
    return found


def fooled(weights: Weights, activation: str, pixels: Pixels, length: float, steps: int = 1) -> list[float]:
    """Which share of images each network misreads after steps up the gradient of its loss.

    Args:
        weights: of the stack.
        activation: of the hidden layers.
        pixels: images to begin with.
        length: how far from an image one may go, in units of the Euclidean norm.
        steps: how many; a single one has the whole length, as a dose has, and of more than four each has four times
            its share.

    Returns:
        For each network.
    """
    kind, plan = ACTIVATIONS[activation], Plan("dose", box="none", activation=activation)
    images, labels = (part.expand(len(weights[0][0]), *part.shape) for part in (pixels.images, pixels.labels))
    moved, size = images, images.new_full((len(images), 1, 1), length * min(1.0, 4 / steps))
    for _ in range(steps):
        h = examples.outputs(weights, moved, kind.function)
        gone = fresh(plan, weights, h, labels, 0, size)[0] - images
        gone = gone * (length / gone.norm(dim=-1, keepdim=True).clamp_min(length))
        moved = examples.boxed(images + gone, 0, kind)
    misread = examples.outputs(weights, moved, kind.function)[-1].argmax(-1) != labels
    return misread.double().mean(1).tolist()
