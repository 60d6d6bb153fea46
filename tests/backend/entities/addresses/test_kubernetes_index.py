"""What is behind the addresses of a cluster, kind by kind."""

from collections.abc import Callable
from typing import Any

import pytest

from backend.entities.addresses.kubernetes_book import Miss
from tests.backend.entities.addresses.world import STARTED, World
from tests.common.kubernetes.manifests import endpoint_slice, node, pod, service

APP = {"app": "shop"}


def test_the_addresses_of_a_service_are_its_own_on_both_families_and_all_ports() -> None:
    world = World()
    world.put("services", service("shop", "10.96.0.1", "fd00::96:1", ports=[80]))
    assert {world.find(host, port) for host in ("10.96.0.1", "fd00::96:1") for port in (0, 80, 9999)} == {
        "shop.default"
    }
    assert world.find("FD00:0:0::0096:0001", 80) == "shop.default"
    assert world.find("::ffff:10.96.0.1", 80) == "shop.default"


def test_a_pod_is_an_instance_of_the_service_that_selects_it() -> None:
    world = World()
    world.put("pods", pod("shop-1", "10.0.0.1", "fd00::1", labels={**APP, "pod-template-hash": "x"}))
    assert world.find("10.0.0.1", 8080) is None
    assert world.book.misses == {Miss.POD_OF_NO_SERVICE: 1}
    world.now += 1
    world.put("services", service("shop", selector=APP))  # headless: it needs no address
    assert world.find("10.0.0.1", 8080) == "shop.default/shop-1"
    assert world.find("fd00:0::1", 40000) == "shop.default/shop-1"
    world.put("services", service("shop", selector={"app": "other"}))
    assert world.find("10.0.0.1") is None


def test_a_service_selects_pods_of_its_own_namespace_alone() -> None:
    world = World()
    world.put("services", service("shop", namespace="one", selector=APP))
    world.put(
        "pods", pod("a", "10.0.0.1", namespace="one", labels=APP), pod("b", "10.0.0.2", namespace="two", labels=APP)
    )
    assert [world.find(f"10.0.0.{number}") for number in (1, 2)] == ["shop.one/a", None]


def test_of_several_services_the_shortest_name_counts() -> None:
    world = World()
    world.put("pods", pod("a", "10.0.0.1", labels=APP))
    for name in ("shop-canary", "shopping", "shop", "aaaa"):
        world.put("services", service(name, "10.96.0.1", selector=APP))
    assert world.find("10.0.0.1") == "aaaa.default/a"
    world.remove("services", service("aaaa", selector=APP))
    assert world.find("10.0.0.1") == "shop.default/a"


def test_a_pod_that_only_a_slice_names_counts_for_the_service_of_the_slice() -> None:
    world = World()
    world.put("endpointslices", endpoint_slice("db-1", "db", {"10.0.0.1": "a", "10.0.0.2": "b"}))
    assert world.find("10.0.0.1") is None
    world.put("pods", pod("a", "10.0.0.1"), pod("b", "10.0.0.2", labels=APP))
    world.put("services", service("shop", selector=APP))
    assert world.find("10.0.0.1") == "db.default/a"
    assert world.find("10.0.0.2") == "shop.default/b"  # selectors go first
    world.put("endpointslices", endpoint_slice("db-1", "db", {"10.0.0.2": "b"}))
    assert world.find("10.0.0.1") is None
    assert world.index._slices_of_pod == {("default", "b"): {"db-1"}}
    world.remove("endpointslices", endpoint_slice("db-1", "db", {}))
    assert world.index._slices_of_pod == {}


