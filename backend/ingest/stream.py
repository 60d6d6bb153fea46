"""One stream of access logs: what its messages carry over to each other, and which of its logs are good.

A message may name the node, the connection, both or neither; what it does not name is as the message before it left
it. Each log that cannot be used is dropped alone and counted by cause.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import cast

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import START, Connection, LogBatch, LogKind, Node
from backend.ingest.carry import spread, survey
from backend.ingest.columns import PlacedColumns
from backend.ingest.counts import Counts, LogLoss, MessageLoss
from backend.ingest.decode import AGENT_REPORT, CONNECTION, NODE, SCHEMA, TOO_MANY_LOGS, VALID, Decoded, decode
from backend.ingest.framing import Frames
from backend.ingest.interning import LARGEST_TEXT, NO_NODE, Interner
from backend.ingest.judge import judge
from backend.ingest.texts import alike

_NOT_COUNTED = (
    *(".success", ".syscall", ".ifindex"),
    *(".version", ".method", ".grpcStatus", ".slice", ".isContinued"),
)
_KEPT = SCHEMA.start + 1
"""Columns that are handed on: those of the operations, and the start time."""
_PLACES = {**SCHEMA.columns, START: SCHEMA.start}
_ROW = SCHEMA.width * 8 + 17  # bytes: the values and times of a log, its connection, kind, minute and duration
_TEXT = 200  # bytes that a text takes in tables, besides its own


@dataclass(frozen=True, slots=True)
class Period:
    """The times that are believed."""

    retention: timedelta = timedelta(days=7)
    """A log that starts longer ago than this is dropped: its minute is no longer kept."""
    clock_difference: timedelta = timedelta(minutes=5)
    """A log that ends further ahead than this is dropped: its clock cannot be right."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Good logs of one run, columns of one length."""

    connection: NDArray[np.int32]
    kind: NDArray[np.int8]
    minute: NDArray[np.int32]
    duration_ns: NDArray[np.int64]
    values: NDArray[np.int64]


def _counted_columns() -> NDArray[np.bool_]:
    """[kind, column]: whether it holds a count, a size or a duration."""
    counted = np.zeros((max(LogKind) + 1, SCHEMA.start), np.bool_)
    for kind in LogKind:
        prefix = f"{kind.name.lower()}."
        for name, column in SCHEMA.columns.items():
            if name.startswith(prefix):
                counted[kind, column] = not name.endswith(_NOT_COUNTED)
        counted[kind, list(SCHEMA.texts.get(kind, ()))] = False
    return counted


_COUNTED = _counted_columns()


