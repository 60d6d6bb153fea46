"""Streams of access logs into columns, and what came of them."""

from backend.ingest.batch import START, LogBatch, LogKind
from backend.ingest.counts import LogLoss
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream, Period
from protos.ebpf.accesslog_pb2 import AccessLogKernelLog, AccessLogProtocolLogs, EBPFAccessLogMessage
from tests.backend.ingest.messages import message

NOW = 1_800_000_000
"""Seconds; the clock of these tests."""


BOOT = NOW - 3_600


SECOND = 10**9


TEXTS = (".path", ".host", ".methodName", ".callerEndpoint")


def stream(period: Period | None = None) -> LogStream:
    return LogStream(Interner(), period, lambda: NOW * SECOND)


def receive(
    *messages: EBPFAccessLogMessage | bytes, into: LogStream | None = None
) -> tuple[LogStream, LogBatch | None]:
    receiving = into or stream()
    serialised = [item if isinstance(item, bytes) else item.SerializeToString() for item in messages]
    receiving.take(Frames.of(serialised))
    return receiving, receiving.batch()


def remotes(batch: LogBatch | None) -> list[str]:
    assert batch is not None
    return [batch.connections[index].remote.host for index in batch.connection.tolist()]


def named(
    *logs: AccessLogKernelLog, remote: str | None = "a", protocol: AccessLogProtocolLogs | None = None
) -> EBPFAccessLogMessage:
    return message(*logs, node="n", boot=BOOT, remote=remote, protocol=protocol)


def lost(receiving: LogStream) -> dict[LogLoss, int]:
    counts = receiving.counts
    assert counts.logs == counts.accepted + counts.lost_logs.total()
    return dict(counts.lost_logs)


def numbers_of(batch: LogBatch, row: int) -> dict[str, int]:
    """What is not 0 of a log."""
    prefix = f"{LogKind(int(batch.kind[row])).name.lower()}."
    columns = {name: int(column[row]) for name, column in batch.columns.items()}
    return {name: value for name, value in columns.items() if value and (name.startswith(prefix) or name == START)}


def texts_of(batch: LogBatch, column: str) -> list[str]:
    return [batch.texts[index] for index in batch.columns[column].tolist()]
