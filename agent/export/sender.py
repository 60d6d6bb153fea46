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
    under_way: int = 4
    """Batches that may be on their way at the same time, where the backend is slow."""
    late_seconds: float = 0.5
    """Age of the oldest attempt from which on further batches are sent beside it."""


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
    """A bounded queue and the threads that empty it, oldest batch first.

    One batch is sent at a time as long as answers come soon. While the oldest one is late, up to `under_way` batches
    are on their way, each over a connection of its own; they may be answered in any order. When an attempt has failed,
    nothing is sent beside others until one succeeds: one thread sends what failed again, and waits before it does.
    """

    def __init__(
        self, transport: Transport, ledger: Ledger, limits: SenderLimits | None = None, spool: Spool | None = None
    ) -> None:
        """Begin with what the spool has from before.

        Args:
            transport: How a batch is sent; its twins are made when they are needed.
            ledger: Where its outcome is booked; with a spool, the ledger of it.
            limits: Bounds and times.
            spool: Keeps batches until they are answered, for the next agent when this one is killed.
        """
        self._limits = limits or SenderLimits()
        bounds = QueueLimits(self._limits.logs, self._limits.size, self._limits.spool_bytes)
        self._queue = BatchQueue(ledger, bounds, spool)
        self._denial = Denial(self._limits.denied_seconds)
        self._stop_at: float | None = None
        self._is_over = False
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._spare = threading.Condition(lock)
        """What the threads that help wait for."""
        self._threads = [threading.Thread(target=self._run, name="sender", daemon=True)]
        self._threads += [
            threading.Thread(target=self._help, name=f"sender-{number}", daemon=True)
            for number in range(1, self._limits.under_way)
        ]
        self._transports = [transport]
        self._begun: dict[str, float] = {}
        """Monotonic seconds, by the id of a batch that is under way."""
        self._pauses = 0
        """Since an attempt succeeded, or a batch was given up."""
        self._owes_pause = False
        self._problem = ""

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def submit(self, batch: Batch) -> None:
        """Queue a batch. When there is no room the oldest ones that are not under way are lost."""
        with self._changed:
            self._queue.put(batch)
            self._changed.notify_all()
            self._call_for_help()

    def wait_for_room(self, batch: Batch, seconds: float) -> bool:
        """Wait for room for a batch; one that never fits waits for an empty queue. False when there is none yet."""
        with self._changed:
            return self._changed.wait_for(lambda: self._queue.has_room_for(batch), seconds)

    def stop(self, seconds: float) -> None:
        """Go on for at most `seconds` until the queue is empty; what remains then is in the spool, or lost."""
        with self._changed:
            self._stop_at = time.monotonic() + seconds
            self._changed.notify_all()
        first, *_ = self._threads
        if first.ident is not None:
            first.join(seconds)
        while any(thread.is_alive() for thread in self._threads):
            with self._changed:
                self._spare.notify_all()
                for transport in self._transports:
                    transport.cancel()
            for thread in self._threads:
                thread.join(0.1)
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
        """Send one batch after the other."""
        while (batch := self._next()) is not None:
            self._send(self._transports[0], batch)
        with self._changed:
            self._is_over = True
            self._spare.notify_all()

    def _help(self) -> None:
        """Send batches beside others, while those are late."""
        transport: Transport | None = None
        while (batch := self._next_beside_others()) is not None:
            if transport is None:
                transport = self._transports[0].twin()
                with self._changed:
                    self._transports.append(transport)
            self._send(transport, batch)

    def _send(self, transport: Transport, batch: Batch) -> None:
        attempt = transport.send(batch, self._timeout())
        with self._changed:
            del self._begun[batch.id]
            self._settle(batch, attempt)
            self._changed.notify_all()
            self._call_for_help()

    def _next(self) -> Batch | None:
        """The oldest batch that is not under way, once there is one; None when it is time to end."""
        with self._changed:
            while not self._overdue():
                if self._owes_pause:
                    self._owes_pause = False
                    self._pause()
                elif (batch := self._queue.take()) is not None:
                    return self._begin(batch)
                elif self._stop_at is None:
                    self._changed.wait()
                elif self._begun:
                    # What is under way may have to be sent again.
                    self._changed.wait(self._stop_at - time.monotonic())
                else:
                    return None
            return None

    def _next_beside_others(self) -> Batch | None:
        """The same while the oldest attempt is late, and none has failed."""
        with self._changed:
            while not self._is_over and not self._overdue():
                wait = None
                if self._begun and not self._problem and len(self._queue) > self._queue.taken:
                    wait = min(self._begun.values()) + self._limits.late_seconds - time.monotonic()
                    if wait <= 0 and (batch := self._queue.take()) is not None:
                        return self._begin(batch)
                self._spare.wait(None if wait is None or wait <= 0 else wait)
            return None

    def _begin(self, batch: Batch) -> Batch:
        self._begun[batch.id] = time.monotonic()
        self._call_for_help()
        return batch

    def _call_for_help(self) -> None:
        """Let those who help look again, if there is anything for them."""
        if self._begun and len(self._queue) > self._queue.taken and not self._problem:
            self._spare.notify_all()

    def _settle(self, batch: Batch, attempt: Attempt) -> None:
        """Book the outcome of an attempt."""
        now = time.monotonic()
        self._denial.note(attempt, now)
        self._problem = attempt.detail
        match attempt.outcome:
            case Outcome.DELIVERED:
                again, lost = False, None
            case Outcome.RETRY:
                again, lost = True, None
            case Outcome.DOUBTFUL:  # not those in which nobody was there to take it
                again, lost = self._queue.doubt(batch) < self._limits.doubtful_attempts, Loss.REFUSED
            case Outcome.DENIED:
                again, lost = self._denial.keeps(self._queue.waiting_since(batch), now), Loss.DENIED
            case Outcome.REFUSED:
                again, lost = False, Loss.REFUSED
        if again:
            self._queue.put_back(batch)
            self._owes_pause = True
        else:
            self._queue.settle(batch, lost)
            self._pauses = 0
            self._owes_pause = False

    def _pause(self) -> None:
        """Wait before the next attempt: exponential back-off with full jitter; the order to end cuts it short."""
        longest = min(self._limits.longest_pause, self._limits.first_pause * 2.0 ** min(self._pauses, 32))
        self._pauses += 1
        pause = random.uniform(0, longest)  # noqa: S311 - spreads agents in time, keeps no secret
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
