import asyncio
from pathlib import Path
from typing import Any

import pytest

from backend.ingest.sink import Overloaded
from backend.metrics.journal_mode import WriterMemory
from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.duckdb import DuckdbStorage
from backend.storage.memory import MemoryStorage
from tests.backend.metrics.journaling import (
    GATHERING,
    Remembering,
    ahead,
    journaled,
    running,
    segments,
)
from tests.backend.metrics.test_pipeline import batch, counter, entered, total
from tests.waiting import eventually


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
            await eventually(lambda: len(asyncio.all_tasks()) == 2 and not counter(pipeline, "logs_held"))
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
    bound: dict[str, Any], tmp_path: Path
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
        await eventually(lambda: not storage.failures)
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


def test_which_stores_it_is_for() -> None:
    assert isinstance(Remembering(), WriterMemory)
    assert issubclass(DuckdbStorage, WriterMemory)
    assert not issubclass(ClickhouseStorage, WriterMemory)
    assert not issubclass(MemoryStorage, WriterMemory)
