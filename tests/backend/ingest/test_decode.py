import random
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ingest import decode as decoding
from backend.ingest.decode import CONNECTION, MALFORMED, NODE, PROTOCOL_LOG, SCHEMA, TOO_MANY_LOGS, VALID, Decoded
from backend.ingest.framing import Frames
from protos.ebpf.accesslog_pb2 import AccessLogKernelLog, AccessLogProtocolLogs, EBPFAccessLogMessage
from tests.backend.ingest.messages import message, random_message, read_log

OPERATIONS = {"connect": 1, "accept": 2, "close": 3, "read": 4, "write": 5, "http": 6}
LARGEST = 2**63 - 1


def decode(messages: list[bytes]) -> list[Decoded]:
    # Rubbish around the messages: what is read beyond a message would be seen.
    rubbish = b"\xff\x1a\x02\x0a\x00\x80"
    data, starts, lengths = rubbish, [], []
    for item in messages:
        starts.append(len(data))
        lengths.append(len(item))
        data += item + rubbish
    return list(decoding.decode(Frames(data, np.array(starts, np.int64), np.array(lengths, np.int64))))


def value_at(log: Message, path: str) -> int | str:
    value: Message | int | str = log
    for name in path.split("."):
        assert isinstance(value, Message)
        value = getattr(value, name)
    assert isinstance(value, int | str)
    return value if isinstance(value, str) else min(int(value), LARGEST)


def expected_row(log: AccessLogKernelLog | AccessLogProtocolLogs) -> tuple[int, list[int | str]]:
    """What protobuf makes of a log: its kind, then its columns."""
    kind = log.WhichOneof("operation" if isinstance(log, AccessLogKernelLog) else "protocol")
    values: list[int | str] = [0] * SCHEMA.width
    if kind is None:
        return 0, values
    for path, column in SCHEMA.columns.items():
        if path.startswith(f"{kind}."):
            values[column] = value_at(log, path)
    start, end = getattr(log, kind).startTime, getattr(log, kind).endTime
    values[SCHEMA.start :] = [
        *(min(time.offset.offset, LARGEST) for time in (start, end)),
        *(time.HasField("offset") for time in (start, end)),
    ]
    return OPERATIONS[kind], values


def with_texts(run: Decoded, operation: int, values: list[int]) -> list[int | str]:
    """The columns of a log, with the texts themselves in place of where they lie."""

    def text(place: int) -> str:
        start = place >> 32
        return run.frames.data[start : start + (place & 0xFFFFFFFF)].decode()

    texts = SCHEMA.texts.get(operation, ())
    return [text(value) if index in texts else value for index, value in enumerate(values)]


def check(messages: list[bytes]) -> int:
    """Compare with protobuf; how many of the messages it accepts."""
    rows, ranges, verdicts = [], list[tuple[Any, ...]](), []
    for index, data in enumerate(messages):
        try:
            parsed = EBPFAccessLogMessage.FromString(data)
        except DecodeError:
            verdicts.append(MALFORMED)
            ranges.append((None, None, None))
            continue
        verdicts.append(VALID)
        ranges.append(
            tuple(
                getattr(parsed, field) if parsed.HasField(field) else None
                for field in ("node", "connection", "protocolLog")
            )
        )
        rows += [(index, *expected_row(log)) for log in parsed.kernelLogs]
        if parsed.HasField("protocolLog"):
            rows.append((index, *expected_row(parsed.protocolLog)))
    found, found_ranges, found_verdicts, offset = [], [], [], 0
    for run in decode(messages):
        found_verdicts += run.verdicts.tolist()
        columns = run.values.T.tolist()
        found += [
            (offset + owner, operation, with_texts(run, operation, values))
            for owner, operation, values in zip(run.message.tolist(), run.operation.tolist(), columns, strict=True)
        ]
        for index in range(len(run.frames)):
            fields = zip((NODE, CONNECTION, PROTOCOL_LOG), ("node", "connection", "protocolLog"), strict=True)
            parts = [(run.bytes_of(index, number), name) for number, name in fields]
            found_ranges.append(
                tuple(
                    None if part is None else type(getattr(EBPFAccessLogMessage(), name)).FromString(part)
                    for part, name in parts
                )
            )
        offset += len(run.frames)
    assert found_verdicts == verdicts
    assert by_kind(found) == by_kind(rows)
    assert found_ranges == ranges
    return verdicts.count(VALID)


