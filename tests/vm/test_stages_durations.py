"""Durations of every stage against the kernel's own tracer: never less than what a stage contains, never more than
what contains it, for each write and each read."""

from dataclasses import dataclass

import pytest

from agent.events.layout import EventKind, Events
from agent.kernel.source import KernelSource
from tests.vm.hosts import Exchange, Host, offloads
from tests.vm.second_clock import Passage, mounted, tracing
from tests.vm.watching import Story

pytestmark = pytest.mark.kernel

ROUNDS = 60
LEAST_COMPLETE = 50
"""Rounds of which both must have seen everything: a probe that interrupts another one is left out (conftest.py)."""
SIZE = 1000
"""Bytes of a write: its package is larger than any acknowledgement."""
ROUNDING = 2
"""Microseconds by which a difference of two of the tracer's times can be off, each being cut to one."""
FUNCTIONS = {
    "inet_sendmsg": None,
    "tcp_sendmsg_locked": None,
    "ip_queue_xmit": 1,
    "nf_hook_slow": 0,
    "nft_do_chain_inet": 1,
    "ip_finish_output2": 2,
    "dev_hard_start_xmit": 0,
    "veth_xmit": 0,
    "ip_rcv": 0,
    "ip_local_deliver": 0,
    "tcp_v4_rcv": 0,
    "tcp_v4_do_rcv": 1,
    "inet_recvmsg": None,
}
"""And which argument is the package. What contains a stage, and what it contains, call each other in order."""


@dataclass(frozen=True)
class Round:
    """One write and the read of it, as the tracer saw them."""

    of: dict[str, list[Passage]]
    """By function, those of the package and of the two calls, as they began."""

    def first(self, function: str) -> Passage:
        return self.of[function][0]

    @property
    def is_complete(self) -> bool:
        hooks = len(self.of["nf_hook_slow"]) == len(self.of["nft_do_chain_inet"]) == 4  # one each
        return hooks and all(len(found) == 1 for name, found in self.of.items() if not name.startswith("nf"))

    def write_bounds(self) -> dict[str, tuple[int, int]]:
        """By stage of a write, in microseconds: the tracer's time within it, and the time that contains it."""
        out, post = self.of["nf_hook_slow"][:2]
        chains = self.of["nft_do_chain_inet"][:2]
        network, neighbour = self.first("ip_queue_xmit"), self.first("ip_finish_output2")
        queue, driver = self.first("dev_hard_start_xmit"), self.first("veth_xmit")
        local, output = post.began - network.began, queue.began - out.ended
        return {
            "call": (_spent(self.first("inet_sendmsg")), _spent(self.first("sendto"))),
            "l4_ns": (_spent(self.first("tcp_sendmsg_locked")), _spent(self.first("inet_sendmsg"))),
            "l3_ns": (queue.ended - out.began, _spent(network)),
            "l3_local_ns": (_spent(out), local),
            "l3_output_ns": (_spent(post), output),
            "netfilter_ns": (sum(map(_spent, chains)), local + output),
            "l2_ns": (_spent(queue), _spent(neighbour)),
            "l2_ready_ns": (0, driver.began - neighbour.began),
            "l2_device_ns": (_spent(driver), _spent(queue)),
        }

    def read_bounds(self) -> dict[str, tuple[int, int]]:
        """The same of a read, whose package came by the same interface."""
        arrival, routing = self.of["nf_hook_slow"][2:]
        chains = self.of["nft_do_chain_inet"][2:]
        device, network = self.first("veth_xmit"), self.first("ip_rcv")
        deliver, transport, socket = (self.first(name) for name in ("ip_local_deliver", "tcp_v4_rcv", "tcp_v4_do_rcv"))
        route, local = routing.began - device.began, transport.began - arrival.ended
        return {
            "l2_ready_ns": (transport.began - network.began, socket.ended - device.began),
            "l3_output_ns": (_spent(arrival), route),
            "l3_local_ns": (_spent(routing), local),
            "netfilter_ns": (sum(map(_spent, chains)), route + local),
            "l4_ns": (_spent(socket), deliver.ended - routing.began),
            "l3_ns": (socket.ended - arrival.began, deliver.ended - device.began),
            "l2_device_ns": (
                self.first("inet_recvmsg").ended - socket.ended,
                self.first("recvfrom").ended - transport.began,
            ),
        }


