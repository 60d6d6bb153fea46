"""Events and hosts made by hand."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from agent.connections.logs import TrackedLogs
from agent.connections.registry import ViewRegistry
from agent.connections.table import ViewTable
from agent.connections.tracker import Tracker
from agent.conntrack.translation import Translation
from agent.discovery.host import Interface, ProcessFacts, SocketFacts, SocketScan
from agent.discovery.naming import Naming
from agent.discovery.owners import SocketOwners
from agent.discovery.processes import ProcessTable
from agent.events.layout import EVENT, EventFlag, EventKind, Events, Role, quality_of

SECOND = 1_000_000_000
TCP, UDP = 6, 17


def address(text: str) -> bytes:
    parsed = ipaddress.ip_address(text)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def event(
    kind: EventKind,
    *,
    process: int = 100,
    inode: int = 1,
    descriptor: int = 3,
    result: int = 0,
    size: int = 0,
    local: tuple[str, int] = ("127.0.0.1", 40000),
    remote: tuple[str, int] = ("127.0.0.1", 80),
    role: Role = Role.CLIENT,
    at: int = 1000,
    end: int | None = None,
    protocol: int = TCP,
    system_call: int = 0,
    flags: int = 0,
    namespace: int = 1,
    command: bytes = b"curl",
    **stages: int,
) -> Events:
    """One event; further keywords name fields of STAGES, of QUALITY events fields of QUALITY."""
    one = np.zeros(1, dtype=EVENT)
    one["start_ns"], one["end_ns"] = at, at + 10 if end is None else end
    one["inode"], one["bytes"], one["process"], one["thread"] = inode, size, process, process
    one["descriptor"], one["result"], one["network_namespace"] = descriptor, result, namespace
    one["local_port"], one["remote_port"] = local[1], remote[1]
    one["kind"], one["system_call"], one["protocol"], one["role"], one["flags"] = (
        kind,
        system_call,
        protocol,
        role,
        flags,
    )
    one["local_address"] = np.frombuffer(address(local[0]), np.uint8)
    one["remote_address"] = np.frombuffer(address(remote[0]), np.uint8)
    one["command"][0, : len(command)] = np.frombuffer(command, np.uint8)
    inner = quality_of(one) if kind is EventKind.QUALITY else one["stages"]
    for name, value in stages.items():
        inner[name] = value
    return one


def quality(drops: Mapping[int, int] | None = None, **fields: Any) -> Events:  # noqa: ANN401 - as `event` takes them
    """A QUALITY event; `drops` are counts by reason."""
    one = event(EventKind.QUALITY, descriptor=-1, **fields)
    for slot, (reason, count) in enumerate((drops or {}).items()):
        quality_of(one)["drops"][0, slot] = reason, count
    return one


def events(*parts: Events) -> Events:
    return np.concatenate(parts) if parts else np.empty(0, dtype=EVENT)


def released(**fields: object) -> Events:
    return event(EventKind.CLOSE, flags=EventFlag.LAST_REFERENCE, **fields)  # type: ignore[arg-type]


class FakeHost:
    """A host whose answers a test sets, and that counts what it is asked."""

    def __init__(self) -> None:
        self.processes: dict[int, ProcessFacts] = {}
        self.descriptors: dict[int, dict[int, int]] = {}
        self.scan = SocketScan((), {1: ()})
        self.asked: list[str] = []
        self.learned: list[Translation] = []
        self.watched: dict[int, int] = {}
        self.namespace_interfaces: dict[int, tuple[Interface, ...]] = {}
        self.own_addresses: tuple[bytes, ...] = ()
        self.drop_names = {2: "NOT_SPECIFIED", 11: "NETFILTER_DROP"}

    def process(self, pid: int) -> ProcessFacts | None:
        self.asked.append(f"process {pid}")
        return self.processes.get(pid)

    def socket_inode(self, pid: int, descriptor: int) -> int | None:
        self.asked.append(f"socket_inode {pid} {descriptor}")
        return self.descriptors.get(pid, {}).get(descriptor)

    def socket_descriptors(self, pid: int) -> dict[int, int] | None:
        self.asked.append(f"socket_descriptors {pid}")
        return self.descriptors.get(pid)

    def sockets(self) -> SocketScan:
        self.asked.append("sockets")
        return self.scan

    def interfaces(self) -> tuple[Interface, ...]:
        return (Interface(1, 65536, "lo"),)

    def addresses(self) -> tuple[bytes, ...]:
        return self.own_addresses

    def network_namespace(self) -> int:
        return 1

    def interfaces_of(self, namespace: int, process: int) -> tuple[Interface, ...] | None:
        self.asked.append(f"interfaces_of {namespace} {process}")
        return self.namespace_interfaces.get(namespace)

    def drop_reasons(self) -> dict[int, str]:
        self.asked.append("drop_reasons")
        return self.drop_names

    def translations(self, namespaces: Mapping[int, int]) -> list[Translation]:
        self.watched.update(namespaces)
        learned, self.learned = self.learned, []
        return learned

    def boot_time_ns(self) -> int:
        return 1_700_000_000 * SECOND + 5


def facts(
    pid: int, executable: str = "/usr/bin/curl", *, start: int = 1, cgroups: Iterable[str] = (), arguments: str = ""
) -> ProcessFacts:
    command = executable.rpartition("/")[2][:15]
    return ProcessFacts(pid, start, command, executable, tuple(arguments.split()) or (executable,), tuple(cgroups))


def socket_facts(
    inode: int,
    local: tuple[str, int],
    remote: tuple[str, int] = ("0.0.0.0", 0),
    *,
    owners: tuple[tuple[int, int], ...] = (),
    protocol: int = TCP,
    namespace: int = 1,
) -> SocketFacts:
    return SocketFacts(
        inode, protocol, namespace, address(local[0]), local[1], address(remote[0]), remote[1], remote[1] == 0, owners
    )


class World:
    """A tracker with everything below it, over a host made by hand."""

    def __init__(self, capacity: int = 1000, host: FakeHost | None = None) -> None:
        self.host = host or FakeHost()
        self.processes = ProcessTable(self.host, Naming("node-1"), 100)
        self.owners = SocketOwners(100)
        self.table = ViewTable(capacity)
        self.registry = ViewRegistry(self.table, self.processes, self.owners)
        self.tracker = Tracker(self.registry)
        self.now_ns = SECOND

    def track(self, *parts: Events) -> TrackedLogs:
        return self.tracker.process(events(*parts), self.now_ns)

    def kinds(self, *parts: Events) -> list[str]:
        """The names of the logs that events give, failed connects and closes marked."""
        logs = self.track(*parts).logs
        return [
            EventKind(kind).name.lower() + ("" if success else "!")
            for kind, success in zip(logs["kind"].tolist(), logs["success"].tolist(), strict=True)
        ]
