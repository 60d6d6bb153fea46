import itertools
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.batch import START, Connection, DetectPoint, LogBatch, LogKind
from backend.ingest.counts import LogLoss, MessageLoss
from backend.ingest.framing import Frames
from backend.ingest.interning import LARGEST_TEXT, Interner
from backend.ingest.stream import LogStream, Period
from protos.ebpf.accesslog_pb2 import AccessLogKernelLog, AccessLogProtocolLogs, EBPFAccessLogMessage
from tests.backend.ingest.messages import http_log, message, random_message, read_log

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


def test_a_log_becomes_a_row_with_its_minute_duration_and_columns() -> None:
    receiving, batch = receive(named(read_log(90 * SECOND, 90 * SECOND + 7, size=42)))
    assert batch is not None
    assert batch.kind.tolist() == [LogKind.READ]
    assert batch.minute.tolist() == [(BOOT + 90) // 60]
    assert batch.duration_ns.tolist() == [7]
    assert numbers_of(batch, 0) == {"read.l2Metrics.totalPackageSize": 42, START: 90 * SECOND}
    assert receiving.counts.accepted == 1


def test_node_and_connection_hold_until_others_are_named() -> None:
    log = read_log()
    _, batch = receive(
        named(log, remote="a"),
        message(log, log),
        message(log, remote="b"),
        message(),
        message(log),
        message(log, remote="a"),
    )
    assert remotes(batch) == ["a", "a", "a", "b", "b", "a"]
    assert batch is not None
    assert [connection.remote.host for connection in batch.connections] == ["a", "b"]
    assert {connection.node.name for connection in batch.connections} == {"n"}


def test_state_holds_over_batches() -> None:
    receiving, first = receive(named(read_log()))
    _, second = receive(message(read_log()), into=receiving)
    assert remotes(first) == remotes(second) == ["a"]
    assert first is not None
    assert second is not None
    assert first.connections[0] is second.connections[0]


def test_several_runs_join_to_one_batch_whose_connections_are_distinct() -> None:
    receiving = stream()
    for remote in ("a", "b", "a", None, "c", "b"):
        receiving.take(Frames.of([named(read_log(), remote=remote).SerializeToString()]))
    assert receiving.waiting_bytes == 6 * (21 * 8 + 17)
    batch = receiving.batch()
    assert remotes(batch) == ["a", "b", "a", "a", "c", "b"]
    assert batch is not None
    assert len(batch.connections) == 3
    assert receiving.waiting_bytes == 0
    assert receiving.batch() is None


def test_rows_keep_the_order_in_which_logs_came() -> None:
    sizes = list(range(1, 50))
    messages = [named(*[read_log(size=size) for size in some]) for some in (sizes[:1], sizes[1:20], sizes[20:])]
    _, batch = receive(*messages)
    assert batch is not None
    assert batch.columns["read.l2Metrics.totalPackageSize"].tolist() == sizes


def test_logs_without_any_connection_are_lost_alone() -> None:
    receiving, batch = receive(
        message(read_log(), read_log(), node="n", boot=BOOT), message(read_log(), remote="a"), message(read_log())
    )
    assert remotes(batch) == ["a", "a"]
    assert lost(receiving) == {LogLoss.NO_CONNECTION: 2}


@pytest.mark.parametrize("missing", ["local", "remote"])
def test_a_connection_that_lacks_an_address_replaces_the_one_before(missing: str) -> None:
    broken = named(read_log(), remote="b")
    getattr(broken.connection, missing).Clear()
    receiving, batch = receive(named(read_log()), broken, message(read_log()), message(read_log(), remote="c"))
    assert remotes(batch) == ["a", "c"]
    assert lost(receiving) == {LogLoss.ADDRESS_MISSING: 2}


@pytest.mark.parametrize("broken", [b"\x1a\xff", b"\x12\x02\x0a\xff", b"\x00"])
def test_after_a_message_that_cannot_be_decoded_nothing_counts_for_the_connection_before(broken: bytes) -> None:
    receiving, batch = receive(named(read_log()), broken, message(read_log()), message(read_log(), remote="c"))
    assert remotes(batch) == ["a", "c"]
    assert lost(receiving) == {LogLoss.CONNECTION_LOST: 1}
    assert receiving.counts.lost_messages == {MessageLoss.UNDECODABLE: 1}
    assert receiving.counts.messages == 4


def test_a_connection_to_the_same_service_is_kept() -> None:
    own = named(read_log())
    for end in (own.connection.local, own.connection.remote):
        end.kubernetes.serviceName = "same"
    _, batch = receive(own)
    assert batch is not None
    assert len(batch) == 1


def test_a_connection_named_before_its_node_counts_for_the_node() -> None:
    receiving, batch = receive(
        message(read_log(), remote="a"), message(node="n", boot=BOOT), message(read_log()), message(read_log())
    )
    assert batch is not None
    assert remotes(batch) == ["a", "a"]
    assert {connection.node.name for connection in batch.connections} == {"n"}
    assert lost(receiving) == {LogLoss.NODE_MISSING: 1}


def test_connections_that_have_no_logs_are_not_in_the_batch() -> None:
    receiving, batch = receive(named(remote="a"), named(read_log(), remote="b"), named(read_log(2, 1), remote="c"))
    assert batch is not None
    assert [connection.remote.host for connection in batch.connections] == ["b"]
    assert remotes(batch) == ["b"]
    assert lost(receiving) == {LogLoss.TIME_INVERTED: 1}


def test_a_node_without_boot_time_makes_times_meaningless() -> None:
    unbooted = named(read_log())
    unbooted.node.ClearField("bootTime")
    receiving, batch = receive(unbooted)
    assert batch is None
    assert lost(receiving) == {LogLoss.NODE_MISSING: 1}


@pytest.mark.parametrize(("seconds", "nanos"), [(0, 5), (-5, 0), (2**40, 0), (BOOT, -1), (BOOT, 10**9)])
def test_a_boot_time_that_cannot_be_is_none(seconds: int, nanos: int) -> None:
    odd = named(read_log())
    odd.node.bootTime.seconds, odd.node.bootTime.nanos = seconds, nanos
    receiving, _ = receive(odd)
    assert lost(receiving) == {LogLoss.NODE_MISSING: 1}


def test_an_operation_that_is_missing_or_unknown_is_lost_alone() -> None:
    unknown = AccessLogKernelLog.FromString(b"\x32\x00")  # field 6, which does not exist
    receiving, batch = receive(named(read_log(), AccessLogKernelLog(), unknown, read_log()))
    assert batch is not None
    assert len(batch) == 2
    assert lost(receiving) == {LogLoss.UNKNOWN_OPERATION: 2}


@pytest.mark.parametrize("kind", ["connect", "accept", "close", "read", "write"])
@pytest.mark.parametrize("missing", ["startTime", "endTime", "startTime.offset", "endTime.offset"])
def test_a_log_without_start_or_end_is_lost_alone(kind: str, missing: str) -> None:
    log = AccessLogKernelLog()
    operation = getattr(log, kind)
    operation.startTime.offset.offset, operation.endTime.offset.offset = 1, 2
    path, _, leaf = missing.rpartition(".")
    (getattr(operation, path) if path else operation).ClearField(leaf)
    receiving, batch = receive(named(log, read_log()))
    assert batch is not None
    assert len(batch) == 1
    assert lost(receiving) == {LogLoss.TIME_MISSING: 1}


def test_an_offset_of_zero_is_a_time() -> None:
    _, batch = receive(named(read_log(0, 0)))
    assert batch is not None
    assert batch.minute.tolist() == [BOOT // 60]
    assert batch.duration_ns.tolist() == [0]


def test_inverted_times_are_lost_alone() -> None:
    receiving, batch = receive(named(read_log(5, 4), read_log(5, 5), read_log(2**63, 1)))
    assert batch is not None
    assert len(batch) == 1
    assert lost(receiving) == {LogLoss.TIME_INVERTED: 2}


def test_times_of_the_future_and_times_too_old_are_lost_to_the_nanosecond() -> None:
    period = Period(retention=timedelta(seconds=100), clock_difference=timedelta(seconds=10))
    first, last = (NOW - 100 - BOOT) * SECOND, (NOW + 10 - BOOT) * SECOND
    receiving, batch = receive(
        named(
            read_log(first, last),
            read_log(first - 1, last),
            read_log(first, last + 1),
            read_log(first, 2**64 - 1),
            read_log(2**64 - 1, 2**64 - 1),
        ),
        into=stream(period),
    )
    assert batch is not None
    assert batch.duration_ns.tolist() == [last - first]
    assert lost(receiving) == {LogLoss.TIME_EXPIRED: 1, LogLoss.TIME_FUTURE: 3}


def test_the_minute_counts_the_nanoseconds_of_the_boot_time() -> None:
    exact = named(read_log(SECOND // 2 - 1, SECOND), read_log(SECOND // 2, SECOND))
    exact.node.bootTime.seconds, exact.node.bootTime.nanos = BOOT // 60 * 60 + 59, SECOND // 2
    _, batch = receive(exact)
    assert batch is not None
    assert batch.minute.tolist() == [BOOT // 60, BOOT // 60 + 1]


def write_log(**fields: int) -> AccessLogKernelLog:
    log = AccessLogKernelLog()
    log.write.startTime.offset.offset, log.write.endTime.offset.offset = 1, 2
    for name, value in fields.items():
        part, _, field = name.partition("_")
        setattr(log.write if not field else getattr(log.write, part), field or part, value)
    return log


def test_counts_that_are_negative_or_absurd_are_lost_alone() -> None:
    receiving, batch = receive(
        named(
            write_log(l4Metrics_totalPackageSize=-1),
            write_log(l4Metrics_totalDuration=2**53 + 1),
            write_log(l3Metrics_totalDuration=2**64 - 5),
            write_log(l4Metrics_totalPackageSize=2**53),
            write_log(syscall=-7),
            write_log(syscall=99, l2Metrics_ifindex=2**32 - 1),
        )
    )
    assert batch is not None
    assert batch.columns["write.syscall"].tolist() == [0, -7, 99]
    assert batch.columns["write.l4Metrics.totalPackageSize"].tolist() == [2**53, 0, 0]
    assert lost(receiving) == {LogLoss.VALUE_OUT_OF_RANGE: 3}


def texts_of(batch: LogBatch, column: str) -> list[str]:
    return [batch.texts[index] for index in batch.columns[column].tolist()]


def test_an_exchange_is_a_row_behind_the_kernel_logs_beside_it() -> None:
    exchange = http_log("Post", "/orders", 201, start=90 * SECOND, end=90 * SECOND + 5)
    request, response = exchange.http.request, exchange.http.response
    exchange.http.version, request.host = 1, "shop"
    request.sizeOfHeadersBytes, request.sizeOfBodyBytes = 10, 20
    response.sizeOfHeadersBytes, response.sizeOfBodyBytes, response.grpcStatus = 30, 40, 13
    exchange.http.callerEndpoint, exchange.http.slice, exchange.http.isContinued = "GET:/cart", 3, True
    receiving, batch = receive(named(read_log(), read_log(), protocol=exchange))
    assert batch is not None
    assert batch.kind.tolist() == [LogKind.READ, LogKind.READ, LogKind.HTTP]
    assert batch.minute.tolist()[2] == (BOOT + 90) // 60
    assert batch.duration_ns.tolist()[2] == 5
    numbers = numbers_of(batch, 2)
    texts = {name: batch.texts[numbers.pop(name)] for name in [*numbers] if name.endswith(TEXTS)}
    assert numbers == {
        START: 90 * SECOND,
        "http.version": 1,
        "http.request.method": 1,
        "http.request.sizeOfHeadersBytes": 10,
        "http.request.sizeOfBodyBytes": 20,
        "http.response.statusCode": 201,
        "http.response.sizeOfHeadersBytes": 30,
        "http.response.sizeOfBodyBytes": 40,
        "http.response.grpcStatus": 13,
        "http.slice": 3,
        "http.isContinued": 1,
    }
    assert texts == {"http.request.path": "/orders", "http.request.host": "shop", "http.callerEndpoint": "GET:/cart"}
    assert (receiving.counts.logs, receiving.counts.protocol_logs, receiving.counts.accepted) == (3, 1, 3)


def test_texts_are_numbered_once_for_a_batch_however_many_runs_it_is_of() -> None:
    receiving = stream()
    for path in ("/a", "/b", "/a", "", "/c"):
        receiving.take(Frames.of([named(protocol=http_log(path=path)).SerializeToString()]))
    waiting = receiving.waiting_bytes
    batch = receiving.batch()
    assert batch is not None
    assert texts_of(batch, "http.request.path") == ["/a", "/b", "/a", "", "/c"]
    assert list(batch.texts) == ["", "/a", "/b", "/c"]
    assert waiting == 5 * (21 * 8 + 17) + 3 * (2 + 200)
    _, after = receive(named(protocol=http_log(path="/d")), into=receiving)
    assert after is not None
    assert list(after.texts) == ["", "/d"]


def test_long_texts_are_cut_between_characters() -> None:
    _, batch = receive(named(protocol=http_log(path="x" + "ä" * LARGEST_TEXT)))
    assert batch is not None
    assert texts_of(batch, "http.request.path") == ["x" + "ä" * (LARGEST_TEXT // 2 - 1)]


def test_a_method_without_a_number_has_its_name() -> None:
    _, batch = receive(named(protocol=http_log("PROPFIND")), named(protocol=http_log("Get")))
    assert batch is not None
    assert texts_of(batch, "http.request.methodName") == ["PROPFIND", ""]


def test_an_exchange_belongs_to_the_connection_before_it() -> None:
    _, batch = receive(
        named(remote="a", protocol=http_log()), message(protocol=http_log()), message(remote="b", protocol=http_log())
    )
    assert remotes(batch) == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("spoil", "loss"),
    [
        (lambda log: log.http.ClearField("startTime"), LogLoss.TIME_MISSING),
        (lambda log: log.http.endTime.ClearField("offset"), LogLoss.TIME_MISSING),
        (lambda log: setattr(log.http.endTime.offset, "offset", 1), LogLoss.TIME_INVERTED),
        (lambda log: setattr(log.http.endTime.offset, "offset", 2**63), LogLoss.TIME_FUTURE),
        (lambda log: setattr(log.http.request, "sizeOfBodyBytes", 2**53 + 1), LogLoss.VALUE_OUT_OF_RANGE),
        (lambda log: setattr(log.http.response, "sizeOfHeadersBytes", 2**64 - 1), LogLoss.VALUE_OUT_OF_RANGE),
        (lambda log: setattr(log.http.response, "statusCode", -1), LogLoss.VALUE_OUT_OF_RANGE),
        (lambda log: log.ClearField("http"), LogLoss.UNKNOWN_OPERATION),
    ],
)
def test_an_exchange_that_cannot_be_is_lost_alone(
    spoil: Callable[[AccessLogProtocolLogs], object], loss: LogLoss
) -> None:
    exchange = http_log(path="/lost")
    spoil(exchange)
    receiving, batch = receive(named(read_log(), protocol=exchange), message(protocol=http_log(path="/kept")))
    assert batch is not None
    assert batch.kind.tolist() == [LogKind.READ, LogKind.HTTP]
    assert list(batch.texts) == ["", "/kept"]
    assert lost(receiving) == {loss: 1}


def test_numbers_of_an_exchange_that_count_nothing_may_be_anything() -> None:
    odd = http_log(status=77_777)
    odd.http.version, odd.http.request.method, odd.http.slice = 99, -3, 2**32 - 1
    odd.http.response.grpcStatus = -1
    _, batch = receive(named(protocol=odd))
    assert batch is not None
    assert batch.columns["http.response.statusCode"].tolist() == [77_777]
    assert batch.columns["http.request.method"].tolist() == [-3]


def test_exchanges_without_a_connection_are_lost_as_other_logs() -> None:
    receiving, batch = receive(message(protocol=http_log(), node="n", boot=BOOT))
    assert batch is None
    assert lost(receiving) == {LogLoss.NO_CONNECTION: 1}


def test_role_protocol_and_tls_of_a_connection_and_numbers_without_a_name() -> None:
    odd = named(read_log())
    odd.connection.role, odd.connection.tlsMode, odd.connection.protocol = 9, 1, 77
    proxied = named(read_log(), remote="b")
    proxied.connection.role = 2
    _, batch = receive(odd, proxied)
    assert batch is not None
    first, second = batch.connections
    assert (first.role, first.tls, first.protocol) == (DetectPoint.UNRECOGNIZED, True, 77)
    assert (second.role, second.tls, second.protocol) == (DetectPoint.PROXY, False, 0)


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
