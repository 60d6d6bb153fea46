"""The backend of a simulation: the real receiver, analysis and journal, before a store and a disk that fail."""

import asyncio
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast
from unittest import mock

from prometheus_client import CollectorRegistry

from backend.ingest.budget import Budget
from backend.metrics import journal_mode, pipeline
from backend.metrics.journal import Journal
from backend.metrics.journal_mode import AheadSettings, WriteAhead
from backend.metrics.pipeline import Pipeline, PipelineSettings
from backend.metrics.telemetry import Telemetry
from backend.oal.loader import load_texts
from backend.server.access_logs import PATH, AccessLogService
from backend.server.grpc import GrpcApplication
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, Storage, StorageError
from backend.storage.memory import MemoryStorage
from tests.delivery.faults import Crash, Faults, FaultyFile, FaultyStore
from tests.delivery.stepped import SteppedWork
from tests.delivery.virtual_loop import InlineExecutor

METRICS = load_texts({"x": "writes = from(K8SService.*).cpm();"})
JOURNAL_BYTES = 200_000
STEPPED = 0.3
"""Part of what a store is asked for that other things can happen in the middle of."""


class Medium(Protocol):
    """Where a store is, whoever has it open.

    Attributes:
        is_stepped: Whether other things can happen while it does something.
    """

    is_stepped: bool

    def open(self) -> Storage:
        """Open it, after whoever had it before has died or closed it."""
        ...


class InMemory:
    """A store that outlives its process by definition."""

    is_stepped = False

    class _Store(MemoryStorage):
        def __init__(self) -> None:
            super().__init__()
            self._writers: set[str] = set()

        def write(self, flush: Flush) -> None:
            super().write(flush)
            self._writers.add(flush.writer)

        def has_written(self, writer: str) -> bool:
            return writer in self._writers

    def __init__(self, _folder: Path, _faults: Faults, _loop: asyncio.AbstractEventLoop) -> None:
        self._store = self._Store()

    def open(self) -> Storage:
        """The same each time."""
        return self._store


class InDuckdb:
    """A file. Who dies leaves it as it is then, its log beside it."""

    is_stepped = False

    def __init__(self, folder: Path, _faults: Faults, _loop: asyncio.AbstractEventLoop) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._current: Path | None = None

    def open(self) -> Storage:
        """Open a copy of what was left: the one that has died still has the file itself."""
        following = self._folder / f"store-{next(self._numbers)}"
        if self._current is None:
            following.mkdir()
        else:
            shutil.copytree(self._current, following)
        self._current = following
        return DuckdbStorage(following / "store.duckdb")


