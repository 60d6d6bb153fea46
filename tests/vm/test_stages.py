"""Counts of every stage against nftables' counters, a packet capture, /proc/net/snmp and TCP_INFO."""

import pytest

from agent.events.layout import EventKind
from agent.kernel.source import KernelSource
from tests.vm.hosts import Exchange, Host, offloads
from tests.vm.watching import RECEIVED, SENT, Story, assert_layers_nest

pytestmark = pytest.mark.kernel

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
    out, back = client.counted(), server.counted()
    sent = story.sums(opened["inode"], *SENT)
    received = story.sums(accepted["inode"], *RECEIVED)
    answered = story.sums(accepted["inode"], *SENT)
    heard = story.sums(opened["inode"], *RECEIVED)

    # What the client sent: nftables saw each package at both of its hooks, TCP_INFO counted the segments.
    assert sent["packages"] == out["output dport"][0]
    assert sent["netfilters"] == out["output dport"][0] + out["postrouting dport"][0]
    assert sent["queued"] == out["postrouting dport"][0]
    assert sent["package_bytes"] == total + at_client["retransmitted_bytes"]
    assert answered["packages"] == back["output sport"][0] - 1  # the SYN-ACK
    assert answered["package_bytes"] == 777

    # What arrived.
    assert received["packages"] == back["input dport"][0] - HANDSHAKE_BEFORE_SOCKET
    assert received["netfilters"] == sum(back[f"{hook} dport"][0] for hook in ("prerouting", "input")) - 4
    assert total <= received["package_bytes"] <= sent["package_bytes"]
    assert heard["packages"] == out["input sport"][0]
    assert heard["netfilters"] == out["prerouting sport"][0] + out["input sport"][0]
    assert heard["package_bytes"] == 777

    if not large:
        segments = [line for line in captured.lines if f".{port}:" in line]
        assert sent["packages"] == len(segments) == at_client["segments_out"]
        assert sent["packages"] == after["OutSegs"] - before["OutSegs"] + at_client["total_retransmits"]
        assert sent["retransmits"] == at_client["total_retransmits"]
        assert heard["packages"] == len(captured.lines) - len(segments) == at_client["segments_in"]
    assert story.troubles(accepted["inode"])["segments_in"] >= at_server["segments_in"]

    writes = story.of(opened["inode"], EventKind.WRITE)
    assert len(writes) == 4
    assert_layers_nest(writes)
    assert {int(index) for index in writes["stages"]["interface"]} == {client.interface_index}
    assert {int(index) for index in story.of(accepted["inode"], EventKind.READ)["stages"]["interface"]} == {
        server.interface_index
    }
    assert set(writes["network_namespace"]) == {client.inode}
    connect = story.of(opened["inode"], EventKind.CONNECT)[0]
    assert 0 < connect["stages"]["l4_ns"] <= connect["end_ns"] - connect["start_ns"]
    for name in ("l3_ns", "l3_local_ns", "l3_output_ns", "netfilter_ns", "l4_ns", "l2_ready_ns", "l2_device_ns"):
        assert sent[name] > 0, name
        assert received[name] > 0, name
    # For a reader L4 is within L3.
    assert received["l4_ns"] <= received["l3_ns"]
    assert received["l3_output_ns"] + received["l3_local_ns"] + received["l4_ns"] <= received["l3_ns"]
