"""Workloads of connections whose bytes matter."""

import contextlib
import itertools
import os
import select
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.agent.kernel.workloads.sockets import PATIENCE_SECONDS, await_bytes, describe, listen, tcp_pair
from tests.agent.kernel.workloads.system_calls import MACHINE
from tests.agent.kernel.workloads.ways import read_ways, receiver_of, sender_of, write_ways


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
    attempts: tuple[Callable[[], bytes], ...] = (lambda: client.recv(10), lambda: os.read(client.fileno(), 10))
    for attempt in attempts:
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
