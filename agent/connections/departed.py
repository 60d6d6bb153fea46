"""Forgets processes of whose end the kernel side has told nothing.

An exit leaves no event when the ring was full, and none when the process had been excluded: what it did before that
may be read only after its end, when it is taken for a new process, of which nothing can be read any more. Without a
look now and then such processes would fill the table, and their ports would stay known as listened on.
"""

from collections.abc import Iterator
from typing import Final

from agent.connections.registry import ViewRegistry
from agent.discovery.host import Host
from agent.discovery.processes import Process

PERIOD_NS: Final = 60 * 1_000_000_000
"""From the beginning of a walk over all processes to that of the next."""
_PORTION: Final = 16
"""Processes looked at per call: reading one takes some 80 us."""


class DepartedProcesses:
    """Walks over the processes that are known in small portions, and has those forgotten that are no more."""

    def __init__(self, registry: ViewRegistry, host: Host) -> None:
        self._registry = registry
        self._host = host
        self._walk: Iterator[Process] = iter(())
        self._next_walk_ns: int | None = None

    def tick(self, now_ns: int) -> None:
        """One portion. Call after every batch of events was tracked; `now_ns` is CLOCK_MONOTONIC."""
        if self._next_walk_ns is None:
            self._next_walk_ns = now_ns + PERIOD_NS
        for _ in range(_PORTION):
            process = next(self._walk, None)
            if process is None:
                if now_ns < self._next_walk_ns:
                    return
                self._next_walk_ns = now_ns + PERIOD_NS
                self._walk = iter(self._registry.processes.present())
            elif self._registry.processes.known(process.pid) is process and self._has_ended(process):
                self._registry.process_left(process.pid)

    def _has_ended(self, process: Process) -> bool:
        """Whether nobody has its id any more, or another one has."""
        now = self._host.process(process.pid)
        return now is None or process.facts is None or now.start_ticks != process.facts.start_ticks
