"""What is kept of objects, in the forms in which servers send them."""

import json
from typing import Any

import msgspec
import pytest

from common.kubernetes.objects import Endpoint
from common.kubernetes.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES, Resource
from tests.common.kubernetes import manifests

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
SIX = bytes.fromhex("fd00") + bytes(13) + b"\1"


def read(resource: Resource[Any], content: dict[str, Any]) -> Any:  # noqa: ANN401 - of the resource's kind
    return resource.read(msgspec.Raw(json.dumps(content).encode()))


def test_a_pod_of_two_families() -> None:
    pod = read(PODS, manifests.pod("p", "10.0.0.1", "fd00:0::1", labels={"app": "x"}, started="1970-01-01T02:00:59Z"))
    assert (pod.addresses, pod.labels, pod.since, pod.ports) == ((A, SIX), {"app": "x"}, 120, ())


def test_a_pod_of_an_older_server_has_one_address() -> None:
    content = {"metadata": {"name": "p", "namespace": "n"}, "status": {"podIP": "10.0.0.1", "hostIP": "10.0.0.2"}}
    pod = read(PODS, content)
    assert (pod.addresses, pod.host_addresses, pod.labels, pod.since) == ((A,), (B,), {}, 0)


@pytest.mark.parametrize(
    ("phase", "addresses"), [("Pending", (A,)), ("Running", (A,)), ("Succeeded", ()), ("Failed", ())]
)
def test_a_pod_that_has_finished_has_no_address(phase: str, addresses: tuple[bytes, ...]) -> None:
    pod = read(PODS, manifests.pod("p", "10.0.0.1", host_addresses=["10.0.0.2"], phase=phase))
    assert pod.addresses == addresses
    assert bool(pod.host_addresses) == bool(addresses)


def test_ports_are_kept_where_they_tell_a_pod_apart() -> None:
    on_host = read(PODS, manifests.pod("p", "10.0.0.1", ports=[80, 443, 80], host_network=True, host_ports=[9]))
    assert (on_host.ports, on_host.host_ports) == ((80, 443, 9), ())
    own = read(PODS, manifests.pod("p", "10.0.0.1", ports=[80], host_ports=[9000]))
    assert (own.ports, own.host_ports) == ((), (9000,))


def test_a_sidecar_is_a_container_that_begins_first() -> None:
    content = manifests.pod("p", "10.0.0.1", host_network=True)
    content["spec"]["initContainers"] = [{"name": "proxy", "ports": [{"containerPort": 15001}]}]
    assert read(PODS, content).ports == (15001,)


def test_a_service_of_all_kinds_of_addresses() -> None:
    service = read(
        SERVICES,
        manifests.service(
            "s",
            "10.0.0.1",
            "fd00::1",
            selector={"app": "x"},
            ports=[80, 443],
            node_ports=[30080],
            external=["10.0.0.2"],
            balancers=["10.0.0.2", "not-an-address"],
        ),
    )
    assert service.cluster_addresses == (A, SIX)
    assert service.outer_addresses == (B,)
    assert (service.ports, service.node_ports, service.selector) == ((80, 443), (30080,), {"app": "x"})


def test_a_headless_service_has_no_address_and_an_external_name_has_nothing() -> None:
    assert read(SERVICES, manifests.service("s", selector={"app": "x"})).cluster_addresses == ()
    name = manifests.service("s", selector={"app": "x"}, type_="ExternalName", external=["10.0.0.1"], ports=[80])
    service = read(SERVICES, name)
    assert (service.selector, service.outer_addresses, service.ports) == ({}, (), ())


def test_a_slice_names_its_service_its_ends_and_their_ports() -> None:
    found = read(
        ENDPOINT_SLICES, manifests.endpoint_slice("s-1", "s", {"10.0.0.1": "p", "10.0.0.2": ""}, ports=[80, 81])
    )
    assert (found.service, found.ports) == ("s", (80, 81))
    assert found.endpoints == (Endpoint((A,), "p"), Endpoint((B,), ""))


@pytest.mark.parametrize("ports", [None, [], [None], [80, None]])
def test_a_slice_without_ports_is_for_all(ports: list[int | None] | None) -> None:
    assert read(ENDPOINT_SLICES, manifests.endpoint_slice("s-1", "s", ["10.0.0.1"], ports=ports)).ports == ()


def test_a_slice_of_names_has_no_addresses() -> None:
    found = read(ENDPOINT_SLICES, manifests.endpoint_slice("s-1", "s", ["db.example"]))
    assert found.endpoints == (Endpoint((), ""),)


def test_a_node_has_its_addresses_and_the_networks_of_its_pods() -> None:
    found = read(NODES, manifests.node("n", "10.0.0.1", "fd00::1", pod_networks=["10.1.0.0/24", "fd01::/64"]))
    assert (found.name, found.addresses, found.pod_networks) == ("n", (A, SIX), ("10.1.0.0/24", "fd01::/64"))
    older = read(NODES, {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.1.0.0/24"}})
    assert (older.addresses, older.pod_networks) == ((), ("10.1.0.0/24",))


@pytest.mark.parametrize(
    ("started", "since"),
    [
        (None, 0),
        ("0001-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00", 0),
        ("1970-01-01T01:00:00+00:30", 30),
        ("1970-01-01T00:31:00", 31),
        ("1970-01-01T00:31:59.999999Z", 31),
    ],
)
def test_a_pod_is_there_since_its_node_took_it_on(started: str | None, since: int) -> None:
    assert read(PODS, manifests.pod("p", "10.0.0.1", started=started)).since == since


@pytest.mark.parametrize("resource", [PODS, SERVICES, ENDPOINT_SLICES, NODES])
@pytest.mark.parametrize("content", ["5", "{}", '{"metadata":5}', '{"metadata":{"name":5}}', "nothing"])
def test_what_is_no_object_is_refused(resource: Resource[Any], content: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        resource.read(msgspec.Raw(content.encode()))
