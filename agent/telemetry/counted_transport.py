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


class _Counts:
    """What a transport and its twins have done."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.attempts: Counter[str] = Counter({outcome.name.lower(): 0 for outcome in Outcome})
        self.failures: dict[Outcome, str] = {}
        self.seconds = 0.0
        self.size = 0


class CountedTransport:
    """Passes everything on to another transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._counts = _Counts()

    def send(self, batch: Batch, timeout: float) -> Attempt:
        """Send and wait for the answer, at most `timeout` seconds."""
        begin = time.monotonic()
        attempt = self._transport.send(batch, timeout)
        counts = self._counts
        with counts.lock:
            counts.attempts[attempt.outcome.name.lower()] += 1
            counts.seconds += time.monotonic() - begin
            if attempt.outcome is Outcome.DELIVERED:
                counts.size += batch.size
            # That time was over says less than what went wrong before.
            elif not attempt.timed_out or not counts.failures:
                counts.failures.pop(attempt.outcome, None)
                counts.failures[attempt.outcome] = attempt.detail
        return attempt

    def cancel(self) -> None:
        """Give up the attempt that is under way."""
        self._transport.cancel()

    def twin(self) -> "CountedTransport":
        """As Transport.twin; what it does is counted here."""
        made = CountedTransport(self._transport.twin())
        made._counts = self._counts
        return made

    def close(self) -> None:
        """Release the connections."""
        self._transport.close()

    @property
    def failures(self) -> Mapping[Outcome, str]:
        """What the last attempt of each outcome said, of those that failed, the latest one last.

        Of those whose time was over only the first, where nothing else went wrong. For any thread.
        """
        with self._counts.lock:
            return dict(self._counts.failures)

    @property
    def deliveries(self) -> Deliveries:
        """What was done so far, of one moment. For any thread."""
        counts = self._counts
        with counts.lock:
            delivered = counts.attempts[Outcome.DELIVERED.name.lower()]
            return Deliveries(dict(counts.attempts), counts.seconds, delivered, counts.size)
