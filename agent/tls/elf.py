"""Programs and libraries as files: where their segments lie, and what is loaded where (ELF, 64 bit, little-endian).

Source: the System V ABI's chapter on object files (gABI: "ELF Header", "Program Header", "Sections", "Note Section").

Files belong to whoever runs on this machine, so nothing in them is believed: each number is checked against the file
and against a bound before it is used, and a file that does not fit gives an `ElfError`. They are read piece by piece
and never mapped: who truncates a file that is mapped ends the process that reads it.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Final, Self

X86_64, AARCH64 = 62, 183
"""Machines (e_machine)."""
EXECUTABLE, SHARED = 2, 3
"""Kinds of files (e_type); a program that can be loaded anywhere is SHARED."""

LOAD, DYNAMIC, NOTE = 1, 2, 4
"""Types of segments."""
IS_EXECUTABLE, IS_WRITABLE = 1, 2
"""Flags of segments."""

CHUNK: Final = 1 << 20
"""Bytes read at a time from what may be long."""
MOST_BYTES: Final = 2 << 30
"""Read of one file in all. More is only asked for by files that are made to be read for ever."""
_LEAST_COST: Final = 4096  # bytes that a read counts for at least

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_IDENTIFICATION: Final = b"\x7fELF\x02\x01\x01"  # 64 bit, little-endian, version 1
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER: Final = struct.Struct("<IIQQQQIIQQ")
_NOTE_HEADER: Final = struct.Struct("<III")
_BUILD_ID: Final = 3  # NT_GNU_BUILD_ID
_NO_BITS: Final = 8  # SHT_NOBITS: a section that is not in the file

_MOST_SEGMENTS: Final = 512
_MOST_SECTIONS: Final = 8192
_MOST_NAME_BYTES: Final = 1 << 20
_MOST_NOTE_BYTES: Final = 1 << 16


class ElfError(Exception):
    """The file is damaged, or no program or library of this kind of machine (`ForeignError`)."""


class ForeignError(ElfError):
    """The file is no ELF file, or one for a machine that is not 64-bit and little-endian."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What is loaded from the file: its place there, and its place in memory."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int
    """Bytes in the file."""


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of the file. Files that run need no sections, and some have none."""

    name: str
    kind: int
    address: int
    offset: int
    size: int
    link: int
    """Number of another section, whose meaning depends on the kind."""
    entry_size: int


class ElfFile:
    """One file, open. Use as a context manager."""

    def __init__(self, path: str) -> None:
        """Open a file.

        Raises:
            OSError: It cannot be opened.
            ElfError: See there.
        """
        # Opening a pipe or a device could wait for somebody else.
        self._left = MOST_BYTES
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            self.size = os.fstat(self._descriptor).st_size
            self._read_header()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def _read_header(self) -> None:
        if self.size < _HEADER.size:
            raise ForeignError(f"a file of {self.size} bytes")
        header = self.read(0, _HEADER.size)
        (identification, self.kind, self.machine, _, self.entry, *tables) = _HEADER.unpack(header)
        if not identification.startswith(_IDENTIFICATION):
            raise ForeignError("not ELF for a 64-bit little-endian machine")
        programs, self._sections_at, _, _, entry_size, count, self._section_size, self._section_count, names = tables
        self._section_names = names
        if self.kind not in {EXECUTABLE, SHARED}:
            raise ForeignError(f"neither a program nor a library (type {self.kind})")
        if entry_size != _PROGRAM_HEADER.size or not 0 < count <= _MOST_SEGMENTS:
            raise ElfError(f"{count} program headers of {entry_size} bytes")
        self.segments = tuple(
            Segment(kind, flags, offset, address, size)
            for kind, flags, offset, address, _, size, _, _ in _PROGRAM_HEADER.iter_unpack(
                self.read(programs, count * entry_size)
            )
        )

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file.

        Raises:
            ElfError: The file has not that many there, could not be read, or was read for too long.
        """
        self._left -= max(size, _LEAST_COST)
        if self._left < 0:
            raise ElfError("too much would have to be read")
        if size < 0 or offset < 0 or offset + size > self.size:
            raise ElfError(f"{size} bytes at {offset:#x} of a file of {self.size} bytes")
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise ElfError(f"cannot be read: {error.strerror}") from error
        if len(data) != size:
            raise ElfError(f"{len(data)} bytes instead of {size} at {offset:#x}: the file has become shorter")
        return data

    def chunks(self, offset: int, size: int, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        """A part of the file in pieces of at most `CHUNK` + `overlap` bytes, each with its place in the file.

        Each piece begins with the last `overlap` bytes of the one before, so that what is shorter is whole in one.
        """
        if offset + size > self.size:
            raise ElfError(f"{size} bytes at {offset:#x} of a file of {self.size} bytes")
        at, end = offset, offset + size
        while at < end:
            begin = max(offset, at - overlap)
            at = min(end, at + CHUNK)
            yield begin, self.read(begin, at - begin)

    def offset_of(self, address: int, flags: int = 0) -> int:
        """Where in the file that stands which is loaded at an address.

        Args:
            address: As the file has it, before the program is moved to its place.
            flags: That the segment must have.

        Raises:
            ElfError: No segment is loaded there.
        """
        for segment in self.segments:
            if (
                segment.kind == LOAD
                and segment.flags & flags == flags
                and segment.address <= address < segment.address + segment.size
            ):
                return address - segment.address + segment.offset
        raise ElfError(f"nothing is loaded at {address:#x}")

    def address_of(self, offset: int) -> int:
        """At which address that is loaded which stands somewhere in the file.

        Raises:
            ElfError: It is not loaded.
        """
        for segment in self.segments:
            if segment.kind == LOAD and segment.offset <= offset < segment.offset + segment.size:
                return offset - segment.offset + segment.address
        raise ElfError(f"what stands at {offset:#x} is not loaded")

    def read_at(self, address: int, size: int) -> bytes:
        """Bytes that are loaded at an address.

        Raises:
            ElfError: There are not so many.
        """
        return self.read(self.offset_of(address), size)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Every section; empty when the file has no table of them.

        Raises:
            ElfError: See there.
        """
        if not self._section_count or not self._sections_at:
            return ()
        if self._section_size != _SECTION_HEADER.size or self._section_count > _MOST_SECTIONS:
            raise ElfError(f"{self._section_count} section headers of {self._section_size} bytes")
        headers = list(
            _SECTION_HEADER.iter_unpack(self.read(self._sections_at, self._section_count * self._section_size))
        )
        names = b""
        if self._section_names < len(headers):
            _, _, _, _, offset, size, *_ = headers[self._section_names]
            if size > _MOST_NAME_BYTES:
                raise ElfError(f"{size} bytes of section names")
            names = self.read(offset, size)
        return tuple(
            Section(_name(names, name), kind, address, offset, 0 if kind == _NO_BITS else size, link, entry_size)
            for name, kind, _, address, offset, size, link, _, _, entry_size in headers
        )

    def section(self, name: str) -> Section | None:
        """The first section with a name.

        Raises:
            ElfError: See `sections`.
        """
        return next((section for section in self.sections if section.name == name), None)

    @cached_property
    def build_id(self) -> str:
        """What the linker named this build, in hexadecimal digits; "" when it has not.

        Raises:
            ElfError: See there.
        """
        for segment in self.segments:
            if segment.kind != NOTE or segment.size > _MOST_NOTE_BYTES:
                continue
            data = self.read(segment.offset, segment.size)
            at = 0
            while at + _NOTE_HEADER.size <= len(data):
                name_size, size, kind = _NOTE_HEADER.unpack_from(data, at)
                begin = at + _NOTE_HEADER.size
                content = begin + -(-name_size // 4) * 4
                if kind == _BUILD_ID and data[begin : begin + name_size] == b"GNU\0":
                    return data[content : content + size].hex()
                at = content + -(-size // 4) * 4
        return ""


def _name(names: bytes, at: int) -> str:
    """A name in a table of names that end with NUL."""
    end = names.find(b"\0", at)
    return names[at:end].decode(errors="replace") if 0 <= at < end else ""
