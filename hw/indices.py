"""Indices that C follows without a look: a wrong one is an error here and not a fault there."""

from __future__ import annotations

import numpy as np


def check(name: str, values: np.ndarray, low: int, high: int) -> None:
    """Refuses values below `low`, or not below `high`, with a ValueError that names them."""
    if values.size and not (low <= values.min() and values.max() < high):
        raise ValueError(f"{name} must be from {low} to {high - 1}, not {values.min()} to {values.max()}")


def check_parts(name: str, first: np.ndarray, end: np.ndarray, n: int) -> None:
    """Refuses parts of a list of `n`, each from its first to before its end, that do not lie in it."""
    check(name, first, 0, n + 1)
    check(name, end, 0, n + 1)
    if np.any(first > end):
        raise ValueError(f"{name} must not end before it begins")
