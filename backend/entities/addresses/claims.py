"""Which object of a cluster an address, or a port of it, stands for, when several say that it is theirs."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from backend.entities.addresses.timeline import Timeline

Key = tuple[bytes, int]
"""An address and a port of it; port 0 stands for all ports, and the empty address for every node."""

EVERY_NODE: Final = b""
ALL_PORTS: Final = 0


class Kind(IntEnum):
    """What an answer names."""

    SERVICE = 0
    """A service, and no pod of it."""
    POD = 1
    """A pod with its service."""
    LONE_POD = 2
    """A pod of no service."""
    NODE = 3
    """A node itself."""


class Answer(NamedTuple):
    """What is behind an address."""

    kind: Kind
    service: str
    """Name of the service, without a cluster; empty for a pod of none."""
    instance: str
    """Name of the pod or node; empty for a service."""
    namespace: str
    """Empty for a node."""


class Rank(IntEnum):
    """Which claim goes before which, on the same key."""

    CLUSTER_ADDRESS = 0
    OUTER_PORT = 1
    """A port of a service at an address of a load balancer or an external address."""
    NODE_PORT = 2
    HOST_PORT = 3
    """A port of a pod at an address of its node."""
    ENDPOINT_PORT = 4
    """A port of an end of a service that is no pod."""
    POD_ADDRESS = 5
    NODE_ADDRESS = 6
    OUTER_ADDRESS = 7
    """Another port than those of a service at one of its outer addresses."""
    ENDPOINT_ADDRESS = 8
    POD_NETWORK = 9
    """The node's own address in the network of its pods."""


class Claim(NamedTuple):
    """That a key stands for something. The smallest one wins."""

    rank: Rank
    order: tuple[int, str, str]
    """Decides between claims of one rank."""
    since: int
    answer: Answer


Owner = tuple[str, str, str]
"""Kind, namespace and name of an object."""


class Claims:
    """All claims, and the winners in a timeline. For one thread at a time.

    Attributes:
        timeline: what each key stands for, and stood for.
    """

    def __init__(self, timeline: Timeline[Key, Answer]) -> None:
        self.timeline = timeline
        self._of_owner: dict[Owner, Mapping[Key, Claim]] = {}
        self._on_key: dict[Key, tuple[Claim, ...]] = {}

    def __len__(self) -> int:
        return len(self._on_key)

    def set(self, owner: Owner, claims: Mapping[Key, Claim], now: int) -> bool:
        """These are an object's claims from now on; whether that changes an answer."""
        before = self._of_owner.get(owner, {})
        if claims:
            self._of_owner[owner] = claims
        else:
            self._of_owner.pop(owner, None)
        changed = False
        for key in before.keys() | claims.keys():
            old, new = before.get(key), claims.get(key)
            if old != new:
                changed |= self._replace(key, old, new, now)
        return changed

    def _replace(self, key: Key, old: Claim | None, new: Claim | None, now: int) -> bool:
        on_key = list(self._on_key.get(key, ()))
        if old is not None:
            on_key.remove(old)
        if new is not None:
            on_key.append(new)
        if not on_key:
            del self._on_key[key]
            return self.timeline.set(key, None, since=now, now=now)
        self._on_key[key] = tuple(on_key)
        winner = min(on_key)
        return self.timeline.set(key, winner.answer, since=winner.since, now=now)
