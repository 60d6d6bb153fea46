"""Logs of connections as serialised `kernelLogs` of the access-log message.

Without packet hooks the bytes of a transfer go where other agents of this wire put them when they saw no packet: one
package of that size, in the L4 metrics of a write and in the L2 metrics of a read.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import Logs
from agent.events.layout import EventKind, SystemCall
from agent.export.encoder import MessageEncoder
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

Column = Callable[[Logs], NDArray[np.generic]]


def _ones(logs: Logs) -> NDArray[np.uint64]:
    return np.ones(len(logs), dtype=np.uint64)


def _operation(name: str, **columns: Column) -> dict[str, Column]:
    """Columns by path of one operation; "__" in a keyword stands for a dot."""
    times: dict[str, Column] = {
        "startTime.offset.offset": lambda logs: logs["start_ns"],
        "endTime.offset.offset": lambda logs: logs["end_ns"],
    }
    return {f"{name}.{path.replace('__', '.')}": column for path, column in {**times, **columns}.items()}


_OPERATIONS: dict[EventKind, dict[str, Column]] = {
    EventKind.CONNECT: _operation("connect", success=lambda logs: logs["success"]),
    EventKind.ACCEPT: _operation("accept"),
    EventKind.CLOSE: _operation("close", success=lambda logs: logs["success"]),
    EventKind.READ: _operation(
        "read",
        syscall=lambda logs: _SYSTEM_CALL_TABLE[logs["system_call"]],
        l2Metrics__totalPackageCount=_ones,
        l2Metrics__totalPackageSize=lambda logs: logs["bytes"],
    ),
    EventKind.WRITE: _operation(
        "write",
        syscall=lambda logs: _SYSTEM_CALL_TABLE[logs["system_call"]],
        l4Metrics__totalTransmitPackageCount=_ones,
        l4Metrics__totalPackageSize=lambda logs: logs["bytes"],
    ),
}
_ENCODERS = {
    kind: MessageEncoder(wire.EBPFAccessLogMessage, "kernelLogs", columns) for kind, columns in _OPERATIONS.items()
}


def encode_kernel_logs(logs: Logs) -> tuple[memoryview, NDArray[np.int64]]:
    """(the serialised logs one after the other, each with its tag and length; per log, where it ends)."""
    blocks = []
    for kind, columns in _OPERATIONS.items():
        rows = np.flatnonzero(logs["kind"] == kind)
        if len(rows):
            chosen = logs[rows]
            block = _ENCODERS[kind].encode({path: column(chosen) for path, column in columns.items()})
            blocks.append((rows, block))
    width = max((block.data.shape[1] for _, block in blocks), default=0)
    data = np.zeros((len(logs), width), dtype=np.uint8)
    present = np.zeros((len(logs), width), dtype=np.bool_)
    for rows, block in blocks:
        data[rows, : block.data.shape[1]] = block.data
        present[rows, : block.data.shape[1]] = block.present
    return data[present].data, present.sum(axis=1, dtype=np.int64).cumsum()
