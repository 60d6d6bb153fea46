"""Logs of connections as serialised `kernelLogs` of the access-log message."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import Logs
from agent.events.layout import EventKind, SystemCall
from agent.events.rows import take
from agent.export.encoder import Block, Column, MessageEncoder, nothing, packed
from agent.export.metrics import OPTIONAL_METRICS, READ_METRICS, WRITE_METRICS, prefixed
from protos.ebpf import accesslog_pb2 as wire

_WIRE_SYSTEM_CALL = {
    # The wire has no value for the second group: each goes to the call that it generalises or resembles most.
    SystemCall.READ: wire.Read,
    SystemCall.READV: wire.Readv,
    SystemCall.RECVFROM: wire.RecvFrom,
    SystemCall.RECVMSG: wire.RecvMsg,
    SystemCall.RECVMMSG: wire.RecvMmsg,
    SystemCall.WRITE: wire.Write,
    SystemCall.WRITEV: wire.Writev,
    SystemCall.SENDTO: wire.SendTo,
    SystemCall.SENDMSG: wire.SendMsg,
    SystemCall.SENDMMSG: wire.SendMmsg,
    SystemCall.PREADV2: wire.Readv,
    SystemCall.SPLICE_READ: wire.Read,
    SystemCall.PWRITEV2: wire.Writev,
    SystemCall.SENDFILE: wire.SendFile64,
    SystemCall.SPLICE_WRITE: wire.SendFile64,
}
_SYSTEM_CALL_TABLE = np.zeros(256, dtype=np.uint8)
_SYSTEM_CALL_TABLE[list(_WIRE_SYSTEM_CALL)] = list(_WIRE_SYSTEM_CALL.values())

_Value = Callable[[Logs], NDArray[np.generic]]
"""What gives the column of a field."""

_LOSSES = "write.l4Metrics.lossPackageMetrics"


def _system_call(logs: Logs) -> NDArray[np.uint8]:
    wire_call: NDArray[np.uint8] = _SYSTEM_CALL_TABLE[logs["system_call"]]
    return wire_call


def _of_log(name: str) -> _Value:
    return lambda logs: logs[name]


def _of_stages(name: str) -> _Value:
    return lambda logs: logs["stages"][name]


def _operation(name: str, values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Values by path of one operation."""
    times = {"startTime.offset.offset": _of_log("start_ns"), "endTime.offset.offset": _of_log("end_ns")}
    return {f"{name}.{path}": value for path, value in {**times, **values}.items()}


_OPERATIONS = {
    EventKind.CONNECT: _operation(
        "connect",
        {
            "success": _of_log("success"),
            "handshakeDuration": _of_stages("l4_ns"),
            "errorNumber": _of_log("error"),
            "roundTripMicroseconds": _of_stages("round_trip_us"),
        },
    ),
    EventKind.ACCEPT: _operation("accept", {"roundTripMicroseconds": _of_stages("round_trip_us")}),
    EventKind.CLOSE: _operation("close", {"success": _of_log("success")}),
    EventKind.READ: _operation(
        "read", {"syscall": _system_call, **{path: _of_stages(name) for path, name in READ_METRICS.items()}}
    ),
    EventKind.WRITE: _operation(
        "write", {"syscall": _system_call, **{path: _of_stages(name) for path, name in WRITE_METRICS.items()}}
    ),
}
_OPTIONAL = [*prefixed("read", OPTIONAL_METRICS), *prefixed("write", OPTIONAL_METRICS)]
_ENCODERS = {
    kind: MessageEncoder(
        wire.EBPFAccessLogMessage,
        "kernelLogs",
        [*values, *((_LOSSES,) if kind is EventKind.WRITE else ())],
        optional=_OPTIONAL,
    )
    for kind, values in _OPERATIONS.items()
}


def encode_kernel_logs(logs: Logs, losses: Mapping[int, bytes] | None = None) -> tuple[memoryview, NDArray[np.int64]]:
    """Logs to bytes.

    Args:
        logs: What happened.
        losses: By row of a write, its serialised `lossPackageMetrics`.

    Returns:
        The serialised logs one after the other, each with its tag and length; per log, where it ends.
    """
    blocks = []
    for kind, values in _OPERATIONS.items():
        rows = np.flatnonzero(logs["kind"] == kind)
        if len(rows):
            chosen = take(logs, rows)
            columns: dict[str, Column] = {path: value(chosen) for path, value in values.items()}
            if kind is EventKind.WRITE:
                columns[_LOSSES] = _loss_column(rows, losses or {})
            blocks.append((rows, _ENCODERS[kind].encode(columns, len(rows))))
    width = max((block.data.shape[1] for _, block in blocks), default=0)
    data = np.empty((len(logs), width), dtype=np.uint8)
    present = np.zeros((len(logs), width), dtype=np.bool_)
    lengths = np.zeros(len(logs), dtype=np.int64)
    for rows, block in blocks:
        data[rows, : block.data.shape[1]] = block.data
        present[rows, : block.data.shape[1]] = block.present
        lengths[rows] = block.lengths
    return data[present].data, lengths.cumsum()


def _loss_column(rows: NDArray[np.intp], losses: Mapping[int, bytes]) -> Block:
    """Serialised losses for each of some rows."""
    if not losses:
        return nothing(len(rows))
    values = [b""] * len(rows)
    for row, value in losses.items():
        values[int(np.searchsorted(rows, row))] = value
    return packed(values)
