"""The kinds of objects that are read, and where."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from common.kubernetes import objects, wire


class Named(Protocol):
    """An object of a cluster; one kind has one object of a name in a namespace at a time."""

    @property
    def namespace(self) -> str:
        """Empty for an object that is in none."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...


T = TypeVar("T", bound=Named)
W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A kind of objects.

    Attributes:
        name: as RBAC rules name it.
        group: its API group, as RBAC rules name it; empty for the core one.
        path: of its objects in all namespaces.
        read: makes an object out of its JSON; raises one of answers.UNDECODABLE when it is none.
        selector: restricts which objects are asked for (fieldSelector); empty for all.
    """

    name: str
    group: str
    path: str
    read: Callable[[msgspec.Raw], T]
    selector: str = ""


def reader(kind: type[W], keep: Callable[[W], T]) -> Callable[[msgspec.Raw], T]:
    """Decodes an object and keeps what is needed of it."""
    decode = msgspec.json.Decoder(kind).decode

    def read(raw: msgspec.Raw) -> T:
        return keep(decode(raw))

    return read


PODS = Resource(
    "pods",
    "",
    "/api/v1/pods",
    reader(wire.Pod, objects.pod),
    # Those that have finished hold no address, and a server may keep thousands of them.
    "status.phase!=Succeeded,status.phase!=Failed",
)
SERVICES = Resource("services", "", "/api/v1/services", reader(wire.Service, objects.service))
ENDPOINT_SLICES = Resource(
    "endpointslices",
    "discovery.k8s.io",
    "/apis/discovery.k8s.io/v1/endpointslices",
    reader(wire.EndpointSlice, objects.endpoint_slice),
)
NODES = Resource("nodes", "", "/api/v1/nodes", reader(wire.Node, objects.node))
