"""Packages that leave late, again, or not at all: each is booked on its own connection, and only there."""

import re

import pytest

from agent.events.layout import EventKind
from agent.kernel.btf import VMLINUX, Btf
from tests.vm.hosts import Exchange, Host, offloads
from tests.vm.watching import SENT, Story

pytestmark = pytest.mark.kernel

SEGMENT = 1000
RETRANSMITS = ("retransmits_timeout", "retransmits_fast", "retransmits_probe", "retransmits_syn")


class Pair:
    """A client and a server with one connection and another one of the same thread beside it."""

    def __init__(self, story: Story, hosts: tuple[Host, Host], sender: Exchange, receiver: Exchange) -> None:
        self.story, self.hosts, self.sender, self.receiver = story, hosts, sender, receiver
        for exchange in (sender, receiver):
            story.source.choose(exchange.process)
        self.ports: dict[str, int] = {}
        self.inodes: dict[str, int] = {}

    def listen(self, version: int, name: str = "connection", **options: int) -> int:
        address = self.hosts[1].address(version)
        done = self.receiver.do("listen", host=address, name=f"{name} listener", **options)
        self.ports[name] = port = int(done["port"])
        return port

    def connect(self, version: int, name: str = "connection", **options: int) -> None:
        answer = self.sender.do(
            "connect", host=self.hosts[1].address(version), port=self.ports[name], name=name, **options
        )
        self.inodes[name] = answer["inode"]
        self.receiver.do("accept", name=name, listener=f"{name} listener")

    def finish(self, *names: str) -> dict[str, dict[str, int]]:
        """Close each connection, the client first; its TCP_INFO at the end."""
        ends = {}
        for name in names:
            self.sender.do("shut", name=name)
            self.receiver.do("read_to_end", name=name)
            self.receiver.do("close", name=name)
            self.sender.do("read_to_end", name=name)
            ends[name] = self.sender.do("close", name=name)
        self.story.until_gone(*(self.inodes[name] for name in names))
        return ends


@pytest.fixture
def segmented(hosts: tuple[Host, Host]) -> tuple[Host, Host]:
    """Every package is one segment, so that counts of segments are counts of packages."""
    offloads(hosts, on=False)
    for host in hosts:
        host.run("ip", "link", "set", "eth0", "gso_max_segs", "1")
    return hosts


@pytest.mark.parametrize("version", [4, 6])
def test_sent_again_after_a_timeout_and_only_that(story: Story, segmented: tuple[Host, Host], version: int) -> None:
    client, server = segmented
    with Exchange(client, version) as sender, Exchange(server, version) as receiver:
        pair = Pair(story, segmented, sender, receiver)
        for name in ("connection", "clean"):
            pair.listen(version, name)
            pair.connect(version, name)
        sender.do("write", size=SEGMENT)
        receiver.do("read", size=SEGMENT)
        sender.do("await_sent")
        server.rules(
            "table inet broken { chain prerouting { type filter hook prerouting priority -1;"
            f" tcp dport {pair.ports['connection']} counter drop; }}\n}}"
        )
        sender.do("write", size=SEGMENT)
        sender.do("write", size=SEGMENT, name="clean")
        receiver.do("read", size=SEGMENT, name="clean")
        sender.do("await_information", field="total_retransmits", least=3)
        server.rules("delete table inet broken")
        receiver.do("read", size=SEGMENT)
        healed = sender.do("await_sent")
        sender.do("write", size=SEGMENT)
        receiver.do("read", size=SEGMENT)
        pair.finish("connection", "clean")
    troubles = story.troubles(pair.inodes["connection"])
    assert story.sums(pair.inodes["connection"], *SENT)["retransmits"] == healed["total_retransmits"]
    assert sum(troubles[name] for name in RETRANSMITS) == healed["total_retransmits"]
    assert troubles["retransmits_timeout"] >= 2  # the first may be a tail loss probe
    assert troubles["retransmits_syn"] == 0
    # It is told with the transfer after it, not only at the end.
    last = story.of(pair.inodes["connection"], EventKind.WRITE)[-1]
    assert last["stages"]["retransmits"] == healed["total_retransmits"]
    clean = story.troubles(pair.inodes["clean"])
    assert {name: clean[name] for name in RETRANSMITS} == dict.fromkeys(RETRANSMITS, 0)
    assert story.sums(pair.inodes["clean"], *SENT)["retransmits"] == 0


def test_sent_again_after_selective_acknowledgements(story: Story, segmented: tuple[Host, Host]) -> None:
    client, server = segmented
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        pair = Pair(story, segmented, sender, receiver)
        pair.listen(4)
        pair.connect(4)
        server.rules(
            "table inet broken { chain prerouting { type filter hook prerouting priority -1;"
            f" tcp dport {pair.ports['connection']} numgen inc mod 40 == 20 counter drop; }}\n}}"
        )
        receiver.begin("read", size=400 * SEGMENT)
        sender.do("write", size=400 * SEGMENT)
        receiver.end()
        server.rules("delete table inet broken")
        sender.do("await_sent")
        end = pair.finish("connection")["connection"]
    troubles = story.troubles(pair.inodes["connection"])
    assert sum(troubles[name] for name in RETRANSMITS) == end["total_retransmits"]
    assert story.sums(pair.inodes["connection"], *SENT)["retransmits"] == end["total_retransmits"]
    assert troubles["retransmits_fast"] > 0


