"""A known workload: two programs that exchange messages in lockstep and say exactly what they did.

    workload.py server FAMILY            prints one JSON line {"port": N, "full_port": N}, then, when done, its totals
    workload.py client FAMILY PORT FULL  prints its totals

Both stay until their standard input ends, so that the agent finds who did this however slow it is.

FAMILY is 4, 6 or mapped (an IPv4 connection on IPv6 sockets). Every message is smaller than the loopback's segment,
so one write arrives as one read. Each side counts what its own calls returned; the kernel's own account of the
payload (TCP_INFO) is added up beside it.
"""

import errno
import itertools
import json
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator

CONNECTIONS = 23
TCP_INFO_BYTES_ACKED = 120  # offsets into struct tcp_info (include/uapi/linux/tcp.h)
TCP_INFO_BYTES_RECEIVED = 128
HOSTS = {
    "4": (socket.AF_INET, "127.0.0.1"),
    "6": (socket.AF_INET6, "::1"),
    "mapped": (socket.AF_INET6, "::ffff:127.0.0.1"),
}

Writer = Callable[[socket.socket, bytes], int]
Reader = Callable[[socket.socket, int], int]

WRITERS: list[Writer] = [
    lambda peer, data: peer.send(data),
    lambda peer, data: os.write(peer.fileno(), data),
    lambda peer, data: os.writev(peer.fileno(), [data[:5], data[5:]]),
    lambda peer, data: peer.sendmsg([data[:7], data[7:]]),
]
READERS: list[Reader] = [
    lambda peer, size: len(peer.recv(size)),
    lambda peer, size: len(os.read(peer.fileno(), size)),
    lambda peer, size: os.readv(peer.fileno(), [bytearray(3), bytearray(size)]),
    lambda peer, size: len(peer.recvmsg(size)[0]),
]


class Account:
    """What one side did."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self._writers = itertools.cycle(WRITERS)
        self._readers = itertools.cycle(READERS)

    def write(self, peer: socket.socket, size: int) -> None:
        """One write of `size` bytes."""
        moved = next(self._writers)(peer, b"x" * size)
        assert moved == size
        self.totals["writes"] += 1
        self.totals["bytes_written"] += moved

    def read(self, peer: socket.socket, size: int) -> None:
        """One read that finds `size` bytes."""
        moved = next(self._readers)(peer, size + 1000)
        assert moved == size
        self.totals["reads"] += 1
        self.totals["bytes_read"] += moved

    def finish(self, peer: socket.socket) -> None:
        """Add the kernel's account of this connection, then close it."""
        information = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        self.totals["kernel_bytes_acked"] += struct.unpack_from("Q", information, TCP_INFO_BYTES_ACKED)[0]
        self.totals["kernel_bytes_received"] += struct.unpack_from("Q", information, TCP_INFO_BYTES_RECEIVED)[0]
        peer.close()
        self.totals["closes"] += 1


def exchanges(connection: int) -> Iterator[tuple[int, int]]:
    """(request bytes, reply bytes) of each exchange on a connection."""
    for turn in range(1 + connection % 5):
        yield 10 + 131 * connection + turn, 20 + 977 * turn + connection


def listen(family: str, backlog: int) -> socket.socket:
    """A listener on a port of the kernel's choice."""
    kind, host = HOSTS[family]
    mapped = family == "mapped"  # IPv4 connections on an IPv6 listener
    return socket.create_server(("::" if mapped else host, 0), family=kind, backlog=backlog, dualstack_ipv6=mapped)


def serve(family: str) -> None:
    """Accept every connection and answer every request."""
    account = Account()
    listener = listen(family, backlog=CONNECTIONS)
    full = listen(family, backlog=0)  # never accepts: one connection fills its queue
    print(json.dumps({"port": listener.getsockname()[1], "full_port": full.getsockname()[1]}), flush=True)
    for connection in range(CONNECTIONS):
        peer, _ = listener.accept()
        account.totals["accepts"] += 1
        for request, reply in exchanges(connection):
            account.read(peer, request)
            account.write(peer, reply)
        assert peer.recv(1) == b""  # end of file: not a transfer
        account.finish(peer)
    print(json.dumps(account.totals), flush=True)
    sys.stdin.read()  # the full listener is open as long


def refused_port(family: str) -> int:
    """A port on which nobody listens."""
    with listen(family, backlog=0) as listener:
        return int(listener.getsockname()[1])


def connect_fails(kind: socket.AddressFamily, address: tuple[str, int], expected: int) -> None:
    """Connect where it cannot succeed."""
    with socket.socket(kind) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        client.settimeout(None)
        try:
            client.connect(address)
        except OSError as error:
            assert error.errno == expected, error  # noqa: PT017 - this program runs without pytest
        else:
            raise AssertionError(f"{address} was expected to fail")


def call(family: str, port: int, full_port: int) -> None:
    """Make every connection and every request, then two connects that fail."""
    kind, host = HOSTS[family]
    account = Account()
    for connection in range(CONNECTIONS):
        peer = socket.socket(kind)
        peer.connect((host, port))
        account.totals["connects"] += 1
        account.totals["successful_connects"] += 1
        for request, reply in exchanges(connection):
            account.write(peer, request)
            account.read(peer, reply)
        account.finish(peer)
    connect_fails(kind, (host, refused_port(family)), errno.ECONNREFUSED)
    filler = socket.create_connection((host, full_port))
    connect_fails(kind, (host, full_port), errno.ETIMEDOUT)
    filler.close()
    account.totals["connects"] += 3
    account.totals["successful_connects"] += 1
    account.totals["closes"] += 1  # a socket whose connect failed has no connection to close
    print(json.dumps(account.totals), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2])
    else:
        call(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
