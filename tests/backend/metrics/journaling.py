"""Pipelines that journal, before stores that are slow or fail."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from backend.entities.resolution import End, Resolver
from backend.ingest.batch import LogBatch, Node
from backend.metrics.journal import Journal
from backend.metrics.journal_mode import AheadSettings, WriteAhead, WriterMemory
from backend.metrics.pipeline import Pipeline, PipelineSettings
from backend.metrics.telemetry import Telemetry
from backend.storage.interface import Flush, Storage
from tests.backend.metrics.test_pipeline import METRICS, NOW, Gate, batch, entered

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


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


async def journaled(
    folder: Path,
    storage: Remembering,
    batches: list[LogBatch],
    **settings: Any,  # noqa: ANN401 # those of `running`
) -> None:
    """Leave a journal as a crash does: batches that were acknowledged, and not stored."""
    async with running(storage, folder / "first", **settings) as pipeline:
        await ahead(storage, pipeline)
        for each in batches:
            await pipeline.submit(each)
        shutil.copytree(folder / "first", folder / "crashed")


GATHERING: dict[str, Any] = {"shortest": 60.0, "longest": 60.0}


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
