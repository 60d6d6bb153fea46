from datetime import timedelta
from pathlib import Path

import pytest

from backend.server.loading import load
from backend.server.settings import Settings


def test_times_become_a_period() -> None:
    environment = {"PYROVER_BACKEND_TIMES_RETENTION_DAYS": "0.5", "PYROVER_BACKEND_TIMES_CLOCK_DIFFERENCE_SECONDS": "1"}
    period = load(None, environment, {}).period
    assert (period.retention, period.clock_difference) == (timedelta(hours=12), timedelta(seconds=1))


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
