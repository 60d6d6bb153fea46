import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPVS, IPVSDest, IPVSService

from agent.conntrack.translation import Translation
from agent.conntrack.watcher import ConntrackWatcher
from tests.agent.conntrack import network
from tests.agent.conntrack.network import Exchange, as_bytes
from tests.waiting import until

COUNT = 40
TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP

pytestmark = pytest.mark.kernel

if reason := network.reason_to_skip():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    with network.network(), network.translation():
        yield


class Watching:
    """A watcher and everything that it said."""

    def __init__(self, watcher: ConntrackWatcher) -> None:
        self.watcher = watcher
        self.heard: list[Translation] = []

    def of(self, exchanges: list[Exchange], *, protocol: int = TCP, ended: bool = False) -> list[Translation]:
        """Those of some connections; others of the other protocol may have the same ends."""
        self.heard += self.watcher.take({})
        ends = {(protocol, as_bytes(one.local), as_bytes(one.remote)) for one in exchanges}
        return [one for one in self.heard if (one.protocol, one.source, one.destination) in ends and one.ended == ended]


@pytest.fixture
def watching() -> Iterator[Watching]:
    watcher = ConntrackWatcher("/proc", 8)
    watcher.start()
    until(lambda: watcher.watched)
    watcher.take({})  # of earlier tests, whose ports may come again
    yield Watching(watcher)
    watcher.close()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("place", [network.SERVICE, network.NODE_PORT], ids=["service", "node port"])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_every_translated_connection_is_told_with_both_new_ends(
    watching: Watching, version: int, place: dict[int, tuple[str, int]], protocol: int
) -> None:
    if protocol == UDP and place is network.NODE_PORT:
        pytest.skip("the node port is one of TCP")
    options = ["--udp"] if protocol == UDP else []
    with network.servers(version) as server, network.client(network.POD, place[version], COUNT, *options) as client:
        made, accepted = client.exchanges(), server.exchanges()
        until(lambda: len(watching.of(made, protocol=protocol)) == COUNT)
    told = {(one.source, one.destination): one for one in watching.of(made, protocol=protocol)}
    seen_by_server = {one.number: one for one in accepted}
    for one in made:
        translation = told[as_bytes(one.local), as_bytes(one.remote)]
        there = seen_by_server[one.number]
        assert translation.protocol == protocol
        assert translation.new_destination == as_bytes(there.local)
        assert translation.new_source == as_bytes(there.remote)
        assert translation.namespace == Path("/proc/self/ns/net").stat().st_ino  # as the tests, so the node
        assert translation.of_host
    assert len({translation.new_destination for translation in told.values()}) > 3  # of six
    assert watching.watcher.losses() == {}


def test_what_is_not_translated_does_not_wake_the_agent(watching: Watching) -> None:
    address = network.BACKEND_ADDRESSES[4][0], network.BACKEND_PORTS[0]
    with network.servers(4), network.client(network.POD, address, COUNT) as client:
        client.exchanges()
        with network.client(network.POD, network.SERVICE[4], 1) as last:
            marker = last.exchanges()
            until(lambda: watching.of(marker))
    assert [one for one in watching.heard if one.destination == as_bytes(address)] == []


def test_connections_from_before_the_start_are_told() -> None:
    with network.servers(4), network.client(network.POD, network.SERVICE[4], COUNT, "--hold") as client:
        made = client.exchanges()
        watcher = ConntrackWatcher("/proc", 8)
        watcher.start()
        watching = Watching(watcher)
        try:
            until(lambda: len(watching.of(made)) == COUNT)
        finally:
            watcher.close()


def test_the_kernels_forgetting_is_told(watching: Watching) -> None:
    with network.servers(4), network.client(network.POD, network.SERVICE[4], 3, "--hold") as client:
        made = client.exchanges()
        until(lambda: len(watching.of(made)) == 3)
        before = watching.of(made)
    network.forget_connections(network.SERVICE[4])
    until(lambda: len(watching.of(made, ended=True)) == 3)
    assert sorted(one.id for one in watching.of(made, ended=True)) == sorted(one.id for one in before)


@pytest.fixture
def virtual_service() -> Iterator[tuple[str, int]]:
    """A service of IPVS with every backend, as kube-proxy makes them in that mode."""
    subprocess.run(["modprobe", "ip_vs_rr"], capture_output=True, check=False)
    setting = Path("/proc/sys/net/ipv4/vs/conntrack")
    if not setting.exists():
        pytest.skip("this kernel has no IPVS")
    before, place = setting.read_text(), ("10.213.98.1", 80)
    setting.write_text("1")
    network.run("ip", "addr", "add", f"{place[0]}/32", "dev", "lo")
    service = IPVSService(addr=place[0], port=place[1], protocol=socket.IPPROTO_TCP, sched_name="rr")
    with IPVS() as ipvs:
        ipvs.service("add", service=service)
        for address in network.BACKEND_ADDRESSES[4]:
            for port in network.BACKEND_PORTS:
                ipvs.dest("add", service=service, dest=IPVSDest(addr=address, port=port, fwd_method=0))
        yield place
        ipvs.service("del", service=service)
    network.run("ip", "addr", "delete", f"{place[0]}/32", "dev", "lo")
    setting.write_text(before)


def test_what_ipvs_translates_is_told(watching: Watching, virtual_service: tuple[str, int]) -> None:
    with network.servers(4) as server, network.client(network.POD, virtual_service, COUNT) as client:
        made, accepted = client.exchanges(), server.exchanges()
        until(lambda: len(watching.of(made)) == COUNT)
    told = {one.source: one.new_destination for one in watching.of(made)}
    there = {one.number: one for one in accepted}
    assert told == {as_bytes(one.local): as_bytes(there[one.number].local) for one in made}
    assert len(set(told.values())) == 6
