"""Hearing of files that processes begin to run code from: at their start, and when they load a library later.

The kernel programs (bpf/mapped_files.c) tell each file until it is said to be known. That holds for a round: in the
next one everything that is mapped is told again, once. A file that was written to is another one.
"""

import os
import struct
import time
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from agent.kernel import bpf_maps
from agent.kernel.ring import BUSY, DISCARDED, RingReader, map_ring
from agent.tls.mappings import Version

MAPPING_HOOKS: Final = ("mmap", "program_start")
"""Hooks that tell of them; each tells of some."""

_VERSION: Final = struct.Struct("=QQQIIII")
"""struct file_version."""
_RECORD: Final = struct.Struct(f"={_VERSION.size}sIxxxx")
"""struct mapped_file."""
_HEADER_BYTES: Final = 8
_NUMBER: Final = struct.Struct("=Q")
_ROUND, _LOST = (number.to_bytes(4, "little") for number in range(2))
_NANOSECONDS: Final = 1_000_000_000  # of a second
_MINOR_BITS: Final = 20  # of a device's number within the kernel (include/linux/kdev_t.h)


class NewMapping(NamedTuple):
    """A process has mapped a file to execute it, in part at least."""

    process: int
    version: bytes
    """Of the file, for `MappedFiles.know`."""

    @property
    def device(self) -> str:
        """As in "8:1"."""
        device = _VERSION.unpack(self.version)[4]
        return f"{device >> _MINOR_BITS:02x}:{device & (1 << _MINOR_BITS) - 1:02x}"

    @property
    def inode(self) -> int:
        """Its number."""
        return int(_VERSION.unpack(self.version)[0])

    @property
    def content(self) -> Version:
        """Size and time of what is in it."""
        _, size, seconds, nanoseconds, *_ = _VERSION.unpack(self.version)
        return Version(size, seconds * _NANOSECONDS + nanoseconds)


class MappedFiles(RingReader):
    """What was mapped since the last look. One reader only."""

    def __init__(
        self,
        consumed: NDArray[np.uint64],
        produced: NDArray[np.uint64],
        data: NDArray[np.uint8],
        size: int,
        *,
        descriptors: Mapping[str, int],
    ) -> None:
        """Read from memory, as RingReader; prefer `open`. `descriptors` are those of the maps by their names."""
        super().__init__(consumed, produced, data, size)
        self.descriptor = descriptors["mapped_files"]
        """Becomes readable when there is something to take."""
        self._numbers = descriptors["mapping_numbers"]
        self._known = descriptors["known_files"]
        self._round = 0
        self._lost_before = self._number(_LOST)

    @classmethod
    def open(cls, maps: Mapping[str, int]) -> Self:
        """Read what the loaded programs tell; nothing is told before the first round.

        Args:
            maps: Descriptors by name, which must stay open.

        Raises:
            OSError: The kernel refused.
        """
        ring = maps["mapped_files"]
        size = bpf_maps.map_information(ring).entries
        return cls(*map_ring(ring, size), size, descriptors=maps)

    @property
    def lost(self) -> int:
        """Mappings that were not told since, because they were not taken fast enough.

        Raises:
            OSError: The kernel refused.
        """
        return self._number(_LOST) - self._lost_before

    def begin_round(self) -> None:
        """Have everything told that is mapped from now on, whether it is known or not.

        Raises:
            OSError: The kernel refused.
        """
        self._round = time.monotonic_ns()  # a number that no earlier reader had: what those knew is in the map still
        bpf_maps.update(self._numbers, _ROUND, _NUMBER.pack(self._round))

    def know(self, mapping: NewMapping) -> None:
        """Have a file not told again in this round.

        Raises:
            OSError: The kernel refused.
        """
        bpf_maps.update(self._known, mapping.version, _NUMBER.pack(self._round))

    def take(self) -> list[NewMapping]:
        """What was mapped, in order of arrival; up to the first that is not complete."""
        found: list[NewMapping] = []
        position, produced = int(self._consumed[0]), int(self._produced[0])
        while position < produced:
            offset = position & (self.size - 1)
            (length,) = self._data[offset : offset + 4].view(np.uint32)
            if length & BUSY:
                break
            begin = offset + _HEADER_BYTES
            with self._barrier:  # the record is read after its header, as in Ring.take
                if not length & DISCARDED:
                    version, process = _RECORD.unpack(self._data[begin : begin + _RECORD.size].tobytes())
                    found.append(NewMapping(process, version))
            position += _HEADER_BYTES + _RECORD.size
        with self._barrier:
            self._consumed[0] = position
        return found

    def close(self) -> None:
        """Have nothing told any more.

        Raises:
            OSError: The kernel refused.
        """
        bpf_maps.update(self._numbers, _ROUND, _NUMBER.pack(0))

    def _number(self, which: bytes) -> int:
        value = bpf_maps.lookup(self._numbers, which, _NUMBER.size)
        if value is None:
            raise OSError(2, os.strerror(2))
        return int(_NUMBER.unpack(value)[0])
