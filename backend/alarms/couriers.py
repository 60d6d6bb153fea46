"""Brings notices to hooks: each hook at its own pace, again when that can help, and not forever."""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backend.alarms.hooks import Hook, Request
from backend.alarms.records import Notice
from backend.alarms.sending import SendingError

_logger = logging.getLogger(__name__)

Send = Callable[[Request, float], Awaitable[None]]
"""Sends a request within a time in seconds. Raises SendingError."""


class NoticeLoss(StrEnum):
    """Why a notice did not come to where it was to go."""

    FULL = "full"
    """Too many waited for the hook."""
    REFUSED = "refused"
    """The other side does not want it, and would not the next time."""
    FAILED = "failed"
    """It could not be sent, often enough."""
    STOPPING = "stopping"
    """The backend stopped before it was sent."""
    NO_HOOK = "no_hook"
    """The hook is no longer there."""


@dataclass(frozen=True, slots=True)
class SendingSettings:
    """Bounds and times."""

    waiting: int = 10_000
    """Most notices that wait for one hook."""
    together: int = 100
    """Most notices that a hook is given at a time."""
    seconds: float = 10.0
    """Longest time that one request takes."""
    attempts: int = 4
    """How often a request is sent before it is given up."""
    retry_delay: float = 1.0
    """Seconds before the second attempt; doubles with each further one."""


async def _send(request: Request, seconds: float) -> None:
    await request.send(seconds)


class Couriers:
    """Tells hooks, each in a task of its own. Use from one event loop; stop it last.

    Args:
        hooks: By name.
        settings: Bounds and times.
        send: Sends one request.

    Attributes:
        delivered: Notices that were taken, by hook; for each address of it.
        lost: Notices that were not, by hook and cause; likewise, but what never became a request counts once.
    """

    def __init__(
        self, hooks: Mapping[str, Hook] | None = None, settings: SendingSettings | None = None, send: Send = _send
    ) -> None:
        self.delivered: Counter[str] = Counter()
        self.lost: Counter[tuple[str, NoticeLoss]] = Counter()
        self._hooks: Mapping[str, Hook] = hooks or {}
        self._settings = settings or SendingSettings()
        self._send = send
        self._waiting: dict[str, deque[Notice]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def use(self, hooks: Mapping[str, Hook]) -> None:
        """Tell these from now on. What waits for a hook that is gone is lost and counted."""
        self._hooks = hooks

    def waiting(self) -> Mapping[str, int]:
        """How many notices wait, by hook."""
        return {name: len(waiting) for name, waiting in self._waiting.items()}

    def tell(self, notices: Sequence[Notice]) -> None:
        """Let notices be sent."""
        for notice in notices:
            for name in notice.hooks:
                waiting = self._waiting.setdefault(name, deque())
                if len(waiting) >= self._settings.waiting:
                    self.lost[name, NoticeLoss.FULL] += 1
                    continue
                waiting.append(notice)
                if name not in self._tasks:
                    self._tasks[name] = asyncio.create_task(self._work(name), name=f"alarms for {name}")

    async def stop(self, seconds: float) -> None:
        """Give what waits some seconds, and give up what is left."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for name, waiting in self._waiting.items():
            self._lose(name, NoticeLoss.STOPPING, len(waiting))
            waiting.clear()

    async def _work(self, name: str) -> None:
        """Send what waits for a hook until nothing does."""
        waiting = self._waiting[name]
        try:
            while waiting:
                notices = [waiting.popleft() for _ in range(min(len(waiting), self._settings.together))]
                hook = self._hooks.get(name)
                if hook is None:
                    self.lost[name, NoticeLoss.NO_HOOK] += len(notices)
                    continue
                requests = deque(hook.requests(notices))
                try:
                    while requests:
                        await self._deliver(name, requests[0])
                        requests.popleft()
                finally:
                    self._lose(name, NoticeLoss.STOPPING, sum(request.notices for request in requests))
        finally:
            del self._tasks[name]

    def _lose(self, name: str, cause: NoticeLoss, notices: int) -> None:
        if notices:
            self.lost[name, cause] += notices

    async def _deliver(self, name: str, request: Request) -> None:
        delay = self._settings.retry_delay
        for attempt in range(1, self._settings.attempts + 1):
            try:
                await self._send(request, self._settings.seconds)
            except SendingError as error:
                last = attempt == self._settings.attempts
                if not error.again or last:
                    loss = NoticeLoss.FAILED if error.again else NoticeLoss.REFUSED
                    self.lost[name, loss] += request.notices
                    _logger.warning("%d alarms could not be told to %s: %s", request.notices, name, error)
                    return
                _logger.info("alarms are sent again to %s in %g seconds: %s", name, delay, error)
            else:
                self.delivered[name] += request.notices
                return
            await asyncio.sleep(delay)
            delay *= 2
