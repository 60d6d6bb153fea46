"""Sums of a window are those of its minutes, however they are read, and with few questions to the store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities.ids import instance_id, service_id
from backend.query import observed as observed_module
from backend.query.observed import COUNTS, SERVICE, observed
from backend.query.services import services
from backend.query.times import Window
from backend.query.traffic import Seen, Sums, look, parts, sum_metrics
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, Instance, MetricSchema, Precision, Retention, Service, Storage
from backend.storage.memory import MemoryStorage
from tests.backend.query.counting import Counting

HOUR, DAY = int(Precision.HOUR), int(Precision.DAY)
START = 20_000 * DAY
"""Midnight of UTC."""
END = START + 3 * DAY + 5 * HOUR + 17
NAMES = [f"s{number}" for number in range(12)]
SUFFIXES = ("read_cpm", "write_cpm", "read_time", "http_call_cpm")
KEPT = 2 * DAY


def reference(storage: Storage, window: Window) -> tuple[Sums, float]:
    """Sums and how much was observed, from nothing but minutes."""
    names = [SERVICE + suffix for suffix in SUFFIXES]
    rows = storage.metrics(names, (), window.first, window.last)
    counts = storage.metrics([SERVICE + suffix for suffix in COUNTS], (), window.first, window.last)
    length = window.observed(counts["minute"].unique().sort())
    sums = Sums(SERVICE, length, {})
    sums.add(rows)
    return sums, length


def world() -> Flush:
    """Three days and some hours in which services come and go, with hours of silence, and minutes of others only."""
    generator = np.random.default_rng(11)
    rows: list[tuple[str, str, str, int, int, int]] = []
    for minute in range(START, END):
        hour = (minute - START) // HOUR
        if hour % 13 in {5, 6} or minute % 97 == 3:
            continue
        for number in generator.choice(len(NAMES), 2, replace=False).tolist():
            entity = service_id(NAMES[number])
            value = int(generator.integers(1, 1_000))
            if hour % 13 != 9:  # in that hour there were only exchanges, which tell nothing of what was observed
                rows.append((SERVICE + COUNTS[(number + hour) % 3], "", entity, minute, value, 0))
            rows += [
                (SERVICE + "read_time", "", entity, minute, value * 7, value % 5),
                (SERVICE + "http_call_cpm", "", entity, minute, value, 0),
            ]
    seen = [Service(service_id(name), name, "K8S_SERVICE", START, END) for name in NAMES]
    return Flush("one", pl.DataFrame(rows, MetricSchema, orient="row"), services=seen)


@dataclass
class Stored:
    whole: DuckdbStorage
    """With nothing forgotten."""
    forgotten: DuckdbStorage
    """With hours of all, and minutes of the last two days; the first that is kept is in the middle of an hour."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    folder: Path = tmp_path_factory.mktemp("traffic")
    flush = world()
    found = Stored(*(DuckdbStorage(folder / f"{name}.duckdb") for name in ("whole", "forgotten")))
    for storage in (found.whole, found.forgotten):
        storage.write(flush)
        storage.maintain(END - 2 * HOUR, START, Retention())
    found.forgotten.maintain(END - HOUR, END, Retention(KEPT, 10 * DAY, 10 * DAY, 10 * DAY))
    yield found
    found.whole.close()
    found.forgotten.close()


def test_the_reference_has_what_is_kept(stored: Stored) -> None:
    rows = stored.forgotten.metrics([SERVICE + "http_call_cpm"], (), START, END)
    assert rows["minute"].min() == END - KEPT
    assert (END - KEPT) % HOUR == 17
    hours = stored.forgotten.metrics([SERVICE + "http_call_cpm"], (), START, END, Precision.HOUR)
    assert hours["minute"].min() == START


borders = st.sampled_from([START, START + HOUR, START + DAY, START + 2 * DAY, START + 3 * DAY, END - KEPT, END])
moments = st.builds(lambda border, away: border + away, borders, st.integers(-70, 70)) | st.integers(START - 99, END)


@settings(deadline=None, max_examples=20)
@given(moments, moments, st.booleans())
def test_sums_are_those_of_the_minutes(stored: Stored, one: int, other: int, forgotten: bool) -> None:  # noqa: FBT001 - drawn
    storage = stored.forgotten if forgotten else stored.whole
    window = Window(min(one, other), max(one, other), (END - 1) * 60 + 20.0)
    seen = look(storage, window, storage.services())
    found = sum_metrics(storage, SERVICE, SUFFIXES, window, entities=(), seen=seen)
    expected, length = reference(storage, window)
    assert seen.length == length
    assert found.values == expected.values


