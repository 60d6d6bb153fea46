from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
import pytest

from backend.storage import duckdb_block_sums
from backend.storage.blocks import NO_COUNT, Block, Place
from backend.storage.duckdb import DuckdbStorage
from backend.storage.duckdb_statements import SCHEMA_VERSION
from backend.storage.entity_ids import EntityIds
from backend.storage.interface import FOREVER, Flush, MetricSchema, Precision, Retention

LAST = 2**31 - 1
NOTHING = pl.DataFrame(schema=MetricSchema)
PLACES = (Place("sum", 0, NO_COUNT, 1), Place("mean", 0, 1, 1))


def block(*rows: tuple[int, int, int, int], places: Sequence[Place] = PLACES) -> Block:
    """Of entities e0 to e9; rows are of (entity, minute, sum, logs)."""
    schema = {"entity": pl.Int32, "minute": pl.Int32, "s": pl.Int64, "logs": pl.Int64}
    return Block(
        tuple(places), EntityIds(f"e{number}" for number in range(10)), pl.DataFrame(rows, schema, orient="row")
    )


def count(path: Path, table: str) -> int:
    with duckdb.connect(str(path)) as connection:
        return len(connection.table(table).fetchall())


def test_a_block_is_one_row_for_a_minute_until_the_minute_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    expected = [("sum", "", f"e{number}", 7, 20 + 2 * number, 0) for number in range(10)]
    expected += [("sum", "", "e3", 8, 5, 0)]
    for written in (True, False):
        storage = DuckdbStorage(path)
        if written:
            for writer in ("one", "two"):
                rows = [(number, 7, 10 + number, 1) for number in range(10)]
                late = [(3, 8, 5, 1)] if writer == "two" else []
                storage.write(Flush(writer, NOTHING, blocks=[block(*rows, *late)]))
        assert storage.metrics(["sum"], [], 0, LAST).rows() == sorted(expected)
        assert storage.metrics(["sum"], ["e3", "nobody"], 8, 9).rows() == [("sum", "", "e3", 8, 5, 0)]
        storage.close()
    assert (count(path, "metrics_blocks"), count(path, "metrics_fresh")) == (3, 0)
    storage = DuckdbStorage(path)
    storage.maintain(8, 8, FOREVER)
    assert storage.metrics(["sum"], [], 0, LAST).rows() == sorted(expected)
    storage.close()
    assert [count(path, f"metrics_{table}") for table in ("blocks", "fresh", "minutes")] == [1, 0, 20]


def test_blocks_of_other_metrics_and_rows_of_the_same_add_up(tmp_path: Path) -> None:
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    row = pl.DataFrame([("sum", "", "e1", 7, 100, 0)], MetricSchema, orient="row")
    other = (Place("other", 1, NO_COUNT, 1), Place("sum", 0, NO_COUNT, 1))
    storage.write(Flush("one", row, blocks=[block((1, 7, 10, 2)), block((1, 7, 3, 1), places=other)]))
    for _ in range(2):
        assert storage.metrics(["sum", "mean", "other"], [], 0, LAST).rows() == [
            ("mean", "", "e1", 7, 10, 2),
            ("other", "", "e1", 7, 1, 0),
            ("sum", "", "e1", 7, 113, 0),
        ]
        assert storage.metrics(["sum"], [], 0, LAST, Precision.HOUR).rows() == [("sum", "", "e1", 0, 113, 0)]
        storage.maintain(60, 60, FOREVER)
    storage.close()


@pytest.mark.parametrize("largest", [2**63 - 1, 2**62])
def test_sums_that_do_not_fit_are_shown_as_the_largest(tmp_path: Path, largest: int) -> None:
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    for writer in range(3):
        storage.write(
            Flush(f"{writer}", NOTHING, blocks=[block((1, 7, largest, 1), (2, 7, -largest, 1), (3, 7, 1, 1))])
        )
    expected = [("mean", "", "e1", 7, 2**63 - 1, 3), ("mean", "", "e2", 7, -(2**63), 3), ("mean", "", "e3", 7, 3, 3)]
    assert storage.metrics(["mean"], [], 0, LAST).rows() == expected
    storage.maintain(60, 60, FOREVER)
    assert storage.metrics(["mean"], [], 0, LAST).rows() == expected
    storage.close()


def test_many_blocks_are_added_up_a_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb_block_sums, "ADDED_AT_ONCE", 25)
    storage = DuckdbStorage(tmp_path / "file.duckdb")
    for writer in range(40):
        storage.write(Flush(f"{writer}", NOTHING, blocks=[block(*((number, 7, writer, 1) for number in range(10)))]))
    expected = [("mean", "", f"e{number}", 7, 780, 40) for number in range(10)]
    assert storage.metrics(["mean"], [], 0, LAST).rows() == expected
    storage.maintain(60, 60, FOREVER)
    assert storage.metrics(["mean"], [], 0, LAST).rows() == expected
    storage.close()


def test_names_that_only_blocks_have_are_kept_and_forgotten_with_them(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    storage = DuckdbStorage(path)
    storage.write(Flush("one", NOTHING, blocks=[block((1, 107, 10, 2))]))
    storage.maintain(100, 100, FOREVER)  # forgets names
    assert storage.metrics(["mean", "sum"], ["e1"], 0, LAST).rows() == [
        ("mean", "", "e1", 107, 10, 2),
        ("sum", "", "e1", 107, 10, 0),
    ]
    storage.write(Flush("two", NOTHING, blocks=[block((1, 107, 5, 1), (2, 107, 1, 1))]))
    storage.maintain(110, 165, FOREVER)
    assert storage.metrics(["sum"], [], 0, LAST).rows() == [
        ("sum", "", "e1", 107, 15, 0),
        ("sum", "", "e2", 107, 1, 0),
    ]
    storage.maintain(5_000, 50_000, Retention(60, 60, 60, 60))
    storage.close()
    assert [count(path, table) for table in ("names", "metrics_blocks", "metrics_minutes", "writers")] == [0] * 4


def test_a_file_of_version_2_takes_blocks(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    row = pl.DataFrame([("sum", "", "e1", 7, 100, 0)], MetricSchema, orient="row")
    storage = DuckdbStorage(path)
    storage.write(Flush("one", row))
    storage.close()
    with duckdb.connect(str(path)) as connection:  # version 3 added a table and nothing else
        connection.execute("DROP TABLE metrics_blocks; UPDATE schema_version SET version = 2")
    storage = DuckdbStorage(path)
    storage.write(Flush("two", NOTHING, blocks=[block((1, 7, 10, 2))]))
    assert storage.metrics(["sum"], [], 0, LAST).rows() == [("sum", "", "e1", 7, 110, 0)]
    storage.close()
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchall() == [(SCHEMA_VERSION,)]
