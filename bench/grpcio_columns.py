"""The receiver's work done with grpcio and protobuf: the same columns, read field by field.

Not a straw man: fields are read by operator.attrgetter, a dozen in one call and below the interpreter, only those of
the operation that a log has; connections are interned by their bytes, and texts by content; columns are arrays at the
end of a block.
"""

import time
from collections.abc import Iterator, Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import LogKind
from backend.ingest.decode import SCHEMA
from backend.ingest.interning import NO_NODE, Interner
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage

BLOCK = 200
"""Messages made into columns together; what 64 KB hold."""
KINDS = ("connect", "accept", "close", "read", "write", "http")
TIMES = ("startTime.offset.offset", "endTime.offset.offset")
NAMES = {kind: [name for name in SCHEMA.columns if name.startswith(f"{kind}.")] for kind in KINDS}
COLUMNS = {kind: [SCHEMA.columns[name] for name in names] for kind, names in NAMES.items()}
READERS = {kind: attrgetter(*TIMES, *(name.partition(".")[2] for name in names)) for kind, names in NAMES.items()}
TEXTS = [len(TIMES) + COLUMNS["http"].index(column) for column in SCHEMA.texts[LogKind.HTTP]]
"""Places of texts among what the reader of exchanges reads."""


class Columns:
    """Makes columns of messages."""

    def __init__(self) -> None:
        self.logs = 0
        self._interner = Interner()
        self._node = NO_NODE
        self._boot = 0
        self._connection = -1

    def take(self, messages: Iterator[EBPFAccessLogMessage]) -> None:
        """Take a stream."""
        block: list[EBPFAccessLogMessage] = []
        for message in messages:
            block.append(message)
            if len(block) == BLOCK:
                self.columns(block)
                block = []
        self.columns(block)

    def columns(self, messages: list[EBPFAccessLogMessage]) -> dict[str, NDArray[np.int64]]:
        """The columns of a block; logs that must not count are left out."""
        slots: dict[object, int] = {}
        owners: list[int] = []
        texts: dict[str, int] = {"": 0}
        rows: dict[str, list[Sequence[int]]] = {kind: [] for kind in KINDS}
        latest, earliest = time.time_ns() + 300 * 10**9, time.time_ns() - 7 * 86_400 * 10**9
        for message in messages:
            if message.HasField("node"):
                self._node = self._interner.node(message.node.SerializeToString())
                self._boot = self._node.node.boot_time_ns
            if message.HasField("connection"):
                (connection,) = self._interner.connections(self._node, [message.connection.SerializeToString()])
                self._connection = -1 if connection is None else slots.setdefault(connection, len(slots))
            for log in message.kernelLogs:
                kind = log.WhichOneof("operation")
                if kind is None or self._connection < 0:
                    continue
                row = READERS[kind](getattr(log, kind))
                if earliest <= self._boot + row[0] and row[0] <= row[1] and self._boot + row[1] <= latest:
                    rows[kind].append(row)
                    owners.append(self._connection)
            if message.HasField("protocolLog") and message.protocolLog.HasField("http") and self._connection >= 0:
                exchange = list(READERS["http"](message.protocolLog.http))
                start, end = exchange[: len(TIMES)]
                if earliest <= self._boot + start and start <= end and self._boot + end <= latest:
                    for place in TEXTS:
                        exchange[place] = texts.setdefault(exchange[place], len(texts))
                    rows["http"].append(exchange)
                    owners.append(self._connection)
        self.logs += len(owners)
        return self._arrays(rows, len(owners))

    @staticmethod
    def _arrays(rows: dict[str, list[Sequence[int]]], count: int) -> dict[str, NDArray[np.int64]]:
        values = np.zeros((SCHEMA.start, count), np.int64)
        first = 0
        for kind, some in rows.items():
            if some:
                last = first + len(some)
                values[COLUMNS[kind], first:last] = np.array(some, np.int64).T[len(TIMES) :]
                first = last
        return {name: values[column] for name, column in SCHEMA.columns.items()}
