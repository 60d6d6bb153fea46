from collections.abc import Iterator

import duckdb
import pytest

from backend.storage.duckdb_names import Names, find_names


@pytest.fixture(name="cursor")
def fixture_cursor() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE names (id INTEGER NOT NULL, text VARCHAR NOT NULL)")
        yield connection


def test_names_are_numbered_once(cursor: duckdb.DuckDBPyConnection) -> None:
    names = Names()
    assert names.number(cursor, ["b", "a", "b"]).tolist() == [1, 2, 1]
    assert names.number(cursor, ["c", "a"]).tolist() == [3, 2]
    names.keep()
    assert (names.number(cursor, ["a", "d", "c", "b"]).tolist(), len(names)) == ([2, 4, 3, 1], 3)
    assert Names().number(cursor, ["d", "a"]).tolist() == [4, 2]
    assert find_names(cursor, ["a", "x"]) == {"a": 2}


def test_what_was_taken_back_is_not_remembered(cursor: duckdb.DuckDBPyConnection) -> None:
    names = Names()
    cursor.begin()
    assert names.number(cursor, ["a", "b"]).tolist() == [1, 2]
    cursor.rollback()
    names.forget()
    assert names.number(cursor, ["b"]).tolist() == [1]
    assert find_names(cursor, ["a", "b"]) == {"b": 1}


def test_no_more_names_are_remembered_than_may_be(cursor: duckdb.DuckDBPyConnection) -> None:
    names = Names(3)
    for first in range(20):
        texts = [f"{first + index}" for index in range(1 + first % 4)]
        numbers = names.number(cursor, texts)
        names.keep()
        assert len(names) <= 3
        assert dict(zip(texts, numbers.tolist(), strict=True)) == find_names(cursor, texts)
