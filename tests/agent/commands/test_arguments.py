import argparse
import logging

import pytest

from agent.cli import main
from agent.commands import arguments as shared
from agent.config import Configuration
from agent.config_reading import ConfigurationError


def _parse(*arguments: str) -> Configuration:
    parser = argparse.ArgumentParser()
    shared.add_configuration(parser)
    shared.add_backend(parser)
    shared.add_kernel(parser)
    return shared.configuration(parser.parse_args(arguments))


def test_flags_set_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROVER_BACKEND_ADDR", "environment:1")
    configuration = _parse("--flush-period", "500ms", "--attach", "tracepoint", "--ring-bytes", "4096")
    assert configuration.core.backend.addr == "environment:1"
    assert configuration.access_log.flush.period == 0.5
    assert (configuration.kernel.attach, configuration.kernel.ring_bytes) == ("tracepoint", 4096)
    assert _parse("--backend", "flag:2").core.backend.addr == "flag:2"


def test_a_flag_out_of_range_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="the command line"):
        _parse("--ring-bytes", "0")


@pytest.mark.parametrize("command", ["run", "record", "replay"])
def test_help_is_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert "--config FILE" in capsys.readouterr().out


def test_a_duration_that_is_none_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--for", "10"])
    assert end.value.code == 2
    assert "write it like 500ms, 10s" in capsys.readouterr().err


@pytest.mark.usefixtures("kept_levels")
def test_the_level_of_messages_counts_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROVER_LOGGER_LEVEL", "error")
    _parse()
    assert [logging.getLogger(name).getEffectiveLevel() for name in ("agent.x", "common.x")] == [logging.ERROR] * 2
    monkeypatch.delenv("ROVER_LOGGER_LEVEL")
    _parse()
    assert logging.getLogger("agent.x").getEffectiveLevel() == logging.INFO


def test_several_backends_may_be_named() -> None:
    assert _parse("--backend", "a:1,[::1]:2").core.backend.addr == "a:1,[::1]:2"
    with pytest.raises(ConfigurationError, match=r"the command line: core\.backend\.addr: 'b' is not HOST:PORT"):
        _parse("--backend", "a:1,b")
