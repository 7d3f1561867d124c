"""The campaign of the hunt: many trainings and attacks under many readings of the paper, as raw predictions on disk."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from intriguing.attack.perturbations import random_targets
from intriguing.book.clock import Clock
from intriguing.chapters.protocol.stacked import (
    Stack,
    Trainings,
)
from intriguing.chapters.protocol.trials import (
    BASE,
    BASE_LEVEL,
    LEVELS,
    LINEAR,
    LINEAR_VARIANTS,
    RATIOS,
    VARIANTS,
    Attacked,
    Coder,
    Data,
    Part,
    Store,
    Variant,
    at_price,
    attacked,
    classifiers,
    encoders,
    group,
    heads,
    nine,
    noise_errors,
    one,
    partners,
    random_rows,
    readings,
    together,
    weights,
)


@dataclass(frozen=True)
class Sizes:
    """How large a campaign is.

    Attributes:
        seeds: of the networks, per job.
        levels: of iterations.
        base: the one among them at which the book's own networks end.
        encoder: iterations of the autoencoder.
        most: of the encoder in the search for its settings.
    """

    seeds: int = 6
    levels: tuple[int, ...] = LEVELS
    base: str = BASE_LEVEL
    encoder: tuple[int, ...] = (300,)
    most: tuple[int, ...] = (100, 300, 1000)


SMALL = Sizes(seeds=5, levels=(50, 1000), base="1000", encoder=(100,), most=(100,))
TINY = Sizes(seeds=2, levels=(10, 30), base="30", encoder=(10,), most=(10,))


@dataclass
class Job:
    """What a process works with.

    Attributes:
        data: on the device.
        sizes: of the campaign.
        clock: the time.
        store: where results go.
        say: prints a line.
    """

    data: Data
    sizes: Sizes
    clock: Clock
    store: Store
    say: Callable[[str], None]

    def trained(self, name: str, shape: str, part: Part, seeds, variants, levels=None, reserve=20.0, **options):
        """Trains networks and stores how it ended; says what it took."""
        loss, found = classifiers(
            shape,
            part,
            seeds,
            variants,
            levels or self.sizes.levels,
            stop=lambda: self.clock.left() < reserve,
            **options,
        )
        self.ended(name, found)
        return loss, found

    def ended(self, name: str, found: Trainings) -> None:
        """Stores how trainings ended."""
        for level, made in found.iterations.items():
            self.store.put(f"training/{name}/iterations/{level}", made)
        self.store.put(f"training/{name}/loss", found.loss)
        self.store.put(f"training/{name}/gradient", found.gradient)
        self.store.put(f"training/{name}/seconds", found.seconds)
        rate = 1000 * found.seconds / max(found.evaluations, 1)
        self.say(
            f"trained {name}: {len(found.loss)} networks, {found.evaluations} evaluations, {found.seconds:.1f} s, "
            f"{rate:.2f} ms each, {rate / len(found.loss):.3f} ms a network; {int(found.ended.sum())} converged"
        )

    def attacked(self, name: str, stack: Stack, part: Part, targets: Tensor, **options) -> Attacked:
        """Attacks and says what it took."""
        began = time.monotonic()
        found = attacked(stack, part.images, targets, **options)
        took, count = time.monotonic() - began, found.success.numel()
        self.store.put(f"attack/{name}/seconds", took)
        self.store.put(f"attack/{name}/success", found.success.float().mean(1))
        self.say(f"attacked {name}: {count} problems, {took:.1f} s, {1e6 * took / count:.0f} us each")
        return found

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """A part of the job: what goes wrong in it is told and ends it alone; what there is gets written."""
        try:
            yield
        except Exception:
            self.say(f"{what} failed: {traceback.format_exc()}")
            torch.cuda.empty_cache()
        self.save(what)

    def save(self, what: str) -> None:
        """Writes what there is."""
        began = time.monotonic()
        self.store.put("seconds", self.clock.spent())
        self.store.write()
        size = self.store.path.stat().st_size / 2**20
        self.say(
            f"saved after {what}: {size:.1f} MiB in {time.monotonic() - began:.1f} s; {self.clock.left():.0f} s left"
        )


HALVES = ("FC100-100-10", "FC123-456-10", "FC100-100-10'", "FC100-100-10' from the same start")
SOME = ("clean", "found", "each", "x1.4", "x1.5", "x1.6", "x1.7", "x1.8", "others")
TEST_NOISE, TRAIN_NOISE = (0.06, 0.1), (0.1, 0.3)


def _groups(job: Job, name: str, seeds: Sequence[int], variants: Sequence[Variant], levels, *, same: int = 0):
    """The networks of Table 4 for some seeds: group -> (loss, trainings)."""
    part1, part2 = job.data.part1, job.data.part2
    count = len(seeds)
    starts, options = (
        [2 * s for s in seeds],
        {"levels": levels, "reserve": 20.0},
    )
    first = job.trained(f"{name}/{HALVES[0]}", "FC100-100-10", part1, starts, variants, **options)
    second = job.trained(f"{name}/{HALVES[1]}", "FC123-456-10", part1, starts, variants, **options)
    starts = [s + 1 for s in starts] + starts[:same]
    variants = [*variants, *variants[:same]]
    loss, third = job.trained(f"{name}/{HALVES[2]}", "FC100-100-10", part2, starts, variants, **options)
    return first, second, (loss, third), count


def _stacks(groups, level: str) -> list[Stack]:
    first, second, (loss, third), count = groups
    whole = group(third.levels[level], loss)
    found = [group(first[1].levels[level], first[0]), group(second[1].levels[level], second[0])]
    found.append(one(whole, range(count)))
    return found + ([one(whole, range(count, len(whole)))] if len(whole) > count else [])


def _clean(job: Job, name: str, stacks: Sequence[Stack]) -> None:
    for part, sizes in (("part1", ()), ("part2", ()), ("test", TEST_NOISE)):
        job.store.put(f"{name}/errors/{part}", noise_errors(stacks, getattr(job.data, part), sizes))


def _of_seed(stacks: Sequence[Stack], seed: int) -> list[Stack]:
    return [one(stack, [seed]) for stack in stacks if seed < len(stack)]


def _made(
    job: Job,
    name: str,
    stacks: Sequence[Stack],
    entries: Part,
    targets: Tensor,
    *,
    norm: str = "squared",
    only=None,
    toward=None,
):
    """Attacks the networks of some stacks and has the networks of the same seed read the sets."""
    sets = []
    for number, stack in enumerate(stacks):
        found = job.attacked(f"{name}/{number}", stack, entries, targets, norm=norm)
        sets.append(found)
        for seed in range(len(stack)):
            readings(
                job.store,
                f"{name}/{number}/{seed}",
                _of_seed(stacks, seed),
                entries.images,
                found.images[seed],
                toward=toward,
                only=only,
            )
    return sets


def halves(job: Job) -> None:
    """Tables 3 and 4."""
    d, sizes, store = job.data, job.sizes, job.store
    seeds = range(sizes.seeds)
    store.put("labels", d.made_of_test.labels.to(torch.uint8))
    groups = _groups(job, "base", seeds, [BASE] * sizes.seeds, sizes.levels, same=max(sizes.seeds - 1, 1))
    stacks = _stacks(groups, sizes.base)
    for number, stack in enumerate(stacks):
        weights(store, HALVES[number], one(stack, range(min(3, len(stack)))))
    _clean(job, f"base/{sizes.base}", stacks)
    job.save("training")
    entries, targets, _ = nine(d.made_of_test)
    sets = _made(
        job,
        f"base/{sizes.base}/nine",
        stacks[:3],
        entries,
        targets,
        toward=d.made_of_test.images[partners(d.made_of_test, targets)],
    )
    job.save("nine targets")
    some = random_rows(d.made_of_test)
    drawn, wanted = entries.take(some), targets[some]
    # The networks of the same start, and who is fooled across seeds.
    for number, found in enumerate(sets):
        for seed in range(len(stacks[number])):
            readings(
                store,
                f"base/{sizes.base}/across/{number}/{seed}",
                stacks,
                drawn.images,
                found.images[seed][some],
                only=("clean", "found", "each", "x1.7"),
            )
    if len(stacks) > 3:
        pair = [one(stack, range(len(stacks[3]))) for stack in (stacks[0], stacks[1], stacks[3])]
        _made(job, f"same start/{sizes.base}/random", pair, drawn, wanted)
    job.save("the same start")
    with job.part("ends of training"):
        others = [str(level) for level in sizes.levels if str(level) != sizes.base] + ["zero"]
        _many(job, {f"base/{level}": _stacks(groups, level)[:3] for level in others}, drawn, wanted)
    if job.clock.left() > 30:
        with job.part("coarse searches"):
            few = [one(stack, range(min(3, len(stack)))) for stack in stacks[:3]]
            _coarse(job, f"base/{sizes.base}", few, sets, some, drawn, wanted, only=SOME)
            _made(job, f"base/{sizes.base}/plain", few, drawn, wanted, norm="plain", only=SOME)
    del sets
    if job.clock.left() > 60:
        with job.part("variants"):
            tried = range(min(4, sizes.seeds))
            variants = [variant for variant in VARIANTS.values() for _ in tried]
            groups = _groups(job, "variants", list(tried) * len(VARIANTS), variants, [int(sizes.base)])
            stacks = _stacks(groups, sizes.base)
            rows = {name: range(i * len(tried), (i + 1) * len(tried)) for i, name in enumerate(VARIANTS)}
            there = {f"{name}/{sizes.base}": [one(stack, some) for stack in stacks] for name, some in rows.items()}
            _many(job, there, drawn, wanted)


def _many(job: Job, named: Mapping[str, Sequence[Stack]], drawn: Part, wanted: Tensor) -> None:
    """Attacks many groups of networks at a time, a random target for each image, and has each group read its sets."""
    for name, stacks in named.items():
        _clean(job, name, stacks)
    for number in range(3):
        if job.clock.left() < 20:
            return
        found = job.attacked(f"many/{number}", together([s[number] for s in named.values()]), drawn, wanted)
        start = 0
        for name, stacks in named.items():
            for seed in range(len(stacks[number])):
                place, images = f"{name}/random/{number}/{seed}", found.images[start + seed]
                readings(job.store, place, _of_seed(stacks, seed), drawn.images, images, only=SOME)
            start += len(stacks[number])


def _coarse(
    job: Job, name: str, stacks, sets: Sequence[Attacked], some: Tensor, drawn: Part, wanted: Tensor, only=None
) -> None:
    """Searches over c on grids, computed from where the exact search ended."""
    for number, (stack, found) in enumerate(zip(stacks, sets, strict=True)):
        edge = found.penalty[: len(stack)][:, some]
        for ratio in RATIOS:
            below = (edge.log() / float(np.log(ratio))).floor()
            price = torch.where(edge.isfinite(), ratio**below, edge)
            moved, reached = at_price(stack, drawn.images, wanted, price)
            for seed in range(len(stack)):
                place = f"{name}/c x{ratio:g}/{number}/{seed}"
                readings(job.store, place, _of_seed(stacks, seed), drawn.images, moved[seed], only=only)
                job.store.put(f"{place}/reached", reached[seed].float().mean())
        job.say(f"coarse searches of {name}/{number}")


WHOLE = (*LINEAR, "FC100-100-10", "FC200-200-10", "AE400-10")
FEW = ("clean", "found", "each", "x1.4", "others", "toward", "toward, each")


def _linear(job: Job, variants: Sequence[Variant], levels, name: str) -> list[tuple[str, Stack]]:
    """Linear networks: a stack of three for each variant."""
    names = [each for _ in variants for each in LINEAR]
    loss, found = job.trained(
        f"{name}",
        "FC10",
        job.data.train,
        [0] * len(names),
        [v for v in variants for _ in LINEAR],
        levels,
        decay=[LINEAR[each] for each in names],
        chunk=64,
    )
    last = group(found.levels[str(levels[-1])], loss)
    return [one(last, range(3 * i, 3 * i + 3)) for i in range(len(variants))]


def _coders(job: Job, name: str, seeds, coders, levels, head_levels) -> dict[str, Stack]:
    """Autoencoders with a softmax on top: level of the encoder -> the networks."""
    stop = lambda: job.clock.left() < 25  # noqa: E731
    layout, found = encoders(job.data.train, seeds, coders, levels, stop)
    job.ended(f"{name}/encoder", found)
    stacks = {}
    for level in levels:
        began = time.monotonic()
        layers, _ = heads(
            job.data.train, layout, found.levels[str(level)], seeds, [c.head for c in coders], head_levels, stop
        )
        stacks[str(level)] = Stack(layers[str(head_levels[-1])])
        job.say(f"heads of {name} at {level}: {time.monotonic() - began:.1f} s")
    return stacks


def _errors(job: Job, name: str, readers: Sequence[Stack]) -> None:
    for part, noise in (("train", TRAIN_NOISE), ("test", ())):
        job.store.put(f"{name}/errors/{part}", noise_errors(readers, getattr(job.data, part), noise))


def whole(job: Job) -> None:
    """Tables 1 and 2."""
    d, sizes, store = job.data, job.sizes, job.store
    seeds, base = range(max(sizes.seeds - 1, 2)), int(sizes.base)
    count = len(seeds)
    store.put("labels", d.made_of_train.labels.to(torch.uint8))
    (linear,) = _linear(job, [BASE], sizes.levels, "base/linear")
    trainings = {
        shape: job.trained(f"base/{shape}", shape, d.train, list(seeds), [BASE] * count)
        for shape in ("FC100-100-10", "FC200-200-10")
    }
    coder = _coders(job, "base/AE400-10", list(seeds), [Coder()] * count, sizes.encoder, [base])[str(sizes.encoder[-1])]

    def at(level: str) -> list[Stack]:
        return [group(found.levels[level], loss) for loss, found in trainings.values()]

    def readers(seed: int, nets: Sequence[Stack]) -> list[Stack]:
        return [linear, *(one(stack, [seed]) for stack in nets)]

    nets = [*at(sizes.base), coder]
    for name, stack in zip(("FC10", *WHOLE[3:]), (linear, *nets), strict=True):
        weights(store, name, one(stack, range(min(3, len(stack)))))
    _errors(job, f"base/{sizes.base}", [linear, *nets])
    job.save("training")
    entries, targets, _ = nine(d.made_of_train)
    some = random_rows(d.made_of_train)
    drawn, wanted = entries.take(some), targets[some]
    sets, toward = [], d.made_of_train.images[partners(d.made_of_train, targets)]
    for number, stack in enumerate((linear, *nets)):
        found = job.attacked(f"base/{sizes.base}/nine/{number}", stack, entries, targets)
        sets.append(found.take(some))
        for i in range(len(stack)):
            who = [linear, *nets] if number == 0 else readers(i, nets)
            readings(
                store,
                f"base/{sizes.base}/nine/{number}/{i}",
                who,
                entries.images,
                found.images[i],
                toward=toward,
                only=FEW,
            )
        del found
    job.save("nine targets")
    with job.part("linear variants"):
        # Linear networks of other decays, as readers of the base's sets and as makers of their own.
        variants = LINEAR_VARIANTS
        others = _linear(job, list(variants.values()), sizes.levels, "linear variants")
        _errors(job, "linear variants", others)
        for number, found in enumerate(sets[1:], 1):
            for i in range(len(found.images)):
                readings(
                    store, f"linear variants/reading/{number}/{i}", others, drawn.images, found.images[i], only=FEW[:2]
                )
        found = job.attacked("linear variants", together(others), drawn, wanted)
        for number, (name, stack) in enumerate(zip(variants, others, strict=True)):
            weights(store, f"linear variants/{name}", stack)
            for i in range(3):
                images = found.images[3 * number + i]
                readings(store, f"linear variants/{name}/{i}", [stack, *nets], drawn.images, images, only=FEW[:3])
    with job.part("ends of training"):
        levels = [str(level) for level in sizes.levels if str(level) != sizes.base] + ["zero"]
        _against(job, {f"base/{level}": at(level) for level in levels}, linear, coder, sets, drawn, wanted)
    if job.clock.left() > 60:
        with job.part("coarse searches"):
            for number, (stack, found) in enumerate(zip((linear, *nets), sets, strict=True)):
                some_nets = one(stack, range(min(3, len(stack))))
                found_plain = job.attacked(f"base/{sizes.base}/plain/{number}", some_nets, drawn, wanted, norm="plain")
                searches = {"plain": found_plain.images}
                for ratio in RATIOS:
                    edge = found.penalty[: len(some_nets)]
                    price = torch.where(edge.isfinite(), ratio ** (edge.log() / float(np.log(ratio))).floor(), edge)
                    searches[f"c x{ratio:g}"], _ = at_price(some_nets, drawn.images, wanted, price)
                for search, images in searches.items():
                    for i in range(len(some_nets)):
                        who = [linear, *nets] if number == 0 else readers(i, nets)
                        place = f"base/{sizes.base}/{search}/{number}/{i}"
                        readings(store, place, who, drawn.images, images[i], only=FEW[:2])
    if job.clock.left() > 60:
        with job.part("variants"):
            few = range(min(2, count))
            each = [variant for variant in VARIANTS.values() for _ in few]
            made = [
                job.trained(f"variants/{s}", s, d.train, list(few) * len(VARIANTS), each, [base]) for s in trainings
            ]
            whole_stacks = [group(found.levels[sizes.base], loss) for loss, found in made]
            rows = {name: range(i * len(few), (i + 1) * len(few)) for i, name in enumerate(VARIANTS)}
            there = {
                f"{name}/{sizes.base}": [one(stack, some) for stack in whole_stacks] for name, some in rows.items()
            }
            _against(job, there, linear, coder, sets, drawn, wanted)


def _against(
    job: Job, named: Mapping[str, Sequence[Stack]], linear: Stack, coder: Stack, sets, drawn: Part, wanted: Tensor
) -> None:
    """Other sigmoid networks in the place of the base's: as makers, and as readers of the sets of the others."""
    for name, nets in named.items():
        _errors(job, name, nets)
        for number in (0, 3):
            found = sets[number]
            for i in range(len(found.images)):
                who = list(nets) if number == 0 else [one(each, [i]) for each in nets if i < len(each)]
                if who:
                    place = f"{name}/reading/{number}/{i}"
                    readings(job.store, place, who, drawn.images, found.images[i], only=FEW[:2])
    for number in range(2):
        if job.clock.left() < 20:
            return
        found = job.attacked(f"many/{number}", together([nets[number] for nets in named.values()]), drawn, wanted)
        start = 0
        for name, nets in named.items():
            for i in range(len(nets[number])):
                who = [linear, *(one(each, [i]) for each in (*nets, coder))]
                place = f"{name}/random/{number}/{i}"
                readings(job.store, place, who, drawn.images, found.images[start + i], only=FEW[:4])
            start += len(nets[number])


