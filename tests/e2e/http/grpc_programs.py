"""The servers and clients of gRPC: what to run, and what a client is given (clients/messages.py)."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.http.account import Expected, read_account
from tests.e2e.http.client import run
from tests.e2e.http.downloads import grpc_js
from tests.e2e.http.server import Server, node_command, python_command

Asked = tuple[str, Sequence[int], Sequence[int]]
"""Path, bytes of each message of the request, bytes of the answer that each asks for."""


def python_program(library: str, role: str) -> list[str]:
    """`grpc` or `grpclib` as a server or a client."""
    return python_command(f"{role}s.{library}_{role}")


def node_program(role: str) -> list[str]:
    """Node.js as a server or a client, with the library from a folder of downloads."""
    return ["env", f"NODE_PATH={grpc_js()}", *node_command(f"{role}s/grpc_{role}.mjs")]


def given(port: int, authority: str | None, asked: Sequence[Asked]) -> bytes:
    """What a client has to read to make these calls to whoever listens at a port."""
    address = f"localhost:{port}" if authority else f"127.0.0.1:{port}"
    return json.dumps({"address": address, "ca": authority, "calls": asked}).encode()


def ask(command: Sequence[str | Path], server: Server, asked: Sequence[Asked]) -> list[Expected]:
    """Make the calls to a server; what the client says of them."""
    return read_account(run(command, given(server.port, server.authority, asked)))