class LogStream:
    """The state of one stream. Takes its frames in order, gives its good logs as one batch.

    Args:
        interner: Shared by the streams of a process.
        period: The times that are believed.
        clock_ns: Unix time in nanoseconds.
        hear: Is told of each message that names a node, with the report that its agent sends beside it.
    """

    def __init__(
        self,
        interner: Interner,
        period: Period | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        hear: Callable[[Node, bytes | None], None] = lambda _node, _report: None,
    ) -> None:
        self.counts = Counts()
        """What this stream has carried, from its beginning."""
        self.waiting_bytes = 0
        """Memory of the logs that wait for `batch`."""
        self._interner = interner
        period = period or Period()
        self._retention_ns = _nanoseconds(period.retention)
        self._clock_difference_ns = _nanoseconds(period.clock_difference)
        self._clock_ns = clock_ns
        self._hear = hear
        self._node = NO_NODE
        self._current: bytes | LogLoss = LogLoss.NO_CONNECTION
        self._slots: dict[Connection, int] = {}
        self._parts: list[_Part] = []
        self._texts: dict[bytes, int] = {b"": 0}

    def take(self, frames: Frames) -> None:
        """Decode messages; their good logs wait for `batch`."""
        for decoded in decode(frames):
            self._take(decoded)

    def batch(self) -> LogBatch | None:
        """The good logs since the last call, None if there are none."""
        parts, connections, texts = self._parts, list(self._slots), list(self._texts)
        self._parts, self._slots, self._texts, self.waiting_bytes = [], {}, {b"": 0}, 0
        if not parts:
            return None
        part = parts[0] if len(parts) == 1 else _joined(parts)
        connections, connection = _used(connections, part.connection)
        return LogBatch(
            connections=connections,
            connection=connection,
            kind=part.kind,
            minute=part.minute,
            duration_ns=part.duration_ns,
            columns=PlacedColumns(part.values, _PLACES),
            texts=self._interner.texts(texts),
        )

    def _take(self, decoded: Decoded) -> None:
        counts = self.counts
        counts.messages += len(decoded.frames)
        counts.logs += len(decoded.message)
        slots, boots = self._carry(decoded)
        logs = len(decoded.message)
        if not logs:
            return
        cause = np.empty(logs, np.int8)
        minute, duration = np.empty(logs, np.int32), np.empty(logs, np.int64)
        now = self._clock_ns()
        earliest, latest = now - self._retention_ns, now + self._clock_difference_ns
        passed = judge(
            decoded.message, decoded.operation, decoded.values, SCHEMA.start, _COUNTED,
            slots, boots, earliest, latest, cause, minute, duration,
        )  # fmt: skip
        part = _Part(slots[decoded.message], decoded.operation, minute, duration, decoded.values[:_KEPT])
        if passed < logs:
            for loss, count in enumerate(np.bincount(cause).tolist()):
                if loss != LogLoss.NONE and count:
                    counts.lost_logs[LogLoss(loss)] += count
            part = _chosen(part, cause == LogLoss.NONE)
        if passed:
            counts.accepted += passed
            self._take_texts(part, decoded.frames.data)
            self._parts.append(part)
            self.waiting_bytes += passed * _ROW

    def _take_texts(self, part: _Part, data: bytes) -> None:
        """Put the number of each text in the place of where it lies."""
        texts = self._texts
        before = len(texts)
        for kind, columns in SCHEMA.texts.items():
            of_kind = np.flatnonzero(part.kind == kind)
            for column in columns:
                places = part.values[column]
                rows = of_kind[places[of_kind] != 0]
                if not len(rows):
                    continue
                starts = places[rows] >> 32
                lengths = np.minimum(places[rows] & 0xFFFFFFFF, LARGEST_TEXT)
                firsts, same = alike(data, starts, lengths)
                ends = starts[firsts] + lengths[firsts]
                found = [data[start:end] for start, end in zip(starts[firsts].tolist(), ends.tolist(), strict=True)]
                numbers = np.array([texts.setdefault(text, len(texts)) for text in found], np.int64)
                places[rows] = numbers[same]
        if len(texts) > before:
            self.waiting_bytes += sum(len(text) + _TEXT for text in islice(texts, before, None))

    def _carry(self, decoded: Decoded) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Per message, the slot of its connection (or minus the loss for having none) and its node's boot time."""
        messages = len(decoded.frames)
        slots, boots = np.empty(messages, np.int32), np.empty(messages, np.int64)
        turns, naming = np.empty(messages, np.int64), np.empty(messages, np.int64)
        turned, named, protocol_logs = survey(decoded.verdicts, decoded.ranges, turns, naming)
        self.counts.protocol_logs += protocol_logs
        naming = naming[:named]
        first = 0
        for turn in [*turns[:turned].tolist(), messages]:
            if turn > first:
                within = naming if not turned else naming[(naming >= first) & (naming < turn)]
                self._carry_connections(decoded, first, turn, within, slots)
                boots[first:turn] = self._node.node.boot_time_ns
            if turn < messages:
                self._turn(decoded, turn)
            first = turn
        return slots, boots

    def _carry_connections(
        self, decoded: Decoded, first: int, last: int, naming: NDArray[np.int64], slots: NDArray[np.int32]
    ) -> None:
        """Fill the slots of messages between which the node stays the same and none is refused.

        Senders name a connection in most of their messages, so each step here handles them together.
        """
        continued = not len(naming) or naming[0] > first
        before = self._slot_of_current() if continued else 0
        found = np.empty(0, np.int32)
        if len(naming):
            data = decoded.frames.data
            named = [data[start:end] for start, end in decoded.ranges[naming, CONNECTION].tolist()]
            found = np.array(self._slots_of(self._interner.connections(self._node, named)), np.int32)
            self._current = named[-1]
        spread(first, last, before, naming, found, slots)

    def _turn(self, decoded: Decoded, message: int) -> None:
        """A message names a node, or was refused.

        A refused one may have named a connection: what follows must not count for the connection before.
        """
        verdict = int(decoded.verdicts[message])
        if verdict == VALID:
            self._node = self._interner.node(decoded.bytes_of(message, NODE) or b"")
            self._hear(self._node.node, decoded.bytes_of(message, AGENT_REPORT))
            return
        loss = MessageLoss.TOO_MANY_LOGS if verdict == TOO_MANY_LOGS else MessageLoss.UNDECODABLE
        self.counts.lost_messages[loss] += 1
        self._current = LogLoss.CONNECTION_LOST

    def _slot_of_current(self) -> int:
        """The slot of the connection that what comes next belongs to, or minus the loss for having none."""
        if isinstance(self._current, LogLoss):
            return -int(self._current)
        return self._slots_of(self._interner.connections(self._node, [self._current]))[0]

    def _slots_of(self, connections: list[Connection | None]) -> list[int]:
        """The slot of each; None has minus the loss for lacking an address."""
        slots = self._slots
        # As set operations, because a loop would turn once for nearly each message.
        fresh = [item for item in dict.fromkeys(connections) if item not in slots and item is not None]
        slots.update(zip(fresh, range(len(slots), len(slots) + len(fresh)), strict=True))
        missing = -int(LogLoss.ADDRESS_MISSING)
        if None in connections:
            return [missing if item is None else slots[item] for item in connections]
        return list(map(slots.__getitem__, cast("list[Connection]", connections)))


def _nanoseconds(period: timedelta) -> int:
    return period // timedelta(microseconds=1) * 1_000


def _used(connections: list[Connection], connection: NDArray[np.int32]) -> tuple[list[Connection], NDArray[np.int32]]:
    """Only the connections that have logs: what was merely named must not look as if it had been active."""
    used = np.bincount(connection, minlength=len(connections)) > 0
    if used.all():
        return connections, connection
    kept = [connections[index] for index in np.flatnonzero(used).tolist()]
    return kept, (np.cumsum(used, dtype=np.int32) - 1)[connection]


def _chosen(part: _Part, keep: NDArray[np.bool_]) -> _Part:
    return _Part(
        part.connection[keep], part.kind[keep], part.minute[keep], part.duration_ns[keep], part.values[:, keep]
    )


def _joined(parts: list[_Part]) -> _Part:
    return _Part(
        np.concatenate([part.connection for part in parts]),
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.minute for part in parts]),
        np.concatenate([part.duration_ns for part in parts]),
        np.concatenate([part.values for part in parts], axis=1),
    )
