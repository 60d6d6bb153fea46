"""By which addresses other hosts reach this one."""

import ipaddress
from collections.abc import Iterable
from typing import Final

from agent.discovery.socket_table import MAPPED_PREFIX

MAXIMUM_ADDRESSES: Final = 256
"""As many as a backend keeps of one host."""
SERVICE_INTERFACES: Final = frozenset(("kube-ipvs0", "nodelocaldns"))
"""Interfaces that hold the addresses of a cluster's services on every node, so that packages to them are taken in."""


class NodeAddresses:
    """The addresses that are told of this node.

    Attributes:
        without_room: addresses that were left out of the latest list because it was full.
    """

    def __init__(self, maximum: int = MAXIMUM_ADDRESSES) -> None:
        """Tell at most `maximum` addresses."""
        self._maximum = maximum
        self.without_room = 0

    def listed(self, addresses: Iterable[bytes]) -> tuple[bytes, ...]:
        """The distinct ones of some addresses (16 bytes, IPv4 mapped) that lead here from another host, in order."""
        found = tuple(dict.fromkeys(address for address in addresses if is_reachable(address)))
        self.without_room = max(len(found) - self._maximum, 0)
        return found[: self._maximum]

    def losses(self) -> dict[str, int]:
        """What is not told at the moment, by cause."""
        return {"node addresses without room": self.without_room}


def is_reachable(address: bytes) -> bool:
    """Whether another host may reach an address: not loopback, of a link alone, of a group, or none at all."""
    is_mapped = address.startswith(MAPPED_PREFIX)
    parsed = ipaddress.IPv4Address(address[len(MAPPED_PREFIX) :]) if is_mapped else ipaddress.IPv6Address(address)
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)
