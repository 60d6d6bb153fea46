"""Services that several layers see: document in, answer out."""

from collections.abc import Iterable

import pytest

from backend.entities.ids import instance_id, service_id
from backend.query.graphql import hierarchy
from backend.query.graphql.context import MAXIMUM_SECONDS
from backend.query.graphql.service_book import layers_of
from backend.storage.interface import Flush, Instance, Service
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import NOW, Client, asking
from tests.backend.query.world import frame

MINUTE = int(NOW) // 60


def service(name: str, *layers: str) -> Service:
    return Service(service_id(name), name, layers[0], MINUTE, MINUTE, more_layers=layers[1:])


SONGS = service("east::songs.shop", "K8S_SERVICE")
MESH = service("mesh::songs.shop", "MESH", "MESH_DP")
AGENT = service("agent::songs", "GENERAL")
OTHERS = [service("east::songs.other", "K8S_SERVICE", "MESH"), service("songs.shop", "VIRTUAL_MQ")]
ALL = [SONGS, MESH, AGENT, *OTHERS]

PAIRS = [
    ((AGENT.name, "GENERAL"), (SONGS.name, "K8S_SERVICE")),
    ((MESH.name, "MESH"), (SONGS.name, "K8S_SERVICE")),
    ((MESH.name, "MESH"), (MESH.name, "MESH_DP")),
    ((MESH.name, "MESH_DP"), (SONGS.name, "K8S_SERVICE")),
]
OTHER_PAIRS = [
    ((AGENT.name, "GENERAL"), (OTHERS[0].name, "K8S_SERVICE")),
    ((OTHERS[0].name, "MESH"), (OTHERS[0].name, "K8S_SERVICE")),
]
"""An agent that does not say its namespace may be of either."""


def storage(instances: Iterable[Instance] = ()) -> MemoryStorage:
    filled = MemoryStorage()
    filled.write(Flush("one", frame([]), services=ALL, instances=list(instances)))
    return filled


@pytest.mark.parametrize(
    ("asked", "layer"), [(SONGS, "K8S_SERVICE"), (MESH, "MESH"), (MESH, "MESH_DP"), (AGENT, "GENERAL")]
)
async def test_from_each_end_all_that_is_reached_is_told(asked: Service, layer: str) -> None:
    async with asking(storage()) as client:
        answer = await client.answer(documents.BOOSTER_HIERARCHY, serviceId=asked.id, layer=layer)
    found = [
        tuple((relation[end]["name"], relation[end]["layer"]) for end in ("upperService", "lowerService"))
        for relation in answer["hierarchyServiceTopology"]["relations"]
    ]
    assert sorted(found) == sorted([*PAIRS, *OTHER_PAIRS])
    ids = {service.name: service.id for service in ALL}
    for relation in answer["hierarchyServiceTopology"]["relations"]:
        for end in relation.values():
            assert (end["id"], end["normal"]) == (ids[end["name"]], True)


@pytest.mark.parametrize(("identity", "layer"), [(SONGS.id, "MESH"), (SONGS.id, "NONE"), ("no id", "MESH")])
async def test_a_service_that_is_not_in_the_layer_has_none(identity: str, layer: str) -> None:
    async with asking(storage()) as client:
        answer = await client.answer(documents.BOOSTER_HIERARCHY, serviceId=identity, layer=layer)
    assert answer == {"hierarchyServiceTopology": {"relations": []}}


async def test_a_service_of_one_layer_stands_alone(client: Client) -> None:
    answer = await client.answer(
        documents.BOOSTER_HIERARCHY, serviceId=service_id("details.default"), layer="K8S_SERVICE"
    )
    assert answer == {"hierarchyServiceTopology": {"relations": []}}


def instance(of: Service, name: str, **properties: str) -> Instance:
    return Instance(instance_id(of.id, name), of.id, name, MINUTE, MINUTE, properties)


async def test_instances_are_the_same_by_name_or_by_the_pod_they_name() -> None:
    pod = instance(SONGS, "songs-1")
    proxy = instance(MESH, "songs-1")
    agent = instance(AGENT, "uuid@10.0.0.1", HOSTNAME="songs-1")
    strangers = [instance(AGENT, "uuid@10.0.0.2", pod="songs-2"), instance(MESH, "songs-2")]
    expected = [
        ((agent.id, "GENERAL", AGENT.name), (pod.id, "K8S_SERVICE", SONGS.name)),
        ((proxy.id, "MESH", MESH.name), (pod.id, "K8S_SERVICE", SONGS.name)),
        ((proxy.id, "MESH_DP", MESH.name), (pod.id, "K8S_SERVICE", SONGS.name)),
    ]
    async with asking(storage([pod, proxy, agent, *strangers])) as client:
        for asked, layer, told in (
            (pod, "K8S_SERVICE", expected),
            (agent, "GENERAL", expected[:1]),
        ):
            answer = await client.answer(documents.BOOSTER_INSTANCE_HIERARCHY, instanceId=asked.id, layer=layer)
            found = [
                tuple(
                    (relation[end]["id"], relation[end]["layer"], relation[end]["serviceName"])
                    for end in ("upperInstance", "lowerInstance")
                )
                for relation in answer["hierarchyInstanceTopology"]["relations"]
            ]
            assert sorted(found) == told
        for unknown, layer in (("no id", "MESH"), (pod.id, "MESH"), (instance_id(SONGS.id, "x"), "K8S_SERVICE")):
            answer = await client.answer(documents.BOOSTER_INSTANCE_HIERARCHY, instanceId=unknown, layer=layer)
            assert answer == {"hierarchyInstanceTopology": {"relations": []}}


def test_an_answer_has_a_largest_number_of_relations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchy, "MAXIMUM_RELATIONS", 3)
    assert len(hierarchy.hierarchy(ALL, SONGS, "K8S_SERVICE", lambda: None)) == 3


def test_the_time_is_looked_at_for_each_service_that_is_reached() -> None:
    looks: list[None] = []
    hierarchy.hierarchy(ALL, SONGS, "K8S_SERVICE", lambda: looks.append(None))
    assert len(looks) == len({end for pair in [*PAIRS, *OTHER_PAIRS] for end in pair})


async def test_instances_of_many_services_are_asked_for_until_the_time_is_over() -> None:
    class Slow(MemoryStorage):
        asked = 0

        def instances(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Instance]:
            self.asked += 1
            client.clock.now += MAXIMUM_SECONDS / 2
            return super().instances(service_id, first_minute, last_minute)

    slow = Slow()
    pod = instance(SONGS, "songs-1")
    slow.write(Flush("one", frame([]), services=ALL, instances=[pod]))
    async with asking(slow) as client:
        (error,) = await client.errors(documents.BOOSTER_INSTANCE_HIERARCHY, instanceId=pod.id, layer="K8S_SERVICE")
    assert "the request took longer than 30 seconds" in error["message"]
    assert slow.asked == 3


def test_every_rule_goes_from_a_higher_layer_to_a_lower_one() -> None:
    for upper, lower in hierarchy.SAME:
        assert hierarchy.LEVELS[upper] >= hierarchy.LEVELS[lower]
        assert upper != lower


async def test_the_levels_are_listed(client: Client) -> None:
    answer = await client.answer(documents.HORIZON_MENU)
    levels = {one["layer"]: one["level"] for one in answer["levels"]}
    assert (levels["K8S_SERVICE"], levels["MESH"], levels["GENERAL"]) == (0, 1, 2)
    assert "K8S_SERVICE" in answer["layers"]


def test_layers_of_a_service_are_all_of_them() -> None:
    assert layers_of(MESH) == ("MESH", "MESH_DP")
