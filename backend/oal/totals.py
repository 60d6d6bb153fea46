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
from backend.oal.terms import Columns, Computed

NO_GROUP = -1
"""Instead of a group's place."""
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

    column: str | None
    """Null counts as 0. None for 1 in each row."""
    conditions: tuple[str, ...] = ()
    """Columns of truths, of which null is none."""

    @property
    def rows(self) -> pl.Expr:
        """The same as an expression."""
        column = pl.lit(1, pl.Int64) if self.column is None else pl.col(self.column)
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
        place: per row, its group; NO_GROUP where it has none.
    """

    place: NDArray[np.intp]

    def __init__(self, number: NDArray[np.int32], minute: NDArray[np.int32], limit: int) -> None:
        """Find them.

        Args:
            number: per row, at least 0 and below `limit`; a negative one for a row without a group.
            minute: per row.
            limit: see `number`.
        """
        counted = number >= 0
        if counted.all():
            keys, self.place = self._find(number, minute, limit)
        else:
            rows = np.flatnonzero(counted)
            self.place = np.full(len(number), NO_GROUP, np.intp)
            keys, self.place[rows] = self._find(number[rows], minute[rows], limit)
        self.number = (keys // self._span).astype(np.int32)
        self.minute = (keys % self._span + self._first).astype(np.int32)

    def _find(
        self, number: NDArray[np.int32], minute: NDArray[np.int32], limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        self._first = int(minute.min()) if len(minute) else 0
        self._span = int(minute.max()) - self._first + 1 if len(minute) else 1
        return numbered(number.astype(np.int64) * self._span + (minute - np.int64(self._first)), limit * self._span)

    def __len__(self) -> int:
        return len(self.number)

    def add(self, values: NDArray[np.int64], counted: NDArray[np.bool_] | None, sums: NDArray[np.int64]) -> None:
        """Add rows to a sum for each group; those that are counted, where that is said."""
        if counted is None:
            _add(values, self.place, sums)
        else:
            _add_counted(values, counted, self.place, sums)

    def count(self, counted: NDArray[np.bool_] | None, sums: NDArray[np.int64]) -> None:
        """Add 1 for each row, likewise."""
        if counted is None:
            _count(self.place, sums)
        else:
            _count_counted(counted, self.place, sums)


class Totals:
    """What is added up, each under a name of its own, equal ones once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[object, str] = {}
        self._totals: list[_Total] = []
        self._computed: Computed | None = None

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
            self._computed = None
        return name

    @property
    def expressions(self) -> Sequence[pl.Expr]:
        """The same as polars would have it."""
        return [getattr(total.expression, total.merge.value)().alias(total.name) for total in self._totals]

    def by_group(self, rows: Columns, groups: Groups, number: str) -> dict[str, NDArray[np.generic] | pl.Series]:
        """The totals of each group, of which there are some, with its number and minute before them.

        Args:
            rows: what is read.
            groups: of these rows.
            number: name of the column of numbers.
        """
        names, sums, extremes = self._added(rows, groups)
        found: dict[str, NDArray[np.generic] | pl.Series] = {number: groups.number, "minute": groups.minute}
        found.update(zip(names, sums, strict=True))
        found.update((extreme.name, extreme) for extreme in extremes)
        return found

    def frame_by_group(self, rows: Columns, groups: Groups, number: str) -> pl.DataFrame:
        """The same as a frame."""
        names, sums, extremes = self._added(rows, groups)
        # To take over an array takes ten times as long as to name a part of one that was.
        values, length = pl.Series(sums.reshape(-1)), len(groups)
        return pl.DataFrame(
            [
                pl.Series(number, groups.number),
                pl.Series("minute", groups.minute),
                *(values.slice(at * length, length).rename(name) for at, name in enumerate(names)),
                *extremes,
            ]
        )

    def _added(self, rows: Columns, groups: Groups) -> tuple[list[str], NDArray[np.int64], list[pl.Series]]:
        """The names of the totals that are sums, a row of groups for each of them, and the other totals."""
        if self._computed is None:
            self._computed = Computed(total.expression.cast(pl.Int64).alias(total.name) for total in self._not_chosen)
        values = self._computed.of(rows, len(groups.place))
        counted = _Counted(rows)
        summed = [total for total in self._totals if total.merge is Merge.SUM]
        sums = np.zeros((len(summed), len(groups)), np.int64)
        for (name, chosen, _), of_total in zip(summed, sums, strict=True):
            if not isinstance(chosen, Chosen):
                groups.add(_numbers(values[name]), None, of_total)
            elif chosen.column is None:
                groups.count(counted.by(chosen.conditions), of_total)
            else:
                groups.add(_numbers(rows[chosen.column]), counted.by(chosen.conditions), of_total)
        return [total.name for total in summed], sums, self._extremes(values, groups)

    @property
    def _not_chosen(self) -> list[_Total]:
        """What is not simply a sum of what is chosen."""
        return [total for total in self._totals if total.merge is not Merge.SUM or not isinstance(total.rows, Chosen)]

    def _extremes(self, values: Columns, groups: Groups) -> list[pl.Series]:
        """The totals that are not sums, by group."""
        extremes = [(name, merge) for name, _, merge in self._totals if merge is not Merge.SUM]
        if not extremes:
            return []
        rows = pl.DataFrame({_GROUP: groups.place, **{name: values[name] for name, _ in extremes}})
        merged = [getattr(pl.col(name), merge.value)() for name, merge in extremes]
        found = rows.filter(pl.col(_GROUP) != NO_GROUP).group_by(_GROUP).agg(merged).sort(_GROUP)
        return found.drop(_GROUP).get_columns()


class _Counted:
    """Which rows meet conditions, found once for equal ones."""

    def __init__(self, rows: Columns) -> None:
        self._rows = rows
        self._found: dict[tuple[str, ...], NDArray[np.bool_]] = {}

    def by(self, conditions: tuple[str, ...]) -> NDArray[np.bool_] | None:
        """Per row; None for no condition."""
        if not conditions:
            return None
        found = self._found.get(conditions)
        if found is None:
            *before, last = conditions
            found = _truths(self._rows[last])
            if (others := self.by(tuple(before))) is not None:
                found = others & found
            self._found[conditions] = found
        return found


def _truths(column: NDArray[np.generic] | pl.Series) -> NDArray[np.bool_]:
    if isinstance(column, pl.Series):
        column = (column.fill_null(value=False) if column.null_count() else column).to_numpy()
    return column.astype(np.bool_, copy=False)


def _numbers(column: NDArray[np.generic] | pl.Series) -> NDArray[np.int64]:
    if isinstance(column, pl.Series):
        column = (column.fill_null(0) if column.null_count() else column).to_numpy()
    return np.ascontiguousarray(column, np.int64)


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


@compiled
def _count(place: NDArray[np.intp], sums: NDArray[np.int64]) -> None:
    """Add 1 for each row."""
    for row in range(len(place)):
        if 0 <= place[row] < len(sums):
            sums[place[row]] += 1


@compiled
def _count_counted(counted: NDArray[np.bool_], place: NDArray[np.intp], sums: NDArray[np.int64]) -> None:
    """Add 1 for each row that is counted."""
    for row in range(min(len(counted), len(place))):
        if counted[row] and 0 <= place[row] < len(sums):
            sums[place[row]] += 1
