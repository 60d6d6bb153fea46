"""Captured payload: `struct fragment` of bpf/payload.h with its bytes, as one record of the ring `payloads`."""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np

FRAGMENT = np.dtype(
    [
        ("start_ns", np.uint64),  # CLOCK_MONOTONIC at the call's entry: that of its event, too
        ("end_ns", np.uint64),  # at its exit
        ("inode", np.uint64),  # of the socket
        ("socket", np.uint64),  # the kernel's struct sock, as a number
        ("session", np.uint64),  # of TLS: what tells it from others of the process; 0 for plain text
        ("position", np.uint64),  # of the call's first byte in its stream; plain text: the lower 32 bits, as TCP counts
        ("call_bytes", np.uint64),  # bytes that the call moved
        ("offset", np.uint64),  # of the fragment's first byte from the call's first one
        ("process", np.uint32),
        ("thread", np.uint32),
        ("length", np.uint32),  # bytes that follow
        ("kind", np.uint8),  # EventKind: READ or WRITE
        ("protocol", np.uint8),  # ConversationProtocol
        ("flags", np.uint8),  # FragmentFlag
        ("unused", np.uint8),
    ]
)
"""The head of a record: 80 bytes, host byte order, no padding."""

_HEAD = struct.Struct("=QQQQQQQQIIIBBBB")


class ConversationProtocol(IntEnum):
    """What the kernel takes a connection's bytes for: `enum conversation_protocol`."""

    UNKNOWN = 0
    HTTP1 = 1
    HTTP2 = 2
    TLS = 3
    OTHER = 4


class FragmentFlag(IntFlag):
    """Facts about one fragment."""

    LAST = 1  # of its call


class Fragment(NamedTuple):
    """Some bytes of one call, or none when none were captured; the fields of FRAGMENT in its order, then the bytes."""

    start_ns: int
    end_ns: int
    inode: int
    socket: int
    session: int
    position: int
    call_bytes: int
    offset: int
    process: int
    thread: int
    length: int
    kind: int
    protocol: int
    flags: int
    unused: int
    data: bytes


class FragmentError(Exception):
    """Bytes that are no fragments."""


def read_fragment(memory: memoryview, at: int, room: int) -> Fragment:
    """The fragment that begins at `at` and has at most `room` bytes.

    Raises:
        FragmentError: It is longer than that.
    """
    if room < _HEAD.size:
        raise FragmentError(f"a fragment of {room} bytes, which is no whole head")
    head = _HEAD.unpack_from(memory, at)
    begin = at + _HEAD.size
    length = head[10]
    if length > room - _HEAD.size:
        raise FragmentError(f"a fragment of {length} bytes where there are {room - _HEAD.size}")
    return Fragment._make((*head, bytes(memory[begin : begin + length])))


def pack_fragments(fragments: Iterable[Fragment]) -> bytes:
    """Fragments one after the other, as recordings hold them."""
    return b"".join(part for fragment in fragments for part in (_HEAD.pack(*fragment[:-1]), fragment.data))


def unpack_fragments(packed: bytes) -> Iterator[Fragment]:
    """The fragments that `pack_fragments` made bytes of.

    Raises:
        FragmentError: The bytes are something else.
    """
    memory, at = memoryview(packed), 0
    while at < len(packed):
        fragment = read_fragment(memory, at, len(packed) - at)
        at += _HEAD.size + fragment.length
        yield fragment
