"""Logs of the services that the examples of the pages ask about, as a recording that a backend can be sent.

frontend -> nginx -> api, each with calls of one endpoint
"""

from collections.abc import Iterator
from pathlib import Path

from protos.ebpf.accesslog_pb2 import (
    AccessLogConnection,
    AccessLogHTTPProtocolRequestMethod,
    AccessLogHTTPProtocolVersion,
    EBPFAccessLogMessage,
)
from protos.recording import write_messages, write_signature

_BOOT = 1_800_000_000
_SECOND = 1_000_000_000
_CALLS = (("frontend", "nginx", "/orders"), ("nginx", "api", "/stock"))
_SECONDS = 150
"""More than two minutes, of which one at least is over when questions are asked."""


def record(file: Path) -> None:
    """Write the recording. A replay moves its times, so that the last log ends when it is sent."""
    with file.open("wb") as recording:
        write_signature(recording)
        write_messages(recording, (message.SerializeToString() for message in _messages()))


def _messages() -> Iterator[EBPFAccessLogMessage]:
    first = True
    for source, destination, path in _CALLS:
        for role in ("client", "server"):
            connection = _connection(role, source, destination)
            for second in range(0, _SECONDS, 10):
                message = _exchange(path, (3_600 + second) * _SECOND)
                if second == 0:
                    message.connection.CopyFrom(connection)
                if first:
                    message.node.name, message.node.bootTime.seconds = "worker-1", _BOOT
                    first = False
                yield message


def _connection(role: str, source: str, destination: str) -> AccessLogConnection:
    made = AccessLogConnection(role=role, protocol="HTTP_1", tlsMode="Plain")
    local, remote = (source, destination) if role == "client" else (destination, source)
    for end, service in ((made.local, local), (made.remote, remote)):
        process = end.kubernetes
        process.serviceName, process.podName, process.processName, process.port = service, "worker-1", service, 80
    return made


def _exchange(path: str, at: int) -> EBPFAccessLogMessage:
    message = EBPFAccessLogMessage()
    write, read = message.kernelLogs.add().write, message.kernelLogs.add().read
    write.startTime.offset.offset, write.endTime.offset.offset = at, at + 30_000
    write.l4Metrics.totalTransmitPackageCount, write.l4Metrics.totalPackageSize = 1, 400
    read.startTime.offset.offset, read.endTime.offset.offset = at, at + 50_000
    read.l2Metrics.totalPackageCount, read.l2Metrics.totalPackageSize = 1, 600
    http = message.protocolLog.http
    http.startTime.offset.offset, http.endTime.offset.offset = at, at + 5_000_000
    http.version, http.request.method = AccessLogHTTPProtocolVersion.HTTP1, AccessLogHTTPProtocolRequestMethod.Get
    http.request.path = path
    http.response.statusCode, http.response.sizeOfBodyBytes = 200, 1_000
    return message
