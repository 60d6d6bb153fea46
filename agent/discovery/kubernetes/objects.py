"""What is kept of the pods of this node: their containers, and what templates may ask.

Fields: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/.
"""

import re
from typing import Final

import msgspec

from common.kubernetes.addresses import packed
from common.kubernetes.resources import Resource, reader

_HASH_LABEL: Final = "pod-template-hash"
"""What a Deployment adds to the names of its ReplicaSets, and these tell their pods."""
_CONFIGURATION: Final = "kubernetes.io/config.hash"
"""Annotation of the mirror of a static pod: the id under which its node runs it."""
_SCHEDULED: Final = re.compile(r"(.+)-\d{8,10}")
"""The name of a Job that a CronJob made: it ends with the time in minutes."""
_NODE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


class _Owner(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class _Variable(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = ""


class _Container(msgspec.Struct, frozen=True):
    name: str = ""
    env: list[_Variable] | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    ephemeral_containers: list[_Container] | None = None


class _Status(msgspec.Struct, frozen=True, rename={"id": "containerID"}):
    name: str = ""
    id: str = ""


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")
    container_statuses: list[_Status] | None = None
    init_container_statuses: list[_Status] | None = None
    ephemeral_container_statuses: list[_Status] | None = None


class _Pod(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _PodStatus = _PodStatus()


class Owner(msgspec.Struct, frozen=True):
    """What made a pod, directly or through something else."""

    kind: str
    name: str


class Container(msgspec.Struct, frozen=True):
    """A container of a pod: of its init and sidecar containers or of those for debugging too."""

    name: str
    id: str
    """As the runtime calls it, without the runtime's name; empty while it has none."""
    environment: dict[str, str]
    """Variables whose values the pod itself states."""


class NodePod(msgspec.Struct, frozen=True):
    """A pod of this node."""

    namespace: str
    name: str
    uids: tuple[str, ...]
    """Under which its control groups may be found."""
    node: str
    labels: dict[str, str]
    owners: tuple[Owner, ...]
    containers: tuple[Container, ...]
    address: str
    """The first one as text; empty while it has none."""
    host_address: str

    def container(self, name: str) -> Container | None:
        """The container of a name."""
        return next((each for each in self.containers if each.name == name), None)


def pods_of(node: str) -> Resource[NodePod]:
    """The pods that are to run on a node, which tells of each before its first process begins.

    Those that have finished stay listed: their processes may have sent something just before.

    Raises:
        ValueError: a node cannot be called that.
    """
    if not _NODE_NAME.fullmatch(node):
        raise ValueError(f"{node!r} is no name of a node: set process_discovery.kubernetes.node_name to spec.nodeName")
    return Resource("pods", "", "/api/v1/pods", reader(_Pod, keep), f"spec.nodeName={node}")


def keep(said: _Pod) -> NodePod:
    """What is kept of a pod."""
    metadata, spec, status = said.metadata, said.spec, said.status
    labels = metadata.labels or {}
    ids = {
        each.name: each.id.rpartition("://")[2]
        for listed in (status.container_statuses, status.init_container_statuses, status.ephemeral_container_statuses)
        for each in listed or ()
    }
    declared = [*(spec.containers or ()), *(spec.init_containers or ()), *(spec.ephemeral_containers or ())]
    return NodePod(
        namespace=metadata.namespace,
        name=metadata.name,
        uids=tuple(filter(None, (metadata.uid, (metadata.annotations or {}).get(_CONFIGURATION, "")))),
        node=spec.node_name,
        labels=labels,
        owners=tuple(owner for each in metadata.owner_references or () for owner in _owners(each, labels)),
        containers=tuple(
            Container(
                name=each.name,
                id=ids.get(each.name, ""),
                environment={variable.name: variable.value for variable in each.env or () if variable.value},
            )
            for each in declared
        ),
        address=status.pod_ip if packed(status.pod_ip) else "",
        host_address=status.host_ip if packed(status.host_ip) else "",
    )


def _owners(direct: _Owner, labels: dict[str, str]) -> list[Owner]:
    """An owner and, as far as their names tell it, what made that."""
    owners = [Owner(direct.kind, direct.name)]
    suffix = f"-{labels.get(_HASH_LABEL, '')}"
    if direct.kind == "ReplicaSet" and len(suffix) > 1 and direct.name.endswith(suffix):
        owners.append(Owner("Deployment", direct.name.removesuffix(suffix)))
    elif direct.kind == "Job" and (match := _SCHEDULED.fullmatch(direct.name)):
        owners.append(Owner("CronJob", match[1]))
    return owners
