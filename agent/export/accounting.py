"""Where every log is: `captured = delivered + waiting + sum(lost by cause)` at any time."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Loss(StrEnum):
    """Why logs were lost between the ring and the backend."""

    QUEUE_FULL = "queue_full"  # more was waiting for the backend than may wait
    SPOOL_FULL = "spool_full"  # more was waiting in the spool than may wait there
    SPOOL_DAMAGED = "spool_damaged"  # what the spool gave back is not what was put into it
    REFUSED = "refused"  # the backend said that it will never take them
    DENIED = "denied"  # the backend did not take the agent's token or certificate for too long
    POD_UNKNOWN = "pod_unknown"  # the API server told nothing of the process's pod in time
    SHUTDOWN = "shutdown"  # the agent ended before they could be delivered
    KILLED = "killed"  # an agent before this one was killed before it had put them into the spool


@dataclass(frozen=True, slots=True)
class Balance:
    """The ledger at one moment, in logs."""

    captured: int
    delivered: int
    lost: Mapping[str, int]
    withdrawn: int = 0
    """Not to be told; they are in none of the others."""

    @property
    def waiting(self) -> int:
        """Neither delivered nor lost yet."""
        return self.captured - self.delivered - sum(self.lost.values())


class Record(Protocol):
    """Keeps a ledger beyond the process."""

    def write(self, balance: Balance, settled: Sequence[int]) -> None:
        """Keep this, all of it or nothing. Does not raise."""
        ...


class Ledger:
    """Counts logs in and out. Safe to use from several threads.

    Args:
        before: What it goes on from.
        record: Where each change is kept; None to keep it in memory.
        settled: Places of the spool that were settled before, and are still there.
    """

    def __init__(
        self, before: Balance | None = None, record: Record | None = None, settled: Sequence[int] = ()
    ) -> None:
        before = before or Balance(0, 0, {})
        self._lock = threading.Lock()
        self._captured = before.captured
        self._delivered = before.delivered
        self._withdrawn = before.withdrawn
        self._lost: Counter[str] = Counter(before.lost)
        self._record = record
        self._settled = list(settled)

    def capture(self, logs: int) -> None:
        """Logs came to be; from now on they wait."""
        with self._lock:
            self._captured += logs
            self._keep()

    def withdraw(self, logs: int) -> None:
        """Waiting logs turned out to be such as are not to be told: they do not count."""
        with self._lock:
            self._captured -= logs
            self._withdrawn += logs
            self._keep()

    def deliver(self, logs: int, place: int | None = None) -> None:
        """The backend has answered for waiting logs; `place` is where they are in the spool."""
        with self._lock:
            self._delivered += logs
            self._settle(place)

    def lose(self, logs: int, cause: Loss, place: int | None = None) -> None:
        """Waiting logs were given up; `place` is where they are in the spool."""
        if logs or place is not None:
            with self._lock:
                self._lost[cause.value] += logs
                self._settle(place)

    def forget(self, place: int) -> None:
        """What was settled at a place of the spool is not there any more."""
        with self._lock:
            self._settled.remove(place)

    def balance(self) -> Balance:
        """All counts, of one moment."""
        with self._lock:
            return self._balance()

    def _settle(self, place: int | None) -> None:
        # In the same record as the counts: a process that is killed here has either settled the place or not.
        if place is not None:
            self._settled.append(place)
        self._keep()

    def _keep(self) -> None:
        if self._record is not None:
            self._record.write(self._balance(), self._settled)

    def _balance(self) -> Balance:
        return Balance(self._captured, self._delivered, dict(self._lost), self._withdrawn)
