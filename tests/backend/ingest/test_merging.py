from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, LogKind
from backend.ingest.columns import PlacedColumns
from backend.ingest.merging import merged, rows_of
from tests.backend.oal.batches import COLUMNS, HTTP, NODE, batches

PLACES = {name: place for place, name in enumerate([*COLUMNS, *HTTP])}
TEXTS = {"http.request.methodName", "http.request.path", "http.request.host", "http.callerEndpoint"}

Row = tuple[Connection, int, int, int, dict[str, int | str]]


def rows(batch: LogBatch, names: list[str]) -> list[Row]:
    """What each log says; columns mean something for logs of their kind alone, and one that is missing is 0."""
    found: list[Row] = []
    for index in range(len(batch)):
        kind = int(batch.kind[index])
        values: dict[str, int | str] = {}
        for name in names:
            is_http = name.startswith("http.")
            if is_http == (kind == LogKind.HTTP):
                value = int(batch.columns[name][index]) if name in batch.columns else 0
                values[name] = batch.texts[value] if name in TEXTS else value
        connection = batch.connections[int(batch.connection[index])]
        found.append((connection, kind, int(batch.minute[index]), int(batch.duration_ns[index]), values))
    return found


def placed(batch: LogBatch, names: list[str]) -> LogBatch:
    """The same with columns of a table."""
    table = np.array([batch.columns.get(name, np.zeros(len(batch))) for name in names], np.int64)
    return replace(batch, columns=PlacedColumns(table.reshape(len(names), len(batch)), PLACES))


@settings(max_examples=60, deadline=None)
@given(given_batches=st.lists(batches(), max_size=4), data=st.data())
def test_logs_of_tables_say_the_same_whichever_are_taken(given_batches: list[LogBatch], data: st.DataObject) -> None:
    names = list(PLACES)
    together = merged([placed(batch, names) for batch in given_batches])
    expected = [row for batch in given_batches for row in rows(batch, names)]
    assert rows(together, names) == expected
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(len(together)))) if len(together) else st.just(set())))
    for whole in (together, merged(given_batches)):
        taken = rows_of(whole, np.array(chosen, np.intp), [*names, "not there"])
        assert rows(taken, names) == [expected[number] for number in chosen]


@settings(max_examples=60, deadline=None)
@given(given_batches=st.lists(batches(), max_size=4), missing=st.sampled_from([None, *HTTP]))
def test_every_log_says_what_it_said_before(given_batches: list[LogBatch], missing: str | None) -> None:
    for batch in given_batches[1:2]:
        assert isinstance(batch.columns, dict)
        batch.columns.pop(missing, None)
    names = sorted({name for batch in given_batches for name in batch.columns})
    together = merged(given_batches)
    assert rows(together, names) == [row for batch in given_batches for row in rows(batch, names)]
    assert len(set(together.connections)) == len(together.connections)
    assert len(set(together.texts)) == len(together.texts)
    assert together.texts[0] == ""


def test_columns_that_are_one_array_stay_one_but_for_texts() -> None:
    kind, zeros = np.array([LogKind.HTTP, LogKind.WRITE], np.int8), np.zeros(2, np.int32)
    ends = Address("api", "api-1", "", "", 1), Address("db", "db-1", "", "", 2)
    connection = Connection(NODE, *ends, DetectPoint.CLIENT, tls=False, protocol=1)
    shared = np.array([1, 7], np.int64)
    columns = {"http.request.path": shared, "write.a": shared, "read.a": shared}
    first, second = (
        LogBatch([connection], zeros, kind, zeros, np.zeros(2, np.int64), columns, ("", text)) for text in ("/a", "/b")
    )
    together = merged([first, second])
    assert together.columns["http.request.path"].tolist() == [1, 7, 2, 7]
    assert together.columns["write.a"].tolist() == [1, 7, 1, 7]
    assert together.columns["read.a"] is together.columns["write.a"]
    assert shared.tolist() == [1, 7]


def test_nothing_is_an_empty_batch() -> None:
    assert len(merged([])) == 0
