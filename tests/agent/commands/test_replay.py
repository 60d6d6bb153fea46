import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import grpc
import pytest

from agent.cli import main
from protos.recording import read_messages
from tests.agent.export.collector import Collector
from tests.agent.wire_totals import totals_by_service

DATA = Path(__file__).parents[2] / "data"
RECORDING = DATA / "agent_run.events"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    file = tmp_path / "agent.yaml"
    file.write_text(
        "discovery:\n  service_rules:\n  - {service: '\\1', command_line: 'recording_workload.py (\\w+)'}\n"
        "access_log: {flush: {period: 200ms}}\n"
    )
    return file


def _replay(configuration: Path, output: Path) -> list[bytes]:
    assert main(["replay", str(RECORDING), "--config", str(configuration), "--output", str(output)]) == 0
    with output.open("rb") as file:
        return list(read_messages(file))


def test_the_logs_are_exactly_what_the_recorded_programs_did(configuration: Path, tmp_path: Path) -> None:
    messages = _replay(configuration, tmp_path / "logs")
    assert totals_by_service(messages) == json.loads((DATA / "agent_run.json").read_text())


def test_the_same_bytes_every_time(configuration: Path, tmp_path: Path) -> None:
    _replay(configuration, tmp_path / "first")
    _replay(configuration, tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_to_a_backend_come_the_same_messages_as_to_a_file(configuration: Path, tmp_path: Path) -> None:
    collector = Collector()
    with collector.serve() as port:
        arguments = ["replay", str(RECORDING), "--config", str(configuration), "--backend", f"127.0.0.1:{port}"]
        assert main(arguments) == 0
    delivered = [message for batch in collector.accepted.values() for message in batch]
    assert delivered == _replay(configuration, tmp_path / "logs")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a recording of kernel events"),
        (b"PYRLOG\0\1", "not a recording of kernel events"),
        (RECORDING.read_bytes()[:-10], "cut short"),
        (RECORDING.read_bytes()[:2000] + b"\0\0" + RECORDING.read_bytes()[2002:], "damaged"),
    ],
    ids=["empty", "of another kind", "cut short", "damaged"],
)
def test_a_file_that_cannot_be_replayed(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken"
    file.write_bytes(content)
    assert main(["replay", str(file), "--output", str(tmp_path / "logs")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"pyrover-agent: {file}: ")
    assert message in error


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "absent"), "--output", str(tmp_path / "logs")]) == 1
    assert (
        capsys.readouterr().err == f"pyrover-agent: {tmp_path / 'absent'} cannot be read: No such file or directory\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_disk_that_is_full_is_told_with_the_name_of_the_file(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", disk], check=True)
    try:
        status = main(["replay", str(RECORDING), "--config", str(configuration), "--output", str(disk / "logs")])
    finally:
        subprocess.run(["umount", disk], check=True)
    assert status == 1
    error = capsys.readouterr().err
    assert error == f"pyrover-agent: --output: {disk / 'logs'} cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("place", "reason"), [(".", "Is a directory"), ("absent/logs", "No such file or directory")], ids=str
)
def test_a_file_that_cannot_be_written(
    place: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / place
    assert main(["replay", str(RECORDING), "--output", str(output)]) == 1
    assert capsys.readouterr().err == f"pyrover-agent: --output: {output} cannot be written: {reason}\n"


def test_what_is_no_recording_replaces_no_logs(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no recording")
    (tmp_path / "logs").write_bytes(b"of last week")
    assert main(["replay", str(tmp_path / "broken"), "--output", str(tmp_path / "logs")]) == 1
    assert (tmp_path / "logs").read_bytes() == b"of last week"


def test_the_recording_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, other_name = tmp_path / "run.events", tmp_path / "logs"
    recording.write_bytes(RECORDING.read_bytes())
    other_name.hardlink_to(recording)
    assert main(["replay", str(recording), "--output", str(other_name)]) == 1
    error = capsys.readouterr().err
    assert error == f"pyrover-agent: --output: {other_name} is the recording itself: name another file\n"
    assert recording.read_bytes() == RECORDING.read_bytes()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "refused them (INVALID_ARGUMENT: as the test wants)"),
        (
            grpc.StatusCode.UNAUTHENTICATED,
            "does not take this agent's token or certificate (UNAUTHENTICATED: as the test wants)",
        ),
    ],
    ids=["refused", "denied"],
)
def test_a_backend_that_does_not_take_them_is_told(
    status: grpc.StatusCode, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is denied waits for another token, until the user ends it: that is at once, whatever still has time."""
    collector = Collector()

    def fail(attempt: int) -> grpc.StatusCode:
        if attempt == 1 and status is grpc.StatusCode.UNAUTHENTICATED:
            os.kill(os.getpid(), signal.SIGINT)
        return status

    collector.failure = fail
    with collector.serve() as port:
        assert main(["replay", str(RECORDING), "--backend", f"127.0.0.1:{port}"]) == 1
    counts, why = capsys.readouterr().err.splitlines()[-2:]
    assert counts.endswith(" logs, 0 delivered")  # as many as were played by then
    assert why.startswith(f"not delivered: the backend at 127.0.0.1:{port} {reason}: ")


def test_a_backend_that_nobody_reaches_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for attempt in range(2):
                connection, _ = server.accept()
                if attempt:
                    os.kill(os.getpid(), signal.SIGTERM)
                connection.close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert main(["replay", str(RECORDING), "--backend", address]) == 1
        hanging_up.join()
    counts, why = capsys.readouterr().err.splitlines()
    assert counts.endswith(" logs, 0 delivered")  # as many as were played by then
    assert why.startswith(f"not delivered: no backend took them at {address} in time (UNAVAILABLE: {address}: ")
