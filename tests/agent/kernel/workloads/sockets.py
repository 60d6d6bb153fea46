"""Sockets as workloads have them: what they know of theirs, and waiting for what the kernel does in its own time."""

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

from tests.agent.kernel.workloads.system_calls import libc

PATIENCE_SECONDS = 120.0
"""For what the kernel does in its own time, a bound on waiting."""
kept: list[socket.socket] = []
"""Stay open until the process ends."""


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


def listen_not(host: str) -> socket.socket:
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.bind((host, 0))
    kept.append(sock)
    return sock


def free_port(host: str) -> int:
    """A port that was just free: bound and not listening, so that a connect is refused and nobody else gets it."""
    return int(listen_not(host).getsockname()[1])


def full_listener(host: str) -> socket.socket:
    """A listener that answers no SYN: its queue of one is full."""
    listener = listen(host, 0)
    filler = socket.socket(family_of(host), socket.SOCK_STREAM)
    filler.connect(listener.getsockname()[:2])
    kept.extend((listener, filler))
    # The filler may be connected before it is in the queue.
    until(lambda: waiting_to_be_accepted(listener) == 1)
    return listener


def waiting_to_be_accepted(listener: socket.socket) -> int:
    """Connections in a listener's queue: tcpi_unacked of struct tcp_info (include/uapi/linux/tcp.h)."""
    return int(struct.unpack_from("=I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0])


def tcp_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Client and server of one connection to `host`; "::ffff:127.0.0.1" is IPv4 spoken by IPv6 sockets."""
    with listen("::" if host.startswith("::ffff:") else host) as listener:
        client = socket.socket(family_of(host), socket.SOCK_STREAM)
        client.connect((host, listener.getsockname()[1]))
        server, _ = listener.accept()
    return client, server


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


def until(condition: Callable[[], bool]) -> None:
    """As tests/waiting.py has it, without what a workload need not import."""
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


def unshare_network() -> None:
    """A network namespace of our own, with its loopback up and its /sys."""
    new_mounts, new_network, private, recursive = 0x20000, 0x40000000, 1 << 18, 0x4000
    if libc.unshare(new_mounts | new_network):
        raise OSError(ctypes.get_errno(), "unshare")
    libc.mount(b"none", b"/", None, ctypes.c_ulong(private | recursive), None)
    libc.mount(b"sysfs", b"/sys", b"sysfs", ctypes.c_ulong(0), None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS IFF_UP
