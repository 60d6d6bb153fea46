import io

from agent.config import Configuration
from agent.discovery.recorded import RecordedHost, RecordingHost
from agent.events.layout import EventKind
from agent.events.recorded_layout import event_layout
from agent.events.recording import Header, RecordingReader, RecordingWriter
from agent.export.accounting import Ledger
from agent.pipeline import Pipeline
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.conntrack.test_table import translation
from tests.agent.synthetic import SECOND, FakeHost, event, events

K = EventKind
POD, SERVICE, BACKEND = ("10.0.0.2", 40000), ("10.96.0.1", 80), ("10.0.1.9", 8080)
CONNECT = event(K.CONNECT, local=POD, remote=SERVICE, namespace=5, at=1000)
WRITE = event(K.WRITE, local=POD, remote=SERVICE, namespace=5, size=1)
TOLD = translation(source=POD, destination=SERVICE, new_destination=BACKEND, seen_ns=2000)


def _pipeline(host: FakeHost | RecordingHost | RecordedHost, messages: list[bytes]) -> Pipeline:
    return Pipeline(
        Configuration(),
        "node-1",
        999,
        host=host,
        ledger=Ledger(),
        deliver=lambda batch: messages.extend(batch.messages),
    )


def _far_ends(messages: list[bytes]) -> list[tuple[str, int]]:
    connections = [wire.EBPFAccessLogMessage.FromString(message) for message in messages]
    return [
        (one.connection.remote.ip.host, one.connection.remote.ip.port)
        for one in connections
        if one.HasField("connection")
    ]


def test_a_connection_is_sent_anew_when_its_far_end_is_known() -> None:
    host, messages = FakeHost(), list[bytes]()
    pipeline = _pipeline(host, messages)
    pipeline.start(0)
    pipeline.step(events(CONNECT, WRITE), SECOND)
    pipeline.flush(SECOND)
    host.learned = [TOLD]
    pipeline.step(WRITE, 2 * SECOND)
    pipeline.flush(2 * SECOND)
    pipeline.step(WRITE, 3 * SECOND)
    pipeline.flush(3 * SECOND)
    assert _far_ends(messages) == [SERVICE, BACKEND, BACKEND]
    assert host.watched == {5: 100}


def test_a_recording_tells_what_the_host_told() -> None:
    host, messages, replayed = FakeHost(), list[bytes](), list[bytes]()
    recording = RecordingHost(host)
    pipeline = _pipeline(recording, messages)
    file = io.BytesIO()
    writer = RecordingWriter(file, Header(node="node-1", agent_process=999, layout=event_layout()))
    pipeline.start(0)
    writer.begin(0, recording.collect())
    for at, happened in enumerate((CONNECT, WRITE, WRITE), start=1):
        if at == 2:
            host.learned = [TOLD]
        pipeline.step(happened, at * SECOND)
        pipeline.flush(at * SECOND)
        writer.step(at * SECOND, happened, recording.collect(), {})
    writer.end(4 * SECOND, recording.collect())

    file.seek(0)
    twin_host = RecordedHost()
    twin = _pipeline(twin_host, replayed)
    for at, moment in enumerate(RecordingReader(file).moments()):
        for answer in moment.answers:
            twin_host.apply(answer)
        if at == 0:
            twin.start(moment.now_ns)
        elif at <= 3:
            twin.step(moment.events, moment.now_ns)
            twin.flush(moment.now_ns)
    assert _far_ends(messages) == [SERVICE, BACKEND, BACKEND]
    assert replayed == messages
