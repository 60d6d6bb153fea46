"""What every store promises, asked of each of them."""

import threading

import polars as pl

from backend.entities import ids
from backend.storage.interface import (
    FOREVER,
    Endpoint,
    Flush,
    Instance,
    MetricSchema,
    Relation,
    Retention,
    Service,
    Storage,
)

API, DB, WEB = (ids.service_id(name) for name in ("api", "db", "web"))
LAST = 2**31 - 1
KEPT = Retention(1000, 1000, 1000, 1000)


def points(*rows: tuple[str, str, int, int, int]) -> pl.DataFrame:
    """Rows of metric, entity, minute, summation and count; without a label."""
    return pl.DataFrame([(metric, "", *rest) for metric, *rest in rows], schema=MetricSchema, orient="row")


def everything(storage: Storage, *names: str, first: int = 0, last: int = LAST) -> list[tuple[object, ...]]:
    return storage.metrics(names or ("a", "b", "c"), [], first, last).drop("label").rows()


def service(identifier: str, first: int, last: int) -> Service:
    return Service(identifier, ids.decode_service_id(identifier).service, "K8S_SERVICE", first, last)


def instance(of: str, name: str, first: int, last: int) -> Instance:
    return Instance(ids.instance_id(of, name), of, name, first, last)


def endpoint(of: str, name: str, first: int, last: int) -> Endpoint:
    return Endpoint(ids.endpoint_id(of, name), of, name, first, last)


def relation(source: str, destination: str, side: str, component: int, minute: int) -> Relation:
    return Relation(f"{source}-{destination}", source, destination, side, component, minute)


def test_an_empty_store_has_nothing(storage: Storage) -> None:
    assert storage.services() == []
    assert storage.instances(API, 0, LAST) == []
    assert storage.endpoints(API, 0, LAST) == []
    assert storage.endpoints(None, 0, LAST) == []
    assert storage.service_relations(0, LAST) == []
    assert storage.instance_relations(API, DB, 0, LAST) == []
    nothing = storage.metrics(["a"], [], 0, LAST)
    assert nothing.is_empty()
    assert nothing.schema == MetricSchema


def test_an_empty_flush_is_fine(storage: Storage) -> None:
    storage.write(Flush("w", points()))
    assert everything(storage) == []


def test_writers_add_up(storage: Storage) -> None:
    storage.write(Flush("one", points(("a", "x", 7, 10, 2), ("a", "x", 8, 1, 1))))
    storage.write(Flush("two", points(("a", "x", 7, 5, 3), ("a", "y", 7, 4, 0))))
    assert everything(storage) == [("a", "x", 7, 15, 5), ("a", "x", 8, 1, 1), ("a", "y", 7, 4, 0)]


def test_the_same_writer_replaces_what_it_wrote(storage: Storage) -> None:
    storage.write(Flush("one", points(("a", "x", 7, 10, 2), ("b", "x", 7, 3, 0))))
    storage.write(Flush("two", points(("a", "x", 7, 100, 20))))
    storage.write(Flush("one", points(("a", "x", 7, 11, 4), ("a", "x", 9, 1, 1))))
    assert everything(storage) == [("a", "x", 7, 111, 24), ("a", "x", 9, 1, 1), ("b", "x", 7, 3, 0)]


def test_a_flush_written_again_after_it_was_merged_does_not_count_twice(storage: Storage) -> None:
    flush = Flush("one", points(("a", "x", 7, 10, 2), ("a", "x", 9, 1, 1)))
    storage.write(flush)
    storage.maintain(8, 8, FOREVER)
    storage.write(flush)
    assert everything(storage) == [("a", "x", 7, 10, 2), ("a", "x", 9, 1, 1)]
    storage.maintain(10, 10, FOREVER)
    storage.write(flush)
    assert everything(storage) == [("a", "x", 7, 10, 2), ("a", "x", 9, 1, 1)]


def test_what_comes_late_still_counts(storage: Storage) -> None:
    for number in range(5):
        storage.write(Flush(f"writer {number}", points(("a", "x", 7, 1, 1))))
        storage.maintain(100, 100, FOREVER)
    assert everything(storage) == [("a", "x", 7, 5, 5)]


def test_both_ends_of_the_minutes_belong_to_a_question(storage: Storage) -> None:
    storage.write(Flush("w", points(*(("a", "x", minute, minute, 0) for minute in range(5)))))
    assert everything(storage, first=1, last=3) == [("a", "x", 1, 1, 0), ("a", "x", 2, 2, 0), ("a", "x", 3, 3, 0)]


