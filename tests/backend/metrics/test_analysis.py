from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities import ids
from backend.entities.resolution import EXCLUDED, End, Resolver
from backend.ingest.batch import Address, Connection, DetectPoint, LogBatch, LogKind, Node, Ztunnel
from backend.metrics.analysis import LARGEST, Analysed, Minutes, analyse
from backend.oal.compiler import Program
from backend.oal.loader import load_texts
from backend.storage.interface import Instance, Relation, Service
from tests.backend.oal.batches import NODE, batches

PROGRAM = Program(
    load_texts(
        {
            "x": """
            writes = from(K8SService.*).filter(type == "write").cpm();
            size = from(K8SService.write.l4.totalPackageSize).sum();
            time = from(K8SService.write.duration).sum();
            """
        }
    ).definitions
)
SIZE = "write.l4Metrics.totalPackageSize"
API, DB, UNKNOWN = (ids.service_id(name) for name in ("api", "db", "Unknown"))
API_1, DB_1 = ids.instance_id(API, "api-1"), ids.instance_id(DB, "db-1")
api, db, plain = (
    Address("api", "api-1", "", "", 1),
    Address("db", "db-1", "", "", 2),
    Address("", "", "", "10.0.0.1", 3),
)


def connection(
    local: Address, remote: Address, role: DetectPoint = DetectPoint.CLIENT, protocol: int = 0
) -> Connection:
    return Connection(NODE, local, remote, role, tls=False, protocol=protocol)


def batch(
    connections: list[Connection],
    logs: Sequence[tuple[int, int, int, int]],
    kinds: Sequence[int] | None = None,
) -> LogBatch:
    """Writes, each (connection, minute, duration, size)."""
    rows = np.array(logs, np.int64).reshape(-1, 4)
    kind = np.array(kinds, np.int8) if kinds else np.full(len(rows), LogKind.WRITE, np.int8)
    return LogBatch(
        connections, rows[:, 0].astype(np.int32), kind, rows[:, 1].astype(np.int32), rows[:, 2], {SIZE: rows[:, 3]}
    )


def run(*given_batches: LogBatch, minutes: Minutes | None = None) -> Analysed:
    return analyse(given_batches, Resolver(), PROGRAM, "writer", minutes)


def points(analysed: Analysed) -> dict[tuple[str, int], dict[str, int]]:
    """Summations by (service name, minute), then by metric."""
    found: dict[tuple[str, int], dict[str, int]] = {}
    for metric, _, entity, minute, summation, _ in analysed.flush.rows.iter_rows():
        found.setdefault((ids.decode_service_id(entity).service, minute), {})[metric] = summation
    return found


def test_batches_are_merged_and_minutes_kept_apart() -> None:
    one, other = connection(api, db), connection(db, api, DetectPoint.SERVER)
    analysed = run(
        batch([one], [(0, 7, 1, 10), (0, 8, 2, 20)]),
        batch([other, one], [(0, 7, 4, 40), (1, 7, 8, 80)]),
    )
    assert points(analysed) == {
        ("api", 7): {"writes": 2, "size": 90, "time": 9},
        ("api", 8): {"writes": 1, "size": 20, "time": 2},
        ("db", 7): {"writes": 1, "size": 40, "time": 4},
    }
    assert analysed.dropped == {}
    assert analysed.flush.writer == "writer"


def test_who_was_seen_when_is_told_once() -> None:
    calls, served = connection(api, db), connection(db, api, DetectPoint.SERVER, protocol=1)
    flush = run(
        batch([calls, served], [(0, 7, 1, 1), (0, 9, 1, 1), (0, 9, 1, 1), (1, 8, 1, 1)]), batch([calls], [(0, 5, 1, 1)])
    ).flush
    assert sorted(flush.services, key=lambda service: service.name) == [
        Service(API, "api", "K8S_SERVICE", 5, 9),
        Service(DB, "db", "K8S_SERVICE", 8, 8),
    ]
    assert sorted(flush.instances, key=lambda instance: instance.name) == [
        Instance(API_1, API, "api-1", 5, 9),
        Instance(DB_1, DB, "db-1", 8, 8),
    ]
    relation = f"{API}-{DB}"
    assert sorted(flush.service_relations, key=lambda one: one.minute) == [
        Relation(relation, API, DB, "client", 110, 5),
        Relation(relation, API, DB, "client", 110, 7),
        Relation(relation, API, DB, "server", 49, 8),
        Relation(relation, API, DB, "client", 110, 9),
    ]
    relation = f"{API_1}-{DB_1}"
    assert sorted(flush.instance_relations, key=lambda one: one.minute) == [
        Relation(relation, API_1, DB_1, "client", 0, 5),
        Relation(relation, API_1, DB_1, "client", 0, 7),
        Relation(relation, API_1, DB_1, "server", 0, 8),
        Relation(relation, API_1, DB_1, "client", 0, 9),
    ]


def test_an_unknown_end_is_in_relations_only() -> None:
    flush = run(batch([connection(api, plain), connection(plain, db)], [(0, 7, 1, 1), (1, 7, 1, 1)])).flush
    assert [service.id for service in flush.services] == [API]
    assert {relation.id for relation in flush.service_relations} == {f"{API}-{UNKNOWN}", f"{UNKNOWN}-{DB}"}


