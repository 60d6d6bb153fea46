from collections.abc import Iterator

import duckdb
import pytest

from backend.storage.duckdb_read_names import ReadNames


@pytest.fixture(name="cursor")
def fixture_cursor() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE names (id INTEGER NOT NULL, text VARCHAR NOT NULL)")
        connection.executemany("INSERT INTO names VALUES (?, ?)", [(number, f"n{number}") for number in range(1, 9)])
        yield connection


def rename(cursor: duckdb.DuckDBPyConnection, number: int, text: str) -> None:
    """Give a number to another name, as is done when names were deleted."""
    cursor.execute("UPDATE names SET text = $text WHERE id = $number", {"text": text, "number": number})


def test_names_that_were_read_are_not_asked_for_again(cursor: duckdb.DuckDBPyConnection) -> None:
    names = ReadNames()
    assert names.view().numbers(cursor, ["n1", "unknown", "n2"]) == {"n1": 1, "n2": 2}
    assert names.view().texts(cursor, [2, 3, 99]) == {2: "n2", 3: "n3"}
    assert len(names) == 3
    cursor.execute("DROP TABLE names")
    view = names.view()
    assert view.numbers(cursor, ["n3", "n1"]) == {"n1": 1, "n3": 3}
    assert view.texts(cursor, [1, 2, 3]) == {1: "n1", 2: "n2", 3: "n3"}
    with pytest.raises(duckdb.CatalogException, match="names"):
        view.numbers(cursor, ["n4"])


def test_after_names_were_deleted_a_view_of_before_reads_from_the_file(cursor: duckdb.DuckDBPyConnection) -> None:
    names = ReadNames()
    names.view().numbers(cursor, ["n1", "n2"])
    before = names.view()
    rename(cursor, 1, "new")
    names.forget()
    for view in (before, names.view()):
        assert view.numbers(cursor, ["n1", "new"]) == {"new": 1}
        assert view.texts(cursor, [1, 2]) == {1: "new", 2: "n2"}


def test_what_a_view_of_before_reads_is_not_kept(cursor: duckdb.DuckDBPyConnection) -> None:
    names = ReadNames()
    before = names.view()
    names.forget()
    # As a transaction reads that sees the file as it was.
    assert before.numbers(cursor, ["n1"]) == {"n1": 1}
    assert before.texts(cursor, [2]) == {2: "n2"}
    assert len(names) == 0
    rename(cursor, 1, "new")
    assert names.view().texts(cursor, [1]) == {1: "new"}


def test_no_more_names_are_kept_than_may_be(cursor: duckdb.DuckDBPyConnection) -> None:
    names = ReadNames(3)
    for numbers in ([1, 2], [3], [4], [5, 6, 7], [8], [1, 2, 3, 4]):
        expected = {number: f"n{number}" for number in numbers}
        assert names.view().texts(cursor, numbers) == expected
        assert names.view().numbers(cursor, list(expected.values())) == {name: n for n, name in expected.items()}
        assert len(names) <= 3
    # What is more than may be kept is not, and leaves the others where they are.
    assert len(names) == 1
