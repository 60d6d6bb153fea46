"""Layouts of the running kernel's structs, from the description that the kernel carries (BTF).

Runs in the distribution's Python as well: standard library only.

Source: the kernel's Documentation/bpf/btf.rst. A file is a header, a table of types (numbered from 1) and a table of
NUL-terminated names. Everything in it is checked against the bounds of the file before it is used: a malformed file
gives a `BtfError`, never a wrong offset or an endless loop.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("<HBBIIIII")
_TYPE: Final = struct.Struct("<III")
_MEMBER: Final = struct.Struct("<III")
_ARRAY: Final = struct.Struct("<III")
_ENUMERATOR: Final = struct.Struct("<Ii")

_INTEGER, _POINTER, _ARRAY_KIND, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNCTION, _PROTOTYPE = 8, 9, 10, 11, 12, 13
_FLOAT, _TYPE_TAG, _ENUM64 = 16, 18, 19
_LARGEST_KIND: Final = 19
_ALIASES: Final = frozenset((_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG))
_SIZED: Final = frozenset((_INTEGER, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64))

# Bytes that follow a type's 12 common ones: once, and per element counted in its `info` word.
_TAIL: Final = {1: 4, 3: 12, 14: 4, 17: 4}  # integer, array, variable, declaration tag
_PER_ELEMENT: Final = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}  # struct union enum prototype section enum64

_POINTER_BYTES: Final = 8
_DEEPEST: Final = 64  # aliases and arrays in a row; the kernel's longest row is below 10
_MOST_INNER_TYPES: Final = 200  # unnamed structs and unions within one struct; the kernel's most is below 50


class BtfError(Exception):
    """The file is not BTF, is damaged, or does not describe what was asked for."""


@dataclass(frozen=True)
class Member:
    """Where one member lies in its struct."""

    byte_offset: int
    byte_size: int
    """Bytes of the member's type; 0 for a flexible array."""
    bit_shift: int = 0
    """For a bit field: bits from the lowest bit of the byte at `byte_offset`. Otherwise 0."""
    bit_size: int = 0
    """For a bit field: its width. Otherwise 0."""


@dataclass(frozen=True)
class Function:
    """One function of the kernel."""

    type_id: int
    """As attaching to it by BTF needs it."""
    parameters: int
    """How many it has."""


class _Named:
    """Types of one kind: where their names are, and their ids, in the order of the file."""

    def __init__(self) -> None:
        self._names = array("I")
        self._ids = array("I")

    def add(self, name_offset: int, type_id: int) -> None:
        self._names.append(name_offset)
        self._ids.append(type_id)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._names, self._ids, strict=True)

    def find(self, name_offsets: set[int]) -> int | None:
        """The first type with one of these names."""
        return next((type_id for offset, type_id in self if offset in name_offsets), None)


