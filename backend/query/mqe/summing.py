"""Sums of rows that are exact before they are rounded once, as math.fsum() gives them."""

import math

import numpy as np
from numpy.typing import NDArray

_LARGE = 2.0**1000
"""Sizes from here on are left to math.fsum(), which knows what overflows."""


def totals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of each row, rounded once; NaN for one that is too large.

    Rows are added up column by column, and what rounding takes away is added up beside it (TwoSum). When that second
    sum is exact, the two are the sum, and adding them rounds once. Only rows where it is not are added up by
    math.fsum().

    Args:
        values: rows of finite numbers, or one row.
    """
    if values.ndim == 1:
        return np.array(_total(values))
    total, lost = np.zeros(len(values)), np.zeros(len(values))
    # Rows with numbers of this size are not used, whatever they overflow to.
    inexact = (np.abs(values) >= _LARGE / max(1, values.shape[1])).any(axis=1)
    with np.errstate(all="ignore"):
        for column in values.T:
            total, rest = _two_sum(total, column)
            lost, uncounted = _two_sum(lost, rest)
            inexact |= uncounted != 0
        total += lost
    for row in np.flatnonzero(inexact):
        total[row] = _total(values[row])
    return total


def _two_sum(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rounded sum of two numbers, and what rounding took away: exactly their sum together."""
    total = one + other
    of_other = total - one
    return total, (one - (total - of_other)) + (other - of_other)


def _total(row: NDArray[np.float64]) -> float:
    try:
        return math.fsum(row.tolist())
    except OverflowError:
        return math.nan