def test_only_what_is_asked_for_is_answered(storage: Storage) -> None:
    storage.write(Flush("w", points(*((m, e, 1, 1, 1) for m in "abc" for e in "xyz"))))
    assert storage.metrics(["a", "c", "unheard of"], ["y", "nobody"], 0, LAST).drop("label").rows() == [
        ("a", "y", 1, 1, 1),
        ("c", "y", 1, 1, 1),
    ]
    assert storage.metrics(["a"], ["nobody"], 0, LAST).is_empty()
    assert storage.metrics([], [], 0, LAST).is_empty()
    assert len(storage.metrics(["b"], [], 0, LAST)) == 3


def test_values_of_any_sign_and_size(storage: Storage) -> None:
    extremes = points(("a", "x", 1, 2**63 - 1, 0), ("a", "y", 1, -(2**63), 0), ("a", "z", 1, 0, 2**63 - 1))
    storage.write(Flush("w", extremes))
    assert everything(storage) == [
        ("a", "x", 1, 2**63 - 1, 0),
        ("a", "y", 1, -(2**63), 0),
        ("a", "z", 1, 0, 2**63 - 1),
    ]


def test_services_widen(storage: Storage) -> None:
    storage.write(Flush("1", points(), services=[service(WEB, 5, 6), service(API, 5, 5)]))
    storage.write(Flush("2", points(), services=[service(WEB, 3, 4)]))
    storage.write(Flush("3", points(), services=[service(WEB, 9, 9), service(API, 5, 5), service(WEB, 4, 7)]))
    assert storage.services() == [service(API, 5, 5), service(WEB, 3, 9)]


def test_instances_of_a_span(storage: Storage) -> None:
    storage.write(
        Flush("1", points(), instances=[instance(API, "b", 5, 6), instance(API, "a", 1, 2), instance(DB, "c", 5, 6)])
    )
    storage.write(Flush("2", points(), instances=[instance(API, "a", 2, 3)]))
    assert storage.instances(API, 0, LAST) == [instance(API, "a", 1, 3), instance(API, "b", 5, 6)]
    assert storage.instances(API, 3, 4) == [instance(API, "a", 1, 3)]
    assert storage.instances(API, 4, 4) == []
    assert storage.instances(API, 6, 9) == [instance(API, "b", 5, 6)]
    assert storage.instances(None, 4, 9) == [instance(API, "b", 5, 6), instance(DB, "c", 5, 6)]


def test_endpoints_of_a_span(storage: Storage) -> None:
    seen = [endpoint(API, "GET:/b", 5, 6), endpoint(API, "GET:/a", 1, 2), endpoint(DB, "GET:/b", 4, 6)]
    storage.write(Flush("1", points(), endpoints=seen))
    storage.write(Flush("2", points(), endpoints=[endpoint(API, "GET:/a", 2, 3), endpoint(API, "GET:/a", 1, 1)]))
    assert storage.endpoints(API, 0, LAST) == [endpoint(API, "GET:/a", 1, 3), endpoint(API, "GET:/b", 5, 6)]
    assert storage.endpoints(API, 3, 4) == [endpoint(API, "GET:/a", 1, 3)]
    assert storage.endpoints(API, 4, 4) == []
    assert storage.endpoints(API, 6, 9) == [endpoint(API, "GET:/b", 5, 6)]
    assert storage.endpoints("nobody", 0, LAST) == []
    of_all = sorted(storage.endpoints(None, 4, LAST), key=lambda one: one.service_id)
    assert of_all == [endpoint(API, "GET:/b", 5, 6), endpoint(DB, "GET:/b", 4, 6)]
    assert [one.name for one in storage.endpoints(None, 0, LAST)] == ["GET:/a", "GET:/b", "GET:/b"]


def test_service_relations_of_a_span_are_told_once_with_their_latest_minute(storage: Storage) -> None:
    for writer in ("1", "2"):
        storage.write(
            Flush(
                writer,
                points(),
                service_relations=[
                    *(relation(API, DB, "client", 110, minute) for minute in (1, 2, 3)),
                    relation(API, DB, "server", 110, 2),
                    relation(API, DB, "client", 130, 9),
                ],
            )
        )
    assert storage.service_relations(0, 5) == [
        relation(API, DB, "client", 110, 3),
        relation(API, DB, "server", 110, 2),
    ]
    assert storage.service_relations(2, 2) == [
        relation(API, DB, "client", 110, 2),
        relation(API, DB, "server", 110, 2),
    ]
    assert storage.service_relations(9, 9) == [relation(API, DB, "client", 130, 9)]
    assert storage.service_relations(10, 20) == []


