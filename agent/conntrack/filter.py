"""A program for the kernel that lets only translated connections through to a socket of ctnetlink events.

Without it every connection of the machine would wake the agent. It is a classic socket filter (SO_ATTACH_FILTER) with
the extensions that find netlink attributes: Documentation/networking/filter.rst of the kernel. It compares the
destination of the original direction with the source of the replies, address and port, rather than look at the status
bit IPS_DST_NAT, which IPVS leaves alone.
"""

import ctypes
import socket
import struct
from typing import Final

from agent.conntrack.ctnetlink import (
    DESTINATION_ADDRESS,
    DESTINATION_PORT,
    SOURCE_ADDRESS,
    SOURCE_PORT,
    TUPLE_IP,
    TUPLE_ORIGINAL,
    TUPLE_PROTOCOL,
    TUPLE_REPLY,
)

# Operation codes: include/uapi/linux/filter.h and bpf_common.h.
_LOAD_NUMBER: Final = 0x00  # A = k
_LOAD_INDEX: Final = 0x01  # X = k
_LOAD_BYTE: Final = 0x30  # A = byte at k
_LOAD_WORD: Final = 0x20  # A = word at k, or an extension by a special k
_LOAD_WORD_AT_INDEX: Final = 0x40  # A = word at X + k
_LOAD_HALF_AT_INDEX: Final = 0x48  # A = half word at X + k
_LOAD_STORED_INDEX: Final = 0x61  # X = M[k]
_STORE: Final = 0x02  # M[k] = A
_INDEX_FROM_A: Final = 0x07  # X = A
_IF_EQUAL_NUMBER: Final = 0x15
_IF_EQUAL_INDEX: Final = 0x1D
_RETURN: Final = 0x06

_FIND_ATTRIBUTE: Final = 0xFFFFF000 + 12  # SKF_AD_OFF + SKF_AD_NLATTR: A = where attribute X is, from A on; or 0
_FIND_NESTED: Final = 0xFFFFF000 + 16  # SKF_AD_NLATTR_NEST: the same inside of the attribute at A
_FAMILY_AT: Final = 16  # nfgen_family, behind the netlink header
_ATTRIBUTES_AT: Final = 20
_VALUE: Final = 4  # an attribute's value stands behind its length and type
_REPLY_SLOT: Final = 4  # of M: where the reply's address is; the slots before it hold the words of the original's
_EVERYTHING: Final = 0xFFFFFFFF
_ADDRESS_LENGTHS: Final = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}

_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION = struct.Struct("=HBBI")  # sock_filter: code, jump if true, jump if false, k
_Instruction = tuple[int, str, str, int]


def attach(events: socket.socket) -> None:
    """Let only messages about translated connections through to a socket.

    Raises:
        OSError: the kernel refuses the program.
    """
    code = program()
    buffer = ctypes.create_string_buffer(code)
    size = len(code) // _INSTRUCTION.size
    events.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", size, ctypes.addressof(buffer)))


def program() -> bytes:
    """The instructions, as an array of sock_filter."""
    listing: list[_Instruction | str] = []
    for family, length in _ADDRESS_LENGTHS.items():
        listing += [
            (_LOAD_BYTE, "", "", _FAMILY_AT),
            (_IF_EQUAL_NUMBER, "", f"not {family}", family),
            *_find(TUPLE_ORIGINAL, TUPLE_IP, DESTINATION_ADDRESS[length]),
            *(
                instruction
                for word in range(length // 4)
                for instruction in ((_LOAD_WORD_AT_INDEX, "", "", _VALUE + 4 * word), (_STORE, "", "", word))
            ),
            *_find(TUPLE_REPLY, TUPLE_IP, SOURCE_ADDRESS[length]),
            (_STORE, "", "", _REPLY_SLOT),
        ]
        for word in range(length // 4):
            listing += [
                (_LOAD_STORED_INDEX, "", "", _REPLY_SLOT),
                (_LOAD_WORD_AT_INDEX, "", "", _VALUE + 4 * word),
                (_LOAD_STORED_INDEX, "", "", word),
                (_IF_EQUAL_INDEX, "", "accept", 0),
            ]
        listing += [f"not {family}"]
    listing += [
        *_find(TUPLE_ORIGINAL, TUPLE_PROTOCOL, DESTINATION_PORT),
        (_LOAD_HALF_AT_INDEX, "", "", _VALUE),
        (_STORE, "", "", 0),
        *_find(TUPLE_REPLY, TUPLE_PROTOCOL, SOURCE_PORT),
        (_LOAD_HALF_AT_INDEX, "", "", _VALUE),
        (_LOAD_STORED_INDEX, "", "", 0),
        (_IF_EQUAL_INDEX, "drop", "accept", 0),
        "accept",
        (_RETURN, "", "", _EVERYTHING),
        "drop",
        (_RETURN, "", "", 0),
    ]
    return _assemble(listing)


def _find(outer: int, middle: int, inner: int) -> list[_Instruction]:
    """Set A and X to where an attribute begins; a message without it is dropped."""
    found: list[_Instruction] = [(_LOAD_NUMBER, "", "", _ATTRIBUTES_AT)]
    for number, extension in ((outer, _FIND_ATTRIBUTE), (middle, _FIND_NESTED), (inner, _FIND_NESTED)):
        found += [
            (_LOAD_INDEX, "", "", number),
            (_LOAD_WORD, "", "", extension),
            (_IF_EQUAL_NUMBER, "drop", "", 0),
        ]
    return [*found, (_INDEX_FROM_A, "", "", 0)]


def _assemble(listing: list[_Instruction | str]) -> bytes:
    """Labels are strings; a jump without a label goes on."""
    labels: dict[str, int] = {}
    instructions: list[_Instruction] = []
    for line in listing:
        if isinstance(line, str):
            labels[line] = len(instructions)
        else:
            instructions.append(line)
    code = bytearray()
    for at, (operation, if_true, if_false, operand) in enumerate(instructions, start=1):
        jumps = (labels[label] - at if label else 0 for label in (if_true, if_false))
        code += _INSTRUCTION.pack(operation, *jumps, operand)
    return bytes(code)
