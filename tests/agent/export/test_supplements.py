from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.interfaces import NodeInterfaces
from agent.events.layout import STAGES, EventFlag, EventKind, Events
from agent.export.assembler import Assembler
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.export.plain import plain_read, plain_write
from tests.agent.synthetic import FakeHost, World, event, quality

K = EventKind
COUNTED = EventFlag.PACKAGES_COUNTED


class Exporter:
    """From events to messages, flush by flush."""

    def __init__(self) -> None:
        self.world = World()
        self.host = FakeHost()
        self.collected = Assembler()
        self.interfaces = NodeInterfaces(self.host)
        self.messages: list[wire.EBPFAccessLogMessage] = []

    def take(self, *parts: Events) -> None:
        self.collected.append(self.world.track(*parts))

    def flush(self) -> list[wire.EBPFAccessLogMessage]:
        """The messages of connections; there is one for each here."""
        batches = self.collected.flush(lambda: b"", lambda view: _head(view.inode), self.interfaces, "R{}".format)
        made = [wire.EBPFAccessLogMessage.FromString(one) for batch in batches for one in batch.messages[1:]]
        self.messages += made
        return made


def _head(inode: int) -> bytes:
    connection = wire.AccessLogConnection(local=wire.ConnectionAddress(ip=wire.IPAddress(port=inode)))
    return wire.EBPFAccessLogMessage(connection=connection).SerializeToString()


def test_late_packages_are_added_to_the_last_write_of_the_flush() -> None:
    exporter = Exporter()
    exporter.take(
        event(K.WRITE, flags=COUNTED, packages=1, package_bytes=10, l3_ns=5, interface=2, round_trip_us=9),
        event(K.WRITE, flags=COUNTED, packages=2, package_bytes=20, l3_ns=6, late_ns=3, late_packages=1, interface=2),
        event(K.LATE_WRITE, packages=4, package_bytes=40, late_ns=7, late_packages=4, retransmits=1, interface=3),
    )
    (message,) = exporter.flush()
    first, last = (log.write for log in message.kernelLogs)
    assert (first.l4Metrics.totalTransmitPackageCount, first.l4Metrics.totalLatePackageCount) == (1, 0)
    assert (last.l4Metrics.totalTransmitPackageCount, last.l4Metrics.totalPackageSize) == (6, 60)
    assert (last.l4Metrics.totalLatePackageCount, last.l4Metrics.totalLateDuration) == (5, 10)
    assert (last.l4Metrics.totalRetransmitPackageCount, last.l3Metrics.totalDuration) == (1, 6)
    assert (first.l2Metrics.ifindex, last.l2Metrics.ifindex) == (2, 3)
    assert not message.HasField("quality")


def test_late_packages_without_a_log_in_the_flush_stand_in_the_quality_of_their_connection() -> None:
    exporter = Exporter()
    written: dict[str, Any] = {"packages": 4, "package_bytes": 40, "late_ns": 7, "late_packages": 4, "l2_ns": 1}
    exporter.take(event(K.READ, size=1), event(K.LATE_WRITE, **written), event(K.LATE_WRITE, packages=1))
    (message,) = exporter.flush()
    expected = dict.fromkeys(STAGES.names or (), 0) | written | {"packages": 5, "late_packages": 5}
    metrics = plain_write(expected)
    metrics.ClearField("l3Metrics")
    assert message.quality == wire.PyroverConnectionQuality(lateWrite=metrics)
    exporter.take(event(K.LATE_READ, packages=2, package_bytes=3, l3_ns=5, netfilters=6, l4_ns=1))
    (message,) = exporter.flush()
    received = {"packages": 2, "package_bytes": 3, "l3_ns": 5, "netfilters": 6, "l4_ns": 1, "late_packages": 2}
    assert message.quality.lateRead == plain_read(dict.fromkeys(STAGES.names or (), 0) | received)
    assert not message.quality.HasField("lateWrite")


