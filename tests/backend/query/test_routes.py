"""The JSON API, asked about the little world: every number is worked out by hand from its few constants."""

import asyncio
import threading
from urllib.parse import quote

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from backend.entities.ids import service_id
from backend.query.routes import RUNNING, WAITING
from backend.storage.interface import Flush, Service, Storage, StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.query import world
from tests.backend.query.api import OBSERVED, get, refused
from tests.backend.query.conftest import client
from tests.backend.query.world import API, FRONTEND, NOW_MINUTE


async def test_services_with_exact_totals_and_rates(api: httpx.AsyncClient) -> None:
    answer = await get(api, "/api/services")
    assert answer["span"] == {
        "start": "2027-01-15T07:46:00Z",
        "end": "2027-01-15T08:00:00Z",
        "observed_minutes": OBSERVED,
    }
    assert answer["known"] == 3
    assert [service["name"] for service in answer["services"]] == ["api", "db", "frontend"]
    frontend = answer["services"][2]
    assert frontend == {
        "id": FRONTEND,
        "name": "frontend",
        "layer": "K8S_SERVICE",
        "first_seen": "2027-01-15T07:51:00Z",
        "last_seen": "2027-01-15T08:00:00Z",
        "instances": 1,
        "traffic": {
            "totals": {
                "reads": 6000,
                "writes": 12000,
                "bytes_read": 12_288_000,
                "bytes_written": 614_400,
                "connects": 300,
                "connects_failed": 30,
                "accepts": 600,
                "closes": None,
            },
            "means": {"read_time": 1_000_000, "write_time": 50_000, "connect_time": 300_000},
            "rates": {
                "reads_per_minute": 6000 / OBSERVED,
                "writes_per_minute": 12000 / OBSERVED,
                "bytes_read_per_second": 12_288_000 / OBSERVED / 60,
                "bytes_written_per_second": 614_400 / OBSERVED / 60,
                "connects_per_minute": 300 / OBSERVED,
                "connects_failed_per_minute": 30 / OBSERVED,
                "accepts_per_minute": 600 / OBSERVED,
                "closes_per_minute": None,
            },
        },
    }
    assert answer["services"][0]["instances"] == 2


async def test_no_connects_is_not_zero_connects(api: httpx.AsyncClient) -> None:
    totals = (await get(api, "/api/services"))["services"][1]["traffic"]["totals"]
    assert (totals["connects"], totals["connects_failed"], totals["accepts"]) == (None, None, 100)


async def test_a_span_counts_its_minutes_only(api: httpx.AsyncClient) -> None:
    answer = await get(api, "/api/services", start="2027-01-15T07:52:00Z", end="2027-01-15T07:54:00Z")
    assert answer["span"]["observed_minutes"] == 3
    assert answer["services"][2]["traffic"]["totals"]["reads"] == 1800
    assert answer["services"][2]["traffic"]["rates"]["reads_per_minute"] == 600


async def test_services_outside_the_span_are_known_but_not_listed(api: httpx.AsyncClient) -> None:
    answer = await get(api, "/api/services", start="2027-01-15T06:00:00Z", end="2027-01-15T07:50:00Z")
    assert answer == {
        "span": {"start": "2027-01-15T06:00:00Z", "end": "2027-01-15T07:50:00Z", "observed_minutes": 0},
        "known": 3,
        "services": [],
    }


async def test_instances_of_a_service(api: httpx.AsyncClient) -> None:
    answer = await get(api, f"/api/services/{quote(API, safe='')}/instances")
    assert answer["service"] == "api"
    first, second = answer["instances"]
    assert (first["name"], second["name"]) == ("api-1", "api-2")
    assert first["traffic"]["totals"]["bytes_written"] == 3_072_000
    assert set(second["traffic"]["totals"].values()) == {None}


async def test_ids_with_slashes_are_found(empty: Storage) -> None:
    identity = service_id("ÿÿÿ?>")
    assert "/" in identity
    metrics = world.frame([])
    seen = [Service(identity, "ÿÿÿ?>", "K8S_SERVICE", NOW_MINUTE, NOW_MINUTE)]
    empty.write(Flush("one", metrics, services=seen))
    async with client(empty) as api:
        answer = await get(api, f"/api/services/{quote(identity, safe='')}/instances")
    assert answer["service"] == "ÿÿÿ?>"
    assert answer["instances"] == []


async def test_an_unknown_service_is_not_found(api: httpx.AsyncClient) -> None:
    failure = await refused(api, "/api/services/nothing/instances", 404)
    assert "'nothing'" in failure["error"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"start": "yesterday"},
        {"start": "2027-01-15T08:00:00"},
        {"start": "2027-01-15T08:00:00+01:00"},
        {"start": "0001-01-01T00:00:00Z"},
        {"start": "-999999999w"},
        {"start": "now", "end": "-5m"},
        {"start": ["-5m", "-6m"]},
        {"start": ""},
        {"step": "week"},
        {"since": "-5m"},
        {"step": "minute", "start": "-501m"},
        {"step": "hour", "start": "-22d"},
        {"start": "-600d"},
    ],
)
async def test_refused_spans(api: httpx.AsyncClient, parameters: dict[str, str | list[str]]) -> None:
    await refused(api, "/api/metrics", 400, name="kubernetes_service_read_cpm", entity=API, **parameters)


