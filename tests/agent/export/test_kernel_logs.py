import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.connections.logs import LOG, Logs
from agent.events.layout import STAGES, EventKind, SystemCall
from agent.export.kernel_logs import encode_kernel_logs
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.export.plain import WIRE_CALL, plain_kernel_log

READS = [call for call in SystemCall if 0 < call < SystemCall.WRITE]
WRITES = [call for call in SystemCall if call >= SystemCall.WRITE]
U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
SIGNED = ("packages", "retransmits", "package_bytes")  # of these a write says how many as int64


def _stage(name: str) -> st.SearchStrategy[int]:
    largest = 2**63 if name in SIGNED else 2**64
    return st.one_of(st.just(0), st.integers(0, min(largest, 256 ** STAGES[name].itemsize) - 1))


ANY_STAGES = st.one_of(
    st.just((0,) * len(STAGES.names or ())), st.tuples(*(_stage(name) for name in STAGES.names or ()))
)


def _row(kind: EventKind, calls: list[SystemCall]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(
        st.integers(1, 5), U64, U64, st.just(int(kind)), st.sampled_from(calls), st.booleans(), U32, ANY_STAGES
    )


ROWS = st.one_of(
    *(_row(kind, [SystemCall.NONE]) for kind in (EventKind.CONNECT, EventKind.ACCEPT, EventKind.CLOSE)),
    _row(EventKind.READ, READS),
    _row(EventKind.WRITE, WRITES),
)


def make_logs(rows: list[tuple[object, ...]]) -> Logs:
    return np.array(rows, dtype=LOG)


def _received(encoded: memoryview) -> list[wire.AccessLogKernelLog]:
    return list(wire.EBPFAccessLogMessage.FromString(encoded.tobytes()).kernelLogs)


@given(st.lists(ROWS, max_size=30))
def test_logs_are_those_built_field_by_field_in_their_order(rows: list[tuple[object, ...]]) -> None:
    logs = make_logs(rows)
    encoded, ends = encode_kernel_logs(logs)
    expected = [plain_kernel_log(log) for log in logs]
    assert _received(encoded) == expected
    starts = [0, *ends.tolist()]
    for log, start, end in zip(expected, starts, ends.tolist(), strict=False):
        assert _received(encoded[start:end]) == [log]
    assert encoded.tobytes() == wire.EBPFAccessLogMessage(kernelLogs=expected).SerializeToString(deterministic=True)


@given(st.lists(ROWS, min_size=1, max_size=20), st.data())
def test_losses_stand_in_the_writes_they_are_given_for(rows: list[tuple[object, ...]], data: st.DataObject) -> None:
    logs = make_logs(rows)
    expected = [plain_kernel_log(log) for log in logs]
    losses = {}
    for row in np.flatnonzero(logs["kind"] == EventKind.WRITE).tolist():
        counts = data.draw(st.dictionaries(st.text(max_size=4), st.integers(0, 2**31 - 1), max_size=3))
        if counts:
            lost = [wire.AccessLogLossPackageMetrics(location=name, count=count) for name, count in counts.items()]
            losses[row] = wire.AccessLogKernelWriteL4Metrics(lossPackageMetrics=lost).SerializeToString()
            expected[row].write.l4Metrics.lossPackageMetrics.extend(lost)
    encoded, ends = encode_kernel_logs(logs, losses)
    assert _received(encoded) == expected
    assert ends[-1] == len(encoded)


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_every_system_call_has_a_name_on_the_wire(call: SystemCall) -> None:
    kind = EventKind.READ if call in READS else EventKind.WRITE
    stages = (0,) * len(STAGES.names or ())
    encoded, _ = encode_kernel_logs(make_logs([(1, 1, 2, int(kind), int(call), True, 0, stages)]))
    (log,) = _received(encoded)
    enum = wire.AccessLogKernelReadSyscall if call in READS else wire.AccessLogKernelWriteSyscall
    operation = log.read if call in READS else log.write
    assert enum.Name(operation.syscall) == WIRE_CALL[call]