def test_counters_of_qualities_add_up_and_of_states_the_last_one_known_holds() -> None:
    exporter = Exporter()
    exporter.take(
        event(K.READ, size=1),
        quality(retransmits_timeout=1, retransmits_fast=2, retransmits_probe=3, retransmits_syn=4, segments_in=7),
        quality(zero_windows_received=5, zero_windows_sent=6, round_trip_us=70, round_trip_minimum_us=20),
        quality(retransmits_timeout=10, round_trip_us=60, round_trip_variation_us=9, segments_out=8),
    )
    (message,) = exporter.flush()
    assert message.quality == wire.PyroverConnectionQuality(
        retransmitTimeoutCount=11,
        retransmitFastCount=2,
        retransmitProbeCount=3,
        retransmitSynCount=4,
        zeroWindowReceivedCount=5,
        zeroWindowSentCount=6,
        roundTripMicroseconds=60,
        roundTripVariationMicroseconds=9,
        roundTripMinimumMicroseconds=20,
        segmentsSent=8,
        segmentsReceived=7,
    )
    assert exporter.collected.troubles == {"packages_sent_again": 20, "packages_dropped": 0, "windows_closed": 11}


def test_drops_are_named_in_the_last_write_of_the_flush() -> None:
    exporter = Exporter()
    exporter.take(
        event(K.WRITE, size=1),
        quality({5: 2, 7: 1}),
        event(K.WRITE, size=2),
        event(K.READ, size=3),
        quality({5: 3}, drops_other=9),
    )
    (message,) = exporter.flush()
    first, last, _ = message.kernelLogs
    assert not first.write.l4Metrics.lossPackageMetrics
    lost = {loss.location: loss.count for loss in last.write.l4Metrics.lossPackageMetrics}
    assert lost == {"R5": 5, "R7": 1, "OTHER": 9}
    assert not message.HasField("quality")
    assert exporter.collected.troubles["packages_dropped"] == 15


def test_drops_of_a_connection_that_wrote_nothing_stand_in_its_quality() -> None:
    exporter = Exporter()
    exporter.take(event(K.READ, size=1, inode=1), event(K.WRITE, size=1, inode=2), quality({5: 2**32 - 1}, inode=1))
    messages = {message.connection.local.ip.port: message for message in exporter.flush()}
    (lost,) = messages[1].quality.lossPackageMetrics
    assert (lost.location, lost.count) == ("R5", 2**31 - 1)  # as many as the wire can say
    assert not messages[2].HasField("quality")


SMALL = st.integers(0, 1000)
SUMS = [name for name in STAGES.names or () if name not in ("interface", "round_trip_us", "late_packages")]
ON_THE_WIRE = {K.WRITE: set(SUMS), K.READ: set(SUMS) - {"retransmits", "neighbours", "neighbour_ns", "queued", "l2_ns"}}


@st.composite
def _stage_event(draw: st.DrawFn) -> Events:
    kind = draw(st.sampled_from([K.WRITE, K.READ, K.LATE_WRITE, K.LATE_READ, K.QUALITY, K.CONNECT]))
    inode = draw(st.integers(1, 3))
    if kind is K.QUALITY:
        drops = draw(st.dictionaries(st.integers(1, 4), st.integers(1, 9), max_size=3))
        return quality(drops, inode=inode, retransmits_fast=draw(SMALL))
    if kind is K.CONNECT:
        return event(kind, inode=inode)
    stages: dict[str, Any] = {name: draw(SMALL) for name in SUMS}
    return event(kind, inode=inode, flags=COUNTED, interface=draw(st.integers(0, 2)), **stages)


@given(st.lists(st.lists(_stage_event(), max_size=12), max_size=4))
def test_the_sums_on_the_wire_are_the_sums_of_the_kernel(flushes: list[list[Events]]) -> None:
    exporter = Exporter()
    exporter.take(*(event(K.ACCEPT, inode=inode) for inode in (1, 2, 3)))
    kernel: defaultdict[tuple[int, str], int] = defaultdict(int)
    for flush in flushes:
        for one in flush:
            exporter.take(one)
            _count_event(kernel, one)
        exporter.flush()
    sent: defaultdict[tuple[int, str], int] = defaultdict(int)
    for message in exporter.messages:
        _count_message(sent, message)
    assert {key: count for key, count in sent.items() if count} == {
        key: count for key, count in kernel.items() if count
    }


def _count_event(counts: defaultdict[tuple[int, str], int], one: Events) -> None:
    inode, kind = int(one["inode"][0]), EventKind(int(one["kind"][0]))
    if kind is K.QUALITY:
        seen = one["stages"].view("u4").reshape(-1)
        counts[inode, "fast"] += int(seen[1])
        for reason, count in seen[10:22].reshape(-1, 2).tolist():
            counts[inode, f"R{reason}"] += count
    elif kind is not K.CONNECT:
        target = K.WRITE if kind in (K.WRITE, K.LATE_WRITE) else K.READ
        for name in ON_THE_WIRE[target]:
            if not (target is K.READ and name == "late_ns"):
                counts[inode, f"{target.name} {name}"] += int(one["stages"][name][0])
        if kind is not target:
            counts[inode, f"{target.name} late_packages"] += int(one["stages"]["packages"][0])


