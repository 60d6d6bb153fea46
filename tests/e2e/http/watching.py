"""What the agent says of exchanges: the real program sends its access logs here, and each of them is read.

Everything on the machine is watched, so that exchanges are looked up by a server's port and the time from which it had
that port.
"""

import contextlib
import signal
import socket
import subprocess
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from protos.common import common_pb2
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.export.collector import Collector
from tests.e2e.http.account import Expected, check
from tests.e2e.programs import agent
from tests.waiting import PATIENCE

CONFIGURATION = """
access_log: {flush: {period: 200ms}}
kernel: {ring_bytes: 33554432, payload_bytes: 134217728}
limits: {queue_logs: 2000000, queue_bytes: 268435456}
"""
MISSING_SECONDS = 60.0
"""After which what is missing is given up. Logs are sent in the order of what happened, up to what waits for the
exchange that it is part of; and a program that stalls may be late with what ends one, such as closing a connection."""
ROLES = ("server", "client")
METHODS = {value: name.upper() for name, value in wire.AccessLogHTTPProtocolRequestMethod.items()}


@dataclass(frozen=True, slots=True)
class Observed:
    """An exchange as one end's access log tells it."""

    role: str
    """"client" or "server"."""
    port: int
    """The server's."""
    method: str
    path: str
    status: int
    request_header_bytes: int
    request_body_bytes: int
    response_header_bytes: int
    response_body_bytes: int
    version: int
    """1 or 2."""
    tls: bool
    start_ns: int
    """CLOCK_MONOTONIC."""
    end_ns: int
    grpc_status: int | None
    is_whole: bool
    """Whether it is told at once, not in slices."""

    @property
    def account(self) -> Expected:
        """In the terms of the other accounts."""
        return Expected(
            method=self.method,
            path=self.path,
            status=self.status,
            request_body_bytes=self.request_body_bytes,
            response_body_bytes=self.response_body_bytes,
            request_header_bytes=self.request_header_bytes,
            response_header_bytes=self.response_header_bytes,
            version=self.version,
            tls=self.tls,
            grpc_status=self.grpc_status,
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """In which direction at which end bytes were moved."""

    role: str
    port: int
    """The server's."""
    operation: str
    """"read" or "write"."""
    tls: bool


class Watcher:
    """The exchanges that the running agent has told of."""

    def __init__(self, collector: Collector, process: subprocess.Popen[bytes]) -> None:
        self._collector = collector
        self._process = process
        self._exchanges: list[Observed] = []
        self._closed: Counter[frozenset[int]] = Counter()
        """Closes by the two ports of a connection."""
        self._moved: Counter[Moved] = Counter()
        self._sent_again: Counter[int] = Counter()
        """Packages by a server's port."""
        self._checked: list[tuple[str, int, int, int, Sequence[Expected]]] = []
        """Role, port, times since and until, and the exchanges that this end was found to have."""

    def observed(self, port: int, since_ns: int) -> list[Observed]:
        """The exchanges on a server's port that began at or after a time, as told so far."""
        self._read()
        return [one for one in self._exchanges if one.port == port and one.start_ns >= since_ns]

    def moved(self, port: int) -> Counter[Moved]:
        """Bytes of packages, without their headers, on connections to a server's port, as told so far."""
        self._read()
        return Counter({moved: size for moved, size in self._moved.items() if moved.port == port})

    def sent_again(self, port: int) -> int:
        """Packages that were sent again by either end of connections to a server's port, as told so far."""
        self._read()
        return self._sent_again[port]

    def check(
        self, port: int, since_ns: int, expected: Sequence[Expected], roles: Sequence[str] = ROLES
    ) -> list[Observed]:
        """Fail unless the agent tells exactly these exchanges, from each end or from one; what it tells."""
        self.settle_until(lambda: all(len(self._by(role, port, since_ns)) >= len(expected) for role in roles))
        self.settle()  # what it tells too much had its time as well
        for role in roles:
            told = self._by(role, port, since_ns)
            check(expected, [one.account for one in told], ("the programs", f"the agent, at the {role}"))
            assert all(one.is_whole for one in told)
            assert all(one.start_ns <= one.end_ns for one in told)
            self._checked.append((role, port, since_ns, time.monotonic_ns(), expected))
        return self.observed(port, since_ns)

    def wait_for_tls(self, port: int, exchange: Callable[[], object]) -> None:
        """Make exchanges until both ends of one are told: a library's first user runs before the agent knows of it.

        One that was left open by both ends is told when its connection has ended, which may be while the next is made.
        """
        deadline = time.monotonic() + PATIENCE
        begun: list[int] = []
        while not self._has_both_ends_of_one(port, begun):
            assert time.monotonic() < deadline, "the agent tells nothing of these programs' TLS"
            begun.append(time.monotonic_ns())
            exchange()
            self.settle()

    def _has_both_ends_of_one(self, port: int, begun: Sequence[int]) -> bool:
        """Whether both ends are told of one of the exchanges made one after the other, from these times on."""
        roles: dict[int, set[str]] = defaultdict(set)
        for one in self.observed(port, begun[0]) if begun else ():
            roles[bisect_right(begun, one.start_ns)].add(one.role)
        return any(found == set(ROLES) for found in roles.values())

    def check_nothing_came_later(self) -> None:
        """Fail if more exchanges of what was checked have been told since."""
        self._read()
        for role, port, since_ns, until_ns, expected in self._checked:
            told = [one.account for one in self._by(role, port, since_ns) if one.start_ns < until_ns]
            check(expected, told, ("the programs", f"the agent, at its end, at the {role}"))

    def _by(self, role: str, port: int, since_ns: int) -> list[Observed]:
        return [one for one in self.observed(port, since_ns) if one.role == role]

    def settle_until(self, holds: Callable[[], bool]) -> None:
        """Settle, again and again until something holds or is not to be expected any more."""
        deadline = time.monotonic() + MISSING_SECONDS
        self.settle()
        while not holds() and time.monotonic() < deadline:
            self.settle()

    def settle(self) -> None:
        """Make a connection, end it, and wait until the agent has told of both ends: so of all that was before."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            accepted, far_end = listener.accept()
            ports = frozenset((far_end[1], listener.getsockname()[1]))
            before = self._closed[ports]
            client.close()
            accepted.close()
        deadline = time.monotonic() + PATIENCE
        while self._closed[ports] < before + 2:
            assert self._process.poll() is None, "the agent has ended"
            assert time.monotonic() < deadline, "the agent does not tell of a connection"
            time.sleep(0.01)
            self._read()

    def _read(self) -> None:
        """Read the batches that have come, and let go of them."""
        for batch, messages in self._collector.accepted.copy().items():
            if messages:
                self._read_batch(messages)
                self._collector.accepted[batch] = []

    def _read_batch(self, messages: Sequence[bytes]) -> None:
        for connection, message in _of_connections(messages):
            for log in message.kernelLogs:
                self._read_log(connection, log)
            if message.HasField("quality"):
                # What was moved after the last call.
                self._add_written(connection, message.quality.lateWrite.l4Metrics)
                self._add_read(connection, message.quality.lateRead.l2Metrics)
        self._exchanges += read_exchanges(messages)

    def _read_log(self, connection: wire.AccessLogConnection, log: wire.AccessLogKernelLog) -> None:
        operation = log.WhichOneof("operation")
        if operation == "close":
            self._closed[frozenset((_port(connection.local), _port(connection.remote)))] += 1
        elif operation == "write":
            self._add_written(connection, log.write.l4Metrics)
        elif operation == "read":
            self._add_read(connection, log.read.l2Metrics)

    def _add_written(self, connection: wire.AccessLogConnection, written: wire.AccessLogKernelWriteL4Metrics) -> None:
        moved = _moved(connection, "write")
        self._moved[moved] += written.totalPackageSize
        self._sent_again[moved.port] += written.totalRetransmitPackageCount

    def _add_read(self, connection: wire.AccessLogConnection, read: wire.AccessLogKernelReadL2Metrics) -> None:
        self._moved[_moved(connection, "read")] += read.totalPackageSize


def _of_connections(
    messages: Sequence[bytes],
) -> Iterator[tuple[wire.AccessLogConnection, wire.EBPFAccessLogMessage]]:
    """The messages of streams, each with the connection that it is about."""
    connection = wire.AccessLogConnection()
    for serialised in messages:
        message = wire.EBPFAccessLogMessage.FromString(serialised)
        if message.HasField("connection"):
            connection = message.connection
        yield connection, message


def read_exchanges(messages: Sequence[bytes]) -> list[Observed]:
    """The exchanges in the messages of streams."""
    return [
        _observed(connection, message.protocolLog.http)
        for connection, message in _of_connections(messages)
        if message.protocolLog.HasField("http")
    ]


def _port(address: wire.ConnectionAddress) -> int:
    return address.kubernetes.port if address.HasField("kubernetes") else address.ip.port


def _role_and_port(connection: wire.AccessLogConnection) -> tuple[str, int]:
    """The role of the end that tells, and the server's port."""
    role = common_pb2.DetectPoint.Name(connection.role)
    return role, _port(connection.local if role == "server" else connection.remote)


def _moved(connection: wire.AccessLogConnection, operation: str) -> Moved:
    return Moved(*_role_and_port(connection), operation, connection.tlsMode == wire.TLS)


def _observed(connection: wire.AccessLogConnection, http: wire.AccessLogHTTPProtocol) -> Observed:
    role, port = _role_and_port(connection)
    request, response = http.request, http.response
    return Observed(
        role=role,
        port=port,
        method=request.methodName or METHODS[request.method],
        path=request.path,
        status=response.statusCode,
        request_header_bytes=request.sizeOfHeadersBytes,
        request_body_bytes=request.sizeOfBodyBytes,
        response_header_bytes=response.sizeOfHeadersBytes,
        response_body_bytes=response.sizeOfBodyBytes,
        version=1 if http.version == wire.HTTP1 else 2,
        tls=connection.tlsMode == wire.TLS,
        start_ns=http.startTime.offset.offset,
        end_ns=http.endTime.offset.offset,
        grpc_status=response.grpcStatus if response.HasField("grpcStatus") else None,
        is_whole=not http.slice,
    )


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[Watcher]:
    """The agent, attached, with everything that it sends read; at its end it says what it lost."""
    configuration = folder / "agent.yaml"
    configuration.write_text(CONFIGURATION)
    figures = folder / "figures.json"
    collector = Collector()
    with collector.serve() as port:
        backend = ("--backend", f"127.0.0.1:{port}")
        arguments: list[str | Path] = [*backend, "--config", configuration, "--figures", figures]
        with agent(*arguments) as process:
            watcher = Watcher(collector, process)
            yield watcher
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
    print(f"the agent's final figures: {figures.read_text()}")
    watcher.check_nothing_came_later()
