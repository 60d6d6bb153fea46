"""From batches of logs to what one flush writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.entities.endpoints import ABANDONED
from backend.entities.resolution import LAYER, Flow, Resolver, Unusable
from backend.ingest.batch import DetectPoint, LogBatch, LogKind
from backend.metrics.devices import DEVICES, devices
from backend.metrics.exchanges import LongExchanges, Methods, derive
from backend.oal.compiler import Evaluated, Program
from backend.oal.logs import DURATION, EventLogs
from backend.oal.sources import HTTP_CALL, HTTP_METHOD, HTTP_TIMED, TEXT_COLUMNS
from backend.storage.interface import Endpoint, Flush, Instance, Relation, Service

LARGEST = 2**53
"""Values from here on are no measurement: 104 days in ns, 9 PB in bytes."""

_NOTHING_SEEN = pl.DataFrame(schema={"flow": pl.Int32, "minute": pl.Int32})
_CODES = {cause: -number for number, cause in enumerate(Unusable, 1)}
_CAUSES = {code: cause.value for cause, code in _CODES.items()}
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
    """Number of logs by cause: those of Unusable, expired, future, kind, value."""
    abandoned: int = 0
    """HTTP logs that count for no endpoint of their own, because their service has too many."""
    untimed: int = 0
    """HTTP calls whose duration is not known, because their first slices are not."""


def analyse(
    batches: Sequence[LogBatch],
    resolver: Resolver,
    program: Program,
    writer: str,
    minutes: Minutes | None = None,
    *,
    long_exchanges: LongExchanges | None = None,
) -> Analysed:
    """Resolve, aggregate and describe some batches as one flush.

    Args:
        batches: the logs.
        resolver: says what a connection counts for.
        program: the metrics.
        writer: unique name of the flush.
        minutes: which minutes to accept; logs of others are dropped and counted.
        long_exchanges: remembers exchanges that are told in slices, from one flush to the next.
    """
    merged = _Merged(resolver, minutes or Minutes(), LongExchanges() if long_exchanges is None else long_exchanges)
    for batch in batches:
        merged.add(batch, program.columns)
    flush = merged.describe(writer, program.evaluate(merged.logs(), merged.flows))
    return Analysed(flush, merged.dropped, merged.abandoned, merged.untimed)


class _Merged:
    """The logs of several batches, by flow."""

    def __init__(self, resolver: Resolver, minutes: Minutes, long_exchanges: LongExchanges) -> None:
        self._resolver = resolver
        self._minutes = minutes
        self._long_exchanges = long_exchanges
        self.flows: list[Flow] = []
        self.dropped: dict[str, int] = {}
        self.abandoned = 0
        self.untimed = 0
        self._texts: dict[str, int] = {}
        self._codes: dict[Flow, int] = {}
        self._parts: dict[LogKind, list[EventLogs]] = {}
        self._seen: list[pl.DataFrame] = []
        self._called: list[pl.DataFrame] = []

    def add(self, batch: LogBatch, columns: Mapping[LogKind, Sequence[str]]) -> None:
        """Take a batch in."""
        flow = self._resolved(batch)
        valid = np.ones(len(batch), np.bool_)
        for code, cause in _CAUSES.items():
            valid = self._keep(valid, flow != code, cause)
        if self._minutes.first is not None:
            valid = self._keep(valid, batch.minute >= self._minutes.first, "expired")
        if self._minutes.last is not None:
            valid = self._keep(valid, batch.minute <= self._minutes.last, "future")
        known = np.isin(batch.kind, [int(kind) for kind in LogKind])
        valid = self._keep(valid, known, "kind")
        for kind in LogKind:
            chosen = np.flatnonzero(valid & (batch.kind == kind))
            if len(chosen):
                taken = self._columns(kind, batch, chosen, columns.get(kind, ()))
                self._take(kind, batch, flow[chosen], chosen, taken)

    def _resolved(self, batch: LogBatch) -> NDArray[np.int32]:
        """Per log, the number of its flow, or that of the cause for which it has none."""
        if not len(batch):
            return np.empty(0, np.int32)
        first, last = int(batch.minute.min()), int(batch.minute.max())
        codes = np.array([self._code(self._resolver.resolve(c, last)) for c in batch.connections], np.int32)
        flow = codes[batch.connection]
        if first < last:
            # What is behind an address depends on the minute; batches of several minutes are the fewest.
            moving = np.array([not (c.local.is_process and c.remote.is_process) for c in batch.connections])
            rows = np.flatnonzero(moving[batch.connection] & (batch.minute < last))
            span = last - first
            keys, place = np.unique(
                batch.connection[rows].astype(np.int64) * span + (batch.minute[rows] - first), return_inverse=True
            )
            found = [
                self._code(self._resolver.resolve(batch.connections[key // span], first + key % span))
                for key in keys.tolist()
            ]
            flow[rows] = np.array(found, np.int32)[place]
        return flow

    def _columns(
        self, kind: LogKind, batch: LogBatch, chosen: NDArray[np.intp], columns: Sequence[str]
    ) -> dict[str, NDArray[np.int64]]:
        """The columns that metrics need, of the logs chosen."""
        known: dict[str, NDArray[np.int64]] = {}
        if kind is LogKind.HTTP:
            known |= derive(batch, chosen, self._long_exchanges)
            self.untimed += int((known[HTTP_CALL] > known[HTTP_TIMED]).sum())
        for column in columns:
            if column == DURATION:
                known[column] = batch.duration_ns[chosen]
            elif column == HTTP_METHOD:
                methods = Methods(batch, chosen)
                known[column] = self._renumbered(methods.names(), methods.numbers)
            elif DEVICES.get(column) in batch.columns:
                known[column] = self._renumbered(*devices(batch, chosen, column))
            elif column in TEXT_COLUMNS and column in batch.columns:
                known[column] = self._renumbered(batch.texts, batch.columns[column][chosen])
            elif column in batch.columns:
                known[column] = batch.columns[column][chosen]
        return known

    def _renumbered(self, texts: Sequence[str], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of texts of a batch as numbers of the texts of all batches."""
        own = self._texts
        return np.array([own.setdefault(text, len(own)) for text in texts], np.int64)[numbers]

    def _take(
        self,
        kind: LogKind,
        batch: LogBatch,
        flow: NDArray[np.int32],
        chosen: NDArray[np.intp],
        taken: dict[str, NDArray[np.int64]],
    ) -> None:
        """Take the logs chosen, whose flows and columns are given."""
        # The wire has unsigned numbers that do not fit; they arrive negative.
        if any(values.min() < 0 or values.max() >= LARGEST for values in taken.values()):
            fits = np.all([(values >= 0) & (values < LARGEST) for values in taken.values()], axis=0)
            self._count("value", len(fits) - int(fits.sum()))
            chosen, flow = chosen[fits], flow[fits]
            taken = {column: values[fits] for column, values in taken.items()}
        minute = batch.minute[chosen]
        self._seen.append(pl.DataFrame({"flow": flow, "minute": minute}).unique())
        if kind is LogKind.HTTP:
            flow = self._served(batch, flow, chosen)
            self._called.append(pl.DataFrame({"flow": flow, "minute": minute}).unique())
        self._parts.setdefault(kind, []).append(EventLogs(flow, minute, taken))

    def _served(self, batch: LogBatch, flow: NDArray[np.int32], chosen: NDArray[np.intp]) -> NDArray[np.int32]:
        """The flows of HTTP logs with the endpoints that they are of."""
        methods = Methods(batch, chosen)
        # One number for each flow, method, path and caller that there is: few, whatever the number of logs.
        texts = batch.texts
        path = batch.columns["http.request.path"][chosen]
        callers = batch.columns.get("http.callerEndpoint")
        caller = np.zeros(len(chosen), np.int64) if callers is None else callers[chosen]
        pairs, pair = np.unique(caller * len(texts) + path, return_inverse=True)
        names = flow.astype(np.int64) * methods.limit + methods.numbers
        keys, place, counts = np.unique(names * len(pairs) + pair, return_inverse=True, return_counts=True)
        served = np.empty(len(keys), np.int32)
        for index, (key, count) in enumerate(zip(keys.tolist(), counts.tolist(), strict=True)):
            rest, number = divmod(key, len(pairs))
            code, method = divmod(rest, methods.limit)
            of_caller, of_path = divmod(int(pairs[number]), len(texts))
            found = self._resolver.serve(self.flows[code], methods.name(method), texts[of_path], texts[of_caller])
            served[index] = self._code(found)
            if ABANDONED in {found.endpoint_name, found.source_endpoint_name, found.destination_endpoint_name}:
                self.abandoned += count
        return served[place]

    def logs(self) -> dict[LogKind, EventLogs]:
        """All logs taken, by type."""
        texts = list(self._texts)
        return {kind: _joined(parts, texts) for kind, parts in self._parts.items()}

    def describe(self, writer: str, evaluated: Evaluated) -> Flush:
        """The flush: the metrics given, and who was seen when."""
        services: dict[str, Service] = {}
        instances: dict[str, Instance] = {}
        seen = pl.concat([_NOTHING_SEEN, *self._seen]).unique()
        spans = seen.group_by("flow").agg(pl.col("minute").min().alias("first"), pl.col("minute").max().alias("last"))
        for code, first, last in spans.iter_rows():
            flow = self.flows[code]
            if flow.service is None:
                continue
            known = services.get(flow.service)
            if known is None or first < known.first_minute or last > known.last_minute:
                services[flow.service] = Service(flow.service, flow.local.service, LAYER, *_span(known, first, last))
            if flow.instance is None:
                continue
            present = instances.get(flow.instance)
            if present is None or first < present.first_minute or last > present.last_minute:
                instances[flow.instance] = Instance(
                    flow.instance, flow.service, flow.local.instance, *_span(present, first, last)
                )
        service_relations, instance_relations = self._relations(seen)
        return Flush(
            writer,
            evaluated.metrics,
            list(services.values()),
            list(instances.values()),
            service_relations,
            instance_relations,
            self._endpoints(),
            self._endpoint_relations(),
            measures=evaluated.measures,
            blocks=evaluated.blocks,
        )

    def _relations(self, seen: pl.DataFrame) -> tuple[list[Relation], list[Relation]]:
        """Relations of services and of instances, each once, given which flows were seen when."""
        services, instances = dict[Relation, None](), dict[Relation, None]()
        for code, minute in seen.iter_rows():
            flow = self.flows[code]
            side = _SIDES.get(flow.role)
            if side is None:
                continue
            if (of := flow.relation) is not None:
                for component in flow.components:
                    services[Relation(of.id, of.source, of.destination, side, component, minute)] = None
            if (of := flow.instance_relation) is not None:
                instances[Relation(of.id, of.source, of.destination, side, 0, minute)] = None
        return list(services), list(instances)

    def _endpoints(self) -> list[Endpoint]:
        """The endpoints that were called, and when."""
        if not self._called:
            return []
        called = pl.concat(self._called)
        endpoints = pl.Series([flow.endpoint for flow in self.flows], dtype=pl.String)
        spans = (
            called.with_columns(endpoint=endpoints.gather(called["flow"]))
            .filter(pl.col("endpoint").is_not_null())
            .group_by("endpoint")
            .agg(pl.col("flow").first(), first=pl.col("minute").min(), last=pl.col("minute").max())
        )
        return [
            Endpoint(endpoint, self.flows[code].service or "", self.flows[code].endpoint_name or "", first, last)
            for endpoint, code, first, last in spans.iter_rows()
        ]

    def _endpoint_relations(self) -> list[Relation]:
        """Which endpoints were called by which, and when; clients tell of these alone."""
        relations, side = dict[Relation, None](), _SIDES[DetectPoint.CLIENT]
        for code, minute in pl.concat([_NOTHING_SEEN, *self._called]).unique().iter_rows():
            if (of := self.flows[code].endpoint_relation) is not None:
                relations[Relation(of.id, of.source, of.destination, side, 0, minute)] = None
        return list(relations)

    def _code(self, flow: Flow | Unusable) -> int:
        if isinstance(flow, Unusable):
            return _CODES[flow]
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


def _span(known: Service | Instance | None, first: int, last: int) -> tuple[int, int]:
    """The first and the last minute, of what was known and what was seen."""
    return (first, last) if known is None else (min(first, known.first_minute), max(last, known.last_minute))


def _joined(parts: Sequence[EventLogs], texts: Sequence[str]) -> EventLogs:
    columns = {
        column: np.concatenate(
            [part.columns[column] if column in part.columns else np.zeros(len(part.flow), np.int64) for part in parts]
        )
        for column in dict.fromkeys(column for part in parts for column in part.columns)
    }
    return EventLogs(
        np.concatenate([part.flow for part in parts]), np.concatenate([part.minute for part in parts]), columns, texts
    )