def test_the_first_packet_is_sent_again(story: Story, segmented: tuple[Host, Host]) -> None:
    client, server = segmented
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        pair = Pair(story, segmented, sender, receiver)
        port = pair.listen(4)
        server.rules(
            "table inet broken { chain prerouting { type filter hook prerouting priority -1;"
            f" tcp dport {port} tcp flags syn numgen inc mod 2 == 0 counter drop; }}\n}}"
        )
        pair.connect(4)
        server.rules("delete table inet broken")
        pair.finish("connection")
    assert story.troubles(pair.inodes["connection"])["retransmits_syn"] == 1
    connect = story.of(pair.inodes["connection"], EventKind.CONNECT)[0]
    assert connect["stages"]["l4_ns"] > 900_000_000  # the first packet is sent again after a second


@pytest.mark.parametrize("version", [4, 6])
def test_what_leaves_on_acknowledgements_is_booked_on_its_connection(
    story: Story, segmented: tuple[Host, Host], version: int
) -> None:
    client, server = segmented
    with Exchange(client, version) as sender, Exchange(server, version) as receiver:
        pair = Pair(story, segmented, sender, receiver)
        pair.listen(version, receive_buffer=8192)
        pair.listen(version, "clean")
        for host in segmented:
            for port in pair.ports.values():
                host.rules(
                    f"table inet port{port} {{ chain output {{ type filter hook output priority 0;"
                    f" tcp dport {port} counter; }}\n}}"
                )
        for name in pair.ports:
            pair.connect(version, name)
        # The receiver does not read: most of it stays in the sender's buffer.
        with server.capture(f"tcp src port {pair.ports['connection']}") as captured:
            moved = sender.do("write_until_full", size=SEGMENT)["moved"]
            sender.do("await_closed_window")
            sent_by_calls = story_bytes(story, pair.inodes["connection"], until=moved)
            for _ in range(5):
                sender.do("write", size=SEGMENT, name="clean")
                receiver.do("read", size=SEGMENT, name="clean")
            receiver.do("read", size=moved)
            sender.do("await_sent")
            sender.do("write", size=1)
            receiver.do("read", size=1)
            end = pair.finish("connection", "clean")["connection"]
        counted = {name: packets(client, f"port{port}") for name, port in pair.ports.items()}
    for name in pair.ports:
        assert story.sums(pair.inodes[name], *SENT)["packages"] == counted[name]
    assert story.sums(pair.inodes["connection"], *SENT)["package_bytes"] == moved + 1 + end["retransmitted_bytes"]
    assert sent_by_calls < moved / 2
    last = story.of(pair.inodes["connection"], EventKind.WRITE)[-1]["stages"]
    assert last["package_bytes"] == moved + 1 + end["retransmitted_bytes"] - sent_by_calls
    assert last["late_packages"] >= (moved - sent_by_calls) // 1448
    if story.source.coverage.has("network_transmit"):
        assert last["late_ns"] > 0
    # The other one is clean: of its own calls each sent one package.
    clean = story.of(pair.inodes["clean"], EventKind.WRITE)["stages"]
    assert list(clean["package_bytes"]) == [SEGMENT] * 5
    assert list(clean["packages"] - clean["late_packages"]) == [1] * 5
    # The closed window, as both ends saw it.
    closed = sum(1 for line in captured.lines if re.search(r"\bwin 0\b", line) and "Flags [R" not in line)
    assert closed > 0
    assert story.troubles(pair.inodes["connection"])["zero_windows_received"] == closed


def story_bytes(story: Story, inode: int, until: int) -> int:
    """Payload that left by now, once all writes that moved `until` bytes have been told."""
    story.until(lambda: int(story.of(inode, EventKind.WRITE)["bytes"].sum()) >= until, f"{until} bytes written")
    return story.sums(inode, EventKind.WRITE)["package_bytes"]


def packets(host: Host, table: str) -> int:
    """What the one counter of a table says."""
    found = re.search(r"counter packets (\d+)", host.run("nft", "list", "table", "inet", table))
    assert found
    return int(found[1])


def test_drops_by_reason(story: Story, segmented: tuple[Host, Host]) -> None:
    client, server = segmented
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        pair = Pair(story, segmented, sender, receiver)
        port = pair.listen(4)
        pair.connect(4)
        client.rules(
            "table inet broken { chain output { type filter hook output priority -1;"
            f" tcp dport {port} tcp flags & (syn|fin) == 0 counter drop; }}\n}}"
        )
        sender.do("write", size=SEGMENT)
        while (dropped := packets(client, "broken")) < 3:  # a package that never left is tried again by a timer
            assert story.source.wait(0.05)
            story.collect()
        client.rules("delete table inet broken")
        receiver.do("read", size=SEGMENT)
        sender.do("await_sent")
        pair.finish("connection")
    names = Btf.read(VMLINUX).enumerators("skb_drop_reason")
    found = {names[reason]: count for reason, count in story.drops(pair.inodes["connection"]).items()}
    assert dropped <= found["SKB_DROP_REASON_NETFILTER_DROP"] <= dropped + 1  # one between count and removal
