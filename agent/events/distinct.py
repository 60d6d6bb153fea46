"""Distinct values of a column.

`numpy.unique` without indexes loads the part of NumPy for masked arrays when it is first called, which takes 1.5 MB and
milliseconds, and a hash table that few values do not need.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Integer = TypeVar("_Integer", bound=np.integer)


def distinct(values: NDArray[_Integer]) -> NDArray[_Integer]:
    """The distinct ones of some integers, in ascending order."""
    ordered = np.sort(values)
    return ordered[changes(ordered)]


def changes(column: NDArray[_Integer]) -> NDArray[np.bool_]:
    """Per row, whether it is another one than the row before; the first one is."""
    changed = np.ones(len(column), dtype=np.bool_)
    np.not_equal(column[1:], column[:-1], out=changed[1:])
    return changed
