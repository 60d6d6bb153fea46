import numpy as np
import pytest

from backend.entities.addresses.hosts import HostBook
from backend.entities.resolution import Flow, Resolver
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, Node
from backend.ingest.sink import Overloaded
from backend.server.hearing import AGAIN, Hearing
from tests.backend.server.support import Collecting, Full

A = Node("a", "", 0, {}, addresses=("192.0.2.1", "2001:db8::1"))
B = Node("b", "", 0, {}, addresses=("192.0.2.2",))
SILENT = Node("c", "", 0, {})


def batch(*nodes: Node, remote: str = "192.0.2.2") -> LogBatch:
    ends = Address("api", "api-1", "", "", 1), Address("", "", "", remote, 80)
    connections = [Connection(node, *ends, DetectPoint.CLIENT, tls=False, protocol=0) for node in nodes]
    size = len(connections)
    return LogBatch(
        connections,
        np.arange(size, dtype=np.int32),
        np.ones(size, np.int8),
        np.full(size, 7, np.int32),
        np.zeros(size, np.int64),
        {},
    )


async def test_each_host_is_told_once_and_again_after_a_while_or_with_other_addresses() -> None:
    heard: list[tuple[str, tuple[str, ...]]] = []
    now = 0.0
    sink = Collecting()
    hearing = Hearing(sink, lambda node, addresses: heard.append((node.name, addresses)), lambda: now)
    await hearing.submit(batch(A, A, B, SILENT))
    await hearing.submit(batch(A))
    assert heard == [("a", A.addresses), ("b", B.addresses)]
    now = AGAIN
    await hearing.submit(batch(A))
    moved = Node("b", "", 0, {}, addresses=("192.0.2.3",))
    await hearing.submit(batch(moved))
    assert heard[2:] == [("a", A.addresses), ("b", moved.addresses)]
    assert sink.logs == 7


async def test_what_the_sink_answers_is_handed_on() -> None:
    with pytest.raises(Overloaded):
        Hearing(Full(), lambda _node, _addresses: None).submit(batch(A))


async def test_an_address_of_a_host_with_an_agent_is_that_host() -> None:
    book = HostBook(minute=lambda: 5)
    resolver = Resolver(book)
    connection = batch(A).connections[0]
    before = resolver.resolve(connection, 7)
    assert isinstance(before, Flow)
    assert before.destination.service == "Unknown"
    await Hearing(Collecting(), book.hear).submit(batch(A, B))
    after = resolver.resolve(connection, 7)
    assert isinstance(after, Flow)
    assert after.destination == ("b", "b")
