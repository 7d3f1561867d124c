"""A network trained on examples that the search for the shortest perturbation finds, made anew for every batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from intriguing.attack.distortion import minimum_distortion
from intriguing.chapters.back_feeding import examples
from intriguing.chapters.back_feeding.alone import Alone
from intriguing.chapters.back_feeding.campaign import Pixels, module, runners_up


class Searched(Alone):
    """A network in training, as ``Alone``, whose examples lie where the search finds the runner-up ahead.

    The plan says how far along the way there: an exit takes it a number of times, a dose a fixed length of it. Images
    that are misread stay where they are, and so do those for which nothing is found.

    Args:
        plan: "exit" or "dose", for the images alone.
        seed: as in ``Alone``.
        setup: as there.
        pixels: as there.
        labels: as there.
    """

    def _made(
        self, layer: int, h: Sequence[Tensor], truth: Tensor, units: Tensor | float
    ) -> tuple[Tensor, Tensor | None]:
        images = h[layer]
        step = shortest(self.weights, self.plan.activation, Pixels(images, truth))
        step = self.plan.size * step if self.plan.kind == "exit" else examples.along(step, self.plan.size)
        return examples.boxed(images + step, layer, self.activation), None


def shortest(weights: Sequence[tuple[Tensor, Tensor]], activation: str, pixels: Pixels) -> Tensor:
    """The shortest way to the runner-up that the batched search finds for each image.

    Args:
        weights: matrices (in, out) and biases (1, out) of one network.
        activation: of the hidden layers.
        pixels: images to begin with.

    Returns:
        (N, 784), zero where an image is misread or no way is found.
    """
    model = module([(matrix[None], bias[None]) for matrix, bias in weights], 0, activation)
    found = minimum_distortion(model, pixels.images, runners_up(model, pixels), refine=True)
    return torch.where(found.success[:, None], found.images - pixels.images, 0.0)
