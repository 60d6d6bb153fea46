"""Which systemd unit, which container and which pod a control group path stands for.

Forms: systemd.slice(5), systemd.scope(5), systemd's rules for desktop applications (app-*.service), the paths that the
cgroupfs and systemd cgroup drivers of docker, containerd, CRI-O and podman give their containers, and those that
kubelet gives pods (pkg/kubelet/cm of Kubernetes).
"""

import re
from collections.abc import Iterable, Iterator

CONTAINER_ID_DIGITS = 12
"""Characters of a container id that tools show."""

_CONTAINER = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?$")
# Scopes that container engines start beside the container itself: its monitor and its health checks.
_CONTAINER_HELPER = re.compile(r"(?:^|-)conmon-[0-9a-f]{64}\.scope$")
# kubepods/burstable/podUID, kubepods-burstable-podUID.slice with underscores for the dashes of the UID, and the latter
# before a colon where containerd is not told that systemd makes the groups. The UID of a static pod is a hash without
# dashes.
_POD = re.compile(
    r"(?:^|-)pod([0-9a-f]{8}(?:([-_])[0-9a-f]{4}(?:\2[0-9a-f]{4}){2}\2[0-9a-f]{12}|[0-9a-f]{24}))(?:\.slice)?$"
)
_KUBERNETES_SCOPE = re.compile(r"(?:^|:)(?:cri-containerd|crio)[-:][0-9a-f]{64}(?:\.scope)?$")
ENGINES = frozenset(
    ("containerd", "cri-o", "crio", "docker", "k3s", "k3s-agent", "kubelet", "podman", "rke2-agent", "rke2-server")
)
"""Units of container engines: what runs in their containers is not them."""

_USER_MANAGER = re.compile(r"^user@\d+\.service$")
# Escapes of unit names, such as \x2d for a dash.
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def container_id(paths: Iterable[str]) -> str:
    """The short id of the innermost container, or "" for a process outside of containers."""
    return next((found[:CONTAINER_ID_DIGITS] for found in container_ids(paths)), "")


def container_ids(paths: Iterable[str]) -> Iterator[str]:
    """The whole ids of the containers that a process is in, of each path the innermost one first.

    Nodes may be containers themselves (kind, k3d): then the pod's container is within the node's.
    """
    for path in paths:
        for part in reversed(path.split("/")):
            if _CONTAINER_HELPER.search(part):
                break
            match = _CONTAINER.search(part)
            if match:
                yield match[1]


def pod_uid(paths: Iterable[str]) -> str:
    """The UID of the innermost pod that a process is in, as Kubernetes writes it; "" for none."""
    for path in paths:
        for part in reversed(path.split("/")):
            match = _POD.search(part.partition(":")[0])
            if match:
                return match[1].replace("_", "-")
    return ""


def is_in_kubernetes(paths: Iterable[str]) -> bool:
    """Whether the group is one that kubelet or a runtime for it made, also where its upper part cannot be seen.

    In a control group namespace of its own the agent sees containers of its own pod as "/../cri-containerd-ID.scope".
    """
    parts = [part for path in paths for part in path.split("/")]
    return bool(pod_uid(parts)) or any(_KUBERNETES_SCOPE.search(part) for part in parts)


def systemd_unit(paths: Iterable[str]) -> str:
    """The name of the innermost service unit without ".service", or "" for none.

    A login session (session-N.scope), a user's manager (user@N.service), other scopes and bare slices are not services.
    """
    for path in paths:
        for part in reversed(path.split("/")):
            if part.endswith(".service"):
                if _USER_MANAGER.match(part):
                    break
                return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), part.removesuffix(".service"))
            if part.endswith(".scope"):
                break
    return ""
