"""From batches of logs to what one flush writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.entities.resolution import Resolver
from backend.ingest.batch import START, LogBatch, LogKind
from backend.ingest.decode import SCHEMA
from backend.ingest.distinct import distinct, distinct_pairs, numbered
from backend.ingest.merging import merged, rows_of
from backend.metrics.devices import DEVICES, devices
from backend.metrics.exchanges import LongExchanges, Methods, derive
from backend.metrics.known_flows import CAUSES, KnownFlows
from backend.oal.compiler import Program
from backend.oal.logs import DURATION, EventLogs
from backend.oal.sources import HTTP_CALL, HTTP_METHOD, HTTP_TIMED
from backend.storage.interface import Flush

LARGEST = 2**53
"""Values from here on are no measurement: 104 days in ns, 9 PB in bytes."""

_OF_EXCHANGES = tuple(name for name in SCHEMA.columns if name.startswith("http."))


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
    flows: KnownFlows | None = None,
) -> Analysed:
    """Resolve, aggregate and describe some batches as one flush.

    Args:
        batches: the logs.
        resolver: says what a connection counts for.
        program: the metrics.
        writer: unique name of the flush.
        minutes: which minutes to accept; logs of others are dropped and counted.
        long_exchanges: remembers exchanges that are told in slices, from one flush to the next. What this one changes
            there can be taken back until the next.
        flows: remembers the flows of this resolver, from one flush to the next.
    """
    flows = KnownFlows(resolver) if flows is None else flows
    flows.begin()
    long_exchanges = LongExchanges() if long_exchanges is None else long_exchanges
    long_exchanges.keep()
    analysis = _Analysis(merged(batches), flows, long_exchanges)
    analysis.choose(minutes or Minutes())
    for kind in LogKind:
        analysis.take(kind, program.columns.get(kind, ()))
    return Analysed(analysis.flush(writer, program), analysis.dropped, analysis.abandoned, analysis.untimed)


class _Analysis:
    """The logs of a flush, by flow."""

    def __init__(self, batch: LogBatch, flows: KnownFlows, long_exchanges: LongExchanges) -> None:
        self._batch = batch
        self._flows = flows
        self._long_exchanges = long_exchanges
        self.dropped: dict[str, int] = {}
        self.abandoned = 0
        self.untimed = 0
        self._flow = _resolved(batch, flows)
        self._valid = np.ones(len(batch), np.bool_)
        self._texts: dict[str, int] = {}
        self._logs: dict[LogKind, EventLogs] = {}
        self._seen: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []

    def choose(self, minutes: Minutes) -> None:
        """Drop the logs that count for nothing."""
        if len(self._flow) and self._flow.min() < 0:
            for code, cause in CAUSES.items():
                self._keep(self._flow != code, cause)
        minute = self._batch.minute
        if minutes.first is not None:
            self._keep(minute >= minutes.first, "expired")
        if minutes.last is not None:
            self._keep(minute <= minutes.last, "future")
        self._keep((self._batch.kind >= min(LogKind)) & (self._batch.kind <= max(LogKind)), "kind")

    def take(self, kind: LogKind, columns: Sequence[str]) -> None:
        """Take the logs of a kind, with the columns that metrics need of them."""
        chosen = np.flatnonzero(self._valid & (self._batch.kind == kind))
        if not len(chosen):
            return
        of_kind = rows_of(self._batch, chosen, _read(kind, columns))
        taken = self._columns(of_kind, kind, columns)
        flow = self._flow[chosen]
        # The wire has unsigned numbers that do not fit; they arrive negative.
        if any(values.min() < 0 or values.max() >= LARGEST for values in taken.values()):
            fits = np.all([(values >= 0) & (values < LARGEST) for values in taken.values()], axis=0)
            self._count("value", len(fits) - int(fits.sum()))
            of_kind, flow = rows_of(of_kind, np.flatnonzero(fits), of_kind.columns), flow[fits]
            taken = {column: values[fits] for column, values in taken.items()}
        self._seen.append((flow, of_kind.minute))
        if kind is LogKind.HTTP and len(of_kind):
            flow = self._served(flow, of_kind)
        self._logs[kind] = EventLogs(flow, of_kind.minute, taken)

    def flush(self, writer: str, program: Program) -> Flush:
        """The metrics of what was taken, and who was seen when."""
        sightings = self._flows.sightings
        seen = sightings.seen(*self._distinct(self._seen))
        http = self._logs.get(LogKind.HTTP)
        called = sightings.called(*self._distinct([] if http is None else [(http.flow, http.minute)]))
        logs, numbers = self._with_flows_of_this_flush()
        evaluated = program.evaluate(logs, self._flows.described(numbers, program))
        return Flush(
            writer,
            evaluated.metrics,
            seen.services,
            seen.instances,
            seen.service_relations,
            seen.instance_relations,
            called.endpoints,
            called.endpoint_relations,
            measures=evaluated.measures,
            blocks=evaluated.blocks,
        )

    def _distinct(
        self, pairs: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs of flows and minutes, each once."""
        nothing = np.empty(0, np.int32)
        flow = np.concatenate([nothing, *(flow for flow, _ in pairs)])
        minute = np.concatenate([nothing, *(minute for _, minute in pairs)])
        return distinct_pairs(flow, minute, len(self._flows))

    def _with_flows_of_this_flush(self) -> tuple[dict[LogKind, EventLogs], NDArray[np.int64]]:
        """All logs taken, by type, with places among the flows that they have instead of numbers; and these numbers."""
        found = [distinct(logs.flow, len(self._flows)) for logs in self._logs.values()]
        numbers = distinct(np.concatenate([np.empty(0, np.int64), *found]), len(self._flows))
        places = np.zeros(len(self._flows), np.int32)
        places[numbers] = np.arange(len(numbers), dtype=np.int32)
        texts = list(self._texts) or self._batch.texts
        return {
            kind: EventLogs(places[logs.flow], logs.minute, logs.columns, texts) for kind, logs in self._logs.items()
        }, numbers

    def _columns(self, logs: LogBatch, kind: LogKind, columns: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The columns that metrics need, of the logs of a kind."""
        known, rows = dict[str, NDArray[np.int64]](), np.arange(len(logs))
        if kind is LogKind.HTTP:
            known |= derive(logs, rows, self._long_exchanges)
            self.untimed += int((known[HTTP_CALL] > known[HTTP_TIMED]).sum())
        for column in columns:
            if column == DURATION:
                known[column] = logs.duration_ns
            elif column == HTTP_METHOD:
                methods = Methods(logs, rows)
                known[column] = self._numbered(methods.names(), methods.numbers)
            elif DEVICES.get(column) in logs.columns:
                known[column] = self._numbered(*devices(logs, rows, column))
            elif column in logs.columns:
                known[column] = logs.columns[column]
        return known

    def _numbered(self, texts: Sequence[str], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of some texts as numbers of all texts of the flush."""
        if not self._texts:
            self._texts = {text: number for number, text in enumerate(self._batch.texts)}
        own = self._texts
        return np.array([own.setdefault(text, len(own)) for text in texts], np.int64)[numbers]

    def _served(self, flow: NDArray[np.int32], logs: LogBatch) -> NDArray[np.int32]:
        """The flows of HTTP logs with the endpoints that they are of."""
        methods = Methods(logs, np.arange(len(logs)))
        # One number for each method, path and caller that there is: few, whatever the number of logs.
        texts = logs.texts
        path = logs.columns["http.request.path"]
        caller = logs.columns.get("http.callerEndpoint", np.zeros(len(logs), np.int64))
        pairs, pair = numbered(caller * len(texts) + path, len(texts) ** 2)
        triples, call = numbered(pair * methods.limit + methods.numbers, len(pairs) * methods.limit)
        calls = []
        for triple in triples.tolist():
            of_caller, of_path = divmod(int(pairs[triple // methods.limit]), len(texts))
            calls.append((methods.name(triple % methods.limit), texts[of_path], texts[of_caller]))
        served, abandoned = self._flows.of_calls(flow, call, calls)
        self.abandoned += abandoned
        return served

    def _keep(self, wanted: NDArray[np.bool_], cause: str) -> None:
        kept = self._valid & wanted
        self._count(cause, int(self._valid.sum()) - int(kept.sum()))
        self._valid = kept

    def _count(self, cause: str, number: int) -> None:
        if number:
            self.dropped[cause] = self.dropped.get(cause, 0) + number


def _read(kind: LogKind, columns: Sequence[str]) -> list[str]:
    """What is read of the logs of a kind, for metrics that need some columns."""
    read = dict.fromkeys([*columns, *(DEVICES[column] for column in columns if column in DEVICES)])
    if kind is LogKind.HTTP:
        read |= dict.fromkeys((START, *_OF_EXCHANGES))
    return list(read)


def _resolved(batch: LogBatch, flows: KnownFlows) -> NDArray[np.int32]:
    """Per log, the number of its flow, or that of the cause for which it has none."""
    if not len(batch):
        return np.empty(0, np.int32)
    first, last = int(batch.minute.min()), int(batch.minute.max())
    flow = flows.of_connections(batch.connections, last)[batch.connection]
    if first < last:
        # What is behind an address depends on the minute.
        moving = np.array([not connection.is_between_processes for connection in batch.connections])
        rows = np.flatnonzero(moving[batch.connection] & (batch.minute < last))
        span = last - first
        keys, place = numbered(
            batch.connection[rows].astype(np.int64) * span + (batch.minute[rows] - first), len(batch.connections) * span
        )
        found = [flows.of_connection(batch.connections[key // span], first + key % span) for key in keys.tolist()]
        flow[rows] = np.array(found, np.int32)[place]
    return flow
