import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.config import AccessLog, Configuration, Flush, Limits
from agent.config_durations import Duration
from agent.discovery.host import SocketScan
from agent.events.layout import EVENT, EventFlag, EventKind
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.pipeline import Pipeline, Report
from protos.common.common_pb2 import DetectPoint
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.synthetic import SECOND, FakeHost, address, event, events, facts, released, socket_facts
from tests.agent.wire_totals import totals_by_service

K = EventKind
NOTHING = np.empty(0, dtype=EVENT)
CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 80)


class Agent:
    """A pipeline over a host made by hand, with what it delivered."""

    def __init__(
        self, *, max_count: int = 1000, period: float = 5, connections: int = 100, report: Report | None = None
    ) -> None:
        self.host = FakeHost()
        self.batches: list[Batch] = []
        self.ledger = Ledger()
        configuration = Configuration(
            access_log=AccessLog(flush=Flush(max_count=max_count, period=Duration(period)), exclude_namespaces="a,b"),
            limits=Limits(connections=connections),
        )
        self.pipeline = Pipeline(
            configuration,
            "node-1",
            999,
            host=self.host,
            ledger=self.ledger,
            deliver=self.batches.append,
            report=report or Reports(due=False),
        )

    def messages(self) -> list[wire.EBPFAccessLogMessage]:
        return [wire.EBPFAccessLogMessage.FromString(message) for batch in self.batches for message in batch.messages]

    def connections(self) -> list[wire.AccessLogConnection]:
        return [message.connection for message in self.messages() if message.HasField("connection")]


def test_a_flush_comes_with_time() -> None:
    agent = Agent(period=5)
    agent.pipeline.start(0)
    agent.pipeline.step(event(K.ACCEPT), 1 * SECOND)
    agent.pipeline.step(NOTHING, 5 * SECOND - 1)
    assert agent.batches == []
    assert agent.pipeline.pending == 1
    agent.pipeline.step(NOTHING, 5 * SECOND)
    assert [batch.logs for batch in agent.batches] == [1]
    agent.pipeline.step(NOTHING, 10 * SECOND)
    assert len(agent.batches) == 1  # nothing to send, nothing sent


def test_a_flush_comes_with_a_number_of_logs() -> None:
    agent = Agent(max_count=3)
    agent.pipeline.start(0)
    agent.pipeline.step(events(*[event(K.READ, size=1)] * 2), 1)
    assert agent.batches == []
    agent.pipeline.step(event(K.READ, size=1), 2)
    assert [batch.logs for batch in agent.batches] == [3]
    agent.pipeline.step(events(*[event(K.READ, size=1)] * 7), 3)
    assert [batch.logs for batch in agent.batches] == [3, 3, 3]
    assert agent.pipeline.pending == 1


class Reports:
    """Says what it is asked, when it is due."""

    def __init__(self, *, due: bool = True) -> None:
        self.due = due
        self.asked: list[tuple[int, bool]] = []

    def __call__(self, now_ns: int, *, alone: bool) -> bytes:
        self.asked.append((now_ns, alone))
        report = wire.PyroverAgentReport(capturedLogs=now_ns)
        due, self.due = self.due, False
        return wire.EBPFAccessLogMessage(agentReport=report).SerializeToString() if due else b""


def test_the_network_namespace_of_a_connection_is_told_while_its_process_is_there() -> None:
    agent = Agent()
    agent.pipeline.start(0)
    agent.pipeline.step(event(K.CONNECT, namespace=7), 1)
    assert agent.host.watched == {7: 100}


def test_a_report_of_the_agent_goes_with_the_node() -> None:
    reports = Reports()
    agent = Agent(report=reports)
    agent.pipeline.start(0)
    for at in (1, 2):
        agent.pipeline.step(event(K.ACCEPT, inode=at), at)
        agent.pipeline.flush(at)
    assert reports.asked == [(1, False), (1, True), (2, False), (2, True)]
    first, *others = agent.messages()
    assert (first.node.name, first.agentReport.capturedLogs) == ("node-1", 1)
    assert len(others) == 3
    assert not any(message.HasField("agentReport") for message in others)


def test_a_report_without_logs_is_a_stream_of_its_own() -> None:
    reports = Reports()
    agent = Agent(period=5, report=reports)
    agent.pipeline.start(0)
    agent.pipeline.step(NOTHING, 5 * SECOND)
    (batch,) = agent.batches
    (message,) = agent.messages()
    assert (batch.logs, message.node.name, message.agentReport.capturedLogs) == (0, "node-1", 5 * SECOND)
    agent.pipeline.step(NOTHING, 10 * SECOND)
    assert reports.asked == [(5 * SECOND, True), (10 * SECOND, True)]
    assert len(agent.batches) == 1
    assert agent.ledger.balance().captured == 0


def test_the_node_begins_each_stream() -> None:
    agent = Agent()
    agent.pipeline.start(0)
    for at in (1, 2):
        agent.pipeline.step(event(K.ACCEPT, inode=at), at)
        agent.pipeline.flush(at)
    first, second = (wire.EBPFAccessLogMessage.FromString(batch.messages[0]).node for batch in agent.batches)
    assert first == second
    assert (first.name, list(first.policy.excludeNamespaces)) == ("node-1", ["a", "b"])
    assert first.bootTime.seconds == 1_700_000_000
    assert [interface.name for interface in first.netInterfaces] == ["lo"]
    assert list(first.addresses) == []


