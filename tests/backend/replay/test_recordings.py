import time
from pathlib import Path

import pytest

from backend.replay.recordings import newest, shifted, streams
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from protos.recording import RecordingError, write_messages, write_signature
from tests.backend.ingest.messages import message, read_log

SECOND = 10**9


def record(path: Path, *messages: EBPFAccessLogMessage) -> Path:
    with path.open("wb") as file:
        write_signature(file)
        write_messages(file, (item.SerializeToString() for item in messages))
    return path


def test_a_message_that_names_a_node_begins_a_stream(tmp_path: Path) -> None:
    named, plain = message(node="n", remote="a"), message(read_log())
    file = record(tmp_path / "r", named, plain, plain, named, named, plain)
    assert [len(stream) for stream in streams(file)] == [3, 1, 2]


def test_messages_before_the_first_node_are_a_stream(tmp_path: Path) -> None:
    file = record(tmp_path / "r", message(read_log()), message(node="n"))
    assert [len(stream) for stream in streams(file)] == [1, 1]


def test_streams_of_many_messages(tmp_path: Path) -> None:
    named, plain = message(node="n"), message(read_log())
    file = record(tmp_path / "r", *([named] + [plain] * 2_499) * 2)
    assert [len(stream) for stream in streams(file)] == [2_500, 2_500]


def test_an_empty_recording_has_no_streams(tmp_path: Path) -> None:
    assert list(streams(record(tmp_path / "r"))) == []
    assert newest(record(tmp_path / "r")) is None


def test_the_newest_log_of_all_streams(tmp_path: Path) -> None:
    file = record(
        tmp_path / "r",
        message(read_log(1, 5 * SECOND), read_log(1, 3), node="n", boot=1_000.5),
        message(read_log(1, 7 * SECOND)),
        message(read_log(1, 2 * SECOND), node="m", boot=1_005.0),
        message(read_log(1, 2**64 - 1)),
    )
    assert newest(file) == 1_007_500_000_000


def test_logs_without_a_boot_time_tell_no_time(tmp_path: Path) -> None:
    assert newest(record(tmp_path / "r", message(read_log()))) is None


def test_shifting_moves_the_boot_time_and_nothing_else() -> None:
    first = message(read_log(), node="n", boot=1_000.75, remote="a")
    rest = [message(read_log()).SerializeToString()]
    moved = shifted([first.SerializeToString(), *rest], 500_000_000)
    parsed = EBPFAccessLogMessage.FromString(moved[0])
    assert (parsed.node.bootTime.seconds, parsed.node.bootTime.nanos) == (1_001, 250_000_000)
    parsed.node.bootTime.CopyFrom(first.node.bootTime)
    assert parsed == first
    assert moved[1:] == rest


def test_a_stream_without_a_boot_time_is_left_alone() -> None:
    unbooted = message(read_log(), node="n")
    unbooted.node.ClearField("bootTime")
    for stream in ([message(read_log()).SerializeToString()], [unbooted.SerializeToString()]):
        assert shifted(stream, time.time_ns()) == stream


def test_a_recording_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    file = record(tmp_path / "r", message(node="n"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RecordingError):
        list(streams(file))
