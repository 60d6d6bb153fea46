"""What there is in arrays of whole numbers, each once."""

import numpy as np
from numpy.typing import NDArray

DENSE = 1 << 22
"""Numbers below this are marked in an array; that takes a pass, where sorting takes many."""


def distinct(keys: NDArray[np.int64] | NDArray[np.int32], limit: int) -> NDArray[np.int64]:
    """The numbers in `keys`, each once and sorted; all are at least 0 and below `limit`."""
    if limit > DENSE:
        return np.unique(keys).astype(np.int64, copy=False)
    return np.flatnonzero(_marked(keys, limit))


def numbered(keys: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The numbers in `keys`, each once and sorted, and per key its place among them; limits as in distinct()."""
    if limit > DENSE:
        found, place = np.unique(keys, return_inverse=True)
        return found, place
    marked = _marked(keys, limit)
    return np.flatnonzero(marked), (np.cumsum(marked) - 1)[keys]


def distinct_pairs(
    number: NDArray[np.int64] | NDArray[np.int32], minute: NDArray[np.int32], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of numbers, at least 0 and below `limit`, and minutes, each once: sorted, as two columns."""
    if not len(number):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first = int(minute.min())
    span = int(minute.max()) - first + 1
    keys = distinct(number * np.int64(span) + (minute - np.int64(first)), limit * span)
    return keys // span, keys % span + first


def _marked(keys: NDArray[np.int64] | NDArray[np.int32], limit: int) -> NDArray[np.bool_]:
    marked = np.zeros(limit, np.bool_)
    marked[keys] = True
    return marked
