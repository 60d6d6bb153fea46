"""A transport whose attempts are counted."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from agent.export.assembler import Batch
from agent.export.transport import Attempt, Outcome, Transport


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What a transport has done since the start.

    Attributes:
        attempts: by outcome, in lower case.
        seconds: spent in them.
        batches: delivered.
        size: of those, in bytes.
    """

    attempts: Mapping[str, int]
    seconds: float
    batches: int
    size: int


class CountedTransport:
    """Passes everything on to another transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter({outcome.name.lower(): 0 for outcome in Outcome})
        self._seconds = 0.0
        self._size = 0

    def send(self, batch: Batch, timeout: float) -> Attempt:
        """Send and wait for the answer, at most `timeout` seconds."""
        begin = time.monotonic()
        attempt = self._transport.send(batch, timeout)
        with self._lock:
            self._attempts[attempt.outcome.name.lower()] += 1
            self._seconds += time.monotonic() - begin
            if attempt.outcome is Outcome.DELIVERED:
                self._size += batch.size
        return attempt

    def cancel(self) -> None:
        """Give up the attempt that is under way."""
        self._transport.cancel()

    def close(self) -> None:
        """Release the connection."""
        self._transport.close()

    @property
    def deliveries(self) -> Deliveries:
        """What was done so far, of one moment. For any thread."""
        with self._lock:
            delivered = self._attempts[Outcome.DELIVERED.name.lower()]
            return Deliveries(dict(self._attempts), self._seconds, delivered, self._size)
