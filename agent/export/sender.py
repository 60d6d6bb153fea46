"""Keeps batches until the backend has answered for them."""

import random
import threading
import time
from dataclasses import dataclass

from agent.export.accounting import Ledger, Loss
from agent.export.assembler import Batch
from agent.export.denial import Denial
from agent.export.queue import BatchQueue, QueueLimits
from agent.export.spool import Spool
from agent.export.transport import Attempt, Outcome, Transport


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """Bounds of the queue, and the pace of attempts."""

    logs: int = 200_000
    size: int = 16 * 1024 * 1024
    """Bytes."""
    spool_bytes: int = 256 * 1024 * 1024
    """Bytes that may wait in the spool, where there is one: then these are not in memory."""
    attempt_seconds: float = 20.0
    """Deadline of one attempt."""
    first_pause: float = 0.5
    """Seconds before the second attempt, at most; doubled with each one up to `longest_pause`."""
    longest_pause: float = 15.0
    doubtful_attempts: int = 5
    """Errors that may be the batch's own fault before that counts as a refusal."""
    denied_seconds: float = 600.0
    """How long a batch is kept while the backend does not take the agent's token or certificate (Denial)."""


@dataclass(frozen=True, slots=True)
class QueueFill:
    """What waits for the backend."""

    logs: int
    size: int
    """Bytes."""
    batches: int
    spooled_size: int
    """Of the bytes, those in the spool."""


class Sender:
    """A bounded queue and the thread that empties it, oldest batch first, one at a time."""

    def __init__(
        self, transport: Transport, ledger: Ledger, limits: SenderLimits | None = None, spool: Spool | None = None
    ) -> None:
        """Begin with what the spool has from before.

        Args:
            transport: How a batch is sent.
            ledger: Where its outcome is booked; with a spool, the ledger of it.
            limits: Bounds and times.
            spool: Keeps batches until they are answered, for the next agent when this one is killed.
        """
        self._transport = transport
        self._limits = limits or SenderLimits()
        bounds = QueueLimits(self._limits.logs, self._limits.size, self._limits.spool_bytes)
        self._queue = BatchQueue(ledger, bounds, spool)
        self._denial = Denial(self._limits.denied_seconds)
        self._stop_at: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._problem = ""

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Queue a batch. When there is no room the oldest ones that are not under way are lost."""
        with self._changed:
            self._queue.put(batch)
            self._changed.notify_all()

    def wait_for_room(self, batch: Batch, seconds: float) -> bool:
        """Wait for room for a batch; one that never fits waits for an empty queue. False when there is none yet."""
        with self._changed:
            return self._changed.wait_for(lambda: self._queue.has_room_for(batch), seconds)

    def stop(self, seconds: float) -> None:
        """Go on for at most `seconds` until the queue is empty; what remains then is in the spool, or lost."""
        with self._changed:
            self._stop_at = time.monotonic() + seconds
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        while self._thread.is_alive():
            self._transport.cancel()
            self._thread.join(0.1)
        with self._changed:
            self._queue.give_up()

    @property
    def waiting(self) -> int:
        """Logs that are queued or under way."""
        with self._changed:
            return self._queue.logs

    @property
    def queue(self) -> QueueFill:
        """What is queued or under way, of one moment."""
        with self._changed:
            return QueueFill(self._queue.logs, self._queue.size, len(self._queue), self._queue.spooled_size)

    @property
    def problem(self) -> str:
        """Why the last attempt failed; empty when it did not."""
        with self._changed:
            return self._problem

    def _run(self) -> None:
        attempts = doubts = 0
        previous = ""
        while (batch := self._next()) is not None:
            if batch.id != previous:
                attempts = doubts = 0
            previous = batch.id
            attempt = self._transport.send(batch, self._timeout())
            attempts += 1
            doubts += attempt.outcome is Outcome.DOUBTFUL  # not those in which nobody was there to take it
            if self._settle(attempt, doubts):
                self._pause(attempts)

    def _next(self) -> Batch | None:
        """The oldest batch, once there is one; None when it is time to end."""
        with self._changed:
            while not self._overdue():
                batch = self._queue.take()
                if batch is not None or self._stop_at is not None:
                    return batch
                self._changed.wait()
            return None

    def _settle(self, attempt: Attempt, doubts: int) -> bool:
        """Book the outcome of an attempt, with so many doubtful ones. True when the batch is to be sent again."""
        now = time.monotonic()
        self._denial.note(attempt, now)
        with self._changed:
            self._problem = attempt.detail
            match attempt.outcome:
                case Outcome.DELIVERED:
                    again, lost = False, None
                case Outcome.RETRY:
                    again, lost = True, None
                case Outcome.DOUBTFUL:
                    again, lost = doubts < self._limits.doubtful_attempts, Loss.REFUSED
                case Outcome.DENIED:
                    again, lost = self._denial.keeps(self._queue.waiting_since, now), Loss.DENIED
                case Outcome.REFUSED:
                    again, lost = False, Loss.REFUSED
            if again:
                self._queue.put_back()
            else:
                self._queue.settle(lost)
                self._changed.notify_all()
            return again

    def _pause(self, attempts: int) -> None:
        """Wait before the next attempt: exponential back-off with full jitter; the order to end cuts it short."""
        longest = min(self._limits.longest_pause, self._limits.first_pause * 2.0 ** min(attempts - 1, 32))
        pause = random.uniform(0, longest)  # noqa: S311 - spreads agents in time, keeps no secret
        with self._changed:
            if self._stop_at is None:
                self._changed.wait_for(lambda: self._stop_at is not None, pause)
            else:
                self._changed.wait_for(self._overdue, min(pause, self._limits.first_pause))

    def _timeout(self) -> float:
        with self._changed:
            if self._stop_at is None:
                return self._limits.attempt_seconds
            return min(self._limits.attempt_seconds, max(0.0, self._stop_at - time.monotonic()))

    def _overdue(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at
