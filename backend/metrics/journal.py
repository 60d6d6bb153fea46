"""The journal: where logs are durable before they are analysed and stored.

It is a folder of segments. Batches are appended to the open one and made durable together; when the open one is sealed,
the next begins a new one. A segment is removed when its flush is stored, and what is there at the start is read again.
"""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from backend.ingest.batch import LogBatch
from backend.metrics.journal_records import Encoder
from backend.metrics.journal_segments import BEGINNING_BYTES, SUFFIX, JournalError, beginning, place_of, writer_of


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that nothing more is appended to."""

    path: Path
    bytes: int

    @property
    def writer(self) -> str:
        """The writer of its flush."""
        return writer_of(self.path)


def has_segments(folder: Path) -> bool:
    """Whether a folder has segments of a journal."""
    return any(folder.glob(f"*{SUFFIX}"))


class Journal:
    """A folder of segments. Methods block. For use from one thread at a time.

    Attributes:
        bytes: of all segments.
    """

    def __init__(self, folder: Path, maximum_bytes: int) -> None:
        """Take a folder, which need not exist.

        Args:
            folder: of this journal alone.
            maximum_bytes: most bytes that all segments together may have.

        Raises:
            JournalError: the folder cannot be made or read.
        """
        self._folder = folder
        self._maximum_bytes = maximum_bytes
        self._encoder = Encoder()
        self._file: FileIO | None = None
        self._path = folder
        self._written = 0
        self._records = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            left = self.segments()
            self._place = max((place_of(segment.path) for segment in left), default=0)
        except (OSError, ValueError) as error:
            raise JournalError(
                f"{folder} cannot be a journal ({error}): make it an empty folder to write in"
            ) from error
        self.bytes = sum(segment.bytes for segment in left)

    def segments(self) -> list[Segment]:
        """Every segment that is there, the oldest first."""
        found = sorted(self._folder.glob(f"*{SUFFIX}"), key=place_of)
        return [Segment(path, path.stat().st_size) for path in found]

    def append(self, batches: Sequence[LogBatch]) -> None:
        """Append batches to the open segment, or to a new one. When this returns, they survive a crash.

        Raises:
            JournalError: some of them may not; nothing more can be appended to the segment, which is to be sealed.
        """
        try:
            records = [self._encoder.encode(batch, self._records + index) for index, batch in enumerate(batches)]
            size = sum(map(len, records)) + (BEGINNING_BYTES if self._file is None else 0)
            if self.bytes + size > self._maximum_bytes:
                raise JournalError(
                    f"the journal {self._folder} has {self.bytes} bytes, and may have {self._maximum_bytes}:"
                    " see why the store is slow, or set limits.journal_bytes higher"
                )
            file = self._open_file()
            self._write(file, b"".join(records))
            os.fdatasync(file.fileno())
        except (OSError, ValueError) as error:
            raise JournalError(f"the journal {self._folder} cannot be written ({error}): see to its disk") from error
        self._records += len(batches)

    def seal(self) -> Segment | None:
        """Append no more to the open segment; None when there is none."""
        if self._file is None:
            return None
        self._file.close()
        sealed = Segment(self._path, self._written)
        self._file = None
        self._written = self._records = 0
        return sealed

    def remove(self, segment: Segment) -> None:
        """Remove a segment whose flush is stored.

        Raises:
            JournalError: it is still there.
        """
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(f"{segment.path} is stored, and cannot be removed ({error}): remove it") from error
        self.bytes -= segment.bytes

    def _open_file(self) -> FileIO:
        if self._file is None:
            self._place += 1
            self._path = self._folder / f"{self._place:012}-{uuid.uuid4().hex}{SUFFIX}"
            self._file = FileIO(self._path, "x")
            self._write(self._file, beginning())
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return self._file

    def _write(self, file: FileIO, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            # A full disk takes a part first, and then fails.
            written = file.write(rest)
            rest = rest[written:]
            self._written += written
            self.bytes += written
