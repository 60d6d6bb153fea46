from pathlib import Path

import pytest

from backend.storage import opening
from backend.storage.clickhouse_server import Address
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import StorageError
from backend.storage.opening import open_storage


def test_a_file(tmp_path: Path) -> None:
    storage = open_storage(f"duckdb:{tmp_path / 'folder' / 'file.duckdb'}")
    assert isinstance(storage, DuckdbStorage)
    storage.close()
    assert (tmp_path / "folder" / "file.duckdb").exists()


@pytest.mark.parametrize(
    ("url", "address", "cluster"),
    [
        ("clickhouse://ch", Address("ch", 9000), None),
        ("clickhouse://ch:19000/", Address("ch", 19000), None),
        ("clickhouse://10.0.0.1:9001/pyrover?cluster=two", Address("10.0.0.1", 9001, "pyrover"), "two"),
        ("clickhouse://me:p%40ss%2F@[::1]:9000/x", Address("::1", 9000, "x", "me", "p@ss/"), None),
    ],
)
def test_a_server(url: str, address: Address, cluster: str | None) -> None:
    assert opening._clickhouse(url) == (address, cluster)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "'' is no kind of store: write duckdb:PATH or clickhouse://HOST:PORT/DATABASE"),
        ("mysql://host", "'mysql' is no kind of store"),
        ("duckdb:", "'duckdb:' names no file"),
        ("clickhouse:", "names no host"),
        ("clickhouse:///database", "names no host"),
        ("clickhouse://host:many", "the address of ClickHouse is wrong"),
        ("clickhouse://host:99999", "the address of ClickHouse is wrong"),
        ("clickhouse://host/a-b", "'a-b' cannot be a database: use letters, digits and underscores"),
        ("clickhouse://host?clutser=two", "'clutser' is no option of ClickHouse: the only one is cluster"),
        ("clickhouse://host?cluster=", "the option cluster is empty: name a cluster, or leave it out"),
    ],
)
def test_what_is_wrong_is_named(url: str, text: str) -> None:
    with pytest.raises(StorageError, match=text.replace("?", ".")):
        open_storage(url)


def test_the_password_is_in_no_message() -> None:
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        open_storage("clickhouse://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
