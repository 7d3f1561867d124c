"""Rows of a set, chosen as its readers choose them, and whole numbers that they give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def picked(values: Tensor, rows: Tensor | slice | Sequence[int]) -> Tensor:
    """Some rows of a tensor.

    Args:
        values: (N, ...).
        rows: a slice or integers below N, in the order wanted.

    Returns:
        (B, ...).

    Raises:
        IndexError: rows that are none.
    """
    try:
        chosen = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        if isinstance(chosen, Tensor) and not chosen.numel():
            chosen = chosen.long()
        return values[chosen]
    except (IndexError, TypeError, ValueError, RuntimeError):
        raise IndexError(
            f"got rows {rows!r}; expected a slice or whole numbers below {len(values)}; count rows from 0."
        ) from None


def check_whole(value: int, name: str, most: int) -> None:
    """Refuses what is no whole number from 1.

    Args:
        value: what was given.
        name: for the error.
        most: the largest that is accepted.

    Raises:
        ValueError: another number, or no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise ValueError(f"got {name} {value!r}; expected a whole number from 1 to {most}; choose one.")
