import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from backend.entities.resolution import End, Resolver
from backend.ingest.batch import LogBatch, Node
from backend.ingest.sink import Overloaded
from backend.metrics.journal import Journal, Segment
from backend.metrics.journal_mode import AheadSettings, WriteAhead, WriterMemory
from backend.metrics.journal_segments import JournalError, beginning
from backend.metrics.pipeline import AnalysisError, Pipeline, PipelineSettings
from backend.metrics.telemetry import Telemetry
from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, Storage, StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.metrics.test_pipeline import METRICS, NOW, Gate, batch, counter, entered, total

LIMIT = 1 << 20
ROOT = Path(__file__).parents[3]


class Remembering(Gate):
    """A gate that knows which writers it has stored."""

    def has_written(self, writer: str) -> bool:
        return writer in self.writers

    def __init__(self) -> None:
        super().__init__()
        self.writers: list[str] = []

    def write(self, flush: Flush) -> None:
        super().write(flush)
        self.writers.append(flush.writer)


class BadBook:
    """Fails for one address."""

    version = 0

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:  # noqa: ARG002 - the interface
        if host == "10.0.0.99":
            raise RuntimeError("no entry")
        return None


def ahead_of(storage: WriterMemory, folder: Path, telemetry: Telemetry, limit: int, **settings: float) -> WriteAhead:
    chosen = AheadSettings(**{"after": 0.0, "shortest": 0.0, "longest": 0.0, "retry_delay": 0.0, **settings})  # type: ignore[arg-type] # by name
    return WriteAhead(Journal(folder, limit), storage, chosen, telemetry.registry)


@asynccontextmanager
async def running(
    storage: Storage,
    folder: Path,
    limit: int = LIMIT,
    maximum_rows: int = 1_000_000,
    resolver: Resolver | None = None,
    **settings: float,
) -> AsyncIterator[Pipeline]:
    """A pipeline that writes ahead after any flush."""
    assert isinstance(storage, WriterMemory)
    telemetry = Telemetry()
    pipeline = Pipeline(
        storage,
        METRICS,
        settings=PipelineSettings(interval=0.0, retry_delay=0.0, maximum_rows=maximum_rows),
        resolver=resolver,
        telemetry=telemetry,
        ahead=ahead_of(storage, folder, telemetry, limit, **settings),
        clock=lambda: NOW * 60.0,
    )
    await pipeline.start()
    try:
        yield pipeline
    finally:
        if isinstance(storage, Gate):
            storage.open.set()
        await pipeline.stop()


async def ahead(storage: Gate, pipeline: Pipeline) -> None:
    """Make the pipeline write ahead: a first flush, after which the gate is closed."""
    await pipeline.submit(batch(1))
    storage.entered.clear()
    storage.open.clear()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what changes has no event
        await asyncio.sleep(0.001)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


async def journaled(folder: Path, storage: Remembering, batches: list[LogBatch], **settings: float) -> None:
    """Leave a journal as a crash does: batches that were acknowledged, and not stored."""
    async with running(storage, folder / "first", **settings) as pipeline:
        await ahead(storage, pipeline)
        for each in batches:
            await pipeline.submit(each)
        shutil.copytree(folder / "first", folder / "crashed")


GATHERING = {"shortest": 60.0, "longest": 60.0}


