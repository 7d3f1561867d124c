"""Back-feeding in long trainings, made in units: each network is kept as soon as it is trained, and not trained again.

A network is kept under a key of all that determines it: plan, seed, rate, batch, epochs, images and code (see
``book.cache``). A training that is cut off goes on where it was, and any number of processes share the work: each takes
the first network that is missing and that no other has taken. What is wanted comes in four phases, in each the first
seed of everything first:

* selection: everything on the images that are not held out, five seeds, read on those that are;
* final: what ``finalists`` names when the selection of its activation is complete, trained on all of the training
  set, ten seeds, read once on the test set;
* layers: examples for hidden layers and the paper's pools of them, five seeds, read on the images held out as well,
  beside the doses for the input that were trained at the same rate for the selection;
* searched: examples that the search of this package finds, beside exits and doses, five seeds, all of them trained on
  fewer images and for fewer epochs, since such an example costs a hundred times as much.

Pools are trained in a bank of one network each, which has no memory to go on from: such a training begins anew where it
was cut off, and none is cut off because the time is over.

The rule by which finalists are named, and the power, stand here before anything is trained.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intriguing.attack import files
from intriguing.book import cache, fingerprint
from intriguing.book.unfinished import Missing, Saved, TimeOver
from intriguing.chapters.back_feeding import campaign, findings
from intriguing.chapters.back_feeding.alone import CHANCE, Alone, _flushed, layered, supported
from intriguing.chapters.back_feeding.bank import Bank, Plan, Setup, wrong
from intriguing.chapters.back_feeding.campaign import BATCH, FED, LAYERS, MAIN, RATE, Entry, Pixels
from intriguing.chapters.back_feeding.examples import ACTIVATIONS
from intriguing.chapters.back_feeding.searched import Searched
from intriguing.data import Digits

try:
    import fcntl
except ImportError:  # Windows: two processes may train the same network there, with equal results
    fcntl = None

PHASES = ("selection", "final", "layers", "searched")
EPOCHS, SEEDS, JUDGED = 200, 5, 10
DOSES = {"ReLU": (1.5, 2.0, 1.0, 2.5), "sigmoid": (1.0, 1.5, 0.7, 2.0)}
"""Lengths that are tried: the best of the short comparison, larger ones, since long training may want them, and a
smaller one; of sigmoids two, since one network erred less on the images held out with 1 than one with 1.5.
"""
PACES = {"ReLU": (2.0, 1.0), "sigmoid": (1.0, 0.5)}
"""Factors of the learning rate that everything is tried with. For ReLU the first was the better one in the short
comparison. Sigmoids want a lower rate in long trainings than in short ones: of one network each with a dose of 1.5, at
factors of 5, 2, 1 and 0.5, the last two erred least on the images held out, and about equally."""
RIVALS = {
    "ReLU": (
        ("weight decay 1e-05", "weight decay", Plan(decay=1e-5)),
        ("dropout 10/0/0 %", "dropout", Plan(dropout=(0.1, 0.0, 0.0))),
        ("noise 3", "noise", Plan("noise", 3.0)),
        ("virtual 1", "virtual", Plan("virtual", 1.0)),
        ("exit x 1", "exit", Plan("exit", 1.0)),
        ("weight decay 0.0001", "weight decay", Plan(decay=1e-4)),
        ("dropout 20/10/10 %", "dropout", Plan(dropout=(0.2, 0.1, 0.1))),
    ),
    "sigmoid": (
        ("weight decay 1e-06", "weight decay", Plan(decay=1e-6)),
        ("dropout 10/0/0 %", "dropout", Plan(dropout=(0.1, 0.0, 0.0))),
        ("noise 1.5", "noise", Plan("noise", 1.5)),
        ("virtual 1", "virtual", Plan("virtual", 1.0)),
        ("exit x 1.5", "exit", Plan("exit", 1.5)),
        ("weight decay 1e-05", "weight decay", Plan(decay=1e-5)),
        ("dropout 20/10/10 %", "dropout", Plan(dropout=(0.2, 0.1, 0.1))),
    ),
}
"""Of each of these families the setting that was best in the short comparison; of decay and dropout a stronger one as
well."""
JUDGED_TOO = (*MAIN, "virtual", "deformed", "nothing")
"""Rivals of which the best plan is judged. Virtual training was not among them before it did best on the images held
out; it was added before any network was read on the test set. Deformed images came last, when all others had been
read."""
HIDDEN = {"first hidden": (1.0, 2.0), "second hidden": (1.0, 2.0), "all layers": (1.0, 1.5)}
"""Lengths of examples for hidden layers, in standard deviations of each unit."""
FEW, BRIEF = 10_000, 20
"""Images and epochs of the trainings with searched examples and of what stands beside them."""
HASTE = {"ReLU": 2.0, "sigmoid": 5.0}
"""Factors of their learning rate, the best ones of the short comparison."""
POOLS = ("pools x 1, in turn", "pools, dose 1.5, in turn")
"""Plans of the short comparison: pools of minimal examples, and pools of those of a fixed length."""
SHOWN = 200
"""Test images from which the distance of the boundary is measured."""
LENGTHS, CLIMB, CLIMBED = (0.5, 1.5, 2.5), (1, 20), 2000
"""Lengths up to which held-out images are moved, by how many steps, and how many images."""
COSTS = {
    "none": 0.7,
    "dropout": 1.3,
    "noise": 1.9,
    "dose": 1.6,
    "exit": 1.7,
    "virtual": 2.5,
    "deformed": 3.6,
    "pool": 4.1,
    "search": 240.0,
}
"""Milliseconds of one update on one core of the machine where this was planned, which had other work to do."""


@dataclass(frozen=True)
class Run:
    """One network.

    Attributes:
        entry: what it is trained on; its plan counts, of its family only whether it is that of the search.
        seed: of the network.
        epochs: passes over the images.
        whole: whether it is trained on all of the training set and read on the test set, instead of on what is not
            held out and read on what is.
        few: whether it is trained on the first images of these only.
    """

    entry: Entry
    seed: int
    epochs: int = EPOCHS
    whole: bool = False
    few: bool = False

    def __str__(self) -> str:
        about = ", final" if self.whole else ", few images" if self.few else ""
        return f"{self.entry.plan.activation}, {self.entry.name}, seed {self.seed}{about}"


@dataclass
class Bench:
    """What networks are made with.

    Attributes:
        digits: the data.
        end: reading of ``time.monotonic`` after which nothing further is begun.
        say: prints a line.
        epochs: of every training but those with searched examples and beside them.
        seeds: networks for each plan, of all phases but the final one.
        judged: networks for each finalist.
        few: images that are learned where searched examples are compared.
        brief: epochs of these trainings.
        phases: that are made, and told of.
        pace: seconds of trainings here, as a multiple of what ``COSTS`` tells.
        read: results that are known to be there.
    """

    digits: Digits
    end: float = float("inf")
    say: Callable[[str], None] = print
    epochs: int = EPOCHS
    seeds: int = SEEDS
    judged: int = JUDGED
    few: int = FEW
    brief: int = BRIEF
    phases: Sequence[str] = PHASES
    pace: float = 1.0
    read: dict[Run, dict[str, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if strange := sorted(set(self.phases) - set(PHASES)):
            raise ValueError(f"Got the phases {', '.join(strange)}; expected some of {', '.join(PHASES)}.")
        parts = (self.digits.train, self.digits.test)
        self.train, self.test = (Pixels(part.images.flatten(1), part.labels) for part in parts)
        held = len(self.train) // 6
        self.held_out, self.fitted = self.train.cut(slice(0, held)), self.train.cut(slice(held, None))
        self.codes = {trainer: fingerprint.of(trainer, reading) for trainer in (Alone, Bank, Searched)}

    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.end

    def images(self, run: Run) -> tuple[Pixels, Pixels]:
        """What a network learns, and what it is read on."""
        if run.whole:
            return self.train, self.test
        return self.fitted.cut(slice(0, self.few if run.few else None)), self.held_out


# What is wanted.


def _named(name: str, family: str, plan: Plan, activation: str, pace: float) -> Entry:
    told = f"{name}, rate x {pace:g}" if pace != 1 else name
    return Entry(told, family, replace(plan, activation=activation, pace=pace))


def selection(activation: str) -> list[Entry]:
    """What is chosen from, the most telling first; deformed images, whose training costs most, at the end.

    Args:
        activation: "ReLU" or "sigmoid".
    """
    plans = [(f"dose {size:g}", "dose", Plan("dose", size)) for size in DOSES[activation]]
    plans += [("nothing", "nothing", Plan()), *RIVALS[activation], ("deformed 1", "deformed", Plan("deformed", 1.0))]
    return [_named(*plan, activation, pace) for pace in PACES[activation] for plan in plans]


def hidden(activation: str) -> list[Entry]:
    """Examples for hidden layers, at the first of the rates that those for the input are trained at.

    After the doses the paper's scheme, as the short comparison tried it: ``POOLS``.

    Args:
        activation: "ReLU" or "sigmoid".
    """
    plans = [
        (f"{where} {size:g}", "hidden", Plan("dose", size, LAYERS[where]))
        for where, sizes in HIDDEN.items()
        for size in sizes
    ]
    tried = campaign.selection(activation)
    plans += [(entry.name, entry.family, entry.plan) for entry in tried if entry.name in POOLS]
    return [_named(*plan, activation, PACES[activation][0]) for plan in plans]


def searched(activation: str) -> list[Entry]:
    """Examples out of the search, at its minimum, stretched, and of a fixed length, beside cheap ones and none.

    Args:
        activation: "ReLU" or "sigmoid".
    """
    plans = [
        ("nothing", "nothing", Plan()),
        ("dose 1.5", "dose", Plan("dose", 1.5)),
        ("exit x 1", "exit", Plan("exit", 1.0)),
        ("exit x 1.5", "exit", Plan("exit", 1.5)),
        ("search x 1", "search", Plan("exit", 1.0)),
        ("search x 1.5", "search", Plan("exit", 1.5)),
        ("search 1.5", "search", Plan("dose", 1.5)),
    ]
    return [_named(*plan, activation, HASTE[activation]) for plan in plans]


def finalists(rows: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Who is judged on the test set: by the mean error of the averaged weights on the images held out.

    The two best plans of all that feed adversarial examples back, and the best one each of weight decay, dropout,
    noise, virtual adversarial training, deformed images and nothing; of equal ones the one that was tried first.

    Args:
        rows: of the selection, of one activation, all seeds.
    """
    found = campaign.best(rows, FED, 2)
    found += [row for family in JUDGED_TOO for row in campaign.best(rows, (family,))]
    return [campaign.entry_of(row) for row in found]


