"""An event loop whose time passes when nothing else is to be done, and whose workers are part of it."""

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any


class Stuck(Exception):  # noqa: N818 - a state
    """Nothing will ever happen again, or it takes too long."""


class VirtualLoop(BaseEventLoop):
    """Runs coroutines in one thread, the same way each time.

    What is given to an executor is run by its `begin`, which must not use a thread.
    """

    def __init__(self, longest: float) -> None:
        """Begin at 0 s, and raise Stuck after `longest` seconds of its own time."""
        super().__init__()
        self._now = 0.0
        self._longest = longest
        self._selector = self  # what BaseEventLoop waits with

    def time(self) -> float:
        """Seconds since it began."""
        return self._now

    def select(self, timeout: float | None) -> Sequence[object]:
        """Let time pass until the next thing is due."""
        if timeout is None:
            raise Stuck("everything waits for something that will not happen")
        self._now += timeout
        if self._now > self._longest:
            raise Stuck(f"it is not over after {self._longest} s")
        return []

    def run_in_executor(  # type: ignore[override] # only executors of simulations
        self, executor: "InlineExecutor", func: Callable[..., Any], *args: object
    ) -> asyncio.Future[Any]:
        """Have work done by an executor that needs no thread."""
        return executor.begin(self, lambda: func(*args))

    def _process_events(self, event_list: Sequence[object]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing waits outside of this thread."""


class InlineExecutor(Executor):
    """Does work in the thread of the loop, some time later.

    Args:
        delay: Seconds until a piece of work is done.
        guard: Does it; may not do it at all, and then it never ends.
    """

    def __init__(
        self, delay: Callable[[], float], guard: Callable[[asyncio.Future[Any], Callable[[], Any]], None]
    ) -> None:
        self._delay = delay
        self._guard = guard
        self._last = 0.0

    def begin(self, loop: VirtualLoop, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Do a piece of work after those that were given before."""
        future = loop.create_future()
        self._last = max(self._last, loop.time()) + self._delay()
        loop.call_at(self._last, self._guard, future, work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as Executor
        """Nothing to end."""