async def test_what_comes_while_the_store_is_slow_is_answered_before_it_is_stored(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        for rows in (2, 3, 5):
            await pipeline.submit(batch(rows))
        assert total(storage) == 1
        assert counter(pipeline, "journal_logs_total") == 10
        assert counter(pipeline, "journal_logs_unstored") == 10
        assert counter(pipeline, "journal_syncs_total") == 3
        assert counter(pipeline, "logs_held") == 10
        (segment,) = segments(tmp_path)
    # All of a segment is one flush, by the writer that is in its name.
    assert storage.writers[1:] == [segment.name.removesuffix(".segment").partition("-")[2]]
    assert total(storage) == 11
    assert segments(tmp_path) == []
    assert counter(pipeline, "journal_logs_unstored") == 0
    assert counter(pipeline, "logs_held") == 0


async def test_what_comes_together_is_made_durable_together(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        await pipeline.submit(batch(1))
        await asyncio.gather(*[asyncio.ensure_future(pipeline.submit(batch(1))) for _ in range(50)])
        assert counter(pipeline, "journal_syncs_total") == 2
    assert total(storage) == 52


async def test_a_quick_store_is_not_written_ahead_of(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, after=1e9) as pipeline:
        for rows in (1, 2, 3):
            await pipeline.submit(batch(rows))
            assert total(storage) == {1: 1, 2: 3, 3: 6}[rows]
    assert counter(pipeline, "journal_logs_total") == 0


async def test_it_ends_when_there_is_nothing_to_store_and_begins_again(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, after=1e-9) as pipeline:
        for number in range(1, 6):
            await pipeline.submit(batch(1))
            # This test and the pipeline; writing ahead is a third.
            await until(lambda: len(asyncio.all_tasks()) == 2 and not counter(pipeline, "logs_held"))
            assert total(storage) == number
    assert segments(tmp_path) == []


async def test_a_segment_is_stored_when_it_is_full_and_what_comes_meanwhile_waits(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, maximum_rows=30, rows=10, **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        for _ in range(2):
            await pipeline.submit(batch(5))
        await entered(storage)  # the first segment is being stored, without waiting for its time
        for _ in range(2):
            await pipeline.submit(batch(5))
        waiting = [asyncio.ensure_future(pipeline.submit(batch(5))) for _ in range(2)]
        with pytest.raises(Overloaded, match="30 logs wait"):
            pipeline.submit(batch(1))
        await asyncio.sleep(0)
        assert not any(future.done() for future in waiting)
        assert counter(pipeline, "journal_logs_total") == 20
        storage.open.set()
        await asyncio.gather(*waiting)
    assert total(storage) == 31
    assert segments(tmp_path) == []


@pytest.mark.parametrize("bound", [{"rows": 10}, {"bytes": 2 * 5 * 17}])
async def test_of_what_comes_at_once_a_segment_takes_what_it_has_room_for(
    bound: dict[str, float], tmp_path: Path
) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, **bound, **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        futures = [asyncio.ensure_future(pipeline.submit(batch(5))) for _ in range(9)]
        await asyncio.gather(*futures[:4])
        await entered(storage)
        assert not any(future.done() for future in futures[4:])
        assert counter(pipeline, "journal_logs_total") == 20
        storage.open.set()
        await asyncio.gather(*futures)
        assert counter(pipeline, "journal_syncs_total") == 5
    assert total(storage) == 46
    assert len(storage.writers) == 6


async def test_a_segment_that_cannot_be_stored_is_tried_until_it_is(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path) as pipeline:
        await ahead(storage, pipeline)
        storage.failures = 50
        storage.open.set()
        await pipeline.submit(batch(3))
        await until(lambda: not storage.failures)
    assert total(storage) == 4
    assert counter(pipeline, "logs_failed_total") == 0
    assert len({flush.writer for flush in storage.flushes[1:]}) == 1


async def test_what_cannot_be_stored_at_the_end_is_stored_at_the_next_start(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        await pipeline.submit(batch(3))
        storage.failures = 1_000
    assert total(storage) == 1
    assert counter(pipeline, "journal_logs_unstored") == 3
    assert len(segments(tmp_path)) == 1
    storage.failures = 0
    async with running(storage, tmp_path) as pipeline:
        assert total(storage) == 4  # before anything is accepted
        assert counter(pipeline, "journal_logs_replayed_total") == 3
        assert segments(tmp_path) == []


async def test_what_was_acknowledged_survives_a_crash(tmp_path: Path) -> None:
    await journaled(tmp_path, Remembering(), [batch(2), batch(3), batch(5)], **GATHERING)
    storage = Remembering()
    async with running(storage, tmp_path / "crashed") as pipeline:
        assert total(storage) == 10
        assert counter(pipeline, "logs_held") == 0
        assert len(storage.flushes) == 1
    assert segments(tmp_path / "crashed") == []


async def test_what_was_stored_just_before_a_crash_counts_once(tmp_path: Path) -> None:
    storage = Remembering()
    await journaled(tmp_path, storage, [batch(2), batch(3)], **GATHERING)
    assert total(storage) == 6
    async with running(storage, tmp_path / "crashed") as pipeline:
        assert total(storage) == 6
        assert counter(pipeline, "journal_logs_replayed_total") == 0
    assert segments(tmp_path / "crashed") == []


async def test_a_start_with_a_store_that_fails_keeps_the_journal(tmp_path: Path) -> None:
    await journaled(tmp_path, Remembering(), [batch(2)], **GATHERING)
    storage = Remembering()
    storage.failures = 1_000
    with pytest.raises(StorageError, match="the disk is full"):
        async with running(storage, tmp_path / "crashed"):
            pass
    storage.failures = 0
    async with running(storage, tmp_path / "crashed"):
        assert total(storage) == 2


@pytest.mark.parametrize("crash", [False, True])
async def test_a_batch_that_cannot_be_analysed_is_lost_alone(tmp_path: Path, *, crash: bool) -> None:
    storage = Remembering()
    batches = [batch(2), batch(4, remote="10.0.0.99"), batch(8), batch(16, remote="10.0.0.99"), batch(32)]
    async with running(storage, tmp_path / "first", resolver=Resolver(BadBook()), **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        for each in batches:
            await pipeline.submit(each)
        shutil.copytree(tmp_path / "first", tmp_path / "crashed")
    assert total(storage) == 1 + 2 + 8 + 32
    assert counter(pipeline, "logs_failed_total") == 4 + 16
    assert counter(pipeline, "logs_held") == 0
    if crash:
        # As if it had ended when some of them were stored alone.
        storage.writers.pop()
        missing = 32
        async with running(storage, tmp_path / "crashed") as pipeline:
            assert counter(pipeline, "journal_logs_replayed_total") == 4 + 16 + missing


async def test_a_full_journal_stores_before_it_answers(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, limit=0) as pipeline:
        await ahead(storage, pipeline)
        waiting = asyncio.ensure_future(pipeline.submit(batch(3)))
        await entered(storage)
        assert not waiting.done()
        assert counter(pipeline, "journal_failures_total") == 1
        storage.open.set()
        await waiting
        assert total(storage) == 4
    assert counter(pipeline, "journal_logs_total") == 0


async def beside_the_journal(
    storage: Gate, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> asyncio.Task[None]:
    """A batch of 5 that waits for the store, since it cannot be written to the journal; one of 3 is in there."""
    await ahead(storage, pipeline)
    await pipeline.submit(batch(3))
    monkeypatch.setattr(Journal, "append", Mock(side_effect=error))
    waiting = asyncio.ensure_future(pipeline.submit(batch(5)))
    await entered(storage)
    return waiting


async def test_a_batch_that_cannot_be_journaled_is_stored_with_its_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, **GATHERING) as pipeline:
        waiting = await beside_the_journal(storage, pipeline, monkeypatch, TypeError("not to be written"))
        assert not waiting.done()
        storage.open.set()
        await waiting
        assert total(storage) == 9
        assert len(storage.writers) == 2
        assert counter(pipeline, "journal_logs_unstored") == 0


async def test_what_was_not_journaled_is_refused_when_the_store_fails_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, **GATHERING) as pipeline:
        waiting = await beside_the_journal(storage, pipeline, monkeypatch, JournalError("the disk is full: make room"))
        storage.failures = 1_000
    with pytest.raises(StorageError, match="the disk is full"):
        await waiting
    assert counter(pipeline, "logs_failed_total") == 5
    assert counter(pipeline, "logs_held") == 0
    storage.failures = 0
    async with running(storage, tmp_path):
        assert total(storage) == 4


async def test_a_damaged_record_is_counted_and_named_and_the_rest_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await journaled(tmp_path, Remembering(), [batch(2), batch(3), batch(5)], **GATHERING)
    (path,) = segments(tmp_path / "crashed")
    data = bytearray(path.read_bytes())
    third = (len(data) - len(beginning())) // 3
    data[len(beginning()) + third + third // 2] ^= 1  # in the second
    path.write_bytes(data[:-1])
    storage = Remembering()
    async with running(storage, tmp_path / "crashed") as pipeline:
        assert total(storage) == 2
        assert counter(pipeline, "journal_records_damaged_total", cause="damaged") == 1
        assert counter(pipeline, "journal_records_damaged_total", cause="torn") == 1
    assert f"{path}, byte" in caplog.text


async def test_another_format_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "1-w.segment").write_bytes(beginning(9))
    with pytest.raises(StorageError, match="has format 9"):
        async with running(Remembering(), tmp_path):
            pass
    assert len(segments(tmp_path)) == 1


async def test_a_segment_that_cannot_be_removed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Remembering()
    remove = Journal.remove
    tried: list[Segment] = []

    def fail_first(journal: Journal, segment: Segment) -> None:
        tried.append(segment)
        if len(tried) == 1:
            raise JournalError("cannot be removed")
        remove(journal, segment)

    monkeypatch.setattr(Journal, "remove", fail_first)
    async with running(storage, tmp_path, rows=1, **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        storage.open.set()
        await pipeline.submit(batch(1))
        await until(lambda: counter(pipeline, "journal_segments_remaining"))
        await pipeline.submit(batch(1))
    assert counter(pipeline, "journal_segments_remaining") == 0
    assert tried == [tried[0], tried[0], tried[2]]
    assert segments(tmp_path) == []


async def test_a_bad_batch_alone_is_told_so_also_behind_a_slow_store(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, resolver=Resolver(BadBook())) as pipeline:
        with pytest.raises(AnalysisError):
            await pipeline.submit(batch(1, remote="10.0.0.99"))


def test_which_stores_it_is_for() -> None:
    assert isinstance(Remembering(), WriterMemory)
    assert issubclass(DuckdbStorage, WriterMemory)
    assert not issubclass(ClickhouseStorage, WriterMemory)
    assert not issubclass(MemoryStorage, WriterMemory)


FILL_THE_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from unittest.mock import Mock
sys.path.insert(0, sys.argv[2])
from tests.backend.metrics.test_journal_mode import GATHERING, Remembering, ahead, running
from tests.backend.metrics.test_pipeline import batch, counter, total
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    storage = Remembering()
    async with running(storage, Path(sys.argv[1]), **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        sent = []
        entered = asyncio.ensure_future(asyncio.to_thread(storage.entered.wait, 60))
        while not entered.done():
            sent.append(asyncio.ensure_future(pipeline.submit(batch(100))))
            await asyncio.wait([sent[-1], entered], return_when=asyncio.FIRST_COMPLETED)
        answered = sum(future.done() for future in sent)
        assert answered > 0
        assert answered * 100 == counter(pipeline, "journal_logs_total") == (len(sent) - 1) * 100
        assert counter(pipeline, "journal_failures_total") == 1
        storage.open.set()
        await asyncio.gather(*sent)
        assert total(storage) == 1 + 100 * len(sent)
    assert not list(Path(sys.argv[1]).iterdir())

asyncio.run(main())
"""


def test_a_full_disk_is_no_answer_until_it_is_stored(tmp_path: Path) -> None:
    """The size of files is limited instead of the disk, which fails in the same calls; the store is in memory."""
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stderr
