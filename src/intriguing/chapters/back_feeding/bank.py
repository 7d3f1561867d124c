"""Many networks 784-100-100-10 trained at once, each by its own plan and from its own seed.

The networks of a bank share the training set, the size of a batch, the schedule and the number of epochs; their plans
and seeds may differ. Half of the images in each update are a batch of the training set, the other half are examples
made of that batch for the weights as they are at that moment, or drawn from a pool of earlier ones; a plan without
examples gives them no weight. On a GPU the whole update is one CUDA graph, or one for each turn where layers take
turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from intriguing.chapters.back_feeding import examples
from intriguing.chapters.back_feeding.examples import ACTIVATIONS, Weights

SIZES = (784, 100, 100, 10)
KINDS = ("none", "dose", "exit", "noise", "virtual", "deformed")
RADII = ("fixed", "uniform", "growing")
BOXES = ("cut", "facing", "none")
WARM_UP = 0.1  # of the updates, in which the rate rises
AVERAGED = 0.3  # of the epochs, over whose ends the weights are averaged
RUNS_BEFORE_CAPTURE = 3
SHARE_RENEWED = 4  # one of so many examples that a pool gives out is made anew


@dataclass(frozen=True)
class Plan:
    """What a network is trained on beside the training set.

    Attributes:
        kind: of example: "none"; "dose", a step of fixed length up the cross-entropy; "exit", a step to where the lead
            over the runner-up is used up; "noise", a random step; "virtual", the step that changes the answer most,
            trained towards the answer; "deformed", the image turned and bent.
        size: the Euclidean length of the step, or its multiple of the exit, or the strength of the deformation. For
            hidden layers the unit of length is the standard deviation of each unit.
        layers: where the step is taken, 0 for the image.
        alternate: whether the layers take turns, one for each update, instead of sharing every batch.
        pool: how many examples of each layer are kept, a part of them made anew in each update; 0 to use fresh ones.
        steps: how often the exit is linearised anew.
        box: "cut" to the values that pixels and units can take; "facing", cut, and no part of the direction leads out
            of them; "none".
        radius: "fixed", "uniform" between 0 and twice the size, or "growing" from half to one and a half times it.
        through: whether what a hidden layer's example teaches reaches the layers below as well.
        share: of the loss that the examples count.
        decay: lambda of lambda * sum w^2, on all weights.
        dropout: the part of the pixels, and of the units of both hidden layers, set to zero in training.
        gain: factor of the first weights of both hidden layers.
        activation: of the hidden layers, "ReLU" or "sigmoid".
        pace: factor of the learning rate of the bank.
    """

    kind: str = "none"
    size: float = 0.0
    layers: tuple[int, ...] = (0,)
    alternate: bool = False
    pool: int = 0
    steps: int = 1
    box: str = "cut"
    radius: str = "fixed"
    through: bool = False
    share: float = 0.5
    decay: float = 0.0
    dropout: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gain: float = 1.0
    activation: str = "ReLU"
    pace: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("radius", RADII), ("box", BOXES), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"got {name} {getattr(self, name)!r}; expected one of {', '.join(known)}.")
        if not self.layers or not set(self.layers) <= {0, 1, 2} or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"got layers {self.layers}; expected different ones of 0, 1 and 2.")
        if self.kind in ("virtual", "deformed") and self.layers != (0,):
            raise ValueError(f"got layers {self.layers} for {self.kind!r}; expected (0,), it is made for images only.")
        if not (0 <= self.share < 1 and all(0 <= part < 1 for part in self.dropout)):
            raise ValueError(f"got {self}; expected shares of at least 0 and below 1.")

    @property
    def made_like(self) -> Plan:
        """What networks that lie side by side have in common: all but sizes, shares, regularisation and gain."""
        return replace(self, size=0.0, share=0.5, decay=0.0, dropout=(0.0, 0.0, 0.0), gain=1.0)


@dataclass(frozen=True)
class Setup:
    """What the networks of a bank have in common.

    Attributes:
        rate: the largest learning rate of Adam; it rises along a line and falls along a cosine to zero.
        epochs: passes over the training set.
        batch: images in an update, and as many examples.
    """

    rate: float
    epochs: int
    batch: int = 200


@dataclass(frozen=True)
class Trained:
    """A bank after its training.

    Attributes:
        weights: of the stack, averaged over the last part of the training.
        last: the same at the last update.
        seconds: wall time.
        epochs: passes that were made, fewer than asked for when the time was over.
    """

    weights: Weights
    last: Weights
    seconds: float
    epochs: int


@dataclass
class _Group:
    """Networks side by side in the stack whose examples are made together."""

    plan: Plan
    rows: slice
    size: Tensor  # (S, 1, 1)
    pools: dict[int, _Pool] = field(default_factory=dict)


class _Pool:
    """Examples of one layer for a few networks, a part of which is replaced at each draw."""

    def __init__(self, networks: int, size: int, units: int, device: torch.device) -> None:
        self.examples = torch.zeros(networks, size, units, device=device)
        self.labels = torch.zeros(networks, size, dtype=torch.long, device=device)
        self.filled = torch.zeros((), device=device)
        self.network = torch.arange(networks, device=device)[:, None]

    def swap(self, fresh: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Takes examples in, in empty places while there are some, and gives others out at random."""
        size, new = self.examples.shape[1], fresh.shape[1]
        shape = (len(self.examples), new)
        place = self.filled.long() + torch.arange(new, device=fresh.device)
        anywhere = (torch.rand(shape, device=fresh.device) * size).long()
        place = torch.where(place < size, place.expand(shape), anywhere)
        self.examples[self.network, place] = fresh
        self.labels[self.network, place] = labels
        self.filled.add_(new).clamp_(max=size)
        drawn = (torch.rand(len(self.examples), count, device=fresh.device) * self.filled).long().clamp(max=size - 1)
        return self.examples[self.network, drawn], self.labels[self.network, drawn]


