"""The real far end behind a service address, on the wire, as the far end itself says it for every connection."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.config import Configuration
from agent.conntrack.translation import Translation
from agent.conntrack.watcher import ConntrackWatcher
from agent.discovery.go_programs import GoPrograms
from agent.discovery.procfs import ProcHost
from agent.discovery.recorded import RecordedHost, RecordingHost
from agent.export.accounting import Ledger
from agent.kernel.source import KernelSource
from agent.pipeline import Pipeline
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.conntrack import network
from tests.agent.conntrack.network import Endpoint, Exchange
from tests.waiting import until

pytestmark = pytest.mark.kernel
COUNT = 60
LOGS = 4
"""Of a connection: connect, write, read, close."""
MODULES = ("nft_masq", "nft_redir", "nft_nat", "nft_chain_nat", "nft_ct", "nf_conntrack_netlink", "nf_nat")
TRACKING = Path("/proc/sys/net/netfilter/nf_conntrack_count")

if reason := network.reason_to_skip():
    pytest.skip(reason, allow_module_level=True)


class Translations:
    """What a watcher tells, unless the test has it wait."""

    def __init__(self, watcher: ConntrackWatcher) -> None:
        self.watcher = watcher
        self.waits = False

    def take(self, namespaces: Mapping[int, int]) -> list[Translation]:
        return [] if self.waits else self.watcher.take(namespaces)


class Agent:
    """The agent over the real kernel, watching chosen clients; their far ends it knows by address alone.

    Its twin is fed with the same events and with what the host answered, as a replay is.
    """

    def __init__(self, source: KernelSource, *, enabled: bool = True, excluded: tuple[int, ...] = ()) -> None:
        self.source = source
        self.watcher = ConntrackWatcher("/proc", 8)
        self.translations = Translations(self.watcher)
        # Its process is ended with the agent: machines have their files on one that may be silent.
        self._go_programs = GoPrograms()
        translations = self.translations if enabled else None
        self.host = RecordingHost(ProcHost(excluded=excluded, translations=translations, go_programs=self._go_programs))
        self.messages: list[bytes] = []
        self.replayed: list[bytes] = []
        self.pipeline = self._pipeline(self.host, self.messages)
        self._twin_host = RecordedHost()
        self._twin = self._pipeline(self._twin_host, self.replayed)
        self.watcher.start()
        self._at(lambda pipeline: pipeline.start(1))

    def _pipeline(self, host: RecordingHost | RecordedHost, messages: list[bytes]) -> Pipeline:
        return Pipeline(
            Configuration(),
            "node",
            os.getpid(),
            host=host,
            ledger=Ledger(),
            deliver=lambda batch: messages.extend(batch.messages),
        )

    def _at(self, moment: Callable[[Pipeline], None]) -> None:
        """Do something, and the same with what the host answered."""
        moment(self.pipeline)
        for answer in self.host.collect():
            self._twin_host.apply(answer)
        moment(self._twin)

    def step(self) -> None:
        self.source.wait(0.05)
        events = self.source.take()
        self._at(lambda pipeline: pipeline.step(events, 1))

    def send(self, logs: int) -> None:
        """Take in and send what happens until there are so many logs, and what follows it at once."""

        def are_there() -> bool:
            self.step()
            return self.pipeline.pending >= logs

        self.messages.clear()
        self.replayed.clear()
        until(are_there)
        self.step()
        self._at(lambda pipeline: pipeline.flush(1))

    def far_ends(self) -> dict[int, list[tuple[str, int]]]:
        """By local port, the far ends of its connections as they were sent, in the order of their connects."""
        found: dict[int, list[tuple[int, tuple[str, int]]]] = {}
        for serialised in self.messages:
            message = wire.EBPFAccessLogMessage.FromString(serialised)
            if message.HasField("connection"):
                times = [log.connect.startTime.offset.offset for log in message.kernelLogs if log.HasField("connect")]
                remote = message.connection.remote
                assert remote.HasField("ip"), "the far end was to be known by address alone"
                local = message.connection.local.kubernetes.port
                found.setdefault(local, []).append((min(times, default=0), (remote.ip.host, remote.ip.port)))
        return {port: [end for _, end in sorted(ends)] for port, ends in found.items()}

    def close(self) -> None:
        self.watcher.close()
        self._go_programs.close()


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    with network.network():
        yield


@contextmanager
def watched(source: KernelSource, *clients: Endpoint, servers: Endpoint, enabled: bool = True) -> Iterator[Agent]:
    """An agent that sees these clients; when the node has connection tracking, it listens to that already."""
    source.take()
    for client in clients:
        source.choose(client.pid)
    agent = Agent(source, enabled=enabled, excluded=(servers.pid,))
    try:
        until(lambda: agent.watcher.watched or not TRACKING.exists())
        yield agent
    finally:
        agent.close()


def assert_right(agent: Agent, made: list[Exchange], accepted: list[Exchange]) -> None:
    assert agent.replayed == agent.messages
    there = {one.number: one for one in accepted}
    expected: dict[int, list[tuple[str, int]]] = {}
    for one in made:
        expected.setdefault(one.local[1], []).append(there[one.number].local)
    assert agent.far_ends() == expected


def test_connection_tracking_that_is_loaded_after_the_agent(stages_source: KernelSource) -> None:
    for module in (*MODULES, "nf_conntrack"):
        subprocess.run(["modprobe", "--remove", module], capture_output=True, check=False)
    if TRACKING.exists():
        pytest.skip("connection tracking is built into this kernel or in use")
    with (
        network.servers(4) as server,
        network.client(network.POD, network.SERVICE[4], COUNT) as client,
        watched(stages_source, client, servers=server) as agent,
    ):
        until(lambda: agent.watcher.reviews >= 2)
        assert not TRACKING.exists()  # looking for it does not load it
        assert agent.watcher.watched == frozenset()
        with network.translation():
            assert TRACKING.exists()
            made = client.exchanges()
            until(lambda: agent.watcher.watched)
            agent.send(LOGS * COUNT)
            assert_right(agent, made, server.exchanges())


@pytest.fixture
def translated() -> Iterator[None]:
    with network.translation():
        yield


@pytest.mark.usefixtures("translated")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("place", [network.SERVICE, network.NODE_PORT], ids=["service", "node port"])
@pytest.mark.parametrize("namespace", [network.POD, ""], ids=["from a pod", "from the node"])
def test_every_connection_has_the_far_end_that_accepted_it(
    stages_source: KernelSource, version: int, place: dict[int, tuple[str, int]], namespace: str
) -> None:
    with (
        network.servers(version) as server,
        network.client(namespace, place[version], COUNT) as client,
        watched(stages_source, client, servers=server) as agent,
    ):
        made = client.exchanges()
        agent.send(LOGS * COUNT)
        accepted = server.exchanges()
        assert_right(agent, made, accepted)
        assert len({one.local for one in accepted}) > 3  # of six


@pytest.mark.usefixtures("translated")
def test_connections_of_one_port_keep_each_its_own_far_end(stages_source: KernelSource) -> None:
    with (
        network.servers(4) as server,
        network.client(network.POD, network.SERVICE[4], COUNT, "--same-port", "4321") as client,
        watched(stages_source, client, servers=server) as agent,
    ):
        made = client.exchanges()
        agent.send(LOGS * COUNT)
        assert_right(agent, made, server.exchanges())
        assert list(agent.far_ends()) == [4321]


@pytest.mark.usefixtures("translated")
def test_datagrams(stages_source: KernelSource) -> None:
    with (
        network.servers(4) as server,
        network.client(network.POD, network.SERVICE[4], COUNT, "--udp") as client,
        watched(stages_source, client, servers=server) as agent,
    ):
        made = client.exchanges()
        agent.send(LOGS * COUNT)
        assert_right(agent, made, server.exchanges())


@pytest.mark.usefixtures("translated")
def test_a_head_that_was_sent_before_its_translation_was_read_is_sent_anew(stages_source: KernelSource) -> None:
    with (
        network.servers(4) as server,
        network.client(network.POD, network.SERVICE[4], COUNT, "--hold") as client,
        watched(stages_source, client, servers=server) as agent,
    ):
        agent.translations.waits = True
        made = client.exchanges()
        agent.send((LOGS - 1) * COUNT)
        assert {end for ends in agent.far_ends().values() for end in ends} == {network.SERVICE[4]}
        agent.translations.waits = False
        client.exchanges()
        agent.send(2 * COUNT)
        assert_right(agent, made, server.exchanges()[:COUNT])


@pytest.mark.usefixtures("translated")
def test_connections_from_before_the_agent(stages_source: KernelSource) -> None:
    with network.servers(4) as server, network.client(network.POD, network.SERVICE[4], COUNT, "--hold") as client:
        made = client.exchanges()
        with watched(stages_source, client, servers=server) as agent:
            until(lambda: agent.watcher.watched)
            client.exchanges()
            agent.send(2 * COUNT)
            assert_right(agent, made, server.exchanges()[:COUNT])


@pytest.mark.usefixtures("translated")
def test_switched_off_the_far_end_is_the_address_that_was_asked_for(stages_source: KernelSource) -> None:
    with (
        network.servers(4) as server,
        network.client(network.POD, network.SERVICE[4], COUNT) as client,
        watched(stages_source, client, servers=server, enabled=False) as agent,
    ):
        client.exchanges()
        agent.send(LOGS * COUNT)
        assert {end for ends in agent.far_ends().values() for end in ends} == {network.SERVICE[4]}
