"""What is kept of a connection of HTTP/1 at most."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of a connection, and how long it is tried to understand it."""

    head_bytes: int = 65_536
    """Of one head."""
    waiting_requests: int = 1024
    """Requests without a response that any connection has place for. That many places at a time are taken of those
    that all connections share."""
    most_waiting: int = 8_192
    """Requests without a response at most."""
    held_bytes: int = 65_536
    """Of a stream, while what has to be known first is due in the other one."""
    held_pieces: int = 1_024
    """The same in pieces. A thread that has written a request may be kept from leaving its call while another one reads
    the answer: 5 MiB by TLS are 320 calls, of up to three pieces each."""
    failures: int = 4
    """Turns of the streams that begin with neither a request nor a response, until the connection is given up."""
    failed_calls: int = 1024
    """Calls that begin with neither, until a connection of which nothing was ever understood is given up."""
