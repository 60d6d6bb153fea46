"""When the rings are looked at: seldom, as far as nothing is lost by that.

A look has work that does not depend on how many events it finds. So few events wait for others, and the reader sleeps
meanwhile. The programs in the kernel wake it when a ring is filling, or when something comes from a task that they have
not seen: its process is read from /proc while it is there.
"""

import time
from typing import Final

from agent.events.kinds import kind_table
from agent.events.layout import EventKind
from agent.events.source import IsNew
from agent.kernel.payload_ring import PayloadRing
from agent.kernel.ring import RECORD, Ring
from agent.kernel.wakeups import Wakeups

LOOK_NS: Final = 1_000_000_000
"""How long an event waits for others. A look after a sleep costs several times as much as one that follows another, as
the processor has forgotten by then what it needs: five a second cost more than one with all of their events."""

NEW_NS: Final = 10_000_000
"""How far two looks for the sake of new processes are apart at least, and two wake-ups for the sake of new tasks."""

HURRY_SHARE: Final = 1 / 8
"""A ring of which so much is taken is looked at at once. The rest of the default ring has room for 15,000 events: for
350,000 a second during the 44 ms until the reader gets a processor."""

NAMED_KINDS: Final = kind_table(
    (EventKind.CONNECT, EventKind.ACCEPT, EventKind.READ, EventKind.WRITE, EventKind.LISTEN)
)
"""Events that need the name of their process. The others are of connections that are known, or end: NAMING_EVENTS."""


class Pacer:
    """Waits until the rings are to be looked at."""

    def __init__(self, events: Ring, payload: PayloadRing, wakeups: Wakeups) -> None:
        """Begin with a look that is due as soon as there is something."""
        self._events = events
        self._payload = payload
        self._wakeups = wakeups
        self._most_events = max(int(events.size * HURRY_SHARE) // RECORD.itemsize, 1)
        self._most_payload = int(payload.size * HURRY_SHARE)
        self._looked_ns = -LOOK_NS
        self._is_interrupted = False

    def wait(self, seconds: float, is_new: IsNew) -> None:
        """Block until the rings are to be looked at, `seconds` have passed, or it is interrupted.

        The caller looks at the rings then.

        Args:
            seconds: The longest wait.
            is_new: Says whether a process is to be read from /proc before it ends.
        """
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + int(seconds * 1e9)
        rests_until_ns, found_new = 0, False
        while now_ns < deadline_ns and not self._is_interrupted and not self._is_due(now_ns):
            wants_tasks = not found_new and now_ns >= rests_until_ns
            self._wakeups.ask(*self._left(), new_tasks=wants_tasks)
            # What comes from here on wakes; what came before is looked for.
            found_new = found_new or any(is_new(*task) for task in self._events.glance(NAMED_KINDS))
            until_ns = self._looked_ns + NEW_NS if found_new else self._next_look_ns(now_ns)
            if not wants_tasks and not found_new:
                until_ns = min(until_ns, rests_until_ns)
            if until_ns <= now_ns or min(self._left()) <= 0:
                break
            is_woken = self._wakeups.sleep((min(until_ns, deadline_ns) - now_ns) / 1e9)
            now_ns = time.monotonic_ns()
            if is_woken and wants_tasks:
                rests_until_ns = now_ns + NEW_NS
        self._looked_ns, self._is_interrupted = now_ns, False

    def interrupt(self) -> None:
        """Let the wait that is under way end, or else the next one. For any thread, and for handlers of signals."""
        self._is_interrupted = True
        self._wakeups.interrupt()

    def _next_look_ns(self, now_ns: int) -> int:
        """When to look at what comes from now on, if nothing wakes before."""
        next_ns = self._looked_ns + LOOK_NS
        return next_ns if next_ns > now_ns else now_ns + LOOK_NS

    def _is_due(self, now_ns: int) -> bool:
        """Whether something has waited for long enough, or a ring is filling."""
        waiting = self._events.waiting()
        return (waiting > 0 and now_ns - self._looked_ns >= LOOK_NS) or min(self._left()) <= 0

    def _left(self) -> tuple[int, int]:
        """Events, and bytes of payload, that may still come before that is a reason to look."""
        return (
            self._most_events - self._events.waiting() // RECORD.itemsize,
            self._most_payload - self._payload.waiting(),
        )
