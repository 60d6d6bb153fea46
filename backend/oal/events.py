"""The first stage of metrics: what the logs of one event type add up to, by flow and minute.

What is added up are terms; two metrics that need the same term share it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.ingest.batch import LogKind
from backend.oal.attributes import EventAttribute, FlowAttribute, Kind, TypeAttribute
from backend.oal.buckets import LARGEST_BITS, buckets_of
from backend.oal.conditions import matches
from backend.oal.flows import FlowColumns
from backend.oal.functions import APDEX_TOLERATED
from backend.oal.sources import CALLS, STAGE_COLUMNS
from backend.oal.values import Condition, Value

DURATION = ""
"""Name of the column of durations, as EventAttribute.column has it."""
LARGEST_LABEL = 256
"""Characters of a label; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class EventLogs:
    """Logs of one event type, as columns of one length."""

    flow: NDArray[np.int32]
    """Per log, an index into the flows."""
    minute: NDArray[np.int32]
    columns: Mapping[str, NDArray[np.int64]]
    """By wire path; the durations are at DURATION. A column that is missing is all 0, or without texts."""
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
class _Number:
    """What is added up, in the unit in which it is held."""

    expression: pl.Expr
    known: pl.Expr | None
    """Whether a log has it; None when each has. Where it is not known, it is 0 or null."""
    known_key: object
    """What is equal where `known` is."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """What is added up by label."""

    label: pl.Expr
    chosen: pl.Expr
    summation: pl.Expr | None = None
    """None for the number of logs."""
    count: pl.Expr | None = None
    """None for 0."""
    is_bucketed: bool = False
    """Whether the label is the bucket of a number."""


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What logs of an event type add up to."""

    sums: pl.DataFrame
    """One row per flow and minute that has logs."""
    spreads: Mapping[object, pl.DataFrame]
    """By key: flow, minute, label, summation and count; one row for each that has any."""


