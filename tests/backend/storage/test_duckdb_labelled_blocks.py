"""Blocks whose rows have labels, which are whole numbers as text: buckets of percentiles, for one."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.storage import duckdb as duckdb_store
from backend.storage import duckdb_blocks
from backend.storage.blocks import NO_COUNT, Block, Place
from backend.storage.duckdb import DuckdbStorage
from backend.storage.duckdb_layouts import Layout, layout_of, text_of
from backend.storage.entity_ids import EntityIds
from backend.storage.interface import FOREVER, Flush, Precision, Retention
from backend.storage.memory import MemoryStorage
from tests.backend.storage.test_duckdb_blocks import LAST, NOTHING
from tests.backend.storage.test_duckdb_blocks import block as unlabelled

SCHEMA = {"entity": pl.Int32, "minute": pl.Int32, "label": pl.Int64, "calls": pl.Int64}
PLACES = (Place("percentile", 0, NO_COUNT, 0),)
FOLDED_AT, REPLACEABLE = 3, 2
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(7, 9), st.integers(-1, 2), st.integers(1, 5)), max_size=8)


@pytest.fixture(autouse=True, scope="module")
def _few_flushes_are_many() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(duckdb_store, "FOLDED_AT", FOLDED_AT)
        patched.setattr(duckdb_blocks, "FOLDED_AT", FOLDED_AT)
        patched.setattr(duckdb_blocks, "REPLACEABLE", REPLACEABLE)
        yield


def block(*rows: tuple[int, int, int, int]) -> Block:
    """Of entities e0 to e9; rows are of (entity, minute, label, calls)."""
    ids = EntityIds(f"e{number}" for number in range(10))
    added = pl.DataFrame(rows, SCHEMA, orient="row").group_by("entity", "minute", "label").agg(pl.col("calls").sum())
    return Block(PLACES, ids, added)


def test_values_have_their_labels_before_and_after_the_minute_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    expected = [
        ("percentile", "1567", "e1", 7, 4, 0),
        ("percentile", "3", "e1", 7, 2, 0),
        ("percentile", "3", "e2", 8, 10, 0),
    ]
    for closed in (0, 8, 100):
        with closing(DuckdbStorage(path)) as storage:
            if not closed:
                for writer in ("one", "two"):
                    storage.write(Flush(writer, NOTHING, blocks=[block((1, 7, 3, 1), (1, 7, 1567, 2), (2, 8, 3, 5))]))
            else:
                storage.maintain(closed, closed, FOREVER)
            assert storage.metrics(["percentile"], [], 0, LAST).rows() == expected
            assert storage.metrics(["percentile"], ["e2"], 7, 9).rows() == expected[2:]
            assert storage.metrics(["percentile"], [], 0, LAST, Precision.HOUR)["summation"].to_list() == [4, 2, 10]
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT count(*) FROM metrics_blocks").fetchall() == [(0,)]


def test_labels_that_only_blocks_have_keep_their_names_and_are_forgotten_with_them(tmp_path: Path) -> None:
    path = tmp_path / "file.duckdb"
    with closing(DuckdbStorage(path)) as storage:
        storage.write(Flush("one", NOTHING, blocks=[block((1, 107, 33, 2))]))
        storage.maintain(100, 100, FOREVER)  # forgets names
        storage.write(Flush("two", NOTHING, blocks=[block((1, 107, 33, 1), (1, 107, 34, 1))]))
        assert storage.metrics(["percentile"], ["e1"], 0, LAST).rows() == [
            ("percentile", "33", "e1", 107, 3, 0),
            ("percentile", "34", "e1", 107, 1, 0),
        ]
        storage.maintain(5_000, 50_000, Retention(60, 60, 60, 60))
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT count(*) FROM names").fetchall() == [(0,)]


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["write", "write", "write", "again", "close"]), ROWS, ROWS), min_size=1, max_size=12
    )
)
def test_the_same_is_stored_as_in_memory(
    steps: list[tuple[str, list[tuple[int, int, int, int]], list[tuple[int, int, int, int]]]],
) -> None:
    memory, number, closed = MemoryStorage(), 0, 8
    with TemporaryDirectory() as folder, closing(DuckdbStorage(Path(folder) / "file")) as storage:
        latest: Flush | None = None
        for step, labelled, others in steps:
            if step == "close":
                closed += 1
                for store in (storage, memory):
                    store.maintain(closed, closed, FOREVER)
            elif step == "write" or latest is not None:
                if step == "write" or latest is None:
                    number += 1
                    latest = Flush(f"{number}", NOTHING, blocks=[block(*labelled), unlabelled(*others)])
                for store in (storage, memory):
                    store.write(latest)
            for precision in Precision:
                found, expected = (
                    store.metrics(["percentile", "sum"], [], 0, LAST, precision) for store in (storage, memory)
                )
                assert found.equals(expected), (step, precision)


def test_a_layout_is_what_its_name_says() -> None:
    for is_labelled, text in ((False, '[["percentile",0,-1,0]]'), (True, '{"labelled":[["percentile",0,-1,0]]}')):
        assert text_of(Layout(PLACES, is_labelled)) == text
        assert layout_of(text) == Layout(PLACES, is_labelled)
