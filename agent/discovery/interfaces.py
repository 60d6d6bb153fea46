"""Network interfaces of every network namespace under numbers that are unique on the node.

An interface index says nothing without its network namespace: each container's eth0 may have index 2. Readers of the
wire look an index up in one list of the node, so interfaces of the host's own namespace keep their index there, and
every other one that a package used gets a number far above those, with its name. The numbers are the agent's own; they
stay the same while it runs.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from agent.discovery.host import Host, Interface

FIRST_NUMBER = 1 << 30
"""Within the 31 bits that the wire has; the kernel counts the interfaces of a namespace from 1."""
REFRESH_NS = 60 * 1_000_000_000
"""Interfaces of a namespace are read again after this time: a name may have changed."""
RETRY_NS = 2 * 1_000_000_000
"""When one is missing they are read again no sooner than this."""
_READINGS = 4
"""Namespaces read per flush."""
_MOST = 4096
"""Interfaces, and namespaces, remembered. The one used longest ago is forgotten; its number is not given again."""


@dataclass(slots=True)
class _Namespace:
    """What is known of one network namespace."""

    asked_ns: int
    interfaces: dict[int, Interface] = field(default_factory=dict)
    """By index."""


class NodeInterfaces:
    """Gives numbers, and the list that explains those of one flush."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._own: int | None = None
        self._numbers: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._namespaces: OrderedDict[int, _Namespace] = OrderedDict()
        self._used: dict[int, Interface] = {}
        self._next = FIRST_NUMBER
        self._now_ns = 0
        self._readings_left = 0

    def begin(self, now_ns: int) -> None:
        """Begin a flush. `now_ns` is CLOCK_MONOTONIC."""
        self._now_ns = now_ns
        self._readings_left = _READINGS
        self._used = {}

    def number(self, namespace: int, index: int, process: int) -> int:
        """The number of an interface on this node.

        Args:
            namespace: Inode number of the network namespace that the index belongs to.
            index: Its index there.
            process: A process that is, or was, in that namespace.
        """
        if self._own is None:
            self._own = self._host.network_namespace()
        if namespace == self._own:
            return index
        number = self._numbers.get((namespace, index))
        if number is None:
            number = self._numbers[namespace, index] = self._next
            self._next += 1
            if len(self._numbers) > _MOST:
                self._numbers.popitem(last=False)
        self._numbers.move_to_end((namespace, index))
        interface = self._look_up(namespace, index, process)
        if interface is not None:
            self._used[number] = msgspec.structs.replace(interface, index=number)
        return number

    def listed(self) -> tuple[Interface, ...]:
        """The host's own interfaces, and those numbered since `begin` whose names are known."""
        return (*self._host.interfaces(), *(self._used[number] for number in sorted(self._used)))

    def _look_up(self, namespace: int, index: int, process: int) -> Interface | None:
        known = self._namespaces.get(namespace)
        if known is None or self._is_due(known, index):
            known = self._read(namespace, process, known)
        if known is None:
            return None
        self._namespaces.move_to_end(namespace)
        return known.interfaces.get(index)

    def _is_due(self, known: _Namespace, index: int) -> bool:
        return self._now_ns - known.asked_ns >= (REFRESH_NS if index in known.interfaces else RETRY_NS)

    def _read(self, namespace: int, process: int, known: _Namespace | None) -> _Namespace | None:
        """Ask the host, unless that was done often enough in this flush; what was known stays when it has no answer."""
        if not self._readings_left:
            return known
        self._readings_left -= 1
        known = known or _Namespace(self._now_ns)
        known.asked_ns = self._now_ns
        found = self._host.interfaces_of(namespace, process)
        if found is not None:
            known.interfaces = {interface.index: interface for interface in found}
        self._namespaces[namespace] = known
        if len(self._namespaces) > _MOST:
            self._namespaces.popitem(last=False)
        return known
