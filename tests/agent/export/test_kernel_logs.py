import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.connections.logs import LOG, Logs
from agent.events.layout import EventKind, SystemCall
from agent.export.kernel_logs import encode_kernel_logs
from protos.ebpf import accesslog_pb2 as wire

READS = [call for call in SystemCall if 0 < call < SystemCall.WRITE]
WRITES = [call for call in SystemCall if call >= SystemCall.WRITE]
U64 = st.integers(0, 2**64 - 1)


def _offset(value: int) -> wire.EBPFTimestamp:
    return wire.EBPFTimestamp(offset=wire.EBPFOffsetTimestamp(offset=value))


WIRE_CALL = {
    SystemCall.READ: "Read",
    SystemCall.READV: "Readv",
    SystemCall.RECVFROM: "RecvFrom",
    SystemCall.RECVMSG: "RecvMsg",
    SystemCall.RECVMMSG: "RecvMmsg",
    SystemCall.PREADV2: "Readv",
    SystemCall.SPLICE_READ: "Read",
    SystemCall.WRITE: "Write",
    SystemCall.WRITEV: "Writev",
    SystemCall.SENDTO: "SendTo",
    SystemCall.SENDMSG: "SendMsg",
    SystemCall.SENDMMSG: "SendMmsg",
    SystemCall.PWRITEV2: "Writev",
    SystemCall.SENDFILE: "SendFile64",
    SystemCall.SPLICE_WRITE: "SendFile64",
}


def plain_kernel_log(log: np.void) -> wire.AccessLogKernelLog:
    """One log, field by field: what the columnar encoder must equal."""
    times = {"startTime": _offset(int(log["start_ns"])), "endTime": _offset(int(log["end_ns"]))}
    success, size = bool(log["success"]), int(log["bytes"])
    match EventKind(log["kind"]):
        case EventKind.CONNECT:
            return wire.AccessLogKernelLog(connect=wire.AccessLogKernelConnectOperation(**times, success=success))
        case EventKind.ACCEPT:
            return wire.AccessLogKernelLog(accept=wire.AccessLogKernelAcceptOperation(**times))
        case EventKind.CLOSE:
            return wire.AccessLogKernelLog(close=wire.AccessLogKernelCloseOperation(**times, success=success))
        case EventKind.READ:
            metrics = wire.AccessLogKernelReadL2Metrics(totalPackageCount=1, totalPackageSize=size)
            call = wire.AccessLogKernelReadSyscall.Value(WIRE_CALL[SystemCall(log["system_call"])])
            return wire.AccessLogKernelLog(
                read=wire.AccessLogKernelReadOperation(**times, syscall=call, l2Metrics=metrics)
            )
        case EventKind.WRITE:
            sent = wire.AccessLogKernelWriteL4Metrics(totalTransmitPackageCount=1, totalPackageSize=size)
            call = wire.AccessLogKernelWriteSyscall.Value(WIRE_CALL[SystemCall(log["system_call"])])
            return wire.AccessLogKernelLog(
                write=wire.AccessLogKernelWriteOperation(**times, syscall=call, l4Metrics=sent)
            )
        case kind:
            raise AssertionError(kind)


def make_logs(rows: list[tuple[int, int, int, int, int, int, bool]]) -> Logs:
    return np.array(rows, dtype=LOG)


def _row(kind: EventKind, calls: list[SystemCall]) -> st.SearchStrategy[tuple[int, int, int, int, int, int, bool]]:
    size = st.integers(0, 2**63 - 1)
    return st.tuples(st.integers(1, 5), U64, U64, size, st.just(int(kind)), st.sampled_from(calls), st.booleans())


ROWS = st.one_of(
    *(_row(kind, [SystemCall.NONE]) for kind in (EventKind.CONNECT, EventKind.ACCEPT, EventKind.CLOSE)),
    _row(EventKind.READ, READS),
    _row(EventKind.WRITE, WRITES),
)


@given(st.lists(ROWS, max_size=30))
def test_logs_are_those_built_field_by_field_in_their_order(
    rows: list[tuple[int, int, int, int, int, int, bool]],
) -> None:
    logs = make_logs(rows)
    encoded, ends = encode_kernel_logs(logs)
    expected = [plain_kernel_log(log) for log in logs]
    assert list(wire.EBPFAccessLogMessage.FromString(encoded.tobytes()).kernelLogs) == expected
    starts = [0, *ends.tolist()]
    for log, start, end in zip(expected, starts, ends.tolist(), strict=False):
        message = wire.EBPFAccessLogMessage.FromString(encoded[start:end].tobytes())
        assert list(message.kernelLogs) == [log]
    assert encoded.tobytes() == wire.EBPFAccessLogMessage(kernelLogs=expected).SerializeToString(deterministic=True)


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_every_system_call_has_a_name_on_the_wire(call: SystemCall) -> None:
    kind = EventKind.READ if call in READS else EventKind.WRITE
    encoded, _ = encode_kernel_logs(make_logs([(1, 1, 2, 3, int(kind), int(call), True)]))
    (log,) = wire.EBPFAccessLogMessage.FromString(encoded.tobytes()).kernelLogs
    enum = wire.AccessLogKernelReadSyscall if call in READS else wire.AccessLogKernelWriteSyscall
    operation = log.read if call in READS else log.write
    assert enum.Name(operation.syscall) == WIRE_CALL[call]
