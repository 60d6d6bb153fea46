"""Questions as DuckdbStorage answers them; what every store promises is in the tests of the contract."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.storage import duckdb_reading
from backend.storage.duckdb import DuckdbStorage
from backend.storage.duckdb_reading import Question, read_rows
from backend.storage.duckdb_rows import METRICS
from backend.storage.interface import FOREVER, Flush, MeasureSchema, MetricSchema, Precision, Retention, Storage
from backend.storage.memory import MemoryStorage
from tests.backend.storage.test_duckdb_blocks import LAST, NOTHING, block

ENTITIES = [f"e{number}" for number in range(10)]
FEW = Retention(10, 10, 10, 10)


@pytest.fixture(name="storage")
def fixture_storage(tmp_path: Path) -> Iterator[DuckdbStorage]:
    with closing(DuckdbStorage(tmp_path / "file.duckdb")) as storage:
        yield storage


def rows(*of: tuple[str, str, str, int, int, int]) -> pl.DataFrame:
    return pl.DataFrame(list(of), MetricSchema, orient="row")


@pytest.mark.parametrize("written_out", [0, 2, 3])
def test_numbers_are_asked_for_in_the_statement_or_beside_it(
    storage: DuckdbStorage, monkeypatch: pytest.MonkeyPatch, written_out: int
) -> None:
    monkeypatch.setattr(duckdb_reading, "WRITTEN_OUT", written_out)
    storage.write(Flush("one", rows(*((metric, "", entity, 7, 1, 0) for metric in "abc" for entity in ENTITIES))))
    for metrics, entities in (
        (["a"], ["e1"]),
        (["a", "b"], ["e3", "e2", "nobody"]),
        (["c", "a", "b"], []),
        (["x"], []),
    ):
        found = storage.metrics(metrics, entities, 0, LAST).select("metric", "entity").rows()
        expected = [(metric, entity) for metric in "abc" for entity in ENTITIES]
        assert found == [
            (metric, entity) for metric, entity in expected if metric in metrics and entity in (entities or ENTITIES)
        ]


def test_nobody_is_not_everybody(storage: DuckdbStorage) -> None:
    storage.write(Flush("one", rows(("a", "", "e1", 7, 1, 0))))
    for found in (storage.metrics(["a"], ["nobody"], 0, LAST), storage.metrics(["b"], [], 0, LAST)):
        assert found.schema == pl.Schema(MetricSchema)
        assert found.is_empty()
    found = storage.measures(["a"], [], 0, LAST)
    assert found.schema == pl.Schema(MeasureSchema)
    assert found.is_empty()


def test_too_large_a_sum_of_blocks_and_rows_is_the_largest(storage: DuckdbStorage) -> None:
    huge = 2**63 - 1
    storage.write(
        Flush(
            "one",
            rows(("sum", "", "e1", 7, huge, 0), ("sum", "", "e2", 7, -huge, 0), ("sum", "", "e3", 7, 5, 0)),
            blocks=[block((1, 7, huge, 1), (2, 7, -huge, 1), (3, 7, 6, 1))],
        )
    )
    assert storage.metrics(["sum"], [], 0, LAST)["summation"].to_list() == [huge, -(2**63), 11]


def test_a_number_that_was_given_again_is_not_taken_for_its_old_name(storage: DuckdbStorage) -> None:
    question = Question(["a"], [], 0, LAST, Precision.MINUTE)
    storage.write(Flush("old", rows(("a", "", "old", 100, 1, 0))))
    assert storage.metrics(["a"], [], 0, LAST)["entity"].to_list() == ["old"]
    before = storage._read_names.view()
    storage.maintain(5000, 5000, FEW)
    storage.write(Flush("new", rows(("new a", "", "new", 5001, 1, 0))))
    # A question that began before the names were deleted, and sees the file only now.
    with storage._transaction() as cursor:
        assert read_rows(cursor, METRICS, question, before).told().is_empty()
        asked = Question(["new a"], [], 0, LAST, Precision.MINUTE)
        assert read_rows(cursor, METRICS, asked, before).told()["entity"].to_list() == ["new"]
    assert storage.metrics(["a"], [], 0, LAST).is_empty()
    assert storage.metrics(["new a"], [], 0, LAST)["entity"].to_list() == ["new"]


def test_a_question_that_saw_the_file_before_names_were_deleted_answers_as_of_then(storage: DuckdbStorage) -> None:
    storage.write(Flush("old", rows(("a", "", "old", 100, 1, 0))))
    before = storage._read_names.view()
    with storage._transaction() as cursor:
        cursor.execute("SELECT count(*) FROM metrics_fresh").fetchall()
        storage.maintain(5000, 5000, FEW)
        storage.write(Flush("new", rows(("b", "", "new", 5001, 1, 0))))
        question = Question(["a"], [], 0, LAST, Precision.MINUTE)
        assert read_rows(cursor, METRICS, question, before).told()["entity"].to_list() == ["old"]
    assert storage.metrics(["b"], [], 0, LAST)["entity"].to_list() == ["new"]


wide = st.integers(0, 3) | st.integers(0, 2**31 - 1)


@given(st.lists(st.tuples(wide, wide, wide, wide), max_size=30))
def test_one_number_for_a_key_stands_where_the_key_does(keys: list[tuple[int, int, int, int]]) -> None:
    columns = [np.array([key[at] for key in keys], np.int32) for at in range(4)]
    found = duckdb_reading._key(columns).tolist()
    assert [keys[row] for row in np.argsort(found, kind="stable")] == sorted(keys)
    assert len(set(found)) == len(set(keys))


@pytest.mark.parametrize("numbers", [[], [0], [5, 3, 5], [0, 2**31 - 1, 0]])
def test_each_number_is_found_once(numbers: list[int]) -> None:
    assert duckdb_reading._distinct(np.array(numbers, np.int32)) == sorted(set(numbers))


def test_some_entities_are_found_in_the_blocks_of_all_minutes(storage: DuckdbStorage) -> None:
    """Blocks of several minutes and flushes, some of which have none of those that are asked for."""
    for flush in range(3):
        sums = [(entity, minute, 10**entity, 1) for entity in range(flush, 3) for minute in (7, 8)]
        storage.write(Flush(f"{flush}", NOTHING, blocks=[block(*sums)]))
    found = storage.metrics(["sum"], ["e2", "e0"], 0, LAST).select("entity", "minute", "summation").rows()
    assert found == [("e0", 7, 1), ("e0", 8, 1), ("e2", 7, 300), ("e2", 8, 300)]


Written = tuple[int, int, int]
"""Entity, minute and sum."""
flushes = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 130), st.integers(-5, 5)), max_size=4),
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 130), st.integers(-5, 5)), max_size=4),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(flushes, st.integers(0, 140), st.sets(st.integers(0, 4)), st.tuples(st.integers(0, 140), st.integers(0, 140)))
def test_blocks_and_rows_give_what_a_store_in_memory_gives(
    tmp_path_factory: pytest.TempPathFactory,
    written: Sequence[tuple[list[Written], list[Written]]],
    closed: int,
    asked: set[int],
    span: tuple[int, int],
) -> None:
    memory = MemoryStorage()
    with closing(DuckdbStorage(tmp_path_factory.mktemp("store") / "file.duckdb")) as storage:
        stores: tuple[Storage, ...] = (memory, storage)
        for number, (in_rows, in_blocks) in enumerate(written):
            single = rows(*((("sum", "mean")[sum_ % 2], "", f"e{e}", minute, sum_, 1) for e, minute, sum_ in in_rows))
            single = single.unique(["metric", "entity", "minute"])
            blocks = [block((e, minute, sum_, 1)) for e, minute, sum_ in in_blocks]
            for store in stores:
                store.write(Flush(f"{number}", single if len(in_rows) else NOTHING, blocks=blocks))
            if number == len(written) // 2:
                storage.maintain(closed, closed, FOREVER)
        for precision in Precision:
            question = (["sum", "mean"], [f"e{number}" for number in asked], min(span), max(span), precision)
            assert storage.metrics(*question).rows() == memory.metrics(*question).rows()
