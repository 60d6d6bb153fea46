"""What rows add up to by group, for many columns at once.

A flush has tens of thousands of groups with one or two rows each, and dozens of columns. What the rows of a column are
is an expression. To add them up is a compiled loop over numbers of groups, which are found once for all columns.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.ingest.compiled import compiled
from backend.ingest.distinct import numbered

_GROUP = "group"


class Merge(Enum):
    """How the rows of a group become one value."""

    SUM = "sum"
    """0 where no row has a value."""
    LEAST = "min"
    """Null where no row has a value."""
    GREATEST = "max"
    """Likewise."""


class _Total(NamedTuple):
    name: str
    rows: pl.Expr
    merge: Merge


class Groups:
    """Rows by a number and a minute.

    Attributes:
        number: per group, sorted by these.
        minute: per group, and then by these.
        place: per row, its group.
    """

    def __init__(self, number: NDArray[np.int32], minute: NDArray[np.int32], limit: int) -> None:
        """Find them.

        Args:
            number: per row, at least 0 and below `limit`.
            minute: per row.
            limit: see `number`.
        """
        first = int(minute.min()) if len(minute) else 0
        span = int(minute.max()) - first + 1 if len(minute) else 1
        keys, self.place = numbered(number.astype(np.int64) * span + (minute - np.int64(first)), limit * span)
        self.number = (keys // span).astype(np.int32)
        self.minute = (keys % span + first).astype(np.int32)

    def __len__(self) -> int:
        return len(self.number)

    def added(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sums of rows, by group."""
        sums = np.zeros(len(self), np.int64)
        _add(np.ascontiguousarray(values), self.place, sums)
        return sums


class Totals:
    """What is added up, each under a name of its own, equal ones once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[object, str] = {}
        self._totals: list[_Total] = []

    def name(self, key: object, rows: pl.Expr, merge: Merge = Merge.SUM) -> str:
        """The name of a total; `key` is equal for equal ones.

        Args:
            key: what tells it from others.
            rows: whole numbers, one for each row, null for none; or whether a row counts as 1.
            merge: what becomes of them.
        """
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"{self._prefix}{len(self._names)}"
            self._totals.append(_Total(name, rows, merge))
        return name

    @property
    def expressions(self) -> Sequence[pl.Expr]:
        """The same as polars would have it."""
        return [getattr(rows, merge.value)().alias(name) for name, rows, merge in self._totals]

    def by_group(self, rows: pl.DataFrame, groups: Groups, number: str) -> pl.DataFrame:
        """The totals of each group, of which there are some, with its number and minute before them.

        Args:
            rows: what expressions read.
            groups: of these rows.
            number: name of the column of numbers.
        """
        found = rows.lazy().with_columns(total.rows.cast(pl.Int64).alias(total.name) for total in self._totals)
        values = found.select(total.name for total in self._totals).collect()
        extremes = self._extremes(values, groups)
        columns: dict[str, NDArray[np.generic] | pl.Series] = {number: groups.number, "minute": groups.minute}
        for name, _, merge in self._totals:
            if merge is Merge.SUM:
                column = values[name]
                columns[name] = groups.added((column.fill_null(0) if column.null_count() else column).to_numpy())
            else:
                columns[name] = extremes[name]
        return pl.DataFrame(columns)

    def _extremes(self, values: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """The totals that are not sums, by group."""
        merged = [getattr(pl.col(name), merge.value)() for name, _, merge in self._totals if merge is not Merge.SUM]
        if not merged:
            return pl.DataFrame()
        return values.with_columns(pl.Series(_GROUP, groups.place)).group_by(_GROUP).agg(merged).sort(_GROUP)


@compiled
def _add(values: NDArray[np.int64], place: NDArray[np.intp], sums: NDArray[np.int64]) -> None:
    """Add each value to the sum at its place; what is out of bounds is left out."""
    for row in range(min(len(values), len(place))):
        if 0 <= place[row] < len(sums):
            sums[place[row]] += values[row]
