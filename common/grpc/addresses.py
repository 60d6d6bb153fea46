"""Where servers are: HOST:PORT, lists of that, and the addresses behind a name."""

import re
import socket
import threading
from dataclasses import dataclass

from common.grpc.patience import Interrupter, Patience

_TARGET = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[!-9;-~]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_LARGEST_PORT = 65_535
LARGEST_NUMBER = 64
"""Servers of a list at most; a name stands for as many addresses as it has."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server as its user names it."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read HOST:PORT; an IPv6 address stands in brackets.

        Raises:
            ValueError: it is something else.
        """
        match = _TARGET.fullmatch(text)
        if match is None or not 0 < int(match["port"]) <= _LARGEST_PORT:
            raise ValueError(f"{text!r} is not HOST:PORT, such as backend.example:11800 or [::1]:11800")
        return cls(match["address"] or match["name"], int(match["port"]))


def read_addresses(text: str) -> list[str]:
    """The servers of a list separated by commas, each once.

    Raises:
        ValueError: there is none in it, or there are too many.
    """
    addresses = list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    if not addresses:
        raise ValueError(f"{text!r} names no server; write HOST:PORT, or several of them separated by commas")
    if len(addresses) > LARGEST_NUMBER:
        raise ValueError(
            f"{len(addresses)} servers are named, {LARGEST_NUMBER} at most can be; a name may stand for many addresses"
        )
    return addresses


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a server, as socket(2) and connect(2) take it."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]

    def __str__(self) -> str:
        host, port = self.sockaddr[0], self.sockaddr[1]
        return f"[{host}]:{port}" if self.family == socket.AF_INET6 else f"{host}:{port}"


class Resolver:
    """Finds all addresses of a target.

    getaddrinfo(3) cannot be interrupted and knows no deadline, so a name is looked up in a thread of its own. At most
    one runs: an attempt that finds an earlier one's question unanswered waits for that answer.
    """

    def __init__(self, target: Target, interrupter: Interrupter) -> None:
        self._target = target
        self._interrupter = interrupter
        self._lookup: _Lookup | None = None

    def resolve(self, patience: Patience) -> list[Address]:
        """All addresses, in the order of RFC 6724.

        Raises:
            OSError: there are none.
            Expired, Interrupted: as Patience.wait.
        """
        try:
            return _addresses(self._target, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # it is a name
        patience.doing = f"looking up {self._target.host}"
        if self._lookup is None:
            self._lookup = _Lookup(self._target, self._interrupter)
            self._lookup.start()
        while not self._lookup.done:
            patience.wait()
        lookup, self._lookup = self._lookup, None
        if lookup.error is not None:
            raise lookup.error
        return lookup.addresses


class _Lookup(threading.Thread):
    """One question to the resolver of the system."""

    def __init__(self, target: Target, interrupter: Interrupter) -> None:
        super().__init__(name="resolver", daemon=True)
        self.done = False
        self.addresses: list[Address] = []
        self.error: OSError | None = None
        self._target = target
        self._interrupter = interrupter

    def run(self) -> None:
        """Ask."""
        try:
            self.addresses = _addresses(self._target, 0)
        except OSError as error:
            self.error = error
        self.done = True
        self._interrupter.wake()


def _addresses(target: Target, flags: int) -> list[Address]:
    # A name in bytes is passed on as it is; text would be encoded by tables of Unicode that take memory.
    answers = socket.getaddrinfo(target.host.encode(), target.port, type=socket.SOCK_STREAM, flags=flags)
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in answers]  # type: ignore[arg-type] # both are IP
