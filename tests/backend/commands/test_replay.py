import asyncio
import json
import time
from pathlib import Path

import pytest

from backend.cli import main
from protos.recording import write_messages, write_signature
from tests.backend.ingest.messages import message, read_log
from tests.backend.server.support import Collecting, Full, receiving

LONG_AGO = 1_500_000_000.0


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two streams of 1 + 49 messages with 2 logs each, recorded long ago."""
    file = tmp_path / "recorded.logs"
    logs = (read_log(10**9, 2 * 10**9, size=7), read_log(3 * 10**9, 4 * 10**9, size=8))
    with file.open("wb") as opened:
        write_signature(opened)
        for boot in (LONG_AGO, LONG_AGO + 30):
            stream = [message(*logs, node="n", boot=boot, remote="a")] + [message(*logs)] * 49
            write_messages(opened, (item.SerializeToString() for item in stream))
    return file


async def replay(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["replay", *arguments])


async def test_a_recording_arrives_with_its_times_brought_to_now(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = Collecting()
    before = time.time()
    async with receiving(sink) as receiver:
        status = await replay(str(recording), "--to", receiver.address, "--repeat", "3")
    assert status == 0
    assert sink.sizes() == [7, 8] * 300
    minutes = {minute for batch in sink.batches for minute in batch.minute.tolist()}
    # The newest log of the second stream ends now; the first stream is half a minute earlier.
    assert min(minutes) >= (before - 34) // 60
    assert max(minutes) <= time.time() // 60
    assert len({batch.connections[0].node.boot_time_ns for batch in sink.batches}) == 6
    printed = capsys.readouterr().out
    assert "sent 6 streams, 300 messages" in printed
    assert "answered OK: 6" in printed


async def test_unshifted_times_are_too_old_and_the_answer_says_so(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = Collecting()
    async with receiving(sink) as receiver:
        status = await replay(str(recording), "--to", receiver.address, "--no-shift-times", "--json")
    assert status == 0
    assert sink.logs == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["streams"], result["messages"]) == (2, 100)
    assert result["answers"] == {"OK": 2}
    assert result["dropped"] == {"time_expired": 200}


async def test_a_rate_is_kept(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [1_000.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("backend.replay.sender.time.sleep", sleep)
    monkeypatch.setattr("backend.replay.sender.time.monotonic", lambda: now[0])
    async with receiving(Collecting()) as receiver:
        await replay(str(recording), "--to", receiver.address, "--rate", "100/s")
    assert len(pauses) == 99
    assert now[0] == pytest.approx(1_000.99)


async def test_an_answer_that_is_not_ok_is_shown_and_the_status_is_1(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with receiving(Full()) as receiver:
        status = await replay(str(recording), "--to", receiver.address)
    assert status == 1
    assert "answered RESOURCE_EXHAUSTED: 5 logs wait to be stored; wait and send again: 2" in capsys.readouterr().out


async def test_an_address_where_nothing_answers_is_named(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await replay(str(recording), "--to", "127.0.0.1:1") == 1
    assert "127.0.0.1:1 does not take access logs" in capsys.readouterr().err


async def test_a_file_that_is_no_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    assert await replay(str(other), "--to", "127.0.0.1:1") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"pyrover-backend replay: {other}: not a recording of access logs: make one with ")
    assert await replay(str(tmp_path / "none"), "--to", "127.0.0.1:1") == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [("--rate", "fast"), ("--rate", "0"), ("--rate", "0/s"), ("--rate", "nan"), ("--rate", "inf"), ("--repeat", "0")],
)
def test_wrong_numbers_are_refused(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["replay", "file", "--to", "a:1", *wrong])
    assert caught.value.code == 2
    assert wrong[1] in capsys.readouterr().err
