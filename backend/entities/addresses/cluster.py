"""A cluster that is watched: its index, and the watches that keep it up to date."""

from types import TracebackType
from typing import Any, Final, Self

from backend.entities.addresses.kubernetes_index import KubernetesIndex
from common.kubernetes.access import Access
from common.kubernetes.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from common.kubernetes.watch import Watch, WatchSettings

READS: Final = (PODS, SERVICES, ENDPOINT_SLICES, NODES)
"""What an account must be allowed to list and watch."""


class WatchedCluster:
    """Watches a cluster in a `with` block. It never waits for it: until everything was listed, nothing is found.

    Attributes:
        index: what is known.
        watches: one for each kind of objects, with their figures.
    """

    def __init__(
        self, access: Access, index: KubernetesIndex | None = None, settings: WatchSettings | None = None
    ) -> None:
        self.index = KubernetesIndex() if index is None else index
        self.watches: tuple[Watch[Any], ...] = (  # of different objects
            Watch(PODS, access, self.index.pods, settings),
            Watch(SERVICES, access, self.index.services, settings),
            Watch(ENDPOINT_SLICES, access, self.index.slices, settings),
            Watch(NODES, access, self.index.nodes, settings),
        )

    def __enter__(self) -> Self:
        for watch in self.watches:
            watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for watch in self.watches:
            watch.end()  # all at once, so that their waits are not added up
        for watch in self.watches:
            watch.stop()
