"""Hearing of every file that a process begins to run code from: at its start, and when it loads a library later.

The kernel tells it to whoever opens a perf event for it; nothing is sampled or counted.

Source: perf_event_open(2), "MMAP layout" and PERF_RECORD_MMAP2.
"""

import mmap
import os
import select
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.kernel.uprobes import perf_event_open

_ATTRIBUTES: Final = struct.Struct("=IIQQQQQIIQQ")  # PERF_ATTR_SIZE_VER1
_SOFTWARE, _DUMMY = 1, 9  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY
_FLAGS: Final = 1 << 8 | 1 << 14 | 1 << 23  # mmap, watermark, mmap2
_EVERY_PROCESS: Final = -1

_PAGES: Final = 16
_PLACE_OF_HEAD: Final = 1024  # data_head and data_tail of struct perf_event_mmap_page
_HEADER: Final = struct.Struct("=IHH")
_MAPPED, _LOST = 10, 2  # PERF_RECORD_MMAP2, PERF_RECORD_LOST
_MAPPED_RECORD: Final = struct.Struct("=IIQQQIIQQII")
_LOST_RECORD: Final = struct.Struct("=QQ")


@dataclass(frozen=True, slots=True)
class NewMapping:
    """A process has mapped a part of a file to execute it."""

    process: int
    begin: int
    end: int
    file: tuple[int, int, int, int]
    """Device (major, minor), inode and its generation: another file has other numbers."""
    name: bytes


class MappingEvents:
    """What has been mapped since the last look. To be closed."""

    def __init__(self) -> None:
        """Begin to listen, on every processor that is there.

        Raises:
            OSError: The kernel refuses.
        """
        self.lost = 0
        """Mappings that were not told, because they were not taken fast enough."""
        self._rings: list[_Ring] = []
        self._poll = select.poll()
        try:
            for processor in _processors():
                ring = _Ring(processor)
                self._rings.append(ring)
                self._poll.register(ring.descriptor, select.POLLIN)
        except BaseException:
            self.close()
            raise

    @property
    def descriptors(self) -> list[int]:
        """Each becomes readable when there is something to take."""
        return [ring.descriptor for ring in self._rings]

    def take(self) -> Iterator[NewMapping]:
        """What has been mapped, by the processor."""
        for ring in self._rings:
            for kind, body in ring.take():
                if kind == _LOST:
                    self.lost += _LOST_RECORD.unpack_from(body)[1]
                elif kind == _MAPPED:
                    yield _mapping(body)

    def close(self) -> None:
        """Listen no more."""
        for ring in self._rings:
            ring.close()
        self._rings.clear()


class _Ring:
    """What one processor tells."""

    def __init__(self, processor: int) -> None:
        attributes = _ATTRIBUTES.pack(_SOFTWARE, _ATTRIBUTES.size, _DUMMY, 0, 0, 0, _FLAGS, 1, 0, 0, 0)
        self.descriptor = perf_event_open(attributes, _EVERY_PROCESS, processor)
        try:
            self._memory = mmap.mmap(self.descriptor, (1 + _PAGES) * mmap.PAGESIZE)
        except BaseException:
            os.close(self.descriptor)
            raise

    def take(self) -> Iterator[tuple[int, bytes]]:
        head, tail = struct.unpack_from("=QQ", self._memory, _PLACE_OF_HEAD)
        while tail + _HEADER.size <= head:
            kind, _, size = _HEADER.unpack(self._read(tail, _HEADER.size))
            if not _HEADER.size <= size <= head - tail:
                tail = head  # cannot be: what is there is not understood, and passed over
                break
            yield kind, self._read(tail + _HEADER.size, size - _HEADER.size)
            tail += size
        struct.pack_into("=Q", self._memory, _PLACE_OF_HEAD + 8, tail)

    def _read(self, at: int, size: int) -> bytes:
        """Bytes of the ring, which goes on at its beginning behind its end."""
        offset = at % (_PAGES * mmap.PAGESIZE)
        begin = mmap.PAGESIZE + offset
        first = self._memory[begin : begin + size]
        return first + self._memory[mmap.PAGESIZE : mmap.PAGESIZE + size - len(first)]

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)


def _mapping(body: bytes) -> NewMapping:
    process, _, begin, length, _, major, minor, inode, generation, _, _ = _MAPPED_RECORD.unpack_from(body)
    name = body[_MAPPED_RECORD.size :].partition(b"\0")[0]
    return NewMapping(process, begin, begin + length, (major, minor, inode, generation), name)


def _processors() -> Iterator[int]:
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
