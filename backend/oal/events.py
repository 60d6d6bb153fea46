"""The first stage of metrics: what the logs of one event type add up to, by flow and minute.

What is added up are terms; two metrics that need the same term share it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.ingest.batch import LogKind
from backend.oal.buckets import buckets_of
from backend.oal.conditions import matches
from backend.oal.definitions import Condition
from backend.oal.functions import APDEX_THRESHOLD, APDEX_TOLERATED
from backend.oal.sources import CALLS, STAGE_COLUMNS, EventAttribute

DURATION = ""
"""Name of the column of durations, as EventAttribute.column has it."""


@dataclass(frozen=True, slots=True)
class EventLogs:
    """Logs of one event type, as columns of one length."""

    flow: NDArray[np.int32]
    """Per log, an index into the flows."""
    minute: NDArray[np.int32]
    columns: Mapping[str, NDArray[np.int64]]
    """By wire path; the durations are at DURATION. A column that is missing is all 0."""
    texts: Sequence[str] = ("",)
    """What the numbers in columns of text stand for."""


class Terms:
    """Expressions, each under a name of its own, equal ones once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[object, str] = {}
        self.expressions: list[pl.Expr] = []

    def name(self, key: object, expression: pl.Expr) -> str:
        """The name of an expression; `key` is equal for equal ones."""
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"{self._prefix}{len(self._names)}"
            self.expressions.append(expression.alias(name))
        return name


