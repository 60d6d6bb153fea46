"""Stores with the little world in them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from backend.oal.loader import load
from backend.query.routes import routes
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Storage
from backend.storage.memory import MemoryStorage
from tests.backend.query import world


@pytest.fixture(params=["memory", "duckdb"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Each kind of store, with nothing in it."""
    storage: Storage = MemoryStorage() if request.param == "memory" else DuckdbStorage(tmp_path / "store.duckdb")
    yield storage
    storage.close()


@pytest.fixture
def storage(empty: Storage) -> Storage:
    """Each kind of store, with the world in it."""
    world.fill(empty)
    return empty


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def api(storage: Storage, registry: CollectorRegistry) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the API about the world, at the world's time."""
    async with client(storage, registry) as asking:
        yield asking


DEFINITIONS = load(skip_unsupported=True).definitions
"""Those that come with the program; loaded once, for that takes longer than a test."""


def client(storage: Storage, registry: CollectorRegistry | None = None) -> httpx.AsyncClient:
    """Asks the API about a store, at the world's time."""
    application = Starlette(
        routes=routes(storage, DEFINITIONS, registry=registry or CollectorRegistry(), clock=lambda: world.NOW)
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test")
