"""Small objects of a cluster, of few names and addresses, so that they meet often."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from backend.entities.addresses.claims import Answer, Key
from backend.entities.addresses.kubernetes_index import KubernetesIndex
from tests.backend.entities.addresses.world import World
from tests.common.kubernetes import manifests

Object = dict[str, Any]

_NAMESPACES = st.sampled_from(["one", "two"])
_NAMES = st.sampled_from(["a", "b", "cc"])
_ADDRESSES = st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]), max_size=2, unique=True)
_LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]), max_size=2)
_PORTS = st.lists(st.sampled_from([80, 443]), max_size=2, unique=True)

PODS = st.builds(
    lambda name, addresses, **more: manifests.pod(name, *addresses, **more),
    _NAMES,
    _ADDRESSES,
    namespace=_NAMESPACES,
    labels=_LABELS,
    ports=_PORTS,
    host_ports=_PORTS,
    host_addresses=_ADDRESSES,
    host_network=st.booleans(),
    phase=st.sampled_from(["Pending", "Running", "Running", "Succeeded"]),
    started=st.sampled_from([None, manifests.STARTED, "2026-01-01T00:30:00Z"]),
)
SERVICES = st.builds(
    lambda name, addresses, **more: manifests.service(name, *addresses, **more),
    _NAMES,
    _ADDRESSES,
    namespace=_NAMESPACES,
    selector=_LABELS,
    ports=_PORTS,
    node_ports=_PORTS,
    external=_ADDRESSES,
    balancers=_ADDRESSES,
    type_=st.sampled_from(["ClusterIP", "LoadBalancer", "ExternalName"]),
)
SLICES = st.builds(
    manifests.endpoint_slice,
    _NAMES,
    st.sampled_from(["a", "b", ""]),
    st.dictionaries(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.9"]), st.sampled_from(["a", "b", "cc", ""])),
    namespace=_NAMESPACES,
    ports=st.none() | _PORTS,
)
NODES = st.builds(
    lambda name, addresses, networks: manifests.node(name, *addresses, pod_networks=networks),
    _NAMES,
    _ADDRESSES,
    st.lists(st.sampled_from(["10.0.0.0/24", "10.0.0.2/31", "fd00::/64"]), max_size=1),
)
OBJECTS = st.one_of(
    st.tuples(st.just("pods"), PODS),
    st.tuples(st.just("services"), SERVICES),
    st.tuples(st.just("endpointslices"), SLICES),
    st.tuples(st.just("nodes"), NODES),
)


def key_of(manifest: Object) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def answers(index: KubernetesIndex) -> dict[Key, Answer]:
    """What the index says of now."""
    return dict(index.timeline.current())


def from_scratch(objects: Mapping[str, Mapping[tuple[str, str], Object]]) -> dict[Key, Answer]:
    """What an index says that is told all objects at once."""
    world = World(listed=False)
    for kind, manifests_of_kind in objects.items():
        world.replace(kind, *manifests_of_kind.values())
    return answers(world.index)
