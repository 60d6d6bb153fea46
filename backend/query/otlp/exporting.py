"""Sends the values of each minute once it is over; what cannot be sent is tried again, and then counted as lost."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.query.catalog import Catalog
from backend.query.graphql.service_book import ServiceBook
from backend.query.otlp.messages import messages
from backend.query.otlp.sending import RefusedError, RetryError, endpoint, send
from backend.query.promql.budget import Budget
from backend.query.promql.entity_labels import EntityLabels
from backend.query.promql.errors import PromqlError
from backend.query.promql.matching import Matcher, Selector, pattern
from backend.query.promql.series import NAME
from backend.query.promql.storage_source import SETTLING, StorageSource
from backend.storage.interface import Storage, StorageError

_logger = logging.getLogger(__name__)

MAXIMUM_BEHIND = 10
"""Most minutes that wait for a receiver that does not take them."""
METRICS_AT_ONCE = 20
"""Most metrics that the store is asked for at a time."""
_MINUTE = 60


class OtlpExporter(Collector):
    """Sends metrics. Use from one event loop; start it, and stop it before the store is closed.

    Args:
        storage: Where values are.
        catalog: Tells the metrics that there are now.
        url: Where to send to.
        names: A regular expression of RE2 for names of metrics; others are not sent.
        clock: Seconds since 1970-01-01 UTC.
        pause: Seconds between two looks at the clock.

    Raises:
        ValueError: The address is none.
        PromqlError: The pattern is none.
    """

    def __init__(
        self,
        storage: Storage,
        catalog: Callable[[], Catalog],
        url: str,
        names: str = ".*",
        *,
        clock: Callable[[], float] = time.time,
        pause: float = 5.0,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._endpoint = endpoint(url)
        self._names = pattern(names)
        self._clock = clock
        self._pause = pause
        self._services = ServiceBook(storage)
        self._next = self._over() + 1
        self._task: asyncio.Task[None] | None = None
        self.sent = 0
        """Values taken by the receiver."""
        self.rejected = 0
        """Values that the receiver did not want."""
        self.attempts_failed = 0
        """Minutes that are tried again."""
        self.lost: Counter[str] = Counter()
        """Minutes of which values are lost, by cause: behind, refused, too_many."""

    async def start(self) -> None:
        """Begin with the minute that is over next."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send no more; what is being sent is."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def collect(self) -> Iterator[Metric]:
        """What is counted."""
        yield CounterMetricFamily("pyrover_otlp_values_sent", "Values that the receiver of OTLP took", value=self.sent)
        yield CounterMetricFamily(
            "pyrover_otlp_values_rejected", "Values that the receiver of OTLP did not want", value=self.rejected
        )
        yield CounterMetricFamily(
            "pyrover_otlp_attempts_failed", "Attempts to send a minute by OTLP that failed", value=self.attempts_failed
        )
        lost = CounterMetricFamily(
            "pyrover_otlp_minutes_lost", "Minutes of which values are lost for OTLP", labels=["cause"]
        )
        for cause in ("behind", "refused", "too_many"):
            lost.add_metric([cause], self.lost[cause])
        yield lost

    async def _run(self) -> None:
        while True:
            work = asyncio.ensure_future(asyncio.to_thread(self.export))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                # A thread cannot be stopped; the store must stay open until it is done.
                await work
                raise
            except Exception:
                _logger.exception("metrics could not be sent by OTLP")
            await asyncio.sleep(self._pause)

    def export(self) -> None:
        """Send every minute that is over and was not sent. Blocks."""
        over = self._over()
        if (late := over - self._next + 1 - MAXIMUM_BEHIND) > 0:
            self.lost["behind"] += late
            self._next += late
        while self._next <= over:
            try:
                self._export(self._next)
            except (RetryError, StorageError) as failed:
                self.attempts_failed += 1
                _logger.warning("metrics are sent by OTLP later: %s", failed)
                return
            except (RefusedError, PromqlError) as failed:
                self.lost["refused" if isinstance(failed, RefusedError) else "too_many"] += 1
                _logger.warning("metrics of a minute are not sent by OTLP: %s", failed)
            self._next += 1

    def _over(self) -> int:
        """The last minute that is over, and whose logs are there."""
        return int((self._clock() - SETTLING) // _MINUTE) - 1

    def _export(self, minute: int) -> None:
        catalog = self._catalog()
        units = {metric.name: metric.unit for metric in catalog.names() if self._names.fullmatch(metric.name)}
        names = list(units)
        for first in range(0, len(names), METRICS_AT_ONCE):
            chosen = frozenset(names[first : first + METRICS_AT_ONCE])
            source = StorageSource(self._storage, catalog, EntityLabels(self._services), Budget(), self._clock)
            selector = Selector((Matcher(NAME, chosen.__contains__),))
            at = minute * _MINUTE * 1000
            for message, count in messages(source.select(selector, at, at, _MINUTE * 1000), units):
                rejected = send(self._endpoint, message)
                self.sent += count - rejected
                self.rejected += rejected
