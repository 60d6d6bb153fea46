"""One end of a connection, told by JSON lines on standard input what to do; each is answered by one line.

Runs with `python -I exchange.py VERSION`, VERSION 4 or 6. Sockets are named by the one who asks.
"""

import fcntl
import json
import os
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

sockets: dict[str, socket.socket] = {}
FAMILY = {"4": socket.AF_INET, "6": socket.AF_INET6}[sys.argv[1]]
PATIENCE_SECONDS = float(os.environ.get("PYROVER_PATIENCE_SECONDS", "180"))
"""A bound on waiting, not an expectation; `make vm-test` waits longer."""


def information(name: str) -> dict[str, int]:
    """What the kernel counts for a TCP connection (struct tcp_info, include/uapi/linux/tcp.h)."""
    raw = sockets[name].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    words = struct.unpack_from("=8B24I", raw)[8:]
    segs_out, segs_in = struct.unpack_from("=II", raw, 8 + 24 * 4 + 4 * 8)
    return {
        "rtt": words[15],
        "rtt_variation": words[16],
        "mss": words[2],
        "total_retransmits": words[23],
        "segments_out": segs_out,
        "segments_in": segs_in,
        "retransmitted_bytes": struct.unpack_from("=Q", raw, 208)[0],
        "send_window": struct.unpack_from("=I", raw, 228)[0],
        "state": raw[0],
    }


def inode(name: str) -> int:
    """The socket's inode number."""
    return os.fstat(sockets[name].fileno()).st_ino


def listen(host: str, receive_buffer: int = 0, name: str = "listener") -> dict[str, Any]:
    """Listen on a port of the kernel's choice."""
    sockets[name] = socket.socket(FAMILY, socket.SOCK_STREAM)
    if receive_buffer:
        sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sockets[name].bind((host, 0))
    sockets[name].listen()
    return {"port": sockets[name].getsockname()[1]}


def accept(name: str = "connection", listener: str = "listener") -> dict[str, Any]:
    """Take the next connection."""
    sockets[name], address = sockets[listener].accept()
    return {"inode": inode(name), "port": address[1]}


def connect(host: str, port: int, name: str = "connection", send_buffer: int = 0) -> dict[str, Any]:
    """Connect, blocking; "error" is the errno of a failure."""
    sockets[name] = socket.socket(FAMILY, socket.SOCK_STREAM)
    if send_buffer:
        sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    sockets[name].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answer = {"inode": inode(name)}
    try:
        sockets[name].connect((host, port))
    except OSError as error:
        return {**answer, "error": error.errno}
    return {**answer, "port": sockets[name].getsockname()[1], **information(name)}


def datagrams(host: str, port: int, sizes: list[int], name: str = "datagrams") -> dict[str, Any]:
    """Send datagrams from one socket, each by a call of its own."""
    sockets.setdefault(name, socket.socket(FAMILY, socket.SOCK_DGRAM))
    for size in sizes:
        sockets[name].sendto(bytes(size), (host, port))
    return {"inode": inode(name), "port": sockets[name].getsockname()[1]}


def bind(host: str, name: str = "datagrams") -> dict[str, Any]:
    """Wait for datagrams on a port of the kernel's choice."""
    sockets[name] = socket.socket(FAMILY, socket.SOCK_DGRAM)
    sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sockets[name].bind((host, 0))
    return {"inode": inode(name), "port": sockets[name].getsockname()[1]}


def receive(count: int, name: str = "datagrams") -> dict[str, Any]:
    """Receive datagrams."""
    return {"bytes": [len(sockets[name].recv(65536)) for _ in range(count)]}


def write(size: int, name: str = "connection", times: int = 1) -> dict[str, Any]:
    """Send by calls that each move all of it."""
    data = bytes(size)
    moved = [sockets[name].send(data) for _ in range(times)]
    return {"moved": moved}


def write_until_full(size: int, name: str = "connection") -> dict[str, Any]:
    """Send without waiting until the socket takes no more."""
    data = bytes(size)
    moved = 0
    while True:
        try:
            moved += sockets[name].send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return {"moved": moved}


def read(size: int, name: str = "connection") -> dict[str, Any]:
    """Read so many bytes; how many calls it took."""
    left, calls = size, 0
    while left:
        data = sockets[name].recv(min(left, 1 << 20))
        assert data, f"the peer closed with {left} bytes to come"
        left -= len(data)
        calls += 1
    return {"calls": calls}


def read_to_end(name: str = "connection") -> dict[str, Any]:
    """Read until the peer has closed."""
    total = 0
    while data := sockets[name].recv(1 << 20):
        total += len(data)
    return {"bytes": total}


def shut(name: str = "connection") -> dict[str, Any]:
    """Say that nothing more will be sent."""
    sockets[name].shutdown(socket.SHUT_WR)
    return {}


def serve(count: int, listener: str = "listener") -> dict[str, Any]:
    """Accept connections one after the other; each brings a byte, and is closed from here first."""
    for _ in range(count):
        connection, _ = sockets[listener].accept()
        with connection:
            assert connection.recv(1) == b"x"
    return {}


def churn(host: str, port: int, count: int) -> dict[str, Any]:
    """Connect, send a byte, and wait until the peer has closed, again and again."""
    for _ in range(count):
        with socket.socket(FAMILY, socket.SOCK_STREAM) as connection:
            connection.connect((host, port))
            connection.send(b"x")
            assert connection.recv(1) == b""
    return {}


def close(name: str = "connection") -> dict[str, Any]:
    """Close; TCP_INFO as it was then."""
    known = information(name) if sockets[name].type == socket.SOCK_STREAM else {}
    sockets.pop(name).close()
    return known


def _until(condition: Callable[[], bool], what: str) -> None:
    """As tests/waiting.py has it, which is out of reach of a program that runs by itself."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(0.01)


def _bytes_in(name: str, queue: int) -> int:
    """Bytes in a queue of a socket: TIOCOUTQ or FIONREAD."""
    (size,) = struct.unpack("i", fcntl.ioctl(sockets[name], queue, b"\0" * 4))
    return int(size)


def await_information(field: str, least: int, name: str = "connection") -> dict[str, Any]:
    """Wait until the kernel has counted so many."""
    _until(lambda: information(name)[field] >= least, f"{field} of {least}")
    return information(name)


def await_closed_window(name: str = "connection") -> dict[str, Any]:
    """Wait until the peer has said that it takes no more."""
    _until(lambda: not information(name)["send_window"], "the peer closes its window")
    return information(name)


def await_sent(name: str = "connection") -> dict[str, Any]:
    """Wait until the peer has acknowledged everything."""
    _until(lambda: not _bytes_in(name, termios.TIOCOUTQ), "the peer acknowledges")
    return information(name)


def await_queued(size: int, name: str = "connection") -> dict[str, Any]:
    """Wait until so many bytes wait to be read."""
    _until(lambda: _bytes_in(name, termios.FIONREAD) >= size, f"{size} bytes come")
    return {}


def pause(seconds: float) -> dict[str, Any]:
    """Let time pass: for durations that are to be at least so long."""
    time.sleep(seconds)
    return {}


ACTIONS = {
    action.__name__: action
    for action in (
        listen, accept, connect, datagrams, bind, receive, write, write_until_full, read, read_to_end, shut, close,
        serve, churn, await_information, await_closed_window, await_sent, await_queued, pause, information,
    )
}  # fmt: skip


def main() -> None:
    """Serve standard input until it ends."""
    print(json.dumps({"process": os.getpid()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(ACTIONS[request.pop("action")](**request)), flush=True)


if __name__ == "__main__":
    main()