class Event:
    """Stage 1 for one event type."""

    def __init__(self, kind: LogKind, flows: FlowColumns, *, zeros_are_values: bool) -> None:
        self._kind = kind
        self._calls = CALLS.get(kind)
        self._flows = flows
        self._zeros_are_values = zeros_are_values
        self._texts: set[str] = set()
        self._of_flows: dict[str, None] = {}
        self.terms = Terms("t")
        self.derived = Terms("derived ")
        self.columns: dict[str, None] = {}
        self._spreads: dict[object, _Spread] = {}

    def logs(self, conditions: Sequence[Condition]) -> str:
        """The number of logs that meet the conditions."""
        if not conditions:
            return self.terms.name(("logs",), pl.len().cast(pl.Int64))
        return self.terms.name(("logs", *_keys(conditions)), _total(self._all(conditions)))

    def count(self, conditions: Sequence[Condition]) -> str:
        """The number of logs that meet the conditions and count as one."""
        if self._calls is None:
            return self.logs(conditions)
        return self.terms.name(("count", *_keys(conditions)), _total(self._counted(conditions)))

    def sum(self, value: Value, conditions: Sequence[Condition]) -> str:
        """The sum of a value over the logs that meet the conditions."""
        column = self._number(value).expression
        if conditions:
            column = pl.when(self._all(conditions)).then(column).otherwise(0)
        return self.terms.name(("sum", value.key, *_keys(conditions)), column.sum())

    def present(self, value: Value, conditions: Sequence[Condition]) -> str:
        """How many of the logs that meet the conditions add to the sum of the value."""
        number = self._number(value)
        return self.logs(conditions) if number.known is None else self._known(number, conditions)

    def measured(self, value: Value, conditions: Sequence[Condition]) -> str:
        """How many values the sum is of: logs that add to it and count as one."""
        number = self._number(value)
        return self.count(conditions) if number.known is None else self._known(number, conditions)

    def least(self, value: Value, conditions: Sequence[Condition]) -> str:
        """The least value of the logs that meet the conditions; null where none has one."""
        return self.terms.name(("least", value.key, *_keys(conditions)), self._only(value, conditions).min())

    def greatest(self, value: Value, conditions: Sequence[Condition]) -> str:
        """The greatest, likewise."""
        return self.terms.name(("greatest", value.key, *_keys(conditions)), self._only(value, conditions).max())

    def apdex(self, value: Value, status: Value, service: FlowAttribute, conditions: Sequence[Condition]) -> str:
        """Twice the satisfied and once the tolerating ones of the logs that meet the conditions."""
        number, threshold = self._number(value), self._flows.limit(service)
        limit = pl.lit(threshold * value.unit) if isinstance(threshold, int) else self._of_flow(threshold) * value.unit
        good = self._counted(conditions) & self._expression(status)
        if number.known is not None:
            good &= number.known
        taken = number.expression
        total = _total(good & (taken <= limit)) + _total(good & (taken <= limit * APDEX_TOLERATED))
        return self.terms.name(("apdex", value.key, status.key, threshold, *_keys(conditions)), total)

    def by_bucket(self, value: Value, conditions: Sequence[Condition]) -> object:
        """The logs that meet the conditions and count as one, by bucket of the value; the key of its frame."""
        number, whole = self._whole(value)
        spread = _Spread(whole, self._with(number, self._counted(conditions)), is_bucketed=True)
        return self._spread(("bucket", value.key, *_keys(conditions)), spread)

    def by_step(self, value: Value, step: int, steps: int, conditions: Sequence[Condition]) -> object:
        """The same by the step of a histogram; labels are where steps begin."""
        number, whole = self._whole(value)
        label = pl.min_horizontal(whole // step, pl.lit(steps, pl.Int64)) * step
        spread = _Spread(label, self._with(number, self._counted(conditions)))
        return self._spread(("step", step, steps, value.key, *_keys(conditions)), spread)

    def by_label(self, label: Value, value: Value | None, conditions: Sequence[Condition]) -> object:
        """The logs that meet the conditions, by a label that they have: how many, or the sum and number of values."""
        text = self._label(label)
        has_label = text.is_not_null() & (text != "")
        key = ("label", label.key, value and value.key, *_keys(conditions))
        if value is None:
            return self._spread(key, _Spread(text, self._counted(conditions) & has_label))
        number = self._number(value)
        chosen = self._met(number, conditions) & has_label
        counts = pl.lit(1, pl.Int64) if number.known is not None else self._counted(()).cast(pl.Int64)
        return self._spread(key, _Spread(text, chosen, number.expression, counts))

    def aggregate(self, logs: EventLogs, described: pl.DataFrame) -> Aggregated:
        """Add up logs, of which there are some.

        Args:
            logs: of this type.
            described: the columns of flows.
        """
        frame = self._frame(logs, described)
        spreads = {key: _aggregated(frame, spread) for key, spread in self._spreads.items()}
        return Aggregated(frame.group_by("flow", "minute").agg(self.terms.expressions), spreads)

    def described(self) -> list[str]:
        """Everything that is added up, as polars writes it."""
        spreads = [f"by {as_text(spread.label)}, where {as_text(spread.chosen)}" for spread in self._spreads.values()]
        return [*(as_text(expression) for expression in (*self.derived.expressions, *self.terms.expressions)), *spreads]

    def _frame(self, logs: EventLogs, described: pl.DataFrame) -> pl.DataFrame:
        length = len(logs.flow)
        zeros = np.zeros(length, np.int64) if any(column not in logs.columns for column in self.columns) else None
        data = {column: logs.columns.get(column, zeros) for column in self.columns}
        frame = pl.DataFrame({"flow": logs.flow, "minute": logs.minute, **data})
        if self._texts:
            texts = pl.Series(logs.texts, dtype=pl.String)
            frame = frame.with_columns(
                (texts.gather(frame[column]) if column in logs.columns else pl.lit(None, pl.String)).alias(column)
                for column in sorted(self._texts)
            )
        if self._of_flows:
            frame = frame.with_columns(described[name].gather(frame["flow"]).alias(name) for name in self._of_flows)
        return frame.with_columns(self.derived.expressions)

    def _number(self, value: Value) -> _Number:
        if value.is_parsed or not isinstance(value.attribute, EventAttribute):
            number = self._expression(value)
            if self._calls is not None:
                number = pl.when(self._counted(())).then(number)
            column = pl.col(self.derived.name(value.key, number))
            return _Number(column, column.is_not_null(), value.key)
        attribute = value.attribute
        column = self._column(attribute.column)
        measured = column != 0
        if attribute.only_with:
            counted = self._column(attribute.only_with) != 0
            column, measured = pl.when(counted).then(column).otherwise(0), counted & measured
        if attribute.known:
            return _Number(column, self._column(attribute.known) != 0, attribute.known)
        if not attribute.stage or self._zeros_are_values:
            return _Number(column, None, None)
        if attribute.is_duration:
            # No stage of the kernel's path takes 0 ns: 0 is a stage that was not seen.
            return _Number(column, measured, attribute.column)
        # A count or a size of 0 is a value, unless nothing at all is known of its stage.
        return _Number(column, pl.col(self._stage(attribute.stage)), attribute.stage)

    def _whole(self, value: Value) -> tuple[_Number, pl.Expr]:
        """A value, and what of it has a place among numbers that are at least 0, in whole units."""
        number = self._number(value)
        column = number.expression if value.unit == 1 else number.expression // value.unit
        return number, column.clip(0, 2**LARGEST_BITS - 1) if value.is_parsed else column

    def _known(self, number: _Number, conditions: Sequence[Condition]) -> str:
        known = self._met(number, conditions)
        return self.terms.name(("present", number.known_key, *_keys(conditions)), _total(known))

    def _only(self, value: Value, conditions: Sequence[Condition]) -> pl.Expr:
        """A value where it is known and the conditions are met; null elsewhere."""
        number = self._number(value)
        if number.known is None and not conditions:
            return number.expression
        return pl.when(self._met(number, conditions)).then(number.expression)

    def _met(self, number: _Number, conditions: Sequence[Condition]) -> pl.Expr:
        """Whether a number is known and the conditions are met."""
        if number.known is None:
            return self._all(conditions)
        return number.known & self._all(conditions) if conditions else number.known

    @staticmethod
    def _with(number: _Number, chosen: pl.Expr) -> pl.Expr:
        return chosen if number.known is None else chosen & number.known

    def _spread(self, key: object, spread: _Spread) -> object:
        self._spreads.setdefault(key, spread)
        return key

    def _column(self, column: str) -> pl.Expr:
        self.columns[column] = None
        return pl.col(column)

    def _of_flow(self, column: str) -> pl.Expr:
        self._of_flows[column] = None
        return pl.col(column)

    def _stage(self, stage: str) -> str:
        columns = [self._column(column) != 0 for column in STAGE_COLUMNS[stage]]
        return self.derived.name(stage, pl.any_horizontal(columns))

    def _counted(self, conditions: Sequence[Condition]) -> pl.Expr:
        if self._calls is None:
            return self._all(conditions)
        counted = self._column(self._calls) != 0
        return counted & self._all(conditions) if conditions else counted

    def _all(self, conditions: Sequence[Condition]) -> pl.Expr:
        met = [self._condition(condition) for condition in conditions]
        return pl.all_horizontal(met) if met else pl.lit(value=True)

    def _condition(self, condition: Condition) -> pl.Expr:
        return matches(self._expression(condition.value), condition.operator, condition.literal)

    def _expression(self, value: Value) -> pl.Expr:
        """A value as it is compared, in its own unit; null where it is not known."""
        attribute = value.attribute
        match attribute:
            case TypeAttribute():
                column = pl.lit(attribute.name(self._kind), pl.String)
            case FlowAttribute():
                column = self._of_flow(self._flows.attribute(attribute))
            case EventAttribute():
                column = self._of_event(value, attribute)
        return column.cast(pl.Int64, strict=False) if value.is_parsed else column

    def _of_event(self, value: Value, attribute: EventAttribute) -> pl.Expr:
        column = self._column(attribute.column)
        if attribute.is_text:
            self._texts.add(attribute.column)
            return pl.when(column != "").then(column) if attribute.empty_is_null else column
        if attribute.labels:
            labels = dict(enumerate(attribute.labels))
            return column.replace_strict(labels, default=None, return_dtype=pl.String)
        if attribute.kind is Kind.BOOLEAN:
            return column != 0
        number = self._number(Value(value.path, attribute))
        column = number.expression if attribute.unit == 1 else number.expression // attribute.unit
        return column if number.known is None else pl.when(number.known).then(column)

    def _label(self, value: Value) -> pl.Expr:
        column = self._expression(value)
        match value.kind:
            case Kind.BOOLEAN:
                column = pl.when(column).then(pl.lit("true")).when(column.not_()).then(pl.lit("false"))
            case Kind.ENUMERATION:
                column = column.str.replace(r"^.*\.", "")
            case Kind.INTEGER:
                column = column.cast(pl.String)
            case _:
                pass
        return column.str.slice(0, LARGEST_LABEL)


def as_text(expression: pl.Expr) -> str:
    """An expression as polars writes it, without the types of its numbers."""
    return re.sub(r"\(dyn (?:int|float): ([^)]*)\)", r"\1", str(expression))


def _aggregated(frame: pl.DataFrame, spread: _Spread) -> pl.DataFrame:
    nothing = pl.lit(0, pl.Int64)
    one = pl.lit(1, pl.Int64)
    rows = frame.select(
        "flow",
        "minute",
        spread.label.alias("label"),
        (one if spread.summation is None else spread.summation).alias("summation"),
        (nothing if spread.count is None else spread.count).alias("count"),
        spread.chosen.alias("chosen"),
    ).filter("chosen")
    if spread.is_bucketed:
        rows = rows.with_columns(pl.Series("label", buckets_of(rows["label"].to_numpy())))
    return rows.group_by("flow", "minute", "label").agg(pl.col("summation").sum(), pl.col("count").sum())


def _total(condition: pl.Expr) -> pl.Expr:
    return condition.sum().cast(pl.Int64)


def _keys(conditions: Sequence[Condition]) -> tuple[object, ...]:
    return tuple(condition.key for condition in conditions)