def test_ends_without_pods_are_of_their_service_at_their_ports() -> None:
    world = World()
    world.put("endpointslices", endpoint_slice("db-1", "db", ["192.0.2.7", "192.0.2.8"], ports=[5432, 5433]))
    assert [world.find("192.0.2.7", port) for port in (5432, 5433, 22, 0)] == ["db.default", "db.default", None, None]
    world.put("endpointslices", endpoint_slice("any-1", "any", ["192.0.2.7"], ports=None))
    assert [world.find("192.0.2.7", port) for port in (5432, 22, 0)] == ["db.default", "any.default", "any.default"]
    world.put("endpointslices", endpoint_slice("nobody", "", ["192.0.2.9"]))
    assert world.find("192.0.2.9", 80) is None


def test_outer_addresses_are_of_the_service_at_its_ports_and_else_of_it_too() -> None:
    world = World()
    world.put(
        "services",
        service("web", ports=[80, 443], balancers=["198.51.100.1"], external=["198.51.100.2"]),
        service("dns", ports=[53], balancers=["198.51.100.1"]),  # two services share an address
    )
    assert [world.find("198.51.100.1", port) for port in (80, 443, 53)] == ["web.default", "web.default", "dns.default"]
    assert world.find("198.51.100.2", 80) == "web.default"
    assert world.find("198.51.100.1", 99) == "dns.default"  # first of those with the shortest name
    assert world.find("198.51.100.1") == "dns.default"


def test_a_node_is_a_node_except_at_ports_of_services_and_pods() -> None:
    world = World()
    world.put("nodes", node("n1", "192.0.2.1", "2001:db8::1"), node("n2", "192.0.2.2"))
    world.put(
        "services",
        service("web", "10.96.0.1", ports=[80], node_ports=[30080]),
        service("agent", selector={"app": "agent"}),
        service("edge", ports=[443], balancers=["192.0.2.1"]),  # as small clusters do it
    )
    host: dict[str, Any] = {"host_network": True, "labels": {"app": "agent"}}
    world.put(
        "pods",
        pod("agent-1", "192.0.2.1", ports=[9100], **host),
        pod("agent-2", "192.0.2.2", ports=[9100], **host),
        pod("mapped", "10.0.0.1", labels={"app": "agent"}, host_ports=[8443], host_addresses=["192.0.2.2"]),
        pod("alone", "192.0.2.2", ports=[10250], host_network=True),
    )
    found = {
        (host, port): world.find(host, port) for host in ("192.0.2.1", "192.0.2.2") for port in (0, 443, 9100, 30080)
    }
    assert found == {
        ("192.0.2.1", 0): "kubernetes-node/n1",
        ("192.0.2.1", 443): "edge.default",
        ("192.0.2.1", 9100): "agent.default/agent-1",
        ("192.0.2.1", 30080): "web.default",
        ("192.0.2.2", 0): "kubernetes-node/n2",
        ("192.0.2.2", 443): "kubernetes-node/n2",
        ("192.0.2.2", 9100): "agent.default/agent-2",
        ("192.0.2.2", 30080): "web.default",
    }
    assert world.find("2001:db8::1", 30080) == "web.default"
    assert world.find("192.0.2.2", 8443) == "agent.default/mapped"
    assert world.find("192.0.2.2", 10250) == "kubernetes-node/n2"  # a pod of no service is part of its node
    assert world.find("192.0.2.2", 40000) == "kubernetes-node/n2"
    assert world.find("10.0.0.1", 30080) == "agent.default/mapped"  # node ports are at nodes alone


def test_a_pod_on_the_hosts_network_is_also_told_apart_by_the_ports_of_its_slices() -> None:
    world = World()
    world.put("nodes", node("n1", "192.0.2.1"))
    world.put(
        "pods", pod("dns-1", "192.0.2.1", host_network=True, labels=APP), pod("x", "192.0.2.1", host_network=True)
    )
    world.put("services", service("dns", selector=APP))
    assert world.find("192.0.2.1", 53) == "kubernetes-node/n1"
    world.put("endpointslices", endpoint_slice("dns-1", "dns", {"192.0.2.1": "dns-1"}, ports=[53]))
    assert world.find("192.0.2.1", 53) == "dns.default/dns-1"
    world.put("endpointslices", endpoint_slice("dns-1", "dns", {"192.0.2.1": "dns-1"}, ports=[5353]))
    world.now += 100
    assert [world.find("192.0.2.1", port) for port in (53, 5353)] == ["kubernetes-node/n1", "dns.default/dns-1"]


