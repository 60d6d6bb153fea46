import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.entities.endpoints import ABANDONED, EndpointNames
from backend.entities.resolution import End, Resolver
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, LogKind, Node
from backend.ingest.sink import LogSink, Overloaded
from backend.metrics.pipeline import AnalysisError, Pipeline, PipelineSettings
from backend.oal.apdex import ApdexThresholds
from backend.oal.loader import load, load_texts
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, Retention, Storage, StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.metrics.exchanges import batch_of, connection, exchange, messages
from tests.backend.oal.batches import NODE

METRICS = load_texts({"x": "writes = from(K8SService.*).cpm();"})
NOW = 30_000_000
LAST = 2**31 - 1


def batch(rows: int = 1, minute: int = NOW, remote: str = "") -> LogBatch:
    remote_end = Address("", "", "", remote, 1) if remote else Address("db", "d", "", "", 1)
    connection = Connection(NODE, Address("api", "a", "", "", 1), remote_end, DetectPoint.CLIENT, tls=False, protocol=0)
    return LogBatch(
        [connection],
        np.zeros(rows, np.int32),
        np.full(rows, LogKind.WRITE, np.int8),
        np.full(rows, minute, np.int32),
        np.ones(rows, np.int64),
        {},
    )


class Gate(MemoryStorage):
    """Writes only while it is open, and can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.flushes: list[Flush] = []
        self.failures = 0
        self.maintained: list[tuple[int, int, Retention]] = []
        self.maintenance_failures = 0

    def write(self, flush: Flush) -> None:
        self.entered.set()
        assert self.open.wait(120)
        self.flushes.append(flush)
        if self.failures:
            self.failures -= 1
            raise StorageError("the disk is full")
        super().write(flush)

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        if self.maintenance_failures:
            self.maintenance_failures -= 1
            raise StorageError("the disk is full")
        self.maintained.append((closed_minute, now_minute, retention))
        super().maintain(closed_minute, now_minute, retention)


@asynccontextmanager
async def running(
    storage: Storage,
    resolver: Resolver | None = None,
    clock: Callable[[], float] = lambda: NOW * 60.0,
    **settings: Any,  # noqa: ANN401 # those of PipelineSettings, by name
) -> AsyncIterator[Pipeline]:
    chosen = PipelineSettings(**{"interval": 0.0, "retry_delay": 0.0, **settings})
    pipeline = Pipeline(storage, METRICS, settings=chosen, resolver=resolver, clock=clock)
    await pipeline.start()
    try:
        yield pipeline
    finally:
        if isinstance(storage, Gate):
            storage.open.set()
        await pipeline.stop()


def total(storage: Storage) -> int:
    return int(storage.metrics(["writes"], [], 0, LAST)["summation"].sum())


def counter(pipeline: Pipeline, name: str, **labels: str) -> float:
    return pipeline.telemetry.registry.get_sample_value(f"pyrover_analysis_{name}", labels) or 0.0


async def entered(storage: Gate) -> None:
    assert await asyncio.to_thread(storage.entered.wait, 120)


async def test_a_batch_is_stored_when_its_awaitable_is_done() -> None:
    storage = Gate()
    async with running(storage) as pipeline:
        sink: LogSink = pipeline
        await sink.submit(batch(3))
        assert total(storage) == 3
        assert counter(pipeline, "logs_total") == 3
        assert counter(pipeline, "flushes_total", outcome="stored") == 1
        assert counter(pipeline, "flush_seconds_count") == 1
        assert counter(pipeline, "logs_held") == 0


async def test_what_arrives_during_a_flush_is_the_next_one() -> None:
    storage = Gate()
    storage.open.clear()
    async with running(storage) as pipeline:
        first = asyncio.ensure_future(pipeline.submit(batch(1)))
        await entered(storage)
        later = [asyncio.ensure_future(pipeline.submit(batch(1))) for _ in range(50)]
        await asyncio.sleep(0)
        assert not first.done()
        assert counter(pipeline, "logs_held") == 51
        storage.open.set()
        await asyncio.gather(first, *later)
    assert len(storage.flushes) == 2
    assert total(storage) == 51
    assert len({flush.writer for flush in storage.flushes}) == 2


async def test_too_much_waiting_is_refused_and_nothing_of_it_taken() -> None:
    storage = Gate()
    storage.open.clear()
    async with running(storage, maximum_rows=10) as pipeline:
        taken = [asyncio.ensure_future(pipeline.submit(batch(5))) for _ in range(2)]
        with pytest.raises(Overloaded, match="10 logs wait"):
            pipeline.submit(batch(1))
        assert counter(pipeline, "logs_refused_total") == 1
        await entered(storage)
        # What is being written still waits to be durable.
        with pytest.raises(Overloaded):
            pipeline.submit(batch(1))
        storage.open.set()
        await asyncio.gather(*taken)
        await pipeline.submit(batch(1))
    assert total(storage) == 11


async def test_bytes_are_bounded_too() -> None:
    storage = Gate()
    storage.open.clear()
    one = batch(100)
    size = 100 * (4 + 1 + 4 + 8)
    async with running(storage, maximum_bytes=2 * size) as pipeline:
        taken = [asyncio.ensure_future(pipeline.submit(one)) for _ in range(2)]
        with pytest.raises(Overloaded):
            pipeline.submit(one)
        storage.open.set()
        await asyncio.gather(*taken)


async def test_a_batch_above_the_bound_is_taken_alone() -> None:
    storage = Gate()
    async with running(storage, maximum_rows=10) as pipeline:
        await pipeline.submit(batch(100))
        assert total(storage) == 100


async def test_an_empty_batch_is_durable_at_once() -> None:
    storage = Gate()
    async with running(storage) as pipeline:
        await pipeline.submit(batch(0))
    assert storage.flushes == []


async def test_a_failed_flush_is_written_again_by_the_same_writer() -> None:
    storage = Gate()
    storage.failures = 2
    async with running(storage, attempts=3) as pipeline:
        await pipeline.submit(batch(2))
        assert counter(pipeline, "flush_retries_total") == 2
    assert len(storage.flushes) == 3
    assert len({flush.writer for flush in storage.flushes}) == 1
    assert total(storage) == 2


async def test_a_flush_that_keeps_failing_is_told_and_the_next_one_works() -> None:
    storage = Gate()
    storage.failures = 3
    async with running(storage, attempts=3) as pipeline:
        with pytest.raises(StorageError, match="the disk is full"):
            await pipeline.submit(batch(2))
        assert counter(pipeline, "logs_failed_total") == 2
        assert counter(pipeline, "flushes_total", outcome="failed") == 1
        assert counter(pipeline, "logs_held") == 0
        await pipeline.submit(batch(1))
    assert total(storage) == 1


class Bomb:
    """An address book with a defect."""

    version = 0

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:  # noqa: ARG002 - the interface
        if host == "10.0.0.13":
            raise RuntimeError(f"no entry for {node.name}")
        return None


async def test_one_bad_batch_does_not_take_others_with_it(caplog: pytest.LogCaptureFixture) -> None:
    storage = Gate()
    storage.open.clear()
    async with running(storage, Resolver(Bomb())) as pipeline:
        first = asyncio.ensure_future(pipeline.submit(batch(1)))
        await entered(storage)
        rest = [
            asyncio.ensure_future(pipeline.submit(batch(2, remote=remote)))
            for remote in ("10.0.0.1", "10.0.0.13", "10.0.0.2")
        ]
        storage.open.set()
        await first
        results = await asyncio.gather(*rest, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), AnalysisError, type(None)]
        assert str(results[1]) == "the logs cannot be analysed: no entry for node"
        assert counter(pipeline, "logs_failed_total") == 2
    assert total(storage) == 5
    assert "a batch of 2 logs cannot be analysed" in caplog.text


async def test_stopping_writes_what_waits_and_accepts_no_more() -> None:
    storage = Gate()
    storage.open.clear()
    pipeline = Pipeline(storage, METRICS, settings=PipelineSettings(interval=60.0), clock=lambda: NOW * 60.0)
    with pytest.raises(Overloaded, match="not running"):
        pipeline.submit(batch(1))
    await pipeline.start()
    with pytest.raises(RuntimeError, match="runs already"):
        await pipeline.start()
    first = asyncio.ensure_future(pipeline.submit(batch(1)))
    await entered(storage)
    second = asyncio.ensure_future(pipeline.submit(batch(2)))
    stopping = asyncio.ensure_future(pipeline.stop())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        pipeline.submit(batch(4))
    storage.open.set()
    await stopping
    assert first.done()
    assert second.done()
    await asyncio.gather(first, second)
    assert total(storage) == 3


async def test_stopping_does_not_wait_for_the_next_flush_to_be_due() -> None:
    storage = Gate()
    async with running(storage, interval=3600.0) as pipeline:
        await pipeline.submit(batch(1))
        waits = asyncio.ensure_future(pipeline.submit(batch(1)))
    await waits
    assert total(storage) == 2


async def test_it_can_start_again() -> None:
    storage = Gate()
    pipeline = Pipeline(storage, METRICS)
    for _ in range(2):
        await pipeline.start()
        await pipeline.submit(batch(1))
        await pipeline.stop()
    assert total(storage) == 2


async def test_a_sender_that_went_away_does_not_disturb() -> None:
    storage = Gate()
    storage.open.clear()
    async with running(storage) as pipeline:
        gone = asyncio.ensure_future(pipeline.submit(batch(1)))
        await entered(storage)
        gone.cancel()
        stays = asyncio.ensure_future(pipeline.submit(batch(1)))
        storage.open.set()
        await stays
    assert total(storage) == 2


async def test_old_and_future_logs_are_dropped_and_counted() -> None:
    storage = Gate()
    async with running(storage, retention=Retention(minutes=100), future=5) as pipeline:
        for minute in (NOW - 101, NOW - 100, NOW, NOW + 5, NOW + 6):
            await pipeline.submit(batch(1, minute))
        assert counter(pipeline, "logs_dropped_total", cause="expired") == 1
        assert counter(pipeline, "logs_dropped_total", cause="future") == 1
    assert total(storage) == 3


async def test_the_store_is_tidied_up_once_a_minute_and_failures_pass() -> None:
    storage = Gate()
    minute = NOW
    storage.maintenance_failures = 1
    async with running(storage, clock=lambda: minute * 60.0, retention=Retention(minutes=1000)) as pipeline:
        await pipeline.submit(batch(1, minute))
        await pipeline.submit(batch(1, minute))
        minute += 1
        await pipeline.submit(batch(1, minute))
        minute += 1
        await pipeline.submit(batch(1, minute))
        await pipeline.submit(batch(1, minute))
    kept = Retention(minutes=1000)
    assert storage.maintained == [(NOW - 1, NOW + 1, kept), (NOW, NOW + 2, kept)]
    assert total(storage) == 5


async def test_into_a_file_and_back(tmp_path: Path) -> None:
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    pipeline = Pipeline(storage, load())
    await pipeline.start()
    await asyncio.gather(*(pipeline.submit(batch(10, NOW + number % 3)) for number in range(30)))
    await pipeline.stop()
    storage.close()
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    found = storage.metrics(["kubernetes_service_write_cpm"], [], 0, LAST)
    assert found.select("minute", "summation").rows() == [(NOW, 100), (NOW + 1, 100), (NOW + 2, 100)]
    assert [service.name for service in storage.services()] == ["api"]
    storage.close()


async def test_http_calls_without_an_endpoint_or_a_duration_of_their_own_are_counted() -> None:
    storage = MemoryStorage()
    first = messages(connection(), exchange("/a", number=1, is_last=False), exchange("/b"))
    second = messages(connection(), exchange("/a", at=70, number=2), exchange("/b", number=9), exchange("/c"))
    async with running(storage, Resolver(endpoints=EndpointNames(1))) as pipeline:
        for each in (first, second):
            await pipeline.submit(batch_of(each))
        assert counter(pipeline, "endpoints_abandoned_total") == 3
        # Of the calls that ended with a slice, the first was seen to begin, a flush before.
        assert counter(pipeline, "calls_untimed_total") == 1
    assert {endpoint.name for endpoint in storage.endpoints(None, 0, LAST)} == {"GET:/a", ABANDONED}


async def test_other_metrics_and_thresholds_count_from_the_next_flush_on() -> None:
    storage = MemoryStorage()
    new = load_texts({"y": "other = from(K8SService.*).cpm();"})
    async with running(storage) as pipeline:
        await pipeline.submit(batch(3))
        pipeline.replace(pipeline.compile(new), new)
        assert pipeline.metrics is new
        await pipeline.submit(batch(5))
        program = pipeline.compile(thresholds=ApdexThresholds(100, {"api": 200}))
        pipeline.replace(program)
        # What was replaced is what the next program starts from.
        assert (pipeline.metrics, pipeline.compile(METRICS).thresholds) == (new, program.thresholds)
        await pipeline.submit(batch(7))
    found = storage.metrics(["writes", "other"], [], 0, LAST)
    assert dict(found.select("metric", "summation").rows()) == {"writes": 3, "other": 12}


async def test_what_counts_for_no_label_is_counted_also_after_metrics_were_replaced() -> None:
    storage = MemoryStorage()
    labelled = load_texts({"z": "kinds = from(K8SService.*).labelCount(type, 1);"})
    async with running(storage) as pipeline:
        for _ in range(2):
            pipeline.replace(pipeline.compile(labelled), labelled)
            both = batch(4)
            both.kind[:2] = LogKind.READ
            both.kind[2:] = LogKind.WRITE
            both.kind[3] = LogKind.READ
            await pipeline.submit(both)
        assert counter(pipeline, "labels") == 1
        assert counter(pipeline, "labels_refused_total", cause="maximum") == 2
