"""Ports that stay free from when they are chosen until they are used."""

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000


def free_ports(count: int) -> list[int]:
    """Ports of TCP that nobody listens on, on any address, and that no client gets meanwhile.

    A port that the kernel chose and that was given back may be the next that it chooses, for any connection on this
    machine. So these are outside of the range from which it does (ip(7), ip_local_port_range).
    """
    low, high = map(int, _RANGE.read_text().split())
    outside = [*range(_LOWEST, low), *range(high + 1, 1 << 16)]
    found: list[int] = []
    for port in random.SystemRandom().sample(outside, len(outside)):
        if len(found) == count:
            break
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            found.append(port)
    assert len(found) == count, f"of ports outside of {low} to {high} too few are free"
    return found
