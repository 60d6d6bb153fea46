"""The second stage of metrics: from what flows add up to, to what entities do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from backend.ingest.batch import LogKind
from backend.oal.attributes import FlowAttribute
from backend.oal.conditions import matches
from backend.oal.definitions import Definition
from backend.oal.events import Event
from backend.oal.flows import NO_ENTITY, DescribedFlows, FlowColumns
from backend.oal.functions import BUCKETED, BY_LABEL, EXTREMES, LABELLED, NUMBERED, Function
from backend.oal.labels import Labels
from backend.oal.sources import Source
from backend.oal.terms import Columns, as_text
from backend.oal.totals import Chosen, Groups, Merge, Totals
from backend.oal.values import Condition, Value
from backend.storage.blocks import KEYS, NO_COUNT, Block, Place
from backend.storage.interface import MeasureSchema


@dataclass(frozen=True, slots=True)
class Sums:
    """Names of the columns that a metric's row is made of, after this stage."""

    definition: Definition
    summation: str
    count: str | None
    present: str
    """Of how many logs; the row exists when this is not 0."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the values of some metrics are in a block."""

    places: tuple[Place, ...]
    columns: list[str]
    """Of the sums: KEYS, and those that the places are of."""

    @staticmethod
    def of(metrics: Sequence[Sums]) -> "_Layout":
        used = dict.fromkeys(name for sums in metrics for name in (sums.summation, sums.count, sums.present) if name)
        at = {name: place for place, name in enumerate(used)}
        places = tuple(
            Place(
                sums.definition.name,
                at[sums.summation],
                NO_COUNT if sums.count is None else at[sums.count],
                at[sums.present],
            )
            for sums in metrics
        )
        return _Layout(places, [*KEYS, *used])


@dataclass(frozen=True, slots=True)
class _Extremes:
    """The same for a measure."""

    definition: Definition
    total: str
    count: str
    least: str
    greatest: str


@dataclass(frozen=True, slots=True)
class _Spread:
    """A metric that is stored by label."""

    definition: Definition
    key: object
    """Of its frame in the first stage."""
    predicates: Sequence[str]
    """Columns of flows that say which of them count."""


