"""Clients of the API about the little world."""

from collections.abc import AsyncIterator

import pytest

from backend.storage.interface import Storage
from backend.storage.memory import MemoryStorage
from tests.backend.query import world
from tests.backend.query.promql.client import Client


@pytest.fixture
async def client(storage: Storage) -> AsyncIterator[Client]:
    asking = Client(storage)
    async with asking.http:
        yield asking


@pytest.fixture
async def world_in_memory() -> AsyncIterator[Client]:
    kept = MemoryStorage()
    world.fill(kept)
    asking = Client(kept)
    async with asking.http:
        yield asking
