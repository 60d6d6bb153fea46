"""What templates may ask of the agent, the process, its pod and its container.

Names, arguments and meanings: documentation of SkyWalking Rover, "Service Discovery".
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from agent.discovery.host import ProcessFacts
from agent.discovery.kubernetes.labels import matches
from agent.discovery.kubernetes.objects import Container, NodePod
from agent.discovery.rtnetlink import RtnetlinkError, interface_addresses
from agent.discovery.socket_table import MAPPED_PREFIX


class Kind(Enum):
    """What a value is."""

    TEXT = "a text"
    TRUTH = "true or false"
    NUMBER = "a number"
    ROVER = ".Rover"
    PROCESS = ".Process"
    POD = ".Pod"
    CONTAINER = ".Container"


@dataclass(frozen=True, slots=True)
class Rover:
    """This agent."""

    instance: str
    """An id of this run."""
    host_name: str
    work_folder: Callable[[int], str] = lambda _pid: ""
    """Working directory of a process; empty when that is not known."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a template is about."""

    rover: Rover
    process: ProcessFacts
    pod: NodePod
    service: str
    """Name of the service that the pod counts for; empty for none."""
    container: Container


class Member(NamedTuple):
    """Something that can be asked."""

    result: Kind
    call: Callable[..., Any]
    """Is given the subject, the value it is asked of, and texts."""
    least: int = 0
    """Arguments."""
    most: int = 0


ROOTS: Final[dict[str, tuple[Kind, Callable[[Subject], Any]]]] = {
    "Rover": (Kind.ROVER, lambda subject: subject.rover),
    "Process": (Kind.PROCESS, lambda subject: subject.process),
    "Pod": (Kind.POD, lambda subject: subject.pod),
    "Container": (Kind.CONTAINER, lambda subject: subject.container),
}
"""What a field may begin with."""


def _label_value(_subject: Subject, pod: NodePod, keys: str, default: str = "") -> str:
    return next((value for key in _split(keys) if (value := pod.labels.get(key))), default)


def _owner_name(_subject: Subject, pod: NodePod, kinds: str) -> str:
    wanted = _split(kinds)
    return next((owner.name for owner in pod.owners if owner.kind in wanted), "")


def _environment(_subject: Subject, container: Container, keys: str) -> str:
    return next((value for key in _split(keys) if (value := container.environment.get(key))), "")


def _executable_name(_subject: Subject, process: ProcessFacts) -> str:
    return PurePosixPath(process.executable).name or process.command


def _command_executable(_subject: Subject, process: ProcessFacts) -> str:
    return PurePosixPath(process.command_line[0]).name if process.command_line else ""


def _host_address(name: str, *, mapped: bool) -> str:
    """The first address of an interface of this host, of one of the two families; empty for none."""
    try:
        index = socket.if_nametoindex(name)
        found = [each.address for each in interface_addresses() if each.interface == index]
    except (OSError, RtnetlinkError):
        return ""
    chosen = next((address for address in found if address.startswith(MAPPED_PREFIX) is mapped), None)
    if chosen is None:
        return ""
    return socket.inet_ntop(*((socket.AF_INET, chosen[12:]) if mapped else (socket.AF_INET6, chosen)))


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


_TEXT, _TRUTH = Kind.TEXT, Kind.TRUTH
MEMBERS: Final[dict[Kind, dict[str, Member]]] = {
    Kind.ROVER: {
        "InstanceID": Member(_TEXT, lambda _, rover: rover.instance),
        "HostName": Member(_TEXT, lambda _, rover: rover.host_name),
        "HostIPV4": Member(_TEXT, lambda _, _rover, name: _host_address(name, mapped=True), 1, 1),
        "HostIPV6": Member(_TEXT, lambda _, _rover, name: _host_address(name, mapped=False), 1, 1),
    },
    Kind.PROCESS: {
        "ExeFilePath": Member(_TEXT, lambda _, process: process.executable),
        "ExeName": Member(_TEXT, _executable_name),
        "ExeNameInCommandLine": Member(_TEXT, _command_executable),
        "CommandLine": Member(_TEXT, lambda _, process: " ".join(process.command_line)),
        "Pid": Member(Kind.NUMBER, lambda _, process: process.pid),
        "WorkDir": Member(_TEXT, lambda subject, process: subject.rover.work_folder(process.pid)),
    },
    Kind.POD: {
        "Name": Member(_TEXT, lambda _, pod: pod.name),
        "Namespace": Member(_TEXT, lambda _, pod: pod.namespace),
        "Node": Member(_TEXT, lambda _, pod: pod.node),
        "LabelValue": Member(_TEXT, _label_value, 1, 2),
        "ServiceName": Member(_TEXT, lambda subject, _: subject.service),
        "FindContainer": Member(Kind.CONTAINER, lambda _, pod, name: pod.container(name), 1, 1),
        "OwnerName": Member(_TEXT, _owner_name, 1, 1),
        "HasContainer": Member(_TRUTH, lambda _, pod, name: pod.container(name) is not None, 1, 1),
        "LabelSelector": Member(_TRUTH, lambda _, pod, selector: matches(selector, pod.labels), 1, 1),
        "HasServiceName": Member(_TRUTH, lambda subject, _: bool(subject.service)),
        "HasOwnerName": Member(_TRUTH, lambda subject, pod, kinds: bool(_owner_name(subject, pod, kinds)), 1, 1),
    },
    Kind.CONTAINER: {
        "Name": Member(_TEXT, lambda _, container: container.name),
        "ID": Member(_TEXT, lambda _, container: container.id),
        "EnvValue": Member(_TEXT, _environment, 1, 1),
    },
}
"""By kind of what is asked, and name."""
