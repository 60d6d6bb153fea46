"""When the rings are looked at: seldom, as far as nothing is lost by that.

A look has work that does not depend on how many events it finds. So few events wait for others, and the rings are only
glanced at meanwhile: whether they are filling, and whether something comes from a process that is new. That one is read
from /proc while it is there.
"""

import time
from typing import Final

from agent.events.kinds import kind_table
from agent.events.layout import EventKind
from agent.events.source import IsNew
from agent.kernel.payload_ring import PayloadRing
from agent.kernel.ring import Ring

GLANCE_NS: Final = 10_000_000
"""How far two glances are apart. The programs wake nobody: a wake-up costs more than an event."""

LOOK_NS: Final = 100_000_000
"""How long an event waits for others."""

HURRY_SHARE: Final = 1 / 16
"""A ring of which so much is taken is looked at at once: what fills it in 10 ms is taken before it is lost."""

_NAMED: Final = kind_table((EventKind.CONNECT, EventKind.ACCEPT, EventKind.READ, EventKind.WRITE, EventKind.LISTEN))
"""Events that need the name of their process. The others are of connections that are known, or end."""


class Pacer:
    """Waits until the rings are to be looked at."""

    def __init__(self, events: Ring, payload: PayloadRing) -> None:
        """Begin with a look that is due as soon as there is something."""
        self._events = events
        self._payload = payload
        self._looked_ns = -LOOK_NS

    def wait(self, seconds: float, is_new: IsNew) -> None:
        """Block until the rings are to be looked at, or `seconds` have passed; the caller looks at them then.

        Args:
            seconds: The longest wait.
            is_new: Says whether a process is to be read from /proc before it ends.
        """
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + int(seconds * 1e9)
        while now_ns < deadline_ns and not self._is_due(now_ns, is_new):
            time.sleep(min(GLANCE_NS, deadline_ns - now_ns) / 1e9)
            now_ns = time.monotonic_ns()
        self._looked_ns = now_ns

    def _is_due(self, now_ns: int, is_new: IsNew) -> bool:
        events, payload = self._events, self._payload
        waiting = events.waiting()
        if waiting > events.size * HURRY_SHARE or payload.waiting() > payload.size * HURRY_SHARE:
            return True
        since_ns = now_ns - self._looked_ns
        if not waiting or since_ns < GLANCE_NS:
            return False
        if since_ns >= LOOK_NS:
            return True
        return any(is_new(process, command) for process, command in events.glance(_NAMED))
