"""A store with what is known of bookinfo, and who asks about it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Storage
from tests.backend.query.graphql.asking import Client, asking, fill


@pytest.fixture(scope="session")
def bookinfo_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A real store, filled by the real pipeline. Only to be read."""
    storage = DuckdbStorage(tmp_path_factory.mktemp("graphql") / "store.duckdb")
    asyncio.run(fill(storage))
    yield storage
    storage.close()


@pytest.fixture
async def client(bookinfo_storage: Storage) -> AsyncIterator[Client]:
    async with asking(bookinfo_storage) as asks:
        yield asks


@pytest.fixture
def templates_file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "templates.json"
