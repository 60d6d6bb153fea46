"""A bound on the bytes that all calls hold together."""

import asyncio
from collections import deque
from typing import Self

from backend.ingest.status import CallError, Status

DEFAULT_BUDGET = 256 * 1024 * 1024


class Budget:
    """Bytes that may be held at once, over all calls. Belongs to the event loop.

    Args:
        limit: Bytes.
        patience: Seconds a call waits for others to give back before it is refused. It must end: calls that hold
            parts of messages could otherwise wait for each other for ever.
    """

    def __init__(self, limit: int = DEFAULT_BUDGET, patience: float = 5.0) -> None:
        self.limit = limit
        self.held = 0
        """Bytes reserved now."""
        self.highest = 0
        """Most bytes that were ever reserved at once."""
        self.refused = 0
        """Reservations that were refused."""
        self._patience = patience
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def reserve(self, size: int) -> None:
        """Reserve bytes, in turn, waiting for others if need be.

        Raises:
            CallError: RESOURCE_EXHAUSTED when nothing came free in time.
        """
        if self.has_room(size):
            self.hold(size)
        else:
            await self._wait(size)

    def has_room(self, size: int) -> bool:
        """Whether a reservation would not have to wait."""
        return not self._waiting and self.held + size <= self.limit

    def release(self, size: int) -> None:
        """Give back bytes that were reserved."""
        self.held -= size
        self._admit()

    def hold(self, size: int) -> None:
        """Count bytes that are there already; who reserves next waits the longer for it."""
        self.held += size
        self.highest = max(self.highest, self.held)

    def _admit(self) -> None:
        while self._waiting:
            size, future = self._waiting[0]
            if not future.done():
                if self.held + size > self.limit:
                    return
                self.hold(size)
                future.set_result(None)
            self._waiting.popleft()

    async def _wait(self, size: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            if self._was_admitted(turn):
                return
            self.refused += 1
            raise CallError(
                Status.RESOURCE_EXHAUSTED,
                f"the server holds as many bytes as it may ({self.limit}); wait and send again",
            ) from None
        except asyncio.CancelledError:
            if self._was_admitted(turn):
                self.release(size)
            raise
        finally:
            self._admit()

    @staticmethod
    def _was_admitted(turn: asyncio.Future[None]) -> bool:
        return turn.done() and not turn.cancelled()


class Lease:
    """What one call has reserved; given back when the call ends, however it ends."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    async def reserve(self, size: int) -> None:
        """See Budget.reserve."""
        await self._budget.reserve(size)
        self._held += size

    def release(self, size: int) -> None:
        """Give back some of it."""
        self._held -= size
        self._budget.release(size)

    def hold(self, size: int) -> None:
        """See Budget.hold; a negative size gives back."""
        self._held += size
        if size > 0:
            self._budget.hold(size)
        else:
            self._budget.release(-size)

    def trim(self, size: int) -> None:
        """Give back all but some of it."""
        self.hold(size - self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release(self._held)
