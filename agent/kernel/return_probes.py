"""Probes at the return of functions that many threads may be inside of at the same time.

Runs in the distribution's Python as well: standard library only.

Of each function the kernel follows a bounded number of calls to their return, by default as few as twice the
processors; the returns of the others are missed. Only a probe made in tracefs can have another bound, and only of such
a probe the kernel tells how many it missed. It stays until it is removed, so each agent has a group of its own, whose
name says whose it is, and each start removes the groups of agents that are gone.

Source: the kernel's Documentation/trace/kprobetrace.rst.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.kernel.tracefs import Tracefs

MOST_INSIDE_SLEEPING: Final = 4096
"""Calls followed at once of a function that may sleep; the kernel takes no more."""
MOST_INSIDE: Final = 256
"""Same of others, which at most every processor is in, interrupted a few times."""

_GROUP: Final = re.compile(r"^\w+:pyrover_(\d+)_\d+/")


class ReturnProbes:
    """The group of one agent."""

    def __init__(self, tracefs: Tracefs, group: str) -> None:
        """Use `group` in `tracefs`, which is closed with it; nothing happens yet."""
        self._tracefs = tracefs
        self._probes = tracefs.root / "kprobe_events"
        self._profile = tracefs.root / "kprobe_profile"
        self.group = group
        self._created = 0

    def create(self, function: str, most_inside: int) -> str:
        """Make a probe at the return of a kernel function.

        Returns:
            Its name: it is attached to as the tracepoint group:name.

        Raises:
            OSError: tracefs cannot be written, or there is no such function.
        """
        # The profile names probes without their groups.
        name = f"{self.group}_{self._created}"
        self._write(f"r{most_inside}:{self.group}/{name} {function}")
        self._created += 1
        return name

    def close(self) -> None:
        """Remove the whole group; what is still attached to stays."""
        for line in self._lines():
            name = line.split()[0].partition(":")[2]
            if name.startswith(f"{self.group}/"):
                self._remove(name)
        self._tracefs.close()

    def remove_stale(self) -> None:
        """Remove the groups of agents that are gone."""
        for line in self._lines():
            owner = _GROUP.match(line)
            if owner and not Path(f"/proc/{owner[1]}").exists():
                self._remove(line.split()[0].partition(":")[2])

    def missed(self) -> int:
        """Returns that the kernel did not follow, over the whole group."""
        try:
            lines = self._profile.read_text().splitlines()
        except OSError:
            return 0
        return sum(int(count) for name, _, count in map(str.split, lines) if name.startswith(f"{self.group}_"))

    def _lines(self) -> Iterator[str]:
        try:
            yield from self._probes.read_text().splitlines()
        except OSError:
            return

    def _remove(self, name: str) -> None:
        try:
            self._write(f"-:{name}")
        except OSError:
            return  # in use, or gone already

    def _write(self, command: str) -> None:
        descriptor = os.open(self._probes, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, command.encode())
        finally:
            os.close(descriptor)
