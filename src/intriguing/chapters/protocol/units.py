"""The hunt in small units: each network, each set of examples and each reading of one is kept as soon as it is made.

What is there is not made again. A training that is cut off goes on where it was, but for that of the softmax on an
autoencoder, which begins anew. A unit whose settings, data or code have changed is made anew, for the name of its file
holds a sum of all that determines it (see ``book.cache``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from intriguing.attack import files
from intriguing.attack.distortion import minimum_distortion
from intriguing.attack.penalty import coarse_search
from intriguing.book import cache, fingerprint
from intriguing.book.unfinished import Missing, Saved, TimeOver
from intriguing.chapters.protocol import stacked, trials
from intriguing.chapters.protocol.trials import BASE, BASE_LEVEL, FACTORS, LEVELS, Coder, Part, Variant
from intriguing.data import Digits
from intriguing.models.recipes import recipe

Layers = list[tuple[Tensor, Tensor]]
END = int(BASE_LEVEL)
PARTS = ("train", "part1", "part2", "test")
NOISE = {"train": trials.TRAIN_NOISE, "part1": (), "part2": (), "test": trials.TEST_NOISE}
GRIDS = (1.2, 2.0, 10.0)  # ratios of neighbouring values of c, of searches coarser than the edge itself


@dataclass(frozen=True)
class Network:
    """A network of the hunt, and everything that its training depends on.

    Attributes:
        name: a key of ``recipes.RECIPES``.
        part: what it is trained on, an attribute of ``Digits``.
        seed: of the initial weights; linear networks have one optimum and need one seed.
        way: how it is trained; of an autoencoder the softmax on top.
        coder: how the layer below is trained, and with which lambda the softmax is, of an autoencoder; None for the
            others.
        end: iterations after which training stops, if it has not ended before.
    """

    name: str
    part: str = "train"
    seed: int = 0
    way: Variant = BASE
    coder: Coder | None = None
    end: int = END

    def __str__(self) -> str:
        pairs = ((self.way, BASE), (self.coder or Coder(), Coder()))
        odd = [f"{name} {x:g}" for one, usual in pairs for name, x in asdict(one).items() if x != getattr(usual, name)]
        odd += [f"{self.end} iterations"] if self.end != END else []
        return ", ".join([f"{self.name} of {self.part} from {self.seed}", *odd])


@dataclass
class Bench:
    """What units are made with.

    Attributes:
        digits: the data.
        images: how many training images and how many test images are attacked.
        device: where.
        end: reading of ``time.monotonic`` after which nothing further is begun.
        say: prints a line.
    """

    digits: Digits
    images: int = 1500
    device: torch.device = torch.device("cpu")
    end: float = float("inf")
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        self.data = trials.data(self.digits, self.images, self.device)
        self.read: set[tuple[Network, Network, float]] = set()  # pairs that have been seen to be there
        self.weights: dict[Network, str] = {}  # sums of networks that have been read
        attacked = (self.data.made_of_train, self.data.made_of_test)
        self.pixels = [files.digest({"images": part.images, "labels": part.labels}) for part in attacked]
        self.code = fingerprint.of(*stacked.STEPS)
        self.attack = fingerprint.of(minimum_distortion)
        self.search = fingerprint.of(coarse_search)

    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.end

    def attacked(self, network: Network) -> Part:
        """The images that are attacked for a network: training images, or test images where it saw one half."""
        return self.data.made_of_train if network.part == "train" else self.data.made_of_test


# Networks.


def place(network: Network, bench: Bench) -> tuple[str, dict]:
    """Under which name and key a network is kept."""
    plan = recipe(network.name)
    key = {"hidden": list(plan.hidden), "decay": list(plan.decay), "data": getattr(bench.digits, network.part).digest}
    return network.name, key | {"network": asdict(network), "code": bench.code}


def there(network: Network, bench: Bench) -> bool:
    """Whether a network has been trained."""
    return cache.location(*place(network, bench)).exists()


def layers(network: Network, bench: Bench) -> Layers:
    """The weights and biases of a network that has been trained, each (1, out, in) and (1, out).

    Raises:
        Missing: it has not been trained.
    """
    kept = cache.load_or_make(*place(network, bench), _absent(network))
    many = sum(name.endswith("/w") for name in kept)
    return [tuple(kept[f"{i}/{what}"].to(bench.device) for what in "wb") for i in range(many)]


def seconds(network: Network, bench: Bench) -> float | None:
    """How long the training took, by the clock, an autoencoder's layer below the softmax with it.

    None where that is not known: of networks on the way to another level, and where it was not noted.

    Raises:
        Missing: it has not been trained.
    """
    kept = [cache.load_or_make(*place(network, bench), _absent(network))]
    if network.coder:
        kept.append(cache.load_or_make(*_below(network, bench), _absent(network)))
    return sum(float(one["seconds"]) for one in kept) if all("seconds" in one for one in kept) else None


def attack_seconds(maker: Network, bench: Bench) -> float | None:
    """How long the search for the examples for a network took, by the clock; None where there are none.

    Raises:
        Missing: the network has not been trained.
    """
    return cache.provenance("examples", _of_set(maker, bench)).get("seconds")


def train(batch: Sequence[Network], bench: Bench) -> None:
    """Trains networks of one shape on one part side by side, and keeps them.

    Classifiers with hidden units are kept at every level of iterations on the way as well.

    Args:
        batch: networks that differ in seed and way alone; one only for an autoencoder.
        bench: what they are made with.

    Raises:
        TimeOver: the training was saved, and goes on when it is begun again with the same batch; that of the softmax on
            an autoencoder was not, and begins anew.
    """
    first = batch[0]
    plan, part = recipe(first.name), getattr(bench.data, first.part)
    levels = [level for level in LEVELS if level < first.end and plan.hidden and not first.coder] + [first.end]
    seeds, ways = [one.seed for one in batch], [one.way for one in batch]
    saved = _saved([place(one, bench) for one in batch], bench)
    if first.coder:
        layout, flat = encoder(first, bench)
        decay = [first.way.decay * first.coder.head]
        stacks, found = trials.heads(part, layout, flat, seeds, decay, levels, bench.over, first.way.bias)
    else:
        decay = None if plan.hidden else list(plan.decay) * len(batch)
        shape = first.name if plan.hidden else "FC10"
        options = {"decay": decay, "stop": bench.over, "chunk": 64 if decay else 16, "memory": saved}
        loss, found = trials.classifiers(shape, part, seeds, ways, levels, **options)
        rows = torch.arange(len(batch), device=bench.device)
        stacks = {name: loss.layout.split(loss.plain(flat, rows)) for name, flat in found.levels.items()}
    _finished(found, first.end)
    for i, one in enumerate(batch):
        for level in levels:
            pairs = enumerate(stacks[str(level)])
            made = {f"{n}/{what}": pair[k][i : i + 1] for n, pair in pairs for k, what in enumerate("wb")}
            if level == first.end:
                made["seconds"] = torch.tensor(found.seconds / len(batch), dtype=torch.float64)
            cache.load_or_make(*place(replace(one, end=level), bench), lambda made=made: made)
    saved.path.unlink(missing_ok=True)
    bench.say(f"trained {', '.join(map(str, batch))}: {found.seconds:.0f} s")


def encoder(network: Network, bench: Bench) -> tuple[stacked.Layout, Tensor]:
    """The layer below the softmax of an autoencoder, trained where it is not there: its layout and (1, P) numbers."""
    name, key = _below(network, bench)

    def make() -> dict[str, Tensor]:
        saved, end = _saved([(name, key)], bench), network.coder.iterations
        part = getattr(bench.data, network.part)
        layout, found = trials.encoders(part, [network.seed], [network.coder], [end], bench.over, saved)
        _finished(found, end)
        saved.path.unlink(missing_ok=True)
        flat = torch.cat([part.flatten(1) for part in layout.split(found.levels[str(end)])[0]], 1)
        return {"flat": flat, "seconds": torch.tensor(found.seconds, dtype=torch.float64)}

    return stacked.Layout((trials.PIXELS, 400)), cache.load_or_make(name, key, make)["flat"].to(bench.device)


def _below(network: Network, bench: Bench) -> tuple[str, dict]:
    """Under which name and key the layer below the softmax of an autoencoder is kept."""
    coder = {name: value for name, value in asdict(network.coder).items() if name != "head"}
    data = getattr(bench.digits, network.part).digest
    return "AE400-encoder", {"coder": coder, "seed": network.seed, "data": data, "code": bench.code}


def _absent(what: object) -> Callable[[], dict[str, Tensor]]:
    def refuse() -> dict[str, Tensor]:
        raise Missing(f"{what} is not there.")

    return refuse


def _saved(places: Sequence[tuple[str, dict]], bench: Bench) -> Saved:
    text = files.canonical({"units": [files.canonical(key) for _, key in places]})
    return Saved(cache.location(places[0][0], {"all": text}).name, text, bench.over)


def _finished(found: stacked.Trainings, end: int) -> None:
    if not bool((found.ended | (found.iterations[str(end)] >= end)).all()):
        raise TimeOver


# Examples, and what networks take them for.


def errors(network: Network, bench: Bench, *, make: bool = True) -> dict[str, Tensor]:
    """By part of the data the number of images that a network misreads: clean, then each noise uncut and cut.

    Raises:
        Missing: it is not there, and ``make`` is False; likewise below.
    """

    def count() -> dict[str, Tensor]:
        stack = stacked.Stack(layers(network, bench))
        return {part: trials.noise_errors([stack], getattr(bench.data, part), NOISE[part])[0] for part in PARTS}

    data = [getattr(bench.digits, part).digest for part in PARTS]
    key = {"network": _weights(network, bench), "noise": NOISE, "data": data}
    return cache.load_or_make("errors", key, count if make else _absent(f"what {network} misreads"))


def noisy(network: Network, bench: Bench, *, make: bool = True) -> dict[str, Tensor]:
    """Whether a network misreads each training image under the noise of Table 2, ``uncut`` and ``cut``: (2, N) bool."""

    def look() -> dict[str, Tensor]:
        stack, part = stacked.Stack(layers(network, bench)), bench.data.train
        off = [
            [stack.read(images)[0] != part.labels.to(torch.uint8) for images in both]
            for both in trials.noisy_images(part, trials.TRAIN_NOISE)
        ]
        return {way: torch.stack(each) for way, each in zip(("uncut", "cut"), zip(*off, strict=True), strict=True)}

    key = {"network": _weights(network, bench), "noise": trials.TRAIN_NOISE, "data": bench.digits.train.digest}
    return cache.load_or_make("noisy", key, look if make else _absent(f"what {network} misreads under noise"))


def examples(maker: Network, bench: Bench, *, make: bool = True) -> dict[str, Tensor]:
    """The adversarial examples for a network, nine targets for each image, as ``step`` (9 N, 784) half, and ``rms``.

    ``edge`` (9 N,) is the largest c that succeeds, as ``Distortion.penalty`` has it.
    """

    def search() -> dict[str, Tensor]:
        began = time.monotonic()
        entries, targets, _ = trials.nine(bench.attacked(maker))
        found = minimum_distortion(_alone(layers(maker, bench)), entries.images, targets)
        bench.say(f"attacked {maker}: {len(targets)} problems, {time.monotonic() - began:.0f} s")
        plain = {"rms": found.rms.float(), "success": found.success, "edge": found.penalty}
        return {"step": (found.images - entries.images).half(), **plain}

    return cache.load_or_make("examples", _of_set(maker, bench), search if make else _absent(f"the set for {maker}"))


def on_grid(maker: Network, ratio: float, bench: Bench, *, make: bool = True) -> dict[str, Tensor]:
    """What a search over c on a grid finds, one target for each image, drawn at random: ``step`` (N, 784) and ``rms``.

    Where no value of the grid near the edge succeeds, what the search for the edge found stands in.

    Args:
        maker: the network that is attacked.
        ratio: of neighbouring values of c, above 1.
        bench: what units are made with.
        make: whether it is made where it is not there.
    """

    def search() -> dict[str, Tensor]:
        part, edge = bench.attacked(maker), examples(maker, bench)
        rows = trials.random_rows(part)
        targets = trials.nine(part)[1][rows]
        model, edges = _alone(layers(maker, bench)), edge["edge"].to(bench.device)[rows]
        found, reached = coarse_search(model, part.images, targets, edges, ratio)
        step = torch.where(reached[:, None], found - part.images, edge["step"].to(part.images)[rows])
        return {"step": step.half(), "rms": step.square().mean(1).sqrt().float()}

    key = _of_set(maker, bench, ratio)
    return cache.load_or_make("examples", key, search if make else _absent(f"the set for {maker} on a grid"))


def reading(
    maker: Network, reader: Network, bench: Bench, ratio: float = 1.0, *, make: bool = True
) -> dict[str, Tensor]:
    """What one network takes the examples for another one for: way -> (9 N,) uint8, (N,) for those found on a grid.

    Examples for networks of a half are amplified as well, those for the others are not (see ``steps``).
    """

    def read() -> dict[str, Tensor]:
        stack, part = stacked.Stack(layers(reader, bench)), bench.attacked(maker)
        exact = ratio == 1
        found = examples(maker, bench) if exact else on_grid(maker, ratio, bench)
        shown = steps(trials.nine(part)[0].images if exact else part.images, found, longer=maker.part != "train")
        return {way: stack.read(images)[0] for way, images in shown}

    key = _of_set(maker, bench, ratio)
    key |= {"reader": _weights(reader, bench), "longer": [maker.part != "train", *FACTORS]}
    return cache.load_or_make("reading", key, read if make else _absent(f"the set for {maker}, read by {reader},"))


def steps(clean: Tensor, found: dict[str, Tensor], *, longer: bool) -> Iterator[tuple[str, Tensor]]:
    """A set of examples in the ways in which it is read: clean, as found, and amplified, cut to the box or not.

    Args:
        clean: (N, 784) in [0, 1].
        found: what ``examples`` returns.
        longer: whether amplified ways are wanted: each image to ``trials.SIZE``, and the set by each of ``FACTORS``.

    Yields:
        The name of the way and the images (N, 784).
    """
    step, rms = found["step"].to(clean), found["rms"].to(clean)[:, None]
    yield from (("clean", clean), ("found", clean + step))
    for way, factor in {"each": trials.SIZE / rms, **{f"x{one:g}": one for one in FACTORS}}.items() if longer else ():
        images = torch.where(rms > 0, clean + factor * step, clean)
        yield from ((way, images), (f"{way}, cut", images.clamp(0, 1)))


def _alone(found: Layers) -> nn.Sequential:
    parts: list[nn.Module] = []
    for weight, bias in found:
        layer = nn.Linear(weight.shape[2], weight.shape[1], device=weight.device)
        layer.load_state_dict({"weight": weight[0], "bias": bias[0]})
        parts += [layer, nn.Sigmoid()]
    return nn.Sequential(*parts[:-1]).eval().requires_grad_(False)


def _weights(network: Network, bench: Bench) -> str:
    if network not in bench.weights:
        named = {f"{i}/{n}": part for i, pair in enumerate(layers(network, bench)) for n, part in enumerate(pair)}
        bench.weights[network] = files.digest(named)
    return bench.weights[network]


def _of_set(maker: Network, bench: Bench, ratio: float = 1.0) -> dict:
    pixels = bench.pixels[maker.part != "train"]  # of the images that Bench.attacked gives
    grid = {} if ratio == 1 else {"ratio": ratio, "search": bench.search}
    return {"maker": _weights(maker, bench), "images": pixels, "code": bench.attack} | grid
