"""Metrics, compiled to expressions over columns of logs.

Evaluation has three stages, so that nothing is done per log and metric:

1. per event type, one group-by of its logs by flow and minute adds up everything that any metric of it needs;
2. per source and event type, one group-by of those few rows by entity and minute makes the sums of each metric;
3. the sums become rows of MetricSchema, a metric without data none.

What stage 1 adds up are terms; two metrics that need the same term share it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.entities.resolution import Flow
from backend.ingest.batch import LogKind
from backend.oal.conditions import matches
from backend.oal.definitions import Condition, Definition
from backend.oal.functions import Function
from backend.oal.sources import SOURCES, STAGE_COLUMNS, EventAttribute, FlowAttribute
from backend.storage.interface import MetricSchema

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


@dataclass(frozen=True, slots=True)
class _Sums:
    """Names of the columns that a metric's row is made of, after stage 2."""

    definition: Definition
    code: int
    summation: str
    count: str | None
    present: str
    """Of how many logs; the row exists when this is not 0."""


class _Terms:
    """Expressions, each under a name of its own, equal ones once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[object, str] = {}
        self.expressions: list[pl.Expr] = []

    def name(self, key: object, expression: pl.Expr) -> str:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"{self._prefix}{len(self._names)}"
            self.expressions.append(expression.alias(name))
        return name


class _Event:
    """Stage 1 for one event type."""

    def __init__(self, *, zeros_are_values: bool) -> None:
        self._zeros_are_values = zeros_are_values
        self.terms = _Terms("t")
        self.stages = _Terms("stage ")
        self.columns: dict[str, None] = {}

    def count(self, conditions: Sequence[Condition]) -> str:
        """The number of logs that meet the conditions."""
        if not conditions:
            return self.terms.name(("count",), pl.len().cast(pl.Int64))
        return self.terms.name(("count", *map(_key, conditions)), self._all(conditions).sum().cast(pl.Int64))

    def sum(self, value: EventAttribute, conditions: Sequence[Condition]) -> str:
        """The sum of a value over the logs that meet the conditions."""
        column = self._column(value.column)
        if value.only_with:
            column = pl.when(self._column(value.only_with) != 0).then(column).otherwise(0)
        if conditions:
            column = pl.when(self._all(conditions)).then(column).otherwise(0)
        return self.terms.name(("sum", value.column, *map(_key, conditions)), column.sum())

    def present(self, value: EventAttribute, conditions: Sequence[Condition]) -> str:
        """In how many of the logs that meet the conditions the value was measured."""
        if not value.stage or self._zeros_are_values:
            return self.count(conditions)
        if value.is_duration:
            # No stage of the kernel's path takes 0 ns: 0 is a stage that was not seen.
            measured, key = self._column(value.column) != 0, value.column
        else:
            # A count or a size of 0 is a value, unless nothing at all is known of its stage.
            measured, key = pl.col(self._stage(value.stage)), value.stage
        if conditions:
            measured &= self._all(conditions)
        return self.terms.name(("present", key, *map(_key, conditions)), measured.sum().cast(pl.Int64))

    def aggregate(self, logs: EventLogs) -> pl.DataFrame:
        """One row per flow and minute that has logs."""
        length = len(logs.flow)
        zeros = np.zeros(length, np.int64) if any(column not in logs.columns for column in self.columns) else None
        data = {column: logs.columns.get(column, zeros) for column in self.columns}
        frame = pl.DataFrame({"flow": logs.flow, "minute": logs.minute, **data})
        frame = frame.with_columns(self.stages.expressions)
        return frame.group_by("flow", "minute").agg(self.terms.expressions)

    def _column(self, column: str) -> pl.Expr:
        self.columns[column] = None
        return pl.col(column)

    def _stage(self, stage: str) -> str:
        columns = [self._column(column) != 0 for column in STAGE_COLUMNS[stage]]
        return self.stages.name(stage, pl.any_horizontal(columns))

    def _all(self, conditions: Sequence[Condition]) -> pl.Expr:
        return pl.all_horizontal([self._condition(condition) for condition in conditions])

    def _condition(self, condition: Condition) -> pl.Expr:
        attribute = condition.attribute
        if not isinstance(attribute, EventAttribute):
            raise TypeError(f"{condition.path} is not a column of logs")
        column = self._column(attribute.column)
        if attribute.labels:
            labels = dict(enumerate(attribute.labels))
            column = column.replace_strict(labels, default=None, return_dtype=pl.String)
        elif isinstance(condition.literal, bool):
            column = column != 0
        return matches(column, condition.operator, condition.literal)


class _Group:
    """Stage 2 for one source and event type."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.terms = _Terms("s")
        self.predicates = _Terms("p")
        self.metrics: list[_Sums] = []

    def add(self, definition: Definition, code: int, event: _Event) -> None:
        """Take a metric in."""
        of_logs = [condition for condition in definition.conditions if isinstance(condition.attribute, EventAttribute)]
        of_flows = [condition for condition in definition.conditions if isinstance(condition.attribute, FlowAttribute)]

        def total(term: str, more: Sequence[Condition] = ()) -> str:
            conditions = (*of_flows, *more)
            column = pl.col(term)
            if conditions:
                column = column.filter(pl.all_horizontal([self._predicate(condition) for condition in conditions]))
            return self.terms.name((term, *map(_key, conditions)), column.sum())

        logs = total(event.count(of_logs))
        value, match = definition.value, definition.match
        if definition.function is Function.SUM and value is not None:
            sums = _Sums(definition, code, total(event.sum(value, of_logs)), None, total(event.present(value, of_logs)))
        elif definition.function is Function.LONG_AVG and value is not None:
            measured = total(event.present(value, of_logs))
            sums = _Sums(definition, code, total(event.sum(value, of_logs)), measured, measured)
        elif match is not None:
            matched = (
                total(event.count([*of_logs, match]))
                if isinstance(match.attribute, EventAttribute)
                else total(event.count(of_logs), [match])
            )
            sums = _Sums(definition, code, matched, logs, logs)
        else:
            sums = _Sums(definition, code, logs, None, logs)
        self.metrics.append(sums)

    def _predicate(self, condition: Condition) -> pl.Expr:
        return pl.col(
            self.predicates.name(
                _key(condition), matches(pl.col(condition.path), condition.operator, condition.literal)
            )
        )

    def attributes(self) -> Iterable[str]:
        """Paths of the flow attributes that are compared."""
        for metric in self.metrics:
            for condition in (*metric.definition.conditions, metric.definition.match):
                if condition is not None and isinstance(condition.attribute, FlowAttribute):
                    yield condition.path

    def aggregate(self, sums: pl.DataFrame, flows: pl.DataFrame) -> pl.DataFrame:
        """One row per entity and minute that has logs."""
        entity = f"entity of {self.scope}"
        described = flows.select(pl.col(entity).alias("entity"), *self.predicates.expressions)
        return (
            pl.concat([sums, described[sums["flow"]]], how="horizontal")
            .filter(pl.col("entity").is_not_null())
            .group_by("entity", "minute")
            .agg(self.terms.expressions)
        )


