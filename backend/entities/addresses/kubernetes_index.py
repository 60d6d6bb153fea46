"""Every address of a cluster, kept up to date change by change."""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from threading import Lock
from typing import Final

from backend.entities.addresses.claimants import node_claims, pod_claims, service_claims, slice_claims
from backend.entities.addresses.claims import ALL_PORTS, EVERY_NODE, Answer, Claim, Claims, Key, Kind, Owner
from backend.entities.addresses.objects import Objects
from backend.entities.addresses.timeline import Missing, Timeline
from common.kubernetes.naming import preferred_service
from common.kubernetes.objects import EndpointSlice, Node, Pod, Service
from common.kubernetes.resources import Named
from common.kubernetes.selection import ServiceSelectors, selects

MAXIMUM_OBJECTS: Final = 300_000
"""Objects of a kind that are kept."""
MAXIMUM_CLAIMS: Final = 10_000
"""Addresses and ports of one object that are kept; a service of 100 ports at 100 outer addresses has as many."""

_POD, _SERVICE, _SLICE, _NODE = "pod", "service", "slice", "node"
_Name = tuple[str, str]
"""Namespace and name."""


def minute_now() -> int:
    """This minute, since 1970-01-01 UTC."""
    return int(time.time()) // 60


class KubernetesIndex:
    """What is behind each address of a cluster, by the minute. Any thread may ask, without waiting.

    It answers once all kinds of objects were listed, since a pod is something else as long as services are not known.

    Attributes:
        version: grows with every change of an answer, after it.
        pods, services, slices, nodes: to be told by watches, in any threads.
        claims_without_room: addresses and ports of single objects that had too many.
    """

    def __init__(
        self,
        timeline: Timeline[Key, Answer] | None = None,
        *,
        minute: Callable[[], int] = minute_now,
        maximum_objects: int = MAXIMUM_OBJECTS,
        maximum_claims: int = MAXIMUM_CLAIMS,
    ) -> None:
        self.version = 0
        self.claims_without_room = 0
        self.timeline = Timeline[Key, Answer]() if timeline is None else timeline
        lock = Lock()
        self.pods = Objects[Pod](lock, self._pod_changed, self._settle, maximum_objects)
        self.services = Objects[Service](lock, self._service_changed, self._settle, maximum_objects)
        self.slices = Objects[EndpointSlice](lock, self._slice_changed, self._settle, maximum_objects)
        self.nodes = Objects[Node](lock, self._node_changed, self._settle, maximum_objects)
        self._minute = minute
        self._maximum_claims = maximum_claims
        self._claims = Claims(self.timeline)
        self._selectors = ServiceSelectors()
        self._slices_of_pod: dict[_Name, set[str]] = {}
        # Objects whose claims may differ from those that count; in order, so that equal histories have equal answers.
        self._unsettled: dict[Owner, None] = {}
        self._kinds: dict[str, Objects[Pod] | Objects[Service] | Objects[EndpointSlice] | Objects[Node]] = {
            _POD: self.pods,
            _SERVICE: self.services,
            _SLICE: self.slices,
            _NODE: self.nodes,
        }

    @property
    def listed(self) -> bool:
        """Whether all kinds of objects were listed."""
        return all(kind.listed for kind in (self.pods, self.services, self.slices, self.nodes))

    def find(self, address: bytes, port: int, minute: int) -> Answer | Missing:
        """What was behind an address of 4 or 16 bytes and a port of it, in a minute; port 0 for any.

        A port that something claims goes before the address as a whole, and at a node the ports of services before it.
        What was there in that minute goes before what had ended shortly before.
        """
        found = self._find(address, port, minute, late=False)
        return self._find(address, port, minute, late=True) if isinstance(found, Missing) else found

    def _find(self, address: bytes, port: int, minute: int, *, late: bool) -> Answer | Missing:
        if port:
            at_port = self.timeline.find((address, port), minute, late=late)
            if not isinstance(at_port, Missing):
                return at_port
        found = self.timeline.find((address, ALL_PORTS), minute, late=late)
        if port and not isinstance(found, Missing) and found.kind is Kind.NODE:
            at_node = self.timeline.find((EVERY_NODE, port), minute, late=late)
            if not isinstance(at_node, Missing):
                return at_node
        return found

    def _settle(self) -> None:
        """Make the answers what the objects say. With the lock held, as all that follows."""
        if not self.listed:
            return
        now = self._minute()
        changed = self.timeline.forget(now)
        # What is there goes before what is gone: where a list shows that a pod has the address of another, the time
        # since which it is there says when the address passed over.
        for owner in sorted(self._unsettled, key=self._is_gone):
            changed |= self._claims.set(owner, self._claims_of(owner), now)
        self._unsettled.clear()
        if changed:
            self.version += 1

    def _is_gone(self, owner: Owner) -> bool:
        kind, namespace, name = owner
        return self._kinds[kind].get(namespace, name) is None

    def _claims_of(self, owner: Owner) -> Mapping[Key, Claim]:
        kind, namespace, name = owner
        claims: dict[Key, Claim] = {}
        if kind == _POD and (pod := self.pods.get(namespace, name)):
            found = [entry for entry in self._slices_naming(pod) if entry.service]
            service = preferred_service(self._selectors.selecting(namespace, pod.labels))
            if service is None:
                service = preferred_service(entry.service for entry in found)
            claims = pod_claims(pod, service, {port for entry in found for port in entry.ports})
        elif kind == _SERVICE and (service_object := self.services.get(namespace, name)):
            claims = service_claims(service_object)
        elif kind == _SLICE and (endpoint_slice := self.slices.get(namespace, name)):
            claims = slice_claims(endpoint_slice)
        elif kind == _NODE and (node := self.nodes.get(namespace, name)):
            claims = node_claims(node)
        if len(claims) <= self._maximum_claims:
            return claims
        self.claims_without_room += len(claims) - self._maximum_claims
        return dict(islice(claims.items(), self._maximum_claims))

    def _slices_naming(self, pod: Pod) -> Iterable[EndpointSlice]:
        names = self._slices_of_pod.get((pod.namespace, pod.name), ())
        return filter(None, (self.slices.get(pod.namespace, name) for name in names))

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        self._unsettle(_POD, before, after)

    def _node_changed(self, before: Node | None, after: Node | None) -> None:
        self._unsettle(_NODE, before, after)

    def _service_changed(self, before: Service | None, after: Service | None) -> None:
        self._unsettle(_SERVICE, before, after)
        old, new = (service.selector if service is not None else {} for service in (before, after))
        if (either := after or before) is None or old == new:
            return
        self._selectors.set(either.namespace, either.name, new)
        if not self.listed:
            return  # no pod is settled yet
        for pod in self.pods.by_namespace.get(either.namespace, {}).values():
            if selects(old, pod.labels) or selects(new, pod.labels):
                self._unsettle(_POD, pod)

    def _slice_changed(self, before: EndpointSlice | None, after: EndpointSlice | None) -> None:
        self._unsettle(_SLICE, before, after)
        old, new = (_named_pods(subject) for subject in (before, after))
        if (either := after or before) is None:
            return
        namespace, name = either.namespace, either.name
        for pod in old - new:
            names = self._slices_of_pod[namespace, pod]
            names.remove(name)
            if not names:
                del self._slices_of_pod[namespace, pod]
        for pod in new - old:
            self._slices_of_pod.setdefault((namespace, pod), set()).add(name)
        same = before is not None and after is not None and _leads(before) == _leads(after)
        for pod in old ^ new if same else old | new:
            self._unsettled[_POD, namespace, pod] = None

    def _unsettle(self, kind: str, *objects: Named | None) -> None:
        for subject in filter(None, objects):
            self._unsettled[kind, subject.namespace, subject.name] = None


def _named_pods(endpoint_slice: EndpointSlice | None) -> set[str]:
    return {end.pod for end in endpoint_slice.endpoints if end.pod} if endpoint_slice is not None else set()


def _leads(endpoint_slice: EndpointSlice) -> tuple[str, tuple[int, ...]]:
    """What a slice says of each of its pods."""
    return endpoint_slice.service, endpoint_slice.ports
