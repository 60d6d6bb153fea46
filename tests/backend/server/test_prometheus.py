"""A real Prometheus server reads the counters of a whole backend, which answers PromQL itself and sends by OTLP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import patient
from tests.backend.query.promql.prometheus import needs_prometheus, prometheus
from tests.backend.server.processes import backend, start
from tests.waiting import PATIENCE, until


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the HTTP port of a backend."""
    with backend(tmp_path_factory.mktemp("data")) as (_, addresses):
        yield addresses["http"]


def query(http: httpx.Client, text: str) -> list[dict[str, Any]]:
    body = http.get("/api/v1/query", params={"query": text}).json()
    assert body["status"] == "success", body
    found: list[dict[str, Any]] = body["data"]["result"]
    return found


@needs_prometheus
def test_prometheus_scrapes_the_backends_counters(address: str, tmp_path: Path) -> None:
    target = address.removeprefix("http://")
    configuration = f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- {{job_name: backend, static_configs: [{{targets: ["{target}"]}}]}}
"""
    for question in ("1", "x("):
        patient.get(f"{address}/api/v1/query", params={"query": question})
    with prometheus(tmp_path, configuration) as server, httpx.Client(base_url=server, timeout=120) as http:
        # A scrape that takes longer than a second hides what was before.
        (up,) = until(lambda: query(http, 'up{job="backend"} == 1'))
        assert up["metric"]["instance"] == target
        # One question was answered, one refused; the counters of the receiver have both names.
        (refused,) = until(lambda: query(http, 'pyrover_promql_refused_total{cause="bad_data"}'))
        (answered,) = until(lambda: query(http, "pyrover_promql_seconds_count"))
        assert (refused["value"][1], answered["value"][1]) == ("1", "1")
        for name in ("k8s_als_in_count", "k8s_als_drop_count", "pyrover_backend_logs_received_total"):
            (counter,) = until(lambda name=name: query(http, name))  # type: ignore[misc] # its own name
            assert counter["value"][1] == "0"
        for name in ("graphql_query_error_count", "graphql_query_latency_count", "persistence_timer_bulk_error_count"):
            (counter,) = until(lambda name=name: query(http, name))  # type: ignore[misc] # its own name
            assert counter["value"][1] == "0"
        (started,) = until(lambda: query(http, "time() - uptime < bool 3600"))
        assert started["value"][1] == "1"


def test_the_backend_answers_promql_beside_its_own_api(address: str) -> None:
    with httpx.Client(base_url=address, timeout=120) as http:
        assert query(http, "kubernetes_service_read_cpm") == []
        names = http.get("/api/v1/label/__name__/values").json()["data"]
        assert "kubernetes_service_read_cpm" in names
        assert http.get("/api/v1/query").json()["errorType"] == "bad_data"
        assert http.get("/api/services").status_code == 200


def test_the_backend_sends_by_otlp_where_that_is_asked_for(tmp_path: Path) -> None:
    environment = {"PYROVER_BACKEND_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with backend(tmp_path, environment=environment) as (_, addresses):
        text = patient.get(f"{addresses['http']}/metrics").text
    assert 'pyrover_otlp_minutes_lost_total{cause="behind"} 0.0' in text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("ENDPOINT", "collector", "is not an address such as"), ("METRICS", "(", "is not a regular expression")],
)
def test_wrong_settings_of_otlp_are_told(tmp_path: Path, name: str, value: str, message: str) -> None:
    environment = {"PYROVER_BACKEND_OTLP_ENDPOINT": "http://127.0.0.1:1", f"PYROVER_BACKEND_OTLP_{name}": value}
    ports = ("--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0", "--data", str(tmp_path))
    process = start(*ports, environment=environment)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert message in error
