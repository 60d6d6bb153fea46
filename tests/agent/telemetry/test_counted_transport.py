"""agent/telemetry/counted_transport.py: every attempt is counted, and passed on as it is."""

from dataclasses import dataclass, field

import pytest

from agent.export.assembler import Batch
from agent.export.transport import Attempt, Outcome
from agent.telemetry.counted_transport import CountedTransport


@dataclass
class Scripted:
    """Gives outcomes one after the other."""

    outcomes: list[Outcome]
    seen: list[object] = field(default_factory=list)
    words: str = "words"
    timed_out: bool = False

    def send(self, batch: Batch, timeout: float) -> Attempt:
        self.seen.append((batch.id, timeout))
        return Attempt(self.outcomes.pop(0), self.words, self.timed_out)

    def cancel(self) -> None:
        self.seen.append("cancel")

    def twin(self) -> "Scripted":
        return Scripted([Outcome.DELIVERED])

    def close(self) -> None:
        self.seen.append("close")


def batch(size: int) -> Batch:
    return Batch(id=f"batch of {size}", messages=[b"x" * size], logs=1)


def test_attempts_are_counted_by_what_became_of_them() -> None:
    inner = Scripted([Outcome.RETRY, Outcome.DELIVERED, *Outcome])
    counted = CountedTransport(inner)
    assert counted.deliveries.attempts == {"delivered": 0, "retry": 0, "doubtful": 0, "denied": 0, "refused": 0}
    sizes = (10, 10, 7, 5, 5, 5, 5)
    for size in sizes:
        assert counted.send(batch(size), 3.0).detail == "words"
    deliveries = counted.deliveries
    assert deliveries.attempts == {"delivered": 2, "retry": 2, "doubtful": 1, "denied": 1, "refused": 1}
    assert (deliveries.batches, deliveries.size) == (2, batch(10).size + batch(7).size)
    assert inner.seen == [(f"batch of {size}", 3.0) for size in sizes]


def test_the_last_words_of_each_outcome_are_kept_the_latest_one_last() -> None:
    inner = Scripted([Outcome.RETRY, Outcome.DENIED, Outcome.DELIVERED, Outcome.RETRY])
    counted = CountedTransport(inner)
    assert counted.failures == {}
    for words in ("gone", "who?", "", "still gone"):
        inner.words = words
        counted.send(batch(10), 3.0)
    assert list(counted.failures.items()) == [(Outcome.DENIED, "who?"), (Outcome.RETRY, "still gone")]


def test_an_attempt_that_the_end_cut_short_hides_no_reason() -> None:
    inner = Scripted([Outcome.RETRY, Outcome.DENIED, Outcome.RETRY])
    counted = CountedTransport(inner)
    for words, timed_out, kept in (
        ("too slow", True, [(Outcome.RETRY, "too slow")]),
        ("who?", False, [(Outcome.RETRY, "too slow"), (Outcome.DENIED, "who?")]),
        ("still too slow", True, [(Outcome.RETRY, "too slow"), (Outcome.DENIED, "who?")]),
    ):
        inner.words, inner.timed_out = words, timed_out
        counted.send(batch(10), 3.0)
        assert list(counted.failures.items()) == kept


def test_what_twins_do_is_counted_with_the_rest() -> None:
    counted = CountedTransport(Scripted([Outcome.RETRY]))
    twin = counted.twin()
    for each in (counted, twin, twin.twin()):
        each.send(batch(10), 1.0)
    assert twin.deliveries == counted.deliveries
    assert counted.deliveries.attempts == {"delivered": 2, "retry": 1, "doubtful": 0, "denied": 0, "refused": 0}
    assert (counted.deliveries.batches, counted.deliveries.size) == (2, 2 * batch(10).size)


def test_time_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([10.0, 10.5, 20.0, 21.0])
    monkeypatch.setattr("agent.telemetry.counted_transport.time.monotonic", lambda: next(moments))
    counted = CountedTransport(Scripted([Outcome.RETRY, Outcome.DELIVERED]))
    for _ in range(2):
        counted.send(batch(1), 1.0)
    assert counted.deliveries.seconds == 1.5


def test_the_rest_is_passed_on() -> None:
    inner = Scripted([])
    counted = CountedTransport(inner)
    counted.cancel()
    counted.close()
    assert inner.seen == ["cancel", "close"]
