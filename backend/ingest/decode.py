"""Access log messages into columns, by a compiled loop that the schema's tables steer.

What protobuf refuses is refused, what it accepts gives the values that protobuf would give: fields of the wrong wire
type and unknown fields are skipped, the last of a repeated scalar wins, enum values without a name stay numbers.
One value differs by definition: an unsigned 64-bit number above 2^63 - 1 becomes 2^63 - 1, as columns are signed.

A message that needs more than one pass to understand (a oneof that changes its mind, an opaque field sent twice)
is rare and legal: protobuf itself rewrites it in its plain form, and that is decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from backend.ingest import schema as tables
from backend.ingest import wire
from backend.ingest.compiled import Integer, compiled
from backend.ingest.framing import Frames
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage

GROUP_LOGS = 65_536
"""Logs decoded at once, unless one message holds more."""
MAXIMUM_LOGS = 1_000_000
"""Most logs of one message. Each takes a row of columns, however few bytes it came in."""

VALID, MALFORMED, IRREGULAR, TOO_MANY_LOGS = range(4)
"""Verdicts on a message."""

NODE, CONNECTION, PROTOCOL_LOG, AGENT_REPORT = range(4)
"""Byte ranges of a message."""

LARGEST_KERNEL_OPERATION = 5
"""Kinds of kernel logs are the numbers of their operations; those of protocol logs begin behind them."""

SCHEMA = tables.build(
    cast("Descriptor", EBPFAccessLogMessage.DESCRIPTOR),
    logs={"kernelLogs": 0, "protocolLog": LARGEST_KERNEL_OPERATION},
    ranges=("node", "connection", "protocolLog", "agentReport"),
    start="startTime.offset.offset",
    end="endTime.offset.offset",
    extensions=(
        "http.callerEndpoint",
        "http.slice",
        "http.isContinued",
        "http.request.methodName",
        "http.response.grpcStatus",
    ),
    unkept=("http.request.trace",),
)

_COLUMN_MAXIMUM = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Decoded:
    """A run of messages as columns. Logs of refused messages are not among the logs."""

    frames: Frames
    verdicts: NDArray[np.int8]
    """Per message: VALID, MALFORMED or TOO_MANY_LOGS."""
    ranges: NDArray[np.int64]
    """[message, NODE | CONNECTION | PROTOCOL_LOG | AGENT_REPORT, start | end] in the buffer of `frames`; start is -1 if
    absent."""
    message: NDArray[np.int32]
    """Per log, the message it came in; never decreasing."""
    operation: NDArray[np.int8]
    """Per log, its LogKind; 0 when it has no operation that is known."""
    values: NDArray[np.int64]
    """[column of SCHEMA, log]; 0 where the wire had nothing. Which value a column is depends on the kind of the log;
    texts lie in the buffer of `frames`."""

    def bytes_of(self, message: int, field: int) -> bytes | None:
        """The bytes of a ranged field, None if the message does not have it."""
        start, end = self.ranges[message, field].tolist()
        return None if start < 0 else self.frames.data[start:end]


@compiled
def _is_within(buffer: NDArray[np.uint8], start: Integer, length: Integer) -> bool:
    """Whether a range lies in the buffer. Written so that nothing can overflow."""
    return bool(0 <= start <= len(buffer) and 0 <= length <= len(buffer) - start)


@compiled
def _count_logs(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    table: NDArray[np.int32],
    maximum: int,
    counts: NDArray[np.int64],
    verdicts: NDArray[np.int8],
) -> Integer:
    """Per message, at least as many logs as decoding it will find; none for one with more than `maximum`.

    Returns their sum, and fills the verdicts with VALID or TOO_MANY_LOGS.
    """
    total = 0
    for m in range(len(starts)):
        counts[m], verdicts[m] = 0, VALID
        if not _is_within(buffer, starts[m], lengths[m]):
            continue
        at, end = starts[m], starts[m] + lengths[m]
        while at < end:
            key, at = wire.tag(buffer, at, end)
            if at < 0:
                break
            kind = key & 7
            if kind == wire.START_GROUP or kind == wire.END_GROUP:
                continue
            number = key >> 3
            slot = tables.slot_of(number)
            if kind == wire.DELIMITED and slot >= 0 and table[0, slot, tables.LOG] == 1:
                counts[m] += 1
            at = wire.skip(buffer, at, end, key, 0)
            if at < 0:
                break
        if counts[m] > maximum:
            counts[m], verdicts[m] = 0, TOO_MANY_LOGS
        total += counts[m]
    return total


@compiled
def _integer(value: Integer, form: Integer) -> Integer:
    """The value of a varint in its field's type, as protobuf converts it; unsigned 64-bit numbers saturate."""
    if form == tables.INT64:
        return value
    if form == tables.UINT64:
        return value if value >= 0 else _COLUMN_MAXIMUM
    if form == tables.BOOL:
        return np.int64(value != 0)
    if form == tables.UINT32:
        return value & 0xFFFFFFFF
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