def test_the_api_server_is_the_service_that_clusters_have_for_it() -> None:
    world = World()
    world.put("nodes", node("control", "192.0.2.1"))
    world.put("services", service("kubernetes", "10.96.0.1", ports=[443]))
    world.put("endpointslices", endpoint_slice("kubernetes", "kubernetes", ["192.0.2.1"], ports=[6443]))
    assert world.find("192.0.2.1", 6443) == "kubernetes.default"
    assert world.find("192.0.2.1", 22) == "kubernetes-node/control"


def test_the_first_addresses_of_a_pod_network_are_the_nodes_unless_a_pod_has_them() -> None:
    world = World()
    world.put("nodes", node("n1", "192.0.2.1", pod_networks=["10.1.3.0/24", "fd01::/64", "what"]))
    assert [world.find(host) for host in ("10.1.3.0", "10.1.3.1", "fd01::1")] == ["kubernetes-node/n1"] * 3
    assert world.find("10.1.3.2") is None
    world.put("pods", pod("a", "10.1.3.1", labels=APP))
    world.put("services", service("shop", selector=APP))
    assert world.find("10.1.3.1") == "shop.default/a"


def test_an_address_is_of_the_pod_that_began_last_where_two_have_it() -> None:
    world = World()
    world.put("services", service("shop", selector=APP))
    old = pod("a-old", "10.0.0.1", labels=APP)
    new = pod("z-new", "10.0.0.1", labels=APP, started="2026-01-01T01:00:00Z")
    for order in ((old, new), (new, old)):
        world.replace("pods", *order)
        assert world.find("10.0.0.1") == "shop.default/z-new"
    world.put("pods", pod("z-new", "10.0.0.1", labels=APP, phase="Succeeded"))
    assert world.find("10.0.0.1") == "shop.default/a-old"


def test_an_address_that_is_used_again_answers_by_the_minute_of_the_event() -> None:
    world = World()
    world.put("services", service("shop", selector=APP), service("cart", selector={"app": "cart"}))
    first = pod("shop-1", "10.0.0.1", labels=APP)
    world.put("pods", first)
    world.now += 10
    world.remove("pods", first)
    world.put("pods", pod("cart-1", "10.0.0.1", labels={"app": "cart"}, started="2026-01-01T01:50:00Z"))
    assert world.now == STARTED + 110
    found = [world.find("10.0.0.1", minute=world.now + offset) for offset in (-111, -110, -1, 0, 1)]
    assert found == ["shop.default/shop-1", "shop.default/shop-1", "shop.default/shop-1", *["cart.default/cart-1"] * 2]
    assert world.find("10.0.0.1", minute=STARTED - 2) is None
    assert world.book.misses == {Miss.BEFORE: 1}


def test_what_passed_over_while_nobody_watched_is_put_right_by_a_list() -> None:
    world = World()
    world.put("services", service("shop", selector=APP))
    world.put("pods", pod("a", "10.0.0.1", labels=APP))
    world.now = STARTED + 160
    world.replace("pods", pod("b", "10.0.0.1", labels=APP, started="2026-01-01T02:30:00Z"))
    found = [world.find("10.0.0.1", minute=STARTED + offset) for offset in (149, 150, 160)]
    assert found == ["shop.default/a", "shop.default/b", "shop.default/b"]


def test_what_is_there_goes_before_a_port_that_something_else_had_shortly_before() -> None:
    world = World()
    world.put("services", service("web", ports=[80], balancers=["10.0.0.1"]), service("shop", selector=APP))
    assert world.find("10.0.0.1", 80) == "web.default"
    world.now += 1
    world.remove("services", service("web", ports=[80]))
    world.put("pods", pod("a", "10.0.0.1", labels=APP))
    world.now += 1
    assert world.find("10.0.0.1", 80) == "shop.default/a"
    assert world.find("10.0.0.1", 80, minute=world.now - 2) == "web.default"


