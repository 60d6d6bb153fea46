"""System calls that Python has no function for, and the structures that they take."""

import ctypes
import os
import socket
import struct
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine
NUMBERS = {
    "x86_64": {
        "preadv2": 327,
        "pwritev2": 328,
        "recvmmsg": 299,
        "sendmmsg": 307,
        "close_range": 436,
        "accept": 43,
        "accept4": 288,
        "splice": 275,
    },
    "aarch64": {
        "preadv2": 286,
        "pwritev2": 287,
        "recvmmsg": 243,
        "sendmmsg": 269,
        "close_range": 436,
        "accept": 202,
        "accept4": 242,
        "splice": 76,
    },
}[MACHINE]


class IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class MessageHeader(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.POINTER(IoVector)),
        ("vector_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class MessagesHeader(ctypes.Structure):
    _fields_ = (("header", MessageHeader), ("length", ctypes.c_uint32))


def call(name: str, *arguments: object) -> int:
    converted = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *converted)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return int(result)


def raw_address(address: tuple[Any, ...]) -> bytes:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    packed = socket.inet_pton(family, address[0])
    port = struct.pack("!H", address[1])
    if family == socket.AF_INET:
        return struct.pack("=H", family) + port + packed + bytes(8)
    return struct.pack("=H", family) + port + bytes(4) + packed + bytes(4)


class Messages:
    """An array of struct mmsghdr with its memory."""

    def __init__(self, sizes: list[int], names: list[bytes] | None = None) -> None:
        self.memory = [ctypes.create_string_buffer(b"x" * size, size or 1) for size in sizes]
        self.vectors = [IoVector(ctypes.addressof(m), size) for m, size in zip(self.memory, sizes, strict=True)]
        self.names = [ctypes.create_string_buffer(name, 28) for name in names or []]
        self.headers = (MessagesHeader * len(sizes))()
        for i, header in enumerate(self.headers):
            header.header.vector = ctypes.pointer(self.vectors[i])
            header.header.vector_length = 1
            if names is not None:
                header.header.name = ctypes.addressof(self.names[i])
                header.header.name_length = len(names[i])

    def lengths(self, count: int) -> list[int]:
        return [self.headers[i].length for i in range(count)]


def receive_messages(sock: socket.socket, messages: Messages) -> list[int]:
    return messages.lengths(call("recvmmsg", sock.fileno(), messages.headers, len(messages.headers), 0, None))


def send_messages(sock: socket.socket, messages: Messages) -> list[int]:
    return messages.lengths(call("sendmmsg", sock.fileno(), messages.headers, len(messages.headers), 0))
