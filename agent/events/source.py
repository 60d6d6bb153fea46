"""Where events come from: the interface between the kernel and everything that reads it.

A recording is played one level up (agent/events/recording.py): with the events it brings the answers that the host gave
at the time, and both have to stay in step.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from agent.events.fragments import Fragment
from agent.events.layout import Events

IsNew = Callable[[int, bytes], bool]
"""Says of a process id and a task name (NUL padded) whether the process is to be read anew."""


def nobody_is_new(_process: int, _command: bytes) -> bool:
    """For whoever reads no processes."""
    return False


class EventSource(Protocol):
    """A stream of kernel events. Not thread-safe: one reader."""

    def take(self) -> Events:
        """Every event that has arrived since the last call, in order of arrival; empty when there is none."""
        ...

    def take_payload(self) -> list[Fragment]:
        """Every fragment of payload that has arrived since the last call, in order of arrival.

        What belongs to events that were taken before is among them, or was.
        """
        ...

    def mute(self, socket: int, inode: int) -> None:
        """Capture no more of the bytes of a connection, as a fragment names it."""
        ...

    def wait(self, seconds: float, is_new: IsNew = nobody_is_new) -> bool:
        """Block until events are to be taken, `seconds` have passed, or it is interrupted. False when it has ended.

        Args:
            seconds: The longest wait.
            is_new: Events of a process that is new do not wait for others: it may end soon.
        """
        ...

    def interrupt(self) -> None:
        """Let the wait that is under way end, or else the next one. For handlers of signals, and other threads."""
        ...

    def losses(self) -> Mapping[str, int]:
        """Events lost before they could be taken, by cause, since the start."""
        ...

    def close(self) -> None:
        """Detach and release everything. Events not taken are gone."""
        ...
