"""Metrics, compiled to expressions over columns of logs.

Evaluation has three stages, so that nothing is done per log and metric:

1. per event type, one group-by of its logs by flow and minute adds up everything that any metric of it needs
   (backend/oal/events.py);
2. per source and event type, one group-by of those few rows by entity and minute makes the sums of each metric
   (backend/oal/groups.py);
3. the sums become rows of MetricSchema and MeasureSchema, a metric without data none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.entities.resolution import Flow
from backend.ingest.batch import LogKind
from backend.oal.apdex import ApdexThresholds
from backend.oal.definitions import Definition
from backend.oal.events import Event
from backend.oal.flows import FlowColumns
from backend.oal.groups import Group, Sums
from backend.oal.labels import Labels
from backend.oal.logs import EventLogs
from backend.storage.interface import MeasureSchema, MetricSchema

_KEYS = ("metric", "label", "entity", "minute")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What some logs say, as partial aggregates: one row per metric, label, entity and minute that has data."""

    metrics: pl.DataFrame
    """Columns of MetricSchema."""
    measures: pl.DataFrame
    """Columns of MeasureSchema."""


class Program:
    """The metrics of a set of scripts, ready to be computed. It never changes; safe for several threads.

    Attributes:
        definitions: what it computes.
        thresholds: what apdex() takes.
        labels: which labels there are. This one grows; a program that replaces another takes its labels over.
    """

    def __init__(
        self,
        definitions: Sequence[Definition],
        *,
        zeros_are_values: bool = False,
        thresholds: ApdexThresholds | None = None,
        labels: Labels | None = None,
    ) -> None:
        """Compile.

        Args:
            definitions: what to compute; those that nothing feeds are left out.
            zeros_are_values: take a 0 in the stages L2, L3 and L4 for a measurement, as Apache SkyWalking does. The
                wire cannot tell 0 from a stage that was not measured.
            thresholds: how fast the calls of each service should be; 500 ms for all when None.
            labels: remembers labels.
        """
        self.definitions = tuple(definitions)
        self.thresholds = thresholds or ApdexThresholds()
        self.labels = Labels() if labels is None else labels
        self._flows = FlowColumns(self.thresholds)
        self._names = pl.Series([definition.name for definition in definitions], dtype=pl.String)
        self._events: dict[LogKind, Event] = {}
        self._groups: dict[tuple[LogKind, str], Group] = {}
        self._overlapping = any(len(definition.events) > 1 for definition in definitions)
        for code, definition in enumerate(definitions):
            for kind in sorted(definition.events):
                event = self._events.get(kind)
                if event is None:
                    event = self._events[kind] = Event(kind, self._flows, zeros_are_values=zeros_are_values)
                place = (kind, definition.scope)
                if place not in self._groups:
                    self._groups[place] = Group(kind, definition.source, event, self._flows)
                self._groups[place].add(definition, code)

    @property
    def columns(self) -> Mapping[LogKind, Sequence[str]]:
        """The columns that logs of each type must have."""
        return {kind: event.columns for kind, event in self._events.items()}

    @property
    def stages(self) -> Mapping[str, Sequence[str]]:
        """What is added up in the first and the second stage, by where."""
        found: dict[str, Sequence[str]] = {}
        for kind, event in self._events.items():
            found[f"per flow, {kind.name}"] = event.described()
        for (kind, scope), group in self._groups.items():
            found[f"per {scope}, {kind.name}"] = group.described()
        return {place: expressions for place, expressions in found.items() if expressions}

    def evaluate(self, logs: Mapping[LogKind, EventLogs], flows: Sequence[Flow]) -> Evaluated:
        """The metrics of some logs.

        Args:
            logs: by type; types that no metric needs may be missing.
            flows: what EventLogs.flow points at.
        """
        described = self._flows.describe(flows)
        first = {
            kind: event.aggregate(logs[kind], described)
            for kind, event in self._events.items()
            if kind in logs and len(logs[kind].flow)
        }
        rows, spreads, measures = _Rows(), list[pl.DataFrame](), [pl.DataFrame(schema=MeasureSchema)]
        for (kind, _), group in self._groups.items():
            if kind in first:
                second = group.aggregate(first[kind].sums, described)
                rows.add(second, group.sums)
                measures += group.measures(second)
                spreads += group.spread(first[kind].spreads, described, self.labels)
        evaluated = Evaluated(pl.concat([rows.frame(self._names), *spreads]), pl.concat(measures))
        return _merged(evaluated) if self._overlapping else evaluated


def _merged(evaluated: Evaluated) -> Evaluated:
    """One row where metrics of several event types have several."""
    added = [pl.col("summation").sum(), pl.col("count").sum()]
    measured = [pl.col("total").sum(), pl.col("count").sum(), pl.col("least").min(), pl.col("greatest").max()]
    return Evaluated(
        evaluated.metrics.group_by(_KEYS).agg(added),
        evaluated.measures.group_by(_KEYS).agg(measured),
    )


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

    def add(self, sums: pl.DataFrame, metrics: Sequence[Sums]) -> None:
        """Take the rows of one source and event type."""
        minutes = sums["minute"].to_numpy()
        used = dict.fromkeys(
            name for metric in metrics for name in (metric.present, metric.summation, metric.count) if name
        )
        arrays = {name: sums[name].to_numpy() for name in used}
        for metric in metrics:
            chosen = np.flatnonzero(arrays[metric.present])
            if not len(chosen):
                continue
            self._metric.append(np.full(len(chosen), metric.code, np.int32))
            self._entity.append(chosen + self._entity_count)
            self._minute.append(minutes[chosen])
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
