"""Alarms of a whole backend: from logs to a webhook and GraphQL, and over a restart."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from backend.server.alarms import RECORDS, Alarms
from backend.server.settings import Files, Settings, SettingsError
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import StorageError
from tests import patient
from tests.backend.alarms.receivers import receiving
from tests.backend.alarms.world import API, CATALOG, CPM, write
from tests.backend.server.processes import ANY_PORTS, backend, start
from tests.waiting import eventually

QUESTION = """query ($condition: AlarmQueryCondition!) {
  queryAlarms(condition: $condition) { msgs { id name message recoveryTime tags { key value } } }
}"""


def rules(url: str, limit: int = 10) -> str:
    return f"""
rules:
  busy_rule:
    expression: sum({CPM}) > {limit}
    period: 5
    message: "{{name}} is busy"
    tags: {{level: WARNING}}
hooks:
  webhook:
    default:
      is-default: true
      urls: ["{url}"]
      headers: {{Authorization: Bearer t0ken}}
"""


def found(addresses: dict[str, str]) -> list[dict[str, object]]:
    now = int(time.time())
    day = {
        name: time.strftime("%Y-%m-%d %H", time.gmtime(now + shift))
        for name, shift in (("start", -7200), ("end", 7200))
    }
    condition = {"duration": {**day, "step": "HOUR"}, "paging": {"pageNum": 1, "pageSize": 10}}
    body = {"query": QUESTION, "variables": {"condition": condition}}
    answer = patient.post(f"{addresses['http']}/graphql", json=body).json()
    alarms: list[dict[str, object]] = answer["data"]["queryAlarms"]["msgs"]
    return alarms


def store(folder: Path) -> None:
    """Calls in each of the last minutes, so that every minute that is due now has some in its period."""
    storage = DuckdbStorage(folder / "metrics.duckdb")
    now = int(time.time()) // 60
    write(storage, [(CPM, "", API, now - minute, 20, 0) for minute in range(5)])
    storage.close()


async def test_an_alarm_comes_to_a_hook_and_is_there_after_a_restart(tmp_path: Path) -> None:
    store(tmp_path)
    file = tmp_path / "alarms.yml"
    environment = {"PYROVER_BACKEND_FILES_ALARMS": str(file)}
    async with receiving() as receiver:
        file.write_text(rules(receiver.url))
        came = receiver.came

        def first() -> list[dict[str, object]]:
            with backend(tmp_path, environment=environment) as (process, addresses):
                assert came.wait(120), process.poll()
                metrics = patient.get(f"{addresses['http']}/metrics").text
                assert "pyrover_backend_alarms_begun_total 1.0" in metrics
                alarms = found(addresses)
                file.write_text(rules(receiver.url, limit=1_000) + "wrong: 1\n")
                answer = patient.post(f"{addresses['http']}/api/reload")
                assert answer.status_code == 422
                assert f"{file}: wrong: there is no such key" in answer.text
                file.write_text(rules(receiver.url, limit=1_000))
                (part,) = [
                    part
                    for part in patient.post(f"{addresses['http']}/api/reload").json()["parts"]
                    if part["part"] == "alarms"
                ]
                assert part == {"part": "alarms", "outcome": "replaced", "detail": "1 rules, 1 hooks"}
                return alarms

        alarms = await asyncio.to_thread(first)
        (told,) = json.loads(receiver.bodies[0])
        assert (told["name"], told["alarmMessage"], told["id0"]) == ("api", "api is busy", API)
        assert receiver.headers(0)["authorization"] == "Bearer t0ken"

    def second() -> list[dict[str, object]]:
        with backend(tmp_path, environment=environment) as (_, addresses):
            return found(addresses)

    expected = {
        "id": API,
        "name": "api",
        "message": "api is busy",
        "recoveryTime": None,
        "tags": [{"key": "level", "value": "WARNING"}],
    }
    assert alarms == [expected]
    (after,) = await asyncio.to_thread(second)
    assert {**after, "recoveryTime": None} == expected


def test_wrong_rules_at_the_start_are_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "alarms.yml"
    file.write_text("rules: {slow_rule: {expression: avg(no_such_metric) > 1}}")
    environment = {"PYROVER_BACKEND_FILES_ALARMS": str(file)}
    process = start(*ANY_PORTS, "--data", str(tmp_path), environment=environment)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"{file}: rules.slow_rule.expression: the expression is wrong at column 5: there is no metric" in error


async def test_what_cannot_be_opened_is_closed_again(tmp_path: Path) -> None:
    storage = DuckdbStorage(tmp_path / "metrics.duckdb")
    wrong = Settings(data=str(tmp_path), files=Files(alarms=str(tmp_path / "none.yml")))
    async with Alarms(wrong, lambda: CATALOG, CollectorRegistry()) as alarms:
        with pytest.raises(SettingsError, match=r"none\.yml: cannot be read"):
            await alarms.open(storage)
    (tmp_path / RECORDS).write_bytes(b"no SQLite" * 1_000)
    async with Alarms(Settings(data=str(tmp_path)), lambda: CATALOG, CollectorRegistry()) as alarms:
        with pytest.raises(StorageError, match="move it away"):
            await alarms.open(storage)
    storage.close()


async def test_it_checks_while_it_is_open(tmp_path: Path) -> None:
    storage = DuckdbStorage(tmp_path / "metrics.duckdb")
    registry = CollectorRegistry()
    async with Alarms(Settings(data=str(tmp_path)), lambda: CATALOG, registry) as alarms:
        await alarms.open(storage)
        await eventually(lambda: alarms.watch.engine.minute is not None)
        assert registry.get_sample_value("pyrover_backend_alarms_begun_total") == 0
    storage.close()
