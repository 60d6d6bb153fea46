"""A run over a host made by hand, recorded; its replay gives the same bytes."""

import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.commands.replay import play
from agent.config import Configuration
from agent.discovery.host import Interface
from agent.discovery.recorded import RecordingHost
from agent.events.layout import STAGES, EventFlag, EventKind, Events
from agent.events.recorded_layout import event_layout
from agent.events.recording import Header, RecordingReader, RecordingWriter
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.pipeline import Pipeline
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.synthetic import SECOND, FakeHost, address, event, events, quality

K = EventKind
OWN, POD = 1, 7
NUMBERS = st.integers(0, 9)


@st.composite
def _any_event(draw: st.DrawFn) -> Events:
    kind = draw(st.sampled_from([K.CONNECT, K.WRITE, K.READ, K.CLOSE, K.LATE_WRITE, K.LATE_READ, K.QUALITY]))
    where: dict[str, Any] = {"inode": draw(st.integers(1, 3)), "namespace": draw(st.sampled_from([OWN, POD, 8]))}
    if kind is K.QUALITY:
        return quality(draw(st.dictionaries(NUMBERS, NUMBERS, max_size=3)), **where)
    stages: dict[str, Any] = {name: draw(NUMBERS) for name in ("packages", "interface", "l3_ns", "late_packages")}
    return event(kind, **where, **stages, flags=draw(st.sampled_from([0, EventFlag.PACKAGES_COUNTED])))


@settings(deadline=None)
@given(st.lists(st.lists(_any_event(), max_size=8), max_size=6), st.lists(st.integers(0, 20), max_size=6))
def test_a_replay_gives_the_bytes_of_the_run(steps: list[list[Events]], pauses: list[int]) -> None:
    host = FakeHost()
    recording, file, sent = RecordingHost(host), io.BytesIO(), list[Batch]()
    writer = RecordingWriter(file, Header(node="n", agent_process=9, layout=event_layout()))
    pipeline = Pipeline(Configuration(), "n", 9, host=recording, ledger=Ledger(), deliver=sent.append)
    now = SECOND
    pipeline.start(now)
    writer.begin(now, recording.collect())
    for at, step in enumerate(steps):
        now += SECOND * (pauses[at] if at < len(pauses) else 5)
        if at == 2:
            host.namespace_interfaces[POD] = (Interface(3, 1500, "eth0"),)
            host.own_addresses = (address("10.0.0.7"), address("2001:db8::7"))
        pipeline.step(events(*step), now)
        writer.step(now, events(*step), recording.collect(), {})
    pipeline.flush(now)
    writer.end(now, recording.collect())

    file.seek(0)
    replayed: list[Batch] = []
    play(RecordingReader(file), Configuration(), Ledger(), replayed.append)
    assert [batch.messages for batch in replayed] == [batch.messages for batch in sent]


def test_names_of_interfaces_and_drops_are_those_of_the_recorded_run() -> None:
    file = io.BytesIO()
    host = FakeHost()
    host.namespace_interfaces[POD] = (Interface(2, 1400, "eth0"),)
    recording = RecordingHost(host)
    writer = RecordingWriter(file, Header(node="n", agent_process=9, layout=event_layout()))
    pipeline = Pipeline(Configuration(), "n", 9, host=recording, ledger=Ledger(), deliver=lambda _: None)
    pipeline.start(1)
    writer.begin(1, recording.collect())
    stages: dict[str, Any] = dict.fromkeys(STAGES.names or (), 2)
    taken = events(event(K.WRITE, namespace=POD, size=1, **stages), quality({11: 3}, namespace=POD))
    pipeline.step(taken, 2)
    writer.step(2, taken, recording.collect(), {})
    pipeline.flush(3)
    writer.end(3, recording.collect())
    file.seek(0)
    messages: list[wire.EBPFAccessLogMessage] = []
    play(
        RecordingReader(file),
        Configuration(),
        Ledger(),
        lambda batch: messages.extend(map(wire.EBPFAccessLogMessage.FromString, batch.messages)),
    )
    node, message = messages
    (log,) = message.kernelLogs
    names = {interface.index: interface.name for interface in node.node.netInterfaces}
    assert names[log.write.l2Metrics.ifindex] == "eth0"
    assert names[1] == "lo"
    (loss,) = log.write.l4Metrics.lossPackageMetrics
    assert (loss.location, loss.count) == ("NETFILTER_DROP", 3)
    assert host.asked.count("drop_reasons") == 1
