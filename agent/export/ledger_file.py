"""A ledger that a killed process leaves behind whole.

The file has two slots that are written in turn, each with the CRC-32 of what is in it: a process that is killed while
it writes one leaves the other, which has the state before that change. Nothing is forced to the disk: what is written
survives the death of the process, and not that of the machine.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from agent.export.accounting import Balance

SLOT_BYTES = 512
SETTLED = 16
"""Places that a slot has room for."""
_HEAD_BYTES = 8


_Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
"""Leaves room to count on."""


class _State(msgspec.Struct, array_like=True, frozen=True):
    sequence: _Sequence
    captured: _Number
    delivered: _Number
    withdrawn: _Number
    lost: Mapping[str, _Number]
    settled: list[_Number]


class LedgerFile:
    """A file with the latest state of a ledger.

    Attributes:
        before: What the file had; None when it was new, or when it has nothing that can be read.
        settled: The places of the spool that were settled then, and perhaps not removed.
        failures: Changes that could not be kept.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it.

        Raises:
            OSError: that is not possible.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A full disk shows now, and not when a loss has to be booked.
            os.posix_fallocate(self._file, 0, 2 * SLOT_BYTES)
            slots = [_read(os.pread(self._file, SLOT_BYTES, number * SLOT_BYTES)) for number in range(2)]
        except OSError:
            os.close(self._file)
            raise
        latest = max((slot for slot in slots if slot is not None), key=lambda slot: slot.sequence, default=None)
        self._sequence = 0 if latest is None else latest.sequence
        self.before = (
            None if latest is None else Balance(latest.captured, latest.delivered, latest.lost, latest.withdrawn)
        )
        self.settled: Sequence[int] = () if latest is None else latest.settled
        self.failures = 0

    def write(self, balance: Balance, settled: Sequence[int]) -> None:
        """Keep a state, all of it or nothing; as Record.write."""
        self._sequence += 1
        state = _State(
            *(self._sequence, balance.captured, balance.delivered, balance.withdrawn),
            *(balance.lost, list(settled[-SETTLED:])),
        )
        told = msgspec.msgpack.encode(state)
        data = zlib.crc32(told).to_bytes(4, "little") + len(told).to_bytes(4, "little") + told
        try:
            os.pwrite(self._file, data, self._sequence % 2 * SLOT_BYTES)
        except OSError:
            self.failures += 1

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


def _read(slot: bytes) -> _State | None:
    """What is in a slot; None when it is empty, torn or of something else."""
    length = int.from_bytes(slot[4:_HEAD_BYTES], "little")
    told = slot[_HEAD_BYTES : _HEAD_BYTES + length]
    if not told or len(told) != length or zlib.crc32(told) != int.from_bytes(slot[:4], "little"):
        return None
    try:
        return msgspec.msgpack.decode(told, type=_State)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
