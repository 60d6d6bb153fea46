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


@pytest.fixture
def broken_templates_file(templates_file: Path) -> Iterator[Path]:
    """A file that is not what it should be. A test must leave it so."""
    templates_file.parent.mkdir()
    templates_file.write_text("{")
    yield templates_file
    assert templates_file.read_text() == "{"
