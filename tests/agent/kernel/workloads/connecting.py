"""Workloads of connects, listens and accepts, with every outcome."""

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import socket
import tempfile
from typing import Any

from tests.agent.kernel.workloads.sockets import (
    await_answer,
    describe,
    family_of,
    free_port,
    full_listener,
    listen,
    unshare_network,
)
from tests.agent.kernel.workloads.system_calls import call, libc, raw_address

IPPROTO_MPTCP = 262  # not named by Python 3.11


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
    code: int | None = 0
    try:
        listener.accept()
    except BlockingIOError as error:
        code = error.errno
    return {"errno": code}


def connect_and_close(sock: socket.socket, address: tuple[str, int], *, blocking: bool) -> tuple[int, int]:
    """What connect returned, and what came of it."""
    sock.setblocking(blocking)
    code = outcome = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        await_answer(sock)
        outcome = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sock.close()
    return code, outcome


def refused(host: str, *, blocking: bool) -> dict[str, Any]:
    port = free_port(host)
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    inode = os.fstat(sock.fileno()).st_ino
    descriptor = sock.fileno()
    code, outcome = connect_and_close(sock, (host, port), blocking=blocking)
    return {"code": code, "outcome": outcome, "port": port, "inode": inode, "descriptor": descriptor}


def timed_out(host: str, *, blocking: bool) -> dict[str, Any]:
    port = full_listener(host).getsockname()[1]
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
    inode = os.fstat(sock.fileno()).st_ino
    code, outcome = connect_and_close(sock, (host, port), blocking=blocking)
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
