import random
import socket
from pathlib import Path

import grpc
import pytest

from agent.export.assembler import Batch
from agent.export.transport import Attempt, GrpcTransport, Outcome, Security
from tests.agent.export.certificates import self_signed
from tests.agent.export.collector import Collector
from tests.common.grpc.peer import Peer, Peers, greeted
from tests.waiting import PATIENCE

BATCH = Batch([b"one", b"", b"three"], 2)
CODE = grpc.StatusCode


def test_messages_arrive_as_they_are_with_the_batch_id() -> None:
    collector = Collector()
    with collector.serve() as port:
        transport = GrpcTransport(f"127.0.0.1:{port}")
        assert transport.send(BATCH, PATIENCE).outcome is Outcome.DELIVERED
        assert transport.send(BATCH, PATIENCE).outcome is Outcome.DELIVERED
        transport.close()
    assert collector.accepted == {BATCH.id: [b"one", b"", b"three"]}
    assert collector.attempts == [BATCH.id, BATCH.id]  # the same one, sent again


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (CODE.UNAVAILABLE, Outcome.RETRY),
        (CODE.DEADLINE_EXCEEDED, Outcome.RETRY),
        (CODE.RESOURCE_EXHAUSTED, Outcome.RETRY),
        (CODE.ABORTED, Outcome.RETRY),
        (CODE.INTERNAL, Outcome.DOUBTFUL),
        (CODE.UNKNOWN, Outcome.DOUBTFUL),
        (CODE.INVALID_ARGUMENT, Outcome.REFUSED),
        (CODE.UNIMPLEMENTED, Outcome.REFUSED),
        (CODE.PERMISSION_DENIED, Outcome.DENIED),
        (CODE.UNAUTHENTICATED, Outcome.DENIED),
    ],
)
def test_statuses(status: grpc.StatusCode, outcome: Outcome) -> None:
    collector = Collector()
    collector.failure = lambda _: status
    with collector.serve() as port:
        transport = GrpcTransport(f"127.0.0.1:{port}")
        attempt = transport.send(BATCH, PATIENCE)
        transport.close()
    assert attempt.outcome is outcome
    assert attempt.detail == f"{status.name}: as the test wants"


def test_a_backend_that_is_not_there_is_worth_another_attempt() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        transport = GrpcTransport(f"127.0.0.1:{unused.getsockname()[1]}")
        assert transport.send(BATCH, PATIENCE).outcome is Outcome.RETRY
        transport.close()


def test_a_backend_that_does_not_answer_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = GrpcTransport(f"127.0.0.1:{silent.getsockname()[1]}")
        assert transport.send(BATCH, 0.2).outcome is Outcome.RETRY
        transport.close()


def test_an_attempt_that_is_given_up_is_worth_another_one() -> None:
    transports: list[GrpcTransport] = []

    def play(peer: Peer) -> None:
        peer.request()
        transports[0].cancel()
        peer.answer(peer.request())

    peers = Peers(greeted(play))
    with peers.listen() as port:
        transport = GrpcTransport(f"127.0.0.1:{port}")
        transports.append(transport)
        transport.cancel()  # nothing is under way
        assert transport.send(BATCH, PATIENCE) == Attempt(Outcome.RETRY, "given up", timed_out=True)
        assert transport.send(BATCH, PATIENCE) == Attempt(Outcome.DELIVERED)
        transport.close()
    assert [request.headers["pyrover-batch-id"] for request in peers.connections[0].requests.values()] == [BATCH.id] * 2


@pytest.mark.parametrize("sizes", [[0], [65_535, 65_536, 65_537], [3_000_000, 1, 3_000_000], [100] * 20_000])
def test_batches_of_every_size_arrive_as_they_are(sizes: list[int]) -> None:
    batch = Batch([random.Random(index).randbytes(size) for index, size in enumerate(sizes)], 1)
    collector = Collector()
    with collector.serve() as port:
        transport = GrpcTransport(f"127.0.0.1:{port}")
        assert transport.send(batch, PATIENCE).outcome is Outcome.DELIVERED
        transport.close()
    assert collector.accepted == {batch.id: list(batch.messages)}


def test_authentication_goes_along() -> None:
    collector = Collector()
    with collector.serve() as port:
        transport = GrpcTransport(f"127.0.0.1:{port}", authentication="secret")
        transport.send(BATCH, PATIENCE)
        transport.close()
    assert collector.metadata[0]["authentication"] == "secret"


def test_encrypted(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    collector = Collector()
    with collector.serve(credentials=certificate.server()) as port:
        trusted = GrpcTransport(f"127.0.0.1:{port}", Security(certificate.certificate))
        assert trusted.send(BATCH, PATIENCE).outcome is Outcome.DELIVERED
        trusted.close()
        untrusted = GrpcTransport(f"127.0.0.1:{port}", Security())
        assert untrusted.send(BATCH, PATIENCE).outcome is Outcome.RETRY
        untrusted.close()
    assert list(collector.accepted) == [BATCH.id]
