"""Sums against a table that keeps, of each key and writer, the row with the highest version: and writes that fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.storage.interface import MeasureSchema
from backend.storage.running_sums import RunningSums

Row = tuple[str, str, str, int, float, int, float, float]
Values = Sequence[tuple[str, int, int]]
Sums = dict[tuple[str, int], tuple[float, int, float, float]]


class Outcome(Enum):
    """What becomes of an insert."""

    WRITTEN = "written and answered"
    UNANSWERED = "written, but the answer is lost"
    LOST = "not written"
    LATE = "not written yet, but after everything else"
    REFUSED = "not written, and it never will be"


@dataclass(frozen=True, slots=True)
class Write:
    """A flush of values, by key, that is tried until it is committed or there are no more attempts."""

    values: Values
    attempts: Sequence[tuple[Outcome, Outcome]]
    """What becomes of its rows, and of its commit."""


@dataclass(frozen=True, slots=True)
class Close:
    """Minutes before this one are closed."""

    minute: int


@dataclass(frozen=True, slots=True)
class Die:
    """The process ends, and another one follows it."""


class Table:
    """What a ReplacingMergeTree gives."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], tuple[int, int, dict[str, object]]] = {}

    def insert(self, rows: pl.DataFrame, version: int, before: int = 0) -> None:
        """Rows of a version, after the version that was committed before."""
        for row in rows.iter_rows(named=True):
            key = (row["metric"], row["label"], row["entity"], row["minute"], row["writer"])
            if key not in self._rows or self._rows[key][0] <= version:
                self._rows[key] = version, before, row

    def sums(self, committed: Mapping[str, int] | None = None) -> Sums:
        """What counts, given what each process has committed; None for everything."""
        found: Sums = {}
        for version, before, row in self._rows.values():
            process = str(row["writer"]).partition("-")[0]
            prefix = "" if committed is None or version <= committed.get(process, 0) else "before_"
            assert not prefix or before <= (committed or {}).get(process, 0)
            if row[f"{prefix}live"]:
                key = str(row["entity"]), int(str(row["minute"]))
                one = tuple(float(str(row[prefix + name])) for name in ("total", "count", "least", "greatest"))
                total, count, least, greatest = found.get(key, (0.0, 0, one[2], one[3]))
                found[key] = total + one[0], count + int(one[1]), min(least, one[2]), max(greatest, one[3])
        return found

    def __len__(self) -> int:
        return len(self._rows)


def frame(values: Values) -> pl.DataFrame:
    rows: list[Row] = [("d", "", entity, minute, value, 1, value, value) for entity, minute, value in values]
    return pl.DataFrame(rows, schema=MeasureSchema, orient="row")


def expected(flushes: Sequence[Values]) -> Sums:
    found: dict[tuple[str, int], list[int]] = {}
    for values in flushes:
        for entity, minute, value in values:
            found.setdefault((entity, minute), []).append(value)
    return {key: (float(sum(v)), len(v), float(min(v)), float(max(v))) for key, v in found.items()}


VALUES = st.lists(
    st.tuples(st.sampled_from("xyz"), st.integers(0, 4), st.integers(-9, 9)), max_size=4, unique_by=lambda row: row[:2]
)
OUTCOMES = st.sampled_from(Outcome)
STEPS = (
    st.builds(Write, VALUES, st.lists(st.tuples(OUTCOMES, OUTCOMES), min_size=1, max_size=3))
    | st.builds(Close, st.integers(0, 5))
    | st.builds(Die)
)


class Run:
    """Processes that write into a table, one after the other, as backend/storage/clickhouse.py does."""

    def __init__(self) -> None:
        self.table = Table()
        self.committed: dict[str, int] = {}
        self.answered: set[str] = set()
        self._flushes: list[tuple[str, str, int, Values]] = []
        self._late: list[tuple[pl.DataFrame, int, int]] = []
        self._late_commits: list[tuple[str, int]] = []
        self._made: set[tuple[str, int]] = set()
        self._processes = 0
        self.begin()

    def begin(self) -> None:
        self._processes += 1
        self._process = f"process {self._processes}"
        self._running = RunningSums(MeasureSchema, self._process)
        self._version = self._settled = 0
        self._open: int | None = None

    def write(self, writer: str, step: Write) -> None:
        for of_rows, of_commit in step.attempts:
            if self._open is not None and not self._commit(of_commit):
                continue
            self._version += 1
            rows = self._running.prepare(writer, frame(step.values))
            if of_rows is Outcome.LATE:
                self._late.append((rows, self._version, self._settled))
            elif of_rows not in {Outcome.LOST, Outcome.REFUSED}:
                self.table.insert(rows, self._version, self._settled)
            self.check()
            if of_rows is Outcome.WRITTEN:
                self._flushes.append((writer, self._process, self._version, step.values))
                self._open = self._version
                if self._commit(of_commit) and self._settled == self._version:
                    self.answered.add(writer)
                    return

    def close(self, minute: int) -> None:
        if self._open is not None:
            self._commit(Outcome.WRITTEN)
        if self._running.is_uncertain:
            self._version += 1
            self.table.insert(self._running.prepare(None, frame([])), self._version, self._settled)
            self._running.commit()
        self._running.close(minute)

    def end(self) -> None:
        for late in self._late:
            self.table.insert(*late)
        self.check()
        for process, version in self._late_commits:
            self._count(process, version)
        self.check()

    def check(self) -> None:
        """What counts is each flush as a whole, or not at all."""
        counted = {
            writer: values for writer, process, version, values in self._flushes if (process, version) in self._made
        }
        assert self.answered <= set(counted)
        assert self.table.sums(self.committed) == expected([*counted.values()])

    def _commit(self, outcome: Outcome) -> bool:
        """Whether it is known what has become of it."""
        assert self._open is not None
        if outcome is Outcome.LATE:
            self._late_commits.append((self._process, self._open))
        elif outcome is Outcome.REFUSED:
            # Only now it is looked for; what is late by then arrives no more.
            self._late_commits = [each for each in self._late_commits if each != (self._process, self._open)]
        elif outcome is not Outcome.LOST:
            self._count(self._process, self._open)
        self.check()
        if outcome not in {Outcome.WRITTEN, Outcome.REFUSED}:
            return False
        if (self._process, self._open) in self._made:
            self._running.commit()
            self._settled = self._open
        self._open = None
        return True

    def _count(self, process: str, version: int) -> None:
        self._made.add((process, version))
        self.committed[process] = max(version, self.committed.get(process, 0))


@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=15))
def test_each_flush_counts_as_a_whole_or_not_at_all_whatever_fails(steps: Sequence[Write | Close | Die]) -> None:
    run = Run()
    for number, step in enumerate(steps):
        if isinstance(step, Close):
            run.close(step.minute)
        elif isinstance(step, Die):
            run.begin()
        else:
            run.write(f"writer {number}", step)
        run.check()
    run.end()


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
