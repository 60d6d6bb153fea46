"""A whole backend that is attacked, and the client that is served all the while."""

import gzip
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import psutil

from backend.server.access_logs import PATH
from bench.http2 import Connection, framed
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.processes import backend
from tests.waiting import PATIENCE

STRANGER = "127.0.0.2"
"""Where attacks come from."""
GROWTH = 700 * 1024 * 1024
"""Bytes by which the backend may grow in whatever is done to it: what all calls may hold (256 MiB), the connections
(4,096 on each of two ports, of 30 KB) and what the allocator does not give back."""


@dataclass
class Attacked:
    """A backend."""

    process: psutil.Process
    ports: dict[str, int]
    before: int
    """Resident memory in bytes."""
    highest: int = field(default=0)

    @contextmanager
    def connections(self, port: str, count: int, begin: bytes) -> Iterator[list[socket.socket]]:
        """Connections of a stranger that have all sent the same. Those that the backend has ended are there too."""
        with ExitStack() as stack:
            opened = []
            for _ in range(count):
                connection = stack.enter_context(self.connect(port))
                with suppress(OSError):  # it may be ended at once
                    connection.sendall(begin)
                opened.append(connection)
            yield opened

    def connect(self, port: str) -> socket.socket:
        """A connection of a stranger."""
        return socket.create_connection(("127.0.0.1", self.ports[port]), PATIENCE, (STRANGER, 0))

    def serves(self) -> None:
        """See that others are served, on both ports, and that memory is bounded."""
        for port in self.ports.values():
            assert ask(port, "/api/status")[0] == 200
            with Connection(port) as connection:
                call = connection.open(PATH)
                connection.send(call, [framed(message(read_log(), node="n", remote="a").SerializeToString())])
                connection.end(call)
                assert connection.answer(call).headers["grpc-status"] == "0"
        self.is_bounded()

    def is_bounded(self) -> None:
        """See that memory is bounded."""
        resident = self.process.memory_info().rss
        self.highest = max(self.highest, resident)
        assert resident - self.before < GROWTH, f"{resident >> 20} MiB, {self.before >> 20} before"

    def metric(self, name: str) -> float:
        """A sample of /metrics, such as one with its labels; 0 when there is none."""
        _, text = ask(self.ports["http"], "/metrics")
        return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


def ask(port: int, path: str) -> tuple[int, str]:
    """What is answered over HTTP: status and text."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as asking:
        asking.request("GET", path)
        with asking.getresponse() as answer:
            return answer.status, answer.read().decode()


@contextmanager
def attacked(folder: Path) -> Iterator[Attacked]:
    """A backend that has served once, and is alive at the end."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    with backend(folder) as (process, addresses):
        ports = {name: int(address.rpartition(":")[2]) for name, address in addresses.items()}
        found = Attacked(psutil.Process(process.pid), ports, 0)
        found.before = 1 << 40
        found.serves()
        found.before = found.process.memory_info().rss
        yield found
        assert process.poll() is None


def bomb(size: int) -> bytes:
    """A gRPC message that is small as it is sent and has `size` bytes."""
    packed = gzip.compress(bytes(size), mtime=0)
    return b"\x01" + len(packed).to_bytes(4, "big") + packed


def closed(connection: socket.socket) -> bool:
    """Whether the server has ended a connection; what it had sent before is passed over."""
    connection.settimeout(0)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
