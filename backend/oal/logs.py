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
from backend.oal.flows import DescribedFlows, FlowColumns
from backend.oal.sources import CALLS, STAGE_COLUMNS
from backend.oal.terms import Computed, Terms
from backend.oal.totals import Chosen
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
    chosen: Chosen
    """The same as a column, of the logs that meet conditions."""
    known_by: tuple[str, ...] | None = ()
    """Columns of truths that are met where it is known; None where no column says so."""


class LogColumns:
    """The columns that metrics of one event type need, and expressions over them.

    Attributes:
        columns: wire paths of what is read, as keys.
        derived: what is made of it before anything is added up.
        conditions: what logs have to meet, made of all that.
        calls: the column that says which logs count as one; None where all do.
    """

    def __init__(self, kind: LogKind, flows: FlowColumns, *, zeros_are_values: bool) -> None:
        self._kind = kind
        self._flows = flows
        self._zeros_are_values = zeros_are_values
        self._texts: set[str] = set()
        self._of_flows: dict[str, None] = {}
        self._present: dict[str, Sequence[str]] = {}
        """Names of derived truths that need no expression: that one of some columns is not 0."""
        self._computed: tuple[Computed, Computed] | None = None
        self.calls = CALLS.get(kind)
        self.columns: dict[str, None] = {}
        self.derived = Terms("derived ")
        self.conditions = Terms("met ")

    def number(self, value: Value) -> Number:
        """A value as it is added up."""
        if value.is_parsed or not isinstance(value.attribute, EventAttribute):
            number = self.expression(value)
            if self.calls is not None:
                number = pl.when(self.counted(())).then(number)
            name = self.derived.name(value.key, number)
            return Number(pl.col(name), pl.col(name).is_not_null(), value.key, Chosen(name), None)
        attribute = value.attribute
        column = self._column(attribute.column)
        chosen = Chosen(attribute.column)
        measured = column != 0
        measured_by: tuple[str, ...] = (self._is_present(attribute.column),)
        if attribute.only_with:
            counted, counted_by = self._column(attribute.only_with) != 0, self._is_present(attribute.only_with)
            column, measured = pl.when(counted).then(column).otherwise(0), counted & measured
            chosen, measured_by = Chosen(attribute.column, (counted_by,)), (counted_by, *measured_by)
        if attribute.known:
            known, known_by = self._column(attribute.known) != 0, self._is_present(attribute.known)
            return Number(column, known, attribute.known, chosen, (known_by,))
        if not attribute.stage or self._zeros_are_values:
            return Number(column, None, None, chosen)
        if attribute.is_duration:
            # No stage of the kernel's path takes 0 ns: 0 is a stage that was not seen.
            return Number(column, measured, attribute.column, chosen, measured_by)
        # A count or a size of 0 is a value, unless nothing at all is known of its stage.
        stage = self._is_present(*STAGE_COLUMNS[attribute.stage])
        return Number(column, pl.col(stage), attribute.stage, chosen, (stage,))

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

    def met_by(self, conditions: Sequence[Condition], *, as_calls: bool = False) -> tuple[str, ...]:
        """Columns of truths that say which logs meet the conditions, and count as one where that is asked."""
        calls = () if self.calls is None or not as_calls else (self._is_present(self.calls),)
        return (
            *calls,
            *(self.conditions.name(condition.key, self._condition(condition)) for condition in conditions),
        )

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

    def rows(self, logs: EventLogs, flows: DescribedFlows) -> dict[str, NDArray[np.generic] | pl.Series]:
        """All that is read of logs and of their flows, and what is made of it."""
        length = len(logs.flow)
        zeros = np.zeros(length, np.int64) if any(column not in logs.columns for column in self.columns) else None
        rows = dict[str, NDArray[np.generic] | pl.Series](flow=logs.flow, minute=logs.minute)
        for column in self.columns:
            found = logs.columns.get(column, zeros)
            if found is not None:
                rows[column] = found
        if self._texts:
            texts = pl.Series(logs.texts, dtype=pl.String)
            nothing = pl.repeat(None, length, dtype=pl.String, eager=True)
            for column in self._texts:
                rows[column] = texts.gather(logs.columns[column]) if column in logs.columns else nothing
        for column in self._of_flows:
            rows[column] = flows.of(column, logs.flow)
        for name, columns in self._present.items():
            rows[name] = np.logical_or.reduce([rows[column] != 0 for column in columns])
        if self._computed is None:
            derived = (each for each in self.derived.expressions if each.meta.output_name() not in self._present)
            self._computed = Computed(derived), Computed(self.conditions.expressions)
        for computed in self._computed:
            rows |= computed.of(rows, length)
        return rows

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

    def _is_present(self, *columns: str) -> str:
        """The column that says which logs have one of some columns that is not 0."""
        present = [self._column(column) != 0 for column in columns]
        name = self.derived.name(("present", columns), pl.any_horizontal(present))
        self._present[name] = columns
        return name


def with_known(number: Number, chosen: pl.Expr) -> pl.Expr:
    """What is chosen, of the logs that have a number."""
    return chosen if number.known is None else chosen & number.known
