"""Any stream gives the rows of plain rules, and every log is accounted for."""

import itertools
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.batch import Connection, LogBatch
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from tests.backend.ingest.messages import message, random_message, read_log
from tests.backend.ingest.streaming import BOOT, lost, stream


def plain_rows(messages: list[EBPFAccessLogMessage]) -> list[tuple[str, str, int]]:
    """The rules for connections once more, written for clarity: (node, remote, size) of the logs that are kept."""
    rows, node, connection = [], None, None
    for item in messages:
        if item.HasField("node"):
            node = item.node.name
        if item.HasField("connection"):
            whole = item.connection.local.WhichOneof("address") and item.connection.remote.WhichOneof("address")
            connection = item.connection.remote.ip.host if whole else None
        if node is not None and connection is not None:
            rows += [(node, connection, log.read.l2Metrics.totalPackageSize) for log in item.kernelLogs]
    return rows


SIZES = itertools.count(1)


STEPS = st.tuples(
    st.sampled_from([None, "n", "m"]), st.sampled_from([None, "a", "b", ""]), st.integers(0, 3), st.booleans()
)


@given(steps=st.lists(STEPS, max_size=30))
def test_any_stream_gives_the_rows_of_the_plain_rules_however_it_is_cut(
    steps: list[tuple[str | None, str | None, int, bool]],
) -> None:
    messages, cuts = [], []
    for node, remote, logs, cut in steps:
        item = message(*[read_log(size=next(SIZES)) for _ in range(logs)], node=node, boot=BOOT, remote=remote)
        if remote == "":
            item.connection.remote.Clear()
        messages.append(item)
        cuts.append(cut)
    receiving, rows, waiting = stream(), [], []
    for item, cut in zip(messages, cuts, strict=True):
        waiting.append(item.SerializeToString())
        if cut:
            receiving.take(Frames.of(waiting))
            waiting = []
            rows += rows_of(receiving.batch())
    receiving.take(Frames.of(waiting))
    rows += rows_of(receiving.batch())
    assert rows == plain_rows(messages)
    lost(receiving)


def rows_of(batch: LogBatch | None) -> list[tuple[str, str, int]]:
    if batch is None:
        return []
    sizes = batch.columns["read.l2Metrics.totalPackageSize"].tolist()
    connections: list[Connection] = [batch.connections[index] for index in batch.connection.tolist()]
    return [(item.node.name, item.remote.host, size) for item, size in zip(connections, sizes, strict=True)]


@given(st.lists(random_message(), max_size=5))
def test_whatever_comes_every_log_is_accounted_for(messages: list[EBPFAccessLogMessage]) -> None:
    receiving = LogStream(Interner(), clock_ns=time.time_ns)
    receiving.take(Frames.of([item.SerializeToString() for item in messages]))
    batch = receiving.batch()
    lost(receiving)
    protocol_logs = sum(item.HasField("protocolLog") for item in messages)
    assert receiving.counts.protocol_logs == protocol_logs
    assert receiving.counts.logs == sum(len(item.kernelLogs) for item in messages) + protocol_logs
    assert receiving.counts.accepted == (0 if batch is None else len(batch))
    if batch is not None:
        assert all(len(column) == len(batch) for column in batch.columns.values())
        assert batch.duration_ns.min() >= 0
        for column in ("http.request.path", "http.callerEndpoint"):
            assert np.all((batch.columns[column] >= 0) & (batch.columns[column] < len(batch.texts)))
        assert np.all((batch.connection >= 0) & (batch.connection < len(batch.connections)))
