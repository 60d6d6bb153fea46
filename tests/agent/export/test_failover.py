"""Batches go to the backend that takes them: nothing is lost on the way from one to the next, and nothing twice."""

import socket
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.sender import Sender, SenderLimits
from agent.export.transport import Attempt, GrpcTransport, Outcome, Security
from common.grpc import client as client_module
from tests.agent.export.certificates import self_signed
from tests.agent.export.collector import Collector
from tests.common.grpc.calling import SHORT
from tests.common.grpc.passing_time import pass_time_only_while
from tests.waiting import PATIENCE

CODE = grpc.StatusCode
FAST = SenderLimits(first_pause=0.001, longest_pause=0.002, late_seconds=1_000.0, attempt_seconds=600.0)
"""No answer is late, and none is given up, however slow the machine is: batches go one after the other."""
BATCH = Batch([b"one", b"", b"three"], 2)


def serving(stack: ExitStack, *collectors: Collector) -> list[str]:
    return [f"127.0.0.1:{stack.enter_context(collector.serve())}" for collector in collectors]


def opened(stack: ExitStack, addresses: list[str], security: Security | None = None) -> GrpcTransport:
    transport = GrpcTransport(",".join(addresses), security)
    stack.callback(transport.close)
    return transport


def sent(number: int, transport: GrpcTransport) -> tuple[list[Batch], Ledger]:
    """Batches of one log that a sender has sent, and what became of them."""
    ledger = Ledger()
    batches = [Batch([b"%d" % each], 1) for each in range(number)]
    sender = Sender(transport, ledger, FAST)
    for batch in batches:
        ledger.capture(batch.logs)
        sender.submit(batch)
    sender.start()
    sender.stop(PATIENCE)
    return batches, ledger


def test_a_batch_that_was_not_answered_goes_to_the_next_backend_under_its_id() -> None:
    first, second = Collector(), Collector()
    first.failure = lambda _: CODE.UNAVAILABLE
    with ExitStack() as stack:
        addresses = serving(stack, first, second)
        transport = opened(stack, addresses)
        failed = transport.send(BATCH, PATIENCE)
        assert failed == Attempt(Outcome.RETRY, f"{addresses[0]}: UNAVAILABLE: as the test wants")
        assert transport.send(BATCH, PATIENCE) == Attempt(Outcome.DELIVERED)
        assert (transport.backends.failures, transport.backends.moves) == ({addresses[0]: 1}, 1)
    assert first.attempts == second.attempts == [BATCH.id]
    assert second.accepted == {BATCH.id: list(BATCH.messages)}


def test_what_one_refuses_another_may_take() -> None:
    first, second = Collector(), Collector()
    first.failure = lambda _: CODE.UNIMPLEMENTED
    with ExitStack() as stack:
        transport = opened(stack, serving(stack, first, second))
        assert [transport.send(BATCH, PATIENCE).outcome for _ in range(2)] == [Outcome.RETRY, Outcome.DELIVERED]
    assert list(second.accepted) == [BATCH.id]


@pytest.mark.parametrize("other", [CODE.INVALID_ARGUMENT, CODE.UNAVAILABLE, CODE.INTERNAL])
def test_a_batch_is_refused_when_one_refuses_it_and_no_other_takes_it(other: grpc.StatusCode) -> None:
    collectors = Collector(), Collector(), Collector()
    for collector, status in zip(collectors, (CODE.INVALID_ARGUMENT, other, CODE.INVALID_ARGUMENT), strict=True):
        collector.failure = lambda _, status=status: status  # type: ignore[misc] # binds what it is now
    with ExitStack() as stack:
        transport = opened(stack, serving(stack, *collectors))
        assert [transport.send(BATCH, PATIENCE).outcome for _ in range(3)] == [
            Outcome.RETRY,
            Outcome.RETRY,
            Outcome.REFUSED,
        ]
        another = Batch([b"x"], 1)  # it is judged for itself
        assert transport.send(another, PATIENCE).outcome is Outcome.RETRY
    assert [len(collector.attempts) for collector in collectors] == [2, 1, 1]