def by_kind(rows: list[tuple[int, int, list[int | str]]]) -> list[list[tuple[int, int, list[int | str]]]]:
    """Kernel logs, protocol logs and logs of nothing, each in order: a protocol log may stand anywhere."""
    groups: list[list[tuple[int, int, list[int | str]]]] = [[], [], []]
    for row in rows:
        groups[1 if row[1] == OPERATIONS["http"] else 0 if row[1] else 2].append(row)
    return groups


def test_every_number_below_a_kernel_log_is_a_column() -> None:
    kernel = [name for name in SCHEMA.columns if not name.startswith("http.")]
    assert len(kernel) == 31
    assert "write.l4Metrics.totalPackageSize" in kernel
    assert not [name for name in SCHEMA.columns if "Time" in name]


def test_numbers_and_texts_of_an_exchange_are_columns() -> None:
    assert [name for name in SCHEMA.columns if name.startswith("http.")] == [
        "http.version",
        "http.request.method",
        "http.request.path",
        "http.request.sizeOfHeadersBytes",
        "http.request.sizeOfBodyBytes",
        "http.request.host",
        "http.request.methodName",
        "http.response.statusCode",
        "http.response.sizeOfHeadersBytes",
        "http.response.sizeOfBodyBytes",
        "http.response.grpcStatus",
        "http.callerEndpoint",
        "http.slice",
        "http.isContinued",
    ]
    texts = ("http.request.path", "http.request.host", "http.request.methodName", "http.callerEndpoint")
    assert SCHEMA.texts == {OPERATIONS["http"]: tuple(SCHEMA.columns[name] for name in texts)}


def test_operations_share_columns_and_values_of_one_do_not() -> None:
    for kind in OPERATIONS:
        own = [column for name, column in SCHEMA.columns.items() if name.startswith(f"{kind}.")]
        assert sorted(own) == list(range(len(own)))
    assert SCHEMA.width == len([name for name in SCHEMA.columns if name.startswith("write.")]) + 4 == 21


@given(st.lists(random_message(), max_size=4))
@settings(max_examples=300)
def test_random_messages_give_what_protobuf_gives(messages: list[EBPFAccessLogMessage]) -> None:
    assert check([item.SerializeToString() for item in messages]) == len(messages)


@given(st.lists(st.binary(max_size=60), max_size=4))
@settings(max_examples=500)
def test_random_bytes_are_refused_where_protobuf_refuses_them(messages: list[bytes]) -> None:
    check(messages)


@given(first=random_message(), second=random_message())
@settings(max_examples=200)
def test_messages_that_say_everything_twice_are_merged_as_protobuf_merges_them(
    first: EBPFAccessLogMessage, second: EBPFAccessLogMessage
) -> None:
    assert check([first.SerializeToString() + second.SerializeToString()]) == 1


