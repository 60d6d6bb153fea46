"""The edges of a program that lead back to where it has been, as the verifier finds them before it looks at registers.

Source: `check_cfg` of the kernel's kernel/bpf/verifier.c before Linux 6.8, which lets a program go back by jumps alone.
"""

import struct
from collections.abc import Iterator

_INSTRUCTION = struct.Struct("=BBhi")
_WIDE_LOAD, _CALL, _EXIT, _ALWAYS = 0x18, 0x85, 0x95, 0x05
_JUMPS = {5, 6}  # classes BPF_JMP and BPF_JMP32
_CLASS = 7
_OF_SUBPROGRAM = 1


def loops_without_jump(program: bytes) -> list[tuple[int, int]]:
    """The places (from, to) at which a program comes back to an instruction by going on to the next one."""
    instructions = list(_INSTRUCTION.iter_unpack(program))
    under_way, seen = {0}, {0}
    path = [(0, _edges(instructions, 0))]
    found = []
    while path:
        at, edges = path[-1]
        for to, by_jump in edges:
            if to not in seen:
                seen.add(to)
                under_way.add(to)
                path.append((to, _edges(instructions, to)))
                break
            if to in under_way and not by_jump:
                found.append((at, to))
        else:
            under_way.discard(at)
            path.pop()
    return found


def _edges(instructions: list[tuple[int, int, int, int]], at: int) -> Iterator[tuple[int, bool]]:
    """Where an instruction leads to, and whether by a jump, in the order in which the verifier follows them."""
    code, registers, offset, number = instructions[at]
    if code == _EXIT:
        return
    if code == _CALL:
        yield at + 1, False
        if registers >> 4 == _OF_SUBPROGRAM:
            yield at + 1 + number, False
    elif code & _CLASS in _JUMPS:
        if code != _ALWAYS:
            yield at + 1, True
        yield at + 1 + offset, True
    else:
        yield at + (2 if code == _WIDE_LOAD else 1), False
