"""Counts of every stage against nftables' counters, a packet capture, /proc/net/snmp and TCP_INFO."""

from dataclasses import dataclass

import pytest

from agent.events.layout import EventKind
from agent.kernel.source import KernelSource
from tests.vm.hosts import Exchange, Host, offloads
from tests.vm.watching import RECEIVED, SENT, Story, assert_layers_nest

pytestmark = pytest.mark.kernel


@dataclass(frozen=True)
class Told:
    """What was said of one exchange, by the programs and by everybody else."""

    story: Story
    total: int
    port: int
    opened: int
    accepted: int
    out: dict[str, tuple[int, int]]
    back: dict[str, tuple[int, int]]
    lines: list[str]
    out_segments: int
    at_client: dict[str, int]
    at_server: dict[str, int]


HANDSHAKE_BEFORE_SOCKET = 2
"""Packets to an accepted connection that precede its socket: the SYN, and the acknowledgement that makes the socket."""
MEGABYTE = 1 << 20


@pytest.fixture
def probes(stages_source: KernelSource) -> None:
    """Skip where function probes are not to be had: tracepoints alone do not show L3."""
    if not stages_source.coverage.has("network_transmit"):
        pytest.skip("needs kprobes or fentry")


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("large", [True, False], ids=["offloaded", "segmented"])
def test_every_package_of_known_writes(
    story: Story,
    hosts: tuple[Host, Host],
    version: int,
    large: bool,  # noqa: FBT001 # pytest gives it by name
) -> None:
    told = exchange_known_writes(story, hosts, version, large=large)
    assert_counts(told)
    if not large:
        assert_segments(told)
    assert_places(told, *hosts)
    assert_times(told)


def exchange_known_writes(story: Story, hosts: tuple[Host, Host], version: int, *, large: bool) -> Told:
    """Four writes of known sizes, and one back."""
    client, server = hosts
    offloads(hosts, on=large)
    if not large:
        for host in hosts:
            host.run("ip", "link", "set", "eth0", "gso_max_segs", "1")
    total = 0
    with Exchange(client, version) as sender, Exchange(server, version) as receiver:
        for exchange in (sender, receiver):
            story.source.choose(exchange.process)
        port = receiver.do("listen", host=server.address(version))["port"]
        for host in hosts:
            host.count_port(port)
        before = client.snmp()
        with client.capture(f"tcp port {port}") as captured:
            opened = sender.do("connect", host=server.address(version), port=port)
            accepted = receiver.do("accept")
            for size in (1, opened["mss"], MEGABYTE, 16 * MEGABYTE if large else 4 * MEGABYTE):
                receiver.begin("read", size=size)
                assert sender.do("write", size=size)["moved"] == [size]
                receiver.end()
                total += size
            receiver.do("write", size=777)
            sender.do("read", size=777)
            sender.do("shut")
            assert receiver.do("read_to_end") == {"bytes": 0}
            at_server = receiver.do("close")
            assert sender.do("read_to_end") == {"bytes": 0}
            at_client = sender.do("close")
            story.until_gone(opened["inode"], accepted["inode"])
        after = client.snmp()
    return Told(
        story,
        total,
        port,
        opened["inode"],
        accepted["inode"],
        client.counted(),
        server.counted(),
        captured.lines,
        after["OutSegs"] - before["OutSegs"],
        at_client,
        at_server,
    )


def assert_counts(told: Told) -> None:
    """nftables saw each package at both of its hooks; TCP_INFO knows what was sent again."""
    story, out, back = told.story, told.out, told.back
    sent, answered = story.sums(told.opened, *SENT), story.sums(told.accepted, *SENT)
    assert sent["packages"] == out["output dport"][0]
    assert sent["netfilters"] == out["output dport"][0] + out["postrouting dport"][0]
    assert sent["queued"] == out["postrouting dport"][0]
    assert sent["package_bytes"] == told.total + told.at_client["retransmitted_bytes"]
    assert answered["packages"] == back["output sport"][0] - 1  # the SYN-ACK
    assert answered["package_bytes"] == 777 + told.at_server["retransmitted_bytes"]
    received, heard = story.sums(told.accepted, *RECEIVED), story.sums(told.opened, *RECEIVED)
    assert received["packages"] == back["input dport"][0] - HANDSHAKE_BEFORE_SOCKET
    assert received["netfilters"] == sum(
        back[f"{hook} dport"][0] - HANDSHAKE_BEFORE_SOCKET for hook in ("prerouting", "input")
    )
    assert told.total <= received["package_bytes"] <= sent["package_bytes"]
    assert heard["packages"] == out["input sport"][0]
    assert heard["netfilters"] == out["prerouting sport"][0] + out["input sport"][0]
    assert heard["package_bytes"] == answered["package_bytes"]


def assert_segments(told: Told) -> None:
    """With a segment a package, the capture, /proc/net/snmp and TCP_INFO have the same number."""
    sent, heard = told.story.sums(told.opened, *SENT), told.story.sums(told.opened, *RECEIVED)
    segments = [line for line in told.lines if f".{told.port}:" in line]
    again = told.at_client["total_retransmits"]
    assert sent["packages"] == len(segments) == told.at_client["segments_out"]
    assert sent["packages"] == told.out_segments + again
    assert sent["retransmits"] == again
    assert heard["packages"] == len(told.lines) - len(segments) == told.at_client["segments_in"]
    assert told.story.troubles(told.accepted)["segments_in"] >= told.at_server["segments_in"]


def assert_places(told: Told, client: Host, server: Host) -> None:
    """Interfaces are those of each end's own namespace."""
    writes = told.story.of(told.opened, EventKind.WRITE)
    reads = told.story.of(told.accepted, EventKind.READ)
    assert set(writes["network_namespace"]) == {client.inode}
    assert set(reads["network_namespace"]) == {server.inode}
    assert set(writes["stages"]["interface"].tolist()) == {client.interface_index}
    assert set(reads["stages"]["interface"].tolist()) == {server.interface_index}


def assert_times(told: Told) -> None:
    """Every stage took some, and none more than what contains it."""
    writes = told.story.of(told.opened, EventKind.WRITE)
    assert len(writes) == 4
    assert_layers_nest(writes)
    connect = told.story.of(told.opened, EventKind.CONNECT)[0]
    assert 0 < connect["stages"]["l4_ns"] <= connect["end_ns"] - connect["start_ns"]
    sent, received = told.story.sums(told.opened, *SENT), told.story.sums(told.accepted, *RECEIVED)
    for name in ("l3_ns", "l3_local_ns", "l3_output_ns", "netfilter_ns", "l4_ns", "l2_ready_ns", "l2_device_ns"):
        assert sent[name] > 0, name
        assert received[name] > 0, name
    # For a reader L4 is within L3.
    assert received["l3_output_ns"] + received["l3_local_ns"] + received["l4_ns"] <= received["l3_ns"]