@settings(deadline=None, max_examples=200)
@given(moments, st.integers(0, 20 * DAY), st.none() | moments)
def test_parts_are_the_span_without_gaps_and_begin_at_what_is_whole(first: int, length: int, seen: int | None) -> None:
    last = first + length
    found = parts(first, last, seen)
    assert found[0][0] == first
    assert found[-1][1] == last
    assert [begin for begin, _, _ in found[1:]] == [end + 1 for _, end, _ in found[:-1]]
    for begin, end, precision in found:
        assert begin % precision == 0
        assert (end + 1) % precision == 0
        assert precision is Precision.MINUTE or (seen is not None and begin >= seen)
    assert len(found) <= 5


@pytest.mark.parametrize(
    ("first", "last", "seen", "expected"),
    [
        (START, START + 14, START, [(0, 14, Precision.MINUTE)]),
        (START, START + 2 * HOUR - 1, START, [(0, 2 * HOUR - 1, Precision.MINUTE)]),
        (START, START + 3 * HOUR - 1, START, [(0, 3 * HOUR - 1, Precision.HOUR)]),
        (START, START + DAY - 1, START, [(0, DAY - 1, Precision.DAY)]),
        (START, START + DAY - 1, None, [(0, DAY - 1, Precision.MINUTE)]),
        (
            START + 1,
            START + 2 * DAY + HOUR,
            START,
            [
                (1, HOUR - 1, Precision.MINUTE),
                (HOUR, DAY - 1, Precision.HOUR),
                (DAY, 2 * DAY - 1, Precision.DAY),
                (2 * DAY, 2 * DAY + HOUR - 1, Precision.HOUR),
                (2 * DAY + HOUR, 2 * DAY + HOUR, Precision.MINUTE),
            ],
        ),
        (
            START,
            START + DAY - 1,
            START + 5 * HOUR + 1,
            [(0, 6 * HOUR - 1, Precision.MINUTE), (6 * HOUR, DAY - 1, Precision.HOUR)],
        ),
    ],
)
def test_a_span_is_cut_so(first: int, last: int, seen: int | None, expected: list[tuple[int, int, Precision]]) -> None:
    assert parts(first, last, seen) == [(START + begin, START + end, each) for begin, end, each in expected]


def counting(entities: int, minutes: Sequence[int]) -> Counting:
    storage = Counting()
    ids = [service_id(f"s{number}") for number in range(entities)]
    rows = [(SERVICE + "read_cpm", "", entity, minute, 1, 0) for entity in ids for minute in minutes]
    seen = [Service(entity, entity, "L", minutes[0], minutes[-1]) for entity in ids]
    storage.write(Flush("one", pl.DataFrame(rows, MetricSchema, orient="row"), services=seen))
    return storage


def test_a_day_of_many_services_is_read_by_the_hour_and_minutes_of_few() -> None:
    storage = counting(20, range(START, START + DAY))
    window = Window(START + 30, START + DAY - 1, END * 60.0)
    assert look(storage, window, storage.services()) == Seen(DAY - 30, START + 30)
    assert {len(entities) for _, entities, *_ in storage.questions} == {observed_module.LIKELY}
    storage.questions.clear()
    sum_metrics(storage, SERVICE, ["read_cpm"], window, entities=(), seen=Seen(DAY - 30, START + 30))
    assert [(first, last, precision) for _, _, first, last, precision in storage.questions] == [
        (START + 30, START + 59, Precision.MINUTE),
        (START + HOUR, START + DAY - 1, Precision.HOUR),
    ]


def test_minutes_that_the_likely_do_not_have_are_looked_for_among_all() -> None:
    storage = counting(10, [START, START + 1])
    late = service_id("s9")
    rows = [(SERVICE + "close_cpm", "", late, START + 500, 1, 0)]
    storage.write(Flush("two", pl.DataFrame(rows, MetricSchema, orient="row")))
    window = Window(START, START + 600, END * 60.0)
    assert observed(storage, window, storage.services()) == {START, START + 1, START + 500}


def test_rows_are_asked_for_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed_module, "SLICE_ROWS", 400)
    storage = counting(10, range(START, START + 400))
    found = list(observed_module.slices(storage, [SERVICE + "read_cpm"], (), START, START + 399))
    assert [len(rows) for rows in found] == [1_200, 400, 400, 400, 400, 400, 400, 400]


def test_services_ask_for_all_instances_at_once() -> None:
    asked: list[str | None] = []

    class Asked(MemoryStorage):
        def instances(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Instance]:
            asked.append(service_id)
            return super().instances(service_id, first_minute, last_minute)

    storage = Asked()
    ids = [service_id(name) for name in NAMES]
    storage.write(
        Flush(
            "one",
            pl.DataFrame(schema=MetricSchema),
            services=[Service(entity, name, "L", START, START) for entity, name in zip(ids, NAMES, strict=True)],
            instances=[
                Instance(instance_id(entity, f"i{number}"), entity, f"i{number}", START, START)
                for place, entity in enumerate(ids)
                for number in range(place)
            ],
        )
    )
    answer = services(storage, Window(START, START, END * 60.0))
    assert {service.name: service.instances for service in answer.services} == {
        name: place for place, name in enumerate(NAMES)
    }
    assert asked == [None]