class Group:
    """The second stage for one source and event type."""

    def __init__(self, kind: LogKind, source: Source, event: Event, flows: FlowColumns) -> None:
        self._kind = kind
        self._event = event
        self._flows = flows
        self._entity = flows.entity(source)
        self.totals = Totals("s")
        self.predicates: dict[str, pl.Expr] = {}
        """What makes the columns of flows that say which of them count."""
        self.sums: list[Sums] = []
        self._extremes: list[_Extremes] = []
        self._spreads: list[_Spread] = []

    def add(self, definition: Definition) -> None:
        """Take a metric in, before anything is aggregated."""
        of_logs = [condition for condition in definition.conditions if not condition.is_of_flow]
        of_flows = [condition for condition in definition.conditions if condition.is_of_flow]
        if definition.function in LABELLED:
            predicates = [self._predicate(condition) for condition in of_flows]
            self._spreads.append(_Spread(definition, self._spread(definition, of_logs), predicates))
        elif definition.function in EXTREMES and definition.value is not None:
            self._extremes.append(self._extreme(definition, definition.value, of_logs, of_flows))
        else:
            self.sums.append(self._sums(definition, of_logs, of_flows))

    def _spread(self, definition: Definition, of_logs: Sequence[Condition]) -> object:
        value, arguments = definition.value, definition.arguments
        if definition.function in BY_LABEL and arguments.label is not None:
            return self._event.by_label(arguments.label, value, of_logs)
        if value is None:
            raise TypeError(f"{definition.name} has no value")
        if definition.function in BUCKETED:
            return self._event.by_bucket(value, of_logs)
        return self._event.by_step(value, arguments.step, arguments.steps, of_logs)

    def _extreme(
        self, definition: Definition, value: Value, of_logs: Sequence[Condition], of_flows: Sequence[Condition]
    ) -> _Extremes:
        def over_flows(term: str, merge: Merge) -> str:
            key = (merge, term, *(condition.key for condition in of_flows))
            return self.totals.name(key, self._where(term, of_flows), merge)

        return _Extremes(
            definition,
            self._total(self._event.sum(value, of_logs), of_flows),
            self._total(self._event.present(value, of_logs), of_flows),
            over_flows(self._event.least(value, of_logs), Merge.LEAST),
            over_flows(self._event.greatest(value, of_logs), Merge.GREATEST),
        )

    def _sums(self, definition: Definition, of_logs: Sequence[Condition], of_flows: Sequence[Condition]) -> Sums:
        event, value, arguments = self._event, definition.value, definition.arguments

        def total(term: str) -> str:
            return self._total(term, of_flows)

        match definition.function:
            case Function.SUM if value is not None:
                summation, present = event.sum(value, of_logs), event.present(value, of_logs)
                return Sums(definition, total(summation), None, total(present))
            case Function.LONG_AVG | Function.DOUBLE_AVG if value is not None:
                names = event.sum(value, of_logs), event.measured(value, of_logs), event.present(value, of_logs)
                return Sums(definition, *map(total, names))
            case Function.APDEX if value is not None and arguments.service is not None and arguments.status is not None:
                service = arguments.service.attribute
                if not isinstance(service, FlowAttribute):
                    raise TypeError(f"{arguments.service.path} is not the same for all logs of a flow")
                satisfied, calls = (
                    total(event.apdex(value, arguments.status, service, of_logs)),
                    total(event.count(of_logs)),
                )
                return Sums(definition, satisfied, calls, calls)
            case _:
                logs = total(event.count(of_logs))
                matched = [self._matched(match, of_logs, of_flows) for match in arguments.matches]
        if not matched:
            return Sums(definition, logs, None, logs)
        # percent() counts against all logs, rate() against those that match its second condition.
        return Sums(definition, matched[0], matched[1] if len(matched) > 1 else logs, logs)

    def _matched(self, match: Condition, of_logs: Sequence[Condition], of_flows: Sequence[Condition]) -> str:
        """How many of the logs that meet the conditions, and count as one, meet another."""
        met = match.is_met_by_type(self._kind)
        if met is False:
            return self.totals.name(("none",), pl.lit(0, pl.Int64))
        if met or match.is_of_flow:
            return self._total(self._event.count(of_logs), [*of_flows, *([] if met else [match])])
        return self._total(self._event.count([*of_logs, match]), of_flows)

    def _total(self, term: str, of_flows: Sequence[Condition]) -> str:
        keys = (condition.key for condition in of_flows)
        # To leave the other flows out would take a pass for each group.
        chosen = Chosen(term, tuple(self._predicate(condition) for condition in of_flows))
        return self.totals.name(("sum", term, *keys), chosen)

    def _where(self, term: str, of_flows: Sequence[Condition]) -> pl.Expr:
        """A term of the flows that meet conditions; null for others."""
        if not of_flows:
            return pl.col(term)
        return pl.when(pl.all_horizontal(self._predicate(condition) for condition in of_flows)).then(pl.col(term))

    def _predicate(self, condition: Condition) -> str:
        """The column that says which flows meet a condition."""
        attribute = condition.value.attribute
        if not isinstance(attribute, FlowAttribute):
            raise TypeError(f"{condition.value.path} is not the same for all logs of a flow")
        column = pl.col(self._flows.attribute(attribute))
        if condition.value.is_parsed:
            column = column.cast(pl.Int64, strict=False)
        met = matches(column, condition.operator, condition.literal)
        name = self._flows.condition(condition.key, met)
        self.predicates[name] = met.alias(name)
        return name

    def described(self) -> list[str]:
        """Which flows count, and everything that is added up, as polars writes it."""
        return [as_text(expression) for expression in (*self.predicates.values(), *self.totals.expressions)]

    def aggregate(self, sums: Columns, flows: DescribedFlows) -> pl.DataFrame:
        """One row per entity and minute that has logs; entities are numbers."""
        flow, minute = np.asarray(sums["flow"]), np.asarray(sums["minute"])
        groups = Groups(np.asarray(flows.of(self._entity, flow)), minute, len(flows.entities[self._entity]))
        met = {name: flows.of(name, flow) for name in self.predicates}
        return self.totals.frame_by_group({**sums, **met}, groups, "entity")

    def blocks(self, aggregated: pl.DataFrame, flows: DescribedFlows) -> Iterator[Block]:
        """Sums of the metrics that are of this event type alone."""
        return self._block(aggregated, flows, self._laid_out[0])

    def shared(self, aggregated: pl.DataFrame, flows: DescribedFlows) -> Iterator[pl.DataFrame]:
        """Columns of MetricSchema, of the metrics that are of other event types too."""
        return (block.rows() for block in self._block(aggregated, flows, self._laid_out[1]))

    @cached_property
    def _laid_out(self) -> tuple[_Layout, _Layout]:
        """Where the metrics stand that are of this event type alone, and those that are of others too."""
        own = [sums for sums in self.sums if len(sums.definition.events) == 1]
        shared = [sums for sums in self.sums if len(sums.definition.events) > 1]
        return _Layout.of(own), _Layout.of(shared)

    def _block(self, aggregated: pl.DataFrame, flows: DescribedFlows, layout: _Layout) -> Iterator[Block]:
        if layout.places and len(aggregated):
            yield Block(layout.places, flows.entities[self._entity], aggregated[layout.columns])

    def measures(self, aggregated: pl.DataFrame, flows: DescribedFlows) -> Iterator[pl.DataFrame]:
        """Columns of MeasureSchema, one row per metric that is a measure, entity and minute that has a value."""
        for extreme in self._extremes:
            names = {column: getattr(extreme, column) for column in ("total", "count", "least", "greatest")}
            measured = aggregated[[*KEYS, *dict.fromkeys(names.values())]].filter(pl.col(extreme.count) > 0)
            yield measured.select(
                pl.lit(extreme.definition.name).alias("metric"),
                pl.lit("").alias("label"),
                self._ids(measured, flows),
                "minute",
                *(pl.col(name).cast(MeasureSchema[column]).alias(column) for column, name in names.items()),
            )

    def spread(
        self, spreads: Mapping[object, pl.DataFrame], flows: DescribedFlows, labels: Labels
    ) -> Iterator[Block | pl.DataFrame]:
        """Metrics that are stored by label, with a row per label, entity and minute.

        Those whose labels are numbers are blocks, if they are of this event type alone; others columns of MetricSchema.
        """
        for spread in self._spreads:
            definition = spread.definition
            rows = self._counted(spreads[spread.key], flows, spread.predicates)
            found = rows.group_by(*KEYS, "label").agg(pl.col("summation").sum(), pl.col("count").sum())
            if definition.function in NUMBERED and len(definition.events) == 1:
                yield Block(
                    (Place(definition.name, 0, NO_COUNT, 0),),
                    flows.entities[self._entity],
                    found[[*KEYS, "label", "summation"]],
                )
                continue
            found = found.with_columns(pl.col("label").cast(pl.String), self._ids(found, flows))
            if definition.function in BY_LABEL:
                found = labels.admit(definition.name, found, definition.arguments.maximum_labels)
            metric = pl.lit(definition.name).alias("metric")
            yield found.select(metric, "label", "entity", "minute", "summation", "count")

    def _ids(self, rows: pl.DataFrame, flows: DescribedFlows) -> pl.Series:
        return flows.entities[self._entity].gather(rows["entity"]).alias("entity")

    def _counted(self, rows: pl.DataFrame, flows: DescribedFlows, predicates: Sequence[str]) -> pl.DataFrame:
        """Rows of flows that meet conditions and count for an entity, with its number."""
        flow = rows["flow"].to_numpy()
        entity = np.asarray(flows.of(self._entity, flow))
        met = [np.asarray(flows.of(name, flow), np.bool_) for name in predicates]
        counted = np.logical_and.reduce([entity != NO_ENTITY, *met])
        if counted.all():
            rows = rows.clone()
        else:
            # One call of Polars that filters takes as long as most of what else is done with few rows.
            places = np.flatnonzero(counted)
            rows, entity = rows[places], entity[places]
        return rows.insert_column(0, pl.Series("entity", entity))
