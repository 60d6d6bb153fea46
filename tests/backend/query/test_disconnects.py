"""A client that goes in the middle of its question is no defect of the backend."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import Message

from backend.query.graphql.routes import graphql_routes
from backend.query.graphql.telemetry import Telemetry as GraphqlTelemetry
from backend.query.graphql.templates import FileTemplates
from backend.query.promql.routes import promql_routes
from backend.query.promql.telemetry import Telemetry
from backend.storage.memory import MemoryStorage
from tests.backend.query.conftest import DEFINITIONS


async def leave(routes: Sequence[BaseRoute], path: str, *headers: tuple[bytes, bytes]) -> list[Message]:
    """Begin a POST and go; what is answered to nobody."""
    events: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return events.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await Starlette(routes=routes)(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/v1/query", [(b"content-type", b"application/x-www-form-urlencoded")]),
        ("/api/v1/read", [(b"content-type", b"application/x-protobuf"), (b"content-encoding", b"snappy")]),
    ],
)
async def test_promql(path: str, headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    routes = promql_routes(MemoryStorage(), DEFINITIONS, telemetry=Telemetry(registry))
    with caplog.at_level(logging.INFO):
        await leave(routes, path, *headers)
    assert caplog.records == []
    assert registry.get_sample_value("pyrover_promql_refused_total", {"cause": "bad_data"}) == 1


async def test_graphql(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    templates = FileTemplates(tmp_path / "templates.json")
    routes = graphql_routes(MemoryStorage(), DEFINITIONS, templates, telemetry=GraphqlTelemetry(registry))
    with caplog.at_level(logging.INFO):
        await leave(routes, "/graphql", (b"content-type", b"application/json"))
    assert caplog.records == []
    assert registry.get_sample_value("pyrover_graphql_refused_total", {"cause": "form"}) == 1