def delimited(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def in_log(data: bytes) -> bytes:
    return delimited(3, data)


def exchange(data: bytes) -> bytes:
    return delimited(4, delimited(1, data))


SUCCESS = b"\x18\x01"
STATUS = b"\x08\xc8\x01"
GET = delimited(4, delimited(2, b"/a"))


@pytest.mark.parametrize(
    ("data", "accepted"),
    [
        pytest.param(b"", True, id="empty"),
        pytest.param(in_log(delimited(1, b"\x18\x01\x18\x00")), True, id="the last of a repeated scalar wins"),
        pytest.param(in_log(delimited(1, SUCCESS) + delimited(3, SUCCESS)), True, id="the last of a oneof wins"),
        pytest.param(in_log(delimited(1, SUCCESS) + delimited(3, b"") + delimited(1, b"")), True, id="oneof and back"),
        pytest.param(in_log(delimited(1, SUCCESS) + delimited(1, b"")), True, id="the same of a oneof is merged"),
        pytest.param(in_log(delimited(1, SUCCESS)) + b"\x1a\xff", False, id="a oneof is not reached after an error"),
        pytest.param(
            in_log(delimited(1, SUCCESS) + delimited(3, b"")) + b"\x1a\xff",
            False,
            id="an error behind a oneof's change",
        ),
        pytest.param(delimited(1, b"\x0a\x01a") + delimited(1, b"\x22\x01b"), True, id="node in two parts"),
        pytest.param(delimited(4, b"") * 2, True, id="protocol log twice"),
        pytest.param(b"\x18\x05", True, id="kernelLogs with the wrong wire type"),
        pytest.param(in_log(b"\x08\x05"), True, id="an operation with the wrong wire type"),
        pytest.param(in_log(delimited(1, b"\x1a\x01\x01")), True, id="success with the wrong wire type"),
        pytest.param(in_log(delimited(1, b"\x1d\x01\x02\x03\x04")), True, id="success as fixed32"),
        pytest.param(in_log(delimited(9, b"anything")), True, id="an unknown operation"),
        pytest.param(b"\xa2\x06\x00", True, id="an unknown field of two bytes"),
        pytest.param(b"\x29" + bytes(8) + b"\x2d" + bytes(4), True, id="unknown fixed fields"),
        pytest.param(b"\x29" + bytes(7), False, id="a fixed64 that is cut"),
        pytest.param(b"\x2d" + bytes(3), False, id="a fixed32 that is cut"),
        pytest.param(b"\x2b\x0a\x01\x00\x08\x05\x2c", True, id="a group"),
        pytest.param(b"\x1b\x0a\x00\x1c", True, id="a group where logs are expected"),
        pytest.param(b"\x2b\x00\x05\x2c", True, id="field number 0 in a group"),
        pytest.param(b"\x2b\x03\x04\x2c", True, id="a group of number 0 in a group"),
        pytest.param(b"\x03\x04", False, id="a group of number 0"),
        pytest.param(b"\x2b\x34", False, id="a group that ends with another number"),
        pytest.param(b"\x2c", False, id="the end of no group"),
        pytest.param(b"\x2b\x08", False, id="a group that is cut"),
        pytest.param(in_log(b"\x2c"), False, id="the end of no group in a log"),
        pytest.param(b"\x2b" * 100 + b"\x2c" * 100, True, id="a hundred groups in each other"),
        pytest.param(b"\x2b" * 101 + b"\x2c" * 101, False, id="one too many groups in each other"),
        pytest.param(in_log(b"\x3b" * 60 + b"\x3c" * 60), True, id="groups in a log"),
        pytest.param(b"\x2e", False, id="wire type 6"),
        pytest.param(b"\x2f", False, id="wire type 7"),
        pytest.param(b"\x00", False, id="field number 0"),
        pytest.param(b"\x80\x00", False, id="field number 0 in two bytes"),
        pytest.param(b"\xa8\x80\x80\x80\x00\x01", True, id="a tag of five bytes"),
        pytest.param(b"\xa8\x80\x80\x80\x80\x00\x01", False, id="a tag of six bytes"),
        pytest.param(b"\xf8\xff\xff\xff\x0f\x01", True, id="the largest field number"),
        pytest.param(b"\xf8\xff\xff\xff\x1f\x01", False, id="a field number too large"),
        pytest.param(b"\x9a\x80\x80\x80\x00\x00", True, id="kernelLogs by an over-long tag"),
        pytest.param(b"\x1a\x80\x80\x80\x80\x00", True, id="a length of five bytes"),
        pytest.param(b"\x1a\x80\x80\x80\x80\x80\x00", False, id="a length of six bytes"),
        pytest.param(b"\x1a\xff\xff\xff\xff\x07", False, id="a length beyond the end"),
        pytest.param(b"\x1a\xff\xff\xff\xff\x0f", False, id="a length that is negative in 32 bits"),
        pytest.param(b"\x28" + b"\xff" * 9 + b"\x7f", True, id="a varint of ten bytes with bits beyond the 64th"),
        pytest.param(b"\x28" + b"\xff" * 10 + b"\x01", False, id="a varint of eleven bytes"),
        pytest.param(in_log(delimited(1, b"\x18" + b"\x80" * 9 + b"\x02")), True, id="true is any bit of 64"),
        pytest.param(in_log(delimited(1, b"\x18\x80\x80\x80\x80\x10")), True, id="true by a bit above the 32nd"),
        pytest.param(in_log(delimited(4, b"\x18" + b"\xff" * 9 + b"\x01")), True, id="an enum of -1"),
        pytest.param(in_log(delimited(4, b"\x18\x80\x80\x80\x80\x10")), True, id="an enum of 2^32"),
        pytest.param(in_log(delimited(4, b"\x22\x07\x10\xff\xff\xff\xff\xff\x1f")), True, id="a uint32 of 42 bits"),
        pytest.param(in_log(delimited(5, b"\x22\x0b\x28" + b"\xff" * 9 + b"\x01")), True, id="an int64 of -1"),
        pytest.param(in_log(delimited(5, b"\x22\x0b\x08" + b"\xff" * 9 + b"\x01")), True, id="a uint64 of 2^64-1"),
        pytest.param(in_log(delimited(5, delimited(4, delimited(4, b"\x0a\x01\xff")))), False, id="text not UTF-8"),
        pytest.param(
            in_log(delimited(5, delimited(4, delimited(4, b"\x18")))), False, id="an error in what is skipped"
        ),
        pytest.param(delimited(2, b"\x0a\x01"), False, id="an error in a connection"),
        pytest.param(delimited(1, b"\x0a\x02\xc3\x28"), False, id="a node's name not UTF-8"),
        pytest.param(delimited(4, b"\x0a\xff"), False, id="an error in a protocol log"),
        pytest.param(delimited(4, b""), True, id="a protocol log of no protocol"),
        pytest.param(delimited(4, delimited(2, b"anything")), True, id="a protocol log of an unknown protocol"),
        pytest.param(b"\x20\x05", True, id="a protocol log with the wrong wire type"),
        pytest.param(exchange(GET) + in_log(delimited(1, SUCCESS)), True, id="a protocol log ahead of a kernel log"),
        pytest.param(exchange(GET) + exchange(delimited(5, STATUS)), True, id="a protocol log in two parts"),
        pytest.param(delimited(4, delimited(1, GET) + delimited(1, b"\x18\x01")), True, id="an exchange in two parts"),
        pytest.param(exchange(GET + delimited(4, delimited(2, b"/b"))), True, id="the last of a repeated text wins"),
        pytest.param(exchange(GET + delimited(4, delimited(2, b""))), True, id="an empty text wins, too"),
        pytest.param(exchange(GET) + exchange(b"\xff"), False, id="an error in the second part of a protocol log"),
        pytest.param(exchange(delimited(4, delimited(2, b"\xff"))), False, id="a path not UTF-8"),
        pytest.param(exchange(delimited(4, delimited(6, b"\xed\xa0\x80"))), False, id="a host with a surrogate"),
        pytest.param(
            exchange(delimited(4, delimited(5, delimited(2, b"\xff")))),
            False,
            id="text that is not kept not UTF-8",
        ),
        pytest.param(exchange(delimited(4, b"\xf2\x3e\x03LOC")), True, id="the method's name, an extension"),
        pytest.param(exchange(b"\xfa\x3e\x01\xff"), False, id="an extension of text not UTF-8"),
        pytest.param(exchange(b"\xc8\x3f\x07\xd0\x3f\x01\xd8\x3f\x01"), True, id="numbers 1017, 1018 and 1019"),
        pytest.param(exchange(b"\x88\x3f\x02\x90\x3f\x05"), True, id="slice and isContinued"),
        pytest.param(exchange(delimited(5, b"\x80\x3f" + b"\xff" * 9 + b"\x01")), True, id="a gRPC status of -1"),
        pytest.param(exchange(delimited(5, b"\x08" + b"\xff" * 9 + b"\x01")), True, id="a status of -1"),
        pytest.param(exchange(b"\x22"), False, id="an exchange that is cut"),
    ],
)
def test_corners_of_the_wire_format(data: bytes, accepted: bool) -> None:  # noqa: FBT001 - a parameter of the table
    good = message(read_log(), node="n", remote="10.0.0.2").SerializeToString()
    assert check([good, data, good]) == 2 + accepted


@given(st.binary(max_size=6))
@settings(max_examples=1_000)
def test_text_is_checked_as_python_checks_it(text: bytes) -> None:
    check([delimited(1, b"\x0a" + bytes([len(text)]) + text)])


@pytest.mark.parametrize("first", range(0x80, 0x100))
def test_every_beginning_of_utf8(first: int) -> None:
    seconds = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    texts = [bytes([first, second, 0x80, 0x80][:length]) for second in seconds for length in (1, 2, 3, 4)]
    check([delimited(1, b"\x0a" + bytes([len(text)]) + text) for text in texts])


def mutated(source: random.Random, data: bytes) -> bytes:
    result = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(result)) if result else 0
        match source.randrange(6):
            case 0 if result:
                result[at] = source.randrange(256)
            case 1 if result:
                result[at] ^= 1 << source.randrange(8)
            case 2:
                del result[at : at + source.randint(1, 4)]
            case 3:
                result[at:at] = source.randbytes(source.randint(1, 4))
            case 4:
                del result[at:]
            case _:
                piece = source.randrange(len(result) + 1)
                result[at:at] = result[piece : piece + source.randint(1, 12)]
    return bytes(result)


