"""Several batches on their way at the same time, where answers are late."""

import operator
import random
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

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
from tests.waiting import PATIENCE, until

LATE = SenderLimits(first_pause=0.001, longest_pause=0.002, late_seconds=0.0, attempt_seconds=600.0)
"""Every answer is late, and none is given up, however slow the machine is."""


@dataclass
class Slow:
    """A backend that answers when it is told to, and what it is told to."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    sent: list[str] = field(default_factory=list)
    """Ids of batches, in the order in which attempts began."""
    under_way: list[str] = field(default_factory=list)
    most: int = 0
    """Attempts at the same time."""
    delivered: list[str] = field(default_factory=list)
    answers: dict[str, Outcome] = field(default_factory=dict)
    """By id; an attempt takes its answer away."""
    is_cancelled: bool = False

    def send(self, batch: Batch, timeout: float) -> Attempt:
        with self.changed:
            self.sent.append(batch.id)
            self.under_way.append(batch.id)
            self.most = max(self.most, len(self.under_way))
            self.changed.notify_all()
            is_answered = self.changed.wait_for(lambda: self.is_cancelled or batch.id in self.answers, timeout)
            self.under_way.remove(batch.id)
            self.changed.notify_all()
            if not is_answered or batch.id not in self.answers:
                return Attempt(Outcome.RETRY, "given up")
            outcome = self.answers.pop(batch.id)
            if outcome is Outcome.DELIVERED:
                self.delivered.append(batch.id)
            return Attempt(outcome, "" if outcome is Outcome.DELIVERED else outcome.name)

    def cancel(self) -> None:
        with self.changed:
            self.is_cancelled = True
            self.changed.notify_all()

    def twin(self) -> "Slow":
        return self

    def close(self) -> None:
        """Nothing to release."""

    def answer(self, batch: Batch, outcome: Outcome = Outcome.DELIVERED) -> None:
        """Answer its attempt, or the next one when there is none."""
        with self.changed:
            is_awaited = batch.id in self.under_way
            self.answers[batch.id] = outcome
            self.changed.notify_all()
            assert not is_awaited or self.changed.wait_for(lambda: batch.id not in self.answers, PATIENCE)

    def wait_for(self, *batches: Batch) -> None:
        """Wait until exactly these are under way."""
        wanted = sorted(batch.id for batch in batches)
        with self.changed:
            assert self.changed.wait_for(lambda: sorted(self.under_way) == wanted, PATIENCE), self.under_way


def made(number: int, size: int = 10) -> list[Batch]:
    return [Batch([b"x" * size], logs) for logs in range(1, number + 1)]


def submit(sender: Sender, ledger: Ledger, *batches: Batch) -> None:
    for batch in batches:
        ledger.capture(batch.logs)
        sender.submit(batch)


def booked(ledger: Ledger, delivered: int) -> None:
    """Wait until so many logs are booked as delivered."""
    until(lambda: ledger.balance().delivered == delivered, lambda: str(ledger.balance()), pause=0.001)


def test_one_at_a_time_while_answers_come_soon() -> None:
    ledger, backend = Ledger(), Slow()
    sender = Sender(backend, ledger, replace(LATE, late_seconds=1_000.0))
    batches = made(20)
    for batch in batches:
        backend.answer(batch)
    sender.start()
    submit(sender, ledger, *batches)
    sender.stop(PATIENCE)
    assert backend.delivered == [batch.id for batch in batches]
    assert backend.most == 1


def test_four_at_most_while_the_oldest_is_late_and_answers_come_in_any_order(tmp_path: Path) -> None:
    backend = Slow()
    with closing(Spool(tmp_path)) as spool:
        sender = Sender(backend, spool.ledger, LATE, spool)
        batches = made(7)
        sender.start()
        submit(sender, spool.ledger, *batches)
        backend.wait_for(*batches[:4])
        delivered = 0
        for answered, following in ((2, 4), (3, 5), (0, 6), (5, None), (6, None), (1, None), (4, None)):
            backend.answer(batches[answered])
            delivered += batches[answered].logs
            booked(spool.ledger, delivered)
            if following is not None:
                with backend.changed:
                    following_id = batches[following].id
                    is_under_way = partial(operator.contains, backend.under_way, following_id)
                    assert backend.changed.wait_for(is_under_way, PATIENCE)
            assert sender.waiting == spool.ledger.balance().waiting == 28 - delivered  # asked when booking is over
            # Each is removed when it is answered, whatever comes before it.
            left = {path.name.split("-", 2)[2].removesuffix(".batch") for path in tmp_path.glob("*.batch")}
            assert left == {batch.id for batch in batches} - set(backend.delivered)
        sender.stop(PATIENCE)
        assert spool.ledger.balance().lost == {}
    assert sorted(backend.sent) == sorted(batch.id for batch in batches)
    assert backend.most == 4


def test_after_a_failure_one_is_sent_at_a_time_until_one_succeeds() -> None:
    ledger, backend = Ledger(), Slow()
    sender = Sender(backend, ledger, LATE)
    batches = made(8)
    sender.start()
    submit(sender, ledger, *batches)
    backend.wait_for(*batches[:4])
    for failing, left in ((3, [0, 1, 2]), (1, [0, 2]), (2, [0]), (0, [0])):
        backend.answer(batches[failing], Outcome.RETRY)
        backend.wait_for(*(batches[number] for number in left))
    assert backend.sent[4:] == [batches[0].id]
    assert sender.problem == "RETRY"
    backend.answer(batches[0])
    backend.wait_for(*batches[1:5])
    assert sorted(backend.sent[5:]) == sorted(batch.id for batch in batches[1:5])
    for batch in batches[1:]:
        backend.answer(batch)
    sender.stop(PATIENCE)
    assert (ledger.balance().delivered, ledger.balance().lost) == (36, {})


def test_what_failed_beside_others_is_sent_again_when_nothing_else_is_left() -> None:
    ledger, backend = Ledger(), Slow()
    sender = Sender(backend, ledger, LATE)
    batches = made(2)
    sender.start()
    submit(sender, ledger, *batches)
    backend.wait_for(*batches)
    backend.answer(batches[0])
    backend.wait_for(batches[1])
    backend.answer(batches[1], Outcome.RETRY)
    with backend.changed:
        assert backend.changed.wait_for(lambda: len(backend.sent) == 3, PATIENCE)
    backend.answer(batches[1])
    sender.stop(PATIENCE)
    assert (ledger.balance().delivered, ledger.balance().lost) == (3, {})


def test_doubts_are_those_of_a_batch_whoever_sends_it() -> None:
    ledger, backend = Ledger(), Slow()
    sender = Sender(backend, ledger, LATE)
    good, bad = made(2)
    sender.start()
    submit(sender, ledger, good, bad)
    backend.wait_for(good, bad)
    for _ in range(LATE.doubtful_attempts):
        with backend.changed:
            assert backend.changed.wait_for(lambda: bad.id in backend.under_way, PATIENCE)
            backend.answers[bad.id] = Outcome.DOUBTFUL
            # The first time, a thread that helps sends it.
            backend.answers[good.id] = Outcome.DELIVERED
            backend.changed.notify_all()
            assert backend.changed.wait_for(lambda: bad.id not in backend.answers, PATIENCE)
    sender.stop(PATIENCE)
    assert backend.sent.count(bad.id) == LATE.doubtful_attempts
    assert (ledger.balance().delivered, ledger.balance().lost) == (1, {"refused": 2})


def test_a_full_queue_gives_up_the_oldest_that_is_not_under_way() -> None:
    ledger, backend = Ledger(), Slow()
    sender = Sender(backend, ledger, replace(LATE, size=60))
    batches = made(9)
    sender.start()
    submit(sender, ledger, *batches[:4])
    backend.wait_for(*batches[:4])
    submit(sender, ledger, *batches[4:])
    assert ledger.balance().lost == {"queue_full": 5 + 6 + 7}
    for batch in batches:
        backend.answer(batch)
    sender.stop(PATIENCE)
    assert set(backend.delivered) == {batch.id for batch in (*batches[:4], *batches[7:])}


def test_no_more_of_the_spool_is_in_memory_than_may_be(tmp_path: Path) -> None:
    backend = Slow()
    batches = made(9, 100)
    with closing(Spool(tmp_path)) as spool:
        sender = Sender(backend, spool.ledger, replace(LATE, size=2 * 116), spool)
        sender.start()
        submit(sender, spool.ledger, *batches)
        for number, batch in enumerate(batches):
            backend.wait_for(*batches[number : number + 2])
            backend.answer(batch)
        sender.stop(PATIENCE)
        assert (spool.ledger.balance().delivered, spool.ledger.balance().lost) == (45, {})
    assert backend.most == 2


def test_one_that_is_larger_than_memory_is_sent_alone(tmp_path: Path) -> None:
    backend = Slow()
    batches = made(3, 100)
    with closing(Spool(tmp_path)) as spool:
        sender = Sender(backend, spool.ledger, replace(LATE, size=50), spool)
        for batch in batches:
            backend.answer(batch)
        submit(sender, spool.ledger, *batches)
        sender.start()
        sender.stop(PATIENCE)
        assert spool.ledger.balance().delivered == 6
    assert (backend.delivered, backend.most) == ([batch.id for batch in batches], 1)


def test_attempts_that_hang_do_not_hold_up_the_end(tmp_path: Path) -> None:
    ledger, backend, batches = Ledger(), Slow(), made(6)
    sender = Sender(backend, ledger, LATE)
    sender.start()
    submit(sender, ledger, *batches)
    backend.wait_for(*batches[:4])
    sender.stop(0.05)
    assert ledger.balance().lost == {"shutdown": 21}
    assert not any(thread.is_alive() for thread in sender._threads)
    backend = Slow()
    with closing(Spool(tmp_path)) as spool:
        sender = Sender(backend, spool.ledger, LATE, spool)
        sender.start()
        submit(sender, spool.ledger, *batches)
        backend.wait_for(*batches[:4])
        sender.stop(0.05)
        assert (spool.ledger.balance().waiting, spool.ledger.balance().lost) == (21, {})
        assert len(list(tmp_path.glob("*.batch"))) == 6


def test_the_end_waits_for_answers_that_come_in_time() -> None:
    ledger, backend, batches = Ledger(), Slow(), made(6)
    sender = Sender(backend, ledger, LATE)
    sender.start()
    submit(sender, ledger, *batches)
    backend.wait_for(*batches[:4])
    ending = threading.Thread(target=sender.stop, args=(PATIENCE,))
    ending.start()
    backend.answer(batches[2], Outcome.RETRY)  # and is sent again before the end
    for batch in (batches[0], batches[1], *batches[3:]):
        backend.answer(batch)
    with backend.changed:
        assert backend.changed.wait_for(lambda: backend.sent.count(batches[2].id) == 2, PATIENCE)
    backend.answer(batches[2])
    ending.join(PATIENCE)
    assert (ledger.balance().delivered, ledger.balance().lost) == (21, {})


class Erratic(Slow):
    """Answers by itself: some of what is under way, in any order, with any outcome."""

    def __init__(self, seed: int, outcomes: list[Outcome]) -> None:
        super().__init__()
        self._chance = random.Random(seed)
        self._outcomes = outcomes
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._answer_some)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        with self.changed:
            self.changed.notify_all()
        self._thread.join()

    def _answer_some(self) -> None:
        with self.changed:
            while not self._ending.is_set():
                open_ = sorted(set(self.under_way) - set(self.answers))
                if not open_:
                    self.changed.wait()
                    continue
                self.changed.wait(self._chance.choice((0.0, 0.0, 0.001)))
                for identity in self._chance.sample(open_, self._chance.randint(1, len(open_))):
                    self.answers[identity] = self._chance.choice(self._outcomes)
                self.changed.notify_all()


@settings(max_examples=60)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 60)), max_size=25),
    outcomes=st.lists(st.sampled_from(list(Outcome)), max_size=4),
    seed=st.integers(0, 1 << 16),
    spooled=st.booleans(),
    stop_early=st.booleans(),
)
def test_captured_is_delivered_plus_waiting_plus_lost_whatever_order_answers_have(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[tuple[int, int]],
    outcomes: list[Outcome],
    seed: int,
    *,
    spooled: bool,
    stop_early: bool,
) -> None:
    limits = replace(LATE, logs=20, size=150, spool_bytes=300, first_pause=0.0001, longest_pause=0.0002)
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("spool")
        spool = stack.enter_context(closing(Spool(folder))) if spooled else None
        ledger = Ledger() if spool is None else spool.ledger
        backend = stack.enter_context(Erratic(seed, [*outcomes, Outcome.DELIVERED]))
        sender = Sender(backend, ledger, limits, spool)
        sender.start()
        batches = [Batch([b"x" * size], logs) for logs, size in sizes]
        for batch in batches:
            submit(sender, ledger, batch)
            balance = ledger.balance()
            assert balance.captured == balance.delivered + balance.waiting + sum(balance.lost.values())
            assert sender.queue.size - sender.queue.spooled_size <= limits.size
            assert sender.queue.spooled_size <= limits.spool_bytes
        sender.stop(0 if stop_early else PATIENCE)
        balance = ledger.balance()
        assert balance.captured == sum(batch.logs for batch in batches)
        assert balance.waiting == sender.waiting
        assert stop_early or not balance.waiting
        logs = {batch.id: batch.logs for batch in batches}
        assert len(set(backend.delivered)) == len(backend.delivered)
        assert balance.delivered == sum(logs[identity] for identity in backend.delivered)
        left = {path.name.split("-", 2)[2].removesuffix(".batch") for path in folder.glob("*.batch")}
        assert sum(logs[identity] for identity in left) == balance.waiting
        assert not left & set(backend.delivered)
    assert backend.most <= limits.under_way


def test_a_real_backend_that_is_slow_gets_four_at_a_time_over_connections_of_their_own() -> None:
    collector, ledger = Collector(), Ledger()
    meeting = threading.Barrier(4)
    collect = collector.collect

    def meet(messages: object, context: grpc.ServicerContext) -> bytes:
        # Answers when four have come: one at a time would never be answered.
        meeting.wait(PATIENCE)
        return collect(messages, context)  # type: ignore[arg-type] # as gRPC gives them

    collector.collect = meet  # type: ignore[method-assign] # for this one
    with collector.serve() as port:
        transport = GrpcTransport(f"127.0.0.1:{port}", None, "secret")
        sender = Sender(transport, ledger, LATE)
        batches = made(40)
        sender.start()
        submit(sender, ledger, *batches)
        sender.stop(PATIENCE)
        assert transport.backends.connections == {f"127.0.0.1:{port}": 4}
        transport.close()
    assert set(collector.accepted) == {batch.id for batch in batches}
    assert {each["authentication"] for each in collector.metadata} == {"secret"}
    assert (ledger.balance().delivered, ledger.balance().lost) == (820, {})
