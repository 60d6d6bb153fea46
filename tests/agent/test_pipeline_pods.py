"""Names of pods on the wire: at once, a little late, and never."""

from collections.abc import Iterator
from typing import Any

import pytest

from agent.config import AccessLog, Configuration, Flush
from agent.config_durations import Duration
from agent.discovery.host import ProcessFacts
from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.names import Wanted
from agent.events.layout import EventFlag, EventKind
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.pipeline import Pipeline
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.discovery.kubernetes.pods import FIRST, SECOND_ID, book, group, names, pod, service, there, uid
from tests.agent.synthetic import SECOND, FakeHost, event, events, facts, socket_facts

K = EventKind
CLIENT, SERVER = ("10.1.0.5", 40000), ("10.1.0.6", 80)
CART, SHOP = service("cart", {"app": "cart"}), service("shop", {"app": "shop"})
CART_POD = pod("cart-1", {"main": FIRST}, labels={"app": "cart"}, pod_uid=uid(1))
SHOP_POD = pod("shop-1", {"web": SECOND_ID}, labels={"app": "shop"}, pod_uid=uid(2))


class Agent:
    """A pipeline on a node with two pods: process 1 in CART_POD, process 2 in SHOP_POD."""

    def __init__(self, known: PodBook, wanted: Wanted | None = None) -> None:
        self.host, self.batches, self.ledger = FakeHost(), list[Batch](), Ledger()
        self.excluded: list[int] = []
        self.host.processes = {
            1: facts(1, "/bin/client", cgroups=[group(FIRST, uid(1))]),
            2: facts(2, "/bin/server", cgroups=[group(SECOND_ID, uid(2))]),
            3: facts(3, "/usr/sbin/sshd", cgroups=["/system.slice/sshd.service"]),
        }
        self.pipeline = Pipeline(
            Configuration(access_log=AccessLog(flush=Flush(period=Duration(1)))),
            "node-1",
            999,
            host=self.host,
            ledger=self.ledger,
            deliver=self.batches.append,
            pods=names(known, wanted),
            exclude=self._exclude,
        )
        self.pipeline.start(SECOND)
        self.now = SECOND

    def _exclude(self, process: ProcessFacts) -> bool:
        self.excluded.append(process.pid)
        return True

    def pass_time(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)
        self.pipeline.step(events(), self.now)

    def call(self) -> None:
        """Process 1 calls process 2, which is all that it ever does."""
        ends: dict[str, Any] = {"local": CLIENT, "remote": SERVER}
        turned: dict[str, Any] = {"local": SERVER, "remote": CLIENT, "process": 2, "inode": 2, "namespace": 2}
        self.pipeline.step(
            events(
                event(K.CONNECT, process=1, inode=1, **ends),
                event(K.ACCEPT, **turned),
                event(K.WRITE, process=1, inode=1, size=5, **ends),
                event(K.READ, size=5, **turned),
                event(K.CLOSE, process=1, inode=1, flags=EventFlag.LAST_REFERENCE, **ends),
                event(K.CLOSE, flags=EventFlag.LAST_REFERENCE, **turned),
                event(K.PROCESS_EXIT, process=1),
            ),
            self.now,
        )

    def told(self) -> Iterator[tuple[str, str, list[str]]]:
        """Local and remote end, and what happened, by message."""
        for batch in self.batches:
            for message in map(wire.EBPFAccessLogMessage.FromString, batch.messages[1:]):
                ends = [_end(each) for each in (message.connection.local, message.connection.remote)]
                yield ends[0], ends[1], [log.WhichOneof("operation") or "" for log in message.kernelLogs]


def _end(of: wire.ConnectionAddress) -> str:
    named = of.kubernetes
    if of.WhichOneof("address") == "ip":
        return f"{of.ip.host}:{of.ip.port}"
    return f"{named.serviceName} {named.podName} {named.containerName} {named.processName} {named.port}"