def side_by_side(names: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """The nonlinearity of networks of which the first have one activation and the rest may have another.

    Args:
        names: the activation of each, sorted.

    Returns:
        A function of (B, N, n).
    """
    functions = [(ACTIVATIONS[name].function, names.count(name)) for name in dict.fromkeys(names)]
    if len(functions) == 1:
        return functions[0][0]
    counts = [count for _, count in functions]
    return lambda h: torch.cat([f(part) for (f, _), part in zip(functions, h.split(counts), strict=True)])


def first_weights(plan: Plan, seed: int) -> list[tuple[Tensor, Tensor]]:
    """The weights that a network starts from: Glorot's for sigmoids, He's for ReLU, times factors; biases zero.

    The factors of the activation and of the plan count in the hidden layers alone; the last layer has 1 in their place.

    Args:
        plan: its activation and gain count.
        seed: of the network.

    Returns:
        For each layer the matrix (in, out) and the bias (1, out).
    """
    generator, activation = torch.Generator().manual_seed(seed), ACTIVATIONS[plan.activation]
    found = []
    for layer, (fan_in, fan_out) in enumerate(zip(SIZES, SIZES[1:], strict=False)):
        hidden = layer < len(SIZES) - 2
        fan = (fan_in + fan_out) / 2 if activation.top == 1 else fan_in
        spread = (activation.gain * plan.gain if hidden else 1.0) / fan**0.5
        found.append((spread * torch.randn(fan_in, fan_out, generator=generator), torch.zeros(1, fan_out)))
    return found


class Bank:
    """A stack of networks in training.

    Args:
        rows: the plan and the seed of each network. The seed decides the first weights and the order of the images.
        setup: what they have in common.
        pixels: (N, 784) in [0, 1] on the device that is to be used.
        labels: (N,) long.
        seed: of noise, dropout, deformations and pools, which are drawn for the bank as a whole.
    """

    def __init__(
        self, rows: Sequence[tuple[Plan, int]], setup: Setup, pixels: Tensor, labels: Tensor, *, seed: int = 0
    ) -> None:
        if setup.batch > len(pixels):
            raise ValueError(f"got batches of {setup.batch}; expected at most the {len(pixels)} images there are.")
        kinds = sorted(dict.fromkeys(plan.made_like for plan, _ in rows), key=lambda kind: kind.activation)
        self.order = sorted(range(len(rows)), key=lambda row: kinds.index(rows[row][0].made_like))
        self.rows = [rows[row] for row in self.order]
        self.setup, self.pixels, self.labels, self.seed = setup, pixels, labels, seed
        self.device, self.function = pixels.device, side_by_side([plan.activation for plan, _ in self.rows])
        started = [first_weights(plan, one) for plan, one in self.rows]
        self.weights = [
            tuple(torch.stack(part).to(self.device).requires_grad_() for part in zip(*layer, strict=True))
            for layer in zip(*started, strict=True)
        ]
        self.count, self.batch = len(self.rows), setup.batch
        self.updates = len(pixels) // setup.batch
        self.groups = [self._group(kind) for kind in kinds]
        shares = self._column([plan.share if plan.kind != "none" else 0.0 for plan, _ in self.rows])[:, :, 0]
        ones = torch.ones(self.count, self.batch, device=self.device) / self.batch
        self.share = torch.cat([ones * (1 - shares), ones * shares], 1)
        self.decayed, self.decay = self._span([plan.decay for plan, _ in self.rows])
        self.dropped = [self._span([plan.dropout[layer] for plan, _ in self.rows]) for layer in range(3)]
        self.index = torch.zeros(self.count, self.batch, dtype=torch.long, device=self.device)
        self.progress = torch.zeros((), device=self.device)
        self.rate = torch.tensor(setup.rate, device=self.device)
        cuda = self.device.type == "cuda"
        flat = [part for layer in self.weights for part in layer]
        fused = self.device.type != "mps"
        self.adam = torch.optim.Adam(flat, lr=self.rate, fused=fused, capturable=cuda)
        paces = [plan.pace for plan, _ in self.rows]
        self.paced = [group.rows for group in self.groups if paces[group.rows.start] != 1]
        self.paces = [paces[rows.start] for rows in self.paced]
        self.phases = 3 if any(group.plan.alternate for group in self.groups) else 1

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=self.device, dtype=torch.float32)[:, None, None]

    def _span(self, values: Sequence[float]) -> tuple[slice | None, Tensor]:
        """The stretch of networks outside of which a value is zero, and the values in it; None where all are zero."""
        found = [row for row, value in enumerate(values) if value]
        rows = slice(found[0], found[-1] + 1) if found else None
        return rows, self._column(values[rows] if rows else [])

    def _group(self, kind: Plan) -> _Group:
        inside = [row for row, (plan, _) in enumerate(self.rows) if plan.made_like == kind]
        rows = slice(inside[0], inside[-1] + 1)
        pools = {layer: _Pool(len(inside), kind.pool, SIZES[layer], self.device) for layer in kind.layers if kind.pool}
        return _Group(kind, rows, self._column([self.rows[row][0].size for row in inside]), pools)

    def update(self, phase: int = 0) -> None:
        """One step of Adam for every network, on the images that ``index`` names and examples made of them.

        Args:
            phase: counts the updates, for plans whose layers take turns.
        """
        with torch.no_grad():
            frozen = [(matrix.detach(), bias.detach()) for matrix, bias in self.weights]
            read = self.pixels.index_select(0, self.index.flatten()).unflatten(0, self.index.shape)  # (B, b, 784)
            labels = self.labels[self.index].repeat(1, 2)
            clean = examples.outputs(frozen, read, self.function)
            images = read.new_empty(self.count, 2 * self.batch, SIZES[0])
            images[:, : self.batch] = read
            targets = examples.hot(labels, SIZES[-1])
            keep, add = self._nothing_fed()
            for group in self.groups:
                self._feed(group, phase, frozen, clean, labels, images, targets, keep, add)
            masks = self._masks(images)
        h = images
        for layer, (matrix, bias) in enumerate(self.weights):
            h = torch.baddbmm(bias, h, matrix)
            if layer < len(self.weights) - 1:
                h = self.function(h)
                if keep:
                    h = h * keep[layer] + add[layer]
                if masks:
                    h = h * masks[layer]
        loss = -(self.share * (targets * F.log_softmax(h, -1)).sum(-1)).sum()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        if self.decayed:
            for matrix, _ in self.weights:
                matrix.grad[self.decayed].addcmul_(matrix.detach()[self.decayed], self.decay, value=2)
        # A step of Adam is proportional to its rate, so another rate is a part (or a multiple) of the same step.
        before = [[part.detach()[rows].clone() for rows in self.paced] for layer in self.weights for part in layer]
        self.adam.step()
        for part, olds in zip((part.detach() for layer in self.weights for part in layer), before, strict=True):
            for rows, old, pace in zip(self.paced, olds, self.paces, strict=True):
                part[rows].copy_(old.lerp(part[rows], pace))

    def _nothing_fed(self) -> tuple[list[Tensor], list[Tensor]]:
        """For both hidden layers: 1 to keep what came from below, and what is added to it."""
        if not any(set(group.plan.layers) - {0} for group in self.groups):
            return [], []
        shape = (self.count, 2 * self.batch)
        keep = [torch.ones(*shape, 1, device=self.device) for _ in SIZES[1:-1]]
        return keep, [torch.zeros(*shape, units, device=self.device) for units in SIZES[1:-1]]

    def _feed(
        self,
        group: _Group,
        phase: int,
        weights: Weights,
        clean: Sequence[Tensor],
        labels: Tensor,
        images: Tensor,
        targets: Tensor,
        keep: Sequence[Tensor],
        add: Sequence[Tensor],
    ) -> None:
        """Puts the examples of a group into the second half of the batch, at the layers where they belong."""
        plan, rows = group.plan, group.rows
        if plan.kind == "none" or plan.layers != (0,):
            images[rows, self.batch :] = clean[0][rows]
        if plan.kind == "none":
            return
        mine = [(matrix[rows], bias[rows]) for matrix, bias in weights]
        layers = plan.layers[phase % len(plan.layers) :][:1] if plan.alternate else plan.layers
        for layer, part in zip(layers, _parts(self.batch, len(layers)), strict=True):
            width = part.stop - part.start
            attacked = slice(part.start, part.start + -(-width // SHARE_RENEWED)) if plan.pool else part
            h, truth = [one[rows, attacked] for one in clean], labels[rows, attacked]
            units = clean[layer][rows].std(1, keepdim=True) if layer else 1.0
            moved, towards = fresh(plan, mine, h, truth, layer, group.size, units, self.progress)
            if plan.pool:
                moved, truth = group.pools[layer].swap(moved, truth, width)
                towards = examples.hot(truth, SIZES[-1])
            second = slice(self.batch + part.start, self.batch + part.stop)
            if layer == 0:
                images[rows, second] = moved
            elif plan.through:
                add[layer - 1][rows, second] = moved - h[layer]
            else:
                keep[layer - 1][rows, second] = 0
                add[layer - 1][rows, second] = moved
            if towards is not None:
                targets[rows, second] = towards

    def _masks(self, images: Tensor) -> list[Tensor]:
        """Drops pixels in place, and returns what the outputs of both hidden layers are multiplied by."""
        if not any(rows for rows, _ in self.dropped):
            return []
        masks = [images, *(images.new_ones(self.count, 2 * self.batch, width) for width in SIZES[1:-1])]
        for mask, (rows, part) in zip(masks, self.dropped, strict=True):
            if rows:
                mask[rows].mul_((torch.rand_like(mask[rows]) >= part) / (1 - part))
        return masks[1:]

    def train(
        self, *, until: float | None = None, capture: bool = True, after_epoch: Callable[[], object] | None = None
    ) -> Trained:
        """Trains for the epochs of the setup.

        Args:
            until: on the clock of ``time.monotonic``, after which no further epoch is begun; None for no end.
            capture: whether a GPU may replay the update as a graph.
            after_epoch: called when the work of an epoch is done.

        Returns:
            A ``Trained``, the networks in the order in which they were asked for.
        """
        started, total = time.monotonic(), self.updates * self.setup.epochs
        devices = [self.device] if self.device.type == "cuda" else []
        orders = _orders(sorted({seed for _, seed in self.rows}), len(self.pixels), self.device)
        seeds = sorted({seed for _, seed in self.rows})
        which = torch.tensor([seeds.index(seed) for _, seed in self.rows], device=self.device)
        rates = self.setup.rate * one_cycle(total).to(self.device)
        progress = torch.linspace(0, 1, total, device=self.device)
        first = self.setup.epochs - max(1, round(AVERAGED * self.setup.epochs))
        flat = [part.detach() for layer in self.weights for part in layer]
        mean, done = [torch.zeros_like(part) for part in flat], 0
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            updates = (
                self._captured()
                if devices and capture
                else [lambda phase=phase: self.update(phase) for phase in range(self.phases)]
            )
            for epoch in range(self.setup.epochs):
                if until is not None and time.monotonic() > until:
                    break
                order = next(orders)[which]
                for step in range(self.updates):
                    number = epoch * self.updates + step
                    self.index.copy_(order[:, step * self.batch : (step + 1) * self.batch])
                    self.rate.copy_(rates[number])
                    self.progress.copy_(progress[number])
                    updates[number % self.phases]()
                done += 1
                if epoch >= first:
                    for into, part in zip(mean, flat, strict=True):
                        into.lerp_(part, 1 / (epoch - first + 1))
                if devices:
                    torch.cuda.synchronize(self.device)  # so that the clock above is that of the work
                if after_epoch is not None:
                    after_epoch()
        back = torch.tensor(self.order, device=self.device).argsort()
        averaged, last = ([part[back] for part in parts] for parts in (mean, flat))
        pairs = [list(zip(parts[::2], parts[1::2], strict=True)) for parts in (averaged, last)]
        return Trained(pairs[0], pairs[1], time.monotonic() - started, done)

    def _captured(self) -> list[Callable[[], None]]:
        """The update as CUDA graphs, one for each phase; weights and pools are left as they were."""
        flat = [part.detach() for layer in self.weights for part in layer]
        before = [part.clone() for part in flat]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for phase in range(RUNS_BEFORE_CAPTURE):
                self.update(phase)
        torch.cuda.current_stream().wait_stream(aside)
        graphs = []
        for phase in range(self.phases):
            graphs.append(torch.cuda.CUDAGraph())
            self.adam.zero_grad(set_to_none=True)
            with torch.cuda.graph(graphs[-1]):
                self.update(phase)
        with torch.no_grad():
            for part, value in zip(flat, before, strict=True):
                part.copy_(value)
            for state in self.adam.state.values():
                for value in state.values():
                    value.zero_()
            for group in self.groups:
                for pool in group.pools.values():
                    pool.filled.zero_()
        return [graph.replay for graph in graphs]


def fresh(
    plan: Plan,
    weights: Weights,
    h: Sequence[Tensor],
    labels: Tensor,
    layer: int,
    size: Tensor,
    units: Tensor | float = 1.0,
    progress: Tensor | float = 0.5,
) -> tuple[Tensor, Tensor | None]:
    """Examples of a plan's kind, made of the outputs of a layer for the weights as they are.

    Args:
        plan: the kind, and how it is made.
        weights: of S networks.
        h: outputs (S, N, n) of all layers, images first and logits last.
        labels: (S, N) long, the true classes.
        layer: the one that is moved.
        size: (S, 1, 1) the sizes of the plans.
        units: (S, 1, n) what each output of the layer is measured in.
        progress: how much of the training is over, from 0 to 1.

    Returns:
        The moved outputs (S, N, n), and the answer (S, N, 10) to be trained for, None for the true class.
    """
    start, logits, activation = h[layer], h[-1], ACTIVATIONS[plan.activation]
    if plan.radius == "uniform":
        size = 2 * size * torch.rand(*start.shape[:2], 1, device=start.device)
    elif plan.radius == "growing":
        size = size * (0.5 + progress)
    towards = None
    if plan.kind == "deformed":
        return examples.bent(start, size), None
    if plan.kind == "exit":
        step = torch.zeros_like(start)
        for number in range(plan.steps):
            here = h[layer:] if number == 0 else examples.outputs(weights, start + step, activation.function, layer)
            ahead, pulled = examples.lead(here[-1], labels)
            step = step + examples.out(examples.pull(weights, here, pulled, layer, activation), ahead, units)
        moved = start + size * step
    else:
        if plan.kind == "dose":
            direction = examples.pull(weights, h[layer:], examples.uphill(logits, labels), layer, activation)
        elif plan.kind == "noise":
            direction = torch.randn_like(start)
        else:
            towards = logits.softmax(-1)
            near = start + examples.along(torch.randn_like(start), examples.NEAR)
            here = examples.outputs(weights, near, activation.function, layer)
            direction = examples.pull(weights, here, here[-1].softmax(-1) - towards, layer, activation)
        if plan.box == "facing":
            direction = examples.facing_in(direction, start, layer, activation)
        moved = examples.moved(start, direction, size, units)
    return moved if plan.box == "none" else examples.boxed(moved, layer, activation), towards


def _parts(length: int, count: int) -> list[slice]:
    """A batch cut into parts of nearly equal length."""
    ends = [length * part // count for part in range(count + 1)]
    return [slice(*pair) for pair in zip(ends, ends[1:], strict=False)]


def _orders(seeds: Sequence[int], count: int, device: torch.device) -> Iterator[Tensor]:
    """For each epoch the order of the images (S, N) for every seed."""
    generators = [torch.Generator().manual_seed(1000 + seed) for seed in seeds]
    while True:
        yield torch.stack([torch.randperm(count, generator=generator) for generator in generators]).to(device)


def one_cycle(total: int) -> Tensor:
    """The learning rate of each update as a part of the largest: up along a line, down along a cosine.

    Args:
        total: updates.

    Returns:
        (total,) above 0 and at most 1.
    """
    step, rising = torch.arange(total, dtype=torch.float32) + 0.5, WARM_UP * total
    falling = ((step - rising) / (total - rising)).clamp(min=0)
    return torch.where(step < rising, step / rising, 0.5 * (1 + torch.cos(torch.pi * falling)))


@torch.no_grad()
def wrong(
    weights: Weights, function: Callable[[Tensor], Tensor], pixels: Tensor, labels: Tensor, *, batch: int = 500
) -> Tensor:
    """Which images each network misreads.

    Args:
        weights: of the stack.
        function: the nonlinearity, as from ``side_by_side``.
        pixels: (N, 784) in [0, 1].
        labels: (N,) long.
        batch: images at a time.

    Returns:
        (B, N) bool.
    """
    count = len(weights[0][0])
    answers = [
        examples.outputs(weights, some.expand(count, -1, -1), function)[-1].argmax(-1) for some in pixels.split(batch)
    ]
    return torch.cat(answers, 1) != labels
