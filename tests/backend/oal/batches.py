"""Batches of logs for tests, drawn by hypothesis."""

import numpy as np
from hypothesis import strategies as st

from backend.ingest.batch import START, Address, Connection, DetectPoint, LogBatch, LogKind, Node

NODE = Node("node", "", 0, {})

TEXTS = ("", "/", "/orders?id=7", "/orders#top", "PROPFIND", "shop", "/" + "x" * 200, "12", "-7", "GET:/cart")
HTTP = {
    # column: what its values are drawn from
    "http.request.method": (0, 0, 1, 8, 9, -1),
    "http.request.methodName": (0, 0, 0, 4),
    "http.request.path": (0, 1, 2, 3, 6),
    "http.request.host": (0, 5, 7, 8),
    "http.request.sizeOfHeadersBytes": (0, 100, 333),
    "http.request.sizeOfBodyBytes": (0, 0, 7),
    "http.response.statusCode": (0, 99, 100, 199, 200, 204, 304, 399, 404, 499, 500, 503, 599, 600),
    "http.response.sizeOfHeadersBytes": (0, 50),
    "http.response.sizeOfBodyBytes": (0, 9_000),
    "http.callerEndpoint": (0, 9),
    "http.version": (0, 1),
    "http.response.grpcStatus": (0, 0, 0, 1, 2, 4, 5, 13, 16),
    # Slice 7 follows no other here, so that nothing is known of when its exchange began.
    "http.slice": (0, 0, 0, 7),
    "http.isContinued": (0, 0, 0, 1),
}

COLUMNS = (
    "connect.success",
    "close.success",
    "read.syscall",
    "write.syscall",
    "write.l4Metrics.totalDuration",
    "write.l4Metrics.totalTransmitPackageCount",
    "write.l4Metrics.totalRetransmitPackageCount",
    "write.l4Metrics.totalPackageSize",
    "write.l3Metrics.totalDuration",
    "write.l3Metrics.totalLocalDuration",
    "write.l3Metrics.totalOutputDuration",
    "write.l3Metrics.totalResolveMACCount",
    "write.l3Metrics.totalResolveMACDuration",
    "write.l3Metrics.totalNetFilterCount",
    "write.l3Metrics.totalNetFilterDuration",
    "write.l2Metrics.totalDuration",
    "write.l2Metrics.ifindex",
    "write.l2Metrics.totalEnterQueueBufferCount",
    "write.l2Metrics.totalReadySendDuration",
    "write.l2Metrics.totalNetDeviceSendDuration",
    "read.l2Metrics.ifindex",
    "read.l2Metrics.totalPackageCount",
    "read.l2Metrics.totalPackageSize",
    "read.l2Metrics.totalPackageToQueueDuration",
    "read.l2Metrics.totalRcvPackageFromQueueDuration",
    "read.l3Metrics.totalDuration",
    "read.l3Metrics.totalRecvDuration",
    "read.l3Metrics.totalLocalDuration",
    "read.l3Metrics.totalNetFilterCount",
    "read.l3Metrics.totalNetFilterDuration",
    "read.l4Metrics.totalDuration",
)

_processes = st.builds(
    lambda service, instance: Address(service, instance, "program", "", 80),
    st.sampled_from(["api", "db", "web"]),
    st.sampled_from(["", "one", "two"]),
)
_addresses = st.one_of(_processes, st.just(Address("", "", "", "10.0.0.1", 80)))
_connections = st.builds(
    Connection,
    st.just(NODE),
    _addresses,
    _addresses,
    st.sampled_from(DetectPoint),
    st.booleans(),
    st.sampled_from([0, 1, 2, 7]),
)


@st.composite
def batches(draw: st.DrawFn, minutes: tuple[int, int] = (1000, 1003)) -> LogBatch:
    """A batch of up to 60 logs on up to 6 connections. Many values are 0, as on the wire."""
    connections = draw(st.lists(_connections, min_size=1, max_size=6))
    length = draw(st.integers(0, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = {}
    for column in COLUMNS:
        high = 2 if column.endswith("success") else 8 if column.endswith("syscall") else 1000
        shown = random.random(length) < draw(st.sampled_from([0.0, 0.3, 1.0]))
        columns[column] = np.where(shown, random.integers(0, high, length), 0)
    for column, values in HTTP.items():
        columns[column] = random.choice(values, length).astype(np.int64)
    columns[START] = random.integers(0, 10**15, length)
    return LogBatch(
        connections,
        random.integers(0, len(connections), length).astype(np.int32),
        random.choice([int(kind) for kind in LogKind], length).astype(np.int8),
        random.integers(minutes[0], minutes[1] + 1, length).astype(np.int32),
        random.integers(0, 10**9, length) * random.integers(1, 4, length),
        columns,
        TEXTS,
    )