CART_END, SHOP_END = "cart.shop cart-1 main client 40000", "shop.shop shop-1 web server 80"
EVERYTHING = [
    (CART_END, SHOP_END, ["connect", "write", "close"]),
    (SHOP_END, CART_END, ["accept", "read", "close"]),
]


def test_the_first_connection_of_a_process_has_the_names_of_its_pod() -> None:
    agent = Agent(book([CART_POD, SHOP_POD], [CART, SHOP]))
    agent.call()
    agent.pass_time(1)
    assert list(agent.told()) == EVERYTHING


@pytest.mark.parametrize("late", [0.5, 1, 4.5])
def test_it_has_them_too_when_the_pod_is_told_after_the_process_has_ended(late: float) -> None:
    known = book([], [CART, SHOP])
    agent = Agent(known)
    agent.call()
    for _ in range(int(2 * late)):
        agent.pass_time(0.5)
        assert agent.batches == []
        assert agent.pipeline.pending == 6
    known.pods.apply(there(CART_POD, SHOP_POD))
    agent.pass_time(0.25)
    agent.pass_time(1)
    assert list(agent.told()) == EVERYTHING
    assert agent.ledger.balance().captured == sum(batch.logs for batch in agent.batches) == 6


def test_the_far_end_is_waited_for_too() -> None:
    known = book([SHOP_POD], [CART, SHOP])
    agent = Agent(known)
    agent.call()
    agent.pass_time(2)
    assert agent.batches == []
    known.pods.apply(there(CART_POD))
    agent.pass_time(1)
    assert list(agent.told()) == EVERYTHING


def test_logs_of_a_pod_that_is_never_told_are_lost_and_counted() -> None:
    agent = Agent(book([SHOP_POD], [CART, SHOP]))
    agent.call()
    for _ in range(6):
        agent.pass_time(1)
    assert list(agent.told()) == [(SHOP_END, "10.1.0.5:40000", ["accept", "read", "close"])]
    balance = agent.ledger.balance()
    assert (balance.captured, dict(balance.lost), agent.pipeline.pending) == (6, {"pod_unknown": 3}, 0)


def test_at_the_end_nobody_waits() -> None:
    agent = Agent(book())
    agent.call()
    agent.pipeline.finish(agent.now)
    assert dict(agent.ledger.balance().lost) == {"pod_unknown": 6}
    assert agent.pipeline.pending == 0


def test_a_pod_of_no_service_is_an_address_and_has_no_logs_of_its_own() -> None:
    known = book([CART_POD, SHOP_POD], [SHOP])
    agent = Agent(known)
    agent.call()
    agent.pass_time(1)
    assert list(agent.told()) == [(SHOP_END, "10.1.0.5:40000", ["accept", "read", "close"])]
    assert agent.ledger.balance().captured == 3
    known.services.apply(there(CART))
    agent.call()
    agent.pass_time(1)
    assert list(agent.told())[1:] == EVERYTHING


def test_namespaces_that_are_left_out_cost_nothing_after_the_first_look() -> None:
    other = pod("shop-1", {"web": SECOND_ID}, namespace="kube-system", pod_uid=uid(2))
    agent = Agent(book([CART_POD, other], [CART]), Wanted(excluded_namespaces=frozenset(("kube-system",))))
    agent.call()
    agent.pass_time(1)
    assert list(agent.told()) == [(CART_END, "10.1.0.6:80", ["connect", "write", "close"])]
    assert set(agent.excluded) == {2}


def test_listeners_of_the_host_are_found_at_the_start_and_left_out() -> None:
    known = book([SHOP_POD], [SHOP])
    agent = Agent(known)
    agent.host.scan = type(agent.host.scan)(
        (
            socket_facts(7, ("0.0.0.0", 22), owners=((3, 3),)),
            socket_facts(8, SERVER, owners=((2, 3),), namespace=2),
        ),
        {1: (), 2: ()},
    )
    agent.pipeline.start(agent.now)
    assert agent.excluded == [3]
    assert [process.pid for process in agent.pipeline.processes.told()] == [2]
