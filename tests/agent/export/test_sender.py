import random
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.sender import Sender, SenderLimits
from agent.export.spool import Spool
from agent.export.transport import Attempt, GrpcTransport, Outcome
from tests.agent.export.collector import Collector
from tests.ports import free_ports
from tests.waiting import PATIENCE

FAST = SenderLimits(first_pause=0.001, longest_pause=0.002, late_seconds=1_000.0)
"""No answer is late, however slow the machine is: batches go one after the other."""


class FakeTransport:
    """Answers as a script says; can hold an attempt until it is let go."""

    def __init__(self, answer: Callable[[int], Outcome] = lambda _: Outcome.DELIVERED) -> None:
        self._answer = answer
        self.sent: list[Batch] = []
        self.delivered: list[Batch] = []
        self.arrived = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def send(self, batch: Batch, timeout: float) -> Attempt:
        assert timeout >= 0
        with self._lock:
            number = len(self.sent)
            self.sent.append(batch)
        self.arrived.release()
        while not self.go.wait(0.01):
            if self._cancelled.is_set():
                return Attempt(Outcome.RETRY, "given up")
        outcome = self._answer(number)
        if outcome is Outcome.DELIVERED:
            self.delivered.append(batch)
        return Attempt(outcome, "" if outcome is Outcome.DELIVERED else outcome.name)

    def cancel(self) -> None:
        self._cancelled.set()

    def twin(self) -> "FakeTransport":
        return self

    def close(self) -> None:
        """Nothing to release."""


def _batch(logs: int = 1, size: int = 10) -> Batch:
    return Batch([b"x" * size], logs)


def _submit(sender: Sender, ledger: Ledger, *batches: Batch) -> None:
    for batch in batches:
        ledger.capture(batch.logs)
        sender.submit(batch)


def test_batches_arrive_in_order_and_are_booked() -> None:
    ledger, transport = Ledger(), FakeTransport()
    sender = Sender(transport, ledger, FAST)
    batches = [_batch(number) for number in range(1, 6)]
    _submit(sender, ledger, *batches)
    sender.start()
    sender.stop(PATIENCE)
    assert transport.delivered == batches
    balance = ledger.balance()
    assert (balance.captured, balance.delivered, balance.waiting, balance.lost) == (15, 15, 0, {})


def test_a_batch_is_sent_again_until_it_is_answered() -> None:
    answers = [Outcome.RETRY] * 7 + [Outcome.DELIVERED]
    ledger, transport = Ledger(), FakeTransport(lambda number: answers[number])
    sender = Sender(transport, ledger, FAST)
    batch = _batch(3)
    sender.start()
    _submit(sender, ledger, batch)
    assert sender.wait_for_room(_batch(FAST.logs), PATIENCE)  # the queue is empty again
    assert transport.sent == [batch] * 8
    sender.stop(PATIENCE)
    assert ledger.balance().delivered == 3


def test_a_refusal_is_booked_and_the_next_batch_goes_on() -> None:
    ledger, transport = Ledger(), FakeTransport(lambda number: Outcome.REFUSED if number == 0 else Outcome.DELIVERED)
    sender = Sender(transport, ledger, FAST)
    _submit(sender, ledger, _batch(2), _batch(5))
    sender.start()
    sender.stop(PATIENCE)
    balance = ledger.balance()
    assert (balance.delivered, balance.lost) == (5, {"refused": 2})


def test_attempts_that_nobody_took_do_not_count_as_doubtful() -> None:
    answers = [Outcome.RETRY] * 7 + [Outcome.DOUBTFUL, Outcome.RETRY] * (FAST.doubtful_attempts - 1)
    ledger, transport = Ledger(), FakeTransport(lambda number: [*answers, Outcome.DELIVERED][number])
    sender = Sender(transport, ledger, FAST)
    sender.start()
    _submit(sender, ledger, _batch(3))
    sender.stop(PATIENCE)
    assert len(transport.sent) == len(answers) + 1
    assert (ledger.balance().delivered, ledger.balance().lost) == (3, {})


