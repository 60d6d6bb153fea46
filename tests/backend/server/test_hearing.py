from pathlib import Path

import grpc
import numpy as np
import pytest

from backend.entities import ids
from backend.entities.addresses.hosts import HostBook
from backend.entities.resolution import Flow, Resolver
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, Node
from backend.ingest.sink import Overloaded
from backend.server.hearing import AGAIN, Hearing
from backend.server.settings import STORE
from backend.storage.duckdb import DuckdbStorage
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.processes import backend
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


def test_a_backend_knows_the_hosts_whose_agents_send_to_it(tmp_path: Path) -> None:
    def stream(name: str, address: str, remote: str) -> EBPFAccessLogMessage:
        made = message(read_log(), node=name, remote=remote)
        made.node.addresses.append(address)
        made.connection.local.kubernetes.serviceName = f"{name}-program"
        return made

    with backend(tmp_path) as (process, addresses):
        with grpc.insecure_channel(addresses["grpc"]) as channel:
            for sent in (stream("alpha", "192.0.2.1", "203.0.113.9"), stream("beta", "192.0.2.2", "192.0.2.1")):
                EBPFAccessLogServiceStub(channel).collect(iter([sent]), timeout=120)
        process.terminate()
        process.communicate(timeout=120)
    storage = DuckdbStorage(tmp_path / STORE)
    try:
        found = {(of.source_id, of.destination_id) for of in storage.service_relations(0, 1 << 30)}
    finally:
        storage.close()
    assert found == {
        (ids.service_id("alpha-program"), ids.service_id("Unknown")),
        (ids.service_id("beta-program"), ids.service_id("alpha")),
    }
