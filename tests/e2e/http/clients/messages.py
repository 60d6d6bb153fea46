"""What the clients of gRPC have in common: they are given, on standard input,

    {"address", "ca", "calls": [[path, [request sizes], [response sizes asked for]], ...]}

and say what came of each call (account.py).
"""

import json
from collections.abc import Sequence

from tests.e2e.http.servers.echo import on_the_wire


def messages(sizes: Sequence[int], wanted: Sequence[int]) -> list[bytes]:
    """The messages of a request, each of which asks for an answer."""
    return [want.to_bytes(8).ljust(size, b"y") for size, want in zip(sizes, wanted, strict=True)]


def account(path: str, requests: Sequence[bytes], received: int, status: int, *, tls: bool) -> str:
    """A line of the account; `received` is in bytes, with the heads of messages."""
    return json.dumps(
        {
            "method": "POST",
            "path": path,
            "status": 200,
            "request_body_bytes": on_the_wire(requests),
            "response_body_bytes": received,
            "version": 2,
            "tls": tls,
            "grpc_status": status,
        }
    )
