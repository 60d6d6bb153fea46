"""Segments: the files of a journal. What is in one is stored as one flush.

A segment begins with 16 bytes: a mark, the version of its format and the CRC-32 of both; records follow
(backend/metrics/journal_records.py). Its name gives its place among others and the writer of its flush.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.ingest.batch import LogBatch
from backend.metrics.journal_records import HEAD_BYTES, MARK, Damaged, Head
from backend.storage.interface import StorageError

VERSION = 1
"""Of the format."""
SUFFIX = ".segment"
_MARK = b"pyrover\n"
_BEGINNING = struct.Struct("<8sI")
_CHECK = struct.Struct("<I")
BEGINNING_BYTES = _BEGINNING.size + _CHECK.size


class JournalError(StorageError):
    """The journal cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that no batch could be made of."""

    at: int
    """Where they begin."""
    reason: str
    is_torn: bool
    """Whether they are all that is left of the segment, as after the end of the process that wrote it."""


def beginning(version: int = VERSION) -> bytes:
    """What a segment begins with."""
    told = _BEGINNING.pack(_MARK, version)
    return told + _CHECK.pack(zlib.crc32(told))


def writer_of(path: Path) -> str:
    """The writer of a segment's flush."""
    return path.name.removesuffix(SUFFIX).partition("-")[2]


def place_of(path: Path) -> int:
    """The place of a segment among others. Raises ValueError for a file that no journal made."""
    return int(path.name.partition("-")[0])


def read_segment(path: Path) -> Iterator[tuple[int, LogBatch] | Damage]:
    """The batches of a segment with their numbers, and what is damaged; never more than one batch is held.

    Where a record is damaged, reading goes on at the next one that is whole. The last may be torn, as the process that
    wrote it ended before it was whole: it has not been answered.

    Raises:
        JournalError: another version of the program wrote it, or it cannot be read.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise JournalError(f"{path} cannot be read ({error}): see to its disk and start again") from error
    yield from _beginning_damage(path, data)
    at = BEGINNING_BYTES
    while at < len(data):
        head = Head.read(data[at:])
        if head is None:
            following = _next_head(data, at + 1)
            left_out = f"no record begins here; {following - at} bytes are left out"
            yield Damage(at, left_out, is_torn=following == len(data))
            at = following
            continue
        end = at + HEAD_BYTES + head.length
        try:
            batch = head.body(data[at + HEAD_BYTES : end])
        except Damaged as error:
            yield Damage(at, str(error), is_torn=end > len(data))
            # The head is whole, so its length holds, unless the file ends before.
            at = min(end, len(data))
        else:
            yield head.number, batch
            at = end


def _beginning_damage(path: Path, data: memoryview) -> Iterator[Damage]:
    if len(data) < BEGINNING_BYTES:
        yield Damage(0, f"it has only {len(data)} bytes", is_torn=True)
        return
    if zlib.crc32(data[: _BEGINNING.size]) != _CHECK.unpack_from(data, _BEGINNING.size)[0]:
        yield Damage(0, "its beginning is not what was written", is_torn=False)
        return
    mark, version = _BEGINNING.unpack_from(data)
    if mark != _MARK or version != VERSION:
        raise JournalError(
            f"{path} has format {version}, and this program reads format {VERSION}: start the version of pyrover that"
            " wrote it, let it store what is there and stop it; or move the file away, and its logs are lost"
        )


def _next_head(data: memoryview, start: int) -> int:
    """Where the next head begins; the end if there is none."""
    whole = data.obj
    at = start
    while isinstance(whole, bytes) and (at := whole.find(MARK, at)) >= 0:
        if Head.read(data[at:]) is not None:
            return at
        at += 1
    return len(data)
