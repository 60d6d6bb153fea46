"""The other ways of a package: datagrams, lists, queueing disciplines, unresolved neighbours; and times in order."""

import json
import time

import pytest

from agent.events.layout import EventKind
from agent.kernel.source import KernelSource
from tests.vm.hosts import Exchange, Host, offloads
from tests.vm.watching import RECEIVED, SENT, Story, assert_layers_nest

pytestmark = pytest.mark.kernel

THOUSANDS = 3000
MILLISECOND = 1_000_000
QUEUED = 7
"""Packages that are in a queue of 6,000 bytes at most, or on their way out of it."""


@pytest.fixture
def probes(stages_source: KernelSource) -> None:
    """Skip where function probes are not to be had: tracepoints alone do not show L3."""
    if not stages_source.coverage.has("network_transmit"):
        pytest.skip("needs kprobes or fentry")


def connected(story: Story, sender: Exchange, receiver: Exchange, server: Host, version: int) -> tuple[int, int, int]:
    """Connect the two; both inodes and the port."""
    for exchange in (sender, receiver):
        story.source.choose(exchange.process)
    port = receiver.do("listen", host=server.address(version))["port"]
    opened = sender.do("connect", host=server.address(version), port=port)["inode"]
    return opened, receiver.do("accept")["inode"], port


def close_both(story: Story, sender: Exchange, receiver: Exchange, *inodes: int) -> None:
    sender.do("shut")
    receiver.do("read_to_end")
    receiver.do("close")
    sender.do("read_to_end")
    sender.do("close")
    story.until_gone(*inodes)


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize("version", [4, 6])
def test_layers_nest_in_thousands_of_writes(story: Story, hosts: tuple[Host, Host], version: int) -> None:
    client, server = hosts
    with Exchange(client, version) as sender, Exchange(server, version) as receiver:
        opened, accepted, _ = connected(story, sender, receiver, server, version)
        receiver.begin("read_to_end")
        sender.do("write", size=100, times=THOUSANDS)
        sender.do("shut")
        assert receiver.end() == {"bytes": 100 * THOUSANDS}
        receiver.do("close")
        sender.do("read_to_end")
        again = sender.do("information", name="connection")["retransmitted_bytes"]  # none, but where a machine is slow
        sender.do("close")
        story.until_gone(opened, accepted)
    writes = story.of(opened, EventKind.WRITE)
    assert len(writes) == THOUSANDS
    assert_layers_nest(writes)
    assert story.sums(opened, *SENT)["package_bytes"] == 100 * THOUSANDS + again
    reads = story.of(accepted, EventKind.READ, EventKind.LATE_READ)
    stages = reads["stages"]
    assert int(stages["package_bytes"].sum()) == 100 * THOUSANDS + again
    # Of all together: a read may take along a package that another processor has not added up yet.
    assert stages["l4_ns"].sum() <= stages["l3_ns"].sum()
    limit = 120_000_000_000  # nothing wraps: a time below zero would be enormous
    for name in ("l3_local_ns", "l3_output_ns", "netfilter_ns", "l2_ready_ns", "l2_device_ns", "l3_ns"):
        assert (stages[name] < limit).all(), name


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize("version", [4, 6])
def test_datagrams(story: Story, hosts: tuple[Host, Host], version: int) -> None:
    client, server = hosts
    sizes = [1, 100, 1400]
    with Exchange(client, version) as sender, Exchange(server, version) as receiver:
        for exchange in (sender, receiver):
            story.source.choose(exchange.process)
        bound = receiver.do("bind", host=server.address(version))
        # A datagram socket is watched from the first call on it.
        sender.do("datagrams", host=server.address(version), port=bound["port"], sizes=[7])
        assert receiver.do("receive", count=1) == {"bytes": [7]}
        story.until(lambda: len(story.of(bound["inode"], EventKind.READ)) > 0, "the first datagram's read")
        story.events = story.events[:0]
        for host in hosts:
            host.count_port(bound["port"])
        sent = sender.do("datagrams", host=server.address(version), port=bound["port"], sizes=sizes)
        assert receiver.do("receive", count=3) == {"bytes": sizes}
        out, arrived = client.counted(), server.counted()
    story.until(lambda: len(story.of(sent["inode"], EventKind.WRITE)) >= 3, "every write")
    story.until(lambda: len(story.of(bound["inode"], EventKind.READ)) >= 3, "every read")
    written = story.sums(sent["inode"], EventKind.WRITE)
    read = story.sums(bound["inode"], EventKind.READ)
    assert written["packages"] == out["output dport"][0] == 3
    assert written["netfilters"] == out["output dport"][0] + out["postrouting dport"][0]
    assert written["package_bytes"] == read["package_bytes"] == sum(sizes)
    assert read["packages"] == arrived["input dport"][0] == 3
    assert read["netfilters"] == arrived["prerouting dport"][0] + arrived["input dport"][0]
    writes = story.of(sent["inode"], EventKind.WRITE)
    assert list(writes["stages"]["package_bytes"]) == sizes
    assert_layers_nest(writes)
    assert all(read[name] > 0 for name in ("l2_ready_ns", "l2_device_ns", "l3_ns", "l4_ns"))


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize("version", [4, 6])
def test_packages_that_the_driver_delivers_in_lists(story: Story, hosts: tuple[Host, Host], version: int) -> None:
    client, server = hosts
    offloads(hosts, on=False, receive=True)  # with receive offload veth delivers by NAPI, in lists
    with Exchange(client, version) as sender, Exchange(server, version) as receiver:
        opened, accepted, port = connected(story, sender, receiver, server, version)
        for host in hosts:
            host.count_port(port)
        receiver.begin("read", size=8 << 20)
        sender.do("write", size=8 << 20)
        receiver.end()
        close_both(story, sender, receiver, opened, accepted)
        arrived = server.counted()
    read = story.sums(accepted, *RECEIVED)
    assert read["package_bytes"] == 8 << 20
    assert read["packages"] == arrived["input dport"][0]
    assert read["netfilters"] == arrived["prerouting dport"][0] + arrived["input dport"][0]
    assert read["l3_output_ns"] + read["l3_local_ns"] + read["l4_ns"] <= read["l3_ns"]
    assert min(read[name] for name in ("l3_output_ns", "l3_local_ns", "l4_ns", "netfilter_ns", "l2_ready_ns")) > 0