async def test_an_empty_store(empty: Storage) -> None:
    async with client(empty) as api:
        services = await get(api, "/api/services")
        assert (services["known"], services["services"]) == (0, [])
        assert services["span"]["observed_minutes"] == 0
        topology = await get(api, "/api/topology")
        assert (topology["nodes"], topology["calls"]) == ([], [])
        metrics = await get(api, "/api/metrics", name="kubernetes_service_read_cpm", entity=API)
        assert {point["value"] for point in metrics["series"][0]["points"]} == {None}


async def test_status_adds_up_what_the_counters_say(api: httpx.AsyncClient, registry: CollectorRegistry) -> None:
    before = await get(api, "/api/status")
    assert before["logs"] == {"received": None, "stored": None, "dropped": {}, "refused": {}}
    Counter("pyrover_backend_logs_received", "-", registry=registry).inc(1000)
    Counter("pyrover_backend_logs_stored", "-", registry=registry).inc(960)
    dropped = Counter("pyrover_backend_logs_dropped", "-", ["cause"], registry=registry)
    dropped.labels("time_inverted").inc(30)
    dropped.labels("time_missing")
    Counter("pyrover_analysis_logs_dropped", "-", ["cause"], registry=registry).labels("time_inverted").inc(3)
    Counter("pyrover_backend_logs_refused", "-", ["cause"], registry=registry).labels("overloaded").inc(7)
    Counter("pyrover_backend_messages_received", "-", registry=registry).inc(50)
    Counter("pyrover_backend_messages_dropped", "-", ["cause"], registry=registry).labels("undecodable").inc()
    assert await get(api, "/api/status") == {
        "uptime_seconds": 0,
        "logs": {
            "received": 1000,
            "stored": 960,
            "dropped": {"time_inverted": 33},
            "refused": {"overloaded": 7},
        },
        "messages": {"received": 50, "dropped": {"undecodable": 1}},
    }


async def test_unknown_addresses_and_methods(api: httpx.AsyncClient) -> None:
    failure = await refused(api, "/api/nothing", 404)
    assert "/api/services/{id}/instances" in failure["hint"]
    await refused(api, "/api/", 404)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        response = await api.request(method, "/api/services")
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
        assert response.json()["hint"] == "use GET"
    head = await api.head("/api/services")
    assert (head.status_code, head.content) == (200, b"")


class BrokenStorage(MemoryStorage):
    """A store whose disk is gone, or that has a defect."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    def services(self) -> list[Service]:
        raise self.failure


async def test_a_store_that_fails_is_said_so(caplog: pytest.LogCaptureFixture) -> None:
    async with client(BrokenStorage(StorageError("the disk is full"))) as api:
        failure = await refused(api, "/api/services", 503)
    assert failure["error"] == "the disk is full"
    assert "the disk is full" in caplog.text


async def test_a_defect_is_an_answer_and_a_log_entry(caplog: pytest.LogCaptureFixture) -> None:
    async with client(BrokenStorage(RuntimeError("secret"))) as api:
        failure = await refused(api, "/api/services", 500)
    assert "secret" not in str(failure)
    assert "RuntimeError: secret" in caplog.text


class HeldStorage(MemoryStorage):
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)
        self.answer = threading.Event()

    def services(self) -> list[Service]:
        self.asked.release()
        assert self.answer.wait(120)
        return []


async def test_no_more_than_so_many_questions_wait() -> None:
    storage = HeldStorage()
    async with client(storage) as api:
        questions = [asyncio.create_task(get(api, "/api/services")) for _ in range(RUNNING + WAITING)]
        for _ in range(RUNNING):
            assert await asyncio.to_thread(storage.asked.acquire, timeout=120)
        failure = await refused(api, "/api/services", 503)
        await get(api, "/api/status")
        storage.answer.set()
        answers = await asyncio.gather(*questions)
    assert failure == {"error": f"{WAITING} questions wait already", "hint": "try again in a moment"}
    assert [answer["known"] for answer in answers] == [0] * (RUNNING + WAITING)


async def test_the_store_is_never_asked_on_the_event_loop() -> None:
    threads: set[int] = set()

    class Watched(MemoryStorage):
        def __getattribute__(self, name: str) -> object:
            threads.add(threading.get_ident())
            return super().__getattribute__(name)

    storage = Watched()
    world.fill(storage)
    async with client(storage) as api:
        threads.clear()
        await get(api, "/api/services")
        await get(api, "/api/topology")
        await get(api, f"/api/services/{quote(API, safe='')}/instances")
        await get(api, "/api/instance-topology", source=FRONTEND, target=API)
        await get(api, "/api/metrics", name="kubernetes_service_read_cpm", entity=API)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_long_span_is_added_up_piece_by_piece(empty: Storage) -> None:
    world.fill(empty)
    world.fill(empty, world.NOW - 5 * 3600)
    async with client(empty) as api:
        services = await get(api, "/api/services", start="-6h")
        topology = await get(api, "/api/topology", start="-6h")
    assert services["span"]["observed_minutes"] == 10 + OBSERVED
    traffic = services["services"][2]["traffic"]
    assert traffic["totals"]["reads"] == 12000
    assert traffic["means"]["read_time"] == 1_000_000
    (call,) = (call for call in topology["calls"] if call["source"] == API)
    assert call["client"]["bytes_received"] == 12_000_000
    assert topology["span"]["observed_minutes"] == 10 + OBSERVED