def test_an_address_that_nobody_has_any_longer_is_answered_for_five_minutes() -> None:
    world = World()
    web = service("web", "10.96.0.1")
    world.put("services", web)
    world.now += 1
    world.remove("services", web)
    assert [world.find("10.96.0.1", minute=world.now + later) for later in (5, 6)] == ["web.default", None]
    assert world.book.misses == {Miss.AFTER: 1}


def test_the_version_grows_with_answers_alone() -> None:
    world = World()
    versions = [world.index.version]

    def grew() -> bool:
        versions.append(world.index.version)
        return versions[-1] > versions[-2]

    world.put("services", service("shop", "10.96.0.1", selector=APP))
    assert grew()
    world.put("services", service("shop", "10.96.0.1", selector=APP))
    assert not grew()
    world.put("pods", pod("a", "10.0.0.1", labels=APP))
    assert grew()
    world.put("pods", pod("a", "10.0.0.1", labels={**APP, "revision": "2"}))
    assert not grew()
    world.put("pods", pod("a"))
    assert grew()
    world.now += 61
    world.put("nodes", node("n1"))
    assert grew()  # what the pod had is forgotten


def test_nothing_is_answered_before_everything_was_listed() -> None:
    world = World(listed=False)
    world.replace("pods", pod("a", "10.0.0.1", labels=APP))
    world.replace("nodes", node("n1", "192.0.2.1"))
    world.replace("endpointslices")
    assert world.find("10.0.0.1") is None
    assert world.book.misses == {Miss.NOT_LISTED: 1}
    world.replace("services", service("shop", selector=APP))
    assert world.find("10.0.0.1", minute=STARTED) == "shop.default/a"


def test_what_cannot_be_had_does_not_hold_up_the_rest_and_may_come_later() -> None:
    world = World(listed=False)
    world.replace("pods", pod("a", "10.0.0.1", labels=APP))
    world.replace("services", service("shop", selector=APP))
    world.replace("endpointslices")
    world.index.nodes.unavailable()
    assert world.find("10.0.0.1") == "shop.default/a"
    world.replace("nodes", node("n1", "192.0.2.1"))
    assert world.find("192.0.2.1") == "kubernetes-node/n1"
    world.index.nodes.unavailable()
    assert world.find("192.0.2.1") == "kubernetes-node/n1"


@pytest.mark.parametrize("kind", ["pods", "services", "endpointslices", "nodes"])
def test_objects_without_room_are_counted_and_the_others_stay(kind: str) -> None:
    world = World(maximum_objects=2)
    makers: dict[str, Callable[[str], dict[str, Any]]] = {
        "pods": lambda name: pod(name, f"10.0.0.{name}"),
        "services": lambda name: service(name, f"10.0.0.{name}"),
        "endpointslices": lambda name: endpoint_slice(name, "s", [f"10.0.0.{name}"]),
        "nodes": lambda name: node(name, f"10.0.0.{name}"),
    }
    make = makers[kind]
    world.put(kind, make("1"), make("2"), make("3"))
    objects = world._objects(kind)
    assert (objects.count, objects.without_room) == (2, 1)
    world.remove(kind, make("1"))
    world.put(kind, make("3"))
    assert (objects.count, objects.without_room) == (2, 1)


def test_claims_of_one_object_without_room_are_counted() -> None:
    world = World(maximum_claims=3)
    world.put("services", service("s", ports=range(1, 6), balancers=["198.51.100.1"]))
    assert world.index.claims_without_room == 3  # of 5 ports and the address
    assert [world.find("198.51.100.1", port) for port in (1, 3, 4)] == ["s.default", "s.default", None]
