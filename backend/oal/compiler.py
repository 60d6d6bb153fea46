"""Metrics, compiled to expressions over columns of logs.

Evaluation has three stages, so that nothing is done per log and metric:

1. per event type, one group-by of its logs by flow and minute adds up everything that any metric of it needs
   (backend/oal/events.py);
2. per source and event type, one group-by of those few rows by entity and minute makes the sums of each metric
   (backend/oal/groups.py);
3. the sums stay side by side, as blocks (backend/storage/blocks.py). What is of several event types, or is kept by a
   label that is text, becomes rows of MetricSchema and MeasureSchema, a metric without data none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from backend.ingest.batch import LogKind
from backend.oal.apdex import ApdexThresholds
from backend.oal.definitions import Definition
from backend.oal.events import Event
from backend.oal.flows import DescribedFlows, FlowColumns, FlowDescriber
from backend.oal.groups import Group
from backend.oal.labels import Labels
from backend.oal.logs import EventLogs
from backend.storage.blocks import Block
from backend.storage.interface import MeasureSchema, MetricSchema

_KEYS = ("metric", "label", "entity", "minute")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What some logs say, as partial aggregates: one row per metric, label, entity and minute that has data."""

    metrics: pl.DataFrame
    """Columns of MetricSchema: what is in no block."""
    measures: pl.DataFrame
    """Columns of MeasureSchema."""
    blocks: Sequence[Block] = ()
    """Sums that are of one event type each, side by side."""

    @property
    def rows(self) -> pl.DataFrame:
        """All metrics, as columns of MetricSchema."""
        return pl.concat([self.metrics, *(block.rows() for block in self.blocks)])


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
        self._events: dict[LogKind, Event] = {}
        self._groups: dict[tuple[LogKind, str], Group] = {}
        self._overlapping = any(len(definition.events) > 1 for definition in definitions)
        for definition in definitions:
            for kind in sorted(definition.events):
                event = self._events.get(kind)
                if event is None:
                    event = self._events[kind] = Event(kind, self._flows, zeros_are_values=zeros_are_values)
                place = (kind, definition.scope)
                if place not in self._groups:
                    self._groups[place] = Group(kind, definition.source, event, self._flows)
                self._groups[place].add(definition)

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

    def describer(self) -> FlowDescriber:
        """What describes flows for `evaluate`."""
        return self._flows.describer()

    def evaluate(self, logs: Mapping[LogKind, EventLogs], described: DescribedFlows) -> Evaluated:
        """The metrics of some logs.

        Args:
            logs: by type; types that no metric needs may be missing.
            described: what EventLogs.flow points at, described by a describer of this program.
        """
        first = {
            kind: event.aggregate(logs[kind], described)
            for kind, event in self._events.items()
            if kind in logs and len(logs[kind].flow)
        }
        blocks = list[Block]()
        metrics, measures = [pl.DataFrame(schema=MetricSchema)], [pl.DataFrame(schema=MeasureSchema)]
        for (kind, _), group in self._groups.items():
            if kind in first:
                second = group.aggregate(first[kind].sums, described)
                blocks += group.blocks(second, described)
                metrics += group.shared(second, described)
                spread = list(group.spread(first[kind].spreads, described, self.labels))
                blocks += [each for each in spread if isinstance(each, Block)]
                metrics += [each for each in spread if not isinstance(each, Block)]
                measures += group.measures(second, described)
        evaluated = Evaluated(pl.concat(metrics), pl.concat(measures), blocks)
        return _merged(evaluated) if self._overlapping else evaluated


def _merged(evaluated: Evaluated) -> Evaluated:
    """One row where metrics of several event types have several; these are in no block."""
    added = [pl.col("summation").sum(), pl.col("count").sum()]
    measured = [pl.col("total").sum(), pl.col("count").sum(), pl.col("least").min(), pl.col("greatest").max()]
    return Evaluated(
        evaluated.metrics.group_by(_KEYS).agg(added),
        evaluated.measures.group_by(_KEYS).agg(measured),
        evaluated.blocks,
    )