def rich_message(source: random.Random) -> bytes:
    """Some or nearly all fields of the schema, with random numbers."""
    absent = source.choice((0.2, 0.6))

    def fill(target: Message, depth: int) -> None:
        for field in target.DESCRIPTOR.fields:
            if source.random() < absent:
                continue
            if field.message_type:
                items = getattr(target, field.name)
                inner = items.add() if field.is_repeated else items
                inner.SetInParent()
                fill(inner, depth + 1)
            elif field.is_repeated:
                getattr(target, field.name).append("n" * source.randrange(4))
            elif field.cpp_type == field.CPPTYPE_STRING:
                setattr(target, field.name, "ä" * source.randrange(4))
            elif field.cpp_type == field.CPPTYPE_BOOL:
                setattr(target, field.name, source.random() < 0.5)
            else:
                setattr(target, field.name, source.randrange(1 << source.randrange(1, 31)))

    made = EBPFAccessLogMessage()
    fill(made, 0)
    for _ in range(source.randrange(4)):
        fill(made.kernelLogs.add(), 1)
    return made.SerializeToString()


@pytest.mark.parametrize("seed", range(20))
def test_ten_thousand_mutations_give_what_protobuf_gives(seed: int) -> None:
    source = random.Random(seed)
    seeds = [rich_message(source) for _ in range(50)]
    messages = [mutated(source, source.choice(seeds)) for _ in range(10_000)]
    accepted = check(messages)
    # Both sides of the comparison must have been exercised.
    assert 500 < accepted < 9_500


