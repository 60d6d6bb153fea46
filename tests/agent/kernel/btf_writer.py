"""Writes the kernel's description of its types (BTF), for tests that need one of their own."""

import struct

INTEGER, POINTER, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, CONST, FUNCTION, PROTOTYPE = 1, 2, 3, 4, 5, 6, 8, 10, 12, 13


Members = list[tuple[str, int, int]]


class Writer:
    """Writes a BTF file, type by type."""

    def __init__(self) -> None:
        self.names = b"\0"
        self.types = b""
        self.count = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.names += text.encode() + b"\0"
        return len(self.names) - len(text) - 1

    def add(self, kind: int, name: str, size_or_type: int, rest: bytes = b"", *, count: int = 0, flag: int = 0) -> int:
        info = flag << 31 | kind << 24 | count
        self.types += struct.pack("<III", self.name(name), info, size_or_type) + rest
        self.count += 1
        return self.count

    def integer(self, name: str, size: int) -> int:
        return self.add(INTEGER, name, size, struct.pack("<I", size * 8))

    def aggregate(self, kind: int, name: str, size: int, members: Members, *, flag: int = 0) -> int:
        rest = b"".join(struct.pack("<III", self.name(member), type_id, at) for member, type_id, at in members)
        return self.add(kind, name, size, rest, count=len(members), flag=flag)

    def enum(self, name: str, values: dict[str, int]) -> int:
        rest = b"".join(struct.pack("<Ii", self.name(key), value) for key, value in values.items())
        return self.add(ENUM, name, 4, rest, count=len(values))

    def file(self) -> bytes:
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.names))
        return header + self.types + self.names
