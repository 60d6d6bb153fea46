"""Finding functions of Go programs and where they return, also in programs without symbols.

Every Go program carries a table of its functions, by which it unwinds its stacks (pclntab): names, code, and for each
place in the code how far the stack pointer is from where it was at entry. A function that has a frame returns where
that distance becomes 0 and the instruction is a return. So no instructions need to be decoded: on x86 they differ in
length, and a byte that means "return" stands within others, too. (Functions without a frame are of no interest here.)

Sources: Go's src/runtime/symtab.go, src/internal/abi/symtab.go, src/cmd/link/internal/ld/pcln.go, and
src/debug/buildinfo/buildinfo.go. Versions 1.18 and later; before, arguments are not in registers on every machine.
"""

import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.tls.elf import AARCH64, IS_EXECUTABLE, IS_WRITABLE, LOAD, X86_64, ElfError, ElfFile
from agent.tls.symbols import find_strings

_MAGIC: Final = {0xFFFFFFF0: "1.18", 0xFFFFFFF1: "1.20"}
_QUANTUM: Final = {X86_64: 1, AARCH64: 4}
"""Bytes of which every instruction's length is a multiple."""
_HEADER: Final = struct.Struct("<IHBBQQQQQQQQ")
_ENTRY: Final = np.dtype([("code", "<u4"), ("function", "<u4")])
_ENTRY_BYTES: Final = 8
_FUNCTION_HEAD: Final = struct.Struct("<IiiIIi")  # of struct _func: entry, name, args, deferreturn, pcsp, pcfile, ...
_NAME_IN_FUNCTION: Final = 4

_BUILD_INFO_MAGIC: Final = b"\xff Go buildinf:"
_BUILD_INFO_BYTES: Final = 32
_BUILD_INFO_INLINE: Final = 2
_BUILD_INFO_SEARCHED: Final = 1 << 20
_MOST_VERSION_BYTES: Final = 128
_VERSION: Final = re.compile(rb"go(\d+)\.(\d+)")

_MOST_FUNCTIONS: Final = 1 << 22
_MOST_CODE_BYTES: Final = 1 << 16
_MOST_RETURNS: Final = 64
_MOST_TABLE_BYTES: Final = 1 << 16

# Words of struct moduledata: the table's head is the first; code begins where another says.
_TEXT_WORD: Final = 22
_MIN_CODE_WORD: Final = 20
_WORD: Final = 8

_RELOCATIONS: Final = 4  # SHT_RELA
_RELOCATION: Final = np.dtype([("offset", "<u8"), ("info", "<u8"), ("addend", "<u8")])
_RELOCATION_BYTES: Final = 24

_X86_RETURN: Final = re.compile(
    rb"(?:\x66?\x90|\x66?\x0f\x1f(?:\x00|\x40\x00|\x44\x00\x00|\x80\x00{4}|\x84\x00{5}))*\xc3"
)
"""Behind instructions that do nothing, which mark and align others."""
_ARM_RETURN: Final = struct.pack("<I", 0xD65F03C0)


class GoError(ElfError):
    """A Go program whose functions cannot be found."""


@dataclass(frozen=True)
class GoFunction:
    """A function's places in the file."""

    entry: int
    returns: tuple[int, ...]
    """Of each return instruction."""


def go_version(elf: ElfFile) -> tuple[int, int] | None:
    """The version that a Go program was built with, as in (1, 26); None when it is none.

    Raises:
        ElfError: The file is damaged.
    """
    section = elf.section(".go.buildinfo")
    if section is not None:
        places = [(section.offset, section.size)]
    else:
        places = [
            (segment.offset, segment.size)
            for segment in elf.segments
            if segment.kind == LOAD and _is_data(segment.flags)
        ]
    for offset, size in places:
        data = elf.read(offset, min(size, _BUILD_INFO_SEARCHED))
        at = data.find(_BUILD_INFO_MAGIC)
        if at < 0 or len(data) < at + _BUILD_INFO_BYTES:
            continue
        if not data[at + len(_BUILD_INFO_MAGIC) + 1] & _BUILD_INFO_INLINE:
            return 1, 17  # or earlier: the version is behind a pointer
        found = _VERSION.search(data[at + _BUILD_INFO_BYTES :][:_MOST_VERSION_BYTES])
        return (int(found[1]), int(found[2])) if found else None
    return None


def _is_data(flags: int) -> bool:
    return bool(flags & IS_WRITABLE) and not flags & IS_EXECUTABLE


