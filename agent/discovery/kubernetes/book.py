"""The pods of this node and the services of the cluster, as the API server tells them."""

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Final, Generic, NamedTuple, TypeVar

from agent.discovery.kubernetes.objects import Container, NodePod
from common.kubernetes.naming import preferred_service
from common.kubernetes.objects import Service
from common.kubernetes.resources import Named
from common.kubernetes.selection import ServiceSelectors
from common.kubernetes.subscriber import Change

MAXIMUM_PODS: Final = 4096
MAXIMUM_SERVICES: Final = 50_000

T = TypeVar("T", bound=Named)
Key = tuple[str, str]


class Found(NamedTuple):
    """A pod, and what of it a process is in."""

    pod: NodePod
    container: Container | None
    """None where the API server has not told the container of that id yet."""
    service: str
    """Name of the service that the pod counts for; empty for none."""


class PodBook:
    """Finds pods by what control groups say. Told by the threads of watches, asked by another one.

    Attributes:
        version: changes whenever an answer may have.
        pods: is told of the node's pods.
        services: is told of the cluster's services.
        without_room: objects that are not kept because there are too many.
    """

    def __init__(self, maximum_pods: int = MAXIMUM_PODS, maximum_services: int = MAXIMUM_SERVICES) -> None:
        self.version = 0
        self.without_room = 0
        self._lock = Lock()
        self._pods: dict[Key, NodePod] = {}
        self._services: dict[Key, Service] = {}
        self._by_container: dict[str, tuple[Key, str]] = {}
        """Pod, and name of the container, by container id."""
        self._by_uid: dict[str, Key] = {}
        self._selectors = ServiceSelectors()
        self.pods = _Objects(self._told, self._pods, maximum_pods, self._set_pod)
        self.services = _Objects(self._told, self._services, maximum_services, self._set_service)

    def __len__(self) -> int:
        return len(self._pods)

    @property
    def is_complete(self) -> bool:
        """Whether all pods and services were told at least once, or cannot be."""
        return self.pods.is_complete and self.services.is_complete

    def find(self, container_ids: Iterable[str], uid: str) -> Found | None:
        """The pod with one of some containers, or else with a UID."""
        with self._lock:
            for each in container_ids:
                if place := self._by_container.get(each):
                    pod = self._pods[place[0]]
                    return Found(pod, pod.container(place[1]), self._service_of(pod))
            key = self._by_uid.get(uid)
            if key is None:
                return None
            pod = self._pods[key]
            only = pod.containers[0] if len(pod.containers) == 1 else None
            return Found(pod, only, self._service_of(pod))

    def _service_of(self, pod: NodePod) -> str:
        return preferred_service(self._selectors.selecting(pod.namespace, pod.labels)) or ""

    def _told(self, happened: Callable[[], int]) -> None:
        """Take note of what a watch told, which says how many objects had no room."""
        with self._lock:
            self.without_room += happened()
            self.version += 1

    def _set_pod(self, key: Key, pod: NodePod | None) -> None:
        before = self._pods.get(key)
        if before is not None:
            for container in before.containers:
                self._by_container.pop(container.id, None)
            for uid in before.uids:
                self._by_uid.pop(uid, None)
        if pod is not None:
            self._by_container |= {each.id: (key, each.name) for each in pod.containers if each.id}
            self._by_uid |= dict.fromkeys(pod.uids, key)

    def _set_service(self, key: Key, service: Service | None) -> None:
        self._selectors.set(*key, {} if service is None else service.selector)


class _Objects(Generic[T]):
    """The objects of a kind, bounded (a common.kubernetes.subscriber.Subscriber)."""

    def __init__(
        self,
        told: Callable[[Callable[[], int]], None],
        objects: dict[Key, T],
        maximum: int,
        changed: Callable[[Key, T | None], None],
    ) -> None:
        """Keep `objects` up to date.

        Args:
            told: Runs what is to be done where nobody asks meanwhile.
            objects: Where they are kept.
            maximum: Objects at most.
            changed: Is told of an object as it will be, None for gone, before that is noted in `objects`.
        """
        self._run = told
        self._objects = objects
        self._maximum = maximum
        self._changed = changed
        self.is_complete = False

    def replace(self, objects: Sequence[T]) -> None:
        """These are all that there are."""

        def replace() -> int:
            now = {(each.namespace, each.name): each for each in objects}
            for key in [key for key in self._objects if key not in now]:
                self._set(key, None)
            return sum(self._set(key, each) for key, each in now.items())

        self._run(replace)
        self.is_complete = True

    def apply(self, changes: Sequence[Change[T]]) -> None:
        """These changed, in this order."""

        def apply() -> int:
            return sum(
                self._set((change.object.namespace, change.object.name), change.object if change.present else None)
                for change in changes
            )

        self._run(apply)

    def unavailable(self) -> None:
        """The server does not give them: who waits for them need not."""
        self.is_complete = True
        self._run(lambda: 0)

    def _set(self, key: Key, subject: T | None) -> int:
        """Note an object; 1 when there is no room for it."""
        if subject is not None and key not in self._objects and len(self._objects) >= self._maximum:
            return 1
        if subject is not None or key in self._objects:
            self._changed(key, subject)
        if subject is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = subject
        return 0
