"""Stores of every kind, empty, for the tests of what all of them promise."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from backend.storage import clickhouse_ledger
from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_server import Address
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Storage
from backend.storage.memory import MemoryStorage
from tests.backend.storage.clickhouse_servers import CLUSTER, PROGRAM, ClickhouseServer, running_servers

KINDS = ("memory", "duckdb", "clickhouse", "cluster")
_databases = itertools.count()

OpenStore = Callable[[], Storage]


def new_address(server: ClickhouseServer) -> Address:
    """An address with a database that nobody has used."""
    return Address("127.0.0.1", server.port, f"test_{next(_databases)}")


@pytest.fixture(scope="session")
def servers() -> Iterator[list[ClickhouseServer]]:
    """Two servers, the shards of a cluster."""
    if PROGRAM is None:
        pytest.skip("clickhouse-server is not installed")
    with running_servers() as started:
        yield started


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims in ClickHouse do not grow old, however slow the machine is, but where a test lets them."""
    monkeypatch.setattr(clickhouse_ledger, "COMMIT_SECONDS", 1_000)
    monkeypatch.setattr(clickhouse_ledger, "VOID_SECONDS", 2_000)


@pytest.fixture(params=KINDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens a new store of one kind."""
    kind: str = request.param
    numbers = itertools.count()
    with ExitStack() as opened:

        def make() -> Storage:
            if kind == "memory":
                return MemoryStorage()
            if kind == "duckdb":
                return DuckdbStorage(tmp_path / "store" / f"{next(numbers)}.duckdb")
            started: list[ClickhouseServer] = request.getfixturevalue("servers")
            return ClickhouseStorage(new_address(started[0]), CLUSTER if kind == "cluster" else None)

        yield lambda: opened.enter_context(closing(make()))


@pytest.fixture
def storage(open_store: OpenStore) -> Storage:
    """A new store of each kind."""
    return open_store()