def test_positions_outside_the_buffer_are_refused() -> None:
    data = message(read_log()).SerializeToString()
    for start, length in ((-1, 4), (0, len(data) + 1), (len(data) + 1, 1), (2, -1), (2**62, 2**62)):
        frames = Frames(data, np.array([start], np.int64), np.array([length], np.int64))
        assert [run.verdicts.tolist() for run in decoding.decode(frames)] == [[MALFORMED]]


def test_runs_are_bounded_by_their_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "GROUP_LOGS", 10)
    messages = [message(*[read_log()] * count).SerializeToString() for count in (4, 6, 1, 25, 3)]
    assert [len(run.message) for run in decode(messages)] == [10, 1, 25, 3]


def test_a_message_of_too_many_logs_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAXIMUM_LOGS", 5)
    messages = [message(*[read_log()] * count).SerializeToString() for count in (5, 6, 2)]
    (run,) = decode(messages)
    assert run.verdicts.tolist() == [VALID, TOO_MANY_LOGS, VALID]
    assert len(run.message) == 7


def test_a_refused_message_leaves_no_trace_in_the_next() -> None:
    full = message(read_log(size=999), node="n").SerializeToString()
    bare = message(AccessLogKernelLog(read={})).SerializeToString()
    (run,) = decode([full + b"\x1a\xff", bare])
    assert run.verdicts.tolist() == [MALFORMED, VALID]
    assert run.message.tolist() == [1]
    assert not run.values.any()
    assert run.bytes_of(0, NODE) is None
