"""What ingest hands on: access logs as columns, and the connections they belong to.

This is the seam between receiving and analysing. Everything before it knows bytes and protobuf, everything
after it knows columns and entities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

START = "startTime"
"""Name of the column of start times, in nanoseconds on the node's clock. Kernel and protocol logs have it alike."""


class LogKind(IntEnum):
    """What a log tells of.

    Values are the field numbers of AccessLogKernelLog's oneof, then those of AccessLogProtocolLogs', counted on.
    """

    CONNECT = 1
    ACCEPT = 2
    CLOSE = 3
    READ = 4
    WRITE = 5
    HTTP = 6


class DetectPoint(IntEnum):
    """The side that reported a connection, as on the wire. Values the wire does not name become UNRECOGNIZED."""

    CLIENT = 0
    SERVER = 1
    PROXY = 2
    UNRECOGNIZED = -1


@dataclass(frozen=True, slots=True)
class Node:
    """The node a stream comes from."""

    name: str
    cluster: str
    boot_time_ns: int
    """Unix time in nanoseconds at offset 0 of the node's monotonic clock; 0 when the stream never said."""
    interfaces: Mapping[int, str]
    """Interface names by ifindex."""
    excluded_namespaces: frozenset[str] = frozenset()
    """Namespaces whose services its agent leaves out."""
    addresses: tuple[str, ...] = ()
    """IP addresses of its interfaces, as its agent tells them."""


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a connection: a process that the agent knows, or just an address."""

    service: str
    """Service name of a known process; empty for a plain address."""
    instance: str
    """Pod or host name of a known process; empty for a plain address."""
    process: str
    host: str
    """IP address in text for a plain address; empty for a known process."""
    port: int

    @property
    def is_process(self) -> bool:
        """Whether it is a process that the agent knows; a plain address if not."""
        return bool(self.service or self.instance or self.process)


@dataclass(frozen=True, slots=True)
class Ztunnel:
    """The part of an ambient mesh (Istio's ztunnel) that carries a connection."""

    is_mutual: bool
    """Whether it encrypts, and both of its ends show who they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """A connection as its agent described it. Compared by identity: interned per (node, wire bytes)."""

    node: Node
    local: Address
    remote: Address
    role: DetectPoint
    tls: bool
    protocol: int
    """AccessLogProtocolType: 0 TCP, 1 HTTP/1, 2 HTTP/2; any other number as it came."""
    ztunnel: Ztunnel | None = None
    """What carries it; None where nothing was found. The remote address is then the one behind the mesh."""

    @property
    def is_between_processes(self) -> bool:
        """Whether agents know both ends, so that what they are is the same at any time."""
        return self.local.is_process and self.remote.is_process


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Valid logs, as columns of one length. Rows keep the order in which they were received."""

    connections: list[Connection]
    """The distinct connections of this batch."""
    connection: NDArray[np.int32]
    """Per log, an index into `connections`."""
    kind: NDArray[np.int8]
    """Per log, a LogKind."""
    minute: NDArray[np.int32]
    """Per log, minutes since 1970-01-01 UTC of its start time."""
    duration_ns: NDArray[np.int64]
    """Per log, end minus start; never negative."""
    columns: Mapping[str, NDArray[np.int64]]
    """Per wire path below AccessLogKernelLog or AccessLogProtocolLogs (such as "write.l4Metrics.totalPackageSize" and
    "http.response.statusCode"), the value or 0; for a text, its index in `texts`. A column means something for logs of
    the kind that its path begins with; columns of different kinds may be the same array. START has the start times."""
    texts: Sequence[str] = ("",)
    """The distinct texts of this batch; the first is empty, and stands for what is absent."""
    identifier: str = ""
    """By which its sender sends it again when it misses the answer; empty when it does not say."""

    def __len__(self) -> int:
        return len(self.kind)
