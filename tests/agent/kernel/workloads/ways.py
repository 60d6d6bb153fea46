"""Every way to write to a socket and to read from one."""

import ctypes
import itertools
import os
import random
import socket
import tempfile
from collections.abc import Callable

from tests.agent.kernel.workloads.system_calls import IoVector, Messages, call, receive_messages, send_messages

SECRET = b"this was never sent"
"""Stands in buffers that the kernel leaves as they are."""
MOST_BUFFERS = os.sysconf("SC_IOV_MAX")


def with_vector(name: str, descriptor: int, size: int) -> int:
    """Make a call with one buffer of this size, at no offset of its own (-1)."""
    memory = ctypes.create_string_buffer(size)
    vector = IoVector(ctypes.addressof(memory), size)
    return call(name, descriptor, ctypes.byref(vector), 1, -1, -1, 0)


def read_ways(sock: socket.socket) -> dict[str, Callable[[int], int]]:
    """Every way to read up to n bytes; each gives the number of bytes that the kernel reported."""
    descriptor = sock.fileno()

    def splice(size: int) -> int:
        reader, writer = os.pipe()
        try:
            return call("splice", descriptor, None, writer, None, size, 0)
        finally:
            os.close(reader)
            os.close(writer)

    return {
        "READ": lambda size: len(os.read(descriptor, size)),
        "READV": lambda size: os.readv(descriptor, [bytearray(size // 2), bytearray(size - size // 2)]),
        "RECVFROM": lambda size: len(sock.recv(size)),
        "RECVMSG": lambda size: len(sock.recvmsg(size)[0]),
        "RECVMMSG": lambda size: sum(receive_messages(sock, Messages([size]))),
        "PREADV2": lambda size: with_vector("preadv2", descriptor, size),
        "SPLICE_READ": splice,
    }


def write_ways(sock: socket.socket) -> dict[str, Callable[[int], int]]:
    """Every way to write n bytes; each gives the number of bytes that the kernel reported."""
    descriptor = sock.fileno()

    def sendfile(size: int) -> int:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(size))
            file.flush()
            return os.sendfile(descriptor, file.fileno(), 0, size)

    def splice(size: int) -> int:
        reader, writer = os.pipe()
        try:
            os.write(writer, bytes(size))
            return call("splice", reader, None, descriptor, None, size, 0)
        finally:
            os.close(reader)
            os.close(writer)

    return {
        "WRITE": lambda size: os.write(descriptor, bytes(size)),
        "WRITEV": lambda size: os.writev(descriptor, [bytes(size // 2), bytes(size - size // 2)]),
        "SENDTO": lambda size: sock.send(bytes(size)),
        "SENDMSG": lambda size: sock.sendmsg([bytes(size)]),
        "SENDMMSG": lambda size: sum(send_messages(sock, Messages([size // 2, size - size // 2]))),
        "PWRITEV2": lambda size: with_vector("pwritev2", descriptor, size),
        "SENDFILE": sendfile,
        "SPLICE_WRITE": splice,
    }


def piece_sizes(size: int) -> list[int]:
    """Lengths of buffers for a call that together have `size` bytes: mostly short ones, some empty."""
    rng, sizes = random.Random(size), list[int]()
    while size and len(sizes) < MOST_BUFFERS - 1:
        sizes.append(min(size, rng.choice([0, 1, 3, 9, 10, 30, 200, 511, 600])))
        size -= sizes[-1]
    return [*sizes, size]


def sender_of(sock: socket.socket) -> dict[str, Callable[[bytes], int]]:
    """Ways to write given bytes."""
    descriptor = sock.fileno()

    def in_three(data: bytes) -> list[bytes]:
        return [data[: len(data) // 3], b"", data[len(data) // 3 : len(data) // 2], data[len(data) // 2 :]]

    def in_pieces(data: bytes) -> list[bytes | memoryview]:
        ends = list(itertools.accumulate(piece_sizes(len(data)), initial=0))
        # Some lie side by side, as they do in the stream.
        sources: list[bytes | memoryview] = [data, memoryview(data)]
        rng = random.Random(len(data))
        return [rng.choice(sources)[begin:end] for begin, end in itertools.pairwise(ends)]

    def in_tens(data: bytes) -> list[bytes]:
        return [data[begin : begin + 10] for begin in range(0, len(data), 10)]

    def adjacent(data: bytes) -> int:
        """The first and the last nine bytes lie side by side in memory."""
        ends = memoryview(data[:9] + data[-9:])
        return os.writev(descriptor, [ends[:9], data[9:-9], ends[9:]])

    def sendmmsg(data: bytes) -> int:
        messages = Messages([len(data)])
        ctypes.memmove(messages.memory[0], data, len(data))
        return sum(send_messages(sock, messages))

    def sendfile(data: bytes) -> int:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            return os.sendfile(descriptor, file.fileno(), 0, len(data))

    return {
        "WRITE": lambda data: os.write(descriptor, data),
        "WRITEV": lambda data: os.writev(descriptor, in_three(data)),
        "SENDTO": sock.send,
        "SENDMSG": lambda data: sock.sendmsg(in_three(data)),
        "PWRITEV2": lambda data: os.pwritev(descriptor, in_three(data), -1),
        "SENDMMSG": sendmmsg,
        "SENDFILE": sendfile,
        "ADJACENT": adjacent,
        "PIECES": lambda data: os.writev(descriptor, in_pieces(data)),
        "TENS": lambda data: os.writev(descriptor, in_tens(data)),
    }


def receiver_of(sock: socket.socket) -> dict[str, Callable[[int], bytes]]:
    """Ways to read up to n bytes."""
    descriptor = sock.fileno()

    def in_three(size: int) -> list[bytearray]:
        return [bytearray(size // 3), bytearray(), bytearray(size // 2 - size // 3), bytearray(size - size // 2)]

    def in_pieces(size: int) -> list[bytearray]:
        return list(map(bytearray, piece_sizes(size)))

    def into(read: Callable[[list[bytearray]], int], parts: list[bytearray]) -> bytes:
        count = read(parts)
        return b"".join(parts)[:count]

    return {
        "READ": lambda size: os.read(descriptor, size),
        "READV": lambda size: into(lambda parts: os.readv(descriptor, parts), in_three(size)),
        "RECVFROM": sock.recv,
        "RECVMSG": lambda size: into(lambda parts: sock.recvmsg_into(parts)[0], in_three(size)),
        "PREADV2": lambda size: into(lambda parts: os.preadv(descriptor, parts, -1), in_three(size)),
        "PIECES": lambda size: into(lambda parts: os.readv(descriptor, parts), in_pieces(size)),
        "TRUNCATED": lambda size: bytes(sock.recv_into(bytearray(SECRET * size)[:size], size, socket.MSG_TRUNC)),
    }
