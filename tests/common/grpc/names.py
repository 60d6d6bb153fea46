"""Names whose addresses a test chooses.

Where servers of several addresses share a port, these are 127.77.0.0/16: others may have any port of 127.0.0.2.
"""

import socket

import pytest

_REAL = socket.getaddrinfo


def resolve(monkeypatch: pytest.MonkeyPatch, hosts: list[str]) -> None:
    """Let every name have these addresses."""

    def lookup(host: bytes, port: int, *, type: int, flags: int) -> list[object]:  # noqa: A002 - as the real one
        if flags:
            return [*_REAL(host, port, type=type, flags=flags)]
        return [answer for each in hosts for answer in _REAL(each, port, type=type)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
