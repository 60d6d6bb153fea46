"""Pods of a node as the API server writes them, and what finds them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from agent.config_discovery import Kubernetes, analyzers
from agent.discovery.kubernetes.analyzers import Analyzers
from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.members import Rover, Subject
from agent.discovery.kubernetes.names import PodNames, Wanted
from agent.discovery.kubernetes.objects import Container, NodePod, pods_of
from common.kubernetes.objects import Service
from common.kubernetes.resources import SERVICES
from common.kubernetes.subscriber import Change
from tests.agent.synthetic import facts
from tests.common.kubernetes import manifests

UID = "0e3b1c9a-7c1d-4c51-9d3e-1f2a3b4c5d6e"
FIRST, SECOND_ID, OTHER = "a" * 64, "b" * 64, "c" * 64


def uid(number: int) -> str:
    return f"0e3b1c9a-7c1d-4c51-9d3e-{number:012x}"


def manifest(
    name: str = "cart-1",
    containers: Mapping[str, str] | None = None,
    *,
    namespace: str = "shop",
    labels: Mapping[str, str] | None = None,
    pod_uid: str = UID,
    owners: Iterable[tuple[str, str]] = (),
    init: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    node: str = "node-1",
) -> dict[str, Any]:
    """A pod; containers are ids by name, "" for one that has none yet."""
    containers = {"main": f"containerd://{FIRST}"} if containers is None else containers
    made = manifests.pod(name, "10.1.0.5", namespace=namespace, labels=labels, node=node, host_addresses=["10.0.0.7"])
    made["metadata"] |= {"uid": pod_uid, "ownerReferences": [{"kind": kind, "name": each} for kind, each in owners]}
    variables = [{"name": key, "value": value} for key, value in (environment or {}).items()]
    made["spec"] |= {
        "containers": [{"name": each, "env": [*variables, {"name": "FROM", "valueFrom": {}}]} for each in containers],
        "initContainers": [{"name": each} for each in init or ()] or None,
    }
    made["status"] |= {
        "containerStatuses": [{"name": each, "containerID": of} for each, of in containers.items() if of] or None,
        "initContainerStatuses": [{"name": each, "containerID": of} for each, of in (init or {}).items() if of],
    }
    return made


def pod(*arguments: Any, **keywords: Any) -> NodePod:  # noqa: ANN401 - those of manifest
    return pods_of("node-1").read(msgspec.Raw(msgspec.json.encode(manifest(*arguments, **keywords))))


def service(name: str, selector: Mapping[str, str], namespace: str = "shop") -> Service:
    made = manifests.service(name, "10.96.0.9", namespace=namespace, selector=selector)
    return SERVICES.read(msgspec.Raw(msgspec.json.encode(made)))


def there(*subjects: Any) -> list[Change[Any]]:  # noqa: ANN401 - of any kind
    return [Change(each, present=True) for each in subjects]


def gone(*subjects: Any) -> list[Change[Any]]:  # noqa: ANN401 - of any kind
    return [Change(each, present=False) for each in subjects]


def book(pods: Iterable[NodePod] = (), services: Iterable[Service] = ()) -> PodBook:
    made = PodBook()
    made.pods.replace(list(pods))
    made.services.replace(list(services))
    return made


def names(of: PodBook, wanted: Wanted | None = None, cluster: str = "") -> PodNames:
    """By the analyzers that there are unless told otherwise."""
    return PodNames(
        of, Analyzers(analyzers(Kubernetes()), cluster, Counter()), Rover("run-1", "host-1"), wanted or Wanted(), 999
    )


def subject(of: NodePod | None = None, service: str = "cart", container: str = "main") -> Subject:
    of = of or pod(labels={"app": "cart"}, environment={"TIER": "front"})
    found = of.container(container) or Container(container, FIRST, {})
    process = facts(42, "/usr/bin/java", arguments="/opt/jdk/bin/java -jar cart.jar")
    return Subject(Rover("run-1", "host-1", lambda pid: f"/srv/{pid}"), process, of, service, found)


def group(container: str, pod_uid: str = UID) -> str:
    return f"/kubepods.slice/kubepods-pod{pod_uid.replace('-', '_')}.slice/cri-containerd-{container}.scope"
