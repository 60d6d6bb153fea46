"""Exchanges as columns, from the moment they are told until the flush.

As objects, thousands of them would stay for that long: each of several parts, in memory that is not in any cache, and
gone over again and again by the garbage collector.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.connections.view import View
from agent.protocols.conversations import Told
from agent.protocols.exchange import TraceContext
from protos.ebpf import accesslog_pb2 as wire

HALF: Final = np.dtype(
    [
        ("first_ns", np.uint64),
        ("last_ns", np.uint64),
        ("first_call_ns", np.uint64),
        ("last_call_ns", np.uint64),
        ("header_bytes", np.uint64),
        ("body_bytes", np.uint64),
    ]
)
"""As agent.protocols.exchange.Half."""

EXCHANGE: Final = np.dtype(
    [
        ("view", np.int64),  # View.number
        ("request", HALF),
        ("response", HALF),
        ("path", np.uint32),  # these five: places in Texts
        ("host", np.uint32),
        ("method_name", np.uint32),
        ("caller", np.uint32),
        ("trace", np.uint32),
        ("slice", np.uint32),
        ("grpc_status", np.int32),  # NO_GRPC_STATUS when there is none
        ("status", np.uint16),
        ("method", np.uint8),  # of the wire
        ("version", np.uint8),
        ("requests", np.uint8),  # EventKind: READ where the process of the view serves, WRITE where it asks
        ("is_continued", np.bool_),
        ("is_tls", np.bool_),
    ],
    align=True,
)
"""A Told."""

Exchanges = NDArray[np.void]
"""A one-dimensional array of dtype EXCHANGE."""

NO_GRPC_STATUS: Final = -1

_ROW: Final = struct.Struct("@q12Q6IiH5B5x")
_METHODS: Final = {
    "GET": wire.Get,
    "POST": wire.Post,
    "PUT": wire.Put,
    "DELETE": wire.Delete,
    "HEAD": wire.Head,
    "PATCH": wire.Patch,
    "OPTIONS": wire.Options,
    "TRACE": wire.Trace,
    "CONNECT": wire.Connect,
}
_OTHER_METHODS: Final = dict.fromkeys(("PROPFIND", "REPORT", "SEARCH", "QUERY"), wire.Get)
"""Methods that only ask (IANA's registry of HTTP methods), for which the wire has no value; all others are POST."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What exchanges say in words, each distinct text once. Place 0 is that of nothing."""

    paths: list[str]
    hosts: list[str]
    method_names: list[str]
    """Of methods for which the wire has no value."""
    callers: list[str]
    traces: list[TraceContext | None]


class ExchangeRows:
    """Collects exchanges."""

    def __init__(self) -> None:
        self._rows = bytearray()
        self._paths, self._hosts, self._method_names, self._callers = ({"": 0} for _ in range(4))
        self._traces: list[TraceContext | None] = [None]

    def __len__(self) -> int:
        return len(self._rows) // EXCHANGE.itemsize

    def add(self, told: Iterable[Told], views: dict[int, View]) -> None:
        """Take exchanges on; `views` becomes the connection of each, by its number."""
        pack, paths, hosts, callers = _ROW.pack, self._paths, self._hosts, self._callers
        for item in told:
            view, exchange = item.view, item.exchange
            number, request, response, trace = view.number, exchange.request, exchange.response, exchange.trace
            views[number] = view
            name = 0
            method = _METHODS.get(exchange.method)
            if method is None:
                method = _OTHER_METHODS.get(exchange.method, wire.Post)
                name = self._method_names.setdefault(exchange.method, len(self._method_names))
            if trace is not None:
                self._traces.append(trace)
            path, host, caller, grpc_status = exchange.path, exchange.host, exchange.caller, exchange.grpc_status
            self._rows += pack(
                number,
                request.first_ns,
                request.last_ns,
                request.first_call_ns,
                request.last_call_ns,
                request.header_bytes,
                request.body_bytes,
                response.first_ns,
                response.last_ns,
                response.first_call_ns,
                response.last_call_ns,
                response.header_bytes,
                response.body_bytes,
                paths.setdefault(path, len(paths)),
                hosts.setdefault(host, len(hosts)),
                name,
                callers.setdefault(caller, len(callers)),
                0 if trace is None else len(self._traces) - 1,
                exchange.slice,
                NO_GRPC_STATUS if grpc_status is None else grpc_status,
                exchange.status,
                method,
                exchange.version,
                item.requests,
                not exchange.is_last,
                item.is_tls,
            )

    def table(self) -> Exchanges:
        """The exchanges in the order in which they came; not to be changed."""
        return np.frombuffer(bytes(self._rows), dtype=EXCHANGE)

    def texts(self) -> Texts:
        """Their texts."""
        return Texts(list(self._paths), list(self._hosts), list(self._method_names), list(self._callers), self._traces)
