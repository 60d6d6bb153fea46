"""Which logs wait for the exchange that they are part of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import Logs
from agent.connections.view import View
from agent.events.kinds import kind_table
from agent.events.layout import EventKind
from agent.export.claims import UNCLAIMED

HOLD_NS: Final = 10 * 1_000_000_000
"""How long a read or write waits at most. An exchange that takes longer is told without those that went before."""

_IS_TRANSFER: Final = kind_table((EventKind.READ, EventKind.WRITE))


@dataclass(frozen=True, slots=True)
class Holds:
    """What decides about that at one flush."""

    now_ns: int
    """CLOCK_MONOTONIC."""
    is_busy: Callable[[View], bool]
    """Whether an exchange on a connection has begun and not ended."""

    def held(self, logs: Logs, claims: NDArray[np.int64], views: Mapping[int, View]) -> NDArray[np.bool_]:
        """Per log, whether it stays for the next flush.

        Args:
            logs: All that wait.
            claims: Per log, the exchange that it travels with now.
            views: The connections of the logs, by number.
        """
        recent = logs["end_ns"].astype(np.int64) > self.now_ns - HOLD_NS
        held: NDArray[np.bool_] = (claims == UNCLAIMED) & recent & _IS_TRANSFER[logs["kind"]]
        rows = np.flatnonzero(held)
        if not len(rows):
            return held
        numbers, inverse = np.unique(logs["view"][rows], return_inverse=True)
        busy = np.array([self.is_busy(views[number]) for number in numbers.tolist()], dtype=np.bool_)
        held[rows] = busy[inverse]
        return held


NOTHING_HELD: Final = Holds(0, lambda _view: False)
"""When no exchange can come any more."""
