"""From streams to the book: what the receiver says of who sent, and that it takes nothing from the logs."""

from pathlib import Path

import grpc
import pytest
from hypothesis import given

from backend.agents.book import AgentBook
from backend.ingest.batch import Node
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from backend.server.access_logs import AccessLogService
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage, PyroverAgentReport
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests import patient
from tests.backend.agents.reports import agent_report, serialised
from tests.backend.ingest.messages import message, random_message, read_log
from tests.backend.server.processes import backend
from tests.backend.server.support import Collecting, receiving


class Heard:
    """What a stream said of its node."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes | None]] = []

    def __call__(self, node: Node, report: bytes | None) -> None:
        self.told.append((node.name, report))


def reporting(node: str, told: int, ring_full: int = 0) -> EBPFAccessLogMessage:
    """A message as an agent begins a stream with."""
    made = message(node=node)
    made.agentReport.CopyFrom(agent_report(told, ring_full))
    return made


def test_each_message_with_a_node_is_told_with_its_report() -> None:
    heard = Heard()
    stream = LogStream(Interner(), hear=heard)
    logs = message(read_log(), remote="10.0.0.2")
    sent = [reporting("a", 100, 1), logs, message(read_log(), node="b", remote="10.0.0.2"), reporting("a", 130, 2)]
    stream.take(Frames.of([item.SerializeToString() for item in sent]))
    assert heard.told == [("a", serialised(100, 1)), ("b", None), ("a", serialised(130, 2))]


def test_a_report_that_comes_in_two_pieces_is_one() -> None:
    heard = Heard()
    whole = reporting("a", 100, 1)
    rest = EBPFAccessLogMessage(agentReport=PyroverAgentReport(spoolBytes=9))
    LogStream(Interner(), hear=heard).take(Frames.of([whole.SerializeToString() + rest.SerializeToString()]))
    ((_, report),) = heard.told
    assert report is not None
    expected = agent_report(100, 1)
    expected.spoolBytes = 9
    assert PyroverAgentReport.FromString(report) == expected


def test_without_a_node_a_report_says_nothing() -> None:
    heard = Heard()
    stream = LogStream(Interner(), hear=heard)
    stream.take(Frames.of([EBPFAccessLogMessage(agentReport=agent_report(1)).SerializeToString()]))
    assert heard.told == []
    assert not stream.counts.lost_messages


@pytest.mark.parametrize("damaged", [b"\xa2\x3f\x01\x80", b"\xa2\x3f\x03\x1a\x01\xff"])
def test_a_damaged_report_makes_the_message_a_refused_one(damaged: bytes) -> None:
    heard = Heard()
    stream = LogStream(Interner(), hear=heard)
    stream.take(Frames.of([message(node="a").SerializeToString() + damaged]))
    assert heard.told == []
    assert stream.counts.lost_messages.total() == 1


@given(random_message())
def test_what_protobuf_reads_is_what_is_told(sent: EBPFAccessLogMessage) -> None:
    heard = Heard()
    LogStream(Interner(), hear=heard).take(Frames.of([sent.SerializeToString()]))
    if not sent.HasField("node"):
        assert heard.told == []
        return
    ((name, report),) = heard.told
    assert name == sent.node.name
    assert (report is not None) == sent.HasField("agentReport")
    if report is not None:
        assert PyroverAgentReport.FromString(report) == sent.agentReport
        AgentBook().hear(Node("n", "", 0, {}), report)


async def test_a_stream_of_a_report_alone_is_answered_and_stores_nothing() -> None:
    sink, book = Collecting(), AgentBook()
    service = AccessLogService(sink, hear=book.hear)
    async with receiving(service) as receiver, grpc.aio.insecure_channel(receiver.address) as channel:
        await EBPFAccessLogServiceStub(channel).collect(iter([reporting("idle", 100)]))
    assert [agent.node for agent in book.agents() if agent.report] == ["idle"]
    assert (sink.batches, service.broken_streams, service.counts.messages) == ([], 0, 1)
    assert not service.counts.lost_messages


def test_a_running_backend_gives_the_agents(tmp_path: Path) -> None:
    with backend(tmp_path / "data") as (_, addresses):
        with grpc.insecure_channel(addresses["grpc"].removeprefix("http://")) as channel:
            collect = EBPFAccessLogServiceStub(channel).collect
            collect(iter([reporting("node-1", 1_800_000_000, 10)]))
            collect(iter([reporting("node-1", 1_800_000_030, 25), message(node="rover")]))
        agents = patient.get(f"{addresses['http']}/api/agents").json()["agents"]
        figures = patient.get(f"{addresses['http']}/metrics").text.splitlines()
    assert [(agent["node"], agent["is_silent"], agent["report"] is not None) for agent in agents] == [
        ("node-1", False, True),
        ("rover", False, False),
    ]
    assert agents[0]["report"]["losses"][0] == {
        "kind": "events",
        "part": "",
        "cause": "ring_full",
        "count": 25,
        "per_minute": 30.0,
    }
    assert 'pyrover_backend_agents{state="heard"} 2.0' in figures
    assert 'pyrover_backend_agent_hooks_attached{cluster="",node="node-1"} 56.0' in figures
