"""Hosts that are known because an agent runs on them."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from enum import Enum
from ipaddress import ip_address
from threading import Lock
from typing import Final, NamedTuple

from backend.entities.addresses.kubernetes_index import minute_now
from backend.entities.addresses.timeline import Missing, Timeline
from backend.entities.resolution import End
from backend.ingest.batch import Node
from common.kubernetes.addresses import packed
from common.kubernetes.naming import with_cluster

MAXIMUM_HOSTS: Final = 10_000
MAXIMUM_ADDRESSES: Final = 256
"""Of one host."""
SILENCE: Final = 60
"""Minutes after which a host that says nothing has given up its addresses."""


class Host(NamedTuple):
    """A host, by the names in its agent's streams."""

    cluster: str
    name: str


class HostMiss(Enum):
    """Why there was no answer."""

    NO_ADDRESS = "no IP address"
    NEVER = "never seen"
    BEFORE = "not yet in use"
    AFTER = "no longer in use"
    SEVERAL_HOSTS = "address of several hosts"


_MISSES = {Missing.NEVER: HostMiss.NEVER, Missing.BEFORE: HostMiss.BEFORE, Missing.AFTER: HostMiss.AFTER}


class _Known(NamedTuple):
    addresses: frozenset[bytes]
    heard: int
    """Minute in which it last said something."""


class HostBook:
    """Names hosts by their addresses. One thread asks; any may tell.

    A host is a service of its own, with itself as the only instance. An address that several hosts have, such as that
    of the bridge to their containers, stands for the one that asks; for others nobody can say which one it is.

    Attributes:
        version: as AddressBook.version.
        misses: how often there was no answer, by cause.
        hosts_forgotten: hosts that had to make room for others.
        addresses_without_room: addresses of hosts that have too many.
        timeline: who had each address, with what it had no room for.
    """

    def __init__(
        self,
        timeline: Timeline[bytes, tuple[Host, ...]] | None = None,
        *,
        minute: Callable[[], int] = minute_now,
        maximum_hosts: int = MAXIMUM_HOSTS,
        maximum_addresses: int = MAXIMUM_ADDRESSES,
        silence: int = SILENCE,
    ) -> None:
        self.version = 0
        self.misses: Counter[HostMiss] = Counter()
        self.hosts_forgotten = 0
        self.addresses_without_room = 0
        self._minute = minute
        self._maximum_hosts = maximum_hosts
        self._maximum_addresses = maximum_addresses
        self._silence = silence
        self._lock = Lock()
        self._known: OrderedDict[Host, _Known] = OrderedDict()
        """By when they were last heard of."""
        self._holders: dict[bytes, tuple[Host, ...]] = {}
        self.timeline = Timeline[bytes, tuple[Host, ...]]() if timeline is None else timeline

    def __len__(self) -> int:
        return len(self._known)

    def hear(self, node: Node, addresses: Iterable[str | bytes]) -> None:
        """A host says which addresses it has; those that no other host could reach are left out."""
        host = Host(node.cluster, node.name)
        known = [packed(address) if isinstance(address, str) else address for address in addresses]
        usable = list(dict.fromkeys(address for address in known if address is not None and _is_usable(address)))
        with self._lock:
            now = self._minute()
            before = self._known.pop(host, None)
            self.addresses_without_room += max(len(usable) - self._maximum_addresses, 0)
            new = frozenset(usable[: self._maximum_addresses])
            changed = self._hold(host, before.addresses if before is not None else frozenset(), new, now)
            self._known[host] = _Known(new, now)
            changed |= self._forget_silent(now)
            changed |= self.timeline.forget(now)
            if changed:
                self.version += 1

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:  # noqa: ARG002 - every port is the host's
        """As AddressBook.find. Service and instance are the host's name."""
        found = self._look_up(host, node, minute)
        if isinstance(found, HostMiss):
            self.misses[found] += 1
            return None
        return End(with_cluster(found.cluster, found.name), found.name)

    def _look_up(self, host: str, node: Node, minute: int) -> Host | HostMiss:
        address = packed(host)
        if address is None:
            return HostMiss.NO_ADDRESS
        found = self.timeline.find(address, minute)
        if isinstance(found, Missing):
            return _MISSES[found]
        if len(found) == 1:
            return found[0]
        asking = Host(node.cluster, node.name)
        return asking if asking in found else HostMiss.SEVERAL_HOSTS

    def _forget_silent(self, now: int) -> bool:
        changed = False
        while True:
            host, known = next(iter(self._known.items()))
            if len(self._known) > self._maximum_hosts:
                self.hosts_forgotten += 1
            elif known.heard >= now - self._silence:
                return changed
            del self._known[host]
            changed |= self._hold(host, known.addresses, frozenset(), now)

    def _hold(self, host: Host, before: frozenset[bytes], after: frozenset[bytes], now: int) -> bool:
        changed = False
        for address in before ^ after:
            others = [holder for holder in self._holders.get(address, ()) if holder != host]
            holders = tuple(sorted([*others, host] if address in after else others))
            if holders:
                self._holders[address] = holders
            else:
                del self._holders[address]
            changed |= self.timeline.set(address, holders or None, since=now, now=now)
        return changed


def _is_usable(address: bytes) -> bool:
    parsed = ip_address(address)
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast)
