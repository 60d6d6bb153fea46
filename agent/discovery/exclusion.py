"""Processes of which the kernel side need not tell anything."""

from typing import Protocol

from agent.discovery.host import Host, ProcessFacts


class Filter(Protocol):
    """The filter of the kernel side. It forgets a process when that ends."""

    def exclude(self, process: int) -> None:
        """Stop watching a process; raises OSError when there is no room."""
        ...

    def include(self, process: int) -> None:
        """Watch a process again."""
        ...


class Exclusion:
    """Excludes processes, and never one that merely has got the id of one that has ended.

    Attributes:
        without_room: processes of which all events come, to be left out here, since the filter is full.
    """

    def __init__(self, kernel: Filter, host: Host) -> None:
        self._kernel = kernel
        self._host = host
        self.without_room = 0

    def exclude(self, process: ProcessFacts) -> bool:
        """Exclude a process that was just seen; whether no events of it will come."""
        try:
            self._kernel.exclude(process.pid)
        except OSError:
            self.without_room += 1
            return False
        if self._has_ended(process):  # before the filter had it, where it would stay
            self._kernel.include(process.pid)
        return True

    def _has_ended(self, process: ProcessFacts) -> bool:
        """Whether it is gone, or leaving: the filter forgets a process when that leaves, which is before it is gone."""
        now = self._host.process(process.pid)
        if now is None or now.start_ticks != process.start_ticks:
            return True
        return bool(process.executable) and not now.executable

    def losses(self) -> dict[str, int]:
        """What costs more than it should, by cause, since the start."""
        return {"excluded processes without room": self.without_room}
