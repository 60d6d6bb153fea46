"""Metrics, compiled to expressions over columns of logs.

Evaluation has three stages, so that nothing is done per log and metric:

1. per event type, one group-by of its logs by flow and minute adds up everything that any metric of it needs;
2. per source and event type, one group-by of those few rows by entity and minute makes the sums of each metric;
3. the sums become rows of MetricSchema, a metric without data none.

Stage 1 is in backend/oal/events.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.entities.resolution import Flow
from backend.ingest.batch import LogKind
from backend.oal.conditions import matches
from backend.oal.definitions import Condition, Definition
from backend.oal.events import Event, EventLogs, Terms, key_of
from backend.oal.functions import Function
from backend.oal.sources import SOURCES, EventAttribute, FlowAttribute
from backend.storage.interface import MetricSchema


@dataclass(frozen=True, slots=True)
class _Sums:
    """Names of the columns that a metric's row is made of, after stage 2."""

    definition: Definition
    code: int
    summation: str
    count: str | None
    present: str
    """Of how many logs; the row exists when this is not 0."""


@dataclass(frozen=True, slots=True)
class _Percentile:
    """A metric that is stored by bucket."""

    definition: Definition
    spread: object
    """Key of its frame in stage 1."""
    predicates: Sequence[pl.Expr]
    """Which flows count."""


class _Group:
    """Stage 2 for one source and event type."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.terms = Terms("s")
        self.predicates = Terms("p")
        self.metrics: list[_Sums] = []
        self._percentiles: list[_Percentile] = []

    def add(self, definition: Definition, code: int, event: Event) -> None:
        """Take a metric in."""
        of_logs = [condition for condition in definition.conditions if isinstance(condition.attribute, EventAttribute)]
        of_flows = [condition for condition in definition.conditions if isinstance(condition.attribute, FlowAttribute)]

        if definition.function is Function.PERCENTILE and definition.value is not None:
            predicates = [self._predicate(condition) for condition in of_flows]
            spread = event.spread(definition.value, of_logs)
            self._percentiles.append(_Percentile(definition, spread, predicates))
            return

        def total(term: str, more: Sequence[Condition] = ()) -> str:
            conditions = (*of_flows, *more)
            column = pl.col(term)
            if conditions:
                column = column.filter(pl.all_horizontal([self._predicate(condition) for condition in conditions]))
            return self.terms.name((term, *map(key_of, conditions)), column.sum())

        logs = total(event.count(of_logs))
        value, match = definition.value, definition.match
        if definition.function is Function.SUM and value is not None:
            sums = _Sums(definition, code, total(event.sum(value, of_logs)), None, total(event.present(value, of_logs)))
        elif definition.function is Function.LONG_AVG and value is not None:
            measured, present = event.measured(value, of_logs), event.present(value, of_logs)
            sums = _Sums(definition, code, total(event.sum(value, of_logs)), total(measured), total(present))
        elif definition.function is Function.APDEX and value is not None and definition.status is not None:
            satisfied = total(event.apdex(value, definition.status, of_logs))
            sums = _Sums(definition, code, satisfied, logs, logs)
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
                key_of(condition), matches(pl.col(condition.path), condition.operator, condition.literal)
            )
        )

    def attributes(self) -> Iterable[str]:
        """Paths of the flow attributes that are compared."""
        metrics: Iterable[_Sums | _Percentile] = (*self.metrics, *self._percentiles)
        for metric in metrics:
            for condition in (*metric.definition.conditions, metric.definition.match):
                if condition is not None and isinstance(condition.attribute, FlowAttribute):
                    yield condition.path

    def aggregate(self, sums: pl.DataFrame, flows: pl.DataFrame) -> pl.DataFrame:
        """One row per entity and minute that has logs."""
        return self._with_entities(sums, flows).group_by("entity", "minute").agg(self.terms.expressions)

    def spread(self, spreads: Mapping[object, pl.DataFrame], flows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Columns of MetricSchema, one row per metric that is stored by bucket, its bucket, entity and minute."""
        for percentile in self._percentiles:
            calls = self._with_entities(spreads[percentile.spread], flows).filter(*percentile.predicates)
            found = calls.group_by("entity", "minute", "bucket").agg(pl.col("calls").sum().alias("summation"))
            metric, label = pl.lit(percentile.definition.name).alias("metric"), pl.col("bucket").cast(pl.String)
            nothing = pl.lit(0, pl.Int64).alias("count")
            yield found.select(metric, label.alias("label"), "entity", "minute", "summation", nothing)

    def _with_entities(self, rows: pl.DataFrame, flows: pl.DataFrame) -> pl.DataFrame:
        """Rows of flows that count for an entity, with it and what is known of the flow."""
        entity = f"entity of {self.scope}"
        described = flows.select(pl.col(entity).alias("entity"), *self.predicates.expressions)
        return pl.concat([rows, described[rows["flow"]]], how="horizontal").filter(pl.col("entity").is_not_null())


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
        self._events: dict[LogKind, Event] = {}
        self._groups: dict[tuple[LogKind, str], _Group] = {}
        self._overlapping = any(len(definition.events) > 1 for definition in definitions)
        for code, definition in enumerate(definitions):
            for kind in definition.events:
                event = self._events.setdefault(kind, Event(kind, zeros_are_values=zeros_are_values))
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
            Columns of MetricSchema, one row per metric, label, entity and minute that has data.
        """
        described = self._describe(flows)
        aggregated = {
            kind: event.aggregate(logs[kind])
            for kind, event in self._events.items()
            if kind in logs and len(logs[kind].flow)
        }
        rows, spreads = _Rows(), list[pl.DataFrame]()
        for (kind, _), group in self._groups.items():
            if kind in aggregated:
                rows.add(group.aggregate(aggregated[kind].sums, described), group.metrics)
                spreads += group.spread(aggregated[kind].spreads, described)
        points = pl.concat([rows.frame(self._names), *spreads])
        if self._overlapping:
            keys = ("metric", "label", "entity", "minute")
            points = points.group_by(keys).agg(pl.col("summation").sum(), pl.col("count").sum())
        return points

    def _describe(self, flows: Sequence[Flow]) -> pl.DataFrame:
        columns: dict[str, pl.Series] = {}
        for group in self._groups.values():
            source = SOURCES[group.scope]
            name = f"entity of {group.scope}"
            if name not in columns:
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
        metrics = names.gather(np.concatenate(self._metric))
        return pl.DataFrame(
            {
                "metric": metrics,
                "label": pl.repeat("", len(metrics), dtype=pl.String, eager=True),
                "entity": pl.concat(self._entities).gather(np.concatenate(self._entity)),
                "minute": np.concatenate(self._minute),
                "summation": np.concatenate(self._summation),
                "count": np.concatenate(self._count),
            },
            schema=MetricSchema,
        )
