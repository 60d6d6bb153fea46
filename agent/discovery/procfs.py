"""The host as /proc shows it."""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from agent.conntrack.translation import Translation, TranslationSource
from agent.discovery.cgroups import container_ids
from agent.discovery.container_names import ContainerNames
from agent.discovery.go_programs import GoPrograms
from agent.discovery.host import Interface, ProcessFacts, SocketFacts, SocketScan
from agent.discovery.namespaces import NamespaceReader
from agent.discovery.node_addresses import SERVICE_INTERFACES
from agent.discovery.readable import readable
from agent.discovery.rtnetlink import RtnetlinkError, interface_addresses
from agent.discovery.socket_table import is_loopback, parse_fib_trie, parse_if_inet6, parse_socket_table
from agent.kernel.drop_reasons import read_drop_reasons

_TABLES = (("tcp", socket.IPPROTO_TCP), ("tcp6", socket.IPPROTO_TCP), ("udp", socket.IPPROTO_UDP), ("udp6", 17))
_COMMAND_LINE_BYTES = 4096
_OWN_NAMESPACE = Path("/proc/self/ns/net")
_START_TIME_FIELD = 22 - 3  # of proc_pid_stat(5), counted after the command's closing parenthesis


class ProcHost:
    """Answers from a /proc tree. Processes that leave while they are read are simply not there."""

    def __init__(
        self,
        root: str = "/proc",
        excluded: Iterable[int] = (),
        translations: TranslationSource | None = None,
        containers: ContainerNames | None = None,
        go_programs: GoPrograms | None = None,
    ) -> None:
        """Read below `root` (where the host's /proc is mounted); skip the processes `excluded` in scans.

        Without `translations` connections are taken as their sockets show them, without `containers` no container has a
        name. `go_programs` is what counts executable files that cannot be read; it is made where there is none.
        """
        self._go_programs = go_programs or GoPrograms(root)
        self._containers = containers
        self._translations = translations
        self._root = root
        self._excluded = frozenset(excluded)
        self._reader = NamespaceReader()
        self._has_namespaces = _OWN_NAMESPACE.exists()
        self._namespaces: dict[int, int] = {}
        self._interfaces: tuple[Interface, ...] = ()
        self._addresses: tuple[bytes, ...] = ()

    def process(self, pid: int) -> ProcessFacts | None:
        """Facts of a process, or None when it is gone."""
        folder = f"{self._root}/{pid}"
        try:
            command, start_ticks = _parse_stat(Path(f"{folder}/stat").read_bytes())
            command_line = _read_head(f"{folder}/cmdline", _COMMAND_LINE_BYTES)
            cgroups = Path(f"{folder}/cgroup").read_text(errors="replace")
        except (OSError, ValueError):
            return None
        # A kernel thread, or a process that has released its memory, has no executable.
        link = _read_link(f"{folder}/exe") or ""
        executable = readable(link)
        paths = tuple(_parse_cgroups(cgroups))
        container = next(container_ids(paths), "") if self._containers is not None else ""
        return ProcessFacts(
            pid=pid,
            start_ticks=start_ticks,
            command=command,
            executable=executable.removesuffix(" (deleted)"),
            command_line=tuple(part.decode(errors="replace") for part in command_line.split(b"\0") if part),
            cgroups=paths,
            changes_threads=bool(link) and self._go_programs.is_go(pid, link),
            container_name=self._containers.name(container) if self._containers is not None and container else "",
        )

    def socket_inode(self, pid: int, descriptor: int) -> int | None:
        """The inode of the socket behind a descriptor, or None."""
        return _socket_inode(f"{self._root}/{pid}/fd/{descriptor}")

    def socket_descriptors(self, pid: int) -> dict[int, int] | None:
        """Socket inode per descriptor, or None when the process is gone."""
        folder = f"{self._root}/{pid}/fd"
        try:
            descriptors = sorted(int(name) for name in os.listdir(folder))  # noqa: PTH208 - names, not paths
        except OSError:
            return None
        found = ((descriptor, _socket_inode(f"{folder}/{descriptor}")) for descriptor in descriptors)
        return {descriptor: inode for descriptor, inode in found if inode is not None}

    def sockets(self) -> SocketScan:
        """Every TCP and UDP socket of every network namespace that has a process in it."""
        owners: dict[int, list[tuple[int, int]]] = defaultdict(list)
        namespaces: dict[int, int] = {}  # network namespace -> a process in it
        for pid in self._pids():
            if pid in self._excluded:
                continue
            namespace = self._network_namespace(pid)
            if namespace is not None:
                namespaces.setdefault(namespace, pid)
            for descriptor, inode in (self.socket_descriptors(pid) or {}).items():
                owners[inode].append((pid, descriptor))
        self._namespaces = namespaces
        sockets = tuple(
            SocketFacts(
                inode=row.inode,
                protocol=int(protocol),
                network_namespace=namespace,
                local_address=row.local_address,
                local_port=row.local_port,
                remote_address=row.remote_address,
                remote_port=row.remote_port,
                listening=row.listening,
                owners=tuple(owners.get(row.inode, ())),
            )
            for namespace, pid in namespaces.items()
            for table, protocol in _TABLES
            for row in parse_socket_table(_lines(f"{self._root}/{pid}/net/{table}"))
        )
        return SocketScan(sockets, {namespace: self._own_addresses(pid) for namespace, pid in namespaces.items()})

    def interfaces(self) -> tuple[Interface, ...]:
        """Network interfaces of the agent's own network namespace, which is the host's."""
        with suppress(OSError):
            self._interfaces = tuple(_interfaces(socket.if_nameindex()))
        return self._interfaces

    def addresses(self) -> tuple[bytes, ...]:
        """Addresses of these interfaces, without those of services of a cluster."""
        with suppress(RtnetlinkError, OSError):
            names = dict(socket.if_nameindex())
            self._addresses = tuple(
                each.address for each in interface_addresses() if names.get(each.interface) not in SERVICE_INTERFACES
            )
        return self._addresses

    def network_namespace(self) -> int:
        """The namespace of `interfaces`."""
        return _OWN_NAMESPACE.stat().st_ino if self._has_namespaces else 0

    def interfaces_of(self, namespace: int, process: int) -> tuple[Interface, ...] | None:
        """Interfaces as seen from within the namespace, entered through `process` or one that the last scan found."""
        for pid in (process, self._namespaces.get(namespace)):
            if pid is not None and self._network_namespace(pid) == namespace:
                return self._reader.interfaces(f"{self._root}/{pid}/ns/net", namespace)
        return None

    def drop_reasons(self) -> Mapping[int, str]:
        """Names from the kernel's own description of its types."""
        return read_drop_reasons()

    def translations(self, namespaces: Mapping[int, int]) -> Sequence[Translation]:
        """What connection tracking has told since the last call."""
        return () if self._translations is None else self._translations.take(namespaces)

    def boot_time_ns(self) -> int:
        """Wall clock minus CLOCK_MONOTONIC, in Unix nanoseconds; the reading of the two that lay closest together."""
        readings = []
        for _ in range(3):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            wall = time.time_ns()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            readings.append((after - before, wall - (before + after) // 2))
        return min(readings)[1]

    def _pids(self) -> list[int]:
        try:
            return sorted(int(name) for name in os.listdir(self._root) if name.isdigit())  # noqa: PTH208 - names
        except OSError:
            return []

    def _network_namespace(self, pid: int) -> int | None:
        """The namespace of a process; None when it is gone. 0, as in events, where the kernel has but one."""
        if not self._has_namespaces:
            return 0
        return _bracketed(f"{self._root}/{pid}/ns/net", "net:[")

    def _own_addresses(self, pid: int) -> tuple[bytes, ...]:
        found = [
            *parse_fib_trie(_lines(f"{self._root}/{pid}/net/fib_trie")),
            *parse_if_inet6(_lines(f"{self._root}/{pid}/net/if_inet6")),
        ]
        return tuple(sorted(address for address in set(found) if not is_loopback(address)))


def _interfaces(names: Iterable[tuple[int, str]]) -> Iterator[Interface]:
    for index, name in sorted(names):
        try:
            mtu = int(Path(f"/sys/class/net/{name}/mtu").read_text())
        except (OSError, ValueError):
            continue  # the interface has just gone
        yield Interface(index, mtu, readable(name))


def _parse_stat(text: bytes) -> tuple[str, int]:
    """(command, start time in ticks) of /proc/PID/stat. The command may itself hold spaces and parentheses."""
    opening, closing = text.index(b"("), text.rindex(b")")
    fields = text[closing + 2 :].split()
    if len(fields) <= _START_TIME_FIELD:
        raise ValueError("too few fields")
    return text[opening + 1 : closing].decode(errors="replace"), int(fields[_START_TIME_FIELD])


def _parse_cgroups(text: str) -> Iterator[str]:
    """Distinct paths of /proc/PID/cgroup, the ones that tell most first: cgroup v2, name=systemd, then the others."""
    ranked: list[tuple[int, str]] = []
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        rank = 0 if hierarchy == "0" and not controllers else 1 if controllers == "name=systemd" else 2
        ranked.append((rank, path))
    seen: set[str] = set()
    for _, path in sorted(ranked, key=lambda entry: entry[0]):
        if path not in {"", "/"} and path not in seen:
            seen.add(path)
            yield path


def _socket_inode(path: str) -> int | None:
    return _bracketed(path, "socket:[")


def _bracketed(path: str, prefix: str) -> int | None:
    """The number of a link such as "socket:[123]", or None when there is no such link."""
    target = _read_link(path)
    return int(target[len(prefix) : -1]) if target is not None and target.startswith(prefix) else None


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - a scan does this for every descriptor; a Path costs three times as much
    except OSError:
        return None


def _read_head(path: str, size: int) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered, bounded
        return file.read(size)


def _lines(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - the same call for hundreds of paths
            yield from file
    except OSError:
        return