@pytest.mark.usefixtures("probes")
@pytest.mark.parametrize("version", [4, 6])
def test_the_neighbour_is_resolved_once(story: Story, hosts: tuple[Host, Host], version: int) -> None:
    client, server = hosts
    asked = "arp[6:2] == 1" if version == 4 else "icmp6 and ip6[40] == 135"  # IPv4
    with Exchange(client, version) as sender, Exchange(server, version) as receiver:
        for exchange in (sender, receiver):
            story.source.choose(exchange.process)
        port = receiver.do("listen", host=server.address(version))["port"]
        client.run("ip", "neigh", "flush", "all")
        with client.capture(f"({asked}) or tcp port {port}") as captured:
            opened = sender.do("connect", host=server.address(version), port=port)["inode"]
            accepted = receiver.do("accept")["inode"]
            for _ in range(3):
                sender.do("write", size=10)
                receiver.do("read", size=10)
        close_both(story, sender, receiver, opened, accepted)
    mine = client.address(version)
    questions = [line for line in captured.lines if f"tell {mine}" in line or "neighbor solicitation" in line]
    assert len(questions) >= 1
    sent = story.sums(opened, *SENT)
    # The first package asks and waits; the others find the answer.
    assert sent["neighbours"] == 1
    assert sent["queued"] == sent["packages"]


