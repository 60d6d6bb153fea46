from datetime import timedelta
from pathlib import Path

import pytest

from backend.server.settings import Settings, SettingsError, load


def written(folder: Path, text: str) -> Path:
    file = folder / "backend.yml"
    file.write_text(text)
    return file


def test_without_anything_the_ports_are_those_of_skywalking() -> None:
    settings = load(None, {}, {})
    assert (settings.grpc_port, settings.http_port, settings.token) == (11800, 12800, "")
    assert settings.limits.message_bytes == 50 * 1024 * 1024
    assert settings == Settings()


def test_the_file_then_the_environment_then_the_command_line(tmp_path: Path) -> None:
    file = written(tmp_path, "grpc_port: 1\nhttp_port: 2\nhost: from-file\nlimits: {message_bytes: 1000}\n")
    environment = {"PYROVER_BACKEND_HTTP_PORT": "20", "PYROVER_BACKEND_LIMITS_BUFFERED_BYTES": "5000", "PATH": "/bin"}
    settings = load(file, environment, {"host": "from-flag", "grpc_port": None})
    assert (settings.grpc_port, settings.http_port, settings.host) == (1, 20, "from-flag")
    assert (settings.limits.message_bytes, settings.limits.buffered_bytes) == (1000, 5000)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, "# nothing\n"), {}, {}) == Settings()


def test_times_become_a_period() -> None:
    environment = {"PYROVER_BACKEND_TIMES_RETENTION_DAYS": "0.5", "PYROVER_BACKEND_TIMES_CLOCK_DIFFERENCE_SECONDS": "1"}
    period = load(None, environment, {}).period
    assert (period.retention, period.clock_difference) == (timedelta(hours=12), timedelta(seconds=1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grpc_prot: 1", "'grpc_prot'; did you mean 'grpc_port'?"),
        ("limits: {mesage_bytes: 1}", "'limits.mesage_bytes'; did you mean 'limits.message_bytes'?"),
        ("zzz: 1", "known are host, grpc_port"),
        ("1: 2", "there is no setting '1'"),
        ("grpc_port: many", "$.grpc_port"),
        ("limits: 5", "$.limits"),
        ("[1, 2]", "must hold keys and values"),
        ("a: b: c", "is not YAML"),
        ("grpc_port: 65536", "from 0 to 65535"),
        ("grpc_port: 12800", "they must differ"),
        ("limits: {message_bytes: 0}", "limits.message_bytes is 0"),
        ("times: {retention_days: -1}", "times.retention_days is -1"),
        ("limits: {message_bytes: 2000, buffered_bytes: 1000}", "no such message could be taken"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text), {}, {})
    assert words in str(caught.value)


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, {"PYROVER_BACKEND_GRPCPORT": "1"}, {})
    assert "did you mean 'PYROVER_BACKEND_GRPC_PORT'?" in str(caught.value)


def test_two_ports_of_the_systems_choice_may_both_be_0() -> None:
    settings = load(None, {}, {"grpc_port": 0, "http_port": 0})
    assert (settings.grpc_port, settings.http_port) == (0, 0)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.yml", {}, {})


def test_the_folder_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(None, {}, {"data": str(tmp_path)}).folder == tmp_path
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Settings().folder == Path("/var/lib/pyrover")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert Settings().folder == Path("/data/pyrover")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert Settings().folder == Path("/home/me/.local/share/pyrover")
