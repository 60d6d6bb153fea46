"""When to look for files that nobody runs any more, because another one found no room.

At once, if that was not done a moment ago; less and less often while it does not help, as where more files are in use
than may be watched.
"""

import math
from typing import Final

PAUSES: Final = (5.0, 300.0)
"""Seconds between two such looks: at first, and at most. A pause that did not help is followed by one twice as long."""


class Shortage:
    """Whether room is wanted, and how long to wait before looking for some. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._is_noted = False
        self._pause = PAUSES[0]
        self._not_before = -math.inf

    def note(self) -> None:
        """A file found no room."""
        self._is_noted = True

    @property
    def is_noted(self) -> bool:
        """Whether a file found no room since the last look."""
        return self._is_noted

    @property
    def due(self) -> float:
        """When to look; infinite while nothing is wanted."""
        return self._not_before if self._is_noted else math.inf

    def looked(self, now: float, *, made_room: bool) -> None:
        """Everything was looked at, and what nobody runs has lost its probes, if there was any."""
        if made_room:
            self._pause = PAUSES[0]
        elif self._is_noted:
            self._pause = min(2 * self._pause, PAUSES[1])
        self._not_before = now + self._pause
        self._is_noted = False
