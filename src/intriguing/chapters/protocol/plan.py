"""What the hunt still wants, in the order of its worth: casts of networks that stand in one table together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from intriguing.attack.perturbations import random_targets
from intriguing.book import paper
from intriguing.book.halves import HALVES
from intriguing.chapters.protocol import blocks, joint, units
from intriguing.chapters.protocol.trials import BASE, LINEAR_VARIANTS, VARIANTS, Coder, Variant
from intriguing.chapters.protocol.units import Bench, Missing, Network, TimeOver

LINEAR = ("x1", "x0.5, biases decayed", "x0.6, biases decayed", "x1, biases decayed", "x0.5", "x0.1")
"""How the linear networks of a cast are trained: the readings that the page lists, the base first."""

ALIKE = "half decay, biases decayed"
SIGMOID: Mapping[str, Variant] = {"as printed": BASE, **VARIANTS}
CODERS: Mapping[str, Coder] = {
    "as in the book": Coder(),
    "activity 0.05": Coder(activity=0.05),
    "activity 0.02": Coder(activity=0.02),
    "a tenth of the decay": Coder(decay=1.5e-4),
    "a tenth of the pull": Coder(pull=0.3),
    "1,000 iterations": Coder(iterations=1000),
    joint.LIGHTER: Coder(head=1e-7),
    f"a tenth of the pull, {joint.LIGHTER}": Coder(pull=0.3, head=1e-7),
}


@dataclass(frozen=True)
class Cast:
    """Networks that stand in one table together.

    Attributes:
        half: whether they are those of Tables 3 and 4, each trained on one half.
        seed: of the repetition.
        linear: how the linear ones are trained, of ``LINEAR``.
        sigmoid: how the others are trained, of ``SIGMOID``; of the autoencoder the decay of its softmax alone.
        coder: how the autoencoder is, of ``CODERS``.
        end: iterations after which training stops.
    """

    half: bool
    seed: int
    linear: str = LINEAR[0]
    sigmoid: str = "as printed"
    coder: str = "as in the book"
    end: int = units.END

    def networks(self) -> dict[str, Network]:
        """By their names in the paper's tables."""
        way = SIGMOID[self.sigmoid]
        if self.half:
            plans = {name: HALVES[name] for name in paper.HALF_MODELS}
            return {
                name: Network(plan.recipe, plan.part, 2 * self.seed + plan.offset, way, end=self.end)
                for name, plan in plans.items()
            }
        found = {name: Network(name, way=LINEAR_VARIANTS[self.linear], end=self.end) for name in paper.MODELS[:3]}
        found |= {name: Network(name, "train", self.seed, way, end=self.end) for name in paper.MODELS[3:5]}
        name, head = paper.MODELS[5], replace(way, centred=False, scale=BASE.scale)  # a softmax on hidden units
        return found | {name: Network(name, "train", self.seed, head, CODERS[self.coder], self.end)}


def wanted() -> list[Cast]:
    """All casts, the most telling first: three repetitions, other ways to train, repetitions, the other ways."""
    settings = [{"seed": seed} for seed in range(3)]
    settings += [{"seed": 0, "sigmoid": ALIKE}]
    settings += [{"seed": 0, "coder": name} for name in list(CODERS)[1:]]
    settings += [{"seed": seed} for seed in (3, 4)] + [{"seed": 1, "sigmoid": ALIKE}]
    settings += [{"seed": seed, "coder": joint.LIGHTER} for seed in range(1, 5)]  # its encoders are those of the book
    settings += [{"seed": 0, "sigmoid": ALIKE, "coder": joint.LIGHTER}]
    settings += [{"seed": 0, "sigmoid": name} for name in VARIANTS if name != ALIKE]
    return [
        Cast(half, linear=linear, **each)
        for each in settings
        for half in (True, False)
        for linear in (LINEAR[:1] if half else LINEAR)
        if not (half and "coder" in each)
    ]


def networks(casts: Iterable[Cast]) -> list[Network]:
    """The networks of some casts, each once, in their order."""
    return list(dict.fromkeys(network for cast in casts for network in cast.networks().values()))


def missing(casts: Sequence[Cast], bench: Bench) -> list[Network]:
    """Those that have not been trained."""
    return [network for network in networks(casts) if not units.there(network, bench)]


def alike(first: Network, others: Iterable[Network], most: int) -> list[Network]:
    """A network, and others that can be trained side by side with it; so many at most, an autoencoder alone."""
    kind = replace(first, seed=0, way=BASE)
    same = [one for one in others if one != first and replace(one, seed=0, way=BASE) == kind]
    return [first, *same][: 1 if first.coder else most]


