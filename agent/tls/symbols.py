"""Finding functions by name in programs and libraries.

The names that others link to are found through their hash table, in a few reads, whatever the size of the library.
Names that only debuggers use (.symtab) are searched from end to end, piece by piece: a program with everything linked
into it has millions.

Sources: gABI, "Symbol Table", "Hash Table"; for DT_GNU_HASH the GNU C library's elf/dl-lookup.c.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.tls.elf import DYNAMIC, IS_EXECUTABLE, ElfError, ElfFile, Section

_SYMBOL: Final = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("address", "<u8"), ("size", "<u8")]
)
_SYMBOL_BYTES: Final = 24
_FUNCTION: Final = 2  # STT_FUNC
_UNDEFINED: Final = 0  # SHN_UNDEF: another file has it
_SYMBOL_TABLE: Final = 2  # SHT_SYMTAB

_HASH, _NAMES, _SYMBOLS, _GNU_HASH = 4, 5, 6, 0x6FFFFEF5  # of the dynamic section
_MOST_DYNAMIC_BYTES: Final = 1 << 16
_GNU_HEADER: Final = struct.Struct("<IIII")
_NUMBER: Final = struct.Struct("<I")
_LONGEST_CHAIN: Final = 4096
_WORD_BITS: Final = 64
_MOST_MATCHES: Final = 4096


def find_functions(elf: ElfFile, names: Collection[str]) -> dict[str, frozenset[int]]:
    """Addresses of the functions that a file defines under some names; names without any are left out.

    A library may have several functions of one name, under different versions.

    Raises:
        ElfError: The file is damaged, or larger than what is searched.
    """
    found = _Dynamic(elf).find(names)
    if not found:
        for section in elf.sections:
            if section.kind == _SYMBOL_TABLE:
                found.update(_search(elf, section, names))
    return {name: frozenset(addresses) for name, addresses in found.items()}


class _Dynamic:
    """The names that other files link to."""

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf
        self._tables = dict(self._entries())

    def _entries(self) -> Iterator[tuple[int, int]]:
        for segment in self._elf.segments:
            if segment.kind == DYNAMIC and segment.size <= _MOST_DYNAMIC_BYTES:
                data = self._elf.read(segment.offset, segment.size // 16 * 16)
                yield from struct.iter_unpack("<QQ", data)

    def find(self, names: Collection[str]) -> dict[str, set[int]]:
        if _NAMES not in self._tables or _SYMBOLS not in self._tables:
            return {}
        if _GNU_HASH in self._tables:
            candidates = self._by_gnu_hash
        elif _HASH in self._tables:
            candidates = self._by_hash
        else:
            return {}
        found: dict[str, set[int]] = {}
        for name in names:
            encoded = name.encode()
            for number in candidates(encoded):
                address = self._address(number, encoded)
                if address is not None:
                    found.setdefault(name, set()).add(address)
        return found

    def _address(self, number: int, name: bytes) -> int | None:
        """Where the function with this number is, when it has this name and the file defines it."""
        data = self._elf.read_at(self._tables[_SYMBOLS] + number * _SYMBOL_BYTES, _SYMBOL_BYTES)
        at, info, _, section, address, _ = struct.unpack("<IBBHQQ", data)
        if info & 0xF != _FUNCTION or section == _UNDEFINED:
            return None
        is_it = self._elf.read_at(self._tables[_NAMES] + at, len(name) + 1) == name + b"\0"
        return int(address) if is_it else None

    def _number(self, address: int) -> int:
        return int(_NUMBER.unpack(self._elf.read_at(address, _NUMBER.size))[0])

    def _by_gnu_hash(self, name: bytes) -> Iterator[int]:
        table = self._tables[_GNU_HASH]
        buckets, first, words, shift = _GNU_HEADER.unpack(self._elf.read_at(table, _GNU_HEADER.size))
        if not buckets or not words:
            return
        value = _gnu_hash(name)
        filters = table + _GNU_HEADER.size
        (word,) = struct.unpack("<Q", self._elf.read_at(filters + value // _WORD_BITS % words * 8, 8))
        if not word >> value % _WORD_BITS & word >> (value >> (shift & 31)) % _WORD_BITS & 1:
            return
        bucket_table = filters + words * 8
        number = self._number(bucket_table + value % buckets * 4)
        if number < first:
            return
        chain = bucket_table + buckets * 4
        for step in range(number, number + _LONGEST_CHAIN):
            hashed = self._number(chain + (step - first) * 4)
            if hashed | 1 == value | 1:
                yield step
            if hashed & 1:
                return

    def _by_hash(self, name: bytes) -> Iterator[int]:
        table = self._tables[_HASH]
        buckets, count = struct.unpack("<II", self._elf.read_at(table, 8))
        if not buckets:
            return
        number = self._number(table + 8 + _system_v_hash(name) % buckets * 4)
        for _ in range(_LONGEST_CHAIN):
            if not 0 < number < count:
                return
            yield number
            number = self._number(table + 8 + (buckets + number) * 4)


def _gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def _system_v_hash(name: bytes) -> int:
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def _search(elf: ElfFile, table: Section, names: Collection[str]) -> Mapping[str, set[int]]:
    """Functions of a symbol table, from its first to its last."""
    if table.entry_size != _SYMBOL_BYTES or table.link >= len(elf.sections):
        raise ElfError(f"a symbol table with entries of {table.entry_size} bytes")
    strings = elf.sections[table.link]
    places = find_strings(elf, strings.offset, strings.size, [name.encode() for name in names])
    wanted = np.array(sorted(places), dtype=np.uint32)
    found: dict[str, set[int]] = {}
    if not len(wanted):
        return found
    size = table.size // _SYMBOL_BYTES * _SYMBOL_BYTES
    rest = b""
    for _, data in elf.chunks(table.offset, size):
        joined = rest + data
        whole = len(joined) // _SYMBOL_BYTES * _SYMBOL_BYTES
        symbols: NDArray[np.void] = np.frombuffer(joined[:whole], _SYMBOL)
        rest = joined[whole:]
        matches = symbols[np.isin(symbols["name"], wanted)]
        if len(matches) > _MOST_MATCHES:
            raise ElfError(f"{len(matches)} functions of a few names")
        for symbol in matches:
            if symbol["info"] & 0xF == _FUNCTION and symbol["section"] != _UNDEFINED:
                found.setdefault(places[int(symbol["name"])].decode(), set()).add(int(symbol["address"]))
    return found


def find_strings(elf: ElfFile, offset: int, size: int, strings: Collection[bytes]) -> dict[int, bytes]:
    """Where some strings stand in a table of strings that end with NUL, also as the end of a longer one.

    Returns:
        The strings by their places in the table.

    Raises:
        ElfError: The table is not in the file, or a string is in it too often.
    """
    found = {}
    longest = max(map(len, strings), default=0)
    for begin, data in elf.chunks(offset, size, longest):
        for string in strings:
            at = data.find(string + b"\0")
            while at >= 0:
                found[begin - offset + at] = string
                at = data.find(string + b"\0", at + 1)
                if len(found) > _MOST_MATCHES:
                    raise ElfError("the same name many times")
    return found


def executable_offsets(elf: ElfFile, addresses: Collection[int]) -> list[int]:
    """Where functions begin in the file, each once.

    Raises:
        ElfError: One of them is not where programs are.
    """
    return sorted({elf.offset_of(address, IS_EXECUTABLE) for address in addresses})
