"""Makes the calls of each heartbeat, in a thread of its own."""

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from agent.reporting.beats import Beats, Call, Present
from common.grpc.answers import Answer
from common.grpc.failover import FailoverClient
from common.grpc.messages import frame_messages
from common.grpc.patience import Interrupted
from common.grpc.status import Status

_logger = logging.getLogger(__name__)

CALL_SECONDS: Final = 20.0
"""How long one call may take."""
FIRST_PAUSE: Final = 0.5
"""Seconds at most before a call is made to another backend; doubled with each further one."""
LONGEST_PAUSE: Final = 15.0
_STEP_SECONDS: Final = 0.02


class Reporter:
    """Tells the backend of processes. `tick` belongs to one thread, which is never held up by the backend.

    Attributes:
        counts: calls that failed, by status.
    """

    def __init__(
        self, client: FailoverClient, beats: Beats, period: float, metadata: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Told of nothing yet.

        Args:
            client: Makes the calls, of one of the backends; closed at the end.
            beats: Knows what there is to tell.
            period: Seconds from one beat to the next.
            metadata: Of each call.
        """
        self.counts: Counter[str] = Counter()
        self._client = client
        self._beats = beats
        self._period_ns = int(period * 1e9)
        self._metadata = metadata
        self._due_ns = 0
        self._problem = ""
        self._processes: Sequence[Present] | None = None
        """Of the beat that is to be made or under way."""
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def tick(self, now_ns: int, processes: Callable[[], Sequence[Present]]) -> None:
        """Make a beat when it is time to and the last one is over. `now_ns` is CLOCK_MONOTONIC."""
        if now_ns < self._due_ns:
            return
        with self._changed:
            if self._processes is not None:
                return
            self._processes = processes()
            self._changed.notify_all()
        self._due_ns = now_ns + self._period_ns

    def stop(self) -> None:
        """End; a call that is under way is given up."""
        with self._changed:
            self._ending.set()
            self._changed.notify_all()
        while self._thread.is_alive():
            self._client.interrupt()  # ends the call that is under way; it may just have begun
            self._thread.join(_STEP_SECONDS)
        self._client.close()

    def losses(self) -> dict[str, int]:
        """What a backend was not told, by cause, since the start, in calls."""
        return {"process reports not answered": self.counts.total()}

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ending.is_set() or self._processes is not None)
                if self._ending.is_set():
                    return
                processes = self._processes or ()
            try:
                for call in self._beats.beat(processes):
                    if self._ending.is_set():
                        return
                    self._beats.answered(call, accepted=self._make(call))
            except Interrupted:
                return
            finally:
                with self._changed:
                    self._processes = None
                    self._changed.notify_all()

    def _make(self, call: Call) -> bool:
        """Make a call, of each backend once until one takes it. False when none did."""
        for attempt in range(len(self._client)):
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1)) if attempt else 0.0
            # The pauses are random to spread agents in time; they keep no secret.
            if self._ending.wait(random.uniform(0, longest)):  # noqa: S311
                return False
            answer = self._client.call(call.path, self._metadata, frame_messages([call.message]), CALL_SECONDS)
            self._note(answer)
            if answer.status is Status.OK:
                return True
        return False

    def _note(self, answer: Answer) -> None:
        """Count a failure, and say so when it is another one than the last."""
        problem = "" if answer.status is Status.OK else f"{answer.status.name}: {answer.message}"
        if problem:
            self.counts[answer.status.name] += 1
        if problem and problem != self._problem:
            _logger.warning("the backend does not take reports of processes, they go on: %s", problem)
        self._problem = problem
