"""Known workloads, each in a process of its own: `python workloads.py NAME [JSON arguments]`.

The process says "ready", waits for a line on its standard input, does the work, prints what it did as one JSON object,
and ends. Everything that it prints is what the kernel told it (byte counts, ports, inodes), so that a test compares two
independent sources.
"""

import contextlib
import ctypes
import errno
import fcntl
import itertools
import json
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IPPROTO_MPTCP = 262  # not named by Python 3.11
SECRET = b"this was never sent"
"""Stands in buffers that the kernel leaves as they are."""
MOST_BUFFERS = os.sysconf("SC_IOV_MAX")
PATIENCE_SECONDS = 120.0
"""For what the kernel does in its own time, a bound on waiting."""
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


def describe(sock: socket.socket) -> dict[str, Any]:
    """What this process knows of one of its sockets."""
    status = os.fstat(sock.fileno())
    result: dict[str, Any] = {"inode": status.st_ino, "descriptor": sock.fileno(), "local": sock.getsockname()[:2]}
    with contextlib.suppress(OSError):
        result["remote"] = sock.getpeername()[:2]
    return result


def family_of(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def listen(host: str, backlog: int = 16) -> socket.socket:
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    if host == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((host, 0))
    sock.listen(backlog)
    return sock


def tcp_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Client and server of one connection to `host`; "::ffff:127.0.0.1" is IPv4 spoken by IPv6 sockets."""
    with listen("::" if host.startswith("::ffff:") else host) as listener:
        client = socket.socket(family_of(host), socket.SOCK_STREAM)
        client.connect((host, listener.getsockname()[1]))
        server, _ = listener.accept()
    return client, server


def read_ways(sock: socket.socket) -> dict[str, Callable[[int], int]]:
    """Every way to read up to n bytes; each gives the number of bytes that the kernel reported."""
    descriptor = sock.fileno()

    def with_vector(name: str, size: int) -> int:
        memory = ctypes.create_string_buffer(size)
        vector = IoVector(ctypes.addressof(memory), size)
        return call(name, descriptor, ctypes.byref(vector), 1, -1, -1, 0)

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
        "PREADV2": lambda size: with_vector("preadv2", size),
        "SPLICE_READ": splice,
    }


def write_ways(sock: socket.socket) -> dict[str, Callable[[int], int]]:
    """Every way to write n bytes; each gives the number of bytes that the kernel reported."""
    descriptor = sock.fileno()

    def with_vector(name: str, size: int) -> int:
        memory = ctypes.create_string_buffer(size)
        vector = IoVector(ctypes.addressof(memory), size)
        return call(name, descriptor, ctypes.byref(vector), 1, -1, -1, 0)

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
        "PWRITEV2": lambda size: with_vector("pwritev2", size),
        "SENDFILE": sendfile,
        "SPLICE_WRITE": splice,
    }


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(condition)
        time.sleep(0.001)


def await_bytes(sock: socket.socket, size: int) -> None:
    """Wait until so many bytes are there to be read: they may come later than the call returns that sent them."""
    until(lambda: struct.unpack("=i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0] >= size)


def await_answer(sock: socket.socket) -> None:
    """Wait until a connect that is under way has its outcome."""
    if not select.select([], [sock], [], PATIENCE_SECONDS)[1]:
        raise TimeoutError("no outcome of a connect")


def transfers(host: str, sizes: list[int]) -> dict[str, Any]:
    """Each way to write, read back by recv; each way to read, written by send."""
    client, server = tcp_pair(host)
    wrote: dict[str, list[int]] = {}
    read: dict[str, list[int]] = {}
    for name, write in write_ways(client).items():
        for size in sizes:
            wrote.setdefault(name, []).append(write(size))
            left = size
            while left:
                left -= len(server.recv(left, socket.MSG_WAITALL))
    for name, way in read_ways(client).items():
        for size in sizes:
            server.sendall(bytes(size))
            await_bytes(client, size)
            read.setdefault(name, []).append(way(size))
    return {"client": describe(client), "server": describe(server), "wrote": wrote, "read": read}


def piece_sizes(size: int) -> list[int]:
    """Lengths of buffers for a call that together have `size` bytes: mostly short ones, some empty."""
    rng, sizes = random.Random(size), []
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
        views, rng = memoryview(data), random.Random(len(data))
        return [rng.choice([data, views])[begin:end] for begin, end in itertools.pairwise(ends)]

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


def speak(
    path: str, writes: list[list[Any]], reads: list[list[Any]], *, stops: bool = False, shuts: bool = False
) -> dict[str, Any]:
    """Send the bytes of a file in parts, (way, size) each, over and over; read each by other parts.

    With `stops`, say "part" and wait for a line after the first part was sent and read. With `shuts`, send the end of
    the stream with the last part, before that is read.
    """
    data = Path(path).read_bytes()
    client, server = tcp_pair("127.0.0.1")
    senders, receivers = sender_of(client), receiver_of(server)
    write_turns, read_turns = itertools.cycle(writes), itertools.cycle(reads)
    sent = 0

    def receive(size: int) -> None:
        while size:
            way, most = next(read_turns)
            size -= len(receivers[way](min(most, size)))

    while sent < len(data):
        way, size = next(write_turns)
        end = min(sent + size, len(data))
        reader = threading.Thread(target=receive, args=(end - sent,))
        is_last = shuts and end == len(data)
        if not is_last:
            reader.start()
        while sent < end:
            sent += senders[way](data[sent:end])
        if is_last:
            client.shutdown(socket.SHUT_WR)
            reader.start()
        reader.join()
        if stops:
            stops = False
            sys.stdout.write("part\n")
            sys.stdout.flush()
            sys.stdin.readline()
    return {"client": describe(client), "server": describe(server)}


def converse(path: str, turns: list[list[Any]]) -> dict[str, Any]:
    """Send the bytes of a file in turns, (by whom, bytes, most of a write, most of a read) each: "client" or "server".

    A turn is written and read before the next one begins.
    """
    data = memoryview(Path(path).read_bytes())
    client, server = tcp_pair("127.0.0.1")
    at = 0
    for who, size, write_size, read_size in turns:
        sender, receiver = (client, server) if who == "client" else (server, client)
        end = at + size
        left = size

        def receive(receiver: socket.socket, read_size: int) -> None:
            nonlocal left
            while left:
                left -= len(receiver.recv(min(read_size, left)))

        reader = threading.Thread(target=receive, args=(receiver, read_size))
        reader.start()
        while at < end:
            at += sender.send(data[at : min(at + write_size, end)])
        reader.join()
    return {"client": describe(client), "server": describe(server)}


def fill(size: int, part: int) -> dict[str, Any]:
    """Send bytes without waiting for room, over and over where there is none, while another thread reads them.

    It reads from when a write was refused for the first time: one that always reads in time would leave room for each.
    """
    client, server = tcp_pair("127.0.0.1")
    full = threading.Event()

    def receive() -> None:
        full.wait()
        while server.recv(1 << 20):
            pass

    reader = threading.Thread(target=receive)
    reader.start()
    client.setblocking(False)  # noqa: FBT003 # the name of the method says it
    sent = refused = 0
    data = bytes(part)
    while sent < size:
        try:
            sent += client.send(data[: size - sent])
        except BlockingIOError:
            refused += 1
            full.set()
    full.set()
    ends = {"client": describe(client), "server": describe(server)}
    client.shutdown(socket.SHUT_WR)
    reader.join()
    client.close()
    server.close()
    return {**ends, "refused": refused, "sent": sent}


def read_before_it_is_sent(path: str) -> dict[str, Any]:
    """Send half of the bytes of a file and read them; then begin to read the rest, and send it when a line comes.

    The second read is that of a thread of its own, whose id is said before the line is waited for.
    """
    data = Path(path).read_bytes()
    half = len(data) // 2
    client, server = tcp_pair("127.0.0.1")
    client.send(data[:half])
    server.recv(half)
    reader = threading.Thread(target=server.recv, args=(half,))
    reader.start()
    sys.stdout.write(f"{reader.native_id}\n")
    sys.stdout.flush()
    sys.stdin.readline()
    client.send(data[half:])
    reader.join()
    return {"client": describe(client), "server": describe(server)}


def nothing_moved(host: str) -> dict[str, Any]:
    """Calls that move no payload: looks, failures, end of stream, writes of nothing."""
    client, server = tcp_pair(host)
    client.setblocking(False)  # noqa: FBT003 # the name of the method says it
    for attempt in (lambda: client.recv(10), lambda: os.read(client.fileno(), 10)):
        with contextlib.suppress(BlockingIOError):
            attempt()
    server.send(b"12345")
    await_bytes(client, 5)
    looked = len(client.recv(5, socket.MSG_PEEK))
    looked += len(client.recvmsg(5, 0, socket.MSG_PEEK)[0])
    got = len(client.recv(5))
    client.send(b"")
    server.close()
    select.select([client], [], [], PATIENCE_SECONDS)
    ended = len(client.recv(5))
    client.close()
    return {"looked": looked, "got": got, "ended": ended}


def others() -> dict[str, Any]:
    """Files, pipes, Unix sockets, netlink sockets: the same system calls, nothing for the ring."""
    counts = 0
    with tempfile.TemporaryFile() as file:
        counts += os.write(file.fileno(), b"file")
        os.lseek(file.fileno(), 0, 0)
        counts += len(os.read(file.fileno(), 10))
        counts += os.preadv(file.fileno(), [bytearray(4)], 0)
    reader, writer = os.pipe()
    counts += os.write(writer, b"pipe")
    counts += os.readv(reader, [bytearray(4)])
    os.close(reader)
    os.close(writer)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        left, right = socket.socketpair(socket.AF_UNIX, kind)
        counts += left.send(b"unix")
        counts += len(right.recv(4))
        counts += left.sendmsg([b"unix"])
        counts += len(right.recvmsg(4)[0])
        left.close()
        right.close()
    with tempfile.TemporaryDirectory() as folder:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"{folder}/socket")
        listener.listen()
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(f"{folder}/socket")
        server, _ = listener.accept()
        counts += client.send(b"unix")
        counts += len(server.recv(4))
        for sock in (client, server, listener):
            sock.close()
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    netlink.bind((0, 0))
    netlink.close()
    with contextlib.suppress(OSError):
        os.read(12345, 1)
    with contextlib.suppress(OSError):
        os.close(12345)
    return {"bytes": counts}


def connections(host: str, count: int) -> dict[str, Any]:
    """Connect, accept by both calls, close on both sides."""
    listener = listen("::" if host.startswith("::ffff:") else host)
    made = []
    for i in range(count):
        client = socket.socket(family_of(host), socket.SOCK_STREAM)
        client.connect((host, listener.getsockname()[1]))
        if i % 2:
            descriptor = call("accept", listener.fileno(), None, None)
        else:
            descriptor = call("accept4", listener.fileno(), None, None, socket.SOCK_CLOEXEC)
        server = socket.socket(fileno=descriptor)
        made.append({"client": describe(client), "server": describe(server)})
        client.close()
        server.close()
    listener.close()
    return {"made": made}


def listeners(host: str) -> dict[str, Any]:
    """Listen on a chosen port and without having chosen one; one has a second descriptor; one fails to listen."""
    chosen = listen(host)
    automatic = socket.socket(family_of(host), socket.SOCK_STREAM)
    automatic.listen()
    described = {"chosen": describe(chosen), "automatic": describe(automatic)}
    copy = os.dup(chosen.fileno())
    chosen.close()
    os.close(copy)
    pair = socket.socket(family_of(host), socket.SOCK_DGRAM)
    with contextlib.suppress(OSError):
        pair.listen()
    pair.close()
    automatic.close()
    return described


def failed_accept() -> dict[str, Any]:
    listener = listen("127.0.0.1")
    listener.setblocking(False)  # noqa: FBT003 # the name of the method says it
    code = 0
    try:
        listener.accept()
    except BlockingIOError as error:
        code = error.errno
    return {"errno": code}


def free_port(host: str) -> int:
    """A port that was just free: bound and not listening, so that a connect is refused and nobody else gets it."""
    return int(listen_not(host).getsockname()[1])


_kept: list[socket.socket] = []


def listen_not(host: str) -> socket.socket:
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.bind((host, 0))
    _kept.append(sock)
    return sock


def refused(host: str, *, blocking: bool) -> dict[str, Any]:
    port = free_port(host)
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    inode = os.fstat(sock.fileno()).st_ino
    descriptor = sock.fileno()
    sock.setblocking(blocking)
    code = sock.connect_ex((host, port))
    outcome = code
    if code == errno.EINPROGRESS:
        await_answer(sock)
        outcome = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sock.close()
    return {"code": code, "outcome": outcome, "port": port, "inode": inode, "descriptor": descriptor}


def full_listener(host: str) -> socket.socket:
    """A listener that answers no SYN: its queue of one is full."""
    listener = listen(host, 0)
    filler = socket.socket(family_of(host), socket.SOCK_STREAM)
    filler.connect(listener.getsockname()[:2])
    _kept.extend((listener, filler))
    # The filler may be connected before it is in the queue.
    until(lambda: waiting_to_be_accepted(listener) == 1)
    return listener


def waiting_to_be_accepted(listener: socket.socket) -> int:
    """Connections in a listener's queue: tcpi_unacked of struct tcp_info (include/uapi/linux/tcp.h)."""
    return int(struct.unpack_from("=I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0])


def timed_out(host: str, *, blocking: bool) -> dict[str, Any]:
    port = full_listener(host).getsockname()[1]
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
    inode = os.fstat(sock.fileno()).st_ino
    sock.setblocking(blocking)
    code = sock.connect_ex((host, port))
    outcome = code
    if code == errno.EINPROGRESS:
        await_answer(sock)
        outcome = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sock.close()
    return {"code": code, "outcome": outcome, "port": port, "inode": inode}


def abandoned(host: str) -> dict[str, Any]:
    """A connect that the application gives up before there is an answer."""
    port = full_listener(host).getsockname()[1]
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    inode = os.fstat(sock.fileno()).st_ino
    sock.setblocking(False)  # noqa: FBT003 # the name of the method says it
    code = sock.connect_ex((host, port))
    sock.close()
    return {"code": code, "port": port, "inode": inode}


def interrupted(host: str) -> dict[str, Any]:
    """A blocking connect that a signal interrupts, and that then times out by itself."""
    port = full_listener(host).getsockname()[1]
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
    inode = os.fstat(sock.fileno()).st_ino
    address = raw_address((host, port))
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)  # noqa: FBT003 # the kernel's own word for it
    # Again and again: the first one may come before the connect has begun.
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    code = 0
    if libc.connect(sock.fileno(), address, len(address)) < 0:
        code = ctypes.get_errno()
    signal.setitimer(signal.ITIMER_REAL, 0)
    await_answer(sock)
    outcome = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sock.close()
    return {"code": code, "outcome": outcome, "port": port, "inode": inode}


def nonblocking(host: str, count: int) -> dict[str, Any]:
    """Non-blocking connects that succeed, and are asked about again by a second connect."""
    listener = listen("::" if host.startswith("::ffff:") else host, count)
    made = []
    for _ in range(count):
        sock = socket.socket(family_of(host), socket.SOCK_STREAM)
        sock.setblocking(False)  # noqa: FBT003 # the name of the method says it
        code = sock.connect_ex((host, listener.getsockname()[1]))
        await_answer(sock)
        again = sock.connect_ex((host, listener.getsockname()[1]))
        made.append({"code": code, "again": again, **describe(sock)})
        sock.close()
    return {"made": made}


def nonblocking_between_cpus(count: int) -> dict[str, Any]:
    """Non-blocking connects whose answer is handled by another CPU than the one that asks, in a network of our own.

    On the usual loopback the answer comes while connect is still running. Receive packet steering hands packets to
    the other CPUs, so that either may come first.
    """
    unshare_network()
    with open("/sys/class/net/lo/queues/rx-0/rps_cpus", "w") as file:  # noqa: PTH123 # a kernel file
        file.write(f"{(1 << (os.cpu_count() or 1)) - 1:x}")
    listener = listen("127.0.0.1", 512)
    inodes = []
    pending = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)  # noqa: FBT003 # the name of the method says it
        sock.connect_ex(listener.getsockname())
        inodes.append(os.fstat(sock.fileno()).st_ino)
        pending.append(sock)
        if len(pending) == 128:
            drain(listener, pending)
    drain(listener, pending)
    return {"inodes": inodes, "namespace": os.stat("/proc/self/ns/net").st_ino}  # noqa: PTH116 # a kernel file


def unshare_network() -> None:
    """A network namespace of our own, with its loopback up and its /sys."""
    new_mounts, new_network, private, recursive = 0x20000, 0x40000000, 1 << 18, 0x4000
    if libc.unshare(new_mounts | new_network):
        raise OSError(ctypes.get_errno(), "unshare")
    libc.mount(b"none", b"/", None, ctypes.c_ulong(private | recursive), None)
    libc.mount(b"sysfs", b"/sys", b"sysfs", ctypes.c_ulong(0), None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS IFF_UP


def drain(listener: socket.socket, pending: list[socket.socket]) -> None:
    """Wait until every pending connect has its answer, take its other side, and close both."""
    for _ in pending:
        listener.accept()[0].close()
    for sock in pending:
        await_answer(sock)
        sock.close()
    pending.clear()


def unreachable() -> dict[str, Any]:
    """A connect that fails before a packet is made: no address of the other family, an address that is not ours."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    code = sock.connect_ex(("255.255.255.255", 9))
    return {"code": code, "inode": os.fstat(sock.fileno()).st_ino}


def multipath() -> dict[str, Any]:
    """A multipath TCP connection, which programs see as TCP; {} where the kernel has none."""
    try:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    except OSError:
        return {}
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    sent = client.send(b"multipath")
    received = len(server.recv(100))
    return {"client": describe(client), "server": describe(server), "sent": sent, "received": received}


def udp_server(host: str) -> socket.socket:
    """Bound to a port that it names itself, as servers are: the kernel remembers who chose."""
    while True:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as finder:
            finder.bind((host, 0))
            port = finder.getsockname()[1]
        server = socket.socket(family_of(host), socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            server.bind((host, port))
            return server


def udp_connected(host: str) -> dict[str, Any]:
    server = udp_server(host)
    client = socket.socket(family_of(host), socket.SOCK_DGRAM)
    client.connect(server.getsockname()[:2])
    sent = [client.send(b"12345"), os.write(client.fileno(), b"1234567")]
    got = [len(server.recv(100)), len(server.recv(100))]
    sent += send_messages(client, Messages([3, 4]))
    got += receive_messages(server, Messages([10, 10]))
    result = {"client": describe(client), "server": describe(server), "sent": sent, "got": got}
    client.close()
    server.close()
    return result


def udp_unconnected(host: str) -> dict[str, Any]:
    """Every call that names its peer, and mmsg with two peers."""
    servers = [udp_server(host) for _ in range(2)]
    client = socket.socket(family_of(host), socket.SOCK_DGRAM)
    addresses = [server.getsockname()[:2] for server in servers]
    client.sendto(b"first", addresses[0])
    client.sendmsg([b"second!"], [], 0, addresses[1])
    names = [raw_address(addresses[0]), raw_address(addresses[1]), raw_address(addresses[0])]
    sent = send_messages(client, Messages([3, 4, 5], names))
    got = [servers[0].recvfrom(100), servers[1].recvmsg(100)]
    unnamed = len(os.read(servers[0].fileno(), 100))
    room = Messages([100], [bytes(28)])
    many = receive_messages(servers[0], room)
    rest = receive_messages(servers[1], Messages([100], [bytes(28)]))
    return {
        "client": describe(client),
        "servers": [describe(server) for server in servers],
        "sent": [5, 7, *sent],
        "got": [len(got[0][0]), len(got[1][0])],
        "unnamed": unnamed,
        "many": many + rest,
    }


def udp_burst(host: str, count: int) -> dict[str, Any]:
    """One sendmmsg with many messages from an unconnected socket."""
    server = udp_server(host)
    client = socket.socket(family_of(host), socket.SOCK_DGRAM)
    name = raw_address(server.getsockname()[:2])
    sent = send_messages(client, Messages([2] * count, [name] * count))
    return {"sent": len(sent)}


def udp_connect_results() -> dict[str, Any]:
    """UDP connects: fine, again to another peer, dissolved, refused by the kernel."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 1234))
    first = describe(sock)
    sock.connect(("127.0.0.1", 4321))
    second = describe(sock)
    libc.connect(sock.fileno(), bytes(16), 16)
    refused_sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    code = refused_sock.connect_ex(("255.255.255.255", 9))
    return {"first": first, "second": second, "code": code}


def closings() -> dict[str, Any]:
    """Every way in which a descriptor of a socket goes away by itself or with others."""
    pairs = [tcp_pair("127.0.0.1") for _ in range(3)]
    copied, replaced, ranged = (client for client, _ in pairs)
    result: dict[str, Any] = {
        name: describe(sock)
        for name, sock in zip(("copied", "replaced", "ranged"), (copied, replaced, ranged), strict=True)
    }
    copy = os.dup(copied.fileno())
    result["copied"]["copy"] = copy
    os.close(copy)
    copied.close()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, replaced.fileno(), inheritable=False)  # dup3
    os.dup2(null, replaced.fileno())  # nothing of ours is behind it any more
    high = 900
    os.dup2(ranged.fileno(), high, inheritable=False)
    call("close_range", high, 0xFFFFFFFF, 4)  # marks, closes nothing
    result["ranged"]["high"] = high
    call("close_range", high, 0xFFFFFFFF, 0)
    with contextlib.suppress(OSError):
        call("close_range", 5, 4, 0)  # invalid: closes nothing
    return result


def left_open(host: str) -> dict[str, Any]:
    """Sockets that the end of the process closes."""
    client, server = tcp_pair(host)
    _kept.extend((client, server))
    return {"client": describe(client), "server": describe(server)}


def killed() -> dict[str, Any]:
    """Several threads, one blocked in recv; the process kills itself."""
    client, _ = tcp_pair("127.0.0.1")
    threading.Thread(target=client.recv, args=(1,), daemon=True).start()
    _kept.append(client)
    sys.stdout.write(json.dumps({"client": describe(client)}) + "\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def threads_end(count: int) -> dict[str, Any]:
    """Threads that come and go: no event."""
    for _ in range(count):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    return {"count": count}


def parallel(threads: int, exchanges: int, size: int) -> dict[str, Any]:
    """Many connections at once, each with its own client and server thread."""
    listener = listen("127.0.0.1", threads)
    inodes: list[tuple[int, int]] = []

    def serve() -> None:
        sock, _ = listener.accept()
        for _ in range(exchanges):
            sock.recv(size, socket.MSG_WAITALL)
            sock.sendall(bytes(size))
        sock.close()

    def ask() -> None:
        sock = socket.create_connection(listener.getsockname())
        inodes.append((os.fstat(sock.fileno()).st_ino, sock.getsockname()[1]))
        for _ in range(exchanges):
            sock.sendall(bytes(size))
            sock.recv(size, socket.MSG_WAITALL)
        sock.close()

    running = [threading.Thread(target=work) for _ in range(threads) for work in (serve, ask)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return {"inodes": inodes}


def flood(count: int) -> dict[str, Any]:
    """Exactly `count` writes of one byte on a UDP socket that nobody reads."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(sink.getsockname())
    return {"sent": sum(sock.send(b"x") for _ in range(count))}


def blocked_readers(count: int) -> dict[str, Any]:
    """`count` threads blocked in recv at the same time, then served one byte each."""
    pairs = [tcp_pair("127.0.0.1") for _ in range(count)]
    got: list[int] = []
    running = [threading.Thread(target=lambda sock=client: got.append(len(sock.recv(1)))) for client, _ in pairs]
    for thread in running:
        thread.start()
    for thread in running:
        while not in_receive(thread.native_id or 0):
            pass
    for _, server in pairs:
        server.send(b"x")
    for thread in running:
        thread.join()
    return {"got": sum(got)}


def in_receive(thread: int) -> bool:
    """Whether a thread of this process waits inside recvfrom."""
    with open(f"/proc/self/task/{thread}/syscall") as file:  # noqa: PTH123 # a kernel file
        return file.read().split()[0] == {"x86_64": "45", "aarch64": "207"}[MACHINE]


def connecting(count: int) -> dict[str, Any]:
    """`count` non-blocking connects that get no answer, all at once, then given up."""
    port = full_listener("127.0.0.1").getsockname()[1]
    sockets = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)  # noqa: FBT003 # the name of the method says it
        sock.connect_ex(("127.0.0.1", port))
        sockets.append(sock)
    for sock in sockets:
        sock.close()
    return {"count": count}


def unseen_address() -> dict[str, Any]:
    """A connect whose sockaddr lies in memory that is not there yet: a fresh mapping of a file."""
    listener = listen("127.0.0.1")
    address = raw_address(listener.getsockname())
    with tempfile.TemporaryFile() as file:
        file.write(address.ljust(4096, b"\0"))
        file.flush()
        memory = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        pointer = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        code = libc.connect(sock.fileno(), ctypes.c_void_p(pointer), 16)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        code |= libc.connect(udp.fileno(), ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(other))), 16)
        return {"code": code, "tcp": describe(sock), "udp": describe(udp)}


def main() -> None:
    work = globals()[sys.argv[1]]
    arguments = json.loads(sys.argv[2])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(json.dumps(work(**arguments)) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
