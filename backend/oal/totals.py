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


class Chosen(NamedTuple):
    """A column of whole numbers, of the rows that meet conditions: what most totals are of."""

    column: str
    """It has no null."""
    conditions: tuple[str, ...] = ()
    """Columns of truths, of which null is none."""

    @property
    def rows(self) -> pl.Expr:
        """The same as an expression."""
        column = pl.col(self.column)
        if not self.conditions:
            return column
        return pl.when(pl.all_horizontal(map(pl.col, self.conditions))).then(column).otherwise(pl.lit(0))


class _Total(NamedTuple):
    name: str
    rows: pl.Expr | Chosen
    merge: Merge

    @property
    def expression(self) -> pl.Expr:
        return self.rows.rows if isinstance(self.rows, Chosen) else self.rows


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

    def added(self, values: NDArray[np.int64], counted: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """The sums of rows, by group; of those that are counted, where that is said."""
        sums = np.zeros(len(self), np.int64)
        if counted is None:
            _add(values, self.place, sums)
        else:
            _add_counted(values, counted, self.place, sums)
        return sums


class Totals:
    """What is added up, each under a name of its own, equal ones once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[object, str] = {}
        self._totals: list[_Total] = []

    def name(self, key: object, rows: pl.Expr | Chosen, merge: Merge = Merge.SUM) -> str:
        """The name of a total; `key` is equal for equal ones.

        Args:
            key: what tells it from others.
            rows: whole numbers, one for each row, null for none; or whether a row counts as 1. Sums of what is chosen
                need no expression.
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
        return [getattr(total.expression, total.merge.value)().alias(total.name) for total in self._totals]

    def by_group(self, rows: pl.DataFrame, groups: Groups, number: str) -> pl.DataFrame:
        """The totals of each group, of which there are some, with its number and minute before them.

        Args:
            rows: what expressions read.
            groups: of these rows.
            number: name of the column of numbers.
        """
        values = self._values(rows)
        extremes = self._extremes(values, groups)
        counted = dict[tuple[str, ...], NDArray[np.bool_]]()
        columns: dict[str, NDArray[np.generic] | pl.Series] = {number: groups.number, "minute": groups.minute}
        for name, chosen, merge in self._totals:
            if merge is not Merge.SUM:
                columns[name] = extremes[name]
            elif not isinstance(chosen, Chosen):
                columns[name] = groups.added(_numbers(values[name]))
            elif not chosen.conditions:
                columns[name] = groups.added(_numbers(rows[chosen.column]))
            else:
                if chosen.conditions not in counted:
                    truths = (rows[condition].fill_null(value=False).to_numpy() for condition in chosen.conditions)
                    counted[chosen.conditions] = np.logical_and.reduce(list(truths))
                columns[name] = groups.added(_numbers(rows[chosen.column]), counted[chosen.conditions])
        return pl.DataFrame(columns)

    def _values(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What is not simply a sum of what is chosen, by row."""
        computed = [
            total for total in self._totals if total.merge is not Merge.SUM or not isinstance(total.rows, Chosen)
        ]
        if not computed:
            return pl.DataFrame()
        # Of literals alone, select() would make one row.
        found = rows.lazy().with_columns(total.expression.cast(pl.Int64).alias(total.name) for total in computed)
        return found.select(total.name for total in computed).collect()

    def _extremes(self, values: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """The totals that are not sums, by group."""
        merged = [getattr(pl.col(name), merge.value)() for name, _, merge in self._totals if merge is not Merge.SUM]
        if not merged:
            return pl.DataFrame()
        return values.with_columns(pl.Series(_GROUP, groups.place)).group_by(_GROUP).agg(merged).sort(_GROUP)


def _numbers(column: pl.Series) -> NDArray[np.int64]:
    return np.ascontiguousarray((column.fill_null(0) if column.null_count() else column).to_numpy())


@compiled
def _add(values: NDArray[np.int64], place: NDArray[np.intp], sums: NDArray[np.int64]) -> None:
    """Add each value to the sum at its place; what is out of bounds is left out."""
    for row in range(min(len(values), len(place))):
        if 0 <= place[row] < len(sums):
            sums[place[row]] += values[row]


@compiled
def _add_counted(
    values: NDArray[np.int64], counted: NDArray[np.bool_], place: NDArray[np.intp], sums: NDArray[np.int64]
) -> None:
    """The same of the values that are counted."""
    for row in range(min(len(values), len(counted), len(place))):
        if counted[row] and 0 <= place[row] < len(sums):
            sums[place[row]] += values[row]
