"""IP addresses in the one form in which they are compared."""

import socket
from typing import Final

_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
"""What comes before an IPv4 address in an IPv6 one (RFC 4291, section 2.5.5.2)."""


def packed(text: str) -> bytes | None:
    """The 4 or 16 bytes of an address, whichever of its textual forms it has; None when it is no address.

    An IPv4 address that is written as an IPv6 one is an IPv4 address. A zone ("%eth0", RFC 4007) is left out: it says
    where an address is of use, and not which one it is.
    """
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        address = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a NUL in it, or what is not ASCII
        return None
    return address[12:] if address.startswith(_MAPPED_PREFIX) else address
