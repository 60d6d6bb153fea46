"""Fuzz target: streams of access logs, damaged, from bytes to what a flush writes.

python -m tests.fuzz access-logs --seconds 20
"""

import random
from collections.abc import Sequence

import numpy as np

from backend.entities import ids
from backend.entities.resolution import EXCLUDED, End, Resolver
from backend.ingest.batch import LogBatch, Node
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from backend.metrics.analysis import analyse
from backend.oal.compiler import Program
from backend.oal.loader import load_texts
from backend.storage.interface import Relation
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from tests.backend.ingest.test_decode import check, rich_message
from tests.fuzz.mutations import mutated

NOW = 2_000_000_000
"""Unix time in seconds."""
PROGRAM = Program(load_texts({"fuzz": "logs = from(K8SServiceInstanceRelation.*).count();"}).definitions)
INTERNER = Interner(nodes=8, connections=64, texts=64)


class Book:
    """An address book that answers anything."""

    version = 0

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        del host, port, node, minute
        return self._source.choice((None, EXCLUDED, End("a", ""), End("b", "b-1"), End("", " ")))


def usable(source: random.Random) -> bytes:
    """A message of a node and a connection whose logs are good, more often than chance would make them."""
    message = EBPFAccessLogMessage.FromString(rich_message(source))
    if source.random() < 0.5:
        message.node.bootTime.seconds, message.node.bootTime.nanos = NOW - source.randrange(1, 4_000), 5
    if source.random() < 0.5:
        message.connection.remote.ip.host = source.choice(("10.0.0.1", "10.0.0.2"))
        message.connection.local.kubernetes.serviceName = source.choice(("a", "b", "Unknown", "x.kube-system"))
        message.connection.local.kubernetes.podName = source.choice(("", "a-1"))
    logs = [getattr(log, log.WhichOneof("operation") or "read") for log in message.kernelLogs]
    for log in [*logs, message.protocolLog.http] if message.HasField("protocolLog") else logs:
        start = source.randrange(4_000) * 1_000_000_000
        log.startTime.offset.offset, log.endTime.offset.offset = start, start + source.randrange(-1, 1_000)
    return message.SerializeToString()


def target(source: random.Random) -> None:
    """Feed one stream. What protobuf refuses is refused, every log is accounted for, and ids can be read back."""
    messages = [usable(source) for _ in range(source.randint(1, 6))]
    if source.random() < 0.6:
        at = source.randrange(len(messages))
        messages[at] = mutated(source, messages[at])
    check(messages)
    stream = LogStream(INTERNER, clock_ns=lambda: NOW * 1_000_000_000)
    stream.take(Frames.of(messages))
    counts = stream.counts
    assert counts.messages == len(messages)
    assert counts.logs == counts.accepted + sum(counts.lost_logs.values())
    batch = stream.batch()
    assert counts.accepted == (0 if batch is None else len(batch))
    if batch is not None:
        check_flush(batch, Resolver(Book(source), excluded_namespaces={"kube-system"}))


def check_flush(batch: LogBatch, resolver: Resolver) -> None:
    """What is analysed is what was not dropped."""
    analysed = analyse([batch], resolver, PROGRAM, "fuzz")
    flush = analysed.flush
    assert np.all(flush.rows["summation"].to_numpy() > 0)
    assert flush.rows["summation"].sum() + sum(analysed.dropped.values()) <= len(batch)
    for service in flush.services:
        assert ids.decode_service_id(service.id) == (service.name, True)
    for instance in flush.instances:
        assert ids.decode_instance_id(instance.id).instance == instance.name
    for endpoint in flush.endpoints:
        assert ids.decode_endpoint_id(endpoint.id).endpoint == endpoint.name
    check_ends(flush.service_relations, flush.instance_relations, flush.endpoint_relations)


def check_ends(services: Sequence[Relation], instances: Sequence[Relation], endpoints: Sequence[Relation]) -> None:
    """The id of a relation is made of its ends."""
    for relation in services:
        assert ids.service_relation_id(relation.source_id, relation.destination_id) == relation.id
    for relation in instances:
        assert ids.instance_relation_id(relation.source_id, relation.destination_id) == relation.id
    for relation in endpoints:
        source, destination = ids.decode_endpoint_relation_id(relation.id)
        assert relation.source_id == ids.endpoint_id(ids.service_id(source.service.service), source.endpoint)
        assert relation.destination_id == ids.endpoint_id(
            ids.service_id(destination.service.service), destination.endpoint
        )
