"""Which addresses and ports each object of a cluster says are its own. Pure functions of the object."""

from collections.abc import Iterable
from ipaddress import ip_network
from itertools import product
from typing import Final

from backend.entities.addresses.claims import ALL_PORTS, EVERY_NODE, Answer, Claim, Key, Kind, Rank
from common.kubernetes.naming import service_name
from common.kubernetes.objects import EndpointSlice, Node, Pod, Service

NODE_SERVICE: Final = "kubernetes-node"
"""Name of the service whose instances are the nodes of a cluster."""
_GATEWAYS: Final = 2
"""Addresses at the beginning of a node's pod network that are the node's own: that of the network, which flannel gives
to its tunnel, and the next one, which bridges have."""


def service_claims(service: Service) -> dict[Key, Claim]:
    """The claims of a service: what leads to it, whichever of its pods answers."""
    answer = _service_answer(service.name, service.namespace)
    order = _service_order(service.name, service.namespace)
    claims: dict[Key, Claim] = {}
    for port in service.node_ports:
        claims[EVERY_NODE, port] = Claim(Rank.NODE_PORT, order, service.since, answer)
    for address, port in product(service.outer_addresses, service.ports):
        claims[address, port] = Claim(Rank.OUTER_PORT, order, service.since, answer)
    for address in service.outer_addresses:
        claims[address, ALL_PORTS] = Claim(Rank.OUTER_ADDRESS, order, service.since, answer)
    for address in service.cluster_addresses:
        claims[address, ALL_PORTS] = Claim(Rank.CLUSTER_ADDRESS, order, service.since, answer)
    return claims


def pod_claims(pod: Pod, service: str | None, endpoint_ports: Iterable[int]) -> dict[Key, Claim]:
    """The claims of a pod.

    A pod with addresses of its own has all their ports. One that shares those of its node is told apart by the ports
    that its containers declare and those at which a service finds it; without a service it is left to the node.

    Args:
        pod: the pod.
        service: name of the service that it counts for; None when there is none.
        endpoint_ports: the ports at which services find it.
    """
    order = (-pod.since, pod.name, pod.namespace)
    if service is None:
        answer = Answer(Kind.LONE_POD, "", pod.name, pod.namespace)
    else:
        answer = Answer(Kind.POD, service_name(service, pod.namespace), pod.name, pod.namespace)
    claims: dict[Key, Claim] = {}
    if not pod.on_host_network:
        for address in pod.addresses:
            claims[address, ALL_PORTS] = Claim(Rank.POD_ADDRESS, order, pod.since, answer)
    if service is not None:
        on_host = Claim(Rank.HOST_PORT, order, pod.since, answer)
        if pod.on_host_network:
            claims |= dict.fromkeys(product(pod.addresses, {*pod.ports, *endpoint_ports}), on_host)
        claims |= dict.fromkeys(product(pod.host_addresses, pod.host_ports), on_host)
    return claims


def slice_claims(endpoint_slice: EndpointSlice) -> dict[Key, Claim]:
    """The claims of the ends of a service that are no pods: those of pods are theirs."""
    name, namespace = endpoint_slice.service, endpoint_slice.namespace
    if not name:
        return {}
    answer, order = _service_answer(name, namespace), _service_order(name, namespace)
    addresses = [address for end in endpoint_slice.endpoints if not end.pod for address in end.addresses]
    if not endpoint_slice.ports:
        anywhere = Claim(Rank.ENDPOINT_ADDRESS, order, endpoint_slice.since, answer)
        return {(address, ALL_PORTS): anywhere for address in addresses}
    at_port = Claim(Rank.ENDPOINT_PORT, order, endpoint_slice.since, answer)
    return dict.fromkeys(product(addresses, endpoint_slice.ports), at_port)


def node_claims(node: Node) -> dict[Key, Claim]:
    """The claims of a node: its addresses, and those that it has in the network of its pods."""
    answer = Answer(Kind.NODE, NODE_SERVICE, node.name, "")
    order = (0, node.name, "")
    claims: dict[Key, Claim] = {}
    for network in node.pod_networks:
        for address in _first_addresses(network):
            claims[address, ALL_PORTS] = Claim(Rank.POD_NETWORK, order, node.since, answer)
    for address in node.addresses:
        claims[address, ALL_PORTS] = Claim(Rank.NODE_ADDRESS, order, node.since, answer)
    return claims


def _service_answer(name: str, namespace: str) -> Answer:
    return Answer(Kind.SERVICE, service_name(name, namespace), "", namespace)


def _service_order(name: str, namespace: str) -> tuple[int, str, str]:
    """As preferred_service decides, so that shared addresses and shared pods have the same service."""
    return len(name), name, namespace


def _first_addresses(network: str) -> list[bytes]:
    try:
        parsed = ip_network(network, strict=False)
    except ValueError:
        return []
    first, length = int(parsed.network_address), parsed.max_prefixlen // 8
    return [(first + number).to_bytes(length) for number in range(min(_GATEWAYS, parsed.num_addresses))]
