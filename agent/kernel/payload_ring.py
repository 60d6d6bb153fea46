"""The ring of captured payload: records of different lengths, read one by one.

`agent.kernel.ring` says how such a ring lies in memory.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.events.fragments import Fragment, FragmentError, read_fragment
from agent.kernel.ring import BUSY, DISCARDED, RingError, RingReader

_HEADER_BYTES: Final = 8
_LENGTH: Final = BUSY - 1 & ~DISCARDED


class PayloadRing(RingReader):
    """Reader of a ring of fragments."""

    def __init__(
        self, consumed: NDArray[np.uint64], produced: NDArray[np.uint64], data: NDArray[np.uint8], size: int
    ) -> None:
        """Read from memory, as RingReader."""
        super().__init__(consumed, produced, data, size)
        self._lengths = data.view(np.uint32)
        self._memory = data.data

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
            if offset + _HEADER_BYTES + length > len(self._memory):
                raise RingError(f"another program writes to the ring of payload: a record of {length} bytes")
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
