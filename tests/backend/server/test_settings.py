from datetime import timedelta
from pathlib import Path

import pytest

from backend.server.loading import load
from backend.server.settings import Settings
from backend.storage.interface import Retention


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


def test_the_place_of_the_store() -> None:
    assert load(None, {}, {"data": "/data"}).store_url == "duckdb:/data/metrics.duckdb"
    environment = {
        "SW_STORAGE": "clickhouse",
        "PYROVER_BACKEND_STORE_CLICKHOUSE_HOST": "::1",
        "PYROVER_BACKEND_STORE_CLICKHOUSE_PASSWORD": "a/b@c",
    }
    assert load(None, environment, {}).store_url == "clickhouse://default:a%2Fb%40c@[::1]:9000/pyrover"
    environment["PYROVER_BACKEND_STORE_CLICKHOUSE_CLUSTER"] = "two"
    assert load(None, environment, {}).store_url.endswith("/pyrover?cluster=two")


def test_longer_steps_are_kept_at_least_as_long_as_shorter_ones() -> None:
    day = 24 * 60
    assert load(None, {}, {}).retention == Retention(7 * day, 15 * day, 15 * day, 7 * day)
    long = load(None, {"SW_CORE_METRICS_DATA_TTL": "30"}, {}).retention
    assert long == Retention(30 * day, 30 * day, 30 * day, 7 * day)
    half = load(None, {"PYROVER_BACKEND_TIMES_RETENTION_DAYS": "0.5"}, {}).retention
    assert (half.minutes, half.hours) == (day // 2, 15 * day)
