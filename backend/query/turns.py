"""How many questions are answered at a time, and how many may wait for their turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class BusyError(Exception):
    """As many wait as may.

    Attributes:
        waiting: how many that is.
    """

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} wait already")
        self.waiting = waiting


class Turns:
    """Lets some run, some more wait in the order in which they came, and refuses the others. For one event loop.

    Args:
        running: Most that run at a time.
        waiting: Most that wait.

    Attributes:
        present: How many run or wait.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self.present = 0
        self._waiting = waiting
        self._most = running + waiting
        self._running = asyncio.Semaphore(running)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, which lasts as long as the block. Raises BusyError at once when too many wait."""
        if self.present >= self._most:
            raise BusyError(self._waiting)
        self.present += 1
        try:
            async with self._running:
                yield
        finally:
            self.present -= 1