@pytest.mark.usefixtures("probes")
def test_a_queueing_discipline_holds_packages_back(story: Story, hosts: tuple[Host, Host]) -> None:
    client, server = hosts
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        opened, accepted, _ = connected(story, sender, receiver, server, 4)
        began = time.monotonic_ns()
        client.run("tc", "qdisc", "add", "dev", "eth0", "root", "netem", "delay", "50ms")
        for _ in range(3):
            sender.do("write", size=1000)
            receiver.do("read", size=1000)
            sender.do("await_sent")
        client.run("tc", "qdisc", "del", "dev", "eth0", "root")
        close_both(story, sender, receiver, opened, accepted)
        passed = time.monotonic_ns() - began
    sent = story.sums(opened, *SENT)
    # One waits after the other; what is sent again waits beside it.
    assert 3 * 50 * MILLISECOND <= sent["l2_ready_ns"] < passed * (1 + sent["retransmits"])
    assert_layers_nest(story.of(opened, EventKind.WRITE))


def test_a_dropped_package_is_not_taken_for_another_ones_at_its_address(story: Story, hosts: tuple[Host, Host]) -> None:
    """The kernel gives the memory of a dropped package to the next one, here of a process that is not watched."""
    client, server = hosts
    shaped = ("root", "tbf", "rate", "20mbit", "burst", "3000", "limit", "6000")
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver, Exchange(client, 4) as stranger:
        opened, accepted, port = connected(story, sender, receiver, server, 4)
        client.run("tc", "qdisc", "add", "dev", "eth0", *shaped)
        receiver.begin("read_to_end")
        began = time.monotonic()
        sender.do("write", size=1000, times=500)
        sender.do("await_sent")
        most = QUEUED * (time.monotonic() - began)
        dropped = json.loads(client.run("tc", "-s", "-json", "qdisc", "show", "dev", "eth0"))[0]["drops"]
        sender.do("pause", seconds=3 + 2 * most)
        stranger.do("datagrams", host=server.address(4), port=port, sizes=[100] * 500)
        client.run("tc", "qdisc", "del", "dev", "eth0", "root")
        began = time.monotonic()
        sender.do("shut")
        receiver.end()
        receiver.do("close")
        sender.do("read_to_end")
        sender.do("close")
        most += QUEUED * (time.monotonic() - began)
        story.until_gone(opened, accepted)
    assert dropped > 0
    # One that is mistaken adds the pause, which is longer than all that can have been in the queue has waited.
    assert 0 < story.sums(opened, *SENT)["l2_ready_ns"] < most * 1000 * MILLISECOND


def test_packages_wait_for_their_reader(story: Story, hosts: tuple[Host, Host]) -> None:
    client, server = hosts
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        opened, accepted, _ = connected(story, sender, receiver, server, 4)
        for _ in range(20):  # more than there are groups of waiting packages
            sender.do("write", size=100)
            sender.do("await_sent")  # so that each is a package of its own
        receiver.do("await_queued", size=2000)
        receiver.do("pause", seconds=0.3)
        receiver.do("read", size=500)
        receiver.do("read", size=1500)
        receiver.begin("read", size=100)
        began = time.monotonic_ns()
        sender.do("write", size=100)
        receiver.end()
        most = time.monotonic_ns() - began
        close_both(story, sender, receiver, opened, accepted)
    reads = story.of(accepted, EventKind.READ)
    waited = [int(value) for value in reads["stages"]["l2_device_ns"]]
    assert 5 * 300 * MILLISECOND <= waited[0] < 5 * 60_000 * MILLISECOND
    assert sum(waited[:2]) >= 20 * 300 * MILLISECOND
    assert waited[2] < most


@pytest.mark.usefixtures("probes")
def test_a_socket_leaves_nothing_behind(story: Story, hosts: tuple[Host, Host]) -> None:
    """What is sent and received before, between and after the calls of a connection adds up to what the wire saw."""
    client, server = hosts
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        opened, accepted, port = connected(story, sender, receiver, server, 4)
        for host in hosts:
            host.count_port(port)
        close_both(story, sender, receiver, opened, accepted)
        out, back = client.counted(), server.counted()
    assert story.sums(opened, *RECEIVED)["packages"] == out["input sport"][0] + 1  # and the SYN-ACK before
    assert story.sums(accepted, *SENT)["packages"] == back["output sport"][0]
