from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from backend.storage.duckdb_sightings import Sightings
from backend.storage.interface import Endpoint, Flush, Instance, MeasureSchema, MetricSchema, Relation, Service
from backend.storage.told import Register, Told

T = TypeVar("T")

NOTHING = pl.DataFrame(schema=MetricSchema)
SERVICE = Service("a", "a", "GENERAL", 5, 5)
INSTANCE = Instance("a_1", "a", "1", 5, 5)
TOLD = Instance("a_1", "a", "1", 5, 5, {"os": "linux"})
ENDPOINT = Endpoint("a_e", "a", "e", 5, 5)
RELATION = Relation("a-b", "a", "b", "server", 0, 5)
NO_MEASURES = pl.DataFrame(schema=MeasureSchema)
EVERYTHING = Flush(
    "w",
    NOTHING,
    measures=NO_MEASURES,
    services=[SERVICE],
    instances=[INSTANCE, TOLD],
    service_relations=[RELATION],
    instance_relations=[RELATION],
    endpoints=[ENDPOINT],
    endpoint_relations=[RELATION],
    batches=["one"],
)


def told(rows: Sequence[T]) -> Told[T]:
    register = Register[T]()
    return Told(register, np.array([register.add(row) for row in rows]))


def test_what_is_known_is_left_out_and_nothing_else() -> None:
    sightings = Sightings()
    assert sightings.unknown(EVERYTHING) == EVERYTHING
    sightings.keep()
    assert sightings.unknown(EVERYTHING) == Flush("w", NOTHING, instances=[TOLD], measures=NO_MEASURES, batches=["one"])
    later = Flush("x", NOTHING, services=[SERVICE, replace(SERVICE, last_minute=6)], endpoints=[ENDPOINT])
    assert sightings.unknown(later).services == [replace(SERVICE, last_minute=6)]
    assert sightings.unknown(
        Flush("x", NOTHING, instance_relations=[RELATION._replace(side="client")])
    ).instance_relations


def test_what_was_taken_back_is_not_known() -> None:
    sightings = Sightings()
    sightings.unknown(EVERYTHING)
    sightings.forget()
    sightings.keep()
    assert sightings.unknown(EVERYTHING) == EVERYTHING


def test_no_more_is_remembered_than_may_be() -> None:
    sightings = Sightings(3)
    for minute in range(10):
        services = [replace(SERVICE, id=f"{number}", last_minute=minute) for number in range(minute % 5)]
        assert sightings.unknown(Flush("w", NOTHING, services=services)).services == services
        sightings.keep()
        assert len(sightings) <= 3


def test_what_is_equal_but_another_object_is_known_too() -> None:
    sightings = Sightings()
    sightings.unknown(EVERYTHING)
    sightings.keep()
    for minute in (5, 6, 5):
        # Built anew each time, so that identities of those before may be used again.
        services = [replace(SERVICE, last_minute=minute) for _ in range(100)]
        unknown = sightings.unknown(Flush("x", NOTHING, services=services)).services
        assert unknown == ([] if minute == 5 else services)
        del services, unknown
        sightings.keep()


@pytest.mark.parametrize("make", [list, told])
def test_the_same_object_is_known_as_what_it_was_written_as(
    make: Callable[[Sequence[Relation]], Sequence[Relation]],
) -> None:
    sightings, relations = Sightings(8), make([RELATION])
    sightings.unknown(Flush("w", NOTHING, service_relations=relations))
    sightings.keep()
    again = Flush("w", NOTHING, service_relations=relations, instance_relations=relations)
    left = sightings.unknown(again)
    assert (left.service_relations, left.instance_relations) == ([], [RELATION])
    sightings.forget()
    assert sightings.unknown(again).service_relations == [RELATION]


def test_rows_of_a_register_are_known_when_they_are_kept() -> None:
    register, sightings = Register[Endpoint](), Sightings()
    rows = [ENDPOINT._replace(id=f"{number}") for number in range(1_000)]
    numbers = np.array([register.add(row) for row in rows[:10]])

    def unknown(numbers: NDArray[np.int64]) -> Sequence[Endpoint]:
        return sightings.unknown(Flush("w", NOTHING, endpoints=Told(register, numbers))).endpoints

    assert unknown(numbers[3:6]) == rows[3:6]
    sightings.forget()
    sightings.keep()
    assert unknown(numbers[:6]) == rows[:6]
    sightings.keep()
    assert unknown(numbers) == rows[6:10]
    # What comes later has numbers that nothing was remembered of.
    more = np.array([register.add(row) for row in rows[10:]])
    assert unknown(np.concatenate([numbers, more])) == rows[6:]
    sightings.keep()
    assert (unknown(np.arange(1_000)), len(sightings)) == ([], 1_000)


def test_a_register_that_is_gone_is_remembered_no_longer() -> None:
    sightings = Sightings()
    for _ in range(10):
        sightings.unknown(Flush("w", NOTHING, services=told([SERVICE] * 5)))
        sightings.keep()
        assert len(sightings) <= 5
