"""What goes wrong while logs are journaled: full journals and disks, damaged records, batches that are no good."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.entities.resolution import Resolver
from backend.metrics.journal import Journal, Segment
from backend.metrics.journal_segments import JournalError, beginning
from backend.metrics.pipeline import AnalysisError
from backend.storage.interface import StorageError
from tests.backend.metrics.journaling import (
    GATHERING,
    ROOT,
    BadBook,
    Remembering,
    ahead,
    beside_the_journal,
    journaled,
    running,
    segments,
)
from tests.backend.metrics.test_pipeline import batch, counter, entered, total
from tests.waiting import eventually


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
        await eventually(lambda: counter(pipeline, "journal_segments_remaining"))
        await pipeline.submit(batch(1))
    assert counter(pipeline, "journal_segments_remaining") == 0
    assert tried == [tried[0], tried[0], tried[2]]
    assert segments(tmp_path) == []


async def test_a_bad_batch_alone_is_told_so_also_behind_a_slow_store(tmp_path: Path) -> None:
    storage = Remembering()
    async with running(storage, tmp_path, resolver=Resolver(BadBook())) as pipeline:
        with pytest.raises(AnalysisError):
            await pipeline.submit(batch(1, remote="10.0.0.99"))


FILL_THE_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from unittest.mock import Mock
sys.path.insert(0, sys.argv[2])
from tests.backend.metrics.journaling import GATHERING, Remembering, ahead, running
from tests.backend.metrics.test_pipeline import batch, counter, total
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    storage = Remembering()
    async with running(storage, Path(sys.argv[1]), **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        sent = []
        entered = asyncio.ensure_future(asyncio.to_thread(storage.entered.wait, 120))
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
