"""Takes batches of logs and makes them durable, many at a time.

A flush takes everything that waits. While it is analysed and written, more arrives, which is the next flush: the
more comes in, the more a flush holds, and the cost of making it durable is shared. Where flushes take long for all that
they have seen, batches are written ahead (backend/metrics/journal_mode.py).
"""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from backend.ingest.sink import Overloaded
from backend.metrics.analysing import Analyser
from backend.metrics.journal_mode import WriteAhead, part_of, within
from backend.metrics.stored_labels import StoredLabels
from backend.metrics.telemetry import Telemetry
from backend.metrics.waiting import Waiting, WaitingBatches
from backend.metrics.windows import minute_of
from backend.oal.apdex import ApdexThresholds
from backend.oal.compiler import Program
from backend.oal.loader import Metrics
from backend.storage.interface import FOREVER, Retention, Storage, StorageError, StoredElsewhereError

T = TypeVar("T")

_logger = logging.getLogger(__name__)

CLOSED_AFTER = 2
"""Minutes after which a minute is closed: what still comes for it is late, and merged later."""


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """Bounds and times of a pipeline."""

    maximum_rows: int = 1_000_000
    """Most logs that may wait to be durable."""
    maximum_bytes: int = 512 * 1024 * 1024
    """Most bytes of columns that may wait to be durable."""
    interval: float = 0.1
    """Shortest time in seconds between the starts of two flushes."""
    attempts: int = 4
    """How often a flush is written before its senders are told to send it again; and how often it is made anew at most,
    without what other backends store."""
    retry_delay: float = 0.2
    """Seconds before the second attempt; doubles with each further one."""
    retention: Retention | None = None
    """How long data is kept; None keeps all. Logs older than minutes are kept are dropped and counted."""
    future: int | None = None
    """Minutes by which a log's time may be ahead of this machine's clock; None accepts all."""
    zeros_are_values: bool = False
    """As Program."""


class AnalysisError(Exception):
    """A batch that cannot be analysed; sending it again does not help."""