def find_go_functions(elf: ElfFile, names: Collection[str]) -> dict[str, GoFunction]:
    """Functions of a Go program by their full names, as in "crypto/tls.(*Conn).Read"; those that it lacks are left out.

    Raises:
        GoError: The table of functions is not where it should be, or of a version that is not known.
        ElfError: The file is damaged.
    """
    table = _Table(elf)
    return {name: table.describe(number) for name, number in table.find(names).items()}


class _Table:
    """A program's table of functions."""

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf
        self._begin, self._size = self._place()
        header = elf.read(self._begin, _HEADER.size)
        magic, pad, quantum, pointer, functions, _, text, names, _, _, pctab, functab = _HEADER.unpack(header)
        if magic not in _MAGIC or pad or quantum != _QUANTUM.get(elf.machine) or pointer != _WORD:
            raise GoError(f"a table of functions of an unknown version ({magic:#x})")
        if functions > _MOST_FUNCTIONS or not names <= pctab <= functab <= self._size:
            raise GoError("the table of functions is damaged")
        self._functions = functions
        self._names, self._names_size = self._begin + names, pctab - names
        self._pctab, self._pctab_size = self._begin + pctab, functab - pctab
        self._functab = self._begin + functab
        self._text = text or self._find_text()

    def _place(self) -> tuple[int, int]:
        """Where the table is in the file: it is named, unless the names of sections were taken out."""
        for name in (".gopclntab", ".data.rel.ro.gopclntab"):
            section = self._elf.section(name)
            if section is not None:
                return section.offset, section.size
        heads = [struct.pack("<IHBB", magic, 0, _QUANTUM.get(self._elf.machine, 0), _WORD) for magic in _MAGIC]
        for segment in self._elf.segments:
            if segment.kind != LOAD or segment.flags & IS_EXECUTABLE:
                continue
            for begin, data in self._elf.chunks(segment.offset, segment.size, _WORD):
                for head in heads:
                    at = data.find(head)
                    while at >= 0:
                        if (begin + at) % _WORD == 0 and self._looks_like_it(begin + at):
                            return begin + at, segment.offset + segment.size - begin - at
                        at = data.find(head, at + 1)
        raise GoError("no table of functions")

    def _looks_like_it(self, offset: int) -> bool:
        """The offsets in the head are in order, and the first is that of what follows the head."""
        try:
            _, _, _, _, functions, _, _, *offsets = _HEADER.unpack(self._elf.read(offset, _HEADER.size))
        except ElfError:
            return False
        return 0 < functions <= _MOST_FUNCTIONS and offsets == sorted(offsets) and offsets[0] == _HEADER.size

    def _find_text(self) -> int:
        """Where the code begins that the table's entries count from.

        Programs that can be loaded anywhere have relocations in place of addresses, and Go 1.26 keeps this one only in
        the module's description, which begins with the address of the table.
        """
        table = self._elf.address_of(self._begin)
        written = dict(self._relocations({table + 24}, set()))
        if table + 24 in written:
            return written[table + 24]
        for module in self._modules(table):
            wanted = {module + word * _WORD for word in (_TEXT_WORD, _MIN_CODE_WORD)}
            values = dict(self._relocations(wanted, set()))
            for address in wanted - values.keys():
                (values[address],) = struct.unpack("<Q", self._elf.read_at(address, _WORD))
            text = values[module + _TEXT_WORD * _WORD]
            first = int.from_bytes(self._elf.read(self._functab, 4), "little")
            if text and text + first == values[module + _MIN_CODE_WORD * _WORD]:
                return text
        raise GoError("where the code begins is not told")

    def _modules(self, table: int) -> Iterator[int]:
        """Places that hold the table's address."""
        yield from (place for place, _ in self._relocations(set(), {table}))
        needle = struct.pack("<Q", table)
        for segment in self._elf.segments:
            if segment.kind != LOAD or not _is_data(segment.flags):
                continue
            for begin, data in self._elf.chunks(segment.offset, segment.size, _WORD):
                at = data.find(needle)
                while at >= 0:
                    place = begin + at - segment.offset + segment.address
                    if place % _WORD == 0:
                        yield place
                    at = data.find(needle, at + 1)

    def _relocations(self, places: Collection[int], values: Collection[int]) -> Iterator[tuple[int, int]]:
        """Relocations of some places, or with some values."""
        wanted_places, wanted_values = (np.array(sorted(wanted), dtype=np.uint64) for wanted in (places, values))
        for section in self._elf.sections:
            if section.kind != _RELOCATIONS or section.entry_size != _RELOCATION_BYTES:
                continue
            rest = b""
            for _, data in self._elf.chunks(section.offset, section.size):
                joined = rest + data
                whole = len(joined) // _RELOCATION_BYTES * _RELOCATION_BYTES
                entries = np.frombuffer(joined[:whole], _RELOCATION)
                rest = joined[whole:]
                matches = np.isin(entries["offset"], wanted_places) | np.isin(entries["addend"], wanted_values)
                for entry in entries[matches]:
                    yield int(entry["offset"]), int(entry["addend"])

    def find(self, names: Collection[str]) -> dict[str, int]:
        """Numbers of functions.

        The descriptions of functions lie behind the list of them, in its order, so both are read side by side.
        """
        places = find_strings(self._elf, self._names, self._names_size, [name.encode() for name in names])
        wanted = np.array(sorted(places), dtype=np.int64)
        found: dict[str, int] = {}
        if not len(wanted):
            return found
        number = 0
        for _, data in self._elf.chunks(self._functab, self._functions * _ENTRY_BYTES):
            entries = np.frombuffer(data, _ENTRY)["function"].astype(np.int64)
            for index, place in self._names_of(entries, wanted):
                found.setdefault(places[place].decode(), number + index)
            number += len(entries)
        return found

    def _names_of(self, entries: NDArray[np.int64], wanted: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Of functions described at these places, the index and the name's place of those that are wanted."""
        first, last = int(entries.min()), int(entries.max()) + _FUNCTION_HEAD.size
        for begin, data in self._elf.chunks(self._functab + first, last - first, _FUNCTION_HEAD.size - 1):
            at = entries - (begin - self._functab) + _NAME_IN_FUNCTION
            inside = np.flatnonzero((at >= _NAME_IN_FUNCTION) & (at + 4 <= len(data)))
            raw = np.frombuffer(data, np.uint8)
            places = raw[at[inside, None] + np.arange(4)].copy().view("<i4")[:, 0]
            for hit in np.flatnonzero(np.isin(places, wanted)):
                yield int(inside[hit]), int(places[hit])

    def describe(self, number: int) -> GoFunction:
        """Where a function begins and returns."""
        entry, described, following, _ = struct.unpack("<IIII", self._elf.read(self._functab + number * 8, 16))
        _, _, _, _, pcsp, _ = _FUNCTION_HEAD.unpack(self._elf.read(self._functab + described, _FUNCTION_HEAD.size))
        size = following - entry
        if not 0 < size <= _MOST_CODE_BYTES or pcsp >= self._pctab_size:
            raise GoError(f"a function of {size} bytes")
        offset = self._elf.offset_of(self._text + entry, IS_EXECUTABLE)
        code = self._elf.read(offset, size)
        returns = tuple(offset + at for at in self._returns(code, pcsp))
        if not 0 < len(returns) <= _MOST_RETURNS:
            raise GoError(f"a function with {len(returns)} returns")
        return GoFunction(offset, returns)

    def _returns(self, code: bytes, pcsp: int) -> Iterator[int]:
        if self._elf.machine == AARCH64:
            yield from (at for at in range(0, len(code) - 3, 4) if code[at : at + 4] == _ARM_RETURN)
            return
        table = self._elf.read(self._pctab + pcsp, min(self._pctab_size - pcsp, _MOST_TABLE_BYTES))
        for begin, end, distance in stack_distances(table, _QUANTUM[self._elf.machine]):
            found = _X86_RETURN.match(code, begin, end) if distance == 0 else None
            if found:
                yield found.end() - 1


def stack_distances(table: bytes, quantum: int) -> Iterator[tuple[int, int, int]]:
    """How far the stack pointer is from where it was at entry: (first byte of code, end, distance) in order.

    A table is pairs of variable-length numbers: the difference to the value before, zigzag-encoded, and how many units
    of code it holds for. It ends with a difference of 0, which is a value only at the very beginning
    (src/runtime/symtab.go, `step`).
    """
    at, place, value = 0, 0, -1
    while True:
        change, at = _number(table, at)
        if at < 0 or (change == 0 and place):
            return
        value += -(change + 1 >> 1) if change & 1 else change >> 1
        length, at = _number(table, at)
        if at < 0:
            return
        begin, place = place, place + length * quantum
        if place == begin:
            return
        yield begin, place, value


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it; -1 when the data ends within it."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    return 0, -1
