"""Long work in sittings: what it has to remember, on disk, so that it goes on after a kill or an end of the time."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import safetensors

from intriguing.attack import files

if TYPE_CHECKING:
    from torch import Tensor

EVERY = 120.0  # seconds of a training that a killed process may lose


class Missing(Exception):
    """A unit that is not there, where none shall be made."""


class TimeOver(Exception):
    """The time is over; what was begun goes on at the next start."""


class Saved:
    """The memory of a training, on disk.

    Args:
        name: of the file.
        text: the key that the file has to carry.
        over: whether the time is over, so that the training is saved whatever the clock says.
    """

    def __init__(self, name: str, text: str, over: Callable[[], bool]) -> None:
        self.path = files.cache_folder() / "unfinished" / name
        self.text, self.over, self.last = text, over, time.monotonic()

    def load(self) -> dict[str, Tensor] | None:
        """What was saved last; None where there is nothing, or nothing that can be trusted, which is reported."""
        try:
            return files.read(self.path, self.text)[0]
        except FileNotFoundError:
            return None
        except (safetensors.SafetensorError, OSError, ValueError) as problem:
            warnings.warn(f"The training in {self.path} cannot go on ({problem}) and begins anew.", stacklevel=2)
            return None

    def offer(self, told: Callable[[], dict[str, Tensor]]) -> None:
        """Saves where a training stands, every two minutes and when the time is over."""
        if time.monotonic() - self.last > EVERY or self.over():
            files.keep(self.path, self.text, files.plain("training", told()), {})
            self.last = time.monotonic()
