"""Alarms in a file: found by every condition, against a search in plain Python; bounded; and refused when broken."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.alarms.record_file import VERSION, FileRecords
from backend.alarms.records import Changes, Notice, Saved, Standing
from backend.alarms.states import Progress, State
from backend.query.graphql.alarms import Alarm, AlarmedMetric, AlarmQuery, Found
from backend.query.graphql.inputs import Page
from backend.query.mqe.answer import KeyValue, Metadata, Value, Values
from backend.storage.interface import StorageError


@pytest.fixture
def records(tmp_path: Path) -> Iterator[FileRecords]:
    found = FileRecords(tmp_path / "folder" / "alarms.sqlite")
    yield found
    found.close()


METRICS = [AlarmedMetric("m", [Values(Metadata([KeyValue("p", "50")]), [Value("60000", "7"), Value(None, None)])])]


def alarm(number: int = 0, **changes: object) -> Alarm:
    made = Alarm("a", "", "Service", "a name", "a_rule", "K8S", f"message {number}", number, None, {}, "x > 1", METRICS)
    return replace(made, **changes)  # type: ignore[arg-type] # fields by name


def begun(*alarms: Alarm, minute: int = 1) -> Changes:
    """Changes in which alarms begin; their ids are their places."""
    notices = [Notice(f"{place:04}", one) for place, one in enumerate(alarms)]
    standing = {
        ("a_rule", notice.uuid): Standing(
            Progress(State.SILENCED_FIRING, 2), notice.uuid, replace(notice.alarm, metrics=())
        )
        for notice in notices
    }
    return Changes(minute, standing, notices)


def everything(**changes: object) -> AlarmQuery:
    return replace(AlarmQuery(-1, 1 << 60, Page(0, 1_000)), **changes)  # type: ignore[arg-type] # fields by name


def ended(notice: Notice, recovery: int) -> Changes:
    over = replace(notice, alarm=replace(notice.alarm, recovery=recovery))
    return Changes(2, ended={("a_rule", notice.uuid): over})


def test_what_was_saved_is_loaded_again(records: FileRecords, tmp_path: Path) -> None:
    assert records.load() == Saved()
    changes = begun(alarm(1, tags={"a": "é", "b": ""}), alarm(2), minute=7)
    records.save(changes)
    expected = Saved(7, changes.standing)
    assert records.load() == expected
    other = FileRecords(tmp_path / "folder" / "alarms.sqlite")
    assert other.load() == expected
    assert other.find(everything()) == records.find(everything())
    other.close()


def test_an_end_is_written_into_the_alarm(records: FileRecords) -> None:
    changes = begun(alarm(1), alarm(2))
    records.save(changes)
    records.save(ended(changes.begun[0], 99))
    assert records.find(everything()) == Found([alarm(2), alarm(1, recovery=99)], 2)
    assert set(records.load().standing) == {("a_rule", "0001")}


def test_a_minute_is_saved_as_a_whole_or_not_at_all(records: FileRecords) -> None:
    records.save(begun(alarm(1), minute=5))
    before = records.load(), records.find(everything())
    broken = begun(alarm(2), alarm(3, start="text" * 2), alarm(4, start=None), minute=6)
    with pytest.raises(StorageError, match="cannot be used"):
        records.save(broken)
    assert (records.load(), records.find(everything())) == before


def test_those_that_are_over_are_forgotten_when_they_are_old_and_the_earliest_when_there_are_many(
    records: FileRecords,
) -> None:
    changes = begun(*(alarm(start, tags={"n": str(start)}) for start in range(6)))
    records.save(changes)
    for notice in changes.begun[:3]:
        records.save(ended(notice, 99))
    assert tuple(records.forget(2, 100)) == (2, 0)
    assert [one.start for one in records.find(everything()).alarms] == [5, 4, 3, 2]
    assert tuple(records.forget(0, 3)) == (0, 1)
    assert [one.start for one in records.find(everything()).alarms] == [5, 4, 3]
    assert records.tag_values("n", 0, 9) == ["3", "4", "5"]


def test_tags_are_those_of_the_span(records: FileRecords) -> None:
    records.save(begun(alarm(1, tags={"b": "x", "a": "1"}), alarm(2, tags={"b": "y"}), alarm(3, tags={"c": "z"})))
    assert (records.tag_names(1, 2), records.tag_names(3, 3), records.tag_names(4, 9)) == (["a", "b"], ["c"], [])
    assert (records.tag_values("b", 1, 2), records.tag_values("b", 2, 3)) == (["x", "y"], ["y"])


texts = st.sampled_from(["a", "b", "%", "A", "é'"])
some = st.frozensets(texts, max_size=2)
tags = st.dictionaries(texts, texts, max_size=2)
alarms = st.builds(
    alarm,
    st.integers(0, 5),
    id=texts,
    destination_id=texts,
    scope=texts,
    layer=texts,
    rule=texts,
    message=st.text("ab%_é'", max_size=4),
    tags=tags,
)
queries = st.builds(
    AlarmQuery,
    st.integers(0, 3),
    st.integers(2, 5),
    st.builds(Page, st.integers(0, 3), st.integers(1, 4)),
    scope=st.none() | texts,
    layer=st.none() | texts,
    rules=some,
    keyword=st.text("ab%_é'", max_size=2),
    tags=st.frozensets(st.tuples(texts, texts), max_size=2),
    entities=some,
)


def fits(one: Alarm, asked: AlarmQuery) -> bool:
    return (
        asked.first <= one.start <= asked.last
        and asked.scope in {None, one.scope}
        and asked.layer in {None, one.layer}
        and (not asked.rules or one.rule in asked.rules)
        and asked.keyword in one.message
        and (not asked.tags or not asked.tags.isdisjoint(one.tags.items()))
        and (not asked.entities or not asked.entities.isdisjoint({one.id, one.destination_id}))
    )


@given(st.lists(alarms, max_size=12), st.lists(queries, min_size=1, max_size=6))
def test_alarms_are_found_by_what_is_asked(written: Sequence[Alarm], asked: Sequence[AlarmQuery]) -> None:
    records = FileRecords(Path(":memory:"))
    records.save(begun(*written))
    for query in asked:
        fitting = [one for one in written if fits(one, query)]
        fitting.sort(key=lambda one: one.start, reverse=True)
        page = fitting[query.page.offset : query.page.offset + query.page.limit]
        assert records.find(query) == Found(page, len(fitting))
    records.close()


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "alarms.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StorageError, match=rf"alarms\.sqlite was written by a newer program \(version {VERSION + 1}\)"):
        FileRecords(file)


def test_what_is_no_file_of_alarms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text " * 1_000)
    with pytest.raises(StorageError, match=r"text cannot be used .*: repair it, or move it away"):
        FileRecords(tmp_path / "text")
    with pytest.raises(StorageError, match="cannot be made"):
        FileRecords(tmp_path / "text" / "alarms.sqlite")
    with pytest.raises(StorageError, match="cannot be used"):
        FileRecords(tmp_path)


def test_what_is_asked_of_a_closed_file_is_a_failure(tmp_path: Path) -> None:
    records = FileRecords(tmp_path / "alarms.sqlite")
    records.close()
    with pytest.raises(StorageError, match="cannot be used"):
        records.load()


def test_a_state_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    records = FileRecords(tmp_path / "alarms.sqlite")
    records.save(begun(alarm(1)))
    with sqlite3.connect(tmp_path / "alarms.sqlite") as connection:
        connection.execute("UPDATE standing SET standing = '{}'")
    connection.close()
    with pytest.raises(StorageError, match="holds what is no alarm"):
        records.load()
    records.close()