def _spent(passage: Passage) -> int:
    return passage.ended - passage.began


@pytest.fixture
def tracer(stages_source: KernelSource) -> None:
    """Skip where the tracer or the stages are not to be had."""
    if not stages_source.coverage.has("network_transmit") or not mounted():
        pytest.skip("needs the kernel's probe events, and kprobes or fentry")


@pytest.mark.usefixtures("tracer")
def test_every_duration_lies_between_two_of_the_tracers(story: Story, hosts: tuple[Host, Host]) -> None:
    client, server = hosts
    offloads(hosts, on=True)
    with Exchange(client, 4) as sender, Exchange(server, 4) as receiver:
        for exchange in (sender, receiver):
            story.source.choose(exchange.process)
        port = receiver.do("listen", host=server.address(4))["port"]
        for host in hosts:
            host.count_port(port)
        opened = sender.do("connect", host=server.address(4), port=port)
        accepted = receiver.do("accept")
        sender.do("write", size=SIZE)  # finds the neighbour
        receiver.do("read", size=SIZE)
        with tracing(FUNCTIONS, ("sendto", "recvfrom")) as clock:
            for _ in range(ROUNDS):
                receiver.begin("read", size=SIZE)
                sender.do("write", size=SIZE)
                receiver.end()
        for exchange in (sender, receiver):
            exchange.do("close")
        story.until_gone(opened["inode"], accepted["inode"])
    writes = story.of(opened["inode"], EventKind.WRITE)[1:]
    reads = story.of(accepted["inode"], EventKind.READ)[1:]
    assert len(writes) == len(reads) == ROUNDS
    rounds = _rounds(clock.passages, sender.process, receiver.process)
    assert len(rounds) == ROUNDS
    compared = 0
    for number, one in enumerate(rounds):
        if one.is_complete:
            told = (
                _is_between(number, _measured(writes, number), one.write_bounds()),
                _is_between(number, _measured(reads, number), one.read_bounds()),
            )
            compared += all(told)
    assert compared >= LEAST_COMPLETE, {name: len(found) for name, found in rounds[0].of.items()}


def _measured(events: Events, number: int) -> dict[str, int]:
    event = events[number]
    stages = {name: int(event["stages"][name]) for name in event["stages"].dtype.names}
    return {**stages, "call": int(event["end_ns"] - event["start_ns"])}


def _is_between(number: int, measured: dict[str, int], bounds: dict[str, tuple[int, int]]) -> bool:
    """Whether every stage was seen; each that was must be within its bounds."""
    for stage, (least, most) in bounds.items():
        found = measured[stage]
        if found:
            assert (least - ROUNDING) * 1000 <= found <= (most + ROUNDING) * 1000, (number, stage, least, most)
    return all(measured[stage] for stage in bounds)


def _rounds(passages: list[Passage], sender: int, receiver: int) -> list[Round]:
    """Cut what was traced at the beginnings of the sender's calls."""
    ordered = sorted(passages, key=lambda passage: passage.began)
    starts = [one.began for one in ordered if one.function == "sendto" and one.task == sender]
    reads = [one for one in ordered if one.function == "recvfrom" and one.task == receiver]
    rounds = []
    for number, (start, read) in enumerate(zip(starts, reads, strict=True)):
        following = starts[number + 1] if number + 1 < len(starts) else ordered[-1].ended + 1
        found: dict[str, list[Passage]] = {name: [] for name in (*FUNCTIONS, "sendto", "recvfrom")}
        for one in ordered:
            is_own = start <= one.began < following and (one.length >= SIZE or (one.task == sender and one.length < 0))
            # The reader may have begun to wait before the writer wrote.
            is_of_read = one.task == receiver and read.began <= one.began <= read.ended and one.length < 0
            if is_own or is_of_read:
                found[one.function].append(one)
        rounds.append(Round(found))
    return rounds
