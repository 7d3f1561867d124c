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
        rows: a slice, forwards or backwards, (B,) integers of any type below N, in the order wanted, where those below
            0 count from the end, or (N,) bool.

    Returns:
        (B, ...).

    Raises:
        IndexError: rows that are none.
    """
    try:
        return values[_rows(rows, len(values))]
    except (IndexError, TypeError, ValueError, RuntimeError, OverflowError):
        raise IndexError(
            f"got rows {rows!r}; expected a slice or whole numbers below {len(values)}; count rows from 0, and put a "
            "single one into a list."
        ) from None


def _rows(rows: Tensor | slice | Sequence[int], count: int) -> Tensor | slice:
    """Rows as PyTorch takes them: it has no slices backwards, and reads 8-bit integers as a mask."""
    if isinstance(rows, slice):
        taken = range(count)[rows]
        return torch.tensor(taken, dtype=torch.int64) if taken.step < 0 else rows
    chosen = rows if isinstance(rows, Tensor) else torch.as_tensor(np.array(rows))
    if chosen.ndim != 1 or (chosen.numel() and (chosen.is_floating_point() or chosen.is_complex())):
        raise IndexError
    return chosen if chosen.dtype == torch.bool else chosen.long()


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
