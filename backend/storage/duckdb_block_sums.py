"""Adds up blocks of metrics that are read from a DuckDB file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.duckdb_layouts import ENTITY, MINUTE, decoded, keys_of, values_of

ADDED_AT_ONCE = 262_144
"""Rows of blocks that are kept in memory until they are added up."""
LARGEST = 2**63 - 1
Stored = tuple[int, int, bytes]
"""Layout, minute and sums of a block."""


def added(blocks: Iterable[Stored]) -> Iterator[tuple[int, int, pl.DataFrame]]:
    """Sums by entity and label, a layout and minute after the other; more than one of a minute if need be.

    Args:
        blocks: by layout and minute.
    """
    for (layout, minute), of_minute in groupby(blocks, key=itemgetter(0, 1)):
        for sums in _added(decoded(stored, None) for *_, stored in of_minute):
            yield layout, minute, sums


def added_minutes(
    blocks: Iterable[Stored], columns: Mapping[int, Sequence[str]], entities: NDArray[np.int32] | None
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Sums by minute, entity and label, a layout after the other: all minutes at once, or in more parts if need be.

    Args:
        blocks: by layout.
        columns: by layout, names of columns, with the keys.
        entities: which ones, ascending; None for all.
    """
    for layout, of_layout in groupby(blocks, key=itemgetter(0)):
        for sums in _added(_with_minutes(of_layout, columns[layout], entities)):
            yield layout, sums


def _with_minutes(
    blocks: Iterable[Stored], columns: Sequence[str], entities: NDArray[np.int32] | None
) -> Iterator[pl.DataFrame]:
    """The sums of some entities with their minute beside them, where there are any."""
    for _, minute, stored in blocks:
        if entities is None:
            sums = decoded(stored, columns)
        else:
            # Most blocks have none of a few entities, and what is not needed of a block is not unpacked either.
            rows = _places(decoded(stored, [ENTITY])[ENTITY].to_numpy(), entities)
            if not len(rows):
                continue
            sums = decoded(stored, columns)[rows]
        yield sums.insert_column(0, pl.Series(MINUTE, np.full(len(sums), minute, np.int32)))


def _places(values: NDArray[np.int32], wanted: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where values are that are among some others, which ascend."""
    at = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    return np.flatnonzero(wanted[at] == values)


def _added(blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Sums by the keys that blocks of one layout have."""
    sums = _Sums()
    for block in blocks:
        largest = _largest(block)
        if not sums.has_room(largest):
            yield sums.take()
        sums.add(block, largest)
    if not sums.is_empty:
        yield sums.take()


class _Sums:
    """Adds up blocks of one layout by their keys. Who adds asks for room first: sums must not exceed 64 bits."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self._largest = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added since the last sums were taken."""
        return not self._parts

    def has_room(self, largest: int) -> bool:
        """Whether no sum can become too large by a block with this largest value."""
        return not self._parts or self._largest + largest <= LARGEST

    def add(self, block: pl.DataFrame, largest: int) -> None:
        """Take a block, and its largest value."""
        self._parts.append(block)
        self._rows += len(block)
        self._largest += largest
        if self._rows > ADDED_AT_ONCE:
            self._parts = [self._together()]
            # When most entities differ, adding up does not help: the next time is when there are as many again.
            self._rows = 0

    def take(self) -> pl.DataFrame:
        """The sums; what follows is added up anew."""
        sums = self._together()
        self._parts, self._rows, self._largest = [], 0, 0
        return sums

    def _together(self) -> pl.DataFrame:
        if len(self._parts) == 1:
            return self._parts[0]
        return pl.concat(self._parts).group_by(keys_of(self._parts[0])).agg(pl.all().sum())


def _largest(block: pl.DataFrame) -> int:
    """The largest value of a block, whatever its sign."""
    columns = [block.get_column(name) for name in values_of(block)] if len(block) else []
    return max((max(cast("int", values.max()), -cast("int", values.min())) for values in columns), default=0)
