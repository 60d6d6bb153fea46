from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from backend.storage.duckdb_names import Names, find_names
from backend.storage.entity_ids import EntityIds


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


def test_entities_are_numbered_as_names_are_and_each_is_looked_for_once(cursor: duckdb.DuckDBPyConnection) -> None:
    names, ids = Names(), EntityIds(["b", "a"])
    assert names.number_entities(cursor, ids, np.array([1, 1], np.int32)).tolist() == [1, 1]
    assert find_names(cursor, ["a", "b"]) == {"a": 1}
    ids.number("c")
    assert names.number(cursor, ["c"]).tolist() == [2]
    assert names.number_entities(cursor, ids, np.array([2, 0, 1], np.int32)).tolist() == [2, 3, 1]
    names.keep()
    cursor.execute("DELETE FROM names")
    assert names.number_entities(cursor, ids, np.array([0, 1, 2], np.int32)).tolist() == [3, 1, 2]
    names.forget()
    assert names.number_entities(cursor, ids, np.array([0, 1, 2], np.int32)).tolist() == [1, 2, 3]


def test_numbers_of_entities_that_are_gone_are_not_kept(cursor: duckdb.DuckDBPyConnection) -> None:
    names = Names()
    for turn in range(3):
        ids = EntityIds([f"{turn}", "a"])
        numbers = names.number_entities(cursor, ids, np.array([0, 1], np.int32)).tolist()
        assert numbers == [find_names(cursor, [f"{turn}", "a"])[text] for text in (f"{turn}", "a")]
    assert len(names._of_ids) == 1