class Btf:
    """The types of one BTF file."""

    def __init__(self, data: bytes) -> None:
        """Index `data`, a whole BTF file of a little-endian 64-bit kernel.

        Raises:
            BtfError: The data is malformed.
        """
        if len(data) < _HEADER.size:
            raise BtfError(f"a BTF header has {_HEADER.size} bytes, this file has {len(data)}")
        magic, version, _, header, types, types_length, names, names_length = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != 1:
            raise BtfError(f"not little-endian BTF version 1 (magic {magic:#06x}, version {version})")
        if header < _HEADER.size or header + max(types + types_length, names + names_length) > len(data):
            raise BtfError("the BTF header points outside the file")
        self._data = data
        self._names = data[header + names : header + names + names_length]
        if not self._names.endswith(b"\0"):
            raise BtfError("the BTF name table does not end with NUL")
        # Arrays, not dictionaries of names: a kernel has 130,000 types, of which a handful are asked for.
        self._starts = array("Q", [0])  # type ids start at 1; 0 is void
        self._structs = _Named()
        self._functions = _Named()
        self._enums = _Named()
        self._aliases = _Named()
        self._index(header + types, header + types + types_length)

    @classmethod
    def read(cls, path: Path = VMLINUX) -> "Btf":
        """The types of the running kernel.

        Raises:
            BtfError: There is no such file (the kernel was built without CONFIG_DEBUG_INFO_BTF), it cannot be read,
                or it is malformed.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BtfError(f"cannot read {path}: {error.strerror}") from error
        return cls(data)

    def __len__(self) -> int:
        """How many types the file has."""
        return len(self._starts) - 1

    def member(self, structure: str, path: str) -> Member:
        """Where `path` ("skc_net.net": members of members) lies in `struct structure`.

        Members of unnamed inner structs and unions are found by their own name, as in C.

        Raises:
            BtfError: There is no such struct or member.
        """
        type_id = self._structure(structure)
        bits = width = 0
        for name in path.split("."):
            found = self._find(self._resolve(type_id), name.encode(), set())
            if found is None:
                raise BtfError(f"struct {structure} of this kernel has no member {path}")
            type_id, offset, width = found
            bits += offset
        if width:
            return Member(bits // 8, self._size(type_id), bits % 8, width)
        return Member(bits // 8, self._size(type_id))

    def size(self, structure: str) -> int:
        """Bytes of `struct structure`.

        Raises:
            BtfError: There is no such struct.
        """
        return self._size(self._structure(structure))

    def has(self, structure: str, path: str) -> bool:
        """Whether `struct structure` exists and has the member `path`.

        Raises:
            BtfError: The file is malformed.
        """
        type_id = self._structs.find(self._name_offsets(structure))
        if type_id is None:
            return False
        for name in path.split("."):
            found = self._find(self._resolve(type_id), name.encode(), set())
            if found is None:
                return False
            type_id = found[0]
        return True

    def functions(self, names: Iterable[str]) -> dict[str, Function]:
        """Those of the kernel's functions `names` that the file knows, found in one pass.

        Raises:
            BtfError: The file is malformed.
        """
        wanted = {offset: name for name in names for offset in self._name_offsets(name)}
        found: dict[str, Function] = {}
        for offset, type_id in self._functions:
            if offset in wanted:
                found.setdefault(wanted[offset], Function(type_id, self._parameters(type_id)))
        return found

    def tracepoints(self, names: Iterable[str]) -> dict[str, int]:
        """How many arguments each of the raw tracepoints `names` has that the file knows.

        The kernel declares `btf_trace_NAME`, the type of the functions that it calls there; the first argument of those
        is their own (`__DEFINE_EVENT` in include/trace/bpf_probe.h).

        Raises:
            BtfError: The file is malformed.
        """
        wanted = {offset: name for name in names for offset in self._name_offsets(f"btf_trace_{name}")}
        found: dict[str, int] = {}
        for offset, alias in self._aliases:
            if offset in wanted:
                kind, _, _, target, _ = self._type(self._resolve(alias))
                prototype, parameters, _, _, _ = self._type(target)
                if kind != _POINTER or prototype != _PROTOTYPE:
                    raise BtfError(f"tracepoint {wanted[offset]} has no prototype")
                found.setdefault(wanted[offset], parameters - 1)
        return found

    def enumerators(self, name: str) -> dict[int, str]:
        """The names of `enum name` by value, the first one of each; empty when there is no such enum.

        Raises:
            BtfError: The file is malformed.
        """
        type_id = self._enums.find(self._name_offsets(name))
        if type_id is None:
            return {}
        _, count, _, _, at = self._type(type_id)
        names: dict[int, str] = {}
        for position in range(at, at + count * _ENUMERATOR.size, _ENUMERATOR.size):
            offset, value = _ENUMERATOR.unpack_from(self._data, position)
            names.setdefault(value, self._name(offset).decode(errors="replace"))
        return names

    def _parameters(self, function: int) -> int:
        kind, count, _, _, _ = self._type(self._type(function)[3])
        if kind != _PROTOTYPE:
            raise BtfError(f"function type {function} has no prototype")
        return count

    def _structure(self, name: str) -> int:
        type_id = self._structs.find(self._name_offsets(name))
        if type_id is None:
            raise BtfError(f"this kernel has no struct {name}")
        return type_id

    def _index(self, start: int, end: int) -> None:
        at = start
        while at < end:
            if at + _TYPE.size > end:
                raise BtfError(f"type {len(self._starts)} is cut off")
            name, info, _ = _TYPE.unpack_from(self._data, at)
            kind = (info >> 24) & 31
            if not 0 < kind <= _LARGEST_KIND:
                raise BtfError(f"type {len(self._starts)} has the unknown kind {kind}")
            if name and kind in (_STRUCT, _UNION):
                self._structs.add(name, len(self._starts))
            elif name and kind == _FUNCTION:
                self._functions.add(name, len(self._starts))
            elif name and kind == _TYPEDEF:
                self._aliases.add(name, len(self._starts))
            elif name and kind == _ENUM:
                self._enums.add(name, len(self._starts))
            self._starts.append(at)
            at += _TYPE.size + _TAIL.get(kind, 0) + _PER_ELEMENT.get(kind, 0) * (info & 0xFFFF)
        if at != end:
            raise BtfError("the last type is cut off")

    def _name_offsets(self, name: str) -> set[int]:
        """Every place in the name table that reads as `name`, also as the end of a longer name."""
        wanted = name.encode() + b"\0"
        offsets = set()
        at = self._names.find(wanted)
        while at >= 0:
            offsets.add(at)
            at = self._names.find(wanted, at + 1)
        return offsets

    def _name(self, offset: int) -> bytes:
        if offset >= len(self._names):
            raise BtfError(f"name offset {offset} is outside the name table")
        return self._names[offset : self._names.index(b"\0", offset)]

    def _type(self, type_id: int) -> tuple[int, int, bool, int, int]:
        """Kind, number of elements, flag, size or referenced type, and the position after the common part."""
        if not 0 < type_id < len(self._starts):
            raise BtfError(f"type id {type_id} is outside the type table")
        at = self._starts[type_id]
        _, info, size_or_type = _TYPE.unpack_from(self._data, at)
        return (info >> 24) & 31, info & 0xFFFF, bool(info >> 31), size_or_type, at + _TYPE.size

    def _resolve(self, type_id: int) -> int:
        for _ in range(_DEEPEST):
            kind, _, _, target, _ = self._type(type_id)
            if kind not in _ALIASES:
                return type_id
            type_id = target
        raise BtfError(f"type {type_id} is an alias without end")

    def _members(self, type_id: int) -> Iterator[tuple[bytes, int, int, int]]:
        """Name, type, offset in bits and bit-field width (or 0) of each member; none for what is no struct."""
        kind, count, flag, _, at = self._type(type_id)
        if kind not in (_STRUCT, _UNION):
            return
        for position in range(at, at + count * _MEMBER.size, _MEMBER.size):
            name, member_type, offset = _MEMBER.unpack_from(self._data, position)
            width = offset >> 24 if flag else 0
            yield self._name(name), member_type, offset & 0xFFFFFF if flag else offset, width

    def _find(self, type_id: int, name: bytes, searched: set[int]) -> tuple[int, int, int] | None:
        """Type, offset in bits and bit-field width of a member; `searched` are the types that do not have it."""
        if len(searched) > _MOST_INNER_TYPES:
            raise BtfError(f"type {type_id} is nested without end")
        searched.add(type_id)
        for member, member_type, offset, width in self._members(type_id):
            if member == name:
                return member_type, offset, width
            if member or not member_type:
                continue
            inner_type = self._resolve(member_type)
            inner = self._find(inner_type, name, searched) if inner_type not in searched else None
            if inner is not None:
                return inner[0], offset + inner[1], inner[2]
        return None

    def _size(self, type_id: int) -> int:
        elements = 1
        for _ in range(_DEEPEST):
            type_id = self._resolve(type_id)
            kind, _, _, size, at = self._type(type_id)
            if kind == _POINTER:
                return elements * _POINTER_BYTES
            if kind in _SIZED:
                return elements * size
            if kind != _ARRAY_KIND:
                raise BtfError(f"type {type_id} has no size")
            type_id, _, count = _ARRAY.unpack_from(self._data, at)
            elements *= count
        raise BtfError(f"type {type_id} is an array without end")
