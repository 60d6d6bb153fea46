"""Writing ahead: what comes is journaled and answered, and stored in larger flushes.

A flush writes rows for all that it has seen, however few logs each has. A store that is slow for so many rows would
keep senders waiting, and they would send so little at a time that most of the work is for rows. So batches are made
durable in the journal, which costs the same for each, and wait in memory to be stored together. One segment is one
flush of one writer: the store knows at the next start which segments it has.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from prometheus_client import CollectorRegistry

from backend.ingest.batch import LogBatch
from backend.metrics.journal import Journal, Segment
from backend.metrics.journal_segments import Damage, JournalError, read_segment
from backend.metrics.journal_telemetry import JournalTelemetry
from backend.metrics.waiting import Waiting
from backend.storage.interface import StorageError

T = TypeVar("T")

_logger = logging.getLogger(__name__)

SHARES = 4
"""Of what may wait, one share is being stored, one is journaled meanwhile, and two wait for an answer."""


@runtime_checkable
class WriterMemory(Protocol):
    """A store that knows what it has written. Without that, what is journaled could count twice after a crash."""

    def has_written(self, writer: str) -> bool:
        """Whether a flush of this writer was written within the last hour. Raises StorageError."""
        ...


@dataclass(frozen=True, slots=True)
class AheadSettings:
    """When to write ahead, and how much."""

    after: float = 0.25
    """Seconds that a flush takes from which on the next logs are journaled."""
    times: float = 5.0
    """How many times as long as a flush took, logs are gathered for the next."""
    shortest: float = 1.0
    """Seconds for which they are gathered at least."""
    longest: float = 10.0
    """Seconds for which they are gathered at most."""
    rows: int = 1_000_000 // SHARES
    """Logs of a segment from which on it is stored; a segment may have more by a part of its last batch."""
    bytes: int = 512 * 1024 * 1024 // SHARES
    """The same in bytes of columns."""
    retry_delay: float = 1.0
    """Seconds until a segment that could not be stored is tried again; doubles up to `longest`."""


class Owner(Protocol):
    """Has the batches, and can analyse and store them."""

    wake: asyncio.Event
    """Set when a batch comes."""
    stopping: asyncio.Event

    def take(self, rows: int, size: int) -> list[Waiting]:
        """What has come, up to the batch with which it is so many logs or bytes; it is the caller's from now on."""
        ...

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """Undo `take`."""
        ...

    async def flush(self, taken: Sequence[Waiting], writer: str) -> None:
        """Analyse, store and answer what is not settled. Raises StorageError, and then the rest is not settled."""
        ...

    def fail(self, taken: Sequence[Waiting], error: Exception) -> None:
        """Give up what is not answered, with this error."""
        ...

    def release(self, taken: Sequence[Waiting]) -> None:
        """Hold these no longer."""
        ...

    async def maintain(self) -> None:
        """Tidy up the store if it is time."""
        ...


