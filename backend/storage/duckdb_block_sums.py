"""Adds up blocks of metrics that are read from a DuckDB file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import polars as pl

from backend.storage.duckdb_layouts import ENTITY, decoded, keys_of, values_of

ADDED_AT_ONCE = 262_144
"""Rows of blocks that are kept in memory until they are added up."""
LARGEST = 2**63 - 1
Stored = tuple[int, int, bytes]
"""Layout, minute and sums of a block."""


def added(
    blocks: Iterable[Stored],
    columns: Mapping[int, Sequence[str]] | None = None,
    entities: pl.Series | None = None,
) -> Iterator[tuple[int, int, pl.DataFrame]]:
    """Sums by entity and label, a layout and minute after the other; more than one of a minute if need be.

    Args:
        blocks: by layout and minute.
        columns: by layout, names of columns, with the keys; None for all.
        entities: which ones; None for all.
    """
    sums = _Sums()
    for (layout, minute), of_minute in groupby(blocks, key=itemgetter(0, 1)):
        for *_, stored in of_minute:
            block = decoded(stored, None if columns is None else columns[layout])
            if entities is not None:
                block = block.filter(pl.col(ENTITY).is_in(entities.implode()))
            largest = _largest(block)
            if not sums.has_room(largest):
                yield layout, minute, sums.take()
            sums.add(block, largest)
        yield layout, minute, sums.take()


class _Sums:
    """Adds up blocks of one layout by their keys. Who adds asks for room first: sums must not exceed 64 bits."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self._largest = 0

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
    """The largest value, whatever its sign."""
    columns = [block[name].to_numpy() for name in values_of(block)] if len(block) else []
    return max((max(int(values.max()), -int(values.min())) for values in columns), default=0)