@compiled
def _decode_message(
    buffer: NDArray[np.uint8],
    at: Integer,
    end: Integer,
    table: NDArray[np.int32],
    m: int,
    types: NDArray[np.int64],
    ends: NDArray[np.int64],
    ranges: NDArray[np.int64],
    count: int,
    log_message: NDArray[np.int32],
    log_operation: NDArray[np.int8],
    values: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode one message; (verdict, logs so far). The rows of a message that is refused hold rubbish."""
    depth = 0
    types[0], ends[0] = 0, end
    row = -1  # of the log that `at` is within
    while True:
        while depth > 0 and at >= ends[depth]:
            depth -= 1
            if depth == 0:
                row = -1
        if at >= end:
            return VALID, count
        limit = ends[depth]
        key, at = wire.tag(buffer, at, limit)
        number, kind = key >> 3, key & 7
        if at < 0 or number == 0:
            return MALFORMED, count
        action = tables.UNKNOWN
        slot = tables.slot_of(number)
        if slot >= 0:
            here = types[depth]
            action = table[here, slot, tables.ACTION]
            if action == tables.INTEGER and kind == wire.VARINT:
                value, at = wire.varint(buffer, at, limit)
                if at < 0:
                    return MALFORMED, count
                column = table[here, slot, tables.COLUMN]
                if row >= 0 and column >= 0:
                    values[column, row] = _integer(value, table[here, slot, tables.FORM])
                continue
            if action != tables.UNKNOWN and action != tables.INTEGER and kind == wire.DELIMITED:
                size, at = wire.length(buffer, at, limit)
                if at < 0:
                    return MALFORMED, count
                if action == tables.STRING:
                    if not wire.utf8(buffer, at, at + size):
                        return MALFORMED, count
                    column = table[here, slot, tables.COLUMN]
                    if row >= 0 and column >= 0:
                        values[column, row] = tables.pack(at, size)
                    at += size
                    continue
                if table[here, slot, tables.LOG] == 1:
                    if count >= len(log_message):
                        return TOO_MANY_LOGS, count
                    row = count
                    log_message[row], log_operation[row] = m, 0
                    count += 1
                elif table[here, slot, tables.OPERATION] > 0 and row >= 0:
                    operation = table[here, slot, tables.OPERATION]
                    if log_operation[row] != 0 and log_operation[row] != operation:
                        return IRREGULAR, count
                    log_operation[row] = operation
                if table[here, slot, tables.RANGE] >= 0:
                    if ranges[m, table[here, slot, tables.RANGE], 0] >= 0:
                        return IRREGULAR, count
                    ranges[m, table[here, slot, tables.RANGE], 0] = at
                    ranges[m, table[here, slot, tables.RANGE], 1] = at + size
                if table[here, slot, tables.PRESENCE] >= 0 and row >= 0:
                    values[table[here, slot, tables.PRESENCE], row] = 1
                if depth + 1 >= tables.MAXIMUM_DEPTH:
                    return MALFORMED, count
                depth += 1
                types[depth], ends[depth] = table[here, slot, tables.TYPE], at + size
                continue
        at = wire.skip(buffer, at, limit, key, depth)
        if at < 0:
            return MALFORMED, count


@compiled
def _decode(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    table: NDArray[np.int32],
    verdicts: NDArray[np.int8],
    ranges: NDArray[np.int64],
    log_message: NDArray[np.int32],
    log_operation: NDArray[np.int8],
    values: NDArray[np.int64],
) -> int:
    """Decode messages whose verdict is still VALID; returns how many logs there are."""
    count = 0
    types, ends = np.empty(tables.MAXIMUM_DEPTH, np.int64), np.empty(tables.MAXIMUM_DEPTH, np.int64)
    for m in range(len(starts)):
        if verdicts[m] != VALID:
            continue
        if not _is_within(buffer, starts[m], lengths[m]):
            verdicts[m] = MALFORMED
            continue
        at, end = starts[m], starts[m] + lengths[m]
        verdict, after = _decode_message(
            buffer, at, end, table, m, types, ends, ranges, count, log_message, log_operation, values
        )
        verdicts[m] = verdict
        if verdict == VALID:
            count = after
        else:
            ranges[m, :, :] = -1
            values[:, count:after] = 0
    return count


def decode(frames: Frames) -> Iterator[Decoded]:
    """Decode messages, in order, in runs of bounded size."""
    messages = len(frames)
    if not messages:
        return
    counts, verdicts = np.empty(messages, np.int64), np.empty(messages, np.int8)
    total = _count_logs(frames.buffer, frames.starts, frames.lengths, SCHEMA.table, MAXIMUM_LOGS, counts, verdicts)
    if total <= GROUP_LOGS:
        yield _decode_run(frames, verdicts, int(total))
        return
    reached = np.cumsum(counts)
    first = 0
    while first < messages:
        before = int(reached[first] - counts[first])
        last = max(first + 1, int(np.searchsorted(reached, before + GROUP_LOGS, side="right")))
        run = Frames(frames.data, frames.starts[first:last], frames.lengths[first:last])
        yield _decode_run(run, verdicts[first:last], int(reached[last - 1]) - before)
        first = last


def _decode_run(frames: Frames, verdicts: NDArray[np.int8], logs: int) -> Decoded:
    first = verdicts.copy()
    decoded = _decode_once(frames, first, logs)
    irregular = np.flatnonzero(first == IRREGULAR)
    if not len(irregular):
        return decoded
    messages = [frames.message(index) for index in range(len(frames))]
    for index in irregular.tolist():
        try:
            messages[index] = EBPFAccessLogMessage.FromString(messages[index]).SerializeToString()
        except DecodeError:
            verdicts[index] = MALFORMED
    return _decode_once(Frames.of(messages), verdicts, logs)


def _decode_once(frames: Frames, verdicts: NDArray[np.int8], logs: int) -> Decoded:
    ranges = np.full((len(frames), len(SCHEMA.range_names), 2), -1, np.int64)
    message, operation = np.empty(logs, np.int32), np.empty(logs, np.int8)
    values = np.zeros((SCHEMA.width, logs), np.int64)
    count = _decode(
        frames.buffer, frames.starts, frames.lengths, SCHEMA.table, verdicts, ranges, message, operation, values
    )
    return Decoded(frames, verdicts, ranges, message[:count], operation[:count], values[:, :count])
