"""The end of writing ahead, when a segment is filled just then."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

from backend.ingest.batch import LogBatch
from backend.metrics.journal import Journal
from backend.metrics.telemetry import Telemetry
from backend.metrics.waiting import Waiting
from tests.backend.metrics.journaling import LIMIT, Remembering, ahead_of
from tests.backend.metrics.test_pipeline import batch
from tests.waiting import PATIENCE


class SlowJournal(Journal):
    """Appends when it may, and says that it has begun."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, LIMIT)
        self.began, self.may_append = threading.Event(), threading.Event()

    def append(self, batches: Sequence[LogBatch]) -> None:
        self.began.set()
        assert self.may_append.wait(120)
        super().append(batches)


class Owner:
    """Has a batch that comes after the last look at the segment, and is journaled while writing ahead ends."""

    def __init__(self, journal: SlowJournal) -> None:
        self.wake, self.stopping = asyncio.Event(), asyncio.Event()
        self.stored: list[int] = []
        self._journal = journal
        self._coming: list[Waiting] = []

    def take(self, rows: int, size: int) -> list[Waiting]:
        assert rows > 0
        assert size > 0
        taken, self._coming = self._coming, []
        return taken

    def put_back(self, taken: Sequence[Waiting]) -> None:
        assert not taken

    async def flush(self, taken: Sequence[Waiting], writer: str) -> None:
        assert writer
        self.stored += [len(waiting.batch) for waiting in taken]

    def fail(self, taken: Sequence[Waiting], error: Exception) -> None:
        raise AssertionError(taken) from error

    def release(self, taken: Sequence[Waiting]) -> None:
        raise AssertionError(taken)

    async def maintain(self) -> None:
        loop = asyncio.get_running_loop()
        self._coming = [Waiting(batch(5), 100, loop.create_future(), 0, is_held=False)]
        self.wake.set()
        await loop.run_in_executor(None, self._journal.began.wait, 120)
        loop.call_soon(self._journal.may_append.set)  # when this has returned, and writing ahead waits for its end


async def test_a_segment_that_is_filled_while_writing_ahead_ends_is_stored(tmp_path: Path) -> None:
    journal = SlowJournal(tmp_path)
    owner = Owner(journal)
    ahead = ahead_of(Remembering(), tmp_path, Telemetry(), LIMIT, after=1.0, rows=5, shortest=60.0, longest=60.0)
    ahead._journal = journal
    await ahead.replay(owner)
    ahead.hurry()  # nothing is in the first segment, so that it took no time to store it
    async with asyncio.timeout(PATIENCE):
        await ahead.run(owner, took=2.0)
    assert owner.stored == [5]
    ahead.close()
