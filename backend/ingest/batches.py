"""Batches that were stored already: a sender that missed the answer sends its batch again."""

import asyncio
from collections import OrderedDict

from backend.ingest.status import CallError, Status

REMEMBERED = 65_536
LONGEST_IDENTIFIER = 128


class StoredBatches:
    """The identifiers of batches that are stored, the latest `capacity` of them. Belongs to the event loop."""

    def __init__(self, capacity: int = REMEMBERED) -> None:
        self.repeated = 0
        """Batches that came again."""
        self._capacity = capacity
        self._stored: OrderedDict[str, None] = OrderedDict()
        self._storing: dict[str, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._stored

    async def begin(self, identifier: str) -> bool:
        """Whether to store a batch; if so, `end` must follow. Waits for another call that is storing the same.

        Raises:
            CallError: INVALID_ARGUMENT for an identifier that is too long to remember.
        """
        if len(identifier) > LONGEST_IDENTIFIER:
            raise CallError(
                Status.INVALID_ARGUMENT,
                f"a batch id has at most {LONGEST_IDENTIFIER} characters, not {len(identifier)}",
            )
        while (storing := self._storing.get(identifier)) is not None:
            await asyncio.shield(storing)
        if identifier in self._stored:
            self._stored.move_to_end(identifier)
            self.repeated += 1
            return False
        self._storing[identifier] = asyncio.get_running_loop().create_future()
        return True

    def end(self, identifier: str, *, stored: bool) -> None:
        """Storing has ended, well or not. It ends when the sink says so, even if the sender no longer waits."""
        self._storing.pop(identifier).set_result(None)
        if stored:
            self._stored[identifier] = None
            while len(self._stored) > self._capacity:
                self._stored.popitem(last=False)
