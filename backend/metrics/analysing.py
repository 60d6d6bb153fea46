"""Analyses batches of logs by a program that may be replaced, and counts what does not go into flushes."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from backend.metrics.analysis import Minutes, analyse
from backend.metrics.exchanges import LongExchanges
from backend.metrics.known_flows import KnownFlows
from backend.metrics.streams import without
from backend.metrics.telemetry import LabelsCollector, Telemetry
from backend.metrics.windows import minute_of
from backend.oal.apdex import ApdexThresholds
from backend.oal.compiler import Program
from backend.oal.labels import Labels, Recall
from backend.oal.loader import Metrics
from backend.storage.interface import Flush, Retention


class Analyser:
    """Makes flushes of batches, and remembers from one to the next what connections and calls count for.

    Attributes:
        metrics: what is computed.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        retention: Retention | None,
        future: int | None,
        zeros_are_values: bool,
        thresholds: ApdexThresholds | None,
        resolver: Resolver | None,
        telemetry: Telemetry,
        clock: Callable[[], float],
        recall: Recall | None = None,
    ) -> None:
        """Set up.

        Args:
            metrics: what to compute.
            retention: as PipelineSettings.
            future: as PipelineSettings.
            zeros_are_values: as PipelineSettings.
            thresholds: what apdex() takes.
            resolver: says what a connection counts for.
            telemetry: counters to use.
            clock: Unix time in seconds.
            recall: tells the labels that are stored.
        """
        self.metrics = metrics
        self._retention = retention
        self._future = future
        self._zeros_are_values = zeros_are_values
        self._resolver = resolver or Resolver()
        self._long_exchanges = LongExchanges()
        self._flows = KnownFlows(self._resolver)
        self._labels = Labels(recall=recall)
        self._telemetry = telemetry
        self._telemetry.registry.register(LabelsCollector(self._labels))
        self._thresholds = thresholds or ApdexThresholds()
        self._program = self.compile()
        self._clock = clock
        self._unbooked: Callable[[], None] | None = None

    def compile(self, metrics: Metrics | None = None, thresholds: ApdexThresholds | None = None) -> Program:
        """A program as `replace` takes it. Blocks and changes nothing.

        Args:
            metrics: what to compute; None for what is computed now.
            thresholds: what apdex() takes; None for what it takes now.
        """
        return Program(
            (metrics or self.metrics).definitions,
            zeros_are_values=self._zeros_are_values,
            thresholds=thresholds or self._thresholds,
            labels=self._labels,
        )

    def replace(self, program: Program, metrics: Metrics | None = None) -> None:
        """Compute by another program from the next flush on; one that is being analysed keeps the old to its end.

        Args:
            program: as `compile` makes it.
            metrics: what it was made of; None when these are the same as before.
        """
        self.metrics = metrics or self.metrics
        self._thresholds = program.thresholds
        self._program = program

    def analyse(self, batches: Sequence[LogBatch], writer: str) -> Flush:
        """What to write of some batches. Call it from one thread; afterwards `book` or `take_back`.

        Args:
            batches: the logs.
            writer: unique name of the flush.
        """
        try:
            return self._analysed(batches, writer)
        except Exception:
            self.take_back()
            raise

    def book(self) -> None:
        """Count what does not go into the flush that was made last, once."""
        if (book := self._unbooked) is not None:
            self._unbooked = None
            book()

    def take_back(self) -> None:
        """Forget the flush that was made last, from the thread that made it: its logs are analysed again."""
        self._unbooked = None
        self._long_exchanges.take_back()

    def _analysed(self, batches: Sequence[LogBatch], writer: str) -> Flush:
        now = minute_of(self._clock())
        minutes = Minutes(
            None if self._retention is None else now - self._retention.minutes,
            None if self._future is None else now + self._future,
        )
        forgotten = self._flows.forgotten
        analysed = analyse(
            batches,
            self._resolver,
            self._program,
            writer,
            minutes,
            long_exchanges=self._long_exchanges,
            flows=self._flows,
        )
        self._telemetry.forgotten.inc(self._flows.forgotten - forgotten)

        def book() -> None:
            self._telemetry.abandoned.inc(analysed.abandoned)
            self._telemetry.untimed.inc(analysed.untimed)
            for cause, number in analysed.dropped.items():
                self._telemetry.dropped.labels(cause).inc(number)

        self._unbooked = book
        flush = without(analysed.flush, self.metrics.disabled)
        return replace(flush, batches=[batch.identifier for batch in batches if batch.identifier])
