"""A client of GraphQL over an application without a network, and stores to ask about."""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Route

from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from backend.metrics.pipeline import Pipeline, PipelineSettings
from backend.oal.loader import load
from backend.query.graphql.alarms import AlarmBook
from backend.query.graphql.endpoint import GraphqlEndpoint
from backend.query.graphql.routes import graphql_routes
from backend.query.graphql.telemetry import Telemetry
from backend.query.graphql.templates import FileTemplates, TemplateStore
from backend.storage.interface import Instance, Retention, Service, Storage, StorageError
from backend.storage.memory import MemoryStorage
from protos.common.common_pb2 import DetectPoint
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from tests.backend.server import bookinfo
from tests.clock import Clock

METRICS = load()
NOW = 1_800_000_030.0
"""2027-01-15T08:00:30Z."""
LATE = NOW - 60 * 60
"""An hour before."""
YESTERDAY = NOW - 24 * 60 * 60
CALLER = "GET:/productpage"
"""The endpoint that is said to call reviews."""


class Client:
    """Asks, and gives what was answered."""

    def __init__(
        self, http: httpx.AsyncClient, served: GraphqlEndpoint, registry: CollectorRegistry, clock: Clock
    ) -> None:
        self.http = http
        self.served = served
        self.clock = clock
        self._registry = registry

    async def post(self, body: object) -> httpx.Response:
        return await self.http.post("/graphql", json=body)

    async def answer(self, query: str, /, **variables: object) -> dict[str, Any]:
        """Data of an answer without errors."""
        response = await self.post({"query": query, "variables": variables})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        body: dict[str, Any] = response.json()
        assert body.keys() == {"data"}, body
        data: dict[str, Any] = body["data"]
        return data

    async def errors(self, query: str, /, **variables: object) -> list[dict[str, Any]]:
        """Errors of an answer."""
        response = await self.post({"query": query, "variables": variables})
        assert response.status_code == 200, response.text
        errors: list[dict[str, Any]] = response.json()["errors"]
        return errors

    def counted(self, name: str, **labels: str) -> float:
        return self._registry.get_sample_value(f"pyrover_graphql_{name}", labels) or 0.0


@asynccontextmanager
async def asking(
    storage: Storage,
    templates: TemplateStore | None = None,
    alarms: AlarmBook | None = None,
    offset: int = 0,
    retention: Retention | None = None,
) -> AsyncIterator[Client]:
    """A client that asks about a store at NOW."""
    registry, timer = CollectorRegistry(), Clock(1_000.0)
    routes = graphql_routes(
        storage,
        METRICS.definitions,
        templates or FileTemplates(Path("/nonexistent/templates.json")),
        telemetry=Telemetry(registry),
        alarms=alarms,
        retention=retention,
        offset=offset,
        clock=lambda: NOW,
        timer=timer,
    )
    (route,) = routes
    assert isinstance(route, Route)
    served: GraphqlEndpoint = getattr(route.endpoint, "__self__")  # noqa: B009 - a method, which its type does not say
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Client(http, served, registry, timer)


async def fill(storage: Storage, moments: Sequence[float] = (YESTERDAY, LATE, NOW)) -> None:
    """Send the streams of bookinfo, of which each has its logs in one minute, through a real pipeline."""
    pipeline = Pipeline(storage, METRICS, settings=PipelineSettings(interval=0.0), clock=lambda: NOW)
    await pipeline.start()
    try:
        for moment in moments:
            for messages in bookinfo.streams(moment).values():
                stream = LogStream(Interner(), None, lambda: int(NOW * 1e9))
                stream.take(Frames.of([message.SerializeToString() for message in _with_caller(messages)]))
                batch = stream.batch()
                assert batch is not None
                await pipeline.submit(batch)
    finally:
        await pipeline.stop()


def _with_caller(messages: Sequence[EBPFAccessLogMessage]) -> Iterator[EBPFAccessLogMessage]:
    """The messages, where calls of reviews say whom they are made for, as pyrover's agent does."""
    is_client = False
    for message in messages:
        if message.HasField("connection"):
            is_client = message.connection.role == DetectPoint.client
        http = message.protocolLog.http
        if is_client and http.request.host.startswith("reviews"):
            http.callerEndpoint = CALLER
        yield message


class Failing(MemoryStorage):
    """A store that does not answer."""

    def services(self) -> list[Service]:
        raise StorageError("the disk is gone")


class Defective(MemoryStorage):
    """A store with a defect."""

    def services(self) -> list[Service]:
        raise ZeroDivisionError("secret")


class Slow(MemoryStorage):
    """A store that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()
        self.asked = threading.Semaphore(0)

    def instances(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Instance]:
        self.asked.release()
        assert self.let.wait(120)
        return super().instances(service_id, first_minute, last_minute)
