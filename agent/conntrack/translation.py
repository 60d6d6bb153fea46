"""One translated connection, as connection tracking tells it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class Translation(msgspec.Struct, frozen=True):
    """A connection whose destination is changed on its way. Ends are 18 bytes: address and port."""

    namespace: int
    """Inode of the network namespace in which it is translated."""
    of_host: bool
    """Whether that is the host's own namespace."""
    id: int
    """The kernel's number of the entry (CTA_ID); two entries at different times may have the same."""
    protocol: int
    """IPPROTO_TCP (6) or IPPROTO_UDP (17)."""
    source: bytes
    """Who sends, before translation."""
    destination: bytes
    """Where to, before translation."""
    new_source: bytes
    """Who the far end sees: the destination of replies."""
    new_destination: bytes
    """Who the far end is: the source of replies."""
    seen_ns: int
    """CLOCK_MONOTONIC when it was read; never earlier than the kernel made (or ended) it."""
    ended: bool = False
    """True when the kernel has forgotten it."""


class TranslationSource(Protocol):
    """Where translations come from."""

    def take(self, namespaces: Mapping[int, int]) -> Sequence[Translation]:
        """What was learned since the last call, in order. Never blocks.

        `namespaces` are network namespaces with watched sockets, each with a process in it: from now on translations
        there count too.
        """
        ...
