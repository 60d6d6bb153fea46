"""From batches of logs to what one flush writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.entities.resolution import LAYER, Flow, Resolver
from backend.ingest.batch import DetectPoint, LogBatch, LogKind
from backend.oal.compiler import DURATION, EventLogs, Program
from backend.storage.interface import Flush, Instance, Relation, Service

LARGEST = 2**53
"""Values from here on are no measurement: 104 days in ns, 9 PB in bytes."""

_SIDES = {DetectPoint.SERVER: "server", DetectPoint.CLIENT: "client"}


@dataclass(frozen=True, slots=True)
class Minutes:
    """The minutes that logs may be of, both inclusive; None for no limit."""

    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Analysed:
    """A flush, and what of the logs did not go into it."""

    flush: Flush
    dropped: Mapping[str, int]
    """Number of logs by cause: unknown (neither end is known), expired, future, kind, value."""


def analyse(
    batches: Sequence[LogBatch], resolver: Resolver, program: Program, writer: str, minutes: Minutes | None = None
) -> Analysed:
    """Resolve, aggregate and describe some batches as one flush.

    Args:
        batches: the logs.
        resolver: says what a connection counts for.
        program: the metrics.
        writer: unique name of the flush.
        minutes: which minutes to accept; logs of others are dropped and counted.
    """
    merged = _Merged(resolver, minutes or Minutes())
    for batch in batches:
        merged.add(batch, program.columns)
    flush = merged.describe(writer, program.evaluate(merged.logs(), merged.flows))
    return Analysed(flush, merged.dropped)


class _Merged:
    """The logs of several batches, by flow."""

    def __init__(self, resolver: Resolver, minutes: Minutes) -> None:
        self._resolver = resolver
        self._minutes = minutes
        self.flows: list[Flow] = []
        self.dropped: dict[str, int] = {}
        self._codes: dict[Flow, int] = {}
        self._parts: dict[LogKind, list[EventLogs]] = {}
        self._seen: list[pl.DataFrame] = []

    def add(self, batch: LogBatch, columns: Mapping[LogKind, Sequence[str]]) -> None:
        """Take a batch in."""
        flow = np.array([self._code(self._resolver.resolve(c)) for c in batch.connections], np.int32)
        flow = flow[batch.connection] if len(batch) else np.empty(0, np.int32)
        valid = self._keep(np.ones(len(batch), np.bool_), flow >= 0, "unknown")
        if self._minutes.first is not None:
            valid = self._keep(valid, batch.minute >= self._minutes.first, "expired")
        if self._minutes.last is not None:
            valid = self._keep(valid, batch.minute <= self._minutes.last, "future")
        known = np.isin(batch.kind, [int(kind) for kind in LogKind])
        valid = self._keep(valid, known, "kind")
        for kind in LogKind:
            chosen = np.flatnonzero(valid & (batch.kind == kind))
            if len(chosen):
                self._take(kind, batch, flow, chosen, columns.get(kind, ()))

    def _take(
        self,
        kind: LogKind,
        batch: LogBatch,
        flow: NDArray[np.int32],
        chosen: NDArray[np.intp],
        columns: Sequence[str],
    ) -> None:
        taken = {
            column: (batch.duration_ns if column == DURATION else batch.columns[column])[chosen]
            for column in columns
            if column == DURATION or column in batch.columns
        }
        # The wire has unsigned numbers that do not fit; they arrive negative.
        if any(values.min() < 0 or values.max() >= LARGEST for values in taken.values()):
            fits = np.all([(values >= 0) & (values < LARGEST) for values in taken.values()], axis=0)
            self._count("value", len(fits) - int(fits.sum()))
            chosen = chosen[fits]
            taken = {column: values[fits] for column, values in taken.items()}
        logs = EventLogs(flow[chosen], batch.minute[chosen], taken)
        self._parts.setdefault(kind, []).append(logs)
        self._seen.append(pl.DataFrame({"flow": logs.flow, "minute": logs.minute}).unique())

    def logs(self) -> dict[LogKind, EventLogs]:
        """All logs taken, by type."""
        return {kind: _joined(parts) for kind, parts in self._parts.items()}

    def describe(self, writer: str, metrics: pl.DataFrame) -> Flush:
        """The flush: the metrics given, and who was seen when."""
        services: dict[str, Service] = {}
        instances: dict[str, Instance] = {}
        service_relations: dict[tuple[str, str, int, int], Relation] = {}
        instance_relations: dict[tuple[str, str, int], Relation] = {}
        seen = pl.concat([pl.DataFrame(schema={"flow": pl.Int32, "minute": pl.Int32}), *self._seen]).unique()
        spans = seen.group_by("flow").agg(pl.col("minute").min().alias("first"), pl.col("minute").max().alias("last"))
        for code, first, last in spans.iter_rows():
            flow = self.flows[code]
            if flow.service is not None:
                known = services.get(flow.service)
                services[flow.service] = Service(
                    flow.service,
                    flow.local.service,
                    LAYER,
                    min(first, known.first_minute) if known else first,
                    max(last, known.last_minute) if known else last,
                )
            if flow.service is not None and flow.instance is not None:
                present = instances.get(flow.instance)
                instances[flow.instance] = Instance(
                    flow.instance,
                    flow.service,
                    flow.local.instance,
                    min(first, present.first_minute) if present else first,
                    max(last, present.last_minute) if present else last,
                )
        for code, minute in seen.iter_rows():
            flow = self.flows[code]
            side = _SIDES.get(flow.role)
            if side is None:
                continue
            if (of := flow.relation) is not None:
                service_relations[of.id, side, flow.component, minute] = Relation(
                    of.id, of.source, of.destination, side, flow.component, minute
                )
            if (of := flow.instance_relation) is not None:
                instance_relations[of.id, side, minute] = Relation(of.id, of.source, of.destination, side, 0, minute)
        return Flush(
            writer,
            metrics,
            list(services.values()),
            list(instances.values()),
            list(service_relations.values()),
            list(instance_relations.values()),
        )

    def _code(self, flow: Flow | None) -> int:
        if flow is None:
            return -1
        code = self._codes.setdefault(flow, len(self.flows))
        if code == len(self.flows):
            self.flows.append(flow)
        return code

    def _keep(self, valid: NDArray[np.bool_], wanted: NDArray[np.bool_], cause: str) -> NDArray[np.bool_]:
        kept = valid & wanted
        self._count(cause, int(valid.sum()) - int(kept.sum()))
        return kept

    def _count(self, cause: str, number: int) -> None:
        if number:
            self.dropped[cause] = self.dropped.get(cause, 0) + number


def _joined(parts: Sequence[EventLogs]) -> EventLogs:
    if len(parts) == 1:
        return parts[0]
    columns = {
        column: np.concatenate(
            [part.columns[column] if column in part.columns else np.zeros(len(part.flow), np.int64) for part in parts]
        )
        for column in dict.fromkeys(column for part in parts for column in part.columns)
    }
    return EventLogs(
        np.concatenate([part.flow for part in parts]), np.concatenate([part.minute for part in parts]), columns
    )
