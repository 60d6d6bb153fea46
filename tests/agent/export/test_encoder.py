import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.encoder import MessageEncoder, encode_varint, packed, varints
from protos.common import common_pb2
from protos.ebpf import accesslog_pb2 as wire

U64, U32, I64 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1)
WRITE = {
    "write.startTime.offset.offset": U64,
    "write.endTime.offset.offset": U64,
    "write.syscall": st.integers(0, 7),
    "write.l4Metrics.totalDuration": U64,
    "write.l4Metrics.totalTransmitPackageCount": I64,
    "write.l4Metrics.totalRetransmitPackageCount": I64,
    "write.l4Metrics.totalPackageSize": I64,
    "write.l3Metrics.totalNetFilterDuration": U64,
    "write.l2Metrics.ifindex": U32,
}
CLOSE = {"close.startTime.offset.offset": U64, "close.endTime.offset.offset": U64, "close.success": st.integers(0, 1)}


def _field_by_field(row: dict[str, int]) -> wire.EBPFAccessLogMessage:
    message = wire.EBPFAccessLogMessage()
    log = message.kernelLogs.add()
    for path, value in row.items():
        *parents, name = path.split(".")
        target = log
        for parent in parents:
            target = getattr(target, parent)
            target.SetInParent()
        setattr(target, name, value)
    return message


@pytest.mark.parametrize("columns", [WRITE, CLOSE], ids=["write", "close"])
@given(data=st.data())
def test_bytes_are_those_of_the_message_built_field_by_field(
    columns: dict[str, st.SearchStrategy[int]], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=20))
    encoder = MessageEncoder(wire.EBPFAccessLogMessage, "kernelLogs", columns)
    signed = {path for path, strategy in columns.items() if strategy is I64}
    arrays = {
        path: np.array([row[path] for row in rows], np.int64 if path in signed else np.uint64) for path in columns
    }
    block = encoder.encode(arrays, len(rows))
    encoded, ends = block.data[block.present].tobytes(), np.cumsum(block.lengths).tolist()
    for row, start, end in zip(rows, [0, *ends], ends, strict=False):
        expected = _field_by_field(row)
        assert wire.EBPFAccessLogMessage.FromString(encoded[start:end]) == expected
        assert encoded[start:end] == expected.SerializeToString(deterministic=True)
    assert ends[-1] == len(encoded)


@given(st.lists(st.tuples(U64, U64, U64), min_size=1, max_size=20))
def test_an_optional_message_is_there_where_something_below_it_is(rows: list[tuple[int, int, int]]) -> None:
    paths = ("write.l4Metrics.totalDuration", "write.l3Metrics.totalDuration", "write.l3Metrics.totalNetFilterCount")
    encoder = MessageEncoder(wire.EBPFAccessLogMessage, "kernelLogs", paths, optional=["write.l3Metrics"])
    columns = {path: np.array([row[at] for row in rows], np.uint64) for at, path in enumerate(paths)}
    block = encoder.encode(columns, len(rows))
    received = wire.EBPFAccessLogMessage.FromString(block.data[block.present].tobytes()).kernelLogs
    for log, (_, duration, count) in zip(received, rows, strict=True):
        assert log.write.HasField("l4Metrics")
        assert log.write.HasField("l3Metrics") == bool(duration or count)


def test_a_repeated_field_is_given_serialised() -> None:
    path = "write.l4Metrics.lossPackageMetrics"
    lost = wire.AccessLogKernelWriteL4Metrics(lossPackageMetrics=[{"location": "a", "count": 1}, {"location": "b"}])
    encoder = MessageEncoder(wire.EBPFAccessLogMessage, "kernelLogs", [path], optional=["write.l4Metrics"])
    block = encoder.encode({path: packed([b"", lost.SerializeToString(), b""])}, 3)
    received = wire.EBPFAccessLogMessage.FromString(block.data[block.present].tobytes()).kernelLogs
    assert [log.write.HasField("l4Metrics") for log in received] == [False, True, False]
    assert received[1].write.l4Metrics == lost


@given(st.lists(st.binary(max_size=9)))
def test_packed_bytes_come_back(values: list[bytes]) -> None:
    block = packed(values)
    assert block.data[block.present].tobytes() == b"".join(values)
    assert block.lengths.tolist() == [len(value) for value in values]


def test_paths_may_come_in_any_order() -> None:
    paths = list(CLOSE)
    columns = {path: np.array([7, 0], np.uint64) for path in paths}
    blocks = [
        MessageEncoder(wire.EBPFAccessLogMessage, "kernelLogs", order).encode(columns, 2)
        for order in (paths, paths[::-1])
    ]
    assert blocks[0].data[blocks[0].present].tobytes() == blocks[1].data[blocks[1].present].tobytes()


def test_no_rows_are_no_bytes() -> None:
    encoder = MessageEncoder(wire.EBPFAccessLogMessage, "kernelLogs", CLOSE)
    block = encoder.encode({path: np.empty(0, np.uint64) for path in CLOSE}, 0)
    assert block.data[block.present].tobytes() == b""


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing",
        "write",
        "write.nothing",
        "write.syscall.deeper",
        "write.l4Metrics.lossPackageMetrics.count",
        "write.l4Metrics.lossPackageMetrics.count.deeper",
        "write.",
    ],
)
def test_a_path_that_is_not_an_integer_field_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        MessageEncoder(wire.EBPFAccessLogMessage, "kernelLogs", [path])


def test_a_text_field_is_refused() -> None:
    with pytest.raises(ValueError, match="integer"):
        MessageEncoder(wire.EBPFAccessLogMessage, "node", ["name"])


def test_a_field_that_holds_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match="nanos"):
        MessageEncoder(common_pb2.Instant, "nanos", [])


@given(st.lists(U64, min_size=1))
def test_varints_are_those_of_single_numbers(values: list[int]) -> None:
    block = varints(np.array(values, np.uint64))
    assert block.data[block.present].tobytes() == b"".join(encode_varint(value) for value in values)
    assert block.lengths.tolist() == [len(encode_varint(value)) for value in values]


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_varint(value: int, encoded: bytes) -> None:
    assert encode_varint(value) == encoded
