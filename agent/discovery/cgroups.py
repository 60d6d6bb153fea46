"""Which systemd unit and which container a control group path stands for.

Forms: systemd.slice(5), systemd.scope(5), systemd's rules for desktop applications (app-*.service), and the paths that
the cgroupfs and systemd cgroup drivers of docker, containerd, CRI-O and podman give their containers.
"""

import re
from collections.abc import Iterable

CONTAINER_ID_DIGITS = 12
"""Characters of a container id that tools show."""

_CONTAINER = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?$")
# Scopes that container engines start beside the container itself: its monitor and its health checks.
_CONTAINER_HELPER = re.compile(r"(?:^|-)conmon-[0-9a-f]{64}\.scope$")
ENGINES = frozenset(
    ("containerd", "cri-o", "crio", "docker", "k3s", "k3s-agent", "kubelet", "podman", "rke2-agent", "rke2-server")
)
"""Units of container engines: what runs in their containers is not them."""

_USER_MANAGER = re.compile(r"^user@\d+\.service$")
# Escapes of unit names, such as \x2d for a dash.
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def container_id(paths: Iterable[str]) -> str:
    """The short id of the innermost container, or "" for a process outside of containers."""
    for path in paths:
        for part in reversed(path.split("/")):
            if _CONTAINER_HELPER.search(part):
                break
            match = _CONTAINER.search(part)
            if match:
                return match[1][:CONTAINER_ID_DIGITS]
    return ""


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
