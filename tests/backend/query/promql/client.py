"""Asks the HTTP API of Prometheus over a store, without a network."""

from collections.abc import Callable
from typing import Any, cast

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from backend.query.promql.routes import promql_routes
from backend.query.promql.telemetry import Telemetry
from backend.storage.interface import Storage
from tests.backend.query import world
from tests.backend.query.conftest import DEFINITIONS

NOW = world.NOW


LAST = (world.NOW_MINUTE - 1) * 60
"""The last minute that is over."""


Body = Any
"""JSON, which a test looks into."""


class Client:
    def __init__(self, storage: Storage, clock: Callable[[], float] = lambda: NOW) -> None:
        self.registry = CollectorRegistry()
        application = Starlette(
            routes=promql_routes(storage, DEFINITIONS, telemetry=Telemetry(self.registry), clock=clock)
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test/api/v1/")

    async def get(self, path: str, **parameters: object) -> Body:
        response = await self.http.get(path, params=cast("dict[str, str]", parameters))
        assert response.status_code == 200, response.text
        body = response.json()
        assert body.keys() == {"status", "data"}
        assert body["status"] == "success"
        return body["data"]

    async def refused(self, path: str, **parameters: object) -> tuple[int, str, str]:
        response = await self.http.get(path, params=cast("dict[str, str]", parameters))
        body = response.json()
        assert body["status"] == "error"
        return response.status_code, body["errorType"], body["error"]

    async def values(self, text: str, label: str = "service", **parameters: object) -> dict[str, str]:
        data = await self.get("query", query=text, **parameters)
        assert data["resultType"] == "vector"
        return {series["metric"].get(label, ""): series["value"][1] for series in data["result"]}

    def counted(self, cause: str) -> float:
        return self.registry.get_sample_value("pyrover_promql_refused_total", {"cause": cause}) or 0.0
