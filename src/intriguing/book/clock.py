"""The time that a long piece of work may take, told to its parts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Clock:
    """The time that there is.

    Attributes:
        minutes: after which nothing further is begun.
        started: reading of ``time.monotonic``.
    """

    minutes: float
    started: float = field(default_factory=time.monotonic)

    @property
    def end(self) -> float:
        """What ``time.monotonic`` reads when the time is over."""
        return self.started + 60 * self.minutes

    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def left(self) -> float:
        """Seconds until the end, negative once it is over."""
        return self.end - time.monotonic()
