"""Sums against a table that keeps, of each key and writer, the row with the highest version: and writes that fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.storage.interface import MeasureSchema
from backend.storage.running_sums import RunningSums

Row = tuple[str, str, str, int, float, int, float, float]


class Outcome(Enum):
    """What becomes of a write."""

    WRITTEN = "written and answered"
    UNANSWERED = "written, but the answer is lost"
    LOST = "not written"
    LATE = "not written yet, but after everything else"


@dataclass(frozen=True, slots=True)
class Write:
    """A flush of values, by key, that is tried until an outcome is WRITTEN or there are no more."""

    values: Sequence[tuple[str, int, int]]
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class Close:
    """Minutes before this one are closed."""

    minute: int


class Table:
    """What a ReplacingMergeTree gives."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], tuple[int, dict[str, object]]] = {}

    def insert(self, rows: pl.DataFrame, version: int) -> None:
        for row in rows.iter_rows(named=True):
            key = (row["metric"], row["label"], row["entity"], row["minute"], row["writer"])
            if key not in self._rows or self._rows[key][0] <= version:
                self._rows[key] = version, row

    def sums(self) -> dict[tuple[str, int], tuple[float, int, float, float]]:
        found: dict[tuple[str, int], tuple[float, int, float, float]] = {}
        for _, row in self._rows.values():
            if row["live"]:
                key = str(row["entity"]), int(str(row["minute"]))
                one = tuple(float(str(row[name])) for name in ("total", "count", "least", "greatest"))
                total, count, least, greatest = found.get(key, (0.0, 0, one[2], one[3]))
                found[key] = total + one[0], count + int(one[1]), min(least, one[2]), max(greatest, one[3])
        return found

    def __len__(self) -> int:
        return len(self._rows)


def frame(values: Sequence[tuple[str, int, int]]) -> pl.DataFrame:
    rows: list[Row] = [("d", "", entity, minute, value, 1, value, value) for entity, minute, value in values]
    return pl.DataFrame(rows, schema=MeasureSchema, orient="row")


def expected(
    flushes: Sequence[Sequence[tuple[str, int, int]]],
) -> dict[tuple[str, int], tuple[float, int, float, float]]:
    found: dict[tuple[str, int], list[int]] = {}
    for values in flushes:
        for entity, minute, value in values:
            found.setdefault((entity, minute), []).append(value)
    return {key: (float(sum(v)), len(v), float(min(v)), float(max(v))) for key, v in found.items()}


VALUES = st.lists(
    st.tuples(st.sampled_from("xyz"), st.integers(0, 4), st.integers(-9, 9)), max_size=4, unique_by=lambda row: row[:2]
)
STEPS = st.builds(Write, VALUES, st.lists(st.sampled_from(Outcome), min_size=1, max_size=3)) | st.builds(
    Close, st.integers(0, 5)
)


class Run:
    """A process that writes into a table."""

    def __init__(self) -> None:
        self.running, self.table = RunningSums(MeasureSchema, "process"), Table()
        self.stored: list[Sequence[tuple[str, int, int]]] = []
        self._late: list[tuple[pl.DataFrame, int]] = []
        self._version = 0

    def write(self, writer: str, step: Write) -> None:
        for outcome in step.outcomes:
            self._version += 1
            rows = self.running.prepare(writer, frame(step.values))
            if outcome is Outcome.LATE:
                self._late.append((rows, self._version))
            elif outcome is not Outcome.LOST:
                self.table.insert(rows, self._version)
            if outcome is Outcome.WRITTEN:
                self.running.commit()
                self.stored.append(step.values)
                return

    def settle(self) -> None:
        if self.running.is_uncertain:
            self._version += 1
            self.table.insert(self.running.prepare(None, frame([])), self._version)
            self.running.commit()

    def end(self) -> None:
        self.settle()
        for rows, version in self._late:
            self.table.insert(rows, version)


@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=15))
def test_what_was_answered_counts_once_and_what_was_given_up_not_at_all(steps: Sequence[Write | Close]) -> None:
    run = Run()
    for number, step in enumerate(steps):
        if isinstance(step, Close):
            run.settle()
            run.running.close(step.minute)
        else:
            run.write(f"writer {number}", step)
    run.end()
    assert run.table.sums() == expected(run.stored)


def test_many_flushes_are_one_row_for_each_key() -> None:
    running, table = RunningSums(MeasureSchema, "process"), Table()
    for number in range(600):
        table.insert(running.prepare(f"writer {number}", frame([("x", 7, 1), ("y", 7, number)])), number)
        running.commit()
    assert len(table) == 2
    assert table.sums() == {("x", 7): (600.0, 600, 1.0, 1.0), ("y", 7): (179_700.0, 600, 0.0, 599.0)}


def test_what_comes_after_a_minute_was_closed_is_a_row_of_its_own() -> None:
    running, table = RunningSums(MeasureSchema, "process"), Table()
    for number, closed in enumerate((0, 8, 9)):
        running.close(closed)
        table.insert(running.prepare(f"writer {number}", frame([("x", 7, 1)])), number)
        running.commit()
    assert len(table) == 3
    assert table.sums() == {("x", 7): (3.0, 3, 1.0, 1.0)}


def test_a_flush_is_known_after_many_others_and_after_its_minute_was_closed() -> None:
    running = RunningSums(MeasureSchema, "process")
    for number in range(20):
        running.prepare(f"writer {number}", frame([("x", 7, 1), ("x", 9, 1)]))
        running.commit()
    assert running.prepare("writer 0", frame([("x", 7, 1), ("x", 9, 1)])).is_empty()
    running.commit()
    running.close(8)
    again = running.prepare("writer 19", frame([("x", 7, 1), ("x", 9, 1)]))
    assert again.select("minute", "total").rows() == [(9, 20.0)]


def test_memory_is_bounded_by_open_minutes_and_an_hour_of_flushes() -> None:
    running = RunningSums(MeasureSchema, "process")
    for minute in range(300):
        running.prepare(f"writer {minute}", frame([(f"entity {minute}", minute, 1)]))
        running.commit()
        running.close(minute - 2)
    held = len(running._sums) + sum(map(len, running._latest.values()))
    assert held == 3
    assert len(running._writers) == 3
    assert len(running._known) == 61


def test_minutes_are_not_closed_while_it_is_not_known_what_is_written() -> None:
    running = RunningSums(MeasureSchema, "process")
    with pytest.raises(RuntimeError, match="nothing was prepared"):
        running.commit()
    running.prepare("lost", frame([("x", 7, 1)]))
    with pytest.raises(RuntimeError, match="has to be certain"):
        running.close(8)
    repair = running.prepare(None, frame([]))
    assert repair.select("entity", "minute", "live").rows() == [("x", 7, 0)]
    running.commit()
    running.close(8)
