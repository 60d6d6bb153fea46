"""Being woken by the kernel programs (bpf/wakeups.h), for what the reader of the rings says before it sleeps."""

import os
import select
import struct
from contextlib import suppress
from typing import Final, Protocol

from agent.kernel import bpf_maps

_ONLY: Final = bytes(4)
_SLEEPER: Final = struct.Struct("=QqqQ")
"""struct sleeper."""


class Wakeups(Protocol):
    """What a reader sleeps by. For one thread."""

    def ask(self, events: int, payload_bytes: int, *, new_tasks: bool) -> None:
        """Ask to be woken once, from now on; what was asked before is forgotten.

        What is in the rings by now wakes nobody: look after this, and before the sleep.

        Args:
            events: When so many more have come.
            payload_bytes: When so many more have come, and the event that they belong to.
            new_tasks: When an event comes from a thread that the programs have not seen under its name. They forget
                threads that share a place with others, and know nothing of what the reader forgets.
        """
        ...

    def sleep(self, seconds: float) -> bool:
        """Sleep until woken, or until the time is over; whether woken. May wake for what was asked before."""
        ...

    def interrupt(self) -> None:
        """Wake who sleeps, or who sleeps next. For any thread, and for handlers of signals."""
        ...


class KernelWakeups:
    """The `Wakeups` of the programs in the running kernel."""

    def __init__(self, events: int, sleeper: int) -> None:
        """Listen to the ring of events.

        Args:
            events: Descriptor of the ring of events, whose wake-ups are meant. It has to stay open.
            sleeper: Descriptor of the map of that name.

        Raises:
            OSError: The kernel refused.
        """
        self._sleeper = sleeper
        self._epoll = select.epoll()
        # By edges: a ring that has anything in it is always ready, woken or not.
        self._epoll.register(events, select.EPOLLIN | select.EPOLLET)
        self._interruption = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._interruption, select.EPOLLIN)

    def ask(self, events: int, payload_bytes: int, *, new_tasks: bool) -> None:
        """As Wakeups.

        Raises:
            OSError: The kernel refused.
        """
        bpf_maps.update(self._sleeper, _ONLY, _SLEEPER.pack(1, events, payload_bytes, new_tasks))

    def sleep(self, seconds: float) -> bool:
        """As Wakeups."""
        woken = bool(self._epoll.poll(seconds, 2))
        with suppress(BlockingIOError):  # it was not that
            os.eventfd_read(self._interruption)
        return woken

    def interrupt(self) -> None:
        """As Wakeups."""
        os.eventfd_write(self._interruption, 1)

    def close(self) -> None:
        """Listen no more; nobody sleeps or interrupts by now."""
        self._epoll.close()
        os.close(self._interruption)
