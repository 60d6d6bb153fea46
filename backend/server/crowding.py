"""Makes room on ports that few peers have filled with connections.

The server takes a fixed number of connections and lets others wait, whoever they are of. So who opens that many and
keeps them open would keep everybody out. When the ports are nearly full, the peers that hold most lose connections
until there is room again, those first that have been silent longest. Who holds few loses none.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

PERIOD = 1.0
"""Seconds between two looks."""
FULL, ROOMY = 0.95, 0.75
"""Shares of the connections that there may be: room is made above the one, until there are as few as the other."""
_INFORMATION = struct.Struct("B51xI")
"""tcpi_state and tcpi_last_data_recv, milliseconds since data came, of struct tcp_info (include/uapi/linux/tcp.h)."""
_ESTABLISHED = 1
"""TCP_ESTABLISHED (include/net/tcp_states.h)."""
_DESCRIPTORS = "/proc/self/fd"
_INTERNET = frozenset((socket.AF_INET, socket.AF_INET6))

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Open:
    """An open connection."""

    peer: str
    port: int
    """Of the peer."""
    silent_ms: int
    descriptor: int


class Crowding:
    """Watches the connections to some ports of this process.

    Args:
        ports: Those that share one bound.
        most: How many there may be.
        ended: Where those that are ended are counted, as "crowding".
    """

    def __init__(self, ports: Collection[int], most: int, ended: Counter[str]) -> None:
        self._ports = frozenset(ports)
        self._most = most
        self._ended = ended

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        failed = False
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await asyncio.to_thread(self.look)
                failed = False
            except OSError as error:  # no descriptor is left to look with, for example
                if not failed:
                    _logger.warning("connections cannot be looked at: %s; raise the limit of open files", error)
                failed = True

    def look(self) -> None:
        """Make room if there is little."""
        descriptors = os.listdir(_DESCRIPTORS)  # noqa: PTH208 - a Path for each costs ten times as much
        if len(descriptors) < self._most * FULL:
            return
        held = [found for name in descriptors if (found := self._connection(int(name))) is not None]
        if len(held) < self._most * FULL:
            return
        for chosen in crowded(held, int(self._most * ROOMY)):
            with contextlib.suppress(OSError), _copy(chosen.descriptor) as connection:
                if connection.getpeername()[:2] == (chosen.peer, chosen.port):  # else it has ended, and is another
                    connection.shutdown(socket.SHUT_RDWR)
                    self._ended["crowding"] += 1

    def _connection(self, descriptor: int) -> Open | None:
        """What a descriptor is, if it is a connection to one of the ports."""
        try:
            with _copy(descriptor) as connection:
                if connection.family not in _INTERNET or connection.getsockname()[1] not in self._ports:
                    return None
                information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFORMATION.size)
                state, silent_ms = _INFORMATION.unpack(information)
                peer, port = connection.getpeername()[:2]
                return Open(peer, port, silent_ms, descriptor) if state == _ESTABLISHED else None
        except OSError:  # not a socket, not connected, or gone
            return None


def _copy(descriptor: int) -> socket.socket:
    """A descriptor of one's own, so that it stays the same while it is looked at."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:  # it is no socket
        os.close(copy)
        raise


def crowded(connections: Collection[Open], most: int) -> list[Open]:
    """Which of them to end, so that `most` stay: every peer keeps as many as the others may, as far as it has them."""
    by_peer: dict[str, list[Open]] = {}
    for connection in connections:
        by_peer.setdefault(connection.peer, []).append(connection)
    left, share = most, 0
    for waiting, held in zip(range(len(by_peer), 0, -1), sorted(map(len, by_peer.values())), strict=True):
        share = left // waiting
        if held > share:
            break
        left -= held
    chosen: list[Open] = []
    for held_by_one in by_peer.values():
        quietest = sorted(held_by_one, key=lambda connection: connection.silent_ms, reverse=True)
        chosen += quietest[: max(0, len(quietest) - share)]
    return chosen