class Program:
    """The metrics of a set of scripts, ready to be computed. Safe for several threads."""

    def __init__(self, definitions: Sequence[Definition], *, zeros_are_values: bool = False) -> None:
        """Compile.

        Args:
            definitions: what to compute; those that nothing feeds are left out.
            zeros_are_values: take a 0 in the stages L2, L3 and L4 for a measurement, as Apache SkyWalking does. The
                wire cannot tell 0 from a stage that was not measured.
        """
        self.definitions = tuple(definitions)
        self._names = pl.Series([definition.name for definition in definitions], dtype=pl.String)
        self._events: dict[LogKind, _Event] = {}
        self._groups: dict[tuple[LogKind, str], _Group] = {}
        self._overlapping = any(len(definition.events) > 1 for definition in definitions)
        for code, definition in enumerate(definitions):
            for kind in definition.events:
                event = self._events.setdefault(kind, _Event(zeros_are_values=zeros_are_values))
                group = self._groups.setdefault((kind, definition.scope), _Group(definition.scope))
                group.add(definition, code, event)

    @property
    def columns(self) -> Mapping[LogKind, Sequence[str]]:
        """The columns that logs of each type must have."""
        return {kind: tuple(event.columns) for kind, event in self._events.items()}

    def evaluate(self, logs: Mapping[LogKind, EventLogs], flows: Sequence[Flow]) -> pl.DataFrame:
        """The metrics of some logs, as partial aggregates.

        Args:
            logs: by type; types that no metric needs may be missing.
            flows: what EventLogs.flow points at.

        Returns:
            Columns of MetricSchema, one row per metric, entity and minute that has data.
        """
        described = self._describe(flows)
        aggregated = {
            kind: event.aggregate(logs[kind])
            for kind, event in self._events.items()
            if kind in logs and len(logs[kind].flow)
        }
        rows = _Rows()
        for (kind, _), group in self._groups.items():
            if kind in aggregated:
                rows.add(group.aggregate(aggregated[kind], described), group.metrics)
        points = rows.frame(self._names)
        if self._overlapping:
            points = points.group_by("metric", "entity", "minute").agg(pl.col("summation").sum(), pl.col("count").sum())
        return points

    def _describe(self, flows: Sequence[Flow]) -> pl.DataFrame:
        columns: dict[str, pl.Series] = {}
        for group in self._groups.values():
            source = SOURCES[group.scope]
            name = f"entity of {group.scope}"
            if source.entity is not None and name not in columns:
                columns[name] = pl.Series(name, [source.entity(flow) for flow in flows], pl.String)
            for path in group.attributes():
                attribute = source.attributes[path]
                if isinstance(attribute, FlowAttribute) and path not in columns:
                    columns[path] = pl.Series(path, [attribute.of(flow) for flow in flows])
        return pl.DataFrame(columns)