def test_the_node_tells_the_addresses_that_it_has_at_that_time() -> None:
    agent = Agent()
    agent.pipeline.start(0)
    many = [f"10.0.{at >> 8}.{at & 255}" for at in range(1, 300)]
    for at, texts in enumerate((["127.0.0.1", "10.1.2.3", "fe80::1"], ["2001:db8::7"], many)):
        agent.host.own_addresses = tuple(map(address, texts))
        agent.pipeline.step(event(K.ACCEPT, inode=at), at)
        agent.pipeline.flush(at)
    nodes = [wire.EBPFAccessLogMessage.FromString(batch.messages[0]).node for batch in agent.batches]
    assert [list(node.addresses) for node in nodes] == [["10.1.2.3"], ["2001:db8::7"], many[:256]]
    assert agent.pipeline.addresses.losses() == {"node addresses without room": 43}


def test_both_ends_of_a_local_connection_name_each_other_and_the_names_outlive_them() -> None:
    agent = Agent()
    agent.host.processes = {1: facts(1, "/bin/client"), 2: facts(2, "/bin/server")}
    agent.pipeline.start(0)
    agent.pipeline.step(
        events(
            event(K.CONNECT, process=1, inode=1, local=CLIENT, remote=SERVER),
            released(process=1, inode=1),
            event(K.ACCEPT, process=2, inode=2, local=SERVER, remote=CLIENT),
            released(process=2, inode=2),
            event(K.PROCESS_EXIT, process=1),
        ),
        1,
    )
    agent.pipeline.flush(2)
    ends = [(end.local.kubernetes.serviceName, end.remote.kubernetes.serviceName) for end in agent.connections()]
    assert ends == [("client", "server"), ("server", "client")]


def test_a_peer_that_was_not_known_is_looked_for_again_and_less_and_less_often() -> None:
    agent = Agent()
    agent.host.processes = {1: facts(1, "/bin/client"), 999: facts(999, "/bin/python3")}
    agent.pipeline.start(0)
    scans_at = []
    for second in range(1, 40):
        agent.pipeline.step(event(K.READ, process=1, local=SERVER, remote=CLIENT, size=1), second * SECOND)
        before = agent.host.asked.count("sockets")
        agent.pipeline.flush(second * SECOND)
        if agent.host.asked.count("sockets") > before:
            scans_at.append(second)
    assert scans_at == [2, 6, 14, 30]
    assert agent.connections()[-1].remote.ip.host == "127.0.0.1"
    agent.host.scan = SocketScan((socket_facts(9, CLIENT, SERVER, owners=((999, 3),)),), {1: ()})
    agent.pipeline.step(event(K.READ, process=1, local=SERVER, remote=CLIENT, size=1), 99 * SECOND)
    agent.pipeline.flush(99 * SECOND)
    assert agent.connections()[-1].remote.kubernetes.serviceName == "pyrover-agent"


def test_a_connection_open_before_the_start_is_reported_when_it_closes() -> None:
    agent = Agent()
    agent.host.processes = {2: facts(2, "/bin/server")}
    listener, connection = socket_facts(8, SERVER, owners=((2, 3),)), socket_facts(9, SERVER, CLIENT, owners=((2, 4),))
    agent.host.scan = SocketScan((listener, connection), {1: ()})
    agent.pipeline.start(0)
    agent.pipeline.step(released(process=2, inode=9, descriptor=4), 1)
    agent.pipeline.flush(2)
    (sent,) = agent.connections()
    assert sent.role == DetectPoint.server
    assert sent.local.kubernetes.serviceName == "server"
    assert totals_by_service(agent.batches[0].messages) == {"server": {"closes": 1}}


def test_a_name_that_changes_changes_the_connection_that_is_sent() -> None:
    agent = Agent()
    agent.pipeline.start(0)
    for at, name in enumerate(("sh", "curl"), start=1):
        agent.host.processes[1] = facts(1, f"/bin/{name}")
        agent.pipeline.step(event(K.WRITE, process=1, size=1, command=name.encode()), at)
        agent.pipeline.flush(at)
    assert [end.local.kubernetes.serviceName for end in agent.connections()] == ["sh", "curl"]


_EVENT = st.builds(
    event,
    st.sampled_from(list(K)),
    process=st.integers(1, 3),
    inode=st.integers(1, 6),
    descriptor=st.integers(3, 5),
    result=st.sampled_from([0, -111, 4]),
    size=st.integers(1, 9),
    remote=st.sampled_from([("10.0.0.1", 80), SERVER]),
    protocol=st.sampled_from([6, 17]),
    flags=st.sampled_from([0, EventFlag.LAST_REFERENCE]),
)


@given(
    steps=st.lists(st.lists(_EVENT, max_size=15), max_size=8),
    max_count=st.integers(1, 20),
    connections=st.integers(1, 5),
)
def test_every_captured_log_is_pending_or_delivered_and_every_transferred_byte_arrives(
    steps: list[list[np.ndarray]], max_count: int, connections: int
) -> None:
    agent = Agent(max_count=max_count, connections=connections)
    agent.pipeline.start(0)
    for at, step in enumerate(steps, start=1):
        agent.pipeline.step(events(*step), at * SECOND)
        handed_on = sum(batch.logs for batch in agent.batches)
        assert agent.ledger.balance().captured == agent.pipeline.pending + handed_on
    agent.pipeline.flush(100 * SECOND)
    messages = [message for batch in agent.batches for message in batch.messages]
    assert sum(len(message.kernelLogs) for message in agent.messages()) == agent.ledger.balance().captured
    whole = events(*[one for step in steps for one in step])
    read = sum(counts["bytes_read"] for counts in totals_by_service(messages).values())
    assert read == int(whole["bytes"][whole["kind"] == K.READ].sum())
