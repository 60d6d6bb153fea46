"""Waiting for a socket until a deadline, or until another thread says that it is no longer wanted."""

import os
import select
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class Expired(Exception):  # noqa: N818 - what the time is
    """The time is over; the message says what was waited for."""


class Interrupted(Exception):  # noqa: N818 - what the waiting is
    """Another thread asked for the end."""


class Interrupter:
    """Ends what one thread waits for, from another. Only in a `with` block there is something to end."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._waits = False
        self._interrupted = False
        self._closed = False

    def interrupt(self) -> None:
        """End the waiting that is under way, if any, with Interrupted."""
        with self._lock:
            if self._waits:
                self._interrupted = True
                self._wake()

    def wake(self) -> None:
        """Let the thread that waits look again at what it waits for."""
        with self._lock:
            self._wake()

    def hear(self) -> None:
        """Take note of what was said.

        Raises:
            Interrupted: it was the order to end.
        """
        with self._lock:
            self._forget()
            if self._interrupted:
                raise Interrupted

    def close(self) -> None:
        """Release the descriptor."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.descriptor)

    def _wake(self) -> None:
        if not self._closed:
            os.eventfd_write(self.descriptor, 1)

    def _forget(self) -> None:
        with suppress(BlockingIOError):  # nothing was said
            os.eventfd_read(self.descriptor)

    def __enter__(self) -> Self:
        with self._lock:
            self._forget()
            self._waits, self._interrupted = True, False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._waits = False


class Patience:
    """How long may be waited, for everything that an attempt waits for.

    Args:
        seconds: From now on; None for ever.
        interrupter: Who may end it earlier.

    Attributes:
        doing: What is being waited for, for the message of Expired.
    """

    def __init__(self, seconds: float | None, interrupter: Interrupter) -> None:
        self.doing = "beginning"
        self._end = None if seconds is None else time.monotonic() + seconds
        self._interrupter = interrupter

    @property
    def left(self) -> float | None:
        """Seconds that are left, never negative; None for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self) -> float | None:
        """As left.

        Raises:
            Expired: nothing is left.
        """
        left = self.left
        if left == 0:
            raise Expired(self.doing)
        return left

    def at_most(self, seconds: float | None) -> "Patience":
        """A part of it; None for all of it."""
        left = self.left
        given = [limit for limit in (left, seconds) if limit is not None]
        return Patience(min(given, default=None), self._interrupter)

    def wait(self, descriptor: int | None = None, events: int = 0) -> int:
        """Wait until a descriptor is ready for one of these events of poll(2), or until the interrupter wakes.

        Returns:
            The events that came; 0 when there are none and the waiting goes on, if it is to.

        Raises:
            Expired: the time is over.
            Interrupted: another thread asked for the end.
        """
        left = self.check()
        poll = select.poll()
        poll.register(self._interrupter.descriptor, select.POLLIN)
        if descriptor is not None:
            poll.register(descriptor, events)
        ready = dict(poll.poll(None if left is None else left * 1000))
        if ready.pop(self._interrupter.descriptor, 0):
            self._interrupter.hear()
        return next(iter(ready.values()), 0)
