"""Names as nodes of a cluster see them, and namespaces that are not wanted."""

import pytest

from backend.entities.addresses.kubernetes_book import KubernetesBook, Miss
from backend.entities.resolution import EXCLUDED, End
from tests.backend.entities.addresses.world import World, asking
from tests.common.kubernetes.manifests import node, pod, service

APP = {"app": "shop"}


@pytest.fixture
def world() -> World:
    made = World()
    for namespace, number in (("shop", 1), ("kube-system", 2)):
        made.put("services", service("web", f"10.96.0.{number}", namespace=namespace, selector=APP))
        made.put("pods", pod("web-1", f"10.0.0.{number}", namespace=namespace, labels=APP))
        made.put("pods", pod("alone", f"10.0.1.{number}", namespace=namespace))
    made.put("nodes", node("n1", "192.0.2.1"))
    return made


HOSTS = ("10.96.0.1", "10.0.0.1", "10.0.1.1", "10.96.0.2", "10.0.0.2", "10.0.1.2", "192.0.2.1")


def test_names_have_the_cluster_of_the_node_that_asks(world: World) -> None:
    found = [world.book.find(host, 80, asking("east"), world.now) for host in HOSTS]
    assert found == [
        End("east::web.shop", ""),
        End("east::web.shop", "web-1"),
        None,
        End("east::web.kube-system", ""),
        End("east::web.kube-system", "web-1"),
        None,
        End("east::kubernetes-node", "n1"),
    ]


@pytest.mark.parametrize("by_node", [True, False])
def test_what_is_in_a_namespace_that_is_not_wanted_is_excluded(world: World, *, by_node: bool) -> None:
    book = KubernetesBook(world.index, excluded_namespaces=frozenset(() if by_node else ("kube-system",)))
    asked_by = asking("", "n1", *(("kube-system",) if by_node else ()))
    found = [book.find(host, 80, asked_by, world.now) for host in HOSTS]
    assert found == [
        End("web.shop", ""),
        End("web.shop", "web-1"),
        None,
        EXCLUDED,
        EXCLUDED,
        EXCLUDED,  # also a pod of no service
        End("kubernetes-node", "n1"),
    ]
    assert book.misses == {Miss.POD_OF_NO_SERVICE: 1}


def test_nodes_of_another_cluster_find_nothing_where_the_cluster_has_a_name(world: World) -> None:
    book = KubernetesBook(world.index, cluster="east")
    assert book.find("10.96.0.1", 80, asking("west"), world.now) is None
    assert book.find("10.96.0.1", 80, asking(), world.now) is None
    assert book.find("10.96.0.1", 80, asking("east"), world.now) == End("east::web.shop", "")
    assert book.misses == {Miss.OTHER_CLUSTER: 2}


def test_each_cause_of_a_miss_is_counted(world: World) -> None:
    world.remove("pods", pod("web-1", "10.0.0.1", namespace="shop"))
    asked = [("name", 0), ("203.0.113.1", 0), ("10.0.0.2", -1000), ("10.0.0.1", 100), ("10.0.1.1", 0)]
    for host, later in asked:
        assert world.book.find(host, 80, asking(), world.now + later) is None
    assert world.book.misses == {
        Miss.NO_ADDRESS: 1,
        Miss.NEVER: 1,
        Miss.BEFORE: 1,
        Miss.AFTER: 1,
        Miss.POD_OF_NO_SERVICE: 1,
    }