CODERS: Mapping[str, Coder] = {
    "as in the book": Coder(),
    "activity 0.05": Coder(activity=0.05),
    "activity 0.02": Coder(activity=0.02),
    "activity 0.2": Coder(activity=0.2),
    "a tenth of the pull": Coder(pull=0.3),
    "a tenth of the decay": Coder(decay=1.5e-4),
    "activity 0.05, a tenth of the decay": Coder(activity=0.05, decay=1.5e-4),
}
HEADS = (1e-5, 1e-7)


def coder(job: Job) -> None:
    """The autoencoder of Tables 1 and 2 under other settings, beside linear and sigmoid networks of the base."""
    d, sizes, store = job.data, job.sizes, job.store
    base, seeds = int(sizes.base), [0, 1]
    store.put("labels", d.made_of_train.labels.to(torch.uint8))
    (linear,) = _linear(job, [BASE], sizes.levels, "linear")
    nets = []
    for shape in ("FC100-100-10", "FC200-200-10"):
        loss, found = job.trained(shape, shape, d.train, seeds, [BASE] * 2, [base])
        nets.append(group(found.levels[sizes.base], loss))
    targets = random_targets(d.made_of_train.labels.cpu()).to(d.made_of_train.labels.device)
    drawn = d.made_of_train
    sets = [job.attacked(f"maker {number}", stack, drawn, targets) for number, stack in enumerate((linear, *nets))]
    job.save("the others")
    for name, one_coder in CODERS.items():
        if job.clock.left() < 60:
            continue
        layout, found = encoders(d.train, seeds, [one_coder] * 2, sizes.most, lambda: job.clock.left() < 30)
        job.ended(f"{name}/encoder", found)
        levels, decays = [str(level) for level in sizes.most], (one_coder.head, *HEADS)
        flat = torch.cat([found.levels[level] for level in levels for _ in decays])
        price = [each for _ in levels for each in decays for _ in seeds]
        began, steps = time.monotonic(), min(base, 1000)
        layers = heads(
            d.train, layout, flat, seeds * len(levels) * len(decays), price, [steps], lambda: job.clock.left() < 30
        )[str(steps)]
        stack = Stack(layers)
        job.say(f"heads of {name}: {time.monotonic() - began:.1f} s")
        _errors(job, name, [stack])
        made = job.attacked(name, stack, drawn, targets)
        for i in range(len(stack)):
            readings(store, f"{name}/made/{i}", [linear, *nets], drawn.images, made.images[i], only=FEW[:2])
        for number, those in enumerate(sets):
            for i in range(len(those.images)):
                readings(store, f"{name}/reading/{number}/{i}", [stack], drawn.images, those.images[i], only=FEW[:3])
        weights(store, name, one(stack, range(0, len(stack), 2 * len(decays))))
        job.save(name)


def whole_and_coder(job: Job) -> None:
    """Tables 1 and 2, then the search for the autoencoder's settings."""
    whole(job)
    if job.clock.left() > 60:
        with job.part("coder"):
            coder(Job(job.data, job.sizes, job.clock, Store(job.store.path.with_name("coder.npz")), job.say))


JOBS: Mapping[str, Callable[[Job], None]] = {"halves": halves, "whole": whole_and_coder, "coder": coder}
