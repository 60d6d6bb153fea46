"""Calls of Go programs that nothing will ever leave, as the program has ended within them.

A goroutine that waits for bytes is within its call until they come, and when the program ends there is no return that
a probe could see. Of threads the kernel tells the end; of goroutines nothing does.
"""

import os
import struct
from pathlib import Path
from typing import Final

from agent.kernel import bpf_maps

_KEY: Final = struct.Struct("=QIxxxx")
"""struct tls_key of bpf/tls.h: the goroutine, the process."""


class AbandonedCalls:
    """Takes such calls out of the map that holds the calls of goroutines."""

    def __init__(self, go_calls: int, root: str = "/proc") -> None:
        """Prepare.

        Args:
            go_calls: Descriptor of the map, which must stay open.
            root: Where /proc is.
        """
        self._go_calls = go_calls
        self._root = root

    def forget(self) -> int:
        """Take out the calls of processes that have ended; how many there were.

        Raises:
            OSError: The kernel refused.
        """
        calls = [(key, _KEY.unpack(key)[1]) for key in bpf_maps.keys(self._go_calls)]
        # Looked at after the keys were read, so that a process that has just begun is never taken for one that ended.
        ended = {process for process in {process for _, process in calls} if not self._runs(process)}
        abandoned = {key for key, process in calls if process in ended}
        for key in abandoned:
            bpf_maps.delete(self._go_calls, key)
        return len(abandoned)

    def _runs(self, process: int) -> bool:
        return os.path.lexists(Path(self._root, str(process)))
