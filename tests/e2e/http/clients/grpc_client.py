"""gRPC's own client: the calls of test_grpc.py on one channel, as many at once as there are.

grpc_client    {"address", "ca", "calls": [[path, [request sizes], [response sizes asked for], status], ...]}
"""

import json
import sys
from collections.abc import Iterable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from tests.e2e.http.servers.grpc_server import MESSAGE_HEAD, SERVICE, UNLIMITED

MADE_AT_ONCE = 100
"""gRPC writes what several calls have to say in one system call, each header from a buffer for each of its parts."""


def call(channel: grpc.Channel, path: str, requests: list[bytes]) -> tuple[int, int]:
    """(bytes of the responses with their heads, status)."""
    kind = path.removeprefix(SERVICE).partition(".")[0]
    received = 0
    try:
        answers: Any
        if kind == "unary":
            answers = [channel.unary_unary(path)(requests[0])]
        elif kind == "upload":
            answers = [channel.stream_unary(path)(iter(requests))]
        elif kind == "download":
            answers = channel.unary_stream(path)(requests[0])
        else:
            answers = channel.stream_stream(path)(iter(requests))
        for answer in answers:
            received += MESSAGE_HEAD + len(answer)
    except grpc.RpcError as error:
        return received, error.code().value[0]
    return received, 0


def run(channel: grpc.Channel, calls: Iterable[list[Any]], *, tls: bool) -> None:
    def one(path: str, sizes: list[int], wanted: list[int]) -> str:
        requests = [want.to_bytes(8).ljust(size, b"y") for size, want in zip(sizes, wanted, strict=True)]
        received, status = call(channel, path, requests)
        return json.dumps(
            {
                "method": "POST",
                "path": path,
                "status": 200,
                "request_body_bytes": sum(MESSAGE_HEAD + len(request) for request in requests),
                "response_body_bytes": received,
                "version": 2,
                "tls": tls,
                "grpc_status": status,
            }
        )

    with futures.ThreadPoolExecutor(MADE_AT_ONCE) as pool:
        for line in pool.map(lambda arguments: one(*arguments), calls):
            print(line)


def main() -> None:
    given = json.load(sys.stdin)
    if given["ca"]:
        credentials = grpc.ssl_channel_credentials(Path(given["ca"]).read_bytes())
        channel = grpc.secure_channel(given["address"], credentials, options=UNLIMITED)
    else:
        channel = grpc.insecure_channel(given["address"], options=UNLIMITED)
    with channel:
        run(channel, given["calls"], tls=bool(given["ca"]))


if __name__ == "__main__":
    main()