def _count_message(counts: defaultdict[tuple[int, str], int], message: wire.EBPFAccessLogMessage) -> None:
    inode = message.connection.local.ip.port
    said = message.quality
    counts[inode, "fast"] += said.retransmitFastCount
    losses = list(said.lossPackageMetrics)
    for log in message.kernelLogs:
        if log.WhichOneof("operation") == "write":
            losses += log.write.l4Metrics.lossPackageMetrics
            _count_write(counts, inode, log.write)
        elif log.WhichOneof("operation") == "read":
            _count_read(counts, inode, log.read)
    _count_write(counts, inode, said.lateWrite)
    _count_read(counts, inode, said.lateRead)
    for loss in losses:
        counts[inode, loss.location] += loss.count


def _count_write(
    counts: defaultdict[tuple[int, str], int],
    inode: int,
    metrics: wire.PyroverLateWrite | wire.AccessLogKernelWriteOperation,
) -> None:
    l4, l3, l2 = metrics.l4Metrics, metrics.l3Metrics, metrics.l2Metrics
    found = Counter(
        l4_ns=l4.totalDuration,
        packages=l4.totalTransmitPackageCount,
        retransmits=l4.totalRetransmitPackageCount,
        package_bytes=l4.totalPackageSize,
        late_packages=l4.totalLatePackageCount,
        late_ns=l4.totalLateDuration,
        l3_ns=l3.totalDuration,
        l3_local_ns=l3.totalLocalDuration,
        l3_output_ns=l3.totalOutputDuration,
        neighbours=l3.totalResolveMACCount,
        neighbour_ns=l3.totalResolveMACDuration,
        netfilters=l3.totalNetFilterCount,
        netfilter_ns=l3.totalNetFilterDuration,
        l2_ns=l2.totalDuration,
        queued=l2.totalEnterQueueBufferCount,
        l2_ready_ns=l2.totalReadySendDuration,
        l2_device_ns=l2.totalNetDeviceSendDuration,
    )
    for name, count in found.items():
        counts[inode, f"WRITE {name}"] += count


def _count_read(
    counts: defaultdict[tuple[int, str], int],
    inode: int,
    metrics: wire.PyroverLateRead | wire.AccessLogKernelReadOperation,
) -> None:
    l4, l3, l2 = metrics.l4Metrics, metrics.l3Metrics, metrics.l2Metrics
    found = Counter(
        l4_ns=l4.totalDuration,
        late_packages=l4.totalLatePackageCount,
        l3_ns=l3.totalDuration,
        l3_output_ns=l3.totalRecvDuration,
        l3_local_ns=l3.totalLocalDuration,
        netfilters=l3.totalNetFilterCount,
        netfilter_ns=l3.totalNetFilterDuration,
        packages=l2.totalPackageCount,
        package_bytes=l2.totalPackageSize,
        l2_ready_ns=l2.totalPackageToQueueDuration,
        l2_device_ns=l2.totalRcvPackageFromQueueDuration,
    )
    for name, count in found.items():
        counts[inode, f"READ {name}"] += count


@pytest.mark.parametrize("kind", [K.LATE_READ, K.LATE_WRITE])
def test_interfaces_of_late_packages_are_numbered_as_those_of_logs(kind: EventKind) -> None:
    exporter = Exporter()
    exporter.take(event(K.ACCEPT, namespace=7), event(kind, namespace=7, packages=1, interface=2))
    (message,) = exporter.flush()
    late = message.quality.lateRead if kind is K.LATE_READ else message.quality.lateWrite
    assert late.l2Metrics.ifindex == exporter.interfaces.number(7, 2, 100)
    assert late.l2Metrics.ifindex != 2


def test_the_numbers_of_a_quality_are_not_taken_for_interfaces() -> None:
    exporter = Exporter()
    everything = np.full(30, 5, dtype=np.uint32)
    one = quality(namespace=7)
    one["stages"].view("u4")[:] = everything
    exporter.take(event(K.ACCEPT, namespace=7), one)
    (message,) = exporter.flush()
    assert message.quality.segmentsReceived == 5
    assert exporter.host.asked == []