def runs(
    entries: Mapping[str, Sequence[Entry]], seeds: int, epochs: int, *, whole: bool = False, few: bool = False
) -> list[Run]:
    """The first seed of everything first, the activations in turn.

    Args:
        entries: by activation.
        seeds: networks for each.
        epochs: of their training.
        whole: as in ``Run``.
        few: as there.
    """
    longest = max((len(some) for some in entries.values()), default=0)
    turns = [some[place] for place in range(longest) for some in entries.values() if place < len(some)]
    return [Run(entry, seed, epochs, whole, few) for seed in range(seeds) for entry in turns]


def wanted(bench: Bench, *, guess: bool = False) -> dict[str, list[Run]]:
    """All runs by phase; those of the finalists of an activation when its selection is complete.

    Args:
        bench: what they are made with.
        guess: whether finalists that are not known yet are replaced by the first of their families, for an estimate.
    """
    tried = {activation: selection(activation) for activation in ACTIVATIONS}
    chosen = runs(tried, bench.seeds, bench.epochs)
    final = {}
    for activation, entries in tried.items():
        mine = [run for run in chosen if run.entry.plan.activation == activation]
        if all(there(run, bench) for run in mine):
            final[activation] = finalists(rows(mine, bench))
        elif guess:
            named = [{**asdict(entry), "errors": [0.0]} for entry in entries]
            final[activation] = finalists(named)
    layers, few = ({activation: some(activation) for activation in ACTIVATIONS} for some in (hidden, searched))
    return {
        "selection": chosen,
        "final": runs(final, bench.judged, bench.epochs, whole=True),
        "layers": runs(layers, bench.seeds, bench.epochs),
        "searched": runs(few, bench.seeds, bench.brief, few=True),
    }


