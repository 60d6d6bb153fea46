"""Whole rows of structured arrays. numpy copies such rows field by field, unless they are taken for plain bytes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.void]
"""A one-dimensional structured array."""


def take(table: Table, rows: NDArray[np.intp]) -> Table:
    """Some rows, in the order given."""
    taken: Table = as_bytes(table).take(rows).view(table.dtype)
    return taken


def join(tables: Sequence[Table], dtype: np.dtype[np.void]) -> Table:
    """Tables of one type, one after the other; possibly none."""
    if not tables:
        return np.empty(0, dtype=dtype)
    joined: Table = np.concatenate([as_bytes(table) for table in tables]).view(dtype)
    return joined


def as_bytes(table: Table) -> Table:
    """The same rows without their fields. Also for a field that is a structure itself."""
    return table.view(f"V{table.dtype.itemsize}")