def test_a_batch_that_is_denied_is_kept_and_sent_again() -> None:
    answers = [Outcome.DENIED] * 20 + [Outcome.RETRY, Outcome.DENIED, Outcome.DELIVERED]
    ledger, transport = Ledger(), FakeTransport(lambda number: answers[number])
    sender = Sender(transport, ledger, FAST)
    _submit(sender, ledger, _batch(3))
    sender.start()
    sender.stop(PATIENCE)
    assert len(transport.sent) == len(answers)
    assert (ledger.balance().delivered, ledger.balance().lost) == (3, {})


def test_batches_that_are_denied_for_too_long_are_lost_by_a_cause_of_their_own() -> None:
    answers = [Outcome.DENIED, Outcome.DENIED, Outcome.DELIVERED]
    ledger, transport = Ledger(), FakeTransport(lambda number: answers[number])
    sender = Sender(transport, ledger, replace(FAST, denied_seconds=0.0))
    _submit(sender, ledger, _batch(2), _batch(4), _batch(8))
    sender.start()
    sender.stop(PATIENCE)
    assert (ledger.balance().delivered, ledger.balance().lost) == (8, {"denied": 6})


def test_while_batches_are_denied_the_queue_keeps_its_bound() -> None:
    ledger, transport = Ledger(), FakeTransport(lambda _: Outcome.DENIED)
    sender = Sender(transport, ledger, replace(FAST, logs=10))
    sender.start()
    _submit(sender, ledger, *(_batch(1) for _ in range(100)))
    balance = ledger.balance()
    assert (balance.waiting, balance.lost) == (10, {"queue_full": 90})
    sender.stop(0.05)
    assert ledger.balance().lost == {"queue_full": 90, "shutdown": 10}


def test_what_is_denied_until_the_end_is_in_the_spool_for_the_next_agent(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        denied = FakeTransport(lambda _: Outcome.DENIED)
        sender = Sender(denied, spool.ledger, FAST, spool)
        sender.start()
        _submit(sender, spool.ledger, _batch(2), _batch(3))
        denied.arrived.acquire()
        sender.stop(0.05)
    with closing(Spool(tmp_path)) as spool:
        transport = FakeTransport()
        sender = Sender(transport, spool.ledger, FAST, spool)
        sender.start()
        sender.stop(PATIENCE)
        balance = spool.ledger.balance()
        assert (balance.captured, balance.delivered, balance.lost) == (5, 5, {})
    assert [batch.logs for batch in transport.delivered] == [2, 3]


def test_a_doubtful_error_becomes_a_refusal_after_some_attempts() -> None:
    ledger, transport = Ledger(), FakeTransport(lambda _: Outcome.DOUBTFUL)
    sender = Sender(transport, ledger, FAST)
    _submit(sender, ledger, _batch(2))
    sender.start()
    assert sender.wait_for_room(_batch(FAST.logs), PATIENCE)
    sender.stop(PATIENCE)
    assert len(transport.sent) == FAST.doubtful_attempts
    assert ledger.balance().lost == {"refused": 2}


@pytest.mark.parametrize(
    "limits", [replace(FAST, logs=10), replace(FAST, size=100)], ids=["bounded by logs", "bounded by bytes"]
)
def test_a_full_queue_gives_up_the_oldest_that_is_not_under_way(limits: SenderLimits) -> None:
    ledger, transport = Ledger(), FakeTransport()
    transport.go.clear()
    sender = Sender(transport, ledger, limits)
    batches = [_batch(2, 20) for _ in range(9)]
    sender.start()
    _submit(sender, ledger, batches[0])
    transport.arrived.acquire()
    _submit(sender, ledger, *batches[1:])
    assert sender.waiting == 10
    transport.go.set()
    sender.stop(PATIENCE)
    assert transport.delivered == [batches[0], *batches[5:]]
    balance = ledger.balance()
    assert (balance.delivered, balance.lost) == (10, {"queue_full": 8})


def test_a_batch_larger_than_the_queue_is_given_up_at_once() -> None:
    ledger, transport = Ledger(), FakeTransport()
    sender = Sender(transport, ledger, SenderLimits(logs=10))
    _submit(sender, ledger, _batch(11))
    assert ledger.balance().lost == {"queue_full": 11}
    assert sender.waiting == 0


def test_what_cannot_be_delivered_in_time_is_lost_by_shutdown() -> None:
    ledger, transport = Ledger(), FakeTransport(lambda _: Outcome.RETRY)
    sender = Sender(transport, ledger, FAST)
    sender.start()
    _submit(sender, ledger, _batch(2), _batch(3))
    sender.stop(0.05)
    assert ledger.balance().lost == {"shutdown": 5}
    assert sender.waiting == 0


def test_an_attempt_that_hangs_does_not_hold_up_the_end() -> None:
    ledger, transport = Ledger(), FakeTransport()
    transport.go.clear()
    sender = Sender(transport, ledger, FAST)
    sender.start()
    _submit(sender, ledger, _batch(2))
    transport.arrived.acquire()
    sender.stop(0.05)
    assert ledger.balance().lost == {"shutdown": 2}


def test_a_sender_that_was_never_started_can_be_stopped() -> None:
    ledger = Ledger()
    sender = Sender(FakeTransport(), ledger, FAST)
    _submit(sender, ledger, _batch(2))
    sender.stop(0)
    assert ledger.balance().lost == {"shutdown": 2}


@settings(max_examples=100)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 60)), max_size=25),
    outcomes=st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=20),
    stop_early=st.booleans(),
)
def test_captured_is_delivered_plus_waiting_plus_lost(
    sizes: list[tuple[int, int]], outcomes: list[Outcome], *, stop_early: bool
) -> None:
    answers = [*outcomes, Outcome.DELIVERED]  # at least one in a while succeeds
    ledger, transport = Ledger(), FakeTransport(lambda number: answers[number % len(answers)])
    sender = Sender(transport, ledger, SenderLimits(logs=20, size=150, first_pause=0.0001, longest_pause=0.0002))
    sender.start()
    captured = 0
    for logs, size in sizes:
        captured += logs
        _submit(sender, ledger, _batch(logs, size))
        balance = ledger.balance()
        assert balance.captured == captured == balance.delivered + balance.waiting + sum(balance.lost.values())
        assert 0 <= balance.waiting <= 20 + 8
    sender.stop(0 if stop_early else PATIENCE)
    balance = ledger.balance()
    assert balance.waiting == sender.waiting == 0
    assert balance.delivered == sum(batch.logs for batch in transport.delivered)
    assert balance.captured == captured == balance.delivered + sum(balance.lost.values())


