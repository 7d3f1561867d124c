"""D(x, l) for any differentiable classifier: the shortest way from an image to another class, inside the box of pixels.

Nothing here knows a network, a data set or a page of the book: tensors and callables only. The package can be called:
``intriguing.attack(model, images, targets)`` is the long run of :func:`intriguing.attack.runs.attack`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .distortion import Distortion


class _Room(ModuleType):
    """A package that can be called, so that ``attack`` is the room and the long run in one word."""

    def __call__(
        self, model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, **options: Any
    ) -> Distortion:
        """``minimum_distortion`` for a long run, see :func:`intriguing.attack.runs.attack`."""
        from .runs import attack

        return attack(model, images, targets, **options)


sys.modules[__name__].__class__ = _Room