class WriteAhead:
    """Journals what comes while the store is slow. For use from one event loop.

    Attributes:
        settings: when and how much.
        telemetry: its counters.
    """

    def __init__(
        self, journal: Journal, memory: WriterMemory, settings: AheadSettings, registry: CollectorRegistry
    ) -> None:
        self.settings = settings
        self.telemetry = JournalTelemetry(registry)
        self._journal = journal
        self._memory = memory
        self._worker: ThreadPoolExecutor | None = None
        self._lock = asyncio.Lock()
        self._open: list[Waiting] = []
        self._rows = 0
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._due = asyncio.Event()
        self._leaving = False
        self._stored: list[Segment] = []

    async def replay(self, owner: Owner) -> None:
        """Store what is in the journal from before.

        Raises:
            JournalError: a segment cannot be read, or another version of the program wrote it.
            StorageError: the store does not take it; it stays in the journal.
        """
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="journal")
        segments = await self._in_worker(self._journal.segments)
        for number, segment in enumerate(segments, 1):
            logs = await self._replay(owner, segment)
            _logger.info("segment %d of %d of the journal: %d logs stored", number, len(segments), logs)

    async def run(self, owner: Owner, took: float) -> None:
        """Write ahead until the store is quick again, the journal fails, or the owner stops.

        Args:
            owner: of the batches.
            took: seconds that the last flush took.
        """
        _logger.info("a flush took %.2f s: what comes is journaled, and stored in larger flushes", took)
        self._leaving = False
        journaling = asyncio.create_task(self._journal_what_comes(owner), name="journal")
        try:
            while not journaling.done() and not owner.stopping.is_set() and took >= self.settings.after:
                await self._until_due(took)
                took = await self._store(owner)
                await owner.maintain()
        finally:
            self._leaving = True
            owner.wake.set()
            self._has_room.set()
            await journaling
        await self._store(owner)
        _logger.info("the last flush took %.2f s: what comes is stored before it is answered", took)

    def hurry(self) -> None:
        """Store what is journaled without waiting for more."""
        self._due.set()

    def close(self) -> None:
        """End the thread that `replay` began; nothing may run any more."""
        if self._worker is not None:
            self._worker.shutdown()
            self._worker = None

    async def _until_due(self, took: float) -> None:
        gathering = min(max(self.settings.times * took, self.settings.shortest), self.settings.longest)
        await within(gathering, self._due)

    async def _journal_what_comes(self, owner: Owner) -> None:
        while True:
            await owner.wake.wait()
            if not self._leaving:  # else nobody makes room, when the segment was filled after that was said
                await self._has_room.wait()
            if self._leaving:
                return
            owner.wake.clear()
            taken = owner.take(self.settings.rows - self._rows, self.settings.bytes - self._bytes)
            if taken and not await self._append(taken):
                self._due.set()
                return

    async def _append(self, taken: list[Waiting]) -> bool:
        """Whether batches are journaled and answered. They belong to the segment in either case."""
        async with self._lock:
            try:
                await self._in_worker(lambda: self._journal.append([waiting.batch for waiting in taken]))
            except JournalError as error:
                _logger.warning("logs are stored before they are answered: %s", error)
                is_durable = False
            except Exception:
                _logger.exception("logs are stored before they are answered, as they could not be journaled")
                is_durable = False
            else:
                is_durable = True
            for waiting in taken:
                waiting.number = len(self._open)
                self._open.append(waiting)
                self._rows += len(waiting.batch)
                self._bytes += waiting.bytes
            if self._rows >= self.settings.rows or self._bytes >= self.settings.bytes:
                self._has_room.clear()
                self._due.set()
        if is_durable:
            self.telemetry.syncs.inc()
            for waiting in taken:
                waiting.is_journaled = True
                self.telemetry.logs.inc(len(waiting.batch))
                self.telemetry.unstored.inc(len(waiting.batch))
                if not waiting.done.done():
                    waiting.done.set_result(None)
        else:
            self.telemetry.failures.inc()
        return is_durable

    async def _store(self, owner: Owner) -> float:
        """Seal the open segment and store it; the seconds that its flush took."""
        async with self._lock:
            segment = await self._in_worker(self._journal.seal)
            taken, self._open = self._open, []
            self._rows = self._bytes = 0
            self._has_room.set()
            self._due.clear()
        if segment is None:
            owner.put_back(taken)
            return 0.0
        journaled = sum(len(waiting.batch) for waiting in taken if waiting.is_journaled)
        delay = self.settings.retry_delay
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await owner.flush(taken, segment.writer)
            except StorageError as error:
                if owner.stopping.is_set():
                    _logger.error("%d logs stay in the journal, for the next start: %s", journaled, error)  # noqa: TRY400 - the message has what to do
                    owner.fail([waiting for waiting in taken if not waiting.is_journaled], error)
                    owner.release(taken)
                    return 0.0
                _logger.warning("a segment could not be stored, trying again in %.1f s: %s", delay, error)
                await within(delay, owner.stopping)
                delay = min(2 * delay, self.settings.longest)
            else:
                took = asyncio.get_running_loop().time() - began
                self.telemetry.unstored.dec(journaled)
                await self._remove(segment)
                return took

    async def _remove(self, segment: Segment) -> None:
        self._stored.append(segment)
        for stored in list(self._stored):
            try:
                await self._in_worker(lambda stored=stored: self._journal.remove(stored))  # type: ignore[misc] # mypy does not infer a lambda with a default
            except JournalError as error:
                _logger.warning("%s", error)
            else:
                self._stored.remove(stored)
        self.telemetry.remaining.set(len(self._stored))

    async def _replay(self, owner: Owner, segment: Segment) -> int:
        found = await self._in_worker(lambda: list(read_segment(segment.path)))
        for damage in found:
            if isinstance(damage, Damage):
                self.telemetry.damaged.labels("torn" if damage.is_torn else "damaged").inc()
                _logger.warning("%s, byte %d: %s", segment.path, damage.at, damage.reason)
        batches = [each for each in found if not isinstance(each, Damage)]
        left = await self._in_worker(lambda: self._unwritten(segment, batches))
        waiting = [_replayed(number, batch) for number, batch in left]
        if waiting:
            await owner.flush(waiting, segment.writer)
        logs = sum(len(batch) for _, batch in left)
        self.telemetry.replayed.inc(logs)
        await self._remove(segment)
        return logs

    def _unwritten(self, segment: Segment, batches: Sequence[tuple[int, LogBatch]]) -> list[tuple[int, LogBatch]]:
        """The batches that the store does not have, neither by the segment nor alone."""
        if self._memory.has_written(segment.writer):
            return []
        return [
            (number, batch)
            for number, batch in batches
            if not self._memory.has_written(part_of(segment.writer, number))
        ]

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def part_of(writer: str, number: int) -> str:
    """The writer of a batch of a segment that is stored alone, because another one cannot be analysed."""
    return f"{writer}-{number}"


async def within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, but no longer than this."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()


def _replayed(number: int, batch: LogBatch) -> Waiting:
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answered.set_result(None)
    return Waiting(batch, 0, answered, number, is_held=False, is_journaled=True)
