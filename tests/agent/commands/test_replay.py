import json
from pathlib import Path

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
    assert "absent: No such file or directory" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("core: 1")
    assert main(["replay", str(RECORDING), "--config", str(file)]) == 1
    assert f"{file}:1: core is 1; it must hold keys and values" in capsys.readouterr().err
