"""What every store promises of rows at each precision: nothing is lost, and nothing counts twice."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backend.storage.blocks import Block, Place
from backend.storage.entity_ids import EntityIds
from backend.storage.interface import FOREVER, Flush, MeasureSchema, MetricSchema, Precision, Retention, Storage
from tests.backend.storage.conftest import OpenStore

LAST = 2**31 - 1
HOUR, DAY = int(Precision.HOUR), int(Precision.DAY)
NOTHING = pl.DataFrame(schema=MetricSchema)

MetricRow = tuple[str, str, str, int, int, int]
MeasureRow = tuple[str, str, str, int, float, int, float, float]


def metrics(*rows: MetricRow) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=MetricSchema, orient="row")


def measures(*rows: MeasureRow) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=MeasureSchema, orient="row")


def sums(storage: Storage, precision: Precision, first: int = 0, last: int = LAST) -> list[tuple[int, int]]:
    """Minute and summation of metric "a" of entity "x"."""
    found = storage.metrics(["a"], ["x"], first, last, precision)
    assert found.schema == MetricSchema
    return found.select("minute", "summation").rows()


def write(storage: Storage, writer: str, *minutes: int) -> None:
    storage.write(Flush(writer, metrics(*(("a", "", "x", minute, 1, 1) for minute in minutes))))


def test_labels_are_kept_apart_and_added_up_by_themselves(storage: Storage) -> None:
    storage.write(Flush("1", metrics(("a", "p9", "x", 7, 1, 0), ("a", "p10", "x", 7, 2, 0), ("a", "", "x", 7, 4, 0))))
    storage.write(Flush("2", metrics(("a", "p9", "x", 7, 10, 0), ("b", "p9", "x", 7, 20, 0))))
    assert storage.metrics(["a"], [], 0, LAST).rows() == [
        ("a", "", "x", 7, 4, 0),
        ("a", "p10", "x", 7, 2, 0),
        ("a", "p9", "x", 7, 11, 0),
    ]


def test_numbers_in_place_of_names_are_of_the_same_rows(storage: Storage) -> None:
    storage.write(
        Flush(
            "1",
            metrics(
                ("b", "p9", "x", 7, 1, 0), ("b", "p10", "x", 8, 2, 5), ("a", "", "y", 7, 4, 1), ("a", "", "x", 9, 3, 1)
            ),
        )
    )
    storage.write(Flush("2", metrics(("b", "p9", "x", 7, 10, 2), ("c", "", "z", 7, 1, 0), ("b", "p9", "b", 7, 5, 0))))
    found = storage.numbered_metrics(["b", "a", "nothing"], 7, 8)
    told = storage.metrics(["b", "a"], [], 7, 8)
    assert told.rows() == [
        ("a", "", "y", 7, 4, 1),
        ("b", "p10", "x", 8, 2, 5),
        ("b", "p9", "b", 7, 5, 0),
        ("b", "p9", "x", 7, 11, 2),
    ]
    assert found.told().schema == told.schema
    assert found.told().rows() == told.rows()
    assert found.names.to_list() == sorted(set(found.names))
    assert len(found) == len(told)
    for name in ("a", "b", "nothing", "c", "", "zzz"):
        assert found.of_metric(name).told().rows() == told.filter(pl.col("metric") == name).rows()
    assert storage.numbered_metrics(["nothing"], 7, 8).told().schema == told.schema


def test_measures_are_merged_by_sum_least_and_greatest(storage: Storage) -> None:
    storage.write(
        Flush(
            "1", NOTHING, measures=measures(("d", "", "x", 61, 1.5, 2, 0.5, 1.0), ("d", "l", "x", 61, 2.0, 1, 2.0, 2.0))
        )
    )
    storage.write(Flush("2", NOTHING, measures=measures(("d", "", "x", 62, -3.25, 1, -3.25, -3.25))))
    expected = {
        Precision.MINUTE: [("", 61, 1.5, 2, 0.5, 1.0), ("", 62, -3.25, 1, -3.25, -3.25), ("l", 61, 2.0, 1, 2.0, 2.0)],
        Precision.HOUR: [("", 60, -1.75, 3, -3.25, 1.0), ("l", 60, 2.0, 1, 2.0, 2.0)],
        Precision.DAY: [("", 0, -1.75, 3, -3.25, 1.0), ("l", 0, 2.0, 1, 2.0, 2.0)],
    }
    for closed in (0, 62, 63, 121, 1500, 1501):
        storage.maintain(closed, closed, FOREVER)
        for precision, rows in expected.items():
            found = storage.measures(["d", "nothing"], [], 0, LAST, precision)
            assert found.schema == MeasureSchema
            assert found.drop("metric", "entity").rows() == rows, (closed, precision)
    assert storage.metrics(["d"], [], 0, LAST).is_empty()


def test_measures_have_no_smallest_that_was_never_seen(storage: Storage) -> None:
    """Where an extreme begins at 0, or an absent value is one, these are wrong."""
    storage.write(
        Flush(
            "1", NOTHING, measures=measures(("d", "", "x", 5, 7.0, 1, 7.0, 7.0), ("e", "", "x", 5, -7.0, 1, -7.0, -7.0))
        )
    )
    storage.maintain(1500, 1500, FOREVER)
    for precision in Precision:
        found = storage.measures(["d", "e"], [], 0, LAST, precision)
        assert found.select("least", "greatest").rows() == [(7.0, 7.0), (-7.0, -7.0)]


def test_a_bucket_belongs_to_a_question_by_its_first_minute(storage: Storage) -> None:
    write(storage, "w", 59, 60, 119, 120)
    for closed in (0, 121, 200):
        storage.maintain(closed, closed, FOREVER)
        assert sums(storage, Precision.HOUR) == [(0, 1), (60, 2), (120, 1)]
        assert sums(storage, Precision.HOUR, 60, 60) == [(60, 2)]
        assert sums(storage, Precision.HOUR, 1, 119) == [(60, 2)]
        assert sums(storage, Precision.HOUR, 61, 119) == []
        assert sums(storage, Precision.HOUR, 0, 59) == [(0, 1)]
        assert sums(storage, Precision.DAY, 0, 0) == [(0, 4)]
        assert sums(storage, Precision.DAY, 1, LAST) == []


def test_hours_and_days_have_what_is_open_closed_and_late(storage: Storage) -> None:
    write(storage, "1", 10, 70, DAY + 10)
    storage.maintain(60, 60, FOREVER)
    write(storage, "2", 10, 11)
    assert sums(storage, Precision.HOUR) == [(0, 3), (60, 1), (DAY, 1)]
    assert sums(storage, Precision.DAY) == [(0, 4), (DAY, 1)]
    storage.maintain(DAY + 5, DAY + 5, FOREVER)
    assert sums(storage, Precision.DAY) == [(0, 4), (DAY, 1)]
    write(storage, "3", 10, 70, DAY + 4)
    assert sums(storage, Precision.MINUTE) == [(10, 3), (11, 1), (70, 2), (DAY + 4, 1), (DAY + 10, 1)]
    assert sums(storage, Precision.HOUR) == [(0, 4), (60, 2), (DAY, 2)]
    assert sums(storage, Precision.DAY) == [(0, 6), (DAY, 2)]
    for closed in (DAY + 6, DAY + 6, DAY + 70, 2 * DAY, 3 * DAY):
        storage.maintain(closed, closed, FOREVER)
        assert sums(storage, Precision.HOUR) == [(0, 4), (60, 2), (DAY, 2)]
        assert sums(storage, Precision.DAY) == [(0, 6), (DAY, 2)]


def test_a_flush_written_again_after_each_step_counts_once_at_every_precision(storage: Storage) -> None:
    flush = Flush("again", metrics(("a", "", "x", 7, 5, 1)), measures=measures(("a", "", "x", 7, 0.5, 1, 0.5, 0.5)))
    for closed in (0, 8, 60, DAY):
        storage.write(flush)
        storage.maintain(closed, closed, FOREVER)
        storage.write(flush)
        for precision in Precision:
            start = precision.start(7)
            assert storage.metrics(["a"], [], 0, LAST, precision).rows() == [("a", "", "x", start, 5, 1)]
            assert storage.measures(["a"], [], 0, LAST, precision).rows() == [("a", "", "x", start, 0.5, 1, 0.5, 0.5)]
        if closed >= 8:
            # A store need not know a flush for long after its minutes were closed.
            break


def test_each_precision_is_kept_for_its_own_time(storage: Storage) -> None:
    kept = Retention(minutes=2 * DAY, hours=4 * DAY, days=6 * DAY, metadata=DAY)
    for day in range(8):
        write(storage, f"day {day}", day * DAY + 10, day * DAY + 70)
        storage.maintain((day + 1) * DAY, (day + 1) * DAY, kept)
    assert [minute for minute, _ in sums(storage, Precision.MINUTE)] == [
        day * DAY + minute for day in (6, 7) for minute in (10, 70)
    ]
    assert sums(storage, Precision.HOUR) == [(day * DAY + hour, 1) for day in range(4, 8) for hour in (0, 60)]
    assert sums(storage, Precision.DAY) == [(day * DAY, 2) for day in range(2, 8)]


@pytest.mark.parametrize("precision", Precision)
def test_a_bucket_is_kept_until_its_last_minute_is_too_old(precision: Precision) -> None:
    kept = Retention(minutes=100, hours=100, days=100)
    start = 5 * DAY
    assert kept.oldest(precision, start + 99 + precision) == start
    assert kept.oldest(precision, start + 100 + precision) == start + precision


@dataclass(frozen=True, slots=True)
class Write:
    """A flush; rows are of (metric, label, entity, minute, value)."""

    rows: Sequence[tuple[str, str, str, int, int]]
    retries: int
    """How often it is written again at once."""
    again: bool
    """Whether it is written again after what comes next."""
    side_by_side: bool = False
    """Whether rows without a label come in a block."""


@dataclass(frozen=True, slots=True)
class Maintain:
    """Minutes before this one are closed."""

    closed: int


MINUTES = st.sampled_from([0, 1, 59, 60, 61, 119, 120, 1439, 1440, 1441, 1500, 2879, 2880])
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["", "7"]), st.sampled_from("xyz"), MINUTES, st.integers(-50, 50)),
    max_size=5,
    unique_by=lambda row: row[:4],
)
WRITES = st.builds(Write, ROWS, st.integers(0, 1), st.booleans(), st.booleans())
HISTORIES = st.lists(WRITES | st.builds(Maintain, MINUTES), max_size=8)


def block(*rows: tuple[str, str, str, int, int]) -> Block:
    """Rows without a label side by side; each is of one log."""
    values = {(metric, entity, minute): value for metric, _, entity, minute, value in rows}
    keys = sorted({(entity, minute) for _, entity, minute in values})
    sums = [
        (
            "xyz".index(entity),
            minute,
            *(values.get((metric, entity, minute), 0) for metric in "ab"),
            *(int((metric, entity, minute) in values) for metric in "ab"),
        )
        for entity, minute in keys
    ]
    schema = {"entity": pl.Int32, "minute": pl.Int32, **dict.fromkeys(["a", "b", "logs of a", "logs of b"], pl.Int64)}
    return Block((Place("a", 0, 2, 2), Place("b", 1, 3, 3)), EntityIds("xyz"), pl.DataFrame(sums, schema, orient="row"))


def flush_of(number: int, write: Write) -> Flush:
    """Sums of quarters are exact, in any order."""
    apart = [row for row in write.rows if row[1] or not write.side_by_side]
    return Flush(
        f"writer {number}",
        metrics(*((*row[:-1], row[-1], 1) for row in apart)),
        blocks=[block(*(row for row in write.rows if row not in apart))],
        measures=measures(*((*row[:-1], row[-1] / 4, 1, row[-1] / 4, row[-1] / 4) for row in write.rows)),
    )


def plain_sums(writes: Sequence[Write], precision: Precision) -> tuple[list[MetricRow], list[MeasureRow]]:
    found: dict[tuple[str, str, str, int], list[int]] = {}
    for one in writes:
        for metric, label, entity, minute, value in one.rows:
            found.setdefault((metric, label, entity, minute // precision * precision), []).append(value)
    return (
        [(*key, sum(values), len(values)) for key, values in sorted(found.items())],
        [
            (*key, sum(values) / 4, len(values), min(values) / 4, max(values) / 4)
            for key, values in sorted(found.items())
        ],
    )


def check_history(history: Sequence[Write | Maintain], storage: Storage) -> None:
    again: Flush | None = None
    writes: list[Write] = []
    for number, step in enumerate(history):
        before, again = again, None
        if isinstance(step, Maintain):
            storage.maintain(step.closed, step.closed, FOREVER)
        else:
            flush = flush_of(number, step)
            for _ in range(1 + step.retries):
                storage.write(flush)
            writes.append(step)
            again = flush if step.again else None
        if before is not None:
            storage.write(before)
    for precision in Precision:
        expected = plain_sums(writes, precision)
        assert storage.metrics(["a", "b"], [], 0, LAST, precision).rows() == expected[0]
        assert storage.measures(["a", "b"], [], 0, LAST, precision).rows() == expected[1]


SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("open_store", ["memory", "duckdb"], indirect=True)
@settings(max_examples=40, suppress_health_check=SUPPRESSED)
@given(history=HISTORIES)
def test_any_history_gives_the_plain_sums(history: Sequence[Write | Maintain], open_store: OpenStore) -> None:
    check_history(history, open_store())


@pytest.mark.parametrize("open_store", ["clickhouse", "cluster"], indirect=True)
@settings(max_examples=6, suppress_health_check=SUPPRESSED, phases=[Phase.explicit, Phase.generate])
@given(history=HISTORIES)
def test_any_history_gives_the_plain_sums_in_a_server(
    history: Sequence[Write | Maintain], open_store: OpenStore
) -> None:
    """Fewer of them, as each takes a second: tests/backend/storage/test_running_sums.py has the rest."""
    check_history(history, open_store())
