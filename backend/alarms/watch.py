"""Checks rules as long as the backend runs, and lets hooks know."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from backend.alarms.couriers import Couriers
from backend.alarms.engine import Engine
from backend.alarms.loading import AlarmSettings
from backend.alarms.records import AlarmRecords
from backend.alarms.schedule import due
from backend.storage.interface import StorageError

INTERVAL = 1.0
"""Seconds between two looks at the clock."""
RETRY_DELAY = 5.0
"""Seconds until what could not be read or saved is tried again."""
KEPT = 3 * 24 * 60 * 60 * 1_000
"""Milliseconds for which an alarm is kept after it began, or until it is over."""
MAXIMUM_KEPT = 100_000
"""Most alarms that are kept."""

_logger = logging.getLogger(__name__)


class AlarmWatch:
    """Checks each minute when it is due. Use from one event loop; start it first, stop it last.

    Args:
        engine: What checks.
        records: Where alarms are kept.
        couriers: Who tells.
        holds: Whether this backend is the one that checks; once it is, it stays it.
        interval: Seconds between two looks at the clock.
        retry_delay: Seconds until what failed is tried again.
        clock: Unix time in seconds.

    Attributes:
        leads: Whether this backend checks.
        failures: How often a minute could not be checked, for the store or the records could not be used.
        skipped: Minutes that were never checked, for the backend was away or too far behind.
        forgotten: Alarms that were forgotten before their time, for there were too many.
    """

    def __init__(
        self,
        engine: Engine,
        records: AlarmRecords,
        couriers: Couriers,
        *,
        holds: Callable[[], bool] = lambda: True,
        interval: float = INTERVAL,
        retry_delay: float = RETRY_DELAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.engine = engine
        self.couriers = couriers
        self.leads = False
        self.failures = 0
        self.skipped = 0
        self.forgotten = 0
        self._records = records
        self._holds = holds
        self._interval = interval
        self._retry_delay = retry_delay
        self._clock = clock
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def use(self, settings: AlarmSettings) -> None:
        """Check other rules and tell other hooks from now on."""
        self.couriers.use(settings.hooks.by_name)
        self.engine.use(settings.rules)

    async def start(self) -> None:
        """Begin to check."""
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name="alarms")

    async def stop(self, seconds: float) -> None:
        """End, and give what is to be told some seconds."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self.couriers.stop(seconds)

    async def check(self) -> bool:
        """Check what is due; whether all of it could be. What could not is tried again at the next call."""
        try:
            if await self._lead():
                await self._check_due()
        except StorageError as error:
            self.failures += 1
            _logger.warning("alarms could not be checked, it is tried again: %s", error)
            return False
        except Exception:
            self.failures += 1
            _logger.exception("alarms could not be checked because of a defect, it is tried again")
            return False
        return True

    async def _lead(self) -> bool:
        """Whether this backend checks; one that begins to goes on where another was."""
        if self._holds() and not self.leads:
            await asyncio.to_thread(self.engine.resume)
            self.leads = True
        return self.leads

    async def _check_due(self) -> None:
        minutes, skipped = due(self.engine.minute, self._clock())
        for minute in minutes:
            if self._stopping.is_set():
                return
            notices = await asyncio.to_thread(self.engine.check, minute)
            self.skipped += skipped
            skipped = 0
            self.couriers.tell(notices)
            await self._forget(minute)

    async def _forget(self, minute: int) -> None:
        _, many = await asyncio.to_thread(self._records.forget, (minute + 1) * 60_000 - KEPT, MAXIMUM_KEPT)
        self.forgotten += many

    async def _run(self) -> None:
        while not self._stopping.is_set():
            pause = self._interval if await self.check() else self._retry_delay
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
