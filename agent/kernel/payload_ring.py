"""The ring of captured payload: records of different lengths, read one by one.

`agent.kernel.ring` says how such a ring lies in memory.
"""

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.events.fragments import Fragment, FragmentError, read_fragment
from agent.kernel.ring import BUSY, DISCARDED, RingError, map_ring

_HEADER_BYTES: Final = 8
_LENGTH: Final = BUSY - 1 & ~DISCARDED


class PayloadRing:
    """Reader of a ring of fragments. One reader only."""

    def __init__(self, consumed: NDArray[np.uint64], produced: NDArray[np.uint64], data: NDArray[np.uint8]) -> None:
        """Read from memory, as `agent.kernel.ring.Ring`."""
        self.size = len(data) // 2
        if self.size & (self.size - 1):
            raise ValueError(f"a ring of {self.size} bytes: not a power of two")
        self._consumed = consumed
        self._produced = produced
        self._lengths = data.view(np.uint32)
        self._memory = data.data
        self._barrier = threading.Lock()

    @classmethod
    def map(cls, descriptor: int, size: int) -> "PayloadRing":
        """Map the ring buffer map behind `descriptor`, whose data area has `size` bytes.

        Raises:
            OSError: It cannot be mapped.
        """
        return cls(*map_ring(descriptor, size))

    def waiting(self) -> int:
        """Bytes between reader and writers; more than 0 when there may be something to take."""
        return int(self._produced[0]) - int(self._consumed[0])

    def take(self) -> list[Fragment]:
        """Every complete fragment, in order of arrival. What is taken is free for writers.

        Stops before a record that a writer has reserved and not yet submitted.

        Raises:
            RingError: A record is no fragment.
        """
        position, end = int(self._consumed[0]), int(self._produced[0])
        fragments = []
        while position < end:
            offset = position & (self.size - 1)
            header = int(self._lengths[offset >> 2])
            if header & BUSY:
                break
            length = header & _LENGTH
            if not header & DISCARDED:
                with self._barrier:  # see Ring.take
                    try:
                        fragments.append(read_fragment(self._memory, offset + _HEADER_BYTES, length))
                    except FragmentError as error:
                        raise RingError(f"another program writes to the ring of payload: {error}") from error
            position += _HEADER_BYTES + (length + 7 & ~7)
        with self._barrier:
            self._consumed[0] = position
        return fragments
