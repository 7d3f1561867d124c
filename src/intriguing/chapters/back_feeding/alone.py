"""One network trained as a bank of one trains it, in the cheapest way on a CPU, with a memory that it goes on from.

The gradients are written out, so that nothing is kept for a second pass: the answers to a batch serve its examples and
the training alike, no weight has a gradient while an example is made, and a plan without examples has no second half.
Examples of a hidden layer enter there and cost nothing below. Products are those of NumPy, whose BLAS
is the faster one on some processors (``OPENBLAS_CORETYPE=SkylakeX`` where it does not know that there is AVX-512), and
numbers too small to matter are flushed to zero, which keeps Adam fast. None of it changes more than roundings.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from intriguing.chapters.back_feeding import bank, examples
from intriguing.chapters.back_feeding.bank import (
    AVERAGED,
    SIZES,
    Setup,
    _orders,
    _parts,
    first_weights,
    one_cycle,
)
from intriguing.chapters.back_feeding.examples import ACTIVATIONS

CHANCE = 2000  # added to the seed of a network for what is drawn while it is trained
TINY = 1e-40  # a float32 that is lost where such numbers are flushed to zero


def supported(plan: bank.Plan) -> bool:
    """Whether a plan can be trained here: no pools, turns, changing lengths or teaching through, and no dropout beside
    examples.
    """
    plain = plan.radius == "fixed" and not (plan.pool or plan.alternate or plan.through)
    return plain and (plan.kind == "none" or not any(plan.dropout))


class Alone:
    """A network in training.

    Args:
        plan: what it is trained on; ``supported``.
        seed: of its first weights, of the order of the images, and of noise, dropout and deformations.
        setup: rate, epochs and batch.
        pixels: (N, 784) in [0, 1], on the CPU.
        labels: (N,) long.
    """

    def __init__(self, plan: bank.Plan, seed: int, setup: Setup, pixels: Tensor, labels: Tensor) -> None:
        if not supported(plan):
            raise ValueError(f"got {plan}; expected one of fixed length, without pools; a bank can train it.")
        if setup.batch > len(pixels):
            raise ValueError(f"got batches of {setup.batch}; expected at most the {len(pixels)} images there are.")
        self.plan, self.seed, self.setup, self.pixels, self.labels = plan, seed, setup, pixels, labels
        self.activation, self.batch = ACTIVATIONS[plan.activation], setup.batch
        self.updates = len(pixels) // setup.batch
        started = [part.flatten() for layer in first_weights(plan, seed) for part in layer]
        self.flat = torch.cat(started)
        self.gradient = torch.zeros_like(self.flat)
        self.weights, self.gradients = layered(self.flat), layered(self.gradient)
        parameter = self.flat.detach().requires_grad_()
        parameter.grad, self.parameter = self.gradient, parameter
        self.adam = torch.optim.Adam([parameter], lr=setup.rate, fused=True)
        self.mean = torch.zeros_like(self.flat)
        self.epoch, self.seconds = 0, 0.0
        layers = plan.layers if plan.kind != "none" else ()
        self.fed = sorted(zip(layers, _parts(self.batch, max(1, len(layers))), strict=False), key=lambda one: one[0])
        # Rows: the batch itself, then the examples in the order of the layers that they enter at.
        entering = [sum(part.stop - part.start for layer, part in self.fed if layer == where) for where in range(3)]
        self.rows = [self.batch + sum(entering[: where + 1]) for where in range(3)]
        self.h = [
            torch.empty(rows, width) for rows, width in zip([*self.rows, self.rows[-1]], SIZES, strict=True)
        ]  # what enters each layer, and the logits
        share = plan.share if self.fed else 0.0
        self.share = torch.full((self.rows[-1], 1), share / self.batch)
        self.share[: self.batch] = (1 - share) / self.batch

    def memory(self) -> dict[str, Tensor]:
        """All that the rest of the training depends on; to be asked for between epochs, while it trains."""
        adam = self.adam.state[self.parameter]
        return {
            "flat": self.flat,
            "mean": self.mean,
            **{name: adam[name] for name in ("step", "exp_avg", "exp_avg_sq")},
            "chance": torch.get_rng_state(),
            "epoch": torch.tensor(self.epoch),
            "seconds": torch.tensor(self.seconds, dtype=torch.float64),
        }

    def train(
        self, memory: Mapping[str, Tensor] | None = None, after_epoch: Callable[[], object] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Trains to the end.

        Args:
            memory: to go on from; None to begin.
            after_epoch: called after each epoch; what it raises ends the training.

        Returns:
            The averaged and the last weights as flat tensors, see ``layered``.
        """
        total = self.updates * self.setup.epochs
        rates = (self.setup.rate * self.plan.pace * one_cycle(total)).tolist()
        first = self.setup.epochs - max(1, round(AVERAGED * self.setup.epochs))
        orders = _orders([self.seed], len(self.pixels), self.pixels.device)
        with torch.random.fork_rng([]), torch.no_grad(), _flushed():
            torch.manual_seed(CHANCE + self.seed)
            if memory:
                self._recall(memory)
            for _ in range(self.epoch):
                next(orders)
            while self.epoch < self.setup.epochs:
                began, order = time.process_time(), next(orders)[0]
                for step in range(self.updates):
                    self.adam.param_groups[0]["lr"] = rates[self.epoch * self.updates + step]
                    self.update(order[step * self.batch : (step + 1) * self.batch])
                if self.epoch >= first:
                    self.mean.lerp_(self.flat, 1 / (self.epoch - first + 1))
                self.epoch += 1
                self.seconds += time.process_time() - began
                if after_epoch is not None:
                    after_epoch()
        return self.mean, self.flat

    def _recall(self, memory: Mapping[str, Tensor]) -> None:
        self.flat.copy_(memory["flat"])
        self.mean.copy_(memory["mean"])
        adam = {name: memory[name].clone() for name in ("step", "exp_avg", "exp_avg_sq")}
        self.adam.state[self.parameter] = adam
        torch.set_rng_state(memory["chance"])
        self.epoch, self.seconds = int(memory["epoch"]), float(memory["seconds"])

    def update(self, index: Tensor) -> None:
        """One step of Adam on some images of the training set and on examples made of them.

        Args:
            index: (b,) long, which images.
        """
        h, plan, batch = self.h, self.plan, self.batch
        truth = self.labels[index]
        torch.index_select(self.pixels, 0, index, out=h[0][:batch])
        masks = self._masks()
        self._forward(0, [batch] * len(self.weights), masks)
        targets = examples.hot(truth, SIZES[-1])
        if self.fed:
            targets = self._feed(truth, targets)
            self._forward(batch, self.rows)
        delta = _softmax(h[3]).sub_(targets).mul_(self.share)
        for layer in (2, 1, 0):
            # what entered above this layer teaches nothing below it
            (matrix, _), (grown, shift) = self.weights[layer], self.gradients[layer]
            delta = delta[: self.rows[layer]]
            _product(h[layer].T, delta, grown)
            torch.sum(delta, 0, keepdim=True, out=shift)
            if layer:
                kept = h[layer][: self.rows[layer - 1]]
                slope = self._slope(layer, kept, masks)
                delta = _product(delta[: len(kept)], matrix.T).mul_(slope)
            if plan.decay:
                grown.add_(matrix, alpha=2 * plan.decay)
        self.adam.step()

    def _forward(self, start: int, stops: Sequence[int], masks: Sequence[Tensor | None] = ()) -> None:
        """Fills in what each layer puts out for its rows from ``start`` to its own stop."""
        for layer, ((matrix, bias), stop) in enumerate(zip(self.weights, stops, strict=True)):
            if start == stop:
                continue
            out = _product(self.h[layer][start:stop], matrix, self.h[layer + 1][start:stop]).add_(bias)
            if layer < len(self.weights) - 1:
                out.relu_() if self.plan.activation == "ReLU" else out.sigmoid_()
                if masks and masks[layer] is not None:
                    out.mul_(masks[layer])

    def _slope(self, layer: int, h: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
        mask = masks[layer - 1] if masks else None
        if mask is None:
            return self._steepness(h)
        # A dropped unit gives zero and passes nothing on; the others give what the function gives, times 1 / kept.
        return self._steepness(h / mask.clamp_min(1)) * mask

    def _steepness(self, h: Tensor) -> Tensor:
        """The derivative of the activation from its outputs; the sign of those of ReLU, which are never negative."""
        return h.sign() if self.plan.activation == "ReLU" else self.activation.slope(h)

    def _masks(self) -> list[Tensor | None]:
        """Drops pixels of the batch, and returns what the outputs of both hidden layers are multiplied by."""
        if not any(self.plan.dropout):
            return []
        found: list[Tensor | None] = []
        for part, width in zip(self.plan.dropout, SIZES, strict=False):
            mask = (torch.rand(self.batch, width) >= part) / (1 - part) if part else None
            found.append(mask)
        if found[0] is not None:
            self.h[0].mul_(found[0])
        return found[1:]

    def _feed(self, truth: Tensor, targets: Tensor) -> Tensor:
        """Puts examples where they enter, and returns the targets of all rows."""
        clean, wanted = [one[: self.batch] for one in self.h], [targets]
        for layer, part in self.fed:
            units = clean[layer].std(0, keepdim=True) if layer else 1.0
            moved, towards = self._made(layer, [one[part] for one in clean], truth[part], units)
            start = self.rows[layer - 1] if layer else self.batch
            self.h[layer][start : start + len(moved)] = moved
            wanted.append(targets[part] if towards is None else towards)
        return torch.cat(wanted)

    def _made(
        self, layer: int, h: Sequence[Tensor], truth: Tensor, units: Tensor | float
    ) -> tuple[Tensor, Tensor | None]:
        """Examples of the plan's kind, and what they are trained towards, as ``bank.fresh`` has them."""
        plan, start = self.plan, h[layer]
        towards = None
        if plan.kind == "deformed":
            return examples.bent(start[None], torch.full((1, 1, 1), plan.size))[0], None
        if plan.kind == "exit":
            step = torch.zeros_like(start)
            for number in range(plan.steps):
                here = h if number == 0 else self._outputs(start + step, layer)
                ahead, pulled = examples.lead(here[-1], truth)
                step = step + examples.out(self._pull(pulled, here, layer), ahead, units)
            moved = start + plan.size * step
        else:
            if plan.kind == "dose":
                true = examples.hot(truth, SIZES[-1])  # as in examples.uphill
                direction = self._pull(_softmax(h[-1] - true / examples.SHORTEST).sub_(true), h, layer)
            elif plan.kind == "noise":
                direction = torch.randn_like(start)
            else:
                towards = _softmax(h[-1])
                near = start + examples.along(torch.randn_like(start), examples.NEAR)
                here = self._outputs(near, layer)
                direction = self._pull(_softmax(here[-1]) - towards, here, layer)
            if plan.box == "facing":
                direction = examples.facing_in(direction, start, layer, self.activation)
            moved = examples.moved(start, direction, plan.size, units)
        return moved if plan.box == "none" else examples.boxed(moved, layer, self.activation), towards

    def _outputs(self, start: Tensor, layer: int) -> list[Tensor]:
        """What all layers put out where ``start`` enters at one; nothing stands for those below."""
        found = [start[:0]] * layer + [start]
        for above in range(layer, len(self.weights)):
            matrix, bias = self.weights[above]
            out = _product(found[above], matrix).add_(bias)
            found.append(self.activation.function(out) if above < len(self.weights) - 1 else out)
        return found

    def _pull(self, cotangent: Tensor, h: Sequence[Tensor], layer: int) -> Tensor:
        """The gradient of cotangent * logits with respect to what enters a layer."""
        for above in range(len(self.weights) - 1, layer - 1, -1):
            cotangent = _product(cotangent, self.weights[above][0].T)
            if above > layer:
                cotangent.mul_(self._steepness(h[above]))
        return cotangent


def layered(flat: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The matrices (in, out) and biases (1, out) of the layers, as views of all numbers in a row."""
    shapes = list(zip(SIZES, SIZES[1:], strict=False))
    parts = iter(flat.split([size for fan_in, fan_out in shapes for size in (fan_in * fan_out, fan_out)]))
    return [(next(parts).view(fan_in, fan_out), next(parts).view(1, fan_out)) for fan_in, fan_out in shapes]


def _product(one: Tensor, other: Tensor, out: Tensor | None = None) -> Tensor:
    """The matrix product, by NumPy."""
    if out is None:
        return torch.from_numpy(np.matmul(one.numpy(), other.numpy()))
    np.matmul(one.numpy(), other.numpy(), out=out.numpy())
    return out


def _softmax(logits: Tensor) -> Tensor:
    """Along the last of two axes, which is too short for PyTorch to be fast along it."""
    return logits.T.contiguous().softmax(0).T.contiguous()


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Numbers below the smallest normal one count as zero, for the length of the block, where the processor can."""
    before = not bool(torch.tensor(TINY) * torch.ones(()))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
