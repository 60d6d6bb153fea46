"""Batches from the agent's transport to the backend as a program."""

import pytest

from agent.export.assembler import MESSAGE_LOGS, Batch
from agent.export.transport import GrpcTransport, Outcome
from tests.delivery.streams import stream_of
from tests.e2e.programs import Backend
from tests.waiting import PATIENCE


@pytest.mark.parametrize(
    ("count", "logs"), [(1, 1), (3, MESSAGE_LOGS), (5_000, 1)], ids=["one", "large messages", "many messages"]
)
def test_a_batch_is_counted_once_however_often_it_is_sent(store: Backend, count: int, logs: int) -> None:
    batch = Batch(stream_of("service", count * logs, count), count * logs)
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
    attempt = transport.send(Batch(stream_of("service", 5_000, 5_000), 5_000), PATIENCE)
    transport.close()
    assert attempt.outcome is Outcome.REFUSED
    assert attempt.detail.startswith("UNIMPLEMENTED: ")