class Pipeline:
    """A LogSink that analyses and stores. Use from one event loop; start it first, stop it last.

    Attributes:
        telemetry: its counters.
        wake: set when a batch comes.
        stopping: set when it is to end.
    """

    def __init__(
        self,
        storage: Storage,
        metrics: Metrics,
        *,
        settings: PipelineSettings | None = None,
        thresholds: ApdexThresholds | None = None,
        resolver: Resolver | None = None,
        telemetry: Telemetry | None = None,
        ahead: WriteAhead | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set up; nothing runs until start().

        Args:
            storage: where to write; closing it is its owner's.
            metrics: what to compute.
            settings: bounds and times.
            thresholds: what apdex() takes.
            resolver: says what a connection counts for.
            telemetry: counters to use.
            ahead: journals what comes while the store is slow; None to store all before it is answered.
            clock: Unix time in seconds.
        """
        self.telemetry = telemetry or Telemetry()
        self._storage = storage
        self._settings = settings or PipelineSettings()
        self._analyser = Analyser(
            metrics,
            retention=self._settings.retention,
            future=self._settings.future,
            zeros_are_values=self._settings.zeros_are_values,
            thresholds=thresholds,
            resolver=resolver,
            telemetry=self.telemetry,
            clock=clock,
            recall=StoredLabels(storage),
        )
        self._ahead = ahead
        self._clock = clock
        self._writers = f"{uuid.uuid4().hex}-"
        self._flush_number = 0
        self._waiting = WaitingBatches(self._settings.maximum_rows, self._settings.maximum_bytes, self.telemetry)
        self._accepting = False
        self.wake = asyncio.Event()
        self.stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._maintained = -1

    @property
    def metrics(self) -> Metrics:
        """What it computes."""
        return self._analyser.metrics

    def compile(self, metrics: Metrics | None = None, thresholds: ApdexThresholds | None = None) -> Program:
        """A program as `replace` takes it; as Analyser.compile."""
        return self._analyser.compile(metrics, thresholds)

    def replace(self, program: Program, metrics: Metrics | None = None) -> None:
        """Compute by another program from the next flush on; as Analyser.replace."""
        self._analyser.replace(program, metrics)

    async def start(self) -> None:
        """Store what is journaled from before, and begin to accept batches.

        Raises:
            JournalError: what is journaled cannot be read; the message says what to do.
            StorageError: it cannot be stored.
        """
        if self._task is not None:
            raise RuntimeError("the pipeline runs already")
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
        self.stopping.clear()
        if self._ahead is not None:
            try:
                await self._ahead.replay(self)
            except BaseException:
                await self.stop()
                raise
        self._accepting = True
        self._task = asyncio.create_task(self._run(), name="pipeline")

    async def stop(self) -> None:
        """Accept no more, write what waits, and end."""
        self._accepting = False
        self.wake.set()
        self.stopping.set()
        if self._ahead is not None:
            self._ahead.hurry()
        if self._task is not None:
            await self._task
            self._task = None
        if self._worker is not None:
            self._worker.shutdown()
            self._worker = None
        if self._ahead is not None:
            self._ahead.close()

    def submit(self, batch: LogBatch) -> Awaitable[None]:
        """Take a batch; as LogSink.submit.

        A batch that alone is more than may wait is taken when nothing else waits.

        Raises:
            Overloaded: too much waits, or the pipeline is not running.
            StorageError: (from the awaitable) the batch could not be stored.
            AnalysisError: (from the awaitable) the batch cannot be analysed; sending it again does not help.
        """
        if not self._accepting:
            raise Overloaded("the analysis is not running: send again later")
        done = self._waiting.add(batch)
        self.wake.set()
        return done

    def take(self, rows: float = math.inf, size: float = math.inf) -> list[Waiting]:
        """What has come, up to the batch with which it is so many logs or bytes; it is the caller's from now on."""
        taken = self._waiting.take(rows, size)
        if self._waiting:
            self.wake.set()
        return taken

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """Undo `take`."""
        self._waiting.put_back(taken)

    async def _run(self) -> None:
        while self._accepting or self._waiting:
            began = asyncio.get_running_loop().time()
            if self._waiting:
                await self._flush_directly(self.take())
                took = asyncio.get_running_loop().time() - began
                if self._ahead is not None and self._accepting and took >= self._ahead.settings.after:
                    await self._ahead.run(self, took)
            await self.maintain()
            self.wake.clear()
            if self._accepting and not self._waiting:
                await within(60.0, self.wake)
            if self._accepting:
                await within(began + self._settings.interval - asyncio.get_running_loop().time(), self.stopping)

    async def _flush_directly(self, taken: Sequence[Waiting]) -> None:
        """Store and answer all of these, or give them up. What another backend is about to store is given up alone."""
        attempts = self._settings.attempts
        while taken:
            attempts -= 1
            self._flush_number += 1
            for number, waiting in enumerate(taken):
                waiting.number = number
            try:
                await self.flush(taken, f"{self._writers}{self._flush_number}")
            except StorageError as error:
                taken = _unsettled(taken)
                if attempts and isinstance(error, StoredElsewhereError):
                    # That others have stored some of them, the next flush finds out.
                    self.telemetry.flushes.labels("regrouped").inc()
                    self._give_up([waiting for waiting in taken if waiting.batch.identifier in error.held], error)
                else:
                    self.fail(taken, error)
            taken = _unsettled(taken)

    async def flush(self, taken: Sequence[Waiting], writer: str) -> None:
        """Analyse, store and answer what is not settled.

        Raises:
            StorageError: the rest is not settled.
        """
        left = _unsettled(taken)
        try:
            with self.telemetry.seconds.time():
                await self._store([waiting.batch for waiting in left], writer)
        except StorageError:
            raise
        except Exception as error:
            if len(left) == 1:
                _logger.exception("a batch of %d logs cannot be analysed", len(left[0].batch))
                self.fail(left, AnalysisError(f"the logs cannot be analysed: {error}"))
            else:
                # One batch is at fault: the others must not be lost with it.
                for waiting in left:
                    await self.flush([waiting], part_of(writer, waiting.number))
        else:
            self.telemetry.flushes.labels("stored").inc()
            self.release(left)
            for waiting in left:
                if not waiting.done.done():
                    waiting.done.set_result(None)

    def fail(self, taken: Sequence[Waiting], error: Exception) -> None:
        """Give up what cannot be stored; its senders get this error."""
        self.telemetry.flushes.labels("failed").inc()
        self._give_up(taken, error)

    def _give_up(self, taken: Sequence[Waiting], error: Exception) -> None:
        self.release(taken)
        for waiting in taken:
            self.telemetry.failed.inc(len(waiting.batch))
            if not waiting.done.done():
                waiting.done.set_exception(error)

    def release(self, taken: Sequence[Waiting]) -> None:
        """Settle these, and hold them no longer."""
        self._waiting.release(taken)

    async def _store(self, batches: Sequence[LogBatch], writer: str) -> None:
        unstored = await self._until_done(lambda: self._unstored(batches, writer))
        if not unstored:
            return
        flush = await self._in_worker(lambda: self._analyser.analyse(unstored, writer))
        try:
            await self._until_done(lambda: self._storage.write(flush))
        except StoredElsewhereError:
            await self._in_worker(self._analyser.take_back)
            raise
        finally:
            self._analyser.book()

    def _unstored(self, batches: Sequence[LogBatch], writer: str) -> list[LogBatch]:
        """The batches that the store does not have, from a process before this one or beside it."""
        identifiers = [batch.identifier for batch in batches if batch.identifier]
        stored = self._storage.stored_batches(identifiers, writer) if identifiers else set()
        repeated = sum(len(batch) for batch in batches if batch.identifier in stored)
        self.telemetry.repeated.inc(repeated)
        return [batch for batch in batches if batch.identifier not in stored]

    async def _until_done(self, work: Callable[[], T]) -> T:
        """Have the store do something, and again when it fails, but not for ever."""
        delay = self._settings.retry_delay
        for _ in range(1, self._settings.attempts):
            try:
                return await self._in_worker(work)
            except StoredElsewhereError:
                # The same again would be refused again: the senders have to be told.
                raise
            except StorageError as error:
                _logger.warning("the store has failed, trying again in %.1f s: %s", delay, error)
                self.telemetry.retries.inc()
                await asyncio.sleep(delay)
                delay *= 2
        return await self._in_worker(work)

    async def maintain(self) -> None:
        """Tidy up the store if it is time."""
        now = minute_of(self._clock())
        if now == self._maintained:
            return
        self._maintained = now
        retention = self._settings.retention or FOREVER
        try:
            await self._in_worker(lambda: self._storage.maintain(now - CLOSED_AFTER, now, retention))
        except StorageError as error:
            _logger.warning("the store could not be tidied up, trying again in a minute: %s", error)
        except Exception:
            _logger.exception("the store could not be tidied up")

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def _unsettled(taken: Sequence[Waiting]) -> list[Waiting]:
    return [waiting for waiting in taken if not waiting.is_settled]
