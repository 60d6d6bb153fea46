"""Batches from the agent's transport to the backend as a program."""

import time

import pytest

from agent.export.assembler import MESSAGE_LOGS, Batch
from agent.export.transport import GrpcTransport, Outcome
from protos.ebpf import accesslog_pb2
from tests.e2e.programs import PATIENCE, Backend


def messages(count: int, logs: int) -> list[bytes]:
    """A stream of one connection: the node, then messages with so many reads each."""
    first = accesslog_pb2.EBPFAccessLogMessage()
    first.node.name = "node"
    first.node.bootTime.seconds = int(time.time()) - 3_600
    made = accesslog_pb2.EBPFAccessLogMessage()
    local = made.connection.local.kubernetes
    local.serviceName, local.podName, local.processName, local.port = "service", "pod", "process", 80
    made.connection.remote.ip.host, made.connection.remote.ip.port = "10.0.0.2", 50_000
    made.connection.protocol = 1
    for number in range(logs):
        read = made.kernelLogs.add().read
        read.startTime.offset.offset = 3_500_000_000_000 + number
        read.endTime.offset.offset = read.startTime.offset.offset + 1_000
        read.l2Metrics.totalPackageSize = number
    return [first.SerializeToString(), *[made.SerializeToString()] * count]


@pytest.mark.parametrize(
    ("count", "logs"), [(1, 1), (3, MESSAGE_LOGS), (5_000, 1)], ids=["one", "large messages", "many messages"]
)
def test_a_batch_is_counted_once_however_often_it_is_sent(store: Backend, count: int, logs: int) -> None:
    batch = Batch(messages(count, logs), count * logs)
    transport = GrpcTransport(store.grpc)
    for _ in range(2):
        attempt = transport.send(batch, PATIENCE)
        assert (attempt.outcome, attempt.detail) == (Outcome.DELIVERED, "")
    transport.close()
    status = store.get("/api/status")["logs"]
    assert status["dropped"] == {}
    assert status["received"] == status["stored"] == count * logs


def test_a_batch_that_the_backend_refuses_is_refused(store: Backend) -> None:
    transport = GrpcTransport(store.grpc)
    transport._metadata = (("grpc-encoding", "snappy"),)
    attempt = transport.send(Batch(messages(5_000, 1), 5_000), PATIENCE)
    transport.close()
    assert attempt.outcome is Outcome.REFUSED
    assert attempt.detail.startswith("UNIMPLEMENTED: ")