class Incarnation:
    """One process of the backend. When it is dead, nothing that it waits for ever happens."""

    def __init__(self, faults: Faults, loop: asyncio.AbstractEventLoop, *, is_stepped: bool) -> None:
        self.is_dead = False
        self._loop = loop
        self._is_stepped = is_stepped
        self._works: list[SteppedWork] = []
        self.died = loop.create_future()
        self._faults = faults
        # What waits for these is kept as it is: to let go of it would be to let it go on.
        self._unanswered: list[asyncio.Future[Any]] = []
        self.application: GrpcApplication | None = None
        self.pipeline: Pipeline | None = None

    def executor(self, *_: object, **__: object) -> InlineExecutor:
        """One that works as long as the process lives."""
        slow = self._faults.chance.random() < 0.5

        def delay() -> float:
            return self._faults.chance.uniform(0.0, 0.6 if slow else 0.01)

        return InlineExecutor(delay, self._work)

    def die(self) -> None:
        """End as by kill -9."""
        if not self.is_dead:
            self.is_dead = True
            self.application = None
            while self._works:
                self._works.pop().go_on(Crash())
            self.died.set_result(None)

    def _work(self, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        # Threads that take turns are slow: what is as well done at once is.
        if self._is_stepped and not self.is_dead and self._faults.chance.random() < STEPPED:
            self._works.append(SteppedWork(work))
            self._go_on(future, self._works[-1])
        else:
            self._finish(future, work)

    def _go_on(self, future: asyncio.Future[Any], work: SteppedWork) -> None:
        if self.is_dead:
            self._unanswered.append(future)
        elif work.go_on():
            self._works.remove(work)
            self._finish(future, work.outcome)
        else:
            chance = self._faults.chance
            stall = self._faults.strikes(0.5)
            self._loop.call_later(chance.uniform(0.0, 40.0 if stall else 0.1), self._go_on, future, work)

    def _finish(self, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        if self.is_dead:
            self._unanswered.append(future)
            return
        try:
            result = work()
        except Crash:
            self._unanswered.append(future)
            self.die()
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            if not future.cancelled():
                future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(result)


class SimulatedBackend:
    """A backend that dies and comes back.

    Args:
        folder: Its own, which must not exist.
        faults: What goes wrong.
        medium: Where it stores.
        starting: Lets one start at a time.

    Attributes:
        acknowledged: Ids of batches that were answered with OK, whether or not the answer arrived.
        deaths: How often it has died.
    """

    def __init__(self, folder: Path, faults: Faults, medium: Medium, starting: asyncio.Lock) -> None:
        folder.mkdir()
        self._starting = starting
        self._folder = folder
        self._faults = faults
        self._medium = medium
        self._numbers = itertools.count()
        self._journal = folder / "journal-first"
        self._clock = 1_790_000_000.0
        self._lived: list[Incarnation] = []
        self.current: Incarnation | None = None
        self.acknowledged: set[str] = set()
        self.deaths = 0
        # As a backend with ClickHouse: where others write to the same store, it has no journal.
        self._writes_ahead = faults.chance.random() < 0.6 and not medium.is_stepped

    async def live(self) -> None:
        """Run until cancelled, again and again."""
        while True:
            await self._live_once()
            self.deaths += 1
            self._leave_disk()
            await asyncio.sleep(self._faults.chance.uniform(0.0, 20.0))

    async def _live_once(self) -> None:
        loop = asyncio.get_running_loop()
        incarnation = Incarnation(self._faults, loop, is_stepped=self._medium.is_stepped)
        self._lived.append(incarnation)
        # A machine's clock may be anywhere after a start.
        self._clock += self._faults.chance.choice((0.0, 0.0, 60.0, 7200.0, 90_000.0))
        starting = asyncio.ensure_future(self._start(incarnation))
        await asyncio.wait({starting, incarnation.died}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and not incarnation.is_dead:
            try:
                starting.result()
            except StorageError:
                return  # as the program does: it ends, and is started again
            self.current = incarnation
            await incarnation.died
        self.current = None

    async def _start(self, incarnation: Incarnation) -> None:
        loop = asyncio.get_running_loop()
        chance = self._faults.chance
        store = cast("Storage", FaultyStore(self._medium.open(), self._faults))
        telemetry = Telemetry()
        began = loop.time()
        incarnation.pipeline = Pipeline(
            store,
            METRICS,
            settings=PipelineSettings(maximum_rows=chance.choice((40, 1_000)), attempts=2),
            telemetry=telemetry,
            ahead=self._write_ahead(store, telemetry.registry),
            clock=lambda: self._clock + loop.time() - began,
        )
        async with self._starting:
            with (
                mock.patch.object(pipeline, "ThreadPoolExecutor", incarnation.executor),
                mock.patch.object(journal_mode, "ThreadPoolExecutor", incarnation.executor),
            ):
                # Its executors are made before it waits for anything.
                starting = asyncio.ensure_future(incarnation.pipeline.start())
                await asyncio.sleep(0)
        await starting
        service = AccessLogService(incarnation.pipeline, Budget(1 << 20))
        incarnation.application = GrpcApplication({PATH: service.collect})

    def _write_ahead(self, store: Storage, registry: CollectorRegistry) -> WriteAhead | None:
        if not self._writes_ahead:
            return None
        settings = AheadSettings(after=0.1, shortest=0.2, longest=5.0, rows=20)
        return WriteAhead(Journal(self._journal, JOURNAL_BYTES), cast("Any", store), settings, registry)

    def _leave_disk(self) -> None:
        """Give the next process the disk as it is; the dead one keeps one that nobody looks at."""
        before, self._journal = self._journal, self._folder / f"journal-{next(self._numbers)}"
        if not before.exists():
            return
        shutil.copytree(before, self._journal)
        if self._faults.chance.random() < 0.5:
            # It was the machine that died: of what was not forced to the disk, any part may be there.
            for path in self._journal.iterdir():
                size = path.stat().st_size
                kept = min(FaultyFile.synced.get(str(before / path.name), 0), size)
                with path.open("ab") as file:
                    file.truncate(self._faults.chance.randint(kept, size))
        for path in self._journal.iterdir():
            FaultyFile.synced[str(path)] = path.stat().st_size

    async def finish(self) -> Storage:
        """Stop it well, with nothing failing any more; the store."""
        assert self.current is not None
        assert self.current.pipeline is not None
        await self.current.pipeline.stop()
        return self.current.pipeline._storage
