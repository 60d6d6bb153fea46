"""The first stage of metrics: what the logs of one event type add up to, by flow and minute.

Two metrics that need the same total share it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from backend.ingest.batch import LogKind
from backend.oal.attributes import FlowAttribute
from backend.oal.buckets import buckets_of
from backend.oal.flows import DescribedFlows, FlowColumns
from backend.oal.functions import APDEX_TOLERATED
from backend.oal.logs import EventLogs, LogColumns, Number, with_known
from backend.oal.terms import Columns, Computed, as_text
from backend.oal.totals import Chosen, Groups, Merge, Totals
from backend.oal.values import Condition, Value


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

    def columns(self, rows: Columns) -> Mapping[str, pl.Series]:
        """label, summation, count, and which rows are `chosen`, by log."""
        expressions = (
            self.label.alias("label"),
            (pl.lit(1, pl.Int64) if self.summation is None else self.summation).alias("summation"),
            (pl.lit(0, pl.Int64) if self.count is None else self.count).alias("count"),
            self.chosen.alias("chosen"),
        )
        return Computed(expressions).of(rows, len(rows["flow"]))


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What logs of an event type add up to."""

    sums: Columns
    """One row per flow and minute that has logs."""
    spreads: Mapping[object, pl.DataFrame]
    """By key: flow, minute, label, summation and count; one row for each that has any."""