@pytest.mark.parametrize("role", [DetectPoint.PROXY, DetectPoint.UNRECOGNIZED])
def test_other_roles_have_metrics_but_no_topology(role: DetectPoint) -> None:
    analysed = run(batch([connection(api, db, role)], [(0, 7, 1, 1)]))
    assert points(analysed) == {("api", 7): {"writes": 1, "size": 1, "time": 1}}
    assert analysed.flush.service_relations == analysed.flush.instance_relations == []
    assert [service.id for service in analysed.flush.services] == [API]


def test_what_does_not_count_is_counted_by_cause() -> None:
    connections = [connection(api, db), connection(plain, plain)]
    logs = [(0, 7, 1, 1), (1, 7, 1, 1), (0, 3, 1, 1), (0, 12, 1, 1), (0, 4, 1, 1), (0, 11, 1, 1), (0, 7, 1, 1)]
    kinds = [5, 5, 5, 5, 5, 5, 7]
    analysed = run(batch(connections, logs, kinds), minutes=Minutes(4, 11))
    assert analysed.dropped == {"unknown": 1, "expired": 1, "future": 1, "kind": 1}
    assert set(points(analysed)) == {("api", 4), ("api", 7), ("api", 11)}
    assert {relation.minute for relation in analysed.flush.service_relations} == {4, 7, 11}


@pytest.mark.parametrize(("duration", "size"), [(1, -1), (1, LARGEST), (-1, 1), (LARGEST, 1)])
def test_impossible_values_never_enter_a_sum(duration: int, size: int) -> None:
    analysed = run(batch([connection(api, db)], [(0, 7, 2, 3), (0, 7, duration, size), (0, 7, 4, LARGEST - 1)]))
    assert analysed.dropped == {"value": 1}
    assert points(analysed) == {("api", 7): {"writes": 2, "size": LARGEST + 2, "time": 6}}


def test_nothing_gives_an_empty_flush() -> None:
    flush = run(batch([], [])).flush
    assert flush.rows.is_empty()
    assert flush.services == []


@settings(max_examples=40, deadline=None)
@given(given_batches=st.lists(batches(), max_size=3))
def test_how_logs_are_cut_into_flushes_does_not_matter(given_batches: list[LogBatch]) -> None:
    together = run(*given_batches)
    apart = [run(one) for one in given_batches]
    totals: dict[tuple[object, ...], tuple[int, int]] = {}
    for analysed in apart:
        for *key, summation, count in analysed.flush.rows.iter_rows():
            before = totals.get(tuple(key), (0, 0))
            totals[tuple(key)] = (before[0] + summation, before[1] + count)
    assert {tuple(key): (summation, count) for *key, summation, count in together.flush.rows.iter_rows()} == totals
    for of in ("service_relations", "instance_relations"):
        assert set(getattr(together.flush, of)) == {row for analysed in apart for row in getattr(analysed.flush, of)}
    assert {service.id for service in together.flush.services} == {
        service.id for analysed in apart for service in analysed.flush.services
    }
    lost = sum(sum(analysed.dropped.values()) for analysed in apart)
    assert sum(together.dropped.values()) == lost


class Recycled:
    """An address book in which one address passes on: to an excluded end in minute 3, to "b" from minute 4 on."""

    version = 0

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:
        assert (host, port, node) == ("10.0.0.1", 3, NODE)
        return EXCLUDED if minute == 3 else End("b" if minute > 3 else "a", "")


@given(minutes=st.lists(st.integers(1, 6), min_size=1, max_size=20))
def test_each_log_counts_for_whose_address_it_was_in_its_minute(minutes: list[int]) -> None:
    logs = [(index % 2, minute, 5, 100) for index, minute in enumerate(minutes)]
    ends = [connection(api, plain), connection(api, db)]
    analysed = analyse([batch(ends, logs)], Resolver(Recycled()), PROGRAM, "writer")
    by_address = {minute for at, minute, *_ in logs if at == 0}
    expected = {(API, ids.service_id("b" if minute > 3 else "a"), minute) for minute in by_address if minute != 3} | {
        (API, DB, minute) for at, minute, *_ in logs if at == 1
    }
    found = [(of.source_id, of.destination_id, of.minute) for of in analysed.flush.service_relations]
    assert sorted(found) == sorted(expected)
    excluded = sum(1 for at, minute, *_ in logs if at == 0 and minute == 3)
    assert analysed.dropped == ({"excluded": excluded} if excluded else {})


def test_each_cause_for_which_a_connection_counts_for_nothing_is_counted() -> None:
    ends = [
        connection(plain, plain),
        connection(api, Address("dns.kube-system", "x", "", "", 53)),
        connection(api, api),
        connection(api, db),
    ]
    resolver = Resolver(excluded_namespaces={"kube-system"}, ignore_same_service=True)
    logs = [(0, 1, 5, 100), (1, 1, 5, 100), (1, 1, 5, 100), (2, 1, 5, 100), (3, 1, 5, 100), (2, 1, 5, 0), (2, 1, 5, 0)]
    analysed = analyse([batch(ends, logs)], resolver, PROGRAM, "writer")
    assert analysed.dropped == {"unknown": 1, "excluded": 2, "same_service": 3}
    assert [(of.source_id, of.destination_id) for of in analysed.flush.service_relations] == [(API, DB)]


def test_a_relation_has_a_row_for_each_of_its_components() -> None:
    mesh = Connection(NODE, api, db, DetectPoint.CLIENT, tls=False, protocol=1, ztunnel=Ztunnel(is_mutual=True))
    analysed = run(batch([mesh], [(0, 1, 5, 100)]))
    assert sorted(of.component for of in analysed.flush.service_relations) == [142, 162]
    assert {of.id for of in analysed.flush.service_relations} == {f"{API}-{DB}"}
