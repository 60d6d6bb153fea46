"""What waits for the backend: batches in memory, or in the spool where there is one."""

import time
from collections import deque
from dataclasses import dataclass, field

from agent.export.accounting import Ledger, Loss
from agent.export.assembler import Batch
from agent.export.spool import Spool, Spooled


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of a queue."""

    logs: int
    """In memory."""
    size: int
    """Bytes in memory."""
    spool_bytes: int
    """Bytes in the spool."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A batch that waits."""

    logs: int
    size: int
    """Bytes, in memory or in the spool."""
    batch: Batch | None
    """None when it is in the spool alone."""
    spooled: Spooled | None
    since: float = field(default_factory=time.monotonic)
    """Monotonic seconds at which it came into this queue."""
    doubts: int = 0
    is_taken: bool = False

    @property
    def place(self) -> int | None:
        """In the spool."""
        return None if self.spooled is None else self.spooled.place


class BatchQueue:
    """Batches, oldest first, each until it is settled. Not safe for several threads.

    Args:
        ledger: Where losses and deliveries are booked.
        limits: Bounds.
        spool: Where batches are kept; None to keep them in memory. What it has from before comes first.

    Attributes:
        logs: That wait, all together.
        size: Bytes of them.
    """

    def __init__(self, ledger: Ledger, limits: QueueLimits, spool: Spool | None = None) -> None:
        self._ledger = ledger
        self._limits = limits
        self._spool = spool
        self._entries: deque[_Entry] = deque()
        self._taken: dict[str, _Entry] = {}
        """By the id of the batch."""
        self.logs = 0
        self.size = 0
        self._memory_logs = 0
        self._memory_size = 0
        for spooled in () if spool is None else spool.left:
            self._add(_Entry(spooled.logs, spooled.size, None, spooled))
        self._make_room()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, batch: Batch) -> None:
        """Take a batch. When there is no room the oldest ones that are not taken are lost."""
        spooled = None if self._spool is None else self._spool.keep(batch)
        if spooled is None:
            self._add(_Entry(batch.logs, batch.size, batch, None))
        else:
            self._add(_Entry(batch.logs, spooled.size, None, spooled))
        self._make_room()

    @property
    def taken(self) -> int:
        """How many batches are taken."""
        return len(self._taken)

    def take(self) -> Batch | None:
        """The oldest batch that is not taken, which stays in the queue until it is settled; None when there is none.

        While others are taken, there is none either when what is in memory would be more than may be.
        """
        while (entry := next((entry for entry in self._entries if not entry.is_taken), None)) is not None:
            if entry.batch is None and entry.spooled is not None and self._spool is not None:
                if self._taken and self._memory_size + self._loaded_size + entry.size > self._limits.size:
                    return None
                entry.batch = self._spool.load(entry.spooled)
            if entry.batch is not None:
                entry.is_taken = True
                self._taken[entry.batch.id] = entry
                return entry.batch
            self._lose(entry, Loss.SPOOL_DAMAGED)
        return None

    def put_back(self, batch: Batch) -> None:
        """A batch that was taken waits again, at its place."""
        entry = self._release(batch)
        if entry.spooled is not None:
            entry.batch = None

    def settle(self, batch: Batch, lost: Loss | None = None) -> None:
        """A batch that was taken is delivered, or lost by a cause."""
        entry = self._release(batch)
        if lost is not None:
            self._lose(entry, lost)
            return
        self._ledger.deliver(entry.logs, entry.place)
        self._remove(entry)

    def doubt(self, batch: Batch) -> int:
        """Note an error that may be the fault of a batch that was taken; how many there were by now."""
        entry = self._taken[batch.id]
        entry.doubts += 1
        return entry.doubts

    def waiting_since(self, batch: Batch) -> float:
        """Monotonic seconds at which a batch that was taken came into this queue."""
        return self._taken[batch.id].since

    def give_up(self) -> None:
        """Nothing is sent any more: what is in memory alone is lost, and the spool keeps the rest."""
        self._taken.clear()
        for entry in list(self._entries):
            if entry.spooled is None:
                self._lose(entry, Loss.SHUTDOWN)

    def has_room_for(self, batch: Batch) -> bool:
        """Whether a batch can be put without losing another; one that never fits has room in an empty queue."""
        if not self._entries:
            return True
        if self._spool is not None:
            return self.spooled_size + batch.size <= self._limits.spool_bytes
        return (
            self._memory_logs + batch.logs <= self._limits.logs and self._memory_size + batch.size <= self._limits.size
        )

    @property
    def spooled_size(self) -> int:
        """Bytes that wait in the spool."""
        return self.size - self._memory_size

    @property
    def _loaded_size(self) -> int:
        """Bytes of batches of the spool that are taken, and so in memory as well."""
        return sum(entry.size for entry in self._taken.values() if entry.spooled is not None)

    def _release(self, batch: Batch) -> _Entry:
        entry = self._taken.pop(batch.id)
        entry.is_taken = False
        return entry

    def _make_room(self) -> None:
        while self.spooled_size > self._limits.spool_bytes and self._give_up_oldest(Loss.SPOOL_FULL):
            pass
        while (self._memory_logs > self._limits.logs or self._memory_size > self._limits.size) and self._give_up_oldest(
            Loss.QUEUE_FULL
        ):
            pass

    def _give_up_oldest(self, cause: Loss) -> bool:
        """Lose the oldest batch of those that are too many; False when nothing is left but what is under way."""
        for entry in self._entries:
            if not entry.is_taken and (entry.spooled is not None) == (cause is Loss.SPOOL_FULL):
                self._lose(entry, cause)
                return True
        return False

    def _lose(self, entry: _Entry, cause: Loss) -> None:
        self._ledger.lose(entry.logs, cause, entry.place)
        self._remove(entry)

    def _add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._count(entry, 1)

    def _remove(self, entry: _Entry) -> None:
        self._entries.remove(entry)
        self._count(entry, -1)
        if entry.spooled is not None and self._spool is not None:
            self._spool.remove(entry.spooled)

    def _count(self, entry: _Entry, sign: int) -> None:
        self.logs += sign * entry.logs
        self.size += sign * entry.size
        if entry.spooled is None:
            self._memory_logs += sign * entry.logs
            self._memory_size += sign * entry.size
