"""What the agent asks its host, behind one interface that /proc and a recording both serve."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from agent.conntrack.translation import Translation


class ProcessFacts(msgspec.Struct, frozen=True):
    """What the host says about one process, read once per process and program."""

    pid: int
    start_ticks: int
    """Start time in clock ticks since boot: with the pid, the identity of a process (proc_pid_stat(5), field 22)."""
    command: str
    """Task name of the main thread, at most 15 bytes."""
    executable: str
    """Path of the program; empty for a kernel thread or when the process is already leaving."""
    command_line: tuple[str, ...]
    cgroups: tuple[str, ...]
    """Paths of /proc/PID/cgroup: the unified one first, then systemd's, then the other controllers'."""
    changes_threads: bool = False
    """Whether what is done for one request may go on in another thread at any time, as in programs written in Go."""
    container_name: str = ""
    """What its container is called on this host; empty when it is in none, or that is not known."""


class SocketFacts(msgspec.Struct, frozen=True):
    """One socket of /proc/PID/net, with the descriptors that refer to it."""

    inode: int
    protocol: int
    """IPPROTO_TCP (6) or IPPROTO_UDP (17)."""
    network_namespace: int
    local_address: bytes
    """16 bytes: IPv6, or IPv4 mapped into ::ffff:0:0/96."""
    local_port: int
    remote_address: bytes
    remote_port: int
    listening: bool
    """True for a TCP listener, and for a UDP socket without a peer."""
    owners: tuple[tuple[int, int], ...]
    """(process, descriptor) pairs in ascending order; empty when no process holds it."""


class SocketScan(msgspec.Struct, frozen=True):
    """Every TCP and UDP socket of this host at one moment."""

    sockets: tuple[SocketFacts, ...]
    own_addresses: dict[int, tuple[bytes, ...]]
    """Per network namespace, the addresses that are local in it (16 bytes each), loopback ones left out."""


class Interface(msgspec.Struct, frozen=True):
    """A network interface."""

    index: int
    mtu: int
    name: str


class Host(Protocol):
    """The questions. Every answer may be out of date by the time it is used; none of them raises."""

    def process(self, pid: int) -> ProcessFacts | None:
        """Facts of a process, or None when it is gone."""
        ...

    def socket_inode(self, pid: int, descriptor: int) -> int | None:
        """The inode of the socket behind a descriptor, or None when there is none (or the process is gone)."""
        ...

    def socket_descriptors(self, pid: int) -> dict[int, int] | None:
        """Socket inode per descriptor of a process, in ascending order; None when the process is gone."""
        ...

    def sockets(self) -> SocketScan:
        """Every TCP and UDP socket. Expensive: walks the descriptors of every process."""
        ...

    def interfaces(self) -> tuple[Interface, ...]:
        """Interfaces of the host's own network namespace, in ascending index order.

        As they were at the last time that the kernel told them; none before that.
        """
        ...

    def addresses(self) -> tuple[bytes, ...]:
        """Addresses of these interfaces (16 bytes, IPv4 mapped), loopback ones included, those of services not.

        As they were at the last time that the kernel told them; none before that.
        """
        ...

    def network_namespace(self) -> int:
        """Inode number of the host's own network namespace; 0 where the kernel has but one."""
        ...

    def interfaces_of(self, namespace: int, process: int) -> tuple[Interface, ...] | None:
        """Interfaces of any network namespace, in ascending index order; `process` is, or was, in it.

        None when no process is known to be in it, when it may not be entered, or when it does not answer soon.
        """
        ...

    def drop_reasons(self) -> Mapping[int, str]:
        """Names of the kernel's reasons for dropping a package; empty when not known. Expensive: ask once."""
        ...

    def translations(self, namespaces: Mapping[int, int]) -> Sequence[Translation]:
        """What was learned about translated connections since the last call; see TranslationSource.take."""
        ...

    def boot_time_ns(self) -> int:
        """Unix time in nanoseconds at offset 0 of CLOCK_MONOTONIC, by the clocks as they are now."""
        ...