def test_instance_relations_between_two_services(storage: Storage) -> None:
    ends = {name: ids.instance_id(of, name) for of, name in ((API, "api-1"), (DB, "db-1"), (WEB, "web-1"))}
    calls = relation(ends["api-1"], ends["db-1"], "client", 0, 4)
    back = relation(ends["db-1"], ends["api-1"], "client", 0, 4)
    other = relation(ends["web-1"], ends["db-1"], "client", 0, 4)
    service_relation = relation(API, DB, "client", 110, 4)
    storage.write(
        Flush("1", points(), service_relations=[service_relation], instance_relations=[calls, back, other, calls])
    )
    assert storage.instance_relations(API, DB, 0, LAST) == [calls]
    assert storage.instance_relations(DB, API, 0, LAST) == [back]
    assert storage.instance_relations(API, DB, 5, LAST) == []
    assert storage.service_relations(0, LAST) == [service_relation]


def test_what_is_too_old_is_forgotten_and_nothing_else(storage: Storage) -> None:
    for minute in (10, 11, 500):
        storage.write(
            Flush(
                f"writer {minute}",
                points(("a", f"entity {minute}", minute, 1, 1)),
                services=[service(ids.service_id(f"s{minute}"), 1, minute)],
                instances=[instance(API, f"i{minute}", 1, minute)],
                endpoints=[endpoint(API, f"GET:/{minute}", 1, minute)],
                service_relations=[relation(API, DB, "client", 110, minute)],
            )
        )
    storage.maintain(400, 1011, KEPT)
    assert everything(storage) == [("a", "entity 11", 11, 1, 1), ("a", "entity 500", 500, 1, 1)]
    assert [found.name for found in storage.services()] == ["s11", "s500"]
    assert [found.name for found in storage.instances(API, 0, LAST)] == ["i11", "i500"]
    assert [found.name for found in storage.endpoints(API, 0, LAST)] == ["GET:/11", "GET:/500"]
    assert storage.service_relations(0, 10) == []
    assert storage.service_relations(0, 11) == [relation(API, DB, "client", 110, 11)]
    storage.maintain(600, 1500, KEPT)
    assert everything(storage) == [("a", "entity 500", 500, 1, 1)]
    # A name that was forgotten may come again.
    storage.write(Flush("again", points(("a", "entity 10", 501, 7, 7))))
    assert everything(storage) == [("a", "entity 10", 501, 7, 7), ("a", "entity 500", 500, 1, 1)]


def test_names_of_any_kind(storage: Storage) -> None:
    names = ["", " ", "'; DROP TABLE fresh; --", "ünï—✓", "a" * 5000, "%_\\", '"']
    storage.write(Flush("'", points(*(("a", name, 1, index, 0) for index, name in enumerate(names)))))
    found = storage.metrics(["a"], names, 0, LAST)
    assert dict(found.select("entity", "summation").iter_rows()) == {name: i for i, name in enumerate(names)}


def test_threads_write_and_read_at_the_same_time(storage: Storage) -> None:
    errors: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            for number in range(20):
                storage.write(
                    Flush(
                        f"{thread}/{number}",
                        points(("a", f"e{number % 3}", 1, 1, 1), ("b", f"of {thread}", 1, 1, 0)),
                        services=[service(API, number, number)],
                        service_relations=[relation(API, DB, "client", 110, number)],
                    )
                )
                storage.maintain(2, 2, FOREVER)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    def read() -> None:
        try:
            before = 0
            for _ in range(20):
                total = int(storage.metrics(["a"], [], 0, LAST)["summation"].sum())
                assert total >= before
                before = total
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [*(threading.Thread(target=write, args=(number,)) for number in range(3)), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = storage.metrics(["a", "b"], [], 0, LAST)
    assert found.filter(pl.col("metric") == "a")["summation"].sum() == 60
    assert found.filter(pl.col("metric") == "b").select("entity", "summation").rows() == [
        ("of 0", 20),
        ("of 1", 20),
        ("of 2", 20),
    ]
    assert storage.services() == [service(API, 0, 19)]
