"""What HTTP exchanges say, as columns that metrics are made of.

An exchange that goes on for long is told in slices. Each adds its sizes; the last one is the call. The times of a slice
are its own, so the duration of the call is known only to who remembers when the first slice began.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import START, Connection, LogBatch
from backend.oal.sources import HTTP_CALL, HTTP_LATENCY, HTTP_METHODS, HTTP_SUCCESS, HTTP_TIMED

FIRST_STATUS, LAST_STATUS = 100, 499
"""Statuses of calls that succeeded: what the client did wrong is no failure of the service. 0 is no response at all."""
GRPC_FAILURES = (2, 4, 12, 13, 14, 15)
"""Statuses of gRPC that are a failure of the service: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE
and DATA_LOSS (OpenTelemetry's semantic conventions for gRPC, server spans)."""
UNRECOGNIZED = "UNRECOGNIZED"
"""The method of a number without a name."""
MAXIMUM_LONG_EXCHANGES = 65_536

_NAMES = (*HTTP_METHODS, UNRECOGNIZED)
_Key = tuple[object, ...]


class LongExchanges:
    """When the exchanges began that are told in slices and have not ended. For use from one thread.

    The wire numbers the slices of an exchange and does not number the exchanges of a connection. Several of the same
    method, path and host at the same slice are told apart by order: the first that reached it is the first to go on.
    """

    def __init__(self, maximum: int = MAXIMUM_LONG_EXCHANGES) -> None:
        self._maximum = maximum
        self._began: OrderedDict[_Key, list[int]] = OrderedDict()
        """By exchange and the number of the slice that is next."""
        self._count = 0
        self._before: dict[_Key, list[int]] = {}
        """Of what has changed since `keep`, what was there then."""

    def __len__(self) -> int:
        return self._count

    def follow(self, exchange: _Key, number: int, start: int, *, is_last: bool) -> int | None:
        """Take a slice in; when its exchange began, None if that is not known.

        Args:
            exchange: What tells the exchange from others.
            number: Which slice it is, from 1.
            start: When the slice began, in nanoseconds.
            is_last: Whether no other follows.
        """
        began = start if number == 1 else self._take((*exchange, number))
        if not is_last and began is not None:
            self._put((*exchange, number + 1), began)
        return began

    def keep(self) -> None:
        """What has changed so far cannot be taken back any more."""
        self._before.clear()

    def take_back(self) -> None:
        """Undo all since `keep`: the slices are told again."""
        for key, began in self._before.items():
            self._count += len(began) - len(self._began.pop(key, ()))
            if began:
                self._began[key] = began
        self._before = {}

    def _take(self, key: _Key) -> int | None:
        waiting = self._began.get(key)
        if not waiting:
            return None
        self._before.setdefault(key, [*waiting])
        if len(waiting) == 1:
            del self._began[key]
        self._count -= 1
        return waiting.pop(0)

    def _put(self, key: _Key, began: int) -> None:
        waiting = self._began.setdefault(key, [])
        if began in waiting:  # sent again
            return
        self._before.setdefault(key, [*waiting])
        waiting.append(began)
        self._count += 1
        while self._count > self._maximum:
            oldest, forgotten = self._began.popitem(last=False)
            self._before.setdefault(oldest, forgotten)
            self._count -= len(forgotten)


class Methods:
    """The methods of some exchanges of a batch: numbers that stand for their names."""

    def __init__(self, batch: LogBatch, rows: NDArray[np.intp]) -> None:
        number, name = (batch.columns[f"http.request.{column}"][rows] for column in ("method", "methodName"))
        known = (number >= 0) & (number < len(HTTP_METHODS))
        self._texts = batch.texts
        self.numbers = np.where(name > 0, name, len(batch.texts) + np.where(known, number, len(HTTP_METHODS)))
        """Per exchange, below `limit`."""
        self.limit = len(batch.texts) + len(_NAMES)

    def name(self, number: int) -> str:
        """The method as the wire names it, such as "Get", or as it was sent."""
        return self._texts[number] if number < len(self._texts) else _NAMES[number - len(self._texts)]

    def names(self) -> Sequence[str]:
        """The names of all numbers below `limit`."""
        return (*self._texts, *_NAMES)


def derive(batch: LogBatch, rows: NDArray[np.intp], long_exchanges: LongExchanges) -> Mapping[str, NDArray[np.int64]]:
    """The columns of the exchanges at `rows` that are not on the wire: HTTP_CALL and those beside it."""
    columns = batch.columns
    status, grpc = columns["http.response.statusCode"][rows], columns["http.response.grpcStatus"][rows]
    success = (status >= FIRST_STATUS) & (status <= LAST_STATUS) & ~np.isin(grpc, GRPC_FAILURES)
    call = columns["http.isContinued"][rows] == 0
    latency = np.where(call, batch.duration_ns[rows], 0)
    timed = call.copy()
    for index in np.flatnonzero(columns["http.slice"][rows] > 0).tolist():
        duration = _whole(batch, int(rows[index]), long_exchanges)
        timed[index] &= duration is not None
        latency[index] = duration if duration is not None and call[index] else 0
    return {
        HTTP_CALL: call.astype(np.int64),
        HTTP_LATENCY: latency,
        HTTP_TIMED: timed.astype(np.int64),
        HTTP_SUCCESS: success.astype(np.int64),
    }


def _whole(batch: LogBatch, row: int, long_exchanges: LongExchanges) -> int | None:
    """Nanoseconds from the beginning of a slice's exchange to the end of the slice; None if that is not known."""
    start = int(batch.columns[START][row])
    names = (int(batch.columns[f"http.request.{column}"][row]) for column in ("methodName", "path", "host"))
    exchange = (
        *_place(batch.connections[int(batch.connection[row])]),
        int(batch.columns["http.request.method"][row]),
        *(batch.texts[name] for name in names),
    )
    is_last = not batch.columns["http.isContinued"][row]
    began = long_exchanges.follow(exchange, int(batch.columns["http.slice"][row]), start, is_last=is_last)
    if began is None or began > start:
        return None
    return start - began + int(batch.duration_ns[row])


def _place(connection: Connection) -> _Key:
    # By content: the same connection may be another object in a later stream.
    node = connection.node
    return node.name, node.boot_time_ns, connection.local, connection.remote, connection.role
