"""Streams as Rover sends them of Istio's bookinfo example, on two nodes of a cluster.

    (outside) -> productpage -> details
                             -> reviews -> ratings

One stream is a batch. Its first message names the node; the first message of a connection names the connection and has
the calls that are of no exchange; then comes one message for each exchange, with the reads and writes that are of it.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

from protos.ebpf.accesslog_pb2 import (
    AccessLogConnection,
    AccessLogHTTPProtocolRequestMethod,
    AccessLogHTTPProtocolVersion,
    AccessLogKernelLog,
    AccessLogKernelReadSyscall,
    AccessLogKernelWriteSyscall,
    AccessLogProtocolLogs,
    EBPFAccessLogMessage,
    EBPFAccessLogNodeInfo,
)

MILLISECOND = 1_000_000
POD = "{}-v1-5c9ffb5d6b-x2x7k"


class Hop(NamedTuple):
    """Calls of one service by another; None is an address outside the cluster."""

    source: str | None
    destination: str
    path: str
    port: int
    milliseconds: int


HOPS = (
    Hop(None, "productpage", "/productpage", 9080, 40),
    Hop("productpage", "details", "/details/0", 9080, 5),
    Hop("productpage", "reviews", "/reviews/0", 9080, 20),
    Hop("reviews", "ratings", "/ratings/0", 9080, 2),
)
NODES = {"worker-1": ("productpage", "reviews"), "worker-2": ("details", "ratings")}
"""Which services have their pod where."""
CALLS = 3
"""How often each hop is called in a stream."""


def streams(now: float | None = None) -> dict[str, list[EBPFAccessLogMessage]]:
    """By node, one stream; each hop is told by both of its ends."""
    now = time.time() if now is None else now
    return {name: list(_stream(name, hosted, now)) for name, hosted in NODES.items()}


def _stream(name: str, hosted: tuple[str, ...], now: float) -> Iterator[EBPFAccessLogMessage]:
    node = EBPFAccessLogNodeInfo(name=name)
    node.netInterfaces.add(index=1, mtu=65_536, name="lo")
    node.netInterfaces.add(index=2, mtu=1_500, name="eth0")
    node.bootTime.seconds, node.bootTime.nanos = int(now) - 86_400, 5
    node.policy.excludeNamespaces.extend(["istio-system", "cert-manager", "kube-system"])
    first = True
    for hop in HOPS:
        for is_client in (True, False):
            if (hop.source if is_client else hop.destination) not in hosted:
                continue
            for message in _connection(hop, is_client=is_client):
                if first:
                    message.node.CopyFrom(node)
                    first = False
                yield message


def _connection(hop: Hop, *, is_client: bool) -> Iterator[EBPFAccessLogMessage]:
    """The messages of one connection, of which only the first one names it."""
    start = 86_395_000 * MILLISECOND
    opening = EBPFAccessLogMessage(connection=_described(hop, is_client=is_client))
    opened = opening.kernelLogs.add()
    operation = opened.connect if is_client else opened.accept
    operation.startTime.offset.offset, operation.endTime.offset.offset = start, start + MILLISECOND // 2
    if is_client:
        opened.connect.success = True
    closed = opening.kernelLogs.add().close
    closed.startTime.offset.offset, closed.endTime.offset.offset = start + 10 * MILLISECOND, start + 11 * MILLISECOND
    closed.success = True
    yield opening
    for number in range(CALLS):
        at = start + number * 100 * MILLISECOND
        yield EBPFAccessLogMessage(
            kernelLogs=[_write(at), _read(at)], protocolLog=_exchange(hop, at, at + hop.milliseconds * MILLISECOND)
        )


def _described(hop: Hop, *, is_client: bool) -> AccessLogConnection:
    made = AccessLogConnection(role="client" if is_client else "server", protocol="HTTP_1", tlsMode="Plain")
    local, remote = (hop.source, hop.destination) if is_client else (hop.destination, hop.source)
    for end, service, port in (
        (made.local, local, 41_000 if is_client else hop.port),
        (made.remote, remote, hop.port if is_client else 41_000),
    ):
        if service is None:
            end.ip.host, end.ip.port = "203.0.113.7", port
        else:
            process = end.kubernetes
            process.serviceName, process.podName = f"{service}.default", POD.format(service)
            process.containerName, process.processName, process.port = service, "python3", port
    return made


def _write(at: int) -> AccessLogKernelLog:
    log = AccessLogKernelLog()
    write = log.write
    write.startTime.offset.offset, write.endTime.offset.offset = at, at + 30_000
    write.syscall = AccessLogKernelWriteSyscall.SendTo
    write.l4Metrics.totalDuration, write.l4Metrics.totalTransmitPackageCount = 20_000, 1
    write.l4Metrics.totalPackageSize = 400
    write.l3Metrics.totalDuration, write.l3Metrics.totalOutputDuration = 9_000, 7_000
    write.l2Metrics.totalDuration, write.l2Metrics.ifindex = 4_000, 2
    return log


def _read(at: int) -> AccessLogKernelLog:
    log = AccessLogKernelLog()
    read = log.read
    read.startTime.offset.offset, read.endTime.offset.offset = at, at + 50_000
    read.syscall = AccessLogKernelReadSyscall.RecvFrom
    read.l2Metrics.ifindex, read.l2Metrics.totalPackageCount, read.l2Metrics.totalPackageSize = 2, 1, 600
    read.l3Metrics.totalDuration, read.l4Metrics.totalDuration = 5_000, 8_000
    return log


def _exchange(hop: Hop, start: int, end: int) -> AccessLogProtocolLogs:
    log = AccessLogProtocolLogs()
    http = log.http
    http.startTime.offset.offset, http.endTime.offset.offset = start, end
    http.version, http.request.method = AccessLogHTTPProtocolVersion.HTTP1, AccessLogHTTPProtocolRequestMethod.Get
    http.request.path, http.request.host = hop.path, f"{hop.destination}:{hop.port}"
    http.request.sizeOfHeadersBytes, http.response.sizeOfHeadersBytes = 300, 200
    http.response.statusCode, http.response.sizeOfBodyBytes = 200, 1_000
    return log
