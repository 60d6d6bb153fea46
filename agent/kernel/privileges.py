"""What this process may do: capabilities, and what is lost without each.

Source: capabilities(7); the kernel's include/uapi/linux/capability.h.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Capability:
    """One that the agent uses.

    Attributes:
        name: as the kernel calls it.
        bit: its number.
        use: what the agent does with it.
        lost: what it cannot do without it, for `doctor`.
        required: whether nothing works without it.
        kept: what an agent that is attached still needs it for.
    """

    name: str
    bit: int
    use: str
    lost: str
    kept: str
    required: bool = False


PARANOIA: Final = Path("/proc/sys/kernel/perf_event_paranoid")
_CLOSED: Final = 3
"""A level that kernels of Debian and Ubuntu know: from it on, opening a perf event takes CAP_SYS_ADMIN, whatever
CAP_PERFMON allows elsewhere (Debian's kernel patch "Allow further restriction of perf_event_open")."""

_MAPS: Final = "counters, filters, TLS libraries of new processes"

CAPABILITIES: Final = (
    Capability("CAP_BPF", 39, "load programs and make maps", "no program can be loaded", _MAPS, required=True),
    Capability(
        "CAP_PERFMON",
        38,
        "attach programs that read the kernel's memory",
        "no program can be attached",
        "TLS libraries of new processes",
        required=True,
    ),
    Capability(
        "CAP_DAC_READ_SEARCH",
        2,
        "list the descriptors of processes of other users, and read their programs",
        "connections that other users' processes had before the agent started are not known, and what listens there"
        " names no far ends",
        "new processes",
    ),
    Capability(
        "CAP_SYS_PTRACE",
        19,
        "see programs, descriptors and mapped libraries of other users' processes",
        "other users' processes are named after their task and not after their program, and the plain text of their TLS"
        " connections is not read",
        "new processes",
    ),
    Capability(
        "CAP_NET_ADMIN",
        12,
        "read the connection tracking of the kernel",
        "far ends behind a service address are shown as that address",
        "connection tracking of new pods",
    ),
    Capability(
        "CAP_SYS_ADMIN",
        21,
        "enter the network namespaces of pods, and mount tracefs where it is not mounted",
        "interfaces of pods and translations that are made in their network namespaces are not known",
        "network namespaces of new pods",
    ),
)
"""Everything that the agent has a use for; needed on Linux 5.11 and later. Before, CAP_SYS_RESOURCE is one more."""

BPF, DAC_READ_SEARCH = 39, 2
"""Numbers of those that some threads need."""

_SETPCAP, _SYS_RESOURCE = 8, 24
_OF_TLS: Final = frozenset(("CAP_PERFMON",))
_OF_PROCESSES: Final = frozenset(("CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"))
_OF_CONNTRACK: Final = frozenset(("CAP_NET_ADMIN",))


def missing_capabilities() -> tuple[Capability, ...]:
    """Those of `CAPABILITIES` that this process does not have in effect."""
    status = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return tuple(capability for capability in CAPABILITIES if not effective >> capability.bit & 1)


def obstacles(missing: tuple[Capability, ...]) -> tuple[Capability, ...]:
    """Those of the missing ones without which the agent cannot run: the kernel takes CAP_SYS_ADMIN for them, too."""
    if "CAP_SYS_ADMIN" not in {capability.name for capability in missing}:
        return ()
    return tuple(capability for capability in missing if capability.required)


def closed_perf_events(missing: tuple[Capability, ...]) -> int | None:
    """The level of kernel.perf_event_paranoid at which, without the missing ones, no perf event can be opened.

    kprobes, tracepoints and, before Linux 6.6, uprobes are attached through one; fentry programs and raw tracepoints
    are not. None when they can be opened.
    """
    if "CAP_SYS_ADMIN" not in {capability.name for capability in missing} or not PARANOIA.exists():
        return None
    level = int(PARANOIA.read_text())
    return level if level >= _CLOSED else None


def of_the_loader() -> frozenset[int]:
    """Numbers of what is needed until everything is attached.

    CAP_SYS_RESOURCE is for Linux before 5.11, and CAP_SETPCAP to give away everything else after that.
    """
    return frozenset((_SETPCAP, _SYS_RESOURCE, *(capability.bit for capability in CAPABILITIES)))


def of_the_reporter() -> frozenset[int]:
    """Numbers of what is needed to look for processes, where nothing is attached."""
    return frozenset(capability.bit for capability in CAPABILITIES if capability.name in _OF_PROCESSES)


def of_the_resident(*, tls: bool, conntrack: bool) -> frozenset[int]:
    """Numbers of what is needed from then on.

    Args:
        tls: Whether libraries that come later are to be attached to.
        conntrack: Whether connection tracking is listened to.
    """
    unused = (frozenset() if tls else _OF_TLS) | (frozenset() if conntrack else _OF_CONNTRACK)
    return frozenset(capability.bit for capability in CAPABILITIES if capability.name not in unused)
