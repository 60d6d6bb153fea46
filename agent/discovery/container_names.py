"""What the containers of a host are called, as their engines note it in files.

Places and forms: docker's config.v2.json, the containers.json of containers/storage that podman and CRI-O use, and the
annotations in the runtime specification (config.json of an OCI bundle) that containerd has for nerdctl and Kubernetes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

LARGEST_FILE: Final = 4 * 1024 * 1024
"""Bytes of a file that is read."""
_ANNOTATIONS: Final = ("nerdctl/name", "io.kubernetes.cri.container-name", "io.kubernetes.container.name")

T = TypeVar("T")


class _Docker(msgspec.Struct, frozen=True):
    name: str = msgspec.field(default="", name="Name")


class _Stored(msgspec.Struct, frozen=True):
    id: str = ""
    names: list[str] | None = None


class _Specification(msgspec.Struct, frozen=True):
    annotations: dict[str, str] | None = None


_docker = msgspec.json.Decoder(_Docker).decode
_stored = msgspec.json.Decoder(list[_Stored]).decode
_specification = msgspec.json.Decoder(_Specification).decode


class ContainerNames:
    """Looks names up below the root of the host's file system."""

    def __init__(self, root: Path = Path("/proc/1/root")) -> None:
        self._root = root

    def name(self, container: str) -> str:
        """The name of the container with a whole id; empty when no engine tells one, or it may not be read."""
        return self._of_docker(container) or self._of_storage(container) or self._of_bundle(container)

    def _of_docker(self, container: str) -> str:
        found = _read(self._root / f"var/lib/docker/containers/{container}/config.v2.json", _docker)
        return found.name.removeprefix("/") if found is not None else ""

    def _of_storage(self, container: str) -> str:
        listed = _read(self._root / "var/lib/containers/storage/overlay-containers/containers.json", _stored)
        return next((each.names[0] for each in listed or () if each.id == container and each.names), "")

    def _of_bundle(self, container: str) -> str:
        folder = self._root / "run/containerd/io.containerd.runtime.v2.task"
        try:
            namespaces = sorted(folder.iterdir())
        except OSError:
            return ""
        for namespace in namespaces:
            found = _read(namespace / container / "config.json", _specification)
            annotations = (found.annotations if found is not None else None) or {}
            if name := next((annotations[key] for key in _ANNOTATIONS if annotations.get(key)), ""):
                return name
        return ""


def _read(path: Path, decode: Callable[[bytes], T]) -> T | None:
    """What a file holds; None when it cannot be read, is too large or holds something else."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        return decode(content) if len(content) <= LARGEST_FILE else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
