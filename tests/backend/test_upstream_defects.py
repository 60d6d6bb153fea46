"""Defects that were found by reading Apache SkyWalking's receiver of access logs, and that this backend does not have.

The numbers are those of docs/compatibility.md. What a test leaves out is shown by the tests of the module that
it is about.
"""

import time
from collections.abc import Iterator

import grpc
import polars as pl
import pytest

from backend.entities import ids
from backend.entities.resolution import UNKNOWN, End, Resolver
from backend.ingest.batch import Node
from backend.ingest.counts import LogLoss
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from backend.metrics.analysis import Analysed, analyse
from backend.server.companions import handlers
from backend.server.presence import Presence
from backend.storage.interface import Flush, Instance, MetricSchema, Service, Storage
from backend.storage.memory import MemoryStorage
from protos.ebpf.accesslog_pb2 import AccessLogConnection, EBPFAccessLogMessage, ZTunnelAttachmentSecurityPolicy
from tests.backend.ingest.messages import read_log
from tests.backend.metrics.exchanges import (
    BOOT,
    MILLISECOND,
    NOW,
    SECOND,
    Analysis,
    connection,
    exchange,
    messages,
    program,
    sums,
)
from tests.backend.server.support import Collecting, Full, receiving

API, WEB = ids.service_id("api"), ids.service_id("web")
MINUTE = (BOOT + 60) // 60
WORD = "secret"


def received(*given: EBPFAccessLogMessage) -> LogStream:
    stream = LogStream(Interner(), clock_ns=lambda: NOW * SECOND)
    stream.take(Frames.of([message.SerializeToString() for message in given]))
    return stream


def analysed(stream: LogStream, script: str, resolver: Resolver | None = None) -> Analysed:
    batch = stream.batch()
    assert batch is not None
    return analyse([batch], resolver or Resolver(), program(script), "writer")


def reads(*sizes: int, at: int = 60) -> EBPFAccessLogMessage:
    start = at * SECOND
    return EBPFAccessLogMessage(kernelLogs=[read_log(start, start + 1_000, size) for size in sizes])


def first(of: AccessLogConnection, message: EBPFAccessLogMessage) -> EBPFAccessLogMessage:
    """The same message with a node and a connection."""
    message.node.bootTime.seconds = BOOT
    message.connection.CopyFrom(of)
    return message


SIZES = 'size = from(K8SService.read.l2.totalPackageSize).filter(type == "read").sum();'


def test_d3_logs_of_a_connection_that_cannot_be_used_never_count_for_the_one_before() -> None:
    unusable = AccessLogConnection(role="client")
    unusable.local.kubernetes.serviceName = "other"
    stream = received(
        first(connection("client"), reads(1)), EBPFAccessLogMessage(connection=unusable), reads(10), reads(100)
    )
    assert stream.counts.lost_logs == {LogLoss.ADDRESS_MISSING: 2}
    assert sums(analysed(stream, SIZES)) == {("size", API): (1, 0)}


def test_d4_one_bad_log_loses_nothing_but_itself() -> None:
    message = first(connection("client"), reads(1, 10, 100))
    message.kernelLogs[1].read.endTime.offset.offset = 0
    message.protocolLog.CopyFrom(exchange())
    stream = received(message)
    assert stream.counts.lost_logs == {LogLoss.TIME_INVERTED: 1}
    assert stream.counts.accepted == 3
    assert sums(analysed(stream, SIZES)) == {("size", API): (101, 0)}


def test_d4_a_metric_without_a_guard_of_its_type_harms_no_other() -> None:
    script = f"unguarded = from(K8SService.write.duration).sum(); {SIZES}"
    assert sums(analysed(received(first(connection("client"), reads(7))), script)) == {("size", API): (7, 0)}


@pytest.mark.parametrize(
    ("start", "end", "loss"),
    [
        (60, None, LogLoss.TIME_MISSING),
        (None, 60, LogLoss.TIME_MISSING),
        (60, 59, LogLoss.TIME_INVERTED),
        (NOW - BOOT + 3_600, NOW - BOOT + 3_601, LogLoss.TIME_FUTURE),
    ],
)
def test_d5_times_that_cannot_be_enter_no_average(start: int | None, end: int | None, loss: LogLoss) -> None:
    message = first(connection("client"), reads(1))
    read = message.kernelLogs[0].read
    for time_of, seconds in ((read.startTime, start), (read.endTime, end)):
        time_of.Clear()
        if seconds is not None:
            time_of.offset.offset = seconds * SECOND
    stream = received(message)
    assert stream.counts.lost_logs == {loss: 1}
    assert stream.batch() is None


