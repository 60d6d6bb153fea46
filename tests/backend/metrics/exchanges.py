"""Exchanges for tests, from the wire to what a flush writes."""

from collections.abc import Sequence

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from backend.metrics.analysis import Analysed, analyse
from backend.metrics.exchanges import LongExchanges
from backend.oal.compiler import Program
from backend.oal.loader import STANDARD as SCRIPTS
from backend.oal.loader import load, load_texts
from protos.ebpf.accesslog_pb2 import AccessLogConnection, AccessLogProtocolLogs, EBPFAccessLogMessage

NOW = 1_800_000_000
"""Seconds."""
BOOT = NOW - 3_600
MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
METRICS = load(SCRIPTS / "ebpf.oal")
"""The metrics that SkyWalking has too."""
STANDARD = Program(METRICS.definitions)


def program(script: str) -> Program:
    """The metrics of a script."""
    return Program(load_texts({"test": script}).definitions)


def connection(role: str = "server", local: str = "api", remote: str = "web", port: int = 80) -> AccessLogConnection:
    """A connection between two services, each with one instance."""
    made = AccessLogConnection(role=role)
    for end, name in ((made.local, local), (made.remote, remote)):
        if name:
            end.kubernetes.serviceName, end.kubernetes.podName, end.kubernetes.port = name, f"{name}-1", port
        else:
            end.ip.host = "10.0.0.1"
    return made


def exchange(
    path: str = "/",
    status: int = 200,
    milliseconds: float = 10,
    *,
    at: float = 60,
    sizes: Sequence[int] = (0, 0, 0, 0),
    grpc: int = 0,
    number: int = 0,
    is_last: bool = True,
) -> AccessLogProtocolLogs:
    """A GET that began `at` seconds after the boot; with `number`, a slice of one."""
    log = AccessLogProtocolLogs()
    log.http.startTime.offset.offset = int(at * SECOND)
    log.http.endTime.offset.offset = int(at * SECOND + milliseconds * MILLISECOND)
    log.http.request.path, log.http.response.statusCode = path, status
    log.http.request.sizeOfHeadersBytes, log.http.request.sizeOfBodyBytes = sizes[:2]
    log.http.response.sizeOfHeadersBytes, log.http.response.sizeOfBodyBytes = sizes[2:]
    if grpc:
        log.http.response.grpcStatus = grpc
    log.http.slice, log.http.isContinued = number, not is_last
    return log


def messages(of: AccessLogConnection, *logs: AccessLogProtocolLogs) -> list[EBPFAccessLogMessage]:
    """The messages of a stream: one for each exchange."""
    made = [EBPFAccessLogMessage(protocolLog=log) for log in logs]
    made[0].connection.CopyFrom(of)
    made[0].node.name = "n"
    made[0].node.bootTime.seconds = BOOT
    return made


def batch_of(given: Sequence[EBPFAccessLogMessage]) -> LogBatch:
    """The logs of a stream, all of which are good."""
    stream = LogStream(Interner(), clock_ns=lambda: NOW * SECOND)
    stream.take(Frames.of([message.SerializeToString() for message in given]))
    assert not stream.counts.lost_logs
    batch = stream.batch()
    assert batch is not None
    return batch


class Analysis:
    """Analyses streams, each as a flush of its own, with what is remembered between flushes."""

    def __init__(self, metrics: Program = STANDARD, resolver: Resolver | None = None) -> None:
        self._program = metrics
        self._resolver = resolver or Resolver()
        self._long = LongExchanges()
        self._flushes = 0

    def take(self, given: Sequence[EBPFAccessLogMessage]) -> Analysed:
        """Analyse one stream, all of whose logs are good."""
        self._flushes += 1
        return analyse([batch_of(given)], self._resolver, self._program, str(self._flushes), long_exchanges=self._long)


def sums(analysed: Analysed) -> dict[tuple[str, str], tuple[int, int]]:
    """(summation, count) of each metric and entity; all of one minute."""
    rows = analysed.flush.rows.select("metric", "entity", "summation", "count").iter_rows()
    return {(metric, entity): (summation, count) for metric, entity, summation, count in rows}
