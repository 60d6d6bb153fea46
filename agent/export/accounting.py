"""Where every log is: `captured = delivered + waiting + sum(lost by cause)` at any time."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Loss(StrEnum):
    """Why logs were lost between the ring and the backend."""

    QUEUE_FULL = "queue_full"  # more was waiting for the backend than may wait
    REFUSED = "refused"  # the backend said that it will never take them
    POD_UNKNOWN = "pod_unknown"  # the API server told nothing of the process's pod in time
    SHUTDOWN = "shutdown"  # the agent ended before they could be delivered


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


class Ledger:
    """Counts logs in and out. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._captured = 0
        self._delivered = 0
        self._withdrawn = 0
        self._lost: Counter[str] = Counter()

    def capture(self, logs: int) -> None:
        """Logs came to be; from now on they wait."""
        with self._lock:
            self._captured += logs

    def withdraw(self, logs: int) -> None:
        """Waiting logs turned out to be such as are not to be told: they do not count."""
        with self._lock:
            self._captured -= logs
            self._withdrawn += logs

    def deliver(self, logs: int) -> None:
        """The backend has answered for waiting logs."""
        with self._lock:
            self._delivered += logs

    def lose(self, logs: int, cause: Loss) -> None:
        """Waiting logs were given up."""
        if logs:
            with self._lock:
                self._lost[cause.value] += logs

    def balance(self) -> Balance:
        """All counts, of one moment."""
        with self._lock:
            return Balance(self._captured, self._delivered, dict(self._lost), self._withdrawn)