def test_d5_the_nanoseconds_of_the_boot_time_count() -> None:
    message = first(connection("client"), reads(1, at=59))
    message.node.bootTime.seconds = BOOT // 60 * 60
    message.node.bootTime.nanos = 999_999_999
    message.kernelLogs[0].read.startTime.offset.offset += SECOND - 1_000
    message.kernelLogs[0].read.endTime.offset.offset += SECOND
    batch = received(message).batch()
    assert batch is not None
    assert batch.minute.tolist() == [BOOT // 60 + 1]


def test_d6_a_mesh_adds_no_calls_and_no_failures() -> None:
    calls = 'calls = from(K8SService.*).filter(detectPoint == DetectPoint.SERVER).filter(type == "protocol").cpm();'
    good = 'good = from(K8SService.*).filter(type == "protocol").filter(protocol.success == true).cpm();'
    took = 'took = from(K8SServiceRelation.protocol.http.latency).filter(type == "protocol").sum();'
    of = connection("server", "api", "web")
    of.attachment.zTunnel.security_policy = ZTunnelAttachmentSecurityPolicy.MTLS
    given = messages(of, exchange(milliseconds=12.5), exchange(milliseconds=0.25))
    flush = analysed(received(*given), calls + good + took).flush
    found = {
        (metric, entity): summation
        for metric, entity, summation in flush.rows.select("metric", "entity", "summation").iter_rows()
    }
    assert found == {
        ("calls", API): 2,
        ("good", API): 2,
        # To the nanosecond, not to the second.
        ("took", f"{WEB}-{API}"): int(12.75 * MILLISECOND),
    }
    assert {(of_row.component, of_row.side) for of_row in flush.service_relations} == {
        (142, "server"),
        (162, "server"),
    }


def test_d7_what_is_not_known_has_no_endpoints_and_is_no_service() -> None:
    flush = Analysis().take(messages(connection("server", local="", remote="web"), exchange("/a"))).flush
    assert (flush.services, flush.instances, flush.endpoints) == ([], [], [])
    assert [ids.decode_service_relation_id(of.id).destination.service for of in flush.service_relations] == [UNKNOWN]


def test_d8_a_log_counts_for_who_had_the_address_when_it_happened() -> None:
    class Book:
        version = 0

        def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
            assert (host, port, node.boot_time_ns) == ("10.0.0.1", 0, BOOT * SECOND)
            return End("old" if minute == MINUTE else "new", "pod")

    given = first(connection("client", remote=""), reads(1, at=60)), reads(1, at=120), reads(1, at=60)
    flush = analysed(received(*given), SIZES, Resolver(Book())).flush
    found = {(ids.decode_service_relation_id(of.id).destination.service, of.minute) for of in flush.service_relations}
    assert found == {("old", MINUTE), ("new", MINUTE + 1)}


def test_d9_an_excluded_namespace_is_left_out_also_as_the_other_end() -> None:
    class Book:
        version = 0

        def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
            del host, port, node, minute
            return End("dns.kube-system", "dns-1")

    message = first(connection("client", remote=""), reads(1))
    found = analysed(received(message), SIZES, Resolver(Book(), excluded_namespaces={"kube-system"}))
    assert found.dropped == {"excluded": 1}
    assert found.flush.rows.is_empty()
    assert found.flush.service_relations == []
    # What an agent itself leaves out has no name at the other end, and takes nothing from those that it follows.
    message.node.policy.excludeNamespaces.append("kube-system")
    found = analysed(received(message), SIZES, Resolver(Book()))
    assert sums(found) == {("size", API): (1, 0)}
    assert [ids.decode_service_relation_id(of.id).destination.service for of in found.flush.service_relations] == [
        UNKNOWN
    ]


def test_d10_paths_with_queries_and_identifiers_are_one_endpoint() -> None:
    paths = ("/orders/4711?debug=1", "/orders/4712", "/orders/4713#x")
    flush = Analysis().take(messages(connection(), *map(exchange, paths))).flush
    assert [endpoint.name for endpoint in flush.endpoints] == ["GET:/orders/{number}"]


def test_d10_no_answer_is_no_success() -> None:
    script = "rate = from(K8SEndpoint.*).percent(success == true);"
    given = messages(connection(), exchange(status=0), exchange(status=200))
    assert sums(analysed(received(*given), script)) == {("rate", ids.endpoint_id(API, "GET:/")): (1, 2)}


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_d12_minutes_do_not_depend_on_the_zone_of_the_server() -> None:
    flush = analysed(received(first(connection("client"), reads(1))), SIZES).flush
    assert flush.rows["minute"].to_list() == [MINUTE]


def test_d13_late_logs_do_not_turn_back_when_an_instance_was_seen_last() -> None:
    storage: Storage = MemoryStorage()
    for writer, minute in (("one", 20), ("two", 10)):
        storage.write(
            Flush(
                writer,
                pl.DataFrame(schema=MetricSchema),
                [Service(API, "api", "K8S_SERVICE", minute, minute)],
                [Instance("i", API, "api-1", minute, minute)],
            )
        )
    assert [(service.first_minute, service.last_minute) for service in storage.services()] == [(10, 20)]
    assert [instance.last_minute for instance in storage.instances(API, 0, 30)] == [20]


async def test_d17_every_call_of_every_service_needs_the_token() -> None:
    paths = ["/skywalking.v3.EBPFAccessLogService/collect", *handlers(Presence(MemoryStorage()))]
    async with receiving(Full(), token=WORD) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        for path in paths:
            for metadata in ((), (("authentication", "wrong"),)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(path, bytes, bytes)(b"", metadata=metadata, timeout=120)
                assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            await channel.unary_unary(path, bytes, bytes)(b"", metadata=(("authentication", WORD),), timeout=120)


async def test_d20_a_sender_hears_what_was_dropped_of_its_stream() -> None:
    bad = first(connection("client"), reads(1, 2))
    bad.kernelLogs[0].read.endTime.offset.offset = 0
    bad.node.bootTime.seconds = int(time.time()) - 3_600
    async with receiving(Collecting()) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        collect = channel.stream_unary("/skywalking.v3.EBPFAccessLogService/collect", bytes, bytes)
        call = collect(iter([bad.SerializeToString()]))
        await call
        assert dict(await call.trailing_metadata()) == {"pyrover-dropped": "time_inverted=1"}
        assert receiver.service.delivery.stored == 1