def work(casts: Sequence[Cast], bench: Bench, *, part: tuple[int, int] = (0, 1), together: int = 1) -> bool:
    """Makes what is missing, until the time is over.

    Args:
        casts: what is wanted, in order.
        bench: what units are made with.
        part: number of this process and how many share the work; the first reads what is left at the end.
        together: networks trained side by side, 1 on a CPU.

    Returns:
        Whether all networks are there now; readings may still be missing where the time is over.
    """
    order = networks(casts)
    mine = order[part[0] :: part[1]]
    try:
        for cast in casts:
            for network in missing([cast], bench):
                if order.index(network) % part[1] == part[0] and not units.there(network, bench):
                    units.train(alike(network, missing(casts, bench), together), bench)
            read([cast], bench, mine)
        read(casts, bench, mine if part[0] else order)  # with what the others have made meanwhile
    except TimeOver:
        bench.say("the time is over")
    return not missing(casts, bench)


def read(casts: Sequence[Cast], bench: Bench, makers: Collection[Network]) -> None:
    """Makes errors, examples and readings of the networks that are there.

    Args:
        casts: whose networks read one another's examples.
        bench: what units are made with.
        makers: the networks whose examples are made and read.

    Raises:
        TimeOver: the time is over.
    """
    for cast in casts:
        there = [network for network in cast.networks().values() if units.there(network, bench)]
        for maker, reader, ratio in product([one for one in there if one in makers], there, (1.0, *units.GRIDS)):
            if (maker, reader, ratio) in bench.read:
                continue
            if bench.over():
                raise TimeOver
            units.errors(maker, bench)
            units.reading(maker, reader, bench, ratio)
            bench.read.add((maker, reader, ratio))


def blocks_of(casts: Iterable[Cast], bench: Bench) -> dict[str, dict]:
    """How the linear networks misread blocks of training images under noise; made where it is not there.

    Returns:
        Name of the training -> ``uncut`` or ``cut`` pixels -> what ``blocks.compared`` returns.
    """
    told = {}
    for cast in casts:
        named = {} if cast.half else cast.networks()
        linear = [named[name] for name in paper.MODELS[:3] if named and units.there(named[name], bench)]
        if len(linear) == 3 and cast.linear not in told:
            misread = [units.noisy(network, bench) for network in linear]
            told[cast.linear] = {
                way: blocks.compared(np.stack([one[way].numpy() for one in misread], 1), blocks.printed())
                for way in ("uncut", "cut")
            }
    return told


def costs(casts: Iterable[Cast], bench: Bench) -> dict[str, dict[str, list[float]]]:
    """Seconds that networks and the examples for them took, as far as they were noted.

    Returns:
        Name of the network, of a half where it was trained on one -> ``training`` and ``attack`` -> of each.
    """
    told: dict[str, dict[str, list[float]]] = {}
    for network in (one for one in networks(casts) if units.there(one, bench)):
        name = network.name if network.part == "train" else f"{network.name} of a half"
        line = told.setdefault(name, {"training": [], "attack": []})
        for what, took in (("training", units.seconds), ("attack", units.attack_seconds)):
            seconds = took(network, bench)
            line[what] += [] if seconds is None else [seconds]
    return told


def found(casts: Sequence[Cast], bench: Bench) -> joint.Found:
    """What there is for the joint search; nothing is made for it."""
    result = joint.Found({}, {}, {}, {}, {})
    sizes = {part: len(getattr(bench.digits, part)) for part in units.PARTS}
    for half, part in ((False, bench.data.made_of_train), (True, bench.data.made_of_test)):
        result.images[half] = (part.labels.cpu().numpy(), random_targets(part.labels.cpu()).numpy())
    for cast in casts:
        named = {name: net for name, net in cast.networks().items() if units.there(net, bench)}
        key = (cast.half, cast.linear, cast.sigmoid, cast.coder, str(cast.end))
        result.casts.setdefault(key, {})[cast.seed] = {name: str(net) for name, net in named.items()}
        for maker, reader, ratio in product(named.values(), named.values(), (1.0, *units.GRIDS)):
            shown = joint.searched(str(maker), ratio)
            pair = shown, str(reader)
            with suppress(Missing):
                if str(maker) not in result.errors:
                    errors = units.errors(maker, bench, make=False)
                    result.errors[str(maker)] = {part: many.numpy() / sizes[part] for part, many in errors.items()}
                if pair not in result.read:
                    seen = units.reading(maker, reader, bench, ratio, make=False)
                    result.read[pair] = {way: one.numpy() for way, one in seen.items()}
                if shown not in result.rms:
                    units.reading(maker, maker, bench, ratio, make=False)  # which images count depends on it
                    made = units.examples if ratio == 1 else partial(units.on_grid, ratio=ratio)
                    result.rms[shown] = made(maker, bench=bench, make=False)["rms"].numpy().astype(float)
    return result
