"""Sends one HTTP request, in a bounded time whatever the other side does.

Only the status of the answer is read. Redirects are not followed: the address is wrong then, and says so.
"""

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from backend.alarms.errors import AlarmError

LONGEST_ANSWER = 65_536
"""Bytes of the head of an answer."""
_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
_OWN = frozenset({"host", "content-length", "content-type", "connection", "transfer-encoding"})
_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class SendingError(Exception):
    """A request was not taken; the message says why, and nothing of the address.

    Attributes:
        again: whether sending it again can help.
    """

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """Where a request goes."""

    host: str
    port: int
    secure: bool
    authority: str
    path: str


def target_of(url: str) -> Target:
    """Where a URL points to. Raises AlarmError, which does not say the URL: it may hold a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AlarmError("an address is no URL: write https://HOST/PATH") from None
    if parts.scheme not in _PORTS or not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise AlarmError("an address is no URL of http or https: write https://HOST/PATH, other characters as %XX")
    if parts.username is not None:
        raise AlarmError("an address holds a user: give a header Authorization instead")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual = _PORTS[parts.scheme]
    return Target(parts.hostname, usual if port is None else port, parts.scheme == "https", parts.netloc, path)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise AlarmError when a header cannot be sent. The message has no values: they may be secrets."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise AlarmError(f"{name!r} is no name of a header: write it as Authorization")
        if name.lower() in _OWN:
            raise AlarmError(f"the header {name} cannot be given: it follows from the request")
        if not _VALUE.fullmatch(value):
            raise AlarmError(f"the header {name} has characters that cannot be sent: use those of ASCII, on one line")


async def post(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float, trust: ssl.SSLContext | None = None
) -> None:
    """Send JSON and wait until it is taken.

    Args:
        url: of target_of().
        body: JSON.
        headers: of check_headers().
        seconds: the longest that all of it may take.
        trust: whose certificates are trusted; None for those of the system.

    Raises:
        SendingError: it was not taken, or nobody said so.
    """
    target = target_of(url)
    try:
        async with asyncio.timeout(seconds):
            status = await _exchange(target, _request(target, body, headers), trust)
    except TimeoutError:
        raise SendingError(f"no answer within {seconds:g} seconds", again=True) from None
    except ssl.SSLCertVerificationError as error:
        raise SendingError(f"its certificate is not trusted: {error.verify_message}", again=False) from None
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number is not None and number > 0 else type(error).__name__
        raise SendingError(f"it cannot be reached: {reason}", again=True) from None
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        again = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN
        raise SendingError(f"it answered {status}", again=again)


def _request(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _exchange(target: Target, request: bytes, trust: ssl.SSLContext | None) -> int:
    """The status of the answer."""
    secure = (trust or ssl.create_default_context()) if target.secure else None
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=secure, limit=LONGEST_ANSWER)
    try:
        writer.write(request)
        await writer.drain()
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = _STATUS.match(head)
            if found is None:
                raise SendingError("what it answered is not HTTP/1.1", again=False)
            if (status := int(found[1])) >= HTTPStatus.OK:
                return status
    finally:
        # The other side may never end the connection in good order.
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