@dataclass(frozen=True, slots=True)
class _Spread:
    value: EventAttribute
    counted: pl.Expr


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What logs of an event type add up to."""

    sums: pl.DataFrame
    """One row per flow and minute that has logs."""
    spreads: Mapping[object, pl.DataFrame]
    """By key: flow, minute, bucket and calls; one row for each that has any."""


class Event:
    """Stage 1 for one event type."""

    def __init__(self, kind: LogKind, *, zeros_are_values: bool) -> None:
        self._calls = CALLS.get(kind)
        self._zeros_are_values = zeros_are_values
        self._texts: set[str] = set()
        self.terms = Terms("t")
        self.stages = Terms("stage ")
        self.columns: dict[str, None] = {}
        self._spreads: dict[object, _Spread] = {}

    def logs(self, conditions: Sequence[Condition]) -> str:
        """The number of logs that meet the conditions."""
        if not conditions:
            return self.terms.name(("logs",), pl.len().cast(pl.Int64))
        return self.terms.name(("logs", *map(key_of, conditions)), _number(self._all(conditions)))

    def count(self, conditions: Sequence[Condition]) -> str:
        """The number of logs that meet the conditions and count as one."""
        if self._calls is None:
            return self.logs(conditions)
        return self.terms.name(("count", *map(key_of, conditions)), _number(self._counted(conditions)))

    def sum(self, value: EventAttribute, conditions: Sequence[Condition]) -> str:
        """The sum of a value over the logs that meet the conditions."""
        column = self._column(value.column)
        if value.only_with:
            column = pl.when(self._column(value.only_with) != 0).then(column).otherwise(0)
        if conditions:
            column = pl.when(self._all(conditions)).then(column).otherwise(0)
        return self.terms.name(("sum", value.column, *map(key_of, conditions)), column.sum())

    def present(self, value: EventAttribute, conditions: Sequence[Condition]) -> str:
        """How many of the logs that meet the conditions add to the sum of the value."""
        return self.logs(conditions) if self._is_always_known(value) else self._known(value, conditions)

    def measured(self, value: EventAttribute, conditions: Sequence[Condition]) -> str:
        """How many values the sum is of: logs that add to it and count as one."""
        return self.count(conditions) if self._is_always_known(value) else self._known(value, conditions)

    def apdex(self, value: EventAttribute, status: EventAttribute, conditions: Sequence[Condition]) -> str:
        """Twice the satisfied and once the tolerating ones of the logs that meet the conditions."""
        taken, limit = self._column(value.column), APDEX_THRESHOLD * value.unit
        good = self._counted(conditions) & (self._column(status.column) != 0)
        if value.known:
            good &= self._column(value.known) != 0
        total = _number(good & (taken <= limit)) + _number(good & (taken <= limit * APDEX_TOLERATED))
        return self.terms.name(("apdex", value.column, status.column, *map(key_of, conditions)), total)

    def spread(self, value: EventAttribute, conditions: Sequence[Condition]) -> object:
        """The logs that meet the conditions and count as one, by bucket of the value; the key of its frame."""
        counted = self._counted(conditions)
        if value.known:
            counted &= self._column(value.known) != 0
        self._column(value.column)
        key = (value.column, *map(key_of, conditions))
        self._spreads[key] = _Spread(value, counted)
        return key

    def _is_always_known(self, value: EventAttribute) -> bool:
        return not value.known and (not value.stage or self._zeros_are_values)

    def _known(self, value: EventAttribute, conditions: Sequence[Condition]) -> str:
        if value.known:
            known = self._column(value.known) != 0
            if conditions:
                known &= self._all(conditions)
            return self.terms.name(("present", value.known, *map(key_of, conditions)), _number(known))
        if value.is_duration:
            # No stage of the kernel's path takes 0 ns: 0 is a stage that was not seen.
            measured, key = self._column(value.column) != 0, value.column
        else:
            # A count or a size of 0 is a value, unless nothing at all is known of its stage.
            measured, key = pl.col(self._stage(value.stage)), value.stage
        if conditions:
            measured &= self._all(conditions)
        return self.terms.name(("present", key, *map(key_of, conditions)), _number(measured))

    def aggregate(self, logs: EventLogs) -> "Aggregated":
        """Add up logs, of which there are some."""
        frame = self._frame(logs)
        spreads = {}
        for key, spread in self._spreads.items():
            values = frame[spread.value.column].to_numpy() // spread.value.unit
            bucket = pl.Series("bucket", buckets_of(values))
            counted = frame.select("flow", "minute", bucket, spread.counted.alias("counted")).filter(pl.col("counted"))
            spreads[key] = counted.group_by("flow", "minute", "bucket").agg(pl.len().cast(pl.Int64).alias("calls"))
        return Aggregated(frame.group_by("flow", "minute").agg(self.terms.expressions), spreads)

    def _frame(self, logs: EventLogs) -> pl.DataFrame:
        length = len(logs.flow)
        zeros = np.zeros(length, np.int64) if any(column not in logs.columns for column in self.columns) else None
        data = {column: logs.columns.get(column, zeros) for column in self.columns}
        frame = pl.DataFrame({"flow": logs.flow, "minute": logs.minute, **data})
        if self._texts:
            texts = pl.Series(logs.texts, dtype=pl.String)
            frame = frame.with_columns(texts.gather(frame[column]).alias(column) for column in self._texts)
        return frame.with_columns(self.stages.expressions)

    def _column(self, column: str) -> pl.Expr:
        self.columns[column] = None
        return pl.col(column)

    def _stage(self, stage: str) -> str:
        columns = [self._column(column) != 0 for column in STAGE_COLUMNS[stage]]
        return self.stages.name(stage, pl.any_horizontal(columns))

    def _counted(self, conditions: Sequence[Condition]) -> pl.Expr:
        counted = pl.lit(value=True) if self._calls is None else self._column(self._calls) != 0
        return counted & self._all(conditions) if conditions else counted

    def _all(self, conditions: Sequence[Condition]) -> pl.Expr:
        return pl.all_horizontal([self._condition(condition) for condition in conditions])

    def _condition(self, condition: Condition) -> pl.Expr:
        attribute = condition.attribute
        if not isinstance(attribute, EventAttribute):
            raise TypeError(f"{condition.path} is not a column of logs")
        column = self._column(attribute.column)
        if attribute.is_text:
            self._texts.add(attribute.column)
        elif attribute.unit != 1:
            column = column // attribute.unit
        elif attribute.labels:
            labels = dict(enumerate(attribute.labels))
            column = column.replace_strict(labels, default=None, return_dtype=pl.String)
        elif isinstance(condition.literal, bool):
            column = column != 0
        return matches(column, condition.operator, condition.literal)


def _number(condition: pl.Expr) -> pl.Expr:
    return condition.sum().cast(pl.Int64)


def key_of(condition: Condition) -> tuple[str, str, object]:
    """What is equal for equal conditions."""
    # 1 and True are equal, yet mean different comparisons.
    return condition.path, condition.operator.value, (type(condition.literal), condition.literal)
