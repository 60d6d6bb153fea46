"""The columns of logs of one event type, and what metrics read in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.ingest.batch import LogKind
from backend.oal.attributes import EventAttribute, FlowAttribute, Kind, TypeAttribute
from backend.oal.buckets import LARGEST_BITS
from backend.oal.conditions import matches
from backend.oal.flows import FlowColumns
from backend.oal.sources import CALLS, STAGE_COLUMNS
from backend.oal.terms import Terms
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


@dataclass(frozen=True, slots=True)
class Number:
    """What is added up, in the unit in which it is held."""

    expression: pl.Expr
    known: pl.Expr | None
    """Whether a log has it; None when each has. Where it is not known, it is 0 or null."""
    known_key: object
    """What is equal where `known` is."""


class LogColumns:
    """The columns that metrics of one event type need, and expressions over them.

    Attributes:
        columns: wire paths of what is read, as keys.
        derived: what is made of it before anything is added up.
        calls: the column that says which logs count as one; None where all do.
    """

    def __init__(self, kind: LogKind, flows: FlowColumns, *, zeros_are_values: bool) -> None:
        self._kind = kind
        self._flows = flows
        self._zeros_are_values = zeros_are_values
        self._texts: set[str] = set()
        self._of_flows: dict[str, None] = {}
        self.calls = CALLS.get(kind)
        self.columns: dict[str, None] = {}
        self.derived = Terms("derived ")

    def number(self, value: Value) -> Number:
        """A value as it is added up."""
        if value.is_parsed or not isinstance(value.attribute, EventAttribute):
            number = self.expression(value)
            if self.calls is not None:
                number = pl.when(self.counted(())).then(number)
            column = pl.col(self.derived.name(value.key, number))
            return Number(column, column.is_not_null(), value.key)
        attribute = value.attribute
        column = self._column(attribute.column)
        measured = column != 0
        if attribute.only_with:
            counted = self._column(attribute.only_with) != 0
            column, measured = pl.when(counted).then(column).otherwise(0), counted & measured
        if attribute.known:
            return Number(column, self._column(attribute.known) != 0, attribute.known)
        if not attribute.stage or self._zeros_are_values:
            return Number(column, None, None)
        if attribute.is_duration:
            # No stage of the kernel's path takes 0 ns: 0 is a stage that was not seen.
            return Number(column, measured, attribute.column)
        # A count or a size of 0 is a value, unless nothing at all is known of its stage.
        return Number(column, pl.col(self._stage(attribute.stage)), attribute.stage)

    def whole(self, value: Value) -> tuple[Number, pl.Expr]:
        """A value, and what of it has a place among numbers that are at least 0, in whole units."""
        number = self.number(value)
        column = number.expression if value.unit == 1 else number.expression // value.unit
        return number, column.clip(0, 2**LARGEST_BITS - 1) if value.is_parsed else column

    def met(self, number: Number, conditions: Sequence[Condition]) -> pl.Expr:
        """Whether a number is known and the conditions are met."""
        if number.known is None:
            return self.all(conditions)
        return number.known & self.all(conditions) if conditions else number.known

    def counted(self, conditions: Sequence[Condition]) -> pl.Expr:
        """Whether a log counts as one and meets the conditions."""
        if self.calls is None:
            return self.all(conditions)
        counted = self._column(self.calls) != 0
        return counted & self.all(conditions) if conditions else counted

    def all(self, conditions: Sequence[Condition]) -> pl.Expr:
        """Whether a log meets the conditions."""
        met = [self._condition(condition) for condition in conditions]
        return pl.all_horizontal(met) if met else pl.lit(value=True)

    def expression(self, value: Value) -> pl.Expr:
        """A value as it is compared, in its own unit; null where it is not known."""
        attribute = value.attribute
        match attribute:
            case TypeAttribute():
                column = pl.lit(attribute.name(self._kind), pl.String)
            case FlowAttribute():
                column = self.of_flow(self._flows.attribute(attribute))
            case EventAttribute():
                column = self._of_event(value, attribute)
        return column.cast(pl.Int64, strict=False) if value.is_parsed else column

    def label(self, value: Value) -> pl.Expr:
        """A value as a label; null where it is not known."""
        column = self.expression(value)
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

    def of_flow(self, column: str) -> pl.Expr:
        """A column of flows, for each log that of its flow."""
        self._of_flows[column] = None
        return pl.col(column)

    def frame(self, logs: EventLogs, described: pl.DataFrame) -> pl.DataFrame:
        """Logs with all that is read of them, and the columns of their flows that are."""
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

    def _condition(self, condition: Condition) -> pl.Expr:
        return matches(self.expression(condition.value), condition.operator, condition.literal)

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
        number = self.number(Value(value.path, attribute))
        column = number.expression if attribute.unit == 1 else number.expression // attribute.unit
        return column if number.known is None else pl.when(number.known).then(column)

    def _column(self, column: str) -> pl.Expr:
        self.columns[column] = None
        return pl.col(column)

    def _stage(self, stage: str) -> str:
        columns = [self._column(column) != 0 for column in STAGE_COLUMNS[stage]]
        return self.derived.name(stage, pl.any_horizontal(columns))


def with_known(number: Number, chosen: pl.Expr) -> pl.Expr:
    """What is chosen, of the logs that have a number."""
    return chosen if number.known is None else chosen & number.known
