from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.connections.logs import LOG, TrackedLogs
from agent.connections.view import View
from agent.discovery.interfaces import NodeInterfaces
from agent.events.layout import EventKind
from agent.export import assembler
from agent.export.assembler import Assembler, Batch
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.export.plain import plain_kernel_log
from tests.agent.synthetic import FakeHost, World, event, quality

NODE = wire.EBPFAccessLogMessage(node=wire.EBPFAccessLogNodeInfo(name="n")).SerializeToString()


class _Numbered:
    """Stands for a view where only its number matters."""

    def __init__(self, number: int) -> None:
        self.number = number


def _head(view: View) -> bytes:
    connection = wire.AccessLogConnection(local=wire.ConnectionAddress(ip=wire.IPAddress(port=view.number)))
    return wire.EBPFAccessLogMessage(connection=connection).SerializeToString()


def _tracked(numbers: list[int]) -> TrackedLogs:
    logs = np.zeros(len(numbers), dtype=LOG)
    logs["view"], logs["kind"] = numbers, EventKind.ACCEPT
    logs["start_ns"] = np.arange(1, len(numbers) + 1)
    views = {number: _Numbered(number) for number in set(numbers)}
    return TrackedLogs(logs, views)  # type: ignore[arg-type]


def _flush(collected: Assembler, head: Callable[[View], bytes] = _head) -> list[Batch]:
    return list(collected.flush(lambda: NODE, head, NodeInterfaces(FakeHost()), str))


def _received(batch: Batch) -> Iterator[tuple[int, int]]:
    """(connection, start time) of every log, as a receiver reads the stream."""
    messages = [wire.EBPFAccessLogMessage.FromString(message) for message in batch.messages]
    assert messages[0].node.name == "n"
    connection = None
    for message in messages[1:]:
        assert not message.HasField("node")
        assert message.kernelLogs
        if message.HasField("connection"):
            connection = message.connection.local.ip.port
        assert connection is not None
        yield from ((connection, log.accept.startTime.offset.offset) for log in message.kernelLogs)


def test_one_message_per_connection_with_its_logs_in_order() -> None:
    collected = Assembler()
    collected.append(_tracked([2, 1, 2]))
    collected.append(_tracked([1]))
    assert collected.count == 4
    (batch,) = _flush(collected)
    assert len(batch.messages) == 3
    assert list(_received(batch)) == [(1, 2), (1, 1), (2, 1), (2, 3)]
    assert batch.logs == 4
    assert batch.size == sum(len(message) for message in batch.messages)
    assert collected.count == 0
    assert _flush(collected) == []


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 9), st.integers(1, 30))
def test_bounds_split_streams_and_messages_and_lose_nothing(
    numbers: list[int], connections: int, message_logs: int, stream_logs: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembler, "STREAM_CONNECTIONS", connections)
        patch.setattr(assembler, "MESSAGE_LOGS", message_logs)
        patch.setattr(assembler, "STREAM_LOGS", stream_logs)
        collected = Assembler()
        collected.append(_tracked(numbers))
        batches = _flush(collected)
    received = [log for batch in batches for log in _received(batch)]
    expected = sorted((number, at) for at, number in enumerate(numbers, start=1))
    assert received == expected
    assert sum(batch.logs for batch in batches) == len(numbers)
    assert len({batch.id for batch in batches}) == len(batches)
    for batch in batches:
        messages = [wire.EBPFAccessLogMessage.FromString(message) for message in batch.messages]
        assert sum(message.HasField("connection") for message in messages) <= connections
        assert all(len(message.kernelLogs) <= message_logs for message in messages)


def test_tracked_events_come_out_as_they_would_be_built_field_by_field() -> None:
    world = World()
    tracked = world.track(
        event(EventKind.ACCEPT, inode=1),
        event(EventKind.READ, inode=1, size=300, system_call=3, at=2**50),
        event(EventKind.WRITE, inode=2, size=70_000, system_call=22, remote=("10.0.0.9", 5)),
    )
    collected = Assembler()
    collected.append(tracked)
    (batch,) = _flush(collected, lambda _: b"")
    logs = [log for message in batch.messages for log in wire.EBPFAccessLogMessage.FromString(message).kernelLogs]
    by_view = sorted(tracked.logs, key=lambda log: int(log["view"]))
    assert logs == [plain_kernel_log(log) for log in by_view]


def test_a_connection_without_logs_is_sent_for_its_quality() -> None:
    world = World()
    world.track(event(EventKind.ACCEPT))
    collected = Assembler()
    collected.append(world.track(quality(retransmits_timeout=3)))
    assert (collected.count, collected.size) == (0, 1)
    (batch,) = _flush(collected)
    node, message = (wire.EBPFAccessLogMessage.FromString(message) for message in batch.messages)
    assert (node.node.name, batch.logs) == ("n", 0)
    assert message.connection.local.ip.port == 1
    assert message.quality.retransmitTimeoutCount == 3
    assert _flush(collected) == []


def test_nothing_is_sent_for_a_quality_that_says_nothing() -> None:
    world = World()
    world.track(event(EventKind.ACCEPT))
    collected = Assembler()
    collected.append(world.track(quality()))
    assert _flush(collected) == []


def test_the_quality_goes_with_the_first_message_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "MESSAGE_LOGS", 2)
    collected = Assembler()
    collected.append(World().track(*[event(EventKind.READ, size=1)] * 3, quality(segments_in=9)))
    (batch,) = _flush(collected)
    _, first, second = (wire.EBPFAccessLogMessage.FromString(message) for message in batch.messages)
    assert (len(first.kernelLogs), first.quality.segmentsReceived) == (2, 9)
    assert (len(second.kernelLogs), second.HasField("quality"), second.HasField("connection")) == (1, False, False)