def test_over_a_real_server_that_fails_at_random_nothing_is_unaccounted_for() -> None:
    generator = random.Random(7)
    failures = [None, None, *(grpc.StatusCode[name] for name in ("UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED"))]
    refused = grpc.StatusCode.INVALID_ARGUMENT
    collector = Collector()
    collector.failure = lambda _: generator.choice([*failures, refused])
    ledger = Ledger()
    with collector.serve() as port:
        transport = GrpcTransport(f"127.0.0.1:{port}")
        sender = Sender(transport, ledger, FAST)
        sender.start()
        batches = {batch.id: batch for batch in (_batch(number % 7 + 1) for number in range(200))}
        _submit(sender, ledger, *batches.values())
        sender.stop(PATIENCE)
        transport.close()
    balance = ledger.balance()
    assert balance.waiting == 0
    assert set(balance.lost) == {"refused"}
    assert balance.delivered == sum(batches[identity].logs for identity in collector.accepted)
    assert (
        balance.captured == sum(batch.logs for batch in batches.values()) == balance.delivered + balance.lost["refused"]
    )
    assert set(collector.attempts) == set(batches)


def test_the_backend_may_go_away_and_come_back() -> None:
    collector, ledger = Collector(), Ledger()
    (port,) = free_ports(1)
    with collector.serve(port):
        transport = GrpcTransport(f"127.0.0.1:{port}")
        sender = Sender(transport, ledger, SenderLimits(first_pause=0.01, longest_pause=0.1))
        sender.start()
        first = _batch(1)
        _submit(sender, ledger, first)
        assert sender.wait_for_room(_batch(SenderLimits().logs), PATIENCE)  # the answer has come as well
    second = _batch(2)
    _submit(sender, ledger, second)
    while not sender.problem:
        assert second.id not in collector.accepted
    assert ledger.balance().waiting == 2
    with collector.serve(port):
        collector.wait(lambda: second.id in collector.accepted)
        sender.stop(PATIENCE)
    transport.close()
    balance = ledger.balance()
    assert (balance.captured, balance.delivered, balance.lost) == (3, 3, {})