class _Rows:
    """Stage 3: from one column per metric to one row per metric."""

    def __init__(self) -> None:
        self._entities: list[pl.Series] = []
        self._entity_count = 0
        self._metric: list[NDArray[np.int32]] = []
        self._entity: list[NDArray[np.int64]] = []
        self._minute: list[NDArray[np.int32]] = []
        self._summation: list[NDArray[np.int64]] = []
        self._count: list[NDArray[np.int64]] = []

    def add(self, sums: pl.DataFrame, metrics: Sequence[_Sums]) -> None:
        """Take the rows of one source and event type."""
        arrays = {column: sums[column].to_numpy() for column in sums.columns if column != "entity"}
        for metric in metrics:
            chosen = np.flatnonzero(arrays[metric.present])
            if not len(chosen):
                continue
            self._metric.append(np.full(len(chosen), metric.code, np.int32))
            self._entity.append(chosen + self._entity_count)
            self._minute.append(arrays["minute"][chosen])
            self._summation.append(arrays[metric.summation][chosen])
            self._count.append(arrays[metric.count][chosen] if metric.count else np.zeros(len(chosen), np.int64))
        self._entities.append(sums["entity"])
        self._entity_count += len(sums)

    def frame(self, names: pl.Series) -> pl.DataFrame:
        """All rows taken, as columns of MetricSchema."""
        if not self._metric:
            return pl.DataFrame(schema=MetricSchema)
        return pl.DataFrame(
            {
                "metric": names.gather(np.concatenate(self._metric)),
                "entity": pl.concat(self._entities).gather(np.concatenate(self._entity)),
                "minute": np.concatenate(self._minute),
                "summation": np.concatenate(self._summation),
                "count": np.concatenate(self._count),
            },
            schema=MetricSchema,
        )


def _key(condition: Condition) -> tuple[str, str, object]:
    # 1 and True are equal, yet mean different comparisons.
    return condition.path, condition.operator.value, (type(condition.literal), condition.literal)
