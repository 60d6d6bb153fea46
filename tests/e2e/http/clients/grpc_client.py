"""gRPC's own client: the calls of test_grpc.py (messages.py) on one channel, a hundred at once."""

import json
import sys
from collections.abc import Iterable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from tests.e2e.http.clients.messages import account, messages
from tests.e2e.http.servers.echo import kind_and_status, on_the_wire
from tests.e2e.http.servers.grpc_server import UNLIMITED

MADE_AT_ONCE = 100
"""gRPC writes what several calls have to say in one system call, each header from a buffer for each of its parts."""


def call(channel: grpc.Channel, path: str, requests: list[bytes]) -> tuple[int, int]:
    """(bytes of the responses with their heads, status)."""
    kind, _ = kind_and_status(path)
    received = 0
    try:
        responses: Any
        if kind == "unary":
            responses = [channel.unary_unary(path, bytes, bytes)(requests[0])]
        elif kind == "upload":
            responses = [channel.stream_unary(path, bytes, bytes)(iter(requests))]
        elif kind == "download":
            responses = channel.unary_stream(path, bytes, bytes)(requests[0])
        else:
            responses = channel.stream_stream(path, bytes, bytes)(iter(requests))
        for response in responses:
            received += on_the_wire([response])
    except grpc.RpcError as error:
        return received, error.code().value[0]
    return received, 0


def run(channel: grpc.Channel, calls: Iterable[list[Any]], *, tls: bool) -> None:
    def one(path: str, sizes: list[int], wanted: list[int]) -> str:
        requests = messages(sizes, wanted)
        received, status = call(channel, path, requests)
        return account(path, requests, received, status, tls=tls)

    with futures.ThreadPoolExecutor(MADE_AT_ONCE) as pool:
        for line in pool.map(lambda arguments: one(*arguments), calls):
            print(line)


def main() -> None:
    given = json.loads(sys.stdin.readline())
    if given["ca"]:
        credentials = grpc.ssl_channel_credentials(Path(given["ca"]).read_bytes())
        channel = grpc.secure_channel(given["address"], credentials, options=UNLIMITED)
    else:
        channel = grpc.insecure_channel(given["address"], options=UNLIMITED)
    with channel:
        run(channel, given["calls"], tls=bool(given["ca"]))
        sys.stdout.flush()
        sys.stdin.read()  # the connection stays until this is at its end


if __name__ == "__main__":
    main()