@pytest.mark.parametrize("status", [CODE.PERMISSION_DENIED, CODE.UNAUTHENTICATED])
def test_one_that_does_not_take_the_agent_is_left_for_one_that_does(status: grpc.StatusCode) -> None:
    first, second = Collector(), Collector()
    first.failure = lambda _: status
    with ExitStack() as stack:
        batches, ledger = sent(20, opened(stack, serving(stack, first, second)))
    assert first.attempts == [batches[0].id]
    assert list(second.accepted) == [batch.id for batch in batches]
    assert (ledger.balance().delivered, ledger.balance().lost) == (20, {})


def test_outages_before_a_refusal_do_not_count_as_refusals() -> None:
    first, second = Collector(), Collector()
    first.failure = lambda number: CODE.UNAVAILABLE if number < 2 else CODE.INVALID_ARGUMENT
    second.failure = lambda number: CODE.UNAVAILABLE if number < 2 else None
    with ExitStack() as stack:
        transport = opened(stack, serving(stack, first, second))
        outcomes = [transport.send(BATCH, PATIENCE).outcome for _ in range(6)]
    assert outcomes == [Outcome.RETRY] * 5 + [Outcome.DELIVERED]


def test_every_batch_arrives_once_while_backends_fail_in_turn() -> None:
    """Each of three fails two of its attempts in five; an answer of OK is the only one that a batch gets."""
    collectors = [Collector() for _ in range(3)]
    for collector in collectors:
        collector.failure = lambda number: CODE.UNAVAILABLE if number % 5 in (1, 3) else None
    with ExitStack() as stack:
        transport = opened(stack, serving(stack, *collectors))
        batches, ledger = sent(200, transport)
    accepted = [identity for collector in collectors for identity in collector.accepted]
    assert sorted(accepted) == sorted(batch.id for batch in batches)
    balance = ledger.balance()
    assert (balance.captured, balance.delivered, balance.lost) == (200, 200, {})
    assert transport.backends.moves == transport.backends.failures.total()
    assert transport.backends.moves == sum(len(collector.attempts) for collector in collectors) - 200
    assert all(collector.accepted for collector in collectors)


def test_one_that_takes_a_connection_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ADDRESS_SECONDS", SHORT)
    good = Collector()
    with ExitStack() as stack:
        silent = f"127.0.0.1:{stack.enter_context(socket.create_server(('127.0.0.1', 0))).getsockname()[1]}"
        transport = opened(stack, [silent, *serving(stack, good)])
        pass_time_only_while(monkeypatch, f"waiting for {silent} to begin with HTTP/2")
        failed = transport.send(BATCH, PATIENCE)
        reason = f"{silent}: UNAVAILABLE: too long waiting for {silent} to begin with HTTP/2"
        assert failed == Attempt(Outcome.RETRY, reason)
        assert transport.send(BATCH, PATIENCE).outcome is Outcome.DELIVERED
    assert list(good.accepted) == [BATCH.id]


def test_one_whose_certificate_is_of_another_authority_and_one_that_speaks_plain_text(tmp_path: Path) -> None:
    trusted, stranger = self_signed(tmp_path / "trusted"), self_signed(tmp_path / "stranger")
    wrong, plain, good = Collector(), Collector(), Collector()
    with ExitStack() as stack:
        ports = [
            stack.enter_context(wrong.serve(credentials=stranger.server())),
            stack.enter_context(plain.serve()),
            stack.enter_context(good.serve(credentials=trusted.server())),
        ]
        addresses = [f"127.0.0.1:{port}" for port in ports]
        transport = opened(stack, addresses, Security(trusted.certificate))
        details = [transport.send(BATCH, PATIENCE) for _ in range(3)]
    assert [attempt.outcome for attempt in details] == [Outcome.RETRY, Outcome.RETRY, Outcome.DELIVERED]
    assert f"{addresses[0]}: UNAVAILABLE: " in details[0].detail
    assert "its certificate does not fit" in details[0].detail
    assert "no TLS with it" in details[1].detail
    assert [list(each.attempts) for each in (wrong, plain, good)] == [[], [], [BATCH.id]]


def test_a_certificate_that_is_not_to_be_verified_is_taken(tmp_path: Path) -> None:
    collector = Collector()
    with ExitStack() as stack:
        port = stack.enter_context(collector.serve(credentials=self_signed(tmp_path).server()))
        transport = opened(stack, [f"127.0.0.1:{port}"], Security(verified=False))
        assert transport.send(BATCH, PATIENCE).outcome is Outcome.DELIVERED
    assert list(collector.accepted) == [BATCH.id]