class Event:
    """Stage 1 for one event type."""

    def __init__(self, kind: LogKind, flows: FlowColumns, *, zeros_are_values: bool) -> None:
        self._flows = flows
        self._logs = LogColumns(kind, flows, zeros_are_values=zeros_are_values)
        self._spreads: dict[object, _Spread] = {}
        self.totals = Totals("t")

    @property
    def columns(self) -> Sequence[str]:
        """Wire paths of what is read of logs."""
        return tuple(self._logs.columns)

    def logs(self, conditions: Sequence[Condition]) -> str:
        """The number of logs that meet the conditions."""
        return self.totals.name(("logs", *_keys(conditions)), Chosen(None, self._logs.met_by(conditions)))

    def count(self, conditions: Sequence[Condition]) -> str:
        """The number of logs that meet the conditions and count as one."""
        if self._logs.calls is None:
            return self.logs(conditions)
        met_by = self._logs.met_by(conditions, as_calls=True)
        return self.totals.name(("count", *_keys(conditions)), Chosen(None, met_by))

    def sum(self, value: Value, conditions: Sequence[Condition]) -> str:
        """The sum of a value over the logs that meet the conditions."""
        chosen = self._logs.number(value).chosen
        met_by = (*chosen.conditions, *self._logs.met_by(conditions))
        return self.totals.name(("sum", value.key, *_keys(conditions)), Chosen(chosen.column, met_by))

    def present(self, value: Value, conditions: Sequence[Condition]) -> str:
        """How many of the logs that meet the conditions add to the sum of the value."""
        number = self._logs.number(value)
        return self.logs(conditions) if number.known is None else self._known(number, conditions)

    def measured(self, value: Value, conditions: Sequence[Condition]) -> str:
        """How many values the sum is of: logs that add to it and count as one."""
        number = self._logs.number(value)
        return self.count(conditions) if number.known is None else self._known(number, conditions)

    def least(self, value: Value, conditions: Sequence[Condition]) -> str:
        """The least value of the logs that meet the conditions; null where none has one."""
        return self.totals.name(("least", value.key, *_keys(conditions)), self._only(value, conditions), Merge.LEAST)

    def greatest(self, value: Value, conditions: Sequence[Condition]) -> str:
        """The greatest, likewise."""
        key = ("greatest", value.key, *_keys(conditions))
        return self.totals.name(key, self._only(value, conditions), Merge.GREATEST)

    def apdex(self, value: Value, status: Value, service: FlowAttribute, conditions: Sequence[Condition]) -> str:
        """Twice the satisfied and once the tolerating ones of the logs that meet the conditions."""
        number, threshold = self._logs.number(value), self._flows.limit(service)
        if isinstance(threshold, int):
            limit = pl.lit(threshold * value.unit)
        else:
            limit = self._logs.of_flow(threshold) * value.unit
        good = self._logs.counted(conditions) & self._logs.expression(status)
        if number.known is not None:
            good &= number.known
        taken = number.expression
        satisfied, tolerated = good & (taken <= limit), good & (taken <= limit * APDEX_TOLERATED)
        # Who is satisfied tolerates, too.
        total = satisfied.cast(pl.Int64) + tolerated.cast(pl.Int64)
        return self.totals.name(("apdex", value.key, status.key, threshold, *_keys(conditions)), total)

    def by_bucket(self, value: Value, conditions: Sequence[Condition]) -> object:
        """The logs that meet the conditions and count as one, by bucket of the value; the key of its frame."""
        number, whole = self._logs.whole(value)
        spread = _Spread(whole, with_known(number, self._logs.counted(conditions)), is_bucketed=True)
        return self._spread(("bucket", value.key, *_keys(conditions)), spread)

    def by_step(self, value: Value, step: int, steps: int, conditions: Sequence[Condition]) -> object:
        """The same by the step of a histogram; labels are where steps begin."""
        number, whole = self._logs.whole(value)
        label = pl.min_horizontal(whole // step, pl.lit(steps, pl.Int64)) * step
        spread = _Spread(label, with_known(number, self._logs.counted(conditions)))
        return self._spread(("step", step, steps, value.key, *_keys(conditions)), spread)

    def by_label(self, label: Value, value: Value | None, conditions: Sequence[Condition]) -> object:
        """The logs that meet the conditions, by a label that they have: how many, or the sum and number of values."""
        text = self._logs.label(label)
        has_label = text.is_not_null() & (text != "")
        key = ("label", label.key, value and value.key, *_keys(conditions))
        if value is None:
            return self._spread(key, _Spread(text, self._logs.counted(conditions) & has_label))
        number = self._logs.number(value)
        chosen = self._logs.met(number, conditions) & has_label
        counts = pl.lit(1, pl.Int64) if number.known is not None else self._logs.counted(()).cast(pl.Int64)
        return self._spread(key, _Spread(text, chosen, number.expression, counts))

    def aggregate(self, logs: EventLogs, flows: DescribedFlows) -> Aggregated:
        """Add up logs, of which there are some.

        Args:
            logs: of this type.
            flows: theirs.
        """
        rows = self._logs.rows(logs, flows)
        spreads = {key: _aggregated(rows, spread) for key, spread in self._spreads.items()}
        groups = Groups(logs.flow, logs.minute, len(flows))
        return Aggregated(self.totals.by_group(rows, groups, "flow"), spreads)

    def described(self) -> list[str]:
        """Everything that is added up, as polars writes it."""
        spreads = [f"by {as_text(spread.label)}, where {as_text(spread.chosen)}" for spread in self._spreads.values()]
        logs = self._logs
        expressions = (*logs.derived.expressions, *logs.conditions.expressions, *self.totals.expressions)
        return [*map(as_text, expressions), *spreads]

    def _known(self, number: Number, conditions: Sequence[Condition]) -> str:
        if number.known_by is None:
            known: Chosen | pl.Expr = self._logs.met(number, conditions)
        else:
            known = Chosen(None, (*number.known_by, *self._logs.met_by(conditions)))
        return self.totals.name(("present", number.known_key, *_keys(conditions)), known)

    def _only(self, value: Value, conditions: Sequence[Condition]) -> pl.Expr:
        """A value where it is known and the conditions are met; null elsewhere."""
        number = self._logs.number(value)
        if number.known is None and not conditions:
            return number.expression
        return pl.when(self._logs.met(number, conditions)).then(number.expression)

    def _spread(self, key: object, spread: _Spread) -> object:
        self._spreads.setdefault(key, spread)
        return key


def _aggregated(rows: Columns, spread: _Spread) -> pl.DataFrame:
    found = pl.DataFrame({"flow": rows["flow"], "minute": rows["minute"], **spread.columns(rows)}).filter("chosen")
    if spread.is_bucketed:
        found = found.with_columns(pl.Series("label", buckets_of(found["label"].to_numpy())))
    return found.group_by("flow", "minute", "label").agg(pl.col("summation").sum(), pl.col("count").sum())


def _keys(conditions: Sequence[Condition]) -> tuple[object, ...]:
    return tuple(condition.key for condition in conditions)
