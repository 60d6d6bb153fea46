"""What every store promises of entities that are told of several times, in any order."""

import itertools
from dataclasses import replace

import polars as pl

from backend.storage.interface import Endpoint, Flush, Instance, MetricSchema, Relation, Service, Storage
from tests.backend.storage.conftest import OpenStore

LAST = 2**31 - 1
NOTHING = pl.DataFrame(schema=MetricSchema)


def test_layers_of_a_service_add_up_in_any_order(open_store: OpenStore) -> None:
    tellings = [
        Service("s", "s", "MESH", 5, 5, normal=False),
        Service("s", "s", "GENERAL", 3, 4, normal=True, more_layers=("K8S_SERVICE",)),
        Service("s", "s", "MESH", 4, 9, normal=False),
    ]
    expected = [Service("s", "s", "GENERAL", 3, 9, normal=True, more_layers=("K8S_SERVICE", "MESH"))]
    for order in itertools.permutations(tellings):
        storage = open_store()
        for number, service in enumerate(order):
            storage.write(Flush(str(number), NOTHING, services=[service]))
        assert storage.services() == expected
    together = open_store()
    together.write(Flush("all", NOTHING, services=tellings))
    assert together.services() == expected


def test_a_service_that_only_others_call_stays_so_until_it_speaks(storage: Storage) -> None:
    quiet = Service("s", "s", "VIRTUAL", 5, 5, normal=False)
    storage.write(Flush("1", NOTHING, services=[quiet]))
    assert storage.services() == [quiet]
    storage.write(Flush("2", NOTHING, services=[replace(quiet, normal=True)]))
    assert storage.services() == [replace(quiet, normal=True)]


def test_an_instance_has_the_latest_properties_that_are_not_empty(open_store: OpenStore) -> None:
    tellings = [
        Instance("s_i", "s", "i", 1, 5, {"host": "old", "pid": "1"}),
        Instance("s_i", "s", "i", 6, 7, {"host": 'ünï "✓"\n', "zone": "\\"}),
        Instance("s_i", "s", "i", 8, 9),
    ]
    expected = [Instance("s_i", "s", "i", 1, 9, {"host": 'ünï "✓"\n', "zone": "\\"})]
    for order in itertools.permutations(tellings):
        storage = open_store()
        for number, instance in enumerate(order):
            storage.write(Flush(str(number), NOTHING, instances=[instance]))
        assert storage.instances("s", 0, LAST) == expected
    together = open_store()
    together.write(Flush("all", NOTHING, instances=tellings))
    assert together.instances("s", 0, LAST) == expected


def test_relations_of_an_endpoint_are_those_on_both_sides(storage: Storage) -> None:
    def calls(source: str, destination: str, side: str, minute: int) -> Relation:
        return Relation(f"{source}-{destination}", source, destination, side, 0, minute)

    storage.write(
        Flush(
            "1",
            NOTHING,
            endpoints=[Endpoint("s_a", "s", "a", 1, 1)],
            endpoint_relations=[
                *(calls("s_a", "t_b", "client", minute) for minute in (3, 4, 9)),
                calls("t_b", "u_c", "server", 4),
                calls("u_c", "s_a", "server", 5),
                calls("u_c", "u_c", "client", 5),
            ],
            service_relations=[calls("s_a", "t_b", "client", 4)],
        )
    )
    assert storage.endpoint_relations("s_a", 0, 8) == [
        calls("s_a", "t_b", "client", 4),
        calls("u_c", "s_a", "server", 5),
    ]
    assert storage.endpoint_relations("t_b", 4, 4) == [
        calls("s_a", "t_b", "client", 4),
        calls("t_b", "u_c", "server", 4),
    ]
    assert storage.endpoint_relations("u_c", 5, 5) == [
        calls("u_c", "s_a", "server", 5),
        calls("u_c", "u_c", "client", 5),
    ]
    assert storage.endpoint_relations("s_a", 10, LAST) == []
    assert storage.endpoint_relations("s_", 0, LAST) == []
    assert storage.service_relations(0, LAST) == [calls("s_a", "t_b", "client", 4)]
