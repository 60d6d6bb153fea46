"""Subprograms: functions of bpf/ that are called, not inlined, and that the kernel verifies by themselves.

Runs in the distribution's Python as well: standard library only.

What the compiler (BCC) makes of each function stands alone, and it resolves no calls between them. So a program calls a
subprogram as if it were a kernel function, by a number that the kernel does not have; here the subprogram is put behind
the program, and the call made one of it. The kernel takes it for a global function, which it verifies once and for any
argument, because a description of its type (BTF) says that it is one.

Sources: the kernel's Documentation/bpf/btf.rst and kernel/bpf/verifier.c (`do_check_subprogs`), since Linux 5.6.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SUBPROGRAMS: Final = ("walk_transfer", "walk_tls", "walk_go")
"""Their names in bpf/."""

_FIRST_NUMBER: Final = 0x70000000
_INSTRUCTION: Final = struct.Struct("=BBhi")
_CALL: Final = 0x85  # BPF_JMP | BPF_CALL
_OF_SUBPROGRAM: Final = 1 << 4  # BPF_PSEUDO_CALL, in the upper half of the second byte

_BTF_HEADER: Final = struct.Struct("=HBBIIIII")
_BTF_MAGIC: Final = 0xEB9F
_TYPE: Final = struct.Struct("=III")  # name, kind and more, size or type
_INTEGER, _FUNCTION, _PROTOTYPE = 1 << 24, 12 << 24, 13 << 24
_GLOBAL: Final = 1
_SIGNED: Final = 1 << 24
_INT, _U64, _PROGRAM_PROTOTYPE, _SUBPROGRAM_PROTOTYPE, _PROGRAM = range(1, 6)  # numbers of types, in their order


@dataclass(frozen=True)
class Linked:
    """A program with the subprograms that it calls."""

    instructions: bytes
    functions: tuple[tuple[int, int], ...]
    """First instruction and type, as `describe` numbers them, of the program and its subprograms; empty without any."""


def defines() -> dict[str, str]:
    """Macros of the C text: what each subprogram is called by."""
    return {f"SUBPROGRAM_{name}": hex(_FIRST_NUMBER + number) for number, name in enumerate(SUBPROGRAMS)}


def link(program: bytes, subprograms: Mapping[str, bytes]) -> Linked:
    """Put the subprograms that a program calls behind it, each once.

    Args:
        program: Instructions.
        subprograms: The instructions of every one of `SUBPROGRAMS`.
    """
    code = bytearray(program)
    begins: dict[int, int] = {}
    at = 0
    while at < len(code):
        kind, registers, offset, number = _INSTRUCTION.unpack_from(code, at)
        if kind == _CALL and not registers and 0 <= number - _FIRST_NUMBER < len(SUBPROGRAMS):
            which = number - _FIRST_NUMBER
            if which not in begins:
                begins[which] = len(code) // _INSTRUCTION.size
                code += subprograms[SUBPROGRAMS[which]]
            distance = begins[which] - at // _INSTRUCTION.size - 1
            _INSTRUCTION.pack_into(code, at, kind, _OF_SUBPROGRAM, offset, distance)
        at += _INSTRUCTION.size
    called = tuple((begin, _PROGRAM + 1 + which) for which, begin in begins.items())
    return Linked(bytes(code), ((0, _PROGRAM), *called) if called else ())


def describe() -> bytes:
    """The types of programs and subprograms, as BTF."""
    names = bytearray(b"\0")

    def named(name: str) -> int:
        names.extend(name.encode() + b"\0")
        return len(names) - len(name) - 1

    types = [
        _TYPE.pack(named("int"), _INTEGER, 4) + struct.pack("=I", _SIGNED | 32),
        _TYPE.pack(named("u64"), _INTEGER, 8) + struct.pack("=I", 64),
        _TYPE.pack(0, _PROTOTYPE, _INT),
        _TYPE.pack(0, _PROTOTYPE | 1, _INT) + struct.pack("=II", named("number"), _U64),
        _TYPE.pack(named("program"), _FUNCTION | _GLOBAL, _PROGRAM_PROTOTYPE),
        *(_TYPE.pack(named(name), _FUNCTION | _GLOBAL, _SUBPROGRAM_PROTOTYPE) for name in SUBPROGRAMS),
    ]
    written = b"".join(types)
    header = _BTF_HEADER.pack(_BTF_MAGIC, 1, 0, _BTF_HEADER.size, 0, len(written), len(written), len(names))
    return header + written + bytes(names)
