from datetime import timedelta
from typing import Any

import pytest

from backend.ingest.batch import START, DetectPoint, LogKind
from backend.ingest.counts import LogLoss, MessageLoss
from backend.ingest.framing import Frames
from backend.ingest.stream import Period
from protos.common import common_pb2
from protos.ebpf.accesslog_pb2 import AccessLogKernelLog
from tests.backend.ingest.messages import message, read_log
from tests.backend.ingest.streaming import BOOT, NOW, SECOND, lost, named, numbers_of, receive, remotes, stream


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


def test_role_protocol_and_tls_of_a_connection_and_numbers_without_a_name() -> None:
    odd = named(read_log())
    numbers: Any = odd.connection  # of enums, without a name
    numbers.role, numbers.tlsMode, numbers.protocol = 9, 1, 77
    proxied = named(read_log(), remote="b")
    proxied.connection.role = common_pb2.DetectPoint.proxy
    _, batch = receive(odd, proxied)
    assert batch is not None
    first, second = batch.connections
    assert (first.role, first.tls, first.protocol) == (DetectPoint.UNRECOGNIZED, True, 77)
    assert (second.role, second.tls, second.protocol) == (DetectPoint.PROXY, False, 0)
