"""http.client on a blocking socket: plain, over OpenSSL, or over GnuTLS; or urllib with a connection for each call.

blocking_client keep|urllib|gnutls    calls on standard input (calls.py), an account on standard output
"""

import http.client
import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.http.gnutls import Session, client_credentials

PIECE = 10_000


def body(call: dict[str, Any]) -> bytes | Iterator[bytes] | None:
    """What http.client takes: bytes with a length, or parts without."""
    size = call["body_bytes"]
    if call["chunked"]:
        return (b"y" * min(PIECE, size - start) for start in range(0, size, PIECE))
    return b"y" * size if size else None


class Connection(http.client.HTTPConnection):
    """Knows how long the head of its last request was."""

    head_bytes = 0
    wrap: Any = None

    def connect(self) -> None:
        super().connect()
        if self.wrap is not None:
            self.sock = self.wrap(self.sock)

    def send(self, data: Any) -> None:  # noqa: ANN401 - as http.client declares it
        # The head is sent before anything of the body, in one piece.
        self.head_bytes = self.head_bytes or len(data)
        super().send(data)


def tell(call: dict[str, Any], status: int, size: int, *, tls: bool, head_bytes: int | None = None) -> None:
    """A line of the account."""
    print(
        json.dumps(
            {
                "method": call["method"],
                "path": call["target"],
                "status": status,
                "request_body_bytes": call["body_bytes"],
                "response_body_bytes": size,
                "request_header_bytes": head_bytes,
                "version": 1,
                "tls": tls,
            }
        )
    )


def keep(given: dict[str, Any], kind: str) -> None:
    """All calls on one connection."""
    base = urlsplit(given["base"])
    assert base.hostname is not None
    connection = Connection(base.hostname, base.port)
    if given["ca"] and kind == "gnutls":
        credentials = client_credentials(given["ca"])
        connection.wrap = lambda plain: Session(plain, credentials, server=False)
    elif given["ca"]:
        context = ssl.create_default_context(cafile=given["ca"])
        connection.wrap = lambda plain: context.wrap_socket(plain, server_hostname="localhost")
    for call in given["calls"]:
        connection.head_bytes = 0
        headers = {"Transfer-Encoding": "chunked"} if call["chunked"] else {}
        connection.request(call["method"], call["target"], body(call), headers, encode_chunked=call["chunked"])
        response = connection.getresponse()
        size = len(response.read())
        tell(call, response.status, size, tls=bool(given["ca"]), head_bytes=connection.head_bytes)
    connection.close()


def by_urllib(given: dict[str, Any]) -> None:
    """A connection for each call."""
    context = ssl.create_default_context(cafile=given["ca"]) if given["ca"] else None
    for call in given["calls"]:
        request = urllib.request.Request(given["base"] + call["target"], data=body(call), method=call["method"])  # noqa: S310 - the test's own server
        try:
            with urllib.request.urlopen(request, context=context) as response:  # noqa: S310 - same
                tell(call, response.status, len(response.read()), tls=bool(given["ca"]))
        except urllib.error.HTTPError as error:
            with error:
                tell(call, error.code, len(error.read()), tls=bool(given["ca"]))


if __name__ == "__main__":
    what = json.load(sys.stdin)
    if sys.argv[1] == "urllib":
        by_urllib(what)
    else:
        keep(what, sys.argv[1])
