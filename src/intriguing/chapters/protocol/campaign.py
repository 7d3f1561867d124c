"""The campaign of the hunt: many trainings and attacks under many readings of the paper, as raw predictions on disk."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

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
    TEST_NOISE,
    TRAIN_NOISE,
    Attacked,
    Coder,
    Data,
    Part,
    Store,
    Variant,
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
        seeds: of the networks in the job ``halves``; ``whole`` takes one less, and two at least.
        levels: of iterations.
        base: the one among them at which the book's own networks end.
        encoder: iterations of the autoencoder.
    """

    seeds: int = 6
    levels: tuple[int, ...] = LEVELS
    base: str = BASE_LEVEL
    encoder: tuple[int, ...] = (300,)


SMALL = Sizes(seeds=5, levels=(50, 1000), base="1000", encoder=(100,))
TINY = Sizes(seeds=2, levels=(10, 30), base="30", encoder=(10,))


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


HALF = "FC100-100-10"


def halves(job: Job) -> None:
    """The first network of Tables 3 and 4 from several starts: its ends, its amplification, the others on its set."""
    d, sizes, store = job.data, job.sizes, job.store
    seeds = range(sizes.seeds)
    store.put("labels", d.made_of_test.labels.to(torch.uint8))
    starts, ways = [2 * seed for seed in seeds], [BASE] * sizes.seeds
    loss, found = job.trained(f"base/{HALF}", HALF, d.part1, starts, ways)
    stacks = {level: group(flat, loss) for level, flat in found.levels.items()}
    stack = stacks[sizes.base]
    weights(store, HALF, one(stack, range(min(3, len(stack)))))
    for level, those in stacks.items():
        for part, noise in (("part1", ()), ("part2", ()), ("test", TEST_NOISE)):
            store.put(f"base/{level}/errors/{part}", noise_errors([those], getattr(d, part), noise))
    job.save("training")
    entries, targets, _ = nine(d.made_of_test)
    made = job.attacked(f"base/{sizes.base}/nine/0", stack, entries, targets)
    toward, some = d.made_of_test.images[partners(d.made_of_test, targets)], random_rows(d.made_of_test)
    for seed in seeds:
        place, images = f"base/{sizes.base}/nine/0/{seed}", made.images[seed]
        readings(store, place, [one(stack, [seed])], entries.images, images, toward=toward)
        place, way = f"base/{sizes.base}/across/0/{seed}", ("clean", "found", "each", "x1.7")
        readings(store, place, [stack], entries.images[some], images[some], only=way)
    job.save("nine targets")


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
    for level in (*(str(level) for level in sizes.levels if str(level) != sizes.base), "zero"):
        _errors(job, f"base/{level}", at(level))
    job.save("ends of training")


JOBS: Mapping[str, Callable[[Job], None]] = {"halves": halves, "whole": whole}