def cost(run: Run, bench: Bench) -> float:
    """Seconds of a core that a training is expected to take."""
    plan = run.entry.plan
    kind = "pool" if plan.pool else "dropout" if any(plan.dropout) else plan.kind
    kind = "search" if _trainer(run) is Searched else kind
    fitted = bench.images(run)[0]
    return 1e-3 * COSTS[kind] * run.epochs * (len(fitted) // _batch(fitted))


def left(bench: Bench) -> dict[str, float]:
    """Core-hours that each phase still wants, by what the trainings of this process took; finalists are guessed."""
    phases = wanted(bench, guess=True)
    return {
        phase: bench.pace * sum(cost(run, bench) for run in phases[phase] if not there(run, bench)) / 3600
        for phase in bench.phases
    }


def power(stored: Mapping[str, Any], seeds: int = JUDGED, images: int = 10_000) -> dict[str, float]:
    """Which differences the finals can show, said before they are trained, from the scatter of the short comparison.

    Args:
        stored: what ``findings.short`` returns.
        seeds: networks for each plan.
        images: of the test set.

    Returns:
        The standard error of an error of 1.2 % on the images alone; the standard deviation of networks that differ by
        seed; the standard error of a difference of two plans over seeds and over images, and two of both together.
    """
    aim = findings.marks()["back-feeding"]
    scatter = float(np.median([findings.spread(row) for row in stored["final"]]))
    told = [row["over images"] for row in stored["contrasts"] if row["part"] == "final"]
    over_seeds, over_images = scatter * (2 / seeds) ** 0.5, float(np.median(told))
    return {
        "of an error of 1.2 %": (aim * (1 - aim) / images) ** 0.5,
        "standard deviation": scatter,
        "over seeds": over_seeds,
        "over images": over_images,
        "seen from": 2 * float(np.hypot(over_seeds, over_images)),
    }


# Making it.


def place(run: Run, bench: Bench) -> tuple[str, dict[str, Any]]:
    """Under which name and key a network is kept."""
    fitted, judged = bench.images(run)
    key = {
        "plan": asdict(run.entry.plan),
        "seed": run.seed,
        "epochs": run.epochs,
        "rate": RATE,
        "batch": _batch(fitted),
    }
    data = {"train": bench.digits.train.digest, "learned": len(fitted), "read": len(judged)}
    data |= {"test": bench.digits.test.digest} if run.whole else {}
    return "back-fed", key | {"data": data, "code": bench.codes[_trainer(run)]}


def _trainer(run: Run) -> type:
    """What trains a network."""
    if run.entry.family == "search":
        return Searched
    return Alone if supported(run.entry.plan) else Bank


def _batch(fitted: Pixels) -> int:
    return min(BATCH, len(fitted))


def there(run: Run, bench: Bench) -> bool:
    """Whether a network has been trained."""
    return run in bench.read or cache.location(*place(run, bench)).exists()


def made(run: Run, bench: Bench) -> dict[str, Tensor]:
    """What was read of a network that has been trained: ``misread``, ``last`` and ``learned`` bool, and ``seconds``.

    Raises:
        Missing: it has not been trained.
    """

    def refuse() -> dict[str, Tensor]:
        raise Missing(f"{run} is not there.")

    if run not in bench.read:
        kept = cache.load_or_make(*place(run, bench), refuse)
        bench.read[run] = {name: kept[name] for name in ("misread", "last", "learned", "seconds")}
    return bench.read[run]


def weights(run: Run, bench: Bench) -> list[tuple[Tensor, Tensor]]:
    """The averaged weights of a network that has been trained, as a stack of one.

    Raises:
        Missing: it has not been trained.
    """
    made(run, bench)
    kept = cache.load_or_make(*place(run, bench), dict)
    return [(matrix[None], bias[None]) for matrix, bias in layered(kept["weights/averaged"])]


def reading(flat: Tensor, activation: str, pixels: Pixels) -> Tensor:
    """Which images a network misreads, (N,) bool.

    Args:
        flat: its weights, see ``alone.layered``.
        activation: of the hidden layers.
        pixels: the images.
    """
    stack = [(matrix[None], bias[None]) for matrix, bias in layered(flat)]
    return wrong(stack, ACTIVATIONS[activation].function, pixels.images, pixels.labels)[0]


def train(run: Run, bench: Bench) -> dict[str, Tensor]:
    """Trains a network where it is not there, keeps it, and returns all that is kept.

    That is ``weights/averaged`` and ``weights/last``; with both which of the images that it is read on are misread,
    ``misread`` and ``last``; with the averaged ones as many of those that it learned, ``learned``; and ``seconds`` of
    the processor.

    Raises:
        TimeOver: the training was saved, and goes on when it is begun again; never raised for pools.
    """
    (name, key), plan, trainer = place(run, bench), run.entry.plan, _trainer(run)
    fitted, judged = bench.images(run)
    setup = Setup(RATE, run.epochs, _batch(fitted))
    saved = Saved(cache.location(name, key).name, files.canonical(key), bench.over)

    def alone() -> tuple[Tensor, Tensor, float]:
        net = trainer(plan, run.seed, setup, fitted.images, fitted.labels)

        def after_epoch() -> None:
            saved.offer(net.memory)
            if bench.over() and net.epoch < run.epochs:
                raise TimeOver

        averaged, last = net.train(saved.load(), after_epoch)
        return averaged, last, net.seconds

    def pooled() -> tuple[Tensor, Tensor, float]:
        began = time.process_time()
        with _flushed():
            stack = Bank([(plan, run.seed)], setup, fitted.images, fitted.labels, seed=CHANCE + run.seed)
            trained = stack.train()
        averaged, last = (
            torch.cat([part.flatten() for layer in some for part in layer]) for some in (trained.weights, trained.last)
        )
        return averaged, last, time.process_time() - began

    def make() -> dict[str, Tensor]:
        averaged, last, seconds = pooled() if trainer is Bank else alone()
        return {
            "weights/averaged": averaged,
            "weights/last": last,
            "misread": reading(averaged, plan.activation, judged),
            "last": reading(last, plan.activation, judged),
            "learned": reading(averaged, plan.activation, fitted.cut(slice(0, len(judged)))),
            "seconds": torch.tensor(seconds, dtype=torch.float64),
        }

    found = cache.load_or_make(name, key, make)
    saved.path.unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def claimed(run: Run, bench: Bench) -> Iterator[bool]:
    """Tells whether no other process is training a network, and keeps others from it for the length of the block.

    The lock goes with the process that holds it, so that one that dies leaves its network to others.
    """
    path = files.cache_folder() / "claims" / cache.location(*place(run, bench)).stem
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        mine = True
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                mine = False
        yield mine


def work(bench: Bench) -> list[Run]:
    """Makes what is missing and taken by nobody, until the time is over.

    Args:
        bench: what it is made with.

    Returns:
        What is missing now; finalists that nobody can know yet are not among it.
    """
    spent, expected, busy = 0.0, 0.0, True
    try:
        while busy:
            busy = False
            for run in missing(bench):
                if bench.over():
                    raise TimeOver
                with claimed(run, bench) as mine:
                    if not mine or there(run, bench):
                        continue
                    train(run, bench)
                busy = True
                spent, expected = spent + float(made(run, bench)["seconds"]), expected + cost(run, bench)
                bench.pace = spent / expected
                bench.say(told(run, bench))
                break
    except TimeOver:
        bench.say("the time is over")
    return missing(bench)


def missing(bench: Bench) -> list[Run]:
    """What has not been trained, in order."""
    phases = wanted(bench)
    return [run for phase in bench.phases for run in phases[phase] if not there(run, bench)]


def told(run: Run, bench: Bench) -> str:
    """The line of a network that was trained; what finalists misread is told by ``reduced`` alone."""
    found = made(run, bench)
    said = "read on the test set"
    if not run.whole:
        said = f"validation error {_share(found['misread']):.2%} (last weights {_share(found['last']):.2%})"
    hours = left(bench)
    parts = ", ".join(f"{phase} {some:.1f}" for phase, some in hours.items())
    return f"{run}: {said}; {float(found['seconds']):.0f} s; left {sum(hours.values()):.1f} core-hours ({parts})"


def _share(misread: Tensor) -> float:
    return float(misread.double().mean())


# What came of it.


def rows(some: Sequence[Run], bench: Bench) -> list[dict[str, Any]]:
    """A row for each plan, as ``campaign.run`` has them, of the networks that are there.

    Args:
        some: runs.
        bench: what they were made with.

    Returns:
        As there; ``seconds`` are those of a processor for one network and epoch, and ``seeds`` tells whose the errors
        are.
    """
    found = []
    for entry in dict.fromkeys(run.entry for run in some):
        mine = [run for run in some if run.entry == entry and there(run, bench)]
        if not mine:
            continue
        told, fitted = [made(run, bench) for run in mine], bench.images(mine[0])[0]
        found.append(
            {
                "activation": entry.plan.activation,
                **asdict(entry),
                "rate": RATE * entry.plan.pace,
                "batch": _batch(fitted),
                "epochs": mine[0].epochs,
                "images": len(fitted),
                "seeds": [run.seed for run in mine],
                "errors": [_share(one["misread"]) for one in told],
                "last": [_share(one["last"]) for one in told],
                "training": [_share(one["learned"]) for one in told],
                "seconds": sum(float(one["seconds"]) for one in told) / len(told) / mine[0].epochs,
                "networks": 1,
            }
        )
    return found


def contrasts(some: Sequence[Run], bench: Bench) -> list[dict[str, Any]]:
    """Plans against one another, as ``campaign.contrasts`` has them, where two networks of each are there at least."""
    misread: dict[tuple[str, str], list[Tensor]] = {}
    for run in some:
        if there(run, bench):
            place = run.entry.plan.activation, run.entry.name
            misread.setdefault(place, []).append(made(run, bench)["misread"])
    return campaign.contrasts({place: torch.stack(many) for place, many in misread.items() if len(many) > 1})


def reduced(bench: Bench, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All that the chapter may tell, of what is there.

    Args:
        bench: what it was made with.
        known: what this returned before; what it tells of phases that this bench does not make stays.

    Returns:
        What ``findings`` reads of a run on a GPU: rows by phase, and contrasts of all finalists, of all layers with the
        doses and nothing of the same rate, of the searched phase, and of the best plan of the selection with all
        others; distances of the boundary; the shares of ``fooled``; and how many networks are missing in each phase,
        those of finalists that are not known yet among them.

    Raises:
        ValueError: what stays was made of other data, or otherwise.
    """
    length = {"epochs": bench.epochs, "seeds": bench.seeds, "judged": bench.judged}
    about = {"meta": {"data": bench.digits.name}, "length": length}
    before = {name: (known or {}).get(name) for name in about}
    if set(bench.phases) < set(PHASES) and before != about:
        raise ValueError(
            f"Got results of {before}; expected {about} of phases that are not made here; make all of them."
        )
    phases, guessed = wanted(bench), wanted(bench, guess=True)
    beside = [run for run in phases["selection"] if run.entry.family in ("dose", "nothing") and _first(run.entry)]
    compared = {**phases, "layers": [*beside, *phases["layers"]]}
    found: dict[str, Any] = {"confirmation": [], "missing": {}, "contrasts": []} | dict(known or {}) | about
    missed = {phase: sum(not there(run, bench) for run in guessed[phase]) for phase in bench.phases}
    found["missing"] = found["missing"] | missed
    told = [row for row in found["contrasts"] if row["part"] not in bench.phases]
    for phase in bench.phases:
        found[phase] = rows(phases[phase], bench)
        some = contrasts(compared[phase], bench)
        if phase == "selection":
            some = _of_the_best(some, found)
        told += [{"part": phase} | row for row in some]
    found["contrasts"] = told
    if "final" in bench.phases:
        found["distances"] = distances(phases["final"], bench)
    if "selection" in bench.phases:
        found["fooled"] = fooled([run for run in beside if there(run, bench)], bench)
    return found


def _of_the_best(some: Sequence[dict[str, Any]], found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The contrasts in which the plan takes part that was best in the selection of its activation."""
    best = {
        (row["name"], activation)
        for activation in ACTIVATIONS
        for row in campaign.best(findings.rows_of(found, "selection", activation), FED)
    }
    return [row for row in some if {(row[end], row["activation"]) for end in ("first", "second")} & best]


def distances(some: Sequence[Run], bench: Bench) -> list[dict[str, Any]]:
    """How far the boundary of the runner-up lies from test images, for two networks of each plan that are there.

    Args:
        some: runs.
        bench: what they were made with.

    Returns:
        Rows as those of a run on a GPU, see ``campaign.distances``.
    """
    shown, found = bench.test.cut(slice(0, SHOWN)), []
    for entry in dict.fromkeys(run.entry for run in some):
        mine = [run for run in some if run.entry == entry and there(run, bench)][:2]
        far = [campaign.distances(weights(run, bench), entry.plan.activation, shown)[0] for run in mine]
        about = {"activation": entry.plan.activation, "name": entry.name}
        found.append(about | {"distance": far, "images": len(shown)})
    return found


def fooled(some: Sequence[Run], bench: Bench) -> list[dict[str, Any]]:
    """Which share of the images held out networks misread after one step of a length, and after many.

    Args:
        some: runs that have been trained.
        bench: what they were made with.

    Returns:
        A row for each plan, length and number of steps, with the shares of all its networks.
    """
    shown, found = bench.held_out.cut(slice(0, CLIMBED)), []
    for entry in dict.fromkeys(run.entry for run in some):
        each = [weights(run, bench) for run in some if run.entry == entry]
        for length in LENGTHS:
            for steps in CLIMB:
                shares = [campaign.fooled(one, entry.plan.activation, shown, length, steps)[0] for one in each]
                about = {"activation": entry.plan.activation, "name": entry.name, "length": length, "steps": steps}
                found.append(about | {"misread": shares, "images": len(shown)})
    return found


def _first(entry: Entry) -> bool:
    """Whether a plan has the first of the rates, that of the examples for hidden layers."""
    return entry.plan.pace == PACES[entry.plan.activation][0]
