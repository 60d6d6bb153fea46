"""A cluster for tests of its index: objects by manifest, told as a watch tells them."""

import json
from typing import Any

import msgspec

from backend.entities.addresses.kubernetes_book import KubernetesBook
from backend.entities.addresses.kubernetes_index import KubernetesIndex
from backend.entities.resolution import End
from backend.ingest.batch import Node
from common.kubernetes.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES, Resource
from common.kubernetes.subscriber import Change

RESOURCES: dict[str, Resource[Any]] = {each.name: each for each in (PODS, SERVICES, ENDPOINT_SLICES, NODES)}
STARTED = 29_453_760
"""The minute in which the objects of manifests.py began."""


def asking(cluster: str = "", name: str = "node-1", *excluded: str) -> Node:
    return Node(name, cluster, 0, {}, frozenset(excluded))


def read(kind: str, manifest: dict[str, Any]) -> Any:  # noqa: ANN401 - of that kind
    return RESOURCES[kind].read(msgspec.Raw(json.dumps(manifest).encode()))


class World:
    """An index at a time that stands still until it is moved."""

    def __init__(self, *, listed: bool = True, **bounds: Any) -> None:  # noqa: ANN401 - those of KubernetesIndex
        self.now = STARTED + 100
        self.index = KubernetesIndex(minute=lambda: self.now, **bounds)
        self.book = KubernetesBook(self.index)
        if listed:
            for kind in RESOURCES:
                self.replace(kind)

    def replace(self, kind: str, *manifests: dict[str, Any]) -> None:
        self._objects(kind).replace([read(kind, manifest) for manifest in manifests])

    def put(self, kind: str, *manifests: dict[str, Any]) -> None:
        self._objects(kind).apply([Change(read(kind, manifest), present=True) for manifest in manifests])

    def remove(self, kind: str, *manifests: dict[str, Any]) -> None:
        self._objects(kind).apply([Change(read(kind, manifest), present=False) for manifest in manifests])

    def find(self, host: str, port: int = 0, *, minute: int | None = None, node: Node | None = None) -> str | None:
        """Service and instance, with a slash between them where there is one."""
        found: End | None = self.book.find(host, port, node or asking(), self.now if minute is None else minute)
        return None if found is None else "/".join(filter(None, found))

    def _objects(self, kind: str) -> Any:  # noqa: ANN401 - of that kind
        index = self.index
        return {"pods": index.pods, "services": index.services, "endpointslices": index.slices, "nodes": index.nodes}[
            kind
        ]
